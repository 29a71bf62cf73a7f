use proptest::prelude::*;

use super::*;

const POLICY: FailoverPolicy = FailoverPolicy {
    when: FailoverWhen::Health,
    min_healthy: Percent::of(0),
    back_after: Duration::from_secs(60),
};
const BY_BREAKER: FailoverPolicy = FailoverPolicy { when: FailoverWhen::Breaker, ..POLICY };
const WELL: GroupSight = sight(2, 2);
const DEAD: GroupSight = sight(2, 0);

const fn sight(endpoints: usize, passing: usize) -> GroupSight {
    GroupSight { endpoints, passing, breaker: BreakerSight::Closed }
}

const fn with(breaker: BreakerSight) -> GroupSight {
    GroupSight { breaker, ..WELL }
}

/// A first and a backup group that are looked at once a second.
struct Watched {
    failover: Failover,
    policy: FailoverPolicy,
    now: Instant,
    switches: Vec<(Group, SwitchReason)>,
}

impl Watched {
    fn new(policy: FailoverPolicy) -> Self {
        Self { failover: Failover::default(), policy, now: Instant::now(), switches: Vec::new() }
    }

    fn look(&mut self, first: GroupSight, backup: GroupSight) -> Group {
        self.now += Duration::from_secs(1);
        let switch = self.failover.look(&self.policy, first, backup, self.now);
        self.switches.extend(switch.map(|switch| (switch.to, switch.why)));
        self.failover.group()
    }

    fn looks(&mut self, seconds: u32, first: GroupSight, backup: GroupSight) -> Group {
        (0..seconds).map(|_| self.look(first, backup)).last().expect("one look at least")
    }

    fn order(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        let (reason, actor) = ("a test".to_owned(), "ann".to_owned());
        self.failover.set_order(FailoverOrder { reason, actor, until });
    }
}

#[test]
fn a_first_group_that_dies_is_left_at_once_and_gone_back_to_after_it_was_well_for_long_enough() {
    let mut seen = Watched::new(POLICY);
    assert_eq!(seen.looks(10, WELL, WELL), Group::First);
    assert_eq!(seen.look(DEAD, WELL), Group::Backup);
    assert_eq!(seen.looks(100, DEAD, WELL), Group::Backup);
    assert_eq!(seen.looks(60, WELL, WELL), Group::Backup);
    assert_eq!(seen.look(WELL, WELL), Group::First);
    assert_eq!(
        seen.switches,
        [(Group::Backup, SwitchReason::Health), (Group::First, SwitchReason::Recovered)]
    );
}

#[test]
fn an_interruption_begins_the_wait_anew() {
    let mut seen = Watched::new(POLICY);
    seen.look(DEAD, WELL);
    seen.looks(50, WELL, WELL);
    seen.look(DEAD, WELL);
    assert_eq!(seen.looks(60, WELL, WELL), Group::Backup);
    assert_eq!(seen.look(WELL, WELL), Group::First);
}

#[test]
fn a_time_in_which_nobody_looked_is_no_time_in_which_it_was_well() {
    let mut seen = Watched::new(POLICY);
    seen.look(DEAD, WELL);
    seen.look(WELL, WELL);
    seen.now += Duration::from_secs(3_600);
    assert_eq!(seen.look(WELL, WELL), Group::Backup);
    assert_eq!(seen.looks(60, WELL, WELL), Group::First);
}

#[test]
fn ordinary_days_switch_nothing() {
    let half = FailoverPolicy { min_healthy: Percent::of(50), ..BY_BREAKER };
    for (day, policy, looks) in [
        ("a rolling deploy of two", half, vec![(30, sight(2, 1)), (5, sight(3, 2)), (30, sight(2, 1))]),
        ("a deploy that leaves one of three", POLICY, vec![(60, sight(3, 1)), (60, sight(3, 2))]),
        ("a name without an address for a moment", half, vec![(1, sight(0, 0)), (9, WELL), (4, sight(0, 0))]),
        ("an operator who holds the breaker open", half, vec![(300, with(BreakerSight::HeldOpen))]),
        (
            "a breaker that lets probes through and grows back",
            half,
            vec![(30, with(BreakerSight::HalfOpen)), (10, with(BreakerSight::Ramping))],
        ),
        ("a breaker that opens where checks alone decide", POLICY, vec![(60, with(BreakerSight::Open))]),
    ] {
        let mut seen = Watched::new(policy);
        for (seconds, first) in looks {
            seen.looks(seconds, first, WELL);
            seen.look(WELL, WELL);
        }
        assert_eq!(seen.switches, [], "{day}");
    }
}

#[test]
fn too_small_a_share_a_breaker_and_a_name_that_is_gone_are_reasons() {
    let half = FailoverPolicy { min_healthy: Percent::of(50), ..BY_BREAKER };
    for (first, seconds, why) in [
        (sight(3, 1), 1, SwitchReason::Health),
        (with(BreakerSight::Open), 1, SwitchReason::Breaker),
        (sight(0, 0), 6, SwitchReason::NoAddress),
    ] {
        let mut seen = Watched::new(half);
        seen.looks(seconds, first, WELL);
        assert_eq!(seen.switches, [(Group::Backup, why)]);
    }
}

#[test]
fn between_two_groups_that_are_equally_ill_nothing_moves() {
    for backup in [DEAD, sight(0, 0), with(BreakerSight::Open), with(BreakerSight::HeldOpen)] {
        let mut seen = Watched::new(POLICY);
        assert_eq!(seen.looks(600, DEAD, backup), Group::First, "{backup:?}");
    }
    let mut seen = Watched::new(POLICY);
    seen.look(DEAD, WELL);
    assert_eq!(seen.looks(600, DEAD, DEAD), Group::Backup);
    assert_eq!(seen.look(WELL, DEAD), Group::First, "who is better off is called, without a wait");
}

#[test]
fn a_first_group_that_does_not_last_waits_longer_each_time() {
    let mut seen = Watched::new(POLICY);
    let mut waits = Vec::new();
    for _ in 0..6 {
        seen.look(DEAD, WELL);
        let mut waited = 0;
        while seen.look(WELL, WELL) == Group::Backup {
            waited += 1;
        }
        waits.push(waited);
    }
    assert_eq!(waits, [60, 120, 240, 480, 480, 480]);
    seen.looks(600, WELL, WELL);
    seen.look(DEAD, WELL);
    assert_eq!(seen.failover.wait(&POLICY), POLICY.back_after, "once it has lasted all is as before");
}

#[test]
fn an_order_holds_the_backup_group_for_its_time_and_then_the_wait_begins() {
    let mut seen = Watched::new(POLICY);
    seen.looks(100, WELL, WELL);
    seen.order(30);
    assert_eq!(seen.looks(29, WELL, WELL), Group::Backup);
    assert_eq!(seen.look(WELL, WELL), Group::Backup);
    assert!(seen.failover.order().is_none());
    assert_eq!(seen.looks(59, WELL, WELL), Group::Backup);
    assert_eq!(seen.looks(2, WELL, WELL), Group::First);
    let told = [(Group::Backup, SwitchReason::Order), (Group::First, SwitchReason::Recovered)];
    assert_eq!(seen.switches, told);
    // No strike: it was not the first group that failed.
    assert_eq!(seen.failover.wait(&POLICY), POLICY.back_after);
}

#[test]
fn an_order_keeps_nobody_with_a_backup_group_that_is_worse() {
    let mut seen = Watched::new(POLICY);
    seen.order(600);
    assert_eq!(seen.look(WELL, DEAD), Group::First);
    assert!(!seen.failover.backup_serves());
    assert_eq!(seen.look(WELL, WELL), Group::Backup);
    assert_eq!(seen.look(WELL, DEAD), Group::First);
    assert_eq!(seen.look(DEAD, DEAD), Group::Backup, "of two that are dead the ordered one");
}

#[test]
fn a_first_group_that_answers_nobody_is_no_way_out_of_a_thin_backup_group() {
    for first in [sight(0, 0), with(BreakerSight::HeldOpen), with(BreakerSight::Open)] {
        let policy = FailoverPolicy { min_healthy: Percent::of(50), ..POLICY };
        let mut seen = Watched::new(policy);
        let thin = sight(10, 1);
        assert_eq!(seen.look(DEAD, WELL), Group::Backup);
        assert_eq!(seen.look(DEAD, thin), Group::Backup);
        assert_eq!(seen.look(first, thin), Group::Backup, "{first:?}");
        assert_eq!(seen.look(WELL, thin), Group::First, "it answers again, and all");
    }
}

#[test]
fn only_the_order_that_is_picked_ends() {
    let mut seen = Watched::new(POLICY);
    seen.order(600);
    assert!(seen.failover.end_order(|order| order.actor == "bob").is_none());
    assert!(seen.failover.end_order(|order| order.actor == "ann").is_some());
    assert!(seen.failover.order().is_none());
}

fn any_sight() -> impl Strategy<Value = GroupSight> {
    let breaker = prop_oneof![
        4 => Just(BreakerSight::Closed),
        1 => Just(BreakerSight::Ramping),
        1 => Just(BreakerSight::HalfOpen),
        1 => Just(BreakerSight::Open),
        1 => Just(BreakerSight::HeldOpen),
    ];
    (0_usize..4, 0_usize..4, breaker).prop_map(|(endpoints, passing, breaker)| GroupSight {
        endpoints,
        passing: passing.min(endpoints),
        breaker,
    })
}

fn any_policy() -> impl Strategy<Value = FailoverPolicy> {
    let when = prop_oneof![Just(FailoverWhen::Health), Just(FailoverWhen::Breaker)];
    (when, 0_u8..=100, 1_u64..30).prop_map(|(when, share, back)| FailoverPolicy {
        when,
        min_healthy: Percent::of(share),
        back_after: Duration::from_secs(back),
    })
}

proptest! {
    #[test]
    fn nobody_is_sent_to_a_group_that_is_worse(
        policy in any_policy(),
        looks in prop::collection::vec((any_sight(), any_sight(), 0_u8..20), 1..200),
    ) {
        let mut seen = Watched::new(policy);
        for (first, backup, ordered) in looks {
            if ordered == 0 {
                seen.order(5);
            }
            let before = seen.switches.len();
            let group = seen.look(first, backup);
            let first_serves = first.serves();
            let (first, backup) = seen.failover.seen;
            let (own, other, other_serves) = match group {
                Group::First => (first, backup, true),
                Group::Backup => (backup, first, first_serves),
            };
            prop_assert!(!(own.is_ill() && own > other && other_serves), "{group:?}: {first:?} {backup:?}");
            if let Some((to, why)) = seen.switches.get(before) {
                prop_assert_eq!(*to, group);
                // A switch by evidence leaves what is ill, or goes back to what is well.
                match why {
                    SwitchReason::Health | SwitchReason::Breaker | SwitchReason::NoAddress => {
                        prop_assert!(first.is_ill() && backup < first);
                    }
                    SwitchReason::BackupIll => prop_assert!(backup.is_ill() && first < backup),
                    SwitchReason::Recovered => prop_assert_eq!(first, Condition::Well),
                    SwitchReason::Order => {}
                }
            }
        }
    }

    #[test]
    fn however_the_first_group_flaps_it_is_gone_back_to_once_in_each_wait_at_most(
        policy in any_policy(),
        looks in prop::collection::vec(any_sight(), 1..400),
    ) {
        let mut seen = Watched::new(policy);
        let seconds = looks.len() as u64;
        for first in looks {
            seen.look(first, WELL);
        }
        let backs = seen.switches.iter().filter(|(to, _)| *to == Group::First).count() as u64;
        prop_assert!(backs <= seconds / policy.back_after.as_secs(), "{backs} in {seconds} s");
    }
}
