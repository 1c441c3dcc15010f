//! Patterns of file names: `*` and `?` within a folder, `**` across folders, `[a-c]`.
//!
//! A shell mostly expands them before we see them; a pattern in quotes, in a configuration, or with more matches than a
//! command line holds comes through.

use regex::Regex;

/// Whether `text` has anything of a pattern in it.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// A pattern, split into the folder where looking begins and what the rest of a path must match.
pub(crate) struct Pattern {
    /// The part before the first wildcard; empty for the present folder.
    pub(crate) base: String,
    matcher: Regex,
}

impl Pattern {
    /// Reads a pattern; none when its brackets do not close.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let wild = text.find(['*', '?', '[']).unwrap_or(text.len());
        let base_end = text.get(..wild)?.rfind('/').map_or(0, |slash| slash + 1);
        let (base, rest) = text.split_at(base_end);
        let matcher = Regex::new(&expression(rest)?).ok()?;
        Some(Self { base: base.to_owned(), matcher })
    }

    /// Whether a path below the base matches; its parts are separated by `/`.
    pub(crate) fn matches(&self, below_base: &str) -> bool {
        self.matcher.is_match(below_base)
    }
}

fn expression(pattern: &str) -> Option<String> {
    let mut out = "^".to_owned();
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            out += "(?:.*/)?";
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("**") {
            out += ".*";
            rest = after;
            continue;
        }
        let mut after = rest.get(next.len_utf8()..)?;
        match next {
            '*' => out += "[^/]*",
            '?' => out += "[^/]",
            '[' => {
                let end = after.find(']').filter(|end| *end > 0)?;
                let (set, behind) = after.split_at(end);
                let (not, set) = set.strip_prefix(['!', '^']).map_or(("", set), |set| ("^", set));
                out += &format!(
                    "[{not}{}]",
                    set.replace('\\', "\\\\").replace('[', "\\[").replace("&&", "&\\&")
                );
                after = behind.get(1..)?;
            }
            other => out += &regex::escape(other.encode_utf8(&mut [0; 4])),
        }
        rest = after;
    }
    Some(out + "$")
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
