//! YAML as DVC reads and writes it, so that a file that both tools rewrite does not change back and forth in Git.
//!
//! Reading is YAML 1.2: `n`, `yes` and `on` are text. Writing is block style, two spaces, lists not indented under
//! their key, no line for `null`, quotes only where a reader would otherwise see something else than text, plain
//! text folded at 80 columns.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// After this column, a plain scalar goes on in the next line.
const WIDTH: usize = 80;

/// Reads a YAML document. Errors carry line and column, and no excerpt of the text.
///
/// # Errors
/// When the text is no YAML, or not of the shape of `T`.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options)
}

/// `value` as a YAML document.
pub fn to_string(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut text, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(&mut text, items, 0),
        scalar => {
            write_scalar(&mut text, scalar, 0);
            text.push('\n');
        }
    }
    text
}

fn write_map(text: &mut String, map: &Map<String, Value>, indent: usize) {
    for (position, (key, value)) in map.iter().enumerate() {
        // The first key of a map in a list stands behind the dash.
        if position > 0 || at_line_start(text) {
            pad(text, indent);
        }
        text.push_str(&quoted(key));
        text.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                write_map(text, inner, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                write_list(text, items, indent);
            }
            Value::Null => text.push('\n'),
            scalar => {
                text.push(' ');
                write_scalar(text, scalar, indent + 2);
                text.push('\n');
            }
        }
    }
}

fn write_list(text: &mut String, items: &[Value], indent: usize) {
    for (position, item) in items.iter().enumerate() {
        if position > 0 || at_line_start(text) {
            pad(text, indent);
        }
        text.push('-');
        match item {
            Value::Object(inner) if !inner.is_empty() => {
                text.push(' ');
                write_map(text, inner, indent + 2);
            }
            Value::Array(inner) if !inner.is_empty() => {
                text.push(' ');
                write_list(text, inner, indent + 2);
            }
            // With the space that DVC's writer leaves there.
            Value::Null => text.push_str(" \n"),
            scalar => {
                text.push(' ');
                write_scalar(text, scalar, indent + 2);
                text.push('\n');
            }
        }
    }
}

fn write_scalar(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(string) => {
            let shown = quoted(string);
            // Only plain scalars are folded; quoted ones stay in one line, which every reader takes as well.
            if shown == *string { fold(text, string, indent) } else { text.push_str(&shown) }
        }
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => text.push_str(&python_float(float)),
            None => text.push_str(&number.to_string()),
        },
        Value::Object(_) => text.push_str("{}"),
        Value::Array(_) => text.push_str("[]"),
        other => text.push_str(&other.to_string()),
    }
}

/// A float as Python writes it: `0.1`, `2.0`, `1e-05`, `1e+16`.
fn python_float(float: f64) -> String {
    let plain = (1e-4..1e16).contains(&float.abs()) || float == 0.0;
    if plain {
        return format!("{float:?}");
    }
    let text = format!("{float:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(rest) => ('-', rest),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}

/// Breaks at a single space when the next word would pass the width. Where there is room for it, the space stays at
/// the end of the line, as in DVC's writer; readers do not see it.
fn fold(text: &mut String, string: &str, indent: usize) {
    let start = text.rfind('\n').map_or(0, |newline| newline + 1);
    let mut column = text.get(start..).map_or(0, |line| line.chars().count());
    for (position, word) in string.split(' ').enumerate() {
        let length = word.chars().count();
        if position > 0 {
            let breaks = column + 1 + length > WIDTH && !word.is_empty() && !text.ends_with(' ');
            if breaks {
                text.push_str(if column < WIDTH { " \n" } else { "\n" });
                pad(text, indent);
                column = indent;
            } else {
                text.push(' ');
                column += 1;
            }
        }
        text.push_str(word);
        column += length;
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn at_line_start(text: &str) -> bool {
    text.is_empty() || text.ends_with('\n')
}

/// `text` as a YAML scalar that reads back as this text.
fn quoted(text: &str) -> String {
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')) {
        return Value::String(text.to_owned()).to_string();
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let indicator = "-?:,[]{}#&*!|>'\"%@`=".contains(first);
    let structure = text.contains(": ") || text.contains(" #") || text.ends_with(':');
    let space = text.starts_with(' ') || text.ends_with(' ');
    !(indicator || structure || space || text == "<<" || is_word(text) || is_number(text) || is_moment(text))
}

fn is_word(text: &str) -> bool {
    let words = ["~", "null", "true", "false"];
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = ["0x", "0o", "0b"].iter().any(|prefix| digits.starts_with(prefix));
    if radix || digits.eq_ignore_ascii_case(".inf") || digits.eq_ignore_ascii_case(".nan") {
        return true;
    }
    let opens_well = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    opens_well && digits.replace('_', "").parse::<f64>().is_ok()
}

fn is_moment(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 8
        && bytes.iter().take(4).all(u8::is_ascii_digit)
        && bytes.get(4) == Some(&b'-')
        && bytes.iter().all(|b| b.is_ascii_digit() || b"-:.+TtZz ".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_layout_is_the_one_that_dvc_writes() {
        let lock = json!({
            "schema": "2.0",
            "stages": {"a": {
                "cmd": ["cat a", "echo \"{}\" > m.json"],
                "params": {"params.yaml": {"lr": 1e-5, "t": {"n": 3, "x": [1, 2.0, "a", "2013-02-01"], "z": null}}},
                "outs": [{"path": "a b: c#.csv", "hash": "md5", "size": 3, "isexec": true}],
            }},
        });
        let expected = "\
schema: '2.0'
stages:
  a:
    cmd:
    - cat a
    - echo \"{}\" > m.json
    params:
      params.yaml:
        lr: 1e-05
        t:
          n: 3
          x:
          - 1
          - 2.0
          - a
          - '2013-02-01'
          z:
    outs:
    - path: 'a b: c#.csv'
      hash: md5
      size: 3
      isexec: true
";
        assert_eq!(to_string(&lock), expected);
    }

    #[test]
    fn text_reads_back_as_the_same_text() {
        let hard = [
            "",
            " a",
            "a ",
            "null",
            "True",
            "no",
            "1",
            "1e5",
            "0x1f",
            ".5",
            "12:30",
            "1_000",
            "2013-01-01",
            "- a",
            "a: b",
            "a #b",
            "#",
            "'",
            "\"",
            "it's",
            "a\nb",
            "\t",
            "&x",
            "*x",
            "!x",
            "%x",
            "@x",
            "`x`",
            "[x",
            "{x}",
            "<<",
            "=",
            "---",
            "é",
            "764e1234567890123456789012345678",
            "1234567890123456789012345678e123",
            "key:",
            "a\\b",
            "a  b",
            "🦀",
            "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen  seventeen",
        ];
        for text in hard {
            let yaml = to_string(&json!({"k": [text], text: {"n": text}}));
            let read: Value = from_str(&yaml).unwrap_or_else(|e| panic!("{text:?} {yaml}: {e}"));
            assert_eq!(read, json!({"k": [text], text: {"n": text}}), "{yaml}");
        }
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (float, text) in
            [(0.1, "0.1"), (2.0, "2.0"), (1e-5, "1e-05"), (1e16, "1e+16"), (1.5e-7, "1.5e-07"), (0.0, "0.0")]
        {
            assert_eq!(python_float(float), text);
        }
    }
}
