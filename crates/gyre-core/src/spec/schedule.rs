//! Moments of the calendar: a cron expression with its time zone.

use std::fmt;
use std::str::FromStr;

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};

use crate::Timestamp;

/// Nothing is planned after the year 9890: calendars end soon after.
const LAST: Timestamp = Timestamp::from_millis(250_000_000_000_000);

/// When something is done again and again: `minute hour day-of-month month day-of-week [zone]`, the zone by its IANA name; UTC
/// where none is given.
///
/// An hour that the zone's clocks skip in spring is made up for when they have jumped, and one that they show twice in autumn
/// counts once: see `cronexpr`, which reads and walks the expression.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    table: Crontab,
}

impl Schedule {
    /// The first moment after `moment`; none where there is none, as of a 30 February.
    pub fn next(&self, moment: Timestamp) -> Option<Timestamp> {
        if moment > LAST {
            return None;
        }
        let from = MakeTimestamp::from_millisecond(moment.as_millis()).ok()?;
        let next = self.table.find_next(from).ok()?;
        Some(Timestamp::from_millis(next.timestamp().as_millisecond()))
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let wrong = |why: &str| {
            format!(
                "`{text}` is no schedule{why} (expected minute, hour, day of month, month, day of week, and a time zone: \
                 0 3 * * mon Europe/Berlin)"
            )
        };
        let table = parse_crontab_with(text, options).map_err(|_| wrong(""))?;
        let schedule = Self { text: text.to_owned(), table };
        match schedule.next(Timestamp::from_millis(0)) {
            Some(_) => Ok(schedule),
            None => Err(wrong(": there is no such day")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, moment: &str) -> String {
        let schedule: Schedule = schedule.parse().unwrap();
        schedule.next(moment.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_clock_of_the_zone_decides_in_summer_and_in_winter() {
        let monday = "0 3 * * mon Europe/Berlin";
        assert_eq!(next(monday, "2026-07-01T00:00:00Z"), "2026-07-06T01:00:00Z");
        assert_eq!(next(monday, "2026-12-01T00:00:00Z"), "2026-12-07T02:00:00Z");
        assert_eq!(
            next(monday, "2026-12-07T02:00:00Z"),
            "2026-12-14T02:00:00Z",
            "later than the moment itself"
        );
        assert_eq!(
            next("30 4 1 * *", "2026-12-07T02:00:00Z"),
            "2027-01-01T04:30:00Z",
            "UTC where no zone is said"
        );
    }

    #[test]
    fn a_night_on_which_the_hour_is_skipped_is_not_left_out_for_ever() {
        // 02:30 is skipped in Berlin on 2026-03-29.
        let fires = next("30 2 * * * Europe/Berlin", "2026-03-28T12:00:00Z");
        assert!(("2026-03-29T00:30:00Z"..="2026-03-30T00:30:00Z").contains(&fires.as_str()), "{fires}");
    }

    #[test]
    fn what_is_no_schedule_says_what_one_looks_like() {
        for text in ["", "daily", "0 25 * * *", "0 3 * * mon Europe/Nowhere", "0 3 30 2 *", "* * *"] {
            let told = text.parse::<Schedule>().unwrap_err();
            assert!(told.contains("0 3 * * mon Europe/Berlin"), "{text}: {told}");
        }
    }
}
