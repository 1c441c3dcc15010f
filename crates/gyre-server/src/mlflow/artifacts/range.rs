//! Which bytes of a file a client wants (RFC 9110, §13 and §14). Pure.

use axum::http::{HeaderMap, header};
use gyre_core::Digest;

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// The bytes from the first to before the second.
    Part(u64, u64),
    /// Nothing: the client has it already.
    Nothing,
    /// A range that the file does not have.
    Beyond,
}

/// The name of the bytes, as a strong entity tag.
pub(super) fn entity_tag(digest: &Digest) -> String {
    format!("\"sha256-{digest}\"")
}

/// What the headers of a request want of a file of `size` bytes with the entity tag `tag`.
pub(super) fn wanted(headers: &HeaderMap, tag: &str, size: u64) -> Wanted {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|known| names(known, tag)) {
        return Wanted::Nothing;
    }
    // A range of another version of the file would not fit what the client has.
    let unchanged = text(header::IF_RANGE).is_none_or(|known| known.trim() == tag);
    match text(header::RANGE).filter(|_| unchanged) {
        None => Wanted::Whole,
        Some(range) => part(range, size),
    }
}

fn names(known: &str, tag: &str) -> bool {
    known.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}

/// A range that cannot be understood, or more than one, is answered with the whole.
fn part(range: &str, size: u64) -> Wanted {
    let Some((first, last)) = range.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let number = |text: &str| -> Option<u64> {
        let text = text.trim();
        text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let bounds = match (first.trim(), last.trim()) {
        ("", last) => number(last).map(|last| (size.saturating_sub(last), size)),
        (first, "") => number(first).map(|first| (first, size)),
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Some((first, last.saturating_add(1).min(size))),
            _ => None,
        },
    };
    match bounds {
        None => Wanted::Whole,
        Some((from, to)) if from < to => Wanted::Part(from, to),
        Some(_) => Wanted::Beyond,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &'static str)]) -> Wanted {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        wanted(&headers, "\"sha256-1\"", 10)
    }

    #[test]
    fn ranges_are_those_of_the_standard() {
        for (range, expected) in [
            ("bytes=0-0", Wanted::Part(0, 1)),
            ("bytes=2-5", Wanted::Part(2, 6)),
            ("bytes=2-", Wanted::Part(2, 10)),
            ("bytes=-3", Wanted::Part(7, 10)),
            ("bytes=-99", Wanted::Part(0, 10)),
            ("bytes=9-18446744073709551615", Wanted::Part(9, 10)),
            ("bytes=10-", Wanted::Beyond),
            ("bytes=-0", Wanted::Beyond),
            ("bytes=12-14", Wanted::Beyond),
            ("bytes=5-2", Wanted::Whole),
            ("bytes=0-1,4-5", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=99999999999999999999-", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Beyond),
        ] {
            // `bytes=-` has no number at all: it is either understood as none or not understood.
            let got = asked(&[("range", range)]);
            assert!(got == expected || (range == "bytes=-" && got == Wanted::Whole), "{range}: {got:?}");
        }
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        for known in ["\"sha256-1\"", "W/\"sha256-1\"", "\"x\", \"sha256-1\"", "*"] {
            assert_eq!(asked(&[("if-none-match", known)]), Wanted::Nothing, "{known}");
        }
        assert_eq!(asked(&[("if-none-match", "\"x\"")]), Wanted::Whole);
        let range = ("range", "bytes=0-1");
        assert_eq!(asked(&[range, ("if-range", "\"sha256-1\"")]), Wanted::Part(0, 2));
        assert_eq!(asked(&[range, ("if-range", "\"x\"")]), Wanted::Whole);
    }
}
