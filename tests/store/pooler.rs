//! A PgBouncer of Debian before a server of ours: each transaction may go to another session of the server.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::postgres::{Cluster, command_of, unprivileged};
use super::support::PATIENCE;

/// A running pooler.
pub struct Pooler {
    dir: tempfile::TempDir,
    process: Child,
}

impl Pooler {
    /// By transaction, with so many sessions for each database.
    pub fn before(server: &Cluster, sessions: u32) -> Self {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(std::path::PathBuf::from);
        let program = program.into_iter().find(|path| path.is_file());
        let program = program.unwrap_or_else(|| panic!("PgBouncer is not here; tests/setup installs it"));
        let dir = tempfile::Builder::new().prefix("strop-pool").tempdir().expect("a directory");
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(dir.path(), Some(user), Some(group)).expect("given away");
        }
        let text = format!(
            "[databases]\n* = host={} user=strop\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = {sessions}\n\
             server_round_robin = 1\nmax_client_conn = 1000\nlogfile = {1}/log\npidfile = {1}/pid\n",
            server.dir().display(),
            dir.path().display()
        );
        std::fs::write(dir.path().join("ini"), text).expect("writes");
        let mut command = command_of(&program, dir.path());
        let process =
            command.args(["-q", "ini"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
        let mut pooler = Self { dir, process };
        let start = Instant::now();
        while std::os::unix::net::UnixStream::connect(pooler.dir.path().join(".s.PGSQL.6432")).is_err() {
            let ended = pooler.process.try_wait().expect("asked");
            assert!(ended.is_none(), "PgBouncer ended at once: {ended:?}: {}", pooler.log());
            assert!(start.elapsed() < PATIENCE, "PgBouncer does not come up: {}", pooler.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        pooler
    }

    /// The same database by way of it.
    pub fn through(&self, url: &str) -> String {
        let (base, _) = url.split_once('?').expect("a socket");
        let base = base.replace("@localhost/", "@localhost:6432/");
        format!("{base}?host={}", self.dir.path().display())
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
