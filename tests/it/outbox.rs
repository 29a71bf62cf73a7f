use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::proxy::{Proxy, proxy_by, proxy_in};
use crate::support::raw::{self, Client, Response};
use crate::support::upstream::{Answer, Seen, Upstream, bytes, status};
use crate::support::{eventually, within};

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A backend below which writes to `/mail` are queued; `more` is written for it.
fn config(dir: &Path, backend: SocketAddr, outbox: &str, more: &str) -> String {
    let key = dir.join("seal.key");
    std::fs::write(&key, KEY).expect("writes");
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [store]
            url = "off"
            [outbox]
            seal_key_file = {key:?}
            [upstreams.backend]
            endpoints = ["{backend}"]
            breaker = {{ mode = "on", failures = 1, lump = "0s", open_for = "1s" }}
            {more}
            [upstreams.backend.outbox]
            paths = ["/mail"]
            reply = {{ status = 202 }}
            order_by = "X-Order"
            pace = 1000
            backoff = "1s"
            {outbox}
        "#
    )
}

const KEYED: &str = r#"idempotency = { header = "Idempotency-Key", inject = true }"#;

fn started(backend: &Upstream, outbox: &str, more: &str) -> Proxy {
    let dir = tempfile::tempdir().expect("a directory");
    let toml = config(dir.path(), backend.address, outbox, more);
    proxy_in(dir, &toml)
}

fn mail(to: SocketAddr, fields: &str, body: &str) -> Response {
    let length = body.len();
    let head = format!(
        "POST /mail HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{fields}Content-Length: {length}"
    );
    raw::ask(to, &format!("{head}\r\n\r\n{body}"))
}

/// Asks until the breaker refuses.
fn open(proxy: &Proxy) {
    eventually("the breaker opens", || {
        proxy.get("/b");
        proxy.breaker("backend") == "open"
    });
}

fn bodies(upstream: &Upstream) -> Vec<String> {
    let mails = upstream.seen().into_iter().filter(|seen| seen.path() == "/mail");
    mails.map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect()
}

fn waiting(proxy: &Proxy) -> u64 {
    proxy.sre("outbox")["waiting"].as_u64().expect("a number")
}

/// The only write in the outbox.
fn only(proxy: &Proxy) -> serde_json::Value {
    proxy.sre("outbox")["writes"][0].clone()
}

#[test]
fn a_write_that_meets_an_open_breaker_is_acknowledged_and_arrives_when_it_closes() {
    let backend = Upstream::start(status(500));
    let proxy = started(&backend, "", KEYED);
    open(&proxy);
    let hits = backend.hits();
    let fields = "Authorization: Bearer sekret\r\nX-Order: ann\r\n";
    let answer = mail(proxy.ingress(), fields, "dear ann");
    assert_eq!((answer.status, answer.body.len()), (202, 0), "{}", answer.head);
    for (name, value) in [
        ("x-strop-reason", "breaker_open"),
        ("x-strop-degraded", "queued"),
        ("proxy-status", "strop; error=destination_unavailable; details=\"queued: breaker_open\""),
    ] {
        assert_eq!(answer.field(name), Some(value), "{}", answer.head);
    }
    assert_eq!(backend.hits(), hits, "an open breaker sends nothing");
    assert_eq!(waiting(&proxy), 1);
    let told = proxy.sre("outbox").to_string();
    assert!(!told.contains("sekret") && !told.contains("dear"), "{told}");
    let file = std::fs::read(proxy.path().with_file_name("outbox").join("outbox")).expect("reads");
    assert!(raw::find(&file, b"sekret").is_none() && raw::find(&file, b"dear").is_none(), "it is sealed");
    assert_eq!(proxy.metric("strop_outbox_writes", "state=\"waiting\""), 1.0);
    let label = "instead=\"queued\",reason=\"breaker_open\",outcome=\"refused\"";
    assert_eq!(proxy.metric("strop_degraded_answers_total", label), 1.0);

    backend.answer(status(202));
    eventually("it is delivered", || waiting(&proxy) == 0);
    let seen = backend.seen().into_iter().find(|seen| seen.path() == "/mail").expect("it arrived");
    assert_eq!(seen.body, b"dear ann");
    assert_eq!(seen.fields("authorization"), ["Bearer sekret"]);
    assert_eq!(seen.fields("idempotency-key").len(), 1, "it was given a key: {}", seen.head);
    assert_eq!(bodies(&backend), ["dear ann"]);
    assert_eq!(proxy.metric("strop_outbox_outcomes_total", "outcome=\"delivered\""), 1.0);
}

#[test]
fn while_a_write_of_an_order_is_queued_the_later_ones_wait_for_it_and_others_do_not() {
    let backend = Upstream::start(status(500));
    let proxy = started(&backend, "", KEYED);
    open(&proxy);
    for body in ["1", "2", "3"] {
        assert_eq!(mail(proxy.ingress(), "X-Order: ann\r\n", body).status, 202);
    }
    // The oldest is refused for now: its breaker closes, and it waits.
    let busy: Arc<Answer> = Arc::new(|seen, stream| {
        let code = if seen.body == b"1" { "429 Slow" } else { "200 Fine" };
        stream.write_all(format!("HTTP/1.1 {code}\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_ok()
    });
    backend.answer(busy);
    eventually("the oldest was offered", || bodies(&backend).contains(&"1".to_owned()));
    eventually("the upstream is called again", || {
        // A rate limit says nothing of how it is.
        proxy.get("/b");
        proxy.breaker("backend") == "closed"
    });
    let behind = mail(proxy.ingress(), "X-Order: ann\r\n", "4");
    assert_eq!(
        (behind.status, behind.field("x-strop-reason")),
        (202, Some("queued_behind")),
        "{}",
        behind.head
    );
    assert_eq!(mail(proxy.ingress(), "X-Order: bob\r\n", "bob").status, 200, "another order");
    assert_eq!(mail(proxy.ingress(), "", "none").status, 200, "no order");
    assert!(bodies(&backend).iter().all(|body| ["1", "bob", "none"].contains(&body.as_str())));
    backend.answer(status(200));
    eventually("all are delivered", || waiting(&proxy) == 0);
    let mut seen = bodies(&backend);
    seen.retain(|body| !["bob", "none"].contains(&body.as_str()));
    seen.dedup();
    assert_eq!(seen, ["1", "2", "3", "4"]);
}

#[test]
fn what_may_have_arrived_without_a_key_is_a_dead_letter_until_somebody_decides() {
    let backend = Upstream::start(status(500));
    let proxy = started(&backend, "", "");
    open(&proxy);
    assert_eq!(mail(proxy.ingress(), "", "one").status, 202);
    eventually("its answer says nothing", || only(&proxy)["dead_because"] == "unsure");
    assert_eq!(bodies(&backend), ["one"], "it is sent once");
    let id = only(&proxy)["id"].as_u64().expect("a number");
    backend.answer(status(202));
    let retried =
        proxy.post(&format!("outbox/{id}/retry"), r#"{"actor": "ann", "reason": "it is not there"}"#);
    assert_eq!(retried.status, 200, "{}", retried.text());
    eventually("it is delivered", || proxy.sre("outbox")["writes"].as_array().is_some_and(Vec::is_empty));
    assert_eq!(bodies(&backend), ["one", "one"]);

    backend.answer(status(500));
    open(&proxy);
    assert_eq!(mail(proxy.ingress(), "", "two").status, 202);
    backend.answer(status(422));
    eventually("it is refused for good", || only(&proxy)["dead_because"] == "refused");
    let id = only(&proxy)["id"].as_u64().expect("a number");
    assert_eq!(proxy.post(&format!("outbox/{id}/drop"), "{}").status, 200);
    assert_eq!(proxy.post(&format!("outbox/{id}/drop"), "{}").status, 404);
    assert_eq!(proxy.metric("strop_outbox_outcomes_total", "outcome=\"dropped\""), 1.0);
    let audit = proxy.sre("audit").to_string();
    assert!(audit.contains("outbox.retry") && audit.contains("outbox.drop"), "{audit}");
}

#[test]
fn nothing_is_queued_on_an_ordinary_day_nor_what_may_not_be() {
    let backend = Upstream::start(status(201));
    let proxy = started(&backend, "max_body = \"8B\"\nmax_writes = 1", "");
    for body in ["a", "b", "c"] {
        assert_eq!(mail(proxy.ingress(), "", body).status, 201);
    }
    assert_eq!(proxy.metric("strop_outbox_outcomes_total", ""), 0.0);
    // What has left, and may have arrived, is no longer the proxy's to repeat.
    backend.answer(bytes("", false));
    assert_eq!(mail(proxy.ingress(), "", "gone").status, 502);
    open(&proxy);
    let long = mail(proxy.ingress(), "", "too long a body");
    assert_eq!((long.status, long.field("x-strop-reason")), (503, Some("breaker_open")));
    assert_eq!(proxy.get("/mail").status, 503, "a read is none");
    assert_eq!(mail(proxy.ingress(), "", "first").status, 202);
    let full = mail(proxy.ingress(), "", "second");
    assert_eq!((full.status, full.field("x-strop-reason")), (503, Some("outbox_full")));
    assert_eq!(waiting(&proxy), 1);
}

#[test]
fn a_disk_that_is_full_refuses_before_anything_is_acknowledged() {
    let backend = Upstream::start(status(503));
    let dir = tempfile::tempdir().expect("a directory");
    let toml = config(dir.path(), backend.address, "", KEYED);
    let mut command = Command::new("sh");
    // 64 blocks of 512 bytes; the signal of a file that grows longer is ignored, so that the write fails.
    command.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" run --config \"$1\""]);
    command
        .arg(env!("CARGO_BIN_EXE_strop"))
        .arg(dir.path().join("strop.toml"))
        .env("STATE_DIRECTORY", dir.path());
    let mut proxy = proxy_by(&mut command, dir, &toml);
    open(&proxy);
    let mut acknowledged = Vec::new();
    let refused = loop {
        let body = format!("{:05}{}", acknowledged.len(), "x".repeat(6_000));
        let answer = mail(proxy.ingress(), "", &body);
        if answer.status != 202 {
            break answer;
        }
        acknowledged.push(body);
        assert!(acknowledged.len() < 100, "it is never full");
    };
    assert_eq!((refused.status, refused.field("x-strop-reason")), (503, Some("outbox_not_durable")));
    assert!(!acknowledged.is_empty(), "some found room");
    assert_eq!(waiting(&proxy), acknowledged.len() as u64);
    proxy.signal("KILL");
    let dir = proxy.leave_behind();
    backend.answer(status(200));
    let before = bodies(&backend).len();
    let proxy = proxy_in(dir, &toml);
    eventually("all that was acknowledged arrives", || waiting(&proxy) == 0);
    let arrived: BTreeSet<String> = bodies(&backend).split_off(before).into_iter().collect();
    assert_eq!(arrived, acknowledged.into_iter().collect(), "and nothing else does");
}

#[test]
fn one_process_owns_a_directory_and_another_key_opens_nothing() {
    let backend = Upstream::start(status(200));
    let mut proxy = started(&backend, "", "");
    let again = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
        command
            .args(["run", "--config"])
            .arg(proxy.path())
            .env("STATE_DIRECTORY", proxy.path().parent().expect("one"));
        let ended = command.output().expect("runs");
        (ended.status.success(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    let second = again();
    assert!(!second.0 && second.1.contains("another process has it open"), "{second:?}");
    let config = std::fs::read_to_string(proxy.path()).expect("reads");
    assert_eq!(proxy.stop(), Some(0));
    let dir = proxy.leave_behind();
    std::fs::write(dir.path().join("seal.key"), KEY.replace('0', "1")).expect("writes");
    std::fs::write(dir.path().join("strop.toml"), config).expect("writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(["run", "--config"]).arg(dir.path().join("strop.toml")).env("STATE_DIRECTORY", dir.path());
    let ended = command.output().expect("runs");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && told.contains("another key"), "{told}");
}

/// The next number of chance.
fn draw(state: &AtomicU64) -> u64 {
    let next = |old: u64| old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| Some(next(old))).expect("a number") >> 33
}

/// What the upstream has taken: order, number, key.
type Taken = Mutex<Vec<(String, u64, String)>>;

/// Takes some, fails others with an answer, breaks off others; all are taken once `well`.
fn moody(taken: &Arc<Taken>, well: &Arc<AtomicBool>, chance: &Arc<AtomicU64>) -> Arc<Answer> {
    let (taken, well, chance) = (Arc::clone(taken), Arc::clone(well), Arc::clone(chance));
    Arc::new(move |seen: &Seen, stream| {
        let mood = if well.load(Ordering::SeqCst) { 9 } else { draw(&chance) % 10 };
        if mood == 0 {
            return stream.write_all(b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n").is_ok();
        }
        // From here on it has done what it was asked for, whether its answer comes or not.
        let number = String::from_utf8_lossy(&seen.body).parse().expect("a number");
        let key = seen.fields("idempotency-key").concat();
        taken.lock().expect("whole").push((seen.fields("x-order").concat(), number, key));
        mood != 1 && stream.write_all(b"HTTP/1.1 202 Taken\r\nContent-Length: 0\r\n\r\n").is_ok()
    })
}

/// Sends numbered mails of one order until the proxy is gone. Those that were acknowledged are noted.
fn write_on(to: SocketAddr, order: &str, numbers: &AtomicU64, acknowledged: &Mutex<Vec<(String, u64)>>) {
    loop {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        let body = number.to_string();
        let length = body.len();
        let Some(mut client) = Client::try_to(to) else { return };
        let head = format!("POST /mail HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Order: {order}");
        client.send(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes());
        let Some(answer) = client.response(false) else { return };
        if answer.status == 202 {
            acknowledged.lock().expect("whole").push((order.to_owned(), number));
        }
        crate::support::pace(Duration::from_millis(2));
    }
}

/// All that was acknowledged has arrived, whatever arrived twice had one key, and each order came in order.
fn check(taken: &[(String, u64, String)], acknowledged: &[(String, u64)]) -> usize {
    let mut first: BTreeMap<(String, u64), String> = BTreeMap::new();
    let (mut last, mut doubled) = (BTreeMap::<String, u64>::new(), 0);
    for (order, number, key) in taken {
        assert!(!key.is_empty(), "{order} {number} has no key");
        match first.get(&(order.clone(), *number)) {
            Some(known) => {
                assert_eq!(known, key, "{order} {number} came twice with two keys");
                doubled += 1;
            }
            None => {
                let before = last.insert(order.clone(), *number);
                assert!(before.is_none_or(|before| before < *number), "{order}: {number} after {before:?}");
                first.insert((order.clone(), *number), key.clone());
            }
        }
    }
    for (order, number) in acknowledged {
        assert!(
            first.contains_key(&(order.clone(), *number)),
            "{order} {number} was acknowledged and is lost"
        );
    }
    doubled
}

/// `STROP_KILLS` says how often; 10 without it.
#[test]
fn what_was_acknowledged_arrives_in_order_after_kill_9_at_random_moments() {
    let rounds: u64 = std::env::var("STROP_KILLS").ok().map_or(10, |text| text.parse().expect("a number"));
    let chance = Arc::new(AtomicU64::new(u64::from(std::process::id()) ^ 0x0B0E));
    println!("seed {}", chance.load(Ordering::SeqCst));
    let (taken, well): (Arc<Taken>, Arc<AtomicBool>) = Default::default();
    let backend = Upstream::start(moody(&taken, &well, &chance));
    let mut dir = tempfile::tempdir().expect("a directory");
    // What waits at the head of an order is offered again within the next start or two.
    let often = "attempts = 1000\nbackoff_max = \"1s\"\nmax_writes = 10000";
    let toml = config(dir.path(), backend.address, often, KEYED);
    let (numbers, acknowledged) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    for round in 0..rounds {
        let mut proxy = proxy_in(dir, &toml);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (to, numbers, acknowledged) = (proxy.ingress(), &numbers, &acknowledged);
                // Orders outlive some starts.
                let order = format!("{}-{writer}", round / 4);
                scope.spawn(move || write_on(to, &order, numbers, acknowledged));
            }
            let enough = acknowledged.lock().expect("whole").len() + 1 + draw(&chance) as usize % 12;
            eventually("some are acknowledged", || acknowledged.lock().expect("whole").len() >= enough);
            crate::support::pace(Duration::from_micros(draw(&chance) % 30_000));
            proxy.signal("KILL");
        });
        dir = proxy.leave_behind();
    }
    well.store(true, Ordering::SeqCst);
    let proxy = proxy_in(dir, &toml);
    within(Duration::from_secs(120), "the outbox is empty", || waiting(&proxy) == 0);
    assert_eq!(proxy.sre("outbox")["dead"], 0, "{:#}", proxy.sre("outbox"));
    let (taken, acknowledged) = (taken.lock().expect("whole"), acknowledged.lock().expect("whole"));
    let doubled = check(&taken, &acknowledged);
    println!(
        "{rounds} kills, {} acknowledged, {} arrivals, {doubled} of them again, none lost, order held",
        acknowledged.len(),
        taken.len()
    );
}
