//! What the desk looks at once a second: counters become readings.
//!
//! Decides nothing. What is not measured is absent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bypass::{Bypass, Watch};
use super::evidence::Evidence;
use super::machine::Machine;
use super::wording::Wording;
use crate::config::Until;
use crate::config::presets::SRE_API;
use crate::config::{self, Config};
use crate::names::{RouteName, UpstreamName};
use crate::reliability::breaker::{BreakerState, Mode};
use crate::reliability::counts::{Counts, Trail};
use crate::reliability::readings::{
    BreakerReading, Over, PaymentReading, Readings, RouteReading, SlowCounts, Stage, UpstreamReading,
};
use crate::runtime::clock::Moment;
use crate::store::rows::millis;
use crate::telemetry::Telemetry;
use crate::telemetry::latency::Span;
use crate::telemetry::series::{Direction, Method, Outcome, Series};
use crate::telemetry::slow::Yardstick;
use crate::telemetry::upstreams::VERDICTS;
use crate::units::At;
use crate::upstream::Upstream;
use crate::upstream::registry::{Registry, World};

/// The windows in which replies are held to their budget.
const MINUTE: Duration = Duration::from_secs(60);
const FIVE_MINUTES: Duration = Duration::from_secs(300);
/// The upstream whose answers are payments.
const PROCESSOR: &str = "stripe";

/// Remembers what the counters said a second ago.
pub struct Observer {
    registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    upstreams: BTreeMap<UpstreamName, Watched>,
    routes: BTreeMap<RouteName, Measured>,
    machine: Machine,
    bypass: Watch,
    hash: Option<String>,
}

/// What is remembered of an upstream.
struct Watched {
    verdicts: [u64; VERDICTS.len()],
    against_upstream: u64,
    checks: (u64, u64),
    decided: Counts,
    trail: Trail,
    processor: Trail,
    decisions: Trail,
    reading: UpstreamReading,
}

/// What is remembered of a route.
struct Measured {
    replies: Counts,
    trail: Trail,
    /// Bad replies of each upstream since the start, at the last look.
    bad: BTreeMap<UpstreamName, u64>,
}

impl Observer {
    /// Nothing seen yet.
    pub fn new(registry: Arc<Registry>, telemetry: Arc<Telemetry>) -> Self {
        Self {
            registry,
            telemetry,
            upstreams: BTreeMap::new(),
            routes: BTreeMap::new(),
            machine: Machine::default(),
            bypass: Watch::default(),
            hash: None,
        }
    }

    /// The time as the desk has it.
    pub fn at(&self, moment: Moment) -> At {
        at(self.telemetry.started(), moment)
    }

    /// Collects evidence from where this one looks.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence::new(Arc::clone(&self.registry), Arc::clone(&self.telemetry))
    }

    /// Writes messages from what this one looks at.
    pub(super) fn wording(&self) -> Wording {
        Wording::new(Arc::clone(&self.registry), Arc::clone(&self.telemetry))
    }

    /// The config in force, when it is another one than at the last call.
    pub fn new_config(&mut self) -> Option<Arc<Config>> {
        let world = self.registry.snapshot();
        let new = self.hash.as_ref() != Some(&world.config.hash);
        new.then(|| {
            self.hash = Some(world.config.hash.clone());
            Arc::clone(&world.config)
        })
    }

    /// Who passes the egress by, as far as that can be observed.
    pub(super) fn bypass(&mut self, now: At) -> Bypass {
        let seen = self.bypass.look(&self.registry, now);
        self.telemetry.bypass.set(seen.passing());
        seen
    }

    /// One look.
    pub fn look(&mut self, moment: Moment, stage: Stage) -> Readings {
        let now = self.at(moment);
        let world = self.registry.snapshot();
        let generation = self.telemetry.process.config_generation.load(std::sync::atomic::Ordering::Relaxed);
        let mut readings = Readings {
            stage,
            backend: world.config.ingress.as_ref().map(|ingress| Arc::from(ingress.upstream.as_str())),
            context: vec![
                ("config_generation".to_owned(), generation.to_string()),
                ("config_hash".to_owned(), world.config.hash.clone()),
                ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ],
            resources: self.machine.look(&world.config, now),
            ..Readings::default()
        };
        self.look_at_upstreams(&world, moment, now, &mut readings);
        self.look_at_routes(&world, moment, now, &mut readings);
        readings
    }

    fn look_at_upstreams(&mut self, world: &World, moment: Moment, now: At, readings: &mut Readings) {
        // The admin API on the traffic port is nobody's dependency.
        let watched = |upstream: &&Arc<Upstream>| upstream.config.name.as_str() != SRE_API;
        self.upstreams.retain(|name, _| world.upstreams.contains_key(name));
        let mut all: Vec<_> = world.upstreams.values().filter(watched).collect();
        all.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        for upstream in all {
            let name: Arc<str> = Arc::from(upstream.config.name.as_str());
            let held = self
                .upstreams
                .entry(upstream.config.name.clone())
                .or_insert_with(|| Watched::new(Arc::clone(&name), now));
            held.look(upstream, &self.telemetry, moment.instant, now);
            let since = |instant: std::time::Instant| now - moment.instant.saturating_duration_since(instant);
            let view = upstream.gate.view(moment.instant);
            let policy = &upstream.config.breaker;
            held.reading.breaker = (policy.mode != Mode::Off).then(|| BreakerReading {
                state: view.state,
                since: since(view.since),
                open_for: policy.open_for,
                held: view.hold.is_some(),
            });
            if view.state == BreakerState::Closed {
                held.reading.consecutive_failures = held.reading.consecutive_failures.max(view.consecutive);
            }
            readings.upstreams.push(held.reading.clone());
            if &*name == PROCESSOR {
                readings.payments.push(held.payments(now));
            }
        }
    }

    fn look_at_routes(&mut self, world: &World, moment: Moment, now: At, readings: &mut Readings) {
        let wanted = if world.config.ingress.is_some() { Direction::Ingress } else { Direction::Egress };
        let mut by_route: BTreeMap<RouteName, Vec<Arc<Series>>> = BTreeMap::new();
        for series in self.telemetry.all_series() {
            if series.key.2 == wanted && world.upstreams.contains_key(&series.key.1) {
                by_route.entry(series.key.0.clone()).or_default().push(series);
            }
        }
        self.routes.retain(|route, _| by_route.contains_key(route));
        let config: BTreeMap<&RouteName, &config::Route> =
            world.config.routes.iter().map(|route| (&route.name, &**route)).collect();
        for (route, all) in by_route {
            // Asked once: it takes the locks that the workers count under.
            let counted: Vec<(Arc<Series>, Counts)> =
                all.iter().map(|one| (Arc::clone(one), Counts::of_outcomes(&one.outcomes()))).collect();
            let replies = counted.iter().map(|(_, counts)| *counts).fold(Counts::default(), Counts::plus);
            let held = self.routes.entry(route.clone()).or_insert_with(|| Measured {
                // Its counters began at nothing, and what they say has just happened.
                replies: Counts::default(),
                trail: Trail::new(now),
                bad: BTreeMap::new(),
            });
            let counts = held.trail.count(replies.minus(held.replies), now);
            held.replies = replies;
            let yardstick = yardstick(&world.config, config.get(&route).copied());
            all.iter().for_each(|series| series.measure(yardstick, moment.instant));
            let [p50, p95, p99] = slow(&all, moment);
            readings.routes.push(RouteReading {
                class: Arc::from(route.as_str()),
                counts,
                blamed: held.blamed(&counted, moment),
                slow_by: Vec::new(),
                p50,
                p95,
                p99,
                quantiles: (p50.m1.warn > 0).then(|| quantiles(&all, moment)).flatten(),
            });
        }
    }
}

impl Measured {
    /// Whose bad replies they are: those of the last minute and, because its windows turn but once a second, those since the
    /// last look.
    fn blamed(&mut self, counted: &[(Arc<Series>, Counts)], moment: Moment) -> Vec<(Arc<str>, u64)> {
        let mut blamed = Vec::new();
        for (series, all) in counted {
            let minute = Counts::of_outcomes(&series.outcomes_within(MINUTE, moment.instant)).bad;
            let before = self.bad.insert(series.key.1.clone(), all.bad).unwrap_or(0);
            let bad = minute.max(all.bad.saturating_sub(before));
            if bad > 0 {
                blamed.push((Arc::from(series.key.1.as_str()), bad));
            }
        }
        blamed
    }
}

/// The wall clock of the start plus what has passed since: it never jumps, whatever the wall clock does.
pub(super) fn at(start: Moment, moment: Moment) -> At {
    At(millis(start.wall)) + moment.instant.saturating_duration_since(start.instant)
}

/// Bad ones, and good and bad ones together.
pub(super) fn bad_and_all(outcomes: &[u64; 7]) -> (u64, u64) {
    let counts = Counts::of_outcomes(outcomes);
    (counts.bad, counts.total())
}

/// What the replies of a route are held to; those that no route of the config takes to the common budget.
fn yardstick(of: &Config, route: Option<&config::Route>) -> Option<Yardstick> {
    let common = config::Measured { until: Until::LastByte, budget: of.latency.budget };
    let config::Measured { until, budget } = route.map_or(Some(common), |route| route.latency)?;
    Some(Yardstick { until, limits: budget.limits() })
}

/// Replies over the limits of the three budgets.
fn slow(all: &[Arc<Series>], moment: Moment) -> [SlowCounts; 3] {
    let within = |span: Duration| {
        let counted = all.iter().filter_map(|series| series.slow_within(span, moment.instant));
        counted.fold([0_u64; 7], |mut sum, (_, more)| {
            sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
            sum
        })
    };
    let (m1, m5) = (within(MINUTE), within(FIVE_MINUTES));
    let over = |of: &[u64; 7], at: usize| Over { total: of[0], warn: of[at], alert: of[at + 1] };
    [1, 3, 5].map(|at| SlowCounts { m1: over(&m1, at), m5: over(&m5, at) })
}

fn quantiles(all: &[Arc<Series>], moment: Moment) -> Option<[std::time::Duration; 3]> {
    let busiest = all.iter().max_by_key(|series| series.ended_within(Span::Minute, moment.instant))?;
    let summary = busiest.window(Span::Minute, moment.instant).0;
    let span = |ms: Option<f64>| ms.map(|ms| std::time::Duration::from_secs_f64(ms / 1_000.0));
    Some([span(summary.p50_ms)?, span(summary.p95_ms)?, span(summary.p99_ms)?])
}

trait OfOutcomes {
    fn of_outcomes(outcomes: &[u64; 7]) -> Self;
}

impl OfOutcomes for Counts {
    /// What the client got: its own mistakes and departures are neither good nor bad.
    fn of_outcomes(outcomes: &[u64; 7]) -> Self {
        let of = |outcome: Outcome| outcomes.get(outcome as usize).copied().unwrap_or(0);
        let bad = of(Outcome::ServerError)
            + of(Outcome::Refused)
            + of(Outcome::Timeout)
            + of(Outcome::UpstreamFailed);
        Self { good: of(Outcome::Ok), bad }
    }
}

impl Watched {
    fn new(name: Arc<str>, now: At) -> Self {
        Self {
            verdicts: [0; VERDICTS.len()],
            against_upstream: 0,
            checks: (0, 0),
            decided: Counts::default(),
            trail: Trail::new(now),
            processor: Trail::new(now),
            decisions: Trail::new(now),
            reading: UpstreamReading::unseen(name),
        }
    }

    fn look(&mut self, upstream: &Upstream, telemetry: &Telemetry, moment: Instant, now: At) {
        let verdicts = upstream.series.verdicts();
        let mut new = verdicts;
        new.iter_mut().zip(self.verdicts).for_each(|(new, old)| *new = new.saturating_sub(old));
        let [good, slow, _, _, _, _, _, _, limited, ..] = new;
        // Only what an exchange ended with: an attempt that went well elsewhere is nobody's outage.
        let [_, _, against_upstream] = upstream.series.against();
        let ended_badly = against_upstream.saturating_sub(self.against_upstream);
        let (good, failed) = (good + slow, ended_badly.saturating_sub(limited));
        self.against_upstream = against_upstream;
        let (passed, missed) = upstream.series.checks();
        let (passed_now, missed_now) = (passed - self.checks.0, missed - self.checks.1);
        (self.verdicts, self.checks) = (verdicts, (passed, missed));
        let reading = &mut self.reading;
        reading.counts = self.trail.count(Counts { good, bad: failed + limited }, now);
        if good > 0 {
            // Of this second only what came after the last good one is a row.
            reading.consecutive_failures = upstream.gate.view(moment).bad_in_a_row;
        } else {
            let failed = u32::try_from(failed).unwrap_or(u32::MAX);
            reading.consecutive_failures = reading.consecutive_failures.saturating_add(failed);
        }
        let probed = upstream.config.health.is_some();
        reading.failed_probes = probed.then(|| upstream.series.failed_checks());
        if good > 0 || passed_now > 0 {
            reading.last_success = Some(now);
            reading.failing_since = None;
        }
        if failed > 0 || missed_now > 0 {
            reading.last_failure = Some(now);
            if good == 0 && passed_now == 0 {
                reading.failing_since = reading.failing_since.or(Some(now));
            }
        }
        let of_it = telemetry.all_series();
        let of_it = of_it.iter().filter(|series| series.key.1 == upstream.config.name);
        reading.in_flight = of_it.map(|series| series.in_flight()).sum();
        if &*reading.name == PROCESSOR {
            self.count_payments(telemetry, upstream, Counts { good, bad: failed + limited }, now);
        }
    }

    fn count_payments(&mut self, telemetry: &Telemetry, upstream: &Upstream, processor: Counts, now: At) {
        let mut decided = Counts::default();
        for series in telemetry.all_series() {
            if series.key.1 == upstream.config.name {
                for pair in &series.totals().pairs {
                    let count = pair.took.count();
                    match pair.status {
                        402 => decided.bad += count,
                        200..300 if pair.method == Method::Post => decided.good += count,
                        _ => {}
                    }
                }
            }
        }
        self.processor.count(processor, now);
        self.decisions.count(decided.minus(self.decided), now);
        self.decided = decided;
    }

    fn payments(&mut self, now: At) -> PaymentReading {
        PaymentReading {
            vendor: Arc::clone(&self.reading.name),
            processor: self.processor.count(Counts::default(), now),
            decisions: self.decisions.count(Counts::default(), now),
        }
    }
}
