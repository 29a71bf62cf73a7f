//! What one worker carries exchanges with: its connections, its share of the counters, its chance. No
//! other worker touches it.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ProxyError;
use super::front::Front;
use super::pulse::Pulse;
use crate::degrade::outbox::Outbox;
use crate::degrade::stale::StaleCache;
use crate::message::account::Accounts;
use crate::message::fields;
use crate::message::scratch::Scratch;
use crate::runtime::clock;
use crate::telemetry::Telemetry;
use crate::telemetry::access::{AccessLine, AccessWriter};
use crate::telemetry::series::ExchangeOutcome;
use crate::telemetry::tap::TapWriter;
use crate::upstream::pool::Pools;
use crate::upstream::registry::Registry;

/// What one worker needs to carry exchanges.
pub struct Worker {
    /// Which one it is, from 0 on.
    pub number: usize,
    /// All upstreams and routes.
    pub registry: Arc<Registry>,
    pub telemetry: Arc<Telemetry>,
    /// The upstream connections of this worker.
    pub pools: Rc<Pools>,
    /// This worker's access lines.
    pub access: Rc<AccessWriter>,
    /// What it tells those who look on.
    pub taps: TapWriter,
    /// Has this worker run all the time?
    pub pulse: Pulse,
    /// Who stands in front?
    pub front: Front,
    /// Kept answers, of all workers.
    pub stale: Arc<StaleCache>,
    /// Queued writes, of all workers; `None`: nothing is queued.
    pub outbox: Option<Arc<Outbox>>,
    /// What its client connections hold.
    pub accounts: Rc<Accounts>,
    /// For how many more seconds what is free again is given back.
    letting_go: Cell<u8>,
    chance: Cell<u64>,
    /// The second in which lines of [`Self::unread`] were written last, and how many.
    unread: Cell<(u64, u32)>,
}

/// Access lines a second and worker about requests that could not be read: a flood of them is counted, not written.
const UNREAD: u32 = 20;

impl Worker {
    /// Something large is free again. It is given back when it has been free for a while.
    pub fn has_let_go(&self) {
        self.letting_go.set(2);
    }

    /// Once a second: gives back what is free.
    pub fn give_back(&self) {
        if let Some(left) = self.letting_go.get().checked_sub(1) {
            self.letting_go.set(left);
            crate::runtime::heap::give_back();
        }
    }

    /// A worker with nothing under way; `seed` differs between workers and starts.
    pub fn new(
        number: usize,
        registry: Arc<Registry>,
        telemetry: Arc<Telemetry>,
        (stale, outbox): (Arc<StaleCache>, Option<Arc<Outbox>>),
        seed: u64,
    ) -> Rc<Self> {
        let pools = Rc::new(Pools::default());
        let access = telemetry.access_log().writer();
        let taps = telemetry.taps().writer(number);
        let pulse = Pulse::new(clock::instant());
        let (chance, unread) = (Cell::new(seed | 1), Cell::default());
        Rc::new(Self {
            number,
            registry,
            telemetry,
            pools,
            stale,
            outbox,
            access,
            taps,
            pulse,
            front: Front::default(),
            accounts: Rc::new(Accounts::new(clock::instant())),
            letting_go: Cell::default(),
            chance,
            unread,
        })
    }

    /// A number that nobody needs to be unable to guess: balancing, sampling, span ids
    /// (xorshift64*, Marsaglia and Vigna).
    pub fn draw(&self) -> u64 {
        let mut x = self.chance.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.chance.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A UUIDv7: the time in milliseconds, then chance.
    pub fn new_request_id(&self, now: Instant) -> Scratch {
        let wall = clock::wall_at(now).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut noise = [0; 10];
        noise[..8].copy_from_slice(&self.draw().to_be_bytes());
        noise[8..].copy_from_slice(&self.draw().to_be_bytes()[..2]);
        let millis = u64::try_from(wall.as_millis()).unwrap_or_default();
        Scratch::from(&fields::uuid_v7(millis, noise)[..])
    }

    pub(super) fn new_trace_id(&self) -> [u8; 16] {
        let id = u128::from(self.draw()) << 64 | u128::from(self.draw());
        id.max(1).to_be_bytes()
    }

    /// From when on a request counts as slow.
    pub fn slow_after(&self) -> Duration {
        self.registry.snapshot().config.latency.slow
    }

    /// A request of `client` was refused that could not be read: it is counted, and leaves a line.
    pub fn unread(&self, client: IpAddr, error: &ProxyError, request_id: &[u8], protocol: &'static str) {
        let facts = error.facts();
        self.telemetry.malformed(facts.label);
        let now = clock::instant();
        let wall = clock::wall_at(now);
        let second = clock::unix_seconds(wall);
        let (last, before) = self.unread.get();
        let written = if last == second { before } else { 0 };
        let (logs, tapped) = (self.telemetry.access_log().is_on(), self.taps.unread());
        if written >= UNREAD || !logs && tapped.is_empty() {
            return;
        }
        self.unread.set((second, written + 1));
        let line = AccessLine {
            wall,
            request_id,
            trace_id: None,
            client,
            method: b"",
            host: b"",
            path: b"",
            status: Some(facts.status),
            outcome: ExchangeOutcome::ClientError.label(),
            reason: Some(facts.label),
            slow: false,
            way: b"",
            endpoint: b"",
            attempts: 0,
            tried: &[],
            first_byte: None,
            total: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            protocol,
        };
        if logs {
            self.access.write(&line);
        }
        self.taps.ended(tapped, &line, None, now);
    }
}
