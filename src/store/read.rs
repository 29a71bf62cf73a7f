//! Reading what is on disk. Never waits for the writer; a database that is away is an error that says so.

use super::audit;
use super::db::{DbError, Pool, Row, args};
use super::error::StoreError;
use super::rows::{
    AuditRow, Delivery, IncidentRow, IncidentVersion, Millis, NewEntry, NotificationRow, SilenceRow,
};

/// The most rows of one page.
const MOST: u32 = 1_000;

/// Which incidents. `None`: whatever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// The word of a state of the lifecycle, such as "open".
    pub state: Option<String>,
    /// The word of a severity, such as "high".
    pub severity: Option<String>,
    pub service: Option<String>,
    /// What makes two signals the same trouble.
    pub dedup_key: Option<String>,
    /// Only those without an end.
    pub unresolved: bool,
    /// Begun at or after.
    pub since: Option<Millis>,
    /// Begun before this moment (exclusive).
    pub until: Option<Millis>,
}

/// Some rows, and where the next ones begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPage<T> {
    pub rows: Vec<T>,
    /// Hand it in for the next page; `None`: this was the last one.
    pub next: Option<String>,
}

/// Reads what is on disk; clones are cheap.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) pool: Pool,
}

pub(super) const INCIDENT: &str = "SELECT id, dedup_key, state, severity, rule, service, started_at, resolved_at, updated_at, \
                        revision, member, body FROM incidents WHERE id = $1";
pub(super) const LINES: &str =
    "SELECT incident_id, at, kind, actor, body FROM timeline WHERE incident_id = $1 ORDER BY seq";
const INCIDENTS: &str = "SELECT id, dedup_key, state, severity, rule, service, started_at, resolved_at, updated_at, revision, member, \
     body FROM incidents WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR severity = $2) \
     AND ($3 IS NULL OR service = $3) AND ($4 IS NULL OR dedup_key = $4) AND ($5 IS NULL OR resolved_at IS NULL) \
     AND ($6 IS NULL OR started_at >= $6) AND ($7 IS NULL OR started_at < $7) \
     AND ($8 IS NULL OR started_at < $8 OR (started_at = $8 AND id < $9)) \
     ORDER BY started_at DESC, id DESC LIMIT $10";
pub(super) const NOTIFICATIONS: &str = "SELECT id, incident_id, dedup_key, channel, kind, body, state, attempts, next_at, created_at, last_error, sent_at \
     FROM notifications WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR incident_id = $2) \
     AND ($3 IS NULL OR next_at <= $3) ORDER BY next_at, id LIMIT $4";

pub(super) const VERSIONS: &str = "SELECT id, revision, member FROM incidents WHERE resolved_at IS NULL OR updated_at >= $1 \
                                   ORDER BY id DESC LIMIT $2";
const NOTIFICATIONS_AFTER: &str = "SELECT id, incident_id, dedup_key, channel, kind, body, state, attempts, next_at, created_at, last_error, sent_at \
     FROM notifications WHERE state = $1 AND (next_at > $2 OR (next_at = $2 AND id > $3)) ORDER BY next_at, id LIMIT $4";

/// `<started_at>.<id>` of the last row of a page.
fn place(cursor: &str) -> Result<(Millis, &str), StoreError> {
    let place = cursor.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id)));
    place.ok_or_else(|| StoreError::Refused(format!("{cursor:?} is no cursor; hand in what `next` gave")))
}

impl Reader {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Opens what is there for reading alone, for a command beside a running sidecar.
    pub fn open(config: &super::StoreConfig) -> Result<Self, StoreError> {
        Ok(Self { pool: super::connect::Db::of(config)?.pool() })
    }

    async fn all<T>(
        &self,
        sql: &'static str,
        args: &[super::db::Arg<'_>],
        read: impl Fn(Row) -> Result<T, DbError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.pool.rows(sql, args).await?;
        Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Who has written of late, and the number of the last transaction of each: the newest eight.
    pub async fn writers(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT writer, batch FROM commits ORDER BY at DESC LIMIT 8";
        self.all(sql, &[], |mut row| Ok((row.text()?, row.int()?))).await
    }

    /// The incident with this id; `None`: the store has none.
    pub async fn incident(&self, id: &str) -> Result<Option<IncidentRow>, StoreError> {
        Ok(self.all(INCIDENT, args![id], incident).await?.pop())
    }

    /// Incidents, the youngest first. `cursor`: [`RowPage::next`] of the page before.
    pub async fn incidents(
        &self,
        filter: &IncidentFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<RowPage<IncidentRow>, StoreError> {
        let place = cursor.map(place).transpose()?;
        let limit = i64::from(limit.clamp(1, MOST));
        let args = args![
            &filter.state,
            &filter.severity,
            &filter.service,
            &filter.dedup_key,
            filter.unresolved.then_some(1),
            filter.since,
            filter.until,
            place.map(|(at, _)| at),
            place.map_or("", |(_, id)| id),
            limit + 1,
        ];
        let mut rows = self.all(INCIDENTS, args, incident).await?;
        let more = rows.len() as i64 > limit;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|row| format!("{}.{}", row.started_at, row.id));
        Ok(RowPage { rows, next })
    }

    /// Name and body of each incident that has changed since `since` by its writer's clock, `limit` of them at most.
    pub async fn incidents_since(
        &self,
        since: Millis,
        limit: u32,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT id, body FROM incidents WHERE updated_at >= $1 ORDER BY updated_at DESC LIMIT $2";
        self.all(sql, args![since, i64::from(limit)], |mut row| Ok((row.text()?, row.text()?))).await
    }

    /// An incident's whole timeline.
    pub async fn lines(&self, incident: &str) -> Result<Vec<NewEntry>, StoreError> {
        self.all(LINES, args![incident], entry).await
    }

    /// The last lines of an incident's timeline, the oldest of them first.
    pub async fn last_lines(&self, incident: &str, limit: u32) -> Result<Vec<NewEntry>, StoreError> {
        let sql = "SELECT incident_id, at, kind, actor, body FROM timeline WHERE incident_id = $1 \
                   ORDER BY seq DESC LIMIT $2";
        let mut lines = self.all(sql, args![incident, i64::from(limit)], entry).await?;
        lines.reverse();
        Ok(lines)
    }

    /// The timelines of all incidents without an end.
    pub async fn unresolved_lines(&self) -> Result<Vec<NewEntry>, StoreError> {
        let sql = "SELECT incident_id, at, kind, actor, body FROM timeline WHERE incident_id IN \
                   (SELECT id FROM incidents WHERE resolved_at IS NULL) ORDER BY incident_id, seq";
        self.all(sql, &[], entry).await
    }

    /// The audit log before row `before` (`None`: from the last one), the youngest first.
    pub async fn audit(&self, before: Option<i64>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, target, body, prev_hash, hash FROM audit WHERE seq < $1 \
                   ORDER BY seq DESC LIMIT $2";
        let args = args![before.unwrap_or(i64::MAX), i64::from(limit.clamp(1, MOST))];
        self.all(sql, args, audit::row_of).await
    }

    /// Notifications by state, incident and `next_at <= due`, what is due first first.
    pub async fn notifications(
        &self,
        state: Option<Delivery>,
        incident: Option<&str>,
        due: Option<Millis>,
        limit: u32,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        let args = args![state.map(Delivery::as_str), incident, due, i64::from(limit.clamp(1, MOST))];
        self.all(NOTIFICATIONS, args, notification).await
    }

    /// What was done to the config from `since` to before `until`, the oldest first; the first thousand.
    pub async fn config_changes(&self, since: Millis, until: Millis) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, target, body, prev_hash, hash FROM audit \
                   WHERE at >= $1 AND at < $2 AND substr(action, 1, 7) = 'config.' ORDER BY seq LIMIT $3";
        self.all(sql, args![since, until, i64::from(MOST)], audit::row_of).await
    }

    /// Silences that end at or after `at`.
    pub async fn silences(&self, at: Millis) -> Result<Vec<SilenceRow>, StoreError> {
        let sql =
            "SELECT id, body, starts_at, ends_at FROM silences WHERE ends_at >= $1 ORDER BY starts_at, id";
        self.all(sql, args![at], silence).await
    }

    /// Silences that ended before `at`, the last one first.
    pub async fn ended_silences(&self, at: Millis, limit: u32) -> Result<Vec<SilenceRow>, StoreError> {
        let sql = "SELECT id, body, starts_at, ends_at FROM silences WHERE ends_at <= $1 \
                   ORDER BY starts_at DESC, id DESC LIMIT $2";
        self.all(sql, args![at, i64::from(limit.clamp(1, MOST))], silence).await
    }

    /// Notifications in a state after the one of `id` that was due at `next_at`, what is due first first.
    pub async fn notifications_after(
        &self,
        state: Delivery,
        (next_at, id): (Millis, &str),
        limit: u32,
    ) -> Result<Vec<NotificationRow>, StoreError> {
        let args = args![state.as_str(), next_at, id, i64::from(limit.clamp(1, MOST))];
        self.all(NOTIFICATIONS_AFTER, args, notification).await
    }
}

fn silence(mut row: Row) -> Result<SilenceRow, DbError> {
    let (id, body) = (row.text()?, row.text()?);
    Ok(SilenceRow { id, body, starts_at: row.int()?, ends_at: row.int()? })
}

pub(super) fn entry(mut row: Row) -> Result<NewEntry, DbError> {
    let (incident_id, at) = (row.text()?, row.int()?);
    Ok(NewEntry { incident_id, at, kind: row.text()?, actor: row.text()?, body: row.text()? })
}

pub(super) fn incident(mut row: Row) -> Result<IncidentRow, DbError> {
    Ok(IncidentRow {
        id: row.text()?,
        dedup_key: row.text()?,
        state: row.text()?,
        severity: row.text()?,
        rule: row.text()?,
        service: row.text()?,
        started_at: row.int()?,
        resolved_at: row.maybe_int()?,
        updated_at: row.int()?,
        revision: row.int()?,
        member: row.text()?,
        body: row.text()?,
    })
}

pub(super) fn version(mut row: Row) -> Result<IncidentVersion, DbError> {
    Ok(IncidentVersion { id: row.text()?, revision: row.int()?, member: row.text()? })
}

pub(super) fn notification(mut row: Row) -> Result<NotificationRow, DbError> {
    Ok(NotificationRow {
        id: row.text()?,
        incident_id: row.maybe_text()?,
        dedup_key: row.text()?,
        channel: row.text()?,
        kind: row.text()?,
        body: row.text()?,
        state: Delivery::read(&row.text()?)
            .ok_or_else(|| DbError::damaged("a delivery in no known state"))?,
        attempts: row.int()?,
        next_at: row.int()?,
        created_at: row.int()?,
        last_error: row.maybe_text()?,
        sent_at: row.maybe_int()?,
    })
}
