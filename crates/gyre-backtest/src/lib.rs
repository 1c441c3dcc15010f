//! Backtests: the repair policy proven on history, before it is trusted with the future.
//!
//! A policy that retrains models by itself can be worse than none: it trains on noise, pays for it, and serves what is worse.
//! So before it runs, it is replayed on what has been: labelled rows in the order of time, labels arriving with their delay,
//! the very controller of production deciding ([`policies::Gyre`]), beside what people do otherwise and beside the best
//! schedule in hindsight ([`oracle`]).
//!
//! The way through it: [`History`] → [`timeline`] (windows, moments of decision, slices) → [`Matrix`] (each model that any
//! policy may want, trained once by the reference trainer and scored on all that follows) → [`policies`], which see of it what
//! a [`known::Known`] shows them → [`cost`] → [`Backtest`].
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`history`] | rows by time |
//! | [`timeline`] | windows, decisions, slices |
//! | [`measure`] | losses of slices put together |
//! | [`matrix`] | every model's losses, cached, in parallel |
//! | [`known`] | what may be known at a decision |
//! | [`similarity`] | labelled rows weighted by their likeness to requests |
//! | [`cost`], [`oracle`] | what a schedule costs, and the cheapest one |
//! | [`policies`] | the policies |
//! | [`outcome`], [`advice`] | what came out, and which settings it speaks for |
//!
//! Invariants: no policy sees a label before it arrived, or a model trained later; the same history and settings give the same
//! result; the clock is not read. Only [`history`] and [`matrix`] touch files.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod advice;
pub mod cost;
mod error;
pub mod history;
pub mod known;
pub mod matrix;
pub mod measure;
pub mod oracle;
pub mod outcome;
pub mod policies;
pub mod settings;
pub mod similarity;
pub mod synthetic;
pub mod timeline;
mod trainer;

pub use advice::{Advice, advise};
pub use error::BacktestError;
pub use history::{Columns, History, Order};
pub use matrix::Matrix;
pub use outcome::{Backtest, Outcome, Plan};
pub use policies::Policy;
pub use settings::Settings;
