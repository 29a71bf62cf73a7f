//! Who is called through what, by the binary as it runs.

use std::sync::Arc;

use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Seen, Upstream, bytes, status};
use crate::support::{PATIENCE, eventually, within};

const KEY: &str = "0123456789abcdef";

struct House {
    _dir: tempfile::TempDir,
    _backend: Upstream,
    pager: Upstream,
    chat: Upstream,
    hook: Upstream,
    proxy: Proxy,
}

/// A proxy with a pager, a chat and a webhook, and no word about who is called.
fn house(more: &str) -> House {
    let (pager, chat, hook) =
        (Upstream::start(status(202)), Upstream::start(status(200)), Upstream::start(status(200)));
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let (key, url) = (file("key", KEY), file("url", &format!("http://{}/services/T0", chat.address)));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [notify.chat]
            kind = "slack"
            url_file = {url:?}
            [notify.hook]
            kind = "webhook"
            url = "http://{}/"
            secret_file = {key:?}
            [notify.pager]
            kind = "pagerduty"
            url = "http://{}/v2/enqueue"
            routing_key_file = {key:?}
            {more}
        "#,
        backend.address, hook.address, pager.address
    ));
    House { _dir: dir, _backend: backend, pager, chat, hook, proxy }
}

fn body(seen: &Seen) -> serde_json::Value {
    serde_json::from_slice(&seen.body).expect("JSON")
}

/// What a pager was asked to do, and how bad it was told that it is.
fn actions(pager: &Upstream) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let action = |seen: &Seen| {
        let event = body(seen);
        (text(&event["event_action"]), text(&event["payload"]["severity"]))
    };
    pager.seen().iter().map(action).collect()
}

fn kinds(hook: &Upstream) -> Vec<String> {
    hook.seen().iter().map(|seen| body(seen)["kind"].as_str().unwrap_or_default().to_owned()).collect()
}

impl House {
    fn opens(&self, title: &str, severity: &str) -> String {
        let asked = format!(r#"{{"title": "{title}", "severity": "{severity}"}}"#);
        let made = self.proxy.post("test/incident", &asked);
        assert_eq!(made.status, 200, "{}", made.text());
        made.json()["incident"]["id"].as_str().expect("an id").to_owned()
    }

    fn order(&self, id: &str, what: &str, more: &str) {
        let done =
            self.proxy.post(&format!("incidents/{id}/{what}"), &format!(r#"{{"actor": "ann"{more}}}"#));
        assert_eq!(done.status, 200, "{what}: {}", done.text());
    }

    fn timeline(&self, id: &str) -> Vec<String> {
        let shown = self.proxy.sre(&format!("incidents/{id}"));
        let incident = if shown["timeline"].is_array() { shown.clone() } else { shown["incident"].clone() };
        let lines = incident["timeline"].as_array().expect("a list").clone();
        lines.iter().map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

#[test]
fn without_a_word_a_call_reaches_pager_chat_and_webhook_once_each_and_so_does_what_becomes_of_it() {
    let house = house("");
    let id = house.opens("Checkout fails", "critical");
    let (pager, chat, hook) = (&house.pager, &house.chat, &house.hook);
    let called = |what: &str| (what.to_owned(), if what == "trigger" { "critical" } else { "" }.to_owned());
    eventually("all three are called", || pager.hits() == 1 && chat.hits() == 1 && hook.hits() == 1);
    assert_eq!(actions(pager), [called("trigger")]);
    assert_eq!(kinds(hook), ["trigger"]);
    let whom = body(&hook.seen()[0])["facts"].to_string();
    assert!(whom.contains("the CTO and the engineering lead"), "addressed to both: {whom}");
    let calls: Vec<String> =
        house.timeline(&id).into_iter().filter(|line| line.starts_with("calling ")).collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert!(calls[0].ends_with("cto, engineering_lead through pager"), "pagers first: {calls:?}");
    house.order(&id, "ack", "");
    eventually("they know that ann has it", || pager.hits() == 2 && chat.hits() == 2 && hook.hits() == 2);
    assert_eq!(actions(pager), [called("trigger"), called("acknowledge")]);
    house.order(&id, "rate", r#", "severity": "low", "reason": "one customer""#);
    eventually("they know that it is less bad", || pager.hits() == 3 && hook.hits() == 3);
    assert_eq!(
        actions(pager)[2],
        ("trigger".to_owned(), "info".to_owned()),
        "the same key, another severity"
    );
    house.order(&id, "resolve", r#", "reason": "done""#);
    eventually("they know that it is over", || pager.hits() == 4 && hook.hits() == 4);
    assert_eq!(actions(pager)[3].0, "resolve");
    assert_eq!(kinds(hook), ["trigger", "acknowledge", "update", "resolve"]);
    let keys: Vec<_> = pager.seen().iter().map(|seen| body(seen)["dedup_key"].clone()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_channel_that_was_away_is_told_how_things_are_and_not_how_they_were() {
    let house = house("");
    let (pager, hook) = (&house.pager, &house.hook);
    hook.answer(status(503));
    let ids: Vec<String> = (0..4).map(|n| house.opens(&format!("Trouble {n}"), "critical")).collect();
    eventually("the others are called", || pager.hits() == 4);
    for id in &ids[..3] {
        house.order(id, "ack", "");
        house.order(id, "rate", r#", "severity": "high", "reason": "seen""#);
        house.order(id, "resolve", r#", "reason": "done""#);
    }
    let ends = || actions(pager).iter().filter(|(action, _)| action == "resolve").count();
    eventually("the pager has heard the end of three", || ends() == 3);
    // Each of the four may have tried once before the channel was known to be away.
    let before = hook.hits();
    assert!(before <= 5, "the channel is held, not one message: {:?}", kinds(hook));
    hook.answer(status(200));
    // Thirty seconds where the second attempt failed as well.
    let left = || house.proxy.metric("strop_notify_queue", "channel=\"hook\"");
    within(PATIENCE * 4, "it is back", || left() == 0.0);
    let mut told = kinds(hook).split_off(before);
    // Attempts of a hold that ended before it was back.
    while told.len() > 4 && hook.seen().len() > before {
        told.remove(0);
    }
    told.sort();
    assert_eq!(told, ["resolve", "resolve", "resolve", "trigger"], "one message for each incident");
}

#[test]
fn a_channel_that_asks_for_time_is_left_alone_and_those_it_would_wake_are_called_another_way() {
    let contacts = r#"
        [escalation]
        fallback = ["pager"]
        [escalation.contacts.cto]
        channels = ["hook"]
        [escalation.contacts.engineering_lead]
        channels = ["hook"]
        [escalation.contacts.stakeholders]
        channels = ["chat"]
    "#;
    let house = house(contacts);
    let (pager, hook) = (&house.pager, &house.hook);
    hook.answer(bytes("HTTP/1.1 429 Slow\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n", false));
    let first = house.opens("Checkout fails", "critical");
    eventually("another way is tried", || pager.hits() == 1);
    assert_eq!(hook.hits(), 1);
    let second = house.opens("Search fails", "critical");
    eventually("for the next one too, without asking again", || pager.hits() == 2);
    assert_eq!(hook.hits(), 1, "it asked for ten minutes");
    for id in [first, second] {
        let lines = house.timeline(&id);
        let away = |line: &String| line.starts_with("call 1 did not arrive: hook:");
        assert!(lines.iter().any(away), "{lines:#?}");
        let another = |line: &String| line.contains("cto, engineering_lead another way through pager");
        assert!(lines.iter().any(another), "{lines:#?}");
    }
}

#[test]
fn a_receiver_that_never_ends_its_answer_is_told_once() {
    let house = house("");
    house.hook.answer(bytes("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok", true));
    let id = house.opens("Checkout fails", "critical");
    let arrived = |line: &String| line.contains("arrived: hook:");
    eventually("it is known to have arrived", || house.timeline(&id).iter().any(arrived));
    house.order(&id, "ack", "");
    eventually("the next message goes there", || house.hook.hits() == 2);
    assert_eq!(kinds(&house.hook), ["trigger", "acknowledge"]);
    // A pager that hangs altogether holds up nobody else.
    house.pager.answer(Arc::new(|_, _| true));
    house.opens("Search fails", "critical");
    eventually("the others are called", || house.hook.hits() >= 3);
}
