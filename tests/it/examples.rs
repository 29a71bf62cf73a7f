use std::path::{Path, PathBuf};

use strop::config::file::ConfigFile;

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn every_shipped_config_can_run() {
    for name in ["strop.toml", "bookedbarber.toml", "reference.toml"] {
        let text = std::fs::read_to_string(shipped(name)).expect("reads");
        if let Err(problems) = strop::config::load(&text, name, &[]) {
            panic!("{problems}");
        }
    }
}

#[test]
fn the_pods_config_can_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let token = dir.path().join("token");
    std::fs::write(&token, "0123456789abcdef").expect("writes");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/strop.toml");
    let text = std::fs::read_to_string(path).expect("reads");
    let text = text.replace("/etc/strop-token/token", &token.display().to_string());
    if let Err(problems) = strop::config::load(&text, "deploy/kubernetes/strop.toml", &[]) {
        panic!("{problems}");
    }
}

#[test]
fn the_readme_lists_what_the_admin_port_serves() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("reads");
    let mut told: Vec<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|cell| cell.contains("/api/v2/sre/") && !cell.ends_with("openapi.json"))
        .map(str::to_owned)
        .collect();
    let document = serde_json::to_value(strop::admin::openapi()).expect("JSON");
    let mut served = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("an object") {
        let methods = methods
            .as_object()
            .expect("an object")
            .keys()
            .filter(|key| ["get", "post"].contains(&key.as_str()));
        served.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    told.sort();
    served.sort();
    assert_eq!(told, served);
}

/// All keys of a schema, as `table.key`.
fn keys(schema: &serde_json::Value, root: &serde_json::Value, out: &mut Vec<String>) {
    let resolved = schema["$ref"].as_str().map(|path| &root["$defs"][path.trim_start_matches("#/$defs/")]);
    let schema = resolved.unwrap_or(schema);
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            out.push(key.clone());
            keys(inner, root, out);
        }
    }
    for inner in [&schema["additionalProperties"], &schema["items"]] {
        keys_of(inner, root, out);
    }
    for inner in schema["anyOf"].as_array().into_iter().flatten() {
        keys(inner, root, out);
    }
}

fn keys_of(inner: &serde_json::Value, root: &serde_json::Value, out: &mut Vec<String>) {
    if inner.is_object() {
        keys(inner, root, out);
    }
}

#[test]
fn the_numbers_of_what_is_shipped_add_up() {
    for name in ["strop.toml", "bookedbarber.toml"] {
        let text = std::fs::read_to_string(shipped(name)).expect("reads");
        let config = strop::config::load(&text, name, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(strop::config::advice::of(&config), [], "{name}");
    }
}

#[test]
fn the_reference_names_every_key() {
    let text = std::fs::read_to_string(shipped("reference.toml")).expect("reads");
    let schema: serde_json::Value = serde_json::from_str(&strop::config::schema()).expect("JSON");
    let mut wanted = Vec::new();
    keys(&schema, &schema, &mut wanted);
    assert!(wanted.len() > 70, "{wanted:?}");
    for key in wanted {
        let written = text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ']);
            line.starts_with(&format!("{key} ="))
                || line.contains(&format!("[{key}]"))
                || line.contains(&format!("[{key}."))
                || line.contains(&format!(".{key}]"))
        });
        assert!(written, "{key} is missing");
    }
}

#[test]
fn the_reference_shows_the_defaults() {
    let text = std::fs::read_to_string(shipped("reference.toml")).expect("reads");
    let read: ConfigFile = toml::from_str(&text).expect("reads");
    let plain = |value: &serde_json::Value| value.to_string();
    let shown =
        |part: serde_json::Value, default: serde_json::Value| assert_eq!(plain(&part), plain(&default));
    let json = |value: &dyn erased::Json| value.json();
    shown(json(&read.latency), json(&ConfigFile::default().latency));
    shown(json(&read.slo), json(&ConfigFile::default().slo));
    shown(json(&read.incidents), json(&ConfigFile::default().incidents));
    shown(json(&read.escalation.hours), json(&ConfigFile::default().escalation.hours));
    shown(json(&read.process), json(&ConfigFile::default().process));
    shown(json(&read.access_log), json(&ConfigFile::default().access_log));
    shown(json(&read.store), json(&ConfigFile::default().store));
    let ingress = read.ingress.expect("shown");
    shown(json(&ingress.limits), json(&strop::config::file::LimitsFile::default()));
    let backend = &read.upstreams["backend"];
    shown(json(&backend.pool), json(&strop::config::file::PoolFile::default()));
    shown(json(&backend.retry), json(&strop::config::file::RetryFile::default()));
    shown(json(&backend.dns), json(&strop::config::file::DnsFile::default()));
}

/// What the reference writes of the ladders is what is there without it.
#[test]
fn the_reference_shows_the_guides_ladders() {
    let load = |text: &str| {
        let config = strop::config::load(text, "a test", &[]);
        config.unwrap_or_else(|problems| panic!("{problems}")).watch.policy
    };
    let reference = load(&std::fs::read_to_string(shipped("reference.toml")).expect("reads"));
    let built_in = load(&std::fs::read_to_string(shipped("strop.toml")).expect("reads"));
    assert_eq!(reference, built_in);
}

mod erased {
    pub(super) trait Json {
        fn json(&self) -> serde_json::Value;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).expect("serialises")
        }
    }
}

#[test]
fn check_tells_all_problems_at_once_and_where() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bad.toml");
    std::fs::write(
        &path,
        "[ingress]\nlisten = \"here\"\nupstream = \"bakend\"\n\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n\
         breaker = { open_for = \"10m\", open_for_max = \"1m\", probes = 0 }\ntimeouts = { idle = 5 }\nendpoint = \"x\"\n",
    )
    .expect("writes");
    let ran = std::process::Command::new(env!("CARGO_BIN_EXE_strop"))
        .arg("check")
        .arg(&path)
        .output()
        .expect("runs");
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(2));
    assert!(told.contains("6 problems"), "{told}");
    for wanted in [
        "ingress.listen: \"here\" is not an address",
        "ingress.upstream: no upstream is named \"bakend\"",
        "upstreams.backend.breaker.open_for",
        "upstreams.backend.breaker.probes",
        "upstreams.backend.timeouts.idle: 5 does not belong here",
        "a duration in quotes",
        "did you mean \"endpoints\"",
        "bad.toml:8",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}
