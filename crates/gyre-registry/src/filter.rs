//! The filter grammar of the registry's searches: clauses joined by AND.
//!
//! ```text
//! filter  = clause { AND clause }
//! clause  = field comparator value
//! field   = name | run_id | source_path | version_number | (tag | tags) . key        optionally attribute. before
//! key     = anything without space and quotes | `anything` | "anything"
//! compare = = | != | > | >= | < | <= | LIKE | ILIKE | IN | NOT IN
//! value   = 'text' | "text" | whole number | ( value, … )
//! ```
//!
//! Pure. What a clause means is the same on every database: patterns are matched here ([`Pattern`]), not by the database,
//! since databases differ about the case of LIKE.

use std::fmt;

/// The longest filter, in bytes.
const MAX_FILTER: usize = 200_000;
/// The most clauses, and the most values in all lists together.
const MAX_CLAUSES: usize = 100;
const MAX_VALUES: usize = 10_000;

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// Registered models.
    Models,
    /// Versions of registered models.
    Versions,
}

/// What a clause is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The name of the model.
    Name,
    /// The number of the version.
    Number,
    /// The run of the version.
    Run,
    /// The source of the version.
    Source,
    /// A tag.
    Tag(String),
}

/// An order of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// What a clause asks of its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// To be a text, or not to be it.
    Text {
        /// Whether it must be another.
        negated: bool,
        /// The text.
        value: String,
    },
    /// To compare with a number.
    Number(Comparison, i64),
    /// To be one of several texts, or none of them.
    Among {
        /// Whether it must be none of them.
        negated: bool,
        /// The texts.
        values: Vec<String>,
    },
    /// To match a pattern.
    Like(Pattern),
}

/// A clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// What it is about.
    pub field: Field,
    /// What it asks.
    pub test: Test,
}

/// A pattern of LIKE or ILIKE: `%` stands for any text, `_` for any character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pattern: Vec<char>,
    ignore_case: bool,
}

/// Why a filter cannot be read: where, what was found, what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid filter at character {}: found {found}, expected {expected}", .at + 1)]
pub struct FilterError {
    /// The place, in characters from 0.
    pub at: usize,
    /// What is there.
    pub found: String,
    /// What should be there.
    pub expected: String,
}

/// Reads a filter; an empty one has no clauses.
///
/// # Errors
/// [`FilterError`].
pub fn parse(entity: Entity, text: &str) -> Result<Vec<Clause>, FilterError> {
    if text.len() > MAX_FILTER {
        let found = format!("{} bytes", text.len());
        return Err(FilterError { at: 0, found, expected: format!("at most {MAX_FILTER}") });
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, next: 0, end: text.chars().count(), values: 0 };
    let mut clauses = Vec::new();
    if tokens.is_empty() {
        return Ok(clauses);
    }
    loop {
        if clauses.len() == MAX_CLAUSES {
            return Err(parser.unexpected(&format!("at most {MAX_CLAUSES} clauses")));
        }
        clauses.push(parser.clause(entity)?);
        match parser.take() {
            None => return Ok(clauses),
            Some(token) if token.is_word("AND") => {}
            Some(_) => {
                parser.next -= 1;
                return Err(parser.unexpected("AND, or the end (OR, NOT and parentheses are not supported)"));
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A word: a keyword, a number, or a field with its parts.
    Word(Vec<Part>),
    /// A quoted text.
    Quoted(String),
    /// A comparator of signs.
    Sign(Comparison),
    Open,
    Close,
    Comma,
}

/// A part of a word, between dots.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    text: String,
    quoted: bool,
}

#[derive(Debug, Clone)]
struct Token {
    at: usize,
    kind: Kind,
    shown: String,
}

impl Token {
    fn is_word(&self, keyword: &str) -> bool {
        match &self.kind {
            Kind::Word(parts) => match parts.as_slice() {
                [part] => !part.quoted && part.text.eq_ignore_ascii_case(keyword),
                _ => false,
            },
            _ => false,
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, FilterError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let begin = at;
        let kind = match c {
            c if c.is_whitespace() => {
                at += 1;
                continue;
            }
            '(' | ')' | ',' => {
                at += 1;
                match c {
                    '(' => Kind::Open,
                    ')' => Kind::Close,
                    _ => Kind::Comma,
                }
            }
            '=' | '!' | '<' | '>' => sign(&chars, &mut at)?,
            '\'' => Kind::Quoted(quoted(&chars, &mut at)?),
            _ => word(&chars, &mut at)?,
        };
        let shown = chars.get(begin..at).unwrap_or_default().iter().take(60).collect();
        tokens.push(Token { at: begin, kind, shown });
    }
    Ok(tokens)
}

fn sign(chars: &[char], at: &mut usize) -> Result<Kind, FilterError> {
    let begin = *at;
    let (comparison, length) = match (chars.get(begin), chars.get(begin + 1)) {
        (Some('='), _) => (Comparison::Equal, 1),
        (Some('!'), Some('=')) => (Comparison::NotEqual, 2),
        (Some('<'), Some('=')) => (Comparison::AtMost, 2),
        (Some('>'), Some('=')) => (Comparison::AtLeast, 2),
        (Some('<'), _) => (Comparison::Less, 1),
        (Some('>'), _) => (Comparison::Greater, 1),
        _ => return Err(FilterError { at: begin, found: "`!`".to_owned(), expected: "`!=`".to_owned() }),
    };
    *at += length;
    Ok(Kind::Sign(comparison))
}

/// A text between quotes, which stand for themselves when they are doubled.
fn quoted(chars: &[char], at: &mut usize) -> Result<String, FilterError> {
    let begin = *at;
    let quote = chars.get(begin).copied().unwrap_or('\'');
    let mut text = String::new();
    let mut next = begin + 1;
    loop {
        match chars.get(next) {
            Some(&c) if c == quote && chars.get(next + 1) == Some(&quote) => {
                text.push(quote);
                next += 2;
            }
            Some(&c) if c == quote => break,
            Some(&c) => {
                text.push(c);
                next += 1;
            }
            None => {
                let expected = format!("a closing {quote}");
                return Err(FilterError {
                    at: begin,
                    found: "a quote that does not end".to_owned(),
                    expected,
                });
            }
        }
    }
    *at = next + 1;
    Ok(text)
}

/// Parts with dots between them; a part may be quoted. Only the first dot separates.
fn word(chars: &[char], at: &mut usize) -> Result<Kind, FilterError> {
    let mut parts = vec![Part { text: String::new(), quoted: false }];
    while let Some(&c) = chars.get(*at) {
        let last = parts.len() - 1;
        let Some(part) = parts.get_mut(last) else { break };
        match c {
            '`' | '"' if part.text.is_empty() && !part.quoted => {
                part.text = quoted(chars, at)?;
                part.quoted = true;
            }
            '.' if last == 0 => {
                parts.push(Part { text: String::new(), quoted: false });
                *at += 1;
            }
            c if c.is_whitespace() || "()=!<>,'`\"".contains(c) => break,
            _ if part.quoted => break,
            c => {
                part.text.push(c);
                *at += 1;
            }
        }
    }
    if let [only] = parts.as_slice()
        && only.quoted
        && chars.get(*at - 1) == Some(&'"')
    {
        return Ok(Kind::Quoted(only.text.clone()));
    }
    if parts.iter().all(|part| part.text.is_empty()) {
        let found = chars.get(*at).map_or("the end".to_owned(), |c| format!("`{c}`"));
        *at += 1;
        return Err(FilterError {
            at: *at - 1,
            found,
            expected: "a field, a comparator or a value".to_owned(),
        });
    }
    Ok(Kind::Word(parts))
}

struct Parser<'a> {
    tokens: &'a [Token],
    next: usize,
    end: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn take(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.next);
        // Also beyond the end, so that `refuse` always looks one back.
        self.next += 1;
        token
    }

    fn unexpected(&self, expected: &str) -> FilterError {
        let (at, found) = match self.tokens.get(self.next) {
            Some(token) => (token.at, format!("`{}`", token.shown)),
            None => (self.end, "the end".to_owned()),
        };
        FilterError { at, found, expected: expected.to_owned() }
    }

    /// The same about the token before.
    fn refuse(&self, expected: &str) -> FilterError {
        Parser { next: self.next.saturating_sub(1), ..*self }.unexpected(expected)
    }

    fn clause(&mut self, entity: Entity) -> Result<Clause, FilterError> {
        let field = self.field(entity)?;
        let test = self.test(&field)?;
        Ok(Clause { field, test })
    }

    fn field(&mut self, entity: Entity) -> Result<Field, FilterError> {
        let fields = match entity {
            Entity::Models => "`name` or `tags.KEY`",
            Entity::Versions => "`name`, `version_number`, `run_id`, `source_path` or `tags.KEY`",
        };
        let Some(Token { kind: Kind::Word(parts), .. }) = self.take() else {
            return Err(self.refuse(fields));
        };
        let (of, key) = match parts.as_slice() {
            [key] => ("attribute", key),
            [of, key] => (of.text.as_str(), key),
            _ => return Err(self.refuse(fields)),
        };
        let attribute = match of {
            "tag" | "tags" if !key.text.is_empty() => return Ok(Field::Tag(key.text.clone())),
            "attribute" => key.text.as_str(),
            _ => return Err(self.refuse(fields)),
        };
        match (entity, attribute) {
            (_, "name") => Ok(Field::Name),
            (Entity::Versions, "version_number") => Ok(Field::Number),
            (Entity::Versions, "run_id") => Ok(Field::Run),
            (Entity::Versions, "source_path") => Ok(Field::Source),
            _ => Err(self.refuse(fields)),
        }
    }

    fn test(&mut self, field: &Field) -> Result<Test, FilterError> {
        let lists = matches!(field, Field::Name | Field::Run);
        let expected = match field {
            Field::Number => "one of = != < <= > >=",
            _ if lists => "one of = != LIKE ILIKE IN, NOT IN",
            _ => "one of = != LIKE ILIKE",
        };
        let Some(comparator) = self.take() else { return Err(self.unexpected(expected)) };
        if let Kind::Sign(comparison) = comparator.kind {
            if *field == Field::Number {
                return Ok(Test::Number(comparison, self.number()?));
            }
            let negated = match comparison {
                Comparison::Equal => false,
                Comparison::NotEqual => true,
                _ => return Err(self.refuse(expected)),
            };
            return Ok(Test::Text { negated, value: self.text()? });
        }
        if *field == Field::Number {
            return Err(self.refuse(expected));
        }
        for (keyword, ignore_case) in [("LIKE", false), ("ILIKE", true)] {
            if comparator.is_word(keyword) {
                return Ok(Test::Like(Pattern::new(&self.text()?, ignore_case)));
            }
        }
        let negated = comparator.is_word("NOT");
        if negated && !self.take().is_some_and(|token| token.is_word("IN")) {
            return Err(self.refuse("IN after NOT"));
        }
        if lists && (negated || comparator.is_word("IN")) {
            return Ok(Test::Among { negated, values: self.list()? });
        }
        Err(self.refuse(expected))
    }

    fn text(&mut self) -> Result<String, FilterError> {
        match self.take() {
            Some(Token { kind: Kind::Quoted(text), .. }) => Ok(text.clone()),
            Some(_) => Err(self.refuse("a text in quotes, like 'my-value'")),
            None => Err(self.unexpected("a text in quotes, like 'my-value'")),
        }
    }

    fn number(&mut self) -> Result<i64, FilterError> {
        let text = match self.take() {
            Some(Token { kind: Kind::Quoted(text), .. }) => Some(text.as_str()),
            Some(Token { kind: Kind::Word(parts), .. }) => match parts.as_slice() {
                [part] if !part.quoted => Some(part.text.as_str()),
                _ => None,
            },
            _ => None,
        };
        text.and_then(|text| text.trim().parse().ok()).ok_or_else(|| self.refuse("a whole number"))
    }

    fn list(&mut self) -> Result<Vec<String>, FilterError> {
        let expected = "a list of texts in quotes, like ('a', 'b')";
        if !matches!(self.take(), Some(Token { kind: Kind::Open, .. })) {
            return Err(self.refuse(expected));
        }
        let mut values = Vec::new();
        loop {
            match self.take().map(|token| &token.kind) {
                Some(Kind::Quoted(text)) => values.push(text.clone()),
                // A comma may stand behind the last one.
                Some(Kind::Close) if !values.is_empty() => return Ok(values),
                _ => return Err(self.refuse(expected)),
            }
            self.values += 1;
            if self.values > MAX_VALUES {
                return Err(self.refuse(&format!("at most {MAX_VALUES} values")));
            }
            match self.take().map(|token| &token.kind) {
                Some(Kind::Comma) => {}
                Some(Kind::Close) => return Ok(values),
                _ => return Err(self.refuse(expected)),
            }
        }
    }
}

impl Pattern {
    /// The pattern in `text`.
    pub fn new(text: &str, ignore_case: bool) -> Self {
        let fold = |c: char| if ignore_case { folded(c) } else { c };
        let mut pattern: Vec<char> = text.chars().map(fold).collect();
        pattern.dedup_by(|a, b| *a == '%' && *b == '%');
        Self { pattern, ignore_case }
    }

    /// Whether `text` matches, all of it. Takes at most the product of both lengths.
    pub fn matches(&self, text: &str) -> bool {
        let fold = |c: char| if self.ignore_case { folded(c) } else { c };
        let text: Vec<char> = text.chars().map(fold).collect();
        let (mut at, mut in_pattern) = (0, 0);
        // Where to go on when what follows the last `%` does not match here.
        let mut retry: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.pattern.get(in_pattern) {
                Some('%') => {
                    retry = Some((in_pattern + 1, at));
                    in_pattern += 1;
                }
                Some(c) if *c == '_' || text.get(at) == Some(c) => {
                    at += 1;
                    in_pattern += 1;
                }
                _ => match retry {
                    Some((after, from)) => {
                        retry = Some((after, from + 1));
                        (in_pattern, at) = (after, from + 1);
                    }
                    None => return false,
                },
            }
        }
        self.pattern.get(in_pattern..).unwrap_or_default().iter().all(|c| *c == '%')
    }
}

/// The lower case of a character that has one of a single character.
fn folded(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(entity: Entity, text: &str) -> Clause {
        let mut clauses = parse(entity, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(clauses.len(), 1, "{text}");
        clauses.remove(0)
    }

    #[test]
    fn each_form_of_a_clause_is_read() {
        let equal = |value: &str| Test::Text { negated: false, value: value.to_owned() };
        let tag = |key: &str| Field::Tag(key.to_owned());
        for (text, field, test) in [
            ("name = 'a b'", Field::Name, equal("a b")),
            ("name=\"it's\"", Field::Name, equal("it's")),
            ("attribute.name = 'it''s'", Field::Name, equal("it's")),
            ("tags.`a b.c` = ''", tag("a b.c"), equal("")),
            ("tag.mlflow.prompt.is_prompt = 'true'", tag("mlflow.prompt.is_prompt"), equal("true")),
            ("tags.\"x\"='y'", tag("x"), equal("y")),
            ("name != 'x'", Field::Name, Test::Text { negated: true, value: "x".to_owned() }),
            ("version_number>=3", Field::Number, Test::Number(Comparison::AtLeast, 3)),
            ("version_number = '3'", Field::Number, Test::Number(Comparison::Equal, 3)),
            (
                "run_id NOT  in ('a', 'b',)",
                Field::Run,
                Test::Among { negated: true, values: vec!["a".to_owned(), "b".to_owned()] },
            ),
            ("source_path like 's3:%'", Field::Source, Test::Like(Pattern::new("s3:%", false))),
        ] {
            assert_eq!(one(Entity::Versions, text), Clause { field, test }, "{text}");
        }
        assert_eq!(
            parse(Entity::Models, "name ILIKE '%a%' AND tags.k = 'v' and name != 'z'").unwrap().len(),
            3
        );
        assert!(parse(Entity::Models, "  ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_place() {
        for (text, at) in [
            ("name", 4),
            ("name =", 6),
            ("name = a", 7),
            ("name = 'a' OR name = 'b'", 11),
            ("name = 'a' name = 'b'", 11),
            ("name = 'a' AND", 14),
            ("(name = 'a')", 0),
            ("name > 'a'", 5),
            ("name = 'a", 7),
            ("run_id = 'x'", 0),
            ("params.a = 'x'", 0),
            ("tags. = 'x'", 0),
            ("name IN ()", 9),
            ("name IN ('a'", 12),
            ("tags.k IN ('a')", 7),
            ("name ! 'a'", 5),
            ("name BETWEEN 'a' AND 'b'", 5),
            ("name = 'a'; DROP TABLE registry_models", 10),
        ] {
            let error = parse(Entity::Models, text).expect_err(text);
            assert_eq!(error.at, at, "{text}: {error}");
        }
        assert!(parse(Entity::Versions, "version_number = 1.5").is_err());
        assert!(parse(Entity::Versions, "version_number LIKE '1'").is_err());
        assert!(parse(Entity::Models, &"x".repeat(MAX_FILTER + 1)).is_err());
        let many = vec!["name = 'a'"; MAX_CLAUSES + 1].join(" AND ");
        assert!(parse(Entity::Models, &many).is_err());
    }

    #[test]
    fn like_heeds_case_and_ilike_does_not() {
        for (pattern, text, like, ilike) in [
            ("a%", "abc", true, true),
            ("A%", "abc", false, true),
            ("%C", "abc", false, true),
            ("a_c", "abc", true, true),
            ("a_c", "ac", false, false),
            ("%", "", true, true),
            ("", "", true, true),
            ("", "a", false, false),
            ("%b%b%", "abcb", true, true),
            ("%É%", "café", false, true),
            ("a\\%", "a\\x", true, true),
        ] {
            assert_eq!(Pattern::new(pattern, false).matches(text), like, "{text} LIKE {pattern}");
            assert_eq!(Pattern::new(pattern, true).matches(text), ilike, "{text} ILIKE {pattern}");
        }
        let hostile = format!("{}b", "%a".repeat(200));
        assert!(!Pattern::new(&hostile, false).matches(&"a".repeat(5_000)));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse(Entity::Models, &text);
            let _ = parse(Entity::Versions, &text);
        }

        #[test]
        fn nor_does_anything_like_a_filter(text in "(name|tags\\.`?k|run_id|version_number|AND|NOT|IN|LIKE|=|!|'|\"|`|\\(|\\)|,|\\.|1| |é){0,20}") {
            let _ = parse(Entity::Models, &text);
            let _ = parse(Entity::Versions, &text);
        }

        #[test]
        fn a_quoted_text_means_itself(value in any::<String>()) {
            let text = format!("name = '{}'", value.replace('\'', "''"));
            prop_assert_eq!(one(Entity::Models, &text).test, Test::Text { negated: false, value });
        }
    }
}
