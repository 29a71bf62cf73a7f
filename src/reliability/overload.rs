//! Which connections end so that the others can go on: when memory is short, or when slow clients hold what is shared.
//!
//! Decides over plain numbers of one worker; refuses to know connections, buffers and clocks. The order is that of
//! Envoy's overload manager (`reset_high_memory_stream`: those that hold most first) and of Apache's `mod_reqtimeout`
//! (a rate, not a time).
//!
//! Invariants: what holds no bytes is never ended for memory; what moves is never ended for it, nor for its rate; no more is
//! ended than brings the sum back below the mark.

use std::num::NonZeroU32;
use std::time::Duration;

/// A connection that has not moved as many bytes as it holds for so long stands still.
pub const STILL: Duration = Duration::from_secs(1);
/// The time over which a client's rate is taken, in seconds in which it was waited for.
pub const RATE_OVER: u32 = 30;

/// Marks of a budget of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Bytes that may be buffered in all.
    pub limit: usize,
    /// From here on buffers stay small, and clients that hold more than [`Self::share`] get nothing more.
    pub tight: usize,
    /// From here on connections are ended.
    pub ending: usize,
    /// A quarter: what a client may hold while it is tight.
    pub share: usize,
}

impl Marks {
    /// Of a budget of `limit` bytes.
    pub fn of(limit: usize) -> Self {
        let quarter = limit / 4;
        Self { limit, tight: limit - quarter, ending: limit - quarter / 2, share: quarter }
    }
}

/// One connection, as far as memory is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The client's fingerprint, see [`Party`](crate::reliability::party::Party).
    pub client: u32,
    /// What it holds in buffers, the kernel's included.
    pub bytes: usize,
    /// For how long it has not moved as many bytes as that.
    pub still: Duration,
}

/// Which of `all` are ended so that `excess` bytes come free, as places in `all`: of the client that holds most, the one
/// whose bytes times time is largest, and so on.
pub fn to_end(all: &[Holding], excess: usize) -> Vec<usize> {
    let mut clients: std::collections::BTreeMap<u32, usize> = std::collections::BTreeMap::new();
    for holding in all {
        *clients.entry(holding.client).or_default() += holding.bytes;
    }
    let mut still: Vec<usize> = (0..all.len())
        .filter(|at| all.get(*at).is_some_and(|one| one.bytes > 0 && one.still >= STILL))
        .collect();
    let weight = |at: &usize| {
        let one = all.get(*at)?;
        Some((clients.get(&one.client)?, one.client, one.bytes as u128 * one.still.as_millis()))
    };
    still.sort_by_key(|at| std::cmp::Reverse(weight(at)));
    let mut free = 0;
    still.retain(|at| {
        let wanted = free < excess;
        free += if wanted { all.get(*at).map_or(0, |one| one.bytes) } else { 0 };
        wanted
    });
    still
}

/// How fast a client is, over the time in which it was waited for. One look a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Seconds in which it was waited for.
    waited: u32,
    /// Bytes that had moved when they began.
    from: u64,
    /// Bytes a second plus one, as far as there is room for them, once there were enough seconds of waiting.
    rate: Option<NonZeroU32>,
}

impl Pace {
    /// A second later: `moved` bytes in all have moved; `awaited`: the client is the one who is waited for.
    pub fn look(&mut self, moved: u64, awaited: bool) {
        if !awaited {
            return;
        }
        if self.waited == 0 {
            self.from = moved;
        }
        self.waited += 1;
        if self.waited > RATE_OVER {
            let rate = moved.saturating_sub(self.from) / u64::from(RATE_OVER);
            self.rate = NonZeroU32::new(u32::try_from(rate).unwrap_or(u32::MAX).saturating_add(1));
            self.waited = 1;
            self.from = moved;
        }
    }

    /// Bytes a second over the last [`RATE_OVER`] seconds of waiting, 4 GB/s at most; `None`: not long enough yet.
    pub fn rate(&self) -> Option<u64> {
        self.rate.map(|rate| u64::from(rate.get()) - 1)
    }
}

/// Which of `rates` (bytes a second) are ended so that `places` come free: the slowest below `least`.
pub fn slowest(rates: &[Option<u64>], least: u64, places: usize) -> Vec<usize> {
    let mut slow: Vec<(u64, usize)> = rates
        .iter()
        .enumerate()
        .filter_map(|(at, rate)| rate.filter(|rate| *rate < least).map(|rate| (rate, at)))
        .collect();
    slow.sort_unstable();
    slow.truncate(places);
    slow.into_iter().map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holding(client: u32, bytes: usize, still: u64) -> Holding {
        Holding { client, bytes, still: Duration::from_secs(still) }
    }

    #[test]
    fn the_client_that_holds_most_goes_first_and_of_it_what_stands_longest() {
        let all = [
            holding(1, 90, 500),
            holding(2, 60, 2),
            holding(2, 60, 30),
            holding(2, 0, 900),
            holding(2, 60, 0),
        ];
        assert_eq!(to_end(&all, 1), [2]);
        assert_eq!(to_end(&all, 61), [2, 1]);
        assert_eq!(to_end(&all, 121), [2, 1, 0], "the other client's comes last, a moving one never");
        assert_eq!(to_end(&all, 10_000), [2, 1, 0]);
        assert!(to_end(&all, 0).is_empty());
    }

    #[test]
    fn a_rate_is_taken_only_over_seconds_in_which_the_client_was_waited_for() {
        let mut pace = Pace::default();
        for second in 0..300 {
            pace.look(second * 10, false);
        }
        assert_eq!(pace.rate(), None, "the backend was silent");
        for second in 0..=u64::from(RATE_OVER) {
            pace.look(3_000 + second * 100, true);
        }
        assert_eq!(pace.rate(), Some(100));
        for second in 1..=u64::from(RATE_OVER) {
            pace.look(6_000 + second * 1_000, true);
        }
        assert_eq!(pace.rate(), Some(1_000), "it has become faster");
    }

    #[test]
    fn only_what_is_slower_than_the_least_is_ended_the_slowest_first() {
        let rates = [Some(500), Some(3), None, Some(0), Some(239)];
        assert_eq!(slowest(&rates, 240, 2), [3, 1]);
        assert_eq!(slowest(&rates, 240, 9), [3, 1, 4]);
        assert!(slowest(&rates, 0, 9).is_empty(), "switched off");
    }

    proptest! {
        #[test]
        fn no_more_is_ended_than_is_needed(
            all in prop::collection::vec((0_u32..4, 0_usize..100, 0_u64..5), 0..40),
            excess in 0_usize..2_000,
        ) {
            let all: Vec<_> = all.into_iter().map(|(client, bytes, still)| holding(client, bytes, still)).collect();
            let ended = to_end(&all, excess);
            let bytes = |places: &[usize]| places.iter().map(|at| all[*at].bytes).sum::<usize>();
            for at in &ended {
                prop_assert!(all[*at].bytes > 0 && all[*at].still >= STILL);
            }
            if let [before @ .., _] = ended.as_slice() {
                prop_assert!(bytes(before) < excess);
            }
            let all_still = all.iter().filter(|one| one.still >= STILL).map(|one| one.bytes).sum::<usize>();
            prop_assert!(bytes(&ended) >= excess.min(all_still));
        }
    }
}
