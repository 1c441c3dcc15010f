//! Which files are meant, and what their outputs are called.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use gyre_core::Diagnostic;
use gyre_data::files::FileError;

use crate::error::BatchError;
use crate::glob::{self, Pattern};

/// How a file is laid out, told by its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `.parquet`, `.pq`.
    Parquet,
    /// `.csv`: commas, and a line with the columns' names.
    Csv,
}

impl Layout {
    /// The layout that a path's extension names.
    ///
    /// # Errors
    /// When it names none.
    pub fn of(path: &Path) -> Result<Self, BatchError> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("parquet" | "pq") => Ok(Self::Parquet),
            Some("csv") => Ok(Self::Csv),
            found => {
                let found = found.map_or("no extension".to_owned(), |found| format!("`.{found}`"));
                let wrong =
                    Diagnostic::new(path.display().to_string(), format!("{found} names no kind of table"));
                Err(BatchError::wrong(wrong.expected(".parquet or .csv")))
            }
        }
    }
}

/// An input and where its predictions go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The rows.
    pub input: PathBuf,
    /// The predictions.
    pub output: PathBuf,
}

/// The files that `inputs` (files, folders, patterns) name, each with its output, in the order of their outputs. Folders
/// are gone through to the bottom, and an output keeps its place below the folder; what begins with `.` or `_` is passed
/// over, as Spark and others do.
///
/// `output` is a file when there is one input and it has a table's extension, and a folder otherwise.
///
/// # Errors
/// When nothing is named, a name is none, two inputs would have one output, or an output is an input.
pub fn pairs(inputs: &[String], output: &Path) -> Result<Vec<Pair>, BatchError> {
    let mut found = Vec::new();
    for input in inputs {
        expand(input, &mut found)?;
    }
    let one = matches!(found.as_slice(), [(_, below)] if below.components().count() == 1);
    let folder_meant = output.is_dir() || output.to_string_lossy().ends_with('/');
    let pairs = if one && !folder_meant && Layout::of(output).is_ok() {
        let input = found.into_iter().map(|(input, _)| input);
        input.map(|input| Pair { input, output: output.to_path_buf() }).collect::<Vec<_>>()
    } else {
        if Layout::of(output).is_ok() && !output.is_dir() {
            let wrong = format!("there are {} inputs, and the output is one file", found.len());
            let wrong = Diagnostic::new(output.display().to_string(), wrong);
            return Err(BatchError::wrong(
                wrong.expected("a folder, in which each input gets an output of its name"),
            ));
        }
        if output.is_file() {
            let wrong =
                Diagnostic::new(output.display().to_string(), "it is a file without a table's extension");
            return Err(BatchError::wrong(
                wrong.expected("a folder, or a file that ends in .parquet or .csv"),
            ));
        }
        found.into_iter().map(|(input, below)| Pair { input, output: output.join(below) }).collect()
    };
    distinct(pairs)
}

/// The files that `inputs` (files, folders, patterns) name, in order and each once.
///
/// # Errors
/// As [`pairs`].
pub fn files(inputs: &[String]) -> Result<Vec<PathBuf>, BatchError> {
    let mut found = Vec::new();
    for input in inputs {
        expand(input, &mut found)?;
    }
    let mut files: Vec<PathBuf> = found.into_iter().map(|(input, _)| input).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Each output once, and none over an input; in order.
fn distinct(pairs: Vec<Pair>) -> Result<Vec<Pair>, BatchError> {
    let mut by_output: BTreeMap<PathBuf, Pair> = BTreeMap::new();
    for pair in pairs {
        Layout::of(&pair.input)?;
        let output = pair.output.clone();
        match by_output.get(&output) {
            Some(known) if known.input == pair.input => continue,
            Some(known) => {
                let wrong =
                    format!("the output of both {} and {}", known.input.display(), pair.input.display());
                let wrong = Diagnostic::new(output.display().to_string(), wrong);
                return Err(BatchError::wrong(
                    wrong.help("name the folder above both as --input, or score them apart"),
                ));
            }
            None => by_output.insert(output, pair),
        };
    }
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let inputs: Vec<PathBuf> = by_output.values().filter_map(|pair| real(&pair.input)).collect();
    for output in by_output.keys() {
        if real(output).is_some_and(|output| inputs.contains(&output)) {
            let wrong = Diagnostic::new(output.display().to_string(), "the output would replace an input");
            return Err(BatchError::wrong(wrong.help("choose another --output")));
        }
    }
    Ok(by_output.into_values().collect())
}

/// The files of one word, each with the path that its output has below the output's folder.
fn expand(word: &str, into: &mut Vec<(PathBuf, PathBuf)>) -> Result<(), BatchError> {
    let path = Path::new(word);
    let before = into.len();
    if path.is_file() {
        let name = path.file_name().map_or_else(|| path.to_path_buf(), PathBuf::from);
        into.push((path.to_path_buf(), name));
        return Ok(());
    }
    if path.is_dir() {
        walk(path, Path::new(""), &mut |_| true, into)?;
        if into.len() == before {
            let wrong = Diagnostic::new(word, "there is no table in this folder");
            return Err(BatchError::wrong(wrong.expected("files that end in .parquet or .csv")));
        }
        return Ok(());
    }
    if !glob::is_pattern(word) {
        let wrong = Diagnostic::new(word, "there is no such file or folder");
        return Err(BatchError::wrong(nearest_file(path, wrong)));
    }
    let pattern = Pattern::parse(word)
        .ok_or_else(|| BatchError::wrong(Diagnostic::new(word, "the pattern's `[` is not closed")))?;
    let base = if pattern.base.is_empty() { Path::new(".") } else { Path::new(&pattern.base) };
    if base.is_dir() {
        walk(base, Path::new(""), &mut |below| pattern.matches(below), into)?;
    }
    if into.len() == before {
        return Err(BatchError::wrong(Diagnostic::new(word, "no table matches this pattern")));
    }
    Ok(())
}

/// What a name may have been meant to be: the nearest in its folder.
fn nearest_file(path: &Path, wrong: Diagnostic) -> Diagnostic {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let meant = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    wrong.nearest(&meant, names.iter().map(String::as_str))
}

fn walk(
    base: &Path,
    below: &Path,
    wanted: &mut dyn FnMut(&str) -> bool,
    into: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), BatchError> {
    let folder = base.join(below);
    let mut entries = std::fs::read_dir(&folder)
        .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
        .map_err(FileError::on("read", &folder))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(['.', '_']) {
            continue;
        }
        let (below, path) = (below.join(&name), entry.path());
        // Links to folders are not followed: they may lead in a circle.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(base, &below, wanted, into)?;
        } else if path.is_file() && Layout::of(&path).is_ok() && wanted(&slashed(&below)) {
            let path = if base == Path::new(".") { below.clone() } else { path };
            into.push((path, below));
        }
    }
    Ok(())
}

fn slashed(path: &Path) -> String {
    let part = |part: Component<'_>| part.as_os_str().to_string_lossy().into_owned();
    path.components().map(part).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x\n1\n").unwrap();
        }
        dir
    }

    fn outputs(dir: &Path, inputs: &[&str], output: &str) -> Result<Vec<String>, String> {
        let inputs: Vec<String> = inputs.iter().map(|input| format!("{}/{input}", dir.display())).collect();
        let pairs = pairs(&inputs, &dir.join(output)).map_err(|error| error.to_string())?;
        Ok(pairs.iter().map(|pair| slashed(pair.output.strip_prefix(dir).unwrap())).collect())
    }

    #[test]
    fn a_folder_keeps_its_shape_and_what_is_no_table_is_passed_over() {
        let dir = folder(&["in/b.csv", "in/day=1/a.parquet", "in/_SUCCESS", "in/.x.csv", "in/notes.txt"]);
        assert_eq!(outputs(dir.path(), &["in"], "out").unwrap(), ["out/b.csv", "out/day=1/a.parquet"]);
        assert_eq!(outputs(dir.path(), &["in/**/*.parquet"], "out").unwrap(), ["out/day=1/a.parquet"]);
        assert_eq!(outputs(dir.path(), &["in/b.csv"], "x.parquet").unwrap(), ["x.parquet"]);
        assert_eq!(outputs(dir.path(), &["in/b.csv", "in/b.csv"], "out/").unwrap(), ["out/b.csv"]);
    }

    #[test]
    fn what_cannot_be_meant_is_said_with_what_to_do() {
        let dir = folder(&["in/b.csv", "other/b.csv", "in/c.csv"]);
        let wrong = |inputs: &[&str], output: &str| outputs(dir.path(), inputs, output).unwrap_err();
        assert!(wrong(&["in"], "all.parquet").contains("2 inputs, and the output is one file"));
        assert!(wrong(&["in/b.csv", "other/b.csv"], "out").contains("the output of both"));
        assert!(wrong(&["in/b.csv"], "in/b.csv").contains("would replace an input"));
        assert!(wrong(&["in"], "in").contains("would replace an input"));
        assert!(wrong(&["in/b.cvs"], "out").contains("did you mean `b.csv`?"));
        assert!(wrong(&["in/*.parquet"], "out").contains("no table matches"));
    }
}
