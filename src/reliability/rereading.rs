//! When is the application's own document read again?
//!
//! At once after the start, then at its own pace; soon after its upstream was seen ill and is well again, because it may have
//! been another version that came back; and sooner than that, but ever less so, while nobody answers.

use std::time::{Duration, Instant};

/// Between two readings, at least, however often the upstream comes and goes.
const APART: Duration = Duration::from_secs(2);

/// How the upstream looks at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RereadSight {
    /// Attempts since the start that found nobody, or whose connection broke off.
    pub broken: u64,
    /// It is called, and nothing is known against it.
    pub well: bool,
}

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// There was an answer, whatever it said.
    Answered,
    /// There was none.
    Unanswered,
}

/// Decides when the next reading is due.
#[derive(Clone, Debug)]
pub struct Rereading {
    every: Duration,
    due: Instant,
    last: Option<Instant>,
    /// Something was against the upstream since the last reading.
    shaken: bool,
    broken: Option<u64>,
    /// Readings without an answer in a row.
    unanswered: u32,
}

impl Rereading {
    /// The first reading is due at once.
    pub fn new(every: Duration, now: Instant) -> Self {
        Self { every, due: now, last: None, shaken: false, broken: None, unanswered: 0 }
    }

    /// How the upstream looks now; true: it is time to read.
    pub fn look(&mut self, sight: RereadSight, now: Instant) -> bool {
        let before = self.broken.replace(sight.broken);
        let calm = before.is_none_or(|before| before == sight.broken) && sight.well;
        if !calm {
            self.shaken = true;
        } else if std::mem::take(&mut self.shaken) {
            let soon = self.last.map_or(now, |last| last + APART);
            self.due = self.due.min(soon);
        }
        now >= self.due
    }

    /// A reading has ended.
    pub fn read(&mut self, end: ReadEnd, now: Instant) {
        self.last = Some(now);
        self.unanswered = match end {
            ReadEnd::Answered => 0,
            ReadEnd::Unanswered => self.unanswered.saturating_add(1),
        };
        let wait = match self.unanswered {
            0 => self.every,
            times => self.every.min(Duration::from_secs(1 << times.min(10))),
        };
        self.due = now + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: RereadSight = RereadSight { broken: 0, well: true };

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn it_is_read_at_once_and_then_at_its_pace() {
        let start = Instant::now();
        let mut reading = Rereading::new(Duration::from_secs(60), start);
        assert!(reading.look(WELL, start));
        reading.read(ReadEnd::Answered, start);
        assert!(!reading.look(WELL, after(start, 59)));
        assert!(reading.look(WELL, after(start, 60)));
    }

    #[test]
    fn it_is_read_soon_after_the_upstream_is_well_again_and_not_while_it_is_ill() {
        let start = Instant::now();
        let mut reading = Rereading::new(Duration::from_secs(60), start);
        assert!(reading.look(WELL, start));
        reading.read(ReadEnd::Answered, start);
        assert!(!reading.look(RereadSight { well: false, ..WELL }, after(start, 5)));
        assert!(!reading.look(RereadSight { well: false, ..WELL }, after(start, 9)));
        assert!(reading.look(WELL, after(start, 10)));
        reading.read(ReadEnd::Answered, after(start, 10));
        assert!(!reading.look(WELL, after(start, 13)), "once");
        let broken = RereadSight { broken: 3, well: true };
        assert!(!reading.look(broken, after(start, 14)), "an attempt has just broken off");
        assert!(reading.look(broken, after(start, 15)), "and none since");
    }

    #[test]
    fn an_upstream_that_comes_and_goes_is_not_asked_all_the_time() {
        let start = Instant::now();
        let mut reading = Rereading::new(Duration::from_secs(60), start);
        let mut times = 0;
        for millis in (0..10_000).step_by(100) {
            let now = start + Duration::from_millis(millis);
            if reading.look(RereadSight { broken: 0, well: millis % 200 == 0 }, now) {
                times += 1;
                reading.read(ReadEnd::Answered, now);
            }
        }
        assert!(times <= 5, "{times}");
    }

    #[test]
    fn while_nobody_answers_it_is_tried_ever_less_often_and_never_less_than_its_pace() {
        let start = Instant::now();
        let mut reading = Rereading::new(Duration::from_secs(60), start);
        let mut asked = Vec::new();
        for second in 0..400 {
            let now = after(start, second);
            if reading.look(WELL, now) {
                asked.push(second);
                reading.read(ReadEnd::Unanswered, now);
            }
        }
        assert_eq!(asked, [0, 2, 6, 14, 30, 62, 122, 182, 242, 302, 362]);
    }
}
