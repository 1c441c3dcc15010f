//! A clause as SQL. The text of statements comes from here alone; keys and values travel as parameters.

use gyre_store::Cell;

use crate::filter::{Clause, Comparator, Entity, Operand};

/// A statement as it grows, with its parameters.
#[derive(Debug, Default, Clone)]
pub(crate) struct Statement {
    pub(crate) cells: Vec<Cell>,
}

impl Statement {
    /// Adds a parameter and returns its mark.
    pub(crate) fn cell(&mut self, cell: impl Into<Cell>) -> String {
        self.cells.push(cell.into());
        format!("?{}", self.cells.len())
    }

    /// Adds parameters and returns their marks in parentheses.
    pub(crate) fn list<T: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = T>) -> String {
        let marks: Vec<String> = cells.into_iter().map(|cell| self.cell(cell)).collect();
        if marks.is_empty() { "(NULL)".to_owned() } else { format!("({})", marks.join(", ")) }
    }
}

/// What is searched: where its attributes, metrics, parameters and tags are.
pub(crate) struct Scope {
    /// The number that everything else refers to, such as `r.run`.
    pub(crate) id: &'static str,
    /// The column that refers to it in the tables below.
    pub(crate) owner: &'static str,
    pub(crate) metrics: &'static str,
    pub(crate) params: &'static str,
    pub(crate) tags: &'static str,
    /// The column of an attribute.
    pub(crate) attribute: fn(&str) -> &'static str,
}

/// The condition that `clause` stands for.
pub(crate) fn condition(clause: &Clause, scope: &Scope, statement: &mut Statement) -> String {
    match clause.entity {
        Entity::Attribute => compare((scope.attribute)(&clause.key), clause, statement),
        Entity::Metric => {
            let key = statement.cell(clause.key.as_str());
            let test = compare("x.value", clause, statement);
            // NaN is unequal to everything, and nothing else can be said of it.
            let test = match clause.comparator {
                Comparator::NotEqual => format!("(x.nan = 1 OR {test})"),
                _ => format!("x.nan = 0 AND {test}"),
            };
            exists(scope, scope.metrics, &key, &test)
        }
        Entity::Param | Entity::Tag => {
            let table = if clause.entity == Entity::Param { scope.params } else { scope.tags };
            let key = statement.cell(clause.key.as_str());
            match clause.comparator {
                Comparator::IsNull => format!("NOT {}", exists(scope, table, &key, "1 = 1")),
                Comparator::IsNotNull => exists(scope, table, &key, "1 = 1"),
                _ => {
                    let test = compare("x.value", clause, statement);
                    exists(scope, table, &key, &test)
                }
            }
        }
        Entity::Dataset => dataset(clause, statement),
    }
}

fn exists(scope: &Scope, table: &str, key: &str, test: &str) -> String {
    let Scope { id, owner, .. } = scope;
    format!("EXISTS (SELECT 1 FROM {table} x WHERE x.{owner} = {id} AND x.key = {key} AND {test})")
}

fn dataset(clause: &Clause, statement: &mut Statement) -> String {
    let column = match clause.key.as_str() {
        "name" => "d.name",
        "digest" => "d.digest",
        _ => {
            let test = compare("t.value", clause, statement);
            return format!(
                "EXISTS (SELECT 1 FROM tracking_input_tags t
                         WHERE t.run = r.run AND t.key = 'mlflow.data.context' AND {test})"
            );
        }
    };
    let test = compare(column, clause, statement);
    format!(
        "EXISTS (SELECT 1 FROM tracking_inputs i JOIN tracking_datasets d ON d.dataset = i.dataset
                 WHERE i.run = r.run AND {test})"
    )
}

/// `column` held against a clause's operand.
pub(crate) fn compare(column: &str, clause: &Clause, statement: &mut Statement) -> String {
    let sign = match clause.comparator {
        Comparator::Equal => "=",
        Comparator::NotEqual => "<>",
        Comparator::Greater => ">",
        Comparator::GreaterOrEqual => ">=",
        Comparator::Less => "<",
        Comparator::LessOrEqual => "<=",
        Comparator::Like | Comparator::ILike => {
            let Operand::Text(pattern) = &clause.operand else { return "1 = 0".to_owned() };
            // An escape of our own, since the databases differ in what they take for one.
            let mark = statement.cell(pattern.replace('~', "~~"));
            return if clause.comparator == Comparator::Like {
                format!("{column} LIKE {mark} ESCAPE '~'")
            } else {
                format!("lower({column}) LIKE lower({mark}) ESCAPE '~'")
            };
        }
        Comparator::In | Comparator::NotIn => {
            let Operand::List(items) = &clause.operand else { return "1 = 0".to_owned() };
            let list = statement.list(items.iter().map(String::as_str));
            let not = if clause.comparator == Comparator::In { "" } else { "NOT " };
            return format!("{column} {not}IN {list}");
        }
        Comparator::IsNull => return format!("{column} IS NULL"),
        Comparator::IsNotNull => return format!("{column} IS NOT NULL"),
    };
    match &clause.operand {
        // Numbers of attributes are whole.
        Operand::Number(number) if clause.entity == Entity::Attribute => {
            let whole = match clause.comparator {
                Comparator::Greater | Comparator::LessOrEqual => number.floor(),
                Comparator::GreaterOrEqual | Comparator::Less => number.ceil(),
                Comparator::NotEqual if number.fract() != 0.0 => return format!("{column} IS NOT NULL"),
                _ if number.fract() != 0.0 => return "1 = 0".to_owned(),
                _ => *number,
            };
            // What is beyond 64 bits saturates, beyond every time there is.
            let mark = statement.cell(whole as i64);
            format!("{column} {sign} {mark}")
        }
        Operand::Number(number) => {
            let mark = statement.cell(*number);
            format!("{column} {sign} {mark}")
        }
        Operand::Text(text) => {
            let mark = statement.cell(text.as_str());
            format!("{column} {sign} {mark}")
        }
        Operand::List(_) | Operand::None => "1 = 0".to_owned(),
    }
}
