//! Who asks, as far as it is known: the name that the journal will bear, and from where.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

/// The caller of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// As the journal names them: `user:NAME`.
    pub(crate) actor: String,
    /// From where: address, and what the client calls itself.
    pub(crate) origin: Option<String>,
}

/// Without authentication all that is known is that they are on this machine.
const LOCAL: &str = "user:local";

/// The longest that a client's name for itself is kept, in characters.
const AGENT: usize = 120;

impl Caller {
    /// Somebody on this machine, by the headers of their request.
    fn local(parts: &Parts) -> Self {
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let origin = agent.map(|agent| agent.chars().take(AGENT).collect());
        Self { actor: LOCAL.to_owned(), origin }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self::local(parts)))
    }
}
