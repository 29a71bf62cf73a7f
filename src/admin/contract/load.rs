//! How much of an upstream is under way.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use crate::telemetry::load::{CLASSES, LoadSeries, ThrottleSeries};

/// Requests under way to an upstream behind the ingress, and how many may be.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct ConcurrencyView {
    /// Requests that may wait for their answer at once: what it seems to keep up with.
    pub limit: u32,
    /// Requests that wait for their answer now.
    pub in_flight: u32,
    /// Requests refused since the start, by class.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests that went on in shadow and would have been refused, by class.
    pub shadow_refused: BTreeMap<&'static str, u64>,
}

impl ConcurrencyView {
    /// `None`: nobody looks.
    pub(in crate::admin) fn of(series: &LoadSeries) -> Option<Self> {
        let limit = Some(series.limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0)?;
        let by_class = |counts: [u64; 3]| CLASSES.iter().map(|(_, label)| *label).zip(counts).collect();
        Some(Self {
            limit,
            in_flight: series.in_flight.load(Ordering::Relaxed),
            refused: by_class(series.refusals()),
            shadow_refused: by_class(series.shadow_refusals()),
        })
    }
}

/// How much less an upstream is asked because it turns requests away.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub struct ThrottleView {
    /// The chance of a request to be refused, 0 to 1.
    pub chance: f64,
    /// Requests refused since the start.
    pub refused: u64,
    /// Requests that went on in shadow and would have been refused.
    pub shadow_refused: u64,
}

impl ThrottleView {
    /// `None`: nobody looks.
    pub(in crate::admin) fn of(series: &ThrottleSeries) -> Option<Self> {
        Some(Self {
            chance: series.chance()?,
            refused: series.refused.load(Ordering::Relaxed),
            shadow_refused: series.shadow_refused.load(Ordering::Relaxed),
        })
    }
}
