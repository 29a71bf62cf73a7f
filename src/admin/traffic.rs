//! The traffic of the last hour, step by step: of the ingress, of a route, of an upstream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, Parameters};
use super::{Admin, dependencies};
use crate::config::Until;
use crate::config::problem::did_you_mean;
use crate::names::{RouteName, UpstreamName};
use crate::runtime::{clock, tasks};
use crate::telemetry::history::{HEAT_BOUNDS_MS, STEP, TrafficBin, TrafficScope, TrafficSteps};
use crate::telemetry::labels::{Direction, ExchangeOutcome};
use crate::telemetry::slow::Yardstick;

/// Windows that can be asked for, and their seconds.
pub(super) const WINDOWS: [(&str, u64); 3] = [("5m", 300), ("15m", 900), ("1h", 3_600)];
/// Steps that can be asked for, and their seconds.
pub(super) const STEP_LENGTHS: [(&str, u64); 4] = [("10s", 10), ("30s", 30), ("1m", 60), ("5m", 300)];

/// Which part of the traffic, how far back, and how finely.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct TrafficQuery {
    /// 5m, 15m or 1h; 1h without it.
    window: Option<String>,
    /// 10s, 30s, 1m or 5m; 10s without it.
    step: Option<String>,
    /// ingress or egress. Without it and without `route` and `upstream`, the ingress; else both.
    direction: Option<String>,
    /// Only this route.
    route: Option<String>,
    /// Only what goes to this upstream.
    upstream: Option<String>,
}

/// What was counted in one step.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct TrafficStep {
    /// When it begins.
    at: String,
    /// How long was observed, in seconds: a rate is `count` by these; null: nothing was, and so are all counts.
    seconds: Option<f64>,
    /// Exchanges that ended in it.
    count: Option<u64>,
    /// The same by outcome.
    outcomes: Option<BTreeMap<&'static str, u64>>,
    /// Median until the last byte; null: no exchange ended in it.
    p50_ms: Option<f64>,
    /// 90th percentile.
    p90_ms: Option<f64>,
    /// 95th percentile.
    p95_ms: Option<f64>,
    /// 99th percentile.
    p99_ms: Option<f64>,
    /// The longest one.
    max_ms: Option<f64>,
    /// Exchanges by how long they took, a count for each of `rows_ms`; null: not observed.
    heat: Option<Vec<u64>>,
}

/// What a percentile is held to.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct TrafficBudget {
    /// The target, milliseconds.
    warn_ms: f64,
    /// The alert threshold, milliseconds.
    alert_ms: f64,
}

/// The traffic of a part, step by step.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct TrafficView {
    /// null: both.
    direction: Option<&'static str>,
    /// null: all.
    route: Option<String>,
    /// null: all.
    upstream: Option<String>,
    /// The length of a step. The youngest one may be shorter, and one during which the process stood still is longer.
    step_seconds: u64,
    /// Since when it is known: it lives in memory for an hour, and a restart begins anew.
    known_since: String,
    /// Percentiles are exact to this share: two digits, less where one step of all routes would take too much room.
    precision: f64,
    /// p50, p95 and p99 until the last byte; null: these routes are held to none, or not all to the same.
    budgets: Option<BTreeMap<&'static str, TrafficBudget>>,
    /// Where the rows of `heat` begin, milliseconds; the last one has no end.
    rows_ms: Vec<f64>,
    /// The oldest first.
    steps: Vec<TrafficStep>,
}

/// What was asked for, read.
struct TrafficAsked {
    scope: TrafficScope,
    window: (&'static str, u64),
    step: u64,
}

fn of_set(
    field: &str,
    said: Option<&str>,
    known: &[(&'static str, u64)],
    usual: &'static str,
) -> Result<(&'static str, u64), ApiError> {
    let said = said.unwrap_or(usual);
    let found = known.iter().find(|(name, _)| *name == said);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        request::unknown(field, said, &names)
    })
}

impl TrafficAsked {
    fn read(wanted: &TrafficQuery, admin: &Admin, history: &TrafficSteps) -> Result<Self, ApiError> {
        let window = of_set("window", wanted.window.as_deref(), &WINDOWS, "1h")?;
        let (_, step) = of_set("step", wanted.step.as_deref(), &STEP_LENGTHS, "10s")?;
        request::word("direction", wanted.direction.as_deref(), &Direction::ALL.map(Direction::label))?;
        let direction = wanted.direction.as_deref();
        let direction = Direction::ALL.into_iter().find(|one| direction == Some(one.label()));
        let usual = wanted.route.is_none() && wanted.upstream.is_none();
        let none = |told: &str, name: &str, known: Vec<String>| {
            let guess = did_you_mean(name, known.iter().map(String::as_str));
            let told = format!("no exchange of {told} {name:?} is known, and none is set{guess}");
            let hint =
                "GET /api/v2/sre/performance lists the routes, GET /api/v2/sre/upstreams the upstreams";
            ApiError::Stated(StatusCode::NOT_FOUND, "unknown_series", told, hint)
        };
        let known = |scope: &TrafficScope| {
            history.has(scope) || admin.telemetry.all_series().iter().any(|series| scope.holds(&series.key))
        };
        let route = wanted.route.as_deref().map(|name| {
            let route = RouteName::new(name).ok();
            let scope = TrafficScope { route: route.clone(), ..TrafficScope::default() };
            let names = || admin.telemetry.all_series().iter().map(|one| one.key.0.to_string()).collect();
            route.filter(|_| known(&scope)).ok_or_else(|| none("route", name, names()))
        });
        let upstream = wanted.upstream.as_deref().map(|name| {
            let upstream = UpstreamName::new(name).ok();
            let scope = TrafficScope { upstream: upstream.clone(), ..TrafficScope::default() };
            let names = || admin.telemetry.all_series().iter().map(|one| one.key.1.to_string()).collect();
            let is_set = || dependencies::find(admin, name).is_ok();
            upstream.filter(|_| known(&scope) || is_set()).ok_or_else(|| none("upstream", name, names()))
        });
        let direction = direction.or(usual.then_some(Direction::Ingress));
        let scope = TrafficScope { direction, route: route.transpose()?, upstream: upstream.transpose()? };
        Ok(Self { scope, window, step })
    }
}

/// The budget that all series of a part are held to which carried anything in the last hour.
fn budgets(
    admin: &Admin,
    history: &TrafficSteps,
    scope: &TrafficScope,
) -> Option<BTreeMap<&'static str, TrafficBudget>> {
    let all = admin.telemetry.all_series();
    let used = all.iter().filter(|series| scope.holds(&series.key) && history.knows(&series.key));
    let mut held = used.map(|series| series.yardstick());
    let first = held.next()??;
    if held.any(|one| one != Some(first)) || first.until != Until::LastByte {
        return None;
    }
    let Yardstick { limits: [p50, p50_alert, p95, p95_alert, p99, p99_alert], .. } = first;
    let ms = |limit: Duration| limit.as_secs_f64() * 1_000.0;
    let budget = |warn, alert| TrafficBudget { warn_ms: ms(warn), alert_ms: ms(alert) };
    let all =
        [("p50", budget(p50, p50_alert)), ("p95", budget(p95, p95_alert)), ("p99", budget(p99, p99_alert))];
    Some(all.into())
}

/// The rows of the heat map that anything lies in, and those between them.
fn rows(bins: &[Option<TrafficBin>]) -> std::ops::Range<usize> {
    let used = |row: &usize| bins.iter().flatten().any(|bin| bin.heat[*row] > 0);
    let all = 0..HEAT_BOUNDS_MS.len();
    let first = all.clone().find(used).unwrap_or(0);
    first..all.rev().find(used).map_or(first, |last| last + 1)
}

fn step(at: String, bin: Option<&TrafficBin>, rows: &std::ops::Range<usize>) -> TrafficStep {
    let latency = bin.and_then(|bin| bin.latency);
    TrafficStep {
        at,
        seconds: bin.map(|bin| bin.to.saturating_duration_since(bin.from).as_secs_f64()),
        count: bin.map(|bin| bin.outcomes.iter().sum()),
        outcomes: bin.map(|bin| {
            ExchangeOutcome::ALL.map(ExchangeOutcome::label).into_iter().zip(bin.outcomes).collect()
        }),
        p50_ms: latency.map(|latency| latency.p50_ms),
        p90_ms: latency.map(|latency| latency.p90_ms),
        p95_ms: latency.map(|latency| latency.p95_ms),
        p99_ms: latency.map(|latency| latency.p99_ms),
        max_ms: latency.map(|latency| latency.max_ms),
        heat: bin.map(|bin| bin.heat[rows.clone()].to_vec()),
    }
}

/// The share of a window that was observed, 0 to 1.
fn coverage(bins: &[Option<TrafficBin>], seconds: u64) -> f64 {
    let known = bins.iter().flatten().map(|bin| bin.to.saturating_duration_since(bin.from));
    (known.sum::<Duration>().as_secs_f64() / seconds as f64).min(1.0)
}

/// Rate, outcomes, percentiles and durations of the last hour, in steps of ten seconds or more; of the ingress unless asked otherwise.
#[cfg_attr(test, utoipa::path(get, path = "/traffic", params(TrafficQuery),
    responses((status = 200, body = Observed<TrafficView>), (status = 400), (status = 404))))]
pub(super) async fn traffic(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<TrafficQuery>,
) -> Result<Json<Observed<TrafficView>>, ApiError> {
    let history = admin.telemetry.traffic();
    let TrafficAsked { scope, window: (window, seconds), step: length } =
        TrafficAsked::read(&wanted, &admin, &history)?;
    let steps = (length / STEP.as_secs()) as usize;
    let many = (seconds / length) as usize;
    // Nobody closes the semaphore. One at a time: what is read is up to some megabytes.
    let turn = Arc::clone(&admin.histories).acquire_owned().await.map_err(|_| ApiError::Leaving)?;
    let asked = scope.clone();
    let read = move || {
        let _turn = turn;
        (history.bins(&asked, steps, many), history)
    };
    let (bins, history) = tasks::blocking(read).await.ok_or(ApiError::Broken)?;
    let (now, used) = (clock::now(), rows(&bins));
    let youngest = now.wall_of(history.youngest(steps));
    let at = |back: usize| clock::rfc3339(youngest - Duration::from_secs(length) * back as u32);
    let told = bins.iter().enumerate().map(|(nth, bin)| step(at(many - 1 - nth), bin.as_ref(), &used));
    let view = TrafficView {
        direction: scope.direction.map(Direction::label),
        route: wanted.route,
        upstream: wanted.upstream,
        step_seconds: length,
        known_since: clock::rfc3339(now.wall_of(history.known_since())),
        precision: bins.iter().flatten().map(|bin| bin.precision).fold(1.0 / 128.0, f64::max),
        budgets: budgets(&admin, &history, &scope),
        rows_ms: HEAT_BOUNDS_MS[used.clone()].to_vec(),
        steps: told.collect(),
    };
    let about = Provenance::seen(history.observed()).over(window, Some(coverage(&bins, seconds)));
    Ok(about.answer(&admin, view))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::history::Latency;

    /// The largest answer: an hour of steps of ten seconds, every row in use, at a million exchanges a second.
    #[test]
    fn an_answer_is_at_most_400_kib() {
        let now = clock::instant();
        let ms = 119_999.999;
        let latency = Latency { p50_ms: ms, p90_ms: ms, p95_ms: ms, p99_ms: ms, max_ms: ms };
        let bin = TrafficBin {
            from: now,
            to: now + Duration::from_nanos(10_000_123_456),
            outcomes: [10_000_000; 7],
            latency: Some(latency),
            heat: [10_000_000; HEAT_BOUNDS_MS.len()],
            precision: 1.0 / 128.0,
        };
        let bins = vec![Some(bin); 360];
        let used = rows(&bins);
        assert_eq!(used, 0..HEAT_BOUNDS_MS.len());
        let at = || clock::rfc3339(std::time::SystemTime::UNIX_EPOCH);
        let steps: Vec<_> = bins.iter().map(|bin| step(at(), bin.as_ref(), &used)).collect();
        let bytes = serde_json::to_vec(&steps).expect("serialises").len();
        assert!(bytes <= 400 << 10, "{bytes}");
    }

    #[test]
    fn what_was_not_observed_is_null_and_not_0() {
        let told = serde_json::to_value(step(String::new(), None, &(0..3))).expect("serialises");
        let told = told.as_object().expect("an object");
        assert!(told.iter().all(|(field, value)| field == "at" || value.is_null()), "{told:?}");
    }
}
