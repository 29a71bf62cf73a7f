//! The backend: small answers, large ones, errors; it reads what it is sent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of `/large`.
const LARGE: usize = 8 << 20;

/// A running backend.
pub struct Origin {
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Origin {
    pub fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let over = Arc::new(AtomicBool::new(false));
        let (leaving, large) = (Arc::clone(&over), Arc::new(vec![b'x'; LARGE]));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if leaving.load(Ordering::Relaxed) {
                    return;
                }
                let large = Arc::clone(&large);
                // A thread that cannot be had costs this connection.
                let _ =
                    std::thread::Builder::new().stack_size(128 * 1024).spawn(move || serve(stream, &large));
            }
        });
        Ok(Self { address, over })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: TcpStream, large: &[u8]) {
    let mut ahead = Vec::new();
    while let Some((head, rest)) = head(&mut stream, ahead) {
        ahead = match answer(&mut stream, &head, rest, large) {
            Some(ahead) => ahead,
            None => return,
        };
    }
}

fn head(stream: &mut TcpStream, mut ahead: Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut some = [0; 16 * 1024];
    loop {
        if let Some(at) = ahead.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = ahead.split_off(at + 4);
            return Some((String::from_utf8_lossy(&ahead).into_owned(), rest));
        }
        match stream.read(&mut some) {
            Ok(read @ 1..) => ahead.extend_from_slice(&some[..read]),
            Ok(0) | Err(_) => return None,
        }
    }
}

/// Reads the body, answers; what was read beyond it.
fn answer(stream: &mut TcpStream, head: &str, mut ahead: Vec<u8>, large: &[u8]) -> Option<Vec<u8>> {
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let mut some = [0; 16 * 1024];
    let mut left = length.saturating_sub(ahead.len());
    ahead.drain(..length.min(ahead.len()));
    while left > 0 {
        let most = left.min(some.len());
        match stream.read(&mut some[..most]) {
            Ok(read @ 1..) => left -= read,
            Ok(0) | Err(_) => return None,
        }
    }
    let (status, body) = match head.split(' ').nth(1) {
        Some("/large") => ("200 OK", large),
        Some("/error") => ("500 Internal Server Error", &b"broken"[..]),
        _ => ("200 OK", &large[..2_000]),
    };
    let told = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(told.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    Some(ahead)
}
