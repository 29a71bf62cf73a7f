//! Webhooks: signatures, answers, deadlines, the queue before them.

use super::*;

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
            let came = engine.tell_as(&entry.channel, &entry.message, &entry.id.to_string());
            queue.landed(entry, &came, clock, 0);
        }
        clock += 600_000;
    }
    receiver.answer(status(200));
    for entry in queue.depart(clock) {
        let came = engine.tell_as(&entry.channel, &entry.message, &entry.id.to_string());
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
