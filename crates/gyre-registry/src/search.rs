//! Searching the catalogue: a filter, an order, a page.
//!
//! The database does what all databases agree on: equality, lists, numbers, order. Patterns (LIKE, ILIKE) are matched
//! here, on rows that come in batches, so that they mean the same everywhere and memory stays bounded.
//!
//! Prompts are registered models too; they are left out unless the filter asks for them by their tag.

use gyre_store::{Cell, Row, StoreError, Tx};

use crate::catalog::{
    RegisteredModel, RegisteredVersion, VERSION, bare_model, bare_version, latest, model_tags, version_tags,
};
use crate::filter::{self, Clause, Comparison, Entity, Field, Pattern, Test};
use crate::page::Page;
use crate::rules::{IS_PROMPT, invalid, shown};

/// The most registered models on a page.
pub const MAX_MODELS: u64 = 1_000;
/// The most versions on a page.
pub const MAX_VERSIONS: u64 = 200_000;
/// Rows that are matched at a time.
const BATCH: u64 = 1_000;
/// The most keys of an order.
const MAX_ORDER: usize = 20;

/// Results, and the token for more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// The results.
    pub items: Vec<T>,
    /// The token for the next page, when there is one.
    pub next: Option<String>,
}

/// The registered models that match `filter`, by `order_by` and then by name.
///
/// # Errors
/// [`StoreError::Invalid`] for a filter or an order that cannot be read.
pub fn search_models(
    tx: &mut Tx<'_>,
    filter: &str,
    order_by: &[String],
    page: Page,
) -> Result<Found<RegisteredModel>, StoreError> {
    let clauses = clauses(Entity::Models, filter)?;
    let order = order(Entity::Models, order_by)?;
    let select = "v.name, v.created, v.updated, v.description";
    let query = Query::new(Entity::Models, select, 4, &clauses, &order);
    let found = query.page(tx, page)?;
    let mut items = Vec::with_capacity(found.items.len());
    for row in &found.items {
        let mut model = bare_model(row)?;
        model.tags = model_tags(tx, &model.name)?;
        model.aliases = crate::query::aliases(tx, &model.name)?;
        model.latest = latest(tx, &model.name)?;
        items.push(model);
    }
    Ok(Found { items, next: found.next })
}

/// The versions that match `filter`, by `order_by` (the last changed first, when there is none) and then by name and
/// number. Their aliases are left out, as MLflow does.
///
/// # Errors
/// [`StoreError::Invalid`] for a filter or an order that cannot be read.
pub fn search_versions(
    tx: &mut Tx<'_>,
    filter: &str,
    order_by: &[String],
    page: Page,
) -> Result<Found<RegisteredVersion>, StoreError> {
    let clauses = clauses(Entity::Versions, filter)?;
    let order = order(Entity::Versions, order_by)?;
    let query = Query::new(Entity::Versions, VERSION, 14, &clauses, &order);
    let found = query.page(tx, page)?;
    let mut items = Vec::with_capacity(found.items.len());
    for row in &found.items {
        let mut version = bare_version(row)?;
        version.tags = version_tags(tx, &version.name, version.version)?;
        items.push(version);
    }
    Ok(Found { items, next: found.next })
}

fn clauses(entity: Entity, text: &str) -> Result<Vec<Clause>, StoreError> {
    filter::parse(entity, text).map_err(|error| invalid(error.to_string()))
}

/// A statement with its cells, and the patterns that its rows must match.
struct Query<'a> {
    sql: String,
    cells: Vec<Cell>,
    /// The column that each pattern is about.
    patterns: Vec<(usize, &'a Pattern)>,
}

impl<'a> Query<'a> {
    /// `select` has `width` columns; what patterns are about comes behind them.
    fn new(entity: Entity, select: &str, width: usize, clauses: &'a [Clause], order: &str) -> Self {
        let (table, tags, same) = match entity {
            Entity::Models => ("registry_models", "registry_model_tags", "t.name = v.name"),
            Entity::Versions => (
                "registry_model_versions",
                "registry_version_tags",
                "t.name = v.name AND t.version = v.version",
            ),
        };
        let mut query = Self { sql: String::new(), cells: Vec::new(), patterns: Vec::new() };
        let (mut columns, mut conditions) = (String::new(), Vec::new());
        let wants_prompts = wants_prompts(clauses);
        // A clause about the tag only says which of both are meant.
        let asks = |clause: &&Clause| wants_prompts || clause.field != Field::Tag(IS_PROMPT.to_owned());
        for Clause { field, test } in clauses.iter().filter(asks) {
            let value = match field {
                Field::Name => "v.name".to_owned(),
                Field::Number => "v.version".to_owned(),
                Field::Run => "v.run_id".to_owned(),
                Field::Source => "v.source".to_owned(),
                Field::Tag(key) => {
                    let key = query.cell(key.as_str().into());
                    format!("(SELECT t.value FROM {tags} t WHERE {same} AND t.key = {key})")
                }
            };
            match test {
                Test::Text { negated, value: text } => {
                    let sign = if *negated { Comparison::NotEqual } else { Comparison::Equal };
                    let text = query.cell(text.as_str().into());
                    conditions.push(format!("{value} {sign} {text}"));
                }
                Test::Number(comparison, number) => {
                    let number = query.cell((*number).into());
                    conditions.push(format!("{value} {comparison} {number}"));
                }
                Test::Among { negated, values } => {
                    let values: Vec<String> =
                        values.iter().map(|text| query.cell(text.as_str().into())).collect();
                    let not = if *negated { "NOT " } else { "" };
                    conditions.push(format!("{value} {not}IN ({})", values.join(", ")));
                }
                Test::Like(pattern) => {
                    query.patterns.push((width + query.patterns.len(), pattern));
                    columns.push_str(&format!(", {value}"));
                    conditions.push(format!("{value} IS NOT NULL"));
                }
            }
        }
        if !wants_prompts {
            let key = query.cell(IS_PROMPT.into());
            conditions.push(format!(
                "NOT EXISTS (SELECT 1 FROM {tags} t WHERE t.name = v.name AND t.key = {key} AND t.value = 'true')"
            ));
        }
        let condition = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        query.sql = format!("SELECT {select}{columns} FROM {table} v{condition} ORDER BY {order}");
        query
    }

    /// Keeps a value, and says how the statement names it.
    fn cell(&mut self, cell: Cell) -> String {
        self.cells.push(cell);
        format!("?{}", self.cells.len())
    }

    fn page(&self, tx: &mut Tx<'_>, page: Page) -> Result<Found<Row>, StoreError> {
        if self.patterns.is_empty() {
            // One more than asked for tells whether there are more.
            let mut items = self.rows(tx, page.size + 1, page.offset)?;
            let more = items.len() as u64 > page.size;
            items.truncate(page.size as usize);
            return Ok(Found { items, next: more.then(|| page.next()) });
        }
        let (mut items, mut skipped, mut offset) = (Vec::new(), 0, 0);
        loop {
            let batch = self.rows(tx, BATCH, offset)?;
            let full = batch.len() as u64 == BATCH;
            for row in batch {
                if !self.matches(&row)? {
                    continue;
                }
                if skipped < page.offset {
                    skipped += 1;
                } else if (items.len() as u64) < page.size {
                    items.push(row);
                } else {
                    return Ok(Found { items, next: Some(page.next()) });
                }
            }
            if !full {
                return Ok(Found { items, next: None });
            }
            offset += BATCH;
        }
    }

    fn rows(&self, tx: &mut Tx<'_>, limit: u64, offset: u64) -> Result<Vec<Row>, StoreError> {
        let mut cells = self.cells.clone();
        let (limit_at, offset_at) = (cells.len() + 1, cells.len() + 2);
        cells.extend([limit.into(), offset.into()]);
        tx.query(&format!("{} LIMIT ?{limit_at} OFFSET ?{offset_at}", self.sql), &cells)
    }

    fn matches(&self, row: &Row) -> Result<bool, StoreError> {
        for (column, pattern) in &self.patterns {
            if !pattern.matches(&row.get::<String>(*column)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether the filter asks for prompts, by the first clause about their tag.
fn wants_prompts(clauses: &[Clause]) -> bool {
    let about = clauses.iter().find(|clause| clause.field == Field::Tag(IS_PROMPT.to_owned()));
    about.is_some_and(|clause| match &clause.test {
        Test::Text { negated, value } => value.eq_ignore_ascii_case(if *negated { "false" } else { "true" }),
        _ => false,
    })
}

/// The ORDER BY of `keys`, which are `FIELD [ASC|DESC]`; ends such that no two rows are equal.
fn order(entity: Entity, keys: &[String]) -> Result<String, StoreError> {
    if keys.len() > MAX_ORDER {
        return Err(invalid(format!("`order_by` has {} keys: at most {MAX_ORDER}", keys.len())));
    }
    let mut order: Vec<(&str, &str)> = Vec::new();
    for key in keys {
        let (column, direction) = order_key(entity, key)?;
        if order.iter().any(|(known, _)| *known == column) {
            return Err(invalid(format!("`order_by` contains `{}` twice", shown(key))));
        }
        order.push((column, direction));
    }
    if order.is_empty() && entity == Entity::Versions {
        order.push(("v.updated", "DESC"));
    }
    let last: &[(&str, &str)] = match entity {
        Entity::Models => &[("v.name", "ASC")],
        Entity::Versions => &[("v.name", "ASC"), ("v.version", "DESC")],
    };
    for (column, direction) in last {
        if order.iter().all(|(known, _)| known != column) {
            order.push((column, direction));
        }
    }
    Ok(order.iter().map(|(column, direction)| format!("{column} {direction}")).collect::<Vec<_>>().join(", "))
}

fn order_key(entity: Entity, key: &str) -> Result<(&'static str, &'static str), StoreError> {
    let valid = match entity {
        Entity::Models => "name, timestamp, last_updated_timestamp",
        Entity::Versions => "name, version_number, creation_timestamp, last_updated_timestamp",
    };
    let wrong = || {
        let shown = shown(key);
        invalid(format!("invalid order_by `{shown}`: expected one of {valid}, and ASC or DESC behind it"))
    };
    let mut words = key.split_whitespace();
    let field = words.next().ok_or_else(wrong)?;
    let direction = match words.next() {
        None => "ASC",
        Some(word) if word.eq_ignore_ascii_case("asc") => "ASC",
        Some(word) if word.eq_ignore_ascii_case("desc") => "DESC",
        Some(_) => return Err(wrong()),
    };
    if words.next().is_some() {
        return Err(wrong());
    }
    let field = field.strip_prefix("attribute.").unwrap_or(field).trim_matches(['`', '"']);
    let column = match (entity, field) {
        (_, "name") => "v.name",
        (_, "last_updated_timestamp") | (Entity::Models, "timestamp") => "v.updated",
        (Entity::Versions, "version_number") => "v.version",
        (Entity::Versions, "creation_timestamp") => "v.created",
        _ => return Err(wrong()),
    };
    Ok((column, direction))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sql(entity: Entity, text: &str) -> (String, Vec<Cell>) {
        let clauses = filter::parse(entity, text).unwrap();
        let order = order(entity, &[]).unwrap();
        let query = Query::new(entity, "v.name", 1, &clauses, &order);
        (query.sql, query.cells)
    }

    proptest! {
        #[test]
        fn no_text_of_a_client_is_in_the_sql(key in "[a-z]{1,3}[^`]{0,10}", value in any::<String>()) {
            let marked = format!("§{value}");
            let quoted = marked.replace('\'', "''");
            let text = format!("tags.`§{key}` = '{quoted}' AND name IN ('{quoted}') AND name LIKE '{quoted}'");
            let (sql, cells) = sql(Entity::Models, &text);
            prop_assert!(!sql.contains('§'), "{}", sql);
            prop_assert!(cells.contains(&Cell::Text(marked)));
        }
    }

    #[test]
    fn an_order_is_one_of_the_known_ones() {
        let order = |keys: &[&str]| {
            super::order(Entity::Versions, &keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(order(&[]).unwrap(), "v.updated DESC, v.name ASC, v.version DESC");
        assert_eq!(order(&["version_number desc"]).unwrap(), "v.version DESC, v.name ASC");
        for bad in [
            &["source"][..],
            &["name; DROP"],
            &["name ASC DESC"],
            &["name", "name DESC"],
            &[""],
            &["name UP"],
        ] {
            assert!(order(bad).is_err(), "{bad:?}");
        }
    }
}
