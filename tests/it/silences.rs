use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy_in};
use crate::support::upstream::{Upstream, status};

fn silences(proxy: &Proxy, query: &str) -> Vec<serde_json::Value> {
    proxy.sre(&format!("silences{query}"))["silences"].as_array().expect("a list").clone()
}

fn silenced(proxy: &Proxy, body: &str) -> serde_json::Value {
    let made = proxy.post("silences", body);
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.json()["stored"], true);
    made.json()["silence"].clone()
}

#[test]
fn nobody_is_called_about_what_is_silenced_until_it_is_not() {
    let backend = Upstream::start(status(200));
    let pager = Upstream::start(status(200));
    let secrets = tempfile::tempdir().expect("a directory");
    let secret = secrets.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("writes");
    let channel = format!(
        r#"
            [notify.default]
            kind = "webhook"
            url = "http://{}/page"
            secret_file = "{}"
        "#,
        pager.address,
        secret.display()
    );
    let proxy = ingress_to(backend.address, &channel);
    let order = r#"{"actor": "ann", "service": "test", "for": "2h", "reason": "a drill"}"#;
    let silence = silenced(&proxy, order);
    assert_eq!((&silence["state"], &silence["purpose"]), (&"lasting".into(), &"silence".into()), "{silence}");
    let made = proxy.post("test/incident", r#"{"title": "All is lost", "severity": "critical"}"#);
    let incident = made.json()["incident"].clone();
    assert_eq!(incident["silenced"], true, "{incident:#}");
    let path = format!("incidents/{}", incident["id"].as_str().expect("an id"));
    let told = |what: &str| proxy.sre(&path)["timeline"].to_string().contains(what);
    eventually("the timeline says so", || told("silenced: nobody is called"));
    assert!(!told("calling") && pager.seen().is_empty(), "{:#}", proxy.sre(&path));
    // What another severity or service has is told all the same.
    proxy.post("test/incident", r#"{"title": "Another", "severity": "critical", "service": "other"}"#);
    eventually("somebody is called about the other one", || !pager.seen().is_empty());
    assert!(!told("calling"), "{:#}", proxy.sre(&path));
    let id = silence["id"].as_str().expect("an id");
    let ended = proxy.ask("DELETE", &format!("silences/{id}"), "", r#"{"actor": "bob"}"#);
    assert_eq!(ended.json()["silence"]["state"], "ended", "{}", ended.text());
    eventually("what is still the matter is called out", || told("calling"));
    assert_eq!(proxy.post(&format!("silences/{id}/end"), "").status, 404);
    let audit = proxy.sre("audit").to_string();
    assert!(audit.contains("silence.create") && audit.contains("service=test"), "{audit}");
    assert!(audit.contains("silence.end"), "{audit}");
}

#[test]
fn maintenance_is_marked_in_the_ledger_and_ends_by_itself() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let order = r#"{"purpose": "maintenance", "for": "3s", "reason": "a new disk"}"#;
    assert_eq!(silenced(&proxy, order)["matchers"], serde_json::json!([]));
    let seconds = |subject: &str| {
        let uptime = proxy.sre("uptime");
        let subjects = uptime["subjects"].as_array().expect("a list").clone();
        let one = subjects.into_iter().find(|one| one["name"] == subject);
        one.map_or(0, |one| one["windows"][0]["maintenance_seconds"].as_u64().expect("counted"))
    };
    eventually("it is in the ledger", || seconds("service") > 0 && seconds("backend") > 0);
    eventually("it has ended", || silences(&proxy, "").is_empty());
    let marked = seconds("service");
    eventually("the next second is none of it", || {
        proxy.get("/");
        proxy.metric("sre_measured_seconds_total", "subject=\"service\"") > 0.0
    });
    assert!((2..=5).contains(&marked) && seconds("service") <= marked + 1, "{marked}");
    let all = silences(&proxy, "?all=1");
    assert_eq!((all.len(), &all[0]["state"]), (1, &"ended".into()), "{all:?}");
}

#[test]
fn a_silence_survives_a_kill_and_keeps_its_name() {
    let backend = Upstream::start(status(200));
    let mut proxy = ingress_to(backend.address, "");
    let lasting = silenced(&proxy, r#"{"severity": "low", "for": "2h", "reason": "known"}"#);
    let from = "2126-01-01T00:00:00Z";
    let refused = proxy.post(
        "silences",
        &format!(
            r#"{{"rule": "latency", "from": "{from}", "until": "2125-01-01T00:00:00Z", "reason": "x"}}"#
        ),
    );
    assert_eq!(refused.status, 400, "{}", refused.text());
    let to_come = silenced(
        &proxy,
        &format!(r#"{{"rule": "latency", "from": "{from}", "for": "1h", "reason": "a release"}}"#),
    );
    assert_eq!(
        (&to_come["state"], &to_come["until"]),
        (&"to_come".into(), &"2126-01-01T01:00:00.000Z".into())
    );
    assert_ne!(lasting["id"], to_come["id"]);
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    proxy.signal("KILL");
    let proxy = proxy_in(proxy.leave_behind(), &toml);
    eventually("both are taken over", || silences(&proxy, "").len() == 2);
    let kept = silences(&proxy, "");
    assert!(kept.contains(&lasting) && kept.contains(&to_come), "{kept:#?}");
    let ended = proxy.post(&format!("silences/{}/end", to_come["id"].as_str().expect("an id")), "");
    assert_eq!(ended.status, 200, "{}", ended.text());
    let next = silenced(&proxy, r#"{"severity": "low", "for": "2h", "reason": "again"}"#);
    assert!(next["id"] != lasting["id"] && next["id"] != to_come["id"]);
    assert_eq!(silences(&proxy, "?all=1").len(), 3);
}

#[test]
fn an_order_that_makes_no_silence_is_told_what_to_write() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    for (body, told) in [
        (r#"{"for": "2h", "reason": "x"}"#, "needs a matcher"),
        (r#"{"service": "db", "reason": "x"}"#, "write \"for\""),
        (r#"{"service": "db", "for": "2h"}"#, "reason must not be empty"),
        (r#"{"service": "db", "for": "2 hours", "reason": "x"}"#, "write \"2h\""),
        (r#"{"service": "db", "for": "40d", "reason": "x"}"#, "31 days"),
        (r#"{"service": "db", "until": "tomorrow", "reason": "x"}"#, "write \"2026-01-31T22:00:00Z\""),
        (r#"{"service": "db", "until": "2001-01-01T00:00:00Z", "reason": "x"}"#, "ends before it begins"),
        (r#"{"service": "db", "for": "1h", "until": "2126-01-01T00:00:00Z", "reason": "x"}"#, "one of them"),
        (r#"{"severity": "grave", "for": "2h", "reason": "x"}"#, "critical"),
        (r#"{"rule": "bad", "for": "2h", "reason": "x"}"#, "write "),
        (r#"{"purpose": "nap", "service": "db", "for": "2h", "reason": "x"}"#, "maintenance"),
        (r#"{"matchers": [{"label": "pod", "value": "x"}], "for": "2h", "reason": "x"}"#, "service"),
        (r#"{"matchers": [{"label": "rule", "is": "~", "value": "x"}], "for": "2h", "reason": "x"}"#, "!="),
        (r#"{"service": "", "for": "2h", "reason": "x"}"#, "service is empty"),
        (r#"{"servise": "db", "for": "2h", "reason": "x"}"#, "servise"),
    ] {
        let refused = proxy.post("silences", body);
        assert_eq!(refused.status, 400, "{body}: {}", refused.text());
        let message = refused.json()["detail"].as_str().expect("text").to_owned();
        assert!(message.contains(told), "{body}: {message}");
    }
    assert!(silences(&proxy, "?all=true").is_empty());
    assert_eq!(proxy.ask("DELETE", "silences/17", "", "").status, 404);
    assert_eq!(proxy.ask("DELETE", "silences/none", "", "").status, 404);
}
