//! One address of an upstream: how busy, how fast, how healthy it is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::reliability::balance::PeakEwma;
use crate::reliability::outlier::{Ejection, Outlier, Room, Sees};
use crate::reliability::party::Blame;
use crate::reliability::verdict::{BadReason, Verdict};
use crate::telemetry::line;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// One address of an upstream, and what its attempts have shown.
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
    /// What attempts say of it; locked only while there is something to remember.
    outlier: Mutex<Outlier>,
    is_noted: AtomicBool,
    /// Milliseconds since `ewma.born` until which it is out of rotation; zero: it never was.
    out_until: AtomicU64,
    ejections: AtomicU64,
}

/// A peak-EWMA in one word, so that no worker waits for another: two that record at once may lose one answer,
/// which moves no average.
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
            outlier: Mutex::default(),
            is_noted: AtomicBool::new(false),
            out_until: AtomicU64::new(0),
            ejections: AtomicU64::new(0),
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

    /// Counts an attempt until the value is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// An attempt has ended.
    pub(super) fn observe(&self, verdict: Verdict, took: Duration, now: Instant) {
        self.ewma.store(self.ewma.load().with(verdict, took, now));
    }

    /// An attempt without a body was given up, which had had no answer for so long.
    pub fn unanswered(&self, waited: Duration, now: Instant) {
        self.ewma.store(self.ewma.load().unanswered(waited, now));
    }

    /// The next check is to come at once.
    pub(super) fn suspect(&self) {
        self.suspect.notify_one();
    }

    /// An attempt went well. Takes no lock while there is nothing to forget.
    pub(super) fn well(&self, now: Instant) {
        if self.is_noted.load(Ordering::Relaxed) {
            let mut outlier = self.outlier();
            outlier.good(now);
            self.is_noted.store(!outlier.is_pristine(), Ordering::Relaxed);
        }
    }

    /// An attempt failed; the ejection, when that takes it out of rotation.
    pub(super) fn failed(
        &self,
        why: BadReason,
        blame: &Blame,
        room: Room,
        now: Instant,
        draw: u64,
    ) -> Option<Ejection> {
        let mut outlier = self.outlier();
        let ejection = outlier.bad(why, blame, room, now, draw);
        self.is_noted.store(!outlier.is_pristine(), Ordering::Relaxed);
        if let Some(ejection) = &ejection {
            self.set_out_until(ejection.until);
            self.ejections.fetch_add(1, Ordering::Relaxed);
        }
        ejection
    }

    /// An active check passed: what it was ejected for is over, when the check sees it. True: it was out.
    pub(super) fn passed(&self, sees: Sees, now: Instant) -> bool {
        self.is_noted.load(Ordering::Relaxed) && {
            let was_out = self.outlier().passed(sees, now);
            if was_out {
                self.set_out_until(now);
            }
            was_out
        }
    }

    fn outlier(&self) -> std::sync::MutexGuard<'_, Outlier> {
        self.outlier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_out_until(&self, until: Instant) {
        let millis = until.saturating_duration_since(self.ewma.born).as_millis();
        self.out_until.store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Until when it is ejected; `None`: it is not.
    pub fn out_until(&self, now: Instant) -> Option<Instant> {
        let millis = self.out_until.load(Ordering::Relaxed);
        let until = self.ewma.born + Duration::from_millis(millis);
        (millis > 0 && until > now).then_some(until)
    }

    /// How often it was ejected.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// Does it pass its checks, and is it not ejected?
    pub fn is_in_rotation(&self, now: Instant) -> bool {
        self.is_healthy() && self.out_until(now).is_none()
    }

    /// What sending another request there would cost.
    pub fn cost(&self, now: Instant) -> f64 {
        self.ewma.load().at(now) * (self.in_flight.load(Ordering::Relaxed) + 1) as f64
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

    /// Attempts that are in flight now, over all workers.
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
    use crate::reliability::verdict::BadReason;
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
        failing.observe(Verdict::Bad(BadReason::Connect), Duration::from_micros(50), t0);
        assert!(failing.cost(t0) > slow.cost(t0));
    }
}
