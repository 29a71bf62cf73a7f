//! One client connection, as all that serve it know it: how it came in and what it may ask.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::{ForwardedFields, Origin};
use super::exchange::Exchange;
use super::route::Entrance;
use super::worker::Worker;
use crate::config::ClientLimits;
use crate::message::fields;
use crate::message::h1::parse::HeadLimits;
use crate::message::head::{Known, RequestHead};
use crate::runtime::drain::Drain;

/// What holds of all connections that a worker took at one door under one config.
pub struct Terms {
    /// The worker that serves them.
    pub worker: Rc<Worker>,
    /// The way in that they took.
    pub entrance: Arc<Entrance>,
    /// True when they speak TLS.
    pub secure: bool,
    /// What the config says.
    pub allowed: Allowed,
    /// Is the process leaving?
    pub drain: Drain,
}

/// What holds for connections that come now, as the config in force says.
#[derive(PartialEq)]
pub struct Allowed {
    /// What a client may ask.
    pub limits: Arc<ClientLimits>,
    /// Proxies in front that are believed.
    pub trusted_hops: u8,
    /// Does a trace begin here?
    pub begin_traces: bool,
}

/// How a connection came in; the same for all of its exchanges.
pub struct Client {
    /// What holds of others, too.
    pub terms: Rc<Terms>,
    /// Address and port of the other end of the connection.
    pub peer: SocketAddr,
    /// What its last request told the backend of its client; `None`: there was none.
    pub forwarded: RefCell<Option<Box<ForwardedFields>>>,
}

/// Whoever connects in order to ask has begun by then: a process that leaves waits no longer. Browsers open connections ahead of
/// their needs.
const CAME_TO_ASK: Duration = Duration::from_secs(1);

impl Client {
    /// What it may ask.
    pub fn limits(&self) -> &ClientLimits {
        &self.terms.allowed.limits
    }

    /// Until when the first byte of a connection that came at `begun` is waited for.
    pub fn asks_by(&self, begun: Instant) -> Instant {
        let most = self.limits().header_read;
        begun + if self.terms.drain.is_requested() { most.min(CAME_TO_ASK) } else { most }
    }

    /// Where a request comes from.
    pub fn origin(&self) -> Origin<'_> {
        Origin {
            entrance: &self.terms.entrance,
            peer: self.peer.ip(),
            secure: self.terms.secure,
            trusted_hops: self.terms.allowed.trusted_hops,
            begin_traces: self.terms.allowed.begin_traces,
            forwarded: &self.forwarded,
        }
    }

    /// Opens the exchange of a head.
    pub fn exchange(&self, head: &RequestHead, now: Instant) -> Exchange {
        let client = fields::client_ip(&head.store, self.peer.ip(), self.terms.allowed.trusted_hops);
        if self.terms.allowed.trusted_hops == 0 && *self.terms.entrance == Entrance::Ingress {
            self.terms.worker.front.note(self.peer.ip(), head.store.known(Known::XForwardedFor).is_some());
        }
        let mut exchange = Exchange::open(&self.terms.worker, head, client, now);
        (exchange.secure, exchange.forwarded) = (self.terms.secure, self.terms.allowed.trusted_hops > 0);
        exchange
    }

    /// It has been silent for a while: what the next request makes anew is let go.
    pub(super) fn rest(&self) {
        self.forwarded.take();
        self.terms.worker.has_let_go();
    }

    pub(super) fn head_limits(&self) -> HeadLimits {
        HeadLimits { bytes: self.limits().header_bytes, fields: self.limits().header_count }
    }
}

/// What comes after an exchange.
#[derive(PartialEq, Eq)]
pub(super) enum After {
    /// Another request may come; this one has ended then.
    Next(Instant),
    Close,
    Linger,
    /// As it stands: the close itself is to say that something is missing.
    Abort,
}
