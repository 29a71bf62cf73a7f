//! What a run sees of its target: read from the incident engine, at one look.

use std::sync::Arc;

use crate::names::IncidentId;
use crate::reliability::engine::Engine;
use crate::reliability::incident::{Ending, Incident, State};
use crate::reliability::rule::Rule;

/// How the matter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// The condition holds.
    Ill,
    /// It does not; whether for good is seen later.
    Well,
    /// Nobody sees it.
    Unknown,
    /// Its incident is over by itself.
    Gone,
    /// A person has closed its incident.
    Closed,
}

/// What is seen at one look.
pub(super) struct Sight {
    pub(super) condition: Condition,
    /// Nothing about the target itself holds, whatever the rest of its incident says: what others have suffered in the
    /// minutes before goes on being counted, and no exchange ends that while none is let through.
    pub(super) eased: bool,
    /// Of the incident; `None`: there is none at hand.
    pub(super) state: Option<State>,
    /// Another service whose failure explains this one.
    pub(super) elsewhere: Option<Arc<str>>,
}

impl Sight {
    /// Of the incident, or of what is the matter with the target where none is named.
    pub(super) fn of(engine: &Engine, target: &Arc<str>, incident: Option<&IncidentId>) -> Self {
        let found = match incident {
            Some(id) => engine.incident(id),
            None => engine.incidents().find(|one| one.state.is_live() && one.key.service == *target),
        };
        let elsewhere = engine.incidents().find(|one| explains(engine, one, target));
        Self {
            condition: condition(engine, found, incident, target),
            eased: incident.is_some() && !is_ill(engine, target),
            state: found.map(|one| one.state),
            elsewhere: elsewhere.map(|one| Arc::clone(&one.key.service)),
        }
    }
}

fn condition(
    engine: &Engine,
    found: Option<&Incident>,
    named: Option<&IncidentId>,
    target: &Arc<str>,
) -> Condition {
    match (found, named) {
        (None, Some(_)) if is_ill(engine, target) => Condition::Ill,
        (None, Some(_)) => Condition::Gone,
        // Nothing is the matter with the target.
        (None, None) => Condition::Well,
        (Some(incident), _) if !incident.state.is_live() => match incident.ending {
            Some(Ending::ByHand | Ending::Forced) => Condition::Closed,
            // Another incident has taken the matter over.
            Some(Ending::PartOf(_)) if is_ill(engine, target) => Condition::Ill,
            Some(
                Ending::Recovered
                | Ending::NeverConfirmed
                | Ending::PartOf(_)
                | Ending::Unobserved
                | Ending::Unknown,
            )
            | None => Condition::Gone,
        },
        (Some(incident), _) if incident.unseen_since.is_some() => Condition::Unknown,
        // What a person has opened only a person sees.
        (Some(incident), _) if incident.key.rule == Rule::Manual => Condition::Unknown,
        (Some(incident), _) if engine.goes_on(&incident.id) || is_ill(engine, target) => Condition::Ill,
        (Some(_), _) => Condition::Well,
    }
}

/// Does any alert about the target hold, whichever incident it is part of?
fn is_ill(engine: &Engine, target: &Arc<str>) -> bool {
    engine.alerts().any(|(key, alert, _)| key.service == *target && alert.goes_on())
}

/// Is it another service that answers nobody now?
fn explains(engine: &Engine, incident: &Incident, target: &Arc<str>) -> bool {
    let away = matches!(
        incident.key.rule,
        Rule::NetworkDown | Rule::ServiceDown | Rule::Breaker | Rule::PaymentFailure
    );
    away && incident.state.is_live() && incident.key.service != *target && engine.holds(&incident.id)
}
