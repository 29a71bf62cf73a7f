//! What came of one attempt to tell somebody.

use std::fmt;
use std::time::Duration;

use super::message::{fit, line};
use crate::reliability::delivery::{AttemptResult, Remaining, Whose};
use crate::units::Written as _;

/// The receiver has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Name of the channel, as in `[notify.<name>]`.
    pub channel: String,
    /// Where it went, for people.
    pub to: String,
    /// What the receiver said, for people; secrets are redacted.
    pub said: String,
    /// When it was delivered, in milliseconds since 1970.
    pub at: u64,
    /// From the first look-up to the last byte.
    pub took: Duration,
    /// The receiver wants to hear it again, or it forgets (Alertmanager); `None`: once was enough.
    pub again_in: Option<Duration>,
    /// Recipients that do not have it yet and are to be asked again (RFC 5321 section 4.5.4.1).
    pub left: Vec<String>,
    /// Where the receiver keeps the first message about this incident; for [`Message::thread`](super::Message::thread).
    pub thread: Option<String>,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = Duration::from_millis(u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX)).write();
        write!(f, "{} told {} in {took}: {}", self.channel, self.to, self.said)
    }
}

/// What an attempt failed at. A closed set: a label of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFailure {
    /// No channel has this name: the config has changed since.
    NoChannel,
    /// The channel cannot be used as it is configured, or cannot take this message.
    Unusable,
    /// The name leads nowhere.
    Names,
    /// No TCP connection came about: refused, or nobody answers.
    Connect,
    /// TLS failed: not trusted, not the right name, not TLS.
    Tls,
    /// Not within the deadline.
    Late,
    /// The connection broke off, or what came is not the protocol.
    Broken,
    /// The receiver says no.
    Refused,
    /// The receiver says later.
    Busy,
}

impl DeliveryFailure {
    /// For logs and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoChannel => "no_channel",
            Self::Unusable => "unusable",
            Self::Names => "names",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Late => "late",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::Busy => "busy",
        }
    }
}

/// Why the receiver does not have it, as far as is known: after a connection broke it may have it all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct DeliveryError {
    /// What it failed at.
    pub why: DeliveryFailure,
    /// For people; secrets are redacted.
    pub cause: String,
    /// The receiver wants no earlier attempt.
    pub retry_after: Option<Duration>,
    /// A later attempt comes too late; `None`: the schedule decides.
    pub retry_within: Option<Duration>,
    /// Trying again changes nothing until somebody changes the config or the receiver.
    pub permanent: bool,
    /// What stood in the way: the channel, or this message alone.
    pub whose: Whose,
}

impl DeliveryError {
    /// A failure that may pass: worth another attempt.
    pub fn passing(why: DeliveryFailure, cause: impl fmt::Display) -> Self {
        let cause = fit(&line(&cause.to_string()), 500);
        Self { why, cause, retry_after: None, retry_within: None, permanent: false, whose: Whose::Channel }
    }

    /// The same, where other messages may get through.
    pub(super) fn of_this_message(self) -> Self {
        Self { whose: Whose::Message, ..self }
    }

    /// Not worth another attempt.
    pub fn permanent(why: DeliveryFailure, cause: impl fmt::Display) -> Self {
        Self { permanent: true, ..Self::passing(why, cause) }
    }

    /// From an HTTP status that is no success. 4xx are permanent but for those that say "later": 408, 425, 429.
    pub fn status(status: u16, retry_after: Option<Duration>, said: &str) -> Self {
        let told = if said.is_empty() { String::new() } else { format!(": {said}") };
        match status {
            300..=399 => Self::permanent(
                DeliveryFailure::Refused,
                format!("status {status}: redirects are not followed; write the final address{told}"),
            ),
            408 | 425 | 429 => {
                Self { retry_after, ..Self::passing(DeliveryFailure::Busy, format!("status {status}{told}")) }
            }
            400..=499 => Self::permanent(DeliveryFailure::Refused, format!("status {status}{told}")),
            503 => {
                Self { retry_after, ..Self::passing(DeliveryFailure::Busy, format!("status {status}{told}")) }
            }
            _ => Self {
                retry_after,
                ..Self::passing(DeliveryFailure::Refused, format!("status {status}{told}"))
            },
        }
    }
}

/// What an attempt came to, as far as the queue goes.
pub(super) fn came(result: &Result<Receipt, DeliveryError>) -> AttemptResult {
    match result {
        Ok(receipt) => {
            let left = if receipt.left.is_empty() { Remaining::Nobody } else { Remaining::Some };
            AttemptResult::Delivered { again_in: receipt.again_in, left }
        }
        Err(error) if error.permanent => AttemptResult::Refused,
        Err(DeliveryError { whose, retry_after, retry_within, .. }) => {
            AttemptResult::Failed { whose: *whose, retry_after: *retry_after, retry_within: *retry_within }
        }
    }
}

/// What a receiver said, on one line, without the secrets it may have repeated.
pub(super) fn excerpt(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    // Shorter ones would turn up by chance.
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(secret, "…");
    }
    fit(line(&text).trim(), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_says_whether_to_try_again() {
        let wait = Some(Duration::from_secs(7));
        for passing in [408, 425, 429, 500, 502, 503, 504, 599, 101] {
            let error = DeliveryError::status(passing, wait, "");
            assert!(!error.permanent, "{passing}");
            assert_eq!(error.retry_after, wait, "{passing}");
        }
        for permanent in [301, 302, 307, 400, 401, 403, 404, 410, 422] {
            assert!(DeliveryError::status(permanent, wait, "no").permanent, "{permanent}");
        }
    }

    #[test]
    fn what_a_receiver_repeats_of_a_secret_is_not_told() {
        let told =
            excerpt("no such key R0123456789\r\nat /services/T0/B0/x", &["R0123456789", "/services/T0/B0/x"]);
        assert_eq!(told, "no such key …  at …");
        assert!(excerpt(&"x".repeat(10_000), &[]).chars().count() <= 200);
    }
}
