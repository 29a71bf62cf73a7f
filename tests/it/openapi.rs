//! The contract holds: for those who check it, for those who try it, and for clients that are made of it.

use std::path::Path;
use std::time::Duration;

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::tools::{clients, python, run_within, venv};
use crate::support::upstream::{Upstream, status};

/// The document as it is served, in a file.
fn document(proxy: &Proxy, dir: &Path) -> String {
    let path = dir.join("openapi.json");
    std::fs::write(&path, proxy.admin_get("/api/v2/sre/openapi.json").body).expect("writes");
    path.display().to_string()
}

#[test]
fn the_contract_is_a_valid_openapi_document() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = venv("openapi-spec-validator");
    command.args(["--validation-errors", "all"]).arg(document(&proxy, dir.path()));
    let said = run_within(Duration::from_secs(120), &mut command);
    assert!(String::from_utf8_lossy(&said).contains("OK"), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn whatever_is_asked_by_the_contract_is_answered_by_it() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(
        backend.address,
        r#"
            [upstreams.stripe]
            endpoints = ["127.0.0.1:1"]
        "#,
    );
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = venv("schemathesis");
    command.current_dir(dir.path()).arg("--config-file").arg(clients("schemathesis.toml"));
    command.arg("run").arg(format!("http://{}/api/v2/sre/openapi.json", proxy.admin()));
    // One worker: threads that parse code beside each other fail in Python 3.11 (python/cpython#106905).
    command.args(["--max-examples", "5", "--workers", "1", "--no-color", "--request-timeout", "20"]);
    let said = String::from_utf8_lossy(&run_within(Duration::from_secs(400), &mut command)).into_owned();
    // A warning is of the run: that made-up names are of nothing, and made-up months not begun.
    let cases = said.lines().find_map(|line| line.trim().strip_suffix(" passed")?.split_once(" generated, "));
    assert!(cases.is_some_and(|(generated, passed)| generated == passed && generated != "0"), "{said}");
    let tested = said.lines().find_map(|line| line.trim().strip_prefix("Tested: ")?.parse::<u32>().ok());
    assert!(tested.is_some_and(|tested| tested >= 32), "{said}");
}

#[test]
fn a_client_that_was_made_of_the_contract_takes_an_incident() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let dir = tempfile::tempdir().expect("a directory");
    // What would be run on the code afterwards is for people who read it; a feed is a text to it.
    let config = dir.path().join("config.yaml");
    std::fs::write(&config, "post_hooks: []\ncontent_type_overrides:\n  application/atom+xml: text/html\n")
        .expect("writes");
    let mut command = venv("openapi-python-client");
    command.current_dir(dir.path()).args(["generate", "--meta", "none", "--fail-on-warning"]);
    command
        .args(["--path", &document(&proxy, dir.path()), "--output-path", "sre_client"])
        .arg("--config")
        .arg(&config);
    run_within(Duration::from_secs(120), &mut command);
    let base = format!("http://{}", proxy.admin());
    let said = run_within(Duration::from_secs(120), python("with_generated.py").arg(dir.path()).arg(&base));
    let told: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
    assert_eq!(
        (&told["state"], &told["by"], &told["error"]),
        (&"acknowledged".into(), &"ann".into(), &"unknown_incident".into()),
        "{told:#}"
    );
    eventually("everybody sees it", || {
        let id = told["id"].as_str().expect("an id");
        proxy.sre(&format!("incidents/{id}"))["acknowledged_by"] == "ann"
    });
    assert!(told["audited"].as_str().is_some_and(|id| id.starts_with("aud_")), "{told:#}");
}
