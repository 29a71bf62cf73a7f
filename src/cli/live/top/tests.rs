use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::dialog::GivenOrder;
use super::look::{SortKey, TopLook};
use super::model::{Listed, OrderEnd, TopMode, TopModel};
use super::rows::Percentile;
use super::update::{Happened, PressedKey, TopEffect, update};
use super::view::{ScreenText, screen};
use crate::runtime::clock;

fn series(route: &str, upstream: &str, count: u64, failed: u64) -> Value {
    let total = |count: u64| {
        json!({ "count": count, "p50_ms": 4.25, "p95_ms": 80.0, "p99_ms": 412.7, "max_ms": 1_500.0,
            "p99_is_only_max": count < 100 })
    };
    let windows = [("10s", count), ("1m", count * 6), ("5m", count * 30), ("1h", count * 30)];
    let windows = windows.map(|(window, count)| json!({ "window": window, "total": total(count) }));
    json!({
        "route": route, "upstream": upstream, "direction": "ingress", "in_flight": 3,
        "outcomes_5m": { "ok": 1_000 - failed, "client_error": 0, "refused": failed, "client_gone": 7 },
        "error_rate_5m": failed as f64 / 1_000.0, "windows": windows, "budgets": null
    })
}

fn breaker(name: &str, state: &str) -> Value {
    json!({ "name": name, "state": state, "mode": "on", "since": "2026-01-09T23:06:40Z", "why": "failures",
        "ramping": false, "shadow_state": null, "hold": null, "window_requests": 20, "window_failures": 5,
        "refused_total": 9, "probe_in_seconds": null, "evidence": [] })
}

fn upstream(name: &str, attempts: u64) -> Value {
    json!({ "name": name, "attempts": { "good": attempts, "bad_status": 0 }, "retries": 2, "retries_denied": 0,
        "connections": 4, "connections_max": 100,
        "health": { "status": "healthy", "reason": "its checks pass", "endpoints": 2, "endpoints_healthy": 1 },
        "endpoints": [{ "address": "10.0.0.7:80", "healthy": true, "in_flight": 2, "ejected_for_seconds": null }] })
}

/// Two routes to one upstream, one to another.
pub(super) fn a_look() -> TopLook {
    TopLook {
        performance: json!({ "series": [
            series("default", "backend", 1_234, 0),
            series("orders", "backend", 40, 120),
            series("stripe", "stripe", 500, 1),
        ] }),
        upstreams: json!({ "upstreams": [upstream("backend", 10_000), upstream("stripe", 500)] }),
        breakers: json!({ "circuit_breakers":
            [breaker("backend", "closed"), breaker("stripe", "open"), breaker("stripe.charges", "half_open")] }),
        dashboard: json!({ "process": "till-7", "age_seconds": 0.25, "uptime_seconds": 86_400.0,
            "sentence": "All is well: no incident is open." }),
    }
}

pub(super) fn looked_at(now: Instant) -> TopModel {
    let mut model = TopModel::new(Duration::from_secs(1), now);
    model.looked(a_look(), now);
    model
}

fn text(model: &TopModel, width: usize, height: usize) -> Vec<String> {
    let ScreenText { lines, .. } = screen(model, width, height);
    let text = |line: Vec<(String, _)>| line.into_iter().map(|(text, _)| text).collect::<String>();
    lines.into_iter().map(|line| text(line).trim_end().to_owned()).collect()
}

fn happens(model: &mut TopModel, happened: Happened) {
    let now = model.now;
    assert_eq!(update(model, happened, now), TopEffect::Nothing);
}

fn press(model: &mut TopModel, keys: &str) -> TopEffect {
    let mut last = TopEffect::Nothing;
    for letter in keys.chars() {
        let key = match letter {
            '\n' => PressedKey::Enter,
            '\t' => PressedKey::Tab,
            '\u{1b}' => PressedKey::Escape,
            '\u{8}' => PressedKey::RubOut,
            '↓' => PressedKey::Down,
            letter => PressedKey::Letter(letter),
        };
        let now = model.now;
        last = update(model, Happened::Pressed(key), now);
    }
    last
}

fn names(model: &TopModel) -> Vec<String> {
    model.rows().into_iter().map(|row| row.name).collect()
}

#[test]
fn a_list_is_sorted_turned_and_filtered_by_keys() {
    let mut model = looked_at(clock::instant());
    assert_eq!(names(&model), ["default > backend", "stripe", "orders > backend"], "by rate, the most first");
    press(&mut model, "s");
    assert_eq!((model.sort, names(&model)[0].as_str()), (SortKey::Failed, "orders > backend"));
    press(&mut model, "S");
    assert_eq!(names(&model)[2], "orders > backend");
    press(&mut model, "S/ORD\n");
    assert_eq!((names(&model), &model.mode), (vec!["orders > backend".to_owned()], &TopMode::List));
    press(&mut model, "/x");
    assert!(names(&model).is_empty());
    press(&mut model, "\u{1b}");
    assert_eq!(names(&model).len(), 3, "Esc shows all again");
}

#[test]
fn the_chosen_row_stays_chosen_while_others_come_and_go() {
    let now = clock::instant();
    let mut model = looked_at(now);
    press(&mut model, "j");
    assert_eq!(model.row().expect("one").name, "stripe");
    let mut look = a_look();
    look.performance["series"][1]["windows"][0]["total"]["count"] = 90_000.into();
    update(&mut model, Happened::Looked(Ok(Box::new(look))), now + Duration::from_secs(1));
    assert_eq!(names(&model)[0], "orders > backend");
    assert_eq!(model.row().expect("one").name, "stripe");
    press(&mut model, "G");
    assert_eq!(model.row().expect("one").name, names(&model)[2]);
    press(&mut model, "jj");
    assert_eq!(model.row().expect("one").name, names(&model)[2], "there is no row below the last");
}

#[test]
fn what_of_several_routes_cannot_be_known_is_a_bound_and_what_is_not_observed_a_dash() {
    let now = clock::instant();
    let mut model = looked_at(now);
    press(&mut model, "\t");
    assert_eq!(model.listed, Listed::Upstreams);
    let row =
        |model: &TopModel, name: &str| model.rows().into_iter().find(|row| row.name == name).expect("a row");
    let backend = row(&model, "backend");
    assert_eq!((backend.p99, backend.rate), (Percentile::AtMost(412.7), None), "one look tells no rate");
    assert_eq!(row(&model, "stripe").p99, Percentile::Is(412.7));
    let charges = row(&model, "stripe.charges");
    assert_eq!((charges.failed, charges.in_flight, charges.status), (None, None, None));
    assert!((backend.failed.expect("observed") - 0.06).abs() < 1e-9, "120 of 2,000");
    let mut look = a_look();
    look.upstreams["upstreams"][0]["attempts"]["good"] = 10_500.into();
    update(&mut model, Happened::Looked(Ok(Box::new(look))), now + Duration::from_secs(2));
    assert_eq!(row(&model, "backend").rate, Some(250.0));
    assert_eq!(row(&model, "stripe.charges").rate, None);
}

#[test]
fn a_young_sidecar_has_its_rate_over_its_life() {
    let mut model = TopModel::new(Duration::from_secs(1), clock::instant());
    let mut look = a_look();
    look.dashboard["uptime_seconds"] = 2.0.into();
    model.looked(look, clock::instant());
    assert_eq!(model.rows()[0].rate, Some(617.0));
}

#[test]
fn an_order_asks_why_and_whether_it_is_meant() {
    let mut model = looked_at(clock::instant());
    press(&mut model, "jh");
    assert_eq!(press(&mut model, "\n\n"), TopEffect::Nothing, "without a reason it goes no further");
    assert_eq!(press(&mut model, "a deploy\n"), TopEffect::Nothing);
    assert!(text(&model, 80, 24).iter().any(|line| line == "y gives the order, Esc leaves it"));
    happens(&mut model, Happened::Pasted("y".to_owned()));
    assert!(matches!(model.mode, TopMode::Dialog(_)), "a text that was pasted confirms nothing");
    let given = GivenOrder {
        path: "circuit-breakers/stripe/open".to_owned(),
        body: json!({ "reason": "a deploy", "ttl": "10m" }),
    };
    assert_eq!(press(&mut model, "y"), TopEffect::Give(given));
    assert_eq!(model.mode, TopMode::List);
    happens(&mut model, Happened::Ordered(Err("404: \u{1b}[2Jno".to_owned())));
    assert!(text(&model, 80, 24).iter().any(|line| line == "404:  [2Jno"), "{:#?}", text(&model, 80, 24));
    press(&mut model, "rwell again\n");
    let TopEffect::Give(released) = press(&mut model, "y") else { panic!("an order") };
    assert_eq!(released.path, "circuit-breakers/stripe/release");
    assert_eq!(released.body, json!({ "reason": "well again" }));
    press(&mut model, "c");
    assert!(matches!(model.mode, TopMode::Dialog(_)));
    assert_eq!(press(&mut model, "q\u{1b}q"), TopEffect::Leave, "within a dialog q is a letter");
}

#[test]
fn what_has_no_breaker_takes_no_order() {
    let mut model = TopModel::new(Duration::from_secs(1), clock::instant());
    let mut look = a_look();
    look.breakers = json!({ "circuit_breakers": [breaker("../config", "closed")] });
    model.looked(look, clock::instant());
    press(&mut model, "h");
    assert!(matches!(model.said, Some(OrderEnd::Refused(_))), "{:?}", model.said);
    press(&mut model, "\th");
    assert!(matches!(model.said, Some(OrderEnd::Refused(_))), "what leads elsewhere is no name");
}

#[test]
fn whoever_is_cut_off_reads_since_when_and_how_old_it_is() {
    let now = clock::instant();
    let mut model = looked_at(now);
    let later = |seconds: u64| now + Duration::from_secs(seconds);
    update(&mut model, Happened::Passed, later(1));
    assert_eq!(text(&model, 80, 24)[1], "seen 1.2 s ago; window 10s, failed over 5m; by rate");
    for second in [2, 3] {
        update(&mut model, Happened::Looked(Err("nobody answers".to_owned())), later(second));
    }
    update(&mut model, Happened::Passed, later(12));
    assert_eq!(text(&model, 80, 24)[1], "CUT OFF for 10 s, this was seen 12.2 s ago: nobody answers");
    assert_eq!(names(&model).len(), 3, "what was seen stays");
    update(&mut model, Happened::Looked(Ok(Box::new(a_look()))), later(13));
    assert!(text(&model, 80, 24)[1].starts_with("seen 0.2 s ago"), "{}", text(&model, 80, 24)[1]);
}

#[test]
fn nothing_in_a_name_or_a_title_steers_the_terminal() {
    let hostile = "x\u{1b}[2J\u{202e}\r\n\u{7}y";
    let mut look = a_look();
    look.dashboard["sentence"] = hostile.into();
    look.dashboard["process"] = hostile.into();
    for field in ["route", "upstream", "direction"] {
        look.performance["series"][0][field] = hostile.into();
    }
    look.breakers["circuit_breakers"][0]["why"] = hostile.into();
    look.upstreams["upstreams"][0]["health"]["reason"] = hostile.into();
    let mut model = TopModel::new(Duration::from_secs(1), clock::instant());
    model.looked(look, clock::instant());
    let mut screens = Vec::new();
    for keys in ["", "\n", "\u{1b}\t", "\n"] {
        press(&mut model, keys);
        screens.extend(text(&model, 120, 40));
    }
    happens(&mut model, Happened::Looked(Err(hostile.to_owned())));
    screens.extend(text(&model, 120, 40));
    let steers = |letter: char| letter.is_control() || crate::units::turns_direction(letter);
    assert!(screens.iter().any(|line| line.contains("[2J")), "it is shown as text");
    assert!(screens.iter().all(|line| !line.chars().any(steers)), "{screens:#?}");
}

#[test]
fn the_details_of_a_row_are_all_that_is_known_of_it() {
    let mut model = looked_at(clock::instant());
    press(&mut model, "j\n");
    let told = text(&model, 80, 40).join("\n");
    for part in [
        "stripe",
        "client_gone 7, ok 999, refused 1",
        "1h           15000",
        "breaker        open (on)",
        "because        failures",
    ] {
        assert!(told.contains(part), "{part} is missing:\n{told}");
    }
    press(&mut model, "\u{1b}\t\n");
    let told = text(&model, 80, 40).join("\n");
    assert!(told.contains("10.0.0.7:80 healthy, 2 in flight") && told.contains("5 bad of 20"), "{told}");
    (0..100).for_each(|_| drop(press(&mut model, "↓")));
    assert!(text(&model, 80, 8).join("\n").contains("9 since the start"), "the end stays in sight");
}

#[test]
fn every_screen_has_its_size_and_no_line_is_longer() {
    let mut model = looked_at(clock::instant());
    for keys in ["", "?", "\u{1b}", "/a", "\u{1b}", "\n", "\u{1b}", "h", "\nwhy\n"] {
        press(&mut model, keys);
        for (width, height) in [(80, 24), (40, 12), (20, 5), (1, 1), (200, 60)] {
            assert_eq!(text(&model, width, height).len(), height, "{keys:?}");
        }
    }
    let narrow = text(&looked_at(clock::instant()), 40, 12);
    assert!(narrow[2..].iter().all(|line| line.chars().count() <= 40), "{narrow:#?}");
}
