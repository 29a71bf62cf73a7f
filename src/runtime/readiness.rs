//! Why this process should not get traffic yet, or any more: a set of named reasons.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The reasons not to be ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

/// One reason; gone when it is dropped.
#[derive(Debug)]
pub struct ReadinessHold {
    of: Readiness,
    reason: &'static str,
}

impl Readiness {
    /// Not ready until the hold is dropped.
    pub fn hold(&self, reason: &'static str) -> ReadinessHold {
        self.withdraw(reason);
        ReadinessHold { of: self.clone(), reason }
    }

    /// Not ready, for good.
    pub fn withdraw(&self, reason: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(reason);
    }

    /// The reasons; none: ready.
    pub fn reasons(&self) -> Vec<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

impl Drop for ReadinessHold {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).remove(self.reason);
    }
}
