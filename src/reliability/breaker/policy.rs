//! When a breaker trips and how it recovers.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::units::Percent;

/// What a breaker does with what it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It refuses while it is open.
    On,
    /// It counts, moves and tells as if it were on, and refuses nothing.
    Shadow,
    /// It counts and never moves.
    Off,
}

impl Mode {
    /// In the order in which they are told.
    pub const ALL: [Self; 3] = [Self::On, Self::Shadow, Self::Off];

    /// As in TOML and in the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// When a breaker trips and how it recovers. Every field carries its own range; [`crate::config`] keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Whether it refuses, only counts, or is off.
    pub mode: Mode,
    /// Consecutive bad verdicts that trip it; `None`: off. No cold-start guard.
    pub failures: Option<NonZeroU32>,
    /// Share of bad and rate-limited verdicts in `window` that trips it, once `min_requests` were seen; `None`: off.
    pub failure_rate: Option<Percent>,
    /// Share of slow verdicts in `window` that trips it, once `min_requests` were seen; `None`: off.
    pub slow_rate: Option<Percent>,
    /// Length of the window of both rates, 1 s to 1 h, in ten buckets.
    pub window: Duration,
    /// Fewer verdicts than this decide no rate.
    pub min_requests: u64,
    /// Refused and broken connections and timeouts of one endpoint within this time are one event (Semian's
    /// `lumping_interval`; `lump` in TOML). Zero: each counts.
    pub dedup_window: Duration,
    /// The first wait, open to half-open; ×1.5 with each consecutive re-opening, ±20 % jitter.
    pub open_for: Duration,
    /// The longest wait, 5 min by default.
    pub open_for_max: Duration,
    /// Consecutive good probes that close it.
    pub successes: NonZeroU32,
    /// Probes in flight at most; 1 by default.
    pub probes: NonZeroU32,
    /// A probe without an answer for this long has failed, whatever is usual. Its client still gets the answer.
    pub probe_timeout: Duration,
    /// After closing, admitted share grows linearly to all over this long; zero: at once.
    pub ramp: Duration,
}

/// Rates are Hystrix's (half of at least 20 within 10 s), the row of failures and the waits are those of Envoy's
/// outlier detection (5 in a row, 30 s, at most 5 min), the window of one event is an idea of Semian's
/// (`lumping_interval`). These are the defaults of the config file.
impl Default for BreakerPolicy {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            mode: Mode::On,
            failures: NonZeroU32::new(5),
            failure_rate: Some(Percent::of(50)),
            slow_rate: None,
            window: secs(10),
            min_requests: 20,
            dedup_window: secs(1),
            open_for: secs(30),
            open_for_max: secs(300),
            successes: NonZeroU32::MIN.saturating_add(1),
            probes: NonZeroU32::MIN,
            probe_timeout: secs(10),
            ramp: secs(10),
        }
    }
}
