//! An upstream that answers as it is told, by HTTP/2: what is told as HTTP/1.1 is said in the other's words.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::AsyncReadExt;

use super::raw::find;
use super::upstream::{Answer, Seen};

/// Are upstreams to be reached by HTTP/2 (`STROP_TEST_UPSTREAMS=2`)?
pub fn is_asked_for() -> bool {
    std::env::var("STROP_TEST_UPSTREAMS").is_ok_and(|version| version == "2")
}

/// What one of them has to know.
#[derive(Clone)]
pub struct Told {
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub down: Arc<AtomicBool>,
    pub answer: Arc<Mutex<Arc<Answer>>>,
}

/// Serves a connection to its end.
pub fn converse(stream: TcpStream, told: &Told) {
    stream.set_nonblocking(true).expect("sets");
    stream.set_nodelay(true).expect("sets");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).expect("a stream");
        let mut builder = h2::server::Builder::new();
        builder
            .max_pending_accept_reset_streams(4_096)
            .max_header_list_size(1 << 20)
            .initial_window_size(4 << 20)
            .initial_connection_window_size(8 << 20);
        let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
        let looks = || tokio::time::sleep(std::time::Duration::from_millis(50));
        loop {
            let accepted = tokio::select! {
                accepted = connection.accept() => accepted,
                () = looks() => {
                    if told.down.load(Ordering::SeqCst) { return }
                    continue
                }
            };
            let Some(Ok((request, respond))) = accepted else { return };
            tokio::spawn(serve(request, respond, told.clone()));
        }
    });
    // Whoever still answers is not waited for.
    runtime.shutdown_background();
}

async fn serve(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, told: Told) {
    let Ok(seen) = read(request).await else { return };
    if told.down.load(Ordering::SeqCst) {
        // The connection is about to end.
        return std::future::pending().await;
    }
    let is_head = seen.head.starts_with("HEAD ");
    told.seen.lock().expect("not poisoned").push(seen.clone());
    let answer = Arc::clone(&told.answer.lock().expect("not poisoned"));
    let (mut theirs, ours) = pair().expect("a pair of sockets");
    // Who keeps the connection says no more on it, and does not end it either.
    let answering = tokio::task::spawn_blocking(move || answer(&seen, &mut theirs).then_some(theirs));
    match say(ours, &mut respond, is_head).await {
        Ok(()) => {}
        Err(Some(mut stream)) => {
            // A reset overtakes what waits to be sent.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        Err(None) => respond.send_reset(Reason::INTERNAL_ERROR),
    }
    let _ = answering.await;
}

fn pair() -> io::Result<(TcpStream, tokio::net::TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let theirs = TcpStream::connect(listener.local_addr()?)?;
    let (ours, _) = listener.accept()?;
    ours.set_nonblocking(true)?;
    let ours = tokio::net::TcpStream::from_std(ours)?;
    // There is one for each request: what is used up waits for no stray packet, or a suite runs out of ports.
    ours.set_zero_linger()?;
    Ok((theirs, ours))
}

/// The request as HTTP/1.1 would have said it.
async fn read(request: Request<RecvStream>) -> Result<Seen, h2::Error> {
    let (parts, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        let _ = stream.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("*", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\n", parts.method);
    if let Some(authority) = parts.uri.authority() {
        head.push_str(&format!("Host: {authority}\r\n"));
    }
    for (name, value) in parts.headers.iter().chain(&trailers) {
        head.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    if !body.is_empty() && !parts.headers.contains_key("content-length") {
        head.push_str("Transfer-Encoding: chunked\r\n");
    }
    Ok(Seen { head, body })
}

/// Says what comes as HTTP/1.1; what breaks off or makes no sense is an error, with the stream once there is one.
async fn say(
    from: tokio::net::TcpStream,
    respond: &mut SendResponse<Bytes>,
    is_head: bool,
) -> Result<(), Option<SendStream<Bytes>>> {
    let mut reader = Reader { from, ahead: BytesMut::new() };
    let (status, fields) = loop {
        let (status, fields) = tokio::select! {
            head = reader.head() => head.ok_or(None)?,
            _ = std::future::poll_fn(|cx| respond.poll_reset(cx)) => return Err(None),
        };
        if status >= 200 {
            break (status, fields);
        }
        let mut interim = Response::builder().status(status).body(()).map_err(|_| None)?;
        *interim.headers_mut() = fields;
        respond.send_informational(interim).map_err(|_| None)?;
    };
    let framing =
        if is_head || matches!(status, 204 | 304) { Framing::Length(0) } else { Framing::of(&fields) };
    let mut head = Response::builder().status(status).body(()).map_err(|_| None)?;
    let named = fields.get_all("connection").iter().filter_map(|names| names.to_str().ok());
    let named: Vec<_> =
        named.flat_map(|names| names.split(',').map(|name| name.trim().to_ascii_lowercase())).collect();
    for (name, value) in &fields {
        let of_the_hop = ["connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection"];
        if !of_the_hop.contains(&name.as_str()) && !named.iter().any(|named| named == name.as_str()) {
            head.headers_mut().append(name, value.clone());
        }
    }
    let ends = matches!(framing, Framing::Length(0));
    let mut stream = respond.send_response(head, ends).map_err(|_| None)?;
    if ends {
        return Ok(());
    }
    match reader.body(framing, &mut stream).await {
        Some(()) => Ok(()),
        None => Err(Some(stream)),
    }
}

enum Framing {
    Length(usize),
    Chunked,
    ToTheEnd,
}

impl Framing {
    fn of(fields: &HeaderMap) -> Self {
        let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
        match text("content-length").and_then(|length| length.parse().ok()) {
            _ if text("transfer-encoding").is_some() => Self::Chunked,
            Some(length) => Self::Length(length),
            None => Self::ToTheEnd,
        }
    }
}

struct Reader {
    from: tokio::net::TcpStream,
    ahead: BytesMut,
}

impl Reader {
    async fn more(&mut self) -> bool {
        matches!(self.from.read_buf(&mut self.ahead).await, Ok(1..))
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.ahead, b"\n") {
                let line = self.ahead.split_to(at + 1);
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn fields(&mut self) -> Option<HeaderMap> {
        let mut fields = HeaderMap::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Some(fields);
            }
            let (name, value) = line.split_once(':')?;
            let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
            fields.append(name, http::HeaderValue::from_str(value.trim()).ok()?);
        }
    }

    async fn head(&mut self) -> Option<(u16, HeaderMap)> {
        let status = self.line().await?.split(' ').nth(1)?.parse().ok()?;
        Some((status, self.fields().await?))
    }

    async fn body(&mut self, framing: Framing, stream: &mut SendStream<Bytes>) -> Option<()> {
        match framing {
            Framing::Length(bytes) => {
                self.pass(bytes, stream).await?;
                stream.send_data(Bytes::new(), true).ok()
            }
            Framing::Chunked => loop {
                let line = self.line().await?;
                let bytes = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
                if bytes == 0 {
                    let trailers = self.fields().await?;
                    return if trailers.is_empty() {
                        stream.send_data(Bytes::new(), true).ok()
                    } else {
                        stream.send_trailers(trailers).ok()
                    };
                }
                self.pass(bytes, stream).await?;
                self.line().await.filter(String::is_empty)?;
            },
            Framing::ToTheEnd => loop {
                let some = self.ahead.split().freeze();
                Self::send(some, stream).await?;
                if !self.more_or_left(stream).await? {
                    return stream.send_data(Bytes::new(), true).ok();
                }
            },
        }
    }

    /// False: there is no more; `None`: the client has left.
    async fn more_or_left(&mut self, stream: &mut SendStream<Bytes>) -> Option<bool> {
        tokio::select! {
            more = self.more() => Some(more),
            _ = std::future::poll_fn(|cx| stream.poll_reset(cx)) => None,
        }
    }

    async fn pass(&mut self, mut bytes: usize, stream: &mut SendStream<Bytes>) -> Option<()> {
        while bytes > 0 {
            if self.ahead.is_empty() && !self.more_or_left(stream).await? {
                return None;
            }
            let some = self.ahead.split_to(bytes.min(self.ahead.len())).freeze();
            bytes -= some.len();
            Self::send(some, stream).await?;
        }
        Some(())
    }

    async fn send(mut some: Bytes, stream: &mut SendStream<Bytes>) -> Option<()> {
        while some.has_remaining() {
            stream.reserve_capacity(some.len());
            let takes = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
            stream.send_data(some.split_to(takes.min(some.len())), false).ok()?;
        }
        Some(())
    }
}
