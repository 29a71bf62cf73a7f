//! The fallback answer of a route, as its clients read it.
//!
//! It says what it is: `X-Strop-Degraded`, with the reason in `X-Strop-Reason` and `Proxy-Status` (RFC 9209); no cache
//! keeps it.

use std::time::Duration;

use crate::config::Fallback;
use crate::message::body::Body;
use crate::message::head::{Framing, Method, ResponseHead};

/// The reason where the upstream's own answer was replaced.
pub const UPSTREAM_5XX: &str = "upstream_5xx";

/// Why a fallback is given.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// The upstream could not be asked, or did not answer.
    NoAnswer {
        /// The word for programs, as in `X-Strop-Reason`.
        reason: &'static str,
        /// The `error` token of RFC 9209 section 2.3.
        token: &'static str,
        /// When the client may ask again.
        retry_after: Option<Duration>,
    },
    /// The upstream answered with this status.
    Answered(u16),
}

impl Cause {
    /// The word for programs, and the label of metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoAnswer { reason, .. } => reason,
            Self::Answered(_) => UPSTREAM_5XX,
        }
    }

    /// Writes into a head what stands in, and why.
    pub(super) fn tell(self, head: &mut ResponseHead, by: &str) {
        head.store.push(b"x-strop-reason", self.reason().as_bytes());
        head.store.push(b"x-strop-degraded", by.as_bytes());
        let told = match self {
            Self::NoAnswer { reason, token, .. } => {
                format!("strop; error={token}; details=\"{by}: {reason}\"")
            }
            Self::Answered(status) => {
                format!("strop; received-status={status}; details=\"{by}: {UPSTREAM_5XX}\"")
            }
        };
        head.store.push(b"proxy-status", told.as_bytes());
        if let Self::NoAnswer { retry_after: Some(wait), .. } = self
            && head.status >= 400
        {
            head.store.push_retry_after(wait);
        }
    }
}

/// The fallback as the answer to a request of this method.
pub fn answer(fallback: &Fallback, cause: Cause, asked: Method) -> (ResponseHead, Body) {
    written(fallback, "fallback", cause, asked)
}

/// The acknowledgement of a write of this method that is queued.
pub fn queued(reply: &Fallback, cause: Cause, asked: Method) -> (ResponseHead, Body) {
    written(reply, "queued", cause, asked)
}

fn written(fallback: &Fallback, by: &str, cause: Cause, asked: Method) -> (ResponseHead, Body) {
    let status = fallback.policy.status;
    let length = fallback.body.len();
    let mut head = ResponseHead::own(status, Framing::Length(length as u64));
    if length > 0 {
        head.store.push(b"content-type", fallback.content_type.as_bytes());
    }
    head.store.push(b"cache-control", b"no-store");
    cause.tell(&mut head, by);
    // RFC 9110 section 8.6: 204 has no length.
    if status == 204 {
        head.store.bytes.extend_from_slice(b"\r\n");
        head.framing = Framing::None;
        return (head, Body::empty());
    }
    let body = Body::of_own(&mut head, fallback.body.clone(), asked);
    (head, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::degradation::FallbackPolicy;

    fn fallback(status: u16, body: &'static str) -> Fallback {
        Fallback {
            policy: FallbackPolicy { status, on_5xx: true },
            content_type: "application/json".to_owned(),
            body: body.into(),
        }
    }

    const OPEN: Cause = Cause::NoAnswer {
        reason: "breaker_open",
        token: "destination_unavailable",
        retry_after: Some(Duration::from_millis(2_100)),
    };

    #[test]
    fn it_says_that_it_is_one_and_why() {
        let (head, body) = answer(&fallback(503, "{}"), OPEN, Method::Get);
        let field = |name| head.store.field(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let told = ["x-strop-reason", "x-strop-degraded", "proxy-status", "retry-after", "cache-control"];
        assert_eq!(
            told.map(|name| field(name).unwrap_or_default()),
            [
                "breaker_open",
                "fallback",
                "strop; error=destination_unavailable; details=\"fallback: breaker_open\"",
                "3",
                "no-store"
            ]
        );
        assert_eq!((head.status, body.framing()), (503, Framing::Length(2)));
        let (head, _) = answer(&fallback(200, "{}"), Cause::Answered(502), Method::Get);
        let status =
            head.store.field("proxy-status").map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(status.as_deref(), Some("strop; received-status=502; details=\"fallback: upstream_5xx\""));
    }

    #[test]
    fn head_and_204_have_no_body_and_only_an_error_says_when_to_ask_again() {
        let (head, body) = answer(&fallback(200, "{}"), OPEN, Method::Head);
        assert_eq!((head.framing, body.is_over()), (Framing::None, true));
        assert_eq!(head.store.field("content-length"), Some(&b"2"[..]));
        assert_eq!(head.store.field("retry-after"), None);
        let (head, _) = answer(&fallback(204, ""), OPEN, Method::Get);
        assert_eq!((head.framing, head.store.field("content-length")), (Framing::None, None));
    }
}
