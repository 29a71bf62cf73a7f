//! Failover in the contract.

use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::ToSchema;

use super::EndpointView;
use crate::reliability::failover::{Failover, FailoverPolicy};
use crate::runtime::clock::{self, Moment};

/// An order about failover.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FailoverRequest {
    /// backup: call the backup endpoints; first: end such an order. Required.
    pub group: Option<String>,
    /// Why; shown to everybody.
    pub reason: Option<String>,
    /// Who; "admin-api" without it.
    pub actor: Option<String>,
    /// How long, such as "15m"; at most 7 days. Required for backup.
    pub ttl: Option<String>,
}

/// An order to call the backup endpoints.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct FailoverOrderView {
    /// Why, as the order says.
    pub reason: String,
    /// Who gave the order.
    pub actor: String,
    /// When it ends by itself, RFC 3339.
    pub until: String,
}

/// Which group of endpoints is called, and why.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct FailoverView {
    /// first or backup: the endpoints that are called.
    pub group: &'static str,
    /// Since when, RFC 3339; null: the first ones, from the beginning.
    pub since: Option<String>,
    /// health, breaker, no_address, order, recovered or backup_ill: what has led to the last switch; null: there was none.
    pub reason: Option<&'static str>,
    /// The same for people.
    pub why: Option<&'static str>,
    /// When the first endpoints are called again if they stay well, RFC 3339; null: they are called, they are not well, or an
    /// order holds.
    pub back_at: Option<String>,
    /// Seconds for which the first endpoints have to be well before they are called again: longer when they did not last.
    pub back_after_seconds: f64,
    /// An order to call the backup endpoints; null: there is none.
    pub order: Option<FailoverOrderView>,
    /// The backup endpoints.
    pub endpoints: Vec<EndpointView>,
}

impl FailoverView {
    /// What is decided, `endpoints`: of the backup group.
    pub fn of(
        failover: &Failover,
        policy: &FailoverPolicy,
        endpoints: Vec<EndpointView>,
        moment: Moment,
    ) -> Self {
        let wall = |at| clock::rfc3339(moment.wall_of(at));
        let switched = failover.switched();
        Self {
            group: failover.group().label(),
            since: switched.map(|(at, _)| wall(at)),
            reason: switched.map(|(_, why)| why.label()),
            why: switched.map(|(_, why)| why.describe()),
            back_at: failover.back_at(policy).map(wall),
            back_after_seconds: failover.wait(policy).as_secs_f64(),
            order: failover.order().map(|order| FailoverOrderView {
                reason: order.reason.clone(),
                actor: order.actor.clone(),
                until: wall(order.until),
            }),
            endpoints,
        }
    }
}

/// What an order about failover did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct FailoverReplied {
    /// As it is now.
    pub failover: FailoverView,
    /// Of the audit record.
    pub audit_id: String,
    /// That record is on disk. False: the store is off or away, and memory holds it.
    pub stored: bool,
    /// What was done, in words.
    pub note: String,
}
