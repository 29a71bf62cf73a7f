use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy, proxy_in};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, status};

/// A sidecar that finds within seconds what is down, and times as short as they may be.
fn config(backend: &Upstream, more: &str) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            health = {{ path = "/health", interval = "1s" }}
            [incidents]
            clear_after = "1s"
            grace = "0s"
            [incidents.down]
            confirm = "1s"
            {more}
        "#,
        backend.address
    )
}

/// A program that notes each time that it runs, and then does `then`.
fn program(dir: &Path, then: &str) -> PathBuf {
    let path = dir.join("act");
    let noted = dir.join("acted");
    let text = format!("#!/bin/sh\necho \"$STROP_ACTION $STROP_TARGET\" >> {}\n{then}\n", noted.display());
    std::fs::write(&path, text).expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("sets");
    path
}

fn acted(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("acted")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn runs(proxy: &Proxy) -> Vec<serde_json::Value> {
    proxy.sre("recovery")["runs"].as_array().expect("a list").clone()
}

fn outcome(proxy: &Proxy) -> Option<String> {
    Some(runs(proxy).first()?["outcome"].as_str()?.to_owned())
}

/// The backend listens; once it has been seen well it goes.
fn dies(proxy: &Proxy, backend: &Upstream) {
    eventually("it has been seen well", || proxy.get("/").status == 200);
    backend.kill();
}

#[test]
fn a_dead_backend_is_restarted_by_its_plan_and_nobody_is_needed() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    // What it starts holds its standard error open.
    let act = program(dir.path(), "sleep 6 &");
    let proxy = proxy(&config(
        &backend,
        &format!(
            r#"
                [recovery.actions.restart_service]
                exec = [{act:?}]
                within = "3s"
                [plans.api_failure]
                rules = ["service_down"]
                services = ["backend"]
                steps = [{{ action = "connection_reset", verify = "2s" }}, {{ action = "restart_service", mode = "act" }}]
                verify_for = "1s"
            "#
        ),
    ));
    dies(&proxy, &backend);
    eventually("it is restarted", || !acted(dir.path()).is_empty());
    let again = Upstream::on(backend.address, status(200));
    eventually("the run is over", || outcome(&proxy).is_some());
    let run = runs(&proxy)[0].clone();
    assert_eq!(run["outcome"], "recovered", "{run:#}");
    assert_eq!(
        (&run["plan"], &run["target"], &run["attempt"]),
        (&"api_failure".into(), &"backend".into(), &1.into())
    );
    let steps = run["steps"].as_array().expect("a list");
    let told: Vec<(&str, &str)> = steps
        .iter()
        .map(|step| (step["action"].as_str().expect("a word"), step["result"].as_str().expect("a word")))
        .collect();
    assert_eq!(told, [("connection_reset", "done"), ("restart_service", "done")], "{run:#}");
    assert_eq!((&steps[0]["verified"], &steps[1]["verified"]), (&false.into(), &true.into()));
    assert_eq!(acted(dir.path()), ["restart_service backend"]);
    let id = run["incident"].as_str().expect("an id");
    let incident = proxy.sre(&format!("incidents/{id}"));
    let lines = incident["timeline"].to_string();
    assert!(
        lines.contains("begins a restart of the service") && lines.contains("has worked"),
        "{incident:#}"
    );
    let counted = ["action=\"restart_service\"", "outcome=\"recovered\"", "plan=\"api_failure\""];
    let text = proxy.admin_get("/metrics").text();
    let line = text.lines().find(|line| {
        line.starts_with("recovery_time_seconds_count{") && counted.iter().all(|label| line.contains(label))
    });
    assert!(line.is_some_and(|line| line.ends_with(" 1")), "{line:?}");
    drop(again);
}

#[test]
fn what_a_plan_cannot_mend_ends_after_its_attempts_and_calls_the_next_at_once() {
    let (backend, pager) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let dir = tempfile::tempdir().expect("a directory");
    let act = program(dir.path(), "exit 0");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("writes");
    let proxy = proxy(&config(
        &backend,
        &format!(
            r#"
                [notify.hook]
                kind = "webhook"
                url = "http://{}/page"
                secret_file = {secret:?}
                [escalation.critical]
                steps = [{{ after = "1h", contacts = ["cto"] }}]
                [recovery.actions.restart_service]
                exec = [{act:?}]
                [plans.api_failure]
                rules = ["service_down"]
                steps = [{{ action = "restart_service", mode = "act" }}]
                max_attempts = 2
                retry_delay = "1s"
                verify = "1s"
                verify_for = "1s"
            "#,
            pager.address
        ),
    ));
    dies(&proxy, &backend);
    eventually("it gives up", || outcome(&proxy).as_deref() == Some("exhausted"));
    assert_eq!(acted(dir.path()).len(), 2, "as many times as it may");
    let calls = || {
        let bodies = pager.seen();
        bodies
            .iter()
            .filter(|seen| String::from_utf8_lossy(&seen.body).contains("\"kind\":\"trigger\""))
            .count()
    };
    eventually("who would be called in an hour is called now", || calls() == 1);
    eventually("some looks have passed", || {
        proxy.sre("recovery")["observed_at"].as_str().is_some()
            && proxy.metric("strop_recovery_steps_total", "done") >= 2.0
    });
    assert_eq!((runs(&proxy).len(), acted(dir.path()).len()), (1, 2), "and it is not begun again");
}

#[test]
fn the_guides_order_runs_a_plan_and_what_makes_no_sense_is_told() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&config(
        &backend,
        r#"
            [plans.database_failure]
            services = ["backend"]
            steps = [{ action = "connection_reset" }, { action = "restart_service" }]
        "#,
    ));
    let guide = r#"{"incident_id": "incident_123", "trigger_condition": "database_failure", "context": {"service": "database"}}"#;
    assert_eq!(proxy.post("recovery/trigger", guide).status, 404, "there is no such incident");
    let unknown = proxy.post("recovery/trigger", r#"{"trigger_condition": "databse_failure"}"#);
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("database_failure"), "{}", unknown.text());
    assert_eq!(proxy.post("recovery/trigger", "{}").status, 400);
    let dry = proxy.post("recovery/trigger", r#"{"trigger_condition": "database_failure", "dry_run": true}"#);
    assert_eq!((dry.status, dry.json()["run"]["outcome"].as_str()), (200, Some("dry_run")), "{}", dry.text());
    let begun = proxy.post(
        "recovery/trigger",
        r#"{"trigger_condition": "database_failure", "actor": "ann", "reason": "slow"}"#,
    );
    assert_eq!(begun.status, 200, "{}", begun.text());
    let id = begun.json()["run"]["id"].as_str().expect("an id").to_owned();
    let again = proxy.post("recovery/trigger", r#"{"trigger_condition": "database_failure"}"#);
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(again.text().contains(&id), "{}", again.text());
    let ended = proxy.post(&format!("recovery/{id}/cancel"), r#"{"actor": "ann", "reason": "enough"}"#);
    assert_eq!(
        (ended.status, ended.json()["run"]["outcome"].as_str()),
        (200, Some("cancelled")),
        "{}",
        ended.text()
    );
    assert_eq!(proxy.post(&format!("recovery/{id}/cancel"), "{}").status, 409, "it is over");
    let audit = proxy.sre("audit").to_string();
    assert!(audit.contains("recovery.trigger") && audit.contains("recovery.cancel"), "{audit}");
}

#[test]
fn a_reset_of_connections_lets_no_exchange_use_an_old_one() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(
        &config(
            &backend,
            r#"
                [plans.reset]
                services = ["backend"]
                steps = [{ action = "connection_reset" }]
            "#,
        )
        .replace("health = { path = \"/health\", interval = \"1s\" }", ""),
    );
    let mut client = Client::to(proxy.ingress());
    assert_eq!((client.get(), client.get()), (200, 200));
    assert_eq!(backend.connections(), 1, "it is kept");
    let done = proxy.post("recovery/trigger", r#"{"trigger_condition": "reset"}"#);
    assert_eq!(done.status, 200, "{}", done.text());
    eventually("it is done", || runs(&proxy)[0]["steps"][0]["result"] == "done");
    assert_eq!(client.get(), 200);
    assert_eq!(backend.connections(), 2, "the old one takes no new exchange");
}

#[test]
fn what_was_being_done_when_the_process_was_killed_is_not_done_again() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let act = program(dir.path(), "exec sleep 60");
    let home = tempfile::tempdir().expect("a directory");
    let toml = config(
        &backend,
        &format!(
            r#"
                [recovery.actions.restart_service]
                exec = [{act:?}]
                [plans.api_failure]
                rules = ["service_down"]
                steps = [{{ action = "restart_service", mode = "act", verify = "2s" }}]
                max_attempts = 1
                verify_for = "1s"
            "#
        ),
    );
    let mut first = proxy_in(home, &toml);
    dies(&first, &backend);
    eventually("it acts", || acted(dir.path()).len() == 1);
    first.signal("KILL");
    let home = first.leave_behind();
    let second = proxy_in(home, &toml);
    eventually("the run is taken up and ends", || outcome(&second).as_deref() == Some("exhausted"));
    let run = runs(&second)[0].clone();
    assert_eq!(run["steps"][0]["result"], "unknown", "{run:#}");
    assert_eq!(acted(dir.path()).len(), 1, "once");
}

#[test]
fn the_kill_switch_ends_what_runs_at_once_and_a_step_that_asks_waits_for_a_yes() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let act = program(dir.path(), "exit 0");
    let of = |mode: &str| {
        config(
            &backend,
            &format!(
                r#"
                    [recovery]
                    mode = "{mode}"
                    [recovery.actions.restart_service]
                    exec = [{act:?}]
                    [plans.restart]
                    services = ["backend"]
                    steps = [{{ action = "restart_service", mode = "ask" }}]
                "#
            ),
        )
    };
    let proxy = proxy(&of("on"));
    let ask = || {
        let begun = proxy.post("recovery/trigger", r#"{"trigger_condition": "restart"}"#);
        assert_eq!(begun.status, 200, "{}", begun.text());
        let run = begun.json()["run"].clone();
        assert_eq!(run["phase"], "asking", "{run:#}");
        run["id"].as_str().expect("an id").to_owned()
    };
    let id = ask();
    assert!(acted(dir.path()).is_empty(), "nothing is done without a yes");
    assert_eq!(proxy.post(&format!("recovery/{id}/approve"), r#"{"actor": "ann"}"#).status, 200);
    eventually("it is done", || acted(dir.path()).len() == 1);
    eventually("it is over", || outcome(&proxy).is_some());
    assert_eq!(runs(&proxy)[0]["steps"][0]["approved_by"], "ann");
    ask();
    assert_eq!(proxy.reload(&of("off")).status, 200);
    eventually("it ends", || outcome(&proxy).as_deref() == Some("withdrawn"));
    assert_eq!(proxy.post("recovery/trigger", r#"{"trigger_condition": "restart"}"#).status, 409);
    assert_eq!(acted(dir.path()).len(), 1);
}

#[test]
fn a_plan_degrades_as_the_levels_say_and_says_where_they_say_nothing() {
    let backend = Upstream::start(status(200));
    let of = |levels: &str| {
        config(
            &backend,
            &format!(
                r#"
                    {levels}
                    [plans.payment_failure]
                    services = ["backend"]
                    steps = [{{ action = "graceful_degradation" }}]
                    max_attempts = 1
                    verify = "1s"
                    verify_for = "4s"
                "#
            ),
        )
    };
    let proxy = proxy(&of(""));
    let trigger = r#"{"trigger_condition": "payment_failure"}"#;
    assert_eq!(proxy.post("recovery/trigger", trigger).status, 200);
    eventually("it says so", || outcome(&proxy).as_deref() == Some("nothing_done"));
    assert_eq!(runs(&proxy)[0]["steps"][0]["result"], "not_possible");
    assert_eq!(proxy.reload(&of("[degradation.level2]\nfeatures = [\"tips\"]")).status, 200);
    assert_eq!(proxy.post("recovery/trigger", trigger).status, 200);
    eventually("the level is raised", || proxy.sre("degradation")["level"] == 2);
    assert_eq!(proxy.get("/").status, 200);
    eventually("it is over", || outcome(&proxy).as_deref() == Some("recovered"));
    assert_eq!(proxy.sre("degradation")["level"], 2, "a person has ordered it");
    let told = backend
        .seen()
        .iter()
        .any(|seen| seen.fields("x-sre-degraded").iter().any(|value| value.contains("tips")));
    assert!(told, "the application is told");
}

/// The ordinary day of a slow deploy: away for longer than an incident takes, and then well.
#[test]
fn a_slow_deploy_is_served_as_soon_as_it_is_seen_well() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&config(
        &backend,
        r#"
            [plans.api_failure]
            rules = ["service_down"]
            services = ["backend"]
            steps = [{ action = "circuit_breaker", verify = "10m" }]
            verify_for = "3s"
        "#,
    ));
    dies(&proxy, &backend);
    eventually("it is held open", || proxy.get("/").field("x-strop-reason") == Some("breaker_held"));
    let again = Upstream::on(backend.address, status(200));
    eventually("it is served though its incident goes on", || proxy.get("/").status == 200);
    let refused = (0..50).filter(|_| proxy.get("/").status != 200).count();
    assert_eq!((refused, outcome(&proxy)), (0, None), "the plan still looks whether it stays well");
    assert!(proxy.sre("circuit-breakers/backend")["hold"].is_null());
    drop(again);
}

#[test]
fn a_run_lets_its_own_hold_go_and_never_a_persons() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&config(
        &backend,
        r#"
            [plans.rest]
            services = ["backend"]
            steps = [{ action = "circuit_breaker" }]
            max_attempts = 1
            verify = "10m"
            verify_for = "10m"
        "#,
    ));
    let trigger = r#"{"trigger_condition": "rest"}"#;
    let held = || proxy.sre("circuit-breakers/backend")["hold"].clone();
    let begin = || {
        let begun = proxy.post("recovery/trigger", trigger);
        assert_eq!(begun.status, 200, "{}", begun.text());
        begun.json()["run"]["id"].as_str().expect("an id").to_owned()
    };
    let enough = r#"{"actor": "ann", "reason": "enough"}"#;
    let cancel = |id: &str| assert_eq!(proxy.post(&format!("recovery/{id}/cancel"), enough).status, 200);
    let first = begin();
    eventually("the plan holds it", || held()["actor"] == "recovery plan rest");
    cancel(&first);
    eventually("it is let go", || held().is_null());
    let second = begin();
    eventually("the plan holds it again", || held()["actor"] == "recovery plan rest");
    let order = r#"{"actor": "ann", "reason": "mine", "ttl": "15m"}"#;
    assert_eq!(proxy.post("circuit-breakers/backend/open", order).status, 200);
    cancel(&second);
    begin(); // the next run sees what the one before has left
    eventually("it needs nothing", || runs(&proxy)[0]["steps"][0]["result"] == "unneeded");
    assert_eq!((&held()["actor"], &held()["reason"]), (&"ann".into(), &"mine".into()));
}
