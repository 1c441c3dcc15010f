//! Rules that say who answers a row before chance does: "all of Europe goes to version 4".
//!
//! Rules are compiled once and bounded in number, length and kind ([`SplitRules::check`]), so that what they cost a request is
//! bounded too; a model without rules pays nothing. A rule that cannot be evaluated for a row (a feature that the row lacks,
//! text where a number was meant) is passed over and counted: the row goes where it would have gone without it.
//!
//! What a rule decides is no accident, so it is no evidence for a [`Trial`](crate::Trial), and the log says `rule`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use gyre_core::expr::{Expression, HEADER};
use gyre_core::fact::{SplitRules, Target};
use gyre_core::record::Value;
use gyre_runtime::Column;

use crate::request::Request;

/// The headers of a request that rules may ask for, by name in lower case.
pub type Headers = BTreeMap<Arc<str>, Arc<str>>;

/// The rules of a model, ready to be asked.
#[derive(Debug)]
pub struct Rules {
    split: SplitRules,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    expression: Expression,
    /// The features that it names.
    features: Vec<String>,
    to: Target,
    matched: AtomicU64,
    failed: AtomicU64,
}

/// What a rule has done since it was set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct RuleCount {
    /// The rule.
    pub when: String,
    /// Who answers then.
    pub to: Target,
    /// Rows that it decided.
    pub matched: u64,
    /// Rows for which it could not be evaluated.
    pub failed: u64,
}

impl Rules {
    /// Compiles `split`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(split: SplitRules) -> Result<Self, String> {
        split.check()?;
        let compiled = split.rules.iter().map(|rule| {
            let expression = Expression::compile(&rule.when).map_err(|error| error.to_string())?;
            let features = expression.variables().into_iter().filter(|name| name != HEADER).collect();
            let (matched, failed) = (AtomicU64::new(0), AtomicU64::new(0));
            Ok::<_, String>(Rule { expression, features, to: rule.to, matched, failed })
        });
        let rules = compiled.collect::<Result<_, _>>()?;
        Ok(Self { split, rules })
    }

    /// What it was made of.
    pub fn split(&self) -> &SplitRules {
        &self.split
    }

    /// What each rule has done.
    pub fn counts(&self) -> Vec<RuleCount> {
        let count = |rule: &Rule| RuleCount {
            when: rule.expression.source().to_owned(),
            to: rule.to,
            matched: rule.matched.load(Relaxed),
            failed: rule.failed.load(Relaxed),
        };
        self.rules.iter().map(count).collect()
    }

    /// What `found` knows of the headers that these rules may ask for.
    pub(crate) fn headers<'a>(&self, found: impl Fn(&str) -> Option<&'a str>) -> Headers {
        let named = self.split.headers.iter();
        named.filter_map(|name| Some((name.as_str().into(), found(name)?.into()))).collect()
    }

    /// Who answers row `row` of `request`, if `resolved` knows the one that the first matching rule names; none: chance
    /// decides.
    pub(crate) fn decide<T>(
        &self,
        request: &Request,
        row: usize,
        resolved: impl Fn(Target) -> Option<T>,
    ) -> Option<T> {
        self.rules.iter().find_map(|rule| {
            let answers = resolved(rule.to)?;
            let values =
                rule.features.iter().filter_map(|name| Some((name.as_str(), value(request, name, row)?)));
            match rule.expression.holds_for(values, &request.headers) {
                Ok(true) => {
                    rule.matched.fetch_add(1, Relaxed);
                    Some(answers)
                }
                Ok(false) => None,
                Err(_) => {
                    rule.failed.fetch_add(1, Relaxed);
                    None
                }
            }
        })
    }
}

fn value(request: &Request, name: &str, row: usize) -> Option<Value> {
    let input = request.inputs.iter().find(|input| *input.name == *name)?;
    Some(match &input.values {
        Column::Numeric(values) => match values.get(row)? {
            number if number.is_nan() => Value::Missing,
            number => Value::Number(*number),
        },
        Column::Text(values) => values.get(row)?.clone().map_or(Value::Missing, Value::Text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Input;
    use gyre_core::Timestamp;
    use gyre_core::fact::SplitRule;

    fn request() -> Request {
        let inputs = vec![
            Input::texts("region", vec![Some("EU".into()), Some("US".into()), None]),
            Input::numbers("size", vec![10.0, 20.0, 30.0]),
        ];
        let headers = Headers::from([("x-tier".into(), "gold".into())]);
        let ids = ["a", "b", "c"].map(Arc::from).to_vec();
        Request { ids, key: None, time: Timestamp::default(), inputs, headers }
    }

    #[test]
    fn the_first_rule_that_holds_decides_row_by_row_and_failures_are_counted() {
        let rule = |when: &str, to| SplitRule { when: when.to_owned(), to };
        let rules = vec![
            rule("floor > 3", Target::Champion),
            rule("region == 'EU'", Target::Candidate),
            rule("size > 25 && header['x-tier'] == 'gold'", Target::Version(3)),
        ];
        let rules = Rules::new(SplitRules { rules, headers: vec!["x-tier".to_owned()] }).unwrap();
        let decided: Vec<Option<Target>> = (0..3).map(|row| rules.decide(&request(), row, Some)).collect();
        assert_eq!(decided, [Some(Target::Candidate), None, Some(Target::Version(3))]);
        let counts: Vec<(u64, u64)> =
            rules.counts().iter().map(|count| (count.matched, count.failed)).collect();
        assert_eq!(counts, [(0, 3), (1, 0), (1, 0)]);
        // While there is no candidate, its rule is passed over.
        let without = |to| if to == Target::Candidate { None } else { Some(to) };
        assert_eq!(rules.decide(&request(), 0, without), None);
        assert_eq!(rules.headers(|name| (name == "x-tier").then_some("new"))["x-tier"], "new".into());
    }
}
