//! Answers that come bit by bit, from models outside of our process: Triton's generate extension, and paths that a version
//! was deployed with.
//!
//! | route | goes to |
//! | --- | --- |
//! | `POST /v2/models/MODEL[/versions/VERSION]/generate`, `…/generate_stream` | the same at a server that speaks V2 (Triton, "Generate Extension") |
//! | `GET`, `POST /serve/MODEL/PATH` | PATH at the version's server, when the version was deployed with it (`--pass`) |
//!
//! The request is read whole, within the limits of every other; the answer is passed through as it comes, and only the
//! headers that describe it: nothing that a model's server says reaches the browser as a cookie, a policy or a redirect of
//! this origin. The id is the header `gyre-request-id`, or `id` of a body in JSON; the key is the header `gyre-key`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use axum::response::Response;
use gyre_backend::Patience;
use gyre_gateway::{Call, Passed, Place};
use http_body_util::Full;
use serde::Deserialize;
use uuid::Uuid;

use super::{Answered, LIMIT, Named, Refused, Target, Versioned, deadline, named, reply, versioned};
use crate::app::App;
use crate::payload;
use crate::routes::{Need, Routes};

/// How long a model may say nothing in the middle of an answer; less than the minute after which its process would be
/// taken for hanging.
const IDLE: Duration = Duration::from_secs(45);
/// How long an answer may take in all.
const WHOLE: Duration = Duration::from_secs(3_600);

const ID: &str = "gyre-request-id";
const KEY: &str = "gyre-key";

/// Headers of an answer that describe its body; the others are its server's own affair.
const DESCRIBING: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CACHE_CONTROL,
    header::ETAG,
    header::LAST_MODIFIED,
    header::RETRY_AFTER,
];

/// Headers of a request that are about the way to us.
const OURS: [HeaderName; 3] = [header::EXPECT, header::ORIGIN, header::REFERER];

pub(super) fn routes(routes: &mut Routes) {
    routes
        .post("/v2/models/{model}/generate", Need::Read, generate)
        .post("/v2/models/{model}/generate_stream", Need::Read, generate_stream)
        .post("/v2/models/{model}/versions/{version}/generate", Need::Read, generate_version)
        .post("/v2/models/{model}/versions/{version}/generate_stream", Need::Read, generate_stream_version)
        .add(Method::GET, "/serve/{model}/{*path}", Need::Read, pass)
        .add(Method::POST, "/serve/{model}/{*path}", Need::Read, pass);
}

/// `POST /v2/models/{model}/generate`
pub(crate) async fn generate(State(app): State<Arc<App>>, path: Named, request: Request<Body>) -> Answered {
    answer(&app, named(path)?, Place::Verb("generate"), request).await
}

/// `POST /v2/models/{model}/generate_stream`
pub(crate) async fn generate_stream(
    State(app): State<Arc<App>>,
    path: Named,
    request: Request<Body>,
) -> Answered {
    answer(&app, named(path)?, Place::Verb("generate_stream"), request).await
}

/// `POST /v2/models/{model}/versions/{version}/generate`
pub(crate) async fn generate_version(
    State(app): State<Arc<App>>,
    path: Versioned,
    request: Request<Body>,
) -> Answered {
    answer(&app, versioned(path)?, Place::Verb("generate"), request).await
}

/// `POST /v2/models/{model}/versions/{version}/generate_stream`
pub(crate) async fn generate_stream_version(
    State(app): State<Arc<App>>,
    path: Versioned,
    request: Request<Body>,
) -> Answered {
    answer(&app, versioned(path)?, Place::Verb("generate_stream"), request).await
}

/// `GET` and `POST /serve/{model}/{path}`
pub(crate) async fn pass(State(app): State<Arc<App>>, path: Versioned, request: Request<Body>) -> Answered {
    let axum::extract::Path((model, _)) = path?;
    // As it was written: what is decoded once more somewhere would be another path there.
    let written = request.uri().path().splitn(4, '/').nth(3).unwrap_or_default();
    let place = Place::Path(format!("/{written}"));
    answer(&app, Target { model, version: None }, place, request).await
}

async fn answer(app: &App, target: Target, place: Place, request: Request<Body>) -> Answered {
    let first = deadline::of(request.headers()).map_err(Refused::bad)?;
    let (mut parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH).cloned();
    let mut bounded = Request::new(body);
    bounded.headers_mut().extend(length.map(|length| (header::CONTENT_LENGTH, length)));
    let body = payload::whole(bounded, LIMIT).await?;
    let said = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(Arc::from);
    let id: Arc<str> = said(ID).or_else(|| id_of(&body)).unwrap_or_else(|| Uuid::new_v4().to_string().into());
    let key = said(KEY);
    for name in OURS {
        parts.headers.remove(name);
    }
    let request = Request::from_parts(parts, Full::new(body));
    let patience = Patience { first, idle: IDLE, whole: WHOLE };
    let call = Call { id: Arc::clone(&id), key, place, request };
    let passed = app.gateway.pass(&target.model, target.version, call, patience).await?;
    Ok(rendered(&target.model, &id, passed))
}

/// The id in a body as the generate extension has it.
fn id_of(body: &[u8]) -> Option<Arc<str>> {
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        id: Option<std::borrow::Cow<'a, str>>,
    }
    let Said { id } = serde_json::from_slice(body).ok()?;
    id.filter(|id| !id.is_empty()).map(Arc::from)
}

fn rendered(model: &str, id: &str, passed: Passed) -> Response {
    let Passed { version, route, response } = passed;
    let (parts, body) = response.into_parts();
    let mut answer = Response::new(Body::new(body));
    *answer.status_mut() = parts.status;
    let headers = answer.headers_mut();
    for name in DESCRIBING {
        headers.extend(parts.headers.get(&name).cloned().map(|value| (name, value)));
    }
    let mut tell = |name: &'static str, value: &str| tell(headers, name, value);
    tell("gyre-model", model);
    tell("gyre-model-version", &version.to_string());
    tell("gyre-route", reply::named_route(route));
    tell(ID, id);
    answer
}

fn tell(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_from_a_body_that_has_one() {
        assert_eq!(id_of(br#"{"text_input": "a", "id": "q\u0031"}"#).as_deref(), Some("q1"));
        for without in [&b"{}"[..], b"{\"id\": \"\"}", b"{\"id\": 7}", b"data", b""] {
            assert_eq!(id_of(without), None);
        }
    }
}
