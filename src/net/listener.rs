//! Listening sockets: one per worker on the same address, so that the kernel spreads connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Bytes that the kernel keeps of what is to be sent and cannot be sent yet (`TCP_NOTSENT_LOWAT`): it costs a reader that reads no
/// speed, and one that does not read no memory.
pub const UNSENT: u32 = 64 * 1024;

/// Binds `copies` sockets to `addr`. Port 0: the first one picks the port, the others share it. `buffer`: bytes that the kernel
/// keeps of each accepted connection and each way; `None`: its own measure.
pub fn bind(mut addr: SocketAddr, copies: usize, buffer: Option<usize>) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::with_capacity(copies);
    for _ in 0..copies.max(1) {
        let socket = one(addr, copies > 1, buffer).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen on {addr}: {error}; is it in use by another process?"),
            )
        })?;
        addr = socket.local_addr()?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn one(addr: SocketAddr, shared: bool, buffer: Option<usize>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        // Two processes of one user could share a port unnoticed; a probe without the option tells.
        if addr.port() != 0 && !is_ours(addr) {
            let probe = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
            probe.set_reuse_address(true)?;
            probe.bind(&addr.into())?;
            note_ours(addr);
        }
        socket.set_reuse_port(true)?;
    }
    // Accepted connections inherit them.
    socket.set_tcp_notsent_lowat(UNSENT)?;
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes)?;
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    let listener: TcpListener = socket.into();
    if shared {
        note_ours(listener.local_addr()?);
    }
    Ok(listener)
}

/// Addresses this process has bound already.
static OURS: std::sync::Mutex<Vec<SocketAddr>> = std::sync::Mutex::new(Vec::new());

fn is_ours(addr: SocketAddr) -> bool {
    OURS.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&addr)
}

fn note_ours(addr: SocketAddr) {
    let mut ours = OURS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !ours.contains(&addr) {
        ours.push(addr);
    }
}

/// Counts the connections of one listener over all workers.
#[derive(Clone, Debug, Default)]
pub struct ConnectionCount(Arc<AtomicUsize>);

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub struct CountedConnection(ConnectionCount);

impl ConnectionCount {
    /// Leave for one more while there are fewer than `most`.
    pub fn admit(&self, most: usize) -> Option<CountedConnection> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let counted = CountedConnection(self.clone());
        (before < most).then_some(counted)
    }

    /// How many there are.
    pub fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long to wait after a failed accept: not at all when only that connection is concerned, a little when the
/// process has run out of something.
pub fn pause_after(error: &io::Error) -> Duration {
    let of_the_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if of_the_peer { Duration::ZERO } else { Duration::from_millis(50) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_copies_share_the_port_that_the_first_one_got() {
        let sockets =
            bind(SocketAddr::from(([127, 0, 0, 1], 0)), 3, Some(64 * 1024)).expect("loopback binds");
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().expect("bound").port()).collect();
        assert!(ports.iter().all(|port| *port == ports[0]));
    }

    #[test]
    fn a_taken_port_is_named_in_the_error() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("loopback binds");
        let addr = taken.local_addr().expect("bound");
        let error = bind(addr, 2, None).expect_err("taken");
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    }

    #[test]
    fn a_connection_over_the_cap_is_not_counted() {
        let count = ConnectionCount::default();
        let first = count.admit(1);
        assert!(first.is_some());
        assert!(count.admit(1).is_none());
        drop(first);
        assert_eq!(count.now(), 0);
    }
}
