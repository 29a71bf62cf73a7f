//! Exchanges as they end, for whoever looks on: taps.
//!
//! A tap has a `Lane` for each worker: a bounded queue that this worker alone fills and the tap's reader alone empties. What
//! finds its lane full is counted and lost, before a line is made of it; nobody waits for anybody. While no tap is open a
//! worker pays one relaxed load for each exchange. A tap tells of exchanges that began while it was open: of one that began
//! before, nothing was kept.
//!
//! A line is the access line with its path cut off at the query (no parameter is shown, whatever `access_log.keep_query`
//! says) and each text of the request cut at a bound.

mod filter;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::family::Family;
use super::labels::SeriesKey;
use super::lane::Lane;
use super::line::{AccessLine, SecondText};
use crate::message::head::RequestHead;
pub use filter::{TapFilter, TapStatus};

/// Taps at the same time. A mark of an exchange has a bit for each.
pub const MOST: usize = 4;
/// Lines that a tap holds in all its lanes, until its reader takes them.
const LINES: usize = 1_024;
/// The bounds of a lane, however many workers there are.
const LANE: (usize, usize) = (64, 512);
/// Room for the usual line, in bytes.
const ROOM: usize = 512;

/// A line on its way to a reader.
pub struct TappedLine {
    /// When its exchange ended.
    pub at: Instant,
    /// JSON, with a line end.
    pub text: Bytes,
}

/// One that is open.
struct Tap {
    filter: TapFilter,
    /// Its bit in the marks of exchanges.
    bit: u8,
    /// A later one has a higher number.
    number: u64,
    /// What each worker has for it.
    lanes: Box<[Lane<TappedLine>]>,
}

impl Tap {
    fn lane(&self, worker: usize) -> Option<&Lane<TappedLine>> {
        self.lanes.get(worker)
    }

    fn lost(&self) -> u64 {
        self.lanes.iter().map(Lane::lost).sum()
    }
}

/// All that are open, replaced as a whole.
#[derive(Default)]
struct OpenTaps {
    /// The number of the youngest there has been.
    number: u64,
    taps: Vec<Arc<Tap>>,
}

/// Which taps may want an exchange, as far as its head says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapMarks {
    bits: u8,
    /// Of the youngest tap there was when it began: another may have the same bit later.
    number: u64,
}

impl TapMarks {
    /// Does no tap want it?
    pub fn is_empty(self) -> bool {
        self.bits == 0
    }
}

/// The taps of a process; clones share them.
#[derive(Clone, Default)]
pub struct Taps(Arc<TapsInner>);

#[derive(Default)]
struct TapsInner {
    open: AtomicUsize,
    now: ArcSwap<OpenTaps>,
    /// Held by whoever opens or closes one.
    changing: Mutex<()>,
    told: AtomicU64,
    /// In taps that are closed.
    lost: AtomicU64,
}

impl Taps {
    /// Opens one in a process of so many workers; `None`: [`MOST`] are open.
    pub fn open(&self, filter: TapFilter, workers: usize) -> Option<TapReader> {
        let inner = &*self.0;
        let _changing = inner.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inner.now.load_full();
        let free = |bit: &u8| before.taps.iter().all(|tap| tap.bit != *bit);
        let bit = (0..MOST).map(|at| 1_u8 << at).find(free)?;
        let workers = workers.max(1);
        let room = (LINES / workers).clamp(LANE.0, LANE.1);
        let (lanes, lines): (Vec<_>, Vec<_>) = (0..workers).map(|_| Lane::new(room)).unzip();
        let number = before.number + 1;
        let tap = Arc::new(Tap { filter, bit, number, lanes: lanes.into() });
        let taps = before.taps.iter().chain([&tap]).map(Arc::clone).collect();
        self.replace(OpenTaps { number, taps });
        Some(TapReader { taps: self.clone(), tap, lines, lost: 0 })
    }

    fn replace(&self, now: OpenTaps) {
        let open = now.taps.len();
        self.0.now.store(Arc::new(now));
        self.0.open.store(open, Ordering::Relaxed);
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Lines that found no room since the start, in taps that are open too.
    fn lost(&self) -> u64 {
        // A tap that is being closed counts once.
        let _changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let open: u64 = self.0.now.load().taps.iter().map(|tap| tap.lost()).sum();
        open + self.0.lost.load(Ordering::Relaxed)
    }

    /// The end of one worker.
    pub fn writer(&self, worker: usize) -> TapWriter {
        TapWriter { taps: self.clone(), worker, seconds: RefCell::default() }
    }

    pub(super) fn families(&self) -> [Family; 3] {
        let mut open = Family::gauge("strop_taps_open", "Taps that are open.");
        open.set(&[], self.count() as f64);
        let mut told =
            Family::counter("strop_tap_lines_total", "Lines about exchanges that were handed to taps.");
        told.count(&[], self.0.told.load(Ordering::Relaxed));
        let mut lost = Family::counter(
            "strop_tap_lines_lost_total",
            "Lines about exchanges that found no room: a tap was read more slowly than they came.",
        );
        lost.count(&[], self.lost());
        [open, told, lost]
    }
}

/// Marks the exchanges of one worker, and tells of them.
pub struct TapWriter {
    taps: Taps,
    worker: usize,
    seconds: RefCell<SecondText>,
}

impl TapWriter {
    /// Which taps may want an exchange with this head; `draw` is asked for chance only while one is open.
    pub fn begun(&self, head: &RequestHead, draw: impl FnOnce() -> u64) -> TapMarks {
        self.marks(|| {
            let draw = draw();
            move |filter: &TapFilter| filter.begins_like(head, draw)
        })
    }

    /// The same for what has no head, because it could not be read.
    pub fn unread(&self) -> TapMarks {
        self.marks(|| |filter: &TapFilter| filter.header.is_none() && filter.method.is_none())
    }

    /// `wants`: made only while one is open.
    fn marks<W: Fn(&TapFilter) -> bool>(&self, wants: impl FnOnce() -> W) -> TapMarks {
        if self.taps.count() == 0 {
            return TapMarks::default();
        }
        let (now, wants) = (self.taps.0.now.load(), wants());
        let wanted = now.taps.iter().filter(|tap| wants(&tap.filter));
        TapMarks { bits: wanted.fold(0, |bits, tap| bits | tap.bit), number: now.number }
    }

    /// An exchange with these marks has ended. `key`: of its route, once that was known.
    pub fn ended(&self, marks: TapMarks, line: &AccessLine<'_>, key: Option<&SeriesKey>, at: Instant) {
        if marks.is_empty() {
            return;
        }
        let mut made: Option<Bytes> = None;
        for tap in &self.taps.0.now.load().taps {
            let is_marked = marks.bits & tap.bit != 0 && tap.number <= marks.number;
            if !is_marked || !tap.filter.ends_like(line, key) {
                continue;
            }
            let Some(lane) = tap.lane(self.worker).filter(|lane| lane.has_room()) else { continue };
            let text = made.get_or_insert_with(|| {
                let mut text = Vec::with_capacity(ROOM);
                line.put_tapped(&mut text, &mut self.seconds.borrow_mut());
                text.into()
            });
            // All that are told it share it.
            lane.put(TappedLine { at, text: Bytes::clone(text) });
        }
    }
}

/// The other end of one tap. Dropped, it is closed.
pub struct TapReader {
    taps: Taps,
    tap: Arc<Tap>,
    lines: Vec<Receiver<TappedLine>>,
    /// Of those that were lost, how many have been told.
    lost: u64,
}

impl TapReader {
    /// Takes what has come, at most so many lines, in the order in which their exchanges ended.
    pub fn take(&mut self, most: usize) -> Vec<TappedLine> {
        let mut all = Vec::new();
        for (lane, lines) in self.tap.lanes.iter().zip(&self.lines) {
            all.extend(lane.take(lines, most.saturating_sub(all.len())));
        }
        all.sort_by_key(|line| line.at);
        self.taps.0.told.fetch_add(all.len() as u64, Ordering::Relaxed);
        all
    }

    /// Lines that found no room since the last call.
    pub fn lost(&mut self) -> u64 {
        let all = self.tap.lost();
        all - std::mem::replace(&mut self.lost, all)
    }
}

impl Drop for TapReader {
    fn drop(&mut self) {
        let _changing = self.taps.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.taps.0.now.load_full();
        let others = before.taps.iter().filter(|tap| tap.number != self.tap.number);
        self.taps.0.lost.fetch_add(self.tap.lost(), Ordering::Relaxed);
        self.taps.replace(OpenTaps { number: before.number, taps: others.map(Arc::clone).collect() });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::labels::{Direction, ExchangeOutcome};
    use super::super::line::tests::line;
    use super::*;
    use crate::message::h1::parse::{self, HeadLimits, Parsed};
    use crate::names::{RouteName, UpstreamName};
    use crate::runtime::clock;

    fn head(text: &str) -> RequestHead {
        match parse::request(text.as_bytes(), HeadLimits { bytes: 8 * 1024, fields: 100 }) {
            Ok(Parsed::Whole(head, _)) => head,
            _ => panic!("reads"),
        }
    }

    fn plain() -> RequestHead {
        head("GET /a HTTP/1.1\r\nHost: a.example\r\nX-Debug: s3cret\r\n\r\n")
    }

    fn told(reader: &mut TapReader) -> Vec<serde_json::Value> {
        let lines = reader.take(usize::MAX);
        lines.iter().map(|line| serde_json::from_slice(&line.text).expect("JSON")).collect()
    }

    fn ended(writer: &TapWriter, line: &AccessLine<'_>) {
        writer.ended(writer.begun(&plain(), || 0), line, None, clock::instant());
    }

    #[test]
    fn nobody_is_told_while_no_tap_is_open_and_everybody_who_wants_it_else() {
        let taps = Taps::default();
        let writer = taps.writer(0);
        assert!(writer.begun(&plain(), || panic!("no chance is asked for")).is_empty());
        let mut all = taps.open(TapFilter::default(), 1).expect("a place");
        let filter = TapFilter { status: Some(TapStatus::Class(5)), ..TapFilter::default() };
        let mut bad = taps.open(filter, 1).expect("a place");
        ended(&writer, &line("/a?token=s3cret"));
        ended(&writer, &AccessLine { status: Some(503), ..line("/b") });
        let paths = |lines: &[serde_json::Value]| -> Vec<String> {
            lines.iter().map(|line| line["path"].as_str().expect("a path").to_owned()).collect()
        };
        assert_eq!(paths(&told(&mut all)), ["/a", "/b"]);
        assert_eq!(paths(&told(&mut bad)), ["/b"]);
    }

    #[test]
    fn what_finds_no_room_is_counted_and_what_came_first_is_kept() {
        let taps = Taps::default();
        let writer = taps.writer(0);
        let mut reader = taps.open(TapFilter::default(), 1).expect("a place");
        (0..LANE.1 + 7).for_each(|_| ended(&writer, &line("/a")));
        assert_eq!(reader.lost(), 7);
        assert_eq!(reader.take(10).len(), 10, "a limit leaves the others where they are");
        assert_eq!(reader.take(usize::MAX).len(), LANE.1 - 10);
        ended(&writer, &line("/a"));
        assert_eq!((reader.take(usize::MAX).len(), reader.lost()), (1, 0), "there is room again");
        assert_eq!(taps.lost(), 7);
        drop(reader);
        assert_eq!(taps.lost(), 7, "and still, when it is closed");
    }

    #[test]
    fn there_are_so_many_taps_and_one_that_closes_gives_its_place_back() {
        let taps = Taps::default();
        let mut open: Vec<_> =
            (0..MOST).map(|_| taps.open(TapFilter::default(), 1).expect("a place")).collect();
        assert!(taps.open(TapFilter::default(), 1).is_none());
        let writer = taps.writer(0);
        let marks = writer.begun(&plain(), || 0);
        open.remove(1);
        assert_eq!(taps.count(), MOST - 1);
        let mut young = taps.open(TapFilter::default(), 1).expect("a place");
        writer.ended(marks, &line("/a"), None, clock::instant());
        assert_eq!(told(&mut young).len(), 0, "it began before this one was open");
        assert_eq!(told(&mut open[0]).len(), 1);
        drop((open, young));
        assert!(writer.begun(&plain(), || 0).is_empty());
    }

    #[test]
    fn a_head_says_method_and_header_and_chance_says_sample() {
        let taps = Taps::default();
        let writer = taps.writer(0);
        let with = |filter: TapFilter, head: &RequestHead, draw: u64| {
            let _open = taps.open(filter, 1).expect("a place");
            !writer.begun(head, || draw).is_empty()
        };
        let header = |name: &str| TapFilter { header: Some(name.to_owned()), ..TapFilter::default() };
        assert!(with(header("x-debug"), &plain(), 0) && !with(header("x-debu"), &plain(), 0));
        let method = |name: &str| TapFilter { method: Some(name.to_owned()), ..TapFilter::default() };
        assert!(with(method("GET"), &plain(), 0) && !with(method("get"), &plain(), 0));
        let sample = TapFilter { sample: Some(0.25), ..TapFilter::default() };
        assert!(with(sample.clone(), &plain(), (1 << 62) - 1) && !with(sample, &plain(), 1 << 62));
        let all = TapFilter { sample: Some(1.0), ..TapFilter::default() };
        assert!(with(all, &plain(), u64::MAX));
    }

    #[test]
    fn an_end_says_route_upstream_outcome_reason_and_how_long_it_took() {
        let name = |text: &str| RouteName::new(text).expect("a name");
        let key = (name("all"), UpstreamName::new("backend").expect("a name"), Direction::Ingress);
        let line = AccessLine { reason: Some("breaker_open"), outcome: "refused", ..line("/a") };
        let fits = |filter: TapFilter| filter.ends_like(&line, Some(&key));
        let text = |text: &str| Some(text.to_owned());
        assert!(fits(TapFilter { route: text("all"), upstream: text("backend"), ..TapFilter::default() }));
        assert!(!fits(TapFilter { route: text("other"), ..TapFilter::default() }));
        assert!(!TapFilter { upstream: text("backend"), ..TapFilter::default() }.ends_like(&line, None));
        assert!(fits(TapFilter { outcome: Some(ExchangeOutcome::Refused), ..TapFilter::default() }));
        assert!(!fits(TapFilter { outcome: Some(ExchangeOutcome::Ok), ..TapFilter::default() }));
        assert!(fits(TapFilter { reason: text("breaker_open"), ..TapFilter::default() }));
        let slower =
            |millis| TapFilter { slower_than: Some(Duration::from_millis(millis)), ..TapFilter::default() };
        assert!(fits(slower(2)) && !fits(slower(3)), "it took 3 ms");
    }

    #[test]
    fn what_could_not_be_read_is_told_to_those_who_ask_for_nothing_of_a_head() {
        let taps = Taps::default();
        let writer = taps.writer(0);
        let filter = TapFilter { method: Some("GET".to_owned()), ..TapFilter::default() };
        let _by_method = taps.open(filter, 1).expect("a place");
        assert!(writer.unread().is_empty());
        let _all = taps.open(TapFilter::default(), 1).expect("a place");
        assert!(!writer.unread().is_empty());
    }
}
