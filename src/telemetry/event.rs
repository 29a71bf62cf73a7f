//! Things worth telling. The only place with `info!`, `warn!` and `error!`.
//!
//! Levels are for the person on call: `error` needs a human, `warn` is degraded but handled, `info` is a change of
//! state. The message is constant; the facts are fields.

mod application;
mod drills;
mod names;
mod process;

use tracing::{error, info, warn};

use crate::reliability::outbox::OutboxOutcome;
use crate::reliability::recovery::{RunEvent, RunEventKind};

pub use application::ApplicationEvent;
pub use drills::DrillEvent;
pub use names::NamesEvent;
pub use process::{FailedOver, LevelMoved, MemoryEvent, OrderEvent, ProcessEvent};

/// Something worth telling the operator: one log line each.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Event<'a> {
    Starting { version: &'a str, workers: usize, config: &'a str },
    Listening { listener: &'a str, address: &'a str },
    ConfigApplied { cause: &'a str, generation: u64, applied: &'a str, needs_restart: &'a str },
    ConfigRefused { cause: &'a str, problems: &'a str },
    ConfigWarning { problem: &'a str },
    ReloadBusy { why: &'a str },
    BreakerMoved { upstream: &'a str, from: &'a str, to: &'a str, why: &'a str },
    EndpointHealth { upstream: &'a str, endpoint: &'a str, healthy: bool, why: &'a str },
    AddressForbidden { upstream: &'a str, address: &'a str, range: &'a str },
    UnlistedHost { host: &'a str, policy: &'a str },
    Told(&'a DeliveryAttempt<'a>),
    AdminMutation { actor: &'a str, action: &'a str, target: &'a str, reason: &'a str },
    CertReloaded { listener: &'a str },
    CertRefused { listener: &'a str, error: &'a str },
    TlsUnusable { upstream: &'a str, error: &'a str },
    AccessLogFailed { error: &'a str },
    WatchFailed { error: &'a str },
    WorkerFailed { error: &'a str },
    Memory(MemoryEvent<'a>),
    ConnectionPanicked,
    TaskEndedEarly { task: &'a str },
    TaskPanicked { owner: &'a str, task: &'a str },
    Draining { why: &'a str },
    DrainTimedOut { connections: usize },
    CutShort { signal: &'a str, connections: usize },
    Stopped,
}

impl Event<'_> {
    pub fn tell(&self) {
        match *self {
            Self::Starting { version, workers, config } => info!(version, workers, config, "starting"),
            Self::Listening { listener, address } => info!(listener, address, "listening"),
            Self::ConfigApplied { cause, generation, applied, needs_restart } => {
                info!(cause, generation, applied, needs_restart, "config applied");
            }
            Self::ConfigRefused { cause, problems } => {
                error!(cause, problems, "config refused, the last good one stays");
            }
            Self::ConfigWarning { problem } => warn!(problem, "config"),
            Self::ReloadBusy { why } => warn!(why, "config not read again"),
            Self::BreakerMoved { upstream, from, to, why } => breaker_moved(upstream, from, to, why),
            Self::EndpointHealth { upstream, endpoint, healthy: true, why } => {
                info!(component = RECOVERY, upstream, endpoint, healthy = true, why, "endpoint health");
            }
            Self::EndpointHealth { upstream, endpoint, healthy: false, why } => {
                warn!(upstream, endpoint, healthy = false, why, "endpoint health");
            }
            Self::AddressForbidden { upstream, address, range } => {
                warn!(
                    upstream,
                    address, range, "address refused by the guard; list it in allow_addresses if it is meant"
                );
            }
            Self::UnlistedHost { host, policy } => warn!(host, policy, "host is not listed by any upstream"),
            Self::Told(told) => told.tell(),
            Self::AdminMutation { actor, action, target, reason } => {
                info!(actor, action, target, reason, "admin mutation");
            }
            Self::CertReloaded { listener } => info!(listener, "certificate replaced"),
            Self::CertRefused { listener, error } => {
                error!(listener, error, "certificate refused, the old one stays")
            }
            Self::TlsUnusable { upstream, error } => error!(upstream, error, "TLS cannot be set up"),
            Self::AccessLogFailed { error } => error!(error, "access log cannot be opened"),
            Self::WatchFailed { error } => warn!(error, "config file is polled only"),
            Self::WorkerFailed { error } => error!(error, "worker could not start"),
            Self::Memory(event) => event.tell(),
            Self::ConnectionPanicked => error!("a connection ended by a panic"),
            Self::TaskPanicked { owner, task } => error!(owner, task, "a task ended by a panic"),
            Self::TaskEndedEarly { task } => error!(task, "a task ended early"),
            Self::Draining { why } => info!(why, "draining"),
            Self::DrainTimedOut { connections } => warn!(connections, "drain timed out"),
            Self::CutShort { signal, connections } => {
                warn!(signal, connections, "asked to stop again: what was still open is cut");
            }
            Self::Stopped => info!("stopped"),
        }
    }
}

/// Something worth telling of an upstream and its endpoints.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum UpstreamEvent<'a> {
    BreakerWouldMove { upstream: &'a str, from: &'a str, to: &'a str, why: &'a str },
    IdleClosed { upstream: &'a str, after: &'a str, idle_for: &'a str },
    EndpointEjected { upstream: &'a str, endpoint: &'a str, why: &'a str, seconds: f64, times: u32 },
    EndpointReturned { upstream: &'a str, endpoint: &'a str },
    LeadsBack { upstream: &'a str, address: &'a str },
    PassedBy { upstream: &'a str, address: &'a str },
    Overloaded { upstream: &'a str, limit: u32, in_flight: u32, mode: &'a str },
    Relieved { upstream: &'a str, refused: u64 },
}

impl UpstreamEvent<'_> {
    pub fn tell(&self) {
        match *self {
            Self::BreakerWouldMove { upstream, from, to, why } => {
                info!(component = CIRCUIT, upstream, from, to, why, "breaker in shadow: nothing is refused");
            }
            Self::IdleClosed { upstream, after, idle_for } => {
                warn!(
                    upstream,
                    after,
                    idle_for,
                    "upstream closes idle connections sooner than they are given up here; write a shorter pool.idle_for"
                );
            }
            Self::EndpointEjected { upstream, endpoint, why, seconds, times } => {
                warn!(upstream, endpoint, why, seconds, times, "endpoint out of rotation");
            }
            Self::EndpointReturned { upstream, endpoint } => {
                info!(component = RECOVERY, upstream, endpoint, "endpoint back in rotation: a check passed");
            }
            Self::LeadsBack { upstream, address } => {
                error!(
                    upstream,
                    address,
                    "the address is a listener of this very process, requests would go round in circles: it is not called"
                );
            }
            Self::Overloaded { upstream, limit, in_flight, mode } => {
                warn!(upstream, limit, in_flight, mode, "more requests than the upstream keeps up with");
            }
            Self::Relieved { upstream, refused } => {
                info!(component = RECOVERY, upstream, refused, "the upstream keeps up again");
            }
            Self::PassedBy { upstream, address } => {
                warn!(
                    upstream,
                    address,
                    "a connection of this pod passes the egress by: point its client at it, see the table of clients in the README"
                );
            }
        }
    }
}

/// Something worth telling of the store.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum StoreEvent<'a> {
    Kept { at: &'a str },
    Moved { from: &'a str, to: &'a str, why: &'a str, backlog: usize },
    MovedAside { to: &'a str, why: &'a str },
    Rewritten { file: &'a str },
    ClockDoubted { newest: &'a str },
    BackedUp { file: &'a str, bytes: u64, rows: i64, took_ms: u128, audit_head: &'a str },
    NotBackedUp { to: &'a str, why: &'a str },
    Unreadable { id: &'a str, error: &'a str },
    Packed { minutes: u64, pieces: u64 },
    Shrunk { from: i64, to: i64, error: Option<&'a str> },
}

impl StoreEvent<'_> {
    pub fn tell(&self) {
        match *self {
            Self::Kept { at } => {
                info!(component = SRE, store = at, "incidents, audit log and uptime are kept here");
            }
            Self::Moved { from, to: "ok", backlog, .. } => info!(from, to = "ok", backlog, "store moved"),
            Self::Moved { from, to, why, backlog } => {
                error!(from, to, why, backlog, "store moved, writes wait in memory");
            }
            Self::MovedAside { to, why } => {
                error!(to, why, "the store's file was damaged: it was moved aside, a new one was begun");
            }
            Self::Rewritten { file } => {
                error!(file, "the store's file was removed while it was open: it was written anew");
            }
            Self::ClockDoubted { newest } => {
                warn!(
                    newest,
                    "the clock is more than 7 days past the newest row: nothing is deleted before it has run for a day"
                );
            }
            Self::BackedUp { file, bytes, rows, took_ms, audit_head } => {
                info!(file, bytes, rows, took_ms, audit_head, "store backed up, restored and compared");
            }
            Self::NotBackedUp { to, why } => error!(to, why, "the store could not be backed up"),
            Self::Unreadable { id, error } => {
                error!(id, error, "a row of the store cannot be read, it stays there")
            }
            Self::Packed { minutes, pieces } => {
                info!(minutes, pieces, "closed days of the ledger are packed");
            }
            Self::Shrunk { from, to, error: None } => {
                info!(from, to, "the store's file was mostly empty: its room is given back");
            }
            Self::Shrunk { from, error: Some(error), .. } => {
                warn!(from, error, "the store's file is mostly empty, but its room cannot be given back");
            }
        }
    }
}

/// Something worth telling of the audit chain.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum AuditEvent<'a> {
    Head { head: &'a str },
    Turned { action: &'a str, after: &'a str },
}

impl AuditEvent<'_> {
    pub fn tell(&self) {
        match *self {
            Self::Head { head } => {
                info!(head, "the audit chain ends here; keep it for `strop audit verify --against`")
            }
            Self::Turned { action: "audit.keyed", after } => {
                info!(after, "the audit chain bears the key of store.audit_key_file from here on");
            }
            Self::Turned { action, after } => {
                error!(
                    action,
                    after, "the end of the audit chain is not what the key knows: somebody has changed it"
                );
            }
        }
    }
}

/// The duty to call people moved between the members of a fleet.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum FleetEvent<'a> {
    DutyMoved { from: &'a str, to: &'a str, holder: Option<&'a str> },
}

impl FleetEvent<'_> {
    pub fn tell(&self) {
        match *self {
            Self::DutyMoved { from, to: "alone", .. } => {
                warn!(from, to = "alone", "duty moved: nobody can say who calls people, so this member does");
            }
            Self::DutyMoved { from, to, holder } => info!(from, to, holder, "duty moved"),
        }
    }
}

/// An incident changed its state.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct IncidentEvent<'a> {
    pub id: &'a str,
    pub rule: &'a str,
    pub severity: &'a str,
    pub from: Option<&'a str>,
    pub to: &'a str,
    pub title: &'a str,
}

impl IncidentEvent<'_> {
    pub fn tell(&self) {
        let Self { id, rule, severity, from, to, title } = *self;
        let component = if matches!(to, "monitoring" | "resolved") { RECOVERY } else { SRE };
        // The guide's word for what a person greps for; other rules have none.
        let sign = (rule == "latency").then_some("high_latency");
        match to {
            "open" => error!(component, sign, id, rule, severity, from, to, title, "incident moved"),
            "suspected" => warn!(component, sign, id, rule, severity, from, to, title, "incident moved"),
            _ => info!(component, sign, id, rule, severity, from, to, title, "incident moved"),
        }
    }
}

/// Something has happened to a write of an upstream.
#[derive(Debug)]
pub struct OutboxEvent<'a> {
    pub upstream: &'a str,
    pub outcome: OutboxOutcome,
}

impl OutboxEvent<'_> {
    pub fn tell(&self) {
        let Self { upstream, outcome } = *self;
        match outcome {
            OutboxOutcome::Queued => info!(upstream, "a write is queued"),
            OutboxOutcome::NotQueued => warn!(upstream, "a write could not be queued, its client is refused"),
            OutboxOutcome::Delivered => info!(upstream, "a queued write is delivered"),
            OutboxOutcome::Later => {}
            OutboxOutcome::Dead(reason) => {
                error!(upstream, reason = reason.label(), "a queued write is a dead letter");
            }
            OutboxOutcome::Ordered => info!(upstream, "a queued write is sent again by order"),
            OutboxOutcome::Dropped => info!(upstream, "a queued write is dropped by order"),
        }
    }

    /// The file could not be read to its end.
    pub fn damaged(copy: &std::path::Path) {
        error!(copy = %copy.display(), "the outbox ends with bytes that are no record: they are in a copy of the file");
    }
}

/// What has happened in a run of a recovery plan.
pub struct RecoveryEvent<'a>(pub &'a RunEvent);

impl RecoveryEvent<'_> {
    pub fn tell(&self) {
        let RunEvent { run, kind, .. } = self.0;
        let (plan, target) = (&*self.0.plan, &*self.0.target);
        let component = RECOVERY;
        match kind {
            RunEventKind::Began => info!(component, %run, plan, target, "recovery began"),
            RunEventKind::Step { action, result, took } => {
                let (action, result, seconds) = (action.label(), result.label(), took.as_secs_f64());
                info!(component, %run, plan, target, action, result, seconds, "recovery step");
            }
            RunEventKind::Ended { outcome, took, .. } => {
                let (needs_people, seconds) = (outcome.needs_people(), took.as_secs_f64());
                let outcome = outcome.label();
                if needs_people {
                    error!(component, %run, plan, target, outcome, seconds, "recovery ended");
                } else {
                    info!(component, %run, plan, target, outcome, seconds, "recovery ended");
                }
            }
        }
    }
}

/// Words of the guide by which a log is searched (`grep "SRE\|Circuit\|Recovery"`): incidents and who is called about them.
const SRE: &str = "SRE";
/// The guide's word for breakers that move.
const CIRCUIT: &str = "Circuit";
/// What is well again.
const RECOVERY: &str = "Recovery";

fn breaker_moved(upstream: &str, from: &str, to: &str, why: &str) {
    let component = CIRCUIT;
    if to == "open" {
        warn!(component, upstream, from, to, why, "breaker moved");
    } else {
        info!(component, upstream, from, to, why, "breaker moved");
    }
}

/// One attempt to tell somebody of an incident.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct DeliveryAttempt<'a> {
    pub channel: &'a str,
    pub incident: &'a str,
    /// trigger, acknowledge, update, resolve or test.
    pub kind: &'a str,
    /// What the receiver said, or why it does not have it.
    pub came: Result<&'a str, Untold<'a>>,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Untold<'a> {
    /// It is tried again.
    Yet { why: &'a str, error: &'a str },
    /// It is not: a human is needed.
    Ever { why: &'a str, error: &'a str },
}

impl DeliveryAttempt<'_> {
    fn tell(&self) {
        let Self { channel, incident, kind, came } = *self;
        match came {
            Ok(said) => info!(component = SRE, channel, incident, kind, said, "people were told"),
            Err(Untold::Yet { why, error }) => {
                warn!(component = SRE, channel, incident, kind, why, error, "people could not be told yet");
            }
            Err(Untold::Ever { why, error }) => {
                error!(component = SRE, channel, incident, kind, why, error, "people cannot be told");
            }
        }
    }
}
