//! What a fleet costs its PostgreSQL at rest: the control side of many members in one process, no traffic.
//!
//! `cargo test --test store crowd:: -- --ignored --nocapture` measures 20, 50, 100 and 200 members (`STROP_CROWD=5,20` others), each
//! for a minute (`STROP_CROWD_SECONDS`), by way of a PgBouncer with `STROP_CROWD_POOLER=1`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strop::control::{self, Running};
use strop::reliability::fleet::Duty;
use strop::runtime::drain::{self, Stop};
use strop::runtime::{clock, tasks::Tasks};
use strop::store::DatabaseState;
use strop::telemetry::Telemetry;
use strop::telemetry::access::AccessLog;
use strop::upstream::registry::Registry;

use super::pooler::Pooler;
use super::postgres::Cluster;
use super::support::{PATIENCE, run};

/// Milliseconds of the kernel's unit for processor time (USER_HZ, 100 a second in all of Linux' interfaces).
const TICK: f64 = 10.0;

/// One sidecar without its data path.
struct Member {
    running: Running,
    stop: Stop,
    _tasks: Tasks,
    _registry: Arc<Registry>,
}

impl Member {
    async fn start(name: &str, url: &str) -> Self {
        let text = format!(
            r#"
                [process]
                name = "{name}"
                [ingress]
                listen = "127.0.0.1:0"
                [upstreams.backend]
                endpoints = ["127.0.0.1:9"]
                [store]
                url = "{url}"
                [incidents.resources]
                samples = 100
            "#
        );
        let config = strop::config::load(&text, "a test", &[]).map_err(|told| told.to_string());
        let config = config.expect("runs");
        let telemetry = Telemetry::new(1, AccessLog::off(), clock::now());
        let (registry, _) = Registry::new(Arc::new(config.clone()), Arc::clone(&telemetry), 1);
        let (stop, drain) = drain::channel();
        let tasks = Tasks::default();
        let running = control::start(&config, &registry, &telemetry, &tasks, &drain).await.expect("starts");
        Self { running, stop, _tasks: tasks, _registry: registry }
    }

    /// Members that it counts.
    fn count(&self) -> u64 {
        self.running.handle.snapshot().fleet.as_ref().map_or(0, |fleet| fleet.count)
    }

    /// Incidents that are open, by what they are about.
    fn open(&self) -> Vec<String> {
        let snapshot = self.running.handle.snapshot();
        let live = snapshot.incidents.iter().filter(|one| one.state.is_live());
        live.map(|one| format!("{} ({})", one.title, one.state.label())).collect()
    }

    fn duty(&self) -> Option<Duty> {
        self.running.handle.snapshot().fleet.as_ref().map(|fleet| fleet.duty)
    }
}

/// A fleet, and the server it is on.
struct Crowd {
    members: Vec<Member>,
    database: String,
}

impl Crowd {
    async fn start(server: &Cluster, pooler: Option<&Pooler>, size: usize) -> Self {
        let url = server.empty();
        let database =
            url.rsplit_once('?').and_then(|(base, _)| base.rsplit_once('/')).expect("a name").1.to_owned();
        let url = pooler.map_or_else(|| url.clone(), |pooler| pooler.through(&url));
        let mut members = Vec::new();
        for n in 0..size {
            members.push(Member::start(&format!("member-{n}"), &url).await);
            // One machine stands for as many as there are members: their starts share it.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let crowd = Self { members, database };
        crowd.until_one_holds().await;
        crowd
    }

    async fn until_one_holds(&self) {
        let start = Instant::now();
        loop {
            let count = |duty| self.members.iter().filter(|one| one.duty() == Some(duty)).count();
            if (count(Duty::Holds), count(Duty::Follows)) == (1, self.members.len() - 1) {
                return;
            }
            assert!(start.elapsed() < PATIENCE * 4, "{} of {} hold", count(Duty::Holds), self.members.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn end(self) {
        for member in &self.members {
            member.stop.request();
        }
        for mut member in self.members {
            let _ = tokio::time::timeout(PATIENCE, member.stop.wait()).await;
            if let Some(store) = &member.running.store {
                store.close(PATIENCE).await;
            }
        }
    }
}

/// What was measured of a fleet at rest.
#[derive(Debug)]
struct Cost {
    members: usize,
    connections: f64,
    most: usize,
    /// Transactions a second, in all.
    transactions: f64,
    /// Milliseconds of the server's processor a second.
    server: f64,
    /// Of this process, which is all the members.
    own: f64,
}

impl Cost {
    async fn of(server: &Cluster, crowd: &Crowd, rest: Duration, over: Duration) -> Self {
        tokio::time::sleep(rest).await;
        let start = (Instant::now(), transactions(server, &crowd.database), processor_of(server), own());
        let (mut looks, mut sum, mut most) = (0.0, 0, 0);
        while start.0.elapsed() < over {
            // Whoever asks costs the server something, too.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let now = connections(server, &crowd.database);
            (looks, sum, most) = (looks + 1.0, sum + now, most.max(now));
        }
        let seconds = start.0.elapsed().as_secs_f64();
        Self {
            members: crowd.members.len(),
            connections: sum as f64 / looks,
            most,
            transactions: (transactions(server, &crowd.database) - start.1) as f64 / seconds,
            server: (processor_of(server) - start.2) / seconds,
            own: (own() - start.3) / seconds,
        }
    }

    fn told(&self) -> String {
        let each = |all: f64| all / self.members as f64;
        format!(
            "{:>4} members: {:>6.1} connections ({} at most), {:>6.1} transactions/s ({:.2} a member), server {:>6.1} ms/s \
             ({:.2} a member), members {:>6.1} ms/s ({:.2} a member)",
            self.members,
            self.connections,
            self.most,
            self.transactions,
            each(self.transactions),
            self.server,
            each(self.server),
            self.own,
            each(self.own)
        )
    }
}

fn number(server: &Cluster, sql: &str) -> u64 {
    server.say(sql).and_then(|said| said.parse().ok()).unwrap_or_else(|| panic!("no number: {sql}"))
}

fn transactions(server: &Cluster, database: &str) -> u64 {
    let sql =
        format!("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{database}'");
    number(server, &sql)
}

fn connections(server: &Cluster, database: &str) -> usize {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND backend_type = 'client backend'"
    );
    usize::try_from(number(server, &sql)).expect("a few")
}

/// Milliseconds that a process and its ended children have had.
fn processor(stat: &Path) -> Option<(u32, f64)> {
    let text = std::fs::read_to_string(stat).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields[11..15].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Some((fields[1].parse().ok()?, ticks * TICK))
}

/// The server with all its sessions.
fn processor_of(server: &Cluster) -> f64 {
    let own = server.process();
    let all = std::fs::read_dir("/proc").expect("Linux").flatten();
    let stats =
        all.filter_map(|entry| processor(&entry.path().join("stat")).map(|stat| (entry.file_name(), stat)));
    let of_it = stats.filter(|(name, (parent, _))| *parent == own || *name == *own.to_string());
    of_it.map(|(_, (_, millis))| millis).sum()
}

fn own() -> f64 {
    processor(Path::new("/proc/self/stat")).map_or(0.0, |(_, millis)| millis)
}

/// Until it is so, or for too long.
async fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

/// Ten seconds in which it costs no more than that: a machine that is busy with other tests is something the matter, and then a
/// fleet is not at rest.
async fn at_rest(server: &Cluster, crowd: &Crowd, holds: impl Fn(&Cost) -> bool) {
    let mut told = Vec::new();
    for _ in 0..6 {
        let cost = Cost::of(server, crowd, Duration::ZERO, Duration::from_secs(10)).await;
        if holds(&cost) {
            return;
        }
        told.push(cost.told());
    }
    panic!("never at rest: {told:#?}");
}

#[test]
fn a_member_at_rest_costs_one_connection_and_no_more_than_two_transactions_a_second() {
    let server = Cluster::holding(100);
    run(async {
        let crowd = Crowd::start(&server, None, 6).await;
        until("what was read at the start is done", || connections(&server, &crowd.database) == 6).await;
        at_rest(&server, &crowd, |cost| cost.most == 6 && cost.transactions <= 12.0).await;
        // Somebody looks something up: that has a connection of its own, for as long as it lasts.
        let reader = crowd.members[0].running.handle.records().reader().expect("on");
        let many = (0..8).map(|n| {
            let reader = reader.clone();
            tokio::spawn(async move { reader.lines(&format!("i{n}")).await.map(|rows| rows.len()) })
        });
        for read in many.collect::<Vec<_>>() {
            assert_eq!(read.await.expect("ended"), Ok(0));
        }
        assert_eq!(connections(&server, &crowd.database), 7);
        until("it is closed again", || connections(&server, &crowd.database) == 6).await;
        crowd.end().await;
    });
}

#[test]
fn through_a_pooler_a_fleet_agrees_and_holds_no_session_each() {
    let server = Cluster::holding(100);
    let pooler = Pooler::before(&server, 3);
    run(async {
        let crowd = Crowd::start(&server, Some(&pooler), 8).await;
        at_rest(&server, &crowd, |cost| cost.most <= 3 && cost.transactions <= 16.0).await;
        crowd.until_one_holds().await;
        crowd.end().await;
    });
}

#[test]
fn a_dead_holder_is_followed_within_six_seconds() {
    let server = Cluster::holding(100);
    let url = server.empty();
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let other = other.expect("a runtime");
    run(async {
        let first = url.clone();
        let first = other.spawn(async move { Member::start("first", &first).await });
        let first = first.await.expect("started");
        until("the first one has the duty", || first.duty() == Some(Duty::Holds)).await;
        let mut members = Vec::new();
        for n in 0..10 {
            members.push(Member::start(&format!("member-{n}"), &url).await);
        }
        until("the others follow", || members.iter().all(|one| one.duty() == Some(Duty::Follows))).await;
        until("all are counted", || members.iter().all(|one| one.count() == 11)).await;
        // All its tasks end where they are: it gives nothing back.
        other.shutdown_background();
        let holds = || members.iter().filter(|one| one.duty() == Some(Duty::Holds)).count();
        let took = until("another one has it", || holds() == 1).await;
        // Six seconds, and what is shown is a second old; the rest is for a machine that is busy with other tests.
        assert!(took < Duration::from_secs(20), "{took:?}");
        until("the dead one is no longer counted", || members.iter().all(|one| one.count() == 10)).await;
        assert_eq!(holds(), 1);
        Crowd { members, database: String::new() }.end().await;
    });
}

#[test]
fn a_fleet_that_lost_its_server_does_not_come_back_in_one_moment() {
    let server = Cluster::holding(100);
    run(async {
        let crowd = Crowd::start(&server, None, 30).await;
        server.stop();
        let state = |one: &Member| one.running.store.as_ref().map(|store| store.status().state);
        until("all know it", || {
            crowd.members.iter().all(|one| state(one) == Some(DatabaseState::Unreachable))
        })
        .await;
        // An outage of some seconds: the first attempts are in vain.
        tokio::time::sleep(Duration::from_secs(5)).await;
        server.restart();
        until("all are back", || crowd.members.iter().all(|one| state(one) == Some(DatabaseState::Ok))).await;
        let sql = format!(
            "SELECT CAST(EXTRACT(EPOCH FROM backend_start) * 1000 AS BIGINT) FROM pg_stat_activity \
             WHERE datname = '{}' AND query NOT LIKE '%ping%' ORDER BY 1",
            crowd.database
        );
        let said = server.say(&sql).expect("says");
        let came: Vec<i64> = said.lines().map(|line| line.parse().expect("a number")).collect();
        assert!(came.len() >= 30, "{came:?}");
        let within = |from: i64| came.iter().filter(|at| (from..from + 250).contains(*at)).count();
        let most = came.iter().map(|from| within(*from)).max().unwrap_or_default();
        assert!(most <= 15, "{most} of {} within a quarter of a second: {came:?}", came.len());
        crowd.until_one_holds().await;
        crowd.end().await;
    });
}

#[test]
#[ignore = "five minutes; prints figures for the README"]
fn figures_of_a_fleet_at_rest() {
    let sizes = std::env::var("STROP_CROWD").unwrap_or_else(|_| "20,50,100,200".to_owned());
    let seconds = std::env::var("STROP_CROWD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let server = Cluster::holding(800);
    let pooler = std::env::var_os("STROP_CROWD_POOLER").map(|_| Pooler::before(&server, 20));
    for size in sizes.split(',').map(|size| size.trim().parse().expect("a number")) {
        run(async {
            let crowd = Crowd::start(&server, pooler.as_ref(), size).await;
            let cost = Cost::of(&server, &crowd, Duration::from_secs(20), Duration::from_secs(seconds)).await;
            // With something the matter it is not at rest.
            println!("{}; open: {:?}", cost.told(), crowd.members[0].open());
            crowd.end().await;
        });
    }
}
