use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy_in};
use crate::support::upstream::{Upstream, status};

const FAST: &str = "health = { path = \"/up\", interval = \"200ms\", suspect_interval = \"200ms\" }\n";

fn incidents(proxy: &Proxy, query: &str) -> Vec<serde_json::Value> {
    proxy.sre(&format!("incidents{query}"))["incidents"].as_array().expect("a list").clone()
}

fn opened(proxy: &Proxy) -> String {
    let made = proxy.post("test/incident", r#"{"title": "Test incident", "severity": "low"}"#);
    assert_eq!(made.status, 200, "{}", made.text());
    assert_eq!(made.json()["stored"], true);
    made.json()["incident"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_dead_backend_is_one_incident_and_is_not_over_because_somebody_says_so() {
    let backend = Upstream::start(status(200));
    let address = backend.address;
    let soon = format!("{FAST}[incidents.down]\nconfirm = \"2s\"\n");
    let proxy = ingress_to(address, &soon);
    eventually("it is known to be up", || proxy.get("/").status == 200);
    backend.kill();
    let start = std::time::Instant::now();
    eventually("it is suspected", || {
        proxy.get("/");
        incidents(&proxy, "").iter().any(|one| one["service"] == "backend")
    });
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    eventually("it is confirmed", || {
        proxy.get("/");
        proxy.sre("incidents")["open"] == 1
    });
    let open = incidents(&proxy, "?state=open");
    let [one] = &open[..] else { panic!("one: {open:#?}") };
    assert_eq!(one["service"], "backend", "{one:#}");
    assert!(one["holds"].as_bool().expect("told"));
    let id = one["id"].as_str().expect("an id");
    let refused = proxy.post(&format!("incidents/{id}/resolve"), r#"{"actor": "ann"}"#);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(proxy.metric("sre_incidents_24h", ""), 1.0);
    assert_eq!(proxy.sre("uptime")["subjects"][0]["name"], "service");
    eventually("a second of it is counted", || {
        proxy.get("/");
        let day = proxy.sre("uptime")["subjects"][0]["windows"][0].clone();
        day["down_seconds"].as_u64().expect("counted") > 0
    });
    let forced = proxy.post(&format!("incidents/{id}/resolve"), r#"{"actor": "ann", "force": true}"#);
    assert_eq!(forced.json()["incident"]["ending"], "forced", "{}", forced.text());
}

#[test]
fn an_incident_is_taken_written_on_put_into_hands_and_ended() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let id = opened(&proxy);
    let order = |what: &str, body: &str| {
        let done = proxy.post(&format!("incidents/{id}/{what}"), body);
        assert_eq!(done.status, 200, "{what}: {}", done.text());
        done.json()["incident"].clone()
    };
    assert_eq!(order("ack", r#"{"actor": "ann"}"#)["acknowledged_by"], "ann");
    order("note", r#"{"actor": "ann", "text": "looking at it"}"#);
    assert_eq!(order("assign", r#"{"actor": "ann", "to": "bob"}"#)["assignee"], "bob");
    assert_eq!(order("resolve", r#"{"actor": "bob", "reason": "a test"}"#)["state"], "resolved");
    let one = proxy.sre(&format!("incidents/{id}"));
    let said = one["timeline"].as_array().expect("a list");
    assert!(said.iter().any(|entry| entry["text"] == "looking at it" && entry["actor"] == "ann"), "{one:#}");
    assert_eq!(proxy.post(&format!("incidents/{id}/note"), "{}").status, 400);
    assert_eq!(proxy.post("incidents/inc_00000000000000000000/ack", "").status, 404);
    assert_eq!(proxy.post("test/incident", r#"{"severity": "grave"}"#).status, 400);
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let backend = Upstream::start(status(200));
    let mut proxy = ingress_to(backend.address, "");
    let id = opened(&proxy);
    let noted = proxy.post(&format!("incidents/{id}/note"), r#"{"actor": "ann", "text": "before the kill"}"#);
    assert_eq!(noted.json()["stored"], true);
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    proxy.signal("KILL");
    let dir = proxy.leave_behind();
    let proxy = proxy_in(dir, &toml);
    eventually("it is taken over", || incidents(&proxy, "").iter().any(|one| one["id"] == *id));
    let one = proxy.sre(&format!("incidents/{id}"));
    assert!(one["timeline"].to_string().contains("before the kill"), "{one:#}");
}

#[test]
fn people_are_called_and_told_when_it_is_over() {
    let backend = Upstream::start(status(200));
    let pager = Upstream::start(status(200));
    let secrets = tempfile::tempdir().expect("a directory");
    let secret = secrets.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("writes");
    let proxy = ingress_to(
        backend.address,
        &format!(
            r#"
                [notify.default]
                kind = "webhook"
                url = "http://{}/page"
                secret_file = "{}"
            "#,
            pager.address,
            secret.display()
        ),
    );
    let made = proxy.post("test/incident", r#"{"title": "All is lost", "severity": "critical"}"#);
    let id = made.json()["incident"]["id"].as_str().expect("an id").to_owned();
    let told = |kind: &str| {
        let seen = pager.seen();
        seen.iter().any(|seen| {
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            body.contains(&id) && body.contains(&format!("\"kind\":\"{kind}\""))
        })
    };
    eventually("somebody is called", || told("trigger"));
    eventually("the timeline says that it arrived", || {
        proxy.sre(&format!("incidents/{id}"))["timeline"].to_string().contains("arrived")
    });
    proxy.post(&format!("incidents/{id}/resolve"), r#"{"actor": "ann"}"#);
    eventually("they are told that it is over", || told("resolve"));
}
