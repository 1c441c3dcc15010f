//! Rules that send requests to a version before chance decides: what a person or the project file says, and what the journal
//! keeps of it.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Version;
use crate::expr::Expression;

/// Rules of a model at most: every request is held against all of them until one matches.
pub const MOST_RULES: usize = 16;

/// The longest rule, in bytes.
pub const LONGEST_RULE: usize = 500;

/// Headers that carry secrets; no rule may ask for them.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];

/// The rules of a model, in their order: the first that holds decides.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRules {
    /// The rules.
    #[serde(default)]
    pub rules: Vec<SplitRule>,
    /// The headers that rules may ask for, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRule {
    /// CEL over the row's features, by name, and `header["name"]`.
    pub when: String,
    /// Who answers then.
    pub to: Target,
}

/// Who answers what a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Whoever is champion.
    Champion,
    /// The version that is being rolled out; the rule is passed over while there is none.
    Candidate,
    /// A version.
    Version(Version),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Champion => f.write_str("champion"),
            Self::Candidate => f.write_str("candidate"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Champion => serializer.serialize_str("champion"),
            Self::Candidate => serializer.serialize_str("candidate"),
            Self::Version(version) => serializer.serialize_u32(*version),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Target;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("champion, candidate or a version's number")
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<Target, E> {
                match word {
                    "champion" => Ok(Target::Champion),
                    "candidate" => Ok(Target::Candidate),
                    other => other.parse().map(Target::Version).map_err(|_| {
                        E::custom(format!(
                            "`{other}` answers nothing (expected champion, candidate or a version's number)"
                        ))
                    }),
                }
            }
            fn visit_u64<E: Error>(self, version: u64) -> Result<Target, E> {
                Version::try_from(version).map(Target::Version).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Word)
    }
}

impl SplitRule {
    /// What is wrong with it, in words; `headers` are those that it may ask for.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), String> {
        let when = &self.when;
        if when.len() > LONGEST_RULE {
            return Err(format!(
                "a rule of {} bytes is too long to be held against every request; {LONGEST_RULE} are allowed",
                when.len()
            ));
        }
        let expression = Expression::compile(when).map_err(|error| error.to_string())?;
        if expression.loops() {
            return Err(format!(
                "`{when}` loops (`all`, `exists`, `map`, `filter`), which nothing that every request is held against may"
            ));
        }
        if self.to == Target::Version(0) {
            return Err("versions are whole numbers from 1".to_owned());
        }
        Ok(())
    }
}

impl SplitRules {
    /// What is wrong with them, in words.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), String> {
        if self.rules.len() > MOST_RULES {
            return Err(format!("{} rules are too many; {MOST_RULES} are allowed", self.rules.len()));
        }
        if self.headers.len() > MOST_RULES {
            return Err(format!("{} headers are too many; {MOST_RULES} are allowed", self.headers.len()));
        }
        for header in &self.headers {
            let name =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
            if header.is_empty() || !header.bytes().all(name) {
                return Err(format!("`{header}` is no header's name in lower case, such as x-region"));
            }
            if SECRET_HEADERS.contains(&header.as_str()) {
                return Err(format!("the header `{header}` carries secrets, which decide nothing here"));
            }
        }
        self.rules.iter().try_for_each(SplitRule::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_bounded_and_ask_for_no_secrets() {
        let rule = |when: &str| SplitRule { when: when.to_owned(), to: Target::Candidate };
        let of = |rules: Vec<SplitRule>, headers: &[&str]| {
            SplitRules { rules, headers: headers.iter().map(ToString::to_string).collect() }.check()
        };
        assert_eq!(of(vec![rule("region == 'EU' && size > 3")], &["x-region"]), Ok(()));
        for (wrong, why) in [
            (of(vec![rule("region ==")], &[]), "cannot read"),
            (of(vec![rule("[1, 2].all(x, x > size)")], &[]), "loops"),
            (of(vec![rule(&"x".repeat(501))], &[]), "too long"),
            (of(vec![rule("a"); 17], &[]), "too many"),
            (of(vec![], &["Cookie"]), "lower case"),
            (of(vec![], &["cookie"]), "secrets"),
        ] {
            let found = wrong.unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }

    #[test]
    fn targets_are_words_or_numbers() {
        let rules =
            r#"{"rules":[{"when":"a","to":"champion"},{"when":"b","to":"candidate"},{"when":"c","to":3}]}"#;
        let read: SplitRules = serde_json::from_str(rules).unwrap();
        assert_eq!(read.rules[2].to, Target::Version(3));
        assert_eq!(serde_json::to_string(&read).unwrap(), rules);
        let wrong = serde_json::from_str::<SplitRule>(r#"{"when":"a","to":"winner"}"#).unwrap_err();
        assert!(wrong.to_string().contains("expected champion, candidate"), "{wrong}");
    }
}
