//! What is known about the six services of the guide.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Pool, Protocol, Timeouts, Upstream};
use crate::names::{RouteName, UpstreamName};
use crate::reliability::breaker::{BreakerPolicy, Mode};
use crate::reliability::idle::IdlePolicy;
use crate::reliability::retry::RetryPolicy;
use crate::reliability::verdict::JudgePolicy;
use crate::units::Percent;

/// The name of the upstream that is the SRE API on the traffic port.
pub const SRE_API: &str = "strop-admin";

/// A vendor: where it is and how it is called.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// Host names.
    pub hosts: &'static [&'static str],
    /// host:port.
    pub endpoint: &'static str,
}

/// The vendors of the guide.
pub const PRESETS: [Preset; 4] = [
    Preset { name: "stripe", hosts: &["api.stripe.com"], endpoint: "api.stripe.com:443" },
    Preset { name: "sendgrid", hosts: &["api.sendgrid.com"], endpoint: "api.sendgrid.com:443" },
    Preset { name: "twilio", hosts: &["api.twilio.com"], endpoint: "api.twilio.com:443" },
    Preset { name: "google_calendar", hosts: &["www.googleapis.com"], endpoint: "www.googleapis.com:443" },
];

/// The guide's table: failures, seconds open, successes.
const BREAKERS: [(&str, u32, u64, u32); 6] = [
    ("stripe", 3, 30, 2),
    ("sendgrid", 5, 60, 3),
    ("twilio", 3, 45, 2),
    ("google_calendar", 3, 120, 2),
    ("database", 2, 15, 3),
    ("redis", 3, 30, 2),
];

/// What a vendor's own client library does by default.
#[derive(Clone, Copy, Debug)]
pub struct Sdk {
    /// Whose.
    pub who: &'static str,
    /// It gives up a request after this.
    pub timeout: Duration,
    /// It repeats a failed one so many times by itself.
    pub retries: u32,
}

/// The client libraries that repeat by themselves, by the vendor's host. Stripe's wait 80 s (`DEFAULT_TIMEOUT` in
/// stripe-node, `timeout` in stripe-python) and repeat up to twice (stripe-dotnet and stripe-go; stripe-node once from
/// version 13 on). Those of SendGrid, Twilio and Google repeat only where they are told to.
const SDKS: [(&str, Sdk); 1] =
    [("api.stripe.com", Sdk { who: "Stripe's SDK", timeout: Duration::from_secs(80), retries: 2 })];

/// The client library by which an upstream is usually called.
pub fn sdk(upstream: &Upstream) -> Option<Sdk> {
    let own = |host: &str| upstream.hosts.iter().any(|listed| listed == host);
    SDKS.into_iter().find(|(host, _)| own(host)).map(|(_, sdk)| sdk)
}

/// Is it one of the guide's services?
pub fn is_known(name: &str) -> bool {
    BREAKERS.iter().any(|(known, ..)| *known == name)
}

/// The breaker's defaults for an upstream of this name (or preset).
pub fn breaker(name: &str) -> BreakerPolicy {
    let (_, failures, open, successes) =
        BREAKERS.into_iter().find(|(known, ..)| *known == name).unwrap_or(("", 5, 30, 2));
    BreakerPolicy {
        mode: Mode::On,
        failures: NonZeroU32::new(failures),
        failure_rate: Some(Percent::of(50)),
        slow_rate: None,
        window: Duration::from_secs(10),
        min_requests: 20,
        lump: Duration::from_secs(1),
        open_for: Duration::from_secs(open),
        open_for_max: Duration::from_secs(300),
        successes: NonZeroU32::new(successes).unwrap_or(NonZeroU32::MIN),
        probes: NonZeroU32::MIN,
        probe_timeout: Duration::from_secs(10),
        ramp: Duration::from_secs(10),
    }
}

/// The built-in upstream of hosts that no upstream lists, where the policy lets them pass. It has no breaker: the
/// hosts behind it have nothing in common.
pub fn unlisted() -> Upstream {
    Upstream {
        name: UpstreamName::new("unlisted").unwrap_or_else(|_| unreachable!("a valid name")),
        endpoints: Vec::new(),
        hosts: Vec::new(),
        protocol: Protocol::Http1,
        tls: None,
        upgrade_tls: false,
        local: None,
        allow_addresses: Vec::new(),
        timeouts: egress_timeouts(),
        pool: Pool { idle_per_worker: 8, idle_for: IdlePolicy::preset(false), connections: 1_024 },
        health: None,
        breaker: BreakerPolicy { mode: Mode::Off, ..breaker("") },
        operations: Vec::new(),
        shadow_unasked: false,
        judge: JudgePolicy::default(),
        retry: RetryPolicy::default(),
        keep_body: 64 * 1024,
        dns_ttl: (Duration::from_secs(5), Duration::from_secs(300)),
    }
}

/// The label of a route that cannot have its own.
pub fn other_route() -> RouteName {
    RouteName::new("other").unwrap_or_else(|_| unreachable!("a valid name"))
}

/// Egress: a vendor far away.
pub fn egress_timeouts() -> Timeouts {
    let secs = |seconds| Some(Duration::from_secs(seconds));
    Timeouts { connect: secs(3), first_byte: secs(60), idle: secs(60), per_try: None, total: None }
}

/// Ingress: a neighbour in the pod.
pub fn backend_timeouts() -> Timeouts {
    Timeouts { connect: Some(Duration::from_secs(1)), ..egress_timeouts() }
}

/// The limits of listeners that have no table of their own.
pub fn limits() -> super::Limits {
    super::Limits {
        connections: 10_000,
        header_bytes: 64 * 1024,
        header_count: 100,
        header_read: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        half_close: Duration::from_secs(2),
        requests_per_connection: None,
        h2_streams: 128,
    }
}

/// The SRE API as an upstream of the traffic port: the admin listener at `admin`.
pub fn sre_api(admin: std::net::SocketAddr) -> (Upstream, Vec<super::Route>) {
    let name = UpstreamName::new(SRE_API).unwrap_or_else(|_| unreachable!("a valid name"));
    let route = |prefix: &str, name: &str, upstream: &UpstreamName| super::Route {
        name: RouteName::new(name).unwrap_or_else(|_| other_route()),
        host: None,
        path: super::RoutePath::Below(prefix.to_owned()),
        upstream: upstream.clone(),
        body_limit: Some(64 * 1024),
        timeouts: Timeouts::default(),
        latency: None,
    };
    let routes = vec![route("/api/v2/sre", "sre-api", &name)];
    let endpoint = super::Endpoint { host: super::Host::Address(admin.ip()), port: admin.port() };
    let common = unlisted();
    let pool = Pool { idle_for: IdlePolicy::preset(true), ..common.pool };
    let upstream = Upstream { name, endpoints: vec![endpoint], timeouts: backend_timeouts(), pool, ..common };
    (upstream, routes)
}
