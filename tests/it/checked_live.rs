//! `strop check --live`: what a file names is opened, and nobody gets a request.

use std::process::Command;

use serde_json::Value;

use crate::support::secure::{TlsFront, issue, issue_until};
use crate::support::upstream::{Upstream, nobody, status};

/// Checks a config: exit code, and what was printed.
fn check(config: &str, args: &[&str]) -> (i32, String) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("strop.toml"), config).expect("writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(["check", "--live"]).args(args).current_dir(dir.path()).env("STATE_DIRECTORY", dir.path());
    let ran = command.output().expect("runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().expect("a code"), said)
}

#[test]
fn what_answers_is_ticked_and_gets_no_request() {
    let (backend, plain) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let issued = issue(&["vendor.localhost"]);
    let front = TlsFront::start(&issued, plain.address);
    let config = format!(
        "[ingress]\n[egress]\n[upstreams.backend]\nendpoints = [\"{}\"]\n[upstreams.vendor]\n\
         endpoints = [\"vendor.localhost:{}\"]\nhosts = [\"vendor.localhost\"]\nallow_addresses = [\"127.0.0.0/8\"]\ntls = {{ ca_file = {:?} }}\n",
        backend.address,
        front.address.port(),
        issued.ca,
    );
    let (code, said) = check(&config, &[]);
    assert_eq!(code, 0, "{said}");
    for line in [
        "upstreams\n---------\n",
        "√ vendor: vendor.localhost has ",
        "certificates\n------------\n",
        "store\n-----\n√ ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains(&format!("√ backend: {} takes a connection after ", backend.address)), "{said}");
    assert!(said.contains("√ vendor: the certificate of vendor.localhost at 127.0.0.1:"), "{said}");
    assert!(
        said.contains("is verified and valid for ") && said.contains("the first start makes it"),
        "{said}"
    );
    assert_eq!((backend.hits(), plain.hits()), (0, 0), "nobody got a request");
}

#[test]
fn what_does_not_answer_is_told_with_what_to_do_and_by_the_exit_code() {
    let silent = TlsFront::start(&issue(&["vendor.localhost"]), nobody());
    let config = format!(
        "[ingress]\n[egress]\n[upstreams.backend]\nendpoints = [\"{}\"]\n\
         [upstreams.stranger]\nendpoints = [\"vendor.localhost:{}\"]\nallow_addresses = [\"127.0.0.0/8\"]\ntls = true\n\
         [upstreams.inside]\nendpoints = [\"127.0.0.1:9\"]\n[upstreams.lost]\nendpoints = [\"nowhere.invalid:443\"]\n\
         [store]\nurl = \"sqlite:/nowhere/strop.db\"\n",
        nobody(),
        silent.address.port(),
    );
    let (code, said) = check(&config, &["--json", "--within", "3s"]);
    let told: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
    assert_eq!((code, told[0]["can_run"].as_bool()), (3, Some(true)), "{told}");
    let looks = told[0]["live"].as_array().expect("looks");
    for (name, says, hint) in [
        ("backend", "refused", "is the application running?"),
        ("stranger", "the TLS handshake for vendor.localhost fails", "ca_file"),
        ("inside", "127.0.0.1 is never called", "upstreams.inside.allow_addresses"),
        ("lost", "nowhere.invalid", ""),
        ("store", "/nowhere", "[store]"),
    ] {
        let found = looks.iter().any(|look| {
            let has = |field: &str, text: &str| look[field].as_str().is_some_and(|told| told.contains(text));
            look["name"] == name && look["sign"] == "bad" && has("says", says) && has("hint", hint)
        });
        assert!(found, "{name}: {says}\n{told:#}");
    }
}

#[test]
fn a_certificate_that_runs_out_soon_is_doubtful() {
    let plain = Upstream::start(status(200));
    let issued = issue_until(&["vendor.localhost"], 5);
    let front = TlsFront::start(&issued, plain.address);
    let config = format!(
        "[egress]\n[upstreams.vendor]\nendpoints = [\"vendor.localhost:{}\"]\nallow_addresses = [\"127.0.0.0/8\"]\n\
         tls = {{ ca_file = {:?} }}\n[store]\nurl = \"off\"\n",
        front.address.port(),
        issued.ca,
    );
    let (code, said) = check(&config, &[]);
    assert!(
        code == 0 && said.contains("‼ vendor: the certificate of") && said.contains("runs out in "),
        "{said}"
    );
    assert_eq!(check(&config, &["--strict"]).0, 1);
}
