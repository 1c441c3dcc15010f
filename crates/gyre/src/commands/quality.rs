//! `gyre quality`: what is expected of each column of a model's windows.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use gyre_core::spec::{EVERY_COLUMN, Expected};
use gyre_core::{ModelName, Version};
use gyre_monitor::ReferenceProfile;
use gyre_monitor::quality::expected::learned;
use serde_json::json;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;

/// Names of a column that are shown to people.
const SHOWN: usize = 5;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gyre quality demand                    what the champion learned of each column, and what gyre.yaml says instead
  gyre quality demand --yaml             the same as lines for `monitor.quality` in gyre.yaml, to be edited
  gyre quality demand 4 --json           what version 4 learned

A window that shows more than is expected gets a finding; docs/monitoring.md says of what and when.")]
pub(crate) struct QualityArgs {
    /// The model.
    model: ModelName,
    /// What this version learned; the champion if left out.
    #[arg(value_name = "VERSION")]
    learned_by: Option<Version>,
    /// As lines for `monitor.quality` in gyre.yaml.
    #[arg(long, conflicts_with = "json")]
    yaml: bool,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &QualityArgs) -> Result<(), Failure> {
    let project = args.project.read_if_any()?;
    let said = project.models.get(&args.model).map(|model| &model.monitor.quality);
    let said = said.cloned().unwrap_or_default();
    let store = args.project.store()?;
    let (name, asked) = (args.model.clone(), args.learned_by);
    let registered = store.read(move |tx| {
        let version = match asked {
            Some(version) => Some(version),
            None => gyre_registry::champion(tx, &name)?,
        };
        version.map(|version| gyre_registry::version(tx, &name, version)).transpose()
    })?;
    let registered = registered.ok_or_else(|| {
        Failure::because(format!("{} has no champion yet; name one of its versions", args.model))
    })?;
    let version = registered.registered.version;
    let profile = registered.registered.profile.ok_or_else(|| {
        Failure::because(format!(
            "version {version} of {} was not trained here, so nothing was learned of its columns",
            args.model
        ))
    })?;
    let learned = learned(&ReferenceProfile::from_json(&store.blobs().get(&profile)?)?);
    let inforce = in_force(&learned, &said);
    if args.yaml {
        return show::say(yaml(&inforce)?);
    }
    if args.output.json {
        return show::json(&json!({
            "model": args.model, "version": version, "expected": inforce, "said": said, "learned": learned,
        }));
    }
    show::say(table(version, &inforce, &said, &learned))
}

/// What was learned, but for what a person said.
fn in_force(
    learned: &BTreeMap<String, Expected>,
    said: &BTreeMap<String, Expected>,
) -> BTreeMap<String, Expected> {
    let mut all = learned.clone();
    for (column, said) in said {
        let it = all.entry(column.clone()).or_default();
        it.missing = said.missing.or(it.missing);
        it.range = said.range.or(it.range);
        it.names = said.names.clone().or(it.names.take());
        it.ignore.clone_from(&said.ignore);
    }
    all
}

/// JSON is YAML, and quotes what has to be quoted.
fn yaml(expected: &BTreeMap<String, Expected>) -> Result<String, Failure> {
    let mut lines = vec!["monitor:".to_owned(), "  quality:".to_owned()];
    for (column, expected) in expected {
        lines.push(format!("    {}: {}", serde_json::to_string(column)?, serde_json::to_string(expected)?));
    }
    Ok(lines.join("\n"))
}

fn table(
    version: Version,
    inforce: &BTreeMap<String, Expected>,
    said: &BTreeMap<String, Expected>,
    learned: &BTreeMap<String, Expected>,
) -> String {
    let row = |(column, it): (&String, &Expected)| {
        let values = match (&it.range, &it.names) {
            (Some((least, most)), _) => format!("{least} to {most}"),
            (None, Some(names)) => {
                let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = names.len().saturating_sub(SHOWN);
                if more > 0 { format!("{shown} and {more} more") } else { shown }
            }
            (None, None) => "–".to_owned(),
        };
        let ignored: BTreeSet<&str> = it.ignore.iter().map(|check| check.name()).collect();
        let ignored = ignored.into_iter().collect::<Vec<_>>().join(", ");
        let by = match (said.contains_key(column), learned.contains_key(column) || column == EVERY_COLUMN) {
            (true, true) => "gyre.yaml",
            (true, false) => "gyre.yaml, but there is no such column",
            (false, _) => "training",
        };
        vec![
            column.clone(),
            it.missing.map_or_else(|| "–".to_owned(), |most| most.to_string()),
            values,
            if ignored.is_empty() { "–".to_owned() } else { ignored },
            by.to_owned(),
        ]
    };
    let header = ["COLUMN", "MISSING AT MOST", "VALUES", "NOT LOOKED AT", "SAID BY"];
    let rows = show::table(&header, &[1], inforce.iter().map(row).collect());
    format!("expected of the columns in windows of version {version}\n\n{rows}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gyre_core::fact::Check;
    use gyre_core::spec::Percent;

    #[test]
    fn what_a_person_says_stands_above_what_was_learned_and_can_be_pasted() {
        let of = |missing, range| Expected {
            missing: Some(Percent::new(missing)),
            range: Some(range),
            ..Expected::default()
        };
        let learned = BTreeMap::from([
            ("heat".to_owned(), of(5.0, (0.0, 9.0))),
            ("a \"b\": c".to_owned(), of(5.0, (1.0, 2.0))),
        ]);
        let heat = Expected { range: Some((-40.0, 60.0)), ignore: vec![Check::Stuck], ..Expected::default() };
        let said = BTreeMap::from([("heat".to_owned(), heat.clone()), ("gone".to_owned(), heat)]);
        let all = in_force(&learned, &said);
        assert_eq!(all["heat"].missing.unwrap().share(), 0.05);
        assert_eq!((all["heat"].range, &all["heat"].ignore), (Some((-40.0, 60.0)), &vec![Check::Stuck]));
        let pasted: serde_json::Value = serde_saphyr::from_str(&yaml(&all).unwrap()).unwrap();
        let back: BTreeMap<String, Expected> =
            serde_json::from_value(pasted["monitor"]["quality"].clone()).unwrap();
        assert_eq!(back, all);
        let told = table(3, &all, &said, &learned);
        assert!(
            told.contains("-40 to 60") && told.contains("stuck") && told.contains("no such column"),
            "{told}"
        );
    }
}
