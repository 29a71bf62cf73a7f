//! One look at the sidecar, and what of it is wanted: over which window, in which order.

use serde_json::Value;

/// By what the list is sorted, the most first; names from a on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SortKey {
    Name,
    Rate,
    Failed,
    Slow,
    InFlight,
}

impl SortKey {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Name => Self::Rate,
            Self::Rate => Self::Failed,
            Self::Failed => Self::Slow,
            Self::Slow => Self::InFlight,
            Self::InFlight => Self::Name,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Rate => "rate",
            Self::Failed => "failed",
            Self::Slow => "p99",
            Self::InFlight => "in flight",
        }
    }
}

/// Over which window rates and percentiles are shown, as the API names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopSpan {
    TenSeconds,
    Minute,
    FiveMinutes,
    Hour,
}

impl TopSpan {
    pub(super) fn next(self) -> Self {
        match self {
            Self::TenSeconds => Self::Minute,
            Self::Minute => Self::FiveMinutes,
            Self::FiveMinutes => Self::Hour,
            Self::Hour => Self::TenSeconds,
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::TenSeconds => "10s",
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
        }
    }

    pub(super) fn seconds(self) -> f64 {
        match self {
            Self::TenSeconds => 10.0,
            Self::Minute => 60.0,
            Self::FiveMinutes => 300.0,
            Self::Hour => 3_600.0,
        }
    }
}

/// The answers of one look.
#[derive(Clone, Debug, Default)]
pub(super) struct TopLook {
    pub(super) performance: Value,
    pub(super) upstreams: Value,
    pub(super) breakers: Value,
    pub(super) dashboard: Value,
}
