//! Page tokens: where a page ended, and of which search.
//!
//! A token holds the last row's place in the order, so the next page begins right after it, whatever was added or removed
//! meanwhile. It holds a fingerprint of the search too: a token of another search is refused rather than misread.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_store::{Cell, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A page of something.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The token of the next page, when there is one.
    pub next: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    /// The fingerprint of the search.
    q: String,
    /// The place of the last row.
    k: Vec<Value>,
}

/// What a part of a place is. A client can put a token together by itself, and a database does not compare everything with
/// everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Whole,
    /// A number.
    Real,
    /// Text.
    Text,
}

/// The longest token, in bytes: places hold values of parameters and tags.
const LONGEST: usize = 128 << 10;

/// A short digest of what makes a search what it is.
pub fn fingerprint(search: &impl Serialize) -> String {
    let text = serde_json::to_vec(search).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(text).into();
    URL_SAFE_NO_PAD.encode(digest.get(..9).unwrap_or_default())
}

/// The token of a page of the search `fingerprint` that ends at `place`.
///
/// # Errors
/// [`StoreError::Corrupt`] when the place holds what cannot be written.
pub fn write(fingerprint: &str, place: &[Cell]) -> Result<String, StoreError> {
    let value = |cell: &Cell| match cell {
        Cell::Int(number) => Value::from(*number),
        Cell::Real(number) => Value::from(*number),
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Null | Cell::Blob(_) => Value::Null,
    };
    let token = Token { q: fingerprint.to_owned(), k: place.iter().map(value).collect() };
    let text = serde_json::to_vec(&token)
        .map_err(|error| StoreError::Corrupt { table: "(page token)", reason: error.to_string() })?;
    Ok(URL_SAFE_NO_PAD.encode(text))
}

/// The place in `token`, which must be of the search `fingerprint` and have parts of these kinds.
///
/// # Errors
/// [`StoreError::Invalid`].
pub fn read(token: &str, fingerprint: &str, kinds: &[Kind]) -> Result<Vec<Cell>, StoreError> {
    let wrong = |why: &str| {
        StoreError::Invalid(format!("the page token {why}, expected the next_page_token of the page before"))
    };
    if token.len() > LONGEST {
        return Err(wrong("is too long"));
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong("is not one of this server's"))?;
    let token: Token = serde_json::from_slice(&bytes).map_err(|_| wrong("is not one of this server's"))?;
    if token.q != fingerprint {
        return Err(wrong("belongs to another search"));
    }
    if token.k.len() != kinds.len() {
        return Err(wrong("is not one of this server's"));
    }
    let cell = |(value, kind): (Value, &Kind)| {
        let cell = match kind {
            Kind::Whole => value.as_i64().map(Cell::Int),
            Kind::Real => value.as_f64().map(Cell::Real),
            Kind::Text => value.as_str().map(Cell::from),
        };
        cell.ok_or_else(|| wrong("is not one of this server's"))
    };
    token.k.into_iter().zip(kinds).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_leads_back_to_its_place_and_only_there() {
        let place = [Cell::Int(-3), Cell::Real(0.1 + 0.2), Cell::Text("ä'\"".to_owned())];
        let token = write("q", &place).unwrap();
        let kinds = [Kind::Whole, Kind::Real, Kind::Text];
        assert_eq!(read(&token, "q", &kinds).unwrap(), place);
        let swapped = [Kind::Text, Kind::Real, Kind::Text];
        for (query, kinds) in [("other", &kinds[..]), ("q", &kinds[..2]), ("q", &swapped)] {
            assert!(matches!(read(&token, query, kinds), Err(StoreError::Invalid(_))));
        }
        assert!(matches!(read("eyJvZmZzZXQiOiAxfQ==", "q", &kinds), Err(StoreError::Invalid(_))));
    }

    proptest! {
        #[test]
        fn no_token_makes_it_panic(token in "\\PC{0,80}") {
            let _ = read(&token, "q", &[Kind::Text]);
        }
    }
}
