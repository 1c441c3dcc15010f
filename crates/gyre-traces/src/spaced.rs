//! JSON as Python's `json` module writes it: a space after each comma and colon.
//!
//! What MLflow's clients store as text (the attributes of a span, previews, usage) was written so, and filters such as
//! `span.content LIKE '%"temperature": 0.5%'` are written with that in mind.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// `value` as text.
pub fn dump(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    // Nothing that is written here has keys that are no text, and a vector takes all bytes.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut text, Spaced));
    String::from_utf8(text).unwrap_or_default()
}

/// `value` as text with the keys of every object sorted, so that equal values have equal texts.
pub fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(object) => {
                let mut pairs: Vec<_> = object.iter().collect();
                pairs.sort_by(|a, b| a.0.cmp(b.0));
                Value::Object(pairs.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
            }
            Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    dump(&sorted(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_python_writes_it() {
        let value = json!({"b": [1, 2.5, null], "a": {"x": "\u{fc}\"\n"}, "e": {}, "l": []});
        assert_eq!(
            dump(&value),
            "{\"b\": [1, 2.5, null], \"a\": {\"x\": \"\u{fc}\\\"\\n\"}, \"e\": {}, \"l\": []}"
        );
        assert_eq!(canonical(&json!({"b": {"d": 1, "c": 2}, "a": 0})), r#"{"a": 0, "b": {"c": 2, "d": 1}}"#);
    }
}
