//! What a check finds in what is known at one moment.

use std::sync::Arc;
use std::time::Duration;

use super::{CheckKind, CheckPercentile, CheckSign, Runbook, RunbookCheck};
use crate::reliability::breaker::BreakerState;
use crate::reliability::brief::{ClientFault, EndpointIs, RouteScene, Scene, UpstreamScene};
use crate::reliability::readings::Resource;
use crate::units::{Percent, Written as _};

/// What one check has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// The number of its step, from 1.
    pub step: usize,
    /// The text of its step.
    pub text: String,
    pub what: CheckKind,
    /// Of what; `None`: nothing was named, and there is no incident.
    pub of: Option<Arc<str>>,
    pub sign: CheckSign,
    /// What was found, in a sentence.
    pub says: String,
}

impl CheckResult {
    /// The text of the step and what was found, for a timeline and for people.
    pub fn line(&self) -> (String, String) {
        (self.text.clone(), format!("{}: {}", self.sign.describe(), self.says))
    }

    /// It is asked, and its answer is awaited.
    pub fn is_asked(&self) -> bool {
        self.sign == CheckSign::Asked
    }
}

impl Runbook {
    /// Looks at all its checks. `service`: what the incident is about. A check that asks somebody is not made here: it is
    /// [`CheckSign::Asked`].
    pub fn look(&self, service: Option<&Arc<str>>, scene: &Scene) -> Vec<CheckResult> {
        let look = |(step, text, check): (usize, String, &RunbookCheck)| {
            let of = check.of.as_ref().or(service).cloned();
            let (sign, says) = found(check.what, of.as_deref().unwrap_or_default(), scene);
            CheckResult { step, text, what: check.what, of, sign, says }
        };
        self.checks().map(|(number, step, check)| look((number, step.text.clone(), check))).collect()
    }
}

type Finding = (CheckSign, String);

fn unseen(why: impl Into<String>) -> Finding {
    (CheckSign::NotObservable, why.into())
}

fn good_if(good: bool, says: String) -> Finding {
    (if good { CheckSign::Good } else { CheckSign::Bad }, says)
}

/// The part of a scene that a name stands for.
struct Looked<'a> {
    name: &'a str,
    routes: Vec<&'a RouteScene>,
    upstreams: Vec<&'a UpstreamScene>,
}

impl<'a> Looked<'a> {
    fn at(name: &'a str, scene: &'a Scene) -> Self {
        let own = |route: &&RouteScene| route.name == name || route.upstream == name;
        let routes: Vec<&RouteScene> = scene.routes.iter().filter(own).collect();
        let named = |one: &&UpstreamScene| one.name == name;
        let behind = |one: &&UpstreamScene| routes.iter().any(|route| route.upstream == one.name);
        let mut upstreams: Vec<&UpstreamScene> = scene.upstreams.iter().filter(named).collect();
        if upstreams.is_empty() {
            upstreams = scene.upstreams.iter().filter(behind).collect();
        }
        Self { name, routes, upstreams }
    }

    fn upstreams(&self, look: impl Fn(&[&'a UpstreamScene]) -> Finding) -> Finding {
        match (self.name, &self.upstreams[..]) {
            ("", _) => unseen("nothing is named, and there is no incident"),
            (name, []) => unseen(format!("no upstream of this sidecar is named {name}")),
            (_, all) => look(all),
        }
    }
}

fn found(what: CheckKind, of: &str, scene: &Scene) -> Finding {
    let looked = Looked::at(of, scene);
    match what {
        CheckKind::Breaker => looked.upstreams(breakers),
        CheckKind::Reachability => looked.upstreams(|_| (CheckSign::Asked, "it is asked now".to_owned())),
        CheckKind::Health => looked.upstreams(health),
        CheckKind::ErrorRate { at_most } => error_rate(&looked, at_most),
        CheckKind::Latency { percentile, at_most } => latency(&looked, percentile, at_most),
        CheckKind::Failures => failures(&looked),
        CheckKind::InFlight { at_most } => in_flight(&looked, at_most),
        CheckKind::Resource { what, at_most } => resource(what, at_most, scene),
    }
}

fn breakers(all: &[&UpstreamScene]) -> Finding {
    let states = all.iter().filter_map(|one| Some((one, one.breaker.as_ref()?)));
    let told: Vec<(bool, String)> = states
        .map(|(one, breaker)| {
            let state = breaker.state.label();
            let held = if breaker.held { ", held by an operator" } else { "" };
            let shadow = if breaker.shadow { ", in shadow" } else { "" };
            let says = format!("the breaker of {} is {state}{held}{shadow}", one.name);
            (breaker.state == BreakerState::Closed, says)
        })
        .collect();
    if told.is_empty() {
        return unseen("it has no breaker");
    }
    good_if(told.iter().all(|(good, _)| *good), joined(told))
}

fn health(all: &[&UpstreamScene]) -> Finding {
    let mut told = Vec::new();
    for one in all {
        let unchecked = one.endpoints.iter().all(|endpoint| endpoint.state == EndpointIs::Unchecked);
        let well = one.endpoints.iter().filter(|endpoint| endpoint.state == EndpointIs::Well).count();
        match one.endpoints.len() {
            0 => told.push((false, format!("{} has no address", one.name))),
            _ if unchecked => {}
            all => told.push((well == all, format!("{well} of {all} addresses of {} are well", one.name))),
        }
    }
    if told.is_empty() {
        return unseen("it has no active checks: [upstreams.<name>] health");
    }
    good_if(told.iter().all(|(good, _)| *good), joined(told))
}

fn joined(told: Vec<(bool, String)>) -> String {
    told.into_iter().map(|(_, says)| says).collect::<Vec<_>>().join(", ")
}

fn exchanges(looked: &Looked<'_>) -> (u64, u64) {
    let failed = looked.routes.iter().map(|route| route.failed()).sum();
    (failed, looked.routes.iter().map(|route| route.total).sum())
}

fn error_rate(looked: &Looked<'_>, at_most: Percent) -> Finding {
    let (failed, all) = exchanges(looked);
    if all == 0 {
        return unseen("no exchange ended in the last minute");
    }
    let share = failed as f64 / all as f64;
    let says = format!(
        "{failed} of {all} exchanges of the last minute failed ({:.2} %), at most {at_most} is good",
        share * 100.0
    );
    good_if(share <= at_most.ratio(), says)
}

fn latency(looked: &Looked<'_>, percentile: CheckPercentile, at_most: Duration) -> Finding {
    let measured = looked.routes.iter().filter_map(|route| {
        let [p50, p95, p99] = route.percentiles?;
        let took = match percentile {
            CheckPercentile::P50 => p50,
            CheckPercentile::P95 => p95,
            CheckPercentile::P99 => p99,
        };
        Some((took, &route.name))
    });
    let Some((took, name)) = measured.max() else {
        return unseen("too few exchanges ended in the last minute");
    };
    let says = format!(
        "{} of {name} is {:.0} ms in the last minute, at most {} is good",
        percentile.label(),
        took.as_secs_f64() * 1_000.0,
        at_most.write()
    );
    good_if(took <= at_most, says)
}

fn failures(looked: &Looked<'_>) -> Finding {
    let (failed, all) = exchanges(looked);
    if all == 0 {
        return unseen("no exchange ended in the last minute");
    }
    let sum = |fault: ClientFault| -> u64 {
        let faults = looked.routes.iter().flat_map(|route| &route.faults);
        faults.filter(|(of, _)| *of == fault).map(|(_, count)| count).sum()
    };
    let faults = [
        (ClientFault::Status, "answered 5xx"),
        (ClientFault::Late, "came too late"),
        (ClientFault::Broken, "broke off"),
        (ClientFault::Refused, "were refused here"),
    ];
    let told = faults.iter().map(|(fault, words)| (sum(*fault), words)).filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, words)| format!("{count} {words}")).collect();
    let told = if told.is_empty() { "none failed".to_owned() } else { told.join(", ") };
    let mut statuses: Vec<String> = looked
        .routes
        .iter()
        .flat_map(|route| &route.statuses)
        .map(|(status, count)| format!("{status} ×{count}"))
        .take(5)
        .collect();
    if !statuses.is_empty() {
        statuses.insert(0, String::new());
    }
    good_if(failed == 0, format!("of {all} exchanges of the last minute {told}{}", statuses.join("; ")))
}

fn in_flight(looked: &Looked<'_>, at_most: u64) -> Finding {
    if looked.routes.is_empty() {
        return unseen("no exchange has gone there");
    }
    let now: u64 = looked.routes.iter().map(|route| route.in_flight).sum();
    let says = format!("{now} exchanges are under way; a pool inside the application is not observable");
    good_if(now <= at_most, says)
}

fn resource(what: Resource, at_most: Percent, scene: &Scene) -> Finding {
    let label = what.label();
    let own = scene.machine.iter().filter(|one| one.service.split(':').next() == Some(label));
    let seen: Vec<(&str, f64)> = own.filter_map(|one| Some((one.service.as_str(), one.used?))).collect();
    let Some((name, used)) = seen.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return unseen(format!("{label} is not measured here"));
    };
    let says = format!("{:.1} % of {name} is used, at most {at_most} is good", used * 100.0);
    good_if(used <= at_most.ratio(), says)
}
