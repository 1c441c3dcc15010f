//! From the windows of late to their likely cause.
//!
//! The rules go from plain to subtle, and what is plain explains what is subtle: a column in other units drifts and raises
//! the loss, so windows whose rows are broken say nothing of the world. Of the rest, in this order:
//!
//! | what is seen, in two of the last three windows | cause |
//! | --- | --- |
//! | the loss is up, and an older version is proven better on the same rows | [`SeasonalReturn`](Cause::SeasonalReturn) |
//! | labels and columns moved, and the withheld rows with the labels of the window have its columns, too | [`PriorShift`](Cause::PriorShift) |
//! | the loss is up, inputs moved, and where they lie within the withheld rows most of it is to be expected | [`Covariate`](Cause::Covariate) |
//! | the loss is up otherwise | [`Concept`](Cause::Concept) |
//! | the loss is as promised, and the same segment is worse than it was | [`Segment`](Cause::Segment) |
//! | inputs moved, and the loss is as promised | [`Harmless`](Cause::Harmless) |
//! | inputs moved, and there are no labels to say more | [`Covariate`](Cause::Covariate), to be looked at |
//!
//! Broken rows, late labels, a flood and a slow service are told after one window: these are counts, not trends; so is an
//! older version that is proven better. Everything else needs two.

use gyre_core::Timestamp;
use gyre_core::fact::{Cause, CauseGroup, Check, Finding, Severity};

use crate::persistence::{ENOUGH, REMEMBERED};
use crate::quality::percent;
use crate::seen::{Lost, Moved, ODD, Seen, WorseSegment};
use crate::summary::PREDICTION;

/// The p-value below which a window's loss is worse than promised. Two of three windows by luck: less than once in 3,000.
pub const WORSE: f64 = 0.01;
/// How much of the excess loss must be beyond what inputs explain for the concept to have changed.
const MOST_OF_IT: f64 = 0.5;
/// How far labels must have moved (p-value, total variation), and what may be left of the columns' change without them.
const LABELS: (f64, f64, f64) = (1e-4, 0.08, 0.4);
/// The excess loss, as a share of what was promised, at which anything is critical.
const CRITICAL: f64 = 0.5;
/// The shares of failed requests, and of the usual predictions, at which the service is down rather than slow.
const DOWN: (f64, f64) = (0.2, 0.1);
/// The columns that are named, and the findings that are told.
const MOST: (usize, usize) = (20, 3);

/// A likely cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// Which.
    pub cause: Cause,
    /// How bad.
    pub severity: Severity,
    /// The columns that it is about, the worst first.
    pub columns: Vec<String>,
    /// The beginning of the first window that showed it.
    pub since: Timestamp,
    /// The excess loss of the newest window that showed it, as a share of what was promised; none where it is not known.
    pub impact: Option<f64>,
    /// What changed, in words.
    pub words: String,
    /// What is to be done about it, in words.
    pub expected_action: &'static str,
}

/// The likely causes at present, at most one of each group, from the windows of late, oldest first. `tolerance` is how much
/// worse than promised the loss may be, as a share of it (`monitor.tolerance`).
#[must_use]
pub fn diagnose(windows: &[Seen], tolerance: f64) -> Vec<Diagnosis> {
    let Some(newest) = windows.last() else { return Vec::new() };
    let attack =
        sure(windows, Cause::AttackSpike, |seen| seen.is_flooded() && seen.finds(&ODD), &ODD, tolerance);
    let service = service(windows, tolerance);
    let labels =
        sure(windows, Cause::LabelDelay, |seen| seen.finds(&[Check::Labels]), &[Check::Labels], tolerance);
    let data = if attack.is_some() { None } else { data(windows, tolerance) };
    let is_broken = attack.is_some() || data.is_some() || newest.tainted_by().is_some();
    let traffic = attack.or_else(|| volume(windows, tolerance));
    let world = if is_broken { None } else { world(windows, tolerance) };
    [data, traffic, labels, service, world].into_iter().flatten().collect()
}

fn data(windows: &[Seen], tolerance: f64) -> Option<Diagnosis> {
    let has = |check| move |seen: &Seen| seen.finds(&[check]);
    sure(windows, Cause::SchemaBreak, has(Check::Schema), &[Check::Schema], tolerance)
        .or_else(|| {
            let checks = [Check::Units, Check::Scale];
            sure(windows, Cause::UnitChange, Seen::is_rescaled, &checks, tolerance)
        })
        .or_else(|| sure(windows, Cause::StuckSensor, has(Check::Stuck), &[Check::Stuck], tolerance))
        .or_else(|| {
            let checks = [Check::Missing, Check::Infinite];
            lasting(windows, Cause::UpstreamNull, move |seen| seen.finds(&checks), &checks, tolerance)
        })
        .or_else(|| {
            let checks = [Check::Repeats];
            lasting(windows, Cause::Duplicates, move |seen| seen.finds(&checks), &checks, tolerance)
        })
}

fn volume(windows: &[Seen], tolerance: f64) -> Option<Diagnosis> {
    let checks = [Check::Volume, Check::Freshness];
    let stops = |finding: &Finding| finding.check == Check::Volume && is_down(finding);
    let stopped = |seen: &Seen| seen.quality.iter().any(stops);
    sure(windows, Cause::Volume, stopped, &checks, tolerance)
        .or_else(|| lasting(windows, Cause::Volume, |seen| seen.finds(&checks), &checks, tolerance))
}

fn service(windows: &[Seen], tolerance: f64) -> Option<Diagnosis> {
    let checks = [Check::Errors, Check::Latency];
    sure(windows, Cause::Service, |seen| seen.finds(&checks), &checks, tolerance)
}

/// What the newest window shows by itself.
fn sure(
    windows: &[Seen],
    cause: Cause,
    shows: impl Fn(&Seen) -> bool,
    checks: &[Check],
    tolerance: f64,
) -> Option<Diagnosis> {
    let newest = windows.last().filter(|seen| shows(seen))?;
    Some(told_by_findings(windows, newest, cause, shows, checks, tolerance))
}

/// What two of the last three windows show.
fn lasting(
    windows: &[Seen],
    cause: Cause,
    shows: impl Fn(&Seen) -> bool,
    checks: &[Check],
    tolerance: f64,
) -> Option<Diagnosis> {
    let late = latest(windows);
    if late.iter().filter(|seen| shows(seen)).count() < ENOUGH as usize {
        return None;
    }
    let newest = late.iter().rev().find(|seen| shows(seen))?;
    Some(told_by_findings(windows, newest, cause, shows, checks, tolerance))
}

fn latest(windows: &[Seen]) -> &[Seen] {
    windows.get(windows.len().saturating_sub(REMEMBERED as usize)..).unwrap_or_default()
}

fn told_by_findings(
    windows: &[Seen],
    newest: &Seen,
    cause: Cause,
    shows: impl Fn(&Seen) -> bool,
    checks: &[Check],
    tolerance: f64,
) -> Diagnosis {
    let flood = [Check::Volume];
    let of_cause = |finding: &&Finding| {
        checks.contains(&finding.check) || cause == Cause::AttackSpike && flood.contains(&finding.check)
    };
    let findings: Vec<&Finding> = newest.quality.iter().filter(of_cause).collect();
    let mut words: Vec<&str> = findings.iter().take(MOST.1).map(|finding| finding.words.as_str()).collect();
    let more = format!("and {} more", findings.len().saturating_sub(MOST.1));
    if findings.len() > MOST.1 {
        words.push(&more);
    }
    let mut columns: Vec<String> = Vec::new();
    for column in findings.iter().filter_map(|finding| finding.column.as_ref()).take(MOST.0) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    let down = findings.iter().any(|finding| is_down(finding));
    let impact = newest.loss.as_ref().map(Lost::share);
    Diagnosis {
        cause,
        severity: severity(cause, impact, tolerance).max(if down {
            Severity::Critical
        } else {
            Severity::Info
        }),
        columns,
        since: since(windows, shows),
        impact,
        words: words.join("; "),
        expected_action: action(cause),
    }
}

/// Whether there is (nearly) no service at all.
fn is_down(finding: &Finding) -> bool {
    let Some((found, expected)) = finding.found.zip(finding.expected) else { return false };
    match finding.check {
        Check::Errors => found >= DOWN.0,
        Check::Volume => found <= DOWN.1 * expected,
        _ => false,
    }
}

/// The beginning of the first of the windows that show it, with gaps of one at most.
fn since(windows: &[Seen], shows: impl Fn(&Seen) -> bool) -> Timestamp {
    let mut since = windows.last().map_or(Timestamp::default(), |seen| seen.period.from);
    let mut gap = 0;
    for seen in windows.iter().rev() {
        if shows(seen) {
            (since, gap) = (seen.period.from, 0);
        } else {
            gap += 1;
            if gap > REMEMBERED - ENOUGH {
                break;
            }
        }
    }
    since
}

/// Whether the loss is worse than promised, beyond luck and beyond what is tolerated.
fn is_worse(seen: &Seen, tolerance: f64) -> bool {
    seen.loss.is_some_and(|lost| lost.p < WORSE && lost.share() > tolerance)
}

fn has_moved(seen: &Seen) -> bool {
    seen.moved.iter().any(|moved| moved.column != PREDICTION)
}

/// Whether labels moved, and columns with them as they always went together; none of the columns need have drifted by itself.
fn is_prior_shift(seen: &Seen) -> bool {
    let (p, distance, left) = LABELS;
    seen.label_shift.is_some_and(|shift| {
        shift.p < p && shift.distance >= distance && shift.unexplained.is_some_and(|of| of <= left)
    })
}

fn world(windows: &[Seen], tolerance: f64) -> Option<Diagnosis> {
    let newest = windows.last()?;
    let fit: Vec<Seen> = windows
        .iter()
        .filter(|seen| seen.tainted_by().is_none() && seen.champion == newest.champion)
        .cloned()
        .collect();
    let late = latest(&fit);
    let often =
        |shows: &dyn Fn(&Seen) -> bool| late.iter().filter(|seen| shows(seen)).count() >= ENOUGH as usize;
    let worse = |seen: &Seen| is_worse(seen, tolerance);
    let moved = often(&has_moved);
    let diagnosis = |cause: Cause, shows: &dyn Fn(&Seen) -> bool| {
        let showing = late.iter().rev().find(|seen| shows(seen)).unwrap_or(newest);
        let impact = showing.loss.as_ref().map(Lost::share);
        let columns = showing.moved.iter().map(|moved| moved.column.clone()).collect();
        let since = since(&fit, shows);
        let words = in_words(cause, late, showing, &fit, since);
        Diagnosis {
            cause,
            severity: severity(cause, impact, tolerance),
            columns,
            since,
            impact,
            words,
            expected_action: action(cause),
        }
    };
    // A comparison on the same rows is proof enough.
    let is_back = fit.last().is_some_and(|seen| seen.older_better.is_some() && worse(seen));
    if is_back || often(&worse) {
        let cause = if late.iter().any(|seen| seen.older_better.is_some()) {
            Cause::SeasonalReturn
        } else if often(&is_prior_shift) {
            Cause::PriorShift
        } else if moved && is_explained(late, tolerance) {
            Cause::Covariate
        } else {
            Cause::Concept
        };
        return Some(diagnosis(cause, &worse));
    }
    if often(&is_prior_shift) {
        return Some(diagnosis(Cause::PriorShift, &is_prior_shift));
    }
    if let Some(diagnosis) = segment(late, &fit, tolerance) {
        return Some(diagnosis);
    }
    if moved {
        let known = late.iter().filter(|seen| seen.loss.is_some()).count() >= ENOUGH as usize;
        return Some(diagnosis(if known { Cause::Harmless } else { Cause::Covariate }, &has_moved));
    }
    None
}

/// The segments that were worse in two of the last three windows, beyond luck and beyond what is tolerated.
fn segment(late: &[Seen], fit: &[Seen], tolerance: f64) -> Option<Diagnosis> {
    let is_same = |a: &WorseSegment, b: &WorseSegment| (&a.column, &a.segment) == (&b.column, &b.segment);
    let shows = |seen: &Seen, of: &WorseSegment| {
        seen.segments.iter().any(|segment| is_same(segment, of) && segment.share() > tolerance)
    };
    let lasts = |of: &&WorseSegment| {
        of.share() > tolerance && late.iter().filter(|seen| shows(seen, of)).count() >= ENOUGH as usize
    };
    let found = late.iter().rev().map(|seen| seen.segments.iter().filter(lasts).collect::<Vec<_>>());
    let mut worse = found.into_iter().find(|worse| !worse.is_empty())?;
    worse.sort_by(|a, b| b.share().total_cmp(&a.share()));
    let first = *worse.first()?;
    let words = worse.iter().take(MOST.1).map(|of| {
        let WorseSegment { column, segment, loss, reference, rows } = of;
        format!(
            "{column} {segment}: the loss of {rows} rows is {loss:.3}, {reference:.3} on the withheld rows"
        )
    });
    let mut columns: Vec<String> = Vec::new();
    for segment in &worse {
        if !columns.contains(&segment.column) {
            columns.push(segment.column.clone());
        }
    }
    Some(Diagnosis {
        cause: Cause::Segment,
        // However bad for those in it, the model on the whole does what it promised.
        severity: Severity::Warning,
        columns,
        since: since(fit, |seen| shows(seen, first)),
        impact: Some(first.share()),
        words: words.collect::<Vec<_>>().join("; "),
        expected_action: action(Cause::Segment),
    })
}

/// Whether most of the excess loss is what such inputs always had: where they lie within what the withheld rows had, the
/// loss is near to what is to be expected.
fn is_explained(late: &[Seen], tolerance: f64) -> bool {
    let worse: Vec<&Seen> = late.iter().filter(|seen| is_worse(seen, tolerance)).collect();
    let mean =
        |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let excess = mean(worse.iter().filter_map(|seen| Some(seen.loss?.share())).collect());
    let beyond = mean(worse.iter().filter_map(|seen| Some(seen.unexplained?.share)).collect());
    match (excess, beyond) {
        (Some(excess), Some(beyond)) => beyond < MOST_OF_IT * excess,
        // All rows lie where training had none: nobody can say what they would have cost.
        _ => true,
    }
}

fn severity(cause: Cause, impact: Option<f64>, tolerance: f64) -> Severity {
    let impact = impact.unwrap_or(0.0);
    let by_loss = if impact >= CRITICAL {
        Severity::Critical
    } else if impact > tolerance {
        Severity::Warning
    } else {
        Severity::Info
    };
    match cause.group() {
        _ if cause == Cause::Harmless => Severity::Info,
        CauseGroup::World => by_loss,
        _ => by_loss.max(Severity::Warning),
    }
}

fn in_words(cause: Cause, late: &[Seen], showing: &Seen, all: &[Seen], since: Timestamp) -> String {
    let mut words = Vec::new();
    if !showing.moved.is_empty() {
        let named = showing.moved.iter().take(MOST.1).map(Moved::words);
        let more = showing.moved.len().saturating_sub(MOST.1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        words.push(format!("moved: {}{more}", named.collect::<Vec<_>>().join(", ")));
    }
    if let Some(lost) = showing.loss {
        let (loss, promised, p) = (lost.loss, lost.promised, lost.p);
        let p = if p < 1e-4 { "p < 0.0001".to_owned() } else { format!("p = {p:.4}") };
        words.push(format!("the loss is {loss:.3}, promised {promised:.3} ({p})"));
    }
    match cause {
        Cause::SeasonalReturn => {
            let version = late.iter().rev().find_map(|seen| seen.older_better);
            words.extend(
                version.map(|version| format!("version {version}, made earlier, is better on the same rows")),
            );
        }
        Cause::PriorShift => words.extend(showing.label_shift.map(|shift| {
            format!("{} of the outcomes moved, each with the inputs that it had", percent(shift.distance))
        })),
        Cause::Covariate | Cause::Concept => words.extend(showing.unexplained.map(|unexplained| {
            format!(
                "on inputs known from training the loss is {:+.0} % beside what they explain",
                100.0 * unexplained.share
            )
        })),
        _ => {}
    }
    let shares: Vec<f64> = all
        .iter()
        .filter(|seen| seen.period.from >= since)
        .filter_map(|seen| Some(seen.loss?.share()))
        .collect();
    if let ([first, .., last], true) = (shares.as_slice(), shares.len() >= 3)
        && *first < 0.5 * last
        && cause != Cause::Harmless
    {
        words.push("it grows from window to window".to_owned());
    }
    words.join("; ")
}

/// What is to be done, in words.
const fn action(cause: Cause) -> &'static str {
    match cause {
        Cause::UnitChange | Cause::StuckSensor | Cause::SchemaBreak | Cause::UpstreamNull => {
            "mend the source of the column; no training would help, so none begins meanwhile"
        }
        Cause::Duplicates => "find who sends rows twice; nothing is trained on them",
        Cause::AttackSpike => "look at who calls; nothing is trained on such rows",
        Cause::Volume => "look at the callers; the model is left as it is",
        Cause::LabelDelay => "look at where labels come from; nothing is trained until they are there",
        Cause::Covariate | Cause::Concept | Cause::PriorShift => {
            "train anew when the loss has cost as much as a training"
        }
        Cause::SeasonalReturn => "bring the older version back",
        Cause::Service => "look at the host and the model's time; the model is left as it is",
        Cause::Segment => {
            "look at these rows; nothing is trained for a part of them alone, `gyre train` does when asked"
        }
        Cause::Harmless => "nothing: the loss is as promised",
    }
}

#[cfg(test)]
mod tests {
    use gyre_core::Span;
    use gyre_core::fact::LabelShift;
    use gyre_core::time::Period;

    use super::*;
    use crate::seen::Unexplained;

    fn week(at: i64, share: f64) -> Seen {
        let from = Timestamp::from_millis(0) + Span::days(7 * at);
        let p = if share > 0.05 { 1e-4 } else { 0.4 };
        Seen {
            period: Period { from, to: from + Span::days(7) },
            champion: 1,
            predictions: 1_000,
            labels: 900,
            errors: 0,
            latency_p50_us: None,
            latency_p99_us: None,
            quiet: None,
            loss: Some(Lost { rows: 900, loss: 10.0 * (1.0 + share), promised: 10.0, p }),
            moved: Vec::new(),
            segments: Vec::new(),
            quality: Vec::new(),
            unexplained: Some(Unexplained { share, p }),
            label_shift: None,
            older_better: None,
        }
    }

    fn moved(seen: Seen) -> Seen {
        let statistic = "wasserstein_over_iqr".to_owned();
        Seen { moved: vec![Moved { column: "wind".to_owned(), effect: 0.7, statistic }], ..seen }
    }

    fn finding(check: Check, column: &str) -> Finding {
        let column = Some(column.to_owned());
        Finding {
            check,
            column,
            found: Some(0.4),
            expected: Some(0.0),
            rows: 400,
            words: format!("{check:?}"),
        }
    }

    fn causes(windows: &[Seen]) -> Vec<Cause> {
        diagnose(windows, 0.1).into_iter().map(|diagnosis| diagnosis.cause).collect()
    }

    #[test]
    fn one_bad_week_is_no_trend_and_two_of_three_are() {
        assert_eq!(causes(&[]), []);
        assert_eq!(causes(&[week(0, 0.0), week(1, 0.0), week(2, 0.3)]), []);
        let found = diagnose(&[week(0, 0.0), week(1, 0.3), week(2, 0.0), week(3, 0.3)], 0.1);
        assert_eq!((found[0].cause, found[0].severity), (Cause::Concept, Severity::Warning));
        assert_eq!(found[0].since, week(1, 0.0).period.from);
        assert_eq!(causes(&[week(0, 0.08), week(1, 0.08), week(2, 0.08)]), [], "sure, and tolerated");
    }

    #[test]
    fn a_segment_that_stays_worse_is_told_where_the_whole_is_as_promised() {
        let of = |name: &str, loss| WorseSegment {
            column: "carrier".to_owned(),
            segment: name.to_owned(),
            loss,
            reference: 10.0,
            rows: 90,
        };
        let with = |at, segments: &[WorseSegment]| Seen { segments: segments.to_vec(), ..week(at, 0.0) };
        let (aa, ua) = (of("AA", 13.0), of("UA", 14.0));
        assert_eq!(causes(&[with(0, &[]), with(1, std::slice::from_ref(&aa))]), [], "once is luck");
        let (first, second) = (with(0, std::slice::from_ref(&aa)), with(1, std::slice::from_ref(&ua)));
        assert_eq!(causes(&[first, second.clone()]), [], "one, and then another");
        let found = diagnose(&[second, with(2, &[aa.clone(), ua])], 0.1);
        assert_eq!((found[0].cause, found[0].severity), (Cause::Segment, Severity::Warning));
        assert_eq!(
            found[0].words, "carrier UA: the loss of 90 rows is 14.000, 10.000 on the withheld rows",
            "AA was worse in one of them"
        );
        assert_eq!(causes(&[0, 1].map(|at| with(at, &[of("AA", 10.5)]))), [], "sure, and tolerated");
        let mild = [with(0, &[of("AA", 14.0)]), with(1, &[of("AA", 14.0)]), with(2, &[of("AA", 10.5)])];
        assert_eq!(diagnose(&mild, 0.1)[0].impact.map(|share| (share * 10.0).round()), Some(4.0));
        let none = WorseSegment { reference: 0.0, ..of("AA", 0.2) };
        assert_eq!(causes(&[0, 1].map(|at| with(at, std::slice::from_ref(&none)))), [Cause::Segment]);
        let all = [0, 1].map(|at| Seen { segments: vec![aa.clone()], ..week(at, 0.4) });
        assert_eq!(causes(&all), [Cause::Concept], "all of it is worse");
    }

    #[test]
    fn inputs_that_moved_are_to_blame_when_they_explain_the_loss() {
        let explained = |at| {
            let unexplained = Some(Unexplained { share: 0.03, p: 0.3 });
            moved(Seen { unexplained, ..week(at, 0.4) })
        };
        assert_eq!(causes(&[explained(0), explained(1)]), [Cause::Covariate]);
        assert_eq!(causes(&[moved(week(0, 0.4)), moved(week(1, 0.4))]), [Cause::Concept]);
        assert_eq!(causes(&[moved(week(0, 0.0)), moved(week(1, 0.0))]), [Cause::Harmless]);
        let unknown = |at| moved(Seen { loss: None, ..week(at, 0.0) });
        let found = diagnose(&[unknown(0), unknown(1)], 0.1);
        assert_eq!((found[0].cause, found[0].severity), (Cause::Covariate, Severity::Info));
    }

    #[test]
    fn labels_that_moved_with_their_inputs_are_a_prior_shift() {
        let shifted = |left| {
            let shift = LabelShift { distance: 0.2, p: 1e-9, unexplained: Some(left) };
            move |at| moved(Seen { label_shift: Some(shift), ..week(at, 0.3) })
        };
        assert_eq!(causes(&[0, 1].map(shifted(0.1))), [Cause::PriorShift]);
        assert_eq!(causes(&[0, 1].map(shifted(0.9))), [Cause::Concept]);
    }

    #[test]
    fn an_older_version_that_is_better_means_that_its_time_is_back() {
        let mut windows = [week(0, 0.6), week(1, 0.6)];
        windows[1].older_better = Some(1);
        let found = diagnose(&windows, 0.1);
        assert_eq!((found[0].cause, found[0].severity), (Cause::SeasonalReturn, Severity::Critical));
        assert_eq!(causes(&windows[1..]), [Cause::SeasonalReturn], "at once");
        (windows[1].champion, windows[1].older_better) = (2, None);
        assert_eq!(causes(&windows), [], "a new champion is not charged with what the last one lost");
    }

    #[test]
    fn broken_rows_say_nothing_of_the_world() {
        let broken = |at, check| Seen { quality: vec![finding(check, "wind")], ..moved(week(at, 0.9)) };
        let windows = [broken(0, Check::Units), broken(1, Check::Units)];
        let found = diagnose(&windows, 0.1);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].cause, found[0].columns.as_slice()),
            (Cause::UnitChange, &["wind".to_owned()][..])
        );
        assert_eq!(found[0].severity, Severity::Critical, "for what it costs");
        assert_eq!(causes(&windows[..1]), [Cause::UnitChange], "at once");
        assert_eq!(causes(&[broken(0, Check::Missing)]), [], "a gap in one week may be one");
        assert_eq!(causes(&[broken(0, Check::Missing), broken(1, Check::Missing)]), [Cause::UpstreamNull]);
    }

    #[test]
    fn a_flood_of_repeats_is_an_attack_and_a_flood_alone_is_volume() {
        let flood = Finding { found: Some(9e3), expected: Some(1e3), ..finding(Check::Volume, "") };
        let with = |at, findings: &[Finding]| Seen { quality: findings.to_vec(), ..week(at, 0.3) };
        let attacked = with(1, &[finding(Check::Repeats, ""), flood.clone()]);
        assert_eq!(causes(&[week(0, 0.0), attacked]), [Cause::AttackSpike]);
        let flooded = |at| with(at, std::slice::from_ref(&flood));
        assert_eq!(causes(&[week(0, 0.0), flooded(1)]), []);
        assert_eq!(causes(&[flooded(0), flooded(1)]), [Cause::Volume, Cause::Concept]);
        let stopped = with(1, &[Finding { found: Some(20.0), ..flood }]);
        assert_eq!(diagnose(&[week(0, 0.0), stopped], 0.1)[0].severity, Severity::Critical);
    }
}
