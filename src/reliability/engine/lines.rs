//! Orders that write a line onto a timeline and change nothing else.

use super::Engine;
use super::command::{CommandResult, named};
use crate::names::IncidentId;
use crate::reliability::incident::{Actor, EntryKind, Refused};
use crate::units::At;

impl Engine {
    pub(super) fn note(&mut self, id: &IncidentId, actor: &str, text: String, now: At) -> CommandResult {
        named(actor)?;
        if text.trim().is_empty() {
            return Err(Refused::Empty("text"));
        }
        self.change(id, |one| {
            one.tell(now, Actor::Named(actor.to_owned()), EntryKind::Note, text, Vec::new());
            Ok(None)
        })
    }

    pub(super) fn checked(
        &mut self,
        id: &IncidentId,
        actor: Option<String>,
        runbook: &str,
        found: Vec<(String, String)>,
        now: At,
    ) -> CommandResult {
        self.change(id, |one| {
            let actor = actor.map_or(Actor::Engine, Actor::Named);
            one.tell(now, actor, EntryKind::Runbook, runbook.to_owned(), found);
            Ok(None)
        })
    }
}
