//! Where the artifacts of a version may be: what a client says, checked before it becomes a fact.
//!
//! A source is fetched later, by the server or by others who trust the registry. One that leads to the server's own files,
//! or to a run that is not the version's, has been the way into other registries (path traversal, and reading what another
//! project keeps); so a source must say plainly where it is, and what is kept here must belong to the run or the logged
//! model that the request names. The rules are those of MLflow 3.17's server.

use std::borrow::Cow;

use gyre_core::Version;
use gyre_store::{StoreError, Tx};

use crate::catalog::{is_prompt, registered_version, version_by_alias};
use crate::rules::{self, Stage, invalid, shown};
use crate::{latest_versions, registered_model};

/// What a prompt has instead of a source.
const PROMPT_SOURCES: [&str; 2] = ["dummy-source", "prompt-template"];

/// Schemes that name a host to connect to. A source there is refused, but inside the root of its run or logged model.
const NAMES_A_HOST: [&str; 9] = ["ftp", "sftp", "hdfs", "viewfs", "http", "https", "r2", "b2", "abfss"];

/// What tracking knows of where artifacts are kept.
pub trait Tracked {
    /// Where the artifacts of a run are; none when there is no such run.
    ///
    /// # Errors
    /// What the store said.
    fn run_root(&self, tx: &mut Tx<'_>, run: &str) -> Result<Option<String>, StoreError>;

    /// A logged model; none when there is no such one.
    ///
    /// # Errors
    /// What the store said.
    fn logged_model(&self, tx: &mut Tx<'_>, model: &str) -> Result<Option<LoggedModel>, StoreError>;
}

/// A logged model, as far as the registry needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedModel {
    /// Where its artifacts are.
    pub root: String,
    /// The run that logged it.
    pub run: Option<String>,
}

/// What a request says of a version's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The source.
    pub source: &'a str,
    /// The run, when the request names one; it may be empty.
    pub run: Option<&'a str>,
    /// The logged model, when the request names one; it may be empty.
    pub logged_model: Option<&'a str>,
    /// Whether the version is one of a prompt.
    pub prompt: bool,
}

/// The origin of a version, as it will be registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The source; a reference to a registered version names its number.
    pub source: String,
    /// Where the artifacts are, when the source only points there.
    pub location: Option<String>,
    /// The run.
    pub run: Option<String>,
    /// The logged model.
    pub logged_model: Option<String>,
}

/// What a `models:/` URI names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ModelUri<'a> {
    LoggedModel(&'a str),
    Version(&'a str, &'a str),
    Alias(&'a str, &'a str),
}

/// Checks what a request says of a version's origin, and follows it to where the artifacts are.
///
/// # Errors
/// [`StoreError::Invalid`] for a source that must not be, [`StoreError::NotFound`] for one that refers to a model or
/// version that there is not.
pub fn check(tx: &mut Tx<'_>, tracked: &impl Tracked, claim: Claim<'_>) -> Result<Origin, StoreError> {
    let Claim { source, run, logged_model, prompt } = claim;
    rules::reference("source", source)?;
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let mut origin = Origin {
        source: source.to_owned(),
        location: None,
        run: owned(run),
        logged_model: owned(logged_model),
    };
    if prompt {
        if PROMPT_SOURCES.contains(&source) {
            return Ok(origin);
        }
        return Err(wrong(
            source,
            "the versions of a prompt have the source `dummy-source` or `prompt-template`",
        ));
    }
    let uri = Uri::read(source);
    if uri.scheme == "models" {
        let referred = model_uri(&uri).ok_or_else(|| {
            let expected = "`models:/NAME/VERSION`, `models:/NAME@ALIAS` or `models:/LOGGED_MODEL_ID`";
            wrong(source, &format!("a reference to a model is {expected}"))
        })?;
        match referred {
            ModelUri::LoggedModel(id) => of_logged_model(tx, tracked, id, &mut origin)?,
            other => of_registered_version(tx, other, claim, &mut origin)?,
        }
    } else {
        of_storage(tx, tracked, &uri, &origin)?;
    }
    if origin.run.as_deref().unwrap_or_default().is_empty()
        && let Some(id) = origin.logged_model.as_deref().filter(|id| !id.is_empty())
    {
        origin.run = tracked.logged_model(tx, id)?.and_then(|model| model.run).or(origin.run);
    }
    Ok(origin)
}

fn of_logged_model(
    tx: &mut Tx<'_>,
    tracked: &impl Tracked,
    id: &str,
    origin: &mut Origin,
) -> Result<(), StoreError> {
    if origin.logged_model.as_deref() != Some(id) {
        return Err(foreign(&origin.source, "model_id"));
    }
    let model = tracked.logged_model(tx, id)?.ok_or_else(|| foreign(&origin.source, "model_id"))?;
    origin.location = Some(model.root);
    Ok(())
}

fn of_registered_version(
    tx: &mut Tx<'_>,
    referred: ModelUri<'_>,
    claim: Claim<'_>,
    origin: &mut Origin,
) -> Result<(), StoreError> {
    let version = match referred {
        ModelUri::Alias(name, alias) => {
            registered_model(tx, name)?;
            version_by_alias(tx, name, alias)?
        }
        ModelUri::Version(name, suffix) => {
            let number = number(tx, name, suffix)?;
            registered_version(tx, name, number)?
        }
        ModelUri::LoggedModel(_) => return Ok(()),
    };
    if is_prompt(tx, &version.name)? {
        return Err(wrong(claim.source, "versions of prompts cannot be the source of a model version"));
    }
    let differs = |given: Option<&str>, known: &Option<String>| {
        given.is_some_and(|given| given != known.as_deref().unwrap_or_default())
    };
    if differs(claim.run, &version.run_id) || differs(claim.logged_model, &version.logged_model) {
        return Err(wrong(
            claim.source,
            "`run_id` and `model_id` must be those of the version that it refers to",
        ));
    }
    origin.source = format!("models:/{}/{}", version.name, version.version);
    origin.location = Some(version.download_uri().to_owned());
    origin.run = origin.run.take().or(version.run_id);
    origin.logged_model = origin.logged_model.take().or(version.logged_model);
    Ok(())
}

/// The number that the end of `models:/NAME/…` names: a number, a stage, or `latest`.
fn number(tx: &mut Tx<'_>, name: &str, suffix: &str) -> Result<Version, StoreError> {
    if suffix.bytes().all(|byte| byte.is_ascii_digit()) {
        return rules::version_number(name, suffix);
    }
    let stages = if rules::is_latest(suffix) { Vec::new() } else { vec![Stage::parse(suffix)?] };
    let newest = latest_versions(tx, name, &stages)?.iter().map(|version| version.version).max();
    newest.ok_or_else(|| rules::no_version(name, suffix))
}

/// A source that names the place itself.
fn of_storage(
    tx: &mut Tx<'_>,
    tracked: &impl Tracked,
    uri: &Uri<'_>,
    origin: &Origin,
) -> Result<(), StoreError> {
    let source = origin.source.as_str();
    let id = origin.logged_model.as_deref().filter(|id| !id.is_empty());
    let run = origin.run.as_deref().filter(|run| !run.is_empty());
    let responsible = if id.is_some() { "model_id" } else { "run_id" };
    let inside = |tx: &mut Tx<'_>| -> Result<bool, StoreError> {
        let root = match (id, run) {
            (Some(id), _) => tracked.logged_model(tx, id)?.map(|model| model.root),
            (None, Some(run)) => tracked.run_root(tx, run)?,
            (None, None) => None,
        };
        Ok(root.is_some_and(|root| uri.within(&Uri::read(&root))))
    };
    if uri.is_local() {
        if uri.is_plain() && inside(tx)? {
            return Ok(());
        }
        return Err(wrong(
            source,
            &format!("a local path must lie in the artifact folder of what `{responsible}` names"),
        ));
    }
    if !uri.is_plain() {
        return Err(wrong(source, "it must be an absolute path, without `.` and `..`"));
    }
    match uri.scheme.as_str() {
        "runs" => {
            let named = uri.parts.first().map(AsRef::as_ref);
            if uri.authority.is_empty() && id.is_none() && run.is_some() && named == run {
                return Ok(());
            }
            Err(foreign(source, responsible))
        }
        "mlflow-artifacts" => {
            if inside(tx)? {
                return Ok(());
            }
            Err(foreign(source, responsible))
        }
        scheme if NAMES_A_HOST.contains(&scheme) => {
            if inside(tx)? {
                return Ok(());
            }
            Err(wrong(
                source,
                &format!("the scheme `{scheme}` names a host that this server does not connect to"),
            ))
        }
        _ => Ok(()),
    }
}

fn model_uri<'a>(uri: &'a Uri<'_>) -> Option<ModelUri<'a>> {
    if !uri.authority.is_empty() || !uri.is_plain() {
        return None;
    }
    match uri.parts.as_slice() {
        [name, suffix] => Some(ModelUri::Version(name, suffix)),
        [one] => match one.rsplit_once('@') {
            Some((name, alias)) if !name.is_empty() && !alias.is_empty() => {
                Some(ModelUri::Alias(name, alias))
            }
            Some(_) => None,
            None => Some(ModelUri::LoggedModel(one)),
        },
        _ => None,
    }
}

fn wrong(source: &str, reason: &str) -> StoreError {
    invalid(format!("invalid model version source `{}`: {reason}", shown(source)))
}

fn foreign(source: &str, field: &str) -> StoreError {
    wrong(source, &format!("the parameter `{field}` must name what contains the source"))
}

/// A URI in parts, with the path's parts decoded as often as it takes.
struct Uri<'a> {
    scheme: String,
    authority: String,
    absolute: bool,
    parts: Vec<Cow<'a, str>>,
}

impl<'a> Uri<'a> {
    fn read(text: &'a str) -> Self {
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ => (String::new(), text),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => match rest.find('/') {
                Some(slash) => rest.split_at(slash),
                None => (rest, ""),
            },
            None => ("", rest),
        };
        let parts = path.split('/').filter(|part| !part.is_empty()).map(decoded).collect();
        Self { scheme, authority: authority.to_ascii_lowercase(), absolute: path.starts_with('/'), parts }
    }

    /// Whether it names a file of this machine.
    fn is_local(&self) -> bool {
        self.scheme.is_empty() || self.scheme == "file"
    }

    /// Whether it says where it leads: absolute, and no part that leads elsewhere.
    fn is_plain(&self) -> bool {
        let hides = |part: &str| {
            matches!(part, "." | "..")
                || part.contains(['/', '\\', '\0'])
                || part.chars().any(char::is_control)
        };
        let elsewhere = decoded(&self.authority);
        self.absolute
            && !self.parts.is_empty()
            && !self.parts.iter().any(|part| hides(part))
            && !elsewhere.split('/').any(hides)
    }

    /// Whether it is `root`, or lies in it.
    fn within(&self, root: &Uri<'_>) -> bool {
        let same_place = if self.is_local() && root.is_local() {
            [self, root].iter().all(|uri| matches!(uri.authority.as_str(), "" | "localhost"))
        } else {
            self.scheme == root.scheme && self.authority == root.authority
        };
        same_place && !root.parts.is_empty() && self.parts.starts_with(&root.parts)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// `text` without percent-encoding, however often it was encoded.
fn decoded(text: &str) -> Cow<'_, str> {
    let mut decoded = Cow::Borrowed(text);
    // Each round shortens it, so this ends.
    while let Some(next) = decoded_once(&decoded) {
        decoded = Cow::Owned(next);
    }
    decoded
}

/// The text with its percent-encoded bytes decoded; none when there are none.
fn decoded_once(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let (mut out, mut at, mut found) = (Vec::with_capacity(bytes.len()), 0, false);
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let value = pair.filter(|_| *byte == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match value {
            Some(value) => {
                out.push(value);
                at += 3;
                found = true;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    found.then(|| String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> bool {
        Uri::read(text).is_plain()
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_not_plain() {
        for good in
            ["s3://bucket/a/b", "mlflow-artifacts:/0/r/artifacts/m", "runs:/r/model", "/a/b", "s3://b/a%20b"]
        {
            assert!(plain(good), "{good}");
        }
        for bad in [
            "s3://bucket/a/../b",
            "mlflow-artifacts:/0/../../etc",
            "mlflow-artifacts:/0/%2e%2e/x",
            "mlflow-artifacts:/0/%252e%252e/x",
            "mlflow-artifacts:/0/..%2f..%2fetc",
            "mlflow-artifacts:/0/a%00b",
            "mlflow-artifacts:/0/a?/../b",
            "mlflow-artifacts:/0/a\\..\\b",
            "runs:/./x",
            "runs:x",
            "s3://bucket",
            "s3:../x",
            "file://../etc/passwd",
            "file://%2e%2e/etc",
            "etc/passwd",
            "",
        ] {
            assert!(!plain(bad), "{bad}");
        }
    }

    #[test]
    fn inside_means_the_same_place_part_by_part() {
        let within = |uri: &str, root: &str| Uri::read(uri).within(&Uri::read(root));
        assert!(within("mlflow-artifacts:/0/r/artifacts/m", "mlflow-artifacts:/0/r/artifacts"));
        assert!(within("file:///runs/r/m", "/runs/r") && within("/runs/r", "file://localhost/runs/r/"));
        assert!(!within("mlflow-artifacts:/0/r2/x", "mlflow-artifacts:/0/r"));
        assert!(!within("mlflow-artifacts://host/0/r/x", "mlflow-artifacts:/0/r"));
        assert!(!within("s3://other/0/r/x", "s3://bucket/0/r"));
        assert!(!within("/anything", "/"));
        assert!(!within("file://elsewhere/runs/r", "/runs/r"));
    }

    #[test]
    fn a_reference_to_a_model_is_read_in_each_of_its_forms() {
        let read = |text: &str| {
            let uri = Uri::read(text);
            model_uri(&uri).map(|found| match found {
                ModelUri::LoggedModel(id) => format!("id {id}"),
                ModelUri::Version(name, version) => format!("version {name} {version}"),
                ModelUri::Alias(name, alias) => format!("alias {name} {alias}"),
            })
        };
        assert_eq!(read("models:/m-1").as_deref(), Some("id m-1"));
        assert_eq!(read("models:/air time/3").as_deref(), Some("version air time 3"));
        assert_eq!(read("models:/a@b@champion").as_deref(), Some("alias a@b champion"));
        for bad in [
            "models:/",
            "models:m",
            "models://host/m/1",
            "models:/m/1/2",
            "models:/@x",
            "models:/m@",
            "models:/../1",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
