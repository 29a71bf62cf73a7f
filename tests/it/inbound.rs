//! Whoever takes an incident in a pager or a chat has taken it here.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::{Response, ask_http1};
use crate::support::tools::{run, tool};
use crate::support::upstream::{Upstream, status};

const KEY: &str = "0123456789abcdef";

/// HMAC-SHA256 by Python's own hand.
fn signed(text: &str) -> String {
    let script = "import hashlib, hmac, sys\nprint(hmac.new(sys.argv[1].encode(), sys.argv[2].encode(), hashlib.sha256).hexdigest())\n";
    String::from_utf8(run(tool("python3").args(["-c", script, KEY, text]))).expect("text").trim().to_owned()
}

fn post(at: SocketAddr, path: &str, fields: &str, body: &str) -> Response {
    let length = body.len();
    ask_http1(
        at,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: strop\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn by_slack(at: SocketAddr, body: &str) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let signature = signed(&format!("v0:{now}:{body}"));
    let fields = format!("X-Slack-Request-Timestamp: {now}\r\nX-Slack-Signature: v0={signature}\r\n");
    post(at, "/slack", &fields, body)
}

fn opened(proxy: &Proxy, title: &str) -> (String, String) {
    let made = proxy.post("test/incident", &format!(r#"{{"title": "{title}", "severity": "critical"}}"#));
    assert_eq!(made.status, 200, "{}", made.text());
    let incident = made.json()["incident"].clone();
    (
        incident["id"].as_str().expect("an id").to_owned(),
        incident["dedup_key"].as_str().unwrap_or_default().to_owned(),
    )
}

fn state(proxy: &Proxy, id: &str) -> (String, String) {
    let shown = proxy.sre(&format!("incidents/{id}"));
    let one = if shown["state"].is_string() { shown.clone() } else { shown["incident"].clone() };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (text(&one["state"]), text(&one["acknowledged_by"]))
}

#[test]
fn what_is_taken_in_a_pager_or_a_chat_is_taken_here_and_nobody_else_is_called() {
    let (pager, backend) = (Upstream::start(status(202)), Upstream::start(status(200)));
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key");
    std::fs::write(&key, KEY).expect("writes");
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [notify.pager]
            kind = "pagerduty"
            url = "http://{}/v2/enqueue"
            routing_key_file = {key:?}
            [escalation.critical]
            again_every = "1s"
            [inbound]
            listen = "127.0.0.1:0"
            pagerduty_secret_file = {key:?}
            slack_secret_file = {key:?}
        "#,
        backend.address, pager.address
    ));
    let at = proxy.at("inbound");
    let (id, _) = opened(&proxy, "Checkout fails");
    eventually("the pager is called", || pager.hits() >= 1);
    let called: serde_json::Value = serde_json::from_slice(&pager.seen()[0].body).expect("JSON");
    let event = serde_json::json!({ "event": {
        "id": "01", "event_type": "incident.acknowledged", "resource_type": "incident",
        "agent": { "summary": "Ann Lee", "type": "user_reference" },
        "data": { "type": "incident", "incident_key": called["dedup_key"] },
    } })
    .to_string();
    let forged = post(at, "/pagerduty", "X-PagerDuty-Signature: v1=00ff\r\n", &event);
    assert_eq!((forged.status, state(&proxy, &id).0.as_str()), (401, "open"));
    let genuine = format!("X-PagerDuty-Signature: v1={}\r\n", signed(&event));
    assert_eq!(post(at, "/pagerduty", &genuine, &event).status, 200);
    assert_eq!(state(&proxy, &id), ("acknowledged".to_owned(), "Ann Lee (PagerDuty)".to_owned()));
    assert_eq!(post(at, "/pagerduty", &genuine, &event).text(), "Somebody has it already.");
    let audit = proxy.sre("audit").to_string();
    assert_eq!(audit.matches("Ann Lee (PagerDuty)").count(), 1, "once, whoever repeats it: {audit}");
    let actions = || {
        let action = |seen: &crate::support::upstream::Seen| {
            let event: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
            event["event_action"].as_str().expect("text").to_owned()
        };
        pager.seen().iter().map(action).collect::<Vec<_>>()
    };
    eventually("the pager hears that it is taken", || actions().iter().any(|action| action == "acknowledge"));
    assert_eq!(actions().last().map(String::as_str), Some("acknowledge"), "and is not called again");
    let (second, _) = opened(&proxy, "Search fails");
    let taken = by_slack(at, &format!("command=%2Fstrop&text=ack+{second}&user_name=bob"));
    assert_eq!((taken.status, taken.text().as_str()), (200, "Taken."));
    assert_eq!(state(&proxy, &second), ("acknowledged".to_owned(), "bob (Slack)".to_owned()));
    assert_eq!(
        by_slack(at, "text=ack+nothing&user_name=bob").text(),
        "There is no such incident that is not over."
    );
}

#[test]
fn the_button_that_a_message_has_takes_what_it_is_about_and_a_pager_says_that_its_own_does() {
    let (pager, chat) = (Upstream::start(status(202)), Upstream::start(status(200)));
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let (key, url) = (dir.path().join("key"), dir.path().join("url"));
    std::fs::write(&key, KEY).expect("writes");
    std::fs::write(&url, format!("http://{}/services/x", chat.address)).expect("writes");
    let proxy = proxy(&format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n\
         [notify.pager]\nkind = \"pagerduty\"\nurl = \"http://{}/v2/enqueue\"\nrouting_key_file = {key:?}\n\
         [notify.chat]\nkind = \"slack\"\nurl_file = {url:?}\n\
         [inbound]\nlisten = \"127.0.0.1:0\"\npagerduty_secret_file = {key:?}\nslack_secret_file = {key:?}\n",
        backend.address, pager.address
    ));
    let (id, _) = opened(&proxy, "Checkout fails");
    eventually("both are told", || pager.hits() >= 1 && chat.hits() >= 1);
    let told = |of: &Upstream, nth: usize| -> serde_json::Value {
        serde_json::from_slice(&of.seen()[nth].body).expect("JSON")
    };
    let details = told(&pager, 0)["payload"]["custom_details"].clone();
    assert!(
        details["01 How to take it"].as_str().is_some_and(|it| it.starts_with("Press Acknowledge here")),
        "{details:#}"
    );
    let button = told(&chat, 0)["blocks"][1]["elements"][0].clone();
    // As Slack posts it: the element that was pressed, in a form.
    let pressed = serde_json::json!({
        "type": "block_actions", "user": { "username": "ann" },
        "actions": [{ "action_id": button["action_id"], "value": button["value"], "type": "button" }],
    });
    let hex = |byte: u8| format!("%{byte:02X}");
    let form: String = pressed.to_string().bytes().map(hex).collect();
    assert_eq!(by_slack(proxy.at("inbound"), &format!("payload={form}")).text(), "Taken.");
    assert_eq!(state(&proxy, &id), ("acknowledged".to_owned(), "ann (Slack)".to_owned()));
    eventually("the chat hears that it is taken", || chat.hits() >= 2);
    let after = told(&chat, 1);
    assert!(
        !after.to_string().contains("strop_ack") && after["text"].to_string().contains("Taken by ann"),
        "{after:#}"
    );
}

#[test]
fn that_listener_answers_nothing_else() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let key = dir.path().join("key");
    std::fs::write(&key, KEY).expect("writes");
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [inbound]
            listen = "127.0.0.1:0"
            pagerduty_secret_file = {key:?}
        "#,
        backend.address
    ));
    let at = proxy.at("inbound");
    for path in ["/", "/metrics", "/healthz", "/readyz", "/api/v2/sre/incidents", "/pagerduty"] {
        let answer =
            ask_http1(at, &format!("GET {path} HTTP/1.1\r\nHost: strop\r\nConnection: close\r\n\r\n"));
        assert_eq!((answer.status, answer.text().as_str()), (404, ""), "{path}");
    }
    assert_eq!(post(at, "/api/v2/sre/test/incident", "", "{}").status, 404);
    assert_eq!(by_slack(at, "text=ack+019").status, 404, "nobody has written a secret for it");
    assert_eq!(post(at, "/pagerduty", "", "{}").status, 401);
    assert_eq!(proxy.metric("strop_inbound_posts_total", "from=\"pagerduty\",outcome=\"forged\""), 1.0);
    let long = "x".repeat(300 * 1024);
    assert!(matches!(post(at, "/pagerduty", "", &long).status, 400 | 401));
    assert_eq!(backend.hits(), 0);
    assert_eq!(proxy.get("/").status, 200);
}
