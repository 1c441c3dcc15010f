//! Pages: how many results, from where, and the token that leads to the next one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gyre_store::StoreError;

use crate::rules::invalid;

/// Which part of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many at most.
    pub size: u64,
    /// How many to leave out before.
    pub offset: u64,
}

impl Page {
    /// The page that a request asks for; `most` is the largest there is.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a size that is none, or a token that this server did not give.
    pub fn asked(size: i64, most: u64, token: Option<&str>) -> Result<Self, StoreError> {
        let fits = u64::try_from(size).ok().filter(|size| (1..=most).contains(size));
        let size =
            fits.ok_or_else(|| invalid(format!("`max_results` must be from 1 to {most}, and is {size}")))?;
        let offset = match token.filter(|token| !token.is_empty()) {
            Some(token) => offset(token).ok_or_else(|| {
                invalid("invalid page token: give the `next_page_token` of the answer before, as it is")
            })?,
            None => 0,
        };
        Ok(Self { size, offset })
    }

    /// The token of the page after this one.
    pub fn next(self) -> String {
        STANDARD.encode(format!("{{\"offset\": {}}}", self.offset.saturating_add(self.size)))
    }
}

fn offset(token: &str) -> Option<u64> {
    if token.len() > 200 {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(&STANDARD.decode(token).ok()?).ok()?;
    json.get("offset")?.as_u64().filter(|offset| *offset > 0 && *offset < 1 << 53)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_and_a_foreign_one_nowhere() {
        let page = Page::asked(10, 1000, None).unwrap();
        let next = Page::asked(10, 1000, Some(&page.next())).unwrap();
        assert_eq!(next, Page { size: 10, offset: 10 });
        for token in ["x", "e30=", "bnVsbA==", "eyJvZmZzZXQiOiAtMX0=", "eyJvZmZzZXQiOiAiYSJ9", "é"] {
            assert!(Page::asked(10, 1000, Some(token)).is_err(), "{token}");
        }
        for size in [0, -1, 1001, i64::MIN] {
            assert!(Page::asked(size, 1000, None).is_err(), "{size}");
        }
    }
}
