//! Orders about drills, and what a drill sees of the engine at each look.
//!
//! The one door for them: in force at once, also while the store is away; each is one row of the audit log.

use serde_json::json;

use super::drills::found;
use super::{AuditRecord, Control, Handle, OrderedBy};
use crate::reliability::breaker::BreakerState;
use crate::reliability::counts::Counts;
use crate::reliability::drill::{
    Company, Drill, DrillBefore, DrillIncident, DrillMoved, DrillOrder, DrillRefused, DrillScene,
    PaymentsAtRisk, Standing,
};
use crate::reliability::incident::{EntryKind, Incident, State};
use crate::reliability::readings::Readings;
use crate::runtime::clock::Moment;
use crate::units::{At, Written as _};

/// The row of a drill that has begun.
pub(super) const BEGUN: &str = "drill.begin";

/// The order to begin a drill.
#[derive(Debug)]
pub struct DrillStart {
    pub order: DrillOrder,
    /// Who gives it.
    pub actor: OrderedBy,
    /// Whether payments that an open breaker refuses are accepted.
    pub payments: PaymentsAtRisk,
}

/// The order to end the injection that goes on.
#[derive(Debug)]
pub struct DrillEndOrder {
    pub actor: OrderedBy,
    pub reason: String,
}

/// The reply to both.
#[derive(Clone, Debug)]
pub struct DrillReply {
    /// As it is now.
    pub drill: Drill,
    /// What the audit log says of it.
    pub record: AuditRecord,
    /// The name of that row.
    pub audit_id: String,
    /// The row is on disk. False: the store is off or away.
    pub stored: bool,
}

impl Handle {
    /// Drills at hand, the youngest first.
    pub fn drills(&self) -> Vec<Drill> {
        self.drills.all()
    }

    /// Begins a drill. It holds when this returns, whatever the store says.
    pub async fn begin_drill(&self, start: DrillStart, moment: Moment) -> Result<DrillReply, DrillRefused> {
        let snapshot = self.snapshot();
        let live = snapshot.incidents.iter().find(|one| one.state.is_live() && !one.is_drill());
        let (breaker, pays) = {
            let world = self.drills.registry.snapshot();
            let upstream = found(&world, &start.order.upstream);
            (
                upstream.map_or(BreakerState::Closed, |one| one.gate.view(moment.instant).state),
                upstream.is_some_and(|one| one.config.takes_payments()),
            )
        };
        let before = DrillBefore {
            incident: live.map(|one| one.id.clone()),
            breaker,
            payments: if pays { start.payments } else { PaymentsAtRisk::No },
            company: if snapshot.fleet.is_some() { Company::Fleet } else { Company::Alone },
        };
        let drill = self.drills.begin(&start.order, &before, (moment.instant, self.now()))?;
        let order = &drill.order;
        let target =
            format!("{} {} {} for {}", order.upstream, order.fault.label(), order.share, order.lasts.write());
        let (actor, reason) = (start.actor, order.reason.clone());
        let record = AuditRecord { actor, action: BEGUN, target, reason };
        let (audit_id, stored) = self.records.audit(&record).await;
        Ok(DrillReply { drill, record, audit_id, stored })
    }

    /// Ends the injection that goes on. It hits nothing any more when this returns.
    pub async fn end_drill(&self, order: DrillEndOrder) -> Result<DrillReply, DrillRefused> {
        let DrillEndOrder { actor, reason } = order;
        let drill = self.drills.stop(actor.label(), self.now()).ok_or(DrillRefused::NotRunning)?;
        let target = drill.order.upstream.to_string();
        let record = AuditRecord { actor, action: "drill.end", target, reason };
        let (audit_id, stored) = self.records.audit(&record).await;
        Ok(DrillReply { drill, record, audit_id, stored })
    }
}

impl Control {
    /// One look at the drill, after that of the engine.
    pub(super) fn look_at_drill(&self, readings: &Readings, moment: Moment, now: At) {
        let scene = |drill: &Drill| self.scene(drill, readings, moment);
        let Some((DrillMoved::Over, drill)) = self.drills.look(scene, now) else { return };
        let actor = OrderedBy::said(Some(drill.order.actor.clone()));
        let record = AuditRecord {
            actor,
            action: "drill.over",
            target: drill.order.upstream.to_string(),
            reason: drill.ended().map(|(_, end)| end.describe()).unwrap_or_default(),
        };
        let seconds = |span: Option<std::time::Duration>| span.map(|span| span.as_secs_f64());
        let figures = json!({
            "drill": &*drill.id,
            "hit": drill.counts.hit,
            "detection_seconds": seconds(drill.to_detect()),
            "recovery_seconds": seconds(drill.to_recover()),
        });
        self.records.note(&record, figures);
    }

    fn scene(&self, drill: &Drill, readings: &Readings, moment: Moment) -> DrillScene {
        let own = |one: &&Incident| one.drill.as_ref().is_some_and(|mark| mark.id == drill.id);
        let known = |one: &&Incident| own(one) || drill.incidents.iter().any(|seen| seen.id == one.id);
        let mut live =
            self.engine.incidents().filter(|one| one.state.is_live() && one.state != State::Suspected);
        let world = self.drills.registry.snapshot();
        let breaker = found(&world, &drill.order.upstream)
            .map_or(BreakerState::Closed, |upstream| upstream.gate.view(moment.instant).state);
        DrillScene {
            counts: drill.counts,
            incidents: self.engine.incidents().filter(known).map(seen).collect(),
            other: live.find(|one| !one.is_drill()).map(|one| one.id.clone()),
            service: readings.routes.iter().fold(Counts::default(), |sum, route| sum.plus(route.counts.m1)),
            breaker,
            standing: Standing::Stands,
        }
    }
}

fn seen(incident: &Incident) -> DrillIncident {
    let called = incident.timeline.iter().filter(|entry| entry.kind == EntryKind::Page);
    DrillIncident {
        id: incident.id.clone(),
        state: incident.state,
        suspected: incident.clocks.suspected,
        opened: incident.clocks.opened,
        recovered: incident.clocks.recovered,
        called: called.map(|entry| entry.text.clone()).collect(),
    }
}
