//! Orders about incidents: from a person, the shell, a recovery plan.

use std::sync::Arc;

use super::effect::Early;
use super::{Effect, Engine};
use crate::names::IncidentId;
use crate::reliability::escalation::Arrived;
use crate::reliability::incident::{
    Actor, Beginning, Ending, EntryKind, Force, Incident, Refused, Review, State, Transition,
};
use crate::reliability::rule::{AlertKey, Rule, Severity};
use crate::units::At;

pub(super) type CommandResult = Result<Box<Incident>, Refused>;

/// An order about an incident, from a person, the shell or a recovery plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Open one by hand: a test, or what no rule sees.
    Open {
        actor: String,
        /// The title, one line for people.
        title: String,
        severity: Severity,
        /// About what; may be empty.
        service: String,
    },
    /// Take it: the ladder stops.
    Ack { id: IncidentId, actor: String },
    /// Write a line onto the timeline.
    Note {
        id: IncidentId,
        actor: String,
        /// The line as people will read it.
        text: String,
    },
    /// Put somebody in charge.
    Assign {
        id: IncidentId,
        /// The person who puts somebody in charge.
        actor: String,
        /// The person who is put in charge.
        to: String,
    },
    /// Say how bad it is, up or down.
    Rate {
        id: IncidentId,
        actor: String,
        severity: Severity,
        /// Why it is that bad.
        reason: String,
    },
    /// Something is being done about it; what came of it is another one.
    Act {
        id: IncidentId,
        /// Who; `None`: the machine.
        actor: Option<String>,
        /// What is being done, in a sentence.
        what: String,
        /// Facts by name, as they were.
        evidence: Vec<(String, String)>,
    },
    /// Note what was done about a service on its live incident. No state changes: what came of it is for
    /// the evidence to say.
    Acted {
        /// The service whose live incident gets the line.
        service: String,
        actor: String,
        /// What was done, in a sentence.
        what: String,
    },
    /// Add what was found out later (60 s after, an HDR snapshot's name). Also to closed ones.
    Evidence {
        id: IncidentId,
        /// What was found out, in a sentence.
        what: String,
        /// Facts by name, as they were measured.
        evidence: Vec<(String, String)>,
    },
    /// Add what the checks of a runbook have found.
    Checked {
        id: IncidentId,
        /// Who had them made; `None`: they are made by themselves.
        actor: Option<String>,
        /// The runbook.
        runbook: Arc<str>,
        /// By the text of their steps.
        found: Vec<(String, String)>,
    },
    /// Recovery has tried what it may: those whom the ladder would call next are called now.
    Escalate {
        id: IncidentId,
        /// What was tried, in a sentence.
        what: String,
    },
    /// End an incident by a person's word.
    Resolve {
        id: IncidentId,
        actor: String,
        /// Why it is over.
        reason: String,
        /// Even while the condition holds?
        force: Force,
    },
    /// Fill in the review.
    Review { id: IncidentId, actor: String, review: Review },
    /// What became of a call.
    Delivered {
        /// The incident that the call is about.
        id: IncidentId,
        /// The number of the call within the incident.
        number: u32,
        /// Whether the channel has taken it.
        arrived: Arrived,
        /// What the channel said.
        detail: String,
    },
}

impl Command {
    /// The incident that it is about; `None`: it names none.
    pub fn incident(&self) -> Option<&IncidentId> {
        match self {
            Self::Ack { id, .. }
            | Self::Note { id, .. }
            | Self::Assign { id, .. }
            | Self::Rate { id, .. }
            | Self::Act { id, .. }
            | Self::Evidence { id, .. }
            | Self::Checked { id, .. }
            | Self::Escalate { id, .. }
            | Self::Resolve { id, .. }
            | Self::Review { id, .. }
            | Self::Delivered { id, .. } => Some(id),
            Self::Open { .. } | Self::Acted { .. } => None,
        }
    }
}

/// So many of them are kept, the latest ones.
const EARLY: usize = 256;

impl Engine {
    /// One order, at once, and the incident as it is then. What it changed is in the effects, also when it was refused (then they are empty).
    pub fn command(&mut self, command: Command, now: At) -> (CommandResult, Vec<Effect>) {
        let now = now.max(self.clock.now);
        self.clock.now = now;
        let done = self.room(&command).and_then(|()| self.obey(command, now));
        (done, self.effects())
    }

    fn obey(&mut self, command: Command, now: At) -> CommandResult {
        match command {
            Command::Open { actor, title, severity, service } => {
                self.open_by_hand(&actor, title, severity, &service, now)
            }
            Command::Ack { id, actor } => {
                named(&actor).and_then(|()| self.change(&id, |one| one.acknowledge(&actor, now)))
            }
            Command::Note { id, actor, text } => self.note(&id, &actor, text, now),
            Command::Assign { id, actor, to } => self.assign(&id, &actor, &to, now),
            Command::Rate { reason, .. } if reason.trim().is_empty() => Err(Refused::Empty("reason")),
            Command::Rate { id, actor, severity, reason } => self.rate(&id, &actor, severity, &reason, now),
            Command::Act { id, actor, what, evidence } => self.change(&id, |one| {
                let actor = actor.map_or(Actor::Engine, Actor::Named);
                let moved = one.mitigate(actor.clone(), &what, now)?;
                if !evidence.is_empty() {
                    one.tell(now, actor, EntryKind::Action, what, evidence);
                }
                Ok(moved)
            }),
            Command::Acted { service, actor, what } => {
                let id = self.concerned(&service).ok_or(Refused::NoSuchIncident)?;
                self.change(&id, |one| {
                    one.tell(now, Actor::Named(actor), EntryKind::Action, what, Vec::new());
                    Ok(None)
                })
            }
            Command::Evidence { id, what, evidence } => self.change(&id, |one| {
                one.tell(now, Actor::Engine, EntryKind::Evidence, what, evidence);
                Ok(None)
            }),
            Command::Checked { id, actor, runbook, found } => self.checked(&id, actor, &runbook, found, now),
            Command::Escalate { id, what } => {
                self.change(&id, |one| {
                    one.tell(now, Actor::Engine, EntryKind::Action, what, Vec::new());
                    one.escalation.hasten();
                    Ok(None)
                })?;
                self.escalate(&id);
                self.shown(&id)
            }
            Command::Resolve { id, actor, reason, force } => self.resolve(&id, &actor, reason, force, now),
            Command::Review { id, actor, review } => {
                named(&actor).and_then(|()| self.change(&id, |one| one.review(&actor, review, now).map(Some)))
            }
            Command::Delivered { id, number, arrived, detail } => {
                self.delivered(&id, number, arrived, &detail, now)
            }
        }
    }

    fn rate(
        &mut self,
        id: &IncidentId,
        actor: &str,
        severity: Severity,
        reason: &str,
        now: At,
    ) -> CommandResult {
        named(actor)?;
        self.change(id, |one| one.rate(severity, actor, reason, now).map(|()| None))?;
        // Whoever is called now need not be told beside that that it has become worse.
        self.escalate(id);
        self.shown(id)
    }

    pub(super) fn change(
        &mut self,
        id: &IncidentId,
        change: impl FnOnce(&mut Incident) -> Result<Option<Transition>, Refused>,
    ) -> CommandResult {
        if !self.incidents.contains_key(id) {
            return Err(Refused::NoSuchIncident);
        }
        let mut refused = None;
        self.with(id, |incident| {
            change(incident).unwrap_or_else(|why| {
                refused = Some(why);
                None
            })
        });
        refused.map_or_else(|| self.shown(id), Err)
    }

    fn shown(&self, id: &IncidentId) -> CommandResult {
        let incident = self.incidents.get(id).ok_or(Refused::NoSuchIncident)?;
        Ok(Box::new(incident.clone()))
    }

    fn open_by_hand(
        &mut self,
        actor: &str,
        title: String,
        severity: Severity,
        service: &str,
        now: At,
    ) -> CommandResult {
        named(actor)?;
        if title.trim().is_empty() {
            return Err(Refused::Empty("title"));
        }
        let id = self.next_id(now);
        let key = AlertKey::of(Rule::Manual, service, id.as_str());
        let beginning =
            Beginning { id: id.clone(), key, title: title.clone(), severity, began: now, earlier: None };
        self.incidents.insert(id.clone(), Incident::suspected(beginning, now));
        let who = Actor::Named(actor.to_owned());
        self.transit(&id, |incident| {
            let begun = incident.begun(now);
            let opened = incident.open(who, title, now)?;
            Ok(Some(Transition { from: begun.from, ..opened }))
        });
        self.escalate(&id);
        self.shown(&id)
    }

    fn assign(&mut self, id: &IncidentId, actor: &str, to: &str, now: At) -> CommandResult {
        named(actor)?;
        if to.trim().is_empty() {
            return Err(Refused::Empty("to"));
        }
        self.change(id, |one| {
            if !one.state.is_live() && one.state != State::Resolved {
                return Err(Refused::Not { state: one.state });
            }
            one.assignee = Some(to.to_owned());
            let text = format!("{actor} put {to} in charge");
            one.tell(now, Actor::Named(actor.to_owned()), EntryKind::Assigned, text, Vec::new());
            Ok(None)
        })
    }

    fn resolve(
        &mut self,
        id: &IncidentId,
        actor: &str,
        reason: String,
        force: Force,
        now: At,
    ) -> CommandResult {
        named(actor)?;
        let incident = self.incidents.get(id).ok_or(Refused::NoSuchIncident)?;
        let (state, seen) = (incident.state, incident.unseen_since.is_none());
        if !state.is_live() {
            return Err(Refused::Not { state });
        }
        let own = self.mode.alerts().iter().filter(|(_, tracked)| tracked.incident == *id);
        let (mut keys, mut holding) = (Vec::new(), Vec::new());
        for (key, tracked) in own {
            keys.push(key.clone());
            if seen && tracked.alert.holds() && !tracked.calm {
                holding.push(format!("{} of {}", key.rule.label(), key.service));
            }
        }
        holding.extend(self.held_of(id));
        let holds = !holding.is_empty();
        if holds && force == Force::Asked {
            return Err(Refused::StillHolds { holding });
        }
        let recovered = (!holds && !keys.is_empty()).then(|| self.recovered(id, now));
        for key in keys {
            if let Some(tracked) = self.mode.alert_mut(&key) {
                tracked.alert.dismiss(now);
            }
            self.let_go(&key, now);
        }
        self.end_signals(id, now);
        self.change(id, |one| {
            let ending = if holds { Ending::Forced } else { Ending::ByHand };
            one.clocks.recovered = one.clocks.recovered.or(recovered);
            one.close(ending, Actor::Named(actor.to_owned()), reason, now).map(Some)
        })
    }

    fn delivered(
        &mut self,
        id: &IncidentId,
        number: u32,
        arrived: Arrived,
        detail: &str,
        now: At,
    ) -> CommandResult {
        if !self.incidents.contains_key(id) {
            self.early.drain(..(self.early.len() + 1).saturating_sub(EARLY));
            self.early.push(Early { id: id.clone(), number, arrived, detail: detail.to_owned() });
        }
        let silenced = self.incidents.get(id).is_some_and(|incident| self.is_silenced(incident));
        let policy = &self.policy.escalation;
        let incident = self.incidents.get_mut(id).ok_or(Refused::NoSuchIncident)?;
        let may_call =
            self.mode.acts() && matches!(incident.state, State::Open | State::Mitigating) && !silenced;
        let failed = incident.escalation.record(number, arrived).filter(|_| may_call);
        let next = failed.map(|failed| incident.escalation.another_way(policy, &failed));
        let text = match arrived {
            Arrived::Yes => format!("call {number} arrived: {detail}"),
            Arrived::No => format!("call {number} did not arrive: {detail}"),
        };
        self.with(id, |incident| {
            incident.tell(now, Actor::Engine, EntryKind::Delivery, text, Vec::new());
            None
        });
        self.page(id, next.unwrap_or_default());
        self.shown(id)
    }

    /// What was heard of calls before their incidents were known.
    pub(super) fn hear_early(&mut self, now: At) {
        let known = |one: &mut Early| self.incidents.contains_key(&one.id);
        let heard: Vec<Early> = self.early.extract_if(.., known).collect();
        for Early { id, number, arrived, detail } in heard {
            // It is known, and nothing else refuses it.
            let _ = self.delivered(&id, number, arrived, &detail, now);
        }
    }

    /// What was heard here of calls whose incidents are not known yet goes on to the engine that orders go to from now on.
    pub fn pass_on(&mut self, to: &mut Self, now: At) -> Vec<Effect> {
        to.clock.now = now.max(to.clock.now);
        to.early.append(&mut self.early);
        to.hear_early(now);
        to.effects()
    }
}

pub(super) fn named(actor: &str) -> Result<(), Refused> {
    if actor.trim().is_empty() { Err(Refused::Empty("actor")) } else { Ok(()) }
}
