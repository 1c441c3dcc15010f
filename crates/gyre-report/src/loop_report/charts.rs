//! The charts of the loop's report: the two error curves above the lanes of versions and decisions, and the drift strip.
//! Both have the same time axis, so that eyes can travel from a jump of the error to the drift beneath it.

use super::{ErrorWindow, Event, EventKind, LoopReport};
use crate::svg::{
    Band, BandPoint, HeatRow, HeatStrip, HeatWindow, Instant, Lane, Marker, Point, Series, Shape, Span,
    Stroke, TimeChart, heat_strip, time_chart,
};

/// Categorical colours of the two models, wherever they appear in the report.
pub(super) const STATIC: usize = 1;
pub(super) const MANAGED: usize = 0;

pub(super) fn error_chart(report: &LoopReport) -> String {
    let unit = &report.metric.unit;
    let name = &report.metric.name;
    let chart = TimeChart {
        title: format!("{name} of {} over time", report.model),
        description: format!(
            "{name} of the managed model and of the model that was never retrained, with the version that served \
             and the decisions beneath."
        ),
        value_name: if unit.is_empty() { name.clone() } else { format!("{name}, {unit}") },
        unit: unit.clone(),
        domain_ms: (report.from_ms < report.to_ms).then_some((report.from_ms, report.to_ms)),
        from_zero: true,
        plot_height: 280,
        series: vec![
            Series {
                name: "never retrained".to_owned(),
                shape: Shape::Step,
                stroke: Stroke::Dashed,
                colour: STATIC,
                points: curve(&report.windows, |w| w.static_error),
            },
            Series {
                name: "managed by gyre".to_owned(),
                shape: Shape::Step,
                stroke: Stroke::Solid,
                colour: MANAGED,
                points: curve(&report.windows, |w| w.managed_error),
            },
        ],
        bands: vec![avoided(&report.windows)],
        markers: markers(&report.events),
        lanes: vec![serving_lane(report), alarm_lane(&report.events), decision_lane(&report.events)],
        ..TimeChart::default()
    };
    time_chart(&chart)
}

pub(super) fn drift_chart(report: &LoopReport) -> String {
    let drift = &report.drift;
    let strip = HeatStrip {
        title: format!("Drift of the inputs of {} over time", report.model),
        description: format!("{} of each column, window by window, against its limit.", drift.statistic),
        statistic: drift.statistic.clone(),
        domain_ms: (report.from_ms < report.to_ms).then_some((report.from_ms, report.to_ms)),
        windows: drift.windows.iter().map(|&(from_ms, to_ms)| HeatWindow { from_ms, to_ms }).collect(),
        rows: drift
            .columns
            .iter()
            .map(|c| HeatRow { name: c.name.clone(), limit: c.limit, values: c.values.clone() })
            .collect(),
    };
    heat_strip(&strip)
}

/// Steps that hold over each window; where windows do not meet, the line is interrupted.
fn curve(windows: &[ErrorWindow], error: impl Fn(&ErrorWindow) -> Option<f64>) -> Vec<Point> {
    let mut points = Vec::with_capacity(windows.len() + 2);
    for (i, window) in windows.iter().enumerate() {
        points.push(Point { at_ms: window.from_ms, value: error(window) });
        let next = windows.get(i + 1);
        if next.is_none_or(|next| next.from_ms > window.to_ms || error(next).is_none()) {
            points.push(Point { at_ms: window.to_ms, value: error(window) });
            points.push(Point { at_ms: window.to_ms, value: None });
        }
    }
    points
}

/// The space between the curves, where the managed model is the better one.
fn avoided(windows: &[ErrorWindow]) -> Band {
    let range = |w: &ErrorWindow| match (w.static_error, w.managed_error) {
        (Some(fixed), Some(managed)) => Some((managed.min(fixed), fixed)),
        _ => None,
    };
    let mut points = Vec::with_capacity(windows.len() + 2);
    for (i, window) in windows.iter().enumerate() {
        points.push(BandPoint { at_ms: window.from_ms, range: range(window) });
        let next = windows.get(i + 1);
        if next.is_none_or(|next| next.from_ms > window.to_ms || range(next).is_none()) {
            points.push(BandPoint { at_ms: window.to_ms, range: range(window) });
            points.push(BandPoint { at_ms: window.to_ms, range: None });
        }
    }
    Band { name: "error avoided".to_owned(), shape: Shape::Step, colour: MANAGED, points }
}

/// Vertical lines where traffic changed hands.
fn markers(events: &[Event]) -> Vec<Marker> {
    let changes = events.iter().filter(|e| matches!(e.kind, EventKind::Promoted | EventKind::RolledBack));
    let marker = |e: &Event| Marker {
        at_ms: e.at_ms,
        label: e.version.clone().unwrap_or_else(|| e.kind.words().0.to_owned()),
        detail: hover(e),
        tone: e.kind.words().1,
    };
    changes.map(marker).collect()
}

fn serving_lane(report: &LoopReport) -> Lane {
    // The same version has the same colour each time that it serves.
    let mut names: Vec<&str> = report.versions.iter().map(|v| v.version.as_str()).collect();
    for span in &report.served {
        if !names.contains(&span.version.as_str()) {
            names.push(&span.version);
        }
    }
    let span = |s: &super::ServedSpan| {
        let trained = report.versions.iter().find(|v| v.version == s.version).and_then(|v| v.trained_on);
        let trained = trained
            .map(|(a, b)| format!("trained on {} – {}", crate::format::date(a), crate::format::date(b)));
        Span {
            from_ms: s.from_ms,
            to_ms: s.to_ms,
            label: s.version.clone(),
            detail: trained.unwrap_or_default(),
            colour: names.iter().position(|n| *n == s.version).unwrap_or(0),
        }
    };
    Lane { name: "serving".to_owned(), spans: report.served.iter().map(span).collect(), instants: Vec::new() }
}

fn alarm_lane(events: &[Event]) -> Lane {
    instants("alarms", events, |kind| matches!(kind, EventKind::Alarm | EventKind::Failed))
}

fn decision_lane(events: &[Event]) -> Lane {
    let decision =
        |kind| matches!(kind, EventKind::Keep | EventKind::Retrain | EventKind::Recall | EventKind::Refused);
    instants("decisions", events, decision)
}

fn instants(name: &str, events: &[Event], wanted: impl Fn(EventKind) -> bool) -> Lane {
    let instant = |e: &Event| Instant {
        at_ms: e.at_ms,
        label: format!("{}: {}", e.kind.words().0, e.title),
        detail: e.reason.clone(),
        tone: e.kind.words().1,
    };
    let instants = events.iter().filter(|e| wanted(e.kind)).map(instant).collect();
    Lane { name: name.to_owned(), spans: Vec::new(), instants }
}

fn hover(event: &Event) -> String {
    if event.reason.is_empty() { event.title.clone() } else { format!("{}\n{}", event.title, event.reason) }
}
