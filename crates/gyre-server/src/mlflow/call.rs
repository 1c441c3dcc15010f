//! A request of MLflow's protocol, read into its type: from the body, or from the query where there is none.

use std::sync::Arc;

use axum::Json;
use axum::extract::{self, FromRequest, FromRequestParts, Request};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use gyre_store::{StoreError, Tx};
use gyre_tracking::By;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::MlflowError;
use crate::app::App;
use crate::caller::Caller;
use crate::payload;
use crate::provenance::watch::Peer;

/// The largest body of a request that is no artifact, in bytes. MLflow's own limit for a batch is 1 MB; a schema, a
/// profile or a trace may be larger.
const LIMIT: usize = 32 << 20;

/// What a handler answers.
pub(crate) type Answer = Result<Response, MlflowError>;

/// A request with all that a handler needs: the application, who asks, and what.
pub(crate) struct Call<T> {
    pub(crate) app: Arc<App>,
    pub(crate) caller: Caller,
    /// The other end of the connection, when clients are watched.
    pub(crate) peer: Option<Arc<Peer>>,
    pub(crate) asked: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Call<T> {
    type Rejection = MlflowError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, MlflowError> {
        let (mut parts, body) = request.into_parts();
        let Ok(caller) = Caller::from_request_parts(&mut parts, app).await;
        let peer = parts.extensions.get().cloned();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let asked = if parts.method == Method::GET {
            from_query(&query)?
        } else {
            let body = payload::read(Request::from_parts(parts, body), LIMIT).await?;
            if body.trim_ascii().is_empty() { from_query(&query)? } else { from_body(&body)? }
        };
        Ok(Self { app: Arc::clone(app), caller, peer, asked })
    }
}

/// What the parameters of a path name.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = MlflowError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, MlflowError> {
        let named = extract::Path::from_request_parts(parts, state).await;
        // Broken percent-encoding, or a word where a number belongs, which is repeated as it came.
        let extract::Path(named) = named.map_err(|rejection| {
            MlflowError::invalid(rejection.body_text().chars().take(300).collect::<String>())
        })?;
        Ok(Self(named))
    }
}

impl<T> Call<T> {
    /// By whom, from where and when something is done, as the journal will tell it.
    pub(crate) fn by(&self) -> By {
        let Caller { actor, .. } = &self.caller;
        By { actor: actor.to_string(), origin: self.caller.origin(), at: self.app.clock.now() }
    }

    /// What is asked, apart from the rest, so that it can move into a job.
    pub(crate) fn split(self) -> (T, Call<()>) {
        (self.asked, Call { app: self.app, caller: self.caller, peer: self.peer, asked: () })
    }

    /// Reads on a snapshot.
    pub(crate) async fn read<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, MlflowError> {
        Ok(self.app.read(move |app| app.store.read(job)).await??)
    }

    /// Writes, and returns once it is on disk.
    pub(crate) async fn write<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, MlflowError> {
        Ok(self.app.write(job).await?)
    }
}

/// What the query of a request asks, where the body is a file.
pub(crate) fn query<T: DeserializeOwned>(request: &Request) -> Result<T, MlflowError> {
    from_query(request.uri().query().unwrap_or_default())
}

/// `answer` as JSON.
pub(crate) fn json(answer: &impl Serialize) -> Answer {
    Ok(Json(answer).into_response())
}

/// The answer that says nothing but that it is done.
pub(crate) fn done() -> Answer {
    Ok(Json(Map::new()).into_response())
}

/// The text of a required parameter.
pub(crate) fn required<'a>(parameter: &str, value: &'a Option<String>) -> Result<&'a str, MlflowError> {
    value.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| MlflowError::missing(parameter))
}

fn from_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, MlflowError> {
    // Some clients encode the JSON text as JSON once more.
    if body.trim_ascii_start().starts_with(b"\"") {
        let inner: String = payload::scalar(body)?;
        return Ok(payload::json(inner.as_bytes())?);
    }
    Ok(payload::json(body)?)
}

/// A query as the object that a body would be: a name that comes several times is a list.
fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, MlflowError> {
    let mut object = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = name.strip_suffix("[]").unwrap_or(&name).to_owned();
        let value = Value::String(value.into_owned());
        match object.get_mut(&name) {
            None => drop(object.insert(name, value)),
            Some(Value::Array(list)) => list.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    serde_json::from_value(Value::Object(object))
        .map_err(|error| MlflowError::invalid(format!("the query is not what was expected: {error}")))
}

#[cfg(test)]
mod tests {
    use super::super::wire::{self, Int64};
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Asked {
        #[serde(alias = "runId")]
        run_id: Option<String>,
        #[serde(default, deserialize_with = "wire::list")]
        ids: Vec<Int64>,
    }

    #[test]
    fn a_query_and_a_body_say_the_same() {
        let asked: Asked = from_query("run_id=a%20b&ids=1&ids=2&unknown=x").unwrap();
        assert_eq!((asked.run_id.as_deref(), asked.ids.len()), (Some("a b"), 2));
        let asked: Asked = from_body(b"{\"runId\": \"a\", \"ids\": [1], \"unknown\": {}}").unwrap();
        assert_eq!((asked.run_id.as_deref(), asked.ids.len()), (Some("a"), 1));
        let asked: Asked = from_body(b"\"{\\\"run_id\\\": \\\"a\\\"}\"").unwrap();
        assert_eq!(asked.run_id.as_deref(), Some("a"));
    }

    #[test]
    fn nonsense_is_an_invalid_parameter() {
        for body in [
            "{",
            "[]",
            "{\"run_id\": 1}",
            "{\"run_id\":\"a\",\"runId\":\"a\"}",
            "{\"ids\":[NaN]}",
            "\"x\"",
            "null",
        ] {
            let error = from_body::<Asked>(body.as_bytes()).unwrap_err();
            assert_eq!(error.code(), super::super::error::ErrorCode::InvalidParameterValue, "{body}");
        }
    }
}
