use crate::support::events::{Event, Stream};
use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::upstream::{Upstream, status};

/// Events up to the one whose last line of the timeline is `text`.
fn until(stream: &mut Stream, text: &str) -> Vec<Event> {
    let mut all = Vec::new();
    loop {
        let event = stream.next().expect("more");
        let found = event.json()["timeline"].as_array().and_then(|lines| lines.last().cloned());
        all.push(event);
        if found.is_some_and(|line| line["text"] == text) {
            return all;
        }
    }
}

fn opened(proxy: &Proxy) -> String {
    let made = proxy.post("test/incident", r#"{"title": "Test incident", "severity": "low"}"#);
    made.json()["incident"]["id"].as_str().expect("an id").to_owned()
}

fn note(proxy: &Proxy, id: &str, text: &str) {
    let noted = proxy.post(&format!("incidents/{id}/note"), &format!(r#"{{"text": "{text}"}}"#));
    assert_eq!(noted.status, 200, "{}", noted.text());
}

#[test]
fn a_stream_goes_on_where_it_broke_off_without_a_gap_or_a_double() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let id = opened(&proxy);
    let mut stream = Stream::open(&proxy, "incidents/stream", "");
    let first = stream.next().expect("an event");
    assert_eq!((first.name.as_str(), &first.json()["incidents"][0]["id"]), ("reset", &id.as_str().into()));
    let mut seen = vec![first.number()];
    for text in ["one", "two", "three"] {
        note(&proxy, &id, text);
    }
    let mut last = String::new();
    for event in until(&mut stream, "two") {
        assert_eq!((event.name.as_str(), &event.json()["id"]), ("incident", &id.as_str().into()));
        seen.push(event.number());
        last = event.id;
    }
    drop(stream);
    (0..40).for_each(|n| note(&proxy, &id, &format!("while away {n}")));
    for from in ["header", "query"] {
        let mut again = match from {
            "header" => Stream::open(&proxy, "incidents/stream", &format!("Last-Event-ID: {last}\r\n")),
            _ => Stream::open(&proxy, &format!("incidents/stream?last_event_id={last}"), ""),
        };
        let events = until(&mut again, "while away 39");
        let numbers: Vec<u64> = seen.iter().copied().chain(events.iter().map(Event::number)).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{from}: {numbers:?}");
        let versions: Vec<u64> =
            events.iter().map(|one| one.json()["version"].as_u64().expect("a number")).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{from}: {versions:?}");
    }
}

#[test]
fn whoever_comes_from_another_start_begins_anew() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let id = opened(&proxy);
    for place in ["", "0190b6f0-0000-7000-8000-000000000000.3", "nonsense"] {
        for query in ["incidents/stream?last_event_id=", "incidents?watch=1&last_event_id="] {
            let mut stream = Stream::open(&proxy, &format!("{query}{place}"), "");
            let first = stream.next().expect("an event");
            assert_eq!(first.name, "reset", "{query}{place}");
            assert_eq!(first.json()["incidents"][0]["id"], *id);
        }
    }
}

#[test]
fn streams_end_at_once_when_the_process_leaves() {
    let backend = Upstream::start(status(200));
    let mut proxy = ingress_to(
        backend.address,
        r#"
            [process]
            lame_duck = "0s"
        "#,
    );
    let mut streams: Vec<_> = (0..3).map(|_| Stream::open(&proxy, "incidents/stream", "")).collect();
    streams.iter_mut().for_each(|stream| assert_eq!(stream.next().expect("an event").name, "reset"));
    let asked = std::time::Instant::now();
    proxy.signal("TERM");
    for stream in &mut streams {
        while stream.next().is_some() {}
    }
    assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(proxy.stop(), Some(0));
}

#[test]
fn there_are_so_many_streams_and_no_more() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let streams: Vec<_> = (0..32).map(|_| Stream::open(&proxy, "incidents/stream", "")).collect();
    assert_eq!(Stream::ask(&proxy, "incidents/stream", "").0, 503);
    assert_eq!(proxy.admin_get("/api/v2/sre/incidents").status, 200, "the rest of the API is there");
    drop(streams);
    eventually("a place is free again", || Stream::ask(&proxy, "incidents/stream", "").0 == 200);
}

#[test]
fn a_reader_that_does_not_read_holds_up_nobody() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let ids: Vec<_> = (0..3).map(|_| opened(&proxy)).collect();
    let mut slow = Stream::open(&proxy, "incidents/stream", "");
    let mut quick = Stream::open(&proxy, "incidents/stream", "");
    let text = "x".repeat(10_000);
    // Each event carries five lines: far more than the buffers between the two hold.
    for id in &ids {
        (0..40).for_each(|_| note(&proxy, id, &text));
    }
    note(&proxy, &ids[0], "the end");
    let seen = until(&mut quick, "the end");
    assert!(seen.len() > 120, "{}", seen.len());
    let caught_up: Vec<u64> = until(&mut slow, "the end").iter().map(Event::number).collect();
    assert_eq!(caught_up, seen.iter().map(Event::number).collect::<Vec<_>>());
}

#[test]
fn a_list_that_did_not_change_is_not_sent_again() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let id = opened(&proxy);
    let list = |tag: &str| proxy.ask("GET", "incidents", &format!("If-None-Match: {tag}\r\n"), "");
    let mut tag = String::new();
    eventually("it has come to rest", || {
        let first = list("\"none\"");
        assert_eq!(first.status, 200, "{}", first.text());
        tag = first.field("etag").expect("a tag").to_owned();
        list(&tag).status == 304
    });
    let one =
        |tag: &str| proxy.ask("GET", &format!("incidents/{id}"), &format!("If-None-Match: {tag}\r\n"), "");
    let known = one("\"none\"").field("etag").expect("a tag").to_owned();
    assert_eq!(one(&known).status, 304);
    note(&proxy, &id, "a change");
    assert_eq!((list(&tag).status, one(&known).status), (200, 200));
}

#[test]
fn a_stream_passes_through_the_traffic_port_as_well() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            claim_sre_api = true
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    ));
    let (code, mut stream) = Stream::of(proxy.ingress(), "incidents/stream", "");
    assert_eq!((code, stream.next().expect("an event").name.as_str()), (200, "reset"));
    let id = opened(&proxy);
    note(&proxy, &id, "as it happens");
    assert!(until(&mut stream, "as it happens").len() > 1);
}
