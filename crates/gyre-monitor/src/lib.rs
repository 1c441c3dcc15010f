//! Watching: what a model's life in service shows, held against what it showed in training.
//!
//! A model version carries a [`ReferenceProfile`]: how its features and predictions were distributed, and how wrong it was
//! on rows withheld from training. Event time falls into windows ([`Calendar`]); when a window's labels have had time to
//! arrive, [`summarise`] turns its rows into one small fact: the loss that came true, version by version, and which
//! columns have drifted. The controller decides on that fact; nothing is decided here.
//!
//! | module | what lives there |
//! | --- | --- |
//! | [`attribution`] | which columns a change of the loss comes from, and what is concept |
//! | [`columns`] | values by column, as every function here takes them |
//! | [`loss`] | the loss of a row, and the metric over rows with its error clustered by day |
//! | [`profile`] | the reference profile |
//! | [`persistence`] | from windows that drifted to an alarm |
//! | [`segments`] | the loss by parts of the rows |
//! | [`variation`] | how much a column varies by itself from window to window |
//! | [`windows`] | which windows are due |
//! | [`summary`] | a window's rows in, a window's fact out |
//! | [`comparison`] | several versions on the same rows |
//! | [`quality`] | whether the data can be trusted |
//! | [`mix`] | which part of a loss inputs and outcomes explain |
//! | [`seen`] | what is kept of a window |
//! | [`diagnosis`] | from the windows of late to their likely cause |
//!
//! Invariants
//! - Pure: no I/O, no clock, no thread; whoever has the rows passes them in.
//! - What was not measured is absent, never 0 and never NaN: a column with too few rows is not listed as "no drift".
//! - A drift alarm needs significance *and* size *and* more than the usual variation, by the same statistic. With many rows
//!   everything is significant; with few rows everything is large; and ordinary weeks differ.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod attribution;
pub mod calibration;
mod change;
pub mod columns;
pub mod comparison;
pub mod diagnosis;
mod evidence;
pub mod loss;
pub mod mix;
pub mod persistence;
pub mod profile;
pub mod quality;
pub mod seen;
pub mod segments;
pub mod summary;
pub mod variation;
pub mod windows;

pub use attribution::{LossReference, attribute};
pub use columns::{MonitorError, Predictions, Values};
pub use diagnosis::{Diagnosis, diagnose};
pub use loss::MeasuredLoss;
pub use profile::{Holdout, ReferenceProfile};
pub use seen::Seen;
pub use segments::by_segment;
pub use summary::{Settings, WindowInput, summarise};
pub use windows::Calendar;
