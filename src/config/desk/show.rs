//! What the desk decides by, as JSON in the shape of the file.

use serde_json::{Map, Value, json};

use super::{Latency, Measured, Watch};
use crate::reliability::detect::{Budget, DetectPolicy, Limits};
use crate::reliability::escalation::{Calendar, EscalationPolicy, Ladder, Step};
use crate::reliability::rule::{Rule, Severity};
use crate::units::{Size, Written as _};

fn duration(value: std::time::Duration) -> Value {
    Value::String(value.write())
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 10_000.0).round() / 100.0)
}

fn odds(chance: f64) -> u64 {
    (1.0 / chance).round() as u64
}

/// `[latency]`.
pub(in crate::config) fn latency(latency: &Latency) -> Value {
    let mut shown = budget(&latency.budget);
    shown["slow"] = duration(latency.slow);
    shown
}

/// `[routes.latency]`.
pub(in crate::config) fn measured(measured: Option<&Measured>) -> Value {
    let Some(measured) = measured else { return json!({ "until": "off" }) };
    let mut shown = budget(&measured.budget);
    shown["until"] = json!(measured.until.label());
    shown
}

fn budget(budget: &Budget) -> Value {
    let limits = |limits: Limits| json!({ "warn": duration(limits.warn), "alert": duration(limits.alert) });
    json!({ "p50": limits(budget.p50), "p95": limits(budget.p95), "p99": limits(budget.p99) })
}

/// `[slo]`, `[incidents]` and `[escalation]`.
pub(in crate::config) fn show(watch: &Watch) -> [(&'static str, Value); 3] {
    let slo = json!({ "uptime": watch.slo.uptime.write(), "success": watch.slo.success.write() });
    let policy = &watch.policy;
    let mut incidents = detect(&policy.detect);
    incidents["resources"]["volumes"] = json!(watch.machine.volumes);
    incidents["resources"]["network_capacity"] =
        json!(watch.machine.network.map(|bytes| Size(bytes).write()));
    incidents["suspicions_from"] = json!(policy.suspicions_from.label());
    incidents["reopen_within"] = duration(policy.reopen_within);
    incidents["keep"] = duration(policy.keep);
    incidents["gone_after"] = duration(policy.gone_after);
    let mut escalation = self::escalation(&policy.escalation);
    let holidays: Vec<_> = watch.people.holidays.iter().map(ToString::to_string).collect();
    escalation["hours"] = json!({ "time_zone": watch.people.zone.name(), "holidays": holidays });
    [("slo", slo), ("incidents", incidents), ("escalation", escalation)]
}

fn detect(detect: &DetectPolicy) -> Value {
    let resources: Map<_, _> = detect
        .resources
        .limits
        .iter()
        .map(|(what, warn, critical)| {
            (what.label().to_owned(), json!({ "warn": percent(*warn), "critical": percent(*critical) }))
        })
        .chain([
            ("samples".to_owned(), json!(detect.resources.samples)),
            ("margin".to_owned(), json!(percent(detect.resources.margin))),
            ("stale".to_owned(), duration(detect.resources.stale)),
        ])
        .collect();
    json!({
        "off": detect.off.iter().map(|rule| Rule::label(*rule)).collect::<Vec<_>>(),
        "grace": duration(detect.grace),
        "clear_after": duration(detect.clear_after),
        "important": detect.important,
        "down": {
            "failures": detect.down.failures,
            "probes": detect.down.probes,
            "confirm": duration(detect.down.confirm),
        },
        "errors": {
            "least_bad": detect.errors.least_bad,
            "suspect_odds": odds(detect.errors.suspect),
            "page_odds": odds(detect.errors.page),
            "confirm": duration(detect.errors.confirm),
        },
        "latency": {
            "suspect_odds": odds(detect.latency.suspect),
            "page_odds": odds(detect.latency.page),
            "confirm": duration(detect.latency.confirm),
        },
        "network": { "upstreams": detect.network.upstreams, "within": duration(detect.network.within), "alone": duration(detect.network.alone) },
        "payments": {
            "failures": percent(detect.payments.failures),
            "confirm": duration(detect.payments.confirm),
            "declines_factor": detect.payments.declines,
            "usual_from": detect.payments.usual_from,
        },
        "resources": resources,
    })
}

fn escalation(policy: &EscalationPolicy) -> Value {
    let contacts: Map<_, _> = policy
        .contacts
        .iter()
        .map(|contact| (contact.name.clone(), json!({ "channels": contact.channels })))
        .collect();
    let mut shown = json!({
        "fallback": policy.fallback,
        "stakeholders": policy.stakeholders,
        "contacts": contacts,
    });
    for severity in Severity::ALL {
        shown[severity.label()] = ladder(policy.ladder(severity));
    }
    shown
}

fn ladder(ladder: &Ladder) -> Value {
    let step = |step: &Step| json!({ "after": duration(step.after), "contacts": step.contacts });
    json!({
        "steps": ladder.steps.iter().map(step).collect::<Vec<_>>(),
        "again_every": duration(ladder.again_every),
        "again_at_most": ladder.again_at_most,
        "hours": ladder.hours.as_ref().map_or(json!("always"), calendar),
    })
}

/// The windows themselves, day by day.
fn calendar(calendar: &Calendar) -> Value {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let window = |(from, to): &(u16, u16)| {
        let day = DAYS.get(usize::from(from / 1_440)).copied().unwrap_or_default();
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let begin = from % 1_440;
        let end = begin + (to - from);
        format!("{day} {}-{}", clock(begin), clock(if end > 1_440 { end - 1_440 } else { end }))
    };
    json!(calendar.windows.iter().map(window).collect::<Vec<_>>())
}
