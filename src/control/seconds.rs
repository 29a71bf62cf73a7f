//! Seconds of the ledger as counters: good ones and measured ones since the start, by subject.
//!
//! A death is known at its third failure and began at its first, so the ledger marks seconds again for as long as
//! their minute is open. A counter must not fall: it waits until the seconds that follow have caught up. In the end
//! both say the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::reliability::ledger::{Minute, Report};
use crate::units::At;

/// Good seconds and measured seconds.
type SecondsPair = (u64, u64);

#[derive(Debug, Default)]
struct SubjectSeconds {
    closed: SecondsPair,
    open: BTreeMap<i64, SecondsPair>,
    shown: SecondsPair,
}

/// The counters of all subjects, by name.
#[derive(Debug, Default)]
pub(super) struct GoodSeconds(BTreeMap<Arc<str>, SubjectSeconds>);

impl GoodSeconds {
    /// Takes in the open minutes, as they are now; those that are no longer among them are closed.
    pub(super) fn turn(&mut self, open: &[Minute]) {
        for counted in self.0.values_mut() {
            let gone = counted.open.extract_if(.., |minute, _| !open.iter().any(|one| one.minute == *minute));
            for (_, (good, measured)) in gone {
                counted.closed.0 += good;
                counted.closed.1 += measured;
            }
        }
        for minute in open {
            let counted = self.0.entry(Arc::clone(&minute.subject)).or_default();
            let start = minute.minute * 60_000;
            let report = Report::of([minute], At(start), At(start + 60_000));
            counted.open.insert(minute.minute, (report.up + report.degraded, report.measured()));
        }
        for counted in self.0.values_mut() {
            let sum =
                counted.open.values().fold(counted.closed, |sum, more| (sum.0 + more.0, sum.1 + more.1));
            counted.shown = (counted.shown.0.max(sum.0), counted.shown.1.max(sum.1));
        }
    }

    /// Good and measured seconds since the start.
    pub(super) fn totals(&self) -> BTreeMap<Arc<str>, SecondsPair> {
        self.0.iter().map(|(subject, counted)| (Arc::clone(subject), counted.shown)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reliability::counts::Counts;
    use crate::reliability::ledger::{Ledger, Slice};

    #[test]
    fn a_counter_never_falls_and_says_what_the_ledger_says_in_the_end() {
        let mut ledger = Ledger::new(Arc::from("db"), Arc::from("boot"));
        let mut seconds = GoodSeconds::default();
        let mut before = (0, 0);
        let start = 30_000_000 * 60;
        for second in 0..400 {
            let now = At((start + second) * 1_000);
            let slice = match second {
                100..130 => Slice::Down,
                200..220 => Slice::Maintenance,
                _ => Slice::Up,
            };
            ledger.mark(slice, Counts::default(), now);
            if second == 100 {
                ledger.amend(start + 90, start + 100, Slice::Down);
            }
            seconds.turn(&ledger.flush());
            let now = seconds.totals()["db"];
            assert!(now.0 >= before.0 && now.1 >= before.1, "{now:?} after {before:?}");
            before = now;
        }
        assert_eq!(before, (400 - 30 - 10 - 20, 400 - 20));
    }
}
