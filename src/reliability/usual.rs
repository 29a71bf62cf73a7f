//! How long does a route usually take to answer?
//!
//! The breaker tells a late probe by it ([`PermitRequest::usual`](super::breaker::PermitRequest)). It is the median time to
//! the first byte over the last five minutes, learnt only while the upstream is called as usual
//! ([`BreakerView::is_closed_by_evidence`](super::breaker::BreakerView::is_closed_by_evidence)): how fast it fails, or
//! answers a few probes, says nothing of that. Refuses to know how the median is kept.
//!
//! # Invariants
//! * Fewer than [`ENOUGH`] answers teach nothing: what was known stays.
//! * Each of a row of series learns in a turn of its own, so that one turn never has to read all of them.

use std::time::Duration;

/// Answers within five minutes that make a median: 20, a choice. Half of them are ten, so that one slow answer is not it.
pub const ENOUGH: u64 = 20;
/// Turns (one a second) between two looks at a series of which nothing is known.
const UNKNOWN: u64 = 10;
/// And of which something is.
const KNOWN: u64 = 60;

/// Is this the turn in which a series learns? `turn`: the turn's number plus the position of the series.
pub fn is_due(known: Option<Duration>, turn: u64) -> bool {
    turn.is_multiple_of(if known.is_some() { KNOWN } else { UNKNOWN })
}

/// What is known after a look at `answers` of five minutes. `median` is only asked for when it counts.
pub fn learn(known: Option<Duration>, answers: u64, median: impl FnOnce() -> Duration) -> Option<Duration> {
    if answers < ENOUGH { known } else { Some(median()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_answers_do_not_change_what_is_usual() {
        let (known, slow) = (Some(Duration::from_millis(80)), || Duration::from_secs(4));
        assert_eq!(learn(known, 19, slow), known);
        assert_eq!(learn(None, 19, slow), None);
        assert_eq!(learn(known, 20, slow), Some(Duration::from_secs(4)));
    }

    proptest! {
        #[test]
        fn a_series_learns_once_in_every_row_of_turns(from in 0_u64..1_000_000, known: bool) {
            let (known, row) = if known { (Some(Duration::from_millis(1)), 60) } else { (None, 10) };
            prop_assert_eq!((from..from + row).filter(|turn| is_due(known, *turn)).count(), 1);
        }

        #[test]
        fn what_is_known_is_never_forgotten(looks in prop::collection::vec((0_u64..60, 1_u64..5_000), 1..40)) {
            let mut known = None;
            for (answers, millis) in looks {
                let median = Duration::from_millis(millis);
                let next = learn(known, answers, || median);
                prop_assert_eq!(next, if answers >= ENOUGH { Some(median) } else { known });
                known = next;
            }
        }
    }
}
