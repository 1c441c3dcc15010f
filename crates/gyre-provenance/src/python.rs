//! The files by which Python's packages and environments describe themselves.
//!
//! Formats: core metadata and installed projects of the Python Packaging User Guide
//! (<https://packaging.python.org/en/latest/specifications/>), `direct_url.json` (PEP 610), `pyvenv.cfg` (PEP 405). Pure.

use serde::Deserialize;

use crate::record::Package;
use crate::scrub;

/// Name and version in the head of a `METADATA` or `PKG-INFO`.
pub fn metadata(text: &str) -> Option<Package> {
    let (mut name, mut version) = (None, None);
    // The head ends with an empty line; the description follows.
    for line in text.lines().take_while(|line| !line.trim().is_empty()) {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        let slot = match key {
            key if key.eq_ignore_ascii_case("name") => &mut name,
            key if key.eq_ignore_ascii_case("version") => &mut version,
            _ => continue,
        };
        if slot.is_none() && is_short(value) {
            *slot = Some(value.to_owned());
        }
    }
    Some(Package { name: name?, version: version?, origin: None })
}

/// Name and version in the name of a folder `NAME-VERSION.dist-info`.
pub fn folder(name: &str) -> Option<Package> {
    let (name, version) = name.strip_suffix(".dist-info")?.split_once('-')?;
    let found = Package { name: name.to_owned(), version: version.to_owned(), origin: None };
    (is_short(name) && is_short(version)).then_some(found)
}

fn is_short(text: &str) -> bool {
    !text.is_empty() && text.len() <= 200 && !text.contains(char::is_control)
}

#[derive(Deserialize)]
struct DirectUrl {
    url: String,
    vcs_info: Option<VcsInfo>,
    dir_info: Option<DirInfo>,
}

#[derive(Deserialize)]
struct VcsInfo {
    commit_id: Option<String>,
}

#[derive(Deserialize)]
struct DirInfo {
    #[serde(default)]
    editable: bool,
}

/// Where a package came from, by its `direct_url.json`.
pub fn origin(text: &str) -> Option<String> {
    let found: DirectUrl = serde_json::from_str(text).ok()?;
    let mut origin = scrub::text(&found.url);
    if let Some(commit) = found.vcs_info.and_then(|vcs| vcs.commit_id).filter(|commit| is_short(commit)) {
        origin = format!("{origin}@{commit}");
    }
    if found.dir_info.is_some_and(|dir| dir.editable) {
        origin.push_str(" (editable)");
    }
    Some(origin.chars().take(1_000).collect())
}

/// What a `pyvenv.cfg` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Venv {
    /// The version of the interpreter.
    pub version: Option<String>,
    /// The folder of the interpreter that it was made with.
    pub home: Option<String>,
    /// Whether the packages of that interpreter are seen too.
    pub system_packages: bool,
}

/// Reads a `pyvenv.cfg`.
pub fn venv(text: &str) -> Venv {
    let value = |wanted: &[&str]| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            let value = value.trim();
            (wanted.contains(&key.trim()) && is_short(value)).then(|| value.to_owned())
        })
    };
    Venv {
        version: value(&["version", "version_info"]).map(|version| three(&version).unwrap_or(version)),
        home: value(&["home"]),
        system_packages: value(&["include-system-site-packages"])
            .is_some_and(|value| value.eq_ignore_ascii_case("true")),
    }
}

/// The three numbers that `text` begins with: `3.12.3` of `3.12.3.final.0`.
fn three(text: &str) -> Option<String> {
    let numbers: Vec<&str> = text.split('.').take(3).collect();
    let good = |number: &&str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (numbers.len() == 3 && numbers.iter().all(good)).then(|| numbers.join("."))
}

/// The version of the interpreter at `path`, as far as its path says: `3.12.3` of
/// `…/cpython-3.12.3-linux-x86_64-gnu/bin/python3.12`, or `3.12` of `/usr/bin/python3.12`.
pub fn version(path: &str) -> Option<String> {
    let starts = |part: &str| {
        let part = part.strip_prefix("cpython-").or_else(|| part.strip_prefix("pypy-")).unwrap_or(part);
        let part = part.split(['-', '+']).next().unwrap_or_default();
        three(part)
    };
    let short = || {
        let number = path.rsplit('/').next()?.strip_prefix("python")?;
        let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        (plain && number.contains('.') && is_short(number)).then(|| number.to_owned())
    };
    path.split('/').find_map(starts).or_else(short)
}

/// Whether the program at `path` is a Python interpreter.
pub fn is_interpreter(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    ["python", "pypy"].iter().any(|of| {
        name.strip_prefix(of)
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.' || c == 't'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn packages_say_name_version_and_origin() {
        let text =
            "Metadata-Version: 2.1\nName: scikit-learn\nVersion: 1.9.1\nSummary: a: b\n\nName: wrong\n";
        let package = metadata(text).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("scikit-learn", "1.9.1"));
        assert_eq!(metadata("Name: a\n\nVersion: 1\n"), None);
        assert_eq!(folder("scikit_learn-1.9.1.dist-info").unwrap().version, "1.9.1");
        assert_eq!(folder("x.dist-info"), None);
        let git = r#"{"url": "https://me:pw@host/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc1"}}"#;
        assert_eq!(origin(git).as_deref(), Some("https://[hidden]@host/r.git@abc1"));
        let editable = r#"{"url": "file:///work/pkg", "dir_info": {"editable": true}}"#;
        assert_eq!(origin(editable).as_deref(), Some("file:///work/pkg (editable)"));
    }

    #[test]
    fn environments_say_their_version() {
        let text = "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.3\n";
        let expected = Venv {
            version: Some("3.12.3".to_owned()),
            home: Some("/usr/bin".to_owned()),
            system_packages: false,
        };
        assert_eq!(venv(text), expected);
        assert_eq!(venv("version_info = 3.12.3.final.0\n").version.as_deref(), Some("3.12.3"));
        for (path, said) in [
            ("/usr/bin/python3.12", Some("3.12")),
            ("/home/a/.pyenv/versions/3.11.4/bin/python3.11", Some("3.11.4")),
            ("/x/cpython-3.12.3-linux-x86_64-gnu/bin/python3.12", Some("3.12.3")),
            ("/usr/bin/python3", None),
        ] {
            assert_eq!(version(path).as_deref(), said, "{path}");
        }
        assert!(is_interpreter("/usr/bin/python3.13t") && is_interpreter("pypy3"));
        assert!(!is_interpreter("/usr/bin/pythonic") && !is_interpreter("/usr/bin/R"));
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "\\PC{0,120}", lines in "(Name|Version|home|[a-z.-]{0,9})[:=]\\PC{0,40}\n{1,2}") {
            let _ = (metadata(&text), metadata(&lines), folder(&text), origin(&text), venv(&lines), version(&text));
            let _ = (folder(&format!("{text}.dist-info")), is_interpreter(&text));
        }
    }
}
