//! Streams on which nobody says anything for long, because nobody has anything to say.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::frames::{RST_STREAM, Wire, get};
use crate::support::h2::H2Client;
use crate::support::proxy::{Proxy, ingress_to, limited};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace, within};

/// Much longer than `idle`.
const PAUSE: Duration = Duration::from_millis(2_500);

/// Half of the answer, a pause, the other half; of the content type that the path names.
fn pausing() -> Upstream {
    Upstream::start(Arc::new(|seen, stream| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: 10\r\n\r\n12345",
            &seen.path()[1..]
        );
        let begun = stream.write_all(head.as_bytes()).is_ok();
        std::thread::sleep(PAUSE); // the upstream's own slowness
        begun && stream.write_all(b"67890").is_ok()
    }))
}

/// The ingress before another one, which is its upstream by HTTP/2: `idle` is the first one's.
fn chain(backend: &Upstream, more: &str) -> (Proxy, Proxy) {
    // Its own upstream speaks HTTP/1.1, which has no pings: silence there is a stall after a minute, unless that is said.
    let second = ingress_to(backend.address, "timeouts = { idle = \"10m\" }\n");
    let first = ingress_to(
        second.ingress(),
        &format!("protocol = \"h2\"\ntimeouts = {{ idle = \"500ms\" {more} }}\n"),
    );
    (first, second)
}

#[test]
fn calls_and_events_may_be_quiet_for_longer_than_idle_and_nothing_else_may() {
    let backend = pausing();
    let (first, _second) = chain(&backend, "");
    let answer = |kind: &str| {
        H2Client::to(first.ingress()).get(&format!("http://a/{kind}")).map(|answer| answer.text())
    };
    for kind in ["application/grpc", "application/grpc+proto", "text/event-stream"] {
        assert_eq!(answer(kind).as_deref(), Some("1234567890"), "{kind}");
    }
    for kind in ["application/json", "text/plain"] {
        assert_eq!(answer(kind), None, "{kind}");
    }
}

#[test]
fn a_quiet_call_has_its_total_and_a_client_that_takes_nothing_has_idle() {
    let backend = pausing();
    let (first, second) = chain(&backend, ", total = \"1s\"");
    assert!(H2Client::to(first.ingress()).get("http://a/application/grpc").is_none(), "its time is over");
    let (first, second_too) = chain(&backend, "");
    let tcp = TcpStream::connect(first.ingress()).expect("connects");
    let mut wire = Wire::open(tcp, 3).expect("opens");
    wire.put(&get(1, "/application/grpc"));
    eventually("it owes the window", || {
        wire.read();
        wire.seen.iter().any(|(kind, _, stream)| (*kind, *stream) == (RST_STREAM, 1))
    });
    assert_eq!(first.metric("http_request_outcomes_total", "outcome=\"client_gone\""), 1.0);
    for proxy in [first, second, second_too] {
        eventually("what it held is free", || proxy.metric("http_server_active_requests", "") == 0.0);
    }
}

/// A minute of silence: twenty seconds, then a question, then forty for its answer. Who answers stays.
#[test]
fn a_quiet_call_lasts_as_long_as_its_client_answers_pings() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let backend = Upstream::start(Arc::new(move |_, stream| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nContent-Length: 10\r\n\r\n12345";
        let begun = stream.write_all(head.as_bytes()).is_ok();
        // The first of both holds the other one up; nothing is sent, its sender is dropped.
        let _ = released.lock().expect("not poisoned").recv();
        begun && stream.write_all(b"67890").is_ok()
    }));
    let (first, second) = chain(&backend, "");
    let quiet = |answers: bool| {
        let tcp = TcpStream::connect(first.ingress()).expect("connects");
        let mut wire = Wire::open(tcp, 65_535).expect("opens");
        // It has read our settings, whatever it answers later.
        eventually("settings are there", || {
            wire.read();
            wire.is_greeted()
        });
        wire.answers = answers;
        wire.put(&get(1, "/"));
        wire
    };
    let (mut there, mut gone) = (quiet(true), quiet(false));
    let open = || first.metric("http_server_active_requests", "");
    eventually("both are in flight", || open() == 2.0);
    let began = Instant::now();
    within(Duration::from_secs(90), "one is gone", || {
        there.read();
        gone.read();
        gone.end().is_some()
    });
    assert!(began.elapsed() > Duration::from_secs(55), "{:?}", began.elapsed());
    eventually("and what it held is free", || {
        open() == 1.0 && second.metric("http_server_active_requests", "") == 1.0
    });
    drop(release);
    eventually("the other one is answered", || {
        there.read();
        there.is_answered(1)
    });
}

/// A connection that rests and that no timer ends.
#[test]
fn a_long_rest_ends_soon_after_its_time_and_never_before() {
    let backend = Upstream::start(status(200));
    let proxy = limited(backend.address, "keep_alive = \"10s\", header_read = \"60s\"", "");
    let mut client = Client::to(proxy.ingress());
    let mut asked = Instant::now();
    for _ in 0..2 {
        asked = Instant::now();
        assert_eq!(client.get(), 200);
        pace(Duration::from_secs(2));
    }
    assert_eq!(client.head(), None, "it is ended");
    assert!(asked.elapsed() >= Duration::from_secs(10), "{:?}", asked.elapsed());
}
