//! The real binary in its control group; what can be seen of it from outside.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::group::Group;
use crate::origin::Origin;

const START: Duration = Duration::from_secs(30);

/// A running Strop.
pub struct Strop {
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
    dir: PathBuf,
}

/// What must be as before when the abuser is gone.
pub struct State {
    connections: f64,
    buffered: f64,
    active: f64,
    descriptors: usize,
}

impl State {
    /// An error: what is not as it was `before`.
    pub fn is_as(&self, before: &Self) -> Result<(), String> {
        let told = |what: &str, now: f64, then: f64, slack: f64| {
            if now > then + slack { Err(format!("{what}: {now}, before {then}")) } else { Ok(()) }
        };
        told("client connections", self.connections, before.connections, 2.0)?;
        told("requests in flight", self.active, before.active, 0.0)?;
        told("bytes in buffers", self.buffered, before.buffered, 65_536.0)?;
        // Idle connections to the backend may stay for a while.
        told("descriptors", self.descriptors as f64, before.descriptors as f64, 160.0)
    }
}

/// What is watched meanwhile.
pub struct Peak {
    over: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Peak {
    pub fn most(self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// 0: it is not there.
fn resident(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map_or(0, |kib| kib << 10)
}

fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let read: serde_json::Value = serde_json::from_str(line).ok()?;
    let named = read["message"] == "listening";
    named.then(|| Some((read["listener"].as_str()?.to_owned(), read["address"].as_str()?.parse().ok()?)))?
}

fn config(origin: &Origin, group: &Group) -> String {
    let share = group.share().map_or_else(String::new, |percent| {
        format!("buffers = \"{percent:.2}%\"\nsocket_buffer = \"128KiB\"\n")
    });
    format!(
        "[process]\nworkers = 2\n{share}[admin]\nlisten = \"127.0.0.1:0\"\nprobes = \"127.0.0.1:0\"\n[store]\nurl = \"off\"\n\
         [access_log]\nto = \"off\"\n[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n",
        origin.address
    )
}

impl Strop {
    /// Starts `binary` in `group`, with so many descriptors.
    pub fn start(binary: &Path, origin: &Origin, group: &Group, descriptors: u64) -> Result<Self, String> {
        if !binary.is_file() {
            return Err(format!("{} is not there: build it, or name another with --strop", binary.display()));
        }
        let dir = std::env::temp_dir().join(format!("strop-abuse-{}", std::process::id()));
        let path = dir.join("strop.toml");
        let written =
            std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&path, config(origin, group)));
        written.map_err(|error| error.to_string())?;
        let enter = format!("{} && ulimit -n {descriptors} && exec \"$0\" \"$@\"", group.enter());
        let mut child = Command::new("sh")
            .args(["-c", &enter])
            .arg(binary)
            .args(["run", "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let (send, told) = channel();
        let stderr = child.stderr.take().ok_or("no standard error")?;
        let show = std::env::var_os("STROP_ABUSE_LOG").is_some();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                match listening(&line) {
                    // Nobody waits for more listeners than there are.
                    Some(listener) => drop(send.send(listener)),
                    None if show || !line.starts_with('{') => eprintln!("strop: {line}"),
                    None => {}
                }
            }
        });
        let mut strop = Self { child, addresses: BTreeMap::new(), dir };
        let until = Instant::now() + START;
        while strop.addresses.len() < 3 {
            let left = until.saturating_duration_since(Instant::now());
            let (name, address) = told.recv_timeout(left).map_err(|_| "Strop did not start".to_owned())?;
            strop.addresses.insert(name, address);
        }
        Ok(strop)
    }

    /// Where a listener is.
    pub fn at(&self, listener: &str) -> SocketAddr {
        self.addresses.get(listener).copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9)))
    }

    /// Asks its admin port.
    fn get(&self, path: &str) -> Result<String, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut tcp = TcpStream::connect(self.at("admin")).map_err(text)?;
        tcp.set_read_timeout(Some(Duration::from_secs(5))).map_err(text)?;
        let asked = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        tcp.write_all(asked.as_bytes()).map_err(text)?;
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).map_err(text)?;
        Ok(answer)
    }

    /// Its numbers.
    pub fn state(&self) -> Result<State, String> {
        let text = self.get("/metrics")?;
        let sum = |name: &str| -> f64 {
            let of = |line: &&str| line.split(['{', ' ']).next() == Some(name);
            text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        let descriptors =
            std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count);
        Ok(State {
            connections: sum("listener_connections"),
            buffered: sum("buffered_bytes"),
            active: sum("http_server_active_requests"),
            descriptors,
        })
    }

    /// Bytes of its own that are in memory now.
    pub fn resident(&self) -> u64 {
        resident(self.child.id())
    }

    /// The most of [`Self::resident`] from now on until it is asked for.
    pub fn watch(&self) -> Peak {
        let (over, pid) = (Arc::new(AtomicBool::new(false)), self.child.id());
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(resident(pid));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        Peak { over, thread }
    }

    /// Is it still there?
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Strop {
    fn drop(&mut self) {
        // One that has left already cannot be killed, and a file that stays in a temporary place does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
