//! A request that is still on its way when its answer has begun.
//!
//! Whoever sends the answer moves its [`Remainder`] on as well.

use std::task::{Context, Poll};

use super::body::BodyError;
use super::h1::pump::PumpError;
use super::h1::upload::Upload;
use super::h2::upload::H2Upload;

/// A request on its way, by its protocol.
enum Sending {
    H1(Upload),
    H2(H2Upload),
}

/// What is left to send of a request whose answer has begun.
#[derive(Default)]
pub struct Remainder {
    sending: Option<Box<Sending>>,
    /// Bytes of the body that had left when there was nothing left to send.
    passed: u64,
}

impl From<Upload> for Remainder {
    /// Nothing, where all of it is on its way.
    fn from(upload: Upload) -> Self {
        let (passed, done) = (upload.passed(), upload.is_done());
        Self { sending: (!done).then(|| Box::new(Sending::H1(upload))), passed }
    }
}

impl From<H2Upload> for Remainder {
    /// Nothing, where all of it is on its way.
    fn from(upload: H2Upload) -> Self {
        let (passed, done) = (upload.passed(), upload.is_done());
        Self { sending: (!done).then(|| Box::new(Sending::H2(upload))), passed }
    }
}

impl Sending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        match self {
            Self::H1(upload) => upload.poll(cx),
            Self::H2(upload) => upload.poll(cx),
        }
    }

    fn passed(&self) -> u64 {
        match self {
            Self::H1(upload) => upload.passed(),
            Self::H2(upload) => upload.passed(),
        }
    }
}

impl Remainder {
    /// Sends on. An error ([`BodyError::Request`]): the request's own body broke off, and its answer is not to
    /// be had in whole.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        let Some(sending) = &mut self.sending else { return Ok(()) };
        match sending.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Err(PumpError::Source(_))) => Err(BodyError::Request),
            // A sink that breaks: the upstream does not want the rest; its answer is still worth having.
            Poll::Ready(Ok(()) | Err(PumpError::Sink(_))) => {
                self.passed = sending.passed();
                self.sending = None;
                Ok(())
            }
        }
    }

    /// Bytes of the request's body that have left.
    pub fn passed(&self) -> u64 {
        self.sending.as_ref().map_or(self.passed, |sending| sending.passed())
    }

    /// Is there anything left to send?
    pub fn is_some(&self) -> bool {
        self.sending.is_some()
    }
}
