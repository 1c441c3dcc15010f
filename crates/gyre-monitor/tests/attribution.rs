//! Worlds in which it is known where a change of the loss comes from, and segments of which it is known which became worse.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::fact::{Attribution, ColumnPart, SegmentLoss};
use gyre_core::record::Route;
use gyre_core::spec::{Metric, Segment};
use gyre_core::time::Period;
use gyre_core::{ModelName, Span, Timestamp};
use gyre_monitor::{
    Predictions, ReferenceProfile, Settings, Values, WindowInput, attribute, by_segment, loss,
};

/// A small deterministic generator (SplitMix64), so that the tests need no seed from outside.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

const DAYS: usize = 28;

/// Rows with an error that is 5, 4 more where it rains, 3 more for carrier UA; `road` is mostly wet when it rains and does
/// nothing by itself; `hour` does nothing.
struct World {
    rain: Vec<f64>,
    road: Vec<Option<Arc<str>>>,
    carrier: Vec<Option<Arc<str>>>,
    hour: Vec<f64>,
    outputs: Vec<f64>,
    labels: Vec<f64>,
    times: Vec<Timestamp>,
}

/// Shares of rainy rows and of rows of UA, and what is added to every error: for all, and for UA.
struct Climate {
    rain: f64,
    ua: f64,
    concept: f64,
    of_ua: f64,
}

const USUAL: Climate = Climate { rain: 0.2, ua: 0.3, concept: 0.0, of_ua: 0.0 };

impl World {
    fn of(rows: usize, climate: &Climate, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut world = Self {
            rain: Vec::new(),
            road: Vec::new(),
            carrier: Vec::new(),
            hour: Vec::new(),
            outputs: Vec::new(),
            labels: Vec::new(),
            times: Vec::new(),
        };
        for row in 0..rows {
            let (rains, is_ua) = (random.next() < climate.rain, random.next() < climate.ua);
            let is_wet = if random.next() < 0.9 { rains } else { random.next() < 0.5 };
            let usual = 5.0 + 4.0 * f64::from(rains) + (3.0 + climate.of_ua) * f64::from(is_ua);
            let error = (usual + climate.concept) * (0.5 + random.next());
            world.rain.push(if rains { 1.0 + random.next() } else { 0.0 });
            world.road.push(Some(if is_wet { "wet" } else { "dry" }.into()));
            world.carrier.push(Some(if is_ua { "UA" } else { "AA" }.into()));
            world.hour.push((random.next() * 24.0).floor());
            world.outputs.push(100.0);
            world.labels.push(if random.next() < 0.5 { 100.0 - error } else { 100.0 + error });
            world.times.push(Timestamp::default() + Span::days((row * DAYS / rows) as i64));
        }
        world
    }

    fn features(&self) -> [(&str, Values<'_>); 4] {
        [
            ("rain", Values::Numbers(&self.rain)),
            ("road", Values::Text(&self.road)),
            ("carrier", Values::Text(&self.carrier)),
            ("hour", Values::Numbers(&self.hour)),
        ]
    }

    fn predictions(&self) -> Predictions<'_> {
        Predictions { outputs: Values::Numbers(&self.outputs), scores: &[], classes: &[] }
    }

    fn profile(&self, metric: Metric, segments: &[Segment]) -> ReferenceProfile {
        let losses = loss::losses(metric, &self.predictions(), &Values::Numbers(&self.labels)).unwrap();
        let days: Vec<i64> = self.times.iter().map(|time| time.day()).collect();
        let mut profile = ReferenceProfile::build([], Values::Numbers(&self.outputs), None);
        profile.learn_losses(metric, &self.features(), (&losses, &days), segments).unwrap();
        // As it comes back from storage.
        ReferenceProfile::from_json(&profile.to_json().unwrap()).unwrap()
    }

    fn with<T>(&self, look: impl FnOnce(&WindowInput<'_>) -> T) -> T {
        let model: ModelName = "air-time".parse().unwrap();
        let n = self.times.len();
        look(&WindowInput {
            model: &model,
            period: Period { from: Timestamp::default(), to: Timestamp::default() + Span::days(28) },
            champion: 2,
            times: &self.times,
            versions: &vec![2; n],
            routes: &vec![Route::Champion; n],
            predictions: self.predictions(),
            labels: Values::Numbers(&self.labels),
            features: &self.features(),
            latencies_us: &[],
            errors: 0,
        })
    }

    fn attribution(&self, reference: &ReferenceProfile, metric: Metric) -> Attribution {
        let losses = reference.losses.as_ref().unwrap();
        let found = self.with(|input| attribute(input, losses, metric).unwrap().unwrap());
        let parts = found.covariate.amount + found.unseen.unwrap_or(0.0) + found.concept.amount;
        assert!((parts - found.change.amount).abs() < 1e-9, "{found:?}");
        let columns: f64 = found.columns.iter().map(|column| column.shift.amount).sum();
        assert!((columns - found.covariate.amount).abs() < 1e-9, "{found:?}");
        found
    }

    fn segments(&self, reference: &ReferenceProfile, segments: &[Segment]) -> Vec<SegmentLoss> {
        let settings = Settings {
            metric: Metric::Mae,
            drift_effect: 0.1,
            drift_share: 0.03,
            false_discovery_rate: 0.01,
        };
        self.with(|input| by_segment(input, reference, segments, &settings).unwrap())
    }
}

fn of<'a>(found: &'a Attribution, name: &str) -> &'a ColumnPart {
    found.columns.iter().find(|column| column.column == name).unwrap()
}

fn near(found: f64, expected: f64, by: f64) -> bool {
    (found - expected).abs() < by
}

#[test]
fn a_feature_that_moves_gets_the_change_and_one_that_moves_with_it_gets_none() {
    let reference = World::of(20_000, &USUAL, 1).profile(Metric::Mae, &[]);
    let rainy = Climate { rain: 0.6, ..USUAL };
    let found = World::of(10_000, &rainy, 2).attribution(&reference, Metric::Mae);
    // 40 points more rain at 4 a row.
    let (rain, road) = (of(&found, "rain"), of(&found, "road"));
    assert!(near(rain.shift.amount, 1.6, 0.15) && rain.shift.is_sure(), "{found:?}");
    assert!(near(road.shift.amount, 0.0, 0.1), "{road:?}");
    // Alone, the wet road would explain nearly as much: parts of single columns do not add up.
    assert!(road.alone > 1.2 && near(rain.alone, 1.6, 0.15), "{road:?} {rain:?}");
    assert!(near(found.concept.amount, 0.0, 0.15) && !found.concept.is_sure(), "{:?}", found.concept);
    // A value may be beyond the reference's greatest by luck.
    assert!(found.columns[0].column == "rain" && found.unseen.is_none_or(|unseen| near(unseen, 0.0, 0.01)));
}

#[test]
fn two_features_that_move_get_each_their_own() {
    let reference = World::of(20_000, &USUAL, 3).profile(Metric::Mae, &[]);
    let climate = Climate { rain: 0.5, ua: 0.7, ..USUAL };
    let found = World::of(10_000, &climate, 4).attribution(&reference, Metric::Mae);
    assert!(near(of(&found, "rain").shift.amount, 1.2, 0.15), "{found:?}");
    assert!(near(of(&found, "carrier").shift.amount, 1.2, 0.15), "{found:?}");
    assert!(near(found.covariate.amount, 2.4, 0.2) && found.covariate.is_sure());
    assert!(near(of(&found, "hour").shift.amount, 0.0, 0.05), "{found:?}");
    assert!(!found.concept.is_sure(), "{:?}", found.concept);
}

#[test]
fn concept_is_told_from_covariate_also_when_both_change() {
    let reference = World::of(20_000, &USUAL, 5).profile(Metric::Mae, &[]);
    let only = Climate { concept: 2.0, ..USUAL };
    let found = World::of(10_000, &only, 6).attribution(&reference, Metric::Mae);
    assert!(near(found.concept.amount, 2.0, 0.15) && found.concept.is_sure(), "{found:?}");
    assert!(near(found.covariate.amount, 0.0, 0.1), "{found:?}");
    let both = Climate { rain: 0.6, concept: 2.0, ..USUAL };
    let found = World::of(10_000, &both, 7).attribution(&reference, Metric::Mae);
    assert!(near(found.concept.amount, 2.0, 0.2) && near(found.covariate.amount, 1.6, 0.2), "{found:?}");
}

#[test]
fn nothing_is_sure_where_nothing_changed_about_as_often_as_intervals_promise() {
    let reference = World::of(8_000, &USUAL, 8).profile(Metric::Mae, &[]);
    let sure = (100..160).filter(|seed| {
        let found = World::of(4_000, &USUAL, *seed).attribution(&reference, Metric::Mae);
        found.covariate.is_sure() || found.concept.is_sure()
    });
    // Two intervals of 95 %, all against one reference: 6 of 60 are expected, 15 would be too many.
    let sure = sure.count();
    assert!(sure <= 15, "{sure} of 60");
}

#[test]
fn values_that_the_reference_lacks_are_kept_apart() {
    let reference = World::of(20_000, &USUAL, 9).profile(Metric::Mae, &[]);
    let mut world = World::of(10_000, &USUAL, 10);
    // A unit changes in a tenth of the rows, and the model is wrong by 50 there.
    for row in (0..10_000).step_by(10) {
        world.hour[row] = 1_000.0;
        world.labels[row] = 150.0;
    }
    let found = world.attribution(&reference, Metric::Mae);
    let hour = of(&found, "hour");
    assert!(near(found.unseen.unwrap(), 4.3, 0.2) && near(hour.unseen.unwrap(), 4.3, 0.2), "{found:?}");
    assert_eq!(found.columns[0].column, "hour");
    assert!(near(found.concept.amount, 0.0, 0.2), "{found:?}");
}

#[test]
fn parts_of_a_root_add_up_to_the_change_of_the_root() {
    let reference = World::of(5_000, &USUAL, 11).profile(Metric::Rmse, &[]);
    let climate = Climate { rain: 0.5, concept: 1.0, ..USUAL };
    let world = World::of(5_000, &climate, 12);
    let found = world.attribution(&reference, Metric::Rmse);
    let errors = world.labels.iter().map(|label| (label - 100.0) * (label - 100.0));
    let root = (errors.sum::<f64>() / 5_000.0).sqrt();
    assert!(near(found.reference + found.change.amount, root, 1e-9), "{found:?}");
}

#[test]
fn too_few_labels_another_metric_or_other_kinds_give_no_parts() {
    let reference = World::of(5_000, &USUAL, 13).profile(Metric::Mae, &[]);
    let losses = reference.losses.as_ref().unwrap();
    let mut world = World::of(1_000, &USUAL, 14);
    assert!(world.with(|input| attribute(input, losses, Metric::Rmse).unwrap().is_none()));
    world.labels[20..].fill(f64::NAN);
    assert!(world.with(|input| attribute(input, losses, Metric::Mae).unwrap().is_none()));
    let world = World::of(1_000, &USUAL, 14);
    let wrong = world.with(|input| {
        let features = [("road", Values::Numbers(&world.rain))];
        attribute(&WindowInput { features: &features, ..input.clone() }, losses, Metric::Mae)
    });
    assert_eq!(wrong.unwrap_err().to_string(), "column `road` holds numbers, expected text");
    let few = World::of(50, &USUAL, 15).profile(Metric::Mae, &[]);
    assert!(few.losses.is_none());
}

fn segment(column: &str, cuts: &[f64]) -> Segment {
    Segment { column: column.to_owned(), cuts: cuts.to_vec() }
}

#[test]
fn the_segment_that_became_worse_is_named_and_those_that_were_always_hard_are_not() {
    let segments = [segment("carrier", &[]), segment("rain", &[0.0, 1.5]), segment("hour", &[])];
    let reference = World::of(20_000, &USUAL, 16).profile(Metric::Mae, &segments);
    let climate = Climate { of_ua: 3.0, ..USUAL };
    let world = World::of(10_000, &climate, 17);
    let found = world.segments(&reference, &segments);
    let first = &found[0];
    assert_eq!((first.column.as_str(), first.segment.as_str(), first.worse), ("carrier", "UA", true));
    assert!(near(first.loss - first.reference.unwrap(), 3.0, 0.3), "{first:?}");
    let aa = found.iter().find(|segment| segment.segment == "AA").unwrap();
    assert!(!aa.worse && aa.p.unwrap() > 0.01, "{aa:?}");
    let names: Vec<&str> =
        found.iter().filter(|of| of.column == "rain").map(|of| of.segment.as_str()).collect();
    assert!(["≤ 0", "0 to 1.5", "> 1.5"].iter().all(|name| names.contains(name)), "{names:?}");
    // 24 hours are more values than are told apart: quarters.
    assert_eq!(found.iter().filter(|of| of.column == "hour").count(), 4);
    let whole: f64 = found.iter().filter(|of| of.column == "carrier").filter_map(|of| of.contribution).sum();
    let change = world.attribution(&reference, Metric::Mae).change.amount;
    assert!(near(whole, change, 1e-9), "{whole} {change}");
}

#[test]
fn usual_windows_have_no_segment_that_is_worse() {
    let segments = [segment("carrier", &[]), segment("rain", &[0.0]), segment("hour", &[])];
    let reference = World::of(20_000, &USUAL, 18).profile(Metric::Mae, &segments);
    let loud = (200..250).filter(|seed| {
        World::of(3_000, &USUAL, *seed).segments(&reference, &segments).iter().any(|of| of.worse)
    });
    assert!(loud.count() <= 3);
}

#[test]
fn segments_that_were_declared_later_are_measured_and_not_compared() {
    let reference = World::of(5_000, &USUAL, 19).profile(Metric::Mae, &[]);
    let found = World::of(3_000, &USUAL, 20).segments(&reference, &[segment("road", &[])]);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|of| of.reference.is_none() && of.p.is_none() && !of.worse && of.loss > 1.0));
    let absent = World::of(3_000, &USUAL, 20).segments(&reference, &[segment("colour", &[])]);
    assert!(absent.is_empty());
}

#[test]
fn names_by_the_thousand_are_pooled() {
    let mut world = World::of(6_000, &USUAL, 21);
    world.road = (0..6_000).map(|row| Some(format!("road-{}", row % 3_000).into())).collect();
    let reference = world.profile(Metric::Mae, &[segment("road", &[])]);
    let found = world.segments(&reference, &[segment("road", &[])]);
    assert_eq!(found.len(), 21);
    let others = found.iter().find(|of| of.segment == "(others)").unwrap();
    assert_eq!(others.rows, 6_000 - 40);
}
