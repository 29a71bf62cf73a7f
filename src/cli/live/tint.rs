//! Colour, where a terminal shows it and nobody has asked for none. It never says anything alone: the word is there too.

use std::io::{IsTerminal as _, stdout};

/// What a colour is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tint {
    Good,
    Doubtful,
    Bad,
    /// What is there to be found, not to be read.
    Faint,
}

impl Tint {
    /// Of a word that says how something is: a status, a state, a severity. `None`: it says nothing of that.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "healthy" | "closed" | "resolved" | "reviewed" | "cleared" => Self::Good,
            "recovering" | "degraded" | "half_open" | "suspected" | "acknowledged" | "mitigating"
            | "monitoring" | "medium" => Self::Doubtful,
            "unhealthy" | "open" | "critical" | "high" => Self::Bad,
            "unknown" | "low" => Self::Faint,
            _ => return None,
        })
    }
}

/// May colour be shown?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour(bool);

impl Colour {
    /// Where standard output is a terminal that may show it (<https://no-color.org>).
    pub(super) fn on_a_terminal() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|said| !said.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(stdout().is_terminal() && !refused && !dumb)
    }

    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self(false)
    }

    #[cfg(all(test, feature = "top"))]
    pub(super) fn always() -> Self {
        Self(true)
    }

    #[cfg(feature = "top")]
    pub(super) fn is_shown(self) -> bool {
        self.0
    }

    /// A text in its colour.
    pub(super) fn tinted(self, text: &str, tint: Tint) -> String {
        let code = match tint {
            Tint::Good => 32,
            Tint::Doubtful => 33,
            Tint::Bad => 31,
            Tint::Faint => 2,
        };
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
