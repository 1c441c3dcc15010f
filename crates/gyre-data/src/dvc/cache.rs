//! The content store: DVC's cache, where every object is named by the MD5 of its bytes.
//!
//! Objects are read-only and complete as soon as they have their name. They are copied in and out, never hard
//! linked: a link that someone writes through would change the object under its name, and DVC trusts the mode
//! 0444 without looking.

use std::path::{Path, PathBuf};

use super::DvcError;
use crate::files::Pending;
use crate::hash::{Md5Hash, copy_md5};

const READ_ONLY: u32 = 0o444;

/// A cache directory in DVC 3's layout, `files/md5/ab/cdef…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    files: PathBuf,
}

impl Cache {
    /// The cache in `dir` (as in `cache.dir`).
    pub fn at(dir: &Path) -> Self {
        Self { files: dir.join("files/md5") }
    }

    /// Where the object with this MD5 is, or would be.
    ///
    /// # Errors
    /// [`DvcError::NotAnMd5`]; [`DvcError::Directory`] for a `.dir` object.
    pub fn path(&self, md5: &str) -> Result<PathBuf, DvcError> {
        if md5.ends_with(".dir") {
            return Err(DvcError::Directory(self.files.join(md5)));
        }
        let digits = md5.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match md5.split_at_checked(2).filter(|_| digits && md5.len() == 32) {
            Some((head, tail)) => Ok(self.files.join(head).join(tail)),
            None => Err(DvcError::NotAnMd5(md5.chars().take(80).collect())),
        }
    }

    /// Whether there is an object with this MD5.
    ///
    /// # Errors
    /// As [`Cache::path`].
    pub fn contains(&self, md5: &str) -> Result<bool, DvcError> {
        Ok(self.path(md5)?.is_file())
    }

    /// Copies `file` into the cache. An object that is already there stays.
    ///
    /// # Errors
    /// [`DvcError::Directory`]; when the file cannot be read or the object not written.
    pub fn put(&self, file: &Path) -> Result<Md5Hash, DvcError> {
        if file.is_dir() {
            return Err(DvcError::Directory(file.to_path_buf()));
        }
        // The bytes that are hashed are the bytes that are stored, even when someone writes to the file meanwhile.
        let mut pending = Pending::create(&self.files.join("incoming"))?;
        let hash = copy_md5(file, pending.file())?;
        let object = self.path(&hash.md5)?;
        if !object.is_file() {
            pending.set_mode(READ_ONLY)?;
            pending.publish_as(&object)?;
        }
        Ok(hash)
    }

    /// Copies the object with this MD5 to `to`, which appears whole or not at all.
    ///
    /// # Errors
    /// [`DvcError::NotInCache`]; [`DvcError::Damaged`] when its bytes are not what the name says.
    pub fn get(&self, md5: &str, to: &Path) -> Result<Md5Hash, DvcError> {
        let object = self.path(md5)?;
        if !object.is_file() {
            return Err(DvcError::NotInCache { md5: md5.to_owned(), path: object });
        }
        let mut pending = Pending::create(to)?;
        let hash = copy_md5(&object, pending.file())?;
        if hash.md5 != md5 {
            return Err(DvcError::Damaged { path: object, found: hash.md5 });
        }
        pending.publish()?;
        Ok(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_put_comes_back_and_is_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, file) = (Cache::at(dir.path()), dir.path().join("in"));
        std::fs::write(&file, "abc").unwrap();
        let hash = cache.put(&file).unwrap();
        assert_eq!(cache.put(&file).unwrap(), hash);
        let object = dir.path().join("files/md5/90/0150983cd24fb0d6963f7d28e17f72");
        assert_eq!(cache.path(&hash.md5).unwrap(), object);
        let mode = std::fs::metadata(&object).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, READ_ONLY);
        assert_eq!(std::fs::read_dir(dir.path().join("files/md5")).unwrap().count(), 1, "no temporary files");

        cache.get(&hash.md5, &dir.path().join("out/copy")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("out/copy")).unwrap(), b"abc");
    }

    #[test]
    fn a_damaged_object_is_never_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, file) = (Cache::at(dir.path()), dir.path().join("in"));
        std::fs::write(&file, "abc").unwrap();
        let md5 = cache.put(&file).unwrap().md5;
        let object = cache.path(&md5).unwrap();
        std::fs::remove_file(&object).unwrap();
        std::fs::write(&object, "abd").unwrap();
        assert!(matches!(cache.get(&md5, &dir.path().join("out")), Err(DvcError::Damaged { .. })));
        assert!(!dir.path().join("out").exists());
    }

    #[test]
    fn names_that_are_no_md5_are_refused() {
        let cache = Cache::at(Path::new("/cache"));
        for bad in ["", "..", "../../../../etc/passwd", &"g".repeat(32), "é90150983cd24fb0d6963f7d28e17f72"]
        {
            assert!(matches!(cache.path(bad), Err(DvcError::NotAnMd5(_))), "{bad}");
        }
        let directory = format!("{}.dir", "a".repeat(32));
        assert!(matches!(cache.path(&directory), Err(DvcError::Directory(_))));
    }
}
