//! A message on its way out: its sending state, its connection and its body in one value.
//!
//! Invariant: given up before its end, the connection is spoilt.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::conn::H1Conn;
use super::pump::{Pump, PumpError, Waits};
use crate::message::body::Body;

/// A message that is being sent.
pub struct Upload {
    pump: Pump,
    conn: Rc<H1Conn>,
    body: Body,
    done: bool,
}

impl Upload {
    /// Sends what `pump` has, then `body`, on `conn`.
    pub fn new(pump: Pump, conn: Rc<H1Conn>, body: Body) -> Self {
        Self { pump, conn, body, done: false }
    }

    /// Sends as much as the connection takes now.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PumpError>> {
        let polled = self.pump.poll(cx, &self.conn, &mut self.body);
        self.done |= matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    /// Has anything left for the peer?
    pub fn has_started(&self) -> bool {
        self.pump.has_started()
    }

    /// Which side kept the last poll from finishing.
    pub fn waits_for(&self) -> Waits {
        self.pump.waits_for()
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
    pub fn into_body(mut self) -> Body {
        std::mem::replace(&mut self.body, Body::empty()).rewound()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.done {
            self.conn.spoil();
        }
    }
}
