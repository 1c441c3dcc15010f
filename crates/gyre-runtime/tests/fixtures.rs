//! Every fixture, run by the engine, gives what onnxruntime gave (see `oracle.py`): text and integers exactly, floats to
//! 1e-5, relative above one and absolute below.
#![allow(clippy::unwrap_used)]

mod support;

use gyre_runtime::{Data, Model};
use support::{fixture, fixture_names};

fn close(ours: f64, theirs: f64) -> bool {
    (ours.is_nan() && theirs.is_nan())
        || ours == theirs
        || (ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0)
}

fn differences(name: &str) -> Vec<String> {
    let fixture = fixture(name);
    let outputs = match Model::load(&fixture.model).map(|model| model.run(&fixture.batch)) {
        Ok(Ok(outputs)) => outputs,
        Ok(Err(error)) => return vec![format!("{name}: {error}")],
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut wrong = Vec::new();
    for (ours, theirs) in outputs.iter().zip(&fixture.outputs) {
        if *ours.tensor.shape() != theirs.shape {
            wrong.push(format!(
                "{name}.{}: shape {:?}, not {:?}",
                theirs.name,
                ours.tensor.shape(),
                theirs.shape
            ));
        }
        for (i, expected) in theirs.data.iter().enumerate() {
            let (equal, found) = match ours.tensor.data() {
                Data::F32(v) => (close(v[i].into(), expected.number()), v[i].to_string()),
                Data::F64(v) => (close(v[i], expected.number()), v[i].to_string()),
                Data::I64(v) => (v[i] as f64 == expected.number(), v[i].to_string()),
                Data::Str(v) => (&*v[i] == expected.text(), v[i].to_string()),
                other => (false, format!("{other:?}")),
            };
            if !equal {
                wrong.push(format!("{name}.{}[{i}]: {found}, onnxruntime {expected:?}", theirs.name));
                break;
            }
        }
    }
    assert_eq!(outputs.len(), fixture.outputs.len(), "{name}");
    wrong
}

#[test]
fn every_fixture_equals_onnxruntime() {
    let names = fixture_names();
    assert!(names.len() >= 40, "only {} fixtures found", names.len());
    let wrong: Vec<String> = names.iter().flat_map(|name| differences(name)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A batch gives, row by row, what single rows give: the two are computed on different ways.
#[test]
fn one_row_at_a_time_equals_the_batch() {
    for name in fixture_names().iter().filter(|n| n.starts_with("skl_") || n.starts_with("trees_")) {
        let fixture = fixture(name);
        let model = Model::load(&fixture.model).unwrap();
        let all = model.run(&fixture.batch).unwrap();
        for row in 0..fixture.rows {
            let one = model.run(&fixture.row(row)).unwrap();
            for (one, all) in one.iter().zip(&all) {
                if let (Data::F32(one), Data::F32(all)) = (one.tensor.data(), all.tensor.data()) {
                    assert_eq!(one[..], all[row * one.len()..(row + 1) * one.len()], "{name} row {row}");
                }
            }
        }
    }
}

#[test]
fn threads_share_one_model() {
    let fixture = fixture("skl_gbr_onehot");
    let model = Model::load(&fixture.model).unwrap();
    let expected = model.run(&fixture.batch).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert_eq!(model.run(&fixture.batch).unwrap(), expected);
                }
            });
        }
    });
}
