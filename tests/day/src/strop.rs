//! The real binary, on ports that the kernel picks; what can be seen of it from outside.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take.
const START: Duration = Duration::from_secs(20);

/// A running Strop.
pub struct Strop {
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
    dir: PathBuf,
    /// Its access log.
    pub lines: Option<ChildStdout>,
}

fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let read: serde_json::Value = serde_json::from_str(line).ok()?;
    let named = read["message"] == "listening";
    named.then(|| Some((read["listener"].as_str()?.to_owned(), read["address"].as_str()?.parse().ok()?)))?
}

/// Hands over what it says about its listeners; what else it says goes to standard error.
fn told(child: &mut Child) -> Receiver<(String, SocketAddr)> {
    let (send, told) = channel();
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                match listening(&line) {
                    // Nobody waits for more listeners than there are.
                    Some(listener) => drop(send.send(listener)),
                    None if line.contains("\"INFO\"") || line.contains("breaker moved") => {}
                    None => eprintln!("strop: {line}"),
                }
            }
        });
    }
    told
}

impl Strop {
    /// Starts `binary` with `config`, which has `listeners` listeners.
    pub fn start(binary: &Path, config: &str, listeners: usize) -> Result<Self, String> {
        if !binary.is_file() {
            return Err(format!(
                "{} is not there: build it with `cargo build --release`, or name another with --strop",
                binary.display()
            ));
        }
        let dir = std::env::temp_dir().join(format!("strop-day-{}", std::process::id()));
        let path = dir.join("strop.toml");
        std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&path, config)).map_err(text)?;
        let mut child = Command::new(binary)
            .args(["run", "--config"])
            .arg(&path)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", binary.display()))?;
        let told = told(&mut child);
        let lines = child.stdout.take();
        let mut strop = Self { child, addresses: BTreeMap::new(), dir, lines };
        let until = Instant::now() + START;
        while strop.addresses.len() < listeners {
            let left = until.saturating_duration_since(Instant::now());
            let (name, address) = told.recv_timeout(left).map_err(|_| "Strop did not start".to_owned())?;
            strop.addresses.insert(name, address);
        }
        while !strop.get("/readyz").is_ok_and(|text| text.starts_with("HTTP/1.1 200")) {
            if Instant::now() > until {
                return Err("Strop was never ready".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(strop)
    }

    /// Where a listener is.
    pub fn at(&self, listener: &str) -> Result<SocketAddr, String> {
        self.addresses.get(listener).copied().ok_or_else(|| format!("no listener {listener}"))
    }

    fn ask(&self, request: &str) -> Result<String, String> {
        let mut tcp = TcpStream::connect(self.at("admin")?).map_err(text)?;
        tcp.set_read_timeout(Some(START)).map_err(text)?;
        tcp.write_all(request.as_bytes()).map_err(text)?;
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).map_err(text)?;
        Ok(answer)
    }

    /// Asks its admin port.
    pub fn get(&self, path: &str) -> Result<String, String> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// Gives an order to its admin port.
    pub fn post(&self, path: &str, body: &str) -> Result<String, String> {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// What its open descriptors are.
    pub fn descriptors(&self) -> Vec<String> {
        let dir = format!("/proc/{}/fd", self.child.id());
        let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
        let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let mut kinds: Vec<String> = links.map(|link| link.display().to_string()).collect();
        kinds.sort();
        kinds
    }

    /// Memory that is resident, KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Is it still there?
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to leave.
    pub fn terminate(&self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // One that is gone already has an exit code.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Its exit code, when it has left within `limit`.
    pub fn exit(&mut self, limit: Duration) -> Option<i32> {
        let until = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

impl Drop for Strop {
    fn drop(&mut self) {
        // One that has left already cannot be killed, and a file that stays in a temporary place does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
