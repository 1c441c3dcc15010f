//! A store on SQLite moves to PostgreSQL: all of it or nothing, and only once.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::Fact;
use gyre_core::time::{ManualClock, Timestamp};
use gyre_store::{Cell, NewFact, Room, Store, StoreError, journal, move_to_postgres, plan_move};
use gyre_testing::Place;

static ROOMS: [&Room; 1] = [&Room {
    name: "zoo",
    migrations: &["
        CREATE TABLE zoo_cage (id INTEGER PRIMARY KEY, \"order\" TEXT NOT NULL) STRICT;
        CREATE TABLE zoo_animal (
            id INTEGER PRIMARY KEY,
            cage INTEGER NOT NULL REFERENCES zoo_cage (id),
            name TEXT NOT NULL,
            weight REAL,
            photo BLOB
        ) STRICT;
        INSERT INTO zoo_cage VALUES (1, 'a script''s own row');
    "],
    project: |_, _| Ok(()),
}];

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::default())
}

/// A store with 12,000 animals, four entries, and a row of the script's that is gone.
fn filled(place: &Place) -> Store {
    let store = place.open(&ROOMS, clock());
    for i in 0..4 {
        let fact = Fact::LoopResumed { model: format!("m{i}").parse().unwrap() };
        store.write(move |tx| tx.append(NewFact::new(Timestamp::default(), "user:ann", fact))).unwrap();
    }
    let fill = |tx: &mut gyre_store::Tx<'_>| {
        tx.execute("DELETE FROM zoo_cage", &[])?;
        tx.execute("INSERT INTO zoo_cage VALUES (9, 'Primates')", &[])?;
        let cells: Vec<Cell> = (0..12_000_i64)
            .flat_map(|i| {
                let weight = if i % 5 == 0 { Cell::Null } else { Cell::Real(i as f64 / 3.0) };
                [Cell::Int(9), Cell::Text(format!("größe {i}")), weight, Cell::Blob(i.to_be_bytes().to_vec())]
            })
            .collect();
        tx.insert_rows("INSERT INTO zoo_animal (cage, name, weight, photo)", 4, &cells, "")
    };
    store.write(fill).unwrap();
    store
}

#[test]
fn everything_arrives_and_the_folder_says_where_it_went() {
    let (here, there) = (Place::sqlite(), Place::postgres());
    let url = there.url().unwrap();
    let store = filled(&here);
    let planned = plan_move(here.dir(), &url).unwrap();
    let held = move_to_postgres(here.dir(), &url, &ROOMS, clock(), |_| {}).err().unwrap();
    assert!(matches!(held, StoreError::Held { .. }), "{held}");
    let sql = "SELECT id, cage, name, weight, photo FROM zoo_animal ORDER BY id";
    let before = store.read(|tx| tx.query(sql, &[])).unwrap();
    drop(store);

    let mut steps = Vec::new();
    let moved = move_to_postgres(here.dir(), &url, &ROOMS, clock(), |step| {
        steps.push((step.table.to_owned(), step.done, step.total));
    });
    let moved = moved.unwrap();
    assert_eq!(moved, planned);
    assert_eq!((moved.tables["zoo_animal"], moved.tables["zoo_cage"], moved.head.size), (12_000, 1, 4));
    let animals: Vec<_> = steps.iter().filter(|step| step.0 == "zoo_animal").map(|step| step.1).collect();
    assert_eq!(animals, [0, 10_000, 12_000]);

    let store = there.open(&ROOMS, clock());
    assert_eq!(store.read(|tx| tx.query(sql, &[])).unwrap(), before);
    assert!(journal::verify(&store).unwrap().verified);
    assert_eq!(store.read(journal::head).unwrap(), moved.head);
    let next = |tx: &mut gyre_store::Tx<'_>| {
        tx.query("INSERT INTO zoo_animal (cage, name) VALUES (9, 'new') RETURNING id", &[])?[0].get::<i64>(0)
    };
    assert_eq!(store.write(next).unwrap(), 12_001);

    for refused in [Store::open(here.dir(), &ROOMS, clock()), Store::open_read_only(here.dir())] {
        let refused = refused.err().unwrap().to_string();
        assert!(
            refused.contains(&format!("moved to {}", moved.to)) && refused.contains("--store"),
            "{refused}"
        );
    }
}

#[test]
fn a_place_that_is_used_is_left_alone() {
    let (here, there) = (Place::sqlite(), Place::postgres());
    drop(filled(&here));
    drop(there.open(&ROOMS, clock()));
    let url = there.url().unwrap();
    for refused in [
        plan_move(here.dir(), &url).err().unwrap(),
        move_to_postgres(here.dir(), &url, &ROOMS, clock(), |_| {}).err().unwrap(),
    ] {
        assert!(matches!(refused, StoreError::Exists { .. }), "{refused}");
    }
    assert!(Store::open_read_only(here.dir()).is_ok());
}

#[test]
fn what_cannot_be_moved_leaves_nothing_behind() {
    let (here, there) = (Place::sqlite(), Place::postgres());
    let store = filled(&here);
    let sql = "INSERT INTO zoo_cage VALUES (10, ?1)";
    store.write(move |tx| tx.execute(sql, &["a\0b".into()])).unwrap();
    drop(store);
    let url = there.url().unwrap();
    let refused = move_to_postgres(here.dir(), &url, &ROOMS, clock(), |_| {}).err().unwrap().to_string();
    assert!(refused.contains("zoo_cage") && refused.contains("NUL"), "{refused}");
    let absent = Store::open_postgres_read_only(there.dir(), &url);
    assert!(matches!(absent, Err(StoreError::Absent(_))));

    let store = here.open(&ROOMS, clock());
    store.write(|tx| tx.execute("DELETE FROM zoo_cage WHERE id = 10", &[])).unwrap();
    store.write(|tx| tx.execute("UPDATE journal SET kind = 'promoted' WHERE seq = 2", &[])).unwrap();
    drop(store);
    let refused = move_to_postgres(here.dir(), &url, &ROOMS, clock(), |_| {}).err().unwrap();
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    assert!(matches!(Store::open_postgres_read_only(there.dir(), &url), Err(StoreError::Absent(_))));
    assert!(Store::open_read_only(here.dir()).is_ok());
}
