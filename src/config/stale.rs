//! `stale = { … }` of a route, and of all that say nothing: last answers stand in where the upstream fails.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::problem::{DAY, Part};
use crate::units::{Size, Text};

/// `max_body`, at most.
const LONGEST_BODY: u64 = 8 * 1024 * 1024;
/// `for`, at most, in seconds.
const LONGEST: u64 = 7 * DAY;

/// `stale = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StaleFile {
    /// How long past its own time an answer may stand in; an answer's own `stale-if-error` shortens it. `0s`: none is kept.
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
    /// `[degradation.stale]` as written, for the routes that say nothing of it. What is wrong with it is told there alone.
    pub(super) fn common(degradation: Option<&Value>) -> Option<Self> {
        let written = degradation.and_then(Value::as_table).and_then(|table| table.get("stale"))?;
        let read: Self = written.clone().try_into().ok()?;
        let fits = read.lasts.0.as_secs() <= LONGEST && (1..=LONGEST_BODY).contains(&read.max_body.0.0);
        fits.then_some(read)
    }

    /// What is kept; `None`: nothing.
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<StalePolicy> {
        let lasts = at.lasts("for", self.lasts, 0, LONGEST);
        let max_body = at.within("max_body", self.max_body.0.0, 1, LONGEST_BODY);
        (!lasts.is_zero()).then_some(StalePolicy { lasts, max_body: max_body as usize })
    }
}
