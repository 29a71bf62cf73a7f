//! A PostgreSQL server of our own: in a temporary directory, on a socket there, as an unprivileged user, gone at the end.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::support::PATIENCE;

/// A running server.
pub struct Cluster {
    dir: tempfile::TempDir,
    connections: u32,
    server: Mutex<Child>,
    databases: AtomicU32,
}

/// Where Debian keeps the server's programs: beside no other program, for several versions may be there.
fn program(name: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("PostgreSQL's {name} is not here; tests/setup installs it"))
}

/// PostgreSQL and PgBouncer refuse to run as root.
pub fn unprivileged() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("reads");
    let ids = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    Some(ids.unwrap_or_else(|| panic!("there is no user postgres; tests/setup makes it with PostgreSQL")))
}

fn command(name: &str, dir: &Path) -> Command {
    command_of(&program(name), dir)
}

/// A program as the unprivileged user, with a directory of its own.
pub fn command_of(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env_clear().env("LC_ALL", "C").env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    if let Some((user, group)) = unprivileged() {
        command.uid(user).gid(group);
    }
    command
}

impl Cluster {
    /// A new server.
    pub fn start() -> Self {
        Self::holding(50)
    }

    /// One that takes so many connections.
    pub fn holding(connections: u32) -> Self {
        let dir = tempfile::Builder::new().prefix("strop-pg").tempdir().expect("a directory");
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(dir.path(), Some(user), Some(group)).expect("given away");
        }
        let made = command("initdb", dir.path())
            .args(["--pgdata=data", "--username=strop", "--auth=trust", "--no-sync", "--encoding=UTF8"])
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let server = Mutex::new(serve(dir.path(), connections));
        let cluster = Self { dir, connections, server, databases: AtomicU32::new(0) };
        cluster.until_up();
        cluster
    }

    /// The one that tests share; the last one to leave stops it.
    #[allow(dead_code, reason = "tests/it has one each")]
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start());
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://strop@localhost/{database}?host={}", self.dir.path().display())
    }

    fn psql(&self, sql: &str) -> bool {
        self.say(sql).is_some()
    }

    /// What it answers, unadorned; `None`: it does not.
    pub fn say(&self, sql: &str) -> Option<String> {
        let ran = command("psql", self.dir.path())
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=strop"])
            .args(["--dbname=postgres", "--command", sql, "--host"])
            .arg(self.dir.path())
            .stderr(Stdio::null())
            .output()
            .expect("psql runs");
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).trim().to_owned())
    }

    /// Where its socket is.
    #[allow(dead_code, reason = "tests/it has no pooler")]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process that all its sessions are children of.
    #[allow(dead_code, reason = "tests/it measures no server")]
    pub fn process(&self) -> u32 {
        self.server.lock().expect("whole").id()
    }

    fn until_up(&self) {
        let start = Instant::now();
        while !self.psql("SELECT 1") {
            let ended = self.server.lock().expect("whole").try_wait().expect("asked");
            assert!(ended.is_none(), "PostgreSQL ended at once: {ended:?}");
            assert!(start.elapsed() < PATIENCE, "PostgreSQL does not come up");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// The address of an empty database.
    pub fn empty(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::SeqCst));
        assert!(self.psql(&format!("CREATE DATABASE {name}")));
        self.url(&name)
    }

    /// Ends the server without warning its clients.
    pub fn stop(&self) {
        let stopped = command("pg_ctl", self.dir.path())
            .args(["stop", "--pgdata=data", "--mode=immediate", "--wait", "--silent"])
            .status();
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = server.kill();
        }
        let _ = server.wait();
    }

    /// Starts it again.
    pub fn restart(&self) {
        *self.server.lock().expect("whole") = serve(self.dir.path(), self.connections);
        self.until_up();
    }
}

fn serve(dir: &Path, connections: u32) -> Child {
    let mut server = command("postgres", dir);
    // Processes die here, machines do not: without fsync a crash is recovered from in no time.
    server.args(["-D", "data", "-c", "listen_addresses=", "-c", "fsync=off", "-c"]);
    server.arg(format!("max_connections={connections}")).arg("-k").arg(dir);
    server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres runs")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}
