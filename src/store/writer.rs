//! The one task that writes. It puts what waits into transactions, and waits itself while the database is away.
//!
//! Invariants: a batch stays in hand until it is known to be on disk, so that order is kept; a batch whose commit may or may
//! not have happened is looked up by its number, inside the next transaction, before it is written again.

mod answer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::audit;
use super::commit::commit;
use super::connect::Db;
use super::db::{Conn, DbError, DbFault};
use super::error::{DatabaseState, StoreError};
use super::ledger::pack::Packer;
use super::queue::{Batch, Query, Tend};
use super::retention::Cleaner;
use super::state::StoreState;
use super::{file, open, sql};
use crate::config::Retention;
use crate::reliability::backoff;
use crate::runtime::{chance, clock};
use crate::telemetry::event::AuditEvent;

/// One transaction, at the most.
const PATIENCE: Duration = Duration::from_secs(15);
/// A database that has not answered for so long is said to be away, though it may answer yet.
const SAID: Duration = Duration::from_secs(4);
/// The first wait for a file that cannot be used, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The same for a server. A fleet loses it in one moment and must not come back in one: each member takes a moment of
/// its own within the wait.
const RETURNS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// Between two looks at the file while there is nothing to do.
const LOOKS: Duration = Duration::from_secs(2);
/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<StoreState>,
    db: Db,
    /// Names this writer in `commits`.
    name: String,
    conn: Option<Conn>,
    /// Which file the connection has open, and whether the name was found to be another one's.
    file: Option<file::Id>,
    lost: bool,
    /// What is in hand, in order; the first one has `number`.
    todo: Vec<Batch>,
    number: i64,
    failures: u32,
    cleaner: Cleaner,
    packer: Packer,
    /// It has the fleet's lease, so it cleans for all.
    holds: bool,
    rules: sql::Rules,
}

/// What the writer does next.
enum WriterStep {
    Write,
    Answer(Query),
    Clean,
    Pack,
    Wait(Instant),
    Leave,
}

/// Ends everything that waits, however the task ends.
struct QueueGuard(Arc<StoreState>);

impl Drop for QueueGuard {
    fn drop(&mut self) {
        let waited = self.0.queue().close();
        drop(waited);
        self.0.left.send_replace(true);
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<StoreState>, db: Db, keep: Retention, rules: sql::Rules) -> Self {
        let name = uuid::Uuid::now_v7().to_string();
        Self {
            shared,
            db,
            name,
            conn: None,
            file: None,
            lost: false,
            todo: Vec::new(),
            number: 1,
            failures: 0,
            cleaner: Cleaner::new(keep),
            packer: Packer::new(),
            holds: false,
            rules,
        }
    }

    /// Writes until the store is closed.
    pub(super) async fn run(mut self) {
        let _left = QueueGuard(Arc::clone(&self.shared));
        loop {
            if self.conn.is_none()
                && let Err(error) = self.connect().await
            {
                if self.rest(&error).await {
                    break;
                }
                continue;
            }
            if let Err(error) = self.look().await {
                if self.rest(&error).await {
                    break;
                }
                continue;
            }
            let done = match self.next() {
                WriterStep::Write => self.write().await,
                WriterStep::Answer(ask) => self.answer(ask).await,
                WriterStep::Clean => self.clean_by_the_clock().await,
                WriterStep::Pack => self.tend(Tend::Pack).await.map(drop),
                WriterStep::Wait(until) => self.wait(until).await,
                WriterStep::Leave => break,
            };
            if let Err(error) = done
                && self.rest(&error).await
            {
                break;
            }
        }
        self.leave().await;
    }

    /// The first connection; its failure is only noted, the task tries again.
    pub(super) async fn connect(&mut self) -> Result<(), DbError> {
        if let (Db::Sqlite(path), Some(known)) = (&self.db, self.file)
            && file::named(path).await?.is_some_and(|there| there != known)
        {
            return Err(self.replaced());
        }
        let (conn, moved) = open::open(&self.db).await?;
        self.conn = Some(conn);
        if let Db::Sqlite(path) = &self.db {
            self.file = file::named(path).await?;
        }
        self.shared.connected(self.db.pool(), moved, self.todo.is_empty());
        Ok(())
    }

    /// Is the file still the one that is open? One that is gone is written anew.
    async fn look(&mut self) -> Result<(), DbError> {
        let (Db::Sqlite(path), Some(known), Some(conn)) = (&self.db, self.file, &mut self.conn) else {
            return Ok(());
        };
        match file::named(path).await? {
            Some(there) if there == known => {}
            Some(_) => return Err(self.replaced()),
            None => {
                file::rewrite(conn, path).await?;
                self.shared.rewritten(path);
                self.give_up().await;
                self.file = None;
                self.lost = false;
                return self.connect().await;
            }
        }
        if std::mem::take(&mut self.lost) {
            self.shared.connected(self.db.pool(), None, self.todo.is_empty());
        }
        Ok(())
    }

    fn replaced(&mut self) -> DbError {
        let path = if let Db::Sqlite(path) = &self.db { path.as_path() } else { Path::new("") };
        let error = file::replaced(path);
        self.lost = true;
        self.shared.closed_to_readers(&error);
        error
    }

    /// Until there is something to do, or `until`; an error: the server has closed the connection.
    async fn wait(&mut self, until: Instant) -> Result<(), DbError> {
        let Some(Conn::Postgres(session)) = &mut self.conn else {
            self.shared.woken(until).await;
            return Ok(());
        };
        tokio::select! {
            biased;
            () = self.shared.woken(until) => Ok(()),
            heard = session.news(&self.name) => {
                heard?;
                self.shared.news.send_modify(|told| *told += 1);
                Ok(())
            }
        }
    }

    fn next(&mut self) -> WriterStep {
        let now = clock::instant();
        let mut queue = self.shared.queue();
        if let Some(ask) = queue.next_ask() {
            return WriterStep::Answer(ask);
        }
        if self.todo.is_empty() {
            self.todo.extend(queue.next_batch());
        }
        match () {
            () if !self.todo.is_empty() => WriterStep::Write,
            () if queue.closing => WriterStep::Leave,
            () if self.cleaner.at <= now => WriterStep::Clean,
            () if self.packer.at <= now => WriterStep::Pack,
            () => {
                let tend_at = self.cleaner.at.min(self.packer.at);
                WriterStep::Wait(if self.file.is_some() { tend_at.min(now + LOOKS) } else { tend_at })
            }
        }
    }

    /// Writes the first batch in hand.
    async fn write(&mut self) -> Result<(), DbError> {
        let (Some(conn), Some(batch)) = (&mut self.conn, self.todo.first()) else { return Ok(()) };
        let start = clock::instant();
        let writing = commit(conn, batch, (&self.name, self.number), &self.rules);
        let written = patiently(&self.shared, writing).await;
        match written {
            Ok(head) => {
                let batch = self.todo.remove(0);
                self.number += 1;
                self.failures = 0;
                head.into_iter().for_each(|head| self.shared.headed(head));
                self.shared.settled(batch, Ok(()), clock::instant().saturating_duration_since(start));
                Ok(())
            }
            Err(error) if error.fault == DbFault::Refused => {
                self.single_out(&error);
                self.undo().await;
                Ok(())
            }
            Err(error) => {
                self.undo().await;
                Err(error)
            }
        }
    }

    /// One write of the batch can never work: each group is tried alone, and the one that fails is told.
    fn single_out(&mut self, error: &DbError) {
        let batch = self.todo.remove(0);
        if batch.groups.len() > 1 {
            let alone = batch.groups.into_iter().map(|group| Batch { groups: vec![group] });
            self.todo = alone.chain(self.todo.drain(..)).collect();
        } else {
            self.shared.settled(batch, Err(error.clone().into()), Duration::ZERO);
        }
    }

    /// Ends the transaction that failed. A connection that cannot even do that is given up, and its fate looked up later.
    async fn undo(&mut self) {
        if let Some(conn) = &mut self.conn {
            let undone = tokio::time::timeout(PATIENCE, conn.rollback()).await;
            // SQLite has undone it already when its disk is full; then there is nothing to undo, and that is no failure.
            let nothing =
                matches!(&undone, Ok(Err(error)) if error.text.contains("no transaction is active"));
            if !matches!(undone, Ok(Ok(_))) && !nothing {
                self.give_up().await;
            }
        }
    }

    /// Lets the connection go. It is closed in order where that can be done: a file that is still held must not be moved.
    async fn give_up(&mut self) {
        if let Some(conn) = self.conn.take() {
            let _ = tokio::time::timeout(PATIENCE, conn.close()).await;
        }
    }

    async fn clean_by_the_clock(&mut self) -> Result<(), DbError> {
        if self.holds || matches!(self.db, Db::Sqlite(_)) {
            if self.cleaner.due() {
                self.tend(Tend::Clean).await?;
            }
            self.cleaner.done();
        } else {
            self.cleaner.passed();
        }
        // Who could change the file cannot change what has left it.
        if let Some(conn) = &mut self.conn {
            let head = audit::head(conn, "audit").await?;
            AuditEvent::Head { head: &head.to_string() }.tell();
            self.shared.headed(head);
        }
        Ok(())
    }

    async fn tend(&mut self, what: Tend) -> Result<u64, DbError> {
        let (Some(conn), key) = (&mut self.conn, self.rules.key.as_ref()) else { return Ok(0) };
        let tended = match what {
            Tend::Clean => self.cleaner.clean(conn, key).await,
            Tend::Pack => patiently(&self.shared, self.packer.piece(conn, key)).await,
        };
        if tended.is_err() {
            self.give_up().await;
        }
        tended
    }

    /// Waits for a database that is away. True: the store is being closed meanwhile.
    async fn rest(&mut self, error: &DbError) -> bool {
        let state = match error.fault {
            DbFault::Down(state) => state,
            DbFault::Refused | DbFault::OtherTables => DatabaseState::Unreachable,
        };
        // What is open of a file that has lost its name is all there is of it.
        if !matches!(state, DatabaseState::Full | DatabaseState::Gone | DatabaseState::Replaced) {
            self.give_up().await;
        }
        self.holds = false;
        self.shared.down(state, error);
        let draw = chance::draw();
        let wait = match self.db {
            Db::Sqlite(_) => backoff::nth(WAITS.0, WAITS.1, self.failures, draw),
            Db::Postgres(_) => backoff::anywhere(RETURNS.0, RETURNS.1, self.failures, draw),
        };
        let until = clock::instant() + wait;
        self.failures = self.failures.saturating_add(1);
        loop {
            self.shared.fail_asks(error);
            if self.shared.queue().closing && self.failures > 1 {
                return true;
            }
            if until <= clock::instant() {
                return false;
            }
            self.shared.woken(until).await;
        }
    }

    /// Tells those whose writes are in hand, and leaves the file whole.
    async fn leave(&mut self) {
        // Their writes stay counted as waiting: [`super::Store::close`] tells how many there were.
        for group in self.todo.drain(..).flat_map(|batch| batch.groups) {
            group.answer(Err(StoreError::Closed));
        }
        if let Some(mut conn) = self.conn.take() {
            if let Conn::Sqlite(_) = conn {
                let _ = conn.rows("PRAGMA wal_checkpoint(TRUNCATE)", &[]).await;
            }
            let _ = conn.close().await;
        }
    }
}

/// What the database does, but not for ever; that it takes long is said before it is given up.
async fn patiently<T>(
    shared: &StoreState,
    work: impl Future<Output = Result<T, DbError>>,
) -> Result<T, DbError> {
    let late = |after: Duration| DbError::unreachable(format!("no answer within {after:?}"));
    let mut work = std::pin::pin!(work);
    if let Ok(done) = tokio::time::timeout(SAID, &mut work).await {
        return done;
    }
    shared.down(DatabaseState::Unreachable, &late(SAID));
    let done = tokio::time::timeout(PATIENCE.saturating_sub(SAID), work).await;
    let done = done.unwrap_or_else(|_| Err(late(PATIENCE)));
    if done.is_ok() {
        shared.moved(DatabaseState::Ok, None);
    }
    done
}
