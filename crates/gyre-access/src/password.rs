//! Passwords of people: Argon2id, and the few rules that help.
//!
//! Parameters and rules are those of OWASP's Password Storage and Authentication cheat sheets: 19 MiB, two passes, one
//! lane; at least twelve characters, no rules of composition, nothing that merely repeats the user's name or one
//! character. A hash of stronger or weaker parameters is verified with its own.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use crate::name::UserName;

/// The fewest characters.
pub const SHORTEST: usize = 12;
/// The most bytes: longer ones would only cost time.
pub const LONGEST: usize = 1_024;

/// Memory of one hashing, in KiB.
const MEMORY: u32 = 19_456;
/// Passes over it.
const PASSES: u32 = 2;

/// Why a password is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Too short.
    #[error("the password has {0} characters: use at least {SHORTEST}")]
    Short(usize),
    /// Too long.
    #[error("the password is longer than {LONGEST} bytes")]
    Long,
    /// It can be guessed.
    #[error("the password {0}: choose one that cannot be guessed")]
    Guessable(&'static str),
    /// It could not be hashed.
    #[error("the password could not be hashed: {0}")]
    Unhashable(String),
}

/// Says whether `password` may be that of `user`.
///
/// # Errors
/// [`WeakPassword`].
pub fn check(user: &UserName, password: &str) -> Result<(), WeakPassword> {
    let characters = password.chars().count();
    if characters < SHORTEST {
        return Err(WeakPassword::Short(characters));
    }
    if password.len() > LONGEST {
        return Err(WeakPassword::Long);
    }
    let lower = password.to_lowercase();
    let mut distinct: Vec<char> = lower.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 4 {
        return Err(WeakPassword::Guessable("repeats a few characters"));
    }
    let rest = lower.replace(user.as_str(), "");
    if rest.chars().count() * 2 < characters {
        return Err(WeakPassword::Guessable("is made of the user's name"));
    }
    let rest = COMMON.iter().fold(lower, |rest, word| rest.replace(word, ""));
    if rest.chars().count() * 2 < characters {
        return Err(WeakPassword::Guessable("is made of the words that are tried first"));
    }
    Ok(())
}

/// What long passwords that are guessed first are made of.
const COMMON: [&str; 10] = [
    "password",
    "passwort",
    "qwertyuiop",
    "qwerty",
    "1234567890",
    "123456",
    "letmein",
    "welcome",
    "changeme",
    "admin",
];

/// The Argon2id hash of `password` in PHC form, for storing.
///
/// # Errors
/// [`WeakPassword`].
pub fn hash(user: &UserName, password: &str) -> Result<String, WeakPassword> {
    check(user, password)?;
    hash_unchecked(password)
}

pub(crate) fn hash_unchecked(password: &str) -> Result<String, WeakPassword> {
    let told = |error: &dyn std::fmt::Display| WeakPassword::Unhashable(error.to_string());
    let params = Params::new(MEMORY, PASSES, 1, None).map_err(|error| told(&error))?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Ok(argon.hash_password(password.as_bytes()).map_err(|error| told(&error))?.to_string())
}

/// Whether `password` is the one that `hash` was made of. Takes tens of milliseconds and 19 MiB.
pub fn verify(hash: &str, password: &str) -> bool {
    if password.len() > LONGEST {
        return false;
    }
    let Ok(parsed) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> UserName {
        "ada".parse().unwrap()
    }

    #[test]
    fn weak_passwords_are_refused_with_the_reason() {
        for (password, told) in [
            ("short", "has 5 characters: use at least 12"),
            ("aaaaaaaaaaaaaaaa", "repeats"),
            ("adaadaadaada", "repeats"),
            ("password1234", "tried first"),
            ("admin123456admin", "tried first"),
            (&"x".repeat(2_000), "longer than 1024"),
        ] {
            let error = hash(&ada(), password).unwrap_err().to_string();
            assert!(error.contains(told), "{password}: {error}");
        }
        let lovelace = "lovelace".parse().unwrap();
        assert!(check(&lovelace, "Lovelace-lovelace").unwrap_err().to_string().contains("user's name"));
        check(&ada(), "correct horse battery").unwrap();
        check(&ada(), "пароль-надёжный-7").unwrap();
    }

    #[test]
    fn a_hash_verifies_its_password_only() {
        let stored = hash(&ada(), "correct horse battery").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_ne!(stored, hash(&ada(), "correct horse battery").unwrap(), "salted");
        assert!(verify(&stored, "correct horse battery"));
        assert!(
            !verify(&stored, "correct horse batterY") && !verify(&stored, "") && !verify("nonsense", "x")
        );
    }
}
