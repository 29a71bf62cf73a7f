//! The composition root: the only file that knows everybody.
//!
//! Order of a start: bind, workers, admin, ready. Order of a stop: unready, lame duck, stop
//! accepting, finish, flush, leave.

mod audit;
mod bound;
pub mod explain;
mod inbound;
mod periodic;
pub mod reaching;
pub mod trial;
mod work;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;

use crate::admin::Admin;
use crate::config::Config;
use crate::config::reload::{ReloadCause, ReloadOutcome, Reloader};
use crate::control::{self, Canary, Handle, Own};
use crate::degrade::outbox::Outbox;
use crate::notify::{Channels, Sender};
use crate::runtime::drain::{self, Drain, LeaveAsked, Stop};
use crate::runtime::tasks::Tasks;
use crate::runtime::workers::Workers;
use crate::runtime::{clock, signals, timer};
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::telemetry::access::AccessLog;
use crate::telemetry::event::{Event, OutboxEvent};
use crate::telemetry::logging::Filter;
use crate::telemetry::telling;
use crate::upstream::registry::{Fresh, Registry};
use crate::upstream::{health, resolve};

/// How often the config file is looked at, beside being watched.
const POLL: Duration = Duration::from_secs(30);

/// What a start needs.
pub struct Start {
    /// The config, checked; the listeners are not bound yet.
    pub config: Config,
    /// Where it came from; `None`: built in, nothing to reload.
    pub path: Option<PathBuf>,
    /// The variables `STROP__…` of the environment, which override keys of the file.
    pub env: Vec<(String, String)>,
    /// What is logged: by the config, or by an order.
    pub filter: Option<Filter>,
    /// SIGHUPs since before the config was read.
    pub hangups: std::io::Result<signals::Signal>,
}

/// A running Strop, from bound listeners to the end of the drain.
pub struct App {
    /// Listener names and the addresses they got.
    pub addresses: Vec<(String, SocketAddr)>,
    config: Arc<Config>,
    telemetry: Arc<Telemetry>,
    reloader: Arc<Reloader>,
    store: Option<Store>,
    asked: LeaveAsked,
    tasks: Tasks,
    workers: Workers,
    stop: Stop,
}

/// Listener names and the addresses they got; from now on their connections are shown.
fn addresses(
    bound: &[bound::BoundListener],
    admin: SocketAddr,
    telemetry: &Telemetry,
) -> anyhow::Result<Vec<(String, SocketAddr)>> {
    let mut addresses = vec![("admin".to_owned(), admin)];
    for bound in bound {
        let address = bound.sockets.first().context("no socket")?.local_addr()?;
        addresses.push((bound.name.clone(), address));
        telemetry.listener(bound.name.clone(), bound.door.count.clone());
    }
    Ok(addresses)
}

impl App {
    /// Binds, starts, and returns when traffic may come. Called on the control runtime.
    pub async fn start(start: Start) -> anyhow::Result<Self> {
        periodic::prepare().context("threads")?;
        let config = Arc::new(start.config);
        let workers = config.process.workers;
        let access = AccessLog::start(&config.access_log).context("access log")?;
        let telemetry = Telemetry::new(workers, access, clock::now());
        start.filter.into_iter().for_each(|filter| telemetry.log_by(filter));
        let memory = control::MemoryWatch::begin(&config, &telemetry);
        let (admin_listener, admin_address) = bound::bind_one(config.admin.listen, "admin.listen")?;
        let probes = config.admin.probes.map(|probes| bound::bind_one(probes, "admin.probes")).transpose()?;
        let (probes, probes_address) = probes.unzip();
        let running = claimed(&config, admin_address);
        let (registry, fresh) = Registry::new(Arc::new(running), Arc::clone(&telemetry), workers);
        let bound = bound::bind_all(&config, &telemetry)?;
        let (stop, drain) = drain::channel();
        let ((leave, asked), tasks) = (drain::leaving(), Tasks::default());
        let outbox = outbox(&config, &telemetry)?;
        let mut engine =
            control::start(&config, &registry, &telemetry, &tasks, &drain).await.context("store")?;
        engine.handle.orders_about(outbox.clone());
        audit::started(engine.handle.records(), &config, start.path.as_deref());
        registry.listeners().bound(bound::listening(&bound, [Some(admin_address), probes_address])?);
        let (watcher, own) = (Watcher::new(&registry, &drain, &engine), engine.own.clone());
        watcher.tend(&fresh);
        let mut addresses = addresses(&bound, admin_address, &telemetry)?;
        addresses.extend(probes_address.map(|address| ("probes".to_owned(), address)));
        let shown = (bound::servers(&bound), own);
        warn_of(&config);
        let reloader = reloader(start.path, start.env, &config, &telemetry, watcher, admin_address);
        addresses.extend(inbound::begin(&config, &engine.handle, &reloader, &telemetry, &tasks, &drain)?);
        let workers = work::spawn(bound, &registry, &telemetry, &engine.handle.kept(), &drain)?;
        let admin = Admin::new(
            Arc::clone(&registry),
            Arc::clone(&telemetry),
            Arc::clone(&reloader),
            engine.handle,
            (addresses.clone(), engine.own.clone()),
            (drain.listening(), leave),
        );
        tasks.spawn("memory", memory.run(Arc::clone(&registry)));
        tasks.spawn("admin", crate::admin::serve(admin, admin_listener, probes, drain.clone()));
        periodic::begin(&tasks, (&registry, &telemetry), shown, &drain);
        tasks.spawn("hangups", periodic::hangups(Arc::clone(&reloader), start.hangups, drain));
        for (name, address) in &addresses {
            Event::Listening { listener: name, address: &address.to_string() }.tell();
        }
        let store = engine.store;
        Ok(Self { addresses, config, telemetry, reloader, store, asked, tasks, workers, stop })
    }

    /// Watches the config file.
    pub fn watch_config(&self) {
        if let Err(error) = crate::config::watch::watch(&self.reloader, POLL) {
            Event::WatchFailed { error: &error }.tell();
        }
    }

    /// Until `stop` or an order says so, or a task ends that should not.
    pub async fn until_stopped(
        &mut self,
        stop: impl Future<Output = std::io::Result<&'static str>>,
    ) -> anyhow::Result<String> {
        Ok(tokio::select! {
            signal = stop => signal?.to_owned(),
            why = self.asked.asked() => why,
            task = self.tasks.first_to_end() => {
                Event::TaskEndedEarly { task }.tell();
                format!("task {task} ended")
            }
        })
    }

    /// Leaves in order, within `process.drain_for`. False: something was still open then.
    pub async fn leave(mut self, why: &str) -> bool {
        self.telemetry.readiness.drain();
        Event::Draining { why }.tell();
        let limit = self.reloader.status().config.process.drain_for;
        let ordered = self.asked.is_asked();
        let again = async {
            if ordered {
                // Whoever has ordered it may end the process as it is always ended: that is the same wish.
                let _ = signals::stop().await;
            }
            signals::again().await
        };
        let drained = async {
            tokio::time::sleep(self.config.process.lame_duck).await;
            self.stop.request();
            timer::within(limit, self.stop.wait()).await.is_some()
        };
        let connections = || self.telemetry.listener_counts().iter().map(|(_, count)| count).sum();
        let in_time = tokio::select! {
            in_time = drained => {
                if !in_time {
                    Event::DrainTimedOut { connections: connections() }.tell();
                }
                in_time
            }
            signal = again => {
                Event::CutShort { signal, connections: connections() }.tell();
                false
            }
        };
        self.telemetry.access_log().flush(Duration::from_secs(2));
        if let Some(store) = &self.store {
            // What is left after that is told by the store's own backlog.
            store.close(Duration::from_secs(2)).await;
        }
        Event::Stopped.tell();
        telling::flush(Duration::from_millis(500));
        in_time && self.workers.count() > 0
    }
}

/// Opens the outbox, where there is one.
fn outbox(config: &Config, telemetry: &Arc<Telemetry>) -> anyhow::Result<Option<Arc<Outbox>>> {
    let Some(config) = &config.outbox else { return Ok(None) };
    let opened = Outbox::open(config, Arc::clone(telemetry));
    let (outbox, damaged) =
        opened.with_context(|| format!("cannot open the outbox in {}", config.directory.display()))?;
    if let Some(copy) = damaged {
        OutboxEvent::damaged(&copy);
    }
    Ok(Some(outbox))
}

/// With the SRE API on the traffic port, when that is wanted: an upstream of its own, without a breaker, that is the
/// admin listener. So the traffic port needs no second implementation of it.
fn claimed(config: &Config, admin: SocketAddr) -> Config {
    let mut config = config.clone();
    if config.ingress.as_ref().is_some_and(|ingress| ingress.claim_sre_api) {
        let upstream = crate::config::presets::sre_api(admin);
        config.routes.insert(0, Arc::new(crate::config::sre_api(&upstream.name)));
        config.upstreams.push(Arc::new(upstream));
    }
    config
}

/// Starts what an upstream needs beside requests.
struct Watcher {
    registry: Arc<Registry>,
    drain: Drain,
    sender: Arc<Sender>,
    handle: Handle,
    own: Own,
}

impl Watcher {
    fn new(registry: &Arc<Registry>, drain: &Drain, engine: &control::Running) -> Self {
        Self {
            registry: Arc::clone(registry),
            drain: drain.listening(),
            sender: Arc::clone(&engine.sender),
            handle: engine.handle.clone(),
            own: engine.own.clone(),
        }
    }

    /// The tasks end by themselves when a later config replaces the upstream.
    fn tend(&self, fresh: &Fresh) {
        for upstream in fresh {
            let trusted = self.registry.is_trusted(&upstream.config.name);
            let resolver = self.registry.resolver();
            let (weak, listeners) = (Arc::downgrade(upstream), self.registry.listeners());
            let fresh = resolve::keep_fresh(resolver, weak, trusted, listeners, self.drain.clone());
            crate::runtime::tasks::detach("upstream", "resolving names", fresh);
            if upstream.config.health.is_some() {
                crate::runtime::tasks::detach(
                    "upstream",
                    "checking endpoints",
                    health::watch(Arc::downgrade(upstream), self.drain.clone()),
                );
            }
        }
    }
}

fn reloader(
    path: Option<PathBuf>,
    env: Vec<(String, String)>,
    config: &Arc<Config>,
    telemetry: &Arc<Telemetry>,
    watcher: Watcher,
    admin: SocketAddr,
) -> Arc<Reloader> {
    let (read_from, records, own) = (path.clone(), watcher.handle.records().clone(), watcher.own.clone());
    let applying = Arc::clone(telemetry);
    let canary = Canary::new(Arc::clone(telemetry), watcher.handle.clone());
    let (watching, drain) = (Arc::clone(&canary), watcher.drain.listening());
    let control = tokio::runtime::Handle::current();
    let apply = move |new: Arc<Config>, diff: &crate::config::diff::Diff, cause: ReloadCause| {
        // Reloads come from threads that are not the control runtime's.
        let _inside = control.enter();
        let fresh = watcher.registry.reconcile(Arc::new(claimed(&new, admin)), clock::instant());
        watcher.tend(&fresh);
        watcher.sender.replace(Arc::new(Channels::new(&new)));
        applying.access_log().reconfigure(&new.access_log);
        warn_of(&new);
        if cause != ReloadCause::Canary {
            canary.applied(&new, diff);
        }
        if let Some(filter) = applying.log_filter()
            && let Err(error) = filter.configure(&new.process.log)
        {
            Event::ConfigWarning { problem: &error }.tell();
        }
    };
    let hearing = Arc::clone(telemetry);
    set_config_metrics(&hearing, 1, true);
    let hear = move |outcome: &ReloadOutcome, problems: Option<&crate::config::problem::Problems>| {
        set_config_metrics(&hearing, outcome.generation, problems.is_none());
        audit::reloaded(&records, read_from.as_deref(), outcome, problems);
        own.reloaded(outcome);
        tell(outcome, problems);
    };
    let reloader =
        Reloader::new(path, env, Arc::clone(config), (trial::load, Box::new(apply), Box::new(hear)));
    crate::runtime::tasks::detach("app", "watching reloads", watching.run(Arc::clone(&reloader), drain));
    reloader
}

/// Tells what came of a reload.
fn tell(outcome: &ReloadOutcome, problems: Option<&crate::config::problem::Problems>) {
    let paths = |changes: &[crate::config::diff::ConfigChange]| {
        changes.iter().map(|change| change.path.as_str()).collect::<Vec<_>>().join(" ")
    };
    match problems {
        Some(problems) => {
            Event::ConfigRefused { cause: &outcome.cause, problems: &problems.to_string() }.tell();
        }
        None => Event::ConfigApplied {
            cause: &outcome.cause,
            generation: outcome.generation,
            applied: &paths(&outcome.applied),
            needs_restart: &paths(&outcome.needs_restart),
        }
        .tell(),
    }
}

/// Tells what runs and yet is probably not meant.
fn warn_of(config: &Config) {
    crate::config::warnings::all(config).iter().for_each(|problem| Event::ConfigWarning { problem }.tell());
}

fn set_config_metrics(telemetry: &Telemetry, generation: u64, ok: bool) {
    let numbers = &telemetry.process;
    numbers.config_generation.store(generation, Ordering::Relaxed);
    numbers.config_ok.store(u64::from(ok), Ordering::Relaxed);
    if ok {
        let at = clock::unix_seconds(clock::now().wall);
        numbers.config_at.store(at, Ordering::Relaxed);
    }
}
