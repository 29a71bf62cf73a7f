//! Recovery as it runs: each second one look, effects carried out, results heard.

use std::sync::Arc;

use super::Control;
use super::snapshot::RecoveryView;
use crate::reliability::engine::Role;
use crate::reliability::recovery::{Begins, RecoveryEffect, Run, RunPhase};
use crate::store::WriteReceipt;
use crate::store::rows::{RecoveryRow, Write};
use crate::units::At;

impl Control {
    /// One look, after that of the engine.
    pub(super) fn recover(&mut self, now: At) {
        let begins = if self.engine.role() == Role::Acts { Begins::Yes } else { Begins::No };
        let effects = self.recovery.look(&self.engine, begins, now);
        self.carry_out_recovery(effects, Vec::new(), now);
        self.telemetry.recovery.set_going_on(self.recovery.runs().filter(|run| run.is_live()).count());
    }

    /// Takes over the runs that an earlier start left going on, and what came of others.
    pub(super) fn restore_runs(&mut self, runs: Vec<Run>, past: Vec<Run>, now: At) {
        let mut effects = self.recovery.remember(past, now);
        effects.extend(self.recovery.restore(runs, now));
        self.carry_out_recovery(effects, Vec::new(), now);
    }

    pub(super) fn recovery_view(&self) -> RecoveryView {
        let before = self.snapshot.borrow();
        let shared = |run: &Run| {
            let known = before.recovery.runs.iter().find(|known| known.id == run.id && ***known == *run);
            known.map_or_else(|| Arc::new(run.clone()), Arc::clone)
        };
        RecoveryView {
            policy: Arc::clone(self.recovery.policy()),
            runs: self.recovery.runs().map(shared).collect(),
        }
    }

    /// What is to be done is on its way to the disk before it is done.
    pub(super) fn carry_out_recovery(
        &mut self,
        effects: Vec<RecoveryEffect>,
        mut rows: Vec<Write>,
        now: At,
    ) -> Option<WriteReceipt> {
        for effect in effects {
            match effect {
                RecoveryEffect::Save(run) => rows.push(row(&run, self.records.member())),
                RecoveryEffect::Act(request) => {
                    let intent = self.write(std::mem::take(&mut rows));
                    self.actions.begin(request, intent);
                }
                RecoveryEffect::Release(held) => self.actions.release(held),
                RecoveryEffect::Order(command) => {
                    let (done, effects) = self.engine.command(command, now);
                    debug_assert!(done.is_ok(), "recovery has just seen the incident: {done:?}");
                    self.carry_out(effects, Vec::new());
                }
                RecoveryEffect::Tell(event) => self.telemetry.recovery.tell(&event),
            }
        }
        self.write(rows)
    }

    fn write(&self, rows: Vec<Write>) -> Option<WriteReceipt> {
        self.store.as_ref().filter(|_| !rows.is_empty()).map(|store| store.write(rows))
    }
}

fn row(run: &Run, member: &str) -> Write {
    let ended_at = match run.phase {
        RunPhase::Over { at, .. } => Some(at.0),
        RunPhase::Next { .. }
        | RunPhase::Acting { .. }
        | RunPhase::Verifying { .. }
        | RunPhase::Asking { .. }
        | RunPhase::Resting { .. } => None,
    };
    Write::PutRecovery(RecoveryRow {
        id: run.id.to_string(),
        member: member.to_owned(),
        plan: run.plan.to_string(),
        body: super::heads::json(run),
        began_at: run.began.0,
        ended_at,
    })
}
