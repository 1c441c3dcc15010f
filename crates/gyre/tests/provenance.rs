//! A run of an unmodified MLflow client says where it came from.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{GYRE, Up, gyre};

const MD5: &str = "0123456789abcdef0123456789abcdef";

/// Logs a run with MLflow, and then waits on its input, as a training that goes on would.
const TRAIN: &str = r#"
import sys, mlflow
with mlflow.start_run() as run:
    mlflow.log_param("lr", 0.1)
    print(run.info.run_id, flush=True)
    sys.stdin.readline()
"#;

fn python() -> PathBuf {
    let venv = std::env::var_os("GYRE_TEST_VENV").expect(
        "GYRE_TEST_VENV is not set; run cargo xtask test, which makes the environment with the real mlflow",
    );
    let python = PathBuf::from(venv).join("bin/python");
    assert!(python.exists(), "{} is missing: run cargo xtask test", python.display());
    python
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let done = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A repository with a training script that was changed since the commit, a DVC file, and an address with a password.
fn repository(dir: &Path) -> String {
    git(dir, &["init", "-q"]);
    git(dir, &["remote", "add", "origin", "https://me:hunter2remote@example.org/r.git"]);
    std::fs::write(dir.join("train.py"), TRAIN).unwrap();
    std::fs::write(dir.join("params.yaml"), "lr: 0.1\n").unwrap();
    std::fs::write(
        dir.join("x.csv.dvc"),
        format!("outs:\n- md5: {MD5}\n  size: 7\n  hash: md5\n  path: x.csv\n"),
    )
    .unwrap();
    git(dir, &["add", "."]);
    git(dir, &["commit", "-qm", "one"]);
    std::fs::write(dir.join("params.yaml"), "lr: 0.2\n").unwrap();
    git(dir, &["rev-parse", "HEAD"])
}

/// A command that waits on its input after it has written a line: the run's id.
struct Training {
    child: std::process::Child,
    /// Kept open: the client has more to say.
    out: std::io::BufReader<std::process::ChildStdout>,
    run: String,
}

impl Training {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut run = String::new();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut run).unwrap();
        Self { child, out, run: run.trim().to_owned() }
    }

    fn end(mut self) -> String {
        self.child.stdin.take().unwrap().write_all(b"\n").unwrap();
        std::io::copy(&mut self.out, &mut std::io::sink()).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.run
    }
}

/// What is known of a run, when all that was made before is looked at.
#[track_caller]
fn known(up: &Up, run: &str) -> Value {
    up.get(&format!("/v1/runs/{run}/provenance?wait=true"))
}

/// Every byte that a server keeps.
fn kept(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            bytes.extend(kept(&path));
        } else {
            bytes.extend(std::fs::read(&path).unwrap());
        }
    }
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn an_unmodified_client_leaves_commit_diff_command_packages_machine_and_data() {
    let (home, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let commit = repository(work.path());
    let up = Up::start(home.path());
    let mut command = Command::new(python());
    command
        .args(["train.py", "--password", "hunter2argv"])
        .current_dir(work.path())
        .env("MLFLOW_TRACKING_URI", up.url())
        .env("DVC_STAGE", "train")
        .env("GYRE_RUN", "pipeline-run-1")
        .env("SOME_SECRET", "hunter2environ");
    let training = Training::start(command);
    let found = known(&up, &training.run);
    let run = training.end();

    let record = &found["record"];
    assert_eq!(record["source"], "observed", "{found:#}");
    let command: Vec<&str> =
        record["process"]["command"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
    assert_eq!(command[1..], ["train.py", "--password", "[hidden]"]);
    assert_eq!(record["process"]["directory"], work.path().canonicalize().unwrap().to_str().unwrap());
    assert_eq!(record["stage"], serde_json::json!({"name": "train", "run": "pipeline-run-1"}));
    let code = &record["code"];
    assert_eq!((code["commit"].as_str(), code["branch"].as_str()), (Some(commit.as_str()), Some("main")));
    assert_eq!(
        (code["dirty"].as_bool(), &code["changed"]),
        (Some(true), &serde_json::json!(["params.yaml"]))
    );
    assert_eq!(code["remote"], "https://[hidden]@example.org/r.git");
    let packages = found["packages"].as_array().unwrap();
    let mlflow = packages.iter().find(|package| package["name"] == "mlflow").unwrap();
    assert_eq!(mlflow["version"], "3.17.2");
    assert!(record["environment"]["interpreter"].as_str().unwrap().starts_with("python 3."), "{record:#}");
    assert!(record["hardware"]["cpus"].as_u64() > Some(0) && record["hardware"]["memory"].as_u64() > Some(0));
    assert_eq!(
        record["data"],
        serde_json::json!([
            {"file": "x.csv.dvc", "role": "out", "path": "x.csv", "md5": MD5, "size": 7}
        ])
    );

    let shown = gyre(home.path(), &format!("run show {run}")).done().out;
    for part in [commit.as_str(), "params.yaml", "train.py --password [hidden]", "lr = 0.1", MD5] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // The diff is what Git takes back.
    let diff = gyre(home.path(), &format!("run show {run} --diff")).done().out;
    git(work.path(), &["checkout", "-q", "params.yaml"]);
    std::fs::write(work.path().join("x.diff"), diff).unwrap();
    git(work.path(), &["apply", "x.diff"]);
    assert_eq!(std::fs::read_to_string(work.path().join("params.yaml")).unwrap(), "lr: 0.2\n");
    let shown = gyre(home.path(), &format!("run show {run} --packages")).done().out;
    assert!(shown.contains("mlflow==3.17.2\n"), "{shown}");

    // The journal's entry of the run's end names the record.
    let journal = gyre(home.path(), "journal --json").done().json();
    let ended =
        journal["entries"].as_array().unwrap().iter().find(|entry| entry.to_string().contains("run_ended"));
    let digest = found["digest"].as_str().unwrap();
    assert!(ended.unwrap().to_string().contains(&format!("\"gyre.provenance\":\"{digest}\"")), "{ended:?}");

    drop(up);
    let bytes = kept(&home.path().join(".gyre"));
    assert!(holds(&bytes, &run) && holds(&bytes, "[hidden]"));
    for secret in ["hunter2argv", "hunter2remote", "hunter2environ"] {
        assert!(!holds(&bytes, secret), "{secret} was kept");
    }
}

#[test]
fn switched_off_nothing_is_looked_at() {
    let (home, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    repository(work.path());
    let up = Up::start_with(home.path(), &["--no-provenance"]);
    let mut command = Command::new(python());
    command.arg("train.py").current_dir(work.path()).env("MLFLOW_TRACKING_URI", up.url());
    let run = Training::start(command).end();
    let found = known(&up, &run);
    assert!(found.get("record").is_none(), "{found:#}");
    assert!(found["reason"].as_str().unwrap().contains("--no-provenance"), "{found:#}");
    assert_eq!(found["claimed"]["mlflow.source.type"], "LOCAL", "{found:#}");
    drop(up);
    assert!(!holds(&kept(&home.path().join(".gyre")), "params.yaml"));
}

#[test]
fn a_process_of_another_user_is_not_looked_into() {
    // Only root can start a process of another user.
    let id = Command::new("id").arg("-u").output().unwrap();
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        eprintln!("skipped: only root can start a client of another user");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let up = Up::start(home.path());
    let address = up.url().trim_start_matches("http://").to_owned();
    let (host, port) = address.split_once(':').unwrap();
    let script = format!(
        r#"exec 3<>/dev/tcp/{host}/{port}
body='{{"experiment_id": "0"}}'
printf 'POST /api/2.0/mlflow/runs/create HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s' ${{#body}} "$body" >&3
while read -r -u 3 -N 1 c; do line="$line$c"; case "$line" in *'"run_id":"'????????????????????????????????'"'*) break;; esac; done
line="${{line#*\"run_id\":\"}}"; echo "${{line%%\"*}}"
read -r _"#
    );
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c", &script]);
    command.current_dir("/");
    let training = Training::start(command);
    let found = known(&up, &training.run);
    training.end();
    assert!(found.get("record").is_none(), "{found:#}");
    assert!(found["reason"].as_str().unwrap().contains("user 65534"), "{found:#}");
}

#[test]
fn a_client_elsewhere_sends_its_own_record() {
    let home = tempfile::tempdir().unwrap();
    let up = Up::start_with(home.path(), &["--no-provenance"]);
    let made = up.post("/api/2.0/mlflow/runs/create", &serde_json::json!({"experiment_id": "0"}));
    let run = made["run"]["info"]["run_id"].as_str().unwrap();
    let path = format!("/v1/runs/{run}/provenance");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let report = serde_json::json!({
        "record": {"process": {"command": ["Rscript", "train.R", "--token", "hunter2"]}, "code": {"commit": commit, "dirty": true}},
        "diff": "diff --git a/x b/x\n",
        "packages": [{"name": "dplyr", "version": "1.1.4"}],
    });
    up.post("/api/2.0/mlflow/runs/update", &serde_json::json!({"run_id": run, "status": "FINISHED"}));
    let digest = up.post(&path, &report)["digest"].as_str().unwrap().to_owned();
    let found = up.get(&path);
    assert_eq!(
        (found["digest"].as_str(), &found["record"]["source"]),
        (Some(digest.as_str()), &"reported".into())
    );
    assert_eq!(found["packages"][0]["name"], "dplyr");
    assert_eq!(found["record"]["process"]["command"][3], "[hidden]");
    let run_now = up.get(&format!("/api/2.0/mlflow/runs/get?run_id={run}"));
    assert!(
        run_now.to_string().contains(&format!(r#"{{"key":"gyre.git.commit","value":"{commit}"}}"#)),
        "{run_now:#}"
    );
    assert_eq!(gyre(home.path(), &format!("run show {run} --diff")).done().out, "diff --git a/x b/x\n");
    // The run had ended, so the journal tells of it by itself.
    let journal = gyre(home.path(), "journal --json").done().out;
    assert!(journal.contains("provenance_recorded") && journal.contains(&digest), "{journal}");

    for (wrong, said) in [
        (serde_json::json!({"record": {"code": {"commit": "HEAD"}}}), "code.commit is `HEAD`"),
        (serde_json::json!({"record": {}, "dif": ""}), "unknown field `dif`"),
        (serde_json::json!({"record": {}, "diff": "x".repeat(2 << 20)}), "at most"),
    ] {
        let (status, answer) = up.try_post(&path, &wrong);
        assert!(status == 400 && answer.to_string().contains(said), "{status} {answer}");
    }
    let (status, _) = up.try_post("/v1/runs/0123/provenance", &serde_json::json!({"record": {}}));
    assert_eq!(status, 404);
}

#[test]
fn a_run_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    drop(Up::start(home.path()));
    let said = gyre(home.path(), "run show 0123");
    assert!(said.code == 1 && said.err.contains("0123"), "{said:?}");
    let help = Command::new(GYRE).args(["run", "--help"]).output().unwrap();
    assert!(help.status.success());
}
