//! The contract: what the API's answers look like. A field is added, never changed.

mod evidence;
mod failover;
pub(in crate::admin) mod incidents;
mod load;
pub(in crate::admin) mod moment;
pub(in crate::admin) mod source;

use std::time::Instant;

use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

pub use self::evidence::{BreakerMove, FailedAttempt};
pub use self::failover::{FailoverReplied, FailoverRequest, FailoverView};
pub use self::load::{ConcurrencyView, ThrottleView};
use self::source::Source;
use crate::reliability::breaker::{self, BreakerPolicy, BreakerView};
use crate::runtime::clock::{self, Moment};
use crate::telemetry::breakers::BreakerSeries;
use crate::telemetry::latency::Summary;
use crate::upstream::Upstream;
use crate::upstream::gate::Gate;
use crate::upstream::operations::Operation;

/// An order to a breaker: hold it, close it or release it.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Why; shown to everybody.
    pub reason: Option<String>,
    /// Who; "admin-api" without it.
    pub actor: Option<String>,
    /// How long a hold lasts, such as "10m"; one hour by default.
    pub ttl: Option<String>,
    /// Close: believe the operator and not the evidence. Stays closed for `ttl` when that is given.
    pub force: bool,
}

/// An operator's override of a breaker.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct HoldView {
    /// The state that is held: open or closed.
    pub state: &'static str,
    /// Why, as the order says.
    pub reason: String,
    /// Who gave the order.
    pub actor: String,
    /// Seconds until it ends by itself.
    pub expires_in_seconds: f64,
}

/// One breaker: what requests meet there, and what it has seen.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct Breaker {
    /// The upstream's name; of an operation `<upstream>.<operation>`, of backup endpoints `<upstream>.backup`.
    pub name: String,
    /// closed, open or half_open: what requests meet.
    pub state: &'static str,
    /// Why; null: it has never moved.
    pub why: Option<String>,
    /// on, shadow (it counts and tells, and refuses nothing) or off.
    pub mode: &'static str,
    /// What it would be if it were on; null: it is not in shadow.
    pub shadow_state: Option<&'static str>,
    /// Growing back after closing.
    pub ramping: bool,
    /// When it got there.
    pub since: String,
    /// Rises with every transition.
    pub generation: u64,
    /// Bad exchanges in a row that count towards a trip.
    pub consecutive_failures: u32,
    /// Exchanges that trip it; null: off.
    pub failure_threshold: Option<u32>,
    /// Good probes that close it.
    pub success_threshold: u32,
    /// The first wait from open to half-open.
    pub recovery_timeout_seconds: f64,
    /// Exchanges in the window.
    pub window_requests: u64,
    /// Bad ones among them.
    pub window_failures: u64,
    /// Slow ones among them.
    pub window_slow: u64,
    /// Openings in a row.
    pub trips: u32,
    /// Seconds until probes may start; null: not open.
    pub probe_in_seconds: Option<f64>,
    /// Probes that are in flight now.
    pub probes_in_flight: u32,
    /// Good probes in a row.
    pub good_probes: u32,
    /// Active checks that passed in a row while it was not closed.
    pub good_checks: u32,
    /// The last attempts that exchanges failed with, oldest first; while it is not closed, those that tripped it.
    pub evidence: Vec<FailedAttempt>,
    /// The last changes of state, oldest first: twelve at most, since the start. None are of a breaker in shadow.
    pub moves: Vec<BreakerMove>,
    /// From opening to closing, the last time; null: it has not happened.
    pub last_recovery_seconds: Option<f64>,
    /// Bad attempts since the start; of an operation and of backup endpoints: exchanges.
    pub failures_total: u64,
    /// Exchanges not begun since the start.
    pub refused_total: u64,
    /// Exchanges that were let through in shadow since the start.
    pub shadow_refused_total: u64,
    /// The operator's override; null: there is none.
    pub hold: Option<HoldView>,
}

impl Breaker {
    /// The view of the breaker of an upstream, or of its backup group.
    pub fn of(upstream: &Upstream, moment: Moment) -> Self {
        Self::seen(&upstream.gate, &upstream.config.breaker, &upstream.breaker, upstream.failures(), moment)
    }

    /// Of one of its operations.
    pub fn of_operation(upstream: &Upstream, operation: &Operation, moment: Moment) -> Self {
        let series = &operation.series;
        Self::seen(&operation.gate, &upstream.config.breaker, series, series.failures(), moment)
    }

    fn seen(
        gate: &Gate,
        policy: &BreakerPolicy,
        series: &BreakerSeries,
        failures_total: u64,
        moment: Moment,
    ) -> Self {
        let (view, numbers): (BreakerView, _) = (gate.view(moment.instant), series.numbers());
        let until = |at: Instant| at.saturating_duration_since(moment.instant).as_secs_f64();
        let since = moment.wall - moment.instant.saturating_duration_since(view.since);
        Self {
            name: series.label.to_string(),
            state: view.state.label(),
            mode: view.mode.label(),
            shadow_state: view.shadow_state.map(breaker::BreakerState::label),
            ramping: view.ramping,
            since: clock::rfc3339(since),
            why: view.why.map(crate::reliability::breaker::TransitionCause::describe),
            generation: view.generation,
            consecutive_failures: view.consecutive,
            failure_threshold: policy.failures.map(std::num::NonZeroU32::get),
            success_threshold: policy.successes.get(),
            recovery_timeout_seconds: policy.open_for.as_secs_f64(),
            window_requests: view.tally.total,
            window_failures: view.tally.bad,
            window_slow: view.tally.slow,
            trips: view.trips,
            probe_in_seconds: view.open_until.map(until),
            probes_in_flight: view.probes_in_flight,
            good_probes: view.good_probes,
            good_checks: view.good_checks,
            evidence: view.evidence.into_iter().map(|seen| FailedAttempt::of(seen, moment)).collect(),
            moves: numbers.history.iter().map(BreakerMove::of).collect(),
            last_recovery_seconds: numbers.last_recovery.map(|took| took.as_secs_f64()),
            failures_total,
            refused_total: series.refusals().iter().sum(),
            shadow_refused_total: series.would_have_refused(),
            hold: view.hold.map(|hold| HoldView {
                state: hold.state.label(),
                expires_in_seconds: until(hold.until),
                reason: hold.reason,
                actor: hold.actor,
            }),
        }
    }
}

/// The breakers of upstreams and their operations.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct Breakers {
    /// In the order of their names.
    pub circuit_breakers: Vec<Breaker>,
}

/// What a mutation of a breaker did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct Moved {
    /// As it is now.
    pub circuit_breaker: Breaker,
    /// Of the audit record.
    pub audit_id: String,
    /// That record is on disk. False: the store is off or away, and memory holds it.
    pub stored: bool,
    /// What was done, in words.
    pub note: String,
}

/// One endpoint of an upstream.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct EndpointView {
    /// IP address and port.
    pub address: String,
    /// As it was written.
    pub host: String,
    /// null: not observable, nobody checks it.
    pub healthy: Option<bool>,
    /// Seconds for which it is still out of rotation for what attempts said of it; null: it is in rotation.
    pub ejected_for_seconds: Option<f64>,
    /// How often it was taken out since it is known.
    pub ejections: u64,
    /// Attempts that are in flight now.
    pub in_flight: usize,
}

/// One upstream: its health, endpoints, counts and breaker.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct UpstreamView {
    /// The name in `[upstreams.<name>]`.
    pub name: String,
    /// How it is, and how that is known.
    pub(in crate::admin) health: DependencyView,
    /// Its endpoints; empty: its names have no (allowed) address yet.
    pub endpoints: Vec<EndpointView>,
    /// Its backup endpoints, and which are called; null: it has none.
    pub failover: Option<FailoverView>,
    /// Host names by which egress finds it.
    pub hosts: Vec<String>,
    /// TLS towards it; null: plain.
    pub tls_roots: Option<&'static str>,
    /// Open connections over all workers.
    pub connections: usize,
    /// The most there may be.
    pub connections_max: usize,
    /// Attempts by verdict since the start.
    pub attempts: std::collections::BTreeMap<&'static str, u64>,
    /// Attempts by whom they speak against since the start: nobody, the endpoint alone, the upstream.
    pub evidence: std::collections::BTreeMap<&'static str, u64>,
    /// How soon it was seen closing idle connections, when that is sooner than `pool.idle_for`; null: it was not seen.
    pub idle_closed_after_seconds: Option<f64>,
    /// Retries since the start.
    pub retries: u64,
    /// The same by what they were for: not_processed, reset, unconnected, idempotent, key, status, hedge.
    pub retries_by_reason: std::collections::BTreeMap<&'static str, u64>,
    /// Retries the budget denied.
    pub retries_denied: u64,
    /// Of those for `hedge`, which answered before the first attempt.
    pub hedges_won: u64,
    /// What is under way to it and how much may be; null: `ingress.concurrency` is off, or it is not behind the ingress.
    pub concurrency: Option<ConcurrencyView>,
    /// How much less it is asked; null: `throttle` is off.
    pub throttle: Option<ThrottleView>,
    /// The breaker of the upstream itself; those of its operations stand in circuit-breakers.
    pub breaker: Breaker,
}

/// How a dependency is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(in crate::admin) struct DependencyView {
    /// The name in `[upstreams.<name>]`.
    pub name: String,
    /// healthy, recovering, degraded, unhealthy, or unknown: nobody has called or checked it.
    pub status: &'static str,
    /// What the status was decided by.
    pub reason: String,
    /// probed: there are active checks. observed: what exchanges say is all that is known.
    pub(in crate::admin) source: Source,
    /// closed, open or half_open: what requests meet.
    pub circuit_breaker: &'static str,
    /// Why the breaker is there; null: it has never moved.
    pub why: Option<String>,
    /// Addresses that its names have now.
    pub endpoints: usize,
    /// Those that pass their checks; null: not observable, nobody checks them.
    pub endpoints_healthy: Option<usize>,
}

/// All upstreams, each as a whole.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct Upstreams {
    /// In the order of their names.
    pub upstreams: Vec<UpstreamView>,
}

/// One window of one series.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct Window {
    /// 10s, 1m, 5m or 1h.
    pub window: &'static str,
    /// To the last byte.
    pub total: Summary,
    /// To the answer's head.
    pub first_byte: Summary,
}

/// One route and its upstream.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct SeriesView {
    /// The route's name, as metrics label it.
    pub route: String,
    /// Its template where it has one (with its host in front, if it has one of its own; with its method, where the application's
    /// document names it), else its name; never a path.
    pub http_route: String,
    /// The upstream that the route leads to.
    pub upstream: String,
    /// One of ingress and egress.
    pub direction: &'static str,
    /// Exchanges that are in flight now.
    pub in_flight: u64,
    /// Ended exchanges of the last five minutes by outcome.
    pub outcomes_5m: std::collections::BTreeMap<&'static str, u64>,
    /// Failures (not client errors, not clients that left) of the last five minutes, 0–1; null without exchanges.
    pub error_rate_5m: Option<f64>,
    /// What was measured in the last 10 s, minute, five minutes and hour.
    pub windows: Vec<Window>,
    /// p50, p95, p99 against their budgets, last minute; null: it is held to none.
    pub budgets: Option<std::collections::BTreeMap<&'static str, BudgetView>>,
}

/// A percentile and its budget.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct BudgetView {
    /// Up to which byte: first_byte or last_byte.
    pub until: &'static str,
    /// The budget's target in milliseconds.
    pub warn_ms: f64,
    /// The alert threshold, milliseconds.
    pub alert_ms: f64,
    /// Exchanges of the last minute.
    pub count: u64,
    /// Exchanges that took longer than the target.
    pub over_warn: u64,
    /// Over the alert threshold.
    pub over_alert: u64,
    /// met, warned or broken, beyond chance; null without exchanges.
    pub state: Option<&'static str>,
}

/// Latencies of all routes and upstreams.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct Performance {
    /// In the order of routes.
    pub series: Vec<SeriesView>,
    /// The targets of routes without a budget of their own, milliseconds.
    pub targets_ms: std::collections::BTreeMap<&'static str, f64>,
}

/// One sample of a metric.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct Sample {
    /// Name and labels, as Prometheus reads them.
    pub sample: String,
    /// null: not a finite number.
    pub value: Option<f64>,
}

/// All metrics, as JSON.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct MetricsView {
    /// In the order of /metrics.
    pub samples: Vec<Sample>,
}

/// The config in force.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct ConfigView {
    /// The config file; null: the built-in config.
    pub path: Option<String>,
    /// Rises with every applied config.
    pub generation: u64,
    /// Of the text in force.
    pub hash: String,
    /// When it came in force.
    pub loaded_at: String,
    /// When the file last changed; null: not observable.
    pub file_changed_at: Option<String>,
    /// The last reload; null: there was none.
    pub last_reload: Option<crate::config::reload::ReloadOutcome>,
    /// Every value, secrets left out.
    #[cfg_attr(test, schema(value_type = Object))]
    pub effective: serde_json::Value,
    /// Where values of `effective` come from, by key; one that is not here has its default.
    pub origins: std::collections::BTreeMap<String, crate::config::origin::KeyOrigin>,
}
