//! Whether the datasets are there, with the columns that `gyre.yaml` names.

use std::path::Path;

use gyre_core::Diagnostic;
use gyre_core::spec::Project;
use gyre_data::table::Table;

use super::paths;
use crate::commands::bias::without_file;

pub(super) fn check(root: &Path, file: &str, project: &Project) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    for (name, dataset) in &project.data {
        let place = (dataset.source.referenced.line(), dataset.source.referenced.column());
        let path = root.join(&dataset.source.value);
        if !path.is_file() {
            let told = format!("data.{name}: the file `{}` does not exist", dataset.source.value);
            let missing = Diagnostic::new(file, told).at(place.0, place.1);
            wrong.push(paths::near(missing, root, &dataset.source.value));
            continue;
        }
        let columns: Vec<String> = match Table::open(&path) {
            Ok(table) => table.columns().into_iter().map(|column| column.name).collect(),
            Err(error) => {
                let told =
                    format!("data.{name}: `{}`: {}", dataset.source.value, without_file(&path, &error));
                wrong.push(Diagnostic::new(file, told).at(place.0, place.1));
                continue;
            }
        };
        let mut expect = |said: &str, column: &str, (line, at): (u64, u64)| {
            if columns.iter().any(|known| known == column) {
                return;
            }
            let told = format!("{said}: there is no column `{column}` in {}", dataset.source.value);
            let names = || columns.iter().map(String::as_str);
            let some: Vec<&str> = names().take(20).collect();
            let diagnostic = Diagnostic::new(file, told).at(line, at);
            wrong.push(diagnostic.expected(format!("one of {}", some.join(", "))).nearest(column, names()));
        };
        let named = [("time", &dataset.time), ("label_time", &dataset.label_time), ("key", &dataset.key)];
        for (key, column) in named {
            if let Some(column) = column {
                expect(&format!("data.{name}.{key}"), column, place);
            }
        }
        for check in &dataset.checks {
            if let Some(column) = &check.value.column {
                let place = (check.referenced.line(), check.referenced.column());
                expect(&format!("data.{name}.checks"), column, place);
            }
        }
        for (model, spec) in project.models.iter().filter(|(_, spec)| spec.train.data.value == *name) {
            let place = (spec.train.data.referenced.line(), spec.train.data.referenced.column());
            expect(&format!("models.{model}.target"), &spec.target, place);
            for column in &spec.protected {
                expect(&format!("models.{model}.protected"), column, place);
            }
        }
    }
    wrong
}
