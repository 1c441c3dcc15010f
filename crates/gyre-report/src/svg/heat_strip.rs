//! How far each column has drifted, window by window: rows of cells, darker where the statistic is nearer to, or beyond,
//! the limit at which an alarm is raised. Cells beyond it carry a mark besides their colour.

use maud::{Markup, html};

use super::{
    GUTTER, LegendEntry, MARGIN, WIDTH, frame, legend, nothing, px,
    scale::{Linear, drawable},
    time_axis,
};
use crate::format::{date, ellipsis, number};

const ROW: f64 = 20.0;
/// More windows than this are joined; a joined cell shows the highest value of its windows.
const MOST_WINDOWS: usize = 400;

/// The period that one column of cells stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatWindow {
    /// Start, UTC milliseconds.
    pub from_ms: i64,
    /// End, UTC milliseconds.
    pub to_ms: i64,
}

/// One row of cells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatRow {
    /// Written at the left.
    pub name: String,
    /// The value from which on it is an alarm; must be positive, otherwise no cell of the row is coloured.
    pub limit: f64,
    /// One value a window; `None` (or fewer values than windows) where it is undefined.
    pub values: Vec<Option<f64>>,
}

/// A strip of cells, rows × windows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatStrip {
    /// Accessible name.
    pub title: String,
    /// Accessible description.
    pub description: String,
    /// Name of the statistic on hover ("PSI").
    pub statistic: String,
    /// First and last moment of the axis (UTC milliseconds); taken from the windows if not given.
    pub domain_ms: Option<(i64, i64)>,
    /// The columns, in time order.
    pub windows: Vec<HeatWindow>,
    /// The rows, top to bottom.
    pub rows: Vec<HeatRow>,
}

/// Shares of the limit at which the next colour begins; from the fourth on (1.0) it is an alarm.
const LEVELS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
const ALARM: usize = 3;

/// Draws the strip. See [`HeatStrip`].
pub fn heat_strip(strip: &HeatStrip) -> String {
    let seen = strip.windows.first().zip(strip.windows.last()).map(|(a, b)| (a.from_ms, b.to_ms));
    let Some((from_ms, to_ms)) =
        strip.domain_ms.or(seen).filter(|_| seen.is_some() && !strip.rows.is_empty())
    else {
        return nothing(WIDTH, 60.0, &strip.title, &strip.description);
    };
    let scale = Linear::new((from_ms as f64, to_ms as f64), (GUTTER, WIDTH - MARGIN));
    let (legend, legend_height) = legend(&legend_entries(), GUTTER, WIDTH - MARGIN, 4.0);
    let top = legend_height + 4.0;
    let bottom = top + strip.rows.len() as f64 * ROW;
    let group = strip.windows.len().div_ceil(MOST_WINDOWS).max(1);
    let body = html! {
        (legend)
        (time_axis(&scale, from_ms, to_ms, bottom, bottom + 4.0))
        @for (i, row) in strip.rows.iter().enumerate() {
            @let y = top + i as f64 * ROW;
            text.name x=(px(GUTTER - 12.0)) y=(px(y + 14.0)) text-anchor="end" {
                title { (row.name) }
                (ellipsis(&row.name, 15))
            }
            @for (g, windows) in strip.windows.chunks(group).enumerate() {
                @let values = row.values.iter().skip(g * group).take(group);
                @let highest = values.filter_map(|v| drawable(*v)).reduce(f64::max);
                @if let (Some(first), Some(last)) = (windows.first(), windows.last()) {
                    (cell(strip, row, (first.from_ms, last.to_ms), highest, &scale, y))
                }
            }
        }
    };
    frame(WIDTH, bottom + 24.0, &strip.title, &strip.description, &body)
}

fn cell(
    strip: &HeatStrip,
    row: &HeatRow,
    span: (i64, i64),
    value: Option<f64>,
    scale: &Linear,
    y: f64,
) -> Markup {
    let (left, right) = (scale.at_ms(span.0), scale.at_ms(span.1));
    let width = (right - left - 1.0).max(1.0);
    let level = value.and_then(|v| level(v, row.limit));
    let class = level.map_or_else(|| "none".to_owned(), |l| format!("h{l}"));
    html! {
        g.cell data-tip="" {
            title {
                (row.name) "\n" (date(span.0)) " – " (date(span.1)) "\n"
                (strip.statistic) " " (value.map_or_else(|| "undefined".to_owned(), number)) " (limit " (number(row.limit)) ")"
            }
            rect.(class) x=(px(left)) y=(px(y)) width=(px(width)) height=(px(ROW - 2.0)) rx="2" {}
            @if level.is_some_and(|l| l >= ALARM) {
                circle.mark cx=(px(left + width / 2.0)) cy=(px(y + ROW / 2.0 - 1.0)) r=(px((width / 3.0).clamp(1.0, 2.5))) {}
            }
        }
    }
}

fn level(value: f64, limit: f64) -> Option<usize> {
    (limit > 0.0).then(|| LEVELS.iter().take_while(|&&from| value / limit >= from).count())
}

fn legend_entries() -> Vec<LegendEntry> {
    let names =
        ["below ¼ of the limit", "¼ to ½", "½ to 1", "limit reached", "twice the limit", "four times"];
    let entries = names.iter().enumerate().map(|(i, name)| LegendEntry {
        swatch: html! {
            g.cell {
                rect.{ "h" (i) } x="0" y="0" width="22" height="11" rx="2" {}
                @if i >= ALARM { circle.mark cx="11" cy="5.5" r="2.5" {} }
            }
        },
        name: (*name).to_owned(),
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::tests::{HOSTILE, check};

    fn strip(values: Vec<Option<f64>>, limit: f64) -> HeatStrip {
        let windows =
            (0..values.len() as i64).map(|i| HeatWindow { from_ms: i * 1_000, to_ms: (i + 1) * 1_000 });
        HeatStrip {
            title: HOSTILE.into(),
            statistic: HOSTILE.into(),
            windows: windows.collect(),
            rows: vec![HeatRow { name: HOSTILE.into(), limit, values }],
            ..HeatStrip::default()
        }
    }

    fn marks(svg: &str) -> usize {
        // Three stand in the legend.
        svg.matches("class=\"mark\"").count() - 3
    }

    #[test]
    fn a_cell_at_its_limit_is_marked() {
        let svg = heat_strip(&strip(vec![Some(0.199), Some(0.2), Some(5.0), None, Some(f64::NAN)], 0.2));
        check(&svg);
        assert_eq!(marks(&svg), 2);
        assert_eq!(svg.matches("rect class=\"none\"").count(), 2);
        assert!(svg.contains("undefined"));
    }

    #[test]
    fn levels_count_shares_of_the_limit() {
        let levels: Vec<_> = [0.0, 0.3, 0.5, 1.0, 2.5, 9.0].iter().map(|&v| level(v, 1.0)).collect();
        assert_eq!(levels, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5)]);
        assert_eq!(level(1.0, 0.0), None);
        assert_eq!(level(1.0, f64::NAN), None);
    }

    #[test]
    fn many_windows_are_joined_and_keep_their_peak() {
        let mut values = vec![Some(0.0); 10_000];
        values[4_321] = Some(9.0);
        let svg = heat_strip(&strip(values, 1.0));
        assert!(svg.matches("<g class=\"cell\"").count() <= MOST_WINDOWS + 6);
        assert_eq!(marks(&svg), 1);
    }

    #[test]
    fn empty_says_so() {
        assert!(heat_strip(&HeatStrip::default()).contains("No data yet"));
        assert!(heat_strip(&strip(vec![], 1.0)).contains("No data yet"));
    }
}
