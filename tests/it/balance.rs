use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::get;
use crate::support::upstream::{Upstream, bytes, status};

fn two(a: &Upstream, b: &Upstream, more: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}", "{}"]
            {more}
        "#,
        a.address, b.address
    ))
}

#[test]
fn both_endpoints_are_used() {
    let (a, b) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let proxy = two(&a, &b, "");
    eventually("both have answered", || {
        assert_eq!(get(proxy.ingress(), "/").status, 200);
        a.hits() > 5 && b.hits() > 5
    });
}

#[test]
fn a_dead_endpoint_costs_no_request() {
    let (a, b) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let proxy = two(&a, &b, "");
    let address = b.address;
    drop(b);
    eventually("it is gone", || std::net::TcpStream::connect(address).is_err());
    for n in 0..60 {
        assert_eq!(get(proxy.ingress(), "/").status, 200, "request {n}");
    }
    assert_eq!(a.hits(), 60);
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn an_endpoint_that_fails_fast_is_not_taken_for_a_fast_one() {
    let (good, bad) = (Upstream::start(status(200)), Upstream::start(status(500)));
    let proxy = two(&good, &bad, "breaker = { enabled = false }\n");
    for _ in 0..100 {
        get(proxy.ingress(), "/");
    }
    assert!(bad.hits() < 20, "{} of 100 went to the failing one", bad.hits());
}

#[test]
fn checks_take_an_endpoint_out_and_bring_it_back() {
    let (a, b) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let checks =
        "health = { path = \"/up\", interval = \"50ms\", suspect_interval = \"50ms\", fall = 2, rise = 2 }\n";
    let proxy = two(&a, &b, checks);
    let healthy = || proxy.metric("upstream_endpoint_healthy", "upstream=\"backend\"");
    eventually("both are checked", || healthy() == 2.0);
    b.answer(status(503));
    eventually("the ill one is out", || healthy() == 1.0);
    let served = |upstream: &Upstream| upstream.seen().iter().filter(|seen| seen.path() == "/").count();
    let before = served(&b);
    for _ in 0..30 {
        assert_eq!(get(proxy.ingress(), "/").status, 200);
    }
    assert_eq!(served(&b), before, "an unhealthy endpoint is not asked");
    let shown = proxy.sre("upstreams/backend");
    assert_eq!(shown["endpoints"].as_array().expect("a list").len(), 2, "{shown}");
    b.answer(status(200));
    eventually("it is back", || healthy() == 2.0);
}

#[test]
fn a_bad_answer_brings_the_next_check_forward() {
    let (a, b) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let checks = "health = { path = \"/up\", interval = \"1h\", suspect_interval = \"50ms\", fall = 1, rise = 1 }\n\
                  breaker = { enabled = false }\n";
    let proxy = two(&a, &b, checks);
    let checked = |upstream: &Upstream| upstream.seen().iter().any(|seen| seen.path() == "/up");
    eventually("both were checked once", || checked(&a) && checked(&b));
    b.answer(status(500));
    eventually("the next check does not wait an hour", || {
        get(proxy.ingress(), "/");
        proxy.metric("upstream_endpoint_healthy", "upstream=\"backend\"") == 1.0
    });
}

#[test]
fn a_check_whose_answer_comes_together_with_the_end_of_its_connection_has_passed() {
    let closing = bytes("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nup", false);
    let backend = Upstream::start(closing);
    let health = "health = { path = \"/up\", interval = \"10ms\", suspect_interval = \"10ms\", fall = 1 }\n";
    let proxy = ingress_to(backend.address, health);
    eventually("it is checked often", || backend.hits() > 100);
    let log = proxy.log.lock().expect("not poisoned");
    let ill: Vec<&String> = log.iter().filter(|line| line.contains("endpoint health")).collect();
    assert!(ill.is_empty(), "{ill:?}");
}

#[test]
fn an_upstream_that_speaks_only_http2_is_checked_in_http2() {
    let origin = Upstream::start(status(200));
    // The first proxy makes an h2c server of it, the second one checks that.
    let server = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        origin.address
    ));
    let front = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            protocol = "h2"
            health = {{ path = "/up", interval = "50ms" }}
        "#,
        server.ingress()
    ));
    let checked = || origin.seen().iter().filter(|seen| seen.path() == "/up").count();
    eventually("it is checked more than once", || checked() > 2);
    assert_eq!(front.metric("upstream_endpoint_healthy", "upstream=\"backend\""), 1.0);
    assert!(origin.seen().iter().all(|seen| seen.fields("via") == ["2 strop"]), "{:?}", origin.seen());
    assert_eq!(get(front.ingress(), "/x").text(), "200 /x\n");
}

#[test]
fn checks_that_always_fail_keep_nobody_from_a_service_that_answers() {
    let (a, b) = (Upstream::start(checked_wrongly()), Upstream::start(checked_wrongly()));
    let checks = "breaker = { mode = \"on\" }\n\
                  health = { path = \"/wrong\", interval = \"10ms\", suspect_interval = \"10ms\", fall = 1 }\n";
    let proxy = two(&a, &b, checks);
    let healthy = || proxy.metric("upstream_endpoint_healthy", "upstream=\"backend\"");
    eventually("both fail their checks", || healthy() == 0.0 && a.hits() > 2 && b.hits() > 2);
    for _ in 0..100 {
        assert_eq!(proxy.get("/").status, 200, "the last ones are asked all the same");
    }
    assert_eq!(proxy.breaker("backend"), "closed");
}

/// Well, but for the path that a check asks for.
fn checked_wrongly() -> std::sync::Arc<crate::support::upstream::Answer> {
    std::sync::Arc::new(|seen, stream| status(if seen.path() == "/wrong" { 404 } else { 200 })(seen, stream))
}

#[test]
fn a_request_waits_for_a_backend_that_restarts_when_that_is_asked_for() {
    let backend = Upstream::start(status(200));
    let address = backend.address;
    let proxy = ingress_to(address, "retry = { wait = \"30s\" }\n");
    backend.kill();
    eventually("it is gone", || std::net::TcpStream::connect(address).is_err());
    let asked: Vec<_> = ["GET", "POST"]
        .map(|method| {
            let (ingress, request) =
                (proxy.ingress(), format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
            std::thread::spawn(move || {
                let answer = crate::support::raw::ask(ingress, &request);
                (answer.status, answer.field("x-strop-reason").map(str::to_owned))
            })
        })
        .into();
    eventually("both were tried in vain", || {
        proxy.metric("upstream_requests_total", "upstream=\"backend\",verdict=\"connect\"") >= 4.0
    });
    let again = Upstream::on(address, status(200));
    let answers: Vec<_> = asked.into_iter().map(|asked| asked.join().expect("it ends")).collect();
    assert_eq!(answers, [(200, None), (200, None)], "nobody was refused");
    assert_eq!(again.hits(), 2, "and nothing was sent twice");
}
