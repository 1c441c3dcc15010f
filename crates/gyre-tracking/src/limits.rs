//! What may be a name, a key, a value: the limits that MLflow's clients rely on.

use gyre_store::StoreError;

/// The most metrics, parameters, tags, and things in all, of one batch.
pub const BATCH_METRICS: usize = 1000;
/// See [`BATCH_METRICS`].
pub const BATCH_PARAMS: usize = 100;
/// See [`BATCH_METRICS`].
pub const BATCH_TAGS: usize = 100;
/// See [`BATCH_METRICS`].
pub const BATCH: usize = 1000;
/// The longest parameter value, in characters; what is beyond is cut off.
pub const PARAM_VALUE: usize = 6000;
/// The longest value of a run's tag, in characters; what is beyond is cut off.
pub const RUN_TAG_VALUE: usize = 8000;
/// The longest value of an experiment's tag, in characters.
pub const EXPERIMENT_TAG_VALUE: usize = 20_000;
/// The longest key, in characters.
pub const KEY: usize = 250;
/// The longest name of an experiment, in characters.
pub const EXPERIMENT_NAME: usize = 500;
/// The most datasets or models of one call.
pub const INPUTS: usize = 1000;
/// The longest name, digest, source, schema and profile of a dataset, in characters.
pub const DATASET: [(&str, usize); 5] =
    [("name", 500), ("digest", 36), ("source", 65_535), ("schema", 1_048_575), ("profile", 16_777_215)];

fn invalid(message: String) -> StoreError {
    StoreError::Invalid(message)
}

/// `text` as it may stand in an error.
pub(crate) fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(100).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Checks that `text`, which is called `what`, has at most `limit` characters.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn at_most(what: &str, text: &str, limit: usize) -> Result<(), StoreError> {
    // A character has at least a byte, so most texts need not be counted.
    if text.len() <= limit {
        return Ok(());
    }
    let length = text.chars().count();
    if length <= limit {
        return Ok(());
    }
    Err(invalid(format!("{what} has {length} characters, expected at most {limit}: `{}`", shown(text))))
}

/// Cuts `text` off after `limit` characters.
pub fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit
        && let Some((end, _)) = text.char_indices().nth(limit)
    {
        text.truncate(end);
    }
    text
}

/// Checks the key of a metric, parameter or tag: letters, digits, `/`, `_`, `-`, `.`, `:` and blanks, being a path that
/// stays where it is.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn key(what: &str, key: &str) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(invalid(format!("{what} has an empty key, expected 1 to {KEY} characters")));
    }
    at_most(&format!("the key of {what}"), key, KEY)?;
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | '-' | '.' | ' ' | ':');
    if let Some(found) = key.chars().find(|c| !allowed(*c)) {
        return Err(invalid(format!(
            "the key `{}` of {what} contains {found:?}, expected only letters, digits, `_`, `-`, `.`, ` `, `:` and `/`",
            shown(key)
        )));
    }
    // Keys become paths in file stores that other tools write.
    let stays = !key.starts_with('/')
        && !key.starts_with("..")
        && key.split('/').all(|part| !part.is_empty() && part != ".." && (part != "." || key == "."));
    if stays && key != "." {
        return Ok(());
    }
    Err(invalid(format!(
        "the key `{}` of {what} is no plain path, expected no empty, `.` or `..` part between slashes",
        shown(key)
    )))
}

/// Checks a run's id: a letter or digit, then up to 255 letters, digits, `_` or `-`.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn run_id(id: &str) -> Result<(), StoreError> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if id.len() <= 256 && id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(word) {
        return Ok(());
    }
    Err(invalid(format!(
        "`{}` is no run id, expected a letter or digit and then up to 255 letters, digits, `_` or `-`",
        shown(id)
    )))
}

/// An experiment's number.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn experiment_id(id: &str) -> Result<i64, StoreError> {
    id.parse::<i64>().ok().filter(|number| *number >= 0).ok_or_else(|| {
        invalid(format!("`{}` is no experiment id, expected a whole number such as \"0\"", shown(id)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain_paths() {
        for good in ["a", "a/b", "A b-c.d:e_1", "train/loss", ".a", "a..b", "ä"] {
            assert!(key("metric", good).is_ok(), "{good}");
        }
        for bad in [
            "", "/a", "../a", "a//b", "a/../b", "a/", ".", "./a", "a/.", "a\\b", "a\0", "a;b", "a\nb", "..",
            "..a",
        ] {
            assert!(key("metric", bad).is_err(), "{bad:?}");
        }
        assert!(key("metric", &"é".repeat(250)).is_ok());
        assert!(key("metric", &"a".repeat(251)).is_err());
    }

    #[test]
    fn ids_are_checked() {
        for good in ["a", "0123456789abcdef0123456789abcdef", "run-1_x"] {
            assert!(run_id(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a/b", "../x", "a b", &"a".repeat(257)] {
            assert!(run_id(bad).is_err(), "{bad:?}");
        }
        assert_eq!(experiment_id("0").ok(), Some(0));
        for bad in ["", "-1", "x", "1.5", "99999999999999999999"] {
            assert!(experiment_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("äöü".to_owned(), 2), "äö");
        assert_eq!(cut("ab".to_owned(), 2), "ab");
    }
}
