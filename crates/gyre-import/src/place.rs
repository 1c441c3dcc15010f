//! Where an artifact URI of an MLflow server points to, and where it will point to here. Pure.
//!
//! What the server kept itself (`mlflow-artifacts:`) and what lies in a folder comes along, and its URI becomes one of
//! gyre's. What lies in somebody's bucket stays there, and so does its URI.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Where an artifact URI points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// To the artifacts that the server kept itself, by a path in them.
    Proxied(String),
    /// To a folder of the machine that the server, or a client, ran on.
    Folder(PathBuf),
    /// To somewhere else, such as a bucket.
    Elsewhere,
}

/// The part of a server's URL that stands before a path in the artifacts that it keeps.
const ROUTE: &str = "/mlflow-artifacts/artifacts/";

/// Reads an artifact URI.
pub fn place(uri: &str) -> Place {
    if let Some(rest) = uri.strip_prefix("mlflow-artifacts:") {
        // `mlflow-artifacts://HOST/PATH` names the server too.
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
            None => rest,
        };
        return Place::Proxied(path.trim_matches('/').to_owned());
    }
    if uri.starts_with("http://") || uri.starts_with("https://") {
        let path = uri.split_once(ROUTE).map(|(_, path)| path);
        return path.map_or(Place::Elsewhere, |path| Place::Proxied(path.trim_matches('/').to_owned()));
    }
    if let Some(rest) = uri.strip_prefix("file:") {
        let path = match rest.strip_prefix("//") {
            Some(rest) if rest.starts_with('/') => rest,
            Some(rest) => match rest.strip_prefix("localhost/") {
                Some(_) => rest.get("localhost".len()..).unwrap_or_default(),
                None => return Place::Elsewhere,
            },
            None => rest,
        };
        let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
        return Place::Folder(PathBuf::from(decoded));
    }
    let scheme =
        uri.split_once(':').is_some_and(|(scheme, _)| !scheme.is_empty() && !scheme.contains(['/', '.']));
    if uri.is_empty() || scheme { Place::Elsewhere } else { Place::Folder(PathBuf::from(uri)) }
}

/// The URI that a run's or a logged model's artifacts have here, when they come along: below the experiment's number.
pub(crate) fn home(place: &Place, source_experiment: &str, experiment: i64, inner: &str) -> Option<String> {
    match place {
        Place::Elsewhere => None,
        Place::Folder(_) => Some(format!("mlflow-artifacts:/{experiment}/{inner}")),
        Place::Proxied(path) => {
            let moved =
                path.strip_prefix(source_experiment).filter(|rest| rest.starts_with('/') || rest.is_empty());
            let path = moved.map_or(path.clone(), |rest| format!("{experiment}{rest}"));
            Some(format!("mlflow-artifacts:/{path}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_as_mlflow_writes_them() {
        let proxied = |path: &str| Place::Proxied(path.to_owned());
        let folder = |path: &str| Place::Folder(PathBuf::from(path));
        for (uri, expected) in [
            ("mlflow-artifacts:/3/run/artifacts", proxied("3/run/artifacts")),
            ("mlflow-artifacts://host:5000/3/run", proxied("3/run")),
            ("http://host:5000/api/2.0/mlflow-artifacts/artifacts/3/run", proxied("3/run")),
            ("https://host/somewhere", Place::Elsewhere),
            ("file:///srv/ml%20runs/0", folder("/srv/ml runs/0")),
            ("file:/srv/x", folder("/srv/x")),
            ("file://localhost/srv/x", folder("/srv/x")),
            ("file://otherhost/srv/x", Place::Elsewhere),
            ("/srv/mlruns/0/r/artifacts", folder("/srv/mlruns/0/r/artifacts")),
            ("./mlruns/0/r/artifacts", folder("./mlruns/0/r/artifacts")),
            ("s3://bucket/x", Place::Elsewhere),
            ("dbfs:/x", Place::Elsewhere),
            ("", Place::Elsewhere),
        ] {
            assert_eq!(place(uri), expected, "{uri}");
        }
    }

    #[test]
    fn what_comes_lies_below_its_experiment() {
        let at = |uri: &str| home(&place(uri), "3", 8, "run/artifacts");
        assert_eq!(
            at("mlflow-artifacts:/3/run/artifacts").as_deref(),
            Some("mlflow-artifacts:/8/run/artifacts")
        );
        assert_eq!(at("mlflow-artifacts:/33/run").as_deref(), Some("mlflow-artifacts:/33/run"));
        assert_eq!(at("/srv/x").as_deref(), Some("mlflow-artifacts:/8/run/artifacts"));
        assert_eq!(at("s3://b/3/run"), None);
    }
}
