//! One distribution over bins, as bars: in full with axes, and the size of a word for a table cell.

use maud::html;

use super::{
    frame, nothing, px,
    scale::{Linear, Ticks, drawable},
};
use crate::format::{ellipsis, percent};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 8.0;
const PLOT: f64 = 140.0;
const TINY: (f64, f64) = (120.0, 28.0);
/// More bins than this are narrower than a pixel.
const MOST_BINS: usize = 300;

/// A distribution: bins from left to right.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bars {
    /// Accessible name.
    pub title: String,
    /// Accessible description.
    pub description: String,
    /// Names of the bins ("up to 10", "Mon") and their shares, from 0 to 1. Negative and undefined ones count as none.
    pub bins: Vec<(String, f64)>,
}

/// Draws bars with a scale of shares and the names of as many bins as fit. See [`Bars`].
pub fn bars(chart: &Bars) -> String {
    let bins = &chart.bins[..chart.bins.len().min(MOST_BINS)];
    if bins.is_empty() {
        return nothing(WIDTH, PLOT, &chart.title, &chart.description);
    }
    let ticks = Ticks::cover(bins.iter().map(|(_, share)| shown(*share)).chain([0.0]), 4);
    let bottom = TOP + PLOT;
    let y = Linear::new(ticks.domain, (bottom, TOP));
    let width = (WIDTH - LEFT) / bins.len() as f64;
    let named = (70.0 / width).ceil().max(1.0) as usize;
    let body = html! {
        @for value in &ticks.values {
            line.grid x1=(px(LEFT)) x2=(px(WIDTH)) y1=(px(y.at(*value))) y2=(px(y.at(*value))) {}
            text.tick x=(px(LEFT - 8.0)) y=(px(y.at(*value) + 4.0)) text-anchor="end" { (format!("{:.0} %", value * 100.0)) }
        }
        @for (at, (name, share)) in bins.iter().enumerate() {
            @let x = LEFT + at as f64 * width;
            g data-tip="" {
                title { (name) "\n" (percent(Some(shown(*share)))) }
                rect.hit x=(px(x)) y=(px(TOP)) width=(px(width)) height=(px(PLOT)) {}
                rect.bar x=(px(x + width * 0.1)) y=(px(y.at(shown(*share)))) width=(px(width * 0.8)) height=(px(bottom - y.at(shown(*share)))) {}
            }
            @if at % named == 0 {
                text.tick x=(px(x + width / 2.0)) y=(px(bottom + 16.0)) text-anchor="middle" { (ellipsis(name, 10)) }
            }
        }
    };
    frame(WIDTH, bottom + 24.0, &chart.title, &chart.description, &body)
}

/// The same without axes, for a table cell.
pub fn tiny_bars(chart: &Bars) -> String {
    let bins = &chart.bins[..chart.bins.len().min(TINY.0 as usize)];
    let largest = bins.iter().map(|(_, share)| shown(*share)).fold(0.0, f64::max);
    let y = Linear::new((0.0, if largest > 0.0 { largest } else { 1.0 }), (TINY.1 - 1.0, 1.0));
    let width = TINY.0 / bins.len().max(1) as f64;
    let body = html! {
        @for (at, (_, share)) in bins.iter().enumerate() {
            @let top = y.at(shown(*share));
            rect.fill.c0 x=(px(at as f64 * width)) y=(px(top)) width=(px(width * 0.85)) height=(px(TINY.1 - 1.0 - top)) {}
        }
    };
    frame(TINY.0, TINY.1, &chart.title, &chart.description, &body)
}

fn shown(share: f64) -> f64 {
    drawable(Some(share)).unwrap_or(0.0).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::{HOSTILE, check};

    #[test]
    fn every_bin_is_a_bar_and_odd_shares_are_none() {
        let bins =
            [0.5, 0.25, f64::NAN, -1.0, f64::INFINITY].map(|share| (HOSTILE.to_owned(), share)).to_vec();
        let chart = Bars { title: HOSTILE.into(), description: HOSTILE.into(), bins };
        for svg in [bars(&chart), tiny_bars(&chart)] {
            check(&svg);
            assert_eq!(
                svg.matches("<rect class=\"bar\"").count() + svg.matches("<rect class=\"fill").count(),
                5,
                "{svg}"
            );
        }
        assert!(bars(&chart).contains("50.0 %"));
        assert!(bars(&Bars::default()).contains("No data yet"));
        check(&tiny_bars(&Bars::default()));
    }
}
