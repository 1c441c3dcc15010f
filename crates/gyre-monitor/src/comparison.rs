//! Several versions on the same rows: who is better, and is it luck?
//!
//! The comparison is paired, because rows differ more from each other than models do: on the same flights a small
//! advantage shows that two separate means would hide.

use std::collections::BTreeMap;

use gyre_core::Version;
use gyre_core::fact::Score;
use gyre_core::spec::Metric;
use gyre_stats::performance::paired;

use crate::columns::{MonitorError, expect_rows};
use crate::loss::{LEVEL, aggregate, distinct};

/// A version and its loss on each row, as [`losses`](crate::loss::losses) gives them; NaN where there is none.
pub type Scored<'a> = (Version, &'a [f64]);

/// The champion's score, then the others' by loss. Each is compared with the champion on the rows where both have a loss,
/// clustered by `days`; a version without any such row is left out. The gain of an rmse is the difference of the roots; its interval is that of the mean squares
/// divided by the roots' sum, as the difference itself is.
///
/// # Errors
/// [`MonitorError::Length`].
pub fn scores(
    metric: Metric,
    champion: Scored<'_>,
    others: &[Scored<'_>],
    days: &[i64],
) -> Result<Vec<Score>, MonitorError> {
    let own = against(metric, champion, champion, days)?.map(|own| Score { interval: None, p: None, ..own });
    let others = others.iter().filter_map(|other| against(metric, champion, *other, days).transpose());
    let mut others: Vec<Score> = others.collect::<Result<_, _>>()?;
    others.sort_by(|a, b| a.loss.total_cmp(&b.loss).then(a.version.cmp(&b.version)));
    Ok(own.into_iter().chain(others).collect())
}

fn against(
    metric: Metric,
    champion: Scored<'_>,
    other: Scored<'_>,
    days: &[i64],
) -> Result<Option<Score>, MonitorError> {
    expect_rows(&format!("(loss of version {})", champion.0), champion.1.len(), days.len())?;
    expect_rows(&format!("(loss of version {})", other.0), other.1.len(), days.len())?;
    let both = champion.1.iter().zip(other.1).zip(days);
    let both = both.filter(|((a, b), _)| a.is_finite() && b.is_finite());
    let ((theirs, ours), days): ((Vec<f64>, Vec<f64>), Vec<i64>) = both.unzip();
    if ours.is_empty() {
        return Ok(None);
    }
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (before, loss) = (aggregate(metric, mean(&theirs)), aggregate(metric, mean(&ours)));
    let measured = paired(&theirs, &ours, &days, LEVEL)
        .map_err(|error| MonitorError::Input(error.to_string()))?
        .measured();
    let scale = if metric == Metric::Rmse { before + loss } else { 1.0 };
    let interval = measured.map(|m| (m.interval.lower / scale, m.interval.upper / scale));
    Ok(Some(Score {
        version: other.0,
        rows: ours.len() as u64,
        days: distinct(&days),
        loss,
        gain: before - loss,
        interval: interval.filter(|(lower, upper)| lower.is_finite() && upper.is_finite()),
        p: measured.map(|m| m.p_b_better),
    }))
}

/// Labelled rows that a group needs to be spoken of.
const FEWEST_OF_GROUP: u64 = 30;
/// The least that a group's loss is a share of, as a part of the champion's loss on the whole: nobody is twice as badly off who is hardly
/// ever wrong and then is twice.
const LEAST_BASE: f64 = 0.1;

/// How another version does in one group of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupScore {
    /// The group's name.
    pub group: String,
    /// Rows where both have a loss.
    pub rows: u64,
    /// The champion's loss.
    pub before: f64,
    /// The other's.
    pub loss: f64,
    /// By how much the loss is higher, as a share of the champion's; of a tenth of its loss on the whole where that is more.
    pub worse_by: f64,
    /// What that is at most, with 97.5 % confidence for this group alone.
    pub at_most: f64,
    /// One-sided p-value of "no worse than the champion", corrected for the number of groups (Bonferroni).
    pub p_worse: f64,
}

/// How another version does beside the champion in each group, the one that loses most first: a version may be better on the
/// whole and worse for some. Groups with fewer than 30 rows or with too few days are left out, and so are rows of no group.
///
/// # Errors
/// [`MonitorError::Length`].
pub fn by_group<'a>(
    metric: Metric,
    champion: Scored<'_>,
    other: Scored<'_>,
    days: &[i64],
    groups: impl Iterator<Item = Option<&'a str>>,
) -> Result<Vec<GroupScore>, MonitorError> {
    type Part = (Vec<f64>, Vec<f64>, Vec<i64>);
    expect_rows(&format!("(loss of version {})", champion.0), champion.1.len(), days.len())?;
    expect_rows(&format!("(loss of version {})", other.0), other.1.len(), days.len())?;
    let mut parts: BTreeMap<&str, Part> = BTreeMap::new();
    for (((before, after), day), group) in champion.1.iter().zip(other.1).zip(days).zip(groups) {
        let Some(group) = group else { continue };
        let part = parts.entry(group).or_default();
        part.0.push(*before);
        part.1.push(*after);
        part.2.push(*day);
    }
    let whole = against(metric, champion, other, days)?.map_or(0.0, |whole| whole.loss + whole.gain);
    let mut found = Vec::new();
    for (group, (theirs, ours, days)) in parts {
        let Some(score) = against(metric, (champion.0, &theirs), (other.0, &ours), &days)? else { continue };
        let before = score.loss + score.gain;
        let tested = score.interval.zip(score.p).filter(|_| score.rows >= FEWEST_OF_GROUP);
        let Some(((lower, _), p)) = tested else { continue };
        // Of a champion that is never wrong at all, any loss is all of it.
        let least = if whole > 0.0 { LEAST_BASE * whole } else { score.loss };
        let base = before.max(least).max(f64::MIN_POSITIVE);
        found.push(GroupScore {
            group: group.to_owned(),
            rows: score.rows,
            before,
            loss: score.loss,
            worse_by: -score.gain / base,
            at_most: -lower / base,
            p_worse: 1.0 - p,
        });
    }
    let count = found.len() as f64;
    found.iter_mut().for_each(|group| group.p_worse = (group.p_worse * count).min(1.0));
    found.sort_by(|a, b| b.worse_by.total_cmp(&a.worse_by));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_better_on_the_whole_may_be_worse_for_some() {
        let days: Vec<i64> = (0..400).map(|row| row / 20).collect();
        let group = |row: usize| if row.is_multiple_of(4) { "few" } else { "many" };
        let champion: Vec<f64> = (0..400).map(|row| 5.0 + (row % 7) as f64).collect();
        let ours: Vec<f64> = champion
            .iter()
            .enumerate()
            .map(|(row, loss)| loss + if group(row) == "few" { 1.5 } else { -1.0 } + 0.1 * (row % 3) as f64)
            .collect();
        let whole = scores(Metric::Mae, (1, &champion), &[(2, &ours)], &days).unwrap();
        assert!(whole[1].gain > 0.2, "{whole:?}");
        let named = || (0..400).map(|row| if row == 3 { Some("one") } else { Some(group(row)) });
        let found = by_group(Metric::Mae, (1, &champion), (2, &ours), &days, named()).unwrap();
        assert_eq!(found.iter().map(|group| group.group.as_str()).collect::<Vec<_>>(), ["few", "many"]);
        let [few, many] = found.as_slice() else { panic!() };
        assert!(few.rows == 100 && (few.worse_by - 0.2).abs() < 0.01 && few.p_worse < 1e-6, "{few:?}");
        assert!(few.worse_by < few.at_most && few.at_most < 0.22, "{few:?}");
        assert!(many.worse_by < 0.0 && many.p_worse > 0.99, "{many:?}");
        assert_eq!(
            by_group(Metric::Mae, (1, &champion), (2, &ours), &days, (0..400).map(|_| None)).unwrap(),
            []
        );
        // A group that the champion was never wrong about is not free to be.
        let never: Vec<f64> =
            (0..400).map(|row| if group(row) == "few" { 0.0 } else { (row % 2) as f64 }).collect();
        let often: Vec<f64> = (0..400)
            .map(|row| if group(row) == "few" { (row % 3) as f64 / 2.0 } else { (row % 2) as f64 })
            .collect();
        let found = by_group(Metric::ErrorRate, (1, &never), (2, &often), &days, named()).unwrap();
        assert!(found[0].group == "few" && found[0].worse_by > 5.0 && found[0].p_worse < 0.001, "{found:?}");
    }

    #[test]
    fn a_small_but_steady_advantage_is_found() {
        let days: Vec<i64> = (0..280).map(|row| row / 10).collect();
        let champion: Vec<f64> = (0..280_u32).map(|row| f64::from(row % 37)).collect();
        let better: Vec<f64> =
            (0..280_u32).map(|row| f64::from(row % 37) - 0.5 + 0.1 * f64::from(row % 3)).collect();
        let worse: Vec<f64> = champion.iter().map(|loss| loss + 2.0).collect();
        let found = scores(Metric::Mae, (3, &champion), &[(1, &worse), (2, &better)], &days).unwrap();
        assert_eq!(found.iter().map(|score| score.version).collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!((found[0].gain, found[0].p), (0.0, None));
        let (lower, upper) = found[1].interval.unwrap();
        assert!(lower > 0.35 && upper < 0.45 && found[1].p.unwrap() < 1e-6, "{:?}", found[1]);
        assert!(found[2].gain < -1.99 && found[2].p.unwrap() > 0.999);
    }

    #[test]
    fn roots_are_compared_as_roots() {
        let days: Vec<i64> = (0..40).map(|row| row / 4).collect();
        let champion: Vec<f64> = (0..40).map(|row| f64::from(row % 5 + 16)).collect();
        let ours: Vec<f64> = (0..40).map(|row| f64::from(row % 7 + 6)).collect();
        let found = scores(Metric::Rmse, (1, &champion), &[(2, &ours)], &days).unwrap();
        let root = |losses: &[f64]| (losses.iter().sum::<f64>() / 40.0).sqrt();
        assert!((found[1].gain - (root(&champion) - root(&ours))).abs() < 1e-12);
        let (lower, upper) = found[1].interval.unwrap();
        assert!(lower < found[1].gain && found[1].gain < upper && upper - lower < found[1].gain);
    }

    #[test]
    fn rows_that_one_has_no_loss_for_are_left_out_and_few_rows_prove_nothing() {
        let days = [0, 1, 2, 3];
        let found =
            scores(Metric::Mae, (1, &[1.0, 2.0, f64::NAN, 3.0]), &[(2, &[0.0, f64::NAN, 0.0, 0.0])], &days);
        let found = found.unwrap();
        assert_eq!((found[1].rows, found[1].gain, found[1].p), (2, 2.0, None));
        assert!(scores(Metric::Mae, (1, &[1.0]), &[], &days).is_err());
        assert_eq!(scores(Metric::Mae, (1, &[f64::NAN]), &[(2, &[1.0])], &[0]).unwrap(), []);
    }
}
