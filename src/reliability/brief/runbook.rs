//! What the checks of runbooks have found, from the incident's own timeline.

use super::words::line;
use crate::reliability::incident::{EntryKind, Incident};

/// Checks that are told; the timeline has all.
const CHECKS: usize = 12;

/// One sentence a check, each as it was found last; before them the runbook that they are of.
pub(super) fn sentences(incident: &Incident) -> Vec<String> {
    let mut found: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for entry in incident.timeline.iter().filter(|entry| entry.kind == EntryKind::Runbook) {
        let place = found.iter().position(|(runbook, _)| *runbook == entry.text).unwrap_or(found.len());
        if place == found.len() {
            found.push((&entry.text, Vec::new()));
        }
        let Some((_, checks)) = found.get_mut(place) else { continue };
        for (name, value) in &entry.evidence {
            match checks.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => checks.push((name, value)),
            }
        }
    }
    let mut told = Vec::new();
    let mut left = CHECKS;
    for (runbook, checks) in found {
        let shown = checks.iter().take(left);
        left -= shown.len();
        let more = checks.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(", and {more} more on the timeline") } else { String::new() };
        told.push(format!("Runbook {}{more}; its steps: `strop runbook show {0}`.", line(runbook)));
        told.extend(shown.map(|(name, value)| format!("{}: {}.", line(name), line(value))));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::IncidentId;
    use crate::reliability::incident::{Actor, Beginning};
    use crate::reliability::rule::{AlertKey, Rule, Severity};
    use crate::units::At;

    fn incident() -> Incident {
        let beginning = Beginning {
            id: IncidentId::of(1, 1),
            key: AlertKey::of(Rule::ServiceDown, "database", ""),
            title: String::new(),
            severity: Severity::Critical,
            began: At(1),
            earlier: None,
        };
        Incident::suspected(beginning, At(1))
    }

    #[test]
    fn a_check_that_was_answered_later_is_told_once_as_it_was_answered() {
        let mut incident = incident();
        let mut tell = |found: &[(&str, &str)]| {
            let found = found.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            incident.tell(At(2), Actor::Engine, EntryKind::Runbook, "database_down".to_owned(), found);
        };
        tell(&[("Connects", "no answer yet: it is asked now"), ("Breaker", "bad: open")]);
        tell(&[("Connects", "bad: refused\nby it")]);
        let wanted = [
            "Runbook database_down; its steps: `strop runbook show database_down`.",
            "Connects: bad: refused by it.",
            "Breaker: bad: open.",
        ];
        assert_eq!(sentences(&incident), wanted);
    }

    #[test]
    fn an_incident_without_a_runbook_says_nothing_of_one() {
        assert!(sentences(&incident()).is_empty());
    }
}
