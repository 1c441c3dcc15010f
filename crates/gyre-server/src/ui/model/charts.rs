//! The two charts of a model's page: its error beside what was promised, and the drift of its inputs.

use gyre_registry::VersionRecord;
use gyre_report::format::date;
use gyre_report::loop_report::{ErrorWindow, Event, EventKind, LoopReport, ServedSpan};
use gyre_report::svg::{
    HeatRow, HeatStrip, HeatWindow, Instant, Lane, Marker, Point, Series, Shape, Span, Stroke, TimeChart,
    heat_strip, time_chart,
};

use super::super::parts::words;
use crate::news;

/// The realised error by window, and what the champion of each window had promised.
pub(super) fn errors(report: &LoopReport, versions: &[VersionRecord]) -> String {
    let (name, unit) = (&report.metric.name, &report.metric.unit);
    let series = |name: &str, stroke, colour, points| Series {
        name: name.to_owned(),
        shape: Shape::Step,
        stroke,
        colour,
        points,
    };
    let promised = |version: &str| {
        let made = versions.iter().find(|record| news::version_name(record.registered.version) == version);
        report
            .versions
            .iter()
            .find(|known| made.is_some() && known.version == version)
            .and_then(|known| known.holdout_error)
    };
    time_chart(&TimeChart {
        title: format!("{name} of {} over windows", report.model),
        description: format!(
            "{name} that came true in each closed window, what was expected before its labels came, and what the \
             champion had promised."
        ),
        value_name: if unit.is_empty() { name.clone() } else { format!("{name}, {unit}") },
        unit: unit.clone(),
        domain_ms: domain(report),
        from_zero: true,
        plot_height: 260,
        series: vec![
            series("promised", Stroke::Dashed, 7, held(&report.served, promised)),
            series("expected", Stroke::Dashed, 1, by_window(report, |window| window.expected_error)),
            series("came true", Stroke::Solid, 0, by_window(report, |window| window.managed_error)),
        ],
        markers: report.events.iter().filter(|event| changes_hands(event.kind)).map(marker).collect(),
        lanes: vec![
            serving(report),
            instants("alarms", &report.events, |kind| matches!(kind, EventKind::Alarm | EventKind::Failed)),
            instants("decisions", &report.events, |kind| {
                matches!(kind, EventKind::Retrain | EventKind::Recall | EventKind::Refused)
            }),
        ],
        ..TimeChart::default()
    })
}

/// The drift of each column by window.
pub(super) fn drift(report: &LoopReport) -> String {
    let drift = &report.drift;
    heat_strip(&HeatStrip {
        title: format!("Drift of the inputs of {}", report.model),
        description: format!("{} of each column, window by window, against its limit.", drift.statistic),
        statistic: drift.statistic.clone(),
        domain_ms: domain(report),
        windows: drift.windows.iter().map(|&(from_ms, to_ms)| HeatWindow { from_ms, to_ms }).collect(),
        rows: drift
            .columns
            .iter()
            .map(|column| HeatRow {
                name: column.name.clone(),
                limit: column.limit,
                values: column.values.clone(),
            })
            .collect(),
    })
}

fn domain(report: &LoopReport) -> Option<(i64, i64)> {
    (report.from_ms < report.to_ms).then_some((report.from_ms, report.to_ms))
}

fn by_window(report: &LoopReport, of: impl Fn(&ErrorWindow) -> Option<f64>) -> Vec<Point> {
    let mut points = Vec::with_capacity(report.windows.len() + 2);
    for (at, window) in report.windows.iter().enumerate() {
        points.push(Point { at_ms: window.from_ms, value: of(window) });
        // Where windows do not meet, the line is interrupted.
        if report.windows.get(at + 1).is_none_or(|next| next.from_ms > window.to_ms) {
            points.push(Point { at_ms: window.to_ms, value: of(window) });
            points.push(Point { at_ms: window.to_ms, value: None });
        }
    }
    points
}

fn held(served: &[ServedSpan], promised: impl Fn(&str) -> Option<f64>) -> Vec<Point> {
    let ends = |span: &ServedSpan| {
        let value = promised(&span.version);
        [Point { at_ms: span.from_ms, value }, Point { at_ms: span.to_ms, value }]
    };
    served.iter().flat_map(ends).collect()
}

const fn changes_hands(kind: EventKind) -> bool {
    matches!(kind, EventKind::Promoted | EventKind::RolledBack)
}

fn marker(event: &Event) -> Marker {
    Marker {
        at_ms: event.at_ms,
        label: event.version.clone().unwrap_or_default(),
        detail: format!("{}\n{}", event.title, event.reason),
        tone: words(event.kind).1,
    }
}

fn serving(report: &LoopReport) -> Lane {
    let colour = |name: &str| report.versions.iter().position(|version| version.version == name).unwrap_or(0);
    let trained = |name: &str| {
        let version = report.versions.iter().find(|version| version.version == name);
        let trained = version.and_then(|version| version.trained_on);
        trained.map_or(String::new(), |(from, to)| format!("trained on {} – {}", date(from), date(to)))
    };
    let span = |served: &ServedSpan| Span {
        from_ms: served.from_ms,
        to_ms: served.to_ms,
        label: served.version.clone(),
        detail: trained(&served.version),
        colour: colour(&served.version),
    };
    Lane { name: "serving".to_owned(), spans: report.served.iter().map(span).collect(), instants: Vec::new() }
}

fn instants(name: &str, events: &[Event], wanted: impl Fn(EventKind) -> bool) -> Lane {
    let instant = |event: &Event| Instant {
        at_ms: event.at_ms,
        label: format!("{}: {}", words(event.kind).0, event.title),
        detail: event.reason.clone(),
        tone: words(event.kind).1,
    };
    let instants = events.iter().filter(|event| wanted(event.kind)).map(instant).collect();
    Lane { name: name.to_owned(), spans: Vec::new(), instants }
}
