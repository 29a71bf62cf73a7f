//! Performance budgets: `[latency]`, and `[routes.latency]` where a route class has its own.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use super::word::{OneOf, Word, words};
use crate::reliability::detect::{LatencyBudget, PercentileLimits};
use crate::units::{Text, Written as _, secs};

/// The table `[latency]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LatencyFile {
    /// Longer exchanges are slow.
    pub slow: Text<Duration>,
    /// Budget of the median.
    pub p50: BudgetFile,
    /// Budget of the 95th percentile.
    pub p95: BudgetFile,
    /// Budget of the 99th percentile.
    pub p99: BudgetFile,
}

/// Budgets are the guide's; `slow` is its alert threshold of the median.
impl Default for LatencyFile {
    fn default() -> Self {
        let LatencyBudget { p50, p95, p99 } = LatencyBudget::default();
        Self { slow: secs(1), p50: p50.into(), p95: p95.into(), p99: p99.into() }
    }
}

/// The budget of a percentile; what is not written is as above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BudgetFile {
    /// The target. Over it, beyond chance: nothing for p50 and p95, a high incident for p99.
    pub warn: Text<Duration>,
    /// The alert threshold. Over it, beyond chance: a medium incident for p50 and p95, a critical one for p99.
    pub alert: Text<Duration>,
}

/// In the place of what was written and could not be read.
impl Default for BudgetFile {
    fn default() -> Self {
        LatencyBudget::default().p50.into()
    }
}

impl From<PercentileLimits> for BudgetFile {
    fn from(limits: PercentileLimits) -> Self {
        Self { warn: Text(limits.warn), alert: Text(limits.alert) }
    }
}

/// `[routes.latency]`; what is not written is as in `[latency]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RouteLatencyFile {
    /// Up to where it is measured.
    pub until: OneOf<UntilWord>,
    /// Budget of the median.
    pub p50: Option<BudgetFile>,
    /// Budget of the 95th percentile.
    pub p95: Option<BudgetFile>,
    /// Budget of the 99th percentile.
    pub p99: Option<BudgetFile>,
}

impl Default for RouteLatencyFile {
    fn default() -> Self {
        Self { until: OneOf(UntilWord::LastByte), p50: None, p95: None, p99: None }
    }
}

/// The table `[latency]` as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// `slow_requests_total` counts what takes longer. Default 1 s.
    pub slow: Duration,
    /// Of every route that has none of its own.
    pub budget: LatencyBudget,
}

/// How a route is held to its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Up to which byte.
    pub until: Until,
    pub budget: LatencyBudget,
}

/// Up to which byte a route is held to its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The final response head: for uploads, and for answers that go on for long.
    FirstByte,
    /// The last byte of the answer.
    LastByte,
}

impl Until {
    /// As it is written.
    pub fn label(self) -> &'static str {
        match self {
            Self::FirstByte => "first_byte",
            Self::LastByte => "last_byte",
        }
    }
}

/// What is written for [`Until`], and for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UntilWord {
    /// The last byte of the answer.
    LastByte,
    /// The final response head.
    FirstByte,
    /// The route has no budget and makes no latency incident.
    Off,
}

words! {
    UntilWord: "end" {
        LastByte = "last_byte", "the whole answer is held to the budget";
        FirstByte = "first_byte", "the head of the answer is: for uploads, and for answers that go on for long";
        Off = "off", "the route lasts long by nature and has no budget";
    }
}

/// The longest that is measured (see `telemetry::latency`).
const LONGEST: Duration = Duration::from_secs(120);

impl LatencyFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Latency {
        let budget = LatencyBudget {
            p50: self.p50.check(at.part("p50")),
            p95: self.p95.check(at.part("p95")),
            p99: self.p99.check(at.part("p99")),
        };
        Latency { slow: self.slow.0, budget }
    }
}

impl Latency {
    /// How a route without a word of its own is held to it.
    pub(super) fn measured(&self) -> Measured {
        Measured { until: Until::LastByte, budget: self.budget }
    }
}

impl RouteLatencyFile {
    /// `until`: what is written; a route without a budget has none by default.
    pub(super) fn base(common: &LatencyFile, until: Option<&str>) -> Self {
        if until == Some(UntilWord::Off.word()) {
            return Self::default();
        }
        let [p50, p95, p99] = [common.p50, common.p95, common.p99].map(Some);
        Self { p50, p95, p99, ..Self::default() }
    }

    /// `None`: the route has no budget.
    pub(super) fn check(&self, mut at: Part<'_, '_>, common: &Latency) -> Option<Measured> {
        let until = match self.until.0 {
            UntilWord::LastByte => Until::LastByte,
            UntilWord::FirstByte => Until::FirstByte,
            UntilWord::Off => {
                let written = [("p50", self.p50), ("p95", self.p95), ("p99", self.p99)];
                for (key, _) in written.into_iter().filter(|(_, written)| written.is_some()) {
                    at.add(key, "is of no use while until is \"off\"; take one of them out");
                }
                return None;
            }
        };
        // What is wrong in `[latency]` is told there.
        let mut one = |key: &str, own: Option<BudgetFile>, common: PercentileLimits| match own {
            Some(own) if own != common.into() => own.check(at.part(key)),
            Some(_) | None => common,
        };
        let LatencyBudget { p50, p95, p99 } = common.budget;
        let (p50, p95, p99) =
            (one("p50", self.p50, p50), one("p95", self.p95, p95), one("p99", self.p99, p99));
        Some(Measured { until, budget: LatencyBudget { p50, p95, p99 } })
    }
}

impl BudgetFile {
    fn check(&self, mut at: Part<'_, '_>) -> PercentileLimits {
        let (warn, alert) = (self.warn.0, self.alert.0);
        if warn > alert {
            let (warn, alert) = (warn.write(), alert.write());
            let told = format!("warn ({warn}) is longer than alert ({alert})");
            at.add("warn", format!("{told}; write both, warn first"));
        }
        for (key, value) in [("warn", warn), ("alert", alert)] {
            if value.is_zero() || value > LONGEST {
                let told = "cannot be measured; write more than 0s and at most 2m";
                at.add(key, format!("{} {told}", value.write()));
            }
        }
        PercentileLimits { warn, alert }
    }
}
