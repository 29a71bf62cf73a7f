//! Does the wall clock go along with the monotonic one?
//!
//! Moments are the monotonic clock plus an offset. The offset follows the wall clock: what a time server slews is followed in
//! silence, for it is smaller than the time between two looks; what is [`STEP`] or more is a step, and everything that
//! remembers a moment is moved by as much, so that spans stay what they were. Refuses to know what reads the clocks.
//!
//! # Invariants
//! * Without a step, moments of later looks are later.
//! * The steps and what was slewed add up to the difference of both clocks.

use std::time::Duration;

use crate::units::{At, Written as _};

/// What the wall clock moves against the monotonic one between two looks (a second apart) before it counts as a step: 1 s.
/// Time servers slew below 128 ms (ntpd) and step above; the slewing rate of Linux is at most 0.5 ms a second.
pub const STEP: Duration = Duration::from_secs(1);

/// What moved the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepCause {
    /// Somebody set it, or a virtual machine was resumed: what it said before was wrong, or nobody knows.
    Set,
    /// The machine slept: the monotonic clock stood still, the wall clock was right all the time.
    Slept,
}

/// One step of the wall clock against the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// Milliseconds; negative: the wall clock went back.
    pub by: i64,
    pub cause: StepCause,
}

impl ClockStep {
    /// A step of so many milliseconds; `slept`: how long the machine slept meanwhile.
    pub fn of(by: i64, slept: Duration) -> Self {
        let slept = i64::try_from(slept.as_millis()).unwrap_or(i64::MAX);
        let is_sleep = slept > 0 && (by - slept).unsigned_abs() < STEP.as_millis() as u64;
        Self { by, cause: if is_sleep { StepCause::Slept } else { StepCause::Set } }
    }

    /// Its length, whichever way it goes.
    pub fn length(self) -> Duration {
        Duration::from_millis(self.by.unsigned_abs())
    }

    /// Its length to the nearest second, as people write it: the two clocks are read one after the other.
    pub fn span(self) -> String {
        Duration::from_secs((self.length() + STEP / 2).as_secs()).write()
    }

    /// One line for people.
    pub fn describe(self) -> String {
        let length = self.span();
        match self.cause {
            StepCause::Slept => format!("the machine slept for {length}: nobody looked meanwhile"),
            StepCause::Set if self.by < 0 => format!(
                "the clock was set back by {length}: the lines before this one are by the clock before"
            ),
            StepCause::Set => format!(
                "the clock was set ahead by {length}: the lines before this one are by the clock before"
            ),
        }
    }
}

/// Follows the wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    /// Milliseconds by which the wall clock runs ahead of the start's plus what has passed.
    ahead: i64,
}

impl Steps {
    /// Milliseconds to add to the wall clock of the start plus what has passed since.
    pub fn ahead(self) -> i64 {
        self.ahead
    }

    /// One look: `wall` is what the wall clock says, `steady` the wall clock of the start plus what has passed since.
    /// Gives a step in milliseconds.
    pub fn look(&mut self, wall: At, steady: At) -> Option<i64> {
        let ahead = wall.0.saturating_sub(steady.0);
        let by = ahead.saturating_sub(self.ahead);
        self.ahead = ahead;
        (by.unsigned_abs() >= STEP.as_millis() as u64).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn what_is_slewed_is_followed_in_silence_and_what_is_set_is_a_step() {
        let mut steps = Steps::default();
        let mut wall = 0;
        for second in 0..10_000 {
            // Half a millisecond a second, as Linux slews; a second's look comes a little late now and then.
            wall = second * 1_000 + second / 2;
            assert_eq!(steps.look(At(wall), At(second * 1_000)), None);
            assert_eq!(steps.ahead(), second / 2);
        }
        assert_eq!(steps.look(At(wall + 1_000 - 2 * HOUR), At(10_000_000)), Some(-2 * HOUR));
        assert_eq!(steps.look(At(wall + 2_000 - 2 * HOUR), At(10_001_000)), None, "once");
    }

    #[test]
    fn a_sleep_is_told_from_a_clock_that_was_set() {
        let eight = Duration::from_secs(8 * 3_600);
        assert_eq!(ClockStep::of(8 * HOUR, eight).cause, StepCause::Slept);
        assert_eq!(ClockStep::of(8 * HOUR + 200, eight).cause, StepCause::Slept);
        assert_eq!(ClockStep::of(8 * HOUR, Duration::ZERO).cause, StepCause::Set);
        assert_eq!(ClockStep::of(-8 * HOUR, Duration::ZERO).cause, StepCause::Set);
        assert_eq!(
            ClockStep::of(6 * HOUR, eight).cause,
            StepCause::Set,
            "it slept, and was set back by two hours"
        );
        let told = ClockStep::of(-2 * HOUR, Duration::ZERO).describe();
        assert!(told.starts_with("the clock was set back by 2h:"), "{told}");
    }

    proptest! {
        #[test]
        fn steps_and_slews_add_up_and_moments_only_go_on(moves in prop::collection::vec((-2_500_i64..2_500, 1_000_i64..1_500), 1..100)) {
            let mut steps = Steps::default();
            let (mut wall, mut steady, mut stepped, mut last) = (0, 0, 0, 0);
            for (jump, passed) in moves {
                steady += passed;
                wall += passed + jump;
                let step = steps.look(At(wall), At(steady));
                stepped += step.unwrap_or(0);
                let now = steady + steps.ahead();
                prop_assert_eq!(now, wall);
                prop_assert!(now - step.unwrap_or(0) > last, "what is not a step goes on");
                last = now;
            }
            prop_assert!((wall - steady - stepped).abs() < 1_000 * 100);
        }
    }
}
