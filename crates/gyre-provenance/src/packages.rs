//! What a program ran with: its interpreter, the packages that it could use, and the files beside it that pin versions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use gyre_core::Digest;

use crate::client::Client;
use crate::record::{Environment, LockFile, MOST_PACKAGES, Package};
use crate::{files, python};

/// The longest head of a package's description, in bytes.
const HEAD: u64 = 16 << 10;
/// The longest lock file, in bytes.
const LONGEST: u64 = 16 << 20;
/// The most folders of packages of one process.
const FOLDERS: usize = 8;
/// The most folders that are remembered.
const REMEMBERED: usize = 32;

/// Files that pin versions, in whatever language.
const LOCK_FILES: [&str; 18] = [
    "Cargo.lock",
    "Gemfile.lock",
    "Manifest.toml",
    "Pipfile.lock",
    "conda-lock.yml",
    "environment.yaml",
    "environment.yml",
    "go.sum",
    "package-lock.json",
    "pdm.lock",
    "pixi.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pylock.toml",
    "renv.lock",
    "requirements.txt",
    "uv.lock",
    "yarn.lock",
];

/// The packages in one folder.
type Listed = Arc<Vec<Package>>;

/// Lists of packages, read again only when something was installed or removed.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    folders: HashMap<PathBuf, (SystemTime, Listed)>,
}

impl Shelf {
    /// The packages in `folder`, a `site-packages`.
    fn list(&mut self, folder: &Path) -> Option<Listed> {
        // Installing makes and removes entries of the folder, which its time tells.
        let changed = std::fs::metadata(folder).ok()?.modified().ok()?;
        if let Some((then, listed)) = self.folders.get(folder)
            && *then == changed
        {
            return Some(Arc::clone(listed));
        }
        let listed = Arc::new(read(folder)?);
        if self.folders.len() >= REMEMBERED {
            self.folders.clear();
        }
        self.folders.insert(folder.to_owned(), (changed, Arc::clone(&listed)));
        Some(listed)
    }
}

fn read(folder: &Path) -> Option<Vec<Package>> {
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let (path, is_dist) = (entry.path(), name.ends_with(".dist-info"));
        let description = match name {
            _ if is_dist => path.join("METADATA"),
            name if name.ends_with(".egg-info") && path.is_dir() => path.join("PKG-INFO"),
            name if name.ends_with(".egg-info") => path.clone(),
            _ => continue,
        };
        let described = files::text(&description, HEAD).and_then(|text| python::metadata(&text));
        let Some(mut package) = described.or_else(|| python::folder(name)) else { continue };
        if is_dist {
            package.origin =
                files::text(&path.join("direct_url.json"), HEAD).and_then(|text| python::origin(&text));
        }
        packages.push(package);
        if packages.len() > MOST_PACKAGES {
            break;
        }
    }
    packages.sort();
    Some(packages)
}

/// Interpreter and packages of `client`, when it is a Python process, and the lock files in `folders`.
pub(crate) fn look(
    client: Client,
    command: &[String],
    variables: &BTreeMap<String, String>,
    folders: &[&Path],
    shelf: &mut Shelf,
    notes: &mut Vec<String>,
) -> (Environment, Vec<Package>) {
    let lock_files = lock_files(folders, notes);
    let mut environment = Environment { lock_files, ..Environment::default() };
    let executable = client.executable();
    let name = executable.as_deref().and_then(Path::to_str).unwrap_or_default();
    if !python::is_interpreter(name) {
        environment.interpreter = name.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
        return (environment, Vec::new());
    }
    let prefix = prefix(command.first().map(String::as_str), variables, folders.first().copied(), name);
    let venv = prefix.as_deref().and_then(|prefix| files::text(&prefix.join("pyvenv.cfg"), HEAD));
    let venv = venv.as_deref().map(python::venv).unwrap_or_default();
    let version = venv.version.clone().or_else(|| python::version(name));
    environment.interpreter =
        Some(version.map_or_else(|| "python".to_owned(), |version| format!("python {version}")));
    environment.prefix = prefix.as_ref().map(|prefix| prefix.to_string_lossy().into_owned());

    let maps = client.text("maps").unwrap_or_default();
    let mut candidates: BTreeSet<PathBuf> =
        crate::proc::package_folders(&maps).into_iter().map(PathBuf::from).collect();
    candidates.extend(prefix.iter().flat_map(|prefix| below(prefix)));
    if candidates.len() > FOLDERS {
        notes.push(format!("{} folders of packages, of which {FOLDERS} were read", candidates.len()));
    }
    let mut packages = BTreeMap::new();
    for folder in candidates.iter().take(FOLDERS) {
        let Some(listed) = shelf.list(folder) else { continue };
        for package in listed.iter() {
            packages
                .entry(package.name.to_lowercase().replace(['_', '.'], "-"))
                .or_insert_with(|| package.clone());
        }
    }
    if packages.len() > MOST_PACKAGES {
        notes.push(format!("{} packages, of which {MOST_PACKAGES} are listed", packages.len()));
    }
    (environment, packages.into_values().take(MOST_PACKAGES).collect())
}

/// The folder of the environment that a Python process runs in: of the program by the name that it was called by, of the
/// environment that was activated, or of the program itself.
fn prefix(
    called: Option<&str>,
    variables: &BTreeMap<String, String>,
    folder: Option<&Path>,
    executable: &str,
) -> Option<PathBuf> {
    let up = |path: &Path| Some(path.parent()?.parent()?.to_owned());
    let has_packages = |prefix: &PathBuf| !below(prefix).is_empty();
    let called = called.filter(|name| name.contains('/')).map(|name| match folder {
        Some(folder) => folder.join(name),
        None => PathBuf::from(name),
    });
    let called = called.and_then(|path| up(&path)).filter(has_packages);
    let activated = || {
        let names = ["VIRTUAL_ENV", "CONDA_PREFIX"];
        names.iter().find_map(|name| variables.get(*name)).map(PathBuf::from).filter(has_packages)
    };
    called.or_else(activated).or_else(|| up(Path::new(executable)).filter(has_packages))
}

/// The folders of packages of an installation: `lib/python3.12/site-packages`.
fn below(prefix: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for library in ["lib", "lib64"] {
        for entry in std::fs::read_dir(prefix.join(library)).into_iter().flatten().flatten() {
            let is_python = entry.file_name().to_str().is_some_and(|name| name.starts_with("python"));
            let folder = entry.path().join("site-packages");
            if is_python && folder.is_dir() && !library_is_link(prefix, library) {
                found.push(folder);
            }
        }
    }
    found
}

/// `lib64` often is another name of `lib`.
fn library_is_link(prefix: &Path, library: &str) -> bool {
    library == "lib64" && prefix.join(library).is_symlink()
}

fn lock_files(folders: &[&Path], notes: &mut Vec<String>) -> Vec<LockFile> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for path in folders.iter().flat_map(|folder| LOCK_FILES.map(|name| folder.join(name))) {
        // A link may lead anywhere, and its digest would tell what is there.
        if !seen.insert(path.clone()) || path.is_symlink() || !path.is_file() {
            continue;
        }
        match files::head(&path, LONGEST) {
            Ok((bytes, false)) => {
                found
                    .push(LockFile { path: path.to_string_lossy().into_owned(), digest: Digest::of(&bytes) });
            }
            Ok((_, true)) => notes.push(format!("{}: longer than {LONGEST} bytes", path.display())),
            Err(error) => notes.push(format!("{}: {error}", path.display())),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_again_only_when_something_was_installed() {
        let dir = tempfile::tempdir().unwrap();
        let install = |name: &str, version: &str| {
            let folder = dir.path().join(format!("{name}-{version}.dist-info"));
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("METADATA"), format!("Name: {name}\nVersion: {version}\n\n")).unwrap();
        };
        install("b", "2");
        install("a", "1");
        std::fs::write(dir.path().join("old.egg-info"), "Name: Old\nVersion: 0.1\n").unwrap();
        std::fs::create_dir(dir.path().join("bare-3.dist-info")).unwrap();
        let mut shelf = Shelf::default();
        let names = |listed: &Listed| listed.iter().map(|package| package.name.clone()).collect::<Vec<_>>();
        let first = shelf.list(dir.path()).unwrap();
        assert_eq!(names(&first), ["Old", "a", "b", "bare"]);
        assert!(Arc::ptr_eq(&first, &shelf.list(dir.path()).unwrap()));
        install("c", "3");
        // The folder's time may be too coarse to tell; an installation takes longer than that.
        let later = SystemTime::now() + std::time::Duration::from_secs(1);
        std::fs::File::open(dir.path()).unwrap().set_modified(later).unwrap();
        assert_eq!(names(&shelf.list(dir.path()).unwrap()), ["Old", "a", "b", "bare", "c"]);
    }

    #[test]
    fn an_environment_is_found_by_the_name_that_was_called() {
        let dir = tempfile::tempdir().unwrap();
        let (called, other) = (dir.path().join("v"), dir.path().join("w"));
        for prefix in [&called, &other] {
            std::fs::create_dir_all(prefix.join("lib/python3.12/site-packages")).unwrap();
        }
        let variables = BTreeMap::from([("VIRTUAL_ENV".to_owned(), other.display().to_string())]);
        let at = |name| prefix(Some(name), &variables, Some(dir.path()), "/usr/bin/python3.12");
        assert_eq!(at("v/bin/python"), Some(called));
        assert_eq!(at("python"), Some(other));
    }
}
