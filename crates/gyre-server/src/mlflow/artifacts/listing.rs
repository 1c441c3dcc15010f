//! Folders as MLflow lists them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_artifacts::index::{self, Child, Listing};
use gyre_artifacts::{ArtifactPath, Folder};
use gyre_store::{StoreError, Tx};
use serde::Serialize;

use crate::mlflow::MlflowError;

/// Children of a folder on one page of a listing that has pages.
pub(super) const PAGE: usize = 10_000;

/// Children of a folder that are listed where the protocol knows no pages.
const MOST: usize = 100_000;

/// A direct child of a folder.
#[derive(Debug, Serialize)]
pub(super) struct FileInfo {
    path: String,
    is_dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
}

/// A listing, as it goes out.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    root_uri: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// All of `folder`, by the names of its children.
///
/// # Errors
/// [`StoreError::Invalid`] when it has more than can be listed.
pub(super) fn whole(tx: &mut Tx<'_>, folder: &Folder) -> Result<Answer, StoreError> {
    let listing = index::list(tx, folder, None, MOST)?;
    if listing.more {
        return Err(StoreError::Invalid(format!(
            "`{folder}` has more than {MOST} files and folders of its own, which this endpoint cannot list; ask for them \
             in pages, by artifacts/list"
        )));
    }
    Ok(Answer { root_uri: None, files: infos(listing, ""), next_page_token: None })
}

/// A folder whose children are all known.
pub(super) fn of(children: Vec<Child>) -> Answer {
    let files = infos(Listing { children, more: false }, "");
    Answer { root_uri: None, files, next_page_token: None }
}

/// A page of the folder `inner` within the artifacts at `root`, whose URI is `uri`; paths are relative to that root.
///
/// # Errors
/// What the database said.
pub(super) fn page(
    tx: &mut Tx<'_>,
    (uri, root): (String, &Folder),
    inner: &Folder,
    after: Option<&Child>,
) -> Result<Answer, StoreError> {
    let folder = root.folder(inner).map_err(|invalid| StoreError::Invalid(invalid.to_string()))?;
    let listing = index::list(tx, &folder, after, PAGE)?;
    let next_page_token = listing.children.last().filter(|_| listing.more).map(token);
    let prefix = if inner.is_root() { String::new() } else { format!("{}/", inner.as_str()) };
    Ok(Answer { root_uri: Some(uri), files: infos(listing, &prefix), next_page_token })
}

fn infos(listing: Listing, prefix: &str) -> Vec<FileInfo> {
    let info = |child: Child| FileInfo {
        path: format!("{prefix}{}", child.name),
        is_dir: child.size.is_none(),
        file_size: child.size,
    };
    listing.children.into_iter().map(info).collect()
}

/// A page token says after which child to go on.
fn token(child: &Child) -> String {
    let kind = if child.size.is_some() { 'f' } else { 'd' };
    URL_SAFE_NO_PAD.encode(format!("{kind}{}", child.name))
}

/// The child that a page token names.
///
/// # Errors
/// It is none of [`page`]'s.
pub(super) fn after(token: &str) -> Result<Child, MlflowError> {
    let wrong =
        || MlflowError::invalid("the page token is not one that this server gave out; begin without one");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (size, name) = match (text.strip_prefix('f'), text.strip_prefix('d')) {
        (Some(name), _) => (Some(0), name),
        (_, Some(name)) => (None, name),
        _ => return Err(wrong()),
    };
    let path = ArtifactPath::from_field(name).map_err(|_| wrong())?;
    if path.name() != name {
        return Err(wrong());
    }
    Ok(Child { name: name.to_owned(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_others_are_refused() {
        for size in [Some(0), None] {
            let child = Child { name: "ü b".to_owned(), size };
            assert_eq!(after(&token(&child)).unwrap(), child);
        }
        for text in ["x", "", "f../a", "fa/b", "f"] {
            assert!(after(&URL_SAFE_NO_PAD.encode(text)).is_err(), "{text}");
        }
        assert!(after("{}").is_err());
    }
}
