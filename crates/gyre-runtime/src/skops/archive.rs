//! The zip: its files in memory, within bounds.

use std::collections::HashMap;
use std::io::{Cursor, Read};

use serde_json::Value;

use crate::error::Unread;
use crate::limits::Limits;

/// Largest `schema.json`, in bytes. What is made of it can take some twenty times as much.
const SCHEMA_BYTES: usize = 32 << 20;
/// Most files of an archive.
const MOST_FILES: usize = 1 << 17;

/// The parts of an archive.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) schema: Value,
    /// The arrays by name.
    pub(super) files: HashMap<String, Vec<u8>>,
}

impl Archive {
    /// Unpacks all, at most as many bytes as a file may have.
    pub(super) fn open(bytes: &[u8]) -> Result<Archive, Unread> {
        let broken = |problem: String| Unread::broken("zip", problem);
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| broken(e.to_string()))?;
        if zip.len() > MOST_FILES {
            return Err(Unread::TooLarge { what: "files", found: zip.len(), limit: MOST_FILES });
        }
        let (mut schema, mut files) = (None, HashMap::new());
        let mut room = Limits::DEFAULT.file_bytes;
        for at in 0..zip.len() {
            let file = zip.by_index(at).map_err(|e| broken(e.to_string()))?;
            let name = file.name().map_err(|e| broken(e.to_string()))?.into_owned();
            let limit = if name == "schema.json" { SCHEMA_BYTES.min(room) } else { room };
            // The size that the zip claims is not believed; one byte more than allowed tells that there is more.
            let mut content = Vec::new();
            let read = file.take(limit as u64 + 1).read_to_end(&mut content);
            read.map_err(|e| broken(format!("{name}: {e}")))?;
            if content.len() > limit {
                return Err(Unread::TooLarge { what: "unpacked bytes", found: content.len(), limit });
            }
            room -= content.len();
            if name == "schema.json" {
                let value = serde_json::from_slice(&content);
                schema = Some(value.map_err(|e| Unread::broken("schema.json", e.to_string()))?);
            } else if name.ends_with(".npy") {
                files.insert(name, content);
            }
        }
        let schema = schema.ok_or_else(|| {
            Unread::unsupported("a zip without schema.json, which is not from skops", super::REMEDY)
        })?;
        Ok(Archive { schema, files })
    }
}
