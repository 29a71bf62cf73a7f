//! To which incident does an alert belong?

use std::sync::Arc;

use super::{Engine, Tracked};
use crate::names::IncidentId;
use crate::reliability::alert::{Alert, AlertPolicy};
use crate::reliability::detect::{Finding, NETWORK};
use crate::reliability::incident::{Actor, Beginning, Ending, EntryKind, Incident, Signal, State};
use crate::reliability::rule::{AlertKey, Rule};
use crate::units::At;

/// An open incident that nobody has taken may still turn out to be part of another one for this many seconds.
const STILL_FRESH: u64 = 60;

impl Engine {
    /// The live incident that explains `key`: the network's, that of the service to blame, or one of the same identity.
    pub(super) fn home(
        &self,
        key: &AlertKey,
        cause: Option<&Arc<str>>,
        but: Option<&IncidentId>,
    ) -> Option<IncidentId> {
        let dedup = key.dedup();
        let live = || {
            self.incidents
                .values()
                .filter(|incident| incident.state.is_live() && Some(&incident.id) != but)
                .filter(|incident| incident.key.rule != Rule::Manual)
        };
        let of = |service: &str| live().filter(|one| *one.key.service == *service).min_by_key(|one| &one.key);
        let network = cause.filter(|cause| ***cause == *NETWORK).and_then(|_| of(NETWORK));
        network
            .or_else(|| cause.and_then(|cause| of(cause)))
            .or_else(|| live().find(|one| one.dedup == dedup))
            .map(|one| one.id.clone())
    }

    /// The live incident that a deed about `service` belongs to: its own, one that has a signal of it, or one of an alert that
    /// it is the cause of.
    pub(super) fn concerned(&self, service: &str) -> Option<IncidentId> {
        let live = || self.incidents.values().filter(|one| one.state.is_live());
        let own = live().filter(|one| *one.key.service == *service).min_by_key(|one| &one.key);
        let has = |one: &&Incident| {
            one.signals.iter().any(|signal| *signal.key.service == *service && signal.over.is_none())
        };
        let caused = || {
            let of = self.mode.alerts().values().find(|one| one.cause.as_deref() == Some(service));
            of.and_then(|alert| self.incidents.get(&alert.incident)).filter(|one| one.state.is_live())
        };
        own.or_else(|| live().find(has)).or_else(caused).map(|one| one.id.clone())
    }

    /// A new suspicion: joins the incident that explains it, or founds one.
    pub(super) fn place(&mut self, finding: &Finding, alert: Alert, now: At) {
        let first_bad = alert.first_bad.unwrap_or(now);
        let home = self.home(&finding.key, finding.cause.as_ref(), None);
        let founded = home.is_none();
        let id = home.unwrap_or_else(|| self.found(finding, first_bad, now));
        self.mode.track(
            finding.key.clone(),
            Tracked {
                cause: finding.cause.clone(),
                says: finding.says.clone(),
                ..Tracked::new(alert, finding.policy, id.clone(), finding.severity, now)
            },
        );
        let says = finding.says.clone().unwrap_or_default();
        self.join(
            &id,
            Signal { key: finding.key.clone(), first_bad, confirmed: None, over: None, worst: None },
        );
        self.with(&id, |incident| {
            incident.tell(
                now,
                Actor::Engine,
                EntryKind::Signal,
                format!("suspected: {}", says.title),
                says.evidence,
            );
            founded.then(|| incident.begun(now))
        });
        if founded {
            self.gather(&id, now);
        }
    }

    pub(super) fn join(&mut self, id: &IncidentId, signal: Signal) {
        if let Some(incident) = self.incidents.get_mut(id) {
            incident.signals.retain(|held| held.key != signal.key);
            incident.signals.push(signal);
        }
    }

    fn found(&mut self, finding: &Finding, began: At, now: At) -> IncidentId {
        let id = self.next_id(now);
        let dedup = finding.key.dedup();
        let earlier = self.incidents.values().filter(|one| one.dedup == dedup).filter(|one| {
            matches!(one.state, State::Resolved | State::Reviewed)
                && one.clocks.closed.is_some_and(|closed| now.since(closed) <= self.policy.reopen_within)
        });
        let earlier = earlier.max_by_key(|one| one.clocks.closed).map(|one| one.id.clone());
        let title = finding.says.as_ref().map_or_else(String::new, |says| says.title.clone());
        let (key, severity) = (finding.key.clone(), finding.severity);
        let beginning = Beginning { id: id.clone(), key, title, severity, began, earlier };
        let mut incident = Incident::suspected(beginning, now);
        incident.drill = self.drill.mark(&finding.key.service, finding.cause.as_ref());
        self.incidents.insert(id.clone(), incident);
        id
    }

    /// A new incident takes over the alerts that it explains, with what is left empty by that.
    fn gather(&mut self, into: &IncidentId, now: At) {
        let Some(service) = self.incidents.get(into).map(|incident| Arc::clone(&incident.key.service)) else {
            return;
        };
        let Some(evidence) = self.mode.evidence() else { return };
        let members = evidence.detector.members();
        let explained = |tracked: &Tracked, key: &AlertKey| {
            let blamed = tracked.cause.as_ref().unwrap_or(&key.service);
            *blamed == service
                || (*service == *NETWORK && (members.contains(blamed) || members.contains(&key.service)))
        };
        let moving: Vec<AlertKey> = evidence
            .alerts
            .iter()
            .filter(|(key, tracked)| tracked.incident != *into && explained(tracked, key))
            .filter(|(_, tracked)| {
                self.incidents.get(&tracked.incident).is_some_and(|from| from.may_be_absorbed(now))
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in moving {
            self.move_alert(&key, into, now);
        }
    }

    /// An alert that is about to be confirmed looks once more whether another incident explains it.
    pub(super) fn rehome(&mut self, key: &AlertKey, now: At) {
        let Some(tracked) = self.mode.alerts().get(key) else { return };
        let own = self.incidents.get(&tracked.incident);
        if own.is_some_and(|own| own.state == State::Suspected && own.key == *key)
            && let Some(into) = self.home(key, tracked.cause.as_ref(), Some(&tracked.incident))
        {
            self.move_alert(key, &into, now);
        }
    }

    fn move_alert(&mut self, key: &AlertKey, into: &IncidentId, now: At) {
        let Some(tracked) = self.mode.alert_mut(key) else { return };
        let from = std::mem::replace(&mut tracked.incident, into.clone());
        let Some(signal) = self.incidents.get_mut(&from).and_then(|old| old.signal_mut(key)).cloned() else {
            return;
        };
        let (firing, claimed) = (tracked.alert.is_firing(), tracked.claimed);
        let empty = !self.mode.alerts().values().any(|other| other.incident == from);
        self.join(into, signal);
        let text = format!("{} of {} is part of this ({from})", key.rule.label(), key.service);
        self.transit(into, |incident| {
            incident.tell(now, Actor::Engine, EntryKind::Signal, text.clone(), Vec::new());
            let opens = firing && incident.state == State::Suspected;
            opens.then(|| incident.open_as(claimed, text, now)).transpose()
        });
        self.transit(&from, |old| {
            if let Some(signal) = old.signal_mut(key) {
                signal.over = Some(now);
            }
            let text = format!("{} of {} is part of {into}", key.rule.label(), key.service);
            old.tell(now, Actor::Engine, EntryKind::Signal, text.clone(), Vec::new());
            empty.then(|| old.close(Ending::PartOf(into.clone()), Actor::Engine, text, now)).transpose()
        });
    }

    /// A quiet alert is let go.
    pub(super) fn let_go(&mut self, key: &AlertKey, now: At) {
        let Some(tracked) = self.mode.let_go(key) else { return };
        let over = tracked.alert.recovered.unwrap_or(now);
        self.with(&tracked.incident, |incident| {
            if let Some(signal) = incident.signal_mut(key) {
                signal.over = Some(over);
            }
            let text = format!("over: {} of {}", key.rule.label(), key.service);
            incident.tell(now, Actor::Engine, EntryKind::Signal, text, Vec::new());
            None
        });
    }
}

impl Incident {
    fn may_be_absorbed(&self, now: At) -> bool {
        let fresh = self.clocks.opened.is_some_and(|opened| now.since(opened).as_secs() < STILL_FRESH);
        self.state == State::Suspected || (fresh && self.clocks.acknowledged.is_none())
    }
}

/// The policy of an alert whose subject is no longer in the readings.
pub(super) fn gone(policy: &AlertPolicy) -> AlertPolicy {
    AlertPolicy { clear_after: std::time::Duration::ZERO, forget: std::time::Duration::ZERO, ..*policy }
}
