//! The table `notifications`: one message to one channel, and how far it is.

use super::table::{Class, Exported, Kept, Table};
use crate::store::db::{Conn, DbError, Row, args};
use crate::store::error::StoreError;
use crate::store::read::{MOST, Reader};
use crate::store::rows::Millis;

pub(in crate::store) const TABLE: Table = Table {
    name: "notifications",
    exported: Exported::Rows {
        columns: &[
            "id",
            "incident_id",
            "dedup_key",
            "channel",
            "kind",
            "body",
            "state",
            "attempts",
            "next_at",
            "created_at",
            "last_error",
            "sent_at",
        ],
        order: "id",
    },
    kept: Kept::Class(Class {
        age: |keep| keep.incidents,
        // Of an incident they go with it.
        count: Some("SELECT COUNT(*) FROM notifications WHERE incident_id IS NULL"),
        delete: &[
            "DELETE FROM notifications WHERE id IN (SELECT id FROM notifications WHERE incident_id IS NULL \
                   AND state <> 'waiting' AND created_at < $1 ORDER BY created_at, id LIMIT $2)",
        ],
        is_sealed: false,
    }),
};

/// How far a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To be sent at `next_at`.
    Waiting,
    /// Taken by the receiver.
    Sent,
    /// Refused by the receiver for good.
    Failed,
    /// Given up after too many attempts.
    Dead,
}

impl Delivery {
    /// The word of the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }

    /// `None`: no word of this version.
    pub fn read(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Sent, Self::Failed, Self::Dead].into_iter().find(|one| one.as_str() == text)
    }
}

/// One message to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotificationRow {
    /// The id that the receiver gets too; it stays over all attempts.
    pub id: String,
    /// About which incident; a test has none.
    pub incident_id: Option<String>,
    /// What makes two messages the same for the receiver.
    pub dedup_key: String,
    /// Name of the channel, as in `[notify.<name>]`.
    pub channel: String,
    /// Trigger, update, resolve …
    pub kind: String,
    /// The message with its facts, as JSON.
    pub body: String,
    /// How far it is.
    pub state: Delivery,
    /// Attempts that were made so far.
    pub attempts: i64,
    /// When to try (again).
    pub next_at: Millis,
    /// When it was made.
    pub created_at: Millis,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When it was taken.
    pub sent_at: Option<Millis>,
}

pub(in crate::store) const NOTIFICATIONS: &str = "SELECT id, incident_id, dedup_key, channel, kind, body, state, attempts, next_at, created_at, last_error, sent_at \
     FROM notifications WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR incident_id = $2) \
     AND ($3 IS NULL OR next_at <= $3) ORDER BY next_at, id LIMIT $4";
const NOTIFICATIONS_AFTER: &str = "SELECT id, incident_id, dedup_key, channel, kind, body, state, attempts, next_at, created_at, last_error, sent_at \
     FROM notifications WHERE state = $1 AND (next_at > $2 OR (next_at = $2 AND id > $3)) ORDER BY next_at, id LIMIT $4";

pub(in crate::store) fn notification(mut row: Row) -> Result<NotificationRow, DbError> {
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

impl NotificationRow {
    pub(super) fn texts(&mut self) -> Vec<&mut String> {
        let Self { id, incident_id, dedup_key, channel, kind, body, last_error, .. } = self;
        let maybe = incident_id.iter_mut().chain(last_error);
        [id, dedup_key, channel, kind, body].into_iter().chain(maybe).collect()
    }

    /// What is settled stays settled: a member of a fleet that has lost the duty may still have an attempt under way, and what comes
    /// of it says less than what the next member has done.
    pub(super) async fn put(&self, conn: &mut Conn) -> Result<(), DbError> {
        let sql = "INSERT INTO notifications (id, incident_id, dedup_key, channel, kind, body, state, attempts, next_at, \
                   created_at, last_error, sent_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
                   ON CONFLICT (id) DO UPDATE SET incident_id = excluded.incident_id, dedup_key = excluded.dedup_key, \
                   channel = excluded.channel, kind = excluded.kind, body = excluded.body, state = excluded.state, \
                   attempts = excluded.attempts, next_at = excluded.next_at, created_at = excluded.created_at, \
                   last_error = excluded.last_error, sent_at = excluded.sent_at \
                   WHERE notifications.state = 'waiting' OR excluded.state <> 'waiting'";
        let args = args![
            &self.id,
            &self.incident_id,
            &self.dedup_key,
            &self.channel,
            &self.kind,
            &self.body,
            self.state.as_str(),
            self.attempts,
            self.next_at,
            self.created_at,
            &self.last_error,
            self.sent_at,
        ];
        conn.run(sql, args).await.map(drop)
    }
}

impl Reader {
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
