use std::process::Command;

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy_in};
use crate::support::upstream::{Upstream, status};

/// All rows of the trail, the youngest first, a few at a time.
fn trail(proxy: &Proxy) -> Vec<serde_json::Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = proxy.sre(&format!("audit?limit=2{cursor}"));
        assert_eq!(page["kept_in"], "store", "{page:#}");
        all.extend(page["mutations"].as_array().expect("a list").clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn rows(proxy: &Proxy, action: &str, actor: &str) -> Vec<serde_json::Value> {
    let fits = |row: &serde_json::Value| row["action"] == action && row["actor"] == actor;
    trail(proxy).into_iter().filter(fits).collect()
}

#[test]
fn a_config_that_is_applied_or_refused_is_on_the_trail_with_who_and_what() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let text = std::fs::read_to_string(proxy.path()).expect("reads");
    eventually("the start is there", || rows(&proxy, "config.applied", "start").len() == 1);
    let slower = text.replace(
        "[upstreams.backend]\n",
        r#"
            [upstreams.backend]
            breaker = { open_for = "7s" }
        "#,
    );
    std::fs::write(proxy.path(), &slower).expect("writes");
    eventually("the file is", || rows(&proxy, "config.applied", "watch").len() == 1);
    let applied = rows(&proxy, "config.applied", "watch").remove(0);
    let paths = applied["details"]["applied"].to_string();
    assert!(
        paths.contains("upstreams.backend.breaker") && !applied.to_string().contains("7s"),
        "{applied:#}"
    );
    assert_eq!(applied["details"]["generation"], 2);
    assert_eq!(applied["details"]["hash"], proxy.sre("config")["hash"]);
    proxy.signal("HUP");
    eventually("the signal is", || rows(&proxy, "config.applied", "signal").len() == 1);
    let asked = proxy.post("config/reload", r#"{"actor": "ann", "reason": "rotated"}"#);
    assert_eq!((asked.status, asked.json()["actor"].as_str()), (200, Some("ann")));
    eventually("the call is", || rows(&proxy, "config.applied", "ann").len() == 1);
    assert_eq!(rows(&proxy, "config.applied", "ann")[0]["reason"], "rotated");
    std::fs::write(proxy.path(), slower.replace("open_for", "opne_for")).expect("writes");
    eventually("the refusal is", || rows(&proxy, "config.refused", "watch").len() == 1);
    let refused = rows(&proxy, "config.refused", "watch").remove(0);
    assert!(refused["details"]["problems"].to_string().contains("opne_for"), "{refused:#}");
    assert_eq!(proxy.post("config/reload", "{\"who\": \"ann\"}").status, 400);
}

#[test]
fn what_operators_do_is_on_the_trail_under_the_name_they_were_told_and_outlives_the_process() {
    let backend = Upstream::start(status(200));
    let mut proxy = ingress_to(backend.address, "");
    let held = proxy.post("circuit-breakers/backend/open", r#"{"actor": "ann", "reason": "a drill"}"#).json();
    assert_eq!(held["stored"], true, "{held:#}");
    let released = proxy.post("circuit-breakers/backend/release", r#"{"actor": "bob"}"#).json();
    let made = proxy.post("test/incident", r#"{"actor": "cleo"}"#).json();
    let check = |proxy: &Proxy| {
        for (told, action, actor) in [
            (&held, "breaker.open", "ann"),
            (&released, "breaker.release", "bob"),
            (&made, "incident.test", "cleo"),
        ] {
            let row = rows(proxy, action, actor).remove(0);
            assert_eq!(row["id"], told["audit_id"], "{row:#}");
            assert!(row["seq"].is_number() && row["hash"].as_str().is_some_and(|hash| hash.len() == 64));
        }
        let numbers: Vec<i64> = trail(proxy).iter().filter_map(|row| row["seq"].as_i64()).collect();
        let whole: Vec<i64> = (1..=numbers.len() as i64).rev().collect();
        assert_eq!(numbers, whole, "no row is missing, none is there twice");
    };
    check(&proxy);
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    proxy.signal("KILL");
    let proxy = proxy_in(proxy.leave_behind(), &toml);
    eventually("the next start is there", || rows(&proxy, "config.applied", "start").len() == 2);
    check(&proxy);
    let walked = Command::new(env!("CARGO_BIN_EXE_strop"))
        .args(["audit", "verify", "--config"])
        .arg(proxy.path())
        .env("STATE_DIRECTORY", proxy.path().parent().expect("a directory"))
        .output()
        .expect("runs");
    assert!(String::from_utf8_lossy(&walked.stdout).starts_with("whole: "), "{walked:?}");
    assert_eq!(proxy.admin_get("/api/v2/sre/audit?cursor=x").status, 400);
}

#[test]
fn without_a_store_memory_has_what_this_start_did_and_says_so() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(
        backend.address,
        r#"
            [store]
            url = "off"
        "#,
    );
    let held = proxy.post("circuit-breakers/backend/open", r#"{"actor": "ann"}"#).json();
    assert_eq!(held["stored"], false);
    let trail = proxy.sre("audit");
    assert_eq!(trail["kept_in"], "memory");
    assert_eq!(trail["mutations"][0]["id"], held["audit_id"]);
    assert_eq!(trail["mutations"][0]["seq"], serde_json::Value::Null, "{trail:#}");
}
