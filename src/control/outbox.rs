//! Orders about queued writes.
//!
//! The one door for them: in force at once, also while the store is away; each is one row of the audit log.

use std::sync::Arc;

use super::{AuditRecord, Handle, OrderedBy};
use crate::degrade::outbox::Outbox;
use crate::reliability::outbox::QueuedWrite;

/// What is to be done with a queued write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxAct {
    /// It is sent as soon as its turn comes, a dead letter too.
    Retry,
    /// It is never sent.
    Drop,
}

/// An order about a queued write.
#[derive(Debug)]
pub struct OutboxOrder {
    pub id: u64,
    pub act: OutboxAct,
    pub actor: OrderedBy,
    /// Why, in the words of whoever orders it.
    pub reason: String,
}

/// The reply to an [`OutboxOrder`].
#[derive(Clone, Debug)]
pub struct OutboxReply {
    /// As it is now, or was when it was dropped.
    pub write: QueuedWrite,
    /// What the audit log says of it.
    pub record: AuditRecord,
    /// The name of that row.
    pub audit_id: String,
    /// The row is on disk. False: the store is off or away.
    pub stored: bool,
}

impl Handle {
    /// From now on orders about queued writes go there.
    pub fn orders_about(&mut self, outbox: Option<Arc<Outbox>>) {
        self.outbox = outbox;
    }

    /// All that is queued, the oldest first; `None`: there is no outbox.
    pub fn queued(&self) -> Option<Vec<(u64, QueuedWrite)>> {
        self.outbox.as_ref().map(|outbox| outbox.writes())
    }

    /// Gives an order about a queued write; `None`: there is no such, or it is being sent.
    pub async fn outbox(&self, order: OutboxOrder) -> Option<OutboxReply> {
        let OutboxOrder { id, act, actor, reason } = order;
        let outbox = self.outbox.as_ref()?;
        let (write, action) = match act {
            OutboxAct::Retry => (outbox.retry(id)?, "outbox.retry"),
            OutboxAct::Drop => (outbox.remove(id)?, "outbox.drop"),
        };
        let target = format!("{} {id}", write.upstream);
        let record = AuditRecord { actor, action, target, reason };
        let (audit_id, stored) = self.records.audit(&record).await;
        Some(OutboxReply { write, record, audit_id, stored })
    }
}
