//! A second attempt beside the first, where a read has no answer in time: the hedged requests of Dean and Barroso, "The Tail at
//! Scale" (Communications of the ACM 56, 2013).
//!
//! Refuses what could do anything twice: GET, HEAD and OPTIONS alone are hedged, without a body and without an upgrade, once, and
//! the retry budget pays. Invariants: a probe of a breaker is never hedged; the first head of an answer is the exchange's, and the
//! other attempt is given up then and speaks against nobody; one that fails does not keep the other from answering.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::attempts::{AttemptLoop, OpenAttempt, Target};
use super::call::PreparedCall;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::{Answer, AttemptMet};
use crate::message::body::Body;
use crate::reliability::retry::RetryReason;
use crate::reliability::verdict::Last;
use crate::runtime::clock;
use crate::runtime::timer::{Deadline, within};
use crate::upstream::endpoint::EndpointState;
use crate::upstream::permit::Begun;

/// What came of one attempt.
type Came = (Result<Answer, ProxyError>, AttemptMet);

/// The attempt that is made beside the first.
struct Beside<'a> {
    endpoint: Arc<EndpointState>,
    begun: Begun<'a>,
    began: Instant,
}

/// An attempt that has failed while the other went on, and when.
type Fell = (ProxyError, AttemptMet, Instant);

/// How both went.
enum Raced<'a> {
    /// There was none beside it.
    Alone(Came),
    /// The first one ended the exchange; before it the other may have failed.
    First(Came, Beside<'a>, Option<Fell>),
    /// The other one did.
    Second(Came, Beside<'a>, Option<Fell>),
}

impl<'a> AttemptLoop<'a> {
    /// How long an attempt is alone; `None`: for as long as it takes.
    pub(super) fn hedge_after(&self, open: &OpenAttempt<'_>, call: &PreparedCall<'_>) -> Option<Duration> {
        let after = self.route.upstream.config.retry.hedge_after?;
        let may = open.so_far.made == 1 && call.may_be_hedged() && !open.permits.is_probe();
        may.then_some(after)
    }

    /// Makes the attempt, and another beside it once it has been alone for so long; `open` and `met` are of the one that the
    /// exchange goes on with.
    pub(super) async fn hedged(
        &self,
        (open, met): (&mut OpenAttempt<'a>, &mut AttemptMet),
        call: &mut PreparedCall<'_>,
        exchange: &mut Exchange,
        timer: &mut Deadline,
        after: Duration,
    ) -> Result<Answer, ProxyError> {
        let (came, other, fell) = match self.race(open, call, exchange, timer, after).await {
            Raced::Alone(came) => {
                *met = came.1;
                return came.0;
            }
            Raced::First(came, other, fell) => (came, other, fell),
            Raced::Second(came, mut other, fell) => {
                std::mem::swap(&mut open.endpoint, &mut other.endpoint);
                std::mem::swap(&mut open.begun, &mut other.begun);
                std::mem::swap(&mut open.began, &mut other.began);
                if came.0.is_ok() {
                    self.route.upstream.series.hedge_won();
                }
                (came, other, fell)
            }
        };
        open.so_far.made += 1;
        exchange.attempts = open.so_far.made;
        if let Some((error, of, at)) = fell {
            let verdict = self.failed(&error, &of, (other.began, at));
            let endpoint = of.endpoint.unwrap_or(other.endpoint);
            let ended = self.ended(endpoint, verdict, of.reused, other.began, at);
            exchange.tried(&ended.endpoint);
            other.begun.settle(verdict, verdict.against(Last::No));
        }
        *met = came.1;
        came.0
    }

    async fn race(
        &self,
        open: &OpenAttempt<'a>,
        call: &mut PreparedCall<'_>,
        exchange: &Exchange,
        timer: &mut Deadline,
        after: Duration,
    ) -> Raced<'a> {
        let mut body = Body::empty();
        let mut twin = call.twin(&mut body);
        let mut first = pin!(self.came(open.target(), call, exchange, timer));
        if let Some(came) = within(after, first.as_mut()).await {
            return Raced::Alone(came);
        }
        let Some(other) = self.beside(open, exchange) else { return Raced::Alone(first.await) };
        let mut its_timer = Deadline::default();
        // No connection has broken.
        let target = Target { endpoint: &other.endpoint, began: other.began, fresh: false };
        let mut second = Box::pin(self.came(target, &mut twin, exchange, &mut its_timer));
        match either(first.as_mut(), second.as_mut()).await {
            Either::First((Err(error), of)) => {
                let fell = (error, of, clock::instant());
                let came = second.as_mut().await;
                drop(second);
                Raced::Second(came, other, Some(fell))
            }
            Either::First(came) => {
                drop(second);
                Raced::First(came, other, None)
            }
            Either::Second((Err(error), of)) => {
                let fell = (error, of, clock::instant());
                drop(second);
                Raced::First(first.await, other, Some(fell))
            }
            Either::Second(came) => {
                drop(second);
                Raced::Second(came, other, None)
            }
        }
    }

    async fn came(
        &self,
        target: Target<'_>,
        call: &mut PreparedCall<'_>,
        exchange: &Exchange,
        timer: &mut Deadline,
    ) -> Came {
        let mut met = AttemptMet::default();
        let answer = self.once(target, call, exchange, timer, &mut met).await;
        (answer, met)
    }

    /// Begins it, where the breakers and the budget let it be made.
    fn beside(&self, open: &OpenAttempt<'_>, exchange: &Exchange) -> Option<Beside<'a>> {
        let (upstream, now) = (&self.route.upstream, clock::instant());
        if !open.permits.goes_on(now) {
            return None;
        }
        let mut tried = exchange.tried.clone();
        tried.push(Arc::clone(&open.endpoint));
        let endpoint = upstream.pick(&tried, self.worker.draw(), now)?;
        if !upstream.may_retry(RetryReason::Hedge, now) {
            return None;
        }
        Some(Beside { endpoint, begun: Begun::new(&upstream.series, self.worker.number), began: now })
    }
}

/// Which of two was ready first.
enum Either<T> {
    First(T),
    Second(T),
}

async fn either<T>(
    mut first: Pin<&mut impl Future<Output = T>>,
    mut second: Pin<&mut impl Future<Output = T>>,
) -> Either<T> {
    poll_fn(|cx| {
        if let Poll::Ready(came) = first.as_mut().poll(cx) {
            return Poll::Ready(Either::First(came));
        }
        second.as_mut().poll(cx).map(Either::Second)
    })
    .await
}
