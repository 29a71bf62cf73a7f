//! From the sidecar as a whole, and from the command line.

use super::*;

/// The text of a section of a webhook's body.
fn section(told: &serde_json::Value, name: &str) -> String {
    let all = told["sections"].as_array().expect("a list");
    let one = all.iter().find(|section| section["name"] == name);
    one.unwrap_or_else(|| panic!("no {name} in {told:#}")).to_string()
}

#[test]
fn a_call_about_a_dead_backend_says_for_whom_and_where_and_its_command_takes_it() {
    let (pager, backend) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let secrets = tempfile::tempdir().expect("a directory");
    std::fs::write(secrets.path().join("secret"), SECRET).expect("writes");
    let secret = format!("{:?}", secrets.path().join("secret").display().to_string());
    let hook = webhook(&format!("http://{}/page", pager.address)).replace("SECRET_FILE", &secret);
    let hook = hook.replace("notify.hook", "notify.default");
    let soon = r#"
        health = { path = "/up", interval = "200ms", suspect_interval = "200ms" }
        [incidents.down]
        confirm = "2s"
    "#;
    let address = backend.address;
    let proxy = crate::support::proxy::ingress_to(address, &format!("{soon}{hook}"));
    let here = format!("public_url = \"http://{}\"\n", proxy.admin());
    let toml = std::fs::read_to_string(proxy.path()).expect("reads");
    let answer = proxy.reload(&toml.replacen("[admin]\n", &format!("[admin]\n{here}"), 1));
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually("it is known to be up", || proxy.get("/").status == 200);
    drop(backend);
    let called = || {
        let told = pager.seen().iter().map(|seen| json(&seen.body)).find(|told| told["kind"] == "trigger");
        told.filter(|told| told["service"] == "backend")
    };
    eventually("somebody is called", || {
        proxy.get("/");
        called().is_some()
    });
    let told = called().expect("told");
    let first = told["summary"].as_str().expect("text");
    for part in
        ["Critical", "backend is down", "since", "UTC", "requests of route default failed in the last minute"]
    {
        assert!(first.contains(part), "{part} is missing: {first}");
    }
    let seen = section(&told, "evidence");
    assert!(seen.contains(&address.to_string()) && seen.contains("fails its checks"), "{seen}");
    assert!(seen.contains("Route default to backend") && seen.contains("× 502 (bad gateway)"), "{seen}");
    assert!(section(&told, "next").contains("are called again"), "{told:#}");
    let id = told["incident_id"].as_str().expect("an id");
    assert_eq!(told["link"], format!("http://{}/api/v2/sre/incidents/{id}", proxy.admin()));
    let take = told["sections"].as_array().expect("a list").iter().find(|one| one["name"] == "acknowledge");
    let command = take.expect("there")["command"].as_str().expect("a command").to_owned();
    run(tool("sh").args(["-c", &command]));
    let one = proxy.sre(&format!("incidents/{id}"));
    assert_eq!((&one["state"], &one["acknowledged_by"]), (&"acknowledged".into(), &"YOUR NAME".into()));
}

fn notify_test(toml: &str, channel: &str) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("secret"), SECRET).expect("writes");
    let path = dir.path().join("strop.toml");
    std::fs::write(&path, config(toml, dir.path())).expect("writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(["notify", "test", channel, "--config"]).arg(&path).output().expect("runs")
}

#[test]
fn the_command_line_tries_a_channel_and_prints_what_came_of_it() {
    let receiver = Upstream::start(status(200));
    let toml = webhook(&format!("http://{}/hook", receiver.address));
    let ran = notify_test(&toml, "hook");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(told.starts_with("hook told 127.0.0.1:") && told.contains("200"), "{told}");
    assert_eq!(json(&receiver.seen()[0].body)["kind"], "test");
    receiver.answer(status(403));
    let ran = notify_test(&toml, "hook");
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("hook told nobody: status 403"));
    let ran = notify_test(&toml, "hok");
    assert_eq!(ran.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("no channel is named \"hok\" (hook)"));
}

#[test]
fn check_warns_of_a_channel_that_falls_with_what_it_tells_about() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("secret"), SECRET).expect("writes");
    let path = dir.path().join("strop.toml");
    let text = config(&webhook("http://127.0.0.1:8000/hook"), dir.path());
    std::fs::write(&path, text).expect("writes");
    let ran = Command::new(env!("CARGO_BIN_EXE_strop")).arg("check").arg(&path).output().expect("runs");
    assert_eq!(ran.status.code(), Some(0));
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(told.contains("warning: notify.hook sends to ingress.listen of this very process"), "{told}");
}

#[test]
fn the_sidecar_shows_its_channels_without_their_secrets() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, SECRET).expect("writes");
    let toml = |to: &str| {
        format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                [upstreams.backend]
                endpoints = ["{}"]
                [notify.hook]
                kind = "webhook"
                url = "https://{to}/hook?token=a"
                secret_file = {secret:?}
            "#,
            backend.address
        )
    };
    let proxy = crate::support::proxy::proxy(&toml("a.example"));
    let shown = proxy.sre("config");
    let told = shown.to_string();
    assert!(!told.contains(SECRET) && !told.contains("token=a"), "{told}");
    let hash = shown["effective"]["notify"]["hook"]["secret_file (content)"].as_str();
    assert_eq!(hash.map(str::len), Some(16), "{told}");
    let answer = proxy.reload(&toml("b.example")).json();
    assert_eq!(answer["applied"][0]["path"], "notify.hook.url");
    assert!(answer["needs_restart"].as_array().expect("a list").is_empty());
}
