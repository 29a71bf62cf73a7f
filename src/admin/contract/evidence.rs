//! What a breaker has seen and where it went, as the API shows it.

use std::time::SystemTime;

use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use crate::reliability::breaker::{self, BreakerTransition};
use crate::runtime::clock::{self, Moment};

/// An attempt that counted against an upstream.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct FailedAttempt {
    /// When it was known.
    pub at: String,
    /// IP and port; null: no address was known.
    pub endpoint: Option<String>,
    /// connect, tls, timeout, reset, status, protocol or rate_limited.
    pub why: &'static str,
    /// Over a connection that had carried an exchange before.
    pub reused: bool,
    /// The route of its exchange.
    pub route: Option<String>,
}

impl FailedAttempt {
    pub(super) fn of(seen: breaker::FailedAttempt, moment: Moment) -> Self {
        let at = moment.wall - moment.instant.saturating_duration_since(seen.at);
        Self {
            at: clock::rfc3339(at),
            endpoint: seen.endpoint.map(|endpoint| endpoint.to_string()),
            why: seen.why.map_or("rate_limited", crate::reliability::verdict::BadReason::label),
            reused: seen.reused,
            route: seen.route.map(|route| route.as_str().to_owned()),
        }
    }
}

/// A change of state of a breaker.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct BreakerMove {
    /// When it changed.
    pub at: String,
    /// The state before it.
    pub from: &'static str,
    /// The state after it.
    pub to: &'static str,
    /// Why, in words.
    pub why: String,
}

impl BreakerMove {
    pub(super) fn of((at, moved): &(SystemTime, BreakerTransition)) -> Self {
        Self {
            at: clock::rfc3339(*at),
            from: moved.from.label(),
            to: moved.to.label(),
            why: moved.why.describe(),
        }
    }
}
