//! The degradation level.

use std::sync::atomic::{AtomicU8, Ordering};

use super::family::Family;

/// How much of the service is given up now.
#[derive(Debug, Default)]
pub struct DegradationMetrics(AtomicU8);

impl DegradationMetrics {
    /// It is this level now.
    pub fn set(&self, level: u8) {
        self.0.store(level, Ordering::Relaxed);
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let mut level = Family::gauge(
            "strop_degradation_level",
            "How much of the service is given up, by order or by open breakers: 0 (nothing) to 3.",
        );
        level.set(&[], f64::from(self.0.load(Ordering::Relaxed)));
        vec![level]
    }
}
