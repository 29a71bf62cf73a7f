//! A client of HTTP/2 that behaves badly: many frames that bring nothing, or streams that hold what they can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, End, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, UNKNOWN,
    WINDOW_UPDATE, Wire, frame, get, head, post,
};
use crate::good::from;

/// Its address.
const LAST: u8 = 66;
/// Frames that bring nothing and within which a connection must be ended.
pub const FRAMES: usize = 10_000;
/// How long the end may take to be seen, once they are sent.
const SEEN: Duration = Duration::from_secs(10);
/// Before a connection that was ended is made anew.
const AGAIN: Duration = Duration::from_millis(300);
/// Streams that Strop takes at once by its default.
const STREAMS: u32 = 128;
/// `ENHANCE_YOUR_CALM`.
const CALM: u32 = 11;
const WIDEST: u32 = (1 << 31) - 1;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storm {
    Settings,
    SettingsAcks,
    Pings,
    PingsUnread,
    Pongs,
    Priorities,
    RapidReset,
    BeyondLimit,
    SmallContinuations,
    EmptyContinuations,
    EmptyData,
    DataAfterReset,
    WindowByOne,
    Unknown,
    ClosedWindows,
    UnreadAnswers,
    StuckUploads,
    HpackBomb,
    HalfFrame,
}

impl Storm {
    pub const ALL: [Self; 19] = [
        Self::Settings,
        Self::SettingsAcks,
        Self::Pings,
        Self::PingsUnread,
        Self::Pongs,
        Self::Priorities,
        Self::RapidReset,
        Self::BeyondLimit,
        Self::SmallContinuations,
        Self::EmptyContinuations,
        Self::EmptyData,
        Self::DataAfterReset,
        Self::WindowByOne,
        Self::Unknown,
        Self::ClosedWindows,
        Self::UnreadAnswers,
        Self::StuckUploads,
        Self::HpackBomb,
        Self::HalfFrame,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Settings => "h2-settings",
            Self::SettingsAcks => "h2-settings-acks",
            Self::Pings => "h2-pings",
            Self::PingsUnread => "h2-pings-unread",
            Self::Pongs => "h2-pongs",
            Self::Priorities => "h2-priorities",
            Self::RapidReset => "h2-rapid-reset",
            Self::BeyondLimit => "h2-beyond-limit",
            Self::SmallContinuations => "h2-small-continuations",
            Self::EmptyContinuations => "h2-empty-continuations",
            Self::EmptyData => "h2-empty-data",
            Self::DataAfterReset => "h2-data-after-reset",
            Self::WindowByOne => "h2-window-by-one",
            Self::Unknown => "h2-unknown",
            Self::ClosedWindows => "h2-closed-windows",
            Self::UnreadAnswers => "h2-unread-answers",
            Self::StuckUploads => "h2-stuck-uploads",
            Self::HpackBomb => "h2-hpack-bomb",
            Self::HalfFrame => "h2-half-frame",
        }
    }

    /// Is it one that must be ended? Others may stay, for what they hold is bounded.
    pub fn must_end(self) -> bool {
        !matches!(
            self,
            Self::ClosedWindows
                | Self::UnreadAnswers
                | Self::StuckUploads
                | Self::HpackBomb
                | Self::HalfFrame
        )
    }

    fn reads(self) -> bool {
        !matches!(self, Self::PingsUnread | Self::UnreadAnswers)
    }

    /// What it lets the other side send on a stream.
    fn window(self) -> u32 {
        match self {
            Self::UnreadAnswers => WIDEST,
            Self::BeyondLimit | Self::ClosedWindows | Self::WindowByOne => 0,
            _ => 65_535,
        }
    }

    /// What it does first.
    fn first(self) -> Vec<u8> {
        let streams = || (0..STREAMS).map(|nth| nth * 2 + 1);
        match self {
            Self::BeyondLimit | Self::ClosedWindows => streams().flat_map(|id| get(id, "/large")).collect(),
            Self::UnreadAnswers => frame(WINDOW_UPDATE, 0, 0, &(WIDEST - 65_535).to_be_bytes())
                .into_iter()
                .chain(streams().flat_map(|id| get(id, "/large")))
                .collect(),
            Self::StuckUploads => streams().flat_map(|id| post(id, "/stuck")).collect(),
            Self::EmptyData => post(1, "/form"),
            Self::DataAfterReset => {
                [post(1, "/form"), frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())].concat()
            }
            Self::WindowByOne => get(1, "/large"),
            Self::SmallContinuations | Self::EmptyContinuations => {
                frame(HEADERS, 0, 1, &head(false, "/page"))
            }
            Self::HpackBomb => filling(),
            Self::HalfFrame => {
                let mut whole = frame(HEADERS, END_HEADERS, 1, &[0; 16_000]);
                whole.truncate(8_000);
                whole
            }
            _ => Vec::new(),
        }
    }

    /// The frames of one turn, and how many they are.
    fn turn(self, nth: u32) -> (Vec<u8>, usize) {
        let id = nth * 2 + 1;
        let one = match self {
            Self::Settings => frame(SETTINGS, 0, 0, &[0, 4, 0, 0, (nth % 200) as u8, 0]),
            Self::SettingsAcks => frame(SETTINGS, 1, 0, &[]),
            Self::Pings | Self::PingsUnread => frame(PING, 0, 0, &[nth as u8; 8]),
            Self::Pongs => frame(PING, 1, 0, &[nth as u8; 8]),
            Self::Priorities => frame(PRIORITY, 0, id, &[0, 0, 0, 0, 7]),
            Self::RapidReset => {
                let both = [get(id, "/page"), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat();
                return (both, 2);
            }
            Self::BeyondLimit => get(id + STREAMS * 2, "/large"),
            Self::SmallContinuations => frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"),
            Self::EmptyContinuations => frame(CONTINUATION, 0, 1, &[]),
            Self::EmptyData => frame(DATA, 0, 1, &[]),
            Self::DataAfterReset => frame(DATA, 0, 1, b"x"),
            Self::WindowByOne => frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()),
            Self::Unknown => frame(UNKNOWN, 0, 0, b"hello"),
            Self::HpackBomb => bomb(id + 2),
            Self::ClosedWindows | Self::UnreadAnswers | Self::StuckUploads | Self::HalfFrame => {
                return (Vec::new(), 0);
            }
        };
        (one, 1)
    }
}

/// A request that puts a field of 3,900 bytes into the table.
fn filling() -> Vec<u8> {
    let mut block = head(false, "/page");
    // A literal with indexing; its length is 127 and the rest in two bytes.
    block.extend_from_slice(b"\x40\x01x\x7f");
    block.extend_from_slice(&[0x80 | ((3_900 - 127) % 128) as u8, ((3_900 - 127) / 128) as u8]);
    block.extend_from_slice(&[b'v'; 3_900]);
    frame(HEADERS, 5, 1, &block)
}

/// A request that names that field 16,000 times: 62 MB, if somebody writes them down.
fn bomb(stream: u32) -> Vec<u8> {
    let mut block = head(false, "/page");
    block.extend_from_slice(&[0x80 | 62; 16_000]);
    frame(HEADERS, 5, stream, &block)
}

/// What all connections did.
#[derive(Default)]
pub struct Deeds {
    pub connections: AtomicUsize,
    pub frames: AtomicUsize,
    pub ended: AtomicUsize,
    /// Frames that were sent on the connection that lasted longest.
    pub most: AtomicUsize,
    /// Connections that were not ended though they must be.
    pub lasting: AtomicUsize,
    /// Connections that were ended, but not by `ENHANCE_YOUR_CALM`.
    pub otherwise: AtomicUsize,
}

/// At work.
pub struct Stormer {
    over: Arc<AtomicBool>,
    deeds: Arc<Deeds>,
    threads: Vec<JoinHandle<()>>,
}

impl Stormer {
    /// `connections` at once, made anew when they are ended.
    pub fn start(storm: Storm, to: SocketAddr, connections: usize) -> Self {
        let (over, deeds) = (Arc::new(AtomicBool::new(false)), Arc::new(Deeds::default()));
        let threads = (0..connections)
            .map(|_| {
                let (over, deeds) = (Arc::clone(&over), Arc::clone(&deeds));
                std::thread::spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        // One that is not taken has nothing to do.
                        let _ = connection(storm, to, &over, &deeds);
                        pause(AGAIN, &over);
                    }
                })
            })
            .collect();
        Self { over, deeds, threads }
    }

    pub fn stop(self) -> Arc<Deeds> {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // One that panicked has said so on standard error.
            let _ = thread.join();
        }
        self.deeds
    }
}

fn pause(time: Duration, over: &AtomicBool) {
    let until = std::time::Instant::now() + time;
    while std::time::Instant::now() < until && !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn connection(storm: Storm, to: SocketAddr, over: &AtomicBool, deeds: &Deeds) -> std::io::Result<()> {
    let mut wire = Wire::open(from(LAST, to)?, storm.window())?;
    deeds.connections.fetch_add(1, Ordering::Relaxed);
    if !storm.reads() {
        wire.reads_little()?;
    }
    wire.put(&storm.first());
    let end =
        if storm.must_end() { flood(storm, &mut wire, over, deeds) } else { hold(storm, &mut wire, over) };
    match end {
        Some(End::GoAway(CALM)) => {
            deeds.ended.fetch_add(1, Ordering::Relaxed);
        }
        Some(End::GoAway(_) | End::Silent) => {
            deeds.ended.fetch_add(1, Ordering::Relaxed);
            deeds.otherwise.fetch_add(1, Ordering::Relaxed);
        }
        None => {
            let lasts = storm.must_end() && !over.load(Ordering::Relaxed);
            deeds.lasting.fetch_add(usize::from(lasts), Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Sends frames until it is ended, or as many as are too many.
fn flood(storm: Storm, wire: &mut Wire, over: &AtomicBool, deeds: &Deeds) -> Option<End> {
    let mut sent = 0;
    let mut nth = 0;
    while sent < FRAMES && !wire.is_stuck() && !over.load(Ordering::Relaxed) {
        let mut batch = Vec::new();
        for _ in 0..100 {
            let (bytes, frames) = storm.turn(nth);
            batch.extend(bytes);
            (nth, sent) = (nth + 1, sent + frames);
        }
        wire.put(&batch);
        if storm.reads() {
            wire.read();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    deeds.frames.fetch_add(sent, Ordering::Relaxed);
    deeds.most.fetch_max(sent, Ordering::Relaxed);
    if over.load(Ordering::Relaxed) { wire.end() } else { wire.read_to_end(SEEN) }
}

/// Holds what it has, and does a little.
fn hold(storm: Storm, wire: &mut Wire, over: &AtomicBool) -> Option<End> {
    for nth in 0.. {
        if over.load(Ordering::Relaxed) || wire.is_stuck() {
            break;
        }
        if storm.reads() {
            wire.read();
        }
        match storm {
            Storm::StuckUploads => {
                while (0..STREAMS).filter(|nth| wire.send_body(nth * 2 + 1)).count() > 0 {
                    wire.read();
                }
            }
            Storm::UnreadAnswers => wire.try_put(&frame(PING, 0, 0, &[0; 8])),
            _ => {
                let (bytes, _) = storm.turn(nth);
                wire.put(&bytes);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    if wire.is_stuck() { wire.read_to_end(SEEN).or(Some(End::Silent)) } else { None }
}
