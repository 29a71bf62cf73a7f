//! Accepts client connections on one worker and gives each a task.

use std::cell::{Cell, RefCell};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;

use super::gateway::Gateway;
use super::route::Entrance;
use super::serve::{self, Client};
use crate::config::{Limits, Traces};
use crate::message::io::Io;
use crate::net::acceptor::{Acceptor, Came, Streak, Uses};
use crate::net::listener::{ConnectionCount, Counted};
use crate::net::tls;
use crate::runtime::drain::Drain;
use crate::runtime::tasks;
use crate::runtime::timer::within;
use crate::telemetry::event::ProcessEvent;

/// A listener as all workers share it.
#[derive(Clone)]
pub struct Door {
    /// The way in.
    pub entrance: Arc<Entrance>,
    /// Ends TLS here.
    pub tls: Option<tls::Server>,
    /// Connections over all workers.
    pub count: ConnectionCount,
    /// When it cannot take any.
    pub streak: Arc<Streak>,
}

/// Connections of this worker.
pub type Open = Rc<Cell<usize>>;

struct Opened(Open);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Accepts until asked to leave.
pub async fn accept(listener: TcpListener, door: Door, gateway: Rc<Gateway>, drain: Drain, open: Open) {
    let name = door.entrance.label();
    let mut acceptor = match Acceptor::new(listener, Arc::clone(&door.streak), Uses::Most) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            return ProcessEvent::AcceptFailed { listener: &name, error: &error.to_string() }.tell();
        }
    };
    loop {
        let Came { connection, news } = tokio::select! {
            biased;
            came = acceptor.next() => came,
            () = drain.requested() => return,
        };
        news.iter().for_each(|news| ProcessEvent::accepting(&name, news).tell());
        let Some((tcp, peer)) = connection else { continue };
        let allowed = Allowed::to(&gateway, &door.entrance);
        let Some(counted) = door.count.admit(allowed.limits.connections) else {
            gateway.telemetry.process.connections_refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let _ = tcp.set_nodelay(true); // only a matter of speed
        let client = Client {
            gateway: Rc::clone(&gateway),
            entrance: Arc::clone(&door.entrance),
            peer,
            secure: door.tls.is_some(),
            limits: allowed.limits,
            trusted_hops: allowed.trusted_hops,
            begin_traces: allowed.begin_traces,
            drain: drain.clone(),
            introduced: RefCell::default(),
        };
        open.set(open.get() + 1);
        let opened = Opened(Rc::clone(&open));
        let telemetry = Arc::clone(&gateway.telemetry);
        let task = serve_one(client, tcp, door.tls.clone(), (counted, opened));
        tasks::spawn_connection(task, move || telemetry.panicked());
    }
}

/// What holds for a new connection, as the config in force says.
struct Allowed {
    limits: Arc<Limits>,
    trusted_hops: u8,
    begin_traces: bool,
}

impl Allowed {
    fn to(gateway: &Gateway, entrance: &Entrance) -> Self {
        let world = gateway.registry.snapshot();
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

async fn serve_one(client: Client, tcp: TcpStream, server: Option<tls::Server>, slot: (Counted, Opened)) {
    let slot: Box<dyn std::any::Any> = Box::new(slot);
    let (io, h2) = match server {
        None => (Io::Tcp(tcp), false),
        // A handshake that fails or stalls is the client's affair; it costs a slot for as long as a head may take.
        Some(server) => match Box::pin(handshake(&server, tcp, client.limits.header_read)).await {
            Some(shaken) => shaken,
            None => return,
        },
    };
    serve::connection(client, io, h2, slot).await;
}

/// TLS with a client; boxed by its caller, for it is large and short.
async fn handshake(server: &tls::Server, tcp: TcpStream, limit: Duration) -> Option<(Io, bool)> {
    let stream = within(limit, std::pin::pin!(server.accept(tcp))).await?.ok()?;
    let h2 = tls::accepted_h2(&stream);
    Some((Io::Boxed(Box::new(stream)), h2))
}
