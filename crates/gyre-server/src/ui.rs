//! The control room: pages for people, rendered from the real state at the moment that they are asked for.
//!
//! Every page is complete in itself and loads nothing; the policy that says so goes out as a header too, where it can also
//! forbid other pages to frame this one. Pages that show what changes ask the browser to fetch them again after a while.

mod incident;
pub(crate) mod journal;
pub(crate) mod login;
pub(crate) mod model;
pub(crate) mod models;
mod oidc;
pub(crate) mod overview;
mod parts;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use gyre_report::page::{CONTENT_SECURITY_POLICY, Nav, lead, page};
use maud::{Markup, html};

use crate::app::Aside;
use crate::rest;
use crate::routes::Routes;

pub(crate) fn routes(routes: &mut Routes) {
    routes
        .get("/", overview::page)
        .get("/models", models::page)
        .get("/models/{model}", model::page)
        .get("/models/{model}/incidents/{incident}", incident::page)
        .get("/journal", journal::page)
        .get("/report/{model}", model::report);
    login::routes(routes);
    oidc::routes(routes);
}

/// Whether the browser is asked to fetch a page again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresh {
    Never,
    /// After so many seconds.
    After(u16),
}

/// Why a page cannot be shown.
pub(crate) struct Unshown(StatusCode, String);

impl IntoResponse for Unshown {
    fn into_response(self) -> Response {
        refused(self.0, &self.1)
    }
}

impl From<rest::Refused> for Unshown {
    fn from(refused: rest::Refused) -> Self {
        Self(refused.status(), refused.message().to_owned())
    }
}

impl From<gyre_store::StoreError> for Unshown {
    fn from(error: gyre_store::StoreError) -> Self {
        rest::Refused::from(error).into()
    }
}

impl From<Aside> for Unshown {
    fn from(aside: Aside) -> Self {
        rest::Refused::from(aside).into()
    }
}

type Shown = Result<Response, Unshown>;

/// A page of the control room.
fn show(title: &str, nav: Nav, refresh: Refresh, body: Markup) -> Response {
    let mut response = document(page(title, nav, body));
    if let Refresh::After(seconds) = refresh {
        response.headers_mut().insert(header::REFRESH, HeaderValue::from(seconds));
    }
    response
}

/// A whole HTML document, with the headers that keep it in its place.
fn document(html: String) -> Response {
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    let policy = format!("{CONTENT_SECURITY_POLICY}; frame-ancestors 'none'");
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A page that says why there is none.
pub(crate) fn refused(status: StatusCode, message: &str) -> Response {
    refused_at(None, status, message)
}

/// The same for `path`, with the way to the login when that would help.
pub(crate) fn refused_at(path: Option<&str>, status: StatusCode, message: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Not shown");
    let body = html! {
        (lead(html! { (status.as_u16()) }, title, html! { (message) }))
        @if let (StatusCode::UNAUTHORIZED, Some(path)) = (status, path) { (login::link(path)) }
    };
    let mut response = show(title, Nav::Overview, Refresh::Never, body);
    *response.status_mut() = status;
    response
}
