//! Has a change of the config made things worse than chance can?
//!
//! What ended before the change is compared with what has ended since, for each series and for all of a direction together. It is
//! looked at again and again, over many series, so the odds that chance alone takes a good config back are set for the
//! whole of that: [`ODDS`], shared by looks and series.

use std::fmt;

use super::significance::above;

/// By chance alone a good config is taken back once in so many reloads.
pub const ODDS: f64 = 1e6;
/// Looks at one change, at most: one a second for an hour.
const LOOKS: f64 = 3_600.0;
/// Fewer exchanges before the change are nothing to compare with.
const LEAST_BEFORE: u64 = 50;
/// Fewer errors since then are no pattern.
const LEAST_BAD: u64 = 10;
/// Of what took longer than the 99th percentile before this share would be an accident of how that was measured.
const SLOWER: f64 = 0.02;

/// How long exchanges took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CanaryTimes {
    pub exchanges: u64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
}

/// What is known of some exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CanarySample {
    /// Those that ended, but for those whose client left.
    pub exchanges: u64,
    /// 5xx, refusals, timeouts, upstreams that failed.
    pub bad: u64,
    /// `None`: nothing is known that lies on one side of the change alone.
    pub times: Option<CanaryTimes>,
}

impl CanarySample {
    /// Counts of both together; of their times nothing is known.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (exchanges, bad) = (self.exchanges + other.exchanges, self.bad + other.bad);
        Self { exchanges, bad, times: None }
    }
}

/// What has become worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Worse {
    /// Shares of bad exchanges.
    Errors { before: f64, after: f64 },
    /// Milliseconds: what the slowest in a hundred took before, and what at least that share of all takes since.
    Slower { p99_before: f64, share: f64, after: f64 },
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { before, after } => {
                write!(f, "{:.1} % of exchanges fail, {:.1} % did before", after * 100.0, before * 100.0)
            }
            Self::Slower { p99_before, share, after } => write!(
                f,
                "{:.0} % of exchanges take {after:.0} ms and more, the slowest in a hundred took {p99_before:.0} ms before",
                share * 100.0
            ),
        }
    }
}

/// Is it worse than chance can make it? `among`: how many such comparisons are made at each look.
pub fn worse(before: &CanarySample, after: &CanarySample, among: usize) -> Option<Worse> {
    let alpha = 1.0 / ODDS / LOOKS / among.max(1) as f64;
    errors(before, after, alpha).or_else(|| slower(before.times?, after.times?, alpha))
}

fn errors(before: &CanarySample, after: &CanarySample, alpha: f64) -> Option<Worse> {
    if before.exchanges < LEAST_BEFORE || after.bad < LEAST_BAD {
        return None;
    }
    let (all, bad) = (before.exchanges as f64, before.bad as f64);
    // What was counted before was chance as well: the upper end of a Poisson count, by two of its deviations and a bit.
    let limit = ((bad + 2.0 * bad.sqrt() + 3.0) / all).min(0.95);
    let after_share = after.bad as f64 / after.exchanges as f64;
    above(after.bad, after.exchanges, limit, alpha)
        .then_some(Worse::Errors { before: bad / all, after: after_share })
}

fn slower(before: CanaryTimes, after: CanaryTimes, alpha: f64) -> Option<Worse> {
    if before.exchanges < 2 * LEAST_BEFORE {
        return None;
    }
    let shares = [(0.5, after.p50), (0.1, after.p90), (0.05, after.p95)];
    shares.into_iter().find_map(|(share, time)| {
        let many = (after.exchanges as f64 * share).floor() as u64;
        let is = time > before.p99 && above(many, after.exchanges, SLOWER, alpha);
        is.then_some(Worse::Slower { p99_before: before.p99, share, after: time })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(exchanges: u64, bad: u64) -> CanarySample {
        CanarySample { exchanges, bad, times: None }
    }

    fn took(exchanges: u64, p50: f64, p99: f64) -> CanarySample {
        let times = CanaryTimes { exchanges, p50, p90: p50 * 2.0, p95: p50 * 3.0, p99 };
        CanarySample { times: Some(times), ..of(exchanges, 0) }
    }

    #[test]
    fn errors_that_the_change_brought_are_seen_and_those_of_before_are_not() {
        assert!(matches!(worse(&of(3_000, 3), &of(200, 60), 50), Some(Worse::Errors { .. })));
        assert_eq!(worse(&of(3_000, 900), &of(200, 70), 50), None, "as before");
        assert_eq!(worse(&of(3_000, 3), &of(200, 9), 50), None, "too few to say");
        assert_eq!(worse(&of(40, 0), &of(200, 200), 50), None, "there was nothing to compare with");
        let told = worse(&of(3_000, 3), &of(200, 60), 50).map(|worse| worse.to_string());
        assert_eq!(told.as_deref(), Some("30.0 % of exchanges fail, 0.1 % did before"));
    }

    #[test]
    fn what_takes_longer_than_the_slowest_did_is_seen() {
        let before = took(3_000, 20.0, 300.0);
        assert_eq!(worse(&before, &took(2_000, 25.0, 400.0), 50), None, "a bit slower is not worse");
        let slow = worse(&before, &took(2_000, 320.0, 900.0), 50);
        assert!(matches!(slow, Some(Worse::Slower { share, .. }) if share == 0.5), "{slow:?}");
        assert!(matches!(worse(&before, &took(2_000, 150.0, 900.0), 50), Some(Worse::Slower { .. })), "p95");
        assert_eq!(worse(&before, &took(10, 320.0, 900.0), 50), None, "ten are not enough");
    }

    proptest! {
        /// The ordinary reload: nothing changes, whatever the rate is; a thousand draws of it.
        #[test]
        fn a_rate_that_stays_is_never_worse(rate in 0.0_f64..0.6, seed in any::<u64>(), before in 50_u64..5_000, after in 1_u64..2_000) {
            let mut state = seed | 1;
            let mut bad = |many: u64| {
                (0..many).filter(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 11) as f64 / (1_u64 << 53) as f64 <= rate
                }).count() as u64
            };
            let (was, is) = (bad(before), bad(after));
            prop_assert_eq!(worse(&of(before, was), &of(after, is), 100), None);
        }
    }
}
