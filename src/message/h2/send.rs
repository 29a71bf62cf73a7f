//! Sends one body on a stream whose head has been sent, and what follows it.
//!
//! Nothing is taken out of a body before there is room for it, so an answer whose client does not read stays where it
//! came from. Invariant: a body that breaks off is never ended as if it were whole; its stream is reset.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::frame::ErrorCode;
use super::stream::{H2Stream, StreamError, Then};
use crate::message::body::Body;
use crate::message::h1::pump::{PumpError, Waits};

/// Sends a body.
#[derive(Debug)]
pub struct Sender {
    stream: Rc<H2Stream>,
    waits: Waits,
}

impl From<StreamError> for PumpError {
    fn from(error: StreamError) -> Self {
        Self::Sink(io::Error::new(io::ErrorKind::ConnectionReset, error))
    }
}

impl Sender {
    /// Sends on `stream`.
    pub fn new(stream: Rc<H2Stream>) -> Self {
        Self { stream, waits: Waits::Sink }
    }

    /// The stream that it sends on.
    pub fn stream(&self) -> &Rc<H2Stream> {
        &self.stream
    }

    /// Which side kept the last poll from finishing.
    pub fn waits_for(&self) -> Waits {
        self.waits
    }

    /// Is there nothing more to be had of the body?
    pub fn has_ended(&self) -> bool {
        self.stream.is_finished()
    }

    /// Sends on; ready when all is on its way.
    pub fn poll(&mut self, cx: &mut Context<'_>, body: &mut Body) -> Poll<Result<(), PumpError>> {
        while !self.stream.is_finished() {
            self.waits = Waits::Sink;
            let room = ready!(self.stream.poll_room(cx))?;
            self.waits = Waits::Source;
            match ready!(body.poll_data(cx)) {
                Ok(0) => match body.trailers() {
                    Some(trailers) => self.stream.send_trailers(&trailers),
                    None => self.stream.send(&[], Then::End),
                },
                Ok(there) => {
                    let n = there.min(room);
                    let ends = Then::end_if(|| body.ends_after(n));
                    self.stream.send(body.data().get(..n).unwrap_or_default(), ends);
                    body.consume(n);
                }
                Err(error) => {
                    self.stream.gives_up_for(ErrorCode::Internal);
                    return Poll::Ready(Err(PumpError::Source(error)));
                }
            }
        }
        self.waits = Waits::Sink;
        Poll::Ready(Ok(()))
    }
}
