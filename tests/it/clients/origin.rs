use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};

use crate::support::PATIENCE;
use crate::support::upstream::{Seen, Upstream};

/// `gzip.compress(b"as it came\n", mtime=0)`
const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03K,V\xc8,QHN\xccM\xe5\x02\x00\xc6\xbd%P\x0b\x00\x00\x00";

/// The length of `/large`.
pub const LARGE: usize = 8 << 20;

/// An origin with a page for everything that a client may trip over.
pub struct Origin {
    pub upstream: Upstream,
    gate: Arc<Gate>,
}

/// Holds an answer back until another request lets it go; counts the clients that left before the end.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    turned: Condvar,
    left: Mutex<usize>,
}

impl Gate {
    fn release(&self) {
        *self.open.lock().expect("not poisoned") = true;
        self.turned.notify_all();
    }

    /// Waits until it is let go; false: nobody did.
    fn wait(&self) -> bool {
        let open = self.open.lock().expect("not poisoned");
        let waited = self.turned.wait_timeout_while(open, PATIENCE, |open| !*open);
        let (mut open, waited) = waited.expect("not poisoned");
        *open = false;
        !waited.timed_out()
    }

    fn note_left(&self) {
        *self.left.lock().expect("not poisoned") += 1;
    }
}

impl Origin {
    pub fn start() -> Self {
        let gate = Arc::<Gate>::default();
        let own = Arc::clone(&gate);
        let upstream =
            Upstream::start(Arc::new(move |seen, stream| answer(seen, stream, &own).unwrap_or(false)));
        Self { upstream, gate }
    }

    /// Clients that left before the end of an answer.
    pub fn left(&self) -> usize {
        *self.gate.left.lock().expect("not poisoned")
    }
}

/// The bytes of all tests; `told.py` has the same. They repeat after 251 times 256.
pub fn pattern(n: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..251 * 256).map(|at| (at * 31 + at / 251) as u8).collect();
    let mut all = period.repeat(n.div_ceil(period.len()));
    all.truncate(n);
    all
}

fn answer(seen: &Seen, stream: &mut TcpStream, gate: &Gate) -> std::io::Result<bool> {
    let path = seen.path().split('?').next().unwrap_or_default();
    match path {
        "/echo" => whole(seen, stream, "200 OK", "Content-Type: application/octet-stream\r\n", &seen.body),
        "/fields" => {
            let fields = "X-CaSe: Kept\r\nX-Twice: one\r\nSet-Cookie: first=1; Path=/\r\nX-Between: y\r\n\
                          X-Twice: two\r\nSet-Cookie: second=2; Path=/\r\nx-empty:\r\n";
            whole(seen, stream, "200 Quite Fine", fields, b"fields\n")
        }
        "/gzip" => {
            whole(seen, stream, "200 OK", "Content-Encoding: gzip\r\nContent-Type: text/plain\r\n", GZIP)
        }
        "/redirect" => whole(seen, stream, "302 Found", "Location: /fields\r\n", b"there\n"),
        "/preserved" => whole(seen, stream, "307 Temporary Redirect", "Location: /echo\r\n", b"there\n"),
        "/large" => whole(seen, stream, "200 OK", "", &pattern(LARGE)),
        "/range" => range(seen, stream),
        "/stream" => chunks(seen, stream),
        "/held" => held(stream, gate),
        "/release" => {
            gate.release();
            whole(seen, stream, "200 OK", "", b"released\n")
        }
        "/endless" => endless(stream, gate),
        _ => whole(seen, stream, "404 Not Found", "", b"no such page\n"),
    }
}

fn whole(
    seen: &Seen,
    stream: &mut TcpStream,
    status: &str,
    fields: &str,
    body: &[u8],
) -> std::io::Result<bool> {
    let head = format!("HTTP/1.1 {status}\r\n{DATE}{fields}Content-Length: {}\r\n\r\n", body.len());
    // In one piece: some clients give up a connection when the body of a redirect is late.
    let body = if seen.head.starts_with("HEAD ") { b"" } else { body };
    stream.write_all(&[head.as_bytes(), body].concat())?;
    Ok(true)
}

fn range(seen: &Seen, stream: &mut TcpStream) -> std::io::Result<bool> {
    let all = pattern(1_000);
    let asked = seen.fields("range").first().and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let number = |text: &str| text.parse::<usize>().ok();
    let Some((from, to)) = asked.and_then(|(from, to)| Some((number(from)?, number(to)?))) else {
        return whole(seen, stream, "200 OK", "Accept-Ranges: bytes\r\n", &all);
    };
    let part = all.get(from..=to).unwrap_or_default();
    whole(
        seen,
        stream,
        "206 Partial Content",
        &format!("Content-Range: bytes {from}-{to}/{}\r\n", all.len()),
        part,
    )
}

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

fn chunked(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\n{DATE}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
}

fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}

fn chunks(seen: &Seen, stream: &mut TcpStream) -> std::io::Result<bool> {
    chunked(stream)?;
    if seen.head.starts_with("HEAD ") {
        return Ok(true);
    }
    pattern(1 << 20).chunks(16_001).try_for_each(|part| chunk(stream, part))?;
    stream.write_all(b"0\r\n\r\n")?;
    Ok(true)
}

fn held(stream: &mut TcpStream, gate: &Gate) -> std::io::Result<bool> {
    chunked(stream)?;
    chunk(stream, b"first")?;
    if !gate.wait() {
        return Ok(false);
    }
    chunk(stream, b"second")?;
    stream.write_all(b"0\r\n\r\n")?;
    Ok(true)
}

fn endless(stream: &mut TcpStream, gate: &Gate) -> std::io::Result<bool> {
    chunked(stream)?;
    let part = pattern(16 << 10);
    while chunk(stream, &part).is_ok() {}
    gate.note_left();
    Ok(false)
}
