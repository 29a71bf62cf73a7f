//! The configuration that runs: valid by construction.
//!
//! [`mod@file`] is what was written, [`check`] turns it into a [`Config`] or into a list of problems,
//! [`diff`] says what a reload changes, [`reload`] watches the file. Whoever holds a [`Config`] need not
//! check anything: what cannot run cannot be built.

pub mod advice;
mod breaker;
pub mod channels;
pub mod check;
pub mod desk;
pub mod diff;
pub mod file;
mod pool;
pub mod presets;
pub mod problem;
mod process;
pub mod read;
pub mod reload;
mod routes;
pub mod show;
mod store;
mod upstreams;
pub mod word;
mod written;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;

use crate::names::UpstreamName;
use crate::reliability::breaker::BreakerPolicy;
use crate::reliability::retry::RetryPolicy;
use crate::reliability::verdict::JudgePolicy;
pub use breaker::Operation;
use channels::Channel;
pub use desk::{Latency, Measured};
pub use pool::Pool;
pub use process::Process;
pub use routes::{DEFAULT_ROUTE, Route, RoutePath};

/// Everything Strop needs to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The front of the backend, when this sidecar stands there.
    pub ingress: Option<Ingress>,
    /// The way out, when this sidecar stands there.
    pub egress: Option<Egress>,
    /// Sorted by name; names are unique.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Of those that match a request the first one takes it (see [`RoutePath`]); the last one is always the implicit
    /// `default` route to the ingress upstream when there is an ingress.
    pub routes: Vec<Arc<Route>>,
    /// Sorted by name; names are unique.
    pub notify: Vec<Arc<Channel>>,
    /// The operator's port.
    pub admin: Admin,
    /// Which requests count as slow.
    pub latency: Latency,
    /// What makes an incident, who is called, what is promised.
    pub watch: desk::Watch,
    /// One line per request.
    pub access_log: AccessLog,
    /// Incidents, audit and ledger on disk; `None`: off.
    pub store: Option<Store>,
    /// Workers, drain, descriptors.
    pub process: Process,
    /// SHA-256-free content hash of the text this came from, in hex; `"defaults"` without a file.
    pub hash: String,
    /// What the operator wrote, for [`diff`].
    written: Arc<serde_json::Value>,
}

/// `[ingress]`: in front of the backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// Where clients connect. Changing it needs a restart.
    pub listen: SocketAddr,
    /// The upstream that answers when no route says otherwise.
    pub upstream: UpstreamName,
    /// TLS termination with ALPN h2 and http/1.1; plain HTTP/1.1 and h2c without it.
    pub tls: Option<ServerTls>,
    /// How many proxies in front may be believed when they write `X-Forwarded-For` or `Forwarded`.
    pub trusted_hops: u8,
    /// Answer `/api/v2/sre/` on this port too.
    pub claim_sre_api: bool,
    /// What one client may ask of this listener; new connections are held to it.
    pub limits: Arc<Limits>,
}

/// Certificate and key files, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM, leaf first.
    pub cert_file: PathBuf,
    /// PEM: PKCS#8, SEC1 or PKCS#1.
    pub key_file: PathBuf,
}

/// `[egress]`: forward proxy and CONNECT.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// Where the application's `HTTP_PROXY`/`HTTPS_PROXY` points. Changing it needs a restart.
    pub listen: SocketAddr,
    /// What happens to hosts that no upstream lists.
    pub unlisted: Unlisted,
    /// As for ingress. Also applies to the `local` listeners.
    pub limits: Arc<Limits>,
}

/// What happens to hosts that no upstream lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// 403.
    Deny,
    /// Forwarded through the built-in upstream `unlisted`; the SSRF guard stays on.
    Allow,
    /// As `Allow`, and each new host is reported once.
    Report,
}

/// What one client may ask of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of this listener over all workers.
    pub connections: usize,
    /// Bytes of request line and header fields together.
    pub header_bytes: usize,
    /// Header fields.
    pub header_count: usize,
    /// From the first byte of a head (or from accept) to its end.
    pub header_read: Duration,
    /// Between two requests of a connection.
    pub keep_alive: Duration,
    /// How long an answer is waited for after the client has ended its side of an HTTP/1.1 connection; zero: not at all.
    pub half_close: Duration,
    /// After so many the connection is closed; `None`: no limit.
    pub requests_per_connection: Option<u64>,
    /// Concurrent HTTP/2 streams of one connection.
    pub h2_streams: u32,
}

/// One dependency.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: UpstreamName,
    /// Addresses; several endpoints, or one name with several addresses, are balanced.
    pub endpoints: Vec<Endpoint>,
    /// Host names (lower case; `*.example.com` allowed) by which egress requests find it.
    pub hosts: Vec<String>,
    /// HTTP/1.1, h2 with prior knowledge, or by ALPN.
    pub protocol: Protocol,
    /// TLS towards it.
    pub tls: Option<ClientTls>,
    /// `http://` requests of the forward proxy leave as https (needs `tls`).
    pub upgrade_tls: bool,
    /// A local base-URL listener. Changing it needs a restart.
    pub local: Option<SocketAddr>,
    /// Addresses that the SSRF guard would refuse, allowed here. The ingress upstream's own addresses are
    /// always allowed.
    pub allow_addresses: Vec<IpNet>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Connections kept.
    pub pool: Pool,
    /// Active checks; `None`: off.
    pub health: Option<Health>,
    /// When to stop calling it.
    pub breaker: BreakerPolicy,
    /// What has a breaker of its own under it.
    pub operations: Vec<Operation>,
    /// Its breaker is in shadow by default although numbers of it were written; `strop check` says so.
    pub shadow_unasked: bool,
    /// What counts as bad.
    pub judge: JudgePolicy,
    /// Once more?
    pub retry: RetryPolicy,
    /// Request bodies up to so many bytes are kept while they are sent, so that they can be sent once more.
    pub keep_body: usize,
    /// How often names are looked up again: answers' TTL clamped to this range.
    pub dns_ttl: (Duration, Duration),
}

/// One address of an upstream as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Name or address.
    pub host: Host,
    /// TCP port.
    pub port: u16,
}

/// Name or address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Looked up, and again by TTL.
    Name(HostName),
    /// Used as it is.
    Address(IpAddr),
}

/// A name as it is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName {
    /// Lower case, without a dot at its end: what TLS verifies and a `Host` field says.
    pub text: String,
    /// It is complete: no search domain of resolv.conf is appended. That is what a dot at its end says.
    pub complete: bool,
}

/// What is spoken with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only (h2c with prior knowledge, or TLS with ALPN h2).
    H2,
    /// TLS: whatever ALPN gives. Plain: HTTP/1.1.
    Auto,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Name to verify and to send as SNI; the endpoint's host when `None`.
    pub server_name: Option<String>,
    /// Extra roots, PEM, beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// How long things may take. In a [`Route`] a `None` means "as the upstream".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS together. Default 3 s for egress, 1 s for the backend.
    pub connect: Option<Duration>,
    /// From the end of the request head to the first byte of the final response head.
    pub first_byte: Option<Duration>,
    /// Longest silence within a body or tunnel.
    pub idle: Option<Duration>,
    /// One attempt up to the response head.
    pub per_try: Option<Duration>,
    /// The exchange from its head to its last byte; upgrades and tunnels are exempt.
    pub total: Option<Duration>,
}

impl Timeouts {
    /// These, and `base`'s where there are none.
    pub fn over(self, base: Self) -> Self {
        Self {
            connect: self.connect.or(base.connect),
            first_byte: self.first_byte.or(base.first_byte),
            idle: self.idle.or(base.idle),
            per_try: self.per_try.or(base.per_try),
            total: self.total.or(base.total),
        }
    }
}

/// Active checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `Some(path)`: GET it and expect `expect`; `None`: a TCP (and TLS) connect.
    pub path: Option<String>,
    /// Statuses that are healthy, inclusive.
    pub expect: (u16, u16),
    /// Between two checks of a healthy endpoint.
    pub interval: Duration,
    /// Between two checks of a suspected or unhealthy endpoint.
    pub suspect_interval: Duration,
    /// One check.
    pub timeout: Duration,
    /// So many bad checks in a row: unhealthy.
    pub fall: u32,
    /// So many good checks in a row: healthy again.
    pub rise: u32,
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where the operator's API listens. Changing it needs a restart.
    pub listen: SocketAddr,
    /// Bearer token; always present when `listen` is not loopback.
    pub token: Option<SecretString>,
    /// Host names (besides loopback names and `listen` itself) that may stand in `Host` and `Origin`.
    pub hosts: Vec<String>,
}

/// `[access_log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// `None`: off.
    pub to: Option<AccessSink>,
    /// Share of plain successes that get a line, 0.0 to 1.0; errors and slow requests always get one.
    pub sample: f64,
    /// Query parameters are dropped unless listed here.
    pub keep_query: Vec<String>,
}

/// Where access lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessSink {
    /// Standard output.
    Stdout,
    /// Appended; opened again on reload and SIGHUP.
    File(PathBuf),
}

/// `[store]`. All of it needs a restart.
#[derive(Clone, Debug)]
pub struct Store {
    /// Which database.
    pub at: StoreAt,
    /// Durable writes that may wait in memory while the database is away, in number.
    pub backlog: usize,
    /// How long things are kept.
    pub retention: Retention,
    /// Copies made by this sidecar itself; `None`: none.
    pub backup: Option<StoreBackup>,
}

/// Which database.
#[derive(Clone, Debug)]
pub enum StoreAt {
    /// A file of this sidecar alone.
    Sqlite(PathBuf),
    /// Shared by a fleet.
    Postgres {
        /// `postgres://user@host/database`, without a password.
        url: String,
        /// Its password.
        password: Option<SecretString>,
    },
}

/// How long things are kept, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Incidents since they were resolved, with timeline and notifications; open ones stay.
    pub incidents: Duration,
    /// Audit rows, at least 365 days.
    pub audit: Duration,
    /// Samples.
    pub samples: Duration,
    /// The uptime ledger.
    pub ledger: Duration,
}

/// `[store.backup]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreBackup {
    /// Between two copies.
    pub every: Duration,
    /// A directory.
    pub to: PathBuf,
    /// Copies kept; older ones go.
    pub keep: usize,
}

impl Config {
    /// What one client may ask of the local listeners: what the egress allows, else the ingress, else the defaults.
    pub fn local_limits(&self) -> Arc<Limits> {
        let egress = self.egress.as_ref().map(|egress| &egress.limits);
        let limits = egress.or(self.ingress.as_ref().map(|ingress| &ingress.limits));
        limits.map_or_else(|| Arc::new(presets::limits()), Arc::clone)
    }
}

/// Reads, checks and builds: the one way from text to a [`Config`]. `env` holds the process' `STROP__…` variables.
pub fn load(text: &str, source: &str, env: &[(String, String)]) -> Result<Config, problem::Problems> {
    let mut problems = problem::Collector::new(text);
    let mut written = text.as_bytes().to_vec();
    for (name, value) in env {
        written.extend_from_slice(name.as_bytes());
        written.extend_from_slice(value.as_bytes());
    }
    let hash = format!("{:016x}", reload::hash(&written));
    let config =
        read::read(text, env, &mut problems).and_then(|file| check::check(&file, hash, &mut problems));
    config.filter(|_| problems.is_clean()).ok_or_else(|| problems.finish(source))
}

/// The JSON Schema of the file.
pub fn schema() -> String {
    let schema = schemars::schema_for!(file::ConfigFile);
    serde_json::to_string_pretty(&schema).unwrap_or_default()
}

#[cfg(test)]
mod tests;
