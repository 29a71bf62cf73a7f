//! How much an upstream may say before it answers.

use std::time::{Duration, Instant};

use super::Attempt;
use crate::message::head::ResponseHead;
use crate::proxy::error::ProxyError;

/// Bytes of interim responses that one attempt may have.
const BYTES: usize = 256 * 1024;

/// How many of them within a second.
const A_SECOND: u32 = 100;

/// The interim responses of one attempt, whichever version brings them.
#[derive(Default)]
pub(super) struct Interims {
    /// How many there were.
    pub(super) count: u32,
    bytes: usize,
    /// When the second began in which they are counted, and how many there were before.
    second: (Option<Instant>, u32),
}

impl Interims {
    /// One more at `now`; false: they are too many.
    pub(super) fn hear(&mut self, head: &ResponseHead, now: Instant) -> bool {
        if self.second.0.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            self.second = (Some(now), self.count);
        }
        self.count += 1;
        self.bytes += head.store.bytes.len();
        self.bytes <= BYTES && self.count - self.second.1 <= A_SECOND
    }
}

impl Attempt<'_> {
    /// Why an answer that comes after more of them is none.
    pub(super) fn too_many_interims(&self) -> ProxyError {
        ProxyError::Nonsense { upstream: self.name(), cause: "too many interim responses".to_owned() }
    }
}
