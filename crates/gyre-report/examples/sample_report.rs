//! Writes sample pages to look at while working on charts and style: `cargo run -p gyre-report --example sample_report
//! -- DIR` writes `loop.html`, `bias.html` and `overview.html` into `DIR`.
//!
//! Every figure on them is invented; none was measured on any model.

use std::{env, fs, path::PathBuf};

use gyre_report::{
    Tone,
    bias_report::{self, Attribute, BiasReport, Estimate, Finding, Group, RateColumn, Verdict},
    components::{Align, TimelineItem, badge, card, chart, digest, stat_card, stats, table, timeline},
    loop_report::{
        self, Drift, DriftColumn, ErrorWindow, Event, EventKind, Figures, JournalProof, LoopReport, Metric,
        Period, ServedSpan, Version, VersionStatus,
    },
    page::{Nav, lead, page},
    svg::{Histogram, Lane, Point, Span, Timeline, histogram, sparkline, timeline as span_timeline},
};
use maud::{PreEscaped, html};

const DAY: i64 = 86_400_000;
/// 2013-03-01.
const START: i64 = 1_362_096_000_000;
const DAYS: i64 = 306;

/// Day of promotion and name of each champion of the invented year.
const CHAMPIONS: [(i64, &str); 7] =
    [(0, "v1"), (24, "v2"), (71, "v3"), (118, "v5"), (173, "v6"), (228, "v7"), (277, "v1")];

fn main() -> std::io::Result<()> {
    let dir = PathBuf::from(env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    fs::create_dir_all(&dir)?;
    fs::write(dir.join("loop.html"), loop_report::html(&sample_loop()))?;
    fs::write(dir.join("bias.html"), bias_report::html(&sample_bias()))?;
    fs::write(dir.join("overview.html"), sample_overview())?;
    println!("wrote loop.html, bias.html and overview.html to {}", dir.display());
    Ok(())
}

/// A repeatable wobble between -1 and 1.
fn wobble(i: i64) -> f64 {
    ((i as f64 * 12.9898).sin() * 43_758.545).fract()
}

fn static_error(day: i64) -> f64 {
    let season = (day as f64 / DAYS as f64 * std::f64::consts::PI).sin();
    10.2 + 8.4 * season + 0.9 * wobble(day)
}

fn managed_error(day: i64) -> f64 {
    let age = CHAMPIONS.iter().rev().find(|c| c.0 <= day).map_or(0, |c| day - c.0);
    6.6 + 0.045 * age as f64 + 0.5 * wobble(day + 1_000)
}

fn sample_loop() -> LoopReport {
    let windows = (0..DAYS / 7).map(|w| ErrorWindow {
        from_ms: START + w * 7 * DAY,
        to_ms: START + (w + 1) * 7 * DAY,
        n: 6_000,
        static_error: (w != 30).then_some(static_error(w * 7)),
        expected_error: None,
        managed_error: (w != 30).then_some(managed_error(w * 7)),
    });
    let ends = CHAMPIONS.iter().skip(1).map(|c| c.0).chain([DAYS]);
    let served = CHAMPIONS.iter().zip(ends).map(|(&(from, version), to)| ServedSpan {
        version: version.to_owned(),
        from_ms: START + from * DAY,
        to_ms: START + to * DAY,
    });
    LoopReport {
        title: "A year of flights, kept right".to_owned(),
        project: "flights".to_owned(),
        model: "air-time".to_owned(),
        metric: Metric { name: "MAE".to_owned(), unit: "min".to_owned() },
        from_ms: START,
        to_ms: START + DAYS * DAY,
        figures: Figures {
            static_error: Some(12.1),
            managed_error: Some(8.43),
            predictions: 306_412,
            labels: 298_117,
            failed_requests: 0,
            retrains: 6,
            recalls: 1,
            rollbacks: 1,
        },
        journal: JournalProof {
            entries: 1_482,
            root: "9f2c5d0ab41e77c3f0d2b8e6a1c94f3377aa01d5e8b2c6f9044d1e7b3a5c8d20".to_owned(),
            verified: Some(true),
        },
        windows: windows.collect(),
        served: served.collect(),
        drift: sample_drift(),
        periods: sample_periods(),
        versions: sample_versions(),
        events: sample_events(),
    }
}

fn sample_drift() -> Drift {
    let windows: Vec<(i64, i64)> =
        (0..DAYS / 7).map(|w| (START + w * 7 * DAY, START + (w + 1) * 7 * DAY)).collect();
    let column = |name: &str, level: f64, seed: i64| DriftColumn {
        name: name.to_owned(),
        limit: 0.2,
        values: (0..windows.len() as i64)
            .map(|w| {
                (w != 30).then(|| (level * (1.0 + 0.8 * wobble(w + seed)) * (1.0 + w as f64 / 60.0)).abs())
            })
            .collect(),
    };
    Drift {
        statistic: "PSI".to_owned(),
        columns: vec![
            column("carrier", 0.03, 1),
            column("origin", 0.02, 2),
            column("destination", 0.08, 3),
            column("distance_miles", 0.05, 4),
            column("scheduled_hour", 0.02, 5),
            column("day_of_week", 0.01, 6),
            column("prediction", 0.16, 7),
        ],
        windows,
    }
}

fn sample_periods() -> Vec<Period> {
    let period = |p: i64| {
        let (from, to) = (p * 14, (p + 1) * 14);
        let begun: Vec<&(i64, &str)> = CHAMPIONS.iter().filter(|c| c.0 > from && c.0 < to).collect();
        let first = CHAMPIONS.iter().rev().find(|c| c.0 <= from).map_or("v1", |c| c.1);
        let serving = [first].into_iter().chain(begun.iter().map(|c| c.1)).map(str::to_owned).collect();
        let happened =
            begun.iter().flat_map(|c| ["decay noticed".to_owned(), format!("{} promoted after canary", c.1)]);
        Period {
            from_ms: START + from * DAY,
            to_ms: START + to * DAY,
            n: (12_900 + (400.0 * wobble(p)) as i64) as u64,
            static_error: Some(static_error(from + 7)),
            managed_error: Some(managed_error(from + 7)),
            serving,
            happened: happened.collect(),
        }
    };
    (0..DAYS / 14).map(period).collect()
}

fn sample_versions() -> Vec<Version> {
    let version = |i: i64, trained: (i64, i64), passed: bool, status: VersionStatus| Version {
        version: format!("v{i}"),
        trained_on: Some((START + trained.0 * DAY, START + trained.1 * DAY)),
        rows: Some(48_000 + (i * 731) as u64),
        data_digest: format!(
            "md5:{:032x}",
            0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834_u128.wrapping_mul(i as u128 + 1)
        ),
        holdout_error: Some(7.1 + 0.1 * wobble(i)),
        gates_passed: Some(passed),
        gate_detail: if passed {
            "candidate.mae 7.02 ≤ champion.mae 9.41, p = 0.0004"
        } else {
            "candidate.mae 9.88 > champion.mae 9.12"
        }
        .to_owned(),
        status,
    };
    vec![
        version(1, (-59, 0), true, VersionStatus::Champion),
        version(2, (-32, 24), true, VersionStatus::Retired),
        version(3, (15, 71), true, VersionStatus::Retired),
        version(4, (60, 116), false, VersionStatus::Refused),
        version(5, (62, 118), true, VersionStatus::Retired),
        version(6, (117, 173), true, VersionStatus::RolledBack),
        version(7, (172, 228), true, VersionStatus::Retired),
    ]
}

fn sample_events() -> Vec<Event> {
    let mut events = Vec::new();
    let mut seq = 40;
    let mut add = |at_ms: i64, kind: EventKind, title: &str, reason: &str, version: Option<&str>| {
        seq += 7;
        let (title, reason, version) = (title.to_owned(), reason.to_owned(), version.map(str::to_owned));
        events.push(Event { at_ms, seq: Some(seq), kind, title, reason, version });
    };
    add(
        START + 9 * DAY,
        EventKind::Refused,
        "batch of 2,113 rows refused",
        "distance_miles: 41 values outside of 1 to 6,000 (first: -1 in row 17).",
        None,
    );
    add(
        START + 12 * DAY,
        EventKind::Keep,
        "keep v1",
        "MAE 10.9 against 10.4 at training; the difference of 0.5 is within its interval [-0.2, 1.1].",
        None,
    );
    for &(day, version) in CHAMPIONS.iter().skip(1) {
        let at = START + day * DAY;
        add(
            at - 3 * DAY,
            EventKind::Alarm,
            "realised error has decayed",
            "MAE 11.8 over 6,104 rows against 7.2 at promotion; Page-Hinkley 62.1 over its limit of 50.",
            None,
        );
        if version == "v1" {
            add(
                at - 2 * DAY,
                EventKind::Recall,
                "recall v1",
                "On the last 12,000 labelled rows v1 has MAE 7.9, the champion 10.6, a retrained challenger 8.8 (paired bootstrap, p < 0.001).",
                Some("v1"),
            );
        } else {
            add(
                at - 2 * DAY,
                EventKind::Retrain,
                &format!("retrain on the last 56 days as {version}"),
                "Expected gain 3.1 min × 24,000 predictions outweighs the cost of one retraining (50). Budget: 1 of 3 this week.",
                Some(version),
            );
            add(
                at - 2 * DAY + 3_600_000,
                EventKind::GatePassed,
                &format!("{version} passed 2 of 2 gates"),
                "candidate.mae 7.02 ≤ champion.mae 9.41 (p = 0.0004); candidate.latency_p99_ms 0.4 ≤ 5.",
                Some(version),
            );
        }
        add(
            at - DAY,
            EventKind::Rollout,
            &format!("canary of {version} at 25 %"),
            "Errors 0 of 412; MAE 7.3 against 9.2 on the same hours.",
            Some(version),
        );
        add(
            at,
            EventKind::Promoted,
            &format!("{version} is champion"),
            "All steps passed: 5 %, 25 %, 50 %, 100 %.",
            Some(version),
        );
    }
    add(
        START + 190 * DAY,
        EventKind::RolledBack,
        "rolled back to v5 for 40 minutes",
        "errors 0.013 > 0.01 in the last 1,000 requests.",
        Some("v5"),
    );
    events.sort_by_key(|e| e.at_ms);
    events
}

fn sample_bias() -> BiasReport {
    let rates = [
        "Selection rate|(TP+FP)/n",
        "Base rate|(TP+FN)/n",
        "True positive rate|TP/(TP+FN)",
        "False positive rate|FP/(FP+TN)",
    ];
    let group = |name: &str, reference: bool, n: u64, values: [Option<f64>; 4]| Group {
        name: name.to_owned(),
        reference,
        n,
        rates: values.iter().map(|&v| estimate(v, n)).collect(),
    };
    let finding = |metric: &str,
                   definition: &str,
                   value: f64,
                   ideal: f64,
                   limit: f64,
                   verdict: Verdict,
                   reason: &str| Finding {
        metric: metric.to_owned(),
        definition: definition.to_owned(),
        estimate: estimate(Some(value), 900),
        ideal: Some(ideal),
        limit: Some(limit),
        verdict,
        reason: reason.to_owned(),
    };
    BiasReport {
        title: "Income model refused: unequal by sex".to_owned(),
        subject: "census, version 3".to_owned(),
        target: "income".to_owned(),
        prediction: "predicted_income".to_owned(),
        positive: ">50K".to_owned(),
        rows: 16_281,
        confidence: 0.95,
        rates: rates
            .iter()
            .filter_map(|r| r.split_once('|'))
            .map(|(name, definition)| RateColumn { name: name.to_owned(), definition: definition.to_owned() })
            .collect(),
        attributes: vec![Attribute {
            name: "sex".to_owned(),
            groups: vec![
                group("Male", true, 10_860, [Some(0.26), Some(0.30), Some(0.63), Some(0.08)]),
                group("Female", false, 5_421, [Some(0.08), Some(0.11), Some(0.55), Some(0.02)]),
                group("not stated", false, 12, [Some(0.17), Some(0.0), None, Some(0.17)]),
            ],
            findings: vec![
                finding(
                    "disparate impact",
                    "selection rate ÷ that of the reference, four-fifths rule",
                    0.31,
                    1.0,
                    0.8,
                    Verdict::Fail,
                    "Female 434 of 5,421 against Male 2,824 of 10,860: 5 · 434 · 10,860 < 4 · 2,824 · 5,421.",
                ),
                finding(
                    "demographic parity",
                    "largest − smallest selection rate",
                    0.18,
                    0.0,
                    0.1,
                    Verdict::Fail,
                    "Male 0.26, Female 0.08.",
                ),
                finding(
                    "equal opportunity",
                    "largest − smallest true positive rate",
                    0.08,
                    0.0,
                    0.1,
                    Verdict::Unclear,
                    "Male 0.63, Female 0.55; not stated has no positives and is left out.",
                ),
                finding(
                    "equalized odds",
                    "larger of the differences of true and false positive rate",
                    0.06,
                    0.0,
                    0.1,
                    Verdict::Pass,
                    "false positive rate: Male 0.08, Female 0.02.",
                ),
            ],
        }],
    }
}

fn estimate(value: Option<f64>, n: u64) -> Estimate {
    let half = value.map(|v| 1.96 * (v.abs().min(1.0) * (1.0 - v.abs().min(1.0)) / n as f64).sqrt());
    let shift = |sign: f64| value.zip(half).map(|(v, h)| v + sign * h);
    Estimate { value, low: shift(-1.0).map(|l| l.max(0.0)), high: shift(1.0) }
}

fn sample_overview() -> String {
    let errors: Vec<Point> =
        (0..60).map(|d| Point { at_ms: d * DAY, value: Some(managed_error(d + 100)) }).collect();
    let columns = [
        ("Model", Align::Tight),
        ("Health", Align::Tight),
        ("Champion", Align::Tight),
        ("MAE, 60 days", Align::Tight),
        ("Digest", Align::Text),
    ];
    let row = |name: &str, tone: Tone, health: &str| {
        vec![
            html! { a href="/models/air-time" { (name) } },
            badge(tone, health),
            html! { "v7" },
            html! { (PreEscaped(sparkline("MAE", &errors, 0))) },
            digest("sha256:4be1c09d77aa0b125c2f9be1"),
        ]
    };
    let events: Vec<TimelineItem> = sample_events()
        .iter()
        .rev()
        .take(6)
        .map(|e| TimelineItem {
            at_ms: e.at_ms,
            kind: format!("{:?}", e.kind).to_lowercase(),
            tone: Tone::Info,
            title: e.title.clone(),
            reason: e.reason.clone(),
            seq: e.seq,
        })
        .collect();
    let bins = ["0–200", "200–400", "400–800", "800–1600", "1600–3200", "over 3200"];
    let distances = Histogram {
        title: "distance_miles".to_owned(),
        bins: bins.map(str::to_owned).to_vec(),
        reference: vec![40.0, 220.0, 410.0, 560.0, 300.0, 12.0],
        current: vec![35.0, 200.0, 480.0, 530.0, 380.0, 4.0],
        ..Histogram::default()
    };
    let spans = CHAMPIONS.windows(2).enumerate().map(|(i, w)| Span {
        from_ms: START + w[0].0 * DAY,
        to_ms: START + w[1].0 * DAY,
        label: w[0].1.to_owned(),
        colour: i,
        ..Span::default()
    });
    let lanes = vec![Lane { name: "air-time".to_owned(), spans: spans.collect(), ..Lane::default() }];
    let serving = Timeline { title: "Versions".to_owned(), lanes, ..Timeline::default() };
    let body = html! {
        (lead(html! { "flights" }, "Two models, one needs a look", html! { "Everything below is read from the journal and the inference log." }))
        (stats(&[
            stat_card("Models", "2", "1 healthy", Tone::Neutral),
            stat_card("Requests", "1,204/s", "p99 0.8 ms", Tone::Neutral),
            stat_card("Open alarms", "1", "turnaround: decay", Tone::Warn),
            stat_card("Journal", "verified", "1,482 entries", Tone::Ok),
        ]))
        (card("Models", "", table(&columns, &[row("air-time", Tone::Ok, "healthy"), row("turnaround", Tone::Warn, "decaying")], "")))
        (card("Who served when", "", chart(span_timeline(&serving))))
        div.grid {
            (card("Last decisions", "", timeline(&events, "")))
            (card("distance_miles", "Reference against the last seven days.", chart(histogram(&distances))))
        }
    };
    page("Overview", Nav::Overview, body)
}
