//! Why this process should not get traffic yet, or any more: a set of named reasons.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The reasons not to be ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Readiness {
    /// Not ready, for good.
    pub fn withdraw(&self, reason: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(reason);
    }

    /// The reasons; none: ready.
    pub fn reasons(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}
