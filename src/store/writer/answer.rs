//! Questions to the task that writes: over its connection, between two transactions.

use tokio::sync::oneshot;

use super::{Writer, patiently};
use crate::store::beat;
use crate::store::db::{Conn, DbError, DbFault, args};
use crate::store::error::StoreError;
use crate::store::queue::Query;
use crate::store::rows::{Delivery, Lease, Presence, StoredIncident};
use crate::store::tables::{incidents, notifications, release, timeline};

impl Writer {
    pub(super) async fn answer(&mut self, ask: Query) -> Result<(), DbError> {
        // The asker may have left: nobody minds what is sent then.
        let failed = match ask {
            Query::Tend(what, done) => {
                let tended = self.tend(what).await;
                let failed = tended.as_ref().err().cloned();
                let _ = done.send(tended.map_err(StoreError::from));
                failed
            }
            Query::Sync(..)
            | Query::Depart(..)
            | Query::Versions(..)
            | Query::Undelivered(..)
            | Query::Incident(..) => self.present(ask).await,
        };
        failed.map_or(Ok(()), Err)
    }

    /// Answers whoever tells that it runs, or that it leaves, or looks. It asks again by itself: nothing is tried twice.
    async fn present(&mut self, ask: Query) -> Option<DbError> {
        let (shared, Some(conn)) = (&self.shared, &mut self.conn) else {
            ask.fail(DbError::unreachable("it is away").into());
            return None;
        };
        match ask {
            Query::Sync(row, done) => {
                let answered = patiently(shared, beat::beat(conn, &row)).await;
                self.holds = answered.as_ref().is_ok_and(|pulse| pulse.lease.is_some());
                told(answered, done)
            }
            Query::Depart(row, lease, done) => told(patiently(shared, depart(conn, &row, lease)).await, done),
            Query::Versions(since, limit, done) => {
                let args = args![since, i64::from(limit.max(1))];
                let rows = patiently(shared, conn.rows(incidents::VERSIONS, args)).await;
                told(rows.and_then(|rows| rows.into_iter().map(incidents::version).collect()), done)
            }
            Query::Undelivered(limit, done) => {
                let (none, state) = (None::<&str>, Delivery::Waiting.as_str());
                let args = args![state, none, None::<i64>, i64::from(limit.max(1))];
                let rows = patiently(shared, conn.rows(notifications::NOTIFICATIONS, args)).await;
                told(rows.and_then(|rows| rows.into_iter().map(notifications::notification).collect()), done)
            }
            Query::Incident(id, done) => told(patiently(shared, whole(conn, &id)).await, done),
            Query::Tend(..) => None,
        }
    }
}

/// Hands an answer over; nobody minds when the asker has left.
fn told<T>(answered: Result<T, DbError>, done: oneshot::Sender<Result<T, StoreError>>) -> Option<DbError> {
    let failed = answered.as_ref().err().cloned();
    let _ = done.send(answered.map_err(StoreError::from));
    // What can never work says nothing about the database.
    failed.filter(|error| error.fault != DbFault::Refused)
}

/// An incident and its lines.
async fn whole(conn: &mut Conn, id: &str) -> Result<Option<StoredIncident>, DbError> {
    let rows = conn.rows(incidents::INCIDENT, args![id]).await?;
    let Some(head) = rows.into_iter().map(incidents::incident).next().transpose()? else { return Ok(None) };
    let lines = conn.rows(timeline::LINES, args![id]).await?;
    Ok(Some((head, lines.into_iter().map(timeline::entry).collect::<Result<_, _>>()?)))
}

/// A sidecar leaves in order: its row goes, and its lease is free.
async fn depart(conn: &mut Conn, row: &Presence, lease: Option<Lease>) -> Result<(), DbError> {
    if let Some(lease) = lease {
        release(conn, &lease).await?;
    }
    let sql = "DELETE FROM members WHERE member = $1 AND boot = $2";
    conn.run(sql, args![&row.member, &row.boot]).await.map(drop)
}
