//! What names, aliases, tags and stages may be: MLflow's limits, checked before anything is written.

use gyre_core::Version;
use gyre_store::StoreError;

/// The longest name of a registered model, in characters.
pub const MAX_NAME: usize = 256;
/// The longest alias, in characters.
pub const MAX_ALIAS: usize = 255;
/// The longest key of a tag, in characters.
pub const MAX_KEY: usize = 250;
/// The longest value of a tag, and the longest description, in characters.
pub const MAX_TEXT: usize = 100_000;
/// The longest source, run id, link or location, in bytes.
const MAX_REFERENCE: usize = 5_000;
/// The most tags in one request.
const MAX_TAGS: usize = 10_000;

/// The tag of a registered model, or of a version, that is a prompt.
pub const IS_PROMPT: &str = "mlflow.prompt.is_prompt";

/// A legacy stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Not yet anywhere.
    None,
    /// Being tried.
    Staging,
    /// In use.
    Production,
    /// Out of use.
    Archived,
}

impl Stage {
    /// All, in the order in which MLflow names them.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// The name, as MLflow writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// The stage of that name, in any case.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], naming the stages that there are.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let named = Self::ALL.into_iter().find(|stage| stage.name().eq_ignore_ascii_case(text));
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            invalid(format!("invalid model version stage `{}`: it must be one of {names}", shown(text)))
        })
    }

    /// Whether versions in it are in use: what `archive_existing_versions` may empty.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Staging | Self::Production)
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::Invalid(message.into())
}

/// The beginning of what a client sent, for a message.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(100).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The name of a registered model.
///
/// # Errors
/// [`StoreError::Invalid`]: empty, too long, or such that it could not be told from a path or a version.
pub fn model_name<'a>(field: &str, name: &'a str) -> Result<&'a str, StoreError> {
    if name.trim().is_empty() {
        return Err(invalid(format!("the parameter `{field}` is required, and is missing or empty")));
    }
    if name.contains(['/', ':']) {
        return Err(invalid(format!(
            "invalid model name `{}`: names cannot contain `/` or `:`",
            shown(name)
        )));
    }
    if name == "." || name.starts_with("..") {
        return Err(invalid(format!("invalid model name `{}`: it would be a path", shown(name))));
    }
    if name.contains('\0') {
        return Err(invalid("invalid model name: it contains the character NUL"));
    }
    at_most(field, name, MAX_NAME)?;
    Ok(name)
}

/// The number of a version, which travels as text.
///
/// # Errors
/// [`StoreError::Invalid`] when it is no whole number; one that no version can bear is [`StoreError::NotFound`].
pub fn version_number(model: &str, text: &str) -> Result<Version, StoreError> {
    let number: i128 = text.trim().parse().map_err(|_| {
        invalid(format!("the parameter `version` must be a whole number, and is `{}`", shown(text)))
    })?;
    Version::try_from(number).map_err(|_| no_version(model, text.trim()))
}

pub(crate) fn no_version(model: &str, version: impl std::fmt::Display) -> StoreError {
    StoreError::NotFound {
        what: "model version",
        name: format!("{}/{}", shown(model), shown(&version.to_string())),
        hint: String::new(),
    }
}

pub(crate) fn no_model(name: &str) -> StoreError {
    StoreError::NotFound { what: "registered model", name: shown(name), hint: String::new() }
}

/// An alias, to look it up or to take it away.
///
/// # Errors
/// [`StoreError::Invalid`]: empty, too long, or with other characters than letters, digits, `_` and `-`.
pub fn alias(alias: &str) -> Result<&str, StoreError> {
    if alias.is_empty() {
        return Err(invalid("the alias of a registered model cannot be empty"));
    }
    if !alias.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
        return Err(invalid(format!(
            "invalid alias `{}`: only letters, digits, `_` and `-` are allowed",
            shown(alias)
        )));
    }
    at_most("alias", alias, MAX_ALIAS)?;
    Ok(alias)
}

/// An alias that is to be set: one that means something else already is refused.
///
/// # Errors
/// What [`alias`] says; [`StoreError::Invalid`] for `latest` and for version numbers (`v12`).
pub fn new_alias(text: &str) -> Result<&str, StoreError> {
    let text = alias(text)?;
    if is_latest(text) {
        return Err(invalid("the alias `latest` (in any case) is reserved: it is the newest version"));
    }
    let number = text.strip_prefix(['v', 'V']).unwrap_or_default();
    if !number.is_empty() && number.chars().all(char::is_numeric) {
        return Err(invalid(format!(
            "the alias `{}` is reserved: it would be a version number",
            shown(text)
        )));
    }
    Ok(text)
}

/// Whether an alias is the one that always means the newest version.
pub(crate) fn is_latest(alias: &str) -> bool {
    alias.eq_ignore_ascii_case("latest")
}

/// The key of a tag.
///
/// # Errors
/// [`StoreError::Invalid`]: too long, with characters that are not allowed, or a path that is not in its shortest form.
pub fn tag_key(key: &str) -> Result<&str, StoreError> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | ' ' | '-' | ':');
    if key.is_empty() || !key.chars().all(allowed) {
        return Err(invalid(format!(
            "invalid tag key `{}`: it may only contain letters, digits, `_`, `-`, `.`, `:`, `/` and spaces",
            shown(key)
        )));
    }
    let roundabout = key.split('/').any(|part| part.is_empty() || part == "." || part == "..");
    if roundabout || key.starts_with("..") {
        return Err(invalid(format!(
            "invalid tag key `{}`: a key with `/` must be a relative path in its shortest form",
            shown(key)
        )));
    }
    at_most("key", key, MAX_KEY)?;
    Ok(key)
}

/// Tags of a request: keys and values checked; of a key that comes twice, the last value counts.
///
/// # Errors
/// What [`tag_key`] says; [`StoreError::Invalid`] for a value that is too long.
pub(crate) fn tags(
    tags: Vec<(String, String)>,
) -> Result<std::collections::BTreeMap<String, String>, StoreError> {
    if tags.len() > MAX_TAGS {
        return Err(invalid(format!("{} tags at once are too many: at most {MAX_TAGS}", tags.len())));
    }
    for (key, value) in &tags {
        tag_key(key)?;
        at_most("value", value, MAX_TEXT)?;
        no_nul("value", value)?;
    }
    Ok(tags.into_iter().collect())
}

/// A description.
///
/// # Errors
/// [`StoreError::Invalid`] when it is too long.
pub(crate) fn description(text: &str) -> Result<&str, StoreError> {
    at_most("description", text, MAX_TEXT)?;
    no_nul("description", text)?;
    Ok(text)
}

/// A source, a run id, a link or a location.
///
/// # Errors
/// [`StoreError::Invalid`] when it is too long or has control characters.
pub(crate) fn reference<'a>(field: &str, text: &'a str) -> Result<&'a str, StoreError> {
    if text.len() > MAX_REFERENCE {
        return Err(invalid(format!(
            "`{field}` has {} bytes, which is more than {MAX_REFERENCE}",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(format!("`{field}` contains a control character")));
    }
    Ok(text)
}

/// Text columns of databases end at a NUL.
fn no_nul(field: &str, text: &str) -> Result<(), StoreError> {
    if text.contains('\0') { Err(invalid(format!("`{field}` contains the character NUL"))) } else { Ok(()) }
}

fn at_most(field: &str, text: &str, limit: usize) -> Result<(), StoreError> {
    // Bytes are at least as many as characters, and counted already.
    if text.len() <= limit {
        return Ok(());
    }
    let count = text.chars().count();
    if count <= limit {
        return Ok(());
    }
    Err(invalid(format!("`{field}` has {count} characters, which exceeds the maximum length of {limit}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_name_is_any_text_that_is_no_path() {
        for good in ["m", "air time", "modèle", "a.b", ".hidden", &"x".repeat(256)] {
            assert!(model_name("name", good).is_ok(), "{good}");
        }
        for bad in ["", "  ", "a/b", "a:b", "..", "../x", ".", "a\0b", &"x".repeat(257)] {
            assert!(matches!(model_name("name", bad), Err(StoreError::Invalid(_))), "{bad:?}");
        }
    }

    #[test]
    fn an_alias_cannot_be_mistaken_for_a_version() {
        for good in ["champion", "v1x", "x1", "v", &"a".repeat(255)] {
            assert!(new_alias(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a@b", "v1", "V12", "latest", "Latest", &"a".repeat(256)] {
            assert!(new_alias(bad).is_err(), "{bad:?}");
        }
        assert!(alias("latest").is_ok(), "it can be asked for");
    }

    #[test]
    fn a_tag_key_is_a_path_in_its_shortest_form() {
        for good in ["a", "a/b", "a b", "mlflow.prompt.text", "a:b", "_x-y"] {
            assert!(tag_key(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "./a", "a/../b", "..a", "a\nb", "a'b", &"k".repeat(251)] {
            assert!(tag_key(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_version_that_no_model_can_have_is_not_found() {
        assert_eq!(version_number("m", " 7 ").unwrap(), 7);
        assert!(matches!(version_number("m", "x"), Err(StoreError::Invalid(_))));
        for far in ["-1", "99999999999999"] {
            assert!(matches!(version_number("m", far), Err(StoreError::NotFound { .. })), "{far}");
        }
    }

    #[test]
    fn of_a_tag_that_comes_twice_the_last_value_counts() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let tags = tags(vec![pair("a", "1"), pair("a", "2")]).unwrap();
        assert_eq!(tags["a"], "2");
    }
}
