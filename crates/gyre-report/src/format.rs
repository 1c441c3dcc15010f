//! Numbers, times and digests as people read them. Kept in one place so that a figure looks the same in a chart, a
//! table and a tooltip. All times are UTC: reports travel between people.

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// What stands where a figure is undefined. Undefined is never zero.
pub const UNDEFINED: &str = "–";

/// A number with about three significant digits: `8.57`, `104.2`, `12,345`, `0.0031`, `1.2e300`.
/// NaN and infinities give [`UNDEFINED`].
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        UNDEFINED.to_owned()
    } else if size == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e9).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 1_000.0 {
        let whole = count(size.round() as u64);
        if value < 0.0 { format!("-{whole}") } else { whole }
    } else {
        let decimals = match size {
            s if s >= 100.0 => 1,
            s if s >= 0.1 => 2,
            s if s >= 0.01 => 3,
            _ => 4,
        };
        format!("{value:.decimals$}")
    }
}

/// A figure with its unit (`8.57 min`), or [`UNDEFINED`].
pub fn measure(value: Option<f64>, unit: &str) -> String {
    match value.filter(|v| v.is_finite()) {
        Some(v) if unit.is_empty() => number(v),
        Some(v) => format!("{} {unit}", number(v)),
        None => UNDEFINED.to_owned(),
    }
}

/// A share as a percentage with one decimal (`12.5 %`), or [`UNDEFINED`].
pub fn percent(share: Option<f64>) -> String {
    match share.filter(|v| v.is_finite()) {
        Some(v) => format!("{:.1} %", v * 100.0),
        None => UNDEFINED.to_owned(),
    }
}

/// A count with thousands separated: `336,776`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The day of a moment in UTC milliseconds since 1970: `2013-06-03`.
pub fn date(at_ms: i64) -> String {
    strftime(at_ms, "%Y-%m-%d")
}

/// The day as headings have it: `3 Jun 2013`.
pub fn day(at_ms: i64) -> String {
    strftime(at_ms, "%-d %b %Y")
}

/// The minute of a moment: `2013-06-03 14:05`. UTC, said once on the page rather than in every row.
pub fn minute(at_ms: i64) -> String {
    strftime(at_ms, "%Y-%m-%d %H:%M")
}

/// The head of a digest, enough to recognise it: the first twelve characters, with any `algorithm:` prefix dropped.
pub fn short_digest(digest: &str) -> String {
    let body = digest.split_once(':').map_or(digest, |(_, body)| body);
    body.chars().take(12).collect()
}

/// Cuts a text to `max` characters, the last one an ellipsis if anything was cut.
pub fn ellipsis(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// The moment on the UTC calendar; `None` outside of the years that the calendar covers (-9999 to 9999).
pub(crate) fn utc(at_ms: i64) -> Option<Zoned> {
    Timestamp::from_millisecond(at_ms).ok().map(|t| t.to_zoned(TimeZone::UTC))
}

fn strftime(at_ms: i64, pattern: &str) -> String {
    match utc(at_ms) {
        Some(moment) => moment.strftime(pattern).to_string(),
        None => format!("{at_ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_about_three_digits() {
        let cases = [
            (0.0, "0"),
            (8.567, "8.57"),
            (-0.034_56, "-0.035"),
            (0.003_14, "0.0031"),
            (104.23, "104.2"),
            (12_345.4, "12,345"),
            (-12_345.4, "-12,345"),
            (1e300, "1.00e300"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn undefined_is_not_zero() {
        assert_eq!(measure(None, "min"), "–");
        assert_eq!(measure(Some(f64::NAN), "min"), "–");
        assert_eq!(measure(Some(0.0), "min"), "0 min");
        assert_eq!(percent(None), "–");
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(336_776), "336,776");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn times_are_utc_and_never_panic() {
        assert_eq!(date(1_370_217_600_000), "2013-06-03");
        assert_eq!(day(1_370_217_600_000), "3 Jun 2013");
        assert_eq!(minute(1_370_268_300_000), "2013-06-03 14:05");
        assert_eq!(date(i64::MAX), "9223372036854775807 ms");
    }

    #[test]
    fn digests_lose_prefix_and_tail() {
        assert_eq!(short_digest("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_digest("ab"), "ab");
        assert_eq!(ellipsis("carrier", 4), "car…");
        assert_eq!(ellipsis("äöü", 3), "äöü");
    }
}
