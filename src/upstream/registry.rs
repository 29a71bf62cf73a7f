//! All upstreams and routes as one snapshot, and the only place that stores a new one.
//!
//! State outlives config: a reload makes new [`Upstream`]s around the same gates, endpoints and counters, found by
//! name. The only file that names dashmap and (with [`super::resolve`]) arc-swap.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use dashmap::DashMap;
use pingora_limits::rate::Rate;

use super::endpoint::EndpointState;
use super::gate::{Gate, OnMove};
use super::resolve::{self, Resolver};
use super::{RouteEntry, Upstream, guard};
use crate::config::{self, Config, Timeouts, Unlisted};
use crate::names::{RouteName, UpstreamName};
use crate::net::tls;
use crate::runtime::clock;
use crate::telemetry::Telemetry;
use crate::telemetry::event::Event;
use crate::telemetry::series::Direction;

/// Hosts that no upstream lists, kept at most.
const MOST_UNLISTED: usize = 1_024;

/// What everybody reads: never changed, only replaced.
pub struct World {
    /// The config it was made from.
    pub config: Arc<Config>,
    /// By name.
    pub upstreams: HashMap<UpstreamName, Arc<Upstream>>,
    /// Ingress routes, longest prefix first.
    pub routes: Vec<Arc<RouteEntry>>,
    hosts: HashMap<String, Arc<RouteEntry>>,
    /// `*.example.com` as `.example.com`.
    wildcards: Vec<(String, Arc<RouteEntry>)>,
}

impl World {
    /// The egress route of an upstream.
    pub fn local(&self, name: &UpstreamName) -> Option<Arc<RouteEntry>> {
        self.upstreams.get(name).and_then(|upstream| upstream.egress.get()).map(Arc::clone)
    }

    /// The egress route of the upstream that lists `host`.
    pub fn by_host(&self, host: &str) -> Option<Arc<RouteEntry>> {
        if let Some(entry) = self.hosts.get(host) {
            return Some(Arc::clone(entry));
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let wild =
            || self.wildcards.iter().find(|(suffix, _)| host.ends_with(suffix.as_str())).map(|(_, e)| e);
        self.hosts.get(&host).or_else(wild).map(Arc::clone)
    }
}

/// What became of a host that no upstream lists.
pub enum Found {
    /// It may be called.
    Entry(Arc<RouteEntry>),
    /// All its addresses lie in a forbidden range.
    Forbidden(&'static str),
    /// It has none.
    NoAddress,
}

/// Holds the snapshot.
pub struct Registry {
    world: ArcSwap<World>,
    telemetry: Arc<Telemetry>,
    resolver: Arc<Resolver>,
    workers: usize,
    unlisted: DashMap<(String, u16), Arc<RouteEntry>>,
    /// How often a host was reported, in fixed memory.
    reported: Rate,
    kept: std::sync::Mutex<HashMap<UpstreamName, Arc<Gate>>>,
}

/// Upstreams that need a look-up and a check task: new ones, and those whose endpoints changed.
pub type Fresh = Vec<Arc<Upstream>>;

impl Registry {
    /// With the first config.
    pub fn new(config: Arc<Config>, telemetry: Arc<Telemetry>, workers: usize) -> (Arc<Self>, Fresh) {
        let empty = World {
            config: Arc::clone(&config),
            upstreams: HashMap::new(),
            routes: Vec::new(),
            hosts: HashMap::new(),
            wildcards: Vec::new(),
        };
        let registry = Arc::new(Self {
            world: ArcSwap::from_pointee(empty),
            telemetry,
            resolver: Arc::new(Resolver::system()),
            workers,
            unlisted: DashMap::new(),
            reported: Rate::new(Duration::from_secs(3_600)),
            kept: std::sync::Mutex::default(),
        });
        let fresh = registry.reconcile(config, clock::instant());
        (registry, fresh)
    }

    /// What is in force now.
    pub fn snapshot(&self) -> Guard<Arc<World>> {
        self.world.load()
    }

    /// The shared resolver.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// Does this upstream stand behind the ingress? Its addresses are the operator's own and need no guard.
    pub fn is_trusted(&self, name: &UpstreamName) -> bool {
        is_trusted(&self.snapshot().config, name)
    }

    /// Puts another config in force. Unchanged upstreams stay the same; changed ones keep their state.
    pub fn reconcile(&self, config: Arc<Config>, now: Instant) -> Fresh {
        let old = self.world.load_full();
        let mut fresh = Vec::new();
        let mut upstreams = HashMap::new();
        for wanted in &config.upstreams {
            let before = old.upstreams.get(&wanted.name);
            let upstream = match before {
                Some(same) if *same.config == **wanted => self.rewrapped(same, &same.config),
                Some(changed) => {
                    changed.gate.reconfigure(wanted.breaker.clone(), now);
                    self.rewrapped(changed, wanted)
                }
                None => self.made(wanted, now),
            };
            let moved = before.is_none_or(|b| {
                b.config.endpoints != wanted.endpoints
                    || b.config.health != wanted.health
                    || b.config.allow_addresses != wanted.allow_addresses
            });
            if moved {
                addresses_at_once(&upstream, is_trusted(&config, &wanted.name), now);
            }
            fresh.push(Arc::clone(&upstream));
            upstreams.insert(wanted.name.clone(), upstream);
        }
        for gone in old.upstreams.keys().filter(|name| !upstreams.contains_key(*name)) {
            self.telemetry.forget_upstream(gone);
            self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(gone);
        }
        self.world.store(Arc::new(self.world_of(config, upstreams)));
        self.unlisted.clear();
        fresh
    }

    fn made(&self, wanted: &Arc<config::Upstream>, now: Instant) -> Arc<Upstream> {
        let series = self.telemetry.upstream(&wanted.name);
        let heard = Arc::clone(&series);
        let on_move: OnMove = Box::new(move |moved| {
            heard.breaker_moved(moved.to.number(), moved.to.label(), moved.why.label(), moved.recovered);
            let why = moved.why.told();
            let (from, to) = (moved.from.label(), moved.to.label());
            Event::BreakerMoved { upstream: heard.name.as_str(), from, to, why: &why }.tell();
        });
        let seed = uuid::Uuid::now_v7().as_u64_pair().1;
        let gate = Gate::new(wanted.breaker.clone(), seed, self.workers, now, on_move);
        let connections = Arc::clone(&series.connections);
        Arc::new(Upstream {
            config: Arc::clone(wanted),
            gate,
            tls: client_tls(wanted),
            series,
            endpoints: Arc::new(ArcSwap::from_pointee(Vec::new())),
            connections,
            egress: OnceLock::new(),
        })
    }

    fn rewrapped(&self, old: &Arc<Upstream>, wanted: &Arc<config::Upstream>) -> Arc<Upstream> {
        let same_tls = old.config.tls == wanted.tls && old.config.protocol == wanted.protocol;
        Arc::new(Upstream {
            config: Arc::clone(wanted),
            gate: Arc::clone(&old.gate),
            series: Arc::clone(&old.series),
            endpoints: Arc::clone(&old.endpoints),
            tls: if same_tls { old.tls.clone() } else { client_tls(wanted) },
            connections: Arc::clone(&old.connections),
            egress: OnceLock::new(),
        })
    }

    fn entry(
        &self,
        route: &Arc<config::Route>,
        upstream: &Arc<Upstream>,
        direction: Direction,
    ) -> Arc<RouteEntry> {
        let over = route.timeouts;
        let base = upstream.config.timeouts;
        let timeouts = Timeouts {
            connect: over.connect.or(base.connect),
            first_byte: over.first_byte.or(base.first_byte),
            idle: over.idle.or(base.idle),
            per_try: over.per_try.or(base.per_try),
            total: over.total.or(base.total),
        };
        let series = self.telemetry.series(&route.name, &upstream.config.name, direction);
        Arc::new(RouteEntry { config: Arc::clone(route), upstream: Arc::clone(upstream), series, timeouts })
    }

    fn world_of(&self, config: Arc<Config>, upstreams: HashMap<UpstreamName, Arc<Upstream>>) -> World {
        let mut hosts = HashMap::new();
        let mut wildcards = Vec::new();
        for upstream in upstreams.values() {
            let entry = self.entry(&egress_route(&upstream.config.name), upstream, Direction::Egress);
            for host in &upstream.config.hosts {
                match host.strip_prefix('*') {
                    Some(suffix) => wildcards.push((suffix.to_owned(), Arc::clone(&entry))),
                    None => drop(hosts.insert(host.clone(), Arc::clone(&entry))),
                }
            }
            // A fresh wrapper has no entry yet.
            let _ = upstream.egress.set(entry);
        }
        wildcards.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let routes = config
            .routes
            .iter()
            .filter_map(|route| {
                let upstream = upstreams.get(&route.upstream)?;
                Some(self.entry(route, upstream, Direction::Ingress))
            })
            .collect();
        World { config, upstreams, routes, hosts, wildcards }
    }

    /// A host that no upstream lists, where the policy lets it pass: looked up once, kept while it fits.
    pub async fn unlisted(&self, host: &str, port: u16, policy: Unlisted) -> Found {
        if policy == Unlisted::Report && self.reported.observe(&host, 1) == 1 {
            Event::UnlistedHost { host, policy: "report" }.tell();
        }
        let key = (host.to_ascii_lowercase(), port);
        if let Some(kept) = self.unlisted.get(&key) {
            return Found::Entry(Arc::clone(&kept));
        }
        let (addresses, name) = match host.parse::<std::net::IpAddr>() {
            Ok(ip) => (vec![ip], host.to_owned()),
            Err(_) => match self.resolver.lookup(host).await {
                Ok(resolved) => (resolved.addresses, host.to_owned()),
                Err(error) => {
                    Event::NamesFailed { host, error: &error }.tell();
                    return Found::NoAddress;
                }
            },
        };
        let mut range = None;
        let passed: Vec<(SocketAddr, String)> = addresses
            .iter()
            .filter(|ip| {
                let forbidden = guard::forbidden(**ip, &[]);
                range = range.or(forbidden);
                forbidden.is_none()
            })
            .map(|ip| (SocketAddr::new(*ip, port), name.clone()))
            .collect();
        match (passed.is_empty(), range) {
            (true, Some(range)) => Found::Forbidden(range),
            (true, None) => Found::NoAddress,
            (false, _) => Found::Entry(self.keep_unlisted(key, &passed)),
        }
    }

    fn keep_unlisted(&self, key: (String, u16), addresses: &[(SocketAddr, String)]) -> Arc<RouteEntry> {
        let now = clock::instant();
        let template = Arc::new(config::presets::unlisted());
        let series = self.telemetry.upstream(&template.name);
        let gate = {
            let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let policy = template.breaker.clone();
            Arc::clone(
                kept.entry(template.name.clone())
                    .or_insert_with(|| Gate::new(policy, 1, self.workers, now, Box::new(|_| {}))),
            )
        };
        let upstream = Arc::new(Upstream {
            gate,
            connections: Arc::clone(&series.connections),
            series,
            tls: None,
            endpoints: Arc::new(ArcSwap::from_pointee(Vec::new())),
            egress: OnceLock::new(),
            config: template,
        });
        resolve::publish(&upstream.endpoints, addresses, now);
        let entry = self.entry(&egress_route(&upstream.config.name), &upstream, Direction::Egress);
        if self.unlisted.len() < MOST_UNLISTED {
            self.unlisted.insert(key, Arc::clone(&entry));
        }
        entry
    }

    /// How long an endpoint's idle connections are kept; `None`: nobody uses it any more.
    pub fn idle_limit(&self, endpoint: u64) -> Option<Duration> {
        let world = self.snapshot();
        let has =
            |endpoints: &ArcSwap<Vec<Arc<EndpointState>>>| endpoints.load().iter().any(|e| e.id == endpoint);
        let listed = world.upstreams.values().find(|upstream| has(&upstream.endpoints));
        match listed {
            Some(upstream) => Some(upstream.config.pool.idle_for),
            None => {
                let found = self.unlisted.iter().find(|entry| has(&entry.upstream.endpoints));
                found.map(|entry| entry.upstream.config.pool.idle_for)
            }
        }
    }
}

fn is_trusted(config: &Config, name: &UpstreamName) -> bool {
    config.ingress.as_ref().is_some_and(|ingress| ingress.upstream == *name)
        || config.routes.iter().any(|route| route.upstream == *name)
}

/// Literal addresses need no look-up: they are in place before the first request.
fn addresses_at_once(upstream: &Upstream, trusted: bool, now: Instant) {
    let mut found = Vec::new();
    for endpoint in &upstream.config.endpoints {
        let ip = match &endpoint.host {
            config::Host::Address(ip) => *ip,
            config::Host::Name(name) if name == "localhost" => std::net::IpAddr::from([127, 0, 0, 1]),
            config::Host::Name(_) => return, // all or nothing: the look-up task publishes them together
        };
        let host = match &endpoint.host {
            config::Host::Address(ip) => ip.to_string(),
            config::Host::Name(name) => name.clone(),
        };
        let passed = resolve::admitted(&upstream.config, &[ip], trusted);
        found.extend(passed.iter().map(|ip| (SocketAddr::new(*ip, endpoint.port), host.clone())));
    }
    resolve::publish(&upstream.endpoints, &found, now);
}

fn client_tls(wanted: &config::Upstream) -> Option<tls::Client> {
    let config = wanted.tls.as_ref()?;
    match tls::Client::new(config, wanted.protocol) {
        Ok(client) => Some(client),
        Err(error) => {
            Event::TlsUnusable { upstream: wanted.name.as_str(), error: &error.to_string() }.tell();
            None
        }
    }
}

/// Egress has one route per upstream, of the same name.
fn egress_route(upstream: &UpstreamName) -> Arc<config::Route> {
    Arc::new(config::Route {
        name: RouteName::new(upstream.as_str()).unwrap_or_else(|_| config::presets::other_route()),
        host: None,
        prefix: "/".to_owned(),
        upstream: upstream.clone(),
        body_limit: None,
        timeouts: Timeouts::default(),
    })
}
