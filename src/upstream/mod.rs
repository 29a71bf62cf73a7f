//! One dependency: may it be called, where, over which connection?
//!
//! [`gate`] holds the breaker, [`endpoint`] the addresses, [`pool`] the connections, [`registry`] all of them. Refuses
//! to know requests and routes' meaning; what it learns it drops into its gate and its metrics.

mod connect;
pub mod drill;
pub mod endpoint;
pub mod fast_path;
pub mod gate;
pub mod guard;
pub mod health;
pub mod idle;
mod in_force;
pub mod load;
pub mod local;
mod looks;
mod making;
pub mod named;
pub mod operations;
pub mod permit;
pub mod pool;
pub mod rates;
pub mod registry;
mod removed;
pub mod renewal;
pub mod resolve;
pub mod retries;
pub mod routes;
mod shared;
pub mod shares;
mod single;
pub mod throttle;
pub mod unlisted;
pub mod witness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config;
use crate::names::RouteName;
use crate::net::tls;
use crate::reliability::balance::{self, Rank};
use crate::reliability::failover::Group;
use crate::reliability::outlier::{Ejection, Room};
use crate::reliability::party::Blame;
use crate::reliability::retry::RetryReason;
use crate::reliability::verdict::Verdict;
use crate::telemetry::breakers::BreakerSeries;
use crate::telemetry::event::{Event, UpstreamEvent};
use crate::telemetry::series::{Series, UpstreamSeries};
use crate::telemetry::unnamed::UnnamedPaths;
use crate::units::Written as _;
use endpoint::EndpointState;
use gate::Gate;
use operations::Operations;

/// A named dependency as it runs. A reload makes a new one around the same gate, endpoints and counters.
pub struct Upstream {
    /// What the operator wrote.
    pub config: Arc<config::UpstreamConfig>,
    /// Which of the upstream's groups of endpoints it is.
    pub group: Group,
    /// The group's own breaker, behind its lock.
    pub gate: Arc<Gate>,
    /// What is told about that breaker; its label is the upstream's name, of a backup group `<upstream>.backup`.
    pub breaker: Arc<BreakerSeries>,
    /// Its operations that have a breaker of their own.
    pub operations: Operations,
    /// What is told about it.
    pub series: Arc<UpstreamSeries>,
    /// Its addresses; replaced as a whole when DNS says so. All have passed the address guard.
    pub endpoints: Arc<ArcSwap<Vec<Arc<EndpointState>>>>,
    /// How TLS is spoken with it; `None`: plain.
    pub tls: Option<tls::TlsClient>,
    /// Rises when a reload changes how connections are made.
    pub remade: u32,
    /// Fresh starts by order.
    pub renewal: Arc<renewal::Renewal>,
    /// Connections over all workers.
    pub connections: Arc<AtomicUsize>,
    /// Tunnels and upgraded connections over all workers.
    pub tunnels: Arc<AtomicUsize>,
    /// Exchanges by client; `None`: it is not behind the ingress, so nobody shares it.
    pub shares: Option<Arc<shares::Shares>>,
    /// How much less it is asked.
    pub throttle: Arc<throttle::Throttle>,
    /// What is under way and how much may be; `None`: it is not behind the ingress.
    pub load: Option<Arc<load::Load>>,
    /// Bytes that the kernel keeps of one of its connections each way; `None`: its own measure.
    pub socket: Option<usize>,
    /// Idle connections that it has closed.
    pub closings: Arc<idle::IdleClosings>,
    /// What its retries may still spend.
    pub retries: Arc<retries::Retries>,
    /// A reload has put another in its place; exchanges in flight still hold this one.
    retired: AtomicBool,
    /// The group that is called while this one is ill; `None`: there is none, or this is it.
    pub backup: Option<Arc<Upstream>>,
}

/// A route as it runs: everything an exchange needs, looked up once, at reload.
pub struct RouteEntry {
    /// What the operator wrote.
    pub config: Arc<config::Route>,
    /// The upstream that the route leads to.
    pub upstream: Arc<Upstream>,
    /// What is told about it.
    pub series: Arc<Series>,
    /// The route's limits, else the upstream's.
    pub timeouts: config::Timeouts,
    /// Its part of an access line.
    pub logged: Box<[u8]>,
    /// Writes without an idempotency key get one.
    pub injects_keys: bool,
    /// How often its clients have asked, where that is limited.
    pub rates: Option<Arc<rates::RateLimiter>>,
    /// What is under way of it, where it comes from the ingress.
    pub load: Option<Arc<load::RouteLoad>>,
    /// Its fingerprint; see [`Party`](crate::reliability::party::Party).
    pub fingerprint: u32,
    /// Where paths of its requests are sampled: it is the built-in last route, and they have no name of their own.
    pub unnamed: Option<Arc<UnnamedPaths>>,
}

impl RouteEntry {
    /// As it is counted and told: the name of the route, or that of an operation of the application which the last route takes.
    pub fn name(&self) -> &RouteName {
        &self.series.key.0
    }
}

/// Counts one connection of an upstream until it is dropped.
pub struct ConnectionSlot(Arc<AtomicUsize>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Upstream {
    /// Has a reload put another in its place? Then whoever looks after it leaves.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    fn has_endpoint(&self, id: u64) -> bool {
        self.endpoints.load().iter().any(|endpoint| endpoint.id == id)
    }

    /// How its connections are made: another number after a reload that changes TLS or protocol, after a fresh start, and
    /// after other roots.
    pub fn way(&self) -> u64 {
        let (remade, resets) = (u64::from(self.remade & 0xffff), u64::from(self.renewal.resets() & 0xffff));
        let roots = u64::from(self.tls.as_ref().map_or(0, tls::TlsClient::generation));
        remade << 48 | resets << 32 | roots
    }

    /// A fresh start: the connections that are there take no new exchange and end when they are idle; names are looked up
    /// again. How many connections there were.
    pub fn renew(&self) -> usize {
        self.renewal.renew();
        if let Some(backup) = &self.backup {
            backup.renewal.renew();
        }
        self.connections.load(Ordering::Relaxed)
    }

    /// Under which its connections to an endpoint are kept.
    pub fn key(&self, endpoint: u64) -> pool::PoolKey {
        pool::PoolKey { endpoint, way: self.way() }
    }

    /// Its groups of endpoints: itself, and its backup where it has one.
    pub fn groups(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::once(self).chain(&self.backup)
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        if let Some(backup) = &self.backup {
            backup.retire();
        }
    }

    /// What its breaker shows as failures: bad attempts at the upstream, of a backup group exchanges.
    pub fn failures(&self) -> u64 {
        match self.group {
            Group::First => self.series.failures(),
            Group::Backup => self.breaker.failures(),
        }
    }

    /// Leave to open one more connection; `None` when the cap is reached.
    pub fn slot(&self) -> Option<ConnectionSlot> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let slot = ConnectionSlot(Arc::clone(&self.connections));
        (before < self.config.pool.connections).then_some(slot)
    }

    /// The peer has closed a connection to `endpoint` that had been idle for `idle`, at most: sooner than it would have
    /// been closed here. Tells it when that says something about the upstream.
    pub fn found_closed(&self, endpoint: u64, idle: Duration, now: Instant) {
        if let Some(seen) = self.closings.seen(endpoint, idle, now) {
            let idle_for = self.config.pool.idle_for.h1.write();
            let after = Duration::from_millis(u64::try_from(seen.as_millis()).unwrap_or(u64::MAX)).write();
            UpstreamEvent::IdleClosed {
                upstream: self.config.name.as_str(),
                after: &after,
                idle_for: &idle_for,
            }
            .tell();
        }
    }

    /// The time after which it was seen closing idle connections sooner than `pool.idle_for`, if it was.
    pub fn idle_closed_after(&self) -> Option<Duration> {
        self.closings.closed_after()
    }

    /// Takes leave for one retry from the budget, and counts whether it was given.
    pub fn may_retry(&self, why: RetryReason, now: Instant) -> bool {
        // What was repeated earns no leave for more.
        let asked = self.series.judged().saturating_sub(self.series.retries().iter().sum());
        let granted = self.retries.take(&self.config.retry, asked, now);
        if granted {
            self.series.repeated(why);
        } else {
            self.series.not_repeated();
        }
        granted
    }

    /// Leave for one more tunnel or upgraded connection; `None` when their cap is reached.
    pub fn tunnel(&self) -> Option<ConnectionSlot> {
        let before = self.tunnels.fetch_add(1, Ordering::Relaxed);
        let slot = ConnectionSlot(Arc::clone(&self.tunnels));
        (before < self.config.pool.tunnels).then_some(slot)
    }

    /// An attempt at `endpoint` has ended: its average and its health learn of it, and a bad one makes its next check
    /// come at once. The ejection, when that takes it out of rotation.
    pub fn observe(
        &self,
        endpoint: &EndpointState,
        verdict: Verdict,
        blame: &Blame,
        took: Duration,
        now: Instant,
        draw: u64,
    ) -> Option<Ejection> {
        let endpoints = self.endpoints.load();
        if matches!(verdict, Verdict::Bad(_)) {
            endpoint.suspect();
        }
        // With nothing to choose from, nobody asks for the average.
        if endpoints.len() < 2 {
            return None;
        }
        endpoint.observe(verdict, took, now);
        match verdict {
            Verdict::Good | Verdict::Slow => endpoint.well(now),
            Verdict::Bad(why) => {
                let others = in_rotation_besides(&endpoints, endpoint, now);
                let room = Room { of: endpoints.len(), others };
                return endpoint.failed(why, blame, room, now, draw);
            }
            Verdict::RateLimited { .. } | Verdict::Inconclusive(_) => {}
        }
        None
    }

    /// Endpoints in rotation besides `endpoint`.
    pub fn alternatives(&self, endpoint: &EndpointState, now: Instant) -> u32 {
        let endpoints = self.endpoints.load();
        u32::try_from(in_rotation_besides(&endpoints, endpoint, now)).unwrap_or(u32::MAX)
    }

    /// Is there an endpoint that is not among `tried`?
    pub fn has_another(&self, tried: &[Arc<EndpointState>]) -> bool {
        self.endpoints.load().iter().any(|endpoint| !is_among(tried, endpoint))
    }

    /// The endpoint for the next attempt, by power of two choices over peak-EWMA; none of those `tried`
    /// while another is left.
    pub fn pick(&self, tried: &[Arc<EndpointState>], draw: u64, now: Instant) -> Option<Arc<EndpointState>> {
        let endpoints = self.endpoints.load();
        match endpoints.as_slice() {
            [] => None,
            [only] => Some(Arc::clone(only)),
            many => {
                let rank =
                    |at: usize| many.get(at).map_or(Rank::TriedOut, |endpoint| rank(endpoint, tried, now));
                let cost = |at: usize| many.get(at).map_or(f64::INFINITY, |endpoint| endpoint.cost(now));
                many.get(balance::pick(rank, cost, many.len(), draw)?).map(Arc::clone)
            }
        }
    }
}

fn is_among(tried: &[Arc<EndpointState>], endpoint: &EndpointState) -> bool {
    tried.iter().any(|known| known.id == endpoint.id)
}

fn rank(endpoint: &EndpointState, tried: &[Arc<EndpointState>], now: Instant) -> Rank {
    match (is_among(tried, endpoint), endpoint.is_in_rotation(now)) {
        (true, true) => Rank::Tried,
        (true, false) => Rank::TriedOut,
        (false, false) => Rank::Out,
        (false, true) if endpoint.is_fallback() => Rank::Fallback,
        (false, true) => Rank::Good,
    }
}

fn in_rotation_besides(endpoints: &[Arc<EndpointState>], endpoint: &EndpointState, now: Instant) -> usize {
    endpoints.iter().filter(|other| other.id != endpoint.id && other.is_in_rotation(now)).count()
}

fn client_tls(wanted: &config::UpstreamConfig) -> Option<tls::TlsClient> {
    let config = wanted.tls.as_ref()?;
    match tls::TlsClient::new(config, wanted.protocol) {
        Ok(client) => Some(client),
        Err(error) => {
            Event::TlsUnusable { upstream: wanted.name.as_str(), error: &error.to_string() }.tell();
            None
        }
    }
}
