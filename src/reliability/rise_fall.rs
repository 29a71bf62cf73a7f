//! Rise and fall: how many checks in a row decide whether an endpoint is there.
//!
//! A single check decides nothing unless the policy says one; a check of the other kind begins the row anew. The names are
//! HAProxy's (`rise`, `fall`).

/// The checks in a row of one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RiseFall {
    good: u32,
    bad: u32,
}

impl RiseFall {
    /// After one more check; `Some` when that decides: `fall` bad ones in a row, or `rise` good ones.
    pub fn checked(&mut self, passed: bool, fall: u32, rise: u32) -> Option<bool> {
        if passed {
            (self.good, self.bad) = (self.good.saturating_add(1), 0);
            (self.good >= rise).then_some(true)
        } else {
            (self.good, self.bad) = (0, self.bad.saturating_add(1));
            (self.bad >= fall).then_some(false)
        }
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
        assert_eq!(row.checked(false, 3, 2), None);
        assert!(row.is_suspect());
        assert_eq!(row.checked(false, 3, 2), None);
        assert_eq!(row.checked(false, 3, 2), Some(false));
        assert_eq!(row.checked(true, 3, 2), None);
        assert_eq!(row.checked(true, 3, 2), Some(true));
    }

    proptest! {
        #[test]
        fn a_decision_is_what_the_last_checks_all_say(
            checks in proptest::collection::vec(any::<bool>(), 1..40),
            fall in 1_u32..5,
            rise in 1_u32..5,
        ) {
            let mut row = RiseFall::default();
            for (at, passed) in checks.iter().enumerate() {
                let decided = row.checked(*passed, fall, rise);
                let same = checks[..=at].iter().rev().take_while(|one| *one == passed).count();
                let needed = if *passed { rise } else { fall } as usize;
                prop_assert_eq!(decided, (same >= needed).then_some(*passed));
                prop_assert_eq!(row.is_suspect(), !passed);
            }
        }
    }
}
