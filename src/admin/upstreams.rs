//! Upstreams, as operators read them: their health, breaker, endpoints and counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::{Path, State};

use super::Admin;
use super::contract::{Breaker, ConcurrencyView, EndpointView, ThrottleView, UpstreamView, Upstreams};
use super::dependencies;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use crate::reliability::retry::RetryReason;
use crate::reliability::verdict::Against;
use crate::runtime::clock::{self, Moment};
use crate::telemetry::upstreams::VERDICTS;
use crate::upstream::Upstream;

pub(super) fn view(upstream: &Upstream, moment: Moment) -> UpstreamView {
    let checked = upstream.config.health.is_some();
    let endpoint = |endpoint: &Arc<crate::upstream::endpoint::EndpointState>| EndpointView {
        address: endpoint.addr.to_string(),
        host: endpoint.host.clone(),
        healthy: checked.then(|| endpoint.is_healthy()),
        ejected_for_seconds: endpoint
            .out_until(moment.instant)
            .map(|until| until.saturating_duration_since(moment.instant).as_secs_f64()),
        ejections: endpoint.ejections(),
        in_flight: endpoint.in_flight(),
    };
    let retries = upstream.series.retries();
    UpstreamView {
        name: upstream.config.name.as_str().to_owned(),
        health: dependencies::dependency(upstream).1,
        endpoints: upstream.endpoints.load().iter().map(endpoint).collect(),
        hosts: upstream.config.hosts.clone(),
        tls_roots: upstream.tls.as_ref().map(|tls| tls.roots.label()),
        connections: upstream.connections.load(Ordering::Relaxed),
        connections_max: upstream.config.pool.connections,
        attempts: VERDICTS.into_iter().zip(upstream.series.verdicts()).collect(),
        evidence: Against::ALL.map(Against::label).into_iter().zip(upstream.series.against()).collect(),
        idle_closed_after_seconds: upstream.idle_closed_after().map(|after| after.as_secs_f64()),
        retries: retries.iter().sum(),
        retries_by_reason: RetryReason::ALL.map(RetryReason::label).into_iter().zip(retries).collect(),
        retries_denied: upstream.series.retries_denied(),
        hedges_won: upstream.series.hedges_won(),
        concurrency: ConcurrencyView::of(&upstream.series.load),
        throttle: ThrottleView::of(&upstream.series.throttle),
        breaker: Breaker::of(upstream, moment),
    }
}

/// All upstreams by name.
#[utoipa::path(get, path = "/upstreams", responses((status = 200, body = Observed<Upstreams>)))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Observed<Upstreams>> {
    let moment = clock::now();
    let upstreams = dependencies::sorted(&admin).iter().map(|upstream| view(upstream, moment)).collect();
    Provenance::now().answer(&admin, Upstreams { upstreams })
}

/// One upstream by its name.
#[utoipa::path(get, path = "/upstreams/{name}", params(("name" = String, Path,)),
    responses((status = 200, body = Observed<UpstreamView>), (status = 404)))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<Observed<UpstreamView>>, ApiError> {
    let upstream = dependencies::find(&admin, &name)?;
    let about = Provenance::now().of(dependencies::dependency(&upstream).0);
    Ok(about.answer(&admin, view(&upstream, clock::now())))
}
