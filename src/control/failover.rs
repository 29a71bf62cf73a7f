//! Orders about failover.
//!
//! The one door for them, as for breakers: in force at once, also while the store is away or the engine is late; then the
//! order is one row of the audit log and one line of the upstream's incident.

use std::time::Duration;

use super::acted::ActedReply;
use super::{AuditRecord, Handle, OrderedBy};
use crate::names::UpstreamName;
use crate::reliability::failover::{Failover, FailoverOrder, Group};
use crate::runtime::clock::Moment;
use crate::units::Written as _;

/// What an order about failover is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverChange {
    /// Call the backup endpoints for so long.
    Backup(Duration),
    /// No order any more: the first endpoints are called again when they have been well for long enough.
    Release,
}

/// An order about failover.
#[derive(Debug)]
pub struct FailoverOrdered {
    pub upstream: UpstreamName,
    pub change: FailoverChange,
    pub actor: OrderedBy,
    /// Why, in the words of whoever orders it.
    pub reason: String,
}

impl Handle {
    /// What is decided of an upstream; `None`: it has no backup group, or was not looked at yet.
    pub fn failover(&self, name: &UpstreamName) -> Option<Failover> {
        self.failovers.view(name)
    }

    /// Gives an order about failover. It holds when this returns, whatever the store says. `None`: the upstream has no backup
    /// endpoints.
    pub async fn fail_over(&self, order: FailoverOrdered, moment: Moment) -> Option<ActedReply> {
        let now = moment.instant;
        let FailoverOrdered { upstream, change, actor, reason } = order;
        let (done, action) = match change {
            FailoverChange::Backup(ttl) => {
                let (reason, actor) = (reason.clone(), actor.to_string());
                let order = FailoverOrder { reason, actor, until: now + ttl };
                let decided = self.failovers.order(&upstream, order, now)?;
                let done = match decided.group() {
                    Group::Backup => format!("its backup endpoints are called, for {} at most", ttl.write()),
                    Group::First => {
                        "its backup endpoints are worse off than its first ones, which are still called"
                            .to_owned()
                    }
                };
                (Some(done), "failover.order")
            }
            FailoverChange::Release => {
                self.failovers.view(&upstream)?;
                let ended = self.failovers.end(&upstream, now);
                (
                    ended.map(|_| "the order to call its backup endpoints is over".to_owned()),
                    "failover.release",
                )
            }
        };
        if let Some(done) = &done {
            self.note(upstream.as_str().to_owned(), &actor, format!("{done}: {reason}")).await;
        }
        let record = AuditRecord { actor, action, target: upstream.as_str().to_owned(), reason };
        Some(self.audited(done, record).await)
    }
}
