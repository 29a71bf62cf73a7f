use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use strop::names::ChannelName;
use strop::notify::queue::{DeliveryState, NotificationQueue, Queued};
use strop::notify::{
    Channels, DeliveryError, DeliveryFailure, Message, MessageKind, Receipt, Sender, Severity, millis,
};
use strop::reliability::brief::Brief;

use crate::support::secure::{TlsFront, issue};
use crate::support::tools::{Server, python, run, tool};
use crate::support::upstream::{Seen, Upstream, bytes, status};
use crate::support::{PATIENCE, eventually};

const SECRET: &str = "0123456789abcdef";

/// A sender with the channels of a config, and the files that hold its secrets.
struct Engine {
    runtime: tokio::runtime::Runtime,
    sender: Sender,
    dir: tempfile::TempDir,
}

/// `SECRET_FILE` in the config stands for a file with [`SECRET`], `DIR` for a directory.
fn engine(toml: &str, patience: Duration) -> Engine {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("secret"), SECRET).expect("writes");
    let sender = Sender::new(Arc::new(channels(toml, dir.path())), patience);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    Engine { runtime: runtime.expect("a runtime"), sender, dir }
}

fn config(toml: &str, dir: &Path) -> String {
    let dir = dir.display().to_string();
    let toml = toml.replace("SECRET_FILE", &format!("\"{dir}/secret\"")).replace("DIR", &dir);
    format!(
        r#"
        [ingress]
        [upstreams.backend]
        endpoints = ["127.0.0.1:1"]
        {toml}
    "#
    )
}

fn channels(toml: &str, dir: &Path) -> Channels {
    let config = strop::config::load(&config(toml, dir), "a test", &[]);
    Channels::new(&config.unwrap_or_else(|problems| panic!("{problems}")))
}

fn named(name: &str) -> ChannelName {
    ChannelName::new(name).expect("a name")
}

impl Engine {
    fn tell(&self, channel: &str, message: &Message) -> Result<Receipt, DeliveryError> {
        self.tell_as(channel, message, "019-message")
    }

    fn tell_as(&self, channel: &str, message: &Message, id: &str) -> Result<Receipt, DeliveryError> {
        self.runtime.block_on(self.sender.deliver(&named(channel), message, id))
    }

    fn fails(&self, channel: &str) -> DeliveryError {
        self.tell(channel, &incident(MessageKind::Trigger)).expect_err("nobody was told")
    }
}

fn now() -> u64 {
    millis(std::time::SystemTime::now())
}

fn incident(kind: MessageKind) -> Message {
    let at = now();
    Message {
        incident_id: "019-incident".to_owned(),
        dedup_key: "payments/UpstreamDown/stripe".to_owned(),
        kind,
        severity: Severity::Critical,
        title: "Stripe does not <answer> & bookings fail".to_owned(),
        summary: "42 % of attempts failed".to_owned(),
        service: "payments".to_owned(),
        rule: "UpstreamDown".to_owned(),
        started_at: at - 30_000,
        at,
        ends_at: (kind == MessageKind::Resolve).then_some(at),
        link: Some("https://strop.example/incidents/019?a=1&b=2".to_owned()),
        facts: vec![("error rate".to_owned(), "42 %".to_owned())],
        instance: "pod-7".to_owned(),
        brief: Brief::default(),
        thread: None,
    }
}

fn webhook(url: &str) -> String {
    format!(
        r#"
        [notify.hook]
        kind = "webhook"
        url = "{url}"
        secret_file = SECRET_FILE
    "#
    )
}

fn hook(receiver: &Upstream) -> Engine {
    engine(&webhook(&format!("http://{}/hook?to=us", receiver.address)), PATIENCE)
}

fn json(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).expect("JSON")
}

#[test]
fn a_webhook_is_signed_so_that_others_can_verify_it() {
    let receiver = Upstream::start(status(200));
    let engine = hook(&receiver);
    let receipt = engine.tell("hook", &incident(MessageKind::Trigger)).expect("delivered");
    assert_eq!((receipt.channel.as_str(), receipt.again_in), ("hook", None));
    assert!(receipt.said.starts_with("200 ") && receipt.took < PATIENCE, "{receipt}");
    let seen = receiver.seen().remove(0);
    assert!(seen.head.starts_with("POST /hook?to=us HTTP/1.1\r\n"), "{}", seen.head);
    assert_eq!(seen.fields("host"), [receiver.address.to_string()]);
    assert_eq!(seen.fields("idempotency-key"), ["019-message"]);
    let body = engine.dir.path().join("body");
    std::fs::write(&body, &seen.body).expect("writes");
    let verify = "import hashlib, hmac, sys, time\n\
                  timestamp, signature = sys.argv[2:4]\n\
                  body = open(sys.argv[1], 'rb').read()\n\
                  signed = hmac.new(sys.argv[4].encode(), timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()\n\
                  print(hmac.compare_digest('v1=' + signed, signature) and abs(time.time() - int(timestamp)) <= 300)\n";
    let verified = run(tool("python3").args(["-c", verify]).arg(&body).args([
        seen.fields("strop-timestamp")[0],
        seen.fields("strop-signature")[0],
        SECRET,
    ]));
    assert_eq!(verified, b"True\n");
    let told = json(&seen.body);
    assert_eq!(told["kind"], "trigger");
    assert_eq!(told["title"], "Stripe does not <answer> & bookings fail");
    assert_eq!(told["facts"][0], serde_json::json!({ "name": "error rate", "value": "42 %" }));
}

#[test]
fn a_receiver_says_whether_to_try_again_and_when() {
    let receiver = Upstream::start(status(500));
    let engine = hook(&receiver);
    let error = engine.fails("hook");
    assert!(!error.permanent && error.cause.starts_with("status 500"), "{error:?}");
    receiver.answer(bytes("HTTP/1.1 429 Slow\r\nRetry-After: 17\r\nContent-Length: 0\r\n\r\n", false));
    let error = engine.fails("hook");
    assert_eq!((error.why, error.permanent), (DeliveryFailure::Busy, false));
    assert_eq!(error.retry_after, Some(Duration::from_secs(17)));
    receiver.answer(bytes("HTTP/1.1 404 Gone\r\nContent-Length: 14\r\n\r\nno /hook?to=us", false));
    let error = engine.fails("hook");
    assert_eq!(
        (error.permanent, error.cause.as_str()),
        (true, "status 404: no …"),
        "what is secret is not told"
    );
    receiver.answer(bytes("nonsense\r\n\r\n", false));
    assert_eq!(engine.fails("hook").why, DeliveryFailure::Broken);
    assert_eq!(engine.fails("nobody").why, DeliveryFailure::NoChannel);
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Upstream::start(status(200));
    let moved =
        format!("HTTP/1.1 307 Moved\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", elsewhere.address);
    let receiver = Upstream::start(bytes(moved, false));
    let error = hook(&receiver).fails("hook");
    assert!(error.permanent && error.cause.contains("redirects are not followed"), "{error}");
    assert_eq!(elsewhere.hits(), 0);
}

#[test]
fn a_receiver_that_hangs_costs_the_deadline_and_no_more() {
    let receiver = Upstream::start(Arc::new(|_, _| true));
    let patience = Duration::from_millis(300);
    let engine = engine(&webhook(&format!("http://{}/", receiver.address)), patience);
    let start = Instant::now();
    let error = engine.fails("hook");
    assert_eq!((error.why, error.permanent), (DeliveryFailure::Late, false));
    assert!((patience..PATIENCE).contains(&start.elapsed()), "{:?}", start.elapsed());
    receiver.kill();
    eventually("nobody listens", || engine.fails("hook").why == DeliveryFailure::Connect);
}

#[test]
fn only_a_certificate_of_a_trusted_root_is_spoken_to() {
    let receiver = Upstream::start(status(204));
    let issued = issue(&["localhost"]);
    let front = TlsFront::start(&issued, receiver.address);
    let url = format!("https://localhost:{}/", front.address.port());
    let stranger = engine(&webhook(&url), PATIENCE).fails("hook");
    assert_eq!((stranger.why, stranger.permanent), (DeliveryFailure::Tls, false));
    let by_address = format!("https://127.0.0.1:{}/", front.address.port());
    let trusting = |url: &str| engine(&format!("{}ca_file = {:?}\n", webhook(url), issued.ca), PATIENCE);
    assert_eq!(
        trusting(&by_address).fails("hook").why,
        DeliveryFailure::Tls,
        "another name than the certificate's"
    );
    assert_eq!(receiver.hits(), 0);
    trusting(&url).tell("hook", &incident(MessageKind::Trigger)).expect("delivered");
}

#[test]
fn a_reload_replaces_the_channels_of_a_sender() {
    let (old, new) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let engine = hook(&old);
    engine.tell("hook", &incident(MessageKind::Trigger)).expect("delivered");
    let toml = webhook(&format!("http://{}/", new.address))
        + &webhook("http://127.0.0.1:1/").replace("hook]", "more]");
    engine.sender.replace(Arc::new(channels(&toml, engine.dir.path())));
    engine.tell("hook", &incident(MessageKind::Update)).expect("delivered");
    assert_eq!((old.hits(), new.hits()), (1, 1));
    let names: Vec<String> = engine.sender.channels().names().map(ToString::to_string).collect();
    assert_eq!(names, ["hook", "more"]);
}

#[test]
fn a_queue_gets_its_messages_through_in_order_and_each_once() {
    let receiver = Upstream::start(status(200));
    let engine = hook(&receiver);
    let mut queue = NotificationQueue::default();
    let mut clock = 0;
    for (nth, (kind, answer)) in [
        (MessageKind::Trigger, 200),
        (MessageKind::Update, 500),
        (MessageKind::Update, 500),
        (MessageKind::Resolve, 500),
    ]
    .into_iter()
    .enumerate()
    {
        receiver.answer(status(answer));
        queue.push(Queued::new(format!("m{nth}"), "hook".to_owned(), incident(kind), clock));
        queue.fold();
        for entry in queue.depart(clock) {
            let came = engine.tell_as(&entry.channel, &entry.message, &entry.id);
            queue.landed(entry, &came, clock, 0);
        }
        clock += 600_000;
    }
    receiver.answer(status(200));
    for entry in queue.depart(clock) {
        let came = engine.tell_as(&entry.channel, &entry.message, &entry.id);
        queue.landed(entry, &came, clock, 0);
    }
    let seen = receiver.seen();
    let ids: Vec<&str> = seen.iter().map(|seen| seen.fields("idempotency-key")[0]).collect();
    assert_eq!(ids, ["m0", "m1", "m2", "m3", "m3"], "each update once, and the end until it was taken");
    let states: Vec<DeliveryState> = queue.entries().iter().map(|entry| entry.progress.state).collect();
    assert_eq!(
        states,
        [DeliveryState::Sent, DeliveryState::Folded, DeliveryState::Folded, DeliveryState::Sent]
    );
}

#[test]
fn a_receiver_that_takes_a_message_and_does_not_end_its_answer_has_it() {
    let receiver = Upstream::start(bytes("HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nok", true));
    let engine = hook(&receiver);
    let receipt =
        engine.tell("hook", &incident(MessageKind::Trigger)).expect("delivered: the status says so");
    assert!(receipt.said == "202 ok" && receipt.took < Duration::from_secs(9), "{receipt}");
    receiver.answer(bytes("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n", true));
    let error = engine.fails("hook");
    assert_eq!((error.permanent, error.cause.as_str()), (true, "status 403: no"), "not late: refused");
    assert_eq!(receiver.hits(), 2);
}

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

/// The text of a section of a webhook's body.
fn section(told: &serde_json::Value, name: &str) -> String {
    let all = told["sections"].as_array().expect("a list");
    let one = all.iter().find(|section| section["name"] == name);
    one.unwrap_or_else(|| panic!("no {name} in {told:#}")).to_string()
}

#[test]
fn a_call_about_a_dead_backend_says_for_whom_and_where_and_its_command_takes_it() {
    let (pager, backend) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let secrets = tempfile::tempdir().expect("a directory");
    std::fs::write(secrets.path().join("secret"), SECRET).expect("writes");
    let secret = format!("{:?}", secrets.path().join("secret").display().to_string());
    let hook = webhook(&format!("http://{}/page", pager.address)).replace("SECRET_FILE", &secret);
    let hook = hook.replace("notify.hook", "notify.default");
    let soon = r#"
        health = { path = "/up", interval = "200ms", suspect_interval = "200ms" }
        [incidents.down]
        confirm = "2s"
    "#;
    let address = backend.address;
    let proxy = crate::support::proxy::ingress_to(address, &format!("{soon}{hook}"));
    let here = format!("public_url = \"http://{}\"\n", proxy.admin());
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    let answer = proxy.reload(&toml.replacen("[admin]\n", &format!("[admin]\n{here}"), 1));
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually("it is known to be up", || proxy.get("/").status == 200);
    drop(backend);
    let called = || {
        let told = pager.seen().iter().map(|seen| json(&seen.body)).find(|told| told["kind"] == "trigger");
        told.filter(|told| told["service"] == "backend")
    };
    eventually("somebody is called", || {
        proxy.get("/");
        called().is_some()
    });
    let told = called().expect("told");
    let first = told["summary"].as_str().expect("text");
    for part in
        ["Critical", "backend is down", "since", "UTC", "requests of route default failed in the last minute"]
    {
        assert!(first.contains(part), "{part} is missing: {first}");
    }
    let seen = section(&told, "evidence");
    assert!(seen.contains(&address.to_string()) && seen.contains("fails its checks"), "{seen}");
    assert!(seen.contains("Route default to backend") && seen.contains("× 502 (bad gateway)"), "{seen}");
    assert!(section(&told, "next").contains("are called again"), "{told:#}");
    let id = told["incident_id"].as_str().expect("an id");
    assert_eq!(told["link"], format!("http://{}/api/v2/sre/incidents/{id}", proxy.admin()));
    let take = told["sections"].as_array().expect("a list").iter().find(|one| one["name"] == "acknowledge");
    let command = take.expect("there")["command"].as_str().expect("a command").to_owned();
    run(tool("sh").args(["-c", &command]));
    let one = proxy.sre(&format!("incidents/{id}"));
    assert_eq!((&one["state"], &one["acknowledged_by"]), (&"acknowledged".into(), &"YOUR NAME".into()));
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

/// A real mail server and the directory where it puts what it took.
struct Mailbox {
    server: Server,
    dir: tempfile::TempDir,
}

fn mail_server(security: &str, pair: &[&Path]) -> Mailbox {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(python("smtp_server.py").arg(dir.path()).arg(security).args(pair));
    Mailbox { server, dir }
}

impl Mailbox {
    /// What it took, in its order.
    fn mails(&self) -> Vec<serde_json::Value> {
        let read = |n: usize| std::fs::read(self.dir.path().join(format!("{n}.json"))).ok();
        (1..).map_while(read).map(|text| json(&text)).collect()
    }

    fn channel(&self, tls: &str, more: &str) -> String {
        format!(
            r#"
                [notify.mail]
                kind = "email"
                server = "localhost:{}"
                tls = "{tls}"
                from = "strop@example.com"
                {more}
            "#,
            self.server.address.port()
        )
    }
}

const TO_ONCALL: &str = "to = [\"oncall@example.com\"]\n";

fn field(mail: &serde_json::Value, name: &str) -> String {
    let text = mail["text"].as_str().expect("text").replace("\r\n ", " ");
    let of = |line: &str| line.strip_prefix(&format!("{name}: ")).map(str::to_owned);
    text.lines().find_map(of).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn a_real_mail_server_takes_a_thread_of_mails() {
    let mailbox = mail_server("plain", &[]);
    let engine = engine(&mailbox.channel("none", TO_ONCALL), PATIENCE);
    let receipt = engine.tell_as("mail", &incident(MessageKind::Trigger), "m1").expect("delivered");
    assert_eq!(
        (receipt.said.as_str(), receipt.to.as_str()),
        ("250 taken as 1", "oncall@example.com by localhost")
    );
    engine.tell_as("mail", &incident(MessageKind::Trigger), "m1").expect("delivered again");
    engine.tell_as("mail", &incident(MessageKind::Resolve), "m2").expect("delivered");
    let mails = mailbox.mails();
    let ids: Vec<String> = mails.iter().map(|mail| field(mail, "Message-ID")).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
    assert!(mails.iter().all(|mail| field(mail, "References") == field(&mails[0], "In-Reply-To")));
    assert_eq!(mails[0]["hello"], "[127.0.0.1]");
    assert!(field(&mails[2], "Subject").starts_with("[critical] payments: resolved: Stripe"));
    let text = mails[0]["text"].as_str().expect("text");
    assert!(text.contains("multipart/alternative") && text.contains("error rate: 42=C2=A0%"), "{text}");
}

#[test]
fn one_recipient_that_is_refused_keeps_nobody_else_from_being_told() {
    let mailbox = mail_server("plain", &[]);
    let to = |to: &str| engine(&mailbox.channel("none", &format!("to = [{to}]\n")), PATIENCE);
    let both = to("\"nobody@example.com\", \"oncall@example.com\"");
    let receipt = both.tell("mail", &incident(MessageKind::Trigger)).expect("delivered");
    assert!(
        receipt.said.contains("nobody@example.com") && receipt.said.contains("no such user"),
        "{receipt}"
    );
    assert_eq!(mailbox.mails()[0]["to"], serde_json::json!(["oncall@example.com"]));
    assert!(to("\"nobody@example.com\"").fails("mail").permanent);
    let error = to("\"later@example.com\", \"nobody@example.com\"").fails("mail");
    assert!(!error.permanent && error.cause.contains("come back later"), "{error}");
}

#[test]
fn a_recipient_who_is_put_off_is_asked_again_alone_and_only_who_has_it_is_named() {
    let mailbox = mail_server("plain", &[]);
    let to = "to = [\"grey@example.com\", \"oncall@example.com\"]\n";
    let engine = engine(&mailbox.channel("none", to), PATIENCE);
    let mut queue = NotificationQueue::default();
    queue.push(Queued::new("m1".to_owned(), "mail".to_owned(), incident(MessageKind::Trigger), 0));
    let mut told = Vec::new();
    let mut clock = 0;
    while let Some(at) = queue.wakes_at(clock) {
        clock = at;
        for entry in queue.depart(clock) {
            let name = named("mail");
            let asked = engine.sender.deliver_to(&name, &entry.message, &entry.id, &entry.left);
            let came = engine.runtime.block_on(asked);
            told.push(came.as_ref().map_or_else(|error| error.cause.clone(), |receipt| receipt.to.clone()));
            queue.landed(entry, &came, clock, 0);
        }
    }
    assert_eq!(told, ["oncall@example.com by localhost", "grey@example.com by localhost"]);
    assert_eq!(queue.entries()[0].progress.state, DeliveryState::Sent);
    let mails = mailbox.mails();
    let recipients: Vec<&serde_json::Value> = mails.iter().map(|mail| &mail["to"]).collect();
    let each = [serde_json::json!(["oncall@example.com"]), serde_json::json!(["grey@example.com"])];
    assert_eq!(recipients, [&each[0], &each[1]], "nobody gets it twice");
    assert_eq!(field(&mails[0], "Message-ID"), field(&mails[1], "Message-ID"));
    let gone = engine.runtime.block_on(engine.sender.deliver_to(
        &named("mail"),
        &incident(MessageKind::Trigger),
        "m2",
        &["left@example.com".to_owned()],
    ));
    assert!(gone.expect_err("no recipient of the config").permanent);
}

#[test]
fn mail_goes_through_tls_that_is_verified_and_with_a_log_in() {
    let issued = issue(&["localhost"]);
    for security in ["starttls", "implicit"] {
        let mailbox = mail_server(security, &[&issued.cert, &issued.key]);
        let login = "username = \"strop\"\npassword_file = SECRET_FILE\n";
        let channel = mailbox.channel(security, &format!("{TO_ONCALL}{login}"));
        let stranger = engine(&channel, PATIENCE).fails("mail");
        assert_eq!(
            (stranger.why, stranger.permanent),
            (DeliveryFailure::Tls, false),
            "{security}: {stranger}"
        );
        let trusting = format!("{channel}ca_file = {:?}\n", issued.ca);
        engine(&trusting, PATIENCE).tell("mail", &incident(MessageKind::Trigger)).expect("delivered");
        let wrong = engine(&trusting.replace("\"strop\"", "\"stranger\""), PATIENCE).fails("mail");
        assert!(wrong.permanent && wrong.cause.contains("log-in"), "{wrong}");
        let mails = mailbox.mails();
        assert_eq!((mails.len(), &mails[0]["secure"]), (1, &serde_json::json!(true)), "{security}");
    }
}

#[test]
fn mail_is_not_sent_in_the_clear_where_tls_is_wanted() {
    let mailbox = mail_server("plain", &[]);
    let error = engine(&mailbox.channel("starttls", TO_ONCALL), PATIENCE).fails("mail");
    assert!(error.permanent && error.cause.contains("offers no STARTTLS"), "{error}");
    assert!(mailbox.mails().is_empty());
}

/// CVE-2011-0411 and its kin: what somebody in the middle adds after "go ahead" must not count as said in TLS.
#[test]
fn nothing_said_before_tls_is_believed_after_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let middle = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepts");
        let mut lines = BufReader::new(stream.try_clone().expect("clones"));
        let said =
            ["220 hello\r\n", "250-hello\r\n250 STARTTLS\r\n", "220 go ahead\r\n250 welcome\r\n250 OK\r\n"];
        for say in said {
            stream.write_all(say.as_bytes()).expect("writes");
            // The last thing that is read is no line but TLS.
            let _ = lines.read_until(b'\n', &mut Vec::new());
        }
    });
    let toml = format!(
        r#"
            [notify.mail]
            kind = "email"
            server = "localhost:{port}"
            from = "strop@example.com"
            {TO_ONCALL}
        "#
    );
    assert_eq!(engine(&toml, PATIENCE).fails("mail").why, DeliveryFailure::Tls);
    middle.join().expect("ends");
}

fn notify_test(toml: &str, channel: &str) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("secret"), SECRET).expect("writes");
    let path = dir.path().join("strop.toml");
    std::fs::write(&path, config(toml, dir.path())).expect("writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(["notify", "test", channel, "--config"]).arg(&path).output().expect("runs")
}

#[test]
fn the_command_line_tries_a_channel_and_prints_what_came_of_it() {
    let receiver = Upstream::start(status(200));
    let toml = webhook(&format!("http://{}/hook", receiver.address));
    let ran = notify_test(&toml, "hook");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(told.starts_with("hook told 127.0.0.1:") && told.contains("200"), "{told}");
    assert_eq!(json(&receiver.seen()[0].body)["kind"], "test");
    receiver.answer(status(403));
    let ran = notify_test(&toml, "hook");
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("hook told nobody: status 403"));
    let ran = notify_test(&toml, "hok");
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("no channel is named \"hok\" (hook)"));
}

#[test]
fn check_warns_of_a_channel_that_falls_with_what_it_tells_about() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("secret"), SECRET).expect("writes");
    let path = dir.path().join("strop.toml");
    let text = config(&webhook("http://127.0.0.1:8000/hook"), dir.path());
    std::fs::write(&path, text).expect("writes");
    let ran = Command::new(env!("CARGO_BIN_EXE_strop")).arg("check").arg(&path).output().expect("runs");
    assert_eq!(ran.status.code(), Some(0));
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(told.contains("warning: notify.hook sends to the ingress of this very process"), "{told}");
}

#[test]
fn the_sidecar_shows_its_channels_without_their_secrets() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, SECRET).expect("writes");
    let toml = |to: &str| {
        format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                [upstreams.backend]
                endpoints = ["{}"]
                [notify.hook]
                kind = "webhook"
                url = "https://{to}/hook?token=a"
                secret_file = {secret:?}
            "#,
            backend.address
        )
    };
    let proxy = crate::support::proxy::proxy(&toml("a.example"));
    let shown = proxy.sre("config");
    let told = shown.to_string();
    assert!(!told.contains(SECRET) && !told.contains("token=a"), "{told}");
    let hash = shown["effective"]["notify"]["hook"]["secret_file (content)"].as_str();
    assert_eq!(hash.map(str::len), Some(16), "{told}");
    let answer = proxy.reload(&toml("b.example")).json();
    assert_eq!(answer["applied"][0]["path"], "notify.hook.url");
    assert!(answer["needs_restart"].as_array().expect("a list").is_empty());
}
