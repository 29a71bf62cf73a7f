//! The configuration that runs, checked from the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::access_log::AccessLogConfig;
use super::admin::AdminConfig;
use super::channels::{Channel, NotifyFile};
use super::drill::ScheduledDrill;
use super::egress::Egress;
use super::file::ConfigFile;
use super::heartbeat::HeartbeatConfig;
use super::inbound::Inbound;
use super::ingress::Ingress;
use super::latency::Latency;
use super::limits::{ClientLimits, LimitsFile};
use super::outbox::OutboxConfig;
use super::places::WrittenPlaces;
use super::problem::Collector;
use super::process::ProcessConfig;
use super::recovery::RecoveryConfig;
use super::routes::{self, Route};
use super::runbooks::RunbooksConfig;
use super::store::StoreConfig;
use super::upstream::{UpstreamConfig, UpstreamFile};
use super::{engine, listeners, secret};
use crate::names::UpstreamName;
use crate::reliability::degradation::DegradationPolicy;
use crate::reliability::drill::DrillPolicy;

/// Everything Strop needs to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The front of the backend, when this sidecar stands there.
    pub ingress: Option<Ingress>,
    /// The way out, when this sidecar stands there.
    pub egress: Option<Egress>,
    /// Sorted by name; names are unique.
    pub upstreams: Vec<Arc<UpstreamConfig>>,
    /// Of those that match a request the first one takes it (see [`RoutePath`](super::routes::RoutePath)); the last one
    /// is always the implicit
    /// `default` route to the ingress upstream when there is an ingress.
    pub routes: Vec<Arc<Route>>,
    /// Sorted by name; names are unique.
    pub notify: Vec<Arc<Channel>>,
    /// Who is called while all is watched; `None`: nobody.
    pub heartbeat: Option<HeartbeatConfig>,
    /// Where a pager or a chat says back that somebody has taken an incident; `None`: nowhere.
    pub inbound: Option<Inbound>,
    /// The admin port: API, probes and metrics.
    pub admin: AdminConfig,
    /// Which requests count as slow.
    pub latency: Latency,
    /// What makes an incident, who is called, what is promised.
    pub watch: engine::EngineConfig,
    /// What is done about incidents, and how.
    pub recovery: RecoveryConfig,
    /// What is looked at, done and asked about which incident.
    pub runbooks: Arc<RunbooksConfig>,
    /// What each degradation level gives up, and what raises it.
    pub degradation: DegradationPolicy,
    /// Whether faults may be injected by order, and what ends that.
    pub drill: DrillPolicy,
    /// The drill that begins by itself once a month; `None`: none does.
    pub drill_schedule: Option<Arc<ScheduledDrill>>,
    /// Bytes of kept answers over all routes.
    pub kept_answers: usize,
    /// One line per request.
    pub access_log: AccessLogConfig,
    /// Incidents, audit and ledger on disk; `None`: off.
    pub store: Option<StoreConfig>,
    /// Writes that were acknowledged before their upstream has them; `None`: there are none.
    pub outbox: Option<OutboxConfig>,
    /// This process: its name, workers, memory, shutdown and log.
    pub process: ProcessConfig,
    /// Hash of the file's text and of the variables that override its keys, 16 hex digits. It tells configs apart and
    /// protects nothing.
    pub hash: String,
    pub(super) origin: Arc<ConfigOrigin>,
}

/// What a config was made of.
pub(super) struct ConfigOrigin {
    /// What the operator wrote, and nothing else.
    pub(super) written: Value,
    /// The same with all defaults.
    pub(super) file: ConfigFile,
    /// What the secrets were.
    pub(super) contents: secret::Contents,
    /// Secrets that others can read, as they are told.
    pub(super) exposed: Vec<String>,
    /// Where it was written.
    pub(super) places: WrittenPlaces,
}

impl ConfigOrigin {
    fn of(WrittenConfig { keys: written, places, hash: _ }: WrittenConfig, file: ConfigFile) -> Self {
        let (contents, exposed) = (secret::contents(&written), secret::exposed(&written));
        Self { written, file, contents, exposed, places }
    }
}

/// What the operator wrote.
pub(super) struct WrittenConfig {
    /// The keys, and nothing else.
    pub(super) keys: Value,
    pub(super) places: WrittenPlaces,
    /// As in [`Config::hash`].
    pub(super) hash: String,
}

/// An address that was written may hold a secret.
impl fmt::Debug for ConfigOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").finish_non_exhaustive()
    }
}

impl Config {
    /// Do requests of the ingress go there? Then it is a neighbour, and no vendor.
    pub fn is_behind(&self, upstream: &UpstreamName) -> bool {
        self.ingress.as_ref().is_some_and(|ingress| ingress.upstream == *upstream)
            || self.routes.iter().any(|route| route.upstream == *upstream)
    }

    /// All that is in force, in the shape of the file. Beside the path of a secret stands a hash of what was read
    /// there, keyed anew in each process; what follows the question mark of an address is left out.
    pub fn effective(&self) -> Value {
        let mut all = json(&self.origin.file);
        secret::mark(&mut all, &self.origin.contents);
        secret::mask("", &mut all);
        all
    }

    /// The files of the secrets that are read with the config.
    pub(super) fn secret_files(&self) -> Vec<PathBuf> {
        secret::files(&self.origin.written)
    }

    /// What the operator wrote at a path.
    pub(super) fn written(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.origin.written, |table, key| table.get(key))
    }

    /// Endpoints that lead back to this process, by their keys, with what is told of each. `own`: is it an address of
    /// this machine? Asked only of addresses whose port is one of a listener of this process.
    pub fn leading_back(&self, own: impl Fn(std::net::IpAddr) -> bool) -> Vec<(String, String)> {
        listeners::leading_back(&self.origin.file, own)
    }

    /// What one client may ask of the local listeners: what the egress allows, else the ingress, else the defaults.
    pub fn local_limits(&self) -> Arc<ClientLimits> {
        let egress = self.egress.as_ref().map(|egress| &egress.limits);
        let limits = egress.or(self.ingress.as_ref().map(|ingress| &ingress.limits));
        limits.map_or_else(|| Arc::new(LimitsFile::default().limits()), Arc::clone)
    }
}

pub(super) fn json(file: &ConfigFile) -> Value {
    serde_json::to_value(file).unwrap_or_default()
}

impl ConfigFile {
    /// Upstreams that have backup endpoints.
    fn backed(&self) -> Vec<&str> {
        let backed = self.upstreams.iter().filter(|(_, upstream)| !upstream.backup.is_empty());
        backed.map(|(name, _)| name.as_str()).collect()
    }

    /// Checks what was filled, of what was `written`. Every check runs; `None` when problems were noted.
    pub(super) fn check(self, written: WrittenConfig, problems: &mut Collector<'_>) -> Option<Config> {
        let named: Vec<&str> = self.upstreams.keys().map(String::as_str).collect();
        let ingress = self.ingress.as_ref().map(|ingress| ingress.check(problems.part("ingress"), &named));
        let egress = self.egress.as_ref().map(|egress| egress.check(problems.part("egress")));
        let latency = self.latency.check(problems.part("latency"));
        let backend = ingress.as_ref().and_then(Option::as_ref).map(|ingress| &ingress.upstream);
        let stale = self.degradation.stale(problems.part("degradation"));
        let routes = routes::check(&self.routes, backend, &named, &latency, stale, problems);
        let upstreams = self.upstreams(backend, problems);
        let degradation = self.degradation.check(problems.part("degradation"), &routes, &upstreams);
        let kept_answers = self.degradation.kept_answers(problems.part("degradation"));
        let (drill, drill_schedule) = self.drills(&named, problems);
        let (notify, heartbeat) = (self.channels(problems), self.heartbeat.check(problems.part("heartbeat")));
        let inbound = self.inbound.check(problems.part("inbound"));
        let admin = self.admin.check(problems.part("admin"));
        let store = self.store.check(problems.part("store"));
        let outbox = self.outbox.as_ref().map(|outbox| outbox.check(problems.part("outbox")));
        let process = self.process.check(problems.part("process"));
        let watch = self.watch(&named, latency, &routes, problems);
        let kubernetes = self.kubernetes.check(problems.part("kubernetes"));
        let recovery = self.recovery.check(&self.plans, (&named, &self.backed()), kubernetes, problems);
        let runbooks = self.runbooks.check(problems.part("runbooks"));
        self.access_log.check(problems.part("access_log"));
        self.together(problems);
        problems.is_clean().then_some(())?;
        Some(Config {
            ingress: ingress.flatten(),
            egress,
            upstreams: upstreams.into_iter().flatten().map(Arc::new).collect(),
            routes,
            notify: notify.into_iter().flatten().map(Arc::new).collect(),
            heartbeat,
            inbound,
            admin,
            latency,
            watch: watch?,
            recovery,
            runbooks: Arc::new(runbooks),
            degradation,
            drill,
            drill_schedule,
            kept_answers,
            access_log: self.access_log.log(),
            store: store?,
            outbox: outbox.flatten(),
            process,
            hash: written.hash.clone(),
            origin: Arc::new(ConfigOrigin::of(written, self)),
        })
    }

    fn watch(
        &self,
        upstreams: &[&str],
        latency: Latency,
        routes: &[Arc<Route>],
        problems: &mut Collector<'_>,
    ) -> Option<engine::EngineConfig> {
        let channels: Vec<&str> = self.notify.keys().map(String::as_str).collect();
        let pagers = self.notify.iter().filter(|(_, written)| written.is_pager());
        let pagers: Vec<&str> = pagers.map(|(name, _)| name.as_str()).collect();
        let tables = engine::EngineTables {
            slo: &self.slo,
            incidents: &self.incidents,
            escalation: &self.escalation,
            upstreams,
            channels: &channels,
            pagers: &pagers,
        };
        engine::check(&tables, latency, routes, problems)
    }

    fn drills(
        &self,
        upstreams: &[&str],
        problems: &mut Collector<'_>,
    ) -> (DrillPolicy, Option<Arc<ScheduledDrill>>) {
        let policy = self.drill.check(problems.part("drill"));
        (policy, self.drill.schedule(problems.part("drill"), upstreams))
    }

    fn channels(&self, problems: &mut Collector<'_>) -> Vec<Option<Channel>> {
        let one = |(name, written): (&String, &NotifyFile)| {
            written.check(problems.part(format!("notify.{name}")), name)
        };
        self.notify.iter().map(one).collect()
    }

    fn upstreams(
        &self,
        backend: Option<&UpstreamName>,
        problems: &mut Collector<'_>,
    ) -> Vec<Option<UpstreamConfig>> {
        let behind = |name: &str| {
            backend.is_some_and(|backend| backend.as_str() == name)
                || self.routes.iter().any(|route| route.upstream == name)
        };
        let one = |(name, written): (&String, &UpstreamFile)| {
            written.check(problems.part(format!("upstreams.{name}")), name, behind(name))
        };
        self.upstreams.iter().map(one).collect()
    }

    /// What does not go together.
    fn together(&self, problems: &mut Collector<'_>) {
        listeners::check(self, problems);
        self.hosts(problems);
        self.keys(problems);
        self.queues(problems);
    }

    /// Routes that would give keys to an upstream that knows none.
    fn keys(&self, problems: &mut Collector<'_>) {
        for (nth, route) in self.routes.iter().enumerate().filter(|(_, route)| route.inject_key == Some(true))
        {
            if self.upstreams.get(&route.upstream).is_some_and(|upstream| !upstream.knows_keys()) {
                let told = format!(
                    "{0} knows no idempotency keys; write upstreams.{0}.idempotency = {{ header = \"Idempotency-Key\" }} \
                     if it does, or leave this out",
                    route.upstream
                );
                problems.part(format!("routes.{nth}")).add("inject_key", told);
            }
        }
    }

    /// Upstreams whose writes would be queued nowhere.
    fn queues(&self, problems: &mut Collector<'_>) {
        if self.outbox.is_some() {
            return;
        }
        for name in
            self.upstreams.iter().filter(|(_, upstream)| upstream.outbox.is_some()).map(|(name, _)| name)
        {
            let told = "needs the table [outbox]: where queued writes are kept; write [outbox] with seal_key_file = \"PATH\"";
            problems.part(format!("upstreams.{name}")).add("outbox", told);
        }
    }

    /// Hosts that two upstreams claim.
    fn hosts(&self, problems: &mut Collector<'_>) {
        let mut claimed: BTreeMap<String, &str> = BTreeMap::new();
        for (name, upstream) in &self.upstreams {
            for (nth, host) in upstream.hosts().into_iter().enumerate() {
                if let Some(other) = claimed.get(&host) {
                    let told = format!("{host:?} is listed by {other} already; write it once");
                    problems.part(format!("upstreams.{name}.hosts.{nth}")).add("", told);
                } else {
                    claimed.insert(host, name);
                }
            }
        }
    }
}
