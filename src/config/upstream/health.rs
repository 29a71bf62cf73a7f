//! `health = { … }`: active checks of an upstream's endpoints.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::Statuses;
use crate::config::problem::Part;
use crate::units::{Text, secs};

/// `health = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HealthFile {
    /// GET this; a connect alone when absent.
    pub path: Option<String>,
    /// Healthy statuses, such as "200-399".
    pub expect: Text<Statuses>,
    /// Between two checks of a healthy endpoint.
    pub interval: Text<Duration>,
    /// While something is wrong.
    pub suspect_interval: Text<Duration>,
    /// A check without an answer for so long is bad.
    pub timeout: Text<Duration>,
    /// Bad checks in a row that make it unhealthy.
    pub fall: u32,
    /// Good checks in a row that make it healthy.
    pub rise: u32,
}

/// Rise and fall are HAProxy's, interval is that of a Kubernetes probe. While something is wrong one check a second
/// finds a failure within 3 s: the guide asks for less than 30 s to detection.
impl Default for HealthFile {
    fn default() -> Self {
        Self {
            path: None,
            expect: Text(Statuses(200, 399)),
            interval: secs(10),
            suspect_interval: secs(1),
            timeout: secs(2),
            fall: 3,
            rise: 2,
        }
    }
}

/// Active checks of each endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// `Some(path)`: GET it and expect `expect`; `None`: a TCP (and TLS) connect.
    pub path: Option<String>,
    /// Statuses that are healthy, inclusive.
    pub expect: (u16, u16),
    /// Between two checks of a healthy endpoint.
    pub interval: Duration,
    /// Between two checks of a suspected or unhealthy endpoint.
    pub suspect_interval: Duration,
    /// A check without an answer for so long is bad.
    pub timeout: Duration,
    /// So many bad checks in a row: unhealthy.
    pub fall: u32,
    /// So many good checks in a row: healthy again.
    pub rise: u32,
}

impl HealthFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> HealthCheck {
        if self.path.as_ref().is_some_and(|path| !path.starts_with('/')) {
            at.add("path", "must begin with a slash");
        }
        let times = [self.interval, self.suspect_interval, self.timeout];
        for (key, value) in ["interval", "suspect_interval", "timeout"].into_iter().zip(times) {
            if value.0 < Duration::from_millis(10) {
                at.add(key, "must be at least 10ms");
            }
        }
        for (key, value) in [("fall", self.fall), ("rise", self.rise)] {
            if value == 0 {
                at.add(key, "must be at least 1");
            }
        }
        HealthCheck {
            path: self.path.clone(),
            expect: (self.expect.0.0, self.expect.0.1),
            interval: self.interval.0,
            suspect_interval: self.suspect_interval.0,
            timeout: self.timeout.0,
            fall: self.fall,
            rise: self.rise,
        }
    }
}
