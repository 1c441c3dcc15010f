//! What a table holds, column by column, in fixed memory: profiles that merge.
//!
//! Why this room exists: data that nobody looked at trains models that nobody understands. A profile says of each column
//! what it holds, how much is missing, how it is distributed and what occurs most, after one pass over the rows, in memory
//! that no number of rows exceeds. And it adds up: profiles of parts, of days, of machines merge into the profile of the
//! whole, without the data.
//!
//! The way through it: files → parts ([`fn@profile`]) → [`Column`]s, which keep counts, moments and [`sketch`]es → merged into
//! one [`Profile`], which is stored as JSON, or told in [`Figures`].
//!
//! | what | error | bytes at most |
//! | --- | --- | --- |
//! | rows, missing, infinite, kinds, hours, weekdays | none | counts |
//! | mean, spread, skewness, least, greatest | rounding | counts |
//! | quantiles | 0.27 % of the ranks, with 99 % confidence | [`sketch::Quantiles::MOST_BYTES`] |
//! | different values | none up to 768, then 1.6 % (standard error) | [`sketch::Distinct::MOST_BYTES`] |
//! | frequent values | none up to 768 different ones, then 0.35 % of the rows, told with each | [`sketch::Frequent::MOST_BYTES`] |
//! | lengths of texts | none below 128, then 1/64 | [`column::Lengths::MOST_BYTES`] |
//!
//! Invariants
//! - A column that has one kind of value takes at most that kind's bytes, [`Column::MOST_BYTES`] with all kinds; each of a
//!   few parts that are at hand takes as much again.
//! - Counts of a merged profile are those of the profile of all rows together; sketches are within their bounds.
//! - No input panics: what is missing, infinite, mixed or nested is counted as such, and a damaged stored profile is refused.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cells;
pub mod column;
mod error;
pub mod figures;
mod profile;
mod read;
pub mod sketch;

pub use column::Column;
pub use error::ProfileError;
pub use figures::Figures;
pub use profile::Profile;
pub use read::profile;
