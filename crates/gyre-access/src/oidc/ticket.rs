//! What a browser keeps while it is at the provider, and what is read from a token that was verified. Pure.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest ticket that is read, in bytes.
const LONGEST: usize = 3_000;
/// The most groups that are looked at.
const GROUPS: usize = 1_000;

/// The secrets of one login.
#[derive(Serialize, Deserialize)]
pub(super) struct Ticket {
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    pub(super) next: String,
    /// When it is void, in milliseconds since the epoch.
    pub(super) until: i64,
}

impl Ticket {
    /// As the value of a cookie.
    pub(super) fn write(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

/// The groups in `claim` of an ID token whose signature has been verified: a list of texts, or one text.
pub(super) fn groups(token: &str, claim: &str) -> Vec<String> {
    let payload = token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = payload.and_then(|payload| serde_json::from_slice(&payload).ok());
    match claims.as_ref().and_then(|claims| claims.get(claim)) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => {
            list.iter().take(GROUPS).filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_from_a_list_and_from_one_text() {
        let token = |claims: &str| format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(groups(&token(r#"{"groups": ["ml", 7, "ops"]}"#), "groups"), ["ml", "ops"]);
        assert_eq!(groups(&token(r#"{"groups": "ml"}"#), "groups"), ["ml"]);
        for other in ["", "a.b.c", "e30.e30.", &token("[]"), &token(r#"{"groups": {"ml": true}}"#)] {
            assert!(groups(other, "groups").is_empty(), "{other}");
        }
    }

    #[test]
    fn a_ticket_is_read_as_it_was_written_and_nonsense_is_none() {
        let text = |text: &str| text.to_owned();
        let ticket =
            Ticket { state: text("s"), nonce: text("n"), verifier: text("v"), next: text("/"), until: 7 };
        let again = Ticket::read(&ticket.write()).unwrap();
        assert_eq!((again.state.as_str(), again.next.as_str(), again.until), ("s", "/", 7));
        for nonsense in ["", "e30", "ü", &"a".repeat(4_000)] {
            assert!(Ticket::read(nonsense).is_none());
        }
    }
}
