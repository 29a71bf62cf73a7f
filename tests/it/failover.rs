use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Answer, Upstream, bytes, status};
use crate::support::{eventually, pace};

const CHECKS: &str =
    "health = { path = \"/up\", interval = \"50ms\", suspect_interval = \"50ms\", fall = 2, rise = 2 }";
const SOON: &str = "failover = { back_after = \"6s\" }";

fn toml(first: &[&Upstream], backup: &Upstream, more: &str) -> String {
    let first: Vec<String> = first.iter().map(|one| format!("\"{}\"", one.address)).collect();
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = [{}]
            backup = ["{}"]
            {CHECKS}
            {more}
        "#,
        first.join(", "),
        backup.address
    )
}

fn ok() -> Upstream {
    Upstream::start(bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", true))
}

fn backup() -> Upstream {
    Upstream::start(bytes("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbackup", true))
}

fn says(who: &str) -> Arc<Answer> {
    bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{who}", who.len()), true)
}

/// The group that is called, as the API and the metric say it; both must say the same.
fn group(proxy: &Proxy) -> String {
    proxy.sre("upstreams/backend")["failover"]["group"].as_str().expect("a group").to_owned()
}

fn switches(proxy: &Proxy) -> f64 {
    proxy.metric("strop_upstream_failovers_total", "upstream=\"backend\"")
}

fn on_backup(proxy: &Proxy) -> f64 {
    proxy.metric("strop_upstream_on_backup", "upstream=\"backend\"")
}

/// Who answers a request with 200.
fn answered(proxy: &Proxy) -> String {
    let answer = proxy.get("/");
    assert_eq!(answer.status, 200, "{}", answer.head);
    answer.text()
}

#[test]
fn while_all_first_endpoints_are_dead_the_backup_serves_and_the_way_back_is_slow() {
    let (a, b, spare) = (ok(), ok(), backup());
    let proxy = proxy(&toml(&[&a, &b], &spare, SOON));
    assert_eq!((answered(&proxy).as_str(), group(&proxy).as_str()), ("first", "first"));
    assert_eq!((on_backup(&proxy), switches(&proxy)), (0.0, 0.0));
    let addresses = [a.address, b.address];
    [a, b].iter().for_each(Upstream::kill);
    eventually("it fails over", || group(&proxy) == "backup");
    for _ in 0..20 {
        assert_eq!(answered(&proxy), "backup");
    }
    assert_eq!((on_backup(&proxy), switches(&proxy)), (1.0, 1.0));
    let shown = proxy.sre("upstreams/backend");
    assert_eq!(
        (shown["failover"]["reason"].as_str(), shown["failover"]["endpoints"][0]["healthy"].as_bool()),
        (Some("health"), Some(true)),
        "{shown:#}"
    );
    assert!(shown["failover"]["since"].is_string() && shown["failover"]["back_at"].is_null(), "{shown:#}");
    assert_eq!(shown["health"]["status"], "healthy", "who is called is well: {shown:#}");
    eventually("somebody hears that nothing is left to fail over to", || {
        let open = proxy.sre("incidents").to_string();
        open.contains("backend is called at its backup endpoints")
    });
    let again = addresses.map(|address| Upstream::on(address, says("first")));
    let back = Instant::now();
    eventually("they are seen well", || proxy.sre("upstreams/backend")["failover"]["back_at"].is_string());
    assert_eq!(group(&proxy), "backup", "not at once");
    eventually("the first ones are called again", || answered(&proxy) == "first");
    assert!(back.elapsed() > Duration::from_secs(6), "{:?}", back.elapsed());
    assert_eq!((on_backup(&proxy), switches(&proxy)), (0.0, 2.0));
    drop(again);
}

#[test]
fn an_open_breaker_fails_over_where_that_is_chosen() {
    let (first, spare) = (ok(), backup());
    let more = "failover = { when = \"breaker\", back_after = \"2s\" }\n\
                breaker = { mode = \"on\", failures = 3, lump = \"0s\", open_for = \"1s\", ramp = \"0s\" }";
    let proxy = proxy(&toml(&[&first], &spare, more));
    let ill = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&ill);
    // Its checks pass all the time.
    first.answer(Arc::new(move |seen, stream| {
        let code = if told.load(Ordering::SeqCst) && seen.path() == "/" { 500 } else { 200 };
        status(code)(seen, stream)
    }));
    eventually("it fails over", || {
        proxy.get("/");
        group(&proxy) == "backup"
    });
    assert_eq!(proxy.sre("upstreams/backend")["failover"]["reason"], "breaker");
    assert_eq!(answered(&proxy), "backup");
    assert_eq!(proxy.breaker("backend.backup"), "closed");
    let failed = proxy.metric("circuit_breaker_failures", "upstream=\"backend.backup\"");
    assert_eq!(failed, 0.0, "what failed at the first endpoints is not its");
    spare.answer(status(500));
    assert_eq!(proxy.get("/").status, 500);
    spare.answer(says("backup"));
    eventually("what fails there is", || {
        proxy.metric("circuit_breaker_failures", "upstream=\"backend.backup\"") == 1.0
    });
    ill.store(false, Ordering::SeqCst);
    eventually("the first one is called again", || answered(&proxy).starts_with("200"));
}

#[test]
fn one_sick_endpoint_of_three_is_an_ordinary_day() {
    let (a, b, sick, spare) = (ok(), ok(), ok(), backup());
    let proxy = proxy(&toml(&[&a, &b, &sick], &spare, SOON));
    sick.answer(status(503));
    eventually("it is out of rotation", || {
        proxy.metric("upstream_endpoint_healthy", "upstream=\"backend\"") == 3.0
    });
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        assert_eq!(answered(&proxy), "first");
        pace(Duration::from_millis(50));
    }
    assert_eq!((on_backup(&proxy), switches(&proxy)), (0.0, 0.0));
    assert!(spare.seen().iter().all(|seen| seen.path() == "/up"), "it is checked and not called");
}

#[test]
fn first_endpoints_that_flicker_are_not_gone_back_to() {
    let (first, spare) = (ok(), backup());
    let proxy = proxy(&toml(&[&first], &spare, SOON));
    for _ in 0..4 {
        first.answer(status(503));
        eventually("it serves from the backup", || group(&proxy) == "backup");
        let healthy = || proxy.sre("upstreams/backend")["endpoints"][0]["healthy"].as_bool();
        eventually("it is ill", || healthy() == Some(false));
        eventually("a look has seen that", || {
            proxy.sre("upstreams/backend")["failover"]["back_at"].is_null()
        });
        first.answer(says("first"));
        eventually("it is well for a moment", || healthy() == Some(true));
        // Longer than a look, and shorter than `back_after`.
        let moment = Instant::now();
        while moment.elapsed() < Duration::from_millis(1_500) {
            assert_eq!(answered(&proxy), "backup");
            pace(Duration::from_millis(20));
        }
    }
    assert_eq!(switches(&proxy), 1.0);
}

#[test]
fn where_both_groups_are_dead_nothing_moves_and_clients_are_told() {
    let (first, spare) = (ok(), backup());
    let proxy = proxy(&toml(&[&first], &spare, SOON));
    spare.answer(status(503));
    eventually("the backup is seen ill", || {
        proxy.sre("upstreams/backend")["failover"]["endpoints"][0]["healthy"] == false
    });
    first.answer(status(503));
    eventually("so is the first one", || proxy.sre("upstreams/backend")["endpoints"][0]["healthy"] == false);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        assert_eq!(proxy.get("/").status, 503);
        pace(Duration::from_millis(50));
    }
    assert_eq!((group(&proxy).as_str(), switches(&proxy)), ("first", 0.0));
    spare.answer(says("backup"));
    eventually("the one that comes back first serves", || proxy.get("/").text() == "backup");
}

#[test]
fn what_was_decided_outlives_a_reload() {
    let (first, spare) = (ok(), backup());
    let config = toml(&[&first], &spare, "failover = { back_after = \"1h\" }");
    let proxy = proxy(&config);
    first.answer(status(503));
    eventually("it fails over", || answered_or_ill(&proxy) == "backup");
    first.answer(says("first"));
    let reloaded = proxy.reload(&format!("{config}\npool = {{ connections = 99 }}"));
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    for _ in 0..20 {
        assert_eq!(answered(&proxy), "backup");
        pace(Duration::from_millis(100));
    }
    assert_eq!((on_backup(&proxy), switches(&proxy)), (1.0, 1.0));
    let without = proxy.reload(
        &config
            .replace(&format!("backup = [\"{}\"]", spare.address), "")
            .replace("failover = { back_after = \"1h\" }", ""),
    );
    assert_eq!(without.status, 200, "{}", without.text());
    assert_eq!(answered(&proxy), "first", "without a backup group there is none to call");
    assert!(proxy.sre("upstreams/backend")["failover"].is_null());
    eventually("its numbers are gone", || {
        !proxy.admin_get("/metrics").text().contains("backend.backup")
            && !proxy.admin_get("/metrics").text().contains("strop_upstream_on_backup{")
    });
}

fn answered_or_ill(proxy: &Proxy) -> String {
    proxy.get("/").text()
}

#[test]
fn an_operator_orders_it_for_a_while_and_takes_it_back() {
    let (first, spare) = (ok(), backup());
    let proxy = proxy(&toml(&[&first], &spare, "failover = { back_after = \"1s\" }"));
    eventually("both are looked at", || group(&proxy) == "first");
    for (order, told) in [
        (r#"{"group": "backup"}"#, "ttl is missing"),
        (r#"{"ttl": "1m"}"#, "group is missing"),
        (r#"{"group": "bakcup", "ttl": "1m"}"#, "none of first and backup"),
    ] {
        let refused = proxy.post("upstreams/backend/failover", order);
        assert!(refused.status == 400 && refused.text().contains(told), "{}", refused.text());
    }
    assert_eq!(proxy.post("upstreams/nobody/failover", "{}").status, 404);
    let order = r#"{"group": "backup", "reason": "maintenance", "actor": "ann", "ttl": "15m"}"#;
    let ordered = proxy.post("upstreams/backend/failover", order);
    assert_eq!(ordered.status, 200, "{}", ordered.text());
    assert_eq!(ordered.json()["failover"]["order"]["actor"], "ann", "{}", ordered.text());
    assert_eq!(answered(&proxy), "backup", "in force with the answer");
    assert_eq!(proxy.sre("upstreams/backend")["failover"]["reason"], "order");
    let ended = proxy.post("upstreams/backend/failover", r#"{"group": "first", "actor": "ann"}"#);
    assert_eq!(ended.status, 200, "{}", ended.text());
    eventually("the first one is called again", || answered(&proxy) == "first");
    let audit = proxy.sre("audit").to_string();
    assert!(audit.contains("failover.order") && audit.contains("failover.release"), "{audit}");
    // An order for three seconds ends by itself.
    proxy.post("upstreams/backend/failover", r#"{"group": "backup", "ttl": "3s"}"#);
    assert_eq!(answered(&proxy), "backup");
    eventually("it ends by itself", || answered(&proxy) == "first");
    spare.answer(status(503));
    eventually("the backup is ill", || {
        proxy.sre("upstreams/backend")["failover"]["endpoints"][0]["healthy"] == false
    });
    let vain = proxy.post("upstreams/backend/failover", r#"{"group": "backup", "ttl": "1m"}"#);
    assert!(vain.text().contains("worse off"), "{}", vain.text());
    assert_eq!(answered(&proxy), "first");
}

#[test]
fn a_plan_fails_over_for_a_while() {
    let (first, spare) = (ok(), backup());
    let plan = r#"
            [plans.move]
            services = ["backend"]
            steps = [{ action = "failover", mode = "act" }]
        "#;
    let proxy = proxy(&toml(&[&first], &spare, plan));
    let result = || proxy.sre("recovery")["runs"][0]["steps"][0].clone();
    eventually("both are looked at", || group(&proxy) == "first");
    let begun = proxy.post("recovery/trigger", r#"{"trigger_condition": "move"}"#);
    assert_eq!(begun.status, 200, "{}", begun.text());
    eventually("it is done", || result()["result"] == "done");
    assert_eq!(answered(&proxy), "backup");
    let shown = proxy.sre("upstreams/backend");
    let order = &shown["failover"]["order"];
    assert_eq!(order["actor"], "recovery plan move", "{shown:#}");
    assert!(order["until"].is_string(), "{shown:#}");
}
