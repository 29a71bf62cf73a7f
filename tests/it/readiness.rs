use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::proxy::{Proxy, TOKEN, ingress_to, live, proxy_in, with_token};
use crate::support::raw::{Client, Response, ask_http1};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace};

fn post(proxy: &Proxy, path: &str, fields: &str, body: &str) -> Response {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}");
    ask_http1(proxy.admin(), &format!("{head}Content-Length: {length}\r\n\r\n{body}"))
}

fn ready(proxy: &Proxy) -> (u16, String) {
    let answer = proxy.admin_get("/readyz");
    (answer.status, answer.text())
}

#[test]
fn an_order_holds_traffic_off_until_it_is_taken_back() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    assert_eq!(proxy.sre("readiness")["ready"], true);
    assert_eq!(proxy.metric("strop_ready", ""), 1.0);
    let held = proxy.post("readiness/hold", r#"{"reason": "a look at its memory", "actor": "ann"}"#);
    assert_eq!(held.status, 200, "{}", held.text());
    assert_eq!(held.json()["note"], "unready until that is taken back");
    assert_eq!(ready(&proxy), (503, "not ready: held by order\n".to_owned()));
    assert_eq!(proxy.admin_get("/-/ready").status, 503);
    assert_eq!(proxy.admin_get("/livez").status, 200, "it lives");
    assert_eq!(proxy.get("/").status, 200, "what comes all the same is served");
    assert_eq!(proxy.metric("strop_ready", ""), 0.0);
    let view = proxy.sre("readiness");
    let hold = &view["hold"];
    assert_eq!((&hold["actor"], &hold["reason"]), (&"ann".into(), &"a look at its memory".into()));
    assert!(view["ready"] == false && hold["until"].is_null() && hold["since"].is_string(), "{view:#}");
    let health = proxy.sre("health/comprehensive");
    assert_eq!(health["sidecar"]["not_ready_because"][0], "held by order", "{health:#}");
    let row = proxy.sre("audit")["mutations"][0].clone();
    assert_eq!((&row["action"], &row["id"]), (&"readiness.hold".into(), &held.json()["audit_id"]));
    let (code, said) = live(&proxy, &["readiness", "show"]);
    assert!(code == 1 && said.contains("until that is taken back, by ann: a look at its memory"), "{said}");
    let (code, said) = live(&proxy, &["readiness", "release"]);
    assert!(code == 0 && said.starts_with("no order holds traffic off (audit aud_"), "{said}");
    assert_eq!(ready(&proxy).0, 200);
    assert_eq!(live(&proxy, &["readiness", "show"]), (0, "ready: traffic may come\n".to_owned()));
    assert_eq!(proxy.post("readiness/release", "").json()["note"], "nothing to do: there was no order");
}

#[test]
fn a_hold_with_a_ttl_ends_by_itself_and_a_reload_does_not_end_it() {
    let backend = Upstream::start(status(200));
    let toml = format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n",
        backend.address
    );
    let proxy = crate::support::proxy::proxy(&toml);
    let refused = proxy.post("readiness/hold", r#"{"ttl": "8d"}"#);
    assert!(
        refused.status == 400 && refused.text().contains("is not within 1s and 7d"),
        "{}",
        refused.text()
    );
    assert_eq!(ready(&proxy).0, 200);
    assert_eq!(proxy.post("readiness/hold", r#"{"ttl": "1h", "reason": "an hour"}"#).status, 200);
    assert_eq!(proxy.reload(&format!("{toml}retry = {{ attempts = 3 }}\n")).status, 200);
    assert_eq!(ready(&proxy).0, 503);
    assert!(proxy.sre("readiness")["hold"]["until"].is_string());
    assert_eq!(proxy.post("readiness/hold", r#"{"ttl": "300ms", "reason": "a moment"}"#).status, 200);
    eventually("it ends by itself", || ready(&proxy).0 == 200);
    eventually("the log says so", || {
        let log = proxy.log.lock().expect("not poisoned");
        log.iter().any(|line| line.contains("an order held traffic off") && line.contains("a moment"))
    });
}

#[test]
fn an_order_makes_it_leave_as_a_signal_does_and_the_signal_that_follows_is_the_same_wish() {
    let held = Arc::new(AtomicBool::new(true));
    let waits = Arc::clone(&held);
    let backend = Upstream::start(Arc::new(move |seen, stream| {
        while waits.load(Ordering::Relaxed) {
            pace(Duration::from_millis(5));
        }
        status(200)(seen, stream)
    }));
    let toml = format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n",
        backend.address
    );
    let mut proxy = crate::support::proxy::proxy(&toml);
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    eventually("it is in flight", || backend.hits() == 1);
    let ordered = proxy.post("drain", r#"{"reason": "the machine is shut down", "actor": "ann"}"#);
    assert_eq!(ordered.status, 200, "{}", ordered.text());
    let told = ordered.json();
    assert_eq!(
        (&told["note"], &told["drain_for_seconds"]),
        (&"unready from now on, and leaves".into(), &30.0.into())
    );
    let said = |what: &str| proxy.log.lock().expect("not poisoned").iter().any(|line| line.contains(what));
    eventually("it leaves, and says by whose order", || said("ordered by ann: the machine is shut down"));
    eventually("nobody connects any more", || std::net::TcpStream::connect(proxy.ingress()).is_err());
    // Two signals with this between them are two wishes.
    pace(Duration::from_millis(1_100));
    proxy.signal("TERM");
    pace(Duration::from_millis(200));
    assert!(!said("asked to stop again"), "what is in flight is not cut");
    held.store(false, Ordering::Relaxed);
    assert_eq!(client.response(false).expect("an answer").status, 200);
    let mut code = None;
    eventually("it has left in order", || {
        code = proxy.ended();
        code.is_some()
    });
    assert_eq!(code, Some(0));
    let again = proxy_in(proxy.leave_behind(), &toml);
    let rows = again.sre("audit");
    let rows = rows["mutations"].as_array().expect("rows");
    let ordered = |row: &&serde_json::Value| row["id"] == told["audit_id"];
    let row = rows.iter().find(ordered).expect("the order is on the audit log");
    assert_eq!((&row["action"], &row["actor"]), (&"process.drain".into(), &"ann".into()), "{rows:#?}");
    assert_eq!(ready(&again).0, 200, "a restart begins anew");
}

#[test]
fn whoever_has_no_token_neither_holds_traffic_off_nor_ends_the_process() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let mut proxy = with_token(backend.address, dir.path(), "", 0);
    for path in ["/-/unready", "/-/drain", "/api/v2/sre/readiness/hold", "/api/v2/sre/drain"] {
        assert_eq!(post(&proxy, path, "", "").status, 401, "{path}");
        let foreign = format!("Authorization: Bearer {TOKEN}\r\nOrigin: http://evil.example\r\n");
        assert_eq!(post(&proxy, path, &foreign, "").status, 403, "{path}");
    }
    assert_eq!(ready(&proxy).0, 200);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let held = post(&proxy, "/-/unready", &bearer, r#"{"ttl": "1h"}"#);
    assert_eq!((held.status, &held.json()["note"]), (200, &"unready for 1h".into()));
    assert_eq!(ready(&proxy).0, 503);
    assert_eq!(post(&proxy, "/-/drain", &bearer, "").status, 200);
    eventually("it has left in order", || proxy.ended() == Some(0));
}
