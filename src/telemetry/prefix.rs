//! Names of metrics: Strop's own stand under one prefix, `strop_`.
//!
//! The guide's names and OpenTelemetry's stay as they are, for dashboards that others have made. Until the version after this
//! one, what had a name before there was a prefix is also there by that name, whose help says so; a new metric has one name.

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

/// All that had a name before there was a prefix. The list goes with the version after this one; nothing new joins it.
const OLD: [&str; 62] = [
    "access_log_dropped_total",
    "breaker_refused_total",
    "breaker_shadow_refused_total",
    "breaker_shadow_transitions_total",
    "breaker_transitions_total",
    "buffer_limit_bytes",
    "buffered_bytes",
    "circuit_breaker_shadow_state",
    "circuit_breaker_state_set",
    "config_generation",
    "config_last_reload_success_timestamp_seconds",
    "config_last_reload_successful",
    "connections_ended_total",
    "egress_bypass_connections_total",
    "egress_bypass_open_connections",
    "http_body_bytes_total",
    "http_request_outcomes_total",
    "listener_connections",
    "listener_refused_total",
    "log_lines_dropped_total",
    "log_lines_folded_total",
    "malformed_requests_total",
    "notify_attempt_seconds",
    "notify_attempts_total",
    "notify_oldest_undelivered_seconds",
    "notify_queue",
    "panics_total",
    "retries_total",
    "retry_budget_denied_total",
    "sre_acknowledge_seconds",
    "sre_detection_seconds",
    "sre_good_seconds_total",
    "sre_incident_transitions_total",
    "sre_incidents",
    "sre_incidents_24h_coverage_ratio",
    "sre_measured_seconds_total",
    "sre_recovery_seconds",
    "sre_resource_utilization_ratio",
    "sre_uptime_coverage_ratio",
    "store_audit_head_hash",
    "store_audit_head_row",
    "store_backlog",
    "store_backlog_limit",
    "store_backup_last_duration_seconds",
    "store_backup_last_size_bytes",
    "store_backup_last_success_timestamp_seconds",
    "store_backups_total",
    "store_commit_seconds",
    "store_state",
    "store_writes_folded_total",
    "store_writes_refused_total",
    "store_writes_total",
    "tunnel_bytes_total",
    "tunnel_connect_seconds",
    "tunnel_first_byte_seconds",
    "tunnel_resets_total",
    "tunnel_tls_handshake_seconds",
    "upstream_connections",
    "upstream_endpoint_ejections_total",
    "upstream_endpoint_healthy",
    "upstream_evidence_total",
    "upstream_requests_total",
];

/// The name under the prefix; `None`: it keeps its name.
fn own(name: &str) -> Option<String> {
    let keeps = name.starts_with(PREFIX)
        || GUIDE.contains(&name)
        || OTHERS.iter().any(|others| name.starts_with(others));
    (!keeps).then(|| format!("{PREFIX}{}", name.strip_prefix("sre_").unwrap_or(name)))
}

/// All families, those of Strop's own under the prefix, and by their old names where they had one.
pub(super) fn both_names(families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    let mut all = Vec::with_capacity(families.len() * 2);
    for mut old in families {
        let Some(name) = own(old.name()) else {
            all.push(old);
            continue;
        };
        let mut new = old.clone();
        if OLD.contains(&old.name()) {
            old.set_help(format!("Old name of {name}, until the version after this one."));
            all.push(old);
        }
        new.set_name(name);
        all.push(new);
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

    #[test]
    fn a_new_metric_has_no_old_name() {
        let family = |name: &str| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family
        };
        let named = |name: &str| -> Vec<String> {
            both_names(vec![family(name)]).iter().map(|family| family.name().to_owned()).collect()
        };
        assert_eq!(named("panics_total"), ["panics_total", "strop_panics_total"]);
        assert_eq!(named("moon_phase"), ["strop_moon_phase"]);
        assert_eq!(named("strop_pauses_total"), ["strop_pauses_total"]);
        assert_eq!(named("sre_error_rate"), ["sre_error_rate"]);
    }
}
