use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strop::names::ChannelName;
use strop::notify::{Channels, Message, MessageKind, Sender, Severity, millis};
use strop::reliability::brief::{Audience, Brief, Part, Section, Ways};

use crate::support::eventually;
use crate::support::proxy::ingress_to;
use crate::support::tools::{finish, python, run};
use crate::support::upstream::{Upstream, bytes, status};

/// As long as a real one.
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
const SCHEMAS: [(&str, &str); 2] =
    [("pagerduty", "pagerduty-events-v2.json"), ("slack", "slack-message.json")];

fn schema(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parts/schemas").join(name)
}

/// A channel of that kind, and the files with its secrets.
fn channel(kind: &str, to: &Upstream, secrets: &Path) -> String {
    let (key, url) = (secrets.join("key"), secrets.join("url"));
    std::fs::write(&key, ROUTING_KEY).expect("writes");
    std::fs::write(&url, format!("http://{}/services/T0/B0/secret", to.address)).expect("writes");
    match kind {
        "pagerduty" => format!(
            r#"
                [notify.default]
                kind = "pagerduty"
                url = "http://{}/v2/enqueue"
                routing_key_file = {key:?}
            "#,
            to.address
        ),
        _ => format!(
            r#"
                [notify.default]
                kind = "slack"
                url_file = {url:?}
            "#
        ),
    }
}

fn receiver(kind: &str) -> Upstream {
    let said =
        if kind == "slack" { "ok" } else { "{\"status\":\"success\",\"message\":\"Event processed\"}" };
    let code = if kind == "slack" { "200 OK" } else { "202 Accepted" };
    Upstream::start(bytes(format!("HTTP/1.1 {code}\r\nContent-Length: {}\r\n\r\n{said}", said.len()), false))
}

/// What it was sent, each in a file.
fn written(receiver: &Upstream, dir: &Path) -> Vec<PathBuf> {
    let seen = receiver.seen();
    let write = |(at, seen): (usize, &crate::support::upstream::Seen)| {
        let path = dir.join(format!("body{at}.json"));
        std::fs::write(&path, &seen.body).expect("writes");
        path
    };
    seen.iter().enumerate().map(write).collect()
}

fn valid(against: &str, files: &[PathBuf]) {
    let said = run(python("schema.py").arg(schema(against)).args(files));
    assert_eq!(String::from_utf8_lossy(&said).trim(), files.len().to_string());
}

/// What people and machines may write: too long, too many, empty, other scripts, markup, control characters.
fn hostile() -> Vec<String> {
    vec![
        String::new(),
        " ".to_owned(),
        "x".repeat(100_000),
        "😱".repeat(20_000),
        "<!channel> <@U0> <https://evil.example|click> & \"quotes\" \\ ".repeat(2_000),
        "&".repeat(5_000),
        "line\r\nline\u{0}\u{7}\u{1b}[31m\u{202e}\u{feff}".repeat(50),
    ]
}

/// All that may be said, each part of it that text, and more parts than anybody writes.
fn brief(text: &str) -> Brief {
    let text = || text.chars().take(5_000).collect::<String>();
    let section = Section { part: Part::Look, lines: vec![text(); 14], command: Some(text()) };
    Brief {
        audience: Audience::Called,
        status: text(),
        title: text(),
        headline: text(),
        lead: text(),
        facts: vec![(text(), text()); 4],
        sections: vec![section; 10],
        ways: Ways { pagerduty: true, slack: true, browser: true },
        well: Some(false),
    }
}

fn messages() -> Vec<Message> {
    let at = millis(SystemTime::now());
    let kinds = [
        MessageKind::Trigger,
        MessageKind::Acknowledge,
        MessageKind::Update,
        MessageKind::Resolve,
        MessageKind::Test,
    ];
    let severities = [Severity::Critical, Severity::High, Severity::Medium, Severity::Low];
    let mut all = Vec::new();
    for (n, text) in std::iter::once("payments fail".to_owned()).chain(hostile()).enumerate() {
        for (kind, severity) in kinds.into_iter().zip(severities.into_iter().cycle().skip(n)) {
            all.push(Message {
                incident_id: "inc_0".to_owned(),
                dedup_key: format!("key {n} {text}"),
                kind,
                severity,
                title: text.clone(),
                summary: text.clone(),
                service: text.clone(),
                rule: text.clone(),
                started_at: at,
                at,
                ends_at: (kind == MessageKind::Resolve).then_some(at),
                link: Some(format!("https://strop.example/{}", text.replace(' ', "%20"))),
                facts: (0..200).map(|fact| (format!("{fact} {text}"), text.clone())).collect(),
                instance: "pod-7".to_owned(),
                brief: brief(&text),
                thread: None,
            });
        }
    }
    all
}

#[test]
fn whatever_is_told_is_what_the_vendors_document() {
    for (kind, against) in SCHEMAS {
        let (receiver, dir) = (receiver(kind), tempfile::tempdir().expect("a directory"));
        let config = format!(
            r#"
                [ingress]
                [upstreams.backend]
                endpoints = ["127.0.0.1:1"]
                {}
            "#,
            channel(kind, &receiver, dir.path())
        );
        let config = strop::config::load(&config, "a test", &[]).unwrap_or_else(|told| panic!("{told}"));
        let sender = Sender::new(Arc::new(Channels::new(&config)), Duration::from_secs(10));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (name, all) = (ChannelName::new("default").expect("a name"), messages());
        for message in &all {
            let came = runtime.block_on(sender.deliver(&name, message, "id"));
            came.unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
        let files = written(&receiver, dir.path());
        assert_eq!(files.len(), all.len());
        valid(against, &files);
    }
}

#[test]
fn what_operators_write_reaches_the_vendors_as_they_document() {
    for (kind, against) in SCHEMAS {
        let (receiver, backend) = (receiver(kind), Upstream::start(status(200)));
        let dir = tempfile::tempdir().expect("a directory");
        let proxy = ingress_to(backend.address, &channel(kind, &receiver, dir.path()));
        let texts: Vec<String> = hostile().into_iter().filter(|text| !text.trim().is_empty()).collect();
        for text in &texts {
            // As much of it as an order takes.
            let most = |most: usize| text.chars().take(most).collect::<String>();
            let wanted =
                serde_json::json!({ "title": most(500), "severity": "critical", "service": "payments" });
            let made = proxy.post("test/incident", &wanted.to_string());
            if made.status != 200 {
                assert_eq!(made.status, 400, "{}", made.text());
                continue;
            }
            let id = made.json()["incident"]["id"].as_str().expect("an id").to_owned();
            for (what, said) in [("note", "text"), ("ack", "reason"), ("resolve", "reason")] {
                let said = serde_json::json!({ "actor": "ann", said: most(2_000) });
                proxy.post(&format!("incidents/{id}/{what}"), &said.to_string());
            }
        }
        eventually("all are told", || {
            proxy.metric("notify_queue", "") == 0.0 && receiver.hits() >= texts.len()
        });
        let files = written(&receiver, dir.path());
        valid(against, &files);
    }
}

#[test]
fn a_schema_refuses_what_the_vendors_refuse() {
    let dir = tempfile::tempdir().expect("a directory");
    let refuses = |against: &str, wrong: serde_json::Value| {
        let path = dir.path().join("wrong.json");
        std::fs::write(&path, wrong.to_string()).expect("writes");
        let ran = finish(python("schema.py").arg(schema(against)).arg(&path));
        assert!(!ran.status.success(), "{wrong:.200}");
    };
    let event = |action: &str, summary: &str, severity: &str| {
        serde_json::json!({ "routing_key": ROUTING_KEY, "event_action": action,
            "payload": { "summary": summary, "source": "a", "severity": severity } })
    };
    for wrong in [
        event("trigger", "", "info"),
        event("trigger", &"x".repeat(1_025), "info"),
        event("trigger", "x", "grave"),
        event("resolve", "x", "info"),
        serde_json::json!({ "routing_key": "short", "event_action": "resolve", "dedup_key": "k" }),
        serde_json::json!({ "routing_key": ROUTING_KEY, "event_action": "trigger", "dedup_key": "k" }),
    ] {
        refuses("pagerduty-events-v2.json", wrong);
    }
    let block = |block: serde_json::Value| serde_json::json!({ "text": "x", "blocks": [block] });
    let text = |text: String| serde_json::json!({ "type": "mrkdwn", "text": text });
    let button = |text: String, value: &str| serde_json::json!({ "type": "button", "text": { "type": "plain_text", "text": text }, "action_id": "a", "value": value });
    for wrong in [
        block(
            serde_json::json!({ "type": "header", "text": { "type": "plain_text", "text": "x".repeat(151) } }),
        ),
        block(serde_json::json!({ "type": "section", "text": text("x".repeat(3_001)) })),
        block(serde_json::json!({ "type": "section", "text": text("<!channel>".to_owned()) })),
        block(serde_json::json!({ "type": "section", "fields": vec![text("x".to_owned()); 11] })),
        block(serde_json::json!({ "type": "section", "fields": [text("x".repeat(2_001))] })),
        block(serde_json::json!({ "type": "section" })),
        block(serde_json::json!({ "type": "section", "text": text("<!date^1^{time}>".to_owned()) })),
        block(serde_json::json!({ "type": "actions", "elements": [button("x".repeat(76), "1")] })),
        block(serde_json::json!({ "type": "actions", "elements": [button("x".to_owned(), "")] })),
        serde_json::json!({ "text": "x", "blocks": vec![serde_json::json!({ "type": "section", "text": text("x".to_owned()) }); 51] }),
    ] {
        refuses("slack-message.json", wrong);
    }
}
