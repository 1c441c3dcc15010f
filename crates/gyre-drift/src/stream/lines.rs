//! Lines to values: bare numbers, JSON objects, or a table with a header, whichever the first line is.

use serde_json::Value;

/// How the lines of a stream hold its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lines {
    /// A number a line.
    Numbers,
    /// A JSON object a line.
    Objects {
        /// The member that is watched.
        column: String,
        /// The member that says when.
        time: Option<String>,
    },
    /// Cells separated by commas.
    Cells {
        /// Which cell is watched.
        column: usize,
        /// Which cell says when.
        time: Option<usize>,
    },
}

/// A value of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// NaN where it is missing.
    pub value: f64,
    /// When it was, in the stream's own words.
    pub time: Option<String>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It holds another thing than a number.
    #[error("`{0}` is not a number")]
    NotANumber(String),
    /// It is no JSON object.
    #[error("`{0}` is not a JSON object, as the first line was")]
    NotAnObject(String),
    /// It has fewer cells than the header.
    #[error("it has {found} cells, and the value is in cell {wanted}")]
    Short {
        /// Its cells.
        found: usize,
        /// The one that is watched, counted from 1.
        wanted: usize,
    },
    /// It is a table or an object, and nobody said which column is meant.
    #[error("which of its values is meant? name one of {0}")]
    WhichColumn(String),
    /// It has no such column.
    #[error("there is no column `{column}` in {known}")]
    NoColumn {
        /// What was asked for.
        column: String,
        /// What there is.
        known: String,
    },
}

/// The most characters of a line that are told again.
const TOLD: usize = 60;

impl Lines {
    /// How the lines of a stream that begins with `first` hold the values of `column`, and whether that line is a header alone.
    ///
    /// # Errors
    /// [`LineError`] when there is no such column, or none was named where there are several.
    pub fn of(first: &str, column: Option<&str>, time: Option<&str>) -> Result<(Self, bool), LineError> {
        if let Ok(Value::Object(object)) = serde_json::from_str::<Value>(first) {
            let known = || object.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let column = column.ok_or_else(|| LineError::WhichColumn(known()))?.to_owned();
            // Members may be absent from an object, but hardly from the first.
            for name in [Some(column.as_str()), time].into_iter().flatten() {
                if !object.contains_key(name) {
                    return Err(LineError::NoColumn { column: name.to_owned(), known: known() });
                }
            }
            return Ok((Self::Objects { column, time: time.map(str::to_owned) }, false));
        }
        let header = cells(first);
        if column.is_none() && time.is_none() && header.len() == 1 && number(first).is_ok() {
            return Ok((Self::Numbers, false));
        }
        let place = |name: &str| {
            let known = || header.join(", ");
            let found = header.iter().position(|cell| cell == name);
            found.ok_or_else(|| LineError::NoColumn { column: name.to_owned(), known: known() })
        };
        let column = match (column, header.len()) {
            (Some(name), _) => place(name)?,
            (None, 1) => 0,
            (None, _) => return Err(LineError::WhichColumn(header.join(", "))),
        };
        Ok((Self::Cells { column, time: time.map(place).transpose()? }, true))
    }

    /// The value in a line.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn read(&self, line: &str) -> Result<Sample, LineError> {
        match self {
            Self::Numbers => Ok(Sample { value: number(line)?, time: None }),
            Self::Objects { column, time } => {
                let Ok(Value::Object(object)) = serde_json::from_str::<Value>(line) else {
                    return Err(LineError::NotAnObject(told(line)));
                };
                let value = match object.get(column) {
                    None | Some(Value::Null) => f64::NAN,
                    Some(Value::Bool(truth)) => f64::from(u8::from(*truth)),
                    Some(Value::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
                    Some(Value::String(text)) => number(text)?,
                    Some(other) => return Err(LineError::NotANumber(told(&other.to_string()))),
                };
                let time = time.as_ref().and_then(|name| object.get(name));
                let words = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Ok(Sample { value, time: time.map(words) })
            }
            Self::Cells { column, time } => {
                let cells = cells(line);
                let Some(cell) = cells.get(*column) else {
                    return Err(LineError::Short { found: cells.len(), wanted: column + 1 });
                };
                let time = time.and_then(|at| cells.get(at)).cloned();
                Ok(Sample { value: number(cell)?, time })
            }
        }
    }
}

/// A number; truth counts as 1, nothing as missing.
fn number(text: &str) -> Result<f64, LineError> {
    match text.trim() {
        "" => Ok(f64::NAN),
        "true" | "True" => Ok(1.0),
        "false" | "False" => Ok(0.0),
        text => text.parse().map_err(|_| LineError::NotANumber(told(text))),
    }
}

/// The cells of a line; one that is no CSV is a single cell.
fn cells(line: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line.as_bytes());
    let record = reader.records().next().and_then(Result::ok);
    record.map_or_else(
        || vec![line.to_owned()],
        |record| record.iter().map(|cell| cell.trim().to_owned()).collect(),
    )
}

/// The beginning of a line; what would not be seen on a terminal, or would change it, is replaced.
fn told(text: &str) -> String {
    let shown = |it: char| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it };
    text.chars().take(TOLD).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(lines: &[&str], column: Option<&str>, time: Option<&str>) -> Vec<(f64, Option<String>)> {
        let (how, header) = Lines::of(lines[0], column, time).unwrap();
        let rows = lines.iter().skip(usize::from(header));
        rows.map(|line| how.read(line).map(|read| (read.value, read.time)).unwrap()).collect()
    }

    #[test]
    fn numbers_objects_and_tables_are_told_apart_by_their_first_line() {
        assert_eq!(values(&["0.5", " 2 ", "true"], None, None), [(0.5, None), (2.0, None), (1.0, None)]);
        let rows = ["{\"at\": \"mon\", \"loss\": 0.5}", "{\"loss\": true, \"at\": 7}"];
        let expected = [(0.5, Some("mon".to_owned())), (1.0, Some("7".to_owned()))];
        assert_eq!(values(&rows, Some("loss"), Some("at")), expected);
        let rows = ["at,loss", "\"mon, tue\",0.5", "tue,1"];
        let expected = [(0.5, Some("mon, tue".to_owned())), (1.0, Some("tue".to_owned()))];
        assert_eq!(values(&rows, Some("loss"), Some("at")), expected);
        assert_eq!(values(&["loss", "3"], None, None), [(3.0, None)]);
        let (objects, _) = Lines::of("{\"loss\": 1}", Some("loss"), None).unwrap();
        assert!(objects.read("{}").unwrap().value.is_nan());
        assert!(objects.read("{\"loss\": null}").unwrap().value.is_nan());
    }

    #[test]
    fn what_is_no_value_is_told_by_what_was_found() {
        let error =
            |first: &str, column: Option<&str>| Lines::of(first, column, None).unwrap_err().to_string();
        assert!(error("a,b", None).contains("name one of a, b"));
        assert!(error("{\"x\": 1, \"y\": 2}", None).contains("name one of x, y"));
        assert!(error("a,b", Some("c")).contains("no column `c` in a, b"));
        let (cells, _) = Lines::of("a,b", Some("b"), None).unwrap();
        assert_eq!(cells.read("1").unwrap_err(), LineError::Short { found: 1, wanted: 2 });
        assert_eq!(cells.read("1,x").unwrap_err().to_string(), "`x` is not a number");
        let (objects, _) = Lines::of("{\"a\": 1}", Some("a"), None).unwrap();
        assert_eq!(
            objects.read("5").unwrap_err().to_string(),
            "`5` is not a JSON object, as the first line was"
        );
        let (numbers, _) = Lines::of("1", None, None).unwrap();
        assert_eq!(
            numbers.read("\u{1b}[2J\u{7}").unwrap_err().to_string(),
            "`\u{fffd}[2J\u{fffd}` is not a number"
        );
        assert!(objects.read("{\"a\": [1]}").unwrap_err().to_string().contains("`[1]` is not a number"));
    }
}
