//! Starts the parts that belong together: store, engine, notifier.

use std::sync::Arc;

use super::backups::{self, BackupStatus};
use super::heartbeat::Beating;
use super::{Control, Handle, Notifier, Observer, Own, Records, damaged, monthly, own};
use crate::config::{Config, StoreAt};
use crate::notify::{Channels, PATIENCE, Sender};
use crate::runtime::drain::Drain;
use crate::runtime::tasks::Tasks;
use crate::store::{Store, StoreError, StoreStatus};
use crate::telemetry::Telemetry;
use crate::telemetry::store::{BackupSnapshot, StoreSnapshot};
use crate::upstream::registry::Registry;

/// The parts of control that run, for whoever started them.
#[derive(Clone)]
pub struct Running {
    /// For those who look and order.
    pub handle: Handle,
    /// Takes other channels on a reload.
    pub sender: Arc<Sender>,
    /// To be closed at the end; `None`: it is off.
    pub store: Option<Store>,
    /// To be told what the process knows of itself.
    pub own: Own,
}

/// Starts them. An error is what only the operator can change; a database that is away is none.
pub async fn start(
    config: &Config,
    registry: &Arc<Registry>,
    telemetry: &Arc<Telemetry>,
    tasks: &Tasks,
    drain: &Drain,
) -> Result<Running, StoreError> {
    let store = match &config.store {
        Some(config) => Some(Store::open_joining(config, tasks, super::heads::join).await?),
        None => None,
    };
    let boot = uuid::Uuid::now_v7().to_string();
    let records = Records::new(store.clone(), &config.process.name, &boot);
    tend(config, &records, telemetry, tasks, drain);
    let sender = Arc::new(Sender::new(Arc::new(Channels::new(config)), PATIENCE));
    let kept_at = config.store.as_ref().map(|store| store.at.clone());
    let writing = records.clone();
    let observer = Observer::new(Arc::clone(registry), Arc::clone(telemetry));
    let (posting, kept, counting) = (Arc::clone(&sender), records.clone(), Arc::clone(telemetry));
    let (control, handle, sync) = Control::new(observer, Arc::clone(telemetry), records, |replies| {
        Notifier::new(posting, kept, replies, counting)
    });
    let (notifier, facts) = (control.notifier(), control.own());
    if let Some(StoreAt::Sqlite(path)) = kept_at {
        tasks.spawn("writers", own::watch_writers(facts.clone(), writing, path, drain.listening()));
    }
    telemetry.people.ask(move || notifier.waiting());
    let beating = Beating {
        registry: Arc::clone(registry),
        sender: Arc::clone(&sender),
        notifier: control.notifier(),
        telemetry: Arc::clone(telemetry),
        snapshot: handle.watch(),
        duty: control.duty(),
    };
    tasks.spawn("heartbeat", beating.run(drain.listening()));
    tasks.spawn("post", control.notifier().run(drain.listening(), control.duty()));
    if let Some(sync) = sync {
        tasks.spawn("fleet", sync.run(drain.clone()));
    }
    tasks.spawn("autoscaler", control.actions().watch_autoscaler(drain.listening()));
    tasks.spawn("drills", monthly::follow(handle.clone(), drain.listening()));
    tasks.spawn("control", control.run(drain.clone()));
    Ok(Running { handle, sender, store, own: facts })
}

/// What the store needs beside its writer: copies, a look at damaged files, numbers.
fn tend(config: &Config, records: &Records, telemetry: &Telemetry, tasks: &Tasks, drain: &Drain) {
    let (Some(config), Some(store)) = (&config.store, records.store()) else { return };
    if let Some(plan) = &config.backup {
        let copying =
            backups::run(records.backups().clone(), config.clone(), plan.clone(), drain.listening());
        tasks.spawn("backups", copying);
    }
    if let StoreAt::Sqlite(path) = &config.at {
        let looking = damaged::watch(records.damaged().clone(), path.clone(), drain.listening());
        tasks.spawn("damaged", looking);
    }
    let (store, backups) = (store.clone(), records.backups().clone());
    telemetry.store.ask(move || numbers(store.status(), backups.status()));
}

fn numbers(status: StoreStatus, backups: Option<BackupStatus>) -> StoreSnapshot {
    StoreSnapshot {
        state: status.state.as_str(),
        committed: status.committed,
        backlog: status.backlog,
        limit: status.backlog_limit,
        folded: status.folded,
        refused: status.refused,
        commits: status.commits,
        audit_head: status.audit_head.map(|head| (head.seq, head.prefix())),
        backup: backups.map(|copies| BackupSnapshot {
            last: copies.last.as_ref().map(|copy| copy.at),
            took: copies.last.as_ref().and_then(|copy| copy.took),
            bytes: copies.last.as_ref().map(|copy| copy.bytes),
            good: copies.good,
            failed: copies.failed,
        }),
    }
}
