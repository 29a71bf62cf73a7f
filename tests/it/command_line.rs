use std::process::{Command, Output};

use crate::support::proxy::ingress_to;
use crate::support::upstream::{Upstream, status};

fn strop(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strop")).args(args).output().expect("runs")
}

#[test]
fn a_health_check_asks_whether_it_is_ready() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let admin = proxy.admin().to_string();
    assert!(strop(&["healthcheck", "--admin", &admin]).status.success());
    drop(proxy);
    let gone = strop(&["healthcheck", "--admin", &admin]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("nobody answers"));
}

#[test]
fn check_reads_several_files_and_finds_the_one_that_run_would_take() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("writes");
        path
    };
    let good = write(
        "strop.toml",
        r#"
            [egress]
            [upstreams.stripe]
            preset = "stripe"
        "#,
    );
    let bad = write(
        "bad.toml",
        r#"
            [egress]
            listen = "here"
            late = 1
        "#,
    );
    let check = |args: &[&std::ffi::OsStr]| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_strop"))
            .arg("check")
            .args(args)
            .current_dir(dir.path())
            .output()
            .expect("runs");
        (ran.status.code(), String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    let (code, told) = check(&[]);
    assert_eq!((code, told.as_str()), (Some(0), "strop.toml can run: 1 upstream, 0 routes\n"));
    let (code, told) = check(&["--config".as_ref(), good.as_os_str(), "--json".as_ref(), bad.as_os_str()]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("one document");
    assert_eq!(
        (code, told[0]["can_run"].as_bool(), told[1]["can_run"].as_bool()),
        (Some(2), Some(false), Some(true))
    );
    let problems = told[0]["problems"].as_array().expect("a list");
    let places: Vec<_> = problems.iter().map(|one| (one["path"].as_str(), one["line"].as_u64())).collect();
    assert_eq!(places, [(Some("egress.listen"), Some(3)), (Some("egress.late"), Some(4))]);
}

/// What editors read by the first line of the shipped files.
#[test]
fn the_shipped_schema_is_the_one_that_is_printed_and_the_shipped_files_name_it() {
    let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let printed = String::from_utf8(strop(&["schema"]).stdout).expect("text");
    let shipped = std::fs::read_to_string(config.join("schema.json")).expect("reads");
    assert!(printed == shipped, "this binary is older than the file");
    for file in ["strop.toml", "reference.toml", "bookedbarber.toml"] {
        let text = std::fs::read_to_string(config.join(file)).expect("reads");
        assert!(text.starts_with("#:schema schema.json\n"), "{file}");
    }
}

#[test]
fn the_schema_is_json_and_knows_the_file() {
    let schema: serde_json::Value = serde_json::from_slice(&strop(&["schema"]).stdout).expect("JSON");
    assert!(schema["properties"]["upstreams"].is_object(), "{schema}");
    let mode = &schema["$defs"]["BreakerFile"]["properties"]["mode"];
    assert!(mode.to_string().contains(r#"["on","shadow","off""#), "an editor completes it: {mode}");
}

#[test]
fn a_file_that_is_missing_is_named() {
    let ran = strop(&["run", "--config", "nowhere.toml"]);
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("nowhere.toml cannot be read"));
}

#[test]
fn a_port_that_is_taken_is_named_and_nothing_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound").to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.toml");
    for listener in ["[ingress]\nlisten", "[admin]\nlisten"] {
        let rest = if listener.starts_with("[admin]") {
            r#"
                [ingress]
                listen = "127.0.0.1:0"
            "#
        } else {
            r#"
                [admin]
                listen = "127.0.0.1:0"
            "#
        };
        let text =
            format!("{listener} = \"{address}\"\n{rest}[upstreams.backend]\nendpoints = [\"127.0.0.1:1\"]\n");
        std::fs::write(&path, text).expect("writes");
        let ran = strop(&["run", "--config", &path.display().to_string()]);
        assert_eq!(ran.status.code(), Some(1), "{listener}");
        assert!(String::from_utf8_lossy(&ran.stderr).contains(&address), "{listener}");
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.toml");
    std::fs::write(
        &path,
        format!(
            r#"
                [ingress]
                [upstreams.backend]
                endpoints = ["{}"]
            "#,
            backend.address
        ),
    )
    .expect("writes");
    let ran = Command::new(env!("CARGO_BIN_EXE_strop"))
        .args(["check"])
        .arg(&path)
        .env("STROP__UPSTREAMS__BACKEND__BREAKER__PROBES", "0")
        .output()
        .expect("runs");
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("upstreams.backend.breaker.probes"));
}

#[test]
fn numbers_that_do_not_add_up_are_told_by_the_check() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.toml");
    let file = path.display().to_string();
    let text = |first_byte: &str| {
        format!(
            r#"
                [egress]
                [upstreams.stripe]
                preset = "stripe"
                timeouts = {{ first_byte = "{first_byte}" }}
                [notify.pager]
                kind = "alertmanager"
                urls = ["http://am-0.example:9093"]
                [notify.default]
                kind = "alertmanager"
                urls = ["http://am-1.example:9093"]
            "#
        )
    };
    std::fs::write(&path, text("80s")).expect("writes");
    let told = strop(&["check", &file]);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(0), "{said}");
    assert!(String::from_utf8_lossy(&told.stdout).contains("can run: 1 upstream, 0 routes"), "{said}");
    let line = said.lines().find(|line| line.starts_with("advice: ")).expect("there is advice");
    assert!(line.starts_with("advice: upstreams.stripe.timeouts.first_byte: the breaker opens at"), "{line}");
    assert!(line.contains("240 s after stripe begins to hang"), "{line}");
    assert!(line.contains("3 failures × first_byte = \"1m20s\""), "{line}");
    assert!(line.ends_with("write timeouts.first_byte = \"20s\""), "{line}");
    assert_eq!(strop(&["check", "--strict", &file]).status.code(), Some(1));
    // What it says to write is what it has nothing to say about.
    std::fs::write(&path, text("20s")).expect("writes");
    let strict = strop(&["check", "--strict", &file]);
    assert_eq!(strict.status.code(), Some(0), "{}", String::from_utf8_lossy(&strict.stderr));
    assert!(strict.stderr.is_empty(), "{}", String::from_utf8_lossy(&strict.stderr));
}

#[test]
fn a_health_check_takes_a_name_and_says_what_leads_nowhere() {
    let backend = Upstream::start(status(200));
    let proxy = crate::support::proxy::ingress_to(backend.address, "");
    let named = format!("localhost:{}", proxy.admin().port());
    let ran = strop(&["healthcheck", "--admin", &named]);
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    for (admin, code) in [("nowhere.invalid:9901", 2), ("localhost", 2), ("127.0.0.1:1", 1)] {
        let ran = strop(&["healthcheck", "--admin", admin]);
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(code), "{admin}: {told}");
        assert!(told.contains(admin), "{admin}: {told}");
    }
}

#[test]
fn a_store_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.toml");
    let db = dir.path().join("nowhere/strop.db");
    std::fs::write(
        &path,
        format!(
            r#"
                [egress]
                [store]
                url = "sqlite:{}"
            "#,
            db.display()
        ),
    )
    .expect("writes");
    let config = path.display().to_string();
    let to = dir.path().join("copies").display().to_string();
    for args in [
        vec!["audit", "verify", "--config", &config],
        vec!["backup", "--config", &config, "--to", &to],
        vec!["report", "sla", "--month", "2026-10", "--config", &config],
        vec!["report", "review", "inc_01m5r91wqg0000000007", "--config", &config],
    ] {
        let ran = strop(&args);
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_ne!(ran.status.code(), Some(0), "{args:?}");
        assert!(told.contains(&db.display().to_string()), "{args:?}: {told}");
    }
}

#[test]
fn a_demo_keeps_nothing_and_says_what_is_in_its_way() {
    let taken = std::net::TcpListener::bind("127.0.0.1:9900");
    let dir = tempfile::tempdir().expect("a directory");
    let ran = Command::new(env!("CARGO_BIN_EXE_strop")).arg("demo").current_dir(&dir).output().expect("runs");
    // Somebody else may have the port: the message is the same.
    drop(taken);
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(told.contains("127.0.0.1:9900") && told.contains("is another demo running?"), "{told}");
    assert_eq!(std::fs::read_dir(&dir).expect("reads").count(), 0);
}
