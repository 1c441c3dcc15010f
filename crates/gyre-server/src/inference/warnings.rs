//! How callers are told of odd values in what they sent: a header of the answer, and over gRPC a parameter.
//!
//! A list of strings with parameters, as structured fields are written (RFC 9651):
//! `"distance";odd=out_of_range;rows=3;first=0, "carrier";odd=unseen;rows=1;first=7;imputed`. `first` is the first such row,
//! counted from 0. Features that find no room are counted at the end, under no name: `"";more=12`.

use std::fmt::Write as _;

use gyre_gateway::Oddity;

/// The header, and the parameter.
pub(super) const WARNINGS: &str = "gyre-feature-warnings";

/// The longest that the list becomes, in bytes, before the rest is counted.
const LONGEST: usize = 1_024;
/// Bytes of a feature's name that are shown.
const NAME: usize = 120;

/// What is told of `odd`; nothing when nothing is.
pub(super) fn warnings(odd: &[Oddity]) -> Option<String> {
    let mut told = String::new();
    for (at, one) in odd.iter().enumerate() {
        let before = told.len();
        if at > 0 {
            told.push_str(", ");
        }
        told.push('"');
        name(&one.feature, &mut told);
        // Writing into a string cannot fail.
        let _ = write!(told, "\";odd={};rows={};first={}", one.odd.name(), one.rows, one.first);
        if one.imputed {
            told.push_str(";imputed");
        }
        if told.len() > LONGEST {
            told.truncate(before);
            let separator = if at > 0 { ", " } else { "" };
            let _ = write!(told, "{separator}\"\";more={}", odd.len() - at);
            break;
        }
    }
    (!told.is_empty()).then_some(told)
}

/// A name as a header can bear it: what is not plain is written `%XX`, byte by byte.
fn name(name: &str, told: &mut String) {
    for byte in name.bytes().take(NAME) {
        match byte {
            b'"' | b'\\' | b'%' => drop(write!(told, "%{byte:02X}")),
            b' '..=b'~' => told.push(char::from(byte)),
            _ => drop(write!(told, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::spec::Odd;

    fn odd(feature: &str, odd: Odd, imputed: bool) -> Oddity {
        Oddity { version: 1, feature: feature.into(), odd, imputed, rows: 3, first: 0 }
    }

    #[test]
    fn odd_values_are_told_in_what_a_header_can_bear() {
        assert_eq!(warnings(&[]), None);
        let two = [odd("distance", Odd::OutOfRange, false), odd("Ort \"x\" ü", Odd::Unseen, true)];
        let told = warnings(&two).unwrap();
        assert_eq!(
            told,
            "\"distance\";odd=out_of_range;rows=3;first=0, \"Ort %22x%22 %C3%BC\";odd=unseen;rows=3;first=0;imputed"
        );
        assert!(axum::http::HeaderValue::try_from(told).is_ok());
    }

    #[test]
    fn many_are_counted_where_there_is_no_room() {
        let many: Vec<Oddity> =
            (0..500).map(|at| odd(&format!("feature-{at}"), Odd::Missing, false)).collect();
        let told = warnings(&many).unwrap();
        assert!(told.len() < LONGEST + 40, "{}", told.len());
        let shown = told.matches("odd=").count();
        assert!(told.ends_with(&format!(", \"\";more={}", 500 - shown)), "{told}");
        let long = warnings(&[odd(&"x".repeat(100_000), Odd::Missing, false)]).unwrap();
        assert!(long.len() < 200, "{}", long.len());
    }
}
