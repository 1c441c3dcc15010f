//! What may be done to registered models: each change is checked, then told to the journal, which does it.
//!
//! Models that the loop keeps right are in the same catalogue, and there a client may add versions, tags, descriptions and
//! aliases; but what the loop decides (its versions, `champion`, `challenger`) is not changed behind its back.

use std::collections::BTreeMap;

use gyre_core::fact::{Fact, RegistryChange as Change, Text};
use gyre_core::{Timestamp, Version};
use gyre_store::{Appended, NewFact, StoreError, Tx};

use crate::catalog::{
    RegisteredModel, is_of_the_loop, is_prompt, is_registered, registered_model, registered_version,
};
use crate::record::{CHALLENGER, CHAMPION};
use crate::rules::{self, no_model};
use crate::texts;

/// Who changes something, when, and from where.
#[derive(Debug, Clone)]
pub struct Author {
    /// When.
    pub at: Timestamp,
    /// Who, as the journal names them.
    pub actor: String,
    /// From where: address, and what the client calls itself.
    pub origin: Option<String>,
}

impl Author {
    pub(crate) fn tell(&self, tx: &mut Tx<'_>, change: Change) -> Result<Appended, StoreError> {
        tx.append(self.fact(change))
    }

    fn fact(&self, change: Change) -> NewFact {
        NewFact::new(self.at, self.actor.clone(), Fact::Registry(change)).from_where(self.origin.clone())
    }

    /// Tells a change, and the tags that did not fit into it.
    pub(crate) fn tell_with_tags(
        &self,
        tx: &mut Tx<'_>,
        tags: BTreeMap<String, String>,
        first: impl FnOnce(BTreeMap<String, Text>) -> Change,
        more: impl Fn(BTreeMap<String, Text>) -> Change,
    ) -> Result<(), StoreError> {
        let mut parts = texts::keep_tags(tx, tags)?.into_iter();
        let told = self.tell(tx, first(parts.next().unwrap_or_default()))?;
        for part in parts {
            tx.append(self.fact(more(part)).because_of(told.seq))?;
        }
        Ok(())
    }
}

/// Registers a model.
///
/// # Errors
/// [`StoreError::Exists`]; [`StoreError::Invalid`] for a name, description or tag that cannot be.
pub fn create_model(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    description: Option<&str>,
    tags: Vec<(String, String)>,
) -> Result<RegisteredModel, StoreError> {
    let name = rules::model_name("name", name)?.to_owned();
    let tags = rules::tags(tags)?;
    if is_registered(tx, &name)? {
        let what = if is_prompt(tx, &name)? { "prompt" } else { "registered model" };
        return Err(StoreError::Exists { what, name: rules::shown(&name) });
    }
    let description = described(tx, description)?;
    let named = name.clone();
    let first = |tags| Change::ModelCreated { name: name.clone(), description, tags };
    author.tell_with_tags(tx, tags, first, |tags| Change::ModelTagsSet { name: name.clone(), tags })?;
    registered_model(tx, &named)
}

/// Describes a model in other words, or in none.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`] when it is too long.
pub fn describe_model(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    description: Option<&str>,
) -> Result<RegisteredModel, StoreError> {
    known(tx, name)?;
    let description = described(tx, description)?;
    author.tell(tx, Change::ModelDescribed { name: name.to_owned(), description })?;
    registered_model(tx, name)
}

/// Gives a model and its versions another name.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Exists`]; [`StoreError::Conflict`] for a model that the loop keeps.
pub fn rename_model(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    to: &str,
) -> Result<RegisteredModel, StoreError> {
    rules::model_name("new_name", to)?;
    known(tx, name)?;
    not_of_the_loop(tx, name, "renamed")?;
    if name != to && is_registered(tx, to)? {
        return Err(StoreError::Exists { what: "registered model", name: rules::shown(to) });
    }
    author.tell(tx, Change::ModelRenamed { name: name.to_owned(), to: to.to_owned() })?;
    registered_model(tx, to)
}

/// Takes a model away, with its versions, tags and aliases. Their numbers are not used again.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] for a model that the loop keeps.
pub fn delete_model(tx: &mut Tx<'_>, author: &Author, name: &str) -> Result<(), StoreError> {
    known(tx, name)?;
    not_of_the_loop(tx, name, "deleted")?;
    author.tell(tx, Change::ModelDeleted { name: name.to_owned() }).map(drop)
}

/// Sets a tag of a model.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`].
pub fn set_model_tag(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    key: String,
    value: String,
) -> Result<(), StoreError> {
    rules::model_name("name", name)?;
    let tags = rules::tags(vec![(key, value)])?;
    known(tx, name)?;
    let set = |tags| Change::ModelTagsSet { name: name.to_owned(), tags };
    author.tell_with_tags(tx, tags, set, set)
}

/// Takes a tag of a model away; one that is not there is gone already.
///
/// # Errors
/// [`StoreError::NotFound`] without such a model; [`StoreError::Invalid`].
pub fn delete_model_tag(tx: &mut Tx<'_>, author: &Author, name: &str, key: &str) -> Result<(), StoreError> {
    rules::model_name("name", name)?;
    rules::tag_key(key)?;
    known(tx, name)?;
    let sql = "SELECT 1 FROM registry_model_tags WHERE name = ?1 AND key = ?2";
    if tx.query(sql, &[name.into(), key.into()])?.is_empty() {
        return Ok(());
    }
    author.tell(tx, Change::ModelTagDeleted { name: name.to_owned(), key: key.to_owned() }).map(drop)
}

/// Has `alias` point to a version, wherever it pointed before.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Invalid`]; [`StoreError::Conflict`] for an alias that the loop moves.
pub fn set_alias(
    tx: &mut Tx<'_>,
    author: &Author,
    name: &str,
    alias: &str,
    version: Version,
) -> Result<(), StoreError> {
    rules::model_name("name", name)?;
    rules::new_alias(alias)?;
    registered_version(tx, name, version)?;
    not_the_loops_alias(tx, name, alias)?;
    let (name, alias) = (name.to_owned(), alias.to_owned());
    author.tell(tx, Change::AliasSet { name, alias, version }).map(drop)
}

/// Takes an alias away; one that is not there is gone already.
///
/// # Errors
/// [`StoreError::NotFound`] without such a model; [`StoreError::Invalid`]; [`StoreError::Conflict`] for an alias that the
/// loop moves.
pub fn delete_alias(tx: &mut Tx<'_>, author: &Author, name: &str, alias: &str) -> Result<(), StoreError> {
    rules::model_name("name", name)?;
    rules::alias(alias)?;
    known(tx, name)?;
    if !crate::query::aliases(tx, name)?.contains_key(alias) {
        return Ok(());
    }
    not_the_loops_alias(tx, name, alias)?;
    let (name, alias) = (name.to_owned(), alias.to_owned());
    author.tell(tx, Change::AliasDeleted { name, alias }).map(drop)
}

/// Checks that there is a model of that name.
pub(crate) fn known(tx: &mut Tx<'_>, name: &str) -> Result<(), StoreError> {
    rules::model_name("name", name)?;
    if is_registered(tx, name)? { Ok(()) } else { Err(no_model(name)) }
}

pub(crate) fn described(tx: &mut Tx<'_>, description: Option<&str>) -> Result<Option<Text>, StoreError> {
    let Some(text) = description else { return Ok(None) };
    texts::keep(tx, rules::description(text)?.to_owned()).map(Some)
}

fn not_of_the_loop(tx: &mut Tx<'_>, name: &str, done: &str) -> Result<(), StoreError> {
    if !is_of_the_loop(tx, name, None)? {
        return Ok(());
    }
    Err(StoreError::Conflict(format!(
        "`{name}` cannot be {done}: gyre.yaml says how it is kept right, and its versions may serve again"
    )))
}

fn not_the_loops_alias(tx: &mut Tx<'_>, name: &str, alias: &str) -> Result<(), StoreError> {
    if ![CHAMPION, CHALLENGER].contains(&alias) || !is_of_the_loop(tx, name, None)? {
        return Ok(());
    }
    Err(StoreError::Conflict(format!(
        "the alias `{alias}` of `{name}` follows what serves: it moves with a promotion or a rollback \
         (`gyre model promote {name} VERSION`), not by itself"
    )))
}
