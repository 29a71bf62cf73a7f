//! Whose file is it? One that another program made is neither written, nor moved, nor renamed.
//!
//! SQLite keeps four bytes in the header of a file for the program that made it (`application_id`, offset 68 of
//! <https://www.sqlite.org/fileformat.html>). Files of versions before this have none and are known by their tables.
//!
//! # Invariants
//! * Nothing of the file is changed by looking at it.
//! * What may be a damaged file of ours is nobody else's: it is moved aside, as ever.

use std::io::Read as _;
use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::db::{Conn, DbError, DbFault, args};

/// `Strp` in ASCII: the `application_id` of our files.
pub(super) const OURS: i64 = 0x5374_7270;
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where it stands in the header.
const AT: usize = 68;
/// Pages of SQLite are this long unless somebody says otherwise, and a file is whole pages.
const PAGE: u64 = 4_096;

/// What the first bytes of a file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    /// It is empty, or ours, or ours and damaged.
    Ours,
    /// A database that says of no program that it is its.
    Unsigned,
    /// A database of another program.
    Another(u32),
    /// No database at all, and never one of ours.
    NoDatabase,
}

fn looks(head: &[u8], length: u64) -> FileKind {
    if length == 0 {
        return FileKind::Ours;
    }
    if head.starts_with(MAGIC) {
        let id = head.get(AT..AT + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        return match id {
            Some(0) => FileKind::Unsigned,
            Some(id) if i64::from(id) != OURS => FileKind::Another(id),
            Some(_) | None => FileKind::Ours,
        };
    }
    // The header of ours may be what is damaged; but then it is whole pages, and no text.
    let text = match std::str::from_utf8(head) {
        Ok(text) => !text.contains('\0'),
        // A letter of several bytes may be cut off at the end of what was read.
        Err(error) => error.valid_up_to() + 4 > head.len() && !head.contains(&0),
    };
    if text || !length.is_multiple_of(PAGE) { FileKind::NoDatabase } else { FileKind::Ours }
}

/// Refuses a file that belongs to somebody else. One that is not there belongs to nobody.
pub(super) async fn check(path: &Path) -> Result<(), DbError> {
    let Ok(mut file) = std::fs::File::open(path) else { return Ok(()) };
    let length = file.metadata().map_or(0, |file| file.len());
    let mut head = vec![0; PAGE as usize];
    let read = file.read(&mut head).unwrap_or_default();
    head.truncate(read);
    match looks(&head, length) {
        FileKind::Ours => Ok(()),
        FileKind::Another(id) => Err(refused(
            path,
            &format!("is the database of another program (its application_id is {id:#010x})"),
        )),
        FileKind::NoDatabase => Err(refused(path, "is no database, and nothing of Strop's")),
        FileKind::Unsigned => match foreign_tables(path).await {
            Some(table) => {
                Err(refused(path, &format!("is the database of another program (it has a table {table:?})")))
            }
            None => Ok(()),
        },
    }
}

fn refused(path: &Path, why: &str) -> DbError {
    let text = format!("{} {why}: it is left alone; write another path in store.url", path.display());
    DbError { fault: DbFault::OtherTables, text }
}

/// A table of a file that has none of ours; `None`: it has, or has none at all, or cannot be read, which others find out.
async fn foreign_tables(path: &Path) -> Option<String> {
    // Without a log beside it nothing is locked and nothing put there.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let alone = !Path::new(&log).exists();
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(alone);
    let options = options.disable_statement_logging();
    let mut conn = Conn::Sqlite(options.connect().await.ok()?);
    let sql = "SELECT (SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'), \
               (SELECT MIN(name) FROM sqlite_master WHERE type = 'table')";
    let found = conn.row(sql, &[]).await.ok().flatten();
    let _ = conn.close().await;
    let mut row = found?;
    (row.int().ok()? == 0).then(|| row.maybe_text().ok().flatten()).flatten()
}

/// Signs a file that is known to be ours.
pub(super) async fn sign(conn: &mut Conn) -> Result<(), DbError> {
    let held = conn.row("PRAGMA application_id", &[]).await?;
    if held.map(|mut row| row.int()).transpose()? == Some(0) {
        // A pragma takes no arguments.
        conn.run("PRAGMA application_id = 1400140400", args![]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_is_written_is_the_one_that_is_read() {
        assert_eq!(OURS, 1_400_140_400);
        assert_eq!(OURS.to_be_bytes()[4..], *b"Strp");
    }

    #[test]
    fn a_text_is_never_ours_and_a_header_of_nonsense_may_be() {
        let toml = "[ingress]\nlisten = \"127.0.0.1:8000\"\n# schön\n";
        assert_eq!(looks(toml.as_bytes(), toml.len() as u64), FileKind::NoDatabase);
        let long = "text ".repeat(2_000);
        assert_eq!(looks(&long.as_bytes()[..4_096], 8_192), FileKind::NoDatabase, "however long");
        assert_eq!(looks(b"PK\x03\x04\0\0", 1_234), FileKind::NoDatabase, "another kind of file");
        assert_eq!(looks(&[0xA5; 4_096], 8_192), FileKind::Ours, "whole pages of nonsense");
        assert_eq!(looks(&[], 0), FileKind::Ours);
        let mut head = MAGIC.to_vec();
        head.resize(100, 0);
        assert_eq!(looks(&head, 8_192), FileKind::Unsigned);
        head[AT..AT + 4].copy_from_slice(b"Strp");
        assert_eq!(looks(&head, 8_192), FileKind::Ours);
        head[AT..AT + 4].copy_from_slice(&[0, 0, 0, 7]);
        assert_eq!(looks(&head, 8_192), FileKind::Another(7));
    }
}
