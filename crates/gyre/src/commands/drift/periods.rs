//! Two periods of an inference log as two tables: each is written to a file of its own, and the files are compared.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use gyre_core::time::Period;
use gyre_core::{Diagnostic, ModelName, Span, Timestamp};
use gyre_data::table::Table;
use gyre_logbook::export::Form;
use tempfile::TempDir;

use crate::cli::ProjectArgs;
use crate::commands::log;
use crate::failure::Failure;

/// Columns of a log that say nothing of the rows' distribution.
const NOT_COMPARED: [&str; 6] = ["id", "time", "version", "route", "latency_us", "label_time"];

/// A period of a log, as it was named.
#[derive(Debug, Clone)]
pub(super) struct Named {
    text: String,
    span: Wanted,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Between(Period),
    /// From then on, to the last prediction.
    Since(Timestamp),
    Last(Span),
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no period; expected FROM..TO with FROM before TO, such as 2013-01-01..2013-02-01, FROM.. for all since, or last:7d"
            )
        };
        let span = match (text.strip_prefix("last:"), text.split_once("..")) {
            (Some(span), _) => Wanted::Last(span.parse().map_err(|_| wrong())?),
            (None, Some((from, to))) => {
                let moment = |text: &str| text.parse::<Timestamp>().map_err(|_| wrong());
                if to.is_empty() {
                    return Ok(Self { text: text.to_owned(), span: Wanted::Since(moment(from)?) });
                }
                Wanted::Between(Period { from: moment(from)?, to: moment(to)? })
            }
            (None, None) => return Err(wrong()),
        };
        let is_empty = match span {
            Wanted::Between(period) => period.from >= period.to,
            Wanted::Since(_) => false,
            Wanted::Last(span) => span.as_millis() <= 0,
        };
        if is_empty { Err(wrong()) } else { Ok(Self { text: text.to_owned(), span }) }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Two periods as files, which are gone when this is dropped.
pub(super) struct Exported {
    pub(super) before: PathBuf,
    pub(super) after: PathBuf,
    _folder: TempDir,
}

/// Writes the predictions of both periods with their features and labels.
pub(super) fn export(
    project: &ProjectArgs,
    model: &ModelName,
    periods: [&Named; 2],
) -> Result<Exported, Failure> {
    let opened = log::open(project, model)?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str, named: &Named| -> Result<PathBuf, Failure> {
        let end = || -> Result<Timestamp, Failure> {
            let last = opened.1.last(1)?.last().map_or(Timestamp::default(), |row| row.time);
            Ok(last + Span::from_millis(1))
        };
        let period = match named.span {
            Wanted::Between(period) => period,
            Wanted::Since(from) => Period { from, to: end()?.max(from) },
            Wanted::Last(span) => {
                let to = end()?;
                Period { from: to - span, to }
            }
        };
        let path = folder.path().join(name);
        let rows = log::fill(&opened, model, period)?.export(&path, Form::Parquet)?;
        if rows > 0 {
            return Ok(path);
        }
        let told = format!("the log of {model} has no prediction in {named}");
        Err(Failure::Input(vec![Diagnostic::new(named.to_string(), told)]))
    };
    let (before, after) = (file("before.parquet", periods[0])?, file("after.parquet", periods[1])?);
    Ok(Exported { before, after, _folder: folder })
}

impl Exported {
    /// The columns to compare: those wanted, or all that say something of the rows.
    pub(super) fn columns(&self, wanted: Option<&[String]>) -> Result<Vec<String>, Failure> {
        if let Some(wanted) = wanted {
            return Ok(wanted.to_vec());
        }
        let names = |path: &Path| -> Result<Vec<String>, Failure> {
            Ok(Table::open(path)?.columns().into_iter().map(|column| column.name).collect())
        };
        let mut columns = names(&self.before)?;
        let more: Vec<String> =
            names(&self.after)?.into_iter().filter(|name| !columns.contains(name)).collect();
        columns.extend(more);
        columns.retain(|name| !NOT_COMPARED.contains(&name.as_str()));
        Ok(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_with_an_end_or_without() {
        for text in ["2013-01-01..2013-02-01", "2013-03-01..", "2013-01-01T06:00:00Z..2013-01-02", "last:7d"]
        {
            assert_eq!(text.parse::<Named>().unwrap().to_string(), text);
        }
        for text in ["2013-01-01", "2013-02-01..2013-01-01", "..2013-01-01", "..", "last:-1d", "last:"] {
            assert!(text.parse::<Named>().unwrap_err().contains("FROM.. for all since"), "{text}");
        }
    }
}
