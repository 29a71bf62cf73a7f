//! The one task that writes. It puts what waits into transactions, and waits itself while the database is away.
//!
//! Invariants: a batch stays in hand until it is known to be on disk, so that order is kept; a batch whose commit may or may
//! not have happened is looked up by its number, inside the next transaction, before it is written again.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::audit::{self, Head};
use super::connect::Db;
use super::db::{Conn, DbError, Fault};
use super::error::{State, StoreError};
use super::queue::{Ask, Batch, LeaseAsk};
use super::retention::What;
use super::rows::{Lease, Millis, Seen, millis};
use super::{MEMBERS, Shared, open, retention, sql};
use crate::config::Retention;
use crate::reliability::backoff;
use crate::runtime::clock;
use crate::telemetry::event::{AuditEvent, StoreEvent};

/// One transaction, at the most.
const PATIENCE: Duration = Duration::from_secs(15);
/// The first wait for a database that is away, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// From the start to the first cleaning, then between two.
const CLEANING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));
/// One cleaning in so many looks at everything: once a day.
const WHOLE: u32 = 24;

/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    db: Db,
    keep: Retention,
    /// Names this writer in `commits`.
    name: String,
    conn: Option<Conn>,
    /// What is in hand, in order; the first one has `number`.
    todo: Vec<Batch>,
    number: i64,
    failures: u32,
    clean_at: Instant,
    /// Cleanings until one looks at everything.
    whole_in: u32,
    /// Since when the clock stands alone.
    doubted: Option<Instant>,
    rules: sql::Rules,
}

/// What the writer does next.
enum Next {
    Write,
    Answer(Ask),
    Clean,
    Wait(Instant),
    Leave,
}

/// Ends everything that waits, however the task ends.
struct Left(Arc<Shared>);

impl Drop for Left {
    fn drop(&mut self) {
        let waited = self.0.queue().close();
        drop(waited);
        self.0.left.send_replace(true);
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, db: Db, keep: Retention, rules: sql::Rules) -> Self {
        let name = uuid::Uuid::now_v7().to_string();
        let clean_at = clock::instant() + CLEANING.0;
        Self {
            shared,
            db,
            keep,
            name,
            conn: None,
            todo: Vec::new(),
            number: 1,
            failures: 0,
            clean_at,
            whole_in: 0,
            doubted: None,
            rules,
        }
    }

    /// Writes until the store is closed.
    pub(super) async fn run(mut self) {
        let _left = Left(Arc::clone(&self.shared));
        loop {
            if self.conn.is_none()
                && let Err(error) = self.connect().await
            {
                if self.rest(&error).await {
                    break;
                }
                continue;
            }
            let done = match self.next() {
                Next::Write => self.write().await,
                Next::Answer(ask) => self.answer(ask).await,
                Next::Clean => self.clean_by_the_clock().await,
                Next::Wait(until) => {
                    self.shared.woken(until).await;
                    Ok(())
                }
                Next::Leave => break,
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
        let (conn, moved) = open::open(&self.db).await?;
        self.conn = Some(conn);
        self.shared.connected(self.db.pool(), moved, self.todo.is_empty());
        Ok(())
    }

    fn next(&mut self) -> Next {
        let now = clock::instant();
        let mut queue = self.shared.queue();
        if let Some(ask) = queue.next_ask() {
            return Next::Answer(ask);
        }
        if self.todo.is_empty() {
            self.todo.extend(queue.next_batch(now));
        }
        match () {
            () if !self.todo.is_empty() => Next::Write,
            () if queue.closing => Next::Leave,
            () if self.clean_at <= now => Next::Clean,
            () => Next::Wait(queue.next_sample().map_or(self.clean_at, |due| due.min(self.clean_at))),
        }
    }

    /// Writes the first batch in hand.
    async fn write(&mut self) -> Result<(), DbError> {
        let (Some(conn), Some(batch)) = (&mut self.conn, self.todo.first()) else { return Ok(()) };
        let start = clock::instant();
        let writing = commit(conn, batch, (&self.name, self.number), &self.rules);
        let written = tokio::time::timeout(PATIENCE, writing).await;
        let written = written.unwrap_or_else(|_| {
            Err(DbError::unreachable(format!("a transaction took longer than {PATIENCE:?}")))
        });
        match written {
            Ok(how) => {
                let batch = self.todo.remove(0);
                self.number += 1;
                self.failures = 0;
                let how = how.map(|head| self.shared.headed(head));
                self.shared.settled(batch, how, clock::instant().saturating_duration_since(start));
                Ok(())
            }
            Err(error) if error.fault == Fault::Refused => {
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
        if batch.groups.len() + usize::from(!batch.samples.is_empty()) > 1 {
            let samples = Batch { samples: batch.samples, ..Batch::default() };
            let alone =
                batch.groups.into_iter().map(|group| Batch { groups: vec![group], ..Batch::default() });
            self.todo = alone
                .chain((!samples.samples.is_empty()).then_some(samples))
                .chain(self.todo.drain(..))
                .collect();
        } else {
            self.shared.queue().dropped_samples += batch.samples.len() as u64;
            self.shared.settled(batch, Err(error.clone().into()), Duration::ZERO);
        }
    }

    /// Ends the transaction that failed. A connection that cannot even do that is given up, and its fate looked up later.
    async fn undo(&mut self) {
        if let Some(conn) = &mut self.conn {
            let undone = tokio::time::timeout(PATIENCE, conn.run("ROLLBACK", &[])).await;
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

    async fn answer(&mut self, ask: Ask) -> Result<(), DbError> {
        // The asker may have left: nobody minds what is sent then.
        let failed = match ask {
            Ask::Clean(done) => {
                let cleaned = self.clean(What::All).await;
                let failed = cleaned.as_ref().err().cloned();
                let _ = done.send(cleaned.map_err(StoreError::from));
                failed
            }
            Ask::Lease(what, done) => {
                let mut answered = self.lease(&what).await;
                if matches!(&answered, Err(error) if error.fault == Fault::Down(State::Unreachable)) {
                    // A connection that lay idle may be dead without anybody having noticed.
                    self.give_up().await;
                    answered = match self.connect().await {
                        Ok(()) => self.lease(&what).await,
                        Err(error) => Err(error),
                    };
                }
                let failed = answered.as_ref().err().cloned();
                let _ = done.send(answered.map_err(StoreError::from));
                failed
            }
            Ask::Appear(..) | Ask::Depart(..) => self.present(ask).await,
        };
        failed.map_or(Ok(()), Err)
    }

    /// Answers whoever tells that it runs, or that it leaves. The next second asks again: nothing is tried twice.
    async fn present(&mut self, ask: Ask) -> Option<DbError> {
        let (answered, done): (Result<Vec<Seen>, DbError>, _) = match (ask, &mut self.conn) {
            (Ask::Appear(row, done), Some(conn)) => {
                let asked = tokio::time::timeout(PATIENCE, sql::appear(conn, &row, MEMBERS)).await;
                (asked.unwrap_or_else(|_| Err(late())), done)
            }
            (Ask::Depart(row, done), Some(conn)) => {
                let asked = tokio::time::timeout(PATIENCE, sql::depart(conn, &row)).await;
                (asked.unwrap_or_else(|_| Err(late())), done)
            }
            (other, _) => {
                other.fail(DbError::unreachable("it is away").into());
                return None;
            }
        };
        let failed = answered.as_ref().err().cloned();
        let _ = done.send(answered.map_err(StoreError::from));
        failed
    }

    async fn lease(&mut self, ask: &LeaseAsk) -> Result<Option<Lease>, DbError> {
        let Some(conn) = &mut self.conn else { return Err(DbError::unreachable("it is away")) };
        let asked = tokio::time::timeout(PATIENCE, sql::lease(conn, ask)).await;
        asked.unwrap_or_else(|_| Err(late()))
    }

    async fn clean_by_the_clock(&mut self) -> Result<(), DbError> {
        let what = if self.whole_in == 0 { What::All } else { What::Samples };
        self.clean(what).await?;
        // Who could change the file cannot change what has left it.
        if let Some(conn) = &mut self.conn {
            let head = audit::head(conn, "audit").await?;
            AuditEvent::Head { head: &head.to_string() }.tell();
            self.shared.headed(head);
        }
        // What a doubted clock left is looked at again within the hour.
        self.whole_in = match self.whole_in {
            0 if self.doubted.is_some() => 0,
            0 => WHOLE - 1,
            left => left - 1,
        };
        Ok(())
    }

    async fn clean(&mut self, what: What) -> Result<u64, DbError> {
        self.clean_at = clock::instant() + CLEANING.1;
        let Some(conn) = &mut self.conn else { return Ok(0) };
        let now = millis(clock::now().wall);
        let cleaned = match retention::doubt(conn, now).await {
            Ok(newest) if doubts(&mut self.doubted, newest) => Ok(0),
            Ok(_) => retention::clean(conn, what, (&self.keep, self.rules.key.as_ref()), now).await,
            Err(error) => Err(error),
        };
        if cleaned.is_err() {
            self.give_up().await;
            self.clean_at = clock::instant() + CLEANING.0;
        }
        cleaned
    }

    /// Waits for a database that is away. True: the store is being closed meanwhile.
    async fn rest(&mut self, error: &DbError) -> bool {
        let state = match error.fault {
            Fault::Down(state) => state,
            Fault::Refused | Fault::OtherTables => State::Unreachable,
        };
        if state != State::Full {
            self.give_up().await;
        }
        self.shared.down(state, error);
        // The low half of a version 7 id is chance.
        let draw = uuid::Uuid::now_v7().as_u64_pair().1;
        let until = clock::instant() + backoff::nth(WAITS.0, WAITS.1, self.failures, draw);
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

/// Is the clock, which is far past the row of `newest`, to be doubted? Not for longer than a day.
fn doubts(doubted: &mut Option<Instant>, newest: Option<Millis>) -> bool {
    let Some(newest) = newest else {
        *doubted = None;
        return false;
    };
    let now = clock::instant();
    if doubted.is_none() {
        StoreEvent::ClockDoubted { newest: &clock::rfc3339(wall_of(newest)) }.tell();
    }
    let since = *doubted.get_or_insert(now);
    !retention::believed(now.saturating_duration_since(since))
}

fn wall_of(at: Millis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or_default())
}

fn late() -> DbError {
    DbError::unreachable(format!("no answer within {PATIENCE:?}"))
}

/// One transaction, told apart by its writer and number. The inner result: the end of the audit chain, or what its groups are
/// told, which is `Fenced`.
async fn commit(
    conn: &mut Conn,
    batch: &Batch,
    (writer, number): (&str, i64),
    rules: &sql::Rules,
) -> Result<Result<Head, StoreError>, DbError> {
    conn.begin().await?;
    let mut head = sql::lock(conn, rules.key.as_ref()).await?;
    if sql::last_batch(conn, writer).await? >= number {
        conn.run("COMMIT", &[]).await?;
        return Ok(Ok(head));
    }
    let mut changed = sql::Changed::new();
    for group in &batch.groups {
        if let Some((lease, token)) = group.fence()
            && !sql::fenced(conn, lease, token).await?
        {
            conn.run("ROLLBACK", &[]).await?;
            return Ok(Err(StoreError::Fenced(lease.to_owned())));
        }
        for write in &group.writes {
            sql::write(conn, write, &mut head, &mut changed, rules).await?;
        }
    }
    sql::seal(conn, &changed, &mut head, rules.key.as_ref()).await?;
    for sample in &batch.samples {
        sql::sample(conn, sample).await?;
    }
    sql::note_batch(conn, writer, number, millis(clock::now().wall)).await?;
    conn.run("COMMIT", &[]).await?;
    Ok(Ok(head))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::queue::Group;
    use crate::store::rows::{AuditEntry, Write};

    fn batch() -> Batch {
        let text = String::new;
        let entry = AuditEntry { at: 0, actor: text(), action: text(), target: text(), body: text() };
        let group = Group { writes: vec![Write::Audit(entry)], done: oneshot::channel().0 };
        Batch { groups: vec![group], samples: Vec::new() }
    }

    #[tokio::test]
    async fn a_commit_whose_answer_got_lost_is_not_written_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut conn, _) = open::open(&Db::Sqlite(dir.path().join("strop.db"))).await.expect("opens");
        for (writer, number) in [("me", 1), ("me", 1), ("you", 1), ("me", 2), ("me", 2)] {
            let rules = sql::Rules { join: crate::store::newer, key: None };
            let done = commit(&mut conn, &batch(), (writer, number), &rules).await.expect("commits");
            assert!(done.is_ok(), "{done:?}");
        }
        let head = audit::head(&mut conn, "audit").await.expect("reads");
        assert_eq!(head.seq, 3);
        assert_eq!(audit::walk(&mut conn, &audit::Checks::default()).await.expect("reads").broken, None);
    }
}
