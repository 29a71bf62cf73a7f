//! Look at the degradation level, raise it, end the order.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::{self, bad};
use crate::config::word::Word as _;
use crate::control::{ActedReply, DegradationOrder, LevelChange, LevelView};
use crate::names::FeatureName;
use crate::reliability::degradation::{DegradationPolicy, Level};
use crate::runtime::clock::{self, Moment};

/// An order about the degradation level.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct LevelRequest {
    /// At least this level, 1 to 3; 0 ends an order. Required.
    #[cfg_attr(test, schema(minimum = 0, maximum = 3))]
    level: Option<u8>,
    /// Why; shown to everybody.
    reason: Option<String>,
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// How long, such as "15m"; at most 7 days. Required above level 0.
    ttl: Option<String>,
}

/// What a level means, beside what the levels below it mean.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct LevelMeaning {
    /// 1 to 3.
    level: u8,
    /// What the application is told to do without.
    features: Vec<String>,
    /// Routes that answer with their fallback at once.
    fallback: Vec<String>,
    /// Classes of routes whose requests are refused.
    shed: Vec<&'static str>,
}

/// How much of the service is given up, and why.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DegradationView {
    /// 0 (nothing is given up) to 3.
    level: u8,
    /// Since when it is this level, RFC 3339.
    since: String,
    /// order or breaker: what decides; null: level 0.
    raised_by: Option<&'static str>,
    /// Why, in the words of the order, else the breakers; null: level 0.
    why: Option<String>,
    /// Who gave the order; null: there is none.
    actor: Option<String>,
    /// When the order ends by itself, RFC 3339; null: there is none.
    until: Option<String>,
    /// What the application is told to do without.
    features: Vec<String>,
    /// Breakers that are not closed and have a part in it.
    breakers: Vec<String>,
    /// What the levels mean, from 1 on.
    levels: Vec<LevelMeaning>,
}

/// What an order did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct LevelChanged {
    /// As it is now.
    degradation: DegradationView,
    /// Of the audit record.
    audit_id: String,
    /// That record is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
    /// What was done, in words.
    note: String,
}

fn names(features: &[FeatureName]) -> Vec<String> {
    features.iter().map(|name| name.as_str().to_owned()).collect()
}

fn meanings(policy: &DegradationPolicy) -> Vec<LevelMeaning> {
    let meaning = |(level, meaning): (u8, &crate::reliability::degradation::LevelPolicy)| LevelMeaning {
        level,
        features: names(&meaning.features),
        fallback: meaning.fallback.iter().map(|route| route.as_str().to_owned()).collect(),
        shed: meaning.shed.iter().map(|class| class.word()).collect(),
    };
    (1..).zip(&policy.levels).map(meaning).collect()
}

impl DegradationView {
    fn of(view: &LevelView, policy: &DegradationPolicy, moment: Moment) -> Self {
        let wall = |at| clock::rfc3339(moment.wall_of(at));
        let directives = view.directives.as_deref();
        let order = view.order.as_ref();
        Self {
            level: directives.map_or(0, |directives| directives.level.number()),
            since: wall(view.since),
            raised_by: directives.map(|held| held.decided_by(order).map_or("breaker", |_| "order")),
            why: directives.map(|held| held.why(order)),
            actor: order.map(|order| order.actor.clone()),
            until: order.map(|order| wall(order.until)),
            features: directives.map_or_else(Vec::new, |directives| names(&directives.features)),
            breakers: directives.map_or_else(Vec::new, |directives| directives.breakers.clone()),
            levels: meanings(policy),
        }
    }

    fn now(admin: &Admin, moment: Moment) -> Self {
        let world = admin.registry.snapshot();
        Self::of(&admin.control.degradation(), &world.config.degradation, moment)
    }
}

/// The degradation level: what is given up, since when, why, until when, and what each level means.
#[cfg_attr(test, utoipa::path(get, path = "/degradation", responses((status = 200, body = Observed<DegradationView>))))]
pub(super) async fn show(State(admin): State<Arc<Admin>>) -> Json<Observed<DegradationView>> {
    let view = DegradationView::now(&admin, clock::now());
    Provenance::now().answer(&admin, view)
}

fn raise(level: Option<u8>, ttl: Option<&str>) -> Result<Option<(Level, Duration)>, ApiError> {
    let example = "write {\"level\": 2, \"reason\": \"…\", \"ttl\": \"15m\"}";
    let number = level.ok_or_else(|| bad(format!("level is missing; {example}")))?;
    let level = Level::of(number).ok_or_else(|| bad(format!("level {number} is not within 0 to 3")))?;
    let read = |text| request::ttl(text, "15m");
    match (number, ttl.map(read).transpose()?) {
        (0, _) => Ok(None),
        (_, Some(ttl)) => Ok(Some((level, ttl))),
        (_, None) => Err(bad(format!("ttl is missing: a level ends by itself; {example}"))),
    }
}

/// Raise the degradation level for a while, or end an order (level 0). What open breakers mean stays.
#[cfg_attr(test, utoipa::path(post, path = "/degradation", request_body = LevelRequest,
    responses((status = 200, body = Observed<LevelChanged>), (status = 400), (status = 413))))]
pub(super) async fn order(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<LevelChanged>>, ApiError> {
    let LevelRequest { level, reason, actor, ttl } = request::body(&body)?;
    let raise = raise(level, ttl.as_deref())?;
    let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
    let change = raise.map_or(LevelChange::Restore, |(level, ttl)| LevelChange::Raise(level, ttl));
    let ordered = DegradationOrder { change, actor: request::who(actor), reason };
    let moment = clock::now();
    let ActedReply { done, record, audit_id, stored } = admin.control.degrade(ordered, moment).await;
    let audit_id = admin.told(Some(audit_id), &record);
    let note = done.unwrap_or_else(|| "nothing to do: there was no order".to_owned());
    let degradation = DegradationView::now(&admin, moment);
    Ok(Provenance::now().answer(&admin, LevelChanged { degradation, audit_id, stored, note }))
}
