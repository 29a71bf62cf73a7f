use std::io::Write;
use std::sync::Arc;

use crate::support::proxy::{ingress_to, proxy};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, bytes, status};

#[test]
fn a_slow_head_costs_only_its_own_connection() {
    let backend = Upstream::start(status(200));
    let config = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            limits = {{ header_read = "300ms" }}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    );
    let proxy = proxy(&config);
    let mut slow: Vec<Client> = (0..20).map(|_| Client::to(proxy.ingress())).collect();
    for client in &mut slow {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ");
    }
    assert_eq!(proxy.get("/other").status, 200);
    for client in &mut slow {
        let answer = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    assert_eq!(backend.hits(), 1);
}

#[test]
fn a_flood_of_connections_is_capped_and_told() {
    let backend = Upstream::start(status(200));
    let config = format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\nlimits = {{ connections = 4 }}\n\
         [upstreams.backend]\nendpoints = [\"{}\"]\n",
        backend.address
    );
    let proxy = proxy(&config);
    let mut held: Vec<Client> = (0..4).map(|_| Client::to(proxy.ingress())).collect();
    for client in &mut held {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response(false).expect("answered").status, 200);
    }
    assert!(Client::to(proxy.ingress()).rest().is_empty(), "the fifth is closed");
    assert!(proxy.metric("listener_refused_total", "") >= 1.0);
    drop(held);
    crate::support::eventually("there is room again", || proxy.get("/").status == 200);
}

#[test]
fn a_body_over_the_limit_is_refused_however_it_is_framed() {
    let backend = Upstream::start(status(200));
    let more = r#"
        [[routes]]
        name = "small"
        prefix = "/small"
        body_limit = "1KiB"
    "#;
    let proxy = ingress_to(backend.address, more);
    let big = "x".repeat(4_096);
    let mut client = Client::to(proxy.ingress());
    client.send(format!("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n{big}").as_bytes());
    let answer = client.response(false).expect("answered");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (413, Some("body_too_long")));
    assert_eq!(backend.hits(), 0);
    let mut client = Client::to(proxy.ingress());
    client.send(
        format!(
            "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n{big}\r\n0\r\n\r\n"
        )
        .as_bytes(),
    );
    assert_eq!(client.response(false).expect("answered").status, 413);
    assert_eq!(backend.hits(), 0, "a body that is too long never ends at the backend");
    let mut client = Client::to(proxy.ingress());
    client.send(format!("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n{big}").as_bytes());
    assert_eq!(client.response(false).expect("answered").status, 200);
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn a_client_that_has_ended_its_side_still_gets_its_answer() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET /half HTTP/1.1\r\nHost: a\r\n\r\n").half_close();
    assert_eq!(client.response(false).expect("answered").text(), "200 /half\n");
}

#[test]
fn a_client_that_leaves_within_its_body_is_nobodys_failure() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "breaker = { mode = \"on\", failures = 1 }\n");
    for _ in 0..5 {
        let mut client = Client::to(proxy.ingress());
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nonly this");
        socket2::SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).expect("sets");
    }
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(backend.hits(), 1, "no request of a client that left was whole");
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn an_answer_that_breaks_off_is_seen_to_be_broken() {
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this";
    let backend = Upstream::start(bytes(broken, false));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response(false).is_none(), "a body that is short of its length");
    backend.answer(bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false));
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response(false).is_none(), "chunks without a last one");
    backend.answer(status(200));
    assert_eq!(proxy.get("/").status, 200);
    crate::support::eventually("both are counted", || {
        proxy.metric("http_request_outcomes_total", "outcome=\"upstream_failed\"") >= 2.0
    });
}

#[test]
fn an_answer_that_breaks_off_takes_nothing_from_the_one_before_it() {
    const LONG: usize = 55_000; // more than the client's buffer takes: the rest waits in the proxy's
    let backend = Upstream::start(Arc::new(|seen, stream| {
        let length = if seen.path() == "/whole" { LONG } else { 2 * LONG };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&[b'x'; LONG])).is_ok()
            && length == LONG
    }));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\nGET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
    crate::support::eventually("the second broke off", || {
        proxy.metric("http_request_outcomes_total", "outcome=\"upstream_failed\"") == 1.0
    });
    assert_eq!(client.response(false).expect("whole").body.len(), LONG);
    assert!(client.response(false).is_none(), "short of its length");
}

#[test]
fn nonsense_from_the_backend_is_a_502_and_nothing_of_it_passes() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "breaker = { enabled = false }\n");
    let flood = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(400));
    for nonsense in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ] {
        backend.answer(bytes(nonsense, false));
        let answer = proxy.get("/");
        assert_eq!(
            (answer.status, answer.field("x-strop-reason")),
            (502, Some("bad_upstream_answer")),
            "{nonsense}"
        );
    }
    backend.answer(bytes(flood.as_str(), false));
    let answer = proxy.get("/");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (502, Some("answer_head_too_long")));
    let verdicts = proxy.sre("upstreams/backend")["attempts"].clone();
    assert_eq!(
        (&verdicts["protocol"], &verdicts["limit"]),
        (&5.into(), &1.into()),
        "a limit of ours accuses nobody"
    );
    backend.answer(status(200));
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn bytes_that_follow_an_answer_are_no_answer_to_the_next_request() {
    let poison =
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let backend = Upstream::start(bytes(poison, true));
    let proxy = ingress_to(backend.address, "");
    for _ in 0..5 {
        assert_eq!(proxy.get("/").text(), "ok");
    }
}

#[test]
fn a_backend_that_hangs_is_a_504_and_others_are_served() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        if seen.path() == "/hang" {
            return true;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    }));
    let proxy =
        ingress_to(backend.address, "timeouts = { first_byte = \"300ms\" }\nbreaker = { failures = 50 }\n");
    let mut hung = Client::to(proxy.ingress());
    hung.send(b"GET /hang HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(proxy.get("/").status, 200);
    let answer = hung.response(false).expect("answered");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (504, Some("upstream_timeout")));
}

#[test]
fn a_backend_that_switches_protocols_before_it_has_heard_all_is_not_believed() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = ingress_to(backend.local_addr().expect("bound"), "");
    let mut client = Client::to(proxy.ingress());
    client.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    );
    let (mut stream, _) = backend.accept().expect("comes");
    let mut block = [0; 1_024];
    assert!(std::io::Read::read(&mut stream, &mut block).expect("reads") > 0);
    let _ =
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    let answer = client.response(false).expect("answered");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (502, Some("bad_upstream_answer")));
    client.send(b"llo\r\n0\r\n\r\n");
    assert!(client.rest().is_empty(), "the connection is closed");
}
