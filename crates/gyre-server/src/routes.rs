//! All routes in one place, what each asks of its caller, and what is said where there is none.
//!
//! A route exists only by an entry in this table, and an entry cannot be made without saying what it needs. So "which
//! routes are there, and who may use them" is answered by data, and the tests enumerate it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use futures_util::future::Either;
use gyre_access::Role;

use crate::app::App;
use crate::caller::{Caller, Unfit};
use crate::{inference, mlflow, rest, trail, ui};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing: it tells no more than that a server is here.
    Open,
    /// To read (role viewer).
    Read,
    /// To add and change (role contributor).
    Write,
    /// To decide what serves (role approver).
    Approve,
    /// To administer (role admin).
    Admin,
}

impl Need {
    /// The role that it takes; none for what is open.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Open => None,
            Self::Read => Some(Role::Viewer),
            Self::Write => Some(Role::Contributor),
            Self::Approve => Some(Role::Approver),
            Self::Admin => Some(Role::Admin),
        }
    }
}

/// A route: how it is asked, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: String,
    /// What it asks of its caller.
    pub need: Need,
}

/// The table of routes as it grows.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Arc<App>>,
    list: Vec<Route>,
}

impl Routes {
    /// Adds a route.
    pub(crate) fn add<T, H>(&mut self, method: Method, path: &str, need: Need, handler: H) -> &mut Self
    where
        T: 'static,
        H: Handler<T, Arc<App>>,
    {
        self.list.push(Route { method: method.clone(), path: path.to_owned(), need });
        // What a route needs is part of the route: there is no way to its handler but through here.
        let handler = Guarded { need, handler };
        let route = match MethodFilter::try_from(method) {
            Ok(filter) => on(filter, handler),
            Err(_) => get(handler),
        };
        self.router = std::mem::take(&mut self.router).route(path, route);
        self
    }

    /// Adds a route for reading.
    pub(crate) fn get<T: 'static, H: Handler<T, Arc<App>>>(&mut self, path: &str, handler: H) -> &mut Self {
        self.add(Method::GET, path, Need::Read, handler)
    }

    /// Adds a route that changes something.
    pub(crate) fn post<T: 'static, H: Handler<T, Arc<App>>>(
        &mut self,
        path: &str,
        need: Need,
        handler: H,
    ) -> &mut Self {
        self.add(Method::POST, path, need, handler)
    }
}

/// Every route that there is.
pub fn all() -> Vec<Route> {
    table().list
}

fn table() -> Routes {
    let mut routes = Routes::default();
    inference::routes(&mut routes);
    rest::routes(&mut routes);
    ui::routes(&mut routes);
    mlflow::routes(&mut routes);
    routes
}

/// The router over `app`.
pub(crate) fn router(app: Arc<App>) -> Router<()> {
    table().router.fallback(nowhere).method_not_allowed_fallback(other_method).with_state(app)
}

/// A handler, and what it asks of its caller. A layer would do the same, with several more allocations for each request.
#[derive(Clone)]
struct Guarded<H> {
    need: Need,
    handler: H,
}

impl<T, H: Handler<T, Arc<App>>> Handler<T, Arc<App>> for Guarded<H> {
    type Future = Either<H::Future, Ready<Response>>;

    /// Lets a request through, or answers why not. The body has not been read.
    fn call(self, request: Request, app: Arc<App>) -> Self::Future {
        let unfit = match request.extensions().get::<Caller>() {
            Some(caller) => caller.may(self.need),
            None => Err(Unfit::unknown("who asks is not known")),
        };
        trail::goes(request.extensions().get::<MatchedPath>());
        match unfit {
            Ok(()) => Either::Left(self.handler.call(request, app)),
            Err(unfit) => Either::Right(ready(turn_away(&request, &unfit))),
        }
    }
}

/// Says why a request may not go on.
fn turn_away(request: &Request, Unfit { status, message }: &Unfit) -> Response {
    let mut response = refuse(request.uri().path(), *status, message);
    if *status == StatusCode::UNAUTHORIZED {
        // A browser would ask for Basic credentials in a window of its own, and send them ever after.
        let browser = request.headers().contains_key("sec-fetch-mode");
        let ways = if browser { BEARER } else { BEARER_AND_BASIC };
        for way in ways {
            response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(way));
        }
    }
    response
}

const BEARER: &[&str] = &["Bearer realm=\"gyre\""];
const BEARER_AND_BASIC: &[&str] = &["Bearer realm=\"gyre\"", "Basic realm=\"gyre\", charset=\"UTF-8\""];

async fn nowhere(uri: Uri) -> Result<Response, Infallible> {
    let path: String = uri.path().chars().take(200).collect();
    Ok(refuse(uri.path(), StatusCode::NOT_FOUND, &format!("there is nothing at `{path}`")))
}

async fn other_method(uri: Uri) -> Response {
    refuse(
        uri.path(),
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take that method; see the header Allow",
    )
}

/// A refusal in the shape of the protocol that `path` belongs to.
pub(crate) fn refuse(path: &str, status: StatusCode, message: &str) -> Response {
    if path.starts_with(inference::grpc::SERVICE) {
        inference::grpc::refuse(status, message)
    } else if path == "/v2" || path.starts_with("/v2/") {
        inference::Refused::new(status, message).into_response()
    } else if path == "/health" || path.starts_with("/v1/") {
        rest::Refused::new(status, message).into_response()
    } else if mlflow::speaks(path) {
        mlflow::MlflowError::with_status(status, message).into_response()
    } else {
        ui::refused_at(Some(path), status, message)
    }
}
