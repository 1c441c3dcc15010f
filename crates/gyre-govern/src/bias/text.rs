//! The report as lines for a terminal.

use std::fmt;

use gyre_stats::fairness::{Contrast, FourFifths, Measure};

use super::{AttributeReport, BiasReport};

impl fmt::Display for BiasReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} rows examined, {} skipped; positive: {}", self.rows, self.skipped, self.positive)?;
        self.attributes.iter().try_for_each(|attribute| write!(f, "\n{attribute}"))
    }
}

impl fmt::Display for AttributeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.report.options.level * 100.0;
        writeln!(f, "{}  ({level:.0} % intervals)", self.attribute)?;
        let header = ["group", "rows", "selected", "base rate", "true positive", "false positive"];
        let mut lines = vec![header.map(str::to_owned).to_vec()];
        for group in &self.report.groups {
            let name = if group.compared { group.group.clone() } else { format!("{} *", group.group) };
            let rates =
                [group.selection_rate, group.base_rate, group.true_positive_rate, group.false_positive_rate];
            lines.push([name, group.rows.to_string()].into_iter().chain(rates.map(shown)).collect());
        }
        write_aligned(f, &lines)?;
        if self.report.groups.iter().any(|group| !group.compared) {
            writeln!(f, "  * fewer than {} rows: not compared", self.report.options.minimum_rows)?;
        }
        let gap = |name: &str, contrast: &Contrast| {
            let ends = contrast.lowest.as_ref().zip(contrast.highest.as_ref());
            let ends = ends.map_or(String::new(), |(low, high)| format!("{} to {}", low.group, high.group));
            vec![name.to_owned(), shown(contrast.difference), p(contrast.p_value), ends]
        };
        let odds = &self.report.equalized_odds;
        let mut gaps = vec![
            gap("demographic parity difference", &self.report.demographic_parity),
            gap("equal opportunity difference", &self.report.equal_opportunity),
            vec!["equalized odds difference".to_owned(), shown(odds.difference), p(odds.p_value)],
        ];
        for impact in &self.report.disparate_impact {
            let rule = match impact.four_fifths {
                FourFifths::Pass => "four-fifths rule holds",
                FourFifths::Fail if impact.adverse_impact => "four-fifths rule fails: adverse impact",
                FourFifths::Fail => "four-fifths rule fails, but within luck",
                FourFifths::Undefined => "four-fifths rule undefined",
            };
            let told = format!("{} against {}: {rule}", impact.group, impact.reference);
            gaps.push(vec![
                "disparate impact ratio".to_owned(),
                shown(impact.ratio),
                p(impact.p_value),
                told,
            ]);
        }
        write_aligned(f, &gaps)
    }
}

fn shown(measure: Measure) -> String {
    match (measure, measure.interval()) {
        (Measure::Defined { value, .. }, Some(of)) => {
            format!("{value:.3} [{:.3}, {:.3}]", of.lower, of.upper)
        }
        (Measure::Defined { value, .. }, None) => format!("{value:.3}"),
        (Measure::Undefined(why), _) => format!("undefined ({why})"),
    }
}

fn p(value: Option<f64>) -> String {
    match value {
        Some(p) if p < 0.0001 => "p < 0.0001".to_owned(),
        Some(p) => format!("p = {p:.4}"),
        None => String::new(),
    }
}

/// Writes lines with their cells in columns, two spaces apart.
fn write_aligned(f: &mut fmt::Formatter<'_>, lines: &[Vec<String>]) -> fmt::Result {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for line in lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("  {cell:<width$}"));
        writeln!(f, "{}", cells.collect::<String>().trim_end())?;
    }
    Ok(())
}
