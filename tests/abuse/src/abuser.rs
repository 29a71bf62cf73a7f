//! The client that behaves badly, always from the same address.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::good::from;
use crate::strop::Strop;

/// Its address.
const LAST: u8 = 66;

/// How it behaves badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SlowHeads,
    SlowBodies,
    SlowReaders,
    Silent,
    Orders,
    Errors,
    AdminBodies,
    Descriptors,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::SlowHeads,
        Self::SlowBodies,
        Self::SlowReaders,
        Self::Silent,
        Self::Orders,
        Self::Errors,
        Self::AdminBodies,
        Self::Descriptors,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::SlowHeads => "slow-heads",
            Self::SlowBodies => "slow-bodies",
            Self::SlowReaders => "slow-readers",
            Self::Silent => "silent",
            Self::Orders => "orders",
            Self::Errors => "errors",
            Self::AdminBodies => "admin-bodies",
            Self::Descriptors => "descriptors",
        }
    }

    pub fn named(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| {
            format!("{name} is no kind; write one of {}", Self::ALL.map(Self::name).join(", "))
        })
    }

    /// Descriptors that Strop may have.
    pub fn descriptors(self) -> u64 {
        if self == Self::Descriptors { 512 } else { 16_384 }
    }

    /// Connections that it holds at its full size, and to which listener.
    fn connections(self) -> (usize, &'static str) {
        match self {
            Self::SlowHeads => (2_749, "ingress"),
            Self::SlowBodies => (1_400, "ingress"),
            Self::SlowReaders => (1_400, "ingress"),
            Self::Silent => (3_000, "ingress"),
            Self::AdminBodies => (300, "admin"),
            Self::Descriptors => (1_000, "ingress"),
            Self::Orders | Self::Errors => (16, if self == Self::Orders { "admin" } else { "ingress" }),
        }
    }
}

/// What it did.
#[derive(Default)]
pub struct Deeds {
    /// Connections or requests made.
    pub done: usize,
    /// Answered with a refusal, or not connected.
    pub refused: usize,
    /// Ended by the other side.
    pub ended: usize,
}

#[derive(Default)]
struct Counts {
    done: AtomicUsize,
    refused: AtomicUsize,
    ended: AtomicUsize,
}

/// At work.
pub struct Abuser {
    over: Arc<AtomicBool>,
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

impl Abuser {
    pub fn start(kind: Kind, strop: &Strop, percent: usize) -> Self {
        let (full, listener) = kind.connections();
        let (many, to) = ((full * percent / 100).max(8), strop.at(listener));
        let over = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(Counts::default());
        let threads = (0..8)
            .map(|_| {
                let (over, counts) = (Arc::clone(&over), Arc::clone(&counts));
                std::thread::spawn(move || match kind {
                    Kind::Orders | Kind::Errors => flood(kind, to, &over, &counts),
                    _ => hold(kind, many / 8, to, &over, &counts),
                })
            })
            .collect();
        Self { over, counts, threads }
    }

    pub fn stop(self) -> Deeds {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // One that panicked has said so on standard error.
            let _ = thread.join();
        }
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Deeds {
            done: of(&self.counts.done),
            refused: of(&self.counts.refused),
            ended: of(&self.counts.ended),
        }
    }
}

fn count(one: &AtomicUsize) {
    one.fetch_add(1, Ordering::Relaxed);
}

/// What is sent on a new connection.
fn begin(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::SlowHeads => format!("GET / HTTP/1.1\r\nHost: shop\r\nX-Long: {}", "x".repeat(63_000)).into_bytes(),
        Kind::SlowBodies => b"POST /form HTTP/1.1\r\nHost: shop\r\nContent-Length: 1000000\r\n\r\nx".to_vec(),
        Kind::SlowReaders => b"GET /large HTTP/1.1\r\nHost: shop\r\n\r\n".to_vec(),
        Kind::AdminBodies => {
            b"POST /api/v2/sre/incidents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
                .to_vec()
        }
        Kind::Silent | Kind::Descriptors | Kind::Orders | Kind::Errors => Vec::new(),
    }
}

/// Connections that each of its threads makes anew in 300 ms.
const AGAIN: usize = 6;

/// Opens connections and holds them; those that were ended are made anew.
fn hold(kind: Kind, many: usize, to: SocketAddr, over: &AtomicBool, counts: &Counts) {
    let first = begin(kind);
    let mut held: Vec<TcpStream> = Vec::new();
    let mut began = false;
    while !over.load(Ordering::Relaxed) {
        // All at once, and then again at the rate of one client, not of a flood.
        let mut left = if began { AGAIN } else { many };
        began = true;
        while held.len() < many && left > 0 && !over.load(Ordering::Relaxed) {
            left -= 1;
            match open(to, &first) {
                Ok(stream) => {
                    count(&counts.done);
                    held.push(stream);
                }
                Err(_) => {
                    count(&counts.refused);
                    break;
                }
            }
        }
        held.retain_mut(|stream| stays(kind, stream, counts));
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn open(to: SocketAddr, first: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = from(LAST, to)?;
    stream.write_all(first)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Sends a byte where that is what it does; false: the connection is no more.
fn stays(kind: Kind, stream: &mut TcpStream, counts: &Counts) -> bool {
    let blocked = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    if matches!(kind, Kind::SlowHeads | Kind::SlowBodies)
        && let Err(error) = stream.write_all(b"x")
        && !blocked(&error)
    {
        count(&counts.ended);
        return false;
    }
    let mut some = [0; 16];
    let seen = stream.peek(&mut some);
    match seen {
        Ok(0) => {
            count(&counts.ended);
            false
        }
        Ok(read) if !some[..read].starts_with(b"HTTP/1.1 200") => {
            count(&counts.refused);
            false
        }
        Ok(_) => true,
        Err(error) if blocked(&error) => true,
        Err(_) => {
            count(&counts.ended);
            false
        }
    }
}

/// Asks again and again, without a pause.
fn flood(kind: Kind, to: SocketAddr, over: &AtomicBool, counts: &Counts) {
    let long = "z".repeat(100_000);
    for nth in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let request = if kind == Kind::Errors {
            "GET /error HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n".to_owned()
        } else {
            let body =
                format!("{{\"title\": \"{nth} {long}\", \"severity\": \"low\", \"actor\": \"somebody\"}}");
            format!(
                "POST /api/v2/sre/incidents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        count(&counts.done);
        let asked = from(LAST, to).and_then(|mut stream| {
            stream.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        });
        match asked {
            Ok(answer) if answer.starts_with(b"HTTP/1.1 4") => count(&counts.refused),
            Ok(answer) if answer.is_empty() => count(&counts.ended),
            Ok(_) => {}
            Err(_) => {
                count(&counts.ended);
                // Nobody is there to be asked: not a busy loop.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
