//! The HTTP surface: one module a protocol, and the door that all of them stand behind.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`Server`] | the listening socket, shutdown |
//! | [`Tls`] | the certificate, renewed while the server runs |
//! | `workers` | the threads that connections live on |
//! | `handover` | what takes long, away from those threads |
//! | `connection` | one client: encryption, version of HTTP, requests |
//! | [`Telemetry`] | traces: whose request it is, and spans for a collector |
//! | `trail` | what a request did, for its span and the access log |
//! | `places` | connections at a time, and who has to go |
//! | [`Front`] | how the server is reached, and who has to log in; pure |
//! | `guard` | which requests come in: names of this server, same-origin pages; pure |
//! | `door` | who asks: from `credentials` to a `caller` |
//! | `headers` | what every answer tells the browser not to do |
//! | `payload` | bodies: read within limits of size and time, JSON with the place of a mistake |
//! | `inference` | `/v2`: Open Inference Protocol V2 (REST) |
//! | `rest` | `/v1`, `/health`: gyre's own API |
//! | `messenger` | tells webhooks what happened |
//! | `mlflow` | `/api`, `/ajax-api`: MLflow's REST protocol |
//! | [`MlModel`] | what a logged model says of itself; pure |
//! | `ui` | the control room: pages for people |
//! | [`lineage`] | where an answer came from, and what came of data |
//! | [`news`] | a journal entry in a few words |
//! | [`provenance`] | where runs came from |
//! | [`report`] | the loop's report of a model, from the journal |
//!
//! Invariants
//! - Nothing here decides: a handler reads a request, asks the room below, and renders the answer. What changes state goes
//!   through the loop's desk, the gateway or the store.
//! - A prediction of some rows is answered on the thread that read it. Everything else is handed over, so that no connection
//!   waits long for another; and what may wait for a disk runs aside, a bounded number at a time.
//! - A refused request has changed nothing and is logged nowhere as a prediction.
//! - No route without its need: a handler is reached only by a caller whose role is held against the table of routes.
//! - An address that others reach asks for a login, and for a decision on encryption.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod caller;
mod connection;
mod credentials;
mod door;
mod front;
mod glance;
mod guard;
mod handover;
mod headers;
mod inference;
pub mod lineage;
mod messenger;
mod mlflow;
mod mlmodel;
pub mod news;
mod pages;
mod payload;
mod places;
pub mod provenance;
pub mod report;
mod rest;
mod routes;
mod serve;
mod stall;
mod telemetry;
mod tls;
mod trail;
mod ui;
mod workers;

pub use app::App;
pub use connection::ACCESS;
pub use front::{Front, Login, Transport};
pub use mlflow::pages_folder;
pub use mlmodel::MlModel;
pub use routes::{Need, Route, all as routes};
pub use serve::{Drain, ServeError, Server};
pub use telemetry::{Telemetry, TelemetryError};
pub use tls::{Renewal, Tls, TlsError, TlsFiles};
