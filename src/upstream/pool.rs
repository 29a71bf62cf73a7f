//! Connections of one worker to its upstreams: newest first, capped, expired by idleness. How long that is, and what
//! closings of the peer say, is decided in [`crate::reliability::idle`]. Those that speak HTTP/2 are in `shared`.
//!
//! Invariants: a connection is lent to one exchange at a time (HTTP/2: shared); what comes out is alive as far as the
//! kernel has told; connecting always goes to an address that the guard has checked.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use tokio::net::TcpStream;

use super::connect;
use super::endpoint::EndpointState;
pub use super::shared::{ANSWER, Carried, PoolKey};
use super::shared::{BUSY, Foreknown, Opening, SharedPool};
use super::{ConnectionSlot, Upstream};
use crate::config::Protocol;
use crate::message::buf::Buf;
use crate::message::h1::conn::H1Conn;
use crate::message::h2::{H2Conn, H2Stream};
use crate::message::io::{Io, IoReadiness, Layered};
use crate::message::kept::KeptRoom;
use crate::message::stream::ByteStream;
use crate::net::tls;
use crate::reliability::verdict::BadReason;
use crate::runtime::clock;
use crate::runtime::timer::within;

impl Layered for tls::ClientStream {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// The upstream's cap is reached.
    Full,
    /// Its cap of tunnels is.
    NoTunnel,
    /// It speaks HTTP/2, and takes no such change of protocol on a stream.
    NoUpgrade,
    /// TCP or TLS failed.
    Failed(BadReason, io::Error),
}

/// A way to send one request, and the endpoint that it leads to.
type Found = (RequestLink, Arc<EndpointState>);

/// A way to send one request.
pub enum RequestLink {
    /// HTTP/1.1, for this exchange alone.
    H1 {
        conn: Rc<H1Conn>,
        /// It has carried a request before and then was idle for so long: it may turn out to be closed.
        /// `None`: a new one.
        idle: Option<Duration>,
        /// Under which it is kept.
        key: PoolKey,
    },
    /// One stream of a shared HTTP/2 connection.
    H2(Rc<H2Stream>),
}

struct Idle {
    conn: Rc<H1Conn>,
    since: Instant,
}

/// The connections of one worker.
#[derive(Default)]
pub struct Pools {
    idle: RefCell<HashMap<PoolKey, Vec<Idle>, FixedState>>,
    shared: SharedPool,
    /// Request bodies that may have to be sent again, over another connection.
    pub kept: Rc<KeptRoom>,
}

impl Pools {
    /// A way to `endpoint` for a request: a stream of a shared connection, the connection used last, else a new one, made
    /// within `limit`. `fresh`: one of HTTP/1.1 that was not used before. With it comes the endpoint that it leads to:
    /// another one of the same name where `endpoint` was never reached and the other family won.
    pub async fn checkout(
        &self,
        upstream: &Upstream,
        endpoint: &Arc<EndpointState>,
        (fresh, what): (bool, Carried),
        limit: Duration,
        now: Instant,
    ) -> Result<Found, ConnectError> {
        let key = upstream.key(endpoint.id);
        if let Some(stream) = self.shared.take(key, what, now) {
            return Ok((RequestLink::H2(stream), Arc::clone(endpoint)));
        }
        if !fresh && let Some((conn, idle)) = self.take_idle(upstream, key, now) {
            return Ok((RequestLink::H1 { conn, idle: Some(idle), key }, Arc::clone(endpoint)));
        }
        // Boxed: it is large, and rare.
        match within(limit, Box::pin(self.make(upstream, endpoint, key, what))).await {
            Some(made) => made,
            None if self.shared.is_full(key, what) => Err(ConnectError::Full),
            None => Err(ConnectError::Failed(BadReason::Timeout, io::ErrorKind::TimedOut.into())),
        }
    }

    /// A new connection, or a stream of one that others are making, or have used up.
    async fn make(
        &self,
        upstream: &Upstream,
        endpoint: &Arc<EndpointState>,
        key: PoolKey,
        what: Carried,
    ) -> Result<Found, ConnectError> {
        let h2 = foreknown(upstream);
        loop {
            if !matches!(what, Carried::Request(_)) && self.shared.carries(key, what).await == Some(false) {
                return self.beside(upstream, endpoint).await;
            }
            if let Some(stream) = self.shared.join(key, what).await {
                return Ok((RequestLink::H2(stream), Arc::clone(endpoint)));
            }
            if let Some(slot) = upstream.slot() {
                let opening = self.shared.opening(key, h2);
                return self.connect(upstream, endpoint, (slot, opening), what).await;
            }
            if !self.shared.waits_for_room(key, what).await {
                return Err(ConnectError::Full);
            }
            if let Some(stream) = self.shared.take(key, what, clock::instant()) {
                return Ok((RequestLink::H2(stream), Arc::clone(endpoint)));
            }
        }
    }

    fn take_idle(&self, upstream: &Upstream, key: PoolKey, now: Instant) -> Option<(Rc<H1Conn>, Duration)> {
        loop {
            let Idle { conn, since } = self.idle.borrow_mut().get_mut(&key)?.pop()?;
            let idle = now.saturating_duration_since(since);
            if idle > upstream.config.pool.idle_for.h1_for(conn.said()) {
                continue; // others may have been promised more
            }
            if conn.stream().is_quiet(if idle < BUSY { IoReadiness::Reactor } else { IoReadiness::Kernel }) {
                return Some((conn, idle));
            }
            upstream.found_closed(key.endpoint, idle, now);
        }
    }

    /// Gives back a connection whose message is over on both sides.
    pub fn give_back(&self, upstream: &Upstream, key: PoolKey, conn: Rc<H1Conn>, now: Instant) {
        if !conn.is_reusable() || conn.stream().has_ahead() {
            return; // bytes nobody asked for: whatever they are, they are no answer to the next request
        }
        if upstream.config.pool.idle_for.h1_for(conn.said()).is_zero() {
            return; // it says itself that it will not wait
        }
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(key).or_default();
        if kept.len() < upstream.config.pool.idle_per_worker {
            kept.push(Idle { conn, since: now });
        }
    }

    /// Closes what has been idle for too long, and what the peer has closed; called every second or so.
    pub fn expire(&self, upstream_of: impl Fn(u64) -> Option<Arc<Upstream>>) {
        let now = clock::instant();
        let upstream_of =
            |key: &PoolKey| upstream_of(key.endpoint).filter(|upstream| upstream.way() == key.way);
        self.idle.borrow_mut().retain(|key, kept| {
            let Some(upstream) = upstream_of(key) else { return false };
            kept.retain(|Idle { conn, since }| {
                let idle = now.saturating_duration_since(*since);
                let young = idle <= upstream.config.pool.idle_for.h1_for(conn.said());
                let closed = young && !conn.stream().is_quiet(IoReadiness::Reactor);
                if closed {
                    upstream.found_closed(key.endpoint, idle, now);
                }
                young && !closed
            });
            true // its room stays for the next
        });
        self.shared.expire(now, |key| upstream_of(key).map(|upstream| upstream.config.pool.idle_for.h2));
    }

    /// Idle connections, for the metric.
    pub fn idle_count(&self) -> usize {
        self.idle.borrow().values().map(Vec::len).sum()
    }

    /// A plain TCP connection for a tunnel, or for another protocol: never kept, never shared. With the endpoint that it leads to.
    pub async fn dial(
        &self,
        upstream: &Upstream,
        endpoint: &Arc<EndpointState>,
        limit: Duration,
    ) -> Result<(ByteStream, Arc<EndpointState>), ConnectError> {
        let slot: Box<dyn std::any::Any> = Box::new(upstream.tunnel().ok_or(ConnectError::NoTunnel)?);
        match within(limit, connect::tcp(upstream, endpoint)).await {
            Some(Ok((tcp, endpoint))) => {
                let _ = tcp.set_nodelay(true); // only a matter of speed
                Ok((ByteStream::new(Io::Tcp(tcp), Buf::default(), Some(slot)), endpoint))
            }
            Some(Err(error)) => Err(ConnectError::Failed(BadReason::Connect, error)),
            None => Err(ConnectError::Failed(BadReason::Timeout, io::ErrorKind::TimedOut.into())),
        }
    }

    async fn connect(
        &self,
        upstream: &Upstream,
        endpoint: &Arc<EndpointState>,
        (slot, opening): (ConnectionSlot, Opening<'_>),
        what: Carried,
    ) -> Result<Found, ConnectError> {
        let (tcp, endpoint) = reach(upstream, endpoint).await?;
        // Before it is made: roots that come meanwhile were not asked.
        let key = upstream.key(endpoint.id);
        let (io, h2) = match &upstream.tls {
            // TLS that cannot be set up must never become plain text.
            None if upstream.config.tls.is_some() => {
                return Err(ConnectError::Failed(
                    BadReason::Tls,
                    io::Error::other("TLS cannot be set up; see the log"),
                ));
            }
            None => (Io::Tcp(tcp), upstream.config.protocol == Protocol::H2),
            Some(client) => {
                let stream = client
                    .connect(tcp, &endpoint.host)
                    .await
                    .map_err(|error| ConnectError::Failed(BadReason::Tls, error))?;
                let h2 = tls::negotiated_h2(&stream);
                (Io::Layered(Box::new(stream)), h2)
            }
        };
        if h2 {
            let conn = opening.share(key, io, Box::new(slot));
            return match what {
                Carried::Request(_) => {
                    first_of(&conn, what).map(|stream| (RequestLink::H2(stream), endpoint))
                }
                Carried::WebSocket | Carried::Upgrade => self.upgrade(upstream, endpoint, &conn, what).await,
            };
        }
        opening.agreed_on_h1(key);
        let slot: Box<dyn std::any::Any> = Box::new(slot);
        Ok((RequestLink::H1 { conn: H1Conn::new(io, Buf::default(), Some(slot)), idle: None, key }, endpoint))
    }

    /// A change of protocol, where the new connection turned out to speak HTTP/2: on a stream of it, once its server has
    /// said that it takes that, else beside it.
    async fn upgrade(
        &self,
        upstream: &Upstream,
        endpoint: Arc<EndpointState>,
        conn: &Rc<H2Conn>,
        what: Carried,
    ) -> Result<Found, ConnectError> {
        poll_fn(|cx| conn.poll_greeted(cx)).await;
        if conn.is_greeted() && (what == Carried::Upgrade || !conn.takes_websockets()) {
            return self.beside(upstream, &endpoint).await;
        }
        first_of(conn, what).map(|stream| (RequestLink::H2(stream), endpoint))
    }

    /// A connection of HTTP/1.1 beside those of HTTP/2, for what these do not carry. It serves once: what comes next is
    /// for those, and gRPC can use no other.
    async fn beside(
        &self,
        upstream: &Upstream,
        endpoint: &Arc<EndpointState>,
    ) -> Result<Found, ConnectError> {
        let tls = upstream.tls.as_ref().filter(|_| foreknown(upstream) == Foreknown::Perhaps);
        let client = tls.ok_or(ConnectError::NoUpgrade)?;
        let slot: Box<dyn std::any::Any> = Box::new(upstream.slot().ok_or(ConnectError::Full)?);
        let (tcp, endpoint) = reach(upstream, endpoint).await?;
        let key = upstream.key(endpoint.id);
        let stream = client.connect_h1(tcp, &endpoint.host).await.map_err(|error| {
            if tls::speaks_another(&error) {
                return ConnectError::NoUpgrade;
            }
            ConnectError::Failed(BadReason::Tls, error)
        })?;
        let conn = H1Conn::new(Io::Layered(Box::new(stream)), Buf::default(), Some(slot));
        conn.spoil();
        Ok((RequestLink::H1 { conn, idle: None, key }, endpoint))
    }
}

/// What is known of connections to `upstream` before they are made.
fn foreknown(upstream: &Upstream) -> Foreknown {
    match upstream.config.protocol {
        Protocol::H2 => Foreknown::Yes,
        Protocol::Auto if upstream.config.tls.is_some() => Foreknown::Perhaps,
        Protocol::Auto | Protocol::Http1 => Foreknown::No,
    }
}

/// A TCP connection, and the endpoint that it leads to.
async fn reach(
    upstream: &Upstream,
    endpoint: &Arc<EndpointState>,
) -> Result<(TcpStream, Arc<EndpointState>), ConnectError> {
    let reached = connect::tcp(upstream, endpoint).await;
    let (tcp, endpoint) = reached.map_err(|error| ConnectError::Failed(BadReason::Connect, error))?;
    let _ = tcp.set_nodelay(true); // only a matter of speed
    Ok((tcp, endpoint))
}

/// The first stream of a new connection.
fn first_of(conn: &Rc<H2Conn>, what: Carried) -> Result<Rc<H2Stream>, ConnectError> {
    what.open_on(conn)
        .ok_or_else(|| ConnectError::Failed(BadReason::Protocol, io::ErrorKind::ConnectionRefused.into()))
}

/// A connection lent to an exchange, with what it needs to be given back.
pub struct PooledConnection {
    pools: Rc<Pools>,
    upstream: Arc<Upstream>,
    key: PoolKey,
    conn: Rc<H1Conn>,
}

impl PooledConnection {
    /// Lends `conn` to an exchange; it goes back to the pool of `key`.
    pub fn new(pools: &Rc<Pools>, upstream: &Arc<Upstream>, key: PoolKey, conn: Rc<H1Conn>) -> Self {
        Self { pools: Rc::clone(pools), upstream: Arc::clone(upstream), key, conn }
    }

    /// The message is over on both sides: the connection may serve again.
    pub fn give_back(self, now: Instant) {
        self.pools.give_back(&self.upstream, self.key, self.conn, now);
    }

    /// The connection itself, for an upgrade.
    pub fn into_conn(self) -> Rc<H1Conn> {
        self.conn
    }
}
