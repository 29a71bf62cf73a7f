//! Requests that have no name but `default`, because nobody asked for one or because there is none to give: what is proposed for them.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::named::{App, is_counted, is_in_state, named_by, request};
use crate::support::eventually;
use crate::support::proxy::{ingress_to, live};
use crate::support::upstream::{Upstream, status};

#[test]
fn by_default_no_document_is_asked_for() {
    let app = Upstream::start(status(200));
    let proxy = ingress_to(app.address, "");
    for _ in 0..5 {
        request(&proxy, "GET", "/bookings/7");
    }
    is_counted(&proxy, &[("default", 5.0)]);
    assert_eq!(app.hits(), 5);
    assert!(proxy.sre("routes")["document"].is_null());
    assert_eq!(named_by(&proxy, "document"), Vec::<String>::new());
    assert_eq!(proxy.metric("strop_openapi_reads_total", ""), 0.0);
}

#[test]
fn templates_that_are_seen_are_proposed_and_never_used() {
    let app = Upstream::start(status(200));
    let proxy = ingress_to(app.address, "");
    for nth in 0..12 {
        request(&proxy, "GET", &format!("/bookings/{}?token=s3cret", 1_000 + nth));
    }
    request(&proxy, "DELETE", "/bookings/7");
    request(&proxy, "GET", "/users/0190d4a1-7b2c-7def-8123-456789abcdef/orders/3");
    eventually("all are seen", || proxy.sre("routes")["unnamed"]["sampled"] == 14);
    let seen = proxy.sre("routes")["unnamed"].clone();
    assert_eq!((&seen["requests"], &seen["others"]), (&json!(14), &json!(0)));
    assert_eq!(
        seen["templates"][0],
        json!({
            "template": "/bookings/{id}", "sampled": 13, "share": 13.0 / 14.0, "methods": { "GET": 12, "DELETE": 1 },
        })
    );
    assert_eq!(seen["templates"][1]["template"], "/users/{id}/orders/{id_2}");
    is_counted(&proxy, &[("default", 14.0)]);
    let (code, said) = live(&proxy, &["explain", "routes"]);
    assert_eq!(code, 0, "{said}");
    for wanted in [
        "14 requests, of which 14 were sampled",
        "92.857 %",
        "DELETE 1, GET 12",
        "[[routes]]\npath = \"/bookings/{id}\"\n",
        "no document is read",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("s3cret") && !said.contains("1000"), "{said}");
    let (_, json) = live(&proxy, &["explain", "routes", "--json"]);
    let json: Value = serde_json::from_str(&json).expect("one document");
    assert_eq!(json["unnamed"]["templates"], seen["templates"]);
    // What is proposed can be pasted, and is not seen any more.
    let proposed = &said[said.find("[[routes]]").expect("there")..];
    let text = std::fs::read_to_string(proxy.path()).expect("reads");
    let pasted = proxy.reload(&format!("{text}\n{proposed}"));
    assert_eq!(pasted.status, 200, "{}", pasted.text());
    assert_eq!(proxy.sre("routes")["unnamed"]["requests"], 0, "it begins anew");
    request(&proxy, "GET", "/bookings/7");
    is_counted(&proxy, &[("bookings_id", 1.0)]);
    assert_eq!(proxy.sre("routes")["unnamed"]["requests"], 0);
}

#[test]
fn hostile_paths_and_too_many_of_them_stay_within_bounds() {
    let mut paths = serde_json::Map::new();
    for path in ["/<script>", "/a\"b\\c", "/a b", "/\u{202e}x", "/{a}{b}", "x-y", "/\n", "/%zz"] {
        paths.insert(path.to_owned(), json!({ "get": {} }));
    }
    for nth in 0..600 {
        paths.insert(format!("/p{nth}"), json!({ "get": { "summary": "s\"}\n# HELP x" } }));
    }
    let app = App::start(&Value::Object(paths));
    let proxy = app.proxy("", "");
    is_in_state(&proxy, "read");
    let known = proxy.sre("routes");
    let document = &known["document"];
    assert_eq!(document["named"], 500, "{document}");
    assert!(document["left_out"].as_u64() > Some(90) && document["skipped"].as_u64() > Some(1), "{document}");
    assert_eq!(request(&proxy, "GET", "/a%22b%5Cc"), 200);
    is_counted(&proxy, &[("default", 1.0)]);
    let text = proxy.admin_get("/metrics").text();
    let odd = text.lines().filter(|line| line.contains("a\\\"b\\\\c"));
    assert!(
        odd.clone().count() > 0 && odd.clone().all(|line| line.starts_with("http_server_active_requests{")),
        "{odd:?}"
    );
    assert!(text.lines().all(|line| !line.starts_with("# HELP x")));
}

#[test]
fn a_path_that_is_none_is_refused_with_what_to_write() {
    let check = |ingress: &str| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("strop.toml");
        let text = format!("[ingress]\n{ingress}\n[upstreams.backend]\nendpoints = [\"127.0.0.1:1\"]\n");
        std::fs::write(&path, text).expect("writes");
        check(&path)
    };
    assert!(check("openapi = \"openapi.json\"").contains("write one such as \"/openapi.json\""));
    assert!(check("openapi_every = \"10ms\"").contains("must be at least 1s"));
}

fn check(path: &Path) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_strop")).arg("check").arg(path).output().expect("runs");
    assert_eq!(ran.status.code(), Some(2));
    String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr)
}
