//! Charts the size of a word, for table cells and cards: no axes, no legend.

use maud::html;

use super::{
    Point, colour_class, frame, px,
    scale::{Linear, Ticks, drawable},
    thin::stretches,
};

const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;

/// A line without axes over values at moments; the last value gets a dot. Gaps interrupt it. `colour` is the number of
/// the categorical colour.
pub fn sparkline(title: &str, points: &[Point], colour: usize) -> String {
    let lines = stretches(points);
    let drawn = || lines.iter().flatten();
    let ticks = Ticks::cover(drawn().map(|&(_, v)| v), 4);
    let from = drawn().map(|&(t, _)| t).min().unwrap_or(0);
    let to = drawn().map(|&(t, _)| t).max().unwrap_or(1);
    let x = Linear::new((from as f64, to as f64), (3.0, WIDTH - 4.0));
    let y = Linear::new(ticks.domain, (HEIGHT - 3.0, 3.0));
    let paths = lines.iter().map(|stretch| {
        let parts = stretch.iter().enumerate().map(|(i, &(at_ms, value))| {
            format!("{}{} {}", if i == 0 { 'M' } else { 'L' }, px(x.at_ms(at_ms)), px(y.at(value)))
        });
        parts.collect::<String>()
    });
    let body = html! {
        g.series.spark.(colour_class(colour)) { @for path in paths { path d=(path) {} } }
        @if let Some(&(at_ms, value)) = drawn().next_back() {
            g.series.(colour_class(colour)) { circle.dot cx=(px(x.at_ms(at_ms))) cy=(px(y.at(value))) r="2.5" {} }
        }
    };
    frame(WIDTH, HEIGHT, title, "", &body)
}

/// Thin bars above each other on a common scale from 0 to `largest`, each with the number of its categorical colour:
/// how the errors of two models compare in one row of a table. Undefined and negative values have no bar.
pub fn paired_bars(title: &str, bars: &[(Option<f64>, usize)], largest: f64) -> String {
    let scale = Linear::new((0.0, if largest > 0.0 { largest } else { 1.0 }), (0.0, WIDTH));
    let height = bars.len() as f64 * 9.0 + 1.0;
    let body = html! {
        @for (i, (value, colour)) in bars.iter().enumerate() {
            @if let Some(value) = drawable(*value).filter(|&v| v >= 0.0) {
                rect.fill.(colour_class(*colour)) x="0" y=(px(i as f64 * 9.0 + 1.0)) width=(px(scale.at(value).max(1.0))) height="7" rx="2" {}
            }
        }
    };
    frame(WIDTH, height, title, "", &body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::{HOSTILE, check};

    #[test]
    fn odd_series_are_drawn() {
        let series: [&[Option<f64>]; 5] =
            [&[], &[Some(1.0)], &[None, None], &[Some(1e308), None, Some(-1e308)], &[Some(f64::NAN)]];
        for values in series {
            let points: Vec<Point> =
                values.iter().enumerate().map(|(i, &value)| Point { at_ms: i as i64, value }).collect();
            check(&sparkline(HOSTILE, &points, 3));
        }
    }

    #[test]
    fn undefined_has_no_bar() {
        let svg =
            paired_bars(HOSTILE, &[(None, 0), (Some(5.0), 1), (Some(f64::NAN), 2), (Some(-1.0), 3)], 10.0);
        let document = check(&svg);
        let bars: Vec<_> = document
            .descendants()
            .filter(|n| n.has_tag_name(("http://www.w3.org/2000/svg", "rect")))
            .collect();
        assert_eq!(bars.len(), 1);
        assert_eq!(bars[0].attribute("width"), Some("60"));
        check(&paired_bars("", &[(Some(1.0), 0)], f64::NAN));
    }
}
