//! How the health of the sidecar looks in the API. A field is added, never changed.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use super::contract::DependencyView;
use super::contract::moment::when;
use super::{Admin, dependencies};
use crate::control::{BackupStatus, Bypass, FleetView, MemberView, Snapshot};
use crate::reliability::readings::ResourceReading;
use crate::runtime::{clock, fds};
use crate::store::StoreStatus;
use crate::units::At;

/// All that is known of the health of the sidecar and of what it depends on.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct HealthView {
    /// Confirmed incidents that are not over.
    incidents_open: usize,
    dependencies: Vec<DependencyView>,
    sidecar: Sidecar,
    config: ConfigHealth,
    /// null: it is off.
    store: Option<StoreHealth>,
    /// null: this is the only member.
    fleet: Option<Fleet>,
    /// null: nobody outside waits for one.
    heartbeat: Option<HeartbeatView>,
    resources: Vec<ResourceView>,
    bypass: BypassView,
}

/// This process: its state, version and resources.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct Sidecar {
    alive: bool,
    ready: bool,
    not_ready_because: Vec<&'static str>,
    version: &'static str,
    uptime_seconds: f64,
    /// Open client connections by listener.
    connections: BTreeMap<String, usize>,
    file_descriptors: Descriptors,
    buffers: Buffers,
    /// Connections and other tasks that ended by a panic.
    panics: u64,
    /// Where the certificates are from that servers are held to; null: nothing is reached by TLS.
    tls_roots: Option<&'static str>,
}

/// File descriptors of this process; null: not observable.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct Descriptors {
    in_use: Option<u64>,
    limit: Option<u64>,
}

/// Bytes of traffic that are buffered; null: not observable.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct Buffers {
    limit: Option<usize>,
    process: usize,
    kernel: Option<usize>,
    /// There is no room for more.
    short: bool,
}

/// The config in force.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct ConfigHealth {
    generation: u64,
    hash: String,
    /// False: the last one was refused, and the one before is in force.
    last_reload_ok: bool,
}

/// The store, as this sidecar finds it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct StoreHealth {
    /// ok, unreachable, full, damaged, gone or replaced.
    state: &'static str,
    since: String,
    database: &'static str,
    backlog: usize,
    backlog_limit: usize,
    last_error: Option<String>,
    /// Where a damaged file was moved to; null: none was.
    moved_aside: Option<String>,
    audit_head: Option<String>,
    committed: u64,
    refused: u64,
    /// null: no backup is configured.
    backup: Option<BackupHealth>,
}

/// Copies of the store.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct BackupHealth {
    /// null: there is none.
    last_good: Option<GoodCopyView>,
    /// null: the last copy was good.
    failing: Option<Failing>,
    good: u64,
    failed: u64,
}

/// A copy that was restored and compared.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct GoodCopyView {
    file: String,
    at: String,
    bytes: u64,
    took_seconds: Option<f64>,
}

/// Since when no copy succeeds, and why.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct Failing {
    since: String,
    last_error: String,
}

/// Those who share the store.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct Fleet {
    member: String,
    /// holds, follows or alone.
    duty: &'static str,
    since: String,
    /// Who calls people, as far as is known.
    holder: Option<String>,
    count: u64,
    members: Vec<Member>,
}

/// One member of the fleet.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct Member {
    name: String,
    boot: String,
    #[serde(rename = "self")]
    this: bool,
    age_seconds: f64,
    alerts: usize,
}

/// Who outside is told that all is watched.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct HeartbeatView {
    every_seconds: u64,
    /// null: not heard yet since the start.
    last_heard_at: Option<String>,
    /// called, why the call failed, or why it was withheld; null: it was not its turn yet.
    last_outcome: Option<&'static str>,
}

impl HeartbeatView {
    fn of(admin: &Admin) -> Option<Self> {
        let status = admin.reloader.status();
        let heartbeat = status.config.heartbeat.as_ref()?;
        let beaten = admin.telemetry.people.heartbeat();
        let heard = beaten.as_ref().and_then(|beaten| beaten.heard_at);
        Some(Self {
            every_seconds: heartbeat.every.as_secs(),
            last_heard_at: heard.map(|at| clock::rfc3339(UNIX_EPOCH + Duration::from_secs(at))),
            last_outcome: beaten.map(|beaten| beaten.last),
        })
    }
}

/// How near its end a resource is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct ResourceView {
    /// cpu, memory, disk or network.
    resource: &'static str,
    which: String,
    /// The share in use, 0 to 1; null: not observable. The application's own use is not, from a sidecar.
    used: Option<f64>,
    /// The file or the system call that it was read from.
    read_from: String,
    age_seconds: f64,
}

/// Connections of the pod that go out beside the egress.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct BypassView {
    /// null: not observable, and `note` says why.
    connections: Option<u64>,
    connections_total: Option<u64>,
    ports: Option<Vec<u16>>,
    examples: Option<Vec<BypassExample>>,
    note: Option<String>,
    age_seconds: Option<f64>,
}

/// One address that is reached beside the egress.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
struct BypassExample {
    address: String,
    upstream: Option<String>,
    connections: u64,
}

impl HealthView {
    pub(super) fn of(admin: &Admin, snapshot: &Snapshot) -> Self {
        let records = admin.control.records();
        let config = admin.reloader.status();
        let fleet = snapshot.fleet.as_deref();
        Self {
            incidents_open: snapshot.open(),
            dependencies: dependencies::sorted(admin)
                .iter()
                .map(|one| dependencies::dependency(admin, one).1)
                .collect(),
            sidecar: Sidecar::of(admin),
            config: ConfigHealth {
                generation: config.generation,
                hash: config.config.hash.clone(),
                last_reload_ok: config.last.as_ref().is_none_or(|last| last.refused.is_empty()),
            },
            store: records.status().map(|status| {
                let backup = records.backups().status().map(BackupHealth::of);
                StoreHealth::of(status, backup)
            }),
            fleet: fleet.map(|fleet| Fleet::of(fleet, records.member(), records.boot())),
            heartbeat: HeartbeatView::of(admin),
            resources: snapshot.resources.iter().map(|one| ResourceView::of(one, snapshot.at)).collect(),
            bypass: BypassView::of(&snapshot.bypass, admin.control.now()),
        }
    }
}

impl Sidecar {
    fn of(admin: &Admin) -> Self {
        let reasons = admin.readiness.reasons(clock::instant());
        let memory = &admin.telemetry.memory;
        let upstreams = dependencies::sorted(admin);
        let mut roots = upstreams.iter().filter_map(|one| one.tls.as_ref().map(|tls| tls.roots.label()));
        Self {
            alive: true,
            ready: reasons.is_empty(),
            not_ready_because: reasons,
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: clock::instant().saturating_duration_since(admin.started.instant).as_secs_f64(),
            connections: admin.telemetry.listener_counts().into_iter().collect(),
            file_descriptors: Descriptors { in_use: fds::in_use(), limit: fds::limit() },
            buffers: Buffers {
                limit: memory.limit(),
                process: memory.buffers(),
                kernel: memory.kernel(),
                short: memory.is_tight(),
            },
            panics: admin.telemetry.panics(),
            tls_roots: roots.next(),
        }
    }
}

impl StoreHealth {
    fn of(status: StoreStatus, backup: Option<BackupHealth>) -> Self {
        Self {
            state: status.state.as_str(),
            since: when(At(status.since)),
            database: status.database,
            backlog: status.backlog,
            backlog_limit: status.backlog_limit,
            last_error: status.last_error,
            moved_aside: status.moved_aside.map(|moved| moved.to.display().to_string()),
            audit_head: status.audit_head.map(|head| head.to_string()),
            committed: status.committed,
            refused: status.refused,
            backup,
        }
    }
}

impl BackupHealth {
    fn of(status: BackupStatus) -> Self {
        Self {
            last_good: status.last.map(|copy| GoodCopyView {
                file: copy.path.display().to_string(),
                at: clock::rfc3339(copy.at),
                bytes: copy.bytes,
                took_seconds: copy.took.map(|took| took.as_secs_f64()),
            }),
            failing: status
                .failing
                .map(|(since, why)| Failing { since: clock::rfc3339(since), last_error: why }),
            good: status.good,
            failed: status.failed,
        }
    }
}

impl Fleet {
    fn of(fleet: &FleetView, member: &str, boot: &str) -> Self {
        let one = |one: &MemberView| Member {
            name: one.name.to_string(),
            boot: one.boot.to_string(),
            this: *one.boot == *boot,
            age_seconds: one.age.as_secs_f64(),
            alerts: one.sees,
        };
        Self {
            member: member.to_owned(),
            duty: fleet.duty.label(),
            since: when(fleet.since),
            holder: fleet.holder.as_deref().map(str::to_owned),
            count: fleet.count,
            members: fleet.members.iter().map(one).collect(),
        }
    }
}

impl ResourceView {
    fn of(one: &ResourceReading, now: At) -> Self {
        Self {
            resource: one.what.label(),
            which: one.which.to_string(),
            used: one.used,
            read_from: one.source.clone(),
            age_seconds: now.since(one.sampled).as_secs_f64(),
        }
    }
}

impl BypassView {
    fn of(bypass: &Bypass, now: At) -> Self {
        let seen = match bypass {
            Bypass::NotObservable(why) => {
                return Self {
                    connections: None,
                    connections_total: None,
                    ports: None,
                    examples: None,
                    note: Some(format!("not observable: {why}")),
                    age_seconds: None,
                };
            }
            Bypass::Observed(seen) => seen,
        };
        let example = |(address, upstream, many): &(std::net::SocketAddr, Option<String>, u64)| {
            BypassExample { address: address.to_string(), upstream: upstream.clone(), connections: *many }
        };
        let cut = "this machine has more connections than are looked at: there may be more that pass by";
        Self {
            connections: Some(seen.passing.values().map(|one| one.open).sum()),
            connections_total: Some(seen.passing.values().map(|one| one.total).sum()),
            ports: Some(seen.ports.clone()),
            examples: Some(seen.examples.iter().map(example).collect()),
            note: seen.cut.then(|| cut.to_owned()),
            age_seconds: Some(now.since(seen.at).as_secs_f64()),
        }
    }
}
