//! How long things take.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
#[cfg(test)]
use utoipa::IntoParams;

use super::Admin;
use super::contract::{BudgetView, MetricsView, Performance, Sample, SeriesView, Window};
use super::error::ApiError;
use super::observed::{Observed, Provenance, since_start};
use super::request::{self, Parameters};
use crate::config::problem::did_you_mean;
use crate::reliability::detect::{BudgetState, PercentileLimits, budget_state};
use crate::reliability::readings::Over;
use crate::runtime::clock;
use crate::telemetry::latency::LatencyWindow;
use crate::telemetry::series::{ExchangeOutcome, Series};

const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// How the last minute stands to its budgets. `chance`: how probably chance alone looks like it.
fn budgets(series: &Series, chance: f64, now: Instant) -> Option<BTreeMap<&'static str, BudgetView>> {
    let (yardstick, over) = series.slow_within(Duration::from_secs(60), now)?;
    let ms = |at: usize| yardstick.limits.get(at).map_or(0.0, |limit| limit.as_secs_f64() * 1_000.0);
    let view = |(at, share): (usize, f64)| {
        let [total, warn, alert] = [0, at + 1, at + 2].map(|at| over.get(at).copied().unwrap_or(0));
        let state = budget_state(Over { total, warn, alert }, share, chance);
        BudgetView {
            until: yardstick.until.label(),
            warn_ms: ms(at),
            alert_ms: ms(at + 1),
            count: total,
            over_warn: warn,
            over_alert: alert,
            state: state.map(BudgetState::label),
        }
    };
    let shares = [(0, 0.5), (2, 0.05), (4, 0.01)];
    Some(["p50", "p95", "p99"].into_iter().zip(shares.map(view)).collect())
}

/// Which routes, and over which window.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct PerformanceQuery {
    /// Only this route.
    route: Option<String>,
    /// Only this window: 10s, 1m, 5m or 1h. All of them without it.
    window: Option<String>,
}

impl PerformanceQuery {
    /// The windows that are asked for.
    fn spans(&self) -> Result<Vec<LatencyWindow>, ApiError> {
        request::word("window", self.window.as_deref(), &LatencyWindow::ALL.map(LatencyWindow::label))?;
        let wanted = |span: &LatencyWindow| self.window.as_deref().is_none_or(|said| said == span.label());
        Ok(LatencyWindow::ALL.into_iter().filter(wanted).collect())
    }

    /// The series of the route that is asked for.
    fn series(&self, admin: &Admin) -> Result<Vec<Arc<Series>>, ApiError> {
        let all = admin.telemetry.all_series();
        let Some(route) = &self.route else { return Ok(all) };
        let (wanted, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|series| series.key.0.as_str() == route);
        if wanted.is_empty() {
            let guess = did_you_mean(route, others.iter().map(|series| series.key.0.as_str()));
            let told = format!("no exchange of route {route:?} is known, and none is set{guess}");
            let hint = "GET /api/v2/sre/performance without `route` lists them";
            return Err(ApiError::Stated(StatusCode::NOT_FOUND, "unknown_series", told, hint));
        }
        Ok(wanted)
    }
}

fn view(series: &Series, spans: &[LatencyWindow], chance: f64, now: Instant) -> SeriesView {
    let outcomes = series.outcomes_within(FIVE_MINUTES, now);
    let sum = |wanted: fn(ExchangeOutcome) -> bool| -> u64 {
        ExchangeOutcome::ALL
            .iter()
            .zip(outcomes)
            .filter(|(outcome, _)| wanted(**outcome))
            .map(|(_, count)| count)
            .sum()
    };
    // A client that left says nothing about the service.
    let counted = sum(|outcome| outcome != ExchangeOutcome::ClientGone);
    let failed = sum(ExchangeOutcome::is_failure);
    let window = |span: LatencyWindow| {
        let (total, first_byte) = series.window(span, now);
        Window { window: span.label(), total, first_byte }
    };
    SeriesView {
        route: series.key.0.as_str().to_owned(),
        http_route: series.http_route().to_string(),
        upstream: series.key.1.as_str().to_owned(),
        direction: series.key.2.label(),
        in_flight: series.in_flight(),
        outcomes_5m: ExchangeOutcome::ALL.iter().map(|outcome| outcome.label()).zip(outcomes).collect(),
        error_rate_5m: (counted > 0).then(|| failed as f64 / counted as f64),
        windows: spans.iter().copied().map(window).collect(),
        budgets: budgets(series, chance, now),
    }
}

/// Latency by route, in rolling windows.
#[cfg_attr(test, utoipa::path(get, path = "/performance", params(PerformanceQuery),
    responses((status = 200, body = Observed<Performance>), (status = 400), (status = 404))))]
pub(super) async fn performance(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<PerformanceQuery>,
) -> Result<Json<Observed<Performance>>, ApiError> {
    let (spans, now) = (wanted.spans()?, clock::instant());
    let config = admin.reloader.status().config;
    let (budget, chance) = (config.latency.budget, config.watch.policy.detect.latency.suspect);
    let series = wanted.series(&admin)?;
    let series = series.iter().map(|series| view(series, &spans, chance, now)).collect();
    let target = |limits: PercentileLimits| limits.warn.as_secs_f64() * 1_000.0;
    let targets_ms =
        [("p50", target(budget.p50)), ("p95", target(budget.p95)), ("p99", target(budget.p99))].into();
    // What has ended since the windows last turned is not in them yet.
    let about = Provenance::seen(admin.telemetry.rotated().unwrap_or(admin.started.instant));
    let longest = spans.last().copied().unwrap_or(LatencyWindow::Hour);
    let known = since_start(&admin, Duration::from_secs(longest.seconds()));
    let about = about.over(longest.label(), Some(known));
    Ok(about.answer(&admin, Performance { series, targets_ms }))
}

/// The metrics as JSON; Prometheus reads them at /metrics.
#[cfg_attr(test, utoipa::path(get, path = "/metrics", responses((status = 200, body = Observed<MetricsView>))))]
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Json<Observed<MetricsView>> {
    let text = crate::telemetry::metrics::exposition(&admin.telemetry, None).body;
    let samples: Vec<Sample> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            // JSON has no infinity.
            let value = value.parse::<f64>().ok().filter(|value| value.is_finite());
            Some(Sample { sample: name.to_owned(), value })
        })
        .collect();
    Provenance::now().answer(&admin, MetricsView { samples })
}

/// The histograms of an hour as an HdrHistogram log: a minute each, old ones of busy routes up to five, microseconds.
#[cfg_attr(test, utoipa::path(get, path = "/latency.hlog", responses((status = 200, body = String, content_type = "text/plain"))))]
pub(super) async fn hlog(State(admin): State<Arc<Admin>>) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"strop.hlog\""),
    ];
    (headers, admin.telemetry.hlog(clock::now()))
}
