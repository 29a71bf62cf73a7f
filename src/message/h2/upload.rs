//! A request on its way out by HTTP/2: its stream and its body in one value.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::send::Sender;
use super::stream::H2Stream;
use crate::message::body::Body;
use crate::message::h1::pump::{PumpError, Waits};

/// A request that is being sent. Given up before its end, its stream is reset.
pub struct H2Upload {
    sender: Sender,
    body: Body,
    done: bool,
}

impl H2Upload {
    /// Sends `body` on `stream`, whose head has been sent.
    pub fn new(stream: Rc<H2Stream>, body: Body) -> Self {
        Self { sender: Sender::new(stream), body, done: false }
    }

    /// Sends as much as the stream takes now.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        let polled = self.sender.poll(cx, &mut self.body);
        self.done |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    /// Which side kept the last poll from finishing.
    pub fn waits_for(&self) -> Waits {
        self.sender.waits_for()
    }

    /// Is all of it on its way?
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Bytes of the body that have left.
    pub fn passed(&self) -> u64 {
        self.body.passed()
    }

    /// The peer has said something: the message will not be sent again.
    pub fn let_go(&mut self) {
        self.body.let_go();
    }

    /// The body from its start, for another attempt.
    pub fn into_body(self) -> Body {
        self.body.rewound()
    }
}
