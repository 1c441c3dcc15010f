//! Searching experiments and logged models: few enough to be sorted by the database.

use gyre_store::{Cell, StoreError, Tx};

use super::condition::{Scope, Statement, condition};
use super::sorting::{SortKey, after, kinds, order_by};
use super::{View, check_orders, orders};
use crate::experiments::{self, Experiment};
use crate::filter::{self, Direction, Entity, Order};
use crate::logged_models::{self, LoggedModel};
use crate::page::{self, Kind, Page};

/// A search for experiments.
#[derive(Debug, Clone, Default)]
pub struct ExperimentSearch {
    /// A filter, as MLflow writes it.
    pub filter: String,
    /// Orders, as MLflow writes them.
    pub order_by: Vec<String>,
    /// What of their lives.
    pub view: View,
    /// How many at most.
    pub limit: usize,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

const EXPERIMENTS: Scope = Scope {
    id: "e.id",
    owner: "experiment",
    metrics: "",
    params: "",
    tags: "tracking_experiment_tags",
    attribute: experiment_attribute,
};

fn experiment_attribute(name: &str) -> &'static str {
    match name {
        "name" => "e.name",
        "creation_time" => "e.created",
        "last_update_time" => "e.updated",
        _ => "e.id",
    }
}

/// A page of experiments.
///
/// # Errors
/// [`StoreError::Invalid`] for a filter, an order or a token that is not understood.
pub fn experiments(tx: &mut Tx<'_>, search: &ExperimentSearch) -> Result<Page<Experiment>, StoreError> {
    check_limit(search.limit, super::MOST_RUNS)?;
    let fingerprint =
        page::fingerprint(&("experiments", &search.filter, &search.order_by, search.view.name()));
    let mut statement = Statement::default();
    let mut keys = Vec::new();
    for order in orders(&search.order_by, &filter::EXPERIMENTS)? {
        if order.entity != Entity::Attribute {
            return Err(StoreError::Invalid(format!(
                "experiments cannot be ordered by `{}`, expected an attribute",
                order.key
            )));
        }
        let kind = if order.key == "name" { Kind::Text } else { Kind::Whole };
        keys.push(SortKey::new(experiment_attribute(&order.key), order.direction, kind));
    }
    if keys.is_empty() {
        keys.push(SortKey::new("e.updated", Direction::Descending, Kind::Whole));
    }
    keys.push(SortKey::new("e.id", Direction::Ascending, Kind::Whole));
    let mut conditions = vec!["1 = 1".to_owned()];
    if let [stage] = search.view.stages() {
        conditions.push(format!("e.stage = '{}'", stage.name()));
    }
    for clause in filter::parse(&search.filter, &filter::EXPERIMENTS)? {
        conditions.push(condition(&clause, &EXPERIMENTS, &mut statement));
    }
    let from = format!("SELECT {}", experiments::COLUMNS);
    let asked = Asked { fingerprint, keys, limit: search.limit, token: search.page_token.as_deref() };
    let mut page =
        asked.page(tx, (&from, "tracking_experiments e"), conditions, statement, 6, experiments::from_row)?;
    for experiment in &mut page.items {
        experiment.tags = experiments::tags(tx, experiment.id)?;
    }
    Ok(page)
}

/// An order of logged models, which may be by a metric on a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelOrder {
    /// The field, such as `metrics.accuracy` or `creation_time`.
    pub field: String,
    /// Whether smaller values come first.
    pub ascending: bool,
    /// The dataset of a metric: its name, and its digest.
    pub dataset: Option<(String, Option<String>)>,
}

/// A search for logged models.
#[derive(Debug, Clone, Default)]
pub struct ModelSearch {
    /// The experiments, by number.
    pub experiments: Vec<i64>,
    /// A filter, as MLflow writes it.
    pub filter: String,
    /// Metrics count only on these datasets (name, digest), when any are given.
    pub datasets: Vec<(String, Option<String>)>,
    /// Orders.
    pub order_by: Vec<ModelOrder>,
    /// How many at most.
    pub limit: usize,
    /// Where the page before ended.
    pub page_token: Option<String>,
}

const MODELS: Scope = Scope {
    id: "m.model",
    owner: "model",
    metrics: "tracking_model_metrics",
    params: "tracking_model_params",
    tags: "tracking_model_tags",
    attribute: model_attribute,
};

fn model_attribute(name: &str) -> &'static str {
    match name {
        "name" => "m.name",
        "model_id" => "m.model_id",
        "model_type" => "coalesce(m.model_type, '')",
        "status" => "CASE m.status WHEN 1 THEN 'PENDING' WHEN 2 THEN 'READY' ELSE 'FAILED' END",
        "source_run_id" => "coalesce(m.source_run_id, '')",
        "artifact_location" => "m.artifact_uri",
        "experiment_id" => "m.experiment",
        "creation_timestamp" => "m.created",
        _ => "m.updated",
    }
}

/// A page of logged models, with what is known of them.
///
/// # Errors
/// [`StoreError::Invalid`] for a filter, an order or a token that is not understood.
pub fn logged_models(tx: &mut Tx<'_>, search: &ModelSearch) -> Result<Page<LoggedModel>, StoreError> {
    check_limit(search.limit, super::MOST_RUNS)?;
    let orders: Vec<(&str, bool, &Option<_>)> =
        search.order_by.iter().map(|order| (order.field.as_str(), order.ascending, &order.dataset)).collect();
    let fingerprint =
        page::fingerprint(&("models", &search.experiments, &search.filter, &search.datasets, &orders));
    let mut statement = Statement::default();
    let keys = model_keys(search, &mut statement)?;
    let experiments = statement.list(search.experiments.iter().copied());
    let mut conditions = vec![format!("m.experiment IN {experiments}"), "m.deleted IS NULL".to_owned()];
    for clause in filter::parse(&search.filter, &filter::LOGGED_MODELS)? {
        let mut test = condition(&clause, &MODELS, &mut statement);
        if clause.entity == Entity::Metric && !search.datasets.is_empty() {
            let datasets = on_datasets("x", &search.datasets, &mut statement);
            test.truncate(test.len().saturating_sub(1));
            test.push_str(&format!(" AND {datasets})"));
        }
        conditions.push(test);
    }
    let from = format!("SELECT {}", logged_models::COLUMNS);
    let asked = Asked { fingerprint, keys, limit: search.limit, token: search.page_token.as_deref() };
    let width = logged_models::WIDTH;
    let mut page = asked.page(
        tx,
        (&from, "tracking_logged_models m"),
        conditions,
        statement,
        width,
        logged_models::from_row,
    )?;
    for model in &mut page.items {
        logged_models::fill(tx, model)?;
    }
    Ok(page)
}

fn on_datasets(table: &str, datasets: &[(String, Option<String>)], statement: &mut Statement) -> String {
    let ways: Vec<String> = datasets
        .iter()
        .map(|(name, digest)| {
            let name = statement.cell(name.as_str());
            match digest {
                Some(digest) => {
                    let digest = statement.cell(digest.as_str());
                    format!("({table}.dataset = {name} AND {table}.dataset_digest = {digest})")
                }
                None => format!("{table}.dataset = {name}"),
            }
        })
        .collect();
    format!("({})", ways.join(" OR "))
}

fn model_keys(search: &ModelSearch, statement: &mut Statement) -> Result<Vec<SortKey>, StoreError> {
    check_orders(search.order_by.len())?;
    let mut keys = Vec::new();
    for order in &search.order_by {
        let Order { entity, key, .. } = filter::parse_order(&order.field, &filter::LOGGED_MODELS)?;
        let direction = if order.ascending { Direction::Ascending } else { Direction::Descending };
        let (table, extra) = match entity {
            Entity::Attribute => {
                let column = model_attribute(&key);
                let numbers = ["m.experiment", "m.created", "m.updated"];
                let kind = if numbers.contains(&column) { Kind::Whole } else { Kind::Text };
                keys.push(SortKey::new(column, direction, kind));
                continue;
            }
            Entity::Metric => ("tracking_model_metrics", " ORDER BY x.timestamp DESC, x.step DESC LIMIT 1"),
            Entity::Param => ("tracking_model_params", ""),
            Entity::Tag | Entity::Dataset => ("tracking_model_tags", ""),
        };
        let mark = statement.cell(key.as_str());
        let mut on = String::new();
        if let (Entity::Metric, Some(dataset)) = (entity, &order.dataset) {
            on = format!(" AND {}", on_datasets("x", std::slice::from_ref(dataset), statement));
        }
        let of = format!("FROM {table} x WHERE x.model = m.model AND x.key = {mark}{on}{extra}");
        let (nothing, phase, kind) =
            if entity == Entity::Metric { ("0.0", "x.nan", Kind::Real) } else { ("''", "0", Kind::Text) };
        let phase = format!("coalesce((SELECT {phase} {of}), 2)");
        keys.push(SortKey::new(phase, Direction::Ascending, Kind::Whole));
        keys.push(SortKey::new(format!("coalesce((SELECT x.value {of}), {nothing})"), direction, kind));
    }
    keys.push(SortKey::new("m.created", Direction::Descending, Kind::Whole));
    keys.push(SortKey::new("m.model_id", Direction::Ascending, Kind::Text));
    Ok(keys)
}

fn check_limit(limit: usize, most: usize) -> Result<(), StoreError> {
    if limit == 0 || limit > most {
        return Err(StoreError::Invalid(format!("max_results is {limit}, expected 1 to {most}")));
    }
    Ok(())
}

struct Asked<'a> {
    fingerprint: String,
    keys: Vec<SortKey>,
    limit: usize,
    token: Option<&'a str>,
}

impl Asked<'_> {
    fn page<T>(
        &self,
        tx: &mut Tx<'_>,
        (select, from): (&str, &str),
        mut conditions: Vec<String>,
        mut statement: Statement,
        width: usize,
        read: fn(&gyre_store::Row) -> Result<T, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        if let Some(token) = self.token {
            let place = page::read(token, &self.fingerprint, &kinds(&self.keys))?;
            conditions.push(after(&self.keys, &place, &mut statement));
        }
        let places: Vec<&str> = self.keys.iter().map(|key| key.sql.as_str()).collect();
        let limit = statement.cell(self.limit as u64 + 1);
        let sql = format!(
            "{select}, {} FROM {from} WHERE {} ORDER BY {} LIMIT {limit}",
            places.join(", "),
            conditions.join(" AND "),
            order_by(&self.keys)
        );
        let mut rows = tx.query(&sql, &statement.cells)?;
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = match rows.last() {
            Some(last) if more => {
                let place: Vec<Cell> = (0..self.keys.len()).map(|key| last.cell(width + key)).collect();
                Some(page::write(&self.fingerprint, &place)?)
            }
            _ => None,
        };
        Ok(Page { items: rows.iter().map(read).collect::<Result<_, _>>()?, next })
    }
}
