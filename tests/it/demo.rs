//! `strop demo`: it says where its page is, and each plan of the guide has its weather. In a network of its own, for its ports are fixed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::eventually;
use crate::support::namespace::Namespace;

const STROP: &str = env!("CARGO_BIN_EXE_strop");

/// Ends with its owner.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn strop(args: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(STROP).args(args).env("STROP_ADMIN", "127.0.0.1:9901").output().expect("runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code(), said)
}

/// Does a run of that plan go on, or has one been?
fn has_run(plan: &str) -> bool {
    let (_, said) = strop(&["recovery", "list", "--json"]);
    let told: Value = serde_json::from_str(&said).unwrap_or_default();
    told["runs"].as_array().is_some_and(|runs| runs.iter().any(|run| run["plan"] == plan))
}

#[test]
fn it_says_where_its_page_is_and_each_plan_has_its_weather() {
    let _network = Namespace::enter("");
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(STROP);
    command.args(["demo", "--traffic"]).current_dir(dir.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = Demo(command.spawn().expect("starts"));
    let lines = BufReader::new(demo.0.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let told = lines.take_while(|line| !line.starts_with("Stop with")).collect::<Vec<_>>().join("\n");
    assert!(told.contains("the page is at http://127.0.0.1:9901/"), "{told}");
    let (code, said) = strop(&["demo", "weather", "database", "rainy"]);
    assert!(code == Some(2) && said.contains("write sunny, patchy"), "{said}");
    for (service, plan) in [("database", "database_failure"), ("redis", "redis_failure")] {
        assert!(
            told.contains(&format!("strop demo weather {service} dark")) && told.contains(plan),
            "{told}"
        );
        assert!(!has_run(plan), "{plan} waits for its weather");
        assert_eq!(strop(&["demo", "weather", service, "dark"]).0, Some(0));
        eventually(&format!("{plan} runs"), || has_run(plan));
        assert_eq!(strop(&["demo", "weather", service, "sunny"]).0, Some(0));
    }
    let (code, said) = strop(&["recovery", "run", "high_cpu", "--service", "backend"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(has_run("high_cpu"));
    assert_eq!(strop(&["demo", "weather", "stripe", "patchy"]).0, Some(0));
    let failures = || {
        let (_, said) = strop(&["breaker", "show", "stripe", "--json"]);
        serde_json::from_str::<Value>(&said).unwrap_or_default()
    };
    eventually("some payments fail", || failures()["window_failures"].as_u64() > Some(1));
    assert_eq!(failures()["state"], "closed", "{}", failures());
}
