use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sqlx::Row as _;

use crate::support::proxy::{Proxy, proxy_in};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, strop};

/// What the proxy has said is on disk.
#[derive(Clone, Debug)]
enum Kept {
    Opened(String),
    Noted(String, String),
    Resolved(String),
}

/// An order; what came, if it is said to be on disk. `None`: the proxy is gone.
fn order(admin: SocketAddr, path: &str, body: &serde_json::Value) -> Option<Option<serde_json::Value>> {
    let body = body.to_string();
    let mut client = Client::try_to(admin)?;
    client.send(
        format!(
            "POST /api/v2/sre/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    );
    let came = client.response(false)?;
    if came.status == 429 {
        return Some(None); // there are a thousand already
    }
    assert_eq!(came.status, 200, "{path}: {}", came.text());
    let came = came.json();
    Some((came["stored"] == true).then_some(came))
}

/// Opens incidents, writes on them and ends most of them, until the proxy is gone.
fn operate(admin: SocketAddr, name: &str, kept: &Mutex<Vec<Kept>>) {
    let keep = |one: Kept| kept.lock().expect("whole").push(one);
    let work = || -> Option<()> {
        for n in 0.. {
            let text = format!("{name}-{n}");
            let wanted = serde_json::json!({ "title": text, "severity": "critical", "service": text });
            let Some(made) = order(admin, "test/incident", &wanted)? else { continue };
            let id = made["incident"]["id"].as_str().expect("an id").to_owned();
            keep(Kept::Opened(id.clone()));
            let note = serde_json::json!({ "actor": "ann", "text": text });
            if order(admin, &format!("incidents/{id}/note"), &note)?.is_some() {
                keep(Kept::Noted(id.clone(), text));
            }
            let end = serde_json::json!({ "actor": "ann", "force": true });
            if n % 4 != 0 && order(admin, &format!("incidents/{id}/resolve"), &end)?.is_some() {
                keep(Kept::Resolved(id));
            }
        }
        None
    };
    work();
}

fn check(proxy: &Proxy, kept: &[Kept]) {
    for one in kept {
        let (Kept::Opened(id) | Kept::Noted(id, _) | Kept::Resolved(id)) = one;
        let there = proxy.sre(&format!("incidents/{id}"));
        assert_eq!(there["id"], **id, "{one:?} was acknowledged: {there:#}");
        match one {
            Kept::Opened(_) => {}
            Kept::Noted(_, text) => {
                let entries = there["timeline"].as_array().expect("a list");
                assert!(entries.iter().any(|entry| entry["text"] == **text), "{one:?}: {there:#}");
            }
            Kept::Resolved(_) => assert_eq!(there["state"], "resolved", "{one:?}"),
        }
    }
}

/// The file itself, while nobody has it open.
fn whole(dir: &Path) {
    let config = dir.join("strop.toml");
    let walked = strop(&["audit", "verify", "--config", &config.display().to_string()], dir);
    assert!(walked.0 && walked.1.starts_with("whole: "), "{walked:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("strop.db"));
        let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("opens");
        let row = sqlx::query("PRAGMA integrity_check").fetch_one(&mut conn).await.expect("reads");
        assert_eq!(row.get::<String, _>(0), "ok");
        sqlx::Connection::close(conn).await.expect("closes");
    });
}

/// The next number of chance.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn wait_until(what: &str, at: Instant) {
    eventually(what, || Instant::now() >= at);
}

/// `STROP_KILLS` says how often; 10 without it.
#[test]
fn what_was_acknowledged_is_there_after_kill_9_at_random_moments() {
    let rounds: u32 = std::env::var("STROP_KILLS").ok().map_or(10, |text| text.parse().expect("a number"));
    let mut chance = u64::from(std::process::id()) ^ 0x5EED;
    println!("seed {chance}");
    let (backend, pager) = (Upstream::start(status(200)), Upstream::start(status(200)));
    let mut dir = tempfile::tempdir().expect("a directory");
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("writes");
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [notify.default]
            kind = "webhook"
            url = "http://{}/page"
            secret_file = {secret:?}
        "#,
        backend.address, pager.address
    );
    let (start, mut all, mut last) = (Instant::now(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut proxy = proxy_in(dir, &toml);
        check(&proxy, &last);
        let kept = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for writer in 0..3 {
                let (admin, kept) = (proxy.admin(), &kept);
                scope.spawn(move || operate(admin, &format!("r{round}-{writer}"), kept));
            }
            let enough = 1 + draw(&mut chance) as usize % 20;
            eventually("something is acknowledged", || kept.lock().expect("whole").len() >= enough);
            wait_until("a random moment", Instant::now() + Duration::from_micros(draw(&mut chance) % 30_000));
            proxy.signal("KILL");
        });
        dir = proxy.leave_behind();
        if round % 20 == 0 || round + 1 == rounds {
            whole(dir.path());
        }
        last = kept.into_inner().expect("whole");
        all.extend(last.clone());
    }
    let proxy = proxy_in(dir, &toml);
    check(&proxy, &all);
    let opened: Vec<&String> =
        all.iter().filter_map(|one| if let Kept::Opened(id) = one { Some(id) } else { None }).collect();
    eventually("somebody was called about each of them", || {
        let seen = pager.seen();
        let told = seen.iter().map(|seen| {
            let body: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
            body["incident_id"].as_str().unwrap_or_default().to_owned()
        });
        let told: HashSet<String> = told.collect();
        opened.iter().all(|id| told.contains(*id))
    });
    println!(
        "{} kills, {} acknowledged orders on {} incidents, all there; {:?}",
        rounds,
        all.len(),
        opened.len(),
        start.elapsed()
    );
}

/// Seconds of the service that somebody saw, and those of the last day that nobody did.
fn observed(proxy: &Proxy) -> Option<(u64, u64)> {
    let uptime = proxy.sre("uptime");
    let day = &uptime["subjects"].as_array()?.iter().find(|one| one["name"] == "service")?["windows"][0];
    let of = |name: &str| day[name].as_u64().expect("counted");
    let seen = of("up_seconds") + of("degraded_seconds") + of("down_seconds") + of("maintenance_seconds");
    Some((seen, of("unknown_seconds")))
}

#[test]
fn the_time_it_was_not_running_is_unknown_and_neither_up_nor_down() {
    let backend = Upstream::start(status(200));
    let toml = format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            health = {{ interval = "200ms" }}
        "#,
        backend.address
    );
    let first = Instant::now();
    let mut proxy = proxy_in(tempfile::tempdir().expect("a directory"), &toml);
    eventually("seconds are marked", || observed(&proxy).is_some_and(|(seen, _)| seen >= 13));
    let before = observed(&proxy).expect("marked").0;
    proxy.signal("KILL");
    let dir = proxy.leave_behind();
    let first = first.elapsed().as_secs();
    wait_until("it has been away", Instant::now() + Duration::from_secs(8));
    let second = Instant::now();
    let proxy = proxy_in(dir, &toml);
    // A checkpoint is written each ten seconds: what was seen after the last one is unknown too.
    eventually("what was seen is taken over", || {
        observed(&proxy).is_some_and(|(seen, _)| seen + 11 >= before)
    });
    eventually("and goes on", || second.elapsed() > Duration::from_secs(3));
    let (seen, unknown) = observed(&proxy).expect("marked");
    let running = first + second.elapsed().as_secs();
    assert!(
        seen <= running + 3,
        "{seen} s were seen in {running} s of running: the 8 s away are not among them"
    );
    assert!(unknown + seen >= 86_399, "{unknown} s unknown, {seen} s seen: every second is one or the other");
    let coverage = proxy.sre("uptime")["subjects"][0]["windows"][0]["coverage"].as_f64().expect("known");
    assert!((coverage - seen as f64 / 86_400.0).abs() < 0.001, "{coverage}");
}
