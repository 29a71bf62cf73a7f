use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::{Client, ask};
use crate::support::upstream::{Answer, Upstream, bytes, status};
use crate::support::{eventually, pace};

const BY_STATUS: &str = "retry = { statuses = [\"502-504\"] }\n";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nX-Told: busy\r\nContent-Length: 5\r\n\r\nlater";

/// The first answer to each path is `first`, the others are `then`.
fn first(first: Arc<Answer>, then: Arc<Answer>) -> Arc<Answer> {
    let seen_paths: Mutex<std::collections::HashSet<String>> = Mutex::default();
    Arc::new(move |seen, stream| {
        let new = seen_paths.lock().expect("not poisoned").insert(seen.path().to_owned());
        if new { first(seen, stream) } else { then(seen, stream) }
    })
}

fn by_status(proxy: &Proxy) -> f64 {
    proxy.metric("strop_retries_total", "reason=\"status\"")
}

#[test]
fn a_read_is_repeated_for_the_status_of_its_answer_where_that_is_asked_for() {
    let backend = Upstream::start(first(bytes(BUSY, true), status(200)));
    let off = ingress_to(backend.address, "");
    assert_eq!((off.get("/off").status, backend.hits()), (503, 1));
    let on = ingress_to(backend.address, BY_STATUS);
    assert_eq!(on.get("/on").text(), "200 /on\n");
    let head = ask(on.ingress(), "HEAD /head HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(head.status, 200);
    let body = "GET /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nq=1";
    assert_eq!(ask(on.ingress(), body).status, 200);
    let seen = backend.seen();
    let asked: Vec<_> = seen.iter().filter(|seen| seen.path() == "/body").collect();
    assert!(asked.len() == 2 && asked.iter().all(|seen| seen.body == b"q=1"), "{asked:?}");
    assert_eq!(by_status(&on), 3.0);
    let shown = on.sre("upstreams/backend");
    assert_eq!((&shown["retries_by_reason"]["status"], &shown["retries"]), (&3.into(), &3.into()), "{shown}");
    assert_eq!((&shown["attempts"]["status"], &shown["attempts"]["good"]), (&3.into(), &3.into()), "{shown}");
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let path = format!("/{method}");
        let write =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let answer = ask(on.ingress(), &write);
        assert_eq!((answer.status, answer.text().as_str()), (503, "later"), "{method}");
        assert_eq!(backend.seen().iter().filter(|seen| seen.path() == path).count(), 1, "{method}");
    }
    backend.answer(first(status(500), status(200)));
    assert_eq!(on.get("/other").status, 500, "that one was not listed");
}

#[test]
fn connections_of_answers_that_were_set_aside_serve_again() {
    let backend = Upstream::start(first(bytes(BUSY, true), status(200)));
    let all = BY_STATUS.replace("retry = {", "retry = { budget = \"100%\",");
    let proxy = ingress_to(backend.address, &all);
    for n in 0..20 {
        assert_eq!(proxy.get(&format!("/{n}")).status, 200);
    }
    assert_eq!(backend.hits(), 40);
    assert!(backend.connections() <= 8, "{} connections", backend.connections());
}

#[test]
fn an_answer_that_is_not_bettered_is_passed_on_as_it_came() {
    let as_it_came = |answer: &crate::support::raw::Response, what: &str| {
        assert_eq!((answer.status, answer.text().as_str()), (503, "later"), "{what}");
        assert_eq!((answer.field("x-told"), answer.field("x-strop-reason")), (Some("busy"), None), "{what}");
    };
    let backend = Upstream::start(first(bytes(BUSY, true), bytes("", false)));
    let proxy = ingress_to(backend.address, BY_STATUS);
    as_it_came(&proxy.get("/reset"), "the next attempt is reset");
    assert_eq!((backend.hits(), by_status(&proxy)), (2, 1.0));
    backend.answer(first(bytes(BUSY, true), bytes("nonsense\r\n\r\n", false)));
    as_it_came(&proxy.get("/nonsense"), "the next answer is no HTTP");
    backend.answer(first(bytes(BUSY, true), Arc::new(|_, _| true)));
    let late = ingress_to(backend.address, &format!("{BY_STATUS}timeouts = {{ per_try = \"150ms\" }}\n"));
    as_it_came(&late.get("/late"), "the next attempt is late");
    // It is counted when it is over, which its client may know sooner.
    eventually("it is counted as what it was", || {
        late.metric("http_requests_total", "status=\"503\"") == 1.0
    });
    let poor = "retry = { statuses = [\"503\"], budget = \"0%\", min_per_second = 0 }\n";
    let poor = ingress_to(backend.address, poor);
    as_it_came(&poor.get("/poor"), "the budget is empty");
    assert_eq!(poor.metric("strop_retry_budget_denied_total", "upstream=\"backend\""), 1.0);
    backend.answer(bytes(BUSY, true));
    let before = backend.hits();
    as_it_came(&proxy.get("/again"), "the next answer is no better");
    assert_eq!(backend.hits() - before, 2, "two attempts, as the default is");
}

#[test]
fn the_wait_that_an_upstream_asks_for_is_kept_or_its_answer_is_passed_on() {
    let at: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let asks = |wait: &str| {
        let at = Arc::clone(&at);
        let busy = format!("HTTP/1.1 503 Busy\r\nRetry-After: {wait}\r\nContent-Length: 0\r\n\r\n");
        let answer = first(bytes(busy, true), status(200));
        let timed: Arc<Answer> = Arc::new(move |seen, stream| {
            at.lock().expect("not poisoned").push(Instant::now());
            answer(seen, stream)
        });
        timed
    };
    let backend = Upstream::start(asks("0.3"));
    let proxy = ingress_to(backend.address, BY_STATUS);
    assert_eq!(proxy.get("/").status, 200);
    {
        let at = at.lock().expect("not poisoned");
        assert!(at.len() == 2 && at[1] - at[0] >= Duration::from_millis(300), "{at:?}");
    }
    backend.answer(asks("2"));
    let asked = Instant::now();
    let long = proxy.get("/");
    assert_eq!((long.status, long.field("retry-after"), backend.hits()), (503, Some("2"), 3));
    assert!(asked.elapsed() < Duration::from_secs(2), "it is its client's to wait so long");
    let short = ingress_to(backend.address, &format!("{BY_STATUS}timeouts = {{ total = \"500ms\" }}\n"));
    backend.answer(asks("1"));
    let asked = Instant::now();
    assert_eq!((short.get("/").status, backend.hits()), (503, 4), "there is no time left for that");
    assert!(asked.elapsed() < Duration::from_millis(500));
    let patient = "retry = { statuses = [\"503\"], retry_after_max = \"3s\" }\n";
    backend.answer(asks("2"));
    assert_eq!(ingress_to(backend.address, patient).get("/").status, 200);
}

#[test]
fn another_endpoint_is_asked_where_there_is_one() {
    let (ill, well) = (Upstream::start(bytes(BUSY, true)), Upstream::start(status(200)));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}", "{}"]
            breaker = {{ enabled = false }}
            {BY_STATUS}
        "#,
        ill.address, well.address
    ));
    for n in 0..60 {
        assert_eq!(proxy.get("/").status, 200, "request {n}");
    }
    assert_eq!(well.hits(), 60);
    assert_eq!(by_status(&proxy) as usize, ill.hits());
}

#[test]
fn what_goes_on_as_it_comes_is_not_repeated_and_over_http2_all_is_the_same() {
    let events = "HTTP/1.1 503 Busy\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n";
    let backend = Upstream::start(first(bytes(events, true), status(200)));
    // It makes an HTTP/2 server of the backend.
    let server = ingress_to(backend.address, "");
    let front = ingress_to(server.ingress(), &format!("protocol = \"h2\"\n{BY_STATUS}"));
    assert_eq!((front.get("/events").status, backend.hits()), (503, 1));
    backend.answer(first(bytes(BUSY, true), status(200)));
    assert_eq!(front.get("/busy").text(), "200 /busy\n");
    let body = "GET /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nq=1";
    assert_eq!(ask(front.ingress(), body).status, 200);
    let bodies = backend.seen().iter().filter(|seen| seen.body == b"q=1").count();
    assert_eq!((bodies, by_status(&front)), (2, 2.0));
    let write = "POST /write HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=1";
    assert_eq!(ask(front.ingress(), write).status, 503);
}

#[test]
fn a_grpc_answer_that_is_unavailable_and_nothing_more_is_repeated_as_a_503_is() {
    let told = |status: u16, length: usize| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n";
        let text =
            format!("{head}grpc-status: {status}\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length));
        bytes(text, true)
    };
    let backend = Upstream::start(first(told(14, 0), status(200)));
    let keys = "retry = { statuses = [\"503\"], idempotent = true, budget = \"100%\" }\nidempotency = { header = \"Idempotency-Key\" }\n";
    let off = ingress_to(backend.address, "");
    assert_eq!((off.get("/off").field("grpc-status"), backend.hits()), (Some("14"), 1));
    let server = ingress_to(backend.address, "");
    let one = ingress_to(backend.address, keys);
    let two = ingress_to(server.ingress(), &format!("protocol = \"h2\"\n{keys}"));
    for (proxy, over) in [(&one, "h1"), (&two, "h2")] {
        assert_eq!(proxy.get(&format!("/{over}")).text(), format!("200 /{over}\n"));
        let write = |path: &str, more: &str| {
            let head = format!("POST /{over}{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}");
            ask(proxy.ingress(), &format!("{head}Content-Length: 2\r\n\r\nab"))
        };
        assert_eq!(write("/plain", "").field("grpc-status"), Some("14"), "{over}: it may have acted");
        let keyed = write("/keyed", "Idempotency-Key: 7\r\n");
        assert_eq!(keyed.text(), format!("200 /{over}/keyed\n"), "{over}");
        assert_eq!(by_status(proxy), 1.0, "{over}");
        assert_eq!(proxy.metric("strop_retries_total", "reason=\"key\""), 1.0, "{over}");
    }
    for (what, answer) in [("13", told(13, 0)), ("a body", told(14, 5))] {
        backend.answer(first(answer, status(200)));
        assert_eq!(
            one.get(&format!("/{}", what.len())).field("content-type"),
            Some("application/grpc"),
            "{what}"
        );
    }
}

#[test]
fn a_probe_tells_how_its_upstream_is_and_is_not_repeated() {
    let backend = Upstream::start(bytes(BUSY, true));
    let breaker = "breaker = { mode = \"on\", failures = 1, lump = \"0s\", open_for = \"200ms\", open_for_max = \"200ms\" }\n";
    let proxy = ingress_to(backend.address, &format!("{BY_STATUS}{breaker}"));
    assert_eq!(proxy.get("/").status, 503);
    assert_eq!(proxy.breaker("backend"), "open");
    let before = backend.hits();
    eventually("a probe is sent", || {
        proxy.get("/");
        backend.hits() > before
    });
    assert_eq!((backend.hits() - before, by_status(&proxy)), (1, 1.0));
}

/// The ordinary day: with everything on, a healthy upstream and a slow one see each request once.
#[test]
fn who_answers_is_asked_once_however_slowly_it_does() {
    let all = "retry = { statuses = [\"500-599\"], idempotent = true, attempts = 5 }\n\
               idempotency = { header = \"Idempotency-Key\", undone = [\"409\"], inject = true }\n";
    let slow: Arc<Answer> = Arc::new(|seen, stream| {
        pace(Duration::from_millis(if seen.path() == "/slow" { 60 } else { 0 }));
        status(200)(seen, stream)
    });
    let backend = Upstream::start(slow);
    let proxy = ingress_to(backend.address, all);
    let address = proxy.ingress();
    std::thread::scope(|scope| {
        for path in ["/", "/slow", "/", "/slow"] {
            scope.spawn(move || {
                let mut client = Client::to(address);
                for n in 0..50 {
                    let method = if n % 2 == 0 { "GET" } else { "POST" };
                    client.send(
                        format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                            .as_bytes(),
                    );
                    assert_eq!(client.response(false).expect("answered").status, 200);
                }
            });
        }
    });
    assert_eq!(backend.hits(), 200);
    assert_eq!(proxy.metric("strop_retries_total", "upstream=\"backend\""), 0.0);
}

/// The outage: what is repeated stays within the budget, whatever the number of attempts.
#[test]
fn an_upstream_that_is_down_gets_no_more_than_the_budget_on_top() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let backend = Upstream::start(Arc::new(move |_, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        stream.write_all(BUSY.as_bytes()).is_ok()
    }));
    let retry = "retry = { statuses = [\"503\"], attempts = 5, budget = \"20%\", min_per_second = 0, backoff = \"0s\" }\n";
    let proxy = ingress_to(backend.address, &format!("{retry}breaker = {{ enabled = false }}\n"));
    let mut client = Client::to(proxy.ingress());
    for _ in 0..300 {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response(false).expect("answered").text(), "later");
    }
    let asked = asked.load(Ordering::SeqCst);
    // A fifth of what clients asked for: what is repeated earns no leave for more.
    assert!((350..=300 * 6 / 5 + 1).contains(&asked), "{asked} attempts of 300 requests");
    assert_eq!(by_status(&proxy) as usize, asked - 300);
    assert!(proxy.metric("strop_retry_budget_denied_total", "upstream=\"backend\"") > 200.0);
}

/// What Google says of a limit, in two spellings, and of somebody who lacks leave.
fn google(reason: &'static str, head: &'static str, split: bool) -> Arc<Answer> {
    Arc::new(move |_, stream| {
        let body = format!("{{\"error\": {{\"errors\": [{{\"reason\": \"{reason}\"}}], \"code\": 403}}}}\n");
        let body = if head.contains("gzip") { gzip(body.as_bytes()) } else { body.into_bytes() };
        let head = format!("HTTP/1.1 403 Forbidden\r\n{head}Content-Length: {}\r\n\r\n", body.len());
        if split {
            return stream.write_all(head.as_bytes()).is_ok() && {
                pace(Duration::from_millis(200));
                stream.write_all(&body).is_ok()
            };
        }
        stream.write_all(&[head.as_bytes(), &body].concat()).is_ok()
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    zipped.write_all(bytes).expect("writes to a Vec");
    zipped.finish().expect("ends")
}

#[test]
fn a_limit_that_google_tells_in_a_403_counts_as_one_and_passes_unchanged() {
    const JSON: &str = "Content-Type: application/json; charset=UTF-8\r\n";
    const ZIPPED: &str = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    let backend = Upstream::start(google("rateLimitExceeded", JSON, false));
    let limits = "[[upstreams.backend.judge.rate_limits]]\nstatus = \"403\"\nbody = \"rateLimitExceeded\"\n";
    let proxy = ingress_to(backend.address, limits);
    let counted = |proxy: &Proxy| {
        let of = |verdict: &str| proxy.metric("upstream_requests_total", &format!("verdict=\"{verdict}\""));
        (of("rate_limited"), of("good"))
    };
    for n in 1..=5 {
        let told = proxy.get("/");
        assert_eq!((told.status, told.json()["error"]["code"].as_u64()), (403, Some(403)));
        assert_eq!(counted(&proxy), (f64::from(n), 0.0));
    }
    backend.answer(google("rateLimitExceeded", ZIPPED, false));
    assert_eq!(
        proxy.get("/").body,
        gzip(b"{\"error\": {\"errors\": [{\"reason\": \"rateLimitExceeded\"}], \"code\": 403}}\n")
    );
    assert_eq!(counted(&proxy), (6.0, 0.0));
    for (nth, other) in [
        google("forbidden", JSON, false),
        google("rateLimitExceeded", "Content-Type: text/plain\r\n", false),
        google("rateLimitExceeded", JSON, true),
    ]
    .into_iter()
    .enumerate()
    {
        backend.answer(other);
        assert_eq!(proxy.get("/").status, 403);
        assert_eq!(counted(&proxy), (6.0, nth as f64 + 1.0), "nobody waits for what is not there");
    }
    let off = ingress_to(backend.address, "");
    backend.answer(google("rateLimitExceeded", JSON, false));
    assert_eq!((off.get("/").status, counted(&off)), (403, (0.0, 1.0)));
    // The same by HTTP/2, of which the first proxy is the server.
    let front = ingress_to(off.ingress(), &format!("protocol = \"h2\"\n{limits}"));
    assert_eq!((front.get("/").status, counted(&front)), (403, (1.0, 0.0)));
}
