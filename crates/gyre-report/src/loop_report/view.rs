//! The document: headline, curves, drift, periods, versions, timeline, from the largest to the smallest question.

use maud::{Markup, PreEscaped, html};

use super::{
    LoopReport, Period, Version,
    charts::{MANAGED, STATIC, drift_chart, error_chart},
};
use crate::{
    Tone,
    components::{
        Align, TimelineItem, badge, card, chart, digest, figure, stat_card, stats, table, timeline,
    },
    format::{UNDEFINED, count, date, day, measure},
    page::{document, lead, mark},
    svg::paired_bars,
};

/// The whole report as one self-contained HTML document.
pub fn html(report: &LoopReport) -> String {
    let body = html! {
        (lead(eyebrow(report), &report.title, headline(report)))
        (stats(&headline_figures(report)))
        (card(
            &format!("{} over time", report.metric.name),
            "One step is one window. The shaded space is the error that the loop avoided; beneath, the version that \
             served, and what was noticed and decided. Point at anything to see its figures.",
            chart(error_chart(report)),
        ))
        (card(
            "Drift of the inputs",
            &format!(
                "{} of each column against what the serving model was trained on. If this strip stays pale while the \
                 error grows, what changed is the relation between inputs and target, not the inputs.",
                report.drift.statistic
            ),
            chart(drift_chart(report)),
        ))
        (card(
            "Period by period",
            "The upper bar is the model that was never retrained, the lower one the managed model.",
            periods(report),
        ))
        (card("Versions", "Every version that was trained, with the data that made it and what the gates said.", versions(report)))
        (card(
            "Every decision and its reason",
            "Read from the journal; # is the number of the entry. Each can be proved against the Merkle root above.",
            timeline(&timeline_items(report), "Nothing has happened yet."),
        ))
    };
    document(&report.title, body)
}

fn eyebrow(report: &LoopReport) -> Markup {
    html! {
        span.brand { (mark()) "gyre" }
        span { (report.project) " / " (report.model) }
        span { (day(report.from_ms)) " – " (day(report.to_ms)) }
    }
}

/// The result in one sentence, as far as the figures define it.
fn headline(report: &LoopReport) -> Markup {
    let (name, unit) = (&report.metric.name, &report.metric.unit);
    let figures = &report.figures;
    html! {
        @if let (Some(fixed), Some(managed)) = (defined(figures.static_error), defined(figures.managed_error)) {
            "Never retrained, the model has " strong { (name) " " (measure(Some(fixed), unit)) } "; kept by the loop it has "
            strong { (measure(Some(managed), unit)) } ", over the same "
            (count(figures.labels)) " labelled predictions. "
        } @else {
            "The error is not defined yet: no labelled predictions of both models. "
        }
        "The loop trained " (times(figures.retrains)) ", put an older version back " (times(figures.recalls))
        " and rolled back " (times(figures.rollbacks)) "."
    }
}

fn times(n: u64) -> String {
    match n {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        n => format!("{} times", count(n)),
    }
}

fn headline_figures(report: &LoopReport) -> Vec<Markup> {
    let figures = &report.figures;
    let (name, unit) = (&report.metric.name, &report.metric.unit);
    let (fixed, managed) = (defined(figures.static_error), defined(figures.managed_error));
    let ratio = fixed.zip(managed).filter(|&(_, m)| m > 0.0).map(|(f, m)| f / m);
    let ratio_tone = match ratio {
        Some(r) if r > 1.0 => Tone::Ok,
        Some(r) if r < 1.0 => Tone::Bad,
        _ => Tone::Neutral,
    };
    let (proof, proof_tone) = match report.journal.verified {
        Some(true) => ("verified", Tone::Ok),
        Some(false) => ("does not verify", Tone::Bad),
        None => ("not verified", Tone::Warn),
    };
    let failed_tone = if figures.failed_requests == 0 { Tone::Neutral } else { Tone::Bad };
    vec![
        stat_card(&format!("{name}, never retrained"), figure(fixed, unit), "", Tone::Neutral),
        stat_card(&format!("{name}, managed"), figure(managed, unit), "", Tone::Neutral),
        stat_card("Ratio", figure(ratio, "×"), "never retrained ÷ managed", ratio_tone),
        stat_card(
            "Predictions",
            count(figures.predictions),
            &format!("{} labelled", count(figures.labels)),
            Tone::Neutral,
        ),
        stat_card(
            "Repairs",
            count(figures.retrains.saturating_add(figures.recalls)),
            &format!(
                "{} retrained, {} recalled, {} rolled back",
                count(figures.retrains),
                count(figures.recalls),
                count(figures.rollbacks)
            ),
            Tone::Neutral,
        ),
        stat_card("Failed requests", count(figures.failed_requests), "", failed_tone),
        html! {
            div.stat.(proof_tone.class()) {
                dt { "Journal" }
                dd.value { (proof) }
                dd.detail { (count(report.journal.entries)) " entries, root " (digest(&report.journal.root)) }
            }
        },
    ]
}

fn periods(report: &LoopReport) -> Markup {
    let name = &report.metric.name;
    let (fixed, managed) = (format!("{name} never retrained"), format!("{name} managed"));
    let errors = report.periods.iter().flat_map(|p| [p.static_error, p.managed_error]);
    let largest = errors.filter_map(defined).fold(0.0, f64::max);
    let columns = [
        ("Period", Align::Tight),
        ("Labelled", Align::Number),
        (fixed.as_str(), Align::Number),
        (managed.as_str(), Align::Number),
        ("", Align::Tight),
        ("Serving", Align::Tight),
        ("What happened", Align::Text),
    ];
    let rows: Vec<Vec<Markup>> = report.periods.iter().map(|p| period(p, largest)).collect();
    table(&columns, &rows, "No period has been closed yet.")
}

fn period(period: &Period, largest: f64) -> Vec<Markup> {
    let (fixed, managed) = (defined(period.static_error), defined(period.managed_error));
    let bars = paired_bars("never retrained and managed", &[(fixed, STATIC), (managed, MANAGED)], largest);
    vec![
        html! { (date(period.from_ms)) " – " (date(period.to_ms)) },
        html! { (count(period.n)) },
        html! { (measure(fixed, "")) },
        html! { strong { (measure(managed, "")) } },
        html! { (PreEscaped(bars)) },
        html! { (period.serving.join(" → ")) },
        html! { ul { @for what in &period.happened { li { (what) } } } },
    ]
}

fn versions(report: &LoopReport) -> Markup {
    let holdout = format!("Holdout {}", report.metric.name);
    let columns = [
        ("Version", Align::Tight),
        ("Trained on", Align::Tight),
        ("Rows", Align::Number),
        ("Data", Align::Tight),
        (holdout.as_str(), Align::Number),
        ("Gates", Align::Text),
        ("Status", Align::Tight),
    ];
    let rows: Vec<Vec<Markup>> = report.versions.iter().map(version).collect();
    table(&columns, &rows, "No version has been registered yet.")
}

fn version(version: &Version) -> Vec<Markup> {
    let (status, tone) = version.status.words();
    let (gate, gate_tone) = match version.gates_passed {
        Some(true) => ("passed", Tone::Ok),
        Some(false) => ("refused", Tone::Bad),
        None => ("not asked", Tone::Neutral),
    };
    vec![
        html! { strong { (version.version) } },
        html! { @if let Some((from, to)) = version.trained_on { (date(from)) " – " (date(to)) } @else { (UNDEFINED) } },
        html! { (version.rows.map_or_else(|| UNDEFINED.to_owned(), count)) },
        html! { @if !version.data_digest.is_empty() { (digest(&version.data_digest)) } },
        html! { (measure(version.holdout_error, "")) },
        html! { (badge(gate_tone, gate)) " " span.muted { (version.gate_detail) } },
        badge(tone, status),
    ]
}

fn timeline_items(report: &LoopReport) -> Vec<TimelineItem> {
    let item = |e: &super::Event| {
        let (kind, tone) = e.kind.words();
        TimelineItem {
            at_ms: e.at_ms,
            kind: kind.to_owned(),
            tone,
            title: e.title.clone(),
            reason: e.reason.clone(),
            seq: e.seq,
        }
    };
    report.events.iter().map(item).collect()
}

fn defined(error: Option<f64>) -> Option<f64> {
    error.filter(|e| e.is_finite())
}
