//! What was done, what comes by itself, where to look, how to take an incident.

use super::evidence;
use super::scene::{BreakerScene, Door, EndpointIs, EndpointScene, Scene, SceneSubject, UpstreamScene};
use super::words::{line, list, moment, percent, person, span};
use crate::reliability::breaker::BreakerState;
use crate::reliability::escalation::{Ahead, Call};
use crate::reliability::incident::{EntryKind, Incident, State};
use crate::reliability::rule::{Rule, RuleHint};

/// Actions that are told.
const ACTIONS: usize = 3;
/// Dependencies that are told one by one.
const MEMBERS: usize = 4;

/// What Strop, and people through it, have done.
pub(super) fn done(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Vec<String> {
    let mut told = Vec::new();
    for upstream in about.upstreams.iter().take(MEMBERS) {
        if let Some(breaker) = &upstream.breaker {
            told.extend(of_breaker(&upstream.name, breaker, scene));
        }
        let out = upstream.endpoints.iter().filter(|one| one.state == EndpointIs::Ejected);
        let out: Vec<&str> = out.map(|one| one.address.as_str()).collect();
        if !out.is_empty() {
            told.push(format!("Strop sends no requests to {} for a while.", list(&out)));
        }
    }
    if told.is_empty() && incident.state.is_live() && incident.state != State::Monitoring && about.carries {
        told.push("Strop has changed nothing: requests go on as before.".to_owned());
    }
    told.extend(calls(incident.escalation.calls()));
    if incident.state == State::Open
        && incident.escalation.calls().iter().any(|call| call.delivered == Some(true))
    {
        told.push("Whether anybody has read it is not known until it is taken.".to_owned());
    }
    let taken = incident.acknowledged_by.as_deref().zip(incident.clocks.acknowledged);
    told.extend(taken.map(|(by, at)| format!("{} took it at {}.", line(by), moment(at, scene.at))));
    let actions =
        incident.timeline.iter().rev().filter(|entry| entry.kind == EntryKind::Action).take(ACTIONS);
    let actions = actions.map(|entry| {
        format!("{} ({}, {}).", line(&entry.text), line(entry.actor.label()), moment(entry.at, scene.at))
    });
    told.extend(actions.collect::<Vec<_>>().into_iter().rev());
    told
}

fn of_breaker(name: &str, breaker: &BreakerScene, scene: &Scene) -> Option<String> {
    let since = breaker.since.map(|since| moment(since, scene.at));
    let held = since.as_ref().map_or_else(String::new, |since| format!(", since {since}"));
    // Each test that fails opens it anew.
    let as_of = since
        .as_ref()
        .map_or_else(String::new, |since| format!("; it opened, or a test of it failed, at {since}"));
    let strop = since.map_or_else(|| "Strop".to_owned(), |since| format!("Since {since} Strop"));
    Some(match (breaker.state, breaker.held, breaker.shadow) {
        (BreakerState::Open, true, _) => {
            format!("An operator holds the breaker of {name} open{held}: all requests to it are refused.")
        }
        (BreakerState::Closed, true, _) => {
            format!(
                "An operator holds the breaker of {name} closed{held}: it refuses nothing, whatever fails."
            )
        }
        (BreakerState::Open, false, false) => {
            format!(
                "Strop refuses requests to {name} at once, so that they do not wait (breaker open{as_of})."
            )
        }
        (BreakerState::HalfOpen, _, false) => {
            format!(
                "{strop} has let single requests through to {name} and refused the others (breaker half-open)."
            )
        }
        (BreakerState::Open | BreakerState::HalfOpen, _, true) => {
            format!("Strop refuses nothing: the breaker of {name} only counts (shadow); it would be open.")
        }
        (BreakerState::Closed, false, _) => return None,
    })
}

/// Who was called, and each way once with what came of it at last.
fn calls(calls: &[Call]) -> Option<String> {
    let mut told: Vec<(String, Vec<(String, &str)>)> = Vec::new();
    for call in calls {
        let came = match call.delivered {
            Some(true) => "delivered",
            Some(false) => "not delivered",
            None => "on its way",
        };
        let whom: Vec<String> = call.contacts().map(person).collect();
        let (whom, way) = (list(&whom), line(&call.channel));
        match told.iter_mut().find(|(known, _)| *known == whom) {
            Some((_, ways)) => {
                ways.retain(|(known, _)| *known != way);
                ways.push((way, came));
            }
            None => told.push((whom, vec![(way, came)])),
        }
    }
    let way = |(way, came): &(String, &str)| format!("{way} ({came})");
    let told: Vec<String> = told
        .iter()
        .map(|(whom, ways)| format!("{whom} through {}", list(&ways.iter().map(way).collect::<Vec<_>>())))
        .collect();
    let times = calls.iter().map(|call| call.round + 1).max().unwrap_or(0);
    let times = if times > 1 { format!(", {times} times so far") } else { String::new() };
    (!told.is_empty()).then(|| format!("Strop has called {}{times}.", told.join("; ")))
}

/// What happens if nobody does anything.
pub(super) fn next(
    incident: &Incident,
    scene: &Scene,
    about: &SceneSubject<'_>,
    ahead: Option<&Ahead>,
) -> Vec<String> {
    let probes = about.upstreams.iter().filter(|_| incident.state.is_live()).take(MEMBERS);
    let probes = probes.filter_map(|one| {
        let wait = one.breaker.filter(|breaker| !breaker.held && !breaker.shadow)?.probes_in?;
        let at = moment(scene.at + wait, scene.at);
        Some(format!("From {at} on Strop lets single requests through to {}, as a test.", one.name))
    });
    let mut told: Vec<String> = probes.collect();
    match incident.state {
        State::Suspected => told.push("Nobody is called unless it is confirmed.".to_owned()),
        State::Open if super::state::unseen(incident).is_some() => {
            told.push("Calls are not repeated until it is seen again, well or not.".to_owned());
            told.extend(ahead.filter(|ahead| !ahead.again).map(|ahead| next_call(Some(ahead), scene)));
        }
        State::Open => told.push(next_call(ahead, scene)),
        State::Acknowledged | State::Mitigating => told.push("No more calls are made.".to_owned()),
        State::Monitoring => {
            told.push("If it becomes bad again it goes on, and whoever is due is called.".to_owned());
        }
        State::Resolved => {
            told.push("Nothing more is asked of you: nobody is called about it any more.".to_owned());
        }
        State::Cleared if incident.part_of().is_some() => {
            told.push(
                "Calls are made about the incident that goes on, and it says who has taken it.".to_owned(),
            );
        }
        State::Reviewed | State::Cleared => told.push("Nobody is called about it.".to_owned()),
    }
    told.extend(incident.state.is_live().then(|| ends(incident, scene)));
    told
}

/// What ends it.
fn ends(incident: &Incident, scene: &Scene) -> String {
    if incident.key.rule == Rule::Manual {
        return "It was opened by hand and ends by hand.".to_owned();
    }
    let good = scene.clear_after.map_or_else(|| "long enough".to_owned(), span);
    format!("The incident ends by itself once all has been well for {good}.")
}

fn next_call(next: Option<&Ahead>, scene: &Scene) -> String {
    let Some(Ahead { at, contacts, again, repeats }) = next else {
        return "Nobody else is called by itself.".to_owned();
    };
    let when = if *at > scene.at { format!("at {}", moment(*at, scene.at)) } else { "now".to_owned() };
    let (who, verb) = (super::state::contacts(contacts), if contacts.len() == 1 { "is" } else { "are" });
    if !again {
        return format!("If nobody takes it, {who} {verb} called {when}.");
    }
    let often = match repeats {
        Some((every, most @ 2..)) => format!(", then every {}, {most} times more at most", span(*every)),
        Some(_) | None => ", for the last time".to_owned(),
    };
    format!("If nobody takes it, {who} {verb} called again {when}{often}; only they are called.")
}

/// Where the next fact is.
pub(super) fn look(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Vec<String> {
    let service = line(&incident.key.service);
    let mut told: Vec<String> = ["what_to_do", "to_do", "do"]
        .iter()
        .filter_map(|name| evidence::latest(incident, name))
        .map(|text| percent(&line(text)))
        .collect();
    if incident.state.is_live() && incident.state != State::Monitoring {
        told.extend(hint(incident, scene, about));
        if incident.key.rule == Rule::Latency {
            told.push(answer("All routes, to compare with a time before", "performance", scene));
        }
        for upstream in about.upstreams.iter().take(MEMBERS) {
            let page = upstream.vendor.as_ref().map(|vendor| &vendor.status_page);
            told.extend(page.map(|page| format!("Does {} know of it? {page}", upstream.name)));
            told.extend(reach(upstream, scene));
            let path = format!("upstreams/{}", upstream.name);
            told.push(answer(&format!("{} as Strop sees it", upstream.name), &path, scene));
        }
    }
    if let Some(other) = incident.part_of() {
        told.push(answer("The incident that goes on", &format!("incidents/{other}"), scene));
    }
    told.push(answer("Timeline and evidence", &format!("incidents/{}", incident.id), scene));
    if matches!(incident.state, State::Resolved) {
        told.push(answer(
            "If you want to write a review",
            &format!("incidents/{}/review", incident.id),
            scene,
        ));
    }
    if incident.is_drill() {
        told.insert(0, format!("This is a drill about {service}: take it, to see that it works."));
    }
    told
}

/// An answer of the API: an address where a browser can open it, else what fetches it and where.
fn answer(what: &str, path: &str, scene: &Scene) -> String {
    let door = &scene.door;
    let url = format!("{}/api/v2/sre/{path}", door.base);
    let place = if door.public { String::new() } else { format!(", from a shell {}", beside(scene)) };
    if door.public && door.token_file.is_none() {
        format!("{what} (JSON): {url}")
    } else {
        format!("{what} (JSON{place}): `curl{} {url}`", bearer(door))
    }
}

/// How to ask the address that fails, or the first one, by hand.
fn reach(upstream: &UpstreamScene, scene: &Scene) -> Option<String> {
    let (url, is_bad) = (upstream.url.as_ref()?, |one: &&EndpointScene| {
        matches!(one.state, EndpointIs::Unhealthy | EndpointIs::Ejected)
    });
    let (bad, good): (Vec<_>, Vec<_>) = upstream.endpoints.iter().partition(is_bad);
    let to = bad.first().or(good.first())?;
    let some = match (bad.as_slice(), good.as_slice()) {
        ([one], [_, ..]) => format!("{} fails and the other addresses do not. ", one.address),
        _ => String::new(),
    };
    // A URL of that very address needs no other one.
    let through =
        if url.contains(&to.address) { String::new() } else { format!(" --connect-to ::{}", to.address) };
    Some(format!("{some}Does it answer? From a shell {}: `curl -v{through} {url}`", beside(scene)))
}

/// Where an address of the pod can be reached.
fn beside(scene: &Scene) -> String {
    format!("in the pod or on the machine of {}", line(&scene.member))
}

/// The header that a guarded API asks for, as a shell needs it.
fn bearer(door: &Door) -> String {
    match &door.token_file {
        None => String::new(),
        Some(_) if door.public => " -H \"Authorization: Bearer $STROP_TOKEN\"".to_owned(),
        Some(file) => format!(" -H \"Authorization: Bearer $(cat {})\"", quoted(file)),
    }
}

/// What is usually behind it.
fn hint(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Option<String> {
    let own = |name: &str| scene.backend.as_deref() == Some(name);
    let application = about.upstreams.iter().any(|upstream| own(&upstream.name));
    Some(match incident.key.rule.facts().hint {
        RuleHint::ApplicationOrWay if application => {
            "Does the application run? Look at its log, its restarts and the last deploy.".to_owned()
        }
        RuleHint::ApplicationOrWay | RuleHint::Way => {
            let names: Vec<&str> = about.upstreams.iter().map(|one| one.name.as_str()).collect();
            let names = if names.is_empty() { line(&incident.key.service) } else { list(&names) };
            let from = if scene.member.is_empty() { "this pod".to_owned() } else { line(&scene.member) };
            format!("Is {names} reachable from {from} (name, route, certificate, credentials)?")
        }
        RuleHint::Machine => {
            let member = line(&scene.member);
            format!(
                "What uses it? In Kubernetes: `kubectl top pod {member} --containers`, and `kubectl describe pod \
                 {member}` for its limits."
            )
        }
        RuleHint::Says(text) => text.to_owned(),
        RuleHint::Nothing => return None,
    })
}

/// Sentences and the line for a shell; `None`: there is nothing to take.
pub(super) fn acknowledge(incident: &Incident, scene: &Scene) -> Option<(Vec<String>, String)> {
    if !matches!(incident.state, State::Open | State::Mitigating | State::Suspected) {
        return None;
    }
    let door = &scene.door;
    let place = if door.public { String::new() } else { format!(" {}", beside(scene)) };
    let token = match &door.token_file {
        Some(file) if door.public => {
            format!(", and in STROP_TOKEN the token that {} of {} holds", line(file), line(&scene.member))
        }
        Some(_) | None => String::new(),
    };
    let lines = vec![
        "Taking it stops all further calls, to you and to everybody.".to_owned(),
        format!("From a shell{place}, with your name in it{token}:"),
    ];
    let command = format!(
        "curl -X POST {}/api/v2/sre/incidents/{}/ack{} -d '{{\"actor\": \"YOUR NAME\"}}'",
        door.base,
        incident.id,
        bearer(door)
    );
    Some((lines, command))
}

/// For a shell, within double quotes and `$(…)`.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:=".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
