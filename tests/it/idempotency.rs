use crate::support::proxy::{Proxy, ingress_to};
use crate::support::raw::Response;
use crate::support::upstream::{Upstream, status};

fn keyed(proxy: &Proxy, path: &str, key: &str, body: &str) -> Response {
    proxy.ask("POST", path, &format!("Idempotency-Key: {key}\r\n"), body)
}

fn count(proxy: &Proxy) -> u64 {
    proxy.sre("incidents?all=1")["count"].as_u64().expect("counted")
}

#[test]
fn an_order_that_is_sent_twice_is_done_once_and_answered_twice() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let body = r#"{"title": "Test incident"}"#;
    let first = keyed(&proxy, "test/incident", "k-1", body);
    assert_eq!((first.status, first.field("idempotency-replayed")), (200, None), "{}", first.text());
    let again = keyed(&proxy, "test/incident", "k-1", body);
    assert_eq!((again.status, again.field("idempotency-replayed")), (200, Some("true")));
    assert_eq!(again.text(), first.text());
    assert_eq!(again.field("content-type"), first.field("content-type"));
    assert_eq!(count(&proxy), 1);
    // The guide's other prefix is the same API.
    let other = format!(
        "POST /sre/test/incident HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nIdempotency-Key: k-1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let other = crate::support::raw::ask_http1(proxy.admin(), &other);
    assert_eq!(other.text(), first.text());
    assert_eq!(keyed(&proxy, "test/incident", "k-2", body).status, 200);
    assert_eq!(count(&proxy), 2);
    let silence = r#"{"service": "test", "for": "1h", "reason": "twice"}"#;
    let first = keyed(&proxy, "silences", "k-3", silence);
    assert_eq!(keyed(&proxy, "silences", "k-3", silence).text(), first.text());
    assert_eq!(proxy.sre("silences")["silences"].as_array().expect("a list").len(), 1);
}

#[test]
fn a_key_is_not_for_two_orders() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let made = keyed(&proxy, "test/incident", "k", "{}").json();
    let id = made["incident"]["id"].as_str().expect("an id").to_owned();
    for (path, body) in [("test/incident", r#"{"title": "x"}"#), (&format!("incidents/{id}/ack"), "{}")] {
        let refused = keyed(&proxy, path, "k", body);
        assert_eq!(refused.status, 422, "{path}: {}", refused.text());
    }
    assert_eq!(proxy.sre(&format!("incidents/{id}"))["state"], "open");
    assert_eq!(count(&proxy), 1);
    let long = "x".repeat(256);
    for key in ["", long.as_str()] {
        assert_eq!(keyed(&proxy, "test/incident", key, "{}").status, 400, "{key:?}");
    }
}

#[test]
fn a_refusal_leaves_the_key_free() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let made = proxy.post("test/incident", "").json();
    let path = format!("incidents/{}/note", made["incident"]["id"].as_str().expect("an id"));
    assert_eq!(keyed(&proxy, &path, "k", "{}").status, 400);
    let noted = keyed(&proxy, &path, "k", r#"{"text": "now with a text"}"#);
    assert_eq!((noted.status, noted.field("idempotency-replayed")), (200, None), "{}", noted.text());
}

#[test]
fn of_many_at_once_one_is_carried_out() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let asking = (0..8).map(|_| scope.spawn(|| keyed(&proxy, "test/incident", "k", "{}")));
        let asking: Vec<_> = asking.collect();
        asking.into_iter().map(|one| one.join().expect("answers")).collect()
    });
    let done: Vec<&Response> = answers.iter().filter(|one| one.status == 200).collect();
    assert!(!done.is_empty() && done.iter().all(|one| one.text() == done[0].text()));
    for early in answers.iter().filter(|one| one.status != 200) {
        assert_eq!((early.status, early.field("retry-after")), (409, Some("1")), "{}", early.text());
    }
    let first = done.iter().filter(|one| one.field("idempotency-replayed").is_none()).count();
    assert_eq!((first, count(&proxy)), (1, 1));
}
