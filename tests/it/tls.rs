use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::support::proxy::{Proxy, proxy};
use crate::support::raw;
use crate::support::secure::{Issued, TlsFront, issue, issue_until};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, within};

struct Pair {
    cert: std::path::PathBuf,
    key: std::path::PathBuf,
}

fn write_pair(dir: &std::path::Path, name: &str) -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("generates");
    let pair = Pair { cert: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    std::fs::write(&pair.cert, made.cert.pem()).expect("writes");
    std::fs::write(&pair.key, made.signing_key.serialize_pem()).expect("writes");
    pair
}

fn curl(args: &[&str]) -> (bool, String) {
    let ran = Command::new("curl")
        .args(["-sS", "-m", "20"])
        .args(args)
        .output()
        .expect("curl: run tests/setup first");
    (
        ran.status.success(),
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr),
    )
}

/// An ingress that ends TLS for a server that speaks none.
fn ends_tls(pair: &Pair, plain: SocketAddr) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            tls = {{ cert_file = "{}", key_file = "{}" }}
            [upstreams.backend]
            endpoints = ["{plain}"]
        "#,
        pair.cert.display(),
        pair.key.display(),
    ))
}

#[test]
fn tls_ends_at_the_ingress_in_both_versions_and_its_certificate_is_replaced_in_use() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = write_pair(dir.path(), "one");
    let backend = Upstream::start(status(200));
    let proxy = ends_tls(&pair, backend.address);
    let url = format!("https://localhost:{}/x", proxy.ingress().port());
    let trust = |pair: &Pair| pair.cert.display().to_string();
    for version in ["--http1.1", "--http2"] {
        let (ok, out) = curl(&[version, "--cacert", &trust(&pair), "-w", " %{http_version}", &url]);
        assert!(ok && out.starts_with("200 /x"), "{version}: {out}");
        assert!(out.ends_with(if version == "--http2" { "2" } else { "1.1" }), "{out}");
    }
    assert_eq!(backend.seen()[0].fields("x-forwarded-proto"), ["https"]);
    let other = write_pair(dir.path(), "two");
    assert!(!curl(&["--cacert", &trust(&other), &url]).0);
    std::fs::copy(&other.key, &pair.key).expect("copies");
    std::fs::copy(&other.cert, &pair.cert).expect("copies");
    eventually("the new certificate is served", || curl(&["--cacert", &trust(&other), &url]).0);
}

#[test]
fn a_stop_waits_for_no_hello_that_does_not_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = write_pair(dir.path(), "one");
    let backend = Upstream::start(status(200));
    let mut proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            tls = {{ cert_file = {:?}, key_file = {:?} }}
            limits = {{ header_read = "5m" }}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        pair.cert, pair.key, backend.address
    ));
    let mut silent = raw::Client::to(proxy.ingress());
    let waiting = || proxy.metric("strop_listener_connections", "listener=\"ingress\"") > 0.0;
    eventually("it is accepted", waiting);
    proxy.signal("TERM");
    assert!(silent.rest().is_empty(), "long before five minutes");
    eventually("it ends", || proxy.ended() == Some(0));
}

#[test]
fn http2_clients_are_served_without_tls_too() {
    let backend = Upstream::start(status(200));
    let proxy = crate::support::proxy::ingress_to(backend.address, "");
    let url = format!("http://{}/h2", proxy.ingress());
    let (ok, out) = curl(&["--http2-prior-knowledge", "-w", " %{http_version}", "-d", "body", &url]);
    assert!(ok && out == "200 /h2\n 2", "{out}");
    let seen = backend.seen().remove(0);
    assert_eq!(
        (seen.fields("host"), seen.body.as_slice()),
        (vec![proxy.ingress().to_string().as_str()], &b"body"[..])
    );
}

#[test]
fn the_local_listener_verifies_its_vendor() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = write_pair(dir.path(), "vendor");
    let origin = Upstream::start(status(200));
    // A second proxy ends TLS for the vendor.
    let vendor = ends_tls(&pair, origin.address);
    let port = vendor.ingress().port();
    let upstream = |name: &str, tls: &str| {
        format!(
            r#"
                [upstreams.{name}]
                endpoints = ["localhost:{port}"]
                local = "127.0.0.1:0"
                allow_addresses = ["127.0.0.1"]
                {tls}
            "#
        )
    };
    let ca = pair.cert.display();
    let sidecar = proxy(&format!(
        "{}{}{}",
        upstream("trusted", &format!("via = true\ntls = {{ ca_file = \"{ca}\" }}")),
        upstream("stranger", "tls = true"),
        upstream("misnamed", &format!("tls = {{ ca_file = \"{ca}\", server_name = \"other.example\" }}")),
    ));
    let get = |name: &str| crate::support::raw::get(sidecar.at(&format!("local:{name}")), "/v1");
    assert_eq!(get("trusted").text(), "200 /v1\n");
    let seen = origin.seen().remove(0);
    assert_eq!(seen.fields("x-forwarded-host"), [format!("localhost:{port}")]);
    assert_eq!(seen.fields("via").len(), 2, "by HTTP/2 between the two: {seen:?}");
    for name in ["stranger", "misnamed"] {
        let answer = get(name);
        assert_eq!((answer.status, answer.field("x-strop-reason")), (502, Some("tls_failed")), "{name}");
    }
}

#[test]
fn a_client_that_waits_for_100_is_told_to_go_on_where_the_upstream_speaks_http2() {
    let origin = Upstream::start(status(200));
    let server = crate::support::proxy::ingress_to(origin.address, "");
    let front = crate::support::proxy::ingress_to(server.ingress(), "protocol = \"h2\"\n");
    let mut client = crate::support::raw::Client::to(front.ingress());
    client.send(b"POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().expect("interim").0, 100);
    client.send(b"hello");
    assert_eq!(client.response(false).expect("answered").status, 200);
    assert_eq!(origin.seen()[0].body, b"hello");
    eventually("the bytes are counted", || {
        front.metric("http_body_bytes_total", "direction=\"received\"") == 5.0
    });
}

fn vendor(front: std::net::SocketAddr, tls: &str) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["localhost:{}"]
            protocol = "http1"
            {tls}
        "#,
        front.port()
    )
}

/// No request goes on in the clear, nor to whom the roots of today do not vouch for, over a connection of yesterday.
#[test]
fn what_a_reload_says_of_tls_holds_for_the_next_request() {
    let plain = Upstream::start(status(200));
    let (issued, other) = (issue(&["localhost"]), issue(&["localhost"]));
    let trusting = |issued: &Issued, more: &str| format!("tls = {{ ca_file = {:?}{more} }}", issued.ca);
    let in_the_clear = proxy(&vendor(plain.address, "tls = false"));
    assert_eq!(in_the_clear.get("/").status, 200);
    assert_eq!(in_the_clear.reload(&vendor(plain.address, &trusting(&issued, ""))).status, 200);
    assert_eq!(in_the_clear.get("/").status, 502, "it does not speak TLS");
    let front = TlsFront::start(&issued, plain.address);
    for refused in
        [trusting(&other, ""), trusting(&issued, ", server_name = \"else.example\""), "tls = true".to_owned()]
    {
        let proxy = proxy(&vendor(front.address, &trusting(&issued, ", only_ca_file = true")));
        for _ in 0..3 {
            assert_eq!(proxy.get("/").status, 200);
        }
        assert_eq!(proxy.reload(&vendor(front.address, &refused)).status, 200);
        assert_eq!(proxy.get("/").status, 502, "{refused}");
    }
}

#[test]
fn roots_that_are_replaced_in_their_file_hold_from_then_on() {
    let plain = Upstream::start(status(200));
    let (issued, other) = (issue(&["localhost"]), issue(&["localhost"]));
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("roots.pem");
    std::fs::copy(&issued.ca, &file).expect("copies");
    let front = TlsFront::start(&issued, plain.address);
    let proxy = proxy(&vendor(front.address, &format!("tls = {{ ca_file = {file:?} }}")));
    assert_eq!(proxy.get("/").status, 200);
    std::fs::copy(&other.ca, &file).expect("copies");
    eventually("the kept connection is not used any more", || proxy.get("/").status == 502);
    std::fs::copy(&issued.ca, &file).expect("copies");
    eventually("and then it is trusted again", || proxy.get("/").status == 200);
}

#[test]
fn what_cannot_be_used_for_tls_is_told_before_it_is_needed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (pair, other) = (write_pair(dir.path(), "one"), write_pair(dir.path(), "two"));
    let nonsense = dir.path().join("nonsense.pem");
    std::fs::write(&nonsense, "no certificate").expect("writes");
    let ingress = |cert: &std::path::Path, key: &std::path::Path| {
        format!(
            r#"
                [ingress]
                tls = {{ cert_file = {cert:?}, key_file = {key:?} }}
                [upstreams.backend]
                endpoints = ["127.0.0.1:1"]
            "#
        )
    };
    let upstream = |tls: &str| {
        format!(
            r#"
                [ingress]
                [upstreams.backend]
                endpoints = ["127.0.0.1:1"]
                tls = {{ {tls} }}
            "#
        )
    };
    let check = |text: &str, env: &[(&str, &str)]| {
        let file = dir.path().join("strop.toml");
        std::fs::write(&file, text).expect("writes");
        let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
        let ran = command.arg("check").arg(&file).envs(env.iter().copied()).output().expect("runs");
        (ran.status.code(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    assert_eq!(check(&ingress(&pair.cert, &pair.key), &[]).0, Some(0));
    let ca = |file: &std::path::Path| format!("ca_file = {file:?}");
    for (text, env, told) in [
        (ingress(&pair.cert, &other.key), None, "cannot be used together"),
        (ingress(&nonsense, &pair.key), None, "holds no certificate"),
        (ingress(&pair.cert, &nonsense), None, "holds no private key"),
        (upstream(&ca(&nonsense)), None, "upstreams.backend.tls"),
        (upstream("server_name = \"not a name\""), None, "is not a name that TLS can verify"),
        (upstream(""), Some("/nowhere/roots.pem"), "is named by SSL_CERT_FILE and cannot be used"),
        (upstream("only_ca_file = true"), None, "trusts nobody"),
    ] {
        let env: Vec<_> = env.map(|file| ("SSL_CERT_FILE", file)).into_iter().collect();
        let (code, said) = check(&text, &env);
        assert!(code == Some(2) && said.contains(told), "{text}: {said}");
    }
    // A reload refuses it too, and goes on with what it has.
    let backend = Upstream::start(status(200));
    let proxy = proxy(&vendor(backend.address, ""));
    let refused = proxy.reload(&vendor(backend.address, &format!("tls = {{ {} }}", ca(&nonsense))));
    assert!(refused.status == 422 && refused.text().contains("upstreams.backend.tls"), "{}", refused.text());
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn a_listeners_certificate_is_listed_with_its_days_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let pair = write_pair(dir.path(), "one");
    let backend = Upstream::start(status(200));
    let proxy = ends_tls(&pair, backend.address);
    let listeners = proxy.sre("infrastructure")["listeners"].as_array().expect("a list").clone();
    let of = |name: &str| listeners.iter().find(|one| one["name"] == name).expect("listed").clone();
    assert_eq!((of("ingress")["tls"].as_bool(), of("admin")["tls"].as_bool()), (Some(true), Some(false)));
    assert_eq!(of("ingress")["address"], proxy.ingress().to_string());
    assert_eq!(of("admin")["address"], proxy.admin().to_string());
    // It is looked at every ten seconds.
    within(Duration::from_secs(60), "it is looked at", || {
        proxy.sre("infrastructure")["certificates"][0]["listener"] == "ingress"
    });
    let told = proxy.sre("infrastructure")["certificates"][0].clone();
    assert!(told["validity"] == "valid" && told["days_left"].as_u64() > Some(365), "{told}");
}

#[test]
fn what_an_upstream_shows_is_listed_once_it_was_shown_and_is_no_incident() {
    let plain = Upstream::start(status(200));
    let issued = issue_until(&["vendor.localhost"], 5);
    let front = TlsFront::start(&issued, plain.address);
    let upstream = |name: &str, tls: &str| {
        format!(
            "[upstreams.{name}]\nendpoints = [\"vendor.localhost:{}\"]\nlocal = \"127.0.0.1:0\"\n\
             allow_addresses = [\"127.0.0.0/8\"]\ntls = {tls}\n",
            front.address.port()
        )
    };
    let trusts = format!("{{ ca_file = {:?} }}", issued.ca);
    let toml = upstream("stranger", "true") + &upstream("vendor", &trusts);
    let proxy = proxy(&toml);
    let shown = |name: &str| {
        let told = proxy.sre("infrastructure");
        let all = told["upstream_certificates"].as_array().expect("a list").clone();
        all.into_iter().find(|one| one["upstream"] == name).expect("it is listed")
    };
    let before = shown("vendor");
    assert_eq!(
        (&before["host"], &before["validity"]),
        (&"vendor.localhost".into(), &"not_observable".into())
    );
    for field in ["valid_from", "valid_until", "days_left", "seen_at"] {
        assert!(before[field].is_null(), "nothing was shown yet: {before:#}");
    }
    let family = "strop_upstream_certificate_expiry_timestamp_seconds";
    assert!(!proxy.admin_get("/metrics").text().contains(family));
    for name in ["vendor", "stranger"] {
        let answer = raw::get(proxy.at(&format!("local:{name}")), "/");
        assert_eq!(answer.status == 200, name == "vendor", "{name}: {}", answer.text());
    }
    let after = shown("vendor");
    let days = after["days_left"].as_u64().expect("it was shown");
    assert!((4..=5).contains(&days) && after["validity"] == "valid", "{after:#}");
    assert!(after["valid_until"].is_string() && after["seen_at"].is_string(), "{after:#}");
    assert_eq!(shown("stranger")["validity"], "not_observable", "what was refused is not believed");
    assert!(proxy.metric(family, "upstream=\"vendor\",host=\"vendor.localhost\"") > 1e9);
    assert_eq!(proxy.reload(&format!("{toml}retry = {{ attempts = 1 }}\n")).status, 200);
    assert_eq!(shown("vendor")["days_left"], days, "a reload does not forget it");
    // A look of the engine that has seen all of it.
    let at = proxy.sre("alerts")["observed_at"].clone();
    eventually("it is looked at again", || proxy.sre("alerts")["observed_at"] != at);
    let alerts = proxy.sre("alerts").to_string();
    assert!(!alerts.contains("certificate"), "its owner has to renew it: {alerts}");
}
