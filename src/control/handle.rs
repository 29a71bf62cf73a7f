//! How the engine is reached: orders go in, what is known comes out.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::time::Time;
use super::{AuditRecord, Changes, Records, Snapshot};
use crate::reliability::engine::{Command, Reply};
use crate::reliability::incident::{Incident, Refused};
use crate::runtime::clock;
use crate::store::rows::Write;
use crate::units::At;

/// Orders that may wait.
pub(super) const WAITING: usize = 256;

/// Who orders what, for the audit log.
#[derive(Clone, Debug)]
pub struct Order {
    /// What the engine is to do.
    pub command: Command,
    /// Who, as the audit log shows it; `None`: the machine itself, whose deeds are on the timeline alone.
    pub audit: Option<AuditRecord>,
}

/// What became of an order.
#[derive(Clone, Debug)]
pub struct OrderReceipt {
    /// What the engine said to it.
    pub reply: Reply,
    /// It is on disk. False: the store is off or away, and memory holds it.
    pub stored: bool,
    /// The name of its row on the audit log; `None`: it has none.
    pub audit_id: Option<String>,
}

/// An order on its way.
pub(super) struct PendingOrder {
    pub(super) order: Order,
    /// What it is about, when that is no longer at hand.
    pub(super) found: Option<Box<Incident>>,
    /// What is to be stored with what it changes, or not at all.
    pub(super) rows: Vec<Write>,
    pub(super) answer: Option<oneshot::Sender<Result<OrderReceipt, Refused>>>,
}

/// For those who give orders and those who look.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) asks: mpsc::Sender<PendingOrder>,
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) changes: Changes,
    pub(super) records: Records,
    pub(super) time: Arc<Time>,
}

impl Handle {
    /// Gives an order; `None`: the process is leaving. What is over and no longer at hand is fetched from the store first, so
    /// that it can be reviewed weeks later; a store that does not answer leaves it as unknown as it is.
    pub async fn order(&self, order: Order) -> Option<Result<OrderReceipt, Refused>> {
        let about = order.command.incident().cloned();
        let done = self.ask(order.clone(), None).await?;
        let (Err(Refused::NoSuchIncident), Some(id)) = (&done, about) else { return Some(done) };
        match self.records.find(&id).await {
            // One that is not over is another member's.
            Ok(Some(found)) if !found.state.is_live() => self.ask(order, Some(Box::new(found))).await,
            Ok(_) | Err(_) => Some(done),
        }
    }

    async fn ask(&self, order: Order, found: Option<Box<Incident>>) -> Option<Result<OrderReceipt, Refused>> {
        let (answer, told) = oneshot::channel();
        self.asks.send(PendingOrder { order, found, rows: Vec::new(), answer: Some(answer) }).await.ok()?;
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
        let order = Order { command, audit: None };
        let ask = PendingOrder { order, found: None, rows: vec![row], answer: None };
        self.0.send(ask).await.err().and_then(|left| left.0.rows.into_iter().next())
    }
}
