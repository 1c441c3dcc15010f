//! Charts and pages, as strings.
//!
//! A loop that repairs models by itself is only trusted when people can look at what it did. This room turns plain
//! numbers into something worth looking at: [`svg`] draws charts, [`theme`] holds the one style sheet, [`page`] is the
//! shell and [`components`] the furniture of the control room, [`loop_report`], [`bias_report`], [`drift_report`],
//! [`profile_report`] and [`backtest_report`] are whole documents.
//!
//! Invariants:
//! - Pure: data in, text out. No file, no clock, no network; the same input gives the same bytes.
//! - Self-contained: no output names a URL outside the page, so a report can be mailed, archived and read years later.
//!   A content security policy ([`page::CONTENT_SECURITY_POLICY`]) holds it to that.
//! - Every string from outside is escaped; nothing here panics on odd numbers (NaN, infinities, empty series) or on
//!   times that no calendar knows.
//! - An undefined figure is shown as undefined ("–"), never as zero.
//! - Meaning is never carried by colour alone: tones have words or shapes, series have dashes, cells have marks.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod backtest_report;
pub mod bias_report;
pub mod components;
pub mod drift_report;
pub mod format;
pub mod loop_report;
pub mod page;
pub mod profile_report;
pub mod svg;
pub mod theme;
mod tone;

pub use tone::Tone;
