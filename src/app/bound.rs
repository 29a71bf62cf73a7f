//! What is bound: where this process listens, and with which certificates.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::Bound;
use crate::names::UpstreamName;
use crate::net::tls;
use crate::proxy::route::Entrance;

/// Addresses of all listeners; those for one upstream with its name. `operators`: the admin port and the one for probes.
pub(super) fn listening(
    bound: &[Bound],
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
pub(super) fn servers(bound: &[Bound]) -> Vec<(String, tls::Server)> {
    let one = |bound: &Bound| bound.door.tls.clone().map(|server| (bound.name.clone(), server));
    bound.iter().filter_map(one).collect()
}
