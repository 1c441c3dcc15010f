//! Who asks: the name that the journal will bear, from where, and what they may do.
//!
//! The door ([`crate::door`]) puts a caller into every request before any route sees it; the table of routes
//! ([`crate::routes`]) holds the caller against what the route needs. A request without a caller is refused.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use gyre_access::token::SecretHash;
use gyre_access::{By, Decision, Role, policy};
use gyre_core::Timestamp;

use crate::routes::Need;

/// The longest that a client's name for itself is kept, in characters.
const AGENT: usize = 120;

/// The caller of a request. Made for each, so that what only the journal wants to know is put into words when it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// As the journal names them: `user:NAME`, `token:ID(user:NAME)`.
    pub(crate) actor: Cow<'static, str>,
    /// From where.
    pub(crate) address: Option<IpAddr>,
    /// What the client calls itself.
    pub(crate) agent: Option<HeaderValue>,
    /// What is known of them.
    pub(crate) standing: Standing,
    /// The project that they ask for, when it is not the one that is kept here.
    pub(crate) elsewhere: Option<String>,
}

/// What is known of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They are on this machine, where nobody has to log in.
    Local,
    /// Their credentials were good.
    Known {
        /// The user.
        user: String,
        /// Their role in the project that they ask for.
        role: Option<Role>,
        /// Their role in all projects.
        everywhere: Option<Role>,
        /// Their session, if they come with a cookie.
        session: Option<SecretHash>,
    },
    /// They said nothing, or nothing that is good: why not.
    Nobody(Unfit),
}

/// Why a caller may not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfit {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
}

impl Unfit {
    /// It is not known who asks.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, message: message.into() }
    }
}

impl Caller {
    /// Without authentication all that is known is that they are on this machine.
    pub(crate) const LOCAL: Cow<'static, str> = Cow::Borrowed("user:local");
    /// Whose credentials are not good.
    pub(crate) const ANONYMOUS: Cow<'static, str> = Cow::Borrowed("anonymous");

    /// What they may do here.
    pub(crate) fn role(&self) -> Option<Role> {
        match &self.standing {
            Standing::Local => Some(Role::Admin),
            Standing::Known { role, .. } => *role,
            Standing::Nobody(_) => None,
        }
    }

    /// The name of the user, when they are one.
    pub(crate) fn user(&self) -> Option<&str> {
        match &self.standing {
            Standing::Known { user, .. } => Some(user),
            Standing::Local => Some("local"),
            Standing::Nobody(_) => None,
        }
    }

    /// Whether they administer all projects.
    pub(crate) fn administers_all(&self) -> bool {
        match &self.standing {
            Standing::Local => true,
            Standing::Known { everywhere, .. } => *everywhere == Some(Role::Admin),
            Standing::Nobody(_) => false,
        }
    }

    /// As the author of a change at `at`.
    pub(crate) fn by(&self, at: Timestamp) -> By {
        By { at, actor: self.actor.to_string(), origin: self.origin() }
    }

    /// From where, as the journal keeps it: the address, and what the client calls itself.
    pub(crate) fn origin(&self) -> Option<String> {
        let address = self.address?;
        let agent = self.agent.as_ref().and_then(|agent| agent.to_str().ok());
        Some(match agent {
            Some(agent) => format!("{address} {}", agent.chars().take(AGENT).collect::<String>()),
            None => address.to_string(),
        })
    }

    /// Whether they may use a route that needs `need`.
    pub(crate) fn may(&self, need: Need) -> Result<(), Unfit> {
        let Some(takes) = need.role() else { return Ok(()) };
        if let Standing::Nobody(unfit) = &self.standing {
            return Err(unfit.clone());
        }
        if let Decision::Denied { has, takes } = policy::decide(takes, self.role()) {
            let has = has.map_or_else(|| "no role".to_owned(), |has| format!("the role {has}"));
            let place =
                self.elsewhere.as_ref().map_or_else(|| "here".to_owned(), |name| format!("in `{name}`"));
            let message = format!(
                "{} has {has} {place}, and this takes {takes}: ask an administrator for it",
                self.actor
            );
            return Err(Unfit { status: StatusCode::FORBIDDEN, message });
        }
        match &self.elsewhere {
            Some(name) => {
                let message = format!("there is no project `{name}` on this server");
                Err(Unfit { status: StatusCode::NOT_FOUND, message })
            }
            None => Ok(()),
        }
    }

    /// Whoever it is that came past the door: nobody.
    fn unknown() -> Self {
        let standing = Standing::Nobody(Unfit::unknown("who asks is not known"));
        Self { actor: Self::ANONYMOUS, address: None, agent: None, standing, elsewhere: None }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(role: Option<Role>) -> Caller {
        let standing = Standing::Known { user: "ada".to_owned(), role, everywhere: None, session: None };
        Caller { actor: "user:ada".into(), address: None, agent: None, standing, elsewhere: None }
    }

    #[test]
    fn each_need_takes_its_role() {
        let needs = [Need::Read, Need::Write, Need::Approve, Need::Admin];
        for (place, role) in Role::ALL.into_iter().enumerate() {
            for (takes, need) in needs.into_iter().enumerate() {
                assert_eq!(known(Some(role)).may(need).is_ok(), place >= takes, "{role} {need:?}");
            }
        }
        for need in needs {
            assert_eq!(known(None).may(need).unwrap_err().status, 403);
            assert_eq!(Caller::unknown().may(need).unwrap_err().status, 401);
        }
        assert!(Caller::unknown().may(Need::Open).is_ok());
    }

    #[test]
    fn even_an_administrator_finds_no_other_project_here() {
        let mut caller = known(Some(Role::Admin));
        caller.elsewhere = Some("flights".to_owned());
        assert_eq!(caller.may(Need::Read).unwrap_err().status, 404);
    }
}
