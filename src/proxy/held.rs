//! The answer that was not good enough, kept until there is another.
//!
//! Invariant: an answer of the upstream is never replaced by a failure of ours: where the attempt after it fails, or is not to be
//! had, the client gets the answer.

use std::sync::Arc;

use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::Answer;
use crate::runtime::clock;
use crate::upstream::endpoint::EndpointState;

/// The answer of an attempt after which another one was made; boxed, for it is large, and rare.
pub(super) struct HeldAnswer(Option<Box<(Answer, Arc<EndpointState>)>>);

impl HeldAnswer {
    /// No attempt has got an answer yet.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// One is there, and another attempt is made.
    pub(super) fn hold(&mut self, answer: Answer, endpoint: Arc<EndpointState>) {
        self.0 = Some(Box::new((answer, endpoint)));
    }

    /// Another one is there, or none will be made.
    pub(super) fn discard(&mut self) {
        if let Some(held) = self.0.take() {
            held.0.give_up();
        }
    }

    /// What the exchange ends with when its last attempt has ended with `error`: the answer, but for a client that is gone or
    /// broke off its request.
    pub(super) fn or(self, error: ProxyError, exchange: &mut Exchange) -> Result<Answer, ProxyError> {
        match self.0 {
            Some(held) if error.failure(false, false).is_some() => {
                let (answer, endpoint) = *held;
                Ok(late(answer, endpoint, exchange))
            }
            Some(_) | None => Err(error),
        }
    }
}

/// The exchange ends with an answer after all: its client gets it now.
pub(super) fn late(answer: Answer, endpoint: Arc<EndpointState>, exchange: &mut Exchange) -> Answer {
    exchange.endpoint = Some(endpoint);
    exchange.answered(answer.head.status, clock::instant());
    answer
}
