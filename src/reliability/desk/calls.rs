//! Who is called, who is told.

use super::{Desk, Effect, Notice, Page};
use crate::names::IncidentId;
use crate::reliability::escalation::{Call, Cause, EscalationPolicy};
use crate::reliability::incident::{Actor, Incident, Kind, State, Transition};

impl Desk {
    /// The response clock and the ladder of one incident. Both wait while it is silenced; the ladder also while the
    /// condition is gone.
    pub(super) fn escalate(&mut self, id: &IncidentId) {
        let now = self.clock.now;
        let Some(incident) = self.incidents.get(id).filter(|one| one.state.is_live()) else { return };
        let silenced = self.is_silenced(incident);
        if silenced != self.hushed.contains(id) {
            let text = if silenced { "silenced: nobody is called" } else { "no longer silenced" };
            self.with(id, |incident| {
                incident.tell(now, Actor::Desk, Kind::Silence, text.to_owned(), Vec::new());
                None
            });
            if silenced {
                self.hushed.insert(id.clone())
            } else {
                self.hushed.remove(id)
            };
        }
        if silenced {
            return;
        }
        self.with(id, |incident| {
            incident.check_clock(now);
            None
        });
        let (policy, clock) = (&self.policy.escalation, self.clock);
        let calls = match self.incidents.get_mut(id) {
            Some(incident)
                if matches!(incident.state, State::Open | State::Mitigating)
                    && incident.is_called(policy) =>
            {
                incident.escalation.due(policy, incident.assignee.as_deref(), clock)
            }
            Some(_) | None => Vec::new(),
        };
        self.page(id, calls);
    }

    /// Calls become lines of the timeline and effects.
    pub(super) fn page(&mut self, id: &IncidentId, calls: Vec<Call>) {
        let at = self.clock.now;
        for call in calls {
            self.with(id, |incident| {
                let why = match call.cause {
                    Cause::Step => "",
                    Cause::Again => " again",
                    Cause::Undelivered => " another way",
                };
                let text = format!("calling {}{why} through {}", call.contact, call.channel);
                let evidence = vec![
                    ("call".to_owned(), call.number.to_string()),
                    ("step".to_owned(), call.step.to_string()),
                    ("round".to_owned(), call.round.to_string()),
                ];
                incident.tell(at, Actor::Desk, Kind::Page, text, evidence);
                None
            });
            let Some(incident) = self.incidents.get(id) else { continue };
            self.changed.after.push(Effect::Page(Page {
                incident: id.clone(),
                number: call.number,
                contact: call.contact,
                channel: call.channel,
                cause: call.cause,
                step: call.step,
                round: call.round,
                dedup: incident.dedup.to_string(),
                severity: incident.severity,
                title: incident.title.clone(),
                at,
            }));
        }
    }

    /// A change of state is told to the stakeholders, and its end also to whoever was called. A silenced one is told only
    /// to those who were called before.
    pub(super) fn announce(&mut self, transition: &Transition) {
        let Some(incident) = self.incidents.get(&transition.id) else { return };
        if incident.clocks.opened.is_none() && incident.severity < self.policy.suspicions_from {
            return;
        }
        let over = !transition.to.is_live() && transition.to != State::Reviewed;
        let mut to: Vec<(String, String)> = Vec::new();
        if !self.is_silenced(incident) {
            let policy = &self.policy.escalation;
            to.extend(
                policy
                    .stakeholders
                    .iter()
                    .filter_map(|contact| Some((contact.clone(), policy.channel(contact, 0)?.to_owned()))),
            );
        }
        if over {
            to.extend(
                incident.escalation.calls().iter().map(|call| (call.contact.clone(), call.channel.clone())),
            );
            self.hushed.remove(&transition.id);
        }
        to.sort();
        to.dedup();
        if to.is_empty() {
            return;
        }
        let notice = notice(incident, to, transition);
        self.changed.after.push(if over { Effect::ResolveNotice(notice) } else { Effect::Update(notice) });
    }
}

impl Incident {
    /// Does its ladder go on? What nobody can see calls whoever has not been called, and nobody again.
    pub(super) fn is_called(&self, policy: &EscalationPolicy) -> bool {
        self.unseen_since.is_none() || self.escalation.has_steps_left(policy)
    }
}

fn notice(incident: &Incident, to: Vec<(String, String)>, transition: &Transition) -> Notice {
    Notice {
        incident: incident.id.clone(),
        to,
        dedup: incident.dedup.to_string(),
        severity: incident.severity,
        state: transition.to,
        title: incident.title.clone(),
        at: transition.at,
    }
}
