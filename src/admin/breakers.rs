//! Look at breakers, hold them open, close them, let them go.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};

use super::contract::{Breaker, Breakers, Moved, Order};
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::{Admin, dependencies, request};
use crate::control::{BreakerChange, BreakerOrder, BreakerOutcome, BreakerReply};
use crate::runtime::clock::{self, Moment};
use crate::units::Written as _;
use crate::upstream::Upstream;
use crate::upstream::gate::Gate;

/// How long an operator's hold lasts without a `ttl`.
const HOLD: Duration = Duration::from_secs(3_600);

/// A breaker as an operator names it: an upstream's, or `<upstream>.<operation>`.
struct NamedBreaker {
    upstream: Arc<Upstream>,
    name: String,
}

impl NamedBreaker {
    /// The breaker of that name, or the names there are.
    fn find(admin: &Admin, name: &str) -> Result<Self, ApiError> {
        let all = dependencies::sorted(admin);
        let of = name.split_once('.').map_or(name, |(upstream, _)| upstream);
        let upstream = all.iter().find(|upstream| upstream.config.name.as_str() == of);
        let known = |upstream: &&Arc<Upstream>| of == name || upstream.operations.named(name).is_some();
        let group = |upstream: &Arc<Upstream>| {
            let backup = upstream.backup.as_ref().filter(|backup| *backup.breaker.label == *name);
            backup.or(Some(upstream).filter(known)).map(Arc::clone)
        };
        let Some(upstream) = upstream.and_then(group) else {
            let known = all.iter().flat_map(|upstream| labels(upstream)).collect();
            return Err(ApiError::UnknownUpstream { name: name.to_owned(), known });
        };
        Ok(Self { upstream, name: name.to_owned() })
    }

    fn gate(&self) -> &Arc<Gate> {
        self.upstream.operations.named(&self.name).map_or(&self.upstream.gate, |operation| &operation.gate)
    }

    /// The status of the answer is that of the dependency.
    fn about(&self, admin: &Admin) -> Provenance {
        Provenance::now().of(dependencies::dependency(admin, &self.upstream).0)
    }

    fn view(&self, moment: Moment) -> Breaker {
        let operation = self.upstream.operations.named(&self.name);
        operation.map_or_else(
            || Breaker::of(&self.upstream, moment),
            |operation| Breaker::of_operation(&self.upstream, operation, moment),
        )
    }
}

fn labels(upstream: &Upstream) -> impl Iterator<Item = String> {
    let operations = upstream.operations.iter().map(|operation| operation.series.label.to_string());
    let backup = upstream.backup.iter().map(|backup| backup.breaker.label.to_string());
    std::iter::once(upstream.config.name.as_str().to_owned()).chain(backup).chain(operations)
}

/// All breakers: each upstream's, followed by those of its backup endpoints and of its operations.
#[cfg_attr(test, utoipa::path(get, path = "/circuit-breakers", responses((status = 200, body = Observed<Breakers>))))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Observed<Breakers>> {
    let moment = clock::now();
    let mut circuit_breakers = Vec::new();
    for upstream in dependencies::sorted(&admin) {
        circuit_breakers.extend(upstream.groups().map(|group| Breaker::of(group, moment)));
        let of = |operation| Breaker::of_operation(&upstream, operation, moment);
        circuit_breakers.extend(upstream.operations.iter().map(of));
    }
    Provenance::now().answer(&admin, Breakers { circuit_breakers })
}

/// One breaker by its name.
#[cfg_attr(test, utoipa::path(get, path = "/circuit-breakers/{name}", params(("name" = String, Path,)),
    responses((status = 200, body = Observed<Breaker>), (status = 404))))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
) -> Result<Json<Observed<Breaker>>, ApiError> {
    let found = NamedBreaker::find(&admin, &name)?;
    Ok(found.about(&admin).answer(&admin, found.view(clock::now())))
}

fn order(body: &Bytes) -> Result<(Order, Duration), ApiError> {
    let order: Order = request::body(body)?;
    let ttl = order.ttl.as_deref().map_or(Ok(HOLD), |text| request::ttl(text, "10m"))?;
    Ok((order, ttl))
}

/// One order of an operator, and what became of it.
async fn obey(
    admin: &Admin,
    name: &str,
    body: &Bytes,
    change: impl FnOnce(&Order, Duration) -> BreakerChange,
) -> Result<Json<Observed<Moved>>, ApiError> {
    let breaker = NamedBreaker::find(admin, name)?;
    let (order, ttl) = order(body)?;
    let moment = clock::now();
    let change = change(&order, ttl);
    let ordered = BreakerOrder {
        gate: breaker.gate(),
        upstream: breaker.upstream.config.name.as_str(),
        name,
        change,
        actor: request::who(order.actor),
        reason: order.reason.unwrap_or_else(|| "no reason given".to_owned()),
    };
    let BreakerReply { outcome, record, audit_id, stored } = admin.control.breaker(ordered, moment).await;
    let audit_id = admin.told(Some(audit_id), &record);
    let moved = Moved { circuit_breaker: breaker.view(moment), audit_id, stored, note: note(outcome) };
    Ok(breaker.about(admin).answer(admin, moved))
}

fn note(outcome: BreakerOutcome) -> String {
    match outcome {
        BreakerOutcome::HeldOpen(ttl) => format!("held open for {}", ttl.write()),
        BreakerOutcome::HeldClosed(ttl) => format!("held closed for {}", ttl.write()),
        BreakerOutcome::HalfOpen => {
            "half-open: it closes when its probes pass; send {\"force\": true} to close it at once".to_owned()
        }
        BreakerOutcome::Closed => "closed".to_owned(),
        BreakerOutcome::ClosedAsBefore => "closed, as it was before it was held".to_owned(),
        BreakerOutcome::Released => "released".to_owned(),
        BreakerOutcome::AlreadyClosed => "nothing to do".to_owned(),
        BreakerOutcome::NotHeld => "nothing to do: there is no hold".to_owned(),
    }
}

/// Hold a breaker open: nothing is sent until the hold expires, or is closed or released.
#[cfg_attr(test, utoipa::path(post, path = "/circuit-breakers/{name}/open", params(("name" = String, Path,)),
    request_body = Order, responses((status = 200, body = Observed<Moved>), (status = 400), (status = 404), (status = 413))))]
pub(super) async fn open(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Moved>>, ApiError> {
    obey(&admin, &name, &body, |_, ttl| BreakerChange::HoldOpen(ttl)).await
}

/// Close a breaker. One that is open goes to half-open and closes by passing its probes; `force` closes it at once.
#[cfg_attr(test, utoipa::path(post, path = "/circuit-breakers/{name}/close", params(("name" = String, Path,)),
    request_body = Order, responses((status = 200, body = Observed<Moved>), (status = 400), (status = 404), (status = 413))))]
pub(super) async fn close(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Moved>>, ApiError> {
    let change = |order: &Order, ttl| match (order.force, &order.ttl) {
        (true, Some(_)) => BreakerChange::HoldClosed(ttl),
        (true, None) => BreakerChange::CloseNow,
        (false, _) => BreakerChange::Close,
    };
    obey(&admin, &name, &body, change).await
}

/// End an operator's hold: the evidence rules again.
#[cfg_attr(test, utoipa::path(post, path = "/circuit-breakers/{name}/release", params(("name" = String, Path,)),
    request_body = Order, responses((status = 200, body = Observed<Moved>), (status = 400), (status = 404), (status = 413))))]
pub(super) async fn release(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Observed<Moved>>, ApiError> {
    obey(&admin, &name, &body, |_, _| BreakerChange::Release).await
}
