//! Orders: how long their texts may be, how much of what they make is kept, and what a restart brings back.

use std::path::Path;

use strop::names::IncidentId;
use strop::reliability::incident::{Actor, Beginning, EntryKind, Incident};
use strop::reliability::rule::{AlertKey, Rule, Severity};
use strop::units::At;

use crate::support::proxy::{Proxy, ingress_to, proxy_in};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, within};

fn incident(proxy: &Proxy) -> String {
    let made = proxy.post("test/incident", r#"{"title": "Test incident", "severity": "low"}"#);
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["incident"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn each_text_of_an_order_has_a_bound_that_413_names_and_what_fits_is_taken() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let id = incident(&proxy);
    let of = |what: &str| format!("incidents/{id}/{what}");
    let silence = |reason: &str, value: &str| serde_json::json!({ "reason": reason, "for": "1h", "force": true, "matchers": [{ "label": "service", "value": value }] });
    let x = |many: usize| "x".repeat(many);
    let long = [
        ("test/incident".to_owned(), serde_json::json!({ "title": x(501) }), "title", 500),
        ("test/incident".to_owned(), serde_json::json!({ "service": x(201) }), "service", 200),
        (of("note"), serde_json::json!({ "text": "漢".repeat(10_001) }), "text", 10_000),
        (of("note"), serde_json::json!({ "text": "a", "actor": x(201) }), "actor", 200),
        (of("assign"), serde_json::json!({ "to": x(201) }), "to", 200),
        (of("rate"), serde_json::json!({ "severity": "high", "reason": x(2_001) }), "reason", 2_000),
        (of("resolve"), serde_json::json!({ "reason": x(2_001) }), "reason", 2_000),
        (of("review"), serde_json::json!({ "technical": x(20_001) }), "technical", 20_000),
        (of("review"), serde_json::json!({ "actions": [{ "what": x(2_001) }] }), "actions[0].what", 2_000),
        ("silences".to_owned(), silence(&x(2_001), "a"), "reason", 2_000),
        ("silences".to_owned(), silence("a", &x(501)), "matchers[0].value", 500),
        (
            "circuit-breakers/backend/open".to_owned(),
            serde_json::json!({ "reason": x(2_001) }),
            "reason",
            2_000,
        ),
        ("config/reload".to_owned(), serde_json::json!({ "reason": x(2_001) }), "reason", 2_000),
    ];
    for (path, order, field, most) in &long {
        let answer = proxy.post(path, &order.to_string());
        assert_eq!(answer.status, 413, "{path} {field}: {}", answer.text());
        let said = answer.json()["detail"].as_str().expect("a message").to_owned();
        assert!(said.starts_with(&format!("{field} has {} characters, at most {most}", most + 1)), "{said}");
    }
    let fits = serde_json::json!({ "text": "漢".repeat(10_000), "actor": x(200) });
    let noted = proxy.post(&of("note"), &fits.to_string());
    assert_eq!(noted.status, 200, "{}", noted.text());
    let breaker =
        proxy.post("circuit-breakers/backend/close", &serde_json::json!({ "reason": x(2_000) }).to_string());
    assert_eq!(breaker.status, 200, "{}", breaker.text());
    let silenced = proxy.post("silences", &silence(&x(2_000), &x(500)).to_string());
    assert_eq!(silenced.status, 200, "{}", silenced.text());
    assert_eq!(proxy.sre(&format!("incidents/{id}"))["timeline"].as_array().expect("lines").len(), 2);
}

/// Bytes that the process has written, those of its answers among them.
fn written(proxy: &Proxy) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", proxy.pid())).expect("reads");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("is told");
    line.parse().expect("a number")
}

#[test]
fn a_note_costs_its_line_and_not_the_incident_again_and_the_last_ones_are_refused() {
    let backend = Upstream::start(status(200));
    let mut proxy = ingress_to(backend.address, "");
    let id = incident(&proxy);
    let text = "x".repeat(200);
    let note = || {
        proxy.post(&format!("incidents/{id}/note"), &format!("{{\"actor\": \"ann\", \"text\": \"{text}\"}}"))
    };
    for n in 1..960 {
        assert_eq!(note().status, 200, "note {n}");
    }
    let before = written(&proxy);
    let mut answered = 0;
    for _ in 960..1_000 {
        let noted = note();
        assert_eq!((noted.status, noted.json()["stored"].as_bool()), (200, Some(true)));
        answered += noted.body.len() as u64;
    }
    let each = (written(&proxy) - before).saturating_sub(answered) / 40;
    assert!(each < 100_000, "{each} bytes a note: 376,000 where it is written whole");
    let refused = note();
    assert_eq!(
        (refused.status, refused.json()["code"].as_str().map(str::to_owned)),
        (409, Some("incident_full".to_owned()))
    );
    let taken = proxy.post(&format!("incidents/{id}/ack"), r#"{"actor": "ann"}"#);
    assert_eq!(taken.status, 200, "{}", taken.text());
    let timeline = |proxy: &Proxy| proxy.sre(&format!("incidents/{id}"))["timeline"].clone();
    let known = timeline(&proxy);
    assert_eq!(known.as_array().expect("lines").len(), 1_001);
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    proxy.signal("KILL");
    let proxy = proxy_in(proxy.leave_behind(), &toml);
    eventually("it is taken over", || proxy.sre("incidents")["count"] == 1);
    assert_eq!(timeline(&proxy), known, "all lines, with their numbers");
}

/// As a version of Strop that stored incidents whole has left them.
fn leave_open(dir: &Path, many: u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let tasks = strop::runtime::tasks::Tasks::default();
        let config = crate::store::config(strop::config::StoreAt::Sqlite(dir.join("strop.db")));
        let store = strop::store::Store::open(&config, &tasks).await.expect("opens");
        for draw in 0..many {
            let began = At(1_790_000_000_000 + i64::try_from(draw).expect("fits"));
            let id = IncidentId::of(began.0, draw);
            let key = AlertKey::of(Rule::Manual, "test", id.as_str());
            let (title, severity) = (format!("number {draw}"), Severity::Low);
            let beginning = Beginning { id, key, title: title.clone(), severity, began, earlier: None };
            let mut one = Incident::suspected(beginning, began);
            one.open(Actor::Named("ann".to_owned()), title, began).expect("opens");
            one.tell(
                began,
                Actor::Named("ann".to_owned()),
                EntryKind::Note,
                "left behind".to_owned(),
                Vec::new(),
            );
            let body = serde_json::to_string(&one).expect("writes");
            let row = strop::store::rows::IncidentRow {
                id: one.id.as_str().to_owned(),
                dedup_key: one.dedup.to_string(),
                state: "open".to_owned(),
                severity: "low".to_owned(),
                rule: "manual".to_owned(),
                service: "test".to_owned(),
                started_at: began.0,
                resolved_at: None,
                updated_at: began.0,
                revision: i64::try_from(one.version).expect("fits"),
                member: "earlier".to_owned(),
                body,
            };
            drop(store.write(vec![strop::store::rows::Write::PutIncident(row)]));
        }
        assert_eq!(store.close(std::time::Duration::from_secs(30)).await, 0, "all are on disk");
    });
}

#[test]
fn fifteen_hundred_open_incidents_come_back_and_nobody_opens_one_more_by_hand() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    leave_open(dir.path(), 1_500);
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            health = {{ path = "/up", interval = "200ms", suspect_interval = "200ms" }}
            [incidents.down]
            confirm = "1s"
        "#,
        backend.address
    );
    let proxy = proxy_in(dir, &toml);
    eventually("all are taken over", || proxy.sre("incidents?limit=1")["open"] == 1_500);
    let (mut seen, mut query) = (std::collections::BTreeSet::new(), "incidents?limit=400".to_owned());
    loop {
        let page = proxy.sre(&query);
        for one in page["incidents"].as_array().expect("a list") {
            assert!(seen.insert(one["id"].as_str().expect("an id").to_owned()), "twice: {one}");
        }
        let Some(next) = page["next"].as_str() else { break };
        query = format!("incidents?limit=400&cursor={next}");
    }
    assert_eq!(seen.len(), 1_500);
    let refused = proxy.post("test/incident", "{}");
    assert_eq!((refused.status, refused.field("retry-after")), (429, Some("60")), "{}", refused.text());
    let old = seen.iter().next().expect("some");
    let noted = proxy.post(&format!("incidents/{old}/note"), r#"{"actor": "ann", "text": "still there"}"#);
    let lines = noted.json()["incident"]["timeline"].clone();
    let notes = lines.as_array().expect("lines").iter().filter(|line| line["kind"] == "note");
    let notes: Vec<_> = notes.map(|line| line["text"].clone()).collect();
    assert_eq!(notes, ["left behind", "still there"], "{lines}");
    drop(backend);
    within(std::time::Duration::from_secs(30), "what Strop finds is found", || {
        proxy.get("/");
        proxy.sre("incidents?service=backend&state=open")["count"] == 1
    });
}
