//! The guide's five plans as `config/bookedbarber.toml` ships them, each with its fault: rules, services, steps and attempts are
//! those of the file; only times are short, and what is in dry run there is done by a hook.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::proxy::{Proxy, proxy, proxy_in};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace, raw, within};

/// A plan may take a while: three steps, three times.
const RUN: Duration = Duration::from_secs(120);
/// The guide's aim.
const MTTR: f64 = 300.0;

/// Services that go and come back, and whoever restarts them.
struct House {
    services: Arc<Mutex<BTreeMap<&'static str, Upstream>>>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    hook: Upstream,
    /// Who restarts one is really able to.
    able: Arc<AtomicBool>,
}

impl House {
    fn new() -> Self {
        let up = |name: &'static str| (name, Upstream::start(status(200)));
        let services: BTreeMap<_, _> = ["backend", "database", "redis", "stripe"].map(up).into();
        let addresses: BTreeMap<_, _> = services.iter().map(|(name, one)| (*name, one.address)).collect();
        let (services, able) = (Arc::new(Mutex::new(services)), Arc::new(AtomicBool::new(true)));
        let (shared, places, can) = (Arc::clone(&services), addresses.clone(), Arc::clone(&able));
        let hook = Upstream::start(Arc::new(move |seen, stream| {
            let asked: Value = serde_json::from_slice(&seen.body).expect("json");
            if asked["action"] == "restart_service" && can.load(Ordering::SeqCst) {
                let name = asked["target"].as_str().expect("a name");
                let (name, address) = places.get_key_value(name).expect("it is there");
                let again = Upstream::on(*address, status(200));
                shared.lock().expect("not poisoned").insert(name, again);
            }
            status(200)(seen, stream)
        }));
        Self { services, addresses, hook, able }
    }

    fn goes(&self, name: &str) {
        self.services.lock().expect("not poisoned")[name].kill();
    }

    fn comes_back(&self, name: &'static str) {
        let again = Upstream::on(self.addresses[name], status(200));
        self.services.lock().expect("not poisoned").insert(name, again);
    }

    /// What hooks were asked for: action and target.
    fn asked(&self) -> Vec<(String, String)> {
        let read = |seen: &crate::support::upstream::Seen| {
            let asked: Value = serde_json::from_slice(&seen.body).expect("json");
            let text = |key: &str| asked[key].as_str().expect("a word").to_owned();
            (text("action"), text("target"))
        };
        self.hook.seen().iter().map(read).collect()
    }

    fn config(&self) -> String {
        let at = |name: &str| self.addresses[name];
        let hook = format!("http://{}/act", self.hook.address);
        format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                [upstreams.backend]
                endpoints = ["{}"]
                health = {{ path = "/health", interval = "1s" }}
                [upstreams.database]
                endpoints = ["{}"]
                allow_addresses = ["127.0.0.0/8"]
                health = {{ interval = "1s" }}
                [upstreams.redis]
                endpoints = ["{}"]
                allow_addresses = ["127.0.0.0/8"]
                health = {{ interval = "1s" }}
                [upstreams.stripe]
                hosts = ["api.stripe.com"]
                endpoints = ["{}"]
                local = "127.0.0.1:0"
                allow_addresses = ["127.0.0.0/8"]
                breaker = {{ failures = 1000, min_requests = 10000 }}
                [egress]
                listen = "127.0.0.1:0"
                [incidents]
                clear_after = "1s"
                grace = "0s"
                important = ["stripe"]
                [incidents.down]
                confirm = "1s"
                [incidents.payments]
                confirm = "1s"
                [degradation.level1]
                features = ["cards"]
                [recovery.actions.restart_service]
                url = "{hook}"
                [recovery.actions.scale_up]
                url = "{hook}"
                {}
            "#,
            at("backend"),
            at("database"),
            at("redis"),
            at("stripe"),
            shipped()
        )
    }
}

/// The plans of the file, in less time.
fn shipped() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/bookedbarber.toml");
    let text = std::fs::read_to_string(file).expect("it is shipped");
    let from = text.find("[plans.database_failure]").expect("the first plan");
    let plans = text[from..].split("\n# ──").next().expect("the plans");
    let line = |line: &str| match line.split_once(" = ") {
        Some(("retry_delay", _)) => "retry_delay = \"1s\"\nverify = \"2s\"\nverify_for = \"1s\"".to_owned(),
        _ => ["restart_service", "scale_up"].iter().fold(line.to_owned(), |line, action| {
            line.replace(&format!("\"{action}\" }}"), &format!("\"{action}\", mode = \"act\" }}"))
        }),
    };
    plans.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn runs(proxy: &Proxy) -> Vec<Value> {
    proxy.sre("recovery")["runs"].as_array().expect("a list").clone()
}

fn over(proxy: &Proxy) -> Value {
    let mut run = Value::Null;
    within(RUN, "the run is over", || {
        run = runs(proxy).first().cloned().unwrap_or_default();
        run["outcome"].is_string()
    });
    run
}

/// Action and result of each step, in the order in which they were done.
fn steps(run: &Value) -> Vec<(&str, &str)> {
    let steps = run["steps"].as_array().expect("a list").iter();
    steps.map(|step| (word(&step["action"]), word(&step["result"]))).collect()
}

fn word(value: &Value) -> &str {
    value.as_str().expect("a word")
}

/// Recovered, by the last of its steps, by nobody's hand, within the guide's five minutes.
fn recovered_alone(proxy: &Proxy, run: &Value) {
    assert_eq!(run["outcome"], "recovered", "{run:#}");
    assert_eq!(run["steps"].as_array().and_then(|all| all.last()).expect("one")["verified"], true, "{run:#}");
    let incident = proxy.sre(&format!("incidents/{}", run["incident"].as_str().expect("an id")));
    let lines = incident["timeline"].as_array().expect("a list");
    assert!(lines.iter().all(|line| ours(&line["actor"])), "nobody was needed: {incident:#}");
    let plan = format!("plan=\"{}\"", run["plan"].as_str().expect("a name"));
    let text = proxy.admin_get("/metrics").text();
    let took = text.lines().find(|line| {
        let of = line.starts_with("recovery_time_seconds_sum{") && line.contains(&plan);
        of && line.contains("outcome=\"recovered\"")
    });
    let took: f64 = took.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("it is measured");
    assert!(took < MTTR, "{took} s");
}

fn ours(actor: &Value) -> bool {
    actor.as_str().is_some_and(|name| name == "strop" || name.starts_with("recovery plan "))
}

fn well(proxy: &Proxy) {
    eventually("all are seen well", || {
        let all = proxy.sre("upstreams");
        ["backend", "database", "redis"].iter().all(|name| {
            let text = all["upstreams"].as_array().expect("a list").iter();
            text.filter(|one| one["name"] == *name).all(|one| one.to_string().contains("healthy"))
        }) && proxy.get("/").status == 200
    });
}

#[test]
fn api_failure_a_dead_backend_is_restarted() {
    let house = House::new();
    let proxy = proxy(&house.config());
    well(&proxy);
    house.goes("backend");
    let run = over(&proxy);
    recovered_alone(&proxy, &run);
    assert_eq!((&run["plan"], steps(&run)), (&"api_failure".into(), vec![("restart_service", "done")]));
    assert_eq!(house.asked(), [("restart_service".to_owned(), "backend".to_owned())]);
}

#[test]
fn database_failure_it_is_reset_rested_and_then_restarted() {
    let house = House::new();
    let proxy = proxy(&house.config());
    well(&proxy);
    house.goes("database");
    let run = over(&proxy);
    recovered_alone(&proxy, &run);
    let all = [("connection_reset", "done"), ("circuit_breaker", "done"), ("restart_service", "done")];
    assert_eq!(steps(&run), all, "{run:#}");
    let told = run["steps"][0]["detail"].as_str().expect("words");
    assert!(told.contains("no session"), "it has none to reset before its listener is there: {told}");
    assert_eq!(house.asked().len(), 1);
}

#[test]
fn redis_failure_the_application_does_without_until_it_is_back() {
    let house = House::new();
    let proxy = proxy(&house.config());
    well(&proxy);
    house.goes("redis");
    eventually("the application does without", || proxy.sre("degradation")["level"] == 1);
    assert_eq!(proxy.get("/").status, 200, "and goes on");
    house.comes_back("redis");
    let run = over(&proxy);
    recovered_alone(&proxy, &run);
    let names: Vec<&str> = steps(&run).iter().map(|(action, _)| *action).collect();
    assert_eq!(names, ["cache_clear", "connection_reset", "graceful_degradation"], "{run:#}");
    eventually("all is offered again", || proxy.sre("degradation")["level"] == 0);
}

/// The application's processor time is not observable from here: the plan never begins by itself, and says so.
#[test]
fn high_cpu_is_scaled_by_order_and_by_nothing_that_is_measured_here() {
    let house = House::new();
    let proxy = proxy(&house.config());
    let mut begins = Value::Null;
    eventually("it is shown", || {
        let all = proxy.sre("recovery");
        let plan = all["plans"].as_array().and_then(|all| all.iter().find(|one| one["name"] == "high_cpu"));
        begins = plan.map(|plan| plan["begins"].clone()).unwrap_or_default();
        begins.is_string()
    });
    assert!(begins.as_str().is_some_and(|text| text.contains("not observable")), "{begins}");
    let order = r#"{"trigger_condition": "high_cpu", "context": {"service": "backend"}, "actor": "ann"}"#;
    assert_eq!(proxy.post("recovery/trigger", order).status, 200);
    let run = over(&proxy);
    assert_eq!((&run["outcome"], &steps(&run)[0]), (&"recovered".into(), &("scale_up", "done")), "{run:#}");
    assert_eq!(house.asked(), [("scale_up".to_owned(), "backend".to_owned())]);
}

/// A payment, and its status.
fn pay(proxy: &Proxy) -> u16 {
    let head = "POST /v1/payment_intents HTTP/1.1\r\nHost: api.stripe.com\r\nConnection: close\r\n";
    let fields = "Authorization: Bearer sk_live_1\r\nContent-Length: 0\r\n\r\n";
    raw::ask_http1(proxy.at("local:stripe"), &format!("{head}{fields}")).status
}

/// Each check of the runbooks as they are shipped is run, and tells what is so: none has drifted from what can be asked.
#[test]
fn each_check_of_the_shipped_runbooks_tells_what_is_so() {
    let house = House::new();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/runbooks");
    let proxy = proxy(&format!("{}\n[runbooks]\ndirectory = {directory:?}\n", house.config()));
    well(&proxy);
    for (name, service) in [
        ("database_connection_failure", "database"),
        ("high_error_rate", "backend"),
        ("payment_system_failure", "stripe"),
    ] {
        let shown = proxy.sre(&format!("runbooks/{name}"));
        let steps = shown["steps"].as_array().expect("a list").iter();
        let asked = steps.filter(|step| step["kind"] == "check").count();
        let made = proxy.post("test/incident", &format!(r#"{{"service": "{service}", "title": "a look"}}"#));
        let id = made.json()["incident"]["id"].as_str().expect("an id").to_owned();
        let order = format!(r#"{{"actor": "ann", "reason": "a look", "incident_id": "{id}"}}"#);
        let mut told = Value::Null;
        within(RUN, "each has something to tell", || {
            assert_eq!((pay(&proxy), proxy.get("/").status), (200, 200));
            told = proxy.post(&format!("runbooks/{name}/run"), &order).json();
            let checks = told["checks"].as_array().unwrap_or_else(|| panic!("{told:#}"));
            assert_eq!(checks.len(), asked, "{told:#}");
            checks.iter().all(|check| check["result"] == "good")
        });
    }
}

#[test]
fn payment_failure_the_processor_rests_and_its_return_is_seen() {
    let house = House::new();
    let proxy = proxy(&house.config());
    well(&proxy);
    let pay = || pay(&proxy);
    house.services.lock().expect("not poisoned")["stripe"].answer(status(500));
    within(RUN, "the plan rests it", || {
        pay();
        runs(&proxy).first().is_some_and(|run| run["steps"][0]["result"] == "done")
    });
    house.services.lock().expect("not poisoned")["stripe"].answer(status(200));
    let mut run = Value::Null;
    within(RUN, "the run is over", || {
        pay();
        pace(Duration::from_millis(50));
        run = runs(&proxy).first().cloned().unwrap_or_default();
        run["outcome"].is_string()
    });
    assert_eq!((&run["plan"], steps(&run)[0].0), (&"payment_failure".into(), "circuit_breaker"));
    recovered_alone(&proxy, &run);
    eventually("it is paid again", || pay() == 200);
}

#[test]
fn what_no_plan_can_mend_ends_after_its_attempts_with_people() {
    let house = House::new();
    let (toml, home) = (house.config(), tempfile::tempdir().expect("a directory"));
    let mut proxy = proxy_in(home, &toml);
    well(&proxy);
    house.able.store(false, Ordering::SeqCst);
    house.goes("database");
    let run = over(&proxy);
    assert_eq!((&run["outcome"], &run["attempt"]), (&"exhausted".into(), &3.into()), "{run:#}");
    assert_eq!((steps(&run).len(), house.asked().len()), (9, 3), "{run:#}");
    let incident = proxy.sre(&format!("incidents/{}", run["incident"].as_str().expect("an id")));
    assert!(incident["timeline"].to_string().contains("people must act"), "{incident:#}");
    pace(Duration::from_secs(5));
    assert_eq!((runs(&proxy).len(), house.asked().len()), (1, 3), "and it is not begun again");
    proxy.signal("KILL");
    let proxy = proxy_in(proxy.leave_behind(), &toml);
    pace(Duration::from_secs(8));
    let incident = proxy.sre(&format!("incidents/{}", run["incident"].as_str().expect("an id")));
    assert_ne!(incident["state"], "resolved", "it goes on: {incident:#}");
    assert_eq!((runs(&proxy).len(), house.asked().len()), (1, 3), "nor by a start that finds it");
}

/// The process is killed in each of the three steps, one after the other.
#[test]
fn a_kill_in_each_step_does_no_step_twice() {
    let house = House::new();
    let (toml, mut home) = (house.config(), tempfile::tempdir().expect("a directory"));
    house.able.store(false, Ordering::SeqCst);
    for step in 0..3 {
        let mut proxy = proxy_in(home, &toml);
        if step == 0 {
            well(&proxy);
            house.goes("database");
        }
        within(RUN, "it is at the step", || {
            runs(&proxy)
                .first()
                .is_some_and(|run| run["steps"].as_array().is_some_and(|all| all.len() > step))
        });
        proxy.signal("KILL");
        home = proxy.leave_behind();
    }
    let proxy = proxy_in(home, &toml);
    let run = over(&proxy);
    assert_eq!((&run["outcome"], runs(&proxy).len()), (&"exhausted".into(), 1), "{run:#}");
    let steps = run["steps"].as_array().expect("a list").iter();
    let places: Vec<(&Value, &Value)> = steps.map(|step| (&step["attempt"], &step["action"])).collect();
    let twice = (1..places.len()).find(|place| places[..*place].contains(&places[*place]));
    assert_eq!((places.len(), twice), (9, None), "{run:#}");
    assert!(house.asked().len() <= 3, "once in each of three passes: {:?}", house.asked());
}
