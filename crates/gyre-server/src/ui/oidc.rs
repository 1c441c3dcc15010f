//! `/login/oidc`, `/login/callback`: people come in by an identity provider.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use gyre_access::LoginWay;
use gyre_access::oidc::{Oidc, OidcError, TICKET_LIFE, admit};
use serde::Deserialize;

use super::login::{enter, onward, within};
use super::{Shown, Unshown};
use crate::app::App;
use crate::caller::Caller;
use crate::credentials;
use crate::routes::{Need, Routes};

pub(crate) fn routes(routes: &mut Routes) {
    routes.add(Method::GET, "/login/oidc", Need::Open, begin).add(
        Method::GET,
        "/login/callback",
        Need::Open,
        finish,
    );
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

/// What the provider sends a browser back with.
#[derive(Deserialize)]
struct Back {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: Option<String>,
}

impl From<OidcError> for Unshown {
    fn from(error: OidcError) -> Self {
        let status = match &error {
            OidcError::Settings(_) => StatusCode::INTERNAL_SERVER_ERROR,
            OidcError::Provider { .. } => StatusCode::BAD_GATEWAY,
            OidcError::Stray => StatusCode::BAD_REQUEST,
            OidcError::Refused(_) | OidcError::Untrusted(_) | OidcError::Unwelcome(_) => {
                StatusCode::FORBIDDEN
            }
        };
        Self(status, error.to_string())
    }
}

fn provider(app: &App) -> Result<Arc<Oidc>, Unshown> {
    let none = || {
        let told = "this server has no identity provider: it is named with `gyre up --oidc-issuer`";
        Unshown(StatusCode::NOT_FOUND, told.to_owned())
    };
    app.front.oidc.clone().ok_or_else(none)
}

/// Where the provider sends the browser back to. The guard has checked that the host is one of this server.
fn callback(app: &App, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    app.front.callback(host.unwrap_or("localhost"))
}

/// `GET /login/oidc?next=`: sends the browser to the provider.
async fn begin(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    query: Result<Query<Asked>, QueryRejection>,
) -> Shown {
    let oidc = provider(&app)?;
    let next = query.map(|Query(Asked { next })| within(&next).to_owned()).unwrap_or_default();
    let (redirect, now) = (callback(&app, &headers), app.clock.now());
    let begun = app.abroad(move |_| oidc.begin(&redirect, &next, now)).await??;
    let cookie = app.front.set_cookie(app.front.ticket(), &begun.ticket, TICKET_LIFE.as_millis() / 1_000);
    onward(&begun.url, &cookie)
}

/// `GET /login/callback?state=&code=`: the browser comes back.
async fn finish(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    query: Result<Query<Back>, QueryRejection>,
) -> Result<Response, Unshown> {
    let oidc = provider(&app)?;
    let Query(Back { state, code, error }) = query.map_err(|_| Unshown::from(OidcError::Stray))?;
    if let Some(error) = error {
        return Err(OidcError::Refused(error.chars().take(100).collect()).into());
    }
    let ticket = credentials::cookie(&headers, app.front.ticket()).unwrap_or_default().to_owned();
    let (redirect, now) = (callback(&app, &headers), app.clock.now());
    let told = app.abroad(move |_| oidc.finish(&redirect, &ticket, &state, &code, now));
    let (person, next) = told.await??;
    let project = app.desk.project().project.to_string();
    let mut by = caller.by(now);
    by.actor = "oidc".to_owned();
    let user = app.change(move |tx| admit(tx, &by, &person, &project)).await???;
    let gone = || Unshown(StatusCode::FORBIDDEN, format!("the user `{user}` is gone"));
    let identity = app.gate.vouched(&user).ok_or_else(gone)?;
    let mut response = enter(&app, &caller, &headers, &identity, LoginWay::Oidc, &next).await?;
    let used = app.front.set_cookie(app.front.ticket(), "", 0);
    if let Ok(used) = HeaderValue::from_str(&used) {
        response.headers_mut().append(header::SET_COOKIE, used);
    }
    Ok(response)
}
