//! Broken and hostile models and inputs are answered with an error, or run; they never panic, hang or take memory.
#![allow(clippy::unwrap_used)]

mod support;

use gyre_runtime::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto, attribute_type,
    data_type,
};
use gyre_runtime::{Batch, Data, LoadError, Model, RunError, Tensor};
use proptest::prelude::*;
use prost::Message;
use support::fixture;

/// Loads and, if that works, runs: what counts is that both return.
fn exercise(bytes: &[u8], batch: &Batch) {
    if let Ok(model) = Model::load(bytes) {
        let _ = model.run(batch);
    }
}

const SMALL: [&str; 5] = [
    "skl_gbc_ordinal_zipmap",
    "trees_sum_1",
    "label_encoder_floats",
    "tensor_operators",
    "skl_logistic_onehot",
];

#[test]
fn every_prefix_of_a_model_is_answered() {
    for name in ["label_encoder_floats", "tensor_operators", "skl_logistic_onehot"] {
        let fixture = fixture(name);
        for length in 0..fixture.model.len() {
            exercise(&fixture.model[..length], &fixture.batch);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn flipped_bytes_are_answered(
        which in 0..SMALL.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let fixture = fixture(SMALL[which]);
        let mut bytes = fixture.model.clone();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exercise(&bytes, &fixture.batch);
    }

    /// Attribute lists of trees, shaken: ids out of range, cycles, lists of other lengths.
    #[test]
    fn shaken_trees_are_answered(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), -3i64..40), 1..5),
        cut in prop::option::of((any::<prop::sample::Index>(), 0usize..20)),
    ) {
        let fixture = fixture("trees_sum_1");
        let mut model = ModelProto::decode(fixture.model.as_slice()).unwrap();
        let attributes = &mut model.graph.as_mut().unwrap().node[0].attribute;
        for (which, at, value) in edits {
            let ints = &mut which.get_mut(attributes.as_mut_slice()).ints;
            if !ints.is_empty() {
                let at = at.index(ints.len());
                ints[at] = value;
            }
        }
        if let Some((which, length)) = cut {
            which.get_mut(attributes.as_mut_slice()).ints.truncate(length);
        }
        exercise(&model.encode_to_vec(), &fixture.batch);
    }

    #[test]
    fn inputs_of_any_shape_and_type_are_answered(
        which in 0..SMALL.len(), rows in 0usize..4, columns in 0usize..6, kind in 0..5, rank in 0usize..3,
    ) {
        let fixture = fixture(SMALL[which]);
        let model = Model::load(&fixture.model).unwrap();
        let dims: &[usize] = &[rows, columns][..rank];
        let n = dims.iter().product();
        let data = match kind {
            0 => Data::F32(vec![f32::NAN; n]),
            1 => Data::F64(vec![f64::INFINITY; n]),
            2 => Data::I64(vec![i64::MIN; n]),
            3 => Data::Str(vec!["".into(); n]),
            _ => Data::Bool(vec![true; n]),
        };
        let tensor = Tensor::new(dims, data).unwrap();
        let batch = model.inputs().iter().fold(Batch::new(), |b, p| b.with(&p.name, tensor.clone()));
        let _ = model.run(&batch);
    }
}

fn matrix_port(name: &str) -> ValueInfoProto {
    let shape = Some(TensorShapeProto { dim: vec![Default::default(), Default::default()] });
    let tensor = TensorTypeProto { elem_type: data_type::FLOAT, shape };
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value: Some(TypeValue::Tensor(tensor)) }) }
}

fn node(operator: &str, domain: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: operator.into(),
        domain: domain.into(),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: outputs.iter().map(|s| s.to_string()).collect(),
        ..Default::default()
    }
}

fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> Vec<u8> {
    let graph = GraphProto {
        node: nodes,
        initializer,
        input: vec![matrix_port("x")],
        output: vec![matrix_port("y")],
        ..Default::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

fn refusal(bytes: &[u8]) -> LoadError {
    Model::load(bytes).map(|_| ()).unwrap_err()
}

#[test]
fn an_unknown_operator_is_named_with_those_that_exist() {
    let text = refusal(&model(vec![node("Loop", "", &["x"], &["y"])], vec![])).to_string();
    assert!(text.contains("ai.onnx::Loop") && text.contains("TreeEnsembleRegressor"), "{text}");
}

#[test]
fn cycles_and_missing_values_are_refused() {
    let cycle = vec![node("Add", "", &["x", "b"], &["a"]), node("Add", "", &["a", "x"], &["b"])];
    assert!(matches!(refusal(&model(cycle, vec![])), LoadError::Graph(_)));
    let twice = vec![node("Identity", "", &["x"], &["y"]), node("Identity", "", &["x"], &["y"])];
    assert!(refusal(&model(twice, vec![])).to_string().contains("made twice"));
    assert!(refusal(&model(vec![], vec![])).to_string().contains("nothing makes the output"));
    assert_eq!(refusal(&[]), LoadError::Empty("graph"));
}

#[test]
fn claimed_sizes_are_not_believed() {
    for dims in
        [vec![i64::MAX, i64::MAX], vec![1 << 40], vec![-1], vec![3], vec![0, i64::MAX, i64::MAX], vec![1; 99]]
    {
        let tensor = TensorProto {
            name: "c".into(),
            dims,
            data_type: data_type::FLOAT,
            raw_data: vec![0; 8],
            ..Default::default()
        };
        let bytes = model(vec![node("Add", "", &["x", "c"], &["y"])], vec![tensor]);
        assert!(matches!(refusal(&bytes), LoadError::Tensor { .. }));
    }
}

#[test]
fn external_data_is_refused() {
    let location = StringStringEntryProto { key: "location".into(), value: "../../etc/passwd".into() };
    let tensor = TensorProto {
        name: "c".into(),
        dims: vec![1],
        data_type: data_type::FLOAT,
        data_location: 1,
        external_data: vec![location],
        ..Default::default()
    };
    let text = refusal(&model(vec![node("Add", "", &["x", "c"], &["y"])], vec![tensor])).to_string();
    assert!(text.contains("another file"), "{text}");
}

#[test]
fn a_tree_that_loops_is_refused() {
    let ints = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        r#type: attribute_type::INTS,
        ..Default::default()
    };
    let mut tree = node("TreeEnsembleRegressor", "ai.onnx.ml", &["x"], &["y"]);
    tree.attribute = vec![
        ints("nodes_treeids", &[0, 0]),
        ints("nodes_nodeids", &[0, 1]),
        ints("nodes_featureids", &[0, 0]),
        ints("nodes_truenodeids", &[1, 0]),
        ints("nodes_falsenodeids", &[1, 0]),
        AttributeProto { name: "nodes_values".into(), floats: vec![0.0; 2], ..Default::default() },
        AttributeProto {
            name: "nodes_modes".into(),
            strings: vec![b"BRANCH_LEQ".to_vec(); 2],
            ..Default::default()
        },
    ];
    let text = refusal(&model(vec![tree], vec![])).to_string();
    assert!(text.contains("cycle"), "{text}");
}

/// Each node doubles its operand: 2⁶⁰ elements, if anyone let it.
#[test]
fn a_graph_that_grows_without_bound_is_stopped() {
    let name = |i: usize| if i == 60 { "y".to_owned() } else { format!("v{i}") };
    let mut nodes = vec![node("Identity", "", &["x"], &["v0"])];
    nodes.extend((0..60).map(|i| node("Concat", "", &[&name(i), &name(i)], &[&name(i + 1)])));
    let model = Model::load(&model(nodes, vec![])).unwrap();
    let x = Tensor::new(&[1, 1], Data::F32(vec![1.0])).unwrap();
    let error = model.run(&Batch::new().with("x", x)).unwrap_err();
    assert!(matches!(error, RunError::Node { .. } | RunError::TooLarge { .. }), "{error}");
}

#[test]
fn wrong_inputs_say_what_is_expected() {
    let fixture = fixture("trees_sum_1");
    let model = Model::load(&fixture.model).unwrap();
    let column = |data| Tensor::column(data);
    let text = |batch: Batch| model.run(&batch).unwrap_err().to_string();
    assert_eq!(text(Batch::new()), r#"input "x" is missing"#);
    assert_eq!(
        text(Batch::new().with("z", column(Data::F32(vec![])))),
        r#"the model has no input "z"; it has x"#
    );
    let strings = Batch::new().with("x", column(Data::Str(vec!["a".into()])));
    assert_eq!(text(strings), r#"input "x" is string, expected float32"#);
    let narrow = Batch::new().with("x", column(Data::F32(vec![1.0])));
    assert_eq!(text(narrow), r#"input "x" has shape [1, 1], expected [?, 4]"#);
}
