//! Files into profiles, on all cores.
//!
//! A file is cut into parts by what the file is alone; threads take parts, and parts are merged in their order. So counts,
//! moments and the frequent values of a table are the same however many threads there are. A thread that is far ahead of
//! the slowest waits, so that only a few parts are ever in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use gyre_data::parts::arrow::Arrow;
use gyre_data::parts::parquet::Parquet;
use gyre_data::parts::{Layout, Part, csv};
use gyre_data::table::TableError;

use crate::cells::Fields;
use crate::column::Column;
use crate::error::ProfileError;
use crate::profile::Profile;

/// A Parquet file is cut into about so many parts, of no fewer and no more rows than these: enough parts for the cores
/// of an ordinary machine, and enough rows for a part that merging costs nothing beside reading.
const PARTS: u64 = 8;
const FEWEST_ROWS: u64 = 16_384;
const MOST_ROWS: u64 = 262_144;
/// Records of a CSV file in a part.
const CSV_ROWS: u64 = 65_536;
/// Rows of a Parquet file that are decoded at once; fewer where they are so wide that they would take more than this.
const BATCH_ROWS: u64 = 8_192;
const BATCH_BYTES: u64 = 16 << 20;

/// Profiles of all tables in `files` together. Each is Parquet or Arrow (by its first bytes), a stored profile (it begins with `{`),
/// or else CSV with a line of names. Of `wanted` columns only those are read. `progress` hears how many rows are done.
///
/// # Errors
/// [`ProfileError`].
pub fn profile(
    files: &[PathBuf],
    wanted: Option<&[String]>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Profile, ProfileError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = Work { state: Mutex::new(State::new(files, wanted, threads)), turn: Condvar::new(), progress };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| work.run())).collect();
        work.run();
        others.into_iter().all(|thread| thread.join().is_ok()).then_some(()).ok_or(ProfileError::Thread)
    })?;
    work.state.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
}

/// What the threads share.
struct Work<'a> {
    state: Mutex<State<'a>>,
    /// Somebody has merged, or failed.
    turn: Condvar,
    progress: &'a (dyn Fn(u64) + Sync),
}

struct State<'a> {
    files: std::slice::Iter<'a, PathBuf>,
    wanted: Option<&'a [String]>,
    /// Columns of the first table, wanted or not.
    known: Vec<String>,
    /// The file whose parts are given out, and those that are left.
    open: Option<(Arc<Source>, std::vec::IntoIter<Part>)>,
    /// The number of the next part, over all files.
    next: u64,
    /// Finished parts whose forerunners are not.
    waiting: BTreeMap<u64, Profile>,
    /// The number of the next part to be merged.
    merged: u64,
    /// Parts that may be ahead of the slowest.
    ahead: u64,
    whole: Profile,
    failed: Option<ProfileError>,
}

/// A file whose parts can be read.
struct Source {
    path: PathBuf,
    kind: Kind,
    /// In the file's order.
    columns: Vec<Wanted>,
}

enum Kind {
    Parquet { file: Parquet, batch_rows: usize },
    Arrow(Arrow),
    Csv { width: usize },
    Stored,
}

/// A column that is read.
struct Wanted {
    /// Its place in the file.
    at: usize,
    name: String,
    /// How the file declares it.
    declared: Option<String>,
}

impl<'a> Work<'a> {
    fn run(&self) {
        // A thread that panics must not leave the others waiting for its part.
        let _stop = StopOnPanic(self);
        while let Some((number, source, part)) = self.take() {
            let read = source.read(&part);
            let mut state = self.state();
            match read {
                Ok(profile) => state.give(number, profile),
                Err(error) => state.fail(error),
            }
            (self.progress)(state.whole.rows);
            drop(state);
            self.turn.notify_all();
        }
    }

    /// The next part; none when there is no more or something has failed.
    fn take(&self) -> Option<(u64, Arc<Source>, Part)> {
        let mut state = self.state();
        while state.failed.is_none() && state.next > state.merged + state.ahead {
            state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.take()
    }

    fn state(&self) -> MutexGuard<'_, State<'a>> {
        // What a thread that panicked left is not used: its join says so.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct StopOnPanic<'a, 'b>(&'a Work<'b>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().fail(ProfileError::Thread);
            self.0.turn.notify_all();
        }
    }
}

impl<'a> State<'a> {
    fn new(files: &'a [PathBuf], wanted: Option<&'a [String]>, threads: usize) -> Self {
        Self {
            files: files.iter(),
            wanted,
            known: Vec::new(),
            open: None,
            next: 0,
            waiting: BTreeMap::new(),
            merged: 0,
            ahead: 2 * threads as u64,
            whole: Profile::default(),
            failed: None,
        }
    }

    fn take(&mut self) -> Option<(u64, Arc<Source>, Part)> {
        while self.failed.is_none() {
            if let Some((source, parts)) = &mut self.open
                && let Some(part) = parts.next()
            {
                self.next += 1;
                return Some((self.next - 1, Arc::clone(source), part));
            }
            match Source::open(self.files.next()?, self.wanted) {
                Ok(Opened { source, parts, names }) => {
                    self.open = Some((Arc::new(source), parts.into_iter()));
                    if self.known.is_empty() {
                        self.known = names;
                    }
                }
                Err(error) => self.fail(error),
            }
        }
        None
    }

    fn give(&mut self, number: u64, part: Profile) {
        self.waiting.insert(number, part);
        while let Some(part) = self.waiting.remove(&self.merged) {
            self.merged += 1;
            if let Err(error) = self.whole.merge(&part) {
                self.fail(error);
            }
        }
    }

    fn fail(&mut self, error: ProfileError) {
        self.failed.get_or_insert(error);
    }

    fn finish(self) -> Result<Profile, ProfileError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let (mut whole, wanted) = (self.whole, self.wanted.unwrap_or_default());
        if let Some(column) =
            wanted.iter().find(|name| !whole.columns.iter().any(|column| column.name == **name))
        {
            let known = if self.known.is_empty() { whole.names() } else { self.known };
            return Err(ProfileError::NoColumn { column: column.clone(), known: some(&known) });
        }
        if self.wanted.is_some() {
            whole.columns.retain(|column| wanted.contains(&column.name));
        }
        Ok(whole)
    }
}

/// The first of many names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, …") } else { shown }
}

/// A file, its parts, and the names of all its columns.
struct Opened {
    source: Source,
    parts: Vec<Part>,
    names: Vec<String>,
}

impl Source {
    fn open(path: &Path, wanted: Option<&[String]>) -> Result<Opened, ProfileError> {
        let declared = |(at, (name, declared))| Wanted { at, name, declared: Some(declared) };
        let (kind, parts, mut columns) = match Layout::of(path)? {
            Layout::Parquet => {
                let file = Parquet::open(path)?.with_texts_as_codes()?;
                let parts = file.parts((file.rows() / PARTS).clamp(FEWEST_ROWS, MOST_ROWS));
                let wide = file.bytes() / file.rows().max(1);
                let batch_rows = (BATCH_BYTES / wide.max(1)).clamp(64, BATCH_ROWS) as usize;
                let columns = file.declared().into_iter().enumerate().map(declared).collect();
                (Kind::Parquet { file, batch_rows }, parts, columns)
            }
            Layout::Arrow => {
                let file = Arrow::open(path)?;
                let part = file.part();
                let fields = file.schema().fields().iter();
                let fields = fields.map(|field| (field.name().clone(), field.data_type().to_string()));
                let columns = fields.enumerate().map(declared).collect();
                (Kind::Arrow(file), vec![part], columns)
            }
            Layout::Json => {
                let part = Part { first_row: 0, rows: 0, bytes: (0, 0), first_line: 1 };
                (Kind::Stored, vec![part], Vec::new())
            }
            Layout::Csv => {
                let names = csv::names(path)?;
                let kind = Kind::Csv { width: names.len() };
                let column = |(at, name)| Wanted { at, name, declared: None };
                let columns: Vec<Wanted> = names.into_iter().enumerate().map(column).collect();
                (kind, csv::parts(path, CSV_ROWS)?, columns)
            }
        };
        let names: Vec<String> = columns.iter().map(|column: &Wanted| column.name.clone()).collect();
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("there are two columns `{}`", twice[0]);
            return Err(
                TableError::NotATable { file: path.display().to_string(), format: "table", message }.into()
            );
        }
        if let Some(wanted) = wanted {
            columns.retain(|column| wanted.contains(&column.name));
        }
        Ok(Opened { source: Self { path: path.to_path_buf(), kind, columns }, parts, names })
    }

    fn read(&self, part: &Part) -> Result<Profile, ProfileError> {
        let columns = match &self.kind {
            Kind::Parquet { file, batch_rows } => {
                self.read_batches(part, |places| file.read(part, Some(places), *batch_rows))?
            }
            Kind::Arrow(file) => self.read_batches(part, |places| file.read(Some(places)))?,
            Kind::Csv { width } => self.read_csv(*width, part)?,
            Kind::Stored => return Profile::load(&self.path),
        };
        // Each file is counted once, with its first part.
        let is_first = part.first_row == 0;
        let sources = if is_first { vec![self.path.display().to_string()] } else { Vec::new() };
        Ok(Profile { rows: part.rows, files: u64::from(is_first), sources, columns })
    }

    /// Takes in the batches of a part, of which `open` reads the columns at the places it is given.
    fn read_batches<Batches>(
        &self,
        part: &Part,
        open: impl FnOnce(&[usize]) -> Result<Batches, TableError>,
    ) -> Result<Vec<Column>, ProfileError>
    where
        Batches: Iterator<Item = Result<RecordBatch, ArrowError>>,
    {
        let broken = |row: u64, message: String| TableError::Broken {
            file: self.path.display().to_string(),
            row: row + 1,
            message,
        };
        let mut columns: Vec<Column> = self.columns.iter().map(Wanted::column).collect();
        if part.rows == 0 || columns.is_empty() {
            return Ok(columns);
        }
        let places: Vec<usize> = self.columns.iter().map(|column| column.at).collect();
        let mut row = part.first_row;
        for batch in open(&places)? {
            let batch = batch.map_err(|error| broken(row, error.to_string()))?;
            for (column, array) in columns.iter_mut().zip(batch.columns()) {
                let added = column.add_array(array);
                added.map_err(|error| broken(row, format!("column `{}`: {error}", column.name)))?;
            }
            row += batch.num_rows() as u64;
        }
        if row == part.first_row + part.rows {
            return Ok(columns);
        }
        let rows = part.rows;
        Err(broken(
            row,
            format!("it ends there, {rows} rows were to come from row {} on", part.first_row + 1),
        )
        .into())
    }

    fn read_csv(&self, width: usize, part: &Part) -> Result<Vec<Column>, ProfileError> {
        let wrong = |record: u64, reason: String| ProfileError::Row {
            file: self.path.display().to_string(),
            line: csv::line_of(&self.path, part, record).unwrap_or(part.first_line),
            reason,
        };
        let mut reader = csv::read(&self.path, part)?;
        let mut columns: Vec<Fields> =
            self.columns.iter().map(|wanted| Fields::new(wanted.column())).collect();
        let mut record = ::csv::ByteRecord::new();
        for at in 0..part.rows {
            let found = reader.read_byte_record(&mut record);
            if !found.map_err(|error| wrong(at, error.to_string()))? {
                return Err(wrong(at, "the file became shorter while it was read".to_owned()));
            }
            if record.len() != width {
                return Err(wrong(at, csv::unequal(record.len(), width)));
            }
            for (wanted, column) in self.columns.iter().zip(&mut columns) {
                let field = std::str::from_utf8(record.get(wanted.at).unwrap_or_default());
                column.add(field.map_err(|_| wrong(at, "not UTF-8; convert the file to UTF-8".to_owned()))?);
            }
        }
        Ok(columns.into_iter().map(Fields::finish).collect())
    }
}

impl Wanted {
    /// The column without rows.
    fn column(&self) -> Column {
        let mut column = Column::new(&self.name);
        if let Some(declared) = &self.declared {
            column.declare(declared);
        }
        column
    }
}
