//! Reads minutes, wherever they lie. One statement for both tables, so that it sees one moment: between two the writer might
//! move some from the one to the other.

use std::collections::HashSet;

use super::day::{Garbled, PackedDay};
use super::{MINUTE, day_of};
use crate::store::db::{Arg, DbError, Row, args};
use crate::store::error::StoreError;
use crate::store::read::Reader;
use crate::store::rows::{LedgerMinute, Millis, Minutes};

const MINUTES: &str = "SELECT member, service, minute, boot, slices, good, total, CAST(NULL AS BYTEA) FROM ledger \
     WHERE ($1 IS NULL OR service = $1) AND ($2 IS NULL OR member = $2) AND minute >= $3 AND minute < $4 \
     UNION ALL SELECT member, service, day, '', '', 0, 0, packed FROM ledger_days \
     WHERE ($1 IS NULL OR service = $1) AND ($2 IS NULL OR member = $2) AND day >= $5 AND day < $4";

/// The sum of the minutes of which no packed day tells, those of which one does, and the packed days.
const COUNTS: &str = "WITH open AS (SELECT member, minute, boot, good, total, EXISTS (SELECT 1 FROM ledger_days AS days \
     WHERE days.service = ledger.service AND days.day = ledger.minute - ledger.minute % 86400000 \
     AND days.member = ledger.member) AS late FROM ledger WHERE service = $1 AND minute >= $2 AND minute < $3) \
     SELECT '', 0, '', CAST(SUM(good) AS BIGINT), CAST(SUM(total) AS BIGINT), CAST(NULL AS BYTEA) FROM open WHERE NOT late \
     UNION ALL SELECT member, minute, boot, good, total, NULL FROM open WHERE late \
     UNION ALL SELECT member, day, '', 0, 0, packed FROM ledger_days WHERE service = $1 AND day >= $4 AND day < $3";

/// Both of a store that a version of before has written and none of now has opened: a command only reads.
const MINUTES_BEFORE: &str = "SELECT member, service, minute, boot, slices, good, total, NULL FROM ledger \
     WHERE ($1 IS NULL OR service = $1) AND ($2 IS NULL OR member = $2) AND minute >= $3 AND minute < $4";
const COUNTS_BEFORE: &str = "SELECT '', 0, '', CAST(SUM(good) AS BIGINT), CAST(SUM(total) AS BIGINT), NULL FROM ledger \
     WHERE service = $1 AND minute >= $2 AND minute < $3";

/// A row of either table.
enum LedgerRow {
    Minute(LedgerMinute),
    Day { service: String, member: String, start: Millis, packed: Vec<u8> },
}

fn found(mut row: Row) -> Result<LedgerRow, DbError> {
    let (member, service, minute) = (row.text()?, row.text()?, row.int()?);
    let (boot, slices, good, total) = (row.text()?, row.text()?, row.int()?, row.int()?);
    Ok(match row.maybe_bytes()? {
        Some(packed) => LedgerRow::Day { service, member, start: minute, packed },
        None => LedgerRow::Minute(LedgerMinute { member, service, minute, boot, slices, good, total }),
    })
}

/// The minutes of a packed day from `since` to before `until`.
fn unpacked(
    (service, member, start): (&str, &str, Millis),
    packed: &[u8],
    (since, until): (Millis, Millis),
    into: &mut Vec<LedgerMinute>,
) -> Result<(), Garbled> {
    for (boot, minute, seen) in PackedDay::unpack(packed)?.minutes() {
        let minute = start.saturating_add(Millis::from(minute) * MINUTE);
        if (since..until).contains(&minute) {
            into.push(LedgerMinute {
                member: member.to_owned(),
                service: service.to_owned(),
                minute,
                boot,
                slices: seen.slices,
                good: seen.good,
                total: seen.total,
            });
        }
    }
    Ok(())
}

fn key(row: &LedgerMinute) -> (Millis, &str, &str, &str) {
    (row.minute, &row.service, &row.member, &row.boot)
}

impl Reader {
    /// The rows of a statement, or of the one for a store without packed days, which takes one argument less.
    async fn rows_of(
        &self,
        sql: &'static str,
        before: &'static str,
        args: &[Arg<'_>],
    ) -> Result<Vec<Row>, DbError> {
        match self.pool.rows(sql, args).await {
            Err(error) if error.text.contains("ledger_days") => {
                self.pool.rows(before, args.split_last().map_or(args, |(_, fewer)| fewer)).await
            }
            rows => rows,
        }
    }

    /// The ledger of a service (`None`: of all) from `since` to before `until`, by minute.
    pub async fn ledger(
        &self,
        service: Option<&str>,
        since: Millis,
        until: Millis,
    ) -> Result<Minutes, StoreError> {
        self.ledger_of(service, None, since, until).await
    }

    /// The same, as one member saw it (`None`: as all of them did).
    pub async fn ledger_of(
        &self,
        service: Option<&str>,
        member: Option<&str>,
        since: Millis,
        until: Millis,
    ) -> Result<Minutes, StoreError> {
        let first = day_of(since);
        let args = args![service, member, since, until, first];
        let rows = self.rows_of(MINUTES, MINUTES_BEFORE, args).await?;
        let (mut minutes, mut late) = (Minutes::default(), Vec::new());
        for row in rows {
            match found(row)? {
                LedgerRow::Minute(minute) => late.push(minute),
                LedgerRow::Day { service, member, start, packed } => {
                    let whose = (service.as_str(), member.as_str(), start);
                    if unpacked(whose, &packed, (since, until), &mut minutes.rows).is_err() {
                        minutes.unreadable.push(super::name(&service, &member, start));
                    }
                }
            }
        }
        // Behind the packed ones, for a minute that is in both tables was written later.
        minutes.rows.append(&mut late);
        minutes.rows.sort_by(|one, other| key(one).cmp(&key(other)));
        minutes.rows.dedup_by(|later, kept| {
            let same = key(later) == key(kept);
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        minutes.unreadable.sort();
        Ok(minutes)
    }

    /// Good and all exchanges of a service from `since` to before `until`; `None`: no minute tells of them, or a
    /// day of them cannot be read.
    pub async fn ledger_counts(
        &self,
        service: &str,
        since: Millis,
        until: Millis,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let args = args![service, since, until, day_of(since)];
        let rows = self.rows_of(COUNTS, COUNTS_BEFORE, args).await?;
        let (mut sums, mut late, mut days) = (None, HashSet::new(), Vec::new());
        let mut add = |good: i64, total: i64| {
            let (all_good, all): (i64, i64) = sums.unwrap_or_default();
            sums = Some((all_good.saturating_add(good), all.saturating_add(total)));
        };
        for mut row in rows {
            let (member, minute, boot) = (row.text()?, row.int()?, row.text()?);
            match (row.maybe_int()?.zip(row.maybe_int()?), row.maybe_bytes()?) {
                (_, Some(packed)) => days.push((member, minute, packed)),
                (Some((good, total)), None) => {
                    add(good, total);
                    late.insert((member, minute, boot));
                }
                (None, None) => {}
            }
        }
        for (member, start, packed) in days {
            let Ok(day) = PackedDay::unpack(&packed) else { return Ok(None) };
            for (boot, minute, seen) in day.minutes() {
                let key = (member.clone(), start.saturating_add(Millis::from(minute) * MINUTE), boot);
                if (since..until).contains(&key.1) && !late.contains(&key) {
                    add(seen.good, seen.total);
                }
            }
        }
        Ok(sums)
    }
}
