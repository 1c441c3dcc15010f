//! The detectors of [`gyre_stats::stream`] under one face: each has a name and settings that come as words.
//!
//! A [`Detector`] serialises: one that is stored goes on as if nothing had happened.

use gyre_stats::stream::{
    Adwin, AdwinSettings, BadSetting, Cusum, CusumSettings, Ddm, DdmSettings, Direction, Eddm, EddmSettings,
    Fhddm, FhddmSettings, HddmA, HddmASettings, HddmW, HddmWSettings, Kswin, KswinSettings, LossDrift,
    LossDriftSettings, PageHinkley, PageHinkleySettings, Signal, Unusable,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The names of all detectors; the first is the one to take without a reason for another.
pub const NAMES: [&str; 10] =
    ["loss-drift", "adwin", "page-hinkley", "cusum", "kswin", "ddm", "eddm", "hddm-a", "hddm-w", "fhddm"];

/// Why there is no such detector.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DetectorError {
    /// No detector has this name.
    #[error("there is no detector `{0}`; there are {all}", all = NAMES.join(", "))]
    Unknown(String),
    /// It has no such setting.
    #[error("{detector} has no setting `{setting}`; it has {known}")]
    NoSetting {
        /// The detector.
        detector: String,
        /// What was to be set.
        setting: String,
        /// What can be.
        known: String,
    },
    /// A setting is of another kind.
    #[error("the settings of {detector} make no sense: {reason}")]
    Kind {
        /// The detector.
        detector: String,
        /// What is wrong.
        reason: String,
    },
    /// A setting is outside its range.
    #[error("{detector}: {reason}")]
    Range {
        /// The detector.
        detector: String,
        /// What is wrong.
        reason: BadSetting,
    },
}

/// A detector of changes, whichever it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "detector", content = "state", rename_all = "kebab-case")]
pub enum Detector {
    /// [`LossDrift`].
    LossDrift(LossDrift),
    /// [`Adwin`].
    Adwin(Adwin),
    /// [`PageHinkley`].
    PageHinkley(PageHinkley),
    /// [`Cusum`].
    Cusum(Cusum),
    /// [`Kswin`].
    Kswin(Kswin),
    /// [`Ddm`].
    Ddm(Ddm),
    /// [`Eddm`].
    Eddm(Eddm),
    /// [`HddmA`].
    HddmA(HddmA),
    /// [`HddmW`].
    HddmW(HddmW),
    /// [`Fhddm`].
    Fhddm(Fhddm),
}

impl Detector {
    /// The detector called `name`, which has seen nothing, with its usual settings but for `set`.
    ///
    /// # Errors
    /// [`DetectorError`].
    pub fn named(name: &str, set: &[(String, Value)]) -> Result<Self, DetectorError> {
        let range = |reason| DetectorError::Range { detector: name.to_owned(), reason };
        Ok(match name {
            "loss-drift" => {
                let settings = settings(name, LossDriftSettings::default(), set)?;
                Self::LossDrift(LossDrift::new(settings).map_err(range)?)
            }
            "adwin" => {
                Self::Adwin(Adwin::new(settings(name, AdwinSettings::default(), set)?).map_err(range)?)
            }
            "page-hinkley" => {
                let settings = settings(name, PageHinkleySettings::default(), set)?;
                Self::PageHinkley(PageHinkley::new(settings).map_err(range)?)
            }
            "cusum" => {
                // A standard normal stream, and a shift of one deviation to be found: the chart of the textbooks.
                let usual =
                    CusumSettings { target: 0.0, deviation: 1.0, k: 0.5, h: 5.0, direction: Direction::Both };
                Self::Cusum(Cusum::new(settings(name, usual, set)?).map_err(range)?)
            }
            "kswin" => {
                Self::Kswin(Kswin::new(settings(name, KswinSettings::default(), set)?).map_err(range)?)
            }
            "ddm" => Self::Ddm(Ddm::new(settings(name, DdmSettings::default(), set)?).map_err(range)?),
            "eddm" => Self::Eddm(Eddm::new(settings(name, EddmSettings::default(), set)?).map_err(range)?),
            "hddm-a" => {
                Self::HddmA(HddmA::new(settings(name, HddmASettings::default(), set)?).map_err(range)?)
            }
            "hddm-w" => {
                Self::HddmW(HddmW::new(settings(name, HddmWSettings::default(), set)?).map_err(range)?)
            }
            "fhddm" => {
                Self::Fhddm(Fhddm::new(settings(name, FhddmSettings::default(), set)?).map_err(range)?)
            }
            other => return Err(DetectorError::Unknown(other.to_owned())),
        })
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LossDrift(_) => "loss-drift",
            Self::Adwin(_) => "adwin",
            Self::PageHinkley(_) => "page-hinkley",
            Self::Cusum(_) => "cusum",
            Self::Kswin(_) => "kswin",
            Self::Ddm(_) => "ddm",
            Self::Eddm(_) => "eddm",
            Self::HddmA(_) => "hddm-a",
            Self::HddmW(_) => "hddm-w",
            Self::Fhddm(_) => "fhddm",
        }
    }

    /// Whether it still learns what is usual, and can find nothing yet.
    pub fn is_learning(&self) -> bool {
        matches!(self, Self::LossDrift(it) if it.block().is_none() || it.alarm().is_some())
    }

    /// Takes in a value; NaN is a missing one, and changes nothing. After a change every detector begins anew with the value
    /// after it; `kswin` keeps the newest, and `loss-drift` spends `alpha` again.
    ///
    /// # Errors
    /// [`Unusable`]: what counts errors takes 0 (right) and 1 (wrong) alone, what adds values no infinities. The state is then
    /// unchanged.
    pub fn observe(&mut self, value: f64) -> Result<Signal, Unusable> {
        if value.is_nan() {
            return Ok(Signal::Stable);
        }
        match self {
            Self::LossDrift(it) => {
                // As the others do, it begins anew with the value after a change.
                if it.alarm().is_some() {
                    *it = it.renewed();
                }
                it.observe(value)
            }
            Self::Adwin(it) => it.observe(value),
            Self::PageHinkley(it) => it.observe(value),
            Self::Cusum(it) => it.observe(value),
            Self::Kswin(it) => Ok(it.observe(value)),
            Self::Ddm(it) => Ok(it.observe(is_wrong(value)?)),
            Self::Eddm(it) => Ok(it.observe(is_wrong(value)?)),
            Self::HddmA(it) => Ok(it.observe(is_wrong(value)?)),
            Self::HddmW(it) => Ok(it.observe(is_wrong(value)?)),
            Self::Fhddm(it) => Ok(it.observe(!is_wrong(value)?)),
        }
    }
}

fn is_wrong(value: f64) -> Result<bool, Unusable> {
    if value == 0.0 || value == 1.0 {
        return Ok(value == 1.0);
    }
    Err(Unusable { value, expected: "0 for a right answer or 1 for a wrong one" })
}

/// The `usual` settings but for those in `set`.
fn settings<S: Serialize + DeserializeOwned>(
    detector: &str,
    usual: S,
    set: &[(String, Value)],
) -> Result<S, DetectorError> {
    let kind = |error: serde_json::Error| DetectorError::Kind {
        detector: detector.to_owned(),
        reason: error.to_string(),
    };
    let mut all: Map<String, Value> =
        serde_json::to_value(usual).and_then(serde_json::from_value).map_err(kind)?;
    for (setting, value) in set {
        let Some(slot) = all.get_mut(setting) else {
            let known = all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let (detector, setting) = (detector.to_owned(), setting.clone());
            return Err(DetectorError::NoSetting { detector, setting, known });
        };
        *slot = value.clone();
    }
    serde_json::from_value(Value::Object(all)).map_err(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right and wrong answers, of which `share` in a hundred are wrong, in an order that says nothing.
    fn answers(count: u32, share: u32) -> impl Iterator<Item = f64> {
        (0..count).map(move |at| f64::from(u8::from((at * 37 + 11) % 100 < share)))
    }

    #[test]
    fn every_detector_finds_a_model_that_breaks_and_goes_on_from_what_was_stored() {
        for name in NAMES {
            // A known level, for the one that must be told of it.
            let set = if name == "cusum" {
                vec![("target".to_owned(), 0.1.into()), ("deviation".to_owned(), 0.3.into())]
            } else {
                Vec::new()
            };
            let mut whole = Detector::named(name, &set).unwrap();
            assert_eq!(whole.name(), name);
            let mut parted = whole.clone();
            let values: Vec<f64> = answers(3_000, 10).chain(answers(3_000, 70)).collect();
            let mut found = Vec::new();
            for (at, value) in values.iter().enumerate() {
                let signal = whole.observe(*value).unwrap();
                if at % 500 == 0 {
                    let stored = serde_json::to_string(&parted).unwrap();
                    parted = serde_json::from_str(&stored).unwrap();
                }
                assert_eq!(parted.observe(*value).unwrap(), signal, "{name} at {at}");
                if signal == Signal::Change {
                    found.push(at);
                }
            }
            assert!(found.iter().any(|at| (3_000..3_400).contains(at)), "{name}: {found:?}");
            assert_eq!(whole.observe(f64::NAN), Ok(Signal::Stable));
        }
    }

    #[test]
    fn every_detector_watches_on_after_a_change() {
        for name in NAMES {
            let set = if name == "cusum" {
                vec![("target".to_owned(), 0.1.into()), ("deviation".to_owned(), 0.3.into())]
            } else {
                Vec::new()
            };
            let mut detector = Detector::named(name, &set).unwrap();
            assert_eq!(detector.is_learning(), name == "loss-drift");
            let values = answers(3_000, 3).chain(answers(3_000, 50)).chain(answers(1_000, 97));
            let mut found = Vec::new();
            for (at, value) in values.enumerate() {
                if detector.observe(value).unwrap() == Signal::Change {
                    found.push(at);
                    assert_eq!(detector.is_learning(), name == "loss-drift");
                }
            }
            for change in [3_000, 6_000] {
                assert!(found.iter().any(|at| (change..change + 800).contains(at)), "{name}: {found:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        let set = |text: &str, value: Value| vec![(text.to_owned(), value)];
        for (name, set, words) in [
            ("adwinn", vec![], ["`adwinn`", "page-hinkley"]),
            ("adwin", set("alpha", 0.1.into()), ["no setting `alpha`", "delta"]),
            ("adwin", set("delta", "small".into()), ["adwin", "small"]),
            ("loss-drift", set("alpha", 2.into()), ["alpha is 2", "below 1"]),
        ] {
            let told = Detector::named(name, &set).unwrap_err().to_string();
            assert!(words.iter().all(|word| told.contains(word)), "{told}");
        }
        let mut ddm = Detector::named("ddm", &[]).unwrap();
        let told = ddm.observe(0.5).unwrap_err().to_string();
        assert!(told.contains("0.5") && told.contains("1 for a wrong one"), "{told}");
    }
}
