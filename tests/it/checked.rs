use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::eventually;
use crate::support::namespace::Namespace;
use crate::support::proxy::{Proxy, proxy, proxy_in};
use crate::support::raw::{ask, get};
use crate::support::upstream::{Upstream, status};

/// What `strop check` says of a file: its exit code, and all it wrote.
fn check(file: &Path) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_strop")).arg("check").arg(file).output().expect("runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code(), said)
}

/// Warnings of the config that the log has told so far.
fn warned(proxy: &Proxy, of: &str) -> usize {
    let log = proxy.log.lock().expect("not poisoned");
    log.iter().filter(|line| line.contains("\"message\":\"config\"") && line.contains(of)).count()
}

fn mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("its owner may");
}

#[test]
fn a_secret_that_others_can_read_is_told_alike_by_check_start_and_reload() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef").expect("writes");
    mode(&token, 0o644);
    let text = |slow: &str| {
        format!(
            r#"
                [egress]
                listen = "127.0.0.1:0"
                [latency]
                slow = "{slow}"
                [upstreams.x]
                endpoints = ["127.0.0.1:1"]
                [notify.hook]
                kind = "webhook"
                url = "https://hook.invalid/"
                secret_file = {token:?}
                [escalation]
                fallback = ["hook"]
            "#
        )
    };
    let file = dir.path().join("checked.toml");
    std::fs::write(&file, text("1s")).expect("writes");
    let told = "notify.hook.secret_file: ";
    let says = |said: &str| said.contains(told) && said.contains("every user of this machine");
    let (code, said) = check(&file);
    assert!(code == Some(0) && says(&said) && said.contains("mode is 0644"), "{said}");
    let proxy = proxy_in(dir, &text("1s"));
    assert_eq!(warned(&proxy, told), 1, "at the start");
    assert_eq!(proxy.reload(&text("2s")).status, 200);
    eventually("the reload tells it too", || warned(&proxy, told) == 2);
    mode(&token, 0o440);
    assert_eq!(proxy.reload(&text("3s")).status, 200);
    let (_, said) = check(&file);
    assert!(!said.contains(told), "a group of this process: {said}");
    assert_eq!(warned(&proxy, told), 2, "nothing is the matter any more");
}

/// As the secrets of a pod are mounted.
#[test]
fn a_secret_on_a_volume_that_is_read_only_is_told_to_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef").expect("writes");
    mode(&token, 0o444);
    let file = dir.path().join("strop.toml");
    let text = format!(
        r#"
            [egress]
            [upstreams.stripe]
            preset = "stripe"
            [admin]
            token_file = {token:?}
        "#
    );
    std::fs::write(&file, text).expect("writes");
    let (_, said) = check(&file);
    assert!(said.contains("admin.token_file"), "it is told where the volume can be written to: {said}");
    let script =
        "mount --bind -o ro \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && exec \"$0\" check \"$2\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_strop")]).arg(&token).arg(&file);
    let ran = command.output().expect("unshare runs; run tests/setup first");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("can run"), "{said}");
    assert!(!said.contains("admin.token_file"), "{said}");
}

#[test]
fn a_way_out_that_is_open_to_others_is_told_alike_by_check_start_and_reload() {
    let text = r#"
        [egress]
        listen = "0.0.0.0:0"
        unlisted = "report"
        [upstreams.x]
        endpoints = ["127.0.0.1:1"]
        local = "0.0.0.0:0"
    "#;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("checked.toml");
    std::fs::write(&file, text).expect("writes");
    let (code, said) = check(&file);
    assert_eq!(code, Some(0), "it runs: {said}");
    let all =
        ["egress.listen: 0.0.0.0:0 is reachable from outside", "upstreams.x.local: 0.0.0.0:0 is reachable"];
    assert!(all.iter().all(|told| said.contains(told)) && said.contains("an open proxy"), "{said}");
    let proxy = proxy_in(dir, text);
    assert_eq!(all.map(|told| warned(&proxy, told)), [1, 1]);
    assert_eq!(proxy.reload(&format!("{text}[latency]\nslow = \"2s\"\n")).status, 200);
    eventually("the reload tells it too", || all.iter().all(|told| warned(&proxy, told) == 2));
}

/// The machine is the test's own: its addresses and its ports are nobody else's.
#[test]
fn an_address_of_this_machine_that_leads_back_is_refused_by_check_start_and_reload() {
    let _namespace = Namespace::enter("ip addr add 10.9.8.7/32 dev lo");
    let text = |endpoint: &str| {
        format!(
            r#"
                [ingress]
                listen = "0.0.0.0:8000"
                [admin]
                listen = "127.0.0.1:9901"
                [upstreams.backend]
                endpoints = ["{endpoint}"]
            "#
        )
    };
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("checked.toml");
    std::fs::write(&file, text("10.9.8.7:8000")).expect("writes");
    let (code, said) = check(&file);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("upstreams.backend.endpoints.0") || said.contains("round in circles"), "{said}");
    let ran = Command::new(env!("CARGO_BIN_EXE_strop")).args(["run", "--config"]).arg(&file).output();
    let ran = ran.expect("runs");
    assert_eq!(ran.status.code(), Some(2), "{}", String::from_utf8_lossy(&ran.stderr));
    std::fs::write(&file, text("10.9.8.6:8000")).expect("writes");
    assert_eq!(check(&file).0, Some(0), "another machine's");
    let proxy = proxy_in(dir, &text("10.9.8.7:8001"));
    let answer = proxy.reload(&text("10.9.8.7:8000"));
    let refused = answer.json()["refused"].clone();
    assert_eq!((answer.status, refused[0]["path"].as_str()), (422, Some("upstreams.backend.endpoints.0")));
}

/// Where the port is the kernel's, no check can know it; nor where a name leads. Without breakers, which would refuse before that
/// is seen.
#[test]
fn what_leads_back_all_the_same_is_not_called() {
    let backend = Upstream::start(status(200));
    let text = |endpoints: &str| {
        format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                [egress]
                listen = "127.0.0.1:0"
                [upstreams.backend]
                endpoints = [{endpoints}]
                via = false
                breaker.mode = "off"
                [upstreams.vendor]
                hosts = ["vendor.example"]
                endpoints = [{endpoints}]
                breaker.mode = "off"
                local = "127.0.0.1:0"
                allow_addresses = ["127.0.0.0/8", "::1"]
            "#
        )
    };
    let good = format!("\"{}\"", backend.address);
    let proxy = proxy(&text(&good));
    let ask_vendor =
        || ask(proxy.egress(), "GET http://vendor.example/ HTTP/1.1\r\nHost: vendor.example\r\n\r\n");
    assert_eq!((get(proxy.ingress(), "/").status, ask_vendor().status), (200, 200));
    for port in [proxy.ingress().port(), proxy.egress().port(), proxy.admin().port()] {
        for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"] {
            assert_eq!(proxy.reload(&text(&format!("\"{host}:{port}\""))).status, 200);
            for answer in [get(proxy.ingress(), "/"), ask_vendor()] {
                // Of localhost the other family is left, where nobody listens.
                let why = if host == "localhost" { "connect_failed" } else { "no_address" };
                let told = (answer.status, answer.field("x-strop-reason"));
                assert!(
                    told == (502, Some("no_address")) || told == (502, Some(why)),
                    "{host}:{port}: {told:?}"
                );
            }
        }
        // One that leads back beside one that does not.
        assert_eq!(proxy.reload(&text(&format!("\"127.0.0.1:{port}\", {good}"))).status, 200);
        assert!((0..20).all(|_| get(proxy.ingress(), "/").status == 200));
    }
    let own = proxy.at("local:vendor");
    assert_eq!(proxy.reload(&text(&format!("\"{own}\""))).status, 200);
    assert_eq!(ask_vendor().field("x-strop-reason"), Some("no_address"));
    let log = proxy.log.lock().expect("not poisoned");
    assert!(log.iter().any(|line| line.contains("listener of this very process")), "{log:#?}");
}

/// What a run could not use is refused by the check.
#[test]
fn what_a_run_could_not_use_is_refused_by_the_check() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, password) = (dir.path().join("checked.toml"), dir.path().join("password"));
    std::fs::write(&password, "0123456789abcdef").expect("writes");
    let mail = |to: &str| {
        format!(
            r#"
                [notify.mail]
                kind = "email"
                server = "127.0.0.1:25"
                tls = "none"
                from = "strop@example.com"
                to = [{to:?}]
            "#
        )
    };
    let store = |url: &str| {
        format!(
            r#"
                [store]
                url = {url:?}
            "#
        )
    };
    let log = |to: &str| {
        format!(
            r#"
                [access_log]
                to = {to:?}
            "#
        )
    };
    for (part, told) in [
        (mail("a..b@example.com"), "is not a mail address"),
        (mail("oncall@example.com."), "is not a mail address"),
        (store("postgres://u@h1,h2/db"), "write one host"),
        (store("postgres://u@h/db?sslmode=requir"), "did you mean \"require\"?"),
        (store("sqlite:~/x"), "write the whole path"),
        (store(&format!("sqlite:{}", dir.path().display())), "is a directory"),
        (log(&format!("file:{}", dir.path().display())), "is a directory"),
        (log("file:/nowhere/at/all.log"), "there is no directory"),
    ] {
        std::fs::write(
            &file,
            format!(
                r#"
                    [egress]
                    listen = "127.0.0.1:0"
                    {part}
                "#
            ),
        )
        .expect("writes");
        let (code, said) = check(&file);
        assert!(code == Some(2) && said.contains(told), "{part}: {said}");
    }
    for part in [
        mail("oncall@example.com"),
        store(&format!("sqlite:{}/new/strop.db", dir.path().display())),
        log(&format!("file:{}/a.log", dir.path().display())),
    ] {
        std::fs::write(
            &file,
            format!(
                r#"
                    [egress]
                    listen = "127.0.0.1:0"
                    {part}
                "#
            ),
        )
        .expect("writes");
        let (code, said) = check(&file);
        assert_eq!(code, Some(0), "{part}: {said}");
    }
}
