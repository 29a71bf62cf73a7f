//! When is waiting for an answer over, and whose fault is that?
//!
//! While the request is still on its way to the upstream, what counts is who keeps it waiting: a client that sends its
//! body slowly is told so (408) and no upstream is blamed. Only when the request is out in whole does the upstream's
//! time to its first byte begin. From then on the client is watched too: one that is gone, or that has ended its side
//! and gets no answer within a moment, ends the attempt.

use std::task::{Context, Poll};
use std::time::Instant;

use super::Attempt;
use crate::message::account;
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
    /// The client holds its body back until the upstream says that it wants it (`Expect: 100-continue`):
    /// it waits by right.
    pub(super) uninvited: bool,
    /// Interim responses so far.
    pub(super) interim: u32,
}

/// Interim responses prolong the wait for the final one, to so many times `first_byte` in all.
const MOST_PROLONGED: u32 = 10;

/// Watches one attempt: its deadlines, its bytes, whether its client leaves.
pub(super) struct AttemptWatch<'a> {
    attempt: &'a Attempt<'a>,
    began: Instant,
    /// Since when nothing has moved.
    since: Instant,
    seen: Got,
    /// Since when the upstream has the word.
    asked: Instant,
    /// The client has ended its side; until when its answer is waited for.
    left: Option<Instant>,
}

impl<'a> AttemptWatch<'a> {
    pub(super) fn new(attempt: &'a Attempt<'a>, now: Instant) -> Self {
        let seen = Got { passed: 0, over: false, waits: Waits::Sink, uninvited: false, interim: 0 };
        Self { attempt, began: now, since: now, seen, asked: now, left: None }
    }

    /// Ready with the reason when there is nothing more to wait for.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, timer: &mut Deadline, got: Got) -> Poll<ProxyError> {
        if let Poll::Ready(gone) = self.poll_client(cx, got.over) {
            return Poll::Ready(gone);
        }
        let sending = !got.over && !got.uninvited;
        account::waits(sending && got.waits == Waits::Source, sending && got.waits == Waits::Sink);
        let at = [self.quiet_until(got), self.attempt.over_at].into_iter().flatten().min();
        let first = [at, self.left].into_iter().flatten().min();
        timer.poll_passed(cx, first).map(|()| match (self.left, at) {
            (Some(left), at) if at.is_none_or(|at| left <= at) => ProxyError::ClientGone,
            _ if !got.over && got.waits == Waits::Source && !got.uninvited => ProxyError::SlowBody,
            (_, at) => {
                let limit = at.map(|at| at.saturating_duration_since(self.began)).unwrap_or_default();
                ProxyError::Deadline { upstream: self.attempt.name(), limit }
            }
        })
    }

    /// When the attempt has been quiet for too long: `idle` while the request is on its way, `first_byte` once it is
    /// out or the upstream is to ask for it.
    fn quiet_until(&mut self, got: Got) -> Option<Instant> {
        let seen = self.seen;
        let heard = got.interim != seen.interim;
        let theirs = |got: Got| got.over || got.uninvited;
        if heard || (got.passed, got.over, got.uninvited) != (seen.passed, seen.over, seen.uninvited) {
            // What was out with the first poll needs no second reading of the clock.
            let at_once = theirs(got) && seen.passed == 0 && !heard;
            self.since = if at_once { self.since } else { clock::instant() };
            if theirs(got) && !theirs(seen) {
                self.asked = self.since;
            }
            self.seen = got;
        }
        let timeouts = &self.attempt.route.timeouts;
        if !theirs(got) {
            return timeouts.idle.map(|idle| self.since + idle);
        }
        timeouts.first_byte.map(|limit| (self.since + limit).min(self.asked + limit * MOST_PROLONGED))
    }

    /// Is whoever asked still there? Looked at once its request is out, so that nobody else reads from it.
    fn poll_client(&mut self, cx: &mut Context<'_>, out: bool) -> Poll<ProxyError> {
        if let (Some(waiting), true, None) = (self.attempt.waiting, out, self.left) {
            match waiting.poll_left(cx) {
                Poll::Ready(Ok(patience)) => self.left = Some(clock::instant() + patience),
                Poll::Ready(Err(())) => return Poll::Ready(ProxyError::ClientGone),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}
