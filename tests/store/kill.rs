//! `kill -9` at random moments: what was acknowledged is there, once, and the chain is whole.
//!
//! `STROP_KILLS` says how often (default 25; `tests/run` is to stay quick).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::Row as _;
use strop::store::rows::Write;
use strop::store::verify_audit;

use super::support::{audit, entry, incident, notification, open, run, sqlite};

const FILE: &str = "STROP_TEST_KILL_FILE";
const ROUND: &str = "STROP_TEST_KILL_ROUND";

/// Not a test: what the test below starts and kills. Without its variable it does nothing.
#[test]
fn the_child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let round = std::env::var(ROUND).expect("set");
    run(async move {
        let open = Arc::new(open(&sqlite(Path::new(&path))).await);
        let mut writers = Vec::new();
        for writer in 0..4 {
            let (open, round) = (Arc::clone(&open), round.clone());
            writers.push(tokio::spawn(async move {
                for n in 0.. {
                    let id = format!("{round}-{writer}-{n}");
                    open.put(vec![
                        Write::PutIncident(incident(&id, n, 1)),
                        Write::AddEntries(vec![entry(&id, "{}")]),
                        Write::Audit(audit(n, &id)),
                        Write::PutNotification(notification(&id, Some(&id), n)),
                    ])
                    .await;
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "\nack {id}").expect("told");
                    out.flush().expect("told");
                }
            }));
        }
        for writer in writers {
            writer.await.expect("never ends");
        }
    });
}

/// The next number of chance.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Lets a child write and kills it; what it said was on disk.
fn killed(path: &Path, round: u32, chance: &mut u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().expect("this"))
        .args(["kill::the_child", "--exact", "--nocapture"])
        .env(FILE, path)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut acks = Vec::new();
    let mut take = |line: std::io::Result<String>| {
        if let Some(id) = line.expect("text").strip_prefix("ack ") {
            acks.push(id.to_owned());
        }
        acks.len()
    };
    let enough = 1 + draw(chance) as usize % 40;
    for line in lines.by_ref() {
        if take(line) >= enough {
            break;
        }
    }
    let until = Instant::now() + Duration::from_micros(draw(chance) % 3_000);
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    for line in lines {
        take(line);
    }
    assert!(acks.len() >= enough, "round {round}: the child ended by itself after {}", acks.len());
    acks
}

async fn checked(path: &Path, acks: &[String], whole: Option<()>) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("opens");
    let sql = "SELECT (SELECT COUNT(*) FROM incidents WHERE id = $1), \
               (SELECT COUNT(*) FROM timeline WHERE incident_id = $1), \
               (SELECT COUNT(*) FROM notifications WHERE id = $1)";
    for id in acks {
        let row = sqlx::query(sql).bind(id).fetch_one(&mut conn).await.expect("reads");
        let found: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
        assert_eq!(found, [1, 1, 1], "{id} was acknowledged");
    }
    if whole.is_some() {
        let row = sqlx::query("PRAGMA integrity_check").fetch_one(&mut conn).await.expect("reads");
        assert_eq!(row.get::<String, _>(0), "ok");
        // A call is there as a whole or not at all, acknowledged or not.
        let sql = "SELECT (SELECT COUNT(*) FROM incidents), (SELECT COUNT(*) FROM timeline), \
                   (SELECT COUNT(*) FROM audit), (SELECT COUNT(*) FROM notifications)";
        let row = sqlx::query(sql).fetch_one(&mut conn).await.expect("reads");
        let found: [i64; 4] = [row.get(0), row.get(1), row.get(2), row.get(3)];
        assert_eq!(found, [found[0]; 4]);
        let walk = verify_audit(&sqlite(path)).await.expect("reads");
        assert_eq!(walk.broken, None);
        assert_eq!(walk.rows, u64::try_from(found[0]).expect("positive"));
    }
    sqlx::Connection::close(conn).await.expect("closes");
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let rounds: u32 = std::env::var("STROP_KILLS").ok().map_or(25, |text| text.parse().expect("a number"));
    let mut chance = u64::from(std::process::id()) ^ 0x5EED;
    println!("seed {chance}");
    let dir = tempfile::tempdir().expect("a directory");
    let path: PathBuf = dir.path().join("strop.db");
    let start = Instant::now();
    let mut total = 0;
    for round in 1..=rounds {
        let acks = killed(&path, round, &mut chance);
        let whole = (round % 20 == 0 || round == rounds).then_some(());
        run(checked(&path, &acks, whole));
        total += acks.len();
    }
    println!("{rounds} kills, {total} acknowledged calls, {:?}", start.elapsed());
    let names = std::fs::read_dir(dir.path()).expect("reads").flatten().map(|entry| entry.file_name());
    let damaged = names.filter(|name| name.to_string_lossy().contains("damaged")).count();
    assert_eq!(damaged, 0, "no file was ever taken for damaged");
}
