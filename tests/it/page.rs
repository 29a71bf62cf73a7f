//! The page of the admin port: who gets it, what it may do, who has logged in, and that nothing in it is taken for markup.

use std::path::Path;
use std::time::Duration;

use crate::support::proxy::{Proxy, TOKEN, ingress_to, proxy, proxy_in, with_token};
use crate::support::raw::{Response, ask_http1};
use crate::support::tools::{python, run_within};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace, within};

fn browser(proxy: &Proxy, path: &str, more: &str) -> Response {
    let accept = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{accept}{more}Connection: close\r\n\r\n");
    ask_http1(proxy.admin(), &head)
}

fn form(proxy: &Proxy, path: &str, body: &str) -> Response {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    ask_http1(proxy.admin(), &head)
}

fn guarded(backend: &Upstream, dir: &tempfile::TempDir) -> Proxy {
    with_token(backend.address, dir.path(), "", 0)
}

#[test]
fn a_browser_gets_the_page_and_whoever_else_asks_the_index() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let index = proxy.admin_get("/");
    assert_eq!(index.field("content-type"), Some("application/json"));
    assert_eq!(index.field("vary"), Some("accept"));
    let page = browser(&proxy, "/", "");
    assert_eq!((page.status, page.field("cache-control")), (200, Some("no-store")));
    let policy = page.field("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let text = page.text();
    let sentence = proxy.sre("dashboard")["sentence"].as_str().expect("a sentence").to_owned();
    assert!(text.contains(&sentence), "without a script the state is told: {sentence}\n{text}");
    assert!(!text.contains("{{"), "{text}");
}

#[test]
fn what_others_are_used_to_is_there_too() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = guarded(&backend, &dir);
    for path in ["/-/healthy", "/-/ready"] {
        eventually("probes need no token", || proxy.admin_get(path).status == 200);
    }
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let help = browser(&proxy, "/help", &bearer).text();
    let told = |line: &str| help.lines().any(|one| one.split_whitespace().take(2).eq(line.split(' ')));
    for line in
        ["GET /api/v2/sre/incidents", "POST /api/v2/sre/drills", "DELETE /api/v2/sre/drills", "GET /metrics"]
    {
        assert!(told(line), "{line} is missing:\n{help}");
    }
    assert!(
        help.lines().all(|line| line.split_whitespace().count() > 2),
        "each says what it is for:\n{help}"
    );
    assert_eq!(browser(&proxy, "/help", "").status, 401);
    let reload = |fields: &str| {
        let head = format!(
            "POST /-/reload HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\nContent-Length: 0\r\n\r\n"
        );
        ask_http1(proxy.admin(), &head).status
    };
    assert_eq!((reload(""), reload(&bearer)), (401, 200));
}

#[test]
fn files_are_sent_once_and_no_other_than_those_of_the_page() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let script = browser(&proxy, "/ui/app.js", "");
    assert_eq!((script.status, script.field("content-type")), (200, Some("text/javascript; charset=utf-8")));
    let tag = script.field("etag").expect("a tag").to_owned();
    let again = browser(&proxy, "/ui/app.js", &format!("If-None-Match: {tag}\r\n"));
    assert_eq!((again.status, again.body.len()), (304, 0));
    for path in ["/ui/shell.html", "/ui/..%2fmod.rs", "/ui/none.js"] {
        assert_eq!(browser(&proxy, path, "").status, 404, "{path}");
    }
}

#[test]
fn whoever_knows_the_token_logs_in_and_the_browser_never_has_it() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = guarded(&backend, &dir);
    let asked = browser(&proxy, "/", "");
    let text = asked.text();
    assert!(asked.status == 200 && text.contains("action=\"/ui/login\""), "{text}");
    assert!(!text.contains("backend"), "nothing is told before: {text}");
    let wrong = form(&proxy, "/ui/login", "token=wrong");
    assert!(wrong.status == 401 && wrong.text().contains("That is not the token"), "{}", wrong.text());
    let well = form(&proxy, "/ui/login", &format!("token={TOKEN}"));
    let cookie = well.field("set-cookie").expect("a cookie").to_owned();
    assert_eq!((well.status, well.field("location")), (303, Some("/")));
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(TOKEN),
        "{cookie}"
    );
    let pair = format!("Cookie: {}\r\n", cookie.split(';').next().expect("a pair"));
    assert!(browser(&proxy, "/", &pair).text().contains("backend"), "the overview");
    assert_eq!(browser(&proxy, "/api/v2/sre/upstreams", &pair).status, 200);
    assert_eq!(browser(&proxy, "/api/v2/sre/upstreams", "").status, 401);
    assert_eq!(
        form(&proxy, "/ui/logout", "").field("set-cookie").map(|set| set.contains("Max-Age=0")),
        Some(true)
    );
}

#[test]
fn what_a_session_orders_comes_from_the_page_itself() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = guarded(&backend, &dir);
    let well = form(&proxy, "/ui/login", &format!("token={TOKEN}"));
    let cookie = well.field("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    let order = |origin: &str| {
        let body = "{\"reason\":\"a test\",\"ttl\":\"1m\"}";
        let fields = format!("Cookie: {cookie}\r\n{origin}");
        proxy.ask("POST", "circuit-breakers/backend/open", &fields, body).status
    };
    assert_eq!(order(""), 401, "a cookie alone orders nothing");
    assert_eq!(order("Origin: http://evil.example\r\n"), 403);
    assert_eq!(order("Origin: http://localhost\r\n"), 200);
}

#[test]
fn titles_from_elsewhere_are_text_and_the_state_is_told_in_one_sentence() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let title = "<script>alert(1)</script>\u{202e} & \"q\"";
    let order = serde_json::json!({ "title": title, "severity": "critical" }).to_string();
    assert_eq!(proxy.ask("POST", "test/incident", "", &order).status, 200);
    eventually("it is told", || proxy.sre("dashboard")["incidents"][0]["title"] == title);
    let told = proxy.sre("dashboard");
    let sentence = told["sentence"].as_str().expect("a sentence");
    assert!(sentence.contains("nobody has taken it") && told["since"].is_string(), "{told:#}");
    let text = browser(&proxy, "/", "").text();
    assert!(!text.contains("<script>alert") && text.contains("&lt;script&gt;alert(1)"), "{text}");
    assert!(!text.contains('\u{202e}'), "{text}");
}

#[test]
fn what_strop_does_is_told_while_it_does_it() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    assert_eq!(proxy.sre("dashboard")["doing"], serde_json::json!([]));
    let order = r#"{"reason":"a drain <of> it","ttl":"10m","actor":"ann"}"#;
    assert_eq!(proxy.ask("POST", "circuit-breakers/backend/open", "", order).status, 200);
    let doing = proxy.sre("dashboard")["doing"][0].as_str().expect("a text").to_owned();
    assert!(
        doing.contains("backend: its breaker is held open") && doing.contains("by ann: a drain <of> it"),
        "{doing}"
    );
    assert!(browser(&proxy, "/", "").text().contains("a drain &lt;of&gt; it"));
}

/// For a whole visit by a browser.
const VISIT: Duration = Duration::from_secs(500);

fn signalled(signal: &Path, word: &str) -> bool {
    std::fs::read_to_string(signal).is_ok_and(|text| text == word)
}

/// A sidecar that has written a year of days into its ledger.
fn with_a_year(backend: &Upstream) -> (Proxy, serde_json::Value) {
    let toml = format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n",
        backend.address
    );
    let mut first = proxy_in(tempfile::tempdir().expect("a directory"), &toml);
    first.post("test/incident", "{}");
    first.stop();
    let dir = first.leave_behind();
    let mut fill = python("year.py");
    fill.arg(dir.path().join("strop.db"));
    let filled = serde_json::from_slice(&run_within(VISIT, &mut fill)).expect("one object");
    (proxy_in(dir, &toml), filled)
}

#[test]
fn a_year_of_days_is_told_as_the_store_has_it() {
    let backend = Upstream::start(status(200));
    let (proxy, filled) = with_a_year(&backend);
    // The page asks for the year, see below; a quarter of it is read in a second where nothing is optimised.
    let year = proxy.sre("uptime/days?months=3");
    let days = year["days"].as_array().expect("days").clone();
    let sum = |state: &str| days.iter().filter_map(|day| day[state].as_u64()).sum::<u64>();
    // The older days lie before the months that are asked for.
    let asked = |letter: &str| filled[letter].as_u64().unwrap_or_default();
    assert!((59..=92).contains(&days.len()), "{}", days.len());
    assert_eq!((sum("down_seconds") > 0, sum("down_seconds") <= asked("d")), (true, true));
    assert_eq!(sum("maintenance_seconds") % 5_400, 0);
    let whole = |day: &serde_json::Value| {
        ["up", "degraded", "down", "maintenance", "unknown"]
            .iter()
            .filter_map(|state| day[format!("{state}_seconds")].as_u64())
            .sum::<u64>()
    };
    let (today, closed) = days.split_last().expect("today");
    assert!(closed.iter().all(|day| whole(day) == 86_400) && whole(today) <= 86_400, "{today}");
    assert!(days.iter().any(|day| day["unknown_seconds"].as_u64() >= Some(6 * 3_600)), "nobody ran at night");
    let backend = proxy.sre("uptime/days?service=backend&months=1");
    assert!(backend["days"].as_array().is_some_and(|days| (1..=31).contains(&days.len())), "{backend}");
    for (query, status) in [("service=nobody", 400), ("months=13", 400), ("months=0", 400)] {
        let answer = proxy.admin_get(&format!("/api/v2/sre/uptime/days?{query}"));
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
    }
}

/// An ingress to `backend`, and beside it an upstream that is `other`.
fn with_other(backend: &Upstream, other: &Upstream) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            upstream = "backend"
            [[routes]]
            name = "payments"
            prefix = "/pay"
            upstream = "stripe"
            [upstreams.backend]
            endpoints = ["{}"]
            [upstreams.stripe]
            endpoints = ["{}"]
            breaker = {{ mode = "on" }}
        "#,
        backend.address, other.address
    ))
}

/// Requests until both of its steps have been seen, some of them failed where something is down.
fn used(proxy: &Proxy) {
    within(VISIT, "a step of traffic is closed", || {
        (0..9).for_each(|_| drop(proxy.get("/")));
        (0..3).for_each(|_| drop(proxy.get("/pay/1")));
        let steps = proxy.sre("traffic?window=5m")["steps"].as_array().cloned().unwrap_or_default();
        pace(Duration::from_millis(40));
        steps.iter().filter(|step| step["count"].as_u64() > Some(0)).count() >= 2
    });
}

/// Nothing yet, well, one upstream down, everything down, a year of data: what each looks like, with axe on it, and what is told.
#[test]
fn each_state_of_the_service_is_shown_on_the_page() {
    let (good, bad) = (Upstream::start(status(200)), Upstream::start(status(500)));
    let (well, one, all) = (with_other(&good, &good), with_other(&good, &bad), with_other(&bad, &bad));
    let (year, _) = with_a_year(&good);
    std::thread::scope(|threads| {
        for proxy in [&well, &one, &all] {
            threads.spawn(move || used(proxy));
        }
    });
    let young = with_other(&good, &good);
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&shots).expect("a directory");
    let mut command = python("with_page.py");
    command.arg("--shots").arg(&shots);
    for (name, proxy) in
        [("nothing", &young), ("well", &well), ("one-down", &one), ("all-down", &all), ("year", &year)]
    {
        command.arg("--state").arg(format!("{name}=http://{}", proxy.admin()));
    }
    let told: serde_json::Value =
        serde_json::from_slice(&run_within(VISIT, &mut command)).expect("one object");
    assert_eq!(told["violations"], serde_json::json!([]), "{told:#}");
    assert_eq!(told["troubles"], serde_json::json!([]), "{told:#}");
    let text = |state: &str, page: &str| told["states"][state][page].to_string();
    assert!(text("well", "traffic_drawings").contains("Most took"), "{}", text("well", "traffic_drawings"));
    assert!(text("one-down", "overview").contains("stripe"), "{}", text("one-down", "overview"));
    assert!(
        text("all-down", "upstream_drawings").contains("open:"),
        "{}",
        text("all-down", "upstream_drawings")
    );
    assert!(
        text("all-down", "traffic_drawings").contains("failed"),
        "{}",
        text("all-down", "traffic_drawings")
    );
    let year = text("year", "uptime_drawings");
    assert!(
        year.contains("down for") && year.contains("never seen down") && year.contains("unknown for"),
        "{year}"
    );
}

/// All pages in Chromium, in both schemes, wide and narrow, with axe on each; numbers against the API's, orders against the audit
/// log, hostile titles, the keyboard, no JavaScript, and a restart of the sidecar beneath it. Pictures are kept in
/// `target/tmp/page`.
#[test]
fn a_browser_sees_what_the_api_says_orders_by_it_and_survives_a_restart() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let mut before = guarded(&backend, &dir);
    (0..20).for_each(|_| drop(before.get("/")));
    let (base, port) = (format!("http://{}", before.admin()), before.admin().port());
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&shots).expect("a directory");
    let (token, signal) = (dir.path().join("token"), dir.path().join("signal"));
    let mut command = python("with_page.py");
    command.arg(base).arg("--token-file").arg(token).arg("--shots").arg(&shots);
    command.arg("--restart-signal").arg(&signal);
    let said = std::thread::scope(|threads| {
        let visit = threads.spawn(move || run_within(VISIT, &mut command));
        while !signalled(&signal, "stop") && !visit.is_finished() {
            pace(Duration::from_millis(50));
        }
        before.stop();
        let gone = !visit.is_finished();
        within(Duration::from_secs(60), "it is to come back", || !gone || signalled(&signal, "start"));
        let _after = gone.then(|| with_token(backend.address, dir.path(), "", port));
        visit.join().expect("the visit ends well")
    });
    let told: serde_json::Value = serde_json::from_slice(&said).expect("one object");
    assert_eq!(told["violations"], serde_json::json!([]), "{told:#}");
    assert_eq!(told["troubles"], serde_json::json!([]), "{told:#}");
    let seen = told["seen"].as_array().map_or(0, Vec::len);
    assert!(seen >= 9 * 4, "{seen} pictures: {told:#}");
    assert_eq!(told["without_script"]["sentence_told"], true, "{told:#}");
    let log_in = &told["log_in"];
    assert!(log_in["wrong_is_told"] == true && log_in["right_is_not"] == true, "{told:#}");
    assert_eq!(log_in["cookies"], serde_json::json!([{ "httpOnly": true, "sameSite": "Strict" }]));
}
