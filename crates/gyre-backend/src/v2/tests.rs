use std::sync::Arc;

use super::*;

fn features() -> Vec<Field> {
    vec![Field { name: "x".into(), kind: Kind::Number }, Field { name: "c".into(), kind: Kind::Text }]
}

fn table(x: &[f64], c: &[Option<&str>]) -> Table {
    let texts = c.iter().map(|text| text.map(Arc::from)).collect();
    Table::new([("x", Column::Numeric(x.to_vec())), ("c", Column::Text(texts))]).unwrap()
}

fn metadata(json: &str) -> ModelMetadata {
    serde_json::from_str(json).unwrap()
}

fn v2(model: &ModelMetadata, binary: bool) -> Result<V2, BackendError> {
    let extensions = if binary { vec![BINARY.to_owned()] } else { Vec::new() };
    V2::new("/v2/models/m", None, &features(), &ServerMetadata { extensions }, model)
}

#[test]
fn columns_of_several_tables_go_in_one_request() {
    let v2 = v2(&ModelMetadata::default(), false).unwrap();
    let (a, b) = (table(&[1.0, f64::NAN], &[Some("é\""), None]), table(&[0.5], &[Some("z")]));
    let outgoing = v2.request(&[&a, &b]).unwrap();
    assert_eq!((outgoing.path.as_str(), outgoing.content_type), ("/v2/models/m/infer", "application/json"));
    let body: serde_json::Value = serde_json::from_slice(&outgoing.body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"inputs": [
            {"name": "x", "shape": [3, 1], "datatype": "FP64", "data": [1, null, 0.5]},
            {"name": "c", "shape": [3, 1], "datatype": "BYTES", "parameters": {"content_type": "str"},
             "data": ["é\"", "", "z"]},
        ]})
    );
}

#[test]
fn binary_tensors_follow_their_header() {
    let model = metadata(
        r#"{"inputs": [{"name": "c", "datatype": "BYTES", "shape": [-1]}, {"name": "x", "datatype": "INT16", "shape": [-1, 1]}]}"#,
    );
    let outgoing = v2(&model, true).unwrap().request(&[&table(&[-2.0], &[Some("ab")])]).unwrap();
    let (head, tail) = outgoing.body.split_at(outgoing.header.unwrap());
    let head: serde_json::Value = serde_json::from_slice(head).unwrap();
    assert_eq!(
        head,
        serde_json::json!({"parameters": {"binary_data_output": true}, "inputs": [
            {"name": "x", "shape": [1, 1], "datatype": "INT16", "parameters": {"binary_data_size": 2}},
            {"name": "c", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}},
        ]})
    );
    assert_eq!(tail, b"\xfe\xff\x02\0\0\0ab");
}

#[test]
fn one_input_is_a_matrix() {
    let numeric =
        vec![Field { name: "a".into(), kind: Kind::Number }, Field { name: "b".into(), kind: Kind::Number }];
    let model = metadata(r#"{"inputs": [{"name": "in", "datatype": "FP32", "shape": [-1, 2]}]}"#);
    let v2 = V2::new("/m", None, &numeric, &ServerMetadata::default(), &model).unwrap();
    let table =
        Table::new([("a", Column::Numeric(vec![1.5, 2.0])), ("b", Column::Numeric(vec![0.1, 4.0]))]).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&v2.request(&[&table]).unwrap().body).unwrap();
    assert_eq!(
        body,
        serde_json::json!({"inputs": [
            {"name": "in", "shape": [2, 2], "datatype": "FP32", "data": [1.5, 0.1, 2, 4]}]})
    );
    let told =
        V2::new("/m", Some("z"), &numeric, &ServerMetadata::default(), &ModelMetadata::default()).unwrap();
    assert_eq!(told.layout, Layout::Matrix(Port { name: "z".into(), datatype: Datatype::Fp64, rank: 2 }));
}

#[test]
fn a_model_that_takes_something_else_is_found_out() {
    for (json, expected) in [
        (
            r#"{"inputs": [{"name": "x", "datatype": "FP64"}, {"name": "d", "datatype": "FP64"}]}"#,
            r#"the inputs ["x", "d"]"#,
        ),
        (
            r#"{"inputs": [{"name": "in", "datatype": "FP32", "shape": [-1, 7]}]}"#,
            "takes 7 columns, the signature has 2",
        ),
        (
            r#"{"inputs": [{"name": "in", "datatype": "FP32", "shape": [-1, 2]}]}"#,
            "takes FP32, the signature says Text",
        ),
        (
            r#"{"inputs": [{"name": "x", "datatype": "FP16", "shape": [-1]}, {"name": "c", "datatype": "BYTES", "shape": [-1]}]}"#,
            "let it take FP32",
        ),
    ] {
        let error = v2(&metadata(json), false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_fraction_is_no_integer() {
    let model = metadata(
        r#"{"inputs": [{"name": "x", "datatype": "INT64", "shape": [-1]}, {"name": "c", "datatype": "BYTES", "shape": [-1]}]}"#,
    );
    let v2 = v2(&model, false).unwrap();
    let error = v2.request(&[&table(&[1.0, 1.5], &[None, None])]).unwrap_err().to_string();
    assert!(error.contains(r#"feature "x", row 1: 1.5 is no INT64"#), "{error}");
    let error = v2.request(&[&table(&[f64::NAN], &[None])]).unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
}

#[test]
fn answers_are_read_in_both_forms() {
    let json = br#"{"model_name": "m", "outputs": [{"name": "y", "shape": [2], "datatype": "FP32", "data": [1, NaN]}]}"#;
    let tensors = outputs(json, None).unwrap();
    assert!(matches!(&tensors[0].cells, Elements::Numbers(v) if v[0] == 1.0 && v[1].is_nan()));
    let mut bytes = br#"{"outputs": [{"name": "l", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}}, {"name": "p", "shape": [1, 1], "datatype": "FP64", "data": [[0.5]]}]}"#.to_vec();
    let header = bytes.len();
    bytes.extend_from_slice(&7_i64.to_le_bytes());
    let tensors = outputs(&bytes, Some(header)).unwrap();
    assert_eq!(tensors[0].cells, Elements::Integers(vec![7]));
    assert_eq!(tensors[1].cells, Elements::Numbers(vec![0.5]));
    for (body, header) in [
        (&b"{}"[..], None),
        (b"[1]", Some(9)),
        (br#"{"outputs": [{"name": "l", "shape": [1], "datatype": "INT64"}]}"#, None),
        (br#"{"outputs": [{"name": "l", "shape": [1], "datatype": "INT64", "data": ["a"]}]}"#, None),
        (br#"{"outputs": [{"name": "l", "shape": [1], "datatype": "COMPLEX", "data": [1]}]}"#, None),
    ] {
        assert!(matches!(outputs(body, header), Err(AnswerError::Format(_))));
    }
}

#[test]
fn names_are_safe_in_paths() {
    assert_eq!(model_path("a b/../c", Some("1")), "/v2/models/a%20b%2F%2E%2E%2Fc/versions/1");
}
