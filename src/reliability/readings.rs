//! What the engine looks at once a second: numbers, no decisions.
//!
//! The shell fills one [`Readings`] from upstreams, routes and the machine. What cannot be observed is absent or `None`,
//! never 0: rules freeze on what they cannot see.

use std::sync::Arc;
use std::time::Duration;

use super::alert::Sign;
use super::breaker::BreakerState;
use super::counts::Windows;
use super::drill::DrillScope;
use super::escalation::LocalMinute;
use super::fleet::Sighting;
pub use super::reach::Reach;
use super::rule::Severity;
use crate::units::At;

/// Everything that is known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Where the process is in its life.
    pub stage: Stage,
    /// The minute of the local week, for calendars.
    pub local: Option<LocalMinute>,
    /// It is a day on which nobody works.
    pub holiday: bool,
    /// The name of the upstream behind the ingress listener.
    pub backend: Option<Arc<str>>,
    /// One reading for each upstream of the config.
    pub upstreams: Vec<UpstreamReading>,
    /// All measured route classes. Streams, long polls and WebSockets are left out by the shell.
    pub routes: Vec<RouteReading>,
    /// What is known of the machine.
    pub resources: Vec<ResourceReading>,
    /// What is known of payments, one per processor.
    pub payments: Vec<PaymentReading>,
    /// What other parts of the process report: the store, a backup, an operator's own rule.
    pub reported: Vec<Reported>,
    /// Dedup keys of conditions that other members of the fleet still see: those incidents stay open.
    pub elsewhere: Vec<Arc<str>>,
    /// What other members of the fleet see; `None`: there are no others, or nobody can say.
    pub sightings: Option<Vec<Sighting>>,
    /// The drill that goes on, or whose doings have not gone by yet; `None`: there is none.
    pub drill: Option<DrillScope>,
    /// Replies of the routes that drills have spoilt: promises are not held to them.
    pub spoilt: Windows,
    /// The process stood still until this moment, since the last look: nobody saw the seconds before it.
    pub resumed: Option<At>,
    /// Facts for the evidence of every new incident: config generation, build, recent changes.
    pub context: Vec<(String, String)>,
}

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It takes traffic: failures are failures.
    #[default]
    Serving,
    /// It is about to end: what fails now is no incident.
    Draining,
}

/// What is known of one upstream.
#[derive(Clone, Debug)]
pub struct UpstreamReading {
    pub name: Arc<str>,
    /// Its breaker; `None`: it has none.
    pub breaker: Option<BreakerReading>,
    /// Bad verdicts since the last good one, over all of the breaker's phases. What the breaker refused is none.
    pub consecutive_failures: u32,
    /// Failed active probes since the last good one; `None`: it is not probed.
    pub failed_probes: Option<u32>,
    /// The first failure since the last success.
    pub failing_since: Option<At>,
    /// The last good verdict or probe.
    pub last_success: Option<At>,
    /// The last bad verdict or probe.
    pub last_failure: Option<At>,
    /// When a check of it last passed.
    pub checked: Option<At>,
    /// What its last failures were.
    pub failing: FailureScope,
    /// Whom they have met.
    pub reach: Reach,
    /// It starts beside Strop: requests of the ingress go there.
    pub beside: bool,
    /// Verdicts of attempts, by window.
    pub counts: Windows,
    /// Attempts that are in flight now.
    pub in_flight: u64,
}

/// What the failures of the last second with any were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailureScope {
    /// Nobody could connect, as far as anybody tried.
    #[default]
    Connections,
    /// Some were more than that: it was reached, and did not answer well.
    Answers,
}

impl UpstreamReading {
    /// The same by a clock that runs `millis` ahead of the one that its moments were read from.
    #[must_use]
    pub fn moved(&self, millis: i64) -> Self {
        let moved = |at: Option<At>| at.map(|at| at.moved(millis));
        Self {
            breaker: self.breaker.map(|one| BreakerReading { since: one.since.moved(millis), ..one }),
            failing_since: moved(self.failing_since),
            last_success: moved(self.last_success),
            last_failure: moved(self.last_failure),
            ..self.clone()
        }
    }

    /// One of which nothing is known yet.
    pub fn unseen(name: Arc<str>) -> Self {
        Self {
            name,
            breaker: None,
            consecutive_failures: 0,
            failed_probes: None,
            failing_since: None,
            last_success: None,
            last_failure: None,
            checked: None,
            failing: FailureScope::default(),
            reach: Reach::default(),
            beside: false,
            counts: Windows::default(),
            in_flight: 0,
        }
    }

    /// When anything was last seen of it: an answer, a failure, a check, a probe.
    pub fn seen(&self) -> Option<At> {
        self.last_success.max(self.last_failure)
    }
}

/// The breaker of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerReading {
    pub state: BreakerState,
    /// When it came to that state.
    pub since: At,
    /// The configured first wait.
    pub open_for: Duration,
    /// An operator holds it where it is.
    pub held: bool,
}

/// One class of routes.
#[derive(Clone, Debug, Default)]
pub struct RouteReading {
    /// The route's name, as metrics label it.
    pub class: Arc<str>,
    /// Replies as the client got them: what a retry has saved is good; clients that left, 4xx, and what an operator's
    /// hold refused are neither.
    pub counts: Windows,
    /// Bad replies among these that one client alone got while others were served: they are that client's.
    pub of_one: Windows,
    /// Bad replies of the last minute by the upstream that was at fault, refusals by its breaker included.
    pub blamed: Vec<(Arc<str>, u64)>,
    /// Replies of the last minute by upstream, and those over the limits of p50, p95 and p99.
    pub slow_by: Vec<(Arc<str>, [Over; 3])>,
    /// Replies over the limits of the median's budget.
    pub p50: SlowCounts,
    /// Replies over the limits of p95's budget.
    pub p95: SlowCounts,
    /// Replies over the limits of p99's budget.
    pub p99: SlowCounts,
    /// p50, p95, p99 of the last minute, as evidence.
    pub quantiles: Option<[Duration; 3]>,
}

/// Replies over the two limits of a latency budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowCounts {
    /// Of the last minute.
    pub m1: Over,
    /// Of the last five minutes.
    pub m5: Over,
}

/// How many took longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Over {
    /// Replies, slow and fast ones.
    pub total: u64,
    /// Longer than the budget's target.
    pub warn: u64,
    /// Longer than its alert threshold.
    pub alert: u64,
}

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Processor time of the limit.
    Cpu,
    /// Working set of the limit.
    Memory,
    /// Space of a volume.
    Disk,
    /// Of a configured capacity.
    Network,
}

impl Resource {
    /// In the order of the guide's table.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Memory, Self::Disk, Self::Network];

    /// As in the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
        }
    }
}

/// One sample of a resource; a new one about every 5 s.
#[derive(Clone, Debug)]
pub struct ResourceReading {
    pub what: Resource,
    /// Which one: a volume, an interface; often empty.
    pub which: Arc<str>,
    /// The share in use, 0 to 1; `None`: not observable.
    pub used: Option<f64>,
    /// When it was sampled.
    pub sampled: At,
    /// Where the number is from.
    pub source: String,
}

/// One payment processor: its requests that take payments. Test-mode keys are left out by the shell.
#[derive(Clone, Debug)]
pub struct PaymentReading {
    /// The upstream that is the processor.
    pub vendor: Arc<str>,
    /// Bad: the processor failed (5xx, timeouts, 429, `api_error`). Good: it decided, either way.
    pub processor: Windows,
    /// Bad: declined. Good: accepted.
    pub decisions: Windows,
}

/// A condition that another part of the process knows.
#[derive(Clone, Debug)]
pub struct Reported {
    /// What the condition is about, such as "store".
    pub service: Arc<str>,
    /// The name of the condition: with the service, its identity.
    pub scope: Arc<str>,
    /// Whether the condition holds, as its reporter knows.
    pub sign: Sign,
    pub severity: Severity,
    /// When it went bad, if known.
    pub first_bad: Option<At>,
    /// Bad for this long before anybody is called.
    pub confirm: Duration,
    /// One line for people.
    pub title: String,
    /// Facts by name, for the incident.
    pub evidence: Vec<(String, String)>,
}
