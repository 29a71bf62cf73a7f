use crate::config::Config;
use crate::config::tests::config_text;
use crate::config::warnings::all as warnings;

const SMALLEST: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";

fn load(more: &str) -> Result<Config, Vec<String>> {
    crate::config::load(&format!("{SMALLEST}{more}"), "a test", &[])
        .map_err(|problems| problems.all.iter().map(|p| format!("{}: {}", p.path, p.message)).collect())
}

fn file(dir: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, text).expect("writes");
    path.display().to_string()
}

#[test]
fn every_kind_can_be_written_and_no_secret_is_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = file(&dir, "key", "0123456789abcdef-the-secret\n");
    let url = file(&dir, "url", "https://hooks.slack.com/services/T0/B0/the-secret\n");
    let config = load(&config_text(&format!(
        r##"
            [notify.a]
            kind = "webhook"
            url = "https://a.example/hook?token=the-secret"
            secret_file = {key:?}
            [notify.b]
            kind = "pagerduty"
            routing_key_file = {key:?}
            [notify.c]
            kind = "slack"
            url_file = {url:?}
            [notify.c2]
            kind = "slack"
            token_file = {key:?}
            channel = "#incidents"
            [notify.d]
            kind = "email"
            server = "smtp.example.com:587"
            username = "strop"
            password_file = {key:?}
            from = "strop@example.com"
            to = ["oncall@example.com"]
            [notify.e]
            kind = "alertmanager"
            urls = ["http://am-0:9093", "http://am-1:9093"]
            token_file = {key:?}
        "##
    )))
    .expect("runs");
    let names: Vec<&str> = config.notify.iter().map(|channel| channel.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "c2", "d", "e"]);
    let mut shown = config.effective();
    for table in shown["notify"].as_object_mut().expect("a table").values_mut() {
        let table = table.as_object_mut().expect("a table");
        table.retain(|_, value| !value.is_null());
        for (_, hash) in table.iter_mut().filter(|(key, _)| key.ends_with("(content)")) {
            assert_eq!(hash.as_str().map(str::len), Some(16));
            *hash = "HASH".into();
        }
        for (_, file) in table.iter_mut().filter(|(key, _)| key.ends_with("_file")) {
            *file = "FILE".into();
        }
    }
    insta::assert_snapshot!("channels_shown", serde_json::to_string_pretty(&shown["notify"]).expect("JSON"));
    for text in [shown.to_string(), format!("{config:?}")] {
        assert!(!text.contains("the-secret"), "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_what_to_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let short = file(&dir, "short", "abc");
    let problems = load(&format!(
            "[notify.a]\nkind = \"webhok\"\n\
             [notify.b]\nkind = \"webhook\"\nurl = \"a.example/hook\"\nsecret_file = {short:?}\nrouting_key_file = \"x\"\n\
             [notify.c]\nkind = \"slack\"\nurl = \"https://hooks.slack.com/x\"\n\
             [notify.d]\nkind = \"email\"\nserver = \"smtp.example.com\"\ntls = \"none\"\nfrom = \"me\"\nusername = \"x\"\n\
             [notify.e]\nkind = \"alertmanager\"\ninterval = \"1ms\"\n\
             [notify.f]\nkind = \"pagerduty\"\nurl = \"http://pd.example/\"\n\
             [notify.g]\nkind = \"webhook\"\nurl = \"https://me:pw@a.example/\"\n\
             [notify.h]\nkind = \"email\"\nserver = \"smtp.example.com:25\"\ntls = \"none\"\nto = [\"a@b\\r\\nBcc: x@y\"]\n\
             [notify.j]\nkind = \"slack\"\ntoken_file = {short:?}\nchannel = \"the incidents\"\n\
             [notify.k]\nkind = \"slack\"\nurl_file = {short:?}\nchannel = \"#incidents\"\n\
             [notify.l]\nkind = \"slack\"\nurl_file = {short:?}\ntoken_file = {short:?}\n\
             [notify.m]\nkind = \"slack\"\nurl = \"http://slack.example/api\"\ntoken_file = {short:?}\nchannel = \"C024BE91L\"\n\
             [notify.I]\nkind = \"pagerduty\"\n"
        ))
        .expect_err("cannot run");
    insta::assert_snapshot!(
        "channels_refused",
        problems.join("\n").replace(dir.path().to_str().expect("text"), "DIR")
    );
}

#[test]
fn a_channel_that_would_fall_with_what_it_tells_about_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = file(&dir, "key", "0123456789abcdef");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o400))
        .expect("for its owner alone");
    let config = load(&config_text(&format!(
        r#"
            [upstreams.sendgrid]
            preset = "sendgrid"
            local = "127.0.0.1:9102"
            [upstreams.any]
            hosts = ["*.vendor.example"]
            endpoints = ["10.0.0.7:443"]
            [notify.a]
            kind = "webhook"
            url = "https://api.sendgrid.com/hook"
            secret_file = {key:?}
            [notify.b]
            kind = "webhook"
            url = "http://127.0.0.1:9102/hook"
            secret_file = {key:?}
            [notify.c]
            kind = "webhook"
            url = "https://hook.vendor.example/"
            secret_file = {key:?}
            [notify.d]
            kind = "webhook"
            url = "https://elsewhere.example/"
            secret_file = {key:?}
        "#
    )))
    .expect("runs: a warning is no problem");
    let told = warnings(&config);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("notify.a") && told[0].contains("upstreams.sendgrid"), "{told:#?}");
    assert!(told[1].contains("notify.b") && told[1].contains("upstreams.sendgrid.local"), "{told:#?}");
    assert!(told[2].contains("notify.c") && told[2].contains("upstreams.any"), "{told:#?}");
}

#[test]
fn a_changed_channel_is_in_force_at_once() {
    let channel = |port| format!("[notify.am]\nkind = \"alertmanager\"\nurls = [\"http://am:{port}\"]\n");
    let (old, new) = (load(&channel(9093)).expect("runs"), load(&channel(9094)).expect("runs"));
    let diff = crate::config::diff::diff(&old, &new);
    assert!(diff.needs_restart.is_empty());
    assert_eq!(diff.applied.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["notify.am.urls"]);
}
