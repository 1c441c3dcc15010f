//! From a query to what it wants, and from an answer to what was wanted. Pure.

use std::collections::BTreeMap;

use graphql_parser::query::{FragmentDefinition, Selection, SelectionSet, Value as Literal};
use serde_json::{Map, Value};

use super::MlflowError;

/// How deep a query may go.
const DEEP: usize = 16;
/// How many fields a query may want in all.
const FIELDS: usize = 1_000;

/// The fragments of a query, by name.
#[derive(Default)]
pub(super) struct Fragments<'a>(BTreeMap<&'a str, &'a SelectionSet<'a, String>>);

impl<'a> Fragments<'a> {
    pub(super) fn add(&mut self, fragment: &'a FragmentDefinition<'a, String>) {
        self.0.insert(&fragment.name, &fragment.selection_set);
    }
}

/// What is wanted of an object: field by field, under the names that it is to have.
#[derive(Debug, Default, Clone)]
pub(super) struct Wanted(Vec<(String, String, Wanted)>);

fn too_much() -> MlflowError {
    MlflowError::invalid(format!("the query goes deeper than {DEEP} or wants more than {FIELDS} fields"))
}

impl Wanted {
    pub(super) fn of(set: &SelectionSet<'_, String>, fragments: &Fragments<'_>) -> Result<Self, MlflowError> {
        let mut wanted = Self::default();
        wanted.add(set, fragments, 0, &mut { FIELDS })?;
        Ok(wanted)
    }

    fn add(
        &mut self,
        set: &SelectionSet<'_, String>,
        fragments: &Fragments<'_>,
        depth: usize,
        left: &mut usize,
    ) -> Result<(), MlflowError> {
        if depth > DEEP {
            return Err(too_much());
        }
        for item in &set.items {
            // A fragment costs whenever it is used, or a few lines could want more than there is memory.
            *left = left.checked_sub(1).ok_or_else(too_much)?;
            match item {
                Selection::Field(field) => {
                    let alias = field.alias.clone().unwrap_or_else(|| field.name.clone());
                    let mut inner = Self::default();
                    inner.add(&field.selection_set, fragments, depth + 1, left)?;
                    match self.0.iter_mut().find(|(before, _, _)| *before == alias) {
                        Some((_, _, before)) => before.0.extend(inner.0),
                        None => self.0.push((alias, field.name.clone(), inner)),
                    }
                }
                Selection::InlineFragment(inline) => {
                    self.add(&inline.selection_set, fragments, depth + 1, left)?
                }
                Selection::FragmentSpread(spread) => {
                    let set = fragments.0.get(spread.fragment_name.as_str()).ok_or_else(|| {
                        let shown: String = spread.fragment_name.chars().take(60).collect();
                        MlflowError::invalid(format!("the query has no fragment `{shown}`"))
                    })?;
                    self.add(set, fragments, depth + 1, left)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the field `name` is wanted anywhere within.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.0.iter().any(|(_, field, inner)| field == name || inner.mentions(name))
    }
}

/// The value of an argument.
pub(super) fn value(
    literal: &Literal<'_, String>,
    variables: &Map<String, Value>,
    depth: usize,
) -> Result<Value, MlflowError> {
    if depth > DEEP {
        return Err(too_much());
    }
    Ok(match literal {
        Literal::Variable(name) => variables.get(name).cloned().unwrap_or_default(),
        Literal::Int(number) => number.as_i64().into(),
        Literal::Float(number) => (*number).into(),
        Literal::String(text) | Literal::Enum(text) => text.as_str().into(),
        Literal::Boolean(truth) => (*truth).into(),
        Literal::Null => Value::Null,
        Literal::List(items) => {
            let items: Result<_, _> = items.iter().map(|item| value(item, variables, depth + 1)).collect();
            Value::Array(items?)
        }
        Literal::Object(fields) => {
            let mut object = Map::new();
            for (name, field) in fields {
                object.insert(name.clone(), value(field, variables, depth + 1)?);
            }
            Value::Object(object)
        }
    })
}

/// The same with names in `snake_case`.
pub(super) fn snake(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            Value::Object(object.into_iter().map(|(name, value)| (snake_name(&name), snake(value))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(snake).collect()),
        other => other,
    }
}

fn snake_name(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// Lists, which are empty rather than null where there is nothing.
const LISTS: [&str; 13] = [
    "aliases",
    "dataset_inputs",
    "dataset_summaries",
    "files",
    "metrics",
    "model_inputs",
    "model_metrics",
    "model_outputs",
    "model_params",
    "model_versions",
    "params",
    "runs",
    "tags",
];
/// Whole numbers of 64 bits, which go as text.
const LONGS: [&str; 9] = [
    "creation_time",
    "creation_timestamp",
    "end_time",
    "file_size",
    "last_update_time",
    "last_updated_timestamp",
    "start_time",
    "step",
    "timestamp",
];

/// What is wanted of `answer`.
pub(super) fn select(answer: &Value, wanted: &Wanted) -> Value {
    select_as(answer, wanted, "query")
}

fn select_as(answer: &Value, wanted: &Wanted, field: &str) -> Value {
    match answer {
        Value::Array(list) => list.iter().map(|item| select_as(item, wanted, field)).collect(),
        Value::Object(object) if !wanted.0.is_empty() => {
            let mut selected = Map::new();
            for (alias, name, inner) in &wanted.0 {
                let chosen = if name == "__typename" {
                    type_name(field).into()
                } else {
                    let snake = if name == "apiError" { "api_error".to_owned() } else { snake_name(name) };
                    match object.get(&snake) {
                        Some(value) => select_as(value, inner, &snake),
                        None if LISTS.contains(&snake.as_str()) => Value::Array(Vec::new()),
                        None => Value::Null,
                    }
                };
                selected.insert(alias.clone(), chosen);
            }
            Value::Object(selected)
        }
        Value::Number(number) if LONGS.contains(&field) => number.to_string().into(),
        // The type of a metric's value has no NaN.
        Value::String(text)
            if field == "value" && matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") =>
        {
            Value::Null
        }
        other => other.clone(),
    }
}

/// The name of the type of what stands in a field, by which pages keep answers apart.
fn type_name(field: &str) -> String {
    let name = match field {
        "run" | "runs" => "MlflowRunExtension",
        "metrics" => "MlflowMetricExtension",
        "api_error" => "ApiError",
        "query" => "MlflowResponse",
        "tags" => "MlflowTag",
        "files" => "MlflowFileInfo",
        other => {
            let singular = other.strip_suffix('s').filter(|_| LISTS.contains(&other)).unwrap_or(other);
            let words = singular.split('_').map(|word| {
                let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
                format!("{}{rest}", first.to_uppercase())
            });
            return format!("Mlflow{}", words.collect::<String>());
        }
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use graphql_parser::query::{Definition, Document, OperationDefinition};
    use serde_json::json;

    fn wanted(text: &str) -> Result<Wanted, MlflowError> {
        let document: Document<'_, String> = graphql_parser::parse_query(text).unwrap();
        let mut fragments = Fragments::default();
        for definition in &document.definitions {
            if let Definition::Fragment(fragment) = definition {
                fragments.add(fragment);
            }
        }
        for definition in &document.definitions {
            if let Definition::Operation(OperationDefinition::SelectionSet(set)) = definition {
                return Wanted::of(set, &fragments);
            }
        }
        panic!("no operation");
    }

    #[test]
    fn what_is_wanted_is_what_comes_in_camel_case() {
        let wanted = wanted(
            "{ run { __typename info { runId startTime at: endTime } data { metrics { key value step } params { key } } ...more } }
             fragment more on Run { inputs { datasetInputs { dataset { name } } } }",
        );
        let answer = json!({"run": {"info": {"run_id": "a", "start_time": 5, "status": "X"}, "data": {
            "metrics": [{"key": "m", "value": "NaN", "step": 7}, {"key": "n", "value": 0.5, "step": 8}]}, "inputs": {}}});
        let selected = select(&answer, &wanted.unwrap());
        assert_eq!(
            selected,
            json!({"run": {"__typename": "MlflowRunExtension", "info": {"runId": "a", "startTime": "5", "at": null},
                "data": {"metrics": [{"key": "m", "value": null, "step": "7"}, {"key": "n", "value": 0.5, "step": "8"}], "params": []},
                "inputs": {"datasetInputs": []}}})
        );
    }

    #[test]
    fn endless_queries_end() {
        let looped = "{ ...a } fragment a on X { b { ...a } }";
        assert!(wanted(looped).is_err());
        let doubled: String = (0..30)
            .map(|n| format!("fragment f{n} on X {{ a{n} {{ ...f{0} }} b{n} {{ ...f{0} }} }} ", n + 1))
            .collect();
        assert!(wanted(&format!("{{ ...f0 }} {doubled} fragment f30 on X {{ z }}")).is_err());
    }
}
