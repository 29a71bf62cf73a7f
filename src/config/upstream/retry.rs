//! `retry = { … }`: once more?

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::Statuses;
use crate::config::problem::Part;
use crate::message::kept::LONGEST;
use crate::reliability::retry::RetryPolicy;
use crate::units::{Percent, Size, Text, Written as _};

/// `retry = { … }` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RetryFile {
    /// Attempts of one exchange, the first one included; 1 to 10.
    pub attempts: u32,
    /// Repeat idempotent requests that may have been sent; a write is one when it has a key that `idempotency` is about.
    pub idempotent: bool,
    /// Answers after which GET, HEAD and OPTIONS are sent once more: "503", or a range such as "502-504"; empty: none.
    pub statuses: Vec<Text<Statuses>>,
    /// The longest Retry-After of such an answer that is waited for; an answer with a longer one is passed on.
    pub retry_after_max: Text<Duration>,
    /// Retries as a share of requests.
    pub budget: Text<Percent>,
    /// Retries per second that are always allowed.
    pub min_per_second: u32,
    /// Range of the first wait; each further one has twice the range.
    pub backoff: Text<Duration>,
    /// How long a request waits for a connection while the upstream refuses it.
    pub wait: Text<Duration>,
    /// A GET, HEAD or OPTIONS without a body that has no answer after so long is asked a second time beside the first, of another
    /// endpoint where there is one; about the p95 of the route. Absent: never.
    pub hedge_after: Option<Text<Duration>>,
    /// Request bodies up to so long are kept while they are sent.
    pub keep_body: Text<Size>,
}

impl Default for RetryFile {
    fn default() -> Self {
        let policy = RetryPolicy::default();
        Self {
            attempts: policy.attempts,
            idempotent: policy.idempotent,
            statuses: Vec::new(),
            retry_after_max: Text(policy.retry_after_max),
            budget: Text(Percent::of(policy.budget_percent)),
            min_per_second: policy.min_per_second,
            backoff: Text(policy.backoff),
            wait: Text(policy.wait),
            hedge_after: None,
            keep_body: Text(Size(64 * 1024)),
        }
    }
}

impl RetryFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> RetryPolicy {
        at.within("attempts", self.attempts, 1, 10);
        for (nth, Text(statuses)) in self.statuses.iter().enumerate() {
            if statuses.0 < 400 || statuses.1 > 599 {
                let is = statuses.write();
                let told = "holds what is no failure; write statuses from 400 to 599, such as \"502-504\"";
                at.add(&format!("statuses.{nth}"), format!("{is:?} {told}"));
            }
        }
        let waits =
            [("backoff", self.backoff), ("wait", self.wait), ("retry_after_max", self.retry_after_max)];
        for (key, value) in waits {
            if value.0 > Duration::from_secs(60) {
                let told = "must not be longer than 1m: a client is waiting";
                at.add(key, format!("{:?} {told}", value.0.write()));
            }
        }
        if let Some(Text(after)) = self.hedge_after {
            if after.is_zero() || after > Duration::from_secs(60) {
                let told =
                    "is not within 1ms to 1m; write about the time within which 95 of 100 are answered";
                at.add("hedge_after", format!("{:?} {told}", after.write()));
            }
            if self.attempts < 2 {
                at.add("hedge_after", "is a second attempt; write attempts = 2, or take it out");
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
            statuses: self.statuses.iter().map(|Text(Statuses(low, high))| (*low, *high)).collect(),
            retry_after_max: self.retry_after_max.0,
            budget_percent: (self.budget.0.ratio() * 100.0).round() as u8,
            min_per_second: self.min_per_second,
            backoff: self.backoff.0,
            wait: self.wait.0,
            hedge_after: self.hedge_after.map(|after| after.0),
        }
    }

    /// Bytes of a request body that are kept while it is sent.
    pub(super) fn keep_body(&self) -> usize {
        usize::try_from(self.keep_body.0.0).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::load;

    #[test]
    fn a_hedge_is_a_second_attempt_within_a_minute() {
        let read = |retry: &str| {
            let text = format!(
                "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\nretry = {{ {retry} }}\n"
            );
            let config = load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
            Ok::<_, String>(config.upstreams[0].retry.hedge_after)
        };
        assert_eq!(read("attempts = 3"), Ok(None));
        assert_eq!(read("hedge_after = \"300ms\""), Ok(Some(std::time::Duration::from_millis(300))));
        for (written, told) in [
            ("hedge_after = \"0s\"", "95 of 100"),
            ("hedge_after = \"2m\"", "1ms to 1m"),
            ("hedge_after = \"1s\", attempts = 1", "write attempts = 2"),
        ] {
            let problem = read(written).expect_err(written);
            assert!(problem.contains(told) && problem.contains("hedge_after"), "{written}: {problem}");
        }
    }
}
