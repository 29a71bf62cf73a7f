//! Service hours as an operator writes them: `mon-fri 08:00-20:00, sat 10:00-14:00`.

use std::ops::Range;

/// Minutes of a day of the wall clock.
pub(super) const DAY_MINUTES: u16 = 1_440;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const LIKE: &str =
    "write them as \"mon-fri 08:00-20:00\", several with commas between them; what goes past midnight is two";

/// When the service is promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    /// By day of the week, Monday is 0: minutes of the wall clock.
    open: Vec<(usize, Range<u16>)>,
    text: String,
}

impl Hours {
    /// Reads them.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut open = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (days, minutes) =
                read_part(part).ok_or_else(|| format!("{part:?} are no service hours; {LIKE}"))?;
            open.extend(days.map(|day| (day, minutes.clone())));
        }
        Ok(Self { open, text: text.trim().to_owned() })
    }

    /// As they were written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The minutes of a day of the week, Monday is 0.
    pub(super) fn of(&self, day: usize) -> impl Iterator<Item = Range<u16>> {
        self.open.iter().filter(move |(of, _)| *of == day).map(|(_, minutes)| minutes.clone())
    }
}

fn read_part(part: &str) -> Option<(Range<usize>, Range<u16>)> {
    let (days, minutes) = part.split_once(' ')?;
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let (first, last) = days.split_once('-').unwrap_or((days, days));
    let (first, last) = (day(first)?, day(last)?);
    let (from, to) = minutes.trim().split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (first <= last && from < to).then_some((first..last + 1, from..to))
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY_MINUTES).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_as_they_are_written() {
        let hours = Hours::read("mon-fri 08:00-20:00, Sat 10:00-14:30").expect("reads");
        assert_eq!(hours.of(0).collect::<Vec<_>>(), [480..1_200]);
        assert_eq!(hours.of(5).collect::<Vec<_>>(), [600..870]);
        assert_eq!(hours.of(6).count(), 0);
    }

    #[test]
    fn what_are_no_hours_is_refused_with_how_to_write_them() {
        for bad in [
            "",
            "mon",
            "mon 8-20",
            "mon 20:00-08:00",
            "fri-mon 08:00-20:00",
            "mon 08:00-24:01",
            "mon 08:60-09:00",
            "moonday 08:00-20:00",
            "mon 08:00-08:00",
            "mon 08:00-20:00,",
            "mon +8:00-20:00",
        ] {
            assert!(Hours::read(bad).expect_err(bad).contains("mon-fri"), "{bad}");
        }
    }
}
