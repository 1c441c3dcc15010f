//! Registered models, their versions, aliases and tags: MLflow's model registry.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `models` | registered models, their tags |
//! | `versions` | their versions, stages, tags; where a version's artifacts are |
//! | `aliases` | aliases; for a model that the loop keeps, `champion` is a promotion |
//! | `search` | searching both |
//! | `show` | models and versions as MLflow writes them |
//! | `webhooks` | who is told of changes |
//! | `tracked` | what tracking knows of runs and logged models |

mod aliases;
mod models;
pub(super) mod search;
mod show;
mod tracked;
mod versions;
mod webhooks;

use axum::http::Method;
use gyre_registry::{Author, Stage};
use serde::Deserialize;

use super::{Call, MlflowError, endpoint};
use crate::routes::{Need, Routes};

pub(super) fn routes(routes: &mut Routes) {
    let (get, post, patch, delete) = (&Method::GET, &Method::POST, &Method::PATCH, &Method::DELETE);
    endpoint(routes, post, "/registered-models/create", Need::Write, models::create);
    endpoint(routes, get, "/registered-models/get", Need::Read, models::get);
    endpoint(routes, patch, "/registered-models/update", Need::Write, models::update);
    endpoint(routes, post, "/registered-models/rename", Need::Write, models::rename);
    endpoint(routes, delete, "/registered-models/delete", Need::Write, models::delete);
    endpoint(routes, get, "/registered-models/get-latest-versions", Need::Read, models::latest_versions);
    endpoint(routes, post, "/registered-models/get-latest-versions", Need::Read, models::latest_versions);
    endpoint(routes, get, "/registered-models/search", Need::Read, search::models);
    endpoint(routes, get, "/model-versions/search", Need::Read, search::versions);
    endpoint(routes, post, "/registered-models/set-tag", Need::Write, models::set_tag);
    endpoint(routes, delete, "/registered-models/delete-tag", Need::Write, models::delete_tag);
    endpoint(routes, get, "/registered-models/alias", Need::Read, aliases::get);
    endpoint(routes, post, "/registered-models/alias", Need::Write, aliases::set);
    endpoint(routes, delete, "/registered-models/alias", Need::Write, aliases::delete);
    endpoint(routes, post, "/model-versions/create", Need::Write, versions::create);
    endpoint(routes, get, "/model-versions/get", Need::Read, versions::get);
    endpoint(routes, get, "/model-versions/get-download-uri", Need::Read, versions::download_uri);
    endpoint(routes, patch, "/model-versions/update", Need::Write, versions::update);
    endpoint(routes, delete, "/model-versions/delete", Need::Write, versions::delete);
    endpoint(routes, post, "/model-versions/transition-stage", Need::Write, versions::transition_stage);
    endpoint(routes, post, "/model-versions/set-tag", Need::Write, versions::set_tag);
    endpoint(routes, delete, "/model-versions/delete-tag", Need::Write, versions::delete_tag);
    // A webhook has the server connect to an address, and its own may hold a key.
    endpoint(routes, post, "/webhooks", Need::Admin, webhooks::create);
    endpoint(routes, get, "/webhooks", Need::Admin, webhooks::list);
    endpoint(routes, get, "/webhooks/{id}", Need::Admin, webhooks::get);
    endpoint(routes, patch, "/webhooks/{id}", Need::Admin, webhooks::update);
    endpoint(routes, delete, "/webhooks/{id}", Need::Admin, webhooks::delete);
    endpoint(routes, post, "/webhooks/{id}/test", Need::Admin, webhooks::test);
}

/// A tag, as requests bear it.
#[derive(Debug, Deserialize)]
struct Tag {
    key: Option<String>,
    value: Option<String>,
}

impl Tag {
    fn pair(&self) -> (String, String) {
        (self.key.clone().unwrap_or_default(), self.value.clone().unwrap_or_default())
    }

    /// Whether tags say that what bears them is a prompt; of a key that comes twice, the last value counts.
    fn are_of_a_prompt(tags: &[Self]) -> bool {
        let of_prompt = |tag: &&Self| tag.key.as_deref() == Some(gyre_registry::IS_PROMPT);
        let value = tags.iter().rfind(of_prompt).and_then(|tag| tag.value.as_deref());
        value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl<T> Call<T> {
    /// The caller as the author of a change of the registry.
    fn author(&self) -> Author {
        let at = self.app.clock.now();
        Author { at, actor: self.caller.actor.to_string(), origin: self.caller.origin() }
    }
}

fn stages(names: &[String]) -> Result<Vec<Stage>, MlflowError> {
    Ok(names.iter().map(|name| Stage::parse(name)).collect::<Result<_, _>>()?)
}
