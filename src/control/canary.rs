//! The time after a reload in which it may be taken back: watches all series, and when a change has made them worse than chance
//! can, puts the config of before in force. The file stays as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Handle;
use crate::config::Config;
use crate::config::diff::Diff;
use crate::config::reload::Reloader;
use crate::reliability::canary::{self, CanarySample, CanaryTimes};
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::runtime::timer::every;
use crate::telemetry::Telemetry;
use crate::telemetry::event::Event;
use crate::telemetry::labels::Direction;
use crate::telemetry::latency::{LatencyWindow, Summary};
use crate::telemetry::series::{ExchangeOutcome, Series};

/// What is compared with lies at most so far back, and errors are counted over at most so long.
const SPAN: Duration = Duration::from_secs(300);
const MINUTE: Duration = Duration::from_secs(60);
/// How long exchanges took is compared every so many seconds.
const TIMES_EVERY: u64 = 10;

type SeriesKey = (String, Option<Direction>);

/// A reload that is watched.
struct Trial {
    /// Of the config that is tried.
    hash: String,
    began: Instant,
    lasts: Duration,
    before: HashMap<SeriesKey, CanarySample>,
}

/// Watches reloads.
pub struct Canary {
    telemetry: Arc<Telemetry>,
    handle: Handle,
    trial: Mutex<Option<Trial>>,
}

impl Canary {
    pub fn new(telemetry: Arc<Telemetry>, handle: Handle) -> Arc<Self> {
        Arc::new(Self { telemetry, handle, trial: Mutex::default() })
    }

    fn trial(&self) -> MutexGuard<'_, Option<Trial>> {
        self.trial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A config is in force from now on. It is watched where it asks for that, where something has changed, and where nothing was
    /// the matter before: what is ill gets worse by itself.
    pub fn applied(&self, new: &Config, diff: &Diff) {
        if diff.applied.is_empty() {
            // What is watched goes on being watched.
            if let Some(trial) = &mut *self.trial() {
                trial.hash.clone_from(&new.hash);
            }
            return;
        }
        let now = clock::instant();
        let trial = new.process.canary.and_then(|lasts| {
            let open = self.handle.snapshot().open();
            if open > 0 {
                let why = "the new config is not watched: an incident is open, and what is ill may get worse by itself";
                Event::ConfigWarning { problem: why }.tell();
                return None;
            }
            Some(Trial { hash: new.hash.clone(), began: now, lasts, before: self.samples(now, SPAN, window(SPAN)) })
        });
        *self.trial() = trial;
    }

    /// Looks once a second until asked to leave.
    pub async fn run(self: Arc<Self>, reloader: Arc<Reloader>, drain: Drain) {
        let mut second = every(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = drain.requested() => return,
                _ = second.tick() => {}
            }
            let Some((hash, why)) = self.look(clock::instant()) else { continue };
            let reloader = Arc::clone(&reloader);
            let back = move || reloader.take_back(&hash, &why);
            if let Some(Err(busy)) = crate::runtime::tasks::apart(back).await {
                Event::ReloadBusy { why: &busy.to_string() }.tell();
            }
        }
    }

    /// The config to take back, and why.
    fn look(&self, now: Instant) -> Option<(String, String)> {
        let mut held = self.trial();
        let trial = held.as_ref()?;
        let since = now.saturating_duration_since(trial.began);
        if since >= trial.lasts {
            *held = None;
            return None;
        }
        // To merge the histograms of all series costs more than to count.
        let window = window(since).filter(|_| since.as_secs().is_multiple_of(TIMES_EVERY));
        let after = self.samples(now, since.min(SPAN), window);
        let among = after.len();
        let found = after.iter().find_map(|(key, after)| {
            let worse = canary::worse(trial.before.get(key)?, after, among)?;
            let whose = if key.0.is_empty() { "all routes" } else { &key.0 };
            Some(format!("taken back after {} s: {whose}: {worse}", since.as_secs()))
        });
        let why = found?;
        let hash = trial.hash.clone();
        *held = None;
        Some((hash, why))
    }

    /// What ended within `span`, by series, and of all of a direction together: a route that is new has nothing of its own to be
    /// compared with.
    fn samples(
        &self,
        now: Instant,
        span: Duration,
        window: Option<LatencyWindow>,
    ) -> HashMap<SeriesKey, CanarySample> {
        let mut all: HashMap<SeriesKey, CanarySample> = HashMap::new();
        for series in self.telemetry.all_series() {
            let one = sample(&series, now, span, window);
            if one.exchanges > 0 {
                let sum = all.entry((String::new(), Some(series.key.2))).or_default();
                *sum = sum.plus(one);
                all.insert((format!("{} by {}", series.key.0, series.key.1), Some(series.key.2)), one);
            }
        }
        all
    }
}

/// The longest that lies wholly within the span: only that says something of it.
fn window(span: Duration) -> Option<LatencyWindow> {
    match span {
        _ if span >= SPAN => Some(LatencyWindow::FiveMinutes),
        _ if span >= MINUTE => Some(LatencyWindow::Minute),
        _ => None,
    }
}

fn sample(series: &Series, now: Instant, span: Duration, window: Option<LatencyWindow>) -> CanarySample {
    let outcomes = series.outcomes_within(span, now);
    let of = |outcome: ExchangeOutcome| outcomes[outcome as usize];
    let left = of(ExchangeOutcome::ClientGone);
    let bad = [
        ExchangeOutcome::ServerError,
        ExchangeOutcome::Refused,
        ExchangeOutcome::Timeout,
        ExchangeOutcome::UpstreamFailed,
    ];
    CanarySample {
        exchanges: outcomes.iter().sum::<u64>() - left,
        bad: bad.into_iter().map(of).sum(),
        times: window.and_then(|window| times(&series.window(window, now).0)),
    }
}

fn times(summary: &Summary) -> Option<CanaryTimes> {
    let Summary { count, p50_ms, p90_ms, p95_ms, p99_ms, .. } = *summary;
    Some(CanaryTimes { exchanges: count, p50: p50_ms?, p90: p90_ms?, p95: p95_ms?, p99: p99_ms? })
}
