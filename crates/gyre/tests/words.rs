//! What holds for all commands.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{command, gyre, project};

#[test]
fn shells_are_told_the_words() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, words) in
        [("bash", "complete -F _gyre"), ("zsh", "#compdef gyre"), ("fish", "complete -c gyre")]
    {
        let script = gyre(dir.path(), &format!("completions {shell}")).done().out;
        assert!(script.contains(words) && script.contains("rollback"), "{shell}");
    }
    assert_eq!(gyre(dir.path(), "completions cobol").code, 2);
}

#[test]
fn every_command_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    let commands = [
        "init",
        "check",
        "check data",
        "up",
        "status",
        "store info",
        "store backup",
        "store migrate-to",
        "gc",
        "access user add",
        "access user passwd",
        "access token create",
        "access grant",
        "model list",
        "model show",
        "model promote",
        "model rollback",
        "rollback",
        "predict",
        "log tail",
        "log export",
        "log sql",
        "train",
        "resume",
        "journal",
        "journal list",
        "journal show",
        "journal verify",
        "lineage",
        "backtest",
        "profile",
        "bias",
        "baseline train",
        "completions",
        "demo",
    ];
    let help = gyre(dir.path(), "--help").done().out;
    for words in commands {
        let said = gyre(dir.path(), &format!("{words} --help")).done().out;
        assert!(said.contains("Usage: gyre"), "{words}");
        let first = words.split(' ').next().unwrap();
        assert!(help.contains(&format!("  {first} ")), "{first} is not in the help");
    }
    assert_eq!(gyre(dir.path(), "modle list").code, 2);
}

#[test]
fn whoever_has_seen_enough_may_close_the_pipe() {
    let (_dir, root) = project();
    for words in ["completions zsh", "baseline train --help", "status", "check"] {
        let mut child = command(&root)
            .args(words.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let told: Vec<String> =
            BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
        assert!(told.is_empty(), "{words}: {told:?}");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{words}");
    }
}

#[test]
fn a_project_that_was_never_up_can_be_looked_at() {
    let (_dir, root) = project();
    let status = gyre(&root, "status").done().out;
    for words in ["shop", "not running (`gyre up` starts it)", "journal  none yet", "minutes  not serving"] {
        assert!(status.contains(words), "{words}: {status}");
    }
    assert!(!status.contains('\u{1b}'), "no colours where there is no terminal");
    assert_eq!(gyre(&root, "status --json").done().json()["server"], serde_json::Value::Null);
    assert_eq!(gyre(&root, "model list --json").done().json()["models"][0]["versions"], 0);
    assert!(gyre(&root, "model show minutes").done().out.contains("no version yet"));
    for words in ["train minutes", "resume minutes", "model rollback minutes", "model promote minutes 1"] {
        let said = gyre(&root, words);
        assert_eq!(said.code, 1, "{words}");
        assert!(said.err.contains("start it with `gyre up`"), "{words}: {}", said.err);
    }
    for words in ["journal", "journal verify", "lineage minutes@1", "model rollback minutes --dry-run"] {
        let said = gyre(&root, words);
        assert_eq!(said.code, 1, "{words}");
        assert!(said.err.contains("no journal yet"), "{words}: {}", said.err);
    }
    let said = gyre(&root, "model show minuets");
    assert_eq!(said.code, 2);
    assert!(said.err.contains("did you mean `minutes`?"), "{}", said.err);
}
