//! Kubernetes as a place where versions run.
//!
//! Why this room exists: where there is a cluster, models run on it, as Deployments or as KServe's InferenceServices. Somebody must
//! make their objects, know when they are ready and where, say why when they do not come up, notice when they die or somebody
//! else changes them, and remove them, and them alone, in the end. Then they are models at addresses like others, which
//! `gyre-backend` asks.
//!
//! The way of a version: [`Cluster::keep`] → `manifest` (objects, named by `names`) → `keeper` (apply; list and watch; apply again
//! what is gone) → `status` (ready, and where) and `reasons` (why not) → [`News`](gyre_backend::News) for the backend. Its end:
//! [`Cluster::sweep`] removes what is no longer wanted.
//!
//! Beneath it: `access` (a kubeconfig, or the service account of our pod) → `wire` (one HTTP connection a request, TLS) →
//! `client` (apply, get, list, watch, delete, log).
//!
//! Invariants:
//! - Nothing is changed or removed that does not carry the labels of this gyre, model and version; what is applied is never forced
//!   over what somebody else has changed.
//! - The API server may come and go: what runs goes on being asked, and is looked at again later, ever more rarely.
//! - Memory is bounded: by the largest answer, the longest line of a watch, the reasons that are kept.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod client;
mod cluster;
mod error;
mod keeper;
mod kind;
mod kubeconfig;
mod manifest;
mod names;
mod reasons;
mod status;
mod watch;
mod wire;

pub use access::{Access, Credentials};
pub use client::{Apply, Client, Listed};
pub use cluster::Cluster;
pub use error::{AccessError, ApiError, ManifestError};
pub use keeper::Stand;
pub use kind::Kind;
pub use manifest::{Object, Plan, plan};
pub use names::Identity;
pub use watch::{Event, Watch};
