//! Values become ranks: how many thresholds of their feature are at or below them.

use super::{Cells, Missing};

/// Rows that are walked together: ranks of two bytes fill a vector of 32.
pub(super) const LANES: usize = 16;

/// Below this a value counts as zero where zero means missing: LightGBM's bound, in single precision as it is there.
const ZERO: f64 = 1e-35f32 as f64;

/// An unsigned integer that holds ranks and columns.
pub(super) trait Rank: Copy + Ord + Default + std::fmt::Debug {
    /// Threshold of a leaf, which no rank reaches.
    const LEAF: Self;
    /// Rank of a missing value that goes right, at every threshold but a leaf's; also the threshold that only it reaches.
    const RIGHT: Self;
    /// `None` when it does not fit below [`Rank::RIGHT`].
    fn of(n: usize) -> Option<Self>;
    fn index(self) -> usize;
}

macro_rules! rank {
    ($kind:ty) => {
        impl Rank for $kind {
            const LEAF: Self = <$kind>::MAX;
            const RIGHT: Self = <$kind>::MAX - 1;
            fn of(n: usize) -> Option<Self> {
                <$kind>::try_from(n).ok().filter(|&n| n < Self::RIGHT)
            }
            #[inline(always)]
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}
rank!(u16);
rank!(u32);

/// A way to see a feature: where its missing values go.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<R> {
    pub(super) feature: u32,
    /// In terms of left (`Yes`) and right (`No`).
    pub(super) missing: Missing,
    /// Rank of zero.
    zero: R,
}

impl<R: Rank> View<R> {
    #[inline(always)]
    fn rank(&self, x: f64, rank: R) -> R {
        let zero = x.abs() <= ZERO;
        match self.missing {
            Missing::Yes if x.is_nan() => R::default(),
            Missing::No if x.is_nan() => R::RIGHT,
            Missing::IsZero if x.is_nan() => self.zero,
            Missing::ZeroYes if x.is_nan() || zero => R::default(),
            Missing::ZeroNo if x.is_nan() || zero => R::RIGHT,
            _ => rank,
        }
    }
}

/// The thresholds of one feature, ascending, and the views that the nodes look at it through.
#[derive(Debug)]
struct Grid {
    feature: u32,
    thresholds: Vec<f64>,
    views: std::ops::Range<usize>,
}

impl Grid {
    fn rank(&self, x: f64) -> usize {
        self.ranks([x])[0]
    }

    /// How many thresholds are at or below each value; none for NaN. A binary search without branches, so that the
    /// searches of the lanes overlap.
    #[inline(always)]
    fn ranks<const L: usize>(&self, x: [f64; L]) -> [usize; L] {
        let thresholds = self.thresholds.as_slice();
        let mut base = [0usize; L];
        let mut left = thresholds.len();
        while left > 1 {
            let half = left / 2;
            for l in 0..L {
                // A branch here would be mispredicted every other time.
                base[l] += std::hint::select_unpredictable(thresholds[base[l] + half - 1] <= x[l], half, 0);
            }
            left -= half;
        }
        if left == 1 {
            for l in 0..L {
                base[l] += usize::from(thresholds[base[l]] <= x[l]);
            }
        }
        base
    }
}

/// All features that the trees look at.
#[derive(Debug)]
pub(super) struct Ranks<R> {
    grids: Vec<Grid>,
    /// In the order of the grids; a node's column is an index into this.
    pub(super) views: Vec<View<R>>,
}

impl<R: Rank> Ranks<R> {
    /// From each feature's sorted thresholds and the views of it, which come in order of the features.
    pub(super) fn new(features: impl IntoIterator<Item = (u32, Vec<f64>, Vec<Missing>)>) -> Option<Ranks<R>> {
        let mut ranks = Ranks { grids: Vec::new(), views: Vec::new() };
        for (feature, thresholds, missing) in features {
            let from = ranks.views.len();
            let grid = Grid { feature, thresholds, views: from..from + missing.len() };
            let zero = R::of(grid.rank(0.0))?;
            R::of(grid.thresholds.len())?;
            ranks.views.extend(missing.into_iter().map(|missing| View { feature, missing, zero }));
            R::of(ranks.views.len())?;
            ranks.grids.push(grid);
        }
        Some(ranks)
    }

    /// The ranks of one row, one a view.
    pub(super) fn row<C: Cells>(&self, cells: C, row: usize, out: &mut Vec<R>) {
        out.clear();
        for grid in &self.grids {
            let x = cells.at(row, grid.feature as usize);
            let rank = R::of(grid.rank(x)).unwrap_or(R::RIGHT);
            out.extend(self.views[grid.views.clone()].iter().map(|view| view.rank(x, rank)));
        }
    }

    /// The ranks of [`LANES`] rows from `first` on, the last of them again where there are no more.
    pub(super) fn rows<C: Cells>(&self, cells: C, first: usize, out: &mut Vec<[R; LANES]>) {
        let last = cells.rows().saturating_sub(1);
        for grid in &self.grids {
            let x: [f64; LANES] =
                std::array::from_fn(|l| cells.at((first + l).min(last), grid.feature as usize));
            let ranks = grid.ranks(x).map(|rank| R::of(rank).unwrap_or(R::RIGHT));
            for view in &self.views[grid.views.clone()] {
                out.push(std::array::from_fn(|l| view.rank(x[l], ranks[l])));
            }
        }
    }
}
