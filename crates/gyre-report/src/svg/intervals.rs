//! Estimates with their uncertainty: a point and its confidence interval a row, on a common axis, with the value that
//! would be ideal and the limits that must not be crossed. For group rates, fairness metrics and model comparisons.

use maud::{Markup, html};

use super::{
    colour_class, frame, nothing, px,
    scale::{Linear, Ticks, drawable},
};
use crate::format::{ellipsis, number};

const WIDTH: f64 = 640.0;
const NAMES: f64 = 190.0;
const FIGURES: f64 = 150.0;
const ROW: f64 = 26.0;
/// More rows than this are for a table.
const MOST_ROWS: usize = 200;

/// One row: an estimate and its interval. A `None` estimate is shown as undefined, not as zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// Written at the left.
    pub name: String,
    /// The estimate.
    pub value: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end of the interval.
    pub high: Option<f64>,
    /// Number of the categorical colour.
    pub colour: usize,
    /// Shown on hover beneath the figures ("n = 1,204").
    pub detail: String,
}

/// Rows of estimates on a common axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IntervalPlot {
    /// Accessible name.
    pub title: String,
    /// Accessible description.
    pub description: String,
    /// The axis covers at least these values, so that plots can be compared.
    pub axis_covers: Vec<f64>,
    /// Whether a bar is drawn from zero to the estimate.
    pub bars: bool,
    /// The value that would be ideal: a solid line.
    pub ideal: Option<f64>,
    /// Values that must not be crossed: dashed lines.
    pub limits: Vec<f64>,
    /// The rows, top to bottom.
    pub rows: Vec<Interval>,
}

/// Draws the plot. See [`IntervalPlot`].
pub fn interval_plot(plot: &IntervalPlot) -> String {
    if plot.rows.is_empty() {
        return nothing(WIDTH, 60.0, &plot.title, &plot.description);
    }
    let figures = plot.rows.iter().flat_map(|r| [r.value, r.low, r.high]).flatten();
    let lines = plot.ideal.iter().chain(&plot.limits).chain(&plot.axis_covers).copied();
    let ticks = Ticks::cover(figures.chain(lines).chain(plot.bars.then_some(0.0)), 5);
    let scale = Linear::new(ticks.domain, (NAMES, WIDTH - FIGURES));
    let rows = plot.rows.len().min(MOST_ROWS);
    let bottom = 8.0 + rows as f64 * ROW;
    let body = html! {
        @for value in &ticks.values {
            @let x = px(scale.at(*value));
            line.grid x1=(x) x2=(x) y1="4" y2=(px(bottom)) {}
            text.tick x=(x) y=(px(bottom + 16.0)) text-anchor="middle" { (ticks.label(*value)) }
        }
        @for (value, class) in plot.limits.iter().map(|v| (*v, "limit")).chain(plot.ideal.map(|v| (v, "ideal"))) {
            @if let Some(value) = drawable(Some(value)) {
                line.(class) x1=(px(scale.at(value))) x2=(px(scale.at(value))) y1="4" y2=(px(bottom)) {}
            }
        }
        @for (i, row) in plot.rows.iter().take(MOST_ROWS).enumerate() {
            (draw_row(row, plot.bars, &scale, 8.0 + i as f64 * ROW))
        }
        @if plot.rows.len() > rows {
            text.tick x="0" y=(px(bottom + 16.0)) { (plot.rows.len() - rows) " more not drawn" }
        }
    };
    frame(WIDTH, bottom + 24.0, &plot.title, &plot.description, &body)
}

fn draw_row(row: &Interval, bars: bool, scale: &Linear, y: f64) -> Markup {
    let middle = y + ROW / 2.0 - 2.0;
    let (value, low, high) = (drawable(row.value), drawable(row.low), drawable(row.high));
    let figures = match (value, low, high) {
        (None, ..) => "undefined".to_owned(),
        (Some(v), Some(l), Some(h)) => format!("{} [{}, {}]", number(v), number(l), number(h)),
        (Some(v), ..) => number(v),
    };
    html! {
        g.interval.(colour_class(row.colour)) data-tip="" {
            title { (row.name) "\n" (figures) @if !row.detail.is_empty() { "\n" (row.detail) } }
            rect.hit x="0" y=(px(y - 2.0)) width=(px(WIDTH)) height=(px(ROW)) {}
            text.name x=(px(NAMES - 12.0)) y=(px(middle + 4.0)) text-anchor="end" { (ellipsis(&row.name, 26)) }
            @if let Some(value) = value {
                @if bars {
                    @let (zero, end) = (scale.at(0.0), scale.at(value));
                    rect.bar x=(px(zero.min(end))) y=(px(middle - 7.0)) width=(px((end - zero).abs())) height="14" rx="2" {}
                }
                @if let (Some(low), Some(high)) = (low, high) {
                    @let (a, b) = (px(scale.at(low)), px(scale.at(high)));
                    path.whisker d={ "M" (a) " " (px(middle)) "H" (b) "M" (a) " " (px(middle - 4.0)) "v8M" (b) " " (px(middle - 4.0)) "v8" } {}
                }
                circle.dot cx=(px(scale.at(value))) cy=(px(middle)) r="4.5" {}
            }
            text.figure x=(px(WIDTH)) y=(px(middle + 4.0)) text-anchor="end" { (figures) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::{HOSTILE, check};

    fn row(value: Option<f64>, low: Option<f64>, high: Option<f64>) -> Interval {
        Interval { name: HOSTILE.into(), detail: HOSTILE.into(), value, low, high, colour: 1 }
    }

    #[test]
    fn undefined_is_said_and_not_drawn() {
        let plot = IntervalPlot {
            rows: vec![row(None, Some(0.1), Some(0.2))],
            bars: true,
            ..IntervalPlot::default()
        };
        let svg = interval_plot(&plot);
        check(&svg);
        assert!(
            svg.contains("undefined") && !svg.contains("class=\"dot\"") && !svg.contains("class=\"bar\"")
        );
    }

    #[test]
    fn figures_stand_beside_the_mark() {
        let plot = IntervalPlot {
            title: HOSTILE.into(),
            ideal: Some(0.0),
            limits: vec![-0.1, 0.1, f64::NAN],
            rows: vec![
                row(Some(0.25), Some(0.2), Some(0.3)),
                row(Some(f64::NAN), None, None),
                row(Some(1e300), None, None),
            ],
            ..IntervalPlot::default()
        };
        let svg = interval_plot(&plot);
        check(&svg);
        assert!(svg.contains("0.25 [0.20, 0.30]"));
        assert_eq!(svg.matches("class=\"limit\"").count(), 2);
    }

    #[test]
    fn empty_says_so() {
        assert!(interval_plot(&IntervalPlot::default()).contains("No data yet"));
    }
}
