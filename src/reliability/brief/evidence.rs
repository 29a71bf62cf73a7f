//! What was seen, in sentences and as names and values.

use std::time::Duration;

use super::scene::{
    BreakerScene, ClientFault, EndpointIs, ResourceScene, RouteScene, Scene, SceneSubject, UpstreamScene,
};
use super::words::{after_colon, capital, in_percent, line, list, minute, moment, part, percent, span, took};
use crate::reliability::breaker::BreakerState;
use crate::reliability::incident::{Entry, EntryKind, Incident, State};
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
pub(super) fn sentences(
    incident: &Incident,
    scene: &Scene,
    about: &SceneSubject<'_>,
    in_all: Option<(u64, u64)>,
) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    if incident.key.rule == Rule::Resource {
        let now =
            SceneSubject::resource(incident, scene).map(|one| format!("{}.", capital(&used(one, scene.at))));
        told.push(now.unwrap_or_else(|| "What it is now is not known.".to_owned()));
    }
    for route in about.routes.iter().filter(|route| route.failed() > 0).take(ROUTES) {
        told.push(failing(route, before(incident, scene.at)));
    }
    if about.carries && incident.state != State::Monitoring {
        let slow = |route: &&&RouteScene| is_telling(incident, route);
        told.extend(about.routes.iter().filter(slow).take(ROUTES).filter_map(|route| latency(route)));
    }
    for upstream in about.upstreams.iter().take(MEMBERS) {
        told.extend(addresses(upstream));
        told.extend(last_failure(upstream, scene.at));
        told.push(match upstream.last_success {
            Some(at)
                if scene.at.since(at) < FRESH && about.counts().0 > 0 && !super::state::is_well(incident) =>
            {
                format!("{} still gives good answers among the bad ones.", upstream.name)
            }
            Some(at) if scene.at.since(at) < FRESH => {
                format!("{} is answering normally.", upstream.name)
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
    if let (Some((failed, all)), State::Resolved | State::Reviewed) = (in_all, incident.state) {
        told.push(total(incident, scene, failed, all));
    }
    if matches!(incident.state, State::Resolved) && incident.key.rule != Rule::Manual {
        told.push("What caused it is not known to Strop.".to_owned());
    }
    told
}

/// Of the minutes in which it lasted.
fn total(incident: &Incident, scene: &Scene, failed: u64, all: u64) -> String {
    let (now, clocks) = (scene.at, &incident.clocks);
    let until = clocks.recovered.or(clocks.closed).unwrap_or(now);
    let by =
        if scene.member.is_empty() { String::new() } else { format!(", as {} counted", line(&scene.member)) };
    format!(
        "In all, {} requests to {} failed{} from {} to {}{by}.",
        part(failed, all),
        line(&incident.key.service),
        in_percent(failed, all),
        minute(clocks.began, now),
        minute(until, now)
    )
}

/// Since when it is good again, if the last minute reaches back behind that.
fn before(incident: &Incident, now: At) -> Option<String> {
    let good = incident.clocks.recovered.filter(|_| incident.state == State::Monitoring)?;
    (now.since(good) < LATELY).then(|| moment(good, now))
}

/// Response times say something: the matter is slowness, or they are over a target, or what fails was asked at all.
fn is_telling(incident: &Incident, route: &RouteScene) -> bool {
    let refused = route.faults.iter().any(|(fault, _)| *fault == ClientFault::Refused);
    incident.key.rule == Rule::Latency || over(route) > 0 || (route.failed() > 0 && !refused)
}

/// What is used of the machine, and when that was so.
pub(super) fn used(one: &ResourceScene, now: At) -> String {
    let what = line(&one.service);
    match one.used {
        Some(used) => format!("{:.1} % of {what} in use at {}", used * 100.0, moment(one.at, now)),
        None => format!("how much of {what} is in use now is not known"),
    }
}

/// What a rule measured was so while it lasted, and what it measured some time ago is not said to be so now.
fn of_the_rules(incident: &Incident, scene: &Scene, about: &SceneSubject<'_>) -> Vec<String> {
    let Some(entry) = measured(incident).filter(|_| !super::state::is_well(incident)) else {
        return Vec::new();
    };
    let then = scene.at.since(entry.at) > LATELY;
    let then = if then { format!("At {}: ", moment(entry.at, scene.at)) } else { String::new() };
    let has = |what: &str| match what {
        "p50_p95_p99" => about.routes.iter().any(|route| route.percentiles.is_some()),
        "last_success" => !about.upstreams.is_empty(),
        _ => about.counts().1 > 0,
    };
    let machine = of_the_machine(incident, entry, scene.at);
    if !machine.is_empty() {
        return machine;
    }
    let told = entry.evidence.iter().filter_map(|(name, value)| of_the_rule(name, value, has));
    let said = |sentence: String| {
        if then.is_empty() { sentence } else { format!("{then}{}", after_colon(&sentence)) }
    };
    told.take(VALUES).map(said).collect()
}

/// What the rule about the machine measured when it was found.
fn of_the_machine(incident: &Incident, entry: &Entry, now: At) -> Vec<String> {
    let Some(used) = latest(incident, "used").filter(|_| incident.key.rule == Rule::Resource) else {
        return Vec::new();
    };
    let more = [("samples", " samples in a row were over the limit"), ("source", "")];
    let more =
        more.iter().filter_map(|(name, text)| Some(format!("{}{text}", line(latest(incident, name)?))));
    let more: Vec<String> = more.collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
    vec![format!("When it was found, at {}: {} in use{more}.", moment(entry.at, now), percent(&line(used)))]
}

/// What a rule measured, unless the scene says it better.
fn of_the_rule(name: &str, value: &str, has: impl Fn(&str) -> bool) -> Option<String> {
    let value = percent(&line(value));
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
        "consecutive_failures" => format!("The last {value} attempts failed in a row."),
        "failed_probes" => format!("The last {value} health checks failed."),
        "last_success" => format!("The last good answer then: {value}."),
        "bad_of_last_minute" | "last_minute" => format!("{value} failed in the minute before."),
        "last_5_minutes" => format!("{value} failed in five minutes."),
        "allowed" => format!("{} of the replies may fail.", value.replace(".000 %", " %")),
        "burn_rate" => format!("The error budget is spent {value} times faster than it lasts."),
        "burn_rate_3d" => {
            format!("Over three days the error budget was spent {value} times faster than it lasts.")
        }
        "burn_rate_6h" => format!("Over six hours it was spent {value} times faster than it lasts."),
        "top_contributor" => match value.rsplit_once(": ") {
            Some((from, count)) => format!("Most of them came from {from} ({count})."),
            None => format!("Most of them came from {value}."),
        },
        "of_one_client_not_counted" if value == "0" => return None,
        "of_one_client_not_counted" => {
            format!("{value} failures of one client in five minutes are not counted.")
        }
        "decisions" => format!("{value} card payments were decided in the last hour."),
        "slow_of_last_minute" => format!("{value} replies were over the limit in the minute before."),
        "slow_of_last_5_minutes" => format!("{value} replies were over the limit in five minutes."),
        "p50_p95_p99" => quantiles(&value),
        "upstreams" => format!("It is about {value}."),
        "last_hour" => format!("{value} were declined in the last hour."),
        "usual" => format!("Usual are {value}."),
        other => format!("{}: {value}.", capital(&line(other).replace('_', " "))),
    })
}

/// Of `120 ms, 3240 ms, 9020 ms`, as a rule has measured p50, p95 and p99.
fn quantiles(value: &str) -> String {
    match value.split(", ").collect::<Vec<_>>().as_slice() {
        [half, twentieth, hundredth] => format!(
            "In the minute before, half of the requests took at most {half}, 1 in 20 took longer than {twentieth}, \
             1 in 100 longer than {hundredth}."
        ),
        _ => format!("Response times of the minute before: {value}."),
    }
}

fn faults(route: &RouteScene) -> Vec<String> {
    let told = |(fault, count): &(ClientFault, u64)| {
        let what = match fault {
            ClientFault::Status => "were answered with an error",
            ClientFault::Late => "got no answer in time",
            ClientFault::Broken => "got no usable answer (no connection, reset or broken off)",
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
    sums.iter().map(|(status, count)| format!("{count} × {status}{}", meant(*status))).collect()
}

/// The names that RFC 9110 section 15.6 gives them, in plain words where they are known by those.
fn meant(status: u16) -> &'static str {
    match status {
        500 => " (internal error)",
        502 => " (bad gateway)",
        503 => " (unavailable)",
        504 => " (timeout)",
        _ => "",
    }
}

fn failing(route: &RouteScene, before: Option<String>) -> String {
    let (failed, total) = (route.failed(), route.total);
    let through =
        if route.name == route.upstream { String::new() } else { format!(" to {}", route.upstream) };
    let statuses = statuses(&[route]);
    let statuses =
        if statuses.is_empty() { String::new() } else { format!("; clients got {}", list(&statuses)) };
    let before = before.map_or_else(String::new, |good| format!(", those before {good} among them"));
    format!(
        "Route {}{through}: {} requests failed in the last minute{}{before}: {}{statuses}.",
        route.name,
        part(failed, total),
        in_percent(failed, total),
        list(&faults(route)),
    )
}

/// How many percentiles are over their targets.
fn over(route: &RouteScene) -> usize {
    let (Some(values), Some(limits)) = (route.percentiles, route.limits) else { return 0 };
    values.iter().zip(limits.iter().step_by(2)).filter(|(value, target)| value > target).count()
}

/// Percentiles against the budget, as people say them: half of all, one in twenty, one in a hundred.
fn latency(route: &RouteScene) -> Option<String> {
    let values = route.percentiles?;
    let limits: Vec<&[Duration]> = route.limits.as_ref().map_or_else(Vec::new, |all| all.chunks(2).collect());
    let words = ["half of the requests took at most", "1 in 20 took longer than", "1 in 100 longer than"];
    let told = words.iter().zip(values).enumerate().map(|(at, (words, value))| {
        let against = match limits.get(at) {
            Some([target, alert]) if value > *alert => {
                format!(" (target {}, alert at {}: over both)", took(*target), took(*alert))
            }
            Some([target, _]) if value > *target => format!(" (over the target of {})", took(*target)),
            Some([target, ..]) => format!(" (target {})", took(*target)),
            Some([]) | None => String::new(),
        };
        format!("{words} {}{against}", took(value))
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let budget = if limits.is_empty() { "; it has no latency budget" } else { "" };
    Some(format!("Route {} in the last minute: {told}{budget}.", route.name))
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
    let told = |one: &super::scene::EndpointScene| format!("{} {}", one.address, state(one.state));
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
        "timeout" => "no answer in time",
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
    let does = match breaker.state {
        BreakerState::Closed => "",
        BreakerState::Open => " (requests are refused)",
        BreakerState::HalfOpen => " (single requests go through)",
    };
    match (breaker.shadow, breaker.held) {
        (_, true) => format!("{state}{does}, held by an operator"),
        (true, false) => format!("it would be {state}; in shadow it refuses nothing"),
        (false, false) => format!("{state}{does}"),
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
    if incident.key.rule == Rule::Resource {
        add("Machine", line(&scene.member));
    } else {
        add("Service", line(&incident.key.service));
    }
    if incident.key.rule != Rule::Resource {
        add("Seen from", line(&scene.member));
    }
    let began = incident.clocks.began;
    let lasting = if incident.state.is_live() { "so far" } else { "in all" };
    let long = span(super::state::lasted(incident, now));
    add("Since", format!("{} ({long} {lasting})", moment(began, now)));
    if let (Some(end), false) = (incident.clocks.recovered, incident.state.is_live()) {
        let closed =
            incident.clocks.closed.map_or_else(String::new, |at| format!("; closed at {}", moment(at, now)));
        add("Until", format!("{}{closed}", moment(end, now)));
    }
    add("State", super::state::status(incident, now));
    add(
        "Not seen since",
        super::state::unseen(incident).map_or_else(String::new, |since| moment(since, now)),
    );
    if !super::state::is_well(incident) {
        add("Routes that fail", list(&about.failing()));
    }
    for upstream in &about.upstreams {
        let is = upstream.breaker.as_ref().map_or_else(String::new, breaker);
        add(&format!("Breaker of {}", upstream.name), is);
    }
    facts
}
