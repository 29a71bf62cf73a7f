use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::channel;

use crate::support::proxy::ingress_to;
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, bytes, status};

fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at * 31 + at / 251) as u8).collect()
}

fn echo() -> Arc<crate::support::upstream::Answer> {
    Arc::new(|seen, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.body.len());
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&seen.body)).is_ok()
    })
}

#[test]
fn bodies_of_any_size_and_framing_are_the_same_on_the_other_side() {
    let backend = Upstream::start(echo());
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    for size in [0, 1, 100, 16_383, 16_384, 16_385, 65_536, 1_000_003, 3 << 20] {
        let body = pattern(size);
        client.send(format!("POST /{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n").as_bytes());
        let mut writer = client.stream.try_clone().expect("clones");
        let sent = body.clone();
        let writing = std::thread::spawn(move || writer.write_all(&sent).expect("sent"));
        assert_eq!(client.response(false).expect("answered").body, body, "{size} bytes by length");
        writing.join().expect("no panic");
        let mut message =
            format!("POST /c{size} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
        for chunk in body.chunks(7_001) {
            message.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            message.extend_from_slice(chunk);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"0\r\n\r\n");
        let mut writer = client.stream.try_clone().expect("clones");
        let writing = std::thread::spawn(move || writer.write_all(&message).expect("sent"));
        assert_eq!(client.response(false).expect("answered").body, body, "{size} bytes in chunks");
        writing.join().expect("no panic");
    }
    assert_eq!(backend.connections(), 1, "one connection carried all of it");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    let many: String = (0..50).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(many.as_bytes());
    for n in 0..50 {
        assert_eq!(client.response(false).expect("answered").text(), format!("200 /{n}\n"));
    }
}

#[test]
fn chunks_and_trailers_of_an_answer_arrive() {
    let told = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n6;x\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n";
    let backend = Upstream::start(bytes(told, true));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = client.response(false).expect("whole");
    assert_eq!((answer.text().as_str(), answer.field("trailer-X-Sum")), ("hello world", Some("42")));
}

#[test]
fn trailers_of_a_request_arrive() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n");
    assert_eq!(client.response(false).expect("answered").status, 200);
    assert_eq!(backend.seen()[0].fields("X-Sum"), ["42"]);
}

#[test]
fn an_answer_flows_before_it_is_whole() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let backend = Upstream::start(Arc::new(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        let _ = wait.lock().expect("not poisoned").recv();
        stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").is_ok()
    }));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    assert_eq!(client.exactly(10).expect("the first chunk"), b"5\r\nfirst\r\n");
    go.send(()).expect("waits");
    assert_eq!(client.exactly(16).expect("the rest"), b"6\r\nsecond\r\n0\r\n\r\n");
}

/// The next chunk's data.
fn chunk(client: &mut Client) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend_from_slice(&client.exactly(1).expect("a size"));
    }
    let len = std::str::from_utf8(&line).ok().and_then(|line| usize::from_str_radix(line.trim(), 16).ok());
    let len = len.expect("hexadecimal digits");
    let mut data = client.exactly(len + 2).expect("the data");
    data.truncate(len);
    data
}

#[test]
fn small_chunks_that_are_there_pass_together_and_wait_for_no_others() {
    let (go, wait) = channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let sent = pattern(2_000);
    let small: Vec<u8> = sent.iter().flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n']).collect();
    let backend = Upstream::start(Arc::new(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
        let _ = stream.write_all(&small);
        let _ = wait.lock().expect("not poisoned").recv();
        stream.write_all(b"1;x=y\r\nz\r\n0\r\nX-Sum: 42\r\n\r\n").is_ok()
    }));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head().expect("the head");
    let (mut came, mut chunks) = (Vec::new(), 0);
    while came.len() < sent.len() {
        came.extend(chunk(&mut client));
        chunks += 1;
    }
    assert_eq!(came, sent, "all that was there, although the body goes on");
    assert!(chunks < 200, "{chunks} chunks for one write of the backend");
    go.send(()).expect("waits");
    let rest = b"1\r\nz\r\n0\r\nX-Sum: 42\r\n\r\n";
    assert_eq!(client.exactly(rest.len()).expect("the rest"), rest);
}

#[test]
fn interim_answers_pass_and_a_body_waits_for_its_continue() {
    let backend = Upstream::start(bytes(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        true,
    ));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = client.head().expect("interim");
    assert!(hints.0 == 103 && hints.1.contains("Link: </a.css>"), "{hints:?}");
    assert_eq!(client.response(false).expect("final").text(), "ok");

    // A server that asks for the body only after it has seen the head.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = ingress_to(listener.local_addr().expect("bound"), "");
    let server = std::thread::spawn(move || {
        use std::io::Read;
        let (mut stream, _) = listener.accept().expect("accepts");
        let mut seen = Vec::new();
        let mut block = [0; 1024];
        while crate::support::raw::find(&seen, b"\r\n\r\n").is_none() {
            let n = stream.read(&mut block).expect("reads");
            seen.extend_from_slice(&block[..n]);
        }
        assert!(String::from_utf8_lossy(&seen).contains("100-continue"));
        assert!(seen.ends_with(b"\r\n\r\n"), "no body yet");
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").expect("writes");
        let mut body = [0; 5];
        stream.read_exact(&mut body).expect("the body");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").expect("writes");
        stream.write_all(&body).expect("writes");
    });
    let mut client = Client::to(proxy.ingress());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().expect("interim").0, 100);
    client.send(b"hello");
    assert_eq!(client.response(false).expect("final").text(), "hello");
    server.join().expect("no panic");
}

#[test]
fn answers_without_a_body_are_framed_as_such() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        let told: &[u8] = match seen.path() {
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        };
        stream.write_all(told).is_ok()
    }));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    for (request, status, length) in
        [("HEAD /", 200, Some("9")), ("GET /204", 204, None), ("GET /304", 304, Some("9"))]
    {
        client.send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let answer = client.response(true).expect("answered");
        assert_eq!((answer.status, answer.field("content-length")), (status, length), "{request}");
    }
}

#[test]
fn an_old_client_gets_an_answer_it_can_read() {
    let backend = Upstream::start(bytes(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        true,
    ));
    let proxy = ingress_to(backend.address, "");
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let answer = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(!answer.contains("chunked") && answer.ends_with("\r\n\r\nhello"), "{answer:?}");
}

/// A server that changes to an echo, and says first what key it was asked with.
fn websocket_echo() -> std::net::SocketAddr {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepts");
        let (mut seen, mut block) = (Vec::new(), [0; 4096]);
        while crate::support::raw::find(&seen, b"\r\n\r\n").is_none() {
            let n = stream.read(&mut block).expect("reads");
            seen.extend_from_slice(&block[..n]);
        }
        let head = String::from_utf8_lossy(&seen).into_owned();
        assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\n"), "{head}");
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n{key} "
        );
        stream.write_all(answer.as_bytes()).expect("writes");
        while let Ok(n @ 1..) = stream.read(&mut block) {
            stream.write_all(&block[..n]).expect("writes");
        }
    });
    address
}

#[test]
fn a_websocket_of_an_http2_client_reaches_a_backend_that_speaks_http1() {
    let proxy = ingress_to(websocket_echo(), "");
    let mut client = crate::support::h2::H2Client::to(proxy.ingress());
    let request = http::Request::connect("http://a/chat?room=1")
        .extension(h2::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(())
        .expect("a request");
    let asked = client.ask(request, Some("hello".into())).expect("sent");
    let answer = client.answer(asked).expect("whole");
    assert_eq!((answer.status, answer.field("sec-websocket-protocol")), (200, Some("chat")));
    assert_eq!((answer.field("sec-websocket-accept"), answer.field("upgrade")), (None, None));
    let text = answer.text().to_owned();
    let (key, echoed) = text.split_once(' ').expect("both");
    assert!(key.len() == 24 && key.ends_with("==") && echoed == "hello", "{text}");
}

#[test]
fn an_upgraded_connection_carries_bytes_both_ways() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = ingress_to(listener.local_addr().expect("bound"), "");
    let server = std::thread::spawn(move || {
        use std::io::Read;
        let (mut stream, _) = listener.accept().expect("accepts");
        let mut seen = Vec::new();
        let mut block = [0; 4096];
        while crate::support::raw::find(&seen, b"\r\n\r\n").is_none() {
            let n = stream.read(&mut block).expect("reads");
            seen.extend_from_slice(&block[..n]);
        }
        let head = String::from_utf8_lossy(&seen).to_ascii_lowercase();
        assert!(head.contains("upgrade: echo") && head.contains("connection: upgrade"), "{head}");
        // The first bytes of the new protocol come with the answer.
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhi")
            .expect("writes");
        loop {
            match stream.read(&mut block) {
                Ok(0) | Err(_) => return,
                Ok(n) => stream.write_all(&block[..n]).expect("writes"),
            }
        }
    });
    let mut client = Client::to(proxy.ingress());
    client.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
    let (status, head) = client.head().expect("answered");
    assert!(status == 101 && head.to_ascii_lowercase().contains("upgrade: echo"), "{head}");
    assert_eq!(client.exactly(7).expect("both"), b"hiearly");
    let block = pattern(200_000);
    let mut writer = client.stream.try_clone().expect("clones");
    let sent = block.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent).expect("sent"));
    assert_eq!(client.exactly(block.len()).expect("echoed"), block);
    writing.join().expect("no panic");
    client.half_close();
    assert!(client.rest().is_empty());
    server.join().expect("no panic");
}
