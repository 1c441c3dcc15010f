//! The server over real sockets. One program for all of it: each would link the whole server anew.
#![allow(clippy::unwrap_used)]

mod access;
mod artifacts;
mod connections;
mod full_disk;
mod hostile;
mod hostile_searches;
mod inference;
mod known_attacks;
mod known_attacks_at_the_door;
mod mlflow_registry;
mod mlflow_traces;
mod registry_differential;
mod serving_clients;
mod support;
mod surface;
mod telemetry;
mod tls;
mod traces;
mod webhooks;
