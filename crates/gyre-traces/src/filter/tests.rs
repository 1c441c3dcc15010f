use proptest::prelude::*;

use super::*;

fn one(text: &str) -> Clause {
    let filter = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(filter.clauses.len(), 1, "{text}");
    filter.clauses.into_iter().next().unwrap()
}

#[test]
fn names_are_found_however_they_are_written() {
    let tag = |key: &str| Field::Tag(key.to_owned());
    for (text, field) in [
        ("status = 'OK'", Field::Attribute(Attribute::State)),
        ("trace.status = 'OK'", Field::Attribute(Attribute::State)),
        ("attributes.timestamp > 5", Field::Attribute(Attribute::Time)),
        ("tags.a = 'b'", tag("a")),
        ("tag.`x y` = \"b\"", tag("x y")),
        ("tags.\"x y\" != 'b'", tag("x y")),
        ("tags.'it''s' != 'b'", tag("it's")),
        ("tags.mlflow.user = 'b'", tag("mlflow.user")),
        ("tags.a-b/c:d = 'b'", tag("a-b/c:d")),
        ("name = 'b'", tag("mlflow.traceName")),
        ("metadata.m IS NULL", Field::Metadata("m".to_owned())),
        ("request_metadata.m is not null", Field::Metadata("m".to_owned())),
        ("metadata.mlflow.sourceRun = 'r'", Field::Run),
        ("run_id='r'", Field::Run),
        ("span.name IN ('a')", Field::Span(SpanField::Name)),
        ("span.attributes.a.b = 'x'", Field::Span(SpanField::Attribute("a.b".to_owned()))),
        ("span.attributes.`a b` = 'x'", Field::Span(SpanField::Attribute("a b".to_owned()))),
        ("trace.text LIKE '%x%'", Field::Span(SpanField::Content)),
        ("feedback.good >= .5e0", Field::Assessment(AssessmentKind::Feedback, "good".to_owned())),
        ("expectation.`e x` = 'true'", Field::Assessment(AssessmentKind::Expectation, "e x".to_owned())),
        ("prompt = 'p/1'", Field::Prompt),
        ("issue.id = 'i'", Field::Issue),
    ] {
        // A number begins with a digit.
        let text = text.replace(".5e0", "0.5e0");
        assert_eq!(one(&text).field, field, "{text}");
    }
}

#[test]
fn clauses_are_joined_by_and() {
    let filter = parse(" status='OK'\n and  timestamp_ms>=-5 AND tags.a NOT IN ('x', \"y\") ").unwrap();
    assert_eq!(filter.clauses.len(), 3);
    assert!(matches!(filter.clauses[1].test, Test::Number(Comparison::AtLeast, n) if n == -5.0));
    assert!(matches!(&filter.clauses[2].test, Test::Text(TextTest::NotIn(list)) if list == &["x", "y"]));
    assert!(parse("").unwrap().clauses.is_empty());
    assert!(parse("  ").unwrap().clauses.is_empty());
    assert!(matches!(&one("name = 'it''s'").test, Test::Text(TextTest::Equal(text)) if text == "it's"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, said) in [
        ("status = 'OK' OR status = 'ERROR'", "at character 15: found `OR`, expected AND"),
        ("(status = 'OK')", "at character 1: found `(`, expected a name"),
        ("status = OK", "at character 10: found `OK`, expected text in quotes"),
        ("status = 'OK", "at character 10: the quote ' is never closed"),
        ("status", "at character 7: found the end, expected an operator"),
        ("status = 'OK' AND", "at character 18: found the end, expected a name"),
        ("status = 'OK'; drop", "at character 14: found `;`"),
        ("status > 'OK'", "at character 1: found `>`, expected =, !=, LIKE"),
        ("timestamp_ms BETWEEN 1 AND 2", "at character 14: found `BETWEEN`, expected an operator"),
        ("timestamp_ms LIKE 'a'", "times are compared with"),
        ("timestamp_ms > 'soon'", "found `soon`, expected a number of milliseconds"),
        ("name LIKE 5", "at character 11: found the number 5, expected text in quotes"),
        ("foo = 'a'", "there is no attribute `foo`; expected one of status"),
        ("TAGS.t = '1'", "expected it to begin with tags."),
        ("assessment.x = 'a'", "expected it to begin with tags."),
        ("span.foo = 'a'", "found span.`foo`, expected span.name"),
        ("tags. = 'a'", "a key is missing after `tags.`"),
        ("status IS NULL", "IS NULL and IS NOT NULL are for tags"),
        ("feedback.ok = 1", "compare the value of an assessment with text in quotes"),
        ("feedback.ok > '1'", "found `>`, expected"),
        ("text = 'a'", "compared with LIKE"),
        ("prompt = 'a'", "\"name/version\""),
        ("name RLIKE '('", "expects a regular expression"),
        ("name IN ()", "at character 10: found `)`, expected text in quotes"),
        ("name IN ('a' 'b')", "expected `,` or `)`"),
        ("timestamp_ms > 1e999", "expected a number"),
        ("name ! 'a'", "expected one of the operators"),
        ("experiment_id = '1'", "experiment_id orders"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn sizes_are_limited() {
    assert!(parse(&" ".repeat(70_000)).is_err());
    assert!(parse(&vec!["name='a'"; 101].join(" AND ")).is_err());
    assert!(parse(&format!("name IN ({})", vec!["'a'"; 1_002].join(","))).is_err());
}

proptest! {
    /// Whatever comes, reading it ends without a panic.
    #[test]
    fn nothing_breaks_the_reader(text in "\\PC{0,80}") {
        drop(parse(&text));
    }

    #[test]
    fn nothing_like_a_filter_breaks_the_reader(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("status"), Just("tags."), Just("span.attributes."), Just("`"), Just("'"), Just("\""), Just("="),
                Just("!"), Just("<"), Just(" "), Just("IN"), Just("NOT"), Just("("), Just(")"), Just(","), Just("AND"),
                Just("LIKE"), Just("IS"), Just("NULL"), Just("1"), Just("-"), Just("e"), Just("."), Just("\u{e4}"), Just("\0"),
            ],
            0..20,
        ),
    ) {
        drop(parse(&parts.concat()));
    }

    /// What is put in quotes comes out as it was.
    #[test]
    fn text_survives(text in "\\PC{0,40}", double in any::<bool>()) {
        let quote = if double { '"' } else { '\'' };
        let doubled = text.replace(quote, &format!("{quote}{quote}"));
        let clause = one(&format!("tags.k = {quote}{doubled}{quote}"));
        prop_assert!(matches!(&clause.test, Test::Text(TextTest::Equal(found)) if *found == text));
    }
}
