//! Connections of one worker that speak HTTP/2: shared by exchanges, as many as their streams need.
//!
//! A connection is used until the server's own limit of streams, then another one is made, within the upstream's cap of
//! connections; beyond that a request waits for a stream to end. Requests that come while a connection is being made wait
//! for it, and for what its server says of streams: what is opened before that may be refused.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use tokio::sync::Notify;

use crate::message::buf::Buf;
use crate::message::h1::parse::HeadLimits;
use crate::message::h2::{H2Conn, H2Stream};
use crate::message::head::Method;
use crate::message::io::Io;
use crate::message::stream::ByteStream;
use crate::runtime::timer::Deadline;
use crate::runtime::{clock, tasks};

/// What has been idle for less than this is in use: no server counts so short a time, and what the reactor was not told
/// within it would be the news of a single turn of the event loop. So a busy connection costs no system call more.
pub(super) const BUSY: Duration = Duration::from_millis(100);
/// What the head of an upstream's answer may be.
pub const ANSWER: HeadLimits = HeadLimits { bytes: 128 * 1024, fields: 256 };
/// Requests that wait for one connection to be made, where nobody knows how many streams it takes; that many it should
/// (RFC 9113 section 6.5.2).
const TOGETHER: usize = 100;
/// A connection with open streams that has been silent for so long is asked whether it is there.
const SILENT: Duration = Duration::from_secs(20);
/// One that has answered and stays silent is asked again after so long: gRPC servers end the connection of a client that
/// asks more often than every five minutes (gRPC A8, `MIN_RECV_PING_INTERVAL_WITHOUT_DATA`).
const STILL_SILENT: Duration = Duration::from_secs(301);
/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// To whom a connection was made, and how: what was made otherwise carries no request of today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// Number of the endpoint, see [`EndpointState::id`](super::endpoint::EndpointState::id).
    pub endpoint: u64,
    /// Number of the way, see [`Upstream::way`](super::Upstream::way).
    pub way: u64,
}

/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_secs(1);

struct Shared {
    conn: Rc<H2Conn>,
    /// When a stream was opened on it last.
    used: Cell<Instant>,
}

impl Drop for Shared {
    /// It takes nothing more; what it carries goes on.
    fn drop(&mut self) {
        self.conn.retire();
    }
}

/// A connection that is being made.
#[derive(Default)]
struct Making {
    waiting: Cell<usize>,
    /// It speaks HTTP/2, and is there.
    made: Cell<bool>,
    done: Notify,
}

/// What a way to an endpoint is to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// A request with this method, and its answer.
    Request(Method),
    /// A WebSocket: on a stream only where the server says that it takes it there (RFC 8441).
    WebSocket,
    /// A change to another protocol, which HTTP/2 has no words for.
    Upgrade,
}

impl Carried {
    /// The method with which a stream of `conn` carries it; `None`: none does.
    fn method_on(self, conn: &H2Conn) -> Option<Method> {
        match self {
            Self::Request(method) => Some(method),
            Self::WebSocket => conn.takes_websockets().then_some(Method::Connect),
            Self::Upgrade => None,
        }
    }

    /// Opens a stream of `conn` for it; `None`: there is none to be had, or none that carries it.
    pub(super) fn open_on(self, conn: &Rc<H2Conn>) -> Option<Rc<H2Stream>> {
        H2Stream::open(conn, self.method_on(conn)?)
    }
}

/// Will a connection that is about to be made speak HTTP/2?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreknown {
    Yes,
    /// The server chooses.
    Perhaps,
    No,
}

/// What a server has agreed on before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreed {
    H1,
    /// With so many streams at once.
    H2 {
        streams: usize,
    },
}

/// The shared connections of one worker.
#[derive(Default)]
pub(super) struct SharedPool {
    conns: RefCell<HashMap<PoolKey, Vec<Shared>, FixedState>>,
    /// Those to come, but where they will speak HTTP/1.1.
    making: RefCell<HashMap<PoolKey, Vec<Rc<Making>>, FixedState>>,
    agreed: RefCell<HashMap<PoolKey, Agreed, FixedState>>,
}

/// A connection is being made; those that wait for it learn when this is dropped.
pub(super) struct Opening<'a> {
    pool: &'a SharedPool,
    key: PoolKey,
    making: Option<Rc<Making>>,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        let Some(making) = self.making.take() else { return };
        if let Some(all) = self.pool.making.borrow_mut().get_mut(&self.key) {
            all.retain(|other| !Rc::ptr_eq(other, &making));
        }
        making.done.notify_waiters();
    }
}

impl SharedPool {
    /// A stream of a connection that has room.
    pub(super) fn take(&self, key: PoolKey, what: Carried, now: Instant) -> Option<Rc<H2Stream>> {
        let mut conns = self.conns.borrow_mut();
        let all = conns.get_mut(&key)?;
        let mut stale = false;
        let found = all.iter().find_map(|shared| {
            let idle = now.saturating_duration_since(shared.used.get());
            if shared.conn.active() == 0 && idle >= BUSY {
                shared.conn.refresh(now);
            }
            stale |= shared.conn.is_leaving();
            if !shared.conn.is_greeted() && shared.conn.active() > 0 {
                return None;
            }
            let stream = what.open_on(&shared.conn)?;
            shared.used.set(now);
            Some(stream)
        });
        if stale {
            all.retain(|shared| !shared.conn.is_leaving());
        }
        found
    }

    /// Waits for connections that are being made, as long as there are any with room for one more; a stream of one.
    pub(super) async fn join(&self, key: PoolKey, what: Carried) -> Option<Rc<H2Stream>> {
        while self.is_settled(key).await {
            if let Some(stream) = self.take(key, what, clock::instant()) {
                return Some(stream);
            }
        }
        None
    }

    /// Can a connection carry it? Waits for what the servers of those that are there, or being made, say of themselves;
    /// `None`: there is none.
    pub(super) async fn carries(&self, key: PoolKey, what: Carried) -> Option<bool> {
        loop {
            let known = {
                let conns = self.conns.borrow();
                let all = conns.get(&key).into_iter().flatten();
                let there = all.filter(|shared| shared.conn.is_greeted() && !shared.conn.is_leaving());
                there.map(|shared| what.method_on(&shared.conn).is_some()).reduce(|one, other| one || other)
            };
            if known.is_some() || !self.is_settled(key).await {
                return known;
            }
        }
    }

    /// Waits for one connection to be made, or for what its server says of itself; false: there is none to wait for, or
    /// it does not speak HTTP/2.
    async fn is_settled(&self, key: PoolKey) -> bool {
        if let Some(conn) = self.ungreeted(key) {
            poll_fn(|cx| conn.poll_greeted(cx)).await;
            self.agreed.borrow_mut().insert(key, Agreed::H2 { streams: conn.most() });
            return true;
        }
        let Some(making) = self.made_with_room(key) else { return false };
        making.waiting.set(making.waiting.get() + 1);
        making.done.notified().await;
        making.made.get()
    }

    /// A connection whose server has not said anything yet.
    fn ungreeted(&self, key: PoolKey) -> Option<Rc<H2Conn>> {
        let conns = self.conns.borrow();
        let unknown = |shared: &&Shared| !shared.conn.is_greeted() && !shared.conn.is_leaving();
        Some(Rc::clone(&conns.get(&key)?.iter().find(unknown)?.conn))
    }

    fn made_with_room(&self, key: PoolKey) -> Option<Rc<Making>> {
        let most = match self.agreed.borrow().get(&key) {
            Some(Agreed::H2 { streams }) => *streams,
            Some(Agreed::H1) | None => TOGETHER,
        };
        let making = self.making.borrow();
        making.get(&key)?.iter().find(|making| making.waiting.get() + 1 < most).map(Rc::clone)
    }

    /// A connection is about to be made.
    pub(super) fn opening(&self, key: PoolKey, h2: Foreknown) -> Opening<'_> {
        let agreed = self.agreed.borrow().get(&key).copied();
        let shared = match h2 {
            Foreknown::Yes => true,
            // Whether they can share it is worth a moment to those that come meanwhile.
            Foreknown::Perhaps => agreed != Some(Agreed::H1),
            Foreknown::No => false,
        };
        let making = shared.then(Rc::<Making>::default);
        if let Some(making) = &making {
            self.making.borrow_mut().entry(key).or_default().push(Rc::clone(making));
        }
        Opening { pool: self, key, making }
    }

    /// Are there connections that carry it, and all of their streams in use?
    pub(super) fn is_full(&self, key: PoolKey, what: Carried) -> bool {
        let conns = self.conns.borrow();
        conns.get(&key).is_some_and(|all| all.iter().any(|shared| what.method_on(&shared.conn).is_some()))
    }

    /// Waits until a stream ends that can carry it; false: there is no connection to wait for.
    pub(super) async fn waits_for_room(&self, key: PoolKey, what: Carried) -> bool {
        poll_fn(|cx| {
            if !self.is_full(key, what) {
                return Poll::Ready(false);
            }
            let conns = self.conns.borrow();
            let mut all = conns.get(&key).into_iter().flatten();
            let room = all
                .any(|shared| what.method_on(&shared.conn).is_some() && shared.conn.poll_room(cx).is_ready());
            if room { Poll::Ready(true) } else { Poll::Pending }
        })
        .await
    }

    /// Lets go of what has been idle for longer than `idle_of` says, of what leaves, and of what nobody is to use any more.
    pub(super) fn expire(&self, now: Instant, idle_of: impl Fn(&PoolKey) -> Option<Duration>) {
        self.conns.borrow_mut().retain(|key, all| {
            let Some(most) = idle_of(key) else { return false };
            all.retain(|shared| {
                let idle = now.saturating_duration_since(shared.used.get());
                let young = shared.conn.active() > 0 || idle <= most;
                young && !shared.conn.is_leaving()
            });
            true
        });
        self.agreed.borrow_mut().retain(|key, _| idle_of(key).is_some());
    }
}

impl Opening<'_> {
    /// The connection is made, over `io`: whoever waits for it has its streams once whoever made it has taken one.
    pub(super) fn share(self, key: PoolKey, io: Io, slot: Box<dyn Any>) -> Rc<H2Conn> {
        let now = clock::instant();
        let conn = H2Conn::client(ByteStream::new(io, Buf::default(), Some(slot)), ANSWER, now);
        tasks::spawn_on_worker("upstream", "an HTTP/2 connection", drive(Rc::clone(&conn)));
        let shared = Shared { conn: Rc::clone(&conn), used: Cell::new(now) };
        self.pool.conns.borrow_mut().entry(key).or_default().push(shared);
        self.pool.agreed.borrow_mut().entry(key).or_insert(Agreed::H2 { streams: TOGETHER });
        if let Some(making) = &self.making {
            making.made.set(true);
        }
        conn
    }

    /// It is made, and speaks HTTP/1.1.
    pub(super) fn agreed_on_h1(self, key: PoolKey) {
        self.pool.agreed.borrow_mut().insert(key, Agreed::H1);
    }
}

/// Reads and writes for as long as the connection lives. How it ended is learnt by its streams.
async fn drive(conn: Rc<H2Conn>) {
    let mut timer = Deadline::default();
    // When the peer was asked whether it is there, and whether nothing but an answer to that has come since.
    let mut asked: Option<Instant> = None;
    let mut ended: Option<Instant> = None;
    poll_fn(|cx| {
        loop {
            let now = clock::instant();
            if conn.poll(cx, now).is_ready() {
                return Poll::Ready(());
            }
            if conn.rest(cx) {
                continue;
            }
            if conn.active() == 0 && conn.over().is_none() {
                asked = None;
                return Poll::Pending;
            }
            let at = match asked {
                _ if conn.over().is_some() => *ended.get_or_insert(now) + FAREWELL,
                _ if conn.is_pinged() => asked.unwrap_or(now) + PATIENCE,
                Some(before) if conn.spoken() <= before => before + STILL_SILENT,
                Some(_) | None => conn.heard() + SILENT,
            };
            std::task::ready!(timer.poll_passed(cx, Some(at)));
            if conn.is_pinged() || conn.over().is_some() {
                return Poll::Ready(());
            }
            asked = Some(now);
            conn.ping();
        }
    })
    .await;
    conn.break_off();
    let limit = clock::instant() + FAREWELL;
    poll_fn(|cx| match conn.stream().poll_shutdown(cx) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => timer.poll_passed(cx, Some(limit)),
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::h2::H2Limits;

    fn over(io: tokio::io::DuplexStream) -> ByteStream {
        ByteStream::new(Io::Boxed(Box::new(io)), Buf::default(), None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_gone_without_a_word_is_noticed() {
        let (near, _far) = tokio::io::duplex(1 << 16);
        let began = clock::instant();
        let conn = H2Conn::client(over(near), ANSWER, began);
        let stream = H2Stream::open(&conn, Method::Get).unwrap();
        drive(conn).await;
        let took = clock::instant() - began;
        assert!(took >= SILENT + PATIENCE && took < SILENT + PATIENCE + FAREWELL * 2, "{took:?}");
        assert!(poll_fn(|cx| Poll::Ready(stream.poll_gone(cx).is_ready())).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_server_that_is_there_is_kept_and_seldom_asked() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let now = clock::instant();
        let conn = H2Conn::client(over(near), ANSWER, now);
        let server = H2Conn::server(over(far), H2Limits { head: ANSWER, streams: 10 }, now);
        let _stream = H2Stream::open(&conn, Method::Get).unwrap();
        let mut heard = Vec::new();
        let serves = poll_fn(|cx| {
            loop {
                if server.poll(cx, clock::instant()).is_ready() {
                    return Poll::Ready(());
                }
                if heard.last() != Some(&server.heard()) {
                    heard.push(server.heard());
                }
                if !server.rest(cx) {
                    return Poll::Pending;
                }
            }
        });
        let half_an_hour = tokio::time::sleep(Duration::from_secs(1_800));
        tokio::select! {
            () = drive(Rc::clone(&conn)) => panic!("it was given up"),
            () = serves => panic!("it was ended"),
            () = half_an_hour => {}
        }
        // Once after the first silence, and then every five minutes.
        assert!((6..=9).contains(&heard.len()), "{}", heard.len());
    }
}
