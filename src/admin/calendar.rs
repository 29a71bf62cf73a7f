//! The days of the last months, for a calendar of the ledger.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::request::Parameters;
use super::{Admin, reports, texts, uptime};
use crate::control::SERVICE;
use crate::reliability::ledger::Report;
use crate::report::calendar::CalendarDay;
use crate::report::days::DaysRequest;
use crate::report::gather;

/// Months of a calendar at most: a year.
const MONTHS: u8 = 12;
/// So many months as a window.
const WINDOWS: [&str; 12] =
    ["1mo", "2mo", "3mo", "4mo", "5mo", "6mo", "7mo", "8mo", "9mo", "10mo", "11mo", "12mo"];

/// Of whom, and how far back.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct DaysQuery {
    /// "service" or an upstream; the service as a whole without it.
    service: Option<String>,
    /// Calendar months, 1 to 12, the running one included; 12 without it.
    #[cfg_attr(test, param(minimum = 1, maximum = 12))]
    months: Option<u8>,
    /// An IANA name; UTC without it.
    time_zone: Option<String>,
}

/// One day of the ledger.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DayView {
    /// Such as 2026-10-25.
    date: String,
    /// Good seconds over measured ones, 0 to 1; null: nothing was measured.
    uptime: Option<f64>,
    up_seconds: u64,
    degraded_seconds: u64,
    down_seconds: u64,
    maintenance_seconds: u64,
    /// Nobody saw it. Seconds of today that are still to come are in none of these.
    unknown_seconds: u64,
    /// Good replies.
    good: u64,
    /// Replies that failed.
    bad: u64,
}

/// The days of the last months.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DaysView {
    /// "service", or an upstream.
    service: String,
    /// Whose days they are.
    time_zone: String,
    /// What is promised of the service, 0 to 1.
    target: f64,
    /// The oldest first; the last one is today.
    days: Vec<DayView>,
    /// Rows of the store that could not be read: their time is unknown.
    unreadable_rows: usize,
}

fn view((day, report): (CalendarDay, Report)) -> DayView {
    DayView {
        date: day.date,
        uptime: report.uptime(),
        up_seconds: report.up,
        degraded_seconds: report.degraded,
        down_seconds: report.down,
        maintenance_seconds: report.maintenance,
        unknown_seconds: report.unknown,
        good: report.counts.good,
        bad: report.counts.bad,
    }
}

/// Each day of the last months by the ledger of the store, with what is unknown told as unknown.
#[cfg_attr(test, utoipa::path(get, path = "/uptime/days", params(DaysQuery),
    responses((status = 200, body = Observed<DaysView>), (status = 400), (status = 503))))]
pub(super) async fn days(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<DaysQuery>,
) -> Result<Json<Observed<DaysView>>, ApiError> {
    texts::query([("service", wanted.service.as_deref())])?;
    let months = wanted.months.unwrap_or(MONTHS);
    let window = usize::from(months).checked_sub(1).and_then(|nth| WINDOWS.get(nth));
    let Some(window) = window else {
        return Err(ApiError::BadQuery { problem: format!("months {months} is not within 1 and {MONTHS}") });
    };
    let zone = reports::zone(wanted.time_zone.as_deref())?;
    let (subject, time_zone) = (wanted.service.unwrap_or_else(|| SERVICE.to_owned()), zone.name().to_owned());
    let asked = DaysRequest { subject: subject.clone(), months, zone, until: reports::now() };
    let reader = reports::reader(&admin)?;
    let work = async move { Ok(gather::days(&reader, &asked).await?) };
    let found = reports::made(&admin, work).await?;
    let snapshot = admin.control.snapshot();
    if !found.seen && subject != SERVICE && !snapshot.uptime.contains_key(&*subject) {
        let known = snapshot.uptime.keys().map(|name| name.to_string()).collect();
        return Err(ApiError::UnknownService { name: subject, known });
    }
    let all = found.days.iter().fold(Report::default(), |sum, (_, day)| sum.plus(*day));
    let view = DaysView {
        service: subject,
        time_zone,
        target: uptime::promised(&admin),
        days: found.days.into_iter().map(view).collect(),
        unreadable_rows: found.unreadable_rows,
    };
    let about = Provenance::looked(&admin, &snapshot).over(window, Some(all.coverage()));
    Ok(about.answer(&admin, view))
}
