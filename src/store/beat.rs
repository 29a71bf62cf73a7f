//! One statement by which a sidecar of a fleet tells that it runs, keeps or takes the duty, and hears what is new.
//!
//! Whatever it answers to everybody is bounded, however many there are; what grows with the fleet goes to the holder of the lease.
//! It needs no session and nobody waits for a beat's row to reach the disk, but for a lease's.

use std::time::Duration;

use super::db::{Conn, DbError, Row, args};
use super::rows::{
    IncidentVersion, KnownChanges, Lease, LeaseHolder, MemberRow, Millis, Presence, SeenMember, SilenceRow,
    SyncReply, SyncRequest,
};
use super::{CHANGES, MEMBERS};

const INCIDENTS: i64 = CHANGES as i64;
/// Members with alerts that the holder hears.
const LOUD: i64 = 1_000;

/// `here`: the own row. `mine`: the lease, when it was free, had run out or is the own one; whoever sees that another one has it
/// does not touch its row, which all would wait for. The rows that follow begin with their kind.
const BEAT: &str = "WITH t AS MATERIALIZED (SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now), \
here AS (INSERT INTO members (member, boot, seen_at, sees, loud) SELECT $1, $2, now, $3, $4 FROM t \
ON CONFLICT (member, boot) DO UPDATE SET seen_at = excluded.seen_at, sees = excluded.sees, loud = excluded.loud), \
mine AS (INSERT INTO leases (name, holder, token, expires_at, word, said) SELECT $5, $6, 1, now + $7, $8, $9 FROM t \
WHERE NOT EXISTS (SELECT 1 FROM leases WHERE name = $5 AND holder <> $6 AND expires_at > now) \
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at, word = excluded.word, \
said = excluded.said, token = leases.token + CASE WHEN leases.holder = excluded.holder AND leases.token = $10 \
THEN 0 ELSE 1 END WHERE leases.holder = excluded.holder OR leases.expires_at <= (SELECT now FROM t) \
RETURNING token, expires_at) \
SELECT CAST(0 AS BIGINT) AS kind, l.holder AS a, CASE WHEN l.said IS DISTINCT FROM $11 THEN l.word END AS b, \
CASE WHEN NOT EXISTS (SELECT 1 FROM mine) THEN set_config('synchronous_commit', 'off', TRUE) END AS c, \
CAST(pg_backend_pid() AS BIGINT) AS n, l.expires_at - t.now AS m, l.said AS o \
FROM t LEFT JOIN leases AS l ON l.name = $5 \
UNION ALL SELECT 1, NULL, NULL, NULL, token, expires_at, NULL FROM mine \
UNION ALL SELECT 2, name, NULL, NULL, seq, NULL, NULL FROM news \
UNION ALL SELECT 3, id, NULL, member, change, revision, NULL FROM \
(SELECT id, member, change, revision FROM incidents WHERE change > $12 ORDER BY change LIMIT $13) AS i \
UNION ALL SELECT 4, id, body, NULL, starts_at, ends_at, NULL FROM silences \
WHERE $14 < (SELECT seq FROM news WHERE name = 'silences') AND ends_at >= (SELECT now FROM t) \
UNION ALL SELECT 5, member, boot, sees, age, NULL, NULL FROM (SELECT member, boot, sees, \
(SELECT now FROM t) - seen_at AS age FROM members \
WHERE EXISTS (SELECT 1 FROM mine) AND loud > 0 AND seen_at >= (SELECT now - $15 FROM t) LIMIT $16) AS s \
UNION ALL SELECT 6, NULL, NULL, NULL, COUNT(*), NULL, NULL FROM members \
WHERE EXISTS (SELECT 1 FROM mine) AND seen_at >= (SELECT now - $15 FROM t) \
UNION ALL SELECT 7, member, boot, NULL, age, loud, NULL FROM (SELECT member, boot, loud, \
(SELECT now FROM t) - seen_at AS age FROM members \
WHERE seen_at >= (SELECT now - $17 FROM t) ORDER BY member, boot LIMIT $18) AS r";

fn millis(span: Duration) -> Millis {
    Millis::try_from(span.as_millis()).unwrap_or(Millis::MAX)
}

/// One beat. A file is one sidecar's: nobody beats there.
pub(super) async fn beat(conn: &mut Conn, beat: &SyncRequest) -> Result<SyncReply, DbError> {
    if let Conn::Sqlite(_) = conn {
        return Err(DbError::refused("a file is one sidecar's: there is nobody to tell"));
    }
    let Presence { member, boot, sees } = &beat.presence;
    let args = args![
        member,
        boot,
        sees,
        beat.loud,
        &beat.lease,
        &beat.holder,
        millis(beat.term),
        &beat.word,
        beat.said,
        beat.token,
        beat.heard,
        beat.known.incidents,
        INCIDENTS,
        beat.known.silences,
        millis(beat.fresh),
        LOUD,
        millis(MEMBERS),
        i64::from(beat.roster),
    ];
    let mut heard = ReplyReader::default();
    for row in conn.rows(BEAT, args).await? {
        heard.take(row, beat)?;
    }
    if let Conn::Postgres(session) = conn {
        session.same(heard.process)?;
    }
    Ok(heard.pulse(beat))
}

/// What has been read of an answer.
#[derive(Debug, Default)]
struct ReplyReader {
    pulse: SyncReply,
    process: i64,
    heads: (Option<i64>, Option<i64>),
    reached: Option<i64>,
    silences: Vec<SilenceRow>,
    members: u64,
}

impl ReplyReader {
    fn take(&mut self, mut row: Row, beat: &SyncRequest) -> Result<(), DbError> {
        let kind = row.int()?;
        let [a, b, c] = [row.maybe_text()?, row.maybe_text()?, row.maybe_text()?];
        let [n, m, o] = [row.maybe_int()?, row.maybe_int()?, row.maybe_int()?];
        let text = |text: Option<String>| text.ok_or_else(|| DbError::damaged("a text is missing"));
        let int = |int: Option<i64>| int.ok_or_else(|| DbError::damaged("a number is missing"));
        match kind {
            0 => {
                self.process = int(n)?;
                let held = |holder| LeaseHolder { holder, left: m.unwrap_or_default(), said: o, word: b };
                self.pulse.holder = a.map(held);
            }
            1 => {
                let (name, holder) = (beat.lease.clone(), beat.holder.clone());
                self.pulse.lease = Some(Lease { name, holder, token: int(n)?, expires_at: int(m)? });
            }
            2 if a.as_deref() == Some("incidents") => self.heads.0 = n,
            2 => self.heads.1 = n,
            3 => {
                self.reached = n;
                self.pulse.incidents.push(IncidentVersion {
                    id: text(a)?,
                    revision: int(m)?,
                    member: text(c)?,
                });
            }
            4 => self.silences.push(SilenceRow {
                id: text(a)?,
                body: text(b)?,
                starts_at: int(n)?,
                ends_at: int(m)?,
            }),
            5 => {
                let presence = Presence { member: text(a)?, boot: text(b)?, sees: text(c)? };
                self.pulse.loud.push(SeenMember { presence, age: int(n)?.max(0) });
            }
            6 => self.members = u64::try_from(int(n)?).unwrap_or_default(),
            _ => {
                let (age, loud) = (int(n)?.max(0), int(m)?);
                self.pulse.roster.push(MemberRow { member: text(a)?, boot: text(b)?, age, loud });
            }
        }
        Ok(())
    }

    fn pulse(self, beat: &SyncRequest) -> SyncReply {
        let Self { mut pulse, heads, reached, silences, members, .. } = self;
        let full = pulse.incidents.len() as i64 >= INCIDENTS;
        let known = heads.0.zip(heads.1);
        pulse.known = known.map(|(incidents, silences)| KnownChanges {
            incidents: reached.filter(|_| full).unwrap_or(incidents),
            silences,
        });
        pulse.silences = known.filter(|(_, head)| *head > beat.known.silences).map(|_| silences);
        pulse.members = pulse.lease.is_some().then_some(members);
        pulse
    }
}
