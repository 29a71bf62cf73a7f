//! Is a dependency down, is its breaker open, are many gone at once?

use std::sync::Arc;
use std::time::Duration;

use super::{DetectPolicy, Detector, Finding, Says};
use crate::reliability::alert::{AlertPolicy, Look, Sign};
use crate::reliability::breaker::BreakerState;
use crate::reliability::readings::{BreakerReading, Readings, UpstreamReading};
use crate::reliability::rule::{Key, Rule, Severity};
use crate::units::At;

/// A streak of failures without a new one for this long says nothing any more.
const STALE: Duration = Duration::from_secs(60);

impl Detector {
    pub(super) fn upstreams(
        &mut self,
        policy: &DetectPolicy,
        readings: &Readings,
        now: At,
        found: &mut Vec<Finding>,
    ) {
        self.remember_openings(readings, now);
        found.extend(self.network_down(policy, readings));
        for upstream in &readings.upstreams {
            let young = upstream.last_success.is_none() && now.since(self.born) < policy.grace;
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

    fn remember_openings(&mut self, readings: &Readings, now: At) {
        for upstream in &readings.upstreams {
            match upstream.breaker {
                Some(breaker) if breaker.state != BreakerState::Closed && !breaker.held => {
                    if !self.opened.contains_key(&upstream.name) {
                        self.opened.insert(Arc::clone(&upstream.name), breaker.since.min(now));
                    }
                }
                Some(_) | None => {
                    self.opened.remove(&upstream.name);
                }
            }
        }
        self.opened.retain(|name, _| readings.upstreams.iter().any(|upstream| upstream.name == *name));
    }

    /// Three or more breakers that opened within five seconds of each other are not three faults.
    fn network_down(&mut self, policy: &DetectPolicy, readings: &Readings) -> Option<Finding> {
        let needed = policy.network.upstreams.max(2);
        let mut openings: Vec<_> = self.opened.iter().map(|(name, at)| (*at, name)).collect();
        openings.sort();
        let together = openings
            .windows(needed)
            .filter(
                |group| matches!(group, [first, .., last] if last.0.since(first.0) <= policy.network.within),
            )
            .flatten();
        let fresh: Vec<Arc<str>> = together.map(|(_, name)| Arc::clone(name)).collect();
        let first = openings.iter().filter(|(_, name)| fresh.contains(name)).map(|(at, _)| *at).min();
        for name in &fresh {
            if !self.members.contains(name) {
                self.members.push(Arc::clone(name));
            }
        }
        let still = self.members.iter().filter(|name| self.opened.contains_key(*name)).count();
        let sign = match still {
            _ if readings.upstreams.is_empty() => Sign::Blind,
            _ if still >= needed && (!fresh.is_empty() || self.members.len() >= needed) => Sign::Bad,
            _ if still * 2 >= needed => Sign::Between,
            _ => Sign::Good,
        };
        if sign == Sign::Good && still == 0 {
            self.members.clear();
        }
        let names = self.members.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
        Some(Finding {
            key: self.key(Rule::NetworkDown, &self.network),
            look: Look { sign, ripe: true, first_bad: first },
            severity: Severity::Critical,
            policy: AlertPolicy { clear_after: policy.clear_after, ..AlertPolicy::default() },
            cause: Some(Arc::clone(&self.network)),
            says: (sign == Sign::Bad)
                .then(|| Says::new(format!("{still} upstreams went down together"), [("upstreams", names)])),
        })
    }

    fn service_down(
        &self,
        policy: &DetectPolicy,
        upstream: &UpstreamReading,
        severity: Severity,
        now: At,
    ) -> Finding {
        let failures = upstream.consecutive_failures;
        let probes = upstream.failed_probes.unwrap_or(0);
        let many = failures >= policy.down.failures || probes >= policy.down.probes;
        let fresh = upstream.last_failure.is_some_and(|last| now.since(last) < STALE);
        let refusing = upstream.breaker.is_some_and(|breaker| breaker.state != BreakerState::Closed);
        let sign = match (many, failures + probes) {
            (true, _) if fresh || refusing => Sign::Bad,
            (true, _) => Sign::Blind,
            (false, 0) if upstream.last_success.is_none() => Sign::Blind,
            (false, 0) => Sign::Good,
            (false, _) => Sign::Between,
        };
        let since = upstream.failing_since.unwrap_or(now);
        let says = || {
            let last = upstream
                .last_success
                .map_or("never".to_owned(), |at| format!("{} s ago", now.since(at).as_secs()));
            Says::new(
                format!("{} is down", upstream.name),
                [
                    ("consecutive_failures", failures.to_string()),
                    (
                        "failed_probes",
                        upstream.failed_probes.map_or("-".to_owned(), |probes| probes.to_string()),
                    ),
                    ("last_success", last),
                    (
                        "bad_of_last_minute",
                        format!("{} of {}", upstream.counts.m1.bad, upstream.counts.m1.total()),
                    ),
                    ("in_flight", upstream.in_flight.to_string()),
                ],
            )
        };
        Finding {
            key: self.key(Rule::ServiceDown, &upstream.name),
            look: Look { sign, ripe: now.since(since) >= policy.down.confirm, first_bad: Some(since) },
            severity,
            policy: AlertPolicy { clear_after: policy.clear_after, ..AlertPolicy::default() },
            cause: Some(self.blamed(&upstream.name)),
            says: (sign == Sign::Bad).then(says),
        }
    }

    fn breaker(
        &self,
        upstream: &UpstreamReading,
        breaker: BreakerReading,
        severity: Severity,
        now: At,
    ) -> Finding {
        let sign = match breaker.state {
            _ if breaker.held => Sign::Between,
            BreakerState::Open | BreakerState::HalfOpen => Sign::Bad,
            BreakerState::Closed => Sign::Good,
        };
        let first = upstream.failing_since.unwrap_or(breaker.since).min(breaker.since);
        let opened = self.opened.get(&upstream.name).copied().unwrap_or(breaker.since);
        Finding {
            key: self.key(Rule::Breaker, &upstream.name),
            look: Look { sign, ripe: true, first_bad: Some(first.max(opened - STALE)) },
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

    /// The upstream that more than half of the last minute's trouble came from.
    pub(super) fn culprit(&self, by: &[(Arc<str>, u64)], of: u64) -> Option<Arc<str>> {
        by.iter().find(|(_, count)| *count > 0 && count * 2 >= of).map(|(name, _)| self.blamed(name))
    }

    pub(super) fn scoped(&self, rule: Rule, service: &Arc<str>, scope: &str) -> Key {
        Key { rule, service: Arc::clone(service), scope: Arc::from(scope) }
    }
}

/// How long the open breaker of `own` waits for company: together with others it would be the network's incident.
fn company(policy: &DetectPolicy, readings: &Readings, own: &UpstreamReading, now: At) -> Duration {
    let network = &policy.network;
    let others =
        || readings.upstreams.iter().filter(|other| other.name != own.name && other.breaker.is_some());
    if !policy.runs(Rule::NetworkDown) || others().count() + 1 < network.upstreams.max(2) {
        return Duration::ZERO;
    }
    let fails = |other: &UpstreamReading| {
        let trouble = other.consecutive_failures > 0 || other.failed_probes.unwrap_or(0) > 0;
        let opened = other.breaker.filter(|breaker| breaker.state == BreakerState::Open && !breaker.held);
        let near = |at: At| now.since(at) <= network.within;
        trouble && other.last_failure.is_some_and(near) || opened.is_some_and(|breaker| near(breaker.since))
    };
    if others().any(fails) { network.within } else { network.alone.min(network.within) }
}
