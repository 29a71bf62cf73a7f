//! Orders about traffic to this process: hold it off, let it come again, leave.
//!
//! In force at once, whatever the store says; each is one row of the audit log.

use std::time::Duration;

use super::acted::ActedReply;
use super::{AuditRecord, Handle, OrderedBy};
use crate::runtime::clock::Moment;
use crate::runtime::readiness::{Readiness, ReadinessHold};
use crate::units::Written as _;

/// What is to become of traffic to this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadinessChange {
    /// It is held off for so long; `None`: until that is taken back.
    Hold(Option<Duration>),
    /// It may come again.
    Release,
    /// It is held off for good: the process leaves.
    Drain,
}

/// An order about traffic to this process.
#[derive(Debug)]
pub struct ReadinessOrder {
    pub change: ReadinessChange,
    pub actor: OrderedBy,
    /// Why, in the words of whoever orders it.
    pub reason: String,
}

impl Handle {
    /// Gives an order about traffic to this process. `readiness` has it when this returns.
    pub async fn order_readiness(
        &self,
        readiness: &Readiness,
        order: ReadinessOrder,
        moment: Moment,
    ) -> ActedReply {
        let now = moment.instant;
        let ReadinessOrder { change, actor, reason } = order;
        let (done, action) = match change {
            ReadinessChange::Hold(ttl) => {
                let (actor, reason) = (actor.to_string(), reason.clone());
                readiness.hold(ReadinessHold { actor, reason, since: now, until: ttl.map(|ttl| now + ttl) });
                let lasts =
                    ttl.map_or("until that is taken back".to_owned(), |ttl| format!("for {}", ttl.write()));
                (Some(format!("unready {lasts}")), "readiness.hold")
            }
            ReadinessChange::Release => {
                let ended = readiness.release(now).map(|_| "the order to be unready is over".to_owned());
                (ended, "readiness.release")
            }
            ReadinessChange::Drain => {
                let begins = readiness.drain().then(|| "unready from now on, and leaves".to_owned());
                (begins, "process.drain")
            }
        };
        let target = self.records.member().to_owned();
        self.audited(done, AuditRecord { actor, action, target, reason }).await
    }
}
