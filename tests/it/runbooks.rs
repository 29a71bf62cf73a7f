use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, strop};

const RUNBOOK: &str = r#"
name: backend_down
title: The backend is down
for:
  rules: [service_down]
  services: [backend]
steps:
  - part: First
    check: reachability
    text: Does it listen?
  - part: First
    check: breaker
    text: Is its breaker closed?
  - part: First
    check: disk
    of_no_such_key: 1
    at_most: 95%
    text: Is there room?
  - part: Then
    auto: connection_reset
    text: Connect anew
  - part: Then
    ask: Read its log
"#;

/// The runbook as it is good.
fn runbook() -> String {
    RUNBOOK.replace("    of_no_such_key: 1\n", "")
}

/// A sidecar that finds within seconds what is down, with a pager and the runbooks of `dir`.
fn config(dir: &Path, backend: &str, pager: &Upstream, within: &str) -> String {
    let secret = dir.join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("writes");
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            {backend}
            [incidents]
            clear_after = "1s"
            grace = "0s"
            [incidents.down]
            confirm = "1s"
            [notify.hook]
            kind = "webhook"
            url = "http://{}/page"
            secret_file = {secret:?}
            [plans.reset]
            steps = [{{ action = "connection_reset" }}]
            [runbooks]
            directory = {dir:?}
            within = "{within}"
        "#,
        pager.address
    )
}

fn plain(backend: &Upstream) -> String {
    format!("endpoints = [\"{}\"]\nhealth = {{ path = \"/health\", interval = \"1s\" }}", backend.address)
}

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("backend.yaml"), runbook()).expect("writes");
    dir
}

/// The first call that the pager got, and when it was seen here.
fn first_call(pager: &Upstream) -> (serde_json::Value, Instant) {
    let mut found = None;
    eventually("somebody is called", || {
        let bodies = pager.seen().into_iter().map(|seen| serde_json::from_slice(&seen.body).expect("JSON"));
        found = bodies.into_iter().find(|body: &serde_json::Value| body["kind"] == "trigger");
        found.is_some()
    });
    (found.expect("just seen"), Instant::now())
}

/// The lines of the runbook's part of a message.
fn told(call: &serde_json::Value) -> Vec<String> {
    let sections = call["sections"].as_array().expect("a list");
    let part = sections.iter().find(|section| section["name"] == "runbook");
    let lines = part.unwrap_or_else(|| panic!("no runbook in {call:#}"))["lines"].as_array().expect("lines");
    lines.iter().map(|line| line.as_str().expect("text").to_owned()).collect()
}

/// Lines of the timeline of the first incident that runbooks have written.
fn written(proxy: &Proxy) -> Vec<serde_json::Value> {
    let all = proxy.sre("incidents?all=true");
    let id = all["incidents"][0]["id"].as_str().unwrap_or_else(|| panic!("no incident: {all:#}")).to_owned();
    let one = proxy.sre(&format!("incidents/{id}"));
    let lines = one["timeline"].as_array().expect("a list").iter();
    lines.filter(|line| line["kind"] == "runbook").cloned().collect()
}

fn checks(proxy: &Proxy) -> Vec<String> {
    let text = proxy.admin_get("/metrics").text();
    text.lines().filter(|line| line.starts_with("strop_runbook_checks_total{")).map(str::to_owned).collect()
}

#[test]
fn what_a_runbook_checks_stands_in_the_first_call_and_on_the_timeline_and_nothing_is_checked_before() {
    let (backend, pager) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let dir = directory();
    let proxy = proxy(&config(dir.path(), &plain(&backend), &pager, "5s"));
    eventually("it has been seen well, and looked at for some seconds", || {
        proxy.get("/").status == 200
            && proxy.metric("sre_measured_seconds_total", "subject=\"service\"") > 3.0
    });
    assert_eq!((checks(&proxy), pager.hits()), (Vec::<String>::new(), 0), "a quiet night runs nothing");
    backend.kill();
    let (call, _) = first_call(&pager);
    let lines = told(&call);
    assert!(lines[0].starts_with("Runbook backend_down; its steps: `strop runbook show"), "{lines:#?}");
    let of = |text: &str| lines.iter().find(|line| line.starts_with(text)).expect(text).clone();
    assert!(of("Does it listen?: bad: ").contains("connect: Connection refused"), "{lines:#?}");
    assert!(of("Is its breaker closed?: ").contains("the breaker of backend is "), "{lines:#?}");
    assert!(of("Is there room?: ").contains("disk"), "{lines:#?}");
    let lines = written(&proxy);
    assert_eq!(lines.len(), 2, "what was known at once, and what was asked: {lines:#?}");
    assert!(lines.iter().all(|line| line["text"] == "backend_down"), "{lines:#?}");
    assert!(lines[0]["evidence"].to_string().contains("no answer yet"), "{lines:#?}");
    assert!(lines[1]["evidence"].to_string().contains("Connection refused"), "{lines:#?}");
    let counted = checks(&proxy);
    assert_eq!(counted.len(), 3, "{counted:#?}");
    let reached = counted.iter().find(|line| line.contains("check=\"reachability\"")).expect("counted");
    assert!(reached.contains("result=\"bad\"") && reached.ends_with(" 1"), "{reached}");
}

/// It takes connections and never speaks TLS, so that whoever asks it hangs.
#[test]
fn a_check_that_hangs_holds_a_call_up_for_its_bound_and_no_longer() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = silent.local_addr().expect("bound");
    let pager = Upstream::start(status(200));
    let dir = directory();
    let backend = format!(
        "endpoints = [\"{address}\"]\ntls = {{ server_name = \"api.example\" }}\n\
         health = {{ interval = \"500ms\", suspect_interval = \"500ms\", timeout = \"200ms\" }}"
    );
    let proxy = proxy(&config(dir.path(), &backend, &pager, "3s"));
    let mut opened = None;
    eventually("the incident has opened", || {
        let all = proxy.sre("incidents?all=true");
        let open = all["incidents"][0]["confirmed_at"].is_string();
        opened = open.then(Instant::now);
        open
    });
    assert_eq!(pager.seen().iter().filter(|seen| is_call(&seen.body)).count(), 0, "it waits for the check");
    let (call, at) = first_call(&pager);
    let waited = at.saturating_duration_since(opened.expect("just seen"));
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    let lines = told(&call);
    let line = lines.iter().find(|line| line.starts_with("Does it listen?")).expect("told");
    assert!(line.contains("no answer within 2700 ms"), "{line}");
}

fn is_call(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("\"kind\":\"trigger\"")
}

#[test]
fn a_runbook_that_is_bad_is_refused_with_its_line_and_the_last_good_ones_stay() {
    let (backend, pager) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let dir = directory();
    let text = config(dir.path(), &plain(&backend), &pager, "2s");
    let proxy = proxy(&text);
    let titles = || -> Vec<String> {
        let list = proxy.sre("runbooks");
        let all = list["runbooks"].as_array().expect("a list").iter();
        all.map(|one| one["title"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(titles(), ["The backend is down"]);
    let file = dir.path().join("backend.yaml");
    std::fs::write(&file, RUNBOOK).expect("writes");
    let refused = proxy.post("config/reload", "{}");
    assert_eq!(refused.status, 422, "{}", refused.text());
    let said = refused.text();
    assert!(said.contains("backend.yaml:") && said.contains("of_no_such_key"), "{said}");
    assert_eq!(titles(), ["The backend is down"], "the last good one stays");
    let (good, said) = strop(&["check", proxy.path().to_str().expect("text")], dir.path());
    assert!(!good && said.contains("of_no_such_key"), "{said}");
    std::fs::write(&file, runbook().replace("The backend is down", "Another title")).expect("writes");
    eventually("a good one is seen by itself", || titles() == ["Another title"]);
    eventually("the reload says what has changed", || {
        proxy.sre("config")["last_reload"].to_string().contains("runbooks.directory (content)")
    });
}

#[test]
fn somebody_orders_a_look_and_it_stands_on_the_audit_log_and_on_the_incident() {
    let (backend, pager) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let dir = directory();
    let proxy = proxy(&config(dir.path(), &plain(&backend), &pager, "2s"));
    eventually("it is there", || proxy.get("/").status == 200);
    let shown = proxy.sre("runbooks/backend_down");
    let steps = shown["steps"].as_array().expect("a list");
    let kinds: Vec<_> = steps.iter().map(|step| step["kind"].as_str().expect("a word")).collect();
    assert_eq!(kinds, ["check", "check", "check", "auto", "ask"]);
    let auto = &steps[3]["auto"];
    assert_eq!((&auto["plan"], &auto["order"]["trigger_condition"]), (&"reset".into(), &"reset".into()));
    assert!(auto["would"].as_str().expect("text").contains("connection_reset"), "{auto}");
    let made = proxy.post("test/incident", r#"{"service": "backend", "title": "slow"}"#).json();
    let id = made["incident"]["id"].as_str().expect("an id").to_owned();
    let order = format!(r#"{{"actor": "ann", "reason": "is it there?", "incident_id": "{id}"}}"#);
    let key = "Idempotency-Key: look-1\r\n";
    let done = proxy.ask("POST", "runbooks/backend_down/run", key, &order);
    assert_eq!(done.status, 200, "{}", done.text());
    let answer = done.json();
    let results: Vec<_> =
        answer["checks"].as_array().expect("a list").iter().map(|one| &one["result"]).collect();
    assert_eq!((results[0], results[1]), (&"good".into(), &"good".into()), "{answer:#}");
    assert_eq!(answer["left"].as_array().expect("a list").len(), 2, "{answer:#}");
    let again = proxy.ask("POST", "runbooks/backend_down/run", key, &order);
    assert_eq!(again.text(), done.text(), "the same order is done once");
    let lines = written(&proxy);
    assert_eq!((lines.len(), &lines[0]["actor"]), (1, &"ann".into()), "{lines:#?}");
    let audit = proxy.sre("audit").to_string();
    assert!(audit.contains("runbook.run") && audit.contains("is it there?"), "{audit}");
    assert_eq!(proxy.post("runbooks/backend_dwon/run", "{}").status, 404);
    assert_eq!(proxy.post("runbooks/backend_down/run", r#"{"incident_id": "inc_1"}"#).status, 404);
    assert_eq!(proxy.sre("recovery")["runs"], serde_json::json!([]), "no step was done");
    let said = |step: u32| format!(r#"{{"actor": "ann", "incident_id": "{id}", "step": {step}}}"#);
    let marked = proxy.post("runbooks/backend_down/done", &said(5));
    assert_eq!((marked.status, &marked.json()["text"]), (200, &"Read its log".into()), "{}", marked.text());
    let timeline = proxy.sre(&format!("incidents/{id}"))["timeline"].to_string();
    assert!(timeline.contains("runbook backend_down, step 5 is done: Read its log"), "{timeline}");
    let refused = proxy.post("runbooks/backend_down/done", &said(4));
    assert!(refused.status == 400 && refused.text().contains("one of 5"), "{}", refused.text());
}

#[test]
fn the_command_line_lists_shows_and_has_runbooks_run() {
    let (backend, pager) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let dir = directory();
    let proxy = proxy(&config(dir.path(), &plain(&backend), &pager, "2s"));
    let (file, admin) = (proxy.path(), proxy.admin().to_string());
    let file = file.to_str().expect("text");
    let (good, said) = strop(&["runbook", "list", "--config", file], dir.path());
    assert!(good && said == "backend_down: The backend is down (5 steps)\n", "{said}");
    let (good, said) = strop(&["runbook", "show", "backend_down", "--config", file], dir.path());
    assert!(good && said.contains("  4. auto  Connect anew\n  5. ask   Read its log\n"), "{said}");
    let (good, said) = strop(&["runbook", "show", "other", "--config", file], dir.path());
    assert!(!good && said.contains("(backend_down)"), "{said}");
    let run = |more: &[&str]| {
        let mut args = vec!["runbook", "run", "--admin", &admin, "--actor", "ann"];
        args.extend(more);
        strop(&args, dir.path())
    };
    let (_, said) = run(&["backend_down"]);
    assert!(said.contains("good           Does it listen?: 127.0.0.1:"), "{said}");
    backend.kill();
    let (good, said) = run(&["backend_down", "--json"]);
    assert!(!good && said.contains("\"result\":\"bad\""), "{said}");
    let (good, said) = run(&["other"]);
    assert!(!good && said.contains("404: no such runbook; write one of backend_down"), "{said}");
}
