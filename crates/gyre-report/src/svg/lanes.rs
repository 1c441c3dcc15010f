//! Horizontal lanes of spans and instants: which version served when, and what happened at which moment. Drawn beneath a
//! time chart on the same axis, or alone as a [`timeline`].

use maud::{Markup, html};

use super::{GUTTER, MARGIN, WIDTH, colour_class, frame, nothing, px, scale::Linear, text_width, time_axis};
use crate::{
    Tone,
    format::{ellipsis, minute},
};

/// Height of one lane with its distance to the next.
pub(super) const LANE: f64 = 30.0;
/// More marks than this in one lane would be a solid bar.
const MOST_MARKS: usize = 500;

/// A stretch of time with a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// Start, UTC milliseconds.
    pub from_ms: i64,
    /// End, UTC milliseconds.
    pub to_ms: i64,
    /// Written into the span if it fits.
    pub label: String,
    /// Shown on hover beneath the label.
    pub detail: String,
    /// Number of the categorical colour.
    pub colour: usize,
}

/// Something that happened at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instant {
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// What, in a few words.
    pub label: String,
    /// Shown on hover beneath the label.
    pub detail: String,
    /// Colour and shape.
    pub tone: Tone,
}

/// One row of spans and instants.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lane {
    /// Written at the left.
    pub name: String,
    /// Drawn as bars.
    pub spans: Vec<Span>,
    /// Drawn as small shapes, over the bars.
    pub instants: Vec<Instant>,
}

impl Lane {
    /// The span that a moment falls into; the later one, if two overlap.
    pub(super) fn span_at(&self, at_ms: i64) -> Option<&Span> {
        self.spans.iter().rev().find(|s| s.from_ms <= at_ms && at_ms < s.to_ms)
    }

    pub(super) fn moments(&self) -> impl Iterator<Item = i64> {
        self.spans.iter().flat_map(|s| [s.from_ms, s.to_ms]).chain(self.instants.iter().map(|i| i.at_ms))
    }
}

/// Lanes alone, with their own axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Accessible name.
    pub title: String,
    /// Accessible description: what the picture says, in a sentence.
    pub description: String,
    /// The rows, top to bottom.
    pub lanes: Vec<Lane>,
}

/// Draws lanes with their own time axis.
pub fn timeline(chart: &Timeline) -> String {
    let moments = || chart.lanes.iter().flat_map(Lane::moments);
    let (Some(from_ms), Some(to_ms)) = (moments().min(), moments().max()) else {
        return nothing(WIDTH, 60.0, &chart.title, &chart.description);
    };
    let bottom = 6.0 + chart.lanes.len() as f64 * LANE;
    let scale = Linear::new((from_ms as f64, to_ms as f64), (GUTTER, WIDTH - MARGIN));
    let body = html! {
        (time_axis(&scale, from_ms, to_ms, 4.0, bottom))
        (lanes(&chart.lanes, &scale, 6.0))
    };
    frame(WIDTH, bottom + 26.0, &chart.title, &chart.description, &body)
}

/// Draws lanes from `top` on, on a given time scale.
pub(super) fn lanes(lanes: &[Lane], scale: &Linear, top: f64) -> Markup {
    html! {
        @for (i, lane) in lanes.iter().enumerate() {
            @let y = top + i as f64 * LANE;
            text.name x=(px(GUTTER - 12.0)) y=(px(y + 16.0)) text-anchor="end" { (ellipsis(&lane.name, 15)) }
            line.lane x1=(px(GUTTER)) x2=(px(WIDTH - MARGIN)) y1=(px(y + 12.0)) y2=(px(y + 12.0)) {}
            @for span in lane.spans.iter().take(MOST_MARKS) { (bar(span, scale, y)) }
            @for instant in lane.instants.iter().take(MOST_MARKS) {
                (glyph(instant, scale.at_ms(instant.at_ms), y + 12.0))
            }
            @let hidden = lane.spans.len().saturating_sub(MOST_MARKS) + lane.instants.len().saturating_sub(MOST_MARKS);
            @if hidden > 0 {
                text.tick x=(px(WIDTH - MARGIN)) y=(px(y + 28.0)) text-anchor="end" { (hidden) " more not drawn" }
            }
        }
    }
}

fn bar(span: &Span, scale: &Linear, y: f64) -> Markup {
    let (left, right) = (scale.at_ms(span.from_ms), scale.at_ms(span.to_ms));
    // A short reign is still to be seen, and to be hit with a pointer.
    let width = (right - left - 1.0).max(2.0);
    let fits = ((width - 10.0) / text_width("0")).floor().max(0.0) as usize;
    let label = if span.label.chars().count() <= fits { Some(span.label.as_str()) } else { None };
    html! {
        g.span.(colour_class(span.colour)) data-tip="" {
            title { (span.label) "\n" (minute(span.from_ms)) " – " (minute(span.to_ms)) @if !span.detail.is_empty() { "\n" (span.detail) } }
            rect x=(px(left)) y=(px(y)) width=(px(width)) height="24" rx="3" {}
            rect.edge x=(px(left)) y=(px(y)) width=(px(width.min(3.0))) height="24" rx="1" {}
            @if let Some(label) = label { text x=(px(left + width / 2.0 + 1.0)) y=(px(y + 16.0)) text-anchor="middle" { (label) } }
        }
    }
}

/// A small shape: each tone its own, so that colour is not alone.
fn glyph(instant: &Instant, x: f64, y: f64) -> Markup {
    html! {
        g.glyph.(instant.tone.class()) transform={ "translate(" (px(x)) " " (px(y)) ")" } data-tip="" {
            title { (instant.label) "\n" (minute(instant.at_ms)) @if !instant.detail.is_empty() { "\n" (instant.detail) } }
            (glyph_shape(instant.tone))
        }
    }
}

pub(super) fn glyph_shape(tone: Tone) -> Markup {
    let path = match tone {
        Tone::Ok => "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
        Tone::Warn => "M0 -6L6 5L-6 5Z",
        Tone::Bad => "M-6 -3.5L-3.5 -6L0 -2.5L3.5 -6L6 -3.5L2.5 0L6 3.5L3.5 6L0 2.5L-3.5 6L-6 3.5L-2.5 0Z",
        Tone::Info => "M0 -6L6 0L0 6L-6 0Z",
        Tone::Neutral => "M-4 -4L4 -4L4 4L-4 4Z",
    };
    html! { path d=(path) {} }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::{HOSTILE, check};

    fn one(from_ms: i64, to_ms: i64) -> Timeline {
        let span = Span { from_ms, to_ms, label: HOSTILE.into(), detail: HOSTILE.into(), colour: 99 };
        let instant =
            Instant { at_ms: to_ms, label: HOSTILE.into(), detail: HOSTILE.into(), tone: Tone::Bad };
        Timeline {
            title: HOSTILE.into(),
            description: HOSTILE.into(),
            lanes: vec![Lane { name: HOSTILE.into(), spans: vec![span], instants: vec![instant] }],
        }
    }

    #[test]
    fn hostile_names_and_odd_times_are_drawn_as_text() {
        for (from, to) in [(0, 1_000_000), (5, 5), (i64::MIN, i64::MAX), (9, 3)] {
            check(&timeline(&one(from, to)));
        }
    }

    #[test]
    fn empty_says_so() {
        assert!(timeline(&Timeline::default()).contains("No data yet"));
    }

    #[test]
    fn what_is_not_drawn_is_counted() {
        let spans = (0..700).map(|i| Span { from_ms: i, to_ms: i + 1, ..Span::default() }).collect();
        let chart = Timeline { lanes: vec![Lane { spans, ..Lane::default() }], ..Timeline::default() };
        assert!(timeline(&chart).contains("200 more not drawn"));
    }
}
