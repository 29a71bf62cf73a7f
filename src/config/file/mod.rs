//! What was written: the shape of the TOML file, with all defaults in one place.
//!
//! Durations, sizes and shares are text with a unit. Unknown keys are errors.

mod escalation;
mod incidents;
mod notify;
mod store;
mod upstream;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::notify::NotifyFile;
use crate::config::Unlisted;
use crate::config::word::OneOf;
use crate::units::{Percent, Size, Text};
pub use escalation::{ContactFile, EscalationFile, HoursFile, LadderFile, StepFile};
pub use incidents::{
    DownFile, ErrorsFile, IncidentsFile, LatencyFile, LatencyRuleFile, LimitsOfFile, NetworkFile,
    PaymentsFile, ResourcesFile, RouteLatencyFile, ShareFile, SloFile,
};
pub use store::{BackupFile, RetentionFile, StoreFile};
pub use upstream::{
    BreakerFile, ClientTlsFile, ClientTlsTable, DnsFile, HealthFile, JudgeFile, PoolFile, RetryFile,
    UpstreamFile,
};

fn secs(seconds: u64) -> Text<Duration> {
    Text(Duration::from_secs(seconds))
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    /// In front of the backend.
    pub ingress: Option<IngressFile>,
    /// On the way out.
    pub egress: Option<EgressFile>,
    /// How ingress requests find another upstream than `ingress.upstream`.
    pub routes: Vec<RouteFile>,
    /// Dependencies, by name.
    pub upstreams: BTreeMap<String, UpstreamFile>,
    /// Ways to tell people, by name.
    pub notify: BTreeMap<String, NotifyFile>,
    /// The operator's port.
    pub admin: AdminFile,
    /// What counts as slow.
    pub latency: LatencyFile,
    /// What is promised.
    pub slo: SloFile,
    /// What makes an incident.
    pub incidents: IncidentsFile,
    /// Who is called.
    pub escalation: EscalationFile,
    /// One line per exchange.
    pub access_log: AccessLogFile,
    /// Incidents, audit and ledger on disk.
    pub store: StoreFile,
    /// Workers and leaving.
    pub process: ProcessFile,
}

/// `[ingress]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngressFile {
    /// Address and port.
    pub listen: String,
    /// The upstream that answers where no route says otherwise.
    pub upstream: String,
    /// Proxies in front that are believed.
    pub trusted_hops: u8,
    /// Answer /api/v2/sre/ on this port too.
    pub claim_sre_api: bool,
    /// TLS termination.
    pub tls: Option<ServerTlsFile>,
    /// What one client may ask.
    pub limits: LimitsFile,
}

impl Default for IngressFile {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8000".to_owned(),
            upstream: "backend".to_owned(),
            trusted_hops: 0,
            claim_sre_api: false,
            tls: None,
            limits: LimitsFile::default(),
        }
    }
}

/// `[ingress.tls]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTlsFile {
    /// PEM, leaf first.
    pub cert_file: String,
    /// PEM.
    pub key_file: String,
}

/// `[egress]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EgressFile {
    /// Address and port.
    pub listen: String,
    /// What happens to hosts that no upstream lists.
    pub unlisted: OneOf<Unlisted>,
    /// What one client may ask.
    pub limits: LimitsFile,
}

impl Default for EgressFile {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:3128".to_owned(),
            unlisted: OneOf(Unlisted::Deny),
            limits: LimitsFile::default(),
        }
    }
}

/// `[*.limits]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsFile {
    /// Connections of the listener, over all workers.
    pub connections: u32,
    /// Bytes of a request's head.
    pub header_bytes: Text<Size>,
    /// Fields of a request's head, at most 256.
    pub header_count: u32,
    /// For a request's head to come in whole.
    pub header_read: Text<Duration>,
    /// Between two requests of a connection.
    pub keep_alive: Text<Duration>,
    /// For an answer, after the client has ended its side.
    pub half_close: Text<Duration>,
    /// 0: no limit.
    pub requests_per_connection: u64,
    /// Concurrent streams of an HTTP/2 connection.
    pub h2_streams: u32,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            connections: 10_000,
            header_bytes: Text(Size(64 * 1024)),
            header_count: 100,
            header_read: secs(10),
            keep_alive: secs(75),
            half_close: secs(2),
            requests_per_connection: 0,
            h2_streams: 128,
        }
    }
}

/// `[[routes]]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteFile {
    /// The metric label; made from the path or the prefix when empty.
    pub name: String,
    /// Only for this host.
    pub host: Option<String>,
    /// A template such as "/bookings/{id}" or "/files/{*rest}"; either this or a prefix.
    pub path: Option<String>,
    /// The path itself and everything below it; "/" when there is no path either.
    pub prefix: Option<String>,
    /// Who answers; the ingress' upstream when empty.
    pub upstream: String,
    /// The most a request's body may have.
    pub body_limit: Option<Text<Size>>,
    /// Instead of the upstream's.
    pub timeouts: TimeoutsFile,
    /// Instead of `[latency]`.
    pub latency: Option<RouteLatencyFile>,
}

/// `timeouts = { … }`; what is not written has the default of its place.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsFile {
    /// TCP and TLS together.
    pub connect: Option<Text<Duration>>,
    /// To the final response head.
    pub first_byte: Option<Text<Duration>>,
    /// Longest silence within a body or tunnel.
    pub idle: Option<Text<Duration>>,
    /// One attempt, to its response head.
    pub per_try: Option<Text<Duration>>,
    /// The exchange as a whole.
    pub total: Option<Text<Duration>>,
}

/// `[admin]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminFile {
    /// Address and port.
    pub listen: String,
    /// File with the bearer token.
    pub token_file: Option<String>,
    /// Host names that may stand in Host and Origin, beside loopback and listen.
    pub hosts: Vec<String>,
}

impl Default for AdminFile {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9901".to_owned(), token_file: None, hosts: Vec::new() }
    }
}

/// `[access_log]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogFile {
    /// "stdout", "off" or "file:PATH".
    pub to: String,
    /// Share of plain successes that get a line.
    pub sample: Text<Percent>,
    /// Query parameters whose values are shown.
    pub keep_query: Vec<String>,
}

impl Default for AccessLogFile {
    fn default() -> Self {
        Self { to: "stdout".to_owned(), sample: Text(Percent::WHOLE), keep_query: Vec::new() }
    }
}

/// `[process]`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessFile {
    /// Of this sidecar; its pod's or machine's when absent.
    pub name: Option<String>,
    /// 0: one per core.
    pub workers: u32,
    /// How long leaving may take.
    pub drain_for: Text<Duration>,
    /// Unready but still accepting, before the drain begins.
    pub lame_duck: Text<Duration>,
    /// Request bodies that each worker may keep while they are sent.
    pub kept_bodies: Text<Size>,
    /// Log filter.
    pub log: String,
    /// Log lines as JSON.
    pub log_json: bool,
}

impl Default for ProcessFile {
    fn default() -> Self {
        Self {
            name: None,
            workers: 0,
            drain_for: secs(30),
            lame_duck: secs(0),
            kept_bodies: Text(Size(4 << 20)),
            log: "info".to_owned(),
            log_json: true,
        }
    }
}
