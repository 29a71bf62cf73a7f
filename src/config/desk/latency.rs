//! Performance budgets: `[latency]`, and `[routes.latency]` where a route class has its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Route;
use crate::config::file::{LatencyFile, LimitsOfFile, RouteLatencyFile};
use crate::config::problem::Collector;
use crate::config::word::Word;
use crate::reliability::detect::{Budget, Limits};
use crate::units::Written as _;

/// `[latency]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// `slow_requests_total` counts what takes longer. Default 1 s.
    pub slow: Duration,
    /// Of every route that has none of its own.
    pub budget: Budget,
}

/// How a route is held to its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Up to which byte.
    pub until: Until,
    /// Its budget.
    pub budget: Budget,
}

/// Up to which byte a route is held to its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The final response head: for uploads, and for answers that go on for long.
    FirstByte,
    /// The end.
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
    /// The end.
    LastByte,
    /// The final response head.
    FirstByte,
    /// No budget.
    Off,
}

impl Word for UntilWord {
    const KIND: &'static str = "end";
    const WORDS: &'static [(Self, &'static str, &'static str)] = &[
        (Self::LastByte, "last_byte", "the whole answer is held to the budget"),
        (
            Self::FirstByte,
            "first_byte",
            "the head of the answer is: for uploads, and for answers that go on for long",
        ),
        (Self::Off, "off", "the route lasts long by nature and has no budget"),
    ];
}

/// The longest that is measured (see `telemetry::latency`).
const LONGEST: Duration = Duration::from_secs(120);

/// `[latency]`.
pub(in crate::config) fn global(written: &LatencyFile, problems: &mut Collector<'_>) -> Latency {
    let limits = [written.p50, written.p95, written.p99];
    Latency { slow: written.slow.0, budget: budget("latency", limits, Budget::default(), problems) }
}

/// `[routes.latency]`. `None`: the route has no budget.
pub(in crate::config) fn of_route(
    at: &str,
    written: Option<&RouteLatencyFile>,
    base: Budget,
    problems: &mut Collector<'_>,
) -> Option<Measured> {
    let Some(written) = written else { return Some(Measured { until: Until::LastByte, budget: base }) };
    let at = format!("{at}.latency");
    let until = match written.until.0 {
        UntilWord::LastByte => Some(Until::LastByte),
        UntilWord::FirstByte => Some(Until::FirstByte),
        UntilWord::Off => None,
    };
    let limits = [written.p50, written.p95, written.p99];
    for (key, limits) in ["p50", "p95", "p99"].into_iter().zip(limits).filter(|_| until.is_none()) {
        if limits.warn.is_some() || limits.alert.is_some() {
            problems.add(&format!("{at}.{key}"), "is of no use while until is \"off\"; take one of them out");
        }
    }
    until.map(|until| Measured { until, budget: budget(&at, limits, base, problems) })
}

/// The classes that have a budget of their own, or none.
pub(super) fn classes(routes: &[Arc<Route>], base: Budget) -> BTreeMap<String, Option<Budget>> {
    let own = |route: &&Arc<Route>| route.latency.is_none_or(|measured| measured.budget != base);
    let class =
        |route: &Arc<Route>| (route.name.as_str().to_owned(), route.latency.map(|measured| measured.budget));
    routes.iter().filter(own).map(class).collect()
}

fn budget(at: &str, written: [LimitsOfFile; 3], base: Budget, problems: &mut Collector<'_>) -> Budget {
    let [p50, p95, p99] = written;
    Budget {
        p50: limits(&format!("{at}.p50"), p50, base.p50, problems),
        p95: limits(&format!("{at}.p95"), p95, base.p95, problems),
        p99: limits(&format!("{at}.p99"), p99, base.p99, problems),
    }
}

fn limits(at: &str, written: LimitsOfFile, base: Limits, problems: &mut Collector<'_>) -> Limits {
    let warn = written.warn.map_or(base.warn, |warn| warn.0);
    let alert = written.alert.map_or(base.alert, |alert| alert.0);
    if warn > alert {
        let key = if written.warn.is_some() { "warn" } else { "alert" };
        problems.add(
            &format!("{at}.{key}"),
            format!(
                "warn ({}) is longer than alert ({}); write both, warn first",
                warn.write(),
                alert.write()
            ),
        );
    }
    for (key, value) in [("warn", warn), ("alert", alert)] {
        if value.is_zero() || value > LONGEST {
            problems.add(
                &format!("{at}.{key}"),
                format!("{} cannot be measured; write more than 0s and at most 2m", value.write()),
            );
        }
    }
    Limits { warn, alert }
}
