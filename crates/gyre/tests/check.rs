//! `gyre init` and `gyre check`: every way to be wrong is told with its place, what was found, what is right.
#![allow(clippy::unwrap_used)]

mod support;

use support::{change, gyre, project};

#[test]
fn a_new_project_is_as_it_should_be_and_is_not_overwritten() {
    let (dir, root) = project();
    let said = gyre(&root, "check").done();
    assert!(said.out.contains("ok: project shop with 1 dataset, 1 model and 1 stage"), "{}", said.out);
    assert_eq!(gyre(&root, "check --json").done().json()["ok"], true);
    assert!(gyre(&root, "check data deliveries").done().out.contains("1344 rows, and 4 checks passed"));
    assert!(root.join(".dvc/config").is_file());
    let before = std::fs::read(root.join("gyre.yaml")).unwrap();
    let again = gyre(dir.path(), "init shop");
    assert_eq!(again.code, 1);
    assert!(again.err.contains("shop/gyre.yaml exists already; nothing was written"), "{}", again.err);
    assert_eq!(std::fs::read(root.join("gyre.yaml")).unwrap(), before);
}

/// A change to a file of a good project, and what must be said of it.
struct Wrong {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    place: &'static str,
    words: &'static [&'static str],
}

#[test]
fn whatever_is_wrong_is_told_with_its_line_and_what_is_right() {
    let cases = [
        Wrong {
            file: "gyre.yaml",
            from: "    metric: mae ",
            to: "    metrik: mae ",
            place: "gyre.yaml:24:5:",
            words: &["unknown key `metrik`", "expected: one of task, target", "did you mean `metric`?"],
        },
        Wrong {
            file: "gyre.yaml",
            from: "holdout: {every: 4,",
            to: "holdout: {every: often,",
            place: "gyre.yaml:30:24:",
            words: &["`often` is of the wrong type", "expected: a whole number"],
        },
        Wrong {
            file: "gyre.yaml",
            from: "metric: mae ",
            to: "metric: maee ",
            place: "gyre.yaml:24:13:",
            words: &["unknown value `maee`", "expected: one of mae, rmse", "did you mean `mae`?"],
        },
        Wrong {
            file: "gyre.yaml",
            from: "candidate.mae <= 5.0",
            to: "candidate.maee <= 5.0",
            place: "gyre.yaml:34:9:",
            words: &["`maee`", "expected: names under", "did you mean `mae`?"],
        },
        Wrong {
            file: "gyre.yaml",
            from: "source: data/deliveries.csv",
            to: "source: data/deliverys.csv",
            place: "gyre.yaml:7:13:",
            words: &["`data/deliverys.csv` does not exist", "did you mean `data/deliveries.csv`?"],
        },
        Wrong {
            file: "gyre.yaml",
            from: "target: minutes",
            to: "target: minuets",
            place: "gyre.yaml:27:13:",
            words: &["models.minutes.target: there is no column `minuets`", "did you mean `minutes`?"],
        },
        Wrong {
            file: "gyre.yaml",
            from: "pipeline: dvc.yaml",
            to: "pipeline: dvc.yml",
            place: "gyre.yaml:17:11:",
            words: &["pipeline: the file `dvc.yml` does not exist", "did you mean `dvc.yaml`?"],
        },
        Wrong {
            file: "gyre.yaml",
            from: "artifact: out/model.onnx",
            to: "artifact: out/modle.onnx",
            place: "gyre.yaml:23:15:",
            words: &["no stage of `dvc.yaml` makes the artifact", "did you mean `out/model.onnx`?"],
        },
        Wrong {
            file: "gyre.yaml",
            from: "into: data/train.parquet",
            to: "into: data/trian.parquet",
            place: "gyre.yaml:27:13:",
            words: &["train.into: no stage of `dvc.yaml` depends on", "did you mean `data/train.parquet`?"],
        },
        Wrong {
            file: "dvc.yaml",
            from: "      - data/holdout.parquet\n",
            to: "      - data/holdout.parquet\n      - out/model.onnx\n",
            place: "dvc.yaml:3:",
            words: &[
                "the stages need each other in a circle: train → train",
                "expected: a stage that reads nothing",
            ],
        },
        Wrong {
            file: "dvc.yaml",
            from: "      - data/holdout.parquet\n",
            to: "      - data/holdout.parquet\n      - trian.py\n",
            place: "dvc.yaml:12:",
            words: &["`trian.py` does not exist and no stage makes it"],
        },
    ];
    for Wrong { file, from, to, place, words } in cases {
        let (_dir, root) = project();
        change(&root.join(file), from, to);
        let said = gyre(&root, "check");
        assert_eq!(said.code, 2, "{to}: {said:?}");
        assert!(said.err.contains(place), "{place}: {}", said.err);
        for word in words {
            assert!(said.err.contains(word), "{word}: {}", said.err);
        }
        let json = gyre(&root, "check --json");
        assert_eq!((json.code, json.json()["ok"].as_bool()), (2, Some(false)));
        let first = &json.json()["diagnostics"][0];
        assert!(first["line"].is_u64() && first["file"].as_str().unwrap().ends_with(file), "{first}");
    }
}

#[test]
fn without_a_project_the_remedy_is_told() {
    let dir = tempfile::tempdir().unwrap();
    for words in ["check", "status", "model list"] {
        let said = gyre(dir.path(), words);
        assert_eq!(said.code, 2, "{words}");
        assert!(
            said.err.contains("gyre.yaml: cannot be read") && said.err.contains("`gyre init`"),
            "{}",
            said.err
        );
    }
}

#[test]
fn data_that_may_not_be_used_is_refused_with_every_reason() {
    let (_dir, root) = project();
    let bad = "id,distance_km,district,minutes\n1,5,north,30\n1,500,north,30\n2,7,centre,30\n";
    std::fs::write(root.join("bad.csv"), bad).unwrap();
    let said = gyre(&root, "check data deliveries bad.csv");
    assert_eq!(said.code, 1);
    for words in [
        "column id: 1 of 3 values occur before, first 1 at row 2",
        "column distance_km: 1 of 3 values outside 0..100, first 500 at row 2",
        "column district: 1 of 3 values not among north, east, south, west, first centre at row 3",
    ] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    let json = gyre(&root, "check data deliveries bad.csv --json");
    assert_eq!((json.code, json.json()["failures"].as_array().unwrap().len()), (1, 3));
    let unknown = gyre(&root, "check data deliverys");
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("did you mean `deliveries`?"), "{}", unknown.err);
    let missing = gyre(&root, "check data deliveries none.csv");
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("none.csv: cannot read"), "{}", missing.err);
}
