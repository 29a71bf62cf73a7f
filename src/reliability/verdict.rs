//! How one attempt counts, and against whom.
//!
//! The one judge. It gets what is known of an attempt (what was sent, over which kind of connection, what the peer
//! said, what is local) and says whether that is evidence at all. Refuses to know what carried the attempt.
//!
//! Invariant: a failure that says nothing of the peer is [`Verdict::Inconclusive`], never [`Verdict::Bad`]. Envoy
//! separates locally originated errors in the same way (`split_external_local_origin_errors`); nginx and HAProxy
//! treat the end of a reused connection before the first byte of an answer as no failure of the server
//! (RFC 9112 section 9.3.1).

use std::time::Duration;

use super::retry::Sent;
pub use super::retry_after::{RETRY_AFTER_CAP, parse_retry_after};

/// How one attempt counts for its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answered in time, with no bad status.
    Good,
    /// Answered, but slower than the slow-call limit. Good for everything but the slow-call rate.
    Slow,
    /// Did not answer, or answered badly.
    Bad(BadReason),
    /// 429, or 503 with `Retry-After`: counts in the rate, never as a consecutive failure; fails a probe.
    RateLimited {
        /// The upstream's own wish, capped at 300 s.
        retry_after: Option<Duration>,
    },
    /// No evidence: counts nowhere and gives a probe's slot back.
    Inconclusive(Inconclusive),
}

impl Verdict {
    /// The attempt ended because its client did.
    pub const ABANDONED: Self = Self::Inconclusive(Inconclusive::ClientGone);

    /// Did the peer answer well?
    pub fn is_good(self) -> bool {
        matches!(self, Self::Good | Self::Slow)
    }

    /// Does it say something against the peer?
    pub fn is_evidence_against(self) -> bool {
        matches!(self, Self::Bad(_) | Self::RateLimited { .. })
    }

    /// Against whom it speaks when it is the attempt's last word in its exchange (`Last::Yes`) or not.
    pub fn against(self, last: Last) -> Against {
        match (self, last) {
            (Self::Bad(_) | Self::RateLimited { .. }, Last::Yes) => Against::Upstream,
            (Self::Bad(_) | Self::RateLimited { .. }, Last::No) => Against::Endpoint,
            (Self::Good | Self::Slow | Self::Inconclusive(_), _) => Against::Nobody,
        }
    }
}

/// Is an attempt the one that its exchange ends with?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The client gets what came of it.
    Yes,
    /// Another attempt followed, and the client never saw this one.
    No,
}

/// Whom an attempt speaks against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Against {
    /// Nobody: it went well, or it says nothing.
    Nobody,
    /// The endpoint alone: the exchange went on elsewhere.
    Endpoint,
    /// The upstream: the exchange ended with it.
    Upstream,
}

impl Against {
    /// All of them, for metrics.
    pub const ALL: [Self; 3] = [Self::Nobody, Self::Endpoint, Self::Upstream];

    pub fn label(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Endpoint => "endpoint",
            Self::Upstream => "upstream",
        }
    }
}

/// Why an attempt was bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BadReason {
    /// No TCP connection came about.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// Nothing came in time.
    Timeout,
    /// The connection ended before the head of the answer.
    Reset,
    /// A status that the policy calls bad.
    Status,
    /// Not HTTP, or not what was asked.
    Protocol,
}

impl BadReason {
    /// All of them, for metrics.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::Tls, Self::Timeout, Self::Reset, Self::Status, Self::Protocol];

    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Status => "status",
            Self::Protocol => "protocol",
        }
    }

    /// Was there no session to send a request on? An active check that only connects sees as much.
    pub fn is_connecting(self) -> bool {
        matches!(self, Self::Connect | Self::Tls)
    }

    /// Did the peer answer, and badly?
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Status | Self::Protocol)
    }
}

/// Why an attempt is no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inconclusive {
    /// The client left, or kept the attempt waiting.
    ClientGone,
    /// A reused connection ended before the first byte of an answer: the peer had closed it for idleness.
    Stale,
    /// The peer says that it did not process the request (a stream above the last one of GOAWAY, REFUSED_STREAM).
    NotProcessed,
    /// This process, or its machine, is short of descriptors, memory or ports.
    Shortage,
    /// There is no route for the address's family.
    NoRoute,
    /// A limit of ours: connections, streams, the length of an answer's head.
    Limit,
    /// This process did not run for a while, so its clock says nothing of the peer.
    Stalled,
}

impl Inconclusive {
    /// All of them, for metrics.
    pub const ALL: [Self; 7] = [
        Self::ClientGone,
        Self::Stale,
        Self::NotProcessed,
        Self::Shortage,
        Self::NoRoute,
        Self::Limit,
        Self::Stalled,
    ];
}

/// What came of an attempt, as far as judging needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A final response head.
    Answered {
        /// Status of the head, 200 to 999.
        status: u16,
        /// `Retry-After`, when there was one.
        retry_after: Option<Duration>,
        /// `grpc-status`, where the head told it (a "trailers-only" answer).
        grpc: Option<u16>,
        /// From the admission to the head.
        took: Duration,
    },
    /// No head of an answer came.
    Failed(Failure),
    /// The client left first.
    ClientGone,
}

/// An attempt without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub why: BadReason,
    /// What had left the process.
    pub sent: Sent,
    /// What the cause is when it lies on this side of the connection.
    pub local: Option<Inconclusive>,
    /// Had the connection carried an exchange before?
    pub reused: bool,
    /// Did this process stand still during the attempt?
    pub stalled: bool,
}

impl Failure {
    /// On a fresh connection, with nothing local about it.
    pub fn of(why: BadReason, sent: Sent) -> Self {
        Self { why, sent, local: None, reused: false, stalled: false }
    }

    fn verdict(self) -> Verdict {
        let stale = self.reused && self.why == BadReason::Reset;
        match self.local {
            Some(local) => Verdict::Inconclusive(local),
            None if self.sent == Sent::Refused => Verdict::Inconclusive(Inconclusive::NotProcessed),
            None if stale => Verdict::Inconclusive(Inconclusive::Stale),
            None if self.stalled && !self.why.is_answer() => Verdict::Inconclusive(Inconclusive::Stalled),
            None => Verdict::Bad(self.why),
        }
    }
}

/// Which answers are bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgePolicy {
    /// Inclusive ranges of bad statuses. Default 500–599 without 501 and 505, which say that the request was
    /// wrong, not that the server is ill (HAProxy's reading as well).
    pub bad_statuses: Vec<(u16, u16)>,
    /// Answers slower than this are [`Verdict::Slow`]; `None`: never.
    pub slow_after: Option<Duration>,
    /// Rate limits that only a body tells.
    pub rate_limits: Vec<ToldLimit>,
}

/// A rate limit that an answer tells in its body, under a status that says something else too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldLimit {
    /// Inclusive range of the statuses that it comes with.
    pub statuses: (u16, u16),
    /// What the body says then: a JSON string of its own.
    pub says: String,
}

impl ToldLimit {
    fn comes_with(&self, status: u16) -> bool {
        (self.statuses.0..=self.statuses.1).contains(&status)
    }

    fn is_in(&self, body: &[u8]) -> bool {
        let says = self.says.as_bytes();
        body.windows(says.len() + 2).any(|part| match part {
            [b'"', inner @ .., b'"'] => inner == says,
            _ => false,
        })
    }
}

/// All 5xx but 501 and 505, which say that the request asks for too much (HAProxy's `observe layer7`
/// leaves them out, too).
impl Default for JudgePolicy {
    fn default() -> Self {
        Self {
            bad_statuses: vec![(500, 500), (502, 504), (506, 599)],
            slow_after: None,
            rate_limits: Vec::new(),
        }
    }
}

impl JudgePolicy {
    /// May the body of an answer with `status` say that it is a rate limit?
    pub fn looks_into(&self, status: u16) -> bool {
        self.rate_limits.iter().any(|limit| limit.comes_with(status))
    }

    /// Does `body`, as far as it is known, say so of an answer with `status`? Then it counts as 429.
    pub fn is_limit(&self, status: u16, body: &[u8]) -> bool {
        self.rate_limits.iter().any(|limit| limit.comes_with(status) && limit.is_in(body))
    }

    /// The verdict on one outcome.
    pub fn judge(&self, outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Failed(failure) => failure.verdict(),
            Outcome::ClientGone => Verdict::ABANDONED,
            Outcome::Answered { status, retry_after, grpc, took } => {
                let status = grpc.map_or(status, grpc_as_status);
                let limited = status == 429 || (status == 503 && retry_after.is_some());
                let bad = self.bad_statuses.iter().any(|&(low, high)| (low..=high).contains(&status));
                if limited {
                    Verdict::RateLimited { retry_after: retry_after.map(|wish| wish.min(RETRY_AFTER_CAP)) }
                } else if bad {
                    Verdict::Bad(BadReason::Status)
                } else if self.slow_after.is_some_and(|limit| took > limit) {
                    Verdict::Slow
                } else {
                    Verdict::Good
                }
            }
        }
    }
}

/// A gRPC status as the HTTP status that means the same to a breaker. What says that the call was wrong, and not that
/// the server is ill, is no failure (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>).
fn grpc_as_status(code: u16) -> u16 {
    match code {
        2 | 13 | 15 => 500, // UNKNOWN, INTERNAL, DATA_LOSS
        4 => 504,           // DEADLINE_EXCEEDED
        8 => 429,           // RESOURCE_EXHAUSTED
        14 => 503,          // UNAVAILABLE
        _ => 200,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, retry_after: Option<u64>) -> Verdict {
        let retry_after = retry_after.map(Duration::from_secs);
        let took = Duration::ZERO;
        JudgePolicy::default().judge(Outcome::Answered { status, retry_after, grpc: None, took })
    }

    #[test]
    fn a_grpc_status_rules_over_its_200() {
        let told = |code| {
            let (retry_after, took) = (None, Duration::ZERO);
            JudgePolicy::default().judge(Outcome::Answered {
                status: 200,
                retry_after,
                grpc: Some(code),
                took,
            })
        };
        for code in [0, 3, 5, 7, 16] {
            assert_eq!(told(code), Verdict::Good, "{code}");
        }
        for code in [2, 4, 13, 14, 15] {
            assert_eq!(told(code), Verdict::Bad(BadReason::Status), "{code}");
        }
        assert_eq!(told(8), Verdict::RateLimited { retry_after: None });
    }

    #[test]
    fn a_limit_that_a_body_tells_is_a_json_string_of_its_own_under_its_status() {
        let says = "rateLimitExceeded".to_owned();
        let judge = JudgePolicy {
            rate_limits: vec![ToldLimit { statuses: (403, 403), says }],
            ..JudgePolicy::default()
        };
        assert!(judge.looks_into(403) && !judge.looks_into(429));
        assert!(!JudgePolicy::default().looks_into(403));
        let limit = br#"{"error": {"errors": [{"reason":"rateLimitExceeded"}], "code": 403}}"#;
        assert!(judge.is_limit(403, limit) && !judge.is_limit(404, limit));
        for other in [
            &br#"{"reason": "userRateLimitExceeded"}"#[..],
            br#"{"message": "what rateLimitExceeded means"}"#,
            br#"{"reason": "rateLimitExce"#,
            b"\"\"",
            b"",
        ] {
            assert!(!judge.is_limit(403, other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_declined_card_is_no_outage() {
        for status in [200, 302, 400, 401, 402, 404, 409, 501, 505] {
            assert_eq!(answered(status, None), Verdict::Good, "{status}");
        }
        for status in [500, 502, 503, 504, 599] {
            assert_eq!(answered(status, None), Verdict::Bad(BadReason::Status), "{status}");
        }
    }

    #[test]
    fn a_rate_limit_is_its_own_verdict_and_its_wish_is_capped() {
        assert_eq!(answered(429, None), Verdict::RateLimited { retry_after: None });
        let capped = Verdict::RateLimited { retry_after: Some(RETRY_AFTER_CAP) };
        assert_eq!(answered(503, Some(9_999)), capped);
    }

    #[test]
    fn what_says_nothing_of_the_peer_is_no_evidence() {
        let judged = |failure| JudgePolicy::default().judge(Outcome::Failed(failure));
        let reset = Failure::of(BadReason::Reset, Sent::Maybe);
        assert_eq!(judged(reset), Verdict::Bad(BadReason::Reset));
        let stale = Failure { reused: true, ..reset };
        assert_eq!(judged(stale), Verdict::Inconclusive(Inconclusive::Stale));
        let refused = Failure { sent: Sent::Refused, ..reset };
        assert_eq!(judged(refused), Verdict::Inconclusive(Inconclusive::NotProcessed));
        for local in Inconclusive::ALL {
            let connect = Failure { local: Some(local), ..Failure::of(BadReason::Connect, Sent::Nothing) };
            assert_eq!(judged(connect), Verdict::Inconclusive(local));
        }
        let late = Failure::of(BadReason::Timeout, Sent::Maybe);
        assert_eq!(judged(late), Verdict::Bad(BadReason::Timeout));
        assert_eq!(judged(Failure { stalled: true, ..late }), Verdict::Inconclusive(Inconclusive::Stalled));
        let reused = Failure { reused: true, ..late };
        assert_eq!(judged(reused), Verdict::Bad(BadReason::Timeout), "a connection that hangs is not stale");
    }

    #[test]
    fn only_what_an_exchange_ends_with_speaks_against_the_upstream() {
        let bad = Verdict::Bad(BadReason::Connect);
        assert_eq!(bad.against(Last::No), Against::Endpoint);
        assert_eq!(bad.against(Last::Yes), Against::Upstream);
        assert_eq!(Verdict::ABANDONED.against(Last::Yes), Against::Nobody);
        assert_eq!(Verdict::Good.against(Last::Yes), Against::Nobody);
    }
}
