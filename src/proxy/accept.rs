//! Accepts client connections on one worker and gives each a task.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::client::{Allowed, Client, Terms};
use super::route::Entrance;
use super::worker::Worker;
use super::{serve, serve_h2};
use crate::config::Traces;
use crate::message::account::Charged;
use crate::message::io::Io;
use crate::net::acceptor::{Accepted, Acceptor, FailureStreak, Uses};
use crate::net::listener::{ConnectionCount, CountedConnection};
use crate::net::tls;
use crate::reliability::party::Party;
use crate::runtime::drain::Drain;
use crate::runtime::fds;
use crate::runtime::timer::{Deadline, within};
use crate::runtime::{clock, tasks};
use crate::telemetry::event::ProcessEvent;
use crate::upstream::shares::{ShareHeld, Shares};

/// A listener as all workers share it.
#[derive(Clone)]
pub struct ListenerDoor {
    /// The way in that its connections take.
    pub entrance: Arc<Entrance>,
    /// The TLS that ends here; `None`: plain HTTP.
    pub tls: Option<tls::Server>,
    /// Connections over all workers.
    pub count: ConnectionCount,
    /// The same by client, where clients come directly.
    pub shares: Arc<Shares>,
    /// When it cannot take any.
    pub streak: Arc<FailureStreak>,
}

/// A connection's place at its door.
type DoorPlace = (CountedConnection, Option<ShareHeld>);

impl ListenerDoor {
    /// A place for a connection of `client`; `None`: there is none, or what is left is for others.
    fn place(&self, worker: &Worker, allowed: &Allowed, client: u32) -> Option<DoorPlace> {
        let most = allowed
            .limits
            .connections
            .unwrap_or_else(|| fitting(worker.telemetry.memory.limit(), fds::for_traffic()));
        let counted = self.count.admit(most)?;
        // Behind a balancer there are only balancers; on the way out everybody is the application.
        if *self.entrance != Entrance::Ingress || allowed.trusted_hops > 0 {
            return Some((counted, None));
        }
        let held = self.shares.take(worker.number, client, most, clock::instant())?;
        Some((counted, Some(held)))
    }
}

/// Connections that fit into `budget` bytes of buffers (each needs a buffer of its own, one of its upstream's, and as
/// much in the kernel) and into `descriptors` (each needs one of its own and one of its upstream's).
fn fitting(budget: Option<usize>, descriptors: usize) -> usize {
    budget.map_or(MOST, |bytes| (bytes / EACH).clamp(FEWEST, MOST)).min((descriptors / 2).max(1))
}

/// Bytes that a connection may need.
const EACH: usize = 64 * 1024;
/// Connections of a listener for which no number is written.
const MOST: usize = 10_000;
/// Connections that a listener takes at least, however little memory there is.
const FEWEST: usize = 128;

/// Connections of this worker.
pub type Open = Rc<Cell<usize>>;

struct OpenedConnection(Open);

impl Drop for OpenedConnection {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Accepts until asked to leave.
pub async fn accept(listener: TcpListener, door: ListenerDoor, worker: Rc<Worker>, drain: Drain, open: Open) {
    let name = door.entrance.label();
    let mut acceptor = match Acceptor::new(listener, Arc::clone(&door.streak), Uses::Most) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            return ProcessEvent::AcceptFailed { listener: &name, error: &error.to_string() }.tell();
        }
    };
    let mut last: Option<Rc<Terms>> = None;
    loop {
        let Accepted { connection, news } = tokio::select! {
            biased;
            came = acceptor.next() => came,
            () = drain.requested() => return,
        };
        news.iter().for_each(|news| ProcessEvent::accepting(&name, news).tell());
        let Some((tcp, peer)) = connection else { continue };
        let allowed = Allowed::to(&worker, &door.entrance);
        let party = Party::client(peer.ip());
        let Some(place) = door.place(&worker, &allowed, party) else {
            worker.telemetry.process.connections_refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let _ = tcp.set_nodelay(true); // only a matter of speed
        let terms = match last.take() {
            Some(last) if last.allowed == allowed => last,
            _ => Rc::new(Terms {
                worker: Rc::clone(&worker),
                entrance: Arc::clone(&door.entrance),
                secure: door.tls.is_some(),
                allowed,
                drain: drain.clone(),
            }),
        };
        last = Some(Rc::clone(&terms));
        let client = Client { terms, peer, forwarded: RefCell::default() };
        open.set(open.get() + 1);
        let slot: Releaser = Box::new((place, OpenedConnection(Rc::clone(&open))));
        serve(Rc::new(client), tcp, door.tls.clone(), slot, party);
    }
}

/// Whatever is given back when a connection ends.
type Releaser = Box<dyn std::any::Any>;

/// Starts the task of a connection. One without TLS has no room for a handshake.
fn serve(client: Rc<Client>, tcp: TcpStream, server: Option<tls::Server>, slot: Releaser, party: u32) {
    let worker = Rc::clone(&client.terms.worker);
    let telemetry = Arc::clone(&worker.telemetry);
    let account = worker.accounts.open(&telemetry.memory, party);
    let on_panic = move || telemetry.panicked();
    match server {
        None => {
            let task = serve::connection(client, Io::Tcp(tcp), slot);
            tasks::spawn_connection(Charged::connection(account, &worker.accounts, task), on_panic);
        }
        Some(server) => {
            let task = after_handshake(client, tcp, server, slot);
            tasks::spawn_connection(Charged::connection(account, &worker.accounts, task), on_panic);
        }
    }
}

impl Allowed {
    fn to(worker: &Worker, entrance: &Entrance) -> Self {
        let world = worker.registry.snapshot();
        let config = &world.config;
        let limits = match (entrance, &config.ingress, &config.egress) {
            (Entrance::Ingress, Some(ingress), _) => {
                let (limits, begin_traces) = (Arc::clone(&ingress.limits), ingress.traces == Traces::Begin);
                return Self { limits, trusted_hops: ingress.trusted_hops, begin_traces };
            }
            (Entrance::Egress, _, Some(egress)) => Arc::clone(&egress.limits),
            (Entrance::Ingress | Entrance::Egress | Entrance::Local(_), _, _) => config.local_limits(),
        };
        Self { limits, trusted_hops: 0, begin_traces: false }
    }
}

/// A handshake that fails or stalls is the client's affair; it costs a slot for as long as a head may take.
async fn after_handshake(
    client: Rc<Client>,
    tcp: TcpStream,
    server: tls::Server,
    slot: Box<dyn std::any::Any>,
) {
    let begun = clock::instant();
    if !says_hello(&client, &tcp, begun).await {
        return;
    }
    let left = client.limits().header_read.saturating_sub(clock::instant().saturating_duration_since(begun));
    if let Some((io, h2)) = Box::pin(handshake(&server, tcp, left)).await {
        match h2 {
            true => Box::pin(serve_h2::connection(client, io, slot)).await,
            false => serve::connection(client, io, slot).await,
        }
    }
}

/// Does a client that came at `begun` send anything? Until then there is no session that takes memory.
async fn says_hello(client: &Client, tcp: &TcpStream, begun: Instant) -> bool {
    let (mut timer, mut first) = (Deadline::default(), [0]);
    poll_fn(|cx| match tcp.poll_peek(cx, &mut ReadBuf::new(&mut first)) {
        Poll::Ready(came) => Poll::Ready(came.is_ok_and(|bytes| bytes > 0)),
        Poll::Pending => timer.poll_passed(cx, Some(client.asks_by(begun))).map(|()| false),
    })
    .await
}

/// TLS with a client; boxed by its caller, for it is large and short.
async fn handshake(server: &tls::Server, tcp: TcpStream, limit: Duration) -> Option<(Io, bool)> {
    let stream = within(limit, std::pin::pin!(server.accept(tcp))).await?.ok()?;
    let h2 = tls::accepted_h2(&stream);
    Some((Io::Boxed(Box::new(stream)), h2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_number_is_written_connections_are_as_many_as_fit() {
        assert_eq!(fitting(Some(64 << 20), 65_000), 1_024, "the shipped pod");
        assert_eq!(fitting(Some(8 << 30), 65_000), MOST);
        assert_eq!(fitting(Some(1 << 20), 65_000), FEWEST);
        assert_eq!(fitting(None, 384), 192, "few descriptors");
        assert_eq!(fitting(None, usize::MAX), MOST);
    }
}
