//! What tells numbers apart: closed sets and configured names, never what a request says.

pub use crate::message::head::Method;
use crate::names::{RouteName, UpstreamName};

/// What names a series.
pub type SeriesKey = (RouteName, UpstreamName, Direction);

/// Which way an exchange goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From clients to the backend.
    Ingress,
    /// From the application to its dependencies.
    Egress,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::Ingress, Self::Egress];

    pub fn label(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

impl Method {
    /// `http.request.method` of OpenTelemetry: unknown ones are `_OTHER`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Other => "_OTHER",
        }
    }
}

/// How an exchange ended, seen by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeOutcome {
    /// The answer's status was 1xx to 3xx.
    Ok,
    /// The answer's status was 4xx, or what was asked for is not done here.
    ClientError,
    /// 5xx of the upstream.
    ServerError,
    /// Our own refusal: breaker, cap.
    Refused,
    /// Nothing came in time.
    Timeout,
    /// No connection, a reset, nonsense, a body that broke off.
    UpstreamFailed,
    /// The client left; no error of anybody's service.
    ClientGone,
}

impl ExchangeOutcome {
    /// In the order in which outcomes are counted.
    pub const ALL: [Self; 7] = [
        Self::Ok,
        Self::ClientError,
        Self::ServerError,
        Self::Refused,
        Self::Timeout,
        Self::UpstreamFailed,
        Self::ClientGone,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::UpstreamFailed => "upstream_failed",
            Self::ClientGone => "client_gone",
        }
    }

    /// Does it count against the service (semantics of `sre_error_rate`)?
    pub fn is_failure(self) -> bool {
        match self {
            Self::ServerError | Self::Refused | Self::Timeout | Self::UpstreamFailed => true,
            Self::Ok | Self::ClientError | Self::ClientGone => false,
        }
    }
}

/// What clients got in the place of an upstream's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// An answer that was kept.
    Stale,
    /// The fallback answer of the route.
    Fallback,
    /// The acknowledgement of a write that is queued.
    Queued,
}

impl StandIn {
    pub fn label(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Fallback => "fallback",
            Self::Queued => "queued",
        }
    }
}

/// `none`: there was no answer, or the status is one of too many.
pub(super) fn status_label(status: u16) -> String {
    if status == 0 { "none".to_owned() } else { status.to_string() }
}
