//! Correction for looking at many tests at once.
//!
//! A model with fifty healthy columns shows two or three with p < 0.05 in every window. Adjusted p-values make
//! "anything wrong?" a question with one answer.

/// Benjamini–Hochberg adjusted p-values (q-values), in the order of the input.
///
/// Calling everything with `q ≤ a` a discovery keeps the expected share of false discoveries at or below `a` for
/// independent or positively dependent tests (Benjamini & Hochberg 1995). NaN counts as 1: no evidence.
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64]) -> Vec<f64> {
    stepped_up(p_values, p_values.len() as f64)
}

/// Benjamini–Yekutieli adjusted p-values, in the order of the input.
///
/// As [`benjamini_hochberg`], but whatever the dependence of the tests, at the price of a factor of 1 + ½ + … + 1/count
/// (Benjamini & Yekutieli 2001). NaN counts as 1: no evidence.
#[must_use]
pub fn benjamini_yekutieli(p_values: &[f64]) -> Vec<f64> {
    let harmonic: f64 = (1..=p_values.len()).map(|i| 1.0 / i as f64).sum();
    stepped_up(p_values, p_values.len() as f64 * harmonic)
}

/// Bonferroni adjusted p-values, in the order of the input: each times their number.
///
/// Keeps the promise of [`holm`], which never gives more and mostly less. NaN counts as 1: no evidence.
#[must_use]
pub fn bonferroni(p_values: &[f64]) -> Vec<f64> {
    let count = p_values.len() as f64;
    p_values.iter().map(|p| (probability(*p) * count).min(1.0)).collect()
}

/// The smallest p·factor/rank of this and all higher ranks, at most 1.
fn stepped_up(p_values: &[f64], factor: f64) -> Vec<f64> {
    let mut adjusted = vec![1.0; p_values.len()];
    let mut smallest = 1.0_f64;
    for (rank, index) in ascending(p_values).into_iter().enumerate().rev() {
        smallest = smallest.min(probability(p_values[index]) * factor / (rank + 1) as f64);
        adjusted[index] = smallest;
    }
    adjusted
}

/// Holm adjusted p-values, in the order of the input.
///
/// Calling everything with an adjusted value `≤ a` significant keeps the probability of *any* false call at or below
/// `a`, whatever the dependence (Holm 1979). NaN counts as 1: no evidence.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, index) in ascending(p_values).into_iter().enumerate() {
        let remaining = (p_values.len() - rank) as f64;
        largest = largest.max((probability(p_values[index]) * remaining).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

fn probability(p: f64) -> f64 {
    if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) }
}

/// Indices of the p-values from the smallest to the largest.
fn ascending(p_values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| probability(p_values[a]).total_cmp(&probability(p_values[b])));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_adjust_is_nothing() {
        assert!(benjamini_hochberg(&[]).is_empty());
        assert!(holm(&[]).is_empty() && bonferroni(&[]).is_empty() && benjamini_yekutieli(&[]).is_empty());
    }

    #[test]
    fn nan_is_no_evidence() {
        assert_eq!(benjamini_hochberg(&[f64::NAN, 0.01]), [1.0, 0.02]);
        assert_eq!(holm(&[f64::NAN, 0.01]), [1.0, 0.02]);
        assert_eq!(bonferroni(&[f64::NAN, 0.01]), [1.0, 0.02]);
        assert_eq!(benjamini_yekutieli(&[f64::NAN, 0.01]), [1.0, 0.03]);
    }

    #[test]
    fn holm_by_hand() {
        let adjusted = holm(&[0.01, 0.04, 0.03]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06]) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
}
