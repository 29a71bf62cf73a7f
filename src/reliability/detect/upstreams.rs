//! What is the matter with an upstream: is it down, is its breaker open, is it one of many?

use std::sync::Arc;

use super::down::STALE;
use super::network::company;
use super::{DetectPolicy, Detector, Finding, Says};
use crate::reliability::alert::{AlertLook, AlertPolicy, Sign};
use crate::reliability::breaker::BreakerState;
use crate::reliability::readings::{BreakerReading, FailureScope, Readings, UpstreamReading};
use crate::reliability::rule::{AlertKey, Rule, Severity};
use crate::units::At;

impl Detector {
    pub(super) fn upstreams(
        &mut self,
        policy: &DetectPolicy,
        readings: &Readings,
        now: At,
        found: &mut Vec<Finding>,
    ) {
        self.remember_openings(readings, now);
        found.push(self.network_down(policy, readings, now));
        let undecided = readings.upstreams.iter().filter(|one| one.is_undecided(&policy.down, now));
        self.undecided = undecided.map(|one| Arc::clone(&one.name)).collect();
        for upstream in &readings.upstreams {
            let young = self.is_young(policy, upstream, now);
            let critical =
                policy.is_important(&upstream.name) || readings.backend.as_ref() == Some(&upstream.name);
            let severity = if critical { Severity::Critical } else { Severity::High };
            let mut down = self.service_down(policy, upstream, severity, now);
            let severity = if critical { Severity::High } else { Severity::Medium };
            let mut breaker = upstream.breaker.map(|breaker| self.breaker(upstream, breaker, severity, now));
            if let Some(breaker) = &mut breaker {
                breaker.policy.confirm = company(policy, readings, upstream, now);
            }
            for finding in std::iter::once(&mut down).chain(&mut breaker).filter(|_| young) {
                finding.look.sign = Sign::Blind;
                finding.says = None;
            }
            found.push(down);
            found.extend(breaker);
        }
    }

    /// What starts beside Strop may take a while until it listens. Whoever answers has started.
    pub(super) fn is_young(&self, policy: &DetectPolicy, upstream: &UpstreamReading, now: At) -> bool {
        let started = upstream.last_success.is_some() || upstream.failing == FailureScope::Answers;
        upstream.beside && !started && now.since(self.born) < policy.grace
    }

    fn breaker(
        &self,
        upstream: &UpstreamReading,
        breaker: BreakerReading,
        severity: Severity,
        now: At,
    ) -> Finding {
        let sign = sign_of(upstream, breaker, now);
        let first = upstream.failing_since.unwrap_or(breaker.since).min(breaker.since);
        let opened = self.opened.get(&upstream.name).copied().unwrap_or(breaker.since);
        Finding {
            key: self.key(Rule::Breaker, &upstream.name),
            look: AlertLook { sign, ripe: true, first_bad: Some(first.max(opened - STALE)), well_now: false },
            severity,
            policy: AlertPolicy { clear_after: breaker.open_for * 2, ..AlertPolicy::default() },
            cause: Some(self.blamed(&upstream.name)),
            says: (sign == Sign::Bad).then(|| {
                let since = now.since(opened).as_secs().to_string();
                let counts = upstream.counts.m1;
                Says::new(
                    format!("the breaker of {} is {}", upstream.name, breaker.state.label()),
                    [
                        ("open_seconds", since),
                        ("bad_of_last_minute", format!("{} of {}", counts.bad, counts.total())),
                    ],
                )
            }),
        }
    }

    /// Who is to blame for what `service` suffers: the network while it is down for it, otherwise itself.
    pub(super) fn blamed(&self, service: &Arc<str>) -> Arc<str> {
        Arc::clone(if self.members.contains(service) { &self.network } else { service })
    }

    /// The upstream that at least half of the last minute's trouble came from.
    pub(super) fn culprit(&self, by: &[(Arc<str>, u64)], of: u64) -> Option<Arc<str>> {
        by.iter().find(|(_, count)| *count > 0 && count * 2 >= of).map(|(name, _)| self.blamed(name))
    }

    pub(super) fn scoped(&self, rule: Rule, service: &Arc<str>, scope: &str) -> AlertKey {
        AlertKey { rule, service: Arc::clone(service), scope: Arc::from(scope) }
    }
}

/// What a breaker's state says of its upstream. An operator's order is no evidence, in either direction; nor is a
/// half-open breaker that nobody has asked for anything: it does not know.
fn sign_of(upstream: &UpstreamReading, breaker: BreakerReading, now: At) -> Sign {
    let failed_last = upstream.last_failure > upstream.last_success;
    match breaker.state {
        _ if breaker.held => Sign::Blind,
        BreakerState::Open => Sign::Bad,
        BreakerState::HalfOpen if upstream.last_success > Some(breaker.since) && !failed_last => {
            Sign::Between
        }
        BreakerState::HalfOpen if upstream.last_failure.is_some_and(|last| now.since(last) < STALE) => {
            Sign::Bad
        }
        BreakerState::HalfOpen => Sign::Blind,
        // Closed by an order, or by a start, and what was seen last, if anything, was a failure.
        BreakerState::Closed if failed_last || upstream.seen().is_none() => Sign::Blind,
        BreakerState::Closed => Sign::Good,
    }
}
