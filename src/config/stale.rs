//! `stale = { … }` of a route: its last answers stand in where the upstream fails.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{DAY, Part};
use crate::units::{Size, Text};

/// `stale = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StaleFile {
    /// How long past its own time an answer may stand in; an answer's own `stale-if-error` shortens it.
    #[serde(rename = "for")]
    pub lasts: Text<Duration>,
    /// Longer bodies are not kept.
    pub max_body: Text<Size>,
}

/// Ten minutes outlive a deploy and most failovers; 256 KiB is a long page of JSON.
impl Default for StaleFile {
    fn default() -> Self {
        Self { lasts: Text(Duration::from_secs(600)), max_body: Text(Size(256 * 1024)) }
    }
}

/// What is kept of the answers of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StalePolicy {
    /// How long past its own time an answer may stand in.
    pub lasts: Duration,
    /// Bytes of a body, at most.
    pub max_body: usize,
}

impl StaleFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> StalePolicy {
        let lasts = at.lasts("for", self.lasts, 1, 7 * DAY);
        let max_body = at.within("max_body", self.max_body.0.0, 1, 8 * 1024 * 1024);
        StalePolicy { lasts, max_body: max_body as usize }
    }
}
