//! Files in parts, the way MLflow's clients send large ones when they are told to
//! (`MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD`): create, upload each part to a URL of its own, complete.
//!
//! The URLs of the parts are gyre's own, whatever the artifacts lie on: only bytes that pass through here can be hashed. A
//! client sends nothing to them but the headers that it was given, so it is given back its own `Authorization`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use gyre_artifacts::{ArtifactPath, Folder, MAX_PARTS};
use serde::Deserialize;
use serde_json::json;

use super::range::entity_tag;
use super::receive::receive;
use super::trained;
use crate::app::App;
use crate::mlflow::call::{self, Answer, Call, Path, done, required};
use crate::mlflow::wire::Int64;
use crate::mlflow::{MlflowError, wire};

/// What stands before a folder in the URLs of this protocol.
pub(super) const URL: &str = "/mlflow-artifacts/mpu/";

/// What a client says of an upload.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// The file's path on the client's machine; its last part is the name that it gets here.
    path: Option<String>,
    #[serde(alias = "numParts")]
    num_parts: Option<Int64>,
    #[serde(alias = "uploadId")]
    upload_id: Option<String>,
    #[serde(default, deserialize_with = "wire::list")]
    parts: Vec<Part>,
}

/// A part that the client says it has sent.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    #[serde(alias = "partNumber")]
    part_number: Option<Int64>,
    etag: Option<String>,
}

/// The file that a request is about: the folder of its URL, and the name of the client's file.
fn target(uri: &axum::http::Uri, asked: &Asked) -> Result<ArtifactPath, MlflowError> {
    let raw =
        uri.path().split_once(URL).and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, raw)| raw);
    let local = required("path", &asked.path)?;
    let name = local.rsplit(['/', '\\']).next().unwrap_or(local);
    Ok(Folder::from_url(raw)?.file(&ArtifactPath::from_field(name)?)?)
}

/// `POST mpu/create/FOLDER`.
pub(super) async fn create(uri: axum::http::Uri, headers: HeaderMap, call: Call<Asked>) -> Answer {
    let path = target(&uri, &call.asked)?;
    trained::refuse_change(path.as_str())?;
    let count = call.asked.num_parts.map_or(1, |count| count.0);
    let Some(count) = u32::try_from(count).ok().filter(|count| (1..=MAX_PARTS).contains(count)) else {
        return Err(MlflowError::invalid(format!("num_parts is {count}, expected 1 to {MAX_PARTS}")));
    };
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // The guard has made sure that the host is one of this server's.
    let host = text(header::HOST).ok_or_else(|| MlflowError::missing("Host"))?;
    let scheme = match text(header::HeaderName::from_static("x-forwarded-proto")) {
        Some("https") => "https",
        _ => "http",
    };
    let credentials = text(header::AUTHORIZATION)
        .map_or_else(|| json!({}), |authorization| json!({ "Authorization": authorization }));
    let id = call.app.artifacts.begin_parts(&path)?;
    let part = |number| {
        json!({
            "url": format!("{scheme}://{host}/api/2.0{URL}part/{id}/{number}"),
            "part_number": number,
            "headers": credentials,
        })
    };
    let parts: Vec<_> = (1..=count).map(part).collect();
    call::json(&json!({ "upload_id": id, "credentials": parts }))
}

/// `PUT mpu/part/UPLOAD/NUMBER`.
pub(super) async fn part(
    State(app): State<Arc<App>>,
    Path((id, number)): Path<(String, u32)>,
    request: Request,
) -> Answer {
    app.artifacts.expects_parts(&id)?;
    let (parts, body) = request.into_parts();
    let upload = receive(&app, &parts.headers, body).await?;
    let digest = app.artifacts.add_part(&id, number, upload)?;
    let mut response = done()?;
    if let Ok(tag) = HeaderValue::try_from(entity_tag(&digest)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// `POST mpu/complete/FOLDER`.
pub(super) async fn complete(uri: axum::http::Uri, call: Call<Asked>) -> Answer {
    let path = target(&uri, &call.asked)?;
    let id = required("upload_id", &call.asked.upload_id)?.to_owned();
    let parts = call.asked.parts.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    call.app.on_disk(move |app| app.artifacts.complete_parts(&id, &path, &parts)).await??;
    done()
}

fn named(part: &Part) -> Result<(u32, Option<gyre_core::Digest>), MlflowError> {
    let number = part.part_number.ok_or_else(|| MlflowError::missing("part_number"))?.0;
    let wrong = |what: &str| MlflowError::invalid(format!("part {number} has {what}"));
    let number = u32::try_from(number).map_err(|_| wrong("a number out of range"))?;
    let digest = match part.etag.as_deref().filter(|tag| !tag.is_empty()) {
        None => None,
        Some(tag) => {
            let hex = tag.trim_matches('"').strip_prefix("sha256-").and_then(|hex| hex.parse().ok());
            Some(hex.ok_or_else(|| wrong("an etag that is not the one that it was answered with"))?)
        }
    };
    Ok((number, digest))
}

/// `POST mpu/abort/FOLDER`.
pub(super) async fn abort(uri: axum::http::Uri, call: Call<Asked>) -> Answer {
    let path = target(&uri, &call.asked)?;
    let id = required("upload_id", &call.asked.upload_id)?.to_owned();
    call.app.on_disk(move |app| app.artifacts.abort_parts(&id, &path)).await?;
    done()
}
