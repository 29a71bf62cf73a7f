//! What was seen, in sentences and as names and values.

use std::time::Duration;

use super::scene::{BreakerScene, ClientFault, EndpointIs, RouteScene, Scene, SceneSubject, UpstreamScene};
use super::words::{capital, line, list, moment, part, share, span, took};
use crate::reliability::breaker::BreakerState;
use crate::reliability::incident::{Entry, EntryKind, Incident};
use crate::reliability::rule::Rule;
use crate::units::At;

/// Routes that are told one by one.
const ROUTES: usize = 3;
/// Dependencies and addresses that are told one by one.
const MEMBERS: usize = 4;
/// A good answer within this is one of this moment: readings are taken once a second.
const FRESH: Duration = Duration::from_secs(2);
/// What was measured within this is what is.
const LATELY: Duration = Duration::from_secs(60);
/// Values of a rule that are told beside the sentences.
const VALUES: usize = 8;

/// The latest line of a rule that has measured something.
fn measured(incident: &Incident) -> Option<&Entry> {
    incident.timeline.iter().rev().find(|entry| entry.kind == EntryKind::Signal && !entry.evidence.is_empty())
}

/// The latest value of that name.
pub(super) fn latest<'a>(incident: &'a Incident, name: &str) -> Option<&'a str> {
    let found = measured(incident)?.evidence.iter().find(|(known, _)| known == name)?;
    Some(found.1.as_str()).filter(|value| !matches!(*value, "" | "-"))
}

/// Most telling first: traffic, latency, addresses, then what the rule itself measured.
pub(super) fn sentences(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Vec<String> {
    let mut told = Vec::new();
    for route in about.routes.iter().filter(|route| route.failed() > 0).take(ROUTES) {
        told.push(failing(route));
    }
    let slow =
        |route: &&&RouteScene| incident.key.rule == Rule::Latency || route.failed() > 0 || over(route) > 0;
    if about.carries {
        told.extend(about.routes.iter().filter(slow).take(ROUTES).filter_map(|route| latency(route)));
    }
    for upstream in about.upstreams.iter().take(MEMBERS) {
        told.extend(addresses(upstream));
        told.extend(last_failure(upstream, scene.at));
        told.push(match upstream.last_success {
            Some(at) if scene.at.since(at) < FRESH && about.counts().0 > 0 => {
                format!("{} still gives good answers among the bad ones.", upstream.name)
            }
            Some(at) if scene.at.since(at) < FRESH => {
                format!("{} answers well at this moment.", upstream.name)
            }
            Some(at) => format!(
                "The last good answer or check of {} was at {} ({} ago).",
                upstream.name,
                moment(at, scene.at),
                span(scene.at.since(at))
            ),
            None => format!("{} has not been seen well since this sidecar started.", upstream.name),
        });
    }
    told.extend(of_the_rules(incident, scene, about));
    told
}

/// What a rule measured was so while it lasted, and what it measured some time ago is not said to be so now.
fn of_the_rules(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Vec<String> {
    let Some(entry) = measured(incident).filter(|_| incident.state.is_live()) else { return Vec::new() };
    let then = scene.at.since(entry.at) > LATELY;
    let then = if then { format!("At {}: ", moment(entry.at, scene.at)) } else { String::new() };
    let has = |what: &str| match what {
        "p50_p95_p99" => about.routes.iter().any(|route| route.percentiles.is_some()),
        "last_success" => !about.upstreams.is_empty(),
        _ => about.counts().1 > 0,
    };
    let told = entry.evidence.iter().filter_map(|(name, value)| of_the_rule(name, value, has));
    told.take(VALUES).map(|sentence| format!("{then}{sentence}")).collect()
}

/// What a rule measured, unless the scene says it better.
fn of_the_rule(name: &str, value: &str, has: impl Fn(&str) -> bool) -> Option<String> {
    let value = line(value);
    if matches!(value.as_str(), "" | "-") {
        return None;
    }
    Some(match name {
        // These are said of breaker, traffic and addresses, or belong to what to do.
        "in_flight" | "open_seconds" | "last_10s" | "what_to_do" | "to_do" | "do" => return None,
        "bad_of_last_minute" | "last_minute" | "top_contributor" | "last_success" | "p50_p95_p99"
            if has(name) =>
        {
            return None;
        }
        "failed_probes" | "consecutive_failures" if value == "0" => return None,
        "consecutive_failures" => format!("{value} failures came in a row."),
        "failed_probes" => format!("{value} health checks failed in a row."),
        "last_success" => format!("The last good answer then: {value}."),
        "bad_of_last_minute" | "last_minute" => format!("{value} failed in the minute before."),
        "last_5_minutes" => format!("{value} failed in five minutes."),
        "allowed" => format!("{value} of the replies may fail."),
        "burn_rate" => format!("The error budget is spent {value} times faster than it lasts."),
        "top_contributor" => format!("Most bad replies come from {value}."),
        "slow_of_last_minute" => format!("{value} replies were over the limit in the minute before."),
        "slow_of_last_5_minutes" => format!("{value} replies were over the limit in five minutes."),
        "p50_p95_p99" => format!("p50, p95 and p99 of the minute before: {value}."),
        "used" => format!("{value} is in use."),
        "samples" => format!("{value} samples in a row say so."),
        "source" => format!("Measured in {value}."),
        "upstreams" => format!("It is about {value}."),
        "last_hour" => format!("{value} were declined in the last hour."),
        "usual" => format!("Usual are {value}."),
        other => format!("{}: {value}.", capital(&line(other).replace('_', " "))),
    })
}

fn faults(route: &RouteScene) -> Vec<String> {
    let told = |(fault, count): &(ClientFault, u64)| {
        let what = match fault {
            ClientFault::Status => "answered with an error",
            ClientFault::Late => "had no answer in time",
            ClientFault::Broken => "had no usable answer (no connection, reset or broken off)",
            ClientFault::Refused => "were refused by Strop (breaker or limit)",
        };
        format!("{count} {what}")
    };
    route.faults.iter().filter(|(_, count)| *count > 0).map(told).collect()
}

pub(super) fn statuses(routes: &[&RouteScene]) -> Vec<String> {
    let mut sums: Vec<(u16, u64)> = Vec::new();
    for (status, count) in routes.iter().flat_map(|route| &route.statuses) {
        match sums.iter_mut().find(|(known, _)| known == status) {
            Some((_, sum)) => *sum += count,
            None => sums.push((*status, *count)),
        }
    }
    sums.sort_by_key(|(status, count)| (std::cmp::Reverse(*count), *status));
    sums.iter().map(|(status, count)| format!("{status} × {count}")).collect()
}

fn failing(route: &RouteScene) -> String {
    let (failed, total) = (route.failed(), route.total);
    let through =
        if route.name == route.upstream { String::new() } else { format!(" to {}", route.upstream) };
    let statuses = statuses(&[route]);
    let statuses =
        if statuses.is_empty() { String::new() } else { format!("; clients got {}", list(&statuses)) };
    format!(
        "Route {}{through}: {} requests failed in the last minute ({}): {}{statuses}.",
        route.name,
        part(failed, total),
        share(failed, total),
        list(&faults(route)),
    )
}

/// How many percentiles are over their targets.
fn over(route: &RouteScene) -> usize {
    let (Some(values), Some(limits)) = (route.percentiles, route.limits) else { return 0 };
    values.iter().zip(limits.iter().step_by(2)).filter(|(value, target)| value > target).count()
}

/// Percentiles against the budget.
fn latency(route: &RouteScene) -> Option<String> {
    let values = route.percentiles?;
    let Some(limits) = route.limits else {
        let [p50, p95, p99] = values.map(took);
        return Some(format!("Route {} took p50 {p50}, p95 {p95}, p99 {p99}; it has no budget.", route.name));
    };
    let told =
        ["p50", "p95", "p99"].iter().zip(values).zip(limits.chunks(2)).map(|((name, value), limits)| {
            let state = match limits {
                [target, alert] if value > *alert => {
                    format!("over its target ({}) and its alert threshold ({})", took(*target), took(*alert))
                }
                [target, _] if value > *target => format!("over its target ({})", took(*target)),
                [target, ..] => format!("within its target ({})", took(*target)),
                [] => String::new(),
            };
            format!("{name} {} is {state}", took(value))
        });
    let told = told.collect::<Vec<_>>().join("; ");
    Some(format!("Response times of route {} in the last minute: {told}.", route.name))
}

pub(super) fn state(is: EndpointIs) -> &'static str {
    match is {
        EndpointIs::Well => "passes its checks",
        EndpointIs::Unhealthy => "fails its checks",
        EndpointIs::Ejected => "is left out for a while after failed requests",
        EndpointIs::Unchecked => "has no checks",
    }
}

fn addresses(upstream: &UpstreamScene) -> Option<String> {
    if upstream.endpoints.is_empty() {
        return Some(format!("{} has no address: its name leads nowhere.", upstream.name));
    }
    let told = |one: &super::EndpointScene| format!("{} {}", one.address, state(one.state));
    let all: Vec<String> = upstream.endpoints.iter().take(MEMBERS).map(told).collect();
    let more = upstream.endpoints.len().saturating_sub(MEMBERS);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    Some(format!("Endpoints of {}: {}{more}.", upstream.name, all.join(", ")))
}

fn last_failure(upstream: &UpstreamScene, now: At) -> Option<String> {
    let last = upstream.failures.last()?;
    let why = match last.why {
        "connect" => "no connection",
        "tls" => "no TLS session",
        "timeout" => "nothing came in time",
        "reset" => "the connection ended before the answer",
        "status" => "a bad status",
        "protocol" => "the answer was not HTTP",
        "rate_limited" => "it asked for fewer requests (429)",
        other => other,
    };
    let at = last.endpoint.as_ref().map_or_else(String::new, |endpoint| format!(" at {endpoint}"));
    let on = last.route.as_ref().map_or_else(String::new, |route| format!(", on route {route}"));
    Some(format!("The latest failed attempt{at}, {}: {why}{on}.", moment(last.at, now)))
}

/// In a few words.
pub(super) fn breaker(breaker: &BreakerScene) -> String {
    let state = match breaker.state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
    };
    match (breaker.shadow, breaker.held) {
        (_, true) => format!("{state}, held by an operator"),
        (true, false) => format!("would be {state} (shadow: it refuses nothing)"),
        (false, false) => state.to_owned(),
    }
}

/// For tables, the most important first.
pub(super) fn facts(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Vec<(String, String)> {
    let now = scene.at;
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            facts.push((name.to_owned(), value));
        }
    };
    add("Severity", incident.severity.label().to_owned());
    add("Service", line(&incident.key.service));
    let began = incident.clocks.began;
    let lasting = if incident.state.is_live() { "so far" } else { "in all" };
    let long = span(super::lasted(incident, now));
    add("Since", format!("{} ({long} {lasting})", moment(began, now)));
    add("State", super::status(incident, now));
    add("Not seen since", super::unseen(incident).map_or_else(String::new, |since| moment(since, now)));
    let (failed, total) = about.counts();
    if total > 0 {
        add("Failed in the last minute", format!("{} ({})", part(failed, total), share(failed, total)));
    }
    add("Routes that fail", list(&about.failing()));
    add("Clients got", list(&statuses(&about.routes)));
    let ill = about.upstreams.iter().flat_map(|one| &one.endpoints);
    let ill = ill.filter(|one| matches!(one.state, EndpointIs::Unhealthy | EndpointIs::Ejected));
    let ill: Vec<String> = ill.map(|one| format!("{} {}", one.address, state(one.state))).collect();
    add("Endpoints", list(&ill));
    let worst = about
        .routes
        .iter()
        .filter(|_| about.carries)
        .max_by_key(|route| over(route))
        .filter(|route| over(route) > 0);
    if let Some([p50, p95, p99]) = worst.and_then(|route| route.percentiles).map(|all| all.map(took)) {
        add("p50, p95, p99", format!("{p50}, {p95}, {p99}"));
    }
    let breakers = about.upstreams.iter().filter_map(|one| Some((&one.name, one.breaker.as_ref()?)));
    let breakers: Vec<String> = breakers.map(|(name, one)| format!("{name}: {}", breaker(one))).collect();
    add("Breaker", list(&breakers));
    add("Found by", incident.key.rule.label().to_owned());
    facts
}
