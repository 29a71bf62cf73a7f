//! Are replies wrong, or slow?

use std::sync::Arc;
use std::time::Duration;

use super::{DetectPolicy, Detector, Finding, PercentileLimits, Says, Test, hints, percent};
use crate::reliability::alert::{AlertLook, AlertPolicy, Sign};
use crate::reliability::counts::{Counts, Windows};
use crate::reliability::readings::{Over, RouteReading, SlowCounts};
use crate::reliability::rule::{Rule, Severity};
use crate::reliability::significance::above;
use crate::reliability::slo::{self, Urgency};
use crate::units::At;

/// A slow burn lasts this long before it is confirmed: it is a ticket for working hours, not a call
/// (SRE Workbook, chapter 5).
const SLOWLY: Duration = Duration::from_secs(3_600);

/// The percentiles of a budget, and the share of replies that may be slower than each.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p95", 0.05), ("p99", 0.01)];

/// What was counted of one percentile.
struct Slowness {
    counts: SlowCounts,
    limits: PercentileLimits,
    /// The last minute by upstream.
    by: Vec<(Arc<str>, Over)>,
}

/// How a percentile stands to its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetState {
    /// No more replies than allowed are over the target.
    Met,
    /// Too many are over the target, not over the threshold.
    Warned,
    /// Over the alert threshold.
    Broken,
}

impl BudgetState {
    /// As in the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Warned => "warned",
            Self::Broken => "broken",
        }
    }
}

/// How a percentile stands to its budget, beyond chance. `share` may be slower: 0.5, 0.05, 0.01.
/// `None`: nothing to judge.
pub fn budget_state(over: Over, share: f64, alpha: f64) -> Option<BudgetState> {
    if over.total == 0 {
        None
    } else if above(over.alert, over.total, share, alpha) {
        Some(BudgetState::Broken)
    } else if above(over.warn, over.total, share, alpha) {
        Some(BudgetState::Warned)
    } else {
        Some(BudgetState::Met)
    }
}

impl Detector {
    pub(super) fn route(
        &mut self,
        policy: &DetectPolicy,
        route: &RouteReading,
        now: At,
        found: &mut Vec<Finding>,
    ) {
        found.push(self.error_rate(policy, route, now));
        found.push(self.slow_burn(policy, route, now));
        if let Some(budget) = policy.latency.of(&route.class) {
            let counts = [route.p50, route.p95, route.p99];
            for (at, (percentile, counts)) in PERCENTILES.into_iter().zip(counts).enumerate() {
                let limits = [budget.p50, budget.p95, budget.p99][at];
                let by = route.slow_by.iter().map(|(name, over)| (Arc::clone(name), over[at]));
                found.push(self.slow(
                    policy,
                    route,
                    percentile,
                    &Slowness { counts, limits, by: by.collect() },
                ));
            }
        }
    }

    fn error_rate(&mut self, policy: &DetectPolicy, route: &RouteReading, now: At) -> Finding {
        let errors = &policy.errors;
        let limit = errors.objective.allowed();
        let test = Test { limit, alpha: errors.suspect, least_bad: errors.least_bad };
        let key = self.key(Rule::ErrorRate, &route.class);
        // What one client alone gets, while others are served, is its own.
        let windows = &route.counts.without(&route.of_one);
        let proof = test.proof(windows);
        let origin = self.culprit(&route.blamed, windows.m1.bad);
        let waits = origin.as_ref().is_some_and(|origin| self.undecided.contains(origin));
        let sign = test.sign(windows, proof);
        // Whose errors they are is known in a moment.
        let sign = if waits && sign == Sign::Bad { Sign::Between } else { sign };
        let first_bad = self.spell(&key, windows, proof, now);
        let bad = sign == Sign::Bad;
        let burn = bad.then(|| slo::burning(errors.objective, windows, errors.page)).flatten();
        let pages = burn.is_some_and(|burn| burn.pair.urgency == Urgency::Page);
        let enough = bad && (pages || Test { alpha: errors.page, ..test }.proves(windows.m5));
        let ripe = enough && test.is_so_now(windows);
        if enough {
            self.spikes.insert(Arc::clone(&route.class), now);
        }
        let half_fails = windows.m1.bad_ratio().is_some_and(|ratio| ratio >= 0.5);
        Finding {
            look: AlertLook { sign, ripe, first_bad, well_now: test.is_well_now(windows) },
            severity: if pages || half_fails { Severity::High } else { Severity::Medium },
            policy: AlertPolicy {
                confirm: errors.confirm,
                clear_after: policy.clear_after,
                ..AlertPolicy::default()
            },
            cause: bad.then(|| origin.unwrap_or_else(|| Arc::clone(&route.class))),
            says: bad.then(|| says(route, windows, limit, burn.map(|burn| burn.long_rate))),
            key,
        }
    }

    /// The budget of the month goes slowly: a ticket. Not by a spike, which has its own incident and fills the same
    /// windows: as long as one is in the short window, or that is not full yet, there is nothing to judge.
    fn slow_burn(&self, policy: &DetectPolicy, route: &RouteReading, now: At) -> Finding {
        let (errors, [_, _, pair]) = (&policy.errors, slo::PAIRS);
        let spike = self.spikes.get(&route.class).copied().unwrap_or(self.born);
        let windows = &route.counts.without(&route.of_one);
        let burn = errors.objective.burns(pair, windows, errors.page);
        let (_, short) = pair.of(windows);
        let sign = match (burn, errors.objective.burn(short)) {
            _ if now.since(spike.max(self.born)) < pair.short => Sign::Blind,
            (Some(_), _) => Sign::Bad,
            (None, None) => Sign::Blind,
            (None, Some(rate)) if rate >= pair.rate / 2.0 => Sign::Between,
            (None, Some(_)) => Sign::Good,
        };
        let burn = burn.filter(|_| sign == Sign::Bad);
        let goes_on = errors.objective.burn(windows.h1).is_some_and(|rate| rate >= 1.0);
        Finding {
            key: self.scoped(Rule::ErrorRate, &route.class, "slow_burn"),
            look: AlertLook { sign, ripe: goes_on, first_bad: None, well_now: false },
            severity: Severity::Low,
            policy: AlertPolicy {
                confirm: SLOWLY,
                clear_after: policy.clear_after,
                ..AlertPolicy::default()
            },
            cause: None,
            says: burn.map(|burn| {
                Says::new(
                    format!("{} spends its error budget {:.1} times too fast", route.class, burn.long_rate),
                    [
                        ("burn_rate_3d", format!("{:.2}", burn.long_rate)),
                        ("burn_rate_6h", format!("{:.2}", burn.short_rate)),
                    ],
                )
            }),
        }
    }

    /// More slow ones than a percentile allows, in the last minute; to call somebody, in the last five as well. p99
    /// counts from its target on (high, and critical over the threshold), the others from their threshold on.
    fn slow(
        &self,
        policy: &DetectPolicy,
        route: &RouteReading,
        (name, share): (&str, f64),
        Slowness { counts, limits, by }: &Slowness,
    ) -> Finding {
        let latency = &policy.latency;
        let worst = name == "p99";
        let slow = |over: Over| if worst { over.warn } else { over.alert };
        let proves = |over: Over, alpha: f64| above(slow(over), over.total, share, alpha);
        let recent = counts.m1;
        let sign = if recent.total == 0 {
            Sign::Blind
        } else if proves(counts.m1, latency.suspect)
            || (slow(counts.m1) > 0 && proves(counts.m5, latency.suspect))
        {
            Sign::Bad
        } else if hints(slow(recent), recent.total, share / 2.0) {
            Sign::Between
        } else {
            Sign::Good
        };
        let critical = |over: Over| above(over.alert, over.total, share, latency.page);
        let severity = match worst {
            true if critical(counts.m1) && critical(counts.m5) => Severity::Critical,
            true => Severity::High,
            false => Severity::Medium,
        };
        let bad = sign == Sign::Bad;
        // Whose the slow ones are: at least half of them are one upstream's.
        let by: Vec<_> = by.iter().map(|(upstream, over)| (Arc::clone(upstream), slow(*over))).collect();
        let all = by.iter().map(|(_, count)| count).sum();
        let own = || Arc::clone(&route.class);
        let ripe = proves(counts.m1, latency.page) && proves(counts.m5, latency.page);
        let limit = if worst { limits.warn } else { limits.alert };
        Finding {
            key: self.scoped(Rule::Latency, &route.class, name),
            look: AlertLook { sign, ripe, first_bad: None, well_now: false },
            severity,
            policy: lasting(policy),
            cause: bad.then(|| self.culprit(&by, all).unwrap_or_else(own)),
            says: bad.then(|| {
                says_slow(route, name, limit, [counts.m1, counts.m5].map(|over| (slow(over), over.total)))
            }),
        }
    }
}

/// How long a route must be slow, and be well again.
fn lasting(policy: &DetectPolicy) -> AlertPolicy {
    let (confirm, clear_after) = (policy.latency.confirm, policy.clear_after);
    AlertPolicy { confirm, clear_after, ..AlertPolicy::default() }
}

fn says_slow(route: &RouteReading, name: &str, limit: Duration, slow: [(u64, u64); 2]) -> Says {
    let told = |span: Duration| format!("{} ms", span.as_millis());
    let [minute, five] = slow.map(|(slow, total)| format!("{slow} of {total}"));
    let quantiles = route.quantiles.map_or("-".to_owned(), |all| all.map(told).join(", "));
    Says::new(
        format!("{name} of {} is over {}", route.class, told(limit)),
        [("slow_of_last_minute", minute), ("slow_of_last_5_minutes", five), ("p50_p95_p99", quantiles)],
    )
}

/// What is said of the errors of a route; `burn`: how many times faster than allowed the budget goes.
fn says(route: &RouteReading, windows: &Windows, limit: f64, burn: Option<f64>) -> Says {
    let worst = route.blamed.iter().max_by_key(|(_, count)| *count);
    let of = |counts: Counts| format!("{} of {}", counts.bad, counts.total());
    Says::new(
        format!("{} of {} replies fail", percent(windows.m1.bad, windows.m1.total()), route.class),
        [
            ("last_10s", of(windows.s10)),
            ("last_minute", of(windows.m1)),
            ("last_5_minutes", of(windows.m5)),
            ("allowed", format!("{:.3}%", limit * 100.0)),
            ("burn_rate", burn.map_or("-".to_owned(), |rate| format!("{rate:.1}"))),
            ("top_contributor", worst.map_or("-".to_owned(), |(name, n)| format!("{name}: {n}"))),
            ("of_one_client_not_counted", route.of_one.m5.bad.to_string()),
        ],
    )
}
