//! The catalogue as a client of MLflow sees it: changes in, models and versions out, and the journal telling all of it.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::fact::{ModelVersion, RegistryChange};
use gyre_core::record::Signature;
use gyre_core::runtime::Runtime;
use gyre_core::time::ManualClock;
use gyre_core::{Digest, Fact, Timestamp, Version};
use gyre_registry::source::{self, Claim, LoggedModel, Tracked};
use gyre_registry::{self as registry, Author, NewVersion, Page, ROOM, RegisteredVersion, Stage};
use gyre_store::{NewFact, Room, Store, StoreError, Tx, journal};
use gyre_testing::Place;

gyre_testing::on_both!(
    a_clients_champion_is_not_the_loops,
    a_name_is_taken_once_and_tags_of_a_key_once,
    a_number_is_never_used_again,
    a_source_must_belong_to_what_the_request_names,
    a_stage_can_be_emptied_for_its_new_version,
    a_version_that_is_gone_takes_its_aliases_along,
    every_change_is_a_fact_with_who_and_from_where,
    models_are_found_by_name_and_tag_and_prompts_only_when_asked_for,
    pages_follow_one_another_also_through_a_pattern,
    texts_of_any_size_are_kept_whole_and_the_journal_bears_their_digest,
    the_loop_and_clients_share_one_catalogue_and_one_sequence_of_numbers,
    versions_are_found_by_run_source_number_and_tag,
    what_the_loop_decides_is_not_changed_behind_its_back,
);

static ROOMS: [&Room; 1] = [&ROOM];

struct Scene {
    store: Store,
}

fn ada(at: i64) -> Author {
    Author {
        at: Timestamp::from_millis(at),
        actor: "user:ada".to_owned(),
        origin: Some("127.0.0.1 mlflow-python-client/3.17.2".to_owned()),
    }
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

impl Scene {
    fn new(place: &Place) -> Self {
        Self { store: place.open(&ROOMS, Arc::new(ManualClock::default())) }
    }

    fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.store.write(job)
    }

    fn model(&self, name: &'static str) {
        self.write(move |tx| registry::create_model(tx, &ada(1), name, None, Vec::new())).unwrap();
    }

    fn version(&self, name: &'static str) -> Version {
        self.create(NewVersion {
            name: name.to_owned(),
            source: "s3://b/m".to_owned(),
            ..NewVersion::default()
        })
        .unwrap()
        .version
    }

    fn create(&self, new: NewVersion) -> Result<RegisteredVersion, StoreError> {
        self.write(move |tx| registry::create_version(tx, &ada(2), new))
    }

    fn get(&self, name: &str, version: Version) -> Result<RegisteredVersion, StoreError> {
        self.store.read(|tx| registry::registered_version(tx, name, version))
    }

    /// The loop registers a version.
    fn train(&self, version: Version) -> Result<(), StoreError> {
        let run = format!("run-{version}");
        let fact = Fact::VersionRegistered(ModelVersion {
            model: "air-time".parse().unwrap(),
            version,
            artifact: Digest::of(run.as_bytes()),
            data: Some(Digest::of(b"data")),
            run: Some(run),
            signature: Signature { inputs: Vec::new(), output: "prediction".to_owned(), classes: Vec::new() },
            profile: Some(Digest::of(b"profile")),
            runtime: Runtime::Native,
            source: None,
            refit_of: None,
            calibrated_from: None,
            estimator: None,
            holdout: [].into(),
            trained_on: None,
        });
        self.write(move |tx| tx.append(NewFact::new(Timestamp::from_millis(5), "controller", fact)).map(drop))
    }

    fn changes(&self) -> Vec<RegistryChange> {
        let entries = self.store.read(|tx| journal::entries(tx, 0, 1000)).unwrap();
        entries
            .into_iter()
            .filter_map(|entry| match entry.fact {
                Fact::Registry(change) => Some(change),
                _ => None,
            })
            .collect()
    }
}

fn every_change_is_a_fact_with_who_and_from_where(place: &Place) {
    let scene = Scene::new(place);
    scene.model("m");
    let version = scene.version("m");
    scene.write(move |tx| registry::set_alias(tx, &ada(3), "m", "prod", version)).unwrap();
    let entries = scene.store.read(|tx| journal::entries(tx, 0, 10)).unwrap();
    assert_eq!(entries.len(), 3);
    for entry in &entries {
        assert_eq!(entry.actor, "user:ada");
        assert!(entry.origin.as_deref().unwrap().contains("mlflow-python-client"));
    }
    let found = scene.get("m", 1).unwrap();
    assert_eq!((found.aliases.as_slice(), found.user_id.as_deref()), (&["prod".to_owned()][..], Some("ada")));
}

fn a_name_is_taken_once_and_tags_of_a_key_once(place: &Place) {
    let scene = Scene::new(place);
    let tags = vec![pair("a", "1"), pair("a", "2")];
    let model = scene.write(move |tx| registry::create_model(tx, &ada(1), "m", Some("words"), tags)).unwrap();
    assert_eq!(model.tags["a"], "2");
    assert_eq!(model.description.as_deref(), Some("words"));
    let again = scene.write(|tx| registry::create_model(tx, &ada(1), "m", None, Vec::new()));
    assert!(matches!(again, Err(StoreError::Exists { what: "registered model", .. })), "{again:?}");
}

fn a_number_is_never_used_again(place: &Place) {
    let scene = Scene::new(place);
    scene.model("m");
    assert_eq!((scene.version("m"), scene.version("m")), (1, 2));
    scene.write(|tx| registry::delete_version(tx, &ada(3), "m", 2)).unwrap();
    assert_eq!(scene.version("m"), 3, "also after a version was deleted");
    scene.write(|tx| registry::delete_model(tx, &ada(4), "m")).unwrap();
    scene.model("m");
    assert_eq!(scene.version("m"), 4, "also after the model was deleted");
    scene.write(|tx| registry::rename_model(tx, &ada(5), "m", "n")).unwrap();
    assert_eq!(scene.version("n"), 5, "also under another name");
    scene.model("m");
    assert_eq!(scene.version("m"), 5, "each name counts for itself");
}

fn a_version_that_is_gone_takes_its_aliases_along(place: &Place) {
    let scene = Scene::new(place);
    scene.model("m");
    let version = scene.version("m");
    scene.write(move |tx| registry::set_alias(tx, &ada(3), "m", "prod", version)).unwrap();
    scene.write(move |tx| registry::delete_version(tx, &ada(4), "m", version)).unwrap();
    assert!(matches!(scene.get("m", version), Err(StoreError::NotFound { .. })));
    let model = scene.store.read(|tx| registry::registered_model(tx, "m")).unwrap();
    assert!(model.aliases.is_empty() && model.latest.is_empty());
    assert_eq!(model.updated, Timestamp::from_millis(4));
    let asked = scene.store.read(|tx| registry::version_by_alias(tx, "m", "prod"));
    assert!(matches!(asked, Err(StoreError::Invalid(_))), "MLflow says so: {asked:?}");
}

fn a_stage_can_be_emptied_for_its_new_version(place: &Place) {
    let scene = Scene::new(place);
    scene.model("m");
    for _ in 0..3 {
        scene.version("m");
    }
    let stage = |version, stage, archive| {
        scene.write(move |tx| registry::stage_version(tx, &ada(9), "m", version, stage, archive))
    };
    stage(1, Stage::Production, false).unwrap();
    stage(2, Stage::Production, false).unwrap();
    assert_eq!(stage(3, Stage::Production, true).unwrap().stage, "Production");
    let stages: Vec<String> = (1..=3).map(|version| scene.get("m", version).unwrap().stage).collect();
    assert_eq!(stages, ["Archived", "Archived", "Production"]);
    assert!(matches!(stage(3, Stage::None, true), Err(StoreError::Invalid(_))));
    let latest = scene.store.read(|tx| registry::latest_versions(tx, "m", &[Stage::Archived])).unwrap();
    assert_eq!(latest.iter().map(|version| version.version).collect::<Vec<_>>(), [2]);
    let told = scene.changes();
    let archived = told.iter().find_map(|change| match change {
        RegistryChange::VersionStaged { version: 3, archived, .. } => Some(archived.clone()),
        _ => None,
    });
    assert_eq!(archived.unwrap(), [1, 2], "the fact says what else it moved");
}

fn texts_of_any_size_are_kept_whole_and_the_journal_bears_their_digest(place: &Place) {
    let scene = Scene::new(place);
    let long = "é\u{1}\"".repeat(25_000);
    let tags: Vec<_> = (0..3_000).map(|tag| pair(&format!("key-{tag}"), "value")).collect();
    let (words, all) = (long.clone(), tags.clone());
    scene.write(move |tx| registry::create_model(tx, &ada(1), "m", Some(&words), all)).unwrap();
    let mut of_version = vec![pair("prompt", &long)];
    of_version.extend(tags.clone());
    let new =
        NewVersion { name: "m".into(), source: "s3://b/m".into(), tags: of_version, ..Default::default() };
    let version = scene.create(new).unwrap();
    assert_eq!((version.tags.len(), &version.tags["prompt"]), (3_001, &long));
    let model = scene.store.read(|tx| registry::registered_model(tx, "m")).unwrap();
    assert_eq!((model.description.as_ref(), model.tags.len()), (Some(&long), 3_000));
    let digest = Digest::of(long.as_bytes()).to_hex();
    let first = serde_json::to_string(&scene.changes()[0]).unwrap();
    assert!(first.contains(&digest), "{first:.300}");
    let too_long = "x".repeat(100_001);
    let refused = scene.write(move |tx| registry::describe_model(tx, &ada(2), "m", Some(&too_long)));
    assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
}

fn the_loop_and_clients_share_one_catalogue_and_one_sequence_of_numbers(place: &Place) {
    let scene = Scene::new(place);
    scene.train(1).unwrap();
    let model = scene.store.read(|tx| registry::registered_model(tx, "air-time")).unwrap();
    assert_eq!(model.aliases.get("challenger"), Some(&1));
    assert_eq!(model.created, Timestamp::from_millis(5));
    let version = scene.get("air-time", 1).unwrap();
    assert_eq!(version.run_id.as_deref(), Some("run-1"));
    assert_eq!(version.source, "mlflow-artifacts:/gyre/air-time/1");

    let name = "air-time".parse().unwrap();
    let claim = move |tx: &mut Tx<'_>| registry::claim_version(tx, &name, "run-2");
    let claimed = scene.write(claim.clone()).unwrap();
    assert_eq!(claimed, 2, "the loop has trained a version, and is about to register it");
    assert_eq!(scene.version("air-time"), 3, "a client comes in between");
    assert_eq!(scene.write(claim).unwrap(), 2, "a run that is repeated claims nothing more");
    scene.train(2).unwrap();
    let taken = scene.train(3);
    assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    assert_eq!(scene.store.read(|tx| registry::next_version(tx, &"air-time".parse().unwrap())).unwrap(), 4);
    let champion = scene.store.read(|tx| registry::champion(tx, &"air-time".parse().unwrap())).unwrap();
    assert_eq!(champion, None);
}

fn what_the_loop_decides_is_not_changed_behind_its_back(place: &Place) {
    let scene = Scene::new(place);
    scene.train(1).unwrap();
    let attempts: [Result<(), StoreError>; 5] = [
        scene.write(|tx| registry::delete_version(tx, &ada(6), "air-time", 1)),
        scene.write(|tx| registry::delete_model(tx, &ada(6), "air-time")),
        scene.write(|tx| registry::rename_model(tx, &ada(6), "air-time", "other").map(drop)),
        scene.write(|tx| registry::set_alias(tx, &ada(6), "air-time", "champion", 1)),
        scene.write(|tx| registry::delete_alias(tx, &ada(6), "air-time", "challenger")),
    ];
    for attempt in attempts {
        assert!(matches!(attempt, Err(StoreError::Conflict(_))), "{attempt:?}");
    }
    scene.write(|tx| registry::set_alias(tx, &ada(6), "air-time", "stable", 1)).unwrap();
    assert_eq!(scene.get("air-time", 1).unwrap().aliases, ["challenger", "stable"]);
}

fn a_clients_champion_is_not_the_loops(place: &Place) {
    let scene = Scene::new(place);
    scene.model("air-time");
    scene.version("air-time");
    scene.write(|tx| registry::set_alias(tx, &ada(3), "air-time", "champion", 1)).unwrap();
    let name = "air-time".parse().unwrap();
    assert_eq!(scene.store.read(|tx| registry::champion(tx, &name)).unwrap(), None);
    scene.train(2).unwrap();
}

/// One run and one logged model.
struct Tracking;

impl Tracked for Tracking {
    fn run_root(&self, _: &mut Tx<'_>, run: &str) -> Result<Option<String>, StoreError> {
        let local = (run == "local").then(|| "/srv/runs/local/artifacts".to_owned());
        Ok(local.or_else(|| (run == "r1").then(|| "mlflow-artifacts:/0/r1/artifacts".to_owned())))
    }

    fn logged_model(&self, _: &mut Tx<'_>, model: &str) -> Result<Option<LoggedModel>, StoreError> {
        let root = "mlflow-artifacts:/0/models/m-1/artifacts".to_owned();
        Ok((model == "m-1").then(|| LoggedModel { root, run: Some("r1".to_owned()) }))
    }
}

fn a_source_must_belong_to_what_the_request_names(place: &Place) {
    let scene = Scene::new(place);
    scene.model("m");
    scene.version("m");
    scene.write(|tx| registry::set_alias(tx, &ada(3), "m", "prod", 1)).unwrap();
    let check = |source: &str, run: Option<&str>, logged_model: Option<&str>| {
        let claim = Claim { source, run, logged_model, prompt: false };
        scene.store.read(|tx| source::check(tx, &Tracking, claim))
    };
    let origin = check("models:/m-1", None, Some("m-1")).unwrap();
    assert_eq!(origin.location.as_deref(), Some("mlflow-artifacts:/0/models/m-1/artifacts"));
    assert_eq!(origin.run.as_deref(), Some("r1"), "the run of the logged model");
    for reference in ["models:/m@prod", "models:/m/1", "models:/m/latest", "models:/m/None"] {
        let origin = check(reference, None, None).unwrap();
        assert_eq!((origin.source.as_str(), origin.location.as_deref()), ("models:/m/1", Some("s3://b/m")));
    }
    for (source, run) in [
        ("s3://bucket/anything", None),
        ("gs://bucket/anything", None),
        ("runs:/r1/model", Some("r1")),
        ("mlflow-artifacts:/0/r1/artifacts/model", Some("r1")),
        ("/srv/runs/local/artifacts/model", Some("local")),
        ("file:///srv/runs/local/artifacts/model", Some("local")),
    ] {
        check(source, run, None).unwrap_or_else(|error| panic!("{source}: {error}"));
    }
    for (source, run, logged_model) in [
        ("/etc/passwd", None, None),
        ("/etc/passwd", Some("local"), None),
        ("file:///etc/passwd", Some("local"), None),
        ("/srv/runs/local/artifacts/../../../etc", Some("local"), None),
        ("relative/path", Some("local"), None),
        ("dummy-source", None, None),
        ("mlflow-artifacts:/0/r2/artifacts/model", Some("r1"), None),
        ("mlflow-artifacts:/0/r1/artifacts/model", None, None),
        ("mlflow-artifacts:/0/r1/artifacts/%2e%2e/%2e%2e/r2", Some("r1"), None),
        ("mlflow-artifacts://elsewhere/0/r1/artifacts/model", Some("r1"), None),
        ("runs:/r2/model", Some("r1"), None),
        ("runs:/r1/model", None, None),
        ("models:/m-1", None, None),
        ("models:/m-2", None, Some("m-2")),
        ("models://elsewhere/m/1", None, None),
        ("models:/m/1", Some("another run"), None),
        ("s3://bucket/a/../../b", None, None),
        ("http://169.254.169.254/latest/meta-data", None, None),
        ("ftp://host/x", None, None),
    ] {
        let checked = check(source, run, logged_model);
        assert!(matches!(checked, Err(StoreError::Invalid(_))), "{source}: {checked:?}");
    }
    let missing = check("models:/m/7", None, None);
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

fn names(found: &registry::Found<registry::RegisteredModel>) -> Vec<&str> {
    found.items.iter().map(|model| model.name.as_str()).collect()
}

impl Scene {
    fn models(
        &self,
        filter: &str,
        size: i64,
        token: Option<&str>,
    ) -> registry::Found<registry::RegisteredModel> {
        let page = Page::asked(size, registry::MAX_MODELS, token).unwrap();
        self.store.read(|tx| registry::search_models(tx, filter, &[], page)).unwrap()
    }

    fn versions(&self, filter: &str, order: &[&str]) -> Vec<(String, Version)> {
        let order: Vec<String> = order.iter().map(|key| (*key).to_owned()).collect();
        let page = Page::asked(1000, registry::MAX_VERSIONS, None).unwrap();
        let found = self.store.read(|tx| registry::search_versions(tx, filter, &order, page)).unwrap();
        found.items.into_iter().map(|version| (version.name, version.version)).collect()
    }
}

fn models_are_found_by_name_and_tag_and_prompts_only_when_asked_for(place: &Place) {
    let scene = Scene::new(place);
    for (name, tags) in [
        ("Alpha", vec![pair("team", "Red"), pair("a b", "x")]),
        ("beta", vec![pair("team", "blue")]),
        ("it's", vec![]),
        ("greeting", vec![pair("mlflow.prompt.is_prompt", "true"), pair("team", "red")]),
    ] {
        scene.write(move |tx| registry::create_model(tx, &ada(1), name, None, tags)).unwrap();
    }
    for (filter, found) in [
        ("", &["Alpha", "beta", "it's"][..]),
        ("name = 'beta'", &["beta"]),
        ("name != 'beta'", &["Alpha", "it's"]),
        ("name LIKE 'a%'", &[]),
        ("name ILIKE 'a%'", &["Alpha"]),
        ("name LIKE '%''s'", &["it's"]),
        ("name IN ('beta', 'it''s')", &["beta", "it's"]),
        ("name NOT IN ('beta')", &["Alpha", "it's"]),
        ("tags.team = 'Red'", &["Alpha"]),
        ("tags.team != 'Red'", &["beta"]),
        ("tags.team ILIKE 'r%' AND tags.`a b` = 'x'", &["Alpha"]),
        ("tags.`mlflow.prompt.is_prompt` = 'true'", &["greeting"]),
        ("tags.`mlflow.prompt.is_prompt` != 'true'", &["Alpha", "beta", "it's"]),
        ("tags.`mlflow.prompt.is_prompt` = 'true' AND tags.team = 'x'", &[]),
    ] {
        assert_eq!(names(&scene.models(filter, 100, None)), found, "{filter}");
    }
}

fn pages_follow_one_another_also_through_a_pattern(place: &Place) {
    let scene = Scene::new(place);
    scene
        .write(|tx| {
            for number in 0..2_500 {
                let name = format!("{}-{number:04}", if number % 2 == 0 { "even" } else { "odd" });
                registry::create_model(tx, &ada(1), &name, None, Vec::new())?;
            }
            Ok(())
        })
        .unwrap();
    for (filter, all) in [("", 2_500), ("name LIKE '%-1%'", 1_000), ("name ILIKE 'ODD%'", 1_250)] {
        let (mut seen, mut token) = (Vec::new(), None);
        loop {
            let found = scene.models(filter, 300, token.as_deref());
            seen.extend(found.items.into_iter().map(|model| model.name));
            token = found.next;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), all, "{filter}");
        assert!(seen.is_sorted_by(|a, b| a < b), "{filter}");
    }
    let exact = scene.models("name LIKE 'even-000%'", 5, None);
    assert_eq!((exact.items.len(), exact.next), (5, None), "a last page that is full leads nowhere");
}

fn versions_are_found_by_run_source_number_and_tag(place: &Place) {
    let scene = Scene::new(place);
    scene.model("m");
    scene.model("n");
    for (name, run, source) in
        [("m", "r1", "s3://b/x"), ("m", "r2", "s3://b/y"), ("n", "r1", "S3://b/z"), ("m", "", "s3://c/x")]
    {
        scene
            .create(NewVersion {
                name: name.to_owned(),
                source: source.to_owned(),
                run_id: Some(run.to_owned()),
                tags: vec![pair("stage", run)],
                ..NewVersion::default()
            })
            .unwrap();
    }
    let found = |filter: &str| scene.versions(filter, &["name", "version_number ASC"]);
    let pairs = |list: &[(&str, Version)]| -> Vec<(String, Version)> {
        list.iter().map(|(name, version)| ((*name).to_owned(), *version)).collect()
    };
    for (filter, expected) in [
        ("name = 'm'", &[("m", 1), ("m", 2), ("m", 3)][..]),
        ("run_id = 'r1'", &[("m", 1), ("n", 1)]),
        ("run_id IN ('r1', 'r2') AND name = 'm'", &[("m", 1), ("m", 2)]),
        ("source_path LIKE 's3://b/%'", &[("m", 1), ("m", 2)]),
        ("version_number > 1", &[("m", 2), ("m", 3)]),
        ("version_number <= '1'", &[("m", 1), ("n", 1)]),
        ("tags.stage = 'r2'", &[("m", 2)]),
    ] {
        assert_eq!(found(filter), pairs(expected), "{filter}");
    }
    scene.write(|tx| registry::describe_version(tx, &ada(9), "m", 1, None)).unwrap();
    assert_eq!(scene.versions("", &[])[0], ("m".to_owned(), 1), "the last changed comes first");
}

#[test]
fn a_store_from_before_the_catalogue_is_filled_in() {
    static OLD: Room = Room { name: "registry", migrations: &[], project: nothing };
    static OLD_ROOMS: [&Room; 1] = [&OLD];
    fn nothing(_: &mut Tx<'_>, _: &gyre_core::Entry) -> Result<(), StoreError> {
        Ok(())
    }
    let dir = tempfile::tempdir().unwrap();
    let open = |rooms| Store::open(dir.path(), rooms, Arc::new(ManualClock::default())).unwrap();
    let old = open(&OLD_ROOMS);
    let first = ROOM.migrations[0];
    old.write(move |tx| {
        first.split(';').filter(|sql| !sql.trim().is_empty()).try_for_each(|sql| tx.execute(sql, &[]).map(drop))?;
        tx.execute("UPDATE schema_version SET version = 1 WHERE room = 'registry'", &[])?;
        tx.execute("INSERT INTO registry_runs (run_id, model, entry, at) VALUES ('r2', 'air-time', 1, 77)", &[])?;
        for version in ["1", "2"] {
            let sql = format!(
                "INSERT INTO registry_versions (model, version, status, run_id, data, registered, created, updated)
                 VALUES ('air-time', {version}, 'registered', 'r{version}', 'd', '{{}}', '{{}}', '{{}}')"
            );
            tx.execute(&sql, &[])?;
        }
        tx.execute("INSERT INTO registry_aliases VALUES ('air-time', 'champion', 1)", &[]).map(drop)
    })
    .unwrap();
    drop(old);
    let store = open(&ROOMS);
    let model = store.read(|tx| registry::registered_model(tx, "air-time")).unwrap();
    assert_eq!((model.aliases["champion"], model.updated), (1, Timestamp::from_millis(77)));
    let version = store.read(|tx| registry::registered_version(tx, "air-time", 2)).unwrap();
    assert_eq!(
        (version.source.as_str(), version.run_id.as_deref()),
        ("mlflow-artifacts:/gyre/air-time/2", Some("r2"))
    );
    let next = store.read(|tx| registry::next_version(tx, &"air-time".parse().unwrap())).unwrap();
    assert_eq!(next, 3);
}
