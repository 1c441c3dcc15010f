//! Incidents: what a person is told, once, of what several windows show together.
//!
//! At every close the windows of late are diagnosed ([`gyre_monitor::diagnose`]); here it is decided what of that is news. A
//! model has at most one incident of each group of causes. It opens when the diagnosis says so, changes when it is worse,
//! has another cause or spreads, and closes when [`CALM`] windows in a row have not shown it. One that comes back within
//! [`COOL`] windows is the same one again. So what flickers at a threshold is told twice at most, not at every window.
//!
//! While rows are broken or labels late, nothing is trained and no regret adds up: it would be charged with what no training
//! mends, and would set one off on those very rows as soon as they end.

use std::collections::BTreeMap;

use gyre_core::Version;
use gyre_core::fact::{Cause, CauseGroup, Fact, Incident, Numbers, Severity, WindowSummary};
use gyre_core::{ModelName, Timestamp};
use gyre_monitor::quality::expected::ignores;
use gyre_monitor::seen::KEPT;
use gyre_monitor::{Diagnosis, Seen, diagnose};
use serde::{Deserialize, Serialize};

use crate::controller::Turn;
use crate::policy::Policy;

/// Windows in a row without a sign after which an incident is over.
pub const CALM: u32 = 2;
/// Within how many windows of its end an incident of the same cause is the same one again.
pub const COOL: u32 = 4;
/// Windows in a row that must agree before an incident is called less bad, or of another cause.
const AGREED: u32 = 2;
/// The most silences that are remembered.
const MOST_SILENCES: usize = 100;
/// The most columns that an incident gathers.
const MOST_COLUMNS: usize = 20;

/// What is open for a model, and what it is told from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Incidents {
    /// The windows of late, oldest first.
    #[serde(default)]
    seen: Vec<Seen>,
    /// What is open, one of each group.
    #[serde(default)]
    open: BTreeMap<CauseGroup, Open>,
    /// What was closed last, of each group.
    #[serde(default)]
    closed: BTreeMap<CauseGroup, Closed>,
    /// What nobody wants to hear of.
    #[serde(default)]
    silences: Vec<Silence>,
}

/// An open incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Its name.
    pub incident: String,
    /// Its cause.
    pub cause: Cause,
    /// How bad it is.
    pub severity: Severity,
    /// The columns that it is about.
    pub columns: Vec<String>,
    /// The beginning of the first window that showed it.
    pub since: Timestamp,
    /// Whether a person has taken note of it.
    pub acknowledged: bool,
    /// Labelled rows since then.
    rows: u64,
    /// What they lost more than was promised.
    lost: f64,
    /// Windows in a row that have not shown it.
    calm: u32,
    /// Windows in a row that called it something else, or less bad.
    differs: u32,
}

/// An incident that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Closed {
    incident: String,
    cause: Cause,
    /// Windows since.
    ago: u32,
}

/// A cause that is not told until then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Silence {
    cause: Cause,
    until: Timestamp,
}

impl Incidents {
    /// What is open.
    pub fn open(&self) -> impl Iterator<Item = &Open> {
        self.open.values()
    }

    /// Why nothing may be learned from the rows of late, in words; none when they are fit to train on.
    pub fn obstacle(&self) -> Option<String> {
        let open = self.open.values().find(|open| open.cause.taints());
        let open = open.map(|open| {
            format!("nothing is trained while {} (incident {})", open.cause.title(), open.incident)
        });
        open.or_else(|| {
            let cause = self.seen.last()?.tainted_by()?;
            Some(format!("the rows of the last window are not fit to train on: {}", cause.title()))
        })
    }

    fn is_silenced(&self, cause: Cause, now: Timestamp) -> bool {
        self.silences.iter().any(|silence| silence.cause == cause && now < silence.until)
    }
}

impl Turn<'_> {
    /// Takes a closed window in, and tells what is news.
    pub(crate) fn watch_incidents(&mut self, window: &WindowSummary) {
        let known = self.model.versions.get(&window.champion);
        let promise = known.and_then(|known| Some((known.promised?, known.promised_error)));
        let state = &mut self.model.incidents;
        let mut seen = Seen::of(window, promise, &state.seen);
        seen.quality.retain(|finding| !ignores(&self.policy.quality, finding));
        state.seen.push(seen);
        let forgotten = state.seen.len().saturating_sub(KEPT);
        state.seen.drain(..forgotten);
        for closed in state.closed.values_mut() {
            closed.ago += 1;
        }
        state.closed.retain(|_, closed| closed.ago <= COOL);
        let now = self.now;
        state.silences.retain(|silence| now < silence.until);
        for open in state.open.values_mut() {
            if let Some(seen) = state.seen.last() {
                open.charge(seen);
            }
        }
        self.tell_incidents(true);
    }

    /// An older version is proven to be better on the rows of the last window.
    pub(crate) fn older_is_better(&mut self, version: Version) {
        if self.model.champion.is_none_or(|champion| version >= champion) {
            return;
        }
        if let Some(seen) = self.model.incidents.seen.last_mut() {
            seen.older_better = Some(version);
            self.tell_incidents(false);
        }
    }

    /// Another version serves: what the world did to the last one is over.
    pub(crate) fn settle_incidents(&mut self, version: Version) {
        self.close_incident(CauseGroup::World, format!("version {version} serves"));
    }

    /// A person has taken note of an incident, or wants to hear no more of it.
    pub(crate) fn acknowledged(&mut self, incident: &str, until: Option<Timestamp>) {
        let state = &mut self.model.incidents;
        let open = state.open.values_mut().find(|open| open.incident == incident);
        let closed = state.closed.values().find(|closed| closed.incident == incident);
        let Some(cause) = open.as_ref().map(|open| open.cause).or(closed.map(|closed| closed.cause)) else {
            return;
        };
        if let Some(open) = open {
            open.acknowledged = true;
        }
        if let Some(until) = until {
            state.silences.retain(|silence| silence.cause != cause);
            state.silences.push(Silence { cause, until });
            let forgotten = state.silences.len().saturating_sub(MOST_SILENCES);
            state.silences.drain(..forgotten);
        }
    }

    /// Holds what is open against the diagnosis. `closes` says whether a window has closed, so that those without a sign
    /// are one window calmer.
    fn tell_incidents(&mut self, closes: bool) {
        let diagnoses = diagnose(&self.model.incidents.seen, self.policy.tolerance);
        let found: Vec<CauseGroup> = diagnoses.iter().map(|diagnosis| diagnosis.cause.group()).collect();
        for diagnosis in diagnoses {
            match self.model.incidents.open.contains_key(&diagnosis.cause.group()) {
                true => self.change_incident(diagnosis, closes),
                false => self.open_incident(diagnosis),
            }
        }
        if !closes {
            return;
        }
        // Broken rows say nothing of the world: not that it is calm, either.
        let is_broken = self.model.incidents.seen.last().is_some_and(|seen| seen.tainted_by().is_some());
        let mut over = Vec::new();
        for (group, open) in &mut self.model.incidents.open {
            if *group == CauseGroup::World && is_broken {
                continue;
            }
            open.calm = if found.contains(group) { 0 } else { open.calm + 1 };
            if open.calm >= CALM {
                over.push(*group);
            }
        }
        for group in over {
            self.close_incident(group, format!("no sign of it in the last {CALM} windows"));
        }
    }

    fn open_incident(&mut self, diagnosis: Diagnosis) {
        let (cause, group) = (diagnosis.cause, diagnosis.cause.group());
        let state = &mut self.model.incidents;
        let again = state.closed.remove(&group).filter(|closed| closed.cause == cause);
        let incident = match &again {
            Some(closed) => closed.incident.clone(),
            None => format!("{}-{}", self.seq, group.name()),
        };
        let mut open = Open {
            incident,
            cause,
            severity: diagnosis.severity,
            columns: diagnosis.columns.clone(),
            since: diagnosis.since,
            acknowledged: false,
            rows: 0,
            lost: 0.0,
            calm: 0,
            differs: 0,
        };
        for seen in state.seen.iter().filter(|seen| seen.period.from >= diagnosis.since) {
            open.charge(seen);
        }
        let told = self.told(&open, &diagnosis);
        self.model.incidents.open.insert(group, open);
        let fact = if again.is_some() { Fact::IncidentChanged(told) } else { Fact::IncidentOpened(told) };
        self.follows.facts.push(fact);
    }

    fn change_incident(&mut self, diagnosis: Diagnosis, closes: bool) {
        let group = diagnosis.cause.group();
        let Some(open) = self.model.incidents.open.get_mut(&group) else { return };
        let (cause, severity) = (open.cause, open.severity);
        let differs = diagnosis.cause != cause || diagnosis.severity < severity;
        open.differs = if differs { open.differs + u32::from(closes) } else { 0 };
        // What is worse, or proven by a comparison, is told at once; what is better must last.
        let is_sure = diagnosis.severity > severity || diagnosis.cause == Cause::SeasonalReturn;
        if is_sure || open.differs >= AGREED {
            (open.cause, open.severity, open.differs) = (diagnosis.cause, diagnosis.severity, 0);
            if open.cause != cause {
                open.columns.clear();
                open.since = diagnosis.since;
            }
        }
        let spread = open.spread(&diagnosis.columns);
        if (open.cause, open.severity) != (cause, severity) || spread && open.cause == diagnosis.cause {
            let open = open.clone();
            let told = self.told(&open, &diagnosis);
            self.follows.facts.push(Fact::IncidentChanged(told));
        }
    }

    fn close_incident(&mut self, group: CauseGroup, reason: String) {
        let state = &mut self.model.incidents;
        let Some(open) = state.open.remove(&group) else { return };
        let silenced = state.is_silenced(open.cause, self.now);
        let (incident, cause, model) = (open.incident, open.cause, self.name.clone());
        state.closed.insert(group, Closed { incident: incident.clone(), cause, ago: 0 });
        self.follows.facts.push(Fact::IncidentClosed { model, incident, cause, reason, silenced });
    }

    fn told(&self, open: &Open, diagnosis: &Diagnosis) -> Incident {
        let state = &self.model.incidents;
        Incident {
            model: self.name.clone(),
            incident: open.incident.clone(),
            cause: open.cause,
            severity: open.severity,
            columns: open.columns.clone(),
            since: open.since,
            changed: diagnosis.words.clone(),
            cost: open.cost(self.name, self.policy, self.model.reference),
            next: self.next(open.cause, diagnosis),
            numbers: open.numbers(diagnosis, state.seen.len()),
            silenced: state.is_silenced(open.cause, self.now),
        }
    }

    /// What the loop will do.
    fn next(&self, cause: Cause, diagnosis: &Diagnosis) -> String {
        let is_loss = matches!(cause, Cause::Covariate | Cause::Concept | Cause::PriorShift);
        if is_loss && !self.policy.on_decay {
            return "nothing by itself: `retrain.when` does not name decay".to_owned();
        }
        if self.model.paused {
            return "nothing: the loop is paused for this model".to_owned();
        }
        if cause == Cause::SeasonalReturn && !self.policy.recall {
            return "nothing by itself: `retrain.candidates` does not name recall".to_owned();
        }
        if is_loss {
            let patience = self.model.patience(self.policy.patience);
            return format!("{} ({patience} days of the reference loss)", diagnosis.expected_action);
        }
        diagnosis.expected_action.to_owned()
    }
}

impl Open {
    fn charge(&mut self, seen: &Seen) {
        if let Some(loss) = seen.loss {
            self.rows += loss.rows;
            let lost = loss.rows as f64 * (loss.loss - loss.promised);
            self.lost += if lost.is_finite() { lost } else { 0.0 };
        }
    }

    /// Takes in columns that it was not about; says whether there were any.
    fn spread(&mut self, columns: &[String]) -> bool {
        let before = self.columns.len();
        for column in columns {
            if self.columns.len() < MOST_COLUMNS && !self.columns.contains(column) {
                self.columns.push(column.clone());
            }
        }
        self.columns.len() > before
    }

    fn cost(&self, model: &ModelName, policy: &Policy, reference: Option<f64>) -> String {
        if self.rows == 0 {
            return format!("not known: no labels of {model} have come since");
        }
        if self.lost <= 0.0 {
            return format!("nothing so far: {} labelled rows have lost no more than promised", self.rows);
        }
        let each = self.lost / self.rows as f64;
        let unit = if policy.unit.is_empty() { String::new() } else { format!(" {}", policy.unit) };
        let relative = reference.filter(|reference| *reference > 0.0);
        let relative = relative.map_or(String::new(), |reference| {
            format!(", {:.0} % of the reference loss", 100.0 * each / reference)
        });
        format!("{} labelled rows have lost {each:.3}{unit} more each than promised{relative}", self.rows)
    }

    fn numbers(&self, diagnosis: &Diagnosis, windows: usize) -> Numbers {
        let mut numbers = Numbers::from([
            ("rows".to_owned(), self.rows as f64),
            ("lost".to_owned(), self.lost),
            ("windows_seen".to_owned(), windows as f64),
        ]);
        numbers.extend(
            diagnosis.impact.filter(|impact| impact.is_finite()).map(|impact| ("impact".to_owned(), impact)),
        );
        numbers
    }
}

#[cfg(test)]
mod tests;
