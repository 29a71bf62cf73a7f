//! Once more, where, after how long? And the budget and the write-safety rule that say no.
//!
//! Decides whether an attempt is followed by another one of the same exchange. Invariants: a request that may have
//! reached an upstream is repeated only when its method is safe or idempotent (RFC 9110 section 9.2.2); an exchange
//! repeats at most twice for nothing (once after a reset, once what was not processed), so no failure is amplified
//! without being paid for; the token of the budget is taken before the wait.

use std::time::{Duration, Instant};

use super::backoff::share;

/// When to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts per exchange, 1..=10, beside the two repetitions that are free.
    pub attempts: u32,
    /// Repeat idempotent requests that may have been sent (off: only a safe one after a reset, once).
    pub idempotent: bool,
    /// Retries allowed as a share of requests (percent, 0..=100) over ten seconds, beside `min_per_second`.
    pub budget_percent: u8,
    /// Retries per second that are always allowed.
    pub min_per_second: u32,
    /// The first wait is drawn from 0 to this, each further one from twice the range, at most ten times it
    /// (Envoy's fully jittered back-off).
    pub backoff: Duration,
    /// How long an exchange waits for a connection while the upstream refuses it. Zero: not at all.
    pub wait: Duration,
}

/// Share and rate of the budget are Finagle's, the first back-off is Envoy's; one attempt more is made at most.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 2,
            idempotent: false,
            budget_percent: 20,
            min_per_second: 10,
            backoff: Duration::from_millis(25),
            wait: Duration::ZERO,
        }
    }
}

/// What had left the process when an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Provably not one byte of the request.
    Nothing,
    /// The upstream says that it took nothing of it.
    Refused,
    /// Perhaps some of the request: the upstream may have acted on it.
    Maybe,
}

/// What may be repeated of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// GET, HEAD or OPTIONS without a body.
    pub safe: bool,
    /// Idempotent by its method.
    pub idempotent: bool,
    /// All of it is still (or again) here.
    pub whole: bool,
}

/// How an attempt failed, as far as another one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedTry {
    /// How much of the request had left.
    pub sent: Sent,
    /// Was there no connection at all?
    pub unconnected: bool,
    /// Did the connection end before the first byte of an answer?
    pub reset: bool,
    /// Had that connection carried an exchange before?
    pub reused: bool,
    /// Is there an endpoint that this exchange has not tried?
    pub another: bool,
}

/// The attempts of one exchange so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Attempts that were made so far.
    pub made: u32,
    /// The free repetition after a reset is spent.
    repeated: bool,
    /// The free repetition of what was not processed is spent.
    resent: bool,
    /// Paid ones and waits so far: lengthens the next wait.
    waited: u32,
    /// When the wait for a connection began.
    waiting_since: Option<Instant>,
}

/// What the exchange does after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAttempt {
    /// The exchange ends with what it has.
    Stop,
    /// Another attempt at once, for nothing.
    Now,
    /// Another attempt after this wait, when the budget pays for it.
    Paid(Duration),
    /// Another connection after this wait. Nothing reaches the upstream by it, so it costs nothing.
    Wait(Duration),
}

impl Attempts {
    /// What follows the attempt that has just `failed`? `draw`: any number, for the jitter.
    pub fn next(
        &mut self,
        policy: &RetryPolicy,
        failed: FailedTry,
        request: Repeatable,
        now: Instant,
        draw: u64,
    ) -> NextAttempt {
        let untaken = failed.sent != Sent::Maybe;
        let elsewhere = failed.reused || failed.another;
        if untaken && !request.whole {
            return NextAttempt::Stop; // its body is gone
        }
        if untaken && !std::mem::replace(&mut self.resent, true) {
            return NextAttempt::Now;
        }
        if !untaken
            && failed.reset
            && request.safe
            && elsewhere
            && !std::mem::replace(&mut self.repeated, true)
        {
            return NextAttempt::Now;
        }
        if failed.unconnected && !policy.wait.is_zero() {
            let since = *self.waiting_since.get_or_insert(now);
            let left = policy.wait.saturating_sub(now.saturating_duration_since(since));
            if !left.is_zero() {
                return NextAttempt::Wait(self.jittered(policy, draw).min(left));
            }
        }
        let may = untaken || (policy.idempotent && request.idempotent && request.whole);
        if may && self.made < policy.attempts {
            NextAttempt::Paid(self.jittered(policy, draw))
        } else {
            NextAttempt::Stop
        }
    }

    fn jittered(&mut self, policy: &RetryPolicy, draw: u64) -> Duration {
        let range =
            policy.backoff.saturating_mul(1 << self.waited.min(4)).min(policy.backoff.saturating_mul(10));
        self.waited = self.waited.saturating_add(1);
        range.mul_f64(share(draw))
    }
}

/// Retries that are still allowed: a share of the requests of the last ten seconds, and a few per second in any
/// case (Finagle's retry budget).
#[derive(Clone, Debug, Default)]
pub struct RetryBudget {
    tokens: f64,
    /// Of the last retry that was asked for; `None`: none was yet.
    at: Option<Instant>,
    /// Requests that were made until then.
    requests: u64,
}

/// How long unspent leave lasts.
const SPAN: Duration = Duration::from_secs(10);

impl RetryBudget {
    /// Takes leave for one retry, `requests` (a count since the start) having been made until `now`. The first one finds
    /// the leave of one second, whatever was asked before.
    pub fn take(&mut self, policy: &RetryPolicy, requests: u64, now: Instant) -> bool {
        let passed = self
            .at
            .map_or(Duration::from_secs(1), |at| now.saturating_duration_since(at).min(SPAN))
            .as_secs_f64();
        let fresh = requests.saturating_sub(self.requests) as f64 * f64::from(policy.budget_percent) / 100.0;
        let floor = f64::from(policy.min_per_second);
        let most = floor * SPAN.as_secs_f64() + fresh;
        self.tokens = (self.tokens + passed * floor + fresh).min(most);
        self.at = Some(now);
        self.requests = requests;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: Repeatable = Repeatable { safe: true, idempotent: true, whole: true };
    const POST: Repeatable = Repeatable { safe: false, idempotent: false, whole: true };
    const REFUSED: FailedTry =
        FailedTry { sent: Sent::Nothing, unconnected: true, reset: false, reused: false, another: true };
    const RESET: FailedTry =
        FailedTry { sent: Sent::Maybe, unconnected: false, reset: true, reused: true, another: false };

    fn after(policy: &RetryPolicy, failures: &[FailedTry], request: Repeatable) -> Vec<NextAttempt> {
        let mut attempts = Attempts::default();
        let t0 = Instant::now();
        let next = |failed: &FailedTry| {
            attempts.made += 1;
            attempts.next(policy, *failed, request, t0, 0)
        };
        failures.iter().map(next).collect()
    }

    #[test]
    fn what_was_not_processed_is_sent_once_more_at_once_its_body_too() {
        let policy = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
        let refused = FailedTry { sent: Sent::Refused, unconnected: false, ..REFUSED };
        for failed in [REFUSED, refused] {
            assert_eq!(after(&policy, &[failed, failed], POST), [NextAttempt::Now, NextAttempt::Stop]);
        }
        let gone = Repeatable { whole: false, ..POST };
        assert_eq!(after(&policy, &[refused], gone), [NextAttempt::Stop], "its body is gone");
    }

    #[test]
    fn a_safe_request_is_repeated_after_the_reset_of_a_reused_connection_or_elsewhere() {
        let policy = RetryPolicy::default();
        assert_eq!(after(&policy, &[RESET, RESET], GET), [NextAttempt::Now, NextAttempt::Stop]);
        assert_eq!(after(&policy, &[RESET], POST), [NextAttempt::Stop]);
        let fresh = FailedTry { reused: false, ..RESET };
        assert_eq!(after(&policy, &[fresh], GET), [NextAttempt::Stop], "there is nowhere else to go");
        assert_eq!(after(&policy, &[FailedTry { another: true, ..fresh }], GET), [NextAttempt::Now]);
        let late = FailedTry { reset: false, ..RESET };
        assert_eq!(after(&policy, &[late], GET), [NextAttempt::Stop], "a timeout has had its time");
    }

    #[test]
    fn a_write_that_may_have_left_is_never_repeated() {
        let policy = RetryPolicy { attempts: 10, idempotent: true, ..RetryPolicy::default() };
        assert_eq!(after(&policy, &[RESET], POST), [NextAttempt::Stop]);
        let put = Repeatable { idempotent: true, ..POST };
        assert_eq!(after(&policy, &[RESET], put), [NextAttempt::Paid(Duration::ZERO)]);
        assert_eq!(after(&policy, &[RESET], Repeatable { whole: false, ..put }), [NextAttempt::Stop]);
    }

    #[test]
    fn a_restart_is_waited_for_as_long_as_was_asked() {
        let policy = RetryPolicy { attempts: 1, wait: Duration::from_secs(3), ..RetryPolicy::default() };
        let mut attempts = Attempts::default();
        let t0 = Instant::now();
        let mut next = |at: u64| {
            attempts.made += 1;
            attempts.next(&policy, REFUSED, POST, t0 + Duration::from_millis(at), u64::MAX)
        };
        assert_eq!(next(0), NextAttempt::Now);
        assert!(matches!(next(0), NextAttempt::Wait(wait) if wait <= Duration::from_millis(25)));
        assert!(matches!(next(2_950), NextAttempt::Wait(wait) if wait == Duration::from_millis(50)));
        assert!(matches!(next(2_990), NextAttempt::Wait(wait) if wait == Duration::from_millis(10)));
        assert_eq!(next(3_000), NextAttempt::Stop);
    }

    #[test]
    fn an_empty_budget_refuses_and_fills_again() {
        let policy = RetryPolicy { min_per_second: 1, budget_percent: 0, ..RetryPolicy::default() };
        let t0 = Instant::now();
        let mut budget = RetryBudget::default();
        assert!(budget.take(&policy, 0, t0));
        assert!(!budget.take(&policy, 0, t0));
        assert!(budget.take(&policy, 0, t0 + Duration::from_secs(1)));
    }

    fn any_failed() -> impl Strategy<Value = FailedTry> {
        let sent = prop_oneof![Just(Sent::Nothing), Just(Sent::Refused), Just(Sent::Maybe)];
        (sent, any::<[bool; 4]>()).prop_map(|(sent, [unconnected, reset, reused, another])| FailedTry {
            unconnected: unconnected && sent == Sent::Nothing,
            sent,
            reset,
            reused,
            another,
        })
    }

    proptest! {
        #[test]
        fn at_most_two_repetitions_are_free_and_no_write_is_doubled(failures in prop::collection::vec(any_failed(), 1..20), post: bool, draw: u64) {
            let policy = RetryPolicy { attempts: 10, idempotent: true, ..RetryPolicy::default() };
            let mut attempts = Attempts::default();
            let t0 = Instant::now();
            let mut free = 0;
            for failed in failures {
                attempts.made += 1;
                let next = attempts.next(&policy, failed, if post { POST } else { GET }, t0, draw);
                free += u32::from(next == NextAttempt::Now);
                prop_assert!(!post || failed.sent != Sent::Maybe || next == NextAttempt::Stop);
                if let NextAttempt::Paid(wait) = next {
                    prop_assert!(wait <= policy.backoff * 10 && attempts.made < policy.attempts);
                }
            }
            prop_assert!(free <= 2);
        }
    }
}
