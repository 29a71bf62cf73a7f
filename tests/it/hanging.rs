//! Files that hang: a FIFO that nobody writes to holds up neither probes nor requests, nor leaving.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::{Response, ask_http1};
use crate::support::secure::issue;
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace, within};

/// Puts a FIFO in the place of a file.
fn fifo_at(path: &Path) {
    let made = path.with_extension("fifo");
    assert!(Command::new("mkfifo").arg(&made).status().expect("mkfifo runs").success());
    std::fs::rename(&made, path).expect("renames");
}

fn reload(admin: SocketAddr) -> Response {
    ask_http1(
        admin,
        "POST /api/v2/sre/config/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    )
}

fn reload_aside(proxy: &Proxy) -> JoinHandle<Response> {
    let admin = proxy.admin();
    std::thread::spawn(move || reload(admin))
}

/// Everything but the reload goes on for so long.
fn goes_on(proxy: &Proxy, span: Duration) {
    let (until, seconds) = (Instant::now() + span, || proxy.metric("sre_measured_seconds_total", "service"));
    let before = seconds();
    while Instant::now() < until {
        let asked = Instant::now();
        assert_eq!(proxy.admin_get("/livez").status, 200);
        assert_eq!(proxy.admin_get("/api/v2/sre/config").status, 200);
        assert_eq!(proxy.get("/").status, 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        pace(Duration::from_millis(100));
    }
    assert!(seconds() >= before + span.as_secs_f64() - 2.0, "detection looks each second");
}

fn message(answer: &Response) -> String {
    answer.json()["refused"][0]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_config_file_that_hangs_holds_up_nothing_and_readings_of_it_do_not_pile_up() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    assert_eq!(proxy.get("/").status, 200);
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    fifo_at(&proxy.path());
    let first = reload_aside(&proxy);
    goes_on(&proxy, Duration::from_secs(3));
    let second = reload(proxy.admin());
    assert_eq!((second.status, second.field("retry-after")), (409, Some("10")), "{}", second.text());
    assert!(second.text().contains("has not ended"), "{}", second.text());
    let first = first.join().expect("answers");
    assert_eq!(first.status, 422, "{}", first.text());
    let told = message(&first);
    assert!(told.contains("strop.toml cannot be read: gave no answer within 10s"), "{told}");
    let asked = Instant::now();
    assert!(
        message(&reload(proxy.admin())).contains("its last reading hangs"),
        "no other thread waits for it"
    );
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    // A file that takes its place is read at once.
    let new = proxy.path().with_extension("new");
    std::fs::write(
        &new,
        format!(
            r#"
                {toml}
                [latency]
                slow = "7s"
            "#
        ),
    )
    .expect("writes");
    std::fs::rename(&new, proxy.path()).expect("renames");
    eventually("it is in force", || {
        // The watch may have been faster.
        reload(proxy.admin());
        proxy.sre("config")["effective"]["latency"]["slow"] == "7s"
    });
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn a_fifo_that_somebody_writes_to_is_read() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    fifo_at(&proxy.path());
    let path = proxy.path();
    let writing = std::thread::spawn(move || {
        std::fs::write(
            path,
            format!(
                r#"
                    {toml}
                    [latency]
                    slow = "7s"
                "#
            ),
        )
    });
    let answer = reload(proxy.admin());
    writing.join().expect("writes").expect("is read");
    assert_eq!(answer.json()["applied"][0]["path"], "latency.slow", "{}", answer.text());
}

fn with_token(backend: SocketAddr, token: &Path) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{backend}"]
            [admin]
            listen = "127.0.0.1:0"
            token_file = {token:?}
        "#
    )
}

#[test]
fn a_stop_is_obeyed_while_a_secret_hangs() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let token: PathBuf = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef").expect("writes");
    let mut proxy = proxy(&with_token(backend.address, &token));
    fifo_at(&token);
    proxy.signal("HUP");
    // It reads, and will for ten seconds.
    pace(Duration::from_secs(1));
    assert_eq!(proxy.admin_get("/livez").status, 200);
    assert_eq!(proxy.get("/").status, 200);
    let asked = Instant::now();
    assert_eq!(proxy.stop(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let log = proxy.log.lock().expect("not poisoned").join("\n");
    assert!(!log.contains("config refused"), "the reading had not ended: {log}");
}

#[test]
fn a_secret_that_hangs_is_named_and_the_last_good_config_stays() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef").expect("writes");
    let proxy = proxy(&with_token(backend.address, &token));
    fifo_at(&token);
    proxy.signal("HUP");
    within(Duration::from_secs(30), "it is told", || {
        let log = proxy.log.lock().expect("not poisoned").join("\n");
        log.contains("config refused") && log.contains("gave no answer within 10s") && log.contains("token")
    });
    let bearer = "Authorization: Bearer 0123456789abcdef\r\n";
    assert_eq!(proxy.ask("GET", "config", bearer, "").status, 200);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn a_certificate_that_hangs_is_told_once_and_the_old_one_stays() {
    let (backend, pair) = (Upstream::start(status(200)), issue(&["localhost"]));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            tls = {{ cert_file = {:?}, key_file = {:?} }}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        pair.cert, pair.key, backend.address
    ));
    fifo_at(&pair.cert);
    let told = |proxy: &Proxy| {
        let log = proxy.log.lock().expect("not poisoned");
        log.iter().filter(|line| line.contains("certificate refused")).count()
    };
    within(Duration::from_secs(40), "it is told", || {
        let asked = Instant::now();
        assert_eq!(proxy.admin_get("/livez").status, 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        pace(Duration::from_millis(200));
        told(&proxy) > 0
    });
    let ran = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--cacert"])
        .arg(&pair.ca)
        .args(["--resolve", &format!("localhost:{}:127.0.0.1", proxy.ingress().port())])
        .arg(format!("https://localhost:{}/", proxy.ingress().port()))
        .output()
        .expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "200", "{ran:?}");
    assert!(told(&proxy) <= 2, "the deadline, and that it hangs still");
}

#[test]
fn a_check_reads_what_a_program_writes_and_does_not_wait_for_ever() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("strop.toml");
    std::fs::write(
        &file,
        r#"
            [ingress]
            [upstreams.backend]
            endpoints = ["127.0.0.1:8001"]
        "#,
    )
    .expect("writes");
    let strop = env!("CARGO_BIN_EXE_strop");
    let shell = format!("exec {strop} check <(cat {})", file.display());
    let ran = Command::new("bash").args(["-c", &shell]).output().expect("runs");
    assert!(ran.status.success(), "{ran:?}");
    fifo_at(&file);
    let asked = Instant::now();
    let ran = Command::new(strop).arg("check").arg(&file).output().expect("runs");
    assert_eq!(ran.status.code(), Some(2));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("gave no answer within 10s") && said.contains("FIFO"), "{said}");
    assert!((9..15).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
}

#[test]
fn a_hangup_while_the_config_is_read_ends_nothing() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.toml");
    fifo_at(&path);
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_strop"))
        .args(["run", "--config"])
        .arg(&path)
        .env("STATE_DIRECTORY", dir.path())
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    // It has opened the FIFO as soon as this returns, and reads.
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).expect("opens");
    let sent = std::process::Command::new("kill").args(["-HUP", &child.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let admin = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port");
    let text = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [admin]
            listen = "{admin}"
        "#,
        backend.address
    );
    std::io::Write::write_all(&mut file, text.as_bytes()).expect("it reads");
    drop(file);
    eventually("it runs", || {
        assert_eq!(child.try_wait().expect("asked"), None, "it was ended by the hangup");
        std::net::TcpStream::connect(admin).is_ok()
    });
    child.kill().expect("ours");
    child.wait().expect("ends");
}
