//! A network of a test's own: the calling thread moves into it, and with it all that the thread starts.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use super::proxy::{Proxy, proxy_by};

/// Ends with its owner; the thread stays where it is, so a test has one and no more.
pub struct Namespace {
    keeper: Child,
}

impl Namespace {
    /// With the loopback up and then `more`, commands of a shell.
    pub fn enter(more: &str) -> Self {
        let script = format!("set -e; ip link set lo up; {more}\necho ready; exec cat");
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("unshare --net: {error}; run tests/setup first"));
        let mut line = String::new();
        let read = BufReader::new(keeper.stdout.take().expect("piped")).read_line(&mut line);
        if read.is_err() || line.trim() != "ready" {
            let said = keeper.wait_with_output().expect("waits");
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            panic!("a network namespace cannot be made ({}): {said}", script.replace('\n', "; "));
        }
        let path = format!("/proc/{}/ns/net", keeper.id());
        let namespace = Self { keeper };
        let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(file.as_fd(), kind).unwrap_or_else(|error| {
            panic!("the network namespace cannot be entered (setns {path}): {error}")
        });
        namespace
    }

    /// A proxy with a resolv.conf and a hosts file of its own.
    pub fn proxy(&self, toml: &str, resolv_conf: &str, hosts: &str) -> Proxy {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("resolv.conf"), resolv_conf).expect("writes");
        std::fs::write(dir.path().join("hosts"), hosts).expect("writes");
        let script = "for file in resolv.conf hosts; do mount --bind \"$2/$file\" \"/etc/$file\" || \
                      { echo \"cannot mount over /etc/$file\" >&2; exit 1; }; done; \
                      exec \"$0\" run --config \"$1\"";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_strop")])
            .arg(dir.path().join("strop.toml"))
            .arg(dir.path())
            .env("STATE_DIRECTORY", dir.path())
            .env_remove("LOCALDOMAIN")
            .env_remove("RES_OPTIONS");
        proxy_by(&mut command, dir, toml)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
