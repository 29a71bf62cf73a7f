//! One address of an upstream: how busy, how fast, how healthy it is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::reliability::balance::PeakEwma;
use crate::reliability::verdict::Verdict;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// One address.
pub struct EndpointState {
    /// Never used again: connections are kept by it.
    pub id: u64,
    /// Has passed the address guard.
    pub addr: SocketAddr,
    /// As the operator wrote it: what TLS verifies.
    pub host: String,
    healthy: AtomicBool,
    in_flight: AtomicUsize,
    /// Touched only where there are several endpoints to choose from.
    ewma: Mutex<PeakEwma>,
    suspect: Notify,
}

/// One attempt in flight.
pub struct InFlight(Arc<EndpointState>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl EndpointState {
    /// A new one, taken for healthy until a check says otherwise.
    pub fn new(addr: SocketAddr, host: String, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            addr,
            host,
            healthy: AtomicBool::new(true),
            in_flight: AtomicUsize::new(0),
            ewma: Mutex::new(PeakEwma::new(now)),
            suspect: Notify::new(),
        })
    }

    /// An attempt begins.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// An attempt has ended; a bad one makes the next check come at once.
    pub fn observe(&self, verdict: Verdict, took: Duration, now: Instant) {
        if let Ok(mut ewma) = self.ewma.try_lock() {
            // Somebody else is recording: one answer more or less does not move an average.
            *ewma = ewma.with(verdict, took, now);
        }
        if matches!(verdict, Verdict::Bad(_)) {
            self.suspect.notify_one();
        }
    }

    /// What sending another request there would cost; `None`: unhealthy.
    pub fn cost(&self, now: Instant) -> Option<f64> {
        let ewma = *self.ewma.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_healthy().then(|| ewma.at(now) * (self.in_flight.load(Ordering::Relaxed) + 1) as f64)
    }

    /// Does it pass its checks?
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// What a check found; true when that is new.
    pub fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }

    /// Attempts in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Until an attempt was bad.
    pub async fn suspected(&self) {
        self.suspect.notified().await;
    }
}
