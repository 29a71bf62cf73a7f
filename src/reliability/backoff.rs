//! The nth wait: growing, capped, jittered by a number that the caller draws.

use std::time::Duration;

/// Each wait is that much longer than the one before.
const GROWTH: f64 = 1.5;
/// Share of the wait by which it may be shorter or longer.
const JITTER: f64 = 0.2;

/// A share, from 0 to 1 (exclusive), by `draw` (any number): its first 53 bits, which are what a f64 holds exactly.
pub fn share(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// The wait after `n` earlier ones in a row: `first` × 1.5ⁿ, at most `longest`, ±20 % by `draw` (any number).
pub fn nth(first: Duration, longest: Duration, n: u32, draw: u64) -> Duration {
    let grown = first.as_secs_f64() * GROWTH.powi(i32::try_from(n.min(64)).unwrap_or(64));
    let capped = grown.min(longest.max(first).as_secs_f64());
    let jittered = capped * (1.0 - JITTER + 2.0 * JITTER * share(draw));
    Duration::from_secs_f64(jittered.min(longest.max(first).as_secs_f64()))
}

/// Any moment within the wait after `n` earlier ones in a row: many that begin to wait together do not end together.
pub fn anywhere(first: Duration, longest: Duration, n: u32, draw: u64) -> Duration {
    nth(first, longest, n, u64::MAX / 2).mul_f64(share(draw))
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

        #[test]
        fn those_who_wait_together_are_spread_over_the_whole_wait(n in 0_u32..100, seed: u64) {
            let (first, longest) = (Duration::from_secs(1), Duration::from_secs(10));
            let step = 0x9E37_79B9_7F4A_7C15_u64;
            let mut tenths = [0_u32; 10];
            for one in 0..1_000_u64 {
                let wait = anywhere(first, longest, n, seed.wrapping_add(one.wrapping_mul(step)));
                let whole = nth(first, longest, n, u64::MAX / 2);
                tenths[((wait.as_secs_f64() / whole.as_secs_f64()) * 10.0) as usize] += 1;
            }
            prop_assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
        }
    }
}
