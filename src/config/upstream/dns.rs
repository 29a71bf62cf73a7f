//! `dns = { … }`: how often an upstream's names are looked up again.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::Part;
use crate::units::{Text, secs};

/// `dns = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DnsFile {
    /// Shorter TTLs are taken for this.
    pub min_ttl: Text<Duration>,
    /// Longer TTLs are taken for this.
    pub max_ttl: Text<Duration>,
}

/// A TTL of 0 must not ask a server with each request; a TTL of days must not keep an address that has moved.
impl Default for DnsFile {
    fn default() -> Self {
        Self { min_ttl: secs(5), max_ttl: secs(300) }
    }
}

impl DnsFile {
    /// The shortest and the longest.
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> (Duration, Duration) {
        if self.min_ttl > self.max_ttl || self.min_ttl < secs(1) {
            at.add("min_ttl", "must be at least 1s and not longer than max_ttl");
        }
        (self.min_ttl.0, self.max_ttl.0)
    }
}
