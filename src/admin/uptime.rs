//! Was it up, and what may still go wrong?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::contract::incidents::Alerts;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, Parameters};
use crate::control::{Replied, ReplyWindow, Snapshot, UPTIME_WINDOWS, UptimeWindows};
use crate::reliability::ledger::Report;

/// What a range of time was.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Span {
    /// 24h, 7d or 30d.
    pub(super) window: &'static str,
    /// Good seconds over measured ones, 0 to 1; null: nothing was measured.
    pub(super) uptime: Option<f64>,
    /// The uptime when all unknown time was down, 0 to 1.
    pub(super) lowest: Option<f64>,
    /// The uptime when all unknown time was up, 0 to 1.
    pub(super) highest: Option<f64>,
    /// The share of the range that was observed, 0 to 1.
    pub(super) coverage: f64,
    up_seconds: u64,
    degraded_seconds: u64,
    down_seconds: u64,
    maintenance_seconds: u64,
    /// Nobody saw it: this sidecar was not running, or nothing was sent.
    unknown_seconds: u64,
}

/// One subject of the ledger.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Subject {
    /// "service", or an upstream.
    name: String,
    /// 24h, 7d and 30d, each to the second.
    windows: Vec<Span>,
}

/// Uptime by the ledger, of the service and each upstream.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct UptimeView {
    /// What is promised of the service, 0 to 1.
    target: f64,
    /// The service as a whole first.
    subjects: Vec<Subject>,
}

/// Over which window.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct WindowQuery {
    /// Only this window, by its name in `windows`. All of them without it.
    window: Option<String>,
}

impl WindowQuery {
    /// Is it known?
    fn check(&self, known: &[&str]) -> Result<(), ApiError> {
        request::word("window", self.window.as_deref(), known)
    }

    /// The longest of those that are asked for; `known`: the shortest first.
    fn longest<const N: usize>(&self, known: [&'static str; N]) -> &'static str {
        known.into_iter().rfind(|window| self.wants(window)).unwrap_or_default()
    }

    fn wants(&self, window: &str) -> bool {
        self.window.as_deref().is_none_or(|wanted| wanted == window)
    }
}

fn span((window, report): (&'static str, &Report)) -> Span {
    Span {
        window,
        uptime: report.uptime(),
        lowest: report.bounds().map(|(low, _)| low),
        highest: report.bounds().map(|(_, high)| high),
        coverage: report.coverage(),
        up_seconds: report.up,
        degraded_seconds: report.degraded,
        down_seconds: report.down,
        maintenance_seconds: report.maintenance,
        unknown_seconds: report.unknown,
    }
}

/// A subject's 24 hours, 7 days and 30 days.
pub(super) fn spans(windows: &UptimeWindows) -> Vec<Span> {
    windows.named().into_iter().map(span).collect()
}

/// What is promised of the service, 0 to 1.
pub(super) fn promised(admin: &Admin) -> f64 {
    admin.reloader.status().config.watch.slo.uptime.ratio()
}

/// Uptime by the second, with how much of the time was observed at all.
#[cfg_attr(test, utoipa::path(get, path = "/uptime", params(WindowQuery),
    responses((status = 200, body = Observed<UptimeView>), (status = 400))))]
pub(super) async fn uptime(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<WindowQuery>,
) -> Result<Json<Observed<UptimeView>>, ApiError> {
    wanted.check(&UPTIME_WINDOWS)?;
    let snapshot = admin.control.snapshot();
    let mut subjects: Vec<Subject> = snapshot
        .uptime
        .iter()
        .map(|(name, windows)| {
            let windows = spans(windows).into_iter().filter(|span| wanted.wants(span.window));
            Subject { name: name.to_string(), windows: windows.collect() }
        })
        .collect();
    subjects.sort_by_key(|subject| subject.name != crate::control::SERVICE);
    let service = snapshot.uptime.get(crate::control::SERVICE).map(|windows| windows.named());
    let longest = wanted.longest(UPTIME_WINDOWS);
    let covered = service.into_iter().flatten().find(|(window, _)| *window == longest);
    let coverage = covered.map_or(0.0, |(_, report)| report.coverage());
    let view = UptimeView { target: promised(&admin), subjects };
    Ok(Provenance::looked(&admin, &snapshot).over(longest, Some(coverage)).answer(&admin, view))
}

/// Replies of one window.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Burn {
    /// 5m, 30m, 1h, 6h or 3d.
    pub(super) window: &'static str,
    /// The share of the window in which this sidecar was running, 0 to 1.
    pub(super) coverage: f64,
    pub(super) good: u64,
    pub(super) bad: u64,
    /// Bad ones over all, 0 to 1; null: there were none.
    error_ratio: Option<f64>,
    /// How many times faster than allowed the budget goes; null: no replies.
    pub(super) burn_rate: Option<f64>,
}

/// The objective of the replies, and how it fares.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct SloView {
    /// Good replies that are promised, 0 to 1. Its own objective: never derived from the uptime.
    pub(super) objective: f64,
    /// 5m, 30m, 1h, 6h and 3d: what clients were answered, by this start and by earlier ones that the store has.
    pub(super) windows: Vec<Burn>,
}

fn burn(replied: &Replied, allowed: f64) -> Burn {
    let Replied { window, counts, coverage } = *replied;
    let ratio = counts.bad_ratio();
    Burn {
        window: window.label(),
        coverage,
        good: counts.good,
        bad: counts.bad,
        error_ratio: ratio,
        burn_rate: ratio.map(|ratio| ratio / allowed),
    }
}

impl SloView {
    pub(super) fn of(admin: &Admin, snapshot: &Snapshot) -> Self {
        let config = admin.reloader.status().config;
        let allowed = config.watch.policy.detect.errors.objective.allowed();
        let windows = snapshot.replies.iter().map(|one| burn(one, allowed));
        Self { objective: config.watch.slo.success.ratio(), windows: windows.collect() }
    }
}

/// Error budget and burn rates of the replies that clients got.
#[cfg_attr(test, utoipa::path(get, path = "/slo", params(WindowQuery),
    responses((status = 200, body = Observed<SloView>), (status = 400))))]
pub(super) async fn slo(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<WindowQuery>,
) -> Result<Json<Observed<SloView>>, ApiError> {
    let known = ReplyWindow::ALL.map(ReplyWindow::label);
    wanted.check(&known)?;
    let snapshot = admin.control.snapshot();
    let mut view = SloView::of(&admin, &snapshot);
    view.windows.retain(|burn| wanted.wants(burn.window));
    // Before the first look nothing of it is known.
    let coverage = view.windows.last().map_or(0.0, |longest| longest.coverage);
    let longest = wanted.longest(known);
    Ok(Provenance::looked(&admin, &snapshot).over(longest, Some(coverage)).answer(&admin, view))
}

/// The alerts that are pending or firing.
#[cfg_attr(test, utoipa::path(get, path = "/alerts", responses((status = 200, body = Observed<Alerts>))))]
pub(super) async fn alerts(State(admin): State<Arc<Admin>>) -> Json<Observed<Alerts>> {
    let snapshot = admin.control.snapshot();
    Provenance::looked(&admin, &snapshot).answer(&admin, Alerts::of(&snapshot))
}
