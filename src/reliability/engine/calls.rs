//! Who is called, who is told.

use std::collections::BTreeSet;

use super::{Effect, Engine, Notice, NoticeKind, Page};
use crate::names::IncidentId;
use crate::reliability::escalation::{Call, CallCause, EscalationPolicy, LastNotice};
use crate::reliability::incident::{Actor, EntryKind, Incident, State, Transition};
use crate::units::At;

impl Engine {
    /// The response clock and the ladder of one incident. Both wait while it is silenced; the ladder also while
    /// the condition is gone. Only the engine that acts calls.
    pub(super) fn escalate(&mut self, id: &IncidentId) {
        if !self.mode.acts() {
            return;
        }
        let now = self.clock.now;
        let Some(incident) = self.incidents.get(id).filter(|one| one.state.is_live()) else { return };
        let silenced = self.is_silenced(incident);
        if silenced != self.hushed.contains(id) {
            let text = if silenced { "silenced: nobody is called" } else { "no longer silenced" };
            self.with(id, |incident| {
                incident.tell(now, Actor::Engine, EntryKind::Silence, text.to_owned(), Vec::new());
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
                    CallCause::Step => "",
                    CallCause::Again => " again",
                    CallCause::Undelivered => " another way",
                };
                let text = format!("calling {}{why} through {}", call.whom(), call.channel);
                let evidence = vec![
                    ("call".to_owned(), call.number.to_string()),
                    ("step".to_owned(), call.step.to_string()),
                    ("round".to_owned(), call.round.to_string()),
                ];
                incident.tell(at, Actor::Engine, EntryKind::Page, text, evidence);
                incident.escalation.know(known(incident));
                None
            });
            let Some(incident) = self.incidents.get(id) else { continue };
            self.changed.after.push(Effect::Page(Page {
                incident: id.clone(),
                number: call.number,
                contacts: call.contacts().map(str::to_owned).collect(),
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

    /// A change of state is told to the stakeholders, and that it was taken or is over also to those who were called. A
    /// silenced one is told only to those who were called before.
    pub(super) fn announce(&mut self, transition: &Transition) {
        let Some(incident) = self.incidents.get(&transition.id) else { return };
        if incident.clocks.opened.is_none() && incident.severity < self.policy.suspicions_from {
            return;
        }
        let news = match transition.to {
            State::Resolved | State::Cleared => NoticeKind::Over,
            State::Acknowledged => NoticeKind::Taken,
            State::Suspected | State::Open | State::Mitigating | State::Monitoring | State::Reviewed => {
                NoticeKind::State
            }
        };
        let mut to = if self.is_silenced(incident) { Vec::new() } else { self.stakeholders(incident) };
        if news != NoticeKind::State {
            to.extend(called(incident));
        }
        self.notify(&transition.id, to, news, transition.to, transition.at);
        if news == NoticeKind::Over {
            self.hushed.remove(&transition.id);
            self.end_calls(&transition.id);
        }
        if news == NoticeKind::Taken {
            self.learn(&transition.id);
        }
    }

    /// Those who were called know that it is over.
    fn end_calls(&mut self, id: &IncidentId) {
        self.with(id, |incident| {
            incident.version += u64::from(incident.escalation.end());
            None
        });
    }

    /// That it is over is told also where two members did not know of each other: one had called, the other one, or a person
    /// there, had closed it. Of one that is the same as another that lasts it is told when that one is over, in its own name: to
    /// a receiver that knows both by one key a call of the later one is newer than the end of the earlier one.
    pub(super) fn tell_ends(&mut self) {
        let lasts = |id: &IncidentId| self.incidents.get(id).is_some_and(|one| one.state.is_live());
        let owes = |one: &&Incident| {
            !one.state.is_live() && one.escalation.owes_an_end() && !one.part_of().is_some_and(lasts)
        };
        let owing = self.incidents.values().filter(owes).map(|one| (one.id.clone(), one.state, called(one)));
        for (id, state, to) in owing.collect::<Vec<_>>() {
            self.notify(&id, to, NoticeKind::Over, state, self.clock.now);
            self.end_calls(&id);
        }
    }

    /// Those who were called know how things are.
    fn learn(&mut self, id: &IncidentId) {
        self.with(id, |incident| {
            let now = known(incident);
            if incident.escalation.is_news(now) {
                incident.escalation.know(now);
                incident.version += 1;
            }
            None
        });
    }

    /// What those who were called do not know yet of incidents that have changed: that somebody has taken one, also where
    /// that is no change of its state, and how bad it has become.
    pub(super) fn keep_informed(&mut self, moves: &[Transition]) {
        let changed: BTreeSet<&IncidentId> =
            self.changed.incidents.iter().chain(moves.iter().map(|one| &one.id)).collect();
        let news = changed.into_iter().filter_map(|id| {
            let incident = self.incidents.get(id).filter(|one| one.state.is_live())?;
            let taken = incident.clocks.acknowledged.is_some() && !incident.escalation.knows_it_is_taken();
            let news = if taken { NoticeKind::Taken } else { NoticeKind::Severity };
            incident.escalation.is_news(known(incident)).then(|| (id.clone(), news))
        });
        for (id, news) in news.collect::<Vec<_>>() {
            self.learn(&id);
            let Some(incident) = self.incidents.get(&id) else { continue };
            let (to, state) = (called(incident), incident.state);
            self.notify(&id, to, news, state, self.clock.now);
        }
    }

    /// Stakeholders and their channels. Not through pagers: what is told there calls somebody; nor where the incident is
    /// called out at this very moment: the call says all.
    fn stakeholders(&self, incident: &Incident) -> Vec<(String, String)> {
        let policy = &self.policy.escalation;
        let calls = self.changed.after.iter().filter_map(|effect| match effect {
            Effect::Page(page) if page.incident == incident.id => Some(page.channel.as_str()),
            Effect::Page(_)
            | Effect::Save(_)
            | Effect::SaveSilence(_)
            | Effect::Ledger(_)
            | Effect::Tell(_)
            | Effect::Update(_)
            | Effect::ResolveNotice(_) => None,
        });
        let calls: Vec<&str> = calls.collect();
        let quiet = |channel: &&str| !policy.is_pager(channel) && !calls.contains(channel);
        let of = |contact: &String| {
            let ways: Vec<&str> = policy.first_ways(contact).filter(quiet).collect();
            ways.into_iter().map(|way| (contact.clone(), way.to_owned())).collect::<Vec<_>>()
        };
        policy.stakeholders.iter().flat_map(of).collect()
    }

    fn notify(
        &mut self,
        id: &IncidentId,
        mut to: Vec<(String, String)>,
        news: NoticeKind,
        state: State,
        at: At,
    ) {
        to.sort();
        to.dedup();
        let Some(incident) = self.incidents.get(id).filter(|_| !to.is_empty()) else { return };
        let notice = Notice {
            incident: incident.id.clone(),
            to,
            dedup: incident.dedup.to_string(),
            severity: incident.severity,
            state,
            news,
            title: incident.title.clone(),
            at,
        };
        let over = news == NoticeKind::Over;
        self.changed.after.push(if over { Effect::ResolveNotice(notice) } else { Effect::Update(notice) });
    }
}

impl Incident {
    /// Does its ladder go on? What nobody can see calls whoever has not been called, and nobody again.
    pub(super) fn is_called(&self, policy: &EscalationPolicy) -> bool {
        self.unseen_since.is_none() || self.escalation.has_steps_left(policy)
    }
}

/// What those who are called now are told.
fn known(incident: &Incident) -> LastNotice {
    LastNotice { severity: incident.severity, taken: incident.clocks.acknowledged.is_some() }
}

/// Everybody who was called, and through what.
fn called(incident: &Incident) -> Vec<(String, String)> {
    let of = |call: &Call| {
        let channel = call.channel.clone();
        call.contacts().map(|contact| (contact.to_owned(), channel.clone())).collect::<Vec<_>>()
    };
    incident.escalation.calls().iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::reliability::alert::Sign;
    use crate::reliability::engine::{Command, EnginePolicy};
    use crate::reliability::escalation::Arrived;
    use crate::reliability::incident::Force;
    use crate::reliability::readings::{Readings, Reported};
    use crate::reliability::rule::Severity;

    /// An engine with a pager and a chat, and something that a sidecar reports of itself.
    struct House {
        engine: Engine,
        second: i64,
        bad: Option<Severity>,
        /// What left since the last look: channel, and what was told there.
        sent: Vec<(String, &'static str)>,
    }

    fn house(channels: &[&str]) -> House {
        let mut policy = EnginePolicy::default();
        policy.escalation.fallback = channels.iter().map(|name| (*name).to_owned()).collect();
        policy.escalation.pagers = vec!["pager".to_owned()];
        let engine = Engine::new(policy, Arc::from("a#1"), 7, At(0));
        House { engine, second: 0, bad: None, sent: Vec::new() }
    }

    impl House {
        fn pass(&mut self, seconds: i64) {
            for _ in 0..seconds {
                self.second += 1;
                let now = At(self.second * 1_000);
                let reported = Reported {
                    service: Arc::from("store"),
                    scope: Arc::from("a test"),
                    sign: if self.bad.is_some() { Sign::Bad } else { Sign::Good },
                    severity: self.bad.unwrap_or(Severity::Low),
                    first_bad: self.bad.map(|_| now),
                    confirm: Duration::from_secs(30),
                    title: "it is away".to_owned(),
                    evidence: Vec::new(),
                };
                let readings = Readings { reported: vec![reported], ..Readings::default() };
                let effects = self.engine.tick(&readings, now);
                self.keep(effects);
            }
        }

        fn order(&mut self, command: Command) {
            let (done, effects) = self.engine.command(command, At(self.second * 1_000));
            done.expect("done");
            self.keep(effects);
        }

        fn keep(&mut self, effects: Vec<Effect>) {
            let saved = |id: &IncidentId, effects: &[Effect]| {
                effects.iter().any(|effect| matches!(effect, Effect::Save(one) if one.id == *id))
            };
            for effect in &effects {
                match effect {
                    Effect::Page(page) => self.sent.push((page.channel.clone(), "call")),
                    Effect::Update(notice) | Effect::ResolveNotice(notice) => {
                        assert!(saved(&notice.incident, &effects), "told before it was saved");
                        let ways: BTreeSet<&String> = notice.to.iter().map(|(_, channel)| channel).collect();
                        self.sent.extend(ways.into_iter().map(|way| (way.clone(), notice.news.label())));
                    }
                    Effect::Save(_) | Effect::SaveSilence(_) | Effect::Ledger(_) | Effect::Tell(_) => {}
                }
            }
        }

        fn sent(&mut self) -> Vec<(String, &'static str)> {
            std::mem::take(&mut self.sent)
        }

        fn id(&self) -> IncidentId {
            self.engine.incidents().next_back().expect("there is one").id.clone()
        }

        fn ack(&mut self) {
            let id = self.id();
            self.order(Command::Ack { id, actor: "ann".to_owned() });
        }

        fn rate(&mut self, severity: Severity) {
            let id = self.id();
            self.order(Command::Rate { id, actor: "ann".to_owned(), severity, reason: "seen".to_owned() });
        }
    }

    fn all(told: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
        told.iter().map(|(channel, what)| ((*channel).to_owned(), *what)).collect()
    }

    #[test]
    fn a_suspicion_that_passes_reaches_no_pager() {
        let mut house = house(&["pager"]);
        house.bad = Some(Severity::Critical);
        house.pass(5);
        house.bad = None;
        house.pass(400);
        assert_eq!(house.sent(), [], "with a pager alone nobody is woken by what was never confirmed");
        let mut house = self::house(&["pager", "chat"]);
        house.bad = Some(Severity::Critical);
        house.pass(5);
        assert_eq!(house.sent(), all(&[("chat", "state")]), "who can be told without being woken is told");
        house.bad = None;
        house.pass(400);
        assert_eq!(house.sent(), all(&[("chat", "over")]));
    }

    #[test]
    fn a_call_goes_through_all_channels_at_once_one_message_each() {
        let mut house = house(&["pager", "chat", "mail"]);
        house.bad = Some(Severity::Critical);
        house.pass(5);
        assert_eq!(house.sent(), all(&[("chat", "state"), ("mail", "state")]));
        house.pass(30);
        assert_eq!(house.sent(), all(&[("pager", "call"), ("chat", "call"), ("mail", "call")]));
    }

    #[test]
    fn what_was_called_hears_that_it_is_taken_and_that_it_is_over() {
        let mut house = house(&["pager", "chat"]);
        house.bad = Some(Severity::Critical);
        house.pass(40);
        house.sent();
        house.ack();
        assert_eq!(house.sent(), all(&[("chat", "taken"), ("pager", "taken")]));
        house.ack();
        house.pass(600);
        assert_eq!(house.sent(), [], "once");
        house.bad = None;
        house.pass(400);
        assert_eq!(
            house.sent(),
            all(&[("chat", "state"), ("chat", "over"), ("pager", "over")]),
            "watching it wakes nobody"
        );
    }

    #[test]
    fn an_acknowledgement_reaches_the_pager_also_where_it_changes_no_state() {
        let mut house = house(&["pager", "chat"]);
        house.bad = Some(Severity::Critical);
        house.pass(40);
        let id = house.id();
        house.order(Command::Act { id, actor: None, what: "restarted".to_owned(), evidence: Vec::new() });
        house.sent();
        house.ack();
        assert_eq!(house.sent(), all(&[("chat", "taken"), ("pager", "taken")]));
        assert_eq!(house.engine.incidents().next_back().expect("there").state, State::Mitigating);
    }

    #[test]
    fn a_changed_severity_reaches_what_was_called_and_nothing_else() {
        let mut house = house(&["pager", "chat"]);
        house.bad = Some(Severity::Critical);
        house.pass(40);
        house.sent();
        house.rate(Severity::Low);
        assert_eq!(house.sent(), all(&[("chat", "severity"), ("pager", "severity")]));
        house.rate(Severity::Critical);
        assert_eq!(
            house.sent(),
            all(&[("pager", "call"), ("chat", "call")]),
            "who is called now is told by that"
        );
        house.ack();
        house.sent();
        house.rate(Severity::High);
        assert_eq!(house.sent(), all(&[("chat", "severity"), ("pager", "severity")]));
        let mut house = self::house(&["pager", "chat"]);
        house.bad = Some(Severity::Medium);
        house.pass(60);
        house.sent();
        house.rate(Severity::Low);
        assert_eq!(house.sent(), [], "nobody was called yet");
    }

    #[test]
    fn those_who_were_called_are_told_while_it_is_silenced_and_once_after_a_restart() {
        let mut house = house(&["pager"]);
        house.bad = Some(Severity::Critical);
        house.pass(40);
        house.sent();
        let kept = house.engine.incidents().next_back().expect("there").clone();
        let mut again = self::house(&["pager"]);
        let effects = again.engine.restore(vec![kept.clone()], Vec::new(), At(50_000));
        again.keep(effects);
        (again.second, again.bad) = (50, Some(Severity::Critical));
        again.pass(1);
        assert_eq!(again.sent(), [], "a restart tells nobody what is known");
        // As another member of the fleet stored it.
        let mut taken = kept;
        taken.acknowledge("bob", At(52_000)).expect("taken");
        let effects = again.engine.adopt(vec![taken], At(53_000));
        again.keep(effects);
        assert_eq!(again.sent(), all(&[("pager", "taken")]));
        again.pass(60);
        assert_eq!(again.sent(), []);
        let id = again.id();
        let reason = "enough".to_owned();
        again.order(Command::Resolve { id, actor: "ann".to_owned(), reason, force: Force::Forced });
        assert_eq!(again.sent(), all(&[("pager", "over")]));
    }

    #[test]
    fn a_call_that_failed_everywhere_is_no_reason_to_call_again_before_its_time() {
        let mut house = house(&["pager", "chat"]);
        house.bad = Some(Severity::Critical);
        house.pass(40);
        house.sent();
        let id = house.id();
        for number in [1, 2] {
            let detail = "away".to_owned();
            house.order(Command::Delivered { id: id.clone(), number, arrived: Arrived::No, detail });
        }
        assert_eq!(house.sent(), [], "both ways were tried at once");
    }
}
