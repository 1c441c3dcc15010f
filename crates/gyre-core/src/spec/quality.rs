//! `monitor.quality`: what a person expects of a column, where training showed something else, or too little.
//!
//! What is usual is learned from the rows that a version was trained on, so most of it needs no words. But a sensor may be known
//! to reach 60 °C although no training row did, a field may be on its way out, a new carrier may be announced: then the word of
//! whoever knows stands above what was learned. `gyre quality` writes what was learned in this form, to be edited.

use serde::{Deserialize, Serialize};

use super::{Model, Percent};
use crate::fact::Check;

/// The name that stands for every column, and for what is about no column.
pub const EVERY_COLUMN: &str = "*";

/// Most names that may be listed for a column.
const MOST_NAMES: usize = 1_000;

/// What is expected of a column; what is left out was learned from training.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// The largest share of rows without a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<Percent>,
    /// The least and the largest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<(f64, f64)>,
    /// All names that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// What is not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<Check>,
}

/// Everything that makes no sense in what is expected of a model's columns, with what would.
pub(super) fn check(model: &Model) -> Vec<(String, &'static str)> {
    let mut wrong = Vec::new();
    for (column, expected) in &model.monitor.quality {
        let mut say =
            |told: &str, help: &'static str| wrong.push((format!("monitor.quality.{column} {told}"), help));
        if *expected == Expected::default() {
            say("says nothing", "missing, range, names or ignore");
        }
        if column == EVERY_COLUMN
            && (expected.missing.is_some() || expected.range.is_some() || expected.names.is_some())
        {
            say("expects something of every column", "ignore alone; the rest column by column");
        }
        if expected
            .range
            .is_some_and(|(least, most)| !(least.is_finite() && most.is_finite() && least < most))
        {
            say("has a range that holds nothing", "the least and the largest number, such as [-40, 60]");
        }
        if expected.range.is_some() && expected.names.is_some() {
            say("has a range and names", "a range for numbers, or names for text");
        }
        if expected.names.as_ref().is_some_and(|names| names.is_empty() || names.len() > MOST_NAMES) {
            say("lists no names, or too many", "1 to 1000 names");
        }
        if model.log.leave_out.iter().any(|left| left.value == *column) {
            say("is left out of the log, from which windows are read", "a feature whose values are kept");
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Project;

    fn parsed(quality: &str) -> Result<Project, String> {
        let text = format!(
            "version: 1\nproject: p\ndata: {{d: {{source: d.csv, time: at}}}}\npipeline: dvc.yaml\nmodels:\n  m:\n    \
             task: regression\n    target: y\n    artifact: m.onnx\n    metric: mae\n    train: {{data: d}}\n    \
             log: {{leave_out: [secret]}}\n    retrain: {{candidates: [all]}}\n    monitor:\n      quality:\n        {quality}\n"
        );
        Project::parse("gyre.yaml", &text)
            .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn what_is_expected_is_read_as_it_is_written_and_written_as_it_is_read() {
        let project =
            parsed("{wind: {missing: 20%, range: [0, 60]}, carrier: {names: [AA, UA]}, \"*\": {ignore: [repeats, new_names]}}")
                .unwrap();
        let quality = &project.models.values().next().unwrap().monitor.quality;
        let wind = &quality["wind"];
        assert_eq!((wind.missing.unwrap().share(), wind.range), (0.2, Some((0.0, 60.0))));
        assert_eq!(quality["carrier"].names.as_deref().unwrap(), ["AA", "UA"]);
        assert_eq!(quality[EVERY_COLUMN].ignore, [Check::Repeats, Check::NewNames]);
        let written = serde_json::to_string(quality).unwrap();
        assert_eq!(
            &serde_json::from_str::<std::collections::BTreeMap<String, Expected>>(&written).unwrap(),
            quality
        );
    }

    #[test]
    fn what_makes_no_sense_is_told_with_what_would() {
        for (quality, words) in [
            ("{wind: {}}", ["quality.wind says nothing", "ignore"]),
            ("{\"*\": {missing: 5%}}", ["of every column", "ignore alone"]),
            ("{wind: {range: [60, 0]}}", ["holds nothing", "[-40, 60]"]),
            ("{wind: {range: [0, 1], names: [a]}}", ["a range and names", "names for text"]),
            ("{wind: {names: []}}", ["no names", "1 to 1000"]),
            ("{secret: {range: [0, 1]}}", ["is left out of the log", "kept"]),
            ("{wind: {ignore: [everything]}}", ["everything", "stuck"]),
            ("{wind: {missing: 200%}}", ["200%", "from 0% to 100%"]),
        ] {
            let told = parsed(quality).unwrap_err();
            assert!(words.iter().all(|word| told.contains(word)), "{quality}: {told}");
            assert!(told.contains("gyre.yaml:"), "{told}");
        }
    }
}
