//! `retry = { … }`: once more?

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::Part;
use crate::message::kept::LONGEST;
use crate::reliability::retry::RetryPolicy;
use crate::units::{Percent, Size, Text, Written as _};

/// `retry = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryFile {
    /// Attempts of one exchange, the first one included; 1 to 10.
    pub attempts: u32,
    /// Repeat idempotent requests that may have been sent.
    pub idempotent: bool,
    /// Retries as a share of requests.
    pub budget: Text<Percent>,
    /// Retries per second that are always allowed.
    pub min_per_second: u32,
    /// Range of the first wait; each further one has twice the range.
    pub backoff: Text<Duration>,
    /// How long a request waits for a connection while the upstream refuses it.
    pub wait: Text<Duration>,
    /// Request bodies up to so long are kept while they are sent.
    pub keep_body: Text<Size>,
}

impl Default for RetryFile {
    fn default() -> Self {
        let policy = RetryPolicy::default();
        Self {
            attempts: policy.attempts,
            idempotent: policy.idempotent,
            budget: Text(Percent::of(policy.budget_percent)),
            min_per_second: policy.min_per_second,
            backoff: Text(policy.backoff),
            wait: Text(policy.wait),
            keep_body: Text(Size(64 * 1024)),
        }
    }
}

impl RetryFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> RetryPolicy {
        at.within("attempts", self.attempts, 1, 10);
        for (key, value) in [("backoff", self.backoff), ("wait", self.wait)] {
            if value.0 > Duration::from_secs(60) {
                let told = "must not be longer than 1m: a client is waiting";
                at.add(key, format!("{:?} {told}", value.0.write()));
            }
        }
        if self.keep_body() > LONGEST {
            let (is, most) = (self.keep_body.0.write(), Size(LONGEST as u64).write());
            let told = format!("is more than can be kept; write at most {most:?}, or \"0B\" for none");
            at.add("keep_body", format!("{is:?} {told}"));
        }
        self.policy()
    }

    pub(super) fn policy(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.attempts,
            idempotent: self.idempotent,
            budget_percent: (self.budget.0.ratio() * 100.0).round() as u8,
            min_per_second: self.min_per_second,
            backoff: self.backoff.0,
            wait: self.wait.0,
        }
    }

    /// Bytes of a request body that are kept while it is sent.
    pub(super) fn keep_body(&self) -> usize {
        usize::try_from(self.keep_body.0.0).unwrap_or(usize::MAX)
    }
}
