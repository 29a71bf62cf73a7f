//! `[process]`: workers and leaving.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{HOUR, Part};
use crate::units::{Percent, Size, Text, secs};

/// The table `[process]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProcessFile {
    /// Name of this sidecar in incidents, messages and ledger; absent: its pod's or its machine's.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub name: Option<String>,
    /// Threads that carry traffic; 0: one per core.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub workers: u32,
    /// How long SIGTERM waits for exchanges in flight.
    pub drain_for: Text<Duration>,
    /// Time after SIGTERM in which it is unready but still accepting, before the drain begins.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub lame_duck: Text<Duration>,
    /// Request bodies that each worker may keep while they are sent; several of one connection have an eighth of it.
    pub kept_bodies: Text<Size>,
    /// What may be buffered of traffic, the kernel's socket buffers included: a share of the control group's memory
    /// limit, of the machine's memory where there is none.
    pub buffers: Text<Percent>,
    /// What the kernel buffers of one connection each way: of clients, and of upstreams behind the ingress. Absent: 128
    /// KiB where the control group has a limit below 2 GiB, else the kernel's own measure.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub socket_buffer: Option<Text<Size>>,
    /// How long after a reload its effects are watched: a config with which exchanges fail or slow down beyond chance is taken
    /// back. Absent: not at all.
    pub canary: Option<Text<Duration>>,
    /// Log filter: a level, or tracing's directives such as "strop=debug".
    pub log: String,
    /// Log lines as JSON.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub log_json: bool,
}

/// `drain_for` is what Kubernetes gives a pod to end (`terminationGracePeriodSeconds`).
impl Default for ProcessFile {
    fn default() -> Self {
        Self {
            name: None,
            workers: 0,
            drain_for: secs(30),
            lame_duck: secs(0),
            kept_bodies: Text(Size(4 << 20)),
            buffers: Text(Percent::of(50)),
            socket_buffer: None,
            canary: None,
            log: "info".to_owned(),
            log_json: true,
        }
    }
}

/// `[process]` as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    /// Name of this sidecar in incidents, messages and ledger.
    pub name: String,
    /// Threads that carry traffic; at least 1.
    pub workers: usize,
    /// How long SIGTERM waits for exchanges in flight.
    pub drain_for: Duration,
    /// After SIGTERM, unready but still accepting for so long, so that balancers look away first.
    pub lame_duck: Duration,
    /// Bytes of request bodies that each worker may keep while they are sent.
    pub kept_bodies: usize,
    /// Share of the memory limit that buffers of traffic may take.
    pub buffers: Percent,
    /// Bytes that the kernel buffers of one connection each way; `None`: by the memory there is.
    pub socket_buffer: Option<usize>,
    /// How long a reload is watched, and taken back where it makes things worse; `None`: not at all.
    pub canary: Option<Duration>,
    /// Log filter in tracing's directive syntax, such as "info" or "strop=debug".
    pub log: String,
    /// Log lines as JSON (true) or for a terminal.
    pub log_json: bool,
}

impl ProcessFile {
    /// Of this very process: its pod's or machine's name, a worker for each core it may use.
    pub(super) fn base() -> Self {
        Self { name: Some(machine()), workers: cores(), ..Self::default() }
    }

    pub(super) fn check(&self, mut at: Part<'_, '_>) -> ProcessConfig {
        if let Err(problem) = log_filter(&self.log) {
            at.add("log", problem);
        }
        let plain = |name: &String| {
            (1..=253).contains(&name.len()) && name.bytes().all(|letter| letter.is_ascii_graphic())
        };
        if let Some(name) = self.name.as_ref().filter(|name| !plain(name)) {
            let told = "is no name; write 1 to 253 visible ASCII characters, such as \"shop-1\"";
            at.add("name", format!("{name:?} {told}"));
        }
        if self.buffers.0 == Percent::of(0) {
            at.add("buffers", "0% leaves nothing to work with; write a share such as \"50%\"");
        }
        if let Some(size) = self.socket_buffer {
            at.within("socket_buffer", size.0.0, 4 << 10, 64 << 20);
        }
        ProcessConfig {
            name: self.name.clone().unwrap_or_else(machine),
            workers: if self.workers == 0 { cores() } else { self.workers } as usize,
            drain_for: self.drain_for.0,
            lame_duck: self.lame_duck.0,
            kept_bodies: usize::try_from(self.kept_bodies.0.0).unwrap_or(usize::MAX),
            buffers: self.buffers.0,
            socket_buffer: self.socket_buffer.map(|size| usize::try_from(size.0.0).unwrap_or(usize::MAX)),
            canary: self.canary.map(|written| at.lasts("canary", written, 10, HOUR)),
            log: self.log.clone(),
            log_json: self.log_json,
        }
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

/// The name of the pod or the machine.
fn machine() -> String {
    let named = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let read = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    named.or_else(read).map_or_else(|| "strop".to_owned(), |name| name.trim().to_owned())
}

/// Is `text` a log filter? An error says what to write instead.
pub fn log_filter(text: &str) -> Result<(), String> {
    let instead = "write \"info\" or \"strop=debug\"";
    tracing_directives(text).map_err(|error| format!("{text:?} is not a log filter ({error}); {instead}"))
}

/// Is `text` a list of tracing directives? Only the shape: `level` or `target=level`, separated by commas.
fn tracing_directives(text: &str) -> Result<(), String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for directive in text.split(',') {
        let level = directive.rsplit('=').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !LEVELS.contains(&level.as_str()) {
            return Err(format!("{level:?} is not one of {}", LEVELS.join(", ")));
        }
    }
    Ok(())
}
