use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::units::At;

const POLICY: ReplayPolicy = ReplayPolicy {
    ttl: Duration::from_secs(100),
    attempts: 3,
    backoff: Duration::from_secs(2),
    backoff_max: Duration::from_secs(10),
};
const MANY: QueueLimits = QueueLimits { messages: 1_000, bytes: 1_000_000 };

fn write(order: Option<u64>, known_again: bool) -> QueuedWrite {
    QueuedWrite {
        upstream: "mail".into(),
        route: "mail".into(),
        order,
        known_again,
        queued: At(0),
        bytes: 10,
        attempts: 0,
        due: At(0),
        phase: QueuePhase::Waiting,
    }
}

fn answered(status: u16) -> ReplayOutcome {
    ReplayOutcome::Answered { status, retry_after: None, undone: false }
}

fn comes(outcome: ReplayOutcome, known_again: bool) -> NextReplay {
    after(outcome, &write(None, known_again), &POLICY, At(1_000), 0)
}

#[test]
fn what_may_have_arrived_is_sent_again_only_where_it_is_known_again() {
    for outcome in [ReplayOutcome::Unsure, answered(500), answered(502), answered(504), answered(408)] {
        assert_eq!(comes(outcome, false), NextReplay::Dead(DeadReason::Unsure), "{outcome:?}");
        assert!(matches!(comes(outcome, true), NextReplay::Later { counted: true, .. }), "{outcome:?}");
    }
    for outcome in [answered(503), answered(429)] {
        assert!(matches!(comes(outcome, false), NextReplay::Later { counted: true, .. }), "{outcome:?}");
    }
    let wait = NextReplay::Later { wait: Duration::from_secs(1), counted: false };
    assert_eq!([comes(ReplayOutcome::Unsent, false), comes(ReplayOutcome::Unsent, true)], [wait; 2]);
}

#[test]
fn an_answer_ends_it_and_a_refusal_is_a_dead_letter() {
    for status in [200, 202, 204] {
        assert_eq!(comes(answered(status), false), NextReplay::Delivered);
    }
    for status in [301, 400, 401, 413, 422] {
        assert_eq!(comes(answered(status), true), NextReplay::Dead(DeadReason::Refused), "{status}");
    }
    let undone = ReplayOutcome::Answered { status: 409, retry_after: None, undone: true };
    assert!(matches!(comes(undone, true), NextReplay::Later { .. }));
}

#[test]
fn retry_after_is_heeded_and_attempts_and_lifetime_end() {
    let asked =
        ReplayOutcome::Answered { status: 503, retry_after: Some(Duration::from_secs(40)), undone: false };
    assert_eq!(comes(asked, false), NextReplay::Later { wait: Duration::from_secs(40), counted: true });
    let late = after(asked, &write(None, true), &POLICY, At(70_000), 0);
    assert_eq!(late, NextReplay::Dead(DeadReason::Expired), "the wait would outlast it");
    let last = QueuedWrite { attempts: 2, ..write(None, true) };
    assert_eq!(after(answered(500), &last, &POLICY, At(0), 0), NextReplay::Dead(DeadReason::Exhausted));
    let unsent = after(ReplayOutcome::Unsent, &write(None, true), &POLICY, At(100_000), 0);
    assert_eq!(unsent, NextReplay::Dead(DeadReason::Expired));
    assert_eq!(
        after(answered(202), &last, &POLICY, At(900_000), 0),
        NextReplay::Delivered,
        "late is delivered"
    );
}

#[test]
fn limits_count_each_upstream_and_all_of_them() {
    let mut queue = Queue::default();
    let two = QueueLimits { messages: 2, bytes: 1_000 };
    assert_eq!(queue.put(write(None, true), two, MANY), Some(1));
    assert_eq!(queue.put(write(None, true), two, MANY), Some(2));
    assert_eq!(queue.put(write(None, true), two, MANY), None);
    let other = QueuedWrite { upstream: "sms".into(), ..write(None, true) };
    assert_eq!(queue.put(other.clone(), two, QueueLimits { messages: 9, bytes: 25 }), None, "bytes in sum");
    assert_eq!(queue.put(other, two, MANY), Some(3));
}

#[test]
fn the_pace_and_an_upstream_that_cannot_be_asked_hold_back_their_own_alone() {
    let mut queue = Queue::default();
    for upstream in ["mail", "mail", "sms"] {
        queue.put(QueuedWrite { upstream: upstream.into(), ..write(None, true) }, MANY, MANY);
    }
    let second = |_: &str| Some(Duration::from_secs(1));
    assert_eq!(queue.next(At(0), second), Some(1));
    assert_eq!(queue.next(At(0), second), Some(3));
    assert_eq!(queue.next(At(999), second), None);
    assert_eq!(queue.next(At(1_000), |name| (name != "mail").then_some(Duration::ZERO)), None);
    assert_eq!(queue.next(At(1_000), second), Some(2));
}

#[test]
fn a_dead_letter_holds_nobody_back_and_is_sent_again_by_order_alone() {
    let mut queue = Queue::default();
    let ids = [(), ()].map(|()| queue.put(write(Some(7), true), MANY, MANY));
    assert_eq!(ids, [Some(1), Some(2)]);
    let at_once = |_: &str| Some(Duration::ZERO);
    assert_eq!(queue.next(At(0), at_once), Some(1));
    assert_eq!(queue.next(At(0), at_once), None, "the second of its key waits");
    queue.settle(1, NextReplay::Dead(DeadReason::Refused), At(5));
    assert_eq!(queue.next(At(5), at_once), Some(2));
    queue.settle(2, NextReplay::Delivered, At(6));
    assert!(!queue.holds_back(7));
    assert_eq!(queue.next(At(9_999_999), at_once), None);
    assert!(queue.retry(1, At(8)).is_some() && queue.holds_back(7));
    assert_eq!(queue.next(At(8), at_once), Some(1));
    assert_eq!(queue.get(1).map(|write| write.known_again), Some(false), "its key may be forgotten by now");
    assert_eq!(queue.retry(1, At(8)), None, "it is being sent");
}

proptest! {
    /// Whatever outcomes come, the writes of a key end in the order in which they came, one at a time.
    #[test]
    fn order_per_key_is_held(keys in prop::collection::vec(prop::option::of(0_u64..3), 1..30), seed: u64) {
        let mut queue = Queue::default();
        for key in &keys {
            prop_assert!(queue.put(write(*key, true), MANY, MANY).is_some());
        }
        let (mut now, mut chance) = (At(0), seed | 1);
        let mut delivered: Vec<u64> = Vec::new();
        for _ in 0..2_000 {
            let mut under_way = Vec::new();
            while let Some(id) = queue.next(now, |_| Some(Duration::ZERO)) {
                under_way.push(id);
            }
            for (nth, id) in under_way.iter().enumerate() {
                let order = queue.get(*id).and_then(|write| write.order);
                let same = |other: &&u64| order.is_some() && queue.get(**other).and_then(|write| write.order) == order;
                prop_assert!(!under_way[..nth].iter().any(|other| same(&other)), "two of a key at once");
            }
            for id in under_way {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let next = if chance >> 62 == 0 {
                    NextReplay::Later { wait: Duration::from_millis(chance >> 54), counted: true }
                } else {
                    delivered.push(id);
                    NextReplay::Delivered
                };
                queue.settle(id, next, now);
            }
            now = now + Duration::from_millis(100);
        }
        prop_assert!(queue.is_empty());
        for key in 0..3 {
            let ids: Vec<u64> = delivered.iter().copied().filter(|id| keys[*id as usize - 1] == Some(key)).collect();
            prop_assert!(ids.is_sorted(), "{ids:?}");
        }
    }
}

#[test]
fn what_ends_the_process_each_time_that_it_is_sent_is_given_up() {
    let mut queue = Queue::default();
    let id = queue.put(write(None, true), MANY, MANY).expect("there is room");
    for sent in 0..POLICY.attempts {
        assert!(queue.exhausted(|_| POLICY.attempts).is_empty(), "{sent}");
        queue.sending(id);
        queue.interrupted(At(1_000));
    }
    assert_eq!(queue.exhausted(|_| POLICY.attempts), [id]);
}
