//! `strop config`: what is in force with the origin of each value, and what another file would change.

use crate::support::proxy::{ingress_to, live};
use crate::support::upstream::{Upstream, status};

const MORE: &str = "[upstreams.stripe]\npreset = \"stripe\"\ntimeouts = { first_byte = \"9s\" }\n[egress]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn each_value_says_where_it_comes_from_and_the_api_says_the_same() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, MORE);
    let (code, said) = live(&proxy, &["config", "show", "--effective", "--origin"]);
    assert_eq!(code, 0, "{said}");
    let read: toml::Table = said.parse().unwrap_or_else(|error| panic!("{error}\n{said}"));
    let stripe = &read["upstreams"]["stripe"];
    assert_eq!(stripe["breaker"]["failures"].as_integer(), Some(3), "{said}");
    for (key, origin) in [
        ("failures = 3", "preset"),
        ("failures = 5", "default"),
        ("first_byte = \"9s\"", "strop.toml:"),
        ("samples = 1000", "environment: STROP__INCIDENTS__RESOURCES__SAMPLES"),
    ] {
        let line = said.lines().find(|line| line.starts_with(key) && line.contains(origin));
        assert!(line.is_some(), "{key} comes from {origin}\n{said}");
    }
    let told = proxy.sre("config");
    let first_byte = &told["origins"]["upstreams.stripe.timeouts.first_byte"];
    assert_eq!(first_byte["from"], "file", "{told}");
    assert!(said.contains(&format!("strop.toml:{}", first_byte["line"])), "{first_byte}");
    assert_eq!(told["origins"]["upstreams.stripe.breaker.failures"]["from"], "preset");
    assert!(told["origins"]["upstreams.stripe.breaker.probes"].is_null(), "it has its default");
}

#[test]
fn what_was_written_is_a_file_that_changes_nothing() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, MORE);
    let (code, written) = live(&proxy, &["config", "show"]);
    assert!(code == 0 && !written.contains("first_byte = \"1m\""), "no defaults: {written}");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("strop.toml").display().to_string();
    std::fs::write(&file, &written).expect("writes");
    assert_eq!(
        live(&proxy, &["config", "diff", &file]),
        (0, "nothing would change\n".to_owned()),
        "{written}"
    );
    let (code, shown) = live(&proxy, &["config", "show", "--config", &file, "--origin"]);
    assert!(
        code == 0 && shown.contains("first_byte = \"9s\"") && shown.contains(&format!("# {file}:")),
        "{shown}"
    );
}

#[test]
fn a_diff_says_what_a_reload_would_change_and_what_waits() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, MORE);
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (old, new) = (path("old.toml"), path("new.toml"));
    let (_, written) = live(&proxy, &["config", "show"]);
    std::fs::write(&old, &written).expect("writes");
    let other = written.replace("first_byte = \"9s\"", "first_byte = \"8s\"");
    let other = other.replacen("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:1\"", 1);
    std::fs::write(&new, other).expect("writes");
    for args in [vec!["config", "diff", &new], vec!["config", "diff", &new, &old]] {
        let (code, said) = live(&proxy, &args);
        assert_eq!(code, 1, "{said}");
        let changes = "a reload would change:\n  upstreams.stripe.timeouts.first_byte: \"9s\" -> \"8s\"\n\
                       waits for a restart:\n  ";
        assert!(said.starts_with(changes) && said.contains("\"127.0.0.1:0\" -> \"127.0.0.1:1\""), "{said}");
    }
    let (_, json) = live(&proxy, &["config", "diff", &new, "--json"]);
    let told: serde_json::Value = serde_json::from_str(&json).expect("one document");
    assert_eq!(told["applied"][0]["path"], "upstreams.stripe.timeouts.first_byte", "{told}");
    assert_eq!(told["needs_restart"].as_array().map(Vec::len), Some(1), "{told}");
    std::fs::write(&new, "[egress]\nlisten = 1\n").expect("writes");
    let (code, said) = live(&proxy, &["config", "diff", &new]);
    assert!(code == 2 && said.contains("egress.listen"), "{said}");
}
