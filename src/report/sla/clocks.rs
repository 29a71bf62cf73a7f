//! How long it took: medians and 90th percentiles over incidents, with how many there were.

use std::time::Duration;

use serde::Serialize;

use crate::reliability::incident::Incident;
use crate::reliability::rule::Rule;

/// Spans of time, summed up. Of nothing all is null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// How many spans there are.
    pub n: usize,
    /// Half took no longer: the middle one, or the mean of the two in the middle.
    pub median_seconds: Option<f64>,
    /// Nine of ten took no longer: the smallest that at least 90 % do not exceed.
    pub p90_seconds: Option<f64>,
    /// The mean, as MTTD, MTTA and MTTR are usually meant.
    pub mean_seconds: Option<f64>,
}

impl Spread {
    /// Sums up these spans.
    pub fn of(spans: impl IntoIterator<Item = Duration>) -> Self {
        let mut millis: Vec<u64> =
            spans.into_iter().map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)).collect();
        millis.sort_unstable();
        let n = millis.len();
        let nth = |rank: usize| millis.get(rank).map(|millis| *millis as f64 / 1_000.0);
        let middle = nth(n.saturating_sub(1) / 2).zip(nth(n / 2));
        Self {
            n,
            median_seconds: middle.map(|(low, high)| f64::midpoint(low, high)),
            p90_seconds: nth((n * 9).div_ceil(10).saturating_sub(1)),
            mean_seconds: (n > 0).then(|| millis.iter().sum::<u64>() as f64 / 1_000.0 / n as f64),
        }
    }
}

/// The clocks of confirmed incidents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct IncidentClocks {
    /// First bad event to suspected (MTTD); not of those that a person opened.
    pub detect: Spread,
    /// First bad event to confirmed; not of those that a person opened.
    pub confirm: Spread,
    /// Confirmed to taken by a person (MTTA); of those that were taken.
    pub acknowledge: Spread,
    /// First bad event to the end of the condition (MTTR); of those that are over.
    pub recover: Spread,
    /// The same, of those that nobody took and nobody ended.
    pub recover_alone: Spread,
    /// The same, of those that a person took or ended.
    pub recover_with_people: Spread,
}

impl IncidentClocks {
    /// The clocks of confirmed incidents.
    pub fn of(confirmed: &[&Incident]) -> Self {
        let found = || confirmed.iter().filter(|one| one.key.rule != Rule::Manual);
        let recovered = |by_people: bool| {
            let such = confirmed.iter().filter(move |one| one.had_people() == by_people);
            Spread::of(such.filter_map(|one| one.clocks.to_recover()))
        };
        Self {
            detect: Spread::of(found().map(|one| one.clocks.to_suspect())),
            confirm: Spread::of(found().filter_map(|one| one.clocks.to_confirm())),
            acknowledge: Spread::of(confirmed.iter().filter_map(|one| one.clocks.to_acknowledge())),
            recover: Spread::of(confirmed.iter().filter_map(|one| one.clocks.to_recover())),
            recover_alone: recovered(false),
            recover_with_people: recovered(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spread(seconds: &[u64]) -> (Option<f64>, Option<f64>, Option<f64>) {
        let spread = Spread::of(seconds.iter().map(|seconds| Duration::from_secs(*seconds)));
        assert_eq!(spread.n, seconds.len());
        (spread.median_seconds, spread.p90_seconds, spread.mean_seconds)
    }

    #[test]
    fn the_middle_and_the_ninth_of_ten_are_what_they_are_by_hand() {
        assert_eq!(spread(&[]), (None, None, None));
        assert_eq!(spread(&[7]), (Some(7.0), Some(7.0), Some(7.0)));
        assert_eq!(spread(&[9, 1, 2]), (Some(2.0), Some(9.0), Some(4.0)));
        assert_eq!(spread(&[4, 1, 2, 3]), (Some(2.5), Some(4.0), Some(2.5)));
        assert_eq!(spread(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 100]), (Some(5.5), Some(9.0), Some(14.5)));
    }

    proptest! {
        #[test]
        fn the_median_is_between_the_least_and_the_p90(seconds in proptest::collection::vec(0_u64..100_000, 1..60)) {
            let (median, p90, mean) = spread(&seconds);
            let (least, most) = (*seconds.iter().min().expect("some") as f64, *seconds.iter().max().expect("some") as f64);
            let (median, p90, mean) = (median.expect("some"), p90.expect("some"), mean.expect("some"));
            prop_assert!(least <= median && median <= p90 && p90 <= most && least <= mean && mean <= most);
        }
    }
}
