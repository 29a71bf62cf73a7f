//! The nth wait: growing, capped, jittered by a number that the caller draws.

use std::time::Duration;

/// Growth per step.
const GROWTH: f64 = 1.5;
/// Share of the wait by which it may be shorter or longer.
const JITTER: f64 = 0.2;

/// The wait after `n` earlier ones in a row: `first` × 1.5ⁿ, at most `longest`, ±20 % by `draw` (any number).
pub fn nth(first: Duration, longest: Duration, n: u32, draw: u64) -> Duration {
    let grown = first.as_secs_f64() * GROWTH.powi(i32::try_from(n.min(64)).unwrap_or(64));
    let capped = grown.min(longest.max(first).as_secs_f64());
    // 53 bits are what a f64 holds exactly.
    let share = (draw >> 11) as f64 / (1_u64 << 53) as f64;
    let jittered = capped * (1.0 - JITTER + 2.0 * JITTER * share);
    Duration::from_secs_f64(jittered.min(longest.max(first).as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_never_too_long_nor_much_too_short(first in 1_u64..600_000, longest in 1_u64..3_600_000, n in 0_u32..1_000, draw: u64) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(longest));
            let wait = nth(first, longest, n, draw);
            prop_assert!(wait <= longest.max(first));
            prop_assert!(wait >= first.mul_f64(0.79));
        }
    }
}
