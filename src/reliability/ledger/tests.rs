use proptest::prelude::*;

use super::*;

fn at(second: i64) -> At {
    At(second * 1_000)
}

fn ledger() -> Ledger {
    Ledger::new(Arc::from("service"), Arc::from("a#1"))
}

const ONE: Counts = Counts { good: 1, bad: 0 };

#[test]
fn forty_seconds_without_strop_are_unknown_and_widen_the_bounds() {
    let mut stored = Vec::new();
    let mut first = ledger();
    for second in 0..100 {
        stored.extend(first.mark(Slice::Up, ONE, at(second)));
    }
    // kill -9 at 100: what was not checkpointed is lost as well.
    let mut second_life = Ledger::new(Arc::from("service"), Arc::from("a#2"));
    for second in 140..240 {
        stored.extend(second_life.mark(if second < 150 { Slice::Down } else { Slice::Up }, ONE, at(second)));
    }
    stored.extend(second_life.flush());
    let report = Report::of(&stored, at(0), at(240));
    let lost = report.unknown - 40;
    assert!(lost <= 10, "a checkpoint every ten seconds: {lost} lost");
    assert_eq!((report.down, report.up + lost), (10, 190));
    assert_eq!(report.measured() + report.unknown, 240);
    let (low, high) = report.bounds().expect("some");
    let uptime = report.uptime().expect("some");
    assert!(low < uptime && uptime < high && (report.coverage() - (200 - lost) as f64 / 240.0).abs() < 1e-9);
}

#[test]
fn what_is_learnt_late_is_marked_while_the_minute_is_open() {
    let mut ledger = ledger();
    for second in 0..70 {
        ledger.mark(Slice::Up, ONE, at(second));
    }
    ledger.amend(55, 65, Slice::Down);
    let report = Report::of(&ledger.flush(), at(0), at(70));
    assert_eq!((report.down, report.up, report.counts.good), (10, 60, 70));
}

#[test]
fn a_look_that_is_late_by_a_second_leaves_no_hole_and_a_long_pause_does() {
    let mut ledger = ledger();
    for second in [0, 1, 3, 5, 30] {
        ledger.mark(Slice::Up, ONE, at(second));
    }
    let report = Report::of(&ledger.flush(), at(0), at(31));
    assert_eq!((report.up, report.unknown), (7, 24));
}

#[test]
fn a_second_that_is_looked_at_twice_counts_once() {
    let mut ledger = ledger();
    for good in [1, 3, 3] {
        ledger.mark(Slice::Up, Counts { good, bad: 0 }, at(7));
    }
    assert_eq!(ledger.flush()[0].counts().good, 3);
}

#[test]
fn maintenance_is_neither_up_nor_down() {
    let mut ledger = ledger();
    for second in 0..60 {
        let slice = if second < 30 { Slice::Maintenance } else { Slice::Up };
        ledger.mark(slice, Counts::default(), at(second));
    }
    let report = Report::of(&ledger.flush(), at(0), at(60));
    assert_eq!((report.maintenance, report.up, report.uptime()), (30, 30, Some(1.0)));
    assert!((report.coverage() - 1.0).abs() < 1e-9);
}

#[test]
fn a_fleet_is_up_when_most_of_those_who_saw_it_served() {
    let seen = |slices: &[Slice]| {
        let mut minute = Minute { subject: Arc::from("service"), minute: 0, by: BTreeMap::new() };
        for (n, slice) in slices.iter().enumerate() {
            let mut share = MinuteShare::default();
            share.slices.mark(0, *slice);
            minute.by.insert(Arc::from(n.to_string()), share);
        }
        minute.slice(0)
    };
    use Slice::*;
    assert_eq!(seen(&[Up, Up, Down]), Up);
    assert_eq!(seen(&[Up, Down, Down]), Degraded);
    assert_eq!(seen(&[Down, Down, Unknown]), Down);
    assert_eq!(seen(&[Up, Unknown, Unknown]), Up);
    assert_eq!(seen(&[Unknown]), Unknown);
    assert_eq!(seen(&[Maintenance, Maintenance, Up]), Maintenance);
}

#[test]
fn a_minute_is_written_as_sixty_letters() {
    let mut ledger = ledger();
    ledger.mark(Slice::Down, ONE, at(61));
    let minute = ledger.flush().remove(0);
    let text = serde_json::to_string(&minute).expect("writes");
    assert!(text.contains(&format!("\".d{}\"", ".".repeat(58))), "{text}");
    assert_eq!(serde_json::from_str::<Minute>(&text).expect("reads"), minute);
}

fn minute() -> impl Strategy<Value = Minute> {
    let share =
        (prop::collection::vec(0_usize..5, 60), 0_u64..50, 0_u64..50).prop_map(|(marks, good, bad)| {
            let mut slices = Slices::default();
            for (second, mark) in marks.into_iter().enumerate() {
                let all = [Slice::Unknown, Slice::Up, Slice::Degraded, Slice::Down, Slice::Maintenance];
                slices.mark(second, all[mark]);
            }
            MinuteShare { slices, counts: Counts { good, bad } }
        });
    prop::collection::btree_map("[a-c]", share, 0..3).prop_map(|by| Minute {
        subject: Arc::from("service"),
        minute: 7,
        by: by.into_iter().map(|(source, share)| (Arc::from(source), share)).collect(),
    })
}

fn merged(a: &Minute, b: &Minute) -> Minute {
    let mut sum = a.clone();
    sum.merge(b);
    sum
}

proptest! {
    #[test]
    fn merging_is_associative_commutative_and_idempotent(a in minute(), b in minute(), c in minute()) {
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &b), merged(&a, &b));
        prop_assert_eq!(merged(&a, &a), a);
    }

    #[test]
    fn a_report_adds_up_whatever_was_stored_twice(
        marks in prop::collection::vec((1_i64..40, 0_usize..5), 1..60), from in 0_i64..300, long in 1_i64..600
    ) {
        let mut ledger = ledger();
        let (mut second, mut stored) = (0, Vec::new());
        for (gap, mark) in marks {
            second += gap;
            let all = [Slice::Unknown, Slice::Up, Slice::Degraded, Slice::Down, Slice::Maintenance];
            stored.extend(ledger.mark(all[mark], ONE, at(second)));
        }
        stored.extend(ledger.flush());
        let report = Report::of(&stored, at(from), at(from + long));
        prop_assert_eq!(report.measured() + report.maintenance + report.unknown, long as u64);
        let twice: Vec<_> = stored.iter().rev().chain(&stored).collect();
        prop_assert_eq!(Report::of(twice, at(from), at(from + long)), report);
        if let (Some((low, high)), Some(uptime)) = (report.bounds(), report.uptime()) {
            prop_assert!(low <= uptime && uptime <= high && (0.0..=1.0).contains(&low) && high <= 1.0);
        }
        let whole = Report::of(&stored, at(0), at(second + 1));
        prop_assert!(whole.counts.good <= second as u64 + 1);
    }
}

#[test]
fn a_pause_is_unknown_however_short_and_what_follows_it_is_counted() {
    let mut ledger = ledger();
    for second in 0..10 {
        ledger.mark(Slice::Up, ONE, at(second));
    }
    ledger.resumes(12);
    ledger.mark(Slice::Up, ONE, at(12));
    ledger.mark(Slice::Up, ONE, at(14));
    let report = Report::of(&ledger.flush(), at(0), at(15));
    assert_eq!((report.up, report.unknown, report.counts.good), (13, 2, 12), "10 and 11 nobody saw");
}
