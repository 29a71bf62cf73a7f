//! Look at breakers, hold them open, close them, let them go.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};

use super::error::ApiError;
use super::wire::{self, Breaker, Breakers, Moved, Observed, Order};
use super::{Admin, upstreams};
use crate::control::Audited;
use crate::reliability::breaker::{BreakerState, Hold};
use crate::runtime::clock;
use crate::units::Written as _;

/// How long an operator's hold lasts without a `ttl`.
const HOLD: Duration = Duration::from_secs(3_600);
/// The longest hold: nobody remembers why after a week.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// All breakers.
#[utoipa::path(get, path = "/circuit-breakers", responses((status = 200, body = Observed<Breakers>)))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Observed<Breakers>> {
    let moment = clock::now();
    let circuit_breakers =
        upstreams::sorted(&admin).iter().map(|upstream| Breaker::of(upstream, moment)).collect();
    wire::now(Breakers { circuit_breakers })
}

/// One breaker.
#[utoipa::path(get, path = "/circuit-breakers/{name}", params(("name" = String, Path,)),
    responses((status = 200, body = Observed<Breaker>), (status = 404)))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<Observed<Breaker>>, ApiError> {
    let upstream = upstreams::find(&admin, &name)?;
    Ok(wire::now(Breaker::of(&upstream, clock::now())))
}

fn order(body: &Bytes) -> Result<(Order, Duration), ApiError> {
    let order: Order = super::asked::body(body)?;
    let ttl = match order.ttl.as_deref() {
        None => HOLD,
        Some(text) => match Duration::read(text) {
            Some(ttl) if !ttl.is_zero() && ttl <= LONGEST => ttl,
            Some(_) | None => {
                let problem = format!("ttl {text:?} is not within 1s and 7d; write \"10m\"");
                return Err(ApiError::BadBody { problem });
            }
        },
    };
    Ok((order, ttl))
}

fn who(order: &Order) -> (String, String) {
    let actor = order.actor.clone().unwrap_or_else(|| "admin-api".to_owned());
    let reason = order.reason.clone().unwrap_or_else(|| "no reason given".to_owned());
    (actor, reason)
}

fn audited(actor: String, action: &'static str, target: String, reason: String) -> Audited {
    Audited { actor, action, target, reason }
}

/// Hold a breaker open: nothing is sent until the hold expires, or is closed or released.
#[utoipa::path(post, path = "/circuit-breakers/{name}/open", params(("name" = String, Path,)),
    request_body = Order, responses((status = 200, body = Observed<Moved>), (status = 400), (status = 404)))]
pub(super) async fn open(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Moved>>, ApiError> {
    let upstream = upstreams::find(&admin, &name)?;
    let (order, ttl) = order(&body)?;
    let (actor, reason) = who(&order);
    let moment = clock::now();
    let hold = Hold {
        state: BreakerState::Open,
        reason: reason.clone(),
        actor: actor.clone(),
        until: moment.instant + ttl,
    };
    upstream.gate.hold(hold, moment.instant);
    let (audit_id, stored) = admin.recorded(&audited(actor, "breaker.open", name, reason)).await;
    let note = format!("held open for {}", ttl.write());
    Ok(wire::now(Moved { circuit_breaker: Breaker::of(&upstream, moment), audit_id, stored, note }))
}

/// Close a breaker. One that is open goes to half-open and closes by passing its probes; `force` closes it at once.
#[utoipa::path(post, path = "/circuit-breakers/{name}/close", params(("name" = String, Path,)),
    request_body = Order, responses((status = 200, body = Observed<Moved>), (status = 400), (status = 404)))]
pub(super) async fn close(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Moved>>, ApiError> {
    let upstream = upstreams::find(&admin, &name)?;
    let (order, ttl) = order(&body)?;
    let (actor, reason) = who(&order);
    let moment = clock::now();
    let note = if order.force && order.ttl.is_some() {
        let until = moment.instant + ttl;
        let hold = Hold { state: BreakerState::Closed, reason: reason.clone(), actor: actor.clone(), until };
        upstream.gate.hold(hold, moment.instant);
        format!("held closed for {}", ttl.write())
    } else if !upstream.gate.close(order.force, moment.instant) {
        "nothing to do".to_owned()
    } else if order.force {
        "closed".to_owned()
    } else {
        "half-open: it closes when its probes pass; send {\"force\": true} to close it at once".to_owned()
    };
    let (audit_id, stored) = admin.recorded(&audited(actor, "breaker.close", name, reason)).await;
    Ok(wire::now(Moved { circuit_breaker: Breaker::of(&upstream, moment), audit_id, stored, note }))
}

/// End an operator's hold: the evidence rules again.
#[utoipa::path(post, path = "/circuit-breakers/{name}/release", params(("name" = String, Path,)),
    request_body = Order, responses((status = 200, body = Observed<Moved>), (status = 400), (status = 404)))]
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Moved>>, ApiError> {
    let upstream = upstreams::find(&admin, &name)?;
    let (order, _) = order(&body)?;
    let (actor, reason) = who(&order);
    let moment = clock::now();
    let released = upstream.gate.release(moment.instant);
    let (audit_id, stored) = admin.recorded(&audited(actor, "breaker.release", name, reason)).await;
    let note = if released { "released" } else { "nothing to do: there is no hold" }.to_owned();
    Ok(wire::now(Moved { circuit_breaker: Breaker::of(&upstream, moment), audit_id, stored, note }))
}
