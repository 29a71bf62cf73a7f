//! One address of an upstream: how busy, how fast, how healthy it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::reliability::balance::PeakEwma;
use crate::reliability::verdict::Verdict;
use crate::telemetry::line;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// One address.
pub struct EndpointState {
    /// Never used again: connections are kept by it.
    pub id: u64,
    /// Has passed the address guard.
    pub addr: SocketAddr,
    /// As the operator wrote it: what TLS verifies.
    pub host: String,
    /// Its part of an access line.
    pub logged: Box<[u8]>,
    healthy: AtomicBool,
    fallback: AtomicBool,
    reached: AtomicBool,
    in_flight: AtomicUsize,
    ewma: Average,
    suspect: Notify,
}

/// A peak-EWMA in one word, so that no worker waits for another: two that record at once may lose one answer, which
/// moves no average.
struct Average {
    born: Instant,
    /// Seconds as the bits of a `f32`, then milliseconds since `born`.
    word: AtomicU64,
}

impl Average {
    fn new(now: Instant) -> Self {
        let average = Self { born: now, word: AtomicU64::new(0) };
        average.store(PeakEwma::new(now));
        average
    }

    fn load(&self) -> PeakEwma {
        let word = self.word.load(Ordering::Relaxed);
        let seconds = f64::from(f32::from_bits((word >> 32) as u32));
        PeakEwma::resumed(seconds, self.born + Duration::from_millis(word & u64::from(u32::MAX)))
    }

    fn store(&self, average: PeakEwma) {
        let (seconds, at) = average.parts();
        let millis = at.saturating_duration_since(self.born).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
        self.word.store(u64::from((seconds as f32).to_bits()) << 32 | millis, Ordering::Relaxed);
    }
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
            logged: line::endpoint(addr),
            healthy: AtomicBool::new(true),
            fallback: AtomicBool::new(false),
            reached: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            ewma: Average::new(now),
            suspect: Notify::new(),
        })
    }

    /// Host and port, as a URL writes them.
    pub fn authority(&self) -> String {
        let port = self.addr.port();
        if self.host.contains(':') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }

    /// An attempt begins.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// An attempt has ended.
    pub(super) fn observe(&self, verdict: Verdict, took: Duration, now: Instant) {
        self.ewma.store(self.ewma.load().with(verdict, took, now));
    }

    /// The next check is to come at once.
    pub(super) fn suspect(&self) {
        self.suspect.notify_one();
    }

    /// What sending another request there would cost; `None`: unhealthy.
    pub fn cost(&self, now: Instant) -> Option<f64> {
        self.is_healthy()
            .then(|| self.ewma.load().at(now) * (self.in_flight.load(Ordering::Relaxed) + 1) as f64)
    }

    /// Does it pass its checks?
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// What a check found; true when that is new.
    pub fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }

    /// Is it of the family that its name is not called by while the other one answers?
    pub fn is_fallback(&self) -> bool {
        self.fallback.load(Ordering::Relaxed)
    }

    /// What the order of its name's addresses says.
    pub fn set_fallback(&self, fallback: bool) {
        self.fallback.store(fallback, Ordering::Relaxed);
    }

    /// Has a connection to it been made, ever?
    pub fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// A connection to it was made.
    pub fn set_reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    /// Another address of the same name and port, in the other family?
    pub(super) fn is_twin_of(&self, other: &Self) -> bool {
        self.addr.is_ipv4() != other.addr.is_ipv4() && self.is_beside(other)
    }

    /// Of the same name and port?
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.addr.port() == other.addr.port() && self.host == other.host
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::verdict::Why;
    use crate::runtime::clock;

    #[test]
    fn an_average_survives_its_word() {
        let t0 = clock::instant();
        let average = Average::new(t0);
        let later = t0 + Duration::from_millis(1_500);
        average.store(average.load().with(Verdict::Good, Duration::from_millis(250), later));
        let (seconds, at) = average.load().parts();
        assert!((seconds - 0.25).abs() < 1e-6 && at == later, "{seconds}");
    }

    #[test]
    fn a_failing_endpoint_costs_more_than_a_slow_one() {
        let t0 = clock::instant();
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        let slow = EndpointState::new(addr, String::new(), t0);
        let failing = EndpointState::new(addr, String::new(), t0);
        slow.observe(Verdict::Good, Duration::from_millis(500), t0);
        failing.observe(Verdict::Bad(Why::Connect), Duration::from_micros(50), t0);
        assert!(failing.cost(t0) > slow.cost(t0));
    }
}
