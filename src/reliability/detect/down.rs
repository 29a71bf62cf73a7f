//! Is a dependency down, or does one route, or one client, fail alone?
//!
//! Down is what checks say, or failures in a row that meet everybody. Where a check has passed since they began,
//! that takes a whole row of exchanges of more than one route or client without any success; where none has,
//! three, unless others are served meanwhile, or nobody else asks and a check is about to say. Errors of one
//! route are that route's incident.

use std::time::Duration;

use super::{DetectPolicy, Detector, DownPolicy, Finding, Says};
use crate::reliability::alert::{AlertLook, AlertPolicy, Sign};
use crate::reliability::breaker::BreakerState;
use crate::reliability::readings::{FailureScope, Reach, UpstreamReading};
use crate::reliability::rule::{Rule, Severity};
use crate::units::At;

/// A streak of failures without a new one for this long says nothing any more. A choice: the length of the window that
/// the rules call "lately".
pub(super) const STALE: Duration = Duration::from_secs(60);

/// Failures in a row, of more than one route or client, that make it suspected although its checks pass. A choice: as
/// many as the breaker wants to see before it judges a rate (`min_requests`).
const AGAINST_CHECKS: u32 = 20;

/// How long errors wait for the check that they have brought forward: it begins within 1 s and may take 2 s
/// (`suspect_interval` and `timeout` by default).
const A_CHECK: Duration = Duration::from_secs(3);

impl UpstreamReading {
    /// Does what was seen last say that nobody is answered?
    pub fn is_down(&self, rules: &DownPolicy) -> bool {
        let row = self.consecutive_failures;
        match self.failed_probes {
            Some(probes) if probes >= rules.probes => true,
            // What fails is less than the whole, unless the exchanges say otherwise.
            Some(0) if self.passes_since() => row >= AGAINST_CHECKS && self.reach == Reach::Several,
            // Its answers to one client that asks for one thing: the next check says more.
            Some(0) if self.failing == FailureScope::Answers && self.reach == Reach::Unknown => false,
            Some(_) | None => row >= rules.failures && self.reach != Reach::One,
        }
    }

    /// Did its last check pass, and after its last failure began?
    fn is_checked_well(&self) -> bool {
        self.failed_probes == Some(0) && self.passes_since()
    }

    /// Is nothing sent to it, by an order?
    fn is_held_open(&self) -> bool {
        self.breaker.is_some_and(|breaker| breaker.state == BreakerState::Open && breaker.held)
    }

    /// Has a check passed since the failures began?
    fn passes_since(&self) -> bool {
        self.failing_since.is_none_or(|since| self.checked > Some(since))
    }

    /// Is the next check about to say whether it is down? Not for longer than a check takes.
    pub(super) fn is_undecided(&self, rules: &DownPolicy, now: At) -> bool {
        let fails = self.consecutive_failures >= rules.failures && self.reach == Reach::Unknown;
        let fresh = self.failing_since.is_some_and(|since| now.since(since) < A_CHECK);
        self.failed_probes == Some(0) && fails && fresh && !self.passes_since() && !self.is_down(rules)
    }

    /// Did it fail, or refuse, so lately that this is still so?
    pub(super) fn fails_still(&self, now: At) -> bool {
        self.last_failure.is_some_and(|last| now.since(last) < STALE) || self.refuses()
    }

    /// Its breaker is open, by evidence.
    pub(super) fn refuses(&self) -> bool {
        self.breaker.is_some_and(|breaker| breaker.state == BreakerState::Open && !breaker.held)
    }
}

impl Detector {
    pub(super) fn service_down(
        &self,
        policy: &DetectPolicy,
        upstream: &UpstreamReading,
        severity: Severity,
        now: At,
    ) -> Finding {
        let rules = &policy.down;
        let failures = upstream.consecutive_failures + upstream.failed_probes.unwrap_or(0);
        let sign = match (upstream.is_down(rules), failures) {
            (true, _) if upstream.fails_still(now) => Sign::Bad,
            (true, _) => Sign::Blind,
            (false, 0) if upstream.last_success.is_none() => Sign::Blind,
            (false, 0) => Sign::Good,
            // No exchange ends a row of failures while none is let through: its checks say how it is.
            (false, _) if upstream.is_held_open() && upstream.is_checked_well() => Sign::Good,
            (false, _) if upstream.reach == Reach::One && upstream.failed_probes.unwrap_or(0) == 0 => {
                Sign::Good
            }
            (false, _) => Sign::Between,
        };
        let since = upstream.failing_since.unwrap_or(now);
        // Three failures prove nothing half a minute later: it still has to fail then.
        let ripe = upstream.last_failure.is_some_and(|last| last.since(since) >= rules.confirm);
        Finding {
            key: self.key(Rule::ServiceDown, &upstream.name),
            look: AlertLook { sign, ripe, first_bad: Some(since), well_now: false },
            severity,
            policy: AlertPolicy { clear_after: policy.clear_after, ..AlertPolicy::default() },
            cause: Some(self.blamed(&upstream.name)),
            says: (sign == Sign::Bad).then(|| says(upstream, now)),
        }
    }
}

fn says(upstream: &UpstreamReading, now: At) -> Says {
    let ago = |at: At| format!("{} s ago", now.since(at).as_secs());
    let probes = upstream.failed_probes.map_or("-".to_owned(), |probes| probes.to_string());
    let minute = upstream.counts.m1;
    Says::new(
        format!("{} is down", upstream.name),
        [
            ("consecutive_failures", upstream.consecutive_failures.to_string()),
            ("failed_probes", probes),
            ("last_success", upstream.last_success.map_or("never".to_owned(), ago)),
            ("bad_of_last_minute", format!("{} of {}", minute.bad, minute.total())),
            ("in_flight", upstream.in_flight.to_string()),
        ],
    )
}
