//! Drift: is a window different from the reference, and by how much?
//!
//! Two questions, kept apart. *Significance* (a p-value) says whether the difference can be luck; with enough rows
//! everything is significant. *Effect* (a distance) says whether it is large enough to matter; with few rows it is noise.
//! An alarm needs both, so [`ColumnDrift`] carries both, and a third case besides: not enough rows to say.
//!
//! Definitions of these distances differ between tools that use the same name; each function states its own.
//! The reference is treated as a sample, like the window: taking it for the exact truth makes false alarms when it is not
//! much larger than the window.
//!
//! | module | compares |
//! | --- | --- |
//! | [`column`](fn@column) | a stored reference with a window of live traffic: what gyre decides by |
//! | [`samples`] | two raw samples of one column: Kolmogorov–Smirnov, Cramér–von Mises, Anderson–Darling, ranks, means, spreads |
//! | [`bins`], [`counts`] | two histograms: PSI, Jensen–Shannon, Hellinger, Kullback–Leibler, total variation |
//! | [`homogeneity`](fn@homogeneity), [`chi_square`] | two rows of category counts: χ², G, Cramér's V |
//! | [`names`](fn@names) | the same, and the rare names one by one |
//! | [`unseen`](fn@unseen) | names that the reference does not have, against what luck brings of them |
//! | [`rows`] | whole rows of several columns: MMD, energy, what principal components miss |

use serde::{Deserialize, Serialize};

pub mod bins;
mod column;
mod contingency;
pub mod counts;
mod homogeneity;
pub mod rows;
pub mod samples;
mod transport;
mod unseen;

pub use column::{ColumnDrift, Effect, Evidence, MINIMUM_ROWS, Method, ShareChange, column};
pub use contingency::{ChiSquare, NamesTest, Pooled, chi_square, names, pool};
pub use homogeneity::{Homogeneity, NormalTest, homogeneity, two_proportion_z};
pub use transport::wasserstein_binned;
pub use unseen::{Unseen, unseen};

/// A Kolmogorov–Smirnov two-sample test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KolmogorovSmirnov {
    /// Largest distance between the two distribution functions, in 0..=1.
    pub statistic: f64,
    /// Asymptotic two-sided p-value (Kolmogorov's limit, √(nm/(n+m))·D). With ties it is conservative.
    pub p_value: f64,
}

impl KolmogorovSmirnov {
    fn new(statistic: f64, n: f64, m: f64) -> Self {
        Self { statistic, p_value: crate::special::kolmogorov_upper((n * m / (n + m)).sqrt() * statistic) }
    }
}
