//! The configuration that runs: valid by construction.
//!
//! One file a concept: what is written of it (`*File`), what stands there by default, its check, and what it becomes.
//! [`read`] takes the text, [`mod@file`] fills it, `running` checks the whole, [`diff`] says what a reload changes,
//! [`reload`] puts it in force, [`watch`] sees that it has changed. Whoever holds a [`Config`] need not check anything:
//! what cannot run cannot be built.

mod access_log;
mod admin;
pub mod advice;
pub mod channels;
mod concurrency;
mod degradation;
pub mod diff;
mod drill;
mod egress;
pub mod engine;
pub mod explain;
mod fallback;
pub mod file;
mod heartbeat;
mod hooks;
mod hosts;
mod inbound;
mod ingress;
mod kubernetes;
mod latency;
mod limits;
pub mod listeners;
pub mod origin;
mod outbox;
mod places;
pub mod problem;
mod process;
mod rate_limit;
pub mod read;
mod recovery;
pub mod reload;
mod routes;
mod runbooks;
mod running;
pub mod schema;
mod secret;
#[cfg(test)]
pub(crate) mod shipped;
mod stale;
mod store;
mod timeouts;
mod upstream;
pub mod warnings;
pub mod watch;
pub mod word;

pub use access_log::{AccessLogConfig, AccessSink};
pub use admin::AdminConfig;
pub use drill::ScheduledDrill;
pub use egress::{Egress, Unlisted};
pub use fallback::Fallback;
pub use file::ConfigFile;
pub use heartbeat::HeartbeatConfig;
pub use hooks::{BoundHook, Hook, HookSignal, RedisKeys};
pub use inbound::Inbound;
pub use ingress::{Ambiguous, DocumentSource, Ingress, ServerTls, Traces};
pub use kubernetes::KubernetesConfig;
pub use latency::{Latency, Measured, Until};
pub use limits::ClientLimits;
pub use outbox::OutboxConfig;
pub use process::{ProcessConfig, log_filter};
pub use recovery::RecoveryConfig;
pub use routes::{
    DEFAULT_ROUTE, Route, RoutePath, egress_route, letters as route_letters, other_route, sre_api,
};
pub use runbooks::{RunbooksConfig, runbook};
pub use running::Config;
pub use stale::StalePolicy;
pub use store::{Retention, StoreAt, StoreBackup, StoreConfig};
pub use timeouts::Timeouts;
pub use upstream::{
    ClientTls, Endpoint, HealthCheck, Host, HostName, Operation, OutboxPolicy, PoolConfig, Protocol,
    RefusalTemplate, RefusalValues, UpstreamConfig, presets,
};

/// Reads, fills, checks and builds: the one way from text to a [`Config`]. `env` holds the process' `STROP__…`
/// variables, and what the command line says instead of them.
pub fn load(text: &str, source: &str, env: &[(String, String)]) -> Result<Config, problem::Problems> {
    let mut problems = problem::Collector::new(text);
    let mut bytes = text.as_bytes().to_vec();
    for (name, value) in env {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    let hash = format!("{:016x}", reload::hash(&bytes));
    let config = read::read(text, env, &mut problems).and_then(|written| {
        let file: ConfigFile = read::shaped(|| file::fill(&written), &mut problems)?;
        let keys = serde_json::to_value(&written).unwrap_or_default();
        let places = places::WrittenPlaces::of(text, read::variables(env));
        file.check(running::WrittenConfig { keys, places, hash }, &mut problems)
    });
    config.filter(|_| problems.is_clean()).ok_or_else(|| problems.finish(source))
}

#[cfg(test)]
mod tests;
