//! Orders that come in by the door: the engine decides, what that brings is carried out, and the reply goes back.

use super::handle::{Order, OrderReceipt, Pending, PendingOrder};
use super::heads::HandedOver;
use super::{Control, Snapshot, audit};
use crate::reliability::engine::{Effect, Engine};
use crate::reliability::incident::{Incident, Refused};
use crate::runtime::clock;
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
        let audit = audit.filter(|_| reply.is_ok());
        let more = serde_json::Value::Null;
        let (audit_id, row) = audit.map(|audit| audit.row(self.records.member(), now, more)).unzip();
        rows.extend(row);
        let written = self.carry_out(effects, rows);
        let snapshot = Snapshot { at: now, ..Snapshot::again(&self.snapshot.borrow(), &self.engine) };
        let snapshot = self.fleet_snapshot(snapshot, now);
        self.show(snapshot);
        let Some(answer) = answer else { return };
        // Whoever asked may have left; the order is done all the same.
        crate::runtime::tasks::detach("control", "answering an order", async move {
            let stored = audit::stored(written).await;
            let _ = answer.send(reply.map(|reply| OrderReceipt { reply, stored, audit_id }));
        });
    }
}
