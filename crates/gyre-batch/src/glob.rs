//! Patterns of file names: `*` and `?` within a folder, `**` across folders, `[a-c]`.
//!
//! A shell mostly expands them before we see them; a pattern in quotes, in a configuration, or with more matches than a
//! command line holds comes through.

use globset::{GlobBuilder, GlobMatcher};

/// Whether `text` has anything of a pattern in it.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// A pattern, split into the folder where looking begins and what the rest of a path must match.
pub(crate) struct Pattern {
    /// The part before the first wildcard; empty for the present folder.
    pub(crate) base: String,
    matcher: GlobMatcher,
}

impl Pattern {
    /// Reads a pattern; none when its brackets do not close.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let wild = text.find(['*', '?', '[']).unwrap_or(text.len());
        let base_end = text.get(..wild)?.rfind('/').map_or(0, |slash| slash + 1);
        let (base, rest) = text.split_at(base_end);
        let glob = GlobBuilder::new(rest).literal_separator(true).build().ok()?;
        Some(Self { base: base.to_owned(), matcher: glob.compile_matcher() })
    }

    /// Whether a path below the base matches; its parts are separated by `/`.
    pub(crate) fn matches(&self, below_base: &str) -> bool {
        self.matcher.is_match(below_base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_folder_and_two_do_not() {
        let pattern = Pattern::parse("data/2024-*/part-?.csv").unwrap();
        assert_eq!(pattern.base, "data/");
        assert!(pattern.matches("2024-01/part-0.csv"));
        for no in ["2024-01/part-10.csv", "2023-01/part-0.csv", "2024-01/x/part-0.csv", "2024-01/part-0xcsv"]
        {
            assert!(!pattern.matches(no), "{no}");
        }
        let deep = Pattern::parse("**/*.parquet").unwrap();
        assert!(deep.matches("a.parquet") && deep.matches("x/y/a.parquet") && !deep.matches("a.csv"));
        let set = Pattern::parse("/abs/[a-c][!0].csv").unwrap();
        assert_eq!(set.base, "/abs/");
        assert!(set.matches("b1.csv") && !set.matches("d1.csv") && !set.matches("b0.csv"));
        assert!(Pattern::parse("x[ab").is_none());
    }
}
