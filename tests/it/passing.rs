//! What passes, passes as it came: requests and answers that other proxies were found to break.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::{Client, ask, ask_http1};
use crate::support::upstream::{Upstream, bytes, status};
use crate::support::within;

fn ingress_with(backend: &Upstream, ingress: &str, upstream: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            {ingress}
            [upstreams.backend]
            endpoints = ["{}"]
            {upstream}
        "#,
        backend.address
    ))
}

#[test]
fn what_does_not_sample_begins_no_trace_unless_it_is_asked_to_and_then_a_sampled_one() {
    let backend = Upstream::start(status(200));
    let quiet = ingress_with(&backend, "", "");
    quiet.get("/");
    assert_eq!(backend.seen().pop().expect("one").fields("traceparent"), Vec::<&str>::new());
    let begins = ingress_with(&backend, "traces = \"begin\"", "");
    begins.get("/");
    let seen = backend.seen().pop().expect("two");
    assert!(seen.fields("traceparent")[0].ends_with("-01"), "{seen:?}");
}

#[test]
fn an_invalid_trace_takes_its_state_with_it() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (sent, arrives) in [
        (format!("traceparent: {valid}\r\n"), true),
        (format!("traceparent: {}\r\n", valid.to_uppercase()), false),
        (format!("traceparent: {valid}\r\ntraceparent: {valid}\r\n"), false),
        ("traceparent: \r\n".to_owned(), false),
    ] {
        let text =
            format!("GET / HTTP/1.1\r\nHost: a\r\n{sent}tracestate: vendor=1\r\nConnection: close\r\n\r\n");
        assert_eq!(ask(proxy.ingress(), &text).status, 200, "{sent}");
        let seen = backend.seen().pop().expect("one");
        assert_eq!(!seen.fields("traceparent").is_empty(), arrives, "{sent}: {seen:?}");
        assert_eq!(!seen.fields("tracestate").is_empty(), arrives, "{sent}: {seen:?}");
    }
}

/// The client waits by right: that nobody asks for its body is the backend's silence.
#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_not_blamed_for_a_backend_that_hangs() {
    let backend = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            timeouts = {{ first_byte = "300ms", idle = "20s" }}
        "#,
        backend.local_addr().expect("bound")
    );
    let proxy = proxy(&toml);
    let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    let asked = Instant::now();
    assert_eq!(ask_http1(proxy.ingress(), text).status, 504);
    assert!(asked.elapsed() < Duration::from_secs(10), "it is not idle that ends it");
    assert!(proxy.metric("upstream_evidence_total", "against=\"upstream\"") > 0.0, "and it is told");
}

#[test]
fn interim_answers_are_bounded_by_their_bytes_and_not_by_their_number() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(40);
    let backend =
        Upstream::start(bytes(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), true));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut heads = Vec::new();
    while heads.last() != Some(&200) {
        heads.push(client.head().expect("a head").0);
    }
    assert_eq!(heads.len(), 41, "{heads:?}");
    let large = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(60_000)).repeat(6);
    backend.answer(bytes(format!("{large}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), true));
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let last = std::iter::from_fn(|| client.head()).map(|(status, _)| status).find(|status| *status >= 200);
    assert_eq!(last, Some(502), "360,000 bytes of hints");
}

#[test]
fn each_interim_answer_prolongs_the_wait_for_the_final_one() {
    let backend = Upstream::start(Arc::new(|_, stream| {
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(300)); // the upstream's own slowness
            let _ = stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    }));
    let proxy = ingress_with(&backend, "", "timeouts = { first_byte = \"800ms\" }");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let last = std::iter::from_fn(|| client.head()).map(|(status, _)| status).find(|status| *status >= 200);
    assert_eq!(last, Some(200));
}

#[test]
fn trailing_metadata_arrives_but_for_what_may_not_stand_there() {
    let trailer = "x-request-id: mine\r\ntraceparent: t\r\nvia: v\r\ngrpc-status: 0\r\nx-more: 1\r\nx-strop: no\r\n\
                   content-length: 5\r\nset-cookie: a=b\r\nX-Forwarded-For: 6.6.6.6\r\nhost: evil\r\n";
    let backend = Upstream::start(bytes(
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n{trailer}\r\n"),
        true,
    ));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n");
    let told = String::from_utf8_lossy(&client.rest()).to_ascii_lowercase();
    let trailers = told.rsplit("\r\n0\r\n").next().expect("an end").to_owned();
    for kept in ["x-request-id: mine", "traceparent: t", "via: v", "grpc-status: 0", "x-more: 1"] {
        assert!(trailers.contains(kept), "{kept}: {told}");
    }
    for gone in ["content-length", "set-cookie", "x-forwarded-for", "host: evil"] {
        assert!(!trailers.contains(gone), "{gone}: {told}");
    }
}

#[test]
fn a_target_with_a_query_and_no_path_is_the_root_with_that_query() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let answer = ask_http1(
        proxy.ingress(),
        "GET http://shop.example?x=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.status, 200);
    assert_eq!(backend.seen().pop().expect("one").path(), "/?x=1");
}

#[test]
fn whoever_is_asked_without_a_name_is_called_by_its_own() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for text in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"] {
        assert_eq!(ask_http1(proxy.ingress(), text).status, 200, "{text}");
        assert_eq!(
            backend.seen().pop().expect("one").fields("host"),
            [backend.address.to_string()],
            "{text}"
        );
    }
}

#[test]
fn another_spelling_of_what_the_backend_is_told_does_not_reach_it() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    ask(
        proxy.ingress(),
        "GET / HTTP/1.1\r\nHost: a\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\nx_request_id: x\r\n\
         My_Own: 1\r\nConnection: close\r\n\r\n",
    );
    let seen = backend.seen().pop().expect("one");
    assert!(!seen.head.contains("6.6.6.6") && !seen.head.contains("X-Forwarded_Proto"), "{seen:?}");
    assert!(seen.fields("x_request_id").is_empty() && seen.fields("my_own") == ["1"], "{seen:?}");
}

#[test]
fn vendors_are_not_told_of_the_proxy_and_the_backend_is() {
    let vendor = Upstream::start(status(200));
    let toml = |via: &str| {
        format!(
            r#"
                [egress]
                listen = "127.0.0.1:0"
                [upstreams.vendor]
                hosts = ["v.example"]
                endpoints = ["{}"]
                allow_addresses = ["127.0.0.0/8"]
                {via}
            "#,
            vendor.address
        )
    };
    for (via, told) in [("", 0), ("via = true\n", 1)] {
        let proxy = proxy(&toml(via));
        let text = "GET http://v.example/ HTTP/1.1\r\nHost: v.example\r\nConnection: close\r\n\r\n";
        assert_eq!(ask_http1(proxy.egress(), text).status, 200);
        assert_eq!(vendor.seen().pop().expect("one").fields("via").len(), told, "{via}");
    }
}

/// The first of them passes its checks although six others hang.
#[test]
fn endpoints_are_checked_side_by_side() {
    let hang: Vec<_> = (0..6).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("binds")).collect();
    let well = Upstream::start(status(500));
    let mut all: Vec<String> =
        hang.iter().map(|one| format!("\"{}\"", one.local_addr().expect("bound"))).collect();
    all.push(format!("\"{}\"", well.address));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = [{}]
            health = {{ path = "/", interval = "500ms", suspect_interval = "100ms", timeout = "5s", fall = 2, rise = 1 }}
        "#,
        all.join(", ")
    ));
    let _ = &proxy;
    // Two checks of the last one, each of which would have to wait for 30 s of others.
    within(Duration::from_secs(14), "the last one is checked twice", || well.hits() >= 2);
}

#[test]
fn the_scheme_of_a_token_is_written_in_any_case() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef").expect("writes");
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(
        backend.address,
        &format!(
            r#"
                [admin]
                listen = "127.0.0.1:0"
                token_file = {token:?}
            "#
        ),
    );
    for (scheme, status) in [("bearer", 200), ("BEARER", 200), ("Bearer", 200), ("Basic", 401)] {
        let fields = format!("Authorization: {scheme} 0123456789abcdef\r\n");
        assert_eq!(proxy.ask("GET", "config", &fields, "").status, status, "{scheme}");
    }
}

/// uvicorn serves the first as `/up`, other servers the rest.
#[test]
fn no_spelling_of_a_path_passes_by_its_route() {
    let backend = Upstream::start(status(200));
    let routes = r#"
        [[routes]]
        name = "up"
        host = "shop.example"
        path = "/up"
        body_limit = "1B"
        [[routes]]
        name = "below"
        prefix = "/admin"
        body_limit = "1B"
    "#;
    let toml = |more: &str| {
        format!(
            "[ingress]\nlisten = \"127.0.0.1:0\"\n{more}[upstreams.backend]\nendpoints = [\"{}\"]\n{routes}",
            backend.address
        )
    };
    let proxy = crate::support::proxy::proxy(&toml(""));
    let post = |proxy: &Proxy, host: &str, path: &str| {
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab"
        );
        ask_http1(proxy.ingress(), &text).status
    };
    for path in ["/up", "/%75p", "/./up", "/x/../up", "//up", "/%2e/up"] {
        assert_eq!(post(&proxy, "shop.example", path), 413, "{path}");
    }
    assert_eq!(post(&proxy, "shop.example.", "/up"), 413, "a name with a dot at its end");
    assert_eq!(post(&proxy, "a", "/x/%2e%2E/admin/y"), 413);
    assert_eq!(post(&proxy, "a", "/x%2f..%2fup;v=1"), 200, "an id may hold it");
    assert_eq!(backend.seen().pop().expect("one").path(), "/x%2f..%2fup;v=1", "as it came");
    assert_eq!(post(&proxy, "a", "/x//./y"), 200);
    assert_eq!(backend.seen().pop().expect("one").path(), "/x//./y", "as it came");
    let strict = crate::support::proxy::proxy(&toml("ambiguous = \"refuse\"\n"));
    assert_eq!(post(&strict, "a", "/x%2fy"), 400);
    assert_eq!(post(&strict, "a", "/x/y"), 200);
}

#[test]
fn nobody_else_speaks_in_the_proxys_name_and_a_proxy_status_stays() {
    let backend = Upstream::start(bytes(
        "HTTP/1.1 200 OK\r\nX-Strop-Reason: forged\r\nProxy-Status: cdn; error=timeout\r\nContent-Length: 2\r\n\r\nok",
        true,
    ));
    let proxy = ingress_to(backend.address, "");
    let text =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Strop-Degraded: 1\r\nx-stropped: 1\r\nConnection: close\r\n\r\n";
    let answer = ask(proxy.ingress(), text);
    assert_eq!(answer.field("x-strop-reason"), None);
    assert_eq!(answer.field("proxy-status"), Some("cdn; error=timeout"));
    let seen = backend.seen().pop().expect("one");
    assert!(seen.fields("x-strop-degraded").is_empty() && seen.fields("x-stropped") == ["1"], "{seen:?}");
}

/// Python's http.client and Go send all of a body before they read.
#[test]
fn an_answer_that_comes_early_reaches_a_client_that_sends_all_of_its_body_first() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [[routes]]
            prefix = "/"
            name = "all"
            body_limit = "1KiB"
        "#,
        backend.address
    ));
    let mut stream = std::net::TcpStream::connect(proxy.ingress()).expect("connects");
    let length = 24 << 20;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("sends");
    let block = vec![b'x'; 1 << 20];
    for _ in 0..24 {
        // Slower than a second in all.
        crate::support::pace(Duration::from_millis(60));
        stream.write_all(&block).expect("no broken pipe");
    }
    let mut client = Client::to(proxy.ingress());
    client.stream = stream;
    client.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("sets");
    assert_eq!(client.response(false).map(|answer| answer.status), Some(413));
}
