//! What is told: counters, histograms, one line per exchange, events.
//!
//! The request path touches only its worker's own shard; everything that sums up runs on the control runtime.

pub mod access;
pub mod application;
pub mod breakers;
pub mod bypass;
mod cells;
pub mod clients;
pub mod degradation;
pub mod drills;
pub mod event;
mod exposer;
pub mod failover;
mod family;
pub mod fleet;
pub mod history;
pub mod labels;
mod lane;
pub mod latency;
pub mod line;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod openmetrics;
pub mod outbox;
mod packed;
pub mod people;
mod prefix;
mod recent;
mod recorder;
pub mod recovery;
mod rings;
pub mod runbooks;
pub mod seconds;
pub mod series;
pub mod slow;
pub mod sre;
pub mod store;
pub mod tap;
pub mod telling;
mod threads;
pub mod totals;
mod tunnels;
pub mod unnamed;
mod upstream_families;
pub mod upstreams;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use crate::message::memory::MemoryBudget;
use crate::names::{RouteName, UpstreamName};
use crate::runtime::clock::Moment;
use crate::runtime::readiness::Readiness;
use crate::runtime::tasks;
use access::AccessLog;
use labels::{Direction, SeriesKey};
use series::Series;
use upstreams::UpstreamSeries;

/// Numbers that belong to no upstream.
#[derive(Debug, Default)]
pub struct ProcessMetrics {
    /// Connections that ended because their task panicked.
    pub panics: AtomicU64,
    /// Rises with every applied config.
    pub config_generation: AtomicU64,
    /// 1: the last reload was applied.
    pub config_ok: AtomicU64,
    /// Unix seconds of the last applied reload.
    pub config_at: AtomicU64,
    /// Connections refused by a listener's cap.
    pub connections_refused: AtomicU64,
}

/// Everything that is counted.
pub struct Telemetry {
    workers: usize,
    started: Moment,
    series: RwLock<BTreeMap<SeriesKey, Arc<Series>>>,
    upstreams: RwLock<BTreeMap<UpstreamName, Arc<UpstreamSeries>>>,
    malformed: Mutex<BTreeMap<&'static str, u64>>,
    listeners: RwLock<BTreeMap<String, crate::net::listener::ConnectionCount>>,
    access: AccessLog,
    /// Exchanges as they end, for whoever looks on.
    taps: tap::Taps,
    pub process: ProcessMetrics,
    /// May traffic come, and what holds it off.
    pub readiness: Readiness,
    /// The filter of the log.
    log: OnceLock<logging::Filter>,
    /// What may be buffered of traffic, and what is.
    pub memory: Arc<MemoryBudget>,
    /// Uptime, incidents, times to detect and to recover.
    pub sre: sre::Sre,
    /// The store and its copies.
    pub store: store::StoreMetrics,
    /// Attempts to tell people.
    pub people: people::PeopleMetrics,
    /// Runs of recovery plans.
    pub recovery: recovery::RecoveryMetrics,
    /// Checks of runbooks.
    pub runbooks: runbooks::RunbookMetrics,
    /// The place among other sidecars.
    pub fleet: fleet::FleetMetrics,
    /// What passes the egress by.
    pub bypass: bypass::BypassMetrics,
    /// How much of the service is given up.
    pub degradation: degradation::DegradationMetrics,
    /// Drills.
    pub drills: drills::DrillMetrics,
    pub failover: failover::FailoverMetrics,
    /// Writes that are queued.
    pub outbox: outbox::OutboxMetrics,
    /// Names of routes by the application's own document.
    pub application: application::ApplicationMetrics,
    /// Paths of requests that no route has a name for.
    pub unnamed: Arc<unnamed::UnnamedPaths>,
    exposer: exposer::Exposer,
    scratch: Mutex<series::SumScratch>,
    history: Mutex<history::TrafficHistory>,
    rotated: Mutex<Option<Instant>>,
}

impl Telemetry {
    /// Counts for `workers` shards from `now` on.
    pub fn new(workers: usize, access: AccessLog, now: Moment) -> Arc<Self> {
        Arc::new(Self {
            workers,
            started: now,
            series: RwLock::default(),
            upstreams: RwLock::default(),
            malformed: Mutex::default(),
            listeners: RwLock::default(),
            access,
            taps: tap::Taps::default(),
            process: ProcessMetrics::default(),
            readiness: Readiness::default(),
            log: OnceLock::new(),
            memory: Arc::default(),
            sre: sre::Sre::default(),
            store: store::StoreMetrics::default(),
            people: people::PeopleMetrics::default(),
            recovery: recovery::RecoveryMetrics::default(),
            runbooks: runbooks::RunbookMetrics::default(),
            fleet: fleet::FleetMetrics::default(),
            bypass: bypass::BypassMetrics::default(),
            degradation: degradation::DegradationMetrics::default(),
            drills: drills::DrillMetrics::default(),
            failover: failover::FailoverMetrics::default(),
            outbox: outbox::OutboxMetrics::default(),
            application: application::ApplicationMetrics::default(),
            unnamed: Arc::new(unnamed::UnnamedPaths::new(workers, now.instant)),
            exposer: exposer::Exposer::default(),
            scratch: Mutex::default(),
            history: Mutex::new(history::TrafficHistory::new(now.instant)),
            rotated: Mutex::default(),
        })
    }

    /// The series of a route and its upstream; the same one for as long as nobody forgets it.
    pub fn series(&self, route: &RouteName, upstream: &UpstreamName, direction: Direction) -> Arc<Series> {
        let key = (route.clone(), upstream.clone(), direction);
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let nth = all.len();
        Arc::clone(all.entry(key).or_insert_with_key(|key| {
            Arc::new(Series::new(key.clone(), nth, self.workers, self.started.instant))
        }))
    }

    /// Sets the label `http_route` of a series to its route's template, or to its name. A series that an earlier config
    /// has left with the same template goes back to its name: no two have the same labels.
    pub fn show_as(&self, shown: &Series, template: Option<&str>) {
        let label = template.map_or_else(|| shown.key.0.text(), std::sync::Arc::from);
        if shown.http_route() == label {
            return;
        }
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let alike = |key: &SeriesKey| (&key.1, key.2) == (&shown.key.1, shown.key.2) && *key != shown.key;
        for (_, other) in all.iter().filter(|(key, other)| alike(key) && other.http_route() == label) {
            other.set_http_route(other.key.0.text());
        }
        shown.set_http_route(label);
    }

    /// The counters of an upstream.
    pub fn upstream(&self, name: &UpstreamName) -> Arc<UpstreamSeries> {
        let mut all = self.upstreams.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            all.entry(name.clone())
                .or_insert_with(|| Arc::new(UpstreamSeries::new(name.clone(), self.workers))),
        )
    }

    /// The counters of an upstream that is back, or is still there.
    pub fn know_upstream(&self, series: &Arc<UpstreamSeries>) {
        let mut all = self.upstreams.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(series.name.clone(), Arc::clone(series));
    }

    /// Removes every series of an upstream that left the config.
    pub fn forget_upstream(&self, name: &UpstreamName) {
        self.upstreams.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.series
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(_, upstream, _), _| upstream != name);
    }

    /// Removes every series of a route whose name is given back.
    pub fn forget_route(&self, name: &RouteName, direction: Direction) {
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(route, _, way), _| route != name || *way != direction);
    }

    /// All series, sorted by name.
    pub fn all_series(&self) -> Vec<Arc<Series>> {
        self.series.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// All upstreams' counters, sorted by name.
    pub fn all_upstreams(&self) -> Vec<Arc<UpstreamSeries>> {
        self.upstreams.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }

    /// A request was refused because it is malformed.
    pub fn malformed(&self, reason: &'static str) {
        *self.malformed.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// Refused requests by reason.
    pub fn malformed_counts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.malformed.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(reason, count)| (*reason, *count)).collect()
    }

    /// Shows the connections of a listener.
    pub fn listener(&self, name: String, count: crate::net::listener::ConnectionCount) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).insert(name, count);
    }

    /// Open connections now, by listener.
    pub fn listener_counts(&self) -> Vec<(String, usize)> {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().map(|(name, count)| (name.clone(), count.now())).collect()
    }

    /// Connections and other tasks that ended by a panic.
    pub fn panics(&self) -> u64 {
        self.process.panics.load(Ordering::Relaxed) + tasks::panicked()
    }

    /// A connection's task panicked.
    pub fn panicked(&self) {
        self.process.panics.fetch_add(1, Ordering::Relaxed);
        event::Event::ConnectionPanicked.tell();
    }

    /// Moves the shards' histograms into the rolling windows; once a second, off the request path.
    pub fn rotate(&self, now: Instant) {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        self.all_series().iter().for_each(|series| series.rotate(&mut scratch, &mut history, now));
        history.turn(now);
        self.unnamed.turn();
        *self.rotated.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// The traffic of the last hour in steps of ten seconds, as far as they are closed.
    pub fn traffic(&self) -> history::TrafficSteps {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).steps()
    }

    /// When the rolling windows last turned; `None`: they have not yet.
    pub fn rotated(&self) -> Option<Instant> {
        *self.rotated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line per exchange.
    pub fn access_log(&self) -> &AccessLog {
        &self.access
    }

    /// The log of this process is told by that filter.
    pub fn log_by(&self, filter: logging::Filter) {
        // A process has one log: the first filter is its own.
        let _ = self.log.set(filter);
    }

    /// The filter of the log; `None`: another program around this one tells what is logged.
    pub fn log_filter(&self) -> Option<&logging::Filter> {
        self.log.get()
    }

    /// Exchanges as they end, for whoever looks on.
    pub fn taps(&self) -> &tap::Taps {
        &self.taps
    }

    /// Opens a tap; `None`: there are as many as there may be.
    pub fn tap(&self, filter: tap::TapFilter) -> Option<tap::TapReader> {
        self.taps.open(filter, self.workers)
    }

    /// The start of the process; counters begin at 0 there.
    pub fn started(&self) -> Moment {
        self.started
    }

    /// The retained intervals of all series as an HdrHistogram interval log (V2, deflated).
    pub fn hlog(&self, now: Moment) -> String {
        let series = self.all_series();
        let intervals = series.iter().map(|series| (series.tag(), series.intervals(now.instant)));
        latency::interval_log(self.started, intervals)
    }
}
