use std::sync::Arc;

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy, proxy_in};
use crate::support::upstream::{Upstream, status};

/// The live incident about a condition of Strop's own, by its title.
fn incident(proxy: &Proxy, title: &str) -> Option<serde_json::Value> {
    let all = proxy.sre("incidents")["incidents"].as_array()?.clone();
    all.into_iter().find(|one| one["title"].as_str().is_some_and(|told| told.contains(title)))
}

fn says_what_to_do(proxy: &Proxy, incident: &serde_json::Value) -> bool {
    let id = incident["id"].as_str().expect("an id");
    proxy.sre(&format!("incidents/{id}"))["timeline"].to_string().contains("what_to_do")
}

#[test]
fn a_config_that_was_refused_is_an_incident_until_it_is_mended() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(
        backend.address,
        r#"
            [incidents]
            clear_after = "1s"
        "#,
    );
    let good = std::fs::read_to_string(proxy.path()).expect("reads");
    std::fs::write(proxy.path(), format!("{good}\nbogus = 1\n")).expect("writes");
    let mut found = None;
    eventually("it is suspected", || {
        found = incident(&proxy, "the config file was refused");
        found.is_some()
    });
    let found = found.expect("just seen");
    assert_eq!(found["severity"], "medium", "{found}");
    assert!(says_what_to_do(&proxy, &found));
    std::fs::write(proxy.path(), &good).expect("writes");
    eventually("it is over", || incident(&proxy, "the config file was refused").is_none());
}

#[test]
fn a_certificate_near_its_end_is_an_incident_and_a_fresh_one_is_none() {
    let backend = Upstream::start(status(200));
    for (days_before, days_left, told) in [(80, 10, true), (2, 88, false)] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        let now = std::time::SystemTime::now();
        let days = |days: u64| std::time::Duration::from_secs(days * 86_400 + 3_600);
        params.not_before = (now - days(days_before)).into();
        params.not_after = (now + days(days_left)).into();
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("signs");
        let (cert_file, key_file) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&cert_file, cert.pem()).expect("writes");
        std::fs::write(&key_file, key.serialize_pem()).expect("writes");
        let proxy = proxy_in(
            dir,
            &format!(
                r#"
                    [ingress]
                    listen = "127.0.0.1:0"
                    tls = {{ cert_file = {cert_file:?}, key_file = {key_file:?} }}
                    [upstreams.backend]
                    endpoints = ["{}"]
                "#,
                backend.address
            ),
        );
        let found = || incident(&proxy, "the certificate of ingress runs out in 10 days");
        if told {
            eventually("it is told", || found().is_some());
            let found = found().expect("just seen");
            assert_eq!(found["severity"], "medium", "{found}");
            assert!(says_what_to_do(&proxy, &found));
        } else {
            // Certificates are looked at every ten seconds.
            eventually("they were looked at", || uptime(&proxy) >= 12.0);
            assert_eq!(proxy.sre("incidents")["incidents"], serde_json::json!([]));
        }
    }
}

/// How long it has run.
fn uptime(proxy: &Proxy) -> f64 {
    proxy.sre("health/comprehensive")["sidecar"]["uptime_seconds"].as_f64().expect("a number")
}

#[test]
fn two_sidecars_on_one_file_are_an_incident() {
    let backend = Upstream::start(status(200));
    let dir = Arc::new(tempfile::tempdir().expect("a directory"));
    let shared = dir.path().join("shared.db");
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [store]
            url = "sqlite:{}"
        "#,
        backend.address,
        shared.display()
    );
    let (one, other) = (proxy(&toml), proxy(&toml));
    let patience = std::time::Duration::from_secs(90);
    crate::support::within(patience, "one of them sees it", || {
        let seen = |proxy: &Proxy| incident(proxy, "sidecars write into one store file");
        let found = seen(&one).or_else(|| seen(&other));
        found.is_some_and(|found| found["severity"] == "medium")
    });
}
