//! Charts as SVG text. A chart is a plain struct of names and numbers and a function that draws it; nothing is kept in
//! between, so the same struct can be drawn in a report, on a control room page or in a test.
//!
//! All charts have a `viewBox` and no size of their own: they scale with the page. Colours come from CSS classes of
//! [`crate::theme::CSS`], so that charts follow the reader's light or dark scheme. Every chart carries a `<title>` and a
//! `<desc>` for readers that do not see it, and marks with a `<title>` each, which browsers show on hover.
//! The output is well-formed XML; all text is escaped, and characters that XML forbids are dropped.

mod bars;
mod calendar;
mod heat_strip;
mod histogram;
mod intervals;
mod lanes;
mod micro;
mod scale;
mod thin;
mod time_chart;

use maud::{Markup, html};

pub use bars::{Bars, bars, tiny_bars};
pub use heat_strip::{HeatRow, HeatStrip, HeatWindow, heat_strip};
pub use histogram::{Histogram, histogram};
pub use intervals::{Interval, IntervalPlot, interval_plot};
pub use lanes::{Instant, Lane, Span, Timeline, timeline};
pub use micro::{paired_bars, sparkline};
pub use time_chart::{Band, BandPoint, Limit, Marker, Region, Series, Shape, Stroke, TimeChart, time_chart};

/// How many categorical colours the theme has (`c0` … `c7`, after Okabe and Ito, safe for colour-blind readers).
/// Colour numbers beyond it start over.
pub const COLOURS: usize = 8;

/// A value at a moment. `None`, NaN and infinities are gaps: the line is interrupted there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// UTC milliseconds since 1970.
    pub at_ms: i64,
    /// The value, if it is defined.
    pub value: Option<f64>,
}

/// The width of all wide charts, in user units (about one CSS pixel on a wide page).
const WIDTH: f64 = 1040.0;
/// Room for names at the left. The same in all charts with a time axis, so that charts below each other line up.
const GUTTER: f64 = 118.0;
/// Room at the right, for half of the last tick's label.
const MARGIN: f64 = 30.0;
/// About how wide one character of chart text is. Without fonts this is an estimate, on the generous side.
const CHARACTER: f64 = 7.0;

/// A coordinate with one decimal, without a trailing `.0`: half the size of the file is coordinates.
fn px(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    // Adding zero turns -0 into 0.
    format!("{}", rounded + 0.0)
}

fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

fn colour_class(colour: usize) -> String {
    format!("c{}", colour % COLOURS)
}

/// The frame that all charts share: the `svg` element with its accessible name and description.
fn frame(width: f64, height: f64, title: &str, description: &str, body: &Markup) -> String {
    let markup = html! {
        svg.chart.wide[width >= WIDTH] xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (px(width)) " " (px(height)) } role="img" {
            title { (title) }
            @if !description.is_empty() { desc { (description) } }
            (body)
        }
    };
    let mut text = markup.into_string();
    text.retain(is_xml_char);
    text
}

/// What stands in place of a chart that has nothing to show.
fn nothing(width: f64, height: f64, title: &str, description: &str) -> String {
    let body = html! {
        text.quiet x=(px(width / 2.0)) y=(px(height / 2.0)) text-anchor="middle" { "No data yet" }
    };
    frame(width, height, title, description, &body)
}

/// The `Char` production of XML 1.0 (§2.2).
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// One entry of a legend: how the mark looks, and what it stands for.
struct LegendEntry {
    swatch: Markup,
    name: String,
}

/// Lays out legend entries in rows from the left; gives the markup and the height that it needs.
/// A swatch is drawn in a box of 22 × 10 user units.
fn legend(entries: &[LegendEntry], left: f64, right: f64, top: f64) -> (Markup, f64) {
    let (mut x, mut y) = (left, top);
    let mut placed = Vec::new();
    for entry in entries {
        let name = crate::format::ellipsis(&entry.name, 48);
        let width = 28.0 + text_width(&name) + 18.0;
        if x > left && x + width > right {
            (x, y) = (left, y + 18.0);
        }
        placed.push((x, y, name, entry));
        x += width;
    }
    let height = if entries.is_empty() { 0.0 } else { y - top + 24.0 };
    let markup = html! {
        @for (x, y, name, entry) in &placed {
            g transform={ "translate(" (px(*x)) " " (px(*y)) ")" } {
                (entry.swatch)
                text.legend x="28" y="9" { (name) }
            }
        }
    };
    (markup, height)
}

/// A time axis with its hairlines: labels below `bottom`, lines up to `top`.
fn time_axis(scale: &scale::Linear, from_ms: i64, to_ms: i64, top: f64, bottom: f64) -> Markup {
    let ticks = calendar::time_ticks(from_ms, to_ms, 14);
    html! {
        @for tick in &ticks {
            @let x = px(scale.at_ms(tick.at_ms));
            line.grid x1=(x) x2=(x) y1=(px(top)) y2=(px(bottom)) {}
            text.tick x=(x) y=(px(bottom + 16.0)) text-anchor="middle" { (tick.label) }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A name that would break out of any context that forgot to escape it.
    pub(crate) const HOSTILE: &str = "<script>alert('x')</script>\"' onload=\"&\u{0}\u{b}";

    /// Parses the chart and checks that the hostile name arrived as text and nowhere else.
    pub(crate) fn check(svg: &str) -> roxmltree::Document<'_> {
        let document = roxmltree::Document::parse(svg).unwrap_or_else(|e| panic!("{e}: {svg}"));
        assert!(!svg.contains("<script"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        assert!(document.descendants().all(|n| n.attributes().all(|a| !a.name().starts_with("on"))));
        assert!(document.root_element().attribute("viewBox").is_some());
        document
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!(px(12.0), "12");
        assert_eq!(px(12.345), "12.3");
        assert_eq!(px(-0.01), "0");
    }
}
