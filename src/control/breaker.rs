//! Orders about breakers: a hold, a close, a release.
//!
//! The one door for them, whoever orders: the gate obeys at once, also while the store is away or the engine is late; then the
//! order is one row of the audit log and, where something is the matter with the upstream, one line of its incident.

use std::time::Duration;

use super::{AuditRecord, Handle, OrderedBy};
use crate::reliability::breaker::{BreakerState, Hold};
use crate::runtime::clock::Moment;
use crate::units::Written as _;
use crate::upstream::gate::Gate;

/// What a breaker is ordered to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerChange {
    /// Stay open for so long: nothing is sent.
    HoldOpen(Duration),
    /// Stay closed for so long, whatever the evidence says.
    HoldClosed(Duration),
    /// Go to half-open, and close by passing probes.
    Close,
    /// Close at once, without probes.
    CloseNow,
    /// End a hold: the evidence decides again.
    Release,
    /// The same, if it is one of this actor for this reason.
    ReleaseOwn,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerOutcome {
    /// It is held open for so long.
    HeldOpen(Duration),
    /// It is held closed for so long.
    HeldClosed(Duration),
    /// It sends probes, and closes when they pass.
    HalfOpen,
    /// It is closed, without probes.
    Closed,
    /// Its hold has ended, and it is closed as it was before.
    ClosedAsBefore,
    /// Its hold has ended.
    Released,
    /// It was closed, and not held: nothing to close.
    AlreadyClosed,
    /// It was not held: nothing to release.
    NotHeld,
}

impl BreakerOutcome {
    /// As a line of a timeline says it; `None`: nothing was done.
    fn line(self, breaker: &str) -> Option<String> {
        Some(match self {
            Self::HeldOpen(ttl) => format!("the breaker of {breaker} is held open for {}", ttl.write()),
            Self::HeldClosed(ttl) => format!("the breaker of {breaker} is held closed for {}", ttl.write()),
            Self::HalfOpen => format!("the breaker of {breaker} is half-open by order"),
            Self::Closed => format!("the breaker of {breaker} is closed by order"),
            Self::ClosedAsBefore | Self::Released => format!("the hold of the breaker of {breaker} is over"),
            Self::AlreadyClosed | Self::NotHeld => return None,
        })
    }
}

/// An order about one breaker.
pub struct BreakerOrder<'a> {
    /// The breaker, behind its lock.
    pub gate: &'a Gate,
    /// The upstream that it belongs to.
    pub upstream: &'a str,
    /// Its own name: the upstream's, or `<upstream>.<operation>`.
    pub name: &'a str,
    /// What it is to do.
    pub change: BreakerChange,
    pub actor: OrderedBy,
    /// Why, in the words of whoever orders it.
    pub reason: String,
}

/// The reply to a [`BreakerOrder`].
#[derive(Clone, Debug)]
pub struct BreakerReply {
    /// What became of it.
    pub outcome: BreakerOutcome,
    /// What the audit log says of it.
    pub record: AuditRecord,
    /// The name of that row.
    pub audit_id: String,
    /// The row is on disk. False: the store is off or away.
    pub stored: bool,
}

impl BreakerChange {
    /// The action of the audit log.
    fn action(self) -> &'static str {
        match self {
            Self::HoldOpen(_) => "breaker.open",
            Self::HoldClosed(_) | Self::Close | Self::CloseNow => "breaker.close",
            Self::Release | Self::ReleaseOwn => "breaker.release",
        }
    }
}

impl BreakerOrder<'_> {
    fn is_own(&self, hold: &Hold) -> bool {
        hold.actor == self.actor.label() && hold.reason == self.reason
    }

    fn obey(&self, moment: Moment) -> BreakerOutcome {
        let now = moment.instant;
        let held = |state, ttl| {
            let (actor, reason) = (self.actor.to_string(), self.reason.clone());
            self.gate.hold(Hold { state, reason, actor, until: now + ttl }, now);
        };
        match self.change {
            BreakerChange::HoldOpen(ttl) => {
                held(BreakerState::Open, ttl);
                BreakerOutcome::HeldOpen(ttl)
            }
            BreakerChange::HoldClosed(ttl) => {
                held(BreakerState::Closed, ttl);
                BreakerOutcome::HeldClosed(ttl)
            }
            BreakerChange::Close if !self.gate.close(false, now) => BreakerOutcome::AlreadyClosed,
            BreakerChange::Close if self.gate.view(now).state == BreakerState::Closed => {
                BreakerOutcome::ClosedAsBefore
            }
            BreakerChange::Close => BreakerOutcome::HalfOpen,
            BreakerChange::CloseNow if self.gate.close(true, now) => BreakerOutcome::Closed,
            BreakerChange::CloseNow => BreakerOutcome::AlreadyClosed,
            BreakerChange::Release if self.gate.release(now, |_| true) => BreakerOutcome::Released,
            BreakerChange::ReleaseOwn if self.gate.release(now, |hold| self.is_own(hold)) => {
                BreakerOutcome::Released
            }
            BreakerChange::Release | BreakerChange::ReleaseOwn => BreakerOutcome::NotHeld,
        }
    }
}

impl Handle {
    /// Gives an order about a breaker. It holds when this returns, whatever the store says.
    pub async fn breaker(&self, order: BreakerOrder<'_>, moment: Moment) -> BreakerReply {
        let outcome = order.obey(moment);
        if let Some(line) = outcome.line(order.name) {
            self.note(order.upstream.to_owned(), &order.actor, format!("{line}: {}", order.reason)).await;
        }
        let BreakerOrder { name, change, actor, reason, .. } = order;
        let record = AuditRecord { actor, action: change.action(), target: name.to_owned(), reason };
        let (audit_id, stored) = self.records.audit(&record).await;
        BreakerReply { outcome, record, audit_id, stored }
    }
}
