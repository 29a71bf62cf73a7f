//! The first line of what is told to who is called, and the subject of a mail.

use super::evidence;
use super::parts::Occasion;
use super::scene::{RouteScene, Scene, SceneSubject};
use super::state::{lasted, unseen};
use super::words::{capital, in_percent, line, minute, moment, part, span};
use crate::reliability::incident::{Incident, State};
use crate::reliability::rule::{Rule, Severity};

/// Routes whose numbers stand in the first line.
const LEAD_ROUTES: usize = 2;

/// The title of something that is over. What people or other parts have written cannot be turned: it is quoted.
fn was(incident: &Incident, scene: &Scene) -> String {
    const VERBS: [(&str, &str); 6] = [
        (" is ", " was "),
        (" are ", " were "),
        (" declines ", " declined "),
        (" spends ", " spent "),
        (" takes ", " took "),
        (" take ", " took "),
    ];
    let now = super::state::title(incident, scene);
    if matches!(incident.key.rule, Rule::Manual | Rule::Reported | Rule::Unknown) {
        return format!("\"{now}\"");
    }
    if let Some(before) = now.strip_suffix(" fail") {
        return format!("{before} failed");
    }
    let verb = VERBS.iter().find(|(verb, _)| now.contains(verb));
    verb.map_or_else(|| now.clone(), |(verb, past)| now.replacen(verb, past, 1))
}

/// What is or was the matter.
pub(super) fn title(incident: &Incident, scene: &Scene) -> String {
    match incident.state {
        State::Monitoring | State::Resolved | State::Reviewed => was(incident, scene),
        State::Suspected | State::Open | State::Acknowledged | State::Mitigating | State::Cleared => {
            super::state::title(incident, scene)
        }
    }
}

/// How bad; a drill is one before all else.
fn rated(incident: &Incident) -> String {
    let drill = if incident.is_drill() { "drill, " } else { "" };
    let wait = if incident.severity == Severity::Low { ", can wait until the morning" } else { "" };
    format!("{drill}{}{wait}", incident.severity.label())
}

/// `[critical] stripe is down (since 02:14 UTC)`: what a lock screen has room for comes first.
pub(super) fn headline(incident: &Incident, scene: &Scene, again: bool) -> String {
    let service = line(&incident.key.service);
    let (now, past) = (current(incident, scene), was(incident, scene));
    let named = incident.key.rule == Rule::Resource || incident.is_drill() || now.contains(&service);
    let named = if named { String::new() } else { format!("{service}: ") };
    let by = incident.acknowledged_by.as_deref().map_or_else(|| "somebody".to_owned(), line);
    let severity = incident.severity.label();
    let rated = rated(incident);
    let since = minute(incident.clocks.began, scene.at);
    match incident.state {
        State::Suspected => format!("[possible, {severity}] {named}{now} (since {since})"),
        State::Open if again => {
            format!("[{rated}] Nobody has taken it: {named}{now} (since {since})")
        }
        State::Open => format!("[{rated}] {named}{now} (since {since})"),
        State::Acknowledged => format!("[{severity}] Taken by {by}: {named}{now}"),
        State::Mitigating => format!("[{severity}] Being worked on: {named}{now}"),
        State::Monitoring => format!("[{severity}] Good again, still watched: {named}{past}"),
        State::Resolved | State::Reviewed => {
            format!("[resolved, {severity}] {named}{past} ({})", span(lasted(incident, scene.at)))
        }
        State::Cleared => match incident.part_of() {
            Some(other) => format!("[merged, {severity}] Goes on as incident {other}: {named}{now}"),
            None => format!("[cleared, {severity}] Not confirmed that {named}{now}"),
        },
    }
}

/// What is the matter at this moment; of what cannot be measured any more, what was when it could be.
fn current(incident: &Incident, scene: &Scene) -> String {
    let blind = incident.key.rule == Rule::Resource
        && (unseen(incident).is_some()
            || SceneSubject::resource(incident, scene).is_some_and(|one| one.used.is_none()));
    if blind && incident.state.is_live() {
        return format!("{} when it was last measured", was(incident, scene));
    }
    super::state::title(incident, scene)
}

/// What fails, since when, how bad, for whom.
pub(super) fn lead(
    incident: &Incident,
    scene: &Scene,
    about: &SceneSubject<'_>,
    occasion: &Occasion,
) -> String {
    let (what, now) = (current(incident, scene), scene.at);
    let began = incident.clocks.began;
    let since = format!("(since {}, for {})", moment(began, now), span(now.since(began)));
    let severity = capital(&rated(incident));
    let whom = whom(incident, scene, about);
    let by = incident.acknowledged_by.as_deref().map_or_else(|| "somebody".to_owned(), line);
    match incident.state {
        State::Suspected => {
            format!("Suspected ({}): {what} {since}; {whom}.", incident.severity.label())
        }
        State::Open if occasion.calls_again(incident) => {
            format!("{severity}, and nobody has taken it: {what} {since}; {whom}.")
        }
        State::Open => format!("{severity}: {what} {since}; {whom}."),
        State::Acknowledged => {
            let at = incident
                .clocks
                .acknowledged
                .map_or_else(String::new, |at| format!(" at {}", moment(at, now)));
            format!("Taken by {by}{at}; no more calls are made. {severity}: {what} {since}; {whom}.")
        }
        State::Mitigating => format!("Being worked on by {by}. {severity}: {what} {since}; {whom}."),
        State::Monitoring => {
            let good = incident.clocks.recovered.unwrap_or(now);
            let (good, from) = (moment(good, now), moment(began, now));
            format!(
                "Good again since {good}, still watched. {severity}: {}, from {from}.",
                was(incident, scene)
            )
        }
        State::Resolved | State::Reviewed => resolved(incident, scene),
        State::Cleared => match incident.part_of() {
            Some(other) => {
                format!("Merged into incident {other}, which goes on and tells the rest: {what} {since}.")
            }
            None => format!("Not confirmed that {what}, as it seemed {since}."),
        },
    }
}

/// How long the condition lasted; an incident that was closed before it was seen to end has no such end.
fn resolved(incident: &Incident, scene: &Scene) -> String {
    let (now, clocks) = (scene.at, &incident.clocks);
    let (past, severity) = (was(incident, scene), incident.severity.label());
    let from = moment(clocks.began, now);
    match (clocks.recovered, clocks.closed) {
        (Some(end), closed) => {
            let long = span(end.since(clocks.began));
            let watched = closed.map(|closed| closed.since(end)).filter(|watched| !watched.is_zero());
            let watched =
                watched.map_or_else(String::new, |watched| format!(", and well for {} since", span(watched)));
            format!("Resolved ({severity}): {past} for {long}, {from} to {}{watched}.", moment(end, now))
        }
        // Nothing looks at what was opened by hand.
        (None, Some(closed)) if incident.key.rule == Rule::Manual => {
            format!("Resolved ({severity}): {past}, from {from}; closed at {}.", moment(closed, now))
        }
        (None, Some(closed)) => {
            format!(
                "Resolved ({severity}): {past}, from {from}; closed at {}, without having been seen well.",
                moment(closed, now)
            )
        }
        (None, None) => format!("Resolved ({severity}): {past}, from {from}."),
    }
}

/// Whom it hits, as far as the traffic of the last minute shows.
fn whom(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> String {
    let now = scene.at;
    if let Some(since) = unseen(incident) {
        return format!("not seen since {}, so whether it still holds is not known", moment(since, now));
    }
    if incident.drill.is_some() {
        return "a drill fails part of its requests on purpose".to_owned();
    }
    if incident.is_drill() {
        return "nobody is affected".to_owned();
    }
    let slow =
        (incident.key.rule == Rule::Latency).then(|| evidence::latest(incident, "slow_of_last_minute"));
    if let Some(slow) = slow.flatten() {
        return format!("{} requests took longer than that in the minute before it was found", line(slow));
    }
    let traffic = match about.counts() {
        (_, 0) if about.carries => {
            "no request was answered in the last minute, so who is affected is not known".to_owned()
        }
        (_, 0) => "who is affected is not measured".to_owned(),
        (0, total) => format!("none of the last minute's {total} requests failed"),
        _ => by_route(about),
    };
    match SceneSubject::resource(incident, scene) {
        Some(one) => format!("{}; {traffic}", evidence::used(one, now)),
        None => traffic,
    }
}

/// The routes that fail with their own numbers, the worst first, then what does not fail.
fn by_route(about: &SceneSubject<'_>) -> String {
    let (bad, good): (Vec<&RouteScene>, Vec<&RouteScene>) =
        about.routes.iter().copied().partition(|route| route.failed() > 0);
    let mut told: Vec<String> = bad
        .iter()
        .take(LEAD_ROUTES)
        .enumerate()
        .map(|(at, route)| {
            let (failed, total) = (route.failed(), route.total);
            let minute = if at == 0 { " in the last minute" } else { "" };
            let (part, share) = (part(failed, total), in_percent(failed, total));
            format!("{part} requests of route {} failed{minute}{share}", line(&route.name))
        })
        .collect();
    match bad.len().saturating_sub(LEAD_ROUTES) {
        0 => {}
        1 => told.push("1 more route fails".to_owned()),
        more => told.push(format!("{more} more routes fail")),
    }
    let well: u64 = good.iter().map(|route| route.total).sum();
    match good.as_slice() {
        [one] if well > 0 => told.push(format!("none of {well} of route {}", line(&one.name))),
        [_, _, ..] if well > 0 => told.push(format!("none of {well} of the others")),
        _ => {}
    }
    told.join("; ")
}
