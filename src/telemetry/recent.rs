//! Seven counts, second by second, for the last five minutes.
//!
//! Twenty bytes a second and nothing for a second without any: a quiet series has none. A count beyond 65,535 goes on in
//! another entry of the same time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The longest window that can be asked for.
pub(super) const LONGEST: Duration = Duration::from_secs(300);

/// Entries that are made room for at once.
const ROOM: usize = 32;

struct RecentEntry {
    /// Microseconds since the entry before it; at most those of [`LONGEST`].
    after: u32,
    counts: [u16; 7],
}

/// The counts of the last five minutes.
#[derive(Default)]
pub(super) struct Recent {
    entries: VecDeque<RecentEntry>,
    /// Of the oldest and the newest entry; `None`: there are none.
    ends: Option<(Instant, Instant)>,
}

impl Recent {
    /// Closes a second, and forgets what is older than five minutes.
    pub(super) fn push(&mut self, now: Instant, mut counts: [u64; 7]) {
        self.forget(now);
        while counts.iter().any(|count| *count > 0) {
            let some = counts.map(|count| u16::try_from(count).unwrap_or(u16::MAX));
            counts.iter_mut().zip(some).for_each(|(count, some)| *count -= u64::from(some));
            let (oldest, newest) = self.ends.unwrap_or((now, now));
            // Cannot be cut off: an older one would have been forgotten.
            let after = now.saturating_duration_since(newest).as_micros() as u32;
            self.ends = Some((oldest, newest + Duration::from_micros(after.into())));
            if self.entries.len() == self.entries.capacity() {
                self.entries.reserve_exact(ROOM);
            }
            self.entries.push_back(RecentEntry { after, counts: some });
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((oldest, newest)) = self.ends
            && now.saturating_duration_since(oldest) >= LONGEST
        {
            self.entries.pop_front();
            let next = self.entries.front().map(|next| oldest + Duration::from_micros(next.after.into()));
            self.ends = next.map(|next| (next, newest));
        }
        if self.ends.is_none() {
            self.entries = VecDeque::new();
        }
    }

    /// The sums of what was counted less than `span` ago, at most five minutes.
    pub(super) fn within(&self, span: Duration, now: Instant) -> [u64; 7] {
        let mut sum = [0; 7];
        let Some((_, mut at)) = self.ends else { return sum };
        for entry in self.entries.iter().rev() {
            if now.saturating_duration_since(at) >= span {
                break;
            }
            sum.iter_mut().zip(entry.counts).for_each(|(sum, more)| *sum += u64::from(more));
            at = at.checked_sub(Duration::from_micros(entry.after.into())).unwrap_or(at);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::runtime::clock;

    proptest! {
        #[test]
        fn every_window_has_what_a_list_of_all_seconds_has(
            seconds in prop::collection::vec(
                (0_u64..40_000, prop_oneof![Just(0_u64), 0..9_u64, 60_000..200_000_u64]), 1..200),
            span in 0_u64..300
        ) {
            let (mut now, mut recent, mut all) = (clock::instant(), Recent::default(), Vec::new());
            let span = Duration::from_secs(span);
            for (millis, count) in seconds {
                now += Duration::from_millis(millis);
                let counts = [count, 0, count / 2, 0, 0, 0, 1];
                recent.push(now, counts);
                all.push((now, counts));
                let young = all.iter().filter(|(at, _)| now.saturating_duration_since(*at) < span);
                let sum = young.fold([0; 7], |mut sum: [u64; 7], (_, more)| {
                    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                    sum
                });
                prop_assert_eq!(recent.within(span, now), sum);
            }
        }
    }

    #[test]
    fn five_minutes_of_traffic_are_7_kib_and_five_without_it_nothing() {
        let (t0, mut recent) = (clock::instant(), Recent::default());
        let second = |n: u64| t0 + Duration::from_secs(n);
        (0..1_000).for_each(|n| recent.push(second(n), [30, 1, 0, 0, 0, 0, 0]));
        assert!(
            recent.entries.capacity() * size_of::<RecentEntry>() <= 7 << 10,
            "{}",
            recent.entries.capacity()
        );
        assert_eq!(recent.within(LONGEST, second(999)), [9_000, 300, 0, 0, 0, 0, 0]);
        recent.push(second(1_298), [0; 7]);
        assert_eq!(recent.within(LONGEST, second(1_298)), [30, 1, 0, 0, 0, 0, 0]);
        recent.push(second(1_299), [0; 7]);
        assert_eq!((recent.entries.len(), recent.entries.capacity()), (0, 0));
    }
}
