//! Frames of HTTP/2 that bring nothing have an end; streams that are given up, and connections that leave, do not.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::eventually;
use crate::support::frames::{
    CONTINUATION, DATA, End, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, UNKNOWN, WINDOW_UPDATE, Wire,
    frame, get, head, post,
};
use crate::support::h2::H2Client;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::upstream::{Upstream, bytes, status};

/// Frames within which a flood has its end.
const FRAMES: u32 = 10_000;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
/// `ENHANCE_YOUR_CALM`.
const CALM: u32 = 11;
/// The last stream of a GOAWAY that takes all that are on their way.
const ALL: u32 = (1 << 31) - 1;

fn wire(to: SocketAddr, window: u32) -> Wire {
    Wire::open(TcpStream::connect(to).expect("connects"), window).expect("opens")
}

/// Waits until `holds` of what has come.
fn reads_until(wire: &mut Wire, what: &str, holds: impl Fn(&Wire) -> bool) {
    eventually(what, || {
        wire.read();
        holds(wire)
    });
}

/// What one flood begins with, the frame that it repeats, and what the log calls it.
struct Flood {
    first: Vec<u8>,
    next: fn(u32) -> Vec<u8>,
    named: &'static str,
}

fn floods() -> Vec<Flood> {
    let flood = |first: Vec<u8>, next, named| Flood { first, next, named };
    let held = || (0..128).flat_map(|nth| get(nth * 2 + 1, "/large")).collect::<Vec<u8>>();
    // It takes whatever it is sent.
    let open =
        || [frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]), frame(WINDOW_UPDATE, 0, 0, &[1; 4])].concat();
    vec![
        flood(vec![], |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 1, 0]), "SETTINGS"),
        flood(vec![], |_| frame(SETTINGS, 1, 0, &[]), "SETTINGS"),
        flood(vec![], |_| frame(PING, 0, 0, &[7; 8]), "PING"),
        flood(vec![], |_| frame(PING, 1, 0, &[7; 8]), "PING"),
        flood(vec![], |nth| frame(PRIORITY, 0, nth * 2 + 1, &[0, 0, 0, 0, 7]), "PRIORITY"),
        flood(
            vec![],
            |nth| [get(nth * 2 + 1, "/"), frame(RST_STREAM, 0, nth * 2 + 1, &CANCEL)].concat(),
            "RST_STREAM",
        ),
        flood(held(), |nth| get(nth * 2 + 257, "/"), "HEADERS"),
        flood(
            frame(HEADERS, 0, 1, &head(false, "/")),
            |_| frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"),
            "CONTINUATION",
        ),
        flood(frame(HEADERS, 0, 1, &head(false, "/")), |_| frame(CONTINUATION, 0, 1, &[]), "CONTINUATION"),
        flood(post(1, "/"), |_| frame(DATA, 0, 1, &[]), "DATA"),
        flood([post(1, "/"), frame(RST_STREAM, 0, 1, &CANCEL)].concat(), |_| frame(DATA, 0, 1, b"x"), "DATA"),
        flood(get(1, "/large"), |_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), "WINDOW_UPDATE"),
        flood(vec![], |_| frame(UNKNOWN, 0, 0, b"hello"), "unknown"),
        // A field of 3,900 bytes goes into the table, and is named 16,000 times by each head.
        flood(
            whole(1, &[b"\x40\x01x\x7f\xbd\x1d", &[b'v'; 3_900][..]].concat()),
            |nth| whole(nth * 2 + 3, &[0x80 | 62; 16_000]),
            "HEADERS",
        ),
        // As many fields as are still read to their end, and answered with 431: `accept-encoding: gzip, deflate`.
        flood(open(), |nth| whole(nth * 2 + 1, &[0x80 | 16; 4_000]), "HEADERS"),
    ]
}

/// A request with more fields.
fn whole(stream: u32, fields: &[u8]) -> Vec<u8> {
    frame(HEADERS, 5, stream, &[&head(false, "/")[..], fields].concat())
}

fn shop() -> (Upstream, Proxy) {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 1 << 20, "x".repeat(1 << 20));
    let backend = Upstream::start(std::sync::Arc::new(move |seen, stream| {
        let answer = if seen.path() == "/large" { bytes(large.clone(), true) } else { status(200) };
        answer(seen, stream)
    }));
    let proxy = ingress_to(backend.address, "");
    (backend, proxy)
}

/// Each ends within ten thousand frames, is told in one line, and leaves everybody else alone.
#[test]
fn a_flood_of_frames_that_bring_nothing_ends_its_connection() {
    let (_backend, proxy) = shop();
    let mut other = H2Client::to(proxy.ingress());
    for (at, flood) in floods().iter().enumerate() {
        let mut wire = wire(proxy.ingress(), 0);
        wire.put(&flood.first);
        for nth in (0..FRAMES).step_by(100) {
            wire.put(&(nth..nth + 100).flat_map(flood.next).collect::<Vec<u8>>());
            wire.read();
            if wire.is_stuck() {
                break;
            }
        }
        let end = wire.read_to_end(Duration::from_secs(20));
        assert_eq!(end, Some(End::GoAway(CALM)), "flood {at}, of {}", flood.named);
        let told = || {
            let log = proxy.log.lock().expect("not poisoned");
            let lines = log.iter().filter(|line| line.contains("too many frames that bring nothing"));
            lines
                .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
                .collect::<Vec<_>>()
        };
        eventually("it is told", || told().len() > at);
        let lines = told();
        assert_eq!(lines.len(), at + 1, "once: {lines:#?}");
        let line = &lines[at];
        assert_eq!((line["level"].as_str(), line["client"].as_str()), (Some("WARN"), Some("127.0.0.1")));
        // What comes before its streams are free is refused for that, and the head is one too many.
        let frames = line["frames"].as_str();
        assert!(
            frames == Some(flood.named) || (flood.named == "RST_STREAM" && frames == Some("HEADERS")),
            "{line}"
        );
        let counted = proxy.metric("connections_ended_total", "reason=\"h2_flood\"");
        assert_eq!(counted, (at + 1) as f64);
        assert_eq!(other.get("http://a/").expect("answered").status, 200, "after {}", flood.named);
    }
}

/// Refusals that its streams do not take the bodies of are told by their heads, but for a few of them.
#[test]
fn a_client_that_takes_no_body_does_not_make_refusals_wait() {
    let proxy = ingress_to(SocketAddr::from(([127, 0, 0, 1], 1)), "");
    let mut wire = wire(proxy.ingress(), 0);
    let streams = || (0..100).map(|nth| nth * 2 + 1);
    wire.put(&streams().flat_map(|id| get(id, "/")).collect::<Vec<u8>>());
    let refused = |wire: &Wire| wire.seen.iter().filter(|(kind, ..)| *kind == HEADERS).count();
    let answered = |wire: &Wire| streams().filter(|id| wire.is_answered(*id)).count();
    reads_until(&mut wire, "all are refused", |wire| refused(wire) == 100);
    assert_eq!(answered(&wire), 100 - 16);
    wire.put(&streams().flat_map(|id| frame(WINDOW_UPDATE, 0, id, &[0, 0, 255, 255])).collect::<Vec<u8>>());
    reads_until(&mut wire, "the others have a body", |wire| answered(wire) == 100);
}

/// The ordinary day: a page's worth of refusals at once, to a client that takes bodies, has all of them.
#[test]
fn refusals_of_a_client_that_takes_bodies_have_them() {
    let proxy = ingress_to(SocketAddr::from(([127, 0, 0, 1], 1)), "");
    let mut wire = wire(proxy.ingress(), 65_535);
    let streams = || (0..100).map(|nth| nth * 2 + 1);
    wire.put(&streams().flat_map(|id| get(id, "/")).collect::<Vec<u8>>());
    let bodies = |wire: &Wire| wire.seen.iter().filter(|(kind, ..)| *kind == DATA).count();
    reads_until(&mut wire, "all have their bodies", |wire| {
        streams().all(|id| wire.is_answered(id)) && bodies(wire) == 100
    });
}

/// The ordinary day: a few heads that are too long, as a browser with too many cookies sends them, are refused one by one.
#[test]
fn a_few_heads_that_are_too_long_end_nothing() {
    let (_backend, proxy) = shop();
    let mut wire = wire(proxy.ingress(), 65_535);
    let long = [&b"\x00\x01x\x7f\xa1\x1f"[..], &[b'v'; 4_128][..]].concat().repeat(2);
    for nth in 0..4 {
        wire.put(&whole(nth * 2 + 1, &[0x80 | 16; 4_000]));
        reads_until(&mut wire, "it is refused", |wire| wire.is_answered(nth * 2 + 1));
    }
    wire.put(&whole(9, &long));
    reads_until(&mut wire, "what is not too long is answered", |wire| wire.is_answered(9));
    assert_eq!(proxy.metric("connections_ended_total", "reason=\"h2_flood\""), 0.0);
}

/// A request with so many cookies of 3,600 bytes, spelled out: `cookie` is entry 32 of the static table.
fn swollen(stream: u32, cookies: usize) -> Vec<u8> {
    let cookies = [&b"\x0f\x11\x7f\x91\x1b"[..], &[b'v'; 3_600][..]].concat().repeat(cookies);
    let block = [&head(false, "/")[..], &cookies].concat();
    let (first, rest) = block.split_at(16_384);
    let rest: Vec<u8> = rest.chunks(16_384).flat_map(|part| frame(CONTINUATION, 0, stream, part)).collect();
    [frame(HEADERS, 1, stream, first), rest, frame(CONTINUATION, 4, stream, b"")].concat()
}

/// As over HTTP/1.1, however little is taken.
#[test]
fn a_head_far_beyond_a_small_limit_is_refused_and_ends_nothing() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            limits = {{ header_bytes = "8KiB" }}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    ));
    let mut wire = wire(proxy.ingress(), 65_535);
    for (id, cookies) in [(1, 11), (3, 20)] {
        wire.put(&swollen(id, cookies));
        reads_until(&mut wire, "it is refused", |wire| wire.is_answered(id));
    }
    wire.put(&get(5, "/"));
    reads_until(&mut wire, "what is not too long is answered", |wire| wire.is_answered(5));
    assert_eq!((wire.farewells.len(), backend.hits()), (0, 1));
}

/// The ordinary day of cookies that have swollen: whatever a page asks for is refused, all at once and page by page.
#[test]
fn a_page_of_heads_with_too_many_cookies_ends_nothing() {
    let (_backend, proxy) = shop();
    let mut wire = wire(proxy.ingress(), 65_535);
    wire.put(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 20).to_be_bytes()));
    for page in 0..10 {
        let streams = || (0..30).map(|nth| (page * 30 + nth) * 2 + 1);
        streams().for_each(|id| wire.put(&swollen(id, 20)));
        reads_until(&mut wire, "all are refused", |wire| streams().all(|id| wire.is_answered(id)));
    }
    wire.put(&get(601, "/"));
    reads_until(&mut wire, "what is not too long is answered", |wire| wire.is_answered(601));
    assert_eq!(wire.farewells, []);
    let refused = "reason=\"head_too_long\"";
    assert_eq!(proxy.metric("malformed_requests_total", refused), 300.0);
}

/// Of an answer that its stream takes nothing of, little more than the head is read; all of it comes when it does.
#[test]
fn an_answer_that_is_not_taken_stays_with_its_upstream() {
    let (_backend, proxy) = shop();
    let mut wire = wire(proxy.ingress(), 0);
    let streams = || (0..100).map(|nth| nth * 2 + 1);
    wire.put(&streams().flat_map(|id| get(id, "/large")).collect::<Vec<u8>>());
    let heads = |wire: &Wire| wire.seen.iter().filter(|(kind, ..)| *kind == HEADERS).count();
    reads_until(&mut wire, "all have their heads", |wire| heads(wire) == 100);
    let buffered = proxy.metric("buffered_bytes", "where=\"process\"");
    assert!((100.0 * 3_000.0..100.0 * 5_000.0).contains(&buffered), "{buffered}");
    let open = |id| frame(WINDOW_UPDATE, 0, id, &(1_u32 << 20).to_be_bytes());
    wire.put(&[open(0), open(1)].concat());
    reads_until(&mut wire, "it is whole", |wire| wire.is_answered(1));
}

/// A proxy whose upstream is the ingress of another one, over HTTP/2.
fn behind(second: &Proxy, more: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [process]
            workers = 1
            [upstreams.backend]
            endpoints = ["{}"]
            protocol = "h2"
            {more}
        "#,
        second.ingress()
    ))
}

/// The backend answers when it is told to: `/held` waits for it.
fn holding() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(Some(released));
    let once = std::sync::OnceLock::new();
    let backend = Upstream::start(std::sync::Arc::new(move |seen, stream| {
        if seen.path().starts_with("/held") {
            let waits = released.lock().expect("not poisoned").take();
            match waits {
                // Its sender is gone: go on.
                Some(waits) => drop((waits.recv(), once.set(()))),
                None => {
                    once.wait();
                }
            }
        }
        status(200)(seen, stream)
    }));
    (backend, release)
}

/// Calls that are given up all at once, again and again, end neither the client's connection nor the one to the upstream.
#[test]
fn cancelled_calls_leave_everybody_elses_streams_alone() {
    let (backend, release) = holding();
    let second = ingress_to(backend.address, "pool = { connections = 4096 }\n");
    let first = behind(&second, "pool = { connections = 1 }\n");
    let mut other = H2Client::to(first.ingress());
    let held = other.ask(http::Request::get("http://a/held").body(()).expect("a request"), None);
    eventually("it is there", || backend.hits() == 1);
    let mut wire = wire(first.ingress(), 65_535);
    let mut id = 1;
    for calls in [60, 60, 127] {
        let before = first.metric("http_server_active_requests", "upstream=\"backend\"");
        for nth in 0..calls {
            wire.put(&get(id + nth * 2, "/held"));
        }
        // The upstream takes 128 at once, and one is everybody else's.
        eventually("they are on their way", || {
            first.metric("http_server_active_requests", "upstream=\"backend\"") >= before + f64::from(calls)
        });
        wire.put(
            &(0..calls).flat_map(|nth| frame(RST_STREAM, 0, id + nth * 2, &CANCEL)).collect::<Vec<u8>>(),
        );
        id += calls * 2;
        eventually("they are gone", || {
            first.metric("http_server_active_requests", "upstream=\"backend\"") == before
        });
    }
    wire.put(&get(id, "/"));
    reads_until(&mut wire, "its connection goes on", |wire| wire.is_answered(id));
    assert_eq!(wire.farewells, []);
    drop(release);
    assert_eq!(other.answer(held.expect("sent")).expect("whole").status, 200, "so does everybody else's");
    assert_eq!(first.breaker("backend"), "closed");
}

/// GOAWAY in two steps: what was on its way when the first was said is still answered, and the second names the last of it.
#[test]
fn a_drain_loses_no_request_that_was_on_its_way() {
    let (backend, release) = holding();
    let mut proxy = ingress_to(backend.address, "");
    let mut wire = wire(proxy.ingress(), 65_535);
    wire.answers = false;
    wire.put(&get(1, "/held"));
    eventually("it is in flight", || backend.hits() == 1);
    proxy.signal("TERM");
    reads_until(&mut wire, "it is told", |wire| !wire.farewells.is_empty());
    assert_eq!(wire.farewells, [(ALL, 0)]);
    // It has not heard of that yet.
    wire.put(&get(3, "/"));
    reads_until(&mut wire, "it is answered", |wire| wire.is_answered(3));
    reads_until(&mut wire, "the last one is named", |wire| wire.farewells.len() == 2);
    assert_eq!(wire.farewells[1], (3, 0));
    drop(release);
    reads_until(&mut wire, "so is what was in flight", |wire| wire.is_answered(1));
    assert_eq!(wire.read_to_end(Duration::from_secs(20)), Some(End::GoAway(0)));
    // A client that has read all leaves; one that stays is waited for a moment.
    drop(wire);
    let mut ended = None;
    eventually("it leaves", || {
        ended = proxy.ended();
        ended.is_some()
    });
    assert_eq!(ended, Some(0));
}

/// Requests of as many clients at once; the statuses.
fn at_once(proxy: &Proxy, many: usize, path: &'static str) -> Vec<std::thread::JoinHandle<u16>> {
    let to = proxy.ingress();
    (0..many).map(|_| std::thread::spawn(move || crate::support::raw::get(to, path).status)).collect()
}

#[test]
fn streams_that_are_used_up_make_another_connection() {
    let (backend, release) = holding();
    let second = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            limits = {{ h2_streams = 4 }}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    ));
    let first = behind(&second, "breaker = { mode = \"on\", failures = 1 }\n");
    let asked = at_once(&first, 18, "/held");
    eventually("all of them are on their way", || backend.hits() == 18);
    assert_eq!(first.metric("upstream_connections", "upstream=\"backend\""), 5.0);
    drop(release);
    let statuses: Vec<u16> = asked.into_iter().map(|one| one.join().expect("ran")).collect();
    assert_eq!(statuses, [200; 18]);
    assert_eq!(first.breaker("backend"), "closed");
}

#[test]
fn a_cold_burst_makes_one_connection() {
    let (backend, release) = holding();
    let second = ingress_to(backend.address, "");
    let first = behind(&second, "");
    let asked = at_once(&first, 50, "/held");
    eventually("all of them are on their way", || backend.hits() == 50);
    assert_eq!(second.metric("listener_connections", "ingress"), 1.0);
    drop(release);
    assert!(asked.into_iter().all(|one| one.join().expect("ran") == 200));
}
