//! `users/current`: who the MLflow web interface is talking for.

use axum::http::Method;
use serde::Deserialize;
use serde_json::json;

use super::call::{Answer, Call, json};
use super::error::ErrorCode;
use super::{MlflowError, endpoint};
use crate::caller::Standing;
use crate::routes::{Need, Routes};

pub(crate) fn routes(routes: &mut Routes) {
    endpoint(routes, &Method::GET, "/users/current", Need::Read, current);
}

#[derive(Deserialize)]
struct Nothing {}

/// Where nobody logs in there is no current user: as with an MLflow server without authentication, the endpoint is not
/// there.
async fn current(call: Call<Nothing>) -> Answer {
    let Nothing {} = call.asked;
    match &call.caller.standing {
        Standing::Known { user, role, .. } => {
            let admin = *role == Some(gyre_access::Role::Admin);
            json(&json!({ "user": { "username": user, "is_admin": admin }, "is_basic_auth": false }))
        }
        Standing::Local | Standing::Nobody(_) => {
            let told = "nobody has to log in to this server, so there is no current user";
            Err(MlflowError::new(ErrorCode::EndpointNotFound, told))
        }
    }
}
