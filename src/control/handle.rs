//! How the engine is reached: orders go in, what is known comes out.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::changes::{self, ChangeWriter};
use super::drills::Drills;
use super::looks::{ChecksMade, RunbookLook, RunbookOrder, RunbookRefused};
use super::time::Time;
use super::{AuditRecord, Changes, Records, Snapshot};
use crate::degrade::failover::Failovers;
use crate::degrade::levels::Levels;
use crate::degrade::outbox::Outbox;
use crate::degrade::stale::StaleCache;
use crate::reliability::engine::{Command, SilenceCommand};
use crate::reliability::incident::{Incident, Refused};
use crate::reliability::recovery::{RecoveryCommand, RecoveryRefused, Run};
use crate::reliability::silence::Silence;
use crate::runtime::clock;
use crate::store::rows::Write;
use crate::units::At;

/// Orders that may wait.
const WAITING: usize = 256;

/// Who orders what, for the audit log.
#[derive(Clone, Debug)]
pub struct Order<C> {
    /// What the engine is to do.
    pub command: C,
    /// Who, as the audit log shows it; `None`: the machine itself, whose deeds are on the timeline alone.
    pub audit: Option<AuditRecord>,
}

/// What became of an order.
#[derive(Clone, Debug)]
pub struct OrderReceipt<R> {
    /// What the order was about, as it is now.
    pub reply: R,
    /// It is on disk. False: the store is off or away, and memory holds it.
    pub stored: bool,
    /// The name of its row on the audit log; `None`: it has none.
    pub audit_id: Option<String>,
}

/// An order on its way, and where its reply goes; `None`: nobody waits for it.
pub(super) struct Pending<C, R, E = Refused> {
    pub(super) order: Order<C>,
    /// What is to be stored with what it changes, or not at all.
    pub(super) rows: Vec<Write>,
    pub(super) answer: Option<oneshot::Sender<Result<OrderReceipt<R>, E>>>,
}

/// The orders that come in by the one door.
pub(super) enum PendingOrder {
    Incident {
        pending: Pending<Command, Box<Incident>>,
        /// What it is about, when that is no longer at hand.
        found: Option<Box<Incident>>,
    },
    Silence(Pending<SilenceCommand, Silence>),
    Recovery(Pending<RecoveryCommand, Box<Run>, RecoveryRefused>),
    /// A look at what a runbook checks.
    Runbook(PendingLook),
    /// That look, once it was made.
    Looked(PendingLook, Box<RunbookLook>),
    /// What the runbooks of an incident that has opened have found.
    Checked(ChecksMade),
}

/// A look that somebody has ordered.
pub(super) type PendingLook = Pending<RunbookOrder, RunbookLook, RunbookRefused>;

impl PendingOrder {
    /// An order of the machine itself, whose reply nobody waits for.
    pub(super) fn own(command: Command, rows: Vec<Write>) -> Self {
        let pending = Pending { order: Order { command, audit: None }, rows, answer: None };
        Self::Incident { pending, found: None }
    }

    /// What was to be stored with it.
    fn into_row(self) -> Option<Write> {
        let rows = match self {
            Self::Incident { pending, .. } => pending.rows,
            Self::Silence(pending) => pending.rows,
            Self::Recovery(pending) => pending.rows,
            Self::Runbook(pending) | Self::Looked(pending, _) => pending.rows,
            Self::Checked(_) => Vec::new(),
        };
        rows.into_iter().next()
    }
}

/// For those who give orders and those who look.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) asks: mpsc::Sender<PendingOrder>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) changes: Changes,
    pub(super) records: Records,
    pub(super) levels: Arc<Levels>,
    pub(super) drills: Arc<Drills>,
    pub(super) failovers: Arc<Failovers>,
    pub(super) stale: Arc<StaleCache>,
    pub(super) time: Arc<Time>,
    pub(super) outbox: Option<Arc<Outbox>>,
}

/// The inner side of the door: orders come in, snapshots and changes go out.
pub(super) struct Door {
    pub(super) asks: mpsc::Receiver<PendingOrder>,
    pub(super) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(super) changes: ChangeWriter,
}

/// The door for those who look and order, from both sides.
pub(super) fn door(
    records: &Records,
    (levels, failovers, drills): (Arc<Levels>, Arc<Failovers>, Arc<Drills>),
    time: Arc<Time>,
) -> (Door, Handle) {
    let (send, asks) = mpsc::channel(WAITING);
    let (snapshot, watching) = watch::channel(Arc::default());
    let (changes, reader) = changes::changes();
    let records = records.clone();
    let handle = Handle {
        asks: send,
        snapshot: watching,
        changes: reader,
        records,
        levels,
        drills,
        failovers,
        stale: Arc::default(),
        time,
        outbox: None,
    };
    (Door { asks, snapshot, changes }, handle)
}

impl Handle {
    /// What workers keep and orders are about: answers that may stand in, and queued writes.
    pub fn kept(&self) -> (Arc<StaleCache>, Option<Arc<Outbox>>) {
        (Arc::clone(&self.stale), self.outbox.clone())
    }

    /// Gives an order about an incident; `None`: the process is leaving. What is over and no longer at hand is fetched from the store first, so
    /// that it can be reviewed weeks later; a store that does not answer leaves it as unknown as it is.
    pub async fn order(&self, order: Order<Command>) -> Option<Result<OrderReceipt<Box<Incident>>, Refused>> {
        let about = order.command.incident().cloned();
        let done = self.ask_incident(order.clone(), None).await?;
        let (Err(Refused::NoSuchIncident), Some(id)) = (&done, about) else { return Some(done) };
        match self.records.find(&id).await {
            // One that is not over is another member's.
            Ok(Some(found)) if !found.state.is_live() => {
                self.ask_incident(order, Some(Box::new(found))).await
            }
            Ok(_) | Err(_) => Some(done),
        }
    }

    /// Gives an order about a silence; `None`: the process is leaving.
    pub async fn silence(
        &self,
        order: Order<SilenceCommand>,
    ) -> Option<Result<OrderReceipt<Silence>, Refused>> {
        self.ask(order, PendingOrder::Silence).await
    }

    /// Gives an order about recovery; `None`: the process is leaving.
    pub async fn recovery(
        &self,
        order: Order<RecoveryCommand>,
    ) -> Option<Result<OrderReceipt<Box<Run>>, RecoveryRefused>> {
        self.ask(order, PendingOrder::Recovery).await
    }

    /// Makes the checks of a runbook; `None`: the process is leaving.
    pub async fn runbook(
        &self,
        order: Order<RunbookOrder>,
    ) -> Option<Result<OrderReceipt<RunbookLook>, RunbookRefused>> {
        self.ask(order, PendingOrder::Runbook).await
    }

    async fn ask_incident(
        &self,
        order: Order<Command>,
        found: Option<Box<Incident>>,
    ) -> Option<Result<OrderReceipt<Box<Incident>>, Refused>> {
        self.ask(order, |pending| PendingOrder::Incident { pending, found }).await
    }

    async fn ask<C, R, E>(
        &self,
        order: Order<C>,
        pending: impl FnOnce(Pending<C, R, E>) -> PendingOrder,
    ) -> Option<Result<OrderReceipt<R>, E>> {
        let (answer, told) = oneshot::channel();
        self.asks.send(pending(Pending { order, rows: Vec::new(), answer: Some(answer) })).await.ok()?;
        told.await.ok()
    }

    /// The time as incidents tell it.
    pub fn now(&self) -> At {
        self.time.at(clock::now())
    }

    /// What changes, in order.
    pub fn changes(&self) -> Changes {
        self.changes.clone()
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Wakes with every change of the snapshot.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// What is on disk.
    pub fn records(&self) -> &Records {
        &self.records
    }
}

/// Where the notifier tells what became of a call.
#[derive(Clone, Debug)]
pub struct Replies(pub(super) mpsc::Sender<PendingOrder>);

impl Replies {
    /// `row`: what is to be stored in one write with the line that tells of it. It comes back where the process is leaving:
    /// nobody wants to know any more, and the store has it all the same.
    pub(super) async fn tell(&self, command: Command, row: Write) -> Option<Write> {
        self.0.send(PendingOrder::own(command, vec![row])).await.err().and_then(|left| left.0.into_row())
    }
}
