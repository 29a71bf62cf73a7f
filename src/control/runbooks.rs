//! Runbooks at work: their checks when an incident opens, and when somebody orders it.
//!
//! What is known without asking is found in the same step that opens the incident, so it stands in the first call. What is
//! asked is asked by a task of its own, within `runbooks.within`; until then, and no longer, the call waits in its queue, on disk
//! like every other. Decides nothing about incidents, and changes nothing that it looks at.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Control;
use super::asking::{answered, no_place};
use super::handle::{Order, Pending, PendingLook, PendingOrder};
use super::looks::{ChecksMade, Found, RunbookLook, RunbookRefused};
use super::orders::reply_with;
use crate::config::Config;
use crate::names::IncidentId;
use crate::reliability::brief::Scene;
use crate::reliability::engine::{Command, Effect};
use crate::reliability::incident::State;
use crate::reliability::runbook::{CheckResult, MOST_RUNBOOKS, Runbook};
use crate::runtime::clock::{self, Moment};
use crate::runtime::tasks;
use crate::units::At;

impl Control {
    /// Of the incidents that open by these effects: what their runbooks find at once, and what is to be stored of it.
    pub(super) fn with_checks(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        let opened: Vec<IncidentId> = effects.iter().filter_map(opened).collect();
        let config = Arc::clone(&self.runbooks.registry.snapshot().config);
        if opened.is_empty() || config.runbooks.all.is_empty() {
            return effects;
        }
        // Many may open at once: all are looked at as they are at this moment.
        let moment = clock::now();
        let scene = self.wording.scene(moment, self.observer.at(moment), self.records.member());
        for id in opened {
            effects.extend(self.check_opened(&id, &config, &scene, moment));
        }
        effects
    }

    fn check_opened(
        &mut self,
        id: &IncidentId,
        config: &Config,
        scene: &Scene,
        moment: Moment,
    ) -> Vec<Effect> {
        let Some(incident) = self.engine.incident(id) else { return Vec::new() };
        let fits = |one: &&Arc<Runbook>| one.fits(incident, &config.recovery.policy);
        let fitting: Vec<Arc<Runbook>> =
            config.runbooks.all.iter().filter(fits).take(MOST_RUNBOOKS).map(Arc::clone).collect();
        if fitting.is_empty() {
            return Vec::new();
        }
        let service = Arc::clone(&incident.key.service);
        let look = |one: Arc<Runbook>| {
            let found = one.look(Some(&service), scene);
            (one, found)
        };
        let mut found: Vec<Found> = fitting.into_iter().map(look).collect();
        let asks = found.iter().any(|(_, found)| found.iter().any(CheckResult::is_asked));
        let place = asks.then(|| self.runbooks.place());
        if let Some(None) = place {
            found.iter_mut().for_each(|(_, found)| found.iter_mut().for_each(no_place));
        }
        let effects = self.write_down(id, None, &found);
        if let Some(place) = place.flatten() {
            self.ask_about(id.clone(), found, place, moment, config.runbooks.within);
        }
        effects
    }

    fn ask_about(
        &mut self,
        id: IncidentId,
        mut found: Vec<Found>,
        place: OwnedSemaphorePermit,
        moment: Moment,
        within: Duration,
    ) {
        self.runbooks.begin(id.clone(), moment.instant + within);
        // What was found at once is written down already.
        found.iter_mut().for_each(|(_, found)| found.retain(CheckResult::is_asked));
        let (registry, asks) = (Arc::clone(&self.runbooks.registry), self.door.clone());
        tasks::detach("runbook", "asking", async move {
            // What has no answer by then is still said before the calls go out.
            let limit = within - within / 10;
            let asked = found.iter_mut().map(|(_, found)| answered(found, &registry, limit));
            futures_util::future::join_all(asked).await;
            let _ = asks.send(PendingOrder::Checked(ChecksMade { id, found })).await;
            drop(place);
        });
    }

    /// What was asked has answered, or its time is over: the timeline gets it, and the calls that wait for it.
    pub(super) fn hear_checks(&mut self, made: ChecksMade, now: At) {
        let ChecksMade { id, found } = made;
        let effects = self.write_down(&id, None, &found);
        let calls = self.runbooks.end(&id);
        let writes = self.notifier.amend(self.notifications(calls));
        self.carry_out(effects, writes);
        self.show_again(now);
    }

    /// One line a runbook on the incident's timeline, and its numbers.
    fn write_down(&mut self, id: &IncidentId, actor: Option<String>, found: &[Found]) -> Vec<Effect> {
        let mut effects = Vec::new();
        let now = self.observer.at(clock::now());
        for (runbook, found) in found.iter().filter(|(_, found)| !found.is_empty()) {
            self.count(runbook, found);
            let (id, runbook, actor) = (id.clone(), Arc::clone(&runbook.name), actor.clone());
            let found = found.iter().map(CheckResult::line).collect();
            let (_, more) = self.shown_engine().command(Command::Checked { id, actor, runbook, found }, now);
            effects.extend(more);
        }
        effects
    }

    /// A check that is asked is counted once it has answered.
    fn count(&self, runbook: &Runbook, found: &[CheckResult]) {
        for one in found.iter().filter(|one| !one.is_asked()) {
            self.telemetry.runbooks.checked(&runbook.name, one.what, one.sign);
        }
    }

    /// Somebody orders a look: it is made beside the control task, and comes back to it.
    pub(super) fn begin_look(&mut self, pending: PendingLook) {
        let order = &pending.order.command;
        let config = Arc::clone(&self.runbooks.registry.snapshot().config);
        let known = || config.runbooks.all.iter().map(|one| Arc::clone(&one.name)).collect();
        let Some(runbook) = config.runbooks.named(&order.name).map(Arc::clone) else {
            return reply_with(pending.answer, Err(RunbookRefused::NoSuchRunbook(known())), None, None);
        };
        let incident = order.incident.as_ref().map(|id| self.shown_engine().incident(id));
        if let Some(None) = incident {
            return reply_with(pending.answer, Err(RunbookRefused::NoSuchIncident), None, None);
        }
        let about = incident.flatten().map(|incident| Arc::clone(&incident.key.service));
        let service = pending.order.command.service.clone().or(about);
        let service = service.or_else(|| runbook.scope.services.first().cloned());
        let Some(place) = self.runbooks.place_for_order() else {
            return reply_with(pending.answer, Err(RunbookRefused::TooMany), None, None);
        };
        let moment = clock::now();
        let scene = self.wording.scene(moment, self.observer.at(moment), self.records.member());
        let mut found = runbook.look(service.as_ref(), &scene);
        let (registry, asks) = (Arc::clone(&self.runbooks.registry), self.door.clone());
        let incident = pending.order.command.incident.clone();
        tasks::detach("runbook", "asking", async move {
            answered(&mut found, &registry, config.runbooks.within).await;
            let look = RunbookLook { runbook, incident, service, found };
            let _ = asks.send(PendingOrder::Looked(pending, Box::new(look))).await;
            drop(place);
        });
    }

    /// An ordered look was made: it stands on the timeline of its incident and on the audit log, and is answered.
    pub(super) fn end_look(&mut self, pending: PendingLook, look: RunbookLook, now: At) {
        let Pending { order: Order { command, audit }, mut rows, answer } = pending;
        let found = [(Arc::clone(&look.runbook), look.found.clone())];
        let effects = match &look.incident {
            Some(id) => self.write_down(id, Some(command.actor), &found),
            None => {
                self.count(&look.runbook, &look.found);
                Vec::new()
            }
        };
        let audit_id = self.audited(audit, &mut rows, now);
        let written = self.carry_out(effects, rows);
        self.show_again(now);
        reply_with(answer, Ok::<_, RunbookRefused>(look), written, audit_id);
    }
}

/// The incident that this effect tells to have opened.
fn opened(effect: &Effect) -> Option<IncidentId> {
    let Effect::Tell(transition) = effect else { return None };
    let by_hand = transition.from.is_none() && transition.to == State::Open;
    (transition.confirms() || by_hand).then(|| transition.id.clone())
}
