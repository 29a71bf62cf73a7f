use std::fmt::Write as _;
use std::time::Duration;

use super::story::{BEGAN, StoryMoment, critical, low};
use super::*;
use crate::names::IncidentId;
use crate::reliability::incident::{Actor, Beginning, EntryKind};
use crate::reliability::rule::AlertKey;

fn written(told: &StoryMoment) -> String {
    let brief = &told.brief;
    let mut text = format!("== {} ==\n{}\n[{}] {}\n", told.name, brief.lead, brief.status, brief.title);
    for (name, value) in &brief.facts {
        let _ = writeln!(text, "  {name}: {value}");
    }
    for section in &brief.sections {
        let _ = writeln!(text, "{}", section.part.title(brief.audience));
        for line in &section.lines {
            let _ = writeln!(text, "- {line}");
        }
        if let Some(command) = &section.command {
            let _ = writeln!(text, "  $ {command}");
        }
    }
    text
}

#[test]
fn an_outage_is_told_so_that_one_can_act_on_it() {
    let all: Vec<String> = critical().iter().map(written).collect();
    insta::assert_snapshot!("brief_of_a_critical_outage", all.join("\n"));
    let all: Vec<String> = low().iter().map(written).collect();
    insta::assert_snapshot!("brief_of_a_low_one", all.join("\n"));
}

#[test]
fn the_first_line_of_a_call_says_what_fails_since_when_how_bad_and_for_whom() {
    let called = critical().into_iter().find(|told| told.name == "called").expect("is told").brief.lead;
    for part in ["Critical", "stripe is down", "02:14:07 UTC", "36 s", "41 of 55 requests", "on checkout"] {
        assert!(called.contains(part), "{part} is missing: {called}");
    }
}

#[test]
fn whoever_is_called_again_reads_that_nobody_has_taken_it() {
    let told = critical().into_iter().find(|told| told.name == "called").expect("is told");
    let scene = Scene { at: told.at, ..Scene::default() };
    let again = Occasion { call: Some(Cause::Again), ..Occasion::default() };
    let brief = Brief::of(&told.incident, &scene, &again);
    assert!(brief.lead.starts_with("Critical, and nobody has taken it: stripe is down"), "{}", brief.lead);
    assert_eq!(brief.status, "still open");
    let next = brief.sections.iter().find(|section| section.part == Part::Next).expect("there");
    assert!(next.lines.contains(&"Nobody else is called by itself.".to_owned()), "{next:?}");
}

#[test]
fn stakeholders_read_nothing_of_the_mechanics() {
    let all = critical().into_iter().chain(low());
    for told in all.filter(|told| told.brief.audience == Audience::Stakeholders) {
        let text = written(&told).to_lowercase();
        for word in
            ["curl", "breaker", "endpoint", "probe", "service_down", "/api/", "10.0.0.7", "p99", "strop"]
        {
            assert!(!text.contains(word), "{}: {word} in {text}", told.name);
        }
        assert!(told.brief.sections.iter().all(|section| section.command.is_none()));
    }
}

fn one(rule: Rule, service: &str, title: &str) -> Incident {
    let beginning = Beginning {
        id: IncidentId::of(BEGAN.0, 1),
        key: AlertKey::of(rule, service, ""),
        title: title.to_owned(),
        severity: Severity::High,
        began: BEGAN,
        earlier: None,
    };
    let mut one = Incident::suspected(beginning, BEGAN);
    one.open(Actor::Engine, title.to_owned(), BEGAN).expect("opens");
    one
}

fn to(audience: Audience) -> Occasion {
    Occasion { audience, ..Occasion::default() }
}

fn scene() -> Scene {
    Scene { at: BEGAN + Duration::from_secs(30), ..Scene::default() }
}

#[test]
fn what_is_not_observed_is_said_to_be_unknown_and_never_none() {
    let upstream = UpstreamScene { name: "twilio".to_owned(), ..UpstreamScene::default() };
    let scene = Scene { upstreams: vec![upstream], ..scene() };
    let incident = one(Rule::ServiceDown, "twilio", "twilio is down");
    for audience in [Audience::Called, Audience::Stakeholders] {
        let brief = Brief::of(&incident, &scene, &to(audience));
        let text = format!("{brief:?}");
        assert!(text.contains("not known"), "{text}");
        assert!(!text.contains("none of 0") && !text.contains("0 %") && !text.contains("of 0 "), "{text}");
    }
    let brief = Brief::of(&incident, &scene, &to(Audience::Called));
    assert!(format!("{brief:?}").contains("has not been seen well since this sidecar started"));
}

#[test]
fn what_is_not_seen_any_more_is_not_said_to_go_on() {
    let mut incident = one(Rule::Breaker, "twilio", "twilio is down");
    incident.see(Some(BEGAN + Duration::from_secs(20)), BEGAN + Duration::from_secs(25));
    for audience in [Audience::Called, Audience::Stakeholders] {
        let brief = Brief::of(&incident, &scene(), &to(audience));
        assert!(brief.lead.contains("whether it still"), "{}", brief.lead);
        assert!(!format!("{brief:?}").contains("so far."), "{brief:?}");
    }
    let brief = Brief::of(&incident, &scene(), &to(Audience::Called));
    assert!(brief.lead.contains("not seen since 02:14:27 UTC"), "{}", brief.lead);
    let again = Ahead { at: BEGAN, contacts: vec!["cto".to_owned()], again: true };
    let next = |ahead: Ahead| {
        let brief = Brief::of(&incident, &scene(), &Occasion { next: Some(ahead), ..Occasion::default() });
        format!("{:?}", brief.sections.iter().find(|section| section.part == Part::Next))
    };
    assert!(!next(again.clone()).contains("cto"), "calls are not repeated");
    assert!(
        next(Ahead { again: false, ..again }).contains("cto"),
        "a step that nobody has taken still comes"
    );
}

#[test]
fn what_other_parts_report_comes_with_what_to_do_and_no_foreign_text_breaks_out_of_its_line() {
    let mut incident = one(Rule::Reported, "store", "the store\r\nBcc: everybody@example.com");
    let evidence = vec![
        ("last_error".to_owned(), "a\nb".repeat(1_000)),
        ("what_to_do".to_owned(), "look whether\nthe disk is full".to_owned()),
    ];
    incident.tell(BEGAN, Actor::Engine, EntryKind::Signal, "confirmed".to_owned(), evidence);
    let brief = Brief::of(&incident, &scene(), &to(Audience::Called));
    let look = brief.sections.iter().find(|section| section.part == Part::Look).expect("there");
    assert_eq!(look.lines[0], "look whether the disk is full");
    let lines = brief.sections.iter().flat_map(|section| &section.lines);
    let all: Vec<&String> = lines.chain([&brief.lead, &brief.title, &brief.status]).collect();
    assert!(all.iter().all(|line| !line.contains(['\n', '\r']) && line.chars().count() < 700), "{all:#?}");
}

#[test]
fn a_command_that_takes_it_holds_the_token_s_file_whatever_its_name() {
    let door = |file: &str| Door {
        base: "http://127.0.0.1:9901".to_owned(),
        public: false,
        token_file: Some(file.to_owned()),
    };
    let incident = one(Rule::Manual, "test", "a drill");
    let command = |file: &str| {
        let scene = Scene { door: door(file), ..scene() };
        let brief = Brief::of(&incident, &scene, &to(Audience::Called));
        brief.sections.into_iter().find_map(|section| section.command).expect("a command")
    };
    assert!(command("/etc/strop/token").contains("Bearer $(cat /etc/strop/token)\""));
    assert!(command("a b';x").contains("Bearer $(cat 'a b'\\'';x')\""));
}

#[test]
fn a_part_of_a_newer_version_is_read() {
    let text = "{\"sections\":[{\"part\":\"horoscope\",\"lines\":[\"x\"]}],\"moon\":1}";
    let brief: Brief = serde_json::from_str(text).expect("reads");
    assert_eq!(brief.sections[0].part, Part::Other);
}
