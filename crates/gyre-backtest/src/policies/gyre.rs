//! The controller of production, out of whose hands history answers.
//!
//! What runs here is [`gyre_control::controller::step`] itself. Facts go in as they would come from the journal (a window closed,
//! versions were compared, a version was registered, gates were judged), and its actions are answered out of the losses that are
//! known by then. Rollouts are not replayed: they guard against faults of service, which history does not hold, so a version that
//! passed its gates serves from the decision on.

use std::collections::BTreeMap;

use gyre_control::controller::step;
use gyre_control::{Action, Policies, State, triggers, waiting};
use gyre_core::expr::{Expression, Measured};
use gyre_core::fact::{
    Decision, Entry, Fact, ModelVersion, Numbers, Realised, RolloutPlan, Score, WindowSummary,
};
use gyre_core::record::Signature;
use gyre_core::runtime::Runtime;
use gyre_core::spec::{Holdout, Metric, Window};
use gyre_core::time::Period;
use gyre_core::{Digest, ModelName, Timestamp, Version};
use serde_json::json;

use super::{Strategy, Turn, serving};
use crate::known::{Fit, Known};
use crate::measure::{Compared, compare};
use crate::settings::Settings;
use crate::timeline::Slice;

/// The most facts that one decision leads to; a controller that would go on for ever is stopped.
const MOST_FACTS: usize = 1_000;

/// The controller under replay.
pub struct Gyre {
    model: ModelName,
    metric: Metric,
    policies: Policies,
    drift: bool,
    state: State,
    holdout: Holdout,
    candidates: Vec<Window>,
    gates: Vec<Expression>,
    versions: BTreeMap<Version, Fit>,
    newest: Version,
    seq: u64,
    trainings: u32,
    decisions: Vec<(Timestamp, Decision, String)>,
}

impl Gyre {
    /// With the first model in service.
    pub fn new(settings: &Settings, known: &Known<'_>, first: Fit) -> Self {
        let mut policy = settings.policy.clone();
        policy.plan = RolloutPlan { steps: vec![10_000], bake: None, bandit: None, ..policy.plan };
        // The losses of such versions are not among those that are kept.
        policy.recalibrate = None;
        let drift = policy.on_drift;
        let mut gyre = Self {
            model: settings.model.clone(),
            metric: settings.metric,
            policies: Policies::from([(settings.model.clone(), policy)]),
            drift,
            state: State::default(),
            holdout: settings.holdout,
            candidates: settings.candidates.clone(),
            gates: judgeable(&settings.gates, settings.metric).0,
            versions: BTreeMap::new(),
            newest: 0,
            seq: 0,
            trainings: 0,
            decisions: Vec::new(),
        };
        let registered = gyre.register(known, first, None);
        let version = gyre.newest;
        let model = gyre.model.clone();
        let judged = Fact::GatesJudged {
            model: model.clone(),
            version,
            passed: true,
            results: Vec::new(),
            comparison: None,
        };
        let promoted =
            Fact::Promoted { model, version, previous: None, reason: "the first version".to_owned() };
        for fact in [registered, judged, promoted] {
            gyre.tell(known, fact);
        }
        gyre
    }

    /// What it decided so far, other than to keep the champion.
    pub fn decisions(&self) -> &[(Timestamp, Decision, String)] {
        &self.decisions
    }

    /// Tells the controller a fact and carries out what follows, and what follows from that.
    fn tell(&mut self, known: &Known<'_>, fact: Fact) {
        let mut facts = vec![fact];
        for _ in 0..MOST_FACTS {
            let Some(fact) = facts.pop() else { return };
            self.seq += 1;
            let at = known.moment();
            let actor = "backtest".to_owned();
            let entry =
                Entry { seq: self.seq, at, recorded: at, actor, cause: None, key: None, origin: None, fact };
            let follows = step(&self.policies, &mut self.state, &entry);
            for fact in follows.facts {
                if let Fact::DecisionTaken { decision, reason, .. } = fact
                    && decision != Decision::Keep
                {
                    self.decisions.push((at, decision, reason));
                }
            }
            facts.extend(follows.actions.iter().filter_map(|action| self.perform(known, action)));
        }
    }

    fn perform(&mut self, known: &Known<'_>, action: &Action) -> Option<Fact> {
        match action {
            Action::Compare { period, .. } => Some(self.compare(known, *period)),
            Action::Train { window, .. } => Some(self.train(known, *window)),
            Action::Refit { version, .. } => self.refit(known, *version),
            Action::Judge { version, .. } => Some(self.judge(known, *version)),
            // Never asked for: see `new`.
            Action::Recalibrate { .. } | Action::Route { .. } => None,
        }
    }

    fn champion(&self) -> Option<(Version, Fit)> {
        let champion = self.state.models.get(&self.model)?.champion?;
        Some((champion, *self.versions.get(&champion)?))
    }

    /// What fell due since the window before, and what had to wait and may begin: looked at when windows close.
    fn look_at_time(&mut self, known: &Known<'_>) {
        let now = known.moment();
        let of = |gyre: &Self| {
            let (policy, model) = (gyre.policies.get(&gyre.model)?, gyre.state.models.get(&gyre.model)?);
            let fired = || triggers::fired(policy, model, &gyre.model, now).map(|fired| fired.fact);
            waiting::ready(policy, model, &gyre.model, now).or_else(fired)
        };
        // A training that was put off, and the rollout that follows from it.
        for _ in 0..2 {
            let Some(fact) = of(self) else { return };
            self.tell(known, fact);
        }
    }

    /// The window that has just closed, as the monitor would tell of it.
    fn close(&self, known: &Known<'_>, serves: &[Fit]) -> Option<WindowSummary> {
        let window = known.window()?;
        let (champion, fit) = self.champion()?;
        let mut realised = Vec::new();
        for (version, fit) in &self.versions {
            let own = |_: usize, slice: &Slice| {
                slice.window == Some(window) && slice.era.and_then(|era| serves.get(era)) == Some(fit)
            };
            if let Some(measured) = known.tally_served(*fit, own).measure(self.metric) {
                realised.push(Realised {
                    version: *version,
                    rows: measured.rows,
                    loss: measured.loss,
                    days: measured.days,
                    standard_error: measured.standard_error,
                });
            }
        }
        let rows = realised.iter().map(|realised| realised.rows).sum();
        let late: u64 =
            known.slices().filter(|(_, it)| it.window == Some(window)).map(|(_, it)| it.late).sum();
        Some(WindowSummary {
            model: self.model.clone(),
            period: known.period(window)?,
            champion,
            predictions: rows + late,
            labels: rows,
            realised,
            drift: if self.drift { known.drift(fit) } else { Vec::new() },
            estimated: None,
            errors: 0,
            odd: Vec::new(),
            quality: Vec::new(),
            evidence: gyre_core::fact::Evidence::default(),
            attribution: None,
            segments: Vec::new(),
        })
    }

    fn compare(&self, known: &Known<'_>, period: Period) -> Fact {
        let inside = |_: usize, slice: &Slice| period.contains(slice.from);
        let mut scores = Vec::new();
        if let Some((champion, own)) = self.champion() {
            let theirs = known.tally_served(own, inside);
            let passed = |version: &Version| {
                let known = self.state.models.get(&self.model).and_then(|model| model.versions.get(version));
                known.is_some_and(|known| known.passed == Some(true))
            };
            for (version, fit) in self.versions.iter().filter(|(version, _)| passed(version)) {
                let Some(compared) = compare(self.metric, &theirs, &known.tally_served(*fit, inside)) else {
                    continue;
                };
                let score = score(*version, &compared);
                scores.push(Score { p: score.p.filter(|_| *version != champion), ..score });
            }
        }
        Fact::VersionsCompared { model: self.model.clone(), period, scores }
    }

    fn train(&mut self, known: &Known<'_>, window: Window) -> Fact {
        let choice = self.candidates.iter().position(|candidate| *candidate == window);
        let fit = choice.map(|choice| Fit { at: known.now(), choice });
        match fit.filter(|fit| known.can_be_judged(*fit)) {
            Some(fit) => {
                self.trainings += 1;
                self.register(known, fit, None)
            }
            None => Fact::RunFailed {
                run: "backtest".to_owned(),
                model: self.model.clone(),
                data: None,
                reason: format!("nothing can be trained on {window}"),
                log: String::new(),
            },
        }
    }

    /// What serves is a version's model trained once more: it takes the version's place. A training is not paid for twice: what a
    /// training costs is what stands in `gyre.yaml` for all that hangs on it.
    fn refit(&mut self, known: &Known<'_>, version: Version) -> Option<Fact> {
        let fit = self.versions.remove(&version)?;
        Some(self.register(known, fit, Some(version)))
    }

    /// Gives a model its number, and says what it promises: its loss on the withheld rows of what it learnt from.
    fn register(&mut self, known: &Known<'_>, fit: Fit, refit_of: Option<Version>) -> Fact {
        self.newest += 1;
        let version = self.newest;
        self.versions.insert(version, fit);
        let mut holdout = Numbers::new();
        if let Some(measured) = known.promise(fit, self.candidates.get(fit.choice).copied()) {
            holdout.insert(self.metric.name().to_owned(), measured.loss);
            holdout.insert("rows".to_owned(), measured.rows as f64);
            holdout.extend(measured.standard_error.map(|error| ("standard_error".to_owned(), error)));
        }
        Fact::VersionRegistered(ModelVersion {
            model: self.model.clone(),
            version,
            run: Some(format!("backtest-{version}")),
            artifact: Digest::of(b""),
            runtime: Runtime::Native,
            source: None,
            data: Some(Digest::of(b"")),
            refit_of,
            calibrated_from: None,
            signature: Signature { inputs: Vec::new(), output: String::new(), classes: Vec::new() },
            profile: None,
            estimator: None,
            holdout,
            trained_on: None,
        })
    }

    /// Holds a version against the champion on the withheld days that the gate looks at.
    fn judge(&self, known: &Known<'_>, version: Version) -> Fact {
        let since = known.moment() - self.holdout.last;
        let rows = |_: usize, slice: &Slice| slice.withheld && slice.from >= since;
        let mut measured = Measured::new();
        let (mut passed, mut comparison) = (true, None);
        if let (Some((_, champion)), Some(fit)) = (self.champion(), self.versions.get(&version)) {
            let (theirs, ours) = (known.tally(champion, rows), known.tally(*fit, rows));
            for (name, tally) in [("candidate", &ours), ("champion", &theirs)] {
                let mut facts = json!({"rows": tally.rows() as f64});
                if let (Some(facts), Some(it)) = (facts.as_object_mut(), tally.measure(self.metric)) {
                    facts.insert(self.metric.name().to_owned(), json!(it.loss));
                }
                measured.insert(name.to_owned(), facts);
            }
            let compared = compare(self.metric, &theirs, &ours);
            comparison = compared.map(|compared| score(version, &compared));
            let facts = compared.map_or_else(
                || json!({}),
                |compared| {
                    let mut facts =
                        json!({"gain": compared.gain, "rows": compared.rows, "days": compared.days});
                    if let (Some(p), Some(facts)) = (compared.p, facts.as_object_mut()) {
                        facts.insert("p".to_owned(), json!(p));
                    }
                    facts
                },
            );
            measured.insert("comparison".to_owned(), facts);
            passed = self.gates.iter().all(|gate| gate.judge(&measured).passed);
        }
        Fact::GatesJudged { model: self.model.clone(), version, passed, results: Vec::new(), comparison }
    }
}

impl Strategy for Gyre {
    fn decide(&mut self, known: &Known<'_>, serves: &[Fit]) -> Turn {
        self.trainings = 0;
        if let Some(summary) = self.close(known, serves) {
            self.tell(known, Fact::WindowClosed(summary));
        }
        self.look_at_time(known);
        let serve = self.champion().map_or_else(|| serving(serves), |(_, fit)| fit);
        Turn { serve, trainings: self.trainings }
    }
}

fn score(version: Version, compared: &Compared) -> Score {
    Score {
        version,
        rows: compared.rows,
        days: compared.days,
        loss: compared.loss,
        gain: compared.gain,
        interval: None,
        p: compared.p,
    }
}

/// The gates that history can judge, and those that it cannot: what they name (latency, size, fairness) is not in it.
pub fn judgeable(gates: &[String], metric: Metric) -> (Vec<Expression>, Vec<String>) {
    let version = json!({"rows": 1.0, metric.name(): 1.0});
    let comparison = json!({"gain": 1.0, "p": 0.5, "rows": 1.0, "days": 1.0});
    let known: Measured = [("candidate", version.clone()), ("champion", version), ("comparison", comparison)]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect();
    let (mut can, mut cannot) = (Vec::new(), Vec::new());
    for gate in gates {
        match Expression::compile(gate) {
            Ok(compiled) if compiled.holds(&known).is_ok() => can.push(compiled),
            _ => cannot.push(gate.clone()),
        }
    }
    (can, cannot)
}
