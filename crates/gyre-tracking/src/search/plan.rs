//! How a search for runs is carried out.

use gyre_store::{Cell, StoreError, Tx};

use super::condition::{Scope, Statement, compare, condition};
use super::sorting::{self, SortKey};
use super::{Asked, Found, found};
use crate::filter::{Clause, Comparator, Direction, Entity, Operand};
use crate::runs;

/// Runs that come from candidates `c`, as the conditions see them: what can be told from a run's number alone is looked at
/// before the run itself.
const CANDIDATES: Scope = Scope { id: "c.run", ..RUNS };
/// Runs, as the conditions see them.
const RUNS: Scope = Scope {
    id: "r.run",
    owner: "run",
    metrics: "tracking_latest",
    params: "tracking_params",
    tags: "tracking_tags",
    attribute: sorting::attribute,
};

/// A clause that fewer runs satisfy leads at once.
const FEW: u64 = 2_000;
/// How far candidates are counted at all.
const MANY: u64 = 100_000;
/// How many lanes (experiments, each there or put aside) are walked beside each other at most.
const LANES: usize = 16;
/// The least budget of a walk, how often a walk is tried, and how much larger the next budget may be at most.
const WALK: usize = 256;
const TRIES: usize = 4;
const GROWTH: usize = 16;

pub(super) fn carry_out(tx: &mut Tx<'_>, asked: &Asked) -> Result<Vec<Found>, StoreError> {
    let mut best: Option<(u64, &Clause)> = None;
    for clause in asked.clauses.iter().filter(|clause| leads(clause)) {
        let cap = best.map_or(FEW, |(count, _)| count.min(FEW));
        let count = estimate(tx, asked, clause, cap)?;
        if best.is_none_or(|(least, _)| count < least) {
            best = Some((count, clause));
        }
        if count == 0 {
            return Ok(Vec::new());
        }
    }
    if let Some((count, clause)) = best
        && count < FEW
    {
        return sorted(tx, asked, Some(clause));
    }
    if let Some(found) = walked(tx, asked)? {
        return Ok(found);
    }
    // Each clause that can lead has many candidates: count further.
    let mut best: Option<(u64, &Clause)> = None;
    for clause in asked.clauses.iter().filter(|clause| leads(clause)) {
        let count = estimate(tx, asked, clause, best.map_or(MANY, |(count, _)| count))?;
        if best.is_none_or(|(least, _)| count < least) {
            best = Some((count, clause));
        }
    }
    sorted(tx, asked, best.filter(|(count, _)| *count < MANY).map(|(_, clause)| clause))
}

/// Whether an index can answer a clause.
fn leads(clause: &Clause) -> bool {
    match clause.entity {
        Entity::Metric => clause.comparator != Comparator::NotEqual,
        Entity::Param | Entity::Tag => clause.comparator == Comparator::Equal,
        Entity::Attribute => {
            clause.key == "run_id" && matches!(clause.comparator, Comparator::Equal | Comparator::In)
        }
        Entity::Dataset => {
            clause.key != "context" && matches!(clause.comparator, Comparator::Equal | Comparator::In)
        }
    }
}

/// The runs that satisfy a clause that leads, from its index: a query with the one column `run`.
fn candidates(asked: &Asked, clause: &Clause, statement: &mut Statement) -> String {
    if clause.entity == Entity::Attribute {
        let test = compare("r.run_id", clause, statement);
        return format!("SELECT r.run FROM tracking_runs r WHERE {test}");
    }
    let experiments = statement.list(asked.experiments.iter().copied());
    if clause.entity == Entity::Dataset {
        let column = if clause.key == "name" { "d.name" } else { "d.digest" };
        let test = compare(column, clause, statement);
        return format!(
            "SELECT DISTINCT i.run FROM tracking_datasets d JOIN tracking_inputs i ON i.dataset = d.dataset
             WHERE d.experiment IN {experiments} AND {test}"
        );
    }
    let key = statement.cell(clause.key.as_str());
    let (table, test) = match clause.entity {
        Entity::Metric => {
            ("tracking_latest", format!("x.nan = 0 AND {}", compare("x.value", clause, statement)))
        }
        entity => {
            let table = if entity == Entity::Param { "tracking_params" } else { "tracking_tags" };
            let text = match &clause.operand {
                Operand::Text(text) => text.chars().take(100).collect::<String>(),
                _ => String::new(),
            };
            (table, format!("substr(x.value, 1, 100) = {}", statement.cell(text)))
        }
    };
    format!("SELECT x.run FROM {table} x WHERE x.experiment IN {experiments} AND x.key = {key} AND {test}")
}

/// Whether the candidates of a clause are just those that satisfy it: an index holds long texts by their beginning only.
fn exact(clause: &Clause) -> bool {
    !matches!(clause.entity, Entity::Param | Entity::Tag)
}

/// How many runs satisfy a clause, counted up to `cap`.
fn estimate(tx: &mut Tx<'_>, asked: &Asked, clause: &Clause, cap: u64) -> Result<u64, StoreError> {
    let mut statement = Statement::default();
    let candidates = candidates(asked, clause, &mut statement);
    let cap = statement.cell(cap);
    let sql = format!("SELECT count(*) FROM ({candidates} LIMIT {cap}) counted");
    tx.query(&sql, &statement.cells)?.first().map_or(Ok(0), |row| row.get(0))
}

/// All conditions on a run of `scope`, but the clauses that its candidates satisfy already.
fn conditions(
    asked: &Asked,
    scope: &Scope,
    satisfied: impl Fn(&Clause) -> bool,
    keys: &[SortKey],
    statement: &mut Statement,
) -> String {
    let mut all = vec![format!("r.experiment IN {}", statement.list(asked.experiments.iter().copied()))];
    if let [stage] = asked.stages {
        all.push(format!("r.stage = '{}'", stage.name()));
    }
    let open = asked.clauses.iter().filter(|clause| !satisfied(clause));
    all.extend(open.map(|clause| condition(clause, scope, statement)));
    if let Some(place) = &asked.after {
        all.push(sorting::after(keys, place, statement));
    }
    all.join(" AND ")
}

/// Candidates of `leader`, or of the experiments, checked and sorted.
fn sorted(tx: &mut Tx<'_>, asked: &Asked, leader: Option<&Clause>) -> Result<Vec<Found>, StoreError> {
    let mut statement = Statement::default();
    let keys = sorting::keys(&asked.orders);
    let from = match leader {
        // CROSS JOIN keeps SQLite from turning the order round.
        Some(clause) => {
            format!("({}) c CROSS JOIN tracking_runs r", candidates(asked, clause, &mut statement))
        }
        None => "tracking_runs r".to_owned(),
    };
    let (led, scope) = match leader {
        Some(_) => ("r.run = c.run AND ", &CANDIDATES),
        None => ("", &RUNS),
    };
    let joins = sorting::joins(&asked.orders, 0, &mut statement);
    let satisfied = |clause: &Clause| leader.is_some_and(|leader| exact(leader) && clause == leader);
    let conditions = conditions(asked, scope, satisfied, &keys, &mut statement);
    select(tx, asked, &keys, &from, &joins, &format!("{led}{conditions}"), statement)
}

fn select(
    tx: &mut Tx<'_>,
    asked: &Asked,
    keys: &[SortKey],
    from: &str,
    joins: &str,
    conditions: &str,
    mut statement: Statement,
) -> Result<Vec<Found>, StoreError> {
    let places: Vec<&str> = keys.iter().map(|key| key.sql.as_str()).collect();
    let order = sorting::order_by(keys);
    let limit = statement.cell(asked.limit as u64);
    let sql = format!(
        "SELECT {}, {} FROM {from}{joins} WHERE {conditions} ORDER BY {order} LIMIT {limit}",
        runs::COLUMNS,
        places.join(", ")
    );
    let mut rows = Vec::new();
    tx.query_each(&sql, &statement.cells, |row| {
        rows.push(found(&row, keys)?);
        Ok(())
    })?;
    Ok(rows)
}

/// What is walked: the index of the first order.
enum Path<'a> {
    Started(Direction),
    Metric { key: &'a str, direction: Direction },
}

impl Path<'_> {
    /// Whether each entry of the path satisfies `clause`.
    fn satisfies(&self, clause: &Clause) -> bool {
        match self {
            Self::Started(_) => false,
            Self::Metric { key, .. } => {
                clause.entity == Entity::Metric
                    && clause.key == *key
                    && clause.comparator != Comparator::NotEqual
            }
        }
    }

    /// The keys of the order, and the joins that they need; the value that is walked is at hand.
    fn keys(&self, asked: &Asked, statement: &mut Statement) -> (Vec<SortKey>, String) {
        let mut keys = sorting::keys(&asked.orders);
        let Self::Metric { .. } = self else {
            return (keys, sorting::joins(&asked.orders, 0, statement));
        };
        if let [nan, value, ..] = keys.as_mut_slice() {
            // Never anything but 0; a bare number would name a column.
            nan.sql = "CASE WHEN c.run IS NULL THEN 2 ELSE 0 END".to_owned();
            value.sql = "c.at".to_owned();
        }
        (keys, sorting::joins(&asked.orders, 1, statement))
    }
}

fn path(asked: &Asked) -> Option<Path<'_>> {
    match asked.orders.first() {
        None => Some(Path::Started(Direction::Descending)),
        Some(order) if order.entity == Entity::Attribute && order.key == "start_time" => {
            Some(Path::Started(order.direction))
        }
        Some(order) if order.entity == Entity::Metric => {
            Some(Path::Metric { key: &order.key, direction: order.direction })
        }
        Some(_) => None,
    }
}

/// The page from the end of an index, when a walk within its budget fills it.
fn walked(tx: &mut Tx<'_>, asked: &Asked) -> Result<Option<Vec<Found>>, StoreError> {
    let Some(path) = path(asked) else { return Ok(None) };
    let lanes = match path {
        Path::Started(_) => asked.experiments.len() * asked.stages.len(),
        Path::Metric { .. } => asked.experiments.len(),
    };
    if lanes > LANES {
        return Ok(None);
    }
    // A walk over values stops before NaN and what is missing: where those follow, another way must be taken.
    let beyond_values = match (&path, &asked.after) {
        (Path::Metric { .. }, Some(place)) => !matches!(place.first(), Some(Cell::Int(0))),
        _ => false,
    };
    if beyond_values {
        return Ok(None);
    }
    let mut budget = WALK.max(asked.limit * 2);
    for _ in 0..TRIES {
        let (found, exhausted) = walk(tx, asked, &path, budget)?;
        if found.len() >= asked.limit || (exhausted && complete(asked, &path)) {
            return Ok(Some(found));
        }
        if exhausted {
            return Ok(None);
        }
        // As far as it takes if it goes on as it began, and a little farther.
        let wanted = budget.saturating_mul(asked.limit) / found.len().max(1);
        budget = wanted.saturating_add(wanted / 4).clamp(budget * 2, budget * GROWTH);
    }
    Ok(None)
}

/// Whether nothing can follow the end of the path.
fn complete(asked: &Asked, path: &Path<'_>) -> bool {
    matches!(path, Path::Started(_)) || asked.clauses.iter().any(|clause| path.satisfies(clause))
}

/// Walks `budget` entries of each lane. What is found is exact; the second value tells whether nothing is left to walk.
fn walk(
    tx: &mut Tx<'_>,
    asked: &Asked,
    path: &Path<'_>,
    budget: usize,
) -> Result<(Vec<Found>, bool), StoreError> {
    let direction = match path {
        Path::Started(direction) | Path::Metric { direction, .. } => *direction,
    };
    let (down, edge, beyond) = match direction {
        Direction::Descending => (" DESC", "min", ">"),
        Direction::Ascending => ("", "max", "<"),
    };
    // The farthest entry of each lane that was not walked to its end: up to there nothing was missed.
    let mut bound: Option<Cell> = None;
    let mut lanes = Statement::default();
    let mut walked = Vec::new();
    for lane in lanes_of(asked, path) {
        let mut alone = Statement::default();
        let entries = lane_entries(asked, path, &lane, down, budget, &mut alone);
        let sql = format!("SELECT count(*), {edge}(at) FROM ({entries}) walked");
        let rows = tx.query(&sql, &alone.cells)?;
        let Some(row) = rows.first() else { continue };
        if row.get::<u64>(0)? >= budget as u64 {
            let end = row.cell(1);
            bound = Some(match bound {
                Some(before) => nearer(before, end, direction),
                None => end,
            });
        }
        walked.push(lane_entries(asked, path, &lane, down, budget, &mut lanes));
    }
    let mut statement = lanes;
    let from = format!("({}) c CROSS JOIN tracking_runs r", walked.join(" UNION ALL "));
    let (keys, joins) = path.keys(asked, &mut statement);
    let rest = conditions(asked, &CANDIDATES, |clause| path.satisfies(clause), &keys, &mut statement);
    let mut conditions = format!("r.run = c.run AND {rest}");
    let exhausted = bound.is_none();
    if let Some(bound) = bound {
        let mark = statement.cell(bound);
        conditions.push_str(&format!(" AND c.at {beyond} {mark}"));
    }
    Ok((select(tx, asked, &keys, &from, &joins, &conditions, statement)?, exhausted))
}

/// Of two ends of walks, the one that is reached first.
fn nearer(one: Cell, other: Cell, direction: Direction) -> Cell {
    let greater = match (&one, &other) {
        (Cell::Int(a), Cell::Int(b)) => a > b,
        (Cell::Real(a), Cell::Real(b)) => a > b,
        _ => false,
    };
    if greater == (direction == Direction::Descending) { one } else { other }
}

struct Lane {
    experiment: i64,
    stage: &'static str,
}

fn lanes_of(asked: &Asked, path: &Path<'_>) -> Vec<Lane> {
    let stages: &[_] = match path {
        Path::Started(_) => asked.stages,
        // The index of metrics does not know what was put aside.
        Path::Metric { .. } => asked.stages.get(..1).unwrap_or_default(),
    };
    let lane = |experiment: &i64| {
        let experiment = *experiment;
        stages.iter().map(move |stage| Lane { experiment, stage: stage.name() })
    };
    asked.experiments.iter().flat_map(lane).collect()
}

/// The first entries of a lane, as a query with the columns `run` and `at`.
fn lane_entries(
    asked: &Asked,
    path: &Path<'_>,
    lane: &Lane,
    down: &str,
    budget: usize,
    statement: &mut Statement,
) -> String {
    let experiment = statement.cell(lane.experiment);
    let back = if down.is_empty() { ">=" } else { "<=" };
    match path {
        Path::Started(_) => {
            let mut tests = String::new();
            // The first key of the order is `r.started`, whether it was asked for or stands at the end.
            if let Some(place) = asked.after.as_ref().and_then(|place| place.first()) {
                tests = format!(" AND r.started {back} {}", statement.cell(place.clone()));
            }
            let limit = statement.cell(budget as u64);
            format!(
                "SELECT run, at FROM (SELECT r.run AS run, r.started AS at FROM tracking_runs r
                 WHERE r.experiment = {experiment} AND r.stage = '{}'{tests} ORDER BY r.started{down} LIMIT {limit}) lane",
                lane.stage
            )
        }
        Path::Metric { key, .. } => {
            let mark = statement.cell(*key);
            let mut tests = String::new();
            for clause in asked.clauses.iter().filter(|clause| path.satisfies(clause)) {
                tests.push_str(&format!(" AND {}", compare("x.value", clause, statement)));
            }
            if let Some(place) = asked.after.as_ref().and_then(|place| place.get(1)) {
                tests.push_str(&format!(" AND x.value {back} {}", statement.cell(place.clone())));
            }
            let limit = statement.cell(budget as u64);
            format!(
                "SELECT run, at FROM (SELECT x.run AS run, x.value AS at FROM tracking_latest x
                 WHERE x.experiment = {experiment} AND x.key = {mark} AND x.nan = 0{tests}
                 ORDER BY x.value{down} LIMIT {limit}) lane"
            )
        }
    }
}
