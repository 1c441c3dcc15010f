//! The furniture of reports and control room pages: cards, badges, tables, timelines. Each is a function from text to
//! markup; everything that comes in is escaped, unless it is markup already.

use maud::{Markup, PreEscaped, Render, html};

use crate::{
    Tone,
    format::{UNDEFINED, count, minute, number, short_digest},
};

/// A headline figure: what it is, the figure (text, or markup such as that of [`figure`]), and a line beneath that
/// explains it (may be empty). Belongs into [`stats`].
pub fn stat_card(label: &str, value: impl Render, detail: &str, tone: Tone) -> Markup {
    html! {
        div.stat.(tone.class()) {
            dt { (label) }
            dd.value { (value) }
            @if !detail.is_empty() { dd.detail { (detail) } }
        }
    }
}

/// A figure with its unit set small, or the sign for undefined.
pub fn figure(value: Option<f64>, unit: &str) -> Markup {
    match value.filter(|v| v.is_finite()) {
        Some(v) if unit.is_empty() => html! { (number(v)) },
        Some(v) => html! { (number(v)) " " small { (unit) } },
        None => html! { (UNDEFINED) },
    }
}

/// A row of [`stat_card`]s that wraps on narrow screens.
pub fn stats(cards: &[Markup]) -> Markup {
    html! { dl.stats { @for card in cards { (card) } } }
}

/// A word with a colour and a sign.
pub fn badge(tone: Tone, text: &str) -> Markup {
    html! { span.badge.(tone.class()) { i aria-hidden="true" { (tone.sign()) } (text) } }
}

/// A digest, shortened to what the eye compares; the whole of it on hover.
pub fn digest(digest: &str) -> Markup {
    html! { code title=(digest) { (short_digest(digest)) } }
}

/// A drawn chart (the output of a function of [`crate::svg`]) as a figure.
pub fn chart(svg: String) -> Markup {
    html! { figure { (PreEscaped(svg)) } }
}

/// A titled card. `intro` is a sentence on how to read it (may be empty).
pub fn card(title: &str, intro: &str, body: Markup) -> Markup {
    html! {
        section.card.long {
            header { h2 { (title) } @if !intro.is_empty() { p { (intro) } } }
            (body)
        }
    }
}

/// How a column of a [`table`] is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Align {
    /// Text, from the left.
    #[default]
    Text,
    /// Figures, to the right.
    Number,
    /// Text that is as narrow as it can be and never wraps.
    Tight,
}

impl Align {
    const fn class(self) -> &'static str {
        match self {
            Align::Text => "text",
            Align::Number => "num",
            Align::Tight => "tight",
        }
    }
}

/// A table with a header row. Rows shorter than the header leave their last cells empty; cells beyond it are dropped.
/// Without rows, `empty` is said instead.
pub fn table(columns: &[(&str, Align)], rows: &[Vec<Markup>], empty: &str) -> Markup {
    if rows.is_empty() {
        return html! { p.note { (empty) } };
    }
    html! {
        div.scroll {
            table {
                thead { tr { @for (name, align) in columns { th.(align.class()) scope="col" { (name) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (i, (_, align)) in columns.iter().enumerate() {
                                td.(align.class()) { @if let Some(cell) = row.get(i) { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One entry of a timeline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimelineItem {
    /// When, UTC milliseconds.
    pub at_ms: i64,
    /// What kind of news it is: the word on the badge, and what the filter chips select by.
    pub kind: String,
    /// How the news is meant.
    pub tone: Tone,
    /// What happened, in a few words.
    pub title: String,
    /// Why, with the numbers that it was decided on. Line breaks are kept.
    pub reason: String,
    /// Sequence number of the journal entry that proves it.
    pub seq: Option<u64>,
}

/// One entry of a timeline, as a list item. See [`timeline`].
pub fn timeline_item(item: &TimelineItem) -> Markup {
    html! {
        li data-kind=(item.kind) {
            time { (minute(item.at_ms)) }
            span.rail.(item.tone.class()) aria-hidden="true" {}
            div.what {
                h3 {
                    (badge(item.tone, &item.kind))
                    span { (item.title) }
                    @if let Some(seq) = item.seq { span.seq title="journal entry" { "#" (seq) } }
                }
                @if !item.reason.is_empty() { p { (item.reason) } }
            }
        }
    }
}

/// A timeline with filter chips, one a kind, in order of first appearance. The chips appear only where the page's
/// script runs; without it, everything is shown.
pub fn timeline(items: &[TimelineItem], empty: &str) -> Markup {
    if items.is_empty() {
        return html! { p.note { (empty) } };
    }
    let mut kinds: Vec<(&str, u64)> = Vec::new();
    for item in items {
        match kinds.iter_mut().find(|(kind, _)| *kind == item.kind) {
            Some((_, n)) => *n += 1,
            None => kinds.push((&item.kind, 1)),
        }
    }
    html! {
        div {
            div.chips hidden role="group" aria-label="Filter by kind" {
                button.chip type="button" data-kind="" aria-pressed="true" { "everything " span { (items.len()) } }
                @for (kind, n) in &kinds {
                    button.chip type="button" data-kind=(kind) aria-pressed="false" { (kind) " " span { (count(*n)) } }
                }
            }
            ol.timeline { @for item in items { (timeline_item(item)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\" onmouseover=\"x";

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let item = TimelineItem {
            kind: HOSTILE.into(),
            title: HOSTILE.into(),
            reason: HOSTILE.into(),
            ..Default::default()
        };
        let parts = [
            stat_card(HOSTILE, HOSTILE, HOSTILE, Tone::Ok),
            figure(Some(1.0), HOSTILE),
            badge(Tone::Bad, HOSTILE),
            digest(HOSTILE),
            card(HOSTILE, HOSTILE, html! { (HOSTILE) }),
            table(&[(HOSTILE, Align::Text)], &[vec![html! { (HOSTILE) }]], ""),
            table(&[], &[], HOSTILE),
            timeline(&[item], ""),
            timeline(&[], HOSTILE),
        ];
        for part in parts {
            let text = part.into_string();
            assert!(!text.contains("<script") && !text.contains("\" onmouseover"), "{text}");
        }
    }

    #[test]
    fn chips_count_their_kinds() {
        let item = |kind: &str| TimelineItem { kind: kind.into(), ..Default::default() };
        let text = timeline(&[item("alarm"), item("recall"), item("alarm")], "").into_string();
        assert!(text.contains(r#"data-kind="alarm" aria-pressed="false">alarm <span>2</span>"#), "{text}");
        assert_eq!(text.matches("<li ").count(), 3);
    }

    #[test]
    fn ragged_rows_fit_the_header() {
        let columns = [("a", Align::Text), ("b", Align::Number)];
        let rows = [vec![html! { "1" }], vec![html! { "1" }, html! { "2" }, html! { "3" }]];
        let text = table(&columns, &rows, "").into_string();
        assert_eq!(text.matches("<td").count(), 4);
        assert!(!text.contains('3'));
    }
}
