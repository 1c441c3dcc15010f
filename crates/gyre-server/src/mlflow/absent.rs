//! What MLflow has and gyre has not, said plainly: `NOT_IMPLEMENTED` rather than "there is nothing here".

use axum::http::Method;

use super::call::Answer;
use super::error::{ErrorCode, MlflowError};
use crate::routes::{Need, Routes};

/// The beginnings of paths, and what would be there.
const ABSENT: [(&str, &str); 7] = [
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
}

fn refuse(what: &str) -> Answer {
    Err(MlflowError::new(
        ErrorCode::NotImplemented,
        format!("gyre does not have this part of MLflow: {what}"),
    ))
}
