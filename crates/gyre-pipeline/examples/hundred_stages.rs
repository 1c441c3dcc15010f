//! How long a run takes beside what its commands do: a chain of 100 stages, cold and with nothing changed.
//!
//! `cargo run --release -p gyre-pipeline --example hundred_stages`

use std::error::Error;
use std::time::Instant;

use gyre_data::dvc::Repo;
use gyre_pipeline::{Pipeline, RunOptions, run};

const STAGES: usize = 100;
const ROUNDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut text = "stages:\n".to_owned();
    for stage in 0..STAGES {
        let next = stage + 1;
        text += &format!(
            "  s{stage}:\n    cmd: cat f{stage} | cksum > f{next}\n    deps: [f{stage}]\n    outs: [f{next}]\n"
        );
    }
    println!("ms for {STAGES} stages: the commands alone, cold, nothing changed, source changed");
    for round in 0..ROUNDS {
        let dir = tempfile::tempdir()?;
        Repo::init(dir.path())?;
        std::fs::write(dir.path().join("f0"), format!("round {round}"))?;
        let floor = Instant::now();
        for stage in 0..STAGES {
            let command = format!("cat f{stage} | cksum > f{}", stage + 1);
            std::process::Command::new("/bin/sh").args(["-c", &command]).current_dir(dir.path()).status()?;
        }
        let floor = floor.elapsed();
        let mut times = vec![floor];
        let once = || -> Result<_, Box<dyn Error>> {
            let begun = Instant::now();
            let pipeline = Pipeline::parse("dvc.yaml", &text).map_err(|wrong| format!("{wrong:?}"))?;
            let done = run(dir.path(), &pipeline, &[], &RunOptions::default(), &mut |_| {})?;
            Ok((begun.elapsed(), done.stages.iter().filter(|stage| stage.cached).count()))
        };
        for (expected, change) in [(0, false), (STAGES, false), (0, true)] {
            if change {
                std::fs::write(dir.path().join("f0"), format!("round {round}, changed"))?;
            }
            let (time, cached) = once()?;
            if cached != expected {
                return Err(format!("{cached} stages were cached, expected {expected}").into());
            }
            times.push(time);
        }
        let shown: Vec<String> =
            times.iter().map(|time| format!("{:.1}", time.as_secs_f64() * 1e3)).collect();
        println!("{}", shown.join("  "));
    }
    Ok(())
}
