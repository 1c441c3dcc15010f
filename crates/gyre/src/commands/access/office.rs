//! Where users, tokens and roles are changed: at the running server, or in the store while none runs.

use std::sync::Arc;

use gyre_access::name::UserName;
use gyre_access::token::Token;
use gyre_access::tokens::{self, LONGEST_LIFE, Wanted};
use gyre_access::{By, Role, Scope, UserKind, grants, password, users};
use gyre_core::time::SystemClock;
use gyre_core::{Clock, Span};
use gyre_store::{Store, StoreError, Tx};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::ProjectArgs;
use crate::client::{Server, segment};
use crate::failure::Failure;

/// The place.
pub(super) enum Office {
    Server(Server),
    Store { store: Store, project: String },
}

/// A user to be made.
pub(super) struct NewUser<'a> {
    pub(super) user: &'a UserName,
    pub(super) kind: UserKind,
    pub(super) password: Option<&'a str>,
    pub(super) role: Option<Role>,
    pub(super) place: Option<&'a str>,
}

impl Office {
    /// The one of this project.
    pub(super) fn of(args: &ProjectArgs) -> Result<Self, Failure> {
        if let Some(server) = Server::running(&args.project) {
            return Ok(Self::Server(server));
        }
        let (project, _) = gyre_loop::project_in(&args.project)?;
        let store = gyre_loop::open_store(&args.project, args.store.url.as_ref(), Arc::new(SystemClock))?;
        Ok(Self::Store { store, project: project.project.to_string() })
    }

    pub(super) fn create_user(&self, new: &NewUser<'_>) -> Result<(), Failure> {
        match self {
            Self::Server(server) => {
                let mut body = json!({ "name": new.user.as_str(), "kind": new.kind });
                let optional = [
                    ("password", new.password.map(Value::from)),
                    ("role", new.role.map(|role| json!(role))),
                    ("project", new.place.map(Value::from)),
                ];
                for (name, value) in optional {
                    if let Some(value) = value {
                        body[name] = value;
                    }
                }
                server.post("/v1/access/users", &body)?;
            }
            Self::Store { store, project } => {
                let hash = new.password.map(|given| password::hash(new.user, given)).transpose()?;
                let (user, kind, role) = (new.user.clone(), new.kind, new.role);
                let place = new.place.unwrap_or(project).to_owned();
                change(store, move |tx, by| {
                    users::create(tx, by, &user, kind, hash.as_deref())?;
                    role.map_or(Ok(()), |role| grants::grant(tx, by, user.as_str(), &place, role))
                })?;
            }
        }
        Ok(())
    }

    pub(super) fn delete_user(&self, user: &UserName) -> Result<(), Failure> {
        match self {
            Self::Server(server) => {
                server.delete(&format!("/v1/access/users/{}", segment(user.as_str())))?;
            }
            Self::Store { store, .. } => {
                let user = user.clone();
                change(store, move |tx, by| users::delete(tx, by, user.as_str()))?;
            }
        }
        Ok(())
    }

    pub(super) fn set_password(&self, user: &UserName, given: &str) -> Result<(), Failure> {
        match self {
            Self::Server(server) => {
                let path = format!("/v1/access/users/{}/password", segment(user.as_str()));
                server.post(&path, &json!({ "password": given }))?;
            }
            Self::Store { store, .. } => {
                let (user, hash) = (user.clone(), password::hash(user, given)?);
                change(store, move |tx, by| users::set_password(tx, by, &user, &hash))?;
            }
        }
        Ok(())
    }

    pub(super) fn users(&self) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Server(server) => Ok(rows(server.get("/v1/access/users")?, "users")),
            Self::Store { store, .. } => values(store.read(users::list)?),
        }
    }

    /// The token and what it is: the only time that its secret is seen.
    pub(super) fn create_token(
        &self,
        user: &UserName,
        label: &str,
        role: Role,
        places: &[String],
        days: i64,
    ) -> Result<Value, Failure> {
        match self {
            Self::Server(server) => {
                let body = json!({
                    "user": user.as_str(), "label": label, "role": role, "projects": places, "days": days,
                });
                Ok(server.post("/v1/access/tokens", &body)?)
            }
            Self::Store { store, .. } => {
                let token = Token::random()?;
                let wanted = Wanted {
                    user: user.to_string(),
                    label: label.to_owned(),
                    scope: Scope { role, projects: places.to_vec() },
                    life: Span::days(days),
                    longest: LONGEST_LIFE,
                };
                let issued = token.clone();
                let record = change(store, move |tx, by| tokens::issue(tx, by, &wanted, &issued))?;
                Ok(json!({ "token": token.reveal(), "issued": record }))
            }
        }
    }

    pub(super) fn revoke_token(&self, id: &str) -> Result<(), Failure> {
        match self {
            Self::Server(server) => {
                server.delete(&format!("/v1/access/tokens/{}", segment(id)))?;
            }
            Self::Store { store, .. } => {
                let id = id.to_owned();
                change(store, move |tx, by| tokens::revoke(tx, by, &id))?;
            }
        }
        Ok(())
    }

    pub(super) fn tokens(&self, user: Option<&UserName>) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Server(server) => {
                let query = user.map(|user| format!("?user={}", segment(user.as_str()))).unwrap_or_default();
                Ok(rows(server.get(&format!("/v1/access/tokens{query}"))?, "tokens"))
            }
            Self::Store { store, .. } => {
                values(store.read(|tx| tokens::list(tx, user.map(UserName::as_str)))?)
            }
        }
    }

    /// Grants, and says in which project.
    pub(super) fn grant(&self, user: &UserName, place: Option<&str>, role: Role) -> Result<String, Failure> {
        match self {
            Self::Server(server) => {
                let body = json!({ "user": user.as_str(), "role": role, "project": place });
                Ok(text(&server.post("/v1/access/grants", &body)?, "project"))
            }
            Self::Store { store, project } => {
                let place = place.unwrap_or(project).to_owned();
                let (user, granted) = (user.to_string(), place.clone());
                change(store, move |tx, by| grants::grant(tx, by, &user, &granted, role))?;
                Ok(place)
            }
        }
    }

    /// Takes a role away, and says in which project.
    pub(super) fn revoke_grant(&self, user: &UserName, place: Option<&str>) -> Result<String, Failure> {
        match self {
            Self::Server(server) => {
                let body = json!({ "user": user.as_str(), "project": place });
                Ok(text(&server.post("/v1/access/grants/revoke", &body)?, "project"))
            }
            Self::Store { store, project } => {
                let place = place.unwrap_or(project).to_owned();
                let (user, revoked) = (user.to_string(), place.clone());
                change(store, move |tx, by| grants::revoke(tx, by, &user, &revoked))?;
                Ok(place)
            }
        }
    }

    pub(super) fn grants(&self) -> Result<Vec<Value>, Failure> {
        match self {
            Self::Server(server) => Ok(rows(server.get("/v1/access/grants")?, "grants")),
            Self::Store { store, .. } => values(store.read(grants::list)?),
        }
    }
}

/// Changes the store in the name of whoever is at this machine.
fn change<T: Send + 'static>(
    store: &Store,
    job: impl FnOnce(&mut Tx<'_>, &By) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let origin = Some("command line".to_owned());
    let by = By { at: SystemClock.now(), actor: "user:local".to_owned(), origin };
    store.write(move |tx| job(tx, &by))
}

fn rows(mut answer: Value, name: &str) -> Vec<Value> {
    match answer[name].take() {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    }
}

fn values(records: Vec<impl Serialize>) -> Result<Vec<Value>, Failure> {
    Ok(records.iter().map(serde_json::to_value).collect::<Result<_, _>>()?)
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_default().to_owned()
}
