//! What active checks and harmless connects say while a breaker is not closed.

use std::time::Instant;

use super::phase::BreakerPhase;
use super::{Breaker, BreakerTransition, SOON, TransitionCause};
use crate::reliability::outlier::Sees;
use crate::reliability::rise_fall::Check;

impl Breaker {
    /// A round of active checks has ended: well, when one endpoint passed. Enough good ones that see what opened it end
    /// the wait early and close it, unless they were wrong the last time and no request has passed since.
    pub fn checked(&mut self, sees: Sees, well: Check, now: Instant) -> Option<BreakerTransition> {
        let moved = self.tick(now);
        let waits = matches!(self.phase, BreakerPhase::Open { .. } | BreakerPhase::HalfOpen { .. });
        if moved.is_some() || !waits || sees < self.opened_by || self.checks_were_wrong {
            return moved;
        }
        self.checks = if well == Check::Passed { self.checks + 1 } else { 0 };
        let moved =
            (self.checks >= self.policy.successes.get()).then(|| self.go(TransitionCause::ChecksPassed, now));
        self.check_invariants();
        moved
    }

    /// A harmless connect that was made because it [wanted](Self::wants_connect) one: as good as a check that connects;
    /// but one that fails is a probe that failed, since a request would have fared no better.
    pub fn connected(&mut self, well: Check, now: Instant) -> Option<BreakerTransition> {
        let failed = well == Check::Failed && matches!(self.phase, BreakerPhase::HalfOpen { .. });
        if failed {
            Some(self.go(TransitionCause::ProbeFailed, now))
        } else {
            self.checked(Sees::Connecting, well, now)
        }
    }

    /// Would a harmless connect be of use? When it is half-open for having failed to connect, and no request
    /// came for a second.
    pub fn wants_connect(&self, now: Instant) -> bool {
        let silent = matches!(&self.phase, BreakerPhase::HalfOpen { probes, .. } if probes.is_empty());
        let waited = now.saturating_duration_since(self.since) >= SOON;
        silent && waited && self.opened_by == Sees::Connecting && !self.checks_were_wrong
    }
}
