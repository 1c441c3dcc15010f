//! Quiet hours: when nothing begins, because nobody watches, or because too much hangs on it.
//!
//! An entry is days, hours of each of them, or both, by the clock of a time zone: `22:00-06:00 Europe/Berlin`, `sat-sun`,
//! `fri 18:00-24:00 America/New_York`. Hours that reach past midnight belong to the day on which they begin.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};

use crate::{Span, Timestamp};

/// The days' names, as the week goes.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// How far ahead the end of a quiet time is looked for: two weeks, in minutes.
const HORIZON: i64 = 14 * 24 * 60;

/// One entry: these hours of these days.
#[derive(Debug, Clone)]
pub struct Quiet {
    text: String,
    /// Which days, Monday first.
    days: [bool; 7],
    /// From and to, in minutes of the day; the second may be less than the first, and is of the next day then.
    hours: (u16, u16),
    zone: TimeZone,
}

/// All entries; none, when nothing is quiet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QuietHours(Vec<Quiet>);

impl Quiet {
    fn covers(&self, moment: Timestamp) -> bool {
        let Ok(moment) = jiff::Timestamp::from_millisecond(moment.as_millis()) else { return false };
        let local = self.zone.to_datetime(moment);
        let today = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or_default();
        let minute =
            u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default();
        let on = |day: usize| self.days.get(day).copied().unwrap_or_default();
        let (from, to) = self.hours;
        if from < to {
            return on(today) && (from..to).contains(&minute);
        }
        (on(today) && minute >= from) || (on((today + 6) % 7) && minute < to)
    }
}

impl QuietHours {
    /// Whether nothing is ever quiet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nothing may begin at `moment`.
    pub fn covers(&self, moment: Timestamp) -> bool {
        self.0.iter().any(|quiet| quiet.covers(moment))
    }

    /// When the quiet around `moment` ends, to the minute; none when it is not quiet, or ends not within two weeks.
    pub fn end(&self, moment: Timestamp) -> Option<Timestamp> {
        if !self.covers(moment) {
            return None;
        }
        let minute = Span::minutes(1).as_millis();
        let begun = moment.as_millis().div_euclid(minute);
        let mut later =
            (1..=HORIZON).map(|ahead| Timestamp::from_millis((begun + ahead).saturating_mul(minute)));
        later.find(|moment| !self.covers(*moment))
    }

    /// Whether it never ends.
    pub fn is_always(&self) -> bool {
        let some_day = Timestamp::from_millis(0);
        self.covers(some_day) && self.end(some_day).is_none()
    }
}

impl From<Vec<Quiet>> for QuietHours {
    fn from(entries: Vec<Quiet>) -> Self {
        Self(entries)
    }
}

impl PartialEq for Quiet {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Quiet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "`{text}` is no quiet time{why} (expected days, hours or both, and a time zone: 22:00-06:00 Europe/Berlin, \
                 sat-sun, fri 18:00-24:00 UTC)"
            )
        };
        let (mut days, mut hours, mut zone) = (None, None, None);
        for word in text.split_whitespace() {
            if zone.is_some() {
                return Err(wrong(": nothing comes after the zone"));
            } else if let (Some(found), None, None) = (hours_of(word), hours, &zone) {
                hours = Some(found);
            } else if let (Some(found), None, None) = (days_of(word), days, hours) {
                days = Some(found);
            } else {
                zone = Some(TimeZone::get(word).map_err(|_| wrong(&format!(": `{word}` is no time zone")))?);
            }
        }
        if days.is_none() && hours.is_none() {
            return Err(wrong(""));
        }
        Ok(Self {
            text: text.to_owned(),
            days: days.unwrap_or([true; 7]),
            hours: hours.unwrap_or((0, DAY)),
            zone: zone.unwrap_or(TimeZone::UTC),
        })
    }
}

/// `22:00-06:00`, in minutes of the day.
fn hours_of(word: &str) -> Option<(u16, u16)> {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        (minute < 60 && hour * 60 + minute <= DAY).then_some(hour * 60 + minute)
    };
    let (from, to) = word.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from < DAY && from != to).then_some((from, to))
}

/// `sat`, `sat-sun`, `mon,wed`: which days, Monday first.
fn days_of(word: &str) -> Option<[bool; 7]> {
    let day = |text: &str| DAYS.iter().position(|name| name.eq_ignore_ascii_case(text));
    let mut days = [false; 7];
    for part in word.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (day(from)?, day(to)?);
        let length = (to + 7 - from) % 7;
        for named in from..=from + length {
            if let Some(named) = days.get_mut(named % 7) {
                *named = true;
            }
        }
    }
    Some(days)
}

impl<'de> Deserialize<'de> for Quiet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for QuietHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(entries: &[&str]) -> QuietHours {
        QuietHours(entries.iter().map(|entry| entry.parse().unwrap()).collect())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_night_is_quiet_by_the_clock_of_its_zone_and_ends_on_the_minute() {
        let nights = quiet(&["22:00-06:00 Europe/Berlin"]);
        // 22:00 in Berlin is 20:00 UTC in summer and 21:00 UTC in winter.
        assert!(!nights.covers(at("2026-07-01T19:59:59Z")) && nights.covers(at("2026-07-01T20:00:00Z")));
        assert!(!nights.covers(at("2026-12-01T20:59:59Z")) && nights.covers(at("2026-12-01T21:00:00Z")));
        assert_eq!(nights.end(at("2026-07-01T20:00:30Z")), Some(at("2026-07-02T04:00:00Z")));
        assert_eq!(nights.end(at("2026-07-01T12:00:00Z")), None);
    }

    #[test]
    fn hours_past_midnight_belong_to_the_day_on_which_they_begin_and_neighbours_end_together() {
        let friday = quiet(&["fri 22:00-06:00"]);
        // 2026-11-27 is a Friday.
        assert!(friday.covers(at("2026-11-28T05:00:00Z")));
        assert!(!friday.covers(at("2026-11-27T05:00:00Z")));
        let weekend = quiet(&["fri 22:00-06:00", "sat-sun"]);
        assert_eq!(weekend.end(at("2026-11-27T23:00:00Z")), Some(at("2026-11-30T00:00:00Z")));
        assert!(quiet(&["sun-mon"]).covers(at("2026-11-30T12:00:00Z")));
    }

    #[test]
    fn a_quiet_without_an_end_is_told_from_a_long_one() {
        assert!(quiet(&["mon-sun"]).is_always());
        assert!(quiet(&["00:00-12:00", "12:00-24:00"]).is_always());
        assert!(!quiet(&["mon-sat", "sun 00:00-23:59"]).is_always());
        assert!(!quiet(&[]).is_always());
    }

    #[test]
    fn what_is_no_quiet_time_says_what_one_looks_like() {
        for text in ["", "night", "22-6", "25:00-06:00", "22:00-22:00", "sat Mars/Base", "UTC", "sat UTC sun"]
        {
            let told = text.parse::<Quiet>().unwrap_err();
            assert!(told.contains("22:00-06:00 Europe/Berlin"), "{text}: {told}");
        }
    }
}
