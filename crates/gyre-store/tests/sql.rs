//! The common subset of SQL: the same words, the same answers, on both databases.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::time::ManualClock;
use gyre_store::{Cell, Room, Row, Store, StoreError, Tx};
use gyre_testing::Place;

gyre_testing::on_both!(
    a_failed_statement_fails_its_job_and_no_other,
    a_query_is_read_row_by_row,
    every_kind_of_cell_comes_back,
    explicit_numbers_do_not_break_later_numbering,
    many_rows_go_in_at_once,
    parameters_alone_are_understood,
    sums_and_averages_are_numbers,
    text_sorts_by_bytes,
    text_with_nul_is_refused_or_kept,
    more_values_than_a_statement_takes_are_refused,
    an_error_does_not_repeat_the_statement,
);

static ROOM: Room = Room {
    name: "box",
    migrations: &["
        CREATE TABLE box_thing (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            n INTEGER,
            x REAL,
            raw BLOB,
            open INTEGER NOT NULL DEFAULT 0 CHECK (open IN (0, 1))
        ) STRICT;
        CREATE INDEX box_thing_by_name ON box_thing (substr(name, 1, 100));
    "],
    project: |_, _| Ok(()),
};
static ROOMS: [&Room; 1] = [&ROOM];

fn open(place: &Place) -> Store {
    place.open(&ROOMS, Arc::new(ManualClock::default()))
}

fn put(store: &Store, names: &[&str]) {
    let cells: Vec<Cell> = names.iter().map(|name| Cell::from(*name)).collect();
    store.write(move |tx| tx.insert_rows("INSERT INTO box_thing (name)", 1, &cells, "")).unwrap();
}

fn names(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.get(0).unwrap()).collect()
}

fn every_kind_of_cell_comes_back(place: &Place) {
    let store = open(place);
    let cells = [
        Cell::from("größe'\"\\ ?1 $1"),
        Cell::Int(i64::MIN),
        Cell::Real(0.1 + 0.2),
        Cell::Blob(vec![0, 255, 10]),
        Cell::Int(1),
    ];
    let given = cells.to_vec();
    let sql = "INSERT INTO box_thing (name, n, x, raw, open) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id";
    let id: i64 = store.write(move |tx| tx.query(sql, &given)?[0].get(0)).unwrap();
    assert_eq!(id, 1);
    let sql = "SELECT name, n, x, raw, open FROM box_thing WHERE id = ?1";
    let rows = store.read(|tx| tx.query(sql, &[id.into()])).unwrap();
    assert_eq!(rows[0].get::<String>(0).unwrap(), "größe'\"\\ ?1 $1");
    assert_eq!(rows[0].get::<i64>(1).unwrap(), i64::MIN);
    assert_eq!(rows[0].get::<f64>(2).unwrap().to_bits(), (0.1_f64 + 0.2).to_bits());
    assert_eq!(rows[0].get::<Vec<u8>>(3).unwrap(), [0, 255, 10]);
    assert_eq!(rows[0].get::<i64>(4).unwrap(), 1);
    let nothing = [Cell::from("empty"), Cell::Null, Cell::Real(f64::NAN), Cell::Null, Cell::Int(0)];
    let sql = "INSERT INTO box_thing (name, n, x, raw, open) VALUES (?1, ?2, ?3, ?4, ?5)";
    store.write(move |tx| tx.execute(sql, &nothing)).unwrap();
    let sql = "SELECT n, x, raw FROM box_thing WHERE x IS NULL";
    let rows = store.read(|tx| tx.query(sql, &[])).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<Option<f64>>(1).unwrap(), None);
}

fn many_rows_go_in_at_once(place: &Place) {
    let store = open(place);
    let rows = 1_000_i64;
    let cells: Vec<Cell> = (0..rows)
        .flat_map(|i| {
            let x = if i % 3 == 0 { Cell::Null } else { Cell::Real(i as f64 / 7.0) };
            [Cell::Text(format!("t{i}")), Cell::Int(i), x, Cell::Blob(vec![i as u8])]
        })
        .collect();
    let insert = move |tx: &mut Tx<'_>| {
        let head = "INSERT INTO box_thing (name, n, x, raw)";
        let first = tx.insert_rows(head, 4, &cells, "")?;
        let again = tx.insert_rows(head, 4, &cells, "ON CONFLICT (name) DO NOTHING")?;
        let tail = "ON CONFLICT (name) DO UPDATE SET n = excluded.n + 1";
        Ok((first, again, tx.insert_rows(head, 4, &cells[..400], tail)?, tx.insert_rows(head, 4, &[], "")?))
    };
    assert_eq!(store.write(insert).unwrap(), (1_000, 0, 100, 0));
    let sql = "SELECT sum(n), count(x), count(raw), count(*) FROM box_thing";
    let row = &store.read(|tx| tx.query(sql, &[])).unwrap()[0];
    assert_eq!(row.get::<i64>(0).unwrap(), (0..rows).sum::<i64>() + 100);
    assert_eq!([1, 2, 3].map(|i| row.get::<i64>(i).unwrap()), [666, 1_000, 1_000]);
    let ragged = store.write(|tx| tx.insert_rows("INSERT INTO box_thing (name, n)", 2, &[Cell::Null], ""));
    assert!(matches!(ragged, Err(StoreError::Invalid(_))), "{ragged:?}");
}

fn explicit_numbers_do_not_break_later_numbering(place: &Place) {
    let store = open(place);
    let import = |tx: &mut Tx<'_>| {
        let cells = [7.into(), "seven".into(), 3.into(), "three".into()];
        tx.insert_rows("INSERT INTO box_thing (id, name)", 2, &cells, "")?;
        tx.renumber("box_thing")
    };
    store.write(import).unwrap();
    let next = |tx: &mut Tx<'_>| {
        tx.query("INSERT INTO box_thing (name) VALUES ('next') RETURNING id", &[])?[0].get::<i64>(0)
    };
    assert_eq!(store.write(next).unwrap(), 8);
    let wrong = store.write(|tx| tx.renumber("box_thing; DROP TABLE box_thing"));
    assert!(matches!(wrong, Err(StoreError::Invalid(_))));
}

fn text_sorts_by_bytes(place: &Place) {
    let store = open(place);
    put(&store, &["b", "A", "a", "B", "_", "ä", "Z", "1"]);
    let rows = store.read(|tx| tx.query("SELECT name FROM box_thing ORDER BY name", &[])).unwrap();
    assert_eq!(names(&rows), ["1", "A", "B", "Z", "_", "a", "b", "ä"]);
    let sql = "SELECT name FROM box_thing WHERE name > ?1 AND name < ?2 ORDER BY name DESC";
    let rows = store.read(|tx| tx.query(sql, &["A".into(), "a".into()])).unwrap();
    assert_eq!(names(&rows), ["_", "Z", "B"]);
}

fn sums_and_averages_are_numbers(place: &Place) {
    let store = open(place);
    let cells = ["a".into(), 1.into(), "b".into(), 2.into()];
    store.write(move |tx| tx.insert_rows("INSERT INTO box_thing (name, n)", 2, &cells, "")).unwrap();
    let sql =
        "SELECT sum(n), avg(n), n / 2, CAST(max(n) AS REAL) / 2, n IS NULL, CAST(n AS INTEGER) + 3000000000
               FROM box_thing WHERE n = 2 GROUP BY n";
    let row = &store.read(|tx| tx.query(sql, &[])).unwrap()[0];
    assert_eq!((row.get::<i64>(0).unwrap(), row.get::<f64>(1).unwrap()), (2, 2.0));
    assert_eq!((row.get::<i64>(2).unwrap(), row.get::<f64>(3).unwrap()), (1, 1.0));
    assert_eq!((row.get::<i64>(4).unwrap(), row.get::<i64>(5).unwrap()), (0, 3_000_000_002));
}

fn parameters_alone_are_understood(place: &Place) {
    let store = open(place);
    put(&store, &["a", "b"]);
    let sql = "SELECT name FROM box_thing WHERE (CAST(?1 AS TEXT) IS NULL OR name = ?1)
               AND (CAST(?2 AS INTEGER) IS NULL OR open = ?2) ORDER BY name LIMIT ?3 OFFSET ?4";
    let ask = |name: Option<&str>, open: Option<i64>| {
        let cells = [name.into(), open.into(), 10.into(), 0.into()];
        names(&store.read(|tx| tx.query(sql, &cells)).unwrap())
    };
    assert_eq!(ask(None, None), ["a", "b"]);
    assert_eq!(ask(Some("b"), Some(0)), ["b"]);
    assert!(ask(Some("b"), Some(1)).is_empty());
}

fn a_query_is_read_row_by_row(place: &Place) {
    let store = open(place);
    let cells: Vec<Cell> = (0..5_000).map(|i| Cell::Text(format!("{i:04}"))).collect();
    store.write(move |tx| tx.insert_rows("INSERT INTO box_thing (name)", 1, &cells, "")).unwrap();
    let mut seen = 0;
    let stopped = store.read(|tx| {
        tx.query_each("SELECT name FROM box_thing ORDER BY name", &[], |row| {
            assert_eq!(row.get::<String>(0)?, format!("{seen:04}"));
            seen += 1;
            if seen == 3_000 { Err(StoreError::Conflict("enough".to_owned())) } else { Ok(()) }
        })
    });
    assert!(matches!(stopped, Err(StoreError::Conflict(_))));
    // The connection that was left in the middle of an answer is as good as before.
    let rows = store.read(|tx| tx.query("SELECT name FROM box_thing ORDER BY name LIMIT 1", &[])).unwrap();
    assert_eq!((seen, names(&rows)), (3_000, vec!["0000".to_owned()]));
}

fn a_failed_statement_fails_its_job_and_no_other(place: &Place) {
    let store = Arc::new(open(place));
    put(&store, &["taken"]);
    let (tell, told) = std::sync::mpsc::channel();
    for name in ["one", "taken", "two"] {
        let tell = tell.clone();
        let sql = "INSERT INTO box_thing (name) VALUES (?1)";
        let told = move |result: Result<usize, StoreError>| tell.send((name, result.is_ok())).unwrap();
        store.submit(move |tx| tx.execute(sql, &[name.into()]), told).unwrap();
    }
    let mut outcomes: Vec<_> = told.iter().take(3).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [("one", true), ("taken", false), ("two", true)]);
    let rows = store.read(|tx| tx.query("SELECT name FROM box_thing ORDER BY id", &[])).unwrap();
    assert_eq!(names(&rows), ["taken", "one", "two"]);
}

fn more_values_than_a_statement_takes_are_refused(place: &Place) {
    let store = open(place);
    put(&store, &["a"]);
    let marks = (1..=70_000).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT name FROM box_thing WHERE id IN ({marks})");
    let cells: Vec<Cell> = (0..70_000_i64).map(Cell::from).collect();
    for _ in 0..3 {
        let refused = store.read(|tx| tx.query(&sql, &cells)).unwrap_err();
        assert!(matches!(refused, StoreError::Invalid(_)), "{refused}");
    }
    assert_eq!(names(&store.read(|tx| tx.query("SELECT name FROM box_thing", &[])).unwrap()), ["a"]);
}

fn an_error_does_not_repeat_the_statement(place: &Place) {
    let store = open(place);
    let refused =
        store.read(|tx| tx.query("SELECT nothing_such FROM box_thing", &[])).unwrap_err().to_string();
    assert!(refused.contains("nothing_such") && !refused.contains("SELECT"), "{refused}");
}

fn text_with_nul_is_refused_or_kept(place: &Place) {
    let store = open(place);
    let sql = "INSERT INTO box_thing (name) VALUES (?1)";
    let put = store.write(move |tx| tx.execute(sql, &["a\0b".into()]));
    match put {
        Ok(_) => {
            let rows = store.read(|tx| tx.query("SELECT name FROM box_thing", &[])).unwrap();
            assert_eq!(names(&rows), ["a\0b"]);
        }
        Err(error) => assert!(matches!(error, StoreError::Invalid(_)), "{error}"),
    }
    assert!(store.write(move |tx| tx.execute(sql, &["plain".into()])).is_ok());
}
