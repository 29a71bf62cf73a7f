//! The part of a body that goes past this process.

use std::task::{Context, Poll};

use super::{Body, BodyError, BodyKind};
use crate::message::splice::Pipe;

impl Body {
    /// May what is left of it go past this process? Nobody wants a copy, it has begun, and all of it is allowed.
    pub(in crate::message) fn splices(&self) -> bool {
        let alone = self.copy.is_none() && self.tee.is_none() && self.passed > 0;
        matches!(&self.kind, BodyKind::H1(reader) if alone && reader.splices().is_some_and(|left| left <= self.allowed))
    }

    /// Moves some of what is left into `pipe`, which is empty. It counts when it leaves the pipe: [`Self::spliced`].
    pub(in crate::message) fn poll_into(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<Result<(), BodyError>> {
        if let BodyKind::H1(reader) = &mut self.kind {
            reader.poll_into(cx, pipe)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    /// So many bytes have left the pipe for whom they were meant.
    pub(in crate::message) fn spliced(&mut self, n: usize) {
        self.passed += n as u64;
        self.allowed = self.allowed.saturating_sub(n as u64);
    }
}
