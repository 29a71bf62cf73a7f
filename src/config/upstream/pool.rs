//! `pool = { … }`: connections kept to an upstream.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::Part;
use crate::reliability::idle::IdlePolicy;
use crate::units::{Text, Written};

/// `pool = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PoolFile {
    /// Idle connections per worker and endpoint.
    pub idle_per_worker: u32,
    /// How long an idle one is kept; "auto": 4s for HTTP/1.1 behind the ingress, else 50s, or what the server's
    /// `Keep-Alive: timeout` says, less a fifth.
    pub idle_for: Text<IdleFor>,
    /// Over all workers, in use or idle.
    pub connections: u32,
    /// Tunnels and upgraded connections (WebSockets), beside `connections`.
    pub tunnels: u32,
}

/// `connections` is Envoy's (`max_connections` of a cluster), and as many tunnels.
impl Default for PoolFile {
    fn default() -> Self {
        Self { idle_per_worker: 64, idle_for: Text(IdleFor::Auto), connections: 1_024, tunnels: 1_024 }
    }
}

/// How long an idle connection is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleFor {
    /// By where the upstream stands and what it says.
    Auto,
    /// At most so long.
    Most(Duration),
}

impl Written for IdleFor {
    const LIKE: &'static str = r#"a duration in quotes, such as "4s", or "auto""#;
    const PATTERN: &'static str = r"^(([0-9]+(us|ms|s|m|h|d))+|auto)$";

    fn read(text: &str) -> Option<Self> {
        if text == "auto" { Some(Self::Auto) } else { Duration::read(text).map(Self::Most) }
    }

    fn write(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Most(limit) => limit.write(),
        }
    }
}

/// Connections kept to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Idle connections kept per worker and endpoint.
    pub idle_per_worker: usize,
    /// How long an idle connection is kept. Default, HTTP/1.1: 4 s behind the ingress, 50 s elsewhere; HTTP/2: 50 s.
    pub idle_for: IdlePolicy,
    /// Connections per upstream over all workers, in use or idle.
    pub connections: usize,
    /// Tunnels and upgraded connections over all workers, beside them.
    pub tunnels: usize,
}

impl PoolFile {
    /// `behind`: the ingress; requests of clients go there.
    pub(super) fn check(&self, mut at: Part<'_, '_>, behind: bool) -> PoolConfig {
        if self.connections == 0 {
            at.add("connections", "must be at least 1, or nothing could ever be sent");
        }
        let idle_for = match self.idle_for.0 {
            IdleFor::Auto => IdlePolicy::preset(behind),
            IdleFor::Most(limit) => IdlePolicy::written(limit),
        };
        let (idle_per_worker, connections) = (self.idle_per_worker as usize, self.connections as usize);
        PoolConfig { idle_per_worker, idle_for, connections, tunnels: self.tunnels as usize }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load;
    use crate::config::tests::config_text;

    #[test]
    fn idle_connections_are_kept_shortly_behind_the_ingress_and_long_elsewhere() {
        let text = &config_text(
            r#"
                [ingress]
                [[routes]]
                prefix = "/media"
                upstream = "media"
                [upstreams.backend]
                endpoints = ["127.0.0.1:8001"]
                [upstreams.media]
                endpoints = ["127.0.0.1:8002"]
                protocol = "h2"
                [upstreams.stripe]
                preset = "stripe"
                [upstreams.written]
                endpoints = ["127.0.0.1:8003"]
                pool = { idle_for = "7s" }
            "#,
        );
        let config = load(text, "a test", &[]).expect("it can run");
        for (name, h1, h2) in [("backend", 4, 50), ("media", 4, 50), ("stripe", 50, 50), ("written", 7, 7)] {
            let upstream = config.upstreams.iter().find(|upstream| upstream.name.as_str() == name);
            let kept = upstream.expect("it is there").pool.idle_for;
            assert_eq!((kept.h1.as_secs(), kept.h2.as_secs()), (h1, h2), "{name}");
        }
    }
}
