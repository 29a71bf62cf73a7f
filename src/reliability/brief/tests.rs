use crate::reliability::escalation::{Ahead, CallCause};
use std::fmt::Write as _;
use std::time::Duration;

use super::story::{self, BEGAN, StoryMoment};
use super::*;
use crate::names::IncidentId;
use crate::reliability::incident::{Actor, Beginning, EntryKind};
use crate::reliability::rule::{AlertKey, Rule, Severity};

fn written(told: &StoryMoment) -> String {
    let brief = &told.brief;
    let mut text = format!(
        "== {} ==\n{}\n{}\n({}; {})\n",
        told.name, brief.headline, brief.lead, brief.status, brief.title
    );
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
    let all: Vec<String> = story::all().iter().map(written).collect();
    insta::assert_snapshot!("brief", all.join("\n"));
}

#[test]
fn the_first_line_of_a_call_says_what_fails_since_when_how_bad_and_for_whom_of_the_worst_route_first() {
    let called = story::moment("critical, called").brief.lead;
    let parts = ["Critical", "stripe is down", "02:14:07 UTC", "36 s", "26 of 43 requests of route checkout"];
    for part in parts {
        assert!(called.contains(part), "{part} is missing: {called}");
    }
    assert!(called.find("checkout") < called.find("refunds"), "{called}");
}

#[test]
fn what_can_wait_says_so_in_its_subject_and_its_first_line_and_nothing_else_does() {
    for told in story::all().iter().filter(|told| told.calls) {
        let waits = told.name.starts_with("low");
        for text in [&told.brief.headline, &told.brief.lead] {
            assert_eq!(text.contains("can wait until the morning"), waits, "{}: {text}", told.name);
        }
    }
}

#[test]
fn a_machine_is_told_as_it_is_now_or_is_said_to_be_unknown() {
    let evidence = |name: &str| section(&story::moment(name).brief, Part::Evidence).lines;
    let seen = evidence("low, called");
    assert!(seen[0].contains("88.1 %") && seen[0].contains("04:14:14 UTC"), "{seen:?}");
    assert!(seen[1].contains("When it was found, at 02:14:17 UTC: 87.4 %"), "{seen:?}");
    let blind = evidence("low, called blind");
    assert!(blind[0].contains("not known") && blind[1].contains("87.4 %"), "{blind:?}");
    let over = evidence("low, resolved");
    assert!(over[0].contains("61.0 %"), "{over:?}");
}

fn section(brief: &Brief, part: Part) -> Section {
    brief.sections.iter().find(|section| section.part == part).expect("there").clone()
}

#[test]
fn a_story_never_says_that_something_is_well_and_ill_at_once() {
    for told in story::all() {
        let text = written(&told);
        let (ill, well) = (text.contains("fails its checks"), text.contains("answering normally"));
        assert!(!(ill && well), "{text}");
        let open = text.contains("(breaker open");
        assert_eq!(
            open,
            text.contains("were refused by Strop")
                && told.brief.well == Some(false)
                && told.brief.audience == Audience::Called,
            "{text}"
        );
    }
}

#[test]
fn prose_has_no_names_of_rules_roles_or_percentiles() {
    for told in story::all() {
        let brief = &told.brief;
        let lines = brief.sections.iter().flat_map(|section| &section.lines);
        let facts = brief.facts.iter().flat_map(|(name, value)| [name, value]);
        let all = lines.chain(facts).chain([&brief.lead, &brief.headline, &brief.title]);
        for text in all.filter(|text| !text.contains("http")) {
            for word in [
                "service_down",
                "resource",
                "assigned_engineer",
                "engineering_lead",
                "cto",
                "p95",
                "Found by",
            ] {
                assert!(!text.contains(word), "{}: {word} in {text}", told.name);
            }
        }
    }
}

#[test]
fn a_moment_ahead_is_told_by_the_clock_for_a_mail_is_read_later() {
    for told in story::all().iter().filter(|told| told.brief.audience == Audience::Called) {
        let next = section(&told.brief, Part::Next);
        assert!(next.lines.iter().all(|line| !line.contains(" in 1") && !line.contains("(in ")), "{next:?}");
    }
    let next = section(&story::moment("critical, called").brief, Part::Next).lines.join(" ");
    let again = "again at 02:19:43 UTC, then every 5 min, 12 times more at most; only they are called.";
    assert!(next.contains(again) && next.contains("From 02:15:12 UTC on"), "{next}");
}

#[test]
fn a_title_says_percentiles_and_shares_in_words() {
    let title = |rule, title: &str| super::state::title(&one(rule, "checkout", title), &scene());
    assert_eq!(
        title(Rule::Latency, "p95 of checkout is over 3000 ms"),
        "1 in 20 requests of checkout takes longer than 3.0 s"
    );
    assert_eq!(
        title(Rule::Latency, "p50 of checkout is over 500 ms"),
        "half of the requests of checkout take longer than 500 ms"
    );
    assert_eq!(title(Rule::ErrorRate, "15.00% of checkout replies fail"), "some requests of checkout fail");
    assert_eq!(title(Rule::ErrorRate, "checkout is ill"), "checkout is ill");
    assert_eq!(title(Rule::Manual, "p95 of it is over 3000 ms"), "p95 of it is over 3000 ms");
}

#[test]
fn each_way_of_reaching_the_api_has_the_command_that_works_there() {
    let command = |name: &str| section(&story::moment(name).brief, Part::Acknowledge);
    let (open, guarded) = (command("critical, called"), command("high, called"));
    assert!(!open.command.expect("a command").contains("Bearer"));
    assert!(guarded.command.expect("a command").contains("Bearer $STROP_TOKEN\""));
    assert!(guarded.lines[1].contains("/etc/strop/admin.token of pod-7"), "{:?}", guarded.lines);
    let (inside, both) = (command("medium, called"), command("low, called"));
    assert!(inside.lines[1].contains("in the pod or on the machine of pod-7"), "{:?}", inside.lines);
    assert!(both.command.expect("a command").contains("Bearer $(cat /etc/strop/admin.token)\""));
    let ways = |name: &str| story::moment(name).brief.ways;
    assert_eq!(ways("critical, called"), Ways { pagerduty: true, slack: true, browser: true });
    assert_eq!(ways("high, called"), Ways::default());
    assert!(!ways("critical, acknowledged").slack, "there is nothing to take any more");
}

#[test]
fn whoever_is_called_again_reads_that_nobody_has_taken_it() {
    let told = story::moment("critical, called");
    let scene = Scene { at: told.at, ..Scene::default() };
    let again = Occasion { call: Some(CallCause::Again), ..Occasion::default() };
    let brief = Brief::of(&told.incident, &scene, &again);
    assert!(brief.lead.starts_with("Critical, and nobody has taken it: stripe is down"), "{}", brief.lead);
    assert_eq!(brief.status, "still open");
    let next = brief.sections.iter().find(|section| section.part == Part::Next).expect("there");
    assert!(next.lines.contains(&"Nobody else is called by itself.".to_owned()), "{next:?}");
}

#[test]
fn stakeholders_read_first_what_customers_notice_and_while_it_is_not_confirmed_only_that_it_may_be_so() {
    let first = |name: &str| section(&story::moment(name).brief, Part::Evidence).lines.swap_remove(0);
    assert_eq!(first("critical, confirmed"), "Customers cannot pay by card at checkout.");
    assert_eq!(first("critical, suspected"), "If it is confirmed: Customers cannot pay by card at checkout.");
    for name in ["critical, works again", "critical, over"] {
        assert!(!first(name).contains("cannot pay"), "{name}");
    }
}

#[test]
fn stakeholders_read_nothing_of_the_mechanics() {
    for told in story::all().into_iter().filter(|told| told.brief.audience == Audience::Stakeholders) {
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

/// An operator may call it what they like.
#[test]
fn a_vendor_is_told_of_as_what_it_is_under_any_name() {
    let stripe =
        VendorScene { thing: "payments (Stripe)".into(), status_page: "https://status.example".into() };
    let upstream = UpstreamScene { name: "pay".to_owned(), vendor: Some(stripe), ..UpstreamScene::default() };
    let scene = Scene { upstreams: vec![upstream], ..scene() };
    let incident = one(Rule::ServiceDown, "pay", "pay is down");
    let told = Brief::of(&incident, &scene, &to(Audience::Stakeholders));
    assert!(told.lead.contains("ayments (Stripe)"), "{}", told.lead);
    let called = format!("{:?}", Brief::of(&incident, &scene, &to(Audience::Called)).sections);
    assert!(called.contains("Does pay know of it? https://status.example"), "{called}");
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
    let again = Ahead { at: BEGAN, contacts: vec!["ann".to_owned()], again: true, repeats: None };
    let next = |ahead: Ahead| {
        let brief = Brief::of(&incident, &scene(), &Occasion { next: Some(ahead), ..Occasion::default() });
        format!("{:?}", brief.sections.iter().find(|section| section.part == Part::Next))
    };
    assert!(!next(again.clone()).contains("ann"), "calls are not repeated");
    assert!(
        next(Ahead { again: false, ..again }).contains("ann"),
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
        token_file: Some(file.to_owned()),
        ..Door::default()
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
