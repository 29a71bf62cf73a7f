//! The numbers of the store and its copies. They are asked for when somebody scrapes: nothing is counted twice.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::family::Family;
use super::seconds::Seconds;

/// How the store is.
#[derive(Clone, Debug)]
pub struct StoreSnapshot {
    /// A word of the closed set [`STATES`].
    pub state: &'static str,
    /// Durable writes on disk since the start.
    pub committed: u64,
    /// Durable writes that wait in memory.
    pub backlog: usize,
    /// How many may wait.
    pub limit: usize,
    /// Waiting writes that a newer one of the same row has replaced.
    pub folded: u64,
    /// Durable writes refused because the backlog was full.
    pub refused: u64,
    /// How long transactions took.
    pub commits: Seconds,
    /// The last row of the audit chain and the first 48 bits of its hash; `None`: not known yet.
    pub audit_head: Option<(i64, u64)>,
    /// The copies; `None`: none are asked for.
    pub backup: Option<BackupSnapshot>,
}

/// How the copies are.
#[derive(Clone, Debug)]
pub struct BackupSnapshot {
    /// When the newest good one was begun; `None`: there is none.
    pub last: Option<SystemTime>,
    /// How long it took; `None`: an earlier start made it.
    pub took: Option<Duration>,
    /// Bytes of that copy; `None`: there is none.
    pub bytes: Option<u64>,
    /// Good copies of this start.
    pub good: u64,
    /// Attempts of this start that failed.
    pub failed: u64,
}

/// What a store can be.
pub const STATES: [&str; 6] = ["ok", "unreachable", "full", "damaged", "gone", "replaced"];

type StoreSource = Box<dyn Fn() -> StoreSnapshot + Send + Sync>;

/// Where the numbers come from; nowhere while the store is off.
#[derive(Default)]
pub struct StoreMetrics(OnceLock<StoreSource>);

impl StoreMetrics {
    /// From now on they are shown. Only the first one is asked.
    pub fn ask(&self, ask: impl Fn() -> StoreSnapshot + Send + Sync + 'static) {
        self.0.get_or_init(|| Box::new(ask));
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let Some(ask) = self.0.get() else { return Vec::new() };
        let now = ask();
        let mut state = Family::gauge("store_state", "1 for the state the store is in, 0 for the others.");
        for label in STATES {
            state.set(&[("state", label)], f64::from(u8::from(label == now.state)));
        }
        let mut took =
            Family::histogram("store_commit_seconds", "Time of one transaction that came to disk.");
        took.seconds(&[], &now.commits);
        let mut families = vec![
            state,
            took,
            counter("store_writes_total", "Durable writes that are on disk.", now.committed),
            counter(
                "store_writes_folded_total",
                "Waiting writes that a newer one of the same row has replaced.",
                now.folded,
            ),
            counter(
                "store_writes_refused_total",
                "Durable writes refused: the backlog was full.",
                now.refused,
            ),
            gauge("store_backlog", "Durable writes that wait in memory.", Some(now.backlog as f64)),
            gauge("store_backlog_limit", "Durable writes that may wait in memory.", Some(now.limit as f64)),
            gauge(
                "store_audit_head_row",
                "Last row of the audit chain.",
                now.audit_head.map(|it| it.0 as f64),
            ),
            gauge(
                "store_audit_head_hash",
                "The first 48 bits of that row's hash as a number.",
                now.audit_head.map(|it| it.1 as f64),
            ),
        ];
        families.extend(now.backup.iter().flat_map(BackupSnapshot::families));
        families
    }
}

fn counter(name: &str, help: &str, value: u64) -> Family {
    let mut family = Family::counter(name, help);
    family.count(&[], value);
    family
}

fn gauge(name: &str, help: &str, value: Option<f64>) -> Family {
    let mut family = Family::gauge(name, help);
    value.into_iter().for_each(|value| family.set(&[], value));
    family
}

impl BackupSnapshot {
    fn families(&self) -> [Family; 4] {
        let at = self.last.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        let mut made = Family::counter("store_backups_total", "Copies of the store, by what became of them.");
        made.count(&[("result", "good")], self.good);
        made.count(&[("result", "failed")], self.failed);
        [
            made,
            gauge(
                "store_backup_last_success_timestamp_seconds",
                "When the newest copy that was restored and compared was begun.",
                at.map(|at| at.as_secs_f64()),
            ),
            gauge(
                "store_backup_last_duration_seconds",
                "Time of that copy, its check included, if this start made it.",
                self.took.map(|took| took.as_secs_f64()),
            ),
            gauge(
                "store_backup_last_size_bytes",
                "Length of that copy.",
                self.bytes.map(|bytes| bytes as f64),
            ),
        ]
    }
}
