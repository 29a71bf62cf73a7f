use crate::support::proxy::{Proxy, ingress_to, proxy_in};
use crate::support::raw;
use crate::support::upstream::{Upstream, status};

const COMPLETE: &str = r#"{"actor": "ann", "technical": "the pool was too small", "process": "no load test",
    "human": "we thought it was the network",
    "actions": [{"what": "a larger pool", "owner": "bob", "due": "2126-02-01"}]}"#;

fn opened(proxy: &Proxy) -> String {
    let made = proxy.post("test/incident", r#"{"title": "Test incident", "severity": "low"}"#);
    made.json()["incident"]["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_person_says_how_bad_it_is_and_why() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let path = format!("incidents/{}/rate", opened(&proxy));
    let rated = proxy.post(&path, r#"{"actor": "ann", "severity": "high", "reason": "all clients see it"}"#);
    let incident = rated.json()["incident"].clone();
    assert_eq!(incident["severity"], "high", "{}", rated.text());
    assert!(incident["timeline"].to_string().contains("low → high: all clients see it"), "{incident:#}");
    for (body, told) in [
        ("", "write \\\"critical\\\""),
        (r#"{"severity": "grave", "reason": "x"}"#, "grave"),
        (r#"{"severity": "low"}"#, "reason must not be empty"),
    ] {
        let refused = proxy.post(&path, body);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains(told), "{}", refused.text());
    }
}

#[test]
fn an_incident_is_reviewed_when_all_is_filled_in_and_not_before() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let id = opened(&proxy);
    let path = format!("incidents/{id}/review");
    assert_eq!(proxy.post(&path, COMPLETE).status, 409, "it is not over");
    // As the guide writes it: no body, no content type.
    let plain = format!(
        "POST /api/v2/sre/incidents/{id}/resolve HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(raw::ask_http1(proxy.admin(), &plain).json()["incident"]["state"], "resolved");
    for (body, told) in [
        ("{}", "the review lacks technical, process, human, actions"),
        (r#"{"technical": "a", "process": "b", "human": " ", "actions": []}"#, "lacks human, actions"),
        (
            r#"{"technical": "a", "process": "b", "human": "c", "actions": [{"what": "d", "due": "2126-02-01"}]}"#,
            "lacks actions",
        ),
        (
            r#"{"technical": "a", "process": "b", "human": "c", "actions": [{"what": "d", "owner": "e"}]}"#,
            "actions[0].due",
        ),
    ] {
        let refused = proxy.post(&path, body);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains(told), "{}", refused.text());
        assert_eq!(proxy.sre(&format!("incidents/{id}"))["state"], "resolved");
    }
    let done = proxy.post(&path, COMPLETE).json();
    assert_eq!(done["incident"]["state"], "reviewed", "{done:#}");
    let shown = proxy.sre(&format!("incidents/{id}"));
    assert_eq!(shown["review"]["actions"][0]["due"], "2126-02-01T23:59:59.000Z", "{shown:#}");
    assert_eq!(proxy.post(&path, COMPLETE).status, 409, "once");
}

#[test]
fn what_ended_before_this_start_is_reviewed_all_the_same() {
    let backend = Upstream::start(status(200));
    let mut proxy = ingress_to(backend.address, "");
    let id = opened(&proxy);
    proxy.post(&format!("incidents/{id}/resolve"), "");
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    assert_eq!(proxy.stop(), Some(0));
    let proxy = proxy_in(proxy.leave_behind(), &toml);
    assert_eq!(proxy.post(&format!("incidents/{id}/ack"), "").status, 409, "it is known, and over");
    let refused = proxy.post(&format!("incidents/{id}/review"), "{}");
    assert!(refused.text().contains("the review lacks technical"), "{}", refused.text());
    let done = proxy.post(&format!("incidents/{id}/review"), COMPLETE).json();
    assert_eq!((&done["incident"]["state"], &done["stored"]), (&"reviewed".into(), &true.into()), "{done:#}");
    let reviewed = proxy.sre("incidents?state=reviewed");
    assert_eq!(reviewed["incidents"][0]["id"], *id, "{reviewed:#}");
    assert_eq!(proxy.post("incidents/inc_00000000000000000000/review", COMPLETE).status, 404);
}
