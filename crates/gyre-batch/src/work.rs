//! The folder that remembers what is done, beside the output.
//!
//! It holds `state.json`, which says for which model, columns and inputs the rest is; a file for each part that is
//! scored; and a mark for each output that has its name. Files appear by renaming, after they are on the disk, so that
//! what is there is whole. When anything in the state differs from what is asked for now, all of it is thrown away.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use gyre_core::{Digest, Version};
use gyre_data::files::FileError;
use serde::{Deserialize, Serialize};

use crate::error::BatchError;
use crate::sources::Pair;

/// How parts are made and written; another number throws away what an earlier gyre left.
const FORM: u32 = 1;
const STATE: &str = "state.json";
/// Bytes at the end of an input that are part of its stamp: of a Parquet file they are its footer.
const TAIL: u64 = 64 << 10;

/// What a folder's contents are for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    form: u32,
    pub(crate) model: Digest,
    pub(crate) version: Option<Version>,
    /// Names of the output's columns.
    pub(crate) columns: Vec<Vec<String>>,
    pub(crate) part_rows: u64,
    inputs: Vec<Stamp>,
}

/// How an input looked. Its whole content is not hashed, which would take as long as scoring it: size, time of the last
/// change and the end tell what a person or a program changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    input: PathBuf,
    output: PathBuf,
    size: u64,
    /// Time of the last change, in nanoseconds since the epoch.
    modified: u64,
    tail: Digest,
}

impl Stamp {
    pub(crate) fn of(pair: &Pair) -> Result<Self, BatchError> {
        let path = &pair.input;
        let failed = || FileError::on("read", path);
        let mut file = File::open(path).map_err(failed())?;
        let data = file.metadata().map_err(failed())?;
        let modified = data.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(data.len().saturating_sub(TAIL))).map_err(failed())?;
        file.take(TAIL).read_to_end(&mut tail).map_err(failed())?;
        Ok(Self {
            input: std::fs::canonicalize(path).map_err(failed())?,
            output: pair.output.clone(),
            size: data.len(),
            modified: modified.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or_default(),
            tail: Digest::of(&tail),
        })
    }
}

impl State {
    pub(crate) fn new(
        model: Digest,
        version: Option<Version>,
        columns: Vec<Vec<String>>,
        part_rows: u64,
        inputs: Vec<Stamp>,
    ) -> Self {
        Self { form: FORM, model, version, columns, part_rows, inputs }
    }

    /// Whether an input still looks as it did.
    pub(crate) fn is_unchanged(&self, at: usize, now: &Stamp) -> bool {
        self.inputs.get(at) == Some(now)
    }

    /// What differs from what was begun, in words; none when nothing does.
    fn differs(&self, begun: &Self) -> Option<String> {
        if self == begun {
            return None;
        }
        Some(if self.form != begun.form {
            "another gyre began it".to_owned()
        } else if self.model != begun.model || self.version != begun.version {
            let name = |state: &Self| {
                state.version.map_or_else(|| state.model.short(), |version| format!("v{version}"))
            };
            format!("it was begun with another model ({}, now {})", name(begun), name(self))
        } else if let Some(changed) = self.inputs.iter().find(|stamp| !begun.inputs.contains(stamp)) {
            format!("{} is new or has changed since", changed.input.display())
        } else if self.inputs.len() != begun.inputs.len() {
            "an input is no longer there".to_owned()
        } else {
            "other columns were asked for".to_owned()
        })
    }
}

/// What is in a folder for a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Nothing was begun.
    Nothing,
    /// It goes on.
    Same,
    /// Something else was begun, and this is how it differs.
    Other(String),
}

/// The folder, held by this process.
pub(crate) struct Work {
    dir: PathBuf,
    pub(crate) begun: Begun,
    /// Held for as long as this lives.
    _lock: File,
}

/// The folder for an output: in it when it is a folder, and beside it otherwise.
pub(crate) fn folder(output: &Path, whole: bool) -> PathBuf {
    match output.file_name() {
        Some(name) if whole => output.with_file_name(format!(".{}.gyre-predict", name.to_string_lossy())),
        _ => output.join(".gyre-predict"),
    }
}

/// What was begun in `dir`; nothing is changed.
pub(crate) fn peek(dir: &Path, state: &State) -> Begun {
    let Ok(text) = std::fs::read(dir.join(STATE)) else { return Begun::Nothing };
    match serde_json::from_slice::<State>(&text) {
        Ok(begun) => state.differs(&begun).map_or(Begun::Same, Begun::Other),
        Err(_) => Begun::Other("what it left cannot be read".to_owned()),
    }
}

impl Work {
    /// Takes hold of a folder; what was begun for something else is removed.
    pub(crate) fn open(dir: &Path, output: &Path, state: &State) -> Result<Self, BatchError> {
        std::fs::create_dir_all(dir).map_err(FileError::on("create the directory", dir))?;
        let path = dir.join("lock");
        let lock =
            File::options().create(true).append(true).open(&path).map_err(FileError::on("create", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BatchError::Busy { path: output.to_path_buf() }),
            Err(TryLockError::Error(error)) => return Err(FileError::on("lock", &path)(error).into()),
        }
        let begun = peek(dir, state);
        let work = Self { dir: dir.to_path_buf(), begun, _lock: lock };
        if work.begun != Begun::Same {
            work.clear()?;
            let text = serde_json::to_vec_pretty(state).map_err(|error| BatchError::encode(dir, error))?;
            gyre_data::files::write(&dir.join(STATE), &text)?;
        }
        Ok(work)
    }

    /// The state goes first, so that what is left after a kill in the middle is nobody's.
    fn clear(&self) -> Result<(), BatchError> {
        let state = self.dir.join(STATE);
        if state.exists() {
            std::fs::remove_file(&state).map_err(FileError::on("remove", &state))?;
        }
        let failed = || FileError::on("clear", &self.dir);
        for entry in std::fs::read_dir(&self.dir).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            if entry.file_name() != "lock" {
                std::fs::remove_file(entry.path()).map_err(FileError::on("remove", &entry.path()))?;
            }
        }
        Ok(())
    }

    /// Where a part lies when it is done.
    pub(crate) fn part(&self, input: usize, part: usize) -> PathBuf {
        self.dir.join(format!("{input:06}-{part:06}"))
    }

    /// Where a part, or a whole, lies while it is written.
    pub(crate) fn unfinished(path: &Path) -> PathBuf {
        path.with_extension("tmp")
    }

    /// Where a whole is put together.
    pub(crate) fn whole(&self, input: usize) -> PathBuf {
        self.dir.join(format!("{input:06}.whole"))
    }

    fn mark(&self, input: usize) -> PathBuf {
        self.dir.join(format!("{input:06}.done"))
    }

    /// Whether an output has its name and is still there as it was made.
    pub(crate) fn is_done(&self, input: usize, output: &Path) -> bool {
        let marked = std::fs::read_to_string(self.mark(input)).ok().and_then(|size| size.parse::<u64>().ok());
        marked.is_some() && marked == std::fs::metadata(output).ok().map(|data| data.len())
    }

    /// Gives a whole its name, remembers that, and removes its parts.
    pub(crate) fn finish(&self, input: usize, parts: usize, output: &Path) -> Result<(), BatchError> {
        let whole = self.whole(input);
        let size = std::fs::metadata(&whole).map_err(FileError::on("read", &whole))?.len();
        let parent =
            output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(FileError::on("create the directory", parent))?;
        std::fs::rename(&whole, output).map_err(FileError::on("write", output))?;
        sync(parent)?;
        gyre_data::files::write(&self.mark(input), size.to_string().as_bytes())?;
        for part in (0..parts).map(|part| self.part(input, part)) {
            std::fs::remove_file(&part).map_err(FileError::on("remove", &part))?;
        }
        Ok(())
    }

    /// Whether no part and no output is done.
    pub(crate) fn keeps_nothing(&self) -> bool {
        let Ok(mut entries) = std::fs::read_dir(&self.dir) else { return false };
        entries.all(|entry| {
            let name = entry.map(|entry| PathBuf::from(entry.file_name()));
            name.is_ok_and(|name| {
                let unfinished = name.extension().is_some_and(|extension| extension == "tmp");
                unfinished || name == Path::new("lock") || name == Path::new(STATE)
            })
        })
    }

    /// Removes the folder: all is done, or nothing.
    pub(crate) fn remove(self) -> Result<(), BatchError> {
        Ok(std::fs::remove_dir_all(&self.dir).map_err(FileError::on("remove", &self.dir))?)
    }
}

/// Gives a file that is on the disk its name.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<(), BatchError> {
    Ok(std::fs::rename(from, to).map_err(FileError::on("write", to))?)
}

/// A renamed file is only there after a power cut if its folder was synced.
fn sync(dir: &Path) -> Result<(), BatchError> {
    let synced = File::open(dir).and_then(|folder| folder.sync_all());
    Ok(synced.map_err(FileError::on("sync", dir))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(model: &[u8], input: &Path) -> State {
        let pair = Pair { input: input.to_path_buf(), output: "out.csv".into() };
        State::new(
            Digest::of(model),
            Some(3),
            vec![vec!["prediction".to_owned()]],
            10,
            vec![Stamp::of(&pair).unwrap()],
        )
    }

    #[test]
    fn what_was_begun_for_something_else_is_thrown_away_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("in.csv"), dir.path().join("out.csv"));
        std::fs::write(&input, "x\n1\n").unwrap();
        let folder = folder(&output, true);
        assert_eq!(folder.file_name().unwrap(), ".out.csv.gyre-predict");
        let first = state(b"a", &input);
        let work = Work::open(&folder, &output, &first).unwrap();
        assert_eq!(work.begun, Begun::Nothing);
        std::fs::write(work.part(0, 0), "1").unwrap();
        assert!(matches!(Work::open(&folder, &output, &first), Err(BatchError::Busy { .. })));
        drop(work);
        let again = Work::open(&folder, &output, &first).unwrap();
        assert!(again.begun == Begun::Same && again.part(0, 0).exists());
        drop(again);

        let other = state(b"b", &input);
        let Begun::Other(reason) = peek(&folder, &other) else { panic!() };
        assert!(reason.contains("another model"), "{reason}");
        std::fs::write(&input, "x\n1\n2\n").unwrap();
        let changed = Work::open(&folder, &output, &state(b"a", &input)).unwrap();
        let Begun::Other(reason) = &changed.begun else { panic!() };
        assert!(reason.contains("in.csv is new or has changed"), "{reason}");
        assert!(!changed.part(0, 0).exists());
        changed.remove().unwrap();
        assert!(!folder.exists());
    }
}
