//! `/api` and `/ajax-api`: MLflow's REST protocol, so that any MLflow client works as it is.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `error` | MLflow's error codes, and the answer that bears one |
//! | `wire` | JSON as Protocol Buffers write it: whole numbers as numbers or text, NaN as text |
//! | `artifacts` | files up and down, and the folders that they are in |
//! | `artifact_root` | where the artifacts of a run, a logged model or a model version are |
//! | `call` | a request read into its type, from a body or from a query |
//! | `render` | what there is, as the protocol writes it |
//! | `experiments`, `runs`, `logging`, `metrics`, `logged_models` | the endpoints of tracking |
//! | `users` | who the caller is |
//! | `registry` | registered models and their versions |
//! | `traces` | traces, their spans and assessments; `/v1/traces` (OTLP) |
//! | `datasets`, `scorers` | evaluation datasets, scorers |
//! | `absent` | what MLflow has and gyre has not |
//!
//! Handlers read a request, ask the room below (`gyre-tracking`, `gyre-registry`), and render the answer. The wire format
//! is that of MLflow 3; where its server answers nonsense (a wrongly typed value stored as 0, HTML for malformed JSON), a
//! proper error is given instead. docs/mlflow.md lists every endpoint and every difference.

mod absent;
pub(crate) mod artifact_root;
mod artifacts;
mod call;
mod datasets;
mod error;
mod experiments;
mod graphql;
mod logged_models;
mod logging;
mod metrics;
mod pages;
mod registry;
mod render;
mod runs;
mod scorers;
mod traces;
mod users;
mod wire;

pub(crate) use pages::below;
pub use pages::folder as pages_folder;

use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::routes::{Need, Routes};

pub(crate) use call::Call;
pub(crate) use error::{ErrorCode, MlflowError};

/// The version of MLflow whose protocol is spoken; clients ask for it to know what they may send.
pub(crate) const SPOKEN: &str = "3.17.2";

/// Whether MLflow's protocol answers on `path`.
pub(crate) fn speaks(path: &str) -> bool {
    [
        "/api/",
        "/ajax-api/",
        "/graphql",
        "/version",
        "/get-artifact",
        "/model-versions/",
        "/v1/traces",
        "/invocations",
        "/serve/",
    ]
    .iter()
    .any(|prefix| path.starts_with(prefix))
}

pub(crate) fn routes(routes: &mut Routes) {
    routes.add(Method::GET, "/version", Need::Open, version);
    experiments::routes(routes);
    graphql::routes(routes);
    pages::routes(routes);
    runs::routes(routes);
    logging::routes(routes);
    metrics::routes(routes);
    logged_models::routes(routes);
    artifacts::routes(routes);
    users::routes(routes);
    registry::routes(routes);
    traces::routes(routes);
    datasets::routes(routes);
    scorers::routes(routes);
    absent::routes(routes);
}

/// Adds an endpoint of MLflow's protocol under each of its spellings.
pub(crate) fn endpoint<T, H>(routes: &mut Routes, method: &Method, path: &str, need: Need, handler: H)
where
    T: 'static,
    H: axum::handler::Handler<T, std::sync::Arc<crate::app::App>>,
{
    for base in ["/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow", "/ajax-api/3.0/mlflow"] {
        routes.add(method.clone(), &format!("{base}{path}"), need, handler.clone());
    }
}

/// A page as the protocol writes it: a list of `name`, left out when empty, and the token of the next page.
pub(crate) fn paged<T, R: serde::Serialize>(
    name: &str,
    page: gyre_tracking::Page<T>,
    render: impl Fn(T) -> R,
) -> Paged<R> {
    Paged { name: name.to_owned(), items: page.items.into_iter().map(render).collect(), next: page.next }
}

/// See [`paged`].
pub(crate) struct Paged<R> {
    name: String,
    items: Vec<R>,
    next: Option<String>,
}

impl<R: serde::Serialize> serde::Serialize for Paged<R> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        if !self.items.is_empty() {
            map.serialize_entry(&self.name, &self.items)?;
        }
        if let Some(next) = &self.next {
            map.serialize_entry("next_page_token", next)?;
        }
        map.end()
    }
}

async fn version() -> Response {
    let mut response = SPOKEN.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
