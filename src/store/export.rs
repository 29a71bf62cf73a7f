//! The tables as a whole: counted, written out as JSON lines, and read back into an empty SQLite file.
//!
//! An export's first line is `{"strop":"export","format":1}`, each further one
//! `{"table":"…","row":{"column":value,…}}`. A value of bytes is `{"hex":"…"}`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde_json::{Map, Value, json};

use super::audit::hex;
use super::db::{Arg, Conn, DbError, SqlValue};

/// Number of the format, in an export's first line.
const FORMAT: i64 = 1;
/// Rows fetched or inserted at a time.
const LOT: usize = 1_000;

/// A table: its name, its columns, and the columns that order it.
struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    order: &'static str,
}

/// Tables that nothing writes any more. They stay in the schema, empty, while members of the version before may share the
/// database: that version counts their rows when it cleans. A line of an older export for one of them is left out.
const RETIRED: [&str; 2] = ["checkpoints", "samples"];

/// Everything that is worth keeping; `commits` and `members` are not, they belong to the writers of the moment.
const TABLES: [Table; 9] = [
    Table {
        name: "incidents",
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
    Table {
        name: "timeline",
        columns: &["incident_id", "seq", "at", "kind", "actor", "body"],
        order: "incident_id, seq",
    },
    Table {
        name: "audit",
        columns: &["seq", "at", "actor", "action", "target", "body", "prev_hash", "hash"],
        order: "seq",
    },
    Table {
        name: "notifications",
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
    Table {
        name: "ledger",
        columns: &["member", "service", "minute", "boot", "slices", "good", "total"],
        order: "service, minute, member, boot",
    },
    Table {
        name: "ledger_days",
        columns: &["member", "service", "day", "packed"],
        order: "service, day, member",
    },
    Table { name: "silences", columns: &["id", "body", "starts_at", "ends_at"], order: "id" },
    Table { name: "leases", columns: &["name", "holder", "token", "expires_at"], order: "name" },
    Table { name: "heads", columns: &["name", "seq", "hash", "mac"], order: "name" },
];

/// Rows of each table.
pub(super) async fn counts(conn: &mut Conn) -> Result<BTreeMap<String, i64>, DbError> {
    let mut counts = BTreeMap::new();
    for table in &TABLES {
        let rows = conn.rows_made(format!("SELECT COUNT(*) FROM {}", table.name), &[]).await?;
        let count = rows.into_iter().next().map(|mut row| row.int()).transpose()?;
        counts.insert(table.name.to_owned(), count.unwrap_or_default());
    }
    Ok(counts)
}

/// What stops an export or a restore.
#[derive(Debug)]
pub(super) enum Stopped {
    Db(DbError),
    Io(io::Error),
    /// What is wrong with a line.
    Line(String),
}

impl From<DbError> for Stopped {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes all rows of a PostgreSQL database that is held at one moment.
pub(super) async fn export(conn: &mut Conn, out: &mut (impl Write + Send)) -> Result<(), Stopped> {
    writeln!(out, "{}", json!({ "strop": "export", "format": FORMAT }))?;
    for table in &TABLES {
        let (name, columns, order) = (table.name, table.columns.join(", "), table.order);
        let declare = format!("DECLARE all_{name} CURSOR FOR SELECT {columns} FROM {name} ORDER BY {order}");
        conn.run_made(declare, &[]).await?;
        loop {
            let rows = conn.rows_made(format!("FETCH {LOT} FROM all_{name}"), &[]).await?;
            let last = rows.len() < LOT;
            for row in rows {
                let row: Map<String, Value> =
                    table.columns.iter().map(|name| (*name).to_owned()).zip(row.cells().map(value)).collect();
                writeln!(out, "{}", json!({ "table": name, "row": row }))?;
            }
            if last {
                break;
            }
        }
    }
    Ok(())
}

fn value(cell: SqlValue) -> Value {
    match cell {
        SqlValue::Null => Value::Null,
        SqlValue::Int(number) => number.into(),
        SqlValue::Text(text) => text.into(),
        SqlValue::Bytes(bytes) => json!({ "hex": hex(&bytes) }),
    }
}

/// Bytes of a line; `None`: they are none.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    let digits = value.get("hex")?.as_str()?.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let whole = digits.len().is_multiple_of(2);
    let bytes = digits.chunks_exact(2).map(|two| Some((digit(two[0])? << 4 | digit(two[1])?) as u8));
    bytes.collect::<Option<Vec<u8>>>().filter(|_| whole)
}

/// Reads an export into an SQLite file whose tables have just been made.
pub(super) async fn restore(conn: &mut Conn, lines: &mut (impl BufRead + Send)) -> Result<(), Stopped> {
    let mut first = String::new();
    lines.read_line(&mut first)?;
    let head: Value = serde_json::from_str(&first).map_err(|error| Stopped::Line(error.to_string()))?;
    if head["strop"] != "export" || head["format"] != FORMAT {
        return Err(Stopped::Line("this is not an export of a kind that is known here".to_owned()));
    }
    conn.run("DELETE FROM heads", &[]).await?;
    conn.begin().await?;
    let mut line = String::new();
    let mut at = 1_u64;
    while lines.read_line(&mut line)? > 0 {
        at += 1;
        insert(conn, &line).await.map_err(|stopped| match stopped {
            Stopped::Line(why) => Stopped::Line(format!("line {at}: {why}")),
            Stopped::Db(_) | Stopped::Io(_) => stopped,
        })?;
        if at.is_multiple_of(LOT as u64) {
            conn.commit().await?;
            conn.begin().await?;
        }
        line.clear();
    }
    conn.commit().await?;
    Ok(())
}

async fn insert(conn: &mut Conn, line: &str) -> Result<(), Stopped> {
    let wrong = |why: &str| Stopped::Line(why.to_owned());
    let line: Value = serde_json::from_str(line).map_err(|error| Stopped::Line(error.to_string()))?;
    if RETIRED.iter().any(|name| line["table"] == *name) {
        return Ok(());
    }
    let table = TABLES.iter().find(|table| line["table"] == table.name);
    let table = table.ok_or_else(|| wrong("no table of that name is known"))?;
    let row = &line["row"];
    let raw: Vec<Option<Vec<u8>>> = table.columns.iter().map(|column| bytes(&row[*column])).collect();
    let mut args = Vec::with_capacity(table.columns.len());
    for (column, raw) in table.columns.iter().zip(&raw) {
        args.push(match (&row[*column], raw) {
            (_, Some(raw)) => Arg::from(raw),
            (Value::Null, _) => Arg::Text(None),
            (Value::String(text), _) => Arg::from(text),
            (Value::Number(number), _) => Arg::Int(number.as_i64()),
            (Value::Bool(_) | Value::Array(_) | Value::Object(_), _) => {
                return Err(wrong("no column holds this"));
            }
        });
    }
    let places: Vec<String> = (1..=args.len()).map(|at| format!("${at}")).collect();
    let (name, columns, places) = (table.name, table.columns.join(", "), places.join(", "));
    conn.run_made(format!("INSERT INTO {name} ({columns}) VALUES ({places})"), &args).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::connect::Db;
    use crate::store::open;

    /// Of the writers of the moment.
    const NOT_KEPT: [&str; 3] = ["commits", "members", "news"];
    /// Of the fleet of the moment: how it tells what is new.
    const COLUMNS_NOT_KEPT: [&str; 3] = ["change", "word", "said"];

    async fn made(dir: &std::path::Path) -> Conn {
        open::open(&Db::Sqlite(dir.join("strop.db"))).await.expect("opens").0
    }

    async fn names(conn: &mut Conn, sql: String) -> BTreeSet<String> {
        let rows = conn.rows_made(sql, &[]).await.expect("reads");
        rows.into_iter().map(|mut row| row.text().expect("a name")).collect()
    }

    #[tokio::test]
    async fn every_table_with_every_column_is_in_an_export() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut conn = made(dir.path()).await;
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '_sqlx%'";
        let there = names(&mut conn, sql.to_owned()).await;
        let known =
            TABLES.iter().map(|table| table.name).chain(NOT_KEPT).chain(RETIRED).map(str::to_owned).collect();
        assert_eq!(there, known);
        for table in &TABLES {
            let there =
                names(&mut conn, format!("SELECT name FROM pragma_table_info('{}')", table.name)).await;
            let there: BTreeSet<_> =
                there.into_iter().filter(|name| !COLUMNS_NOT_KEPT.contains(&name.as_str())).collect();
            let known = table.columns.iter().map(|column| (*column).to_owned()).collect();
            assert_eq!(there, known, "{}", table.name);
        }
    }

    #[tokio::test]
    async fn bytes_come_back_as_they_were_and_what_is_none_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut conn = made(dir.path()).await;
        let all: Vec<u8> = (0..=255).collect();
        let row = |packed: Value| json!({ "member": "m", "service": "s", "day": 0, "packed": packed });
        let line = |row: Value| json!({ "table": "ledger_days", "row": row }).to_string();
        insert(&mut conn, &line(row(value(SqlValue::Bytes(all.clone()))))).await.expect("inserted");
        let read = conn.row("SELECT packed FROM ledger_days", &[]).await.expect("reads");
        assert_eq!(read.expect("there").bytes().expect("bytes"), all);
        for bad in [
            json!({ "hex": "0" }),
            json!({ "hex": "zz" }),
            json!({ "hex": 1 }),
            json!({ "b64": "" }),
            json!([1]),
        ] {
            let stopped = insert(&mut conn, &line(row(bad.clone()))).await;
            assert!(matches!(stopped, Err(Stopped::Line(_))), "{bad}: {stopped:?}");
        }
    }
}
