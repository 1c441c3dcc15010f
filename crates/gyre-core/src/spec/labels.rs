//! How predictions meet their labels, and where labels come from by themselves.

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::{Diagnostic, Span};

/// What the variables that hold the addresses of databases with labels begin with: other secrets of the server are not read.
pub const LABEL_SECRETS: &str = "GYRE_LABELS_";

/// What stands in a query for the moment from which on labels are asked for.
pub const SINCE: &str = "$since";

/// How predictions meet their labels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Labels {
    /// The column that is the prediction's id.
    pub join: Option<String>,
    /// How long after the prediction its label is usually there; windows wait that long before they close.
    pub expected_delay: Span,
    /// Whether what is done about a prediction decides which labels come, or what they are: of a loan that was refused nobody learns
    /// whether it would have been paid back. The loop trains by itself then on explored rows only, and on none when there are none.
    pub caused_by_action: bool,
    /// The column of the dataset that is true, or 1, where the action was left to chance.
    pub explored: Option<String>,
    /// Where labels come from, when the server is to fetch them.
    pub source: Option<Spanned<LabelSource>>,
}

impl Default for Labels {
    fn default() -> Self {
        Self {
            join: None,
            expected_delay: Span::days(1),
            caused_by_action: false,
            explored: None,
            source: None,
        }
    }
}

/// Files or a database that the server looks for labels in, again and again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LabelSource {
    /// Parquet and CSV files: a name, a folder, or a pattern, relative to the project.
    pub files: Option<String>,
    /// The variable of the server's environment that holds the address of a PostgreSQL.
    pub postgres: Option<String>,
    /// What is asked of the database; `$since` stands for the moment from which on.
    pub query: Option<String>,
    /// The column with the prediction's id; without it `labels.join`, or else `id`.
    pub id: Option<String>,
    /// The column with the label.
    pub label: String,
    /// The column that says when the label became known. A query has to have it; labels of files without it are known from
    /// when they are read.
    pub time: Option<String>,
    /// How often it is looked.
    pub every: Span,
    /// How far back a query asks again: transactions that take longer than that to commit may be missed.
    pub overlap: Span,
}

impl Default for LabelSource {
    fn default() -> Self {
        Self {
            files: None,
            postgres: None,
            query: None,
            id: None,
            label: "label".to_owned(),
            time: None,
            every: Span::minutes(1),
            overlap: Span::minutes(5),
        }
    }
}

impl Labels {
    /// The column with the prediction's id in what `source` reads.
    pub fn id_of<'a>(&'a self, source: &'a LabelSource) -> &'a str {
        source.id.as_deref().or(self.join.as_deref()).unwrap_or("id")
    }
}

/// Everything that makes no sense in the source of the labels of `model`.
pub(super) fn check(file: &str, model: &str, labels: &Labels, wrong: &mut Vec<Diagnostic>) {
    let Some(source) = &labels.source else { return };
    let say = |text: &str| {
        Diagnostic::new(file, format!("models.{model}.labels.source: {text}"))
            .at(source.referenced.line(), source.referenced.column())
    };
    let source = &source.value;
    match (&source.files, &source.postgres, &source.query) {
        (Some(_), None, None) => {}
        (None, Some(variable), Some(query)) => {
            if !variable.starts_with(LABEL_SECRETS) || variable.contains("://") {
                // What is there may be an address with a password, so it is not said.
                wrong.push(
                    say("`postgres` names a variable of the server's environment that holds the address")
                        .expected(format!(
                            "postgres: {LABEL_SECRETS}…, with postgres://USER@HOST/DATABASE in that variable"
                        )),
                );
            }
            if !query.contains(SINCE) {
                wrong.push(
                    say("`query` would read all labels each time")
                        .expected("query: SELECT id, label, labelled_at FROM … WHERE labelled_at > $since"),
                );
            }
            if source.time.is_none() {
                wrong.push(
                    say("`time` names the column by which `$since` goes on").expected("time: labelled_at"),
                );
            }
        }
        _ => wrong.push(
            say("labels come from files, or by a query from a database")
                .expected("files: labels/*.parquet, or postgres: GYRE_LABELS_… and query: SELECT …"),
        ),
    }
    if source.every < Span::from_millis(1_000) {
        wrong.push(say("`every` is too short").expected("every: 1s, or longer"));
    }
    if source.overlap.as_millis() < 0 {
        wrong.push(say("`overlap` is negative").expected("overlap: 5m"));
    }
}
