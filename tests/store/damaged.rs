//! A file that cannot be read.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use strop::store::rows::Write;
use strop::store::{DatabaseState, verify_audit};

use super::support::{audit, incident, open, run, sqlite};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("reads")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn with_a_damage(damage: impl Fn(&Path)) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.db");
    let config = sqlite(&path);
    run(async {
        let before = open(&config).await;
        let writes = (0..200).map(|n| Write::PutIncident(incident(&format!("i{n}"), n, 1))).collect();
        before.put(writes).await;
        before.close().await;
        damage(&path);
        let bytes = std::fs::read(&path).expect("reads");
        let after = open(&config).await;
        let status = after.store.status();
        assert_eq!(status.state, DatabaseState::Ok);
        let moved = status.moved_aside.expect("moved aside");
        assert!(moved.to.display().to_string().contains("strop.db.damaged-"), "{moved:?}");
        assert_eq!(std::fs::read(&moved.to).expect("still there"), bytes, "nothing of it is touched");
        after.put(vec![Write::Audit(audit(1, "x"))]).await;
        assert_eq!(after.store.reader().incident("i1").await, Ok(None));
        assert_eq!(verify_audit(&config).await.expect("reads").broken, None);
        after.close().await;
        // The new file is a good one.
        let again = open(&config).await;
        assert_eq!(again.store.status().moved_aside, None);
        again.close().await;
        let aside = names(dir.path()).into_iter().filter(|name| name.starts_with("strop.db.damaged-"));
        assert_eq!(aside.filter(|name| name.ends_with('Z')).count(), 1, "{:?}", names(dir.path()));
    });
}

#[test]
fn a_file_that_is_no_database_any_more_is_moved_aside() {
    with_a_damage(|path| {
        let length = std::fs::metadata(path).expect("there").len();
        std::fs::write(path, vec![0xA5; usize::try_from(length).expect("fits")]).expect("writes");
    });
}

/// Looks at a file that belongs to somebody else, and finds it as it was.
fn is_refused_and_left_alone(path: &Path) {
    let before = std::fs::read(path).expect("reads");
    run(async {
        let refused =
            strop::store::Store::open(&sqlite(path), &strop::runtime::tasks::Tasks::default()).await;
        let told = refused.map(drop).expect_err("somebody else's").to_string();
        assert!(told.contains("write another path in store.url"), "{told}");
    });
    assert_eq!(std::fs::read(path).expect("still there"), before);
    let beside = names(path.parent().expect("a directory"));
    assert_eq!(beside.len(), 1, "nothing was renamed or put beside it: {beside:?}");
}

#[test]
fn a_config_that_is_named_as_the_store_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.toml");
    std::fs::write(
        &path,
        r#"
            [ingress]
            listen = "127.0.0.1:8000"
        "#,
    )
    .expect("writes");
    is_refused_and_left_alone(&path);
}

#[test]
fn the_database_of_another_program_is_left_alone() {
    for sql in
        ["CREATE TABLE customers (name TEXT)", "PRAGMA application_id = 252006674; CREATE TABLE a (b TEXT)"]
    {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("django.sqlite3");
        std::fs::write(&path, "").expect("writes");
        run(super::support::meddle(&sqlite(&path), sql));
        is_refused_and_left_alone(&path);
    }
}

#[test]
fn a_store_of_a_version_before_is_taken_and_signed() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.db");
    run(async {
        open(&sqlite(&path)).await.close().await;
        let signed = |path: &Path| std::fs::read(path).expect("reads")[68..72].to_vec();
        assert_eq!(signed(&path), b"Strp");
        super::support::meddle(&sqlite(&path), "PRAGMA application_id = 0").await;
        assert_eq!(signed(&path), [0; 4]);
        let again = open(&sqlite(&path)).await;
        again.put(vec![Write::PutIncident(incident("i", 1, 1))]).await;
        assert_eq!(again.store.status().moved_aside, None);
        again.close().await;
        assert_eq!(signed(&path), b"Strp");
    });
}

#[test]
fn a_file_with_pages_of_nonsense_is_moved_aside() {
    with_a_damage(|path| {
        let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("opens");
        file.seek(SeekFrom::Start(4_096 + 7)).expect("seeks");
        file.write_all(&vec![0xA5; 64 * 1_024]).expect("writes");
    });
}

#[test]
fn a_file_that_was_cut_short_is_moved_aside() {
    with_a_damage(|path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("opens");
        let length = file.metadata().expect("there").len();
        file.set_len(length / 2).expect("cut");
    });
}

#[test]
fn a_file_that_is_damaged_while_it_is_used_is_moved_aside_and_writes_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.db");
    run(async {
        let open = open(&sqlite(&path)).await;
        // More than SQLite keeps in memory, so that it has to read what is on disk.
        let row = |n: i64, revision| {
            let mut row = incident(&format!("i{n}"), n, revision);
            row.body = format!("\"{}\"", "x".repeat(4_000));
            Write::PutIncident(row)
        };
        for n in 0..40 {
            open.put((0..100).map(|m| row(n * 100 + m, 1)).collect()).await;
        }
        let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("opens");
        let length = file.metadata().expect("there").len();
        file.write_all(&vec![0xA5; usize::try_from(length).expect("fits")]).expect("writes");
        let mut told = 0;
        while open.store.status().moved_aside.is_none() {
            open.put(vec![row(told, 2)]).await;
            told += 1;
            assert!(told < 4_000, "it is never noticed");
        }
        open.put(vec![Write::PutIncident(incident("last", 1, 1))]).await;
        let row = open.store.reader().incident("last").await.expect("reads");
        assert_eq!(row.map(|row| row.id), Some("last".to_owned()));
        open.close().await;
    });
}
