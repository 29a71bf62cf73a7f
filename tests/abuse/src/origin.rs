//! The backend: small answers, large ones, errors; it reads what it is sent. One thread for all connections: what is measured is
//! Strop, not the scheduler.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Bytes of `/large`.
const LARGE: usize = 2 << 20;
/// Bytes of an answer that the kernel may hold.
const SENDING: usize = 64 << 10;

/// How long a body to `/stuck` is not read.
const STUCK: std::time::Duration = std::time::Duration::from_secs(20);

/// A running backend; dropped, it ends.
pub struct Origin {
    pub address: SocketAddr,
    _over: oneshot::Sender<()>,
}

impl Origin {
    pub fn start() -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).map_err(text)?;
        // What nobody reads stays in the program that made it, not in the kernel that all share.
        socket.set_send_buffer_size(SENDING).map_err(text)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).map_err(text)?;
        socket.listen(4_096).map_err(text)?;
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true).map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let (over, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
        std::thread::spawn(move || {
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener) => {}
                    // Its other half is gone.
                    _ = ended => {}
                }
            });
        });
        Ok(Self { address, _over: over })
    }
}

async fn accept(listener: TcpListener) {
    let large = Rc::new(vec![b'x'; LARGE]);
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // Small answers must not wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            tokio::task::spawn_local(serve(stream, Rc::clone(&large)));
        }
    }
}

async fn serve(mut stream: TcpStream, large: Rc<Vec<u8>>) {
    let mut ahead = Vec::new();
    while let Some((head, rest)) = head(&mut stream, ahead).await {
        ahead = match answer(&mut stream, &head, rest, &large).await {
            Some(ahead) => ahead,
            None => return,
        };
    }
}

async fn head(stream: &mut TcpStream, mut ahead: Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(at) = ahead.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = ahead.split_off(at + 4);
            return Some((String::from_utf8_lossy(&ahead).into_owned(), rest));
        }
        if !matches!(stream.read_buf(&mut ahead).await, Ok(1..)) {
            return None;
        }
    }
}

/// Reads the body, answers; what was read beyond it.
async fn answer(stream: &mut TcpStream, head: &str, mut ahead: Vec<u8>, large: &[u8]) -> Option<Vec<u8>> {
    if head.split(' ').nth(1) == Some("/stuck") {
        tokio::time::sleep(STUCK).await;
        return None;
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    while ahead.len() < length {
        if !matches!(stream.read_buf(&mut ahead).await, Ok(1..)) {
            return None;
        }
    }
    let rest = ahead.split_off(length);
    let (status, body) = match head.split(' ').nth(1) {
        Some("/large") => ("200 OK", large),
        Some("/error") => ("500 Internal Server Error", &b"broken"[..]),
        _ => ("200 OK", &large[..2_000]),
    };
    let told = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(told.as_bytes()).await.ok()?;
    stream.write_all(body).await.ok()?;
    Some(rest)
}
