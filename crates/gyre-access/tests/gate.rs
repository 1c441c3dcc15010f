//! The gate over a real store: who comes in, what they may do, and what is left of their secrets.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use gyre_access::name::UserName;
use gyre_access::token::{Secret, Token};
use gyre_access::tokens::{DEFAULT_LIFE, LONGEST_LIFE, Wanted};
use gyre_access::{
    By, Credentials, Denied, Gate, LoginWay, Password, Role, Scope, UserKind, grants, password, sessions,
    tokens, users,
};
use gyre_core::time::ManualClock;
use gyre_core::{Clock, Fact, Span, Timestamp};
use gyre_store::{Room, Store, StoreError, Tx, journal};
use gyre_testing::Place;

gyre_testing::on_both!(
    a_deleted_user_leaves_no_way_in_and_a_namesake_inherits_nothing,
    a_password_is_verified_once_and_then_remembered_until_it_changes,
    a_token_lends_its_users_rights_within_its_scope_until_it_ends,
    guessing_is_throttled_and_told_to_the_journal_once,
    no_secret_and_no_hash_of_one_is_in_the_journal_and_no_secret_on_the_disk,
    sessions_end_by_time_by_logout_and_the_oldest_for_a_new_one,
    what_makes_no_sense_is_refused_in_words,
);

static ROOMS: [&Room; 1] = [&gyre_access::ROOM];
const PASSWORD: &str = "correct horse battery";

struct Scene {
    dir: PathBuf,
    store: Arc<Store>,
    gate: Gate,
    now: Timestamp,
}

fn name(text: &str) -> UserName {
    text.parse().unwrap()
}

impl Scene {
    fn new(place: &Place) -> Self {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let clock = Arc::new(ManualClock::at(now));
        let store = Arc::new(place.open(&ROOMS, clock as Arc<dyn Clock>));
        let gate = Gate::new(Arc::clone(&store));
        gate.reload().unwrap();
        Self { dir: place.dir().to_owned(), store, gate, now }
    }

    /// With `ada`, a person with a password who is contributor in `shop`.
    fn with_ada(place: &Place) -> Self {
        let scene = Self::new(place);
        let hash = password::hash(&name("ada"), PASSWORD).unwrap();
        scene
            .change(move |tx, by| users::create(tx, by, &name("ada"), UserKind::Person, Some(&hash)))
            .unwrap();
        scene.change(|tx, by| grants::grant(tx, by, "ada", "shop", Role::Contributor)).unwrap();
        scene
    }

    fn change<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>, &By) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let by =
            By { at: self.now, actor: "user:local".to_owned(), origin: Some("10.0.0.1 test".to_owned()) };
        self.gate.change(move |tx| job(tx, &by))
    }

    fn issue(&self, role: Role, projects: &[&str], life: Span) -> Token {
        let token = Token::random().unwrap();
        let projects = projects.iter().map(|project| (*project).to_owned()).collect();
        let scope = Scope { role, projects };
        let (user, label) = ("ada".to_owned(), "ci".to_owned());
        let wanted = Wanted { user, label, scope, life, longest: LONGEST_LIFE };
        let issued = token.clone();
        self.change(move |tx, by| tokens::issue(tx, by, &wanted, &issued)).unwrap();
        token
    }

    fn identify(&self, token: &Token) -> Result<gyre_access::Identity, Denied> {
        self.gate.identify(&Credentials::Token(token.clone()), self.now).unwrap()
    }

    fn kinds(&self) -> Vec<String> {
        let entries = self.store.read(|tx| journal::entries(tx, 0, 100)).unwrap();
        let change = |fact: &Fact| serde_json::to_value(fact).unwrap()["change"].as_str().unwrap().to_owned();
        entries.iter().map(|entry| change(&entry.fact)).collect()
    }
}

fn a_token_lends_its_users_rights_within_its_scope_until_it_ends(place: &Place) {
    let mut scene = Scene::with_ada(place);
    let token = scene.issue(Role::Admin, &[], DEFAULT_LIFE);
    let identity = scene.identify(&token).unwrap();
    assert_eq!(identity.role("shop"), Some(Role::Contributor), "no more than its user");
    assert_eq!(identity.role("flights"), None);
    assert_eq!(identity.actor(), format!("token:{}(user:ada)", token.id));
    let reading = scene.issue(Role::Viewer, &["shop"], DEFAULT_LIFE);
    assert_eq!(scene.identify(&reading).unwrap().role("shop"), Some(Role::Viewer));
    let elsewhere = scene.issue(Role::Contributor, &["flights"], DEFAULT_LIFE);
    assert_eq!(scene.identify(&elsewhere).unwrap().role("shop"), None);

    scene.change(|tx, by| grants::revoke(tx, by, "ada", "shop")).unwrap();
    assert_eq!(
        scene.identify(&token).unwrap().role("shop"),
        None,
        "what the user loses the token loses at once"
    );
    let id = token.id.clone();
    scene.change(move |tx, by| tokens::revoke(tx, by, &id)).unwrap();
    assert_eq!(scene.identify(&token).unwrap_err(), Denied::UnknownToken);
    let forged = Token { id: reading.id.clone(), secret: Secret::random().unwrap() };
    assert_eq!(scene.identify(&forged).unwrap_err(), Denied::UnknownToken);
    scene.now = scene.now + DEFAULT_LIFE;
    assert_eq!(scene.identify(&reading).unwrap_err(), Denied::ExpiredToken("2026-05-30".to_owned()));
    assert_eq!(
        scene.identify(&forged).unwrap_err(),
        Denied::UnknownToken,
        "nothing is told without the secret"
    );
}

fn a_deleted_user_leaves_no_way_in_and_a_namesake_inherits_nothing(place: &Place) {
    let scene = Scene::with_ada(place);
    let token = scene.issue(Role::Viewer, &[], DEFAULT_LIFE);
    let id = Secret::random().unwrap();
    let session = id.clone();
    scene.change(move |tx, by| sessions::open(tx, by, "ada", LoginWay::Password, &session)).unwrap();
    scene.gate.log_in("ada", PASSWORD, None, None, scene.now).unwrap();
    scene.change(|tx, by| users::delete(tx, by, "ada")).unwrap();
    scene.change(|tx, by| users::create(tx, by, &name("ada"), UserKind::Person, None)).unwrap();
    assert_eq!(scene.identify(&token).unwrap_err(), Denied::UnknownToken);
    let session = scene.gate.identify(&Credentials::Session(id), scene.now).unwrap();
    assert_eq!(session.unwrap_err(), Denied::NoSession);
    let by_password = scene.gate.log_in("ada", PASSWORD, None, None, scene.now);
    assert_eq!(by_password.unwrap_err(), Denied::WrongPassword);
    assert!(scene.store.read(grants::list).unwrap().is_empty());
    assert!(scene.store.read(|tx| tokens::list(tx, Some("ada"))).unwrap()[0].revoked.is_some());
}

fn a_password_is_verified_once_and_then_remembered_until_it_changes(place: &Place) {
    let scene = Scene::with_ada(place);
    let with = |password: &str| Credentials::Password {
        user: "Ada".to_owned(),
        password: Password(password.to_owned()),
    };
    assert!(scene.gate.identify(&with(PASSWORD), scene.now).is_none(), "it has to be hashed");
    let identity = scene.gate.log_in("Ada", PASSWORD, None, None, scene.now).unwrap();
    assert_eq!((identity.actor().as_str(), identity.role("shop")), ("user:ada", Some(Role::Contributor)));
    assert!(scene.gate.identify(&with(PASSWORD), scene.now).unwrap().is_ok());
    assert!(scene.gate.identify(&with("correct horse batterX"), scene.now).is_none());
    let id = Secret::random().unwrap();
    let opened = id.clone();
    scene.change(move |tx, by| sessions::open(tx, by, "ada", LoginWay::Password, &opened)).unwrap();
    assert!(scene.gate.identify(&Credentials::Session(id.clone()), scene.now).unwrap().is_ok());

    let other = password::hash(&name("ada"), "staple staple horse").unwrap();
    scene.change(move |tx, by| users::set_password(tx, by, &name("ada"), &other)).unwrap();
    assert!(scene.gate.identify(&with(PASSWORD), scene.now).is_none(), "forgotten with the old password");
    assert!(scene.gate.log_in("ada", PASSWORD, None, None, scene.now).is_err());
    let session = scene.gate.identify(&Credentials::Session(id), scene.now).unwrap();
    assert_eq!(session.unwrap_err(), Denied::NoSession, "sessions end with the old password");
    let later = scene.now + Span::days(1);
    assert!(scene.gate.log_in("ada", "staple staple horse", None, None, later).is_ok());
}

fn guessing_is_throttled_and_told_to_the_journal_once(place: &Place) {
    let scene = Scene::with_ada(place);
    let address = Some("10.0.0.9".parse().unwrap());
    let (mut now, mut tries) = (scene.now, 0);
    while tries < 12 {
        match scene.gate.log_in("ada", "wrong wrong wrong", address, None, now).unwrap_err() {
            Denied::TooMany(until) => now = until,
            denied => {
                assert_eq!(denied, Denied::WrongPassword);
                tries += 1;
            }
        }
    }
    let locked = scene.gate.log_in("ada", PASSWORD, None, None, now).unwrap_err();
    assert!(matches!(locked, Denied::TooMany(_)), "the right password waits too: {locked}");
    for _ in 0..12 {
        let unknown = scene.gate.log_in("nobody", "wrong wrong wrong", None, None, now).unwrap_err();
        assert!(matches!(unknown, Denied::WrongPassword | Denied::TooMany(_)));
    }
    let locks = scene.kinds().iter().filter(|kind| *kind == "login_locked").count();
    assert_eq!(locks, 1, "and never for a user that does not exist");
}

fn sessions_end_by_time_by_logout_and_the_oldest_for_a_new_one(place: &Place) {
    let mut scene = Scene::with_ada(place);
    let ids: Vec<Secret> = (0..22).map(|_| Secret::random().unwrap()).collect();
    for id in ids.clone() {
        scene.now = scene.now + Span::from_millis(1);
        scene.change(move |tx, by| sessions::open(tx, by, "ada", LoginWay::Oidc, &id)).unwrap();
    }
    let alive = |scene: &Scene| {
        let known = |id: &&Secret| {
            scene.gate.identify(&Credentials::Session((*id).clone()), scene.now).unwrap().is_ok()
        };
        ids.iter().filter(known).count()
    };
    assert_eq!(alive(&scene), 20);
    let last = ids[21].hash();
    scene.change(move |tx, by| sessions::close(tx, by, &last)).unwrap();
    assert_eq!(alive(&scene), 19);
    scene.now = scene.now + sessions::LIFE;
    assert_eq!(alive(&scene), 0);
}

fn no_secret_and_no_hash_of_one_is_in_the_journal_and_no_secret_on_the_disk(place: &Place) {
    let scene = Scene::with_ada(place);
    let token = scene.issue(Role::Viewer, &["shop"], DEFAULT_LIFE);
    scene.identify(&token).unwrap();
    scene.gate.settle().unwrap();
    assert_eq!(scene.store.read(|tx| tokens::list(tx, None)).unwrap()[0].used, Some(scene.now));
    let entries = scene.store.read(|tx| journal::entries(tx, 0, 100)).unwrap();
    assert_eq!(scene.kinds(), ["user_created", "password_changed", "role_granted", "token_issued"]);
    assert!(
        entries
            .iter()
            .all(|entry| entry.origin.as_deref() == Some("10.0.0.1 test") && entry.actor == "user:local")
    );
    let journal = serde_json::to_string(&entries).unwrap();
    let hash: String = token.secret.hash().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    for secret in [&token.secret.reveal(), &hash, "argon2", PASSWORD] {
        assert!(!journal.contains(secret), "{secret}");
    }
    for file in std::fs::read_dir(&scene.dir).unwrap().filter_map(Result::ok) {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        for secret in [token.secret.reveal().as_bytes(), PASSWORD.as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{:?}", file.path());
        }
    }
}

fn what_makes_no_sense_is_refused_in_words(place: &Place) {
    let scene = Scene::with_ada(place);
    let wanted = |user: &str, days: i64, projects: &[&str]| {
        let projects = projects.iter().map(|project| (*project).to_owned()).collect();
        let scope = Scope { role: Role::Viewer, projects };
        let (user, label) = (user.to_owned(), String::new());
        Wanted { user, label, scope, life: Span::days(days), longest: LONGEST_LIFE }
    };
    for (wanted, told) in [
        (wanted("grace", 1, &[]), "there is no user `grace`"),
        (wanted("ada", 0, &[]), "choose more than 0 and at most 366 days"),
        (wanted("ada", 400, &[]), "at most 366 days"),
        (wanted("ada", 1, &["a,b"]), "is not the name of a project"),
    ] {
        let error = scene
            .change(move |tx, by| tokens::issue(tx, by, &wanted, &Token::random().unwrap()))
            .unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
    let whole = Token::random().unwrap();
    let given = whole.reveal();
    let error = scene.change(move |tx, by| tokens::revoke(tx, by, &given)).unwrap_err().to_string();
    assert!(error.contains("16 hexadecimal digits") && !error.contains(&whole.secret.reveal()), "{error}");
    let twice =
        scene.change(|tx, by| users::create(tx, by, &name("ADA"), UserKind::Person, None)).unwrap_err();
    assert!(matches!(twice, StoreError::Exists { .. }), "{twice}");
    scene.change(|tx, by| users::create(tx, by, &name("ci"), UserKind::Service, None)).unwrap();
    let hash = password::hash(&name("ci"), PASSWORD).unwrap();
    let service = scene.change(move |tx, by| users::set_password(tx, by, &name("ci"), &hash)).unwrap_err();
    assert!(service.to_string().contains("services have tokens"), "{service}");
}
