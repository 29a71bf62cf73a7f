use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, live, with_token};
use crate::support::upstream::{Upstream, status};

fn filter(proxy: &Proxy) -> String {
    proxy.sre("log-level")["filter"].as_str().unwrap_or_default().to_owned()
}

/// Does a line that the log has at `info` come through? Which one: the order that ends nothing, told by its reason.
fn is_told(proxy: &Proxy, reason: &str) -> bool {
    proxy.log.lock().expect("not poisoned").iter().any(|line| line.contains(reason))
}

fn tell(proxy: &Proxy, reason: &str) {
    let order = format!("{{\"reason\": {reason:?}}}");
    assert_eq!(proxy.post("circuit-breakers/backend/release", &order).status, 200);
}

#[test]
fn an_order_decides_what_is_logged_for_as_long_as_it_says() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let usual = proxy.sre("log-level");
    assert_eq!((&usual["filter"], &usual["until"]), (&"info".into(), &serde_json::Value::Null), "{usual:#}");
    let order = r#"{"filter": "error", "ttl": "10m", "reason": "too much of it", "actor": "ann"}"#;
    let ordered = proxy.post("log-level", order);
    assert_eq!(ordered.status, 200, "{}", ordered.text());
    assert_eq!(ordered.json()["note"], "\"error\" decides what is logged for 10m");
    tell(&proxy, "not for the log");
    let view = proxy.sre("log-level");
    for (key, value) in
        [("filter", "error"), ("configured", "info"), ("actor", "ann"), ("why", "too much of it")]
    {
        assert_eq!(view[key], value, "{view:#}");
    }
    assert!(view["until"].is_string() && view["since"].is_string(), "{view:#}");
    assert_eq!(proxy.metric("strop_log_filter_ordered", ""), 1.0);
    let row = proxy.sre("audit")["mutations"][1].clone();
    assert_eq!(
        (&row["action"], &row["target"], &row["id"]),
        (&"log.filter".into(), &"error".into(), &ordered.json()["audit_id"])
    );
    eventually("the log says why it falls silent", || is_told(&proxy, "ordered by ann: too much of it"));

    assert_eq!(proxy.post("log-level", r#"{"filter": "warn", "ttl": "200ms"}"#).status, 200);
    eventually("it ends by itself", || filter(&proxy) == "info");
    assert_eq!(proxy.metric("strop_log_filter_ordered", ""), 0.0);
    tell(&proxy, "for the log again");
    eventually("it is logged", || is_told(&proxy, "for the log again"));
    assert!(!is_told(&proxy, "not for the log"));
}

#[test]
fn a_reload_does_not_end_an_order_and_what_it_says_is_in_force_after_it() {
    let backend = Upstream::start(status(200));
    let toml = |log: &str| {
        let backend = backend.address;
        format!(
            "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{backend}\"]\n{log}"
        )
    };
    let proxy = crate::support::proxy::proxy(&toml(""));
    assert_eq!(proxy.post("log-level", r#"{"filter": "info,strop=error", "ttl": "1h"}"#).status, 200);
    assert_eq!(proxy.reload(&toml("[process]\nlog = \"warn\"\n")).status, 200);
    let view = proxy.sre("log-level");
    assert_eq!((&view["filter"], &view["configured"]), (&"info,strop=error".into(), &"warn".into()));
    let (code, said) = live(&proxy, &["log-level", "release", "--reason", "seen enough"]);
    assert!(code == 0 && said.starts_with("what the config says is logged (audit aud_"), "{said}");
    assert_eq!(filter(&proxy), "warn");
    assert_eq!(proxy.post("log-level/release", "").json()["note"], "nothing to do: there was no order");
    let (_, said) = live(&proxy, &["log-level", "show"]);
    assert_eq!(said, "warn, as the config says\n");
    let (code, said) = live(&proxy, &["log-level", "set", "debug", "--ttl", "1m", "--reason", "a look"]);
    assert_eq!(code, 0, "{said}");
    let (_, said) = live(&proxy, &["log-level", "show"]);
    assert!(said.starts_with("debug until ") && said.ends_with("by ann: a look; then warn\n"), "{said}");
}

#[test]
fn what_is_no_filter_and_what_never_ends_is_told_how_to_write_it() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for (order, told) in [
        (r#"{"ttl": "5m"}"#, "filter is missing"),
        (r#"{"filter": "debug"}"#, "ttl is missing: an order ends by itself"),
        (
            r#"{"filter": "loud", "ttl": "5m"}"#,
            "\\\"loud\\\" is not one of off, error, warn, info, debug, trace",
        ),
        (r#"{"filter": "", "ttl": "5m"}"#, "is not a log filter"),
        (r#"{"filter": "strop=[=info", "ttl": "5m"}"#, "bad_body"),
        (r#"{"filter": "debug", "ttl": "8d"}"#, "is not within 1s and 7d"),
        (r#"{"level": "debug", "ttl": "5m"}"#, "unknown field `level`"),
    ] {
        let refused = proxy.post("log-level", order);
        assert_eq!(refused.status, 400, "{order}: {}", refused.text());
        assert!(refused.text().contains(told), "{order}: {}", refused.text());
    }
    assert_eq!(filter(&proxy), "info");
    let rows = proxy.sre("audit")["mutations"].as_array().expect("rows").clone();
    assert!(rows.iter().all(|row| row["action"] != "log.filter"), "{rows:#?}");
}

#[test]
fn whoever_has_no_token_orders_nothing() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = with_token(backend.address, dir.path(), "", 0);
    assert_eq!(proxy.post("log-level", r#"{"filter": "off", "ttl": "5m"}"#).status, 401);
    assert_eq!(proxy.post("log-level/release", "").status, 401);
}
