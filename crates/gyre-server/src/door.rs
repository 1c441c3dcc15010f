//! The door: from the headers of a request to its [`Caller`], before any route and before the body is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode, header};
use gyre_access::policy::ALL_PROJECTS;
use gyre_access::{Credentials, Denied, Identity};

use crate::app::App;
use crate::caller::{Caller, Standing, Unfit};
use crate::credentials::{Offered, offered};
use crate::front::Transport;
use crate::guard;

/// The longest that the name of a project is kept which is not here, in characters.
const NAME: usize = 120;
/// The header in which MLflow's clients name a workspace: a project.
const WORKSPACE: &str = "x-mlflow-workspace";
/// MLflow's name for the workspace of a server that has one only.
const DEFAULT_WORKSPACE: &str = "default";

/// Says who asks.
pub(crate) async fn caller(app: &Arc<App>, peer: SocketAddr, method: &Method, headers: &HeaderMap) -> Caller {
    let address = address(app, peer, headers);
    let agent = headers.get(header::USER_AGENT).cloned();
    let served = app.desk.project();
    let own = served.project.as_str();
    let wanted = headers.get(WORKSPACE).map(|name| name.to_str().unwrap_or("(unreadable)"));
    let elsewhere = wanted.filter(|name| ![own, DEFAULT_WORKSPACE, ""].contains(name));
    let elsewhere = elsewhere.map(|name| name.chars().take(NAME).collect::<String>());
    let (actor, standing) = (Caller::LOCAL, Standing::Local);
    let caller = Caller { actor, address: Some(address), agent, standing, elsewhere };
    if !app.asks {
        return caller;
    }
    let nobody = |caller: Caller, unfit: Unfit| {
        let (actor, standing) = (Caller::ANONYMOUS, Standing::Nobody(unfit));
        Caller { actor, standing, ..caller }
    };
    let (credentials, session) = match offered(headers, app.front.cookie()) {
        Offered::Nothing => return nobody(caller, Unfit::unknown(MISSING)),
        Offered::Header(credentials) => (credentials, None),
        Offered::Cookie(credentials) => {
            // A browser sends the cookie by itself, also with what a page of somebody else makes it send.
            if !method.is_safe() && !guard::says_same_origin(headers) {
                return nobody(caller, Unfit::unknown(CROSS_SITE));
            }
            let session = match &credentials {
                Credentials::Session(id) => Some(id.hash()),
                _ => None,
            };
            (credentials, session)
        }
    };
    match identify(app, credentials, &caller).await {
        Ok(identity) => {
            let role = identity.role(caller.elsewhere.as_deref().unwrap_or(own));
            let actor = identity.actor().into();
            let everywhere = identity.role(ALL_PROJECTS);
            let standing = Standing::Known { user: identity.user, role, everywhere, session };
            Caller { actor, standing, ..caller }
        }
        Err(denied) => nobody(caller, unfit(&denied)),
    }
}

const MISSING: &str = "this server asks who you are: send an API token (Authorization: Bearer gyre_…; MLflow's clients take \
                       it from MLFLOW_TRACKING_TOKEN), or a user and password, or log in at /login";
const CROSS_SITE: &str = "a browser's session may change something only from a page of this server itself";

fn unfit(denied: &Denied) -> Unfit {
    let status = match denied {
        Denied::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        Denied::Broken(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNAUTHORIZED,
    };
    Unfit { status, message: denied.to_string() }
}

async fn identify(app: &Arc<App>, credentials: Credentials, caller: &Caller) -> Result<Identity, Denied> {
    let now = app.clock.now();
    if let Some(identified) = app.gate.identify(&credentials, now) {
        return identified;
    }
    let Credentials::Password { user, password } = credentials else { return Err(Denied::Malformed) };
    let (address, origin) = (caller.address, caller.origin());
    let verified = app.hash(move |app| app.gate.log_in(&user, &password.0, address, origin, now));
    verified.await.map_err(|aside| Denied::Broken(aside.to_string()))?
}

/// The address that asks: of the connection, or what a trusted proxy says of its own.
pub(crate) fn address(app: &App, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
    if app.front.transport != Transport::Proxied {
        return peer.ip();
    }
    // Only the last one was written by the proxy; those before it came with the request.
    let last = headers.get_all("x-forwarded-for").iter().next_back();
    let last = last.and_then(|line| line.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    last.unwrap_or(peer.ip())
}
