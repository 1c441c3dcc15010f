//! `traceparent`: which trace a request is part of, and which span of it asks (W3C Trace Context, level 1). Pure, but for
//! the making of ids.

use axum::http::{HeaderMap, HeaderValue};
use uuid::Uuid;

/// The header.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The flag that says that the trace is kept.
const SAMPLED: u8 = 1;

/// A span in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Context {
    trace: [u8; 16],
    span: [u8; 8],
    flags: u8,
}

impl Context {
    /// What a request says of itself; none when it says nothing, or nothing that is valid, which counts as nothing.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (Some(one), None) = (given.next(), given.next()) else { return None };
        Self::parse(one.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = hex::<1>(version)?;
        // Versions to come may say more after what is known; this one may not.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let ([flags], trace, span) = (hex::<1>(flags)?, hex::<16>(trace)?, hex::<8>(span)?);
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, flags: flags & SAMPLED })
    }

    /// The first span of a trace of its own.
    pub(crate) fn root(keeps: impl FnOnce(&[u8; 16]) -> bool) -> Self {
        let trace = *Uuid::new_v4().as_bytes();
        Self { trace, span: id(), flags: u8::from(keeps(&trace)) }
    }

    /// A span below this one.
    pub(crate) fn child(&self, sampled: bool) -> Self {
        Self { trace: self.trace, span: id(), flags: u8::from(sampled) }
    }

    pub(crate) fn trace(&self) -> &[u8; 16] {
        &self.trace
    }

    pub(crate) fn span(&self) -> &[u8; 8] {
        &self.span
    }

    pub(crate) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The trace's id as it is written.
    pub(crate) fn trace_id(&self) -> String {
        gyre_traces::record::hex(&self.trace)
    }

    /// As the header of a request that this span makes.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let (trace, span) = (self.trace_id(), gyre_traces::record::hex(&self.span));
        HeaderValue::try_from(format!("00-{trace}-{span}-{:02x}", self.flags)).ok()
    }
}

/// A random id that is not all zeros: a UUID's seventh byte holds its version.
fn id() -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = *Uuid::new_v4().as_bytes();
    [a, b, c, d, e, f, g, h]
}

/// Exactly `N` bytes as lower-case digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = digits else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_the_standard_calls_valid_is_read_and_written_back() {
        let context = Context::parse(GOOD).unwrap();
        assert!(context.is_sampled());
        assert_eq!(context.header().unwrap(), GOOD);
        assert!(!Context::parse(&GOOD.replace("-01", "-00")).unwrap().is_sampled());
        assert!(
            Context::parse(&GOOD.replace("-01", "-03")).unwrap().is_sampled(),
            "other flags are passed over"
        );
        assert!(Context::parse(&format!("cc{}-what", &GOOD[2..])).is_some(), "a version to come");
        let child = context.child(true);
        assert_eq!((child.trace(), child.span() == context.span()), (context.trace(), false));
    }

    #[test]
    fn what_is_not_valid_counts_as_nothing() {
        let zeros = |from: &str| GOOD.replace(from, &"0".repeat(from.len()));
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("ff{}", &GOOD[2..]),
            format!("{GOOD}-more"),
            GOOD.to_uppercase(),
            GOOD.replace("4bf9", "4bg9"),
            zeros("4bf92f3577b34da6a3ce929d0e0e4736"),
            zeros("00f067aa0ba902b7"),
            GOOD[..GOOD.len() - 1].to_owned(),
        ] {
            assert_eq!(Context::parse(&wrong), None, "{wrong}");
        }
        let mut twice = HeaderMap::new();
        twice.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(Context::of(&twice).is_some());
        twice.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(Context::of(&twice).is_none());
    }
}
