use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use strop::config::StoreAt;
use strop::store::Reader;

use crate::postgres::Cluster;
use crate::store::config;
use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy, proxy_by};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, status};

/// A steady load: what was answered, and what was not as it should be.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Vec<String>)>,
}

impl Load {
    fn on(proxy: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut answered, mut failed, mut client) = (0, Vec::new(), Client::to(proxy));
            while !stopped.load(Ordering::SeqCst) {
                let start = Instant::now();
                let came = client.send(b"GET /load HTTP/1.1\r\nHost: a\r\n\r\n").response(false);
                match came.map(|came| came.status) {
                    Some(200) if start.elapsed() < Duration::from_secs(2) => answered += 1,
                    status => {
                        failed.push(format!("{status:?} after {:?}", start.elapsed()));
                        client = Client::to(proxy);
                    }
                }
                std::thread::park_timeout(Duration::from_millis(3));
            }
            (answered, failed)
        });
        Self { stop, thread }
    }

    /// Ends it: there was no failure.
    fn clean(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        let (answered, failed) = self.thread.join().expect("whole");
        assert!(failed.is_empty(), "{} of {answered}: {:?}", failed.len(), failed.first());
        assert!(answered > 100, "{answered} requests are no load");
        answered
    }
}

fn toml(backend: &Upstream, more: &str) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            health = {{ interval = "200ms" }}
            {more}
        "#,
        backend.address
    )
}

fn store(proxy: &Proxy) -> serde_json::Value {
    proxy.sre("health/comprehensive")["store"].clone()
}

fn holds(proxy: &Proxy) -> bool {
    let all = proxy.sre("incidents");
    let all = all["incidents"].as_array().expect("a list");
    all.iter().any(|one| one["service"] == "store" && one["holds"] == true && one["state"] == "open")
}

fn backlog(proxy: &Proxy) -> (f64, f64) {
    let text = proxy.admin_get("/metrics").text();
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    (of("store_backlog "), of("store_backlog_limit "))
}

fn opened(proxy: &Proxy) -> (String, bool) {
    let made = proxy.post("test/incident", r#"{"severity": "low"}"#).json();
    (made["incident"]["id"].as_str().expect("an id").to_owned(), made["stored"] == true)
}

fn noted(proxy: &Proxy, id: &str, text: &str) -> bool {
    let body = serde_json::json!({ "actor": "ann", "text": text }).to_string();
    let done = proxy.post(&format!("incidents/{id}/note"), &body);
    assert_eq!(done.status, 200, "an order is taken while the store is away: {}", done.text());
    done.json()["stored"] == true
}

/// All texts of an incident's timeline on disk.
fn on_disk(at: StoreAt, id: &str) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let reader = Reader::open(&config(at)).expect("a config");
        let rows = reader.lines(id).await.expect("reads");
        rows.into_iter().map(|row| row.body).collect()
    })
}

/// How a disk becomes small.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Disk {
    /// A tmpfs that only the proxy sees.
    Mounted,
    /// A limit on the length of its files, where nothing may be mounted.
    Limited,
}

/// A proxy on a small disk, and where that is seen from here.
struct Cramped {
    proxy: Proxy,
    disk: Disk,
    dir: PathBuf,
}

/// `None`: nothing may be mounted here.
fn cramped(disk: Disk, backend: &Upstream) -> Option<Cramped> {
    let dir = tempfile::tempdir().expect("a directory");
    let small = dir.path().join("small");
    std::fs::create_dir(&small).expect("made");
    let root = if rustix::process::geteuid().is_root() { "--mount" } else { "--map-root-user" };
    let mount = "mount -t tmpfs -o size=24m none \"$SMALL\"";
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([root, "--mount", "sh", "-c", script]).env("SMALL", &small);
        command
    };
    let run = "exec \"$0\" run --config \"$1\"";
    let mut command = match disk {
        Disk::Mounted if !unshared(mount).output().is_ok_and(|ran| ran.status.success()) => return None,
        Disk::Mounted => unshared(&format!("{mount} && {run}")),
        Disk::Limited => {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("trap '' XFSZ; {run}")]);
            command
        }
    };
    command
        .arg(env!("CARGO_BIN_EXE_strop"))
        .arg(dir.path().join("strop.toml"))
        .env("STATE_DIRECTORY", &small);
    let log = format!(
        r#"
            [access_log]
            to = "file:{}"
        "#,
        small.join("access.log").display()
    );
    let proxy = proxy_by(&mut command, dir, &toml(backend, &log));
    let dir = match disk {
        Disk::Mounted => Path::new("/proc")
            .join(proxy.pid().to_string())
            .join("root")
            .join(small.strip_prefix("/").expect("absolute")),
        Disk::Limited => small,
    };
    Some(Cramped { proxy, disk, dir })
}

impl Cramped {
    fn limit(&self, bytes: &str) {
        let set = Command::new("prlimit")
            .args(["--pid", &self.proxy.pid().to_string(), &format!("--fsize={bytes}:unlimited")])
            .status();
        assert!(set.expect("prlimit runs").success());
    }

    /// Leaves room for a few rows.
    fn fill(&self) {
        match self.disk {
            Disk::Mounted => {
                let ballast = std::fs::File::create(self.dir.join("ballast")).expect("made");
                let (block, mut length) = (vec![1; 64 * 1024], 0);
                while let Ok(written) = ballast.write_at(&block, length) {
                    length += written as u64;
                }
                ballast.set_len(length.saturating_sub(64 * 1024)).expect("shorter");
            }
            Disk::Limited => {
                let lengths = ["strop.db", "strop.db-wal", "access.log"]
                    .map(|name| std::fs::metadata(self.dir.join(name)).map_or(0, |file| file.len()));
                self.limit(&(lengths.iter().max().expect("three") + 64 * 1024).to_string());
            }
        }
    }

    /// A copy of its store, made where the proxy is, that was restored and compared, audit chain included.
    fn copied(&self) -> PathBuf {
        let to = self.proxy.path().with_file_name("copy");
        let pid = self.proxy.pid().to_string();
        let mut command = match self.disk {
            Disk::Mounted => {
                let mut command = Command::new("nsenter");
                if !rustix::process::geteuid().is_root() {
                    command.args(["--user", "--preserve-credentials"]);
                }
                command.args(["--mount", "--target", &pid, env!("CARGO_BIN_EXE_strop")]);
                command
            }
            Disk::Limited => Command::new(env!("CARGO_BIN_EXE_strop")),
        };
        command.args(["backup", "--to"]).arg(&to).arg("--config").arg(self.proxy.path());
        let ran =
            command.env("STATE_DIRECTORY", self.proxy.path().with_file_name("small")).output().expect("runs");
        assert!(ran.status.success(), "{ran:?}");
        let mut files = std::fs::read_dir(to).expect("reads").flatten().map(|entry| entry.path());
        files.find(|path| path.extension().is_some_and(|ending| ending == "db")).expect("a copy")
    }

    fn empty(&self) {
        match self.disk {
            Disk::Mounted => std::fs::remove_file(self.dir.join("ballast")).expect("removed"),
            Disk::Limited => self.limit("unlimited"),
        }
    }
}

fn a_full_disk(disk: Disk) {
    let backend = Upstream::start(status(200));
    let Some(cramped) = cramped(disk, &backend) else { return println!("nothing may be mounted here") };
    let proxy = &cramped.proxy;
    let load = Load::on(proxy.ingress());
    let (id, stored) = opened(proxy);
    assert!(stored, "there is room yet");
    cramped.fill();
    let mut texts = Vec::new();
    eventually("the store has no room", || {
        texts.push(format!("{} {}", texts.len(), "x".repeat(4_000)));
        noted(proxy, &id, texts.last().expect("pushed"));
        store(proxy)["state"] != "ok"
    });
    let wanted = if disk == Disk::Mounted { "full" } else { "unreachable" };
    assert_eq!(store(proxy)["state"], wanted, "{:#}", store(proxy));
    for more in 0..3 {
        texts.push(format!("while it was full {more}"));
        assert!(
            !noted(proxy, &id, texts.last().expect("pushed")),
            "nothing is said to be stored that is not"
        );
    }
    eventually("it is an incident", || holds(proxy));
    let (waiting, limit) = backlog(proxy);
    assert!(waiting > 0.0 && waiting <= limit, "{waiting} of {limit}");
    assert_eq!(proxy.metric("store_state", wanted), 1.0);
    eventually("the access log has no room either", || proxy.metric("access_log_dropped_total", "") > 0.0);
    cramped.empty();
    eventually("all is written", || store(proxy)["state"] == "ok" && backlog(proxy).0 == 0.0);
    eventually("its condition is over", || !holds(proxy));
    assert!(noted(proxy, &id, "after"), "it takes writes again");
    let on_disk = on_disk(StoreAt::Sqlite(cramped.copied()), &id);
    for text in texts.iter().map(String::as_str).chain(["after"]) {
        let times = on_disk.iter().filter(|entry| entry.contains(&format!("\"{text}\""))).count();
        assert_eq!(times, 1, "{text:.40}");
    }
    assert_eq!(store(proxy)["refused"], 0);
    let answered = load.clean();
    let log = std::fs::read_to_string(cramped.dir.join("access.log")).expect("reads");
    let torn: Vec<&str> =
        log.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err()).collect();
    assert!(torn.iter().all(|line| !line.ends_with('}')), "no line goes on where another was torn: {torn:?}");
    println!(
        "{answered} requests, none failed; {} notes, all on disk; {} torn lines",
        texts.len() + 1,
        torn.len()
    );
}

#[test]
fn a_full_disk_costs_no_request_and_loses_no_write() {
    a_full_disk(Disk::Mounted);
}

#[test]
fn files_that_may_not_grow_cost_no_request_and_lose_no_write() {
    a_full_disk(Disk::Limited);
}

#[test]
fn a_server_that_stops_costs_no_request_and_memory_is_bounded() {
    let server = Cluster::start();
    let backend = Upstream::start(status(200));
    let url = server.url("postgres");
    let proxy = proxy(&toml(
        &backend,
        &format!(
            r#"
                [store]
                url = "{url}"
                backlog = 100
            "#
        ),
    ));
    eventually("the store is there", || store(&proxy)["state"] == "ok");
    let load = Load::on(proxy.ingress());
    let (first, stored) = opened(&proxy);
    assert!(stored);
    server.stop();
    let made = std::sync::Mutex::new(vec![first]);
    eventually("the backlog is full, and what finds no room is told so", || {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let (id, stored) = opened(&proxy);
                    assert!(!stored, "nothing is said to be stored that is not");
                    made.lock().expect("whole").push(id);
                });
            }
        });
        let (waiting, limit) = backlog(&proxy);
        assert!(waiting <= limit, "{waiting} of {limit}");
        store(&proxy)["refused"].as_u64().is_some_and(|refused| refused > 0)
    });
    assert_eq!(store(&proxy)["state"], "unreachable");
    eventually("it is an incident", || holds(&proxy));
    server.restart();
    eventually("all that waited is written", || store(&proxy)["state"] == "ok" && backlog(&proxy).0 == 0.0);
    let at = || StoreAt::Postgres { url: url.clone(), password: None };
    for id in made.into_inner().expect("whole") {
        assert!(noted(&proxy, &id, "after"), "memory has it, and it takes writes again");
        assert!(on_disk(at(), &id).iter().any(|entry| entry.contains("\"after\"")), "{id}");
    }
    println!("{} requests, none failed", load.clean());
}

#[test]
fn a_server_that_never_answers_costs_no_request_and_blinds_nobody() {
    // It takes connections, as a kernel does for a process that hangs, and says nothing.
    let hole = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("postgres://strop@{}/strop", hole.local_addr().expect("bound"));
    let (backend, other) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let watched = format!(
        r#"
            [upstreams.other]
            endpoints = ["{}"]
            allow_addresses = ["127.0.0.1"]
            health = {{ interval = "200ms", suspect_interval = "200ms" }}
            [store]
            url = "{url}"
        "#,
        other.address
    );
    let proxy = proxy(&toml(&backend, &watched));
    let load = Load::on(proxy.ingress());
    eventually("it is known", || store(&proxy)["state"] == "unreachable");
    eventually("it is an incident", || holds(&proxy));
    other.kill();
    let start = Instant::now();
    eventually("another one is seen at once", || {
        proxy.sre("incidents")["incidents"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|one| one["service"] == "other")
    });
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}: whoever looks must not wait for the store",
        start.elapsed()
    );
    println!("{} requests, none failed", load.clean());
}

#[test]
fn a_file_that_somebody_holds_costs_no_request_and_loses_no_write() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&toml(&backend, ""));
    let (id, stored) = opened(&proxy);
    assert!(stored);
    let load = Load::on(proxy.ingress());
    let file = proxy.path().with_file_name("strop.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut holder = runtime.block_on(sqlx::ConnectOptions::connect(&options)).expect("opens");
    runtime.block_on(sqlx::query("BEGIN IMMEDIATE").execute(&mut holder)).expect("held");
    assert!(!noted(&proxy, &id, "while it was held"), "nothing is said to be stored that is not");
    eventually("the store is away", || store(&proxy)["state"] == "unreachable");
    eventually("it is an incident", || holds(&proxy));
    runtime.block_on(sqlx::query("ROLLBACK").execute(&mut holder)).expect("let go");
    eventually("all is written", || store(&proxy)["state"] == "ok" && backlog(&proxy).0 == 0.0);
    let on_disk = on_disk(StoreAt::Sqlite(file), &id);
    assert_eq!(on_disk.iter().filter(|entry| entry.contains("while it was held")).count(), 1);
    println!("{} requests, none failed", load.clean());
}
