//! When an upstream is not called, what is sent once more, how answers count and what stands in for them: asked of the core, for
//! one failure and one answer after the other.

use std::time::Duration;

use super::super::gateway::asked;
use super::super::{call, keys};
use super::fact::Facts;
use crate::config::Config;
use crate::config::word::Word as _;
use crate::message::head::{Method, RequestHead};
use crate::reliability::breaker::Mode;
use crate::reliability::degradation::Reply;
use crate::reliability::retry::{
    AnsweredTry, Attempts, FailedTry, NextAttempt, Repeatable, RetryReason, Sent, Twice,
};
use crate::reliability::verdict::{Outcome, Verdict};
use crate::runtime::clock;
use crate::units::Written as _;

impl Facts<'_> {
    pub(super) fn breaker(&mut self, head: &RequestHead) {
        let operations = &self.entry.upstream.operations;
        let found = operations.find(head.path_bytes());
        self.breaker_of(found.map(|operation| operation.series.label.to_string()));
        if head.method == Method::Post && operations.takes_payment(head.path_bytes()) {
            self.add(
                "payment",
                "it takes a payment: declines and failures are watched, and no drill hits it",
                self.key("preset"),
            );
        }
    }

    pub(super) fn breaker_of(&mut self, operation: Option<String>) {
        let policy = &self.upstream.breaker;
        let name = self.upstream.name.as_str();
        let mut opens: Vec<String> = Vec::new();
        if let Some(failures) = policy.failures {
            opens.push(format!("{failures} failures in a row"));
        }
        for (share, what) in [(policy.failure_rate, "failed"), (policy.slow_rate, "slow")] {
            if let Some(share) = share {
                let (window, least) = (policy.window.write(), policy.min_requests);
                opens.push(format!("{} {what} of at least {least} within {window}", share.write()));
            }
        }
        let opens = if opens.is_empty() { "nothing".to_owned() } else { opens.join(", or ") };
        let rules =
            format!("opened by {opens}, for {} to {}", policy.open_for.write(), policy.open_for_max.write());
        let says = match policy.mode {
            Mode::Off => format!("{name} has no breaker"),
            Mode::Shadow => format!("the breaker {name} watches and refuses nothing; it would be {rules}"),
            Mode::On => format!("the breaker {name} refuses while it is open; it is {rules}"),
        };
        self.add("breaker", says, self.key("breaker"));
        if let Some(operation) = operation {
            self.add(
                "breaker",
                format!("then {operation} is asked, by the same numbers"),
                self.key("breaker.operations"),
            );
        }
    }

    pub(super) fn repeats(&mut self, head: &RequestHead) {
        let policy = &self.upstream.retry;
        let now = clock::instant();
        let vouched = self.upstream.keys.as_ref().and_then(|keys| keys::vouched(head, keys, now));
        let request = Repeatable { twice: call::twice(head, vouched), whole: true };
        let class = match request.twice {
            Twice::Bare | Twice::Safe => "it reads: to send it twice does nothing",
            Twice::Idempotent => "by its method it may be sent twice",
            Twice::Keyed(_) => "by its key it may be sent twice",
            Twice::Harm => "sent twice it may do its work twice",
        };
        self.add(
            "retry",
            format!("{class}; at most {} attempts", policy.attempts),
            self.key("retry.attempts"),
        );
        let first = || {
            let mut attempts = Attempts::default();
            attempts.made = 1;
            attempts
        };
        let failures = [
            ("when it has no connection", Sent::Nothing, true, false, "retry.wait"),
            ("when its connection breaks before an answer", Sent::Maybe, false, true, "retry.idempotent"),
            ("when no answer comes in time", Sent::Maybe, false, false, "retry.idempotent"),
        ];
        for (when, sent, unconnected, reset, key) in failures {
            let failed = FailedTry { sent, unconnected, reset, reused: reset, another: false };
            let next = first().next(policy, failed, request, now, 0);
            self.add("retry", format!("{when}: {}", follows(next)), self.key(key));
        }
        for status in [429, 502, 503] {
            let undone = self.upstream.keys.as_ref().is_some_and(|keys| keys.is_undone(status));
            let answered = AnsweredTry { status, grpc: None, retry_after: None, undone, left: None };
            let next = match self.upstream.repeats_after(status, None) {
                true => first().after_answer(policy, answered, request, now, 0),
                false => NextAttempt::Stop,
            };
            self.add("retry", format!("after {status}: {}", follows(next)), self.key("retry.statuses"));
        }
        if let Some(after) = policy.hedge_after.filter(|_| request.twice == Twice::Bare) {
            self.add(
                "retry",
                format!("without an answer after {} it is asked a second time beside", after.write()),
                self.key("retry.hedge_after"),
            );
        }
    }

    pub(super) fn verdicts(&mut self) {
        let judge = &self.upstream.judge;
        let verdict = |status, retry_after| {
            judge.judge(Outcome::Answered { status, retry_after, grpc: None, took: Duration::ZERO })
        };
        let bad = ranges((100..=599).filter(|status| matches!(verdict(*status, None), Verdict::Bad(_))));
        self.add("verdict", format!("bad answers: {bad}"), self.key("judge.bad_statuses"));
        let limited =
            ranges((100..=599).filter(|status| {
                matches!(verdict(*status, Some(Duration::ZERO)), Verdict::RateLimited { .. })
            }));
        let says =
            format!("429, and with Retry-After {limited}: a rate limit, which counts as no failure in a row");
        self.add("verdict", says, "");
        for limit in &judge.rate_limits {
            let says = format!(
                "{:?} in the body of a {}: a rate limit too",
                limit.says,
                ranges(limit.statuses.0..=limit.statuses.1)
            );
            self.add("verdict", says, self.key("judge.rate_limits"));
        }
        if let Some(after) = judge.slow_after {
            self.add(
                "verdict",
                format!("slow: an answer after more than {}", after.write()),
                self.key("judge.slow_after"),
            );
        }
        if let Some(vendor) = self.upstream.vendor {
            self.add(
                "verdict",
                format!("it is known as {}: {}", vendor.word(), vendor.thing()),
                self.key("preset"),
            );
        }
    }

    pub(super) fn stand_ins(&mut self, head: &RequestHead, config: &Config) {
        let route = &self.entry.config;
        if let Some(stale) = &route.stale {
            let says = format!(
                "where the upstream fails, the last answer that was kept stands in, up to {} past its time",
                stale.lasts.write()
            );
            self.add("stand_in", says, self.of_route("stale"));
        }
        if let Some(fallback) = &route.fallback {
            let given = |reply| fallback.policy.stands_in(asked(head), reply);
            let when = match (given(Reply::Missing), given(Reply::Status(503))) {
                (true, true) => "where the upstream cannot be asked, and in the place of its 5xx",
                (true, false) => "where the upstream cannot be asked",
                (false, _) => "never to this request: of a write it would not be true",
            };
            let says = format!(
                "the fallback, {} {}, is given {when}",
                fallback.policy.status, fallback.content_type
            );
            self.add("stand_in", says, self.of_route("fallback"));
        }
        if let Some(outbox) = self.upstream.outbox.as_ref().filter(|_| config.outbox.is_some()) {
            let says = match outbox.takes(head.method, head.path_bytes()) && !head.wants_upgrade {
                true => format!(
                    "where the upstream cannot be asked, it is queued and acknowledged with {}",
                    outbox.reply.policy.status
                ),
                false => "it is none of the writes that are queued".to_owned(),
            };
            self.add("outbox", says, self.key("outbox"));
        }
        let body = match &self.upstream.refusal {
            Some(_) => "a refusal is in the form that the vendor's library understands",
            None => "a refusal is application/problem+json",
        };
        self.add("refusal", body, self.key("refusal"));
    }
}

/// What follows, in words.
fn follows(next: NextAttempt) -> String {
    let why = |reason| match reason {
        RetryReason::NotProcessed => "it was not processed",
        RetryReason::Reset => "it reads, once for nothing",
        RetryReason::Unconnected => "a connection is waited for",
        RetryReason::Idempotent => "it may be sent twice",
        RetryReason::Key => "its key is known",
        RetryReason::Status => "the status is listed",
        RetryReason::Hedge => "it had no answer in time",
    };
    match next {
        NextAttempt::Stop => "not repeated".to_owned(),
        NextAttempt::Now(reason) => format!("repeated at once ({})", why(reason)),
        NextAttempt::Paid(_, reason) => {
            format!("repeated after a short wait, if the budget pays ({})", why(reason))
        }
        NextAttempt::Wait(_) => "repeated while a connection is waited for".to_owned(),
    }
}

/// Numbers as ranges: `500, 502-504`.
fn ranges(all: impl Iterator<Item = u16>) -> String {
    let mut found: Vec<(u16, u16)> = Vec::new();
    for one in all {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == one => *last = one,
            Some(_) | None => found.push((one, one)),
        }
    }
    let told =
        found.iter().map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn statuses_are_told_as_ranges() {
        assert_eq!(ranges([500, 502, 503, 504].into_iter()), "500, 502-504");
        assert_eq!(ranges(std::iter::empty()), "none");
    }
}
