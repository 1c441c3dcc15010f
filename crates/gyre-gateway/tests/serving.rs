//! What a caller of the gateway sees: who answers, what is refused, and that nothing fails while versions change.

#![allow(clippy::unwrap_used)]

#[path = "serving/rules.rs"]
mod rules;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use gyre_core::expr::Expression;
use gyre_core::fact::Verdict;
use gyre_core::record::{Field, Kind, Route, Signature, Value};
use gyre_gateway::routing::Split;
use gyre_gateway::{
    CachePolicy, Column, InferError, Input, LoadError, LogOptions, Plan, Request, Shown, Status,
    TrafficError, judge,
};
use gyre_runtime::{Feature, FeatureKind, Hints, Scorer, Scores, Table, Task};
use support::*;

fn ids(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("id-{i}")).collect()
}

#[test]
fn the_candidate_gets_its_share_and_keeps_its_ids() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let ids = ids(4_000);
    assert_eq!(share_of(&gateway, 1, &ids), 1.0);
    let mut exposed: Vec<String> = Vec::new();
    for share in [500, 2_500, 5_000, 10_000] {
        gateway.set_traffic(&name(), &[(1, 10_000 - share), (2, share)], 1).unwrap();
        let expected = f64::from(share) / 10_000.0;
        // Four standard deviations of a binomial share at n = 4,000.
        let tolerance = 4.0 * (expected * (1.0 - expected) / 4_000.0).sqrt();
        assert!((share_of(&gateway, 2, &ids) - expected).abs() <= tolerance, "{share}");
        if !exposed.is_empty() {
            assert_eq!(share_of(&gateway, 2, &exposed), 1.0, "an exposed id went back at {share}");
        }
        let answers = ids.iter().map(|id| gateway.infer("air-time", None, request(&[id], 0)).unwrap());
        exposed =
            ids.iter().zip(answers).filter(|(_, a)| a[0].version == 2).map(|(id, _)| id.clone()).collect();
    }
}

#[test]
fn a_batch_over_both_arms_is_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    gateway.set_traffic(&name(), &[(1, 5_000), (2, 5_000)], 1).unwrap();
    let ids = ids(100);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answers = gateway.infer("air-time", None, request(&ids, 0)).unwrap();
    assert_eq!(answers.len(), 100);
    for (row, answer) in answers.iter().enumerate() {
        assert_eq!(answer.output, Value::Number(row as f64 * f64::from(answer.version)), "row {row}");
        let route = if answer.version == 1 { Route::Champion } else { Route::Candidate };
        assert_eq!(answer.route, route);
    }
    assert!(answers.iter().any(|a| a.version == 1) && answers.iter().any(|a| a.version == 2));
    gateway.flush("air-time").unwrap();
    let scan = gateway.scan("air-time", period(0, 1)).unwrap();
    let logged: Vec<_> =
        ids.iter().map(|id| scan.ids.iter().position(|found| **found == **id).unwrap()).collect();
    for (row, at) in logged.into_iter().enumerate() {
        assert_eq!((scan.versions[at], &scan.outputs[at]), (answers[row].version, &answers[row].output));
        let Some(Column::Numeric(distance)) = scan.feature("distance") else { panic!() };
        assert_eq!(distance[at], row as f64);
    }
}

#[test]
fn a_named_version_answers_whatever_the_traffic_is() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let answers = gateway.infer("air-time", Some(3), request(&["a", "b"], 0)).unwrap();
    assert_eq!(
        (answers[1].version, answers[1].route, &answers[1].output),
        (3, Route::Pinned, &Value::Number(3.0))
    );
    let error = gateway.infer("air-time", Some(9), request(&["a"], 0)).unwrap_err();
    assert_eq!(error.to_string(), "version 9 of air-time is not loaded; loaded: 1, 2, 3");
    assert_eq!(error.status(), Status::NotFound);
}

#[test]
fn rows_that_come_again_are_answered_by_what_is_kept_and_are_no_evidence() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let policy = CachePolicy { rows: 1_000, span: std::time::Duration::from_secs(3_600) };
    gateway.set_cache(&name(), Some(policy));
    let cached = |ids: &[&str], version| -> Vec<bool> {
        let answers = gateway.infer("air-time", Some(version), request(ids, 0)).unwrap();
        for (row, answer) in answers.iter().enumerate() {
            assert_eq!(answer.output, Value::Number(row as f64 * f64::from(version)), "row {row}");
        }
        answers.iter().map(|answer| answer.cached).collect()
    };
    // A row's number is its feature, so that the first rows of a longer request are known.
    assert_eq!(cached(&["a", "b"], 1), [false, false]);
    assert_eq!(cached(&["c", "d", "e"], 1), [true, true, false]);
    assert_eq!(cached(&["f"], 1), [true]);
    assert_eq!(cached(&["g"], 2), [false], "another version says something else");
    let (evidence, totals) = (gateway.evidence(&name(), 1).unwrap(), gateway.totals("air-time", 1).unwrap());
    assert_eq!((evidence.requests, totals.rows, totals.succeeded, totals.cached), (3, 3, 2, (3, 3)));
    // All of them are predictions that were given.
    gateway.flush("air-time").unwrap();
    assert_eq!(gateway.scan("air-time", period(0, 1)).unwrap().ids.len(), 7);
    // The same policy once more changes nothing; none forgets all.
    gateway.set_cache(&name(), Some(policy));
    assert_eq!(cached(&["h"], 1), [true]);
    gateway.set_cache(&name(), None);
    assert_eq!(cached(&["i"], 1), [false]);
}

#[test]
fn no_request_fails_and_none_sees_half_a_change_while_traffic_moves() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let (done, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let ids = ids(8);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    let answers = gateway.infer("air-time", None, request(&ids, 0)).unwrap();
                    for (row, answer) in answers.iter().enumerate() {
                        assert_eq!(answer.output, Value::Number(row as f64 * f64::from(answer.version)));
                    }
                    answered.fetch_add(1, SeqCst);
                }
            });
        }
        for round in 0..300_u32 {
            let (old, new) = (1 + round % 3, 1 + (round + 1) % 3);
            gateway.set_traffic(&name(), &[(old, 7_500), (new, 2_500)], old).unwrap();
            gateway.set_traffic(&name(), &[(new, 10_000)], new).unwrap();
            gateway.unload(&name(), old).unwrap();
            gateway.load(&name(), old, regression_signature(), &regression(old as f32)).unwrap();
            let before = answered.load(SeqCst);
            while answered.load(SeqCst) == before {
                std::thread::yield_now();
            }
        }
        done.store(true, SeqCst);
    });
    assert!(answered.load(SeqCst) >= 300);
}

#[test]
fn a_broken_model_is_refused_and_the_champion_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let load = |signature, bytes: &[u8]| gateway.load(&name(), 4, signature, bytes).unwrap_err();
    let mut half = regression(1.0);
    half.truncate(half.len() / 2);
    assert!(matches!(load(regression_signature(), &half), LoadError::Model { .. }));
    assert!(matches!(load(regression_signature(), b"\x80\x04pickle"), LoadError::Model { .. }));
    let mut other = regression_signature();
    other.inputs[1].name = "minute".into();
    assert_eq!(
        load(other, &regression(1.0)).to_string(),
        "version 4 of air-time contradicts its signature: the model reads `hour`, which the signature does not have"
    );
    let mut other = regression_signature();
    other.inputs[2].kind = Kind::Number;
    assert!(matches!(load(other, &regression(1.0)), LoadError::Signature { .. }));
    let changed = gateway.load(&name(), 1, regression_signature(), &regression(5.0)).unwrap_err();
    assert!(matches!(changed, LoadError::Changed { .. }));
    gateway.load(&name(), 1, regression_signature(), &regression(1.0)).unwrap();
    assert_eq!(gateway.versions("air-time"), [1, 2, 3]);
    assert_eq!(gateway.infer("air-time", None, request(&["a"], 0)).unwrap()[0].version, 1);
}

#[test]
fn traffic_moves_only_to_what_can_take_it() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let before = gateway.traffic("air-time").unwrap();
    let moved =
        |weights: &[(u32, u32)], champion| gateway.set_traffic(&name(), weights, champion).unwrap_err();
    assert!(matches!(moved(&[(1, 9_000)], 1), TrafficError::Sum { found: 9_000, .. }));
    assert!(matches!(moved(&[(1, 5_000), (9, 5_000)], 1), TrafficError::NotLoaded { version: 9, .. }));
    assert!(matches!(moved(&[(1, 5_000), (1, 5_000)], 1), TrafficError::Twice { version: 1, .. }));
    assert!(matches!(gateway.unload(&name(), 1), Err(TrafficError::InUse { .. })));
    assert_eq!(gateway.traffic("air-time").unwrap(), before);
    let empty = tempfile::tempdir().unwrap();
    let gateway = gateway_with(empty.path(), LogOptions::default());
    gateway.load(&name(), 1, regression_signature(), &regression(1.0)).unwrap();
    let error = gateway.infer("air-time", None, request(&["a"], 0)).unwrap_err();
    assert_eq!(error.status(), Status::Unavailable);
}

#[test]
fn a_wrong_request_is_refused_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let refused = |change: &dyn Fn(&mut Request)| {
        let mut request = request(&["a", "b"], 0);
        change(&mut request);
        let error = gateway.infer("air-time", None, request).unwrap_err();
        assert_eq!(error.status(), Status::BadRequest);
        error.to_string()
    };
    let nan = |r: &mut Request| r.inputs[0] = Input::numbers("distance", vec![1.0, f64::NAN]);
    assert!(refused(&nan).contains("feature `distance`, row 1"));
    assert!(refused(&|r| drop(r.inputs.pop())).contains("feature `carrier` is missing"));
    let extra = |r: &mut Request| r.inputs.push(Input::numbers("carier", vec![0.0; 2]));
    assert!(refused(&extra).contains("did you mean `carrier`?"));
    assert!(refused(&|r| r.ids.clear()).contains("no rows"));
    let error = gateway.infer("air-tim", None, request(&["a"], 0)).unwrap_err();
    assert_eq!(error.to_string(), "there is no model `air-tim`; did you mean `air-time`?");
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, 0);
    assert_eq!(gateway.evidence(&name(), 1).unwrap().requests, 0, "the version is not to blame");
}

#[test]
fn a_missing_value_is_an_answerable_question() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway_with(dir.path(), LogOptions::default());
    let model = "late".parse().unwrap();
    gateway.load(&model, 1, classifier_signature(), &classifier()).unwrap();
    gateway.set_traffic(&model, &[(1, 10_000)], 1).unwrap();
    let inputs = vec![Input::optional_numbers("delay", &[Some(-2.0), Some(2.0)])];
    let request = Request {
        ids: vec!["a".into(), "b".into()],
        key: None,
        time: at(0),
        inputs,
        headers: Default::default(),
    };
    let answers = gateway.infer("late", None, request).unwrap();
    let classes: Vec<_> = answers.iter().map(|answer| answer.output.clone()).collect();
    assert_eq!(classes, [Value::Text("early".into()), Value::Text("late".into())]);
    assert!((answers[1].scores.iter().sum::<f64>() - 1.0).abs() < 1e-6 && answers[1].scores[1] > 0.9);
    gateway.flush("late").unwrap();
    let before = gateway.scan("late", period(0, 1)).unwrap();
    gateway.log().close_segment("late").unwrap();
    let after = gateway.scan("late", period(0, 1)).unwrap();
    assert_eq!(before, after);
    assert_eq!(after.scores[1], answers[1].scores);
}

#[test]
fn an_answer_that_is_no_number_is_the_versions_error_and_is_not_logged() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    gateway.set_traffic(&name(), &[(1, 5_000), (2, 5_000)], 1).unwrap();
    let all = ids(200);
    let goes_to = |version: u32| {
        let answers =
            all.iter().map(|id| gateway.infer("air-time", None, request(&[id], 0)).unwrap()[0].version);
        let versions: Vec<u32> = answers.collect();
        all.iter()
            .zip(versions)
            .filter(move |(_, v)| *v == version)
            .map(|(id, _)| id.clone())
            .collect::<Vec<_>>()
    };
    let candidates = goes_to(2);
    let logged = gateway.flush("air-time").unwrap().durable_records;
    gateway.reset_evidence(&name(), 2);
    for id in candidates.iter().take(6) {
        let error = gateway.infer("air-time", None, hopeless(id)).unwrap_err();
        assert!(matches!(error, InferError::Model { version: 2, .. }), "{error}");
        assert_eq!(error.status(), Status::Failed);
    }
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, logged);
    let evidence = gateway.evidence(&name(), 2).unwrap();
    assert_eq!((evidence.requests, evidence.errors), (6, 6));
    assert_eq!(gateway.failures("air-time", period(0, 1)).unwrap(), 6);
    assert_eq!(gateway.failures("air-time", period(1, 2)).unwrap(), 0);
    let rules = vec![Expression::compile("errors > 0.01").unwrap()];
    let plan = Plan {
        steps: vec![5_000],
        min_requests: 30,
        rollback_on: rules,
        min_labels: 0,
        labels_within: gyre_core::Span::days(1),
    };
    let shown = Shown { candidate: evidence, ..Shown::default() };
    assert_eq!(judge(&plan, 0, &shown).unwrap().verdict, Verdict::RollBack);
    gateway.set_traffic(&name(), &[(1, 10_000)], 1).unwrap();
    for id in &candidates {
        assert_eq!(gateway.infer("air-time", None, request(&[id], 0)).unwrap()[0].version, 1);
    }
}

#[test]
fn evidence_counts_rows_and_latency() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    gateway.infer("air-time", None, request(&["a", "b", "c"], 0)).unwrap();
    let evidence = gateway.evidence(&name(), 1).unwrap();
    assert_eq!((evidence.requests, evidence.errors), (3, 0));
    assert!(evidence.latency_p99_ms.unwrap() > 0.0);
    gateway.reset_evidence(&name(), 1);
    assert_eq!(gateway.evidence(&name(), 1).unwrap(), Default::default());
    assert!(gateway.evidence(&name(), 9).is_none());
    assert_eq!(gateway.signature("air-time", 1).as_deref(), Some(&regression_signature()));
    assert_eq!(gateway.models(), [name()]);
    let _shared: Arc<gyre_gateway::Gateway> = Arc::new(gateway);
}

#[test]
fn a_failing_candidate_is_out_of_traffic_with_the_request_that_convicts_it() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = serving(dir.path(), LogOptions::default());
    let shares = [(1, 9_000), (2, 1_000)];
    gateway.set_traffic(&name(), &shares, 1).unwrap();
    let split = Split::new("air-time", &shares, 1);
    let mut failures = 0;
    for id in &ids(500) {
        // What the candidate cannot answer fails; the champion is asked what it can answer.
        let doomed = split.version_for(id) == 2;
        let asked = if doomed { hopeless(id) } else { request(&[id], 0) };
        let answered = gateway.infer("air-time", None, asked);
        assert_eq!(answered.is_err(), doomed, "{id}");
        failures += u64::from(doomed);
        if gateway.traffic("air-time").unwrap().weights == [(1, 10_000)] {
            break;
        }
    }
    assert!((1..=3).contains(&failures), "{failures}");
    let finding = gateway.finding(&name(), 2).unwrap();
    assert!(finding.fails_more && finding.failed == (0, failures), "{finding:?}");
    // Whoever still believes in the candidate does not bring it back by moving its share.
    gateway.set_traffic(&name(), &[(1, 5_000), (2, 5_000)], 1).unwrap();
    for id in &ids(200) {
        assert_eq!(gateway.infer("air-time", None, request(&[id], 0)).unwrap()[0].version, 1);
    }
    // Once it is out of the rollout, its next trial is a new one.
    gateway.set_traffic(&name(), &[(1, 10_000)], 1).unwrap();
    gateway.set_traffic(&name(), &shares, 1).unwrap();
    assert!(!gateway.finding(&name(), 2).unwrap().fails_more);
}

#[test]
fn models_of_every_native_format_are_served_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = gateway_with(dir.path(), LogOptions::default());
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gyre-runtime/tests/fixtures/native");
    for (model, file) in [
        ("xgb-json", "xgboost.json"),
        ("xgb-ubj", "xgboost.ubj"),
        ("lightgbm", "lightgbm.txt"),
        ("forest", "forest.skops"),
    ] {
        let artifact = std::fs::read(fixtures.join(file)).unwrap();
        let scorer = Scorer::load(&artifact, &Hints::default()).unwrap();
        let kind = |kind| if kind == FeatureKind::Text { Kind::Text } else { Kind::Number };
        let field = |feature: &Feature| Field { name: feature.name.to_string(), kind: kind(feature.kind) };
        let classes = match scorer.task() {
            Task::Regression => Vec::new(),
            Task::Classification { classes } => classes.iter().map(ToString::to_string).collect(),
        };
        let inputs: Vec<Field> = scorer.features().iter().map(field).collect();
        let signature = Signature { inputs: inputs.clone(), output: "y".into(), classes };
        let name = model.parse().unwrap();
        gateway.load(&name, 1, signature, &artifact).unwrap_or_else(|error| panic!("{file}: {error}"));
        gateway.set_traffic(&name, &[(1, 10_000)], 1).unwrap();
        let input = |field: &Field| match field.kind {
            Kind::Number => Input::numbers(field.name.as_str(), vec![1.0]),
            Kind::Text => Input::texts(field.name.as_str(), vec![None]),
        };
        let row = Request {
            ids: vec!["a".into()],
            key: None,
            time: at(0),
            inputs: inputs.iter().map(input).collect(),
            headers: Default::default(),
        };
        let columns = row.inputs.iter().map(|input| (input.name.clone(), input.values.clone()));
        let scores = scorer.score(&Table::new(columns).unwrap()).unwrap();
        let answer = &gateway.infer(model, None, row).unwrap()[0];
        let expected = match &scores {
            Scores::Regression(values) => Value::Number(values[0]),
            Scores::Classification { labels, .. } => Value::Text(Arc::clone(&labels[0])),
        };
        assert_eq!(answer.output, expected, "{file}");
    }
}
