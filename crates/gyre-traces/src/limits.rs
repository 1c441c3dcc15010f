//! How long things may be, and which names are names. The numbers are MLflow's.

use gyre_store::StoreError;

/// The longest key of a tag or of metadata, in characters.
pub const KEY: usize = 250;
/// The longest value of a tag or of metadata, in characters; what is longer is cut.
pub const VALUE: usize = 8_000;
/// The longest preview of a request or a response, in characters; what is longer is cut.
pub const PREVIEW: usize = 10_000;
/// The longest filter, in bytes.
pub const FILTER: usize = 64 * 1024;
/// The most experiments that one search may cover.
pub const EXPERIMENTS: usize = 1_000;
/// The most traces that a page of a search, or a request for several, may hold.
pub const PAGE: usize = 500;
/// The most traces that may be linked to a run at once.
pub const LINKS: usize = 100;

/// Why something that came from outside is not accepted.
pub(crate) fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::Invalid(message.into())
}

/// `text`, cut after `limit` characters.
pub fn cut(text: &str, limit: usize) -> &str {
    text.char_indices().nth(limit).map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}

/// For messages: what was found, in quotes and not too long.
pub(crate) fn shown(text: &str) -> String {
    if text.chars().count() <= 120 { format!("`{text}`") } else { format!("`{}…`", cut(text, 120)) }
}

/// Checks the id of a trace: it becomes part of paths.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn trace_id(id: &str) -> Result<(), StoreError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=128).contains(&id.len()) && id.bytes().all(plain) {
        return Ok(());
    }
    Err(invalid(format!(
        "the trace id {} is not one: expected 1 to 128 letters, digits, `-` and `_`, as in `tr-` and 32 hexadecimal digits",
        shown(id)
    )))
}

/// Checks the key of a tag or of metadata.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn key(what: &str, key: &str) -> Result<(), StoreError> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | ':' | '/');
    if key.is_empty() || key.chars().count() > KEY {
        return Err(invalid(format!(
            "the key {} of a {what} has {} characters, expected 1 to {KEY}",
            shown(key),
            key.chars().count()
        )));
    }
    let path = key.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !key.chars().all(allowed) || !path {
        return Err(invalid(format!(
            "the key {} of a {what} is not a name: expected letters, digits, `_`, `-`, `.`, `:`, spaces and single \
             slashes between them",
            shown(key)
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_paths_are_refused() {
        for good in ["tr-0a", "my_own", "0123456789abcdef0123456789abcdef"] {
            trace_id(good).unwrap();
        }
        for bad in ["", "..", "a/b", "a b", "a%2fb", "tr-\u{e4}", &"x".repeat(129)] {
            assert!(trace_id(bad).is_err(), "{bad}");
        }
        for good in ["a", "mlflow.traceName", "a/b c:d-e", "\u{e4}"] {
            key("tag", good).unwrap();
        }
        for bad in ["", "/a", "a//b", "../a", "a/./b", "a\n", "a;b", &"x".repeat(251)] {
            assert!(key("tag", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("\u{e4}\u{f6}\u{fc}", 2), "\u{e4}\u{f6}");
        assert_eq!(cut("ab", 2), "ab");
    }
}
