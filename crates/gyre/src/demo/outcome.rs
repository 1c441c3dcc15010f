//! The year, told from what is on disk: the inference log for the errors, the journal for what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use gyre_core::fact::Decision;
use gyre_core::time::Period;
use gyre_core::{Digest, Entry, Fact, ModelName, Span, Timestamp, Value, Version};
use gyre_loop::Desk;
use gyre_server::report::{self, About, Loss};
use gyre_store::journal;
use serde::Serialize;

use super::Models;
use super::flights::FIRST_DAY;
use super::site::{Cursor, Site};
use crate::failure::Failure;

/// How long a row of the table is.
const PERIOD: Span = Span::days(14);

/// The end of the demo, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    predictions: u64,
    labels: u64,
    #[serde(rename = "static")]
    unmanaged: Errors,
    managed: Errors,
    retrains: u64,
    recalls: u64,
    rollbacks: u64,
    journal: Proof,
    failed_requests: u64,
    wall_s: f64,
    peak_rss_mib: f64,
    report: PathBuf,
    periods: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Errors {
    mae: Option<f64>,
    mae_jun_sep: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Proof {
    entries: u64,
    root: Digest,
    verified: bool,
}

/// Two weeks.
#[derive(Debug, Serialize)]
struct Row {
    from: Timestamp,
    labels: u64,
    static_mae: Option<f64>,
    managed_mae: Option<f64>,
    versions: BTreeSet<Version>,
    events: Vec<String>,
}

/// A sum of absolute errors.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    errors: f64,
    rows: u64,
}

impl Sum {
    fn add(&mut self, error: f64) {
        self.errors += error;
        self.rows += 1;
    }

    fn mean(self) -> Option<f64> {
        (self.rows > 0).then(|| self.errors / self.rows as f64)
    }
}

/// What the log says of one model.
#[derive(Default)]
struct Told {
    predictions: u64,
    all: Sum,
    summer: Sum,
    periods: BTreeMap<Timestamp, (Sum, BTreeSet<Version>)>,
    weeks: Vec<Loss>,
}

impl Outcome {
    /// Reads the log and the journal back, verifies the journal, and writes the report.
    pub(super) fn tell(
        desk: &Desk,
        models: &Models,
        site: &Site,
        cursor: Cursor,
        begun: Instant,
    ) -> Result<Self, Failure> {
        let managed = told(desk, &models.managed)?;
        let unmanaged = told(desk, &models.unmanaged)?;
        let verified = journal::verify(desk.store())?;
        let name = models.managed.clone();
        let entries = desk.store().read(move |tx| {
            let mut entries = Vec::new();
            for kind in ["decision_taken", "rolled_back", "promoted", "alarm_raised", "run_failed"] {
                entries.extend(journal::of_kind(tx, kind, Some(name.as_str()))?);
            }
            entries.sort_by_key(|entry| entry.seq);
            Ok(entries)
        })?;
        let count = |is: fn(&Fact) -> bool| entries.iter().filter(|entry| is(&entry.fact)).count() as u64;
        let by_loop = |entry: &&Entry| entry.actor == gyre_loop::controller::ACTOR;
        let retrains = entries.iter().filter(by_loop).filter(|entry| {
            matches!(&entry.fact, Fact::DecisionTaken { decision: Decision::Retrain { .. }, .. })
        });
        let periods = managed.periods.iter().map(|(from, (sum, versions))| Row {
            from: *from,
            labels: sum.rows,
            static_mae: unmanaged.periods.get(from).and_then(|(sum, _)| sum.mean()),
            managed_mae: sum.mean(),
            versions: versions.clone(),
            events: entries
                .iter()
                .filter(|entry| Period { from: *from, to: *from + PERIOD }.contains(entry.at))
                .filter_map(event)
                .collect(),
        });
        let project = desk.project();
        let spec = project.models.get(&models.managed);
        let spec = spec.ok_or_else(|| Failure::because("the example declares no managed model"))?;
        let about = About {
            title: "A year of flights, kept right".to_owned(),
            project: project.project.as_str(),
            spec: Some(spec),
            period_days: 14,
            never_retrained: &unmanaged.weeks,
            failed_requests: cursor.failed,
            verified: Some(verified.verified),
        };
        let page = gyre_report::loop_report::html(&report::build(desk.store(), &models.managed, &about)?);
        let path = site.dir().join("report.html");
        gyre_data::files::write(&path, page.as_bytes())?;
        Ok(Self {
            predictions: managed.predictions + unmanaged.predictions,
            labels: managed.all.rows,
            retrains: retrains.count() as u64,
            recalls: count(|fact| {
                matches!(fact, Fact::DecisionTaken { decision: Decision::Recall { .. }, .. })
            }),
            rollbacks: count(|fact| matches!(fact, Fact::RolledBack { .. })),
            periods: periods.collect(),
            unmanaged: unmanaged.errors(),
            managed: managed.errors(),
            journal: Proof { entries: verified.entries, root: verified.root, verified: verified.verified },
            failed_requests: cursor.failed,
            wall_s: cursor.seconds.max(begun.elapsed().as_secs_f64()),
            peak_rss_mib: peak_rss_mib().unwrap_or_default(),
            report: path,
        })
    }

    /// The table for people.
    pub(super) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        table.set_header([
            "two weeks from",
            "flights",
            "left alone",
            "kept by gyre",
            "version",
            "what happened",
        ]);
        let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"));
        for row in &self.periods {
            let versions =
                row.versions.iter().map(|version| format!("v{version}")).collect::<Vec<_>>().join(", ");
            table.add_row([
                row.from.date(),
                row.labels.to_string(),
                number(row.static_mae),
                number(row.managed_mae),
                versions,
                row.events.join("\n"),
            ]);
        }
        for column in 1..4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let Self { unmanaged, managed, journal, .. } = self;
        let summer = match (unmanaged.mae_jun_sep, managed.mae_jun_sep) {
            (Some(before), Some(after)) => {
                format!("June to September {before:.1} → {after:.1} ({:.2} × better). ", before / after)
            }
            _ => String::new(),
        };
        format!(
            "{table}\nMean absolute error, minutes: left alone {}, kept by gyre {}. {summer}\n\
             {} predictions, {} flights with labels, {} retrainings, {} recalls, {} rollbacks, {} failed requests.\n\
             Journal: {} entries, root {}, {}.\nTook {:.0} s, at most {:.0} MiB.\nReport: {}\n",
            number(unmanaged.mae),
            number(managed.mae),
            self.predictions,
            self.labels,
            self.retrains,
            self.recalls,
            self.rollbacks,
            self.failed_requests,
            journal.entries,
            journal.root.short(),
            if journal.verified { "verified" } else { "NOT VERIFIED" },
            self.wall_s,
            self.peak_rss_mib,
            self.report.display(),
        )
    }
}

impl Told {
    fn errors(&self) -> Errors {
        Errors { mae: self.all.mean(), mae_jun_sep: self.summer.mean() }
    }
}

/// Reads the log of `model` back, week by week.
fn told(desk: &Desk, model: &ModelName) -> Result<Told, Failure> {
    let first: Timestamp = FIRST_DAY.parse()?;
    let summer = Period { from: "2013-06-01T00:00:00Z".parse()?, to: "2013-10-01T00:00:00Z".parse()? };
    let mut told = Told::default();
    let mut from = first;
    while from < desk.watermark() {
        let period = Period { from, to: from + Span::days(7) };
        let scan = desk.gateway().scan(model.as_str(), period)?;
        let fortnight = first
            + Span::from_millis(from.since(first).as_millis() / PERIOD.as_millis() * PERIOD.as_millis());
        let mut week = Sum::default();
        for row in 0..scan.len() {
            told.predictions += 1;
            let (Value::Number(predicted), Some(Value::Number(actual))) =
                (&scan.outputs[row], &scan.labels[row])
            else {
                continue;
            };
            let error = (predicted - actual).abs();
            told.all.add(error);
            week.add(error);
            if summer.contains(scan.times[row]) {
                told.summer.add(error);
            }
            let (sum, versions) = told.periods.entry(fortnight).or_default();
            sum.add(error);
            versions.insert(scan.versions[row]);
        }
        told.weeks.extend(week.mean().map(|loss| Loss { period, rows: week.rows, loss }));
        from = period.to;
    }
    Ok(told)
}

/// What happened, in a few words; nothing for what is no news.
fn event(entry: &Entry) -> Option<String> {
    let day = &entry.at.date()[5..];
    Some(match &entry.fact {
        Fact::AlarmRaised { alarm, .. } => format!("{day} alarm: {}", alarm.name()),
        Fact::DecisionTaken { decision, .. } => match decision {
            Decision::Retrain { window } => format!("{day} retrain on {window}"),
            Decision::Recall { version } => format!("{day} recall v{version}"),
            Decision::Recalibrate { window } => format!("{day} recalibrate on {window}"),
            Decision::Refuse { version } => format!("{day} v{version} refused by its gates"),
            Decision::Keep | Decision::Compare | Decision::RollOut { .. } | Decision::Refit { .. } => {
                return None;
            }
        },
        Fact::Promoted { version, .. } => format!("{day} v{version} serves"),
        Fact::RolledBack { from, to, .. } => format!("{day} rolled back from v{from} to v{to}"),
        Fact::RunFailed { reason, .. } => format!("{day} training failed: {reason}"),
        _ => return None,
    })
}

/// The most memory that this process has held, as the kernel counted it.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
