//! The order of an answer as SQL: values, then NaN, then what is missing; at the end the newest first, then by id.

use gyre_store::Cell;

use super::Statement;
use crate::filter::{Direction, Entity, Order};
use crate::page::Kind;

/// One thing that an answer is ordered by. Never NULL, so that "after this place" can be said.
#[derive(Debug, Clone)]
pub(crate) struct SortKey {
    pub(crate) sql: String,
    pub(crate) direction: Direction,
    pub(crate) kind: Kind,
}

impl SortKey {
    pub(crate) fn new(sql: impl Into<String>, direction: Direction, kind: Kind) -> Self {
        Self { sql: sql.into(), direction, kind }
    }
}

/// What the parts of a place in the order of `keys` are.
pub(crate) fn kinds(keys: &[SortKey]) -> Vec<Kind> {
    keys.iter().map(|key| key.kind).collect()
}

/// The keys of `orders` over runs, and the two that always decide at the end. The n-th order that is no attribute needs the
/// join of [`joins`] called `on`.
pub(crate) fn keys(orders: &[Order]) -> Vec<SortKey> {
    let (mut keys, up) = (Vec::new(), Direction::Ascending);
    let mut add = |sql: String, direction, kind| keys.push(SortKey::new(sql, direction, kind));
    for (n, order) in orders.iter().enumerate() {
        match order.entity {
            Entity::Attribute => {
                let column = attribute(&order.key);
                if order.key == "end_time" {
                    add(format!("CASE WHEN {column} IS NULL THEN 1 ELSE 0 END"), up, Kind::Whole);
                    add(format!("coalesce({column}, 0)"), order.direction, Kind::Whole);
                } else {
                    let kind = if order.key == "start_time" { Kind::Whole } else { Kind::Text };
                    add(column.to_owned(), order.direction, kind);
                }
            }
            Entity::Metric => {
                add(format!("CASE WHEN o{n}.run IS NULL THEN 2 ELSE o{n}.nan END"), up, Kind::Whole);
                add(format!("coalesce(o{n}.value, 0.0)"), order.direction, Kind::Real);
            }
            Entity::Param | Entity::Tag | Entity::Dataset => {
                add(format!("CASE WHEN o{n}.run IS NULL THEN 1 ELSE 0 END"), up, Kind::Whole);
                add(format!("coalesce(o{n}.value, '')"), order.direction, Kind::Text);
            }
        }
    }
    add("r.started".to_owned(), Direction::Descending, Kind::Whole);
    add("r.run_id".to_owned(), up, Kind::Text);
    keys
}

/// The joins that [`keys`] need, from the order `from` on.
pub(crate) fn joins(orders: &[Order], from: usize, statement: &mut Statement) -> String {
    let mut joins = String::new();
    for (n, order) in orders.iter().enumerate().skip(from) {
        let table = match order.entity {
            Entity::Attribute | Entity::Dataset => continue,
            Entity::Metric => "tracking_latest",
            Entity::Param => "tracking_params",
            Entity::Tag => "tracking_tags",
        };
        let key = statement.cell(order.key.as_str());
        joins.push_str(&format!(" LEFT JOIN {table} o{n} ON o{n}.run = r.run AND o{n}.key = {key}"));
    }
    joins
}

/// The column of a run's attribute.
pub(crate) fn attribute(name: &str) -> &'static str {
    match name {
        "run_id" => "r.run_id",
        "run_name" => "r.name",
        "user_id" => "r.user_id",
        "status" => "r.status",
        "artifact_uri" => "r.artifact_uri",
        "start_time" => "r.started",
        _ => "r.ended",
    }
}

/// `ORDER BY` of the keys.
pub(crate) fn order_by(keys: &[SortKey]) -> String {
    let words: Vec<String> = keys
        .iter()
        .map(|key| match key.direction {
            Direction::Ascending => key.sql.clone(),
            Direction::Descending => format!("{} DESC", key.sql),
        })
        .collect();
    words.join(", ")
}

/// The condition that a row comes after `place` in the order of `keys`.
pub(crate) fn after(keys: &[SortKey], place: &[Cell], statement: &mut Statement) -> String {
    let marks: Vec<String> = place.iter().map(|cell| statement.cell(cell.clone())).collect();
    let mut ways = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        let same = keys.iter().zip(&marks).take(n).map(|(key, mark)| format!("{} = {mark}", key.sql));
        let sign = if key.direction == Direction::Ascending { ">" } else { "<" };
        let beyond = marks.get(n).map(|mark| format!("{} {sign} {mark}", key.sql));
        let all: Vec<String> = same.chain(beyond).collect();
        ways.push(format!("({})", all.join(" AND ")));
    }
    format!("({})", ways.join(" OR "))
}
