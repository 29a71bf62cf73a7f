use std::io::Write as _;
use std::net::SocketAddr;

use crate::support::eventually;
use crate::support::h2::H2Client;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::{Client, Response, ask_http1};
use crate::support::secure::{Issued, issue};
use crate::support::tools::{Server, node, python, run};

const H2: &str = "protocol = \"h2\"";
/// The handshake that RFC 6455 section 1.3 has as its example, but for the path.
const OPENING: &str = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// What the origin saw where the client's stream became one of its own.
const BY_HTTP2: &str = "CONNECT /chat by 2, websocket, with version,protocol";
const BY_HTTP1: &str = "GET /chat by 1.1, websocket, with key,version,protocol";

/// An origin in the clear.
fn in_clear(takes: &str) -> Server {
    Server::start(node("echo_origin.mjs").args(["h2c", takes]))
}

/// One that speaks TLS, and by it what `speaks` says.
fn secure(issued: &Issued, speaks: &str, takes: &str) -> Server {
    Server::start(node("echo_origin.mjs").args([speaks, takes]).args([&issued.cert, &issued.key]))
}

/// One worker: whoever asks finds the connections of those before.
fn before(origin: SocketAddr, more: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [process]
            workers = 1
            [upstreams.backend]
            endpoints = ["localhost:{}"]
            breaker = {{ mode = "on", failures = 1 }}
            retry = {{ attempts = 1 }}
            {more}
        "#,
        origin.port()
    ))
}

fn before_secure(issued: &Issued, origin: &Server, more: &str) -> Proxy {
    before(origin.address, &format!("tls = {{ ca_file = {:?} }}\n{more}", issued.ca))
}

/// A client of HTTP/1.1 that asks for a WebSocket at `path`, and what it is told.
fn opens(proxy: &Proxy, path: &str) -> (Client, Response) {
    let mut client = Client::to(proxy.ingress());
    client.send(format!("GET {path} HTTP/1.1\r\n{OPENING}").as_bytes());
    let told = client.response(false).expect("an answer");
    (client, told)
}

/// It is open, and the origin was asked by the version that `asked` names.
fn is_open(told: &Response, asked: &str) {
    assert_eq!((told.status, told.field("x-asked")), (101, Some(asked)), "{}", told.head);
    let accepts: Vec<_> = told
        .head
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("sec-websocket-accept:"))
        .map(|line| line.split_once(": ").expect("a field").1)
        .collect();
    assert_eq!(accepts, [ACCEPTED], "{}", told.head);
    assert_eq!(told.field("upgrade"), Some("websocket"), "{}", told.head);
}

/// Bytes that differ wherever one is missing.
fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at % 251 + at / 251) as u8).collect()
}

/// Bytes come back as they were sent, and the end after them.
fn echoes(mut client: Client) {
    let bytes = pattern(300_000);
    let (mut writer, sent) = (client.stream.try_clone().expect("clones"), bytes.clone());
    let writing = std::thread::spawn(move || writer.write_all(&sent).expect("sent"));
    assert_eq!(client.exactly(bytes.len()).expect("echoed"), bytes);
    writing.join().expect("no panic");
    client.half_close();
    assert!(client.rest().is_empty());
}

/// Asks by HTTP/2; what came back, the origin having echoed `said`.
fn opens_by_http2(proxy: &Proxy, path: &str, said: &'static str) -> Response {
    let mut client = H2Client::to(proxy.ingress());
    let request = http::Request::connect(format!("http://a{path}"))
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .expect("a request");
    let asked = client.ask(request, Some(said.into())).expect("sent");
    client.answer(asked).expect("whole")
}

/// Refused for what the upstream speaks, which counts against nobody.
fn is_refused(proxy: &Proxy, told: &Response) {
    assert_eq!(
        (told.status, told.field("x-strop-reason")),
        (501, Some("upgrade_not_carried")),
        "{}",
        told.text()
    );
    assert!(told.text().contains("protocol = \\\"http1\\\""), "{}", told.text());
    assert_eq!(proxy.breaker("backend"), "closed");
    assert_eq!(proxy.metric("upstream_requests_total", "verdict=\"bad\""), 0.0);
}

#[test]
fn a_websocket_of_an_http1_client_reaches_a_backend_that_speaks_http2() {
    let origin = in_clear("websockets");
    let proxy = before(origin.address, H2);
    let (client, told) = opens(&proxy, "/chat");
    is_open(&told, BY_HTTP2);
    assert_eq!(told.field("sec-websocket-protocol"), Some("chat"));
    echoes(client);
    eventually("it is an exchange like any other", || {
        proxy.metric("http_requests_total", "status=\"101\"") == 1.0
    });
    assert_eq!(proxy.metric("http_request_outcomes_total", "outcome=\"ok\""), 1.0);
    for direction in ["sent", "received"] {
        let label = format!("direction=\"{direction}\"");
        assert_eq!(proxy.metric("http_body_bytes_total", &label), 300_000.0, "{direction}");
    }
    // Its connection goes on, and was ended by nobody.
    assert_eq!(proxy.get("/ends").text(), "0");
    assert_eq!(proxy.metric("upstream_connections", "upstream=\"backend\""), 1.0);
}

#[test]
fn a_websocket_of_an_http2_client_reaches_a_backend_that_speaks_http2() {
    let origin = in_clear("websockets");
    let proxy = before(origin.address, H2);
    let told = opens_by_http2(&proxy, "/chat", "hello");
    assert_eq!((told.status, told.field("x-asked"), told.text()), (200, Some(BY_HTTP2), "hello".to_owned()));
    assert_eq!(
        (told.field("sec-websocket-protocol"), told.field("sec-websocket-accept")),
        (Some("chat"), None)
    );
    assert_eq!(told.field("upgrade"), None);
}

/// A browser goes by HTTP/1.1 where HTTP/2 does not take it.
#[test]
fn the_version_that_a_server_agrees_on_carries_its_websockets_as_it_takes_them() {
    let issued = issue(&["localhost"]);
    for (takes, asked) in [("websockets", BY_HTTP2), ("nothing", BY_HTTP1)] {
        let origin = secure(&issued, "both", takes);
        let proxy = before_secure(&issued, &origin, "");
        // Before anything is known of the server, and after.
        for _ in 0..2 {
            let (client, told) = opens(&proxy, "/chat");
            is_open(&told, asked);
            echoes(client);
            let told = opens_by_http2(&proxy, "/chat", "hello");
            assert_eq!((told.status, told.text()), (200, "hello".to_owned()), "{}", told.head);
            // Requests share the connection as before.
            let told = proxy.get("/");
            assert_eq!((told.status, told.field("x-version")), (200, Some("2.0")), "{takes}");
        }
        eventually("nothing but the shared one is left", || {
            proxy.metric("upstream_connections", "upstream=\"backend\"") == 1.0
        });
    }
}

#[test]
fn a_websocket_that_the_upstream_refuses_is_refused_in_its_words() {
    let issued = issue(&["localhost"]);
    for (speaks, takes, more) in
        [("h2", "websockets", H2), ("both", "websockets", ""), ("both", "nothing", "")]
    {
        let origin = secure(&issued, speaks, takes);
        let proxy = before_secure(&issued, &origin, more);
        for _ in 0..2 {
            let (mut client, told) = opens(&proxy, "/refused");
            assert_eq!((told.status, told.text()), (403, "not you\n".to_owned()), "{speaks} {takes}");
            // The client's connection goes on.
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let told = client.response(false).expect("an answer");
            assert_eq!((told.status, told.field("x-version")), (200, Some("2.0")), "{speaks} {takes}");
            let told = opens_by_http2(&proxy, "/refused", "");
            assert_eq!((told.status, told.text()), (403, "not you\n".to_owned()), "{speaks} {takes}");
        }
        assert_eq!(proxy.breaker("backend"), "closed");
    }
}

#[test]
fn a_websocket_that_no_http2_server_takes_is_refused_with_what_to_write() {
    let issued = issue(&["localhost"]);
    let plain = in_clear("nothing");
    let alone = secure(&issued, "h2", "nothing");
    for proxy in
        [before(plain.address, H2), before_secure(&issued, &alone, H2), before_secure(&issued, &alone, "")]
    {
        for _ in 0..2 {
            let (mut client, told) = opens(&proxy, "/chat");
            is_refused(&proxy, &told);
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(client.response(false).expect("an answer").status, 200, "it goes on");
            is_refused(&proxy, &opens_by_http2(&proxy, "/chat", ""));
        }
        assert_eq!(proxy.metric("http_request_outcomes_total", "outcome=\"client_error\""), 4.0);
    }
}

/// What is no WebSocket has no words in HTTP/2, nor has one whose handshake is not whole: its server is to say so.
#[test]
fn another_upgrade_goes_by_http1_or_not_at_all() {
    let issued = issue(&["localhost"]);
    let both = secure(&issued, "both", "websockets");
    let any = before_secure(&issued, &both, "");
    let plain = in_clear("websockets");
    let http2 = before(plain.address, H2);
    let other = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    let no_key = other.replace("echo", "websocket");
    for text in [other, &no_key] {
        for _ in 0..2 {
            let mut client = Client::to(any.ingress());
            client.send(text.as_bytes());
            let told = client.response(false).expect("an answer");
            assert_eq!(told.status, 101, "{}", told.head);
            assert!(told.field("x-asked").is_some_and(|asked| asked.contains("by 1.1")), "{}", told.head);
            echoes(client);
            is_refused(&http2, &ask_http1(http2.ingress(), text));
        }
    }
}

/// Both the client and the server speak WebSocket and nothing is told to them of what is between.
#[test]
fn a_websocket_client_is_served_through_http2() {
    let chat = Server::start(&mut python("websocket_server.py"));
    let second = ingress_to(chat.address, "");
    let first = ingress_to(second.ingress(), H2);
    run(python("with_websockets.py").arg(format!("ws://{}/chat", first.ingress())));
    for proxy in [&first, &second] {
        eventually("each connection is one exchange", || {
            proxy.metric("http_requests_total", "status=\"101\"") == 5.0
        });
        assert_eq!(proxy.metric("circuit_breaker_failures", ""), 0.0, "nobody's fault");
    }
}

#[test]
fn who_leaves_a_websocket_is_missed_on_the_other_side() {
    let origin = in_clear("websockets");
    let proxy = before(origin.address, H2);
    let (client, told) = opens(&proxy, "/chat");
    is_open(&told, BY_HTTP2);
    // Unread bytes make its close a reset.
    (&client.stream).write_all(b"unread").expect("sent");
    client.stream.peek(&mut [0; 6]).expect("echoed");
    drop(client);
    const CANCEL: &str = "8";
    eventually("its stream is cancelled", || proxy.get("/ends").text() == CANCEL);
    assert_eq!(proxy.breaker("backend"), "closed");
}

#[test]
fn websockets_by_http2_have_the_cap_of_tunnels_and_leave_requests_their_connection() {
    let origin = in_clear("websockets");
    let proxy = before(origin.address, &format!("{H2}\npool = {{ connections = 1, tunnels = 3 }}"));
    let open: Vec<_> = (0..3).map(|_| opens(&proxy, "/chat")).collect();
    open.iter().for_each(|(_, told)| is_open(told, BY_HTTP2));
    let (_, told) = opens(&proxy, "/chat");
    assert_eq!((told.status, told.field("x-strop-reason")), (503, Some("tunnels_full")));
    assert_eq!(proxy.get("/").status, 200);
    drop(open);
    eventually("there is room again", || opens(&proxy, "/chat").1.status == 101);
}

#[test]
fn a_websocket_by_http2_that_falls_silent_is_ended() {
    let origin = in_clear("websockets");
    let proxy = before(origin.address, &format!("{H2}\ntimeouts = {{ idle = \"1s\" }}"));
    let (mut client, told) = opens(&proxy, "/chat");
    is_open(&told, BY_HTTP2);
    assert!(client.rest().is_empty());
    eventually("so does its stream", || proxy.get("/ends").text() == "8");
}

/// GOAWAY names the last stream that is served, and a WebSocket on one before it goes on.
#[test]
fn a_websocket_outlives_that_its_connection_takes_no_more() {
    let chat = Server::start(node("echo_origin.mjs").args(["h2c", "websockets"]));
    let mut second = before(chat.address, H2);
    let first = before(second.ingress(), H2);
    let (client, told) = opens(&first, "/chat");
    assert_eq!(told.status, 101);
    second.signal("TERM");
    eventually("it takes no more", || first.get("/").status != 200);
    echoes(client);
    assert_eq!(second.stop(), Some(0));
}
