//! `/login`, `/logout`: people come in with a password, and see who they are.
//!
//! The page works without script. A session's id is made anew by each login, so one that was planted before is worth
//! nothing; the login itself is taken from a page of this server only, so that nobody can be logged in as somebody else.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::Response;
use gyre_access::token::Secret;
use gyre_access::{Denied, Identity, LoginWay, sessions};
use gyre_report::components::card;
use gyre_report::page::{Nav, lead};
use maud::{Markup, html};
use serde::Deserialize;

use super::{Refresh, Shown, Unshown, show};
use crate::app::App;
use crate::caller::{Caller, Standing};
use crate::credentials::session;
use crate::routes::{Need, Routes};
use crate::{guard, payload};

/// The largest form, in bytes.
const LIMIT: usize = 8 << 10;
/// The longest path to go back to, in bytes.
const PATH: usize = 512;

pub(crate) fn routes(routes: &mut Routes) {
    routes.add(Method::GET, "/login", Need::Open, page).post("/login", Need::Open, log_in).post(
        "/logout",
        Need::Open,
        log_out,
    );
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

struct Form {
    user: String,
    password: String,
    next: String,
}

/// `GET /login`: the form; or, for somebody who is known, who they are.
async fn page(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Result<Query<Asked>, QueryRejection>,
) -> Response {
    // Without a place to go back to it goes to the overview.
    let next = query.map(|Query(Asked { next })| next).unwrap_or_default();
    match &caller.standing {
        Standing::Local => {
            let told =
                html! { "This server is reached from this machine only, and asks nobody who they are." };
            show("Login", Nav::Overview, Refresh::Never, lead(html! { "gyre" }, "No login needed", told))
        }
        Standing::Known { user, .. } => {
            known(&app, user, caller.role().map_or("no role", |role| role.name()))
        }
        Standing::Nobody(_) => form(&app, &next, None, StatusCode::OK),
    }
}

fn known(app: &App, user: &str, role: &str) -> Response {
    let served = app.desk.project();
    let project = served.project.as_str();
    let body = html! {
        (lead(html! { (project) }, user, html! { "Logged in; here with " (role) "." }))
        form method="post" action="/logout" { button type="submit" { "Log out" } }
    };
    show("Login", Nav::Overview, Refresh::Never, body)
}

fn form(app: &App, next: &str, wrong: Option<&str>, status: StatusCode) -> Response {
    let served = app.desk.project();
    let project = served.project.as_str();
    let fields = html! {
        @if let Some(wrong) = wrong { p role="alert" { strong { (wrong) } } }
        form method="post" action="/login" {
            input type="hidden" name="next" value=(within(next));
            p { label { "User " input name="user" autocomplete="username" required autofocus; } }
            p { label { "Password " input type="password" name="password" autocomplete="current-password" required; } }
            p { button type="submit" { "Log in" } }
        }
    };
    let body = html! {
        (lead(html! { (project) }, "Log in", html! { "This server asks who you are." }))
        @if let Some(oidc) = &app.front.oidc {
            (card("With your organisation", "", html! { p { a href=(oidc_link(next)) { "Log in at " (oidc.host()) } } }))
        }
        (card("With a password", "An administrator makes users: gyre access user add NAME.", fields))
    };
    let mut response = show("Log in", Nav::Overview, Refresh::Never, body);
    *response.status_mut() = status;
    response
}

/// `POST /login`
async fn log_in(State(app): State<Arc<App>>, caller: Caller, request: Request<Body>) -> Shown {
    if !guard::says_same_origin(request.headers()) {
        let told =
            "a login is taken from this server's own page /login only; programs send an API token instead";
        return Err(Unshown(StatusCode::FORBIDDEN, told.to_owned()));
    }
    let headers = request.headers().clone();
    let Form { user, password, next } = read(request).await?;
    let (address, origin, now) = (caller.address, caller.origin(), app.clock.now());
    let verified = app.hash(move |app| app.gate.log_in(&user, &password, address, origin, now));
    match verified.await? {
        Ok(identity) => enter(&app, &caller, &headers, &identity, LoginWay::Password, &next).await,
        Err(denied) => {
            let status = match denied {
                Denied::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::UNAUTHORIZED,
            };
            Ok(form(&app, &next, Some(&denied.to_string()), status))
        }
    }
}

async fn read(request: Request<Body>) -> Result<Form, Unshown> {
    let body = payload::form(request, LIMIT).await;
    let body = body.map_err(|error| Unshown(error.status(), error.to_string()))?;
    let pairs = form_urlencoded::parse(&body).into_owned();
    let (mut user, mut password, mut next) = (None, None, String::new());
    for (name, value) in pairs {
        match name.as_str() {
            "user" => user = Some(value),
            "password" => password = Some(value),
            "next" => next = value,
            _ => {}
        }
    }
    match (user, password) {
        (Some(user), Some(password)) => Ok(Form { user, password, next }),
        _ => Err(Unshown(StatusCode::BAD_REQUEST, "the form has no `user` or no `password`".to_owned())),
    }
}

/// Opens a session for somebody who is known, in place of the one that their browser had, and sends them on.
pub(crate) async fn enter(
    app: &Arc<App>,
    caller: &Caller,
    headers: &HeaderMap,
    identity: &Identity,
    way: LoginWay,
    next: &str,
) -> Shown {
    let random =
        Secret::random().map_err(|error| Unshown(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut by = caller.by(app.clock.now());
    by.actor = identity.actor();
    let (user, id) = (identity.user.clone(), random.clone());
    let old = session(headers, app.front.cookie()).map(|id| id.hash());
    let opened = app.change(move |tx| {
        old.map_or(Ok(()), |old| sessions::close(tx, &by, &old))?;
        sessions::open(tx, &by, &user, way, &id)
    });
    opened.await??;
    let front = &app.front;
    let cookie = front.set_cookie(front.cookie(), &random.reveal(), sessions::LIFE.as_millis() / 1_000);
    onward(within(next), &cookie)
}

/// `POST /logout`: ends the session of the cookie.
async fn log_out(State(app): State<Arc<App>>, caller: Caller) -> Shown {
    let by = caller.by(app.clock.now());
    if let Standing::Known { session: Some(id), .. } = caller.standing {
        app.change(move |tx| sessions::close(tx, &by, &id)).await??;
    }
    onward("/login", &app.front.set_cookie(app.front.cookie(), "", 0))
}

pub(crate) fn onward(path: &str, cookie: &str) -> Shown {
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|error| Unshown(StatusCode::BAD_REQUEST, error.to_string()))
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, value(path)?);
    response.headers_mut().insert(header::SET_COOKIE, value(cookie)?);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `next` when it is a path on this server, otherwise `/`. Browsers take `//host` and `/\host` for another server.
pub(crate) fn within(next: &str) -> &str {
    let other = |at: usize| next.as_bytes().get(at).is_some_and(|byte| matches!(byte, b'/' | b'\\'));
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if next.starts_with('/') && !other(1) && plain && next.len() <= PATH { next } else { "/" }
}

fn oidc_link(next: &str) -> String {
    let next: String = form_urlencoded::byte_serialize(within(next).as_bytes()).collect();
    format!("/login/oidc?next={next}")
}

/// The way to the form, for somebody who wanted to see `path`.
pub(crate) fn link(path: &str) -> Markup {
    let next: String = form_urlencoded::byte_serialize(within(path).as_bytes()).collect();
    html! { p { a href={ "/login?next=" (next) } { "Log in" } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_server() {
        for path in ["/", "/models/demand", "/journal?kind=access&model=x"] {
            assert_eq!(within(path), path);
        }
        let long = format!("/{}", "x".repeat(600));
        for path in [
            "",
            "models",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\nb",
            "/a b",
            "javascript:alert(1)",
            "/a\\b",
            &long,
        ] {
            assert_eq!(within(path), "/", "{path}");
        }
    }
}
