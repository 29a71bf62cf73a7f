//! From names to addresses: the only door to DNS, for the data path and for the notifiers.
//!
//! Names are looked up as the C library would (`conf`): `localhost` is this machine, then the hosts file, then the
//! servers of resolv.conf, with its search domains where the caller allows them. Both files are read again when they
//! change. The addresses come in the order of RFC 6724, without those that no route leads to (`order`). Nothing is
//! remembered: callers know what an old answer is worth to them.

mod conf;
mod order;

use std::future::Future;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};

use crate::runtime::{clock, files, tasks};
pub use conf::Search;
use conf::{Candidate, Conf, ResolverEnv};

/// What files say is believed for so long; callers have bounds of their own.
const FILES: Duration = Duration::from_secs(10);
/// What never changes is believed for so long.
const FOREVER: Duration = Duration::from_secs(3_600);
/// Once one family has answered, the other one is waited for so long: some servers never answer for IPv6.
const GRACE: Duration = Duration::from_secs(1);

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// At least one, the best first: RFC 6724. What no route leads to is left out.
    pub addresses: Vec<IpAddr>,
    /// How long they may be believed.
    pub ttl: Duration,
    /// Nobody could say whether it has addresses of this family.
    pub untold: Option<AddressFamily>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// Addresses of A records.
    V4,
    /// Addresses of AAAA records.
    V6,
}

impl AddressFamily {
    /// Whose address it is.
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Why a name leads nowhere. The texts are for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// A server says that it does not exist, or that it has no address.
    #[error("{0}")]
    Absent(String),
    /// No server could say.
    #[error("{0}")]
    Untold(String),
}

/// Looks names up as the C library does: hosts file, search domains, servers of resolv.conf.
pub struct Resolver {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    beside: ResolverEnv,
    port: u16,
    /// Longest wait for one server, whatever resolv.conf says.
    most: Option<Duration>,
    current: Mutex<Option<Arc<ResolverState>>>,
    turn: AtomicUsize,
}

struct ResolverState {
    /// What resolv.conf held when it was last read.
    text: Vec<u8>,
    conf: Conf,
    /// One for each server.
    clients: Vec<TokioResolver>,
}

/// What came of asking for one type of one name.
type LookupResult = Result<(Vec<IpAddr>, Duration), LookupFailure>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum LookupFailure {
    Absent(String),
    /// SERVFAIL: the next search domain may do better.
    Server(String),
    /// No answer, or a refusal: the search ends.
    Broken(String),
}

impl Resolver {
    /// By the system's files.
    pub fn system() -> Self {
        let machine = rustix::system::uname();
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
            beside: ResolverEnv {
                domains: std::env::var("LOCALDOMAIN").ok(),
                options: std::env::var("RES_OPTIONS").ok(),
                machine: machine.nodename().to_string_lossy().into_owned(),
            },
            port: 53,
            most: None,
            current: Mutex::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// By the system's files, for somebody who has `patience` and no more: every server has its turn within it.
    pub fn within(patience: Duration) -> Self {
        Self { most: Some(patience), ..Self::system() }
    }

    /// Looks up IPv4 and IPv6 addresses.
    pub async fn lookup(&self, name: &str, search: Search) -> Result<Resolved, Unresolved> {
        if let Some(addresses) = localhost(name) {
            return Ok(Resolved { addresses, ttl: FOREVER, untold: None });
        }
        let written = text(&self.hosts).await.unwrap_or_default();
        let listed = conf::of_hosts(&String::from_utf8_lossy(&written), name);
        if !listed.is_empty() {
            let addresses = order::usable(&listed, order::source);
            return Ok(Resolved { addresses, ttl: FILES, untold: None });
        }
        let current = self.current().await;
        let mut resolved = self.searched(&current, name, search).await?;
        resolved.addresses = order::usable(&resolved.addresses, order::source);
        Ok(resolved)
    }

    /// Goes through the candidates.
    async fn searched(
        &self,
        current: &ResolverState,
        name: &str,
        search: Search,
    ) -> Result<Resolved, Unresolved> {
        let (mut absent, mut untold) = (Vec::new(), Vec::new());
        let mut search_is_over = false;
        for candidate in current.conf.candidates(name, search) {
            if candidate.searched && search_is_over {
                continue;
            }
            match self.both(current, &candidate).await {
                Ok(resolved) => return Ok(resolved),
                Err(LookupFailure::Absent(why)) => absent.push(format!("{}: {why}", candidate.name)),
                Err(LookupFailure::Server(why)) => untold.push(format!("{}: {why}", candidate.name)),
                Err(LookupFailure::Broken(why)) => {
                    untold.push(format!("{}: {why}", candidate.name));
                    search_is_over = true;
                }
            }
        }
        // One that nobody could answer for may be the one that was meant.
        if untold.is_empty() {
            Err(Unresolved::Absent(absent.join(", ")))
        } else {
            Err(Unresolved::Untold(untold.join(", ")))
        }
    }

    /// Asks for both families.
    async fn both(&self, current: &ResolverState, candidate: &Candidate) -> Result<Resolved, LookupFailure> {
        let Ok(name) = Name::from_ascii(format!("{}.", candidate.name)) else {
            return Err(LookupFailure::Absent("is no name".to_owned()));
        };
        let start = if current.conf.rotate { self.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let v4 = Box::pin(self.ask(current, &name, RecordType::A, start));
        let v6 = Box::pin(self.ask(current, &name, RecordType::AAAA, start));
        let (v4, v6) = match (current.conf.no_aaaa, current.conf.one_at_a_time) {
            (true, _) => (v4.await, Err(no_address())),
            (false, true) => (v4.await, v6.await),
            (false, false) => in_grace(v4, v6).await,
        };
        match (v4, v6) {
            (Ok((mut found, ttl)), Ok((more, other))) => {
                found.extend(more);
                Ok(Resolved { addresses: found, ttl: ttl.min(other), untold: None })
            }
            (Ok((addresses, ttl)), Err(failure)) => {
                Ok(Resolved { addresses, ttl, untold: untold(&failure, AddressFamily::V6) })
            }
            (Err(failure), Ok((addresses, ttl))) => {
                Ok(Resolved { addresses, ttl, untold: untold(&failure, AddressFamily::V4) })
            }
            (Err(LookupFailure::Absent(_)), Err(failure)) | (Err(failure), Err(_)) => Err(failure),
        }
    }

    /// Asks the servers one after the other, as often as resolv.conf says, until one knows.
    async fn ask(&self, current: &ResolverState, name: &Name, of: RecordType, start: usize) -> LookupResult {
        let servers = current.clients.len();
        let wait = self.wait(&current.conf);
        let mut last = LookupFailure::Broken("there is no server to ask".to_owned());
        for turn in 0..servers * current.conf.attempts {
            let at = (start + turn) % servers;
            let (Some(client), Some(server)) = (current.clients.get(at), current.conf.servers.get(at)) else {
                continue;
            };
            let asked = Box::pin(client.lookup(name.clone(), of));
            let failure = match tokio::time::timeout(wait, asked).await {
                Ok(Ok(lookup)) => {
                    let ttl = lookup.valid_until().saturating_duration_since(clock::instant());
                    let found: Vec<_> = lookup.answers().iter().filter_map(|r| r.data.ip_addr()).collect();
                    if found.is_empty() { no_address() } else { return Ok((found, ttl)) }
                }
                Ok(Err(error)) => failure(&error, *server),
                Err(_) => LookupFailure::Broken(format!("no answer from {server} within {wait:?}")),
            };
            if matches!(failure, LookupFailure::Absent(_)) {
                return Err(failure);
            }
            last = failure;
        }
        Err(last)
    }

    fn wait(&self, conf: &Conf) -> Duration {
        let servers = u32::try_from(conf.servers.len().max(1)).unwrap_or(1);
        // A little less than its share, so that the last one's answer is in time.
        self.most.map_or(conf.timeout, |most| conf.timeout.min(most * 9 / 10 / servers))
    }

    /// What resolv.conf says now.
    async fn current(&self) -> Arc<ResolverState> {
        let text = text(&self.resolv_conf).await;
        let known = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| text.as_ref().is_none_or(|text| *text == known.text)) {
            return known;
        }
        let text = text.unwrap_or_default();
        let conf = Conf::read(&String::from_utf8_lossy(&text), &self.beside);
        let clients = conf.servers.iter().filter_map(|server| client(&conf, *server, self.port)).collect();
        let made = Arc::new(ResolverState { text, conf, clients });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        made
    }
}

/// What a file of the system's holds, nothing where there is none; `None`: it gives no answer.
async fn text(path: &Path) -> Option<Vec<u8>> {
    let owned = path.to_owned();
    match tasks::blocking(move || files::glance(&owned)).await? {
        Ok(text) => Some(text),
        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::ResourceBusy) => None,
        Err(_) => Some(Vec::new()),
    }
}

/// What `localhost` and all below it lead to, the best first; `None` for other names.
pub fn localhost(name: &str) -> Option<Vec<IpAddr>> {
    conf::of_localhost(name).map(|both| order::usable(&both, order::source))
}

/// Asks one server, once, and remembers nothing.
fn client(conf: &Conf, server: IpAddr, port: u16) -> Option<TokioResolver> {
    let tcp = ConnectionConfig::tcp();
    let mut ways = if conf.tcp { vec![tcp] } else { vec![ConnectionConfig::udp(), tcp] };
    ways.iter_mut().for_each(|way| way.port = port);
    let server = NameServerConfig::new(server, true, ways);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = conf.timeout;
    options.attempts = 0;
    options.edns0 = conf.edns0;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true; // a CNAME's TTL counts too
    builder.build().ok()
}

fn failure(error: &NetError, server: IpAddr) -> LookupFailure {
    if let NetError::Dns(DnsError::NoRecordsFound(none)) = error {
        let code = none.response_code;
        return if code == ResponseCode::NXDomain {
            LookupFailure::Absent(format!("{server} says NXDOMAIN"))
        } else if code == ResponseCode::NoError {
            no_address()
        } else {
            LookupFailure::Server(format!("{server} says {code}"))
        };
    }
    if let NetError::Dns(DnsError::ResponseCode(code)) = error {
        let said = format!("{server} says {code}");
        return if *code == ResponseCode::ServFail {
            LookupFailure::Server(said)
        } else {
            LookupFailure::Broken(said)
        };
    }
    LookupFailure::Broken(format!("{server}: {error}"))
}

fn no_address() -> LookupFailure {
    LookupFailure::Absent("has no address".to_owned())
}

fn untold(failure: &LookupFailure, family: AddressFamily) -> Option<AddressFamily> {
    (!matches!(failure, LookupFailure::Absent(_))).then_some(family)
}

/// Both, but once one has found something no longer than [`GRACE`] for the other.
async fn in_grace(
    mut v4: impl Future<Output = LookupResult> + Unpin,
    mut v6: impl Future<Output = LookupResult> + Unpin,
) -> (LookupResult, LookupResult) {
    let late = || Err(LookupFailure::Broken(format!("no answer {GRACE:?} after that of the other family")));
    tokio::select! {
        first = &mut v4 => {
            let second = if first.is_ok() { tokio::time::timeout(GRACE, v6).await } else { Ok(v6.await) };
            (first, second.unwrap_or_else(|_| late()))
        }
        first = &mut v6 => {
            let second = if first.is_ok() { tokio::time::timeout(GRACE, v4).await } else { Ok(v4.await) };
            (second.unwrap_or_else(|_| late()), first)
        }
    }
}

#[cfg(test)]
mod tests;
