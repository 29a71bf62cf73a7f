//! What is under way to an upstream behind the ingress, over all workers, and how much of it may be.
//!
//! [`concurrency`](crate::reliability::concurrency) decides the limit four times a second, from what each worker has counted by route.
//! A request reads it with one load, takes and gives back its place in one counter, and takes no lock; while the mode is off
//! it does nothing but that load.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::config::word::Word as _;
use crate::names::{RouteName, UpstreamName};
use crate::reliability::concurrency::{
    AdmissionMode, Baseline, ConcurrencyPolicy, Gradient, RouteWindow, Window, share,
};
use crate::reliability::degradation::RouteClass;
use crate::telemetry::event::UpstreamEvent;
use crate::telemetry::load::LoadSeries;

/// Without a refusal for so long the upstream keeps up again.
const RELIEVED: Duration = Duration::from_secs(10);

/// The limit in the lower half, the mode above it: 0 off, 1 shadow, 2 on.
const SHADOW: u64 = 1 << 32;
const ON: u64 = 2 << 32;

/// What is under way to one upstream.
pub struct Load {
    word: AtomicU64,
    series: Arc<LoadSeries>,
    workers: usize,
    /// Requests that found no connection left.
    full: AtomicU64,
    decider: Mutex<Decider>,
}

/// What only those that decide look at.
#[derive(Default)]
struct Decider {
    gradient: Option<Gradient>,
    routes: Vec<RouteState>,
    refused: [u64; 2],
    turned: Option<Instant>,
    episode: Option<Episode>,
}

struct RouteState {
    name: RouteName,
    load: Weak<RouteLoad>,
    baseline: Baseline,
}

/// A time in which requests are refused.
struct Episode {
    /// Refused before it.
    before: u64,
    last: Instant,
}

/// One worker's share, on cache lines of its own.
#[repr(align(128))]
struct LoadShard {
    left: AtomicU64,
    samples: AtomicU64,
    /// Nanoseconds; `u64::MAX`: none.
    fastest: AtomicU64,
}

/// What is under way of one route.
pub struct RouteLoad {
    of: Arc<Load>,
    shards: Box<[LoadShard]>,
}

/// One request that waits for its answer.
pub struct InFlight {
    route: Arc<RouteLoad>,
    worker: usize,
}

impl InFlight {
    /// There was no connection left for it: the upstream may be behind.
    pub fn found_none(&self) {
        self.route.of.full.fetch_add(1, Ordering::Relaxed);
    }

    /// Its answer is there; `took`: how long that took, where it says something about the upstream.
    pub fn answered(self, took: Option<Duration>) {
        if let Some(took) = took {
            let shard = self.route.shard(self.worker);
            shard.samples.fetch_add(1, Ordering::Relaxed);
            shard.fastest.fetch_min(nanos(took), Ordering::Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.route.shard(self.worker).left.fetch_add(1, Ordering::Relaxed);
        self.route.of.series.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX - 1)
}

impl RouteLoad {
    fn shard(&self, worker: usize) -> &LoadShard {
        // There is at least one shard.
        &self.shards[worker % self.shards.len()]
    }

    /// One more request of `class`: its place, `None` where nobody looks; an error: it is too many.
    pub fn enter(self: &Arc<Self>, worker: usize, class: RouteClass) -> Result<Option<InFlight>, TooMany> {
        let load = &self.of;
        let word = load.word.load(Ordering::Relaxed);
        if word == 0 {
            return Ok(None);
        }
        // The lower half is the limit.
        let limit = word as u32;
        let before = load.series.in_flight.fetch_add(1, Ordering::Relaxed);
        if before >= share(limit, class) {
            if word >= ON {
                load.series.in_flight.fetch_sub(1, Ordering::Relaxed);
                load.series.refused(class);
                return Err(TooMany { limit });
            }
            load.series.would_refuse(class);
        }
        Ok(Some(InFlight { route: Arc::clone(self), worker }))
    }

    /// What it has counted since the last look.
    fn window(&self) -> RouteWindow {
        let mut seen = RouteWindow::default();
        for shard in &self.shards {
            seen.left += shard.left.swap(0, Ordering::Relaxed);
            seen.samples += shard.samples.swap(0, Ordering::Relaxed);
            let fastest = shard.fastest.swap(u64::MAX, Ordering::Relaxed);
            let fastest = (fastest < u64::MAX).then(|| Duration::from_nanos(fastest));
            seen.fastest = [seen.fastest, fastest].into_iter().flatten().min();
        }
        seen
    }
}

/// There are as many under way as may be.
#[derive(Clone, Copy, Debug)]
pub struct TooMany {
    /// How many may be, of all classes.
    pub limit: u32,
}

impl Load {
    /// Off, for `workers` workers; it counts in `series`.
    pub(super) fn new(series: &Arc<LoadSeries>, workers: usize) -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(0),
            series: Arc::clone(series),
            workers: workers.max(1),
            full: AtomicU64::new(0),
            decider: Mutex::default(),
        })
    }

    fn decider(&self) -> std::sync::MutexGuard<'_, Decider> {
        self.decider.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is under way of the route of this name; the same after a reload.
    pub(super) fn route(self: &Arc<Self>, name: &RouteName) -> Arc<RouteLoad> {
        let mut decider = self.decider();
        let known = decider.routes.iter().find(|route| route.name == *name);
        if let Some(known) = known.and_then(|route| route.load.upgrade()) {
            return known;
        }
        let shard = || LoadShard { left: 0.into(), samples: 0.into(), fastest: AtomicU64::new(u64::MAX) };
        let shards = (0..self.workers).map(|_| shard()).collect();
        let load = Arc::new(RouteLoad { of: Arc::clone(self), shards });
        let state =
            RouteState { name: name.clone(), load: Arc::downgrade(&load), baseline: Baseline::default() };
        decider.routes.push(state);
        load
    }

    /// A window has ended: the limit for the next.
    pub fn turn(&self, policy: &ConcurrencyPolicy, name: &UpstreamName, now: Instant) {
        if policy.mode == AdmissionMode::Off {
            if self.word.swap(0, Ordering::Relaxed) != 0 {
                self.series.limit.store(0, Ordering::Relaxed);
                let mut decider = self.decider();
                (decider.gradient, decider.turned, decider.episode) = (None, None, None);
            }
            return;
        }
        let refused = self.series.refusals().iter().chain(&self.series.shadow_refusals()).sum();
        let in_flight = self.series.in_flight.load(Ordering::Relaxed);
        let full = self.full.load(Ordering::Relaxed);
        let (limit, news) = self.decider().turn(policy, in_flight, [refused, full], now);
        let mode = if policy.mode == AdmissionMode::On { ON } else { SHADOW };
        self.word.store(mode | u64::from(limit), Ordering::Relaxed);
        self.series.limit.store(limit, Ordering::Relaxed);
        let upstream = name.as_str();
        match news {
            Some(News::Overloaded) => {
                UpstreamEvent::Overloaded { upstream, limit, in_flight, mode: policy.mode.word() }.tell();
            }
            Some(News::Relieved { refused }) => UpstreamEvent::Relieved { upstream, refused }.tell(),
            None => {}
        }
    }
}

impl Decider {
    /// `refused`: since the start, for the limit and for want of a connection.
    fn turn(
        &mut self,
        policy: &ConcurrencyPolicy,
        in_flight: u32,
        refused: [u64; 2],
        now: Instant,
    ) -> (u32, Option<News>) {
        let mut seen = Vec::with_capacity(self.routes.len());
        self.routes.retain_mut(|route| {
            let load = route.load.upgrade();
            seen.extend(load.as_ref().map(|load| load.window()));
            load.is_some()
        });
        let baselines = self.routes.iter_mut().map(|route| &mut route.baseline);
        let mut routes: Vec<_> = seen.into_iter().zip(baselines).collect();
        let [before, full_before] = std::mem::replace(&mut self.refused, refused);
        let [refused, full] = refused;
        let (lately, full) = (refused - before, full - full_before);
        let gradient = self.gradient.get_or_insert_with(|| Gradient::new(policy));
        // The first look has no window behind it.
        if let Some(before) = self.turned.replace(now) {
            let took = now.saturating_duration_since(before);
            gradient.turn(policy, &Window { took, in_flight, refused: lately + full }, &mut routes);
        }
        let limit = gradient.limit();
        (limit, self.news(refused, lately, now))
    }

    fn news(&mut self, refused: u64, lately: u64, now: Instant) -> Option<News> {
        match &mut self.episode {
            None if lately > 0 => {
                self.episode = Some(Episode { before: refused - lately, last: now });
                Some(News::Overloaded)
            }
            Some(episode) if lately > 0 => {
                episode.last = now;
                None
            }
            Some(episode) if now.saturating_duration_since(episode.last) >= RELIEVED => {
                let refused = refused - episode.before;
                self.episode = None;
                Some(News::Relieved { refused })
            }
            Some(_) | None => None,
        }
    }
}

/// What is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// Requests begin to be refused, or would be.
    Overloaded,
    /// None was for a while.
    Relieved { refused: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODE: ConcurrencyPolicy = ConcurrencyPolicy { mode: AdmissionMode::On, min: 5, max: 10 };

    fn load() -> (Arc<Load>, Arc<RouteLoad>, UpstreamName) {
        let load = Load::new(&Arc::default(), 2);
        let route = load.route(&RouteName::new("a").unwrap());
        (load, route, UpstreamName::new("backend").unwrap())
    }

    #[test]
    fn while_it_is_off_nothing_is_counted() {
        let (load, route, name) = load();
        assert!((0..100).all(|_| matches!(route.enter(0, RouteClass::Low), Ok(None))));
        load.turn(&ConcurrencyPolicy { mode: AdmissionMode::Off, ..MODE }, &name, Instant::now());
        assert_eq!(load.series.in_flight.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn low_ones_are_refused_first_and_what_is_given_back_is_free_again() {
        let (load, route, name) = load();
        load.turn(&MODE, &name, Instant::now());
        let mut held = Vec::new();
        for class in [RouteClass::Low, RouteClass::Normal, RouteClass::High] {
            while let Ok(place) = route.enter(held.len(), class) {
                held.push(place.expect("it is on"));
            }
            assert!(route.enter(0, RouteClass::Low).is_err());
        }
        assert_eq!(held.len(), 10);
        assert_eq!(load.series.refusals(), [1, 1, 4]);
        held.pop().expect("held").answered(Some(Duration::from_millis(3)));
        assert!(route.enter(1, RouteClass::High).is_ok());
        held.clear();
        assert_eq!(load.series.in_flight.load(Ordering::Relaxed), 0);
        let seen = RouteWindow { left: 11, samples: 1, fastest: Some(Duration::from_millis(3)) };
        assert_eq!((route.window(), route.window()), (seen, RouteWindow::default()));
    }

    #[test]
    fn in_shadow_it_counts_and_refuses_nothing() {
        let (load, route, name) = load();
        load.turn(&ConcurrencyPolicy { mode: AdmissionMode::Shadow, ..MODE }, &name, Instant::now());
        let held: Vec<_> = (0..20).filter_map(|_| route.enter(0, RouteClass::High).ok()).collect();
        assert_eq!((held.len(), load.series.shadow_refusals()), (20, [10, 0, 0]));
        assert_eq!(load.series.refusals(), [0; 3]);
    }

    #[test]
    fn a_reload_finds_what_a_route_has_under_way() {
        let (load, route, _) = load();
        assert!(Arc::ptr_eq(&load.route(&RouteName::new("a").unwrap()), &route));
    }

    #[test]
    fn an_overload_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let mut decider = Decider::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        let news: Vec<_> = [(0, 0), (1, 5), (2, 9), (3, 9), (11, 9), (12, 9), (13, 9)]
            .into_iter()
            .filter_map(|(second, refused)| decider.turn(&MODE, 3, [refused, 0], at(second)).1)
            .collect();
        assert_eq!(news, [News::Overloaded, News::Relieved { refused: 9 }]);
    }
}
