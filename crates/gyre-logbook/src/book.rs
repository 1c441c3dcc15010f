//! The database: which columns there are, and how the log gets into it.

use std::collections::{BTreeMap, HashMap};

use gyre_core::record::{Label, Route, Value};
use gyre_core::time::Period;
use gyre_core::{Timestamp, Version};
use gyre_gateway::{LogView, Row};
use rusqlite::types::{ToSqlOutput, Value as Cell};
use rusqlite::{Connection, ToSql};
use tempfile::TempDir;

use crate::error::BookError;

/// The classes of versions, in the order of their scores.
pub type Classes = BTreeMap<Version, Vec<String>>;

/// Columns that every prediction has.
pub(crate) const FIXED: [&str; 6] = ["id", "time", "version", "route", "prediction", "latency_us"];
/// Columns of a table that SQLite allows.
const WIDEST: usize = 2_000;
/// The most columns that are listed to people.
const LISTED: usize = 40;
/// Memory for pages, in KiB; the rest lies in the file.
const CACHE_KIB: i64 = 65_536;

/// A log in a database of its own.
pub struct Book {
    pub(crate) connection: Connection,
    /// The columns of `predictions`, in order.
    pub(crate) columns: Vec<Column>,
    pub(crate) label_is_text: bool,
    /// Predictions in it.
    pub predictions: u64,
    /// Labels in it.
    pub labels: u64,
    /// Removed when this is dropped, after the connection.
    _folder: TempDir,
}

/// A column of `predictions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Whether any of its values is text.
    pub(crate) text: bool,
}

/// What columns there are, before anything is filled in.
#[derive(Debug, Default)]
struct Layout {
    names: Vec<String>,
    /// Columns of features by their names.
    features: HashMap<String, usize>,
    /// For each version the columns of its scores.
    scores: HashMap<Version, Vec<usize>>,
}

impl Layout {
    fn new() -> Self {
        Self { names: FIXED.iter().map(|name| (*name).to_owned()).collect(), ..Self::default() }
    }

    /// A new column; SQLite takes names for equal that differ in case only.
    fn add(&mut self, name: &str, prefix: &str) -> usize {
        let mut free = name.to_owned();
        while self.names.iter().any(|known| known.eq_ignore_ascii_case(&free)) {
            free = format!("{prefix}{free}");
        }
        self.names.push(free);
        self.names.len() - 1
    }

    /// Learns of a row's columns.
    fn meet(&mut self, row: &Row<'_>) {
        for (name, _) in row.features() {
            if !self.features.contains_key(name) {
                let column = self.add(name, "feature:");
                self.features.insert(name.to_owned(), column);
            }
        }
    }

    /// Columns of scores, after all features are there: one for each class of any version.
    fn meet_scores(&mut self, widths: &BTreeMap<Version, usize>, classes: &Classes) {
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for (version, width) in widths {
            let named = classes.get(version).filter(|classes| classes.len() == *width);
            let mut columns = Vec::with_capacity(*width);
            for at in 0..*width {
                let name = match named.and_then(|classes| classes.get(at)) {
                    Some(class) => format!("probability_{class}"),
                    // A version that is not in the registry: its classes are not known.
                    None => format!("score_{at}"),
                };
                let known = by_name.get(&name).copied();
                let column = known.unwrap_or_else(|| self.add(&name, "score:"));
                by_name.insert(name, column);
                columns.push(column);
            }
            self.scores.insert(*version, columns);
        }
    }
}

impl Book {
    /// Fills a database with the predictions of `period` and the labels that count for them.
    ///
    /// # Errors
    /// [`BookError`]: the log cannot be read, there is no room, there are too many columns.
    pub fn fill(view: &LogView, period: Period, classes: &Classes) -> Result<Self, BookError> {
        let folder = tempfile::Builder::new().prefix("gyre-log-").tempdir().map_err(BookError::NoFile)?;
        let mut connection = Connection::open(folder.path().join("book.db"))?;
        // It is thrown away: nothing of it needs to survive anything.
        connection.pragma_update(None, "journal_mode", "OFF")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let layout = layout(view, period, classes)?;
        if layout.names.len() > WIDEST {
            return Err(BookError::TooWide { found: layout.names.len(), limit: WIDEST });
        }
        let columns: String = layout.names.iter().skip(1).map(|name| format!(", {}", quoted(name))).collect();
        connection.execute_batch(&format!(
            "CREATE TABLE predictions (id TEXT PRIMARY KEY{columns});
             CREATE TABLE labels (id TEXT PRIMARY KEY, time TEXT, label) WITHOUT ROWID;"
        ))?;
        let filling = connection.transaction()?;
        let (text, predictions) = fill_predictions(&filling, view, period, &layout)?;
        let (label_is_text, labels) = fill_labels(&filling, view, period)?;
        filling.commit()?;
        connection.execute_batch("CREATE INDEX predictions_time ON predictions (time);")?;
        connection.pragma_update(None, "query_only", "ON")?;
        let columns = layout.names.into_iter().zip(text).map(|(name, text)| Column { name, text }).collect();
        Ok(Self { connection, columns, label_is_text, predictions, labels, _folder: folder })
    }

    /// The tables and their columns, for whoever got one wrong.
    pub fn describe(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().take(LISTED).map(|column| quoted(&column.name)).collect();
        let more = if self.columns.len() > LISTED { ", …" } else { "" };
        format!("predictions has {}{more}; labels has id, time, label", columns.join(", "))
    }
}

fn layout(view: &LogView, period: Period, classes: &Classes) -> Result<Layout, BookError> {
    let mut layout = Layout::new();
    let mut widths: BTreeMap<Version, usize> = BTreeMap::new();
    view.predictions(period, |row| {
        layout.meet(row);
        let width = widths.entry(row.version()).or_default();
        if *width == 0 {
            *width = row.scores().len();
        }
        Ok::<(), BookError>(())
    })?;
    layout.meet_scores(&widths, classes);
    Ok(layout)
}

/// Which columns hold text, and how many predictions there are.
fn fill_predictions(
    connection: &Connection,
    view: &LogView,
    period: Period,
    layout: &Layout,
) -> Result<(Vec<bool>, u64), BookError> {
    let places: Vec<&str> = layout.names.iter().map(|_| "?").collect();
    let sql = format!("INSERT OR IGNORE INTO predictions VALUES ({})", places.join(", "));
    let mut insert = connection.prepare(&sql)?;
    let mut cells: Vec<Cell> = vec![Cell::Null; layout.names.len()];
    let mut text = vec![false; layout.names.len()];
    let mut predictions = 0;
    view.predictions(period, |row| {
        cells.fill(Cell::Null);
        let output = row.output();
        let fixed = [
            Cell::Text(row.id().to_owned()),
            Cell::Text(moment(row.time())),
            Cell::Integer(row.version().into()),
            Cell::Text(route(row.route()).to_owned()),
            cell(&output),
            Cell::Integer(row.latency_us().into()),
        ];
        cells.iter_mut().zip(fixed).for_each(|(cell, value)| *cell = value);
        for (name, value) in row.features() {
            if let Some(at) = layout.features.get(name)
                && let Some(slot) = cells.get_mut(*at)
            {
                *slot = cell(&value);
            }
        }
        for (at, score) in layout.scores.get(&row.version()).into_iter().flatten().zip(row.scores()) {
            if let Some(slot) = cells.get_mut(*at) {
                *slot = Cell::Real(score);
            }
        }
        for (text, cell) in text.iter_mut().zip(&cells) {
            *text |= matches!(cell, Cell::Text(_));
        }
        predictions += insert.execute(rusqlite::params_from_iter(&cells))? as u64;
        Ok::<(), BookError>(())
    })?;
    Ok((text, predictions))
}

/// Whether any label is text, and how many there are.
fn fill_labels(connection: &Connection, view: &LogView, period: Period) -> Result<(bool, u64), BookError> {
    let mut insert = connection.prepare("INSERT OR REPLACE INTO labels VALUES (?, ?, ?)")?;
    let mut text = false;
    view.labels(|label: &Label| {
        // Nothing comes true before it is predicted.
        if label.time >= period.from {
            text |= matches!(label.value, Value::Text(_));
            insert.execute((&*label.id, moment(label.time), Stored(&label.value)))?;
        }
        Ok::<(), BookError>(())
    })?;
    let labels: i64 = connection.query_row("SELECT count(*) FROM labels", (), |row| row.get(0))?;
    Ok((text, labels.unsigned_abs()))
}

struct Stored<'a>(&'a Value);

impl ToSql for Stored<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(cell(self.0)))
    }
}

/// Booleans are 0 and 1, as SQLite has them.
fn cell(value: &Value) -> Cell {
    match value {
        Value::Missing => Cell::Null,
        Value::Bool(truth) => Cell::Integer(i64::from(*truth)),
        Value::Number(number) => Cell::Real(*number),
        Value::Text(text) => Cell::Text(text.to_string()),
    }
}

/// A moment as text that sorts as time does: always with three digits of milliseconds.
fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    let seconds = text.trim_end_matches('Z');
    match seconds.split_once('.') {
        Some((whole, fraction)) => format!("{whole}.{fraction:0<3}Z"),
        None => format!("{seconds}.000Z"),
    }
}

fn route(route: Route) -> &'static str {
    match route {
        Route::Champion => "champion",
        Route::Candidate => "candidate",
        Route::Pinned => "pinned",
        Route::Rule => "rule",
    }
}

/// A name as SQL takes it, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
