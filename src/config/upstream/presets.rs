//! What is known about the services of the guide, and what is built in.

use std::net::SocketAddr;

use super::breaker::BreakerFile;
use super::endpoint::{Endpoint, Host};
use super::pool::{PoolConfig, PoolFile};
use super::{Protocol, UpstreamConfig, UpstreamFile};
use crate::config::problem::Collector;
use crate::config::timeouts::TimeoutsFile;
use crate::config::word::{OneOf, Word as _};
use crate::reliability::breaker::{BreakerPolicy, Mode};

pub use super::vendor::{Preset, Sdk};

/// The name of the upstream that is the SRE API on the traffic port.
pub const SRE_API: &str = "strop-admin";

/// The client library by which an upstream is usually called, if it repeats by itself.
pub fn sdk(upstream: &UpstreamConfig) -> Option<Sdk> {
    let called = |preset: &Preset| upstream.hosts.iter().any(|host| host == preset.host());
    Preset::WORDS.iter().map(|(preset, ..)| *preset).filter(called).find_map(Preset::sdk)
}

/// The breaker's defaults for an upstream of this name (or preset).
pub fn breaker(name: &str) -> BreakerPolicy {
    BreakerFile::base(name, false, None).policy()
}

/// What no file describes. It has no breaker, and few connections are kept. `behind`: it is a neighbour.
fn built_in(name: &str, behind: bool) -> UpstreamConfig {
    let file = UpstreamFile {
        protocol: OneOf(Protocol::Http1),
        timeouts: TimeoutsFile::base(behind),
        pool: PoolFile { idle_per_worker: 8, ..PoolFile::default() },
        breaker: BreakerFile { mode: OneOf(Mode::Off), enabled: false, ..BreakerFile::default() },
        ..UpstreamFile::default()
    };
    // All that could be noted is that no endpoint is written.
    let config = file.check(Collector::new("").part(""), name, behind);
    config.unwrap_or_else(|| unreachable!("a valid name"))
}

/// The built-in upstream of hosts that no upstream lists, where the policy lets them pass. It has no breaker: the
/// hosts behind it have nothing in common.
pub fn unlisted() -> UpstreamConfig {
    built_in("unlisted", false)
}

/// The SRE API as an upstream of the traffic port: the admin listener at `admin`.
pub fn sre_api(admin: SocketAddr) -> UpstreamConfig {
    let common = built_in(SRE_API, true);
    let endpoint = Endpoint { host: Host::Address(admin.ip()), port: admin.port() };
    // A few: whoever floods the traffic port keeps nobody from the admin port.
    let pool = PoolConfig { connections: 16, ..common.pool };
    UpstreamConfig { endpoints: vec![endpoint], pool, ..common }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_built_in_has_no_breaker_and_keeps_few_connections() {
        let unlisted = unlisted();
        let sre_api = sre_api("127.0.0.1:9901".parse().expect("an address"));
        for (one, connect, idle, connections) in [(&unlisted, 3, 50, 1_024), (&sre_api, 1, 4, 16)] {
            let PoolConfig { idle_per_worker, idle_for, connections: most, tunnels } = one.pool;
            assert_eq!(
                (idle_per_worker, idle_for.h1.as_secs(), most, tunnels),
                (8, idle, connections, 1_024)
            );
            assert_eq!(one.timeouts.connect, Some(Duration::from_secs(connect)));
            assert_eq!((one.breaker.mode, one.protocol), (Mode::Off, Protocol::Http1));
            assert_eq!((one.vendor, one.via, &one.tls, &one.health), (None, false, &None, &None));
        }
        assert_eq!((unlisted.endpoints.len(), sre_api.endpoints.len()), (0, 1));
    }
}
