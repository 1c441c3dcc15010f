//! Detectors fire at the values at which River's do. `stream_oracle.py` makes the same streams and says which.
#![allow(clippy::unwrap_used)]

use gyre_stats::stream::{
    Adwin, Cusum, Ddm, Eddm, Fhddm, HddmA, HddmW, Kswin, PageHinkley, Signal, Unusable,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

const LENGTH: usize = 3_000;

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Nearly normal, by sums alone.
    fn bell(&mut self) -> f64 {
        self.uniform() + self.uniform() + self.uniform() + self.uniform() - 2.0
    }
}

fn errors(seed: u64, rate: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut random = Random(seed);
    (0..LENGTH).map(|at| f64::from(u8::from(random.uniform() < rate(at)))).collect()
}

fn values(seed: u64, scale: impl Fn(usize) -> f64, shift: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut random = Random(seed);
    (0..LENGTH).map(|at| random.bell() * scale(at) + shift(at)).collect()
}

fn autoregression(seed: u64) -> Vec<f64> {
    let (mut random, mut value) = (Random(seed), 0.0);
    (0..LENGTH)
        .map(|_| {
            value = 0.9 * value + (random.uniform() - 0.5);
            value
        })
        .collect()
}

fn stream(name: &str) -> Vec<f64> {
    let half = LENGTH / 2;
    let after = |at: usize| if at >= half { 1.0 } else { 0.0 };
    let ramp = |at: usize| ((at as f64 - half as f64) / half as f64).clamp(0.0, 1.0);
    let (one, none) = (|_| 1.0, |_| 0.0);
    match name {
        "errors unchanged" => errors(1, |_| 0.2),
        "errors doubled" => errors(2, |at| 0.2 + 0.2 * after(at)),
        "errors halved" => errors(3, |at| 0.4 - 0.2 * after(at)),
        "errors rising" => errors(4, |at| 0.05 + 0.25 * ramp(at)),
        "errors always" => vec![1.0; 300],
        "errors never" => vec![0.0; 300],
        "values unchanged" => values(5, one, none),
        "values shifted" => values(6, one, |at| 0.3 * after(at)),
        "values spread" => values(7, |at| 1.0 + 2.0 * after(at), none),
        "values rising" => values(8, one, |at| 1.5 * ramp(at)),
        "values with outliers" => values(9, one, |at| if at % 250 == 0 { 20.0 } else { 0.0 }),
        "values autoregressive" => autoregression(10),
        "values constant" => vec![3.25; 300],
        other => panic!("no stream is called {other}"),
    }
}

/// A detector of any kind.
trait Detector: Serialize + DeserializeOwned {
    fn take(&mut self, value: f64) -> Signal;
    fn window(&self) -> Option<(f64, f64, f64)> {
        None
    }
}

/// Takes the signal out of what a detector returns.
trait Said {
    fn signal(self) -> Signal;
}

impl Said for Signal {
    fn signal(self) -> Signal {
        self
    }
}

impl Said for Result<Signal, Unusable> {
    fn signal(self) -> Signal {
        self.unwrap()
    }
}

macro_rules! detectors {
    ($($kind:ty, $value:ident => $input:expr;)*) => { $(
        impl Detector for $kind {
            fn take(&mut self, $value: f64) -> Signal {
                self.observe($input).signal()
            }
        }
    )* };
}

detectors! {
    PageHinkley, value => value;
    Cusum, value => value;
    Kswin, value => value;
    Ddm, value => value == 1.0;
    Eddm, value => value == 1.0;
    HddmA, value => value == 1.0;
    HddmW, value => value == 1.0;
    Fhddm, value => value == 1.0;
}

impl Detector for Adwin {
    fn take(&mut self, value: f64) -> Signal {
        self.observe(value).unwrap()
    }

    fn window(&self) -> Option<(f64, f64, f64)> {
        Some((self.width() as f64, self.mean()?, self.variance()?))
    }
}

/// Runs the case, storing the detector and starting anew from the store every 700 values.
fn check<D: Detector>(case: &Value, mut detector: D) {
    let (mut changes, mut warnings, mut windows) = (Vec::new(), (0_u64, 0_u64), Vec::new());
    for (at, value) in stream(case["stream"].as_str().unwrap()).into_iter().enumerate() {
        match detector.take(value) {
            Signal::Change => changes.push(at),
            Signal::Warning => warnings = (warnings.0 + 1, warnings.1 + at as u64),
            Signal::Stable => {}
        }
        if at % 700 == 699 {
            detector = serde_json::from_str(&serde_json::to_string(&detector).unwrap()).unwrap();
        }
        if at % 500 == 499 {
            windows.extend(detector.window());
        }
    }
    let name = format!("{} {} on {}", case["detector"], case["settings"], case["stream"]);
    assert_eq!(case["changes"], serde_json::json!(changes), "{name}: changes");
    assert_eq!(case["warnings"], serde_json::json!([warnings.0, warnings.1]), "{name}: warnings");
    let expected = case["windows"].as_array().unwrap();
    assert_eq!(expected.len(), windows.len(), "{name}");
    for (expected, found) in expected.iter().zip(windows) {
        for (expected, found) in expected.as_array().unwrap().iter().zip([found.0, found.1, found.2]) {
            let expected = expected.as_f64().unwrap();
            assert!(
                (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
                "{name}: {found} {expected}"
            );
        }
    }
}

#[test]
fn changes_are_found_at_the_same_values_as_by_river() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("stream_oracle.json")).unwrap();
    assert!(cases.len() > 150, "{}", cases.len());
    for case in &cases {
        macro_rules! check {
            ($kind:ty) => {
                check(case, <$kind>::new(serde_json::from_value(case["settings"].clone()).unwrap()).unwrap())
            };
        }
        match case["detector"].as_str().unwrap() {
            "adwin" => check!(Adwin),
            "page_hinkley" => check!(PageHinkley),
            "cusum" => check!(Cusum),
            "kswin" => check!(Kswin),
            "ddm" => check!(Ddm),
            "eddm" => check!(Eddm),
            "hddm_a" => check!(HddmA),
            "hddm_w" => check!(HddmW),
            "fhddm" => check!(Fhddm),
            other => panic!("no detector is called {other}"),
        }
    }
}
