//! `/api` and `/ajax-api`: MLflow's REST protocol, so that any MLflow client works as it is.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `error` | MLflow's error codes, and the answer that bears one |
//! | `wire` | JSON as Protocol Buffers write it: whole numbers as numbers or text, NaN as text |
//! | `call` | a request read into its type, from a body or from a query |
//!
//! Handlers read a request, ask the room below (`gyre-tracking`, `gyre-registry`), and render the answer. The wire format
//! is that of MLflow 3; where its server answers nonsense (a wrongly typed value stored as 0, HTML for malformed JSON), a
//! proper error is given instead. docs/mlflow.md lists every endpoint and every difference.

mod call;
mod error;
mod wire;

use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::routes::{Need, Routes};

pub(crate) use call::Call;
pub(crate) use error::{ErrorCode, MlflowError};

/// The version of MLflow whose protocol is spoken; clients ask for it to know what they may send.
const SPOKEN: &str = "3.17.2";

/// Whether MLflow's protocol answers on `path`.
pub(crate) fn speaks(path: &str) -> bool {
    ["/api/", "/ajax-api/", "/graphql", "/version", "/get-artifact", "/model-versions/", "/v1/traces"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

pub(crate) fn routes(routes: &mut Routes) {
    routes.add(Method::GET, "/version", Need::Open, version);
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

async fn version() -> Response {
    let mut response = SPOKEN.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
