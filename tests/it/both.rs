//! What a key says is true of HTTP/1.1 and of HTTP/2, towards clients and towards upstreams.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::support::frames::{END_HEADERS, HEADERS, Wire, frame, get};
use crate::support::h2::{self, H2Client};
use crate::support::proxy::{Proxy, ingress_to, limited, proxy};
use crate::support::raw::{self, Client, Response};
use crate::support::secure::issue;
use crate::support::upstream::{Answer, Upstream, status};
use crate::support::{eventually, within};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Http {
    One,
    Two,
}

const BOTH: [Http; 2] = [Http::One, Http::Two];

impl Http {
    /// One request on a connection of its own; status 0: its answer broke off.
    fn ask(self, to: SocketAddr, request: &str) -> Response {
        match self {
            Self::One => raw::ask_http1(to, request),
            Self::Two => h2::ask(to, request),
        }
    }

    fn get(self, to: SocketAddr, path: &str, fields: &str) -> Response {
        self.ask(to, &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"))
    }
}

/// A client's connection, kept.
enum Kept {
    One(Client),
    Two(H2Client),
}

impl Kept {
    fn to(http: Http, address: SocketAddr) -> Self {
        match http {
            Http::One => Self::One(Client::to(address)),
            Http::Two => Self::Two(H2Client::to(address)),
        }
    }

    /// `None`: the connection takes no more.
    fn get(&mut self) -> Option<u16> {
        match self {
            Self::One(client) => {
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").response(false).map(|answer| answer.status)
            }
            Self::Two(client) => client.get("http://a/").map(|answer| answer.status),
        }
    }
}

fn connections(proxy: &Proxy) -> f64 {
    proxy.metric("listener_connections", "ingress")
}

fn refused(answer: &Response) -> (u16, Option<&str>) {
    (answer.status, answer.field("x-strop-reason"))
}

#[test]
fn header_bytes_and_header_count_bound_a_head() {
    let backend = Upstream::start(status(200));
    let proxy = limited(backend.address, "header_bytes = \"8KiB\", header_count = 20", "");
    for http in BOTH {
        let long = |bytes: usize| format!("X-Long: {}\r\n", "x".repeat(bytes));
        let many = |fields: usize| (0..fields).map(|nth| format!("X-{nth}: 1\r\n")).collect::<String>();
        assert_eq!(http.get(proxy.ingress(), "/", &long(6_000)).status, 200, "{http:?}");
        let answer = http.get(proxy.ingress(), "/", &long(9_000));
        assert_eq!(refused(&answer), (431, Some("head_too_long")), "{http:?}");
        assert_eq!(http.get(proxy.ingress(), "/", &many(15)).status, 200, "{http:?}");
        let answer = http.get(proxy.ingress(), "/", &many(21));
        assert_eq!(refused(&answer), (431, Some("too_many_fields")), "{http:?}");
    }
    assert_eq!(backend.hits(), 4);
}

/// What comes before a head is whole: nothing, a part of it, or in HTTP/2 answers to pings only.
#[test]
fn header_read_ends_a_connection_whose_head_does_not_come() {
    let backend = Upstream::start(slow());
    let proxy = limited(backend.address, "header_read = \"400ms\", keep_alive = \"60s\"", "");
    let half = |stream| frame(HEADERS, END_HEADERS, stream, &[0; 100])[..50].to_vec();
    let begun = frame(HEADERS, 0, 1, &[0x82]);
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
    let then = |more: &[u8]| [&preface[..], more].concat();
    // With a first answer, a head that does not come is no longer the first.
    let second = |more: &[u8]| [&then(&get(1, "/"))[..], more].concat();
    // It never says that it has read our settings.
    let deaf = then(&get(1, "/silent"));
    let sent: [(&str, Vec<u8>); 9] = [
        ("a deaf client", deaf),
        ("nothing", vec![]),
        ("half a line", b"GET / HT".to_vec()),
        ("half a head", b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec()),
        ("half a preface", preface[..10].to_vec()),
        ("a preface", preface.clone()),
        ("half a frame", then(&half(1))),
        ("half a field block", then(&begun)),
        ("half a second head", second(&half(3))),
    ];
    for (what, bytes) in sent {
        let mut client = Client::to(proxy.ingress());
        client.stream.write_all(&bytes).expect("sends");
        eventually("it is there", || connections(&proxy) == 1.0);
        within(Duration::from_secs(8), what, || connections(&proxy) == 0.0);
    }
}

/// Agreed on by ALPN, and then not a word: neither is HTTP/1.1's first line there, nor HTTP/2's preface.
#[test]
fn header_read_ends_a_tls_connection_that_says_nothing() {
    use rustls_pki_types::pem::PemObject as _;
    let backend = Upstream::start(status(200));
    let issued = issue(&["a.example"]);
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            tls = {{ cert_file = "{}", key_file = "{}" }}
            limits = {{ header_read = "400ms", keep_alive = "60s" }}
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        issued.cert.display(),
        issued.key.display(),
        backend.address
    ));
    let mut roots = rustls::RootCertStore::empty();
    let ca = rustls_pki_types::CertificateDer::from_pem_file(&issued.ca).expect("a certificate");
    roots.add(ca).expect("a root");
    for alpn in ["http/1.1", "h2"] {
        let mut config =
            rustls::ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        let name = "a.example".try_into().expect("a name");
        let mut tls = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut tcp = TcpStream::connect(proxy.ingress()).expect("connects");
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).expect("agrees");
        }
        assert_eq!(tls.alpn_protocol(), Some(alpn.as_bytes()));
        within(Duration::from_secs(8), alpn, || connections(&proxy) == 0.0);
    }
}

#[test]
fn keep_alive_ends_an_idle_connection() {
    let backend = Upstream::start(status(200));
    let proxy = limited(backend.address, "keep_alive = \"400ms\", header_read = \"60s\"", "");
    for http in BOTH {
        let mut client = Kept::to(http, proxy.ingress());
        assert_eq!(client.get(), Some(200), "{http:?}");
        within(Duration::from_secs(8), "it is ended", || connections(&proxy) == 0.0);
        assert_eq!(client.get(), None, "{http:?}");
    }
}

#[test]
fn requests_per_connection_are_as_many_as_are_written() {
    let backend = Upstream::start(status(200));
    let proxy = limited(backend.address, "requests_per_connection = 3", "");
    for http in BOTH {
        let mut client = Kept::to(http, proxy.ingress());
        let statuses: Vec<Option<u16>> = (0..4).map(|_| client.get()).collect();
        assert_eq!(statuses, [Some(200), Some(200), Some(200), None], "{http:?}");
    }
    assert_eq!(backend.hits(), 6);
}

#[test]
fn connections_are_counted_alike() {
    let backend = Upstream::start(status(200));
    let proxy = limited(backend.address, "connections = 1", "");
    for http in BOTH {
        let mut client = Kept::to(http, proxy.ingress());
        assert_eq!(client.get(), Some(200), "{http:?}");
        assert!(Client::to(proxy.ingress()).rest().is_empty(), "the second is closed");
        drop(client);
        eventually("it is gone", || connections(&proxy) == 0.0);
    }
}

/// Streams beyond `h2_streams` are refused as such, so that they can be asked for again.
#[test]
fn h2_streams_are_taken_at_once_and_no_more() {
    let backend = Upstream::start(Arc::new(|_, _| true)); // never answers
    let proxy = limited(backend.address, "h2_streams = 3", "");
    let mut wire = Wire::open(TcpStream::connect(proxy.ingress()).expect("connects"), 65_535).expect("opens");
    wire.put(&(0..5).flat_map(|nth| get(nth * 2 + 1, "/")).collect::<Vec<u8>>());
    eventually("three are asked for", || {
        wire.read();
        backend.hits() == 3 && wire.seen.len() == 2
    });
    assert_eq!(wire.seen, [(3, 0, 7), (3, 0, 9)]);
}

/// An answer that came before its request is over is still read, however much of the request follows.
#[test]
fn body_limit_is_told_and_read() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [[routes]]
            prefix = "/"
            body_limit = "1KiB"
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    ));
    let post = |bytes: usize| {
        let body = "x".repeat(bytes);
        format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n{body}")
    };
    for http in BOTH {
        assert_eq!(http.ask(proxy.ingress(), &post(1_000)).status, 200, "{http:?}");
        let answer = http.ask(proxy.ingress(), &post(3 << 20));
        assert_eq!(refused(&answer), (413, Some("body_too_long")), "{http:?}");
    }
    // Its length is not known before it is over.
    let mut client = Client::to(proxy.ingress());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(2_048)).as_bytes());
    let unknown = client.response(false).expect("answered");
    let mut client = H2Client::to(proxy.ingress());
    let request = http::Request::post("http://a/").body(()).expect("a request");
    let asked = client.ask(request, Some(Bytes::from(vec![b'x'; 2_048]))).expect("sent");
    for (answer, http) in [unknown, client.answer(asked).expect("answered")].iter().zip(BOTH) {
        assert_eq!(refused(answer), (413, Some("body_too_long")), "{http:?}");
    }
    assert_eq!(backend.hits(), 2);
}

/// `/silent` says nothing, `/stalls` stops within its answer, `/drips` never ends.
fn slow() -> Arc<Answer> {
    Arc::new(|seen, stream| {
        let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nbegun";
        match seen.path().rsplit('/').next() {
            Some("silent") => true,
            Some("stalls") => stream.write_all(begun).is_ok(),
            Some("drips") => {
                let mut goes_on = stream.write_all(begun).is_ok();
                while goes_on {
                    std::thread::sleep(Duration::from_millis(50)); // the upstream's own slowness
                    goes_on = stream.write_all(b"x").is_ok();
                }
                false
            }
            _ => status(200)(seen, stream),
        }
    })
}

/// Takes connections and never says a word on them.
fn mute() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    (listener.local_addr().expect("bound"), listener)
}

fn timed(endpoint: SocketAddr, protocol: &str, mute: SocketAddr) -> Proxy {
    let limits = ["first_byte", "per_try", "total", "idle"];
    let routes: String = limits
        .iter()
        .map(|key| format!("[[routes]]\nprefix = \"/{key}\"\ntimeouts = {{ {key} = \"400ms\" }}\n"))
        .collect();
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            {routes}
            # An answer that has to begin in time before its end is late.
            [[routes]]
            prefix = "/total/large"
            timeouts = {{ total = "3s" }}
            [[routes]]
            prefix = "/connect"
            upstream = "mute"
            [upstreams.backend]
            endpoints = ["{endpoint}"]
            protocol = "{protocol}"
            [upstreams.mute]
            endpoints = ["{mute}"]
            protocol = "{protocol}"
            tls = {{ server_name = "a.example" }}
            timeouts = {{ connect = "400ms" }}
        "#
    ))
}

/// Each deadline, for clients and upstreams of both versions: when it has passed the client is told, and what was held is free.
#[test]
fn timeouts_hold_whoever_speaks_what() {
    let backend = Upstream::start(slow());
    let second = ingress_to(backend.address, "");
    let (mute, _listens) = mute();
    let plain = timed(backend.address, "http1", mute);
    let over_h2 = timed(second.ingress(), "h2", mute);
    for (upstream, proxy) in [(Http::One, &plain), (Http::Two, &over_h2)] {
        for client in BOTH {
            let refusals = [
                ("/first_byte/silent", 504, "upstream_timeout"),
                ("/per_try/silent", 504, "upstream_timeout"),
                ("/total/silent", 504, "upstream_timeout"),
                ("/connect", 502, "connect_timeout"),
            ];
            for (path, status, reason) in refusals {
                let began = Instant::now();
                let answer = client.get(proxy.ingress(), path, "");
                let what = format!("{path}, client {client:?}, upstream {upstream:?}");
                assert_eq!(refused(&answer), (status, Some(reason)), "{what}");
                assert!(began.elapsed() < Duration::from_secs(10), "{what}: {:?}", began.elapsed());
            }
            for path in ["/idle/stalls", "/total/stalls", "/total/drips"] {
                let began = Instant::now();
                let answer = client.get(proxy.ingress(), path, "");
                let what = format!("{path}, client {client:?}, upstream {upstream:?}");
                assert_eq!(answer.status, 0, "{what}: it broke off");
                assert!(began.elapsed() < Duration::from_secs(10), "{what}: {:?}", began.elapsed());
            }
            let answer = client.get(proxy.ingress(), "/idle/whole", "");
            assert_eq!(answer.status, 200, "client {client:?}, upstream {upstream:?}");
        }
        eventually("nothing is in flight", || proxy.metric("http_server_active_requests", "") == 0.0);
    }
}

/// A client that stops sending its body, and one that stops reading its answer.
#[test]
fn idle_and_total_hold_for_the_clients_part_too() {
    let large = 8 << 20;
    let backend = Upstream::start(Arc::new(move |seen, stream| {
        if seen.head.starts_with("POST") {
            return status(200)(seen, stream);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {large}\r\n\r\n");
        stream.write_all(head.as_bytes()).is_ok() && stream.write_all(&vec![b'x'; large]).is_ok()
    }));
    let second = ingress_to(backend.address, "");
    let (mute, _listens) = mute();
    for proxy in [timed(backend.address, "http1", mute), timed(second.ingress(), "h2", mute)] {
        let ended = || proxy.metric("http_request_outcomes_total", "outcome=\"client_gone\"");
        for (at, path) in ["/idle/large", "/total/large"].into_iter().enumerate() {
            let mut one = Client::to(proxy.ingress());
            one.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let tcp = TcpStream::connect(proxy.ingress()).expect("connects");
            let mut two = Wire::open(tcp, 1_000).expect("opens");
            two.put(&get(1, path));
            eventually("both are ended", || {
                two.read();
                ended() == (2 * (at + 1)) as f64
            });
            assert_eq!(two.farewells, [], "the connection goes on");
            eventually("what they held is free", || {
                proxy.metric("http_server_active_requests", "") == 0.0
                    && second.metric("http_server_active_requests", "") == 0.0
            });
        }
        let mut one = Client::to(proxy.ingress());
        one.send(b"POST /idle HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
        let one = one.response(false).expect("answered");
        let mut client = H2Client::to(proxy.ingress());
        let request = http::Request::post("http://a/idle").header("content-length", 100).body(());
        let asked = client.ask_for_more(request.expect("a request"), "only this".into()).expect("sent");
        let two = client.answer(asked).expect("answered");
        for (answer, http) in [one, two].iter().zip(BOTH) {
            assert_eq!(refused(answer), (408, Some("body_timeout")), "{http:?}");
        }
    }
}
