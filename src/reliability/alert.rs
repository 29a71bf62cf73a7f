//! One rule about one thing: is it the matter, and for how long?
//!
//! ```text
//!           bad                  ripe, and bad for `confirm`
//!   Quiet ───────▶ Pending ────────────────────────────────▶ Firing
//!     ▲               │ good for `forget`                      │
//!     └───────────────┴──────── good for `clear_after` ────────┘
//! ```
//!
//! What is between good and bad changes nothing (hysteresis), and what cannot be seen freezes everything: unmeasured time
//! is not good time, and does not count towards it. A relapse while it calms down is a flap; every third one doubles the good time that is asked for (up
//! to fourfold), so that something that flaps stays one incident.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::At;

/// What the evidence says at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    Bad,
    /// Not bad, and not as far from the threshold as good is (for shares of replies, half
    /// of it; for resources, `margin`).
    Between,
    /// Far enough below the threshold to count as over.
    Good,
    /// Not observable, or nothing to judge by.
    Blind,
}

/// When an alert moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertPolicy {
    /// Bad for this long since it was suspected: confirmed, once ripe.
    pub confirm: Duration,
    /// Good for this long: over. 2 min by default.
    pub clear_after: Duration,
    /// Good for this long before it was confirmed: never mind.
    pub forget: Duration,
}

impl Default for AlertPolicy {
    fn default() -> Self {
        Self {
            confirm: Duration::ZERO,
            clear_after: Duration::from_secs(120),
            forget: Duration::from_secs(10),
        }
    }
}

/// What one look brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertLook {
    /// What the evidence says.
    pub sign: Sign,
    /// Has the evidence what the rule asks for before anybody is called?
    pub ripe: bool,
    /// When it went bad, if the evidence knows better than the time of the look.
    pub first_bad: Option<At>,
    /// Was there something to see in the last seconds, and was it well? Longer windows may still prove what was before.
    pub well_now: bool,
}

/// The state of one alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing is the matter.
    Quiet,
    /// Suspected: bad, and nobody has been called.
    Pending {
        /// When it was suspected.
        since: At,
        /// Since when it has been good; `None`: it was bad at the last sight.
        good_since: Option<At>,
    },
    /// Confirmed: somebody may be called.
    Firing {
        /// When it was confirmed.
        since: At,
        /// Since when it has been good; `None`: it was bad at the last sight.
        good_since: Option<At>,
    },
}

/// A change of the phase, or of its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertMove {
    Suspected,
    Confirmed,
    /// Pending → quiet: never mind.
    Cleared,
    /// Firing, and good for the first time.
    Calming,
    /// Firing, and bad again.
    Relapsed,
    /// Firing → quiet: the condition has ended.
    Over,
}

/// One rule about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alert {
    pub phase: Phase,
    /// When it went bad, this time.
    pub first_bad: Option<At>,
    /// When it was good again, this time.
    pub recovered: Option<At>,
    /// Relapses since it was suspected.
    pub flaps: u32,
    /// Since when nothing has been seen of it; `None`: the last look saw something.
    pub unseen: Option<At>,
    /// How much of the good time was not seen.
    hidden: Duration,
    /// The last seconds were seen, and were well.
    #[serde(skip)]
    well_now: bool,
}

impl Default for Alert {
    fn default() -> Self {
        Self {
            phase: Phase::Quiet,
            first_bad: None,
            recovered: None,
            flaps: 0,
            unseen: None,
            hidden: Duration::ZERO,
            well_now: false,
        }
    }
}

impl Alert {
    /// Firing since `since`: how it is found again after a restart, when nobody knows yet whether it is over.
    pub fn firing(first_bad: At, since: At, flaps: u32) -> Self {
        let phase = Phase::Firing { since, good_since: None };
        Self { phase, first_bad: Some(first_bad), flaps, ..Self::default() }
    }

    /// Pending since `since`, in the same way.
    pub fn pending(first_bad: At, since: At) -> Self {
        let phase = Phase::Pending { since, good_since: None };
        Self { phase, first_bad: Some(first_bad), ..Self::default() }
    }

    /// Suspected or confirmed: not quiet.
    pub fn is_live(&self) -> bool {
        self.phase != Phase::Quiet
    }

    /// Confirmed, and not yet over.
    pub fn is_firing(&self) -> bool {
        matches!(self.phase, Phase::Firing { .. })
    }

    /// Live, and nothing that was seen says that it is getting better.
    pub fn holds(&self) -> bool {
        self.is_live() && self.good_since().is_none()
    }

    /// It holds, and the last seconds do not say otherwise.
    pub fn goes_on(&self) -> bool {
        self.holds() && !self.well_now
    }

    /// Since when it has been good, while it is live.
    pub fn good_since(&self) -> Option<At> {
        match self.phase {
            Phase::Quiet => None,
            Phase::Pending { good_since, .. } | Phase::Firing { good_since, .. } => good_since,
        }
    }

    /// Its moments by a clock that runs `millis` ahead of the one before.
    pub fn shift(&mut self, millis: i64) {
        let (since, good_since) = match &mut self.phase {
            Phase::Quiet => (None, None),
            Phase::Pending { since, good_since } | Phase::Firing { since, good_since } => {
                (Some(since), good_since.as_mut())
            }
        };
        let own = [self.first_bad.as_mut(), self.recovered.as_mut(), since, good_since];
        for at in own.into_iter().flatten() {
            *at = at.moved(millis);
        }
    }

    /// One look at the evidence.
    pub fn look(&mut self, policy: &AlertPolicy, look: AlertLook, now: At) -> Option<AlertMove> {
        self.see(look.sign, now);
        let hidden = self.hidden;
        let needed = policy.clear_after * (1 << (self.flaps / 3).min(2)) + hidden;
        let moved = match (&mut self.phase, look.sign) {
            (_, Sign::Blind) | (Phase::Quiet, Sign::Good | Sign::Between) => None,
            (Phase::Quiet, Sign::Bad) => {
                let first_bad = look.first_bad.map_or(now, |first| first.min(now));
                *self = Self::pending(first_bad, now);
                Some(AlertMove::Suspected)
            }
            (Phase::Pending { since, good_since }, Sign::Bad) => {
                *good_since = None;
                let confirmed = look.ripe && now.since(*since) >= policy.confirm;
                confirmed.then(|| {
                    self.phase = Phase::Firing { since: now, good_since: None };
                    AlertMove::Confirmed
                })
            }
            (Phase::Pending { good_since, .. } | Phase::Firing { good_since, .. }, Sign::Between) => {
                *good_since = None;
                None
            }
            (Phase::Pending { good_since, .. }, Sign::Good) => {
                let since = *good_since.get_or_insert(now);
                (now.since(since) >= policy.forget + hidden).then(|| self.quiet(since, AlertMove::Cleared))
            }
            (Phase::Firing { good_since, .. }, Sign::Bad) => good_since.take().map(|_| {
                self.flaps = self.flaps.saturating_add(1);
                AlertMove::Relapsed
            }),
            (Phase::Firing { good_since: good_since @ None, .. }, Sign::Good) => {
                *good_since = Some(now);
                Some(AlertMove::Calming)
            }
            (Phase::Firing { good_since: Some(since), .. }, Sign::Good) => {
                let since = *since;
                (now.since(since) >= needed).then(|| self.quiet(since, AlertMove::Over))
            }
        };
        self.well_now = look.well_now;
        self.check_invariants();
        moved
    }

    /// Keeps what of the good time was not seen.
    fn see(&mut self, sign: Sign, now: At) {
        if sign == Sign::Blind {
            if self.is_live() {
                self.unseen.get_or_insert(now);
            }
            return;
        }
        let unseen = self.unseen.take().map_or(Duration::ZERO, |since| now.since(since));
        self.hidden = if self.good_since().is_some() { self.hidden + unseen } else { Duration::ZERO };
    }

    fn quiet(&mut self, recovered: At, moved: AlertMove) -> AlertMove {
        self.phase = Phase::Quiet;
        (self.unseen, self.hidden) = (None, Duration::ZERO);
        self.recovered = Some(recovered);
        self.flaps = 0;
        moved
    }

    /// An operator says that it is over: quiet until the evidence says otherwise.
    pub fn dismiss(&mut self, now: At) {
        self.quiet(now, AlertMove::Over);
    }

    /// Asserts, in debug builds, what holds of every alert.
    pub fn check_invariants(&self) {
        debug_assert!(
            !self.is_live() || self.first_bad.is_some(),
            "a live alert went bad some time: {self:?}"
        );
        debug_assert!(self.is_live() || self.flaps == 0, "a quiet alert does not flap: {self:?}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: AlertPolicy = AlertPolicy {
        confirm: Duration::from_secs(30),
        clear_after: Duration::from_secs(120),
        forget: Duration::from_secs(10),
    };

    fn at(second: i64) -> At {
        At(second * 1_000)
    }

    fn look(sign: Sign) -> AlertLook {
        AlertLook { sign, ripe: true, first_bad: None, well_now: false }
    }

    fn run(alert: &mut Alert, sign: Sign, seconds: std::ops::Range<i64>) -> Vec<(i64, AlertMove)> {
        seconds.filter_map(|s| alert.look(&POLICY, look(sign), at(s)).map(|moved| (s, moved))).collect()
    }

    #[test]
    fn it_is_suspected_at_once_confirmed_after_a_while_and_over_after_two_good_minutes() {
        let mut alert = Alert::default();
        assert_eq!(
            run(&mut alert, Sign::Bad, 0..100),
            [(0, AlertMove::Suspected), (30, AlertMove::Confirmed)]
        );
        assert_eq!(
            run(&mut alert, Sign::Good, 100..300),
            [(100, AlertMove::Calming), (220, AlertMove::Over)]
        );
        assert_eq!(alert.recovered, Some(at(100)));
    }

    #[test]
    fn what_was_never_confirmed_is_forgotten() {
        let mut alert = Alert::default();
        assert_eq!(run(&mut alert, Sign::Bad, 0..20), [(0, AlertMove::Suspected)]);
        assert_eq!(run(&mut alert, Sign::Good, 20..60), [(30, AlertMove::Cleared)]);
    }

    #[test]
    fn what_is_well_now_holds_and_does_not_go_on() {
        let mut alert = Alert::default();
        let look = |well_now| AlertLook { sign: Sign::Bad, ripe: true, first_bad: None, well_now };
        alert.look(&POLICY, look(false), at(0));
        assert!(alert.holds() && alert.goes_on());
        alert.look(&POLICY, look(true), at(1));
        assert!(alert.holds() && !alert.goes_on());
        alert.look(&POLICY, look(false), at(2));
        assert!(alert.goes_on(), "it has come back");
    }

    #[test]
    fn what_is_not_ripe_is_not_confirmed() {
        let mut alert = Alert::default();
        for second in 0..1_000 {
            alert.look(
                &POLICY,
                AlertLook { sign: Sign::Bad, ripe: false, first_bad: None, well_now: false },
                at(second),
            );
        }
        assert!(alert.is_live() && !alert.is_firing());
    }

    #[test]
    fn what_cannot_be_seen_freezes_it() {
        let mut alert = Alert::default();
        run(&mut alert, Sign::Bad, 0..60);
        assert_eq!(run(&mut alert, Sign::Blind, 60..10_000), []);
        assert!(alert.holds());
    }

    #[test]
    fn what_was_not_seen_is_no_good_time() {
        let mut alert = Alert::default();
        run(&mut alert, Sign::Bad, 0..60);
        run(&mut alert, Sign::Good, 60..100);
        assert_eq!(run(&mut alert, Sign::Blind, 100..1_000), []);
        assert_eq!(alert.unseen, Some(at(100)));
        assert_eq!(run(&mut alert, Sign::Good, 1_000..1_200).last(), Some(&(1_080, AlertMove::Over)));
        assert_eq!(alert.recovered, Some(at(60)), "when it was seen to be good again");
    }

    #[test]
    fn between_the_thresholds_nothing_is_over() {
        let mut alert = Alert::default();
        run(&mut alert, Sign::Bad, 0..60);
        run(&mut alert, Sign::Good, 60..100);
        assert_eq!(run(&mut alert, Sign::Between, 100..1_000), []);
        assert_eq!(run(&mut alert, Sign::Good, 1_000..1_200).last(), Some(&(1_120, AlertMove::Over)));
    }

    #[test]
    fn a_flapping_one_is_asked_for_a_longer_peace() {
        let mut alert = Alert::default();
        run(&mut alert, Sign::Bad, 0..60);
        let mut second = 60;
        for _ in 0..3 {
            assert_eq!(run(&mut alert, Sign::Good, second..second + 60), [(second, AlertMove::Calming)]);
            assert_eq!(
                run(&mut alert, Sign::Bad, second + 60..second + 61),
                [(second + 60, AlertMove::Relapsed)]
            );
            second += 61;
        }
        let moves = run(&mut alert, Sign::Good, second..second + 500);
        assert_eq!(moves.last(), Some(&(second + 240, AlertMove::Over)));
    }

    proptest! {
        #[test]
        fn moves_come_in_an_order_that_makes_sense(signs in prop::collection::vec((0_u8..4, 1_i64..60, any::<bool>()), 1..200)) {
            let mut alert = Alert::default();
            let (mut second, mut live, mut firing, mut calm) = (0, false, false, false);
            for (sign, gap, ripe) in signs {
                second += gap;
                let sign = [Sign::Bad, Sign::Between, Sign::Good, Sign::Blind][usize::from(sign)];
                match alert.look(&POLICY, AlertLook { sign, ripe, first_bad: None, well_now: false }, at(second)) {
                    None => {}
                    Some(AlertMove::Suspected) => { prop_assert!(!live); live = true; }
                    Some(AlertMove::Confirmed) => { prop_assert!(live && !firing && sign == Sign::Bad); firing = true; calm = false; }
                    Some(AlertMove::Cleared) => { prop_assert!(live && !firing); live = false; }
                    Some(AlertMove::Calming) => { prop_assert!(firing && sign == Sign::Good); calm = true; }
                    Some(AlertMove::Relapsed) => { prop_assert!(firing && calm && sign == Sign::Bad); calm = false; }
                    Some(AlertMove::Over) => { prop_assert!(firing && calm); (live, firing, calm) = (false, false, false); }
                }
                prop_assert_eq!((alert.is_live(), alert.is_firing()), (live, firing));
            }
        }
    }
}
