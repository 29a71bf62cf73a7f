//! Once more, after how long? And the budget and the write-safety rule that say no.
//!
//! Decides whether an attempt may be followed by another one of the same exchange. Invariants: a request that
//! may have reached an upstream is repeated only when its method is safe or idempotent (RFC 9110 section 9.2.2),
//! and the token of the budget is taken before the wait.

use std::time::{Duration, Instant};

/// When to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts per exchange, 1..=10. 1 still repeats a request that provably never left, on a fresh connection.
    pub attempts: u32,
    /// Repeat idempotent requests that may have been sent (off: only what provably never left).
    pub idempotent: bool,
    /// Retries allowed as a share of requests (percent, 0..=100) over ten seconds, beside `min_per_second`.
    pub budget_percent: u8,
    /// Retries per second that are always allowed.
    pub min_per_second: u32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 2, idempotent: false, budget_percent: 20, min_per_second: 10 }
    }
}

/// What had left the process when an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Provably nothing.
    Nothing,
    /// The upstream says that it took nothing of it.
    Refused,
    /// Perhaps something.
    Maybe,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The exchange ends with what it has.
    Stop,
    /// Another attempt.
    Again,
}

/// Is there another attempt after the `made`th (from 1) failed? The budget is asked last, by the caller.
pub fn next(policy: &RetryPolicy, made: u32, sent: Sent, idempotent: bool, replayable: bool) -> Next {
    let most = policy.attempts.max(1);
    let again = match sent {
        Sent::Nothing | Sent::Refused => replayable && made < most.max(2),
        Sent::Maybe => policy.idempotent && idempotent && replayable && made < most,
    };
    if again { Next::Again } else { Next::Stop }
}

/// Retries that are still allowed: a share of the requests of the last ten seconds, and a few per second in any case
/// (Finagle's retry budget).
#[derive(Clone, Debug)]
pub struct Budget {
    tokens: f64,
    at: Instant,
    requests: u64,
}

/// How long unspent leave lasts.
const SPAN: Duration = Duration::from_secs(10);

impl Budget {
    /// Full at the start.
    pub fn new(policy: &RetryPolicy, now: Instant) -> Self {
        Self { tokens: f64::from(policy.min_per_second), at: now, requests: 0 }
    }

    /// Takes leave for one retry, `requests` (a count since the start) having been made until `now`.
    pub fn take(&mut self, policy: &RetryPolicy, requests: u64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).min(SPAN).as_secs_f64();
        let fresh = requests.saturating_sub(self.requests) as f64 * f64::from(policy.budget_percent) / 100.0;
        let floor = f64::from(policy.min_per_second);
        let most = floor * SPAN.as_secs_f64() + fresh;
        self.tokens = (self.tokens + passed * floor + fresh).min(most);
        self.at = now;
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
    use super::*;

    #[test]
    fn what_never_left_is_repeated_once_even_without_retries() {
        let policy = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
        assert_eq!(next(&policy, 1, Sent::Nothing, false, true), Next::Again);
        assert_eq!(next(&policy, 2, Sent::Nothing, false, true), Next::Stop);
        assert_eq!(next(&policy, 1, Sent::Refused, false, true), Next::Again);
        assert_eq!(next(&policy, 1, Sent::Refused, false, false), Next::Stop, "its body is gone");
    }

    #[test]
    fn a_write_that_may_have_left_is_never_repeated() {
        let policy = RetryPolicy { attempts: 10, idempotent: true, ..RetryPolicy::default() };
        assert_eq!(next(&policy, 1, Sent::Maybe, false, true), Next::Stop);
        assert_eq!(next(&policy, 1, Sent::Maybe, true, true), Next::Again);
        assert_eq!(next(&policy, 1, Sent::Maybe, true, false), Next::Stop);
    }

    #[test]
    fn an_empty_budget_refuses_and_fills_again() {
        let policy = RetryPolicy { min_per_second: 1, budget_percent: 0, ..RetryPolicy::default() };
        let t0 = Instant::now();
        let mut budget = Budget::new(&policy, t0);
        assert!(budget.take(&policy, 0, t0));
        assert!(!budget.take(&policy, 0, t0));
        assert!(budget.take(&policy, 0, t0 + Duration::from_secs(1)));
    }
}
