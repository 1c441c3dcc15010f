//! Whether a `gyre.yaml` that has the right shape makes sense: names that must exist do, metrics fit tasks, gates
//! name what is measured.

use serde_json::json;
use serde_saphyr::Location;

use super::{Model, Project};
use crate::expr::{ExprError, Expression, HEADER, Measured};
use crate::fact::{MOST_RULES, SplitRules};
use crate::{Diagnostic, ModelName};

/// Most features that `monitor.segments` may name.
const MOST_SEGMENTS: usize = 10;

/// What gate expressions may name under `candidate` and `champion`.
pub const KNOWN_MEASURES: [&str; 9] = [
    "mae",
    "rmse",
    "log_loss",
    "error_rate",
    "rows",
    "latency_p50_ms",
    "latency_p99_ms",
    "size_mib",
    "fairness",
];

/// What is measured of a candidate and the champion on the same rows, under `comparison`.
const COMPARISON: [&str; 4] = ["gain", "p", "rows", "days"];

/// What is measured per protected attribute, under `candidate.fairness.COLUMN`.
const FAIRNESS: [&str; 6] = [
    "disparate_impact",
    "four_fifths",
    "demographic_parity",
    "equal_opportunity",
    "equalized_odds",
    "smallest_group",
];

/// What `rollback_on` may name.
const ROLLOUT: [&str; 19] = [
    "requests",
    "errors",
    "latency_p50_ms",
    "latency_p99_ms",
    "errors_p",
    "champion_requests",
    "champion_errors",
    "slowdown",
    "mirrored",
    "disagreement",
    "difference",
    "labels",
    "champion_labels",
    "step_labels",
    "metric",
    "champion_metric",
    "worse_p",
    "prediction_drift",
    "input_drift",
];

/// Of those, what only a shadow shows.
const SHADOW: [&str; 3] = ["mirrored", "disagreement", "difference"];

/// Everything that makes no sense in `project`.
pub fn check(file: &str, project: &Project) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    if project.version.value != 1 {
        let message = format!("version {} is not known to this gyre", project.version.value);
        wrong.push(placed(Diagnostic::new(file, message), project.version.referenced).expected("version: 1"));
    }
    for (name, dataset) in &project.data {
        for check in dataset.checks.iter() {
            let say =
                |text: &str| placed(Diagnostic::new(file, format!("data.{name}: {text}")), check.referenced);
            let about_column = check.value.kind.is_some()
                || check.value.range.is_some()
                || check.value.nulls.is_some()
                || check.value.one_of.is_some()
                || check.value.unique;
            if about_column && check.value.column.is_none() {
                wrong.push(say("this check is about a column but names none").help("add `column: NAME`"));
            }
            if check.value.range.is_some_and(|(low, high)| low > high) {
                wrong.push(
                    say("the range's lower bound is above its upper bound").expected("range: [low, high]"),
                );
            }
            if check.value.nulls.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
                wrong.push(say("`nulls` is a share of rows").expected("a number from 0 to 1"));
            }
        }
    }
    for (name, model) in &project.models {
        check_model(file, project, name.as_str(), model, &mut wrong);
    }
    for (name, receiver) in &project.notify {
        super::notify::check(file, name, receiver, &mut wrong);
        let place = receiver.url.as_ref().or(receiver.url_from.as_ref()).map(|of| of.referenced);
        for model in receiver.models.iter().filter(|model| !project.models.contains_key(*model)) {
            let text = format!("notify.{name}: there is no model `{model}`");
            let known = project.models.keys().map(ModelName::as_str);
            let wrong_name = placed(Diagnostic::new(file, text), place.unwrap_or(Location::UNKNOWN));
            wrong.push(wrong_name.nearest(model.as_str(), known));
        }
    }
    wrong
}

fn check_model(file: &str, project: &Project, name: &str, model: &Model, wrong: &mut Vec<Diagnostic>) {
    let say = |text: String, place: Location| {
        placed(Diagnostic::new(file, format!("models.{name}: {text}")), place)
    };
    let data = &model.train.data;
    if !project.data.contains_key(&data.value) {
        let names: Vec<&str> = project.data.keys().map(String::as_str).collect();
        wrong.push(
            say(format!("there is no dataset `{}`", data.value), data.referenced)
                .expected(format!("one of {}", names.join(", ")))
                .nearest(&data.value, names.iter().copied()),
        );
    }
    let key = project.data.get(&data.value).and_then(|dataset| dataset.key.as_ref());
    if let (Some(join), Some(key)) = (&model.labels.join, key)
        && join != key
    {
        let text = format!("labels are joined by `{join}`, but the key of `{}` is `{key}`", data.value);
        wrong.push(say(text, data.referenced).expected(format!("labels: {{join: {key}}}")));
    }
    if project.pipeline.is_none() {
        wrong.push(
            say("no pipeline trains it".to_owned(), model.artifact.referenced)
                .help("add `pipeline: dvc.yaml` at the top of the file"),
        );
    }
    if !model.metric.fits(model.task) {
        let task = format!("{:?}", model.task).to_lowercase();
        let text = format!("the metric `{}` does not measure {task} predictions", model.metric.name());
        wrong.push(
            say(text, model.artifact.referenced)
                .expected("mae or rmse for regression; log_loss or error_rate for binary and multiclass"),
        );
    }
    if model.train.holdout.every < 2 {
        wrong.push(
            say("train.holdout.every would withhold every row".to_owned(), data.referenced)
                .expected("2 or more"),
        );
    }
    if model.deploy.steps.last().is_none_or(|last| last.basis_points() != 10_000) {
        wrong.push(
            say("the last step of the rollout is not 100%".to_owned(), model.deploy.strategy.referenced)
                .expected("steps: [5%, 25%, 50%, 100%]"),
        );
    }
    if !model.deploy.steps.is_sorted_by(|a, b| a.basis_points() < b.basis_points()) {
        wrong.push(
            say("the steps of the rollout do not rise".to_owned(), model.deploy.strategy.referenced)
                .expected("steps: [0%, 5%, 25%, 50%, 100%], where 0% asks the candidate beside the champion"),
        );
    }
    let alpha = &model.deploy.alpha;
    if !(alpha.value > 0.0 && alpha.value <= 0.5) {
        wrong.push(
            say(format!("deploy.alpha is {}", alpha.value), alpha.referenced)
                .expected("a chance above 0 and at most 0.5, such as 0.01"),
        );
    }
    let unlike_a_plan = |text: &String| text.contains("min_labels") || text.contains("labels_within");
    if let Some(told) = model.deploy.plan().check().err().filter(unlike_a_plan) {
        wrong
            .push(say(told, model.deploy.strategy.referenced).expected("min_labels: 100, labels_within: 7d"));
    }
    let bandit = &model.deploy.bandit;
    let told = match bandit.check() {
        Err(told) => Some(told),
        Ok(()) if !bandit.arms.is_empty() => {
            Some("a rollout's arms are the champion and the candidate; name others with `gyre traffic MODEL --bandit`".to_owned())
        }
        Ok(()) => None,
    };
    if let Some(told) = told {
        wrong.push(
            say(format!("deploy.bandit: {told}"), model.deploy.strategy.referenced)
                .expected("bandit: {floor: 5%, every: 1h, promote_at: 0.99}"),
        );
    }
    for rule in &model.deploy.split {
        if let Err(told) = rule.value.check() {
            wrong.push(
                say(format!("deploy.split: {told}"), rule.referenced).expected("when: \"region == 'EU'\""),
            );
        }
        let asks = Expression::compile(&rule.value.when).is_ok_and(|rule| rule.mentions(HEADER));
        if asks && model.deploy.split_headers.is_empty() {
            let told = format!("`{}` asks for a header, and none is allowed", rule.value.when);
            wrong.push(say(told, rule.referenced).expected("split_headers: [x-region]"));
        }
    }
    let only_headers = SplitRules { rules: Vec::new(), headers: model.deploy.split_headers.clone() };
    if let Err(told) = only_headers.check() {
        let told = format!("deploy.split_headers: {told}");
        wrong.push(say(told, model.deploy.strategy.referenced).expected("split_headers: [x-region]"));
    }
    if model.deploy.split.len() > MOST_RULES {
        let told = format!("deploy.split has {} rules", model.deploy.split.len());
        wrong.push(
            say(told, model.deploy.strategy.referenced).expected(format!("{MOST_RULES} rules at most")),
        );
    }
    if model.monitor.window.as_millis() <= 0 {
        wrong.push(
            say("monitor.window is empty".to_owned(), data.referenced)
                .expected("a length of time such as 7d"),
        );
    }
    for (at, segment) in model.monitor.segments.iter().enumerate() {
        let column = &segment.value.column;
        let mut tell = |told: String, help: String| wrong.push(say(told, segment.referenced).expected(help));
        if model.log.leave_out.iter().any(|left| left.value == *column) {
            let told =
                format!("monitor.segments: `{column}` is left out of the log, from which windows are read");
            tell(told, "a feature whose values are kept".to_owned());
        }
        if model.monitor.segments[..at].iter().any(|other| other.value.column == *column) {
            tell(format!("monitor.segments names `{column}` twice"), "each feature once".to_owned());
        }
        if at == MOST_SEGMENTS {
            let told = format!("monitor.segments has {} features", model.monitor.segments.len());
            tell(told, format!("{MOST_SEGMENTS} at most"));
        }
    }
    for (told, help) in super::quality::check(model) {
        wrong.push(say(told, data.referenced).expected(help));
    }
    if let Some(cache) = &model.serve.cache {
        let most = 10_000_000;
        if !(1..=most).contains(&cache.value.rows) {
            let told = format!("serve.cache.rows is {}", cache.value.rows);
            wrong.push(say(told, cache.referenced).expected(format!("a number of rows from 1 to {most}")));
        }
        if cache.value.span.as_millis() <= 0 {
            let told = "serve.cache.for is no time at all".to_owned();
            wrong.push(say(told, cache.referenced).expected("a length of time such as 5m"));
        }
    }
    if let (Some(left), true) = (model.log.leave_out.first(), model.may_recall()) {
        let told = format!("`{}` is left out of the log, on which a recall compares versions", left.value);
        wrong.push(
            say(told, left.referenced).help("take `recall` out of retrain.candidates, or keep the feature"),
        );
    }
    super::features::check(file, name, &model.features, wrong);
    super::labels::check(file, name, &model.labels, wrong);
    super::retrain::check(file, name, model, wrong);
    let versions = versions_measured(model);
    for gate in &model.gates {
        check_expression(file, &gate.value, gate.referenced, &versions, wrong);
    }
    let rollout: Measured = ROLLOUT.iter().map(|name| ((*name).to_owned(), json!(0.0))).collect();
    for rule in &model.deploy.rollback_on {
        check_expression(file, &rule.value, rule.referenced, &rollout, wrong);
        let mirrored = SHADOW.iter().find(|name| rule.value.contains(**name));
        if let Some(name) = mirrored.filter(|_| !model.deploy.shares().contains(&0)) {
            wrong.push(
                say(format!("`{name}` is measured only in the shadow of the champion"), rule.referenced)
                    .expected("strategy: shadow, or a first step of 0%"),
            );
        }
    }
}

/// Every name that a gate of `model` may use, with a number in its place.
fn versions_measured(model: &Model) -> Measured {
    let fairness: Measured = model
        .protected
        .iter()
        .map(|column| {
            (column.clone(), FAIRNESS.iter().map(|name| ((*name).to_owned(), json!(1.0))).collect())
        })
        .collect();
    let version: serde_json::Value = KNOWN_MEASURES
        .iter()
        .map(|name| {
            let value = if *name == "fairness" { json!(fairness) } else { json!(1.0) };
            ((*name).to_owned(), value)
        })
        .collect();
    let comparison = COMPARISON.iter().map(|name| ((*name).to_owned(), json!(1.0))).collect();
    [("candidate", version.clone()), ("champion", version), ("comparison", comparison)]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn check_expression(
    file: &str,
    source: &str,
    place: Location,
    known: &Measured,
    wrong: &mut Vec<Diagnostic>,
) {
    let outcome = Expression::compile(source).and_then(|expression| expression.holds(known));
    let Err(error) = outcome else { return };
    let diagnostic = placed(Diagnostic::new(file, error.to_string()), place);
    wrong.push(match error {
        ExprError::Unknown { name } => {
            let all = known
                .keys()
                .map(String::as_str)
                .chain(KNOWN_MEASURES)
                .chain(COMPARISON)
                .chain(FAIRNESS)
                .chain(ROLLOUT);
            diagnostic
                .expected(format!("names under {}", known.keys().cloned().collect::<Vec<_>>().join(", ")))
                .nearest(&name, all)
        }
        _ => diagnostic.expected("an expression such as candidate.mae <= champion.mae"),
    });
}

fn placed(diagnostic: Diagnostic, place: Location) -> Diagnostic {
    diagnostic.at(place.line(), place.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
version: 1
project: flights
data:
  flights:
    source: data/flights.parquet
    time: scheduled_departure
    checks:
      - {column: distance, type: int, range: [1, 6000], nulls: 0}
      - {column: origin, in: [EWR, JFK]}
pipeline: dvc.yaml
models:
  air-time:
    task: regression
    target: air_time
    artifact: out/model.onnx
    metric: mae
    train: {data: flights, window: 56d}
    labels: {source: {postgres: GYRE_LABELS_DB, query: \"SELECT * FROM t WHERE at > $since\", time: at}}
    gates:
      - candidate.mae <= champion.mae
    deploy: {strategy: canary, steps: [5%, 100%], rollback_on: [\"errors > 0.01\"]}
    features:
      on_unseen: impute
      columns:
        distance: {range: [0, 6000], on_out_of_range: reject, on_missing: impute, impute: median}
        origin: {in: [EWR, JFK]}
    retrain:
      when: [decay, drift]
      candidates: [recall, {window: 28d}, all]
      limit: 3/week
    monitor: {segments: [origin, {distance: [500, 1000]}]}
";

    fn complaint(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        let wrong = Project::parse("gyre.yaml", &GOOD.replace(from, to)).unwrap_err();
        wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_good_file_is_read() {
        let project = Project::parse("gyre.yaml", GOOD).map_err(|wrong| wrong[0].to_string()).unwrap();
        let model = &project.models[&"air-time".parse().unwrap()];
        assert!(model.may_recall());
        assert_eq!(model.windows().map(|w| w.to_string()).collect::<Vec<_>>(), ["28d", "all"]);
        assert_eq!(model.deploy.steps[0].basis_points(), 500);
    }

    #[test]
    fn wrong_input_names_line_found_expected_and_remedy() {
        for (from, to, line, words) in [
            (
                "    metric: mae",
                "    metrik: mae",
                ":16:",
                vec!["unknown key `metrik`", "did you mean `metric`?"],
            ),
            ("metric: mae", "metric: maee", ":16:", vec!["`maee`", "did you mean `mae`?"]),
            ("metric: mae", "metric: log_loss", ":15:", vec!["log_loss", "regression"]),
            ("data: flights,", "data: flight,", ":17:", vec!["`flight`", "did you mean `flights`?"]),
            (
                "champion.mae\n",
                "champion.maee\n",
                ":20:",
                vec!["`maee` is not measured", "did you mean `mae`?"],
            ),
            ("version: 1", "version: 2", ":1:", vec!["version 2", "version: 1"]),
            ("project: flights", "project: [a]", ":2:", vec![]),
            ("window: 56d", "window: 56 days", ":17:", vec!["56 days", "7d"]),
            ("limit: 3/week", "limit: often", ":30:", vec!["often", "3/week"]),
            ("[5%, 100%]", "[5%, 50%]", ":21:", vec!["100%"]),
            ("[5%, 100%]", "[5%, 5%, 100%]", ":21:", vec!["do not rise", "0% asks"]),
            ("[5%, 100%]", "[5%, 100%], alpha: 0", ":21:", vec!["deploy.alpha is 0", "such as 0.01"]),
            ("errors > 0.01", "disagreement > 0.1", ":21:", vec!["only in the shadow", "first step of 0%"]),
            ("errors > 0.01", "metric > 9.0", ":21:", vec!["once there are labels", "min_labels: 100"]),
            (
                "[5%, 100%]",
                "[5%, 100%], split: [{when: \"dest ==\", to: candidate}]",
                ":21:",
                vec!["deploy.split", "cannot read"],
            ),
            (
                "[5%, 100%]",
                "[5%, 100%], split: [{when: \"header['a'] == 'b'\", to: 3}]",
                ":21:",
                vec!["asks for a header", "split_headers: [x-region]"],
            ),
            (
                "[5%, 100%]",
                "[5%, 100%], split: [{when: \"dest == 'SFO'\", to: winner}]",
                ":21:",
                vec!["`winner`", "champion, candidate"],
            ),
            ("errors > 0.01", "errrors > 0.01", ":21:", vec!["errrors", "did you mean `errors`?"]),
            ("[decay, drift]", "[decoy]", ":28:", vec!["decoy", "`drift`, `estimate`"]),
            (
                "[0, 6000]",
                "[9, 1]",
                ":25:",
                vec!["columns.distance: [9, 1] is no range", "range: [low, high]"],
            ),
            ("_range: reject", "_range: refuse", ":25:", vec!["`refuse`", "ignore, warn, reject, impute"]),
            ("impute: median", "impute: -1", ":25:", vec!["`impute: -1` is outside of the range"]),
            ("{in: [EWR, JFK]}", "{in: []}", ":26:", vec!["columns.origin: `in` names the values expected"]),
            ("{in: [EWR, JFK]}", "{in: [A], range: [0, 1]}", ":26:", vec!["a column is one of them"]),
            ("on_unseen: impute", "on_unseeen: warn", ":23:", vec!["did you mean `on_unseen`?"]),
            (
                "on_unseen: impute\n      columns:",
                "columns:\n        carrier: {impute: mode}",
                ":24:",
                vec!["`impute: mode` stands in for nothing", "on_missing: impute"],
            ),
            ("GYRE_LABELS_DB", "postgres://u:secret@h/d", ":18:", vec!["names a variable", "GYRE_LABELS_"]),
            ("GYRE_LABELS_DB", "AWS_SECRET", ":18:", vec!["names a variable", "GYRE_LABELS_"]),
            (" WHERE at > $since", "", ":18:", vec!["would read all labels", "$since"]),
            (", time: at}", "}", ":18:", vec!["`$since` goes on", "time: labelled_at"]),
            ("postgres: GYRE_LABELS_DB", "files: a.csv", ":18:", vec!["files, or by a query"]),
            (
                ", time: at}",
                ", time: at, every: 10ms}",
                ":18:",
                vec!["`every` is too short", "every: 1s, or longer"],
            ),
            ("    target: air_time\n", "", "", vec!["`target` is missing"]),
        ] {
            let text = complaint(from, to);
            assert!(text.contains(&format!("gyre.yaml{line}")), "{to}: {text}");
            assert!(!text.contains("secret"), "{text}");
            for word in words {
                assert!(text.contains(word), "{to}: {text}");
            }
        }
    }

    #[test]
    fn segments_are_features_of_the_log_each_once() {
        let twice = complaint("[origin, {distance", "[distance, {distance");
        assert!(twice.contains("names `distance` twice"), "{twice}");
        let gone = complaint("    monitor: {", "    log: {leave_out: [origin]}\n    monitor: {");
        assert!(gone.contains("`origin` is left out of the log"), "{gone}");
        let unsorted = complaint("[500, 1000]", "[1000, 500]");
        assert!(unsorted.contains("ascending"), "{unsorted}");
    }
}
