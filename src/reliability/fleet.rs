//! Several members, one that calls people: who has that duty, and what the others see.
//!
//! The duty is a lease in the store that they share. While the store is away nobody can say who has it, so it fails open:
//! whoever had it goes on, and the others begin once it would have run out and a wait that differs from member to member has
//! passed. Then several may call; they do so with the same dedup key, so receivers make one of it. At least once beats never.
//!
//! Refuses to know what a lease is made of, and what is called.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alert::Sign;
use super::backoff;
use super::rule::{AlertKey, Severity};
use crate::units::At;

/// How long the duty is given for. Renewed each second; whoever follows asks within a second after its end, so a dead member is
/// followed within this and a second.
pub const TERM: Duration = Duration::from_secs(5);
/// What a member saw this long ago counts for nothing: it is gone, or cannot tell any more.
pub const FRESH: Duration = Duration::from_secs(10);
/// How often a member tells that it runs, and asks what is new.
const BEAT: Duration = Duration::from_secs(2);
/// The same for the one that has the duty.
const RENEW: Duration = Duration::from_secs(1);
/// Alerts of others that every member is told, the worst ones.
const SEEN: usize = 64;
/// News reaches all members in the same moment. Each waits for its turn before it asks: so much for each member there is …
const TURN: Duration = Duration::from_millis(1);
/// … and no longer than this.
const TURNS: Duration = Duration::from_secs(1);

/// How long until a member's next beat. `left`: how long the one that has the duty may keep it. `draw` is any number: beats of
/// members that began together drift apart, and not all who wait for the end of a duty ask in the same moment.
pub fn next_beat(duty: Duty, left: Duration, draw: u64) -> Duration {
    let share = backoff::share(draw);
    // Later than by the clock would be too late: the duty is given for a fixed time.
    let period = |period: Duration| period.mul_f64(0.8 + 0.2 * share);
    match duty {
        Duty::Holds => period(RENEW),
        Duty::Alone => period(BEAT),
        Duty::Follows => period(BEAT).min(left + Duration::from_millis(800).mul_f64(share)),
    }
}

/// How long one of so many members waits before it asks for news that all have heard of.
pub fn turn(members: u64, draw: u64) -> Duration {
    let turns = TURN.saturating_mul(u32::try_from(members).unwrap_or(u32::MAX)).min(TURNS);
    turns.mul_f64(backoff::share(draw))
}

/// Does this member call people?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// It does, and no other member: it has the lease.
    Holds,
    /// It does, and perhaps others too: nobody can say who should.
    Alone,
    /// It does not: another member has the lease.
    Follows,
}

impl Duty {
    /// As in the API and in logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Alone => "alone",
            Self::Follows => "follows",
        }
    }

    /// True when it calls people.
    pub fn acts(self) -> bool {
        match self {
            Self::Holds | Self::Alone => true,
            Self::Follows => false,
        }
    }
}

/// The reply of the store to a request for the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseReply {
    /// Granted for [`TERM`], counted from the request.
    Granted,
    /// Another member holds it.
    HeldElsewhere,
    /// The store did not answer.
    Unreachable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// There are no others.
    Single,
    /// Ours until then, or for as long as nobody can say otherwise.
    Ours { until: At, away: bool },
    /// Another one's, as was last heard then (or nothing was heard since then).
    HeldElsewhere { heard: At },
}

/// Keeps who has the duty.
#[derive(Clone, Debug)]
pub struct Leadership {
    standing: Standing,
    /// Silence that makes this member act.
    patience: Duration,
}

impl Leadership {
    /// Of the only member: it always has the duty.
    pub fn single() -> Self {
        Self { standing: Standing::Single, patience: Duration::ZERO }
    }

    /// Of a member of a fleet that has heard nothing yet. `draw` is any number; it makes members wait differently.
    pub fn member(draw: u64, now: At) -> Self {
        let more = draw % (u64::try_from(TERM.as_millis()).unwrap_or(u64::MAX) + 1);
        let patience = TERM + Duration::from_millis(more);
        Self { standing: Standing::HeldElsewhere { heard: now }, patience }
    }

    /// What it remembers by a clock that runs `millis` ahead of the one before: a lease is a span.
    pub fn shift(&mut self, millis: i64) {
        match &mut self.standing {
            Standing::Single => {}
            Standing::Ours { until: at, .. } | Standing::HeldElsewhere { heard: at } => {
                *at = at.moved(millis)
            }
        }
    }

    /// The store was asked at `asked` and has answered by `now`, or has not.
    pub fn hear(&mut self, said: LeaseReply, asked: At, now: At) {
        self.standing = match (self.standing, said) {
            (Standing::Single, _) => Standing::Single,
            (_, LeaseReply::Granted) => Standing::Ours { until: asked + TERM, away: false },
            (_, LeaseReply::HeldElsewhere) => Standing::HeldElsewhere { heard: now },
            (Standing::Ours { until, .. }, LeaseReply::Unreachable) => Standing::Ours { until, away: true },
            (Standing::HeldElsewhere { heard }, LeaseReply::Unreachable) => Standing::HeldElsewhere { heard },
        };
    }

    /// Does this member call at `now`? One whose lease ran out unnoticed (it was stopped for a while) asks before it acts.
    pub fn duty(&self, now: At) -> Duty {
        match self.standing {
            Standing::Single => Duty::Holds,
            Standing::Ours { away: true, until } if now >= until => Duty::Alone,
            Standing::Ours { until, .. } if now < until => Duty::Holds,
            Standing::Ours { until, .. } if now.since(until) > self.patience => Duty::Alone,
            Standing::HeldElsewhere { heard } if now.since(heard) > self.patience => Duty::Alone,
            Standing::Ours { .. } | Standing::HeldElsewhere { .. } => Duty::Follows,
        }
    }
}

/// What a member sees: one of its live alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The condition: rule, service and scope.
    pub key: AlertKey,
    /// What its own evidence says now.
    pub sign: Sign,
    /// When it went bad.
    pub first_bad: At,
    /// It has evidence enough to call somebody.
    pub confirmed: Confirmed,
    pub severity: Severity,
    /// The service to blame, as far as known.
    #[serde(default)]
    pub cause: Option<Arc<str>>,
    /// One line for people.
    #[serde(default)]
    pub title: String,
    /// Facts by name, for the incident.
    #[serde(default)]
    pub evidence: Vec<(String, String)>,
}

/// Is the evidence enough to call somebody?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirmed {
    /// The evidence only makes it suspected.
    NotYet,
    /// It is enough to call somebody.
    Yes,
}

/// A member, as the store has shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The member's name, as `process.name` says.
    pub member: Arc<str>,
    /// Which start of the member it is.
    pub boot: Arc<str>,
    /// How old its word was when it was read.
    pub age: Duration,
    /// When it was read.
    pub read: At,
    /// Its live alerts when it wrote them.
    pub sees: Vec<Sighting>,
}

impl Neighbour {
    /// How old its word is at `now`.
    pub fn age_at(&self, now: At) -> Duration {
        self.age + now.since(self.read)
    }
}

/// How bad what is seen is.
fn rank(one: &Sighting) -> (u8, Confirmed, Severity, std::cmp::Reverse<At>) {
    let sign = match one.sign {
        Sign::Bad => 3,
        Sign::Between => 2,
        Sign::Good => 1,
        Sign::Blind => 0,
    };
    (sign, one.confirmed, one.severity, std::cmp::Reverse(one.first_bad))
}

/// What others than `boot` see, each alert once; of several words the worst one.
pub fn seen_by_others(neighbours: &[Neighbour], boot: &str, now: At) -> Vec<Sighting> {
    let mut seen: BTreeMap<&AlertKey, &Sighting> = BTreeMap::new();
    let others = neighbours.iter().filter(|one| *one.boot != *boot && one.age_at(now) <= FRESH);
    for sighting in others.flat_map(|one| &one.sees) {
        let held = seen.entry(&sighting.key).or_insert(sighting);
        if rank(sighting) > rank(held) {
            *held = sighting;
        }
    }
    seen.into_values().cloned().collect()
}

/// What the fleet sees, as the member with the duty tells all others: they need not hear each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FleetSummary {
    /// The start that tells it. A holder of an older version leaves the word of the one before it.
    pub by: Arc<str>,
    /// Members seen within [`FRESH`].
    pub members: u64,
    /// Their alerts, each once, the worst ones first; without evidence, and no more than 64.
    pub seen: Vec<SharedSighting>,
}

/// An alert that some member sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedSighting {
    /// The worst that is seen of it.
    #[serde(flatten)]
    pub sighting: Sighting,
    /// The start that sees it, where it is one alone.
    #[serde(default)]
    pub only: Option<Arc<str>>,
}

impl FleetSummary {
    /// Of all members, the one that tells it among them.
    pub fn of(boot: &str, neighbours: &[Neighbour], members: u64, now: At) -> Self {
        let mut by: BTreeMap<&AlertKey, (usize, &Arc<str>)> = BTreeMap::new();
        for one in neighbours.iter().filter(|one| one.age_at(now) <= FRESH) {
            for sighting in &one.sees {
                by.entry(&sighting.key).or_insert((0, &one.boot)).0 += 1;
            }
        }
        let shared = |sighting: Sighting| {
            let only =
                by.get(&sighting.key).filter(|(count, _)| *count == 1).map(|(_, boot)| Arc::clone(boot));
            SharedSighting { sighting: Sighting { evidence: Vec::new(), ..sighting }, only }
        };
        // Nobody's start has an empty name.
        let mut seen: Vec<SharedSighting> =
            seen_by_others(neighbours, "", now).into_iter().map(shared).collect();
        seen.sort_by_key(|one| std::cmp::Reverse(rank(&one.sighting)));
        seen.truncate(SEEN);
        Self { by: Arc::from(boot), members, seen }
    }

    /// What others than `boot` see.
    pub fn of_others(&self, boot: &str) -> Vec<Sighting> {
        let others = self.seen.iter().filter(|one| one.only.as_deref() != Some(boot));
        others.map(|one| one.sighting.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::reliability::rule::Rule;

    fn at(millis: u64) -> At {
        At(0) + Duration::from_millis(millis)
    }

    #[test]
    fn the_only_member_always_has_the_duty() {
        let mut leadership = Leadership::single();
        leadership.hear(LeaseReply::Unreachable, at(0), at(1));
        assert_eq!(leadership.duty(at(1_000_000)), Duty::Holds);
    }

    #[test]
    fn a_holder_goes_on_while_the_store_is_away_and_stops_when_another_has_it() {
        let mut leadership = Leadership::member(0, at(0));
        leadership.hear(LeaseReply::Granted, at(100), at(200));
        assert_eq!(leadership.duty(at(5_099)), Duty::Holds);
        leadership.hear(LeaseReply::Unreachable, at(1_000), at(3_000));
        assert_eq!((leadership.duty(at(5_099)), leadership.duty(at(5_100))), (Duty::Holds, Duty::Alone));
        leadership.hear(LeaseReply::HeldElsewhere, at(9_000), at(9_001));
        assert_eq!(leadership.duty(at(9_001)), Duty::Follows);
    }

    #[test]
    fn a_follower_begins_once_the_lease_would_have_run_out_and_not_with_all_others() {
        let mut waits: Vec<u64> = (0..50)
            .map(|draw| {
                let mut leadership = Leadership::member(draw * 101, at(0));
                leadership.hear(LeaseReply::HeldElsewhere, at(1_000), at(1_000));
                leadership.hear(LeaseReply::Unreachable, at(2_000), at(4_000));
                (1_000..20_000).find(|now| leadership.duty(at(*now)).acts()).expect("begins") - 1_000
            })
            .collect();
        waits.sort_unstable();
        assert!(waits[0] > 5_000 && waits[49] <= 10_001, "{waits:?}");
        waits.dedup();
        assert!(waits.len() > 40, "{waits:?}");
    }

    #[test]
    fn one_that_was_stopped_for_a_while_asks_before_it_acts() {
        let mut leadership = Leadership::member(0, at(0));
        leadership.hear(LeaseReply::Granted, at(0), at(10));
        assert_eq!(leadership.duty(at(7_000)), Duty::Follows);
        leadership.hear(LeaseReply::Unreachable, at(7_000), at(7_001));
        assert_eq!(leadership.duty(at(7_001)), Duty::Alone);
    }

    fn sighting(sign: Sign, confirmed: Confirmed) -> Sighting {
        Sighting {
            key: AlertKey::of(Rule::ServiceDown, "billing", ""),
            sign,
            first_bad: at(1),
            confirmed,
            severity: Severity::Critical,
            cause: None,
            title: String::new(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn of_what_others_see_the_worst_counts_and_what_is_old_counts_for_nothing() {
        let neighbour = |boot: &str, age: u64, sees: Sighting| Neighbour {
            member: Arc::from("m"),
            boot: Arc::from(boot),
            age: Duration::from_millis(age),
            read: at(1_000),
            sees: vec![sees],
        };
        let bad = sighting(Sign::Bad, Confirmed::NotYet);
        let all = [
            neighbour("me", 0, sighting(Sign::Bad, Confirmed::Yes)),
            neighbour("well", 0, sighting(Sign::Good, Confirmed::Yes)),
            neighbour("unwell", 4_000, bad.clone()),
        ];
        assert_eq!(seen_by_others(&all, "me", at(7_000)), [bad]);
        assert_eq!(seen_by_others(&all, "me", at(7_001))[0].sign, Sign::Good);
        assert_eq!(seen_by_others(&all, "me", at(11_001)), []);
    }

    #[test]
    fn what_one_member_tells_all_others_is_what_they_would_hear_of_each_other() {
        let of = |boot: &str, keys: &[usize]| Neighbour {
            member: Arc::from("m"),
            boot: Arc::from(boot),
            age: Duration::ZERO,
            read: at(0),
            sees: keys
                .iter()
                .map(|key| Sighting {
                    key: AlertKey::of(Rule::ServiceDown, &format!("s{key}"), ""),
                    ..sighting(Sign::Bad, Confirmed::Yes)
                })
                .collect(),
        };
        let all = [of("a", &[1, 2]), of("b", &[2, 3])];
        let whole = FleetSummary::of("a", &all, 2, at(1_000));
        let keys = |sees: Vec<Sighting>| {
            sees.into_iter().map(|one| one.key).collect::<std::collections::BTreeSet<_>>()
        };
        for boot in ["a", "b", "c"] {
            assert_eq!(keys(whole.of_others(boot)), keys(seen_by_others(&all, boot, at(1_000))), "{boot}");
        }
        let said = serde_json::to_string(&whole).expect("JSON");
        assert_eq!(serde_json::from_str::<FleetSummary>(&said).expect("reads"), whole);
        let many: Vec<usize> = (0..1_000).collect();
        let many = FleetSummary::of("a", &[of("a", &many)], 1, at(0));
        assert_eq!(many.seen.len(), SEEN, "a word is bounded");
    }

    proptest! {
        #[test]
        fn a_beat_comes_before_the_duty_ends_and_a_followers_soon_after(draw: u64, left in 0_u64..5_000) {
            let left = Duration::from_millis(left);
            prop_assert!(next_beat(Duty::Holds, left, draw) <= RENEW);
            let follows = next_beat(Duty::Follows, left, draw);
            prop_assert!(follows <= BEAT && follows <= left + Duration::from_secs(1));
            prop_assert!(left < BEAT || follows >= BEAT.mul_f64(0.79), "nobody hurries without a reason");
        }

        #[test]
        fn turns_grow_with_the_fleet_up_to_a_second(members: u64, draw: u64) {
            prop_assert!(turn(members, draw) <= TURNS);
            prop_assert!(turn(members.min(20), draw) <= Duration::from_millis(20));
        }

        /// Any number of members, one lease, any weather: while the store answers, never two hold it at once, and whenever
        /// it has not answered for long, everybody calls.
        #[test]
        fn never_two_while_the_store_answers_and_never_none_for_long(
            weather in proptest::collection::vec((0_usize..4, any::<bool>()), 1..200),
            draws in proptest::collection::vec(any::<u64>(), 4),
        ) {
            let mut members: Vec<Leadership> = draws.iter().map(|draw| Leadership::member(*draw, at(0))).collect();
            let (mut lease, mut silent) = (None::<(usize, u64)>, 0);
            for (second, (dead, away)) in (1_u64..).zip(weather) {
                let now = second * 1_000;
                for (me, leadership) in members.iter_mut().enumerate() {
                    if me == dead {
                        continue; // this second it does not come to ask
                    }
                    let said = match lease {
                        _ if away => LeaseReply::Unreachable,
                        Some((holder, until)) if holder != me && until > now => LeaseReply::HeldElsewhere,
                        Some(_) | None => {
                            lease = Some((me, now + 5_000));
                            LeaseReply::Granted
                        }
                    };
                    leadership.hear(said, at(now), at(now));
                }
                silent = if away { silent + 1 } else { 0 };
                let holding = members.iter().filter(|one| one.duty(at(now)) == Duty::Holds).count();
                prop_assert!(holding <= 1, "{holding} hold it");
                if silent > 16 {
                    prop_assert!(members.iter().all(|one| one.duty(at(now)).acts()));
                }
            }
        }
    }
}
