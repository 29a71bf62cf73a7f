//! What upstreams held that were taken out of the config: an operator's hold, an open breaker, counters.
//!
//! A file that was read half, a table that was commented out for a moment: what comes back within [`KEPT`] goes on
//! where it was. Nothing of it is shown meanwhile, and no task looks after it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Upstream;
use crate::names::UpstreamName;

/// How long it is kept: longer than somebody needs to mend a file.
const KEPT: Duration = Duration::from_secs(600);
/// So many of them; the next ones are forgotten at once.
const MOST: usize = 256;

/// The removed ones, and when they were removed.
#[derive(Default)]
pub(super) struct Removed(Mutex<HashMap<UpstreamName, (Arc<Upstream>, Instant)>>);

impl Removed {
    /// It was removed `now`. What has been here for too long is forgotten.
    pub(super) fn keep(&self, gone: &Arc<Upstream>, now: Instant) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, (_, since)| now.saturating_duration_since(*since) < KEPT);
        if held.len() < MOST {
            held.insert(gone.config.name.clone(), (Arc::clone(gone), now));
        }
    }

    /// Gives an upstream of this name back, unless it was removed too long ago.
    pub(super) fn take(&self, name: &UpstreamName, now: Instant) -> Option<Arc<Upstream>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (back, since) = held.remove(name)?;
        (now.saturating_duration_since(since) < KEPT).then_some(back)
    }
}
