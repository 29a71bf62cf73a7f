use std::time::Duration;

use crate::support::eventually;
use crate::support::h2::H2Client;
use crate::support::h2raw::flag::{END_HEADERS, END_STREAM};
use crate::support::h2raw::kind::{CONTINUATION, DATA, HEADERS, RST_STREAM};
use crate::support::h2raw::{H2Raw, H2RawUpstream, block, status_of};
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::raw::{Client, ask_http1};
use crate::support::upstream::{Upstream, bytes, status};

const H2: &str = "protocol = \"h2\"\n";

/// A proxy that asks the backend by HTTP/2: through a second one.
fn by_http2(backend: &Upstream) -> (Proxy, Proxy) {
    let second = ingress_to(backend.address, "");
    (ingress_to(second.ingress(), H2), second)
}

/// The fields that a request begins with.
fn start<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.example")]
}

/// What old clients write as it is: browsers, feeds, monitoring.
#[test]
fn a_target_passes_as_it_was_written_whichever_versions_carry_it() {
    let target = "/a`b<c>d\"e|f{g}h^i?q=`<>\"";
    let backend = Upstream::start(status(200));
    let (first, second) = by_http2(&backend);
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    for (way, proxy) in [("1.1 to 1.1", &second), ("1.1 to 2 to 1.1", &first)] {
        assert_eq!(ask_http1(proxy.ingress(), &request).status, 200, "{way}");
        assert_eq!(backend.seen().pop().expect("one").path(), target, "{way}");
    }
    for (way, proxy) in [("2 to 1.1", &second), ("2 to 2 to 1.1", &first)] {
        let mut peer = H2Raw::to(proxy.ingress());
        peer.head(1, END_STREAM, &start("GET", target));
        assert_eq!(peer.answer(1).0, 200, "{way}");
        assert_eq!(backend.seen().pop().expect("one").path(), target, "{way}");
    }
    assert_eq!(backend.hits(), 4);
}

#[test]
fn a_cookie_in_more_crumbs_than_a_head_has_fields_is_one_field() {
    let backend = Upstream::start(status(200));
    let (first, second) = by_http2(&backend);
    let crumbs: Vec<String> = (0..110).map(|n| format!("c{n}={n}")).collect();
    let mut fields = start("GET", "/").to_vec();
    for (n, crumb) in crumbs.iter().enumerate() {
        fields.push(("cookie", crumb));
        if n == 50 {
            fields.push(("x-between", "1"));
        }
    }
    for proxy in [&first, &second] {
        let mut peer = H2Raw::to(proxy.ingress());
        peer.head(1, END_STREAM, &fields);
        assert_eq!(peer.answer(1).0, 200);
        let seen = backend.seen().pop().expect("one");
        assert_eq!(
            (seen.fields("cookie"), seen.fields("x-between")),
            (vec![&crumbs.join("; ")[..]], vec!["1"])
        );
    }
}

/// Strict servers answer 411 to one that does not say so.
#[test]
fn a_request_that_could_have_a_body_and_has_none_says_so_to_http1() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let mut peer = H2Raw::to(proxy.ingress());
    let methods: [(&str, &[&str]); 5] =
        [("POST", &["0"]), ("PUT", &["0"]), ("PATCH", &["0"]), ("GET", &[]), ("DELETE", &[])];
    for (stream, (method, length)) in (1..).step_by(2).zip(methods) {
        peer.head(stream, END_STREAM, &start(method, "/"));
        assert_eq!(peer.answer(stream).0, 200, "{method}");
        let seen = backend.seen().pop().expect("one");
        assert_eq!(seen.fields("content-length"), length, "{method}");
        assert!(seen.fields("transfer-encoding").is_empty(), "{method}: {seen:?}");
    }
}

#[test]
fn an_answer_with_a_long_head_passes_from_http2() {
    let upstream = H2RawUpstream::start(|peer, stream| {
        let block = block(&[(":status", "200"), ("x-long", &"x".repeat(60 << 10)), ("x-last", "1")]);
        let mut parts = block.chunks(16_384);
        peer.frame(HEADERS, END_STREAM, stream, parts.next().expect("one"));
        parts.for_each(|part| peer.frame(CONTINUATION, 0, stream, part));
        peer.frame(CONTINUATION, END_HEADERS, stream, b"");
    });
    let proxy = ingress_to(upstream.address, H2);
    let by_http1 = ask_http1(proxy.ingress(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let by_http2 = H2Client::to(proxy.ingress()).get("http://a/").expect("answered");
    for answer in [by_http1, by_http2] {
        assert_eq!((answer.status, answer.field("x-last")), (200, Some("1")));
        assert_eq!(answer.field("x-long").map(str::len), Some(60 << 10));
    }
}

#[test]
fn hints_reach_a_client_by_http2_from_either_version() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let backend =
        Upstream::start(bytes(format!("{hints}{hints}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), true));
    let (first, second) = by_http2(&backend);
    for (way, proxy) in [("from 1.1", &second), ("from 2", &first)] {
        let mut peer = H2Raw::to(proxy.ingress());
        // What the server says is in no table, so that each head can be read alone.
        peer.settings(&[(1, 0)]);
        peer.head(1, END_STREAM, &start("GET", "/"));
        let statuses: Vec<(u16, bool)> = (0..3)
            .map(|_| peer.until(|frame| frame.kind == HEADERS))
            .map(|head| (status_of(&head.payload), head.has(END_STREAM)))
            .collect();
        assert_eq!(statuses, [(103, false), (103, false), (200, false)], "{way}");
    }
    // And whole: the first one has them by HTTP/2 alone.
    let mut client = Client::to(first.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for status in [103, 103, 200] {
        let (told, head) = client.head().expect("a head");
        assert_eq!(told, status, "{head}");
        let linked = head.to_ascii_lowercase().contains("link: </a.css>; rel=preload\r\n");
        assert_eq!(linked, status == 103, "{head}");
    }
}

/// What gRPC puts there is the application's own, names that proxies use in heads included.
const METADATA: [(&str, &str); 8] = [
    ("grpc-status", "0"),
    ("grpc-message", "all%20is%20well"),
    ("x-request-id", "mine"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("tracestate", "vendor=1"),
    ("via", "1.1 elsewhere"),
    ("x-custom", "1"),
    ("x-custom-bin", "AAEC"),
];

#[test]
fn trailing_metadata_arrives_whole_from_http2() {
    let upstream = H2RawUpstream::start(|peer, stream| {
        peer.head(stream, 0, &[(":status", "200"), ("content-type", "application/grpc")]);
        peer.data(stream, 0, b"\0\0\0\0\x01x");
        peer.head(stream, END_STREAM, &METADATA);
    });
    let proxy = ingress_to(upstream.address, H2);
    let mut client = H2Client::to(proxy.ingress());
    let request = http::Request::post("http://a/s/m").header("te", "trailers").body(()).expect("a request");
    // Without a body: an answer that comes before the end of one ends the stream, and the client cannot send it.
    let asked = client.ask(request, None).expect("sent");
    let answer = client.answer(asked).expect("whole");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\0\0\0\0\x01x"[..]));
    for (name, value) in METADATA {
        assert_eq!(answer.field(&format!("trailer-{name}")), Some(value), "{name}: {}", answer.head);
    }
    let told = answer.head.lines().filter(|line| line.starts_with("trailer-")).count();
    assert_eq!(told, METADATA.len(), "and nothing more: {}", answer.head);
}

#[test]
fn an_answer_that_is_a_head_alone_arrives_as_one() {
    let upstream = H2RawUpstream::start(|peer, stream| {
        peer.head(
            stream,
            END_STREAM,
            &[&[(":status", "200"), ("content-type", "application/grpc")][..], &METADATA].concat(),
        );
    });
    let proxy = ingress_to(upstream.address, H2);
    let mut peer = H2Raw::to(proxy.ingress());
    peer.head(1, END_STREAM, &start("POST", "/s/m"));
    let head = peer.until(|frame| frame.kind == HEADERS);
    assert_eq!((status_of(&head.payload), head.has(END_STREAM)), (200, true));
    let answer = H2Client::to(proxy.ingress()).get("http://a/s/m").expect("whole");
    assert_eq!((answer.field("grpc-status"), answer.field("x-custom-bin")), (Some("0"), Some("AAEC")));
}

/// A call that its server ends while the client still speaks.
#[test]
fn trailers_that_come_before_the_request_is_whole_arrive_and_the_rest_is_not_wanted() {
    let upstream = H2RawUpstream::start(|peer, stream| {
        peer.until(|frame| frame.kind == DATA);
        peer.head(stream, 0, &[(":status", "200"), ("content-type", "application/grpc")]);
        peer.data(stream, 0, b"enough");
        peer.head(stream, END_STREAM, &METADATA);
        peer.reset(stream, 0);
    });
    let proxy = ingress_to(upstream.address, H2);
    let mut peer = H2Raw::to(proxy.ingress());
    for stream in [1, 3] {
        peer.head(stream, 0, &start("POST", "/s/m"));
        peer.data(stream, 0, b"still speaking");
        let head = peer.until(|frame| frame.stream == stream);
        assert!(head.kind == HEADERS && !head.has(END_STREAM), "{head:?}");
        let data = peer.until(|frame| frame.kind == DATA && frame.stream == stream);
        assert_eq!(data.payload, b"enough");
        let trailers = peer.until(|frame| frame.stream == stream);
        assert!(trailers.kind == HEADERS && trailers.has(END_STREAM), "{trailers:?}");
        assert!(trailers.payload.len() > 100, "{trailers:?}");
        let reset = peer.until(|frame| frame.kind == RST_STREAM && frame.stream == stream);
        assert_eq!(reset.number(0), 0, "no error");
        crate::support::pace(Duration::from_millis(20));
        // What was on its way meanwhile does no harm.
        peer.data(stream, END_STREAM, b"the rest");
    }
    eventually("both are well", || proxy.metric("http_request_outcomes_total", "outcome=\"ok\"") == 2.0);
}

#[test]
fn a_client_of_http10_that_names_no_host_is_served_by_http2() {
    let backend = Upstream::start(status(200));
    let (first, second) = by_http2(&backend);
    assert_eq!(ask_http1(first.ingress(), "GET / HTTP/1.0\r\n\r\n").status, 200);
    assert_eq!(backend.seen().pop().expect("one").fields("host"), [second.ingress().to_string()]);
}
