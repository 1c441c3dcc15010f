//! The words that Python writes into JSON and that JSON does not know.

/// What stands for a missing number.
pub const MISSING: &[&str] = &["NaN"];

/// What stands for a number that nobody can use.
pub const NOT_FINITE: &[&str] = &["NaN", "-Infinity", "Infinity"];

/// The JSON with `null` for each of `words` outside of texts; none when there are none.
pub fn nulled(json: &[u8], words: &[&str]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(json.len() + json.len() / 4);
    let (mut rest, mut in_text, mut found) = (json, false, false);
    while let Some((&byte, after)) = rest.split_first() {
        if in_text {
            out.push(byte);
            rest = after;
            match byte {
                b'"' => in_text = false,
                b'\\' => {
                    if let Some((&escaped, after)) = rest.split_first() {
                        out.push(escaped);
                        rest = after;
                    }
                }
                _ => {}
            }
        } else if let Some(word) = words.iter().find(|word| rest.starts_with(word.as_bytes())) {
            out.extend_from_slice(b"null");
            rest = rest.get(word.len()..).unwrap_or_default();
            found = true;
        } else {
            in_text = byte == b'"';
            out.push(byte);
            rest = after;
        }
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_no_text_is_replaced() {
        let json = br#"{"a\"NaN": "NaN \\", "b": [NaN, -Infinity, Infinity, -1]}"#;
        let all = br#"{"a\"NaN": "NaN \\", "b": [null, null, null, -1]}"#;
        let some = br#"{"a\"NaN": "NaN \\", "b": [null, -Infinity, Infinity, -1]}"#;
        assert_eq!(nulled(json, NOT_FINITE).as_deref(), Some(&all[..]));
        assert_eq!(nulled(json, MISSING).as_deref(), Some(&some[..]));
        assert_eq!(nulled(br#"["NaN", 1]"#, NOT_FINITE), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = nulled(&bytes, NOT_FINITE);
        }
    }
}
