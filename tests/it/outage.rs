//! A backend dies under load and comes back: how soon is it told, and is the interval that is told the true one?
//!
//! `STROP_OUTAGES=20 cargo test --test it outage:: -- --nocapture` does it twenty times with the times that Strop has where nothing
//! is written, and prints the medians.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::proxy::{Proxy, ingress_to};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace, raw, within};

/// Ends fast, so that a test need not wait for minutes of good time.
const BRIEF: &str = "health = { path = \"/up\", interval = \"1s\", suspect_interval = \"1s\" }
breaker = { open_for = \"1s\" }
[incidents]
clear_after = \"3s\"
[incidents.down]
confirm = \"2s\"
";

/// The window of the error rate has to be clean first.
const LONG: Duration = Duration::from_secs(150);

/// Most outages at the same time.
const SIDE_BY_SIDE: usize = 5;

/// What one outage looked like from outside.
#[derive(Debug)]
struct Outage {
    suspected: Duration,
    told: Duration,
    /// Somebody is called.
    called: Duration,
    /// From the kill to the first answer that a client got again.
    interval: Duration,
    /// The same by the incident's own clocks, seconds.
    recovered: f64,
}

/// Clients that ask all the time; when each good answer came.
struct Load {
    stop: Arc<AtomicBool>,
    good: Arc<Mutex<Vec<Instant>>>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn on(proxy: &Proxy) -> Self {
        let (stop, good) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let address = proxy.ingress();
        let client = || {
            let (stop, good) = (Arc::clone(&stop), Arc::clone(&good));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    pace(Duration::from_millis(2));
                    if raw::get(address, "/").status == 200 {
                        good.lock().expect("a lock").push(Instant::now());
                    }
                }
            })
        };
        let clients = vec![client(), client()];
        Self { stop, good, clients }
    }

    fn first_good_after(&self, when: Instant) -> Option<Instant> {
        self.good.lock().expect("a lock").iter().copied().filter(|at| *at > when).min()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.drain(..).for_each(|client| client.join().expect("a client ends"));
    }
}

fn when(what: &str, holds: impl FnMut() -> bool) -> Instant {
    eventually(what, holds);
    Instant::now()
}

fn outage(times: &str) -> Outage {
    let backend = Upstream::start(status(200));
    let (address, pager) = (backend.address, Upstream::start(status(200)));
    let secrets = tempfile::tempdir().expect("a directory");
    let secret = secrets.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").expect("writes");
    let hook = format!(
        r#"
            [notify.default]
            kind = "webhook"
            url = "http://{}/page"
            secret_file = {secret:?}
        "#,
        pager.address
    );
    let proxy = ingress_to(address, &format!("{times}{hook}"));
    let load = Load::on(&proxy);
    let start = Instant::now();
    eventually("it answers", || load.first_good_after(start).is_some());
    backend.kill();
    let killed = Instant::now();
    let of_backend = || -> Vec<serde_json::Value> {
        let all = proxy.sre("incidents?all=true")["incidents"].as_array().expect("a list").clone();
        all.into_iter().filter(|one| one["service"] == "backend").collect()
    };
    let suspected = when("it is suspected", || !of_backend().is_empty());
    // The stakeholders hear of it at once; whoever is called, by the ladder of its severity.
    let told = when("the webhook hears of it", || pager.hits() > 0);
    let kinds = || -> Vec<String> {
        let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).expect("JSON");
        pager.seen().iter().map(|seen| read(&seen.body)["kind"].to_string()).collect()
    };
    let is_called = || kinds().iter().any(|kind| kind == "\"trigger\"");
    within(LONG, "somebody is called", is_called);
    let called = Instant::now();
    assert!(of_backend().iter().any(|one| one["state"] == "open"), "{:#?}", of_backend());
    let back = Upstream::on(address, status(200));
    let restarted = Instant::now();
    eventually("it answers again", || load.first_good_after(restarted).is_some());
    let answered = load.first_good_after(restarted).expect("just seen");
    let resolved = || of_backend().iter().any(|one| one["state"] == "resolved");
    within(LONG, "it is resolved by itself", resolved);
    let all = proxy.sre("incidents?all=true");
    // A machine that is busy may hold the store up for seconds: a suspicion, which calls nobody.
    let held_up = |one: &&serde_json::Value| one["service"] == "store" && one["confirmed_at"].is_null();
    let listed = all["incidents"].as_array().expect("a list");
    assert_eq!(listed.iter().filter(|one| !held_up(one)).count(), 1, "one incident, not many: {all:#}");
    let id = of_backend()[0]["id"].as_str().expect("an id").to_owned();
    let one = &proxy.sre(&format!("incidents/{id}"));
    assert_eq!(one["ending"], "recovered", "{one:#}");
    let kinds = kinds();
    assert_eq!(kinds.iter().filter(|kind| *kind == "\"trigger\"").count(), calls(one), "{kinds:?} {one:#}");
    drop((load, back));
    Outage {
        suspected: suspected - killed,
        told: told - killed,
        called: called - killed,
        interval: answered - killed,
        recovered: one["seconds_to_recover"].as_f64().expect("told"),
    }
}

/// How many people its timeline says were called.
fn calls(incident: &serde_json::Value) -> usize {
    let said = incident["timeline"].as_array().expect("a list");
    said.iter().filter(|entry| entry["kind"] == "page").count()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures, for whoever asks with --nocapture")]
fn a_backend_that_dies_under_load_is_told_soon_once_and_for_as_long_as_it_was_dead() {
    let runs = std::env::var("STROP_OUTAGES").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1_usize);
    let times = if runs > 1 { "" } else { BRIEF };
    let all: Vec<Outage> = (0..runs)
        .step_by(SIDE_BY_SIDE)
        .flat_map(|first| {
            let outages =
                (first..runs.min(first + SIDE_BY_SIDE)).map(|_| std::thread::spawn(move || outage(times)));
            let outages: Vec<_> = outages.collect();
            outages.into_iter().map(|outage| outage.join().expect("an outage as it should be"))
        })
        .collect();
    let of = |what: fn(&Outage) -> f64| all.iter().map(what).collect::<Vec<f64>>();
    let (suspected, told) = (of(|one| one.suspected.as_secs_f64()), of(|one| one.told.as_secs_f64()));
    let called = of(|one| one.called.as_secs_f64());
    let off = of(|one| (one.interval.as_secs_f64() - one.recovered).abs());
    println!(
        "{runs} outages: suspected after {:.2} s, told after {:.2} s, called after {:.2} s (medians); the interval was off by at most {:.2} s",
        median(suspected.clone()),
        median(told.clone()),
        median(called.clone()),
        off.iter().copied().fold(0.0, f64::max),
    );
    // The machine may be busy with other tests; the figures are for the twenty.
    let soon = median(suspected) < 10.0 && median(told) < 15.0 && median(called) < 45.0;
    assert!(soon && off.iter().all(|off| *off < 5.0), "{all:#?}");
}
