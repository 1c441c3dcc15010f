//! Reading files whose size and kind somebody else decides.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The first `limit` bytes of the regular file at `path`, and whether there are more.
pub(crate) fn head(path: &Path, limit: u64) -> io::Result<(Vec<u8>, bool)> {
    // Opening a pipe that nobody writes to would wait for ever.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let cut = bytes.len() > limit;
    bytes.truncate(limit);
    Ok((bytes, cut))
}

/// The beginning of a text, what is no UTF-8 in it replaced; none when it cannot be read.
pub(crate) fn text(path: &Path, limit: u64) -> Option<String> {
    head(path, limit).ok().map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned())
}
