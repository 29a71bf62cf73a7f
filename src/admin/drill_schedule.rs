//! The drill of each month, as the API shows it.

use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use super::contract::moment::when;
use crate::control::DrillScheduleView;

/// The drill of each month.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DrillScheduleShown {
    /// When, such as "first tuesday at 10:00 Europe/Berlin".
    when: String,
    upstream: String,
    fault: &'static str,
    /// The share of requests that are to be hit, 0 to 1.
    share: f64,
    /// How long the fault is injected.
    duration_seconds: f64,
    /// When it begins next, RFC 3339; up to an hour ago: it is due and has not begun yet.
    next: Option<String>,
    /// When one that was due was last seen not to begin, since the start of this process; null: never.
    last_refused: Option<String>,
    /// Why it did not.
    last_refusal: Option<String>,
}

impl DrillScheduleShown {
    pub(super) fn of(view: &DrillScheduleView) -> Self {
        let (plan, missed) = (&view.schedule.plan, view.missed.as_ref());
        Self {
            when: plan.when.to_string(),
            upstream: plan.order.upstream.to_string(),
            fault: plan.order.fault.label(),
            share: plan.order.share.ratio(),
            duration_seconds: plan.order.lasts.as_secs_f64(),
            next: view.next.map(when),
            last_refused: missed.map(|missed| when(missed.at)),
            last_refusal: missed.map(|missed| missed.why.to_string()),
        }
    }
}
