//! What all orders about something in force leave behind, a breaker, the degradation level or a group of endpoints: a line of an
//! incident and a row of the audit log.

use super::handle::PendingOrder;
use super::{AuditRecord, Handle, OrderedBy};
use crate::reliability::engine::Command;

/// The reply to an order that may have had nothing to do.
#[derive(Clone, Debug)]
pub struct ActedReply {
    /// What was done, in words; `None`: there was nothing to do.
    pub done: Option<String>,
    /// What the audit log says of it.
    pub record: AuditRecord,
    /// The name of that row.
    pub audit_id: String,
    /// The row is on disk. False: the store is off or away.
    pub stored: bool,
}

impl Handle {
    /// One line more for the incident of `service`, if it has one.
    pub(super) async fn note(&self, service: String, actor: &OrderedBy, what: String) {
        let command = Command::Acted { service, actor: actor.to_string(), what };
        // A process that leaves writes no timeline any more; the audit log has the order all the same.
        let _ = self.asks.send(PendingOrder::own(command, Vec::new())).await;
    }

    /// The row of an order that was obeyed.
    pub(super) async fn audited(&self, done: Option<String>, record: AuditRecord) -> ActedReply {
        let (audit_id, stored) = self.records.audit(&record).await;
        ActedReply { done, record, audit_id, stored }
    }
}
