use super::*;
use crate::names::IncidentId;
use crate::reliability::counts::Counts;
use crate::reliability::incident::State;

fn order() -> DrillOrder {
    DrillOrder {
        upstream: Arc::from("stripe"),
        fault: Fault::Error(503),
        share: Percent::of(20),
        lasts: Duration::from_secs(60),
        reach: DrillReach::Reads,
        calls: DrillCalls::Nobody,
        actor: "ann".to_owned(),
        reason: "monthly".to_owned(),
    }
}

fn drill() -> Drill {
    Drill::new(Arc::from("drl_1"), order(), At(0))
}

fn scene() -> DrillScene {
    DrillScene {
        counts: DrillCounts::default(),
        incidents: Vec::new(),
        other: None,
        service: Counts::default(),
        breaker: BreakerState::Closed,
        standing: Standing::Stands,
    }
}

fn policy() -> DrillPolicy {
    DrillPolicy { mode: DrillMode::On, ..DrillPolicy::default() }
}

fn id(draw: u64) -> IncidentId {
    IncidentId::of(1, draw)
}

/// Splitmix64, as evenly distributed as needed here.
fn draws(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|n| {
        let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    })
}

#[test]
fn the_share_that_is_asked_for_is_hit_and_nothing_that_pays() {
    for percent in [0, 1, 20, 50, 100] {
        let share = Percent::of(percent);
        let hit = |reach, what| draws(100_000).filter(|draw| is_hit(reach, what, share, *draw)).count();
        let reads = hit(DrillReach::Reads, Hittable::Read) as f64 / 1_000.0;
        assert!((reads - f64::from(percent)).abs() < 0.5, "{percent} %: {reads} %");
        assert_eq!(hit(DrillReach::Reads, Hittable::Write), 0);
        assert_eq!(hit(DrillReach::Writes, Hittable::Write), hit(DrillReach::Reads, Hittable::Read));
        assert_eq!(hit(DrillReach::Writes, Hittable::Never), 0);
    }
    assert!(!is_hit(DrillReach::Reads, Hittable::Read, Percent::of(0), 0));
    assert!(is_hit(DrillReach::Reads, Hittable::Read, Percent::WHOLE, u64::MAX));
}

#[test]
fn it_begins_only_when_all_is_well_and_within_its_bounds() {
    let before = || DrillBefore {
        incident: None,
        breaker: BreakerState::Closed,
        payments: PaymentsAtRisk::No,
        company: Company::Alone,
    };
    let check = |order: DrillOrder, before: DrillBefore| order.check(&policy(), &before);
    assert_eq!(check(order(), before()), Ok(()));
    assert_eq!(order().check(&DrillPolicy::default(), &before()), Err(DrillRefused::Off), "until asked for");
    let most = Percent::of(25);
    for share in [Percent::of(26), Percent::of(0)] {
        assert_eq!(check(DrillOrder { share, ..order() }, before()), Err(DrillRefused::TooMuch { most }));
    }
    let longest = Duration::from_secs(600);
    for lasts in [601, 0].map(Duration::from_secs) {
        assert_eq!(check(DrillOrder { lasts, ..order() }, before()), Err(DrillRefused::TooLong { longest }));
    }
    let refused = |before: DrillBefore| check(order(), before).expect_err("refused");
    assert_eq!(refused(DrillBefore { incident: Some(id(1)), ..before() }), DrillRefused::Incident(id(1)));
    let open = BreakerState::Open;
    assert_eq!(refused(DrillBefore { breaker: open, ..before() }), DrillRefused::Breaker(open));
    let payments = PaymentsAtRisk::Yes;
    assert_eq!(refused(DrillBefore { payments, ..before() }), DrillRefused::Payments);
    assert_eq!(refused(DrillBefore { company: Company::Fleet, ..before() }), DrillRefused::Fleet);
}

#[test]
fn the_guard_ends_it_for_each_of_its_reasons_and_for_no_less() {
    let ended = |scene: &DrillScene| {
        let mut drill = drill();
        let moved = drill.look(scene, &policy(), At(1_000));
        assert_eq!(moved.is_some(), drill.ended().is_some());
        drill.ended().map(|(_, end)| end.clone())
    };
    assert_eq!(ended(&scene()), None);
    let aborted = |trouble| Some(DrillEnd::Aborted(trouble));
    assert_eq!(ended(&DrillScene { other: Some(id(7)), ..scene() }), aborted(Trouble::Incident(id(7))));
    assert_eq!(ended(&DrillScene { standing: Standing::Off, ..scene() }), aborted(Trouble::Off));
    assert_eq!(ended(&DrillScene { standing: Standing::Gone, ..scene() }), aborted(Trouble::Gone));
    let own = |own_failures, untouched| DrillScene {
        counts: DrillCounts { own_failures, untouched, ..DrillCounts::default() },
        ..scene()
    };
    assert_eq!(ended(&own(4, 4)), None, "four say nothing");
    assert_eq!(ended(&own(5, 101)), None, "less than 5 %");
    let errors = Trouble::Errors { bad: 5, of: 100, limit: Percent::of(5) };
    assert_eq!(ended(&own(5, 100)), aborted(errors));
    let service = |bad, good| DrillScene { service: Counts { good, bad }, ..scene() };
    assert_eq!(ended(&service(9, 10)), None, "nineteen answers say nothing");
    assert_eq!(ended(&service(10, 11)), None);
    let degraded = Trouble::Degraded { bad: 10, of: 20, limit: Percent::of(50) };
    assert_eq!(ended(&service(10, 10)), aborted(degraded));
}

fn incident(state: State, opened: Option<i64>, recovered: Option<i64>) -> DrillIncident {
    let called = vec!["calling ann through pager".to_owned()];
    let (opened, recovered) = (opened.map(At), recovered.map(At));
    DrillIncident { id: id(1), state, suspected: At(5_000), opened, recovered, called }
}

#[test]
fn times_are_from_the_first_hit_and_from_the_end_of_the_injection() {
    let mut drill = drill();
    let counts = DrillCounts { hit: 3, first_hit: Some(Duration::from_secs(2)), ..DrillCounts::default() };
    let with = |breaker, one: DrillIncident| DrillScene { counts, incidents: vec![one], breaker, ..scene() };
    assert_eq!((drill.to_detect(), drill.to_recover()), (None, None));
    let open = with(BreakerState::Open, incident(State::Open, Some(9_000), None));
    assert_eq!(drill.look(&open, &policy(), At(9_000)), None);
    assert_eq!(drill.to_suspect(), Some(Duration::from_secs(3)));
    assert_eq!(drill.to_detect(), Some(Duration::from_secs(7)));
    assert_eq!(drill.look(&open, &policy(), At(60_000)), Some(DrillMoved::Ended));
    assert_eq!(drill.ended(), Some((At(60_000), &DrillEnd::Window)));
    let well = incident(State::Monitoring, Some(9_000), Some(71_000));
    drill.look(&with(BreakerState::HalfOpen, well.clone()), &policy(), At(72_000));
    assert_eq!(drill.to_recover(), None, "the breaker still refuses");
    drill.look(&with(BreakerState::Closed, well), &policy(), At(75_000));
    assert_eq!(drill.to_recover(), Some(Duration::from_secs(15)));
    let gone = with(BreakerState::Closed, incident(State::Resolved, Some(9_000), Some(71_000)));
    assert_eq!(drill.look(&gone, &policy(), At(100_000)), Some(DrillMoved::Over));
    assert_eq!(drill.look(&gone, &policy(), At(101_000)), None, "nothing follows");
    assert_eq!(drill.called().collect::<Vec<_>>(), ["calling ann through pager"]);
}

#[test]
fn what_does_not_recover_is_not_the_drills_for_ever() {
    let mut drill = drill();
    assert!(drill.stop("bob", At(10_000)) && !drill.stop("eve", At(11_000)));
    assert_eq!(drill.ended(), Some((At(10_000), &DrillEnd::Stopped { actor: "bob".to_owned() })));
    let ill = DrillScene { incidents: vec![incident(State::Open, Some(9_000), None)], ..scene() };
    assert_eq!(drill.look(&ill, &policy(), At(909_000)), None);
    assert_eq!(drill.look(&ill, &policy(), At(910_000)), Some(DrillMoved::Over));
    assert_eq!(drill.to_recover(), None, "not observed");
}

#[test]
fn its_own_incidents_are_those_of_its_upstream_and_what_that_is_to_blame_for() {
    let scope = DrillScope {
        id: Arc::from("drl_1"),
        upstream: Arc::from("stripe"),
        routes: vec![Arc::from("pay")],
        calls: DrillCalls::Nobody,
        spoilt: 0,
    };
    let [stripe, pay, other] = ["stripe", "pay", "backend"].map(Arc::<str>::from);
    assert!(scope.covers(&stripe, None) && scope.covers(&pay, None) && scope.covers(&other, Some(&stripe)));
    assert!(!scope.covers(&other, None) && !scope.covers(&pay, Some(&other)));
}
