//! The process stands still, as on a frozen node: nobody is blamed for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use sqlx::Row as _;

use crate::support::h2::H2Client;
use crate::support::pace;
use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::get;
use crate::support::upstream::Upstream;

/// Answers `/up` at once, `/` when it is told to, and `/never` never.
struct Slow {
    address: SocketAddr,
    came: Receiver<()>,
    go: Sender<()>,
}

impl Slow {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("bound");
        let ((come, came), (go, may_go)) = (channel(), channel::<()>());
        let may_go = std::sync::Arc::new(std::sync::Mutex::new(may_go));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (come, may_go) = (come.clone(), std::sync::Arc::clone(&may_go));
                std::thread::spawn(move || {
                    serve(stream, || {
                        let _ = come.send(());
                        let _ = may_go.lock().expect("not poisoned").recv();
                    });
                });
            }
        });
        Self { address, came, go }
    }
}

fn serve(mut stream: TcpStream, wait: impl Fn()) {
    let mut held = Vec::new();
    let mut chunk = [0; 4_096];
    while let Ok(n) = stream.read(&mut chunk) {
        if n == 0 {
            return;
        }
        held.extend_from_slice(&chunk[..n]);
        let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&held[..end]).into_owned();
        held.drain(..end + 4);
        if head.starts_with("GET /never ") {
            std::thread::sleep(Duration::from_secs(60)); // the upstream's own slowness
        } else if !head.starts_with("GET /up ") {
            wait();
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

/// The seconds of a subject, as letters, from the first that was seen.
fn seconds(dir: &std::path::Path, subject: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("strop.db"));
        let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("opens");
        let sql = "SELECT slices FROM ledger WHERE service = ? ORDER BY minute";
        let rows = sqlx::query(sql).bind(subject).fetch_all(&mut conn).await.expect("reads");
        let all: String = rows.iter().map(|row| row.get::<String, _>(0)).collect();
        sqlx::Connection::close(conn).await.expect("closes");
        all.trim_matches('.').to_owned()
    })
}

fn stand_still(proxy: &Proxy, span: Duration) {
    proxy.signal("STOP");
    pace(span);
    proxy.signal("CONT");
}

#[test]
fn a_process_that_stood_still_ends_no_exchange_blames_nobody_and_says_what_it_did_not_see() {
    let slow = Slow::start();
    let mut proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            timeouts = {{ first_byte = "3s", total = "4s" }}
            breaker = {{ mode = "on", failures = 1, open_for = "1m" }}
            retry = {{ attempts = 1 }}
            health = {{ path = "/up", interval = "200ms", suspect_interval = "200ms", timeout = "500ms", fall = 1 }}
        "#,
        slow.address
    ));
    // Some seconds that are seen.
    pace(Duration::from_secs(3));
    let at = proxy.ingress();
    let asking = std::thread::spawn(move || get(at, "/"));
    slow.came.recv().expect("it is asked");
    stand_still(&proxy, Duration::from_secs(6));
    // Its three seconds are not over: it ran for none of the last six.
    pace(Duration::from_secs(1));
    slow.go.send(()).expect("it waits");
    let answer = asking.join().expect("answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(proxy.breaker("backend"), "closed");
    let backend = proxy.sre("upstreams/backend");
    assert_eq!(backend["endpoints"][0]["healthy"], true, "{backend:#}");
    assert_eq!(backend["breaker"]["failures_total"], 0, "{backend:#}");
    assert_eq!(proxy.metric("strop_pauses_total", ""), 1.0);
    let paused = proxy.metric("strop_paused_seconds_total", "");
    assert!((5.0..7.5).contains(&paused), "{paused}");
    // What begins after it has its own three seconds and no more.
    let asked = Instant::now();
    assert_eq!(proxy.get("/never").status, 504);
    assert!((2..5).contains(&asked.elapsed().as_secs()), "{:?}", asked.elapsed());
    pace(Duration::from_secs(1));
    assert_eq!(proxy.stop(), Some(0));
    let told =
        proxy.log.lock().expect("not poisoned").iter().filter(|line| line.contains("stood still")).count();
    assert_eq!(told, 1);
    let dir = proxy.leave_behind();
    let seen = seconds(dir.path(), "backend");
    let hole = seen.chars().filter(|letter| *letter == '.').count();
    assert!((4..=7).contains(&hole), "{seen}");
    let until = seen.rfind('.').expect("a hole");
    assert!(
        seen[..until].chars().all(|letter| letter == 'u' || letter == '.'),
        "neither bad nor good: {seen}"
    );
}

/// By HTTP/2 the deadlines of an answer on its way are kept by a look each second.
#[test]
fn an_answer_by_http2_is_not_given_up_for_a_pause() {
    let (go, may_go) = channel::<()>();
    let may_go = std::sync::Mutex::new(may_go);
    let backend = Upstream::start(std::sync::Arc::new(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        let _ = may_go.lock().expect("not poisoned").recv();
        stream.write_all(b"67890").is_ok()
    }));
    for limit in ["idle", "total"] {
        let proxy = proxy(&format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                limits = {{ keep_alive = "4s" }}
                [upstreams.backend]
                endpoints = ["{}"]
                timeouts = {{ {limit} = "5s" }}
            "#,
            backend.address
        ));
        let mut client = H2Client::to(proxy.ingress());
        let asked = client.ask(http::Request::get("http://a/").body(()).expect("a request"), None);
        crate::support::eventually("it is asked", || proxy.metric("http_server_active_requests", "") == 1.0);
        stand_still(&proxy, Duration::from_secs(7));
        pace(Duration::from_millis(1_500));
        go.send(()).expect("it waits");
        let answer = client.answer(asked.expect("sent")).expect(limit);
        assert_eq!(answer.text(), "1234567890", "{limit}");
    }
}

#[test]
fn a_short_pause_is_unknown_too() {
    let slow = Slow::start();
    let mut proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            health = {{ path = "/up", interval = "200ms", suspect_interval = "200ms" }}
        "#,
        slow.address
    ));
    pace(Duration::from_secs(2));
    stand_still(&proxy, Duration::from_millis(2_600));
    pace(Duration::from_secs(2));
    assert_eq!(proxy.metric("strop_pauses_total", ""), 1.0);
    assert_eq!(proxy.stop(), Some(0));
    let seen = seconds(proxy.leave_behind().path(), "backend");
    assert!(seen.contains('.') && seen.chars().all(|letter| letter == 'u' || letter == '.'), "{seen}");
}
