//! Service hours: the working hours of the config, several with semicolons between them.

use std::ops::Range;

use crate::config::engine::week;
use crate::reliability::escalation::Calendar;

/// Minutes of a day of the wall clock.
pub(super) const DAY_MINUTES: u16 = 1_440;

/// When the service is promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceHours {
    week: Calendar,
    text: String,
}

impl ServiceHours {
    /// Reads them: `mon-fri 08:00-20:00; sat 10:00-14:00`.
    pub fn read(text: &str) -> Result<Self, String> {
        Ok(Self { week: week(text)?, text: text.trim().to_owned() })
    }

    /// As they were written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The minutes of a day of the week, Monday is 0; what goes past midnight is of two days.
    pub(super) fn of(&self, day: u16) -> impl Iterator<Item = Range<u16>> {
        let start = day * DAY_MINUTES;
        let clipped = move |(from, to): &(u16, u16)| {
            let end = to.saturating_sub(start).min(DAY_MINUTES);
            from.saturating_sub(start).min(DAY_MINUTES)..end
        };
        self.week.windows.iter().map(clipped).filter(|minutes| !minutes.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_the_configs_working_hours_are() {
        let hours = ServiceHours::read("mon-fri 08:00-20:00; sat 22:00-06:00").expect("reads");
        let of = |day| hours.of(day).map(|minutes| (minutes.start, minutes.end)).collect::<Vec<_>>();
        assert_eq!((of(0), of(4)), (vec![(480, 1_200)], vec![(480, 1_200)]));
        assert_eq!((of(5), of(6)), (vec![(1_320, 1_440)], vec![(0, 360)]), "past midnight");
        for bad in ["", "always", "mon 8-20", "mon 08:00-20:00;"] {
            assert!(ServiceHours::read(bad).expect_err(bad).contains("mon-fri"), "{bad}");
        }
    }
}
