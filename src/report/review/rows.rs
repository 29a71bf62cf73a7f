//! The rows of a review: clocks, signals, calls, deeds, changes, the timeline.

use std::time::Duration;

use serde::Serialize;

use super::around::AuditedChange;
use crate::reliability::incident::{Entry, EntryKind, Incident, Signal};
use crate::runtime::zone::Zone;
use crate::units::At;

/// A clock of the incident.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Took {
    /// detection, confirmation, response, mitigation or resolution.
    pub clock: &'static str,
    /// From what to what.
    pub definition: &'static str,
    /// Null: that did not happen.
    pub seconds: Option<f64>,
}

/// A signal that contributed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lead {
    /// The rule that spoke.
    pub rule: &'static str,
    /// The service that the signal is about.
    pub service: String,
    /// Which part of it; often empty.
    pub scope: String,
    /// When it went bad.
    pub first_bad: String,
    /// When it was over; null: it is not.
    pub over: Option<String>,
    /// How long before the incident was confirmed; below 0: after it. Null: it was never confirmed.
    pub lead_seconds: Option<f64>,
}

/// A call to somebody, and whether it arrived.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Called {
    /// The number of the call.
    pub number: u32,
    /// Whom; several with commas between them.
    pub contact: String,
    pub channel: String,
    /// Whether a channel has delivered it; null: not known.
    pub arrived: Option<bool>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ActionRow {
    /// When, in the report's zone.
    pub at: String,
    pub actor: String,
    /// What was done, in a sentence.
    pub what: String,
    /// It was looked whether it helped, and it did, or did not; null: nobody looked.
    pub verified: Option<bool>,
}

/// A change of the config, as it is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChangeRow {
    /// When, in the report's zone.
    pub at: String,
    /// How long before the first bad event; below 0: after it.
    pub before_seconds: f64,
    pub actor: String,
    /// The word of the audit log, such as "config.applied".
    pub action: String,
    /// The id or name of what was changed.
    pub target: String,
    /// As the audit log holds it.
    pub detail: String,
}

/// A line of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelineRow {
    /// When, in the report's zone.
    pub at: String,
    /// Since the first bad event.
    pub seconds: f64,
    pub actor: String,
    /// What kind of thing.
    pub kind: EntryKind,
    /// The line as people read it.
    pub text: String,
    /// Names and values as they were.
    pub evidence: Vec<(String, String)>,
}

/// What is to be done so that it does not come again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    pub what: String,
    /// Who is to do it.
    pub owner: String,
    /// By which day, as `2026-10-25`.
    pub due: String,
}

/// The causes, as people found them; empty: not filled in yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Factors {
    /// What failed, technically.
    pub technical: String,
    /// Which process let it.
    pub process: String,
    /// What people knew and assumed.
    pub human: String,
}

/// From `from` to `to`; below 0 when `to` is earlier.
fn seconds(from: At, to: At) -> f64 {
    (to.0 - from.0) as f64 / 1_000.0
}

pub(super) fn clocks(one: &Incident) -> Vec<Took> {
    let clocks = &one.clocks;
    let told = |clock, definition, span: Option<Duration>| Took {
        clock,
        definition,
        seconds: span.map(|span| span.as_secs_f64()),
    };
    let mitigated = clocks.mitigating.zip(clocks.opened).map(|(done, opened)| done.since(opened));
    vec![
        told("detection", "first bad event to suspected", Some(clocks.to_suspect())),
        told("confirmation", "first bad event to confirmed", clocks.to_confirm()),
        told("response", "confirmed to taken by a person", clocks.to_acknowledge()),
        told("mitigation", "confirmed to the first thing that was done about it", mitigated),
        told("resolution", "first bad event to the end of the condition", clocks.to_recover()),
    ]
}

pub(super) fn leads(one: &Incident, zone: &Zone) -> Vec<Lead> {
    let mut signals: Vec<&Signal> = one.signals.iter().collect();
    signals.sort_by(|a, b| (a.first_bad, &a.key).cmp(&(b.first_bad, &b.key)));
    let lead = |signal: &&Signal| Lead {
        rule: signal.key.rule.label(),
        service: signal.key.service.to_string(),
        scope: signal.key.scope.to_string(),
        first_bad: zone.rfc3339(signal.first_bad),
        over: signal.over.map(|at| zone.rfc3339(at)),
        lead_seconds: one.clocks.opened.map(|opened| seconds(signal.first_bad, opened)),
    };
    signals.iter().map(lead).collect()
}

pub(super) fn calls(one: &Incident) -> Vec<Called> {
    let called = |call: &crate::reliability::escalation::Call| Called {
        number: call.number,
        contact: call.whom(),
        channel: call.channel.clone(),
        arrived: call.delivered,
    };
    one.escalation.calls().iter().map(called).collect()
}

/// What was done, the step that first moved it to mitigating included.
pub(super) fn actions(one: &Incident, zone: &Zone) -> Vec<ActionRow> {
    let acted = |entry: &&Entry| {
        let first = entry.kind == EntryKind::State && Some(entry.at) == one.clocks.mitigating;
        // The same deed with its evidence follows as an entry of its own.
        let told_again =
            || one.timeline.iter().any(|other| other.kind == EntryKind::Action && other.at == entry.at);
        entry.kind == EntryKind::Action || (first && !told_again())
    };
    let verified = |entry: &Entry| {
        let said = entry.evidence.iter().find(|(name, _)| name == "verified")?;
        match said.1.as_str() {
            "yes" | "true" => Some(true),
            "no" | "false" => Some(false),
            _ => None,
        }
    };
    let done = |entry: &Entry| ActionRow {
        at: zone.rfc3339(entry.at),
        actor: entry.actor.label().to_owned(),
        what: entry.text.clone(),
        verified: verified(entry),
    };
    one.timeline.iter().filter(acted).map(done).collect()
}

pub(super) fn changes(changes: &[AuditedChange], one: &Incident, zone: &Zone) -> Vec<ChangeRow> {
    let changed = |change: &AuditedChange| ChangeRow {
        at: zone.rfc3339(change.at),
        before_seconds: seconds(change.at, one.clocks.began),
        actor: change.actor.clone(),
        action: change.action.clone(),
        target: change.target.clone(),
        detail: change.detail.clone(),
    };
    changes.iter().map(changed).collect()
}

pub(super) fn line(entry: &Entry, one: &Incident, zone: &Zone) -> TimelineRow {
    TimelineRow {
        at: zone.rfc3339(entry.at),
        seconds: seconds(one.clocks.began, entry.at),
        actor: entry.actor.label().to_owned(),
        kind: entry.kind,
        text: entry.text.clone(),
        evidence: entry.evidence.clone(),
    }
}
