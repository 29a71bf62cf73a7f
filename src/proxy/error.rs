//! Every way an exchange can fail.
//!
//! Closed on purpose: a new way to fail is a new variant, and the compiler then asks for its row in [`super::facts`]
//! (status, label, whose fault). `Display` is the log's text; what the client reads is made in [`super::reply`].

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::degrade::outbox::NotQueued;
use crate::message::h1::Malformed;
use crate::names::{RouteName, UpstreamName};
use crate::reliability::breaker::Refusal;
use crate::reliability::retry::{self, Sent};
use crate::reliability::verdict::{BadReason, Failure, Inconclusive};
use crate::upstream::local;
use crate::upstream::pool::ConnectError;
use crate::upstream::rates::TooOften;

/// BadReason the client does not get the upstream's answer.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The request's framing or syntax is not beyond doubt.
    #[error("the request was refused: {0}")]
    Malformed(#[from] Malformed),
    /// The body is longer than the route allows.
    #[error("the request body is longer than the route allows")]
    BodyTooLong,
    /// The client did not finish its request head in time.
    #[error("the request head did not come in time")]
    SlowHead,
    /// The client did not send its request body in time.
    #[error("the request body did not come in time")]
    SlowBody,
    /// Nobody answers for this.
    #[error("no route for {host}{path}")]
    NoRoute {
        /// The authority asked for.
        host: String,
        /// The path asked for.
        path: String,
    },
    /// A host that no upstream lists.
    #[error("{host} is not listed by any upstream")]
    Unlisted {
        /// The host asked for.
        host: String,
    },
    /// A listed host with a port that its upstream does not have.
    #[error("port {port} of {host} is not an endpoint of its upstream")]
    PortNotListed {
        /// The host asked for.
        host: String,
        /// The port asked for.
        port: u16,
    },
    /// Asked for in the clear what is reached by TLS.
    #[error("{host} is reached by TLS only")]
    PlainRefused {
        /// The host asked for.
        host: String,
    },
    /// An `https` target where the sidecar speaks no TLS.
    #[error("TLS is not configured towards {host}")]
    NoTls {
        /// The host asked for.
        host: String,
    },
    /// A host without an address, that no upstream lists.
    #[error("{host} has no address")]
    Unresolved {
        /// The host asked for.
        host: String,
    },
    /// An address range that may not be reached.
    #[error("{host} leads to a forbidden address range ({range})")]
    Forbidden {
        /// The host asked for.
        host: String,
        /// Name of the range, such as "loopback".
        range: &'static str,
    },
    /// The method is not for this entrance (CONNECT to the ingress).
    #[error("{method} is not served here")]
    WrongMethod { method: String },
    /// The breaker says no.
    #[error("{breaker} is not being called: {}", refusal.label())]
    Refused {
        /// The breaker's label: such as `stripe`, or `stripe.charges` for an operation.
        breaker: Arc<str>,
        /// What it said, and when it makes sense to ask again.
        refusal: Refusal,
    },
    /// The degradation level says that the route answers by itself.
    #[error("{route} is not sent on at degradation level {level}")]
    Degraded { route: RouteName, level: u8 },
    /// The degradation level gives up the class of the route.
    #[error("{route} is given up at degradation level {level}")]
    Shed { route: RouteName, level: u8 },
    /// As many requests are under way to the upstream as it keeps up with.
    #[error("{upstream} has as many requests under way as it keeps up with ({limit} of all classes)")]
    Overloaded { upstream: UpstreamName, limit: u32 },
    /// Its client asks more often than it may.
    #[error("a client of {route} asks more often than {} times in {:?}", limit.requests, limit.per)]
    TooOften { route: RouteName, limit: TooOften },
    /// The upstream turns requests away and is asked less.
    #[error("{upstream} turns requests away and is asked less for a while")]
    Throttled { upstream: UpstreamName },
    /// Earlier writes of the same order are still queued.
    #[error("earlier writes of the same order to {upstream} are still queued")]
    Behind { upstream: UpstreamName },
    /// It was to be queued, and the outbox does not take it.
    #[error("a write to {upstream} could not be queued: {why:?}")]
    NotQueued { upstream: UpstreamName, why: NotQueued },
    /// All that the upstream may have of something is in use.
    #[error("{upstream} has {room}")]
    Full { upstream: UpstreamName, room: Exhausted },
    /// It is spoken to by HTTP/2, and takes no such change of protocol there.
    #[error(
        "{upstream} speaks HTTP/2, and does not take such an upgrade by it: a WebSocket needs a server that says so \
         (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441), anything else HTTP/1.1 (protocol = \"http1\")"
    )]
    NoUpgrade { upstream: UpstreamName },
    /// The bytes that may be buffered are all in use, or this client holds its share of them.
    #[error("there is no memory for one more exchange")]
    NoMemory,
    /// Its name has no (allowed) address.
    #[error("{upstream} has no address")]
    NoAddress { upstream: UpstreamName },
    /// No TCP connection or no TLS session came about.
    #[error("could not connect to {upstream}: {cause}")]
    Connect {
        upstream: UpstreamName,
        /// What failed: TCP or TLS.
        why: BadReason,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// A time limit passed.
    #[error("{upstream} did not answer within {limit:?}")]
    Deadline {
        upstream: UpstreamName,
        /// The limit that passed.
        limit: Duration,
    },
    /// The connection broke before the head of the answer.
    #[error("the connection to {upstream} broke: {cause}")]
    Broken {
        upstream: UpstreamName,
        /// What had left by then.
        sent: Sent,
        /// Had the first byte of an answer come?
        begun: bool,
        /// What it says of this side of the connection.
        local: Option<Inconclusive>,
        /// What the system said.
        cause: String,
    },
    /// The head of the answer is longer than a limit of ours.
    #[error("{upstream} answered with a head that is longer than is taken: {cause}")]
    HeadTooLong {
        upstream: UpstreamName,
        /// The limit that it is longer than.
        cause: String,
    },
    /// What came back is not HTTP.
    #[error("{upstream} answered with something that is not HTTP: {cause}")]
    Nonsense {
        upstream: UpstreamName,
        /// What is wrong with it.
        cause: String,
    },
    /// The client left or broke off its body.
    #[error("the client went away")]
    ClientGone,
}

/// What there is no more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// All connections that the upstream may have.
    Connections,
    /// What a client that holds much of them may have, while others are there.
    Share,
    /// Tunnels and upgraded connections.
    Tunnels,
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connections => "no connection left",
            Self::Share => "the connections that are left for other clients",
            Self::Tunnels => "no tunnel left",
        })
    }
}

impl ProxyError {
    /// There is no connection to `upstream`.
    pub fn connecting(upstream: UpstreamName, error: ConnectError) -> Self {
        match error {
            ConnectError::Full => Self::Full { upstream, room: Exhausted::Connections },
            ConnectError::NoTunnel => Self::Full { upstream, room: Exhausted::Tunnels },
            ConnectError::NoUpgrade => Self::NoUpgrade { upstream },
            ConnectError::Failed(why, cause) => Self::Connect { upstream, why, cause },
        }
    }

    /// How the attempt failed, as its judge wants to know it; `None` when it is the client's doing.
    pub fn failure(&self, reused: bool, stalled: bool) -> Option<Failure> {
        let (why, local) = match self {
            Self::Connect { why, cause, .. } => (*why, local::cause(cause)),
            Self::NoAddress { .. } => (BadReason::Connect, None),
            Self::Deadline { .. } => (BadReason::Timeout, None),
            Self::Broken { local, .. } => (BadReason::Reset, *local),
            Self::Nonsense { .. } => (BadReason::Protocol, None),
            Self::Full { .. } | Self::HeadTooLong { .. } | Self::NoUpgrade { .. } => {
                (BadReason::Protocol, Some(Inconclusive::Limit))
            }
            Self::Malformed(_)
            | Self::BodyTooLong
            | Self::SlowHead
            | Self::SlowBody
            | Self::NoRoute { .. }
            | Self::Unlisted { .. }
            | Self::PortNotListed { .. }
            | Self::PlainRefused { .. }
            | Self::NoTls { .. }
            | Self::Unresolved { .. }
            | Self::Forbidden { .. }
            | Self::WrongMethod { .. }
            | Self::Refused { .. }
            | Self::Degraded { .. }
            | Self::Shed { .. }
            | Self::Overloaded { .. }
            | Self::Throttled { .. }
            | Self::TooOften { .. }
            | Self::Behind { .. }
            | Self::NotQueued { .. }
            | Self::NoMemory
            | Self::ClientGone => return None,
        };
        // What broke within the head of an answer was not closed for idleness.
        let reused = reused && !matches!(self, Self::Broken { begun: true, .. });
        Some(Failure { why, sent: self.sent(), local, reused, stalled })
    }

    /// How it failed, as far as another attempt depends on it.
    pub fn failed(&self, reused: bool, another: bool) -> retry::FailedTry {
        let unconnected = matches!(self, Self::Connect { .. });
        let reset = matches!(self, Self::Broken { begun: false, .. });
        retry::FailedTry { sent: self.sent(), unconnected, reset, reused, another }
    }

    /// What was on the wire when it failed.
    pub fn sent(&self) -> Sent {
        match self {
            Self::Connect { .. }
            | Self::NoAddress { .. }
            | Self::Full { .. }
            | Self::NoUpgrade { .. }
            | Self::NoMemory
            | Self::Degraded { .. }
            | Self::Shed { .. }
            | Self::Overloaded { .. }
            | Self::Throttled { .. }
            | Self::TooOften { .. }
            | Self::Behind { .. }
            | Self::NotQueued { .. } => Sent::Nothing,
            Self::Broken { sent, .. } => *sent,
            Self::Malformed(_)
            | Self::BodyTooLong
            | Self::SlowHead
            | Self::SlowBody
            | Self::NoRoute { .. }
            | Self::Unlisted { .. }
            | Self::PortNotListed { .. }
            | Self::PlainRefused { .. }
            | Self::NoTls { .. }
            | Self::Unresolved { .. }
            | Self::Forbidden { .. }
            | Self::WrongMethod { .. }
            | Self::Refused { .. }
            | Self::Deadline { .. }
            | Self::HeadTooLong { .. }
            | Self::Nonsense { .. }
            | Self::ClientGone => Sent::Maybe,
        }
    }
}
