//! What the retries of an upstream may still spend: held here, decided in [`retry`](crate::reliability::retry), the module
//! of the core.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Upstream;
use crate::reliability::retry::RetryBudget;

/// The budget, over all workers. The lock is taken when an attempt has failed, and never on the way of a request that
/// goes well.
#[derive(Debug, Default)]
pub struct Retries(Mutex<RetryBudget>);

impl Upstream {
    /// Takes leave for one retry from the budget, and counts whether it was given.
    pub fn may_retry(&self, now: Instant) -> bool {
        let requests = self.series.judged();
        let granted = {
            let mut budget = self.retries.0.lock().unwrap_or_else(PoisonError::into_inner);
            budget.take(&self.config.retry, requests, now)
        };
        if granted {
            self.series.repeated()
        } else {
            self.series.not_repeated()
        }
        granted
    }
}
