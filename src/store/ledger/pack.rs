//! Moves the minutes of closed days into packed ones, piece by piece.
//!
//! A piece is one transaction: minutes of one day, subject and member leave `ledger` as their packed row takes them in, so a
//! crash loses none and doubles none. Minutes that come late, for whatever reason, are put into the packed day by the next pass.
//! Between two pieces the writer does what waits, and rests: packing takes a quarter of the time at most. In a fleet each member
//! packs whatever it finds, for some that wrote are gone for ever.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::day::{Day, Garbled, Seen};
use super::{DAY, MINUTE, day_of};
use crate::runtime::clock;
use crate::store::audit::Key;
use crate::store::db::{Conn, DbError, args};
use crate::store::rows::{Millis, millis};
use crate::store::sql;
use crate::telemetry::event::StoreEvent;

/// Minutes of one piece; a day of one start has 1,440.
const PIECE: i64 = 1_500;
/// A day is closed so long after its end: what was open then is written by now, if nothing was amiss.
const LATE: Millis = 10 * MINUTE;
/// From the start to the first pass; then between two.
const PASSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));
/// The rest after a piece, in times of its own.
const REST: u32 = 3;

/// Of the rows that a packed day can hold, which is all that Strop writes, the next one. Times are in step with the index.
const NEXT: &str = "SELECT minute, service, member FROM ledger WHERE minute >= $1 AND minute < $2 \
                    AND minute % 60000 = 0 AND length(slices) = 60 AND (minute, service, member) > ($1, $3, $4) \
                    ORDER BY minute, service, member LIMIT 1";

/// All minutes from `$3` to `$4`: the key of `ledger` begins with service and minute, and the table may have the minutes of many
/// members, so each is looked up by its key.
macro_rules! minutes {
    () => {
        "WITH RECURSIVE minutes (start) AS (SELECT CAST($3 AS BIGINT) UNION ALL \
         SELECT start + 60000 FROM minutes WHERE start < $4) "
    };
}
const PIECE_OF: &str = concat!(
    minutes!(),
    "SELECT ledger.minute, ledger.boot, ledger.slices, ledger.good, ledger.total FROM minutes CROSS JOIN ledger \
     WHERE ledger.service = $1 AND ledger.minute = minutes.start AND ledger.member = $2 \
     AND length(ledger.slices) = 60 ORDER BY ledger.minute, ledger.boot LIMIT $5"
);
/// Those of [`PIECE_OF`], the last of which was `$4`, `$5`.
const TAKE: &str = concat!(
    minutes!(),
    "DELETE FROM ledger WHERE service = $1 AND member = $2 AND minute IN (SELECT start FROM minutes) \
     AND length(slices) = 60 AND (minute < $4 OR boot <= $5)"
);

/// A day of one subject and member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    service: String,
    member: String,
    day: Millis,
}

impl Group {
    fn name(&self) -> String {
        super::name(&self.service, &self.member, self.day)
    }
}

/// When what is packed.
#[derive(Debug)]
pub(in crate::store) struct Packer {
    /// The next piece.
    pub(in crate::store) at: Instant,
    /// The pass goes on after this minute, subject and member.
    after: (Millis, String, String),
    /// What this pass cannot pack.
    left: BTreeSet<Group>,
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
        key: Option<&Key>,
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
        }
        *self = Self { at: self.at, ..Self::new() };
        Ok(0)
    }

    /// The oldest group of which minutes lie open; the pass moves on to it.
    async fn next(&mut self, conn: &mut Conn, closed: Millis) -> Result<Option<Group>, DbError> {
        let (minute, service, member) = &self.after;
        let found = conn.row(NEXT, args![*minute, closed, service, member]).await?;
        let Some(mut row) = found else { return Ok(None) };
        let (minute, service, member) = (row.int()?, row.text()?, row.text()?);
        self.after = (minute, service.clone(), member.clone());
        Ok(Some(Group { service, member, day: day_of(minute) }))
    }
}

/// Packs minutes of a group; how many. The inner error: they cannot be packed, and stay where they are.
async fn pack(conn: &mut Conn, group: &Group, key: Option<&Key>) -> Result<Result<u64, Garbled>, DbError> {
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

/// Within a transaction.
async fn moved(conn: &mut Conn, group: &Group, key: Option<&Key>) -> Result<Result<u64, Garbled>, DbError> {
    sql::lock(conn, key).await?;
    let Group { service, member, day: start } = group;
    let rows = conn.rows(PIECE_OF, args![service, member, *start, *start + DAY - MINUTE, PIECE]).await?;
    let sql = "SELECT packed FROM ledger_days WHERE service = $1 AND day = $2 AND member = $3";
    let there = conn.row(sql, args![service, *start, member]).await?;
    let there = there.map(|mut row| row.bytes()).transpose()?;
    let mut day = match there.as_deref().map(Day::unpack) {
        Some(Err(why)) => return Ok(Err(why)),
        Some(Ok(day)) => day,
        None => Day::default(),
    };
    let (mut last, minutes) = (None, rows.len() as u64);
    for mut row in rows {
        let (minute, boot) = (row.int()?, row.text()?);
        let seen = Seen { slices: row.text()?, good: row.int()?, total: row.int()? };
        if let Err(why) = day.put(&boot, ((minute - start) / MINUTE) as u16, seen) {
            return Ok(Err(why));
        }
        last = Some((minute, boot));
    }
    let Some((minute, boot)) = last else { return Ok(Ok(0)) };
    let packed = match day.pack() {
        Ok(packed) => packed,
        Err(why) => return Ok(Err(why)),
    };
    let sql = "INSERT INTO ledger_days (member, service, day, packed) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (service, day, member) DO UPDATE SET packed = excluded.packed";
    conn.run(sql, args![member, service, *start, &packed]).await?;
    let taken = conn.run(TAKE, args![service, member, *start, minute, &boot]).await?;
    if taken != minutes {
        let text = format!("{taken} minutes of {} would go for the {minutes} that were packed", group.name());
        return Err(DbError::damaged(text));
    }
    Ok(Ok(minutes))
}
