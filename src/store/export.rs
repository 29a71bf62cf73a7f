//! The tables as a whole: counted, written out as JSON lines, and read back into an empty SQLite file.
//!
//! An export's first line is `{"strop":"export","format":1}`, each further one
//! `{"table":"…","row":{"column":value,…}}`. A value of bytes is `{"hex":"…"}`.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde_json::{Map, Value, json};

use super::db::{Arg, Conn, DbError, SqlValue};
use super::digest::hex;
use super::tables::{Exported, RETIRED, TABLES};

/// Number of the format, in an export's first line.
const FORMAT: i64 = 1;
/// Rows fetched or inserted at a time.
const LOT: usize = 1_000;

/// The tables of an export: name, columns, and the columns that order the rows.
fn exported() -> impl Iterator<Item = (&'static str, &'static [&'static str], &'static str)> {
    TABLES.iter().filter_map(|table| match table.exported {
        Exported::Rows { columns, order } => Some((table.name, columns, order)),
        Exported::Nothing => None,
    })
}

/// Rows of each table.
pub(super) async fn counts(conn: &mut Conn) -> Result<BTreeMap<String, i64>, DbError> {
    let mut counts = BTreeMap::new();
    for (name, ..) in exported() {
        let rows = conn.rows_made(format!("SELECT COUNT(*) FROM {name}"), &[]).await?;
        let count = rows.into_iter().next().map(|mut row| row.int()).transpose()?;
        counts.insert(name.to_owned(), count.unwrap_or_default());
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
    for (name, columns, order) in exported() {
        let listed = columns.join(", ");
        let declare = format!("DECLARE all_{name} CURSOR FOR SELECT {listed} FROM {name} ORDER BY {order}");
        conn.run_made(declare, &[]).await?;
        loop {
            let rows = conn.rows_made(format!("FETCH {LOT} FROM all_{name}"), &[]).await?;
            let last = rows.len() < LOT;
            for row in rows {
                let row: Map<String, Value> =
                    columns.iter().map(|name| (*name).to_owned()).zip(row.cells().map(value)).collect();
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
    let table = exported().find(|(name, ..)| line["table"] == *name);
    let (name, columns, _) = table.ok_or_else(|| wrong("no table of that name is known"))?;
    let row = &line["row"];
    let raw: Vec<Option<Vec<u8>>> = columns.iter().map(|column| bytes(&row[*column])).collect();
    let mut args = Vec::with_capacity(columns.len());
    for (column, raw) in columns.iter().zip(&raw) {
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
    let (columns, places) = (columns.join(", "), places.join(", "));
    conn.run_made(format!("INSERT INTO {name} ({columns}) VALUES ({places})"), &args).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::connect::Db;
    use crate::store::open;

    async fn made(dir: &std::path::Path) -> Conn {
        open::open(&Db::Sqlite(dir.join("strop.db"))).await.expect("opens").0
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
