//! What the retries of an upstream may still spend: held here, decided in [`retry`](crate::reliability::retry), the module
//! of the core.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::reliability::retry::{RetryBudget, RetryPolicy};

/// The budget, over all workers. The lock is taken when an attempt has failed, and never on the way of a request that
/// goes well.
#[derive(Debug, Default)]
pub struct Retries(Mutex<RetryBudget>);

impl Retries {
    /// Takes leave for one retry, `requests` having been made until `now`.
    pub(super) fn take(&self, policy: &RetryPolicy, requests: u64, now: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take(policy, requests, now)
    }
}
