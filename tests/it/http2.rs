use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;

use crate::support::eventually;
use crate::support::h2::{H2Client, upstream_that_resets_once};
use crate::support::proxy::{ingress_to, limited};
use crate::support::raw::Client;
use crate::support::upstream::{Answer, Upstream, bytes, status};

/// Half of the answer at once, the other half a moment later.
fn halting(millis: u64) -> Arc<Answer> {
    Arc::new(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        std::thread::sleep(std::time::Duration::from_millis(millis)); // the upstream's own slowness
        stream.write_all(b"67890").is_ok()
    })
}

#[test]
fn a_connection_with_prior_knowledge_counts_against_its_listener() {
    let backend = Upstream::start(status(200));
    let proxy = limited(backend.address, "connections = 1", "");
    let mut held = H2Client::to(proxy.ingress());
    assert_eq!(held.get("http://a/1").expect("answered").status, 200);
    assert_eq!(proxy.metric("listener_connections", "ingress"), 1.0);
    assert!(Client::to(proxy.ingress()).rest().is_empty(), "the second is closed");
}

#[test]
fn a_stop_drains_what_is_in_flight_by_http2() {
    let backend = Upstream::start(halting(400));
    let mut proxy = ingress_to(backend.address, "");
    let mut client = H2Client::to(proxy.ingress());
    let asked = client.ask(http::Request::get("http://a/").body(()).expect("a request"), None);
    eventually("it is in flight", || backend.hits() == 1);
    proxy.signal("TERM");
    let answer = client.answer(asked.expect("sent")).expect("whole");
    assert_eq!(answer.text(), "1234567890");
    assert_eq!(proxy.stop(), Some(0));
}

#[test]
fn an_authority_that_no_host_field_could_say_is_refused() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let mut client = H2Client::to(proxy.ingress());
    for uri in ["http://user:secret@a/", "http://a,b/", "http://a!$&'()*/"] {
        let answer = client.get(uri).expect("answered");
        assert_eq!((answer.status, answer.field("x-strop-reason")), (400, Some("bad_host")), "{uri}");
    }
    assert_eq!(backend.hits(), 0);
    assert_eq!(client.get("http://a.example:8000/").expect("answered").status, 200);
}

#[test]
fn the_number_of_fields_is_limited() {
    let backend = Upstream::start(status(200));
    let proxy = limited(backend.address, "header_count = 10", "");
    let mut client = H2Client::to(proxy.ingress());
    let mut request = http::Request::get("http://a/").body(()).expect("a request");
    for n in 0..11 {
        let name = http::HeaderName::from_bytes(format!("x-{n}").as_bytes()).expect("a name");
        request.headers_mut().insert(name, http::HeaderValue::from_static("1"));
    }
    let asked = client.ask(request, None).expect("sent");
    let answer = client.answer(asked).expect("answered");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (431, Some("too_many_fields")));
    assert_eq!(backend.hits(), 0);
}

#[test]
fn what_a_client_sends_is_counted_whatever_body_the_answer_has() {
    let nothing = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for answer in [status(200), bytes(nothing, true)] {
        let backend = Upstream::start(answer);
        let proxy = ingress_to(backend.address, "");
        let mut client = H2Client::to(proxy.ingress());
        let request = http::Request::post("http://a/").body(()).expect("a request");
        let asked = client.ask(request, Some("hello".into())).expect("sent");
        assert_eq!(client.answer(asked).expect("whole").status, 200);
        eventually("all five bytes are", || {
            proxy.metric("http_body_bytes_total", "direction=\"received\"") == 5.0
        });
    }
}

#[test]
fn an_attempt_whose_client_leaves_is_counted_as_abandoned() {
    let backend = Upstream::start(Arc::new(|_, stream| {
        // No answer for as long as somebody waits for one.
        while matches!(stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock) {}
        false
    }));
    let proxy = ingress_to(backend.address, "");
    let mut client = H2Client::to(proxy.ingress());
    let asked = client.ask(http::Request::get("http://a/").body(()).expect("a request"), None);
    eventually("it is in flight", || backend.hits() == 1);
    drop(asked);
    eventually("it is abandoned", || proxy.metric("upstream_requests_total", "verdict=\"abandoned\"") == 1.0);
    assert_eq!(proxy.metric("http_requests_total", "upstream=\"backend\""), 1.0);
}

#[test]
fn a_refusal_that_nobody_reads_to_its_end_is_still_told_as_one() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("access.log");
    let proxy = ingress_to(
        backend.address,
        &format!(
            r#"
                [access_log]
                to = "file:{}"
            "#,
            log.display()
        ),
    );
    assert_eq!(proxy.post("circuit-breakers/backend/open", "{\"reason\": \"a test\"}").status, 200);
    let mut client = H2Client::with_window(proxy.ingress(), 0);
    let asked = client.ask(http::Request::get("http://a/").body(()).expect("a request"), None);
    assert_eq!(client.leave_at_head(asked.expect("sent")), Some(503));
    let mut text = String::new();
    eventually("the line is written", || {
        text = std::fs::read_to_string(&log).unwrap_or_default();
        text.ends_with('\n')
    });
    let line: serde_json::Value = serde_json::from_str(text.trim()).expect("JSON");
    assert_eq!((&line["outcome"], &line["reason"]), (&"client_gone".into(), &"breaker_held".into()));
}

#[test]
fn an_idle_connection_to_an_upstream_expires() {
    let backend = Upstream::start(status(200));
    let second = ingress_to(backend.address, "");
    let first = ingress_to(second.ingress(), "protocol = \"h2\"\npool = { idle_for = \"100ms\" }\n");
    assert_eq!(first.get("/").status, 200);
    eventually("it is closed", || {
        first.metric("upstream_connections", "backend") == 0.0
            && second.metric("listener_connections", "ingress") == 0.0
    });
    assert_eq!(first.get("/").status, 200);
}

#[test]
fn what_an_upstream_says_it_did_not_take_is_sent_once_more() {
    let asked = |reason, request: &str| {
        let proxy = ingress_to(upstream_that_resets_once(reason), "protocol = \"h2\"\n");
        let mut client = Client::to(proxy.ingress());
        client.send(format!("{request}\r\n\r\n").as_bytes());
        client.response(false).expect("answered").status
    };
    assert_eq!(asked(h2::Reason::REFUSED_STREAM, "GET / HTTP/1.1\r\nHost: a"), 200);
    assert_eq!(asked(h2::Reason::INTERNAL_ERROR, "GET / HTTP/1.1\r\nHost: a"), 502);
}

#[test]
fn a_body_that_an_upstream_did_not_take_is_sent_once_more_when_it_was_kept() {
    let long = format!("{:x}\r\n{}\r\n", 20_000, "x".repeat(20_000));
    let asked = |reason, more: &str, framed: &str| {
        let proxy = ingress_to(upstream_that_resets_once(reason), &format!("protocol = \"h2\"\n{more}"));
        let mut client = Client::to(proxy.ingress());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framed}").as_bytes());
        let answer = client.response(false).expect("answered");
        (answer.status, answer.field("x-read").map(str::to_owned))
    };
    let got = |bytes: &str| (200, Some(bytes.to_owned()));
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{long}0\r\n\r\n");
    assert_eq!(asked(h2::Reason::REFUSED_STREAM, "", &chunked), got("20000"));
    assert_eq!(asked(h2::Reason::REFUSED_STREAM, "", "Content-Length: 5\r\n\r\nhello"), got("5"));
    // Neither what was perhaps taken, nor what is too long to be kept.
    assert_eq!(asked(h2::Reason::INTERNAL_ERROR, "", "Content-Length: 5\r\n\r\nhello").0, 502);
    assert_eq!(asked(h2::Reason::REFUSED_STREAM, "retry = { keep_body = \"16KiB\" }\n", &chunked).0, 502);
}

#[test]
fn a_client_whose_body_is_malformed_is_no_failure_of_an_upstream() {
    let backend = Upstream::start(status(200));
    let second = ingress_to(backend.address, "");
    let first = ingress_to(second.ingress(), "protocol = \"h2\"\nbreaker = { failures = 1 }\n");
    let mut client = Client::to(first.ingress());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nx\r\n\r\n");
    let answer = client.response(false).expect("answered");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (400, Some("bad_chunk")));
    assert_eq!(first.breaker("backend"), "closed");
}

/// Is the other side still there? Reads over what comes until it is not, or until nothing has come for a second.
fn is_closed(stream: &mut std::net::TcpStream) -> bool {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(1))).expect("sets");
    loop {
        match stream.read(&mut [0; 1_024]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn a_connection_that_never_asks_anything_is_ended() {
    let backend = Upstream::start(status(200));
    let proxy = limited(backend.address, "header_read = \"1s\", keep_alive = \"1s\"", "");
    let mut silent = Client::to(proxy.ingress());
    // The preface and empty settings.
    silent.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    eventually("it is ended", || is_closed(&mut silent.stream));
    eventually("and not counted any more", || proxy.metric("listener_connections", "ingress") == 0.0);
    let mut idle = H2Client::to(proxy.ingress());
    assert_eq!(idle.get("http://a/").expect("answered").status, 200);
    eventually("so is one that asks nothing more", || proxy.metric("listener_connections", "ingress") == 0.0);
    assert!(idle.get("http://a/").is_none());
}

/// A stream that is open keeps its connection, however long its answer takes.
#[test]
fn a_connection_with_an_open_stream_is_not_idle() {
    let backend = Upstream::start(halting(3_500));
    let proxy = limited(backend.address, "header_read = \"1s\", keep_alive = \"1s\"", "");
    let mut client = H2Client::to(proxy.ingress());
    assert_eq!(client.get("http://a/").expect("whole").text(), "1234567890");
}

/// A request leaves a timer behind, which goes off while nothing is served: that lane waits no more than once.
#[test]
fn a_request_is_served_beside_those_that_last_however_long_the_connection_is_there() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        if !seen.path().starts_with("/held") {
            return status(200)(seen, stream);
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
        // Half of an answer for as long as somebody waits for the other.
        while matches!(stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock) {}
        false
    }));
    let proxy = limited(backend.address, "keep_alive = \"30s\"", "timeouts = { first_byte = \"1s\" }\n");
    let mut client = H2Client::to(proxy.ingress());
    let hold = |client: &mut H2Client| {
        let hits = backend.hits();
        let asked = client.ask(http::Request::get("http://a/held").body(()).expect("a request"), None);
        eventually("it is served", || backend.hits() == hits + 1);
        asked
    };
    let _first = hold(&mut client);
    for _ in 0..3 {
        assert_eq!(client.get("http://a/").expect("answered").status, 200);
    }
    crate::support::pace(std::time::Duration::from_millis(1_500));
    let _second = hold(&mut client);
    assert_eq!(client.get("http://a/").expect("answered").status, 200);
}

#[test]
fn a_client_that_does_not_read_lets_its_upstream_go_when_its_time_is_over() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 4 << 20, "x".repeat(4 << 20));
    let backend = Upstream::start(crate::support::upstream::bytes(large, true));
    let proxy = limited(backend.address, "keep_alive = \"30s\"", "timeouts = { idle = \"1s\" }\n");
    let mut client = H2Client::with_window(proxy.ingress(), 1_000);
    let asked = client.ask(http::Request::get("http://a/").body(()).expect("a request"), None);
    eventually("its exchange is over", || {
        proxy.metric("http_request_outcomes_total", "outcome=\"client_gone\"") == 1.0
            && proxy.metric("upstream_connections", "backend") == 0.0
    });
    assert!(client.answer(asked.expect("sent")).is_none(), "what it got is not the whole");
}

/// A phone on a slow line: it takes longer than nothing may come, and something comes all the time.
#[test]
fn a_client_that_reads_slowly_is_not_one_that_does_not_read() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n{}", "x".repeat(80_000));
    let backend = Upstream::start(crate::support::upstream::bytes(long, true));
    let proxy = limited(
        backend.address,
        "header_read = \"1s\", keep_alive = \"1s\"",
        "timeouts = { idle = \"3s\" }\n",
    );
    let mut client = H2Client::with_window(proxy.ingress(), 1_000);
    let asked = client.ask(http::Request::get("http://a/").body(()).expect("a request"), None).expect("sent");
    let began = std::time::Instant::now();
    let answer = client.answer_at(asked, std::time::Duration::from_millis(50)).expect("whole");
    assert_eq!(answer.body.len(), 80_000);
    assert!(began.elapsed() > std::time::Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn an_upstream_that_falls_silent_within_its_answer_is_told_by_a_reset() {
    let backend = Upstream::start(halting(8_000));
    for limit in ["idle", "total"] {
        let proxy =
            limited(backend.address, "keep_alive = \"30s\"", &format!("timeouts = {{ {limit} = \"1s\" }}\n"));
        let mut client = H2Client::to(proxy.ingress());
        assert!(client.get("http://a/").is_none(), "{limit}");
        let told = "outcome=\"upstream_failed\"";
        eventually("it is its failure", || proxy.metric("http_request_outcomes_total", told) == 1.0);
    }
}
