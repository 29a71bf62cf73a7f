//! What is known about the services of the guide, and what is built in.

use std::net::SocketAddr;
use std::time::Duration;

use super::breaker::BreakerFile;
use super::endpoint::{Endpoint, Host};
use super::pool::PoolConfig;
use super::{Protocol, UpstreamConfig, UpstreamFile};
use crate::config::timeouts::{Timeouts, TimeoutsFile};
use crate::names::UpstreamName;
use crate::reliability::breaker::{BreakerPolicy, Mode};
use crate::reliability::idle::IdlePolicy;

pub use super::vendor::Preset;

/// The name of the upstream that is the SRE API on the traffic port.
pub const SRE_API: &str = "strop-admin";

/// What a vendor's own client library does by default.
#[derive(Clone, Copy, Debug)]
pub struct Sdk {
    /// Whose library it is, as a warning names it: "Stripe's SDK".
    pub who: &'static str,
    /// It gives up a request after this.
    pub timeout: Duration,
    /// It repeats a failed one so many times by itself.
    pub retries: u32,
}

/// The client library by which an upstream is usually called, if it repeats by itself. Stripe's waits 80 s
/// (`DEFAULT_TIMEOUT` in stripe-node, `timeout` in stripe-python) and repeats up to twice (stripe-dotnet and stripe-go;
/// stripe-node once from version 13 on). Those of SendGrid, Twilio and Google repeat only where they are told to.
pub fn sdk(upstream: &UpstreamConfig) -> Option<Sdk> {
    let stripe = upstream.hosts.iter().any(|host| host == Preset::Stripe.host());
    stripe.then_some(Sdk { who: "Stripe's SDK", timeout: Duration::from_secs(80), retries: 2 })
}

/// The breaker's defaults for an upstream of this name (or preset).
pub fn breaker(name: &str) -> BreakerPolicy {
    BreakerFile::base(name, false, None).policy()
}

fn built_in(name: &str, timeouts: Timeouts) -> UpstreamConfig {
    let file = UpstreamFile::default();
    UpstreamConfig {
        name: UpstreamName::new(name).unwrap_or_else(|_| unreachable!("a valid name")),
        impact: None,
        endpoints: Vec::new(),
        hosts: Vec::new(),
        protocol: Protocol::Http1,
        tls: None,
        upgrade_tls: false,
        via: false,
        local: None,
        allow_addresses: Vec::new(),
        timeouts,
        pool: PoolConfig {
            idle_per_worker: 8,
            idle_for: IdlePolicy::preset(false),
            connections: 1_024,
            tunnels: 1_024,
        },
        health: None,
        breaker: BreakerPolicy { mode: Mode::Off, ..breaker("") },
        operations: Vec::new(),
        vendor: None,
        payments: &[],
        judge: file.judge.policy(),
        retry: file.retry.policy(),
        keep_body: file.retry.keep_body(),
        dns_ttl: (file.dns.min_ttl.0, file.dns.max_ttl.0),
    }
}

/// The built-in upstream of hosts that no upstream lists, where the policy lets them pass. It has no breaker: the
/// hosts behind it have nothing in common.
pub fn unlisted() -> UpstreamConfig {
    built_in("unlisted", TimeoutsFile::base(false).timeouts())
}

/// The SRE API as an upstream of the traffic port: the admin listener at `admin`.
pub fn sre_api(admin: SocketAddr) -> UpstreamConfig {
    let common = built_in(SRE_API, TimeoutsFile::base(true).timeouts());
    let endpoint = Endpoint { host: Host::Address(admin.ip()), port: admin.port() };
    // A few: whoever floods the traffic port keeps nobody from the admin port.
    let pool = PoolConfig { idle_for: IdlePolicy::preset(true), connections: 16, ..common.pool };
    UpstreamConfig { endpoints: vec![endpoint], pool, ..common }
}
