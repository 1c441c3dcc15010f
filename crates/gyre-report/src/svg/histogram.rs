//! Two distributions over the same bins: what the model was trained on (reference) and what it sees now (current).

use maud::html;

use super::{
    LegendEntry, frame, legend, nothing, px,
    scale::{Linear, Ticks, drawable},
};
use crate::format::{ellipsis, percent};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 56.0;
const PLOT: f64 = 180.0;
/// More bins than this are narrower than a pixel.
const MOST_BINS: usize = 300;

/// Two distributions over the same bins. Counts are turned into shares, so samples of different sizes compare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Accessible name.
    pub title: String,
    /// Accessible description.
    pub description: String,
    /// Names of the bins ("10 to 20", "JFK"), left to right.
    pub bins: Vec<String>,
    /// Counts of the reference, one a bin. Missing, negative or undefined ones count as none.
    pub reference: Vec<f64>,
    /// Counts of the current sample, one a bin.
    pub current: Vec<f64>,
}

/// Draws the reference as outlined steps behind, the current sample as bars. See [`Histogram`].
pub fn histogram(chart: &Histogram) -> String {
    let bins = chart.bins.len().min(MOST_BINS);
    let (reference, current) = (shares(&chart.reference, bins), shares(&chart.current, bins));
    if bins == 0 {
        return nothing(WIDTH, PLOT, &chart.title, &chart.description);
    }
    let ticks = Ticks::cover(reference.iter().chain(&current).copied().chain([0.0]), 4);
    let entries = [("bar", "current"), ("outline", "reference")].map(|(class, name)| LegendEntry {
        swatch: html! { rect.(class) x="0" y="0" width="22" height="10" rx="1" {} },
        name: name.to_owned(),
    });
    let (legend, top) = legend(&entries, LEFT, WIDTH, 4.0);
    let top = top + 6.0;
    let bottom = top + PLOT;
    let y = Linear::new(ticks.domain, (bottom, top));
    let width = (WIDTH - LEFT) / bins as f64;
    let named = (bins as f64 * 60.0 / (WIDTH - LEFT)).ceil().max(1.0) as usize;
    let body = html! {
        (legend)
        @for value in &ticks.values {
            line.grid x1=(px(LEFT)) x2=(px(WIDTH)) y1=(px(y.at(*value))) y2=(px(y.at(*value))) {}
            text.tick x=(px(LEFT - 8.0)) y=(px(y.at(*value) + 4.0)) text-anchor="end" { (format!("{:.0} %", value * 100.0)) }
        }
        @for (i, ((name, before), now)) in chart.bins.iter().zip(&reference).zip(&current).enumerate() {
            @let x = LEFT + i as f64 * width;
            g data-tip="" {
                title { (name) "\ncurrent: " (percent(Some(*now))) "\nreference: " (percent(Some(*before))) }
                rect.hit x=(px(x)) y=(px(top)) width=(px(width)) height=(px(PLOT)) {}
                rect.bar x=(px(x + width * 0.15)) y=(px(y.at(*now))) width=(px(width * 0.7)) height=(px(bottom - y.at(*now))) {}
                rect.outline x=(px(x + width * 0.04)) y=(px(y.at(*before))) width=(px(width * 0.92)) height=(px(bottom - y.at(*before))) {}
            }
            @if i % named == 0 {
                text.tick x=(px(x + width / 2.0)) y=(px(bottom + 16.0)) text-anchor="middle" { (ellipsis(name, 9)) }
            }
        }
    };
    frame(WIDTH, bottom + 24.0, &chart.title, &chart.description, &body)
}

fn shares(counts: &[f64], bins: usize) -> Vec<f64> {
    let mut counts: Vec<f64> = counts
        .iter()
        .map(|&c| drawable(Some(c)).unwrap_or(0.0).max(0.0))
        .chain(std::iter::repeat(0.0))
        .take(bins)
        .collect();
    let total: f64 = counts.iter().sum();
    if total > 0.0 {
        counts.iter_mut().for_each(|c| *c /= total);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::{HOSTILE, check};

    #[test]
    fn samples_of_different_size_compare_as_shares() {
        let chart = Histogram {
            title: HOSTILE.into(),
            bins: vec![HOSTILE.into(), "JFK".into()],
            reference: vec![10.0, 30.0],
            current: vec![500.0, 500.0],
            ..Histogram::default()
        };
        let svg = histogram(&chart);
        check(&svg);
        assert!(svg.contains("current: 50.0 %\nreference: 25.0 %"));
    }

    #[test]
    fn odd_counts_are_none() {
        assert_eq!(shares(&[f64::NAN, -3.0, 4.0], 4), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(shares(&[], 2), [0.0, 0.0]);
        check(&histogram(&Histogram { bins: vec![String::new()], ..Histogram::default() }));
        assert!(histogram(&Histogram::default()).contains("No data yet"));
    }

    #[test]
    fn many_bins_are_cut_at_what_can_be_seen() {
        let chart = Histogram { bins: vec!["b".into(); 5_000], ..Histogram::default() };
        assert!(histogram(&chart).matches("class=\"bar\"").count() <= MOST_BINS + 1);
    }
}
