//! Rows of a table in, predictions out.
#![allow(clippy::unwrap_used)]

mod support;

use gyre_runtime::proto::{
    DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, StringStringEntryProto,
    TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto, data_type,
};
use gyre_runtime::{
    Column, FEATURES_KEY, FeatureKind, Hints, Model, ScoreError, Scorer, Scores, Table, Task,
};
use prost::Message;
use support::fixture;

fn shop_table() -> Table {
    Table::new([
        ("count", Column::Numeric(vec![1.0, 2.0])),
        ("shop", Column::Text(vec![Some("north".into()), None])),
        ("kind", Column::Text(vec![Some("a".into()), Some("unseen".into())])),
        ("price", Column::Numeric(vec![10.0, f64::NAN])),
        ("weight", Column::Numeric(vec![0.5, -0.5])),
        ("not a feature", Column::Numeric(vec![0.0, 0.0])),
    ])
    .unwrap()
}

fn scorer(name: &str) -> Scorer {
    Scorer::new(Model::load(&fixture(name).model).unwrap()).unwrap()
}

#[test]
fn columns_are_bound_by_name_and_missing_values_pass() {
    let scorer = scorer("skl_hgbr_ordinal");
    let kinds: Vec<(&str, FeatureKind)> = scorer.features().iter().map(|f| (&*f.name, f.kind)).collect();
    use FeatureKind::*;
    assert_eq!(
        kinds,
        [("shop", Text), ("kind", Text), ("price", Numeric), ("weight", Numeric), ("count", Integer)]
    );
    assert_eq!(scorer.task(), Task::Regression);
    assert_eq!(scorer.score(&shop_table()).unwrap().rows(), 2);
}

#[test]
fn a_classifier_gives_labels_and_probabilities_with_or_without_zipmap() {
    let table = shop_table();
    let answers =
        ["skl_logistic3_ordinal", "skl_logistic3_ordinal_zipmap"].map(|n| scorer(n).score(&table).unwrap());
    assert_eq!(answers[0], answers[1]);
    let Scores::Classification { labels, classes, probabilities } = &answers[0] else {
        panic!("{answers:?}")
    };
    assert_eq!(classes.iter().map(|c| &**c).collect::<Vec<_>>(), ["high", "low", "mid"]);
    for (label, row) in labels.iter().zip(probabilities.chunks(3)) {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-5);
        let best = row.iter().copied().fold(0.0, f64::max);
        assert_eq!(row[classes.iter().position(|c| c == label).unwrap()], best);
    }
}

#[test]
fn integer_labels_become_text() {
    let Scores::Classification { labels, classes, .. } =
        scorer("skl_gbc_ordinal").score(&shop_table()).unwrap()
    else {
        panic!("not a classifier")
    };
    assert_eq!(classes.iter().map(|c| &**c).collect::<Vec<_>>(), ["0", "1"]);
    assert!(labels.iter().all(|l| classes.contains(l)));
}

#[test]
fn wrong_columns_are_told_apart() {
    let scorer = scorer("skl_gbr_onehot");
    let with = |name: &str, column: Column| {
        let columns =
            shop_table().columns().iter().filter(|(n, _)| &**n != name).cloned().collect::<Vec<_>>();
        Table::new(columns.into_iter().chain([(name.into(), column)])).unwrap()
    };
    let error = |table: &Table| scorer.score(table).unwrap_err().to_string();
    let empty = Table::new([("shop", Column::Text(vec![]))]).unwrap();
    assert_eq!(error(&empty), r#"feature "kind" is missing"#);
    assert_eq!(
        error(&with("shop", Column::Numeric(vec![1.0, 2.0]))),
        r#"feature "shop" is numeric, expected text"#
    );
    assert_eq!(
        error(&with("count", Column::Numeric(vec![1.0, 2.5]))),
        r#"feature "count", row 1: 2.5 is not a whole number"#
    );
    let missing = error(&with("count", Column::Numeric(vec![f64::NAN, 2.0])));
    assert_eq!(missing, r#"feature "count", row 0: is missing, and the model takes integers here"#);
}

fn matrix_model(note: Option<&str>) -> Model {
    let mut proto = ModelProto::decode(fixture("trees_sum_1").model.as_slice()).unwrap();
    if let Some(value) = note {
        proto.metadata_props.push(StringStringEntryProto { key: FEATURES_KEY.into(), value: value.into() });
    }
    Model::load(&proto.encode_to_vec()).unwrap()
}

fn four(values: Vec<f64>) -> Table {
    Table::new(["d", "c", "b", "a"].map(|n| (n, Column::Numeric(values.clone())))).unwrap()
}

#[test]
fn a_matrix_takes_its_columns_from_the_note() {
    let noted = Scorer::new(matrix_model(Some(r#"["a","b","c","d"]"#))).unwrap();
    let given = Scorer::with_features(matrix_model(None), &["a", "b", "c", "d"]).unwrap();
    let table = four(vec![0.3, -1.0, f64::NAN]);
    assert_eq!(noted.score(&table).unwrap(), given.score(&table).unwrap());
    let text = Scorer::new(matrix_model(None)).unwrap_err().to_string();
    assert!(text.contains(FEATURES_KEY), "{text}");
    assert!(Scorer::new(matrix_model(Some(r#"["a"]"#))).unwrap_err().to_string().contains("takes 4"));
    assert!(Scorer::new(matrix_model(Some("a, b"))).unwrap_err().to_string().contains("JSON array"));
}

#[test]
fn an_answer_that_is_not_finite_is_an_error() {
    let mut proto = ModelProto::decode(fixture("trees_sum_1").model.as_slice()).unwrap();
    let node = &mut proto.graph.as_mut().unwrap().node[0];
    for attribute in node.attribute.iter_mut().filter(|a| a.name == "base_values") {
        attribute.floats = vec![f32::NAN];
    }
    let model = Model::load(&proto.encode_to_vec()).unwrap();
    let scorer = Scorer::with_features(model, &["a", "b", "c", "d"]).unwrap();
    match scorer.score(&four(vec![0.0, 1.0])).unwrap_err() {
        ScoreError::NonFinite { row: 0, count: 2, rows: 2, value } => assert!(value.is_nan()),
        other => panic!("{other}"),
    }
}

#[test]
fn no_rows_give_no_predictions() {
    let table = Table::new(["a", "b", "c", "d"].map(|n| (n, Column::Numeric(vec![])))).unwrap();
    let scorer = Scorer::with_features(matrix_model(None), &["a", "b", "c", "d"]).unwrap();
    assert_eq!(scorer.score(&table).unwrap(), Scores::Regression(vec![]));
}

/// A graph that hands its input of `dims` on through `operators`, as an output of `width` columns.
fn network(dims: &[i64], operators: &[&str], width: i64) -> Vec<u8> {
    let port = |name: &str, dims: &[i64]| {
        let rows = DimensionProto { value: Some(DimensionValue::Name("n".into())) };
        let dim = |size: &i64| DimensionProto { value: Some(DimensionValue::Size(*size)) };
        let shape = TensorShapeProto { dim: std::iter::once(rows).chain(dims.iter().map(dim)).collect() };
        let tensor = TensorTypeProto { elem_type: data_type::FLOAT, shape: Some(shape) };
        let of = TypeProto { value: Some(TypeValue::Tensor(tensor)) };
        ValueInfoProto { name: name.into(), r#type: Some(of) }
    };
    let name = |at: usize| if at == operators.len() { "y".to_owned() } else { format!("v{at}") };
    let node = |(at, operator): (usize, &&str)| NodeProto {
        input: vec![name(at)],
        output: vec![name(at + 1)],
        op_type: (*operator).into(),
        ..NodeProto::default()
    };
    let graph = GraphProto {
        node: operators.iter().enumerate().map(node).collect(),
        input: vec![port("v0", dims)],
        output: vec![port("y", &[width])],
        ..GraphProto::default()
    };
    ModelProto { ir_version: 8, graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

#[test]
fn a_bare_network_has_the_classes_that_its_caller_names() {
    let table = Table::new([("a", Column::Numeric(vec![1.0])), ("b", Column::Numeric(vec![3.0]))]).unwrap();
    let asked = |file: &[u8], classes: &[&str]| {
        let scorer = Scorer::load(file, &Hints { features: &["a", "b"], classes })?;
        let Scores::Classification { labels, probabilities, .. } = scorer.score(&table).unwrap() else {
            panic!("no classes");
        };
        Ok::<_, gyre_runtime::LoadError>((labels[0].to_string(), probabilities))
    };
    let second = 1.0 / (1.0 + (-2f64).exp());
    let softened = ("yes".to_owned(), vec![1.0 - second, second]);
    let close = |found: (String, Vec<f64>), expected: &(String, Vec<f64>)| {
        assert_eq!(found.0, expected.0);
        found.1.iter().zip(&expected.1).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{found:?}"));
    };
    let classes = ["no", "yes"];
    // Scores become probabilities; what are probabilities stays, also behind operators that only carry them.
    close(asked(&network(&[2], &["Identity"], 2), &classes).unwrap(), &softened);
    close(asked(&network(&[2], &["Softmax", "Identity"], 2), &classes).unwrap(), &softened);
    // An image is columns in row-major order.
    close(asked(&network(&[1, 2, 1], &["Flatten"], 2), &classes).unwrap(), &softened);
    let wrong = asked(&network(&[2], &["Identity"], 2), &["a", "b", "c"]).unwrap_err().to_string();
    assert!(wrong.contains("2 columns for 3 classes"), "{wrong}");
    let unnamed = asked(&network(&[2], &["Identity"], 2), &[]).unwrap_err().to_string();
    assert!(unnamed.contains("gyre.classes") && unnamed.contains("--classes"), "{unnamed}");

    // One column is the second class's: its probability, or its log odds.
    let one = |operators: &[&str]| {
        let file = network(&[1], operators, 1);
        let scorer = Scorer::load(&file, &Hints { features: &[], classes: &classes }).unwrap();
        let table = Table::new([("v0", Column::Numeric(vec![2.0]))]).unwrap();
        let Scores::Classification { labels, probabilities, .. } = scorer.score(&table).unwrap() else {
            panic!("no classes");
        };
        (labels[0].to_string(), probabilities)
    };
    close(one(&["Identity"]), &softened);
    close(one(&["Sigmoid"]), &softened);
}
