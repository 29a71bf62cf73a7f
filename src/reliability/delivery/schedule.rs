//! When is a delivery that failed tried again?

use std::time::Duration;

use crate::reliability::backoff::share;

/// Waits after so many failed attempts. Svix begins with 0 and 5 s and is slower after that (semantics c.11); somebody who
/// is to be woken cannot wait for 5 minutes.
const WAITS: [u64; 7] = [0, 5, 30, 120, 300, 900, 1_800];
/// The wait after all of these, in seconds.
const HOURLY: u64 = 3_600;
/// After this a delivery that never succeeded is dead.
pub const GIVE_UP: Duration = Duration::from_secs(24 * 3_600);
/// The longest time for which a channel is held that has not said itself for how long: what is new waits no longer.
const HELD: Duration = Duration::from_secs(300);
/// Share of the wait by which it may be shorter or longer.
const JITTER: f64 = 0.2;

/// The wait after `attempt` failed attempts, ±20 % by `chance` (any number). How many they may be is not its to say: those that
/// only show whether a channel is back come between.
pub fn retry_in(attempt: u32, chance: u64) -> Duration {
    let wait = usize::try_from(attempt).ok().and_then(|at| WAITS.get(at)).copied().unwrap_or(HOURLY);
    Duration::from_secs(wait).mul_f64(1.0 - JITTER + 2.0 * JITTER * share(chance))
}

/// How long a channel is held after so many failures in a row, where it does not say so itself.
pub(super) fn hold(failures: u32, chance: u64) -> Duration {
    retry_in(failures, chance).min(HELD)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_waits_grow_to_an_hour() {
        let middle = u64::MAX / 2;
        let wait = |n: u32| retry_in(n, middle).as_secs_f64().round() as u64;
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7, 30, u32::MAX].map(wait),
            [0, 5, 30, 120, 300, 900, 1_800, 3_600, 3_600, 3_600]
        );
        assert_eq!(
            [1, 2, 3, 4, 9, 99].map(|n| hold(n, middle).as_secs_f64().round()),
            [5.0, 30.0, 120.0, 300.0, 300.0, 300.0]
        );
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(attempt in 0_u32..40, chance: u64) {
            let plain = retry_in(attempt, u64::MAX / 2).as_secs_f64();
            let wait = retry_in(attempt, chance).as_secs_f64();
            prop_assert!((plain * 0.79..=plain * 1.21).contains(&wait));
        }
    }
}
