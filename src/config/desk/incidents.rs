//! Checks `[incidents]`.

use std::collections::BTreeMap;

use super::{Machine, Slo, lasts};
use crate::config::file::{
    ConfigFile, IncidentsFile, LatencyRuleFile, NetworkFile, ResourcesFile, ShareFile,
};
use crate::config::presets;
use crate::config::problem::{Collector, did_you_mean};
use crate::config::word::OneOf;
use crate::reliability::desk::DeskPolicy;
use crate::reliability::detect::{
    Budget, DetectPolicy, DownPolicy, ErrorPolicy, LatencyPolicy, NetworkPolicy, PaymentPolicy,
    ResourcePolicy,
};
use crate::reliability::escalation::EscalationPolicy;
use crate::reliability::readings::Resource;
use crate::reliability::slo::Objective;

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// How probably chance alone does it, from "once in so many looks".
fn chance(at: &str, odds: u64, problems: &mut Collector<'_>) -> f64 {
    1.0 / problems.within(at, odds, 10, 1_000_000_000_000) as f64
}

/// The two odds of a rule: calling somebody takes more than a suspicion.
fn odds(at: &str, suspect: u64, page: u64, problems: &mut Collector<'_>) -> (f64, f64) {
    if page < suspect {
        problems.add(&format!("{at}.page_odds"), format!("{page} is less than suspect_odds: it would call somebody sooner than it suspects; write at least {suspect}"));
    }
    (
        chance(&format!("{at}.suspect_odds"), suspect, problems),
        chance(&format!("{at}.page_odds"), page, problems),
    )
}

/// What makes an incident.
pub(super) fn detect(
    file: &ConfigFile,
    slo: Slo,
    latency: LatencyPolicy,
    problems: &mut Collector<'_>,
) -> DetectPolicy {
    let written = &file.incidents;
    DetectPolicy {
        off: written.off.iter().map(|OneOf(rule)| *rule).collect(),
        grace: lasts("incidents.grace", written.grace, 0, HOUR, problems),
        clear_after: lasts("incidents.clear_after", written.clear_after, 1, DAY, problems),
        important: important(file, problems),
        down: down(written, problems),
        errors: errors(written, slo, problems),
        latency,
        network: NetworkPolicy {
            upstreams: problems.within(
                "incidents.network.upstreams",
                written.network.upstreams as usize,
                2,
                1_000,
            ),
            within: lasts("incidents.network.within", written.network.within, 1, HOUR, problems),
            alone: alone(&written.network, problems),
        },
        resources: resources(&written.resources, problems),
        payments: payments(written, problems),
    }
}

fn alone(written: &NetworkFile, problems: &mut Collector<'_>) -> std::time::Duration {
    if written.alone.0 > written.within.0 {
        problems.add("incidents.network.alone", "is longer than within; write at most as much");
    }
    written.alone.0
}

/// What of the machine is looked at beside what is always looked at.
pub(super) fn machine(written: &ResourcesFile, problems: &mut Collector<'_>) -> Machine {
    for (at, volume) in written.volumes.iter().enumerate().filter(|(_, volume)| !volume.starts_with('/')) {
        problems.add(&format!("incidents.resources.volumes.{at}"), format!("{volume:?} is no absolute path"));
    }
    let network = written.network_capacity.map(|size| size.0.0);
    if network == Some(0) {
        problems.add(
            "incidents.resources.network_capacity",
            "carries nothing; write \"125MiB\" for a gigabit a second",
        );
    }
    Machine { volumes: written.volumes.iter().map(Into::into).collect(), network }
}

/// How the desk works.
pub(super) fn desk(
    written: &IncidentsFile,
    detect: DetectPolicy,
    escalation: EscalationPolicy,
    problems: &mut Collector<'_>,
) -> DeskPolicy {
    let reopen_within = lasts("incidents.reopen_within", written.reopen_within, 0, 30 * DAY, problems);
    let keep = lasts("incidents.keep", written.keep, 60, 30 * DAY, problems);
    let gone_after = lasts("incidents.gone_after", written.gone_after, 10, DAY, problems);
    let suspicions_from = written.suspicions_from.0;
    DeskPolicy { detect, escalation, suspicions_from, reopen_within, keep, gone_after }
}

/// An upstream of this file, or one of the guide's services, which need not be here.
fn important(file: &ConfigFile, problems: &mut Collector<'_>) -> Vec<String> {
    let known = |name: &str| file.upstreams.contains_key(name) || presets::is_known(name);
    for (at, name) in file.incidents.important.iter().enumerate().filter(|(_, name)| !known(name)) {
        let guess = did_you_mean(name, file.upstreams.keys().map(String::as_str));
        problems.add(&format!("incidents.important.{at}"), format!("no upstream is named {name:?}{guess}"));
    }
    file.incidents.important.clone()
}

fn down(written: &IncidentsFile, problems: &mut Collector<'_>) -> DownPolicy {
    let down = &written.down;
    DownPolicy {
        failures: problems.within("incidents.down.failures", down.failures, 1, 10_000),
        probes: problems.within("incidents.down.probes", down.probes, 1, 10_000),
        confirm: lasts("incidents.down.confirm", down.confirm, 0, HOUR, problems),
    }
}

fn errors(written: &IncidentsFile, slo: Slo, problems: &mut Collector<'_>) -> ErrorPolicy {
    let errors = &written.errors;
    let (suspect, page) = odds("incidents.errors", errors.suspect_odds, errors.page_odds, problems);
    ErrorPolicy {
        objective: Objective { target: slo.success.ratio(), ..Objective::default() },
        suspect,
        page,
        least_bad: problems.within("incidents.errors.least_bad", errors.least_bad, 1, 1_000_000),
        confirm: lasts("incidents.errors.confirm", errors.confirm, 0, HOUR, problems),
    }
}

/// Too slow.
pub(super) fn latency(
    written: &LatencyRuleFile,
    budget: Budget,
    classes: BTreeMap<String, Option<Budget>>,
    problems: &mut Collector<'_>,
) -> LatencyPolicy {
    let (suspect, page) = odds("incidents.latency", written.suspect_odds, written.page_odds, problems);
    let confirm = lasts("incidents.latency.confirm", written.confirm, 0, HOUR, problems);
    LatencyPolicy { budget, classes, suspect, page, confirm }
}

fn payments(written: &IncidentsFile, problems: &mut Collector<'_>) -> PaymentPolicy {
    let payments = &written.payments;
    let failures = payments.failures.0.ratio();
    if failures <= 0.0 || failures >= 1.0 {
        problems.add("incidents.payments.failures", "must be above 0% and below 100%");
    }
    let factor = payments.declines_factor;
    PaymentPolicy {
        failures,
        confirm: lasts("incidents.payments.confirm", payments.confirm, 0, HOUR, problems),
        declines: problems.within("incidents.payments.declines_factor", factor, 1.0, 100.0),
        usual_from: problems.within("incidents.payments.usual_from", payments.usual_from, 1, 1_000_000),
    }
}

fn resources(written: &ResourcesFile, problems: &mut Collector<'_>) -> ResourcePolicy {
    let margin = written.margin.0.ratio();
    let mut limits = |what: Resource, share: ShareFile| {
        let at = format!("incidents.resources.{}", what.label());
        let (warn, critical) = (share.warn.0.ratio(), share.critical.0.ratio());
        if warn > critical {
            problems.add(&format!("{at}.warn"), "is above critical; write a smaller share");
        }
        if warn <= margin {
            problems.add(&format!("{at}.warn"), "is not above margin, so it could never be good again");
        }
        (what, warn, critical)
    };
    let limits = vec![
        limits(Resource::Cpu, written.cpu),
        limits(Resource::Memory, written.memory),
        limits(Resource::Disk, written.disk),
        limits(Resource::Network, written.network),
    ];
    ResourcePolicy {
        limits,
        samples: problems.within("incidents.resources.samples", written.samples, 1, 1_000),
        margin,
        stale: lasts("incidents.resources.stale", written.stale, 5, HOUR, problems),
    }
}
