//! A server that answers as it is told, and remembers every byte it was sent.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use socket2::{Domain, Socket, Type};

use super::raw::find;
use super::upstream_h2::{self, Told};

/// A request as the upstream saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub head: String,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    pub fn fields(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

/// Writes an answer; false: close the connection.
pub type Answer = dyn Fn(&Seen, &mut TcpStream) -> bool + Send + Sync;

pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    raw: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
    down: Arc<AtomicBool>,
    answer: Arc<Mutex<Arc<Answer>>>,
    listener: Arc<Socket>,
    accepts: Mutex<Option<JoinHandle<()>>>,
}

/// An answer of one status with a small body.
pub fn status(code: u16) -> Arc<Answer> {
    Arc::new(move |seen, stream| {
        let body = format!("{code} {}\n", seen.path());
        let head = format!("HTTP/1.1 {code} Told\r\nContent-Length: {}\r\n\r\n", body.len());
        let body = if seen.head.starts_with("HEAD") { String::new() } else { body };
        stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
    })
}

/// These very bytes, then keep or close.
pub fn bytes(told: impl Into<Vec<u8>>, keep: bool) -> Arc<Answer> {
    let told = told.into();
    Arc::new(move |_, stream| stream.write_all(&told).is_ok() && keep)
}

impl Upstream {
    pub fn start(answer: Arc<Answer>) -> Self {
        Self::on("127.0.0.1:0".parse().expect("an address"), answer)
    }

    /// At a port of its own choice where that of `address` is 0; at that of one that was [killed](Self::kill) it is its return.
    pub fn on(address: SocketAddr, answer: Arc<Answer>) -> Self {
        let held = HELD.lock().expect("not poisoned").remove(&address);
        let listener = held.unwrap_or_else(|| Arc::new(bound(address)));
        listener.listen(128).expect("listens");
        let upstream = Self {
            address: address_of(&listener),
            seen: Arc::default(),
            raw: Arc::default(),
            connections: Arc::default(),
            down: Arc::default(),
            answer: Arc::new(Mutex::new(answer)),
            listener,
            accepts: Mutex::default(),
        };
        STARTED.lock().expect("not poisoned").push(upstream.address);
        *upstream.accepts.lock().expect("not poisoned") = Some(upstream.accept());
        upstream
    }

    fn accept(&self) -> JoinHandle<()> {
        let (seen, raw, down) = (Arc::clone(&self.seen), Arc::clone(&self.raw), Arc::clone(&self.down));
        let (connections, answer) = (Arc::clone(&self.connections), Arc::clone(&self.answer));
        let listener = Arc::clone(&self.listener);
        std::thread::spawn(move || {
            let told = Told { seen: Arc::clone(&seen), down: Arc::clone(&down), answer: Arc::clone(&answer) };
            while !down.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else { continue };
                let stream: TcpStream = stream.into();
                connections.fetch_add(1, Ordering::SeqCst);
                let (seen, raw, down, answer) =
                    (Arc::clone(&seen), Arc::clone(&raw), Arc::clone(&down), Arc::clone(&answer));
                let told = told.clone();
                std::thread::spawn(move || {
                    if upstream_h2::is_asked_for() && begins_http2(&stream, &down) {
                        return upstream_h2::converse(stream, &told);
                    }
                    converse(stream, &seen, &raw, &down, &answer);
                });
            }
        })
    }

    pub fn answer(&self, answer: Arc<Answer>) {
        *self.answer.lock().expect("not poisoned") = answer;
    }

    /// Requests seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }

    pub fn hits(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }

    /// Every byte of every connection.
    pub fn raw(&self) -> Vec<u8> {
        self.raw.lock().expect("not poisoned").clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Stops listening and hangs up. Nobody else gets its port, so that whoever comes finds nobody, whatever other tests do.
    pub fn kill(&self) {
        if self.ends() {
            HELD.lock().expect("not poisoned").insert(self.address, Arc::clone(&self.listener));
        }
    }

    /// False: it had ended.
    fn ends(&self) -> bool {
        let Some(accepts) = self.accepts.lock().expect("not poisoned").take() else { return false };
        self.down.store(true, Ordering::SeqCst);
        self.listener.shutdown(Shutdown::Both).expect("it listens");
        accepts.join().expect("ends");
        STARTED.lock().expect("not poisoned").retain(|one| *one != self.address);
        true
    }
}

/// Addresses at which one of them is.
static STARTED: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());
/// Ports of those that were killed.
static HELD: Mutex<BTreeMap<SocketAddr, Arc<Socket>>> = Mutex::new(BTreeMap::new());

/// Is one of them there?
pub fn is_one(address: SocketAddr) -> bool {
    STARTED.lock().expect("not poisoned").contains(&address)
}

/// An address at which nobody listens, and nobody will.
pub fn nobody() -> SocketAddr {
    let killed = Upstream::start(status(200));
    killed.kill();
    killed.address
}

/// Bound by its number: a port that the kernel chose is given up when a socket ceases to listen (`tcp_disconnect` in Linux).
fn bound(address: SocketAddr) -> Socket {
    let at = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("sets");
        socket.bind(&address.into()).expect("binds");
        socket
    };
    let chosen = at(address);
    at(address_of(&chosen))
}

fn address_of(socket: &Socket) -> SocketAddr {
    socket.local_addr().ok().and_then(|one| one.as_socket()).expect("bound")
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.ends();
    }
}

/// Does it begin as HTTP/2 does? No byte is taken.
fn begins_http2(stream: &TcpStream, down: &AtomicBool) -> bool {
    let _ = stream.set_read_timeout(Some(std::time::Duration::from_millis(50)));
    let mut begin = [0; 4];
    while !down.load(Ordering::SeqCst) {
        match stream.peek(&mut begin) {
            Ok(4) => return begin == *b"PRI ",
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
    }
    false
}

fn converse(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Seen>>,
    raw: &Mutex<Vec<u8>>,
    down: &AtomicBool,
    answer: &Mutex<Arc<Answer>>,
) {
    let _ = stream.set_read_timeout(Some(std::time::Duration::from_millis(50)));
    let mut ahead = Vec::new();
    loop {
        match parse(&ahead) {
            Some((request, used)) => {
                ahead.drain(..used);
                if down.load(Ordering::SeqCst) {
                    return;
                }
                seen.lock().expect("not poisoned").push(request.clone());
                let answer = Arc::clone(&answer.lock().expect("not poisoned"));
                if !answer(&request, &mut stream) {
                    return;
                }
            }
            None => {
                let mut block = [0; 16 * 1024];
                match stream.read(&mut block) {
                    Ok(0) => return,
                    Ok(n) => {
                        ahead.extend_from_slice(&block[..n]);
                        raw.lock().expect("not poisoned").extend_from_slice(&block[..n]);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        if down.load(Ordering::SeqCst) {
                            return;
                        }
                    }
                    Err(_) => return,
                }
            }
        }
    }
}

/// A request that is whole, read as a simple server would.
fn parse(bytes: &[u8]) -> Option<(Seen, usize)> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let mut request =
        Seen { head: String::from_utf8_lossy(&bytes[..end - 2]).into_owned(), body: Vec::new() };
    if request.fields("transfer-encoding") == ["chunked"] {
        let mut at = end;
        loop {
            let line = at + find(bytes.get(at..)?, b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..line]).ok()?, 16).ok()?;
            if size == 0 {
                let stop = line
                    + 2
                    + if bytes.get(line + 2..)?.starts_with(b"\r\n") {
                        2
                    } else {
                        find(bytes.get(line + 2..)?, b"\r\n\r\n")? + 4
                    };
                request.head.push_str(&String::from_utf8_lossy(&bytes[line + 2..stop - 2]));
                return Some((request, stop));
            }
            request.body.extend_from_slice(bytes.get(line + 2..line + 2 + size)?);
            at = line + 4 + size;
        }
    }
    let length = request.fields("content-length").first().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
    request.body = bytes.get(end..end + length)?.to_vec();
    Some((request, end + length))
}
