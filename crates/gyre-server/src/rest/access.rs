//! `/v1/access`, `/v1/whoami`: users, tokens and roles, and who the caller is.
//!
//! A secret comes out once, in the answer that issues it, and is in no other answer and no log.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use gyre_access::name::UserName;
use gyre_access::policy::ALL_PROJECTS;
use gyre_access::token::Token;
use gyre_access::tokens::{self, DEFAULT_LIFE, Wanted};
use gyre_access::{Role, Scope, UserKind, grants, password, users};
use gyre_core::Span;
use serde::Deserialize;
use serde_json::json;

use super::Refused;
use crate::app::App;
use crate::caller::{Caller, Standing};
use crate::payload;
use crate::routes::{Need, Routes};

const LIMIT: usize = 64 << 10;

type Answered = Result<Response, Refused>;
type Name = Result<Path<String>, PathRejection>;

pub(crate) fn routes(routes: &mut Routes) {
    routes
        .get("/v1/whoami", whoami)
        .add(Method::GET, "/v1/access/users", Need::Admin, list_users)
        .post("/v1/access/users", Need::Admin, create_user)
        .add(Method::DELETE, "/v1/access/users/{user}", Need::Admin, delete_user)
        .post("/v1/access/users/{user}/password", Need::Admin, set_password)
        .add(Method::GET, "/v1/access/tokens", Need::Admin, list_tokens)
        .post("/v1/access/tokens", Need::Admin, create_token)
        .add(Method::DELETE, "/v1/access/tokens/{token}", Need::Admin, revoke_token)
        .add(Method::GET, "/v1/access/grants", Need::Admin, list_grants)
        .post("/v1/access/grants", Need::Admin, grant)
        .post("/v1/access/grants/revoke", Need::Admin, revoke_grant);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
    #[serde(default)]
    kind: UserKind,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    project: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    user: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    projects: Vec<String>,
    #[serde(default)]
    days: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGrant {
    user: String,
    role: Role,
    #[serde(default)]
    project: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OldGrant {
    user: String,
    #[serde(default)]
    project: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfUser {
    #[serde(default)]
    user: Option<String>,
}

fn bad(error: impl std::fmt::Display) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, error.to_string())
}

/// The project that is named, or the one that is kept here.
fn project(app: &App, named: Option<String>) -> String {
    named.unwrap_or_else(|| app.desk.project().project.to_string())
}

/// `GET /v1/whoami`: whose credentials these are, and what they may do here.
async fn whoami(State(app): State<Arc<App>>, caller: Caller) -> Response {
    let login = !matches!(caller.standing, Standing::Local);
    Json(json!({
        "actor": caller.actor,
        "user": caller.user(),
        "role": caller.role(),
        "project": app.desk.project().project,
        "login": login,
    }))
    .into_response()
}

/// `GET /v1/access/users`
async fn list_users(State(app): State<Arc<App>>) -> Answered {
    let users = app.read(|app| app.store.read(users::list)).await??;
    Ok(Json(json!({ "users": users })).into_response())
}

/// `POST /v1/access/users {name, kind?, password?, role?, project?}`
async fn create_user(State(app): State<Arc<App>>, caller: Caller, request: Request<Body>) -> Answered {
    let body = payload::read(request, LIMIT).await?;
    let NewUser { name, kind, password, role, project: named } = payload::json(&body)?;
    let user: UserName = name.parse().map_err(bad)?;
    let hash = match password {
        Some(password) => Some(hashed(&app, user.clone(), password).await?),
        None => None,
    };
    let (by, project) = (caller.by(app.clock.now()), project(&app, named));
    may_reach(&caller, &app, &project)?;
    let made = user.clone();
    let job = move |tx: &mut gyre_store::Tx<'_>| {
        users::create(tx, &by, &made, kind, hash.as_deref())?;
        role.map_or(Ok(()), |role| grants::grant(tx, &by, made.as_str(), &project, role))
    };
    app.change(job).await??;
    Ok(Json(json!({ "user": user.as_str(), "kind": kind, "role": role })).into_response())
}

/// `DELETE /v1/access/users/{user}`
async fn delete_user(State(app): State<Arc<App>>, caller: Caller, path: Name) -> Answered {
    let Path(user) = path?;
    may_touch(&caller, &app, &user)?;
    let (by, gone) = (caller.by(app.clock.now()), user.clone());
    app.change(move |tx| users::delete(tx, &by, &gone)).await??;
    Ok(Json(json!({ "user": user })).into_response())
}

/// `POST /v1/access/users/{user}/password {password}`
async fn set_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Name,
    request: Request<Body>,
) -> Answered {
    let Path(user) = path?;
    let user: UserName = user.parse().map_err(bad)?;
    may_touch(&caller, &app, user.as_str())?;
    let body = payload::read(request, LIMIT).await?;
    let NewPassword { password } = payload::json(&body)?;
    let hash = hashed(&app, user.clone(), password).await?;
    let (by, changed) = (caller.by(app.clock.now()), user.clone());
    app.change(move |tx| users::set_password(tx, &by, &changed, &hash)).await??;
    Ok(Json(json!({ "user": user.as_str() })).into_response())
}

async fn hashed(app: &Arc<App>, user: UserName, password: String) -> Result<String, Refused> {
    app.hash(move |_| password::hash(&user, &password)).await?.map_err(bad)
}

/// `GET /v1/access/tokens?user=`
async fn list_tokens(State(app): State<Arc<App>>, query: Result<Query<OfUser>, QueryRejection>) -> Answered {
    let Query(OfUser { user }) = query?;
    let tokens = app.read(move |app| {
        // A busy store only makes the times of use a little older.
        let _ = app.gate.settle();
        app.store.read(|tx| tokens::list(tx, user.as_deref()))
    });
    let tokens = tokens.await??;
    Ok(Json(json!({ "tokens": tokens })).into_response())
}

/// `POST /v1/access/tokens {user, label?, role?, projects?, days?}`: answers with the token, this once.
async fn create_token(State(app): State<Arc<App>>, caller: Caller, request: Request<Body>) -> Answered {
    let body = payload::read(request, LIMIT).await?;
    let NewToken { user, label, role, projects, days } = payload::json(&body)?;
    let user = user.to_ascii_lowercase();
    may_touch(&caller, &app, &user)?;
    let token = Token::random()
        .map_err(|error| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let wanted = Wanted {
        user,
        label,
        // More has to be asked for.
        scope: Scope { role: role.unwrap_or(Role::Contributor), projects },
        life: days.map_or(DEFAULT_LIFE.min(app.front.token_life), Span::days),
        longest: app.front.token_life,
    };
    let (by, issued) = (caller.by(app.clock.now()), token.clone());
    let record = app.change(move |tx| tokens::issue(tx, &by, &wanted, &issued)).await??;
    Ok(Json(json!({ "token": token.reveal(), "issued": record })).into_response())
}

/// `DELETE /v1/access/tokens/{id}`
async fn revoke_token(State(app): State<Arc<App>>, caller: Caller, path: Name) -> Answered {
    let Path(id) = path?;
    let (by, gone) = (caller.by(app.clock.now()), id.clone());
    app.change(move |tx| tokens::revoke(tx, &by, &gone)).await??;
    Ok(Json(json!({ "token": id })).into_response())
}

/// `GET /v1/access/grants`
async fn list_grants(State(app): State<Arc<App>>) -> Answered {
    let grants = app.read(|app| app.store.read(grants::list)).await??;
    Ok(Json(json!({ "grants": grants })).into_response())
}

/// `POST /v1/access/grants {user, role, project?}`: `*` stands for all projects.
async fn grant(State(app): State<Arc<App>>, caller: Caller, request: Request<Body>) -> Answered {
    let body = payload::read(request, LIMIT).await?;
    let NewGrant { user, role, project: named } = payload::json(&body)?;
    let (by, project) = (caller.by(app.clock.now()), project(&app, named));
    may_reach(&caller, &app, &project)?;
    let (name, place) = (user.to_ascii_lowercase(), project.clone());
    app.change(move |tx| grants::grant(tx, &by, &name, &place, role)).await??;
    Ok(Json(json!({ "user": user, "project": project, "role": role })).into_response())
}

/// `POST /v1/access/grants/revoke {user, project?}`
async fn revoke_grant(State(app): State<Arc<App>>, caller: Caller, request: Request<Body>) -> Answered {
    let body = payload::read(request, LIMIT).await?;
    let OldGrant { user, project: named } = payload::json(&body)?;
    let (by, project) = (caller.by(app.clock.now()), project(&app, named));
    may_reach(&caller, &app, &project)?;
    let (name, place) = (user.to_ascii_lowercase(), project.clone());
    app.change(move |tx| grants::revoke(tx, &by, &name, &place)).await??;
    Ok(Json(json!({ "user": user, "project": project })).into_response())
}

/// Whoever administers this project gives no roles in others.
fn may_reach(caller: &Caller, app: &App, project: &str) -> Result<(), Refused> {
    let served = app.desk.project();
    let own = served.project.as_str();
    if project == own || caller.administers_all() {
        return Ok(());
    }
    let place = if project == ALL_PROJECTS { "all projects".to_owned() } else { format!("`{project}`") };
    let told = format!("{} administers `{own}`, not {place}", caller.actor);
    Err(Refused::new(StatusCode::FORBIDDEN, told))
}

/// Whoever administers this project only does not take over a user who has roles elsewhere too.
fn may_touch(caller: &Caller, app: &App, user: &str) -> Result<(), Refused> {
    let served = app.desk.project();
    let own = served.project.as_str();
    if caller.administers_all() || !app.gate.directory().reaches_beyond(user, own) {
        return Ok(());
    }
    let user: String = user.chars().take(100).collect();
    let told = format!("`{user}` has roles in other projects, and {} administers `{own}` only", caller.actor);
    Err(Refused::new(StatusCode::FORBIDDEN, told))
}
