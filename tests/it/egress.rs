use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::{Client, ask};
use crate::support::upstream::{Upstream, status};

fn egress(vendor: &Upstream, more: &str) -> Proxy {
    egress_to(vendor.address, more)
}

fn egress_to(vendor: SocketAddr, more: &str) -> Proxy {
    proxy(&format!(
        r#"
            [egress]
            listen = "127.0.0.1:0"
            {more}
            [upstreams.stripe]
            hosts = ["api.stripe.com", "*.stripe.example"]
            endpoints = ["{0}"]
            local = "127.0.0.1:0"
            allow_addresses = ["127.0.0.0/8"]
            [upstreams.inside]
            hosts = ["inside.example"]
            endpoints = ["{0}"]
        "#,
        vendor
    ))
}

#[test]
fn the_forward_proxy_finds_upstreams_by_host() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    for host in ["api.stripe.com", "API.Stripe.COM", "eu.stripe.example"] {
        let answer = ask(proxy.egress(), &format!("GET http://{host}/v1 HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, 200, "{host}");
    }
    let seen = vendor.seen().remove(0);
    assert_eq!((seen.path(), seen.fields("host")), ("/v1", vec!["api.stripe.com"]));
    assert!(seen.fields("x-forwarded-for").is_empty(), "a vendor need not know who asked");
}

#[test]
fn an_ipv6_address_in_hosts_is_found_in_any_spelling() {
    let vendor = Upstream::start(status(200));
    for listed in ["[2001:db8::7]", "2001:DB8:0:0::7", "[2001:db8:0::0007]"] {
        let text = format!(
            r#"
                [egress]
                listen = "127.0.0.1:0"
                [upstreams.v6]
                hosts = ["{listed}"]
                endpoints = ["{}"]
                allow_addresses = ["127.0.0.0/8"]
            "#,
            vendor.address
        );
        let proxy = proxy(&text);
        for host in ["[2001:db8::7]", "[2001:DB8::7]", "[2001:db8:0:0:0:0:0:7]", "[2001:db8::7]:80"] {
            let answer = ask(proxy.egress(), &format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(answer.status, 200, "{listed} is {host}");
        }
        let mut client = Client::to(proxy.egress());
        client.send(b"CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\n\r\n");
        assert_eq!(client.head().map(|(status, _)| status), Some(200));
        let answer = ask(proxy.egress(), "GET http://[2001:db8::8]/ HTTP/1.1\r\nHost: [2001:db8::8]\r\n\r\n");
        assert_eq!(answer.field("x-strop-reason"), Some("unlisted_host"));
    }
}

#[test]
fn hosts_that_nobody_lists_are_denied_and_told_so() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    let answer = ask(proxy.egress(), "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (403, Some("unlisted_host")));
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    assert!(
        answer
            .field("proxy-status")
            .is_some_and(|status| status.starts_with("strop; error=http_request_denied"))
    );
    assert!(answer.field("x-request-id").is_some());
    let answer = ask(proxy.egress(), "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n");
    assert_eq!(answer.status, 403);
}

#[test]
fn the_address_guard_refuses_what_is_not_allowed() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "unlisted = \"allow\"");
    let answer = ask(proxy.egress(), "GET http://inside.example/ HTTP/1.1\r\nHost: inside.example\r\n\r\n");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (502, Some("no_address")));
    for target in [
        format!("http://{}/", vendor.address),
        "http://169.254.169.254/latest".to_owned(),
        "http://localhost:1/".to_owned(),
        "http://[::ffff:127.0.0.1]:80/".to_owned(),
    ] {
        let answer = ask(proxy.egress(), &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(
            (answer.status, answer.field("x-strop-reason")),
            (403, Some("forbidden_address")),
            "{target}"
        );
    }
    assert_eq!(vendor.hits(), 0);
}

#[test]
fn a_tunnel_carries_bytes_and_is_measured() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    let mut client = Client::to(proxy.egress());
    client.send(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n");
    assert_eq!(client.head().expect("answered").0, 200);
    for _ in 0..3 {
        client.send(b"GET /inside HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response(false).expect("answered").text(), "200 /inside\n");
    }
    // An established tunnel survives a reload.
    let text = std::fs::read_to_string(proxy.path()).expect("reads");
    assert_eq!(proxy.reload(&text.replace("*.stripe.example", "*.other.example")).status, 200);
    client.send(b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response(false).expect("answered").text(), "200 /after\n");
    drop(client);
    crate::support::eventually("the tunnel is counted", || {
        proxy.metric("tunnel_connect_seconds_count", "upstream=\"stripe\"") == 1.0
    });
    assert!(proxy.metric("tunnel_bytes_total", "direction=\"down\"") > 100.0);
}

#[test]
fn a_stream_of_an_http2_client_is_a_tunnel_as_well() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    let mut client = crate::support::h2::H2Client::to(proxy.egress());
    let connect = |to: &str| http::Request::connect(to).body(()).expect("a request");
    let inside = "GET /inside HTTP/1.1\r\nHost: a\r\n\r\n";
    let tunnels: Vec<_> = (0..3)
        .map(|_| client.ask(connect("api.stripe.com:443"), Some(inside.into())).expect("sent"))
        .collect();
    for tunnel in tunnels {
        let answer = client.answer(tunnel).expect("whole");
        assert_eq!(answer.status, 200);
        assert!(answer.text().ends_with("200 /inside\n"), "{}", answer.text());
    }
    crate::support::eventually("all three are counted", || {
        proxy.metric("tunnel_connect_seconds_count", "upstream=\"stripe\"") == 3.0
    });
    let refused = client.ask(connect("evil.example:443"), None).expect("sent");
    assert_eq!(client.answer(refused).expect("answered").status, 403);
}

/// What the forward proxy is asked for is not taken for something else, whichever version asks.
#[test]
fn a_scheme_that_is_not_of_http_is_refused() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    let by_http1 = ask(proxy.egress(), "GET ftp://api.stripe.com/ HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n");
    assert_eq!((by_http1.status, by_http1.field("x-strop-reason")), (400, Some("bad_target")));
    let mut peer = crate::support::h2raw::H2Raw::to(proxy.egress());
    for (stream, scheme, status) in [(1, "ftp", 400), (3, "HTTP", 200)] {
        let start =
            [(":method", "GET"), (":scheme", scheme), (":path", "/"), (":authority", "api.stripe.com")];
        peer.head(stream, crate::support::h2raw::flag::END_STREAM, &start);
        assert_eq!(peer.answer(stream).0, status, "{scheme}");
    }
    assert_eq!(vendor.hits(), 1);
}

#[test]
fn the_handshake_of_a_tunnel_is_measured_where_it_begins_like_one() {
    let vendor = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = egress_to(vendor.local_addr().expect("bound"), "");
    let tunnel = |first: &[u8]| {
        let mut client = Client::to(proxy.egress());
        client.send(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n");
        assert_eq!(client.head().expect("answered").0, 200);
        let (mut far, _) = vendor.accept().expect("reached");
        let mut heard = [0; 5];
        client.send(first);
        far.read_exact(&mut heard).expect("the first flight");
        far.write_all(b"flight").expect("writes");
        assert_eq!(client.exactly(6).as_deref(), Some(&b"flight"[..]));
        client.send(b"last!");
        far.read_exact(&mut heard).expect("the second flight");
    };
    let count = |name: &str| proxy.metric(&format!("tunnel_{name}_seconds_count"), "upstream=\"stripe\"");
    tunnel(&[22, 3, 1, 0, 1]);
    crate::support::eventually("the tunnel is counted", || count("connect") == 1.0);
    assert_eq!(count("tls_handshake"), 1.0);
    tunnel(b"plain");
    crate::support::eventually("the other one is counted", || count("connect") == 2.0);
    assert_eq!(count("tls_handshake"), 1.0);
}

#[test]
fn tunnels_that_cannot_connect_trip_the_breaker() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    vendor.kill();
    let connect = "CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com:443\r\n\r\n";
    crate::support::eventually("the vendor is gone", || {
        std::net::TcpStream::connect(vendor.address).is_err()
    });
    let mut reasons = Vec::new();
    // Refusals within a second are one event, so it takes a few.
    crate::support::eventually("the breaker opens", || {
        reasons.push(ask(proxy.egress(), connect).field("x-strop-reason").unwrap_or_default().to_owned());
        reasons.last().is_some_and(|reason| reason == "breaker_open")
    });
    reasons.pop();
    assert!(reasons.len() >= 3 && reasons.iter().all(|reason| reason == "connect_failed"), "{reasons:?}");
}

#[test]
fn the_local_listener_speaks_to_its_vendor_alone() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    let answer = ask(
        proxy.at("local:stripe"),
        "POST /v1/charges HTTP/1.1\r\nHost: 127.0.0.1:9101\r\nContent-Length: 2\r\n\r\n{}",
    );
    assert_eq!(answer.status, 200);
    let seen = vendor.seen().remove(0);
    assert_eq!(seen.fields("host"), [vendor.address.to_string()], "the vendor sees its own name");
}

#[test]
fn connect_is_not_served_at_the_ingress() {
    let backend = Upstream::start(status(200));
    let proxy = crate::support::proxy::ingress_to(backend.address, "");
    let answer = ask(proxy.ingress(), "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n");
    assert_eq!((answer.status, backend.hits()), (405, 0));
}

#[test]
fn a_listed_host_is_reached_at_its_own_ports_alone() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    let own = vendor.address.port();
    for (target, wanted) in [
        ("CONNECT api.stripe.com:22".to_owned(), 403),
        ("GET http://api.stripe.com:8080/".to_owned(), 403),
        (format!("GET http://api.stripe.com:{own}/"), 200),
        ("GET http://api.stripe.com:80/".to_owned(), 200),
    ] {
        let answer = ask(proxy.egress(), &format!("{target} HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n"));
        assert_eq!(answer.status, wanted, "{target}");
        if wanted == 403 {
            assert_eq!(answer.field("x-strop-reason"), Some("unlisted_port"), "{target}");
        }
    }
}

#[test]
fn nothing_leaves_in_the_clear_where_tls_is_spoken_unless_it_is_upgraded() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("generates");
    let (cert, key) = (dir.path().join("v.pem"), dir.path().join("v.key"));
    std::fs::write(&cert, made.cert.pem()).expect("writes");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
    let origin = Upstream::start(status(200));
    let vendor = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            tls = {{ cert_file = "{}", key_file = "{}" }}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        cert.display(),
        key.display(),
        origin.address
    ));
    let upstream = |name: &str, more: &str| {
        format!(
            r#"
                [upstreams.{name}]
                hosts = ["{name}.example"]
                endpoints = ["localhost:{}"]
                allow_addresses = ["127.0.0.1"]
                tls = {{ ca_file = "{}" }}
                {more}
            "#,
            vendor.ingress().port(),
            cert.display()
        )
    };
    let sidecar = proxy(&format!(
        "[egress]\nlisten = \"127.0.0.1:0\"\n{}{}",
        upstream("strict", ""),
        upstream("upgraded", "upgrade_tls = true\n")
    ));
    let get = |target: &str| ask(sidecar.egress(), &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
    let refused = get("http://strict.example/a");
    assert_eq!((refused.status, refused.field("x-strop-reason")), (403, Some("plain_http_refused")));
    assert_eq!(origin.hits(), 0);
    assert_eq!(get("https://strict.example/b").text(), "200 /b\n");
    assert_eq!(get("http://upgraded.example/c").text(), "200 /c\n");
    assert_eq!(origin.seen()[1].fields("x-forwarded-proto"), ["https"]);
}

#[test]
fn an_https_target_is_not_sent_in_the_clear() {
    let vendor = Upstream::start(status(200));
    let proxy = egress(&vendor, "");
    let answer = ask(proxy.egress(), "GET https://api.stripe.com/ HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n");
    assert_eq!((answer.status, answer.field("x-strop-reason")), (403, Some("tls_not_configured")));
    assert_eq!(vendor.hits(), 0);
}

#[test]
fn a_tunnel_to_an_unlisted_host_leads_to_the_ports_that_are_listed() {
    let toml = |policy: &str, more: &str| {
        format!(
            r#"
                [egress]
                listen = "127.0.0.1:0"
                unlisted = "{policy}"
                {more}
            "#
        )
    };
    let connect = "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n";
    let reason = |proxy: &crate::support::proxy::Proxy| {
        let answer = ask(proxy.egress(), connect);
        (answer.status, answer.field("x-strop-reason").unwrap_or_default().to_owned())
    };
    let allowing = crate::support::proxy::proxy(&toml("allow", ""));
    assert_eq!(reason(&allowing), (403, "unlisted_port".to_owned()));
    // What is asked for is loopback: behind the ports the address guard stands.
    let wider = crate::support::proxy::proxy(&toml("allow", "ports = [22]\n"));
    assert_eq!(reason(&wider).0, 403);
    assert_ne!(reason(&wider).1, "unlisted_port");
    let telling = crate::support::proxy::proxy(&toml("report", ""));
    assert_ne!(reason(&telling).1, "unlisted_port");
    crate::support::eventually("it is told", || {
        telling.log.lock().expect("not poisoned").iter().any(|line| line.contains("127.0.0.1:22"))
    });
}
