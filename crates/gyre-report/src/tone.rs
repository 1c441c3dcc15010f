//! How a piece of news is meant: the one vocabulary that badges, cards, markers and timelines share.

use serde::{Deserialize, Serialize};

/// How a piece of news is meant. Each tone has its own colour *and* its own shape, so that colour is never alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// It went well: passed, promoted, verified.
    Ok,
    /// Worth a look: an alarm, a narrow pass.
    Warn,
    /// It went wrong: failed, refused, rolled back.
    Bad,
    /// Something was decided or is under way.
    Info,
    /// Neither good nor bad.
    #[default]
    Neutral,
}

impl Tone {
    /// The CSS class that [`crate::theme::CSS`] colours.
    pub const fn class(self) -> &'static str {
        match self {
            Tone::Ok => "ok",
            Tone::Warn => "warn",
            Tone::Bad => "bad",
            Tone::Info => "info",
            Tone::Neutral => "neutral",
        }
    }

    /// The sign that stands beside the word: readable in print and without colour.
    pub const fn sign(self) -> &'static str {
        match self {
            Tone::Ok => "✓",
            Tone::Warn => "▲",
            Tone::Bad => "✕",
            Tone::Info => "◆",
            Tone::Neutral => "•",
        }
    }
}
