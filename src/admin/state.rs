//! What the handlers share.

use std::sync::Arc;

use super::mutations::Remembered;
use super::open_streams::OpenStreams;
use crate::config::reload::Reloader;
use crate::control::{AuditRecord, Handle, Own};
use crate::runtime::clock::Moment;
use crate::runtime::drain::{AskLeave, Drain};
use crate::runtime::readiness::Readiness;
use crate::telemetry::Telemetry;
use crate::telemetry::event::Event;
use crate::upstream::registry::Registry;

/// Reports that are made at the same time.
const REPORTS: usize = 2;

/// What the handlers read.
pub struct Admin {
    /// Upstreams and routes.
    pub registry: Arc<Registry>,
    /// All counters.
    pub telemetry: Arc<Telemetry>,
    /// The config file and the config in force.
    pub reloader: Arc<Reloader>,
    /// Incidents, and who orders.
    pub control: Handle,
    /// Whether traffic may come, and what holds it back.
    pub readiness: Readiness,
    /// Where this API listens.
    pub listen: std::net::SocketAddr,
    /// When the process started.
    pub started: Moment,
    /// All listeners of this process and their addresses.
    pub(super) listeners: Vec<(String, std::net::SocketAddr)>,
    /// What the process knows of itself.
    pub(super) own: Own,
    pub(super) drain: Drain,
    /// By which an order makes the process leave.
    pub(super) leave: AskLeave,
    pub(super) streams: OpenStreams,
    pub(super) remembered: Remembered,
    /// Whose turn it is to read the history of the traffic.
    pub(super) histories: Arc<tokio::sync::Semaphore>,
    /// Whose turn it is to make a report.
    pub(super) reports: Arc<tokio::sync::Semaphore>,
}

impl Admin {
    /// For the running parts. `listeners`: all of them; that of the name "admin" is this API's.
    pub fn new(
        registry: Arc<Registry>,
        telemetry: Arc<Telemetry>,
        reloader: Arc<Reloader>,
        control: Handle,
        (listeners, own): (Vec<(String, std::net::SocketAddr)>, Own),
        (drain, leave): (Drain, AskLeave),
    ) -> Arc<Self> {
        let admin = listeners.iter().find(|(name, _)| name == "admin").map(|(_, address)| *address);
        let listen = admin.unwrap_or_else(|| ([0; 4], 0).into());
        let (started, readiness) = (telemetry.started(), telemetry.readiness.clone());
        Arc::new(Self {
            registry,
            telemetry,
            reloader,
            control,
            readiness,
            listen,
            listeners,
            own,
            started,
            drain,
            leave,
            streams: OpenStreams::default(),
            remembered: Remembered::default(),
            histories: Arc::new(tokio::sync::Semaphore::new(1)),
            reports: Arc::new(tokio::sync::Semaphore::new(REPORTS)),
        })
    }
}

impl Admin {
    /// Tells of what was done, in the log and in memory, under the name that its row has on disk, or else a new one.
    pub(super) fn told(&self, id: Option<String>, done: &AuditRecord) -> String {
        let AuditRecord { actor, action, target, reason } = done;
        Event::AdminMutation { actor: actor.label(), action, target, reason }.tell();
        let id = id.unwrap_or_else(crate::control::audit_id);
        self.remembered.note(&id, done);
        id
    }
}
