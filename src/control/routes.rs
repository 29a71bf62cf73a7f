//! What came of the replies of each route since the last look, and whose bad ones they are.
//!
//! Decides nothing. What an operator's hold refuses is nobody's failure and is counted nowhere; what one client alone
//! gets is told apart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{self, Config, Until};
use crate::names::{RouteName, UpstreamName};
use crate::reliability::breaker::BreakerState;
use crate::reliability::counts::{Counts, RollingCounts, Windows};
use crate::reliability::reach::Noise;
use crate::reliability::readings::{Over, RouteReading, SlowCounts};
use crate::runtime::clock::Moment;
use crate::telemetry::Telemetry;
use crate::telemetry::clients::Clients;
use crate::telemetry::latency::LatencyWindow;
use crate::telemetry::series::{Direction, ExchangeOutcome, Series};
use crate::telemetry::slow::Yardstick;
use crate::units::At;
use crate::upstream::Upstream;
use crate::upstream::registry::World;

/// The windows in which replies are held to their budget.
const MINUTE: Duration = Duration::from_secs(60);
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// All series in the order of their upstreams, and who was served or failed since the last look.
pub(super) struct SeriesReadings(Vec<HeardOf>);

/// A series and what its clients had of it.
pub(super) struct HeardOf {
    pub(super) series: Arc<Series>,
    pub(super) clients: Clients,
}

impl SeriesReadings {
    /// Takes what there is: the next one hears what comes after.
    pub(super) fn now(telemetry: &Telemetry) -> Self {
        let mut all = telemetry.all_series();
        all.sort_by(|a, b| a.key.1.cmp(&b.key.1));
        Self(all.into_iter().map(|series| HeardOf { clients: series.clients(), series }).collect())
    }

    /// What concerns an upstream.
    pub(super) fn of(&self, upstream: &UpstreamName) -> impl Iterator<Item = &HeardOf> {
        let first = self.0.partition_point(|one| one.series.key.1 < *upstream);
        let rest = self.0.iter().skip(first);
        rest.take_while(move |one| one.series.key.1 == *upstream)
    }
}

/// Remembers what the counters of all routes said a second ago.
#[derive(Default)]
pub(super) struct Routes(BTreeMap<RouteName, RouteReadings>);

struct RouteReadings {
    by: BTreeMap<UpstreamName, By>,
    counts: RollingCounts,
    noise: Noise,
}

/// The replies of a route of which one upstream is the origin.
struct By {
    outcomes: [u64; 7],
    counts: RollingCounts,
    /// What operators had ordered at the last look.
    held: HoldState,
}

impl Routes {
    /// Reads all series of a direction, and gives what came since the last look by route.
    pub(super) fn look(
        &mut self,
        world: &World,
        heard: &SeriesReadings,
        moment: Moment,
        now: At,
    ) -> Vec<RouteReading> {
        let wanted = if world.config.ingress.is_some() { Direction::Ingress } else { Direction::Egress };
        let mut by_route: BTreeMap<RouteName, Vec<&HeardOf>> = BTreeMap::new();
        for one in &heard.0 {
            let key = &one.series.key;
            if key.2 == wanted && world.upstreams.contains_key(&key.1) {
                by_route.entry(key.0.clone()).or_default().push(one);
            }
        }
        self.0.retain(|route, _| by_route.contains_key(route));
        let config: BTreeMap<&RouteName, &config::Route> =
            world.config.routes.iter().map(|route| (&route.name, &**route)).collect();
        let look = |(route, all): (RouteName, Vec<&HeardOf>)| {
            let held = self.0.entry(route.clone()).or_insert_with(|| RouteReadings {
                by: BTreeMap::new(),
                counts: RollingCounts::new(now),
                noise: Noise::new(now),
            });
            let (counts, blamed) = held.count(&all, world, moment.instant, now);
            let of_one = held.apart(&all, counts.m1.good, now);
            let yardstick = yardstick(&world.config, config.get(&route).copied());
            all.iter().for_each(|one| one.series.measure(yardstick, moment.instant));
            let (slow_by, [p50, p95, p99]) = slow(&all, moment);
            RouteReading {
                class: Arc::from(route.as_str()),
                counts,
                of_one,
                blamed,
                slow_by,
                p50,
                p95,
                p99,
                quantiles: (p50.m1.warn > 0).then(|| quantiles(&all, moment)).flatten(),
            }
        };
        by_route.into_iter().map(look).collect()
    }
}

impl RouteReadings {
    /// What came since the last look, and whose the bad replies of the last minute are.
    fn count(
        &mut self,
        all: &[&HeardOf],
        world: &World,
        moment: Instant,
        now: At,
    ) -> (Windows, Vec<(Arc<str>, u64)>) {
        let (mut sum, mut blamed) = (Counts::default(), Vec::new());
        for HeardOf { series, .. } in all {
            let name = &series.key.1;
            // Asked once: it takes the locks that the workers count under. Before the hold: it begins before it refuses.
            let outcomes = series.outcomes();
            let held = world
                .in_force(name)
                .map_or_else(HoldState::default, |upstream| HoldState::of(upstream, moment));
            let by = self.by.entry(name.clone()).or_insert_with(|| {
                // Its counters began at nothing, and what they say has just happened.
                By { outcomes: [0; 7], counts: RollingCounts::new(now), held: HoldState::default() }
            });
            let since = by.since(outcomes, held);
            sum = sum.plus(since);
            let bad = by.counts.count(since, now).m1.bad;
            if bad > 0 {
                blamed.push((Arc::from(name.as_str()), bad));
            }
        }
        (self.counts.count(sum, now), blamed)
    }

    /// The bad ones that are one client's.
    fn apart(&mut self, all: &[&HeardOf], good: u64, now: At) -> Windows {
        let failed: Vec<(u32, u64)> = all.iter().flat_map(|one| one.clients.failed()).collect();
        let served: Vec<u32> = all.iter().flat_map(|one| one.clients.served()).collect();
        self.noise.count(&failed, &served, good, now)
    }
}

impl By {
    fn since(&mut self, outcomes: [u64; 7], held: HoldState) -> Counts {
        let mut since = outcomes;
        since.iter_mut().zip(self.outcomes).for_each(|(now, before)| *now = now.saturating_sub(before));
        // What was refused just before a hold ended is its doing, too, and so is that of one between two looks.
        let by_order = held.open || self.held.open || held.times != self.held.times;
        if let Some(refused) = since.get_mut(ExchangeOutcome::Refused as usize).filter(|_| by_order) {
            *refused = 0;
        }
        (self.outcomes, self.held) = (outcomes, held);
        Counts::of_outcomes(&since)
    }
}

/// What operators have ordered of an upstream's breakers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct HoldState {
    /// One of them is held open now.
    open: bool,
    /// How often they were held.
    times: u32,
}

impl HoldState {
    fn of(upstream: &Upstream, now: Instant) -> Self {
        let operations = upstream.operations.iter().map(|operation| &operation.gate);
        let gates = std::iter::once(&upstream.gate).chain(operations);
        gates.fold(Self::default(), |all, gate| {
            let view = gate.view(now);
            let open = view.hold.is_some() && view.state == BreakerState::Open;
            Self { open: all.open || open, times: all.times.wrapping_add(gate.holds()) }
        })
    }
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

/// Replies over the limits of the three budgets: of the last minute by upstream, and of all upstreams.
fn slow(all: &[&HeardOf], moment: Moment) -> (SlowBy, [SlowCounts; 3]) {
    let within = |span: Duration| {
        let counted =
            move |one: &&HeardOf| one.series.slow_within(span, moment.instant).map(|(_, over)| over);
        all.iter().filter_map(move |one| Some((one, counted(one)?)))
    };
    let sum = |sum: [u64; 7], (_, more): (_, [u64; 7])| std::array::from_fn(|at| sum[at] + more[at]);
    let (m1, m5) = (within(MINUTE).fold([0; 7], sum), within(FIVE_MINUTES).fold([0; 7], sum));
    let over = |of: &[u64; 7], at: usize| Over { total: of[0], warn: of[at], alert: of[at + 1] };
    let by = within(MINUTE).filter(|(_, counted)| counted[0] > 0);
    let by = by
        .map(|(one, counted)| (Arc::from(one.series.key.1.as_str()), LIMITS_AT.map(|at| over(&counted, at))));
    (by.collect(), LIMITS_AT.map(|at| SlowCounts { m1: over(&m1, at), m5: over(&m5, at) }))
}

/// Where the warning limits of p50, p95 and p99 stand in what a series counts; the alert limit follows each.
const LIMITS_AT: [usize; 3] = [1, 3, 5];

/// Slow replies by upstream; see [`RouteReading::slow_by`].
type SlowBy = Vec<(Arc<str>, [Over; 3])>;

fn quantiles(all: &[&HeardOf], moment: Moment) -> Option<[Duration; 3]> {
    let busiest =
        all.iter().max_by_key(|one| one.series.ended_within(LatencyWindow::Minute, moment.instant))?;
    let summary = busiest.series.window(LatencyWindow::Minute, moment.instant).0;
    let span = |ms: Option<f64>| ms.map(|ms| Duration::from_secs_f64(ms / 1_000.0));
    Some([span(summary.p50_ms)?, span(summary.p95_ms)?, span(summary.p99_ms)?])
}

trait OfOutcomes {
    fn of_outcomes(outcomes: &[u64; 7]) -> Self;
}

impl OfOutcomes for Counts {
    /// What the client got: its own mistakes and departures are neither good nor bad.
    fn of_outcomes(outcomes: &[u64; 7]) -> Self {
        let of = |outcome: ExchangeOutcome| outcomes.get(outcome as usize).copied().unwrap_or(0);
        let bad = of(ExchangeOutcome::ServerError)
            + of(ExchangeOutcome::Refused)
            + of(ExchangeOutcome::Timeout)
            + of(ExchangeOutcome::UpstreamFailed);
        Self { good: of(ExchangeOutcome::Ok), bad }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(ok: u64, failed: u64, refused: u64) -> [u64; 7] {
        let mut outcomes = [0; 7];
        outcomes[ExchangeOutcome::Ok as usize] = ok;
        outcomes[ExchangeOutcome::ServerError as usize] = failed;
        outcomes[ExchangeOutcome::Refused as usize] = refused;
        outcomes
    }

    #[test]
    fn what_a_hold_refuses_is_nobodys_failure_and_what_a_breaker_refuses_is() {
        let held = |open, times| HoldState { open, times };
        let mut by = By { outcomes: [0; 7], counts: RollingCounts::new(At(0)), held: held(false, 0) };
        assert_eq!(by.since(outcomes(1, 1, 3), held(false, 0)), Counts { good: 1, bad: 4 });
        assert_eq!(by.since(outcomes(2, 2, 9), held(true, 1)), Counts { good: 1, bad: 1 });
        let end = by.since(outcomes(2, 2, 12), held(false, 1));
        assert_eq!(end, Counts { good: 0, bad: 0 }, "at the end of the hold");
        assert_eq!(by.since(outcomes(2, 2, 13), held(false, 1)), Counts { good: 0, bad: 1 });
        let short = by.since(outcomes(2, 2, 73), held(false, 2));
        assert_eq!(short, Counts { good: 0, bad: 0 }, "a hold that came and went between two looks");
    }
}
