//! What would become of a request, and why: the same matching, the same judge and the same rules of repeating as for
//! one that comes, asked about one that does not. Nothing is sent and nobody is asked.

use serde::Serialize;

use super::error::ProxyError;
use super::explained::{self, Fact};
use super::route::{self, Entrance, ForwardForm, ForwardTarget, RouteMatch};
use crate::config::Config;
use crate::message::h1::parse::{self, HeadLimits, Parsed};
use crate::message::head::RequestHead;
use crate::names::UpstreamName;
use crate::upstream::registry::World;

/// A request that somebody asks about.
#[derive(Clone, Debug)]
pub struct AskedRequest {
    pub method: String,
    /// `http://host/path`, `https://host/path`, or `/path` alone.
    pub url: String,
    /// Field lines such as `Idempotency-Key: k`.
    pub fields: Vec<String>,
    /// Where it comes in; `None`: where its address leads.
    pub by: Option<String>,
}

/// What would become of it.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedRequest {
    pub method: String,
    pub url: String,
    /// `ingress`, `egress`, `tunnel` (CONNECT to the egress) or `local:<upstream>`.
    pub entrance: String,
    /// Why it comes in there.
    pub because: String,
    /// The route as metrics name it; null: there is none.
    pub route: Option<String>,
    /// Who would answer; null: nobody.
    pub upstream: Option<String>,
    /// The refusal by which it would end; null: it goes on to its upstream.
    pub refused: Option<ExplainedRefusal>,
    /// What it would meet, in the order in which it does.
    pub facts: Vec<Fact>,
}

/// A refusal before any upstream is asked.
#[derive(Clone, Debug, Serialize)]
pub struct ExplainedRefusal {
    /// Of the answer.
    pub status: u16,
    /// `X-Strop-Reason`.
    pub reason: &'static str,
    /// What is the matter.
    pub says: String,
}

/// The parts of a URL.
struct AskedUrl<'a> {
    secure: bool,
    /// Host and port as written; empty: only a path was given.
    authority: &'a str,
    /// Path and query.
    path: &'a str,
}

impl<'a> AskedUrl<'a> {
    fn of(url: &'a str) -> Result<Self, String> {
        let write = "write http://HOST[:PORT]/PATH, https://…, or /PATH alone";
        if url.starts_with('/') {
            return Ok(Self { secure: false, authority: "", path: url });
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url:?} is no URL; {write}"))?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            other => return Err(format!("{other:?} is no scheme that is proxied; {write}")),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.is_empty() || authority.contains('@') {
            return Err(format!("{url:?} names no host, or a user; {write}"));
        }
        Ok(Self { secure, authority, path: if path.is_empty() { "/" } else { path } })
    }

    /// Host without brackets, and the port that is written.
    fn host(&self) -> (&'a str, Option<u16>) {
        let bracketed = self.authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match self.authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (self.authority, None),
            },
        };
        (host, port.and_then(|port| port.parse().ok()))
    }

    /// Does it lead to a listener at that address?
    fn leads_to(&self, listen: std::net::SocketAddr) -> bool {
        let (host, port) = self.host();
        let usual = if self.secure { 443 } else { 80 };
        let same = match host.parse::<std::net::IpAddr>() {
            Ok(ip) => ip == listen.ip() || listen.ip().is_unspecified(),
            Err(_) => {
                host.eq_ignore_ascii_case("localhost")
                    && (listen.ip().is_loopback() || listen.ip().is_unspecified())
            }
        };
        same && port.unwrap_or(usual) == listen.port()
    }
}

/// Where a request comes in, and why.
struct Way {
    entrance: Entrance,
    tunnel: bool,
    because: String,
}

impl Way {
    fn of(entrance: Entrance, because: String) -> Self {
        Self { entrance, tunnel: false, because }
    }

    fn egress(url: &AskedUrl<'_>, why: &str) -> Self {
        let because = match url.secure {
            true => format!("{why}; clients ask a forward proxy for https by CONNECT"),
            false => why.to_owned(),
        };
        Self { entrance: Entrance::Egress, tunnel: url.secure, because }
    }

    fn label(&self) -> String {
        if self.tunnel { "tunnel".to_owned() } else { self.entrance.label() }
    }
}

fn way(config: &Config, world: &World, url: &AskedUrl<'_>, by: Option<&str>) -> Result<Way, String> {
    if let Some(by) = by {
        return named(world, by);
    }
    if url.authority.is_empty() {
        return Ok(Way::of(Entrance::Ingress, "a path alone is asked of the ingress".to_owned()));
    }
    let local = config.upstreams.iter().find(|one| one.local.is_some_and(|local| url.leads_to(local)));
    if let Some(upstream) = local {
        let because = format!("upstreams.{}.local listens there", upstream.name);
        return Ok(Way::of(Entrance::Local(upstream.name.clone()), because));
    }
    if let Some(ingress) = config.ingress.as_ref().filter(|ingress| url.leads_to(ingress.listen)) {
        return Ok(Way::of(Entrance::Ingress, format!("ingress.listen is {}", ingress.listen)));
    }
    let (host, _) = url.host();
    let own = config
        .routes
        .iter()
        .find(|route| route.host.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(host)));
    match (own, world.by_host(host), &config.egress) {
        (Some(route), None, _) => {
            Ok(Way::of(Entrance::Ingress, format!("route {} is for this host", route.name)))
        }
        (_, Some(entry), Some(_)) => Ok(Way::egress(
            url,
            &format!(
                "{} lists the host, and the application asks for it by HTTP_PROXY",
                entry.upstream.config.name
            ),
        )),
        (_, _, Some(_)) => {
            Ok(Way::egress(url, "the host is outside, and the application asks for it by HTTP_PROXY"))
        }
        (_, _, None) => {
            Ok(Way::of(Entrance::Ingress, "there is no egress, so it is asked of the ingress".to_owned()))
        }
    }
}

fn named(world: &World, by: &str) -> Result<Way, String> {
    let because = "it was asked so".to_owned();
    Ok(match by {
        "ingress" => Way::of(Entrance::Ingress, because),
        "egress" => Way { entrance: Entrance::Egress, tunnel: false, because },
        "tunnel" => Way { entrance: Entrance::Egress, tunnel: true, because },
        name => {
            let name = name.strip_prefix("local:").unwrap_or(name);
            let known = UpstreamName::new(name).ok().filter(|name| {
                world.upstreams.get(name).is_some_and(|upstream| upstream.config.local.is_some())
            });
            let write = "write ingress, egress, tunnel, or the name of an upstream with a local listener";
            let name = known.ok_or_else(|| format!("{by:?} is no way in; {write}"))?;
            Way::of(Entrance::Local(name), because)
        }
    })
}

fn head(asked: &AskedRequest, url: &AskedUrl<'_>, way: &Way) -> Result<RequestHead, String> {
    let authority = if url.authority.is_empty() { "localhost" } else { url.authority };
    let scheme = if url.secure { "https" } else { "http" };
    let target = match way.entrance {
        Entrance::Egress => format!("{scheme}://{authority}{}", url.path),
        Entrance::Ingress | Entrance::Local(_) => url.path.to_owned(),
    };
    let mut text = format!("{} {target} HTTP/1.1\r\nHost: {authority}\r\n", asked.method);
    for field in &asked.fields {
        text.push_str(&format!("{field}\r\n"));
    }
    text.push_str("\r\n");
    match parse::request(text.as_bytes(), HeadLimits { bytes: text.len(), fields: parse::MOST_FIELDS }) {
        Ok(Parsed::Whole(head, length)) if length == text.len() => Ok(head),
        Ok(Parsed::Whole(..) | Parsed::Partial) => Err("that is no head of one request".to_owned()),
        Err(malformed) => Err(format!("that is no request: {malformed}")),
    }
}

/// What would become of a request in this world. An error: it is no request, or no way in.
pub fn explain(config: &Config, world: &World, asked: &AskedRequest) -> Result<ExplainedRequest, String> {
    let url = AskedUrl::of(&asked.url)?;
    let way = way(config, world, &url, asked.by.as_deref())?;
    let head = head(asked, &url, &way)?;
    let found = if way.tunnel {
        let (host, port) = url.host();
        let port = port.unwrap_or(if url.secure { 443 } else { 80 });
        route::listed(world, &ForwardTarget { host, port, form: ForwardForm::Tunnel })
    } else {
        route::known(world, &way.entrance, &head)
    };
    let mut told = ExplainedRequest {
        method: asked.method.clone(),
        url: asked.url.clone(),
        entrance: way.label(),
        because: way.because.clone(),
        route: None,
        upstream: None,
        refused: None,
        facts: Vec::new(),
    };
    match found {
        Ok(RouteMatch::Entry(entry)) => {
            told.route = Some(entry.name().to_string());
            told.upstream = Some(entry.upstream.config.name.to_string());
            told.facts = match way.tunnel {
                true => explained::tunnel(&entry),
                false => explained::facts(config, &entry, &head, &way.entrance),
            };
        }
        Ok(RouteMatch::Unlisted(policy)) => {
            told.upstream = Some("unlisted".to_owned());
            told.facts = explained::unlisted(policy);
        }
        Err(error) => told.refused = Some(refusal(&error)),
    }
    Ok(told)
}

fn refusal(error: &ProxyError) -> ExplainedRefusal {
    let facts = error.facts();
    ExplainedRefusal { status: facts.status, reason: facts.label, says: error.to_string() }
}
