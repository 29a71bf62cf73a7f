//! What tunnels tell: one at its end, and the sums over all.

use std::time::Duration;

use super::seconds::Seconds;

/// What a tunnel tells at its end.
#[derive(Clone, Copy, Debug)]
pub struct TunnelEnd {
    /// Time until the TCP connection stood.
    pub connect: Duration,
    /// From the connection to the client's second flight, when it looked like TLS: inferred, not measured.
    pub handshake: Option<Duration>,
    /// From the connection to the first byte back.
    pub first_byte: Option<Duration>,
    /// Bytes towards the upstream.
    pub up: u64,
    /// Bytes back to the client.
    pub down: u64,
    /// Ended by a reset of the upstream.
    pub reset: bool,
}

/// Sums over all tunnels.
#[derive(Clone, Debug, Default)]
pub struct Tunnels {
    /// Time until the TCP connection stood.
    pub connect: Seconds,
    /// TLS, inferred from the record headers.
    pub handshake: Seconds,
    /// To the first byte back.
    pub first_byte: Seconds,
    /// Bytes towards the upstream.
    pub up: u64,
    /// Bytes back to the clients.
    pub down: u64,
    /// Ended by a reset.
    pub resets: u64,
}
