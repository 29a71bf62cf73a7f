use crate::support::proxy::{ingress_to, proxy};
use crate::support::raw::ask;
use crate::support::upstream::{Upstream, bytes, status};

#[test]
fn the_backend_learns_who_asked_and_nothing_of_the_hop() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let answer = ask(
        proxy.ingress(),
        "GET /x HTTP/1.1\r\nHost: shop.example\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: gzip\r\n\
         Proxy-Authorization: Basic x\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-CaSe: Kept\r\n\r\n",
    );
    let seen = backend.seen().remove(0);
    for gone in ["connection", "x-hop", "keep-alive", "te", "proxy-authorization"] {
        assert!(seen.fields(gone).is_empty(), "{gone}: {seen:?}");
    }
    assert_eq!(seen.fields("host"), ["shop.example"]);
    assert_eq!(seen.fields("x-forwarded-for"), ["127.0.0.1"], "a client cannot write its own address");
    assert_eq!(seen.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.fields("x-forwarded-host"), ["shop.example"]);
    assert_eq!(seen.fields("forwarded"), ["for=127.0.0.1;host=\"shop.example\";proto=http"]);
    assert_eq!(seen.fields("via"), ["1.1 strop"]);
    assert!(seen.head.contains("X-CaSe: Kept\r\n"));
    let id = seen.fields("x-request-id")[0].to_owned();
    assert_eq!(answer.field("x-request-id"), Some(id.as_str()));
    assert_eq!(uuid::Uuid::parse_str(&id).expect("a uuid").get_version_num(), 7);
    assert!(seen.fields("traceparent").is_empty(), "what does not sample begins no trace");
}

#[test]
fn ids_and_traces_are_continued_behind_trusted_proxies() {
    let backend = Upstream::start(status(200));
    let config = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            trusted_hops = 1
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    );
    let proxy = proxy(&config);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    ask(
        proxy.ingress(),
        &format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-request-id: mine-1\r\nX-Forwarded-For: 1.2.3.4\r\n\
             X-Forwarded-Proto: https\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n"
        ),
    );
    let seen = backend.seen().remove(0);
    assert_eq!(seen.fields("x-request-id"), ["mine-1"]);
    assert_eq!(seen.fields("x-forwarded-for"), ["1.2.3.4, 127.0.0.1"]);
    assert_eq!(seen.fields("x-forwarded-proto"), ["https"]);
    let parent = seen.fields("traceparent")[0];
    assert!(parent.starts_with(&format!("00-{trace}-")) && !parent.contains("00f067aa0ba902b7"), "{parent}");
}

#[test]
fn an_unfit_request_id_is_replaced() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    ask(
        proxy.ingress(),
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nx-request-id: a b\"<script>\r\n\r\n",
    );
    let seen = backend.seen().remove(0);
    assert_eq!(seen.fields("x-request-id").len(), 1);
    assert!(!seen.head.contains("script"));
}

#[test]
fn fields_of_the_answers_hop_stay_there() {
    let told = "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 1\r\nContent-Length: 2\r\n\r\nok";
    let backend = Upstream::start(bytes(told, true));
    let proxy = ingress_to(backend.address, "");
    let answer = ask(proxy.ingress(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.field("x-kept"), Some("1"));
    assert_eq!(
        (answer.field("x-hop"), answer.field("keep-alive"), answer.field("connection")),
        (None, None, None)
    );
}

#[test]
fn nobody_nominates_away_what_the_backend_is_to_learn() {
    let backend = Upstream::start(status(200));
    for hops in [0, 1] {
        let proxy = proxy(&format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                trusted_hops = {hops}
                [upstreams.backend]
                endpoints = ["{}"]
            "#,
            backend.address
        ));
        ask(
            proxy.ingress(),
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nX-Request-Id: mine\r\n\
             Connection: close, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-For, X-Request-Id, Forwarded\r\n\r\n",
        );
        let seen = backend.seen().pop().expect("one");
        for (name, wanted) in [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "a"),
            ("x-request-id", "mine"),
            ("forwarded", "for=127.0.0.1;host=\"a\";proto=http"),
        ] {
            assert_eq!(seen.fields(name), [wanted], "{name} with {hops} hops");
        }
    }
}

#[test]
fn a_client_behind_a_trusted_proxy_cannot_choose_its_address_by_writing_many() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("access.log");
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            trusted_hops = 1
            [upstreams.backend]
            endpoints = ["{}"]
            [access_log]
            to = "file:{}"
        "#,
        backend.address,
        log.display()
    ));
    let many = "X-Forwarded-For: 6.6.6.6\r\n".repeat(20);
    ask(
        proxy.ingress(),
        &format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{many}X-Forwarded-For: 1.2.3.4\r\n\r\n"),
    );
    crate::support::eventually("the line is written", || {
        std::fs::read_to_string(&log).is_ok_and(|text| text.contains("\"client\":\"1.2.3.4\""))
    });
}

#[test]
fn h2c_is_asked_of_nobody_however_it_is_written() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for fields in [
        "Upgrade: h2c\r\n",
        "Upgrade: websocket, h2c\r\n",
        "Upgrade: websocket,H2C\r\n",
        "Upgrade: h2c-14\r\n",
        "Upgrade: websocket\r\nUpgrade: h2c\r\n",
    ] {
        let asked = ask(
            proxy.ingress(),
            &format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{fields}HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\
                 Connection: Upgrade, HTTP2-Settings\r\n\r\n"
            ),
        );
        assert_eq!(asked.status, 200, "{fields}");
        let seen = backend.seen().pop().expect("one");
        for gone in ["upgrade", "http2-settings", "connection"] {
            assert!(seen.fields(gone).is_empty(), "{fields}: {seen:?}");
        }
    }
}
