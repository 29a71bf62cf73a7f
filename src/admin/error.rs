//! What goes wrong when an operator asks, and what to ask instead.

use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::reports::Trouble;
use crate::config::reload::Busy;
use crate::reliability::incident::Refused;
use crate::store::StoreError;

/// Why a request to the API was not done.
#[derive(Debug)]
pub(super) enum ApiError {
    /// No upstream of that name.
    UnknownUpstream {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The body is not what the route takes.
    BadBody {
        /// What is wrong.
        problem: String,
    },
    /// A text or a list of the body is longer than its bound.
    TooLong {
        /// Where it stands.
        field: String,
        /// How long it is.
        long: usize,
        /// How long it may be.
        most: usize,
        /// Of what: characters or members.
        unit: &'static str,
    },
    /// There is no such report.
    Report(Trouble),
    /// No incident of that name, here or on disk.
    UnknownIncident {
        /// What was asked for.
        id: String,
    },
    /// The incident is not in a state for that.
    Refused(Refused),
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
    Foreign {
        /// Which field.
        field: &'static str,
        /// What it said.
        value: String,
    },
}

pub(super) fn body(code: &str, message: &str, hint: &str) -> axum::Json<serde_json::Value> {
    axum::Json(serde_json::json!({ "error": { "code": code, "message": message, "hint": hint } }))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::UnknownUpstream { name, known } => unknown_upstream(&name, &known),
            Self::BadBody { problem } => {
                let hint = "send JSON; GET /api/v2/sre/openapi.json says what each route takes";
                (StatusCode::BAD_REQUEST, body("bad_body", &problem, hint)).into_response()
            }
            Self::TooLong { field, long, most, unit } => too_long(&field, long, most, unit),
            Self::Report(trouble) => trouble.into_response(),
            Self::UnknownIncident { id } => {
                let message = format!("no incident is named {id:?}");
                let hint = "GET /api/v2/sre/incidents?all=true lists them";
                (StatusCode::NOT_FOUND, body("unknown_incident", &message, hint)).into_response()
            }
            Self::Refused(refused) => refusal(&refused),
            Self::Store(error) => {
                let hint = "GET /api/v2/sre/health/comprehensive says how the store is";
                (StatusCode::SERVICE_UNAVAILABLE, body("store_unavailable", &error.to_string(), hint))
                    .into_response()
            }
            Self::TooManyStreams { most } => too_many_streams(most),
            Self::OtherOrder => other_order(),
            Self::InProgress => in_progress(),
            Self::Reloading(busy) => reloading(busy),
            Self::Leaving => {
                let hint = "ask the next start of this sidecar";
                (StatusCode::SERVICE_UNAVAILABLE, body("leaving", "the process is about to end", hint))
                    .into_response()
            }
            Self::Unauthorized => {
                let challenge = [("www-authenticate", "Bearer realm=\"strop\"")];
                let hint = "send Authorization: Bearer <the token of admin.token_file>";
                (StatusCode::UNAUTHORIZED, challenge, body("unauthorized", "a token is required", hint))
                    .into_response()
            }
            Self::Foreign { field, value } => {
                let message = format!("{field} {value:?} is not this API");
                let hint =
                    "ask by a loopback name or by the listening address, or list the name in admin.hosts";
                (StatusCode::FORBIDDEN, body("foreign_host", &message, hint)).into_response()
            }
        }
    }
}

fn unknown_upstream(name: &str, known: &[String]) -> Response {
    let guess = crate::config::problem::did_you_mean(name, known.iter().map(String::as_str));
    let (message, hint) =
        (format!("no upstream is named {name:?}"), format!("known: {}{guess}", known.join(", ")));
    (StatusCode::NOT_FOUND, body("unknown_upstream", &message, &hint)).into_response()
}

fn reloading(busy: Busy) -> Response {
    let hint = "look at the file and what it names; ask again in 10 s, when the reload has given up";
    let later = [(axum::http::header::RETRY_AFTER, "10")];
    (StatusCode::CONFLICT, later, body("reloading", &busy.to_string(), hint)).into_response()
}

fn too_long(field: &str, long: usize, most: usize, unit: &str) -> Response {
    let message = format!("{field} has {long} {unit}, at most {most} are taken");
    let hint = "say it in fewer words, and where the rest is to be found; openapi.json has all bounds";
    (StatusCode::PAYLOAD_TOO_LARGE, body("text_too_long", &message, hint)).into_response()
}

fn too_many_streams(most: usize) -> Response {
    let message = format!("{most} streams are open, which is the most");
    let hint = "close one, or ask GET /api/v2/sre/incidents with If-None-Match";
    (StatusCode::SERVICE_UNAVAILABLE, body("too_many_streams", &message, hint)).into_response()
}

fn other_order() -> Response {
    let message = "this Idempotency-Key was used for another order";
    let hint = "send a new key with each new order, and the same one only with its repetition";
    (StatusCode::UNPROCESSABLE_ENTITY, body("key_reused", message, hint)).into_response()
}

fn in_progress() -> Response {
    let message = "the order with this Idempotency-Key is being carried out";
    let hint = "send it again in a second to have its answer";
    let later = [(axum::http::header::RETRY_AFTER, "1")];
    (StatusCode::CONFLICT, later, body("in_progress", message, hint)).into_response()
}

/// How long to wait where there are too many of something: somebody must end one first.
const LATER: &str = "60";

fn refusal(refused: &Refused) -> Response {
    if let Refused::TooMany { .. } = refused {
        let hint = "end those that are over and ask again; what Strop finds itself is recorded all the same";
        let later = [(axum::http::header::RETRY_AFTER, LATER)];
        let told = body("too_many", &refused.to_string(), hint);
        return (StatusCode::TOO_MANY_REQUESTS, later, told).into_response();
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
    (status, body(code, &refused.to_string(), hint)).into_response()
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
    (StatusCode::NOT_FOUND, body("not_found", &message, "GET / lists the paths")).into_response()
}

pub(super) async fn wrong_method(uri: Uri) -> Response {
    let message = format!("{} is not served with this method", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, body("wrong_method", &message, "reads are GET, changes are POST"))
        .into_response()
}
