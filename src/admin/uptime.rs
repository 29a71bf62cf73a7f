//! Was it up, and what may still go wrong?

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use super::incidents_wire::Alerts;
use super::wire::{self, Observed};
use crate::reliability::counts::Counts;
use crate::reliability::ledger::Report;

/// What a range of time was.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Span {
    /// Good seconds over measured ones; null: nothing was measured.
    uptime_percentage: Option<f64>,
    /// The uptime when all unknown time was down.
    lowest_percentage: Option<f64>,
    /// The uptime when all unknown time was up.
    highest_percentage: Option<f64>,
    /// The share of the range that was observed, 0 to 1.
    coverage: f64,
    up_seconds: u64,
    degraded_seconds: u64,
    down_seconds: u64,
    maintenance_seconds: u64,
    /// Nobody saw it: this sidecar was not running, or nothing was sent.
    unknown_seconds: u64,
}

/// One subject of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Subject {
    /// "service", or an upstream.
    name: String,
    /// By length: 24h, 7d, 30d.
    windows: BTreeMap<&'static str, Span>,
}

/// The ledger.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UptimeView {
    /// What is promised of the service, percent.
    target_percentage: f64,
    /// The service as a whole first.
    subjects: Vec<Subject>,
}

fn span(report: &Report) -> Span {
    let percent = |share: f64| share * 100.0;
    Span {
        uptime_percentage: report.uptime().map(percent),
        lowest_percentage: report.bounds().map(|(low, _)| percent(low)),
        highest_percentage: report.bounds().map(|(_, high)| percent(high)),
        coverage: report.coverage(),
        up_seconds: report.up,
        degraded_seconds: report.degraded,
        down_seconds: report.down,
        maintenance_seconds: report.maintenance,
        unknown_seconds: report.unknown,
    }
}

/// Uptime by the second, with how much of the time was observed at all.
#[utoipa::path(get, path = "/uptime", responses((status = 200, body = Observed<UptimeView>)))]
pub(super) async fn uptime(State(admin): State<Arc<Admin>>) -> Json<Observed<UptimeView>> {
    let board = admin.control.board();
    let mut subjects: Vec<Subject> = board
        .uptime
        .iter()
        .map(|(name, reports)| Subject {
            name: name.to_string(),
            windows: ["24h", "7d", "30d"].into_iter().zip(reports.iter().map(span)).collect(),
        })
        .collect();
    subjects.sort_by_key(|subject| subject.name != crate::control::SERVICE);
    let promised = admin.reloader.status().config.watch.slo.uptime;
    wire::now(UptimeView { target_percentage: promised.percent(), subjects })
}

/// Replies of one window.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Burn {
    good: u64,
    bad: u64,
    /// Bad ones over all, 0 to 1; null: there were none.
    error_ratio: Option<f64>,
    /// How many times faster than allowed the budget goes; null: no replies.
    burn_rate: Option<f64>,
}

/// The objective of the replies, and how it fares.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SloView {
    /// Good replies that are promised, percent. Its own objective: never derived from the uptime.
    objective_percentage: f64,
    /// By length: 5m, 30m, 1h, 6h, 3d.
    windows: BTreeMap<&'static str, Burn>,
}

fn burn(counts: &Counts, allowed: f64) -> Burn {
    let ratio = counts.bad_ratio();
    Burn {
        good: counts.good,
        bad: counts.bad,
        error_ratio: ratio,
        burn_rate: ratio.map(|ratio| ratio / allowed),
    }
}

/// Error budget and burn rates of the replies that clients got.
#[utoipa::path(get, path = "/slo", responses((status = 200, body = Observed<SloView>)))]
pub(super) async fn slo(State(admin): State<Arc<Admin>>) -> Json<Observed<SloView>> {
    let board = admin.control.board();
    let config = admin.reloader.status().config;
    let allowed = config.watch.policy.detect.errors.objective.allowed();
    let windows = board.replies.iter().map(|(name, counts)| (*name, burn(counts, allowed)));
    wire::now(SloView {
        objective_percentage: config.watch.slo.success.percent(),
        windows: windows.collect(),
    })
}

/// The alerts that are pending or firing.
#[utoipa::path(get, path = "/alerts", responses((status = 200, body = Observed<Alerts>)))]
pub(super) async fn alerts(State(admin): State<Arc<Admin>>) -> Json<Observed<Alerts>> {
    wire::now(Alerts::of(&admin.control.board()))
}
