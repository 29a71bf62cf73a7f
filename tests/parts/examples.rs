/// What the README says of drills.
#[path = "drills.rs"]
mod drills;

use std::path::{Path, PathBuf};

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

/// Root and the pod's group, which is the sidecar's, and nobody else.
#[test]
fn the_pods_secret_is_for_the_sidecar_alone() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/deployment.yaml");
    let text = std::fs::read_to_string(path).expect("reads");
    let secrets: Vec<&str> = text.lines().filter(|line| line.contains("secretName:")).collect();
    assert!(
        !secrets.is_empty() && secrets.iter().all(|line| line.contains("defaultMode: 0440")),
        "{secrets:?}"
    );
    assert!(text.contains("fsGroup: 65532") && text.contains("runAsUser: 65532"));
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
    let document: serde_json::Value =
        serde_json::from_str(include_str!("../../config/openapi.json")).expect("JSON");
    let mut served = Vec::new();
    let paths = document["paths"].as_object().expect("an object");
    for (path, methods) in paths {
        // Where an order ends it as well, both stand in one line.
        let deleted = |key: &str| key == "delete" && !paths.contains_key(&format!("{path}/end"));
        let methods = methods
            .as_object()
            .expect("an object")
            .keys()
            .filter(|key| ["get", "post"].contains(&key.as_str()) || deleted(key));
        served.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    told.sort();
    served.sort();
    assert_eq!(told, served);
}

#[test]
fn the_numbers_of_what_is_shipped_add_up() {
    for name in ["strop.toml", "bookedbarber.toml"] {
        let text = std::fs::read_to_string(shipped(name)).expect("reads");
        let config = strop::config::load(&text, name, &[]).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(strop::config::advice::of(&config), [], "{name}");
    }
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

#[test]
fn check_tells_all_problems_at_once_and_where() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("bad.toml");
    std::fs::write(
        &path,
        r#"
            [ingress]
            listen = "here"
            upstream = "bakend"

            [upstreams.backend]
            endpoints = ["127.0.0.1:8001"]
            breaker = { open_for = "10m", open_for_max = "1m", probes = 0 }
            timeouts = { idle = 5 }
            endpoint = "x"
        "#,
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
        "ingress.listen: the text \"here\" does not belong here; write an address with a port",
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

/// All containers of a pod share its network policy: what the application needs is in it.
#[test]
fn the_pods_policy_lets_the_application_reach_its_database_and_redis() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/networkpolicy.yaml");
    let text = std::fs::read_to_string(path).expect("reads");
    for port in [53, 443, 5_432, 6_379] {
        assert!(text.contains(&format!("port: {port} }}")), "{port}");
    }
}

/// An alert that fires on a quiet day is no alert.
#[test]
fn no_alert_of_the_readme_fires_on_every_failed_request() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("reads");
    let from = readme.find("Good first alerts:").expect("they are there");
    let alerts = &readme[from..from + readme[from..].find("\n\n").expect("it ends")];
    let all: Vec<&str> = alerts.split('`').skip(1).step_by(2).collect();
    assert!(all.len() >= 6, "{all:?}");
    for alert in all {
        assert!(["==", ">", "<"].iter().any(|compares| alert.contains(&format!(" {compares} "))), "{alert}");
    }
}

/// The words of a command line, as a shell splits them.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(end), letter) if letter == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// Command lines of the binary in a text: those of code blocks, and of a list of examples.
fn command_lines(text: &str, begins: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(begins)) {
        let line = line.trim_start_matches("$ ").split(" # ").next().unwrap_or_default();
        let line = line.split(['>', '&', ';']).next().unwrap_or_default().trim();
        if line.starts_with("strop ") {
            found.push(line.to_owned());
        }
    }
    found
}

#[test]
fn every_command_line_of_the_readme_and_of_each_help_is_one() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("reads");
    let mut lines = command_lines(&readme, "");
    assert!(lines.len() > 30, "{lines:?}");
    let mut commands = vec![strop::cli::command()];
    while let Some(command) = commands.pop() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        lines.extend(command_lines(&help, "  "));
        commands.extend(command.get_subcommands().cloned());
    }
    assert!(lines.len() > 100, "{lines:?}");
    for line in lines {
        if let Err(error) = strop::cli::command().try_get_matches_from(split(&line)) {
            panic!("{line}\n{error}");
        }
    }
}
