//! A search as a statement, and the tests that are left.

use gyre_store::Cell;

use super::Search;
use super::order::{Kind, Order};
use crate::filter::{AssessmentKind, Attribute, Clause, Comparison, Field, SpanField, Test, TextTest};
use crate::record::key;
use crate::spaced::dump;

/// Something that rows are ordered by.
#[derive(Debug)]
pub(super) struct Sort {
    sql: String,
    ascending: bool,
    pub(super) kind: Kind,
}

/// How a search is carried out.
#[derive(Debug, Default)]
pub(super) struct Plan {
    joins: String,
    conditions: Vec<String>,
    cells: Vec<Cell>,
    /// How many experiments are searched.
    pub(super) experiments: usize,
    pub(super) sorts: Vec<Sort>,
    /// Columns that tests are about.
    tested: Vec<String>,
    /// Tests of those columns.
    pub(super) row_tests: Vec<TextTest>,
    /// Tests that must hold of one span together.
    pub(super) span_tests: Vec<(SpanField, TextTest)>,
    /// Tests of the values of assessments.
    pub(super) assessment_tests: Vec<(AssessmentKind, String, TextTest)>,
}

impl Plan {
    pub(super) fn of(search: &Search) -> Self {
        let mut plan = Self { experiments: search.experiments.len(), ..Self::default() };
        let experiments: Vec<String> =
            search.experiments.iter().map(|experiment| plan.cell((*experiment).into())).collect();
        plan.conditions.push(format!("i.experiment IN ({})", experiments.join(", ")));
        search.order.iter().for_each(|order| plan.sort(order));
        search.filter.clauses.iter().for_each(|clause| plan.clause(clause));
        plan.spans(&search.filter.clauses);
        plan
    }

    /// Whether all of the filter is in the statement.
    pub(super) fn is_complete(&self) -> bool {
        self.row_tests.is_empty() && self.span_tests.is_empty() && self.assessment_tests.is_empty()
    }

    /// The statement for `limit` rows that come after the place `after`.
    pub(super) fn statement(&self, after: Option<&[Cell]>, limit: usize) -> (String, Vec<Cell>) {
        let mut cells = self.cells.clone();
        let mut conditions = self.conditions.clone();
        if let Some(after) = after {
            conditions.push(self.beyond(after, &mut cells));
        }
        let columns = self.sorts.iter().map(|sort| &sort.sql).chain(&self.tested);
        let columns: String = columns.map(|column| format!(", {column}")).collect();
        let order: Vec<String> = self
            .sorts
            .iter()
            .map(|sort| format!("{} {}", sort.sql, if sort.ascending { "ASC" } else { "DESC" }))
            .collect();
        cells.push((limit as u64).into());
        let sql = format!(
            "SELECT i.trace_id{columns} FROM traces_infos i{} WHERE {} ORDER BY {} LIMIT ?{}",
            self.joins,
            conditions.join(" AND "),
            order.join(", "),
            cells.len()
        );
        (sql, cells)
    }

    /// The condition that a row comes after one with the values `after`: greater in one key, equal in all before it. What
    /// is null comes after everything, which a key of its own sees to, so nothing is greater than null.
    fn beyond(&self, after: &[Cell], cells: &mut Vec<Cell>) -> String {
        let mut equal: Vec<String> = Vec::new();
        let mut ways: Vec<String> = Vec::new();
        for (sort, value) in self.sorts.iter().zip(after) {
            if *value == Cell::Null {
                continue;
            }
            cells.push(value.clone());
            let sign = if sort.ascending { ">" } else { "<" };
            let way = format!("{} {sign} ?{}", sort.sql, cells.len());
            ways.push(equal.iter().chain([&way]).map(String::as_str).collect::<Vec<_>>().join(" AND "));
            equal.push(format!("{} = ?{}", sort.sql, cells.len()));
        }
        if ways.is_empty() { "1 = 0".to_owned() } else { format!("(({}))", ways.join(") OR (")) }
    }

    /// A parameter for `cell`.
    fn cell(&mut self, cell: Cell) -> String {
        self.cells.push(cell);
        format!("?{}", self.cells.len())
    }

    fn sort(&mut self, order: &Order) {
        let (sql, kind, nullable) = match &order.by {
            Field::Attribute(attribute) => {
                let (sql, kind) = column(*attribute);
                let nullable = matches!(attribute, Attribute::Duration | Attribute::ClientRequestId);
                (sql.to_owned(), kind, nullable)
            }
            Field::Tag(name) => (self.join("traces_tags", name, true), Kind::Text, true),
            Field::Metadata(name) => (self.join("traces_metadata", name, true), Kind::Text, true),
            // Orders are made of nothing else.
            _ => return,
        };
        if nullable {
            let sql = format!("CASE WHEN {sql} IS NULL THEN 1 ELSE 0 END");
            self.sorts.push(Sort { sql, ascending: true, kind: Kind::Int });
        }
        self.sorts.push(Sort { sql, ascending: order.ascending, kind });
    }

    /// Joins the value of a key, and returns the name of its column.
    fn join(&mut self, table: &str, name: &str, outer: bool) -> String {
        let key = self.cell(name.into());
        let alias = format!("j{}", self.cells.len());
        let how = if outer { "LEFT JOIN" } else { "JOIN" };
        self.joins +=
            &format!(" {how} {table} {alias} ON {alias}.trace_id = i.trace_id AND {alias}.key = {key}");
        format!("{alias}.value")
    }

    fn clause(&mut self, clause: &Clause) {
        match (&clause.field, &clause.test) {
            (Field::Attribute(attribute), Test::Number(comparison, number)) => {
                let condition = self.whole(column(*attribute).0, *comparison, *number);
                self.conditions.push(condition);
            }
            (Field::Attribute(attribute), Test::Text(test)) => {
                let column = column(*attribute).0;
                match self.text(column, test) {
                    Some(condition) => self.conditions.push(condition),
                    None => self.test_row(column.to_owned(), test),
                }
            }
            (Field::Tag(name), test) => self.keyed("traces_tags", name, test),
            (Field::Metadata(name), test) => self.keyed("traces_metadata", name, test),
            (Field::Run, Test::Text(TextTest::Equal(run))) => {
                let (run, key) = (self.cell(run.as_str().into()), self.cell(key::RUN.into()));
                self.conditions.push(format!(
                    "(EXISTS (SELECT 1 FROM traces_metadata t WHERE t.trace_id = i.trace_id AND t.key = {key} AND t.value = \
                     {run}) OR EXISTS (SELECT 1 FROM traces_links l WHERE l.trace_id = i.trace_id AND l.kind = 'run' AND \
                     l.target = {run}))"
                ));
            }
            (Field::Run, test) => self.keyed("traces_metadata", key::RUN, test),
            (Field::Prompt, Test::Text(TextTest::Equal(prompt))) => {
                let prompt = self.cell(prompt.as_str().into());
                self.conditions.push(format!(
                    "EXISTS (SELECT 1 FROM traces_links l WHERE l.trace_id = i.trace_id AND l.kind = 'prompt' AND l.target = \
                     {prompt})"
                ));
            }
            (Field::Issue, Test::Text(TextTest::Equal(issue))) => {
                let issue = self.cell(issue.as_str().into());
                self.conditions.push(format!(
                    "EXISTS (SELECT 1 FROM traces_assessments a WHERE a.trace_id = i.trace_id AND a.kind = 'issue' AND a.name = \
                     {issue})"
                ));
            }
            (Field::Assessment(kind, name), test) => self.assessment(*kind, name, test),
            // Spans come together at the end; the reader of filters lets nothing else through.
            _ => {}
        }
    }

    fn test_row(&mut self, column: String, test: &TextTest) {
        self.tested.push(column);
        self.row_tests.push(test.clone());
    }

    fn keyed(&mut self, table: &str, name: &str, test: &Test) {
        if let Test::Text(test @ TextTest::Fits(_)) = test {
            let column = self.join(table, name, false);
            return self.test_row(column, test);
        }
        let key = self.cell(name.into());
        let (not, more) = match test {
            Test::Null(absent) => (*absent, None),
            Test::Text(test) => (false, self.text("t.value", test)),
            Test::Number(..) => (false, None),
        };
        let not = if not { "NOT " } else { "" };
        let more = more.map(|more| format!(" AND {more}")).unwrap_or_default();
        self.conditions.push(format!(
            "{not}EXISTS (SELECT 1 FROM {table} t WHERE t.trace_id = i.trace_id AND t.key = {key}{more})"
        ));
    }

    fn assessment(&mut self, kind: AssessmentKind, name: &str, test: &Test) {
        let kind_cell = self.cell(kind.name().into());
        let name_cell = self.cell(name.into());
        let mut inner = format!("a.kind = {kind_cell} AND a.name = {name_cell} AND a.valid = 1");
        let mut not = "";
        match test {
            Test::Null(absent) => not = if *absent { "NOT " } else { "" },
            Test::Number(comparison, number) => {
                let number = self.cell((*number).into());
                inner += &format!(" AND a.numeric = 1 AND a.number {} {number}", comparison.sql());
            }
            Test::Text(TextTest::Fits(pattern)) => {
                let test = TextTest::Fits(pattern.clone());
                self.assessment_tests.push((kind, name.to_owned(), test));
            }
            Test::Text(test) => {
                // A value is stored as JSON: `true` and `"true"` are both what 'true' means.
                let both =
                    |list: &[String]| list.iter().flat_map(|text| [text.clone(), dump(text)]).collect();
                let test = match test {
                    TextTest::Equal(text) => TextTest::In(both(std::slice::from_ref(text))),
                    TextTest::Differs(text) => TextTest::NotIn(both(std::slice::from_ref(text))),
                    TextTest::In(list) => TextTest::In(both(list)),
                    TextTest::NotIn(list) => TextTest::NotIn(both(list)),
                    other @ TextTest::Fits(_) => other.clone(),
                };
                if let Some(condition) = self.text("a.value", &test) {
                    inner += &format!(" AND {condition}");
                }
            }
        }
        let session = self.cell(key::SESSION.into());
        self.conditions.push(format!(
            "{not}(EXISTS (SELECT 1 FROM traces_assessments a WHERE a.trace_id = i.trace_id AND {inner}) OR EXISTS \
             (SELECT 1 FROM traces_metadata m JOIN traces_metadata n ON n.key = m.key AND substr(n.value, 1, 100) = \
             substr(m.value, 1, 100) AND n.value = m.value JOIN traces_infos x ON x.trace_id = n.trace_id AND x.experiment = \
             i.experiment JOIN traces_assessments a ON a.trace_id = n.trace_id WHERE m.trace_id = i.trace_id AND m.key = \
             {session} AND a.of_session = 1 AND {inner}))"
        ));
    }

    /// One span must pass all clauses about spans. What the statement can say of it goes there; when something is left, all
    /// of it is tested again on the spans themselves.
    fn spans(&mut self, clauses: &[Clause]) {
        let mut inner = String::new();
        let mut tests = Vec::new();
        let mut left = false;
        for clause in clauses {
            let (Field::Span(field), Test::Text(test)) = (&clause.field, &clause.test) else { continue };
            tests.push((field.clone(), test.clone()));
            let column = match field {
                SpanField::Name => Some("s.name"),
                SpanField::Type => Some("s.type"),
                SpanField::Status => Some("s.status"),
                SpanField::Content | SpanField::Attribute(_) => None,
            };
            match column.and_then(|column| self.text(column, test)) {
                Some(condition) => inner += &format!(" AND {condition}"),
                None => left = true,
            }
        }
        if tests.is_empty() {
            return;
        }
        self.conditions
            .push(format!("EXISTS (SELECT 1 FROM traces_spans s WHERE s.trace_id = i.trace_id{inner})"));
        if left {
            self.span_tests = tests;
        }
    }

    /// The condition that `column` passes `test`; nothing for a pattern.
    fn text(&mut self, column: &str, test: &TextTest) -> Option<String> {
        let list = |plan: &mut Self, list: &[String]| {
            let places: Vec<String> = list.iter().map(|text| plan.cell(text.as_str().into())).collect();
            places.join(", ")
        };
        Some(match test {
            TextTest::Equal(text) => format!("{column} = {}", self.cell(text.as_str().into())),
            TextTest::Differs(text) => format!("{column} <> {}", self.cell(text.as_str().into())),
            TextTest::In(texts) => format!("{column} IN ({})", list(self, texts)),
            TextTest::NotIn(texts) => format!("{column} NOT IN ({})", list(self, texts)),
            TextTest::Fits(_) => return None,
        })
    }

    /// The condition that a column of whole numbers compares so with any number. The parameter is a whole number, because
    /// not every database compares those with others.
    fn whole(&mut self, column: &str, comparison: Comparison, number: f64) -> String {
        use Comparison::{Above, AtLeast, AtMost, Below, Differs, Equal};
        const LIMIT: f64 = 9.0e18;
        let (never, always) = ("1 = 0".to_owned(), format!("{column} IS NOT NULL"));
        let (comparison, number) = match comparison {
            Equal if number.fract() != 0.0 || number.abs() > LIMIT => return never,
            Differs if number.fract() != 0.0 || number.abs() > LIMIT => return always,
            Below | AtMost if number > LIMIT => return always,
            Below | AtMost if number < -LIMIT => return never,
            Above | AtLeast if number > LIMIT => return never,
            Above | AtLeast if number < -LIMIT => return always,
            Below | AtMost if number.fract() != 0.0 => (AtMost, number.floor()),
            Above | AtLeast if number.fract() != 0.0 => (AtLeast, number.ceil()),
            other => (other, number),
        };
        let number = self.cell((number as i64).into());
        format!("{column} {} {number}", comparison.sql())
    }
}

fn column(attribute: Attribute) -> (&'static str, Kind) {
    match attribute {
        Attribute::Id => ("i.trace_id", Kind::Text),
        Attribute::Time => ("i.time_ms", Kind::Int),
        Attribute::Duration => ("i.duration_ms", Kind::Int),
        Attribute::End => ("i.time_ms + COALESCE(i.duration_ms, 0)", Kind::Int),
        Attribute::State => ("i.state", Kind::Text),
        Attribute::ClientRequestId => ("i.client_request_id", Kind::Text),
        Attribute::Experiment => ("i.experiment", Kind::Int),
    }
}
