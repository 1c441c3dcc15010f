//! Login by OpenID Connect: the real binary, a provider from PyPI, and one of our own that lies.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use support::{command, gyre};

/// A process that ends with the test.
struct Running {
    child: Child,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python() -> Command {
    let python = std::env::var_os("GYRE_PYTHON")
        .expect("GYRE_PYTHON names a Python with oidc-provider-mock: run `cargo xtask test -- -p gyre`");
    Command::new(python)
}

/// The provider that lies on request.
fn liar() -> Running {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oidc/provider.py");
    let mut child = python().arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    Running { child, url: url.trim().to_owned() }
}

/// `oidc-provider-mock`, with two people.
fn provider() -> Running {
    const SCRIPT: &str = "
import sys, threading
from oidc_provider_mock import User, run_server_in_thread
people = [User(sub='ada', claims={'email': 'ada@example.org', 'email_verified': True, 'groups': ['ml']}),
          User(sub='eve', claims={'email': 'eve@example.org', 'email_verified': True})]
with run_server_in_thread(user_claims=people, require_nonce=True) as server:
    print(f'http://localhost:{server.server_port}', flush=True)
    sys.stdin.read()
";
    let mut command = python();
    command
        .args(["-W", "ignore", "-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert!(url.starts_with("http"), "oidc-provider-mock does not start: run `cargo xtask test -- -p gyre`");
    Running { child, url: url.trim().to_owned() }
}

fn up(root: &Path, issuer: &str, more: &[&str]) -> Running {
    let mut command = command(root);
    command.args(["up", "--listen", "127.0.0.1:0", "--oidc-client-id", "gyre", "--oidc-issuer", issuer]);
    command.args(more).env("GYRE_OIDC_CLIENT_SECRET", "client-secret-of-the-test");
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("it did not start: {line}")).to_owned();
    Running { child, url: format!("http://{address}") }
}

struct Answer {
    status: u16,
    location: Option<String>,
    cookies: Vec<(String, String)>,
    body: String,
}

/// A browser: keeps the cookies of gyre.
#[derive(Default)]
struct Browser(HashMap<String, String>);

impl Browser {
    fn ask(&mut self, method: &str, url: &str, body: &str) -> Answer {
        let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap_or((&url[7..], ""));
        let cookies: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncookie: {}\r\ncontent-type: \
             application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            cookies.join("; "),
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let header = |wanted: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let values = lines.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            values.map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
        };
        let pair = |line: &String| {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        };
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            location: header("location").pop(),
            cookies: header("set-cookie").iter().map(pair).collect(),
            body: body.to_owned(),
        }
    }

    fn visit(&mut self, url: &str) -> Answer {
        let answer = self.ask("GET", url, "");
        self.0.extend(answer.cookies.iter().cloned());
        answer
    }

    /// To the provider and back, up to the address of the callback; `more` is added to what the provider is asked.
    fn reach_callback(&mut self, gyre: &str, more: &str) -> String {
        let begun = self.visit(&format!("{gyre}/login/oidc?next=%2Fjournal"));
        assert_eq!(begun.status, 303, "{}", begun.body);
        let url = begun.location.unwrap();
        for part in ["code_challenge_method=S256", "state=", "nonce=", "response_type=code", "scope=openid"] {
            assert!(url.contains(part), "{url}");
        }
        let back = Browser::default().ask("GET", &format!("{url}{more}"), "");
        back.location.unwrap_or_else(|| panic!("{}", back.body))
    }

    fn whoami(&mut self, gyre: &str) -> Value {
        let answer = self.visit(&format!("{gyre}/v1/whoami"));
        serde_json::from_str(&answer.body).unwrap()
    }
}

#[test]
fn a_person_of_a_group_comes_in_by_a_real_provider() {
    let dir = tempfile::tempdir().unwrap();
    let provider = provider();
    let gyre_up = up(dir.path(), &provider.url, &["--oidc-role", "ml=contributor"]);
    let mut browser = Browser::default();
    assert!(browser.visit(&format!("{}/login", gyre_up.url)).body.contains("Log in at localhost"));
    for (person, status) in [("ada", 303), ("eve", 403)] {
        let begun = browser.visit(&format!("{}/login/oidc?next=%2Fjournal", gyre_up.url));
        let consent = Browser::default().ask("POST", &begun.location.unwrap(), &format!("sub={person}"));
        let entered = browser.visit(&consent.location.unwrap());
        assert_eq!(entered.status, status, "{}", entered.body);
        if status == 303 {
            assert_eq!(entered.location.as_deref(), Some("/journal"));
            let told = browser.whoami(&gyre_up.url);
            assert_eq!(
                (told["user"].as_str(), told["role"].as_str()),
                (Some("ada@example.org"), Some("contributor"))
            );
            browser = Browser::default();
        } else {
            assert!(entered.body.contains("nobody has let you in yet"), "{}", entered.body);
        }
    }
    drop(gyre_up);
    let journal = gyre(dir.path(), "journal list --json").done().out;
    for told in ["identity_linked", "role_granted", "logged_in", "\"oidc\""] {
        assert!(journal.contains(told), "{told}: {journal}");
    }
    assert!(!journal.contains("eve@example.org"), "strangers leave nothing behind");
}

#[test]
fn a_provider_that_lies_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let provider = liar();
    let gyre_up =
        up(dir.path(), &provider.url, &["--oidc-role", "ml=viewer", "--oidc-role", "leads=approver"]);
    for lie in ["issuer", "audience", "nonce", "expired", "signature", "unsigned", "unverified"] {
        let mut browser = Browser::default();
        let callback = browser.reach_callback(&gyre_up.url, &format!("&groups=ml&lie={lie}"));
        let refused = browser.visit(&callback);
        assert_eq!(refused.status, 403, "{lie}: {}", refused.body);
        assert!(!browser.0.contains_key("gyre-session"), "{lie}");
    }
    let mut browser = Browser::default();
    let callback = browser.reach_callback(&gyre_up.url, "&groups=ml,leads");
    let stranger = Browser::default().visit(&callback);
    assert_eq!(stranger.status, 400, "a login that began in another browser: {}", stranger.body);
    let mut other = Browser::default();
    other.reach_callback(&gyre_up.url, "&groups=ml");
    assert_eq!(other.visit(&callback).status, 400, "another login's state");
    let entered = browser.visit(&callback);
    assert_eq!(entered.status, 303, "{}", entered.body);
    assert_eq!(browser.whoami(&gyre_up.url)["role"], "approver", "the highest of the groups");
    let again = Browser(browser.0.clone()).visit(&callback);
    assert_ne!(again.status, 303, "a code is good once");

    let mut later = Browser::default();
    let callback = later.reach_callback(&gyre_up.url, "");
    assert_eq!(later.visit(&callback).status, 303, "known by now");
    assert!(
        later.whoami(&gyre_up.url)["error"]["message"].as_str().unwrap().contains("no role"),
        "left all groups"
    );
    let mut renamed = Browser::default();
    let callback = renamed.reach_callback(&gyre_up.url, "&groups=ml&email=countess@example.org");
    assert_eq!(renamed.visit(&callback).status, 303);
    assert_eq!(
        renamed.whoami(&gyre_up.url)["user"],
        "ada@example.org",
        "known by the subject, whatever the address"
    );
    let mut thief = Browser::default();
    let callback = thief.reach_callback(&gyre_up.url, "&groups=ml&sub=666");
    let refused = thief.visit(&callback);
    assert!(refused.status == 403 && refused.body.contains("logs in another way"), "{}", refused.body);
}

#[test]
fn who_was_invited_comes_in_without_groups_and_nobody_takes_over_a_password() {
    let dir = tempfile::tempdir().unwrap();
    gyre(dir.path(), "access user add ada@example.org --no-password --role viewer").done();
    let provider = liar();
    let gyre_up = up(dir.path(), &provider.url, &[]);
    let mut browser = Browser::default();
    let callback = browser.reach_callback(&gyre_up.url, "");
    assert_eq!(browser.visit(&callback).status, 303);
    assert_eq!(browser.whoami(&gyre_up.url)["role"], "viewer");
    let mut stranger = Browser::default();
    let callback = stranger.reach_callback(&gyre_up.url, "&sub=1&email=eve@example.org");
    assert_eq!(stranger.visit(&callback).status, 403);
}

#[test]
fn wrong_settings_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    for (words, told) in [
        ("up --oidc-issuer http://id.example.org --oidc-client-id gyre", "must be https"),
        ("up --oidc-issuer nonsense --oidc-client-id gyre", "is not a URL"),
        ("up --oidc-issuer https://id.example.org", "--oidc-client-id"),
        (
            "up --oidc-issuer https://id.example.org --oidc-client-id gyre --oidc-role ml=root",
            "expected viewer",
        ),
    ] {
        let refused = gyre(dir.path(), words);
        assert!(refused.code != 0 && refused.err.contains(told), "{words}: {}", refused.err);
    }
}
