//! What `git status --porcelain=v2 --branch -z` says, read.
//!
//! Format: git-status(1), "Porcelain Format Version 2". Pure.

/// The state of a working tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The commit; none before the first.
    pub commit: Option<String>,
    /// The branch; none when HEAD is detached.
    pub branch: Option<String>,
    /// Tracked files that differ from the commit.
    pub changed: Vec<String>,
    /// Files that are neither tracked nor ignored.
    pub untracked: Vec<String>,
}

/// Reads the status; entries of kinds that are not known are passed over.
pub fn status(text: &str) -> Status {
    let mut status = Status::default();
    let mut entries = text.split('\0');
    while let Some(entry) = entries.next() {
        let Some((kind, rest)) = entry.split_once(' ') else { continue };
        match kind {
            "#" => match rest.split_once(' ') {
                Some(("branch.oid", oid)) if oid != "(initial)" => status.commit = Some(oid.to_owned()),
                Some(("branch.head", head)) if head != "(detached)" => status.branch = Some(head.to_owned()),
                _ => {}
            },
            // So many fields stand before the path, which may hold blanks.
            "1" => status.changed.extend(rest.splitn(8, ' ').nth(7).map(str::to_owned)),
            "2" => {
                status.changed.extend(rest.splitn(9, ' ').nth(8).map(str::to_owned));
                // The path that it had before is an entry of its own.
                entries.next();
            }
            "u" => status.changed.extend(rest.splitn(10, ' ').nth(9).map(str::to_owned)),
            "?" => status.untracked.push(rest.to_owned()),
            _ => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_kind_of_change_is_read() {
        let text = "# branch.oid 1234\0# branch.head main\0# branch.upstream origin/main\0# branch.ab +0 -0\0\
                    1 .M N... 100644 100644 100644 aa bb train me.py\0\
                    2 R. N... 100644 100644 100644 aa bb R100 new.py\0old.py\0\
                    u UU N... 100644 100644 100644 100644 aa bb cc both.py\0? notes/\0! ignored\0";
        let expected = Status {
            commit: Some("1234".to_owned()),
            branch: Some("main".to_owned()),
            changed: ["train me.py", "new.py", "both.py"].map(str::to_owned).to_vec(),
            untracked: vec!["notes/".to_owned()],
        };
        assert_eq!(status(text), expected);
        let fresh = status("# branch.oid (initial)\0# branch.head main\0? a\0");
        assert_eq!((fresh.commit, fresh.untracked.len()), (None, 1));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[#12u? a-z\u{0}é]{0,100}") {
            let _ = status(&text);
        }
    }
}
