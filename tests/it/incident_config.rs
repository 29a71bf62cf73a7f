use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Upstream, bytes, status};

fn config(backend: &Upstream, upstream: &str, more: &str) -> String {
    format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n{upstream}{more}",
        backend.address
    )
}

fn incidents(proxy: &Proxy) -> Vec<serde_json::Value> {
    proxy.sre("incidents")["incidents"].as_array().expect("a list").clone()
}

fn applied(proxy: &Proxy, toml: &str) {
    let answer = proxy.reload(toml);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Two receivers, and the tables that lead to them as `pager` and `team`.
struct People {
    pager: Upstream,
    team: Upstream,
    tables: String,
    _secrets: tempfile::TempDir,
}

impl People {
    fn new() -> Self {
        let secrets = tempfile::tempdir().expect("a directory");
        let secret = secrets.path().join("secret");
        std::fs::write(&secret, "0123456789abcdef").expect("writes");
        let (pager, team) = (Upstream::start(status(200)), Upstream::start(status(200)));
        let table = |name: &str, to: &Upstream| {
            format!(
                r#"
                    [notify.{name}]
                    kind = "webhook"
                    url = "http://{}/"
                    secret_file = "{}"
                "#,
                to.address,
                secret.display()
            )
        };
        let tables = table("pager", &pager) + &table("team", &team);
        Self { pager, team, tables, _secrets: secrets }
    }
}

/// The calls about an incident: who was meant.
fn calls(receiver: &Upstream, id: &str) -> Vec<String> {
    let told = receiver.seen().into_iter().map(|seen| serde_json::from_slice(&seen.body).expect("JSON"));
    told.filter(|told: &serde_json::Value| told["incident_id"] == id && told["kind"] == "trigger")
        .map(|told| told["facts"][0]["value"].as_str().expect("for whom").to_owned())
        .collect()
}

fn opened(proxy: &Proxy, severity: &str) -> String {
    let made = proxy.post("test/incident", &format!(r#"{{"title": "A test", "severity": "{severity}"}}"#));
    assert_eq!(made.status, 200, "{}", made.text());
    made.json()["incident"]["id"].as_str().expect("an id").to_owned()
}

fn measured_seconds(proxy: &Proxy) -> u64 {
    let day = proxy.sre("uptime")["subjects"][0]["windows"][0].clone();
    ["up_seconds", "degraded_seconds", "down_seconds"].iter().filter_map(|key| day[key].as_u64()).sum()
}

/// At least three looks from now on, with traffic in each.
fn looked_at(proxy: &Proxy) {
    let before = measured_seconds(proxy);
    eventually("it has been looked at", || {
        proxy.get("/");
        measured_seconds(proxy) >= before + 3
    });
}

#[test]
fn a_threshold_is_in_force_at_once_and_a_live_incident_stays() {
    let backend = Upstream::start(status(500));
    let toml = |failures: u32| {
        config(
            &backend,
            "breaker = { enabled = false }\n",
            &format!(
                r#"
                    [incidents]
                    off = ["error_rate"]
                    grace = "0s"
                    clear_after = "1s"
                    [incidents.down]
                    failures = {failures}
                    confirm = "1s"
                "#
            ),
        )
    };
    let proxy = proxy(&toml(10_000));
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status, 500);
    }
    looked_at(&proxy);
    assert_eq!(incidents(&proxy), Vec::<serde_json::Value>::new(), "some are not ten thousand");
    applied(&proxy, &toml(5));
    eventually("they are more than five", || {
        proxy.get("/");
        incidents(&proxy).iter().any(|one| one["state"] == "open")
    });
    let id = incidents(&proxy)[0]["id"].clone();
    applied(&proxy, &toml(10_000));
    looked_at(&proxy);
    let held = incidents(&proxy);
    assert!(held.len() == 1 && held[0]["id"] == id && held[0]["state"] == "open", "{held:#?}");
    backend.answer(status(200));
    eventually("it is over by the evidence", || {
        proxy.get("/");
        proxy.sre(&format!("incidents/{}", id.as_str().expect("text")))["state"] == "resolved"
    });
}

#[test]
fn a_routes_own_budget_is_held_against_the_minutes_before_it_too() {
    let backend = Upstream::start(Arc::new(|_, stream| {
        std::thread::sleep(Duration::from_millis(60)); // the upstream's own slowness
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    }));
    let toml = |search: &str| {
        let routes = format!(
            r#"
                [[routes]]
                name = "search"
                prefix = "/search"
                latency = {{ {search} }}
                [[routes]]
                name = "events"
                prefix = "/events"
                latency = {{ until = "off" }}
            "#
        );
        config(&backend, "", &routes)
    };
    let proxy = proxy(&toml("p50 = { warn = \"300ms\", alert = \"999ms\" }"));
    for _ in 0..20 {
        assert_eq!(proxy.get("/search").status, 200);
        assert_eq!(proxy.get("/events").status, 200);
    }
    looked_at(&proxy);
    assert_eq!(incidents(&proxy), Vec::<serde_json::Value>::new(), "60 ms are within the budget");
    // 37 ms is no bound of any histogram.
    applied(&proxy, &toml("p50 = { warn = \"20ms\", alert = \"37ms\" }"));
    let of_latency = || {
        let all = proxy.sre("alerts")["alerts"].as_array().expect("a list").clone();
        all.into_iter().filter(|alert| alert["rule"] == "latency").collect::<Vec<_>>()
    };
    eventually("the median is over it, without another request", || !of_latency().is_empty());
    let found = of_latency();
    assert!(found.iter().all(|alert| alert["service"] == "search"), "{found:#?}");
    assert_eq!(proxy.sre("config")["effective"]["routes"][0]["latency"]["p50"]["alert"], "37ms");
    let shown = proxy.sre("performance")["series"].as_array().expect("a list").clone();
    let of = |route: &str| {
        let series = shown.iter().find(|series| series["route"] == route && series["direction"] == "ingress");
        series.unwrap_or_else(|| panic!("{shown:#?}"))["budgets"].clone()
    };
    let median = of("search")["p50"].clone();
    assert_eq!(
        (median["alert_ms"].as_f64(), median["over_alert"].as_u64()),
        (Some(37.0), Some(20)),
        "{median}"
    );
    assert_eq!((&median["state"], &of("search")["p99"]["state"]), (&"broken".into(), &"met".into()));
    assert!(of("events").is_null(), "it has none");
}

#[test]
fn a_ladder_calls_its_contacts_through_their_channels() {
    let backend = Upstream::start(status(200));
    let people = People::new();
    let toml = |lead: &str| {
        let ladders = format!(
            r#"
                [escalation]
                fallback = []
                stakeholders = []
                [escalation.contacts.ann]
                channels = ["pager"]
                [escalation.contacts.lead]
                channels = ["{lead}"]
                [escalation.critical]
                steps = [{{ contacts = ["ann"] }}]
                [escalation.low]
                steps = [{{ contacts = ["lead"] }}]
                [process]
                name = "shop-1"
            "#
        );
        config(&backend, "", &(people.tables.clone() + &ladders))
    };
    let proxy = proxy(&toml("team"));
    let (low, critical) = (opened(&proxy, "low"), opened(&proxy, "critical"));
    eventually("both are called", || {
        calls(&people.team, &low) == ["lead"] && calls(&people.pager, &critical) == ["ann"]
    });
    assert!(calls(&people.pager, &low).is_empty() && calls(&people.team, &critical).is_empty());
    assert!(String::from_utf8_lossy(&people.team.seen()[0].body).contains("shop-1"), "the name is told");
    let told = proxy.reload(&toml("pager").replace("shop-1", "shop-2")).json();
    assert_eq!(told["applied"][0]["path"], "escalation.contacts.lead.channels", "{told:#}");
    assert_eq!(told["needs_restart"][0]["path"], "process.name", "{told:#}");
    eventually("the next one goes the new way", || {
        let next = opened(&proxy, "low");
        eventually("somebody is called", || {
            !calls(&people.pager, &next).is_empty() || !calls(&people.team, &next).is_empty()
        });
        calls(&people.pager, &next) == ["lead"]
    });
}

#[test]
fn a_ladder_that_cannot_work_is_refused_and_the_last_good_one_calls() {
    let backend = Upstream::start(status(200));
    let people = People::new();
    let toml = |step: &str| {
        let ladder = format!(
            r#"
                [escalation.contacts.ann]
                channels = ["pager"]
                [escalation.low]
                steps = [{step}]
            "#
        );
        config(&backend, "", &(people.tables.clone() + &ladder))
    };
    let good = "{ contacts = [\"ann\"] }";
    let proxy = proxy(&toml(good));
    let refused = proxy.reload(&toml("{ after = \"5m\", contacts = [\"anne\"] }, { contacts = [] }"));
    assert_eq!(refused.status, 422, "{}", refused.text());
    let refused = refused.json()["refused"].as_array().expect("a list").clone();
    let told = |at: usize| format!("{}: {}", refused[at]["path"], refused[at]["message"]);
    assert!(
        told(0).contains("escalation.low.steps.0.contacts.0") && told(0).contains("did you mean"),
        "{}",
        told(0)
    );
    assert!(refused.iter().all(|one| one["line"].as_u64() > Some(0)), "{refused:#?}");
    assert_eq!(proxy.sre("config")["generation"], 1);
    let shown = proxy.sre("config")["effective"]["escalation"]["low"]["steps"].clone();
    assert_eq!(shown[0]["contacts"][0], "ann");
    let id = opened(&proxy, "low");
    eventually("the good one calls", || calls(&people.pager, &id) == ["ann"]);
    applied(&proxy, &toml(""));
    eventually("who is reached by nobody is told", || {
        let log = proxy.log.lock().expect("not poisoned");
        log.iter().any(|line| line.contains("escalation.low reaches nobody"))
    });
}

#[test]
fn calls_wait_for_working_hours_and_a_reload_opens_them() {
    let backend = Upstream::start(status(200));
    let people = People::new();
    let toml = |open: &str| {
        let ladder = format!(
            r#"
                [escalation]
                stakeholders = []
                [escalation.hours]
                open = ["{open}"]
                [escalation.low]
                steps = [{{ contacts = ["team_lead"] }}]
                hours = "working"
            "#
        );
        config(&backend, "", &(people.tables.clone() + &ladder))
    };
    // The epoch began on a Thursday; three days from now nobody is confused by midnight.
    let days = SystemTime::now().duration_since(UNIX_EPOCH).expect("after it").as_secs() / 86_400;
    let other_day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][(days as usize + 3 + 3) % 7];
    let proxy = proxy(&toml(&format!("{other_day} 09:00-10:00")));
    let id = opened(&proxy, "low");
    looked_at(&proxy);
    assert!(calls(&people.pager, &id).is_empty(), "nobody works");
    applied(&proxy, &toml("daily 00:00-24:00"));
    eventually("somebody works", || calls(&people.pager, &id) == ["the team lead"]);
}

#[test]
fn a_rule_that_is_off_says_nothing_and_promises_are_shown() {
    let backend = Upstream::start(bytes("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", true));
    let toml = |off: &str| {
        let tables = format!(
            r#"
                [slo]
                uptime = "99.5%"
                success = "99.95%"
                [incidents]
                off = [{off}]
            "#
        );
        config(&backend, "breaker = { enabled = false }\n", &tables)
    };
    let proxy = proxy(&toml("\"service_down\", \"error_rate\""));
    for _ in 0..20 {
        proxy.get("/");
    }
    looked_at(&proxy);
    assert_eq!(incidents(&proxy), Vec::<serde_json::Value>::new());
    assert_eq!(proxy.sre("uptime")["target"], 0.995);
    assert_eq!(proxy.sre("slo")["objective"], 0.9995);
    applied(&proxy, &toml("\"service_down\""));
    eventually("the other one speaks", || {
        proxy.get("/");
        let found = incidents(&proxy);
        assert!(found.iter().all(|one| one["rule"] == "error_rate"), "{found:#?}");
        !found.is_empty()
    });
}
