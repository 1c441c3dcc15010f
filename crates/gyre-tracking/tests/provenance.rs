//! Where runs came from is told with their end, or after it, and never changes what their seal covers.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use gyre_core::fact::TrackingChange;
use gyre_core::{Digest, Fact};
use gyre_store::{Store, StoreError, journal};
use gyre_tracking::batch::Batch;
use gyre_tracking::provenance::{self, Origin, Source};
use gyre_tracking::purge::{self, Purge};
use gyre_tracking::runs::{self, NewRun, RunUpdate};
use gyre_tracking::{RunStatus, data, seal};
use support::{by, new_run, on_each_store};

fn origin(record: &str, source: Source) -> Origin {
    let digest = Digest::of(record.as_bytes());
    Origin { digest, record: record.to_owned(), source, commit: Some("c1".to_owned()), dirty: true }
}

fn tag(store: &Store, run: &str, key: &str) -> Option<String> {
    let run = store.read(|tx| data::run(tx, run)).unwrap();
    run.tags.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

fn end(store: &Store, run: &str) {
    let seal = store.read(|tx| seal(tx, run, None)).unwrap();
    let run = run.to_owned();
    let update =
        RunUpdate { status: Some(RunStatus::Finished), ended: Some(9), name: None, seal: Some(seal) };
    store.write(move |tx| runs::update(tx, &run, update, &by(9))).unwrap();
}

fn told(store: &Store) -> Vec<TrackingChange> {
    let entries = store.read(|tx| journal::entries(tx, 0, 100)).unwrap();
    let changes = entries.into_iter().filter_map(|entry| match entry.fact {
        Fact::Tracking(change) => Some(change),
        _ => None,
    });
    changes.collect()
}

#[test]
fn a_record_that_is_known_in_time_is_told_with_the_end() {
    on_each_store(|store| {
        let run = store.write(|tx| new_run(tx, 0)).unwrap().run_id;
        let before = store.read(|tx| seal(tx, &run, None)).unwrap();
        let (id, seen) = (run.clone(), origin("{}", Source::Observed));
        store.write(move |tx| provenance::attach(tx, &id, &seen, &by(7))).unwrap();
        assert_eq!(store.read(|tx| seal(tx, &run, None)).unwrap(), before);
        assert_eq!(tag(store, &run, provenance::COMMIT).as_deref(), Some("c1"));
        assert_eq!(tag(store, &run, provenance::DIRTY).as_deref(), Some("true"));
        let kept = store.read(|tx| provenance::find(tx, &run)).unwrap().unwrap();
        assert_eq!((kept.record.as_str(), kept.source), ("{}", Source::Observed));

        end(store, &run);
        let [TrackingChange::RunEnded { provenance, .. }] = &told(store)[..] else {
            panic!("{:?}", told(store))
        };
        assert_eq!(provenance["gyre.provenance"], Digest::of(b"{}").to_hex());
    });
}

#[test]
fn a_record_that_comes_after_the_end_is_told_by_itself() {
    on_each_store(|store| {
        let run = store.write(|tx| new_run(tx, 0)).unwrap().run_id;
        end(store, &run);
        let (id, late) = (run.clone(), origin("{}", Source::Reported));
        store.write(move |tx| provenance::attach(tx, &id, &late, &by(10))).unwrap();
        let [_, TrackingChange::ProvenanceRecorded { run: of, digest }] = &told(store)[..] else {
            panic!("{:?}", told(store))
        };
        assert_eq!((of, *digest), (&run, Digest::of(b"{}")));
    });
}

#[test]
fn what_was_seen_replaces_what_was_said_and_not_the_other_way_round() {
    on_each_store(|store| {
        let run = store.write(|tx| new_run(tx, 0)).unwrap().run_id;
        let attach = |origin: Origin| {
            let id = run.clone();
            store.write(move |tx| provenance::attach(tx, &id, &origin, &by(7)))
        };
        attach(origin("said", Source::Reported)).unwrap();
        attach(origin("seen", Source::Observed)).unwrap();
        let refused = attach(origin("said again", Source::Reported));
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        assert_eq!(store.read(|tx| provenance::find(tx, &run)).unwrap().unwrap().record, "seen");
        let missing =
            store.write(|tx| provenance::attach(tx, "none", &origin("seen", Source::Observed), &by(7)));
        assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    });
}

#[test]
fn a_client_cannot_write_the_tags_of_the_server() {
    on_each_store(|store| {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        // A run after the pattern of another, with all of its tags.
        let tags = vec![
            pair("mlflow.source.git.commit", "theirs"),
            pair(provenance::RECORD, &"0".repeat(64)),
            pair(provenance::COMMIT, "made up"),
            pair("kept", "1"),
        ];
        let run =
            store.write(|tx| runs::create(tx, NewRun { tags, ..NewRun::default() })).unwrap().info.run_id;
        assert_eq!(
            (tag(store, &run, provenance::RECORD), tag(store, &run, provenance::COMMIT)),
            (None, None)
        );
        assert_eq!(tag(store, &run, "kept").as_deref(), Some("1"));
        let (id, seen) = (run.clone(), origin("{}", Source::Observed));
        store.write(move |tx| provenance::attach(tx, &id, &seen, &by(7))).unwrap();
        assert_eq!(tag(store, &run, provenance::COMMIT), None, "the client named the commit itself");
        for key in provenance::TAGS {
            let value = "0".repeat(64);
            let id = run.clone();
            let refused = [
                Batch::new(Vec::new(), Vec::new(), vec![pair("a", "b"), pair(key, &value)]).map(drop),
                store.write({
                    let id = id.clone();
                    move |tx| runs::set_tag(tx, &id, key.to_owned(), value)
                }),
                store.write(move |tx| runs::delete_tag(tx, &id, key)),
            ];
            for refused in refused {
                assert!(matches!(refused, Err(StoreError::Invalid(_))), "{key}: {refused:?}");
            }
        }
        assert_eq!(tag(store, &run, provenance::RECORD), Some(Digest::of(b"{}").to_hex()));
    });
}

#[test]
fn what_was_said_of_the_commit_goes_with_its_record() {
    on_each_store(|store| {
        let run = store.write(|tx| new_run(tx, 0)).unwrap().run_id;
        for (origin, commit) in [
            (
                Origin { commit: Some("made up".to_owned()), ..origin("said", Source::Reported) },
                Some("made up"),
            ),
            (Origin { commit: None, dirty: false, ..origin("seen", Source::Observed) }, None),
        ] {
            let id = run.clone();
            store.write(move |tx| provenance::attach(tx, &id, &origin, &by(7))).unwrap();
            assert_eq!(tag(store, &run, provenance::COMMIT).as_deref(), commit);
        }
        assert_eq!(tag(store, &run, provenance::DIRTY), None);
    });
}

#[test]
fn records_that_no_run_refers_to_are_removed_and_come_again_with_the_next_run() {
    on_each_store(|store| {
        let known = Arc::new(origin("{}", Source::Observed));
        let make = || {
            let new = NewRun { origin: Some(Arc::clone(&known)), ..NewRun::default() };
            store.write(move |tx| runs::create(tx, new)).unwrap().info.run_id
        };
        let (kept, gone) = (make(), store.write(|tx| new_run(tx, 0)).unwrap().run_id);
        let (id, other) = (gone.clone(), origin("other", Source::Observed));
        store.write(move |tx| provenance::attach(tx, &id, &other, &by(7))).unwrap();
        assert_eq!(store.write(provenance::remove_unused).unwrap(), 0);
        let purge = |run: &str| {
            let id = run.to_owned();
            store.write(move |tx| runs::delete(tx, &id, &by(8))).unwrap();
            let purge = Purge { before: 9, ..Purge::default() };
            for part in store.read(|tx| purge::survey(tx, &purge)).unwrap().parts() {
                let purge = purge.clone();
                store.write(move |tx| purge::remove(tx, &purge, &part, &by(9))).unwrap();
            }
            store.write(provenance::remove_unused).unwrap()
        };
        assert_eq!(purge(&gone), 1);
        assert!(store.read(|tx| provenance::find(tx, &kept)).unwrap().is_some());
        assert_eq!(purge(&kept), 1);
        // The server still knows the client, and what it makes next must not refer to nothing.
        let next = make();
        assert_eq!(store.read(|tx| provenance::find(tx, &next)).unwrap().unwrap().record, "{}");
    });
}
