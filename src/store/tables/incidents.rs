//! The table `incidents`: one row each as it is now; its story is the timeline.

use super::table::{Class, Exported, Kept, Table};
use crate::store::db::{Conn, DbError, Row, args};
use crate::store::effects::CommitEffects;
use crate::store::error::StoreError;
use crate::store::read::{MOST, Reader, RowPage, place};
use crate::store::rows::Millis;

pub(in crate::store) const TABLE: Table = Table {
    name: "incidents",
    exported: Exported::Rows {
        columns: &[
            "id",
            "dedup_key",
            "state",
            "severity",
            "rule",
            "service",
            "started_at",
            "resolved_at",
            "updated_at",
            "revision",
            "member",
            "body",
        ],
        order: "id",
    },
    kept: Kept::Class(CLASS),
};

/// The ids of the incidents that go; all rows of an incident go with it.
macro_rules! resolved {
    () => {
        "(SELECT id FROM incidents WHERE resolved_at < $1 ORDER BY resolved_at, id LIMIT $2)"
    };
}

/// Those that are over, with everything of theirs.
pub(super) const CLASS: Class = Class {
    age: |keep| keep.incidents,
    count: Some("SELECT COUNT(*) FROM incidents"),
    delete: &[
        concat!("DELETE FROM timeline WHERE incident_id IN ", resolved!()),
        concat!("DELETE FROM notifications WHERE incident_id IN ", resolved!()),
        concat!("DELETE FROM incidents WHERE id IN ", resolved!()),
    ],
    is_sealed: true,
};

/// One incident as it is now; its story is the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentRow {
    /// The incident's id, given by the engine.
    pub id: String,
    /// What makes two signals the same trouble.
    pub dedup_key: String,
    /// The word of its state in the lifecycle.
    pub state: String,
    /// The word of its severity.
    pub severity: String,
    /// Which rule opened it.
    pub rule: String,
    /// What is in trouble.
    pub service: String,
    /// When the trouble began.
    pub started_at: Millis,
    /// `None`: it has not ended.
    pub resolved_at: Option<Millis>,
    /// When this row changed.
    pub updated_at: Millis,
    /// Grows with each change: an older one never overwrites a newer one.
    pub revision: i64,
    /// Which sidecar wrote it.
    pub member: String,
    /// All other facts of the incident as JSON; the columns beside it are for queries.
    pub body: String,
}

/// Which version of an incident the store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentVersion {
    pub id: String,
    /// Grows with each change of the incident.
    pub revision: i64,
    /// Which sidecar wrote it.
    pub member: String,
}

/// What becomes of an incident that is there already when another version of it is written: the version to keep, from the
/// one that is there and the new one. Writers follow each other, so nothing comes between.
pub type Join = fn(&IncidentRow, &IncidentRow) -> IncidentRow;

/// The newer revision; of two with the same one, the new one.
pub fn newer(there: &IncidentRow, new: &IncidentRow) -> IncidentRow {
    if new.revision >= there.revision { new.clone() } else { there.clone() }
}

pub(in crate::store) const INCIDENT: &str = "SELECT id, dedup_key, state, severity, rule, service, started_at, resolved_at, updated_at, \
                        revision, member, body FROM incidents WHERE id = $1";
const INCIDENTS: &str = "SELECT id, dedup_key, state, severity, rule, service, started_at, resolved_at, updated_at, revision, member, \
     body FROM incidents WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR severity = $2) \
     AND ($3 IS NULL OR service = $3) AND ($4 IS NULL OR dedup_key = $4) AND ($5 IS NULL OR resolved_at IS NULL) \
     AND ($6 IS NULL OR started_at >= $6) AND ($7 IS NULL OR started_at < $7) \
     AND ($8 IS NULL OR started_at < $8 OR (started_at = $8 AND id < $9)) \
     ORDER BY started_at DESC, id DESC LIMIT $10";
pub(in crate::store) const VERSIONS: &str = "SELECT id, revision, member FROM incidents WHERE resolved_at IS NULL OR updated_at >= $1 \
                                   ORDER BY id DESC LIMIT $2";

pub(in crate::store) fn incident(mut row: Row) -> Result<IncidentRow, DbError> {
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

pub(in crate::store) fn version(mut row: Row) -> Result<IncidentVersion, DbError> {
    Ok(IncidentVersion { id: row.text()?, revision: row.int()?, member: row.text()? })
}

impl IncidentRow {
    pub(super) fn texts(&mut self) -> Vec<&mut String> {
        let Self { id, dedup_key, state, severity, rule, service, member, body, .. } = self;
        vec![id, dedup_key, state, severity, rule, service, member, body]
    }

    /// Writers follow each other (see [`super::heads::lock`]), so what is read here is what is written over.
    pub(super) async fn put(
        &self,
        conn: &mut Conn,
        changed: &mut CommitEffects,
        join: Join,
    ) -> Result<(), DbError> {
        let found = conn.row(INCIDENT, args![&self.id]).await?;
        let joined = match found.map(incident).transpose()? {
            Some(theirs) => {
                let joined = join(&theirs, self);
                if joined == theirs {
                    return Ok(());
                }
                *changed.incident(&self.id) |= theirs.resolved_at.is_some();
                Some(joined)
            }
            None => {
                changed.incident(&self.id);
                None
            }
        };
        let row = joined.as_ref().unwrap_or(self);
        let sql = "INSERT INTO incidents (id, dedup_key, state, severity, rule, service, started_at, resolved_at, \
                   updated_at, revision, member, body, change) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
                   ON CONFLICT (id) DO UPDATE SET dedup_key = excluded.dedup_key, state = excluded.state, \
                   severity = excluded.severity, rule = excluded.rule, service = excluded.service, \
                   started_at = excluded.started_at, resolved_at = excluded.resolved_at, \
                   updated_at = excluded.updated_at, revision = excluded.revision, member = excluded.member, \
                   body = excluded.body, change = excluded.change";
        let change = changed.number(conn).await?;
        let args = args![
            &row.id,
            &row.dedup_key,
            &row.state,
            &row.severity,
            &row.rule,
            &row.service,
            row.started_at,
            row.resolved_at,
            row.updated_at,
            row.revision,
            &row.member,
            &row.body,
            change,
        ];
        conn.run(sql, args).await.map(drop)
    }
}

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

impl Reader {
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
}
