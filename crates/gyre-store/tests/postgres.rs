//! What only a PostgreSQL can do to a store: be shared, go away in the middle, come back.

#![allow(clippy::unwrap_used)]

mod proxy;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gyre_core::Fact;
use gyre_core::time::{ManualClock, Timestamp};
use gyre_store::{NewFact, Room, Store, StoreError, StoreUrl, journal};
use gyre_testing::{Cluster, Place, Stop};
use proxy::Proxy;

static ROOMS: [&Room; 1] = [&Room {
    name: "tally",
    migrations: &["CREATE TABLE tally (n INTEGER NOT NULL) STRICT; INSERT INTO tally VALUES (0);"],
    project: |tx, _| tx.execute("UPDATE tally SET n = n + 1", &[]).map(drop),
}];

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::default())
}

fn fact(key: String) -> NewFact {
    let fact = Fact::LoopResumed { model: "m".parse().unwrap() };
    NewFact::new(Timestamp::default(), "user:test", fact).once(key)
}

fn keys(store: &Store) -> BTreeSet<String> {
    let entries = store.read(|tx| journal::entries(tx, 0, 1_000_000)).unwrap();
    entries.into_iter().filter_map(|entry| entry.key).collect()
}

fn assert_sound(store: &Store) {
    let found = journal::verify(store).unwrap();
    assert!(found.verified, "{found:?}");
    let tally: u64 = store.read(|tx| tx.query("SELECT n FROM tally", &[])?[0].get(0)).unwrap();
    assert_eq!(tally, found.entries, "the room's table and the journal moved together");
}

#[test]
fn two_processes_share_a_database_and_grow_one_tree() {
    let place = Place::postgres();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let stores: Vec<Store> = folders.iter().map(|dir| place.open_in(dir.path(), &ROOMS, clock())).collect();
    std::thread::scope(|scope| {
        for (s, store) in stores.iter().enumerate() {
            for writer in 0..4 {
                scope.spawn(move || {
                    for i in 0..25 {
                        store.write(move |tx| tx.append(fact(format!("{s}/{writer}/{i}")))).unwrap();
                        // The same key in both: one of them is first.
                        store.write(move |tx| tx.append(fact(format!("both/{writer}/{i}")))).unwrap();
                    }
                });
            }
        }
    });
    assert_sound(&stores[0]);
    assert_eq!(keys(&stores[0]).len(), 300);
    // Each hears of what the other wrote.
    for store in &stores {
        assert_eq!(store.wait_beyond(299, Duration::from_secs(60)), 300);
    }
}

#[test]
fn what_a_job_has_read_still_holds_when_it_writes() {
    let place = Place::postgres();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let stores: Vec<Store> = folders.iter().map(|dir| place.open_in(dir.path(), &ROOMS, clock())).collect();
    std::thread::scope(|scope| {
        for store in &stores {
            scope.spawn(move || {
                for _ in 0..50 {
                    let add = |tx: &mut gyre_store::Tx<'_>| {
                        let n: i64 = tx.query("SELECT n FROM tally", &[])?[0].get(0)?;
                        tx.execute("UPDATE tally SET n = ?1", &[(n + 1).into()])
                    };
                    store.write(add).unwrap();
                }
            });
        }
    });
    let n: i64 = stores[0].read(|tx| tx.query("SELECT n FROM tally", &[])?[0].get(0)).unwrap();
    assert_eq!(n, 100);
}

#[test]
fn a_server_that_restarts_under_load_loses_nothing_acknowledged() {
    let mut cluster = Cluster::start().unwrap();
    let place = Place::on(&cluster);
    let store = place.open(&ROOMS, clock());
    let (over, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let acknowledged = Mutex::new(BTreeSet::new());
    let refused = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (store, over, written) = (&store, &over, &written);
            let (acknowledged, refused) = (&acknowledged, &refused);
            scope.spawn(move || {
                for i in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let key = format!("{writer}/{i}");
                    let fact = fact(key.clone());
                    match store.write(move |tx| tx.append(fact)) {
                        Ok(_) => drop(acknowledged.lock().unwrap().insert(key)),
                        Err(error) => refused.lock().unwrap().push(error),
                    }
                    written.fetch_add(1, Ordering::Relaxed);
                    // Readers see the same weather.
                    let read = store.read(journal::head);
                    assert!(matches!(read, Ok(_) | Err(StoreError::Unavailable(_))), "{read:?}");
                }
            });
        }
        let more = |count| {
            let goal = written.load(Ordering::Relaxed) + count;
            while written.load(Ordering::Relaxed) < goal {
                std::thread::yield_now();
            }
        };
        for how in [Stop::Fast, Stop::Crash, Stop::Fast] {
            more(200);
            cluster.end(how);
            cluster.begin().unwrap();
            more(200);
        }
        over.store(true, Ordering::Relaxed);
    });
    let (acknowledged, refused) = (acknowledged.into_inner().unwrap(), refused.into_inner().unwrap());
    assert!(refused.iter().all(|error| matches!(error, StoreError::Unavailable(_))), "{refused:?}");
    let stored = keys(&store);
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty() && acknowledged.len() >= 200, "lost {lost:?} of {}", acknowledged.len());
    assert_sound(&store);
}

#[test]
fn a_server_that_is_away_is_said_to_be_and_is_found_again() {
    let mut cluster = Cluster::start().unwrap();
    let place = Place::on(&cluster);
    let store = place.open(&ROOMS, clock());
    cluster.end(Stop::Fast);
    let (read, wrote) = (store.read(journal::head), store.write(|tx| tx.append(fact("a".into()))));
    for said in [read.err().unwrap(), wrote.err().unwrap()] {
        assert!(matches!(said, StoreError::Unavailable(_)), "{said}");
        assert!(said.to_string().contains("PostgreSQL at 127.0.0.1:"), "{said}");
    }
    let other = tempfile::tempdir().unwrap();
    let refused = Store::open_postgres(other.path(), &place.url().unwrap(), &ROOMS, clock());
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    cluster.begin().unwrap();
    assert_eq!(store.write(|tx| tx.append(fact("a".into()))).unwrap().seq, 1);
    assert_sound(&store);
}

/// A store whose connection can be cut at a commit.
fn proxied(place: &Place) -> (Proxy, Store) {
    let url = place.url_text().unwrap();
    let proxy = Proxy::before(url);
    let store = Store::open_postgres(place.dir(), &StoreUrl::from(proxy.url()), &ROOMS, clock()).unwrap();
    store.write(|tx| tx.append(fact("first".into()))).unwrap();
    (proxy, store)
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_out_to_have_happened() {
    let place = Place::postgres();
    let (proxy, store) = proxied(&place);
    proxy.lose_the_next_answer_to_commit();
    assert_eq!(store.write(|tx| tx.append(fact("second".into()))).unwrap().seq, 2);
    assert!(proxy.has_cut());
    assert_eq!(store.write(|tx| tx.append(fact("third".into()))).unwrap().seq, 3);
    assert_sound(&store);
}

#[test]
fn a_commit_that_never_arrived_is_not_reported_as_done() {
    let place = Place::postgres();
    let (proxy, store) = proxied(&place);
    proxy.lose_the_next_commit();
    let refused = store.write(|tx| tx.append(fact("second".into()))).err().unwrap();
    assert!(proxy.has_cut());
    assert!(
        matches!(&refused, StoreError::Unavailable(why) if why.contains("nothing of this was written")),
        "{refused}"
    );
    assert_eq!(store.write(|tx| tx.append(fact("third".into()))).unwrap().seq, 2);
    assert_eq!(keys(&store), BTreeSet::from(["first".to_owned(), "third".to_owned()]));
    assert_sound(&store);
}

#[test]
fn a_wrong_password_is_refused_without_being_told() {
    let cluster = Cluster::start().unwrap();
    let url = cluster.url();
    let (user, host) = url.rsplit_once('@').unwrap();
    let password = user.rsplit_once(':').unwrap().1;
    let dir = tempfile::tempdir().unwrap();
    let wrong = StoreUrl::from(format!("postgres://gyre:s3cret@{host}").as_str());
    let refused = Store::open_postgres(dir.path(), &wrong, &ROOMS, clock()).err().unwrap().to_string();
    assert!(refused.contains("password authentication failed"), "{refused}");
    assert!(!refused.contains("s3cret") && !refused.contains(password), "{refused}");
    let absent = Store::open_postgres_read_only(dir.path(), &StoreUrl::from(url.as_str())).err().unwrap();
    assert!(matches!(absent, StoreError::Absent(_)), "{absent}");
    let plain = StoreUrl::from(format!("{url}?sslmode=require").as_str());
    let refused = Store::open_postgres(dir.path(), &plain, &ROOMS, clock()).err().unwrap().to_string();
    assert!(refused.contains("TLS"), "{refused}");
}

#[test]
fn readers_read_one_moment_and_cannot_write() {
    let place = Place::postgres();
    let store = place.open(&ROOMS, clock());
    store.write(|tx| tx.append(fact("a".into()))).unwrap();
    let reader = Store::open_postgres_read_only(place.dir(), &place.url().unwrap()).unwrap();
    assert_eq!(reader.info().unwrap().journal.size, 1);
    let (before, after) = reader
        .read(|tx| {
            let before = journal::head(tx)?.size;
            store.write(|tx| tx.append(fact("b".into())))?;
            Ok((before, journal::head(tx)?.size))
        })
        .unwrap();
    assert_eq!((before, after), (1, 1));
    assert!(matches!(reader.write(|tx| tx.append(fact("c".into()))), Err(StoreError::ReadOnly)));
    let sneaked = reader.read(|tx| tx.execute("DELETE FROM journal", &[]));
    assert!(matches!(sneaked, Err(StoreError::ReadOnly)), "{sneaked:?}");
    assert_eq!(reader.read(journal::head).unwrap().size, 2);
}

/// A certificate for 127.0.0.1 that signs itself, made by `openssl`; returns its file.
fn serve_tls(cluster: &mut Cluster) -> std::path::PathBuf {
    let data = cluster.data();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(data.join("server.key"))
        .arg("-out")
        .arg(data.join("server.crt"))
        .output()
        .expect("openssl is there: sudo apt-get install -y openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    cluster.own(&data.join("server.key"));
    let settings = data.join("postgresql.auto.conf");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, format!("{text}\nssl = on\n")).unwrap();
    cluster.end(Stop::Fast);
    cluster.begin().unwrap();
    data.join("server.crt")
}

#[test]
fn tls_is_spoken_to_a_server_whose_certificate_is_known_and_to_no_other() {
    let mut cluster = Cluster::start().unwrap();
    let authority = serve_tls(&mut cluster);
    let dir = tempfile::tempdir().unwrap();
    let open = |options: String| {
        let url = StoreUrl::from(format!("{}?sslmode=require{options}", cluster.url()).as_str());
        Store::open_postgres(dir.path(), &url, &ROOMS, clock())
    };
    let store = open(format!("&sslrootcert={}", authority.display())).unwrap();
    let sql = "SELECT count(*) FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl";
    assert_eq!(store.read(|tx| tx.query(sql, &[])?[0].get::<i64>(0)).unwrap(), 1);
    drop(store);
    let refused = open(String::new()).err().unwrap().to_string();
    assert!(refused.contains("TLS") && refused.contains("certificate"), "{refused}");
}
