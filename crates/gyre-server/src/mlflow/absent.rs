//! What MLflow has and gyre has not, said plainly: `NOT_IMPLEMENTED` rather than "there is nothing here".
//!
//! MLflow's pages ask on their way which assistants and gateways there are, and show an error for every answer but a list.
//! The true answer is that there are none.

use axum::http::Method;
use serde_json::{Value, json};

use super::call::{self, Answer};
use super::error::{ErrorCode, MlflowError};
use crate::routes::{Need, Routes};

/// The beginnings of paths, and what would be there.
const ABSENT: [(&str, &str); 8] = [
    ("assistant", "an assistant that answers questions"),
    ("gateway", "a gateway to the interfaces of model providers"),
    ("issues", "issues found in traces"),
    ("jobs", "jobs of the tracking server"),
    ("label-schemas", "schemas of labels for reviewers"),
    ("prompt-optimization", "optimization of prompts"),
    ("review-queues", "queues of traces for reviewers"),
    ("workspaces", "workspaces"),
];

pub(super) fn routes(routes: &mut Routes) {
    for (path, what) in ABSENT {
        for base in ["/api/3.0/mlflow", "/ajax-api/3.0/mlflow"] {
            for method in [Method::GET, Method::POST, Method::PATCH, Method::DELETE] {
                let refuse = move || async move { refuse(what) };
                routes.add(method.clone(), &format!("{base}/{path}"), Need::Read, refuse);
                routes.add(method, &format!("{base}/{path}/{{*rest}}"), Need::Read, refuse);
            }
        }
    }
    for base in ["/api/3.0/mlflow", "/ajax-api/3.0/mlflow"] {
        let refuse = || async { refuse("running scorers on traces as they come") };
        routes.add(Method::PUT, &format!("{base}/scorers/online-config"), Need::Read, refuse);
    }
    let none = |answer: Value| move || async move { call::json(&answer) };
    let assistants = json!({ "providers": [], "resolved": null, "gateway_vendor_options": {} });
    routes.get("/ajax-api/3.0/mlflow/assistant/providers", none(assistants));
    let settings = json!({ "providers": {}, "projects": {}, "remote_access_allowed": false });
    routes.get("/ajax-api/3.0/mlflow/assistant/config", none(settings));
    routes.get("/ajax-api/2.0/mlflow/gateway-proxy", none(json!({ "endpoints": [] })));
}

fn refuse(what: &str) -> Answer {
    Err(MlflowError::new(
        ErrorCode::NotImplemented,
        format!("gyre does not have this part of MLflow: {what}"),
    ))
}
