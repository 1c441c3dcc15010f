//! What a person who looks after a model is told of its data: that it is broken, where, and how.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::fact::{Check, Finding, WindowSummary};
use gyre_core::record::Route;
use gyre_core::spec::{Expected, Metric, Percent};
use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp};
use gyre_monitor::quality::expected::learned;
use gyre_monitor::{Predictions, ReferenceProfile, Seen, Settings, Values, WindowInput, summarise};

const SETTINGS: Settings =
    Settings { metric: Metric::Mae, drift_effect: 0.1, drift_share: 0.03, false_discovery_rate: 0.01 };

/// Evenly spread in 0..1, differently for each `start`.
fn spread(rows: usize, start: f64) -> Vec<f64> {
    (0..rows).map(|row| (row as f64 * 0.618_033_988_749_895 + start).fract()).collect()
}

fn names(rows: usize, start: f64) -> Vec<Option<Arc<str>>> {
    let name = |at: f64| Some(if at < 0.7 { "AA" } else { "UA" }.into());
    spread(rows, start).into_iter().map(name).collect()
}

struct Rows {
    wind: Vec<f64>,
    carrier: Vec<Option<Arc<str>>>,
}

impl Rows {
    fn new(rows: usize, start: f64) -> Self {
        let wind = spread(rows, start).iter().map(|at| 8.0 + ((at + 0.001) / (1.001 - at)).ln()).collect();
        Self { wind, carrier: names(rows, start / 2.0) }
    }

    fn features(&self) -> [(&'static str, Values<'_>); 2] {
        [("wind", Values::Numbers(&self.wind)), ("carrier", Values::Text(&self.carrier))]
    }

    fn profile(&self) -> ReferenceProfile {
        let outputs = spread(self.wind.len(), 0.0);
        let outputs = Values::Numbers(&outputs);
        let mut profile = ReferenceProfile::build(self.features(), outputs, None);
        let order: Vec<usize> = (0..self.wind.len()).collect();
        profile.learn_variation(500, (self.features(), &order), (outputs, &order)).unwrap();
        profile
    }
}

fn summary(features: &[(&str, Values<'_>)]) -> WindowSummary {
    expecting(features, &[])
}

/// The same where a person expects something of columns.
fn expecting(features: &[(&str, Values<'_>)], expected: &[(&str, Expected)]) -> WindowSummary {
    let rows = features[0].1.len();
    let model: ModelName = "air-time".parse().unwrap();
    let to = Timestamp::default() + Span::days(7);
    let step = Span::days(7).as_millis() / rows.max(1) as i64;
    let times: Vec<Timestamp> = (0..rows as i64).map(|row| Timestamp::from_millis(row * step)).collect();
    let outputs = spread(rows, 0.1);
    let input = WindowInput {
        model: &model,
        period: Period { from: Timestamp::default(), to },
        champion: 1,
        times: &times,
        versions: &vec![1; rows],
        routes: &vec![Route::Champion; rows],
        predictions: Predictions { outputs: Values::Numbers(&outputs), scores: &[], classes: &[] },
        labels: Values::Numbers(&outputs),
        features,
        errors: 0,
        latencies_us: &vec![2_000; rows],
    };
    let mut profile = Rows::new(5_000, 0.0).profile();
    profile.expected = expected.iter().map(|(column, it)| ((*column).to_owned(), it.clone())).collect();
    summarise(&input, &profile, &SETTINGS).unwrap()
}

fn of(change: impl FnOnce(&mut Rows)) -> Vec<Finding> {
    let mut rows = Rows::new(500, 0.3);
    change(&mut rows);
    summary(&rows.features()).quality
}

fn checks(findings: &[Finding]) -> Vec<(Check, Option<&str>)> {
    findings.iter().map(|finding| (finding.check, finding.column.as_deref())).collect()
}

#[test]
fn rows_such_as_those_of_training_are_fine() {
    assert_eq!(of(|_| {}), []);
    for start in 0..20 {
        let rows = Rows::new(500, f64::from(start) / 21.0);
        assert_eq!(summary(&rows.features()).quality, []);
    }
}

#[test]
fn a_column_of_another_kind_is_a_finding_and_no_error() {
    let rows = Rows::new(500, 0.3);
    let text: Vec<Option<Arc<str>>> =
        rows.wind.iter().map(|wind| Some(format!("{wind} kn").into())).collect();
    let found = summary(&[("wind", Values::Text(&text)), ("carrier", Values::Text(&rows.carrier))]).quality;
    assert_eq!(checks(&found), [(Check::Schema, Some("wind"))]);
    assert_eq!(found[0].words, "`wind` holds text, not numbers, in 100 % of the rows");
    // Numbers that were written as text are numbers.
    let text: Vec<Option<Arc<str>>> = rows.wind.iter().map(|wind| Some(wind.to_string().into())).collect();
    assert_eq!(
        summary(&[("wind", Values::Text(&text)), ("carrier", Values::Text(&rows.carrier))]).quality,
        []
    );
    let numbers = [("wind", Values::Numbers(&rows.wind)), ("carrier", Values::Numbers(&rows.wind))];
    assert_eq!(checks(&summary(&numbers).quality), [(Check::Schema, Some("carrier"))]);
}

#[test]
fn what_is_missing_is_told_apart_from_what_is_gone() {
    let some = of(|rows| rows.wind.iter_mut().step_by(5).for_each(|wind| *wind = f64::NAN));
    assert_eq!(checks(&some), [(Check::Missing, Some("wind"))]);
    assert_eq!((some[0].found, some[0].expected, some[0].rows), (Some(0.2), Some(0.0), 100));
    let all = of(|rows| rows.carrier.fill(None));
    assert_eq!(checks(&all), [(Check::Schema, Some("carrier"))]);
    let since = of(|rows| rows.wind[400..].fill(f64::NAN));
    assert_eq!(checks(&since), [(Check::Schema, Some("wind"))]);
    assert_eq!(since[0].words, "`wind` has had no value since the last 20 % of the rows");
    assert_eq!(checks(&of(|rows| rows.wind[..10].fill(f64::INFINITY))), [(Check::Infinite, Some("wind"))]);
}

#[test]
fn units_stuck_values_ranges_and_names_are_told_of_their_column() {
    let units = of(|rows| rows.wind.iter_mut().for_each(|wind| *wind *= 3.28084));
    assert_eq!(checks(&units), [(Check::Units, Some("wind"))]);
    assert!(units[0].words.contains("feet for metres"), "{}", units[0].words);
    let grown = of(|rows| rows.wind.iter_mut().for_each(|wind| *wind *= 1.609));
    assert!(matches!(checks(&grown)[..], [] | [(Check::Scale, Some("wind"))]), "{grown:?}");
    // With one column stuck and one of two names, rows repeat, too; what explains it comes first.
    let stuck = of(|rows| rows.wind[100..300].fill(8.0));
    assert_eq!(checks(&stuck), [(Check::Stuck, Some("wind")), (Check::Repeats, None)]);
    let range = of(|rows| rows.wind.iter_mut().step_by(10).for_each(|wind| *wind += 40.0));
    assert_eq!(checks(&range), [(Check::Range, Some("wind"))]);
    let new = of(|rows| rows.carrier.iter_mut().step_by(10).for_each(|name| *name = Some("B6".into())));
    assert_eq!(checks(&new), [(Check::NewNames, Some("carrier"))]);
    assert!(new[0].words.ends_with("such as B6"), "{}", new[0].words);
    let renamed = of(|rows| rows.carrier.iter_mut().for_each(|name| *name = Some("aa".into())));
    assert_eq!(checks(&renamed), [(Check::Schema, Some("carrier"))]);
}

#[test]
fn what_a_person_expects_stands_above_what_was_learned() {
    let mut rows = Rows::new(500, 0.3);
    rows.wind.iter_mut().step_by(5).for_each(|wind| *wind = f64::NAN);
    rows.wind.iter_mut().skip(1).step_by(20).for_each(|wind| *wind = 60.0);
    rows.carrier.iter_mut().step_by(10).for_each(|name| *name = Some("ZZ".into()));
    let found = |expected: &[(&str, Expected)]| {
        let found = expecting(&rows.features(), expected).quality;
        let own = found.iter().map(|it| (it.check, it.column.clone().unwrap(), it.words.clone()));
        own.collect::<Vec<_>>()
    };
    let checks = |found: &[(Check, String, String)]| found.iter().map(|it| it.0).collect::<Vec<_>>();
    let learned = found(&[]);
    assert_eq!(checks(&learned), [Check::Missing, Check::Range, Check::NewNames]);
    let missing = |most| Expected { missing: Some(Percent::new(most)), ..Expected::default() };
    let range = Expected { range: Some((0.0, 100.0)), ..missing(20.0) };
    let names =
        Expected { names: Some(["AA", "UA", "ZZ"].map(str::to_owned).to_vec()), ..Expected::default() };
    assert_eq!(found(&[("wind", range.clone()), ("carrier", names.clone())]), []);
    let narrower = Expected { range: Some((0.0, 50.0)), ..missing(10.0) };
    let told = found(&[("wind", narrower), ("carrier", names)]);
    assert_eq!(checks(&told), [Check::Missing, Check::Range]);
    assert_eq!(told[0].2, "`wind` is missing in 20 % of the rows (10% at most expected)");
    assert!(told[1].2.contains("outside of 0 to 50, the range expected, in 6"), "{told:?}");
    let other = Expected { names: Some(vec!["AA".to_owned()]), ..Expected::default() };
    let told = found(&[("wind", range), ("carrier", other)]);
    assert!(told[0].2.contains("other names than expected in 37 % of the rows, such as ZZ, UA"), "{told:?}");
    let ignore = |checks: &[Check]| Expected { ignore: checks.to_vec(), ..Expected::default() };
    assert_eq!(
        checks(&found(&[("wind", ignore(&[Check::Range])), ("*", ignore(&[Check::NewNames]))])),
        [Check::Missing]
    );
    // No value at all, where nobody expects any.
    rows.wind.fill(f64::NAN);
    let gone = |expected: &[(&str, Expected)]| expecting(&rows.features(), expected).quality;
    assert_eq!(gone(&[])[0].check, Check::Schema);
    let own = gone(&[("wind", missing(100.0))]);
    assert!(own.iter().all(|finding| finding.column.as_deref() != Some("wind")), "{own:?}");
}

#[test]
fn what_was_learned_is_written_in_the_words_in_which_people_expect() {
    let rows = Rows::new(5_000, 0.0);
    let learned = learned(&rows.profile());
    let wind = &learned["wind"];
    let least = rows.wind.iter().copied().fold(f64::INFINITY, f64::min);
    let most = rows.wind.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    assert_eq!((wind.range, wind.missing.unwrap().share()), (Some((least, most)), 0.05));
    assert_eq!(learned["carrier"].names.as_deref().unwrap(), ["AA", "UA"]);
    // Rows such as those of training stay without a finding when what was learned is what is expected.
    let expected: Vec<(&str, Expected)> =
        learned.iter().map(|(name, it)| (name.as_str(), it.clone())).collect();
    assert_eq!(expecting(&Rows::new(500, 0.3).features(), &expected).quality, []);
}

#[test]
fn rows_that_are_sent_twice_are_counted() {
    let twice = of(|rows| {
        for row in 250..500 {
            rows.wind[row] = rows.wind[row - 250];
            rows.carrier[row] = rows.carrier[row - 250].clone();
        }
    });
    assert_eq!(checks(&twice), [(Check::Repeats, None)]);
    assert_eq!((twice[0].found, twice[0].rows), (Some(0.5), 250));
}

#[test]
fn hostile_rows_make_findings_and_no_panic() {
    for value in
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -f64::MAX, 0.0, -0.0, f64::MIN_POSITIVE]
    {
        let found = of(|rows| rows.wind.fill(value));
        assert!(!found.is_empty(), "{value}");
        let numbers = found.iter().flat_map(|finding| [finding.found, finding.expected]);
        assert!(numbers.flatten().all(f64::is_finite), "{found:?}");
    }
    let unlike: Vec<Option<Arc<str>>> =
        (0..500).map(|row| Some(format!("{row}{}", "é".repeat(5_000)).into())).collect();
    let wind = spread(500, 0.0);
    let found = summary(&[("wind", Values::Numbers(&wind)), ("carrier", Values::Text(&unlike))]).quality;
    assert!(found.iter().all(|finding| finding.words.len() < 2_000));
    // Too few rows to say anything of.
    let few = Rows { wind: vec![1e9; 20], carrier: names(20, 0.0) };
    assert_eq!(summary(&few.features()).quality, []);
}

#[test]
fn traffic_labels_errors_and_latency_are_held_against_the_weeks_before() {
    let usual = summary(&Rows::new(500, 0.3).features());
    let mut before = Vec::new();
    for start in 0..6_u32 {
        let mut window = summary(&Rows::new(480 + 8 * start as usize, f64::from(start) / 7.0).features());
        window.errors = u64::from(start % 3);
        before.push(Seen::of(&window, None, &before));
    }
    assert!(before.iter().all(|seen| seen.quality.is_empty()), "{before:?}");
    let found = |change: &dyn Fn(&mut WindowSummary)| {
        let mut window = usual.clone();
        change(&mut window);
        Seen::of(&window, None, &before).quality.iter().map(|finding| finding.check).collect::<Vec<_>>()
    };
    assert_eq!(found(&|_| {}), []);
    assert_eq!(found(&|window| (window.predictions, window.labels) = (2_000, 2_000)), [Check::Volume]);
    assert_eq!(found(&|window| (window.predictions, window.labels) = (0, 0)), [Check::Volume]);
    assert_eq!(found(&|window| window.labels = 200), [Check::Labels]);
    assert_eq!(found(&|window| window.errors = 40), [Check::Errors]);
    assert_eq!(found(&|window| window.evidence.quiet = Some(0.4)), [Check::Freshness]);
    let slow = |window: &mut WindowSummary| {
        (window.evidence.latency_p50_us, window.evidence.latency_p99_us) = (Some(6_000.0), Some(9_000.0));
    };
    assert_eq!(found(&slow), [Check::Latency]);
    let few = &before[..3];
    assert_eq!(Seen::of(&WindowSummary { predictions: 2_000, ..usual.clone() }, None, few).quality, []);
}
