//! Sizes in `tests/`, and parameters that say nothing at the call.

use std::path::Path;

use crate::LINES;
use crate::source::{files, sources};

/// Longer files of tests, and how long each may be. This list only gets shorter, and so do they.
const LONG_TESTS: &[(&str, usize)] = &[
    ("tests/simulation/traffic.rs", 570),
    ("tests/simulation/world.rs", 454),
    ("tests/store/ledger.rs", 588),
    ("tests/store/suite.rs", 733),
];

#[test]
fn files_of_tests_stay_readable() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("tests"), &mut found);
    let mut wrong = Vec::new();
    for path in found {
        let lines = std::fs::read_to_string(&path).expect("reads").lines().count();
        let path = path.strip_prefix(root).expect("below").display().to_string();
        let most = LONG_TESTS.iter().find(|(known, _)| *known == path).map_or(LINES, |(_, most)| *most);
        if lines > most {
            wrong.push(format!("{path}: {lines} lines, at most {most}"));
        }
    }
    assert!(wrong.is_empty(), "house rule \"at most {LINES} lines\" in tests/:\n{}", wrong.join("\n"));
}

/// Public functions that still take a `bool`, by file and name. This list only gets shorter.
const BOOLS: &[(&str, &str)] = &[
    ("src/message/account/mod.rs", "waits"),
    ("src/message/memory.rs", "measured"),
    ("src/proxy/error.rs", "failed"),
    ("src/proxy/error.rs", "failure"),
    ("src/proxy/exchange.rs", "broke"),
    ("src/proxy/front.rs", "note"),
    ("src/proxy/overload.rs", "look"),
    ("src/reliability/breaker/hold.rs", "close"),
    ("src/reliability/idle.rs", "preset"),
    ("src/reliability/incident/head.rs", "join"),
    ("src/reliability/overload.rs", "look"),
    ("src/telemetry/access.rs", "wants"),
    ("src/telemetry/logging.rs", "start"),
    ("src/telemetry/upstreams.rs", "endpoint"),
    ("src/upstream/endpoint.rs", "set_fallback"),
    ("src/upstream/endpoint.rs", "set_healthy"),
    ("src/upstream/gate.rs", "close"),
    ("src/upstream/resolve.rs", "admitted"),
    ("src/upstream/resolve.rs", "at_once"),
    ("src/upstream/resolve.rs", "keep_fresh"),
    ("src/upstream/shares.rs", "of"),
];

#[test]
fn public_functions_take_no_bool() {
    let mut found = Vec::new();
    for source in sources() {
        let code: String = source.code.iter().map(|(_, line)| line.trim().to_owned() + " ").collect();
        for part in
            ["pub fn ", "pub const fn ", "pub async fn "].iter().flat_map(|head| code.split(head).skip(1))
        {
            let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let head = part.split([';', '{']).next().unwrap_or_default();
            let takes = head.split(" -> ").next().unwrap_or_default();
            if [": bool,", ": bool)"].iter().any(|bool| takes.contains(bool)) {
                found.push((source.path.clone(), name));
            }
        }
    }
    let known = |path: &str, name: &str| BOOLS.iter().any(|(file, known)| *file == path && *known == name);
    let wrong: Vec<_> = found.iter().filter(|(path, name)| !known(path, name)).collect();
    assert!(wrong.is_empty(), "house rule \"no bool parameters\": write an enum: {wrong:?}");
    let gone: Vec<_> = BOOLS
        .iter()
        .filter(|(file, known)| !found.iter().any(|(path, name)| path == file && name == known))
        .collect();
    assert!(gone.is_empty(), "these take no bool any more; take them off the list: {gone:?}");
}
