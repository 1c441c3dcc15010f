//! How long the profile of a table takes, and how much memory: `cargo run --release -p gyre-profile --example profile -- FILE…`
//!
//! Prints seconds, the most memory that the process took (Linux), and the size of the profile as it is stored.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let begun = Instant::now();
    let profile = gyre_profile::profile(&files, None, &|_| {})?;
    let took = begun.elapsed().as_secs_f64();
    let stored = std::env::temp_dir().join(format!("profile-{}.json", std::process::id()));
    profile.store(&stored)?;
    let bytes = std::fs::metadata(&stored)?.len();
    std::fs::remove_file(&stored)?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or(" unknown").trim();
    println!(
        "{} rows x {} columns: {took:.3} s, {most} at most, {bytes} bytes stored",
        profile.rows,
        profile.columns.len()
    );
    Ok(())
}
