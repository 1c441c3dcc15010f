//! What the store promises, seen from outside: durable, atomic, idempotent, verifiable.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::merkle;
use gyre_core::time::{ManualClock, Timestamp};
use gyre_core::{Entry, Fact};
use gyre_store::{Cell, NewFact, Room, Store, StoreError, Tx, journal};
use gyre_testing::Place;

gyre_testing::on_both!(
    a_blob_comes_back_as_it_was_or_not_at_all,
    a_proof_from_the_store_verifies_without_it,
    many_writers_share_commits_and_none_is_lost,
    state_and_fact_commit_together_or_not_at_all,
    the_same_key_is_written_once,
    those_who_wait_hear_of_news,
    whatever_is_changed_behind_our_back_is_found,
);

fn count_entries(tx: &mut Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    tx.execute("UPDATE tally SET n = n + 1, last = ?1", &[entry.seq.into()]).map(drop)
}

static TALLY: Room = Room {
    name: "tally",
    migrations: &[
        "CREATE TABLE tally (n INTEGER NOT NULL, last INTEGER NOT NULL); INSERT INTO tally VALUES (0, 0);",
    ],
    project: count_entries,
};
static ROOMS: [&Room; 1] = [&TALLY];

fn open(place: &Place) -> Store {
    place.open(&ROOMS, Arc::new(ManualClock::at(Timestamp::from_millis(5))))
}

fn fact(model: &str) -> NewFact {
    let fact = Fact::LoopResumed { model: model.parse().unwrap() };
    NewFact::new(Timestamp::from_millis(1), "user:test", fact)
}

fn tally(store: &Store) -> (u64, u64) {
    store
        .read(|tx| tx.query("SELECT n, last FROM tally", &[]).and_then(|r| Ok((r[0].get(0)?, r[0].get(1)?))))
        .unwrap()
}

fn state_and_fact_commit_together_or_not_at_all(place: &Place) {
    let store = open(place);
    store.write(|tx| tx.append(fact("a"))).unwrap();
    let refused: Result<(), _> = store.write(|tx| {
        tx.append(fact("b"))?;
        Err(StoreError::Conflict("no".to_owned()))
    });
    assert!(refused.is_err());
    assert_eq!(tally(&store), (1, 1));
    store.write(|tx| tx.append(fact("c"))).unwrap();
    assert_eq!(tally(&store), (2, 2));
    drop(store);

    let store = open(place);
    let entries = store.read(|tx| journal::entries(tx, 0, 10)).unwrap();
    let models: Vec<_> = entries.iter().map(|e| e.fact.model().unwrap().to_string()).collect();
    assert_eq!(models, ["a", "c"]);
    assert_eq!(entries[1].recorded, Timestamp::from_millis(5));
    assert!(journal::verify(&store).unwrap().verified);
}

fn the_same_key_is_written_once(place: &Place) {
    let store = open(place);
    let first = store.write(|tx| tx.append(fact("a").once("k"))).unwrap();
    let again = store.write(|tx| tx.append(fact("b").once("k"))).unwrap();
    assert_eq!((first.seq, first.fresh, again.seq, again.fresh), (1, true, 1, false));
    assert_eq!(tally(&store), (1, 1));
}

fn many_writers_share_commits_and_none_is_lost(place: &Place) {
    let store = Arc::new(open(place));
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                for i in 0..25 {
                    store.write(move |tx| tx.append(fact("m").once(format!("{writer}/{i}")))).unwrap();
                }
            });
        }
    });
    assert_eq!(tally(&store), (200, 200));
    assert_eq!(store.journal_size(), 200);
    let found = journal::verify(&store).unwrap();
    assert!(found.verified && found.entries == 200, "{found:?}");
}

fn a_proof_from_the_store_verifies_without_it(place: &Place) {
    let store = open(place);
    for _ in 0..7 {
        store.write(|tx| tx.append(fact("a"))).unwrap();
    }
    let (head, leaves) = store.read(|tx| Ok((journal::head(tx)?, journal::leaves(tx, 7)?))).unwrap();
    let proof = merkle::inclusion_proof(&leaves, 4).unwrap();
    assert!(merkle::verify_inclusion(leaves[4], 4, 7, &proof, head.root));
}

fn whatever_is_changed_behind_our_back_is_found(place: &Place) {
    let changes: [(&str, &[Cell]); 6] = [
        ("UPDATE journal SET body = replace(body, '\"user:test\"', '\"user:evil\"') WHERE seq = 2", &[]),
        ("UPDATE journal SET kind = 'promoted' WHERE seq = 2", &[]),
        ("UPDATE journal SET leaf = ?1 WHERE seq = 2", &[Cell::Blob(vec![0; 32])]),
        ("DELETE FROM journal WHERE seq = 3", &[]),
        ("DELETE FROM journal WHERE seq = 1", &[]),
        ("UPDATE journal_head SET frontier = '{\"size\":0,\"peaks\":[]}'", &[]),
    ];
    for (change, cells) in changes {
        let place = place.another();
        let store = open(&place);
        for _ in 0..3 {
            store.write(|tx| tx.append(fact("a"))).unwrap();
        }
        let cells = cells.to_vec();
        store.write(move |tx| tx.execute(change, &cells)).unwrap();
        let found = journal::verify(&store).unwrap();
        assert!(!found.verified && !found.problems.is_empty(), "{change}");
    }
}

#[test]
fn a_second_process_is_told_who_holds_the_store_and_may_read() {
    let place = Place::sqlite();
    let store = open(&place);
    store.write(|tx| tx.append(fact("a"))).unwrap();
    let refused = Store::open(place.dir(), &ROOMS, Arc::new(ManualClock::default())).err().unwrap();
    assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    let reader = Store::open_read_only(place.dir()).unwrap();
    assert_eq!(reader.read(journal::head).unwrap().size, 1);
    assert!(matches!(reader.write(|tx| tx.append(fact("a"))), Err(StoreError::ReadOnly)));
    assert!(matches!(Store::open_read_only(&place.dir().join("none")), Err(StoreError::Absent(_))));
}

fn a_blob_comes_back_as_it_was_or_not_at_all(place: &Place) {
    let store = open(place);
    let digest = store.blobs().put(b"model").unwrap();
    assert_eq!(store.blobs().put(b"model").unwrap(), digest);
    assert_eq!(store.blobs().get(&digest).unwrap(), b"model");
    std::fs::write(store.blobs().path(&digest), b"other").unwrap();
    assert!(matches!(store.blobs().get(&digest), Err(StoreError::Corrupt { .. })));
}

fn those_who_wait_hear_of_news(place: &Place) {
    let store = Arc::new(open(place));
    let waiter = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || store.wait_beyond(0, std::time::Duration::from_secs(60)))
    };
    store.write(|tx| tx.append(fact("a"))).unwrap();
    assert_eq!(waiter.join().unwrap(), 1);
}
