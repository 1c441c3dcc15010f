//! Expected area under the ROC curve, and how each row's probability moves it.

use super::Undefined;

/// A row as the curve sees it.
#[derive(Clone, Copy)]
pub(super) struct Ranked {
    /// The model's own score, which orders the rows.
    pub(super) score: f64,
    /// Probability of the positive class.
    pub(super) probability: f64,
    pub(super) weight: f64,
    /// Its place in the gradient.
    pub(super) row: usize,
}

/// An expected area with its derivative by each row's probability.
pub(super) struct Area {
    pub(super) value: f64,
    pub(super) gradient: Vec<f64>,
}

/// The area under expected true and false positive shares, tied scores merged to one step of the curve; `rows` places in the
/// gradient.
///
/// With expected positives P and negatives N it is Σ p·(negatives below + half of those tied) / (P·N). That counts each row
/// as part positive and part negative, also against itself, which leaves an error of order 1/rows.
pub(super) fn area(mut ranked: Vec<Ranked>, rows: usize) -> Result<Area, Undefined> {
    ranked.sort_unstable_by(|a, b| a.score.total_cmp(&b.score));
    let positives: f64 = ranked.iter().map(|r| r.weight * r.probability).sum();
    let negatives: f64 = ranked.iter().map(|r| r.weight * (1.0 - r.probability)).sum();
    if ranked.is_empty() {
        return Err(Undefined::NoRows);
    }
    if positives <= 0.0 {
        return Err(Undefined::NoPositives);
    }
    if negatives <= 0.0 {
        return Err(Undefined::NoNegatives);
    }
    let (mut below, mut above, mut pairs) = (0.0, positives, 0.0);
    let mut gradient = vec![0.0; rows];
    for tied in ranked.chunk_by(|a, b| a.score == b.score) {
        let of_positives: f64 = tied.iter().map(|r| r.weight * r.probability).sum();
        let of_negatives: f64 = tied.iter().map(|r| r.weight * (1.0 - r.probability)).sum();
        let beaten = below + 0.5 * of_negatives;
        let beating = above - 0.5 * of_positives;
        pairs += of_positives * beaten;
        for row in tied {
            if let Some(slot) = gradient.get_mut(row.row) {
                *slot = row.weight * (beaten - beating);
            }
        }
        below += of_negatives;
        above -= of_positives;
    }
    let value = (pairs / (positives * negatives)).clamp(0.0, 1.0);
    // By the quotient rule: more positives make P larger and N smaller.
    let tilt = value * (1.0 / positives - 1.0 / negatives);
    for row in &ranked {
        if let Some(slot) = gradient.get_mut(row.row) {
            *slot = *slot / (positives * negatives) - row.weight * tilt;
        }
    }
    Ok(Area { value, gradient })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(f64, f64)]) -> Result<Area, Undefined> {
        let ranked = |(row, (score, probability)): (usize, &(f64, f64))| Ranked {
            score: *score,
            probability: *probability,
            weight: 1.0,
            row,
        };
        area(rows.iter().enumerate().map(ranked).collect(), rows.len())
    }

    #[test]
    fn certain_rows_give_the_realised_area() {
        assert_eq!(of(&[(0.4, 0.0), (0.1, 0.0), (0.4, 1.0), (0.8, 1.0)]).unwrap().value, 0.875);
        assert!(matches!(of(&[(0.4, 0.0)]), Err(Undefined::NoPositives)));
        assert!(matches!(of(&[(0.4, 1.0)]), Err(Undefined::NoNegatives)));
        assert!(matches!(of(&[]), Err(Undefined::NoRows)));
    }

    #[test]
    fn the_gradient_is_that_of_the_area() {
        let rows = [(0.3, 0.2), (0.1, 0.3), (0.3, 0.6), (0.9, 0.7), (0.5, 0.4)];
        let gradient = of(&rows).unwrap().gradient;
        for row in 0..rows.len() {
            let at = |step: f64| {
                let mut moved = rows;
                moved[row].1 += step;
                of(&moved).unwrap().value
            };
            let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((gradient[row] - slope).abs() < 1e-7, "{row}: {} is not {slope}", gradient[row]);
        }
    }
}
