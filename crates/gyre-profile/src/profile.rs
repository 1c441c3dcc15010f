//! A whole table's profile, and how it is stored.

use std::collections::HashMap;
use std::path::Path;

use gyre_data::files::{self, FileError};
use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::error::ProfileError;

/// What a stored profile calls itself.
const FORMAT: &str = "gyre-profile";
/// The version of the format that is written and read.
const VERSION: u64 = 1;
/// Names of files that are kept.
const MOST_SOURCES: usize = 16;

/// What a table, or several together, hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Rows of all tables.
    pub rows: u64,
    /// How many files.
    pub files: u64,
    /// Their names, the first sixteen.
    pub sources: Vec<String>,
    /// The columns, in the order in which they were met.
    pub columns: Vec<Column>,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored<P> {
    format: String,
    version: u64,
    profile: P,
}

/// What is read before the rest is trusted to have the form that we know.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u64,
}

impl Profile {
    /// Adds the rows of other tables. Columns go together by their names; one that a table does not have keeps the rows
    /// that it had.
    ///
    /// # Errors
    /// [`ProfileError::TooMany`]; `self` is then unchanged.
    pub fn merge(&mut self, other: &Self) -> Result<(), ProfileError> {
        self.rows = self.rows.checked_add(other.rows).ok_or(ProfileError::TooMany)?;
        self.files = self.files.saturating_add(other.files);
        let room = MOST_SOURCES.saturating_sub(self.sources.len());
        self.sources.extend(other.sources.iter().take(room).cloned());
        let places = self.columns.iter().enumerate().map(|(at, column)| (column.name.clone(), at));
        let places: HashMap<String, usize> = places.collect();
        for column in &other.columns {
            // No column has more rows than its table, so that their sums are within those of the tables.
            match places.get(&column.name).and_then(|at| self.columns.get_mut(*at)) {
                Some(ours) => ours.merge(column),
                None => self.columns.push(column.clone()),
            }
        }
        Ok(())
    }

    /// The columns' names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Writes it as JSON, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, path: &Path) -> Result<(), ProfileError> {
        let stored = Stored { format: FORMAT.to_owned(), version: VERSION, profile: self };
        let text = serde_json::to_vec(&stored).map_err(|error| ProfileError::not_a_profile(path, error))?;
        Ok(files::write(path, &text)?)
    }

    /// Reads what [`Profile::store`] wrote.
    ///
    /// # Errors
    /// When it cannot be read, is no profile or one of another format, or does not add up.
    pub fn load(path: &Path) -> Result<Self, ProfileError> {
        let text = std::fs::read(path).map_err(FileError::on("read", path))?;
        let wrong = |reason: String| ProfileError::not_a_profile(path, reason);
        let head: Head = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if head.format != FORMAT {
            return Err(wrong(format!("its format is `{}`, not `{FORMAT}`", head.format.escape_debug())));
        }
        if head.version != VERSION {
            let (file, found) = (path.display().to_string(), head.version);
            return Err(ProfileError::OtherFormat { file, found, known: VERSION });
        }
        let stored: Stored<Self> = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let profile = stored.profile;
        let mut names = HashMap::new();
        for column in &profile.columns {
            let twice = names.insert(column.name.as_str(), ()).is_some();
            let reason = if twice {
                Some("it is there twice")
            } else if column.rows > profile.rows {
                Some("it has more rows than the tables")
            } else {
                column.contradiction()
            };
            if let Some(reason) = reason {
                let (file, column) = (path.display().to_string(), column.name.clone());
                return Err(ProfileError::Contradiction { file, column, reason });
            }
        }
        Ok(profile)
    }
}
