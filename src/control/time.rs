//! The time of incidents: the monotonic clock and an offset that follows the wall clock.
//!
//! One task follows it ([`Control::follow`](super::Control)); those who only ask read the offset that was followed last, so that all agree.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::reliability::alert::Sign;
use crate::reliability::readings::Reported;
use crate::reliability::rule::Severity;
use crate::reliability::steps::{ClockStep, StepCause, Steps};
use crate::runtime::clock::{self, Moment};
use crate::store::rows::millis;
use crate::units::At;

/// A clock that was set by less than this is a line on timelines and in the log; from then on it is an incident as well. Signed
/// messages are refused at five minutes, and a time server that is heard keeps a clock within milliseconds.
const GRAVE: Duration = Duration::from_secs(60);
/// How long a step is told, once it has been made.
const TOLD: Duration = Duration::from_secs(600);

/// Moments as incidents have them.
#[derive(Debug)]
pub(super) struct Time {
    start: Moment,
    /// Milliseconds by which the wall clock runs ahead of `start` and what has passed since.
    ahead: AtomicI64,
}

impl Time {
    pub(super) fn new(start: Moment) -> Arc<Self> {
        Arc::new(Self { start, ahead: AtomicI64::new(0) })
    }

    /// The wall clock of the start and what has passed since: it never jumps, and is for spans alone.
    pub(super) fn steady(&self, moment: Moment) -> At {
        At(millis(self.start.wall)) + moment.instant.saturating_duration_since(self.start.instant)
    }

    /// The moment as incidents tell it.
    pub(super) fn at(&self, moment: Moment) -> At {
        self.steady(moment).moved(self.ahead())
    }

    /// What to add to [`Self::steady`].
    pub(super) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }
}

/// Follows the wall clock and tells its steps.
#[derive(Debug)]
pub(super) struct Follower {
    steps: Steps,
    /// The monotonic clock and the uptime, when they were last compared.
    compared: (Instant, Option<Duration>),
    /// The last step that somebody should know of.
    grave: Option<(At, ClockStep)>,
}

impl Follower {
    pub(super) fn new(start: Moment) -> Self {
        Self { steps: Steps::default(), compared: (start.instant, clock::uptime()), grave: None }
    }

    pub(super) fn look(&mut self, time: &Time, moment: Moment) -> Option<ClockStep> {
        let by = self.steps.look(At(millis(moment.wall)), time.steady(moment));
        time.ahead.store(self.steps.ahead(), Ordering::Relaxed);
        let by = by?;
        let now = (moment.instant, clock::uptime());
        let step = ClockStep::of(by, clock::slept(self.compared, now));
        self.compared = now;
        if step.cause == StepCause::Set && step.length() >= GRAVE {
            self.grave = Some((time.at(moment), step));
        }
        Some(step)
    }

    /// That the clock was set is told for a while.
    pub(super) fn condition(&self, now: At) -> Reported {
        let lately = self.grave.filter(|(at, _)| now.since(*at) < TOLD);
        let (way, span) = lately.map_or(("", String::new()), |(_, step)| {
            (if step.by < 0 { "back" } else { "ahead" }, step.span())
        });
        let facts = [
            ("by", format!("{way} by {span}")),
            (
                "what_to_do",
                "see that a time server is heard (chronyc tracking, timedatectl): tokens, certificates and \
                 signatures depend on the clock"
                    .to_owned(),
            ),
        ];
        Reported {
            service: Arc::from("clock"),
            scope: Arc::from("step"),
            sign: if lately.is_some() { Sign::Bad } else { Sign::Good },
            severity: Severity::Low,
            first_bad: lately.map(|(at, _)| at),
            confirm: Duration::ZERO,
            title: format!("the clock of this machine was set {way} by {span}"),
            evidence: facts.map(|(name, value)| (name.to_owned(), value)).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn moments_follow_the_wall_clock_and_a_step_is_told_for_a_while() {
        let start = clock::now();
        let (time, mut follower) = (Time::new(start), Follower::new(start));
        let passed = |seconds: u64| start.instant + Duration::from_secs(seconds);
        let second = Duration::from_secs(1);
        let slewed = Moment { instant: passed(1), wall: start.wall + second + Duration::from_millis(40) };
        assert_eq!(follower.look(&time, slewed), None);
        assert_eq!(time.at(slewed), At(millis(slewed.wall)));
        assert_eq!(follower.condition(time.at(slewed)).sign, Sign::Good);
        // The start was two hours ahead, and a time server has been heard.
        let set = Moment { instant: passed(2), wall: start.wall + second * 2 - HOUR * 2 };
        let step = follower.look(&time, set).expect("a step");
        assert_eq!((step.cause, step.length().as_secs()), (StepCause::Set, 2 * 3_600));
        assert_eq!(time.at(set), At(millis(set.wall)), "what is told from now on is not in the future");
        assert_eq!(time.steady(set), At(millis(start.wall)) + second * 2, "spans are");
        let told = follower.condition(time.at(set));
        assert_eq!(
            (told.sign, told.severity, told.first_bad),
            (Sign::Bad, Severity::Low, Some(time.at(set)))
        );
        assert_eq!(told.title, "the clock of this machine was set back by 2h");
        let later = Moment { instant: passed(700), wall: set.wall + second * 698 };
        assert_eq!(follower.look(&time, later), None, "once");
        assert_eq!(follower.condition(time.at(later)).sign, Sign::Good);
    }

    #[test]
    fn a_step_of_seconds_is_no_incident() {
        let start = clock::now();
        let (time, mut follower) = (Time::new(start), Follower::new(start));
        let second = Duration::from_secs(1);
        let set = Moment { instant: start.instant + second, wall: start.wall + second * 6 };
        assert!(follower.look(&time, set).is_some());
        assert_eq!(follower.condition(time.at(set)).sign, Sign::Good);
    }
}
