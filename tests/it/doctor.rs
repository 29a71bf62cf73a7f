//! `strop doctor`: one file with what is known, and without what is nobody's business.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::proxy::ingress_to;
use crate::support::upstream::{Upstream, status};

fn doctor(dir: &Path, admin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(["doctor", "--to", "report.json", "--admin", admin]).current_dir(dir);
    command.env("STROP__LATENCY__SLOW", "3s").output().expect("runs")
}

#[test]
fn a_report_has_what_is_known_and_neither_people_nor_secrets() {
    let backend = Upstream::start(status(200));
    let url = "[notify.chat]\nkind = \"alertmanager\"\nurls = [\"http://127.0.0.1:1/T0PSECRET\"]\n";
    let proxy = ingress_to(backend.address, url);
    let order = r#"{"title":"the till","severity":"low","actor":"ann"}"#;
    assert_eq!(proxy.ask("POST", "test/incident", "", order).status, 200);
    crate::support::eventually("it is there", || proxy.sre("incidents")["incidents"][0]["id"].is_string());
    let dir = tempfile::tempdir().expect("a directory");
    let ran = doctor(dir.path(), &proxy.admin().to_string());
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = std::fs::read_to_string(dir.path().join("report.json")).expect("it is written");
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["variables"], serde_json::json!(["STROP__LATENCY__SLOW"]), "names, and no values");
    assert_eq!(told["sidecar"]["config"]["effective"]["notify"]["chat"]["urls"][0], "http://127.0.0.1:1/…");
    assert!(
        told["sidecar"]["incidents"]["incidents"][0]["title"].is_string(),
        "{}",
        told["sidecar"]["incidents"]
    );
    assert!(told["sidecar"]["metrics"].as_str().is_some_and(|text| text.contains("strop_")), "{text}");
    assert!(told["file"]["can_run"].is_boolean());
    assert!(!text.contains("T0PSECRET") && !text.contains("\"ann\""), "{text}");
    assert_eq!(
        doctor(dir.path(), &proxy.admin().to_string()).status.code(),
        Some(2),
        "it is never written over"
    );
}

#[test]
fn without_a_sidecar_it_says_what_the_file_is() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("strop.toml"), "[egress]\nlisten = 1\n").expect("writes");
    let ran = doctor(dir.path(), "127.0.0.1:1");
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
    let text = std::fs::read_to_string(dir.path().join("report.json")).expect("it is written");
    let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["file"]["problems"][0]["path"], "egress.listen", "{text}");
    assert!(
        told["sidecar"]["config"]["error"].as_str().is_some_and(|text| text.contains("nobody answers")),
        "{text}"
    );
}
