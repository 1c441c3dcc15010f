//! The findings on bias as the report shows them.

use gyre_govern::bias::{AttributeReport, BiasReport};
use gyre_report::bias_report::{
    Attribute, BiasReport as Document, Estimate, Finding, Group, RateColumn, Verdict,
};
use gyre_stats::fairness::{Contrast, DisparateImpact, FourFifths, GroupRates, Measure};

use super::BiasArgs;

const RATES: [(&str, &str); 5] = [
    ("selection rate", "(TP+FP)/n"),
    ("base rate", "(TP+FN)/n"),
    ("true positive rate", "TP/(TP+FN)"),
    ("false positive rate", "FP/(FP+TN)"),
    ("accuracy", "(TP+TN)/n"),
];

/// Four fifths: the only bound that has a rule behind it (29 CFR 1607.4 D).
const BOUND: f64 = 0.8;

pub(super) fn document(args: &BiasArgs, report: &BiasReport) -> Document {
    let level = report.attributes.first().map_or(0.95, |attribute| attribute.report.options.level);
    Document {
        title: format!("Bias of {}", args.prediction),
        subject: args.file.display().to_string(),
        target: args.target.clone(),
        prediction: args.prediction.clone(),
        positive: report.positive.clone(),
        rows: report.rows,
        confidence: level,
        rates: RATES
            .map(|(name, definition)| RateColumn { name: name.to_owned(), definition: definition.to_owned() })
            .to_vec(),
        attributes: report.attributes.iter().map(attribute).collect(),
    }
}

fn attribute(found: &AttributeReport) -> Attribute {
    let report = &found.report;
    let reference = report.disparate_impact.first().map(|impact| impact.reference.as_str());
    let gaps = [
        ("demographic parity", "difference of selection rates", &report.demographic_parity),
        ("equal opportunity", "difference of true positive rates", &report.equal_opportunity),
        ("false positive parity", "difference of false positive rates", &report.false_positive_parity),
        ("predictive parity", "difference of precisions", &report.predictive_parity),
    ];
    let odds = Finding {
        metric: "equalized odds".to_owned(),
        definition: "larger of the differences of true and false positive rates".to_owned(),
        estimate: estimate(report.equalized_odds.difference),
        ideal: Some(0.0),
        limit: None,
        verdict: significance(report.equalized_odds.p_value),
        reason: p(report.equalized_odds.p_value),
    };
    let findings = report.disparate_impact.iter().map(impact);
    let findings = findings.chain(gaps.map(|(metric, definition, gap)| difference(metric, definition, gap)));
    Attribute {
        name: found.attribute.clone(),
        groups: report.groups.iter().map(|of| group(of, reference)).collect(),
        findings: findings.chain([odds]).collect(),
    }
}

fn group(of: &GroupRates, reference: Option<&str>) -> Group {
    let rates = [of.selection_rate, of.base_rate, of.true_positive_rate, of.false_positive_rate, of.accuracy];
    Group {
        name: of.group.clone(),
        reference: reference == Some(of.group.as_str()),
        n: of.rows,
        rates: rates.map(estimate).to_vec(),
    }
}

fn impact(of: &DisparateImpact) -> Finding {
    let verdict = match of.four_fifths {
        FourFifths::Pass => Verdict::Pass,
        FourFifths::Fail if of.adverse_impact => Verdict::Fail,
        FourFifths::Fail => Verdict::Unclear,
        FourFifths::Undefined => Verdict::Undefined,
    };
    Finding {
        metric: format!("disparate impact on {}", of.group),
        definition: format!("selection rate ÷ that of {}", of.reference),
        estimate: estimate(of.ratio),
        ideal: Some(1.0),
        limit: Some(BOUND),
        verdict,
        reason: p(of.p_value),
    }
}

fn difference(metric: &str, definition: &str, gap: &Contrast) -> Finding {
    let ends = gap.lowest.as_ref().zip(gap.highest.as_ref());
    let ends = ends.map(|(low, high)| {
        format!("{} {:.3} against {} {:.3}", low.group, low.value, high.group, high.value)
    });
    let told: Vec<String> =
        ends.into_iter().chain([p(gap.p_value)]).filter(|part| !part.is_empty()).collect();
    Finding {
        metric: metric.to_owned(),
        definition: definition.to_owned(),
        estimate: estimate(gap.difference),
        ideal: Some(0.0),
        limit: None,
        verdict: significance(gap.p_value),
        reason: told.join("; "),
    }
}

/// A difference has no bound of its own: one that is beyond luck is a reason to look, not yet a verdict.
fn significance(p: Option<f64>) -> Verdict {
    match p {
        Some(p) if p < 0.05 => Verdict::Unclear,
        Some(_) => Verdict::Pass,
        None => Verdict::Undefined,
    }
}

fn estimate(measure: Measure) -> Estimate {
    let interval = measure.interval();
    Estimate {
        value: measure.value(),
        low: interval.map(|interval| interval.lower),
        high: interval.map(|interval| interval.upper),
    }
}

fn p(value: Option<f64>) -> String {
    match value {
        Some(p) if p < 0.0001 => "p < 0.0001".to_owned(),
        Some(p) => format!("p = {p:.4}"),
        None => String::new(),
    }
}
