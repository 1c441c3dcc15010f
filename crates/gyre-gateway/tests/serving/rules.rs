//! What a version's features may hold: refused, told, or replaced, and counted.

use gyre_core::spec::{Features, Odd, OnOdd, Project};
use gyre_gateway::rules::Trained;
use gyre_gateway::{Answers, FeatureRule, FeatureRules, Gateway, InferError, Refusal};
use gyre_stats::profile::{CategoricalReference, ColumnReference, NumericReference};

use super::*;

/// Rows with distances of 100 to 200, hours of which some are missing, and the carriers AA (most), UA and DL.
fn trained() -> Trained {
    let numbers = |values: Vec<f64>| ColumnReference::Numeric(NumericReference::from_values(&values));
    let carriers = (0..100).map(|row| {
        Some(if row % 10 == 0 {
            "UA"
        } else if row % 7 == 0 {
            "DL"
        } else {
            "AA"
        })
    });
    [
        ("distance", numbers((100..=200).map(f64::from).collect())),
        (
            "hour",
            numbers((0..100).map(|row| if row < 10 { f64::NAN } else { f64::from(row % 24) }).collect()),
        ),
        ("carrier", ColumnReference::Categorical(CategoricalReference::from_values(carriers))),
    ]
    .map(|(name, reference)| (name.to_owned(), reference))
    .into()
}

/// What `gyre.yaml` says of features, in its own words.
fn declared(features: &str) -> Features {
    let text = format!(
        "version: 1\nproject: p\npipeline: dvc.yaml\ndata: {{d: {{source: d.csv}}}}\nmodels:\n  air-time:\n    task: regression\n    \
         target: y\n    artifact: m.onnx\n    metric: mae\n    train: {{data: d}}\n    features: {features}\n"
    );
    let project = Project::parse("gyre.yaml", &text).unwrap_or_else(|wrong| panic!("{wrong:?}"));
    project.models[&name()].features.clone()
}

fn under(dir: &Path, features: &str, trained: Option<&Trained>) -> Gateway {
    let gateway = gateway_with(dir, LogOptions::default());
    let rules = FeatureRules::new(&regression_signature(), &declared(features), trained);
    gateway.load(&name(), 1, regression_signature(), &regression(1.0)).unwrap();
    gateway.set_feature_rules(&name(), 1, rules);
    gateway.set_traffic(&name(), &[(1, 10_000)], 1).unwrap();
    gateway
}

fn rows(rows: &[(f64, Option<f64>, Option<&str>)]) -> Request {
    let hours: Vec<Option<f64>> = rows.iter().map(|row| row.1).collect();
    Request {
        ids: (0..rows.len()).map(|row| format!("id-{row}").into()).collect(),
        key: None,
        headers: Default::default(),
        time: at(0),
        inputs: vec![
            Input::numbers("distance", rows.iter().map(|row| row.0).collect()),
            Input::optional_numbers("hour", &hours),
            Input::texts("carrier", rows.iter().map(|row| row.2.map(Into::into)).collect()),
        ],
    }
}

fn ask(gateway: &Gateway, request: Request) -> Result<Answers, InferError> {
    let later = gyre_backend::Instant::now() + std::time::Duration::from_secs(10);
    pollster::block_on(gateway.ask("air-time", None, request, later))
}

fn told(answers: &Answers) -> Vec<(&str, Odd, bool, usize, usize)> {
    answers.odd.iter().map(|odd| (&*odd.feature, odd.odd, odd.imputed, odd.rows, odd.first)).collect()
}

fn counted(gateway: &Gateway, version: u32) -> Vec<(String, u64, u64)> {
    let one = |rule: FeatureRule| (rule.feature.to_string(), rule.odd_values, rule.missing_values);
    gateway.feature_rules("air-time", version).unwrap().into_iter().map(one).collect()
}

const GOOD: (f64, Option<f64>, Option<&str>) = (150.0, Some(1.0), Some("AA"));

#[test]
fn what_training_never_saw_is_answered_counted_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = under(dir.path(), "{}", Some(&trained()));
    let odd = [GOOD, (99.0, Some(2.0), Some("ZZ")), (200.0, Some(3.0), None), (1e9, Some(23.0), Some("UA"))];
    let answers = ask(&gateway, rows(&odd)).unwrap();
    assert_eq!(answers.len(), 4);
    let expected = [
        ("distance", Odd::OutOfRange, false, 2, 1),
        ("carrier", Odd::Unseen, false, 1, 1),
        ("carrier", Odd::Missing, false, 1, 2),
    ];
    assert_eq!(told(&answers), expected);
    assert!(ask(&gateway, rows(&[GOOD])).unwrap().odd.is_empty());
    let expected = [("distance", 2, 0), ("hour", 0, 0), ("carrier", 1, 1)];
    assert_eq!(counted(&gateway, 1), expected.map(|(name, odd, missing)| (name.to_owned(), odd, missing)));
    let hour = &gateway.feature_rules("air-time", 1).unwrap()[1];
    assert_eq!(hour.on_missing, OnOdd::Ignore, "hours were missing in training too; carriers never were");
    gateway.flush("air-time").unwrap();
    assert_eq!(gateway.scan("air-time", period(-1, 1)).unwrap().len(), 4, "the log has the rows, once an id");
}

#[test]
fn nothing_is_odd_where_nothing_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = under(dir.path(), "{}", None);
    assert!(ask(&gateway, rows(&[(-1e9, Some(1.0), None)])).unwrap().odd.is_empty());
    assert!(counted(&gateway, 1).is_empty());
}

#[test]
fn single_precision_does_not_leave_the_range() {
    let dir = tempfile::tempdir().unwrap();
    let features = "{columns: {distance: {range: [0.1, 0.7], on_out_of_range: reject}}}";
    let gateway = under(dir.path(), features, None);
    for end in [0.1_f32, 0.7] {
        ask(&gateway, rows(&[(f64::from(end), Some(1.0), None)])).unwrap();
    }
    ask(&gateway, rows(&[(0.701, Some(1.0), None)])).unwrap_err();
}

#[test]
fn a_value_to_be_rejected_refuses_the_request_whole_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let features = "{on_unseen: reject, on_missing: reject, \
                     columns: {distance: {range: [0, 6000], on_out_of_range: reject}, hour: {on_missing: ignore}}}";
    let gateway = under(dir.path(), features, Some(&trained()));
    for (row, expected) in [
        (
            (6001.5, Some(1.0), Some("AA")),
            "air-time (version 1): feature `distance`, row 1: 6001.5 is out of range; expected 0 to 6000",
        ),
        (
            (50.0, Some(1.0), Some("AB")),
            "air-time (version 1): feature `carrier`, row 1: `AB` is not known; expected one of AA, DL, UA, as in training; \
             did you mean `AA`?",
        ),
        (
            (50.0, Some(1.0), None),
            "air-time (version 1): feature `carrier`, row 1: nothing was given; expected one of AA, DL, UA, as in training",
        ),
    ] {
        let refused = ask(&gateway, rows(&[GOOD, row, GOOD])).unwrap_err();
        assert_eq!((refused.status(), refused.to_string().as_str()), (Status::BadRequest, expected));
    }
    let long = "x".repeat(10_000);
    let several =
        ask(&gateway, rows(&[(9e9, None, Some(&long)), (9e9, None, None)])).unwrap_err().to_string();
    assert!(several.ends_with("expected 0 to 6000; 3 more are refused too"), "{several}");
    let one = ask(&gateway, rows(&[(1.0, None, Some(&long))])).unwrap_err().to_string();
    assert!(one.len() < 250, "what was sent is cut: {one}");
    let expected = [("distance", 3, 0), ("hour", 0, 0), ("carrier", 3, 2)];
    assert_eq!(counted(&gateway, 1), expected.map(|(name, odd, missing)| (name.to_owned(), odd, missing)));
    assert_eq!(gateway.flush("air-time").unwrap().durable_records, 0, "nothing of it was logged");
    assert_eq!(gateway.totals("air-time", 1).unwrap().calls(), 0, "nor asked");
    assert!(ask(&gateway, rows(&[(50.0, Some(1.0), Some("UA"))])).unwrap().odd.is_empty());
}

#[test]
fn what_is_imputed_reaches_the_model_and_the_log_keeps_what_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let features = "{on_out_of_range: impute, columns: {hour: {range: [1, 24], on_missing: impute, impute: 2}, \
                     carrier: {on_unseen: impute}}}";
    let gateway = under(dir.path(), features, Some(&trained()));
    let answers = ask(&gateway, rows(&[(9e9, None, Some("ZZ")), (120.0, Some(0.0), Some("AA"))])).unwrap();
    // The median distance is 150, and the model divides it by the hour.
    let outputs: Vec<Value> = answers.iter().map(|answer| answer.output.clone()).collect();
    assert_eq!(outputs, [Value::Number(75.0), Value::Number(60.0)]);
    let expected = [
        ("distance", Odd::OutOfRange, true, 1, 0),
        ("hour", Odd::OutOfRange, true, 1, 1),
        ("hour", Odd::Missing, true, 1, 0),
        ("carrier", Odd::Unseen, true, 1, 0),
    ];
    assert_eq!(told(&answers), expected);
    gateway.flush("air-time").unwrap();
    let scan = gateway.scan("air-time", period(-1, 1)).unwrap();
    assert_eq!(scan.feature("distance"), Some(&Column::Numeric(vec![9e9, 120.0])));
    assert_eq!(scan.feature("carrier"), Some(&Column::Text(vec![Some("ZZ".into()), Some("AA".into())])));
    let Some(Column::Numeric(hours)) = scan.feature("hour") else { panic!() };
    assert!(hours[0].is_nan() && hours[1] == 0.0, "{hours:?}");
    let rules = gateway.feature_rules("air-time", 1).unwrap();
    let shown: Vec<Option<Value>> = rules.into_iter().map(|rule| rule.impute).collect();
    let expected = [Value::Number(150.0), Value::Number(2.0), Value::Text("AA".into())];
    assert_eq!(shown, expected.map(Some));
}

#[test]
fn a_value_that_nobody_can_replace_is_refused_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = under(dir.path(), "{columns: {distance: {range: [0, 9], on_out_of_range: impute}}}", None);
    let refused = ask(&gateway, rows(&[(10.0, Some(1.0), None)])).unwrap_err();
    assert!(
        matches!(&refused, InferError::Refused { refusal: Refusal::Odd(rejected), .. } if rejected.unknown)
    );
    assert!(refused.to_string().contains("say `impute: VALUE` in gyre.yaml"), "{refused}");
    ask(&gateway, rows(&[(9.0, Some(1.0), None)])).unwrap();
}

#[test]
fn the_rules_of_the_version_that_answers_count() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = under(dir.path(), "{}", Some(&trained()));
    let strict = declared("{columns: {distance: {range: [0, 1], on_out_of_range: reject}}}");
    let rules = FeatureRules::new(&regression_signature(), &strict, None);
    gateway.load(&name(), 2, regression_signature(), &regression(2.0)).unwrap();
    gateway.set_feature_rules(&name(), 2, rules);
    let shares = [(1, 9_000), (2, 1_000)];
    gateway.set_traffic(&name(), &shares, 1).unwrap();
    let split = Split::new("air-time", &shares, 1);
    let mut refused = 0;
    for id in ids(500) {
        let mut request = rows(&[GOOD]);
        request.ids = vec![id.as_str().into()];
        let is_refused = ask(&gateway, request).is_err();
        assert_eq!(is_refused, split.version_for(&id) == 2, "{id}");
        refused += u64::from(is_refused);
        if gateway.traffic("air-time").unwrap().weights == [(1, 10_000)] {
            break;
        }
    }
    // A candidate that refuses what the champion takes is worse for its callers, and the trial says so.
    assert!((1..=3).contains(&refused), "{refused}");
    assert_eq!(counted(&gateway, 2), [("distance".to_owned(), refused, 0)]);
    let batch: Vec<_> = (0..50).map(|_| GOOD).collect();
    gateway.set_traffic(&name(), &[(1, 10_000)], 1).unwrap();
    gateway.set_traffic(&name(), &[(1, 5_000), (2, 5_000)], 1).unwrap();
    let before = gateway.totals("air-time", 1).unwrap().rows;
    ask(&gateway, rows(&batch)).unwrap_err();
    assert_eq!(
        gateway.totals("air-time", 1).unwrap().rows,
        before,
        "a batch is refused before any row is asked"
    );
}

#[test]
fn rules_that_say_the_same_go_on_counting_and_others_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = under(dir.path(), "{}", Some(&trained()));
    ask(&gateway, rows(&[(1.0, Some(1.0), Some("AA"))])).unwrap();
    let of =
        |features: &str| FeatureRules::new(&regression_signature(), &declared(features), Some(&trained()));
    gateway.set_feature_rules(&name(), 1, of("{}"));
    assert_eq!(counted(&gateway, 1)[0], ("distance".to_owned(), 1, 0));
    gateway.set_feature_rules(&name(), 1, of("{on_out_of_range: reject}"));
    assert_eq!(counted(&gateway, 1)[0], ("distance".to_owned(), 0, 0));
    ask(&gateway, rows(&[(1.0, Some(1.0), Some("AA"))])).unwrap_err();
}
