//! Where a project keeps its memory: SQLite at first, PostgreSQL when it has moved.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use gyre_testing::Place;
use serde_json::json;
use support::{Said, Up, command, gyre, project};

/// Runs `gyre WORDS` with the store at `url`.
fn gyre_on(root: &Path, url: &str, words: &str) -> Said {
    command(root).env("GYRE_STORE", url).args(words.split_whitespace()).output().unwrap().into()
}

#[test]
fn a_store_moves_to_postgres_and_the_server_goes_on_there() {
    let (_dir, root) = project();
    let place = Place::postgres();
    let url = place.url_text().unwrap();
    let up = Up::start(&root);
    gyre(&root, "train minutes --window 14d --as-of 2025-02-10T00:00:00Z").done();
    let second = gyre(&root, "up --listen 127.0.0.1:0");
    assert_eq!(second.code, 1);
    assert!(second.err.contains("in use by process "), "{}", second.err);
    let running = gyre(&root, &format!("store migrate-to {url}"));
    assert_eq!(running.code, 1);
    assert!(running.err.contains("in use by process "), "{}", running.err);
    drop(up);

    let before = gyre(&root, "store info --json").done().json();
    assert_eq!(before["database"], "sqlite");
    let plan = gyre(&root, &format!("store migrate-to {url} --dry-run --json")).done().json();
    assert_eq!((&plan["dry_run"], &plan["moved"]["head"]), (&json!(true), &before["journal"]));
    let moved = gyre(&root, &format!("store migrate-to {url}")).done().out;
    assert!(moved.contains("loop_action") && moved.contains("verified there"), "{moved}");
    let left = gyre(&root, "up --listen 127.0.0.1:0");
    assert_eq!(left.code, 1);
    assert!(left.err.contains("was moved to 127.0.0.1:") && left.err.contains("--store"), "{}", left.err);

    let after = gyre_on(&root, url, "store info --json").done().json();
    assert_eq!((&after["database"], &after["journal"]), (&json!("postgresql"), &before["journal"]));
    let mut server = command(&root);
    server.env("GYRE_STORE", url);
    let up = Up::with(server);
    up.come_to("2025-02-10T00:00:00Z");
    let shown = gyre_on(&root, url, "model show minutes").done().out;
    assert!(shown.contains("v1       champion     100%"), "{shown}");
    let verified = gyre_on(&root, url, "journal verify --json").done().json();
    assert_eq!(verified["verified"], true);
    let refused = gyre_on(&root, url, "store backup");
    assert!(refused.err.contains("pg_dump"), "{}", refused.err);
}

#[test]
fn a_backup_is_a_store_of_its_own() {
    let (_dir, root) = project();
    drop(Up::start(&root));
    let file = root.join("copy.db");
    let made = gyre(&root, "store backup copy.db").done().out;
    assert_eq!(made.trim(), "copy.db");
    let again = gyre(&root, "store backup copy.db");
    assert!(again.err.contains("`copy.db` exists already"), "{}", again.err);
    let (_other, other) = project();
    std::fs::create_dir_all(other.join(".gyre")).unwrap();
    std::fs::copy(file, other.join(".gyre/gyre.db")).unwrap();
    let (one, two) = (gyre(&root, "store info --json").json(), gyre(&other, "store info --json").json());
    assert_eq!(one["journal"], two["journal"]);
}

#[test]
fn a_password_is_not_repeated() {
    let (_dir, root) = project();
    for url in [
        "postgres://ann:s3cret@127.0.0.1:1/none",
        "mysql://ann:s3cret@h/d",
        "postgres://ann:s3cret@h/d?sslmode=allow",
    ] {
        for words in ["up --listen 127.0.0.1:0", "status", "store info", "store --help", "up --help"] {
            let said = gyre_on(&root, url, words);
            assert!(!said.err.contains("s3cret") && !said.out.contains("s3cret"), "{words}: {said:?}");
        }
    }
}
