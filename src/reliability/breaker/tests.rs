use std::num::NonZeroU32;

use super::ramp::NO_CROWD;
use proptest::prelude::*;

use super::*;
use crate::reliability::party::{Blame, Lately, Party};
use crate::reliability::verdict;
use crate::units::Percent;

const BAD: Verdict = Verdict::Bad(verdict::BadReason::Status);
const REFUSED: Verdict = Verdict::Bad(verdict::BadReason::Connect);

fn policy() -> BreakerPolicy {
    BreakerPolicy {
        failures: NonZeroU32::new(3),
        failure_rate: None,
        min_requests: 10,
        dedup_window: Duration::ZERO,
        ramp: Duration::ZERO,
        ..BreakerPolicy::default()
    }
}

fn admitted(breaker: &mut Breaker, now: Instant) -> Ticket {
    breaker.admit(PermitRequest::SAFE, now, u64::MAX / 2).0.expect("admitted")
}

/// An exchange that begins and ends at `now`.
fn one(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> Option<BreakerTransition> {
    let ticket = admitted(breaker, now);
    breaker.settle(ticket, &ExchangeEvidence::of(verdict, now), now)
}

/// The same, put down to somebody.
fn by(breaker: &mut Breaker, blame: Blame, verdict: Verdict, now: Instant) -> Option<BreakerTransition> {
    let ticket = admitted(breaker, now);
    breaker.settle(ticket, &ExchangeEvidence { blame, ..ExchangeEvidence::of(verdict, now) }, now)
}

fn settle(
    breaker: &mut Breaker,
    ticket: Ticket,
    verdict: Verdict,
    now: Instant,
) -> Option<BreakerTransition> {
    breaker.settle(ticket, &ExchangeEvidence::of(verdict, now), now)
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
    assert_eq!((moved.to, moved.why), (BreakerState::Open, TransitionCause::Tripped(Trip::Failures(3))));
    assert!(matches!(breaker.admit(PermitRequest::SAFE, t0, 0).0, Err(Refusal::Open { .. })));
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
    assert!(breaker.is_steady());
}

#[test]
fn a_straggler_from_before_the_trip_does_not_close_it() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    let straggler = admitted(&mut breaker, t0);
    while one(&mut breaker, BAD, t0).is_none() {}
    let later = t0 + WAITED;
    let probe = admitted(&mut breaker, later);
    assert_eq!(settle(&mut breaker, straggler, Verdict::Good, later), None);
    assert_eq!(breaker.view(later).good_probes, 0);
    assert_eq!(settle(&mut breaker, probe, Verdict::Good, later), None);
    assert_eq!(breaker.view(later).good_probes, 1);
}

#[test]
fn an_abandoned_probe_gives_its_slot_back() {
    let t0 = Instant::now();
    let mut breaker = tripped(policy(), t0);
    let later = t0 + WAITED;
    let probe = admitted(&mut breaker, later);
    assert!(matches!(breaker.admit(PermitRequest::SAFE, later, 0).0, Err(Refusal::Probing)));
    assert_eq!(settle(&mut breaker, probe, Verdict::ABANDONED, later), None);
    let _again = admitted(&mut breaker, later);
}

#[test]
fn a_late_probe_opens_it_again_and_for_longer_and_what_came_back_slower_is_let_in_at_last() {
    let mut now = Instant::now();
    let mut breaker = tripped(policy(), now);
    let usual = Some(Duration::from_millis(100));
    for (patience, wait) in [(1, 30), (4, 45), (10, 67)] {
        now += Duration::from_secs(400);
        let ask = PermitRequest { usual, ..PermitRequest::SAFE };
        let probe = breaker.admit(ask, now, 0).0.expect("a probe");
        let late_at = now + Duration::from_secs(patience);
        let sooner = late_at - Duration::from_millis(1);
        assert_eq!(breaker.tick(sooner), None, "a second at least, four times longer, 10 s at most");
        let moved = breaker.tick(late_at).expect("late");
        assert_eq!((moved.to, moved.why), (BreakerState::Open, TransitionCause::ProbeFailed));
        let until = breaker.view(late_at).open_until.expect("open");
        assert!(until - late_at > Duration::from_secs(wait), "1.5 times longer, less 20 % of jitter");
        assert_eq!(settle(&mut breaker, probe, Verdict::Good, late_at), None, "its answer counts no more");
        now = late_at;
    }
}

#[test]
fn a_safe_request_is_the_preferred_probe_and_any_other_comes_when_there_is_none() {
    let t0 = Instant::now();
    let later = t0 + WAITED;
    for (fitness, waited) in [(Fitness::Safe, 0), (Fitness::Whole, 1), (Fitness::Streamed, 5)] {
        let mut breaker = tripped(policy(), t0);
        breaker.tick(later);
        let ask = PermitRequest { fitness, usual: None };
        let at = later + Duration::from_secs(waited);
        if waited > 0 {
            assert!(breaker.admit(ask, at - Duration::from_millis(1), 0).0.is_err());
        }
        assert!(breaker.admit(ask, at, 0).0.is_ok());
    }
}

#[test]
fn checks_close_what_they_can_see_and_are_not_believed_twice_in_vain() {
    let t0 = Instant::now();
    let ramp = Duration::from_secs(10);
    let mut breaker = tripped(BreakerPolicy { ramp, ..policy() }, t0);
    for _ in 0..9 {
        assert_eq!(breaker.checked(Sees::Connecting, Check::Passed, t0), None, "a connect sees no answers");
    }
    assert_eq!(breaker.checked(Sees::Answering, Check::Passed, t0), None);
    assert_eq!(breaker.checked(Sees::Answering, Check::Failed, t0), None);
    assert_eq!(breaker.checked(Sees::Answering, Check::Passed, t0), None);
    let moved = breaker.checked(Sees::Answering, Check::Passed, t0).expect("closed before the wait is over");
    assert_eq!((moved.to, moved.why), (BreakerState::Closed, TransitionCause::ChecksPassed));
    let again = t0 + Duration::from_secs(1);
    while one(&mut breaker, BAD, again).is_none() {}
    for _ in 0..9 {
        assert_eq!(breaker.checked(Sees::Answering, Check::Passed, again), None, "they were wrong");
    }
    let later = again + WAITED * 2;
    one(&mut breaker, Verdict::Good, later);
    one(&mut breaker, Verdict::Good, later);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[test]
fn what_opened_by_connecting_is_closed_by_connects_when_no_request_comes() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    while one(&mut breaker, REFUSED, t0).is_none() {}
    let mut now = t0 + WAITED;
    breaker.tick(now);
    assert!(!breaker.wants_connect(now), "a request may still come");
    now += SOON;
    assert!(breaker.wants_connect(now));
    assert_eq!(breaker.connected(Check::Failed, now).map(|moved| moved.to), Some(BreakerState::Open));
    now += Duration::from_secs(60);
    breaker.tick(now);
    assert_eq!(breaker.connected(Check::Passed, now), None);
    assert_eq!(
        breaker.connected(Check::Passed, now).map(|moved| moved.why),
        Some(TransitionCause::ChecksPassed)
    );
    let mut answers = tripped(policy(), t0);
    answers.tick(now);
    assert!(!answers.wants_connect(now + SOON), "what opened by answers waits for a request");
}

#[test]
fn a_connect_that_timed_out_is_seen_by_a_check_that_connects() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    let dropped = ExchangeEvidence {
        unconnected: true,
        ..ExchangeEvidence::of(Verdict::Bad(verdict::BadReason::Timeout), t0)
    };
    for second in 0..3 {
        let at = t0 + Duration::from_secs(2 * second);
        let ticket = admitted(&mut breaker, at);
        breaker.settle(ticket, &dropped, at);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
    let later = t0 + Duration::from_secs(10);
    assert_eq!(breaker.checked(Sees::Connecting, Check::Passed, later), None);
    let moved = breaker.checked(Sees::Connecting, Check::Passed, later).expect("closes");
    assert_eq!(moved.why, TransitionCause::ChecksPassed);
}

#[test]
fn a_rate_of_connects_that_failed_is_seen_by_a_check_that_connects_unless_something_else_failed_too() {
    let t0 = Instant::now();
    let by_rate = BreakerPolicy { failures: None, failure_rate: Some(Percent::of(50)), ..policy() };
    for (first, closes) in [(REFUSED, true), (BAD, false)] {
        let mut breaker = Breaker::new(by_rate.clone(), 7, t0);
        assert_eq!(one(&mut breaker, first, t0), None);
        for _ in 0..9 {
            one(&mut breaker, REFUSED, t0);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
        let passed = (0..2).filter_map(|_| breaker.checked(Sees::Connecting, Check::Passed, t0)).count();
        assert_eq!(passed > 0, closes, "{first:?} came first");
    }
}

#[test]
fn to_an_operation_a_failed_connection_says_nothing_and_its_own_failures_are_not_bounded_by_its_route() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    // As the upstream's breaker sees it: all on one operation, while another is served.
    let upstream = blame(1, 1);
    let mut settle = |verdict| {
        let ticket = admitted(&mut breaker, t0);
        let evidence = ExchangeEvidence { blame: upstream, ..ExchangeEvidence::of(verdict, t0) };
        breaker.settle(ticket, &evidence.of_operation(Party { client: 1, route: 9 }, Lately::default()), t0)
    };
    for _ in 0..9 {
        assert_eq!(settle(REFUSED), None);
    }
    let moved = [BAD; 3].into_iter().filter_map(&mut settle).count();
    assert_eq!(moved, 1);
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
    assert_eq!(one(&mut breaker, limited, later).map(|moved| moved.why), Some(TransitionCause::ProbeFailed));
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
    assert!(matches!(
        one(&mut breaker, BAD, t0).map(|moved| moved.why),
        Some(TransitionCause::Tripped(Trip::FailureRate(_)))
    ));
}

#[test]
fn a_hiccup_is_no_rate_however_many_it_hits() {
    let t0 = Instant::now();
    let dedup_window = Duration::from_secs(1);
    let by_rate =
        BreakerPolicy { failures: None, failure_rate: Some(Percent::of(50)), dedup_window, ..policy() };
    let mut breaker = Breaker::new(by_rate, 7, t0);
    for _ in 0..500 {
        assert_eq!(one(&mut breaker, REFUSED, t0), None);
    }
    assert_eq!(one(&mut breaker, REFUSED, t0 + dedup_window), None);
    assert!(one(&mut breaker, REFUSED, t0 + dedup_window * 2).is_some(), "the third second is no hiccup");
}

fn blame(client: u32, route: u32) -> Blame {
    let lately = Lately { another_client: true, another_route: true, ..Lately::default() };
    Blame { party: Party { client, route }, lately, ..Blame::default() }
}

#[test]
fn one_client_or_one_route_alone_does_not_open_it_while_others_are_served() {
    let t0 = Instant::now();
    for others in [|n| blame(1, n), |n| blame(n, 1)] {
        let mut breaker = Breaker::new(policy(), 7, t0);
        for n in 0..20 {
            assert_eq!(by(&mut breaker, others(n), BAD, t0), None);
        }
        assert_eq!(breaker.view(t0).consecutive, 2, "half of three, rounded up");
        assert!(by(&mut breaker, blame(77, 77), BAD, t0).is_some());
    }
    let mut breaker = Breaker::new(policy(), 7, t0);
    let alone = Blame { lately: Lately::default(), ..blame(1, 1) };
    for _ in 0..2 {
        assert_eq!(by(&mut breaker, alone, BAD, t0), None);
    }
    assert!(by(&mut breaker, alone, BAD, t0).is_some(), "nobody else is served");
}

#[test]
fn one_route_that_always_fails_reaches_no_rate() {
    let t0 = Instant::now();
    let by_rate = BreakerPolicy { failures: None, failure_rate: Some(Percent::of(50)), ..policy() };
    let mut breaker = Breaker::new(by_rate, 7, t0);
    for n in 0..200 {
        assert_eq!(by(&mut breaker, blame(n, 1), BAD, t0), None);
        if n % 4 == 0 {
            one(&mut breaker, Verdict::Good, t0);
        }
    }
}

#[test]
fn bad_answers_of_one_endpoint_do_not_open_it_while_another_is_in_rotation() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    let at = |endpoint, alternatives| Blame { endpoint, alternatives, ..Blame::default() };
    for _ in 0..20 {
        assert_eq!(by(&mut breaker, at(1, 1), BAD, t0), None);
    }
    assert!(by(&mut breaker, at(2, 1), BAD, t0).is_some(), "the second one says so too");
    let mut breaker = Breaker::new(policy(), 7, t0);
    let trips = (0..3).filter(|_| by(&mut breaker, at(1, 0), BAD, t0).is_some()).count();
    assert_eq!(trips, 1, "it is the last one");
}

#[test]
fn of_bad_answers_that_were_in_flight_together_one_counts() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(policy(), 7, t0);
    let tickets: Vec<_> = (0..50).map(|_| admitted(&mut breaker, t0)).collect();
    for (n, ticket) in tickets.into_iter().enumerate() {
        let now = t0 + Duration::from_millis(100 + n as u64);
        assert_eq!(breaker.settle(ticket, &ExchangeEvidence::of(BAD, t0), now), None);
    }
    assert_eq!(breaker.view(t0).consecutive, 1);
}

#[test]
fn a_vendor_that_hangs_opens_it_seconds_after_its_first_timeout() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(BreakerPolicy { dedup_window: Duration::from_secs(1), ..policy() }, 7, t0);
    let late = |seconds: u64| t0 + Duration::from_secs(60 + seconds);
    let tickets: Vec<_> = (0..3).map(|_| admitted(&mut breaker, t0)).collect();
    let timeout = ExchangeEvidence::of(Verdict::Bad(verdict::BadReason::Timeout), t0);
    let moves =
        tickets.into_iter().zip(0..).filter_map(|(ticket, n)| breaker.settle(ticket, &timeout, late(n)));
    assert_eq!(
        moves.map(|moved| moved.why).collect::<Vec<_>>(),
        [TransitionCause::Tripped(Trip::Failures(3))]
    );
}

#[test]
fn a_trip_tells_the_attempts_that_made_it() {
    let t0 = Instant::now();
    let mut breaker = tripped(policy(), t0);
    let told = breaker.view(t0).evidence;
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|failed| failed.why == Some(verdict::BadReason::Status) && failed.at == t0));
}

#[test]
fn what_slow_answers_opened_is_closed_by_quick_ones_and_what_failures_opened_by_slow_ones_too() {
    let t0 = Instant::now();
    let by_both = BreakerPolicy { slow_rate: Some(Percent::of(50)), ..policy() };
    let later = t0 + WAITED;
    let mut breaker = Breaker::new(by_both.clone(), 7, t0);
    while one(&mut breaker, Verdict::Slow, t0).is_none() {}
    assert_eq!(
        one(&mut breaker, Verdict::Slow, later).map(|moved| moved.why),
        Some(TransitionCause::ProbeFailed)
    );
    let again = later + Duration::from_secs(60);
    assert_eq!(one(&mut breaker, Verdict::Good, again), None);
    assert_eq!(one(&mut breaker, Verdict::Good, again).map(|moved| moved.to), Some(BreakerState::Closed));
    let mut breaker = tripped(by_both, t0);
    assert_eq!(one(&mut breaker, Verdict::Slow, later), None);
    assert_eq!(one(&mut breaker, Verdict::Slow, later).map(|moved| moved.to), Some(BreakerState::Closed));
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
    assert!(matches!(
        one(&mut breaker, Verdict::Slow, t0).map(|moved| moved.why),
        Some(TransitionCause::Tripped(Trip::SlowRate(_)))
    ));
}

#[test]
fn one_hiccup_over_many_connections_counts_once_an_endpoint() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(BreakerPolicy { dedup_window: Duration::from_secs(1), ..policy() }, 7, t0);
    for _ in 0..50 {
        assert_eq!(one(&mut breaker, REFUSED, t0), None);
    }
    assert_eq!(one(&mut breaker, REFUSED, t0 + Duration::from_millis(999)), None);
    assert_eq!(one(&mut breaker, REFUSED, t0 + Duration::from_secs(2)), None);
    assert!(one(&mut breaker, REFUSED, t0 + Duration::from_secs(4)).is_some());
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
        assert!(breaker.admit(PermitRequest::SAFE, half, u64::MAX).0.is_ok(), "a few are no crowd");
    }
    assert!(breaker.admit(PermitRequest::SAFE, half, u64::MAX / 10 * 4).0.is_ok());
    assert_eq!(breaker.admit(PermitRequest::SAFE, half, u64::MAX / 10 * 6).0.err(), Some(Refusal::Ramping));
    assert!(breaker.admit(PermitRequest::SAFE, later + Duration::from_secs(10), u64::MAX).0.is_ok());
    assert!(breaker.is_steady());
}

fn held(state: BreakerState, until: Instant) -> Hold {
    Hold { state, reason: "maintenance".to_owned(), actor: "ops".to_owned(), until }
}

#[test]
fn what_was_closed_before_a_hold_is_closed_after_it() {
    let t0 = Instant::now();
    let until = t0 + Duration::from_secs(60);
    let mut breaker = Breaker::new(policy(), 7, t0);
    let ends: [fn(&mut Breaker, Instant) -> Option<BreakerTransition>; 4] =
        [Breaker::tick, Breaker::release, |b, now| b.close(false, now), |b, now| b.close(true, now)];
    for end in ends {
        breaker.hold(held(BreakerState::Open, until), t0);
        assert!(matches!(breaker.admit(PermitRequest::SAFE, t0, 0).0, Err(Refusal::Held { .. })));
        assert_eq!(
            end(&mut breaker, until).map(|moved| (moved.to, moved.recovered)),
            Some((BreakerState::Closed, None))
        );
        assert!(breaker.is_steady());
    }
}

#[test]
fn what_was_open_before_a_hold_must_pass_its_probes_after_it() {
    let t0 = Instant::now();
    let until = t0 + Duration::from_secs(60);
    let mut breaker = tripped(policy(), t0);
    breaker.hold(held(BreakerState::Open, until), t0);
    breaker.hold(held(BreakerState::Open, until), t0);
    assert_eq!(breaker.tick(until).map(|moved| moved.to), Some(BreakerState::HalfOpen));
}

#[test]
fn fresh_evidence_rules_over_what_was_before_a_hold() {
    let t0 = Instant::now();
    let until = t0 + Duration::from_secs(60);
    let mut breaker = Breaker::new(policy(), 7, t0);
    breaker.hold(held(BreakerState::Closed, until), t0);
    for _ in 0..20 {
        assert_eq!(one(&mut breaker, BAD, t0), None, "held closed: nothing trips it");
    }
    assert_eq!(breaker.release(t0).map(|moved| moved.to), Some(BreakerState::Open));
    let mut breaker = tripped(policy(), t0);
    breaker.hold(held(BreakerState::Closed, until), t0);
    one(&mut breaker, Verdict::Good, t0);
    assert_eq!(breaker.release(t0).map(|moved| moved.to), Some(BreakerState::Closed), "it has served");
}

#[test]
fn in_shadow_it_moves_as_it_would_and_refuses_nothing_but_for_an_operator() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(BreakerPolicy { mode: Mode::Shadow, ..policy() }, 7, t0);
    let moved = (0..3).find_map(|_| one(&mut breaker, BAD, t0)).expect("would open");
    assert!(moved.shadow && moved.to == BreakerState::Open);
    assert_eq!((breaker.state(), breaker.shadow_state()), (BreakerState::Closed, Some(BreakerState::Open)));
    for _ in 0..20 {
        assert_eq!(
            one(&mut breaker, Verdict::Good, t0),
            None,
            "what would not have been sent counts nowhere"
        );
    }
    let later = t0 + WAITED;
    let probe = admitted(&mut breaker, later);
    assert!(probe.is_probe() && admitted(&mut breaker, later).is_uncounted());
    settle(&mut breaker, probe, Verdict::Good, later);
    assert!(one(&mut breaker, Verdict::Good, later).is_some_and(|moved| moved.to == BreakerState::Closed));
    breaker.hold(held(BreakerState::Open, later + WAITED), later);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert!(breaker.admit(PermitRequest::SAFE, later, 0).0.is_err());
}

#[test]
fn switched_off_it_counts_and_never_moves_and_a_hold_wins() {
    let t0 = Instant::now();
    let mut breaker = tripped(policy(), t0);
    let moved = breaker.reconfigure(BreakerPolicy { mode: Mode::Off, ..policy() }, t0).expect("closes");
    assert_eq!(
        (moved.from, moved.to, moved.why),
        (BreakerState::Open, BreakerState::Closed, TransitionCause::ModeChanged)
    );
    for _ in 0..20 {
        assert_eq!(one(&mut breaker, BAD, t0), None);
    }
    assert_eq!(breaker.view(t0).tally.bad, 20);
    breaker.hold(held(BreakerState::Open, t0 + WAITED), t0);
    assert!(breaker.admit(PermitRequest::SAFE, t0, 0).0.is_err());
    assert_eq!(breaker.tick(t0 + WAITED).map(|moved| moved.to), Some(BreakerState::Closed));
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
    Reconfigure(u32, Mode),
    Check(Sees, Check),
    Connect(Check),
}

fn any_act() -> impl Strategy<Value = Act> {
    let verdict = prop_oneof![
        Just(Verdict::Good),
        Just(Verdict::Slow),
        Just(BAD),
        Just(REFUSED),
        Just(Verdict::RateLimited { retry_after: Some(Duration::from_secs(9)) }),
        Just(Verdict::ABANDONED),
    ];
    let sees = prop_oneof![Just(Sees::Connecting), Just(Sees::Answering)];
    let check = prop_oneof![Just(Check::Passed), Just(Check::Failed)];
    prop_oneof![
        5 => any::<u64>().prop_map(Act::Admit),
        5 => (0_usize..8, verdict).prop_map(|(at, verdict)| Act::Settle(at, verdict)),
        2 => (0_u64..60_000).prop_map(Act::Wait),
        1 => (any::<bool>(), 0_u64..60).prop_map(|(open, s)| Act::Hold(open, s)),
        1 => Just(Act::Release),
        1 => any::<bool>().prop_map(Act::Close),
        1 => (1_u32..4, 0_usize..3).prop_map(|(n, mode)| Act::Reconfigure(n, Mode::ALL[mode])),
        2 => (sees, check.clone()).prop_map(|(sees, check)| Act::Check(sees, check)),
        1 => check.prop_map(Act::Connect),
    ]
}

fn act(breaker: &mut Breaker, tickets: &mut Vec<Ticket>, now: &mut Instant, act: Act) {
    match act {
        Act::Admit(draw) => {
            let fitness = [Fitness::Safe, Fitness::Whole, Fitness::Streamed][(draw % 3) as usize];
            let (answer, _) = breaker.admit(PermitRequest { fitness, usual: None }, *now, draw);
            if let Ok(ticket) = answer {
                assert_ne!(breaker.state(), BreakerState::Open, "nothing is admitted while open");
                tickets.push(ticket);
            }
            assert!(breaker.view(*now).probes_in_flight <= 3);
        }
        Act::Settle(at, verdict) if at < tickets.len() => {
            settle(breaker, tickets.swap_remove(at), verdict, *now);
        }
        Act::Settle(..) => {}
        Act::Wait(millis) => *now += Duration::from_millis(millis),
        Act::Hold(open, seconds) => {
            let state = if open { BreakerState::Open } else { BreakerState::Closed };
            let until = *now + Duration::from_secs(seconds);
            breaker.hold(Hold { state, reason: String::new(), actor: String::new(), until }, *now);
        }
        Act::Release => {
            breaker.release(*now);
        }
        Act::Close(force) => {
            breaker.close(force, *now);
        }
        Act::Check(sees, check) => {
            breaker.checked(sees, check, *now);
        }
        Act::Connect(check) => {
            breaker.connected(check, *now);
        }
        Act::Reconfigure(n, mode) => {
            let few = NonZeroU32::new(n).expect("not zero");
            let changed =
                BreakerPolicy { mode, failures: Some(few), successes: few, probes: few, ..policy() };
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
            if let (Ok(ticket), _) = breaker.admit(PermitRequest::SAFE, now, 0) {
                settle(&mut breaker, ticket, Verdict::Good, now);
            }
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
        prop_assert!(breaker.is_steady());
    }
}
