//! A file that is removed or replaced while it is open.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use strop::store::rows::Write;
use strop::store::{DatabaseState, backup, verify_audit};

use super::support::{audit, incident, open, run, sqlite};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[test]
fn a_file_that_is_removed_is_written_anew_from_what_is_known() {
    for whole_directory in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("state");
        let path = state.join("strop.db");
        let config = sqlite(&path);
        run(async {
            let open = open(&config).await;
            open.put(vec![Write::PutIncident(incident("before", 1, 1)), Write::Audit(audit(1, "a"))]).await;
            if whole_directory {
                std::fs::remove_dir_all(&state).expect("removed");
            } else {
                // Its logs stay: they must not be read as the new file's.
                std::fs::remove_file(&path).expect("removed");
            }
            // Nobody writes: it is found all the same.
            open.eventually("it is written anew", |status| status.rewritten.is_some()).await;
            open.put(vec![Write::PutIncident(incident("after", 2, 1)), Write::Audit(audit(2, "b"))]).await;
            assert_eq!(open.store.status().state, DatabaseState::Ok);
            assert_eq!(mode(&path), 0o600);
            open.close().await;
            let again = super::support::open(&config).await;
            for id in ["before", "after"] {
                assert!(again.store.reader().incident(id).await.expect("reads").is_some(), "{id}");
            }
            let walk = verify_audit(&config).await.expect("reads");
            assert_eq!((walk.rows, walk.broken), (2, None));
            assert_eq!(again.store.status().moved_aside, None);
            again.close().await;
        });
    }
}

#[test]
fn a_file_that_is_replaced_is_left_alone_until_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.db");
    let (config, other) = (sqlite(&path), dir.path().join("other.db"));
    run(async {
        let theirs = open(&sqlite(&other)).await;
        theirs.put(vec![Write::PutIncident(incident("theirs", 1, 1))]).await;
        theirs.close().await;
        let bytes = std::fs::read(&other).expect("reads");
        let mut ours = open(&config).await;
        ours.put(vec![Write::PutIncident(incident("ours", 1, 1))]).await;
        std::fs::rename(&path, dir.path().join("away.db")).expect("renamed");
        std::fs::rename(&other, &path).expect("renamed");
        let status = ours.eventually("it is found", |status| status.state == DatabaseState::Replaced).await;
        assert_eq!(status.state.as_str(), "replaced");
        assert!(status.last_error.expect("told").contains("taken up at the next start"));
        let waits = ours.store.write(vec![Write::PutIncident(incident("later", 2, 1))]);
        assert!(ours.store.reader().incident("ours").await.is_err(), "the other file is not read either");
        assert_eq!(std::fs::read(&path).expect("reads"), bytes, "the other file is not written");
        assert_eq!(ours.store.status().backlog, 1, "what is told waits in memory");
        // The one that was open comes back: what waited is written into it.
        std::fs::rename(&path, &other).expect("renamed");
        std::fs::rename(dir.path().join("away.db"), &path).expect("renamed");
        assert_eq!(waits.await, Ok(()));
        assert_eq!(ours.store.status().state, DatabaseState::Ok);
        std::fs::rename(&path, dir.path().join("away.db")).expect("renamed");
        std::fs::rename(&other, &path).expect("renamed");
        ours.eventually("it is found again", |status| status.state == DatabaseState::Replaced).await;
        ours.store.close(super::support::PATIENCE).await;
        assert_eq!(ours.tasks.first_to_end().await, "store");
        assert_eq!(std::fs::read(&path).expect("reads"), bytes, "nor when Strop leaves");
        let next = open(&config).await;
        assert!(next.store.reader().incident("theirs").await.expect("reads").is_some(), "taken up");
        assert_eq!(next.store.status().moved_aside, None);
        next.close().await;
    });
}

#[test]
fn a_server_that_hangs_is_said_within_five_seconds_and_loses_nothing() {
    let server = super::postgres::Cluster::shared();
    let config = server.database();
    let strop::config::StoreAt::Postgres { url, .. } = &config.at else { panic!("it is a server") };
    run(async {
        let open = open(&config).await;
        open.put(vec![Write::Audit(audit(1, "a"))]).await;
        let mut holder = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.expect("connects");
        let held = "BEGIN; UPDATE heads SET seq = seq WHERE name = 'audit'";
        sqlx::raw_sql(held).execute(&mut holder).await.expect("held");
        let start = std::time::Instant::now();
        let waits = open.store.write(vec![Write::Audit(audit(2, "b"))]);
        let status = open.eventually("it is said", |status| status.state == DatabaseState::Unreachable).await;
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(status.last_error.expect("told").contains("no answer within"));
        sqlx::raw_sql("ROLLBACK").execute(&mut holder).await.expect("let go");
        assert_eq!(waits.await, Ok(()));
        open.eventually("it is well again", |status| status.state == DatabaseState::Ok).await;
        open.close().await;
    });
}

#[test]
fn copies_and_logs_are_their_owners_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.db");
    let config = sqlite(&path);
    run(async {
        let open = open(&config).await;
        open.put(vec![Write::Audit(audit(1, "a"))]).await;
        let (copy, _) = backup::take(&config, &dir.path().join("copies")).await.expect("a copy");
        let beside = |ending: &str| std::path::PathBuf::from(format!("{}{ending}", path.display()));
        let manifest = std::path::PathBuf::from(format!("{}.json", copy.display()));
        for file in [path.clone(), beside("-wal"), beside("-shm"), copy, manifest] {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
        open.close().await;
    });
}
