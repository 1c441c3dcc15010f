//! `gyre access` and a server that asks who calls: the real binary, and MLflow's real client.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gyre_testing::Place;
use support::{Said, command, gyre};

const PASSWORD: &str = "correct horse battery";

/// Runs `gyre WORDS` with a token (or none), and `input` on standard input.
fn ask(root: &Path, token: Option<&str>, words: &str, input: &str) -> Said {
    let mut command = command(root);
    command.args(words.split_whitespace()).env_remove("GYRE_TOKEN");
    command.envs(token.map(|token| ("GYRE_TOKEN", token)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

/// `gyre up`, for as long as this lives.
struct Up {
    child: Child,
    url: String,
}

impl Up {
    fn start(root: &Path, more: &[&str]) -> Self {
        let mut command = command(root);
        command.args(["up", "--listen", "127.0.0.1:0"]).args(more).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("it did not start: {line}")).to_owned();
        Self { child, url: format!("http://{address}") }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a user `ada`, who administers.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    ask(dir.path(), None, "access user add ada --role admin --password-stdin", PASSWORD).done();
    dir
}

/// Whether a file of the project holds `text`.
fn holds(root: &Path, text: &str) -> bool {
    let found = |file: &std::fs::DirEntry| {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    std::fs::read_dir(root.join(".gyre")).unwrap().any(|file| found(&file.unwrap()))
}

#[test]
fn users_tokens_and_roles_are_managed_without_a_server() {
    let dir = folder();
    let root = dir.path();
    for (words, input, told) in [
        ("access user add ada --password-stdin", PASSWORD, "user `ada` exists already"),
        ("access user add grace --password-stdin", "short", "use at least 12"),
        ("access user add grace", "", "--password-stdin"),
        ("access user add a:b --no-password", "", "is not the name of a user"),
        ("access grant nobody viewer", "", "there is no user `nobody`"),
        ("access token create ada --days 4000", "", "at most 366 days"),
        ("access grant ada root", "", "expected viewer, contributor, approver or admin"),
    ] {
        let refused = ask(root, None, words, input);
        assert_ne!(refused.code, 0, "{words}");
        assert!(refused.err.contains(told), "{words}: {}", refused.err);
    }
    gyre(root, "access user add ci --service").done();
    gyre(root, "access grant ci contributor --in *").done();
    let made = gyre(root, "access token create ci --label nightly").done();
    let token = made.out.trim();
    assert!(token.starts_with("gyre_") && !token.contains(char::is_whitespace), "{token}");
    assert!(!made.err.contains(token), "{}", made.err);
    let users = gyre(root, "access user list --json").done().json();
    assert_eq!(users["users"][1]["kind"], "service");
    let grants = gyre(root, "access list --json").done().json();
    assert_eq!(
        (&grants["grants"][1]["project"], &grants["grants"][1]["role"]),
        (&"*".into(), &"contributor".into())
    );
    let listed = gyre(root, "access token list --json").done();
    assert_eq!(listed.json()["tokens"][0]["label"], "nightly");
    assert!(gyre(root, "access token list").done().out.contains("nightly"));
    let journal = gyre(root, "journal list --json").done().out;
    assert!(journal.contains("token_issued"), "{journal}");
    let secret = token.rsplit('_').next().unwrap();
    for hidden in [secret, PASSWORD] {
        assert!(!listed.out.contains(hidden) && !journal.contains(hidden) && !holds(root, hidden));
    }
    let id = token.split('_').nth(1).unwrap();
    gyre(root, &format!("access token revoke {id}")).done();
    gyre(root, "access revoke ci --in *").done();
    gyre(root, "access user delete ci").done();
    ask(root, None, "access user passwd ada --password-stdin", "another long password 7").done();
}

#[test]
fn a_server_that_asks_is_commanded_with_a_token() {
    let dir = folder();
    let root = dir.path();
    let admin = ask(root, None, "access token create ada --role admin", "").done().out.trim().to_owned();
    let _up = Up::start(root, &["--auth", "required"]);
    let refused = ask(root, None, "access user list", "");
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("this server asks who you are") && refused.err.contains("GYRE_TOKEN"),
        "{}",
        refused.err
    );
    ask(root, Some(&admin), "access user add grace --role viewer --password-stdin", PASSWORD).done();
    let viewer = ask(root, Some(&admin), "access token create grace", "").done().out.trim().to_owned();
    let refused = ask(root, Some(&viewer), "access user list", "");
    assert!(refused.err.contains("has the role viewer here, and this takes admin"), "{}", refused.err);
    let tokens = ask(root, Some(&admin), "access token list --user grace --json", "").done().json();
    let id = tokens["tokens"][0]["id"].as_str().unwrap().to_owned();
    ask(root, Some(&admin), &format!("access token revoke {id}"), "").done();
    assert!(ask(root, Some(&viewer), "access user list", "").err.contains("was revoked"));
    ask(root, Some(&admin), "access grant grace approver", "").done();
    let grants = ask(root, Some(&admin), "access list --json", "").done().json();
    assert_eq!(grants["grants"][1]["role"], "approver");
    ask(root, Some(&admin), "access revoke grace", "").done();
    ask(root, Some(&admin), "access user passwd grace --password-stdin", "another long password 7").done();
    ask(root, Some(&admin), "access user delete grace", "").done();
}

#[test]
fn a_public_address_needs_somebody_who_can_log_in_and_a_word_on_encryption() {
    let dir = tempfile::tempdir().unwrap();
    let refused = gyre(dir.path(), "up --listen 0.0.0.0:0");
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("--behind-proxy") && refused.err.contains("plain text"), "{}", refused.err);
    let refused = gyre(dir.path(), "up --listen 0.0.0.0:0 --insecure-http");
    assert!(refused.err.contains("gyre access user add NAME --role admin"), "{}", refused.err);
    assert_eq!(gyre(dir.path(), "up --host https://gyre.example").code, 1);
}

/// MLflow's client, told who it is by the variables that it documents.
fn mlflow(url: &str, script: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let python = std::env::var_os("GYRE_PYTHON")
        .expect("GYRE_PYTHON names a Python with mlflow: run `cargo xtask test -- -p gyre`");
    let mut command = Command::new(python);
    command.args(["-c", script]).env("MLFLOW_TRACKING_URI", url).env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0");
    for name in ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"] {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn mlflows_client_comes_in_with_a_token_and_with_a_password_and_not_without() {
    let dir = folder();
    let root = dir.path();
    let token = gyre(root, "access token create ada").done().out.trim().to_owned();
    ask(root, None, "access user add grace --role viewer --password-stdin", PASSWORD).done();
    let up = Up::start(root, &["--auth", "required"]);
    let search = "import mlflow; print([e.name for e in mlflow.search_experiments()])";
    let create =
        "import mlflow; mlflow.set_experiment('trial')\nwith mlflow.start_run(): mlflow.log_metric('a', 1)";
    let (done, said) = mlflow(&up.url, search, &[]);
    assert!(!done && said.contains("this server asks who you are"), "{said}");
    let wrong = "gyre_0123456789abcdef_0000000000000000000000000000000000000000000000000000000000000000";
    let (done, said) = mlflow(&up.url, search, &[("MLFLOW_TRACKING_TOKEN", wrong)]);
    assert!(!done && said.contains("the token is unknown"), "{said}");
    let by_token = [("MLFLOW_TRACKING_TOKEN", token.as_str())];
    let (done, said) = mlflow(&up.url, create, &by_token);
    assert!(done, "{said}");
    let by_password = [("MLFLOW_TRACKING_USERNAME", "grace"), ("MLFLOW_TRACKING_PASSWORD", PASSWORD)];
    let (done, said) = mlflow(&up.url, search, &by_password);
    assert!(done && said.contains("trial"), "{said}");
    let (done, said) = mlflow(&up.url, create, &by_password);
    assert!(!done && said.contains("has the role viewer here, and this takes contributor"), "{said}");
    let as_password = [("MLFLOW_TRACKING_USERNAME", "ada"), ("MLFLOW_TRACKING_PASSWORD", token.as_str())];
    assert!(mlflow(&up.url, search, &as_password).0);
    drop(up);
    let journal = gyre(root, "journal list --json").done().out;
    assert!(journal.contains("(user:ada)"), "who did it is in the journal: {journal}");
}

#[test]
fn what_one_server_changes_is_in_force_in_another_on_the_same_database() {
    let (place, dir) = (Place::postgres(), tempfile::tempdir().unwrap());
    let roots = ["one", "two"].map(|name| dir.path().join(name).join("shop"));
    let store = ["--store", place.url_text().unwrap()];
    let manage = |words: &str, input: &str| {
        ask(&roots[0], None, &format!("{words} --store {}", store[1]), input).done().out
    };
    roots.iter().for_each(|root| std::fs::create_dir_all(root).unwrap());
    manage("access user add ada --role admin --password-stdin", PASSWORD);
    let tokens = [(); 2].map(|()| manage("access token create ada --role admin", "").trim().to_owned());
    let servers =
        roots.each_ref().map(|root| Up::start(root, &[&["--auth", "required"], &store[..]].concat()));

    let listed = |at: usize, token: &String| ask(&roots[at], Some(token), "access token list --json", "");
    assert_eq!(listed(1, &tokens[1]).done().json()["tokens"].as_array().unwrap().len(), 2);
    let id = tokens[1].split('_').nth(1).unwrap();
    ask(&roots[0], Some(&tokens[0]), &format!("access token revoke {id}"), "").done();
    let until = Instant::now() + Duration::from_secs(30);
    while listed(1, &tokens[1]).code == 0 {
        assert!(Instant::now() < until, "a revoked token is still good at the other server");
    }
    let refused = listed(1, &tokens[1]);
    assert!(refused.err.contains("revoked"), "{}", refused.err);
    listed(1, &tokens[0]).done();
    drop(servers);
}
