//! References and windows as a monitor uses them: count, merge, store, compare.
#![allow(clippy::unwrap_used)]

use gyre_stats::{
    drift::{self, Effect, Evidence},
    profile::{
        CategoricalReference, CategoricalWindow, ColumnReference, ColumnWindow, Incompatible,
        NumericReference, NumericWindow, numeric::MAX_BINS,
    },
};
use proptest::{prelude::*, test_runner::RngSeed};

/// Numbers as columns have them: ties, atoms, nonsense.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        4 => -1e3..1e3f64,
        3 => (-5i32..5).prop_map(f64::from),
        1 => Just(0.1),
        1 => Just(f64::NAN),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MAX), Just(f64::MIN), Just(-0.0)],
    ];
    prop::collection::vec(value, 0..400)
}

fn names() -> impl Strategy<Value = Vec<Option<String>>> {
    prop::collection::vec(prop::option::weighted(0.9, "[a-e]{1,2}"), 0..200)
}

fn numeric(reference: &NumericReference, values: &[f64]) -> NumericWindow {
    let mut window = NumericWindow::new(reference);
    values.iter().for_each(|value| window.push(*value));
    window
}

fn categorical(reference: &CategoricalReference, values: &[Option<String>]) -> CategoricalWindow {
    let mut window = CategoricalWindow::new(reference);
    values.iter().for_each(|value| window.push(value.as_deref()));
    window
}

fn stored<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// The same cases on every run.
fn seeded() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(seeded())]

    #[test]
    fn numeric_windows_merge_in_any_order(past in values(), a in values(), b in values(), c in values()) {
        let reference = NumericReference::from_values(&past);
        prop_assert!(reference.histogram().cuts().len() <= MAX_BINS);
        prop_assert_eq!(reference.histogram().rows(), past.len() as u64);
        let [a_window, b_window, c_window] = [&a, &b, &c].map(|values| numeric(&reference, values));
        let whole = numeric(&reference, &[a, b, c].concat());

        let mut left = a_window.clone();
        left.merge(&b_window).unwrap();
        left.merge(&c_window).unwrap();
        let mut right = c_window;
        right.merge(&b_window).unwrap();
        right.merge(&a_window).unwrap();
        for merged in [&left, &right] {
            prop_assert_eq!(merged.ordered_counts(), whole.ordered_counts());
            prop_assert_eq!((merged.missing(), merged.rows()), (whole.missing(), whole.rows()));
            prop_assert_eq!(merged.moments().min(), whole.moments().min());
            prop_assert_eq!(merged.moments().max(), whole.moments().max());
        }
    }

    #[test]
    fn storage_keeps_every_bin(past in values()) {
        let reference = NumericReference::from_values(&past);
        let again = stored(&reference);
        prop_assert_eq!(again.histogram().cuts(), reference.histogram().cuts());
        // What was counted into the old bins goes into the same new ones, atoms to the last bit.
        let counted = numeric(&again, &past);
        prop_assert_eq!(counted.counts(), reference.histogram().counts());
    }

    #[test]
    fn categorical_windows_merge_in_any_order(past in names(), a in names(), b in names()) {
        let reference = CategoricalReference::with_categories(past.iter().map(Option::as_deref), 8);
        let (mut left, mut right) = (categorical(&reference, &a), categorical(&reference, &b));
        let first = left.clone();
        left.merge(&right).unwrap();
        right.merge(&first).unwrap();
        let whole = categorical(&reference, &[a, b].concat());
        prop_assert_eq!(&left, &whole);
        prop_assert_eq!(&right, &whole);
        prop_assert_eq!(stored(&whole), whole);
        prop_assert_eq!(reference.histogram().rows(), past.len() as u64);
    }

    #[test]
    fn any_window_can_be_compared(past in values(), now in values()) {
        let reference = NumericReference::from_values(&past);
        let window = ColumnWindow::Numeric(numeric(&reference, &now));
        let found = drift::column(&ColumnReference::Numeric(reference), &window).unwrap();
        if let Some(p) = found.p_value() {
            prop_assert!((0.0..=1.0).contains(&p));
        }
        prop_assert!(found.effect.is_none_or(|effect| effect.value().is_finite() && effect.value() >= 0.0));
    }

    #[test]
    fn binned_wasserstein_is_near_that_of_the_samples(seed in 0u64..1000) {
        let mut random = Random(seed);
        let past: Vec<f64> = (0..5_000).map(|_| random.normal()).collect();
        let now: Vec<f64> = (0..3_000).map(|_| 0.3 + 1.2 * random.normal()).collect();
        let reference = NumericReference::from_values(&past);
        let exact = drift::samples::wasserstein(&past, &now).unwrap();
        let binned = drift::wasserstein_binned(reference.histogram(), &numeric(&reference, &now)).unwrap();
        prop_assert!((binned - exact).abs() < 0.1 * exact, "{} {}", binned, exact);
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Box & Muller.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A name of `count`, the first far more frequent than the last.
    fn name(&mut self, count: f64) -> String {
        format!("{:04}", (self.uniform().powi(3) * count) as u32)
    }
}

#[test]
fn without_drift_alarms_are_as_rare_as_promised() {
    let mut random = Random(1);
    let (mut numeric_alarms, mut categorical_alarms, mut many_alarms) = (0, 0, 0);
    const WINDOWS: u32 = 1_000;
    for _ in 0..WINDOWS {
        let past: Vec<f64> = (0..2_000).map(|_| random.normal()).collect();
        let reference = ColumnReference::Numeric(NumericReference::from_values(&past));
        let mut window = reference.window();
        let ColumnWindow::Numeric(counts) = &mut window else { unreachable!() };
        (0..500).for_each(|_| counts.push(random.normal()));
        numeric_alarms += u32::from(drift::column(&reference, &window).unwrap().p_value().unwrap() < 0.05);

        for (categories, alarms) in [(10.0, &mut categorical_alarms), (1_000.0, &mut many_alarms)] {
            let past: Vec<String> = (0..2_000).map(|_| random.name(categories)).collect();
            let reference = CategoricalReference::from_values(past.iter().map(|name| Some(name.as_str())));
            let mut window = CategoricalWindow::new(&reference);
            (0..500).for_each(|_| window.push(Some(&random.name(categories))));
            let reference = ColumnReference::Categorical(reference);
            let found = drift::column(&reference, &ColumnWindow::Categorical(window)).unwrap();
            assert!(matches!(found.evidence, Evidence::Tested { .. }));
            *alarms += u32::from(found.p_value().unwrap() < 0.05);
        }
    }
    println!(
        "of {WINDOWS}: numeric {numeric_alarms}, 10 categories {categorical_alarms}, 1000 {many_alarms}"
    );
    // 5 % promised; three standard errors of a thousand windows are 2 %.
    assert!(numeric_alarms <= 70, "{numeric_alarms}");
    assert!(categorical_alarms <= 70, "{categorical_alarms}");
    assert!(many_alarms <= 70, "{many_alarms}");
}

#[test]
fn each_kind_of_drift_is_seen() {
    let mut random = Random(2);
    let past: Vec<f64> = (0..5_000).map(|_| random.normal()).collect();
    let reference = NumericReference::from_values(&past);
    let column = ColumnReference::Numeric(reference.clone());
    let compare =
        |values: &[f64]| drift::column(&column, &ColumnWindow::Numeric(numeric(&reference, values))).unwrap();

    let shifted: Vec<f64> = (0..2_000).map(|_| 0.25 + random.normal()).collect();
    let found = compare(&shifted);
    assert!(found.p_value().unwrap() < 1e-6);
    // 0.25 standard deviations are 0.185 interquartile ranges of a normal column.
    assert!((found.effect.unwrap().value() - 0.185).abs() < 0.04, "{found:?}");

    let mut holes: Vec<f64> = (0..2_000).map(|_| random.normal()).collect();
    holes[..100].fill(f64::NAN);
    holes[100..150].fill(f64::INFINITY);
    let found = compare(&holes);
    assert_eq!(found.missing.current, Some(0.05));
    assert!(found.missing.p_value.unwrap() < 1e-6 && found.infinite.unwrap().p_value.unwrap() < 1e-6);

    let few = compare(&[9.0; 29]);
    assert_eq!((few.evidence, few.effect), (Evidence::Insufficient, None));
}

#[test]
fn new_categories_are_seen() {
    let names = |counts: &[(&'static str, usize)]| -> Vec<Option<&str>> {
        counts.iter().flat_map(|(name, count)| std::iter::repeat_n(Some(*name), *count)).collect()
    };
    let reference = CategoricalReference::from_values(names(&[("EWR", 400), ("JFK", 350), ("LGA", 250)]));
    let mut window = CategoricalWindow::new(&reference);
    names(&[("EWR", 190), ("JFK", 180), ("LGA", 110), ("HPN", 20)])
        .into_iter()
        .for_each(|name| window.push(name));
    assert!(window.examples().eq(["HPN"]));
    let found =
        drift::column(&ColumnReference::Categorical(reference), &ColumnWindow::Categorical(window)).unwrap();
    let new = found.new_categories.unwrap();
    assert_eq!((new.reference, new.current), (Some(0.0), Some(0.04)));
    assert!(new.p_value.unwrap() < 1e-6 && found.p_value().unwrap() < 1e-6);
    assert!(matches!(found.effect, Some(Effect::ShareChange(change)) if (change - 0.04).abs() < 1e-12));
}

#[test]
fn kinds_do_not_mix() {
    let numeric = ColumnReference::Numeric(NumericReference::from_values(&[1.0; 40]));
    let categorical = ColumnReference::Categorical(CategoricalReference::from_values([Some("a")]));
    assert_eq!(drift::column(&numeric, &categorical.window()), Err(Incompatible::Kind));
    assert_eq!(numeric.window().merge(&categorical.window()), Err(Incompatible::Kind));
    let other = ColumnReference::Numeric(NumericReference::from_values(&[2.0; 40]));
    assert_eq!(drift::column(&numeric, &other.window()), Err(Incompatible::Bins));
}

#[test]
fn damaged_profiles_are_refused() {
    let text = serde_json::to_string(&NumericReference::from_values(&[1.0; 40])).unwrap();
    for (found, damaged) in [
        ("\"1.0\"", "\"one\""),
        ("\"1.0\"", "\"0.5\""),
        ("\"counts\":[0,40,0]", "\"counts\":[0,40]"),
        ("\"counts\":[0,40,0]", "\"counts\":[0,41,0]"),
    ] {
        assert!(text.contains(found), "{text}");
        assert!(
            serde_json::from_str::<NumericReference>(&text.replace(found, damaged)).is_err(),
            "{damaged}"
        );
    }
}
