//! Incidents, audit, notifications and the uptime ledger on disk: SQLite for one sidecar, PostgreSQL for a fleet.
//!
//! Knows rows, not machines: what a state means, when to page and what a second was worth is decided elsewhere. One task
//! writes ([`Store::open`] starts it); nobody on the request path waits for it. [`Store::write`] is never dropped. While the database is away, writes wait in memory in their order, up to a bound at
//! which superseded ones are folded; a call that still finds no room is told so at once. Reads go through [`Reader`] and fail
//! with what is wrong.
//!
//! Invariants: what [`WriteReceipt`] has acknowledged survives the process, the power and the network; a call is on disk as a whole
//! or not at all, and once; the audit chain has one writer at a time, in a fleet too; no file is ever deleted.

pub mod audit;
pub mod backup;
mod beat;
mod chain;
mod commit;
mod connect;
mod db;
mod digest;
mod effects;
pub mod error;
mod exchange;
mod export;
mod file;
mod fleet;
mod ledger;
mod open;
mod owner;
mod queue;
mod read;
mod retention;
pub mod rows;
mod seal;
mod session;
mod state;
mod statement;
mod tables;
pub mod values;
mod writer;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

pub use crate::config::StoreConfig;
use crate::runtime::tasks::Tasks;
pub use connect::{check, reach};
use db::DbFault;
pub use error::{DatabaseState, MovedAside, StoreError, StoreStatus};
use queue::{Query, Tend, WriteGroup, WriteQueue};
pub use read::{Reader, RowPage};
use rows::Write;
use state::{StoreState, locked};
pub use tables::{IncidentFilter, Join, newer};

/// Sidecars that were not seen for so long are no longer shown.
const MEMBERS: Duration = Duration::from_secs(3_600);

/// Changed incidents that one beat brings, at most.
pub const CHANGES: usize = 64;

/// A handle to the store; clones are cheap. Writes may come from any thread, reads from the control runtime.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<StoreState>,
    _alive: Arc<Alive>,
}

/// The last handle that goes closes the store.
#[derive(Debug)]
struct Alive(Arc<StoreState>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.queue().closing = true;
        self.0.wake.notify_one();
    }
}

impl Store {
    /// [`Self::open_joining`], of two versions keeping the [`newer`] one.
    pub async fn open(config: &StoreConfig, tasks: &Tasks) -> Result<Self, StoreError> {
        Self::open_joining(config, tasks, newer).await
    }

    /// Opens the database and starts the task that writes. A database that is away is no error: [`Self::status`] says so, and
    /// writes wait. An error is what only the operator can change. Nobody waits for a server: the task connects, and says
    /// then what is wrong.
    pub async fn open_joining(config: &StoreConfig, tasks: &Tasks, join: Join) -> Result<Self, StoreError> {
        let db = connect::told(config)?;
        let is_file = matches!(db, connect::Db::Sqlite(_));
        let first = is_file.then_some(DatabaseState::Ok);
        let shared = Arc::new(StoreState::new(WriteQueue::new(config.backlog), db.name(), db.pool(), first));
        let rules = tables::Rules { join, key: audit::ChainKey::of(config) };
        let mut writer = writer::Writer::new(Arc::clone(&shared), db, config.retention, rules);
        if is_file && let Err(error) = writer.connect().await {
            match error.fault {
                DbFault::Down(state) => shared.down(state, &error),
                DbFault::Refused | DbFault::OtherTables => return Err(error.into()),
            }
        }
        tasks.spawn("store", writer.run());
        Ok(Self { _alive: Arc::new(Alive(Arc::clone(&shared))), shared })
    }

    /// Hands writes to the durable lane; they are taken before this returns, whether the answer is awaited or not. All of them
    /// are on disk together when it comes.
    pub fn write(&self, mut writes: Vec<Write>) -> WriteReceipt {
        writes.iter_mut().for_each(Write::without_nul);
        let (done, told) = oneshot::channel();
        let pushed = self.shared.queue().push(WriteGroup { writes, done });
        match pushed {
            Ok(()) => self.shared.wake.notify_one(),
            Err((group, why)) => group.answer(Err(why)),
        }
        WriteReceipt(told)
    }

    /// How the store is.
    pub fn status(&self) -> StoreStatus {
        let queue = self.shared.queue();
        let condition = locked(&self.shared.condition);
        StoreStatus {
            state: condition.state,
            since: condition.since,
            database: self.shared.database,
            backlog: queue.waiting(),
            backlog_limit: queue.limit(),
            last_error: condition.last_error.clone(),
            moved_aside: condition.moved_aside.clone(),
            rewritten: condition.rewritten,
            committed: condition.committed,
            folded: queue.folded,
            refused: queue.refused,
            commits: condition.commits.clone(),
            audit_head: condition.audit_head.clone(),
        }
    }

    /// May other sidecars share it? A file is one sidecar's.
    pub fn is_shared(&self) -> bool {
        self.shared.database != "sqlite"
    }

    /// Reads from what is on disk.
    pub fn reader(&self) -> Reader {
        Reader::new(locked(&self.shared.pool).clone())
    }

    /// Deletes what is older than `[store.retention]` now, as happens once a day; how many rows.
    pub async fn clean(&self) -> Result<u64, StoreError> {
        self.answered(|done| Query::Tend(Tend::Clean, done)).await
    }

    /// Packs the closed days of the ledger now, as happens by and by; how many minutes were moved. Other writes go between.
    pub async fn pack(&self) -> Result<u64, StoreError> {
        let mut minutes = 0;
        loop {
            match self.answered(|done| Query::Tend(Tend::Pack, done)).await? {
                0 => return Ok(minutes),
                more => minutes += more,
            }
        }
    }

    /// The writer's answer to a question.
    async fn answered<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Query,
    ) -> Result<T, StoreError> {
        let (done, told) = oneshot::channel();
        self.shared.queue().ask(ask(done));
        self.shared.wake.notify_one();
        told.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Takes nothing more, writes what waits and ends the task, within `patience`. How many writes are not on disk: with a
    /// database that is away nobody waits for long.
    pub async fn close(&self, patience: Duration) -> usize {
        let mut left = self.shared.left.subscribe();
        self.shared.queue().closing = true;
        self.shared.wake.notify_one();
        let _ = tokio::time::timeout(patience, left.wait_for(|left| *left)).await;
        self.shared.queue().waiting()
    }
}

/// Walks the audit chain of a database that may be in use.
pub async fn verify_audit(config: &StoreConfig) -> Result<audit::Walk, StoreError> {
    verify_audit_against(config, None).await
}

/// The same; it must come by a head that was seen elsewhere: in a log, a metric, the manifest of a copy.
pub async fn verify_audit_against(
    config: &StoreConfig,
    against: Option<&audit::ChainEnd>,
) -> Result<audit::Walk, StoreError> {
    let mut conn = connect::Db::of(config)?.connect().await?;
    conn.begin_snapshot().await?;
    let walk = audit::walk(&mut conn, &audit::Checks { key: audit::ChainKey::of(config), against }).await?;
    conn.close().await?;
    Ok(walk)
}

/// Resolves when the writes are on disk, or says why they never will be. Dropping it drops nothing else.
#[derive(Debug)]
#[must_use = "the answer says whether it is on disk"]
pub struct WriteReceipt(oneshot::Receiver<Result<(), StoreError>>);

impl Future for WriteReceipt {
    type Output = Result<(), StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|told| told.unwrap_or(Err(StoreError::Closed)))
    }
}
