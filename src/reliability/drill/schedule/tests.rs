use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn month(year: u16, month: u8) -> DrillMonth {
    DrillMonth::of(year, month)
}

fn when(day: &str, minute: u16) -> DrillWhen {
    DrillWhen { day: DrillDay::read(day).expect(day), minute, zone: "UTC".to_owned() }
}

/// The start by a clock that is never moved for the summer.
fn start(when: &DrillWhen) -> impl Fn(DrillMonth) -> Option<At> {
    move |month| {
        let days = i64::from(month.first_day()) + i64::from(when.day.date(month)) - 1;
        Some(At(days * DAY + i64::from(when.minute) * MINUTE))
    }
}

fn month_of(now: At) -> DrillMonth {
    let first = |month: DrillMonth| i64::from(month.first_day()) * DAY;
    let year = u16::try_from(1970 + now.0 / (366 * DAY)).expect("a year");
    (0..36)
        .map(|nth| month(year, 1).after(nth))
        .take_while(|month| first(*month) <= now.0)
        .last()
        .expect("one")
}

fn clock(now: At, steady: At) -> ScheduleClock {
    ScheduleClock { now, steady, month: month_of(now) }
}

/// Days by `date -u -d … +%s` and `cal`.
#[test]
fn months_are_those_of_the_calendar() {
    for (year, nth, days, weekday, length) in [
        (1970, 1, 0, 3, 31),
        (2000, 2, 10_988, 1, 29),
        (2024, 2, 19_754, 3, 29),
        (2026, 2, 20_485, 6, 28),
        (2026, 12, 20_788, 1, 31),
        (2100, 3, 47_541, 0, 31),
    ] {
        let one = month(year, nth);
        assert_eq!((one.year(), one.month()), (year, nth));
        assert_eq!((one.first_day(), one.begins_on(), one.length()), (days, weekday, length), "{year}-{nth}");
    }
}

#[test]
fn a_day_is_read_found_in_each_month_and_written_back() {
    // December 2026 begins on a Tuesday, February on a Sunday.
    for (text, december, february) in [
        ("first tuesday", 1, 3),
        ("first monday", 7, 2),
        ("fourth monday", 28, 23),
        ("last tuesday", 29, 24),
        ("last monday", 28, 23),
        ("last thursday", 31, 26),
        ("day 1", 1, 1),
        ("day 28", 28, 28),
    ] {
        let day = DrillDay::read(text).expect(text);
        assert_eq!(day.to_string(), text);
        assert_eq!((day.date(month(2026, 12)), day.date(month(2026, 2))), (december, february), "{text}");
    }
    for bad in [
        "",
        "tuesday",
        "fifth tuesday",
        "first tuesdays",
        "First tuesday",
        "day 0",
        "day 29",
        "day 01",
        "day",
        "day +1",
        "last",
        "last day",
    ] {
        assert_eq!(DrillDay::read(bad), None, "{bad:?}");
    }
    assert_eq!(when("last friday", 605).to_string(), "last friday at 10:05 UTC");
}

/// 2026-12-01, a Tuesday, 10:00.
const DUE: At = At(20_788 * DAY + 10 * HOUR);

fn looked_after(when: &DrillWhen) -> MonthlyDrill {
    let mut drill = MonthlyDrill::default();
    drill.heed(Some(when), At(DUE.0 - 5 * HOUR));
    drill
}

#[test]
fn a_start_is_tried_for_an_hour_and_told_once() {
    let tuesday = when("first tuesday", 600);
    let mut drill = looked_after(&tuesday);
    let at = |after: i64| clock(At(DUE.0 + after), At(DUE.0 + after));
    let due = |drill: &MonthlyDrill, after: i64| drill.due(&at(after), start(&tuesday));
    assert_eq!((due(&drill, -1), drill.next(&at(-1), start(&tuesday))), (None, Some(DUE)));
    let month = month(2026, 12);
    assert_eq!(due(&drill, 0), Some(DrillDue::Recall { month, since: DUE }));
    assert_eq!(drill.recalled((month, DUE), Recalled::Nothing, &at(0)), None);
    assert_eq!(due(&drill, 0), Some(DrillDue::Begin { month }));
    let refused = || NotBegun::Refused(DrillRefused::Off);
    assert_eq!(drill.missed(month, refused(), &at(0)), Tell::Now);
    assert_eq!(due(&drill, MINUTE - 1), None, "once a minute");
    assert_eq!(due(&drill, MINUTE), Some(DrillDue::Begin { month }));
    assert_eq!(drill.missed(month, refused(), &at(MINUTE)), Tell::Already);
    assert_eq!(drill.last_missed().map(|missed| missed.at), Some(At(DUE.0 + MINUTE)));
    assert_eq!(due(&drill, HOUR - 1), Some(DrillDue::Begin { month }));
    assert_eq!((due(&drill, HOUR), due(&drill, 2 * HOUR)), (None, None), "it is not made up for");
    // The first Tuesday of January 2027 is the 5th.
    assert_eq!(drill.next(&at(HOUR), start(&tuesday)), Some(At(DUE.0 + 35 * DAY)));
}

#[test]
fn what_was_begun_before_a_restart_is_not_begun_again_and_what_nobody_knows_is_not_begun() {
    let tuesday = when("first tuesday", 600);
    let month = month(2026, 12);
    // The process came ten minutes after the start.
    let restarted = |found: Recalled| {
        let at = clock(At(DUE.0 + 10 * MINUTE), At(DUE.0 + 10 * MINUTE));
        let mut drill = MonthlyDrill::default();
        drill.heed(Some(&tuesday), at.steady);
        let told = drill.recalled((month, DUE), found, &at);
        let later = clock(At(DUE.0 + 12 * MINUTE), At(DUE.0 + 12 * MINUTE));
        (told, drill.due(&later, start(&tuesday)))
    };
    let again = Some(DrillDue::Recall { month, since: DUE });
    assert_eq!(restarted(Recalled::Begun), (None, None));
    assert_eq!(restarted(Recalled::Nothing), (None, Some(DrillDue::Begin { month })));
    assert_eq!(restarted(Recalled::NoStore), (Some((Tell::Now, NotBegun::NoStore)), None));
    assert_eq!(restarted(Recalled::Unknown), (Some((Tell::Now, NotBegun::Unknown)), again));
    let mut there = looked_after(&tuesday);
    assert_eq!(there.recalled((month, DUE), Recalled::NoStore, &clock(DUE, DUE)), None, "it was there");
    assert_eq!(there.due(&clock(DUE, DUE), start(&tuesday)), Some(DrillDue::Begin { month }));
}

#[test]
fn a_time_that_is_written_after_it_has_passed_begins_nothing() {
    let (noon, ten) = (when("first tuesday", 720), when("first tuesday", 600));
    let mut drill = looked_after(&noon);
    let at = |after: i64| clock(At(DUE.0 + after), At(DUE.0 + after));
    drill.heed(Some(&ten), at(30 * MINUTE).steady);
    assert_eq!(drill.due(&at(31 * MINUTE), start(&ten)), None);
    assert_eq!(drill.next(&at(31 * MINUTE), start(&ten)), Some(At(DUE.0 + 35 * DAY)));
    drill.heed(Some(&noon), at(40 * MINUTE).steady);
    let due = drill.due(&at(120 * MINUTE), start(&noon));
    assert!(matches!(due, Some(DrillDue::Recall { .. })), "{due:?}");
}

#[test]
fn the_hour_of_a_start_goes_on_in_the_next_month() {
    let late = when("last thursday", 23 * 60 + 30);
    let start_at = start(&late)(month(2026, 12)).expect("one");
    let mut drill = MonthlyDrill::default();
    drill.heed(Some(&late), At(start_at.0 - HOUR));
    let now = clock(At(start_at.0 + 45 * MINUTE), At(start_at.0 + 45 * MINUTE));
    assert_eq!(now.month, month(2027, 1));
    assert_eq!(
        drill.due(&now, start(&late)),
        Some(DrillDue::Recall { month: month(2026, 12), since: start_at })
    );
    drill.recalled((month(2026, 12), start_at), Recalled::Nothing, &now);
    drill.begun(month(2026, 12), &now);
    assert_eq!(
        (drill.due(&now, start(&late)), drill.next(&now, start(&late))),
        (None, start(&late)(month(2027, 1)))
    );
}

/// What happens between two looks.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Passes(i64),
    /// The wall clock is set.
    Set(i64),
    Restart,
    /// Orders are refused from here on, or no longer.
    Refuses,
    Accepts,
    /// The store is away from here on, or no longer.
    StoreAway,
    StoreBack,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (1_000..2 * MINUTE).prop_map(Happens::Passes),
        6 => (MINUTE..3 * HOUR).prop_map(Happens::Passes),
        6 => (HOUR..4 * DAY).prop_map(Happens::Passes),
        2 => (-40 * DAY..40 * DAY).prop_map(Happens::Set),
        2 => (-2 * HOUR..2 * HOUR).prop_map(Happens::Set),
        2 => Just(Happens::Restart),
        1 => Just(Happens::Refuses),
        2 => Just(Happens::Accepts),
        1 => Just(Happens::StoreAway),
        2 => Just(Happens::StoreBack),
    ]
}

/// A machine that lives through it, with a store that remembers what was begun.
struct Lived {
    drill: MonthlyDrill,
    when: DrillWhen,
    now: At,
    steady: At,
    refuses: bool,
    away: bool,
    /// By the wall clock, the month, the steady clock and the number of the process.
    begun: Vec<(At, DrillMonth, At, u32)>,
    process: u32,
}

impl Lived {
    fn new(when: DrillWhen) -> Self {
        let at = At(20_000 * DAY);
        let (drill, begun) = (MonthlyDrill::default(), Vec::new());
        Self { drill, when, now: at, steady: at, refuses: false, away: false, begun, process: 0 }
    }

    fn look(&mut self) {
        self.drill.heed(Some(&self.when), self.steady);
        let at = clock(self.now, self.steady);
        while let Some(due) = self.drill.due(&at, start(&self.when)) {
            match due {
                DrillDue::Recall { month, since } => {
                    assert!(since <= self.now);
                    let stored = self.begun.iter().any(|(begun, ..)| *begun >= since);
                    let found = match (self.away, stored) {
                        (true, _) => Recalled::Unknown,
                        (false, true) => Recalled::Begun,
                        (false, false) => Recalled::Nothing,
                    };
                    self.drill.recalled((month, since), found, &at);
                }
                DrillDue::Begin { month } if self.refuses => {
                    self.drill.missed(month, NotBegun::Refused(DrillRefused::Off), &at);
                }
                DrillDue::Begin { month } => {
                    self.drill.begun(month, &at);
                    self.begun.push((self.now, month, self.steady, self.process));
                }
            }
        }
    }

    fn happens(&mut self, one: Happens) {
        match one {
            Happens::Passes(millis) => {
                (self.now, self.steady) = (self.now.moved(millis), self.steady.moved(millis));
            }
            Happens::Set(millis) => self.now = self.now.moved(millis).max(At(1_000 * DAY)),
            Happens::Restart => {
                self.process += 1;
                self.drill = MonthlyDrill::default();
            }
            Happens::Refuses => self.refuses = true,
            Happens::Accepts => self.refuses = false,
            Happens::StoreAway => self.away = true,
            Happens::StoreBack => self.away = false,
        }
        self.look();
    }
}

fn day() -> impl Strategy<Value = DrillDay> {
    prop_oneof![
        (1_u8..=28).prop_map(DrillDay::Date),
        (1_u8..=4, 0_u8..7).prop_map(|(nth, day)| DrillDay::Nth(nth, day)),
        (0_u8..7).prop_map(DrillDay::Last),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn at_most_one_begins_in_a_month_and_only_within_its_hour(
        day in day(),
        minute in 0_u16..1_440,
        lived in prop::collection::vec(happens(), 1..300),
    ) {
        let when = DrillWhen { day, minute, zone: "UTC".to_owned() };
        let mut one = Lived::new(when.clone());
        lived.into_iter().for_each(|what| one.happens(what));
        for (nth, (at, month, steady, process)) in one.begun.iter().enumerate() {
            let begins = start(&when)(*month).expect("one");
            prop_assert!(*at >= begins && at.since(begins) < LATE, "{at:?} for {begins:?}");
            for (_, other, before, by) in &one.begun[..nth] {
                prop_assert!(other != month, "twice in {month:?}");
                prop_assert!(by != process || steady.since(*before) >= APART, "{} h apart", steady.since(*before).as_secs() / 3_600);
            }
        }
    }

    #[test]
    fn each_month_has_one_where_nothing_is_in_its_way(
        day in day(),
        minute in 0_u16..1_440,
        steps in prop::collection::vec(30 * MINUTE..HOUR, 1_000..3_000),
    ) {
        let when = DrillWhen { day, minute, zone: "UTC".to_owned() };
        let mut one = Lived::new(when.clone());
        let from = one.now;
        one.look();
        steps.into_iter().for_each(|millis| one.happens(Happens::Passes(millis)));
        let mut wanted = Vec::new();
        let mut month = month_of(from);
        while let Some(begins) = start(&when)(month).filter(|begins| *begins <= one.now) {
            // One that was due within the hour before is made up for.
            if from.since(begins) < LATE {
                wanted.push(month);
            }
            month = month.after(1);
        }
        let begun: Vec<DrillMonth> = one.begun.iter().map(|(_, month, ..)| *month).collect();
        prop_assert_eq!(begun, wanted);
    }
}
