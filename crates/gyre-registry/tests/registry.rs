//! The registry as other rooms see it: facts in, answers out.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::expr::GateResult;
use gyre_core::fact::{CodeVersion, Decision, ModelVersion, Run};
use gyre_core::record::{Field, Kind, Signature};
use gyre_core::runtime::Runtime;
use gyre_core::time::ManualClock;
use gyre_core::{Digest, Fact, ModelName, Timestamp, Version};
use gyre_registry::{Author, NewVersion, ROOM, RunStatus, Stage, VersionStatus};
use gyre_store::{NewFact, Room, Store, StoreError, Tx, journal};
use gyre_testing::Place;

gyre_testing::on_both!(
    a_candidate_that_fails_leaves_the_champion_and_its_past_as_they_were,
    a_recalled_version_is_champion_anew,
    a_refused_version_is_no_challenger,
    a_rollback_amid_a_rollout_ends_the_rollout_too,
    a_rollback_goes_to_the_champion_before_and_then_further_back,
    a_version_goes_its_way_from_registration_to_champion,
    runs_are_kept_whether_they_ended_well_or_not,
    the_tables_can_be_made_anew_from_the_journal,
    what_contradicts_the_registry_does_not_enter_the_journal,
);

static ROOMS: [&Room; 1] = [&ROOM];

/// What the projection fills. Long texts and claimed numbers are content beside the journal.
const TABLES: [&str; 10] = [
    "registry_runs",
    "registry_versions",
    "registry_aliases",
    "registry_champions",
    "registry_traffic",
    "registry_models",
    "registry_model_tags",
    "registry_model_versions",
    "registry_version_tags",
    "registry_numbers",
];

fn model() -> ModelName {
    "air-time".parse().unwrap()
}

struct Scene {
    store: Store,
}

impl Scene {
    fn new(place: &Place) -> Self {
        Self { store: place.open(&ROOMS, Arc::new(ManualClock::default())) }
    }

    fn tell(&self, fact: Fact) -> Result<u64, StoreError> {
        let day = i64::try_from(self.store.journal_size()).unwrap();
        let at = Timestamp::from_millis(day * 86_400_000);
        self.store.write(move |tx| tx.append(NewFact::new(at, "controller", fact))).map(|new| new.seq)
    }

    fn register(&self, version: Version) {
        let run = format!("run-{version}");
        let data = Digest::of(run.as_bytes());
        self.tell(Fact::RunFinished(Run {
            run: run.clone(),
            model: model(),
            data,
            code: CodeVersion { commit: Some("c0ffee".into()), dirty: false },
            params: [("depth".to_owned(), "6".to_owned())].into(),
            metrics: [("mae".to_owned(), 7.5)].into(),
            environment: [("gyre".to_owned(), "0.1.0".to_owned())].into(),
            stages: Vec::new(),
            log: Digest::of(b"log"),
        }))
        .unwrap();
        self.tell(Fact::VersionRegistered(registered(version))).unwrap();
    }

    /// Clients do all that they can do.
    fn change(&self) {
        let ada = |at| Author { at: Timestamp::from_millis(at), actor: "user:ada".into(), origin: None };
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let long = "long ".repeat(2_000);
        let change = move |tx: &mut Tx<'_>| {
            for name in ["m", "gone"] {
                let tags = vec![tag("a", "1"), tag("b", &long)];
                gyre_registry::create_model(tx, &ada(1), name, Some(&long), tags)?;
                let (source, tags) = ("s3://b/m".to_owned(), vec![tag("c", "3"), tag("d", &long)]);
                for _ in 0..3 {
                    let (name, source, tags) = (name.to_owned(), source.clone(), tags.clone());
                    let new = NewVersion { name, source, tags, ..NewVersion::default() };
                    gyre_registry::create_version(tx, &ada(2), new)?;
                }
            }
            gyre_registry::set_alias(tx, &ada(3), "m", "prod", 1)?;
            gyre_registry::set_alias(tx, &ada(3), "m", "gone", 1)?;
            gyre_registry::delete_alias(tx, &ada(4), "m", "gone")?;
            gyre_registry::set_alias(tx, &ada(4), "air-time", "stable", 2)?;
            gyre_registry::delete_model_tag(tx, &ada(5), "m", "a")?;
            gyre_registry::delete_version_tag(tx, &ada(5), "m", 1, "c")?;
            gyre_registry::describe_model(tx, &ada(6), "m", None)?;
            gyre_registry::describe_version(tx, &ada(6), "m", 1, Some("words"))?;
            gyre_registry::stage_version(tx, &ada(7), "m", 1, Stage::Staging, false)?;
            gyre_registry::stage_version(tx, &ada(7), "m", 2, Stage::Staging, true)?;
            gyre_registry::delete_version(tx, &ada(8), "m", 3)?;
            gyre_registry::rename_model(tx, &ada(9), "m", "n")?;
            gyre_registry::delete_model(tx, &ada(9), "gone")
        };
        self.store.write(change).unwrap();
    }

    fn judge(&self, version: Version, passed: bool) {
        let gate =
            GateResult { gate: "candidate.mae <= 9.0".into(), passed, because: "candidate.mae = 7.5".into() };
        let results = vec![gate];
        self.tell(Fact::GatesJudged { model: model(), version, passed, results, comparison: None }).unwrap();
    }

    fn roll_out(&self, candidate: Version, champion: Option<Version>) {
        let (model, steps) = (model(), vec![500, 10_000]);
        self.tell(Fact::RolloutStarted { model, candidate, champion, steps, plan: None }).unwrap();
        if let Some(champion) = champion {
            self.shift(&[(champion, 9_500), (candidate, 500)]);
        }
    }

    fn shift(&self, weights: &[(Version, u32)]) {
        let (weights, reason) = (weights.to_vec(), "step".to_owned());
        self.tell(Fact::TrafficShifted { model: model(), weights, reason }).unwrap();
    }

    fn promote(&self, version: Version, previous: Option<Version>) {
        let reason = "better".to_owned();
        self.tell(Fact::Promoted { model: model(), version, previous, reason }).unwrap();
    }

    fn roll_back(&self, from: Version, to: Version) {
        let reason = "worse".to_owned();
        self.tell(Fact::RolledBack { model: model(), from, to, reason }).unwrap();
    }

    fn deploy(&self, version: Version, champion: Option<Version>) {
        self.register(version);
        self.judge(version, true);
        self.roll_out(version, champion);
        self.promote(version, champion);
    }

    fn champions(&self) -> (Option<Version>, Option<Version>) {
        let model = model();
        self.store
            .read(|tx| {
                Ok((gyre_registry::champion(tx, &model)?, gyre_registry::previous_champion(tx, &model)?))
            })
            .unwrap()
    }

    fn statuses(&self) -> Vec<VersionStatus> {
        let versions = self.store.read(|tx| gyre_registry::versions(tx, &model())).unwrap();
        versions.into_iter().map(|version| version.status).collect()
    }

    fn traffic(&self) -> Vec<(Version, u32)> {
        self.store.read(|tx| gyre_registry::traffic(tx, &model())).unwrap()
    }

    fn dump(&self) -> Vec<Vec<gyre_store::Row>> {
        let all = |table: &&str| {
            self.store.read(|tx| tx.query(&format!("SELECT * FROM {table} ORDER BY 1, 2"), &[])).unwrap()
        };
        TABLES.iter().map(all).collect()
    }
}

fn registered(version: Version) -> ModelVersion {
    let run = format!("run-{version}");
    ModelVersion {
        model: model(),
        version,
        data: Some(Digest::of(run.as_bytes())),
        run: Some(run),
        artifact: Digest::of(b"model"),
        signature: Signature {
            inputs: vec![Field { name: "distance".into(), kind: Kind::Number }],
            output: "air_time".into(),
            classes: Vec::new(),
        },
        profile: Some(Digest::of(b"profile")),
        runtime: Runtime::Native,
        source: None,
        refit_of: None,
        calibrated_from: None,
        estimator: None,
        holdout: [("mae".to_owned(), 7.5)].into(),
        trained_on: None,
    }
}

fn a_version_goes_its_way_from_registration_to_champion(place: &Place) {
    let scene = Scene::new(place);
    scene.register(1);
    assert_eq!(scene.statuses(), [VersionStatus::Registered]);
    assert_eq!(scene.champions(), (None, None));
    scene.judge(1, true);
    assert_eq!(scene.statuses(), [VersionStatus::Gated]);
    scene.roll_out(1, None);
    assert_eq!(scene.statuses(), [VersionStatus::RollingOut]);
    scene.promote(1, None);
    assert_eq!(scene.champions(), (Some(1), None));
    scene.register(2);
    scene.judge(2, true);
    scene.roll_out(2, Some(1));
    assert_eq!(scene.traffic(), [(1, 9_500), (2, 500)]);
    assert_eq!(scene.statuses(), [VersionStatus::Champion, VersionStatus::RollingOut]);
    scene.promote(2, Some(1));
    assert_eq!(scene.traffic(), [(2, 10_000)]);
    assert_eq!(scene.statuses(), [VersionStatus::Retired, VersionStatus::Champion]);

    let version = scene.store.read(|tx| gyre_registry::version(tx, &model(), 2)).unwrap();
    assert_eq!(version.registered, registered(2));
    assert_eq!((version.aliases, version.traffic), (vec!["champion".to_owned()], 10_000));
    assert!(version.gates.unwrap().passed);
    assert!(version.promoted.unwrap().entry > version.created.entry);
}

fn a_refused_version_is_no_challenger(place: &Place) {
    let scene = Scene::new(place);
    scene.deploy(1, None);
    scene.register(2);
    let challenger = || scene.store.read(|tx| gyre_registry::alias(tx, &model(), "challenger")).unwrap();
    assert_eq!(challenger(), Some(2));
    scene.judge(2, false);
    assert_eq!(scene.statuses(), [VersionStatus::Champion, VersionStatus::Refused]);
    assert_eq!(challenger(), None);
    scene.register(3);
    scene.judge(3, true);
    let (decision, reason) = (Decision::Refuse { version: 3 }, "no better".to_owned());
    scene.tell(Fact::DecisionTaken { model: model(), decision, reason, numbers: [].into() }).unwrap();
    assert_eq!(scene.statuses()[2], VersionStatus::Refused);
    assert_eq!(challenger(), None);
}

fn a_rollback_goes_to_the_champion_before_and_then_further_back(place: &Place) {
    let scene = Scene::new(place);
    scene.deploy(1, None);
    scene.deploy(2, Some(1));
    scene.deploy(3, Some(2));
    assert_eq!(scene.champions(), (Some(3), Some(2)));
    scene.roll_back(3, 2);
    assert_eq!(scene.champions(), (Some(2), Some(1)));
    assert_eq!(scene.traffic(), [(2, 10_000)]);
    scene.roll_back(2, 1);
    assert_eq!(scene.champions(), (Some(1), None));
    use VersionStatus::{Champion, RolledBack};
    assert_eq!(scene.statuses(), [Champion, RolledBack, RolledBack]);
}

fn a_candidate_that_fails_leaves_the_champion_and_its_past_as_they_were(place: &Place) {
    let scene = Scene::new(place);
    scene.deploy(1, None);
    scene.deploy(2, Some(1));
    scene.register(3);
    scene.judge(3, true);
    scene.roll_out(3, Some(2));
    scene.roll_back(3, 2);
    assert_eq!(scene.champions(), (Some(2), Some(1)));
    use VersionStatus::{Champion, Retired, RolledBack};
    assert_eq!(scene.statuses(), [Retired, Champion, RolledBack]);
}

fn a_rollback_amid_a_rollout_ends_the_rollout_too(place: &Place) {
    let scene = Scene::new(place);
    scene.deploy(1, None);
    scene.deploy(2, Some(1));
    scene.register(3);
    scene.judge(3, true);
    scene.roll_out(3, Some(2));
    scene.roll_back(2, 1);
    use VersionStatus::{Champion, RolledBack};
    assert_eq!(scene.statuses(), [Champion, RolledBack, RolledBack]);
    assert_eq!(scene.traffic(), [(1, 10_000)]);
}

fn a_recalled_version_is_champion_anew(place: &Place) {
    let scene = Scene::new(place);
    scene.deploy(1, None);
    scene.deploy(2, Some(1));
    scene.judge(1, true);
    assert_eq!(scene.statuses()[0], VersionStatus::Retired, "gates do not undo a career");
    scene.roll_out(1, Some(2));
    scene.promote(1, Some(2));
    assert_eq!(scene.champions(), (Some(1), Some(2)));
    scene.roll_back(1, 2);
    assert_eq!(scene.champions(), (Some(2), Some(1)));
}

fn what_contradicts_the_registry_does_not_enter_the_journal(place: &Place) {
    let scene = Scene::new(place);
    scene.deploy(1, None);
    let before = scene.store.journal_size();
    let again = scene.tell(Fact::VersionRegistered(registered(1))).unwrap_err();
    assert!(again.to_string().contains("registered already"), "{again}");
    let reason = String::new();
    let ghost =
        scene.tell(Fact::Promoted { model: model(), version: 9, previous: None, reason }).unwrap_err();
    assert!(ghost.to_string().contains("no version 9"), "{ghost}");
    assert_eq!(scene.store.journal_size(), before);
    assert_eq!(scene.champions(), (Some(1), None));
    let missing = scene.store.read(|tx| gyre_registry::version(tx, &model(), 9)).unwrap_err();
    assert!(missing.to_string().contains("`air-time@9`: the newest version of `air-time` is 1"), "{missing}");
    assert_eq!(scene.store.read(|tx| gyre_registry::next_version(tx, &model())).unwrap(), 2);
}

fn runs_are_kept_whether_they_ended_well_or_not(place: &Place) {
    let scene = Scene::new(place);
    scene.register(1);
    let failed = Fact::RunFailed {
        run: "run-x".into(),
        model: model(),
        data: None,
        reason: "stage train: exit code 1".into(),
        log: "…".into(),
    };
    scene.tell(failed).unwrap();
    let runs = scene.store.read(|tx| gyre_registry::runs(tx, Some(&model()), 10)).unwrap();
    assert_eq!(runs.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), ["run-x", "run-1"]);
    assert_eq!(runs[0].status, RunStatus::Failed);
    assert!(runs[0].failure.as_ref().unwrap().contains("exit code 1"));
    let run = scene.store.read(|tx| gyre_registry::run(tx, "run-1")).unwrap();
    assert_eq!(
        (run.metrics["mae"], run.params["depth"].as_str(), run.status),
        (7.5, "6", RunStatus::Finished)
    );
    assert_eq!(run.data, Some(Digest::of(b"run-1")));
    let models = scene.store.read(gyre_registry::models).unwrap();
    assert_eq!((models.len(), models[0].versions, models[0].runs), (1, 1, 2));
}

fn the_tables_can_be_made_anew_from_the_journal(place: &Place) {
    let scene = Scene::new(place);
    scene.deploy(1, None);
    scene.deploy(2, Some(1));
    scene.deploy(3, Some(2));
    scene.register(4);
    scene.judge(4, false);
    scene.roll_back(3, 2);
    scene.deploy(5, Some(2));
    scene.register(6);
    scene.judge(6, true);
    scene.roll_out(6, Some(5));
    scene.change();
    let before = scene.dump();
    assert!(before.iter().all(|table| !table.is_empty()));
    let wiped = |tx: &mut gyre_store::Tx<'_>| {
        TABLES.iter().try_for_each(|table| tx.execute(&format!("DELETE FROM {table}"), &[]).map(drop))?;
        tx.query("SELECT 1 FROM registry_versions", &[]).map(|rows| rows.len())
    };
    assert_eq!(scene.store.write(wiped).unwrap(), 0);
    let replay = |tx: &mut gyre_store::Tx<'_>| {
        let entries = journal::entries(tx, 0, u64::from(u32::MAX))?;
        entries.iter().try_for_each(|entry| (ROOM.project)(tx, entry))
    };
    scene.store.write(replay).unwrap();
    assert_eq!(scene.dump(), before);
}
