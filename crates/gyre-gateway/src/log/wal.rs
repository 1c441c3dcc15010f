//! The write-ahead file: one checked line a record.
//!
//! A line is the CRC-32 (IEEE) of the JSON text as eight hexadecimal digits, a space, the JSON text, and a line feed.
//! The first prediction of a version is preceded by a line with the version's signature, so that the file can be read
//! alone. A group of lines is written, then synced, then acknowledged; when that fails the file is cut back to where it
//! was, so that what is refused is not there either.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyre_core::Version;
use gyre_core::record::{Label, Prediction, Signature, Value};
use gyre_runtime::Column;
use serde::{Deserialize, Serialize};

use super::{Batch, DiskHook};
use crate::error::LogError;
use crate::request::prediction;

/// A prediction with the signature that its features follow.
#[derive(Clone)]
pub(super) struct Logged {
    pub(super) prediction: Prediction,
    pub(super) signature: Arc<Signature>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Signature { version: Version, signature: &'a Signature },
    Prediction(&'a Prediction),
    Label(&'a Label),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OwnedLine {
    Signature { version: Version, signature: Signature },
    Prediction(Prediction),
    Label(Label),
}

/// A write-ahead file, open at its end.
pub(super) struct Wal {
    pub(super) number: u64,
    path: PathBuf,
    file: File,
    /// What is known to be on disk; whatever lies beyond is cut off before the next write.
    length: u64,
    signatures: HashMap<Version, Arc<Signature>>,
}

/// What a write-ahead file held.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) predictions: Vec<Logged>,
    pub(super) labels: Vec<Label>,
    pub(super) cut_bytes: u64,
}

impl Contents {
    /// Adds a record; a signature is kept for the predictions after it.
    fn take(
        &mut self,
        record: OwnedLine,
        signatures: &mut HashMap<Version, Arc<Signature>>,
        path: &Path,
    ) -> Result<(), LogError> {
        match record {
            OwnedLine::Signature { version, signature } => {
                signatures.insert(version, Arc::new(signature));
            }
            OwnedLine::Label(label) => self.labels.push(label),
            OwnedLine::Prediction(prediction) => {
                let signature = signatures.get(&prediction.version).cloned().ok_or_else(|| {
                    let reason =
                        format!("a prediction of version {} without its signature", prediction.version);
                    LogError::damaged(path, reason)
                })?;
                self.predictions.push(Logged { prediction, signature });
            }
        }
        Ok(())
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
        Ok(Self { number, path, file, length: 0, signatures: HashMap::new() })
    }

    /// Reads a file, cuts off an end that was being written when the process died, and opens it for more.
    pub(super) fn open(dir: &Path, number: u64) -> Result<(Self, Contents), LogError> {
        let path = dir.join(file_name(number));
        let failed = |error| LogError::io("read", &path, error);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed)?;
        let mut contents = Contents::default();
        let mut wal = Self { number, path: path.clone(), file, length: 0, signatures: HashMap::new() };
        let mut reader = BufReader::new(wal.file.try_clone().map_err(failed)?);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 {
                break;
            }
            let Some(record) = decode(&line) else {
                reader.read_to_end(&mut line).map_err(failed)?;
                break;
            };
            line.clear();
            wal.length += read as u64;
            contents.take(record, &mut wal.signatures, &path)?;
        }
        contents.cut_bytes = line.len() as u64;
        if !line.is_empty() {
            wal.set_aside(&line)?;
            wal.cut().map_err(|error| LogError::io("repair", &path, error))?;
        }
        Ok((wal, contents))
    }

    /// Whether the file holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Keeps a cut end that has readable records after the unreadable place: a torn write leaves none, so this is
    /// either a group that was never acknowledged, written out of order as the power went, or a damaged disk, and a
    /// person should be able to look.
    fn set_aside(&self, end: &[u8]) -> Result<(), LogError> {
        if end.split_inclusive(|byte| *byte == b'\n').all(|line| decode(line).is_none()) {
            return Ok(());
        }
        let path = self.path.with_extension("cut");
        std::fs::write(&path, end).map_err(|error| LogError::io("write", &path, error))
    }

    fn cut(&self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.sync_all()
    }

    /// Writes predictions and labels, and returns once they are on disk.
    pub(super) fn append<'a>(
        &mut self,
        predictions: &[Logged],
        labels: impl IntoIterator<Item = &'a Label>,
        hook: Option<&DiskHook>,
    ) -> Result<(), LogError> {
        let mut text = Vec::with_capacity(predictions.len() * 256);
        let mut fresh: Vec<(Version, Arc<Signature>)> = Vec::new();
        let broken = |error: serde_json::Error| LogError::io("encode a record of", &self.path, error.into());
        for Logged { prediction, signature } in predictions {
            let version = prediction.version;
            let known =
                self.signatures.contains_key(&version) || fresh.iter().any(|(new, _)| *new == version);
            if !known {
                encode(&mut text, &Line::Signature { version, signature }).map_err(broken)?;
                fresh.push((version, Arc::clone(signature)));
            }
            encode(&mut text, &Line::Prediction(prediction)).map_err(broken)?;
        }
        for label in labels {
            encode(&mut text, &Line::Label(label)).map_err(broken)?;
        }
        let written = self.write(&text, hook);
        if let Err(error) = written {
            // Should the cut fail too, the next write cuts first, and so does opening the file after a crash: a
            // half-written line does not pass its check.
            let _ = self.cut();
            return Err(LogError::io("write", &self.path, error));
        }
        self.length += text.len() as u64;
        self.signatures.extend(fresh);
        Ok(())
    }

    fn write(&mut self, text: &[u8], hook: Option<&DiskHook>) -> std::io::Result<()> {
        if self.file.metadata()?.len() != self.length {
            self.cut()?;
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(text)?;
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

/// Reads a file beside whoever writes it, line by line, and goes on where it stopped.
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    /// What was read, in bytes: whole lines that passed their check.
    read: u64,
    signatures: HashMap<Version, Arc<Signature>>,
}

impl Reader {
    /// Opens a file; none when it is not there (any more).
    pub(super) fn open(dir: &Path, number: u64) -> Result<Option<Self>, LogError> {
        let path = dir.join(file_name(number));
        match File::open(&path) {
            Ok(file) => Ok(Some(Self { path, file, read: 0, signatures: HashMap::new() })),
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
        let mut lines = BufReader::new(&self.file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = lines.read_until(b'\n', &mut line).map_err(failed)?;
            let Some(record) = decode(&line) else { return Ok(()) };
            contents.take(record, &mut self.signatures, &self.path)?;
            self.read += read as u64;
        }
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

fn encode(text: &mut Vec<u8>, line: &Line<'_>) -> Result<(), serde_json::Error> {
    const PREFIX: usize = "01234567 ".len();
    let start = text.len();
    text.extend_from_slice(&[b' '; PREFIX]);
    serde_json::to_writer(&mut *text, line)?;
    let digits = format!("{:08x}", crc32fast::hash(&text[start + PREFIX..]));
    text[start..start + digits.len()].copy_from_slice(digits.as_bytes());
    text.push(b'\n');
    Ok(())
}

fn decode(line: &[u8]) -> Option<OwnedLine> {
    let line = line.strip_suffix(b"\n")?;
    let (digits, json) = (line.get(..8)?, line.get(8..)?.strip_prefix(b" ")?);
    let expected = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    if crc32fast::hash(json) != expected {
        return None;
    }
    serde_json::from_slice(json).ok()
}

impl Batch {
    /// The rows as records.
    pub(super) fn into_records(self) -> impl Iterator<Item = Logged> {
        let Self { ids, time, version, signature, route, table, scores, latency_us } = self;
        ids.into_iter().enumerate().map(move |(row, id)| {
            let features = table.columns().iter().map(|(_, column)| cell(column, row)).collect();
            let (output, scores) = prediction(&scores, row);
            let prediction = Prediction { id, time, version, route, features, output, scores, latency_us };
            Logged { prediction, signature: Arc::clone(&signature) }
        })
    }
}

fn cell(column: &Column, row: usize) -> Value {
    match column {
        Column::Numeric(values) => match values.get(row) {
            Some(number) if !number.is_nan() => Value::Number(*number),
            _ => Value::Missing,
        },
        Column::Text(values) => values.get(row).cloned().flatten().map_or(Value::Missing, Value::Text),
    }
}
