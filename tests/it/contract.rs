use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, status};

/// A sidecar through which something of everything has gone.
fn busy(upstream: &Upstream) -> Proxy {
    busy_with(upstream, "")
}

fn busy_with(upstream: &Upstream, more: &str) -> Proxy {
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            openapi = "/openapi.json"
            [egress]
            listen = "127.0.0.1:0"
            bypass_ports = [1]
            [upstreams.backend]
            endpoints = ["{0}"]
            health = {{ interval = "50ms" }}
            [upstreams.stripe]
            hosts = ["api.stripe.com"]
            endpoints = ["{0}"]
            allow_addresses = ["127.0.0.1"]
            {more}
        "#,
        upstream.address
    ));
    proxy.get("/");
    let mut client = Client::to(proxy.egress());
    client.send(b"CONNECT api.stripe.com:443 HTTP/1.1\r\nHost: api.stripe.com\r\n\r\n");
    client.head().expect("connected");
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").response(false).expect("answered");
    drop(client);
    Client::to(proxy.ingress()).send(b"nonsense\r\n\r\n").rest();
    proxy.post("circuit-breakers/stripe/open", "{\"reason\": \"a test\"}");
    eventually("all is counted", || {
        proxy.metric("tunnel_bytes_total", "") > 0.0
            && proxy.metric("http_requests_total", "") >= 1.0
            && proxy.metric("upstream_endpoint_healthy", "") >= 1.0
            && proxy.metric("malformed_requests_total", "") >= 1.0
    });
    proxy
}

/// Name, type, labels and help of every family that is ours.
fn families(text: &str) -> String {
    let mut all: BTreeMap<String, (String, String, BTreeSet<String>)> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name)) => {
                all.entry(name.to_owned()).or_default().1 = words.next().unwrap_or_default().to_owned();
            }
            (Some("#"), Some("TYPE"), Some(name)) => {
                all.entry(name.to_owned()).or_default().0 = words.next().unwrap_or_default().to_owned();
            }
            _ => {
                let sample = line.split(['{', ' ']).next().unwrap_or_default();
                let plain = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| sample.strip_suffix(end))
                    .unwrap_or(sample);
                let family = if all.contains_key(sample) { sample } else { plain };
                let labels =
                    line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(l, _)| l);
                let names = labels
                    .split("\",")
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, _)| name.to_owned());
                all.entry(family.to_owned()).or_default().2.extend(names);
            }
        }
    }
    all.iter()
        .filter(|(name, _)| !name.starts_with("process_"))
        .map(|(name, (kind, help, labels))| {
            let labels = labels.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("{name} ({kind}) {{{labels}}}\n    {help}\n")
        })
        .collect()
}

#[test]
fn the_metric_families_are_what_dashboards_were_built_on() {
    let upstream = Upstream::start(status(200));
    let secrets = tempfile::tempdir().expect("a directory");
    let secret = secrets.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef").expect("writes");
    let channel = format!(
        r#"
            [notify.hook]
            kind = "webhook"
            url = "http://{}/"
            secret_file = {secret:?}
        "#,
        upstream.address
    );
    let proxy = busy_with(
        &upstream,
        &format!(
            r#"
                [store.backup]
                to = "backup"
                [[routes]]
                prefix = "/dead"
                upstream = "dead"
                fallback = {{}}
                [upstreams.dead]
                endpoints = ["127.0.0.1:1"]
                [upstreams.spared]
                endpoints = ["127.0.0.1:1"]
                backup = ["127.0.0.1:2"]
                health = {{}}
                {channel}
            "#
        ),
    );
    assert_eq!(proxy.get("/dead").field("x-strop-degraded"), Some("fallback"));
    proxy.post("test/incident", r#"{"severity": "critical"}"#);
    // One about the service `test` would be a drill, which counts in no figure.
    let made = proxy.post("test/incident", r#"{"service": "web"}"#).json()["incident"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    proxy.post(&format!("incidents/{made}/resolve"), "");
    proxy.post("test/incident", "");
    eventually("the second has turned", || {
        let text = proxy.admin_get("/metrics").text();
        let all = [
            "sre_uptime_percentage ",
            "sre_mttr_current_minutes ",
            "sre_error_rate ",
            "sre_incidents{",
            "store_backup_last_duration_seconds ",
            "notify_attempt_seconds_count{",
            "egress_bypass_connections_total{",
            "strop_degraded_answers_total{",
            "strop_upstream_on_backup{",
            "strop_openapi_reads_total{",
        ];
        all.iter().all(|family| text.contains(&format!("\n{family}")))
    });
    insta::assert_snapshot!("metrics", families(&proxy.admin_get("/metrics").text()));
}

#[test]
fn the_api_is_what_its_clients_were_written_for() {
    let upstream = Upstream::start(status(200));
    let proxy = busy(&upstream);
    let document = proxy.sre("openapi.json");
    let shipped = include_str!("../../config/openapi.json");
    assert_eq!(document, serde_json::from_str::<serde_json::Value>(shipped).expect("JSON"));
}

/// A value's shape: keys and kinds, whatever the numbers are.
fn shape(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
        Value::Array(items) => items.first().map(shape).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "yes or no".into(),
        Value::Null => Value::Null,
    }
}

#[test]
fn answers_keep_their_shape() {
    let upstream = Upstream::start(status(200));
    let proxy = busy(&upstream);
    let sampled = || {
        let health = proxy.sre("health/comprehensive");
        health["resources"][0].is_object() && health["bypass"]["connections"].is_number()
    };
    crate::support::eventually("the machine was looked at", sampled);
    for path in [
        "health/comprehensive",
        "circuit-breakers/stripe",
        "upstreams/backend",
        "performance",
        "audit",
        "degradation",
    ] {
        let name = format!("shape_{}", path.replace(['/', '-'], "_"));
        let mut told = proxy.sre(path);
        if let Some(bypass) = told.get_mut("bypass") {
            // A text where the machine has more connections than are looked at.
            bypass["note"] = serde_json::Value::Null;
        }
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&shape(&told)).expect("JSON"));
    }
}

#[test]
fn the_command_line_is_what_scripts_were_written_for() {
    let mut all = String::new();
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["init", "--help"],
        &["check", "--help"],
        &["explain", "--help"],
        &["explain", "request", "--help"],
        &["explain", "routes", "--help"],
        &["config", "show", "--help"],
        &["config", "diff", "--help"],
        &["doctor", "--help"],
        &["env", "--help"],
        &["exec", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
        &["healthcheck", "--help"],
        &["audit", "verify", "--help"],
        &["backup", "--help"],
        &["backup", "verify", "--help"],
        &["report", "sla", "--help"],
        &["report", "review", "--help"],
        &["notify", "test", "--help"],
        &["demo", "--help"],
    ] {
        let ran = Command::new(env!("CARGO_BIN_EXE_strop")).args(args).output().expect("runs");
        all.push_str(&format!("$ strop {}\n{}\n", args.join(" "), String::from_utf8_lossy(&ran.stdout)));
    }
    insta::assert_snapshot!("help", all);
}
