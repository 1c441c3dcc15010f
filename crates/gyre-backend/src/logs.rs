//! What a process prints: the last of it is kept, each line goes to whoever wants it, and memory stays bounded.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::spec::LogHook;

/// A line that is longer is cut into several.
const LINE: usize = 8 << 10;

/// The last lines of a process, over all its restarts.
#[derive(Debug)]
pub(crate) struct Logs {
    limit: usize,
    hook: Option<LogHook>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    /// The last line of this life that is not blank.
    last: Option<String>,
}

impl Logs {
    /// Keeps up to `limit` bytes, and tells `hook` of each line.
    pub(crate) fn new(limit: usize, hook: Option<LogHook>) -> Self {
        Self { limit, hook, kept: Mutex::default() }
    }

    /// The lines that are kept, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// A new life begins: the last words of the one before are not its own.
    pub(crate) fn begin(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).last = None;
    }

    /// The last line of this life that is not blank, cut short.
    pub(crate) fn last(&self) -> Option<String> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    /// Takes lines until the output ends.
    pub(crate) async fn read(&self, mut output: impl AsyncRead + Unpin) {
        let mut rest: Vec<u8> = Vec::new();
        let mut buffer = vec![0; LINE];
        // An output that cannot be read any more has ended.
        while let Ok(read @ 1..) = output.read(&mut buffer).await {
            for part in buffer.get(..read).unwrap_or_default().split_inclusive(|&byte| byte == b'\n') {
                rest.extend_from_slice(part);
                if rest.ends_with(b"\n") || rest.len() >= LINE {
                    self.line(&rest);
                    rest.clear();
                }
            }
        }
        if !rest.is_empty() {
            self.line(&rest);
        }
    }

    fn line(&self, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes);
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(LogHook(hook)) = &self.hook {
            hook(line);
        }
        self.push(line.to_owned());
    }

    /// Keeps a line.
    pub(crate) fn push(&self, line: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Each line counts at least for what holding it costs.
        let cost = |line: &String| line.len() + size_of::<String>();
        if !line.trim().is_empty() {
            kept.last = Some(line.trim().chars().take(300).collect());
        }
        kept.bytes += cost(&line);
        kept.lines.push_back(line);
        while kept.bytes > self.limit
            && let Some(oldest) = kept.lines.pop_front()
        {
            kept.bytes -= cost(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_all_are_told() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let hook = LogHook(Arc::new(move |line: &str| sink.lock().unwrap().push(line.to_owned())));
        let logs = Logs::new(100, Some(hook));
        logs.read(&b"one\r\ntwo\n\xff\nfour"[..]).await;
        assert_eq!(*told.lock().unwrap(), ["one", "two", "\u{fffd}", "four"]);
        assert_eq!(logs.lines(), ["two", "\u{fffd}", "four"]);
        assert_eq!(logs.last().as_deref(), Some("four"));
        logs.begin();
        assert_eq!((logs.last(), logs.lines().len()), (None, 3));
    }

    #[tokio::test]
    async fn output_without_lines_stays_bounded() {
        let logs = Logs::new(20_000, None);
        logs.read(&vec![b'x'; 1 << 20][..]).await;
        let lines = logs.lines();
        assert!(lines.iter().all(|line| line.len() <= 2 * LINE) && lines.concat().len() <= 20_000);
    }
}
