//! Upstreams, as operators read them: their health, breaker, endpoints and counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};

use super::Admin;
use super::contract::{
    Breaker, ConcurrencyView, EndpointView, FailoverReplied, FailoverRequest, FailoverView, ThrottleView,
    UpstreamView, Upstreams,
};
use super::dependencies;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, bad};
use crate::control::{ActedReply, FailoverChange, FailoverOrdered};
use crate::reliability::retry::RetryReason;
use crate::reliability::verdict::Against;
use crate::runtime::clock::{self, Moment};
use crate::telemetry::upstreams::VERDICTS;
use crate::upstream::Upstream;

fn endpoints(upstream: &Upstream, moment: Moment) -> Vec<EndpointView> {
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
    upstream.endpoints.load().iter().map(endpoint).collect()
}

fn failover(admin: &Admin, upstream: &Upstream, moment: Moment) -> Option<FailoverView> {
    let (backup, config) = (upstream.backup.as_ref()?, upstream.config.backup.as_ref()?);
    let decided = admin.control.failover(&upstream.config.name).unwrap_or_default();
    Some(FailoverView::of(&decided, &config.policy, endpoints(backup, moment), moment))
}

pub(super) fn view(admin: &Admin, upstream: &Upstream, moment: Moment) -> UpstreamView {
    let retries = upstream.series.retries();
    UpstreamView {
        name: upstream.config.name.as_str().to_owned(),
        health: dependencies::dependency(admin, upstream).1,
        endpoints: endpoints(upstream, moment),
        failover: failover(admin, upstream, moment),
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
#[cfg_attr(test, utoipa::path(get, path = "/upstreams", responses((status = 200, body = Observed<Upstreams>))))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Observed<Upstreams>> {
    let moment = clock::now();
    let upstreams =
        dependencies::sorted(&admin).iter().map(|upstream| view(&admin, upstream, moment)).collect();
    Provenance::now().answer(&admin, Upstreams { upstreams })
}

/// One upstream by its name.
#[cfg_attr(test, utoipa::path(get, path = "/upstreams/{name}", params(("name" = String, Path,)),
    responses((status = 200, body = Observed<UpstreamView>), (status = 404))))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<Observed<UpstreamView>>, ApiError> {
    let upstream = dependencies::find(&admin, &name)?;
    let about = Provenance::now().of(dependencies::dependency(&admin, &upstream).0);
    Ok(about.answer(&admin, view(&admin, &upstream, clock::now())))
}

fn change(group: Option<&str>, ttl: Option<&str>) -> Result<FailoverChange, ApiError> {
    let example = "write {\"group\": \"backup\", \"reason\": \"…\", \"ttl\": \"15m\"}";
    let read = |text| request::ttl(text, "15m");
    match (group, ttl.map(read).transpose()?) {
        (Some("first"), _) => Ok(FailoverChange::Release),
        (Some("backup"), Some(ttl)) => Ok(FailoverChange::Backup(ttl)),
        (Some("backup"), None) => Err(bad(format!("ttl is missing: a failover ends by itself; {example}"))),
        (Some(group), _) => Err(bad(format!("group {group:?} is none of first and backup; {example}"))),
        (None, _) => Err(bad(format!("group is missing; {example}"))),
    }
}

/// Call the backup endpoints of an upstream for a while, or end such an order (group first): then the first ones are called
/// again once they have been well for `failover.back_after`. Backup endpoints that are worse off than the first ones are not
/// called.
#[cfg_attr(test, utoipa::path(post, path = "/upstreams/{name}/failover", params(("name" = String, Path,)),
    request_body = FailoverRequest,
    responses((status = 200, body = Observed<FailoverReplied>), (status = 400), (status = 404), (status = 413))))]
pub(super) async fn fail_over(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<FailoverReplied>>, ApiError> {
    let upstream = dependencies::find(&admin, &name)?;
    let FailoverRequest { group, reason, actor, ttl } = request::body(&body)?;
    let change = change(group.as_deref(), ttl.as_deref())?;
    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
    let (of, actor, moment) = (upstream.config.name.clone(), request::who(actor), clock::now());
    let order = FailoverOrdered { upstream: of, change, actor, reason };
    let reply = admin.control.fail_over(order, moment).await;
    let none =
        || bad(format!("{name} has no backup endpoints; write upstreams.{name}.backup = [\"host:port\"]"));
    let (reply, failover) = reply.zip(failover(&admin, &upstream, moment)).ok_or_else(none)?;
    let ActedReply { done, record, audit_id, stored } = reply;
    let audit_id = admin.told(Some(audit_id), &record);
    let note = done.unwrap_or_else(|| "nothing to do: there was no order".to_owned());
    Ok(Provenance::now().answer(&admin, FailoverReplied { failover, audit_id, stored, note }))
}
