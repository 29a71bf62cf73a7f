//! What is too old goes, once a day. Open incidents never do; the audit chain keeps its anchor.
//!
//! Invariants, for a clock that is wrong must not empty the store: a pass takes at most a tenth of a class, rounded up and the
//! oldest first; while the clock stands alone (see [`jumped`]) nothing goes until the process has seen that for a day.

use std::time::{Duration, Instant, SystemTime};

use super::audit::{self, ChainKey};
use super::db::{Conn, DbError, args};
use super::rows::{Millis, millis};
use super::seal;
use super::tables::{Class, Kept, TABLES, heads};
use crate::config::Retention;
use crate::runtime::clock;
use crate::telemetry::event::StoreEvent;

/// Rows younger than that may be this clock's own and prove nothing.
const DAY: Duration = Duration::from_secs(86_400);
/// A clock so far past the newest row before its own ones is doubted.
const GAP: Duration = DAY.saturating_mul(7);
/// From the start to the first pass, and after one that failed; then between two.
const PASSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));
/// One pass in so many deletes: once a day. Each tells the head of the audit chain.
const WHOLE: u32 = 24;
/// Of a class one pass takes one row in so many.
const SHARE: i64 = 10;

fn before(now: Millis, age: Duration) -> Millis {
    now.saturating_sub(Millis::try_from(age.as_millis()).unwrap_or(Millis::MAX))
}

/// Does the clock stand alone? It does when the newest row that is at least a day old is older than a week: whoever wrote the
/// younger ones may have had the same wrong clock. Nothing there: nothing can be lost.
fn jumped(now: Millis, newest: Option<Millis>) -> bool {
    newest.is_some_and(|newest| newest < before(now, GAP))
}

/// When what is cleaned.
#[derive(Debug)]
pub(super) struct Cleaner {
    keep: Retention,
    /// When the next pass is due.
    pub(super) at: Instant,
    /// Passes of an hour until one deletes.
    whole_in: u32,
    /// Since when the clock stands alone.
    doubted: Option<Instant>,
}

impl Cleaner {
    pub(super) fn new(keep: Retention) -> Self {
        Self { keep, at: clock::instant() + PASSES.0, whole_in: 0, doubted: None }
    }

    /// Is this hour's pass the one that deletes?
    pub(super) fn due(&self) -> bool {
        self.whole_in == 0
    }

    /// An hour's pass went by. What a doubted clock left is looked at again with the next one.
    pub(super) fn done(&mut self) {
        self.passed();
        self.whole_in = match self.whole_in {
            0 if self.doubted.is_some() => 0,
            0 => WHOLE - 1,
            left => left - 1,
        };
    }

    /// Another sidecar of the fleet cleans.
    pub(super) fn passed(&mut self) {
        self.at = clock::instant() + PASSES.1;
    }

    /// One pass; how many rows it deleted.
    pub(super) async fn clean(&mut self, conn: &mut Conn, key: Option<&ChainKey>) -> Result<u64, DbError> {
        let now = millis(clock::now().wall);
        self.at = clock::instant() + PASSES.0;
        let newest = doubt(conn, now).await?;
        let deleted = if self.doubts(newest) { 0 } else { clean(conn, (&self.keep, key), now).await? };
        self.at = clock::instant() + PASSES.1;
        Ok(deleted)
    }

    /// Is the clock, which is far past the row of `newest`, to be doubted? Not for longer than a day.
    fn doubts(&mut self, newest: Option<Millis>) -> bool {
        let Some(newest) = newest else {
            self.doubted = None;
            return false;
        };
        let now = clock::instant();
        if self.doubted.is_none() {
            let newest = Duration::from_millis(u64::try_from(newest).unwrap_or_default());
            let newest = SystemTime::UNIX_EPOCH + newest;
            StoreEvent::ClockDoubted { newest: &clock::rfc3339(newest) }.tell();
        }
        let since = *self.doubted.get_or_insert(now);
        !believed(now.saturating_duration_since(since))
    }
}

/// May be deleted by a clock that has been doubted for so long?
fn believed(doubted: Duration) -> bool {
    doubted >= DAY
}

/// The newest row that is at least a day old, when the clock stands alone.
async fn doubt(conn: &mut Conn, now: Millis) -> Result<Option<Millis>, DbError> {
    let sql = "SELECT MAX(at) FROM (SELECT MAX(minute) AS at FROM ledger WHERE minute <= $1 \
               UNION ALL SELECT MAX(day) AS at FROM ledger_days WHERE day <= $1 \
               UNION ALL SELECT MAX(updated_at) AS at FROM incidents WHERE updated_at <= $1 \
               UNION ALL SELECT MAX(at) AS at FROM audit WHERE at <= $1 \
               UNION ALL SELECT MAX(at) AS at FROM commits WHERE at <= $1) AS newest";
    let row = conn.row(sql, args![before(now, DAY)]).await?;
    let newest = row.map(|mut row| row.maybe_int()).transpose()?.flatten();
    Ok(newest.filter(|newest| jumped(now, Some(*newest))))
}

/// Deletes what is older than its class is kept, in one transaction of its own; how many rows.
async fn clean(
    conn: &mut Conn,
    (keep, key): (&Retention, Option<&ChainKey>),
    now: Millis,
) -> Result<u64, DbError> {
    conn.begin().await?;
    match delete(conn, (keep, key), now).await {
        Ok(rows) => conn.commit().await.map(|()| rows),
        Err(error) => {
            conn.rollback().await?;
            Err(error)
        }
    }
}

/// How many of so many rows may go at once.
fn share(rows: i64) -> i64 {
    rows.saturating_add(SHARE - 1) / SHARE
}

async fn count(conn: &mut Conn, sql: &'static str) -> Result<i64, DbError> {
    let row = conn.row(sql, &[]).await?;
    row.map_or(Ok(0), |mut row| row.int())
}

/// Takes the oldest rows of a class away.
async fn take(conn: &mut Conn, class: &Class, until: Millis) -> Result<u64, DbError> {
    let most = match class.count {
        Some(sql) => Some(share(count(conn, sql).await?)),
        None => None,
    };
    let mut rows = 0;
    for sql in class.delete {
        rows += match most {
            Some(most) => conn.run(sql, args![until, most]).await?,
            None => conn.run(sql, args![until]).await?,
        };
    }
    Ok(rows)
}

async fn delete(
    conn: &mut Conn,
    (keep, key): (&Retention, Option<&ChainKey>),
    now: Millis,
) -> Result<u64, DbError> {
    let mut head = heads::lock(conn, key).await?;
    let mut rows = 0;
    for table in &TABLES {
        let Kept::Class(class) = &table.kept else { continue };
        let until = before(now, (class.age)(keep));
        let gone = take(conn, class, until).await?;
        if class.is_sealed && gone > 0 {
            heads::add_audit(conn, &seal::taken(until), &mut head, key).await?;
        }
        rows += gone;
    }
    rows += shorten(conn, before(now, keep.audit), key).await?;
    Ok(rows)
}

/// Takes the oldest audit rows away and remembers the last of them, which the oldest row left follows. A beginning that the key
/// does not know stays as it is: it is what is left of a deed.
async fn shorten(conn: &mut Conn, until: Millis, key: Option<&ChainKey>) -> Result<u64, DbError> {
    let most = share(count(conn, "SELECT COUNT(*) FROM audit").await?);
    // Up to the first row that is young enough: the chain has no holes, whatever the clocks did.
    let sql = "SELECT seq, hash FROM audit WHERE seq < COALESCE((SELECT MIN(seq) FROM audit WHERE at >= $1), \
               (SELECT seq + 1 FROM heads WHERE name = 'audit')) \
               AND seq < (SELECT MIN(seq) FROM audit) + $2 ORDER BY seq DESC LIMIT 1";
    let Some(mut row) = conn.row(sql, args![until, most]).await? else { return Ok(0) };
    if let Some(key) = key {
        let there = audit::head(conn, "anchor").await?;
        if audit::mac(conn, "anchor").await? != Some(key.mac("anchor", &there)) {
            return Ok(0);
        }
    }
    let anchor = audit::ChainEnd { seq: row.int()?, hash: row.text()? };
    heads::put_head(conn, "anchor", &anchor, key).await?;
    conn.run("DELETE FROM audit WHERE seq <= $1", args![anchor.seq]).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_more_than_a_week_past_the_newest_row_stands_alone() {
        let day = Millis::try_from(DAY.as_millis()).expect("fits");
        let now = 1_000 * day;
        for (newest, alone) in
            [(None, false), (Some(now - 7 * day), false), (Some(now - 7 * day - 1), true), (Some(0), true)]
        {
            assert_eq!(jumped(now, newest), alone, "{newest:?}");
        }
        assert!(believed(DAY) && !believed(DAY - Duration::from_secs(1)));
    }

    #[test]
    fn a_pass_takes_a_tenth_and_the_last_row_too() {
        assert_eq!([0, 1, 10, 11, 1_000].map(share), [0, 1, 1, 2, 100]);
    }
}
