//! The load that behaves well: some clients that ask at their own pace, and whoever asks whether the process lives.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::strop::Strop;

/// Clients, each with an address of its own.
const CLIENTS: u8 = 6;
/// Between two requests of one.
const PACE: Duration = Duration::from_millis(8);
/// An answer that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What they saw.
#[derive(Default)]
pub struct Seen {
    pub requests: usize,
    pub failed: usize,
    /// How the first one failed.
    pub first: String,
    pub livez: usize,
    pub livez_failed: usize,
    took: Vec<Duration>,
}

impl Seen {
    fn and(mut self, other: Self) -> Self {
        self.requests += other.requests;
        self.failed += other.failed;
        self.livez += other.livez;
        self.livez_failed += other.livez_failed;
        self.took.extend(other.took);
        if self.first.is_empty() {
            self.first = other.first;
        }
        self
    }

    pub fn p99(&self) -> Duration {
        let mut took = self.took.clone();
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }
}

/// The running load.
pub struct Good {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Good {
    pub fn start(strop: &Strop) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (ingress, probes) = (strop.at("ingress"), strop.at("probes"));
        let mut threads = Vec::new();
        for nth in 0..CLIENTS {
            let over = Arc::clone(&over);
            threads.push(std::thread::spawn(move || client(nth, ingress, &over)));
        }
        let ended = Arc::clone(&over);
        threads.push(std::thread::spawn(move || prober(probes, &ended)));
        Self { over, threads }
    }

    /// Lets it run for so long; what it saw.
    pub fn during(self, time: Duration) -> Seen {
        std::thread::sleep(time);
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().filter_map(|thread| thread.join().ok()).fold(Seen::default(), Seen::and)
    }
}

/// Connects from an address of its own.
pub fn from(last: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 0)).into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn client(nth: u8, to: SocketAddr, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut kept = None;
    for turn in 0_u32.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // Every tenth request comes on a connection of its own, every twentieth has a body.
        if turn % 10 == 0 {
            kept = None;
        }
        let began = Instant::now();
        let asked = ask(&mut kept, 2 + nth, to, turn % 20 == 5);
        seen.requests += 1;
        seen.took.push(began.elapsed());
        if let Err(text) = asked {
            seen.failed += 1;
            kept = None;
            if seen.first.is_empty() {
                seen.first = text;
            }
        }
        std::thread::sleep(PACE);
    }
    seen
}

fn ask(kept: &mut Option<TcpStream>, last: u8, to: SocketAddr, with_body: bool) -> Result<(), String> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(from(last, to).map_err(|error| format!("connect: {error}"))?),
    };
    let request = if with_body {
        format!("POST /form HTTP/1.1\r\nHost: shop\r\nContent-Length: 8000\r\n\r\n{}", "y".repeat(8_000))
    } else {
        "GET /page HTTP/1.1\r\nHost: shop\r\n\r\n".to_owned()
    };
    stream.write_all(request.as_bytes()).map_err(|error| format!("write: {error}"))?;
    let mut answer = Vec::new();
    let mut some = [0; 4 * 1024];
    loop {
        let read = stream.read(&mut some).map_err(|error| format!("read: {error}"))?;
        answer.extend_from_slice(&some[..read]);
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            if !head.starts_with("HTTP/1.1 200") {
                return Err(head
                    .lines()
                    .filter(|line| line.starts_with("HTTP") || line.starts_with("x-strop"))
                    .collect());
            }
            if body.len() >= 2_000 {
                return Ok(());
            }
        }
        if read == 0 {
            return Err(format!("closed after {} bytes", answer.len()));
        }
    }
}

/// Asks as a kubelet does: on a connection of its own, within a second. It acts upon three failures in a row; two are counted
/// here, for one may be the machine's.
fn prober(to: SocketAddr, over: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut failed_in_a_row = 0_u32;
    let livez = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200"))
    };
    while !over.load(Ordering::Relaxed) {
        seen.livez += 1;
        failed_in_a_row = if livez().unwrap_or(false) { 0 } else { failed_in_a_row + 1 };
        seen.livez_failed += usize::from(failed_in_a_row > 1);
        std::thread::sleep(Duration::from_millis(200));
    }
    seen
}
