//! All upstreams and routes as one snapshot, and the only place that stores a new one.
//!
//! State outlives config: a reload makes new [`Upstream`]s around the same gates, endpoints and counters, found by
//! name. With [`super::resolve`] and [`super::unlisted`] the only files that name arc-swap and dashmap.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};

use super::drill::Injection;
use super::gate::Gate;
use super::guard::Listeners;
use super::making::UpstreamMaker;
use super::named::{ApplicationNames, NamedRoutes, Naming};
use super::operations::Operations;
use super::rates::RateLimiters;
use super::removed::Removed;
use super::resolve;
use super::routes::{self, RouteTemplates};
use super::throttle::Throttle;
pub use super::unlisted::HostLookup;
use super::unlisted::UnlistedHosts;
use super::{RouteEntry, Upstream};
use crate::config::{self, Config, Unlisted};
use crate::message::head::Method;
use crate::message::host;
use crate::message::path::normal;
use crate::names::UpstreamName;
use crate::net::names::{Resolved, Resolver, Search};
use crate::reliability::degradation::Directives;
use crate::reliability::failover::Group;
use crate::reliability::idempotency::KeyPolicy;
use crate::reliability::party::Party;
use crate::runtime::clock;
use crate::telemetry::Telemetry;
use crate::telemetry::event::{Event, NamesEvent};
use crate::telemetry::line;
use crate::telemetry::series::Direction;

/// What everybody reads: never changed, only replaced.
#[derive(Clone)]
pub struct World {
    /// The config it was made from.
    pub config: Arc<Config>,
    /// Upstreams of the config by their names, each as its first group; requests meet [`World::in_force`].
    pub upstreams: HashMap<UpstreamName, Arc<Upstream>>,
    /// Those whose backup group is called.
    pub on_backup: BTreeSet<UpstreamName>,
    /// Ingress routes, in the order of [`Config::routes`].
    pub routes: Vec<Arc<RouteEntry>>,
    templates: RouteTemplates,
    /// Names that the application's own document gives.
    pub application: Arc<ApplicationNames>,
    /// Requests of the last route that have such a name; `None`: none has.
    pub named: Option<Arc<NamedRoutes>>,
    hosts: HashMap<String, Arc<RouteEntry>>,
    /// Wildcard hosts: `*.example.com` stands here as `.example.com`.
    wildcards: Vec<(String, Arc<RouteEntry>)>,
    locals: HashMap<UpstreamName, Arc<RouteEntry>>,
    /// What the degradation level says; `None`: it is 0.
    pub directives: Option<Arc<Directives>>,
    /// The drill that goes on, or has not gone by yet; `None`: there is none.
    pub drill: Option<Arc<Injection>>,
}

impl World {
    /// The group of an upstream that requests meet.
    pub fn in_force(&self, name: &UpstreamName) -> Option<&Arc<Upstream>> {
        self.upstreams.get(name).map(|first| in_force(first, &self.on_backup))
    }

    /// Of each upstream the group that requests meet.
    pub fn serving(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values().map(|first| in_force(first, &self.on_backup))
    }

    /// All groups of all upstreams.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values().flat_map(Upstream::groups)
    }

    /// The route of a request that came in at the ingress: the first one that takes it; where that is the last one, under the
    /// name that the application's document has for it.
    pub fn by_request(&self, host: &str, method: Method, path: &[u8]) -> Option<Arc<RouteEntry>> {
        // In the spelling in which the server behind will read it.
        let (host, path) = (&*host::normal(host), &*normal(path));
        let templated = self.templates.find(host, path);
        let earlier = self.routes.get(..templated.unwrap_or(self.routes.len())).unwrap_or_default();
        let prefixed = earlier.iter().find(|entry| routes::has_prefix(&entry.config, host, path));
        let found = prefixed.or_else(|| self.routes.get(templated?))?;
        let named = self.named.as_ref().filter(|_| found.unnamed.is_some());
        Some(Arc::clone(named.and_then(|named| named.find(method, path)).unwrap_or(found)))
    }

    /// The egress route of an upstream.
    pub fn local(&self, name: &UpstreamName) -> Option<Arc<RouteEntry>> {
        self.locals.get(name).map(Arc::clone)
    }

    /// The egress route of the upstream that lists `host`.
    pub fn by_host(&self, host: &str) -> Option<Arc<RouteEntry>> {
        if let Some(entry) = self.hosts.get(host) {
            return Some(Arc::clone(entry));
        }
        let host = host::normal(host).to_ascii_lowercase();
        let wild =
            || self.wildcards.iter().find(|(suffix, _)| host.ends_with(suffix.as_str())).map(|(_, e)| e);
        self.hosts.get(&host).or_else(wild).map(Arc::clone)
    }
}

fn in_force<'a>(first: &'a Arc<Upstream>, on_backup: &BTreeSet<UpstreamName>) -> &'a Arc<Upstream> {
    // Only what has a backup group is looked for.
    let backup = first.backup.as_ref().filter(|_| on_backup.contains(&first.config.name));
    backup.unwrap_or(first)
}

/// Holds the snapshot that requests read, and puts new ones in its place.
pub struct Registry {
    pub(super) world: ArcSwap<World>,
    pub(super) maker: UpstreamMaker,
    resolver: Arc<Resolver>,
    unlisted: UnlistedHosts,
    listeners: Arc<Listeners>,
    removed: Removed,
    rates: RateLimiters,
    pub(super) naming: Naming,
}

/// Upstreams that need a look-up and a check task: new ones and changed ones.
pub type Fresh = Vec<Arc<Upstream>>;

impl Registry {
    /// With the first config.
    pub fn new(config: Arc<Config>, telemetry: Arc<Telemetry>, workers: usize) -> (Arc<Self>, Fresh) {
        let empty = World {
            config: Arc::clone(&config),
            upstreams: HashMap::new(),
            on_backup: BTreeSet::new(),
            routes: Vec::new(),
            templates: RouteTemplates::default(),
            application: Arc::default(),
            named: None,
            hosts: HashMap::new(),
            wildcards: Vec::new(),
            locals: HashMap::new(),
            directives: None,
            drill: None,
        };
        let registry = Arc::new(Self {
            world: ArcSwap::from_pointee(empty),
            maker: UpstreamMaker { telemetry, workers },
            resolver: Arc::new(Resolver::system()),
            unlisted: UnlistedHosts::default(),
            listeners: Arc::default(),
            removed: Removed::default(),
            rates: RateLimiters::default(),
            naming: Naming::default(),
        });
        let fresh = registry.reconcile(config, clock::instant());
        (registry, fresh)
    }

    /// What is in force now.
    pub fn snapshot(&self) -> Guard<Arc<World>> {
        self.world.load()
    }

    /// The resolver that all upstreams share.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// Where this process listens: to be told when it does, before names are looked up.
    pub fn listeners(&self) -> Arc<Listeners> {
        Arc::clone(&self.listeners)
    }

    /// Does this upstream stand behind the ingress? Its addresses are the operator's own and need no guard.
    pub fn is_trusted(&self, name: &UpstreamName) -> bool {
        self.snapshot().config.is_behind(name)
    }

    /// Puts another config in force: what is unchanged stays the very same, what is changed keeps its state, and
    /// so does what is gone, for a while: a file may have been read half, or a table be moved. Returns what
    /// nobody looks after yet.
    pub fn reconcile(&self, config: Arc<Config>, now: Instant) -> Fresh {
        let old = self.world.load_full();
        let mut fresh = Vec::new();
        let mut upstreams = HashMap::new();
        for wanted in &config.upstreams {
            let trusted = config.is_behind(&wanted.name);
            let before = old.upstreams.get(&wanted.name);
            let stays = before
                .filter(|before| *before.config == **wanted && old.config.is_behind(&wanted.name) == trusted);
            let upstream = match stays {
                Some(same) => Arc::clone(same),
                None => {
                    let back = || self.removed.take(&wanted.name, now);
                    let upstream = match before.map(Arc::clone).or_else(back) {
                        Some(changed) => self.maker.replaced(&changed, wanted, trusted, now),
                        None => self.maker.made(wanted, trusted, now),
                    };
                    for group in upstream.groups() {
                        resolve::at_once(group, trusted, &self.listeners, now);
                        fresh.push(Arc::clone(group));
                    }
                    upstream
                }
            };
            upstreams.insert(wanted.name.clone(), upstream);
        }
        for (name, gone) in old.upstreams.iter().filter(|(name, _)| !upstreams.contains_key(*name)) {
            gone.retire();
            self.maker.telemetry.forget_upstream(name);
            self.removed.keep(gone, now);
        }
        if old.config.egress != config.egress {
            self.unlisted.clear();
        }
        // What was put in force meanwhile stays.
        self.world.rcu(|now| {
            self.world_of(now, Arc::clone(&config), upstreams.clone(), now.on_backup.clone()).beside(now)
        });
        self.maker.telemetry.unnamed.begin(now);
        fresh
    }

    /// Calls the backup group of these upstreams, and the first one of all others; all else stays as it is.
    pub fn fail_over(&self, on_backup: &BTreeSet<UpstreamName>) {
        self.world.rcu(|now| {
            let (config, upstreams) = (Arc::clone(&now.config), now.upstreams.clone());
            self.world_of(now, config, upstreams, on_backup.clone()).beside(now)
        });
    }

    fn entry(
        &self,
        route: &Arc<config::Route>,
        upstream: &Arc<Upstream>,
        direction: Direction,
    ) -> Arc<RouteEntry> {
        let timeouts = route.timeouts.over(upstream.config.timeouts);
        let series = self.maker.telemetry.series(&route.name, &upstream.config.name, direction);
        self.maker.telemetry.show_as(&series, route.http_route().as_deref());
        let logged = line::way(route.name.as_str(), upstream.config.name.as_str());
        let is_last = direction == Direction::Ingress && route.name.as_str() == config::DEFAULT_ROUTE;
        let load = upstream.load.as_ref().filter(|_| direction == Direction::Ingress);
        let limiter = |policy| self.rates.of(&route.name, policy, &series.rate_limit, clock::instant());
        let rates = route.rate_limit.as_ref().map(limiter);
        let injects = |keys: &KeyPolicy| route.inject_key.unwrap_or(keys.inject);
        Arc::new(RouteEntry {
            config: Arc::clone(route),
            upstream: Arc::clone(upstream),
            series,
            timeouts,
            logged,
            injects_keys: upstream.config.keys.as_ref().is_some_and(injects),
            load: load.map(|load| load.route(&route.name)),
            rates,
            fingerprint: Party::named(route.name.as_str()),
            unnamed: is_last.then(|| Arc::clone(&self.maker.telemetry.unnamed)),
        })
    }

    /// `before`: whose names stay.
    fn world_of(
        &self,
        before: &World,
        config: Arc<Config>,
        upstreams: HashMap<UpstreamName, Arc<Upstream>>,
        mut on_backup: BTreeSet<UpstreamName>,
    ) -> World {
        on_backup.retain(|name| upstreams.get(name).is_some_and(|upstream| upstream.backup.is_some()));
        let mut hosts = HashMap::new();
        let mut wildcards = Vec::new();
        let mut locals = HashMap::new();
        for (name, upstream) in &upstreams {
            let upstream = in_force(upstream, &on_backup);
            let entry = self.entry(&Arc::new(config::egress_route(name)), upstream, Direction::Egress);
            for host in &upstream.config.hosts {
                match host.strip_prefix('*') {
                    Some(suffix) => wildcards.push((suffix.to_owned(), Arc::clone(&entry))),
                    None => drop(hosts.insert(host.clone(), Arc::clone(&entry))),
                }
            }
            locals.insert(name.clone(), entry);
        }
        wildcards.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let routes: Vec<_> = config
            .routes
            .iter()
            .filter_map(|route| {
                let upstream = in_force(upstreams.get(&route.upstream)?, &on_backup);
                Some(self.entry(route, upstream, Direction::Ingress))
            })
            .collect();
        let templates = RouteTemplates::of(&routes);
        let named = self.named(&before.application, &config, &routes);
        World {
            application: Arc::clone(&before.application),
            named,
            config,
            upstreams,
            on_backup,
            routes,
            templates,
            hosts,
            wildcards,
            locals,
            directives: None,
            drill: None,
        }
    }

    /// A host that no upstream lists, where the policy lets it pass: looked up, and again by its TTL.
    pub async fn unlisted(&self, host: &str, port: u16, policy: Unlisted) -> HostLookup {
        if policy == Unlisted::Report && self.unlisted.is_new(host) {
            Event::UnlistedHost { host, policy: "report" }.tell();
        }
        let now = clock::instant();
        if let Some(kept) = self.unlisted.get(host, port, now) {
            return HostLookup::Entry(kept);
        }
        let resolved = match host.parse::<std::net::IpAddr>() {
            Ok(ip) => Resolved { addresses: vec![ip], ttl: Duration::from_secs(3_600), untold: None },
            // What a client names is complete: search domains are the operator's.
            Err(_) => match self.resolver.lookup(host, Search::Never).await {
                Ok(resolved) => resolved,
                Err(error) => {
                    NamesEvent::Failed { host, error: &error.to_string() }.tell();
                    return HostLookup::NoAddress;
                }
            },
        };
        let template = &self.unlisted.template;
        let mut range = None;
        let passed = resolve::admitted(template, &resolved.addresses, false, |_, forbidden| {
            range = range.or(Some(forbidden));
        });
        match (passed.is_empty(), range) {
            (true, Some(range)) => HostLookup::Forbidden(range),
            (true, None) => HostLookup::NoAddress,
            (false, _) => {
                let found = resolve::found(&passed, host.trim_end_matches('.'), port);
                let (least, most) = template.dns_ttl;
                let until = now + resolved.ttl.clamp(least, most);
                HostLookup::Entry(
                    self.unlisted.keep(host, port, &found, now, until, || self.unlisted_entry(now)),
                )
            }
        }
    }

    /// All of them share one set of numbers; each has endpoints of its own.
    fn unlisted_entry(&self, now: Instant) -> Arc<RouteEntry> {
        let template = &self.unlisted.template;
        let series = self.maker.telemetry.upstream(&template.name);
        let breaker = Arc::clone(&series.breaker);
        let upstream = Arc::new(Upstream {
            gate: Gate::new(template.breaker.clone(), 1, self.maker.workers, now, Box::new(|_| {})),
            operations: Operations::default(),
            connections: Arc::clone(&series.connections),
            tunnels: Arc::clone(&self.unlisted.tunnels),
            shares: None,
            load: None,
            throttle: Throttle::new(&series.throttle, self.maker.workers),
            socket: None,
            series,
            tls: None,
            remade: 0,
            renewal: Arc::default(),
            endpoints: Arc::new(ArcSwap::from_pointee(Vec::new())),
            config: Arc::clone(template),
            group: Group::First,
            breaker,
            backup: None,
            closings: Arc::clone(&self.unlisted.closings),
            retries: Arc::clone(&self.unlisted.retries),
            retired: AtomicBool::new(false),
        });
        self.entry(&Arc::new(config::egress_route(&template.name)), &upstream, Direction::Egress)
    }

    /// Whose endpoint it is; `None`: nobody uses it any more.
    pub fn upstream_of(&self, endpoint: u64) -> Option<Arc<Upstream>> {
        let world = self.snapshot();
        let listed = world.groups().find(|upstream| upstream.has_endpoint(endpoint));
        listed.map(Arc::clone).or_else(|| self.unlisted.upstream_of(endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::access::AccessLog;

    fn config(failures: u32) -> Arc<Config> {
        let text = format!(
            "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\nbreaker = {{ failures = {failures} }}\n\
             [upstreams.stripe]\npreset = \"stripe\"\n"
        );
        Arc::new(config::load(&text, "a test", &[]).expect("it can run"))
    }

    fn registry() -> (Arc<Registry>, Fresh) {
        let telemetry = Telemetry::new(1, AccessLog::off(), clock::now());
        Registry::new(config(3), telemetry, 1)
    }

    #[tokio::test]
    async fn what_a_reload_does_not_change_stays_the_very_same() {
        let (registry, fresh) = registry();
        assert_eq!(fresh.len(), 2);
        let again = registry.reconcile(config(3), clock::instant());
        assert!(again.is_empty(), "nobody starts to look after what is looked after already");
        let now = registry.snapshot();
        assert!(fresh.iter().all(|before| Arc::ptr_eq(before, &now.upstreams[&before.config.name])));
    }

    #[tokio::test]
    async fn what_a_reload_replaces_is_let_go_and_its_state_lives_on() {
        let (registry, fresh) = registry();
        let old = fresh.iter().find(|upstream| upstream.config.name.as_str() == "backend").map(Arc::clone);
        let old = old.expect("it is there");
        let gate = Arc::clone(&old.gate);
        let weak = Arc::downgrade(&old);
        drop((old, fresh));
        let replaced = registry.reconcile(config(7), clock::instant());
        assert_eq!(replaced.len(), 1);
        assert!(Arc::ptr_eq(&replaced[0].gate, &gate));
        assert!(weak.upgrade().is_none_or(|old| old.is_retired()));
        // The snapshot that named it is gone once nobody reads it any more.
        assert_eq!(weak.strong_count(), 0);
    }

    #[tokio::test]
    async fn what_a_removed_upstream_held_is_there_when_it_comes_back_soon() {
        let (registry, fresh) = registry();
        let series = |name: &str| {
            let all = registry.maker.telemetry.all_upstreams();
            all.iter().find(|one| one.name.as_str() == name).map(Arc::clone)
        };
        let gate =
            fresh.iter().find(|one| one.config.name.as_str() == "stripe").map(|one| Arc::clone(&one.gate));
        let gate = gate.expect("it is there");
        let counters = series("stripe").expect("it counts");
        drop(fresh);
        let without = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";
        let half = Arc::new(config::load(without, "a test", &[]).expect("it can run"));
        let start = clock::instant();
        registry.reconcile(Arc::clone(&half), start);
        assert!(series("stripe").is_none(), "it is not shown");
        let back = registry.reconcile(config(3), start + Duration::from_secs(599));
        let back = back.iter().find(|one| one.config.name.as_str() == "stripe").expect("it is back");
        assert!(Arc::ptr_eq(&back.gate, &gate) && !back.is_retired());
        assert!(series("stripe").is_some_and(|now| Arc::ptr_eq(&now, &counters)));
        registry.reconcile(half, start);
        let late = registry.reconcile(config(3), start + Duration::from_secs(601));
        let late = late.iter().find(|one| one.config.name.as_str() == "stripe").expect("it is back");
        assert!(!Arc::ptr_eq(&late.gate, &gate), "another one by now");
    }
}
