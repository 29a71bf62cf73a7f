//! A client that speaks HTTP/2 in the clear and can leave things undone.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::PATIENCE;
use super::raw::Response;

/// Speaks HTTP/2 in the clear at a port of its own; `serve` has each connection.
fn serving<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(h2::server::Connection<TcpStream, Bytes>) -> F + Send + 'static,
) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("sets");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("listens");
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(h2::server::handshake(tcp).await.expect("speaks")));
            }
        });
    });
    address
}

/// An upstream that speaks HTTP/2 in the clear and resets the first stream for this reason once it has read it; others
/// get 200 and the number of bytes that were read.
pub fn upstream_that_resets_once(reason: h2::Reason) -> SocketAddr {
    let left = Arc::new(Mutex::new(Some(reason)));
    serving(move |mut connection| {
        let left = Arc::clone(&left);
        async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let reason = left.lock().expect("not poisoned").take();
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    let mut read = 0;
                    while let Some(Ok(data)) = body.data().await {
                        read += data.len();
                        // It has flow control for what is longer; it fails with the connection.
                        let _ = body.flow_control().release_capacity(data.len());
                    }
                    let answer = http::Response::builder().header("x-read", read).body(()).expect("a head");
                    match reason {
                        Some(reason) => respond.send_reset(reason),
                        None => drop(respond.send_response(answer, true)),
                    }
                });
            }
        }
    })
}

/// An upstream that speaks HTTP/2 in the clear, answers the first request of each connection and ends that without a word when
/// the second is there.
pub fn upstream_that_serves_once() -> SocketAddr {
    serving(|mut connection| async move {
        if let Some(Ok((_, mut respond))) = connection.accept().await {
            drop(respond.send_response(http::Response::new(()), true));
        }
        let _ = connection.accept().await;
    })
}

/// The answer is whole, and the rest of the request is not wanted (RFC 9113 section 8.1).
fn is_whole(error: &h2::Error) -> bool {
    error.reason() == Some(h2::Reason::NO_ERROR)
}

pub struct H2Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
}

/// A request that is on its way.
pub struct Asked {
    answer: ResponseFuture,
    /// Holds the request open.
    _sending: h2::SendStream<Bytes>,
}

impl H2Client {
    pub fn to(address: SocketAddr) -> Self {
        Self::with_window(address, 65_535)
    }

    /// One that takes so many bytes of a body, and no more until it has read them.
    pub fn with_window(address: SocketAddr, bytes: u32) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (sender, connection) = runtime.block_on(async {
            let tcp = tokio::net::TcpStream::connect(address).await.expect("connects");
            h2::client::Builder::new().initial_window_size(bytes).handshake(tcp).await.expect("speaks")
        });
        runtime.spawn(async move {
            let _ = connection.await;
        });
        Self { runtime, sender }
    }

    /// Sends a head, and a body when there is one; `None`: the connection takes no more.
    pub fn ask(&mut self, request: Request<()>, body: Option<Bytes>) -> Option<Asked> {
        let mut sender = self.runtime.block_on(self.sender.clone().ready()).ok()?;
        let (answer, mut sending) = sender.send_request(request, body.is_none()).ok()?;
        if let Some(body) = body {
            // An answer that is whole before its request is ends the stream.
            let _ = sending.send_data(body, true);
        }
        Some(Asked { answer, _sending: sending })
    }

    /// Sends a head and the beginning of a body.
    pub fn ask_for_more(&mut self, request: Request<()>, begin: Bytes) -> Option<Asked> {
        let mut sender = self.runtime.block_on(self.sender.clone().ready()).ok()?;
        let (answer, mut sending) = sender.send_request(request, false).ok()?;
        sending.send_data(begin, false).ok()?;
        Some(Asked { answer, _sending: sending })
    }

    /// The status, once the head is there; then it leaves.
    pub fn leave_at_head(&self, asked: Asked) -> Option<u16> {
        let head = async { tokio::time::timeout(PATIENCE, asked.answer).await.expect("something comes") };
        self.runtime.block_on(head).ok().map(|answer| answer.status().as_u16())
    }

    /// The answer in whole; `None`: it broke off.
    pub fn answer(&self, asked: Asked) -> Option<Response> {
        self.answer_at(asked, Duration::ZERO)
    }

    /// The same, read with a pause before each piece is done with.
    pub fn answer_at(&self, asked: Asked, pause: Duration) -> Option<Response> {
        self.runtime.block_on(async {
            let read = async {
                let (parts, mut stream) = asked.answer.await.ok()?.into_parts();
                let (mut body, mut unwanted) = (Vec::new(), false);
                while let Some(data) = stream.data().await {
                    let data = match data {
                        Err(error) if is_whole(&error) => {
                            unwanted = true;
                            break;
                        }
                        data => data.ok()?,
                    };
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    let _ = stream.flow_control().release_capacity(data.len());
                    body.extend_from_slice(&data);
                }
                let trailers = match stream.trailers().await {
                    Err(error) if is_whole(&error) => None,
                    trailers => trailers.ok()?,
                };
                let trailers = trailers.unwrap_or_default();
                let length = parts.headers.get("content-length").and_then(|length| length.to_str().ok());
                if unwanted && length.is_some_and(|length| length.parse() != Ok(body.len())) {
                    return None;
                }
                let fields = parts.headers.iter().map(|field| ("", field));
                let fields = fields.chain(trailers.iter().map(|field| ("trailer-", field)));
                let head = fields.fold("HTTP/2\r\n".to_owned(), |head, (kind, (name, value))| {
                    head + &format!("{kind}{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()))
                });
                Some(Response { status: parts.status.as_u16(), head, body })
            };
            tokio::time::timeout(PATIENCE, read).await.expect("something comes")
        })
    }

    /// One request and its answer.
    pub fn get(&mut self, uri: &str) -> Option<Response> {
        let request = Request::get(uri).body(()).expect("a request");
        let asked = self.ask(request, None)?;
        self.answer(asked)
    }
}

/// Is the suite to be run over HTTP/2 (`STROP_TEST_HTTP=2`)?
pub fn is_asked_for() -> bool {
    std::env::var("STROP_TEST_HTTP").is_ok_and(|version| version == "2")
}

/// Neither tunnels nor what belongs to an HTTP/1.1 hop can be said by HTTP/2 (RFC 9113 section 8.2.2).
pub fn can_say(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    !text.starts_with("connect ")
        && !["\r\nupgrade:", "\r\nkeep-alive:", "\r\nte:"].iter().any(|hop| text.contains(hop))
}

/// Sends what an HTTP/1.1 request says by HTTP/2, on a connection of its own. An answer that breaks off is status 0.
pub fn ask(address: SocketAddr, text: &str) -> Response {
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let mut lines = head.lines();
    let mut start = lines.next().expect("a request line").split(' ');
    let (method, target) = (start.next().expect("a method"), start.next().expect("a target"));
    let fields: Vec<(&str, &str)> = lines
        .map(|line| line.split_once(':').expect("a field"))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let host = fields
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("host"))
        .map_or("a.example", |(_, host)| host);
    let uri = if target.starts_with('/') { format!("http://{host}{target}") } else { target.to_owned() };
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        let of_the_hop = ["connection", "host", "transfer-encoding", "expect", "keep-alive"];
        if !of_the_hop.iter().any(|hop| name.eq_ignore_ascii_case(hop)) {
            request = request.header(name, value);
        }
    }
    let mut client = H2Client::to(address);
    let body = (!body.is_empty()).then(|| Bytes::copy_from_slice(body.as_bytes()));
    let asked = client.ask(request.body(()).expect("a request"), body);
    asked.and_then(|asked| client.answer(asked)).unwrap_or_default()
}
