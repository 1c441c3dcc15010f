//! Registered models: every version under its own number, every change a fact at the time at which it was made.
//!
//! The journal is told of each model as if it had been registered here: at the moments and by the people that the source
//! names, and from where it was imported. A model comes in one transaction, with all its versions.

use std::collections::BTreeMap;

use gyre_artifacts::{Folder, index};
use gyre_core::fact::{Fact, RegistryChange};
use gyre_core::{Digest, Timestamp, Version};
use gyre_registry::{Author, NewVersion, WebhookChange};
use gyre_store::{NewFact, Store, StoreError, Tx};
use gyre_tracking::By;

use crate::place::{Place, place};
use crate::record::{Problem, SourceRegistered, SourceVersion, SourceWebhook};
use crate::report::{Kind, Report};
use crate::{ImportError, Options, room};

/// Which names are taken here by models that do not come from this source.
pub(crate) fn clashes(
    tx: &mut Tx<'_>,
    import: Option<i64>,
    found: &[SourceRegistered],
    prefix: &str,
) -> Result<Vec<String>, StoreError> {
    let mut clashes = Vec::new();
    for model in found {
        let name = format!("{prefix}{}", model.name);
        let ours = match import {
            Some(import) => room::brought_model(tx, import, &name)?,
            None => false,
        };
        if !ours && gyre_registry::is_registered(tx, &name)? {
            clashes.push(format!("there is a registered model `{name}` here"));
        }
    }
    Ok(clashes)
}

/// Brings the models.
pub(crate) fn bring(
    store: &Store,
    import: i64,
    found: Vec<SourceRegistered>,
    options: &Options,
    by: &By,
    report: &mut Report,
) -> Result<(), ImportError> {
    for mut model in found {
        model.name = format!("{}{}", options.prefix, model.name);
        let (name, versions) = (model.name.clone(), model.versions.len() as u64);
        let by = by.clone();
        let brought = store.write(move |tx| bring_one(tx, import, &model, &by));
        match brought {
            Ok(brought) => {
                let tally = report.tally(Kind::RegisteredModels);
                *(if brought.fresh { &mut tally.imported } else { &mut tally.here }) += 1;
                let tally = report.tally(Kind::ModelVersions);
                tally.imported += brought.versions;
                tally.here += versions - brought.versions - brought.problems.len() as u64;
                brought.problems.iter().for_each(|problem| report.problem(problem));
            }
            Err(error @ (StoreError::Invalid(_) | StoreError::Conflict(_))) => {
                report.skip(Kind::ModelVersions, "their model does not come", versions);
                let (kind, place) = (Kind::RegisteredModels, format!("registered model `{name}`"));
                report.problem(&Problem { kind, place, reason: error.to_string(), lost: 1 });
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

/// The stage of a version that is no more; MLflow keeps it so that its number is not used again.
const DELETED: &str = "Deleted_Internal";

/// Brings webhooks, switched off: they have no secret until somebody gives them one.
pub(crate) fn webhooks(
    store: &Store,
    import: i64,
    found: Vec<SourceWebhook>,
    by: &By,
    report: &mut Report,
) -> Result<(), ImportError> {
    for webhook in found {
        let (place, by) = (format!("webhook `{}`", webhook.name), by.clone());
        let brought = store.write(move |tx| match gyre_registry::webhook(tx, &webhook.id) {
            Ok(_) => Ok(false),
            Err(StoreError::NotFound { .. }) => {
                let new = WebhookChange {
                    name: Some(webhook.name),
                    description: webhook.description,
                    url: Some(webhook.url),
                    events: Some(webhook.events),
                    secret: None,
                    active: Some(false),
                };
                gyre_registry::create_webhook(tx, &at(&by, webhook.created, None), webhook.id, new)?;
                room::count(tx, import, Kind::Webhooks.words(), 1)?;
                Ok(true)
            }
            Err(other) => Err(other),
        });
        match brought {
            Ok(fresh) => {
                let tally = report.tally(Kind::Webhooks);
                *(if fresh { &mut tally.imported } else { &mut tally.here }) += 1;
                if fresh {
                    let reason = "it is switched off, for its secret does not come along: give it one and switch it on";
                    report.problem(&Problem {
                        kind: Kind::Webhooks,
                        place,
                        reason: reason.to_owned(),
                        lost: 0,
                    });
                }
            }
            Err(error @ (StoreError::Invalid(_) | StoreError::Conflict(_))) => {
                let reason = error.to_string();
                report.problem(&Problem { kind: Kind::Webhooks, place, reason, lost: 1 });
            }
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

struct Brought {
    fresh: bool,
    versions: u64,
    problems: Vec<Problem>,
}

fn bring_one(tx: &mut Tx<'_>, import: i64, model: &SourceRegistered, by: &By) -> Result<Brought, StoreError> {
    let name = &model.name;
    let mut brought =
        Brought { fresh: !room::brought_model(tx, import, name)?, versions: 0, problems: Vec::new() };
    if brought.fresh {
        let author = at(by, model.created, None);
        gyre_registry::create_model(tx, &author, name, model.description.as_deref(), model.tags.clone())?;
        room::model_came(tx, import, name)?;
        room::count(tx, import, Kind::RegisteredModels.words(), 1)?;
    }
    let before: Vec<Version> =
        gyre_registry::registered_versions(tx, name)?.iter().map(|version| version.version).collect();
    for version in &model.versions {
        let number = Version::try_from(version.version).unwrap_or_default();
        if before.contains(&number) || (version.stage == DELETED && !brought.fresh) {
            continue;
        }
        if number == 0 || before.iter().any(|other| *other > number) {
            let reason = "its number is none, or a later one is here already".to_owned();
            let place = format!("version {} of `{name}`", version.version);
            brought.problems.push(Problem { kind: Kind::ModelVersions, place, reason, lost: 1 });
            continue;
        }
        bring_version(tx, name, number, version, by)?;
        brought.versions += 1;
    }
    room::count(tx, import, Kind::ModelVersions.words(), brought.versions)?;
    let now = gyre_registry::registered_model(tx, name)?;
    for (alias, version) in &model.aliases {
        let version = Version::try_from(*version).unwrap_or_default();
        if now.aliases.get(alias) != Some(&version) && brought.versions > 0 {
            // An alias may be older than the rules of today; the fact is what counts.
            gyre_registry::registered_version(tx, name, version)?;
            let change = RegistryChange::AliasSet { name: name.clone(), alias: alias.clone(), version };
            tell(tx, &at(by, model.updated, None), change)?;
        }
    }
    if (brought.fresh || brought.versions > 0) && now.updated.as_millis() != model.updated {
        gyre_registry::describe_model(tx, &at(by, model.updated, None), name, model.description.as_deref())?;
    }
    Ok(brought)
}

fn bring_version(
    tx: &mut Tx<'_>,
    name: &str,
    number: Version,
    version: &SourceVersion,
    by: &By,
) -> Result<(), StoreError> {
    let source = rebased(tx, &version.source)?;
    let location = version.location.as_deref().map(|location| rebased(tx, location)).transpose()?;
    let digest = digest(tx, location.as_deref().unwrap_or(&source))?;
    let new = NewVersion {
        name: name.to_owned(),
        number: Some(number),
        source,
        location,
        run_id: version.run_id.clone(),
        run_link: version.run_link.clone(),
        logged_model: version.logged_model.clone(),
        description: version.description.clone(),
        tags: version.tags.clone(),
        digest,
    };
    gyre_registry::create_version(tx, &at(by, version.created, version.user.as_deref()), new)?;
    let changed = at(by, version.updated, None);
    if version.stage == DELETED {
        // Its number stays used.
        return gyre_registry::delete_version(tx, &changed, name, number);
    }
    if version.stage != "None" && !version.stage.is_empty() {
        let (name, stage) = (name.to_owned(), version.stage.clone());
        let change = RegistryChange::VersionStaged { name, version: number, stage, archived: Vec::new() };
        return tell(tx, &changed, change);
    }
    if version.updated != version.created {
        gyre_registry::describe_version(tx, &changed, name, number, version.description.as_deref())?;
    }
    Ok(())
}

fn tell(tx: &mut Tx<'_>, author: &Author, change: RegistryChange) -> Result<(), StoreError> {
    let fact = NewFact::new(author.at, author.actor.clone(), Fact::Registry(change));
    tx.append(fact.from_where(author.origin.clone())).map(drop)
}

/// Who did it at the source, and when; an import says from where it has it.
fn at(by: &By, millis: i64, user: Option<&str>) -> Author {
    let actor = user.filter(|user| !user.is_empty()).map(|user| format!("user:{user}"));
    Author {
        at: Timestamp::from_millis(millis),
        actor: actor.unwrap_or_else(|| by.actor.clone()),
        origin: by.origin.clone(),
    }
}

/// A source that lies below the artifacts of a run or of a logged model, as it is called since they came along.
fn rebased(tx: &mut Tx<'_>, source: &str) -> Result<String, StoreError> {
    if matches!(place(source), Place::Elsewhere) {
        return Ok(source.to_owned());
    }
    let Some((before, after)) = source.split_once("/artifacts") else { return Ok(source.to_owned()) };
    if !after.is_empty() && !after.starts_with('/') {
        return Ok(source.to_owned());
    }
    let owner = before.rsplit('/').next().unwrap_or_default();
    for sql in [
        "SELECT artifact_uri FROM tracking_runs WHERE run_id = ?1",
        "SELECT artifact_uri FROM tracking_logged_models WHERE model_id = ?1",
    ] {
        if let Some(row) = tx.query(sql, &[owner.into()])?.first() {
            return Ok(format!("{}{after}", row.get::<String>(0)?));
        }
    }
    Ok(source.to_owned())
}

/// The digest of the tree of a version's artifacts, when they are here.
fn digest(tx: &mut Tx<'_>, source: &str) -> Result<Option<Digest>, StoreError> {
    let ways: BTreeMap<&str, &str> = BTreeMap::from([
        ("runs:/", "SELECT artifact_uri FROM tracking_runs WHERE run_id = ?1"),
        ("models:/", "SELECT artifact_uri FROM tracking_logged_models WHERE model_id = ?1"),
    ]);
    let mut uri = source.to_owned();
    for (scheme, sql) in ways {
        let Some(rest) = source.strip_prefix(scheme) else { continue };
        let (owner, inner) = rest.trim_start_matches('/').split_once('/').unwrap_or((rest, ""));
        let rows = tx.query(sql, &[owner.into()])?;
        let Some(row) = rows.first() else { return Ok(None) };
        uri = format!("{}/{inner}", row.get::<String>(0)?);
    }
    let Ok(folder) = Folder::from_uri(uri.trim_end_matches('/')) else { return Ok(None) };
    let tree = index::tree_digest(tx, &folder)?;
    Ok((tree.files > 0).then_some(tree.digest))
}
