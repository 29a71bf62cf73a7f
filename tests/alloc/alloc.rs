//! A warm HTTP/1.1 request asks the allocator for nothing: ten thousand of them, counted. One over HTTP/2 asks for little.
//!
//! `cargo test --manifest-path tests/alloc/Cargo.toml`. Everything is on: access log to a file, metrics, breaker, limits,
//! templates of routes, operations, a fallback and degradation levels that nothing raises.

mod http2;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use strop::app::{App, Start};
use strop_alloc::{Counting, counted, held};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WARM_UP: usize = 2_000;
const REQUESTS: usize = 10_000;
/// A round of requests asks each of these.
const ASKED: [(&str, &str, usize); 3] = [("GET", "/small", 0), ("POST", "/small", 300), ("GET", "/long", 0)];
const LONG: usize = 40_000;
const RESTING: usize = 2_000;
/// What a connection that rests may hold, in bytes; its socket is the kernel's.
const RESTED: f64 = 1_250.0;
/// What a request over HTTP/2 may ask of the allocator, for each of [`ASKED`]: its stream, which has several holders.
const OVER_HTTP2: u64 = 1;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the doors are the product's")]
fn run() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let text = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [admin]
            listen = "127.0.0.1:0"
            [process]
            workers = 1
            [access_log]
            to = "file:{}"
            [store]
            url = "off"
            [upstreams.backend]
            endpoints = ["{}"]
            [upstreams.backend.breaker]
            mode = "on"
            operations = {{ small = "/{{size}}", deep = "/small/{{a}}/{{b}}" }}
            [upstreams.backend.judge]
            rate_limits = [{{ status = "403", body = "rateLimitExceeded" }}]
            [upstreams.backend.retry]
            statuses = ["502-504"]
            idempotent = true
            [upstreams.backend.idempotency]
            header = "Idempotency-Key"
            undone = ["409"]
            [[routes]]
            path = "/{{size}}"
            fallback = {{ body = "[]", on_5xx = true }}
            [[routes]]
            path = "/small/{{a}}/{{b}}/{{c}}/{{d}}"
            [degradation.level1]
            features = ["sms"]
            fallback = ["size"]
            [[degradation.when]]
            breaker = "backend"
        "#,
        dir.path().join("access.log").display(),
        origin()?
    );
    let config =
        strop::config::load(&text, "this test", &[]).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let app = App::start(Start {
            config,
            path: None,
            env: Vec::new(),
            filter: None,
            hangups: strop::runtime::signals::hangups(),
        })
        .await?;
        let (_, ingress) =
            app.addresses.iter().find(|(name, _)| name == "ingress").context("ingress")?.clone();
        let asked = tokio::task::spawn_blocking(move || ask(ingress)).await?;
        app.leave("the test is over").await;
        asked
    })
}

/// Four connections, in turn.
fn ask(ingress: SocketAddr) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..4 {
        let client = TcpStream::connect(ingress)?;
        client.set_nodelay(true)?;
        clients.push(client);
    }
    let mut room = vec![0; 2 * LONG];
    series(&mut clients, &mut room, WARM_UP)?;
    ensure!(counted() > 0, "nothing was counted at all: is the worker's thread named otherwise?");
    // What is kept for the next request (buffers, histograms, blocks of the log) grows to its size now and then at first.
    let mut asked = Vec::new();
    while asked.len() < 20 && !asked.ends_with(&[0]) {
        let before = counted();
        series(&mut clients, &mut room, REQUESTS)?;
        asked.push(counted() - before);
    }
    println!("allocations of the data path in {REQUESTS} requests, again and again: {asked:?}");
    ensure!(asked.ends_with(&[0]), "a warm request must not allocate");
    ask_http2(ingress)
}

/// The same over HTTP/2.
fn ask_http2(ingress: SocketAddr) -> anyhow::Result<()> {
    let mut clients =
        (0..4).map(|_| http2::Http2::connect(ingress)).collect::<anyhow::Result<Vec<http2::Http2>>>()?;
    let mut series = |count: usize| -> anyhow::Result<u64> {
        let before = counted();
        for n in 0..count {
            let at = n % clients.len();
            let (method, path, body) = ASKED[n % ASKED.len()];
            clients[at].ask(method, path, body, wanted(path))?;
        }
        Ok(counted() - before)
    };
    series(WARM_UP)?;
    let most = OVER_HTTP2 * REQUESTS as u64;
    let mut asked = Vec::new();
    while asked.len() < 20 && asked.last().is_none_or(|last| *last > most) {
        asked.push(series(REQUESTS)?);
    }
    println!("the same over HTTP/2: {asked:?}");
    ensure!(
        asked.last().is_some_and(|last| *last <= most),
        "a warm request asks the allocator {OVER_HTTP2} times"
    );
    rest(ingress)
}

/// What a connection holds that has been silent for a while.
fn rest(ingress: SocketAddr) -> anyhow::Result<()> {
    let mut room = vec![0; 2 * LONG];
    let before = held();
    let mut clients = Vec::with_capacity(RESTING);
    for _ in 0..RESTING {
        let mut client = TcpStream::connect(ingress)?;
        one(&mut client, &mut room, "GET", "/small", 0)?;
        clients.push(client);
    }
    let each = || (held() - before) as f64 / RESTING as f64;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while each() > RESTED && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    println!("a connection that rests holds {:.0} B of {RESTED}", each());
    ensure!(each() <= RESTED, "a connection that rests holds {:.0} B", each());
    Ok(())
}

fn wanted(path: &str) -> usize {
    if path == "/long" { LONG } else { 2 }
}

fn series(clients: &mut [TcpStream], room: &mut [u8], count: usize) -> anyhow::Result<()> {
    for n in 0..count {
        let at = n % clients.len();
        let (method, path, body) = ASKED[n % ASKED.len()];
        one(&mut clients[at], room, method, path, body)?;
    }
    Ok(())
}

fn one(client: &mut TcpStream, room: &mut [u8], method: &str, path: &str, body: usize) -> anyhow::Result<()> {
    let key = if method == "POST" { "Idempotency-Key: order-1\r\n" } else { "" };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{key}Content-Length: {body}\r\n\r\n");
    client.write_all(head.as_bytes())?;
    client.write_all(&vec![b'x'; body])?;
    let wanted = wanted(path);
    let mut there = 0;
    loop {
        there += client.read(room.get_mut(there..).context("too long")?)?;
        let seen = &room[..there];
        ensure!(seen.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(seen));
        let end = seen.windows(4).position(|window| window == b"\r\n\r\n");
        if end.is_some_and(|end| there == end + 4 + wanted) {
            return Ok(());
        }
    }
}

/// A backend of one thread per connection.
fn origin() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that cannot be served shows as a failed request.
            std::thread::spawn(move || drop(converse(stream)));
        }
    });
    Ok(address)
}

fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    let small =
        b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok".to_vec();
    let mut long = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n").into_bytes();
    long.resize(long.len() + LONG, b'x');
    let mut seen = Vec::new();
    let mut room = [0; 4_096];
    loop {
        let n = stream.read(&mut room)?;
        if n == 0 {
            return Ok(());
        }
        seen.extend_from_slice(&room[..n]);
        let text = String::from_utf8_lossy(&seen);
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let body = if text.starts_with("POST") { 300 } else { 0 };
        if seen.len() == end + 4 + body {
            stream.write_all(if text.contains("/long") { &long } else { &small })?;
            seen.clear();
        }
    }
}
