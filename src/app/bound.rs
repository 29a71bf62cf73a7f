//! What is bound: where this process listens, and with which certificates.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context as _;

use crate::config::Config;
use crate::names::UpstreamName;
use crate::net::listener::{self, ConnectionCount};
use crate::net::tls;
use crate::proxy::accept::ListenerDoor;
use crate::proxy::route::Entrance;
use crate::runtime::clock;
use crate::telemetry::Telemetry;
use crate::upstream::shares::Shares;

/// One listener: its name, how it is served, its sockets (one per worker).
pub(super) struct BoundListener {
    pub(super) name: String,
    pub(super) door: ListenerDoor,
    pub(super) sockets: Vec<TcpListener>,
}

/// Binds all listeners of the traffic.
pub(super) fn bind_all(config: &Config, telemetry: &Telemetry) -> anyhow::Result<Vec<BoundListener>> {
    let workers = config.process.workers;
    let socket = telemetry.memory.socket();
    let mut all = Vec::new();
    let mut bind = |entrance: Entrance, address: SocketAddr, server: Option<tls::Server>| {
        let name = entrance.label();
        let sockets = listener::bind(address, workers, socket).with_context(|| format!("listener {name}"))?;
        let shares = Shares::new(workers, clock::instant());
        let count = ConnectionCount::default();
        let door =
            ListenerDoor { entrance: Arc::new(entrance), tls: server, count, shares, streak: Arc::default() };
        all.push(BoundListener { name, door, sockets });
        anyhow::Ok(())
    };
    if let Some(ingress) = &config.ingress {
        let server = ingress.tls.as_ref().map(tls::Server::load).transpose().context("ingress.tls")?;
        bind(Entrance::Ingress, ingress.listen, server)?;
    }
    if let Some(egress) = &config.egress {
        bind(Entrance::Egress, egress.listen, None)?;
    }
    for upstream in &config.upstreams {
        if let Some(local) = upstream.local {
            bind(Entrance::Local(upstream.name.clone()), local, None)?;
        }
    }
    Ok(all)
}

/// A listener of the admin port, and its address.
pub(super) fn bind_one(at: SocketAddr, key: &'static str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let bound = listener::bind(at, 1, None).context(key)?.pop().context(key)?;
    let address = bound.local_addr()?;
    Ok((bound, address))
}

/// Addresses of all listeners; those for one upstream with its name. `operators`: the admin port and the one for probes.
pub(super) fn listening(
    bound: &[BoundListener],
    operators: [Option<SocketAddr>; 2],
) -> anyhow::Result<Vec<(SocketAddr, Option<UpstreamName>)>> {
    let mut all: Vec<_> = operators.into_iter().flatten().map(|address| (address, None)).collect();
    for bound in bound {
        let of = match &*bound.door.entrance {
            Entrance::Local(name) => Some(name.clone()),
            Entrance::Ingress | Entrance::Egress => None,
        };
        all.push((bound.sockets.first().context("no socket")?.local_addr()?, of));
    }
    Ok(all)
}

/// Names of the listeners that speak TLS, with what they speak it by.
pub(super) fn servers(bound: &[BoundListener]) -> Vec<(String, tls::Server)> {
    let one = |bound: &BoundListener| bound.door.tls.clone().map(|server| (bound.name.clone(), server));
    bound.iter().filter_map(one).collect()
}
