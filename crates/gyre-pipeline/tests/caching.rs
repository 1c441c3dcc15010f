//! What runs again and what does not.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "every test file uses a part of it")]
mod support;

use gyre_pipeline::RunOptions;
use support::Project;

const CHAIN: &str = r"
stages:
  train:
    cmd: cat cut > model && cat params.yaml >> model
    deps: [cut]
    params: [depth]
    outs: [model]
    metrics:
    - metrics.json: {cache: false}
  cut:
    cmd: cat raw > cut
    deps: [raw]
    outs: [cut]
  report:
    cmd: cat model > sub/report.txt
    deps: [model]
    outs: [sub/report.txt]
";

fn project() -> Project {
    let chain = CHAIN.replace(">> model\n", ">> model && echo 1 > metrics.json\n");
    let project = Project::new(&chain);
    project.write("raw", "rows");
    project.write("params.yaml", "depth: 3\nunused: 1\n");
    project.write("sub/.keep", "");
    project
}

#[test]
fn only_what_has_something_new_to_do_runs() {
    let project = project();
    assert_eq!(project.ran(), ["cut", "train", "report"]);
    assert!(project.ran().is_empty());

    project.write("params.yaml", "depth: 3\nunused: 2\n");
    assert!(project.ran().is_empty(), "a parameter that no stage reads changes nothing");
    project.write("params.yaml", "depth: 4\nunused: 2\n");
    assert_eq!(project.ran(), ["train", "report"]);
    project.write("raw", "other rows");
    assert_eq!(project.ran(), ["cut", "train", "report"]);
    project.write("dvc.yaml", &project.read("dvc.yaml").replace("cat raw > cut", "cat raw  > cut"));
    assert_eq!(project.ran(), ["cut"], "the cut has the same content, so nothing after it runs");
}

#[test]
fn outputs_that_were_removed_or_changed_come_back_from_the_cache() {
    let project = project();
    project.ran();
    let model = project.read("model");
    project.remove("model");
    project.write("sub/report.txt", "tampered");
    assert!(project.ran().is_empty());
    assert_eq!((project.read("model"), project.read("sub/report.txt")), (model.clone(), model.clone()));

    // Not in the cache: made again.
    project.remove("metrics.json");
    assert_eq!(project.ran(), ["train"]);

    // Damaged in the cache: made again.
    for object in project.objects() {
        std::fs::remove_file(&object).unwrap();
        std::fs::write(&object, "damaged").unwrap();
    }
    project.remove("model");
    assert_eq!(project.ran(), ["train"]);
    assert_eq!(project.read("model"), model);
}

#[test]
fn cached_outputs_are_kept_out_of_git_and_others_are_not() {
    let project = project();
    project.ran();
    assert_eq!(project.read(".gitignore"), "/cut\n/model\n");
    assert_eq!(project.read("sub/.gitignore"), "/report.txt\n");
    assert_eq!(project.objects().len(), 2, "cut, and model with its equal report; not the metrics");
}

#[test]
fn frozen_never_runs_and_always_changed_always_does() {
    let project = Project::new(
        "stages:\n  f:\n    cmd: exit 1\n    frozen: true\n    outs: [f]\n  a:\n    cmd: echo a > a\n    \
         always_changed: true\n    outs: [a]\n  side:\n    cmd: echo x >> side.txt\n",
    );
    let error = project.run().unwrap_err();
    assert_eq!(
        error.to_string(),
        "stage `f`: the output `f` is missing, and the stage is frozen (bring it with `dvc pull`, or unfreeze the stage)"
    );
    project.write("f", "here");
    assert_eq!(project.ran(), ["a", "side"]);
    assert_eq!(project.ran(), ["a", "side"]);
    assert_eq!(project.read("side.txt"), "x\nx\n");
}

#[test]
fn a_persistent_output_is_there_when_its_stage_runs_again() {
    let project = Project::new(
        "stages:\n  s:\n    cmd: cat in >> grows; cat in > fresh\n    deps: [in]\n    outs: [grows: {persist: true}, fresh]\n",
    );
    for text in ["1", "2"] {
        project.write("in", text);
        assert_eq!(project.ran(), ["s"]);
    }
    assert_eq!((project.read("grows").as_str(), project.read("fresh").as_str()), ("12", "2"));
}

#[test]
fn commands_see_their_directory_environment_and_path() {
    let project = Project::new(
        "stages:\n  s:\n    wdir: sub\n    cmd:\n    - tool > out\n    - echo $DVC_STAGE $EXTRA >> out\n    \
         - test \"$DVC_ROOT\" = \"$(dirname \"$PWD\")\"\n    outs: [out]\n",
    );
    project.write("sub/.keep", "");
    project.write("bin/tool", "#!/bin/sh\npwd | sed 's#.*/##'\n");
    let tool = project.path().join("bin/tool");
    std::fs::set_permissions(tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = RunOptions {
        path_dir: Some(project.path().join("bin")),
        env: vec![("EXTRA".to_owned(), "more".to_owned())],
        ..RunOptions::default()
    };
    project.run_with(&options).unwrap();
    assert_eq!(project.read("sub/out"), "sub\ns more\n");
}

#[test]
fn the_log_keeps_its_end() {
    let project = Project::new("stages:\n  s:\n    cmd: seq 1 1000; echo end\n");
    let run = project.run_with(&RunOptions { log_limit: 9, ..RunOptions::default() }).unwrap();
    assert_eq!(run.log, "[3888 bytes left out]\n1000\nend\n");
}
