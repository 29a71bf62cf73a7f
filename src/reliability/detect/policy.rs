//! The rules of the guide and those beside them, as data, and where their numbers are from.
//!
//! "The guide" is the SRE guide that Strop implements: its tables of performance budgets, resource thresholds and
//! incident rules. What it leaves open is a choice, and is called one where it stands. The simulation
//! (`tests/simulation/days.rs`) lives through quiet days at the allowed error rate: a choice that calls people without
//! need is seen there.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::reliability::readings::Resource;
use crate::reliability::rule::Rule;
use crate::reliability::slo::Objective;

/// What makes an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectPolicy {
    /// Rules that are off.
    pub off: Vec<Rule>,
    /// After the start, what starts beside Strop and nobody could connect to yet is not down for this long. 30 s, a
    /// choice: as long as the guide lets a service be down before that is an incident.
    pub grace: Duration,
    /// Good for this long ends an incident. 2 min: as long as the guide's runbook asks errors to last
    /// before they are one.
    pub clear_after: Duration,
    /// Upstreams whose failure is critical and whose open breaker is high, beside the backend. Stripe and the database:
    /// the guide's examples of a critical incident are "service down, payment failures, data loss".
    pub important: Vec<String>,
    /// Rule `service_down`: an upstream answers nobody.
    pub down: DownPolicy,
    /// Rule `error_rate`: more bad replies than are allowed.
    pub errors: ErrorPolicy,
    /// Rule `latency`: slower than a route's budget.
    pub latency: LatencyPolicy,
    /// Rule `network_down`: several upstreams gone at once.
    pub network: NetworkPolicy,
    /// Rule `resource`: processor, memory, disk or network is short.
    pub resources: ResourcePolicy,
    /// Rules `payment_failure` and `decline_rate`.
    pub payments: PaymentPolicy,
}

/// When an upstream is down.
#[derive(Clone, Debug, PartialEq)]
pub struct DownPolicy {
    /// Consecutive failures that make it suspected. 3: what the guide's table asks to open most breakers.
    pub failures: u32,
    /// Consecutive failed probes that make it suspected. 3, at one a second while something is wrong: detection takes
    /// well below the guide's 30 s.
    pub probes: u32,
    /// Failures, and no success, over this long since the first one: confirmed. 30 s, the guide's "service downtime".
    pub confirm: Duration,
}

/// When too many replies are bad.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorPolicy {
    /// What is promised. Its share of bad ones is the threshold: 0.1 %, the guide's error rate.
    pub objective: Objective,
    /// How probably chance alone makes it suspected, per look: 10⁻³, a choice: a suspicion calls nobody
    /// and clears by itself.
    pub suspect: f64,
    /// How probably chance alone calls somebody, per look: 10⁻⁶. There are 86 400 looks a day, but
    /// far fewer independent ones.
    pub page: f64,
    /// Fewer bad ones than this prove nothing, however few good ones stand beside them. 3, as failures in a row.
    pub least_bad: u64,
    /// Suspected for this long: confirmed. 2 min, by the guide's runbook ("error rate > 0.1 % for > 2 minutes").
    pub confirm: Duration,
}

/// One percentile's budget. The limits are counted by the shell; here they are text and severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentileLimits {
    /// The target: the first number of the guide's table.
    pub warn: Duration,
    /// The alert threshold: the second number of the guide's table.
    pub alert: Duration,
}

/// The performance budget of a route class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyBudget {
    /// 500 ms and 1 s in the guide.
    pub p50: PercentileLimits,
    /// 2 s and 3 s in the guide.
    pub p95: PercentileLimits,
    /// 5 s and 8 s in the guide: over the first is high, over the second critical.
    pub p99: PercentileLimits,
}

impl LatencyBudget {
    /// Its limits: warn and alert of p50, p95, p99.
    pub fn limits(&self) -> [Duration; 6] {
        [self.p50.warn, self.p50.alert, self.p95.warn, self.p95.alert, self.p99.warn, self.p99.alert]
    }
}

impl Default for LatencyBudget {
    fn default() -> Self {
        let (secs, millis) = (Duration::from_secs, Duration::from_millis);
        Self {
            p50: PercentileLimits { warn: millis(500), alert: secs(1) },
            p95: PercentileLimits { warn: secs(2), alert: secs(3) },
            p99: PercentileLimits { warn: secs(5), alert: secs(8) },
        }
    }
}

/// When replies are too slow.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyPolicy {
    /// Of every route class that has none of its own.
    pub budget: LatencyBudget,
    /// Route classes by name: their own budget; `None`: they last long by nature (streams, long polls) and have none.
    pub classes: BTreeMap<String, Option<LatencyBudget>>,
    /// How probably chance alone makes it suspected, per look: 10⁻³, as for errors.
    pub suspect: f64,
    /// How probably chance alone calls somebody: 10⁻⁴, in the last minute and in the last five at once. Less strict
    /// than for errors, because both have to agree.
    pub page: f64,
    /// Suspected for this long: confirmed. 1 min, the length of the shorter window: none of the replies that made it
    /// suspected is in it any more.
    pub confirm: Duration,
}

/// Many upstreams at once.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkPolicy {
    /// This many breakers open, or upstreams fail their checks … 3, a choice: two that fail together are often one that
    /// depends on the other.
    pub upstreams: usize,
    /// … within this long of each other are one incident of the network. While another upstream fails too, a breaker's
    /// incident waits as long before it is confirmed. 5 s, a choice: breakers that a network takes along open at their
    /// third failure, which with one request a second is within three.
    pub within: Duration,
    /// How long it waits while all others are well: for somebody else to fail first. 2 s, two looks. Where too few
    /// upstreams are watched to make a network, nothing is waited for.
    pub alone: Duration,
}

/// When a resource is short.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourcePolicy {
    /// Warning and critical shares in use, 0 to 1; the guide's table of resource usage thresholds.
    pub limits: Vec<(Resource, f64, f64)>,
    /// Consecutive samples over a limit. 3 of one each 5 s: a peak of ten seconds is no shortage, and half of the
    /// guide's 30 s to detection is left.
    pub samples: u32,
    /// Good is this much below the limit: 5 points, a choice, less than lies between a warning and a critical limit.
    pub margin: f64,
    /// A sample older than this says nothing. 1 min: a dozen samples did not come.
    pub stale: Duration,
}

/// When payments fail, or are declined too often.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentPolicy {
    /// Share of processor failures that is an incident: 1 %, a choice: the guide names the rule and no number, and ten
    /// times the error rate that it allows is no longer the processor's everyday.
    pub failures: f64,
    /// Failing for this long: confirmed. 30 s, as for an upstream that is down.
    pub confirm: Duration,
    /// Declines are unusual over the usual share times this: 1.5, a choice; only beyond chance (10⁻⁶), so that an hour
    /// with few payments says nothing.
    pub declines: f64,
    /// The usual share is that of three days, once they hold so many decisions: 200, a choice: a usual share of 5 % is
    /// then known to about ±1.5 points (one standard error).
    pub usual_from: u64,
}

impl LatencyPolicy {
    /// The budget of a route class; `None`: it has none.
    pub fn of(&self, class: &str) -> Option<&LatencyBudget> {
        self.classes.get(class).map_or(Some(&self.budget), Option::as_ref)
    }
}

impl DetectPolicy {
    /// Is the rule on?
    pub fn runs(&self, rule: Rule) -> bool {
        !self.off.contains(&rule)
    }

    /// Is this upstream's failure worse than others'?
    pub fn is_important(&self, service: &str) -> bool {
        self.important.iter().any(|name| name == service)
    }
}

impl Default for DetectPolicy {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            off: Vec::new(),
            grace: secs(30),
            clear_after: secs(120),
            important: vec!["stripe".to_owned(), "database".to_owned()],
            down: DownPolicy { failures: 3, probes: 3, confirm: secs(30) },
            errors: ErrorPolicy {
                objective: Objective::default(),
                suspect: 1e-3,
                page: 1e-6,
                least_bad: 3,
                confirm: secs(120),
            },
            latency: LatencyPolicy {
                budget: LatencyBudget::default(),
                classes: BTreeMap::new(),
                suspect: 1e-3,
                page: 1e-4,
                confirm: secs(60),
            },
            network: NetworkPolicy { upstreams: 3, within: secs(5), alone: secs(2) },
            resources: ResourcePolicy {
                limits: vec![
                    (Resource::Cpu, 0.80, 0.95),
                    (Resource::Memory, 0.85, 0.95),
                    (Resource::Disk, 0.85, 0.95),
                    (Resource::Network, 0.80, 0.95),
                ],
                samples: 3,
                margin: 0.05,
                stale: secs(60),
            },
            payments: PaymentPolicy { failures: 0.01, confirm: secs(30), declines: 1.5, usual_from: 200 },
        }
    }
}
