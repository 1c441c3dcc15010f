//! Ticks for a time axis: moments that people name (midnights, Mondays, firsts of the month), in UTC.

use jiff::{ToSpan, Zoned, civil, tz::TimeZone};

use crate::format::utc;

/// A named moment on a time axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimeTick {
    pub(crate) at_ms: i64,
    pub(crate) label: String,
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 1970-01-05, the first Monday of the epoch: weeks are counted from it.
const FIRST_MONDAY: i64 = 4 * DAY;

const EVEN_STEPS: [i64; 17] = [
    SECOND,
    5 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
];
const MONTH_STEPS: [i32; 12] = [1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1_200, 12_000];

/// Named moments within `[from_ms, to_ms]`, at most `most`. Empty if the interval is empty, shorter than a second, or
/// outside of the calendar.
pub(crate) fn time_ticks(from_ms: i64, to_ms: i64, most: usize) -> Vec<TimeTick> {
    let (Some(from), Some(to)) = (utc(from_ms), utc(to_ms)) else { return Vec::new() };
    let span = to_ms - from_ms;
    let most_ms = most.max(1) as i64;
    if span < SECOND {
        return Vec::new();
    }
    // From ten weeks on, months read better than weeks.
    if span < 70 * DAY
        && let Some(&step) = EVEN_STEPS.iter().find(|&&step| span / step < most_ms)
    {
        return even_ticks(from_ms, to_ms, step);
    }
    let months = 12 * i32::from(to.year() - from.year()) + i32::from(to.month()) - i32::from(from.month());
    let step =
        MONTH_STEPS.iter().copied().find(|&step| i64::from(months / step) < most_ms).unwrap_or(120_000);
    month_ticks(&from, to_ms, step, most)
}

fn even_ticks(from_ms: i64, to_ms: i64, step: i64) -> Vec<TimeTick> {
    let origin = if step > DAY { FIRST_MONDAY } else { 0 };
    let first = origin + (from_ms - origin).div_euclid(step) * step;
    let first = if first < from_ms { first + step } else { first };
    let mut ticks = Vec::new();
    let mut at_ms = first;
    while at_ms <= to_ms {
        let pattern = match step {
            s if s < MINUTE => "%H:%M:%S",
            s if s < DAY && at_ms.rem_euclid(DAY) != 0 => "%H:%M",
            _ => "%-d %b",
        };
        if let Some(moment) = utc(at_ms) {
            ticks.push(TimeTick { at_ms, label: moment.strftime(pattern).to_string() });
        }
        at_ms += step;
    }
    ticks
}

fn month_ticks(from: &Zoned, to_ms: i64, step: i32, most: usize) -> Vec<TimeTick> {
    let year = i32::from(from.year());
    let offset = (i32::from(from.month()) - 1).div_euclid(step.min(12)) * step.min(12);
    let first_year = if step > 12 { year.div_euclid(step / 12) * (step / 12) } else { year };
    let Ok(start) = civil::Date::new(first_year.clamp(-9_999, 9_999) as i16, (offset % 12 + 1) as i8, 1)
    else {
        return Vec::new();
    };
    let from_ms = from.timestamp().as_millisecond();
    let mut ticks = Vec::new();
    // Two more than asked for: the first may lie before the interval, the last after it.
    for i in 0..(most as i32 + 2) {
        let Ok(date) = start.checked_add((i * step).months()) else { break };
        let Ok(moment) = date.to_zoned(TimeZone::UTC) else { break };
        let at_ms = moment.timestamp().as_millisecond();
        if at_ms > to_ms {
            break;
        }
        if at_ms >= from_ms {
            let pattern = match step {
                s if s >= 12 => "%Y",
                _ if ticks.is_empty() || date.month() == 1 => "%b %Y",
                _ => "%b",
            };
            ticks.push(TimeTick { at_ms, label: moment.strftime(pattern).to_string() });
        }
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARCH_2013: i64 = 1_362_096_000_000;

    fn labels(from_ms: i64, to_ms: i64) -> Vec<String> {
        time_ticks(from_ms, to_ms, 12).into_iter().map(|t| t.label).collect()
    }

    #[test]
    fn a_year_is_told_in_months() {
        assert_eq!(
            labels(MARCH_2013, MARCH_2013 + 300 * DAY),
            ["Mar 2013", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        );
    }

    #[test]
    fn shorter_spans_get_days_and_hours() {
        assert_eq!(labels(MARCH_2013, MARCH_2013 + 2 * DAY).first().unwrap(), "1 Mar");
        assert_eq!(labels(MARCH_2013 + 1, MARCH_2013 + 8 * HOUR).first().unwrap(), "01:00");
        assert_eq!(
            labels(MARCH_2013, MARCH_2013 + 40 * DAY),
            ["4 Mar", "11 Mar", "18 Mar", "25 Mar", "1 Apr", "8 Apr"]
        );
    }

    #[test]
    fn centuries_get_years() {
        let ticks = labels(0, 40 * 365 * DAY);
        assert_eq!(ticks.first().unwrap(), "1970");
        assert!(ticks.len() <= 13, "{ticks:?}");
    }

    #[test]
    fn no_tick_where_there_is_no_calendar() {
        assert!(time_ticks(i64::MIN, i64::MAX, 12).is_empty());
        assert!(time_ticks(5, 5, 12).is_empty());
        assert!(time_ticks(9, 5, 12).is_empty());
    }
}
