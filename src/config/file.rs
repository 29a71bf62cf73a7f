//! The whole file: what is written, and what stands there without being written.

use std::collections::BTreeMap;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::access_log::AccessLogFile;
use super::admin::AdminFile;
use super::channels::{ChannelType, NotifyFile};
use super::degradation::DegradationFile;
use super::drill::DrillFile;
use super::egress::EgressFile;
use super::engine::escalation::EscalationFile;
use super::engine::incidents::IncidentsFile;
use super::engine::slo::SloFile;
use super::heartbeat::HeartbeatFile;
use super::inbound::InboundFile;
use super::ingress::IngressFile;
use super::kubernetes::KubernetesFile;
use super::latency::LatencyFile;
use super::outbox::OutboxFile;
use super::process::ProcessFile;
use super::recovery::{PlanFile, RecoveryFile};
use super::routes::{self, RouteFile};
use super::runbooks::RunbooksFile;
use super::stale::StaleFile;
use super::store::StoreFile;
use super::upstream::UpstreamFile;
use super::word::Word as _;

/// The whole file. Durations, sizes and shares are text with a unit; unknown keys are errors.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ConfigFile {
    /// The listener in front of the backend.
    #[cfg_attr(test, schemars(extend("x-restart" = "presence")))]
    pub ingress: Option<IngressFile>,
    /// The forward proxy for requests that go out.
    #[cfg_attr(test, schemars(extend("x-restart" = "presence")))]
    pub egress: Option<EgressFile>,
    /// How ingress requests find another upstream than `ingress.upstream`.
    pub routes: Vec<RouteFile>,
    /// Dependencies by name: how each is called and when it is not.
    pub upstreams: BTreeMap<String, UpstreamFile>,
    /// Notification channels by name.
    pub notify: BTreeMap<String, NotifyFile>,
    /// The admin port: API, probes and metrics.
    pub admin: AdminFile,
    /// What counts as slow.
    pub latency: LatencyFile,
    /// The service level objectives: uptime and success.
    pub slo: SloFile,
    /// What makes an incident.
    pub incidents: IncidentsFile,
    /// What recovery plans may do, and how actions are done here.
    pub recovery: RecoveryFile,
    /// The API server that restarts and scales the application.
    pub kubernetes: KubernetesFile,
    /// What is done about which incident, by name.
    pub plans: BTreeMap<String, PlanFile>,
    /// What is looked at, done and asked about which incident, from files in YAML.
    pub runbooks: RunbooksFile,
    /// Who is called for an incident, and in which order.
    pub escalation: EscalationFile,
    /// What each degradation level gives up, and what raises it.
    pub degradation: DegradationFile,
    /// Whether faults may be injected by order, and what ends that.
    pub drill: DrillFile,
    /// An address that is called regularly while incidents are detected and people can be told.
    pub heartbeat: HeartbeatFile,
    /// Where a pager or a chat says back that somebody has taken an incident.
    pub inbound: InboundFile,
    /// The access log: one line per exchange.
    pub access_log: AccessLogFile,
    /// Incidents, audit and ledger on disk.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub store: StoreFile,
    /// Where writes are kept that were acknowledged before their upstream has them; absent: none are.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub outbox: Option<OutboxFile>,
    /// This process: its name, workers, memory, shutdown and log.
    pub process: ProcessFile,
}

/// Puts what there is by default under what is written: first that of every file, then that of each upstream, channel
/// and route, which depends on its name, its preset and where it stands.
pub(super) fn fill(written: &Table) -> Table {
    let mut table = written.clone();
    let mut base = ConfigFile { process: ProcessFile::base(), ..ConfigFile::default() };
    if let Some(notify) = table.get("notify").and_then(Value::as_table) {
        base.escalation = EscalationFile::base(notify.iter().map(|(name, written)| {
            let kind = written.get("kind").and_then(Value::as_str);
            (name, kind.and_then(ChannelType::named))
        }));
    }
    // What is missing in a table of the base is missing in the file as well.
    under(&mut table, base_of(&base));
    let (backend, neighbours) = (backend(&table), neighbours(&table));
    each(&mut table, "upstreams", |name, written| {
        base_of(&UpstreamFile::base(name, neighbours.iter().any(|one| one == name), written))
    });
    each(&mut table, "plans", |_, _| base_of(&PlanFile::default()));
    each(&mut table, "notify", |_, written| base_of(&NotifyFile::base(written)));
    let latency =
        table.get("latency").cloned().and_then(|latency| latency.try_into().ok()).unwrap_or_default();
    let stale = StaleFile::common(table.get("degradation"));
    let of_route =
        |written: &Table| base_of(&RouteFile::base(backend.as_deref(), &latency, stale.clone(), written));
    // But for its name, a route differs from others by little.
    let mut bases: Vec<((bool, Option<String>), Table)> = Vec::new();
    for route in table.get_mut("routes").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(route) = route.as_table_mut() else { continue };
        for empty in ["name", "upstream"] {
            if route.get(empty).and_then(Value::as_str) == Some("") {
                route.remove(empty);
            }
        }
        let until = route.get("latency").and_then(|latency| latency.get("until")).and_then(Value::as_str);
        let kind = (route.contains_key("path"), until.map(str::to_owned));
        if !bases.iter().any(|(known, _)| *known == kind) {
            bases.push((kind.clone(), of_route(route)));
        }
        let base = bases.iter().find(|(known, _)| *known == kind).map(|(_, base)| base.clone());
        let name = Value::String(routes::name(route));
        route.entry("name").or_insert(name);
        under(route, base.unwrap_or_default());
    }
    table
}

/// Who answers requests of the ingress where no route says otherwise; `None`: there is no ingress.
fn backend(table: &Table) -> Option<String> {
    let ingress = table.get("ingress").and_then(Value::as_table)?;
    let written = ingress.get("upstream").and_then(Value::as_str).map(str::to_owned);
    Some(written.unwrap_or_else(|| IngressFile::default().upstream))
}

/// Upstreams behind the ingress.
pub(super) fn neighbours(table: &Table) -> Vec<String> {
    let routed = |route: &Value| route.get("upstream").and_then(Value::as_str).map(str::to_owned);
    let routes = table.get("routes").and_then(Value::as_array);
    routes.into_iter().flatten().filter_map(routed).chain(backend(table)).collect()
}

fn base_of(file: &impl Serialize) -> Table {
    Table::try_from(file).unwrap_or_default()
}

/// Puts the base of each table in `of` under it.
fn each(table: &mut Table, of: &str, base: impl Fn(&str, &Table) -> Table) {
    let tables = table.get_mut(of).and_then(Value::as_table_mut).into_iter().flatten();
    for (name, written) in tables.filter_map(|(name, written)| Some((name, written.as_table_mut()?))) {
        let base = base(name, written);
        under(written, base);
    }
}

fn under(written: &mut Table, base: Table) {
    for (key, base) in base {
        match (written.get_mut(&key), base) {
            (None, base) => {
                written.insert(key, base);
            }
            (Some(Value::Table(written)), Value::Table(base)) => under(written, base),
            (Some(_), _) => {}
        }
    }
}
