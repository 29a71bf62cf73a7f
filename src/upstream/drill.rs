//! A fault that is put into requests of one upstream: what they meet, and what they came to.
//!
//! Stands in the world's snapshot while a drill runs, as the directives do. It hits nothing that nobody has looked after for
//! three seconds: a control loop that is stuck, or gone, injects no fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::names::UpstreamName;
use crate::reliability::drill::{self, DrillCounts, DrillReach, Fault, Hittable};
use crate::telemetry::labels::{Direction, ExchangeOutcome};
use crate::units::Percent;

/// So long after a look it may still hit.
const LEASE: Duration = Duration::from_secs(3);

/// What a drill does to the requests of one upstream.
#[derive(Debug)]
pub struct Injection {
    /// The drill's name.
    pub id: Arc<str>,
    pub upstream: UpstreamName,
    pub fault: Fault,
    share: Percent,
    reach: DrillReach,
    began: Instant,
    until: Instant,
    /// Milliseconds after `began` until which it may hit; 0: it hits no more.
    lease: AtomicU64,
    /// Milliseconds after `began` of the first hit, and one more; 0: there was none.
    first: AtomicU64,
    hit: AtomicU64,
    exchanges: AtomicU64,
    untouched: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    own_failures: AtomicU64,
    /// Bad ends that the drill has made: at the ingress, at the egress.
    spoilt: [AtomicU64; 2],
}

/// How an exchange of the upstream ended while a drill runs.
#[derive(Clone, Copy, Debug)]
pub struct DrilledEnd {
    pub outcome: ExchangeOutcome,
    pub direction: Direction,
    /// Attempts of it that were hit.
    pub hits: u32,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Injection {
    /// For `lasts` from `began` on.
    pub fn new(
        id: Arc<str>,
        upstream: UpstreamName,
        (fault, share, reach): (Fault, Percent, DrillReach),
        began: Instant,
        lasts: Duration,
    ) -> Self {
        Self {
            id,
            upstream,
            fault,
            share,
            reach,
            began,
            until: began + lasts,
            lease: AtomicU64::new(millis(LEASE)),
            first: AtomicU64::new(0),
            hit: AtomicU64::new(0),
            exchanges: AtomicU64::new(0),
            untouched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            own_failures: AtomicU64::new(0),
            spoilt: Default::default(),
        }
    }

    /// Somebody looks after it.
    pub fn renew(&self, now: Instant) {
        let until = now.saturating_duration_since(self.began) + LEASE;
        // One that has ended stays so.
        let _ = self
            .lease
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| (held > 0).then_some(millis(until)));
    }

    /// It hits nothing from now on.
    pub fn end(&self) {
        self.lease.store(0, Ordering::Relaxed);
    }

    /// The fault of an attempt that begins now; `None`: it is not hit.
    pub fn hits(&self, what: Hittable, draw: u64, now: Instant) -> Option<Fault> {
        let since = millis(now.saturating_duration_since(self.began));
        if now >= self.until
            || since >= self.lease.load(Ordering::Relaxed)
            || !drill::is_hit(self.reach, what, self.share, draw)
        {
            return None;
        }
        self.hit.fetch_add(1, Ordering::Relaxed);
        if self.first.load(Ordering::Relaxed) == 0 {
            let _ = self.first.compare_exchange(0, since + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        Some(self.fault)
    }

    /// An exchange with the upstream has ended. Called before it is counted elsewhere.
    pub fn ended(&self, end: DrilledEnd) {
        let add = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let refused = end.outcome == ExchangeOutcome::Refused;
        let bad = match end.outcome {
            ExchangeOutcome::Ok | ExchangeOutcome::ClientError | ExchangeOutcome::ClientGone => false,
            ExchangeOutcome::ServerError
            | ExchangeOutcome::Refused
            | ExchangeOutcome::Timeout
            | ExchangeOutcome::UpstreamFailed => true,
        };
        add(&self.exchanges);
        match (end.hits > 0, refused, bad) {
            (true, _, true) => add(&self.failed),
            (true, _, false) => return,
            (false, true, _) => add(&self.refused),
            (false, false, true) => {
                add(&self.untouched);
                add(&self.own_failures);
                return;
            }
            (false, false, false) => {
                add(&self.untouched);
                return;
            }
        }
        add(match end.direction {
            Direction::Ingress => &self.spoilt[0],
            Direction::Egress => &self.spoilt[1],
        });
    }

    /// Bad ends that the drill has made, of exchanges in that direction.
    pub fn spoilt(&self, direction: Direction) -> u64 {
        let [ingress, egress] = &self.spoilt;
        match direction {
            Direction::Ingress => ingress.load(Ordering::Relaxed),
            Direction::Egress => egress.load(Ordering::Relaxed),
        }
    }

    /// What came of it so far.
    pub fn counts(&self) -> DrillCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let first = read(&self.first).checked_sub(1).map(Duration::from_millis);
        DrillCounts {
            hit: read(&self.hit),
            exchanges: read(&self.exchanges),
            untouched: read(&self.untouched),
            failed: read(&self.failed),
            refused: read(&self.refused),
            own_failures: read(&self.own_failures),
            first_hit: first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    fn whole(now: Instant) -> Injection {
        let name = UpstreamName::new("stripe").expect("a name");
        let fault = (Fault::Reset, Percent::WHOLE, DrillReach::Reads);
        Injection::new(Arc::from("drl_1"), name, fault, now, Duration::from_secs(60))
    }

    #[test]
    fn it_hits_while_somebody_looks_after_it_and_never_after_its_end() {
        let t0 = clock::instant();
        let at = |seconds| t0 + Duration::from_secs(seconds);
        let one = whole(t0);
        let hits = |one: &Injection, seconds| one.hits(Hittable::Read, 7, at(seconds)).is_some();
        assert!(hits(&one, 2) && !hits(&one, 3), "nobody has looked for three seconds");
        one.renew(at(3));
        assert!(hits(&one, 5));
        one.renew(at(59));
        assert!(hits(&one, 59) && !hits(&one, 60), "its time is over");
        let one = whole(t0);
        one.end();
        one.renew(at(1));
        assert!(!hits(&one, 1), "what has ended is not begun again");
        assert_eq!(one.counts().first_hit, None);
    }

    #[test]
    fn what_it_has_spoilt_is_told_from_what_failed_by_itself() {
        let one = whole(clock::instant());
        let direction = Direction::Ingress;
        let end = |outcome, hits| one.ended(DrilledEnd { outcome, direction, hits });
        end(ExchangeOutcome::UpstreamFailed, 1);
        end(ExchangeOutcome::Ok, 1);
        end(ExchangeOutcome::Refused, 0);
        end(ExchangeOutcome::ServerError, 0);
        end(ExchangeOutcome::Ok, 0);
        let DrillCounts { exchanges, untouched, failed, refused, own_failures, .. } = one.counts();
        assert_eq!((exchanges, untouched, failed, refused, own_failures), (5, 2, 1, 1, 1));
        assert_eq!((one.spoilt(Direction::Ingress), one.spoilt(Direction::Egress)), (2, 0));
    }
}
