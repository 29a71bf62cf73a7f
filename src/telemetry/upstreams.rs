//! The numbers of one upstream: attempts by verdict, its breakers, its tunnels, its connections.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::breakers::BreakerSeries;
use super::load::{LoadSeries, ThrottleSeries};
pub use super::tunnels::{TunnelEnd, Tunnels};
use crate::names::UpstreamName;
use crate::net::shown::{ShownCertificate, ShownCertificates};
use crate::reliability::failover::Group;
use crate::reliability::payment::{Paid, PaymentOutcome};
use crate::reliability::retry::RetryReason;
use crate::reliability::rise_fall::Check;
use crate::reliability::verdict::{Against, BadReason, Inconclusive, Verdict};

/// Labels of verdicts, in the order they are counted.
pub const VERDICTS: [&str; 16] = [
    "good",
    "slow",
    "connect",
    "tls",
    "timeout",
    "reset",
    "status",
    "protocol",
    "rate_limited",
    "abandoned",
    "stale",
    "not_processed",
    "shortage",
    "no_route",
    "limit",
    "stalled",
];
/// How many there are.
const KINDS: usize = VERDICTS.len();
/// Which of them are bad.
const BAD: std::ops::Range<usize> = 2..8;

fn place(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Good => 0,
        Verdict::Slow => 1,
        Verdict::Bad(BadReason::Connect) => 2,
        Verdict::Bad(BadReason::Tls) => 3,
        Verdict::Bad(BadReason::Timeout) => 4,
        Verdict::Bad(BadReason::Reset) => 5,
        Verdict::Bad(BadReason::Status) => 6,
        Verdict::Bad(BadReason::Protocol) => 7,
        Verdict::RateLimited { .. } => 8,
        Verdict::Inconclusive(Inconclusive::ClientGone) => 9,
        Verdict::Inconclusive(Inconclusive::Stale) => 10,
        Verdict::Inconclusive(Inconclusive::NotProcessed) => 11,
        Verdict::Inconclusive(Inconclusive::Shortage) => 12,
        Verdict::Inconclusive(Inconclusive::NoRoute) => 13,
        Verdict::Inconclusive(Inconclusive::Limit) => 14,
        Verdict::Inconclusive(Inconclusive::Stalled) => 15,
    }
}

/// The counts of one worker, on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct UpstreamShard {
    verdicts: [AtomicU64; KINDS],
    /// Bad and rate-limited attempts that spoke against the endpoint alone.
    against_endpoint: AtomicU64,
    /// Those that spoke against the upstream.
    against_upstream: AtomicU64,
}

/// Active checks of a group of an upstream's endpoints since the start.
#[derive(Debug, Default)]
struct CheckCounts {
    passed: AtomicU64,
    failed: AtomicU64,
    /// Failed ones since the last that passed.
    in_a_row: AtomicU64,
}

/// The numbers of one upstream. What changes with each attempt is in a shard for each worker; what is rarer is one atomic.
pub struct UpstreamSeries {
    pub name: UpstreamName,
    /// Of its own breaker.
    pub breaker: Arc<BreakerSeries>,
    /// Open connections, over all workers.
    pub connections: Arc<AtomicUsize>,
    /// What is under way, where that is limited.
    pub load: Arc<LoadSeries>,
    /// How much less it is asked.
    pub throttle: Arc<ThrottleSeries>,
    attempts: Box<[UpstreamShard]>,
    /// Attempts beyond the first of an exchange, in the order of [`RetryReason::ALL`].
    retries: [AtomicU64; RetryReason::ALL.len()],
    /// Of those beside the first, which answered before it.
    hedges_won: AtomicU64,
    retries_denied: AtomicU64,
    tunnels: Mutex<Tunnels>,
    operations: Mutex<Vec<Arc<BreakerSeries>>>,
    /// Of the breaker of its backup group; `None`: it has none.
    backup: Mutex<Option<Arc<BreakerSeries>>>,
    /// By [`Group`].
    endpoints: Mutex<[BTreeMap<String, bool>; 2]>,
    /// Ejections, in the order of [`BadReason::ALL`].
    ejections: [AtomicU64; BadReason::ALL.len()],
    /// By [`Group`].
    checks: [CheckCounts; 2],
    /// Requests that take payments, by [`PaymentOutcome`].
    payments: [AtomicU64; 4],
    /// What its servers have shown of themselves; `None`: no TLS is spoken with them.
    certificates: Mutex<Option<Arc<ShownCertificates>>>,
}

impl UpstreamSeries {
    pub(super) fn new(name: UpstreamName, workers: usize) -> Self {
        Self {
            breaker: Arc::new(BreakerSeries::new(name.text(), workers)),
            name,
            connections: Arc::default(),
            load: Arc::default(),
            throttle: Arc::default(),
            attempts: (0..workers.max(1)).map(|_| UpstreamShard::default()).collect(),
            retries: Default::default(),
            hedges_won: AtomicU64::new(0),
            retries_denied: AtomicU64::new(0),
            tunnels: Mutex::default(),
            operations: Mutex::default(),
            backup: Mutex::default(),
            endpoints: Mutex::default(),
            ejections: Default::default(),
            checks: Default::default(),
            payments: Default::default(),
            certificates: Mutex::default(),
        }
    }

    /// Where the certificates of its servers are remembered from now on.
    pub fn shows(&self, certificates: Option<Arc<ShownCertificates>>) {
        *self.certificates.lock().unwrap_or_else(PoisonError::into_inner) = certificates;
    }

    pub(super) fn certificates(&self) -> Vec<ShownCertificate> {
        let held = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().map_or_else(Vec::new, |certificates| certificates.all())
    }

    /// An attempt was judged.
    pub fn attempted(&self, worker: usize, verdict: Verdict, against: Against) {
        let shard = self.shard(worker);
        shard.verdicts[place(verdict)].fetch_add(1, Ordering::Relaxed);
        match against {
            Against::Nobody => {}
            Against::Endpoint => {
                shard.against_endpoint.fetch_add(1, Ordering::Relaxed);
            }
            Against::Upstream => {
                shard.against_upstream.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn shard(&self, worker: usize) -> &UpstreamShard {
        // There is at least one shard.
        &self.attempts[worker % self.attempts.len()]
    }

    /// Attempts by verdict, in the order of [`VERDICTS`].
    pub fn verdicts(&self) -> [u64; KINDS] {
        let mut sum = [0; KINDS];
        for shard in &self.attempts {
            sum.iter_mut().zip(&shard.verdicts).for_each(|(sum, more)| *sum += more.load(Ordering::Relaxed));
        }
        sum
    }

    /// Attempts with this verdict since the start.
    pub fn judged_as(&self, verdict: Verdict) -> u64 {
        self.verdicts()[place(verdict)]
    }

    fn summed(&self, of: impl Fn(&UpstreamShard) -> &AtomicU64) -> u64 {
        self.attempts.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum()
    }

    /// Attempts by whom they spoke against, in the order of [`Against::ALL`].
    pub fn against(&self) -> [u64; 3] {
        let (endpoint, upstream) =
            (self.summed(|shard| &shard.against_endpoint), self.summed(|shard| &shard.against_upstream));
        [self.judged().saturating_sub(endpoint + upstream), endpoint, upstream]
    }

    /// Bad attempts since the start.
    pub fn failures(&self) -> u64 {
        self.verdicts()[BAD].iter().sum()
    }

    /// Judged attempts since the start.
    pub fn judged(&self) -> u64 {
        self.verdicts().iter().sum()
    }

    /// An attempt is repeated.
    pub fn repeated(&self, why: RetryReason) {
        self.retries[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The attempt beside the first has answered before it.
    pub fn hedge_won(&self) {
        self.hedges_won.fetch_add(1, Ordering::Relaxed);
    }

    /// Attempts beside a first one that answered before it.
    pub fn hedges_won(&self) -> u64 {
        self.hedges_won.load(Ordering::Relaxed)
    }

    /// The budget did not pay for another attempt.
    pub fn not_repeated(&self) {
        self.retries_denied.fetch_add(1, Ordering::Relaxed);
    }

    /// Retries made, in the order of [`RetryReason::ALL`].
    pub fn retries(&self) -> [u64; RetryReason::ALL.len()] {
        self.retries.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Retries that the budget denied.
    pub fn retries_denied(&self) -> u64 {
        self.retries_denied.load(Ordering::Relaxed)
    }

    /// A tunnel has ended.
    pub fn tunnel(&self, end: &TunnelEnd) {
        let mut tunnels = self.tunnels.lock().unwrap_or_else(PoisonError::into_inner);
        tunnels.connect.record(end.connect);
        if let Some(took) = end.handshake {
            tunnels.handshake.record(took);
        }
        if let Some(took) = end.first_byte {
            tunnels.first_byte.record(took);
        }
        tunnels.up += end.up;
        tunnels.down += end.down;
        tunnels.resets += u64::from(end.reset);
    }

    /// Sums over all tunnels.
    pub fn tunnels(&self) -> Tunnels {
        self.tunnels.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The series of the breakers of its operations of these names, in their order; what others had is forgotten.
    pub fn operations<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<BreakerSeries>> {
        let mut known = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |name: &str| {
            let label: Arc<str> = format!("{}.{name}", self.name).into();
            let before = known.iter().find(|series| series.label == label).map(Arc::clone);
            before.unwrap_or_else(|| Arc::new(BreakerSeries::new(label, self.attempts.len())))
        };
        let wanted: Vec<_> = names.map(of).collect();
        known.clone_from(&wanted);
        wanted
    }

    /// Its own breaker, those of its backup group and of its operations, each with the failures that it shows.
    pub fn breakers(&self) -> Vec<(Arc<BreakerSeries>, u64)> {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let backup = self.backup.lock().unwrap_or_else(PoisonError::into_inner);
        let own = (Arc::clone(&self.breaker), self.failures());
        let beside = backup.iter().chain(operations.iter());
        std::iter::once(own).chain(beside.map(|series| (Arc::clone(series), series.failures()))).collect()
    }

    /// A request that takes a payment has ended.
    pub fn paid(&self, outcome: PaymentOutcome) {
        self.payments[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that take payments, since the start.
    pub fn payments(&self) -> Paid {
        Paid::of(|outcome| self.payments[outcome as usize].load(Ordering::Relaxed))
    }

    fn checks_of(&self, group: Group) -> &CheckCounts {
        &self.checks[usize::from(group.number())]
    }

    /// An active check of an endpoint of `group` was made.
    pub fn checked(&self, group: Group, check: Check) {
        let CheckCounts { passed, failed, in_a_row } = self.checks_of(group);
        match check {
            Check::Passed => {
                passed.fetch_add(1, Ordering::Relaxed);
                in_a_row.store(0, Ordering::Relaxed);
            }
            Check::Failed => {
                failed.fetch_add(1, Ordering::Relaxed);
                in_a_row.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Active checks of a group since the start: passed, failed.
    pub fn checks(&self, group: Group) -> (u64, u64) {
        let counts = self.checks_of(group);
        (counts.passed.load(Ordering::Relaxed), counts.failed.load(Ordering::Relaxed))
    }

    /// Failed checks since the last one that passed, of whichever endpoint of the group.
    pub fn failed_checks(&self, group: Group) -> u32 {
        u32::try_from(self.checks_of(group).in_a_row.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// An endpoint was taken out of rotation.
    pub fn ejected(&self, why: BadReason) {
        let counts = self.ejections.iter().zip(BadReason::ALL);
        counts.filter(|(_, known)| *known == why).for_each(|(count, _)| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Ejections since the start, in the order of [`BadReason::ALL`].
    pub fn ejections(&self) -> [u64; BadReason::ALL.len()] {
        self.ejections.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    fn endpoints_of(&self, change: impl FnOnce(&mut [BTreeMap<String, bool>; 2])) {
        change(&mut self.endpoints.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// An endpoint of `group` is healthy, or not.
    pub fn endpoint(&self, group: Group, address: String, healthy: bool) {
        self.endpoints_of(|all| {
            all[usize::from(group.number())].insert(address, healthy);
        });
    }

    /// Only these endpoints of the group are still there.
    pub fn keep_endpoints(&self, group: Group, addresses: &[String]) {
        self.endpoints_of(|all| {
            all[usize::from(group.number())].retain(|known, _| addresses.contains(known));
        });
    }

    /// Endpoints of both groups and whether they are healthy; each address once.
    pub fn endpoints(&self) -> Vec<(String, bool)> {
        let mut merged = BTreeMap::new();
        self.endpoints_of(|all| {
            all.iter().rev().for_each(|group| merged.extend(group.clone()));
        });
        merged.into_iter().collect()
    }

    /// The series of the breaker of its backup group.
    pub fn backup(&self) -> Arc<BreakerSeries> {
        let mut known = self.backup.lock().unwrap_or_else(PoisonError::into_inner);
        let label = || format!("{}.backup", self.name).into();
        let made = || Arc::new(BreakerSeries::new(label(), self.attempts.len()));
        Arc::clone(known.get_or_insert_with(made))
    }

    /// There is no backup group any more.
    pub fn forget_backup(&self) {
        *self.backup.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.keep_endpoints(Group::Backup, &[]);
    }
}
