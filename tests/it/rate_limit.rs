//! How often one client may ask.

use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::{self, Client};
use crate::support::upstream::{Upstream, status};

fn limited(backend: &Upstream, limit: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [[routes]]
            name = "login"
            prefix = "/login"
            rate_limit = {{ {limit} }}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    ))
}

#[test]
fn a_client_that_asks_too_often_reads_how_often_it_may_and_others_go_on() {
    let backend = Upstream::start(status(200));
    let proxy = limited(&backend, "requests = 5, per = \"1h\"");
    for _ in 0..5 {
        assert_eq!(proxy.get("/login").status, 200);
    }
    let refused = proxy.get("/login");
    assert_eq!((refused.status, refused.field("x-strop-reason")), (429, Some("rate_limited")));
    assert_eq!(refused.field("ratelimit-policy"), Some("\"client\";q=5;w=3600"));
    let wait: u64 = refused.field("retry-after").expect("when").parse().expect("seconds");
    assert!((3_000..=7_200).contains(&wait), "{wait}");
    assert_eq!(refused.field("ratelimit"), Some(&*format!("\"client\";r=0;t={wait}")));
    assert!(refused.field("proxy-status").is_some_and(|told| told.contains("http_request_denied")));
    assert_eq!(backend.hits(), 5);
    assert_eq!(
        Client::from(9, proxy.ingress())
            .send(b"GET /login HTTP/1.1\r\nHost: a\r\n\r\n")
            .head()
            .expect("one")
            .0,
        200
    );
    assert_eq!(proxy.get("/other").status, 200, "another route");
    assert_eq!(proxy.metric("strop_rate_limited_total", "login"), 1.0);
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn clients_are_told_apart_by_a_field_where_one_is_named() {
    let backend = Upstream::start(status(200));
    let proxy = limited(&backend, "requests = 2, per = \"1h\", header = \"X-Api-Key\"");
    let ask = |key: &str| {
        raw::ask(proxy.ingress(), &format!("GET /login HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\n\r\n"))
            .status
    };
    assert_eq!([ask("one"), ask("one"), ask("one")], [200, 200, 429]);
    assert_eq!(ask("two"), 200);
}

#[test]
fn in_shadow_nobody_is_refused() {
    let backend = Upstream::start(status(200));
    let proxy = limited(&backend, "requests = 2, per = \"1h\", mode = \"shadow\"");
    assert!((0..6).all(|_| proxy.get("/login").status == 200));
    assert_eq!(proxy.metric("strop_rate_limit_shadow_refused_total", "login"), 4.0);
}
