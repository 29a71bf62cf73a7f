use std::net::SocketAddr;
use std::sync::Arc;

use crate::support::eventually;
use crate::support::h2::H2Client;
use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::{self, Response};
use crate::support::upstream::{Answer, Upstream, bytes, status};

fn keeping(backend: SocketAddr, stale: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [[routes]]
            name = "a"
            prefix = "/a"
            {stale}
            [upstreams.backend]
            endpoints = ["{backend}"]
        "#
    ))
}

const STALE: &str = "stale = { max_body = \"1KiB\" }";

/// 200 with these fields, and a body that says what was asked for and how.
fn saying(fields: &'static str) -> Arc<Answer> {
    Arc::new(move |seen, stream| {
        let language = seen.fields("accept-language").concat();
        let body = format!("{} {}{language}", seen.path(), seen.fields("host").concat());
        let head = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
        std::io::Write::write_all(stream, format!("{head}{body}").as_bytes()).is_ok()
    })
}

fn ask(proxy: &Proxy, path: &str, fields: &str) -> Response {
    raw::ask(
        proxy.ingress(),
        &format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{fields}\r\n"),
    )
}

fn stood_in(answer: &Response) -> bool {
    answer.field("x-strop-degraded") == Some("stale")
}

/// The answer that stands in: it is kept a moment after its last byte was read.
fn standing_in(proxy: &Proxy, path: &str, fields: &str) -> Response {
    let mut answer = Response::default();
    eventually("an answer stands in", || {
        answer = ask(proxy, path, fields);
        stood_in(&answer)
    });
    answer
}

#[test]
fn the_last_answer_stands_in_while_the_upstream_fails_and_says_so() {
    let backend = Upstream::start(saying("Cache-Control: max-age=60\r\nX-Own: 1\r\nX-Request-Id: old\r\n"));
    let proxy = keeping(backend.address, STALE);
    let well = ask(&proxy, "/a?x=1", "");
    assert!(well.status == 200 && well.field("x-strop-degraded").is_none() && well.field("age").is_none());
    backend.answer(status(503));
    let failing = standing_in(&proxy, "/a?x=1", "");
    assert_eq!((failing.status, &failing.body), (200, &well.body));
    for (name, value) in [
        ("x-own", "1"),
        ("cache-control", "no-store"),
        ("x-strop-reason", "upstream_5xx"),
        ("proxy-status", "strop; received-status=503; details=\"stale: upstream_5xx\""),
    ] {
        assert_eq!(failing.field(name), Some(value), "{}", failing.head);
    }
    assert!(failing.field("age").is_some_and(|age| age.parse::<u64>().is_ok()), "RFC 9111 section 5.1");
    assert_ne!(failing.field("x-request-id"), Some("old"), "each exchange has its own");
    let head =
        raw::ask(proxy.ingress(), "HEAD /a?x=1 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    assert!(stood_in(&head) && head.field("content-length") == Some(&well.body.len().to_string()));
    let mut h2 = H2Client::to(proxy.ingress());
    let over_h2 = h2.get("http://a.example/a?x=1").expect("an answer");
    assert_eq!((over_h2.status, &over_h2.body), (200, &well.body));
    assert_eq!(ask(&proxy, "/a?x=2", "").status, 503, "another target");
    let address = backend.address;
    backend.kill();
    eventually("it is gone", || std::net::TcpStream::connect(address).is_err());
    let gone = ask(&proxy, "/a?x=1", "");
    assert!(stood_in(&gone) && gone.field("x-strop-reason") == Some("connect_failed"), "{}", gone.head);
    eventually("it is counted as the failure that it was", || {
        proxy.metric(
            "strop_degraded_answers_total",
            "instead=\"stale\",reason=\"upstream_5xx\",outcome=\"server_error\"",
        ) == 3.0
    });
    let _again = Upstream::on(address, saying("X-Own: 2\r\n"));
    eventually("the upstream's own answer passes again", || {
        ask(&proxy, "/a?x=1", "").field("x-own") == Some("2")
    });
}

#[test]
fn what_must_not_be_kept_never_stands_in() {
    let backend = Upstream::start(status(200));
    let proxy = keeping(backend.address, STALE);
    let kept = |path: &str, fields: &'static str, asked: &str| {
        backend.answer(saying(fields));
        assert_eq!(ask(&proxy, path, asked).status, 200);
        backend.answer(status(500));
        stood_in(&ask(&proxy, path, asked))
    };
    for (nth, (fields, asked)) in [
        ("Cache-Control: no-store\r\n", ""),
        ("Cache-Control: private\r\n", ""),
        ("Cache-Control: max-age=9, no-cache=\"x\"\r\n", ""),
        ("Cache-Control: public\r\nSet-Cookie: a=b\r\n", ""),
        ("Vary: *\r\n", ""),
        ("Content-Range: bytes 0-1/9\r\n", ""),
        ("", "Authorization: Bearer x\r\n"),
        ("", "Cookie: session=x\r\n"),
        ("Cache-Control: max-age=60\r\n", "X-Api-Key: x\r\n"),
        ("", "X-Forwarded-User: ann\r\n"),
        ("Cache-Control: public, no-store\r\n", "Authorization: Bearer x\r\n"),
        ("", "Cache-Control: no-store\r\n"),
        ("Cache-Control: s-maxage=0\r\n", ""),
        ("Cache-Control: must-revalidate\r\n", ""),
        ("Age: 601\r\n", ""),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(!kept(&format!("/a/{nth}"), fields, asked), "{fields} {asked}");
    }
    let public =
        [("/a/public", "Cache-Control: public\r\n", "Authorization: Bearer x\r\n"), ("/a/plain", "", "")];
    for (path, fields, asked) in public {
        kept(path, fields, asked);
        standing_in(&proxy, path, asked);
    }
    for asked in [
        "Cache-Control: no-cache\r\n",
        "Pragma: no-cache\r\n",
        "Range: bytes=0-1\r\n",
        "Cache-Control: no-store\r\n",
    ] {
        assert!(!stood_in(&ask(&proxy, "/a/plain", asked)), "{asked}");
    }
    assert!(stood_in(&ask(&proxy, "/a/plain", "")), "what stood in for none of them is still there");
    assert!(!kept("/b", "", ""), "another route asks for nothing");
}

#[test]
fn hosts_and_what_an_answer_varies_by_never_mix() {
    let backend = Upstream::start(saying("Vary: Accept-Language\r\n"));
    let proxy = keeping(backend.address, STALE);
    let of = |host: &str, language: &str| {
        raw::ask(
            proxy.ingress(),
            &format!(
                "GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept-Language: {language}\r\n\r\n"
            ),
        )
    };
    let all = [("a.example", "de"), ("a.example", "en"), ("b.example", "de")];
    let well: Vec<String> = all.iter().map(|(host, language)| of(host, language).text()).collect();
    assert!(well[0] != well[1] && well[0] != well[2]);
    backend.answer(status(500));
    for (host, language) in all {
        eventually("each is kept", || stood_in(&of(host, language)));
    }
    let failing: Vec<String> = all.iter().map(|(host, language)| of(host, language).text()).collect();
    assert_eq!(failing, well);
    assert_eq!(
        (of("b.example", "en").status, of("c.example", "de").status),
        (500, 500),
        "of these none was kept"
    );
}

#[test]
fn each_field_that_an_answer_varies_by_counts_also_where_it_is_missing_or_comes_twice() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        let languages = seen.fields("accept-language").join("|");
        let body = format!("{languages}/{}", seen.fields("accept-encoding").join("|"));
        let head = "HTTP/1.1 200 OK\r\nVary: accept-ENCODING, Accept-Encoding\r\nVary: Accept-Language\r\n";
        let head = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        std::io::Write::write_all(stream, head.as_bytes()).is_ok()
    }));
    let proxy = keeping(backend.address, STALE);
    let all = [
        "",
        "Accept-Language: de\r\n",
        "Accept-Language: de\r\nAccept-Language: en\r\n",
        "Accept-Encoding: gzip\r\n",
        "Accept-Encoding: gzip\r\nAccept-Language: de\r\n",
    ];
    let well: Vec<String> = all.iter().map(|fields| ask(&proxy, "/a", fields).text()).collect();
    backend.answer(status(500));
    let failing: Vec<String> = all.iter().map(|fields| standing_in(&proxy, "/a", fields).text()).collect();
    assert_eq!(failing, well, "RFC 9111 section 4.1");
    for fields in ["Accept-Language: en\r\n", "Accept-Language:\r\n", "Accept-Encoding: br\r\n"] {
        assert_eq!(ask(&proxy, "/a", fields).status, 500, "of this none was kept: {fields}");
    }
}

#[test]
fn parts_and_wholes_never_mix() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole";
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/5\r\nContent-Length: 2\r\n\r\nwh";
    let range = "Range: bytes=0-1\r\n";
    let backend = Upstream::start(status(200));
    let proxy = keeping(backend.address, STALE);
    let says = |answer: &str| backend.answer(bytes(answer.to_owned(), true));
    // A part, and a whole that was asked for as a part: neither is kept (RFC 9111 section 3).
    for (path, answer) in [("/a/part", part), ("/a/asked", whole)] {
        says(answer);
        assert!(ask(&proxy, path, range).status < 300);
        backend.answer(status(500));
        assert_eq!((ask(&proxy, path, "").status, ask(&proxy, path, range).status), (500, 500), "{path}");
    }
    // A whole that is kept: no part of it is given, and a part that passes later does not take its place.
    says(whole);
    assert_eq!(ask(&proxy, "/a/whole", "").text(), "whole");
    backend.answer(status(500));
    assert_eq!(standing_in(&proxy, "/a/whole", "").text(), "whole");
    says(part);
    assert_eq!(ask(&proxy, "/a/whole", range).status, 206);
    backend.answer(status(500));
    assert_eq!(ask(&proxy, "/a/whole", range).status, 500);
    let still = ask(&proxy, "/a/whole", "");
    assert!(stood_in(&still) && still.text() == "whole", "{}", still.head);
}

#[test]
fn schemes_that_believed_proxies_tell_never_mix() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        let told = seen.fields("x-forwarded-proto").concat();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{told}", told.len());
        std::io::Write::write_all(stream, answer.as_bytes()).is_ok()
    }));
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            trusted_hops = 1
            [[routes]]
            prefix = "/a"
            stale = {{}}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    );
    let proxy = proxy(&toml);
    let by = |scheme: &str| {
        ask(&proxy, "/a", &format!("X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: {scheme}\r\n"))
    };
    assert_eq!((by("http").text().as_str(), by("https").text().as_str()), ("http", "https"));
    backend.answer(status(500));
    for scheme in ["http", "https"] {
        eventually("each is kept", || stood_in(&by(scheme)));
        assert_eq!(by(scheme).text(), scheme);
    }
    assert!(!stood_in(&by("wss")), "none was kept of that");
}

#[test]
fn what_the_upstream_says_is_unchanged_forgets_nothing() {
    let backend = Upstream::start(saying("ETag: \"a\"\r\n"));
    let proxy = keeping(backend.address, STALE);
    assert_eq!(ask(&proxy, "/a", "").status, 200);
    backend.answer(status(500));
    standing_in(&proxy, "/a", "");
    let kept = std::time::Instant::now();
    backend.answer(bytes("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", true));
    eventually("the second is over", || {
        assert_eq!(ask(&proxy, "/a", "If-None-Match: \"a\"\r\n").status, 304);
        kept.elapsed() > std::time::Duration::from_millis(1_500)
    });
    backend.answer(status(500));
    assert!(stood_in(&ask(&proxy, "/a", "")));
}

#[test]
fn a_write_that_went_well_forgets_what_was_kept() {
    let backend = Upstream::start(saying(""));
    let proxy = keeping(backend.address, STALE);
    let write = |path: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        raw::ask(proxy.ingress(), &request).status
    };
    assert_eq!((ask(&proxy, "/a/1", "").status, ask(&proxy, "/a/2", "").status), (200, 200));
    assert_eq!(write("/a/1"), 200);
    backend.answer(status(500));
    assert_eq!(write("/a/2"), 500, "nothing stands in for a write");
    standing_in(&proxy, "/a/2", "");
    assert!(!stood_in(&ask(&proxy, "/a/1", "")));
}

#[test]
fn what_is_long_or_broke_off_is_not_kept_and_chunks_are() {
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n{}", "x".repeat(1_025));
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned();
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".to_owned();
    let endless = "HTTP/1.1 200 OK\r\n\r\nhello".to_owned();
    let backend = Upstream::start(status(200));
    let proxy = keeping(backend.address, STALE);
    for (path, told, keep, kept) in [
        ("/a/1", long, true, false),
        ("/a/2", chunks, true, true),
        ("/a/3", short, false, false),
        ("/a/4", endless, false, false),
    ] {
        backend.answer(bytes(told, keep));
        ask(&proxy, path, "");
        backend.answer(status(500));
        if kept {
            assert_eq!(standing_in(&proxy, path, "").text(), "hello");
        } else {
            assert!(!stood_in(&ask(&proxy, path, "")), "{path}");
        }
    }
}

#[test]
fn it_stands_in_for_as_long_as_is_written_and_before_the_fallback() {
    let backend = Upstream::start(saying(""));
    let fallback = "fallback = { status = 200, body = '[]', on_5xx = true }";
    let proxy = keeping(backend.address, &format!("stale = {{ for = \"2s\" }}\n{fallback}"));
    assert_eq!(ask(&proxy, "/a", "").text(), "/a a.example");
    backend.answer(status(500));
    assert_eq!(standing_in(&proxy, "/a", "").text(), "/a a.example");
    eventually("its time is over", || ask(&proxy, "/a", "").field("x-strop-degraded") == Some("fallback"));
}

#[test]
fn with_a_well_upstream_nothing_is_different() {
    let backend = Upstream::start(saying("Cache-Control: max-age=60\r\nETag: \"a\"\r\n"));
    let with = keeping(backend.address, STALE);
    let without = keeping(backend.address, "");
    let constant = |answer: &Response| {
        let own = |line: &&str| {
            !["date:", "x-request-id:"].iter().any(|own| line.to_ascii_lowercase().starts_with(own))
        };
        (answer.head.lines().filter(own).map(str::to_owned).collect::<Vec<_>>(), answer.body.clone())
    };
    for _ in 0..2 {
        assert_eq!(constant(&ask(&with, "/a", "")), constant(&ask(&without, "/a", "")));
    }
    assert_eq!(backend.hits(), 4, "no request is spared");
}
