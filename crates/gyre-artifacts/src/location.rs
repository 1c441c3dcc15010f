//! Where artifacts are to be kept, as a person says it: `file:///…`, `s3://…`, `gs://…`, `az://…`. Pure.

use std::path::PathBuf;
use std::str::FromStr;

/// A place for artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A bucket (or container) of an object storage.
    Bucket(Bucket),
}

/// A part of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Whose.
    pub provider: Provider,
    /// Its name.
    pub name: String,
    /// With what the keys in it begin; may be empty.
    pub prefix: String,
}

/// Who keeps a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and whatever speaks its protocol (`AWS_ENDPOINT_URL`).
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage; the account is `AZURE_STORAGE_ACCOUNT_NAME`.
    Azure,
}

/// Text that names no place for artifacts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is no place for artifacts: {flaw}; expected file:///FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or \
     az://CONTAINER/PREFIX, with credentials in the environment"
)]
pub struct InvalidLocation {
    found: String,
    flaw: &'static str,
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let wrong = |flaw| {
            // What stands before an @ may be a secret.
            let found = text.rsplit_once('@').map_or(text, |(_, after)| after);
            Err(InvalidLocation { found: found.chars().take(120).collect(), flaw })
        };
        let Some((scheme, rest)) = text.split_once("://") else { return wrong("it has no scheme") };
        if rest.contains('@') {
            return wrong("credentials do not belong into it");
        }
        if rest.contains(['?', '#', '%', '\\']) || rest.chars().any(char::is_control) {
            return wrong("it has a character that is not allowed there");
        }
        if scheme == "file" {
            return if rest.starts_with('/') {
                Ok(Self::Folder(PathBuf::from(rest)))
            } else {
                wrong("the folder is not absolute")
            };
        }
        let provider = match scheme {
            "s3" => Provider::S3,
            "gs" => Provider::Google,
            "az" => Provider::Azure,
            _ => return wrong("the scheme is not known"),
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.is_empty() {
            return wrong("it names no bucket");
        }
        let prefix = prefix.trim_end_matches('/');
        if !prefix.is_empty() && prefix.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return wrong("a part of the prefix is empty, `.` or `..`");
        }
        Ok(Self::Bucket(Bucket { provider, name: name.to_owned(), prefix: prefix.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_nonsense_is_refused_without_telling_secrets() {
        assert_eq!("file:///var/a b".parse(), Ok(Location::Folder(PathBuf::from("/var/a b"))));
        let bucket = |provider, prefix: &str| {
            Ok(Location::Bucket(Bucket { provider, name: "b".to_owned(), prefix: prefix.to_owned() }))
        };
        assert_eq!("s3://b".parse(), bucket(Provider::S3, ""));
        assert_eq!("s3://b/".parse(), bucket(Provider::S3, ""));
        assert_eq!("gs://b/team/x/".parse(), bucket(Provider::Google, "team/x"));
        assert_eq!("az://b/x".parse(), bucket(Provider::Azure, "x"));
        for text in [
            "",
            "/var/x",
            "file://var",
            "s3:///x",
            "ftp://b",
            "s3://b/../x",
            "s3://b//x",
            "s3://b?x=1",
            "s3://b/%2e%2e",
            "http://b/x",
        ] {
            let told = text.parse::<Location>().unwrap_err().to_string();
            assert!(told.contains("expected file:///FOLDER"), "{told}");
        }
        let told = "s3://key:secret@bucket/x".parse::<Location>().unwrap_err().to_string();
        assert!(!told.contains("secret") && told.contains("environment"), "{told}");
    }
}
