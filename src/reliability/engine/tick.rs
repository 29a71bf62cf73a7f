//! One look at everything, once a second.

use std::time::Duration;

use super::{Effect, Engine, grouping};
use crate::names::IncidentId;
use crate::reliability::alert::{Alert, AlertLook, AlertMove, Sign};
use crate::reliability::detect::Finding;
use crate::reliability::escalation::Clock;
use crate::reliability::incident::{Actor, Ending, EntryKind, Incident, State};
use crate::reliability::readings::{Readings, Stage, UpstreamReading};
use crate::reliability::rule::{AlertKey, Rule};
use crate::units::At;

/// What was seen this lately is not out of sight.
const UNSEEN: Duration = Duration::from_secs(60);

impl Engine {
    /// The local hour, for orders between two looks, or before the first.
    pub fn tell_hour(&mut self, clock: Clock) {
        (self.clock.local, self.clock.holiday) = (clock.local, clock.holiday);
    }

    /// One look. Call it once a second, and at [`Engine::next_deadline`]; a mirror has nothing to look with.
    pub fn tick(&mut self, readings: &Readings, now: At) -> Vec<Effect> {
        let now = now.max(self.clock.now);
        self.clock = Clock { now, local: readings.local, holiday: readings.holiday };
        self.drill.see(readings.drill.as_ref());
        let Some(evidence) = self.mode.evidence_mut() else { return Vec::new() };
        let mut findings = evidence.detector.look(&self.policy.detect, readings, now);
        let own = self.overlay(&mut findings, readings);
        for mut finding in findings {
            if readings.stage == Stage::Draining {
                finding.look.sign = Sign::Blind;
            }
            if finding.look.sign == Sign::Good && self.held_elsewhere(&finding.key, readings) {
                finding.look.sign = Sign::Between;
            }
            self.hear(&finding, readings, now);
        }
        self.note_own(&own);
        if readings.stage == Stage::Serving {
            self.forget_the_gone(readings, now);
        }
        let live = self.live();
        self.leave_drills(&live, now);
        for id in &live {
            self.settle(id, readings, now);
        }
        for id in &live {
            self.escalate(id);
        }
        self.uptime(readings, now);
        self.prune(now);
        self.effects()
    }

    /// Those that are not over, oldest first.
    pub(super) fn live(&self) -> Vec<IncidentId> {
        self.incidents.values().filter(|one| one.state.is_live()).map(|one| one.id.clone()).collect()
    }

    /// What is left of a drill that is over is a real incident, also after a restart: people are called.
    fn leave_drills(&mut self, live: &[IncidentId], now: At) {
        let current = self.drill.id();
        for id in live {
            self.with(id, |incident| {
                incident.drill.take_if(|mark| Some(&mark.id) != current.as_ref())?;
                let text = "the drill is over and this is not: it is a real incident from here on".to_owned();
                incident.tell(now, Actor::Engine, EntryKind::State, text, Vec::new());
                None
            });
        }
    }

    /// Does another member of the fleet still see what this alert is about? Then what is good here ends nothing.
    fn held_elsewhere(&self, key: &AlertKey, readings: &Readings) -> bool {
        let home = self.mode.alerts().get(key).and_then(|tracked| self.incidents.get(&tracked.incident));
        home.is_some_and(|home| readings.elsewhere.contains(&home.dedup))
    }

    /// One finding: its alert moves, and its incident with it.
    fn hear(&mut self, finding: &Finding, readings: &Readings, now: At) {
        let key = &finding.key;
        let Some(tracked) = self.mode.alert_mut(key) else {
            if finding.look.sign == Sign::Bad {
                let mut alert = Alert::default();
                alert.look(&finding.policy, finding.look, now);
                self.place(finding, alert, now);
            }
            return;
        };
        tracked.policy = finding.policy;
        tracked.seen = now;
        if finding.look.sign == Sign::Bad && finding.says.is_some() {
            tracked.says.clone_from(&finding.says);
        }
        let blames =
            finding.look.sign == Sign::Bad && finding.cause.is_some() && tracked.cause != finding.cause;
        if blames {
            tracked.cause.clone_from(&finding.cause);
        }
        let moved = tracked.alert.look(&finding.policy, finding.look, now);
        if blames {
            // Errors are often seen a moment before it is known where they come from.
            self.rehome(key, now);
        }
        let Some(tracked) = self.mode.alert_mut(key) else { return };
        match moved {
            Some(AlertMove::Calming) => tracked.calm = true,
            Some(AlertMove::Relapsed | AlertMove::Suspected | AlertMove::Confirmed) => tracked.calm = false,
            Some(AlertMove::Cleared | AlertMove::Over) | None => {}
        }
        match moved {
            Some(AlertMove::Confirmed) => self.confirm(finding, readings, now),
            Some(AlertMove::Cleared | AlertMove::Over) => self.let_go(key, now),
            Some(AlertMove::Calming) => self.write(key, "good again", now),
            Some(AlertMove::Relapsed) => self.write(key, "bad again", now),
            Some(AlertMove::Suspected) | None => {}
        }
        self.claim(finding, now);
    }

    fn write(&mut self, key: &AlertKey, what: &str, now: At) {
        let Some(id) = self.mode.alerts().get(key).map(|tracked| tracked.incident.clone()) else { return };
        let text = format!("{what}: {} of {}", key.rule.label(), key.service);
        self.with(&id, |incident| {
            incident.tell(now, Actor::Engine, EntryKind::Signal, text, Vec::new());
            None
        });
    }

    /// The evidence is enough to call somebody.
    fn confirm(&mut self, finding: &Finding, readings: &Readings, now: At) {
        self.rehome(&finding.key, now);
        let Some(tracked) = self.mode.alert_mut(&finding.key) else { return };
        tracked.claimed = tracked.claimed.max(finding.severity);
        let (id, severity) = (tracked.incident.clone(), tracked.claimed);
        let says = finding.says.clone().unwrap_or_default();
        let context = readings.context.clone();
        self.transit(&id, |incident| {
            if let Some(signal) = incident.signal_mut(&finding.key) {
                (signal.confirmed, signal.worst) = (Some(now), Some(severity));
            }
            let text = format!("confirmed: {}", says.title);
            incident.tell(now, Actor::Engine, EntryKind::Signal, text, says.evidence);
            let opens = incident.state == State::Suspected;
            if incident.key == finding.key || severity > incident.severity || opens {
                incident.title.clone_from(&says.title);
            }
            incident.raise(severity, &says.title, now);
            if incident.state != State::Suspected {
                return Ok(None);
            }
            if !context.is_empty() {
                incident.tell(
                    now,
                    Actor::Engine,
                    EntryKind::Evidence,
                    "what was in force".to_owned(),
                    context,
                );
            }
            incident.open_as(severity, says.title, now).map(Some)
        });
    }

    /// A confirmed alert that says worse than ever before raises its incident. What a person has lowered
    /// stays lowered until then.
    fn claim(&mut self, finding: &Finding, now: At) {
        let Some(tracked) = self.mode.alert_mut(&finding.key) else { return };
        if finding.look.sign != Sign::Bad || !tracked.alert.is_firing() || finding.severity <= tracked.claimed
        {
            return;
        }
        tracked.claimed = finding.severity;
        let id = tracked.incident.clone();
        let title = finding.says.as_ref().map_or("", |says| &says.title);
        self.with(&id, |incident| {
            if let Some(signal) = incident.signal_mut(&finding.key) {
                signal.worst = Some(finding.severity);
            }
            incident.raise(finding.severity, title, now);
            None
        });
    }

    /// Subjects that are no longer in the readings at all: an upstream that was taken out of the config.
    fn forget_the_gone(&mut self, readings: &Readings, now: At) {
        let after = self.policy.gone_after;
        let gone: Vec<AlertKey> = self
            .mode
            .alerts()
            .iter()
            .filter(|(key, tracked)| now.since(tracked.seen) > after && !self.held_elsewhere(key, readings))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some(tracked) = self.mode.alert_mut(&key) {
                let policy = grouping::gone(&tracked.policy);
                let look = AlertLook { sign: Sign::Good, ripe: false, first_bad: None, well_now: false };
                tracked.alert.look(&policy, look, now);
                tracked.alert.look(&policy, look, now);
            }
            self.write(&key, "no longer observed", now);
            self.let_go(&key, now);
        }
    }

    /// What the alerts of an incident mean for it. Looks at levels, not at edges.
    fn settle(&mut self, id: &IncidentId, readings: &Readings, now: At) {
        let Some(incident) = self.incidents.get(id).filter(|one| one.state.is_live()) else { return };
        if incident.key.rule == Rule::Manual {
            return;
        }
        let state = incident.state;
        let unseen = self.unseen_since(incident, readings, now);
        let elsewhere = readings.elsewhere.contains(&incident.dedup);
        let own = || self.mode.alerts().values().filter(|tracked| tracked.incident == *id);
        let over = own().next().is_none();
        let unwell = own()
            .any(|tracked| if tracked.alert.is_firing() { !tracked.calm } else { tracked.alert.holds() });
        self.with(id, |incident| {
            incident.see(unseen, now);
            None
        });
        match state {
            _ if over => self.finish(id, now),
            State::Open | State::Acknowledged | State::Mitigating if !unwell && !elsewhere => {
                let recovered = self.recovered(id, now);
                self.transit(id, |incident| incident.monitor(recovered, now).map(Some));
            }
            State::Monitoring if unwell || elsewhere => {
                self.transit(id, |incident| incident.relapse("it is bad again".to_owned(), now).map(Some));
            }
            State::Suspected
            | State::Open
            | State::Acknowledged
            | State::Mitigating
            | State::Monitoring
            | State::Resolved
            | State::Reviewed
            | State::Cleared => {}
        }
    }

    /// When anything was last seen of what an incident is about, once that is a while ago and none of its alerts sees more.
    fn unseen_since(&self, incident: &Incident, readings: &Readings, now: At) -> Option<At> {
        let own = self.mode.alerts().values().filter(|tracked| tracked.incident == incident.id);
        let blind =
            own.map(|tracked| tracked.alert.unseen).collect::<Option<Vec<At>>>()?.into_iter().max()?;
        let subject = readings.upstreams.iter().find(|one| one.name == incident.key.service);
        let seen = subject.and_then(UpstreamReading::seen).unwrap_or(blind).min(blind);
        (now.since(seen) >= UNSEEN).then_some(seen)
    }

    /// When the strongest of its signals was good again: windows of weaker ones look back for minutes.
    pub(super) fn recovered(&self, id: &IncidentId, now: At) -> At {
        let Some(incident) = self.incidents.get(id) else { return now };
        let strongest = incident.signals.iter().min_by_key(|signal| &signal.key);
        strongest
            .and_then(|signal| {
                let live = self.mode.alerts().get(&signal.key).filter(|tracked| tracked.incident == *id);
                live.map_or(signal.over, |tracked| tracked.alert.good_since())
            })
            .unwrap_or(now)
    }

    fn finish(&mut self, id: &IncidentId, now: At) {
        let recovered = self.recovered(id, now);
        self.transit(id, |incident| {
            let (ending, why) = if incident.state == State::Suspected {
                (Ending::NeverConfirmed, "it was never confirmed")
            } else {
                (Ending::Recovered, "good for long enough")
            };
            incident.clocks.recovered.get_or_insert(recovered);
            incident.close(ending, Actor::Engine, why.to_owned(), now).map(Some)
        });
    }
}
