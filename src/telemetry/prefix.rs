//! Names of metrics: Strop's own stand under one prefix, `strop_`.
//!
//! The guide's names and OpenTelemetry's stay as they are, for dashboards that others have made. Until the version after this
//! one, each of the others is also there by its old name, whose help says so.

use prometheus::proto::MetricFamily;

const PREFIX: &str = "strop_";

/// The names of the guide.
const GUIDE: [&str; 11] = [
    "sre_uptime_percentage",
    "sre_error_rate",
    "sre_mttr_current_minutes",
    "sre_incidents_24h",
    "http_request_duration_ms",
    "http_requests_total",
    "slow_requests_total",
    "recovery_time_seconds",
    "circuit_breaker_state",
    "circuit_breaker_failures",
    "circuit_breaker_recovery_time",
];

/// Those of OpenTelemetry's conventions, of Prometheus' own clients, and of the guide's business metrics begin like this.
const OTHERS: [&str; 4] = ["http_server_", "http_client_", "process_", "sixfb_"];

/// The name under the prefix; `None`: it keeps its name.
fn own(name: &str) -> Option<String> {
    let keeps = name.starts_with(PREFIX)
        || GUIDE.contains(&name)
        || OTHERS.iter().any(|others| name.starts_with(others));
    (!keeps).then(|| format!("{PREFIX}{}", name.strip_prefix("sre_").unwrap_or(name)))
}

/// All families, those of Strop's own by both names.
pub(super) fn both_names(families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    let mut all = Vec::with_capacity(families.len() * 2);
    for mut old in families {
        if let Some(name) = own(old.name()) {
            let mut new = old.clone();
            old.set_help(format!("Old name of {name}, until the version after this one."));
            new.set_name(name);
            all.push(new);
        }
        all.push(old);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_has_the_prefix_and_what_others_named_keeps_its_name() {
        for (name, told) in [
            ("store_backlog", Some("strop_store_backlog")),
            ("sre_good_seconds_total", Some("strop_good_seconds_total")),
            ("circuit_breaker_state_set", Some("strop_circuit_breaker_state_set")),
            ("http_body_bytes_total", Some("strop_http_body_bytes_total")),
            ("sre_uptime_percentage", None),
            ("circuit_breaker_recovery_time", None),
            ("http_server_request_duration_seconds", None),
            ("process_open_fds", None),
            ("strop_build_info", None),
        ] {
            assert_eq!(own(name).as_deref(), told, "{name}");
        }
    }
}
