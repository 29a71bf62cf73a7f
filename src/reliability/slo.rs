//! How fast is the error budget being spent?
//!
//! An objective allows a share of requests to fail; the burn rate is the true share over the allowed one, so a rate of 1
//! spends exactly the budget in the period. Alerts use pairs of windows (SRE Workbook, chapter 5): the long one shows that
//! it matters, the short one that it still goes on. As that chapter says, pairs alone do not suit low traffic; so a pair
//! burns only when an exact test on the long window agrees.

use std::time::Duration;

use super::counts::{Counts, Windows};
use super::significance;

const HOUR: Duration = Duration::from_secs(3_600);

/// What is promised, and over which period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Share of good ones, above 0 and below 1: 0.999 by the guide ("error rate < 0.1 %").
    pub target: f64,
}

impl Default for Objective {
    fn default() -> Self {
        Self { target: 0.999 }
    }
}

impl Objective {
    /// The share that may be bad.
    pub fn allowed(self) -> f64 {
        (1.0 - self.target).max(f64::EPSILON)
    }

    /// How many times faster than allowed the budget is spent; `None` without requests.
    pub fn burn(self, counts: Counts) -> Option<f64> {
        counts.bad_ratio().map(|ratio| ratio / self.allowed())
    }

    /// Does this pair of windows burn, beyond chance (`alpha`)?
    pub fn burns(self, pair: WindowPair, windows: &Windows, alpha: f64) -> Option<BurningPair> {
        let (long, short) = pair.of(windows);
        let (long_rate, short_rate) = (self.burn(long)?, self.burn(short)?);
        let fast = long_rate >= pair.rate && short_rate >= pair.rate;
        (fast && significance::above(long.bad, long.total(), self.allowed(), alpha)).then_some(BurningPair {
            pair,
            long_rate,
            short_rate,
        })
    }
}

/// How urgent a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody is called at once.
    Page,
    /// Somebody looks at it in working hours.
    Ticket,
}

/// Two windows and a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowPair {
    /// One of the windows of [`Windows`]: 1 h, 6 h or 3 d.
    pub long: Duration,
    /// A twelfth of it.
    pub short: Duration,
    /// The burn rate that both must reach.
    pub rate: f64,
    /// What follows when both windows burn.
    pub urgency: Urgency,
}

/// The pairs of the SRE Workbook: 2 % of a 30 days' budget in 1 h, 5 % in 6 h, 10 % in 3 d.
pub const PAIRS: [WindowPair; 3] = [
    WindowPair { long: HOUR, short: Duration::from_secs(300), rate: 14.4, urgency: Urgency::Page },
    WindowPair {
        long: Duration::from_secs(6 * 3_600),
        short: Duration::from_secs(1_800),
        rate: 6.0,
        urgency: Urgency::Page,
    },
    WindowPair {
        long: Duration::from_secs(72 * 3_600),
        short: Duration::from_secs(6 * 3_600),
        rate: 1.0,
        urgency: Urgency::Ticket,
    },
];

impl WindowPair {
    /// Its two windows, long and short.
    pub fn of(self, windows: &Windows) -> (Counts, Counts) {
        (at_least(windows, self.long), at_least(windows, self.short))
    }
}

fn at_least(windows: &Windows, span: Duration) -> Counts {
    match span.as_secs() {
        0..=10 => windows.s10,
        11..=60 => windows.m1,
        61..=300 => windows.m5,
        301..=1_800 => windows.m30,
        1_801..=3_600 => windows.h1,
        3_601..=21_600 => windows.h6,
        _ => windows.d3,
    }
}

/// A pair that burns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurningPair {
    /// The pair of windows that burns.
    pub pair: WindowPair,
    /// Over the long window.
    pub long_rate: f64,
    /// Over the short one.
    pub short_rate: f64,
}

/// The most urgent pair that burns.
pub fn burning(objective: Objective, windows: &Windows, alpha: f64) -> Option<BurningPair> {
    PAIRS.into_iter().find_map(|pair| objective.burns(pair, windows, alpha))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(total: u64, bad: u64) -> Counts {
        Counts { good: total - bad, bad }
    }

    #[test]
    fn four_nines_allow_four_minutes_a_month_and_a_full_outage_burns_ten_thousandfold() {
        let four = Objective { target: 0.9999 };
        let minutes = four.allowed() * (720.0 * 60.0);
        assert!((minutes - 4.32).abs() < 0.001);
        assert!((four.burn(counts(100, 100)).expect("some") - 10_000.0).abs() < 0.01);
    }

    /// The table of c.8: a steady share of errors fills 14.4 × of one hour in so many seconds.
    #[test]
    fn the_time_to_fire_is_that_of_the_table() {
        for (target, share, seconds) in [
            (0.9999, 1.0, 5.2),
            (0.9999, 0.1, 51.8),
            (0.9999, 0.01, 518.0),
            (0.999, 1.0, 51.8),
            (0.999, 0.1, 518.0),
        ] {
            let objective = Objective { target };
            let per_second = 10_000.0;
            let fires = (1..3_600).find(|second| {
                let bad = (f64::from(*second) * per_second * share) as u64;
                let long = counts(36_000_000, bad);
                let (short_n, short_s) = (3_000_000, f64::from(*second).min(300.0));
                let short = counts(short_n, (short_s * per_second * share) as u64);
                let windows = Windows { h1: long, m5: short, ..Windows::default() };
                objective.burns(PAIRS[0], &windows, 1e-6).is_some()
            });
            let fires = f64::from(fires.expect("fires"));
            assert!((fires - seconds).abs() <= 1.0, "{target} {share}: {fires} s");
        }
    }

    #[test]
    fn one_bad_request_an_hour_does_not_burn_although_its_rate_is_high() {
        let windows = Windows { h1: counts(60, 1), m5: counts(5, 1), ..Windows::default() };
        assert!(Objective::default().burn(windows.h1).expect("some") > 14.4);
        assert_eq!(burning(Objective::default(), &windows, 1e-6), None);
    }
}
