//! An operator's orders, a look at everything, and what must always hold.

use std::time::Instant;

use super::phase::{BreakerPhase, HeldPhase};
use super::view::{BreakerState, BreakerTransition, BreakerView, Hold, TransitionCause};
use super::{Breaker, Mode};
use crate::reliability::verdict::Verdict;

impl Breaker {
    /// An operator holds it open or closed until the hold expires or is released.
    pub fn hold(&mut self, hold: Hold, now: Instant) -> BreakerTransition {
        let before = self.phase.before();
        let phase = BreakerPhase::Held { hold, before, tripped: None, served: false };
        self.enter(phase, TransitionCause::Operator, now)
    }

    /// An operator closes it. What evidence opened is not believed: it goes to half-open and must
    /// pass its probes, unless
    /// `force`. A closed one stays as it is, and one that was closed before it was held is closed again.
    pub fn close(&mut self, force: bool, now: Instant) -> Option<BreakerTransition> {
        match (&self.phase, force) {
            (BreakerPhase::Closed { .. }, _) => None,
            (BreakerPhase::HalfOpen { .. }, false) => None,
            (BreakerPhase::Held { .. }, false) => Some(self.after_hold(TransitionCause::Operator, now)),
            (BreakerPhase::Open { .. }, false) => Some(self.go(TransitionCause::Operator, now)),
            (BreakerPhase::Open { .. } | BreakerPhase::HalfOpen { .. } | BreakerPhase::Held { .. }, true) => {
                Some(self.enter(BreakerPhase::Closed { ramp: None }, TransitionCause::Operator, now))
            }
        }
    }

    /// Ends an operator's hold: the evidence rules again.
    pub fn release(&mut self, now: Instant) -> Option<BreakerTransition> {
        self.phase.is_held().then(|| self.after_hold(TransitionCause::Operator, now))
    }

    /// What follows a hold: what was closed before it is closed, unless fresh evidence says otherwise; what was open
    /// must pass its probes, unless it was held closed and has served meanwhile.
    pub(super) fn after_hold(&mut self, why: TransitionCause, now: Instant) -> BreakerTransition {
        let next = match &self.phase {
            BreakerPhase::Held { tripped: Some(tripped), .. } if self.policy.mode != Mode::Off => {
                let tripped = *tripped;
                return self.go(tripped, now);
            }
            BreakerPhase::Held { before: HeldPhase::Tripped, served: false, .. }
                if self.policy.mode != Mode::Off =>
            {
                BreakerPhase::half_open(self.policy.probes)
            }
            BreakerPhase::Held { .. }
            | BreakerPhase::Closed { .. }
            | BreakerPhase::Open { .. }
            | BreakerPhase::HalfOpen { .. } => BreakerPhase::Closed { ramp: None },
        };
        self.enter(next, why, now)
    }

    /// While it is held, what would have moved it is only noted.
    pub(super) fn noted_by_hold(
        &mut self,
        verdict: Verdict,
        why: Option<TransitionCause>,
    ) -> Option<TransitionCause> {
        let BreakerPhase::Held { tripped, served, .. } = &mut self.phase else { return why };
        if verdict.is_good() {
            *served = true;
            *tripped = None;
        } else if why.is_some() {
            *tripped = why;
        }
        None
    }

    /// A look at everything.
    pub fn view(&mut self, now: Instant) -> BreakerView {
        let (probes_in_flight, good_probes) = match &self.phase {
            BreakerPhase::HalfOpen { probes, good, .. } => {
                (u32::try_from(probes.len()).unwrap_or(u32::MAX), *good)
            }
            BreakerPhase::Closed { .. } | BreakerPhase::Open { .. } | BreakerPhase::Held { .. } => (0, 0),
        };
        let evidence = if self.phase.is_tripped() {
            self.tripped_by.clone()
        } else {
            self.row.seen().cloned().collect()
        };
        BreakerView {
            state: self.state(),
            mode: self.policy.mode,
            shadow_state: self.shadow_state(),
            ramping: matches!(self.phase, BreakerPhase::Closed { ramp: Some(_) }),
            since: self.since,
            why: self.why,
            generation: self.generation,
            consecutive: self.row.count(),
            bad_in_a_row: self.row.all(),
            evidence,
            tally: self.window.tally(now),
            trips: self.trips,
            open_until: if let BreakerPhase::Open { until } = &self.phase { Some(*until) } else { None },
            probes_in_flight,
            good_probes,
            good_checks: self.checks,
            hold: if let BreakerPhase::Held { hold, .. } = &self.phase { Some(hold.clone()) } else { None },
        }
    }

    /// Every sentence that the module's head declares, both ways.
    pub(super) fn check_invariants(&self) {
        debug_assert_eq!(self.opened.is_some(), self.phase.is_tripped(), "remembers exactly while tripped");
        let counts = matches!(self.phase, BreakerPhase::Closed { .. } | BreakerPhase::Held { .. });
        debug_assert!(counts || self.row.count() == 0, "a row is counted only while closed or held");
        let waits = matches!(self.phase, BreakerPhase::Open { .. } | BreakerPhase::HalfOpen { .. });
        debug_assert!(self.checks == 0 || waits, "checks are counted only while they can close it");
        debug_assert!(self.checks < self.policy.successes.get(), "enough checks close it");
        match &self.phase {
            BreakerPhase::Open { until } => {
                debug_assert!(*until > self.since, "a wait has a length");
                debug_assert!(self.trips > 0, "an opening was counted");
            }
            BreakerPhase::HalfOpen { probes, good, most } => {
                debug_assert!(probes.len() as u64 <= u64::from(*most), "no more probes than allowed");
                debug_assert!(
                    probes.iter().all(|probe| probe.number < self.next_probe),
                    "each was handed out"
                );
                debug_assert!(*good < self.policy.successes.get(), "enough good probes close it");
            }
            BreakerPhase::Closed { ramp } => {
                debug_assert!(ramp.is_some() || self.trips == 0, "closed for good")
            }
            BreakerPhase::Held { hold, .. } => {
                debug_assert_ne!(hold.state, BreakerState::HalfOpen, "held open or closed");
            }
        }
        debug_assert!(!self.is_steady() || self.state() == BreakerState::Closed);
        debug_assert!(!self.is_steady() || !self.is_passing());
    }
}
