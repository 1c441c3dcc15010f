//! Where onnxruntime is found, and how it is opened: once a process, when the first graph needs it.
//!
//! Opening a shared library is running its code. So it is looked for only where whoever started the program said or keeps
//! such things: a setting, the Python environments that are his, the system's own places. When it is not there, that is
//! not kept in mind: after `pip install onnxruntime` the next model finds it, without a restart.

use std::error::Error as _;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;

/// The variable that names the library's file.
pub const SETTING: &str = "GYRE_ONNXRUNTIME";
/// Variables that name a Python environment.
const ENVIRONMENTS: [&str; 2] = ["VIRTUAL_ENV", "CONDA_PREFIX"];
/// What the system's loader is asked for.
const SYSTEM: [&str; 2] = ["libonnxruntime.so.1", "libonnxruntime.so"];
/// Oldest version whose interface is used, as the feature of `ort` says.
const OLDEST: &str = "1.24";

/// Where to look, beyond the variables of the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The library's file; nothing else is tried then. Otherwise [`SETTING`] may name it.
    pub setting: Option<PathBuf>,
    /// The project's folder, whose `.venv` may hold it.
    pub project: Option<PathBuf>,
}

/// Where it was looked for, and why it was not found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(Vec<(String, String)>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("looked in ")?;
        for (at, (place, problem)) in self.0.iter().enumerate() {
            write!(f, "{}{place} ({problem})", if at == 0 { "" } else { ", " })?;
        }
        write!(
            f,
            ". Install it (`pip install onnxruntime`, {OLDEST} or newer, into .venv of the project or the environment that \
             is active), or name the file of the library with --onnxruntime or {SETTING}"
        )
    }
}

static PLACES: Mutex<Places> = Mutex::new(Places { setting: None, project: None });
static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

/// Says where to look, from now on. What is open already stays.
pub fn look_in(places: Places) {
    *PLACES.lock().unwrap_or_else(PoisonError::into_inner) = places;
}

/// The library's environment; opens the library when it is not open yet.
pub(crate) fn environment() -> Result<Environment, Missing> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut tried = Vec::new();
    for (place, found) in candidates(&places, &|name| std::env::var_os(name)) {
        match found.and_then(|file| open(&file)) {
            Ok(environment) => return Ok(loaded.insert(environment).clone()),
            Err(problem) => tried.push((place, problem)),
        }
    }
    Err(Missing(tried))
}

type Found = (String, Result<PathBuf, String>);

/// Every place with the file there, or why there is none, in the order in which they are tried.
fn candidates(places: &Places, variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<Found> {
    let set = variable(SETTING).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = places.setting.clone().or(set) {
        let found = match std::path::absolute(&file) {
            Ok(file) if file.is_file() => Ok(file),
            Ok(_) => Err("there is no such file".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        return vec![(file.display().to_string(), found)];
    }
    let mut all = vec![(SETTING.to_owned(), Err("not set".to_owned()))];
    for name in ENVIRONMENTS {
        all.push(match variable(name).filter(|value| !value.is_empty()).map(PathBuf::from) {
            Some(root) => (format!("{name}={}", root.display()), wheel(&root)),
            None => (name.to_owned(), Err("not set".to_owned())),
        });
    }
    if let Some(root) =
        places.project.as_ref().and_then(|folder| std::path::absolute(folder.join(".venv")).ok())
    {
        all.push((root.display().to_string(), wheel(&root)));
    }
    all.extend(SYSTEM.map(|name| (format!("the system's {name}"), Ok(PathBuf::from(name)))));
    all
}

/// The library of the wheel in a Python environment; of several the newest Python's.
fn wheel(root: &Path) -> Result<PathBuf, String> {
    if !root.is_dir() {
        return Err("there is no such folder".to_owned());
    }
    let within = |folder: PathBuf, prefix: &str| -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let named = |path: &PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
        };
        let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(named).collect();
        found.sort();
        found
    };
    let pythons = within(root.join("lib"), "python3");
    let folders = pythons.into_iter().rev().map(|python| python.join("site-packages/onnxruntime/capi"));
    let mut files = folders.flat_map(|folder| within(folder, "libonnxruntime.so"));
    files.next().ok_or_else(|| "the package onnxruntime is not installed there".to_owned())
}

fn open(file: &Path) -> Result<Environment, String> {
    let builder = ort::init_from(file).map_err(|error| match error {
        // What the loader said is behind the error, which itself says only that it failed.
        LoadDynamicError::Dlopen { error, .. } => match error.source() {
            Some(reason) => reason.to_string(),
            None => error.to_string(),
        },
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("onnxruntime {version_str} is too old, {OLDEST} or newer is needed")
        }
        LoadDynamicError::MissingApi { .. } => "it is another library".to_owned(),
        other => other.to_string(),
    })?;
    // What goes wrong comes back as an error; a server's standard error is no place for a library's own words.
    let silent = Arc::new(|_: LogLevel, _: &str, _: &str, _: &str, _: &str| {});
    let environment = builder
        .with_name("gyre")
        .with_telemetry(false)
        .with_logger(silent)
        .build()
        .map_err(|error| error.to_string())?;
    environment.set_log_level(LogLevel::Fatal);
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[Found]) -> Vec<&str> {
        found.iter().map(|(place, _)| place.as_str()).collect()
    }

    #[test]
    fn a_setting_is_the_only_place_that_is_tried() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("libonnxruntime.so");
        let places = Places { setting: Some(file.clone()), project: Some(dir.path().into()) };
        let found = candidates(&places, &|_| Some("/elsewhere".into()));
        assert_eq!(found, [(file.display().to_string(), Err("there is no such file".into()))]);
        std::fs::write(&file, "").unwrap();
        assert_eq!(candidates(&places, &|_| None), [(file.display().to_string(), Ok(file.clone()))]);
        let set = |name: &str| (name == SETTING).then(|| OsString::from(&file));
        assert_eq!(candidates(&Places::default(), &set)[0].1, Ok(file.clone()));
    }

    #[test]
    fn wheels_of_environments_come_before_the_system() {
        let dir = tempfile::tempdir().unwrap();
        let capi = |env: &str, python: &str| {
            let folder = dir.path().join(env).join("lib").join(python).join("site-packages/onnxruntime/capi");
            std::fs::create_dir_all(&folder).unwrap();
            for name in ["libonnxruntime_providers_shared.so", "libonnxruntime.so.1.32.0", "other.py"] {
                std::fs::write(folder.join(name), "").unwrap();
            }
            folder.join("libonnxruntime.so.1.32.0")
        };
        let (active, ours) = (capi("active", "python3.12"), capi(".venv", "python3.11"));
        let places = Places { setting: None, project: Some(dir.path().into()) };
        let variable = |name: &str| (name == "VIRTUAL_ENV").then(|| dir.path().join("active").into());
        let found = candidates(&places, &variable);
        assert_eq!(found[1].1, Ok(active));
        assert_eq!(found[3].1, Ok(ours));
        assert!(names(&found)[4].contains("system"), "{found:?}");
        let empty = tempfile::tempdir().unwrap();
        assert!(wheel(empty.path()).unwrap_err().contains("not installed"));
        assert!(wheel(&empty.path().join("x")).unwrap_err().contains("no such folder"));
    }

    #[test]
    fn what_is_missing_is_told_with_every_place_and_the_remedy() {
        let places = Places::default();
        let missing = candidates(&places, &|_| None);
        let missing = missing.into_iter().map(|(place, found)| (place, found.err().unwrap_or("no".into())));
        let text = Missing(missing.collect()).to_string();
        for word in ["GYRE_ONNXRUNTIME (not set)", "VIRTUAL_ENV", "CONDA_PREFIX", "system's", "pip install"] {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
}
