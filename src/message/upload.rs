//! A request that is still on its way when its answer has begun.
//!
//! Whoever sends the answer moves its [`Remainder`] on as well.

use std::task::{Context, Poll};

use super::body::{Body, BodyError};
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
    /// Nothing, where all of it is on its way; and the body for another attempt, which is gone where it is still needed or was
    /// not kept.
    pub fn of_h1(upload: Upload) -> (Self, Body) {
        let passed = upload.passed();
        if upload.is_done() {
            return (Self { sending: None, passed }, upload.into_body());
        }
        (Self { sending: Some(Box::new(Sending::H1(upload))), passed }, Body::gone())
    }

    /// The same, of a request that leaves by HTTP/2.
    pub fn of_h2(upload: H2Upload) -> (Self, Body) {
        let passed = upload.passed();
        if upload.is_done() {
            return (Self { sending: None, passed }, upload.into_body());
        }
        (Self { sending: Some(Box::new(Sending::H2(upload))), passed }, Body::gone())
    }

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
