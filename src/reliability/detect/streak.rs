//! How many samples in a row were over a limit.

use crate::units::At;

/// Consecutive samples over each limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    last: Option<At>,
    pub(super) warn: u32,
    pub(super) alert: u32,
    /// When the present streak over the warning began.
    pub(super) since: Option<At>,
}

impl Streak {
    /// A sample that was taken at `sampled`, against the limits of warning and alert; the same one counts once.
    pub(super) fn sample(&mut self, used: f64, [warn, alert]: [f64; 2], sampled: At) {
        if self.last == Some(sampled) {
            return;
        }
        let count = |limit: f64, so_far: u32| if used > limit { so_far.saturating_add(1) } else { 0 };
        (self.warn, self.alert) = (count(warn, self.warn), count(alert, self.alert));
        self.since = if self.warn > 0 { self.since.or(Some(sampled)) } else { None };
        self.last = Some(sampled);
    }

    /// When the present one began. The last sample keeps the moment by which it is known.
    pub(super) fn since_mut(&mut self) -> Option<&mut At> {
        self.since.as_mut()
    }
}
