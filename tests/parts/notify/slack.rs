//! Slack: an incoming webhook, and threads by its Web API.

use super::*;

#[test]
fn slack_is_sent_text_and_blocks_and_its_address_stays_secret() {
    let receiver = Upstream::start(bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false));
    let dir = tempfile::tempdir().expect("a directory");
    let url = dir.path().join("url");
    std::fs::write(&url, format!("http://{}/services/T0/B0/secret", receiver.address)).expect("writes");
    let engine = engine(
        &format!(
            r#"
                [notify.team]
                kind = "slack"
                url_file = {url:?}
            "#
        ),
        PATIENCE,
    );
    let receipt = engine.tell("team", &incident(MessageKind::Trigger)).expect("delivered");
    assert!(receipt.said == "200 ok" && !receipt.to_string().contains("B0"), "{receipt}");
    let seen = receiver.seen().remove(0);
    assert_eq!(seen.path(), "/services/T0/B0/secret");
    let told = json(&seen.body);
    assert!(
        told["text"].as_str().expect("text").contains("Stripe does not &lt;answer&gt; &amp; bookings fail")
    );
    let kinds: Vec<&str> = told["blocks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|block| block["type"].as_str())
        .collect();
    assert_eq!(kinds, ["section"], "the first line");
    let beside: Vec<&str> = told["attachments"][0]["blocks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|block| block["type"].as_str())
        .collect();
    assert_eq!(beside, ["section", "section", "context"]);
    let gone = "HTTP/1.1 404 Gone\r\nContent-Length: 37\r\n\r\nno_service for /services/T0/B0/secret";
    receiver.answer(bytes(gone, false));
    let error = engine.fails("team");
    assert!(error.permanent && !error.cause.contains("B0"), "{error}");
}

/// A stand-in for Slack's Web API: gives each message its `ts`.
fn slack_api() -> Upstream {
    let count = AtomicUsize::new(0);
    Upstream::start(Arc::new(move |seen, stream| {
        let said = match seen.path() {
            "/api/chat.postMessage" => {
                let ts = count.fetch_add(1, Ordering::SeqCst) + 1;
                format!("{{\"ok\":true,\"channel\":\"C1\",\"ts\":\"100.{ts}\",\"message\":{{}}}}")
            }
            "/api/chat.update" => "{\"ok\":true,\"channel\":\"C1\",\"ts\":\"100.1\"}".to_owned(),
            _ => "{\"ok\":false,\"error\":\"unknown_method\"}".to_owned(),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
        stream.write_all(format!("{head}{said}").as_bytes()).is_ok()
    }))
}

fn chat(api: &Upstream) -> String {
    format!(
        r##"
            [notify.default]
            kind = "slack"
            token_file = SECRET_FILE
            channel = "#incidents"
            url = "http://{}/api"
        "##,
        api.address
    )
}

#[test]
fn slack_has_one_thread_an_incident_whose_first_message_is_brought_up_to_date() {
    let api = slack_api();
    let engine = engine(&chat(&api), PATIENCE);
    let first = engine.tell("default", &incident(MessageKind::Trigger)).expect("delivered");
    assert_eq!(first.thread.as_deref(), Some("C1/100.1"), "{first}");
    let later = Message { thread: first.thread.clone(), ..incident(MessageKind::Resolve) };
    let receipt = engine.tell("default", &later).expect("delivered");
    assert_eq!(receipt.thread, first.thread);
    let seen = api.seen();
    let paths: Vec<&str> = seen.iter().map(|seen| seen.path()).collect();
    assert_eq!(paths, ["/api/chat.postMessage", "/api/chat.update", "/api/chat.postMessage"]);
    assert!(seen.iter().all(|seen| seen.fields("authorization") == [format!("Bearer {SECRET}")]));
    let told: Vec<serde_json::Value> = seen.iter().map(|seen| json(&seen.body)).collect();
    assert_eq!(
        (&told[0]["channel"], &told[0]["thread_ts"]),
        (&"#incidents".into(), &serde_json::Value::Null)
    );
    assert_eq!((&told[1]["channel"], &told[1]["ts"]), (&"C1".into(), &"100.1".into()));
    assert_eq!((&told[2]["channel"], &told[2]["thread_ts"]), (&"C1".into(), &"100.1".into()));
    assert_eq!(told[1]["attachments"][0]["color"], "#2e7d32", "it is over, and the first message shows it");
}

#[test]
fn slack_says_no_with_200_and_that_is_no_delivery() {
    let say =
        |said: &str| bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len()), false);
    let api = Upstream::start(say("{\"ok\":false,\"error\":\"not_in_channel\"}"));
    let engine = engine(&chat(&api), PATIENCE);
    let error = engine.fails("default");
    assert!(error.permanent && error.cause.contains("invite the bot to the channel"), "{error}");
    api.answer(say("{\"ok\":false,\"error\":\"internal_error\"}"));
    assert!(!engine.fails("default").permanent);
    api.answer(say("<html>a proxy's page</html>"));
    assert_eq!(engine.fails("default").why, DeliveryFailure::Broken);
    // Somebody has deleted the first message: what is new begins a thread of its own.
    let fallen = Arc::new(|seen: &Seen, stream: &mut std::net::TcpStream| {
        let said = match seen.path() {
            "/api/chat.update" => "{\"ok\":false,\"error\":\"message_not_found\"}",
            _ => "{\"ok\":true,\"channel\":\"C1\",\"ts\":\"200.1\"}",
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
        stream.write_all(format!("{head}{said}").as_bytes()).is_ok()
    });
    api.answer(fallen);
    let later = Message { thread: Some("C1/100.1".to_owned()), ..incident(MessageKind::Update) };
    let receipt = engine.tell("default", &later).expect("delivered");
    assert_eq!(receipt.thread.as_deref(), Some("C1/200.1"));
}

#[test]
fn a_thread_goes_on_after_a_kill() {
    let (api, backend) = (slack_api(), Upstream::start(status(200)));
    let secrets = tempfile::tempdir().expect("a directory");
    std::fs::write(secrets.path().join("secret"), SECRET).expect("writes");
    let secret = format!("{:?}", secrets.path().join("secret").display().to_string());
    let mut proxy =
        crate::support::proxy::ingress_to(backend.address, &chat(&api).replace("SECRET_FILE", &secret));
    let made = proxy.post("test/incident", r#"{"title": "All is lost", "severity": "critical"}"#);
    let id = made.json()["incident"]["id"].as_str().expect("an id").to_owned();
    eventually("it was told and stored", || {
        proxy.sre(&format!("incidents/{id}"))["timeline"].to_string().contains("arrived")
    });
    // What is stored is stored in its order: the delivery before this.
    let noted = proxy.post(&format!("incidents/{id}/note"), r#"{"actor": "ann", "text": "before the kill"}"#);
    assert_eq!(noted.json()["stored"], true, "{}", noted.text());
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    proxy.signal("KILL");
    let dir = proxy.leave_behind();
    let proxy = crate::support::proxy::proxy_in(dir, &toml);
    eventually("it is taken over", || proxy.sre("incidents").to_string().contains(&id));
    let before = api.hits();
    proxy.post(&format!("incidents/{id}/resolve"), r#"{"actor": "ann"}"#);
    let resolved = |seen: &Seen| json(&seen.body)["text"].to_string().contains("Resolved (");
    eventually("the end is told", || api.seen()[before..].iter().any(resolved));
    eventually("the end is told in the thread", || {
        let seen = api.seen();
        let mut ends = seen[before..].iter().filter(|seen| resolved(seen));
        ends.any(|seen| seen.path() == "/api/chat.postMessage" && json(&seen.body)["thread_ts"] == "100.1")
    });
    let seen = api.seen();
    let anew = seen[before..].iter().filter(|seen| seen.path() == "/api/chat.postMessage");
    assert!(anew.clone().all(|seen| json(&seen.body)["thread_ts"] == "100.1"), "no second thread");
}
