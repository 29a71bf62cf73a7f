//! An open-loop load generator: requests are due at times that were fixed before, whatever the proxy does.
//!
//! `paced PORT PATH RATE SECONDS CONNECTIONS SEED`. The gaps are exponential, as between independent clients, and the same
//! for the same seed. A request leaves on a connection that is free; if none is, it waits, and the wait counts: latency
//! is taken from the time it was due, so a proxy that stalls cannot hide the requests that it kept from being sent. One
//! JSON object comes out: latencies in microseconds, and how late the generator itself was.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use strop_peers_load::{content_length, head_end};

const TIMER: u64 = u64::MAX;
const SECOND: i64 = 1_000_000_000;
/// How long answers may come in after the last request was due.
const GRACE: i64 = 2 * SECOND;

fn main() -> io::Result<()> {
    let mut paced = Paced::new(&Orders::read()?)?;
    paced.run()?;
    println!("{}", paced.report());
    Ok(())
}

struct Orders {
    port: u16,
    path: String,
    rate: f64,
    seconds: f64,
    connections: usize,
    seed: u64,
}

impl Orders {
    fn read() -> io::Result<Self> {
        let mut words = std::env::args().skip(1);
        Ok(Self {
            port: word(&mut words)?,
            path: word(&mut words)?,
            rate: word(&mut words)?,
            seconds: word(&mut words)?,
            connections: word(&mut words)?,
            seed: word(&mut words)?,
        })
    }
}

fn word<T: std::str::FromStr>(words: &mut impl Iterator<Item = String>) -> io::Result<T> {
    let usage = || io::Error::other("usage: paced PORT PATH RATE SECONDS CONNECTIONS SEED");
    words.next().and_then(|word| word.parse().ok()).ok_or_else(usage)
}

struct Paced {
    epoll: OwnedFd,
    timer: OwnedFd,
    request: Vec<u8>,
    connections: Vec<Connection>,
    /// Connections that wait for work, longest first.
    free: VecDeque<usize>,
    /// Due times of requests that found no free connection.
    waiting: VecDeque<i64>,
    schedule: Schedule,
    end: i64,
    tally: Tally,
}

struct Connection {
    stream: TcpStream,
    due: Option<i64>,
    head: Vec<u8>,
    /// Bytes of the answer's body still to come, once its head is read.
    body: Option<usize>,
}

#[derive(Default)]
struct Tally {
    latencies: Vec<i64>,
    /// How late the generator sent what it could have sent at once.
    lags: Vec<i64>,
    queued: u64,
    bad: u64,
    lost: u64,
}

impl Paced {
    fn new(orders: &Orders) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        let mut connections = Vec::with_capacity(orders.connections);
        let request =
            format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", orders.path, orders.port).into_bytes();
        for at in 0..orders.connections {
            let connection = Connection::open(orders.port, &request)?;
            epoll::add(&epoll, &connection.stream, EventData::new_u64(at as u64), EventFlags::IN)?;
            connections.push(connection);
        }
        let start = now() + SECOND / 10;
        Ok(Self {
            epoll,
            timer,
            request,
            free: (0..orders.connections).collect(),
            connections,
            waiting: VecDeque::new(),
            schedule: Schedule::new(start, orders.rate, orders.seed),
            end: start + (orders.seconds * SECOND as f64) as i64,
            tally: Tally::default(),
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(256);
        let mut scratch = vec![0; 64 << 10];
        loop {
            self.send_what_is_due();
            let idle = self.waiting.is_empty() && self.free.len() == self.connections.len();
            let over = self.schedule.next >= self.end;
            if over && (idle || now() > self.end + GRACE) {
                return Ok(());
            }
            self.wake_at(if over { self.end + GRACE + 1 } else { self.schedule.next })?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match event.data.u64() {
                    TIMER => {}
                    at => self.hear(at as usize, &mut scratch)?,
                }
            }
        }
    }

    fn send_what_is_due(&mut self) {
        let mut clock = now();
        while self.schedule.next <= clock && self.schedule.next < self.end {
            let due = self.schedule.take();
            if self.waiting.is_empty() && !self.free.is_empty() {
                self.tally.lags.push(clock - due);
                self.send(due);
            } else {
                self.tally.queued += 1;
                self.waiting.push_back(due);
            }
            clock = now();
        }
        while !self.free.is_empty()
            && let Some(due) = self.waiting.pop_front()
        {
            self.send(due);
        }
    }

    fn send(&mut self, due: i64) {
        let Some(at) = self.free.pop_front() else { return };
        let connection = &mut self.connections[at];
        // A request is shorter than any socket buffer.
        match connection.stream.write(&self.request) {
            Ok(written) if written == self.request.len() => connection.due = Some(due),
            Ok(_) | Err(_) => self.tally.lost += 1,
        }
    }

    fn hear(&mut self, at: usize, scratch: &mut [u8]) -> io::Result<()> {
        let connection = &mut self.connections[at];
        match connection.stream.read(scratch) {
            Ok(read) if read > 0 => {
                let Some(good) = connection.took(&scratch[..read])? else { return Ok(()) };
                if let Some(due) = connection.due.take() {
                    self.tally.latencies.push(now() - due);
                    self.tally.bad += u64::from(!good);
                    self.free.push_back(at);
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(_) | Err(_) => {
                Err(io::Error::other("the proxy closed a connection that was to be kept alive"))
            }
        }
    }

    fn wake_at(&self, when: i64) -> io::Result<()> {
        let it_value = Timespec { tv_sec: when / SECOND, tv_nsec: when % SECOND };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    fn report(&mut self) -> String {
        // What never came back is at least as old as it is now.
        let still: Vec<i64> =
            self.connections.iter().filter_map(|c| c.due).chain(self.waiting.iter().copied()).collect();
        self.tally.lost += still.len() as u64;
        let clock = now();
        self.tally.latencies.extend(still.iter().map(|due| clock - due));
        let Tally { latencies, lags, queued, bad, lost } = &mut self.tally;
        latencies.sort_unstable();
        lags.sort_unstable();
        format!(
            "{{\"requests\":{},\"p50\":{},\"p99\":{},\"p999\":{},\"max\":{},\"lag_p50\":{},\"lag_p99\":{},\
             \"queued\":{queued},\"bad\":{bad},\"lost\":{lost}}}",
            latencies.len(),
            quantile(latencies, 0.5),
            quantile(latencies, 0.99),
            quantile(latencies, 0.999),
            quantile(latencies, 1.0),
            quantile(lags, 0.5),
            quantile(lags, 0.99),
        )
    }
}

impl Connection {
    /// Connects, and has one exchange that does not count: what a new connection costs is not what is asked here.
    fn open(port: u16, request: &[u8]) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream, due: None, head: Vec::new(), body: None };
        connection.stream.write_all(request)?;
        let mut scratch = [0; 4096];
        loop {
            let read = connection.stream.read(&mut scratch)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if connection.took(&scratch[..read])?.is_some() {
                break;
            }
        }
        connection.stream.set_nonblocking(true)?;
        Ok(connection)
    }

    /// Takes what was read; says whether the answer was a 200 once it is whole.
    fn took(&mut self, bytes: &[u8]) -> io::Result<Option<bool>> {
        let left = match self.body {
            Some(left) => left.saturating_sub(bytes.len()),
            None => {
                self.head.extend_from_slice(bytes);
                let Some(end) = head_end(&self.head) else { return Ok(None) };
                content_length(&self.head[..end])?.unwrap_or(0).saturating_sub(self.head.len() - end)
            }
        };
        self.body = Some(left);
        if left > 0 {
            return Ok(None);
        }
        let good = self.head.starts_with(b"HTTP/1.1 200");
        self.body = None;
        self.head.clear();
        Ok(Some(good))
    }
}

/// When requests are due: exponential gaps around `mean`.
struct Schedule {
    next: i64,
    mean: f64,
    random: u64,
    exact: f64,
}

impl Schedule {
    fn new(start: i64, rate: f64, seed: u64) -> Self {
        Self { next: start, mean: SECOND as f64 / rate, random: seed | 1, exact: start as f64 }
    }

    fn take(&mut self) -> i64 {
        let due = self.next;
        // xorshift64*; the upper 53 bits make a number in (0, 1].
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let drawn = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        let share = (drawn as f64 + 1.0) / (1u64 << 53) as f64;
        self.exact -= share.ln() * self.mean;
        self.next = self.exact as i64;
        due
    }
}

fn now() -> i64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec * SECOND + time.tv_nsec
}

/// In microseconds, with one decimal.
fn quantile(sorted: &[i64], share: f64) -> String {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).map_or_else(|| "null".to_owned(), |nanos| format!("{:.1}", *nanos as f64 / 1_000.0))
}
