//! What was this second? One mark for each upstream, one for the service as a whole.

use std::sync::Arc;
use std::time::Duration;

use super::mode::Evidence;
use super::{Effect, Engine};
use crate::reliability::breaker::BreakerState;
use crate::reliability::counts::Counts;
use crate::reliability::ledger::{Ledger, SERVICE, Slice};
use crate::reliability::readings::{Readings, Stage, UpstreamReading};
use crate::units::At;

/// The last success speaks for this long when nothing was tried since.
const SPEAKS: Duration = Duration::from_secs(60);
/// More bad ones than this share make a second degraded: one in twenty.
const DEGRADED: u64 = 20;

impl Engine {
    pub(super) fn uptime(&mut self, readings: &Readings, now: At) {
        if let (Some(resumed), Some(evidence)) = (readings.resumed, self.mode.evidence_mut()) {
            evidence.resumed = resumed;
            evidence.ledgers.values_mut().for_each(|ledger| ledger.resumes(resumed.second()));
        }
        let mut whole: Vec<(bool, Slice)> = Vec::new();
        let mut counts = Counts::default();
        for upstream in &readings.upstreams {
            let seen = self.drill.seen_of(&upstream.name, self.second_of(upstream, now));
            let backend = readings.backend.as_ref() == Some(&upstream.name);
            whole.push((backend, seen));
            let marked = self.maintained(&upstream.name, seen, now);
            let asked = if seen == Slice::Maintenance { Counts::default() } else { upstream.counts.s1 };
            self.mark(&upstream.name, marked, asked, down_since(upstream, marked), now);
        }
        for route in &readings.routes {
            counts = counts.plus(route.counts.s1);
        }
        let counts = self.drill.spare(counts);
        let service: Arc<str> = Arc::from(SERVICE);
        let seen = match readings.stage {
            Stage::Draining => Slice::Unknown,
            Stage::Serving => of_the_whole(&whole),
        };
        let backend = readings.upstreams.iter().find(|one| readings.backend.as_ref() == Some(&one.name));
        let marked = self.maintained(&service, seen, now);
        self.mark(&service, marked, counts, backend.and_then(|one| down_since(one, marked)), now);
    }

    fn maintained(&self, subject: &Arc<str>, seen: Slice, now: At) -> Slice {
        if self.in_maintenance(subject, now) { Slice::Maintenance } else { seen }
    }

    fn mark(&mut self, subject: &Arc<str>, slice: Slice, counts: Counts, since: Option<At>, now: At) {
        let Some(Evidence { ledgers, source, resumed, .. }) = self.mode.evidence_mut() else { return };
        let ledger = ledgers
            .entry(Arc::clone(subject))
            .or_insert_with(|| Ledger::new(Arc::clone(subject), Arc::clone(source)));
        let minutes = ledger.mark(slice, counts, now);
        if let Some(since) = since {
            // What came before a pause was marked by then, and nobody saw the pause itself.
            ledger.amend(since.max(*resumed).second(), now.second(), slice);
        }
        self.changed.before.extend(minutes.into_iter().map(Effect::Ledger));
    }

    /// What was seen of an upstream in the last second: its answers, or how long the last ones still speak.
    fn second_of(&self, upstream: &UpstreamReading, now: At) -> Slice {
        let rules = &self.policy.detect.down;
        let Counts { good, bad } = upstream.counts.s1;
        let dead = upstream.is_down(rules);
        let refusing =
            upstream.breaker.is_some_and(|breaker| breaker.state == BreakerState::Open && !breaker.held);
        let fresh = |at: Option<At>| at.is_some_and(|at| now.since(at) < SPEAKS);
        let newest = upstream.last_success.max(upstream.last_failure);
        if good > 0 {
            return if bad * DEGRADED > good + bad || refusing { Slice::Degraded } else { Slice::Up };
        }
        match dead || refusing {
            true if fresh(newest) || refusing => Slice::Down,
            true => Slice::Unknown,
            false if bad > 0 => Slice::Degraded,
            false if fresh(upstream.last_success) => Slice::Up,
            false => Slice::Unknown,
        }
    }
}

/// A death is noticed at the third failure and began at the first.
fn down_since(upstream: &UpstreamReading, slice: Slice) -> Option<At> {
    upstream.failing_since.filter(|_| slice == Slice::Down)
}

/// The service is its backend, degraded by what it depends on. Without a backend it is all its upstreams.
fn of_the_whole(seen: &[(bool, Slice)]) -> Slice {
    // What a drill does to one of them is announced, and says nothing of the others.
    let announced = seen.iter().any(|(_, slice)| *slice == Slice::Maintenance);
    let known = || seen.iter().filter(|(_, slice)| !matches!(slice, Slice::Unknown | Slice::Maintenance));
    let suffers = known().any(|(_, slice)| matches!(slice, Slice::Down | Slice::Degraded));
    match seen.iter().find(|(backend, _)| *backend) {
        Some((_, Slice::Up)) if suffers => Slice::Degraded,
        Some((_, slice)) => *slice,
        None if known().next().is_none() && announced => Slice::Maintenance,
        None if known().next().is_none() => Slice::Unknown,
        None if known().all(|(_, slice)| *slice == Slice::Down) => Slice::Down,
        None if suffers => Slice::Degraded,
        None => Slice::Up,
    }
}
