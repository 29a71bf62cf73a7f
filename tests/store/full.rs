//! A disk that is full: a small tmpfs of a child's own, or a limit on the size of its files.

use std::path::{Path, PathBuf};
use std::process::Command;

use strop::store::rows::Write;
use strop::store::{DatabaseState, StoreError, verify_audit};

use super::support::{audit, entry, incident, open, run, sqlite};

const DIR: &str = "STROP_TEST_FULL_DIR";
const LIMITED: &str = "STROP_TEST_FULL_LIMITED";

/// What takes the room away, and gives it back.
enum Ballast {
    File(PathBuf),
    Limit,
}

impl Ballast {
    /// Leaves about 200 KiB.
    fn load(dir: &Path, used: u64) -> Self {
        let room = 200 * 1_024;
        if std::env::var_os(LIMITED).is_some() {
            limit(Some(used + room));
            return Self::Limit;
        }
        let path = dir.join("ballast");
        let mut length = 4 << 20;
        while std::fs::write(&path, vec![1; length]).is_err() {
            length -= 4_096;
        }
        std::fs::write(&path, vec![1; length - room as usize]).expect("shorter");
        Self::File(path)
    }

    fn unload(self) {
        match self {
            Self::File(path) => std::fs::remove_file(path).expect("removed"),
            Self::Limit => limit(None),
        }
    }
}

/// The longest file this process may write, in bytes.
fn limit(bytes: Option<u64>) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).expect("set");
}

/// Not a test: what the test below starts where disks are small. Without its variable it does nothing.
#[test]
fn the_child() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let path = dir.join("strop.db");
    let config = sqlite(&path);
    run(async {
        let open = open(&config).await;
        open.put(vec![Write::PutIncident(incident("first", 1, 1))]).await;
        let ballast = Ballast::load(&dir, std::fs::metadata(&path).expect("there").len());
        let mut waiting = Vec::new();
        let mut told = 0;
        while open.store.status().state == DatabaseState::Ok {
            for _ in 0..10 {
                let id = format!("i{told}");
                let mut row = incident(&id, told, 1);
                row.body = format!("\"{}\"", "x".repeat(4_000));
                waiting.push(open.store.write(vec![
                    Write::PutIncident(row),
                    Write::AddEntries(vec![entry("first", &format!("{told}"))]),
                    Write::Audit(audit(told, &id)),
                ]));
                told += 1;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            assert!(told < 5_000, "the disk is never full");
        }
        let status = open.store.status();
        let limited = std::env::var_os(LIMITED).is_some();
        let wanted = if limited { DatabaseState::Unreachable } else { DatabaseState::Full };
        assert_eq!(status.state, wanted, "{status:?}");
        assert!(status.backlog > 0 && status.last_error.is_some(), "{status:?}");
        // Reading goes on, and a question is answered or refused at once instead of waiting.
        assert!(open.store.reader().incident("first").await.expect("reads").is_some());
        let asked = open.store.versions(0, 1).await;
        assert!(!matches!(asked, Err(StoreError::Closed)), "{asked:?}");
        println!("\nfull after {told} calls, {} writes wait: {:?}", status.backlog, status.last_error);
        ballast.unload();
        for written in waiting {
            assert_eq!(written.await, Ok(()));
        }
        let status = open.eventually("it is well again", |status| status.state == DatabaseState::Ok).await;
        assert_eq!((status.backlog, status.refused), (0, 0));
        let lines = open.store.reader().lines("first").await.expect("reads");
        let seen: Vec<i64> = lines.iter().map(|line| line.body.parse().expect("a number")).collect();
        assert_eq!(seen, (0..told).collect::<Vec<_>>(), "in order, and each once");
        let walk = verify_audit(&config).await.expect("reads");
        assert_eq!((walk.rows, walk.broken), (u64::try_from(told).expect("positive"), None));
        open.close().await;
    });
    println!("\nall caught up");
}

fn child(mut command: Command, dir: &Path) -> (bool, String) {
    let ran = command.env(DIR, dir).output().expect("runs");
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    (ran.status.success() && text.contains("all caught up"), text)
}

const CHILD: &str = "exec \"$0\" full::the_child --exact --nocapture";

#[test]
fn a_full_disk_makes_writes_wait_and_loses_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let this = std::env::current_exe().expect("this");
    let mounts = |command: &mut Command| {
        let map = if rustix::process::geteuid().is_root() { "--mount" } else { "--map-root-user" };
        command.args([map, "--mount", "sh", "-c"]);
        command.env("ROOM", dir.path());
    };
    let mut probe = Command::new("unshare");
    mounts(&mut probe);
    probe.arg("mount -t tmpfs -o size=4m none \"$ROOM\"");
    let (good, text) = if probe.output().is_ok_and(|ran| ran.status.success()) {
        let mut command = Command::new("unshare");
        mounts(&mut command);
        command.arg(format!("mount -t tmpfs -o size=4m none \"$ROOM\" && {CHILD}")).arg(this);
        child(command, dir.path())
    } else {
        // Nothing may be mounted here: the files' size is limited instead.
        limited(&this, dir.path())
    };
    println!("{text}");
    assert!(good, "{text}");
}

#[test]
fn a_limit_on_the_size_of_files_makes_writes_wait_and_loses_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let (good, text) = limited(&std::env::current_exe().expect("this"), dir.path());
    assert!(good, "{text}");
}

fn limited(this: &Path, dir: &Path) -> (bool, String) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap '' XFSZ; {CHILD}")]).arg(this).env(LIMITED, "1");
    child(command, dir)
}
