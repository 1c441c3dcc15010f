//! What happens when a stage fails, hangs, lies or is killed: nothing of it is recorded, nothing of it is left.

#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "every test file uses a part of it")]
mod support;

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gyre_pipeline::{Failure, Progress, RunOptions, run};
use support::Project;

const TWO: &str = r"
stages:
  good:
    cmd: cat in > good.out
    deps: [in]
    outs: [good.out]
  bad:
    cmd:
    - cp good.out bad.out
    - CMD
    deps: [good.out]
    outs: [bad.out]
";

fn project(bad: &str) -> Project {
    let project = Project::new(&TWO.replace("CMD", bad));
    project.write("in", "1");
    project
}

/// The stage that succeeded is recorded and cached; of the one that failed nothing is.
fn only_the_good_stage_is_recorded(project: &Project) {
    let lock = project.read("dvc.lock");
    assert!(lock.contains("good:") && !lock.contains("bad:"), "{lock}");
    assert_eq!(project.objects().len(), 1);
    assert_eq!(project.objects()[0].file_name().unwrap(), "ca4238a0b923820dcc509a6f75849b", "MD5 of `1`");
}

/// A process that is gone, or that only waits for its parent to notice.
fn gone(pid: &str) -> bool {
    for _ in 0..1_000 {
        match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            Err(_) => return true,
            Ok(stat) if stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')) => return true,
            Ok(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    false
}

#[test]
fn a_failing_stage_tells_its_exit_code_and_the_end_of_its_log() {
    let project = project("'echo boom >&2; exit 3'");
    let error = project.run().unwrap_err();
    assert_eq!(error.stage.as_deref(), Some("bad"));
    assert!(matches!(error.failure, Failure::Exit(3)), "{error}");
    assert_eq!(error.to_string(), "stage `bad`: the command failed with exit code 3");
    assert_eq!(error.log, "boom\n");
    only_the_good_stage_is_recorded(&project);

    // After the repair, only what failed runs.
    project.write("dvc.yaml", &TWO.replace("CMD", "'true'"));
    assert_eq!(project.ran(), ["bad"]);
}

#[test]
fn a_stage_killed_by_a_signal_says_so() {
    let project = project("kill -9 $$");
    assert!(matches!(project.run().unwrap_err().failure, Failure::Signal(9)));
    only_the_good_stage_is_recorded(&project);
}

#[test]
fn a_stage_without_its_output_is_a_failure() {
    let project = project("rm bad.out");
    let error = project.run().unwrap_err();
    assert!(matches!(&error.failure, Failure::MissingOutput(path) if path == "bad.out"), "{error}");
    only_the_good_stage_is_recorded(&project);
}

#[test]
fn a_hanging_stage_is_stopped_with_all_its_children() {
    let project = project("'sh -c \"echo \\$\\$ > pid; sleep 1000\" & sleep 1000'");
    let options = RunOptions {
        timeout: Some(Duration::from_millis(500)),
        grace: Duration::from_millis(200),
        ..RunOptions::default()
    };
    let error = project.run_with(&options).unwrap_err();
    assert!(matches!(error.failure, Failure::Timeout(_)), "{error}");
    assert!(gone(project.read("pid").trim()));
    only_the_good_stage_is_recorded(&project);
}

#[test]
fn a_run_is_stopped_on_request() {
    let project = project("'echo started; sleep 1000'");
    let stop = Arc::new(AtomicBool::new(false));
    let options = RunOptions { stop: Some(Arc::clone(&stop)), ..RunOptions::default() };
    let error = run(project.path(), &project.pipeline(), &[], &options, &mut |progress| {
        if progress == Progress::Output(b"started\n") {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert!(matches!(error.unwrap_err().failure, Failure::Stopped));
}

#[test]
fn nothing_survives_when_the_runner_itself_is_killed() {
    // This test runs itself as the process that is killed.
    if let Some(dir) = std::env::var_os("GYRE_TEST_VICTIM") {
        let pipeline = gyre_pipeline::Pipeline::read(&std::path::Path::new(&dir).join("dvc.yaml")).unwrap();
        let _ = run(std::path::Path::new(&dir), &pipeline, &[], &RunOptions::default(), &mut |progress| {
            if let Progress::Output(bytes) = progress {
                eprintln!("{}", String::from_utf8_lossy(bytes));
            }
        });
        return;
    }
    let project = project("'mkfifo never; sh -c \"echo \\$\\$; read x < never\"'");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_survives_when_the_runner_itself_is_killed", "--nocapture"])
        .env("GYRE_TEST_VICTIM", project.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(victim.stderr.take().unwrap()));
    let pid = lines.find_map(|line| line.unwrap().trim().parse::<u32>().ok()).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(gone(&pid.to_string()));
    only_the_good_stage_is_recorded(&project);
    // The lock that the dead process held does not stand in the way.
    project.write("dvc.yaml", &TWO.replace("CMD", "'true'"));
    assert_eq!(project.ran(), ["bad"]);
}

#[test]
fn what_cannot_be_run_is_said() {
    let project = project("'true'");
    let fails = |targets: &[&str]| {
        run(project.path(), &project.pipeline(), targets, &RunOptions::default(), &mut |_| {})
            .unwrap_err()
            .to_string()
    };
    assert_eq!(fails(&["goood"]), "there is no stage `goood`; did you mean `good`?");
    project.remove("in");
    assert_eq!(fails(&[]), "stage `good`: the dependency `in` does not exist");
    std::fs::create_dir(project.path().join("in")).unwrap();
    assert!(
        fails(&[]).contains("directories as outputs or dependencies are not supported yet"),
        "{}",
        fails(&[])
    );
    std::fs::remove_dir_all(project.path().join(".dvc")).unwrap();
    assert!(fails(&[]).contains("gyre init"), "{}", fails(&[]));
}
