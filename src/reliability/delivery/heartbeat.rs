//! May somebody outside be told that all is watched? A heartbeat that comes says that incidents are looked for and that
//! people can be told of them; one that does not come is noticed by whoever waits for it.

use std::time::Duration;

/// A look that is older than this is none: looks are a second apart.
pub const FRESH: Duration = Duration::from_secs(10);

/// How this member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vitals {
    /// It has the duty to call people.
    pub acts: bool,
    /// How old its last look at everything is; `None`: it has not looked yet.
    pub looked: Option<Duration>,
    /// Channels that there are.
    pub channels: usize,
    /// Those of them over which every attempt has failed of late. A channel that was never tried does not fail.
    pub failing: usize,
}

/// Why no heartbeat is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// Another member of the fleet sends it.
    OffDuty,
    /// Nothing was looked at for too long.
    NotLooking,
    /// Nobody can be told: all channels fail.
    NobodyReached,
}

impl Withheld {
    pub fn label(self) -> &'static str {
        match self {
            Self::OffDuty => "off_duty",
            Self::NotLooking => "not_looking",
            Self::NobodyReached => "nobody_reached",
        }
    }
}

impl Vitals {
    /// Why no heartbeat may be sent; `None`: it may.
    pub fn withheld(&self) -> Option<Withheld> {
        let fresh = self.looked.is_some_and(|age| age < FRESH);
        if !self.acts {
            Some(Withheld::OffDuty)
        } else if !fresh {
            Some(Withheld::NotLooking)
        } else if self.channels > 0 && self.failing >= self.channels {
            Some(Withheld::NobodyReached)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Vitals = Vitals { acts: true, looked: Some(Duration::ZERO), channels: 2, failing: 0 };

    #[test]
    fn it_is_sent_while_all_is_watched_and_somebody_can_be_told() {
        assert_eq!(WELL.withheld(), None);
        assert_eq!(Vitals { failing: 1, ..WELL }.withheld(), None, "one channel is enough");
        assert_eq!(Vitals { channels: 0, ..WELL }.withheld(), None, "nobody is to be told of anything");
        assert_eq!(Vitals { looked: Some(FRESH - Duration::from_millis(1)), ..WELL }.withheld(), None);
    }

    #[test]
    fn it_is_withheld_when_nobody_looks_or_nobody_can_be_told_and_by_all_but_one_of_a_fleet() {
        for (vitals, why) in [
            (Vitals { looked: Some(FRESH), ..WELL }, Withheld::NotLooking),
            (Vitals { looked: None, ..WELL }, Withheld::NotLooking),
            (Vitals { failing: 2, ..WELL }, Withheld::NobodyReached),
            (Vitals { acts: false, looked: None, ..WELL }, Withheld::OffDuty),
        ] {
            assert_eq!(vitals.withheld(), Some(why), "{vitals:?}");
        }
    }
}
