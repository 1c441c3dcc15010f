//! A model whose answers are put right by a few numbers is a model like any other.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use gyre_onnxruntime::LocalModel;
use gyre_runtime::{Calibration, Column, Hints, Scores, Table, Task};

/// One tree: 100 up to a size of 50, 200 above.
const TREE: &str = "tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=size rooms
feature_infos=[1:200] [1:9]
tree_sizes=300

Tree=0
num_leaves=2
num_cat=0
split_feature=0
split_gain=1
threshold=49.999999999999993
decision_type=2
left_child=-1
right_child=-2
leaf_value=100 200
leaf_weight=10 10
leaf_count=10 10
internal_value=150
internal_weight=20
internal_count=20
is_linear=0
shrinkage=1


end of trees
";

fn flats() -> Table {
    let column = |values: &[f64]| Column::Numeric(values.to_vec());
    Table::new([("size", column(&[30.0, 80.0])), ("rooms", column(&[1.0, 3.0]))]).unwrap()
}

fn load(file: &[u8]) -> LocalModel {
    LocalModel::load(file, &Hints::default()).unwrap()
}

fn score(model: &LocalModel) -> Scores {
    model.score_within(&flats(), Duration::from_secs(5)).unwrap()
}

#[test]
fn numbers_are_put_right_and_so_is_what_explains_them() {
    let beneath = load(TREE.as_bytes());
    let Scores::Regression(before) = score(&beneath) else { unreachable!() };
    let file = Calibration::Numbers { scale: 1.1, shift: -3.0 }.over(TREE.as_bytes()).unwrap();
    let model = load(&file);
    assert_eq!(model.features(), beneath.features());
    assert_eq!(model.format(), "LightGBM text, calibrated");
    assert!(model.is_native());
    let Scores::Regression(after) = score(&model) else { unreachable!() };
    for (before, after) in before.iter().zip(&after) {
        assert!((after - (1.1 * before - 3.0)).abs() < 1e-9);
    }
    let explained = model.explain(&flats()).unwrap();
    for (row, after) in after.iter().enumerate() {
        let told = explained.base[0] + explained.of(row, 0).iter().sum::<f64>();
        assert!((told - after).abs() < 1e-9, "the parts add up to the answer: {told} {after}");
    }
}

#[test]
fn classes_follow_the_probabilities_that_were_put_right() {
    let tree = TREE
        .replace("objective=regression", "objective=binary sigmoid:1")
        .replace("leaf_value=100 200", "leaf_value=-1 0.5");
    let beneath = load(tree.as_bytes());
    assert!(matches!(beneath.task(), Task::Classification { .. }));
    let file = Calibration::Classes { scale: 1.0, shifts: vec![0.0, -2.0] }.over(tree.as_bytes()).unwrap();
    let (
        Scores::Classification { labels: before, probabilities: p, .. },
        Scores::Classification { labels: after, probabilities: q, .. },
    ) = (score(&beneath), score(&load(&file)))
    else {
        unreachable!()
    };
    assert_eq!((before[1].as_ref(), after[1].as_ref()), ("1", "0"));
    let log_odds = |p: &[f64]| (p[3] / p[2]).ln();
    assert!((log_odds(&q) - (log_odds(&p) - 2.0)).abs() < 1e-9);
    let told = load(&file).explain(&flats()).unwrap_err().to_string();
    assert!(told.contains("ask the version that it is made of"), "{told}");
}

#[test]
fn numbers_that_do_not_fit_the_model_beneath_are_refused() {
    let file = Calibration::Classes { scale: 1.0, shifts: vec![0.0, 1.0] }.over(TREE.as_bytes()).unwrap();
    let error = LocalModel::load(&file, &Hints::default()).unwrap_err();
    assert!(
        error.to_string().contains("it puts classes right, and the model beneath predicts numbers"),
        "{error}"
    );
    let broken = [&b"gyre calibrated model 1\n{\"numbers\": {\"scale\": 1}}\n"[..], TREE.as_bytes()].concat();
    let told = LocalModel::load(&broken, &Hints::default()).unwrap_err().to_string();
    assert!(told.contains("the calibrated model: its second line"), "{told}");
}
