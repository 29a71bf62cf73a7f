//! Moves the minutes of closed days into packed ones, piece by piece.
//!
//! A piece is one transaction: minutes of one day, subject and member leave `ledger` as their packed row takes them in, so a
//! crash loses none and doubles none. Minutes that come late, for whatever reason, are put into the packed day by the next pass.
//! Between two pieces the writer does what waits, and rests: packing takes a quarter of the time at most. In a fleet each member
//! packs whatever it finds, for some that wrote are gone for ever.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::day::{Garbled, MinuteRecord, PackedDay};
use super::{DAY, MINUTE, day_of};
use crate::runtime::clock;
use crate::store::audit::ChainKey;
use crate::store::db::{Conn, DbError, args};
use crate::store::rows::{Millis, millis};
use crate::store::tables::heads;
use crate::telemetry::event::StoreEvent;

/// Minutes of one piece; a day of one start has 1,440.
const PIECE: i64 = 1_500;
/// A day is closed so long after its end: what was open then is written by now, if nothing was amiss.
const LATE: Millis = 10 * MINUTE;
/// From the start to the first pass; then between two.
const PASSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));
/// An SQLite file is written anew when at least so many bytes of it are free, and at most so many are not.
const SHRINK: (i64, i64) = (64 << 20, 64 << 20);
/// The rest after a piece, in times of its own.
const REST: u32 = 3;

/// Of the rows that a packed day can hold, which is all that Strop writes: when the next ones are, and whose.
const NEXT: &str = "SELECT minute FROM ledger WHERE minute >= $1 AND minute < $2 AND minute % 60000 = 0 \
                    AND length(slices) = 60 ORDER BY minute LIMIT 1";
const WHOSE: &str = "SELECT service, member FROM ledger WHERE minute = $1 AND length(slices) = 60 \
                     AND (service, member) > ($2, $3) ORDER BY service, member LIMIT 1";

/// Takes at most `$5` minutes of subject `$1` and member `$2` out, from `$3` to `$4`.
const TAKE_SQLITE: &str = "DELETE FROM ledger WHERE rowid IN (SELECT rowid FROM ledger WHERE service = $1 \
     AND member = $2 AND minute >= $3 AND minute <= $4 AND minute % 60000 = 0 AND length(slices) = 60 \
     ORDER BY minute LIMIT $5) RETURNING minute, boot, slices, good, total";
/// The same where the minutes of many members lie between: each is looked up by its key, whatever the planner knows of the
/// table. A row keeps its place, for writers follow each other.
const TAKE_POSTGRES: &str = "DELETE FROM ledger WHERE ctid = ANY (ARRAY(SELECT found.ctid \
     FROM generate_series($3, $4, 60000) AS minutes (start) CROSS JOIN LATERAL (SELECT ctid, minute FROM ledger \
     WHERE service = $1 AND member = $2 AND minute = minutes.start AND length(slices) = 60 OFFSET 0) AS found \
     ORDER BY found.minute LIMIT $5)) RETURNING minute, boot, slices, good, total";

/// A day of one subject and member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DayGroup {
    service: String,
    member: String,
    day: Millis,
}

impl DayGroup {
    fn name(&self) -> String {
        super::name(&self.service, &self.member, self.day)
    }
}

/// When what is packed.
#[derive(Debug)]
pub(in crate::store) struct Packer {
    /// When the next piece is due.
    pub(in crate::store) at: Instant,
    /// The pass goes on after this minute, subject and member.
    after: (Millis, String, String),
    /// What this pass cannot pack.
    left: BTreeSet<DayGroup>,
    /// Minutes that this pass has packed, and in how many pieces.
    packed: (u64, u64),
}

impl Packer {
    pub(in crate::store) fn new() -> Self {
        Self {
            at: clock::instant() + PASSES.0,
            after: (Millis::MIN, String::new(), String::new()),
            left: BTreeSet::new(),
            packed: (0, 0),
        }
    }

    /// One piece; how many minutes were packed. 0: all days that are closed are packed.
    pub(in crate::store) async fn piece(
        &mut self,
        conn: &mut Conn,
        key: Option<&ChainKey>,
    ) -> Result<u64, DbError> {
        let start = clock::instant();
        self.at = start + PASSES.1;
        let closed = day_of(millis(clock::now().wall) - LATE);
        while let Some(group) = self.next(conn, closed).await? {
            if self.left.contains(&group) {
                continue;
            }
            match pack(conn, &group, key).await? {
                // Another member was faster.
                Ok(0) => {}
                Ok(minutes) => {
                    self.packed = (self.packed.0 + minutes, self.packed.1 + 1);
                    // There may be more of it.
                    self.after = (self.after.0, String::new(), String::new());
                    let now = clock::instant();
                    self.at = now + now.saturating_duration_since(start) * REST;
                    return Ok(minutes);
                }
                Err(why) => {
                    StoreEvent::Unreadable { id: &group.name(), error: &why.to_string() }.tell();
                    self.left.insert(group);
                }
            }
        }
        let (minutes, pieces) = self.packed;
        if minutes > 0 {
            StoreEvent::Packed { minutes, pieces }.tell();
            shrink(conn).await?;
        }
        *self = Self { at: self.at, ..Self::new() };
        Ok(0)
    }

    /// The oldest group of which minutes lie open; the pass moves on to it.
    async fn next(&mut self, conn: &mut Conn, closed: Millis) -> Result<Option<DayGroup>, DbError> {
        while let Some(mut row) = conn.row(NEXT, args![self.after.0, closed]).await? {
            let minute = row.int()?;
            if minute > self.after.0 {
                self.after = (minute, String::new(), String::new());
            }
            let (_, service, member) = &self.after;
            if let Some(mut row) = conn.row(WHOSE, args![minute, service, member]).await? {
                let (service, member) = (row.text()?, row.text()?);
                self.after = (minute, service.clone(), member.clone());
                return Ok(Some(DayGroup { service, member, day: day_of(minute) }));
            }
            self.after = (minute.saturating_add(1), String::new(), String::new());
        }
        Ok(None)
    }
}

/// Gives the room of a file back that is nearly empty now, as that of a store of years of minutes is: its pages would stay its
/// own for ever. What is left must be little, for writers wait meanwhile.
async fn shrink(conn: &mut Conn) -> Result<(), DbError> {
    if let Conn::Postgres(_) = conn {
        // Its own vacuum does.
        return Ok(());
    }
    let mut numbers = [0; 3];
    for (number, sql) in
        numbers.iter_mut().zip(["PRAGMA page_size", "PRAGMA page_count", "PRAGMA freelist_count"])
    {
        *number = conn.row(sql, &[]).await?.map_or(Ok(0), |mut row| row.int())?;
    }
    let [page, pages, free] = numbers;
    if free * page >= SHRINK.0 && (pages - free) * page <= SHRINK.1 && free >= pages / 4 * 3 {
        let shrunk = conn.run("VACUUM", &[]).await;
        let error = shrunk.err().map(|error| error.text);
        StoreEvent::Shrunk { from: pages * page, to: (pages - free) * page, error: error.as_deref() }.tell();
    }
    Ok(())
}

/// Packs minutes of a group; how many. The inner error: they cannot be packed, and stay where they are.
async fn pack(
    conn: &mut Conn,
    group: &DayGroup,
    key: Option<&ChainKey>,
) -> Result<Result<u64, Garbled>, DbError> {
    conn.begin().await?;
    match moved(conn, group, key).await {
        Ok(Ok(minutes)) => {
            conn.run("COMMIT", &[]).await?;
            Ok(Ok(minutes))
        }
        Ok(Err(why)) => {
            conn.run("ROLLBACK", &[]).await?;
            Ok(Err(why))
        }
        Err(error) => {
            conn.run("ROLLBACK", &[]).await?;
            Err(error)
        }
    }
}

/// Moves one piece of a day's minutes into the packed day, within a transaction of the caller's.
async fn moved(
    conn: &mut Conn,
    group: &DayGroup,
    key: Option<&ChainKey>,
) -> Result<Result<u64, Garbled>, DbError> {
    heads::lock(conn, key).await?;
    let DayGroup { service, member, day: start } = group;
    let take = match conn {
        Conn::Sqlite(_) => TAKE_SQLITE,
        Conn::Postgres(_) => TAKE_POSTGRES,
    };
    let rows = conn.rows(take, args![service, member, *start, *start + DAY - MINUTE, PIECE]).await?;
    if rows.is_empty() {
        return Ok(Ok(0));
    }
    let sql = "SELECT packed FROM ledger_days WHERE service = $1 AND day = $2 AND member = $3";
    let there = conn.row(sql, args![service, *start, member]).await?;
    let there = there.map(|mut row| row.bytes()).transpose()?;
    let mut day = match there.as_deref().map(PackedDay::unpack) {
        Some(Err(why)) => return Ok(Err(why)),
        Some(Ok(day)) => day,
        None => PackedDay::default(),
    };
    let minutes = rows.len() as u64;
    for mut row in rows {
        let (minute, boot) = (row.int()?, row.text()?);
        let seen = MinuteRecord { slices: row.text()?, good: row.int()?, total: row.int()? };
        if let Err(why) = day.put(&boot, ((minute - start) / MINUTE) as u16, seen) {
            return Ok(Err(why));
        }
    }
    let packed = match day.pack() {
        Ok(packed) => packed,
        Err(why) => return Ok(Err(why)),
    };
    let sql = "INSERT INTO ledger_days (member, service, day, packed) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (service, day, member) DO UPDATE SET packed = excluded.packed";
    conn.run(sql, args![member, service, *start, &packed]).await?;
    Ok(Ok(minutes))
}
