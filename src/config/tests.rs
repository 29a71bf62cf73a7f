use serde_json::Value;

use super::*;

/// The text of a config as a test writes it: it begins in the line behind the quote, and has the indentation of its source. Lines
/// and columns are told without them.
pub(super) fn config_text(written: &str) -> String {
    let written = written.strip_prefix('\n').unwrap_or(written);
    let indent = written.len() - written.trim_start_matches(' ').len();
    let bare = |line: &str| {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        line[spaces.min(indent)..].to_owned()
    };
    let mut lines: Vec<String> = written.split('\n').map(bare).collect();
    if let Some(last) = lines.last_mut().filter(|last| last.trim().is_empty()) {
        last.clear();
    }
    lines.join("\n")
}

#[test]
fn a_text_is_read_without_the_indentation_of_its_source() {
    let text = config_text(
        r#"
            [ingress]
            hosts = [
                "a",
            ]

            [egress]
        "#,
    );
    assert_eq!(text, "[ingress]\nhosts = [\n    \"a\",\n]\n\n[egress]\n");
}

/// Paths of all keys; `*` stands for a name, `0` for a member of a list.
fn keys(schema: &Value, root: &Value, path: &str, found: &mut Vec<String>) {
    let name = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
    let named = name.map(|name| &root["$defs"][name]);
    let options = schema["anyOf"].as_array().into_iter().flatten();
    named.into_iter().chain(options).for_each(|inner| keys(inner, root, path, found));
    let of = |key: &str| places::below(path, key);
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        found.push(of(key));
        keys(inner, root, &of(key), found);
    }
    for (key, inner) in [("*", &schema["additionalProperties"]), ("0", &schema["items"])] {
        if inner.is_object() {
            keys(inner, root, &of(key), found);
        }
    }
}

fn all_keys() -> Vec<String> {
    let schema: Value = schema::read();
    let mut found = Vec::new();
    keys(&schema, &schema, "", &mut found);
    found
}

/// One of everything.
fn everything(dir: &std::path::Path) -> String {
    let file = dir.join("secret");
    std::fs::write(&file, "sixteen letters and more").expect("writes");
    let seal = dir.join("seal");
    std::fs::write(&seal, "0f".repeat(32)).expect("writes");
    let hook = dir.join("hook");
    std::fs::write(&hook, "https://hooks.example/T/B").expect("writes");
    config_text(&format!(
        r#"
            [ingress]
            tls = {{ cert_file = {file:?}, key_file = {file:?} }}
            [egress]
            [[routes]]
            path = "/a/{{id}}"
            body_limit = "1MiB"
            latency = {{ p95 = {{ warn = "1s" }} }}
            [[routes]]
            name = "long"
            host = "Shop.example"
            latency = {{ until = "off" }}
            fallback = {{ status = 200, body = "{{}}" }}
            stale = {{ for = "5m" }}
            rate_limit = {{ requests = 100, header = "x-api-key" }}
            [upstreams.backend]
            endpoints = ["127.0.0.1:8001", "db.:80"]
            health = {{ path = "/healthz" }}
            backup = ["10.0.1.7:8001"]
            failover = {{ min_healthy = "50%" }}
            allow_addresses = ["10.0.0.0/8", "10.1.2.3"]
            tls = {{ server_name = "b.example", ca_file = {file:?} }}
            breaker = {{ open_for = "10m", operations = {{ charges = "/v1/charges/{{id}}" }} }}
            judge = {{ slow_after = "2s", rate_limits = [{{ status = "403", body = "limit" }}] }}
            pool = {{ idle_for = "7s" }}
            timeouts = {{ total = "30s" }}
            [upstreams.stripe]
            preset = "stripe"
            local = "127.0.0.1:9101"
            breaker = {{ enabled = false }}
            outbox = {{ paths = ["/v1/charges"], reply = {{ status = 202 }} }}
            [outbox]
            seal_key_file = {seal:?}
            [notify.a]
            kind = "webhook"
            url = "https://a.example/x"
            secret_file = {file:?}
            [notify.b]
            kind = "pagerduty"
            routing_key_file = {file:?}
            [notify.c]
            kind = "slack"
            url_file = {hook:?}
            [notify.d]
            kind = "email"
            server = "smtp.example:587"
            from = "a@b.c"
            to = ["d@e.f"]
            [notify.default]
            kind = "alertmanager"
            urls = ["http://am:9093"]
            token_file = {file:?}
            [admin]
            token_file = {file:?}
            [access_log]
            to = "file:access.log"
            [latency.p99]
            alert = "9s"
            [escalation.contacts.ann]
            channels = ["b"]
            [escalation.low]
            hours = "working"
            [store]
            backup = {{ to = "copies" }}
            [degradation]
            stale = {{ max_body = "1MiB" }}
            when = [{{ breaker = "stripe" }}]
            [drill.schedule]
            on = "day 15"
            at = "10:00"
            upstream = "stripe"
            [incidents.resources]
            network_capacity = "125MiB"
            [kubernetes]
            deployment = "api"
            namespace = "shop"
            server = "https://k8s:6443"
            token_file = {file:?}
            ca_file = {file:?}
            [recovery.actions.failover]
            exec = ["/bin/true"]
            [plans.api_failure]
            steps = [{{ action = "failover", mode = "act" }}]
        "#
    ))
}

fn runs(text: &str) -> Config {
    load(text, "a test", &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Is the key there, whatever it says?
fn has(value: &Value, path: &[&str]) -> bool {
    let Some((key, rest)) = path.split_first() else { return true };
    match value {
        Value::Object(table) if *key == "*" => table.values().any(|inner| has(inner, rest)),
        Value::Object(table) => table.get(*key).is_some_and(|inner| has(inner, rest)),
        Value::Array(list) if *key == "0" => list.iter().any(|inner| has(inner, rest)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

#[test]
fn every_key_of_the_schema_is_in_effective() {
    let dir = tempfile::tempdir().expect("a directory");
    let effective = runs(&everything(dir.path())).effective();
    let all = all_keys();
    assert!(all.len() > 190, "{} keys", all.len());
    let missing: Vec<_> =
        all.iter().filter(|path| !has(&effective, &path.split('.').collect::<Vec<_>>())).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

/// What an operator may write: nothing for nothing, and no hash.
fn as_written(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|key, value| !value.is_null() && !key.ends_with(')'));
            table.values_mut().for_each(as_written);
        }
        Value::Array(list) => list.iter_mut().for_each(as_written),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn effective_written_as_a_file_is_the_same_config() {
    let dir = tempfile::tempdir().expect("a directory");
    for text in [&everything(dir.path()), include_str!("../../config/strop.toml"), "[egress]\n"] {
        let config = runs(text);
        let mut written = config.effective();
        as_written(&mut written);
        let text = toml::to_string(&written).expect("TOML");
        let again = runs(&text);
        assert_eq!(again.effective(), config.effective(), "{text}");
        let same = |config: &Config| {
            let Config { ingress, egress, upstreams, routes, latency, watch, .. } = config;
            format!(
                "{ingress:?} {egress:?} {upstreams:?} {routes:?} {latency:?} {watch:?} {:?}",
                config.store
            )
        };
        assert_eq!(same(&again), same(&config));
        assert_eq!(diff::diff(&config, &again), diff::Diff::default());
    }
}

#[test]
fn no_secret_is_in_effective_and_its_hash_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = everything(dir.path()).replace("https://a.example/x", "https://a.example/x?key=hidden");
    let effective = runs(&text).effective();
    let shown = effective.to_string();
    assert!(
        !shown.contains("sixteen") && !shown.contains("hidden") && !shown.contains("hooks.example"),
        "{shown}"
    );
    for at in [
        "/admin/token_file (content)",
        "/notify/b/routing_key_file (content)",
        "/notify/c/url_file (content)",
    ] {
        let hash = effective.pointer(at).and_then(Value::as_str).expect(at);
        assert!(hash.len() == 16, "{at}: {hash}");
    }
    assert_eq!(effective["notify"]["a"]["url"], "https://a.example/x?…");
}

/// Every key of the file, also those that stand there as a comment.
fn named_in_the_reference() -> Vec<String> {
    let text = include_str!("../../config/reference.toml");
    let key = |line: &str| {
        let key = line.trim_start_matches("# ").split_once(" = ")?.0.to_owned();
        key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_').then_some(key)
    };
    text.lines().filter_map(key).collect()
}

#[test]
fn the_reference_and_the_schema_have_the_same_keys() {
    let all = all_keys();
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    // Names that an operator chose.
    let chosen = ["bookings"];
    for key in named_in_the_reference().iter().filter(|key| !chosen.contains(&key.as_str())) {
        assert!(all.iter().any(|path| last(path) == *key), "the schema has no {key}");
    }
    let text = include_str!("../../config/reference.toml");
    for key in all.iter().map(|path| last(path)) {
        let written = text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.starts_with(&format!("{key} ="))
                || line.contains(&format!("[{key}]"))
                || line.contains(&format!("[{key}."))
                || line.contains(&format!(".{key}]"))
                || line.contains(&format!(".{key}."))
        });
        assert!(written, "{key} is missing in the reference");
    }
}

/// What is written there is what stands there without being written.
#[test]
fn the_reference_shows_the_defaults() {
    let smallest = &config_text(
        r#"
            [ingress]
            [egress]
            [[routes]]
            name = "bookings"
            prefix = "/bookings"
            body_limit = "1MiB"
            [upstreams.backend]
            endpoints = ["127.0.0.1:8001"]
            health = { path = "/healthz" }
            [process]
            workers = 0
        "#,
    );
    let reference = runs(include_str!("../../config/reference.toml")).effective();
    assert_eq!(reference, runs(smallest).effective());
}

#[test]
fn what_a_variable_or_the_command_line_says_is_shown_there() {
    let text = &config_text(
        r#"
            [ingress]
            [upstreams.backend]
            endpoints = ["127.0.0.1:8001"]
            [latency]
            slow = "2s"
        "#,
    );
    let env = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
    for (name, value, path) in [
        ("--backend", "[\"nowhere\"]", "upstreams.backend.endpoints.0"),
        ("STROP__LATENCY__SLOW", "5", "latency.slow"),
        ("STROP__LATENCY__SLWO", "5s", "latency.slwo"),
        ("STROP__UPSTREAMS__BACKEND__BREAKER__OPEN_FOR", "0s", "upstreams.backend.breaker.open_for"),
        ("STROP__LATENCY__SLOW__NOW", "5s", ""),
        ("STROP__", "5s", ""),
    ] {
        let problems = load(text, "a test", &env(name, value)).expect_err(name);
        let [problem] = problems.all.as_slice() else { panic!("{problems}") };
        assert_eq!((problem.path.as_str(), problem.variable.as_deref(), problem.line), (path, Some(name), 0));
        let shown = problems.to_string();
        assert!(shown.contains(&format!("--> {name}")) && shown.contains(value), "{shown}");
    }
    let problems = load(&text.replace("2s", "0.5"), "a test", &env("STROP__LATENCY__P50__WARN", "1ms"));
    assert_eq!(problems.expect_err("slow").all[0].line, 5);
}

#[test]
fn a_secret_in_an_address_is_not_told_with_its_problem() {
    let secret = "s3cret\u{fc}";
    for text in [
        format!("[egress]\n[store]\nurl = \"postgres://strop:{secret}@db/strop\"\n"),
        format!("[egress]\nstore = {{ url = \"mysql://strop:{secret}@db/x\", backlog = 1 }}\n"),
        config_text(&format!(
            r#"
                [egress]
                [notify.a]
                kind = "webhook"
                url = "ftp://me:{secret}@a.example/"
            "#
        )),
        config_text(&format!(
            r#"
                [egress]
                [notify.a]
                kind = "webhook"
                url = "ftp://a.example/?{secret}"
            "#
        )),
    ] {
        let problems = load(&text, "a test", &[]).expect_err("it cannot run");
        let told = format!("{problems} {}", serde_json::to_string(&problems.all).expect("JSON"));
        assert!(!told.contains("s3cret") && told.contains("***"), "{told}");
    }
}
