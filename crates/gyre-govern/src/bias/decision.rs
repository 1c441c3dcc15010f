//! Columns read as yes or no.
//!
//! What counts as positive is never guessed from the data: a wrong guess would turn the report upside down. Only 1 and
//! true speak for themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use gyre_core::Value;

use super::BiasError;

/// Positive or not, row by row; `None` where it is missing.
pub(super) type Decisions = Vec<Option<bool>>;

/// How many of a column's values a message shows.
const SHOWN: usize = 6;

/// Labels and predictions, decided. One of the two may never be positive, but
/// both must speak of the same classes.
pub(super) fn decide_both(
    actual: &[Value],
    predicted: &[Value],
    positive: Option<&str>,
    threshold: Option<f64>,
) -> Result<(Decisions, Decisions), BiasError> {
    if let Some(threshold) = threshold {
        let predicted: Result<_, _> =
            predicted.iter().map(|value| reaches("prediction", value, threshold)).collect();
        return Ok((decide("label", actual, &classes(actual), positive)?, predicted?));
    }
    let (of_label, of_prediction) = (classes(actual), classes(predicted));
    if positive.is_some() && !of_prediction.is_empty() && of_label.is_disjoint(&of_prediction) {
        let some: Vec<String> = of_label.iter().take(SHOWN).map(|class| format!("`{class:.40}`")).collect();
        let expected = format!("the classes of the label ({})", some.join(", "));
        return Err(undecided("prediction", &of_prediction, expected));
    }
    let all = &of_label | &of_prediction;
    Ok((decide("label", actual, &all, positive)?, decide("prediction", predicted, &all, positive)?))
}

/// Each value as positive or not, where `classes` are all there are.
fn decide(
    column: &'static str,
    values: &[Value],
    classes: &BTreeSet<Arc<str>>,
    positive: Option<&str>,
) -> Result<Decisions, BiasError> {
    let positive = match positive {
        Some(class) if classes.is_empty() || classes.contains(class) => class.to_owned(),
        Some(class) => {
            let known = classes.iter().map(|class| &**class);
            let nearest = gyre_core::ids::nearest(class, known);
            let hint = nearest.map_or(String::new(), |nearest| format!("; did you mean `{nearest}`?"));
            let expected = format!("the positive class `{class}` among them{hint}");
            return Err(undecided(column, classes, expected));
        }
        None => plain(classes).ok_or_else(|| {
            let expected = "0 and 1, or true and false; else say which class is positive, or from which \
                            threshold a score is"
                .to_owned();
            undecided(column, classes, expected)
        })?,
    };
    Ok(values.iter().map(|value| category(value).map(|class| *class == *positive)).collect())
}

fn reaches(column: &'static str, value: &Value, threshold: f64) -> Result<Option<bool>, BiasError> {
    match value {
        Value::Missing => Ok(None),
        Value::Number(score) if score.is_nan() => Ok(None),
        Value::Number(score) => Ok(Some(*score >= threshold)),
        Value::Bool(_) | Value::Text(_) => Err(BiasError::Undecided {
            column,
            found: format!("`{value}`"),
            expected: "numbers, for a threshold is given".to_owned(),
        }),
    }
}

/// The positive class of columns that need no explanation.
fn plain(classes: &BTreeSet<Arc<str>>) -> Option<String> {
    let among =
        |pair: [&str; 2]| classes.iter().all(|class| pair.contains(&&**class)).then(|| pair[1].to_owned());
    among(["0", "1"]).or_else(|| among(["false", "true"])).or_else(|| among(["False", "True"]))
}

fn category(value: &Value) -> Option<Arc<str>> {
    value.as_category().filter(|_| !matches!(value, Value::Number(number) if number.is_nan()))
}

/// The different values, as far as a decision needs them.
fn classes(values: &[Value]) -> BTreeSet<Arc<str>> {
    values.iter().filter_map(category).collect()
}

fn undecided(column: &'static str, classes: &BTreeSet<Arc<str>>, expected: String) -> BiasError {
    let mut shown: Vec<String> = classes.iter().take(SHOWN).map(|class| format!("`{class:.40}`")).collect();
    if classes.len() > SHOWN {
        shown.push(format!("… ({} different values)", classes.len()));
    }
    BiasError::Undecided { column, found: shown.join(", "), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[&str]) -> Vec<Value> {
        values.iter().map(|value| Value::Text((*value).into())).collect()
    }

    #[test]
    fn zero_and_one_need_no_explanation_and_other_classes_do() {
        let alike = |values: &[Value], positive| {
            decide_both(values, values, positive, None).map(|(label, prediction)| {
                assert_eq!(label, prediction);
                label
            })
        };
        let numbers = [Value::Number(1.0), Value::Number(0.0), Value::Missing, Value::Number(f64::NAN)];
        assert_eq!(alike(&numbers, None).unwrap(), [Some(true), Some(false), None, None]);
        assert_eq!(alike(&[Value::Bool(true), Value::Bool(false)], None).unwrap(), [Some(true), Some(false)]);
        let text = alike(&texts(&["good", "bad"]), None).unwrap_err().to_string();
        assert!(text.contains("`bad`, `good`") && text.contains("say which class is positive"), "{text}");
        assert_eq!(alike(&texts(&["good", "bad"]), Some("good")).unwrap(), [Some(true), Some(false)]);
        let text = alike(&texts(&["good", "bad"]), Some("goood")).unwrap_err().to_string();
        assert!(text.contains("did you mean `good`?"), "{text}");
    }

    #[test]
    fn a_model_may_never_say_yes_but_not_speak_another_language() {
        let actual = texts(&["good", "bad"]);
        let (_, never) = decide_both(&actual, &texts(&["bad", "bad"]), Some("good"), None).unwrap();
        assert_eq!(never, [Some(false), Some(false)]);
        let numbers = [Value::Number(1.0), Value::Number(0.0)];
        let text = decide_both(&actual, &numbers, Some("good"), None).unwrap_err().to_string();
        assert_eq!(
            text,
            "the prediction column holds `0`, `1`, expected the classes of the label (`bad`, `good`)"
        );
    }

    #[test]
    fn scores_need_a_threshold() {
        let actual = [Value::Number(1.0), Value::Number(0.0), Value::Number(1.0)];
        let scores = [Value::Number(0.5), Value::Number(0.49), Value::Missing];
        let (_, decided) = decide_both(&actual, &scores, None, Some(0.5)).unwrap();
        assert_eq!(decided, [Some(true), Some(false), None]);
        assert!(decide_both(&actual, &scores, None, None).unwrap_err().to_string().contains("threshold"));
        assert!(decide_both(&actual, &texts(&["yes", "no", "no"]), None, Some(0.5)).is_err());
    }
}
