//! The end of a log, in bounded memory.

use std::collections::VecDeque;

/// Keeps the last bytes of all that is written to it.
pub(crate) struct Tail {
    limit: usize,
    kept: VecDeque<u8>,
    dropped: u64,
}

impl Tail {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: VecDeque::new(), dropped: 0 }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        let excess = self.kept.len().saturating_sub(self.limit);
        self.kept.drain(..excess);
        self.dropped += excess as u64;
    }

    /// What was kept as text, and a line that says how much was not.
    pub(crate) fn into_text(self) -> String {
        let bytes: Vec<u8> = self.kept.into();
        let text = String::from_utf8_lossy(&bytes);
        if self.dropped == 0 {
            text.into_owned()
        } else {
            format!("[{} bytes left out]\n{text}", self.dropped)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_and_the_rest_counted() {
        let mut tail = Tail::new(5);
        tail.add(b"abc");
        tail.add(b"defg\xff");
        assert_eq!(tail.into_text(), "[3 bytes left out]\ndefg\u{fffd}");
    }
}
