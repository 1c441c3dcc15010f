//! The write-ahead file: checked frames, each a group of predictions or a label.
//!
//! A frame is four bytes that begin every frame ([`MARK`]), the length of what follows and its CRC-32 (IEEE), both as
//! little-endian 32-bit numbers, and then one byte that says what it is and the thing itself: a chunk of predictions
//! ([`Chunk::encode`]), or a label as JSON. Every frame can be read alone. A group of frames is written, then synced, then
//! acknowledged; when that fails the file is cut back to where it was, so that what is refused is not there either.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use gyre_core::record::Label;

use super::DiskHook;
use super::chunk::{self, Chunk};
use crate::error::LogError;

/// What every frame begins with: no text, and unlikely among numbers.
const MARK: [u8; 4] = [0xf7, b'g', b'y', 0x9d];
/// Bytes of a frame before what it holds.
const HEAD: usize = MARK.len() + 8;
/// What a frame holds, in its first byte.
const PREDICTIONS: u8 = 1;
const LABEL: u8 = 2;

/// What a frame holds.
enum Record {
    Predictions(Chunk),
    Label(Label),
}

/// A write-ahead file, open at its end.
pub(super) struct Wal {
    pub(super) number: u64,
    path: PathBuf,
    file: File,
    /// What is known to be on disk; whatever lies beyond is cut off before the next write.
    length: u64,
}

/// What a write-ahead file held.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) predictions: Vec<Chunk>,
    pub(super) labels: Vec<Label>,
    pub(super) cut_bytes: u64,
}

impl Contents {
    fn take(&mut self, record: Record) {
        match record {
            Record::Predictions(chunk) => chunk::append(&mut self.predictions, [chunk]),
            Record::Label(label) => self.labels.push(label),
        }
    }
}

/// The file's name.
pub(super) fn file_name(number: u64) -> String {
    format!("wal-{number:08}.log")
}

impl Wal {
    /// A new file, without what may lie there under its name.
    pub(super) fn create(dir: &Path, number: u64) -> Result<Self, LogError> {
        let path = dir.join(file_name(number));
        let file = File::create(&path).and_then(|file| file.sync_all().map(|()| file));
        let file = file.map_err(|error| LogError::io("create", &path, error))?;
        super::sync_dir(dir)?;
        Ok(Self { number, path, file, length: 0 })
    }

    /// Reads a file, cuts off an end that was being written when the process died, and opens it for more.
    pub(super) fn open(dir: &Path, number: u64) -> Result<(Self, Contents), LogError> {
        let path = dir.join(file_name(number));
        let failed = |error| LogError::io("read", &path, error);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let mut contents = Contents::default();
        let mut wal = Self { number, path: path.clone(), file, length: 0 };
        let length = wal.file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::new(wal.file.try_clone().map_err(failed)?);
        if is_text(reader.fill_buf().map_err(failed)?) {
            let reason = "it holds lines of text, as builds before the first release wrote them; this one reads frames. Run \
                          `gyre log export` of the build that wrote it, then move the file away";
            return Err(LogError::damaged(&path, reason));
        }
        while let Some((record, size)) = next(&mut reader, length - wal.length).map_err(failed)? {
            wal.length += size;
            contents.take(record);
        }
        contents.cut_bytes = length - wal.length;
        if contents.cut_bytes > 0 {
            wal.set_aside().map_err(failed)?;
            wal.cut().map_err(|error| LogError::io("repair", &path, error))?;
        }
        Ok((wal, contents))
    }

    /// Whether the file holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Keeps a cut end that has readable frames after the unreadable place: a torn write leaves none, so this is
    /// either a group that was never acknowledged, written out of order as the power went, or a damaged disk, and a
    /// person should be able to look.
    fn set_aside(&mut self) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(self.length))?;
        let mut end = Vec::new();
        self.file.read_to_end(&mut end)?;
        let readable = |at: usize| end.get(at..).is_some_and(|rest| decode(rest).is_some());
        if end.windows(MARK.len()).enumerate().any(|(at, found)| found == MARK && readable(at)) {
            std::fs::write(self.path.with_extension("cut"), &end)?;
        }
        Ok(())
    }

    fn cut(&self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_all()
    }

    /// Writes predictions and labels, and returns once they are on disk.
    pub(super) fn append<'a>(
        &mut self,
        predictions: &[Chunk],
        labels: impl IntoIterator<Item = &'a Label>,
        hook: Option<&DiskHook>,
    ) -> Result<(), LogError> {
        let broken = |error: &dyn ToString| {
            LogError::io("encode a record of", &self.path, std::io::Error::other(error.to_string()))
        };
        let mut frames = Vec::new();
        for chunk in predictions {
            let bytes = chunk.encode().map_err(|error| broken(&error))?;
            encode(&mut frames, PREDICTIONS, &bytes).map_err(|error| broken(&error))?;
        }
        for label in labels {
            let json = serde_json::to_vec(label).map_err(|error| broken(&error))?;
            encode(&mut frames, LABEL, &json).map_err(|error| broken(&error))?;
        }
        let written = self.write(&frames, hook);
        if let Err(error) = written {
            // Should the cut fail too, the next write cuts first, and so does opening the file after a crash: a
            // half-written frame does not pass its check.
            let _ = self.cut();
            return Err(LogError::io("write", &self.path, error));
        }
        self.length += frames.len() as u64;
        Ok(())
    }

    fn write(&mut self, frames: &[u8], hook: Option<&DiskHook>) -> std::io::Result<()> {
        if self.file.metadata()?.len() != self.length {
            self.cut()?;
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(frames)?;
        if let Some(hook) = hook {
            hook()?;
        }
        self.file.sync_data()
    }

    /// Removes the file: its records are in segments that the journal vouches for.
    pub(super) fn remove(self) -> Result<(), LogError> {
        remove(&self.path)
    }
}

/// Reads a file beside whoever writes it, frame by frame, and goes on where it stopped.
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    /// What was read, in bytes: whole frames that passed their check.
    read: u64,
}

impl Reader {
    /// Opens a file; none when it is not there (any more).
    pub(super) fn open(dir: &Path, number: u64) -> Result<Option<Self>, LogError> {
        let path = dir.join(file_name(number));
        match File::open(&path) {
            Ok(file) => Ok(Some(Self { path, file, read: 0 })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io("read", &path, error)),
        }
    }

    /// Adds the records after those that were read to `contents`. What is half written is left for the next time.
    pub(super) fn read(&mut self, contents: &mut Contents) -> Result<(), LogError> {
        let failed = |error| LogError::io("read", &self.path, error);
        let length = self.file.metadata().map_err(failed)?.len();
        // A group that was refused by the disk is cut off again.
        self.read = self.read.min(length);
        self.file.seek(SeekFrom::Start(self.read)).map_err(failed)?;
        let mut reader = BufReader::new(&self.file);
        while let Some((record, size)) = next(&mut reader, length - self.read).map_err(failed)? {
            contents.take(record);
            self.read += size;
        }
        Ok(())
    }
}

/// The numbers of the write-ahead files in a folder, in order.
pub(super) fn numbers(dir: &Path) -> Result<Vec<u64>, LogError> {
    let failed = |error| LogError::io("read", dir, error);
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_prefix("wal-")?.strip_suffix(".log")?.parse().ok());
        numbers.extend::<Option<u64>>(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes a file of the log.
pub(super) fn remove(path: &Path) -> Result<(), LogError> {
    std::fs::remove_file(path).map_err(|error| LogError::io("remove", path, error))
}

/// Whether a file begins as those of earlier builds did: a check in hexadecimal digits, a space, and JSON.
fn is_text(begin: &[u8]) -> bool {
    let (check, rest) = begin.split_at(begin.len().min(8));
    check.iter().all(u8::is_ascii_hexdigit) && rest.starts_with(b" {")
}

fn encode(frames: &mut Vec<u8>, kind: u8, held: &[u8]) -> Result<(), std::num::TryFromIntError> {
    let length = u32::try_from(held.len() + 1)?;
    let mut check = crc32fast::Hasher::new();
    check.update(&[kind]);
    check.update(held);
    frames.extend_from_slice(&MARK);
    frames.extend_from_slice(&length.to_le_bytes());
    frames.extend_from_slice(&check.finalize().to_le_bytes());
    frames.push(kind);
    frames.extend_from_slice(held);
    Ok(())
}

/// The length and the check of a frame that begins with `head`; none when no frame begins so.
fn head(head: [u8; HEAD]) -> Option<(u32, u32)> {
    let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = head;
    ([m0, m1, m2, m3] == MARK)
        .then(|| (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3])))
}

/// The next frame of a file of which `left` bytes are left, and its size; none when what follows is no whole frame.
fn next(reader: &mut impl Read, left: u64) -> std::io::Result<Option<(Record, u64)>> {
    if left < HEAD as u64 {
        return Ok(None);
    }
    let mut begin = [0; HEAD];
    reader.read_exact(&mut begin)?;
    let Some((length, check)) = head(begin) else { return Ok(None) };
    if u64::from(length) > left - HEAD as u64 {
        return Ok(None);
    }
    let mut held = vec![0; length as usize];
    reader.read_exact(&mut held)?;
    Ok(open(&held, check).map(|record| (record, HEAD as u64 + u64::from(length))))
}

/// The frame that `bytes` begin with.
fn decode(bytes: &[u8]) -> Option<Record> {
    let (begin, rest) = bytes.split_first_chunk()?;
    let (length, check) = head(*begin)?;
    open(rest.get(..usize::try_from(length).ok()?)?, check)
}

fn open(held: &[u8], check: u32) -> Option<Record> {
    if crc32fast::hash(held) != check {
        return None;
    }
    match held.split_first()? {
        (&PREDICTIONS, bytes) => Chunk::decode(bytes).map(Record::Predictions),
        (&LABEL, json) => serde_json::from_slice(json).ok().map(Record::Label),
        _ => None,
    }
}
