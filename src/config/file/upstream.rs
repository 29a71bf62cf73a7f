//! `[upstreams.<name>]` as it was written.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TimeoutsFile, secs};
use crate::config::Protocol;
use crate::config::word::OneOf;
use crate::reliability::breaker::Mode;
use crate::units::{Percent, Size, Text};

/// `tls = true` or `tls = { … }`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false or a table { server_name = \"…\", ca_file = \"…\" }")]
pub enum ClientTlsFile {
    /// On with the defaults, or off.
    Switch(bool),
    /// On.
    Table(ClientTlsTable),
}

/// `tls = { … }`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTlsTable {
    /// The name to verify; the endpoint's host when absent.
    pub server_name: Option<String>,
    /// Extra roots, PEM.
    pub ca_file: Option<String>,
}

/// `[upstreams.<name>]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamFile {
    /// Fills hosts, endpoints, tls and breaker: stripe, sendgrid, twilio or google_calendar.
    pub preset: Option<String>,
    /// `host:port`, `[v6]:port` or `name:port`.
    pub endpoints: Option<Vec<String>>,
    /// Host names by which egress requests find it.
    pub hosts: Option<Vec<String>>,
    /// What is spoken with it; auto when absent.
    pub protocol: Option<OneOf<Protocol>>,
    /// TLS towards it.
    pub tls: Option<ClientTlsFile>,
    /// http:// requests of the forward proxy leave as https.
    pub upgrade_tls: bool,
    /// A local base-URL listener.
    pub local: Option<String>,
    /// Networks the address guard lets pass here.
    pub allow_addresses: Vec<String>,
    /// How long things may take.
    pub timeouts: TimeoutsFile,
    /// Connections kept.
    pub pool: PoolFile,
    /// Active checks.
    pub health: Option<HealthFile>,
    /// When to stop calling it.
    pub breaker: BreakerFile,
    /// What counts as bad.
    pub judge: JudgeFile,
    /// Once more?
    pub retry: RetryFile,
    /// How often names are looked up again.
    pub dns: DnsFile,
}

/// `pool = { … }`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolFile {
    /// Idle connections per worker and endpoint.
    pub idle_per_worker: u32,
    /// How long an idle one is kept; absent: 4s for HTTP/1.1 behind the ingress, else 50s, or what the server's
    /// `Keep-Alive: timeout` says, less a fifth.
    pub idle_for: Option<Text<Duration>>,
    /// Over all workers, in use or idle.
    pub connections: u32,
}

impl Default for PoolFile {
    fn default() -> Self {
        Self { idle_per_worker: 64, idle_for: None, connections: 1_024 }
    }
}

/// `health = { … }`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthFile {
    /// GET this; a connect alone when absent.
    pub path: Option<String>,
    /// Healthy statuses, such as "200-399".
    pub expect: String,
    /// Between two checks.
    pub interval: Text<Duration>,
    /// While something is wrong.
    pub suspect_interval: Text<Duration>,
    /// One check.
    pub timeout: Text<Duration>,
    /// Bad checks in a row that make it unhealthy.
    pub fall: u32,
    /// Good checks in a row that make it healthy.
    pub rise: u32,
}

impl Default for HealthFile {
    fn default() -> Self {
        Self {
            path: None,
            expect: "200-399".to_owned(),
            interval: secs(10),
            suspect_interval: secs(1),
            timeout: secs(2),
            fall: 3,
            rise: 2,
        }
    }
}

/// `breaker = { … }`; what is not written has the default of the upstream's name or preset.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerFile {
    /// What it does; behind the ingress shadow when absent.
    pub mode: Option<OneOf<Mode>>,
    /// false: the same as mode = "off".
    pub enabled: Option<bool>,
    /// Consecutive bad exchanges; 0: off.
    pub failures: Option<u32>,
    /// Share of bad exchanges, or "off".
    pub failure_rate: Option<String>,
    /// Share of slow exchanges, or "off".
    pub slow_rate: Option<String>,
    /// Of both rates.
    pub window: Option<Text<Duration>>,
    /// Fewer decide no rate.
    pub min_requests: Option<u64>,
    /// Refused and broken connections and timeouts of one endpoint this close together are one event.
    pub lump: Option<Text<Duration>>,
    /// The first wait.
    pub open_for: Option<Text<Duration>>,
    /// The longest wait.
    pub open_for_max: Option<Text<Duration>>,
    /// Good probes that close it.
    pub successes: Option<u32>,
    /// Probes in flight.
    pub probes: Option<u32>,
    /// One probe.
    pub probe_timeout: Option<Text<Duration>>,
    /// Growing back after closing.
    pub ramp: Option<Text<Duration>>,
    /// Operations with a breaker of their own, by name: each a template of paths, such as "/v1/charges/{id}".
    pub operations: BTreeMap<String, String>,
}

/// `judge = { … }`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JudgeFile {
    /// Statuses and ranges.
    pub bad_statuses: Vec<String>,
    /// Slower answers are slow calls; absent: never.
    pub slow_after: Option<Text<Duration>>,
}

impl Default for JudgeFile {
    fn default() -> Self {
        Self { bad_statuses: ["500", "502-504", "506-599"].map(str::to_owned).into(), slow_after: None }
    }
}

/// `retry = { … }`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryFile {
    /// Attempts per exchange.
    pub attempts: u32,
    /// Repeat idempotent requests that may have been sent.
    pub idempotent: bool,
    /// Retries as a share of requests.
    pub budget: Text<Percent>,
    /// Retries per second that are always allowed.
    pub min_per_second: u32,
    /// Range of the first wait; each further one has twice the range.
    pub backoff: Text<Duration>,
    /// How long a request waits for a connection while the upstream refuses it.
    pub wait: Text<Duration>,
    /// Request bodies up to so long are kept while they are sent.
    pub keep_body: Text<Size>,
}

impl Default for RetryFile {
    fn default() -> Self {
        Self {
            attempts: 2,
            idempotent: false,
            budget: Text(Percent::of(20)),
            min_per_second: 10,
            backoff: Text(Duration::from_millis(25)),
            wait: secs(0),
            keep_body: Text(Size(64 * 1024)),
        }
    }
}

/// `dns = { … }`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DnsFile {
    /// Shorter TTLs are taken for this.
    pub min_ttl: Text<Duration>,
    /// Longer TTLs are taken for this.
    pub max_ttl: Text<Duration>,
}

impl Default for DnsFile {
    fn default() -> Self {
        Self { min_ttl: secs(5), max_ttl: secs(300) }
    }
}
