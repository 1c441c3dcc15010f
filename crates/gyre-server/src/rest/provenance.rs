//! `/v1/runs/{run_id}/provenance`: where a run came from; and for a client that is not on this machine, saying so itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gyre_core::Digest;
use gyre_provenance::record::{Diff, LONGEST_DIFF, MOST_PACKAGES, Package, Record};
use gyre_provenance::{collect, scrub};
use gyre_tracking::{By, limits, provenance as tracked};
use serde::Deserialize;
use serde_json::json;

use super::Refused;
use crate::app::App;
use crate::caller::Caller;
use crate::payload;
use crate::provenance::{self, Provenance};
use crate::routes::{Need, Routes};

/// The largest report, in bytes.
const LIMIT: usize = 4 << 20;

/// How long somebody waits for what is not known yet.
const PATIENCE: Duration = Duration::from_secs(30);

type Answered = Result<Response, Refused>;
type Run = Result<Path<String>, PathRejection>;

pub(crate) fn routes(routes: &mut Routes) {
    routes.get("/v1/runs/{run_id}/provenance", show).get("/v1/runs/{run_id}/provenance/diff", diff).post(
        "/v1/runs/{run_id}/provenance",
        Need::Write,
        report,
    );
}

/// What a client says of where its run came from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    record: Record,
    #[serde(default)]
    diff: Option<String>,
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// Whether to wait until all runs that were made before are looked at.
    #[serde(default)]
    wait: bool,
}

async fn show(
    State(app): State<Arc<App>>,
    run: Run,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answered {
    let (Path(run_id), Query(Asked { wait })) = (run?, query?);
    if wait {
        app.operate(|app| app.watch.as_ref().map(|watch| watch.settle(PATIENCE))).await?;
    }
    let (_, mut found) = app.read(move |app| provenance::of(&app.store, &run_id)).await??;
    if found.record.is_none() {
        let off = || "the server runs with --no-provenance".to_owned();
        let watch = app.watch.as_ref();
        found.reason = watch.map_or_else(|| Some(off()), |watch| watch.reason(&found.run_id));
    }
    Ok(Json(found).into_response())
}

async fn diff(State(app): State<Arc<App>>, run: Run) -> Answered {
    let Path(run_id) = run?;
    let text = app.read(move |app| {
        let (_, Provenance { record, .. }) = provenance::of(&app.store, &run_id)?;
        record.map_or(Ok(None), |record| provenance::diff(&app.store, &record))
    });
    let text = text.await??;
    let text = text.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "no diff is known of this run"))?;
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, "text/x-diff; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"changes.diff\""),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, text).into_response())
}

async fn report(State(app): State<Arc<App>>, caller: Caller, run: Run, request: Request<Body>) -> Answered {
    let Path(run_id) = run?;
    limits::run_id(&run_id)?;
    let body = payload::read(request, LIMIT).await?;
    let Report { record, diff, packages } = payload::json(&body)?;
    let wrong = |message: String| Refused::new(StatusCode::BAD_REQUEST, message);
    let mut record = record.reported().map_err(|invalid| wrong(invalid.to_string()))?;
    let length = diff.as_ref().map_or(0, String::len);
    if length > LONGEST_DIFF {
        return Err(wrong(format!("diff has {length} bytes")).expecting(format!("at most {LONGEST_DIFF}")));
    }
    if packages.len() > MOST_PACKAGES {
        let told = format!("packages has {} entries", packages.len());
        return Err(wrong(told).expecting(format!("at most {MOST_PACKAGES}")));
    }
    let clean = |package: Package| Package { origin: package.origin.as_deref().map(scrub::text), ..package };
    let packages: Vec<Package> = packages.into_iter().map(clean).collect();
    let mut parts = Vec::new();
    if let Some(diff) = diff {
        let kept = Diff { digest: Digest::of(diff.as_bytes()), bytes: diff.len(), cut: false };
        record.code.get_or_insert_default().diff = Some(kept);
        parts.push(diff.into_bytes());
    }
    if let Some((kept, json)) = collect::keep(&packages) {
        record.environment.get_or_insert_default().packages = Some(kept);
        parts.push(json.into_bytes());
    }
    let origin = provenance::origin(&record);
    let digest = origin.digest;
    let by = By { at: app.clock.now(), actor: caller.actor.to_string(), origin: caller.origin() };
    let keeping = app.operate(move |app| {
        // Nothing is kept for a run that is not there.
        app.store.read(|tx| gyre_tracking::runs::get(tx, &run_id))?;
        parts.iter().try_for_each(|part| app.store.blobs().put(part).map(drop))?;
        app.store.write(move |tx| tracked::attach(tx, &run_id, &origin, &by))
    });
    keeping.await??;
    Ok(Json(json!({ "digest": digest })).into_response())
}
