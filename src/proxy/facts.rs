//! What is to be said of each way to fail: one row each, and nothing of it anywhere else.

use std::time::Duration;

use super::error::{Exhausted, ProxyError};
use crate::degrade::outbox::NotQueued;
use crate::reliability::breaker::Refusal;
use crate::reliability::verdict::BadReason;
use crate::telemetry::labels::ExchangeOutcome;

/// What is the same for all failures of one kind.
#[derive(Clone, Copy, Debug)]
pub struct ErrorFacts {
    /// The status the client reads.
    pub status: u16,
    /// The metric label, the `code` of the answer and its `X-Strop-Reason`. Never the message.
    pub label: &'static str,
    /// The `error` token of RFC 9209 section 2.3 for `Proxy-Status`.
    pub token: &'static str,
    /// Whose fault it is, as the exchange is counted.
    pub outcome: ExchangeOutcome,
    /// One sentence for the client: no address, no cause.
    pub advice: &'static str,
    /// When the client may ask again.
    pub retry_after: Option<Duration>,
    /// May the client's connection carry another request? Not when it is unknown where that begins.
    pub keeps_alive: bool,
    /// The upstream could not be asked, or did not answer: what the fallback of a route stands in for.
    pub unanswered: bool,
}

const fn row(
    status: u16,
    label: &'static str,
    token: &'static str,
    outcome: ExchangeOutcome,
    advice: &'static str,
) -> ErrorFacts {
    ErrorFacts {
        status,
        label,
        token,
        outcome,
        advice,
        retry_after: None,
        keeps_alive: true,
        unanswered: false,
    }
}

impl ErrorFacts {
    /// What is lacking now may be there in a second.
    const fn soon(self) -> Self {
        Self { retry_after: Some(Duration::from_secs(1)), ..self }
    }

    /// A degradation level lasts for minutes.
    const fn later(self) -> Self {
        Self { retry_after: Some(Duration::from_secs(30)), ..self }
    }

    const fn closes(self) -> Self {
        Self { keeps_alive: false, ..self }
    }

    const fn unanswered(self) -> Self {
        Self { unanswered: true, ..self }
    }
}

const BODY_TOO_LONG: ErrorFacts = row(
    413,
    "body_too_long",
    "http_request_error",
    ExchangeOutcome::ClientError,
    "The request body is larger than this route accepts.",
)
.closes();
const SLOW_HEAD: ErrorFacts = row(
    408,
    "head_timeout",
    "http_request_error",
    ExchangeOutcome::ClientError,
    "The request head did not arrive in time.",
)
.closes();
const SLOW_BODY: ErrorFacts = row(
    408,
    "body_timeout",
    "http_request_error",
    ExchangeOutcome::ClientError,
    "The request body did not arrive in time.",
)
.closes();
const NO_ROUTE: ErrorFacts = row(
    404,
    "no_route",
    "destination_not_found",
    ExchangeOutcome::ClientError,
    "Nothing is served at this address.",
);
const UNLISTED: ErrorFacts = row(
    403,
    "unlisted_host",
    "http_request_denied",
    ExchangeOutcome::ClientError,
    "This host is not listed in the sidecar's configuration.",
);
const PORT: ErrorFacts = row(
    403,
    "unlisted_port",
    "http_request_denied",
    ExchangeOutcome::ClientError,
    "This port is neither an endpoint of the host's upstream nor one of egress.ports.",
);
const PLAIN: ErrorFacts = row(
    403,
    "plain_http_refused",
    "http_request_denied",
    ExchangeOutcome::ClientError,
    "This host is reached by TLS only: ask for https, or set upgrade_tls for its upstream.",
);
const NO_TLS: ErrorFacts = row(
    403,
    "tls_not_configured",
    "http_request_denied",
    ExchangeOutcome::ClientError,
    "TLS is not configured towards this host: use CONNECT, or set tls for its upstream.",
);
const FORBIDDEN: ErrorFacts = row(
    403,
    "forbidden_address",
    "destination_ip_prohibited",
    ExchangeOutcome::ClientError,
    "This host resolves to an address range that may not be reached.",
);
const METHOD: ErrorFacts = row(
    405,
    "method_not_served",
    "destination_not_found",
    ExchangeOutcome::ClientError,
    "This method is not served here.",
);
// As RFC 9220 section 3 has it for a protocol that is not supported. No fault of the upstream's, nor an outage of ours.
const NO_UPGRADE: ErrorFacts = row(
    501,
    "upgrade_not_carried",
    "http_upgrade_failed",
    ExchangeOutcome::ClientError,
    "The sidecar speaks HTTP/2 to this upstream, which takes no such upgrade by it; set protocol = \"http1\" for the \
     upstream if it speaks HTTP/1.1 as well.",
);
const UNRESOLVED: ErrorFacts = row(
    502,
    "no_address",
    "dns_error",
    ExchangeOutcome::UpstreamFailed,
    "The host's name has no usable address.",
);
const REFUSED: ErrorFacts = row(
    503,
    "breaker_held",
    "destination_unavailable",
    ExchangeOutcome::Refused,
    "The upstream is failing and is not being called now; try again later.",
)
.unanswered();
const DEGRADED: ErrorFacts = row(
    503,
    "degraded",
    "http_request_denied",
    ExchangeOutcome::Refused,
    "This part of the service is not available now; try again later.",
)
.later()
.unanswered();
const SHED: ErrorFacts = ErrorFacts { label: "shed", ..DEGRADED };
const OVERLOADED: ErrorFacts = ErrorFacts {
    label: "overloaded",
    advice: "More is asked of this service than it can answer; try again later.",
    ..FULL
};
const TOO_OFTEN: ErrorFacts = row(
    429,
    "rate_limited",
    "http_request_denied",
    ExchangeOutcome::ClientError,
    "This client asks more often than it may; try again later.",
);
const THROTTLED: ErrorFacts = ErrorFacts {
    label: "throttled",
    advice: "The upstream turns requests away and is asked less for a while; try again later.",
    ..BEHIND
};
const BEHIND: ErrorFacts = row(
    503,
    "queued_behind",
    "destination_unavailable",
    ExchangeOutcome::Refused,
    "Earlier requests of the same order are still queued; try again later.",
)
.soon()
.unanswered();
const OUTBOX_FULL: ErrorFacts = row(
    503,
    "outbox_full",
    "destination_unavailable",
    ExchangeOutcome::Refused,
    "The upstream cannot be asked now, and as much is queued for it as may be; try again later.",
)
.later()
.unanswered();
const NOT_DURABLE: ErrorFacts = row(
    503,
    "outbox_not_durable",
    "proxy_internal_error",
    ExchangeOutcome::Refused,
    "The upstream cannot be asked now, and the request could not be stored; try again later.",
)
.later()
.unanswered();
const FULL: ErrorFacts = row(
    503,
    "upstream_full",
    "connection_limit_reached",
    ExchangeOutcome::Refused,
    "All connections to the upstream are in use; try again later.",
)
.soon()
.unanswered();
const SHARE: ErrorFacts = row(
    503,
    "client_share",
    "connection_limit_reached",
    ExchangeOutcome::Refused,
    "This client has many requests under way, and what is left is for others; try again later.",
)
.soon();
const TUNNELS: ErrorFacts = row(
    503,
    "tunnels_full",
    "connection_limit_reached",
    ExchangeOutcome::Refused,
    "All connections to the upstream are in use; try again later.",
)
.soon();
const NO_MEMORY: ErrorFacts = row(
    503,
    "memory_short",
    "proxy_internal_error",
    ExchangeOutcome::Refused,
    "The sidecar has no memory left for this request; try again later.",
)
.soon();
const NO_ADDRESS: ErrorFacts = row(
    502,
    "no_address",
    "dns_error",
    ExchangeOutcome::UpstreamFailed,
    "The upstream's name has no usable address.",
)
.unanswered();
const TLS: ErrorFacts = row(
    502,
    "tls_failed",
    "tls_protocol_error",
    ExchangeOutcome::UpstreamFailed,
    "The upstream could not be reached.",
)
.unanswered();
const CONNECT_TIMEOUT: ErrorFacts = row(
    502,
    "connect_timeout",
    "connection_timeout",
    ExchangeOutcome::UpstreamFailed,
    "The upstream could not be reached.",
)
.unanswered();
const CONNECT: ErrorFacts = row(
    502,
    "connect_failed",
    "connection_refused",
    ExchangeOutcome::UpstreamFailed,
    "The upstream could not be reached.",
)
.unanswered();
const DEADLINE: ErrorFacts = row(
    504,
    "upstream_timeout",
    "http_response_timeout",
    ExchangeOutcome::Timeout,
    "The upstream did not answer in time.",
)
.unanswered();
const BROKEN: ErrorFacts = row(
    502,
    "connection_broken",
    "connection_terminated",
    ExchangeOutcome::UpstreamFailed,
    "The upstream closed the connection before it answered.",
)
.unanswered();
const HEAD_TOO_LONG: ErrorFacts = row(
    502,
    "answer_head_too_long",
    "http_response_header_section_size",
    ExchangeOutcome::UpstreamFailed,
    "The head of the upstream's answer is too long.",
)
.unanswered();
const NONSENSE: ErrorFacts = row(
    502,
    "bad_upstream_answer",
    "http_protocol_error",
    ExchangeOutcome::UpstreamFailed,
    "The upstream's answer is not valid HTTP.",
)
.unanswered();
const CLIENT_GONE: ErrorFacts = row(
    499,
    "client_gone",
    "http_request_error",
    ExchangeOutcome::ClientGone,
    "The request was not completed.",
);

const fn full(room: Exhausted) -> ErrorFacts {
    match room {
        Exhausted::Connections => FULL,
        Exhausted::Share => SHARE,
        Exhausted::Tunnels => TUNNELS,
    }
}

const fn unconnected(why: BadReason) -> ErrorFacts {
    match why {
        BadReason::Tls => TLS,
        BadReason::Timeout => CONNECT_TIMEOUT,
        BadReason::Connect | BadReason::Reset | BadReason::Status | BadReason::Protocol => CONNECT,
    }
}

impl ProxyError {
    /// All that depends on which error it is, in one row.
    pub fn facts(&self) -> ErrorFacts {
        match self {
            Self::Malformed(malformed) => {
                // What is valid and not done here (501, 505) is a refusal of ours.
                let ours = malformed.status() >= 500;
                let outcome = if ours { ExchangeOutcome::Refused } else { ExchangeOutcome::ClientError };
                let told = "The request is not valid HTTP or its framing is ambiguous; it was not forwarded.";
                row(malformed.status(), malformed.label(), "http_request_error", outcome, told).closes()
            }
            Self::BodyTooLong => BODY_TOO_LONG,
            Self::SlowHead => SLOW_HEAD,
            Self::SlowBody => SLOW_BODY,
            Self::NoRoute { .. } => NO_ROUTE,
            Self::Unlisted { .. } => UNLISTED,
            Self::PortNotListed { .. } => PORT,
            Self::PlainRefused { .. } => PLAIN,
            Self::NoTls { .. } => NO_TLS,
            Self::Unresolved { .. } => UNRESOLVED,
            Self::Forbidden { .. } => FORBIDDEN,
            Self::WrongMethod { .. } => METHOD,
            Self::Refused { refusal, .. } => {
                let label = match refusal {
                    Refusal::Open { .. } => "breaker_open",
                    Refusal::Probing => "breaker_probing",
                    Refusal::Ramping => "breaker_ramping",
                    Refusal::Held { .. } => REFUSED.label,
                };
                ErrorFacts { label, retry_after: Some(refusal.retry_after()), ..REFUSED }
            }
            Self::Degraded { .. } => DEGRADED,
            Self::Shed { .. } => SHED,
            Self::Overloaded { .. } => OVERLOADED,
            Self::Throttled { .. } => THROTTLED,
            Self::TooOften { limit, .. } => ErrorFacts { retry_after: Some(limit.wait), ..TOO_OFTEN },
            Self::Behind { .. } => BEHIND,
            Self::NotQueued { why: NotQueued::Full, .. } => OUTBOX_FULL,
            Self::NotQueued { why: NotQueued::NotDurable, .. } => NOT_DURABLE,
            Self::Full { room, .. } => full(*room),
            Self::NoUpgrade { .. } => NO_UPGRADE,
            Self::NoMemory => NO_MEMORY,
            Self::NoAddress { .. } => NO_ADDRESS,
            Self::Connect { why, .. } => unconnected(*why),
            Self::Deadline { .. } => DEADLINE,
            Self::Broken { .. } => BROKEN,
            Self::HeadTooLong { .. } => HEAD_TOO_LONG,
            Self::Nonsense { .. } => NONSENSE,
            Self::ClientGone => CLIENT_GONE,
        }
    }

    /// The label of its row.
    pub fn label(&self) -> &'static str {
        self.facts().label
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::h1::Malformed;
    use crate::names::UpstreamName;

    #[test]
    fn a_refusal_of_a_breaker_says_which_and_when_to_ask_again() {
        let wait = Duration::from_secs(7);
        let all = [
            Refusal::Open { probe_in: wait },
            Refusal::Probing,
            Refusal::Ramping,
            Refusal::Held { expires_in: wait },
        ];
        for (place, refusal) in all.into_iter().enumerate() {
            let facts = ProxyError::Refused { breaker: "stripe".into(), refusal }.facts();
            assert_eq!(refusal.place(), place, "each is counted for itself");
            assert_eq!(facts.label, format!("breaker_{}", refusal.label()));
            assert_eq!(facts.retry_after, Some(refusal.retry_after()));
            assert_eq!((facts.status, facts.outcome), (503, ExchangeOutcome::Refused));
        }
    }

    #[test]
    fn only_what_leaves_the_next_request_unclear_ends_the_clients_connection() {
        let closing = [
            ProxyError::Malformed(Malformed::Syntax),
            ProxyError::SlowHead,
            ProxyError::SlowBody,
            ProxyError::BodyTooLong,
        ];
        assert!(closing.iter().all(|error| !error.facts().keeps_alive));
        let going_on = [ProxyError::NoMemory, ProxyError::ClientGone];
        assert!(going_on.iter().all(|error| error.facts().keeps_alive));
    }

    #[test]
    fn nothing_stands_in_for_a_refusal_that_is_the_clients_own() {
        let own = [
            ProxyError::Malformed(Malformed::Syntax),
            ProxyError::BodyTooLong,
            ProxyError::SlowBody,
            ProxyError::NoMemory,
            ProxyError::ClientGone,
            ProxyError::Full { upstream: UpstreamName::new("a").unwrap(), room: Exhausted::Share },
            ProxyError::Full { upstream: UpstreamName::new("a").unwrap(), room: Exhausted::Tunnels },
        ];
        assert!(own.iter().all(|error| !error.facts().unanswered));
        let held = ProxyError::Refused { breaker: "a".into(), refusal: Refusal::Probing };
        let full =
            ProxyError::Full { upstream: UpstreamName::new("a").unwrap(), room: Exhausted::Connections };
        assert!(held.facts().unanswered && full.facts().unanswered);
    }

    #[test]
    fn a_fault_agrees_with_its_status() {
        let rows = [
            BODY_TOO_LONG,
            SLOW_HEAD,
            SLOW_BODY,
            NO_ROUTE,
            UNLISTED,
            PORT,
            PLAIN,
            NO_TLS,
            FORBIDDEN,
            METHOD,
            NO_UPGRADE,
            UNRESOLVED,
            REFUSED,
            DEGRADED,
            SHED,
            OVERLOADED,
            THROTTLED,
            TOO_OFTEN,
            FULL,
            SHARE,
            TUNNELS,
            NO_MEMORY,
            NO_ADDRESS,
            TLS,
            CONNECT_TIMEOUT,
            CONNECT,
            DEADLINE,
            BROKEN,
            HEAD_TOO_LONG,
            NONSENSE,
            CLIENT_GONE,
        ];
        for facts in rows {
            let wanted = match facts.status {
                499 => ExchangeOutcome::ClientGone,
                502 => ExchangeOutcome::UpstreamFailed,
                504 => ExchangeOutcome::Timeout,
                503 => ExchangeOutcome::Refused,
                _ => ExchangeOutcome::ClientError,
            };
            assert_eq!(facts.outcome, wanted, "{}", facts.label);
        }
    }
}
