//! How many neighbouring values must be taken together before they are as good as independent?
//!
//! The errors of a model often come in runs: one hard customer, one bad hour. Then a thousand labels say less about the
//! error rate than a thousand independent ones, and a detector that does not know it takes every run for a change. The
//! means of long enough blocks are nearly independent all the same.

/// Autocorrelations further than this many of their standard errors from 0 are not luck.
const SIGNIFICANT: f64 = 2.5;

/// Numbers of first lags whose summed autocorrelation is looked at: strong dependence shows in the first, faint in many.
const LAGS: [usize; 4] = [1, 3, 8, 20];

/// Correlation of neighbouring block means that is small enough.
const TOLERATED: f64 = 0.05;

/// Dependence of values on those before them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Dependence {
    /// Factor by which it inflates the variance of a mean: 1 + 2·Σρ(k).
    pub(super) inflation: f64,
    /// Values in a block for the means of neighbouring blocks to be correlated by no more than a twentieth.
    pub(super) block: usize,
}

/// The dependence of `values`; `None` when there is none to be seen, or when they are fewer than eight or constant.
///
/// It is seen when the sum of the first 1, 3, 8 or 20 autocorrelations ρ(k) exceeds 2.5 of its standard errors,
/// `√(lags/n)` (Bartlett 1946). Sums over all lags then end where a pair of neighbouring lags first sums to less than 0
/// (Geyer, "Practical Markov chain Monte Carlo", Statistical Science 1992, §3.3). Means of neighbouring blocks of `b`
/// values are correlated by `Σk·ρ(k)/(b·(1 + 2Σρ(k)))` when `b` is large against the lags, which is solved for `b`.
/// Dependence that begins after a gap, such as a season, and negative dependence, which makes detectors cautious but
/// not wrong, are not looked for.
pub(super) fn dependence(values: &[f64]) -> Option<Dependence> {
    let n = values.len();
    // Around the mean of constants, of which the last digit is rounded, everything would be correlated.
    if n < 8 || values.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
        return None;
    }
    let mean = values.iter().map(|value| value / n as f64).sum::<f64>();
    let scale = values.iter().map(|value| (value - mean).abs()).fold(0.0, f64::max);
    let centred: Vec<f64> = values.iter().map(|value| (value - mean) / scale).collect();
    let products =
        |lag: usize| -> f64 { centred.iter().zip(centred.iter().skip(lag)).map(|(a, b)| a * b).sum() };
    let variance = products(0);
    let correlation = |lag: usize| products(lag) / variance;
    let seen = LAGS.iter().filter(|lags| **lags < n / 2).any(|lags| {
        (1..=*lags).map(correlation).sum::<f64>() > SIGNIFICANT * (*lags as f64 / n as f64).sqrt()
    });
    if !seen {
        return None;
    }
    let (mut sum, mut weighted) = (0.0, 0.0);
    for lag in (1..n / 4).step_by(2) {
        let (first, second) = (correlation(lag), correlation(lag + 1));
        if first + second <= 0.0 {
            break;
        }
        sum += first + second;
        weighted += lag as f64 * first + (lag + 1) as f64 * second;
    }
    let inflation = 1.0 + 2.0 * sum;
    let block = (weighted / (TOLERATED * inflation)).ceil().max(2.0) as usize;
    Some(Dependence { inflation, block })
}

#[cfg(test)]
mod tests {
    use super::{super::conformal::Ties, *};

    fn autoregression(strength: f64, noise: f64) -> Vec<f64> {
        let mut random = Ties::new(3);
        let mut value = 0.0;
        (0..40_000)
            .map(|_| {
                value = strength * value + (random.next() - 0.5);
                value + noise * (random.next() - 0.5)
            })
            .collect()
    }

    #[test]
    fn of_a_first_order_autoregression_it_is_the_textbook_value() {
        let found = dependence(&autoregression(0.8, 0.0)).unwrap();
        // (1 + φ)/(1 − φ) = 9, and Σk·φᵏ = φ/(1 − φ)² = 20 of which a twentieth of 9 is 44 times.
        assert!((found.inflation - 9.0).abs() < 1.0, "{found:?}");
        assert!((35..60).contains(&found.block), "{found:?}");
        // Behind as much noise again as the autoregression varies, blocks must not be shorter.
        let noisy = dependence(&autoregression(0.8, 1.67)).unwrap();
        assert!(noisy.inflation < 6.0 && noisy.block >= 30, "{noisy:?}");
    }

    #[test]
    fn independent_and_constant_values_have_none() {
        let mut random = Ties::new(5);
        let values: Vec<f64> = (0..2_000).map(|_| random.next()).collect();
        assert_eq!(dependence(&values), None);
        for constant in [0.0, 0.1, 1e150, -1.0] {
            assert_eq!(dependence(&[constant; 100]), None);
        }
    }
}
