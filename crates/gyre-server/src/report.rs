//! The loop's report of one model, from nothing but the journal.
//!
//! Errors are those of the closed windows: in each, the mean over the versions that served, weighted by labelled rows
//! (of squares, where the metric is a root of a mean of squares). The curve of a model that was never retrained is no fact
//! of the journal; whoever has scored one hands it in.

use std::collections::BTreeMap;

use gyre_core::fact::{Decision, Fact, Realised, WindowSummary};
use gyre_core::spec::{Metric, Model};
use gyre_core::time::Period;
use gyre_core::{Digest, Entry, ModelName, Timestamp};
use gyre_registry::VersionStatus;
use gyre_report::loop_report as page;
use gyre_report::loop_report::{EventKind, LoopReport};
use gyre_store::{Store, StoreError, journal};

use crate::news;
use crate::pages::{Direction, Filter};

/// What the journal does not say.
#[derive(Debug, Clone)]
pub struct About<'a> {
    /// The report's heading.
    pub title: String,
    /// The project's name.
    pub project: &'a str,
    /// What `gyre.yaml` says of the model: the metric, its unit, the drift that counts; none for one that it does not
    /// declare, whose losses nobody measures.
    pub spec: Option<&'a Model>,
    /// How long a row of the table of periods is, in days; 14 is two weeks.
    pub period_days: u32,
    /// The losses of a model that was never retrained, by window; empty when nobody scored one.
    pub never_retrained: &'a [Loss],
    /// Requests that failed, as the client counted.
    pub failed_requests: u64,
    /// Whether the journal was recomputed and agreed.
    pub verified: Option<bool>,
}

impl About<'_> {
    /// The metric; of a model without one no loss is known, so that any will do.
    fn metric(&self) -> Metric {
        self.spec.map_or(Metric::Mae, |spec| spec.metric)
    }
}

/// A loss over the rows of a period.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loss {
    /// Event time of the predictions.
    pub period: Period,
    /// Labelled rows.
    pub rows: u64,
    /// The metric over them.
    pub loss: f64,
}

/// Builds the report of `model` from the journal in `store`.
///
/// # Errors
/// What the store said.
pub fn build(store: &Store, model: &ModelName, about: &About<'_>) -> Result<LoopReport, StoreError> {
    let (entries, versions, head, data) = store.read(|tx| {
        let entries = everything(tx, model)?;
        let versions = gyre_registry::versions(tx, model)?;
        let data = journal::of_kind(tx, "data_recorded", None)?;
        Ok((entries, versions, journal::head(tx)?, data))
    })?;
    let rows: BTreeMap<Digest, u64> = data
        .iter()
        .filter_map(|entry| match &entry.fact {
            Fact::DataRecorded(data) => Some((data.digest, data.rows)),
            _ => None,
        })
        .collect();
    let closed: Vec<&WindowSummary> = entries
        .iter()
        .filter_map(|entry| if let Fact::WindowClosed(window) = &entry.fact { Some(window) } else { None })
        .collect();
    let events: Vec<page::Event> = entries.iter().filter_map(news::of).collect();
    let windows = windows(&closed, about);
    let from = closed.first().map(|window| window.period.from).or(entries.first().map(|entry| entry.at));
    let to = closed.last().map(|window| window.period.to).or(entries.last().map(|entry| entry.at));
    let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
    let to = entries.last().map_or(to, |entry| entry.at.max(to));
    let served = served(&entries, to);
    let periods = periods(&closed, about, &served, &events, (from, to));
    let count = |wanted: fn(&Fact) -> bool| entries.iter().filter(|entry| wanted(&entry.fact)).count() as u64;
    let whole: Vec<Loss> = closed.iter().flat_map(|window| losses(window)).collect();
    Ok(LoopReport {
        title: about.title.clone(),
        project: about.project.to_owned(),
        model: model.to_string(),
        metric: page::Metric {
            name: metric_name(about.spec.map(|spec| spec.metric)).to_owned(),
            unit: about.spec.map(|spec| spec.unit.clone()).unwrap_or_default(),
        },
        from_ms: from.as_millis(),
        to_ms: to.as_millis(),
        figures: page::Figures {
            static_error: mean(about.metric(), about.never_retrained),
            managed_error: mean(about.metric(), &whole),
            predictions: closed.iter().map(|window| window.predictions).sum(),
            labels: closed.iter().map(|window| window.labels).sum(),
            failed_requests: about.failed_requests,
            // What a person asked for, such as the first version, is no repair.
            retrains: entries
                .iter()
                .filter(|entry| entry.actor == gyre_loop::controller::ACTOR)
                .filter(retrain)
                .count() as u64,
            recalls: count(|fact| {
                matches!(fact, Fact::DecisionTaken { decision: Decision::Recall { .. }, .. })
            }),
            rollbacks: count(|fact| matches!(fact, Fact::RolledBack { .. })),
        },
        journal: page::JournalProof {
            entries: head.size,
            root: head.root.to_string(),
            verified: about.verified,
        },
        windows,
        served,
        drift: drift(&closed, about.spec.map_or(f64::INFINITY, |spec| spec.monitor.drift_effect)),
        periods,
        versions: versions.iter().map(|version| describe(version, about.metric(), &rows)).collect(),
        events,
    })
}

fn retrain(entry: &&Entry) -> bool {
    matches!(entry.fact, Fact::DecisionTaken { decision: Decision::Retrain { .. }, .. })
}

/// All entries about `model`, and those about data that was refused, oldest first.
fn everything(tx: &mut gyre_store::Tx<'_>, model: &ModelName) -> Result<Vec<Entry>, StoreError> {
    let filter = Filter::of(model.as_str());
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        let page = filter.entries(tx, Direction::After(after), 1_000)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        all.extend(page);
    }
    all.extend(journal::of_kind(tx, "data_refused", None)?);
    all.sort_by_key(|entry| entry.seq);
    Ok(all)
}

/// A metric's name as headings have it.
pub(crate) const fn metric_name(metric: Option<Metric>) -> &'static str {
    match metric {
        Some(Metric::Mae) => "MAE",
        Some(Metric::Rmse) => "RMSE",
        Some(Metric::LogLoss) => "log loss",
        Some(Metric::ErrorRate) => "error rate",
        None => "loss",
    }
}

/// The losses that came true in a window, of each version that served.
pub(crate) fn losses(window: &WindowSummary) -> impl Iterator<Item = Loss> + '_ {
    let loss = |realised: &Realised| Loss { period: window.period, rows: realised.rows, loss: realised.loss };
    window.realised.iter().map(loss)
}

/// The metric over all rows of `losses`; none without rows.
pub(crate) fn mean<'a>(metric: Metric, losses: impl IntoIterator<Item = &'a Loss>) -> Option<f64> {
    let squared = metric == Metric::Rmse;
    let (mut sum, mut rows) = (0.0, 0_u64);
    for part in losses {
        let additive = if squared { part.loss * part.loss } else { part.loss };
        sum += additive * part.rows as f64;
        rows += part.rows;
    }
    (rows > 0).then(|| sum / rows as f64).map(|mean| if squared { mean.sqrt() } else { mean })
}

fn windows(closed: &[&WindowSummary], about: &About<'_>) -> Vec<page::ErrorWindow> {
    let window = |window: &&WindowSummary| {
        let beside = about.never_retrained.iter().filter(|loss| overlaps(loss.period, window.period));
        let managed: Vec<Loss> = losses(window).collect();
        page::ErrorWindow {
            from_ms: window.period.from.as_millis(),
            to_ms: window.period.to.as_millis(),
            n: window.labels,
            static_error: mean(about.metric(), beside),
            managed_error: mean(about.metric(), &managed),
            expected_error: window.estimated.map(|estimated| estimated.loss),
        }
    };
    closed.iter().map(window).collect()
}

/// Whether the middle of `part` lies in `whole`: windows are counted once, whatever their grid.
fn overlaps(part: Period, whole: Period) -> bool {
    let middle = i64::midpoint(part.from.as_millis(), part.to.as_millis());
    whole.contains(Timestamp::from_millis(middle))
}

/// Who was champion when, until `to`.
pub(crate) fn served(entries: &[Entry], to: Timestamp) -> Vec<page::ServedSpan> {
    let mut spans: Vec<page::ServedSpan> = Vec::new();
    for entry in entries {
        let champion = match &entry.fact {
            Fact::Promoted { version, .. } => *version,
            Fact::RolledBack { to, .. } => *to,
            _ => continue,
        };
        let version = news::version_name(champion);
        if let Some(last) = spans.last_mut() {
            if last.version == version {
                continue;
            }
            last.to_ms = entry.at.as_millis();
        }
        spans.push(page::ServedSpan { version, from_ms: entry.at.as_millis(), to_ms: to.as_millis() });
    }
    spans
}

fn drift(closed: &[&WindowSummary], limit: f64) -> page::Drift {
    let mut names: Vec<&str> = Vec::new();
    for drift in closed.iter().flat_map(|window| &window.drift) {
        if !names.contains(&drift.column.as_str()) {
            names.push(&drift.column);
        }
    }
    let effect = |window: &&WindowSummary, name: &str| {
        window.drift.iter().find(|drift| drift.column == name).map(|drift| drift.effect)
    };
    let floor = |name: &str| {
        let newest = closed.iter().rev().flat_map(|window| &window.drift);
        newest.filter(|drift| drift.column == name).find_map(|drift| drift.floor)
    };
    let column = |name: &&str| page::DriftColumn {
        name: (*name).to_owned(),
        limit: floor(name).unwrap_or(limit),
        values: closed.iter().map(|window| effect(window, name)).collect(),
    };
    let statistic =
        closed.iter().flat_map(|window| &window.drift).map(|drift| drift.statistic.replace('_', " ")).next();
    page::Drift {
        statistic: statistic.unwrap_or_else(|| "drift".to_owned()),
        windows: closed
            .iter()
            .map(|window| (window.period.from.as_millis(), window.period.to.as_millis()))
            .collect(),
        columns: names.iter().map(column).collect(),
    }
}

fn periods(
    closed: &[&WindowSummary],
    about: &About<'_>,
    served: &[page::ServedSpan],
    events: &[page::Event],
    (from, to): (Timestamp, Timestamp),
) -> Vec<page::Period> {
    let length = gyre_core::Span::days(about.period_days.max(1).into());
    // A replay of ten thousand years would be a long table.
    let starts =
        (0..1_000).map(|i: i64| from + gyre_core::Span::from_millis(length.as_millis().saturating_mul(i)));
    let rows = starts.take_while(|start| *start < to).map(|start| {
        let period = Period { from: start, to: start + length };
        let managed: Vec<Loss> = closed
            .iter()
            .filter(|window| overlaps(window.period, period))
            .flat_map(|window| losses(window))
            .collect();
        let beside = about.never_retrained.iter().filter(|loss| overlaps(loss.period, period));
        let within = |at_ms: i64| period.contains(Timestamp::from_millis(at_ms));
        let mut serving: Vec<String> = Vec::new();
        for span in served {
            if span.from_ms < period.to.as_millis() && span.to_ms > period.from.as_millis() {
                serving.push(span.version.clone());
            }
        }
        page::Period {
            from_ms: period.from.as_millis(),
            to_ms: period.to.min(to).as_millis(),
            n: managed.iter().map(|loss| loss.rows).sum(),
            static_error: mean(about.metric(), beside),
            managed_error: mean(about.metric(), &managed),
            serving,
            happened: events
                .iter()
                .filter(|event| within(event.at_ms) && is_headline(event.kind))
                .map(headline)
                .collect(),
        }
    });
    rows.filter(|row| row.n > 0 || !row.happened.is_empty() || row.static_error.is_some()).collect()
}

fn is_headline(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Alarm
            | EventKind::Retrain
            | EventKind::Recall
            | EventKind::Refused
            | EventKind::Promoted
            | EventKind::RolledBack
            | EventKind::Failed
    )
}

fn headline(event: &page::Event) -> String {
    match event.kind {
        EventKind::Alarm => format!("alarm: {}", event.title),
        _ => event.title.clone(),
    }
}

fn describe(
    version: &gyre_registry::VersionRecord,
    metric: Metric,
    rows: &BTreeMap<Digest, u64>,
) -> page::Version {
    let made = &version.registered;
    let gates = version.gates.as_ref();
    let failed = gates.into_iter().flat_map(|gates| &gates.results).filter(|result| !result.passed);
    let told: Vec<String> = failed.map(|result| format!("{}: {}", result.gate, result.because)).collect();
    page::Version {
        version: news::version_name(made.version),
        trained_on: made.trained_on.map(|period| (period.from.as_millis(), period.to.as_millis())),
        rows: made.data.and_then(|data| rows.get(&data).copied()),
        data_digest: made.data.map(|data| data.to_string()).unwrap_or_default(),
        holdout_error: made.holdout.get(metric.name()).copied(),
        gates_passed: gates.map(|gates| gates.passed),
        gate_detail: told.join("; "),
        status: match version.status {
            VersionStatus::Champion => page::VersionStatus::Champion,
            VersionStatus::Retired => page::VersionStatus::Retired,
            VersionStatus::Refused => page::VersionStatus::Refused,
            VersionStatus::RolledBack => page::VersionStatus::RolledBack,
            VersionStatus::Registered | VersionStatus::Gated | VersionStatus::RollingOut => {
                page::VersionStatus::Registered
            }
        },
    }
}
