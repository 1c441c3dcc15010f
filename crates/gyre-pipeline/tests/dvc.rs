//! gyre and the real `dvc` take turns on one project: neither repeats what the other did.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "every test file uses a part of it")]
mod support;

use std::path::PathBuf;
use std::process::Command;

use gyre_data::dvc::{Cache, Pointer, ignore_in_git};
use gyre_data::hash::hash_file;
use support::Project;

const PIPELINE: &str = r#"
stages:
  cut:
    cmd: cat data/raw.csv > data/cut.csv && echo cut >> runs.txt
    deps: [data/raw.csv]
    outs: [data/cut.csv]
  train:
    cmd:
    - cp ../data/cut.csv "a model.bin"
    - chmod +x "a model.bin"
    - 'echo "{\"mae\": 9.5}" > metrics.json; echo \${HOME} > /dev/null'
    - echo train >> ../runs.txt
    wdir: src
    deps: [../data/cut.csv]
    params:
    - lr
    - tree
    - n
    - other.json: [deep.key]
    - whole.yaml:
    outs: [a model.bin]
    metrics: [metrics.json: {cache: false}]
  long:
    cmd: cat "src/a model.bin" > plot.csv && echo a command that is so long that it does not fit
      into one line of a lock file of eighty columns && echo long >> runs.txt
    deps: [src/a model.bin]
    plots: [plot.csv: {x: a, y: b}]
"#;

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("data/raw.csv", "a,b\n1,2\n");
    project.write(
        "src/params.yaml",
        "lr: 1e-5\nn: 0x10\ntree: {depth: 3, kind: 'yes', list: [1, 2.0, null], on: n, empty: ''}\n",
    );
    project.write("src/other.json", r#"{"deep": {"key": "1e3"}}"#);
    project.write("src/whole.yaml", "a: {b: 1.0}\nc: 12:30\n");
    project
}

fn dvc(project: &Project, arguments: &[&str]) -> String {
    let venv = std::env::var_os("GYRE_TEST_VENV").expect(
        "GYRE_TEST_VENV is not set; run cargo xtask test, which makes the environment with the real dvc",
    );
    let command = PathBuf::from(venv).join("bin/dvc");
    let output = Command::new(&command)
        .args(arguments)
        .current_dir(project.path())
        .env("DVC_NO_ANALYTICS", "true")
        .env("HOME", project.path().join(".git"))
        .env("SHELL", "/bin/sh")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run cargo xtask test", command.display()));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dvc {arguments:?}: {text}");
    text
}

#[test]
fn after_gyre_dvc_has_nothing_to_do() {
    let project = project();
    assert_eq!(project.ran(), ["cut", "train", "long"]);
    let runs = project.read("runs.txt");
    let status = dvc(&project, &["status"]);
    assert!(status.contains("Data and pipelines are up to date."), "{status}\n{}", project.read("dvc.lock"));
    let lock = project.read("dvc.lock");
    dvc(&project, &["repro"]);
    assert_eq!(project.read("runs.txt"), runs, "dvc reran something");
    assert_eq!(project.read("dvc.lock"), lock);

    // From what gyre put into the cache, dvc brings back what is gone.
    let model = project.read("src/a model.bin");
    project.remove("src/a model.bin");
    dvc(&project, &["checkout"]);
    assert_eq!(project.read("src/a model.bin"), model);
    let metrics = dvc(&project, &["metrics", "show", "--json"]);
    assert!(metrics.contains("9.5"), "{metrics}");
}

#[test]
fn after_dvc_gyre_has_nothing_to_do() {
    let project = project();
    dvc(&project, &["repro"]);
    assert_eq!(project.read("runs.txt"), "cut\ntrain\nlong\n");
    assert!(project.ran().is_empty(), "gyre reran something after\n{}", project.read("dvc.lock"));
    project.remove("data/cut.csv");
    assert!(project.ran().is_empty(), "the cut comes back from the cache that dvc filled");
    assert!(project.exists("data/cut.csv"));
}

#[test]
fn both_write_the_same_lock_file() {
    let (ours, theirs) = (project(), project());
    ours.ran();
    dvc(&theirs, &["repro"]);
    assert_eq!(ours.read("dvc.lock"), theirs.read("dvc.lock"));
    assert_eq!(ours.read(".gitignore"), theirs.read(".gitignore"));
    assert_eq!(ours.read("data/.gitignore"), theirs.read("data/.gitignore"));
    let names = |project: &Project| -> Vec<PathBuf> {
        project
            .objects()
            .iter()
            .map(|path| path.strip_prefix(project.path()).unwrap().to_path_buf())
            .collect()
    };
    // dvc keeps outputs with `cache: false` too, for its run cache.
    let (ours, theirs) = (names(&ours), names(&theirs));
    assert!(!ours.is_empty() && ours.iter().all(|object| theirs.contains(object)), "{ours:?} {theirs:?}");
}

#[test]
fn they_take_turns() {
    let project = project();
    project.ran();
    project.write("data/raw.csv", "a,b\n3,4\n");
    dvc(&project, &["repro", "cut"]);
    assert_eq!(project.ran(), ["train", "long"]);
    project.write("src/params.yaml", &project.read("src/params.yaml").replace("1e-5", "2e-5"));
    assert!(dvc(&project, &["status"]).contains("train"));
    assert_eq!(project.ran(), ["train"], "the model is the same, so what follows is left alone");
    assert!(dvc(&project, &["status"]).contains("up to date"));
}

#[test]
fn a_pointer_with_our_note_is_one_of_dvc_s() {
    let project = Project::new("stages: {}\n");
    project.write("data/big table #1.csv", "a\n1\n");
    let file = project.path().join("data/big table #1.csv");
    let cache = Cache::at(&project.path().join(".dvc/cache"));
    let hash = hash_file(&file).unwrap();
    let ours = project.path().join("data/big table #1.csv.dvc");
    Pointer::to_file("big table #1.csv", &hash).write(&ours).unwrap();
    cache.put(&file).unwrap();
    ignore_in_git(&file).unwrap();
    assert!(dvc(&project, &["status"]).contains("up to date"));
    std::fs::remove_file(&file).unwrap();
    dvc(&project, &["checkout"]);
    assert_eq!(hash_file(&file).unwrap(), hash);

    // What dvc adds itself is, but for our note, the same file; and it keeps the note when the content changes.
    let text = project.read("data/big table #1.csv.dvc");
    std::fs::remove_file(&ours).unwrap();
    dvc(&project, &["add", "data/big table #1.csv"]);
    assert_eq!(project.read("data/big table #1.csv.dvc"), text.split("  meta:").next().unwrap());
    std::fs::write(&ours, text).unwrap();
    std::fs::write(&file, "b\n").unwrap();
    dvc(&project, &["add", "data/big table #1.csv"]);
    let pointer = Pointer::read(&ours).unwrap();
    assert_eq!(
        pointer.outs[0].sha256(),
        Some(hash.sha256),
        "an old claim, which readers check against the bytes"
    );
    assert_ne!(pointer.single(&ours).unwrap().1, hash.md5);
}

#[test]
fn a_repository_that_gyre_made_is_one_of_dvc_s() {
    let project = Project::new("stages: {}\n");
    assert!(dvc(&project, &["status"]).contains("up to date") || project.exists(".dvc/config"));
    assert_eq!(dvc(&project, &["root"]).trim(), ".");
    let bare = tempfile::tempdir().unwrap();
    gyre_data::dvc::Repo::init(bare.path()).unwrap();
    assert_eq!(
        std::fs::read_to_string(bare.path().join(".dvc/config")).unwrap(),
        "[core]\n    no_scm = True\n"
    );
}
