//! Reports over the API: the service level of a month, the review of an incident.
//!
//! They are made beside the control runtime's own work, at most two at a time: detection waits for none of them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
#[cfg(test)]
use utoipa::IntoParams;

use super::error::ApiError;
use super::request::{self, Parameters};
use super::{Admin, texts};
use crate::names::IncidentId;
use crate::report::calendar::Month;
use crate::report::gather;
use crate::report::hours::ServiceHours;
use crate::report::review;
use crate::report::sla::{Objectives, SlaRequest};
use crate::runtime::zone::Zone;
use crate::runtime::{clock, tasks};
use crate::store::Reader;
use crate::store::rows::millis;
use crate::units::At;

/// Which month, and how it is to be told.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct SlaWanted {
    /// The month, as 2026-10; required.
    month: String,
    /// An IANA name; UTC without it.
    time_zone: Option<String>,
    /// html, json or csv; json without it.
    format: Option<String>,
    /// Only this subject and its incidents; without it, the service and all its upstreams.
    service: Option<String>,
    /// Service hours that are reported beside the whole month, as mon-fri 08:00-20:00; several with semicolons.
    hours: Option<String>,
}

/// How a review is to be told.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReviewWanted {
    /// markdown or json; json without it.
    format: Option<String>,
    /// An IANA name; UTC without it.
    time_zone: Option<String>,
}

/// The form of an answer.
#[derive(Clone, Copy)]
pub(super) enum ReportFormat {
    Html,
    Json,
    Csv,
    Markdown,
}

/// The forms of an SLA report.
pub(super) const SLA_FORMS: [(&str, ReportFormat); 3] =
    [("html", ReportFormat::Html), ("json", ReportFormat::Json), ("csv", ReportFormat::Csv)];

/// The forms of a review.
pub(super) const REVIEW_FORMS: [(&str, ReportFormat); 2] =
    [("markdown", ReportFormat::Markdown), ("json", ReportFormat::Json)];

impl ReportFormat {
    pub(super) fn read(said: Option<&str>, known: &[(&str, Self)]) -> Result<Self, ApiError> {
        let said = said.unwrap_or("json");
        let found = known.iter().find(|(name, _)| *name == said).map(|(_, form)| *form);
        found.ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            request::unknown("format", said, &names)
        })
    }

    pub(super) fn answer(self, body: String) -> Response {
        let kind = match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Markdown => "text/markdown; charset=utf-8",
        };
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // The page needs nothing but its own style sheet, whatever a title may hold.
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        ];
        (headers, body).into_response()
    }
}

fn bad(problem: String) -> ApiError {
    ApiError::BadQuery { problem }
}

pub(super) fn now() -> At {
    At(millis(clock::now().wall))
}

/// What the config in force promises.
fn promised(admin: &Admin) -> Objectives {
    let slo = admin.reloader.status().config.watch.slo;
    Objectives { uptime: slo.uptime.ratio(), requests: slo.success.ratio() }
}

pub(super) fn zone(said: Option<&str>) -> Result<Zone, ApiError> {
    Zone::read(said.unwrap_or("UTC")).map_err(bad)
}

/// Makes a report beside everything else.
pub(super) async fn made<T: Send + 'static>(
    admin: &Admin,
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    // Nobody closes the semaphore.
    let turn = Arc::clone(&admin.reports).acquire_owned().await.map_err(|_| ApiError::Leaving)?;
    let work = async move {
        let _turn = turn; // given back when the work ends, not when the asker leaves
        work.await
    };
    tasks::aside(work).await.unwrap_or(Err(ApiError::Broken))
}

pub(super) fn reader(admin: &Admin) -> Result<Reader, ApiError> {
    admin.control.records().reader().ok_or(ApiError::NoStore)
}

/// The service level of a calendar month: uptime with its bounds, requests, error budgets, incidents, recommendations.
#[cfg_attr(test, utoipa::path(get, path = "/reports/sla", params(SlaWanted),
    responses((status = 200, content((serde_json::Value = "application/json"), (String = "text/html"), (String = "text/csv"))),
        (status = 400), (status = 503))))]
pub(super) async fn sla(
    State(admin): State<Arc<Admin>>,
    Parameters(wanted): Parameters<SlaWanted>,
) -> Result<Response, ApiError> {
    texts::query([("service", wanted.service.as_deref()), ("hours", wanted.hours.as_deref())])?;
    let form = ReportFormat::read(wanted.format.as_deref(), &SLA_FORMS)?;
    let asked = SlaRequest {
        month: Month::read(&wanted.month).map_err(bad)?,
        zone: zone(wanted.time_zone.as_deref())?,
        hours: wanted.hours.as_deref().map(ServiceHours::read).transpose().map_err(bad)?,
        service: wanted.service,
        until: now(),
        objectives: promised(&admin),
    };
    asked.has_begun().map_err(bad)?;
    let reader = reader(&admin)?;
    let work = async move {
        let sla = gather::sla(&reader, &asked).await?;
        Ok(match form {
            ReportFormat::Html => sla.html(),
            ReportFormat::Csv => sla.csv(),
            ReportFormat::Json | ReportFormat::Markdown => sla.json(),
        })
    };
    Ok(form.answer(made(&admin, work).await?))
}

/// What there is to review about an incident: clocks, impact, signals, deeds, changes, and what people filled in.
#[cfg_attr(test, utoipa::path(get, path = "/incidents/{id}/review", params(("id" = String, Path,), ReviewWanted),
    responses((status = 200, content((serde_json::Value = "application/json"), (String = "text/markdown"))),
        (status = 400), (status = 404), (status = 503))))]
pub(super) async fn review(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    Parameters(wanted): Parameters<ReviewWanted>,
) -> Result<Response, ApiError> {
    let form = ReportFormat::read(wanted.format.as_deref(), &REVIEW_FORMS)?;
    let zone = zone(wanted.time_zone.as_deref())?;
    let unknown = || ApiError::UnknownIncident { id: id.clone() };
    let id = IncidentId::read(&id).ok_or_else(unknown)?;
    let at_hand = admin.control.snapshot().incident(&id).map(|incident| (**incident).clone());
    let incident = match at_hand {
        Some(incident) => incident,
        None => admin.control.records().find(&id).await?.ok_or_else(unknown)?,
    };
    let asked = review::ReviewRequest { zone, until: now(), objectives: promised(&admin) };
    let reader = reader(&admin)?;
    let work = async move {
        let review = gather::review(&reader, &incident, &asked).await?;
        Ok(match form {
            ReportFormat::Markdown => review.markdown(),
            ReportFormat::Html | ReportFormat::Json | ReportFormat::Csv => review.json(),
        })
    };
    Ok(form.answer(made(&admin, work).await?))
}
