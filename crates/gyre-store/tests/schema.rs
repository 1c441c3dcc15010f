//! Migrations: forward only, checked, with a backup before they touch anything.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gyre_core::time::{ManualClock, Timestamp};
use gyre_core::{Clock, Fact};
use gyre_store::{NewFact, Room, Store, StoreError, journal};
use gyre_testing::Place;

gyre_testing::on_both!(
    a_newer_store_is_refused,
    a_script_that_was_changed_is_refused_by_room_and_version,
    tables_come_up_to_date_and_keep_their_rows,
    what_fails_changes_nothing,
);

const FIRST: &str = "CREATE TABLE shelf_book (id INTEGER PRIMARY KEY, title TEXT NOT NULL) STRICT;
    INSERT INTO shelf_book (title) VALUES ('Emma');";
const SECOND: &str = "ALTER TABLE shelf_book ADD COLUMN year INTEGER;";

macro_rules! rooms {
    ($name:ident: $($script:expr),*) => {
        static $name: [&Room; 1] = [&Room { name: "shelf", migrations: &[$($script),*], project: |_, _| Ok(()) }];
    };
}
rooms!(ONE: FIRST);
rooms!(TWO: FIRST, SECOND);
rooms!(CHANGED: "CREATE TABLE shelf_book (id INTEGER PRIMARY KEY) STRICT;", SECOND);
rooms!(BROKEN: FIRST, SECOND, "CREATE TABLE shelf_other (a TEXT) STRICT; CREATE TABLE shelf_book (a TEXT) STRICT;");

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_795_635_732_123)))
}

fn try_open(place: &Place, rooms: &'static [&'static Room]) -> Result<Store, StoreError> {
    match place.url() {
        Some(url) => Store::open_postgres(place.dir(), &url, rooms, clock()),
        None => Store::open(place.dir(), rooms, clock()),
    }
}

fn years(store: &Store) -> Result<Vec<Option<i64>>, StoreError> {
    store.read(|tx| tx.query("SELECT year FROM shelf_book", &[])?.iter().map(|row| row.get(0)).collect())
}

fn backups(dir: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(dir.join("backup")).into_iter().flatten();
    let mut found: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn tables_come_up_to_date_and_keep_their_rows(place: &Place) {
    drop(try_open(place, &ONE).unwrap());
    let store = try_open(place, &TWO).unwrap();
    assert_eq!(years(&store).unwrap(), [None]);
    drop(store);
    assert_eq!(years(&try_open(place, &TWO).unwrap()).unwrap(), [None]);
}

fn a_newer_store_is_refused(place: &Place) {
    drop(try_open(place, &TWO).unwrap());
    let refused = try_open(place, &ONE).err().unwrap().to_string();
    assert!(refused.contains("newer gyre") && refused.contains("`shelf` are at version 2"), "{refused}");
}

fn a_script_that_was_changed_is_refused_by_room_and_version(place: &Place) {
    drop(try_open(place, &TWO).unwrap());
    let refused = try_open(place, &CHANGED).err().unwrap().to_string();
    assert!(refused.contains("`shelf`") && refused.contains("version 1: SHA-256 "), "{refused}");
    assert!(try_open(place, &TWO).is_ok());
}

fn what_fails_changes_nothing(place: &Place) {
    drop(try_open(place, &ONE).unwrap());
    assert!(try_open(place, &BROKEN).is_err());
    let store = try_open(place, &ONE).unwrap();
    assert!(years(&store).is_err(), "the second script was rolled back with the third");
}

#[test]
fn before_a_migration_there_is_a_backup_that_opens() {
    let place = Place::sqlite();
    let store = try_open(&place, &ONE).unwrap();
    assert_eq!((store.backup_made(), backups(place.dir()).len()), (None, 0));
    let fact = Fact::LoopResumed { model: "m".parse().unwrap() };
    store.write(move |tx| tx.append(NewFact::new(Timestamp::default(), "user:ann", fact))).unwrap();
    let before = store.read(journal::head).unwrap();
    drop(store);
    let store = try_open(&place, &TWO).unwrap();
    let backup = store.backup_made().unwrap().to_owned();
    assert_eq!(backup.file_name().unwrap(), "gyre-20261125T194212Z-shelf1-store1.db");
    assert_eq!(backups(place.dir()), std::slice::from_ref(&backup));
    drop(store);
    assert_eq!(try_open(&place, &TWO).unwrap().backup_made(), None);

    let other = Place::sqlite();
    std::fs::copy(&backup, other.dir().join("gyre.db")).unwrap();
    let old = try_open(&other, &ONE).unwrap();
    assert_eq!(old.read(journal::head).unwrap(), before);
    assert!(journal::verify(&old).unwrap().verified);
}

#[test]
fn only_the_newest_backups_are_kept() {
    let place = Place::sqlite();
    drop(try_open(&place, &ONE).unwrap());
    std::fs::create_dir(place.dir().join("backup")).unwrap();
    for day in 1..=7 {
        std::fs::write(place.dir().join(format!("backup/gyre-2026010{day}T000000Z-shelf1.db")), "").unwrap();
    }
    std::fs::write(place.dir().join("backup/manual-20200101T000000Z.db"), "").unwrap();
    drop(try_open(&place, &TWO).unwrap());
    let kept = backups(place.dir());
    let names: Vec<&str> = kept.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names.len(), 6);
    assert!(names[0].starts_with("gyre-20260104") && names[4].starts_with("gyre-20261125"), "{names:?}");
    assert!(names[5].starts_with("manual-"));
}

#[test]
fn a_store_from_before_the_digests_opens() {
    let place = Place::sqlite();
    drop(try_open(&place, &ONE).unwrap());
    let database = rusqlite::Connection::open(place.dir().join("gyre.db")).unwrap();
    let old = "DROP TABLE schema_migration; DELETE FROM schema_version WHERE room = 'store'; DELETE FROM journal_head";
    database.execute_batch(old).unwrap();
    drop(database);
    let store = try_open(&place, &TWO).unwrap();
    assert!(store.backup_made().is_some());
    assert_eq!(years(&store).unwrap(), [None]);
    let fact = Fact::LoopResumed { model: "m".parse().unwrap() };
    store.write(move |tx| tx.append(NewFact::new(Timestamp::default(), "user:ann", fact))).unwrap();
    assert!(journal::verify(&store).unwrap().verified);
    drop(store);
    assert!(matches!(try_open(&place, &CHANGED), Err(StoreError::Altered { version: 1, .. })));
}

#[test]
fn a_backup_is_made_while_the_store_is_open() {
    let place = Place::sqlite();
    let store = try_open(&place, &ONE).unwrap();
    let made = Store::open_read_only(place.dir()).unwrap().backup(None, clock().now()).unwrap();
    assert_eq!(made, place.dir().join("backup/manual-20261125T194212Z.db"));
    let again = store.backup(Some(&made), clock().now());
    assert!(matches!(again, Err(StoreError::Exists { .. })));
    let other = Place::sqlite();
    std::fs::rename(&made, other.dir().join("gyre.db")).unwrap();
    assert!(try_open(&other, &ONE).is_ok());
}

#[test]
fn a_store_on_postgres_is_backed_up_by_its_own_tools() {
    let place = Place::postgres();
    let refused = try_open(&place, &ONE).unwrap().backup(None, clock().now()).err().unwrap();
    assert!(refused.to_string().contains("pg_dump"), "{refused}");
}
