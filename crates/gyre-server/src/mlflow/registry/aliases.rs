//! Aliases of registered models. For a model that the loop keeps, `champion` is a promotion and `challenger` is not the
//! client's to set.

use gyre_core::{ModelName, Version};
use gyre_loop::DeskError;
use gyre_registry::{CHALLENGER, CHAMPION, version_number};
use gyre_store::{StoreError, Tx};
use serde::Deserialize;
use serde_json::json;

use super::show;
use crate::mlflow::call::{Answer, Call, done, json, required};
use crate::mlflow::{ErrorCode, MlflowError};
use crate::routes::Need;

#[derive(Debug, Deserialize)]
pub(super) struct Alias {
    name: Option<String>,
    alias: Option<String>,
    version: Option<String>,
}

/// `GET registered-models/alias`
pub(super) async fn get(call: Call<Alias>) -> Answer {
    let name = required("name", &call.asked.name)?.to_owned();
    let alias = required("alias", &call.asked.alias)?.to_owned();
    let version = call.read(move |tx| gyre_registry::version_by_alias(tx, &name, &alias)).await?;
    json(&json!({"model_version": show::version(&version)}))
}

/// `POST registered-models/alias`
pub(super) async fn set(call: Call<Alias>) -> Answer {
    let author = call.author();
    let name = gyre_registry::model_name("name", required("name", &call.asked.name)?)?.to_owned();
    let alias = gyre_registry::check_new_alias(required("alias", &call.asked.alias)?)?.to_owned();
    let version = version_number(&name, required("version", &call.asked.version)?)?;
    match kept(&call, &name).filter(|_| [CHAMPION, CHALLENGER].contains(&alias.as_str())) {
        None => {
            let set = move |tx: &mut Tx<'_>| gyre_registry::set_alias(tx, &author, &name, &alias, version);
            call.write(set).await?;
        }
        Some(model) if alias == CHAMPION => promote(&call, model, version).await?,
        Some(model) => return Err(challenger(&model)),
    }
    done()
}

/// `DELETE registered-models/alias`
pub(super) async fn delete(call: Call<Alias>) -> Answer {
    let author = call.author();
    let name = required("name", &call.asked.name)?.to_owned();
    let alias = required("alias", &call.asked.alias)?.to_owned();
    call.write(move |tx| gyre_registry::delete_alias(tx, &author, &name, &alias)).await?;
    done()
}

/// The model that gyre serves under the name, if it does.
fn kept<T>(call: &Call<T>, name: &str) -> Option<ModelName> {
    let name = name.parse().ok()?;
    call.app.desk.models().contains(&name).then_some(name)
}

/// Makes `version` champion, as a person would at the desk, for which it takes the same role. One that is champion already
/// is left as it is.
async fn promote<T>(call: &Call<T>, model: ModelName, version: Version) -> Result<(), MlflowError> {
    call.caller.may(Need::Approve).map_err(|unfit| MlflowError::with_status(unfit.status, &unfit.message))?;
    let named = model.clone();
    let standing = call.read(move |tx| {
        gyre_registry::registered_version(tx, named.as_str(), version)?;
        if !gyre_registry::is_of_the_loop(tx, named.as_str(), Some(version))? {
            return Err(StoreError::Conflict(format!(
                "version {version} of `{named}` cannot be champion: a client registered it, so it has passed no gate of \
                 gyre.yaml; only versions that the loop trained and judged serve"
            )));
        }
        Ok((gyre_registry::champion(tx, &named)?, gyre_registry::version(tx, &named, version)?))
    });
    let (champion, record) = standing.await?;
    if champion == Some(version) {
        return Ok(());
    }
    if !record.gates.as_ref().is_some_and(|gates| gates.passed) {
        let failed = record.gates.iter().flat_map(|gates| &gates.results).filter(|result| !result.passed);
        let failed: Vec<String> =
            failed.map(|result| format!("`{}` ({})", result.gate, result.because)).collect();
        let reason = if failed.is_empty() {
            "its gates have not been asked yet".to_owned()
        } else {
            format!("it did not pass {}", failed.join(", "))
        };
        let refused = format!("version {version} of `{model}` cannot be champion: {reason}");
        return Err(MlflowError::new(ErrorCode::ResourceConflict, refused));
    }
    let from = call.caller.origin().map_or(String::new(), |origin| format!(" ({origin})"));
    let (actor, reason) = (
        call.caller.actor.to_string(),
        format!("the alias `champion` was set by a client of the registry{from}"),
    );
    let promoted = call.app.operate(move |app| app.desk.promote(&model, version, &actor, &reason)).await?;
    promoted.map(drop).map_err(|error| match error {
        DeskError::Store(error) => error.into(),
        other => MlflowError::new(ErrorCode::ResourceConflict, other.to_string()),
    })
}

fn challenger(model: &ModelName) -> MlflowError {
    let refused = format!(
        "the alias `challenger` of `{model}` names the version that the loop is trying: it is set by a training and a \
         rollout, not by a client; choose another alias"
    );
    MlflowError::new(ErrorCode::ResourceConflict, refused)
}
