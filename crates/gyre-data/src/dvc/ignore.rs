//! Keeping data out of Git: a line in the `.gitignore` beside it, as DVC writes it.

use std::path::Path;

use super::DvcError;
use crate::files::{self, FileError};

/// Adds `output` to the `.gitignore` in its directory, unless its line is there. Outside a Git repository
/// nothing happens.
///
/// # Errors
/// When the `.gitignore` cannot be read or written.
pub fn ignore_in_git(output: &Path) -> Result<(), DvcError> {
    let (Some(directory), Some(name)) = (output.parent(), output.file_name()) else { return Ok(()) };
    let directory = std::path::absolute(directory).map_err(FileError::on("find", output))?;
    if !directory.ancestors().any(|above| above.join(".git").exists()) {
        return Ok(());
    }
    let path = directory.join(".gitignore");
    let mut text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(FileError::on("read", &path)(error).into()),
    };
    let line = format!("/{}", escaped(&name.to_string_lossy()));
    if text.lines().any(|present| present == line) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text += &line;
    text.push('\n');
    Ok(files::write(&path, text.as_bytes())?)
}

/// The characters that have a meaning in `.gitignore`, without it.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for character in name.chars() {
        // Only a space at the end has a meaning.
        let escapes = if character == ' ' { name.ends_with(' ') } else { "\\*?[]!#".contains(character) };
        if escapes {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_added_once_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out/a b#.csv");
        ignore_in_git(&output).unwrap();
        assert!(!dir.path().join("out").exists(), "outside Git nothing happens");

        std::fs::create_dir_all(dir.path().join(".git")).unwrap();
        std::fs::create_dir_all(dir.path().join("out")).unwrap();
        std::fs::write(dir.path().join("out/.gitignore"), "*.tmp").unwrap();
        ignore_in_git(&output).unwrap();
        ignore_in_git(&output).unwrap();
        assert_eq!(
            std::fs::read_to_string(dir.path().join("out/.gitignore")).unwrap(),
            "*.tmp\n/a b\\#.csv\n"
        );
    }
}
