//! `strop init`: a config to begin with, that can run; and a start without a file says where the page is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const STROP: &str = env!("CARGO_BIN_EXE_strop");

fn strop(dir: &Path, args: &[&str]) -> Output {
    Command::new(STROP).args(args).current_dir(dir).stdin(Stdio::null()).output().expect("runs")
}

fn said(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr)
}

#[test]
fn a_starter_config_can_run_and_is_never_written_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let made = strop(
        dir.path(),
        &["init", "--backend", "http://127.0.0.1:9/", "--calls", "stripe", "--calls", "twilio"],
    );
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    let checked = strop(dir.path(), &["check"]);
    assert!(checked.status.success() && !said(&checked).contains("advice:"), "{}", said(&checked));
    assert!(said(&checked).contains("strop.toml can run: 3 upstreams, 0 routes"), "{}", said(&checked));
    let shown = said(&strop(dir.path(), &["explain", "upstreams.twilio.local"]));
    assert!(shown.contains("= \"127.0.0.1:9102\" (file, line"), "{shown}");
    let before = std::fs::read(dir.path().join("strop.toml")).expect("reads");
    let again = strop(dir.path(), &["init"]);
    assert!(again.status.code() == Some(1) && said(&again).contains("stays as it is"), "{}", said(&again));
    assert_eq!(std::fs::read(dir.path().join("strop.toml")).expect("reads"), before);
    for wrong in [["--calls", "strype"], ["--listen", "here"]] {
        let refused = strop(dir.path(), &[&["init", "--to", "other.toml"], &wrong[..]].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(!dir.path().join("other.toml").exists());
    }
}

#[test]
fn at_a_terminal_it_asks_what_was_not_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("script");
    command.args(["-qec", &format!("{STROP} init --trusted-hops 1"), "/dev/null"]).current_dir(dir.path());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script: of Debian's bsdutils");
    child.stdin.take().expect("piped").write_all(b"127.0.0.1:7001\n\nstripe, sendgrid\n").expect("writes");
    let ran = child.wait_with_output().expect("ends");
    let told = said(&ran);
    for question in [
        "Where does your application listen? [127.0.0.1:8001]",
        "Where do clients connect?",
        "Which of these does it call",
    ] {
        assert!(told.contains(question), "{question}: {told}");
    }
    assert!(!told.contains("balancers in front"), "it was said: {told}");
    let text = std::fs::read_to_string(dir.path().join("strop.toml")).expect("it is written");
    for part in [
        "endpoints = [\"127.0.0.1:7001\"]",
        "listen = \"127.0.0.1:8000\"",
        "trusted_hops = 1",
        "[upstreams.sendgrid]",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_start_with_a_backend_alone_says_where_the_page_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(STROP);
    command
        .args(["run", "--backend", "127.0.0.1:9"])
        .current_dir(dir.path())
        .env("STATE_DIRECTORY", dir.path());
    for listener in ["STROP__INGRESS__LISTEN", "STROP__ADMIN__LISTEN"] {
        command.env(listener, "127.0.0.1:0");
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("reads");
    child.kill().expect("ends");
    child.wait().expect("ends");
    assert!(line.starts_with("the page is at http://127.0.0.1:"), "{line}");
}
