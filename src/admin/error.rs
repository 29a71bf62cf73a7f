//! What goes wrong when an operator asks, and what to ask instead.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::config::reload::{Busy, ReloadOutcome};
use crate::control::RunbookRefused;
use crate::reliability::incident::Refused;
use crate::reliability::recovery::RecoveryRefused;
use crate::store::StoreError;

/// Why a request to the API was not done.
#[derive(Debug)]
pub(super) enum ApiError {
    /// No upstream of that name.
    UnknownUpstream {
        /// What was asked for.
        name: String,
        known: Vec<String>,
    },
    /// The body is not what the route takes.
    BadBody { problem: String },
    /// A text or a list of the body is longer than its bound.
    TooLong {
        field: String,
        /// How long it is.
        long: usize,
        /// How long it may be.
        most: usize,
        /// Of what: characters or members.
        unit: &'static str,
    },
    /// The query is not what the route takes.
    BadQuery {
        /// What is wrong, and what to write instead.
        problem: String,
    },
    /// It would be made of what a store holds, and there is none.
    NoStore,
    /// A fault of this program.
    Broken,
    /// No silence can be of that service, and nobody insists.
    UnknownService {
        /// What was asked for.
        name: String,
        known: Vec<String>,
    },
    /// No incident of that name, here or on disk.
    UnknownIncident {
        /// What was asked for.
        id: String,
    },
    /// No write of that number is queued, or it is being sent.
    UnknownWrite {
        /// What was asked for.
        id: String,
    },
    /// What a route refuses by itself: status, code, what is wrong, what to do instead.
    Stated(StatusCode, &'static str, String, &'static str),
    /// The incident is not in a state for that.
    Refused(Refused),
    /// The order about recovery makes no sense now.
    Recovery(RecoveryRefused),
    /// The order about a runbook makes no sense now.
    Runbook(RunbookRefused),
    /// What is asked for is on disk, and the disk does not answer.
    Store(StoreError),
    /// Every stream is taken.
    TooManyStreams {
        /// How many there may be.
        most: usize,
    },
    /// The same key for something else.
    OtherOrder,
    /// What the key stands for is being done.
    InProgress,
    /// Another reload has not ended.
    Reloading(Busy),
    /// The process is about to end.
    Leaving,
    /// The token is missing or wrong.
    Unauthorized,
    /// `Host` or `Origin` is not this API.
    Foreign { field: &'static str, value: String },
}

/// What is wrong (RFC 9457). On the traffic port the same with `request_id`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct Error {
    /// Always about:blank: `code` says what it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// The same for the same mistake, for programs.
    code: String,
    /// What to do instead.
    hint: String,
}

/// The media type of RFC 9457.
const PROBLEM: &str = "application/problem+json";

/// The answer that says so.
pub(super) fn problem(status: StatusCode, code: &str, detail: &str, hint: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    let (detail, hint) = (detail.to_owned(), hint.to_owned());
    let problem =
        Error { kind: "about:blank", title, status: status.as_u16(), detail, code: code.to_owned(), hint };
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM))];
    (status, kind, axum::Json(problem)).into_response()
}

/// The same, with a time after which it makes sense to ask again.
pub(super) fn later(wait: &'static str, mut answer: Response) -> Response {
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(wait));
    answer
}

/// An error that the router answers by itself becomes a problem like all others.
pub(super) fn uniform(answer: Response, path: &str) -> Response {
    let status = answer.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let is_ours = kind.is_some_and(|kind| kind.starts_with("application/") || kind.starts_with("text/html"));
    if !is_error || is_ours || matches!(path, "/readyz" | "/-/ready") {
        return answer;
    }
    let hint = "GET /api/v2/sre/openapi.json says what each route takes";
    let told = problem(status, "bad_request", &format!("{path} cannot be answered as it was asked"), hint);
    let (mut parts, _) = answer.into_parts();
    let (own, body): (_, Body) = told.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(own.headers);
    Response::from_parts(parts, body)
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        use StatusCode as S;
        match self {
            Self::UnknownUpstream { name, known } => unknown_upstream(&name, &known),
            Self::UnknownService { name, known } => unknown_service(&name, &known),
            Self::BadBody { problem: told } => {
                let hint = "send JSON; GET /api/v2/sre/openapi.json says what each route takes";
                problem(S::BAD_REQUEST, "bad_body", &told, hint)
            }
            Self::BadQuery { problem: told } => {
                let hint = "GET /api/v2/sre/openapi.json describes the parameters";
                problem(S::BAD_REQUEST, "bad_query", &told, hint)
            }
            Self::TooLong { field, long, most, unit } => too_long(&field, long, most, unit),
            Self::NoStore => {
                let hint = "set store.url; a report is made of what the store holds";
                problem(S::SERVICE_UNAVAILABLE, "no_store", "store.url is \"off\"", hint)
            }
            Self::Broken => {
                let told = "a fault of this program stopped it";
                problem(S::INTERNAL_SERVER_ERROR, "broken", told, "look at standard error")
            }
            Self::UnknownIncident { id } => unknown_incident(&id),
            Self::UnknownWrite { id } => unknown_write(&id),
            Self::Stated(status, code, told, hint) => problem(status, code, &told, hint),
            Self::Refused(refused) => refusal(&refused),
            Self::Recovery(refused) => recovery_refused(&refused),
            Self::Runbook(refused) => runbook_refused(&refused),
            Self::Store(error) => {
                let hint = "GET /api/v2/sre/health/comprehensive says how the store is";
                problem(S::SERVICE_UNAVAILABLE, "store_unavailable", &error.to_string(), hint)
            }
            Self::TooManyStreams { most } => too_many_streams(most),
            Self::OtherOrder => other_order(),
            Self::InProgress => in_progress(),
            Self::Reloading(busy) => reloading(busy),
            Self::Leaving => {
                let hint = "ask the next start of this sidecar";
                problem(S::SERVICE_UNAVAILABLE, "leaving", "the process is about to end", hint)
            }
            Self::Unauthorized => unauthorized(),
            Self::Foreign { field, value } => {
                let told = format!("{field} {value:?} is not this API");
                let hint =
                    "ask by a loopback name or by the listening address, or list the name in admin.hosts";
                problem(S::FORBIDDEN, "foreign_host", &told, hint)
            }
        }
    }
}

/// What is wrong with a config, and the whole outcome beside it.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(super) struct ConfigRefused {
    #[serde(flatten)]
    error: Error,
    #[serde(flatten)]
    outcome: ReloadOutcome,
}

/// The config cannot run: 422.
pub(super) fn config_refused(outcome: ReloadOutcome) -> Response {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let first = outcome.refused.first().map(|one| format!("{} {}", one.path, one.message));
    let error = Error {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: first.unwrap_or_default(),
        code: "config_refused".to_owned(),
        hint: "`refused` lists all problems; the config before stays in force".to_owned(),
    };
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM))];
    (status, kind, axum::Json(ConfigRefused { error, outcome })).into_response()
}

fn unauthorized() -> Response {
    let hint = "send Authorization: Bearer <the token of admin.token_file>";
    let mut answer = problem(StatusCode::UNAUTHORIZED, "unauthorized", "a token is required", hint);
    let challenge = HeaderValue::from_static("Bearer realm=\"strop\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    answer
}

fn unknown_upstream(name: &str, known: &[String]) -> Response {
    let guess = crate::config::problem::did_you_mean(name, known.iter().map(String::as_str));
    let (told, hint) =
        (format!("no upstream is named {name:?}"), format!("known: {}{guess}", known.join(", ")));
    problem(StatusCode::NOT_FOUND, "unknown_upstream", &told, &hint)
}

fn unknown_service(name: &str, known: &[String]) -> Response {
    let guess = crate::config::problem::did_you_mean(name, known.iter().map(String::as_str));
    let told = format!("nothing here is named {name:?}{guess}");
    let hint = format!("known: {}; send \"force\": true for one that is to come", known.join(", "));
    problem(StatusCode::BAD_REQUEST, "unknown_service", &told, &hint)
}

fn unknown_incident(id: &str) -> Response {
    let told = format!("no incident is named {id:?}");
    let hint = "GET /api/v2/sre/incidents?all=true lists them";
    problem(StatusCode::NOT_FOUND, "unknown_incident", &told, hint)
}

fn unknown_write(id: &str) -> Response {
    let told = format!("no queued write has the number {id:?}, or it is being sent now");
    problem(StatusCode::NOT_FOUND, "unknown_write", &told, "GET /api/v2/sre/outbox lists them")
}

fn reloading(busy: Busy) -> Response {
    let hint = "look at the file and what it names; ask again in 10 s, when the reload has given up";
    later("10", problem(StatusCode::CONFLICT, "reloading", &busy.to_string(), hint))
}

fn too_long(field: &str, long: usize, most: usize, unit: &str) -> Response {
    let told = format!("{field} has {long} {unit}, at most {most} are taken");
    let hint = "say it in fewer words, and where the rest is to be found; openapi.json has all bounds";
    problem(StatusCode::PAYLOAD_TOO_LARGE, "text_too_long", &told, hint)
}

fn too_many_streams(most: usize) -> Response {
    let told = format!("{most} streams are open, which is the most");
    let hint = "close one, or ask GET /api/v2/sre/incidents with If-None-Match";
    problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", &told, hint)
}

fn other_order() -> Response {
    let told = "this Idempotency-Key was used for another order";
    let hint = "send a new key with each new order, and the same one only with its repetition";
    problem(StatusCode::UNPROCESSABLE_ENTITY, "key_reused", told, hint)
}

fn in_progress() -> Response {
    let told = "the order with this Idempotency-Key is being carried out";
    let hint = "send it again in a second to have its answer";
    later("1", problem(StatusCode::CONFLICT, "in_progress", told, hint))
}

fn recovery_refused(refused: &RecoveryRefused) -> Response {
    let (status, code, hint) = match refused {
        RecoveryRefused::NoSuchPlan { .. } => {
            (StatusCode::NOT_FOUND, "unknown_plan", "GET /api/v2/sre/recovery lists the plans")
        }
        RecoveryRefused::NoSuchIncident => {
            (StatusCode::NOT_FOUND, "unknown_incident", "GET /api/v2/sre/incidents lists those at hand")
        }
        RecoveryRefused::NoSuchRun => {
            (StatusCode::NOT_FOUND, "unknown_run", "GET /api/v2/sre/recovery lists the runs")
        }
        RecoveryRefused::Running { .. } => {
            (StatusCode::CONFLICT, "already_running", "wait for its end, or POST …/recovery/{id}/cancel")
        }
        RecoveryRefused::Off => {
            (StatusCode::CONFLICT, "recovery_off", "set recovery.mode to \"on\" or \"dry_run\"")
        }
        RecoveryRefused::NotOnDuty => (
            StatusCode::CONFLICT,
            "not_on_duty",
            "GET /api/v2/sre/health/comprehensive says which member has the duty",
        ),
        RecoveryRefused::TooMany { .. } | RecoveryRefused::Cooling { .. } | RecoveryRefused::NotAsked => {
            (StatusCode::CONFLICT, "not_now", "GET /api/v2/sre/recovery says what its runs are at")
        }
        RecoveryRefused::NoTarget | RecoveryRefused::Empty(_) => (
            StatusCode::BAD_REQUEST,
            "bad_body",
            "send JSON such as {\"trigger_condition\": \"database_failure\", \"context\": {\"service\": \"database\"}}",
        ),
    };
    problem(status, code, &refused.to_string(), hint)
}

/// How long to wait where there are too many of something: somebody must end one first.
const LATER: &str = "60";

fn refusal(refused: &Refused) -> Response {
    if let Refused::TooMany { .. } = refused {
        let hint = "end those that are over and ask again; what Strop finds itself is recorded all the same";
        let told = problem(StatusCode::TOO_MANY_REQUESTS, "too_many", &refused.to_string(), hint);
        return later(LATER, told);
    }
    let (status, code, hint) = match refused {
        Refused::NoSuchIncident => {
            (StatusCode::NOT_FOUND, "unknown_incident", "it is over and no longer at hand")
        }
        Refused::NoSuchSilence => {
            (StatusCode::NOT_FOUND, "unknown_silence", "GET /api/v2/sre/silences lists them")
        }
        Refused::StillHolds { .. } => {
            (StatusCode::CONFLICT, "still_holds", "send {\"force\": true} to end it all the same")
        }
        Refused::Full => (
            StatusCode::CONFLICT,
            "incident_full",
            "resolve it and open another one, or note here where the story goes on; ack, resolve and review are still taken",
        ),
        Refused::Not { .. } | Refused::TooMany { .. } => {
            (StatusCode::CONFLICT, "not_now", "look at its state")
        }
        Refused::Incomplete(_) => (
            StatusCode::BAD_REQUEST,
            "incomplete",
            "send {\"technical\": \"…\", \"process\": \"…\", \"human\": \"…\", \"actions\": [{\"what\": \"…\", \
             \"owner\": \"ann\", \"due\": \"2026-01-31\"}]}",
        ),
        Refused::Empty(_) | Refused::NoUse(_) => (
            StatusCode::BAD_REQUEST,
            "bad_body",
            "send JSON such as {\"actor\": \"ann\", \"reason\": \"fixed\"}",
        ),
    };
    problem(status, code, &refused.to_string(), hint)
}

fn runbook_refused(refused: &RunbookRefused) -> Response {
    use RunbookRefused as R;
    use StatusCode as S;
    let (status, code, hint) = match refused {
        R::NoSuchRunbook(_) => (S::NOT_FOUND, "unknown_runbook", "GET /api/v2/sre/runbooks lists them"),
        R::NoSuchIncident => {
            (S::NOT_FOUND, "unknown_incident", "GET /api/v2/sre/incidents lists those at hand")
        }
        R::TooMany => (S::CONFLICT, "not_now", "send the order again in some seconds"),
    };
    problem(status, code, &refused.to_string(), hint)
}

impl From<RecoveryRefused> for ApiError {
    fn from(refused: RecoveryRefused) -> Self {
        Self::Recovery(refused)
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) async fn not_found(uri: Uri) -> Response {
    let message = format!("nothing is served at {}", uri.path());
    problem(StatusCode::NOT_FOUND, "not_found", &message, "GET / lists the paths")
}

pub(super) async fn wrong_method(uri: Uri) -> Response {
    let message = format!("{} is not served with this method", uri.path());
    problem(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", &message, "reads are GET, changes are POST")
}
