use super::*;
use crate::reliability::ledger::Slice;
use crate::reliability::steps::{ClockStep, StepCause};

const HOUR: i64 = 3_600;

impl Shift {
    /// The clock is set: what the shell remembers moves with it, as the engine does.
    fn set(&mut self, seconds: i64, cause: StepCause) {
        self.second += seconds;
        for one in &mut self.readings.upstreams {
            *one = one.moved(seconds * 1_000);
        }
        let effects = self.engine.step(ClockStep { by: seconds * 1_000, cause }, at(self.second));
        self.effects.extend(effects.into_iter().map(|effect| (self.second, effect)));
    }

    /// Seconds after the first failure at which somebody was called, of a clock that was set by `by` meanwhile.
    fn called_after(&self, began: i64, by: i64) -> Vec<i64> {
        self.pages().iter().map(|(second, _)| second - began - by).collect()
    }

    fn lines(&self, of: &str) -> usize {
        self.only().timeline.iter().filter(|entry| entry.text.contains(of)).count()
    }
}

fn twilio_fails() -> (Shift, i64) {
    let mut shift = shift(&["api", "twilio"]);
    shift.bad("twilio");
    let began = shift.second;
    shift.pass(60);
    (shift, began)
}

#[test]
fn a_clock_that_is_set_neither_holds_calls_back_nor_brings_them_forward() {
    let (mut untouched, began) = twilio_fails();
    untouched.pass(400);
    let usual = untouched.called_after(began, 0);
    assert_eq!(usual.len(), 1, "{usual:?}");
    for by in [-2 * HOUR, 2 * HOUR, -5, 5] {
        let (mut shift, began) = twilio_fails();
        shift.set(by, StepCause::Set);
        shift.pass(400);
        assert_eq!(shift.called_after(began, by), usual, "set by {by} s");
        assert_eq!(shift.only().clocks.began, at(began + by), "told by the clock in force");
        assert_eq!(shift.lines("the clock was set"), 1);
    }
}

#[test]
fn a_clock_that_is_set_ahead_confirms_and_ends_nothing() {
    let mut shift = shift(&["api", "twilio"]);
    shift.bad("twilio");
    shift.pass(5);
    shift.set(HOUR, StepCause::Set);
    shift.pass(1);
    assert_eq!(shift.only().state, State::Suspected, "seen for six seconds, not for an hour");
    shift.pass(40);
    assert_eq!(shift.only().state, State::Open);
    shift.good("twilio");
    shift.pass(5);
    shift.set(HOUR, StepCause::Set);
    shift.pass(1);
    assert_eq!(shift.only().state, State::Monitoring, "good for six seconds, not for an hour");
}

#[test]
fn a_machine_that_slept_keeps_its_moments_and_has_a_gap() {
    let (mut shift, began) = twilio_fails();
    shift.set(8 * HOUR, StepCause::Slept);
    shift.pass(10);
    assert_eq!(shift.only().clocks.began, at(began), "it did begin eight hours ago");
    assert_eq!(shift.lines("the machine slept for 8h"), 1);
}

#[test]
fn a_step_is_a_gap_in_the_ledger_and_nothing_of_it_lies_ahead() {
    for by in [-2 * HOUR, -90, 90, 2 * HOUR] {
        let mut shift = shift(&["api"]);
        shift.pass(100);
        let before = shift.second;
        shift.set(by, StepCause::Set);
        shift.pass(130);
        let minutes = shift.engine.flush();
        let newest = minutes.iter().map(|one| one.minute).max();
        assert_eq!(newest, Some(at(shift.second).minute()), "set by {by} s");
        if by > 0 {
            let told = shift.effects.iter().filter_map(|(_, effect)| {
                let Effect::Ledger(minute) = effect else { return None };
                (&*minute.subject == "api").then(|| minute.clone())
            });
            let all: Vec<_> = told.chain(minutes.into_iter().filter(|one| &*one.subject == "api")).collect();
            let mut by_minute: BTreeMap<i64, Minute> = BTreeMap::new();
            for minute in all {
                by_minute.entry(minute.minute).and_modify(|held| held.merge(&minute)).or_insert(minute);
            }
            let report = Report::of(by_minute.values(), at(before + 1), at(before + by));
            assert_eq!((report.unknown, report.up), (by as u64 - 1, 0), "nobody saw what was skipped");
        }
    }
    assert_eq!(Slice::default(), Slice::Unknown);
}

/// What another member, or a start before this one, has stored by a clock that is an hour ahead.
fn stored_an_hour_ahead() -> Vec<Incident> {
    let (mut shift, _) = twilio_fails();
    shift.set(HOUR, StepCause::Set);
    shift.pass(60);
    let incidents: Vec<Incident> = shift.engine.incidents().cloned().collect();
    assert!(incidents[0].clocks.opened.is_some() && shift.pages().is_empty());
    incidents
}

#[test]
fn what_another_clock_has_stored_is_called_out_after_a_restart_and_a_change_of_duty() {
    for restart in [true, false] {
        let mut shift = shift(&["api", "twilio"]);
        shift.pass(100);
        let now = at(shift.second);
        let effects = if restart {
            shift.engine.restore(stored_an_hour_ahead(), Vec::new(), now)
        } else {
            shift.engine.watch();
            shift.engine.act(stored_an_hour_ahead(), now)
        };
        shift.effects.extend(effects.into_iter().map(|effect| (shift.second, effect)));
        shift.bad("twilio");
        shift.pass(310);
        assert_eq!(
            shift.pages().len(),
            1,
            "within five minutes, not after an hour more (restart: {restart})"
        );
        let one = shift.only();
        assert!(one.newest() <= at(shift.second), "{one:#?}");
        assert_eq!(shift.lines("stored by a clock that is"), 1);
    }
}

#[test]
fn clocks_that_differ_by_less_than_a_step_move_nothing_and_what_is_moved_is_another_version() {
    for ahead in [1, 250, 999, 1_000, 1_001, 20_000] {
        let (shift, _) = twilio_fails();
        let stored = shift.only().clone();
        let mut engine = Engine::new(EnginePolicy::default(), Arc::from("b#1"), 9, at(0));
        engine.watch();
        let effects = engine.act(vec![stored.clone()], stored.newest().moved(-ahead));
        let own = engine.incident(&stored.id).expect("taken over");
        if ahead < 1_000 {
            assert_eq!(own, &stored, "{ahead} ms: the same in all copies");
            continue;
        }
        assert_eq!(own.clocks.began, stored.clocks.began.moved(-ahead));
        assert!(own.version > stored.version && own.timeline.len() > stored.timeline.len());
        let saved = |effect: &Effect| matches!(effect, Effect::Save(one) if **one == *own);
        assert!(effects.iter().any(saved), "{ahead} ms: others hear of it");
    }
}

#[test]
fn a_silence_lasts_as_long_as_it_was_to_last_whichever_clock_made_it() {
    let order = |from: i64, until: i64| Silence {
        number: 0,
        purpose: Purpose::Silence,
        matchers: vec![Matcher { label: Label::Service, is: Comparison::Is, value: "twilio".to_owned() }],
        from: at(from),
        until: at(until),
        actor: ada(),
        reason: "known".to_owned(),
    };
    let mut shift = shift(&["api", "twilio"]);
    let start = shift.second;
    shift.silence(SilenceCommand::Begin(order(start, start + 2 * HOUR))).expect("taken");
    shift.silence(SilenceCommand::Begin(order(start + HOUR, start + 3 * HOUR))).expect("taken");
    shift.pass(60);
    shift.set(-8 * HOUR, StepCause::Set);
    let told: Vec<(At, At)> = shift.engine.silences().iter().map(|one| (one.from, one.until)).collect();
    let now = start + 60 - 8 * HOUR;
    assert_eq!(told[0], (at(now), at(now + 2 * HOUR)), "the one that lasts");
    assert_eq!(told[1], (at(start + HOUR), at(start + 3 * HOUR)), "what is planned for a moment");
    assert!(
        shift
            .effects
            .iter()
            .any(|(_, effect)| matches!(effect, Effect::SaveSilence(one) if one.from == at(now)))
    );
    let stored = shift.engine.silences().to_vec();
    shift.engine.restore(Vec::new(), stored.clone(), at(now + 10));
    assert_eq!(shift.engine.silences(), stored, "moved once");
}
