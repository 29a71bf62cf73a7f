//! A second attempt beside the first, where a read has no answer in time: the hedged requests of Dean and Barroso, "The Tail at
//! Scale" (Communications of the ACM 56, 2013).
//!
//! Refuses what could do anything twice: GET, HEAD and OPTIONS alone are hedged, without a body and without an upgrade, once, and
//! the retry budget pays. Invariants: a probe of a breaker is never hedged; the first head of an answer is the exchange's, and the
//! other attempt is given up then and speaks against nobody, but its endpoint is known not to have answered for so long; one that
//! fails does not keep the other from answering.

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

/// The attempt that is made beside the first.
struct Beside<'a> {
    endpoint: Arc<EndpointState>,
    begun: Begun<'a>,
    began: Instant,
}

/// What became of the attempt beside.
struct Raced<'a> {
    beside: Beside<'a>,
    /// It is the one that the exchange goes on with.
    won: bool,
    /// The one that it does not go on with failed before that, and when; `None`: it was given up.
    fell: Option<(ProxyError, Instant)>,
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
        let mut mets = [AttemptMet::default(), AttemptMet::default()];
        let (came, raced) = self.race(open, call, exchange, timer, after, &mut mets).await;
        let [mut its, mut others] = mets;
        if let Some(Raced { beside: mut other, won, fell }) = raced {
            if won {
                std::mem::swap(&mut open.endpoint, &mut other.endpoint);
                std::mem::swap(&mut open.begun, &mut other.begun);
                std::mem::swap(&mut open.began, &mut other.began);
                std::mem::swap(&mut its, &mut others);
                if came.is_ok() {
                    self.route.upstream.series.hedge_won();
                }
            }
            open.so_far.made += 1;
            exchange.attempts = open.so_far.made;
            self.lost(other, fell, others, exchange);
        }
        *met = its;
        came
    }

    /// What is learnt of the attempt that the exchange does not go on with.
    fn lost(
        &self,
        other: Beside<'_>,
        fell: Option<(ProxyError, Instant)>,
        mut met: AttemptMet,
        exchange: &mut Exchange,
    ) {
        let endpoint = met.endpoint.take().unwrap_or(other.endpoint);
        let Some((error, at)) = fell else {
            let now = clock::instant();
            return endpoint.unanswered(now.saturating_duration_since(other.began), now);
        };
        let verdict = self.failed(&error, &met, (other.began, at));
        let ended = self.ended(endpoint, verdict, met.reused, other.began, at);
        exchange.tried(&ended.endpoint);
        other.begun.settle(verdict, verdict.against(Last::No));
    }

    async fn race(
        &self,
        open: &OpenAttempt<'a>,
        call: &mut PreparedCall<'_>,
        exchange: &Exchange,
        timer: &mut Deadline,
        after: Duration,
        [met, beside_met]: &mut [AttemptMet; 2],
    ) -> (Result<Answer, ProxyError>, Option<Raced<'a>>) {
        let mut body = Body::empty();
        let mut twin = call.twin(&mut body);
        let mut first = pin!(self.once(open.target(), call, exchange, timer, met));
        if let Some(came) = within(after, first.as_mut()).await {
            return (came, None);
        }
        let Some(beside) = self.beside(open, exchange) else { return (first.await, None) };
        let mut its_timer = Deadline::default();
        // No connection has broken.
        let target = Target { endpoint: &beside.endpoint, began: beside.began, fresh: false };
        let mut second = Box::pin(self.once(target, &mut twin, exchange, &mut its_timer, beside_met));
        let (came, won, fell) = match either(first.as_mut(), second.as_mut()).await {
            Either::First(Err(error)) => {
                let fell = (error, clock::instant());
                (second.as_mut().await, true, Some(fell))
            }
            Either::First(came) => (came, false, None),
            Either::Second(Err(error)) => {
                let fell = (error, clock::instant());
                (first.await, false, Some(fell))
            }
            Either::Second(came) => (came, true, None),
        };
        drop(second);
        (came, Some(Raced { beside, won, fell }))
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
