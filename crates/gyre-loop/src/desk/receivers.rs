//! Receivers of notifications that the project file names, with what the environment says of them.

use gyre_core::Timestamp;
use gyre_core::spec::{Project, Receiver as Declared};
use gyre_registry::{Author, Receiver, declare_receivers};
use gyre_store::{Store, StoreError};

/// Has the project's receivers told from now on, and no others. Returns those who cannot be, with the reason.
pub(super) fn take_over(project: &Project, store: &Store, at: Timestamp) -> Result<Vec<String>, StoreError> {
    let (mut receivers, mut trouble) = (Vec::new(), Vec::new());
    for (name, declared) in &project.notify {
        match resolve(name, declared, |variable| std::env::var(variable).ok()) {
            Ok(receiver) => receivers.push(receiver),
            Err(reason) => trouble.push(format!("notify.{name} is told nothing: {reason}")),
        }
    }
    let author = Author { at, actor: super::deploy::FILE_ACTOR.to_owned(), origin: None };
    let project = project.project.to_string();
    store.write(move |tx| declare_receivers(tx, &author, &project, &receivers))?;
    Ok(trouble)
}

fn resolve(
    name: &str,
    declared: &Declared,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Receiver, String> {
    let read = |named: &str| {
        let value = variable(named).filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("the variable `{named}` is not set where the server runs"))
    };
    let url = match (&declared.url, &declared.url_from) {
        (Some(url), _) => url.value.clone(),
        (None, Some(named)) => read(&named.value)?,
        (None, None) => return Err("it has no address".to_owned()),
    };
    let secret = declared.secret_from.as_ref().map(|named| read(&named.value)).transpose()?;
    let (about, models) = (declared.about.clone(), declared.models.clone());
    Ok(Receiver { name: name.to_owned(), url, secret, format: declared.format, about, models })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_not_there_is_named_and_one_that_is_there_is_not() {
        let text = "version: 1\nproject: p\nnotify:\n  team: {url_from: GYRE_NOTIFY_SLACK, format: slack}\n";
        let project = Project::parse("gyre.yaml", text).unwrap();
        let declared = &project.notify["team"];
        let missing = resolve("team", declared, |_| None).map(drop).unwrap_err();
        assert!(missing.contains("GYRE_NOTIFY_SLACK"), "{missing}");
        let found =
            resolve("team", declared, |_| Some("https://hooks.example.org/s3cret".to_owned())).unwrap();
        assert_eq!(found.url, "https://hooks.example.org/s3cret");
        assert_eq!(found.about.len(), 3);
    }
}
