//! How long a caller is willing to wait.
//!
//! Over gRPC it is `grpc-timeout` (gRPC over HTTP/2, "Requests"), which every client sets from its own deadline; over HTTP
//! there is no standard, so the same header is read there. What a caller leaves open is [`PATIENCE`]; what takes longer is
//! answered as such, and no model is asked for an answer that nobody waits for.

use std::time::Duration;

use axum::http::HeaderMap;
use gyre_gateway::gateway::PATIENCE;
use tokio::time::Instant;

/// The header.
const TIMEOUT: &str = "grpc-timeout";
/// The longest that anybody may wait.
const LONGEST: Duration = Duration::from_secs(600);

/// When the caller stops waiting.
///
/// # Errors
/// What is wrong with the header, in words.
pub(super) fn of(headers: &HeaderMap) -> Result<Instant, String> {
    Ok(Instant::now() + given(headers)?.map_or(PATIENCE, |given| given.min(LONGEST)))
}

/// How long the caller says that it waits.
///
/// # Errors
/// As [`of`].
pub(super) fn given(headers: &HeaderMap) -> Result<Option<Duration>, String> {
    let Some(header) = headers.get(TIMEOUT) else { return Ok(None) };
    let text = header.to_str().unwrap_or_default();
    parse(text).map(Some).ok_or_else(|| {
        let found: String = text.chars().take(20).collect();
        format!(
            "{TIMEOUT} is `{found}`, expected up to 8 digits and a unit of H, M, S, m, u, n, such as 500m"
        )
    })
}

fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last().filter(char::is_ascii)?;
    let digits = text.strip_suffix(unit).filter(|digits| (1..=8).contains(&digits.len()))?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3_600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_grpc() {
        assert_eq!(parse("2H"), Some(Duration::from_secs(7_200)));
        assert_eq!(parse("3M"), Some(Duration::from_secs(180)));
        assert_eq!(parse("500m"), Some(Duration::from_millis(500)));
        assert_eq!(parse("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "m", "5", "5x", "-1S", "+1S", "999999999S", "1.5S", "5é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
