//! Once more, after how long? And the budget and the write-safety rule that say no.
//!
//! Decides whether an attempt may be followed by another one of the same exchange. Invariants: a request that
//! may have reached an upstream is repeated only when its method is safe or idempotent (RFC 9110 section 9.2.2),
//! and the token of the budget is taken before the wait.

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
