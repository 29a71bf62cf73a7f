//! Do the metrics add up, and with the access log?

use std::collections::BTreeMap;

use crate::lines::Lines;
use crate::metrics::{Labels, Metrics};
use crate::report::Report;

fn label(labels: &Labels, name: &str) -> String {
    labels.get(name).cloned().unwrap_or_default()
}

/// Sums a family by some of its labels, zeros left out.
fn by<const N: usize>(metrics: &Metrics, family: &str, names: [&str; N]) -> BTreeMap<[String; N], u64> {
    let mut sums = BTreeMap::new();
    for (labels, value) in metrics.of(family).filter(|(_, value)| *value > 0) {
        *sums.entry(names.map(|name| label(labels, name))).or_default() += value;
    }
    sums
}

/// Compares two ways of counting, entry by entry.
fn same<K: Ord + std::fmt::Debug>(
    report: &Report,
    what: &str,
    told: &BTreeMap<K, u64>,
    lines: BTreeMap<K, u64>,
) {
    for (key, count) in told {
        let other = lines.get(key).copied().unwrap_or(0);
        if *count != other {
            report.find(what, format!("{key:?}: {count} in the metrics, {other} in the access log"));
        }
    }
    for (key, count) in lines.iter().filter(|(key, count)| **count > 0 && !told.contains_key(key)) {
        report.find(what, format!("{key:?}: 0 in the metrics, {count} in the access log"));
    }
}

/// All of it.
pub fn compare(report: &Report, metrics: &Metrics, lines: &Lines) {
    for family in ["panics_total", "listener_refused_total", "access_log_dropped_total"] {
        report.equal(family, metrics.sum(family, &[]), 0);
    }
    exchanges(report, metrics, lines);
    attempts(report, metrics, lines);
    tunnels(report, metrics, lines);
}

fn exchanges(report: &Report, metrics: &Metrics, lines: &Lines) {
    let all = metrics.sum("http_requests_total", &[]);
    let outcomes = metrics.sum("http_request_outcomes_total", &[]);
    let took = metrics.sum("http_request_duration_ms_count", &[]);
    let otel: u64 =
        ["http_server_request_duration_seconds_count", "http_client_request_duration_seconds_count"]
            .iter()
            .map(|family| metrics.sum(family, &[]))
            .sum();
    report.equal("http_requests_total, outcomes", all, outcomes);
    report.equal("http_requests_total, durations", all, took);
    report.equal("http_requests_total, OpenTelemetry's durations", all, otel);
    let statuses =
        lines.by_status.iter().map(|((a, b, c), n)| ([a.clone(), b.clone(), c.clone()], *n)).collect();
    let told = by(metrics, "http_requests_total", ["upstream", "method", "status"]);
    same(report, "http_requests_total", &told, statuses);
    let outcomes = lines.by_outcome.iter().map(|((a, b), n)| ([a.clone(), (*b).to_owned()], *n)).collect();
    let told = by(metrics, "http_request_outcomes_total", ["upstream", "outcome"]);
    same(report, "http_request_outcomes_total", &told, outcomes);
    let mut bytes = BTreeMap::new();
    for (upstream, (received, sent)) in &lines.bytes {
        bytes.insert([upstream.clone(), "received".to_owned()], *received);
        bytes.insert([upstream.clone(), "sent".to_owned()], *sent);
    }
    let told = by(metrics, "http_body_bytes_total", ["upstream", "direction"]);
    same(report, "http_body_bytes_total", &told, bytes);
}

fn attempts(report: &Report, metrics: &Metrics, lines: &Lines) {
    // A line does not say whether the connection that ended had been used before, nor what the upstream said of it.
    let ended = |verdict: &str| {
        if matches!(verdict, "stale" | "not_processed") { "reset" } else { verdict }.to_owned()
    };
    let mut told = BTreeMap::new();
    for ([upstream, verdict], n) in by(metrics, "upstream_requests_total", ["upstream", "verdict"]) {
        *told.entry([upstream, ended(&verdict)]).or_default() += n;
    }
    let verdicts = lines.by_verdict.iter().map(|((a, b), n)| ([a.clone(), (*b).to_owned()], *n)).collect();
    same(report, "upstream_requests_total", &told, verdicts);
    // A retry that the budget allowed may still be refused by the breaker; then the exchange tells what failed first.
    for upstream in ["plain", "streams", "probed", "dead", "held", "vendor", "tunnel"] {
        let of = |family| metrics.sum(family, &[("upstream", upstream)]);
        let count = |map: &BTreeMap<String, u64>| map.get(upstream).copied().unwrap_or(0);
        let not_made = of("retries_total").checked_sub(count(&lines.again));
        let quiet = of("breaker_refused_total").checked_sub(count(&lines.refused));
        report.equal(&format!("{upstream}: retries and refusals that no line shows"), not_made, quiet);
    }
}

fn tunnels(report: &Report, metrics: &Metrics, lines: &Lines) {
    let (mut count, mut bytes) = (BTreeMap::new(), BTreeMap::new());
    for (upstream, (tunnels, up, down)) in &lines.tunnels {
        count.insert([upstream.clone()], *tunnels);
        bytes.insert([upstream.clone(), "up".to_owned()], *up);
        bytes.insert([upstream.clone(), "down".to_owned()], *down);
    }
    same(report, "tunnels", &by(metrics, "tunnel_connect_seconds_count", ["upstream"]), count);
    same(report, "tunnel_bytes_total", &by(metrics, "tunnel_bytes_total", ["upstream", "direction"]), bytes);
}
