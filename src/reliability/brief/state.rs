//! What is said of an incident wherever it is told: its title, how far it is, how long it lasts.

use super::scene::Scene;
use super::words::{line, list, percent, person, span, took};
use crate::reliability::incident::{Incident, State};
use crate::reliability::rule::{RuleTitle, Severity};
use crate::units::At;

/// What is the matter, as people say it: machines have the name of the sidecar that measured them, percentiles are numbers of requests,
/// and a share that was so when it was found is no title.
pub(super) fn title(incident: &Incident, scene: &Scene) -> String {
    let title = percent(&line(&incident.title));
    if title.is_empty() {
        return format!("{} of {}", incident.key.rule.label(), incident.key.service);
    }
    let said = match incident.key.rule.facts().title {
        RuleTitle::OfMachine if !scene.member.is_empty() => {
            Some(format!("{title} on {}", line(&scene.member)))
        }
        RuleTitle::OfShare => failing(&title),
        RuleTitle::OfPercentile => slow(&title),
        RuleTitle::AsItIs | RuleTitle::OfMachine => None,
    };
    said.unwrap_or(title)
}

/// Of `15.00 % of search replies fail`.
fn failing(title: &str) -> Option<String> {
    let (share, route) = title.strip_suffix(" replies fail")?.split_once(" % of ")?;
    share.parse::<f64>().is_ok().then(|| format!("some requests of {route} fail"))
}

/// Of `p95 of checkout is over 3000 ms`.
fn slow(title: &str) -> Option<String> {
    let (which, rest) = title.split_once(" of ")?;
    let which = match which {
        "p50" => "half of the requests",
        "p95" => "1 in 20 requests",
        "p99" => "1 in 100 requests",
        _ => return None,
    };
    let (route, limit) = rest.split_once(" is over ")?;
    let millis = limit.strip_suffix(" ms").and_then(|limit| limit.parse().ok());
    let limit = millis.map_or_else(|| limit.to_owned(), |ms| took(std::time::Duration::from_millis(ms)));
    let verb = if which.starts_with("half") { "take" } else { "takes" };
    Some(format!("{which} of {route} {verb} longer than {limit}"))
}

/// What has become part of another incident goes on there.
pub(super) fn is_well(incident: &Incident) -> bool {
    match incident.state {
        State::Monitoring | State::Resolved | State::Reviewed => true,
        State::Cleared => incident.part_of().is_none(),
        State::Suspected | State::Open | State::Acknowledged | State::Mitigating => false,
    }
}

/// How far it is.
pub(super) fn status(incident: &Incident, now: At) -> String {
    let by = incident.acknowledged_by.as_deref().map(line);
    match incident.state {
        State::Suspected => "suspected".to_owned(),
        State::Open => "open".to_owned(),
        State::Acknowledged => by.map_or_else(|| "taken".to_owned(), |by| format!("taken by {by}")),
        State::Mitigating => "being worked on".to_owned(),
        State::Monitoring => "good again, watched".to_owned(),
        State::Resolved => format!("resolved after {}", span(lasted(incident, now))),
        State::Reviewed => "reviewed".to_owned(),
        State::Cleared => incident
            .part_of()
            .map_or_else(|| "cleared".to_owned(), |other| format!("merged into {other}, which goes on")),
    }
}

/// From the first bad event to the end of the condition, or until now.
pub(super) fn lasted(incident: &Incident, now: At) -> std::time::Duration {
    incident.clocks.to_recover().unwrap_or_else(|| now.since(incident.clocks.began))
}

/// Since when nothing has been seen of what a live one is about.
pub(super) fn unseen(incident: &Incident) -> Option<At> {
    incident.unseen_since.filter(|_| incident.state.is_live())
}

/// Contacts as people speak of them.
pub fn contacts(names: &[String]) -> String {
    list(&names.iter().map(|name| person(name)).collect::<Vec<_>>())
}

/// What a severity means.
pub(super) fn meaning(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical, the most serious of four levels",
        Severity::High => "high, the second of four levels",
        Severity::Medium => "medium, the third of four levels",
        Severity::Low => "low, the least serious of four levels: it can wait",
    }
}
