//! Names of users and labels of tokens: short, plain, and one spelling each.

use std::fmt;
use std::str::FromStr;

/// The name of a user: 1 to 64 lower-case ASCII letters, digits and `. _ - + @`, so that an e-mail address is one. There
/// is no colon in it (it ends the name in HTTP's Basic scheme), and no two names look alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(String);

/// Text that is no name of a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Wrong characters, or too many.
    #[error(
        "`{0}` is not the name of a user (expected 1 to 64 letters a to z, digits and . _ - + @, beginning with a letter or digit)"
    )]
    Spelling(String),
    /// A name that the journal uses for something else.
    #[error("`{0}` names whoever is at this machine without login; choose another name")]
    Reserved(String),
}

/// The longest name, in bytes.
const LONGEST: usize = 64;
/// What the journal calls those who need no login.
const RESERVED: [&str; 3] = ["local", "gyre", "anonymous"];

impl UserName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+@".contains(&byte);
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if text.len() > LONGEST || !begins || !text.bytes().all(plain) {
            return Err(InvalidName::Spelling(text.chars().take(LONGEST).collect()));
        }
        let name = text.to_ascii_lowercase();
        if RESERVED.contains(&name.as_str()) { Err(InvalidName::Reserved(name)) } else { Ok(Self(name)) }
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        assert_eq!(
            "Ada.Lovelace@Example.org".parse::<UserName>().unwrap().as_str(),
            "ada.lovelace@example.org"
        );
        for wrong in ["", "a:b", "a b", "-a", "ada\n", "аda", "a/b", &"a".repeat(65), "local", "LOCAL", "*"]
        {
            assert!(wrong.parse::<UserName>().is_err(), "{wrong}");
        }
    }
}
