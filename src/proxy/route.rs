//! Which upstream is this request for?

use std::sync::Arc;

use super::error::ProxyError;
use crate::config::{Ambiguous, Unlisted, UpstreamConfig};
use crate::message::h1::Malformed;
use crate::message::head::RequestHead;
use crate::message::path::is_ambiguous;
use crate::names::UpstreamName;
use crate::telemetry::event::Event;
use crate::upstream::RouteEntry;
use crate::upstream::registry::{HostLookup, Registry, World};

/// The way a request came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// In front of the backend.
    Ingress,
    /// The forward proxy, for requests that go out.
    Egress,
    /// The local base-URL listener of an upstream.
    Local(UpstreamName),
}

impl Entrance {
    /// For metrics and logs.
    pub fn label(&self) -> String {
        match self {
            Self::Ingress => "ingress".to_owned(),
            Self::Egress => "egress".to_owned(),
            Self::Local(name) => format!("local:{name}"),
        }
    }
}

/// What is known of a request's way without asking anybody.
pub enum RouteMatch {
    /// Its route.
    Entry(Arc<RouteEntry>),
    /// No upstream lists its host, and this policy lets it pass: it is looked up.
    Unlisted(Unlisted),
}

/// The route of a request.
pub async fn pick(
    registry: &Registry,
    world: &World,
    entrance: &Entrance,
    head: &RequestHead,
) -> Result<Arc<RouteEntry>, ProxyError> {
    match known(world, entrance, head)? {
        RouteMatch::Entry(entry) => Ok(entry),
        RouteMatch::Unlisted(policy) => looked_up(registry, world, &forward_target(head)?, policy).await,
    }
}

/// The route of a request, as far as that needs no look-up.
pub fn known(world: &World, entrance: &Entrance, head: &RequestHead) -> Result<RouteMatch, ProxyError> {
    match entrance {
        Entrance::Ingress => {
            let refuses = world.config.ingress.as_ref().is_some_and(|it| it.ambiguous == Ambiguous::Refuse);
            if refuses && is_ambiguous(head.path_bytes()) {
                return Err(ProxyError::Malformed(Malformed::Target));
            }
            let found = world.by_request(head.host(), head.method, head.path_bytes());
            found.map(RouteMatch::Entry).ok_or_else(|| no_route(head))
        }
        Entrance::Local(name) => world.local(name).map(RouteMatch::Entry).ok_or_else(|| no_route(head)),
        Entrance::Egress => listed(world, &forward_target(head)?),
    }
}

/// What the head of a request asks the forward proxy for.
fn forward_target(head: &RequestHead) -> Result<ForwardTarget<'_>, ProxyError> {
    let scheme = head.store.text(head.scheme);
    let secure = scheme.eq_ignore_ascii_case("https");
    // Which HTTP/2 can say; in HTTP/1.1 it is no target, either.
    if !(secure || scheme.is_empty() || scheme.eq_ignore_ascii_case("http")) {
        return Err(ProxyError::Malformed(Malformed::Target));
    }
    let (form, port) = if secure { (ForwardForm::Https, 443) } else { (ForwardForm::Http, 80) };
    Ok(ForwardTarget { host: head.host(), port: head.port().unwrap_or(port), form })
}

fn no_route(head: &RequestHead) -> ProxyError {
    ProxyError::NoRoute {
        host: head.host().to_owned(),
        path: String::from_utf8_lossy(head.path_bytes()).into_owned(),
    }
}

/// How the forward proxy was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardForm {
    /// `GET http://…`: the request is forwarded as plain HTTP.
    Http,
    /// `GET https://…`: the request is sent on over TLS.
    Https,
    /// `CONNECT …`: what is spoken inside is not seen.
    Tunnel,
}

/// What the forward proxy was asked for.
#[derive(Clone, Copy, Debug)]
pub struct ForwardTarget<'a> {
    /// Without brackets and port.
    pub host: &'a str,
    /// The one that was written, else the scheme's.
    pub port: u16,
    pub form: ForwardForm,
}

/// The upstream that lists the host, or what the policy for unlisted hosts says.
pub async fn by_host(
    registry: &Registry,
    world: &World,
    asked: &ForwardTarget<'_>,
) -> Result<Arc<RouteEntry>, ProxyError> {
    match listed(world, asked)? {
        RouteMatch::Entry(entry) => Ok(entry),
        RouteMatch::Unlisted(policy) => looked_up(registry, world, asked, policy).await,
    }
}

/// The upstream that lists the host, or the policy by which it passes all the same.
pub fn listed(world: &World, asked: &ForwardTarget<'_>) -> Result<RouteMatch, ProxyError> {
    if let Some(entry) = world.by_host(asked.host) {
        return fits(world, &entry.upstream.config, asked).map(|()| RouteMatch::Entry(entry));
    }
    let host = || asked.host.to_owned();
    let policy = world.config.egress.as_ref().map_or(Unlisted::Deny, |egress| egress.unlisted);
    if policy == Unlisted::Deny {
        return Err(ProxyError::Unlisted { host: host() });
    }
    if asked.form == ForwardForm::Https {
        return Err(ProxyError::NoTls { host: host() });
    }
    if !is_port_listed(world, asked) && policy == Unlisted::Allow {
        return Err(ProxyError::PortNotListed { host: host(), port: asked.port });
    }
    Ok(RouteMatch::Unlisted(policy))
}

/// May a tunnel lead to this port of a host that no upstream lists?
fn is_port_listed(world: &World, asked: &ForwardTarget<'_>) -> bool {
    let ports = world.config.egress.as_ref().map_or(&[][..], |egress| &egress.ports);
    asked.form != ForwardForm::Tunnel || ports.contains(&asked.port)
}

/// A host that no upstream lists, and that passes.
async fn looked_up(
    registry: &Registry,
    world: &World,
    asked: &ForwardTarget<'_>,
    policy: Unlisted,
) -> Result<Arc<RouteEntry>, ProxyError> {
    let host = || asked.host.to_owned();
    if !is_port_listed(world, asked) {
        let port = asked.port;
        Event::UnlistedHost { host: &format!("{}:{port}", asked.host), policy: "report" }.tell();
    }
    // Boxed: it is large, and rare.
    match Box::pin(registry.unlisted(asked.host, asked.port, policy)).await {
        HostLookup::Entry(entry) => Ok(entry),
        HostLookup::Forbidden(range) => Err(ProxyError::Forbidden { host: host(), range }),
        HostLookup::NoAddress => Err(ProxyError::Unresolved { host: host() }),
    }
}

/// A listed host leads to its upstream's endpoints, whatever port was written: so only a port that means the same is
/// taken, and nothing that was asked for in the clear goes where TLS is spoken (or the other way round) unawares.
fn fits(world: &World, upstream: &UpstreamConfig, asked: &ForwardTarget<'_>) -> Result<(), ProxyError> {
    let host = || asked.host.to_owned();
    let usual = match asked.form {
        ForwardForm::Http => asked.port == 80,
        ForwardForm::Https => asked.port == 443,
        ForwardForm::Tunnel => matches!(asked.port, 80 | 443),
    };
    // Of either group: what a client writes does not change with who is called.
    let written = || world.upstreams.get(&upstream.name).map_or(upstream, |first| &first.config);
    if !usual && !written().all_endpoints().any(|endpoint| endpoint.port == asked.port) {
        return Err(ProxyError::PortNotListed { host: host(), port: asked.port });
    }
    match (asked.form, upstream.tls.is_some()) {
        (ForwardForm::Http, true) if !upstream.upgrade_tls => Err(ProxyError::PlainRefused { host: host() }),
        (ForwardForm::Https, false) => Err(ProxyError::NoTls { host: host() }),
        (ForwardForm::Http | ForwardForm::Https | ForwardForm::Tunnel, _) => Ok(()),
    }
}
