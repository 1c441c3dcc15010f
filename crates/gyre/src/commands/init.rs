//! `gyre init`: a project that works, to be changed step by step into one's own.

use std::path::{Path, PathBuf};

use clap::Args;
use gyre_core::spec;
use gyre_core::time::SystemClock;
use gyre_core::{Clock, ModelName, Span, Timestamp};
use gyre_data::dvc::Repo;

use crate::failure::Failure;
use crate::show;

const SPEC: &str = include_str!("init/gyre.yaml");
const PIPELINE: &str = include_str!("init/dvc.yaml");
/// What stands in the template for the project's name.
const NAME: &str = "PROJECT_NAME";

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The project's folder; it is made when it is not there.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The project's name; by default the folder's.
    #[arg(long)]
    name: Option<ModelName>,
    /// The moment at which the eight weeks of example data end, in RFC 3339; by default the last midnight (UTC).
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

pub(crate) fn run(args: &InitArgs) -> Result<(), Failure> {
    std::fs::create_dir_all(&args.dir).map_err(gyre_data::files::FileError::on("create", &args.dir))?;
    let name = args.name.clone().map_or_else(|| named_after(&args.dir), Ok)?;
    let until = args.until.unwrap_or_else(|| midnight(SystemClock.now()));
    let files = [
        (spec::FILE, SPEC.replace(NAME, name.as_str())),
        (gyre_pipeline::FILE, PIPELINE.to_owned()),
        ("data/deliveries.csv", deliveries(until)),
    ];
    if let Some((there, _)) = files.iter().find(|(file, _)| args.dir.join(file).exists()) {
        let path = args.dir.join(there);
        return Err(Failure::because(format!("{} exists already; nothing was written", path.display())));
    }
    Repo::init(&args.dir)?;
    for (file, text) in &files {
        gyre_data::files::write(&args.dir.join(file), text.as_bytes())?;
    }
    let there = args.dir.display();
    let cd = if args.dir == Path::new(".") { String::new() } else { format!("  cd {there}\n") };
    show::say(format!(
        "made the project {name} in {there}: gyre.yaml, dvc.yaml, data/deliveries.csv, .dvc/\n\nNext:\n{cd}  \
         gyre check          is everything as it should be?\n  \
         gyre up             start the server, in a terminal of its own\n  \
         gyre train minutes  ask for the first version; `gyre status` shows how it goes\n\n\
         Then put your own data, target and features into gyre.yaml and dvc.yaml."
    ))
}

/// A name out of the folder's: what a name cannot hold becomes `-`.
fn named_after(dir: &Path) -> Result<ModelName, Failure> {
    let dir = std::path::absolute(dir)?;
    let name = dir.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let kept: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let kept = kept.trim_matches('-');
    kept.parse().or_else(|_| "project".parse()).map_err(Failure::because)
}

/// The beginning of the day.
fn midnight(moment: Timestamp) -> Timestamp {
    Timestamp::default() + Span::days(moment.day())
}

/// Eight weeks of made-up deliveries, one an hour, the same ones every time: minutes grow with the distance, more so in
/// the rush hours.
fn deliveries(until: Timestamp) -> String {
    const ROWS: i64 = 8 * 7 * 24;
    let begin = until - Span::hours(ROWS);
    let mut text = "id,ordered,delivered,distance_km,hour,district,minutes\n".to_owned();
    for id in 0..ROWS {
        let (hour, mix) = (id % 24, id * 7_919 % 1_009);
        let district = ["north", "east", "south", "west"][(mix % 4) as usize];
        let distance = (mix % 90 + 10) as f64 / 10.0;
        let rush = if [8, 9, 17, 18].contains(&hour) { 1.6 } else { 1.0 };
        let minutes = (8.0 + 3.5 * distance * rush + (mix % 13) as f64 / 2.0).round();
        let ordered = begin + Span::hours(id);
        let delivered = ordered + Span::from_millis(minutes as i64 * 60_000);
        text += &format!("{id},{ordered},{delivered},{distance},{hour},{district},{minutes}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_name_as_far_as_it_can() {
        let name = |dir: &str| named_after(Path::new(dir)).unwrap().to_string();
        assert_eq!(name("/x/My Project 2"), "my-project-2");
        assert_eq!(name("/"), "project");
        assert_eq!(name("/x/***"), "project");
    }
}
