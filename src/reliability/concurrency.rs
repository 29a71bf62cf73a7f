//! How many requests an upstream behind the ingress may have under way at once: Netflix's Gradient2
//! (`Gradient2Limit` of github.com/Netflix/concurrency-limits, Apache-2.0), weighed by Little's law.
//!
//! With `short` the fastest answer of a route in a window, and `long` what that was over a long time:
//!
//! ```text
//! queued   = Σ over routes: answers a second × (short − long)           requests that only wait
//! then     = in flight when those began that are answered now
//! needed   = max(Σ answers a second × long, in flight lately while next to nothing waited)
//! useful   = max(then − queued, needed)
//! gradient = clamp(1.5 × useful / then, 0.5, 1)
//! limit    = limit × gradient + max(4, limit / 10), smoothed by 0.2; at once where the gradient is 0.5
//! limit    ≥ 1.5 × needed + 4
//! ```
//!
//! With one route, in flight = answers a second × short (Little), so the gradient is the original's `1.5 × long / short`. What is
//! different, and why:
//!
//! * The fastest answer and not the mean, by route: a mean moves when the mix does (more requests of 10 s among those of 5 ms),
//!   and nothing is the matter then. In a queue even the fastest waits.
//! * While ever more are under way, answers tell of the queue that there was when they were asked for; so they are compared with
//!   what was in flight then.
//! * What was in flight while nothing waited is needed, whatever the answers of a moment say: where quick and slow requests share a
//!   route, its fastest answer knows nothing of the slow ones, and once the quick are refused the slow are its fastest.
//! * A route with fewer than ten answers in a window waits as the others do.
//! * Weighed by answers a second, a slow route says little, and its requests in flight are useful, not queued.
//! * It begins at the most, not at 20: what has not been seen to be too much is let through.
//! * It shrinks only while the upstream is seen to be behind: requests are being refused, or those in flight have grown in each of
//!   four windows, by a tenth or more. A deploy that makes all answers slower fills up once and is steady then. Else it grows by a
//!   tenth a window. Where they have grown in a fifth window too, it is at most what is in flight.
//! * `long` learns nothing higher while it is behind, or an overload would become what is usual. So that a version that is slower by
//!   nature is not held back for good, the limit is raised by 30 % for two seconds now and then; where that brings 15 % more answers
//!   the limit was what held them back (the covariance check of Uber's Cinnamon), and `long` is what is seen.
//!
//! Refuses to know requests and routes by name. Invariants: the limit is within the policy; below it nobody is refused, but
//! for [`share`].

use std::time::Duration;

use super::degradation::RouteClass;

/// How often the limit is looked at.
pub const WINDOW: Duration = Duration::from_millis(250);

/// Latency may rise to so much of the usual before the limit shrinks; Gradient2's `tolerance`.
const TOLERANCE: f64 = 1.5;
/// Requests that may wait; Gradient2's `queueSize`.
const QUEUE: f64 = 4.0;
/// How much of a new limit counts; Gradient2's `smoothing`.
const SMOOTHING: f64 = 0.2;
/// Windows over which the usual latency is learnt; Gradient2's `longWindow`.
const LONG: f64 = 600.0;
/// The first windows are averaged; Gradient2's warm-up.
const WARM_UP: f64 = 10.0;
/// A usual latency that is so much above what is seen decays by [`DECAY`] a window.
const STALE: f64 = 2.0;
const DECAY: f64 = 0.95;
/// Answers of a route that tell a latency; fewer wait for the next window. `WindowedLimit`'s `minWindowSize`.
const SAMPLES: u64 = 10;
/// What may wait of those in flight where nothing waits to speak of.
const LITTLE: f64 = 0.1;
/// Windows in a row in which what is in flight grows when an upstream is behind, and by how much in all.
const GROWTH: usize = 4;
const GROWN: f64 = 1.1;
/// The least part of the growth that each of them has: 1 in so many.
const EVENLY: u32 = 20;
/// Windows of which it is remembered how many were in flight: 16 s.
const REMEMBERED: usize = 64;
/// Windows of refusals before the first try at more, and between two.
const FIRST_TRY: u32 = 8;
const NEXT_TRY: u32 = 240;
/// Windows of a try, and as many before it to compare with.
const TRY: usize = 8;
/// What a try raises the limit by, and the answers that show that the limit held them back.
const RAISED: f64 = 1.3;
const PAYS: f64 = 1.15;

/// What is done with requests that are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionMode {
    /// They are refused.
    On,
    /// They are counted and let through.
    Shadow,
    /// Nobody looks.
    Off,
}

/// The bounds of the limit, and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencyPolicy {
    pub mode: AdmissionMode,
    /// The least it may be.
    pub min: u32,
    /// The most, and where it begins.
    pub max: u32,
}

/// Off; 20 is Netflix's least. 60 % of 2,000 are more than the connections that an upstream may have by default (1,024): at its most the
/// limit refuses nothing that the pool would not.
impl Default for ConcurrencyPolicy {
    fn default() -> Self {
        Self { mode: AdmissionMode::Off, min: 20, max: 2_000 }
    }
}

/// How much of `limit` requests of a class may fill, all classes counted: a low one 60 %, a normal one 80 %, a high one all.
pub fn share(limit: u32, class: RouteClass) -> u32 {
    let percent = match class {
        RouteClass::High => 100,
        RouteClass::Normal => 80,
        RouteClass::Low => 60,
    };
    // At most the limit.
    (u64::from(limit) * percent / 100).max(1) as u32
}

/// What a window has shown of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteWindow {
    /// Requests that left: answered, in whichever way, or given up.
    pub left: u64,
    /// Answers whose latency counts.
    pub samples: u64,
    /// The fastest of them.
    pub fastest: Option<Duration>,
}

impl RouteWindow {
    /// The fastest answer in seconds, where there are enough to tell.
    fn fresh(&self) -> Option<f64> {
        self.fastest.filter(|_| self.samples >= SAMPLES).map(|fastest| fastest.as_secs_f64())
    }
}

/// What a window has shown of the upstream.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// How long it was.
    pub took: Duration,
    /// Requests that wait for their answer now.
    pub in_flight: u32,
    /// Requests that were refused, or would have been, for the limit or for want of a connection.
    pub refused: u64,
}

/// The latency of one route: what it is, and what it was over a long time. Seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Baseline {
    short: f64,
    long: f64,
    windows: f64,
    waiting: RouteWindow,
}

impl Baseline {
    /// A window more: what it shows, once it shows enough.
    fn hear(&mut self, window: &RouteWindow) -> bool {
        self.waiting.samples += window.samples;
        self.waiting.fastest = [self.waiting.fastest, window.fastest].into_iter().flatten().min();
        if self.waiting.samples < SAMPLES {
            return false;
        }
        if let Some(fastest) = std::mem::take(&mut self.waiting).fastest {
            self.short = fastest.as_secs_f64();
        }
        true
    }

    /// Learns what is usual; nothing higher while the upstream is behind.
    fn learn(&mut self, behind: bool) {
        if self.windows == 0.0 {
            self.long = self.short;
        }
        if behind && self.short > self.long {
            return;
        }
        self.windows = (self.windows + 1.0).min(LONG);
        let weight = if self.windows < WARM_UP { self.windows } else { LONG };
        self.long += (self.short - self.long) / weight;
        if self.long > self.short * STALE {
            self.long *= DECAY;
        }
    }
}

/// A try at a higher limit.
#[derive(Clone, Copy, Debug)]
struct Try {
    /// The limit before it.
    limit: f64,
    /// Requests that left in the windows before it.
    before: u64,
    windows: usize,
}

/// The limit of one upstream.
#[derive(Clone, Debug)]
pub struct Gradient {
    limit: f64,
    in_flight: [u32; REMEMBERED],
    left: [u64; TRY],
    refusing: u32,
    next_try: u32,
    trying: Option<Try>,
    /// The most that were in flight lately while nothing waited.
    well: f64,
}

impl Gradient {
    /// At the most that `policy` allows.
    pub fn new(policy: &ConcurrencyPolicy) -> Self {
        Self {
            limit: f64::from(policy.max),
            in_flight: [0; REMEMBERED],
            left: [0; TRY],
            refusing: 0,
            next_try: FIRST_TRY,
            trying: None,
            well: 0.0,
        }
    }

    /// Requests that may be under way.
    pub fn limit(&self) -> u32 {
        // Within the bounds of a policy.
        self.limit as u32
    }

    /// A window has ended. `routes`: what it has shown of each, and its latency.
    pub fn turn(
        &mut self,
        policy: &ConcurrencyPolicy,
        window: &Window,
        routes: &mut [(RouteWindow, &mut Baseline)],
    ) {
        self.in_flight.rotate_left(1);
        self.in_flight[REMEMBERED - 1] = window.in_flight;
        self.left.rotate_left(1);
        self.left[TRY - 1] = routes.iter().map(|(seen, _)| seen.left).sum();
        let refusing = window.refused > 0;
        self.refusing = if refusing { self.refusing.saturating_add(1) } else { 0 };
        let behind = refusing || self.grows(policy.min, GROWTH);
        let flow = self.flow(window.took, routes);
        if flow.is_well && !behind {
            // Of the last second the least: what comes at the end of a window is not what its answers waited behind.
            let lately = &self.in_flight[REMEMBERED - 1 - GROWTH..];
            let carried = f64::from(lately.iter().copied().min().unwrap_or(0));
            self.well = carried.max(self.well + (carried - self.well) / LONG);
        }
        for (seen, baseline) in &mut *routes {
            if baseline.hear(seen) {
                baseline.learn(behind);
            }
        }
        if refusing {
            if !self.tries(routes) {
                self.shrink(flow);
            }
        } else {
            (self.trying, self.next_try) = (None, FIRST_TRY);
            if behind && flow.gradient < 1.0 {
                // What may still come beside those that wait would only wait as well.
                if self.grows(policy.min, GROWTH + 1) {
                    self.limit = self.limit.min(f64::from(window.in_flight));
                }
                self.shrink(flow);
            } else {
                self.limit += self.step();
            }
        }
        self.limit = self.limit.clamp(f64::from(policy.min), f64::from(policy.max));
    }

    /// Has what is in flight grown in each of so many windows, and in none next to nothing? A hang of a moment ends in one.
    fn grows(&self, min: u32, windows: usize) -> bool {
        let lately = &self.in_flight[REMEMBERED - 1 - windows..];
        let (first, last) = (lately[0], lately[windows]);
        let least = (last.saturating_sub(first) / EVENLY).max(1);
        let rises = lately.windows(2).all(|two| two[1] >= two[0].saturating_add(least));
        rises && last > min && f64::from(last) >= f64::from(first) * GROWN
    }

    fn step(&self) -> f64 {
        QUEUE.max(self.limit / 10.0)
    }

    fn shrink(&mut self, flow: Flow) {
        let next = self.limit * flow.gradient + self.step();
        let weight = if flow.gradient > 0.5 { SMOOTHING } else { 1.0 };
        self.limit += (next - self.limit) * weight;
        self.limit = self.limit.max(flow.needed * TOLERANCE + QUEUE);
    }

    fn flow(&self, took: Duration, routes: &[(RouteWindow, &mut Baseline)]) -> Flow {
        let seconds = took.as_secs_f64().max(1e-3);
        let common = common_wait(routes);
        let (mut queued, mut needed, mut ago) = (0.0, 0.0, 0.0);
        for (seen, baseline) in routes.iter().filter(|(_, baseline)| baseline.windows > 0.0) {
            let rate = seen.left as f64 / seconds;
            let wait = seen.fresh().map_or(common, |short| (short - baseline.long).max(0.0));
            queued += rate * wait;
            ago += rate * wait * (baseline.long + wait);
            needed += rate * baseline.long;
        }
        let then = self.before(if queued > 0.0 { ago / queued / seconds } else { 0.0 });
        let samples: u64 = routes.iter().map(|(seen, _)| seen.samples).sum();
        let is_well = samples >= SAMPLES && queued <= then * LITTLE;
        let needed = f64::max(needed, self.well);
        let useful = (then - queued).max(needed).max(0.0);
        let gradient = if then > 0.0 { (TOLERANCE * useful / then).clamp(0.5, 1.0) } else { 1.0 };
        Flow { gradient, needed, is_well }
    }

    /// How many were in flight so many windows ago, in the middle of that window.
    fn before(&self, windows: f64) -> f64 {
        // At most what is remembered.
        let ago = (windows.round() as usize).min(REMEMBERED - 2);
        let at = REMEMBERED - 1 - ago;
        f64::from(self.in_flight[at - 1].saturating_add(self.in_flight[at])) / 2.0
    }

    /// Goes on with a try at more, or begins one when it is time: then the gradient waits.
    fn tries(&mut self, routes: &mut [(RouteWindow, &mut Baseline)]) -> bool {
        let left: u64 = self.left.iter().sum();
        match &mut self.trying {
            None if self.refusing < self.next_try => return false,
            None => {
                self.trying = Some(Try { limit: self.limit, before: left, windows: 0 });
                self.limit *= RAISED;
            }
            Some(tried) if tried.windows + 1 < TRY => tried.windows += 1,
            Some(tried) => {
                let pays = left as f64 >= tried.before as f64 * PAYS;
                if pays {
                    routes
                        .iter_mut()
                        .for_each(|(_, baseline)| baseline.long = baseline.long.max(baseline.short));
                } else {
                    self.limit = tried.limit;
                }
                let wait = if pays { FIRST_TRY } else { NEXT_TRY };
                (self.trying, self.next_try) = (None, self.refusing.saturating_add(wait));
            }
        }
        true
    }
}

/// Seconds that requests wait for others, as the routes show it that have answered enough in this window: the others, which are
/// seldom asked for, wait in the same queue.
fn common_wait(routes: &[(RouteWindow, &mut Baseline)]) -> f64 {
    let (mut answers, mut waits) = (0.0, 0.0);
    for (seen, baseline) in routes.iter().filter(|(_, baseline)| baseline.windows > 0.0) {
        if let Some(short) = seen.fresh() {
            answers += seen.left as f64;
            waits += seen.left as f64 * (short - baseline.long).max(0.0);
        }
    }
    if answers > 0.0 { waits / answers } else { 0.0 }
}

/// What the requests in flight are.
#[derive(Clone, Copy, Debug)]
struct Flow {
    gradient: f64,
    /// How many are needed for the answers that there are, where nothing waits; no fewer than there were when nothing did.
    needed: f64,
    /// There were answers enough to tell, and next to nothing waited.
    is_well: bool,
}

#[cfg(test)]
mod tests;
