//! The real binary, on ports that the kernel picks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::raw::{self, Response};
use super::{PATIENCE, eventually};

pub struct Proxy {
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
    pub log: Arc<Mutex<Vec<String>>>,
    dir: Option<tempfile::TempDir>,
}

/// Starts the proxy with this config; listeners on port 0.
pub fn proxy(toml: &str) -> Proxy {
    proxy_in(tempfile::tempdir().expect("a directory"), toml)
}

/// Starts it where another one has left its state.
pub fn proxy_in(dir: tempfile::TempDir, toml: &str) -> Proxy {
    start(dir, toml, &[])
}

/// Starts one of several, which tell each other apart by this name.
pub fn member(name: &str, toml: &str) -> Proxy {
    start(tempfile::tempdir().expect("a directory"), toml, &[("HOSTNAME", name)])
}

fn start(dir: tempfile::TempDir, toml: &str, env: &[(&str, &str)]) -> Proxy {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(["run", "--config"]).arg(dir.path().join("strop.toml")).env("STATE_DIRECTORY", dir.path());
    proxy_by(command.envs(env.iter().copied()), dir, toml)
}

/// Starts it by a command that ends as the proxy, with `strop.toml` of the directory.
pub fn proxy_by(command: &mut Command, dir: tempfile::TempDir, toml: &str) -> Proxy {
    let toml = with_admin(toml);
    std::fs::write(dir.path().join("strop.toml"), &toml).expect("writes");
    if !toml.contains("samples = ") {
        // Tests keep the machine busy: that is no incident of theirs.
        command.env("STROP__INCIDENTS__RESOURCES__SAMPLES", "1000");
    }
    if keeps_answers() {
        command.env("STROP__DEGRADATION__STALE__FOR", "10m");
    }
    for name in told_to_speak_http2(&toml) {
        command.env(format!("STROP__UPSTREAMS__{}__PROTOCOL", name.to_ascii_uppercase()), "h2");
    }
    let mut child = command
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = Arc::clone(&log);
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            lines.lock().expect("not poisoned").push(line);
        }
    });
    let listens = ["[ingress]", "[egress]", "[admin]", "[inbound]", "local = ", "probes = "];
    let listens = |line: &&str| listens.iter().any(|part| line.trim_start().starts_with(part));
    let wanted = toml.lines().filter(listens).count();
    let mut addresses = BTreeMap::new();
    eventually("all listeners are bound", || {
        let log = log.lock().expect("not poisoned");
        addresses = log.iter().filter_map(|line| listening(line)).collect();
        assert!(!log.iter().any(|line| line.contains("cannot")), "{log:#?}");
        addresses.len() == wanted
    });
    let proxy = Proxy { child, addresses, log, dir: Some(dir) };
    eventually("it is ready", || proxy.admin_get("/readyz").status == 200);
    proxy
}

/// Do routes keep answers that say nothing of it (`STROP_TEST_CACHE=1`)? What passes must be the same.
fn keeps_answers() -> bool {
    std::env::var("STROP_TEST_CACHE").is_ok_and(|asked| asked == "1")
}

/// Upstreams that take HTTP/2 where the suite is run over it and nothing else is said of them: stand-ins without TLS.
fn told_to_speak_http2(toml: &str) -> Vec<String> {
    let sections =
        toml.split("\n").map(str::trim).fold(Vec::<(String, Vec<&str>)>::new(), |mut all, line| {
            match line.strip_prefix('[') {
                Some(name) if !line.contains('=') => {
                    all.push((name.trim_end_matches(']').to_owned(), Vec::new()))
                }
                _ => all.last_mut().into_iter().for_each(|(_, lines)| lines.push(line)),
            }
            all
        });
    let all_are = |lines: &[&str]| {
        let endpoints = lines.iter().find_map(|line| line.strip_prefix("endpoints = "));
        let addresses = endpoints.into_iter().flat_map(|line| line.split('"').skip(1).step_by(2));
        let mut addresses =
            addresses.map(|address| address.parse().is_ok_and(super::upstream::is_one)).peekable();
        addresses.peek().is_some() && addresses.all(|one| one)
    };
    let says =
        |lines: &[&str]| lines.iter().any(|line| line.starts_with("protocol") || line.starts_with("tls"));
    let asked = super::upstream_h2::is_asked_for();
    let named = sections.iter().filter(|(_, lines)| asked && all_are(lines) && !says(lines));
    named.filter_map(|(name, _)| name.strip_prefix("upstreams.")).map(str::to_owned).collect()
}

fn with_admin(toml: &str) -> String {
    if toml.contains("[admin]") {
        toml.to_owned()
    } else {
        // What was written stays at its lines: problems are told by them.
        format!("{toml}\n[admin]\nlisten = \"127.0.0.1:0\"\n")
    }
}

fn listening(line: &str) -> Option<(String, SocketAddr)> {
    let read: serde_json::Value = serde_json::from_str(line).ok()?;
    if read["message"] != "listening" {
        return None;
    }
    Some((read["listener"].as_str()?.to_owned(), read["address"].as_str()?.parse().ok()?))
}

impl Proxy {
    pub fn at(&self, listener: &str) -> SocketAddr {
        *self.addresses.get(listener).unwrap_or_else(|| panic!("no listener {listener}"))
    }

    pub fn ingress(&self) -> SocketAddr {
        self.at("ingress")
    }

    pub fn egress(&self) -> SocketAddr {
        self.at("egress")
    }

    pub fn admin(&self) -> SocketAddr {
        self.at("admin")
    }

    pub fn get(&self, path: &str) -> Response {
        raw::get(self.ingress(), path)
    }

    /// A path under /api/v2/sre/ of the admin port, as JSON.
    pub fn sre(&self, path: &str) -> serde_json::Value {
        self.admin_get(&format!("/api/v2/sre/{path}")).json()
    }

    pub fn admin_get(&self, path: &str) -> Response {
        raw::ask_http1(
            self.admin(),
            &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        )
    }

    /// Orders a plan, and waits until its run is so far.
    pub fn run_of(&self, plan: &str, so_far: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let begun = self.post("recovery/trigger", &format!("{{\"trigger_condition\": {plan:?}}}"));
        assert_eq!(begun.status, 200, "{}", begun.text());
        let id = begun.json()["run"]["id"].as_str().expect("an id").to_owned();
        let mut run = serde_json::Value::Null;
        super::eventually("the run is so far", || {
            let all = self.sre("recovery");
            let runs = all["runs"].as_array().expect("a list");
            run = runs.iter().find(|run| run["id"] == *id).cloned().unwrap_or_default();
            so_far(&run)
        });
        run
    }

    /// Orders a plan, and waits until something has come of its first step: that step. Its run is ended.
    pub fn first_step(&self, plan: &str) -> serde_json::Value {
        let result = |run: &serde_json::Value| run["steps"][0]["result"].as_str().map(str::to_owned);
        let over = |said: &str| matches!(said, "done" | "unneeded" | "failed" | "dry_run");
        let run = self.run_of(plan, |run| result(run).is_some_and(|said| over(&said)));
        let id = run["id"].as_str().expect("an id");
        let _ = self.post(&format!("recovery/{id}/cancel"), "{}");
        run["steps"][0].clone()
    }

    pub fn post(&self, path: &str, body: &str) -> Response {
        let length = body.len();
        raw::ask_http1(
            self.admin(),
            &format!(
                "POST /api/v2/sre/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
            ),
        )
    }

    /// A request to /api/v2/sre/ of the admin port with these fields, each with its line end.
    pub fn ask(&self, method: &str, path: &str, fields: &str, body: &str) -> Response {
        let length = body.len();
        raw::ask_http1(
            self.admin(),
            &format!(
                "{method} /api/v2/sre/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
            ),
        )
    }

    pub fn breaker(&self, name: &str) -> String {
        self.sre(&format!("circuit-breakers/{name}"))["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The sum of all samples of a family whose labels contain `label`.
    pub fn metric(&self, family: &str, label: &str) -> f64 {
        let text = self.admin_get("/metrics").text();
        let samples =
            text.lines().filter(|line| line.split(['{', ' ']).next() == Some(family) && line.contains(label));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn path(&self) -> PathBuf {
        self.dir.as_ref().expect("not left behind").path().join("strop.toml")
    }

    /// Writes another config and has it read; the answer.
    pub fn reload(&self, toml: &str) -> Response {
        std::fs::write(self.path(), with_admin(toml)).expect("writes");
        self.post("config/reload", "")
    }

    /// Waits for the end and gives what is on disk.
    pub fn leave_behind(&mut self) -> tempfile::TempDir {
        self.child.wait().expect("it ends");
        self.dir.take().expect("once")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Has it ended? Then how. Asked to leave once more it would hurry.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().ok().flatten().and_then(|status| status.code())
    }

    /// Asks it to stop and waits; its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        if let Ok(Some(code)) = self.child.try_wait() {
            return code.code();
        }
        self.signal("TERM");
        let start = std::time::Instant::now();
        while start.elapsed() < PATIENCE {
            if let Ok(Some(code)) = self.child.try_wait() {
                return code.code();
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let code = self.stop();
        if !std::thread::panicking() {
            let killed = self.dir.is_none();
            assert!(
                code.is_some() || killed,
                "it did not stop: {:#?}",
                self.log.lock().expect("not poisoned")
            );
        }
    }
}

/// A command about that sidecar: exit code, and what it printed.
pub fn live(proxy: &Proxy, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(args).env("STROP_ADMIN", proxy.admin().to_string()).env("USER", "ann");
    let ran = command.output().expect("runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().expect("a code"), said)
}

/// What [`with_token`] asks for.
pub const TOKEN: &str = "0123456789abcdef";

/// An ingress, with `ingress` in its table, whose admin port asks for a token and listens at `port`; 0: at any.
pub fn with_token(backend: SocketAddr, dir: &std::path::Path, ingress: &str, port: u16) -> Proxy {
    let token = dir.join("token");
    std::fs::write(&token, TOKEN).expect("writes");
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            {ingress}
            [upstreams.backend]
            endpoints = ["{backend}"]
            [admin]
            listen = "127.0.0.1:{port}"
            token_file = {token:?}
        "#
    ))
}

/// An ingress in front of one backend.
pub fn ingress_to(backend: SocketAddr, more: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"

            [upstreams.backend]
            endpoints = ["{backend}"]
            {more}
        "#
    ))
}

/// The same, with `limits` for its clients.
pub fn limited(backend: SocketAddr, limits: &str, more: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            limits = {{ {limits} }}

            [upstreams.backend]
            endpoints = ["{backend}"]
            {more}
        "#
    ))
}
