//! Orders about what is logged.
//!
//! The one door for them, as for the degradation level: in force at once, whatever the store says; each is one row of the audit
//! log. No incident has a line of it: what is logged changes nothing for a client.

use std::time::Duration;

use super::acted::ActedReply;
use super::{AuditRecord, Handle, OrderedBy};
use crate::runtime::clock::Moment;
use crate::telemetry::logging::{Filter, FilterOrder};
use crate::units::Written as _;

/// What is to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogChange {
    /// What this filter lets pass, in tracing's directive syntax, for so long.
    By(String, Duration),
    /// What the config says.
    Release,
}

/// An order about what is logged.
#[derive(Debug)]
pub struct LogOrder {
    pub change: LogChange,
    pub actor: OrderedBy,
    /// Why, in the words of whoever orders it.
    pub reason: String,
}

impl Handle {
    /// Gives an order about what `filter` lets pass. It holds when this returns. An error: it orders what is no filter.
    pub async fn log_by(
        &self,
        filter: &Filter,
        order: LogOrder,
        moment: Moment,
    ) -> Result<ActedReply, String> {
        let now = moment.instant;
        let LogOrder { change, actor, reason } = order;
        let (done, action, target) = match change {
            LogChange::By(directives, ttl) => {
                let (actor, reason) = (actor.to_string(), reason.clone());
                let target = directives.clone();
                let order = FilterOrder { filter: directives, actor, reason, since: now, until: now + ttl };
                filter.order(order)?;
                (Some(format!("{target:?} decides what is logged for {}", ttl.write())), "log.filter", target)
            }
            LogChange::Release => {
                let ended = filter.end().map(|ended| format!("the order of {:?} is over", ended.filter));
                (ended, "log.release", filter.view().configured)
            }
        };
        Ok(self.audited(done, AuditRecord { actor, action, target, reason }).await)
    }
}
