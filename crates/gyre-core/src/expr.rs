//! Gate expressions: CEL (Common Expression Language) over measured facts.
//!
//! `candidate.mae <= champion.mae` is a question that only measurements answer, so an expression is compiled
//! when `gyre.yaml` is read, tried there against the names that can be measured, and evaluated when a candidate
//! stands before the gate. A fact that was not measured makes the gate fail, with the fact's name; never pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr};
use cel::{Context, ExecutionError, IdedExpr, Program};
use serde::{Deserialize, Serialize};

use crate::record::Value;

/// Measured facts by name, nested as the expressions name them: `{"candidate": {"mae": 7.2}}`.
pub type Measured = serde_json::Map<String, serde_json::Value>;

thread_local! {
    /// The functions of the language, for expressions that are evaluated request by request.
    static LANGUAGE: Context<'static, 'static> = Context::default();
}

/// The name under which expressions over a request find its headers.
pub const HEADER: &str = "header";

/// A compiled expression that yields true or false.
pub struct Expression {
    source: String,
    program: Program,
}

/// Why an expression gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// It does not parse.
    #[error("cannot read `{source_text}`: {reason}")]
    Syntax {
        /// The expression.
        source_text: String,
        /// The parser's words.
        reason: String,
    },
    /// It names something that is not measured.
    #[error("`{name}` is not measured here")]
    Unknown {
        /// The last segment of the name.
        name: String,
    },
    /// It cannot be evaluated.
    #[error("cannot evaluate `{source_text}`: {reason}")]
    Evaluation {
        /// The expression.
        source_text: String,
        /// Why.
        reason: String,
    },
}

/// What one gate said of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateResult {
    /// The expression, as written.
    pub gate: String,
    /// Whether it holds.
    pub passed: bool,
    /// The numbers that it was judged on, or why it could not be.
    pub because: String,
}

impl Expression {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`ExprError::Syntax`] with the parser's reason.
    pub fn compile(source: &str) -> Result<Self, ExprError> {
        let program = Program::compile(source).map_err(|error| ExprError::Syntax {
            source_text: source.to_owned(),
            reason: error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" "),
        })?;
        Ok(Self { source: source.to_owned(), program })
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it names `variable` (such as `champion`) at its root.
    pub fn mentions(&self, variable: &str) -> bool {
        self.program.references().has_variable(variable)
    }

    /// The names at its roots.
    pub fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.program.references().variables().into_iter().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Whether its cost grows with more than its own length: it goes through a list or a map.
    pub fn loops(&self) -> bool {
        goes_through(self.program.expression())
    }

    /// The expression's truth for one row: `values` are the features that it names, `headers` what [`HEADER`] stands for. A
    /// value that is missing is null.
    ///
    /// # Errors
    /// As [`Expression::holds`].
    pub fn holds_for<'a>(
        &self,
        values: impl Iterator<Item = (&'a str, Value)>,
        headers: &BTreeMap<Arc<str>, Arc<str>>,
    ) -> Result<bool, ExprError> {
        LANGUAGE.with(|language| {
            let mut context = language.new_inner_scope();
            for (name, value) in values {
                context.add_variable_from_value(
                    name,
                    match value {
                        Value::Missing => cel::Value::Null,
                        Value::Bool(truth) => cel::Value::Bool(truth),
                        Value::Number(number) => cel::Value::Float(number),
                        Value::Text(text) => cel::Value::String(Arc::new(text.to_string())),
                    },
                );
            }
            if self.mentions(HEADER) {
                let headers: BTreeMap<&str, &str> =
                    headers.iter().map(|(name, value)| (&**name, &**value)).collect();
                let headers = cel::to_value(headers).map_err(|error| self.failed(error.to_string()))?;
                context.add_variable_from_value(HEADER, headers);
            }
            self.truth(&context)
        })
    }

    fn failed(&self, reason: String) -> ExprError {
        ExprError::Evaluation { source_text: self.source.clone(), reason }
    }

    fn truth(&self, context: &Context<'_, '_>) -> Result<bool, ExprError> {
        match self.program.execute(context) {
            Ok(cel::Value::Bool(truth)) => Ok(truth),
            Ok(other) => Err(self.failed(format!("it yields {:?}, not true or false", other.type_of()))),
            Err(ExecutionError::NoSuchKey(name) | ExecutionError::UndeclaredReference(name)) => {
                Err(ExprError::Unknown { name: name.to_string() })
            }
            Err(error) => Err(self.failed(error.to_string())),
        }
    }

    /// The expression's truth under `measured`.
    ///
    /// # Errors
    /// [`ExprError::Unknown`] when a name is not among the measured, [`ExprError::Evaluation`] when it does
    /// not yield true or false.
    pub fn holds(&self, measured: &Measured) -> Result<bool, ExprError> {
        let mut context = Context::default();
        for (name, value) in measured {
            let value = cel::to_value(value).map_err(|error| self.failed(error.to_string()))?;
            context.add_variable_from_value(name.clone(), value);
        }
        self.truth(&context)
    }

    /// Judges: the truth with the numbers it was taken on; what cannot be evaluated does not pass.
    pub fn judge(&self, measured: &Measured) -> GateResult {
        let (passed, because) = match self.holds(measured) {
            Ok(passed) => (passed, self.numbers(measured)),
            Err(error) => (false, error.to_string()),
        };
        GateResult { gate: self.source.clone(), passed, because }
    }

    /// The measured values of the names in the expression: `candidate.mae = 7.2, champion.mae = 12.9`.
    fn numbers(&self, measured: &Measured) -> String {
        let mut shown: Vec<String> = Vec::new();
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.');
        for path in
            self.source.split(|c| !is_name(c)).filter(|word| word.contains(|c: char| c.is_alphabetic()))
        {
            let mut segments = path.split('.');
            let root = segments.next().and_then(|root| measured.get(root));
            let found = root.and_then(|root| segments.try_fold(root, |value, segment| value.get(segment)));
            let text = match found {
                Some(serde_json::Value::Number(number)) => {
                    let number = number.as_f64().unwrap_or_default();
                    format!("{path} = {}", (number * 1e4).round() / 1e4)
                }
                Some(value @ (serde_json::Value::Bool(_) | serde_json::Value::String(_))) => {
                    format!("{path} = {value}")
                }
                _ => continue,
            };
            if !shown.contains(&text) {
                shown.push(text);
            }
        }
        shown.join(", ")
    }
}

fn goes_through(part: &IdedExpr) -> bool {
    match &part.expr {
        Expr::Comprehension(_) => true,
        Expr::Call(call) => {
            call.target.as_deref().is_some_and(goes_through) || call.args.iter().any(goes_through)
        }
        Expr::Select(select) => goes_through(&select.operand),
        Expr::List(list) => list.elements.iter().any(goes_through),
        Expr::Map(map) => map.entries.iter().any(|entry| entry_goes_through(&entry.expr)),
        Expr::Struct(of) => of.entries.iter().any(|entry| entry_goes_through(&entry.expr)),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => false,
    }
}

fn entry_goes_through(entry: &EntryExpr) -> bool {
    match entry {
        EntryExpr::StructField(field) => goes_through(&field.value),
        EntryExpr::MapEntry(entry) => goes_through(&entry.key) || goes_through(&entry.value),
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expression({})", self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn measured() -> Measured {
        let facts = json!({"candidate": {"mae": 7.25, "latency_p99_ms": 4.0, "bias": {"SEX": {"ratio": 0.7}}},
                           "champion": {"mae": 12.0}, "errors": 0.5});
        facts.as_object().unwrap().clone()
    }

    #[test]
    fn numbers_decide() {
        let holds = |source: &str| Expression::compile(source).unwrap().holds(&measured());
        assert_eq!(holds("candidate.mae <= champion.mae"), Ok(true));
        assert_eq!(
            holds("candidate.latency_p99_ms <= 5"),
            Ok(true),
            "an integer bound meets a measured double"
        );
        assert_eq!(holds("candidate.bias.SEX.ratio >= 0.8"), Ok(false));
        assert_eq!(holds("errors > 0.01"), Ok(true));
        assert_eq!(holds("candidate.mae < 0.5 * champion.mae || errors == 0.0"), Ok(false));
    }

    #[test]
    fn what_was_not_measured_never_passes() {
        let gate = Expression::compile("candidate.maee <= 3").unwrap();
        assert_eq!(gate.holds(&measured()), Err(ExprError::Unknown { name: "maee".into() }));
        let result = gate.judge(&measured());
        assert!(!result.passed && result.because.contains("maee"));
        assert!(matches!(
            Expression::compile("candidate.mae + 1.0").unwrap().holds(&measured()),
            Err(ExprError::Evaluation { .. })
        ));
        assert!(matches!(Expression::compile("candidate.mae <="), Err(ExprError::Syntax { .. })));
    }

    #[test]
    fn a_row_decides() {
        let headers = BTreeMap::from([("x-tier".into(), "gold".into())]);
        let holds = |source: &str| {
            let row = [
                ("region", Value::Text("EU".into())),
                ("size", Value::Number(3.0)),
                ("rooms", Value::Missing),
            ];
            Expression::compile(source).unwrap().holds_for(row.into_iter(), &headers)
        };
        for source in ["region == 'EU'", "size == 3", "size > 2 && region in ['EU', 'US']", "rooms == null"] {
            assert_eq!(holds(source), Ok(true), "{source}");
        }
        assert_eq!(holds("header['x-tier'] == 'gold'"), Ok(true));
        assert_eq!(holds("rooms == 2"), Ok(false));
        for source in ["header['x-other'] == 'gold'", "floor > 2", "size", "rooms > 2"] {
            assert!(holds(source).is_err(), "{source}");
        }
        let of = |source: &str| Expression::compile(source).unwrap();
        assert_eq!(of("size > 2 && header['a'] == region").variables(), ["header", "region", "size"]);
        assert!(of("{'a': [1].map(x, x)} == {}").loops() && !of("size in [1, 2]").loops());
    }

    #[test]
    fn the_judgement_states_its_numbers() {
        let result = Expression::compile("candidate.mae <= champion.mae").unwrap().judge(&measured());
        assert_eq!(result.because, "candidate.mae = 7.25, champion.mae = 12");
    }
}
