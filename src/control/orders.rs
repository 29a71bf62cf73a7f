//! Orders that come in by the door: the engine decides, what that brings is carried out, and the reply goes back.

use tokio::sync::oneshot;

use super::handle::{Order, OrderReceipt, Pending, PendingOrder};
use super::heads::HandedOver;
use super::{AuditRecord, Control, Snapshot, audit};
use crate::reliability::engine::{Effect, Engine};
use crate::reliability::incident::{Incident, Refused};
use crate::reliability::recovery::{RecoveryCommand, RecoveryRefused, Run};
use crate::runtime::clock;
use crate::store::WriteReceipt;
use crate::store::rows::Write;
use crate::units::At;

impl Control {
    /// An order has come: it is decided by the config in force and by who has the duty now.
    pub(super) fn hear(&mut self, ask: PendingOrder) {
        self.heed_config();
        let clock = self.clock(clock::now());
        let now = clock.now;
        self.engine.tell_hour(clock);
        // The lease may have run out since the last look: who has no duty any more decides about no call.
        self.shift(now);
        match ask {
            PendingOrder::Incident { pending, found } => {
                self.fetch_known(found, now);
                self.decide(pending, Engine::command, now);
            }
            PendingOrder::Silence(pending) => self.decide(pending, Engine::silence, now),
            PendingOrder::Recovery(pending) => self.decide_recovery(pending, now),
            PendingOrder::Runbook(pending) => self.begin_look(pending),
            PendingOrder::Looked(pending, look) => self.end_look(pending, *look, now),
            PendingOrder::Checked(made) => self.hear_checks(made, now),
        }
    }

    /// What an order is about and the store had.
    fn fetch_known(&mut self, found: Option<Box<Incident>>, now: At) {
        if let Some(found) = found.filter(|found| !self.knows(&found.id)) {
            self.told.insert(found.id.clone(), HandedOver::all(&found));
            self.changes.know(&found);
            // It is over: nothing is done about it but what the order says.
            self.fetch(*found, now);
        }
    }

    /// The engine decides about an order; what that brings is carried out, stored, shown and answered.
    fn decide<C, R: Send + 'static>(
        &mut self,
        pending: Pending<C, R>,
        decision: impl FnOnce(&mut Engine, C, At) -> (Result<R, Refused>, Vec<Effect>),
        now: At,
    ) {
        let Pending { order: Order { command, audit }, mut rows, answer } = pending;
        let (reply, effects) = decision(self.shown_engine(), command, now);
        let audit_id = self.audited(audit.filter(|_| reply.is_ok()), &mut rows, now);
        let written = self.carry_out(effects, rows);
        self.show_again(now);
        reply_with(answer, reply, written, audit_id);
    }

    /// The same about recovery, whose decisions read the engine that decides about incidents here.
    fn decide_recovery(&mut self, pending: Pending<RecoveryCommand, Box<Run>, RecoveryRefused>, now: At) {
        let Pending { order: Order { command, audit }, mut rows, answer } = pending;
        let (reply, effects) = self.recovery.command(command, &self.engine, now);
        let audit_id = self.audited(audit.filter(|_| reply.is_ok()), &mut rows, now);
        let written = self.carry_out_recovery(effects, rows, now);
        self.show_again(now);
        reply_with(answer, reply, written, audit_id);
    }

    /// The order's row of the audit log, and its name there.
    pub(super) fn audited(
        &self,
        audit: Option<AuditRecord>,
        rows: &mut Vec<Write>,
        now: At,
    ) -> Option<String> {
        let (id, row) = audit?.row(self.records.member(), now, serde_json::Value::Null);
        rows.push(row);
        Some(id)
    }

    pub(super) fn show_again(&mut self, now: At) {
        let snapshot = Snapshot { at: now, ..Snapshot::again(&self.snapshot.borrow(), &self.engine) };
        let snapshot = Snapshot { recovery: self.recovery_view(), ..snapshot };
        let snapshot = self.fleet_snapshot(snapshot, now);
        self.show(snapshot);
    }
}

/// Whoever asked may have left; the order is done all the same.
pub(super) fn reply_with<R: Send + 'static, E: Send + 'static>(
    answer: Option<oneshot::Sender<Result<OrderReceipt<R>, E>>>,
    reply: Result<R, E>,
    written: Option<WriteReceipt>,
    audit_id: Option<String>,
) {
    let Some(answer) = answer else { return };
    crate::runtime::tasks::detach("control", "answering an order", async move {
        let stored = audit::stored(written).await;
        let _ = answer.send(reply.map(|reply| OrderReceipt { reply, stored, audit_id }));
    });
}
