//! When is waiting for an answer over, and whose fault is that?
//!
//! While the request is still on its way to the upstream, what counts is who keeps it waiting: a client that sends its
//! body slowly is told so (408) and no upstream is blamed. Only when the request is out in whole does the upstream's
//! time to its first byte begin. From then on the client is watched too: one that is gone, or that has ended its side and
//! gets no answer within a moment, ends the attempt.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Attempt;
use crate::message::h1::pump::Waits;
use crate::proxy::error::ProxyError;
use crate::runtime::clock;
use crate::runtime::timer::Deadline;

/// How far the request has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Got {
    /// Bytes of its body that have left (and one more for its head).
    pub(super) passed: u64,
    /// Is it out in whole?
    pub(super) over: bool,
    /// Which side it waits for.
    pub(super) waits: Waits,
}

/// Watches one attempt.
pub(super) struct Watch<'a> {
    attempt: &'a Attempt<'a>,
    began: Instant,
    /// Since when nothing has moved.
    since: Instant,
    passed: u64,
    over: bool,
    /// The client has ended its side; until when its answer is waited for.
    left: Option<Instant>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(attempt: &'a Attempt<'a>, now: Instant) -> Self {
        Self { attempt, began: now, since: now, passed: 0, over: false, left: None }
    }

    /// Ready with the reason when there is nothing more to wait for.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Deadline, got: Got) -> Poll<ProxyError> {
        if let Poll::Ready(gone) = self.poll_client(cx, got.over) {
            return Poll::Ready(gone);
        }
        let at = [self.quiet_until(got), self.attempt.over_at].into_iter().flatten().min();
        let first = [at, self.left].into_iter().flatten().min();
        timer.poll_passed(cx, first).map(|()| match (self.left, at) {
            (Some(left), at) if at.is_none_or(|at| left <= at) => ProxyError::ClientGone,
            _ if !got.over && got.waits == Waits::Source => ProxyError::SlowBody,
            (_, at) => {
                let limit = at.map(|at| at.saturating_duration_since(self.began)).unwrap_or_default();
                ProxyError::Deadline { upstream: self.attempt.name(), limit }
            }
        })
    }

    /// When the attempt has been quiet for too long: `idle` while the request is on its way, `first_byte` once it is out.
    fn quiet_until(&mut self, got: Got) -> Option<Instant> {
        if (got.passed, got.over) != (self.passed, self.over) {
            // What was out with the first poll needs no second reading of the clock.
            let at_once = got.over && self.passed == 0;
            self.since = if at_once { self.since } else { clock::instant() };
            (self.passed, self.over) = (got.passed, got.over);
        }
        let timeouts = &self.attempt.route.timeouts;
        let limit: Option<Duration> = if got.over { timeouts.first_byte } else { timeouts.idle };
        limit.map(|limit| self.since + limit)
    }

    /// Is whoever asked still there? Looked at once its request is out, so that nobody else reads from it.
    fn poll_client(&mut self, cx: &mut Context<'_>, out: bool) -> Poll<ProxyError> {
        if let (Some(asker), true, None) = (self.attempt.asker, out, self.left) {
            match asker.conn.poll_left(cx) {
                Poll::Ready(Ok(())) => self.left = Some(clock::instant() + asker.patience),
                Poll::Ready(Err(_)) => return Poll::Ready(ProxyError::ClientGone),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}
