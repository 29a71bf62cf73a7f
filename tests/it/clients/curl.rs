use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use super::origin::{LARGE, Origin, pattern};
use super::{forward_proxy_to, gist, message, requests, tls_ingress_to};
use crate::support::proxy::ingress_to;
use crate::support::raw::find;
use crate::support::secure::{TlsFront, issue};
use crate::support::tools::{run, tool};

/// Arguments and a path.
type Errand = (&'static str, &'static str);

/// What curl is asked to do. `@big` and `@odd` are files.
const ERRANDS: [Errand; 19] = [
    ("", "/fields"),
    ("-I", "/fields"),
    ("-d a=1&b=2", "/echo"),
    ("--data-binary @odd -H Transfer-Encoding:%20chunked", "/echo"),
    ("--data-binary @big -H Expect:", "/echo"),
    ("-T @odd -H Expect:", "/echo"),
    ("-X PATCH --data-binary @odd", "/echo"),
    ("-X DELETE", "/echo"),
    ("-X OPTIONS", "/echo"),
    ("", "/large"),
    ("", "/stream"),
    ("-I", "/stream"),
    ("-H Accept-Encoding:%20gzip", "/gzip"),
    ("--compressed", "/gzip"),
    ("-r 10-19", "/range"),
    ("-L", "/redirect"),
    ("-L -d kept", "/preserved"),
    (
        "-b one=1;two=2 -A odd/agent -e http://from.example/ -u user:secret -H x-Odd:%20kept -H X-Odd:twice",
        "/echo",
    ),
    ("--path-as-is --globoff", "/a/../b//c/%2e%2F?q=a+b&q=[%7b]|;#gone"),
];

/// One run: the heads that curl read, and the body.
fn told(dir: &Path, way: &[&str], errand: Errand, base: &str) -> String {
    let (head, body) = (dir.join("head"), dir.join("body"));
    let file = |arg: &str| arg.replace('@', &format!("@{}/", dir.display())).replace("%20", " ");
    let args = errand.0.split_whitespace().map(|arg| {
        // Only --data and --form read a file after an @; -T takes the bare name.
        if errand.0.starts_with("-T") { file(arg).trim_start_matches('@').to_owned() } else { file(arg) }
    });
    run(tool("curl")
        .args(["-q", "-sS", "-m", "15", "--suppress-connect-headers", "-D"])
        .arg(&head)
        .arg("-o")
        .arg(&body)
        .args(args)
        .args(way)
        .arg(format!("{base}{}", errand.1)));
    let head = String::from_utf8_lossy(&std::fs::read(head).expect("reads")).into_owned();
    if errand.0 == "-I" {
        // Of a HEAD, curl takes the head for the body; how the body would be framed is the hop's own.
        return head.replace("Transfer-Encoding: chunked\r\n", "");
    }
    let body = std::fs::read(body).unwrap_or_default();
    format!("{head}\n{}", gist(&body))
}

/// The same errand by two ways: how they differ, if they do.
struct Ways<'a> {
    origin: &'a Origin,
    direct: (&'a [&'a str], String, SocketAddr),
    through: (&'a [&'a str], String, SocketAddr),
}

impl Ways<'_> {
    fn compare(&self, errands: impl Iterator<Item = Errand>, tidy: impl Fn(&str) -> String) {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("big"), pattern(4 << 20)).expect("writes");
        std::fs::write(dir.path().join("odd"), pattern(70_001)).expect("writes");
        for errand in errands {
            let [direct, through] = [&self.direct, &self.through].map(|(way, base, authority)| {
                let from = self.origin.upstream.hits();
                let told = tidy(&message(&told(dir.path(), way, errand, base), *authority));
                let asked = requests(&self.origin.upstream, *authority, from);
                (told, asked.iter().map(|asked| tidy(asked)).collect::<Vec<_>>())
            });
            assert_eq!(direct.0, through.0, "what curl was told: {errand:?}");
            assert_eq!(direct.1, through.1, "what the origin saw: {errand:?}");
        }
    }
}

/// HTTP/2 has lower-case names, no order between them, no reasons and no chunks.
fn without_syntax(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_ascii_lowercase).collect();
    for line in &mut lines {
        if line.starts_with("http/") {
            *line = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
    }
    lines.retain(|line| !line.starts_with("transfer-encoding:") && !line.is_empty());
    lines.iter_mut().for_each(|line| *line = line.trim_end().replacen(": ", ":", 1));
    lines.sort();
    lines.join("\n")
}

#[test]
fn curl_is_served_at_the_ingress_as_by_the_backend_itself() {
    let origin = Origin::start();
    let proxy = ingress_to(origin.upstream.address, "");
    let at = |address: SocketAddr| format!("http://{address}");
    let ways = Ways {
        origin: &origin,
        direct: (&[], at(origin.upstream.address), origin.upstream.address),
        through: (&[], at(proxy.ingress()), proxy.ingress()),
    };
    ways.compare(ERRANDS.into_iter(), str::to_owned);
}

#[test]
fn curl_is_served_by_http2_with_prior_knowledge() {
    let origin = Origin::start();
    let proxy = ingress_to(origin.upstream.address, "");
    let at = |address: SocketAddr| format!("http://{address}");
    let ways = Ways {
        origin: &origin,
        direct: (&[], at(origin.upstream.address), origin.upstream.address),
        through: (&["--http2-prior-knowledge"], at(proxy.ingress()), proxy.ingress()),
    };
    // curl 7.88 cannot use a connection twice that it opened with prior knowledge (curl issue 10634).
    ways.compare(ERRANDS.into_iter().filter(|errand| !errand.0.starts_with("-L")), without_syntax);
}

#[test]
fn curl_is_served_by_http2_over_tls() {
    let origin = Origin::start();
    let issued = issue(&["localhost"]);
    let proxy = tls_ingress_to(origin.upstream.address, &issued);
    let ca = issued.ca.display().to_string();
    let base = format!("https://localhost:{}", proxy.ingress().port());
    let ways = Ways {
        origin: &origin,
        direct: (
            &[],
            format!("http://localhost:{}", origin.upstream.address.port()),
            origin.upstream.address,
        ),
        through: (&["--http2", "--cacert", &ca], base, proxy.ingress()),
    };
    ways.compare(ERRANDS.into_iter(), without_syntax);
}

#[test]
fn curl_reaches_a_plain_origin_by_the_forward_proxy() {
    let origin = Origin::start();
    let proxy = forward_proxy_to(origin.upstream.address);
    let base = format!("http://localhost:{}", origin.upstream.address.port());
    let by = format!("http://{}", proxy.egress());
    let ways = Ways {
        origin: &origin,
        direct: (&[], base.clone(), origin.upstream.address),
        through: (&["-x", &by], base, origin.upstream.address),
    };
    ways.compare(ERRANDS.into_iter(), str::to_owned);
}

#[test]
fn curl_reaches_a_tls_origin_by_a_tunnel() {
    let origin = Origin::start();
    let issued = issue(&["localhost"]);
    let front = TlsFront::start(&issued, origin.upstream.address);
    let proxy = forward_proxy_to(front.address);
    let base = format!("https://localhost:{}", front.address.port());
    let ca = issued.ca.display().to_string();
    let by = format!("http://{}", proxy.egress());
    let ways = Ways {
        origin: &origin,
        direct: (&["--cacert", &ca], base.clone(), front.address),
        through: (&["--cacert", &ca, "-x", &by], base, front.address),
    };
    ways.compare(ERRANDS.into_iter(), str::to_owned);
    assert!(proxy.metric("tunnel_bytes_total", "direction=\"down\"") > LARGE as f64);
}

#[test]
fn curl_without_persistent_connections_reads_every_answer_to_its_end() {
    let origin = Origin::start();
    let proxy = ingress_to(origin.upstream.address, "");
    let fetch = |args: &[&str], path: &str| {
        run(tool("curl")
            .args(["-q", "-sS", "-m", "15", "--http1.0"])
            .args(args)
            .arg(format!("http://{}{path}", proxy.ingress())))
    };
    assert_eq!(fetch(&[], "/large"), pattern(LARGE));
    assert_eq!(fetch(&[], "/stream"), pattern(1 << 20));
    assert_eq!(fetch(&["-d", "kept"], "/echo"), b"kept");
}

#[test]
fn curl_keeps_its_connection() {
    let origin = Origin::start();
    let issued = issue(&["localhost"]);
    let plain = ingress_to(origin.upstream.address, "");
    let secure = tls_ingress_to(origin.upstream.address, &issued);
    let count = |way: &[&str], base: String| {
        let urls = ["/fields", "/stream", "/gzip", "/echo"].map(|path| format!("{base}{path}"));
        let mut curl = tool("curl");
        curl.args(["-q", "-sS", "-m", "15", "-w", "%{stderr}%{num_connects}"]).args(way).args(&urls);
        let ran = crate::support::tools::finish(&mut curl);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        said
    };
    assert_eq!(count(&["--http1.1"], format!("http://{}", plain.ingress())), "1000");
    // Asked to change over to HTTP/2 on the way, a proxy may stay with HTTP/1.1.
    assert_eq!(count(&["--http2"], format!("http://{}", plain.ingress())), "1000");
    // By ALPN: curl 7.88 cannot use a connection twice that it opened with prior knowledge.
    let ca = issued.ca.display().to_string();
    let base = format!("https://localhost:{}", secure.ingress().port());
    assert_eq!(count(&["--http2", "--cacert", &ca], base), "1000");
    assert_eq!(origin.upstream.hits(), 12);
    assert!(origin.upstream.connections() <= 3);
}

/// Asks for the body only once it has seen the head; answers with the body.
fn asks_for_the_body(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().expect("accepts");
    let mut seen = read_head(&mut stream);
    assert_eq!(seen.split_off(find(&seen, b"\r\n\r\n").expect("a head") + 4), b"", "no body yet");
    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").expect("writes");
    let mut body = vec![0; 70_001];
    stream.read_exact(&mut body).expect("the body");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body].concat()).expect("writes");
}

fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let (mut seen, mut block) = (Vec::new(), [0; 4_096]);
    while find(&seen, b"\r\n\r\n").is_none() {
        let n = stream.read(&mut block).expect("reads");
        assert!(n > 0, "ended in the head");
        seen.extend_from_slice(&block[..n]);
    }
    seen
}

#[test]
fn curl_waits_for_the_backend_to_ask_for_the_body() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    let (ingress, egress) = (ingress_to(address, ""), forward_proxy_to(address));
    let server = std::thread::spawn(move || (0..2).for_each(|_| asks_for_the_body(&listener)));
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("odd"), pattern(70_001)).expect("writes");
    let by = format!("http://{}", egress.egress());
    let ways: [(Vec<&str>, String); 2] = [
        (vec![], format!("http://{}/", ingress.ingress())),
        (vec!["-x", &by], format!("http://localhost:{}/", address.port())),
    ];
    for (way, url) in ways {
        let mut curl = tool("curl");
        curl.current_dir(&dir).args(["-q", "-sS", "-m", "15", "-D", "head", "--expect100-timeout", "14"]);
        curl.args(["-H", "Expect: 100-continue", "--data-binary", "@odd"]).args(way).arg(url);
        assert_eq!(run(&mut curl), pattern(70_001));
        let head = std::fs::read_to_string(dir.path().join("head")).expect("reads");
        assert!(head.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{head}");
    }
    server.join().expect("no panic");
}
