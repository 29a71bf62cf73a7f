//! The answer that was not good enough, kept until there is another.
//!
//! Invariant: an answer of the upstream is never replaced by a failure of ours: where the attempt after it fails, or is not to be
//! had, the client gets the answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::error::ProxyError;
use super::exchange::Exchange;
use super::forward::Answer;
use crate::runtime::clock;
use crate::upstream::endpoint::EndpointState;

/// Bytes of a body that are read so that its connection can serve again; beyond that another one is cheaper.
const DRAINED: usize = 64 * 1024;

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

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Another one is there: gives the connection of this one back where its body is at hand.
    pub(super) async fn discard(&mut self) {
        let Some(held) = self.0.take() else { return };
        let (mut answer, _) = *held;
        let over = poll_fn(|cx| {
            let mut read = 0;
            while let Poll::Ready(Ok(there)) = answer.body.poll_data(cx) {
                if there == 0 {
                    return Poll::Ready(true);
                }
                read += there;
                answer.body.consume(there);
                if read > DRAINED {
                    break;
                }
            }
            Poll::Ready(false)
        });
        if let (true, Some(lease)) = (over.await, answer.lease.take()) {
            lease.give_back(clock::instant());
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
