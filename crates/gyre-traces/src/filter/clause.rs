//! What a clause may say of what.

use gyre_store::StoreError;

use super::lexer::bare;
use super::{Rest, Right};
use crate::limits::{invalid, shown};
use crate::pattern::Pattern;
use crate::record::key;

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    Differs,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// Its sign in SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Differs => "<>",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// A filter: every clause must hold.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The clauses.
    pub clauses: Vec<Clause>,
}

/// One comparison.
#[derive(Debug, Clone)]
pub struct Clause {
    /// Of what.
    pub field: Field,
    /// With what.
    pub test: Test,
}

/// What a clause is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// A property of the trace.
    Attribute(Attribute),
    /// A tag, by its key.
    Tag(String),
    /// Metadata, by its key.
    Metadata(String),
    /// The run in which the trace was made, or that it was linked to.
    Run,
    /// A prompt version (`name/version`) that the trace is linked to.
    Prompt,
    /// A property of a span. All clauses about spans are about the same span.
    Span(SpanField),
    /// An assessment, by its name.
    Assessment(AssessmentKind, String),
    /// An issue that the trace is an instance of.
    Issue,
}

/// A property of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// Its id.
    Id,
    /// When it began, in milliseconds since 1970.
    Time,
    /// How long it took, in milliseconds.
    Duration,
    /// When it ended, in milliseconds since 1970.
    End,
    /// How it ended.
    State,
    /// The id that the application gives it.
    ClientRequestId,
    /// The number of its experiment; for ordering.
    Experiment,
}

/// A property of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanField {
    /// Its name.
    Name,
    /// The kind of step.
    Type,
    /// How it ended.
    Status,
    /// All that is stored of it, as JSON.
    Content,
    /// An attribute, by its key.
    Attribute(String),
}

/// A kind of assessment that can be searched by its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssessmentKind {
    /// How good the answer was.
    Feedback,
    /// What it should have been.
    Expectation,
}

impl AssessmentKind {
    /// Its name in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Expectation => "expectation",
        }
    }
}

/// What must hold of a field.
#[derive(Debug, Clone)]
pub enum Test {
    /// It is absent (true), or present.
    Null(bool),
    /// Of its text.
    Text(TextTest),
    /// Of its number.
    Number(Comparison, f64),
}

/// What must hold of a text.
#[derive(Debug, Clone)]
pub enum TextTest {
    /// It is this.
    Equal(String),
    /// It is not this.
    Differs(String),
    /// It is one of these.
    In(Vec<String>),
    /// It is none of these.
    NotIn(Vec<String>),
    /// It fits.
    Fits(Pattern),
}

impl TextTest {
    /// Whether it holds of `text`.
    pub fn holds(&self, text: &str) -> bool {
        match self {
            Self::Equal(wanted) => text == wanted,
            Self::Differs(wanted) => text != wanted,
            Self::In(list) => list.iter().any(|wanted| wanted == text),
            Self::NotIn(list) => list.iter().all(|wanted| wanted != text),
            Self::Fits(pattern) => pattern.matches(text),
        }
    }
}

const ATTRIBUTES: &str = "status, timestamp_ms, execution_time_ms, end_time_ms, request_id, client_request_id, name, run_id, \
                          prompt, text";

pub(super) fn read(rest: &mut Rest<'_>) -> Result<Clause, StoreError> {
    let (kind, name) = rest.name()?;
    let place = rest.wrong("").to_string();
    let field = field(kind.as_deref(), &name)?;
    let right = rest.right()?;
    let test = test(&field, right).map_err(|expected| {
        let place = place.split(": found").next().unwrap_or_default();
        invalid(format!("{place}: {expected}"))
    })?;
    Ok(Clause { field, test })
}

/// The field of that name.
pub(crate) fn field(kind: Option<&str>, name: &str) -> Result<Field, StoreError> {
    let field = match kind {
        None | Some("attribute" | "attributes" | "trace") => return attribute(name),
        Some("tag" | "tags") if name == key::NAME => Field::Tag(key::NAME.to_owned()),
        Some("tag" | "tags") => Field::Tag(name.to_owned()),
        Some("metadata" | "request_metadata") if name == key::RUN => Field::Run,
        Some("metadata" | "request_metadata") => Field::Metadata(name.to_owned()),
        Some("span") => Field::Span(span_field(name)?),
        Some("feedback") => Field::Assessment(AssessmentKind::Feedback, name.to_owned()),
        Some("expectation") => Field::Assessment(AssessmentKind::Expectation, name.to_owned()),
        Some("issue") if name == "id" => Field::Issue,
        Some("issue") => {
            return Err(invalid(format!("the filter: found issue.{name}, expected issue.id")));
        }
        Some(other) => {
            return Err(invalid(format!(
                "the filter: found the name {}, expected it to begin with tags., metadata., trace., span., feedback., \
                 expectation. or issue.",
                shown(&format!("{other}.{name}"))
            )));
        }
    };
    if name.is_empty() {
        return Err(invalid(format!("the filter: a key is missing after `{}.`", kind.unwrap_or_default())));
    }
    Ok(field)
}

fn attribute(name: &str) -> Result<Field, StoreError> {
    Ok(match name {
        "request_id" | "trace_id" => Field::Attribute(Attribute::Id),
        "timestamp" | "timestamp_ms" => Field::Attribute(Attribute::Time),
        "execution_time" | "execution_time_ms" => Field::Attribute(Attribute::Duration),
        "end_time" | "end_time_ms" => Field::Attribute(Attribute::End),
        "status" | "state" => Field::Attribute(Attribute::State),
        "client_request_id" => Field::Attribute(Attribute::ClientRequestId),
        "experiment_id" => Field::Attribute(Attribute::Experiment),
        "name" => Field::Tag(key::NAME.to_owned()),
        "run_id" => Field::Run,
        "prompt" => Field::Prompt,
        "text" => Field::Span(SpanField::Content),
        other => {
            return Err(invalid(format!(
                "the filter: there is no attribute {}; expected one of {ATTRIBUTES}",
                shown(other)
            )));
        }
    })
}

fn span_field(name: &str) -> Result<SpanField, StoreError> {
    Ok(match name {
        "name" => SpanField::Name,
        "type" => SpanField::Type,
        "status" => SpanField::Status,
        "content" => SpanField::Content,
        other => match other.strip_prefix("attributes.").map(bare) {
            Some(key) if !key.is_empty() => SpanField::Attribute(key),
            _ => {
                return Err(invalid(format!(
                    "the filter: found span.{}, expected span.name, span.type, span.status, span.content or \
                     span.attributes. and a key",
                    shown(other)
                )));
            }
        },
    })
}

/// What `right` says of `field`, or what was expected.
fn test(field: &Field, right: Right) -> Result<Test, String> {
    use Comparison::{Differs, Equal};
    match field {
        Field::Attribute(Attribute::Time | Attribute::Duration | Attribute::End) => match right {
            Right::Number(comparison, number) => Ok(Test::Number(comparison, number)),
            Right::Text(comparison, text) => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Test::Number(comparison, number)),
                _ => Err(format!("found {}, expected a number of milliseconds", shown(&text))),
            },
            _ => Err("times are compared with =, !=, <, <=, > or >= and a number of milliseconds".to_owned()),
        },
        Field::Attribute(Attribute::Experiment) => {
            Err(format!("experiment_id orders, but filters not; expected one of {ATTRIBUTES}"))
        }
        Field::Prompt => match right {
            Right::Text(Equal, text) if text.matches('/').count() == 1 => {
                Ok(Test::Text(TextTest::Equal(text)))
            }
            _ => Err("a prompt is compared with = and \"name/version\"".to_owned()),
        },
        Field::Issue => match right {
            Right::Text(Equal, text) => Ok(Test::Text(TextTest::Equal(text))),
            _ => Err("an issue is compared with = and its id in quotes".to_owned()),
        },
        Field::Span(SpanField::Content) => match right {
            Right::Pattern(pattern) => Ok(Test::Text(TextTest::Fits(pattern))),
            _ => Err("the text of a span is compared with LIKE, ILIKE or RLIKE".to_owned()),
        },
        Field::Assessment(..) => match right {
            Right::Number(Equal | Differs, _) => {
                Err("= and != compare the value of an assessment with text in quotes, as in feedback.x = '1'"
                    .to_owned())
            }
            Right::Number(comparison, number) => Ok(Test::Number(comparison, number)),
            other => text_test(other),
        },
        Field::Attribute(_) | Field::Span(_) if matches!(right, Right::Null(_)) => {
            Err("IS NULL and IS NOT NULL are for tags, metadata, feedback and expectations".to_owned())
        }
        _ => text_test(right),
    }
}

fn text_test(right: Right) -> Result<Test, String> {
    Ok(match right {
        Right::Null(absent) => Test::Null(absent),
        Right::Text(Comparison::Equal, text) => Test::Text(TextTest::Equal(text)),
        Right::Text(Comparison::Differs, text) => Test::Text(TextTest::Differs(text)),
        Right::List(true, list) => Test::Text(TextTest::In(list)),
        Right::List(false, list) => Test::Text(TextTest::NotIn(list)),
        Right::Pattern(pattern) => Test::Text(TextTest::Fits(pattern)),
        Right::Text(comparison, _) => {
            return Err(format!(
                "found `{}`, expected =, !=, LIKE, ILIKE, RLIKE, IN or NOT IN for text",
                comparison.sql()
            ));
        }
        Right::Number(_, number) => {
            return Err(format!("found the number {number}, expected text in quotes, as in '{number}'"));
        }
    })
}
