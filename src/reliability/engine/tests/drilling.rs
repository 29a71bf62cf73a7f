use super::*;
use crate::reliability::drill::{DrillCalls, DrillScope};
use crate::reliability::ledger::SERVICE;

fn drill() -> DrillScope {
    let (id, upstream) = (Arc::from("drl_1"), Arc::from("stripe"));
    DrillScope { id, upstream, routes: Vec::new(), calls: DrillCalls::Nobody, spoilt: 0 }
}

fn pages(shift: &Shift) -> usize {
    shift.effects.iter().filter(|(_, effect)| matches!(effect, Effect::Page(_))).count()
}

#[test]
fn nobody_is_called_for_a_drill_and_everybody_for_what_outlives_it() {
    let mut shift = shift(&["api", "stripe"]);
    shift.readings.drill = Some(drill());
    shift.bad("stripe");
    shift.pass(60);
    let incident = shift.engine.incidents().next().expect("it is found").clone();
    assert!(incident.is_drill() && incident.state == State::Open, "{incident:?}");
    assert_eq!(pages(&shift), 0);
    let seconds = |shift: &Shift, subject: &str| {
        let minutes: Vec<Minute> =
            shift.engine.flush().into_iter().filter(|one| *one.subject == *subject).collect();
        Report::of(&minutes, at(0), at(600))
    };
    let upstream = seconds(&shift, "stripe");
    assert_eq!((upstream.down, upstream.degraded), (0, 0));
    assert!(upstream.maintenance > 0);
    assert_eq!(seconds(&shift, SERVICE).degraded, 0, "the service is not the worse for a drill of a vendor");
    shift.readings.drill = None;
    shift.pass(60);
    assert!(!shift.engine.incidents().next().expect("it lives").is_drill());
    assert!(pages(&shift) > 0, "it is a real one");
}

#[test]
fn what_else_fails_meanwhile_is_no_drill() {
    let mut shift = shift(&["api", "stripe"]);
    shift.readings.drill = Some(drill());
    shift.bad("api");
    shift.pass(60);
    assert!(!shift.engine.incidents().next().expect("it is found").is_drill());
    assert!(pages(&shift) > 0);
}

#[test]
fn each_spoilt_reply_is_left_out_once() {
    let mut watch = crate::reliability::engine::drilling::DrillWatch::default();
    let bad = |bad| Counts { good: 5, bad };
    watch.see(Some(&DrillScope { spoilt: 3, ..drill() }));
    assert_eq!(watch.spare(bad(2)), bad(0), "one is counted a look later");
    assert_eq!(watch.spare(bad(4)), bad(3));
    assert_eq!(watch.spare(bad(4)), bad(4));
    watch.see(Some(&DrillScope { id: Arc::from("drl_2"), spoilt: 1, ..drill() }));
    assert_eq!(watch.spare(bad(4)), bad(3), "another drill counts anew");
    watch.see(None);
    assert_eq!(watch.spare(bad(4)), bad(4));
}
