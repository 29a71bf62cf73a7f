//! One dependency: may it be called, where, over which connection?
//!
//! [`gate`] holds the breaker, [`endpoint`] the addresses, [`pool`] the connections, [`registry`] all of them. Refuses
//! to know requests and routes' meaning; what it learns it drops into its gate and its metrics.

pub mod endpoint;
pub mod gate;
pub mod guard;
pub mod health;
pub mod permit;
pub mod plain;
pub mod pool;
pub mod registry;
pub mod resolve;
pub mod routes;
pub mod unlisted;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::config;
use crate::net::tls;
use crate::reliability::balance;
use crate::reliability::verdict::Verdict;
use crate::telemetry::series::{Series, UpstreamSeries};
use endpoint::EndpointState;
use gate::Gate;

/// A named dependency as it runs. A reload makes a new one around the same gate, endpoints and counters.
pub struct Upstream {
    /// What the operator wrote.
    pub config: Arc<config::Upstream>,
    /// Its breaker.
    pub gate: Arc<Gate>,
    /// What is told about it.
    pub series: Arc<UpstreamSeries>,
    /// Its addresses; replaced as a whole when DNS says so. All have passed the address guard.
    pub endpoints: Arc<ArcSwap<Vec<Arc<EndpointState>>>>,
    /// TLS towards it.
    pub tls: Option<tls::Client>,
    /// Connections over all workers.
    pub connections: Arc<AtomicUsize>,
    /// A reload has put another in its place; exchanges in flight still hold this one.
    retired: AtomicBool,
}

/// A route as it runs: everything an exchange needs, looked up once, at reload.
pub struct RouteEntry {
    /// What the operator wrote.
    pub config: Arc<config::Route>,
    /// Who answers.
    pub upstream: Arc<Upstream>,
    /// What is told about it.
    pub series: Arc<Series>,
    /// The route's limits, else the upstream's.
    pub timeouts: config::Timeouts,
    /// Its part of an access line.
    pub logged: Box<[u8]>,
}

/// Counts one connection of an upstream until it is dropped.
pub struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
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

    fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Leave to open one more connection; `None` when the cap is reached.
    pub fn slot(&self) -> Option<Slot> {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(Arc::clone(&self.connections));
        (before < self.config.pool.connections).then_some(slot)
    }

    /// An attempt has ended; a bad one makes the endpoint's next check come at once.
    pub fn observe(&self, endpoint: &EndpointState, verdict: Verdict, took: Duration, now: Instant) {
        // With nothing to choose from, nobody asks for the average.
        if self.endpoints.load().len() > 1 {
            endpoint.observe(verdict, took, now);
        }
        if matches!(verdict, Verdict::Bad(_)) {
            endpoint.suspect();
        }
    }

    /// The endpoint for the next attempt, by power of two choices over peak-EWMA.
    pub fn pick(&self, draw: u64, now: Instant) -> Option<Arc<EndpointState>> {
        let endpoints = self.endpoints.load();
        match endpoints.as_slice() {
            [] => None,
            [only] => Some(Arc::clone(only)),
            many => {
                let cost = |at: usize| many.get(at).and_then(|endpoint| endpoint.cost(now));
                let picked = balance::pick(cost, many.len(), draw)?;
                many.get(picked).map(Arc::clone)
            }
        }
    }
}
