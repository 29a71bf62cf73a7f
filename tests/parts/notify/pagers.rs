//! PagerDuty as its API documents it, and a real Alertmanager.

use super::*;

#[test]
fn pagerduty_is_sent_what_its_api_documents() {
    let accepted = "{\"status\":\"success\",\"message\":\"Event processed\",\"dedup_key\":\"x\"}";
    let head = format!("HTTP/1.1 202 Accepted\r\nContent-Length: {}\r\n\r\n", accepted.len());
    let receiver = Upstream::start(bytes(head + accepted, false));
    let toml = format!(
        r#"
            [notify.pager]
            kind = "pagerduty"
            url = "http://{}/v2/enqueue"
            routing_key_file = SECRET_FILE
        "#,
        receiver.address
    );
    let engine = engine(&toml, PATIENCE);
    let long =
        Message { dedup_key: "k".repeat(2_000), title: "t".repeat(5_000), ..incident(MessageKind::Update) };
    let messages = [
        incident(MessageKind::Trigger),
        incident(MessageKind::Acknowledge),
        long,
        incident(MessageKind::Resolve),
    ];
    for message in &messages {
        let receipt = engine.tell("pager", message).expect("delivered");
        assert!(receipt.said.starts_with("202 ") && receipt.said.contains("Event processed"), "{receipt}");
    }
    let seen = receiver.seen();
    assert!(seen.iter().all(|seen| seen.path() == "/v2/enqueue"));
    let events: Vec<serde_json::Value> = seen.iter().map(|seen| json(&seen.body)).collect();
    let actions: Vec<_> = events.iter().map(|event| event["event_action"].as_str().expect("text")).collect();
    assert_eq!(actions, ["trigger", "acknowledge", "trigger", "resolve"]);
    for event in &events {
        documented(event);
    }
    assert_eq!(events[0]["dedup_key"], events[3]["dedup_key"], "so that the resolve finds its alert");
    receiver.answer(bytes("HTTP/1.1 400 No\r\nContent-Length: 24\r\n\r\nbad key 0123456789abcdef", false));
    let error = engine.fails("pager");
    assert!(error.permanent && error.cause == "status 400: bad key …", "{error}");
}

/// "Send an Alert Event" of PagerDuty's Events API v2: keys, required ones, enumerations, lengths.
fn documented(event: &serde_json::Value) {
    let known = |value: &serde_json::Value, keys: &[&str]| {
        let unknown: Vec<&String> = value
            .as_object()
            .expect("an object")
            .keys()
            .filter(|key| !keys.contains(&key.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    };
    known(
        event,
        &["routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"],
    );
    assert_eq!(event["routing_key"], SECRET);
    assert!(event["dedup_key"].as_str().expect("text").chars().count() <= 255);
    if event["event_action"] == "trigger" {
        let payload = &event["payload"];
        let keys =
            ["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"];
        known(payload, &keys);
        assert!((1..=1_024).contains(&payload["summary"].as_str().expect("text").chars().count()));
        assert!(!payload["source"].as_str().expect("text").is_empty());
        assert!(
            ["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().expect("text"))
        );
        payload["timestamp"].as_str().expect("text").parse::<jiff::Timestamp>().expect("ISO 8601");
        assert!(payload["custom_details"].is_object());
        for link in event["links"].as_array().into_iter().flatten() {
            known(link, &["href", "text"]);
        }
    }
}

/// A real one, without a cluster, that notifies nobody.
fn alertmanager(dir: &Path) -> Server {
    let config = dir.join("alertmanager.yml");
    std::fs::write(&config, "route:\n  receiver: nobody\nreceivers:\n- name: nobody\n").expect("writes");
    let mut command = tool("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", dir.join("data").display()))
        .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="]);
    Server::start_logging(&mut command, |line| {
        if !line.contains("Listening on") {
            return None;
        }
        line.rsplit_once("127.0.0.1:")?
            .1
            .chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse()
            .ok()
    })
}

fn alerts(manager: &Server) -> Vec<serde_json::Value> {
    let answer = crate::support::raw::get(manager.address, "/api/v2/alerts");
    answer.json().as_array().expect("a list").clone()
}

#[test]
fn a_real_alertmanager_has_the_alert_and_then_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let manager = alertmanager(dir.path());
    // One member of the cluster is down, one hangs: all are tried, at the same time.
    let hangs = Upstream::start(Arc::new(|_, _| true));
    let down = Upstream::start(status(200));
    down.kill();
    let toml = format!(
        r#"
            [notify.am]
            kind = "alertmanager"
            urls = ["http://{}", "http://{}", "http://{}"]
            interval = "20s"
        "#,
        hangs.address, down.address, manager.address
    );
    let engine = engine(&toml, Duration::from_secs(5));
    eventually("it is there", || crate::support::raw::get(manager.address, "/-/ready").status == 200);
    let receipt = engine.tell("am", &incident(MessageKind::Trigger)).expect("delivered");
    assert_eq!(receipt.again_in, Some(Duration::from_secs(20)), "it forgets, so it is told again");
    assert!(receipt.said.contains("not done within 5s") && receipt.said.contains(": 200"), "{receipt}");
    let firing = alerts(&manager);
    assert_eq!(firing.len(), 1, "{firing:#?}");
    assert_eq!(firing[0]["labels"]["alertname"], "UpstreamDown");
    assert_eq!(firing[0]["labels"]["service"], "payments");
    assert_eq!(firing[0]["annotations"]["error_rate"], "42 %");
    let ends_at: jiff::Timestamp = firing[0]["endsAt"].as_str().expect("text").parse().expect("a moment");
    let ahead = ends_at.as_millisecond() - i64::try_from(now()).expect("fits");
    assert!((40_000..=60_000).contains(&ahead), "three intervals: {ahead} ms");
    let update = Message {
        facts: vec![("error rate".to_owned(), "97 %".to_owned())],
        instance: "pod-8".to_owned(),
        started_at: now() - 60_000,
        ..incident(MessageKind::Update)
    };
    engine.tell("am", &update).expect("delivered");
    let firing = alerts(&manager);
    assert_eq!(firing.len(), 1, "the same alert, whoever tells it");
    assert_eq!(firing[0]["annotations"]["error_rate"], "97 %");
    let receipt = engine.tell("am", &incident(MessageKind::Resolve)).expect("delivered");
    assert_eq!(receipt.again_in, Some(Duration::from_secs(20)), "for five minutes");
    eventually("it is resolved", || alerts(&manager).is_empty());
}
