//! When and how a model is repaired.
//!
//! What sets a repair off, what may be done, what it costs, and when it has to wait. Everything that is set off here makes a
//! *candidate*: gates and rollout decide whether it serves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use super::words::WordOrPair;
use super::{Limit, Model, QuietHours, Schedule, Window};
use crate::time::InvalidTime;
use crate::{Diagnostic, Span};

/// When and how a model is repaired.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retrain {
    /// What sets it off.
    pub when: Vec<Trigger>,
    /// What may be done.
    pub candidates: Vec<Candidate>,
    /// Whether a decision to train tries one of the windows among the candidates, or all of them.
    #[serde(rename = "try")]
    pub attempt: Try,
    /// Whether what passed its gates is trained once more, on the withheld rows too, before it takes traffic.
    pub refit: bool,
    /// What it costs.
    pub cost: Cost,
    /// The p-value below which a difference counts: of a decay, of a challenger's gain.
    pub significance: f64,
    /// The least time between two repairs.
    pub cooldown: Span,
    /// The most trainings in a time.
    pub limit: Limit,
    /// When nothing begins: no training, no step of a rollout.
    pub quiet: Spanned<QuietHours>,
    /// After how many setbacks in a row the loop rests, and for how long.
    pub breaker: Spanned<Breaker>,
    /// How long a training may take before it is stopped, by the system's clock.
    pub timeout: Span,
}

impl Default for Retrain {
    fn default() -> Self {
        Self {
            when: vec![Trigger::Decay],
            candidates: vec![Candidate::Recall, Candidate::Train(Window::Last(Span::days(56)))],
            attempt: Try::default(),
            refit: true,
            cost: Cost::default(),
            significance: 0.1,
            cooldown: Span::days(3),
            limit: Limit { count: 3, per: Span::days(7) },
            quiet: unplaced(QuietHours::default()),
            breaker: unplaced(Breaker::default()),
            timeout: Span::hours(1),
        }
    }
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Location::UNKNOWN, Location::UNKNOWN)
}

/// A repair that may be tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Candidate {
    /// Bring back the older version that fits best today.
    Recall,
    /// Put the champion's answers right by the labels of a window, without a training.
    Recalibrate(Span),
    /// Train on a window.
    Train(Window),
}

/// How far back a recalibration looks where nobody says otherwise.
const RECALIBRATION: Span = Span::days(14);

/// How many of the windows one decision to train tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Try {
    /// One; after a refusal the next one's turn comes.
    #[default]
    One,
    /// All; the best that passes its gates goes on.
    All,
}

/// What being wrong and being repaired cost, in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cost {
    /// One training with all that hangs on it.
    pub retrain: f64,
    /// One day on which the model is wrong by its reference loss more than it promised: a model that promised a loss
    /// of 8 and shows 12 costs half of this a day.
    pub error: f64,
}

impl Default for Cost {
    fn default() -> Self {
        Self { retrain: 3.0, error: 1.0 }
    }
}

/// A circuit breaker: what comes to nothing again and again is left for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// After how many setbacks in a row the loop rests: candidates that were refused, or sent back out of a rollout.
    pub after: u32,
    /// How long it rests; then one repair is tried, and if that is a setback too it rests again.
    pub rest: Span,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { after: 5, rest: Span::days(28) }
    }
}

/// What sets a repair off.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// The realised loss got worse.
    Decay,
    /// The inputs moved.
    Drift,
    /// The loss is expected to be worse than promised, before its labels have come.
    Estimate,
    /// There is something new to learn from.
    NewData(NewData),
    /// A moment of the calendar came.
    Schedule(Schedule),
    /// The commit changed, and the pipeline's code with it.
    Code,
}

/// How much has to be new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewData {
    /// So many labelled predictions since the last training.
    Rows(u64),
    /// So long since the last training, and any label since.
    After(Span),
}

impl fmt::Display for NewData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows(rows) => write!(f, "{rows} rows"),
            Self::After(span) => span.fmt(f),
        }
    }
}

impl FromStr for NewData {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = text.strip_suffix("rows").unwrap_or(text).trim();
        if let Ok(rows) = count.parse::<u64>() {
            return if rows > 0 {
                Ok(Self::Rows(rows))
            } else {
                Err("new_data: 0 is always there".to_owned())
            };
        }
        match text.parse::<Span>() {
            Ok(span) if span.as_millis() > 0 => Ok(Self::After(span)),
            _ => Err(format!(
                "`{text}` is no amount of new data (expected rows, such as 5000, or a time since the last training, such as 7d)"
            )),
        }
    }
}

impl Trigger {
    /// How much has to be new, of a trigger that looks at that.
    pub fn new_data(&self) -> Option<NewData> {
        if let Self::NewData(enough) = self { Some(*enough) } else { None }
    }

    /// The moments, of a trigger that goes by the calendar.
    pub fn schedule(&self) -> Option<&Schedule> {
        if let Self::Schedule(schedule) = self { Some(schedule) } else { None }
    }
}

impl<'de> Deserialize<'de> for Trigger {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrPair {
            expecting: "`decay`, `drift`, `estimate`, `code`, `{new_data: 7d}` or `{schedule: \"0 3 * * mon UTC\"}`",
            word: |word| match word {
                "decay" => Some(Self::Decay),
                "drift" => Some(Self::Drift),
                "estimate" => Some(Self::Estimate),
                "code" => Some(Self::Code),
                _ => None,
            },
            pair: |key, value| match key {
                "new_data" => Some(value.parse().map(Self::NewData)),
                "schedule" => Some(value.parse().map(Self::Schedule)),
                _ => None,
            },
        })
    }
}

impl<'de> Deserialize<'de> for Candidate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordOrPair {
            expecting: "`recall`, `recalibrate`, `{recalibrate: 14d}`, `all` or `{window: 28d}`",
            word: |word| match word {
                "recall" => Some(Self::Recall),
                "recalibrate" => Some(Self::Recalibrate(RECALIBRATION)),
                "all" => Some(Self::Train(Window::All)),
                _ => None,
            },
            pair: |key, value| {
                let told = |error: InvalidTime| error.to_string();
                match key {
                    "window" => Some(value.parse().map(Self::Train).map_err(told)),
                    "recalibrate" => Some(value.parse().map(Self::Recalibrate).map_err(told)),
                    _ => None,
                }
            },
        })
    }
}

/// Everything that makes no sense in how `model` is repaired.
pub(super) fn check(file: &str, name: &str, model: &Model, wrong: &mut Vec<Diagnostic>) {
    let retrain = &model.retrain;
    let place = model.train.data.referenced;
    if model.labels.explored.is_some() && !model.labels.caused_by_action {
        let told =
            "labels.explored says where an action was left to chance, but labels.caused_by_action is not set";
        let told = Diagnostic::new(file, format!("models.{name}: {told}")).at(place.line(), place.column());
        wrong.push(told.expected("labels: {caused_by_action: true, explored: COLUMN}"));
    }
    let mut say = |text: &str, place: Location, expected: &str| {
        let told = Diagnostic::new(file, format!("models.{name}.retrain.{text}"));
        wrong.push(told.at(place.line(), place.column()).expected(expected));
    };
    if !(retrain.significance > 0.0 && retrain.significance < 1.0) {
        say("significance is not a p-value", place, "0.1, or 0.05");
    }
    let trains = |trigger: &Trigger| {
        matches!(trigger, Trigger::NewData(_) | Trigger::Schedule(_) | Trigger::Code | Trigger::Estimate)
    };
    if retrain.when.iter().any(trains) && model.windows().next().is_none() {
        say("when sets trainings off, and no window may be trained on", place, "candidates: [{window: 56d}]");
    }
    if retrain.quiet.value.is_always() {
        say(
            "quiet never ends, so nothing would ever begin",
            retrain.quiet.referenced,
            "quiet: [\"22:00-06:00 Europe/Berlin\"]",
        );
    }
    let breaker = retrain.breaker.value;
    if breaker.after == 0 || breaker.rest.as_millis() <= 0 {
        say(
            "breaker would never let the loop work, or never rest",
            retrain.breaker.referenced,
            "breaker: {after: 5, rest: 28d}",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Project;

    fn parsed(retrain: &str) -> Result<Retrain, String> {
        let text = format!(
            "version: 1\nproject: p\ndata: {{d: {{source: d.csv, time: at}}}}\npipeline: dvc.yaml\nmodels:\n  m:\n    \
             task: regression\n    target: y\n    artifact: m.onnx\n    metric: mae\n    train: {{data: d}}\n    retrain:\n{retrain}"
        );
        let project = Project::parse("gyre.yaml", &text);
        let told =
            |wrong: Vec<Diagnostic>| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        project.map_err(told).map(|mut project| {
            let (_, model) = project.models.pop_first().unwrap();
            model.retrain
        })
    }

    #[test]
    fn every_trigger_and_wait_is_read_as_it_is_written() {
        let retrain = parsed(
            "      when: [decay, {new_data: 7d}, {new_data: 5000}, {schedule: \"0 3 * * mon Europe/Berlin\"}, code]
      try: all
      quiet: [\"22:00-06:00 Europe/Berlin\", sat-sun]
      breaker: {after: 3, rest: 14d}\n",
        )
        .unwrap();
        let new: Vec<NewData> = retrain.when.iter().filter_map(Trigger::new_data).collect();
        assert_eq!(new, [NewData::After(Span::days(7)), NewData::Rows(5_000)]);
        let schedules = retrain.when.iter().filter_map(Trigger::schedule).map(ToString::to_string);
        assert_eq!(schedules.collect::<Vec<_>>(), ["0 3 * * mon Europe/Berlin"]);
        assert!(retrain.when.contains(&Trigger::Code));
        assert_eq!(retrain.attempt, Try::All);
        assert!(retrain.quiet.value.covers("2026-11-28T12:00:00Z".parse().unwrap()));
        assert_eq!(retrain.breaker.value, Breaker { after: 3, rest: Span::days(14) });
    }

    #[test]
    fn candidates_are_read_as_they_are_written() {
        let retrain = parsed("      candidates: [recall, recalibrate, {window: 28d}, all]\n").unwrap();
        let train = [Window::Last(Span::days(28)), Window::All].map(Candidate::Train);
        let cheap = [Candidate::Recall, Candidate::Recalibrate(Span::days(14))];
        assert_eq!(retrain.candidates, [cheap, train].concat());
        assert!(retrain.refit, "by default");
        let retrain = parsed("      candidates: [{window: fading 28d}]\n").unwrap();
        assert_eq!(retrain.candidates, [Candidate::Train(Window::Fading(Span::days(28)))]);
        let retrain = parsed("      candidates: [{recalibrate: 3d}]\n      refit: false\n").unwrap();
        assert_eq!((retrain.candidates, retrain.refit), (vec![Candidate::Recalibrate(Span::days(3))], false));
        let told = parsed("      candidates: [calibrate]\n").unwrap_err();
        assert!(told.contains("recalibrate"), "{told}");
    }

    #[test]
    fn what_makes_no_sense_is_told_with_what_would() {
        for (retrain, words) in [
            ("when: [{new_data: 0}]", ["0 is always there", ""]),
            ("when: [{new_data: soon}]", ["no amount of new data", "7d"]),
            ("when: [{schedule: daily}]", ["`daily` is no schedule", "0 3 * * mon Europe/Berlin"]),
            ("when: [weekly]", ["unknown word `weekly`", "schedule"]),
            ("{when: [code], candidates: [recall]}", ["no window may be trained on", "{window: 56d}"]),
            ("quiet: [nights]", ["is no quiet time", "22:00-06:00 Europe/Berlin"]),
            ("quiet: [mon-sun]", ["never ends", "22:00-06:00 Europe/Berlin"]),
            ("breaker: {after: 0}", ["breaker", "after: 5"]),
            ("try: some", ["unknown value `some`", "all"]),
            ("significance: 2", ["not a p-value", "0.05"]),
        ] {
            let line = retrain.strip_prefix('{').map_or_else(
                || format!("      {retrain}\n"),
                |all| {
                    all.trim_end_matches('}')
                        .replace("], ", "]\n      ")
                        .lines()
                        .map(|line| format!("      {}\n", line.trim()))
                        .collect()
                },
            );
            let told = parsed(&line).unwrap_err();
            for word in words {
                assert!(told.contains(word), "{retrain}: {told}");
            }
            assert!(told.contains("gyre.yaml:1"), "it names the line: {told}");
        }
    }
}
