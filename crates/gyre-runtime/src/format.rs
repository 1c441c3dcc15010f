//! Which kind of file a model is, told by its first bytes rather than by its name.

use std::fmt;

use crate::error::LoadError;

/// The files that the engine reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// An ONNX graph.
    Onnx,
    /// XGBoost's model as JSON (`save_model("model.json")`).
    XgboostJson,
    /// XGBoost's model as Universal Binary JSON (`save_model("model.ubj")`), its default.
    XgboostUbj,
    /// LightGBM's text model (`Booster.save_model`).
    LightGbm,
    /// A scikit-learn estimator in skops' archive (`skops.io.dump`), as MLflow saves it from 3.17 on.
    Skops,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Onnx => "ONNX",
            Format::XgboostJson => "XGBoost JSON",
            Format::XgboostUbj => "XGBoost UBJSON",
            Format::LightGbm => "LightGBM text",
            Format::Skops => "skops",
        })
    }
}

impl Format {
    /// Tells the format of a file by its beginning. What looks like nothing else is taken for ONNX, which has no mark.
    ///
    /// # Errors
    /// When it is a file that is known and cannot be read: a pickle, XGBoost's old binary form, a compressed file.
    pub fn of(bytes: &[u8]) -> Result<Format, LoadError> {
        let unreadable =
            |found: &'static str, remedy: &'static str| Err(LoadError::Unreadable { found, remedy });
        let after_brace = bytes.strip_prefix(b"{");
        let text = bytes.trim_ascii_start();
        match bytes {
            [b'P', b'K', 3, 4, ..] => Ok(Format::Skops),
            // A length in UBJSON is marked by its type.
            _ if matches!(after_brace, Some([b'L' | b'l' | b'I' | b'i' | b'U' | b'$' | b'#', ..])) => {
                Ok(Format::XgboostUbj)
            }
            _ if text.starts_with(b"{") => Ok(Format::XgboostJson),
            _ if bytes.starts_with(b"tree\n") || bytes.starts_with(b"tree\r\n") => Ok(Format::LightGbm),
            _ if text.starts_with(b"[") => {
                unreadable("a list in JSON", "save XGBoost models with `save_model`, not with `dump_model`")
            }
            [0x80, 2..=5, ..] => unreadable(
                "a Python pickle",
                "gyre never runs code from a model file: save it with skops, as XGBoost's or LightGBM's own file, or as \
                 ONNX; or serve it as a process",
            ),
            [b'b', b'i', b'n', b'f', ..] | [b'b', b's', b'6', b'4', ..] => unreadable(
                "XGBoost's old binary form",
                "load it with XGBoost before 3.1 and save it with `save_model(\"model.ubj\")`",
            ),
            [0x1f, 0x8b, ..] => unreadable("a gzip file", "unpack it first"),
            [0x89, b'H', b'D', b'F', ..] => {
                unreadable("an HDF5 file", "export the model to ONNX, or serve it as a process")
            }
            _ => Ok(Format::Onnx),
        }
    }
}

/// What the caller knows of a model that its file may not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// Names of the columns in the order of the model's features. The file's own names win, but for made-up ones
    /// (LightGBM's `Column_0`), and for LightGBM's underscores where the names given have spaces.
    pub features: &'a [&'a str],
    /// Names of the classes in the order of the probabilities, for files that know only how many there are (XGBoost,
    /// LightGBM). Empty: their numbers.
    pub classes: &'a [&'a str],
}

impl Hints<'_> {
    /// The file's `names`, or those given, or `prefix` and a number.
    pub(crate) fn names(&self, names: &[String], count: usize, prefix: &str) -> Vec<String> {
        let made_up = names.iter().enumerate().all(|(i, name)| *name == format!("{prefix}{i}"));
        let given = self.features.len() == count
            && (made_up
                || names.iter().zip(self.features).all(|(own, given)| *own == given.replace(' ', "_")));
        if given {
            self.features.iter().map(ToString::to_string).collect()
        } else if names.is_empty() {
            (0..count).map(|i| format!("{prefix}{i}")).collect()
        } else {
            names.to_vec()
        }
    }

    /// Names of `count` classes.
    pub(crate) fn classes(&self, count: usize) -> Vec<String> {
        if self.classes.len() == count {
            self.classes.iter().map(ToString::to_string).collect()
        } else {
            (0..count).map(|i| i.to_string()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart() {
        for (bytes, format) in [
            (&b"{\"learner\": {}}"[..], Format::XgboostJson),
            (b"\n { \"learner\"", Format::XgboostJson),
            (b"{L\0\0\0\0\0\0\0\x07learner", Format::XgboostUbj),
            (b"tree\nversion=v4\n", Format::LightGbm),
            (b"PK\x03\x04...", Format::Skops),
            (b"\x08\x08\x12\x04", Format::Onnx),
            (b"", Format::Onnx),
        ] {
            assert_eq!(Format::of(bytes).unwrap(), format, "{bytes:?}");
        }
        let text = Format::of(b"\x80\x05\x95").unwrap_err().to_string();
        assert!(text.contains("pickle") && text.contains("skops"), "{text}");
        assert!(Format::of(b"binf....").is_err());
    }

    #[test]
    fn names_come_from_the_file_before_the_caller() {
        let hints = Hints { features: &["a b", "c"], classes: &[] };
        let names = |own: &[&str]| {
            hints.names(&own.iter().map(ToString::to_string).collect::<Vec<_>>(), 2, "Column_")
        };
        assert_eq!(names(&["x", "y"]), ["x", "y"]);
        assert_eq!(names(&["a_b", "c"]), ["a b", "c"]);
        assert_eq!(names(&["Column_0", "Column_1"]), ["a b", "c"]);
        assert_eq!(names(&[]), ["a b", "c"]);
        assert_eq!(Hints::default().names(&[], 2, "f"), ["f0", "f1"]);
        assert_eq!(Hints::default().classes(2), ["0", "1"]);
    }
}
