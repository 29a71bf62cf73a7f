//! Orders about the degradation level.
//!
//! The one door for them, as for breakers: in force at once, also while the store is away or the engine is late; then the
//! order is one row of the audit log and one line of each incident that is not over: what the application does without
//! concerns them all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::acted::ActedReply;
use super::{AuditRecord, Handle, LevelView, OrderedBy};
use crate::reliability::degradation::{Level, LevelOrder};
use crate::runtime::clock::Moment;
use crate::units::Written as _;

/// Incidents that get a line, at most.
const LINES: usize = 32;

/// What the order of the degradation level is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelChange {
    /// At least this level, for so long.
    Raise(Level, Duration),
    /// No order any more.
    Restore,
    /// The same, if it is one of this actor for this reason.
    RestoreOwn,
}

/// An order about the degradation level.
#[derive(Debug)]
pub struct DegradationOrder {
    pub change: LevelChange,
    pub actor: OrderedBy,
    /// Why, in the words of whoever orders it.
    pub reason: String,
}

impl Handle {
    /// What the degradation level is, and why.
    pub fn degradation(&self) -> LevelView {
        self.levels.view()
    }

    /// Gives an order about the degradation level. It holds when this returns, whatever the store says.
    pub async fn degrade(&self, order: DegradationOrder, moment: Moment) -> ActedReply {
        let now = moment.instant;
        let DegradationOrder { change, actor, reason } = order;
        let done = match change {
            LevelChange::Raise(level, ttl) => {
                let (actor, reason) = (actor.to_string(), reason.clone());
                self.levels.order(LevelOrder { level, reason, actor, since: now, until: now + ttl }, now);
                Some(format!("degradation level {} for {}", level.number(), ttl.write()))
            }
            LevelChange::Restore => self.levels.end(now, |_| true).map(|ended| is_over(&ended)),
            LevelChange::RestoreOwn => {
                let own = |order: &LevelOrder| order.actor == actor.label() && order.reason == reason;
                self.levels.end(now, own).map(|ended| is_over(&ended))
            }
        };
        if let Some(done) = &done {
            self.note_level(&format!("{done}: {reason}"), &actor).await;
        }
        let (action, target) = match change {
            LevelChange::Raise(level, _) => ("degradation.raise", level.number()),
            LevelChange::Restore | LevelChange::RestoreOwn => ("degradation.restore", 0),
        };
        let record = AuditRecord { actor, action, target: format!("level {target}"), reason };
        self.audited(done, record).await
    }

    async fn note_level(&self, what: &str, actor: &OrderedBy) {
        let snapshot = self.snapshot();
        let live = snapshot.incidents.iter().filter(|one| one.state.is_live() && !one.is_drill());
        // A service has one line, whatever the number of its incidents.
        let services: BTreeSet<Arc<str>> = live.map(|one| Arc::clone(&one.key.service)).collect();
        for service in services.iter().take(LINES) {
            self.note(service.to_string(), actor, what.to_owned()).await;
        }
    }
}

fn is_over(ended: &LevelOrder) -> String {
    format!("the order of degradation level {} is over", ended.level.number())
}
