//! `strop explain`: what a key is, and what would become of a request; and that the proxy does what is said of it.

use std::process::Command;

use serde_json::Value;

use crate::support::proxy::proxy;
use crate::support::upstream::{Upstream, status};

const CONFIG: &str = r#"
[ingress]
listen = "127.0.0.1:0"
ambiguous = "refuse"
[egress]
listen = "127.0.0.1:0"
[upstreams.backend]
endpoints = ["BACKEND"]
[upstreams.bookings]
endpoints = ["BOOKINGS"]
retry = { idempotent = true, statuses = ["503"] }
[upstreams.stripe]
preset = "stripe"
breaker = { operations = { charges = "/v1/charges" } }
[[routes]]
name = "booking"
path = "/bookings/{id}"
upstream = "bookings"
timeouts = { first_byte = "7s" }
fallback = { status = 200, body = "{}" }
[[routes]]
prefix = "/bookings"
"#;

/// A command in a directory with this config: exit code, and what it printed.
fn explain(config: &str, args: &[&str]) -> (i32, String) {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("strop.toml"), config).expect("writes");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    let ran = command.arg("explain").args(args).current_dir(dir.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.code().expect("a code"), said)
}

fn request(config: &str, args: &[&str]) -> (i32, Value) {
    let args = [&["request"], args, &["--json"]].concat();
    let (code, said) = explain(config, &args);
    (code, serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}")))
}

/// What is said about something.
fn says(told: &Value, about: &str) -> Vec<String> {
    let facts = told["facts"].as_array().expect("facts");
    let about = facts.iter().filter(|fact| fact["about"] == about);
    about.map(|fact| fact["says"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn the_proxy_takes_the_routes_that_are_explained() {
    let (backend, bookings) = (Upstream::start(status(200)), Upstream::start(status(201)));
    let config = CONFIG.replace("BACKEND", &backend.address.to_string());
    let config = config.replace("BOOKINGS", &bookings.address.to_string());
    let proxy = proxy(&config);
    for (path, route, upstream, answer) in [
        ("/bookings/7", "booking", "bookings", 201),
        ("/bookings/%37", "booking", "bookings", 201),
        ("/bookings", "bookings", "backend", 200),
        ("/bookings/7/notes", "bookings", "backend", 200),
        ("/else", "default", "backend", 200),
    ] {
        let (code, told) = request(&config, &["GET", path]);
        assert_eq!(
            (code, told["route"].as_str(), told["upstream"].as_str()),
            (0, Some(route), Some(upstream)),
            "{path}"
        );
        assert_eq!(proxy.get(path).status, answer, "{path}");
    }
    let (code, told) = request(&config, &["GET", "/a%2fb"]);
    assert_eq!((code, told["refused"]["status"].as_u64()), (1, Some(400)), "{told}");
    assert_eq!(proxy.get("/a%2fb").status, 400);
}

#[test]
fn limits_repeats_and_stand_ins_are_explained_for_the_method_that_is_asked() {
    let config = CONFIG.replace("BACKEND", "127.0.0.1:1").replace("BOOKINGS", "127.0.0.1:2");
    let (_, get) = request(&config, &["GET", "/bookings/7"]);
    assert!(says(&get, "timeouts").contains(&"7s to the head of the answer".to_owned()), "{get}");
    assert!(get["facts"].to_string().contains("routes.booking.timeouts.first_byte"), "{get}");
    let repeats = says(&get, "retry").join("\n");
    assert!(
        repeats.contains("after 503: repeated") && repeats.contains("after 502: not repeated"),
        "{repeats}"
    );
    assert!(repeats.contains("no answer comes in time: repeated"), "{repeats}");
    assert!(says(&get, "stand_in").join("").contains("is given where the upstream cannot be asked"), "{get}");
    assert!(says(&get, "verdict").contains(&"bad answers: 500, 502-504, 506-599".to_owned()), "{get}");
    let (_, post) = request(&config, &["POST", "/bookings/7"]);
    let repeats = says(&post, "retry").join("\n");
    assert!(repeats.contains("no answer comes in time: not repeated"), "{repeats}");
    assert!(repeats.contains("after 503: not repeated"), "{repeats}");
    assert!(says(&post, "stand_in").join("").contains("never to this request"), "{post}");
}

#[test]
fn a_vendor_is_explained_by_its_host_with_keys_operation_and_payment() {
    let config = CONFIG.replace("BACKEND", "127.0.0.1:1").replace("BOOKINGS", "127.0.0.1:2");
    let charge = ["POST", "https://api.stripe.com/v1/charges", "--by", "egress"];
    let (code, told) = request(&config, &charge);
    assert_eq!(
        (code, told["entrance"].as_str(), told["upstream"].as_str()),
        (0, Some("egress"), Some("stripe")),
        "{told}"
    );
    assert!(says(&told, "breaker").join("").contains("then stripe.charges is asked"), "{told}");
    assert!(says(&told, "payment").join("").contains("takes a payment"), "{told}");
    assert!(says(&told, "idempotency").join("").contains("it has no"), "{told}");
    let (_, keyed) = request(&config, &[&charge[..], &["-H", "Idempotency-Key: 7"]].concat());
    assert!(says(&keyed, "idempotency").join("").contains("knows the write again, for 1d"), "{keyed}");
    let (code, tunnel) = request(&config, &["POST", "https://api.stripe.com/v1/charges"]);
    assert_eq!((code, tunnel["entrance"].as_str()), (0, Some("tunnel")), "{tunnel}");
    assert!(says(&tunnel, "tunnel").join("").contains("not seen"), "{tunnel}");
    let (code, other) = request(&config, &["GET", "http://other.example/"]);
    assert_eq!((code, other["refused"]["status"].as_u64()), (1, Some(403)), "{other}");
    let (code, said) = explain(&config, &["request", "GET", "/", "--by", "bookings"]);
    assert!(code == 2 && said.contains("an upstream with a local listener"), "{said}");
    let (code, said) = explain(&config, &["request", "GET", "ftp://x/"]);
    assert!(code == 2 && said.contains("write http://"), "{said}");
}

#[test]
fn a_key_says_what_to_write_its_words_and_the_value_in_force() {
    let config = CONFIG.replace("BACKEND", "127.0.0.1:1").replace("BOOKINGS", "127.0.0.1:2");
    let (code, said) = explain(&config, &["upstreams.stripe.breaker.failures"]);
    assert!(code == 0 && said.contains("in force: upstreams.stripe.breaker.failures = 3 (preset)"), "{said}");
    let (_, said) = explain(&config, &["routes.timeouts.first_byte"]);
    assert!(said.contains("a duration in quotes") && said.contains("= \"7s\" (file, line"), "{said}");
    let (_, said) = explain(&config, &["ingress.ambiguous"]);
    assert!(
        said.contains("\"refuse\": 400") && said.contains("in force: ingress.ambiguous = \"refuse\""),
        "{said}"
    );
    let (_, said) = explain(&config, &["ingress.listen"]);
    assert!(said.contains("with the next start"), "{said}");
    let (_, said) = explain(&config, &["upstreams.stripe.retry"]);
    assert!(said.contains("keys:") && said.contains("attempts"), "{said}");
    let (code, said) = explain(&config, &["upstreams.stripe.retry.atempts"]);
    assert!(code == 2 && said.contains("did you mean \"attempts\"?"), "{said}");
    let (_, said) = explain("[egress", &["latency.slow", "--json"]);
    let told: Value = serde_json::from_str(&said).expect("it is explained without a file that can be read");
    assert!(told["says"].is_string() && told["values"].as_array().is_some_and(Vec::is_empty), "{told}");
}
