//! The answer of a PostgreSQL as batches of labels.
//!
//! The query is asked as a table of another: ids come as text, labels as JSON, times as milliseconds, so that whatever types
//! the columns have is the database's affair. The answer is streamed, in a transaction that reads only.

use std::time::Duration;

use gyre_core::Timestamp;
use gyre_core::record::{Label, Value};
use gyre_core::spec::SINCE;
use gyre_gateway::Brought;
use gyre_store::{StoreUrl, postgres_reader};
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;

use crate::LabelsError;
use crate::file::{Columns, Part, checked, wrong};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Labels that are brought at a time.
const PART: usize = 8_192;
/// What errors call the place of a row.
const PLACE: &str = "the query's answer";

/// The statement that is asked.
pub(crate) fn statement(query: &str, columns: &Columns) -> String {
    let name = |column: &str| format!("q.\"{}\"", column.replace('"', "\"\""));
    let query = query.trim().trim_end_matches(';').replace(SINCE, "to_timestamp($1::float8)");
    let time = columns.time.as_deref().map_or_else(|| "NULL".to_owned(), name);
    format!(
        "SELECT {}::text, to_jsonb({})::text, (extract(epoch FROM {time}) * 1000)::float8 FROM ({query}\n) AS q",
        name(&columns.id),
        name(&columns.label),
    )
}

/// Asks for what is newer than `since`, and hands it over part by part.
pub(crate) fn read(
    url: &str,
    query: &str,
    columns: &Columns,
    since: Option<Timestamp>,
    mut take: impl FnMut(Part) -> Result<(), LabelsError>,
) -> Result<(), LabelsError> {
    let mut client = postgres_reader(&StoreUrl::from(url), PATIENCE)?;
    let mut transaction = client.build_transaction().read_only(true).start().map_err(told)?;
    let since = since.map_or(f64::NEG_INFINITY, |since| since.as_millis() as f64 / 1_000.0);
    let parameters: [&(dyn ToSql + Sync); 1] = [&since];
    let statement = statement(query, columns);
    let asked = transaction.query_raw(statement.as_str(), parameters);
    let mut rows = asked.map_err(told)?;
    let (mut part, mut row) = (Part::default(), 0);
    while let Some(found) = rows.next().map_err(told)? {
        row += 1;
        let id: Option<String> = found.try_get(0).map_err(told)?;
        let label: Option<String> = found.try_get(1).map_err(told)?;
        let time: Option<f64> = found.try_get(2).map_err(told)?;
        part.rows += 1;
        match checked(PLACE, row, id.map(Into::into), value(row, label.as_deref())?)? {
            None => part.unlabelled += 1,
            Some((id, value)) => {
                let time = time.filter(|time| time.is_finite()).ok_or_else(|| {
                    wrong(
                        PLACE,
                        row,
                        format!("the label of `{id}` has no time"),
                        "a time in each row that has a label",
                    )
                })?;
                let time = Timestamp::from_millis(time.round() as i64);
                part.labels.push(Brought { label: Label { id, time, value }, timed: true });
            }
        }
        if part.labels.len() >= PART {
            take(std::mem::take(&mut part))?;
        }
    }
    take(part)
}

/// A label as PostgreSQL writes it in JSON.
fn value(row: u64, json: Option<&str>) -> Result<Value, LabelsError> {
    let Some(json) = json else { return Ok(Value::Missing) };
    serde_json::from_str(json).map_err(|_| {
        let found: String = json.chars().take(60).collect();
        wrong(PLACE, row, format!("the label {found}"), "a number, text, true or false")
    })
}

/// What the database says, without the address.
fn told(error: postgres::Error) -> LabelsError {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    LabelsError::Database(cause.unwrap_or_else(|| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_asked_as_a_table_of_another() {
        let columns = Columns { id: "id".into(), label: "a\"b".into(), time: Some("at".into()) };
        let asked = statement(" SELECT * FROM t WHERE at > $since; ", &columns);
        assert_eq!(
            asked,
            "SELECT q.\"id\"::text, to_jsonb(q.\"a\"\"b\")::text, (extract(epoch FROM q.\"at\") * 1000)::float8 FROM \
             (SELECT * FROM t WHERE at > to_timestamp($1::float8)\n) AS q"
        );
    }

    #[test]
    fn labels_are_what_json_says() {
        let read = |json: &str| value(1, Some(json)).unwrap();
        assert_eq!(read("1.50"), Value::Number(1.5));
        assert_eq!((read("true"), read("\"late\"")), (Value::Bool(true), Value::Text("late".into())));
        assert_eq!((read("null"), value(1, None).unwrap()), (Value::Missing, Value::Missing));
        assert!(value(3, Some("[1]")).unwrap_err().to_string().contains("row 3: the label [1]"));
    }
}
