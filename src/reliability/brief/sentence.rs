//! How it is, in one sentence: what stands at the top of a page and of a terminal.

use std::cmp::Reverse;

use super::scene::Scene;
use super::words::{capital, line, minute};
use super::{lead, state};
use crate::reliability::health::{Health, Status};
use crate::reliability::incident::{Incident, State};
use crate::reliability::rule::Severity;
use crate::units::At;

/// How bad an incident is beside others: the worst is the least. A drill comes after all that are real, suspicions after what
/// is confirmed, and of equals the older one first.
pub fn rank(incident: &Incident) -> (bool, bool, Reverse<Severity>, At) {
    let suspected = incident.state == State::Suspected;
    (incident.is_drill(), suspected, Reverse(incident.severity), incident.clocks.began)
}

/// The state in one sentence, and since when; `None`: nothing has changed that has a moment.
///
/// Of several incidents the worst is told, by [`rank`], and how many others there are.
pub fn sentence(incidents: &[&Incident], health: &Health, now: At) -> (String, Option<At>) {
    let live: Vec<&Incident> = incidents.iter().copied().filter(|one| one.state.is_live()).collect();
    let Some(worst) = live.iter().min_by_key(|one| rank(one)) else { return (calm(health), None) };
    let scene = Scene { at: now, ..Scene::default() };
    let what = capital(&lead::title(worst, &scene));
    let drill = if worst.is_drill() { "Drill: " } else { "" };
    let since = minute(worst.clocks.began, now);
    let others = match live.len() - 1 {
        0 => String::new(),
        1 => " One more incident is not over.".to_owned(),
        more => format!(" {more} more incidents are not over."),
    };
    (format!("{drill}{what} since {since}; {}.{others}", stands(worst, now)), Some(worst.clocks.began))
}

/// Who has it, and how far it is.
fn stands(incident: &Incident, now: At) -> String {
    let by = incident.assignee.as_deref().or(incident.acknowledged_by.as_deref()).map(line);
    let has = by.map_or_else(|| "nobody has taken it".to_owned(), |by| format!("{by} has it"));
    match incident.state {
        State::Suspected => "it is not confirmed yet".to_owned(),
        State::Monitoring => {
            let good = incident.clocks.recovered.unwrap_or(now);
            format!("good again since {}, still watched", minute(good, now))
        }
        State::Open
        | State::Acknowledged
        | State::Mitigating
        | State::Resolved
        | State::Reviewed
        | State::Cleared => match state::unseen(incident) {
            Some(_) => format!("whether it still holds is not known; {has}"),
            None => has,
        },
    }
}

/// No incident lives.
fn calm(health: &Health) -> String {
    let reason = line(&health.reason);
    match health.status {
        Status::Healthy => "All is well: no incident is open.".to_owned(),
        Status::Unknown => format!("Not known yet: {reason}."),
        Status::Recovering | Status::Degraded | Status::Unhealthy => {
            format!("No incident is open, and it is {}: {reason}.", health.status.label())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::IncidentId;
    use crate::reliability::incident::{Actor, Beginning, DrillMark};
    use crate::reliability::rule::{AlertKey, Rule};

    /// 2026-11-29 14:02 UTC.
    const BEGAN: i64 = 1_795_960_920_000;

    fn health(status: Status, reason: &str) -> Health {
        Health { status, reason: reason.to_owned() }
    }

    fn open(number: u64, service: &str, severity: Severity, began: i64) -> Incident {
        let beginning = Beginning {
            id: IncidentId::of(0, number),
            key: AlertKey::of(Rule::ServiceDown, service, ""),
            title: format!("the breaker of {service} is open"),
            severity,
            began: At(BEGAN + began),
            earlier: None,
        };
        let mut incident = Incident::suspected(beginning, At(BEGAN + began));
        incident.open(Actor::Engine, "confirmed".to_owned(), At(BEGAN + began)).expect("opens");
        incident
    }

    fn told(all: &[&Incident]) -> String {
        sentence(all, &health(Status::Degraded, "high open"), At(BEGAN + 600_000)).0
    }

    #[test]
    fn the_worst_is_told_since_when_and_who_has_it() {
        let mut stripe = open(1, "stripe", Severity::High, 0);
        let twilio = open(2, "twilio", Severity::Medium, -60_000);
        let sendgrid = open(3, "sendgrid", Severity::High, 5_000);
        let first = "The breaker of stripe is open since 14:02 UTC; nobody has taken it.";
        assert_eq!(told(&[&stripe]), first);
        assert_eq!(told(&[&twilio, &stripe]), format!("{first} One more incident is not over."));
        let three = format!("{first} 2 more incidents are not over.");
        assert_eq!(told(&[&twilio, &sendgrid, &stripe]), three);
        stripe.acknowledge("ada", At(BEGAN + 1_000)).expect("takes").expect("moves");
        assert_eq!(told(&[&stripe]), "The breaker of stripe is open since 14:02 UTC; ada has it.");
        stripe.monitor(At(BEGAN + 60_000), At(BEGAN + 61_000)).expect("monitors");
        let well =
            "The breaker of stripe was open since 14:02 UTC; good again since 14:03 UTC, still watched.";
        assert_eq!(told(&[&stripe]), well);
    }

    #[test]
    fn a_drill_comes_after_all_that_is_real_and_says_what_it_is() {
        let mut drilled = open(1, "stripe", Severity::Critical, 0);
        drilled.drill = Some(DrillMark { id: "drl_1".into(), calls: Default::default() });
        let real = open(2, "twilio", Severity::Low, 0);
        assert!(
            told(&[&drilled]).starts_with("Drill: The breaker of stripe is open"),
            "{}",
            told(&[&drilled])
        );
        assert!(told(&[&drilled, &real]).starts_with("The breaker of twilio is open"));
    }

    #[test]
    fn without_an_incident_it_is_told_how_it_is_and_what_is_not_known_is_not_well() {
        let calm = |status, reason| sentence(&[], &health(status, reason), At(BEGAN)).0;
        assert_eq!(calm(Status::Healthy, "all answer"), "All is well: no incident is open.");
        assert_eq!(calm(Status::Unknown, "nobody has called"), "Not known yet: nobody has called.");
        let partly = "No incident is open, and it is degraded: the store is away.";
        assert_eq!(calm(Status::Degraded, "the store is away"), partly);
    }

    #[test]
    fn what_titles_hold_stays_on_one_line() {
        let mut one = open(1, "stripe", Severity::High, 0);
        one.title = format!("a\u{202e}b\n{}", "x".repeat(10_000));
        let told = told(&[&one]);
        assert!(!told.contains('\n') && !told.contains('\u{202e}') && told.chars().count() < 400, "{told}");
    }
}
