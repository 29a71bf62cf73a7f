//! What a drill has shown, for people: what was done to which requests, how soon it was detected and over, and the guide's
//! targets beside that. What was not seen is "not observed".

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::text;
use crate::reliability::drill::{DETECT_WITHIN, Drill, DrillCalls, DrillReach, Fault, RECOVER_WITHIN};
use crate::runtime::clock;
use crate::units::{At, Written as _};

/// What is told where nothing was seen.
const NOT_OBSERVED: &str = "not observed";

fn when(at: At) -> String {
    clock::rfc3339(UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0)))
}

fn fault(drill: &Drill) -> String {
    match drill.order.fault {
        Fault::Latency(more) => format!("{} of latency", text::span(more)),
        Fault::Error(status) => format!("answers {status}"),
        Fault::Reset => "resets".to_owned(),
        Fault::Blackhole => "no answer".to_owned(),
    }
}

fn seen(at: Option<At>) -> String {
    at.map_or_else(|| NOT_OBSERVED.to_owned(), when)
}

/// Names and values, in their order.
fn facts(drill: &Drill) -> Vec<(&'static str, String)> {
    let (order, counts) = (&drill.order, &drill.counts);
    let reach = match order.reach {
        DrillReach::Reads => "GET, HEAD and OPTIONS",
        DrillReach::Writes => "all but payments, tunnels and replays of queued writes",
    };
    let ended = drill.ended();
    let called: Vec<&str> = drill.called().collect();
    let called = match (called.is_empty(), order.calls) {
        (false, _) => called.join("; "),
        (true, DrillCalls::Nobody) => "nobody, as ordered".to_owned(),
        (true, DrillCalls::Ladder) => NOT_OBSERVED.to_owned(),
    };
    let incidents: Vec<String> =
        drill.incidents.iter().map(|one| format!("{} ({})", one.id, one.state.label())).collect();
    let incidents = if incidents.is_empty() { NOT_OBSERVED.to_owned() } else { incidents.join(", ") };
    vec![
        ("Upstream", order.upstream.to_string()),
        ("Fault", format!("{} for {} of {reach}", fault(drill), order.share)),
        ("Ordered by", format!("{}: {}", order.actor, order.reason)),
        ("Began", when(drill.began)),
        ("To last", order.lasts.write()),
        ("First request hit", seen(drill.first_hit())),
        ("Injection ended", seen(ended.map(|(at, _)| at))),
        ("Why", ended.map_or_else(|| "it goes on".to_owned(), |(_, end)| end.describe())),
        ("Attempts hit", text::count(counts.hit)),
        ("Exchanges meanwhile", text::count(counts.exchanges)),
        ("Failed by the drill", text::count(counts.failed)),
        ("Refused by the breaker", text::count(counts.refused)),
        ("Failed by themselves", text::count(counts.own_failures)),
        ("Breaker seen open", seen(drill.breaker_opened)),
        ("Breaker seen closed again", seen(drill.breaker_closed)),
        ("Incidents", incidents),
        ("Called", called),
    ]
}

/// What is measured, the guide's target, what was measured, and whether that is within.
fn measures(drill: &Drill) -> [[String; 4]; 3] {
    let row = |what: &str, target: Option<Duration>, took: Option<Duration>| {
        let within = match (target, took) {
            (Some(target), Some(took)) if took < target => "met",
            (Some(_), Some(_)) => "missed",
            (Some(_), None) => NOT_OBSERVED,
            (None, _) => "–",
        };
        let told = |span: Option<Duration>, none: &str| span.map_or_else(|| none.to_owned(), text::span);
        let target = target.map_or_else(|| "–".to_owned(), |target| format!("< {}", text::span(target)));
        [what.to_owned(), target, told(took, NOT_OBSERVED), within.to_owned()]
    };
    [
        row("First hit to the first suspicion", None, drill.to_suspect()),
        row("Detection: first hit to the incident", Some(DETECT_WITHIN), drill.to_detect()),
        row("Recovery: end of the injection to all well", Some(RECOVER_WITHIN), drill.to_recover()),
    ]
}

const COLUMNS: [&str; 4] = ["Measured", "Target of the guide", "Took", "Result"];
const NOTE: &str = "Active checks of the upstream met no fault. What the drill spoilt counts in no uptime, no success rate and no \
                    figure of incidents; metrics of requests show what clients got.";

/// As Markdown.
pub fn markdown(drill: &Drill) -> String {
    let mut out = format!("# Drill {}\n\n", text::markdown(&drill.id));
    let mut put = |line: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(line); // a String takes all
    };
    put(format_args!("| {} |\n| --- | --- | --- | --- |\n", COLUMNS.join(" | ")));
    for row in measures(drill) {
        put(format_args!("| {} |\n", row.map(|cell| text::markdown(&cell)).join(" | ")));
    }
    put(format_args!("\n"));
    for (name, value) in facts(drill) {
        put(format_args!("- {name}: {}\n", text::markdown(&value)));
    }
    put(format_args!("\n{NOTE}\n"));
    out
}

/// As one page of HTML, without scripts and without anything from elsewhere.
pub fn html(drill: &Drill) -> String {
    let id = text::html(&drill.id);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><title>Drill {id}</title><style>\
         body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}\
         table {{ border-collapse: collapse }} th, td {{ text-align: left; padding: 5px 14px 5px 0; \
         border-bottom: 1px solid #999; vertical-align: top }}</style></head><body><h1>Drill {id}</h1>\n"
    );
    let mut put = |line: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(line); // a String takes all
    };
    put(format_args!("<table><thead><tr><th>{}</th></tr></thead><tbody>\n", COLUMNS.join("</th><th>")));
    for row in measures(drill) {
        put(format_args!("<tr><td>{}</td></tr>\n", row.map(|cell| text::html(&cell)).join("</td><td>")));
    }
    put(format_args!("</tbody></table><h2>What was done and seen</h2><table><tbody>\n"));
    for (name, value) in facts(drill) {
        put(format_args!("<tr><th>{name}</th><td>{}</td></tr>\n", text::html(&value)));
    }
    put(format_args!("</tbody></table><p>{NOTE}</p></body></html>\n"));
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::names::IncidentId;
    use crate::reliability::drill::{DrillEnd, DrillIncident, DrillOrder, DrillPhase};
    use crate::reliability::incident::State;
    use crate::units::Percent;

    fn drill() -> Drill {
        let order = DrillOrder {
            upstream: Arc::from("stripe"),
            fault: Fault::Error(503),
            share: Percent::of(20),
            lasts: Duration::from_secs(60),
            reach: DrillReach::Reads,
            calls: DrillCalls::Nobody,
            actor: "ann <ann@example.com>".to_owned(),
            reason: "monthly".to_owned(),
        };
        let mut drill = Drill::new(Arc::from("drl_1"), order, At(0));
        drill.counts.first_hit = Some(Duration::from_secs(1));
        drill.phase = DrillPhase::Settling { since: At(60_000), end: DrillEnd::Window };
        drill
    }

    #[test]
    fn what_was_not_seen_is_said_to_be_so_and_nothing_is_taken_for_markup() {
        let told = markdown(&drill());
        assert!(
            told.contains(
                "| Detection: first hit to the incident | \\< 30 s | not observed | not observed |"
            ),
            "{told}"
        );
        assert!(told.contains("- Incidents: not observed\n- Called: nobody, as ordered\n"), "{told}");
        let page = html(&drill());
        assert!(page.contains("ann &lt;ann@example.com&gt;: monthly") && !page.contains("<ann"), "{page}");
    }

    #[test]
    fn the_targets_stand_beside_what_was_measured() {
        let mut drill = drill();
        drill.incidents.push(DrillIncident {
            id: IncidentId::of(1, 1),
            state: State::Resolved,
            suspected: At(4_000),
            opened: Some(At(36_000)),
            recovered: Some(At(75_000)),
            called: Vec::new(),
        });
        let [suspect, detect, recover] = measures(&drill);
        assert_eq!(suspect[1..], ["–", "3 s", "–"]);
        assert_eq!(detect[1..], ["< 30 s", "35 s", "missed"]);
        assert_eq!(recover[1..], ["< 5 min 00 s", "15 s", "met"]);
    }
}
