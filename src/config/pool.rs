//! `[upstreams.<name>.pool]`: from what was written to what runs.

use super::file::PoolFile;
use super::problem::Collector;
use crate::reliability::idle::IdlePolicy;

/// Connections kept to one upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Idle connections kept per worker and endpoint.
    pub idle_per_worker: usize,
    /// How long an idle connection is kept. Default, HTTP/1.1: 4 s behind the ingress, 50 s elsewhere; HTTP/2: 50 s.
    pub idle_for: IdlePolicy,
    /// Connections per upstream over all workers, in use or idle.
    pub connections: usize,
}

/// `ingress`: requests of clients go there.
pub(super) fn check(at: &str, file: &PoolFile, ingress: bool, problems: &mut Collector<'_>) -> Pool {
    if file.connections == 0 {
        problems.add(&format!("{at}.connections"), "must be at least 1, or nothing could ever be sent");
    }
    Pool {
        idle_per_worker: file.idle_per_worker as usize,
        idle_for: file.idle_for.map_or(IdlePolicy::preset(ingress), |limit| IdlePolicy::written(limit.0)),
        connections: file.connections as usize,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::load;
    use crate::config::show::effective;

    #[test]
    fn idle_connections_are_kept_shortly_behind_the_ingress_and_long_elsewhere() {
        let text = "[ingress]\n[[routes]]\nprefix = \"/media\"\nupstream = \"media\"\n\
                    [upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n\
                    [upstreams.media]\nendpoints = [\"127.0.0.1:8002\"]\nprotocol = \"h2\"\n\
                    [upstreams.stripe]\npreset = \"stripe\"\n\
                    [upstreams.written]\nendpoints = [\"127.0.0.1:8003\"]\npool = { idle_for = \"7s\" }\n";
        let config = load(text, "a test", &[]).expect("it can run");
        let shown = effective(&config);
        for (name, idle_for) in [("backend", "4s"), ("media", "50s"), ("stripe", "50s"), ("written", "7s")] {
            assert_eq!(shown["upstreams"][name]["pool"]["idle_for"], idle_for, "{name}");
        }
        let backend = config.upstreams.iter().find(|upstream| upstream.name.as_str() == "backend");
        assert_eq!(backend.expect("it is there").pool.idle_for.h2, Duration::from_secs(50));
    }
}
