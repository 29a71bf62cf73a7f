//! How incidents look in the API. A field is added, never changed.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::moment::when;
use crate::admin::review::ReviewView;
use crate::control::{Change, Snapshot};
use crate::reliability::incident::{Entry, Incident, Signal};

/// Somebody takes an incident.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(in crate::admin) struct AckOrder {
    /// Who; "admin-api" without it.
    pub(in crate::admin) actor: Option<String>,
    /// Why; it stands in the timeline and the audit log.
    pub(in crate::admin) reason: Option<String>,
}

/// Somebody ends an incident.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(in crate::admin) struct ResolveOrder {
    /// Who; "admin-api" without it.
    pub(in crate::admin) actor: Option<String>,
    /// Why; it stands in the timeline and the audit log.
    pub(in crate::admin) reason: Option<String>,
    /// Even while the condition holds.
    pub(in crate::admin) force: bool,
}

/// Something for the timeline.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(in crate::admin) struct NoteOrder {
    /// Who; "admin-api" without it.
    pub(in crate::admin) actor: Option<String>,
    /// What to write down; required.
    pub(in crate::admin) text: Option<String>,
}

/// Somebody is put in charge.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(in crate::admin) struct AssignOrder {
    /// Who says so; "admin-api" without it.
    pub(in crate::admin) actor: Option<String>,
    /// Who is in charge; required.
    pub(in crate::admin) to: Option<String>,
}

/// How bad a person says it is.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(in crate::admin) struct RateOrder {
    /// Who; "admin-api" without it.
    pub(in crate::admin) actor: Option<String>,
    /// critical, high, medium or low; required.
    pub(in crate::admin) severity: Option<String>,
    /// Why it is that bad; required.
    pub(in crate::admin) reason: Option<String>,
}

/// A test incident: an incident with service "test" unless another one is named.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(in crate::admin) struct TestOrder {
    /// One line for people; it heads the messages.
    pub(in crate::admin) title: Option<String>,
    /// critical, high, medium or low; low without it.
    pub(in crate::admin) severity: Option<String>,
    /// About what; "test" without it.
    pub(in crate::admin) service: Option<String>,
    /// Who; "admin-api" without it.
    pub(in crate::admin) actor: Option<String>,
}

/// One page of incidents.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct Incidents {
    /// Confirmed ones that are not over.
    pub(in crate::admin) open: usize,
    /// Incidents in this answer.
    pub(in crate::admin) count: usize,
    /// In the order of their beginning, the youngest first.
    pub(in crate::admin) incidents: Vec<IncidentView>,
    /// Send it as `cursor` for those that follow; null: there are none.
    pub(in crate::admin) next: Option<String>,
}

/// An incident that was changed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct Changed {
    /// As it is now.
    pub(in crate::admin) incident: IncidentView,
    /// The mutation's id in the audit list.
    pub(in crate::admin) audit_id: String,
    /// It is on disk. False: the store is off or away, and memory holds it.
    pub(in crate::admin) stored: bool,
}

/// One line of a timeline.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct EntryView {
    number: u64,
    at: String,
    actor: String,
    kind: String,
    text: String,
    /// Names and values as they were.
    evidence: Vec<Fact>,
}

/// One measured value, with its name.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct Fact {
    name: String,
    value: String,
}

/// An alert that is part of an incident.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct SignalView {
    rule: &'static str,
    service: String,
    scope: String,
    first_bad_at: String,
    confirmed_at: Option<String>,
    /// null: it is not over.
    over_at: Option<String>,
}

/// One incident as it is now.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct IncidentView {
    id: String,
    /// suspected, open, acknowledged, mitigating, monitoring, resolved, reviewed or cleared.
    state: &'static str,
    /// critical, high, medium or low.
    severity: &'static str,
    title: String,
    /// The same for the same trouble, in every sidecar.
    dedup_key: String,
    rule: &'static str,
    service: String,
    /// The condition holds at this moment, as far as anybody sees.
    holds: bool,
    /// Nothing has been seen of it since then: whether it still holds is not known; null: something is seen.
    unseen_since: Option<String>,
    /// Nobody is called about it now.
    silenced: bool,
    /// The first bad event.
    began_at: String,
    suspected_at: String,
    confirmed_at: Option<String>,
    acknowledged_at: Option<String>,
    acknowledged_by: Option<String>,
    assignee: Option<String>,
    recovered_at: Option<String>,
    closed_at: Option<String>,
    /// How it ended; null: it has not.
    ending: Option<String>,
    /// First bad event to suspected.
    seconds_to_suspect: f64,
    /// First bad event to confirmed.
    seconds_to_confirm: Option<f64>,
    /// From opened to acknowledged; null: nobody has taken it.
    seconds_to_acknowledge: Option<f64>,
    /// First bad event to the end of the condition.
    seconds_to_recover: Option<f64>,
    /// When it is late to respond.
    respond_by: Option<String>,
    /// Nobody had taken it by then.
    response_breached: bool,
    /// Relapses that are folded into it.
    flaps: u32,
    /// The one of the same identity that was over shortly before.
    earlier: Option<String>,
    signals: Vec<SignalView>,
    /// Oldest first; in lists, the last five.
    timeline: Vec<EntryView>,
    /// Lines of its signals beyond the thousandth: they are counted, not told one by one.
    signals_untold: u64,
    /// What was learnt; null: nobody has written it down.
    review: Option<ReviewView>,
    reviewed_at: Option<String>,
    /// Rises with every change.
    version: u64,
}

/// Lines of a timeline in lists.
const LAST: usize = 5;

impl IncidentView {
    /// The view in a list: of the timeline, its end alone.
    pub(in crate::admin) fn of(incident: &Incident, snapshot: &Snapshot) -> Self {
        let now = (snapshot.holding.contains(&incident.id), snapshot.silenced.contains(&incident.id));
        Self::with(incident, now, last(&incident.timeline))
    }

    /// Its name.
    pub(in crate::admin) fn id(&self) -> String {
        self.id.clone()
    }

    /// As it was when it changed.
    pub(in crate::admin) fn changed(change: &Change) -> Self {
        Self::with(&change.incident, (change.holds, change.silenced), last(&change.incident.timeline))
    }

    /// With its whole timeline.
    pub(in crate::admin) fn whole(incident: &Incident, snapshot: &Snapshot) -> Self {
        let now = (snapshot.holding.contains(&incident.id), snapshot.silenced.contains(&incident.id));
        Self::with(incident, now, &incident.timeline)
    }

    fn with(one: &Incident, (holds, silenced): (bool, bool), timeline: &[Entry]) -> Self {
        let clocks = &one.clocks;
        let seconds = |took: Option<Duration>| took.map(|took| took.as_secs_f64());
        Self {
            id: one.id.as_str().to_owned(),
            dedup_key: one.dedup.to_string(),
            title: one.title.clone(),
            severity: one.severity.label(),
            state: one.state.label(),
            rule: one.key.rule.label(),
            service: one.key.service.to_string(),
            holds,
            unseen_since: one.unseen_since.map(when),
            silenced,
            began_at: when(clocks.began),
            suspected_at: when(clocks.suspected),
            confirmed_at: clocks.opened.map(when),
            acknowledged_at: clocks.acknowledged.map(when),
            acknowledged_by: one.acknowledged_by.clone(),
            assignee: one.assignee.clone(),
            recovered_at: clocks.recovered.map(when),
            closed_at: clocks.closed.map(when),
            ending: one.ending.as_ref().map(ending),
            seconds_to_suspect: clocks.to_suspect().as_secs_f64(),
            seconds_to_confirm: seconds(clocks.to_confirm()),
            seconds_to_acknowledge: seconds(clocks.to_acknowledge()),
            seconds_to_recover: seconds(clocks.to_recover()),
            respond_by: one.respond_by.map(when),
            response_breached: one.breached,
            flaps: one.flaps,
            earlier: one.earlier.as_ref().map(|id| id.as_str().to_owned()),
            signals: one.signals.iter().map(SignalView::of).collect(),
            timeline: timeline.iter().map(EntryView::of).collect(),
            signals_untold: one.untold,
            review: one.review.as_ref().map(ReviewView::of),
            reviewed_at: clocks.reviewed.map(when),
            version: one.version,
        }
    }
}

fn last(timeline: &[Entry]) -> &[Entry] {
    timeline.get(timeline.len().saturating_sub(LAST)..).unwrap_or_default()
}

fn ending(ending: &crate::reliability::incident::Ending) -> String {
    let value = serde_json::to_value(ending).unwrap_or_default();
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl SignalView {
    fn of(signal: &Signal) -> Self {
        Self {
            rule: signal.key.rule.label(),
            service: signal.key.service.to_string(),
            scope: signal.key.scope.to_string(),
            first_bad_at: when(signal.first_bad),
            confirmed_at: signal.confirmed.map(when),
            over_at: signal.over.map(when),
        }
    }
}

impl EntryView {
    fn of(entry: &Entry) -> Self {
        let kind = serde_json::to_value(entry.kind).ok();
        Self {
            number: entry.number,
            at: when(entry.at),
            actor: entry.actor.label().to_owned(),
            kind: kind.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default(),
            text: entry.text.clone(),
            evidence: entry.evidence.iter().cloned().map(|(name, value)| Fact { name, value }).collect(),
        }
    }
}

/// A condition that a rule finds at this moment.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct AlertView {
    rule: &'static str,
    service: String,
    scope: String,
    /// One of pending and firing.
    state: &'static str,
    first_bad_at: Option<String>,
    flaps: u32,
    incident: String,
}

/// The conditions that rules find at this moment.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct Alerts {
    pub(in crate::admin) alerts: Vec<AlertView>,
}

impl Alerts {
    pub(in crate::admin) fn of(snapshot: &Arc<Snapshot>) -> Self {
        let view = |looked: &crate::control::ActiveAlert| AlertView {
            rule: looked.key.rule.label(),
            service: looked.key.service.to_string(),
            scope: looked.key.scope.to_string(),
            state: if looked.alert.is_firing() { "firing" } else { "pending" },
            first_bad_at: looked.alert.first_bad.map(when),
            flaps: looked.alert.flaps,
            incident: looked.incident.as_str().to_owned(),
        };
        Self { alerts: snapshot.alerts.iter().map(view).collect() }
    }
}
