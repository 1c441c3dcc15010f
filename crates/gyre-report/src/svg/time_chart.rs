//! Numbers over time: several series with gaps, the range around or between them, shaded periods, limits, event markers,
//! and lanes of spans beneath on the same axis. The picture that answers "what did the loop do, and did it help?".

use maud::{Markup, html};

use super::{
    GUTTER, LegendEntry, MARGIN, Point, WIDTH, colour_class, frame,
    lanes::{LANE, Lane, glyph_shape, lanes},
    legend, nothing, px,
    scale::{Linear, Ticks, drawable},
    text_width,
    thin::{Stretch, stretches},
    time_axis,
};
use crate::{
    Tone,
    format::{ellipsis, measure, minute},
};

/// How two neighbouring points are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// By a straight line: the value was measured at the moment.
    #[default]
    Line,
    /// The value holds until the next point: it belongs to a window that begins at its point.
    Step,
}

/// How a line is drawn, so that series differ without colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stroke {
    /// An unbroken line.
    #[default]
    Solid,
    /// A dashed line.
    Dashed,
}

/// A named series. Points need no order; beyond 1,000 they are thinned so that no extreme is lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Shown in the legend and on hover.
    pub name: String,
    /// How points are joined.
    pub shape: Shape,
    /// How the line is drawn.
    pub stroke: Stroke,
    /// Number of the categorical colour.
    pub colour: usize,
    /// The values.
    pub points: Vec<Point>,
}

/// A range of values at a moment; `None` is a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BandPoint {
    /// UTC milliseconds.
    pub at_ms: i64,
    /// Lower and upper end, in any order.
    pub range: Option<(f64, f64)>,
}

/// A shaded range over time: a confidence band, or the space between two series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Band {
    /// Shown in the legend.
    pub name: String,
    /// How points are joined.
    pub shape: Shape,
    /// Number of the categorical colour.
    pub colour: usize,
    /// The ranges.
    pub points: Vec<BandPoint>,
}

/// A shaded period of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Region {
    /// Start, UTC milliseconds.
    pub from_ms: i64,
    /// End, UTC milliseconds.
    pub to_ms: i64,
    /// Written at the top of the period.
    pub label: String,
}

/// A horizontal line at a value that matters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limit {
    /// The value.
    pub value: f64,
    /// Written at its right end.
    pub label: String,
}

/// A vertical line at a moment that matters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marker {
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// Written above the line where there is room.
    pub label: String,
    /// Shown on hover beneath the label.
    pub detail: String,
    /// Colour and shape of its head.
    pub tone: Tone,
}

/// A chart of values over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeChart {
    /// Accessible name.
    pub title: String,
    /// Accessible description: what the picture says, in a sentence.
    pub description: String,
    /// What the values are, written above the axis ("MAE, min").
    pub value_name: String,
    /// Unit of the values on hover.
    pub unit: String,
    /// First and last moment of the axis (UTC milliseconds); taken from the data if not given.
    pub domain_ms: Option<(i64, i64)>,
    /// Whether the value axis begins at zero.
    pub from_zero: bool,
    /// Height of the plot itself, in user units of a chart 1,040 wide; 0 for the usual 260.
    pub plot_height: u32,
    /// The lines.
    pub series: Vec<Series>,
    /// Shaded ranges, beneath the lines.
    pub bands: Vec<Band>,
    /// Shaded periods, beneath everything.
    pub regions: Vec<Region>,
    /// Horizontal lines.
    pub limits: Vec<Limit>,
    /// Vertical lines.
    pub markers: Vec<Marker>,
    /// Rows beneath the plot on the same axis.
    pub lanes: Vec<Lane>,
}

/// Columns that answer to the pointer; more would be narrower than a hand is steady.
const MOST_COLUMNS: usize = 240;
/// More markers than this would be a solid block.
const MOST_MARKERS: usize = 200;

struct Plot {
    x: Linear,
    y: Linear,
    top: f64,
    bottom: f64,
}

/// Draws the chart. See [`TimeChart`].
pub fn time_chart(chart: &TimeChart) -> String {
    let plot_height =
        if chart.plot_height == 0 { 260.0 } else { f64::from(chart.plot_height.clamp(60, 2_000)) };
    let Some((from_ms, to_ms)) = domain(chart) else {
        return nothing(WIDTH, plot_height, &chart.title, &chart.description);
    };
    let lines: Vec<Vec<Stretch>> = chart.series.iter().map(|s| stretches(&s.points)).collect();
    let ticks = Ticks::cover(values(chart, &lines), 5);

    let (legend, legend_height) = legend(&legend_entries(chart), GUTTER, WIDTH - MARGIN, 4.0);
    let top = legend_height + if chart.markers.is_empty() { 14.0 } else { 34.0 };
    let bottom = top + plot_height;
    let axis_bottom =
        bottom + if chart.lanes.is_empty() { 0.0 } else { 12.0 + chart.lanes.len() as f64 * LANE };
    let plot = Plot {
        x: Linear::new((from_ms as f64, to_ms as f64), (GUTTER, WIDTH - MARGIN)),
        y: Linear::new(ticks.domain, (bottom, top)),
        top,
        bottom,
    };

    let body = html! {
        (legend)
        @for region in chart.regions.iter().take(MOST_MARKERS) { (draw_region(region, &plot)) }
        (time_axis(&plot.x, from_ms, to_ms, top, axis_bottom))
        @for value in &ticks.values {
            @let y = px(plot.y.at(*value));
            line.grid x1=(px(GUTTER)) x2=(px(WIDTH - MARGIN)) y1=(y) y2=(y) {}
            text.tick x=(px(GUTTER - 10.0)) y=(px(plot.y.at(*value) + 4.0)) text-anchor="end" { (ticks.label(*value)) }
        }
        text.axis x=(px(GUTTER - 10.0)) y=(px(top - 12.0)) text-anchor="end" { (ellipsis(&chart.value_name, 16)) }
        @for band in &chart.bands { path.band.(colour_class(band.colour)) d=(band_path(band, &plot)) {} }
        @for limit in &chart.limits { (draw_limit(limit, &plot)) }
        @for (series, stretches) in chart.series.iter().zip(&lines) { (draw_series(series, stretches, &plot)) }
        (hit_columns(chart, &lines, (from_ms, to_ms), &plot))
        (draw_markers(&chart.markers, &plot))
        (lanes(&chart.lanes, &plot.x, bottom + 12.0))
    };
    frame(WIDTH, axis_bottom + 26.0, &chart.title, &chart.description, &body)
}

fn domain(chart: &TimeChart) -> Option<(i64, i64)> {
    if let Some((from, to)) = chart.domain_ms {
        return Some((from.min(to), from.max(to)));
    }
    let points = chart.series.iter().flat_map(|s| s.points.iter().map(|p| p.at_ms));
    let bands = chart.bands.iter().flat_map(|b| b.points.iter().map(|p| p.at_ms));
    let regions = chart.regions.iter().flat_map(|r| [r.from_ms, r.to_ms]);
    let lanes = chart.lanes.iter().flat_map(Lane::moments);
    let moments =
        points.chain(bands).chain(regions).chain(lanes).chain(chart.markers.iter().map(|m| m.at_ms));
    moments
        .fold(None, |seen, at| Some(seen.map_or((at, at), |(lo, hi): (i64, i64)| (lo.min(at), hi.max(at)))))
}

fn values<'a>(chart: &'a TimeChart, lines: &'a [Vec<Stretch>]) -> impl Iterator<Item = f64> + 'a {
    let drawn = lines.iter().flatten().flatten().map(|&(_, v)| v);
    let bands = chart.bands.iter().flat_map(|b| &b.points).filter_map(|p| p.range).flat_map(|(a, b)| [a, b]);
    let limits = chart.limits.iter().map(|l| l.value);
    drawn.chain(bands).chain(limits).chain(chart.from_zero.then_some(0.0))
}

fn legend_entries(chart: &TimeChart) -> Vec<LegendEntry> {
    let series = chart.series.iter().map(|s| LegendEntry {
        swatch: html! { line.series.(colour_class(s.colour)).dashed[s.stroke == Stroke::Dashed] x1="0" x2="22" y1="5" y2="5" {} },
        name: s.name.clone(),
    });
    let bands = chart.bands.iter().filter(|b| !b.name.is_empty()).map(|b| LegendEntry {
        swatch: html! { rect.band.(colour_class(b.colour)) x="0" y="0" width="22" height="10" rx="2" {} },
        name: b.name.clone(),
    });
    series.chain(bands).collect()
}

fn draw_region(region: &Region, plot: &Plot) -> Markup {
    let (left, right) = (plot.x.at_ms(region.from_ms), plot.x.at_ms(region.to_ms));
    let fits = ((right - left) / text_width("0")).max(0.0) as usize;
    html! {
        g.region data-tip="" {
            title { (region.label) "\n" (minute(region.from_ms)) " – " (minute(region.to_ms)) }
            rect x=(px(left)) y=(px(plot.top)) width=(px((right - left).max(1.0))) height=(px(plot.bottom - plot.top)) {}
            @if fits >= 4 {
                text.tick x=(px((left + right) / 2.0)) y=(px(plot.top + 14.0)) text-anchor="middle" { (ellipsis(&region.label, fits)) }
            }
        }
    }
}

fn draw_limit(limit: &Limit, plot: &Plot) -> Markup {
    let Some(value) = drawable(Some(limit.value)) else { return html! {} };
    let y = plot.y.at(value);
    html! {
        line.limit x1=(px(GUTTER)) x2=(px(WIDTH - MARGIN)) y1=(px(y)) y2=(px(y)) {}
        text.limit x=(px(WIDTH - MARGIN - 4.0)) y=(px(y - 5.0)) text-anchor="end" { (ellipsis(&limit.label, 60)) }
    }
}

fn draw_series(series: &Series, stretches: &[Stretch], plot: &Plot) -> Markup {
    let class = colour_class(series.colour);
    html! {
        g.series.(class).dashed[series.stroke == Stroke::Dashed] {
            @for stretch in stretches {
                @if let [(at_ms, value)] = stretch.as_slice() {
                    // A lone point has no line to be part of.
                    circle.dot cx=(px(plot.x.at_ms(*at_ms))) cy=(px(plot.y.at(*value))) r="3" {}
                } @else {
                    path d=(line_path(stretch, series.shape, plot)) {}
                }
            }
        }
    }
}

fn line_path(stretch: &Stretch, shape: Shape, plot: &Plot) -> String {
    let mut path = String::with_capacity(stretch.len() * 12);
    for (i, &(at_ms, value)) in stretch.iter().enumerate() {
        let (x, y) = (px(plot.x.at_ms(at_ms)), px(plot.y.at(value)));
        match (i, shape) {
            (0, _) => path.push_str(&format!("M{x} {y}")),
            (_, Shape::Line) => path.push_str(&format!("L{x} {y}")),
            (_, Shape::Step) => path.push_str(&format!("H{x}V{y}")),
        }
    }
    path
}

/// The outline of a band: along the upper ends and back along the lower ones. More than 500 ranges are joined in
/// groups, each as wide as its widest; a group with a gap is a gap.
fn band_path(band: &Band, plot: &Plot) -> String {
    let mut points = band.points.clone();
    points.sort_by_key(|p| p.at_ms);
    let group = points.len().div_ceil(500).max(1);
    let mut path = String::new();
    let mut open: Vec<(f64, f64, f64)> = Vec::new();
    for chunk in points.chunks(group) {
        let ranges = chunk.iter().map(|p| {
            let (a, b) = p.range?;
            let (a, b) = (drawable(Some(a))?, drawable(Some(b))?);
            Some((a.min(b), a.max(b)))
        });
        let joined = ranges.reduce(|a, b| a.zip(b).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1)))).flatten();
        match (joined, chunk.first()) {
            (Some((low, high)), Some(first)) => {
                open.push((plot.x.at_ms(first.at_ms), plot.y.at(low), plot.y.at(high)));
            }
            _ => close_band(&mut open, band.shape, &mut path),
        }
    }
    close_band(&mut open, band.shape, &mut path);
    path
}

fn close_band(open: &mut Vec<(f64, f64, f64)>, shape: Shape, path: &mut String) {
    let Some(&(x, _, high)) = open.first() else { return };
    path.push_str(&format!("M{} {}", px(x), px(high)));
    for &(x, _, high) in open.iter().skip(1) {
        match shape {
            Shape::Line => path.push_str(&format!("L{} {}", px(x), px(high))),
            Shape::Step => path.push_str(&format!("H{}V{}", px(x), px(high))),
        }
    }
    for (i, &(x, low, _)) in open.iter().rev().enumerate() {
        match (shape, i) {
            (Shape::Line, _) => path.push_str(&format!("L{} {}", px(x), px(low))),
            (Shape::Step, 0) => path.push_str(&format!("V{}", px(low))),
            // Going back, the level of a step holds up to the point that began it.
            (Shape::Step, _) => path.push_str(&format!("V{}H{}", px(low), px(x))),
        }
    }
    path.push('Z');
    open.clear();
}

/// Markers with heads above the plot. A label is written only where it does not run into the one before it.
fn draw_markers(markers: &[Marker], plot: &Plot) -> Markup {
    let mut sorted: Vec<&Marker> = markers.iter().collect();
    sorted.sort_by_key(|m| m.at_ms);
    let hidden = sorted.len().saturating_sub(MOST_MARKERS);
    let mut free_from = f64::NEG_INFINITY;
    let placed = sorted.into_iter().take(MOST_MARKERS).map(|marker| {
        let x = plot.x.at_ms(marker.at_ms);
        let label = ellipsis(&marker.label, 24);
        let half = text_width(&label) / 2.0 + 3.0;
        let fits = x - half >= free_from && x + half <= WIDTH;
        if fits {
            free_from = x + half;
        }
        (marker, x, fits.then_some(label))
    });
    html! {
        @for (marker, x, label) in placed {
            g.marker.(marker.tone.class()) data-tip="" {
                title { (marker.label) "\n" (minute(marker.at_ms)) @if !marker.detail.is_empty() { "\n" (marker.detail) } }
                line x1=(px(x)) x2=(px(x)) y1=(px(plot.top)) y2=(px(plot.bottom)) {}
                g.glyph.(marker.tone.class()) transform={ "translate(" (px(x)) " " (px(plot.top - 6.0)) ")" } { (glyph_shape(marker.tone)) }
                @if let Some(label) = label { text x=(px(x)) y=(px(plot.top - 17.0)) text-anchor="middle" { (label) } }
            }
        }
        @if hidden > 0 {
            text.tick x=(px(WIDTH - MARGIN)) y=(px(plot.top + 12.0)) text-anchor="end" { (hidden) " more markers not drawn" }
        }
    }
}

/// Invisible columns that tell all values of their time on hover: easier to hit than a line, and without any script.
fn hit_columns(chart: &TimeChart, lines: &[Vec<Stretch>], domain: (i64, i64), plot: &Plot) -> Markup {
    let mut times: Vec<i64> = chart.series.iter().flat_map(|s| s.points.iter().map(|p| p.at_ms)).collect();
    times.sort_unstable();
    times.dedup();
    times.retain(|t| (domain.0..=domain.1).contains(t));
    let every = times.len().div_ceil(MOST_COLUMNS).max(1);
    let times: Vec<i64> = times.into_iter().step_by(every).collect();
    let stepped = chart.series.iter().all(|s| s.shape == Shape::Step);
    let edge = |i: usize| match (i.checked_sub(1).and_then(|b| times.get(b)), times.get(i)) {
        (None, _) => plot.x.at_ms(domain.0),
        (_, None) => plot.x.at_ms(domain.1),
        (Some(_), Some(&at)) if stepped => plot.x.at_ms(at),
        (Some(&before), Some(&at)) => (plot.x.at_ms(before) + plot.x.at_ms(at)) / 2.0,
    };
    html! {
        @for (i, &at_ms) in times.iter().enumerate() {
            @let (left, right) = (edge(i), edge(i + 1));
            rect.hit data-tip="" x=(px(left)) y=(px(plot.top)) width=(px((right - left).max(0.5))) height=(px(plot.bottom - plot.top)) {
                title {
                    (minute(at_ms))
                    @for (series, stretches) in chart.series.iter().zip(lines) {
                        "\n" (ellipsis(&series.name, 60)) ": " (measure(value_at(stretches, at_ms), &chart.unit))
                    }
                    @for lane in &chart.lanes {
                        @if let Some(span) = lane.span_at(at_ms) { "\n" (ellipsis(&lane.name, 60)) ": " (span.label) }
                    }
                }
            }
        }
    }
}

/// The drawn value at a moment: of the last point up to it within the stretch that covers it.
fn value_at(stretches: &[Stretch], at_ms: i64) -> Option<f64> {
    let stretch = stretches.iter().find(|s| {
        s.first().is_some_and(|&(first, _)| first <= at_ms)
            && s.last().is_some_and(|&(last, _)| at_ms <= last)
    })?;
    stretch.iter().rev().find(|&&(t, _)| t <= at_ms).map(|&(_, v)| v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::{
        Instant, Span,
        tests::{HOSTILE, check},
    };

    fn series(points: Vec<Point>) -> Series {
        Series { name: HOSTILE.into(), points, ..Series::default() }
    }

    fn full(points: Vec<Point>, shape: Shape) -> TimeChart {
        let ranges =
            points.iter().map(|p| BandPoint { at_ms: p.at_ms, range: p.value.map(|v| (v, v + 1.0)) });
        TimeChart {
            title: HOSTILE.into(),
            description: HOSTILE.into(),
            value_name: HOSTILE.into(),
            unit: HOSTILE.into(),
            bands: vec![Band { name: HOSTILE.into(), shape, colour: 9, points: ranges.collect() }],
            regions: vec![Region { from_ms: 0, to_ms: 5_000, label: HOSTILE.into() }],
            limits: vec![
                Limit { value: 3.0, label: HOSTILE.into() },
                Limit { value: f64::NAN, label: String::new() },
            ],
            markers: vec![Marker {
                at_ms: 2_000,
                label: HOSTILE.into(),
                detail: HOSTILE.into(),
                tone: Tone::Warn,
            }],
            lanes: vec![Lane {
                name: HOSTILE.into(),
                spans: vec![Span { to_ms: 4_000, label: HOSTILE.into(), ..Span::default() }],
                instants: vec![Instant { label: HOSTILE.into(), ..Instant::default() }],
            }],
            series: vec![Series { shape, ..series(points) }],
            ..TimeChart::default()
        }
    }

    #[test]
    fn any_figures_give_a_well_formed_chart() {
        let shapes: [&[Option<f64>]; 6] = [
            &[],
            &[Some(1.0)],
            &[None],
            &[Some(1.0), None, Some(f64::NAN), Some(2.0)],
            &[Some(f64::MAX), Some(f64::MIN), Some(f64::INFINITY)],
            &[Some(1e-320), Some(0.0)],
        ];
        for values in shapes {
            for shape in [Shape::Line, Shape::Step] {
                for spacing in [0, 1, 86_400_000, i64::MAX / 8] {
                    let at = |(i, &value): (usize, &Option<f64>)| Point { at_ms: i as i64 * spacing, value };
                    check(&time_chart(&full(values.iter().enumerate().map(at).collect(), shape)));
                }
            }
        }
    }

    #[test]
    fn a_lone_point_is_a_dot_and_a_gap_splits_the_line() {
        let point = |i: i64, value| Point { at_ms: i * 1_000, value };
        let values = [Some(1.0), Some(2.0), None, Some(3.0), None, Some(1.0), Some(1.0)];
        let points = values.iter().enumerate().map(|(i, &v)| point(i as i64, v)).collect();
        let svg = time_chart(&TimeChart { series: vec![series(points)], ..TimeChart::default() });
        assert_eq!(svg.matches("class=\"dot\"").count(), 1);
        assert_eq!(svg.matches("<path").count(), 2);
    }

    #[test]
    fn hover_tells_the_values_of_the_moment() {
        let points = vec![Point { at_ms: 0, value: Some(8.5) }, Point { at_ms: 86_400_000, value: None }];
        let lane = Lane {
            name: "serving".into(),
            spans: vec![Span { to_ms: 9_000, label: "v3".into(), ..Span::default() }],
            ..Lane::default()
        };
        let series = Series { name: "managed".into(), points, ..Series::default() };
        let chart =
            TimeChart { unit: "min".into(), series: vec![series], lanes: vec![lane], ..TimeChart::default() };
        let svg = time_chart(&chart);
        assert!(svg.contains("<title>1970-01-01 00:00\nmanaged: 8.50 min\nserving: v3</title>"), "{svg}");
        assert!(svg.contains("<title>1970-01-02 00:00\nmanaged: –</title>"), "{svg}");
    }

    #[test]
    fn a_step_band_returns_along_its_lower_steps() {
        let point = |at_ms, low, high| BandPoint { at_ms, range: Some((low, high)) };
        let band = Band {
            shape: Shape::Step,
            points: vec![point(0, 1.0, 2.0), point(10, 3.0, 4.0)],
            ..Band::default()
        };
        let (x, y) = (Linear::new((0.0, 10.0), (0.0, 10.0)), Linear::new((0.0, 4.0), (4.0, 0.0)));
        assert_eq!(band_path(&band, &Plot { x, y, top: 0.0, bottom: 4.0 }), "M0 2H10V0V1V3H0Z");
    }

    #[test]
    fn crowded_labels_give_way_but_no_marker_is_lost_silently() {
        let marker = |i| Marker { at_ms: i, label: "promoted".into(), ..Marker::default() };
        let svg = time_chart(&TimeChart { markers: (0..300).map(marker).collect(), ..TimeChart::default() });
        assert!(svg.contains("100 more markers not drawn"));
        assert!(svg.matches(">promoted</text>").count() < 20);
    }
}
