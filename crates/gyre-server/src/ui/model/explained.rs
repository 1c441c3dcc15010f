//! The last window with labels explained: where the change of its loss comes from, in which segments it is worse, and what is wrong with its
//! data.

use gyre_core::fact::{Attribution, CalibrationShift, Finding, Part, SegmentLoss, WindowSummary};
use gyre_report::Tone;
use gyre_report::components::{Align, badge, card, chart, table};
use gyre_report::format::{count, date, measure};
use gyre_report::svg::{Interval, IntervalPlot, interval_plot};
use maud::{Markup, html};

/// Columns and segments that are shown; the journal has them all.
const SHOWN: usize = 12;

/// What `window` shows of why; nothing where it shows nothing.
pub(super) fn explained(window: &WindowSummary, unit: &str) -> Markup {
    let when = format!("{} – {}", date(window.period.from.as_millis()), date(window.period.to.as_millis()));
    html! {
        @if let Some(attribution) = &window.attribution {
            (card(
                &format!("Where the change of the loss comes from, {when}"),
                &format!(
                    "{} on the withheld rows, {} in this window. Inputs that shifted, values that training did not have, and a \
                     world that has changed add up to the change; the columns' parts add up to that of the inputs.",
                    measure(Some(attribution.reference), unit),
                    measure(Some(attribution.reference + attribution.change.amount), unit),
                ),
                chart(parts(attribution, unit)),
            ))
        }
        @if let Some(calibration) = &window.evidence.calibration {
            (card(
                &format!("Said and come true, {when}"),
                "Calibration: the means of what was predicted and of what came true, and how steeply one rises with the other.",
                said(calibration),
            ))
        }
        @if !window.segments.is_empty() {
            (card(
                &format!("Segments, {when}"),
                "The worst first: each beside the same segment on the withheld rows, and its part of the change.",
                segments(&window.segments, unit),
            ))
        }
        @if !window.quality.is_empty() {
            (card(&format!("Data quality, {when}"), "What is not as expected.", findings(&window.quality)))
        }
    }
}

fn said(calibration: &CalibrationShift) -> Markup {
    let CalibrationShift { rows, predicted, actual, slope, reference, reference_slope, p } = calibration;
    let number = |value: &Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    let columns = [
        ("", Align::Text),
        ("Predicted", Align::Number),
        ("Came true", Align::Number),
        ("Difference", Align::Number),
        ("Slope", Align::Number),
        ("Rows", Align::Number),
        ("", Align::Tight),
    ];
    let moved = p.is_some_and(|p| p < 0.01);
    let now = vec![
        html! { "this window" },
        html! { (format!("{predicted:.3}")) },
        html! { (format!("{actual:.3}")) },
        html! { (format!("{:+.3}", actual - predicted)) },
        html! { (number(slope)) },
        html! { (count(*rows)) },
        html! { @if moved { (badge(Tone::Warn, "moved beyond luck")) } },
    ];
    let before = vec![
        html! { "withheld rows" },
        html! {},
        html! {},
        html! { (reference.map_or_else(|| "–".to_owned(), |off| format!("{off:+.3}"))) },
        html! { (number(reference_slope)) },
        html! {},
        html! {},
    ];
    table(&columns, &[now, before], "")
}

fn parts(attribution: &Attribution, unit: &str) -> String {
    let row = |name: String, part: &Part, colour: usize| Interval {
        name,
        value: Some(part.amount),
        low: part.interval.map(|interval| interval.0),
        high: part.interval.map(|interval| interval.1),
        colour,
        detail: if part.is_sure() { "beyond luck" } else { "may be luck" }.to_owned(),
    };
    let mut rows = vec![
        row("the whole change".to_owned(), &attribution.change, 7),
        row("inputs shifted".to_owned(), &attribution.covariate, 0),
    ];
    let columns = attribution.columns.iter().take(SHOWN);
    rows.extend(columns.map(|column| row(format!("· {}", column.column), &column.shift, 0)));
    if let Some(unseen) = attribution.unseen {
        rows.push(row("values never seen".to_owned(), &Part { amount: unseen, interval: None }, 2));
    }
    rows.push(row("the world changed".to_owned(), &attribution.concept, 1));
    interval_plot(&IntervalPlot {
        title: "Where the change of the loss comes from".to_owned(),
        description: format!(
            "The change of the loss between the withheld rows and this window{}, divided into parts with 95 % intervals.",
            if unit.is_empty() { String::new() } else { format!(", in {unit}") }
        ),
        axis_covers: vec![0.0],
        bars: true,
        ideal: Some(0.0),
        limits: Vec::new(),
        rows,
    })
}

fn segments(segments: &[SegmentLoss], unit: &str) -> Markup {
    let columns = [
        ("Segment", Align::Text),
        ("Loss", Align::Number),
        ("On withheld rows", Align::Number),
        ("Part of the change", Align::Number),
        ("Rows", Align::Number),
        ("", Align::Tight),
    ];
    let row = |segment: &SegmentLoss| {
        vec![
            html! { (segment.column) " = " strong { (segment.segment) } },
            html! { (measure(Some(segment.loss), unit)) },
            html! { (measure(segment.reference, unit)) },
            html! { (measure(segment.contribution, unit)) },
            html! { (count(segment.rows)) },
            html! { @if segment.worse { (badge(Tone::Bad, "worse")) } },
        ]
    };
    let rows: Vec<_> = segments.iter().take(SHOWN).map(row).collect();
    table(&columns, &rows, "")
}

fn findings(findings: &[Finding]) -> Markup {
    let row = |finding: &Finding| {
        vec![
            badge(Tone::Warn, finding.check.name()),
            html! { (finding.words) },
            html! { (count(finding.rows)) },
        ]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    table(&[("Check", Align::Tight), ("Finding", Align::Text), ("Rows", Align::Number)], &rows, "")
}
