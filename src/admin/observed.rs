//! What every answer says first: how it is and why, then when, by whom and of what it was observed.

use std::time::Duration;

use axum::Json;
use serde::Serialize;
#[cfg(test)]
use utoipa::ToSchema;

use super::Admin;
use super::contract::source::Source;
use super::dependencies;
use crate::control::Snapshot;
use crate::reliability::health::Health;
use crate::runtime::clock::{self, Moment};

/// An answer with its status, age and source.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct Observed<T: Serialize> {
    /// healthy, recovering, degraded, unhealthy or unknown: of what was asked for, else of the whole.
    pub status: &'static str,
    /// What the status was decided by.
    pub reason: String,
    /// When the newest fact in it was observed, RFC 3339.
    pub observed_at: String,
    /// How long ago that was, seconds. It grows while whatever observes stands still.
    pub age_seconds: f64,
    /// How it came about.
    pub source: Source,
    /// The sidecar that says so: its `process.name`.
    pub instance: String,
    /// The longest window that it sums up, such as 30d; null: it is of the moment.
    pub window: Option<&'static str>,
    /// The share of that window that is known, 0 to 1; null: it is of the moment.
    pub coverage: Option<f64>,
    /// What was observed, beside the fields above.
    #[serde(flatten)]
    pub data: T,
}

/// Where the facts of an answer are from.
pub(super) struct Provenance {
    seen: Moment,
    source: Source,
    window: Option<(&'static str, Option<f64>)>,
    health: Option<Health>,
}

impl Provenance {
    /// Looked at for this answer.
    pub(super) fn now() -> Self {
        Self { seen: clock::now(), source: Source::Observed, window: None, health: None }
    }

    /// As the control loop has seen it at its last look; before the first one, nothing has been seen since the start.
    pub(super) fn looked(admin: &Admin, snapshot: &Snapshot) -> Self {
        Self { seen: snapshot.looked.unwrap_or(admin.started), ..Self::now() }
    }

    /// What was seen at `instant`.
    pub(super) fn seen(instant: std::time::Instant) -> Self {
        let now = clock::now();
        let wall = now.wall - now.instant.saturating_duration_since(instant);
        Self { seen: Moment { wall, instant }, ..Self::now() }
    }

    /// It sums up a window of which this share is known.
    pub(super) fn over(self, window: &'static str, coverage: Option<f64>) -> Self {
        Self { window: Some((window, coverage)), ..self }
    }

    /// It came about like this.
    pub(super) fn by(self, source: Source) -> Self {
        Self { source, ..self }
    }

    /// Its status is of what was asked for, not of the whole.
    pub(super) fn of(self, health: Health) -> Self {
        Self { health: Some(health), ..self }
    }

    /// The answer with the status, age and coverage of these facts.
    pub(super) fn answer<T: Serialize>(self, admin: &Admin, data: T) -> Json<Observed<T>> {
        let Health { status, reason } = self.health.unwrap_or_else(|| dependencies::of_the_whole(admin));
        let age = clock::instant().saturating_duration_since(self.seen.instant);
        Json(Observed {
            status: status.label(),
            reason,
            observed_at: clock::rfc3339(self.seen.wall),
            age_seconds: age.as_secs_f64(),
            source: self.source,
            instance: admin.control.records().member().to_owned(),
            window: self.window.map(|(name, _)| name),
            coverage: self.window.and_then(|(_, coverage)| coverage),
            data,
        })
    }
}

/// The share of a window of `length` that lies after the start of the process, 0 to 1.
pub(super) fn since_start(admin: &Admin, length: Duration) -> f64 {
    let up = clock::instant().saturating_duration_since(admin.started.instant);
    (up.as_secs_f64() / length.as_secs_f64()).min(1.0)
}
