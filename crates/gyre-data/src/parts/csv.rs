//! CSV files in parts: commas, quotes as in RFC 4180, a first line with the columns' names, UTF-8.
//!
//! A file is gone through once to find where records end; that takes a fraction of what reading the numbers does.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use ::csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};

use super::Part;
use crate::files::FileError;
use crate::table::TableError;

/// Bytes from which a part ends with the next record, whatever its rows.
const PART_BYTES: u64 = 16 << 20;
const BUFFER: usize = 1 << 16;
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The columns' names: the first line, without a byte order mark.
///
/// # Errors
/// When the file cannot be read, has no first line or one that is not UTF-8, or names a column twice.
pub fn names(path: &Path) -> Result<Vec<String>, TableError> {
    let file = File::open(path).map_err(FileError::on("read", path))?;
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(BufReader::new(file));
    let mut head = ByteRecord::new();
    let found = reader.read_byte_record(&mut head).map_err(|error| no_csv(path, error))?;
    if !found {
        return Err(no_csv(path, "there is no line with the columns' names"));
    }
    let mut names: Vec<String> = Vec::with_capacity(head.len());
    for (at, name) in head.iter().enumerate() {
        let name = std::str::from_utf8(name).map_err(|_| no_csv(path, "its first line is not UTF-8"))?;
        let name = if at == 0 { name.trim_start_matches(BYTE_ORDER_MARK) } else { name };
        names.push(name.to_owned());
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]);
    let twice = twice.map(|pair| format!("there are two columns `{}`", pair[0]));
    match twice.or_else(|| otherwise_separated(&names)) {
        Some(wrong) => Err(no_csv(path, wrong)),
        None => Ok(names),
    }
}

/// What is wrong with the names of a table whose fields are not separated by commas, so that they seem to be one.
pub(crate) fn otherwise_separated(names: &[impl AsRef<str>]) -> Option<String> {
    let [only] = names else { return None };
    let by = match only.as_ref() {
        only if only.contains(';') => "semicolons",
        only if only.contains('\t') => "tabs",
        _ => return None,
    };
    Some(format!("its first line has no comma, but {by}; save it with commas between the fields"))
}

/// The first row that has not as many fields as the first line, in words; none when there is none, or the file cannot be read.
pub(crate) fn first_ragged(path: &Path) -> Option<String> {
    let mut reader = ReaderBuilder::new().from_path(path).ok()?;
    let mut record = ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record).map_err(::csv::Error::into_kind) {
            Ok(true) => {}
            Err(ErrorKind::UnequalLengths { pos, expected_len, len }) => {
                let line = pos.map_or(0, |at| at.line());
                return Some(format!("line {line}: {}", unequal(len as usize, expected_len as usize)));
            }
            Ok(false) | Err(_) => return None,
        }
    }
}

/// Says that a row has not as many fields as the first line has names.
#[must_use]
pub fn unequal(fields: usize, names: usize) -> String {
    format!(
        "{fields} fields, and the first line names {names} columns; text with a comma or a line feed in it stands in double quotes"
    )
}

/// Whether a field says that nothing is known: nothing, or what pandas and R write.
#[must_use]
pub fn is_missing(field: &str) -> bool {
    matches!(field, "" | "NA" | "N/A" | "NaN" | "nan" | "NULL" | "null")
}

/// Goes through the file for the places where records end. A part has `part_rows` records, or fewer where they are long;
/// a file with names alone has one part without rows.
///
/// # Errors
/// When the file cannot be read.
pub fn parts(path: &Path, part_rows: u64) -> Result<Vec<Part>, FileError> {
    let failed = || FileError::on("read", path);
    let mut file = File::open(path).map_err(failed())?;
    let mut records = Records::default();
    let (mut parts, mut at, mut buffer) = (Vec::new(), 0_u64, vec![0; BUFFER]);
    let mut part = Part { first_row: 0, rows: 0, bytes: (0, 0), first_line: 1 };
    let mut head = true;
    loop {
        let read = file.read(&mut buffer).map_err(failed())?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        for byte in bytes {
            at += 1;
            if !records.ends_with(*byte) {
                continue;
            }
            if head {
                head = false;
                part = Part { bytes: (at, 0), first_line: records.lines + 1, ..part };
                continue;
            }
            part.rows += 1;
            if part.rows >= part_rows || at - part.bytes.0 >= PART_BYTES {
                let next = part.first_row + part.rows;
                part.bytes.1 = at - part.bytes.0;
                parts.push(part);
                part = Part { first_row: next, rows: 0, bytes: (at, 0), first_line: records.lines + 1 };
            }
        }
    }
    if head {
        part.bytes.0 = at;
    } else if records.begun {
        // The last record of a file need not end its line.
        part.rows += 1;
    }
    part.bytes.1 = at - part.bytes.0;
    if part.rows > 0 || parts.is_empty() {
        parts.push(part);
    }
    Ok(parts)
}

/// A reader of the records of a part.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path, part: &Part) -> Result<Reader<impl Read>, FileError> {
    let mut file = File::open(path).map_err(FileError::on("read", path))?;
    file.seek(SeekFrom::Start(part.bytes.0)).map_err(FileError::on("read", path))?;
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).buffer_capacity(BUFFER);
    Ok(builder.from_reader(file.take(part.bytes.1)))
}

/// The line on which a part's record begins; records are counted from zero. None when the file
/// cannot be read any more.
#[must_use]
pub fn line_of(path: &Path, part: &Part, record: u64) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    file.seek(SeekFrom::Start(part.bytes.0)).ok()?;
    let (mut records, mut ended, mut begun) = (Records::default(), 0, false);
    for byte in BufReader::new(file).bytes() {
        let end = records.ends_with(byte.ok()?);
        if records.begun && !begun && ended == record {
            return Some(part.first_line + records.lines);
        }
        begun = records.begun;
        ended += u64::from(end);
    }
    None
}

fn no_csv(path: &Path, error: impl ToString) -> TableError {
    TableError::NotATable { file: path.display().to_string(), format: "CSV", message: error.to_string() }
}

/// Finds the ends of records as the `csv` crate does: a quote counts at the beginning of a field, and within such a
/// field until the next; empty lines are none; a lone carriage return ends a line too.
#[derive(Default)]
struct Records {
    state: State,
    /// Lines that ended.
    lines: u64,
    /// Whether a record has begun and not ended.
    begun: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    FieldStart,
    Plain,
    Quoted,
    /// After a quote within a quoted field: the end of it, or the first of two.
    QuoteInQuoted,
}

impl Records {
    /// Takes the next byte; whether a record ends with it.
    fn ends_with(&mut self, byte: u8) -> bool {
        if byte == b'\n' {
            self.lines += 1;
        }
        match (self.state, byte) {
            (State::Quoted, b'"') => self.state = State::QuoteInQuoted,
            (State::Quoted, _) => {}
            (State::QuoteInQuoted, b'"') => self.state = State::Quoted,
            (_, b'\n' | b'\r') => {
                self.state = State::FieldStart;
                return std::mem::take(&mut self.begun);
            }
            (_, b',') => {
                self.state = State::FieldStart;
                self.begun = true;
            }
            (State::FieldStart, b'"') => {
                self.state = State::Quoted;
                self.begun = true;
            }
            (State::FieldStart | State::Plain | State::QuoteInQuoted, _) => {
                self.state = State::Plain;
                self.begun = true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_small_the_parts_the_records_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        let text = "\u{feff}who,x\r\n\"a, \"\"b\"\"\nc\",1\r\n\r\n,2\n007,3\n5\" pipe,4\nlast,5";
        std::fs::write(&path, text).unwrap();
        assert_eq!(names(&path).unwrap(), ["who", "x"]);
        for part_rows in [1, 2, 1_000] {
            let parts = parts(&path, part_rows).unwrap();
            let records = parts.iter().flat_map(|part| read(&path, part).unwrap().into_byte_records());
            let who: Vec<Vec<u8>> = records.map(|record| record.unwrap()[0].to_vec()).collect();
            assert_eq!(who, [&b"a, \"b\"\nc"[..], b"", b"007", b"5\" pipe", b"last"], "{part_rows}");
            assert_eq!(parts.iter().map(|part| part.rows).sum::<u64>(), 5);
            assert!(part_rows > 1 || parts.last().unwrap().first_line == 8, "{parts:?}");
        }
    }

    #[test]
    fn a_first_line_that_is_none_is_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        for (text, reason) in [
            (&b""[..], "no line with the columns' names"),
            (b"a,b,a\n1,2,3\n", "there are two columns `a`"),
            (b"a,\xff\n", "its first line is not UTF-8"),
            (b"a;b\n1;2\n", "its first line has no comma, but semicolons; save it with commas"),
            (b"a\tb\n", "no comma, but tabs"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = names(&path).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
