//! `[slo]`: what is promised.

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::Part;
use crate::reliability::slo::Objective;
use crate::units::{Promise, Text};

/// The table `[slo]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SloFile {
    /// Seconds in which the service is up, of those in which it was measured.
    pub uptime: Text<Promise>,
    /// Good replies of good and bad ones.
    pub success: Text<Promise>,
}

/// The guide's targets: 99.99 % uptime, less than 0.1 % errors.
impl Default for SloFile {
    fn default() -> Self {
        let success = Promise::millionths((Objective::default().target * 1_000_000.0).round() as u32);
        Self { uptime: Text(Promise::millionths(999_900)), success: Text(success) }
    }
}

/// The service level objectives, as the guide states them unless written otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slo {
    /// Seconds in which it is up, of those in which it was measured: 99.99 %.
    pub uptime: Promise,
    /// Good replies of good and bad ones: 99.9 %.
    pub success: Promise,
}

impl SloFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Slo {
        for (key, promise) in [("uptime", self.uptime), ("success", self.success)] {
            if promise.0.ratio() <= 0.0 {
                at.add(key, "promises nothing; write \"99.9%\"");
            }
        }
        Slo { uptime: self.uptime.0, success: self.success.0 }
    }
}
