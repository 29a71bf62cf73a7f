use crate::support::eventually;
use crate::support::proxy::ingress_to;
use crate::support::upstream::{Upstream, status};

#[test]
fn what_was_measured_when_it_was_confirmed_is_on_the_timeline() {
    let backend = Upstream::start(status(200));
    let address = backend.address;
    let proxy = ingress_to(
        address,
        "breaker = { mode = \"on\", failures = 3, open_for = \"1h\" }\nhealth = { path = \"/up\", interval = \"200ms\", suspect_interval = \"200ms\" }\n",
    );
    (0..20).for_each(|_| assert_eq!(proxy.get("/").status, 200));
    backend.kill();
    let mut incident = serde_json::Value::Null;
    eventually("it is confirmed", || {
        proxy.get("/");
        let all = proxy.sre("incidents")["incidents"].as_array().expect("a list").clone();
        let found =
            all.into_iter().find(|one| one["service"] == "backend" && one["confirmed_at"].is_string());
        found.inspect(|found| incident = found.clone()).is_some()
    });
    let id = incident["id"].as_str().expect("an id").to_owned();
    let mut bundle = serde_json::Value::Null;
    eventually("the evidence is there", || {
        let one = proxy.sre(&format!("incidents/{id}"));
        let lines = one["timeline"].as_array().expect("a list").clone();
        let found = lines.into_iter().find(|line| line["text"] == "measured when it was confirmed");
        found.inspect(|found| bundle = found.clone()).is_some()
    });
    let text = |fact: &serde_json::Value, key: &str| fact[key].as_str().expect("a text").to_owned();
    let facts = bundle["evidence"].as_array().expect("objects").iter();
    let lines: Vec<(String, String)> = facts.map(|fact| (text(fact, "name"), text(fact, "value"))).collect();
    let of = |part: &str| {
        let found = lines.iter().find(|(name, _)| name.contains(part));
        found.unwrap_or_else(|| panic!("no {part}: {lines:#?}")).1.clone()
    };
    assert!(of("backend: attempts since the start").contains("good 2"), "{lines:#?}");
    assert!(of("backend: breaker at ").starts_with("closed → open: 3 consecutive exchanges"), "{lines:#?}");
    let minute = of("→ backend: last 1m");
    for part in ["n ", "p50 ", "p95 ", "p99 ", "max "] {
        assert!(minute.contains(part), "{minute}");
    }
    assert!(of("bad answers of the last minute").contains("→ backend "), "{lines:#?}");
    assert_eq!((of("config_generation").as_str(), of("config_hash").is_empty()), ("1", false));
    assert!(lines.len() < 40, "{}", lines.len());
    let good = proxy.metric("sre_good_seconds_total", "subject=\"service\"");
    let measured = proxy.metric("sre_measured_seconds_total", "subject=\"service\"");
    assert!(good > 0.0 && measured > good, "{good} of {measured}");
}
