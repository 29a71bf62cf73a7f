use std::io::Write as _;
use std::time::Duration;

use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::{Client, get};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace};

fn config(backend: std::net::SocketAddr, failures: u32, slow: &str) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{backend}"]
            breaker = {{ mode = "on", failures = {failures}, open_for = "1m" }}
            [latency]
            slow = "{slow}"
        "#
    )
}

#[test]
fn a_saved_file_is_in_force_and_says_what_it_changed() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&config(backend.address, 3, "1s"));
    let answer =
        proxy.reload(&config(backend.address, 7, "2s").replacen("127.0.0.1:0\"", "127.0.0.1:1\"", 1));
    let told = answer.json();
    let paths = |key: &str| -> Vec<String> {
        let changes = told[key].as_array().expect("a list");
        changes.iter().map(|change| change["path"].as_str().expect("a path").to_owned()).collect()
    };
    assert_eq!(paths("applied"), ["latency.slow", "upstreams.backend.breaker.failures"]);
    assert_eq!(paths("needs_restart"), ["ingress.listen"]);
    assert_eq!(proxy.sre("circuit-breakers/backend")["failure_threshold"], 7);
    assert_eq!(proxy.get("/").status, 200);
}

#[test]
fn an_open_breaker_its_counters_and_connections_survive() {
    let backend = Upstream::start(status(500));
    let proxy = proxy(&config(backend.address, 3, "1s"));
    let mut kept = Client::to(proxy.ingress());
    for _ in 0..3 {
        kept.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(kept.response(false).expect("answered").status, 500);
    }
    let failed = || proxy.metric("http_requests_total", "status=\"500\"");
    eventually("all three are counted", || failed() == 3.0);
    assert_eq!(proxy.reload(&config(backend.address, 50, "5s")).status, 200);
    assert_eq!(proxy.breaker("backend"), "open");
    kept.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(kept.response(false).expect("the same connection").status, 503);
    assert_eq!(failed(), 3.0);
}

#[test]
fn a_file_that_cannot_run_changes_nothing_and_is_shown() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&config(backend.address, 3, "1s"));
    let text = config(backend.address, 3, "1").replace("breaker", "braker");
    let answer = proxy.reload(&text);
    assert_eq!(answer.status, 422);
    let refused = answer.json()["refused"].as_array().expect("a list").clone();
    assert_eq!(refused.len(), 2, "{refused:#?}");
    assert_eq!(refused[0]["path"], "upstreams.backend.braker");
    assert!(refused[0]["message"].as_str().is_some_and(|text| text.contains("did you mean \"breaker\"")));
    let at = text.lines().position(|line| line.trim_start().starts_with("slow = ")).expect("it is there") + 1;
    assert_eq!(
        (refused[1]["path"].as_str(), refused[1]["line"].as_u64()),
        (Some("latency.slow"), Some(at as u64))
    );
    assert_eq!(proxy.get("/").status, 200);
    assert_eq!(proxy.metric("config_last_reload_successful", ""), 0.0);
    assert!(proxy.sre("config")["last_reload"]["refused"][0]["path"].is_string());
    assert_eq!(proxy.sre("config")["generation"], 1);
}

#[test]
fn the_file_is_watched_and_a_hangup_is_heard() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&config(backend.address, 3, "1s"));
    let write = |failures| {
        let text = format!(
            r#"
                {}
                [admin]
                listen = "127.0.0.1:0"
            "#,
            config(backend.address, failures, "1s")
        );
        std::fs::write(proxy.path(), text).expect("writes");
    };
    write(4);
    let threshold = || proxy.sre("circuit-breakers/backend")["failure_threshold"].clone();
    eventually("the watch sees it", || threshold() == 4);
    let generation = proxy.sre("config")["generation"].as_u64();
    proxy.signal("HUP");
    eventually("the hangup is heard", || proxy.sre("config")["generation"].as_u64() > generation);
}

#[test]
fn reloads_under_load_fail_no_request() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&config(backend.address, 3, "1s"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let served = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::to(proxy.ingress());
                while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert_eq!(client.response(false).expect("answered").status, 200);
                    served.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
        let mut last = 0.0;
        for round in 0..20 {
            assert_eq!(proxy.reload(&config(backend.address, 3 + round % 5, "1s")).status, 200);
            assert_eq!(get(proxy.ingress(), "/").status, 200);
            let now = proxy.metric("http_requests_total", "");
            assert!(now >= last, "counters never fall: {now} after {last}");
            last = now;
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    let served = served.load(std::sync::atomic::Ordering::SeqCst) + 20;
    eventually("every request is counted once", || {
        proxy.metric("http_requests_total", "status=\"200\"") == served as f64
    });
}

#[test]
fn limits_of_a_listener_hold_for_its_next_connection() {
    let backend = Upstream::start(status(200));
    let limited = |count: u32| {
        config(backend.address, 3, "1s").replace(
            "[ingress]\n",
            &format!(
                r#"
                    [ingress]
                    limits = {{ header_count = {count} }}
                "#
            ),
        )
    };
    let proxy = proxy(&limited(100));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{}\r\n", "X: 1\r\n".repeat(20));
    assert_eq!(crate::support::raw::ask(proxy.ingress(), &many).status, 200);
    let answer = proxy.reload(&limited(10));
    assert!(answer.json()["needs_restart"].as_array().expect("a list").is_empty(), "{}", answer.text());
    assert_eq!(crate::support::raw::ask(proxy.ingress(), &many).status, 431);
}

/// Waits for about a second, as a person does who saves a file again and again.
fn a_second_later() {
    let (_pace, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(std::time::Duration::from_secs(1));
}

#[test]
fn thirty_reloads_under_load_fail_nothing_and_forget_nothing() {
    let backend = Upstream::start(status(200));
    let ill = Upstream::start(status(500));
    let text = |round: u32| {
        format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                [[routes]]
                prefix = "/ill"
                upstream = "ill"
                [latency]
                slow = "{}ms"
                [upstreams.backend]
                endpoints = ["{}"]
                breaker = {{ failures = {}, window = "{}s" }}
                timeouts = {{ idle = "{}s" }}
                [upstreams.ill]
                endpoints = ["{}"]
                breaker = {{ mode = "on", failures = {}, open_for = "{}s", open_for_max = "1h" }}
            "#,
            500 + round,
            backend.address,
            3 + round % 7,
            10 + round % 5,
            30 + round % 9,
            ill.address,
            3 + round % 3,
            600 + round,
        )
    };
    let proxy = proxy(&text(0));
    for _ in 0..4 {
        get(proxy.ingress(), "/ill");
    }
    assert_eq!(proxy.breaker("ill"), "open");
    let url = format!("http://{}/", proxy.ingress());
    let load = std::process::Command::new("wrk")
        .args(["-t1", "-c32", "-d30s", &url])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("wrk is missing: run tests/setup");
    let generation = || proxy.sre("config")["generation"].as_u64().expect("a number");
    let mut last = 0.0;
    for round in 1..=30 {
        let before = generation();
        let answer = proxy.reload(&text(round));
        assert_eq!(answer.status, 200, "{}", answer.text());
        // Whoever reads it first, the watcher or the order.
        assert!(generation() > before, "round {round}: {}", answer.text());
        assert_eq!(get(proxy.ingress(), "/ill").status, 503, "round {round}: the open breaker stays open");
        let now = proxy.metric("http_requests_total", "");
        assert!(now >= last, "counters never fall: {now} after {last}");
        last = now;
        a_second_later();
    }
    let told = load.wait_with_output().expect("ends");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("Requests/sec"), "{told}");
    assert!(!told.contains("Non-2xx") && !told.contains("Socket errors"), "{told}");
    assert_eq!(proxy.breaker("ill"), "open");
    assert_eq!(ill.hits(), 3, "nothing was sent to it");
    assert_eq!(proxy.metric("http_request_outcomes_total", "outcome=\"upstream_failed\""), 0.0);
}

fn with_admin(toml: &str) -> String {
    format!(
        r#"
            {toml}
            [admin]
            listen = "127.0.0.1:0"
        "#
    )
}

/// How often a config was refused, as the audit log tells it.
fn refused(proxy: &Proxy) -> usize {
    let all = proxy.sre("audit")["mutations"].as_array().expect("a list").clone();
    all.iter().filter(|row| row["action"] == "config.refused").count()
}

#[test]
fn a_file_that_is_no_text_is_refused_once() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&config(backend.address, 3, "1s"));
    let mut bytes = with_admin(&config(backend.address, 4, "1s")).into_bytes();
    bytes.extend_from_slice(b"# caf\xe9\n");
    std::fs::write(proxy.path(), &bytes).expect("writes");
    eventually("it is refused", || proxy.metric("config_last_reload_successful", "") == 0.0);
    let told = proxy.sre("config")["last_reload"]["refused"][0]["message"].as_str().expect("told").to_owned();
    assert!(told.contains("is not text in UTF-8 from line") && told.contains("save it as UTF-8"), "{told}");
    pace(Duration::from_millis(1_500)); // it was refused four times a second
    assert_eq!(refused(&proxy), 1);
    std::fs::write(proxy.path(), with_admin(&config(backend.address, 5, "1s"))).expect("writes");
    eventually("the next one is in force", || {
        proxy.sre("circuit-breakers/backend")["failure_threshold"] == 5
    });
    assert_eq!(refused(&proxy), 1);
}

#[test]
fn half_a_file_is_not_applied_while_its_writer_has_it_open() {
    let backend = Upstream::start(status(200));
    let with_stripe = |failures| {
        format!(
            "{}[upstreams.stripe]\nendpoints = [\"127.0.0.1:1\"]\n",
            with_admin(&config(backend.address, failures, "1s"))
        )
    };
    let proxy = proxy(&with_stripe(3));
    proxy.post("circuit-breakers/stripe/open", r#"{"reason": "a test", "ttl": "10m"}"#);
    let text = with_stripe(7);
    let half = text.find("[upstreams.stripe]").expect("in the middle");
    let mut file = std::fs::File::create(proxy.path()).expect("opens");
    file.write_all(&text.as_bytes()[..half]).expect("writes");
    file.sync_all().expect("is there");
    pace(Duration::from_millis(1_200)); // longer than any silence that ends a save
    assert_eq!(proxy.sre("config")["generation"], 1, "what is there can run, and is half");
    file.write_all(&text.as_bytes()[half..]).expect("writes");
    drop(file);
    eventually("the whole of it is in force", || {
        proxy.sre("circuit-breakers/backend")["failure_threshold"] == 7
    });
    // What is in force is told a moment after it is.
    eventually("it is told", || proxy.sre("config")["generation"] != 1);
    assert_eq!(proxy.sre("config")["generation"], 2, "in one step");
    assert_eq!(proxy.breaker("stripe"), "open", "the operator's hold");
}

#[test]
fn what_an_upstream_held_is_there_when_it_is_back() {
    let backend = Upstream::start(status(200));
    let without = config(backend.address, 3, "1s");
    let with = format!("{without}[upstreams.stripe]\nendpoints = [\"127.0.0.1:1\"]\n");
    let proxy = proxy(&with);
    proxy.post("circuit-breakers/stripe/open", r#"{"reason": "a test", "ttl": "10m"}"#);
    assert_eq!(proxy.reload(&without).status, 200);
    assert_eq!(proxy.admin_get("/api/v2/sre/circuit-breakers/stripe").status, 404);
    assert_eq!(proxy.metric("circuit_breaker_state", "service=\"stripe\""), 0.0, "it is not shown");
    assert_eq!(proxy.reload(&with).status, 200);
    assert_eq!(proxy.breaker("stripe"), "open");
    assert_eq!(proxy.metric("circuit_breaker_state", "service=\"stripe\""), 1.0);
}

#[test]
fn a_secret_that_is_rotated_is_in_force_without_an_order() {
    let backend = Upstream::start(status(200));
    let secrets = tempfile::tempdir().expect("a directory");
    // As kubelet does it: a link that is swapped.
    let version = |name: &str, held: &str| {
        std::fs::create_dir(secrets.path().join(name)).expect("makes");
        std::fs::write(secrets.path().join(name).join("key"), held).expect("writes");
        std::os::unix::fs::symlink(name, secrets.path().join("..tmp")).expect("links");
        std::fs::rename(secrets.path().join("..tmp"), secrets.path().join("..data")).expect("swaps");
    };
    version("..1", "0123456789abcdef");
    std::os::unix::fs::symlink("..data/key", secrets.path().join("key")).expect("links");
    let proxy = proxy(&format!(
        "{}[notify.hook]\nkind = \"webhook\"\nurl = \"http://{}/\"\nsecret_file = {:?}\n",
        config(backend.address, 3, "1s"),
        backend.address,
        secrets.path().join("key")
    ));
    version("..2", "fedcba9876543210");
    let last = || proxy.sre("config")["last_reload"].clone();
    eventually("the rotation is seen", || {
        last()["applied"][0]["path"] == "notify.hook.secret_file (content)"
    });
    let generation = proxy.sre("config")["generation"].clone();
    assert_eq!(generation, 2);
    pace(Duration::from_millis(800)); // three looks
    assert_eq!(proxy.sre("config")["generation"], generation, "once");
}
