//! One statement that reads, and its rows.

use gyre_core::Value;
use rusqlite::types::ValueRef;

use crate::book::Book;
use crate::error::BookError;

impl Book {
    /// Runs `sql`, gives `each` the names of its columns and a row, row by row, and returns the names.
    ///
    /// # Errors
    /// [`BookError::NotARead`], [`BookError::Statement`]; what `each` says.
    pub fn query(
        &self,
        sql: &str,
        mut each: impl FnMut(&[String], Vec<Value>) -> Result<(), BookError>,
    ) -> Result<Vec<String>, BookError> {
        reads(sql)?;
        let mut statement = match self.connection.prepare(sql) {
            Ok(statement) => statement,
            Err(rusqlite::Error::MultipleStatement) => {
                return Err(BookError::NotARead { found: "there is more than one statement".to_owned() });
            }
            Err(error) => return Err(wrong(&error)),
        };
        if !statement.readonly() || statement.column_count() == 0 {
            return Err(BookError::NotARead { found: "the statement does more than read".to_owned() });
        }
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let width = statement.column_count();
        let mut rows = statement.query(()).map_err(|error| wrong(&error))?;
        while let Some(row) = rows.next().map_err(|error| wrong(&error))? {
            let cell = |column| row.get_ref(column).map(value).map_err(|error| wrong(&error));
            each(&names, (0..width).map(cell).collect::<Result<_, _>>()?)?;
        }
        Ok(names)
    }
}

/// Whether a statement begins as those that read do. SQLite says of itself which of them write; but ATTACH, which opens
/// files, counts as reading to it.
fn reads(sql: &str) -> Result<(), BookError> {
    let mut rest = sql.trim_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, after)| after)
        } else {
            break;
        };
        rest = after.trim_start();
    }
    let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    match word.to_ascii_uppercase().as_str() {
        "SELECT" | "WITH" | "VALUES" | "EXPLAIN" => Ok(()),
        "" => Err(BookError::NotARead { found: "there is no statement".to_owned() }),
        _ => Err(BookError::NotARead { found: format!("found `{word} …`") }),
    }
}

fn wrong(error: &rusqlite::Error) -> BookError {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => BookError::Statement(msg.clone()),
        rusqlite::Error::SqliteFailure(_, Some(message)) => BookError::Statement(message.clone()),
        other => BookError::Statement(other.to_string()),
    }
}

fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Null => Value::Missing,
        // Exact up to 2^53, as everywhere in gyre; beyond, a sum or a hash is told as text.
        ValueRef::Integer(number) if number.unsigned_abs() <= 1 << 53 => Value::Number(number as f64),
        ValueRef::Integer(number) => Value::Text(number.to_string().into()),
        ValueRef::Real(number) => Value::Number(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).as_ref().into()),
        ValueRef::Blob(bytes) => Value::Text(format!("{} bytes", bytes.len()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_that_read_begin_well() {
        for good in
            ["SELECT 1", "  with a as (select 1) select * from a", "-- why\n/* x */ select 1", "VALUES (1)"]
        {
            assert!(reads(good).is_ok(), "{good}");
        }
        for bad in
            ["", "-- only", "ATTACH 'x' AS y", "DELETE FROM labels", "/* open", "PRAGMA query_only = 0"]
        {
            assert!(reads(bad).is_err(), "{bad}");
        }
    }
}
