//! The documents as a reader gets them: complete, well-formed, self-contained, and unmoved by hostile or missing input.

#![allow(clippy::unwrap_used)]

use gyre_report::{
    bias_report::{self, Attribute, BiasReport, Estimate, Finding, Group, RateColumn, Verdict},
    loop_report::{
        self, Drift, DriftColumn, ErrorWindow, Event, EventKind, Figures, JournalProof, LoopReport, Metric,
        Period, ServedSpan, Version, VersionStatus,
    },
    page::{Nav, page},
    svg::{Point, Series, Shape, Stroke, TimeChart, time_chart},
};

const HOSTILE: &str = "<script>alert('x')</script>\"' onload=\"alert(1)&\u{0}";
const DAY: i64 = 86_400_000;
const START: i64 = 1_362_096_000_000;

fn hostile() -> String {
    HOSTILE.to_owned()
}

/// A document whose every text is hostile and whose every figure comes from `figures` in turn.
fn hostile_loop(figures: &[Option<f64>]) -> LoopReport {
    let figure = |i: usize| figures.get(i % figures.len().max(1)).copied().flatten();
    let events = [
        EventKind::Alarm,
        EventKind::Keep,
        EventKind::Retrain,
        EventKind::Recall,
        EventKind::GatePassed,
        EventKind::Refused,
        EventKind::Rollout,
        EventKind::Promoted,
        EventKind::RolledBack,
        EventKind::Failed,
        EventKind::Note,
    ];
    LoopReport {
        title: hostile(),
        project: hostile(),
        model: hostile(),
        metric: Metric { name: hostile(), unit: hostile() },
        from_ms: START,
        to_ms: START + 30 * DAY,
        figures: Figures { static_error: figure(0), managed_error: figure(1), ..Figures::default() },
        journal: JournalProof { entries: u64::MAX, root: hostile(), verified: Some(false) },
        windows: (0..30)
            .map(|i| ErrorWindow {
                from_ms: START + i * DAY,
                to_ms: START + (i + 1) * DAY,
                n: 1,
                static_error: figure(i as usize),
                expected_error: None,
                managed_error: figure(i as usize + 1),
            })
            .collect(),
        served: vec![ServedSpan { version: hostile(), from_ms: START, to_ms: START + 9 * DAY }],
        drift: Drift {
            statistic: hostile(),
            windows: vec![(START, START + DAY), (START + DAY, START + 2 * DAY)],
            columns: vec![DriftColumn { name: hostile(), limit: 0.2, values: vec![figure(0), figure(1)] }],
        },
        periods: vec![Period {
            static_error: figure(0),
            managed_error: figure(1),
            serving: vec![hostile()],
            happened: vec![hostile()],
            ..Period::default()
        }],
        versions: vec![Version {
            version: hostile(),
            trained_on: Some((i64::MIN, i64::MAX)),
            data_digest: hostile(),
            holdout_error: figure(0),
            gate_detail: hostile(),
            status: VersionStatus::Refused,
            ..Version::default()
        }],
        events: events
            .iter()
            .map(|&kind| Event {
                at_ms: START + DAY,
                seq: Some(7),
                kind,
                title: hostile(),
                reason: hostile(),
                version: Some(hostile()),
            })
            .collect(),
    }
}

fn hostile_bias(figures: &[Option<f64>]) -> BiasReport {
    let estimates: Vec<Estimate> =
        figures.iter().map(|&value| Estimate { value, low: value.map(|v| v - 0.1), high: value }).collect();
    let finding = |(i, estimate): (usize, &Estimate)| Finding {
        metric: hostile(),
        definition: hostile(),
        estimate: *estimate,
        ideal: Some((i % 2) as f64),
        limit: Some(0.8),
        verdict: Verdict::Fail,
        reason: hostile(),
    };
    BiasReport {
        title: hostile(),
        subject: hostile(),
        target: hostile(),
        prediction: hostile(),
        positive: hostile(),
        rows: 3,
        confidence: f64::NAN,
        rates: estimates.iter().map(|_| RateColumn { name: hostile(), definition: hostile() }).collect(),
        attributes: vec![Attribute {
            name: hostile(),
            findings: estimates.iter().enumerate().map(finding).collect(),
            groups: vec![
                Group { name: hostile(), reference: true, n: 3, rates: estimates },
                Group { name: hostile(), ..Group::default() },
            ],
        }],
    }
}

const FIGURES: [&[Option<f64>]; 5] = [
    &[],
    &[None],
    &[Some(f64::NAN), Some(f64::INFINITY), Some(1.0)],
    &[Some(f64::MAX), Some(-f64::MAX), None],
    &[Some(0.0), Some(1e-320)],
];

/// What must hold of any document. The tags are matched by a small reader of our own: elements without content stand
/// alone, all others close in order.
fn check(html: &str) {
    assert!(html.starts_with("<!DOCTYPE html>"));
    assert_eq!(html.matches("<script").count(), 1, "only the page's own script");
    assert!(html.contains("http-equiv=\"Content-Security-Policy\""));
    let text_only = html.replace("http://www.w3.org/2000/svg", "");
    for word in ["http://", "https://", "src=", " style=", "javascript:"] {
        assert!(!text_only.contains(word), "{word}");
    }
    for svg in
        html.split("<svg").skip(1).map(|s| format!("<svg{}", s.split("</svg>").next().unwrap()) + "</svg>")
    {
        let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{e}: {svg}"));
        for attribute in document.descendants().flat_map(|n| n.attributes()) {
            assert!(!attribute.name().starts_with("on"), "{svg}");
            assert!(!attribute.value().contains("NaN"), "{svg}");
            assert!(attribute.name() == "class" || !attribute.value().contains("inf"), "{svg}");
        }
    }
    let raw = |name: &str| html.find(&format!("<{name}>")).zip(html.find(&format!("</{name}>")));
    let (style, script) = (raw("style").unwrap(), raw("script").unwrap());
    let outside = [&html[15..style.0], &html[style.1 + 8..script.0], &html[script.1 + 9..]].concat();
    let mut open: Vec<&str> = Vec::new();
    for tag in outside.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !["meta", "link", "br"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn hostile_text_and_odd_figures_leave_documents_whole() {
    for figures in FIGURES {
        check(&loop_report::html(&hostile_loop(figures)));
        check(&bias_report::html(&hostile_bias(figures)));
    }
    check(&page(HOSTILE, Nav::Journal, maud::html! { (HOSTILE) }));
}

#[test]
fn empty_reports_say_that_they_are_empty() {
    let text = loop_report::html(&LoopReport::default());
    check(&text);
    for sentence in [
        "No data yet",
        "No period has been closed yet.",
        "No version has been registered yet.",
        "not verified",
    ] {
        assert!(text.contains(sentence), "{sentence}");
    }
    let text = bias_report::html(&BiasReport::default());
    check(&text);
    assert!(text.contains("Nothing was compared."));
}

#[test]
fn a_reader_finds_figures_reasons_and_proof() {
    let mut report = hostile_loop(&[Some(12.1), Some(8.4)]);
    report.metric = Metric { name: "log loss".into(), unit: String::new() };
    report.figures = Figures {
        static_error: Some(12.1),
        managed_error: Some(8.4),
        predictions: 306_412,
        retrains: 6,
        recalls: 1,
        ..Figures::default()
    };
    report.journal = JournalProof { entries: 1_482, root: "9f2c5d0ab41e77c3".into(), verified: Some(true) };
    report.events[0] = Event {
        at_ms: 1_370_268_300_000,
        seq: Some(212),
        kind: EventKind::Recall,
        title: "recall v1".into(),
        reason: "MAE 7.9 < 10.6".into(),
        version: None,
    };
    let text = loop_report::html(&report);
    for part in [
        "log loss, managed",
        "1.44 <small>×</small>",
        "306,412",
        "6 retrained, 1 recalled, 0 rolled back",
        ">verified<",
        "9f2c5d0ab41e",
        "2013-06-03 14:05",
        "recall v1",
        "MAE 7.9 &lt; 10.6",
        "#212",
        "data-kind=\"recall\"",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("MAE over time"), "the metric's name is a parameter");
}

#[test]
fn an_undefined_rate_is_never_shown_as_zero() {
    let mut report = hostile_bias(&[None]);
    report.attributes[0].groups.truncate(1);
    report.attributes[0].findings[0].limit = None;
    let text = bias_report::html(&report);
    assert!(text.contains("undefined"));
    assert!(!text.contains("<td class=\"num\">0"), "an undefined rate became a number");
}

#[test]
fn reports_survive_a_round_trip_as_json() {
    let report = hostile_loop(&[Some(1.5), None]);
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<LoopReport>(&json).unwrap(), report);
    let report = BiasReport { confidence: 0.95, ..hostile_bias(&[Some(1.5), None]) };
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<BiasReport>(&json).unwrap(), report);
}

#[test]
fn ten_thousand_points_make_a_small_chart() {
    let points =
        (0..10_000).map(|i| Point { at_ms: START + i * 60_000, value: Some((i as f64 / 99.0).sin()) });
    let series = Series { name: "error".into(), points: points.collect(), ..Series::default() };
    let svg = time_chart(&TimeChart { series: vec![series], ..TimeChart::default() });
    let path = svg.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
    let drawn = path.matches(['M', 'L']).count();
    assert!((250..=1_000).contains(&drawn), "{drawn} points");
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
}

#[test]
fn a_small_chart_looks_as_it_did() {
    let point = |day: i64, value: Option<f64>| Point { at_ms: START + day * DAY, value };
    let chart = TimeChart {
        title: "Error".into(),
        value_name: "MAE, min".into(),
        unit: "min".into(),
        from_zero: true,
        series: vec![Series {
            name: "managed & kept".into(),
            shape: Shape::Step,
            stroke: Stroke::Dashed,
            colour: 1,
            points: vec![point(0, Some(8.0)), point(7, Some(9.5)), point(14, None), point(21, Some(7.25))],
        }],
        ..TimeChart::default()
    };
    insta::assert_snapshot!(time_chart(&chart).replace("><", ">\n<"));
}
