//! `strop check --live`: does what a config names answer from here? It connects and shakes hands; no request is sent to anybody, and
//! nothing is written.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Config, Endpoint, Host, UpstreamConfig};
use crate::net::names::{Resolver, Search};
use crate::net::tls::{self, TlsClient};
use crate::reliability::conditions::is_to_be_renewed;
use crate::runtime::clock;
use crate::store;
use crate::upstream::resolve;

/// Addresses of one endpoint that are tried.
const ADDRESSES: usize = 4;
/// Seconds of a day.
const DAY: u64 = 86_400;

/// What came of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LookSign {
    /// As it should be.
    Good,
    /// It works, and somebody should see to it.
    Doubtful,
    /// It does not work.
    Bad,
}

/// One look.
#[derive(Clone, Debug, Serialize)]
pub struct LiveLook {
    /// `upstream`, `certificate` or `store`.
    pub about: &'static str,
    /// The upstream or listener; for the store, "store".
    pub name: String,
    pub sign: LookSign,
    /// What was seen.
    pub says: String,
    /// What to do; empty where nothing is.
    pub hint: String,
}

impl LiveLook {
    fn new(about: &'static str, name: &str, sign: LookSign, says: String) -> Self {
        Self { about, name: name.to_owned(), sign, says, hint: String::new() }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

/// Looks at everything at once; each look ends after `within`.
pub async fn look(config: &Config, within: Duration) -> Vec<LiveLook> {
    let resolver = Arc::new(Resolver::within(within));
    let upstreams = config.upstreams.iter().map(|upstream| {
        let (resolver, behind) = (Arc::clone(&resolver), config.is_behind(&upstream.name));
        async move { of_upstream(upstream, &resolver, behind, within).await }
    });
    let mut all: Vec<LiveLook> =
        futures_util::future::join_all(upstreams).await.into_iter().flatten().collect();
    all.extend(own_certificate(config));
    all.push(of_store(config, within).await);
    all
}

async fn of_upstream(
    upstream: &UpstreamConfig,
    resolver: &Resolver,
    behind: bool,
    within: Duration,
) -> Vec<LiveLook> {
    let client = upstream.tls.as_ref().map(|tls| TlsClient::new(tls, upstream.protocol)).transpose();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            return vec![LiveLook::new("upstream", upstream.name.as_str(), LookSign::Bad, error.to_string())];
        }
    };
    let looks = upstream.all_endpoints().map(|endpoint| {
        let look = EndpointLook { upstream, endpoint, client: client.as_ref(), behind, within };
        async move { look.take(resolver).await }
    });
    futures_util::future::join_all(looks).await.into_iter().flatten().collect()
}

/// One endpoint of an upstream.
#[derive(Clone, Copy)]
struct EndpointLook<'a> {
    upstream: &'a UpstreamConfig,
    endpoint: &'a Endpoint,
    client: Option<&'a TlsClient>,
    behind: bool,
    within: Duration,
}

impl EndpointLook<'_> {
    fn told(&self, sign: LookSign, says: String) -> LiveLook {
        LiveLook::new("upstream", self.upstream.name.as_str(), sign, says)
    }

    async fn take(self, resolver: &Resolver) -> Vec<LiveLook> {
        let mut told = Vec::new();
        let (host, addresses) = match &self.endpoint.host {
            Host::Address(ip) => (ip.to_string(), vec![*ip]),
            Host::Name(name) => {
                let search = if self.upstream.is_complete(name) { Search::Never } else { Search::Domains };
                match timeout(self.within, resolver.lookup(&name.text, search)).await {
                    Ok(Ok(resolved)) => {
                        let n = resolved.addresses.len();
                        let all = if n == 1 { "1 address".to_owned() } else { format!("{n} addresses") };
                        told.push(self.told(LookSign::Good, format!("{} has {all}", name.text)));
                        (name.text.clone(), resolved.addresses)
                    }
                    Ok(Err(error)) => {
                        let hint = "look at /etc/resolv.conf and the name";
                        return vec![self.told(LookSign::Bad, format!("{}: {error}", name.text)).hint(hint)];
                    }
                    Err(_) => {
                        return vec![
                            self.told(
                                LookSign::Bad,
                                format!("{}: nobody says what it is in time", name.text),
                            ),
                        ];
                    }
                }
            }
        };
        let mut refused = Vec::new();
        let passed = resolve::admitted(self.upstream, &addresses, self.behind, |ip, range| {
            let hint = format!("write upstreams.{}.allow_addresses if it is meant", self.upstream.name);
            refused.push(self.told(LookSign::Bad, format!("{ip} is never called: it is {range}")).hint(hint));
        });
        let tried = passed.into_iter().take(ADDRESSES).map(|ip| self.connect(&host, ip));
        let tried = futures_util::future::join_all(tried).await;
        // Of several addresses one is enough.
        let works = tried.iter().any(|looks| looks.iter().all(|look| look.sign != LookSign::Bad));
        let looks = refused.into_iter().chain(tried.into_iter().flatten());
        told.extend(looks.map(|look| match look.sign {
            LookSign::Bad if works => LiveLook { sign: LookSign::Doubtful, ..look },
            LookSign::Good | LookSign::Doubtful | LookSign::Bad => look,
        }));
        told
    }

    async fn connect(&self, host: &str, ip: IpAddr) -> Vec<LiveLook> {
        let address = SocketAddr::new(ip, self.endpoint.port);
        let began = clock::instant();
        let tcp = match timeout(self.within, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => {
                let hint =
                    if self.behind { "is the application running?" } else { "may this machine reach it?" };
                return vec![self.told(LookSign::Bad, format!("{address}: {error}")).hint(hint)];
            }
            Err(_) => {
                let hint = "a firewall or network policy may drop what is sent";
                return vec![
                    self.told(LookSign::Bad, format!("{address}: no connection in {:?}", self.within))
                        .hint(hint),
                ];
            }
        };
        let mut told = vec![self.connected(address, began)];
        let Some(client) = self.client else { return told };
        told.push(match timeout(self.within, client.connect(tcp, host)).await {
            Ok(Ok(stream)) => match tls::peer_validity(&stream) {
                Some(valid) => certificate(
                    self.upstream.name.as_str(),
                    &format!("{host} at {address}"),
                    valid,
                    "its owner has to renew it",
                ),
                None => self.told(
                    LookSign::Doubtful,
                    format!("{address}: until when its certificate is valid is not observable"),
                ),
            },
            Ok(Err(error)) => {
                let hint = format!(
                    "upstreams.{}.tls has ca_file for roots of your own, server_name for another name",
                    self.upstream.name
                );
                self.told(LookSign::Bad, format!("{address}: the TLS handshake for {host} fails: {error}"))
                    .hint(hint)
            }
            Err(_) => self.told(LookSign::Bad, format!("{address}: no TLS handshake in {:?}", self.within)),
        });
        told
    }

    /// It took a connection; longer than half of what it may take is little room.
    fn connected(&self, address: SocketAddr, began: Instant) -> LiveLook {
        let took = clock::instant().saturating_duration_since(began);
        let says = format!("{address} takes a connection after {} ms", took.as_millis());
        match self.upstream.timeouts.connect.filter(|most| took > *most) {
            Some(most) => {
                let hint = format!("upstreams.{}.timeouts.connect is {most:?}", self.upstream.name);
                self.told(LookSign::Doubtful, says).hint(hint)
            }
            None => self.told(LookSign::Good, says),
        }
    }
}

/// A certificate that is valid `from` and `until`.
fn certificate(name: &str, of: &str, (from, until): (SystemTime, SystemTime), hint: &str) -> LiveLook {
    let now = clock::now().wall;
    let left = until.duration_since(now).unwrap_or_default();
    let life = until.duration_since(from).unwrap_or_default();
    let days = left.as_secs() / DAY;
    let look = |sign, says| LiveLook::new("certificate", name, sign, says);
    if left.is_zero() {
        look(LookSign::Bad, format!("the certificate of {of} has run out")).hint(hint)
    } else if is_to_be_renewed(left, life) {
        look(LookSign::Doubtful, format!("the certificate of {of} runs out in {days} days")).hint(hint)
    } else {
        look(LookSign::Good, format!("the certificate of {of} is verified and valid for {days} days"))
    }
}

/// The one that the ingress shows.
fn own_certificate(config: &Config) -> Option<LiveLook> {
    let files = config.ingress.as_ref()?.tls.as_ref()?;
    // That it can be read was tried with the config.
    let valid = tls::Server::load(files).ok()?.validity()?;
    let look = certificate("ingress", "ingress.tls", valid, "its files are read again when they change");
    Some(LiveLook { says: look.says.replace("verified and ", ""), ..look })
}

async fn of_store(config: &Config, within: Duration) -> LiveLook {
    let told = |sign, says| LiveLook::new("store", "store", sign, says);
    let Some(store) = &config.store else {
        return told(LookSign::Good, "store.url is \"off\": nothing is kept on disk".to_owned());
    };
    match timeout(within, store::reach(store)).await {
        Ok(Ok(says)) => told(LookSign::Good, says),
        Ok(Err(error)) => told(LookSign::Bad, error.to_string()).hint("look at [store]"),
        Err(_) => told(LookSign::Bad, format!("it does not answer in {within:?}")).hint("look at [store]"),
    }
}
