//! `[*.limits]`: what one client may ask of a listener.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use crate::message::h1::parse::MOST_FIELDS;
use crate::units::{Size, Text, secs};

/// The tables `[ingress.limits]` and `[egress.limits]` as the operator writes them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LimitsFile {
    /// Connections of the listener, over all workers; 0: as many as fit into `process.buffers`, at most 10,000.
    pub connections: u32,
    /// Bytes of a request's head.
    pub header_bytes: Text<Size>,
    /// Fields of a request's head, at most 256.
    pub header_count: u32,
    /// Time for a request's head to come in whole, from its first byte.
    pub header_read: Text<Duration>,
    /// Longest time between two requests of a connection.
    pub keep_alive: Text<Duration>,
    /// How long an answer is waited for after the client has ended its side.
    pub half_close: Text<Duration>,
    /// Time for which the rest of a request is read over after an answer that came before its end.
    pub linger: Text<Duration>,
    /// Bytes of a request that are read over at most after its answer.
    pub linger_bytes: Text<Size>,
    /// Requests after which a connection is closed; 0: no limit.
    pub requests_per_connection: u64,
    /// Concurrent streams of an HTTP/2 connection.
    pub h2_streams: u32,
    /// Bytes a second of a client that is waited for, over 30 s; slower ones are ended while what clients share
    /// is short. 0: none.
    pub min_rate: u32,
}

/// `header_count` is Envoy's, `keep_alive` and `h2_streams` are nginx's, `min_rate` is Kestrel's (`MinRequestBodyDataRate`).
impl Default for LimitsFile {
    fn default() -> Self {
        Self {
            connections: 0,
            header_bytes: Text(Size(64 * 1024)),
            header_count: 100,
            header_read: secs(10),
            keep_alive: secs(75),
            half_close: secs(2),
            linger: secs(30),
            linger_bytes: Text(Size(64 << 20)),
            requests_per_connection: 0,
            h2_streams: 128,
            min_rate: 240,
        }
    }
}

/// What one client may ask of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections of this listener over all workers; `None`: as many as fit into memory.
    pub connections: Option<usize>,
    /// Bytes of request line and header fields together.
    pub header_bytes: usize,
    /// Header fields of one head, at most 256.
    pub header_count: usize,
    /// From the first byte of a head (or from accept) to its end.
    pub header_read: Duration,
    /// Longest time between two requests of a connection.
    pub keep_alive: Duration,
    /// How long an answer is waited for after the client has ended its side of an HTTP/1.1 connection;
    /// zero: not at all.
    pub half_close: Duration,
    /// Time for which the rest of a request is read over after an answer that came before its end.
    pub linger: Duration,
    /// Bytes of a request that are read over at most after its answer.
    pub linger_bytes: u64,
    /// After so many the connection is closed; `None`: no limit.
    pub requests_per_connection: Option<u64>,
    /// Concurrent HTTP/2 streams of one connection.
    pub h2_streams: u32,
    /// Bytes a second below which a client that is waited for is slow; 0: none is.
    pub min_rate: u64,
}

impl LimitsFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> ClientLimits {
        at.within("connections", self.connections, 0, 10_000_000);
        at.within("header_bytes", self.header_bytes.0.0, 1_024, 1 << 20);
        at.within("header_count", self.header_count as usize, 1, MOST_FIELDS);
        at.within("h2_streams", self.h2_streams, 1, 100_000);
        if self.header_read.0.is_zero() {
            at.add("header_read", "must be longer than 0s, or no request could ever be read");
        }
        self.limits()
    }

    pub(super) fn limits(&self) -> ClientLimits {
        ClientLimits {
            connections: (self.connections > 0).then_some(self.connections as usize),
            header_bytes: usize::try_from(self.header_bytes.0.0).unwrap_or(usize::MAX),
            header_count: self.header_count as usize,
            header_read: self.header_read.0,
            keep_alive: self.keep_alive.0,
            half_close: self.half_close.0,
            linger: self.linger.0,
            linger_bytes: self.linger_bytes.0.0,
            requests_per_connection: (self.requests_per_connection > 0)
                .then_some(self.requests_per_connection),
            h2_streams: self.h2_streams,
            min_rate: u64::from(self.min_rate),
        }
    }
}
