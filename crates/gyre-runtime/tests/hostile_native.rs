//! Broken and hostile files in the libraries' own formats are answered with an error, or run; they never panic, hang or
//! take memory.
#![allow(clippy::unwrap_used)]

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;

use gyre_runtime::{Column, FeatureKind, Hints, LoadError, Scorer, Table};
use proptest::prelude::*;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

const FILES: [&str; 5] = ["xgboost.json", "xgboost.ubj", "lightgbm.txt", "forest.skops", "histogram.skops"];

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/native").join(name)).unwrap()
}

/// Loads and, if that works, scores and explains: what counts is that all return.
fn exercise(bytes: &[u8]) -> Result<(), LoadError> {
    let scorer = Scorer::load(bytes, &Hints::default())?;
    if scorer.features().len() > 100 {
        return Ok(());
    }
    let numbers = || Column::Numeric(vec![0.5, f64::NAN, -3.0, 1e300, f64::INFINITY]);
    let texts = || {
        Column::Text(
            [Some("north"), None, Some("odd"), Some(""), Some("up")].map(|t| t.map(Arc::from)).to_vec(),
        )
    };
    let column = |feature: &gyre_runtime::Feature| match feature.kind {
        FeatureKind::Text => texts(),
        _ => numbers(),
    };
    if let Ok(table) = Table::new(scorer.features().iter().map(|f| (Arc::clone(&f.name), column(f)))) {
        let _ = scorer.score(&table);
        let _ = scorer.explain(&table, Some(&table));
    }
    Ok(())
}

fn refusal(bytes: &[u8]) -> String {
    exercise(bytes).unwrap_err().to_string()
}

#[test]
fn the_files_load_as_they_are() {
    for name in FILES {
        exercise(&file(name)).unwrap();
    }
}

#[test]
fn a_model_without_features_is_refused() {
    let text =
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nobjective=regression\n\nend of trees\n";
    let error = Scorer::load(text.as_bytes(), &Hints::default()).unwrap_err().to_string();
    assert!(error.contains("features") && error.contains("none to predict from"), "{error}");
}

#[test]
fn every_beginning_of_a_file_is_answered() {
    for name in FILES {
        let bytes = file(name);
        let step = (bytes.len() / 400).max(1);
        for length in (0..bytes.len() - 1).step_by(step) {
            let outcome = exercise(&bytes[..length]);
            // LightGBM's file goes on with notes after what the model needs.
            assert!(outcome.is_err() || name == "lightgbm.txt", "{name}: {length} bytes");
        }
    }
}

/// Every number in a document, by a way to it.
fn numbers(value: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                path.push(i.to_string());
                numbers(value, path, found);
                path.pop();
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.replace('~', "~0").replace('/', "~1"));
                numbers(value, path, found);
                path.pop();
            }
        }
        Value::Null => {}
        _ => found.push(format!("/{}", path.join("/"))),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3i64..40).prop_map(Value::from),
        prop::sample::select(vec![
            json!(i64::MAX),
            json!(u32::MAX),
            json!(1e300),
            json!("99999999999"),
            json!("-1"),
            json!("[1,2"),
            json!(null),
            json!([]),
            json!({}),
            json!(true),
            json!([1, 2, 3]),
            json!("NaN"),
        ]),
    ]
}

/// A document with some of its values replaced.
fn shaken(mut document: Value, edits: &[(prop::sample::Index, Value)]) -> Value {
    for (at, value) in edits {
        let mut places = Vec::new();
        numbers(&document, &mut Vec::new(), &mut places);
        if !places.is_empty()
            && let Some(slot) = document.pointer_mut(&places[at.index(places.len())])
        {
            *slot = value.clone();
        }
    }
    document
}

/// The files of an archive.
fn unpacked(name: &str) -> Vec<(String, Vec<u8>)> {
    let mut archive = zip::ZipArchive::new(Cursor::new(file(name))).unwrap();
    (0..archive.len())
        .map(|at| {
            let mut entry = archive.by_index(at).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.name().unwrap().into_owned(), content)
        })
        .collect()
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn with_schema(schema: &Value) -> Vec<u8> {
    packed(&[("schema.json".to_owned(), serde_json::to_vec(schema).unwrap())])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn flipped_bytes_are_answered(
        which in 0..FILES.len(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = file(FILES[which]);
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = exercise(&bytes);
    }

    #[test]
    fn shaken_documents_of_xgboost_are_answered(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4),
    ) {
        let document = shaken(serde_json::from_slice(&file("xgboost.json")).unwrap(), &edits);
        let _ = exercise(&serde_json::to_vec(&document).unwrap());
    }

    #[test]
    fn shaken_texts_of_lightgbm_are_answered(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            "-1", "0", "7", "99", "1e400", "nan", "18446744073709551615", "-9223372036854775808", "", "x", "1 2",
        ])), 1..4),
    ) {
        let text = String::from_utf8(file("lightgbm.txt")).unwrap();
        let mut words: Vec<&str> = text.split_inclusive([' ', '\n', '=']).collect();
        for (at, value) in &edits {
            let at = at.index(words.len());
            words[at] = value;
        }
        // A word goes with the space behind it; both shapes are worth a try.
        let _ = exercise(words.concat().as_bytes());
        let _ = exercise(words.join(" ").as_bytes());
    }

    #[test]
    fn shaken_schemas_and_arrays_of_skops_are_answered(
        which in prop::sample::select(vec!["forest.skops", "histogram.skops"]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any_value()), 0..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut files = unpacked(which);
        for (name, content) in &mut files {
            if name == "schema.json" {
                let document = shaken(serde_json::from_slice(content).unwrap(), &edits);
                *content = serde_json::to_vec(&document).unwrap();
            }
        }
        for (at, byte, value) in flips {
            let content = &mut at.get_mut(files.as_mut_slice()).1;
            let byte = byte.index(content.len());
            content[byte] = value;
        }
        let _ = exercise(&packed(&files));
    }
}

#[test]
fn trees_that_loop_are_refused() {
    let mut document: Value = serde_json::from_slice(&file("xgboost.json")).unwrap();
    document["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"][0] = json!(0);
    let text = refusal(&serde_json::to_vec(&document).unwrap());
    assert!(text.contains("cycle"), "{text}");
    let text = String::from_utf8(file("lightgbm.txt")).unwrap();
    let line = text.lines().find(|line| line.starts_with("left_child=")).unwrap();
    let looped = line.split_once(' ').map(|(_, rest)| format!("left_child=0 {rest}")).unwrap();
    let text = refusal(text.replacen(line, &looped, 1).as_bytes());
    assert!(text.contains("cycle"), "{text}");
}

#[test]
fn what_unpacks_to_too_much_is_refused() {
    let files = [("schema.json".to_owned(), vec![b' '; 33 << 20])];
    let bytes = packed(&files);
    assert!(bytes.len() < 1 << 20);
    assert!(matches!(exercise(&bytes), Err(LoadError::TooLarge { .. })));
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("{{\"learner\": {}", "[".repeat(1_000_000));
    assert!(refusal(deep.as_bytes()).contains("JSON"));
    let files = [("schema.json".to_owned(), "[".repeat(1_000_000).into_bytes())];
    assert!(refusal(&packed(&files)).contains("schema.json"));
}

/// Descriptions that hold themselves, and that say one thing twice at each of many levels.
#[test]
fn descriptions_that_point_to_themselves_are_refused() {
    let pipeline = |id: u32, stages: Vec<Value>| {
        let stage = |node: Value| json!({"__loader__": "TupleNode", "content": [{"__loader__": "JsonNode", "content": "\"a\""}, node]});
        let steps: Vec<Value> = stages.into_iter().map(stage).collect();
        json!({
            "__class__": "Pipeline", "__module__": "sklearn.pipeline", "__loader__": "ObjectNode", "__id__": id,
            "content": {"__loader__": "DictNode", "content": {"steps": {"__loader__": "ListNode", "content": steps}}},
        })
    };
    let again = |id: u32| json!({"__loader__": "CachedNode", "__id__": id});
    assert!(exercise(&with_schema(&pipeline(1, vec![again(1), again(1)]))).is_err());
    let mut nested = pipeline(0, vec![]);
    for id in 1..14 {
        let copies = (0..40).map(|_| again(id - 1));
        nested = pipeline(id, std::iter::once(nested).chain(copies).collect());
    }
    assert!(exercise(&with_schema(&nested)).is_err());
}

/// A little text that asks for much: long rows of steps, and wide columns picked by many.
#[test]
fn much_asked_for_in_few_words_is_refused_or_done() {
    let plain = |value: &str| json!({"__loader__": "JsonNode", "content": value});
    let object = |class: &str, attributes: Value| {
        json!({"__class__": class, "__module__": "sklearn.x", "__loader__": "ObjectNode",
               "content": {"__loader__": "DictNode", "content": attributes}})
    };
    let list = |content: Vec<Value>| json!({"__loader__": "ListNode", "content": content});
    let scaler =
        object("MaxAbsScaler", json!({"scale_": list(vec![plain("1")]), "n_features_in_": plain("1")}));
    let stages = (0..4_000).map(|_| list(vec![plain("0"), scaler.clone()])).collect();
    let pipeline = object("Pipeline", json!({"steps": list(stages)}));
    assert!(exercise(&with_schema(&pipeline)).is_err());

    let all = json!({"__loader__": "SliceNode", "content": {"start": 0, "stop": null, "step": null}});
    let picks = (0..1_000).map(|_| list(vec![plain("0"), plain("\"passthrough\""), all.clone()])).collect();
    let columns = object(
        "ColumnTransformer",
        json!({"transformers_": list(picks), "n_features_in_": plain("1000000")}),
    );
    let stages = vec![list(vec![plain("0"), columns.clone()]), list(vec![plain("0"), columns])];
    assert!(exercise(&with_schema(&object("Pipeline", json!({"steps": list(stages)})))).is_err());
}

#[test]
fn types_that_are_not_on_the_list_are_named_with_a_remedy() {
    let object = |class: &str, module: &str| {
        with_schema(
            &json!({"__class__": class, "__module__": module, "__loader__": "ObjectNode", "content": {
            "__loader__": "DictNode", "content": {"n_features_in_": {"__loader__": "JsonNode", "content": "2"}}}}),
        )
    };
    for (class, module) in
        [("system", "posix"), ("Ridge", "evil"), ("KNeighborsClassifier", "sklearn.neighbors")]
    {
        let text = refusal(&object(class, module));
        assert!(text.contains(class) && text.contains(module) && text.contains("ONNX"), "{text}");
    }
    let text = refusal(&packed(&[("data.pkl".to_owned(), vec![0x80, 5])]));
    assert!(text.contains("schema.json"), "{text}");
}
