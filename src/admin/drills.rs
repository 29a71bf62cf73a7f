//! Drills: begin one, look at it, end it, read its report.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::contract::moment::when;
use super::drill_schedule::DrillScheduleShown;
use super::error::ApiError;
use super::observed::{Observed, Provenance};
use super::reports::ReportFormat;
use super::request::{self, Parameters, bad};
use crate::control::{DrillEndOrder, DrillReply, DrillStart};
use crate::reliability::drill::{
    DETECT_WITHIN, Drill, DrillCalls, DrillOrder, DrillReach, DrillRefused, Fault, PaymentsAtRisk,
    RECOVER_WITHIN,
};
use crate::report;
use crate::runtime::clock;
use crate::units::{Percent, Written};

/// A drill to be.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct DrillRequest {
    /// Whose requests are hit. Required.
    upstream: Option<String>,
    /// latency, error, reset or blackhole. Required.
    fault: Option<String>,
    /// With latency: how much later a request is sent, such as "500ms"; at most 60 s.
    latency: Option<String>,
    /// With error: the status; 503 without it.
    #[cfg_attr(test, schema(minimum = 500, maximum = 599))]
    status: Option<u16>,
    /// The share of requests that are hit, such as "20%". Required.
    percent: Option<String>,
    /// How long, such as "5m". Required.
    duration: Option<String>,
    /// Other methods than GET, HEAD and OPTIONS are hit too. What takes a payment never is.
    writes: bool,
    /// The upstream may be one that takes payments: its breaker may refuse them while it is open.
    payments: bool,
    /// People are called as for a real incident; each message says that it is a drill.
    call: bool,
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why; shown to everybody.
    reason: Option<String>,
}

/// Who ends it, and why.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(ToSchema))]
#[serde(default, deny_unknown_fields)]
pub(super) struct DrillStop {
    /// Who; "admin-api" without it.
    actor: Option<String>,
    /// Why; kept in the audit log.
    reason: Option<String>,
}

/// The forms of a drill's report.
pub(super) const FORMS: [(&str, ReportFormat); 3] =
    [("markdown", ReportFormat::Markdown), ("html", ReportFormat::Html), ("json", ReportFormat::Json)];

/// How a report is to be told.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(IntoParams))]
#[cfg_attr(test, into_params(parameter_in = Query))]
#[serde(default, deny_unknown_fields)]
pub(super) struct DrillReportWanted {
    /// markdown, html or json; json without it.
    format: Option<String>,
}

/// An incident of a drill.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DrillIncidentView {
    id: String,
    state: &'static str,
    /// When it was first suspected, RFC 3339.
    suspected: String,
    /// When it was confirmed; null: it was not.
    opened: Option<String>,
    /// When its condition was last seen to end; null: it was not.
    recovered: Option<String>,
}

/// A drill, with what was measured so far. Null: not observed.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DrillView {
    id: String,
    upstream: String,
    fault: &'static str,
    /// With latency: seconds.
    latency_seconds: Option<f64>,
    /// With error: the status of the answers.
    error_status: Option<u16>,
    /// The share of requests that were to be hit, 0 to 1.
    share: f64,
    writes: bool,
    /// People are called.
    call: bool,
    actor: String,
    reason: String,
    /// injecting, settling (no fault any more, what it did goes by) or over.
    phase: &'static str,
    began: String,
    /// When the injection ends by itself, RFC 3339.
    until: String,
    /// When the injection ended; null: it goes on.
    ended: Option<String>,
    /// window, stopped or aborted (by the guard).
    end: Option<&'static str>,
    /// The same in words.
    end_reason: Option<String>,
    /// Attempts that were hit.
    hit: u64,
    /// Exchanges with the upstream meanwhile.
    exchanges: u64,
    /// Exchanges that failed by a hit.
    failed: u64,
    /// Exchanges that the upstream's breaker, or another protection, refused.
    refused: u64,
    /// Exchanges that failed and were not hit.
    own_failures: u64,
    first_hit: Option<String>,
    /// From the first hit to the first suspicion.
    suspicion_seconds: Option<f64>,
    /// From the first hit to the first confirmed incident.
    detection_seconds: Option<f64>,
    /// The guide's target: less than this.
    detection_target_seconds: f64,
    /// From the end of the injection to the end of all that it did.
    recovery_seconds: Option<f64>,
    /// The guide's target: less than this.
    recovery_target_seconds: f64,
    /// When the upstream's breaker was seen open.
    breaker_opened: Option<String>,
    /// When it was seen closed again.
    breaker_closed: Option<String>,
    incidents: Vec<DrillIncidentView>,
    /// Who was called.
    called: Vec<String>,
}

/// Drills at hand.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DrillList {
    /// Drills may be ordered: `drill.mode` is on.
    enabled: bool,
    /// The drill that begins by itself once a month, as `drill.schedule` says; null: none does.
    schedule: Option<DrillScheduleShown>,
    /// The youngest first; of those that are over the last twenty of this process.
    drills: Vec<DrillView>,
}

/// What an order did.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ToSchema))]
pub(super) struct DrillChanged {
    /// As it is now.
    drill: DrillView,
    /// Of the audit record.
    audit_id: String,
    /// That record is on disk. False: the store is off or away, and memory holds it.
    stored: bool,
}

impl DrillView {
    fn of(drill: &Drill) -> Self {
        let (order, counts, ended) = (&drill.order, &drill.counts, drill.ended());
        let seconds = |span: Option<Duration>| span.map(|span| span.as_secs_f64());
        let (latency, error_status) = match order.fault {
            Fault::Latency(more) => (Some(more), None),
            Fault::Error(status) => (None, Some(status)),
            Fault::Reset | Fault::Blackhole => (None, None),
        };
        let incidents = drill.incidents.iter().map(|one| DrillIncidentView {
            id: one.id.to_string(),
            state: one.state.label(),
            suspected: when(one.suspected),
            opened: one.opened.map(when),
            recovered: one.recovered.map(when),
        });
        Self {
            id: drill.id.to_string(),
            upstream: order.upstream.to_string(),
            fault: order.fault.label(),
            latency_seconds: seconds(latency),
            error_status,
            share: order.share.ratio(),
            writes: order.reach == DrillReach::Writes,
            call: order.calls == DrillCalls::Ladder,
            actor: order.actor.clone(),
            reason: order.reason.clone(),
            phase: drill.phase.label(),
            began: when(drill.began),
            until: when(drill.until()),
            ended: ended.map(|(at, _)| when(at)),
            end: ended.map(|(_, end)| end.label()),
            end_reason: ended.map(|(_, end)| end.describe()),
            hit: counts.hit,
            exchanges: counts.exchanges,
            failed: counts.failed,
            refused: counts.refused,
            own_failures: counts.own_failures,
            first_hit: drill.first_hit().map(when),
            suspicion_seconds: seconds(drill.to_suspect()),
            detection_seconds: seconds(drill.to_detect()),
            detection_target_seconds: DETECT_WITHIN.as_secs_f64(),
            recovery_seconds: seconds(drill.to_recover()),
            recovery_target_seconds: RECOVER_WITHIN.as_secs_f64(),
            breaker_opened: drill.breaker_opened.map(when),
            breaker_closed: drill.breaker_closed.map(when),
            incidents: incidents.collect(),
            called: drill.called().map(str::to_owned).collect(),
        }
    }
}

const EXAMPLE: &str = "write {\"upstream\": \"stripe\", \"fault\": \"error\", \"percent\": \"20%\", \"duration\": \"5m\", \
                       \"reason\": \"…\"}";

fn read<T: Written>(field: &str, text: Option<&str>) -> Result<T, ApiError> {
    let text = text.ok_or_else(|| bad(format!("{field} is missing; {EXAMPLE}")))?;
    T::read(text).ok_or_else(|| bad(format!("{field} {text:?} is none; expected {}", T::LIKE)))
}

fn fault(said: &DrillRequest) -> Result<Fault, ApiError> {
    let only = |field: &str, with: &str| bad(format!("{field} goes with the fault {with} alone"));
    let named = said.fault.as_deref().ok_or_else(|| bad(format!("fault is missing; {EXAMPLE}")))?;
    match (named, &said.latency, said.status) {
        ("latency", latency, None) => {
            let more: Duration = read("latency", latency.as_deref())?;
            let within = !more.is_zero() && more <= Fault::LATEST;
            within
                .then_some(Fault::Latency(more))
                .ok_or_else(|| bad("latency is not within 1ms and 60s".to_owned()))
        }
        ("error", None, status) => {
            let status = status.unwrap_or(Fault::STATUS);
            let within = Fault::STATUSES.contains(&status);
            within
                .then_some(Fault::Error(status))
                .ok_or_else(|| bad(format!("status {status} is not within 500 to 599")))
        }
        ("reset", None, None) => Ok(Fault::Reset),
        ("blackhole", None, None) => Ok(Fault::Blackhole),
        (_, Some(_), _) => Err(only("latency", "latency")),
        (named, None, _) if !Fault::LABELS.contains(&named) => {
            Err(request::unknown("fault", named, &Fault::LABELS))
        }
        (_, None, _) => Err(only("status", "error")),
    }
}

fn start(said: DrillRequest) -> Result<DrillStart, ApiError> {
    let fault = fault(&said)?;
    let share: Percent = read("percent", said.percent.as_deref())?;
    let lasts: Duration = read("duration", said.duration.as_deref())?;
    let upstream = said.upstream.ok_or_else(|| bad(format!("upstream is missing; {EXAMPLE}")))?;
    let actor = request::who(said.actor);
    let order = DrillOrder {
        upstream: Arc::from(upstream),
        fault,
        share,
        lasts,
        reach: if said.writes { DrillReach::Writes } else { DrillReach::Reads },
        calls: if said.call { DrillCalls::Ladder } else { DrillCalls::Nobody },
        actor: actor.label().to_owned(),
        reason: said.reason.unwrap_or_else(|| "no reason given".to_owned()),
    };
    let payments = if said.payments { PaymentsAtRisk::No } else { PaymentsAtRisk::Yes };
    Ok(DrillStart { order, actor, payments })
}

fn changed(admin: &Admin, reply: DrillReply) -> Json<Observed<DrillChanged>> {
    let DrillReply { drill, record, audit_id, stored } = reply;
    let audit_id = admin.told(Some(audit_id), &record);
    Provenance::now().answer(admin, DrillChanged { drill: DrillView::of(&drill), audit_id, stored })
}

impl From<DrillRefused> for ApiError {
    fn from(refused: DrillRefused) -> Self {
        use StatusCode as S;
        let (status, code, hint) = match &refused {
            DrillRefused::NoUpstream { name, known } => {
                return Self::UnknownUpstream { name: name.clone(), known: known.clone() };
            }
            DrillRefused::Off => (S::CONFLICT, "drills_off", "set drill.mode to \"on\""),
            DrillRefused::Running { .. } => {
                (S::CONFLICT, "already_running", "wait until it is over, what it did included")
            }
            DrillRefused::NotRunning => {
                (S::CONFLICT, "not_running", "GET /api/v2/sre/drills says what there was")
            }
            DrillRefused::TooMuch { .. } => {
                (S::BAD_REQUEST, "too_much", "ask for less, or raise drill.max_percent")
            }
            DrillRefused::TooLong { .. } => {
                (S::BAD_REQUEST, "too_long", "ask for less, or raise drill.max_duration")
            }
            DrillRefused::Payments => {
                let hint = "send \"payments\": true if that is accepted; payments are never hit";
                (S::CONFLICT, "takes_payments", hint)
            }
            DrillRefused::Incident(_) | DrillRefused::Breaker(_) => {
                (S::CONFLICT, "not_well", "GET /api/v2/sre/incidents says what is the matter")
            }
            DrillRefused::Fleet => (S::CONFLICT, "in_a_fleet", "drill one sidecar with a store of its own"),
        };
        Self::Stated(status, code, refused.to_string(), hint)
    }
}

fn unknown(id: &str) -> ApiError {
    let told = format!("no drill at hand is named {id:?}");
    ApiError::Stated(StatusCode::NOT_FOUND, "unknown_drill", told, "GET /api/v2/sre/drills lists them")
}

/// Drills: the one that goes on, and those that are over.
#[cfg_attr(test, utoipa::path(get, path = "/drills", responses((status = 200, body = Observed<DrillList>))))]
pub(super) async fn list(State(admin): State<Arc<Admin>>) -> Json<Observed<DrillList>> {
    let enabled = admin.registry.snapshot().config.drill.mode == crate::reliability::drill::DrillMode::On;
    let drills = admin.control.drills().iter().map(DrillView::of).collect();
    let schedule = admin.control.drill_schedule(clock::now()).as_ref().map(DrillScheduleShown::of);
    Provenance::now().answer(&admin, DrillList { enabled, schedule, drills })
}

/// The report of one drill.
#[cfg_attr(test, utoipa::path(get, path = "/drills/{id}", params(("id" = String, Path,), DrillReportWanted),
    responses((status = 200, content((Observed<DrillView> = "application/json"), (String = "text/html"), (String = "text/markdown"))),
        (status = 400), (status = 404))))]
pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
    Parameters(wanted): Parameters<DrillReportWanted>,
) -> Result<Response, ApiError> {
    let form = ReportFormat::read(wanted.format.as_deref(), &FORMS)?;
    let all = admin.control.drills();
    let drill = all.iter().find(|one| *one.id == *id).ok_or_else(|| unknown(&id))?;
    Ok(match form {
        ReportFormat::Markdown => form.answer(report::drill::markdown(drill)),
        ReportFormat::Html => form.answer(report::drill::html(drill)),
        ReportFormat::Json | ReportFormat::Csv => {
            Provenance::now().answer(&admin, DrillView::of(drill)).into_response()
        }
    })
}

/// Put a fault into part of one upstream's requests for a while, and measure how soon that is detected and over.
#[cfg_attr(test, utoipa::path(post, path = "/drills", request_body = DrillRequest,
    responses((status = 200, body = Observed<DrillChanged>), (status = 400), (status = 404), (status = 409), (status = 413))))]
pub(super) async fn begin(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<DrillChanged>>, ApiError> {
    let start = start(request::body(&body)?)?;
    let reply = admin.control.begin_drill(start, clock::now()).await?;
    Ok(changed(&admin, reply))
}

/// End the injection that goes on: no request is hit any more when this answers.
#[cfg_attr(test, utoipa::path(delete, path = "/drills", request_body = DrillStop,
    responses((status = 200, body = Observed<DrillChanged>), (status = 409), (status = 413))))]
pub(super) async fn end(
    State(admin): State<Arc<Admin>>,
    body: Bytes,
) -> Result<Json<Observed<DrillChanged>>, ApiError> {
    let said: DrillStop = request::body(&body)?;
    let order = DrillEndOrder { actor: request::who(said.actor), reason: said.reason.unwrap_or_default() };
    let reply = admin.control.end_drill(order).await?;
    Ok(changed(&admin, reply))
}
