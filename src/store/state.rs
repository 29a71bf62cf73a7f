//! What the handles of the store and its writer share: what waits, and how the database is.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::audit::ChainEnd;
use super::db::{DbError, Pool};
use super::error::{DatabaseState, MovedAside, StoreError};
use super::queue::{Batch, WriteQueue};
use super::rows::millis;
use crate::runtime::clock;
use crate::telemetry::event::StoreEvent;
use crate::telemetry::seconds::Seconds;

/// What the handles and the writer share.
#[derive(Debug)]
pub(super) struct StoreState {
    pub(super) queue: Mutex<WriteQueue>,
    pub(super) wake: Notify,
    pub(super) condition: Mutex<Condition>,
    pub(super) pool: Mutex<Pool>,
    /// How often others have told that there is something new.
    pub(super) news: watch::Sender<u64>,
    pub(super) database: &'static str,
    pub(super) left: watch::Sender<bool>,
}

/// How the database is.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) state: DatabaseState,
    /// Its state was told; false: nobody has reached it since the start.
    pub(super) told: bool,
    pub(super) since: i64,
    pub(super) last_error: Option<String>,
    pub(super) moved_aside: Option<MovedAside>,
    pub(super) rewritten: Option<i64>,
    pub(super) committed: u64,
    pub(super) commits: Seconds,
    pub(super) audit_head: Option<ChainEnd>,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoreState {
    /// Of a database that nobody has reached yet. `first`: it is known to be so, for it is a file.
    pub(super) fn new(
        queue: WriteQueue,
        database: &'static str,
        pool: Pool,
        first: Option<DatabaseState>,
    ) -> Self {
        Self {
            queue: Mutex::new(queue),
            wake: Notify::new(),
            condition: Mutex::new(Condition {
                state: first.unwrap_or(DatabaseState::Unreachable),
                told: first.is_some(),
                since: millis(clock::now().wall),
                last_error: None,
                moved_aside: None,
                rewritten: None,
                committed: 0,
                commits: Seconds::default(),
                audit_head: None,
            }),
            pool: Mutex::new(pool),
            news: watch::Sender::new(0),
            database,
            left: watch::Sender::new(false),
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, WriteQueue> {
        locked(&self.queue)
    }

    /// Until there is something to do, or `until`.
    pub(super) async fn woken(&self, until: Instant) {
        let _ = tokio::time::timeout_at(until.into(), self.wake.notified()).await;
    }

    /// The database is there: readers get new connections, for the file may be another one.
    pub(super) fn connected(&self, pool: Pool, moved: Option<MovedAside>, idle: bool) {
        *locked(&self.pool) = pool;
        if let Some(moved) = &moved {
            let to = moved.to.display().to_string();
            StoreEvent::MovedAside { to: &to, why: &moved.why }.tell();
            locked(&self.condition).moved_aside = Some(moved.clone());
        }
        // With work at hand the first commit tells whether it is well: a full disk lets itself be opened.
        if idle && self.queue().waiting() == 0 {
            self.moved(DatabaseState::Ok, None);
        }
    }

    /// Another file has the name: nobody may read it.
    pub(super) fn closed_to_readers(&self, why: &DbError) {
        *locked(&self.pool) = Pool::Away(why.clone());
    }

    /// The file was removed and written anew.
    pub(super) fn rewritten(&self, path: &std::path::Path) {
        StoreEvent::Rewritten { file: &path.display().to_string() }.tell();
        locked(&self.condition).rewritten = Some(millis(clock::now().wall));
    }

    /// Nobody waits for a lease from a database that is away.
    pub(super) fn fail_asks(&self, error: &DbError) {
        loop {
            let ask = self.queue().take_ask();
            match ask {
                Some(ask) => ask.fail(error.clone().into()),
                None => return,
            }
        }
    }

    pub(super) fn down(&self, state: DatabaseState, error: &DbError) {
        self.moved(state, Some(&error.text));
    }

    pub(super) fn moved(&self, state: DatabaseState, why: Option<&str>) {
        let now = millis(clock::now().wall);
        let (from, told) = {
            let mut condition = locked(&self.condition);
            if let Some(why) = why {
                condition.last_error = Some(why.to_owned());
            }
            let from = condition.state;
            if from != state {
                condition.state = state;
                condition.since = now;
            }
            // The first connection is no news, a first failure is.
            let told = std::mem::replace(&mut condition.told, true);
            (from, told)
        };
        if (told && from != state) || (!told && state != DatabaseState::Ok) {
            let backlog = self.queue().waiting();
            let (from, to, why) = (from.as_str(), state.as_str(), why.unwrap_or_default());
            StoreEvent::Moved { from, to, why, backlog }.tell();
        }
    }

    /// The audit chain ends here.
    pub(super) fn headed(&self, head: ChainEnd) {
        locked(&self.condition).audit_head = Some(head);
    }

    /// A batch is on disk, or will never be.
    pub(super) fn settled(&self, batch: Batch, how: Result<(), StoreError>, took: Duration) {
        let writes = batch.writes();
        self.queue().settled(writes);
        if how.is_ok() {
            let mut condition = locked(&self.condition);
            condition.committed += writes as u64;
            condition.commits.record(took);
            drop(condition);
            self.moved(DatabaseState::Ok, None);
        }
        for group in batch.groups {
            group.answer(how.clone());
        }
    }
}
