//! One transaction of the writer.

use super::audit::{ChainEnd, ChainKey};
use super::db::{Conn, DbError};
use super::effects::CommitEffects;
use super::queue::Batch;
use super::rows::millis;
use super::seal;
use super::tables::{Rules, heads, last_batch, note_batch};
use crate::runtime::clock;

/// Writes one transaction, told apart by its writer and number, and gives the end of the audit chain where it was
/// touched. Rows of this start alone wait for no other writer: a fleet's ledgers go side by side.
pub(super) async fn commit(
    conn: &mut Conn,
    batch: &Batch,
    (writer, number): (&str, i64),
    rules: &Rules,
) -> Result<Option<ChainEnd>, DbError> {
    conn.begin().await?;
    let mut head = match batch.is_shared() {
        true => Some(heads::lock(conn, rules.key.as_ref()).await?),
        false => None,
    };
    if last_batch(conn, writer).await? >= number {
        conn.commit().await?;
        return Ok(head);
    }
    let mut changed = CommitEffects::new();
    for group in &batch.groups {
        for write in &group.writes {
            match &mut head {
                Some(head) => write.put(conn, head, &mut changed, rules).await?,
                None => write.put_own(conn).await?,
            }
        }
    }
    if let Some(head) = &mut head {
        sealed(conn, &changed, head, rules.key.as_ref()).await?;
    }
    note_batch(conn, writer, number, millis(clock::now().wall)).await?;
    if let (true, Conn::Postgres(session)) = (changed.is_news(), &mut *conn) {
        session.tell(writer).await?;
    }
    conn.commit().await?;
    Ok(head)
}

/// Puts incidents that have ended on the chain, as they are after everything else of the transaction.
async fn sealed(
    conn: &mut Conn,
    changed: &CommitEffects,
    head: &mut ChainEnd,
    key: Option<&ChainKey>,
) -> Result<(), DbError> {
    for (id, ended) in changed.incidents() {
        if let Some(entry) = seal::row(conn, id, ended).await? {
            heads::add_audit(conn, &entry, head, key).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::store::connect::Db;
    use crate::store::queue::WriteGroup;
    use crate::store::rows::{AuditEntry, Write};
    use crate::store::{audit, open};

    fn batch() -> Batch {
        let text = String::new;
        let entry = AuditEntry { at: 0, actor: text(), action: text(), target: text(), body: text() };
        let group = WriteGroup { writes: vec![Write::Audit(entry)], done: oneshot::channel().0 };
        Batch { groups: vec![group] }
    }

    #[tokio::test]
    async fn a_commit_whose_answer_got_lost_is_not_written_twice() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut conn, _) = open::open(&Db::Sqlite(dir.path().join("strop.db"))).await.expect("opens");
        for (writer, number) in [("me", 1), ("me", 1), ("you", 1), ("me", 2), ("me", 2)] {
            let rules = Rules { join: crate::store::newer, key: None };
            commit(&mut conn, &batch(), (writer, number), &rules).await.expect("commits");
        }
        let head = audit::head(&mut conn, "audit").await.expect("reads");
        assert_eq!(head.seq, 3);
        assert_eq!(audit::walk(&mut conn, &audit::Checks::default()).await.expect("reads").broken, None);
    }
}
