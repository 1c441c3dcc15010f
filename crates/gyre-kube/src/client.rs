//! The calls that gyre makes: apply, get, list, watch, delete, and the end of a log.
//!
//! Objects are JSON as the API server speaks it; what is read of them stands where it is read.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::access::Access;
use crate::error::{AccessError, ApiError};
use crate::kind::Kind;
use crate::manifest::Object;
use crate::names::MANAGER;
use crate::watch::Watch;
use crate::wire::{ANSWER, Wire};

/// The largest answer that is read, in bytes.
const LARGEST: usize = 16 << 20;
/// The largest part of a log, in bytes.
const LOG: usize = 16 << 10;

/// How an object is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    /// For good.
    Really,
    /// Only to hear whether somebody else has changed what we set.
    Trial,
}

/// A client of one API server.
pub struct Client {
    wire: Wire,
}

/// What a list found.
#[derive(Debug)]
pub struct Listed {
    /// The objects.
    pub items: Vec<Value>,
    /// From where a watch tells what happened since.
    pub resource_version: String,
}

impl Client {
    /// A client with this access. Nothing is asked yet.
    ///
    /// # Errors
    /// [`AccessError::Tls`].
    pub fn new(access: Access) -> Result<Self, AccessError> {
        Ok(Self { wire: Wire::new(access)? })
    }

    /// The namespace of those who name none.
    pub fn namespace(&self) -> &str {
        &self.wire.access().namespace
    }

    /// Has an object be as `object` says (server-side apply by the field manager `gyre`), and returns it as it is then. What
    /// somebody else has changed is not overwritten.
    ///
    /// # Errors
    /// [`ApiError`]; of status 409 when somebody else has changed what `object` sets, which the message names.
    pub async fn apply(&self, object: &Object, how: Apply) -> Result<Value, ApiError> {
        let trial = if how == Apply::Trial { "&dryRun=All" } else { "" };
        let path = format!(
            "{}?fieldManager={MANAGER}{trial}",
            self.path(object.kind, &object.namespace, &object.name)
        );
        let body = serde_json::to_vec(&object.body).unwrap_or_default();
        let what = format!("apply the {} {}", object.kind.kind, object.name);
        self.json(what, Method::PATCH, &path, Some(("application/apply-patch+yaml", body))).await
    }

    /// An object; none when there is none.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Value>, ApiError> {
        let what = format!("read the {} {name}", kind.kind);
        match self.json(what, Method::GET, &self.path(kind, namespace, name), None).await {
            Err(ApiError::Refused { status: 404, reason, .. }) if reason == "NotFound" => Ok(None),
            found => found.map(Some),
        }
    }

    /// The objects that `selector` selects: `labelSelector=…` or `fieldSelector=…`, whose value is given as it is.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: &str,
        selector: (&str, &str),
    ) -> Result<Listed, ApiError> {
        self.list_at(&kind.collection(namespace), kind.plural, selector).await
    }

    async fn list_at(
        &self,
        collection: &str,
        plural: &str,
        selector: (&str, &str),
    ) -> Result<Listed, ApiError> {
        let path = format!("{collection}?{}={}&limit=500", selector.0, escaped(selector.1));
        let what = format!("list {plural}");
        let mut list = self.json(what.clone(), Method::GET, &path, None).await?;
        let version = list.get("metadata").and_then(|of| of.get("resourceVersion")).and_then(Value::as_str);
        let resource_version = version
            .ok_or_else(|| ApiError::Answer {
                what,
                problem: "it has no metadata.resourceVersion".to_owned(),
            })?
            .to_owned();
        let items = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        Ok(Listed { items, resource_version })
    }

    /// The pods that a label selector selects.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn pods(&self, namespace: &str, labels: &str) -> Result<Vec<Value>, ApiError> {
        let collection = format!("/api/v1/namespaces/{namespace}/pods");
        Ok(self.list_at(&collection, "pods", ("labelSelector", labels)).await?.items)
    }

    /// The warnings about an object.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn warnings(&self, namespace: &str, object: &str) -> Result<Vec<Value>, ApiError> {
        let collection = format!("/api/v1/namespaces/{namespace}/events");
        let fields = format!("type=Warning,involvedObject.name={object}");
        Ok(self.list_at(&collection, "events", ("fieldSelector", &fields)).await?.items)
    }

    /// The last lines that a pod's container printed.
    ///
    /// # Errors
    /// [`ApiError`].
    pub(crate) async fn log(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        before: bool,
    ) -> Result<Vec<String>, ApiError> {
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&tailLines=15&limitBytes={LOG}&previous={before}"
        );
        let what = format!("read the log of the pod {pod}");
        let response = self.wire.send(Method::GET, &path, None).await?;
        let (status, body) = self.whole(&what, response).await?;
        if status != StatusCode::OK {
            return Err(refused(what, status, &body));
        }
        Ok(String::from_utf8_lossy(&body).lines().map(str::to_owned).collect())
    }

    /// What happens to the object of this name after `resource_version`.
    ///
    /// # Errors
    /// [`ApiError`]; of status 410 when that is too long ago.
    pub async fn watch(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        resource_version: &str,
    ) -> Result<Watch, ApiError> {
        let fields = escaped(&format!("metadata.name={name}"));
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds=240&fieldSelector={fields}&resourceVersion={}",
            kind.collection(namespace),
            escaped(resource_version),
        );
        let what = format!("watch the {} {name}", kind.kind);
        let response = self.wire.send(Method::GET, &path, None).await?;
        if response.status() != StatusCode::OK {
            let (status, body) = self.whole(&what, response).await?;
            return Err(refused(what, status, &body));
        }
        Ok(Watch::new(response.into_body(), self.wire.server(), what))
    }

    /// Deletes the very object that `object` is (its `uid` says so, also when another has taken its name meanwhile), and what
    /// belongs to it. Nothing happens when it is gone.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete(&self, kind: &Kind, object: &Value) -> Result<(), ApiError> {
        let meta = |name: &str| object.get("metadata").and_then(|of| of.get(name)).and_then(Value::as_str);
        let what = || format!("delete the {} {}", kind.kind, meta("name").unwrap_or_default());
        let (Some(namespace), Some(name), Some(uid)) = (meta("namespace"), meta("name"), meta("uid")) else {
            let problem = "it has no namespace, name or uid".to_owned();
            return Err(ApiError::Answer { what: what(), problem });
        };
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background", "preconditions": {"uid": uid},
        });
        let body = Some(("application/json", options.to_string().into_bytes()));
        match self.json(what(), Method::DELETE, &self.path(kind, namespace, name), body).await {
            // Gone already, or another's by now.
            Err(error) if matches!(error.status(), Some(404 | 409)) => Ok(()),
            done => done.map(drop),
        }
    }

    fn path(&self, kind: &Kind, namespace: &str, name: &str) -> String {
        format!("{}/{name}", kind.collection(namespace))
    }

    /// Asks, and reads the answer as JSON.
    async fn json(
        &self,
        what: String,
        method: Method,
        path: &str,
        body: Option<(&'static str, Vec<u8>)>,
    ) -> Result<Value, ApiError> {
        let response = self.wire.send(method, path, body).await?;
        let (status, body) = self.whole(&what, response).await?;
        if !status.is_success() {
            return Err(refused(what, status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| ApiError::Answer { what, problem: error.to_string() })
    }

    async fn whole(&self, what: &str, response: Response<Incoming>) -> Result<(StatusCode, Bytes), ApiError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect();
        let late = || ApiError::Deadline { server: self.wire.server(), within: ANSWER };
        let body = timeout(ANSWER, body).await.map_err(|_| late())?;
        let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => ApiError::Answer {
                what: what.to_owned(),
                problem: format!("it is larger than {LARGEST} bytes"),
            },
            None => ApiError::Unreachable { server: self.wire.server(), why: error.to_string() },
        })?;
        Ok((status, body.to_bytes()))
    }
}

/// What a `Status` object says; the text itself, cut short, where the answer is something else.
pub(crate) fn refused(what: String, status: StatusCode, body: &[u8]) -> ApiError {
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    let reason = word("reason").unwrap_or_else(|| status.canonical_reason().unwrap_or_default().to_owned());
    let message =
        word("message").unwrap_or_else(|| String::from_utf8_lossy(body).chars().take(300).collect());
    ApiError::Refused { what, status: status.as_u16(), reason, message: message.trim().to_owned() }
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
