//! Rise and fall: how many checks in a row decide whether an endpoint is there.
//!
//! A single check decides nothing unless the policy says one; a check of the other kind begins the row anew. The names
//! are HAProxy's (`rise`, `fall`).

use std::time::Duration;

/// What a check of an endpoint, or a round of them over all endpoints of an upstream, found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The endpoint is well; of a round: at least one is.
    Passed,
    /// It is not; of a round: none is.
    Failed,
}

impl<T, E> From<&Result<T, E>> for Check {
    fn from(checked: &Result<T, E>) -> Self {
        if checked.is_ok() { Self::Passed } else { Self::Failed }
    }
}

/// What one check of a round found; a round is all endpoints of an upstream, checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The endpoint passed or failed.
    Endpoint(Check),
    /// This side lacked something (a descriptor, a route): no word about the endpoint.
    Unseen,
}

/// A round of checks, as far as it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    found: Option<Check>,
    suspect: bool,
}

impl Round {
    /// One more endpoint was checked.
    pub fn note(&mut self, checked: Checked) {
        match checked {
            Checked::Endpoint(Check::Passed) => self.found = Some(Check::Passed),
            Checked::Endpoint(Check::Failed) => self.found = self.found.or(Some(Check::Failed)),
            Checked::Unseen => self.suspect = true,
        }
    }

    /// Something is not as it should be: the next round comes sooner.
    pub fn suspect(&mut self) {
        self.suspect = true;
    }

    /// What the breaker learns of it: passed when one endpoint did; `None` when nothing was seen of any.
    pub fn found(self) -> Option<Check> {
        self.found
    }

    /// How long until the next one: `interval`, or `suspect_interval` when something was not as it should be.
    pub fn wait(self, interval: Duration, suspect_interval: Duration) -> Duration {
        if self.suspect { suspect_interval } else { interval }
    }
}

/// The checks in a row of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiseFall {
    good: u32,
    bad: u32,
}

impl RiseFall {
    /// After one more check; `Some` when that decides: `fall` bad ones in a row, or `rise` good ones.
    pub fn checked(&mut self, check: Check, fall: u32, rise: u32) -> Option<Check> {
        let (row, needed) = match check {
            Check::Passed => {
                (self.good, self.bad) = (self.good.saturating_add(1), 0);
                (self.good, rise)
            }
            Check::Failed => {
                (self.good, self.bad) = (0, self.bad.saturating_add(1));
                (self.bad, fall)
            }
        };
        (row >= needed).then_some(check)
    }

    /// Is the last check bad? The next one is made sooner, whether they are enough or not.
    pub fn is_suspect(&self) -> bool {
        self.bad > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_bad_check_is_a_suspicion_and_three_are_a_verdict() {
        let mut row = RiseFall::default();
        assert_eq!(row.checked(Check::Failed, 3, 2), None);
        assert!(row.is_suspect());
        assert_eq!(row.checked(Check::Failed, 3, 2), None);
        assert_eq!(row.checked(Check::Failed, 3, 2), Some(Check::Failed));
        assert_eq!(row.checked(Check::Passed, 3, 2), None);
        assert_eq!(row.checked(Check::Passed, 3, 2), Some(Check::Passed));
    }

    proptest! {
        #[test]
        fn a_round_is_passed_by_one_endpoint_and_what_was_not_seen_only_hurries(
            checks in proptest::collection::vec(
                prop_oneof![
                    Just(Checked::Endpoint(Check::Passed)),
                    Just(Checked::Endpoint(Check::Failed)),
                    Just(Checked::Unseen),
                ],
                0..12,
            ),
        ) {
            let mut round = Round::default();
            checks.iter().for_each(|checked| round.note(*checked));
            let found = if checks.contains(&Checked::Endpoint(Check::Passed)) {
                Some(Check::Passed)
            } else {
                checks.contains(&Checked::Endpoint(Check::Failed)).then_some(Check::Failed)
            };
            prop_assert_eq!(round.found(), found);
            let (slow, fast) = (Duration::from_secs(10), Duration::from_secs(1));
            let wait = if checks.contains(&Checked::Unseen) { fast } else { slow };
            prop_assert_eq!(round.wait(slow, fast), wait);
        }

        #[test]
        fn a_decision_is_what_the_last_checks_all_say(
            checks in proptest::collection::vec(prop_oneof![Just(Check::Passed), Just(Check::Failed)], 1..40),
            fall in 1_u32..5,
            rise in 1_u32..5,
        ) {
            let mut row = RiseFall::default();
            for (at, check) in checks.iter().enumerate() {
                let decided = row.checked(*check, fall, rise);
                let same = checks[..=at].iter().rev().take_while(|one| *one == check).count();
                let needed = if *check == Check::Passed { rise } else { fall } as usize;
                prop_assert_eq!(decided, (same >= needed).then_some(*check));
                prop_assert_eq!(row.is_suspect(), *check == Check::Failed);
            }
        }
    }
}
