//! `[incidents]`: what makes one.

use std::collections::BTreeMap;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::resources::{MachineConfig, ResourcesFile};
use super::slo::Slo;
use crate::config::problem::{DAY, HOUR, Part, did_you_mean};
use crate::config::upstream::is_known;
use crate::config::word::OneOf;
use crate::reliability::detect::{
    DetectPolicy, DownPolicy, ErrorPolicy, LatencyBudget, LatencyPolicy, NetworkPolicy, PaymentPolicy,
};
use crate::reliability::engine::EnginePolicy;
use crate::reliability::escalation::EscalationPolicy;
use crate::reliability::rule::{Rule, Severity};
use crate::reliability::slo::Objective;
use crate::units::{Percent, Text};

/// The table `[incidents]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IncidentsFile {
    /// Rules that find nothing.
    pub off: Vec<OneOf<Rule>>,
    /// An upstream behind the ingress that nobody could connect to since the start is not down yet.
    pub grace: Text<Duration>,
    /// An incident ends when its subject has been good for so long.
    pub clear_after: Text<Duration>,
    /// Upstreams whose failure is critical, beside the backend.
    pub important: Vec<String>,
    /// Stakeholders hear of suspicions from this severity on.
    pub suspicions_from: OneOf<Severity>,
    /// An incident of the same identity as one that ended this recently is linked to it.
    pub reopen_within: Text<Duration>,
    /// How long closed incidents stay in memory; after that the store alone has them.
    pub keep: Text<Duration>,
    /// An incident whose subject has not been observed for so long is over.
    pub gone_after: Text<Duration>,
    /// Rule `service_down`: an upstream answers nobody.
    pub down: DownFile,
    /// Rule `error_rate`: more bad replies than `slo.success` allows.
    pub errors: ErrorsFile,
    /// Rule `latency`: slower than the route's budget.
    pub latency: LatencyRuleFile,
    /// Rule `network_down`: several upstreams fail at once.
    pub network: NetworkFile,
    /// Rules `payment_failure` and `decline_rate`.
    pub payments: PaymentsFile,
    /// Rule `resource`: processor, memory, disk or network is short.
    pub resources: ResourcesFile,
}

/// Where the numbers of rules are from stands at their policies ([`detect`](crate::reliability::detect::DetectPolicy)).
impl Default for IncidentsFile {
    fn default() -> Self {
        let policy = EnginePolicy::default();
        let detect = policy.detect;
        Self {
            off: detect.off.into_iter().map(OneOf).collect(),
            grace: Text(detect.grace),
            clear_after: Text(detect.clear_after),
            important: detect.important,
            suspicions_from: OneOf(policy.suspicions_from),
            reopen_within: Text(policy.reopen_within),
            keep: Text(policy.keep),
            gone_after: Text(policy.gone_after),
            down: DownFile::default(),
            errors: ErrorsFile::default(),
            latency: LatencyRuleFile::default(),
            network: NetworkFile::default(),
            payments: PaymentsFile::default(),
            resources: ResourcesFile::default(),
        }
    }
}

/// The table `[incidents.down]`: the rule `service_down`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DownFile {
    /// Failures in a row that make it suspected.
    pub failures: u32,
    /// Failed checks in a row that make it suspected.
    pub probes: u32,
    /// Failures, and no success, over so long confirm it, and somebody is called.
    pub confirm: Text<Duration>,
}

impl Default for DownFile {
    fn default() -> Self {
        let DownPolicy { failures, probes, confirm } = DetectPolicy::default().down;
        Self { failures, probes, confirm: Text(confirm) }
    }
}

/// `[incidents.errors]`; the threshold is what `slo.success` allows.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ErrorsFile {
    /// Fewer bad replies prove nothing.
    pub least_bad: u64,
    /// Chance alone makes it suspected once in so many looks.
    pub suspect_odds: u64,
    /// Chance alone calls somebody once in so many looks.
    pub page_odds: u64,
    /// A suspicion that lasts so long is confirmed, and somebody is called.
    pub confirm: Text<Duration>,
}

impl Default for ErrorsFile {
    fn default() -> Self {
        // What is promised is written in `[slo]`.
        let ErrorPolicy { objective: _, suspect, page, least_bad, confirm } = DetectPolicy::default().errors;
        Self { least_bad, suspect_odds: odds(suspect), page_odds: odds(page), confirm: Text(confirm) }
    }
}

/// `[incidents.latency]`; the thresholds are those of `[latency]` and of routes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LatencyRuleFile {
    /// Chance alone makes it suspected once in so many looks.
    pub suspect_odds: u64,
    /// Chance alone calls somebody once in so many looks.
    pub page_odds: u64,
    /// A suspicion that lasts so long is confirmed, and somebody is called.
    pub confirm: Text<Duration>,
}

impl Default for LatencyRuleFile {
    fn default() -> Self {
        // Budgets are written in `[latency]` and at routes.
        let LatencyPolicy { budget: _, classes: _, suspect, page, confirm } = DetectPolicy::default().latency;
        Self { suspect_odds: odds(suspect), page_odds: odds(page), confirm: Text(confirm) }
    }
}

/// The table `[incidents.network]`: the rule `network_down`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkFile {
    /// So many breakers that open, or upstreams that fail their checks, this close together are one incident.
    pub upstreams: u32,
    /// The longest time between the first and the last of those upstreams.
    pub within: Text<Duration>,
    /// How long a breaker's incident waits for a second upstream to fail, while all others are well.
    pub alone: Text<Duration>,
}

impl Default for NetworkFile {
    fn default() -> Self {
        let NetworkPolicy { upstreams, within, alone } = DetectPolicy::default().network;
        Self { upstreams: upstreams as u32, within: Text(within), alone: Text(alone) }
    }
}

/// The table `[incidents.payments]`: the rules `payment_failure` and `decline_rate`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PaymentsFile {
    /// Share of processor failures (5xx, timeouts, 429) that is an incident.
    pub failures: Text<Percent>,
    /// Failures for so long confirm the incident, and somebody is called.
    pub confirm: Text<Duration>,
    /// Declines are unusual over the usual share times this.
    pub declines_factor: f64,
    /// Decisions of three days that make a share the usual one.
    pub usual_from: u64,
}

impl Default for PaymentsFile {
    fn default() -> Self {
        let PaymentPolicy { failures, confirm, declines, usual_from } = DetectPolicy::default().payments;
        let failures = Text(Percent::of_ratio(failures));
        Self { failures, confirm: Text(confirm), declines_factor: declines, usual_from }
    }
}

/// What is decided elsewhere and belongs to it.
pub(super) struct IncidentContext<'a> {
    pub(super) slo: Slo,
    pub(super) budget: LatencyBudget,
    /// Routes with a budget of their own, or none.
    pub(super) classes: BTreeMap<String, Option<LatencyBudget>>,
    pub(super) escalation: EscalationPolicy,
    /// Upstreams that there are.
    pub(super) upstreams: &'a [&'a str],
}

impl IncidentsFile {
    pub(super) fn check(
        &self,
        mut at: Part<'_, '_>,
        beside: IncidentContext<'_>,
    ) -> (EnginePolicy, MachineConfig) {
        self.important(&mut at, beside.upstreams);
        let (resources, machine) = self.resources.check(&mut at.part("resources"));
        let detect = DetectPolicy {
            off: self.off.iter().map(|OneOf(rule)| *rule).collect(),
            grace: at.lasts("grace", self.grace, 0, HOUR),
            clear_after: at.lasts("clear_after", self.clear_after, 1, DAY),
            important: self.important.clone(),
            down: self.down.check(at.part("down")),
            errors: self.errors.check(at.part("errors"), beside.slo),
            latency: self.latency.check(at.part("latency"), beside.budget, beside.classes),
            network: self.network.check(at.part("network")),
            resources,
            payments: self.payments.check(at.part("payments")),
        };
        let policy = EnginePolicy {
            detect,
            escalation: beside.escalation,
            suspicions_from: self.suspicions_from.0,
            reopen_within: at.lasts("reopen_within", self.reopen_within, 0, 30 * DAY),
            keep: at.lasts("keep", self.keep, 60, 30 * DAY),
            gone_after: at.lasts("gone_after", self.gone_after, 10, DAY),
        };
        (policy, machine)
    }

    /// Each is an upstream of this file, or one of the guide's services, which need not be here.
    fn important(&self, at: &mut Part<'_, '_>, upstreams: &[&str]) {
        let known = |name: &str| upstreams.contains(&name) || is_known(name);
        for (nth, name) in self.important.iter().enumerate().filter(|(_, name)| !known(name)) {
            let guess = did_you_mean(name, upstreams.iter().copied());
            at.add(&format!("important.{nth}"), format!("no upstream is named {name:?}{guess}"));
        }
    }
}

impl DownFile {
    fn check(&self, mut at: Part<'_, '_>) -> DownPolicy {
        DownPolicy {
            failures: at.within("failures", self.failures, 1, 10_000),
            probes: at.within("probes", self.probes, 1, 10_000),
            confirm: at.lasts("confirm", self.confirm, 0, HOUR),
        }
    }
}

/// Once in so many looks, from how probable it is per look.
fn odds(chance: f64) -> u64 {
    (1.0 / chance).round() as u64
}

/// How probably chance alone does it, from "once in so many looks": calling somebody takes more than a suspicion.
fn chances(at: &mut Part<'_, '_>, suspect: u64, page: u64) -> (f64, f64) {
    if page < suspect {
        let told = "is less than suspect_odds: it would call somebody sooner than it suspects";
        at.add("page_odds", format!("{page} {told}; write at least {suspect}"));
    }
    let mut chance = |key: &str, odds: u64| 1.0 / at.within(key, odds, 10, 1_000_000_000_000) as f64;
    (chance("suspect_odds", suspect), chance("page_odds", page))
}

impl ErrorsFile {
    fn check(&self, mut at: Part<'_, '_>, slo: Slo) -> ErrorPolicy {
        let (suspect, page) = chances(&mut at, self.suspect_odds, self.page_odds);
        ErrorPolicy {
            objective: Objective { target: slo.success.ratio() },
            suspect,
            page,
            least_bad: at.within("least_bad", self.least_bad, 1, 1_000_000),
            confirm: at.lasts("confirm", self.confirm, 0, HOUR),
        }
    }
}

impl LatencyRuleFile {
    fn check(
        &self,
        mut at: Part<'_, '_>,
        budget: LatencyBudget,
        classes: BTreeMap<String, Option<LatencyBudget>>,
    ) -> LatencyPolicy {
        let (suspect, page) = chances(&mut at, self.suspect_odds, self.page_odds);
        LatencyPolicy { budget, classes, suspect, page, confirm: at.lasts("confirm", self.confirm, 0, HOUR) }
    }
}

impl NetworkFile {
    fn check(&self, mut at: Part<'_, '_>) -> NetworkPolicy {
        if self.alone > self.within {
            at.add("alone", "is longer than within; write at most as much");
        }
        NetworkPolicy {
            upstreams: at.within("upstreams", self.upstreams as usize, 2, 1_000),
            within: at.lasts("within", self.within, 1, HOUR),
            alone: self.alone.0,
        }
    }
}

impl PaymentsFile {
    fn check(&self, mut at: Part<'_, '_>) -> PaymentPolicy {
        let failures = self.failures.0.ratio();
        if failures <= 0.0 || failures >= 1.0 {
            at.add("failures", "must be above 0% and below 100%");
        }
        PaymentPolicy {
            failures,
            confirm: at.lasts("confirm", self.confirm, 0, HOUR),
            declines: at.within("declines_factor", self.declines_factor, 1.0, 100.0),
            usual_from: at.within("usual_from", self.usual_from, 1, 1_000_000),
        }
    }
}
