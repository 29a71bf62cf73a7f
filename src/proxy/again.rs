//! Once more: asks the core, pays from the budget, waits.
//!
//! Invariant: nothing of an answer that has begun to leave is repeated, for whoever sends it gets it when all attempts are over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempts::{AttemptLoop, EndedAttempt, OpenAttempt};
use super::call::PreparedCall;
use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::Answer;
use super::held::{self, HeldAnswer};
use crate::reliability::retry::{AnsweredTry, NextAttempt, Repeatable, RetryReason};
use crate::reliability::verdict::Last;
use crate::runtime::{clock, pauses};
use crate::upstream::permit::Permits;

impl<'a> AttemptLoop<'a> {
    /// An attempt has failed: the next one, as soon as it may begin; else all is settled, and the
    /// error is the exchange's.
    pub(super) async fn again(
        &self,
        mut open: OpenAttempt<'a>,
        ended: EndedAttempt,
        error: ProxyError,
        request: Repeatable,
        exchange: &mut Exchange,
    ) -> Result<OpenAttempt<'a>, ProxyError> {
        exchange.tried(&ended.endpoint);
        let next = self.after_failure(&mut open, &error, request, exchange, &ended);
        let Some(at) = self.begins_at(next, ended.at, &open.permits).await else {
            exchange.endpoint = Some(Arc::clone(&ended.endpoint));
            self.paid(ended.verdict, None);
            self.settle(open, ended, &exchange.tried);
            return Err(error);
        };
        open.begun.settle(ended.verdict, ended.verdict.against(Last::No));
        self.begin(exchange, open.permits, open.so_far, at)
    }

    /// An attempt got an answer that another one is to better: the next attempt, as soon as it may begin, and the answer is
    /// held; else all is settled, and the answer is the exchange's.
    pub(super) async fn set_aside(
        &self,
        open: OpenAttempt<'a>,
        ended: EndedAttempt,
        answer: Answer,
        next: NextAttempt,
        exchange: &mut Exchange,
        aside: &mut HeldAnswer,
    ) -> Result<OpenAttempt<'a>, Box<Answer>> {
        aside.discard();
        let Some(at) = self.begins_at(next, ended.at, &open.permits).await else {
            self.ends(open, ended, answer.head.status, exchange);
            return Err(Box::new(answer));
        };
        let endpoint = Arc::clone(&ended.endpoint);
        exchange.tried(&endpoint);
        open.begun.settle(ended.verdict, ended.verdict.against(Last::No));
        match self.begin(exchange, open.permits, open.so_far, at) {
            Ok(open) => {
                aside.hold(answer, endpoint);
                // No connection has broken.
                Ok(OpenAttempt { fresh: false, ..open })
            }
            // Its addresses are gone meanwhile.
            Err(_) => Err(Box::new(held::late(answer, endpoint, exchange))),
        }
    }

    fn after_failure(
        &self,
        open: &mut OpenAttempt<'_>,
        error: &ProxyError,
        request: Repeatable,
        exchange: &Exchange,
        ended: &EndedAttempt,
    ) -> NextAttempt {
        let theirs = error.failure(ended.reused, false).is_some();
        let over = self.left(exchange, ended.at).is_some_and(|left| left.is_zero());
        if !theirs || over || !open.permits.goes_on(ended.at) {
            return NextAttempt::Stop;
        }
        let upstream = &self.route.upstream;
        let failed = error.failed(ended.reused, upstream.has_another(&exchange.tried));
        open.so_far.next(&upstream.config.retry, failed, request, ended.at, self.worker.draw())
    }

    /// Is another attempt to better this answer? Not while a half-open breaker asks how its upstream is, and not where the
    /// answer has overtaken its request or is one that goes on as it comes.
    pub(super) fn after_answer(
        &self,
        open: &mut OpenAttempt<'_>,
        ended: &EndedAttempt,
        answer: &Answer,
        call: &PreparedCall<'_>,
        exchange: &Exchange,
    ) -> NextAttempt {
        let config = &self.route.upstream.config;
        let (status, grpc) = (answer.head.status, answer.trailers_only());
        if !config.repeats_after(status, grpc)
            || answer.remainder.is_some()
            || (grpc.is_none() && answer.speaks_at_will())
            || open.permits.is_probe()
            || !open.permits.goes_on(ended.at)
        {
            return NextAttempt::Stop;
        }
        let answered = AnsweredTry {
            status,
            grpc,
            retry_after: answer.retry_after(),
            undone: config.keys.as_ref().is_some_and(|keys| keys.is_undone(status)),
            left: self.left(exchange, ended.at),
        };
        open.so_far.after_answer(&config.retry, answered, call.repeatable(), ended.at, self.worker.draw())
    }

    /// What is left of the exchange's time; `None`: it has no end.
    fn left(&self, exchange: &Exchange, now: Instant) -> Option<Duration> {
        let total = self.route.timeouts.total?;
        let paused = pauses::between(exchange.started, now);
        Some((exchange.started + total + paused).saturating_duration_since(now))
    }

    /// When the next attempt begins; `None`: there is none. Pays for it and waits until then.
    async fn begins_at(&self, next: NextAttempt, now: Instant, permits: &Permits<'_>) -> Option<Instant> {
        let upstream = &self.route.upstream;
        let wait = match next {
            NextAttempt::Stop => return None,
            NextAttempt::Paid(wait, why) => upstream.may_retry(why, now).then_some(wait)?,
            NextAttempt::Wait(wait) => {
                upstream.series.repeated(RetryReason::Unconnected);
                wait
            }
            NextAttempt::Now(why) => {
                upstream.series.repeated(why);
                Duration::ZERO
            }
        };
        if wait.is_zero() {
            return Some(now);
        }
        // Boxed: it is large, and rare.
        Box::pin(tokio::time::sleep(wait)).await;
        let now = clock::instant();
        permits.goes_on(now).then_some(now)
    }
}
