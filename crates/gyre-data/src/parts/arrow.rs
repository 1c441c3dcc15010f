//! Arrow IPC: the file format (`.arrow`, Feather version 2) and the stream format.
//!
//! A file is a stream between a magic word and a footer, so both are read as streams, batch by batch; buffers may be compressed
//! (LZ4, as pandas and pyarrow write Feather, or Zstandard). What is in memory at a time is a batch as whoever wrote the file cut it.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::{Buffer, CompressionType, root_as_message};
use arrow_schema::{ArrowError, SchemaRef};

use super::Part;
use crate::files::FileError;
use crate::table::TableError;

/// What a file begins and ends with. Zeros fill the beginning up to a whole number of words: one, or as many as the writer likes.
const MAGIC: &[u8] = b"ARROW1";
const WORD: usize = 8;
/// Zeros are looked for so far.
const MOST_PADDED: u64 = 4_096;
/// How many bytes can become of one: 128 KiB of the four of a Zstandard block of one value (RFC 8878), and 255 by LZ4.
const MOST_BY_ZSTD: i64 = 1 << 15;
const MOST_BY_LZ4: i64 = 255;
/// What each message of a stream begins with.
const CONTINUES: [u8; 4] = [0xff; 4];

/// Whether what begins so is Arrow, as a file or as a stream.
#[must_use]
pub fn begins(first: &[u8]) -> bool {
    first.starts_with(MAGIC) || first.starts_with(&CONTINUES)
}

/// An Arrow file or stream. Each reader opens it anew.
#[derive(Debug, Clone)]
pub struct Arrow {
    path: PathBuf,
    schema: SchemaRef,
    /// Where its stream begins.
    begin: u64,
    rows: u64,
}

impl Arrow {
    /// Reads what a file says of its columns.
    ///
    /// # Errors
    /// When it cannot be read, breaks off, or is no Arrow file.
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let failed = || FileError::on("read", path);
        let mut file = File::open(path).map_err(failed())?;
        let mut read = |from: u64, most: u64| -> Result<Vec<u8>, FileError> {
            let mut bytes = Vec::new();
            let found =
                file.seek(SeekFrom::Start(from)).and_then(|_| (&file).take(most).read_to_end(&mut bytes));
            found.map(|_| bytes).map_err(failed())
        };
        let head = read(0, MOST_PADDED)?;
        let mut begin = 0;
        if head.starts_with(MAGIC) {
            let length = std::fs::metadata(path).map_err(failed())?.len();
            let last = read(length.saturating_sub(MAGIC.len() as u64), MAGIC.len() as u64)?;
            let words = head.chunks_exact(WORD).skip(1);
            begin = (1 + words.take_while(|word| **word == [0; WORD]).count()) * WORD;
            // A stream may end anywhere, a file only with its magic word.
            if last != MAGIC || length < (begin + MAGIC.len()) as u64 {
                return Err(no_arrow(path, "it breaks off before its footer; write or copy it again"));
            }
        }
        let begin = begin as u64;
        let rows = walk(path, begin).map_err(failed())?.map_err(|wrong| no_arrow(path, wrong))?;
        let schema = reader(path, begin, None)?.schema();
        Ok(Self { path: path.to_path_buf(), schema, begin, rows })
    }

    /// The columns as Arrow has them.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows of all batches.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// All rows as the one part that a stream has.
    #[must_use]
    pub fn part(&self) -> Part {
        Part { first_row: 0, rows: self.rows, bytes: (0, 0), first_line: 0 }
    }

    /// Reads all batches: all columns, or those at the places `columns`.
    ///
    /// # Errors
    /// When the file cannot be read or is broken.
    pub fn read(
        &self,
        columns: Option<&[usize]>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + use<>, TableError> {
        reader(&self.path, self.begin, columns.map(<[usize]>::to_vec))
    }
}

/// Goes from message to message for the number of rows, past what they hold; or says what is wrong. The reader takes the places of
/// buffers for true, so they are looked at here.
fn walk(path: &Path, begin: u64) -> std::io::Result<Result<u64, String>> {
    let mut file = BufReader::new(File::open(path)?);
    let length = file.get_ref().metadata()?.len();
    let (mut at, mut rows, mut said) = (begin, 0_u64, Vec::new());
    let broken = |at: u64, what: &str| {
        Ok(Err(format!("the message at byte {at} {what}; write or copy the file again")))
    };
    file.seek(SeekFrom::Start(begin))?;
    loop {
        let mut word = [0; 4];
        let mut size = 0;
        // Files before Arrow 0.15 have no such mark.
        for _ in 0..2 {
            said.clear();
            if file.by_ref().take(4).read_to_end(&mut said)? < 4 {
                return Ok(Ok(rows));
            }
            word.copy_from_slice(&said);
            size += 4;
            if word != CONTINUES {
                break;
            }
        }
        let Ok(head) = u64::try_from(i32::from_le_bytes(word)) else { return broken(at, "has no length") };
        if head == 0 {
            return Ok(Ok(rows));
        }
        said.clear();
        if (file.by_ref().take(head).read_to_end(&mut said)? as u64) < head {
            return broken(at, "breaks off");
        }
        let Ok(message) = root_as_message(&said) else { return broken(at, "cannot be read") };
        let body = u64::try_from(message.bodyLength()).unwrap_or(u64::MAX);
        if body > length.saturating_sub(at + size + head) {
            return broken(at, "breaks off");
        }
        let batch = message.header_as_record_batch();
        let of_rows = batch.map_or(Some(0), |batch| u64::try_from(batch.length()).ok());
        let batch = batch.or_else(|| message.header_as_dictionary_batch().and_then(|names| names.data()));
        let mut buffers = batch.and_then(|batch| batch.buffers()).into_iter().flatten();
        let is_within = |buffer: &Buffer| {
            let ends = buffer.offset().checked_add(buffer.length());
            buffer.offset() >= 0 && buffer.length() >= 0 && ends.is_some_and(|end| end as u64 <= body)
        };
        let Some(of_rows) = of_rows.filter(|_| buffers.all(is_within)) else {
            return broken(at, "points beyond its end");
        };
        rows = rows.saturating_add(of_rows);
        let begins = at + size + head;
        if let Some((batch, by)) = batch.and_then(|batch| Some((batch, batch.compression()?.codec()))) {
            let most = if by == CompressionType::LZ4_FRAME { MOST_BY_LZ4 } else { MOST_BY_ZSTD };
            for buffer in batch.buffers().into_iter().flatten().filter(|buffer| buffer.length() >= 8) {
                // What it is to become stands before it; −1 where it is as it is.
                let (place, length) = (buffer.offset().unsigned_abs(), buffer.length());
                let mut becomes = [0; 8];
                file.seek(SeekFrom::Start(begins + place))?;
                file.read_exact(&mut becomes)?;
                if !(-1..=length.saturating_mul(most)).contains(&i64::from_le_bytes(becomes)) {
                    return broken(at, "cannot be decompressed");
                }
            }
        }
        at = begins + body;
        file.seek(SeekFrom::Start(at))?;
    }
}

fn reader(
    path: &Path,
    begin: u64,
    columns: Option<Vec<usize>>,
) -> Result<StreamReader<BufReader<File>>, TableError> {
    let mut file = File::open(path).map_err(FileError::on("read", path))?;
    file.seek(SeekFrom::Start(begin)).map_err(FileError::on("read", path))?;
    StreamReader::try_new(BufReader::new(file), columns).map_err(|error| no_arrow(path, error))
}

fn no_arrow(path: &Path, error: impl ToString) -> TableError {
    TableError::NotATable { file: path.display().to_string(), format: "Arrow", message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int32Type};
    use arrow_array::{ArrayRef, DictionaryArray, Float64Array};
    use arrow_ipc::CompressionType;
    use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};

    use super::*;

    fn batch(from: i32) -> RecordBatch {
        let x = (from..from + 100).map(f64::from).collect::<Float64Array>();
        let name = (0..100).map(|row| Some(["ash", "elm"][row % 2])).collect::<DictionaryArray<Int32Type>>();
        let columns = [("x", Arc::new(x) as ArrayRef), ("name", Arc::new(name))];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn file(compression: Option<CompressionType>) -> Vec<u8> {
        let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
        let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch(0).schema(), options).unwrap();
        writer.write(&batch(0)).unwrap();
        writer.write(&batch(100)).unwrap();
        writer.into_inner().unwrap()
    }

    fn stream() -> Vec<u8> {
        let mut writer = StreamWriter::try_new(Vec::new(), &batch(0).schema()).unwrap();
        writer.write(&batch(0)).unwrap();
        writer.write(&batch(100)).unwrap();
        writer.into_inner().unwrap()
    }

    /// Rows, and the sum of the numbers in the column `x`.
    fn read(path: &Path, bytes: &[u8]) -> Result<(u64, f64), TableError> {
        std::fs::write(path, bytes).unwrap();
        let arrow = Arrow::open(path)?;
        let mut sum = 0.0;
        for batch in arrow.read(Some(&[0]))? {
            let batch = batch.map_err(|error| no_arrow(path, error))?;
            let x = batch.column(0).as_primitive_opt::<Float64Type>();
            sum += x.map_or(0.0, |x| x.iter().flatten().sum::<f64>());
        }
        Ok((arrow.rows(), sum))
    }

    #[test]
    fn files_and_streams_are_read_compressed_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.arrow");
        let compressed = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)].map(file);
        for bytes in compressed.into_iter().chain([stream()]) {
            assert!(begins(&bytes));
            assert_eq!(read(&path, &bytes).unwrap(), (200, 19_900.0));
        }
    }

    #[test]
    fn what_breaks_off_or_is_damaged_is_an_error_or_a_table_and_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.arrow");
        let whole = file(None);
        for end in [6, 9, 100, whole.len() / 2, whole.len() - 1] {
            let error = read(&path, &whole[..end]).unwrap_err().to_string();
            assert!(error.contains("t.arrow: not a readable Arrow file"), "{error}");
        }
        for bytes in [whole, file(Some(CompressionType::LZ4_FRAME)), stream()] {
            for at in (0..bytes.len()).step_by(7) {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0xff;
                // What it holds then is anybody's guess.
                let _ = read(&path, &damaged);
            }
        }
    }
}
