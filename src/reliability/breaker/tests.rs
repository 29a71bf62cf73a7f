use std::num::NonZeroU32;

use super::ramp::NO_CROWD;
use proptest::prelude::*;

use super::*;
use crate::reliability::verdict;

const BAD: Verdict = Verdict::Bad(verdict::Why::Timeout);

fn policy() -> BreakerPolicy {
    let few = |n| NonZeroU32::new(n).expect("not zero");
    BreakerPolicy {
        enabled: true,
        failures: Some(few(3)),
        failure_rate: None,
        slow_rate: None,
        window: Duration::from_secs(10),
        min_requests: 10,
        lump: Duration::ZERO,
        open_for: Duration::from_secs(30),
        open_for_max: Duration::from_secs(300),
        successes: few(2),
        probes: few(1),
        probe_timeout: Duration::from_secs(10),
        ramp: Duration::ZERO,
    }
}

fn admitted(breaker: &mut Breaker, now: Instant) -> Ticket {
    breaker.admit(now, u64::MAX / 2).0.expect("admitted")
}

fn one(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> Option<Transition> {
    let ticket = admitted(breaker, now);
    breaker.settle(ticket, verdict, now)
}

fn tripped(policy: BreakerPolicy, t0: Instant) -> Breaker {
    let mut breaker = Breaker::new(policy, 7, t0);
    while one(&mut breaker, BAD, t0).is_none() {}
    breaker
}

/// Later than any jittered wait of the first opening.
const WAITED: Duration = Duration::from_secs(37);

#[test]
fn three_failures_in_a_row_trip_it_and_a_success_between_does_not() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    for verdict in [BAD, BAD, Verdict::Good, BAD, BAD] {
        assert_eq!(one(&mut breaker, verdict, t0), None);
    }
    let moved = one(&mut breaker, BAD, t0).expect("trips");
    assert_eq!((moved.to, moved.why), (BreakerState::Open, Why::Failures(3)));
    assert!(matches!(breaker.admit(t0, 0).0, Err(Refusal::Open { .. })));
}

#[test]
fn it_closes_after_enough_good_probes_and_tells_how_long_it_took() {
    let t0 = Instant::now();
    let mut breaker = tripped(policy(), t0);
    let later = t0 + WAITED;
    assert_eq!(one(&mut breaker, Verdict::Good, later), None);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    let moved = one(&mut breaker, Verdict::Good, later).expect("closes");
    assert_eq!((moved.to, moved.recovered), (BreakerState::Closed, Some(WAITED)));
    assert!(breaker.is_plain());
}

#[test]
fn a_straggler_from_before_the_trip_does_not_close_it() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    let straggler = admitted(&mut breaker, t0);
    while one(&mut breaker, BAD, t0).is_none() {}
    let later = t0 + WAITED;
    let probe = admitted(&mut breaker, later);
    assert_eq!(breaker.settle(straggler, Verdict::Good, later), None);
    assert_eq!(breaker.view(later).good_probes, 0);
    assert_eq!(breaker.settle(probe, Verdict::Good, later), None);
    assert_eq!(breaker.view(later).good_probes, 1);
}

#[test]
fn an_abandoned_probe_gives_its_slot_back() {
    let t0 = Instant::now();
    let mut breaker = tripped(policy(), t0);
    let later = t0 + WAITED;
    let probe = admitted(&mut breaker, later);
    assert!(matches!(breaker.admit(later, 0).0, Err(Refusal::Probing)));
    assert_eq!(breaker.settle(probe, Verdict::Abandoned, later), None);
    let _again = admitted(&mut breaker, later);
}

#[test]
fn an_overdue_probe_opens_it_again_and_for_longer() {
    let t0 = Instant::now();
    let mut breaker = tripped(policy(), t0);
    let later = t0 + WAITED;
    breaker.set_typical(Some(Duration::from_millis(200)));
    let overdue = admitted(&mut breaker, later);
    let moved = breaker.tick(later + Duration::from_secs(1)).expect("overdue after five medians");
    assert_eq!((moved.to, moved.why), (BreakerState::Open, Why::ProbeFailed));
    let until = breaker.view(later).open_until.expect("open");
    assert!(until - later > Duration::from_secs(30), "1.5 times longer, less 20 % of jitter");
    assert_eq!(breaker.settle(overdue, Verdict::Good, later), None);
}

#[test]
fn a_rate_limit_is_no_consecutive_failure_but_fails_a_probe_and_asks_for_peace() {
    let t0 = Instant::now();
    let wish = Duration::from_secs(200);
    let limited = Verdict::RateLimited { retry_after: Some(wish) };
    let mut breaker = Breaker::new(policy(), 7, t0);
    for _ in 0..9 {
        assert_eq!(one(&mut breaker, limited, t0), None);
    }
    let mut breaker = tripped(policy(), t0);
    let later = t0 + WAITED;
    assert_eq!(one(&mut breaker, limited, later).map(|moved| moved.why), Some(Why::ProbeFailed));
    assert!(breaker.view(later).open_until >= Some(later + wish));
}

#[test]
fn the_failure_rate_needs_enough_requests() {
    let t0 = Instant::now();
    let by_rate = BreakerPolicy { failures: None, failure_rate: Some(Percent::of(50)), ..policy() };
    let mut breaker = Breaker::new(by_rate, 7, t0);
    for _ in 0..9 {
        assert_eq!(one(&mut breaker, BAD, t0), None);
    }
    assert!(matches!(one(&mut breaker, BAD, t0).map(|moved| moved.why), Some(Why::FailureRate(_))));
}

#[test]
fn slow_answers_trip_it_by_their_own_rate() {
    let t0 = Instant::now();
    let by_rate = BreakerPolicy { slow_rate: Some(Percent::of(80)), ..policy() };
    let mut breaker = Breaker::new(by_rate, 7, t0);
    breaker.credit_good(2, t0);
    for _ in 0..7 {
        assert_eq!(one(&mut breaker, Verdict::Slow, t0), None);
    }
    assert!(matches!(one(&mut breaker, Verdict::Slow, t0).map(|moved| moved.why), Some(Why::SlowRate(_))));
}

#[test]
fn one_hiccup_over_many_attempts_counts_once() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(BreakerPolicy { lump: Duration::from_secs(1), ..policy() }, 7, t0);
    for _ in 0..50 {
        assert_eq!(one(&mut breaker, BAD, t0), None);
    }
    assert_eq!(one(&mut breaker, BAD, t0 + Duration::from_secs(2)), None);
    assert!(one(&mut breaker, BAD, t0 + Duration::from_secs(4)).is_some());
}

#[test]
fn after_closing_the_admitted_share_grows() {
    let t0 = Instant::now();
    let mut breaker = tripped(BreakerPolicy { ramp: Duration::from_secs(10), ..policy() }, t0);
    let later = t0 + WAITED;
    one(&mut breaker, Verdict::Good, later);
    one(&mut breaker, Verdict::Good, later);
    let half = later + Duration::from_secs(5);
    for _ in 0..NO_CROWD {
        assert!(breaker.admit(half, u64::MAX).0.is_ok(), "a few are no crowd");
    }
    assert!(breaker.admit(half, u64::MAX / 10 * 4).0.is_ok());
    assert_eq!(breaker.admit(half, u64::MAX / 10 * 6).0.err(), Some(Refusal::Ramping));
    assert!(breaker.admit(later + Duration::from_secs(10), u64::MAX).0.is_ok());
    assert!(breaker.is_plain());
}

#[test]
fn a_hold_ends_by_itself_and_the_evidence_rules_again() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    let until = t0 + Duration::from_secs(60);
    let hold = |state| Hold { state, reason: "maintenance".to_owned(), actor: "ops".to_owned(), until };
    breaker.hold(hold(BreakerState::Open), t0);
    assert!(matches!(breaker.admit(t0, 0).0, Err(Refusal::Held { .. })));
    assert_eq!(breaker.tick(until).map(|moved| moved.to), Some(BreakerState::HalfOpen));
    breaker.hold(hold(BreakerState::Closed), t0);
    for _ in 0..20 {
        assert_eq!(one(&mut breaker, BAD, t0), None, "held closed: nothing trips it");
    }
    assert_eq!(breaker.release(t0).map(|moved| moved.to), Some(BreakerState::Closed));
}

#[test]
fn closing_what_still_fails_means_probing_unless_forced() {
    let t0 = Instant::now();
    let mut breaker = tripped(policy(), t0);
    assert_eq!(breaker.close(false, t0).map(|moved| moved.to), Some(BreakerState::HalfOpen));
    assert_eq!(breaker.close(false, t0), None);
    assert_eq!(breaker.close(true, t0).map(|moved| moved.to), Some(BreakerState::Closed));
}

#[test]
fn another_policy_keeps_the_state_and_trips_at_the_next_bad_verdict() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    one(&mut breaker, BAD, t0);
    one(&mut breaker, BAD, t0);
    breaker.reconfigure(BreakerPolicy { failures: NonZeroU32::new(1), ..policy() }, t0);
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(one(&mut breaker, BAD, t0).is_some());
}

#[derive(Clone, Debug)]
enum Act {
    Admit(u64),
    Settle(usize, Verdict),
    Wait(u64),
    Hold(bool, u64),
    Release,
    Close(bool),
    Reconfigure(u32),
}

fn any_act() -> impl Strategy<Value = Act> {
    let verdict = prop_oneof![
        Just(Verdict::Good),
        Just(Verdict::Slow),
        Just(BAD),
        Just(Verdict::RateLimited { retry_after: Some(Duration::from_secs(9)) }),
        Just(Verdict::Abandoned),
    ];
    prop_oneof![
        5 => any::<u64>().prop_map(Act::Admit),
        5 => (0_usize..8, verdict).prop_map(|(at, verdict)| Act::Settle(at, verdict)),
        2 => (0_u64..60_000).prop_map(Act::Wait),
        1 => (any::<bool>(), 0_u64..60).prop_map(|(open, s)| Act::Hold(open, s)),
        1 => Just(Act::Release),
        1 => any::<bool>().prop_map(Act::Close),
        1 => (1_u32..4).prop_map(Act::Reconfigure),
    ]
}

fn act(breaker: &mut Breaker, tickets: &mut Vec<Ticket>, now: &mut Instant, act: Act) {
    match act {
        Act::Admit(draw) => {
            let before = breaker.view(*now);
            let (answer, moved) = breaker.admit(*now, draw);
            if let Ok(ticket) = answer {
                let state = moved.map_or(before.state, |moved| moved.to);
                assert_ne!(state, BreakerState::Open, "nothing is admitted while open");
                tickets.push(ticket);
            }
            assert!(breaker.view(*now).probes_in_flight <= 3);
        }
        Act::Settle(at, verdict) if at < tickets.len() => {
            breaker.settle(tickets.swap_remove(at), verdict, *now);
        }
        Act::Settle(..) => {}
        Act::Wait(millis) => *now += Duration::from_millis(millis),
        Act::Hold(open, seconds) => {
            let state = if open { BreakerState::Open } else { BreakerState::Closed };
            let until = *now + Duration::from_secs(seconds);
            breaker.hold(Hold { state, reason: String::new(), actor: String::new(), until }, *now);
        }
        Act::Release => drop(breaker.release(*now)),
        Act::Close(force) => drop(breaker.close(force, *now)),
        Act::Reconfigure(n) => {
            let few = NonZeroU32::new(n).expect("not zero");
            let changed = BreakerPolicy { failures: Some(few), successes: few, probes: few, ..policy() };
            breaker.reconfigure(changed, *now);
        }
    }
}

proptest! {
    /// Any order of admits, settles, lost tickets, waits, orders and reloads; then the upstream is well again.
    #[test]
    fn whatever_happened_it_closes_once_the_upstream_is_well(acts in prop::collection::vec(any_act(), 0..300), seed: u64) {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(policy(), seed, now);
        let mut tickets = Vec::new();
        let mut generation = 0;
        for step in acts {
            act(&mut breaker, &mut tickets, &mut now, step);
            prop_assert!(breaker.generation() >= generation);
            generation = breaker.generation();
        }
        drop(tickets); // lost for good: nobody settles them
        for _ in 0..2_000 {
            now += Duration::from_secs(1);
            if let (Ok(ticket), _) = breaker.admit(now, 0) {
                breaker.settle(ticket, Verdict::Good, now);
            }
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
        prop_assert!(breaker.is_plain());
    }
}
