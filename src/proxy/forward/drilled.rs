//! An attempt that a drill has hit: what it meets instead of its upstream.
//!
//! The fault is made before anything is sent, so that no upstream ever sees half of a request for a drill's sake; what it looks
//! like is what the real fault looks like, to the client and to all who judge attempts.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Answer, Attempt};
use crate::message::body::Body;
use crate::message::head::{Framing, ResponseHead};
use crate::proxy::call::PreparedCall;
use crate::proxy::error::ProxyError;
use crate::reliability::drill::Fault;
use crate::reliability::retry::Sent;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// How long nothing comes back where the route has no limit of its own.
const UNLIMITED: Duration = Duration::from_secs(60);

impl Attempt<'_> {
    /// What comes of it instead; `None`: it goes on to its upstream.
    pub async fn suffer(
        &self,
        fault: Fault,
        call: &PreparedCall<'_>,
        timer: &mut Deadline,
        now: Instant,
    ) -> Option<Result<Answer, ProxyError>> {
        let upstream = self.route.upstream.config.name.clone();
        let first_byte = self.route.timeouts.first_byte.map(|limit| now + limit);
        let limit = [first_byte, self.over_at].into_iter().flatten().min();
        let until = match fault {
            Fault::Error(status) => return Some(Ok(answer(status, call))),
            Fault::Reset => {
                let cause = "reset by a drill".to_owned();
                let (sent, begun, local) = (Sent::Maybe, false, None);
                return Some(Err(ProxyError::Broken { upstream, sent, begun, local, cause }));
            }
            Fault::Latency(more) => limit.map_or(now + more, |limit| limit.min(now + more)),
            Fault::Blackhole => limit.unwrap_or(now + UNLIMITED),
        };
        if self.is_left_before(until, call, timer).await {
            return Some(Err(ProxyError::ClientGone));
        }
        let late = matches!(fault, Fault::Blackhole) || limit.is_some_and(|limit| until >= limit);
        late.then(|| {
            let limit = until.saturating_duration_since(now);
            Err(ProxyError::Deadline { upstream, limit })
        })
    }

    /// Waits; true: the client has left meanwhile. Where its body is still to be read nobody looks.
    async fn is_left_before(&self, until: Instant, call: &PreparedCall<'_>, timer: &mut Deadline) -> bool {
        let watched = self.waiting.filter(|_| call.head.framing == Framing::None);
        let mut left: Option<Instant> = None;
        poll_fn(|cx| {
            if let (Some(waiting), None) = (watched, left) {
                match waiting.poll_left(cx) {
                    Poll::Ready(Ok(patience)) => left = Some(clock::instant() + patience),
                    Poll::Ready(Err(())) => return Poll::Ready(true),
                    Poll::Pending => {}
                }
            }
            let gone = left.filter(|left| *left < until);
            timer.poll_passed(cx, Some(gone.unwrap_or(until))).map(|()| gone.is_some())
        })
        .await
    }
}

/// The answer in the upstream's place. It says whose it is.
fn answer(status: u16, call: &PreparedCall<'_>) -> Answer {
    let text = "{\"code\":\"drill\",\"detail\":\"a drill answers in the place of the upstream\"}";
    let mut head = ResponseHead::own(status, Framing::Length(text.len() as u64));
    head.store.push(b"content-type", b"application/json");
    head.store.push(b"cache-control", b"no-store");
    head.store.push(b"x-strop-reason", b"drill");
    let body = Body::of_own(&mut head, Bytes::from_static(text.as_bytes()), call.head.method);
    Answer::own(head, body)
}
