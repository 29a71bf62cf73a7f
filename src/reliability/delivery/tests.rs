use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

const MIDDLE: u64 = u64::MAX / 2;

/// One message, owned.
#[derive(Clone, Debug)]
struct One {
    id: NotificationId,
    channel: &'static str,
    line: &'static str,
    incident: &'static str,
    at: u64,
    matter: Matter,
    severity: Severity,
    flies: bool,
    progress: Progress,
}

fn one(channel: &'static str, line: &'static str, matter: Matter) -> One {
    static TOLD: AtomicU32 = AtomicU32::new(0);
    // As they are told: so are their names in order.
    let id = NotificationId::from(format!("{:08}", TOLD.fetch_add(1, Ordering::Relaxed)));
    let (severity, progress) = (Severity::High, Progress::new(0));
    One { id, channel, line, incident: line, at: 0, matter, severity, flies: false, progress }
}

impl One {
    fn seen(&self) -> QueueEntry<'_> {
        let Self { id, channel, line, incident, at, matter, severity, flies, progress } = self;
        QueueEntry {
            id,
            channel,
            line,
            incident,
            at: *at,
            matter: *matter,
            severity: *severity,
            flies: *flies,
            progress,
        }
    }
}

fn seen(all: &[One]) -> Vec<QueueEntry<'_>> {
    all.iter().map(One::seen).collect()
}

/// A queue, its channels, and a clock.
#[derive(Debug, Default)]
struct Queue {
    all: Vec<One>,
    channels: BTreeMap<String, ChannelHealth>,
    now: u64,
}

impl Queue {
    fn of(all: Vec<One>) -> Self {
        Self { all, ..Self::default() }
    }

    fn due(&self) -> Vec<usize> {
        due(&seen(&self.all), &self.channels, self.now)
    }

    fn send(&mut self, at: usize, came: AttemptResult) {
        let one = &mut self.all[at];
        one.flies = false;
        one.progress = one.progress.after(&came, self.now, MIDDLE);
        let channel = one.channel;
        let back = self.channels.entry(channel.to_owned()).or_default().heard(&came, self.now, MIDDLE);
        if back == Back::Yes {
            let waits =
                |one: &&mut One| one.channel == channel && one.progress.state == DeliveryState::Waiting;
            self.all.iter_mut().filter(waits).for_each(|one| one.progress.next_at = self.now);
        }
    }

    fn fold(&mut self) -> Vec<usize> {
        let places = stale(&seen(&self.all));
        places.iter().for_each(|at| self.all[*at].progress.state = DeliveryState::Folded);
        places
    }

    fn wakes_at(&self) -> Option<u64> {
        wakes_at(&seen(&self.all), &self.channels, self.now)
    }
}

const WELL: AttemptResult = AttemptResult::Delivered { again_in: None, left: Remaining::Nobody };

fn away(retry_after: Option<u64>) -> AttemptResult {
    let retry_after = retry_after.map(Duration::from_secs);
    AttemptResult::Failed { whose: Whose::Channel, retry_after, retry_within: None }
}

#[test]
fn an_end_never_overtakes_its_call() {
    let mut queue = Queue::of(vec![one("hook", "1", Matter::Call), one("hook", "2", Matter::Over)]);
    assert_eq!(queue.due(), [0, 1], "lines do not wait for each other");
    queue.all[0].flies = true;
    queue.all.push(one("hook", "1", Matter::Over));
    assert_eq!(queue.due(), [1], "the call is on its way");
    assert_eq!(queue.fold(), [] as [usize; 0], "and is not taken back");
    queue.send(0, WELL);
    assert_eq!(queue.due(), [1, 2]);
}

#[test]
fn what_waits_is_folded_into_what_says_more() {
    use Matter::{Call, Over, Taken, Update};
    for (waits, left) in [
        (vec![Update, Update], vec![Update]),
        (vec![Call, Update], vec![Call, Update]),
        (vec![Update, Call], vec![Call]),
        (vec![Call, Call, Call], vec![Call]),
        (vec![Call, Update, Call, Update], vec![Call, Update]),
        (vec![Call, Taken], vec![Taken]),
        (vec![Taken, Update], vec![Taken, Update]),
        (vec![Update, Call, Update, Taken, Call, Update, Over], vec![Over]),
        // One key of the receiver, two incidents: it has come back.
        (vec![Call, Over, Call], vec![Call]),
    ] {
        let mut ended = false;
        let told = |matter: &Matter| {
            let incident = if ended { "2" } else { "1" };
            ended |= *matter == Over;
            One { incident, ..one("hook", "1", *matter) }
        };
        let mut queue = Queue::of(waits.iter().map(told).collect());
        queue.fold();
        let active = queue.all.iter().filter(|one| one.progress.state.is_active());
        assert_eq!(active.map(|one| one.matter).collect::<Vec<_>>(), left, "{waits:?}");
    }
}

#[test]
fn what_was_delivered_is_not_folded_but_what_follows_it_is() {
    let mut queue = Queue::of(vec![one("hook", "1", Matter::Call)]);
    queue.send(0, WELL);
    for matter in [Matter::Update, Matter::Taken, Matter::Update, Matter::Over] {
        queue.all.push(one("hook", "1", matter));
    }
    assert_eq!(queue.fold(), [1, 2, 3]);
    assert_eq!(queue.all[0].progress.state, DeliveryState::Sent);
    assert_eq!(queue.due(), [4]);
}

#[test]
fn a_channel_that_was_away_is_told_what_is_and_not_all_that_was() {
    let lines = ["1", "2", "3"];
    let mut queue = Queue::default();
    for line in lines {
        queue.all.push(one("hook", line, Matter::Call));
    }
    let mut attempts = 0;
    // An hour in which each incident is called out again every five minutes.
    for minute in 0..60_u64 {
        queue.now = minute * 60_000;
        if minute % 5 == 0 && minute > 0 {
            queue.all.extend(
                lines.map(|line| One {
                    progress: Progress::new(queue.now),
                    ..one("hook", line, Matter::Call)
                }),
            );
            queue.fold();
        }
        while let Some(at) = queue.due().first().copied() {
            attempts += 1;
            queue.send(at, away(None));
        }
    }
    assert!(attempts <= 16, "the channel is asked each five minutes, not each message: {attempts}");
    queue.all.push(One { progress: Progress::new(queue.now), ..one("hook", "2", Matter::Over) });
    queue.now += 300_000;
    queue.fold();
    let due = queue.due();
    let [first] = due[..] else { panic!("one message shows whether it is back: {due:?}") };
    queue.send(first, WELL);
    let then = queue.due();
    assert_eq!(then.len(), 2, "the others at once: {then:?}");
    then.iter().for_each(|at| queue.send(*at, WELL));
    assert_eq!(queue.due(), [] as [usize; 0]);
    let sent = queue.all.iter().filter(|one| one.progress.state == DeliveryState::Sent).count();
    assert_eq!(sent, 3, "one message for each incident");
}

#[test]
fn what_one_message_is_asked_to_wait_for_all_of_the_channel_wait_for() {
    let mut queue = Queue::of(vec![
        one("chat", "1", Matter::Call),
        one("chat", "2", Matter::Call),
        one("mail", "1", Matter::Call),
    ]);
    queue.send(0, away(Some(120)));
    assert_eq!(queue.due(), [2], "another channel is not held");
    queue.now = 119_999;
    assert_eq!(queue.due(), [2]);
    assert_eq!(
        closed(&seen(&queue.all), &queue.channels, 0),
        [0, 1],
        "somebody is to be woken: another way is tried"
    );
    queue.send(2, WELL);
    assert_eq!(queue.wakes_at(), Some(120_000));
    queue.now = 120_000;
    assert_eq!(queue.due().len(), 1);
}

#[test]
fn a_message_that_alone_fails_keeps_nobody_else_waiting_for_ever() {
    let mut queue = Queue::of(vec![
        one("hook", "poison", Matter::Call),
        one("hook", "2", Matter::Call),
        one("hook", "3", Matter::Update),
    ]);
    for _ in 0..20 {
        for at in queue.due() {
            let came = if at == 0 { away(None) } else { WELL };
            queue.send(at, came);
        }
        queue.now = queue.wakes_at().unwrap_or(queue.now);
    }
    assert_eq!(queue.all[1].progress.state, DeliveryState::Sent);
    assert_eq!(queue.all[2].progress.state, DeliveryState::Sent);
    assert!(queue.now < 24 * 3_600_000, "within the day");
}

/// The ordinary day: others get through, so a message that failed shows nothing about the channel and waits for its turn.
#[test]
fn on_a_channel_that_is_well_a_message_that_failed_is_not_tried_before_its_own_turn() {
    let mut queue = Queue::of(vec![one("hook", "poison", Matter::Call)]);
    queue.all[0].progress.attempts = 5;
    queue.send(0, away(None));
    queue.all.push(one("hook", "2", Matter::Call));
    queue.send(1, WELL);
    let turn = queue.now + 1_800_000;
    queue.all[0].progress.next_at = turn;
    for now in (queue.now..turn).step_by(60_000) {
        queue.now = now;
        assert_eq!((queue.due(), queue.wakes_at()), (Vec::new(), Some(turn)), "{now}");
    }
    queue.now = turn;
    assert_eq!(queue.due(), [0]);
}

#[test]
fn calls_go_first_and_the_worst_before_all() {
    let mut queue = Queue::of(vec![
        one("hook", "1", Matter::Update),
        One { severity: Severity::Low, ..one("hook", "2", Matter::Call) },
        One { severity: Severity::Critical, ..one("hook", "3", Matter::Call) },
        one("hook", "4", Matter::Over),
        one("hook", "5", Matter::Over),
        one("hook", "6", Matter::Over),
    ]);
    assert_eq!(queue.due(), [2, 1, 3, 4], "and four at once");
    queue.all[2].flies = true;
    queue.all[1].flies = true;
    assert_eq!(queue.due(), [3, 4]);
}

#[test]
fn another_way_is_tried_after_two_failures_and_at_once_where_the_channel_is_known_to_be_away() {
    let mut queue = Queue::of(vec![one("hook", "1", Matter::Call)]);
    queue.send(0, away(None));
    assert_eq!(
        closed(&seen(&queue.all), &queue.channels, queue.now),
        [] as [usize; 0],
        "a second attempt may be all it takes"
    );
    queue.now = queue.wakes_at().expect("again");
    queue.send(0, away(None));
    queue.all.push(One { progress: Progress::new(queue.now), ..one("hook", "2", Matter::Call) });
    queue.all.push(One { progress: Progress::new(queue.now), ..one("hook", "3", Matter::Update) });
    assert_eq!(
        closed(&seen(&queue.all), &queue.channels, queue.now),
        [0, 1],
        "an update calls nobody another way"
    );
    queue.all[0].progress.given_up = true;
    queue.all[1].flies = true;
    assert_eq!(closed(&seen(&queue.all), &queue.channels, queue.now), [] as [usize; 0]);
}

#[test]
fn a_receiver_that_forgets_is_told_again_until_a_later_message_was_delivered() {
    let minute = Some(Duration::from_secs(60));
    let again = AttemptResult::Delivered { again_in: minute, left: Remaining::Nobody };
    let mut queue = Queue::of(vec![one("am", "1", Matter::Call)]);
    queue.send(0, again);
    queue.now = 59_999;
    assert_eq!(queue.due(), [] as [usize; 0]);
    queue.now = 60_000;
    assert_eq!(queue.due(), [0]);
    queue.all.push(one("am", "1", Matter::Over));
    assert_eq!(queue.due(), [1], "what is repeated waits for what is new");
    assert_eq!(queue.fold(), [] as [usize; 0], "not before the later one was delivered");
    queue.send(1, again);
    assert_eq!(queue.fold(), [0]);
    queue.now = 120_000;
    assert_eq!(queue.due(), [1]);
    queue.send(1, WELL);
    assert_eq!(queue.wakes_at(), None);
}

#[test]
fn recipients_who_are_to_come_back_are_asked_again_and_hold_nobody_else() {
    let mut queue = Queue::of(vec![one("mail", "1", Matter::Call), one("mail", "2", Matter::Call)]);
    queue.send(0, AttemptResult::Delivered { again_in: None, left: Remaining::Some });
    let progress = &queue.all[0].progress;
    assert_eq!((progress.state, progress.delivered, progress.next_at), (DeliveryState::Waiting, 1, 5_000));
    assert_eq!(queue.due(), [1]);
    assert_eq!(closed(&seen(&queue.all), &queue.channels, 0), [] as [usize; 0], "somebody has it");
    queue.now = 5_000;
    queue.send(0, AttemptResult::Failed { whose: Whose::Message, retry_after: None, retry_within: None });
    assert_eq!(queue.due(), [1], "nobody else waits for them");
    queue.now = 35_000;
    queue.send(0, AttemptResult::Refused);
    assert_eq!(queue.all[0].progress.state, DeliveryState::Sent, "whoever has it has it");
}

#[test]
fn a_receiver_that_asks_for_time_gets_it_and_one_that_forgets_is_not_left_waiting() {
    let minute = Duration::from_secs(60);
    let busy = |retry_after, retry_within| AttemptResult::Failed {
        whose: Whose::Channel,
        retry_after,
        retry_within,
    };
    assert_eq!(Progress::new(0).after(&busy(Some(minute), None), 0, MIDDLE).next_at, 60_000);
    let tried = Progress { attempts: 10, ..Progress::new(0) };
    assert_eq!(tried.after(&busy(None, Some(minute)), 0, MIDDLE).next_at, 60_000);
}

#[test]
fn after_a_day_of_attempts_it_is_dead() {
    let mut one = Progress::new(0);
    let mut now = 0;
    while one.state == DeliveryState::Waiting {
        now = one.next_at;
        one = one.after(&away(None), now, MIDDLE);
    }
    assert_eq!(one.state, DeliveryState::Dead);
    assert!((23 * 3_600_000..=24 * 3_600_000).contains(&now), "{now}");
    assert!(one.attempts >= 29, "{}", one.attempts);
}

/// One message alone on a channel that is away until then, then well: the moments of its attempts.
fn alone(until: u64) -> (Queue, Vec<u64>) {
    let mut queue = Queue::of(vec![one("am", "1", Matter::Over)]);
    let mut tried = Vec::new();
    while let Some(now) = queue.wakes_at() {
        queue.now = queue.now.max(now);
        for at in queue.due() {
            tried.push(queue.now);
            let came = if queue.now < until { away(None) } else { WELL };
            queue.send(at, came);
        }
    }
    (queue, tried)
}

#[test]
fn however_often_it_was_tried_one_message_shows_after_each_hold_whether_the_channel_is_back() {
    for back in [10_000, 600_000, 3_000_000, 40_000_000] {
        let (queue, tried) = alone(back);
        assert_eq!(queue.all[0].progress.state, DeliveryState::Sent, "back after {back} ms");
        let last = *tried.last().expect("it was tried");
        assert!(last <= back + 300_000, "delivered at {last}, and the channel was back at {back}");
        assert!(tried.windows(2).all(|two| two[1] - two[0] <= 300_000), "{tried:?}");
    }
    let (queue, tried) = alone(u64::MAX);
    assert_eq!(queue.all[0].progress.state, DeliveryState::Dead);
    let day = 24 * 3_600_000;
    assert!((day - 3_600_000..=day).contains(tried.last().expect("tried")), "not before a day has passed");
}

#[test]
fn what_another_clock_left_is_neither_in_the_future_nor_a_day_old() {
    for (now, since) in [(10_000_000, 99_000_000), (10_000_000_000, 5)] {
        let left = Progress { attempts: 3, ..Progress::new(since) };
        let ours = left.taken_over(now);
        assert!(ours.next_at <= now);
        assert_eq!(
            ours.after(&away(None), now, MIDDLE).state,
            DeliveryState::Waiting,
            "not dead after one failure more"
        );
    }
}

/// Of two processes each has both ends of one moment at a pager, and told or found them in another order.
#[test]
fn of_two_ends_one_is_told_whoever_queued_them_in_which_order() {
    let end = |id: &str, incident: &'static str, at: u64| One {
        id: NotificationId::from(id.to_owned()),
        incident,
        at,
        ..one("pager", "api is down", Matter::Over)
    };
    for (first, second) in [
        (end("2-over", "2", 9), end("1-over", "1", 9)),
        (end("1-over-22", "1", 17), end("1-over-23", "1", 16)),
        (end("1-over-9", "1", 16), end("1-over-10", "1", 16)),
    ] {
        let (mut here, mut there) =
            (Queue::of(vec![first.clone(), second.clone()]), Queue::of(vec![second, first]));
        here.fold();
        there.fold();
        let told = |one: &One, queue: &Queue| {
            queue.all.iter().any(|held| held.id == one.id && held.progress.state.is_active())
        };
        assert!(here.all.iter().any(|one| told(one, &here) && told(one, &there)), "{here:?} {there:?}");
    }
}

#[test]
fn two_ends_of_one_incident_are_told_once_whichever_version_comes_first() {
    let end = |version: u64| One {
        id: NotificationId::from(format!("1-over-{version}")),
        ..one("chat", "1", Matter::Over)
    };
    let mut queue = Queue::of(vec![end(17), end(16)]);
    assert_eq!(queue.fold(), [1]);
    queue.send(0, WELL);
    queue.all.push(end(9));
    assert_eq!(queue.fold(), [2], "it was told");
    let mut queue = Queue::of(vec![end(17)]);
    queue.send(0, AttemptResult::Refused);
    queue.all.push(end(16));
    assert_eq!(queue.fold(), [] as [usize; 0], "nobody has heard the first one");
}

proptest! {
    /// The same messages, queued by several processes in any orders, each of which stores what it folds: what says at least as
    /// much as one that was folded anywhere is folded nowhere.
    #[test]
    fn no_message_is_lost_between_processes_that_queue_the_same_in_other_orders(
        told in prop::collection::vec((0_usize..3, 0_usize..3), 1..7),
        orders in prop::collection::vec(prop::collection::vec(any::<u32>(), 7), 1..4),
    ) {
        let matters = [Matter::Call, Matter::Taken, Matter::Over];
        let message = |(incident, matter): &(usize, usize)| {
            One { incident: ["1", "2", "3"][*incident], ..one("pager", "1", matters[*matter]) }
        };
        let all: Vec<One> = told.iter().map(message).collect();
        let mut folded: BTreeSet<NotificationId> = BTreeSet::new();
        for order in &orders {
            let mut places: Vec<usize> = (0..all.len()).collect();
            places.sort_by_key(|at| order[*at]);
            // Two members may have told the same at two moments.
            let own = |at: &usize| One { at: u64::from(order[*at] % 4), ..all[*at].clone() };
            let mut queue = Queue::of(places.iter().map(own).collect());
            folded.extend(queue.fold().into_iter().map(|at| queue.all[at].id.clone()));
        }
        for lost in all.iter().filter(|one| folded.contains(&one.id)) {
            // An end gives way to a call of the next incident, and that to who has taken it.
            let says =
                |other: &&One| other.seen().rank() > lost.seen().rank() && !folded.contains(&other.id);
            prop_assert!(all.iter().any(|other| says(&other)), "{lost:?} of {all:?}");
        }
    }

    /// Under any weather: within a line nothing is sent out of order or while one of it is under way, nothing leaves while its
    /// channel is held, and in the end nothing waits.
    #[test]
    fn queues_keep_their_word_under_any_weather(
        kinds in prop::collection::vec((0_usize..3, 0_usize..2, 0_usize..4), 1..16),
        weather in prop::collection::vec(0_u8..7, 1..64),
    ) {
        let matters = [Matter::Call, Matter::Taken, Matter::Update, Matter::Over];
        let names = ["a", "b", "c"];
        let mut queue = Queue::of(kinds.iter().map(|(line, channel, matter)| one(names[*channel], names[*line], matters[*matter])).collect());
        let mut sky = weather.iter().cycle();
        let mut sent: Vec<usize> = Vec::new();
        let mut rounds = 0;
        while let Some(now) = queue.wakes_at().filter(|_| rounds < 2_000) {
            rounds += 1;
            queue.now = queue.now.max(now);
            queue.fold();
            let due = queue.due();
            for at in &due {
                let one = &queue.all[*at];
                let held = queue.channels.get(one.channel).and_then(|channel| channel.held_until(queue.now));
                prop_assert_eq!(held, None);
                queue.all[*at].flies = true;
            }
            for at in due {
                let came = match sky.next().expect("endless") {
                    0..=2 => WELL,
                    3 => AttemptResult::Delivered { again_in: Some(Duration::from_secs(60)), left: Remaining::Nobody },
                    4 => AttemptResult::Refused,
                    5 => away(None),
                    _ => away(Some(90)),
                };
                if matches!(came, AttemptResult::Delivered { .. }) {
                    sent.push(at);
                }
                queue.send(at, came);
            }
        }
        for (channel, line) in names.iter().flat_map(|channel| names.map(|line| (channel, line))) {
            let of_it = |at: &&usize| queue.all[**at].channel == *channel && queue.all[**at].line == line;
            let order: Vec<usize> = sent.iter().filter(of_it).copied().collect();
            prop_assert!(order.is_sorted(), "{order:?}");
            let last = queue.all.iter().rposition(|one| one.channel == *channel && one.line == line);
            let last = last.map(|at| queue.all[at].progress.state);
            prop_assert!(last != Some(DeliveryState::Folded), "what says the most is never folded");
        }
        let left = queue.all.iter().any(|one| one.progress.state == DeliveryState::Waiting);
        prop_assert!(!left || rounds == 2_000);
    }
}
