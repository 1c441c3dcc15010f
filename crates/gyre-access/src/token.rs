//! Secrets that a machine keeps: API tokens `gyre_<id>_<secret>`, and the ids of browsers' sessions.
//!
//! The secret is 256 bits of the operating system's randomness, so a plain SHA-256 of it is as good as any slow hash, and
//! quick enough for every request. The id is public: it names the token in lists and in the journal. The form is fixed, so
//! that a scanner finds a token that was committed by mistake.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The bytes of a secret.
const SECRET: usize = 32;
/// The bytes of an id.
const ID: usize = 8;
/// What every token begins with.
pub const PREFIX: &str = "gyre_";

/// The operating system gave no random bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct NoRandomness(String);

/// 256 random bits. It shows itself in no debugging output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET]);

/// The SHA-256 of a secret: what is stored.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

/// An API token: its public id and its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it: 16 hexadecimal digits.
    pub id: String,
    /// What only its bearer knows.
    pub secret: Secret,
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        Ok(Self(random()?))
    }

    /// Reads 64 hexadecimal digits, in lower case.
    pub fn read(text: &str) -> Option<Self> {
        let lower = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let mut bytes = [0; SECRET];
        (lower && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(Self(bytes))
    }

    /// As text, to be shown once.
    pub fn reveal(&self) -> String {
        hex::encode(self.0)
    }

    /// What is stored of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl SecretHash {
    /// The hash of a text that is to be compared with another one.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// The hash that a store gave back.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes, to be stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Compares in a time that does not depend on where the first difference is.
impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretHash {}

impl std::hash::Hash for SecretHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        Ok(Self { id: hex::encode(random::<ID>()?), secret: Secret::random()? })
    }

    /// Reads the text of a token; none when it is no token at all.
    pub fn read(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        is_id(id).then_some(())?;
        Some(Self { id: id.to_owned(), secret: Secret::read(secret)? })
    }

    /// As text, to be shown once.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, self.secret.reveal())
    }
}

/// Whether `text` is an id of a token.
pub fn is_id(text: &str) -> bool {
    text.len() == 2 * ID && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_is_read_as_it_was_shown_and_shows_itself_nowhere_else() {
        let token = Token::random().unwrap();
        let text = token.reveal();
        assert_eq!((text.len(), text.matches('_').count()), (86, 2), "{text}");
        let again = Token::read(&text).unwrap();
        assert_eq!((again.secret.hash(), &again), (token.secret.hash(), &token));
        assert_ne!(Token::random().unwrap(), token);
        let shown = format!("{token:?} {:?}", token.secret.hash());
        assert!(!shown.contains(&token.secret.reveal()) && shown.contains(&token.id), "{shown}");
    }

    proptest! {
        #[test]
        fn whatever_is_sent_as_a_token_is_read_or_refused(text in "(gyre_)?[0-9a-fA-F_ü]{0,90}") {
            if let Some(token) = Token::read(&text) {
                prop_assert_eq!(token.reveal(), text);
            }
        }
    }
}
