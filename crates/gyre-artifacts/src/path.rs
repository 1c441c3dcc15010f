//! Paths of artifacts: from what a client wrote to a path that cannot leave its tree.
//!
//! A path is only ever a key here: bytes lie under their digest, so no path of a client is joined to a folder of this
//! machine. Paths are checked all the same, for clients join what is listed to folders of *theirs*. Text from a URL is
//! decoded exactly once. What would become something else if anybody decoded it once more (`%252e%252e`), read it as
//! Windows does (`..\`, `C:`), or cut it at `;`, as Java servers do, is refused rather than interpreted.
//!
//! Pure: no I/O.

use std::fmt;

/// The longest path, in bytes. PostgreSQL indexes entries of up to 2,704 bytes.
pub const MAX_PATH: usize = 2_048;

/// The longest part between two slashes, in bytes: what file systems take.
pub const MAX_SEGMENT: usize = 255;

/// Above every character that a path may have.
pub(crate) const HIGHEST: char = '\u{10FFFF}';

/// The path of a file: parts separated by `/`, none of them empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactPath(String);

/// The path of a folder; the root has an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folder(String);

/// Why a path was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid artifact path `{shown}`: {flaw}")]
pub struct InvalidPath {
    shown: String,
    flaw: Flaw,
}

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// There is none.
    #[error("it is empty; name a file, such as model/MLmodel")]
    Empty,
    /// More than [`MAX_PATH`].
    #[error("it has more than {MAX_PATH} bytes")]
    TooLong,
    /// A part of more than [`MAX_SEGMENT`].
    #[error("a part between two slashes has more than {MAX_SEGMENT} bytes")]
    PartTooLong,
    /// It begins with a slash or a drive letter.
    #[error("it is absolute; give it relative to the root of the artifacts")]
    Absolute,
    /// `.` or `..`, also in a disguise.
    #[error("a part of it is `.` or `..`, or would be read as one; name the folder itself")]
    Dots,
    /// Two slashes in a row, or one at the end of a file's path.
    #[error("it has an empty part (two slashes in a row, or one at the end)")]
    EmptyPart,
    /// A backslash.
    #[error("it has a backslash; separate folders with `/`")]
    Backslash,
    /// A control character.
    #[error("it has a control character")]
    Control,
    /// `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("its percent-encoding is broken, or is not that of UTF-8")]
    Encoding,
    /// Safe as it is, unsafe if decoded once more.
    #[error("it would leave its folder if it were decoded once more; encode it once only")]
    EncodedTwice,
    /// A URI of something else than the artifacts kept here.
    #[error(
        "it does not point to artifacts that are kept here (expected mlflow-artifacts:/PATH); use a client that has access to it"
    )]
    Elsewhere,
}

impl InvalidPath {
    fn new(text: &str, flaw: Flaw) -> Self {
        let shown = text.chars().take(120).flat_map(char::escape_debug).collect();
        Self { shown, flaw }
    }

    /// What is wrong.
    pub fn flaw(&self) -> Flaw {
        self.flaw
    }
}

impl ArtifactPath {
    /// From a URL's path, still percent-encoded.
    ///
    /// # Errors
    /// [`InvalidPath`].
    pub fn from_url(raw: &str) -> Result<Self, InvalidPath> {
        let decoded = decode(raw).ok_or_else(|| InvalidPath::new(raw, Flaw::Encoding))?;
        Self::from_field(&decoded)
    }

    /// From text that is not encoded (any more): a JSON field, or a parameter of a query.
    ///
    /// # Errors
    /// [`InvalidPath`].
    pub fn from_field(text: &str) -> Result<Self, InvalidPath> {
        check(text).map_err(|flaw| InvalidPath::new(text, flaw))?;
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folders above it, the root left out, the highest first.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }

    /// The folder that would bear this path.
    pub fn as_folder(&self) -> Folder {
        Folder(self.0.clone())
    }
}

impl Folder {
    /// The folder above all others.
    pub fn root() -> Self {
        Self::default()
    }

    /// From a URL's path, still percent-encoded. One slash at the end is allowed; nothing is the root.
    ///
    /// # Errors
    /// [`InvalidPath`].
    pub fn from_url(raw: &str) -> Result<Self, InvalidPath> {
        let decoded = decode(raw).ok_or_else(|| InvalidPath::new(raw, Flaw::Encoding))?;
        Self::from_field(&decoded)
    }

    /// From text that is not encoded (any more). One slash at the end is allowed; nothing is the root.
    ///
    /// # Errors
    /// [`InvalidPath`].
    pub fn from_field(text: &str) -> Result<Self, InvalidPath> {
        if text.is_empty() {
            return Ok(Self::root());
        }
        Ok(Self(ArtifactPath::from_field(text.strip_suffix('/').unwrap_or(text))?.0))
    }

    /// From the URI of an artifact root: `mlflow-artifacts:/PATH` (with one, or three, slashes). Nothing in it is
    /// decoded: MLflow's clients do not encode it either.
    ///
    /// # Errors
    /// [`InvalidPath`], for every other scheme and for another server's artifacts too.
    pub fn from_uri(uri: &str) -> Result<Self, InvalidPath> {
        let elsewhere = || InvalidPath::new(uri, Flaw::Elsewhere);
        let rest = uri.strip_prefix("mlflow-artifacts:").ok_or_else(elsewhere)?;
        let rest = match rest.strip_prefix("//") {
            Some(rest) if rest.starts_with('/') => rest,
            Some(_) => return Err(elsewhere()),
            None => rest,
        };
        // A server that understood these would see another path than one that does not.
        if rest.contains(['?', '#']) {
            return Err(elsewhere());
        }
        Self::from_field(rest.strip_prefix('/').unwrap_or(rest))
    }

    /// The path as text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folders above it, the root left out, the highest first.
    pub fn above(&self) -> impl Iterator<Item = Self> {
        self.0.match_indices('/').map(|(at, _)| Self(self.0[..at].to_owned()))
    }

    /// The file `path` in this folder.
    ///
    /// # Errors
    /// [`Flaw::TooLong`].
    pub fn file(&self, path: &ArtifactPath) -> Result<ArtifactPath, InvalidPath> {
        ArtifactPath::from_field(&format!("{}{}", self.prefix(), path.0))
    }

    /// The folder `inner` in this folder.
    ///
    /// # Errors
    /// [`Flaw::TooLong`].
    pub fn folder(&self, inner: &Self) -> Result<Self, InvalidPath> {
        if inner.is_root() {
            return Ok(self.clone());
        }
        Self::from_field(&format!("{}{}", self.prefix(), inner.0))
    }

    /// With what the paths of its files begin.
    pub(crate) fn prefix(&self) -> String {
        if self.is_root() { String::new() } else { format!("{}/", self.0) }
    }

    /// Below what, in the order of bytes, all its files lie.
    pub(crate) fn end(&self) -> String {
        format!("{}{HIGHEST}", self.prefix())
    }
}

impl fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "(root)" } else { &self.0 })
    }
}

/// Undoes percent-encoding once; none when it is broken or no UTF-8.
fn decode(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

fn check(text: &str) -> Result<(), Flaw> {
    check_once(text)?;
    // Each round is shorter than the one before, so this ends; a text that does not decode is what it is.
    let mut text = text.to_owned();
    while text.contains('%') {
        let Some(decoded) = decode_what_decodes(&text) else { break };
        check_once(&decoded).map_err(|_| Flaw::EncodedTwice)?;
        text = decoded;
    }
    Ok(())
}

/// Undoes percent-encoding where there is one, as lenient decoders do; none when there is none, or no UTF-8 comes out.
fn decode_what_decodes(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let encoded = (byte == b'%')
            .then(|| after.get(..2).and_then(|two| std::str::from_utf8(two).ok()))
            .flatten()
            .filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match encoded {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    (bytes.len() < text.len()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn check_once(text: &str) -> Result<(), Flaw> {
    if text.is_empty() {
        return Err(Flaw::Empty);
    }
    if text.len() > MAX_PATH {
        return Err(Flaw::TooLong);
    }
    for character in text.chars() {
        match character {
            '\\' => return Err(Flaw::Backslash),
            HIGHEST => return Err(Flaw::Control),
            other if other.is_control() => return Err(Flaw::Control),
            _ => {}
        }
    }
    let drive = text.as_bytes();
    if text.starts_with('/') || matches!(drive, [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        return Err(Flaw::Absolute);
    }
    text.split('/').try_for_each(check_part)
}

fn check_part(part: &str) -> Result<(), Flaw> {
    if part.is_empty() {
        return Err(Flaw::EmptyPart);
    }
    if part.len() > MAX_SEGMENT {
        return Err(Flaw::PartTooLong);
    }
    // What is left where parameters (`;`), a query or a fragment are cut off, and where, as on Windows, spaces at the end
    // do not count.
    let read = part.split([';', '?', '#']).next().unwrap_or_default();
    let dots = |part: &str| matches!(part.trim(), "." | "..");
    if dots(part) || dots(read) || (read.is_empty() && part.len() > 1 && part.ends_with("..")) {
        return Err(Flaw::Dots);
    }
    Ok(())
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
