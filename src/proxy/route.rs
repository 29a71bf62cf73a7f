//! Which upstream is this request for?

use std::sync::Arc;

use super::error::ProxyError;
use crate::config::Unlisted;
use crate::message::head::RequestHead;
use crate::names::UpstreamName;
use crate::upstream::RouteEntry;
use crate::upstream::registry::{Found, Registry, World};

/// The way a request came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// In front of the backend.
    Ingress,
    /// The forward proxy.
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

/// The route of a request.
pub async fn pick(
    registry: &Registry,
    world: &World,
    entrance: &Entrance,
    head: &RequestHead,
) -> Result<Arc<RouteEntry>, ProxyError> {
    match entrance {
        Entrance::Ingress => by_prefix(world, head),
        Entrance::Local(name) => world.local(name).ok_or_else(|| no_route(head)),
        Entrance::Egress => {
            let secure = head.store.text(head.scheme).eq_ignore_ascii_case("https");
            let port = head.port().unwrap_or(if secure { 443 } else { 80 });
            by_host(registry, world, head.host(), port).await
        }
    }
}

fn no_route(head: &RequestHead) -> ProxyError {
    ProxyError::NoRoute { host: head.host().to_owned(), path: head.path().to_owned() }
}

/// The longest prefix that matches; the list is in that order.
fn by_prefix(world: &World, head: &RequestHead) -> Result<Arc<RouteEntry>, ProxyError> {
    let path = head.path();
    let host = head.host();
    let fits = |entry: &&Arc<RouteEntry>| {
        let hosted = entry.config.host.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(host));
        hosted && is_below(path, &entry.config.prefix)
    };
    world.routes.iter().find(fits).map(Arc::clone).ok_or_else(|| no_route(head))
}

/// Is `path` the prefix itself or below it, segment by segment?
fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || prefix.is_empty()
}

/// The upstream that lists `host`, or what the policy for unlisted hosts says.
pub async fn by_host(
    registry: &Registry,
    world: &World,
    host: &str,
    port: u16,
) -> Result<Arc<RouteEntry>, ProxyError> {
    if let Some(entry) = world.by_host(host) {
        return Ok(entry);
    }
    let policy = world.config.egress.as_ref().map_or(Unlisted::Deny, |egress| egress.unlisted);
    match policy {
        Unlisted::Deny => Err(ProxyError::Unlisted { host: host.to_owned() }),
        Unlisted::Allow | Unlisted::Report => match registry.unlisted(host, port, policy).await {
            Found::Entry(entry) => Ok(entry),
            Found::Forbidden(range) => Err(ProxyError::Forbidden { host: host.to_owned(), range }),
            Found::NoAddress => Err(ProxyError::NoRoute { host: host.to_owned(), path: String::new() }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn a_prefix_ends_at_a_segment() {
        assert!(is_below("/pay", "/pay"));
        assert!(is_below("/pay/1", "/pay"));
        assert!(is_below("/pay/1", "/pay/"));
        assert!(is_below("/", "/"));
        assert!(is_below("/anything", "/"));
        assert!(is_below("*", "/"));
        assert!(!is_below("/payments", "/pay"));
    }
}
