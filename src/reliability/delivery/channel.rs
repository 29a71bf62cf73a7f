//! How a way to tell people has been of late: whether it is held, and whether it fails.

use std::time::Duration;

use super::schedule::hold;
use super::{AttemptResult, Whose, later};

/// A hold that lasts longer than this is no wait for somebody who is to be woken: another way is tried beside it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Failures in a row after which another way is tried beside it.
const FAILURES: u32 = 2;

/// One channel. Moments are milliseconds of a clock that never jumps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelHealth {
    /// Failures in a row that were the channel's, not one message's.
    failures: u32,
    /// Nothing is sent before this moment, for it is probably still away.
    until: u64,
    /// Nothing is sent before this moment, for the receiver said so.
    asked: u64,
    /// Since when every attempt has failed, whoever was to blame; `None`: the last one went well, or there was none.
    failing_since: Option<u64>,
}

impl ChannelHealth {
    /// An attempt over it ended at `now`; `chance` is any number. Whether it is back: what waits for it need wait no longer.
    pub fn heard(&mut self, came: &AttemptResult, now: u64, chance: u64) -> Back {
        match came {
            AttemptResult::Delivered { .. } => {
                let was_away = self.failures > 0;
                // What it asked for it asked for, also if something came through that was on its way.
                *self = Self { asked: self.asked, ..Self::default() };
                if was_away { Back::Yes } else { Back::No }
            }
            AttemptResult::Refused => {
                // It was there to say so.
                (self.failures, self.until) = (0, 0);
                self.failing_since.get_or_insert(now);
                Back::No
            }
            AttemptResult::Failed { whose: Whose::Message, .. } => {
                (self.failures, self.until) = (0, 0);
                Back::No
            }
            AttemptResult::Failed { whose: Whose::Channel, retry_after, retry_within } => {
                self.failing_since.get_or_insert(now);
                self.asked = self.asked.max(retry_after.map_or(0, |wait| later(now, wait)));
                // Several that were on their way together are one failure.
                if self.until <= now {
                    self.failures = self.failures.saturating_add(1);
                    let own = hold(self.failures, chance).min(retry_within.unwrap_or(Duration::MAX));
                    self.until = later(now, own);
                }
                Back::No
            }
        }
    }

    /// Until when nothing is sent; `None`: it may be used now.
    pub fn held_until(&self, now: u64) -> Option<u64> {
        Some(self.until.max(self.asked)).filter(|until| *until > now)
    }

    /// Since when every attempt has failed; `None`: it does not fail, or nobody has tried.
    pub fn failing_since(&self) -> Option<u64> {
        self.failing_since
    }

    /// After a failure one message shows whether it is back; the others wait for that.
    pub(super) fn is_probed(&self) -> bool {
        self.failures > 0
    }

    /// Somebody who is to be woken should be called another way beside it.
    pub(super) fn is_away(&self, now: u64) -> bool {
        let patience = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let held = self.held_until(now).unwrap_or(now);
        self.failures >= FAILURES || held - now > patience
    }
}

/// Is a channel back that was away?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// It was away, and is not any more.
    Yes,
    /// It was not away, or still is.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: u64 = u64::MAX / 2;

    fn failed(retry_after: Option<u64>) -> AttemptResult {
        AttemptResult::Failed {
            whose: Whose::Channel,
            retry_after: retry_after.map(Duration::from_secs),
            retry_within: None,
        }
    }

    const WELL: AttemptResult =
        AttemptResult::Delivered { again_in: None, left: super::super::Remaining::Nobody };

    #[test]
    fn what_the_receiver_asks_for_holds_all_of_the_channel() {
        let mut channel = ChannelHealth::default();
        assert_eq!(channel.heard(&failed(Some(600)), 1_000, MIDDLE), Back::No);
        assert_eq!(channel.held_until(1_000), Some(601_000));
        assert!(channel.is_away(1_000), "ten minutes are too long for somebody who is to be woken");
        assert_eq!(channel.heard(&WELL, 2_000, MIDDLE), Back::Yes);
        assert_eq!(channel.held_until(2_000), Some(601_000), "what came through on its way changes nothing");
        assert!(!channel.is_away(575_000) && channel.held_until(601_000).is_none());
    }

    #[test]
    fn several_that_fail_together_are_one_failure() {
        let mut channel = ChannelHealth::default();
        for moment in [1_000, 1_001, 1_002, 1_900] {
            channel.heard(&failed(None), moment, MIDDLE);
        }
        assert_eq!(channel.held_until(2_000), Some(6_000));
        assert!(!channel.is_away(2_000));
        channel.heard(&failed(None), 6_000, MIDDLE);
        assert!(channel.is_away(6_000));
    }

    #[test]
    fn it_is_held_longer_the_longer_it_is_away_but_never_longer_than_five_minutes() {
        let mut channel = ChannelHealth::default();
        let mut now = 0;
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                channel.heard(&failed(None), now, MIDDLE);
                let until = channel.held_until(now).expect("held");
                let wait = until - now;
                now = until;
                wait / 1_000
            })
            .collect();
        assert_eq!(waits, [5, 30, 120, 300, 300, 300, 300]);
        assert_eq!(channel.failing_since(), Some(0));
        assert_eq!(channel.heard(&WELL, now, MIDDLE), Back::Yes);
        assert_eq!((channel.failing_since(), channel.held_until(now)), (None, None));
        assert_eq!(channel.heard(&WELL, now, MIDDLE), Back::No);
    }

    #[test]
    fn a_refusal_and_a_recipient_who_is_to_come_back_hold_nobody_else() {
        let mut channel = ChannelHealth::default();
        channel.heard(&AttemptResult::Refused, 1_000, MIDDLE);
        assert_eq!((channel.held_until(1_000), channel.failing_since()), (None, Some(1_000)));
        let mut channel = ChannelHealth::default();
        let later = AttemptResult::Failed { whose: Whose::Message, retry_after: None, retry_within: None };
        channel.heard(&later, 1_000, MIDDLE);
        assert_eq!((channel.held_until(1_000), channel.failing_since()), (None, None));
    }
}
