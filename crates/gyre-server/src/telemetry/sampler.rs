//! Which traces are kept, as `OTEL_TRACES_SAMPLER` says (OpenTelemetry SDK specification, "Built-in samplers"). Pure.

use super::TelemetryError;

/// Says which traces are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampler {
    /// Whether a parent's word counts.
    follows: bool,
    /// The share of traces that are kept where nobody has decided.
    ratio: f64,
}

impl Sampler {
    /// The sampler of that name.
    pub(super) fn named(name: Option<&str>, argument: Option<&str>) -> Result<Self, TelemetryError> {
        let ratio = || match argument.map(str::trim) {
            None => Ok(1.0),
            Some(text) => match text.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
                _ => Err(TelemetryError {
                    variable: "OTEL_TRACES_SAMPLER_ARG",
                    found: text.chars().take(100).collect(),
                    expected: "a share from 0 to 1",
                }),
            },
        };
        let (follows, ratio) = match name.map(str::trim) {
            None | Some("parentbased_always_on") => (true, 1.0),
            Some("always_on") => (false, 1.0),
            Some("always_off") => (false, 0.0),
            Some("traceidratio") => (false, ratio()?),
            Some("parentbased_always_off") => (true, 0.0),
            Some("parentbased_traceidratio") => (true, ratio()?),
            Some(other) => {
                return Err(TelemetryError {
                    variable: "OTEL_TRACES_SAMPLER",
                    found: other.chars().take(100).collect(),
                    expected: "one of always_on, always_off, traceidratio, parentbased_always_on, \
                               parentbased_always_off, parentbased_traceidratio",
                });
            }
        };
        Ok(Self { follows, ratio })
    }

    /// Whether `trace` is kept; `parent` is what the caller decided for it.
    pub(super) fn keeps(&self, trace: &[u8; 16], parent: Option<bool>) -> bool {
        if let Some(decided) = parent.filter(|_| self.follows) {
            return decided;
        }
        if self.ratio >= 1.0 {
            return true;
        }
        // The same trace has the same fate in every service: its id decides.
        let [.., a, b, c, d, e, f, g, h] = *trace;
        let place = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        (place as f64) < self.ratio * (1_u64 << 63) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_traces_is_kept_and_a_parents_word_counts() {
        let of = |name, argument| Sampler::named(Some(name), argument).unwrap();
        let tenth = of("traceidratio", Some("0.1"));
        let trace = |at: u64| {
            let mut trace = [7; 16];
            trace[8..].copy_from_slice(&at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            trace
        };
        let kept = (0..10_000).filter(|at| tenth.keeps(&trace(*at), None)).count();
        assert!((900..1_100).contains(&kept), "{kept}");
        assert!(of("parentbased_always_off", None).keeps(&trace(1), Some(true)));
        assert!(!of("always_off", None).keeps(&trace(1), Some(true)));
        assert!(of("always_on", None).keeps(&trace(1), Some(false)));
        assert!(!Sampler::named(None, None).unwrap().keeps(&trace(1), Some(false)));
        assert!(Sampler::named(Some("traceidratio"), Some("2")).is_err());
    }
}
