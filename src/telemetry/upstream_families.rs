//! The families of upstreams: attempts and whose fault they were, breakers, endpoints, tunnels.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::breakers::BreakerSeries;
use super::family::Family;
use super::load;
use super::upstreams::{UpstreamSeries, VERDICTS};
use crate::reliability::breaker::Refusal;
use crate::reliability::retry::RetryReason;
use crate::reliability::verdict::{Against, BadReason};
use crate::runtime::clock;

/// Metric families of upstreams, endpoints, breakers and tunnels.
pub(super) fn families(all: &[Arc<UpstreamSeries>]) -> Vec<Family> {
    let mut families: Vec<Family> = attempts(all).into();
    families.extend(endpoints(all));
    families.push(certificates(all));
    let all_breakers: Vec<_> = all.iter().flat_map(|series| series.breakers()).collect();
    families.extend(breakers(&all_breakers));
    families.extend(shadows(&all_breakers));
    families.extend(tunnels(all));
    families.extend(load::throttles(all.iter().map(|series| (series.name.as_str(), &*series.throttle))));
    families.extend(load::families(all.iter().map(|series| (series.name.as_str(), &*series.load))));
    families
}

fn attempts(all: &[Arc<UpstreamSeries>]) -> [Family; 5] {
    let mut attempts = Family::counter("upstream_requests_total", "Attempts by verdict.");
    let mut evidence = Family::counter(
        "upstream_evidence_total",
        "Attempts by whom they speak against: nobody, the endpoint alone, or the upstream.",
    );
    let mut retries =
        Family::counter("retries_total", "Attempts beyond the first of an exchange, by reason.");
    let mut denied = Family::counter("retry_budget_denied_total", "Retries that the budget denied.");
    let told = "Second attempts beside the first (reason \"hedge\") that answered before it.";
    let mut won = Family::counter("hedges_won_total", told);
    for series in all {
        let name = ("upstream", series.name.as_str());
        for (verdict, count) in VERDICTS.iter().zip(series.verdicts()) {
            attempts.count(&[name, ("verdict", verdict)], count);
        }
        for (against, count) in Against::ALL.iter().zip(series.against()) {
            evidence.count(&[name, ("against", against.label())], count);
        }
        for (why, count) in RetryReason::ALL.iter().zip(series.retries()) {
            retries.count(&[name, ("reason", why.label())], count);
        }
        denied.count(&[name], series.retries_denied());
        won.count(&[name], series.hedges_won());
    }
    [attempts, evidence, retries, denied, won]
}

fn endpoints(all: &[Arc<UpstreamSeries>]) -> [Family; 3] {
    let mut connections = Family::gauge("upstream_connections", "Open connections.");
    let mut healthy = Family::gauge("upstream_endpoint_healthy", "1: the endpoint passes its checks.");
    let mut ejections = Family::counter(
        "upstream_endpoint_ejections_total",
        "Endpoints taken out of rotation for what attempts said of them, by the failure that did it.",
    );
    for series in all {
        let name = ("upstream", series.name.as_str());
        connections.set(&[name], series.connections.load(Ordering::Relaxed) as f64);
        for (endpoint, is_healthy) in series.endpoints() {
            healthy.set(&[name, ("endpoint", &endpoint)], f64::from(u8::from(is_healthy)));
        }
        for (why, count) in BadReason::ALL.iter().zip(series.ejections()) {
            ejections.count(&[name, ("why", why.label())], count);
        }
    }
    [connections, healthy, ejections]
}

fn certificates(all: &[Arc<UpstreamSeries>]) -> Family {
    let mut until = Family::gauge(
        "strop_upstream_certificate_expiry_timestamp_seconds",
        "When the certificate runs out that a server showed at the last handshake; absent: not observable.",
    );
    for series in all {
        for shown in series.certificates() {
            if let Some((_, ends)) = shown.valid {
                let labels = [("upstream", series.name.as_str()), ("host", &shown.name)];
                until.set(&labels, clock::unix_seconds(ends) as f64);
            }
        }
    }
    until
}

fn breakers(all: &[(Arc<BreakerSeries>, u64)]) -> [Family; 6] {
    let mut state = Family::gauge("circuit_breaker_state", "0 closed, 1 open, 2 half-open.");
    let mut set =
        Family::gauge("circuit_breaker_state_set", "1 for the state the breaker is in, 0 for the others.");
    let mut failures =
        Family::counter("circuit_breaker_failures", "Bad attempts; of an operation: exchanges.");
    let mut recovery = Family::histogram("circuit_breaker_recovery_time", "Seconds from opening to closing.");
    let mut transitions = Family::counter("breaker_transitions_total", "Changes of state, by cause.");
    let mut refused =
        Family::counter("breaker_refused_total", "Exchanges not begun because the breaker said no.");
    for (series, bad) in all {
        // `service` is its name until the version after this one.
        let [name, old] = [("upstream", &*series.label), ("service", &*series.label)];
        let breaker = series.numbers();
        state.set(&[name, old], f64::from(breaker.state));
        for (at, label) in ["closed", "open", "half_open"].iter().enumerate() {
            set.set(&[name, old, ("state", label)], f64::from(u8::from(at == usize::from(breaker.state))));
        }
        failures.count(&[name, old], *bad);
        breaker.recovery.show(&mut recovery, &[name, old]);
        for ((to, why), count) in &breaker.transitions {
            transitions.count(&[("upstream", &series.label), ("to", to), ("why", why)], *count);
        }
        for (reason, count) in Refusal::LABELS.iter().zip(series.refusals()) {
            refused.count(&[("upstream", &series.label), ("reason", reason)], count);
        }
    }
    [state, set, failures, recovery, transitions, refused]
}

fn shadows(all: &[(Arc<BreakerSeries>, u64)]) -> [Family; 3] {
    let mut state = Family::gauge(
        "circuit_breaker_shadow_state",
        "What a breaker in shadow would be: 0 closed, 1 open, 2 half-open. It refuses nothing.",
    );
    let mut refused = Family::counter(
        "breaker_shadow_refused_total",
        "Exchanges that were let through in shadow and that a breaker that is on would have refused.",
    );
    let mut transitions =
        Family::counter("breaker_shadow_transitions_total", "Changes of state in shadow, by cause.");
    for (series, _) in all {
        let breaker = series.numbers();
        let name = ("upstream", &*series.label);
        state.set(&[name, ("service", &series.label)], f64::from(breaker.shadow_state));
        refused.count(&[name], series.would_have_refused());
        for ((to, why), count) in &breaker.shadow_transitions {
            transitions.count(&[name, ("to", to), ("why", why)], *count);
        }
    }
    [state, refused, transitions]
}

fn tunnels(all: &[Arc<UpstreamSeries>]) -> [Family; 5] {
    let mut connect = Family::histogram("tunnel_connect_seconds", "TCP connect time of CONNECT tunnels.");
    let mut handshake = Family::histogram(
        "tunnel_tls_handshake_seconds",
        "TLS handshake time of tunnels, inferred from record headers.",
    );
    let mut first = Family::histogram(
        "tunnel_first_byte_seconds",
        "From the tunnel's connection to the first byte back.",
    );
    let mut bytes = Family::counter("tunnel_bytes_total", "Bytes through tunnels.");
    let mut resets = Family::counter("tunnel_resets_total", "Tunnels that the upstream reset.");
    for series in all {
        let tunnels = series.tunnels();
        if tunnels.connect.buckets.iter().all(|count| *count == 0) {
            continue;
        }
        let name = ("upstream", series.name.as_str());
        connect.seconds(&[name], &tunnels.connect);
        handshake.seconds(&[name], &tunnels.handshake);
        first.seconds(&[name], &tunnels.first_byte);
        bytes.count(&[name, ("direction", "up")], tunnels.up);
        bytes.count(&[name, ("direction", "down")], tunnels.down);
        resets.count(&[name], tunnels.resets);
    }
    [connect, handshake, first, bytes, resets]
}
