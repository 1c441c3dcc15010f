//! Lineage over a journal as the loop writes it: which answers does an auditor get?

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gyre_core::fact::{CodeVersion, DataVersion, Decision, ModelVersion, Run, Score, Verdict, WindowSummary};
use gyre_core::record::{Route, Signature};
use gyre_core::runtime::Runtime;
use gyre_core::time::{ManualClock, Period};
use gyre_core::{Digest, Fact, ModelName, Span, Timestamp, Version};
use gyre_govern::lineage::{Answered, LineageError, NodeKind, Ref, Tree, back, forward};
use gyre_store::{NewFact, Store};

/// A journal that is told what happened, a day later each time `day` is called.
struct Journal {
    store: Store,
    now: Timestamp,
    _dir: tempfile::TempDir,
}

fn model() -> ModelName {
    "air-time".parse().unwrap()
}

fn day(day: i64) -> Timestamp {
    Timestamp::default() + Span::days(day)
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

impl Journal {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &[], Arc::new(ManualClock::default())).unwrap();
        Self { store, now: day(0), _dir: dir }
    }

    fn tell(&self, actor: &str, cause: Option<u64>, fact: Fact) -> u64 {
        let mut new = NewFact::new(self.now, actor, fact);
        new.cause = cause;
        self.store.write(move |tx| tx.append(new)).unwrap().seq
    }

    fn data(&self, cause: Option<u64>, name: &str, cut_from: Option<&str>) -> u64 {
        let fact = Fact::DataRecorded(DataVersion {
            dataset: "flights".into(),
            digest: digest(name),
            md5: format!("{:0>32}", name.len()),
            size: 10,
            rows: 1_000,
            period: None,
            cut_from: cut_from.map(digest),
        });
        self.tell("loop", cause, fact)
    }

    /// Data, run and version, as one training writes them; returns the entry that registered the version.
    fn train(&self, cause: Option<u64>, version: Version) -> u64 {
        let data = format!("cut-{version}");
        self.data(cause, &data, Some("whole"));
        let run = format!("run-{version}");
        self.tell(
            "loop",
            cause,
            Fact::RunFinished(Run {
                run: run.clone(),
                model: model(),
                data: digest(&data),
                code: CodeVersion { commit: Some("c0ffee".into()), dirty: true },
                params: [].into(),
                metrics: [("mae".to_owned(), 7.5)].into(),
                environment: [].into(),
                stages: Vec::new(),
                log: digest("log"),
            }),
        );
        self.tell("loop", cause, Fact::VersionRegistered(registered(version, &run, &data)))
    }

    fn decide(&self, actor: &str, cause: u64, decision: Decision, reason: &str) -> u64 {
        let (reason, numbers) = (reason.to_owned(), [].into());
        self.tell(actor, Some(cause), Fact::DecisionTaken { model: model(), decision, reason, numbers })
    }

    fn window(&self) -> u64 {
        let fact = Fact::WindowClosed(WindowSummary {
            model: model(),
            period: Period { from: self.now - Span::days(7), to: self.now },
            champion: 1,
            predictions: 5_000,
            labels: 4_900,
            realised: Vec::new(),
            drift: Vec::new(),
            estimated: None,
            errors: 0,
            odd: vec![],
            quality: vec![],
            evidence: gyre_core::fact::Evidence::default(),
            attribution: None,
            segments: vec![],
        });
        self.tell("monitor", None, fact)
    }

    fn promote(&self, actor: &str, cause: Option<u64>, version: Version) -> u64 {
        let reason = "it is better".to_owned();
        self.tell(actor, cause, Fact::Promoted { model: model(), version, previous: None, reason })
    }

    fn shift(&self, cause: u64, weights: &[(Version, u32)]) {
        let (weights, reason) = (weights.to_vec(), "step".to_owned());
        self.tell("controller", Some(cause), Fact::TrafficShifted { model: model(), weights, reason });
    }

    fn back(&self, reference: &str, answered: Option<&Answered>) -> Result<Tree, LineageError> {
        let reference = Ref::parse(reference).unwrap();
        let mut outcome = None;
        let run = |tx: &mut gyre_store::Tx<'_>| {
            outcome = Some(back(tx, &reference, answered));
            Ok(())
        };
        self.store.read(run).unwrap();
        outcome.unwrap()
    }
}

fn registered(version: Version, run: &str, data: &str) -> ModelVersion {
    ModelVersion {
        model: model(),
        version,
        run: Some(run.into()),
        artifact: digest("model"),
        data: Some(digest(data)),
        signature: Signature { inputs: Vec::new(), output: "air_time".into(), classes: Vec::new() },
        profile: Some(digest("profile")),
        runtime: Runtime::Native,
        source: None,
        refit_of: None,
        calibrated_from: None,
        estimator: None,
        holdout: [].into(),
        trained_on: None,
    }
}

/// Half a year: version 1 by hand on day 0; on day 100 decay leads to version 2, through gates and a rollout, champion on
/// day 102; on day 150 a person goes back to version 1.
fn half_a_year() -> Journal {
    let mut journal = Journal::new();
    journal.data(None, "whole", None);
    let first = journal.train(None, 1);
    let asked = journal.tell("user:ada", Some(first), Fact::LoopResumed { model: model() });
    let by_hand = journal.promote("user:ada", Some(asked), 1);
    journal.shift(by_hand, &[(1, 10_000)]);

    journal.now = day(100);
    let window = journal.window();
    journal.decide("controller", window, Decision::Keep, "beside the point");
    journal.decide("controller", window, Decision::Compare, "mae 18.4, promised 10.8");
    let score = Score { version: 1, rows: 9, days: 3, loss: 18.4, gain: 0.0, interval: None, p: None };
    let period = Period { from: day(93), to: day(100) };
    let compared = journal.tell(
        "loop",
        Some(window),
        Fact::VersionsCompared { model: model(), period, scores: vec![score] },
    );
    let retrain = Decision::Retrain { window: "56d".parse().unwrap() };
    journal.decide("controller", compared, retrain, "no older version recovers the excess");
    let second = journal.train(Some(compared), 2);
    let (version, passed, results) = (2, true, Vec::new());
    let judged = journal.tell(
        "loop",
        Some(second),
        Fact::GatesJudged { model: model(), version, passed, results, comparison: None },
    );
    journal.decide("controller", judged, Decision::RollOut { version: 2 }, "version 2 passed its gates");
    let steps = vec![500, 10_000];
    journal.tell(
        "controller",
        Some(judged),
        Fact::RolloutStarted { model: model(), candidate: 2, champion: Some(1), steps, plan: None },
    );
    journal.shift(judged, &[(1, 9_500), (2, 500)]);

    journal.now = day(102);
    let (verdict, reason) = (Verdict::Continue, "no errors".to_owned());
    let observed = journal.tell(
        "gateway",
        Some(judged),
        Fact::StepObserved { model: model(), candidate: 2, step: 0, verdict, reason, numbers: [].into() },
    );
    journal.promote("controller", Some(observed), 2);
    journal.shift(observed, &[(2, 10_000)]);

    journal.now = day(120);
    let segment = Fact::SegmentClosed {
        model: model(),
        name: "0001.parquet".into(),
        digest: digest("segment"),
        predictions: 500,
        labels: 490,
        period: Period { from: day(110), to: day(120) },
    };
    journal.tell("gateway", None, segment);

    journal.now = day(150);
    let reason = "it feels wrong".to_owned();
    journal.tell("user:ada", None, Fact::RolledBack { model: model(), from: 2, to: 1, reason });
    journal
}

fn kinds(tree: &Tree) -> Vec<NodeKind> {
    tree.nodes().map(|node| node.kind).collect()
}

/// The texts along the chain of reasons below the child with this relation.
fn reasons<'a>(tree: &'a Tree, relation: &str) -> Vec<&'a str> {
    let mut at = tree.children.iter().find(|child| child.relation == relation);
    let mut texts = Vec::new();
    while let Some(tree) = at {
        texts.push(tree.node.text.as_str());
        at = tree.children.iter().find(|child| child.relation == "because");
    }
    texts
}

#[test]
fn a_prediction_leads_back_to_data_commit_run_and_every_decision() {
    let journal = half_a_year();
    let answered =
        Answered { version: 2, at: day(115), route: Route::Champion, segment: Some("0001.parquet".into()) };
    let tree = journal.back("air-time/UA-1545", Some(&answered)).unwrap();
    use NodeKind::{Code, Data, Decision, ModelVersion, Prediction, Run, Segment};
    let found = kinds(&tree);
    for kind in [Prediction, Segment, ModelVersion, Run, Code, Data, Decision] {
        assert!(found.contains(&kind), "{kind:?} in\n{tree}");
    }
    assert!(tree.nodes().any(|node| node.reference == format!("data:{}", digest("whole"))), "{tree}");
    let chain = reasons(&tree, "in service because");
    let expected = [
        "controller made version 2 champion",
        "step 1 of the rollout: no errors",
        "rollout of version 2 began",
        "controller decided to roll version 2 out",
        "version 2 passed its gates",
        "model version air-time@2",
        "controller decided to retrain on 56d: no older version recovers the excess",
        "versions compared on the same rows (loss: 1 18.400)",
        "controller decided to compare all versions: mae 18.4, promised 10.8",
        "window 1970-04-04 to 1970-04-11: 5000 predictions",
    ];
    assert_eq!(chain.len(), expected.len(), "{tree}");
    for (found, expected) in chain.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} is not {expected}");
    }
    let text = tree.to_string();
    assert!(text.contains("\n    made by: run run-2 (mae 7.500)"), "{text}");
    assert!(text.contains("with code: commit c0ffee with uncommitted changes"), "{text}");
}

#[test]
fn the_reason_for_service_is_that_of_the_time() {
    let journal = half_a_year();
    let why = |version, at, route| {
        let answered = Answered { version, at: day(at), route, segment: None };
        let tree = journal.back("prediction:air-time/x", Some(&answered)).unwrap();
        reasons(&tree, "in service because").first().map_or(tree.node.text.clone(), |text| (*text).to_owned())
    };
    assert!(why(1, 110, Route::Pinned).ends_with("asked of this version by name"));
    assert!(why(1, 50, Route::Champion).starts_with("user:ada made version 1 champion"));
    assert!(
        why(1, 101, Route::Champion).starts_with("user:ada made version 1 champion"),
        "although a candidate has a share"
    );
    assert!(why(2, 101, Route::Candidate).starts_with("traffic: version 1 95 %, version 2 5 %"));
    assert!(why(2, 110, Route::Champion).starts_with("controller made version 2 champion"));
    assert!(
        why(1, 151, Route::Champion)
            .starts_with("user:ada rolled version 2 back to version 1: it feels wrong")
    );
}

#[test]
fn a_candidate_that_failed_is_no_reason_for_the_champion() {
    let mut journal = half_a_year();
    journal.now = day(160);
    let judged = journal.train(None, 3);
    journal.shift(judged, &[(1, 9_500), (3, 500)]);
    journal.now = day(161);
    let reason = "errors".to_owned();
    journal.tell("controller", None, Fact::RolledBack { model: model(), from: 3, to: 1, reason });
    journal.now = day(162);
    let tree = journal.back("air-time@1", None).unwrap();
    assert!(reasons(&tree, "in service because")[0].contains("it feels wrong"), "{tree}");
}

#[test]
fn forward_from_data_to_the_times_that_its_versions_served() {
    let journal = half_a_year();
    let whole = digest("whole").to_hex();
    let ask = |prefix: &str| {
        let mut outcome = None;
        journal
            .store
            .read(|tx| {
                outcome = Some(forward(tx, prefix));
                Ok(())
            })
            .unwrap();
        outcome.unwrap()
    };
    let influence = ask(&whole[..10]).unwrap();
    let times = |version: Version| {
        let service = influence.service.iter().find(|of| of.version == version).unwrap();
        service.served.iter().map(|time| (time.from, time.to)).collect::<Vec<_>>()
    };
    assert_eq!(influence.service.len(), 2);
    assert_eq!(times(1), [(day(0), Some(day(102))), (day(150), None)]);
    assert_eq!(times(2), [(day(100), Some(day(150)))]);
    let of_cut = ask(&digest("cut-2").to_hex()).unwrap();
    assert_eq!(of_cut.service.iter().map(|of| of.version).collect::<Vec<_>>(), [2]);
    assert_eq!(kinds(&of_cut.tree)[..3], [NodeKind::Data, NodeKind::Run, NodeKind::ModelVersion]);
    let text = influence.tree.to_string();
    assert!(text.contains("served: 1970-05-31T00:00:00Z until now"), "{text}");
    assert!(matches!(ask("ffffff"), Err(LineageError::Unknown { what: "data version", .. })));
}

#[test]
fn versions_runs_data_and_entries_have_a_past_too() {
    let journal = half_a_year();
    let version = journal.back("air-time@2", None).unwrap();
    assert!(reasons(&version, "in service because").len() > 5);
    let run = journal.back("run:run-2", None).unwrap();
    assert!(reasons(&run, "because")[0].starts_with("controller decided to retrain"));
    let data = journal.back(&format!("data:{}", &digest("cut-1").to_hex()[..12]), None).unwrap();
    assert_eq!(data.children[0].relation, "cut from");
    let entry = version.children.iter().find(|child| child.relation == "in service because").unwrap();
    let by_number = journal.back(&format!("entry:{}", entry.node.entry.unwrap()), None).unwrap();
    assert_eq!((by_number.node, by_number.children), (entry.node.clone(), entry.children.clone()));
    let json = serde_json::to_string(&version).unwrap();
    assert_eq!(serde_json::from_str::<Tree>(&json).unwrap(), version);
}

#[test]
fn what_is_not_there_is_said_not_to_be() {
    let journal = half_a_year();
    let told = |reference| journal.back(reference, None).unwrap_err().to_string();
    assert_eq!(
        told("air-time@9"),
        "there is no model version `air-time@9`: the newest version of `air-time` is 2"
    );
    assert!(told("other@1").contains("`other` has no version yet"));
    assert!(told("air-time/x").contains("the inference log of `air-time` does not hold that id"));
    assert!(told("run:x").contains("no run `x`"));
    assert!(told("entry:999").contains("no journal entry `999`"));
    // All the made-up MD5 digests begin alike.
    assert!(told("data:000000").contains("give more digits"));
}
