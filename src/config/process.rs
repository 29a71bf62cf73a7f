//! `[process]`: from what was written to what runs.

use std::time::Duration;

use super::file::ProcessFile;
use super::problem::Collector;

/// `[process]`. All of it needs a restart, but `drain_for`, `kept_bodies` and `log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Of this sidecar, as incidents, messages and the ledger name it. Default: its pod's or machine's.
    pub name: String,
    /// Data-path threads; default: one per core this process may use.
    pub workers: usize,
    /// How long SIGTERM waits for exchanges in flight.
    pub drain_for: Duration,
    /// After SIGTERM, unready but still accepting for so long, so that balancers look away first.
    pub lame_duck: Duration,
    /// Bytes of request bodies that each worker may keep while they are sent.
    pub kept_bodies: usize,
    /// Log filter in tracing's directive syntax, such as "info" or "strop=debug".
    pub log: String,
    /// Log lines as JSON (true) or for a terminal.
    pub log_json: bool,
}

pub(super) fn check(written: &ProcessFile, problems: &mut Collector<'_>) -> Process {
    if let Err(error) = tracing_directives(&written.log) {
        problems.add(
            "process.log",
            format!("{:?} is not a log filter ({error}); write \"info\" or \"strop=debug\"", written.log),
        );
    }
    let plain = |name: &String| {
        (1..=253).contains(&name.len()) && name.bytes().all(|letter| letter.is_ascii_graphic())
    };
    if let Some(name) = written.name.as_ref().filter(|name| !plain(name)) {
        problems.add(
            "process.name",
            format!("{name:?} is no name; write 1 to 253 visible ASCII characters, such as \"shop-1\""),
        );
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    Process {
        name: written.name.clone().unwrap_or_else(machine),
        workers: if written.workers == 0 { cores } else { written.workers as usize },
        drain_for: written.drain_for.0,
        lame_duck: written.lame_duck.0,
        kept_bodies: usize::try_from(written.kept_bodies.0.0).unwrap_or(usize::MAX),
        log: written.log.clone(),
        log_json: written.log_json,
    }
}

/// The name of the pod or the machine.
fn machine() -> String {
    let named = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    let read = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    named.or_else(read).map_or_else(|| "strop".to_owned(), |name| name.trim().to_owned())
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
