//! `/graphql`: the few queries that MLflow's web pages ask in that language.
//!
//! Each root field is an endpoint of the REST protocol in other words: its argument `input` is the request, and of the
//! answer what is selected is given, in camelCase, with whole numbers of 64 bits as text. There are no mutations. A query
//! may have a few root fields and a bounded depth, since each costs a request.

mod select;

use std::sync::Arc;

use graphql_parser::query::{Definition, Document, Field, OperationDefinition, Selection, SelectionSet};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::call::{Answer, Call, json, required};
use super::{MlflowError, experiments, metrics, registry, runs};
use crate::app::App;
use crate::caller::Caller;
use crate::routes::{Need, Routes};

use select::{Fragments, select, value};

pub(super) fn routes(routes: &mut Routes) {
    routes.post("/graphql", Need::Read, answer);
}

/// The longest query, in bytes, and the most root fields.
const LONGEST: usize = 32 << 10;
const ROOTS: usize = 5;

#[derive(Deserialize)]
struct Asked {
    query: Option<String>,
    #[serde(default)]
    variables: Option<Map<String, Value>>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
}

async fn answer(call: Call<Asked>) -> Answer {
    let Call { app, caller, asked, .. } = call;
    let text = required("query", &asked.query)?;
    if text.len() > LONGEST {
        return Err(MlflowError::invalid(format!(
            "the query has {} bytes, expected at most {LONGEST}",
            text.len()
        )));
    }
    let variables = asked.variables.unwrap_or_default();
    // The parsed query is not kept across a wait: what is to be done is taken from it first.
    let roots = roots(text, asked.operation_name.as_deref(), &variables)?;
    let (mut data, mut errors) = (Map::new(), Vec::new());
    for root in roots {
        match root.answer(&app, &caller).await {
            Ok(answer) => drop(data.insert(root.alias, answer)),
            Err(error) => {
                errors.push(json!(error.message()));
                data.insert(root.alias, Value::Null);
            }
        }
    }
    let errors = if errors.is_empty() { Value::Null } else { Value::Array(errors) };
    json(&json!({ "data": data, "errors": errors }))
}

/// A root field: which endpoint, with what, and what is wanted of its answer.
struct Root {
    alias: String,
    name: String,
    input: Value,
    /// The query again, to select from the answer by.
    wanted: select::Wanted,
}

fn roots(
    text: &str,
    operation: Option<&str>,
    variables: &Map<String, Value>,
) -> Result<Vec<Root>, MlflowError> {
    let wrong =
        |error: &dyn std::fmt::Display| MlflowError::invalid(format!("the query is not GraphQL: {error}"));
    let document: Document<'_, String> = graphql_parser::parse_query(text).map_err(|error| wrong(&error))?;
    let mut fragments = Fragments::default();
    let mut found: Option<&SelectionSet<'_, String>> = None;
    for definition in &document.definitions {
        match definition {
            Definition::Fragment(fragment) => fragments.add(fragment),
            Definition::Operation(OperationDefinition::SelectionSet(set)) => found = found.or(Some(set)),
            Definition::Operation(OperationDefinition::Query(query)) => {
                let meant = operation.is_none_or(|name| query.name.as_deref() == Some(name));
                if meant {
                    found = found.or(Some(&query.selection_set));
                }
            }
            Definition::Operation(_) => {
                return Err(MlflowError::invalid("a mutation or a subscription, expected a query"));
            }
        }
    }
    let set = found.ok_or_else(|| MlflowError::invalid("the query has no operation of that name"))?;
    if set.items.len() > ROOTS {
        return Err(MlflowError::invalid(format!(
            "the query has {} root fields, expected at most {ROOTS}: ask several times",
            set.items.len()
        )));
    }
    let mut roots = Vec::new();
    for item in &set.items {
        let Selection::Field(field) = item else {
            return Err(MlflowError::invalid("the query's root has a fragment, expected fields"));
        };
        roots.push(root(field, variables, &fragments)?);
    }
    Ok(roots)
}

fn root(
    field: &Field<'_, String>,
    variables: &Map<String, Value>,
    fragments: &Fragments<'_>,
) -> Result<Root, MlflowError> {
    let mut input = Value::Object(Map::new());
    for (name, given) in &field.arguments {
        let given = value(given, variables, 0)?;
        match name.as_str() {
            "input" => input = select::snake(given),
            // `test(inputString: …)` echoes.
            _ => input = json!({ name: given }),
        }
    }
    Ok(Root {
        alias: field.alias.clone().unwrap_or_else(|| field.name.clone()),
        name: field.name.clone(),
        input,
        wanted: select::Wanted::of(&field.selection_set, fragments)?,
    })
}

impl Root {
    async fn answer(&self, app: &Arc<App>, caller: &Caller) -> Result<Value, MlflowError> {
        let to = Asking { app, caller, input: &self.input };
        let outcome = match self.name.as_str() {
            "__typename" => return Ok("Query".into()),
            "test" => Ok(json!({ "output": self.input.get("inputString").cloned().unwrap_or_default() })),
            "mlflowGetExperiment" => to.ask(experiments::by_id).await,
            "mlflowGetRun" => self.with_more(to.ask(runs::by_id).await, app, caller).await,
            "mlflowSearchRuns" => self.with_more(to.ask(runs::search).await, app, caller).await,
            "mlflowGetMetricHistoryBulkInterval" => to.ask(metrics::sampled).await,
            "mlflowSearchDatasets" => to.ask(experiments::search_datasets).await,
            "mlflowSearchModelVersions" => to.ask(registry::search::versions).await,
            "mlflowListArtifacts" => to.ask(super::artifacts::owned::list).await,
            other => {
                let shown: String = other.chars().take(60).collect();
                return Err(MlflowError::invalid(format!("there is no query `{shown}`")));
            }
        };
        let answer = outcome.unwrap_or_else(|error| json!({ "api_error": error.described() }));
        Ok(select(&answer, &self.wanted))
    }

    /// Adds to runs what only this protocol has beside them: the experiment, and the model versions made of them.
    async fn with_more(
        &self,
        outcome: Result<Value, MlflowError>,
        app: &Arc<App>,
        caller: &Caller,
    ) -> Result<Value, MlflowError> {
        let mut answer = outcome?;
        let (experiment, versions) =
            (self.wanted.mentions("experiment"), self.wanted.mentions("modelVersions"));
        let mut runs: Vec<&mut Value> = match answer.as_object_mut() {
            Some(object) => object
                .iter_mut()
                .flat_map(|(name, value)| match (name.as_str(), value) {
                    ("runs", Value::Array(list)) => list.iter_mut().collect(),
                    ("run", run) => vec![run],
                    _ => Vec::new(),
                })
                .collect(),
            None => Vec::new(),
        };
        for run in &mut runs {
            let text = |name: &str| run.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (run_id, experiment_id) = (text("/info/run_id"), text("/info/experiment_id"));
            if experiment {
                let input = json!({ "experiment_id": experiment_id });
                let found = Asking { app, caller, input: &input }.ask(experiments::by_id).await?;
                run["experiment"] = found.get("experiment").cloned().unwrap_or_default();
            }
            if versions {
                let input = json!({ "filter": format!("run_id='{}'", run_id.replace('\'', "''")) });
                let found = Asking { app, caller, input: &input }.ask(registry::search::versions).await?;
                run["model_versions"] = found.get("model_versions").cloned().unwrap_or_else(|| json!([]));
            }
        }
        Ok(answer)
    }
}

/// An endpoint asked from inside.
struct Asking<'a> {
    app: &'a Arc<App>,
    caller: &'a Caller,
    input: &'a Value,
}

impl Asking<'_> {
    async fn ask<T: DeserializeOwned, F: Future<Output = Answer>>(
        &self,
        handler: impl FnOnce(Call<T>) -> F,
    ) -> Result<Value, MlflowError> {
        let asked = serde_json::from_value(self.input.clone())
            .map_err(|error| MlflowError::invalid(format!("the input is not what was expected: {error}")))?;
        let call = Call { app: Arc::clone(self.app), caller: self.caller.clone(), peer: None, asked };
        let response = handler(call).await?;
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        let body = body.map_err(|error| MlflowError::invalid(error.to_string()))?;
        serde_json::from_slice(&body).map_err(|error| MlflowError::invalid(error.to_string()))
    }
}
