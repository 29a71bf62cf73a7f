//! The same for those who are to know and not to act: what it means, that somebody has it, what they will hear next. No
//! commands, no names of rules, no mechanics.

use super::parts::{Audience, Brief, Part, Ways, filled};
use super::scene::{Scene, SceneSubject};
use super::state::{lasted, meaning};
use super::words::{capital, in_percent, line, list, minute, moment, part, percent, person, share, span};
use crate::reliability::detect::NETWORK;
use crate::reliability::escalation::Call;
use crate::reliability::incident::{Incident, State};
use crate::reliability::rule::{Rule, RuleEffect};

/// What a known name stands for that is no vendor's.
const THINGS: [(&str, &str); 2] =
    [("database", "the application's database"), ("redis", "the application's cache")];

/// When it is said.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tense {
    Now,
    Perhaps,
    /// It was only suspected, and turned out to be nothing.
    Seemed,
    Past,
}

pub(super) fn brief(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Brief {
    let sections = [
        (Part::Evidence, means(incident, scene, about), None),
        (Part::Done, done(incident, scene), None),
        (Part::Next, next(incident), None),
    ];
    Brief {
        audience: Audience::Stakeholders,
        status: status(incident).to_owned(),
        title: effect(incident, scene, about, tense(incident)),
        headline: headline(incident, scene, about),
        lead: lead(incident, scene, about),
        facts: facts(incident, scene, about),
        sections: filled(sections.into_iter()),
        ways: Ways::default(),
        well: Some(super::state::is_well(incident)),
    }
}

fn tense(incident: &Incident) -> Tense {
    match incident.state {
        State::Suspected => Tense::Perhaps,
        State::Open | State::Acknowledged | State::Mitigating => Tense::Now,
        State::Cleared if incident.part_of().is_some() => Tense::Now,
        State::Cleared => Tense::Seemed,
        State::Monitoring | State::Resolved | State::Reviewed => Tense::Past,
    }
}

fn status(incident: &Incident) -> &'static str {
    match incident.state {
        State::Suspected => "possible",
        State::Open => "confirmed",
        State::Acknowledged | State::Mitigating => "being worked on",
        State::Monitoring => "works again, watched",
        State::Resolved | State::Reviewed => "over",
        State::Cleared if incident.part_of().is_some() => "part of another disruption",
        State::Cleared => "nothing after all",
    }
}

fn subject(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> (String, bool) {
    let service = line(&incident.key.service);
    if service == NETWORK {
        return ("several services that the application uses".to_owned(), true);
    }
    if incident.key.rule == Rule::Resource {
        return ("a machine of the application".to_owned(), false);
    }
    let dependency = scene.upstreams.iter().find(|upstream| upstream.name == service);
    if let Some(vendor) = dependency.and_then(|upstream| upstream.vendor.as_ref()) {
        return (vendor.thing.clone(), true);
    }
    if let Some((_, thing)) = THINGS.iter().find(|(name, _)| *name == service) {
        return ((*thing).to_owned(), false);
    }
    if scene.backend.as_deref() == Some(&service) || service == "default" {
        return ("the application".to_owned(), false);
    }
    if about.routes.iter().any(|route| route.name == service && route.upstream != service) {
        return (format!("the part \"{service}\" of the application"), false);
    }
    (format!("{service}, which the application uses,"), false)
}

/// What it is to those who use it.
fn effect(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>, tense: Tense) -> String {
    let (thing, many) = subject(incident, scene, about);
    let be = |many: bool| match (tense, many) {
        (Tense::Now, true) => "are",
        (Tense::Now, false) => "is",
        (Tense::Perhaps, _) => "may be",
        (Tense::Seemed, _) => "seemed to be",
        (Tense::Past, true) => "were",
        (Tense::Past, false) => "was",
    };
    let did = match (tense, many) {
        (Tense::Now, true) => "fail",
        (Tense::Now, false) => "fails",
        (Tense::Perhaps, _) => "may fail",
        (Tense::Seemed, _) => "seemed to fail",
        (Tense::Past, _) => "failed",
    };
    let service = line(&incident.key.service);
    match incident.key.rule.facts().effect {
        RuleEffect::Out => format!("{thing} {} {}", be(many), out(about, tense)),
        RuleEffect::Fails => format!("{thing} {did}"),
        RuleEffect::SomeFail => {
            let did = if did == "fails" { "fail" } else { did };
            format!("some requests to {} {did}", thing.trim_end_matches(','))
        }
        RuleEffect::Is(so) => format!("{thing} {} {so}", be(many)),
        RuleEffect::Are(things, so) => format!("{things} {} {so}", be(true)),
        RuleEffect::Short => {
            let what = match service.split(':').next().unwrap_or_default() {
                "cpu" => "processor time",
                "memory" => "memory",
                "disk" => "disk space",
                "network" => "network capacity",
                other => other,
            };
            format!("{what} {} short on a machine of the application", be(false))
        }
        RuleEffect::Title => percent(&line(&incident.title)),
    }
}

/// How much of it is gone, as far as the last minute shows. Afterwards nobody knows how much it was.
fn out(about: &SceneSubject<'_>, tense: Tense) -> &'static str {
    match (tense, about.counts()) {
        (Tense::Past, _) => "disrupted",
        (Tense::Now, (failed, total)) if failed > 0 && failed < total => {
            if failed.saturating_mul(2) >= total { "mostly unavailable" } else { "partly unavailable" }
        }
        (Tense::Now | Tense::Perhaps | Tense::Seemed, _) => "unavailable",
    }
}

/// `[critical] Payments (Stripe) are unavailable (since 02:14 UTC)`.
fn headline(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> String {
    let what = effect(incident, scene, about, tense(incident));
    let first = capital(&what);
    let severity = incident.severity.label();
    let since = minute(incident.clocks.began, scene.at);
    match incident.state {
        State::Suspected => format!("[possible, {severity}] {first} (since {since})"),
        State::Open => format!("[{severity}] {first} (since {since})"),
        State::Acknowledged | State::Mitigating => format!("[{severity}] Being worked on: {what}"),
        State::Monitoring => format!("[{severity}] Works again, still watched: {what}"),
        State::Resolved | State::Reviewed => {
            format!("[over, {severity}] {first} ({})", span(lasted(incident, scene.at)))
        }
        State::Cleared if incident.part_of().is_some() => {
            format!("[merged, {severity}] Goes on as part of another disruption: {what}")
        }
        State::Cleared => format!("[cleared, {severity}] Nothing after all: {what}"),
    }
}

fn lead(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> String {
    let (now, began) = (scene.at, incident.clocks.began);
    let what = capital(&effect(incident, scene, about, tense(incident)));
    let since = format!("(since {})", moment(began, now));
    let share = whom(incident, about).map_or_else(String::new, |whom| format!("; {whom}"));
    let severity = incident.severity.label();
    match incident.state {
        State::Suspected => format!("Possible disruption ({severity}): {what} {since}{share}."),
        State::Open => format!("Disruption ({severity}): {what} {since}{share}."),
        State::Acknowledged | State::Mitigating => {
            let by = incident.acknowledged_by.as_deref().map_or_else(|| "Somebody".to_owned(), line);
            format!("{by} has taken the disruption ({severity}): {what} {since}{share}.")
        }
        State::Monitoring => {
            let good = moment(incident.clocks.recovered.unwrap_or(now), now);
            let from = moment(began, now);
            format!("Works again since {good}, still watched ({severity}): {what}, from {from}.")
        }
        State::Resolved | State::Reviewed => {
            let end = moment(incident.clocks.recovered.or(incident.clocks.closed).unwrap_or(now), now);
            let long = span(lasted(incident, now));
            format!("Over ({severity}): {what} for {long}, from {} to {end}.", moment(began, now))
        }
        State::Cleared if incident.part_of().is_some() => {
            format!(
                "Goes on as part of another disruption, which is told from now on ({severity}): {what} {since}."
            )
        }
        State::Cleared => {
            format!("Nothing after all ({severity}): {what} {since}; that was not confirmed.")
        }
    }
}

fn whom(incident: &Incident, about: &SceneSubject<'_>) -> Option<String> {
    if super::state::unseen(incident).is_some() {
        return Some("whether it still lasts is not known".to_owned());
    }
    let (failed, total) = about.counts();
    (failed > 0 && about.carries).then(|| match share(failed, total) {
        _ if failed >= total => "all of the last minute's requests failed".to_owned(),
        share => format!("{share} of the last minute's requests failed"),
    })
}

fn means(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Vec<String> {
    if !incident.state.is_live() {
        let again = matches!(incident.state, State::Resolved | State::Reviewed);
        return again.then(|| "It works as before.".to_owned()).into_iter().collect();
    }
    let rated = format!("It is rated {}.", meaning(incident.severity));
    if let Some(since) = super::state::unseen(incident) {
        let since = moment(since, scene.at);
        return vec![
            format!("Nothing has been seen of it since {since}, so whether it still lasts is not known."),
            rated,
        ];
    }
    if let (State::Monitoring, Some(good)) = (incident.state, incident.clocks.recovered) {
        return vec![format!("It has worked again since {}.", moment(good, scene.at)), rated];
    }
    let (failed, total) = about.counts();
    let seen = match (failed, total) {
        _ if incident.drill.is_some() => "This is a drill: part of its requests fails on purpose.".to_owned(),
        _ if incident.is_drill() => "This is a drill; nobody is affected.".to_owned(),
        _ if !about.carries => "Requests of users are not known to be affected.".to_owned(),
        (_, 0) => "Nobody asked for it in the last minute, so how many are affected is not known.".to_owned(),
        (0, total) => format!("None of the last minute's {total} requests failed."),
        (failed, total) => {
            format!(
                "{} requests of the last minute failed{}.",
                capital(&part(failed, total)),
                in_percent(failed, total)
            )
        }
    };
    let impact = about.upstreams.iter().find_map(|upstream| upstream.impact.as_deref());
    let perhaps = if incident.state == State::Suspected { "If it is confirmed: " } else { "" };
    let impact =
        impact.filter(|_| !incident.is_drill()).map(|impact| format!("{perhaps}{}", sentence(impact)));
    impact.into_iter().chain([seen, rated]).collect()
}

/// With a full stop.
fn sentence(text: &str) -> String {
    let text = line(text);
    if text.ends_with(['.', '!', '?', '…']) { text } else { format!("{text}.") }
}

fn done(incident: &Incident, scene: &Scene) -> Vec<String> {
    let now = scene.at;
    let taken = incident.acknowledged_by.as_deref().zip(incident.clocks.acknowledged);
    let taken = taken.map(|(by, at)| format!("{} took it at {}.", line(by), moment(at, now)));
    let called = incident.escalation.calls().iter().flat_map(Call::contacts).map(person);
    let mut names: Vec<String> = called.collect();
    names.sort();
    names.dedup();
    let called = (!names.is_empty()).then(|| format!("Those on duty were called: {}.", list(&names)));
    let waiting = if incident.state == State::Suspected {
        Some("It is being checked; nobody has been called yet.".to_owned())
    } else {
        (incident.state == State::Open && called.is_none())
            .then(|| "Those on duty are being called.".to_owned())
    };
    [called, taken, waiting].into_iter().flatten().collect()
}

fn next(incident: &Incident) -> Vec<String> {
    let told = match incident.state {
        State::Suspected => "You will hear when it is confirmed, or when it was nothing.",
        State::Open => "You will hear when somebody has taken it, and when it is over.",
        State::Acknowledged | State::Mitigating => "You will hear when it works again.",
        State::Monitoring => "You will hear when it is over, or if it comes back.",
        State::Resolved | State::Reviewed | State::Cleared => "Nothing is expected of you.",
    };
    vec![told.to_owned()]
}

fn facts(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Vec<(String, String)> {
    let now = scene.at;
    let (thing, _) = subject(incident, scene, about);
    let live = incident.state.is_live();
    let severity = if live { meaning(incident.severity) } else { incident.severity.label() };
    let mut facts = vec![
        ("Severity", severity.to_owned()),
        ("Affected", thing.trim_end_matches(',').to_owned()),
        ("Since", moment(incident.clocks.began, now)),
        ("State", status(incident).to_owned()),
    ];
    if !live && incident.part_of().is_none() {
        let end = incident.clocks.recovered.or(incident.clocks.closed).unwrap_or(now);
        facts.push(("Until", format!("{} ({})", moment(end, now), span(lasted(incident, now)))));
    }
    if let Some(by) = incident.acknowledged_by.as_deref() {
        facts.push(("Taken by", line(by)));
    }
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
