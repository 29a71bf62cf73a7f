//! Samples of the machine, each five seconds, beside the control task: a file system that hangs holds up nothing but them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{AccessSink, Config, StoreAt};
use crate::insight::resources::{ResourceReading, Sampler, Watched};
use crate::units::At;

/// Time between two samples of the machine.
const EVERY: Duration = Duration::from_secs(5);

/// The last sample, and whoever takes the next one.
#[derive(Debug, Default)]
pub(super) struct MachineSampler {
    shared: Arc<Mutex<SamplerState>>,
    asked: Option<At>,
}

#[derive(Debug)]
struct SamplerState {
    /// `None`: it is at work.
    sampler: Option<Sampler>,
    last: Vec<ResourceReading>,
}

impl Default for SamplerState {
    fn default() -> Self {
        Self { sampler: Some(Sampler::default()), last: Vec::new() }
    }
}

fn locked(shared: &Mutex<SamplerState>) -> std::sync::MutexGuard<'_, SamplerState> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MachineSampler {
    /// The last sample, however old; the next one is begun when it is due.
    pub(super) fn look(&mut self, config: &Config, now: At) -> Vec<ResourceReading> {
        // A moment ahead of this one is of a clock that was set back.
        if self.asked.is_none_or(|asked| asked > now || now.since(asked) >= EVERY)
            && let Some(mut sampler) = locked(&self.shared).sampler.take()
        {
            self.asked = Some(now);
            let (shared, watched) = (Arc::clone(&self.shared), watched(config));
            crate::runtime::tasks::detach(async move {
                let sample = move || {
                    let last = sampler.sample(&watched, now);
                    (sampler, last)
                };
                let (sampler, last) = crate::runtime::tasks::blocking(sample).await.unwrap_or_default();
                let mut shared = locked(&shared);
                (shared.sampler, shared.last) = (Some(sampler), last);
            });
        }
        locked(&self.shared).last.clone()
    }
}

/// The volumes that this process itself writes to, and what the config adds.
fn watched(config: &Config) -> Watched {
    let store = config.store.as_ref().and_then(|store| match &store.at {
        StoreAt::Sqlite(path) => path.parent(),
        StoreAt::Postgres { .. } => None,
    });
    let log = config.access_log.to.as_ref().and_then(|sink| match sink {
        AccessSink::File(path) => path.parent(),
        AccessSink::Stdout => None,
    });
    let here = |dir: &std::path::Path| {
        if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() }
    };
    let machine = &config.watch.machine;
    let own = store.into_iter().chain(log).map(here);
    Watched { volumes: own.chain(machine.volumes.clone()).collect(), network: machine.network }
}
