//! Deploying: files of models, versions of any kind, rollouts, shares of traffic.
//!
//! | step | route |
//! | --- | --- |
//! | put a model's file where versions can name it | `POST /v1/blobs` |
//! | register a version: a file, a command, a URL | `POST /v1/models/{model}/versions` |
//! | roll it out | `POST /v1/models/{model}/deploy` |
//! | set shares by hand | `POST /v1/models/{model}/traffic` |
//! | see what runs outside | `GET /v1/models/{model}/runtimes` |

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use gyre_core::fact::{BanditPlan, RolloutPlan, SplitRules};
use gyre_core::record::Signature;
use gyre_core::runtime::Runtime;
use gyre_core::spec::{Deploy, Percent, Strategy};
use gyre_core::{Digest, ModelName, Span, Version};
use gyre_loop::{DeskError, NewVersion};
use serde::Deserialize;
use serde_json::json;

use super::logged::{self, Logged};
use super::operations::{LIMIT, Name, entry, reason};
use super::{Refused, known};
use crate::app::App;
use crate::caller::Caller;
use crate::payload;
use crate::routes::Need;

/// The largest file of a model that runs in process, in bytes.
pub(super) const LARGEST_FILE: usize = 256 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    #[serde(default)]
    runtime: Runtime,
    #[serde(default)]
    artifact: Option<Digest>,
    #[serde(default)]
    signature: Option<Signature>,
    #[serde(default)]
    source: Option<String>,
    /// A model that was logged here: `models:/NAME/3`, `runs:/RUN/PATH`, …
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    dry_run: bool,
    /// Whether it is to be rolled out at once: refused while other work is under way, before anything is registered.
    #[serde(default)]
    to_deploy: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deployment {
    version: Version,
    #[serde(default)]
    plan: Wish,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// What somebody wants otherwise than the model's policy has it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    strategy: Option<Strategy>,
    steps: Option<Vec<Percent>>,
    min_requests: Option<u64>,
    alpha: Option<f64>,
    rollback_on: Option<Vec<String>>,
    bake: Option<Span>,
    min_labels: Option<u64>,
    labels_within: Option<Span>,
    bandit: Option<BanditPlan>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shares {
    #[serde(default)]
    weights: Option<Vec<Share>>,
    #[serde(default)]
    split: Option<SplitRules>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    version: Version,
    share: Percent,
}

impl Wish {
    /// The policy's plan with what is wanted otherwise; none when nothing is.
    fn over(self, policy: RolloutPlan) -> Option<RolloutPlan> {
        let Self {
            strategy,
            steps,
            min_requests,
            alpha,
            rollback_on,
            bake,
            min_labels,
            labels_within,
            bandit,
        } = self;
        let nothing = strategy.is_none()
            && steps.is_none()
            && min_requests.is_none()
            && alpha.is_none()
            && rollback_on.is_none()
            && bake.is_none()
            && min_labels.is_none()
            && labels_within.is_none()
            && bandit.is_none();
        if nothing {
            return None;
        }
        let mut plan = policy;
        match strategy {
            None => {}
            Some(Strategy::Bandit) => {
                (plan.steps, plan.bake) = (vec![10_000], None);
                plan.bandit = plan.bandit.or_else(|| Some(BanditPlan::default()));
            }
            Some(Strategy::Replace) => (plan.steps, plan.bake) = (vec![10_000], None),
            Some(Strategy::BlueGreen) => {
                (plan.steps, plan.bake) = (vec![10_000], Some(plan.bake.unwrap_or(Deploy::BAKE)));
            }
            Some(Strategy::Shadow) => plan.steps = vec![0, 10_000],
            Some(Strategy::Canary) if plan.steps.len() < 2 => plan.steps = Deploy::default().plan().steps,
            Some(Strategy::Canary) => {}
        }
        if let Some(steps) = steps {
            plan.steps = steps.iter().map(|step| step.basis_points()).collect();
        }
        plan.min_requests = min_requests.unwrap_or(plan.min_requests);
        plan.alpha = alpha.unwrap_or(plan.alpha);
        plan.rollback_on = rollback_on.unwrap_or(plan.rollback_on);
        plan.bake = bake.or(plan.bake);
        plan.min_labels = min_labels.unwrap_or(plan.min_labels);
        plan.labels_within = labels_within.or(plan.labels_within);
        if strategy.is_some_and(|strategy| strategy != Strategy::Bandit) {
            plan.bandit = None;
        }
        plan.bandit = bandit.or(plan.bandit);
        Some(plan)
    }
}

/// `POST /v1/blobs`, the bytes as they are: answers with their digest, by which a version can name them.
pub(crate) async fn put_blob(
    State(app): State<Arc<App>>,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let _place = app.upload()?;
    let bytes = payload::whole(request, LARGEST_FILE).await?;
    let size = bytes.len();
    let digest = app.operate(move |app| app.store.blobs().put(&bytes)).await??;
    Ok(Json(json!({ "digest": digest, "size": size })).into_response())
}

/// `POST /v1/models/{model}/versions {runtime?, artifact?, signature?, source?, from?, dry_run?}`: nothing serves it yet. A
/// dry run answers with the number that it would get and, for a version on a cluster, with the objects that it would have
/// there.
pub(crate) async fn register(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Name,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let model = named(path)?;
    let body = payload::read(request, LIMIT).await?;
    let Registration { runtime, artifact, signature, source, from, dry_run, to_deploy } =
        payload::json(&body)?;
    check_runtime(&app, &caller, &runtime)?;
    if to_deploy {
        app.desk.at_rest(&model)?;
    }
    if dry_run {
        let Runtime::Kubernetes(of) = runtime else {
            let told = "a dry run of a registration is for versions on a cluster";
            return Err(Refused::new(StatusCode::BAD_REQUEST, told));
        };
        let named = model.clone();
        let (version, objects) = app.operate(move |app| app.desk.planned(&named, &of)).await??;
        let body = json!({ "model": model, "version": version, "objects": objects, "dry_run": true });
        return Ok(Json(body).into_response());
    }
    let new = NewVersion { model, runtime, artifact, signature, source, run: None };
    let registered = match from {
        None => app.operate(move |app| Ok::<_, Refused>(app.desk.register(new, &caller.actor)?)).await?,
        Some(from) => {
            if new.artifact.is_some() || new.source.is_some() {
                let told = "`from` says where the model is; `artifact` and `source` have no place beside it";
                return Err(Refused::new(StatusCode::BAD_REQUEST, told));
            }
            // Its file is held in memory whole.
            let _place = app.upload()?;
            app.operate(move |app| {
                let logged = logged::find(app, &from)?;
                let is_native = new.runtime.is_native();
                app.desk.register(completed(app, new, &logged)?, &caller.actor).map_err(|error| match error {
                    DeskError::Refused(reason) if is_native => logged.unable(&reason),
                    error => error.into(),
                })
            })
            .await?
        }
    };
    registered.map(|registered| (StatusCode::CREATED, Json(registered)).into_response())
}

/// Completes `new` by what a logged model says of itself. Blocks.
fn completed(app: &App, mut new: NewVersion, logged: &Logged) -> Result<NewVersion, Refused> {
    match &mut new.runtime {
        Runtime::Native => {
            // A file may say itself what it takes, where `MLmodel` does not.
            let signature = new.signature.take().or_else(|| logged.signature().ok());
            new.artifact = Some(app.store.blobs().put(&logged.native(app)?)?);
            new.signature = signature;
        }
        Runtime::Process(process) => {
            let wrong = |why| Refused::new(StatusCode::BAD_REQUEST, format!("{}: {why}", logged.source));
            let signature = new.signature.take().map_or_else(|| logged.signature(), Ok).map_err(wrong)?;
            new.signature = Some(signature);
            logged.lay_out(app, process)?;
        }
        Runtime::Endpoint(_) | Runtime::Kubernetes(_) => {
            let told = "a model that was logged here is run in process or by a command, not at a URL or on a cluster";
            return Err(Refused::new(StatusCode::BAD_REQUEST, told));
        }
    }
    (new.source, new.run) = (Some(logged.source.clone()), logged.run.clone());
    Ok(new)
}

/// Running a command, here or as a container on a cluster, is more than moving traffic: it takes an administrator, and on a server that lets everybody on its
/// machine in, whoever started the server must have allowed it.
fn check_runtime(app: &App, caller: &Caller, runtime: &Runtime) -> Result<(), Refused> {
    let (Runtime::Process(_) | Runtime::Kubernetes(_)) = runtime else { return Ok(()) };
    caller.may(Need::Admin).map_err(|unfit| Refused::new(unfit.status, unfit.message))?;
    if app.asks || app.commands {
        return Ok(());
    }
    let told = "this server lets everybody on this machine in, so it runs no commands and no containers that a request brings";
    Err(Refused::new(StatusCode::FORBIDDEN, told)
        .helping("start it with `gyre up --allow-commands`, or with `--auth required`"))
}

/// `POST /v1/models/{model}/deploy {version, plan?, reason?, dry_run?}`: answers once the version is ready and its rollout is
/// asked for; the journal tells the rest.
pub(crate) async fn deploy(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Name,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let body = payload::read(request, LIMIT).await?;
    let Deployment { version, plan, reason: given, dry_run } = payload::json(&body)?;
    let reason = reason(given)?;
    let served = app.desk.project();
    let policy =
        served.models.get(&model).map_or_else(|| Deploy::default().plan(), |spec| spec.deploy.plan());
    let plan = plan.over(policy.clone());
    if let Some(plan) = &plan {
        plan.check().map_err(|wrong| Refused::new(StatusCode::BAD_REQUEST, wrong))?;
    }
    if dry_run {
        let named = model.clone();
        let record = app.operate(move |app| app.desk.deployable(&named, version)).await??;
        let plan = plan.unwrap_or(policy);
        let judged = record.gates.is_some();
        return Ok(Json(json!({
            "model": model, "version": version, "runtime": record.registered.runtime, "plan": plan,
            "judged": judged, "dry_run": true,
        }))
        .into_response());
    }
    let named = model.clone();
    let deployed = app.operate(move |app| {
        let appended = app.desk.deploy(&named, version, plan, &caller.actor, &reason)?;
        Ok::<_, DeskError>((appended, app.desk.share(&named, version)))
    });
    let (appended, share) = deployed.await??;
    let share = share.map(|share| f64::from(share) / 100.0);
    let body = json!({ "model": model, "version": version, "entry": appended.seq, "share": share });
    Ok(Json(body).into_response())
}

/// `POST /v1/models/{model}/traffic {weights: [{version, share}] | split: {rules: [{when, to}], headers?}, reason?, dry_run?}`:
/// shares in percent, that add up to 100; or the rules that decide before they do, all of them, none to let chance alone decide.
pub(crate) async fn split(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Name,
    request: Request<Body>,
) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let body = payload::read(request, LIMIT).await?;
    let Shares { weights, split, reason: given, dry_run } = payload::json(&body)?;
    let reason = reason(given)?;
    let weights = match (weights, split) {
        (Some(weights), None) => weights,
        (None, Some(split)) => {
            if dry_run {
                let named = model.clone();
                app.operate(move |app| app.desk.rulable(&named, &split)).await??;
                return Ok(Json(json!({ "model": model, "dry_run": true })).into_response());
            }
            let job = move |app: &App, model: &ModelName| app.desk.rule(model, split, &caller.actor, &reason);
            return entry(&app, model, job).await;
        }
        _ => {
            let told = "either `weights` or `split` is needed, and not both";
            return Err(Refused::new(StatusCode::BAD_REQUEST, told));
        }
    };
    let weights: Vec<(Version, u32)> =
        weights.iter().map(|Share { version, share }| (*version, share.basis_points())).collect();
    if dry_run {
        let named = model.clone();
        app.operate(move |app| app.desk.splittable(&named, &weights)).await??;
        return Ok(Json(json!({ "model": model, "dry_run": true })).into_response());
    }
    entry(&app, model, move |app, model| app.desk.split(model, weights, &caller.actor, &reason)).await
}

/// `GET /v1/models/{model}/runtimes`: what runs outside of this process for it, how it is, and what it printed last.
pub(crate) async fn runtimes(State(app): State<Arc<App>>, path: Name) -> Result<Response, Refused> {
    let model = known(&app, path)?;
    let versions = app.gateway.versions(model.as_str());
    let loaded = versions.into_iter().filter_map(|version| {
        let remote = app.gateway.remote(model.as_str(), version)?;
        Some((version, remote))
    });
    let coming = app.desk.coming(&model);
    let shown = loaded.chain(coming).map(|(version, remote)| {
        let status = remote.backend().status();
        json!({
            "version": version,
            "state": status.state.to_string(),
            "pid": status.pid,
            "address": status.address,
            "restarts": status.restarts,
            "remark": status.remark,
            "last_failure": status.last_failure.map(|failure| failure.to_string()),
            "memory_bytes": status.memory,
            "calls": status.calls,
            "waiting_rows": status.waiting_rows,
            "log": remote.backend().log(),
        })
    });
    let shown: Vec<_> = shown.collect();
    let left_over = app.desk.left_over(&model);
    Ok(Json(json!({ "model": model, "runtimes": shown, "left_over": left_over })).into_response())
}

/// The name in the path, which need not be a model's yet.
fn named(path: Result<Path<String>, PathRejection>) -> Result<ModelName, Refused> {
    let Path(name) = path?;
    name.parse().map_err(|error| Refused::new(StatusCode::BAD_REQUEST, format!("{error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(wish: serde_json::Value) -> Option<RolloutPlan> {
        let wish: Wish = serde_json::from_value(wish).unwrap();
        wish.over(Deploy::default().plan())
    }

    #[test]
    fn what_is_not_said_is_as_the_policy_has_it() {
        assert_eq!(plan(json!({})), None);
        let faster = plan(json!({"min_requests": 5})).unwrap();
        assert_eq!((faster.min_requests, faster.steps), (5, vec![500, 2_500, 5_000, 10_000]));
        let shadow = plan(json!({"strategy": "shadow"})).unwrap();
        assert_eq!(shadow.steps, [0, 10_000]);
        let baked = plan(json!({"strategy": "blue_green", "bake": "1h"})).unwrap();
        assert_eq!((baked.steps, baked.bake), (vec![10_000], Some(Span::hours(1))));
        let steps = plan(json!({"steps": ["10%", "100%"]})).unwrap();
        assert_eq!(steps.steps, [1_000, 10_000]);
        assert_eq!(steps.check(), Ok(()));
    }
}
