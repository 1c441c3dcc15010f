//! The reference trainer through its public face.
#![allow(clippy::unwrap_used)]

use gyre_baseline::metrics::Metrics;
use gyre_baseline::{Objective, Options, Target, Task, TrainError, TrainTable, Trained, train};
use gyre_runtime::{Column, Model, Scorer, Scores, Table};

/// Reproducible numbers in 0…1.
fn noise(i: usize) -> f64 {
    ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / (1u64 << 24) as f64
}

const SHOPS: [&str; 4] = ["north", "south", "east", "west"];

/// A shop, a price (missing in every ninth row) and a constant; a signal of shop and price; missing prices mean +3.
fn features(rows: std::ops::Range<usize>) -> (Table, Vec<f64>) {
    let shop = |i: usize| SHOPS[(noise(i) * 4.0) as usize];
    let price = |i: usize| if i.is_multiple_of(9) { f64::NAN } else { noise(i + 7_000) * 10.0 };
    let signal = |i: usize| {
        let p = price(i);
        f64::from(u8::from(shop(i) == "north")) * 4.0
            + if p.is_nan() { 3.0 } else { p / 2.0 }
            + noise(i + 90_000) * 0.2
    };
    let text = rows.clone().map(|i| (i % 31 != 0).then(|| shop(i).into())).collect();
    let table = Table::new([
        ("shop", Column::Text(text)),
        ("price", Column::Numeric(rows.clone().map(price).collect())),
        ("constant", Column::Numeric(rows.clone().map(|_| 1.0).collect())),
    ])
    .unwrap();
    (table, rows.map(signal).collect())
}

fn regression(rows: std::ops::Range<usize>) -> TrainTable {
    let (features, signal) = features(rows);
    TrainTable { features, target: Target::Numeric(signal) }
}

fn classes(rows: std::ops::Range<usize>, edges: &[f64]) -> TrainTable {
    let (features, signal) = features(rows);
    let names = ["low", "mid", "top"];
    let label = |s: f64| names[edges.iter().filter(|&&e| s > e).count()].to_owned();
    TrainTable { features, target: Target::Labels(signal.into_iter().map(label).collect()) }
}

fn scorer(trained: &Trained) -> Scorer {
    Scorer::new(Model::load(&trained.onnx).unwrap()).unwrap()
}

#[test]
fn a_regression_learns_categories_and_missing_values() {
    for objective in [Objective::Squared, Objective::Absolute] {
        let options = Options { objective, ..Options::default() };
        let trained =
            train(&regression(0..2000), Task::Regression, &options, Some(&regression(2000..2600))).unwrap();
        let Some(Metrics::Regression { rows: 600, mae, r2: Some(r2), .. }) = trained.holdout else {
            panic!()
        };
        assert!(mae < 0.3 && r2 > 0.9, "{objective:?}: mae {mae}, r2 {r2}");
        let shares: Vec<f64> = trained.importances.iter().map(|i| i.1).collect();
        assert!(
            shares[0] > 0.1
                && shares[1] > 0.1
                && shares[2] == 0.0
                && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9
        );
    }
}

#[test]
fn two_classes() {
    let trained = train(
        &classes(0..2000, &[4.0]),
        Task::Binary,
        &Options::default(),
        Some(&classes(2000..2600, &[4.0])),
    )
    .unwrap();
    let Some(Metrics::Classification { accuracy, log_loss, auc: Some(auc), .. }) = trained.holdout else {
        panic!()
    };
    assert!(accuracy > 0.9 && auc > 0.95 && log_loss < 0.25, "{accuracy} {auc} {log_loss}");
}

#[test]
fn three_classes() {
    let edges = [2.5, 5.0];
    let options = Options { rounds: 40, ..Options::default() };
    let trained =
        train(&classes(0..2000, &edges), Task::Multiclass, &options, Some(&classes(2000..2600, &edges)))
            .unwrap();
    let Some(Metrics::Classification { accuracy, auc: None, .. }) = trained.holdout else { panic!() };
    assert!(accuracy > 0.85, "{accuracy}");
    let Scores::Classification { classes, probabilities, .. } =
        scorer(&trained).score(&features(0..50).0).unwrap()
    else {
        panic!()
    };
    assert_eq!(classes.len(), 3);
    assert!(probabilities.chunks(3).all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-5));
}

#[test]
fn of_several_classes_rows_may_hold_two_and_one_that_comes_later_is_wrong_at_a_finite_price() {
    let (two, three) = (classes(0..2000, &[4.0]), classes(2000..2600, &[4.0, 6.0]));
    let trained = train(&two, Task::Multiclass, &Options::default(), Some(&three)).unwrap();
    assert_eq!(trained.onnx, train(&two, Task::Binary, &Options::default(), None).unwrap().onnx);
    let Scores::Classification { classes, probabilities, labels } =
        scorer(&trained).score(&three.features).unwrap()
    else {
        panic!()
    };
    assert_eq!(classes.iter().map(|class| &**class).collect::<Vec<_>>(), ["low", "mid"]);
    assert!(labels.iter().all(|label| classes.contains(label)));
    assert!(probabilities.chunks(2).all(|row| (row.iter().sum::<f64>() - 1.0).abs() < 1e-6));
    let Some(Metrics::Classification { accuracy, log_loss, .. }) = trained.holdout else { panic!() };
    let Target::Labels(truth) = &three.target else { panic!() };
    let unseen = truth.iter().filter(|label| *label == "top").count() as f64 / truth.len() as f64;
    assert!(unseen > 0.05 && accuracy <= 1.0 - unseen && accuracy > 0.9 - unseen, "{accuracy} {unseen}");
    assert!(log_loss.is_finite() && log_loss > unseen * 30.0, "{log_loss}");
}

#[test]
fn numeric_class_labels_are_named_as_integers() {
    let (features, signal) = features(0..300);
    let target = Target::Numeric(signal.iter().map(|&s| f64::from(u8::from(s > 4.0))).collect());
    let trained = train(&TrainTable { features, target }, Task::Binary, &Options::default(), None).unwrap();
    let model = Model::load(&trained.onnx).unwrap();
    assert_eq!(model.class_labels().iter().map(|c| &**c).collect::<Vec<_>>(), ["0", "1"]);
}

#[test]
fn an_unseen_category_is_treated_as_a_missing_one() {
    let trained = train(&regression(0..2000), Task::Regression, &Options::default(), None).unwrap();
    let row = |shop: Option<&str>| {
        Table::new([
            ("shop", Column::Text(vec![shop.map(Into::into)])),
            ("price", Column::Numeric(vec![5.0])),
            ("constant", Column::Numeric(vec![1.0])),
        ])
        .unwrap()
    };
    let predict = |shop| scorer(&trained).score(&row(shop)).unwrap();
    assert_eq!(predict(Some("nowhere")), predict(None));
    assert_ne!(predict(Some("north")), predict(Some("south")));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_does_not() {
    let with = |seed| {
        train(&regression(0..500), Task::Regression, &Options { seed, ..Options::default() }, None).unwrap()
    };
    assert_eq!(with(1), with(1));
    assert_ne!(with(1).onnx, with(2).onnx);
}

#[test]
fn columns_may_be_named_as_the_graph_names_its_own_values() {
    let names = ["features", "prediction", "encoded_0_0"];
    let features = Table::new(names.map(|n| (n, Column::Text(vec![Some(n.into()), None, None])))).unwrap();
    let table = TrainTable { features, target: Target::Numeric(vec![1.0, 2.0, 3.0]) };
    let trained = train(&table, Task::Regression, &Options::default(), None).unwrap();
    assert_eq!(scorer(&trained).score(&table.features).unwrap().rows(), 3);
}

#[test]
fn tiny_and_constant_data_train() {
    let one = |values: Vec<f64>, target: Vec<f64>| {
        let features = Table::new([("x", Column::Numeric(values))]).unwrap();
        TrainTable { features, target: Target::Numeric(target) }
    };
    let flat = one(vec![1.0; 50], vec![7.0; 50]);
    let trained = train(&flat, Task::Regression, &Options::default(), None).unwrap();
    assert_eq!(scorer(&trained).score(&flat.features).unwrap(), Scores::Regression(vec![7.0; 50]));
    let two = one(vec![0.0, 1.0], vec![-1.0, 1.0]);
    let Scores::Regression(p) = scorer(&train(&two, Task::Regression, &Options::default(), None).unwrap())
        .score(&two.features)
        .unwrap()
    else {
        panic!()
    };
    assert!(p[0] < 0.0 && p[1] > 0.0);
    let nothing = one(vec![f64::NAN; 9], (0..9).map(f64::from).collect());
    assert_eq!(
        scorer(&train(&nothing, Task::Regression, &Options::default(), None).unwrap())
            .score(&nothing.features)
            .unwrap(),
        Scores::Regression(vec![4.0; 9])
    );
}

#[test]
fn what_cannot_be_learnt_from_is_refused_with_its_reason() {
    let refuse = |table: &TrainTable, task| train(table, task, &Options::default(), None).unwrap_err();
    let (features, mut signal) = features(0..20);
    let of = |target| TrainTable { features: features.clone(), target };
    let one_class = refuse(&of(Target::Labels(vec!["yes".into(); 20])), Task::Binary);
    assert_eq!(one_class.to_string(), "the target has 1 classes (yes), the task needs exactly 2");
    assert!(matches!(
        refuse(&of(Target::Numeric(signal.clone())), Task::Binary),
        TrainError::Classes { found: 20, .. }
    ));
    assert_eq!(refuse(&of(Target::Labels(vec!["a".into(); 20])), Task::Regression), TrainError::TargetKind);
    assert!(matches!(
        refuse(&of(Target::Numeric(vec![1.0])), Task::Regression),
        TrainError::TargetLength { .. }
    ));
    signal[3] = f64::NAN;
    signal[5] = f64::INFINITY;
    let missing = refuse(&of(Target::Numeric(signal)), Task::Regression);
    assert!(missing.to_string().starts_with("the target is NaN in row 3 (2 rows in all)"), "{missing}");
    let alone = refuse(&of(Target::Labels(vec!["yes".into(); 20])), Task::Multiclass);
    assert_eq!(alone.to_string(), "the target has 1 classes (yes), the task needs 2 to 100");
    let empty = TrainTable { features: Table::default(), target: Target::Numeric(vec![]) };
    assert!(matches!(refuse(&empty, Task::Regression), TrainError::Empty { rows: 0, columns: 0 }));
    let rate = Options { learning_rate: f64::NAN, ..Options::default() };
    assert!(matches!(
        train(&regression(0..20), Task::Regression, &rate, None),
        Err(TrainError::Option { .. })
    ));
}
