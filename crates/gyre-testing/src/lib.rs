//! For tests: a [`Place`] of their own on each database that gyre runs on.
//!
//! A test of a room is a function of a place; [`on_both!`] makes a test of it on SQLite and one on PostgreSQL. The
//! PostgreSQL is a real one: `cargo xtask test` starts it and names it in `GYRE_TEST_POSTGRES`. Each place there is a schema
//! of its own, removed with all that is in it when the test ends, however it ends. For tests of a full disk there is
//! [`live_on_a_small_disk`].

mod cluster;
mod disk;

pub use cluster::{Cluster, ClusterError, Stop};
pub use disk::{Ballast, live_on_a_small_disk};

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use gyre_core::Clock;
use gyre_store::{Room, Store, StoreUrl};

/// The variable that names the PostgreSQL of the tests.
pub const VARIABLE: &str = "GYRE_TEST_POSTGRES";

/// Where a test keeps its store.
pub struct Place {
    dir: tempfile::TempDir,
    schema: Option<Schema>,
}

impl Place {
    /// A place on SQLite.
    #[must_use]
    pub fn sqlite() -> Self {
        Self { dir: folder(), schema: None }
    }

    /// A place on the PostgreSQL of the tests.
    ///
    /// # Panics
    /// When there is no PostgreSQL for tests: a peer that is missing is a failure.
    #[must_use]
    pub fn postgres() -> Self {
        let server = std::env::var(VARIABLE).unwrap_or_else(|_| {
            panic!("{VARIABLE} is not set: run through `cargo xtask test`, which starts a PostgreSQL and names it there")
        });
        Self { dir: folder(), schema: Some(Schema::make(server)) }
    }

    /// A place on a PostgreSQL of its own, which the test may stop.
    ///
    /// # Panics
    /// When the server does not answer.
    #[must_use]
    pub fn on(cluster: &Cluster) -> Self {
        Self { dir: folder(), schema: Some(Schema::make(cluster.url())) }
    }

    /// Another place on the same kind of database.
    #[must_use]
    pub fn another(&self) -> Self {
        if self.schema.is_some() { Self::postgres() } else { Self::sqlite() }
    }

    /// Its folder, empty at first.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The address of its database; none on SQLite.
    #[must_use]
    pub fn url(&self) -> Option<StoreUrl> {
        self.schema.as_ref().map(|schema| StoreUrl::from(schema.url.as_str()))
    }

    /// The same, as text.
    #[must_use]
    pub fn url_text(&self) -> Option<&str> {
        self.schema.as_ref().map(|schema| schema.url.as_str())
    }

    /// Opens the store in this place.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn open(&self, rooms: &'static [&'static Room], clock: Arc<dyn Clock>) -> Store {
        self.open_in(self.dir(), rooms, clock)
    }

    /// The same as another process with the folder `dir` would. On SQLite, `dir` alone says which store that is.
    ///
    /// # Panics
    /// When it cannot be opened.
    #[must_use]
    pub fn open_in(&self, dir: &Path, rooms: &'static [&'static Room], clock: Arc<dyn Clock>) -> Store {
        let opened = match self.url() {
            Some(url) => Store::open_postgres(dir, &url, rooms, clock),
            None => Store::open(dir, rooms, clock),
        };
        opened.unwrap_or_else(|error| panic!("the store of the test cannot be opened: {error}"))
    }

    /// Runs SQL on the PostgreSQL of this place, past gyre.
    ///
    /// # Panics
    /// On SQLite, and when the database refuses.
    pub fn run(&self, sql: &str) {
        let url = self.url_text().unwrap_or_else(|| panic!("this place is on SQLite"));
        connect(url).batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap_or_else(|error| panic!("no temporary folder: {error}"))
}

fn connect(url: &str) -> postgres::Client {
    let connected = postgres::Client::connect(url, postgres::NoTls);
    connected.unwrap_or_else(|error| panic!("the PostgreSQL in {VARIABLE} does not answer: {error}"))
}

/// A schema that lasts as long as this value.
struct Schema {
    server: String,
    name: String,
    url: String,
}

impl Schema {
    fn make(server: String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let sql = format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}");
        connect(&server).batch_execute(&sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options=-csearch_path%3D{name}");
        Self { server, name, url }
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // A server that is gone has nothing left to remove; and a test that fails already says why.
        if let Ok(mut client) = postgres::Client::connect(&self.server, postgres::NoTls) {
            let sql =
                format!("SET client_min_messages = warning; DROP SCHEMA IF EXISTS {} CASCADE", self.name);
            let _ = client.batch_execute(&sql);
        }
    }
}

/// Makes a test on SQLite and one on PostgreSQL of each of the functions, which take a [`Place`].
#[macro_export]
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test(&$crate::Place::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $test() { super::$test(&$crate::Place::postgres()); })+
        }
    };
}
