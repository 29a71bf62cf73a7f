//! Are many upstreams gone at once? Then it is not each of them.
//!
//! A breaker that opened says so, and so do checks. A breaker opens in a moment that is known; what checks find was
//! gone some time between the last that passed and the first that failed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{DetectPolicy, Detector, Finding, Says};
use crate::reliability::alert::{AlertLook, AlertPolicy, Sign};
use crate::reliability::breaker::BreakerState;
use crate::reliability::readings::{Readings, UpstreamReading};
use crate::reliability::rule::{Rule, Severity};
use crate::units::At;

/// What checks say of the time before the first that failed: no more than this. A choice for upstreams that are checked
/// less often: by default there are 10 s between two checks.
const BETWEEN_CHECKS: Duration = Duration::from_secs(60);

/// An upstream that is gone, or fails its checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoneUpstream {
    /// It was there until then …
    earliest: At,
    /// … and was not any more then.
    known: At,
    sure: Sure,
    /// Its breaker has opened.
    opened: bool,
    fails_still: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sure {
    /// A check has failed, too few to say so.
    NotYet,
    Yes,
}

impl GoneUpstream {
    /// Half a vote for whom it is not sure of.
    fn votes(self) -> usize {
        match self.sure {
            Sure::NotYet => 1,
            Sure::Yes => 2,
        }
    }
}

impl Detector {
    /// Breakers that are not closed by evidence, and since when.
    pub(super) fn remember_openings(&mut self, readings: &Readings, now: At) {
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

    fn gone(&self, policy: &DetectPolicy, upstream: &UpstreamReading, now: At) -> Option<GoneUpstream> {
        let fails_still = upstream.fails_still(now);
        if let Some(at) = self.opened.get(&upstream.name) {
            return Some(GoneUpstream {
                earliest: *at,
                known: *at,
                sure: Sure::Yes,
                opened: true,
                fails_still,
            });
        }
        let missed = upstream.failed_probes.is_some_and(|probes| probes > 0);
        let down = upstream.is_down(&policy.down);
        let known =
            upstream.failing_since.filter(|_| (missed || down) && !self.is_young(policy, upstream, now))?;
        let passed = upstream.last_success.filter(|_| missed);
        let earliest = passed.map_or(known, |passed| passed.max(known - BETWEEN_CHECKS).min(known));
        let sure = if down { Sure::Yes } else { Sure::NotYet };
        Some(GoneUpstream { earliest, known, sure, opened: false, fails_still })
    }

    /// Three or more that went within five seconds of each other are not three faults.
    pub(super) fn network_down(&mut self, policy: &DetectPolicy, readings: &Readings, now: At) -> Finding {
        let needed = policy.network.upstreams.max(2);
        let named = |one: &UpstreamReading| Some((Arc::clone(&one.name), self.gone(policy, one, now)?));
        let gone: BTreeMap<Arc<str>, GoneUpstream> = readings.upstreams.iter().filter_map(named).collect();
        let fresh = together(&gone, needed, policy.network.within);
        for name in &fresh {
            if !self.members.contains(name) {
                self.members.push(Arc::clone(name));
            }
        }
        let still: Vec<GoneUpstream> =
            self.members.iter().filter_map(|name| gone.get(name).copied()).collect();
        let sure = still.iter().filter(|one| one.sure == Sure::Yes).count();
        let sign = match still.len() {
            _ if readings.upstreams.is_empty() => Sign::Blind,
            many if many * 2 >= needed && !still.iter().any(|one| one.fails_still) => Sign::Blind,
            many if many >= needed && sure > 0 => Sign::Bad,
            many if many * 2 >= needed => Sign::Between,
            _ => Sign::Good,
        };
        if sign == Sign::Good && still.is_empty() {
            self.members.clear();
        }
        let opened = still.iter().filter(|one| one.opened).count();
        let names = self.members.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
        Finding {
            key: self.key(Rule::NetworkDown, &self.network),
            look: AlertLook {
                sign,
                ripe: sure >= needed,
                first_bad: still.iter().map(|one| one.known).min(),
                well_now: false,
            },
            severity: Severity::Critical,
            policy: AlertPolicy {
                // Breakers open by the answers of many; checks of one moment may miss together what comes back in the next.
                confirm: if opened >= needed { Duration::ZERO } else { policy.down.confirm },
                clear_after: policy.clear_after,
                ..AlertPolicy::default()
            },
            cause: Some(Arc::clone(&self.network)),
            says: (sign == Sign::Bad).then(|| {
                Says::new(format!("{} upstreams went down together", still.len()), [("upstreams", names)])
            }),
        }
    }
}

/// Those that may have gone within `within` of each other, if they are enough.
fn together(gone: &BTreeMap<Arc<str>, GoneUpstream>, needed: usize, within: Duration) -> Vec<Arc<str>> {
    let mut members: Vec<Arc<str>> = Vec::new();
    for first in gone.values() {
        let group = || {
            let near = |one: &GoneUpstream| one.known >= first.known && one.earliest <= first.known + within;
            gone.iter().filter(move |(_, one)| near(one))
        };
        let sure = group().any(|(_, one)| one.sure == Sure::Yes);
        if sure && group().map(|(_, one)| one.votes()).sum::<usize>() >= needed * 2 {
            members.extend(group().map(|(name, _)| Arc::clone(name)));
        }
    }
    members
}

/// How long the open breaker of `own` waits for company: together with others it would be the network's incident.
pub(super) fn company(
    policy: &DetectPolicy,
    readings: &Readings,
    own: &UpstreamReading,
    now: At,
) -> Duration {
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
