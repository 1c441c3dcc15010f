//! Writes a trained ensemble as an ONNX graph: one input of shape `[n, 1]` a column, categories through a
//! `LabelEncoder` each, all joined to one matrix, and a tree ensemble on it.

use std::sync::Arc;

use gyre_runtime::proto::{
    AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
    attribute_type, data_type,
};
use gyre_runtime::{CLASSES_KEY, FEATURES_KEY};
use prost::Message;

use crate::boost::Ensemble;
use crate::tree::Node;

/// How a column enters the matrix.
pub(crate) enum Entry {
    /// As it is: one feature.
    Number,
    /// Through these tables, one feature each.
    Category(Vec<Vec<(Arc<str>, f32)>>),
}

/// What is exported.
pub(crate) struct Export<'a> {
    /// Columns in the order of the features.
    pub(crate) columns: Vec<(&'a str, Entry)>,
    pub(crate) ensemble: &'a Ensemble,
    /// Classes in order; empty for a regression.
    pub(crate) classes: &'a [Arc<str>],
    pub(crate) rows: usize,
}

/// Key of the note that names the trainer and its version.
const TRAINER_KEY: &str = "gyre.trainer";
/// Key of the note that says how many rows were trained on.
const ROWS_KEY: &str = "gyre.training_rows";

/// The file's bytes.
pub(crate) fn to_onnx(export: &Export<'_>) -> Vec<u8> {
    let mut nodes = Vec::new();
    let mut joined = Vec::new();
    for (i, (name, entry)) in export.columns.iter().enumerate() {
        match entry {
            Entry::Number => joined.push((*name).to_owned()),
            Entry::Category(tables) => {
                for (k, table) in tables.iter().enumerate() {
                    let output = unused(&export.columns, format!("encoded_{i}_{k}"));
                    nodes.push(label_encoder(name, &output, table));
                    joined.push(output);
                }
            }
        }
    }
    let matrix = unused(&export.columns, "features".into());
    let axis = vec![int("axis", 1)];
    nodes.push(node("Concat", "", joined, vec![matrix.clone()], axis));
    let named = |name: &str| unused(&export.columns, name.into());
    let outputs = if export.classes.is_empty() {
        nodes.push(regressor(matrix, named("prediction"), export.ensemble));
        vec![port(named("prediction"), data_type::FLOAT, &[None, Some(1)])]
    } else {
        let classes = export.classes.len() as i64;
        nodes.push(classifier(matrix, [named("label"), named("probabilities")], export));
        vec![
            port(named("label"), data_type::STRING, &[None]),
            port(named("probabilities"), data_type::FLOAT, &[None, Some(classes)]),
        ]
    };
    let input = |(name, entry): &(&str, Entry)| {
        let kind = if matches!(entry, Entry::Number) { data_type::FLOAT } else { data_type::STRING };
        port((*name).to_owned(), kind, &[None, Some(1)])
    };
    let graph = GraphProto {
        node: nodes,
        name: "gyre_baseline".into(),
        input: export.columns.iter().map(input).collect(),
        output: outputs,
        ..Default::default()
    };
    let names: Vec<&str> = export.columns.iter().map(|(name, _)| *name).collect();
    let mut metadata_props = vec![
        note(FEATURES_KEY, serde_json::json!(names).to_string()),
        note(TRAINER_KEY, format!("gyre-baseline {}", env!("CARGO_PKG_VERSION"))),
        note(ROWS_KEY, export.rows.to_string()),
    ];
    if !export.classes.is_empty() {
        metadata_props.push(note(CLASSES_KEY, serde_json::json!(export.classes).to_string()));
    }
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    ModelProto {
        ir_version: 8,
        opset_import: vec![opset("", 17), opset("ai.onnx.ml", 3)],
        producer_name: "gyre-baseline".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        metadata_props,
    }
    .encode_to_vec()
}

/// A name for a value inside the graph that no column has.
fn unused(columns: &[(&str, Entry)], mut name: String) -> String {
    while columns.iter().any(|(column, _)| *column == name) {
        name.push('_');
    }
    name
}

fn label_encoder(input: &str, output: &str, table: &[(Arc<str>, f32)]) -> NodeProto {
    // Without any category known all are unknown; a table must still have a row.
    let nothing = [(Arc::from(""), f32::NAN)];
    let table = if table.is_empty() { &nothing } else { table };
    let keys = table.iter().map(|(key, _)| key.as_bytes().to_vec()).collect();
    let attributes = vec![
        strings("keys_strings", keys),
        floats("values_floats", table.iter().map(|(_, value)| *value).collect()),
        AttributeProto {
            name: "default_float".into(),
            f: f32::NAN,
            r#type: attribute_type::FLOAT,
            ..Default::default()
        },
    ];
    node("LabelEncoder", "ai.onnx.ml", vec![input.into()], vec![output.into()], attributes)
}

fn regressor(input: String, output: String, ensemble: &Ensemble) -> NodeProto {
    let mut lists = TreeLists::default();
    lists.add_all(ensemble);
    let mut attributes = lists.attributes("target");
    attributes.push(int("n_targets", 1));
    attributes.push(floats("base_values", ensemble.base.clone()));
    node("TreeEnsembleRegressor", "ai.onnx.ml", vec![input], vec![output], attributes)
}

/// Two classes are written with both in play, the first at a constant zero: softmax over (0, s) is the logistic function
/// of s. The shorter form with one score leaves it to the runtime to guess from the signs of the weights whether the
/// score is a logit or a probability, and base values with two classes mean different things to different runtimes; so
/// the base goes in as one more leaf.
fn classifier(input: String, outputs: [String; 2], export: &Export<'_>) -> NodeProto {
    let (ensemble, classes) = (export.ensemble, export.classes);
    let mut lists = TreeLists::default();
    let binary = classes.len() == 2;
    if binary {
        lists.add_leaf(&[(0, 0.0), (1, ensemble.base[0])]);
        lists.output_offset = 1;
    }
    lists.add_all(ensemble);
    let mut attributes = lists.attributes("class");
    attributes.push(strings("classlabels_strings", classes.iter().map(|c| c.as_bytes().to_vec()).collect()));
    attributes.push(AttributeProto {
        name: "post_transform".into(),
        s: b"SOFTMAX".to_vec(),
        r#type: attribute_type::STRING,
        ..Default::default()
    });
    if !binary {
        attributes.push(floats("base_values", ensemble.base.clone()));
    }
    node("TreeEnsembleClassifier", "ai.onnx.ml", vec![input], outputs.into(), attributes)
}

/// The attribute lists of a tree ensemble.
#[derive(Default)]
struct TreeLists {
    trees: i64,
    /// Added to the number of a tree's output.
    output_offset: i64,
    tree_ids: Vec<i64>,
    node_ids: Vec<i64>,
    features: Vec<i64>,
    values: Vec<f32>,
    modes: Vec<Vec<u8>>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing: Vec<i64>,
    weight_trees: Vec<i64>,
    weight_nodes: Vec<i64>,
    weight_ids: Vec<i64>,
    weights: Vec<f32>,
}

impl TreeLists {
    /// The ensemble's trees; a lone zero when it has none, since runtimes refuse an ensemble without trees.
    fn add_all(&mut self, ensemble: &Ensemble) {
        for (output, tree) in &ensemble.trees {
            for (id, node) in tree.nodes.iter().enumerate() {
                match *node {
                    Node::Leaf(weight) => {
                        self.node(id, 0, 0.0, b"LEAF", (0, 0), false);
                        self.weight(id, *output as i64 + self.output_offset, weight);
                    }
                    Node::Split { feature, threshold, missing_left, left, right } => {
                        self.node(id, feature, threshold, b"BRANCH_LEQ", (left, right), missing_left);
                    }
                }
            }
            self.trees += 1;
        }
        if self.trees == 0 {
            self.add_leaf(&[(0, 0.0)]);
        }
    }

    fn add_leaf(&mut self, weights: &[(i64, f32)]) {
        self.node(0, 0, 0.0, b"LEAF", (0, 0), false);
        for &(id, weight) in weights {
            self.weight(0, id, weight);
        }
        self.trees += 1;
    }

    fn node(
        &mut self,
        id: usize,
        feature: usize,
        value: f32,
        mode: &[u8],
        (yes, no): (usize, usize),
        missing: bool,
    ) {
        self.tree_ids.push(self.trees);
        self.node_ids.push(id as i64);
        self.features.push(feature as i64);
        self.values.push(value);
        self.modes.push(mode.to_vec());
        self.yes.push(yes as i64);
        self.no.push(no as i64);
        self.missing.push(missing.into());
    }

    fn weight(&mut self, node: usize, id: i64, weight: f32) {
        self.weight_trees.push(self.trees);
        self.weight_nodes.push(node as i64);
        self.weight_ids.push(id);
        self.weights.push(weight);
    }

    /// `prefix` names the weights' attributes: "target" or "class".
    fn attributes(self, prefix: &str) -> Vec<AttributeProto> {
        vec![
            ints("nodes_treeids", self.tree_ids),
            ints("nodes_nodeids", self.node_ids),
            ints("nodes_featureids", self.features),
            floats("nodes_values", self.values),
            strings("nodes_modes", self.modes),
            ints("nodes_truenodeids", self.yes),
            ints("nodes_falsenodeids", self.no),
            ints("nodes_missing_value_tracks_true", self.missing),
            ints(&format!("{prefix}_treeids"), self.weight_trees),
            ints(&format!("{prefix}_nodeids"), self.weight_nodes),
            ints(&format!("{prefix}_ids"), self.weight_ids),
            floats(&format!("{prefix}_weights"), self.weights),
        ]
    }
}

fn node(
    operator: &str,
    domain: &str,
    input: Vec<String>,
    output: Vec<String>,
    attribute: Vec<AttributeProto>,
) -> NodeProto {
    NodeProto {
        input,
        output,
        name: String::new(),
        op_type: operator.into(),
        attribute,
        domain: domain.into(),
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i, r#type: attribute_type::INT, ..Default::default() }
}

fn ints(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto { name: name.into(), ints, r#type: attribute_type::INTS, ..Default::default() }
}

fn floats(name: &str, floats: Vec<f32>) -> AttributeProto {
    AttributeProto { name: name.into(), floats, r#type: attribute_type::FLOATS, ..Default::default() }
}

fn strings(name: &str, strings: Vec<Vec<u8>>) -> AttributeProto {
    AttributeProto { name: name.into(), strings, r#type: attribute_type::STRINGS, ..Default::default() }
}

fn note(key: &str, value: String) -> StringStringEntryProto {
    StringStringEntryProto { key: key.into(), value }
}

fn port(name: String, elem_type: i32, dims: &[Option<i64>]) -> ValueInfoProto {
    let dim = dims.iter().map(|d| DimensionProto { value: d.map(DimensionValue::Size) }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name, r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) }) }
}

#[cfg(test)]
mod tests {
    use gyre_runtime::{Column, Model, Scorer, Scores, Table};
    use proptest::prelude::*;

    use super::*;
    use crate::bins::Binned;
    use crate::boost::{Loss, boost};
    use crate::options::Options;

    /// What the trainer itself says of a row: its own trees, walked plainly.
    fn walk(ensemble: &Ensemble, row: &[f32]) -> Vec<f64> {
        let mut scores: Vec<f64> = ensemble.base.iter().map(|&b| b.into()).collect();
        for (output, tree) in &ensemble.trees {
            let mut at = 0;
            let value = loop {
                match tree.nodes[at] {
                    Node::Leaf(value) => break value,
                    Node::Split { feature, threshold, missing_left, left, right } => {
                        let x = row[feature];
                        let goes_left = if x.is_nan() { missing_left } else { x <= threshold };
                        at = if goes_left { left } else { right };
                    }
                }
            };
            scores[*output] += f64::from(value);
        }
        scores
    }

    fn probabilities(scores: &[f64]) -> Vec<f64> {
        let scores = if let [s] = scores { vec![0.0, *s] } else { scores.to_vec() };
        let sum: f64 = scores.iter().map(|s| s.exp()).sum();
        scores.iter().map(|s| s.exp() / sum).collect()
    }

    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![3 => (-5i8..5).prop_map(f32::from), 3 => -5.0f32..5.0, 1 => Just(f32::NAN)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// The exported file, run by the engine, answers as the trainer's own trees do, missing values included.
        #[test]
        fn the_engine_answers_as_the_trees_do(
            rows in prop::collection::vec((value(), value(), value()), 12..120), kind in 0usize..4, seed in any::<u16>(),
        ) {
            let columns: Vec<Vec<f32>> = vec![
                rows.iter().map(|r| r.0).collect(),
                rows.iter().map(|r| r.1).collect(),
                rows.iter().map(|r| r.2).collect(),
            ];
            let target = |i: usize, r: &(f32, f32, f32)| {
                let signal = f64::from(if r.0.is_nan() { 2.0 } else { r.0 }) + ((i * 37 + usize::from(seed)) % 5) as f64;
                match kind {
                    0 | 1 => signal,
                    // Every class occurs, whatever the signal.
                    2 => if i < 2 { i as f64 } else { f64::from(u8::from(signal > 2.0)) },
                    _ => if i < 3 { i as f64 } else { signal.clamp(0.0, 2.0).floor() },
                }
            };
            let target: Vec<f64> = rows.iter().enumerate().map(|(i, r)| target(i, r)).collect();
            let loss = [Loss::Squared, Loss::Absolute, Loss::Log(2), Loss::Log(3)][kind];
            let options = Options { rounds: 15, leaf_rows: 2, ..Options::default() };
            let ensemble = boost(&Binned::new(&columns), &target, loss, &options);
            let classes: Vec<Arc<str>> = match loss {
                Loss::Log(k) => (0..k).map(|k| k.to_string().into()).collect(),
                _ => vec![],
            };
            let names = ["a", "b", "c"];
            let entries = names.map(|n| (n, Entry::Number)).into();
            let onnx = to_onnx(&Export { columns: entries, ensemble: &ensemble, classes: &classes, rows: rows.len() });
            let scorer = Scorer::new(Model::load(&onnx).unwrap()).unwrap();
            let table = names.into_iter().zip(&columns)
                .map(|(n, c)| (n, Column::Numeric(c.iter().map(|&x| x.into()).collect())));
            let answers = match scorer.score(&Table::new(table).unwrap()).unwrap() {
                Scores::Regression(values) => values,
                Scores::Classification { probabilities, .. } => probabilities,
            };
            let own = rows.iter().flat_map(|r| {
                let scores = walk(&ensemble, &[r.0, r.1, r.2]);
                if classes.is_empty() { scores } else { probabilities(&scores) }
            });
            for (engine, own) in answers.iter().zip(own) {
                prop_assert!((engine - own).abs() <= 1e-5 * own.abs().max(1.0), "{engine} {own}");
            }
        }
    }
}
