//! `strop env` and `strop exec`: an application with their variables sends its requests through the sidecar.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::proxy::proxy;
use crate::support::upstream::{Upstream, status};

const CONFIG: &str = "[egress]\nlisten = \"0.0.0.0:3128\"\n[upstreams.stripe]\npreset = \"stripe\"\nlocal = \"127.0.0.1:9101\"\n\
                      [upstreams.google_calendar]\npreset = \"google_calendar\"\nlocal = \"127.0.0.1:0\"\n";

fn directory(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("strop.toml"), config).expect("writes");
    dir
}

/// A command in that directory, without variables of whoever runs the tests.
fn run_in(dir: &Path, program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command.args(args).current_dir(dir).env("STROP", STROP).output().expect("runs")
}

const STROP: &str = env!("CARGO_BIN_EXE_strop");

fn out(ran: &Output) -> String {
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[test]
fn each_shell_reads_the_same_variables() {
    let dir = directory(CONFIG);
    let show = r#"printf '%s\n' "$HTTP_PROXY" "$https_proxy" "$no_proxy" "$STRIPE_BASE_URL""#;
    let wanted = "http://127.0.0.1:3128\nhttp://127.0.0.1:3128\nlocalhost,127.0.0.1,::1,it's.example\nhttp://127.0.0.1:9101\n";
    for (shell, load) in [
        ("bash", r#"eval "$("$STROP" env --no-proxy "it's.example")""#),
        ("zsh", r#"eval "$("$STROP" env --no-proxy "it's.example")""#),
        ("fish", r#"$STROP env --shell fish --no-proxy "it's.example" | source"#),
        ("bash", r#"set -a; . <("$STROP" env --shell dotenv --no-proxy "it's.example")"#),
    ] {
        let ran = run_in(dir.path(), shell, &["-c", &format!("{load}; {show}")]);
        assert_eq!(out(&ran), wanted, "{shell}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    let ran = run_in(dir.path(), STROP, &["env", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("one object");
    assert_eq!(told["HTTPS_PROXY"], "http://127.0.0.1:3128");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("upstreams.google_calendar.local has port 0"), "{said}");
    let docker = out(&run_in(dir.path(), STROP, &["env", "--shell", "docker"]));
    assert!(
        docker.starts_with("# ") && docker.contains("\nSTRIPE_BASE_URL=http://127.0.0.1:9101\n"),
        "{docker}"
    );
    let pod = out(&run_in(dir.path(), STROP, &["env", "--shell", "kubernetes"]));
    assert!(pod.contains("- name: HTTP_PROXY\n  value: \"http://127.0.0.1:3128\"\n"), "{pod}");
}

#[test]
fn roots_are_named_where_they_apply() {
    let dir = directory(CONFIG);
    let ca = rcgen::generate_simple_self_signed(vec!["ca.example".to_owned()]).expect("a certificate");
    std::fs::write(dir.path().join("ca.pem"), ca.cert.pem()).expect("writes");
    std::fs::write(dir.path().join("none.pem"), "no certificate").expect("writes");
    let file = dir.path().join("ca.pem").canonicalize().expect("it is there").display().to_string();
    assert!(!out(&run_in(dir.path(), STROP, &["env"])).contains("SSL_CERT_FILE"), "no roots of its own");
    let told = out(&run_in(dir.path(), STROP, &["env", "--ca", "ca.pem"]));
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
        assert!(told.contains(&format!("export {name}='")) && told.contains("ca.pem"), "{name}: {told}");
    }
    assert_eq!(run_in(dir.path(), STROP, &["env", "--ca", "none.pem"]).status.code(), Some(2));
    let own = format!(
        "[egress]\n[upstreams.private]\nendpoints = [\"127.0.0.1:1\"]\nhosts = [\"private.example\"]\ntls = {{ ca_file = {file:?} }}\n"
    );
    let dir = directory(&own);
    let ran = run_in(dir.path(), STROP, &["env"]);
    let told = out(&ran);
    assert!(
        told.contains(&format!("export NODE_EXTRA_CA_CERTS='{file}'")),
        "it is added to an application's own: {told}"
    );
    assert!(!told.contains("SSL_CERT_FILE"), "it would stand in the place of all others: {told}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("--ca BUNDLE"));
}

#[test]
fn an_application_that_is_started_takes_the_place_of_the_command() {
    let dir = directory(CONFIG);
    let ran = run_in(dir.path(), STROP, &["exec", "--", "sh", "-c", "echo $HTTPS_PROXY $NO_PROXY; exit 7"]);
    assert_eq!(
        (ran.status.code(), out(&ran).as_str()),
        (Some(7), "http://127.0.0.1:3128 localhost,127.0.0.1,::1\n")
    );
    let killed = run_in(dir.path(), STROP, &["exec", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(killed.status.signal(), Some(15), "a signal ends it as it ends the application");
    let mut command = Command::new(STROP);
    command.args(["exec", "--", "sh", "-c", "echo $$"]).current_dir(dir.path()).stdout(Stdio::piped());
    let child = command.spawn().expect("starts");
    let own = child.id().to_string();
    assert_eq!(out(&child.wait_with_output().expect("ends")).trim(), own, "the process is the application's");
    assert_eq!(run_in(dir.path(), STROP, &["exec", "--", "no-such-program"]).status.code(), Some(127));
    assert_eq!(run_in(dir.path(), STROP, &["exec", "--", "./strop.toml"]).status.code(), Some(126));
    let mut command = Command::new(STROP);
    command
        .args(["exec", "--", "sh", "-c", "echo $NO_PROXY"])
        .current_dir(dir.path())
        .env("NO_PROXY", "db.internal");
    let spared = command.output().expect("runs");
    assert_eq!(out(&spared), "localhost,127.0.0.1,::1,db.internal\n", "what was spared stays so");
}

#[test]
fn curl_with_those_variables_goes_through_the_sidecar() {
    let vendor = Upstream::start(status(200));
    let proxy = proxy(&format!(
        "[egress]\nlisten = \"127.0.0.1:0\"\n[upstreams.vendor]\nendpoints = [\"{}\"]\nhosts = [\"vendor.example\"]\n\
         allow_addresses = [\"127.0.0.0/8\"]\n",
        vendor.address
    ));
    let dir = directory(&format!("[egress]\nlisten = \"{}\"\n", proxy.egress()));
    let curl =
        ["exec", "--", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://vendor.example/x"];
    let ran = run_in(dir.path(), STROP, &curl);
    assert_eq!(out(&ran), "200", "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(vendor.hits(), 1);
}
