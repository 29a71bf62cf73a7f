//! The command line about a running sidecar: what is seen and ordered by it is what the API tells and does.

use std::process::Command;

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, live};
use crate::support::upstream::{Upstream, status};

fn done(proxy: &Proxy, args: &[&str]) -> String {
    let (code, said) = live(proxy, args);
    assert_eq!(code, 0, "{args:?}: {said}");
    said
}

#[test]
fn status_says_how_it_is_in_a_sentence_and_by_its_exit_code() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    proxy.get("/");
    eventually("it is well", || live(&proxy, &["status"]).0 == 0);
    let said = done(&proxy, &["status"]);
    assert!(said.starts_with("All is well: no incident is open.\nhealthy: "), "{said}");
    assert!(said.lines().any(|line| line.starts_with("backend") && line.contains("closed")), "{said}");
    let order = r#"{"title":"tills \u001b[31mare red","severity":"critical"}"#;
    assert_eq!(proxy.ask("POST", "test/incident", "", order).status, 200);
    let told = || live(&proxy, &["status"]);
    eventually("it is told, and as a drill no harm", || {
        told().1.starts_with("Drill: Tills  [31mare red since ")
    });
    let (code, said) = told();
    assert!(code == 0 && said.contains("nobody has taken it"), "{said}");
    assert!(!said.contains('\u{1b}'), "nothing steers the terminal: {said}");
    done(&proxy, &["breaker", "open", "backend", "--reason", "a deploy"]);
    eventually("it is not well", || told().0 == 1);
    let (_, json) = live(&proxy, &["status", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&json).expect("the API's own answer");
    assert_eq!(told["incidents"][0]["severity"], "critical");
}

#[test]
fn breakers_are_held_closed_and_released_and_each_order_is_audited() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let held = done(&proxy, &["breaker", "open", "backend", "--ttl", "10m", "--reason", "a deploy"]);
    assert!(held.contains("backend is held open (audit aud_"), "{held}");
    assert_eq!(proxy.breaker("backend"), "open");
    let listed = done(&proxy, &["breaker", "list"]);
    assert!(listed.contains("held: a deploy"), "{listed}");
    assert!(done(&proxy, &["breaker", "show", "backend"]).contains("failure_threshold"));
    done(&proxy, &["breaker", "release", "backend"]);
    assert_eq!(proxy.breaker("backend"), "closed");
    let (code, said) = live(&proxy, &["breaker", "show", "backent"]);
    assert!(code == 2 && said.contains("backend"), "the names that there are: {said}");
    assert_eq!(live(&proxy, &["breaker", "show", "../config"]).0, 2);
    let rows = proxy.sre("audit");
    let rows = rows["mutations"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row["actor"] == "ann" && row["action"] == "breaker.open"), "{rows:#?}");
}

#[test]
fn an_incident_is_taken_written_on_assigned_and_ended() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    assert!(done(&proxy, &["incidents", "list"]).contains("no incident is open"));
    let order = r#"{"title":"the till","severity":"low"}"#;
    assert_eq!(proxy.ask("POST", "test/incident", "", order).status, 200);
    eventually("it is there", || proxy.sre("incidents")["incidents"][0]["id"].is_string());
    let id = proxy.sre("incidents")["incidents"][0]["id"].as_str().expect("an id").to_owned();
    done(&proxy, &["incidents", "ack", &id]);
    done(&proxy, &["incidents", "note", &id, "we look at the till"]);
    done(&proxy, &["incidents", "assign", &id, "bob"]);
    let shown = done(&proxy, &["incidents", "show", &id]);
    for part in ["the till", "we look at the till", "bob", "acknowledged"] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    done(&proxy, &["incidents", "resolve", &id, "--force", "--reason", "a test"]);
    assert!(done(&proxy, &["incidents", "list", "--all"]).contains("resolved"));
}

#[test]
fn calls_are_held_back_and_what_is_not_there_is_said_so() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    done(&proxy, &["silence", "begin", "backend", "--for", "2h", "--reason", "a deploy"]);
    let listed = done(&proxy, &["silence", "list"]);
    assert!(listed.contains("a deploy") && listed.contains("ann"), "{listed}");
    let id = proxy.sre("silences")["silences"][0]["id"].as_str().expect("an id").to_owned();
    done(&proxy, &["silence", "end", &id]);
    assert!(done(&proxy, &["silence", "list"]).contains("nothing holds calls back"));
    assert!(done(&proxy, &["outbox", "list"]).contains("there is no outbox"));
    assert!(done(&proxy, &["recovery", "list"]).contains("PLAN"));
    let uptime = done(&proxy, &["uptime"]);
    assert!(uptime.contains("service") && uptime.contains("objective: 99.900 %"), "{uptime}");
    let (code, said) = live(&proxy, &["recovery", "run", "no_such_plan"]);
    assert!(code == 2 && said.contains("no plan is configured"), "{said}");
}

#[test]
fn the_sidecar_is_found_by_the_config_file_too_with_its_token() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef").expect("writes");
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = {token:?}\n");
    let proxy = crate::support::proxy::proxy(&format!(
        "[ingress]\nlisten = \"127.0.0.1:0\"\n[upstreams.backend]\nendpoints = [\"{}\"]\n{admin}",
        backend.address
    ));
    let config = format!("[egress]\n{}", admin.replace("127.0.0.1:0", &proxy.admin().to_string()));
    std::fs::write(dir.path().join("strop.toml"), config).expect("writes");
    let listed = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
        command.args(["breaker", "list"]).args(args).current_dir(dir.path()).env_remove("STROP_ADMIN");
        command.output().expect("runs")
    };
    let found = listed(&[]);
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    assert!(String::from_utf8_lossy(&found.stdout).contains("backend"));
    let stranger = listed(&["--admin", &proxy.admin().to_string()]);
    assert_eq!(stranger.status.code(), Some(2), "another one is not told this token");
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("401"));
}
