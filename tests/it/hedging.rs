//! A second attempt beside the first: what it saves, and what it costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::ask;
use crate::support::upstream::{Answer, Upstream, bytes, status};
use crate::support::{eventually, pace};

/// Takes requests and never answers.
fn silent() -> Arc<Answer> {
    Arc::new(|_, _| true)
}

fn hedging(backends: &[&Upstream], retry: &str) -> Proxy {
    let endpoints: Vec<String> = backends.iter().map(|one| format!("\"{}\"", one.address)).collect();
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = [{}]
            retry = {{ {retry} }}
        "#,
        endpoints.join(", ")
    ))
}

fn request(method: &str, more: &str) -> String {
    format!("{method} /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
}

/// Answers well, and later than a new endpoint is taken to.
fn later() -> Arc<Answer> {
    let well = status(200);
    Arc::new(move |seen, stream| {
        pace(Duration::from_millis(20));
        well(seen, stream)
    })
}

#[test]
fn a_read_is_answered_by_whoever_answers_first_and_who_does_not_is_asked_no_more() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let (hangs, answers) = (Upstream::start(silent()), Upstream::start(later()));
        let proxy =
            hedging(&[&hangs, &answers], "hedge_after = \"500ms\", budget = \"100%\", min_per_second = 1000");
        for _ in 0..5 {
            assert_eq!(ask(proxy.ingress(), &request(method, "")).status, 200, "{method}");
        }
        let shown = proxy.sre("upstreams/backend");
        // A machine that stands still makes a hedge of an answer that is merely late.
        let hedges = shown["retries_by_reason"]["hedge"].as_u64().expect("a number");
        assert!(hedges > 0 && shown["retries"] == hedges, "{shown}");
        assert_eq!(shown["hedges_won"], 1, "the one that hangs is known to be slow by then: {shown}");
        assert_eq!(answers.hits(), 5, "nobody else answers");
        assert!(hangs.hits() as u64 <= hedges, "{}", hangs.hits());
        assert_eq!(shown["attempts"]["abandoned"], hedges, "{shown}");
        assert_eq!(shown["evidence"]["nobody"], 5 + hedges, "who was slower is not to blame: {shown}");
        assert_eq!(shown["breaker"]["state"], "closed");
        let series = proxy.metric("strop_hedges_won_total", "upstream=\"backend\"");
        assert_eq!(series, 1.0);
    }
}

#[test]
fn nothing_but_a_bare_read_is_asked_twice() {
    let quick = bytes("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true);
    for (head, body) in [
        (request("POST", "Content-Length: 3\r\n"), "a=1"),
        (request("PUT", "Content-Length: 3\r\n"), "a=1"),
        (request("DELETE", ""), ""),
        (request("GET", "Content-Length: 3\r\n"), "q=1"),
    ] {
        let gate = Arc::new(AtomicUsize::new(0));
        let (opens, then) = (Arc::clone(&gate), Arc::clone(&quick));
        let backend = Upstream::start(Arc::new(move |seen, stream| {
            // As long as a hedge would take to come, many times over.
            for _ in 0..40 {
                opens.fetch_add(1, Ordering::Relaxed);
                pace(Duration::from_millis(5));
            }
            then(seen, stream)
        }));
        let proxy = hedging(&[&backend], "hedge_after = \"5ms\", idempotent = true");
        assert_eq!(ask(proxy.ingress(), &format!("{head}{body}")).status, 200, "{head}");
        assert_eq!((backend.hits(), gate.load(Ordering::Relaxed)), (1, 40), "{head}");
        assert_eq!(proxy.metric("strop_retries_total", "reason=\"hedge\""), 0.0, "{head}");
    }
}

/// One endpoint, as behind a balancer: the second attempt takes another connection.
#[test]
fn an_attempt_that_fails_leaves_the_other_one_to_answer() {
    // The first hangs until the second has come, and breaks off.
    let come = Arc::new(AtomicUsize::new(0));
    for broken in [0, 1] {
        come.store(0, Ordering::Relaxed);
        let (seen_so_far, well) = (Arc::clone(&come), status(200));
        let backend = Upstream::start(Arc::new(move |seen, stream| {
            let nth = seen_so_far.fetch_add(1, Ordering::Relaxed);
            while seen_so_far.load(Ordering::Relaxed) < 2 {
                pace(Duration::from_millis(1));
            }
            if nth == broken {
                return false;
            }
            // It answers after the other one has failed.
            pace(Duration::from_millis(500));
            well(seen, stream)
        }));
        let proxy = hedging(&[&backend], "hedge_after = \"20ms\"");
        assert_eq!(proxy.get("/a").status, 200, "the {broken} breaks");
        assert_eq!(backend.hits(), 2, "and is not repeated once more");
        let shown = proxy.sre("upstreams/backend");
        assert_eq!(shown["evidence"]["endpoint"], 1, "what broke off did: {shown}");
        assert_eq!(shown["evidence"]["upstream"], 0, "{shown}");
        assert_eq!(shown["hedges_won"], 1 - broken as u64, "{shown}");
    }
}

/// An upstream of which every answer is late is not asked twice as much: the budget is the end of it.
#[test]
fn where_all_answers_are_late_no_more_than_the_share_is_asked_twice() {
    let slow: Arc<Answer> = {
        let well = status(200);
        Arc::new(move |seen, stream| {
            pace(Duration::from_millis(40));
            well(seen, stream)
        })
    };
    let backend = Upstream::start(slow);
    let proxy = hedging(&[&backend], "hedge_after = \"5ms\", budget = \"20%\", min_per_second = 0");
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let to = proxy.ingress();
            std::thread::spawn(move || (0..25).filter(|_| ask(to, &request("GET", "")).status == 200).count())
        })
        .collect();
    let answered: usize = clients.into_iter().map(|client| client.join().expect("ends")).sum();
    assert_eq!(answered, 200);
    let hits = backend.hits();
    assert!((201..=241).contains(&hits), "some are asked twice, and no more than a fifth: {hits}");
    let denied = proxy.sre("upstreams/backend")["retries_denied"].as_u64().expect("a number");
    assert!(denied > 100, "{denied}");
}

#[test]
fn where_answers_come_in_time_nothing_is_asked_twice() {
    let backend = Upstream::start(status(200));
    let proxy = hedging(&[&backend], "hedge_after = \"30s\"");
    for _ in 0..50 {
        assert_eq!(proxy.get("/a").status, 200);
    }
    assert_eq!(backend.hits(), 50);
    let shown = proxy.sre("upstreams/backend");
    assert_eq!((&shown["retries"], &shown["retries_denied"]), (&0.into(), &0.into()), "{shown}");
}

/// The client leaves while both are under way: both end.
#[test]
fn a_client_that_leaves_ends_both() {
    let hangs = Upstream::start(silent());
    let proxy = hedging(&[&hangs], "hedge_after = \"20ms\"");
    let stream = std::net::TcpStream::connect(proxy.ingress()).expect("connects");
    std::io::Write::write_all(&mut &stream, request("GET", "").as_bytes()).expect("sends");
    eventually("both are there", || hangs.hits() == 2);
    drop(stream);
    eventually("both are given up", || proxy.sre("upstreams/backend")["attempts"]["abandoned"] == 2);
}
