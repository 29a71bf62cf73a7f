use std::time::{Duration, Instant};

use crate::clocks::Clock;
use crate::support::proxy::{Proxy, ingress_to, proxy_in};
use crate::support::raw;
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, strop, within};

const FREE: &str =
    "breaker = { mode = \"off\" }\n[drill]\nmode = \"on\"\nmax_percent = \"100%\"\nmax_degraded = \"100%\"\n";
/// Three failures open the breaker for a second; the incident is confirmed after two, and recovers with the first good answers:
/// rules that look back for minutes are off.
const GUARDED: &str = "breaker = { mode = \"on\", failures = 3, lump = \"0s\", open_for = \"1s\" }\n[incidents]\noff = [\"error_rate\", \"latency\"]\n[incidents.down]\n\
                       confirm = \"2s\"\n[drill]\nmode = \"on\"\nmax_percent = \"100%\"\nmax_degraded = \"100%\"\n";

fn begin(proxy: &Proxy, more: &str) -> serde_json::Value {
    let order = format!("{{\"upstream\": \"backend\", \"actor\": \"ann\", \"reason\": \"monthly\", {more}}}");
    let begun = proxy.post("drills", &order);
    assert_eq!(begun.status, 200, "{}", begun.text());
    begun.json()["drill"].clone()
}

fn refused(proxy: &Proxy, order: &str) -> (u16, String) {
    let answer = proxy.post("drills", order);
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

fn now(proxy: &Proxy) -> serde_json::Value {
    proxy.sre("drills")["drills"][0].clone()
}

fn post(proxy: &Proxy) -> u16 {
    let text = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab";
    raw::ask(proxy.ingress(), text).status
}

const ALL: &str = "\"percent\": \"100%\", \"duration\": \"1m\"";

#[test]
fn the_share_that_is_asked_for_is_hit_and_no_write_is() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, &format!("retry = {{ attempts = 1 }}\n{FREE}"));
    begin(&proxy, "\"fault\": \"error\", \"status\": 599, \"percent\": \"30%\", \"duration\": \"1m\"");
    let answers: Vec<u16> = (0..600).map(|_| proxy.get("/").status).collect();
    let hit = answers.iter().filter(|status| **status == 599).count();
    assert!(answers.iter().all(|status| [200, 599].contains(status)));
    // Of 600 at 30 % the share lies within four standard deviations (3.7 % each side of 1.87 %).
    assert!((135..=225).contains(&hit), "{hit} of 600");
    assert_eq!(backend.hits(), 600 - hit, "what is hit never reaches the upstream");
    assert!((0..50).all(|_| post(&proxy) == 200), "writes only where it is asked for");
    eventually("its counts are those of the clients", || {
        let drill = now(&proxy);
        (drill["hit"].as_u64(), drill["exchanges"].as_u64()) == (Some(hit as u64), Some(650))
    });
}

#[test]
fn a_reset_an_error_and_nothing_at_all_look_like_real_ones() {
    let backend = Upstream::start(status(200));
    let limits = format!("timeouts = {{ first_byte = \"300ms\" }}\nretry = {{ attempts = 1 }}\n{FREE}");
    for (fault, status, reason) in [
        ("reset", 502, Some("connection_broken")),
        ("error", 503, Some("drill")),
        ("blackhole", 504, Some("upstream_timeout")),
    ] {
        let proxy = ingress_to(backend.address, &limits);
        begin(&proxy, &format!("\"fault\": \"{fault}\", \"writes\": true, {ALL}"));
        let answer = proxy.get("/");
        assert_eq!((answer.status, answer.field("x-strop-reason")), (status, reason), "{fault}");
        assert_eq!(post(&proxy), status, "{fault}: a write, as asked");
    }
    assert_eq!(backend.hits(), 0);
}

#[test]
fn latency_is_added_and_the_answer_is_the_upstreams() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, FREE);
    begin(&proxy, &format!("\"fault\": \"latency\", \"latency\": \"250ms\", {ALL}"));
    let asked = Instant::now();
    assert_eq!(proxy.get("/").status, 200);
    let took = asked.elapsed();
    assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{took:?}");
    let ended = proxy.ask("DELETE", "drills", "", "{\"actor\": \"bob\"}");
    assert_eq!(ended.json()["drill"]["end_reason"], "bob ended it", "{}", ended.text());
    let hits = now(&proxy)["hit"].as_u64();
    assert!((0..20).all(|_| proxy.get("/").status == 200));
    assert_eq!(now(&proxy)["hit"].as_u64(), hits, "nothing is hit after its end");
}

/// A sidecar that calls `hook`, after fifty requests that went well.
fn calling(backend: &Upstream, hook: &Upstream, secrets: &tempfile::TempDir) -> Proxy {
    let key = secrets.path().join("key");
    std::fs::write(&key, "0123456789abcdef").expect("writes");
    let channel = format!(
        "{GUARDED}[notify.hook]\nkind = \"webhook\"\nurl = \"http://{}/\"\nsecret_file = {key:?}\n",
        hook.address
    );
    let proxy = ingress_to(backend.address, &channel);
    (0..50).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    proxy
}

#[test]
fn it_is_detected_measured_and_in_no_figure_and_nobody_is_called() {
    let (backend, hook) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let secrets = tempfile::tempdir().expect("a directory");
    let proxy = calling(&backend, &hook, &secrets);
    begin(&proxy, &format!("\"fault\": \"error\", {ALL}"));
    eventually("it is detected", || {
        proxy.get("/");
        now(&proxy)["detection_seconds"].is_number()
    });
    let drill = now(&proxy);
    assert!(drill["detection_seconds"].as_f64() < Some(30.0), "{drill:#}");
    assert!(drill["breaker_opened"].is_string() && drill["recovery_seconds"].is_null(), "{drill:#}");
    let incident = proxy.sre("incidents")["incidents"][0].clone();
    assert_eq!((incident["service"].as_str(), incident["silenced"].as_bool()), (Some("backend"), Some(true)));
    assert_eq!(proxy.ask("DELETE", "drills", "", "").status, 200);
    eventually("it recovers", || {
        proxy.get("/");
        now(&proxy)["recovery_seconds"].is_number()
    });
    assert!(now(&proxy)["recovery_seconds"].as_f64() < Some(300.0));
    let id = now(&proxy)["id"].as_str().expect("told").to_owned();
    let page = proxy.admin_get(&format!("/api/v2/sre/drills/{id}?format=html"));
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    let (fine, told) = strop(&["drill", "report", "--admin", &proxy.admin().to_string()], secrets.path());
    assert!(fine && told.contains("Detection: first hit to the incident"), "{told}");
    assert!(told.contains("ann: monthly") && told.contains("Called: nobody, as ordered"), "{told}");
    let figures = || {
        proxy.get("/");
        let subjects = proxy.sre("uptime")["subjects"].as_array().expect("a list").clone();
        let all = subjects.iter().map(|one| &one["windows"][0]);
        let sum = |field: &str| all.clone().map(|one| one[field].as_u64().expect("counted")).sum::<u64>();
        (sum("down_seconds"), sum("degraded_seconds"), sum("maintenance_seconds"))
    };
    eventually("its seconds are announced work", || figures().2 > 0);
    assert_eq!((figures().0, figures().1), (0, 0), "{:?}", proxy.sre("uptime"));
    assert_eq!(proxy.metric("sre_incidents_24h", ""), 0.0);
    let replies = proxy.sre("slo");
    assert_eq!(replies["windows"][2]["bad"].as_u64(), Some(0), "{replies:#}");
    assert_eq!(hook.hits(), 0, "nobody is called");
}

#[test]
fn who_is_called_by_order_reads_that_it_is_a_drill() {
    let (backend, hook) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let secrets = tempfile::tempdir().expect("a directory");
    let proxy = calling(&backend, &hook, &secrets);
    begin(&proxy, &format!("\"fault\": \"error\", \"call\": true, {ALL}"));
    eventually("somebody is told", || {
        proxy.get("/");
        hook.hits() > 0 && now(&proxy)["detection_seconds"].is_number()
    });
    let told = String::from_utf8_lossy(&hook.raw()).into_owned();
    assert!(told.contains("DRILL: "), "{told}");
}

#[test]
fn the_guard_ends_it_when_the_upstream_fails_by_itself_or_something_else_is_the_matter() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, FREE);
    begin(&proxy, "\"fault\": \"latency\", \"latency\": \"1ms\", \"percent\": \"20%\", \"duration\": \"5m\"");
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    backend.answer(status(500));
    eventually("its own errors end it", || {
        proxy.get("/");
        now(&proxy)["end"] == "aborted"
    });
    let why = now(&proxy)["end_reason"].as_str().expect("told").to_owned();
    assert!(why.contains("that it did not touch failed"), "{why}");
    let other = Upstream::start(status(200));
    let proxy = ingress_to(other.address, FREE);
    begin(&proxy, "\"fault\": \"reset\", \"percent\": \"1%\", \"duration\": \"5m\"");
    let made =
        proxy.post("test/incident", r#"{"title": "the disk", "service": "backend", "severity": "low"}"#);
    assert_eq!(made.status, 200, "{}", made.text());
    eventually("another incident ends it", || now(&proxy)["end"] == "aborted");
    let why = now(&proxy)["end_reason"].as_str().expect("told").to_owned();
    assert!(why.contains(made.json()["incident"]["id"].as_str().expect("an id")), "{why}");
}

#[test]
fn it_begins_only_where_it_is_asked_for_and_all_is_well() {
    let backend = Upstream::start(status(200));
    let order =
        "{\"upstream\": \"backend\", \"fault\": \"reset\", \"percent\": \"10%\", \"duration\": \"1m\"}";
    let plain = ingress_to(backend.address, "");
    assert_eq!(refused(&plain, order), (409, "drills_off".to_owned()));
    assert_eq!(plain.sre("drills")["enabled"], false);
    let proxy = ingress_to(backend.address, "[drill]\nmode = \"on\"\n");
    for (order, expected) in [
        (order.replace("backend", "backends"), (404, "unknown_upstream")),
        (order.replace("10%", "26%"), (400, "too_much")),
        (order.replace("1m", "11m"), (400, "too_long")),
        (order.replace("reset", "resets"), (400, "bad_query")),
        (order.replace("\"fault\": \"reset\", ", ""), (400, "bad_body")),
    ] {
        assert_eq!(refused(&proxy, &order), (expected.0, expected.1.to_owned()), "{order}");
    }
    assert_eq!(proxy.ask("DELETE", "drills", "", "").json()["code"], "not_running");
    proxy.post("test/incident", r#"{"title": "the disk", "service": "backend", "severity": "low"}"#);
    eventually("it is seen", || refused(&proxy, order) == (409, "not_well".to_owned()));
}

#[test]
fn a_kill_ends_it_for_good_and_what_it_left_is_nobodys_drill() {
    let backend = Upstream::start(status(200));
    let toml = format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n{GUARDED}",
        backend.address
    );
    let mut proxy = proxy_in(tempfile::tempdir().expect("a directory"), &toml);
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    begin(&proxy, &format!("\"fault\": \"error\", {ALL}"));
    eventually("its incident is stored", || {
        proxy.get("/");
        now(&proxy)["detection_seconds"].is_number()
    });
    let id = now(&proxy)["incidents"][0]["id"].as_str().expect("an id").to_owned();
    proxy.signal("KILL");
    let dir = proxy.leave_behind();
    let proxy = proxy_in(dir, &toml);
    assert_eq!(proxy.sre("drills")["drills"].as_array().map(Vec::len), Some(0));
    assert!((0..20).all(|_| proxy.get("/").status == 200), "nothing is hit");
    within(Duration::from_secs(20), "it is a real one from here on", || {
        let one = proxy.sre(&format!("incidents/{id}"));
        let lines = one["timeline"].as_array().expect("a list").clone();
        let told =
            |text: &str| lines.iter().any(|line| line["text"].as_str().is_some_and(|one| one.contains(text)));
        told("a real incident from here on")
    });
}

/// Seconds by which a clock is ahead that shows this moment now.
fn ahead(moment: &str) -> i64 {
    let wanted: jiff::Timestamp = moment.parse().expect("a moment");
    wanted.as_second() - jiff::Timestamp::now().as_second()
}

fn monthly(backend: &Upstream, more: &str) -> String {
    let order = "upstream = \"backend\"\npercent = \"100%\"\nduration = \"1m\"\nstatus = 599\n";
    format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\nretry = {{ attempts = 1 }}\n{FREE}[drill.schedule]\n\
         on = \"day 15\"\nat = \"10:00\"\ntime_zone = \"Europe/Berlin\"\n{order}{more}",
        backend.address
    )
}

fn scheduled(proxy: &Proxy, field: &str) -> String {
    proxy.sre("drills")["schedule"][field].as_str().unwrap_or_default().to_owned()
}

fn rows(proxy: &Proxy, action: &str) -> usize {
    let all = proxy.sre("audit")["mutations"].as_array().expect("a list").clone();
    all.iter().filter(|row| row["action"] == action && row["actor"] == "schedule").count()
}

const DUE: &str = "2027-06-15T08:00:00.000Z";
const NEXT: &str = "2027-07-15T08:00:00.000Z";

#[test]
fn one_begins_by_the_calendar_once_and_not_again_after_a_kill() {
    let backend = Upstream::start(status(200));
    let clock = Clock::new(ahead("2027-06-15T07:59:00Z"));
    let toml = monthly(&backend, "");
    let mut proxy = clock.proxy_in(tempfile::tempdir().expect("a directory"), &toml);
    eventually("it is told when", || scheduled(&proxy, "next") == DUE);
    assert_eq!(scheduled(&proxy, "when"), "day 15 at 10:00 Europe/Berlin");
    assert_eq!((now(&proxy), proxy.get("/").status), (serde_json::Value::Null, 200));
    clock.set(ahead("2027-06-15T07:59:58Z"));
    eventually("it begins", || now(&proxy)["phase"] == "injecting");
    let drill = now(&proxy);
    assert_eq!(
        (&drill["actor"], &drill["reason"]),
        (&"schedule".into(), &"each month: day 15 at 10:00 Europe/Berlin".into())
    );
    assert!(drill["began"].as_str() >= Some(DUE), "{drill:#}");
    assert_eq!(proxy.get("/").status, 599);
    eventually("its row is there", || rows(&proxy, "drill.begin") == 1);
    assert_eq!(scheduled(&proxy, "next"), NEXT);
    proxy.signal("KILL");
    let proxy = clock.proxy_in(proxy.leave_behind(), &toml);
    eventually("it knows that this month's has begun", || scheduled(&proxy, "next") == NEXT);
    assert_eq!((now(&proxy), proxy.get("/").status), (serde_json::Value::Null, 200));
    assert_eq!(rows(&proxy, "drill.begin"), 1);
}

#[test]
fn what_is_refused_is_told_once_and_what_a_restart_missed_begins_within_the_hour() {
    let backend = Upstream::start(status(200));
    let clock = Clock::new(ahead("2027-06-15T08:20:00Z"));
    let late = clock.proxy_in(tempfile::tempdir().expect("a directory"), &monthly(&backend, ""));
    eventually("it is made up for", || now(&late)["phase"] == "injecting");
    let off = clock
        .proxy_in(tempfile::tempdir().expect("a directory"), &monthly(&backend, "[store]\nurl = \"off\"\n"));
    eventually("nobody knows", || scheduled(&off, "last_refusal").contains("without a store"));
    assert_eq!((scheduled(&off, "next").as_str(), now(&off)), (NEXT, serde_json::Value::Null));
    let away = monthly(&backend, "").replace("mode = \"on\"\nmax", "mode = \"off\"\nmax");
    let away = clock.proxy_in(tempfile::tempdir().expect("a directory"), &away);
    eventually("drills are off", || scheduled(&away, "last_refusal") == "drills are off");
    eventually("that is a row", || rows(&away, "drill.refused") == 1);
    assert_eq!(
        (scheduled(&away, "next").as_str(), now(&away)),
        (DUE, serde_json::Value::Null),
        "it is still due"
    );
    let refused =
        away.log.lock().expect("not poisoned").iter().filter(|line| line.contains("has not begun")).count();
    assert_eq!(refused, 1);
    clock.set(ahead("2027-06-15T09:00:01Z"));
    eventually("its hour is over", || scheduled(&away, "next") == NEXT);
    assert_eq!((rows(&away, "drill.refused"), rows(&away, "drill.begin")), (1, 0));
}

#[test]
fn it_does_not_begin_while_something_is_the_matter() {
    let backend = Upstream::start(status(200));
    let clock = Clock::new(ahead("2027-06-15T07:59:10Z"));
    let proxy = clock.proxy_in(tempfile::tempdir().expect("a directory"), &monthly(&backend, ""));
    eventually("it has looked", || scheduled(&proxy, "next") == DUE);
    let made =
        proxy.post("test/incident", r#"{"title": "the disk", "service": "backend", "severity": "low"}"#);
    let id = made.json()["incident"]["id"].as_str().unwrap_or_else(|| panic!("{}", made.text())).to_owned();
    eventually("it is seen", || proxy.sre("incidents").to_string().contains(&id));
    clock.set(ahead("2027-06-15T08:00:00Z"));
    eventually("it is refused", || scheduled(&proxy, "last_refusal").contains(&id));
    assert_eq!((now(&proxy), proxy.get("/").status), (serde_json::Value::Null, 200));
}
