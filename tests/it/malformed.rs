use crate::support::proxy::ingress_to;
use crate::support::raw::{Client, ask_http1, find};
use crate::support::upstream::{Upstream, status};

/// What a case may lead to.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Refused with one of these statuses, connection closed, the backend has seen nothing of it.
    Refused(&'static [u16]),
    /// One request reaches the backend, and this text does not.
    Passed(&'static str),
}

use Fate::{Passed, Refused};

const BAD: Fate = Refused(&[400]);

/// A second request that must never be served when it hides in the first.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

fn cases() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let mut all: Vec<(&'static str, Vec<u8>, Fate)> = Vec::new();
    let mut add = |name, text: &str, fate| all.push((name, text.as_bytes().to_vec(), fate));
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}");

    // Two ways to say where the body ends.
    add("CL.TE", &post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &chunked), BAD);
    add("TE.CL", &post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &chunked), BAD);
    add("CL.TE with odd case", &post("content-length: 5\r\ntRANSFER-eNCODING: ChUnKeD\r\n", &chunked), BAD);
    add("CL.CL differing", &post("Content-Length: 0\r\nContent-Length: 40\r\n", HIDDEN), BAD);
    add("CL.CL same", &post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), BAD);
    add("CL list", &post("Content-Length: 5, 5\r\n", "hello"), BAD);
    add("CL list differing", &post("Content-Length: 0, 40\r\n", HIDDEN), BAD);
    add("CL plus", &post("Content-Length: +5\r\n", "hello"), BAD);
    add("CL minus", &post("Content-Length: -5\r\n", "hello"), BAD);
    add("CL hex", &post("Content-Length: 0x5\r\n", "hello"), BAD);
    add("CL exponent", &post("Content-Length: 5e0\r\n", "hello"), BAD);
    add("CL fraction", &post("Content-Length: 5.0\r\n", "hello"), BAD);
    add("CL empty", &post("Content-Length:\r\n", HIDDEN), BAD);
    add("CL inner space", &post("Content-Length: 5 5\r\n", "hello"), BAD);
    add("CL beyond 64 bits", &post("Content-Length: 18446744073709551621\r\n", "hello"), BAD);
    add("CL of 19 digits", &post("Content-Length: 9223372036854775808\r\n", "hello"), BAD);
    add("CL with a letter", &post("Content-Length: 5a\r\n", "hello"), BAD);
    add("CL quoted", &post("Content-Length: \"5\"\r\n", "hello"), BAD);

    // Transfer codings.
    add("TE twice", &post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunked), BAD);
    add(
        "TE identity and chunked lines",
        &post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", &chunked),
        BAD,
    );
    add("TE chunked, identity", &post("Transfer-Encoding: chunked, identity\r\n", &chunked), BAD);
    add("TE identity, chunked", &post("Transfer-Encoding: identity, chunked\r\n", &chunked), BAD);
    add("TE chunked, chunked", &post("Transfer-Encoding: chunked, chunked\r\n", &chunked), BAD);
    add("TE gzip, chunked", &post("Transfer-Encoding: gzip, chunked\r\n", &chunked), Refused(&[400, 501]));
    add("TE xchunked", &post("Transfer-Encoding: xchunked\r\n", &chunked), Refused(&[400, 501]));
    add("TE identity", &post("Transfer-Encoding: identity\r\n", HIDDEN), Refused(&[400, 501]));
    add("TE chunked with vertical tab", &post("Transfer-Encoding: \x0bchunked\r\n", &chunked), BAD);
    add("TE chunked with parameter", &post("Transfer-Encoding: chunked;q=1\r\n", &chunked), BAD);
    add("TE chunked quoted", &post("Transfer-Encoding: \"chunked\"\r\n", &chunked), BAD);
    add("TE empty", &post("Transfer-Encoding:\r\n", &chunked), BAD);
    add("TE comma chunked", &post("Transfer-Encoding: ,chunked\r\n", &chunked), BAD);
    add("TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", BAD);
    add("TE with space before colon", &post("Transfer-Encoding : chunked\r\n", &chunked), BAD);
    add("TE folded", &post("Transfer-Encoding:\r\n chunked\r\n", &chunked), BAD);

    // Chunks.
    let te = "Transfer-Encoding: chunked\r\n";
    add("chunk size empty", &post(te, "\r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk size plus", &post(te, "+5\r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk size 0x", &post(te, "0x5\r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk size space before", &post(te, " 5\r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk size space after", &post(te, "5 \r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk size overflow", &post(te, "FFFFFFFFFFFFFFFF1\r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk size 2^64-1", &post(te, "FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk size not hex", &post(te, "G\r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk line ended by LF", &post(te, "5\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk line ended by CR", &post(te, "5\rhello\r\n0\r\n\r\n"), BAD);
    add("chunk data without CRLF", &post(te, "5\r\nhello0\r\n\r\n"), BAD);
    add("chunk data longer than said", &post(te, "3\r\nhello\r\n0\r\n\r\n"), BAD);
    add("chunk data ended by LF", &post(te, "5\r\nhello\n0\r\n\r\n"), BAD);
    add("chunk extension with LF", &post(te, &format!("5;a\n{HIDDEN}\r\nhello\r\n0\r\n\r\n")), BAD);
    add("chunk extension with NUL", &post(te, "5;\0\r\nhello\r\n0\r\n\r\n"), BAD);
    add("trailer with space before colon", &post(te, "5\r\nhello\r\n0\r\nX : 1\r\n\r\n"), BAD);
    add("trailer without a name", &post(te, "5\r\nhello\r\n0\r\nX: 1\r\n: 2\r\n\r\n"), BAD);
    add("trailer that is folded", &post(te, "5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n"), BAD);
    add("trailer of many fields", &post(te, &format!("0\r\n{}\r\n", "X: 1\r\n".repeat(80))), BAD);
    add("trailer ended by LF", &post(te, "0\r\nX: 1\n\r\n"), BAD);
    add("chunk extension is dropped", &post(te, "5;ext=\"v\"\r\nhello\r\n0\r\n\r\n"), Passed("ext="));
    add(
        "trailer cannot frame",
        &post(te, "5\r\nhello\r\n0\r\nContent-Length: 40\r\nTransfer-Encoding: x\r\n\r\n"),
        Passed("Content-Length: 40"),
    );
    add(
        "trailer cannot authenticate",
        &post(te, "0\r\nAuthorization: Bearer x\r\nHost: evil\r\n\r\n"),
        Passed("Bearer"),
    );

    // Lines.
    add("bare LF throughout", "GET / HTTP/1.1\nHost: a\n\n", BAD);
    add("bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", BAD);
    add("bare LF between fields", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", BAD);
    add("bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", BAD);
    add("bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n", BAD);
    add(
        "bare CR hides a field",
        "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rTransfer-Encoding: chunked\r\n\r\n",
        BAD,
    );
    add("bare CR in the target", "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("folded line with space", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", BAD);
    add("folded line with tab", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n\t2\r\n\r\n", BAD);
    add("first field begins with a space", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", BAD);
    add("space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", BAD);
    add("tab before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX\t: 1\r\n\r\n", BAD);
    add("no colon", "GET / HTTP/1.1\r\nHost: a\r\nBroken\r\n\r\n", BAD);
    add("empty name", "GET / HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n", BAD);
    add("NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0Y: 1\r\n\r\n", BAD);
    add("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", BAD);
    add("DEL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", BAD);
    add("slash in a name", "GET / HTTP/1.1\r\nHost: a\r\nX/Y: 1\r\n\r\n", BAD);
    add("bracket in a name", "GET / HTTP/1.1\r\nHost: a\r\n[X]: 1\r\n\r\n", BAD);

    // Host.
    add("no Host", "GET / HTTP/1.1\r\nX: 1\r\n\r\n", BAD);
    add("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD);
    add("two same Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD);
    add("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", Passed("Host:\r\n"));
    add("empty Host twice", "GET / HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n", BAD);
    add("empty Host and another", "GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n", BAD);
    add("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD);
    add("Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BAD);
    add("Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BAD);
    add("Host with a comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", BAD);
    add("Host with a bad port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", BAD);
    add("Host with a broken v6", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BAD);
    add(
        "the absolute target rules",
        "GET http://good.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        Passed("evil.example"),
    );

    // Request line.
    add("two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("tab instead of space", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("no version", "GET /\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("HTTP/0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("HTTP/2.0 in text", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("trailing space", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("method with a bracket", "GE[T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("space before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("fragment in the target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("control byte in the target", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(&[400, 505]));
    add("target without a slash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("absolute target of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("absolute target with a user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("authority for GET", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("CONNECT without a port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("a preface fragment", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Refused(&[400, 505]));
    add("blank lines without end", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BAD);
    add("a TLS hello", "\x16\x03\x01\x02\x00\x01\x00", BAD);
    all.push(("a high byte in the target", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), BAD));
    all.push(("a high byte in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: 1\r\n\r\n".to_vec(), BAD));
    all.push((
        "target of 100 KiB",
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100 << 10)).into_bytes(),
        Refused(&[414, 431]),
    ));
    all.push((
        "head of 100 KiB",
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100 << 10)).into_bytes(),
        Refused(&[431]),
    ));
    all.push((
        "101 fields",
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(100)).into_bytes(),
        Refused(&[431]),
    ));
    all.push((
        "300 fields",
        format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: 1\r\n".repeat(300)).into_bytes(),
        Refused(&[431]),
    ));
    all
}

#[test]
fn doubtful_requests_never_reach_the_backend_in_a_changed_meaning() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "breaker = { enabled = false }\n");
    let cases = cases();
    assert!(cases.len() >= 100, "{}", cases.len());
    for (name, bytes, fate) in cases {
        let before = backend.hits();
        let mut client = Client::to(proxy.ingress());
        client.send(&bytes).half_close();
        let answer = client.rest();
        let text = String::from_utf8_lossy(&answer).into_owned();
        let status: u16 = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let answers = text.matches("HTTP/1.1 ").count();
        match fate {
            Refused(statuses) => {
                assert!(statuses.contains(&status), "{name}: {text:?}");
                assert_eq!(answers, 1, "{name}: {text:?}");
                assert!(
                    text.contains("connection: close") && text.contains("x-strop-reason: "),
                    "{name}: {text:?}"
                );
                // A body that turns out to be bad has had a good head: the request may have begun, but never ends.
                assert_eq!(
                    backend.hits(),
                    before,
                    "{name}: reached the backend: {:?}",
                    backend.seen().last()
                );
            }
            Passed(gone) => {
                assert_eq!(status, 200, "{name}: {text:?}");
                assert_eq!(backend.hits(), before + 1, "{name}");
                let seen = backend.seen().pop().expect("one");
                assert!(!seen.head.contains(gone), "{name}: {seen:?}");
            }
        }
    }
    assert!(find(&backend.raw(), b"/hidden").is_none(), "a hidden request was served");
    assert_eq!(proxy.get("/after").status, 200, "others are still served");
    assert!(proxy.metric("malformed_requests_total", "reason=") > 80.0);
}

#[test]
fn what_could_not_be_read_leaves_a_line_with_its_reason_and_a_flood_of_it_does_not() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("access.log");
    let to = format!(
        r#"
            [access_log]
            to = "file:{}"
        "#,
        log.display()
    );
    let proxy = ingress_to(backend.address, &to);
    let bad = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n";
    assert_eq!(ask_http1(proxy.ingress(), bad).status, 400);
    let lines =
        || std::fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    crate::support::eventually("a line", || !lines().is_empty());
    let line: serde_json::Value = serde_json::from_str(&lines()[0]).expect("JSON");
    assert_eq!(
        (&line["client"], &line["status"], &line["reason"]),
        (&"127.0.0.1".into(), &400.into(), &"bad_host".into())
    );
    let began = std::time::Instant::now();
    for _ in 0..300 {
        ask_http1(proxy.ingress(), bad);
    }
    // Twenty a second and worker, in the seconds that it took and those at its ends.
    let most = 1 + 40 * (began.elapsed().as_secs() as usize + 2);
    crate::support::eventually("they are counted", || {
        proxy.metric("malformed_requests_total", "bad_host") >= 301.0
    });
    assert!(lines().len() <= most.min(250), "{} lines of {most}", lines().len());
}
