//! Which exchanges trip a breaker, and which probes decide. While a breaker is steady and closed, good answers are only summed
//! (`upstream::gate`): what is to be counted of each good one as well, such as its latency, is judged before, as slow.

use std::time::Instant;

use super::evidence::ExchangeEvidence;
use super::phase::BreakerPhase;
use super::trip::Trip;
use super::{Breaker, TransitionCause};
use crate::reliability::verdict::Verdict;
use crate::reliability::window::Tally;

/// A rate is no hiccup when it is made of at least so many events.
const EVENTS: u64 = 3;

impl Breaker {
    /// Counts an exchange of the closed phase; the cause when it trips.
    pub(super) fn counted(
        &mut self,
        evidence: &ExchangeEvidence<'_>,
        now: Instant,
    ) -> Option<TransitionCause> {
        let verdict = evidence.verdict;
        let bad = verdict.is_evidence_against();
        let slow = verdict == Verdict::Slow;
        let event = self.row.is_event(evidence, self.policy.dedup_window, now);
        let tally = Tally {
            total: 1,
            bad: u64::from(bad),
            slow: u64::from(slow),
            events: u64::from(event),
            unconnected: u64::from(bad && evidence.unconnected),
        };
        if !bad && !slow {
            self.window.count(tally, now);
        } else {
            self.window.blame(tally, &evidence.blame, now);
        }
        if !bad {
            self.row.end();
            self.checks_were_wrong = false; // a request has passed
        }
        if let (Verdict::Bad(_), true) = (verdict, event) {
            let needed = self.policy.failures.map_or(u32::MAX, std::num::NonZeroU32::get);
            self.row.failed(evidence, needed);
            if self.row.count() >= needed {
                return Some(TransitionCause::Tripped(Trip::Failures(self.row.count())));
            }
        }
        self.rate_trip(evidence, now).map(TransitionCause::Tripped)
    }

    /// What trips it, where a rate does.
    fn rate_trip(&mut self, evidence: &ExchangeEvidence<'_>, now: Instant) -> Option<Trip> {
        let bad = evidence.verdict.is_evidence_against();
        let share = if bad { self.policy.failure_rate } else { self.policy.slow_rate };
        let share = share.filter(|_| bad || evidence.verdict == Verdict::Slow)?;
        let tally = self.window.tally(now);
        let part = if bad { tally.bad } else { tally.slow };
        if tally.total < self.policy.min_requests || !share.reached_by(part, tally.total) {
            return None;
        }
        if bad && tally.events < EVENTS {
            return None; // a hiccup
        }
        let (bad_by, slow_by) = self.window.contributions(now);
        let by = if bad { bad_by } else { slow_by };
        let needed = (share.ratio() * tally.total as f64).ceil() as u64;
        let left = part.saturating_sub(by.excess(&evidence.blame, needed));
        share.reached_by(left, tally.total).then_some(if bad {
            Trip::FailureRate(tally)
        } else {
            Trip::SlowRate(tally)
        })
    }

    pub(super) fn probe_passed(&mut self) -> Option<TransitionCause> {
        self.checks_were_wrong = false;
        let BreakerPhase::HalfOpen { good, .. } = &mut self.phase else { return None };
        *good += 1;
        (*good >= self.policy.successes.get()).then_some(TransitionCause::ProbesPassed)
    }

    /// What opened by connecting, and now answers badly, is no longer seen by a check that connects.
    pub(super) fn probe_failed(&mut self, evidence: &ExchangeEvidence<'_>) -> Option<TransitionCause> {
        self.opened_by = self.opened_by.max(evidence.sees());
        Some(TransitionCause::ProbeFailed)
    }
}
