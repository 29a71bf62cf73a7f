//! What do the readings say? Each rule looks at its numbers and says good, bad, between or blind.
//!
//! It refuses to know incidents: the engine keeps one alert per finding and decides what belongs together. What must be
//! remembered between looks (when a breaker opened, when errors began, how many samples were high) is remembered here.

mod describe;
mod down;
mod machine;
mod network;
mod payments;
mod policy;
mod routes;
mod streak;
mod upstreams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::alert::{AlertLook, AlertPolicy, Sign};
use super::counts::{Counts, Windows};
use super::readings::{Readings, Resource};
use super::rule::{AlertKey, Rule, Severity};
use super::significance::above;
use crate::units::At;
pub use policy::{
    DetectPolicy, DownPolicy, ErrorPolicy, LatencyBudget, LatencyPolicy, NetworkPolicy, PaymentPolicy,
    PercentileLimits, ResourcePolicy,
};
pub use routes::{BudgetState, budget_state};
use streak::Streak;

/// The service of an incident that is the network's.
pub const NETWORK: &str = "network";

/// What one rule says about one thing.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule, and what it speaks about.
    pub key: AlertKey,
    /// What the evidence says now.
    pub look: AlertLook,
    /// How bad it is, if it is.
    pub severity: Severity,
    /// How long it takes.
    pub policy: AlertPolicy,
    /// The service whose incident, if there is one, explains this.
    pub cause: Option<Arc<str>>,
    /// What people are told; only of bad ones.
    pub says: Option<Says>,
}

/// What people are told.
#[derive(Clone, Debug, Default)]
pub struct Says {
    /// One line, the title of the incident.
    pub title: String,
    /// Measured values by name, as they were.
    pub evidence: Vec<(String, String)>,
}

impl Says {
    fn new<const N: usize>(title: String, evidence: [(&str, String); N]) -> Self {
        Self { title, evidence: evidence.map(|(name, value)| (name.to_owned(), value)).into() }
    }
}

/// The rules, and what they remember.
#[derive(Debug)]
pub struct Detector {
    born: At,
    nothing: Arc<str>,
    network: Arc<str>,
    /// Breakers that are not closed, and when they opened.
    opened: BTreeMap<Arc<str>, At>,
    /// The upstreams that went together.
    members: Vec<Arc<str>>,
    /// Upstreams of which a check is about to say whether they are down.
    undecided: Vec<Arc<str>>,
    /// Since when there have been errors, by key of a rule, with no clean minute between.
    spells: BTreeMap<AlertKey, At>,
    /// When the errors of a route class last were more than chance and more than a slow burn.
    spikes: BTreeMap<Arc<str>, At>,
    streaks: BTreeMap<(Resource, Arc<str>), Streak>,
}

impl Detector {
    /// A detector that begins at `now` and has seen nothing.
    pub fn new(now: At) -> Self {
        Self {
            born: now,
            nothing: Arc::from(""),
            network: Arc::from(NETWORK),
            opened: BTreeMap::new(),
            members: Vec::new(),
            undecided: Vec::new(),
            spells: BTreeMap::new(),
            spikes: BTreeMap::new(),
            streaks: BTreeMap::new(),
        }
    }

    /// What it remembers by a clock that runs `millis` ahead of the one before.
    pub fn shift(&mut self, millis: i64) {
        // All fields by name: a new one that remembers a moment belongs here, too.
        let Self { born, nothing: _, network: _, opened, members: _, undecided: _, spells, spikes, streaks } =
            self;
        let streaks = streaks.values_mut().filter_map(Streak::since_mut);
        let remembered = opened.values_mut().chain(spells.values_mut()).chain(spikes.values_mut());
        for at in remembered.chain(streaks).chain([born]) {
            *at = at.moved(millis);
        }
    }

    /// The upstreams of the network's incident, while it lasts.
    pub fn members(&self) -> &[Arc<str>] {
        &self.members
    }

    /// One look at everything; the strongest causes first.
    pub fn look(&mut self, policy: &DetectPolicy, readings: &Readings, now: At) -> Vec<Finding> {
        let mut found = Vec::new();
        self.upstreams(policy, readings, now, &mut found);
        for payment in &readings.payments {
            self.payments(policy, payment, now, &mut found);
        }
        for route in &readings.routes {
            self.route(policy, route, now, &mut found);
        }
        for resource in &readings.resources {
            self.resource(policy, resource, now, &mut found);
        }
        self.reported(policy, readings, &mut found);
        found.retain(|finding| policy.runs(finding.key.rule));
        found.sort_by_key(|finding| finding.key.rule);
        found
    }

    fn reported(&self, policy: &DetectPolicy, readings: &Readings, found: &mut Vec<Finding>) {
        found.extend(readings.reported.iter().map(|one| {
            Finding {
                key: AlertKey {
                    rule: Rule::Reported,
                    service: Arc::clone(&one.service),
                    scope: Arc::clone(&one.scope),
                },
                look: AlertLook { sign: one.sign, ripe: true, first_bad: one.first_bad, well_now: false },
                severity: one.severity,
                policy: AlertPolicy {
                    confirm: one.confirm,
                    clear_after: policy.clear_after,
                    ..AlertPolicy::default()
                },
                cause: None,
                says: (one.sign == Sign::Bad)
                    .then(|| Says { title: one.title.clone(), evidence: one.evidence.clone() }),
            }
        }));
    }

    fn key(&self, rule: Rule, service: &Arc<str>) -> AlertKey {
        AlertKey { rule, service: Arc::clone(service), scope: Arc::clone(&self.nothing) }
    }

    /// When the errors of `key` began: remembered until there was a clean minute, but not older than the
    /// window that proves them.
    fn spell(&mut self, key: &AlertKey, windows: &Windows, proof: Option<Duration>, now: At) -> Option<At> {
        if windows.m1.bad == 0 && windows.s1.bad == 0 {
            self.spells.remove(key);
        } else if !self.spells.contains_key(key) {
            self.spells.insert(key.clone(), now - Duration::from_secs(1));
        }
        let proof = proof?;
        Some(self.spells.get(key).copied().unwrap_or(now).max(now - proof))
    }
}

/// What counts over several windows say about a share that is too high.
#[derive(Clone, Copy, Debug)]
struct Test {
    limit: f64,
    alpha: f64,
    least_bad: u64,
}

impl Test {
    fn proves(self, counts: Counts) -> bool {
        counts.bad >= self.least_bad && above(counts.bad, counts.total(), self.limit, self.alpha)
    }

    /// The shortest window that proves it.
    fn proof(self, windows: &Windows) -> Option<Duration> {
        let seconds = if self.proves(windows.s5) {
            5
        } else if self.proves(windows.s10) {
            10
        } else if self.proves(windows.s20) {
            20
        } else if self.proves(windows.m1) {
            60
        } else if windows.m1.bad > 0 && self.proves(windows.m5) {
            300
        } else {
            return None;
        };
        Some(Duration::from_secs(seconds))
    }

    /// Is it so at this moment? The last seconds with traffic hint at it. What was bad a while ago and is not any more
    /// calls nobody, and nor does silence.
    fn is_so_now(self, windows: &Windows) -> bool {
        let recent = last_seconds(windows);
        hints(recent.bad, recent.total(), self.limit)
    }

    /// Is it well at this moment, whatever the minutes before prove? The last seconds with traffic do not hint at half of
    /// the limit; silence is not well.
    fn is_well_now(self, windows: &Windows) -> bool {
        let recent = last_seconds(windows);
        recent.total() > 0 && !hints(recent.bad, recent.total(), self.limit / 2.0)
    }

    /// Bad when proven; good when the last minute does not even hint at half of the limit; blind when
    /// nothing came in it.
    fn sign(self, windows: &Windows, proof: Option<Duration>) -> Sign {
        let recent = windows.m1;
        if proof.is_some() {
            Sign::Bad
        } else if recent.total() == 0 {
            Sign::Blind
        } else if hints(recent.bad, recent.total(), self.limit / 2.0) {
            Sign::Between
        } else {
            Sign::Good
        }
    }
}

/// The last seconds that have traffic, up to twenty.
fn last_seconds(windows: &Windows) -> Counts {
    if windows.s10.total() > 0 { windows.s10 } else { windows.s20 }
}

/// Would chance alone do that less than once in ten times?
fn hints(bad: u64, total: u64, limit: f64) -> bool {
    above(bad, total, limit, 0.1)
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.2}%", part as f64 * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests;
