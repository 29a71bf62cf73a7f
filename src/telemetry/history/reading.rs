//! What the steps of the last hour say of a part of the traffic, in bins of one step or more.
//!
//! Pure: made of what was copied under the lock, read elsewhere. A bin in which nothing was closed is `None`, never a bin of
//! zeros.

use std::collections::BTreeMap;
use std::ops::AddAssign as _;
use std::time::{Duration, Instant};

use super::grain::Grain;
use super::open::OUTCOMES;
use super::{Closed, STEP, STEPS, others, step};
use crate::names::{RouteName, UpstreamName};
use crate::telemetry::cells::CellSum;
use crate::telemetry::labels::{Direction, SeriesKey};
use crate::telemetry::packed;

/// Where the rows of a heat map begin, in milliseconds: six a decade.
pub const HEAT_BOUNDS_MS: [f64; 37] = [
    0.0, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 70.0,
    100.0, 150.0, 200.0, 300.0, 500.0, 700.0, 1_000.0, 1_500.0, 2_000.0, 3_000.0, 5_000.0, 7_000.0, 10_000.0,
    15_000.0, 20_000.0, 30_000.0, 50_000.0, 100_000.0,
];

/// A part of the traffic; what is `None` is any.
#[derive(Clone, Debug, Default)]
pub struct TrafficScope {
    pub direction: Option<Direction>,
    pub route: Option<RouteName>,
    pub upstream: Option<UpstreamName>,
}

impl TrafficScope {
    /// Is this series part of it?
    pub fn holds(&self, (route, upstream, direction): &SeriesKey) -> bool {
        self.direction.is_none_or(|wanted| wanted == *direction)
            && self.route.as_ref().is_none_or(|wanted| wanted == route)
            && self.upstream.as_ref().is_none_or(|wanted| wanted == upstream)
    }

    /// Are the series without a number of their own part of it?
    fn holds_others(&self, direction: Direction) -> bool {
        self.route.is_none() && self.upstream.is_none() && self.direction.is_none_or(|of| of == direction)
    }
}

/// Percentiles of a bin, milliseconds: the end of the cell that each lies in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

/// What was counted between two moments.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficBin {
    pub from: Instant,
    pub to: Instant,
    /// In the order of [`ExchangeOutcome::ALL`](crate::telemetry::labels::ExchangeOutcome::ALL).
    pub outcomes: [u64; OUTCOMES],
    /// `None`: nothing ended, or there was no room for the histogram.
    pub latency: Option<Latency>,
    /// Exchanges by row of the heat map, see [`HEAT_BOUNDS_MS`].
    pub heat: [u64; HEAT_BOUNDS_MS.len()],
    /// Cells of some of it are at most so wide, as a share of their durations.
    pub precision: f64,
}

/// The closed steps of the last hour, copied.
pub struct TrafficSteps {
    began: Instant,
    since: u64,
    closed: Vec<Closed>,
    slots: BTreeMap<SeriesKey, u16>,
}

/// One bin while it is summed up.
struct OpenBin {
    from: u64,
    to: u64,
    outcomes: [u64; OUTCOMES],
    grain: Grain,
}

impl TrafficSteps {
    pub(super) fn new(
        began: Instant,
        since: u64,
        closed: Vec<Closed>,
        slots: BTreeMap<SeriesKey, u16>,
    ) -> Self {
        Self { began, since, closed, slots }
    }

    fn at(&self, micros: u64) -> Instant {
        self.began + Duration::from_micros(micros)
    }

    /// The end of the youngest step; before the first one is closed, the beginning of all.
    pub fn observed(&self) -> Instant {
        self.at(self.since)
    }

    /// Since when it is known.
    pub fn known_since(&self) -> Instant {
        self.at(self.closed.first().map_or(self.since, |oldest| oldest.from))
    }

    /// Has anything of this part been seen in the last hour?
    pub fn has(&self, scope: &TrafficScope) -> bool {
        self.slots.keys().any(|key| scope.holds(key))
    }

    /// Has anything of this very series been seen in the last hour?
    pub fn knows(&self, key: &SeriesKey) -> bool {
        self.slots.contains_key(key)
    }

    /// Where the youngest bin of `steps` steps begins.
    pub fn youngest(&self, steps: usize) -> Instant {
        let long = STEP.as_micros() as u64 * steps.clamp(1, STEPS) as u64;
        let from = self.closed.last().map_or(self.since, |closed| closed.from);
        self.at(from / long * long)
    }

    /// The last `bins` bins of `steps` steps each, oldest first. The youngest one may have begun less than its length ago.
    pub fn bins(&self, scope: &TrafficScope, steps: usize, bins: usize) -> Vec<Option<TrafficBin>> {
        let (steps, bins) = (steps.clamp(1, STEPS) as u64, bins.clamp(1, STEPS) as u64);
        let wanted = self.wanted(scope);
        let bin_of = |closed: &Closed| closed.from / (STEP.as_micros() as u64 * steps);
        let Some(youngest) = self.closed.last().map(bin_of) else {
            return vec![None; bins as usize];
        };
        let mut sum = CellSum::default();
        let mut at = self.closed.iter().peekable();
        let first = youngest.saturating_sub(bins - 1);
        let missing = bins - 1 - (youngest - first);
        let before = std::iter::repeat_n(None, missing as usize);
        let known = (first..=youngest).map(|number| {
            while at.next_if(|closed| bin_of(closed) < number).is_some() {}
            let of_it = std::iter::from_fn(|| at.next_if(|closed| bin_of(closed) == number));
            self.bin(of_it, &wanted, &mut sum)
        });
        before.chain(known).collect()
    }

    fn wanted(&self, scope: &TrafficScope) -> Vec<bool> {
        let most = self.slots.values().max().map_or(2, |most| usize::from(*most) + 1).max(2);
        let mut wanted = vec![false; most];
        for (key, slot) in &self.slots {
            wanted[usize::from(*slot)] = scope.holds(key);
        }
        for direction in Direction::ALL {
            wanted[usize::from(others(direction))] = scope.holds_others(direction);
        }
        wanted
    }

    fn bin<'a>(
        &self,
        closed: impl Iterator<Item = &'a Closed>,
        wanted: &[bool],
        sum: &mut CellSum,
    ) -> Option<TrafficBin> {
        let mut open: Option<OpenBin> = None;
        for one in closed {
            let bin = open.get_or_insert(OpenBin {
                from: one.from,
                to: one.to,
                outcomes: [0; OUTCOMES],
                grain: Grain::FINEST,
            });
            bin.to = one.to;
            for series in step::read(&one.bytes) {
                if wanted.get(usize::from(series.slot)).is_some_and(|wanted| *wanted) {
                    bin.outcomes.iter_mut().zip(series.outcomes).for_each(|(all, more)| all.add_assign(more));
                    if !series.packed.is_empty() {
                        bin.grain = bin.grain.min(series.grain);
                        packed::read(series.packed, |cell, count| {
                            sum.add(Grain::FINEST.cell(series.grain.span(cell).0), count);
                        });
                    }
                }
            }
        }
        let bin = open?;
        let told = TrafficBin {
            from: self.at(bin.from),
            to: self.at(bin.to),
            outcomes: bin.outcomes,
            latency: latency(sum, bin.grain),
            heat: heat(sum),
            precision: bin.grain.width(),
        };
        sum.clear();
        Some(told)
    }
}

/// The end of the cell of `grain` that the finest cell lies in, milliseconds.
fn end_ms(cell: u16, grain: Grain) -> f64 {
    let (lowest, _) = Grain::FINEST.span(cell);
    let (_, highest) = grain.span(grain.cell(lowest));
    highest as f64 / 1_000.0
}

fn latency(sum: &CellSum, grain: Grain) -> Option<Latency> {
    let all = sum.all();
    let mut cells = sum.iter().peekable();
    let (mut passed, mut last) = (0, cells.peek()?.0);
    // Ascending quantiles: one way through.
    let [p50_ms, p90_ms, p95_ms, p99_ms] = [0.5, 0.9, 0.95, 0.99].map(|quantile| {
        let wanted = ((all as f64 * quantile).ceil() as u64).clamp(1, all);
        while passed < wanted
            && let Some((cell, count)) = cells.next()
        {
            passed += count;
            last = cell;
        }
        end_ms(last, grain)
    });
    Some(Latency { p50_ms, p90_ms, p95_ms, p99_ms, max_ms: end_ms(sum.ends().1, grain) })
}

fn heat(sum: &CellSum) -> [u64; HEAT_BOUNDS_MS.len()] {
    let mut rows = [0; HEAT_BOUNDS_MS.len()];
    for (cell, count) in sum.iter() {
        let lowest = Grain::FINEST.span(cell).0 as f64 / 1_000.0;
        let row = HEAT_BOUNDS_MS.partition_point(|bound| *bound <= lowest).saturating_sub(1);
        rows[row] += count;
    }
    rows
}
