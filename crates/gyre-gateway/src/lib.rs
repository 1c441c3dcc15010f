//! Where requests meet models: routing, rollouts, and the inference log.
//!
//! A prediction comes in through [`Gateway::infer`]: the request is held against the version's signature, the id
//! decides which version answers, the model runs, and the caller has its answer. Only then, and beside it, the
//! prediction goes to the inference log. Control (loading, moving traffic, unloading) swaps one immutable table, so
//! that no request ever sees half a change.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`request`] | what is asked and answered, and the check against a signature |
//! | [`rules`] | what a version's features may hold, and what is done about the rest |
//! | [`routing`] | which version answers an id: pure |
//! | [`evidence`] | requests, errors and latencies of a version, counted without locks |
//! | [`totals`] | what a version has done since it was loaded, for metrics |
//! | `shadow` | a candidate that is asked beside the champion, and nobody waits |
//! | [`contextual`] | rules that decide before chance does |
//! | [`trial`] | a candidate held against the champion after every request and every label |
//! | `ledger` | predictions of a trial that wait for their labels |
//! | `met` | who has met which version, while shares move both ways |
//! | `realised` | what came true of them, and whether the candidate is worse |
//! | `answers` | whether it answers otherwise |
//! | [`rollout`] | whether a rollout's step may go on: pure |
//! | [`stream`] | answers that come bit by bit, passed through and judged |
//! | [`cache`] | answers that are kept for rows that come again |
//! | `engine` | what runs a model: in our process, or elsewhere |
//! | [`gateway`] | the table of loaded versions, and the way of one prediction |
//! | [`log`] | the inference log: write-ahead file, Parquet segments, scans |
//!
//! Invariants
//! - A prediction never waits for the log: what does not fit in the queue is dropped and counted.
//! - What was acknowledged as logged (by a flush, or by taking labels) survives `kill -9` and power loss, and is there
//!   once.
//! - A version takes traffic only after it has been loaded and run once; loading never disturbs what serves.
//! - A candidate that fails more often than its champion, or whose answers turn out worse, beyond doubt, takes no more traffic
//!   from that request, or that label, on.
//! - Nothing is logged of a request that was refused or failed.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answers;
pub mod cache;
pub mod contextual;
mod engine;
pub mod error;
pub mod evidence;
pub mod gateway;
mod ledger;
pub mod log;
mod met;
mod realised;
pub mod request;
pub mod rollout;
pub mod routing;
pub mod rules;
mod shadow;
pub mod stream;
pub mod totals;
pub mod trial;

pub use cache::CachePolicy;
pub use contextual::{Headers, RuleCount, Rules};
pub use engine::Remote;
pub use error::{InferError, LoadError, LogError, Refusal, Rejected, Status, TrafficError};
pub use evidence::Evidence;
pub use gateway::{Gateway, Ports, Traffic};
pub use gyre_runtime::{Column, Name};
pub use log::{
    Brought, Found, InferenceLog, Intake, LogOptions, LogPosition, LogView, Policy, Recovery, Row, Scan, Tail,
};
pub use request::{Answer, Answers, Input, Request};
pub use rollout::{Judgement, Plan, Shown, judge, waits_for};
pub use rules::{FeatureRule, FeatureRules, Oddity};
pub use shadow::ShadowFinding;
pub use stream::{Call, Passed, Place, Stream, StreamTotals};
pub use totals::Totals;
pub use trial::{Finding, Recalled, Terms, Trial};
