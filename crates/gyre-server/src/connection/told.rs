//! A request that is told of: in its trace's span, and in the access log.
//!
//! The log has a line a request: who asked from where, what, how it ended and how long that took until the answer began, and
//! the ids by which the line is found again: of the request, as the client or a proxy named it (`x-request-id`), and of the
//! trace. It holds no query, no header, no feature and no prediction.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use tracing::info;
use uuid::Uuid;

use super::{ACCESS, Guest, route};
use crate::door;
use crate::telemetry::Told;
use crate::telemetry::context::Context;
use crate::trail::{Prediction, Trail};

/// The header in which a request is named.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header in which a caller is told of the span that its request became (W3C Trace Context, level 2, draft).
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");
/// The longest name of a request that is taken over.
const LONGEST: usize = 128;

pub(super) async fn answer(guest: &Guest, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let app = &guest.entrance.app;
    let began = Instant::now();
    let named = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let id = named.filter(|id| (1..=LONGEST).contains(&id.len())).map(str::to_owned);
    let id = id.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let visit = app.telemetry.as_ref().map(|telemetry| telemetry.begin(request.headers()));
    let context = visit.as_ref().map(|visit| visit.context).or_else(|| Context::of(request.headers()));
    let address = door::address(app, guest.peer, request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let trail = Arc::new(Trail::default());
    let routed = Arc::clone(&trail).along(route(guest, request));
    let mut response = match context.and_then(|context| context.header()) {
        None => routed.await?,
        Some(parent) => gyre_backend::context::within(parent, routed).await?,
    };
    let predictions = trail.predictions();
    if let Ok(id) = HeaderValue::try_from(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let (Some(telemetry), Some(visit)) = (&app.telemetry, &visit) {
        if let Some(own) = visit.context.header() {
            response.headers_mut().insert(TRACERESPONSE, own);
        }
        let told = Told {
            method: &method,
            route: trail.route(),
            status: response.status(),
            scheme: if app.front.is_secure() { "https" } else { "http" },
            request: Some(&id),
        };
        telemetry.end(visit, &told, &predictions);
    }
    if app.tells {
        let joined = |of: fn(&Prediction) -> &str| {
            let mut all: Vec<&str> = predictions.iter().map(of).collect();
            all.dedup();
            all.join(",")
        };
        info!(
            target: ACCESS,
            method = %method,
            path = path.chars().take(500).collect::<String>(),
            status = response.status().as_u16(),
            micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            %address,
            request_id = id,
            trace_id = context.map(|context| context.trace_id()),
            model = Some(joined(|one| one.model.as_str())).filter(|models| !models.is_empty()),
            version = Some(joined(|one| one.versions.as_str())).filter(|versions| !versions.is_empty()),
            rows = Some(predictions.iter().map(|one| one.rows).sum::<usize>()).filter(|rows| *rows > 0),
            "request"
        );
    }
    Ok(response)
}
