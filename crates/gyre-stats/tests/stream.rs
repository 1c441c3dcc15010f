//! What every detector of change does with missing, infinite and constant values, and with a restart.
#![allow(clippy::unwrap_used)]

use gyre_stats::stream::{
    Adwin, AdwinSettings, Cusum, CusumSettings, Direction, Fhddm, FhddmSettings, Guarantee, HddmA,
    HddmASettings, Kswin, KswinSettings, LossDrift, LossDriftSettings, PageHinkley, PageHinkleySettings,
    RateChange, Signal, ValueChange,
};

const CUSUM: CusumSettings =
    CusumSettings { target: 0.0, deviation: 1.0, k: 0.5, h: 5.0, direction: Direction::Both };
const LIFETIME: Guarantee = Guarantee::Lifetime { alpha: 0.01 };

/// Values from 0 to 1 without order: the last step of SplitMix64 (Steele, Lea & Flood 2014).
fn scattered(at: u32) -> f64 {
    let z = u64::from(at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn missing_values_change_nothing() {
    let (mut adwin, mut cusum) = (Adwin::default(), Cusum::new(CUSUM).unwrap());
    let (mut page, mut kswin) = (PageHinkley::default(), Kswin::new(KswinSettings::default()).unwrap());
    let reference: Vec<f64> = (0..100).map(scattered).collect();
    let mut values = ValueChange::new(LIFETIME, Direction::Both, &reference, 1).unwrap();
    let mut rate = RateChange::new(LIFETIME, Direction::Both, 100, 20, 1).unwrap();
    let mut losses = LossDrift::new(LossDriftSettings::default()).unwrap();
    let before = (
        adwin.clone(),
        cusum.clone(),
        page.clone(),
        kswin.clone(),
        values.clone(),
        rate.clone(),
        losses.clone(),
    );
    assert_eq!(adwin.observe(f64::NAN), Ok(Signal::Stable));
    assert_eq!(cusum.observe(f64::NAN), Ok(Signal::Stable));
    assert_eq!(page.observe(f64::NAN), Ok(Signal::Stable));
    assert_eq!(kswin.observe(f64::NAN), Signal::Stable);
    assert_eq!(values.observe(f64::NAN), Signal::Stable);
    assert_eq!(rate.observe_loss(f64::NAN), Ok(Signal::Stable));
    assert_eq!(losses.observe(f64::NAN), Ok(Signal::Stable));
    assert_eq!(before, (adwin, cusum, page, kswin, values, rate, losses));
}

#[test]
fn what_cannot_be_added_up_is_refused_and_changes_nothing() {
    let (mut adwin, mut cusum) = (Adwin::default(), Cusum::new(CUSUM).unwrap());
    let (mut page, mut losses) =
        (PageHinkley::default(), LossDrift::new(LossDriftSettings::default()).unwrap());
    let before = (adwin.clone(), cusum.clone(), page.clone(), losses.clone());
    for value in [f64::INFINITY, f64::NEG_INFINITY, 1e200] {
        assert!(adwin.observe(value).is_err() && cusum.observe(value).is_err());
        assert!(page.observe(value).is_err() && losses.observe(value).is_err());
    }
    assert_eq!(before, (adwin, cusum, page, losses));
    let mut rate = RateChange::new(LIFETIME, Direction::Up, 100, 20, 1).unwrap();
    let message = rate.observe_loss(1.5).unwrap_err().to_string();
    assert_eq!(message, "the value 1.5 cannot be watched for changes; expected a loss from 0 to 1");
}

#[test]
fn the_largest_values_leave_numbers_that_can_be_stored() {
    let (mut adwin, mut cusum, mut page) = (
        Adwin::default(),
        Cusum::new(CusumSettings { deviation: 1e-300, ..CUSUM }).unwrap(),
        PageHinkley::default(),
    );
    let mut kswin = Kswin::new(KswinSettings::default()).unwrap();
    let extreme = [f64::INFINITY, 1.0, f64::NEG_INFINITY, f64::MAX];
    let mut values = ValueChange::new(LIFETIME, Direction::Both, &extreme.repeat(20), 1).unwrap();
    for at in 0..500_u32 {
        let value = if at % 3 == 0 { 1e150 } else { -1e150 };
        let _ = (adwin.observe(value).unwrap(), cusum.observe(value).unwrap(), page.observe(value).unwrap());
        let value = extreme[at as usize % 4];
        let _ = (kswin.observe(value), values.observe(value));
    }
    let all = (adwin, cusum, page, kswin, values);
    let stored = serde_json::to_string(&all).unwrap();
    let restored: (Adwin, Cusum, PageHinkley, Kswin, ValueChange) = serde_json::from_str(&stored).unwrap();
    assert_eq!(all, restored);
}

#[test]
fn an_infinity_is_the_largest_of_values_that_are_ranked() {
    let reference: Vec<f64> = (0..200).map(scattered).collect();
    let mut values = ValueChange::new(LIFETIME, Direction::Up, &reference, 1).unwrap();
    let found = (1..100).find(|_| values.observe(f64::INFINITY) == Signal::Change);
    assert!(found.is_some_and(|at| at < 20), "{found:?}");
}

#[test]
fn constants_never_alarm_and_leaving_them_does() {
    for constant in [0.0, 1.0, 3.5] {
        let mut losses = LossDrift::new(LossDriftSettings::default()).unwrap();
        assert!((0..5_000).all(|_| losses.observe(constant).unwrap() == Signal::Stable), "{constant}");
    }
    // From never wrong to wrong one time in ten, and from one loss to another one.
    let mut losses = LossDrift::new(LossDriftSettings::default()).unwrap();
    (0..3_000).for_each(|_| assert_eq!(losses.observe(0.0), Ok(Signal::Stable)));
    let found =
        (1..300).find(|at| losses.observe(f64::from(u8::from(at % 10 == 0))).unwrap() == Signal::Change);
    assert!(found.is_some_and(|at| at <= 60), "{found:?}");
    let mut losses = LossDrift::new(LossDriftSettings::default()).unwrap();
    (0..3_000).for_each(|_| assert_eq!(losses.observe(3.5), Ok(Signal::Stable)));
    let found = (1..300).find(|_| losses.observe(3.6).unwrap() == Signal::Change);
    assert!(found.is_some_and(|at| at <= 20), "{found:?}");
}

#[test]
fn losses_that_are_no_errors_are_found_after_a_reference_of_errors() {
    let error = |at: u32| f64::from(u8::from(scattered(at) < 0.2));
    type Loss = fn(u32) -> f64;
    let changes: [(&str, Loss, u32); 5] = [
        ("1 becomes 2", |at| if at < 3_000 { 1.0 } else { 2.0 }, 10),
        ("0 becomes about 3", |at| if at < 3_000 { 0.0 } else { 2.5 + scattered(at) }, 10),
        ("0 becomes a hundredth", |at| if at < 3_000 { 0.0 } else { 0.01 }, 10),
        (
            "errors cost 50",
            |at| f64::from(u8::from(scattered(at) < 0.2)) * if at < 3_000 { 1.0 } else { 50.0 },
            80,
        ),
        (
            "errors become losses",
            |at| if at < 3_000 { f64::from(u8::from(scattered(at) < 0.2)) } else { 3.0 * scattered(at) },
            60,
        ),
    ];
    for (name, loss, soon) in changes {
        // With a long past and with a short one.
        for before in [3_000, 1_001] {
            let mut drift = LossDrift::new(LossDriftSettings::default()).unwrap();
            let mut losses = (3_000 - before..8_000).map(loss);
            let calm = losses.by_ref().take(before as usize);
            assert!(calm.map(|loss| drift.observe(loss)).all(|said| said == Ok(Signal::Stable)), "{name}");
            let found = losses.position(|loss| drift.observe(loss) == Ok(Signal::Change));
            println!("{name} after {before}: {found:?}");
            assert!(found.is_some_and(|at| at < soon as usize), "{name} after {before}: {found:?}");
        }
    }
    // Falls below what was the smallest, of which a detector of rises takes no notice.
    for (direction, expected) in [(Direction::Down, true), (Direction::Both, true), (Direction::Up, false)] {
        let mut drift =
            LossDrift::new(LossDriftSettings { direction, ..LossDriftSettings::default() }).unwrap();
        let mut losses = (0..4_000).map(|at| if at < 3_000 { error(at) } else { -1.0 });
        let said = losses.any(|loss| drift.observe(loss).unwrap() == Signal::Change);
        assert_eq!(said, expected, "{direction:?}");
    }
}

#[test]
fn another_life_begins_with_the_labels_after_the_alarm() {
    let mut drift = LossDrift::new(LossDriftSettings::default()).unwrap();
    let mut found = Vec::new();
    for at in 0..9_000_u32 {
        let level = [0.1, 0.4, 0.8][at as usize / 3_000];
        if drift.observe(f64::from(u8::from(scattered(at) < level))).unwrap() == Signal::Change {
            found.push(at);
            drift = drift.renewed();
            assert_eq!((drift.alarm(), drift.block()), (None, None));
        }
    }
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().zip([3_000, 6_000]).all(|(at, change)| (change..change + 200).contains(at)),
        "{found:?}"
    );
}

#[test]
fn a_life_ends_with_its_alarm_and_run_lengths_go_on() {
    let mut life = RateChange::new(LIFETIME, Direction::Up, 1_000, 100, 1).unwrap();
    let mut runs =
        RateChange::new(Guarantee::RunLength { values: 1_000.0 }, Direction::Up, 1_000, 100, 1).unwrap();
    let mut alarms = 0;
    for _ in 0..200 {
        alarms += u32::from(life.observe(true) == Signal::Change);
        let _ = runs.observe(true);
    }
    assert_eq!((alarms, life.alarms()), (1, 1));
    assert!(life.strength() > 0.999 && life.labels() < 20, "{}", life.labels());
    assert!(runs.alarms() > 3, "{}", runs.alarms());
}

#[test]
fn a_restored_detector_goes_on_where_it_was() {
    let mut kept =
        LossDrift::new(LossDriftSettings { reference: 200, ..LossDriftSettings::default() }).unwrap();
    let mut restored = kept.clone();
    for at in 0..1_000_u32 {
        let loss = scattered(at) + if at > 600 { 0.3 } else { 0.0 };
        assert_eq!(kept.observe(loss), restored.observe(loss), "{at}");
        if at % 90 == 0 {
            restored = serde_json::from_str(&serde_json::to_string(&restored).unwrap()).unwrap();
        }
    }
    assert_eq!(kept, restored);
    assert!(kept.alarm().is_some_and(|at| at > 600), "{:?}", kept.alarm());
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = Adwin::new(AdwinSettings { delta: 0.0, ..AdwinSettings::default() }).unwrap_err();
    assert_eq!(refused.to_string(), "the setting delta is 0; expected above 0 and below 1");
    assert!(Adwin::new(AdwinSettings { clock: 0, ..AdwinSettings::default() }).is_err());
    assert!(
        PageHinkley::new(PageHinkleySettings { alpha: f64::NAN, ..PageHinkleySettings::default() }).is_err()
    );
    assert!(Cusum::new(CusumSettings { deviation: 0.0, ..CUSUM }).is_err());
    assert!(HddmA::new(HddmASettings { drift_confidence: 1.0, ..HddmASettings::default() }).is_err());
    assert!(Fhddm::new(FhddmSettings { short_window_size: Some(101), ..FhddmSettings::default() }).is_err());
    assert!(Kswin::new(KswinSettings { stat_size: 100, ..KswinSettings::default() }).is_err());
    assert!(LossDrift::new(LossDriftSettings { reference: 10, ..LossDriftSettings::default() }).is_err());
    assert!(RateChange::new(LIFETIME, Direction::Up, 10, 11, 1).is_err());
    assert!(ValueChange::new(Guarantee::RunLength { values: 1.0 }, Direction::Up, &[], 1).is_err());
}
