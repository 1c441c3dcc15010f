//! Where an import comes from.

use std::path::{Path, PathBuf};

use crate::ImportError;
use crate::artifacts::{Found, Sink};
use crate::files::FileSource;
use crate::http::HttpSource;
use crate::record::{
    Head, Problem, SourceExperiment, SourceModel, SourceRegistered, SourceRun, SourceTrace, SourceWebhook,
};
use crate::report::Kind;
use crate::sqlite::SqliteSource;

/// Something that holds what MLflow knows. It is only read, in this order.
pub trait Source: Send {
    /// What it is, without credentials; the same text for the same source.
    fn name(&self) -> String;

    /// How many of each kind it has, as far as it can tell without reading everything.
    ///
    /// # Errors
    /// [`ImportError`] when it cannot be read.
    fn counts(&mut self) -> Result<Vec<(Kind, u64)>, ImportError>;

    /// Its experiments, deleted ones too.
    ///
    /// # Errors
    /// [`ImportError`] when it cannot be read.
    fn experiments(&mut self) -> Result<Vec<SourceExperiment>, ImportError>;

    /// The next runs, about `limit` of them; none when there are no more.
    ///
    /// # Errors
    /// [`ImportError`] when it cannot be read.
    fn heads(&mut self, limit: usize) -> Result<Vec<Head>, ImportError>;

    /// Those runs, or the first of them when all are too many at once; those that cannot be read are left out and told by
    /// [`Source::problems`]. Returns how many of `heads` are done with.
    ///
    /// # Errors
    /// [`ImportError`] when it cannot be read.
    fn runs(&mut self, heads: &[Head]) -> Result<(usize, Vec<SourceRun>), ImportError>;

    /// The next logged models; none when there are no more.
    ///
    /// # Errors
    /// [`ImportError`] when it cannot be read.
    fn logged_models(&mut self, limit: usize) -> Result<Vec<SourceModel>, ImportError>;

    /// The next traces; none when there are no more, or when it does not hand them out.
    ///
    /// # Errors
    /// [`ImportError`] when it cannot be read.
    fn traces(&mut self, limit: usize) -> Result<Vec<SourceTrace>, ImportError> {
        let _ = limit;
        Ok(Vec::new())
    }

    /// Its registered models and prompts.
    ///
    /// # Errors
    /// [`ImportError`] when it cannot be read.
    fn registered(&mut self) -> Result<Vec<SourceRegistered>, ImportError>;

    /// Its webhooks, when it tells of them.
    ///
    /// # Errors
    /// [`ImportError`] when it cannot be read.
    fn webhooks(&mut self) -> Result<Vec<SourceWebhook>, ImportError> {
        Ok(Vec::new())
    }

    /// Hands over the files below the artifact root `uri`.
    ///
    /// # Errors
    /// [`ImportError`] when they cannot be read, or what `sink` said.
    fn artifacts(&mut self, uri: &str, sink: &mut Sink<'_>) -> Result<Found, ImportError>;

    /// What was wrong since it was last asked.
    fn problems(&mut self) -> Vec<Problem>;
}

/// Opens the source that `text` names. `artifacts` is the folder in which its server kept artifacts (`--artifacts-destination`
/// of `mlflow server`), when that is not where it is by itself.
///
/// # Errors
/// [`ImportError::NoSource`], or why it cannot be opened.
pub fn open(text: &str, artifacts: Option<&Path>) -> Result<Box<dyn Source>, ImportError> {
    if let Some(path) = text.strip_prefix("sqlite:///") {
        // As SQLAlchemy has it: three slashes and a relative path, or four for an absolute one.
        let path = path.split('?').next().unwrap_or(path);
        return Ok(Box::new(SqliteSource::open(&PathBuf::from(path), artifacts)?));
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(Box::new(HttpSource::open(text, artifacts)?));
    }
    let path = text.strip_prefix("file://").unwrap_or(text);
    if !path.contains("://") {
        return Ok(Box::new(FileSource::open(Path::new(path), artifacts)?));
    }
    Err(ImportError::NoSource { found: without_credentials(text) })
}

/// `text` without what stands before an `@` in the host's place.
pub fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.chars().take(200).collect() };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let path = path.map(|path| path.split(['?', '#']).next().unwrap_or_default());
    let path = path.map(|path| format!("/{path}")).unwrap_or_default();
    format!("{scheme}://{host}{path}").trim_end_matches('/').chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credentials_are_told() {
        assert_eq!(without_credentials("https://me:secret@host:1/x?token=secret"), "https://host:1/x");
        assert_eq!(without_credentials("http://host:5000/"), "http://host:5000");
        assert_eq!(without_credentials("mlruns"), "mlruns");
        let told =
            open("ftp://u:secret@host/x", None).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("sqlite:///PATH") && !told.contains("secret"), "{told}");
    }
}
