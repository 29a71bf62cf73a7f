use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::postgres::Cluster;
use crate::support::proxy::{Proxy, member};
use crate::support::upstream::{Upstream, status};
use crate::support::{eventually, pace, within};

const FAST: &str = "health = { path = \"/up\", interval = \"200ms\", suspect_interval = \"200ms\" }\n";

/// Three members on one database, one upstream behind all of them, one receiver of calls.
struct Fleet {
    database: String,
    pager: Upstream,
    secret: tempfile::NamedTempFile,
    members: Vec<Proxy>,
    upstream: Option<Upstream>,
    server: Cluster,
}

impl Fleet {
    fn start() -> Self {
        let server = Cluster::start();
        let secret = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(secret.path(), "0123456789abcdef0123456789abcdef").expect("writes");
        let (pager, upstream) = (Upstream::start(status(200)), Some(Upstream::start(status(200))));
        let database = server.empty();
        let mut fleet = Self { database, pager, secret, members: Vec::new(), upstream, server };
        for name in ["one", "two", "three"] {
            let toml = fleet.config(fleet.upstream.as_ref().expect("up"));
            fleet.members.push(member(name, &toml));
        }
        eventually("all see all", || {
            fleet
                .members
                .iter()
                .all(|one| of_fleet(one)["members"].as_array().is_some_and(|all| all.len() == 3))
        });
        eventually("one has the duty, and all know who", || {
            let holder = fleet.members.iter().position(|one| duty(one) == "holds");
            holder.is_some()
                && fleet.members.iter().all(|one| of_fleet(one)["holder"] == NAMES[holder.unwrap_or(0)])
        });
        assert_eq!(fleet.members.iter().filter(|one| duty(one) == "holds").count(), 1);
        fleet
    }

    fn config(&self, upstream: &Upstream) -> String {
        format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"

                [upstreams.backend]
                endpoints = ["{}"]
                {FAST}
                [store]
                url = "{}"

                [incidents]
                clear_after = "5s"

                [incidents.down]
                confirm = "5s"

                [plans.look]
                steps = [{{ action = "connection_reset" }}]
                verify_for = "5m"

                [notify.default]
                kind = "webhook"
                url = "http://{}/page"
                secret_file = {:?}
            "#,
            upstream.address,
            self.database,
            self.pager.address,
            self.secret.path()
        )
    }

    fn holder(&self) -> usize {
        self.members.iter().position(|one| duty(one) == "holds").expect("one has the duty")
    }

    /// What the receiver got of this kind: by idempotency key, who sent it and how often.
    fn told(&self, kind: &str) -> BTreeMap<String, (Value, usize)> {
        let mut told: BTreeMap<String, (Value, usize)> = BTreeMap::new();
        for seen in self.pager.seen() {
            let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
            if body["kind"] == kind {
                let key = seen.fields("idempotency-key")[0].to_owned();
                told.entry(key).or_insert_with(|| (body, 0)).1 += 1;
            }
        }
        told
    }

    fn called_about(&self, title: &str) -> bool {
        self.told("trigger").values().any(|(body, _)| body["title"] == title)
    }
}

const NAMES: [&str; 3] = ["one", "two", "three"];

fn of_fleet(proxy: &Proxy) -> Value {
    proxy.sre("health/comprehensive")["fleet"].clone()
}

fn duty(proxy: &Proxy) -> String {
    of_fleet(proxy)["duty"].as_str().unwrap_or_default().to_owned()
}

/// Incidents about the backend, and how they are: (id, state).
fn listed(proxy: &Proxy) -> Vec<(String, String)> {
    let all = proxy.sre("incidents")["incidents"].as_array().cloned().unwrap_or_default();
    let about = all.iter().filter(|one| one["service"] == "backend");
    about.map(|one| (text(&one["id"]), text(&one["state"]))).collect()
}

/// Its checks find the backend well.
fn healthy(proxy: &Proxy) -> bool {
    let all = proxy.sre("health/comprehensive")["dependencies"].clone();
    all.as_array()
        .is_some_and(|all| all.iter().any(|one| one["name"] == "backend" && one["endpoints_healthy"] == 1))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn opened(proxy: &Proxy, title: &str) -> String {
    let made = proxy.post("test/incident", &format!("{{\"title\": {title:?}, \"severity\": \"critical\"}}"));
    assert_eq!(made.status, 200, "{}", made.text());
    text(&made.json()["incident"]["id"])
}

#[test]
fn a_shared_upstream_that_dies_is_one_incident_and_one_sender_calls_and_ends_it() {
    let mut fleet = Fleet::start();
    for one in &fleet.members {
        eventually("it is known to be up", || one.get("/").status == 200);
    }
    drop(fleet.upstream.take());
    // The checks alone find it: after failed requests, the rates of the last minutes would hold it open for longer.
    eventually("all list the same one, and it is open", || {
        let lists: Vec<_> = fleet.members.iter().map(listed).collect();
        lists[0].len() == 1 && lists[0][0].1 == "open" && lists.iter().all(|list| *list == lists[0])
    });
    let id = listed(&fleet.members[0]).remove(0).0;
    let holder = fleet.holder();
    eventually("somebody is called", || !fleet.told("trigger").is_empty());
    // One that recovers first: its path leads to a living upstream.
    let first = if holder == 0 { 1 } else { 0 };
    let living = Upstream::start(status(200));
    for recovered in [holder, first] {
        let reloaded = fleet.members[recovered].reload(&fleet.config(&living));
        assert_eq!(reloaded.status, 200, "{}", reloaded.text());
        eventually("its own path is well", || healthy(&fleet.members[recovered]));
    }
    let start = Instant::now();
    eventually("it stays open while one still sees it", || {
        for one in &fleet.members {
            assert_eq!(listed(one), [(id.clone(), "open".to_owned())]);
        }
        start.elapsed() > Duration::from_secs(12)
    });
    let last = 3 - holder - first;
    fleet.members[last].reload(&fleet.config(&living));
    eventually("it is over, everywhere", || {
        let shown = |one: &Proxy| one.sre(&format!("incidents/{id}"));
        fleet.members.iter().all(|one| listed(one).is_empty() && shown(one)["state"] == "resolved")
    });
    eventually("they are told that it is over", || !fleet.told("resolve").is_empty());
    let calls = fleet.told("trigger");
    assert!(calls.values().all(|(body, times)| body["incident_id"] == *id && *times == 1), "{calls:#?}");
    assert_eq!(calls.len(), 1, "one message to both of the guide's matrix: {calls:#?}");
    let ends = fleet.told("resolve");
    assert!(ends.values().all(|(body, times)| body["incident_id"] == *id && *times == 1), "{ends:#?}");
    assert_eq!(ends.len(), 1, "{ends:#?}");
}

#[test]
fn the_duty_moves_when_its_holder_is_killed_and_what_it_left_is_taken_over() {
    let mut fleet = Fleet::start();
    let holder = fleet.holder();
    fleet.pager.answer(status(500));
    let before = opened(&fleet.members[holder], "before the kill");
    eventually("a call is tried", || fleet.called_about("before the kill"));
    let mut killed = fleet.members.remove(holder);
    killed.signal("KILL");
    let start = Instant::now();
    fleet.pager.answer(status(200));
    drop(killed.leave_behind());
    opened(&fleet.members[0], "after the kill");
    within(Duration::from_secs(10), "another one calls", || fleet.called_about("after the kill"));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(fleet.members.iter().filter(|one| duty(one) == "holds").count(), 1);
    eventually("what the killed one did not deliver arrives", || {
        let calls = fleet.told("trigger");
        let of_it = calls.values().filter(|(body, _)| body["incident_id"] == *before);
        let times: Vec<usize> = of_it.map(|(_, times)| *times).collect();
        // It was tried before the kill, and is sent again.
        times.len() == 1 && times.iter().sum::<usize>() >= 2
    });
    for one in &fleet.members {
        let noted =
            one.post(&format!("incidents/{before}/note"), r#"{"actor": "ann", "text": "still here"}"#);
        assert_eq!(noted.status, 200, "{}", noted.text());
    }
    let holder = fleet.holder();
    assert_eq!(fleet.members[holder].metric("strop_fleet_duty", ""), 1.0);
    assert_eq!(fleet.members[1 - holder].metric("strop_fleet_duty", ""), 0.0);
    // A holder that leaves in order hands over at once.
    assert_eq!(fleet.members.remove(holder).stop(), Some(0));
    within(Duration::from_secs(4), "the last one has the duty", || duty(&fleet.members[0]) == "holds");
}

/// While its holder runs it, a run is nobody else's, whoever starts; with the duty it is over, and known to whoever has the duty now.
#[test]
fn what_the_holder_recovers_is_left_alone_until_the_duty_moves() {
    let mut fleet = Fleet::start();
    let runs = |one: &Proxy| one.sre("recovery")["runs"].as_array().expect("a list").clone();
    let holder = fleet.holder();
    let order = r#"{"trigger_condition": "look", "context": {"service": "backend"}}"#;
    let made = fleet.members[holder].post("recovery/trigger", order);
    assert_eq!(made.status, 200, "{}", made.text());
    eventually("it has acted", || runs(&fleet.members[holder])[0]["steps"][0]["result"] == "done");
    let id = runs(&fleet.members[holder])[0]["id"].clone();
    let toml = fleet.config(fleet.upstream.as_ref().expect("up"));
    fleet.members.push(member("four", &toml));
    eventually("another one has come and looked", || of_fleet(&fleet.members[3])["holder"] == NAMES[holder]);
    pace(Duration::from_secs(2));
    let others = fleet.members.iter().enumerate().filter(|(at, _)| *at != holder);
    assert!(others.map(|(_, one)| runs(one)).all(|runs| runs.is_empty()), "it is not theirs");
    assert!(runs(&fleet.members[holder])[0]["outcome"].is_null(), "it goes on");
    let mut killed = fleet.members.remove(holder);
    killed.signal("KILL");
    drop(killed.leave_behind());
    let next = || fleet.members.iter().find(|one| duty(one) == "holds");
    eventually("another one has the duty", || next().is_some());
    let left = runs(next().expect("just seen"));
    assert_eq!((&left[0]["id"], &left[0]["outcome"]), (&id, &"withdrawn".into()), "{left:#?}");
}

#[test]
fn orders_to_any_member_take_effect_in_the_fleet_and_none_is_lost() {
    let fleet = Fleet::start();
    let id = opened(&fleet.members[0], "All is lost");
    eventually("all list it", || fleet.members.iter().all(|one| live(one) == ["All is lost"]));
    // All at once, so that they cross.
    std::thread::scope(|scope| {
        for (n, one) in fleet.members.iter().enumerate() {
            let id = &id;
            scope.spawn(move || {
                for round in 0..10 {
                    let body = format!("{{\"actor\": \"p{n}\", \"text\": \"note {n}-{round}\"}}");
                    let noted = one.post(&format!("incidents/{id}/note"), &body);
                    assert_eq!(noted.status, 200, "{}", noted.text());
                    assert_eq!(noted.json()["stored"], true, "{}", noted.text());
                }
            });
        }
    });
    assert_eq!(fleet.members[1].post(&format!("incidents/{id}/ack"), r#"{"actor": "ann"}"#).status, 200);
    eventually("all know everything", || {
        fleet.members.iter().all(|one| {
            let shown = one.sre(&format!("incidents/{id}"));
            let timeline = shown["timeline"].to_string();
            shown["acknowledged_by"] == "ann"
                && (0..3).all(|n| (0..10).all(|round| timeline.contains(&format!("note {n}-{round}"))))
        })
    });
    let resolved =
        fleet.members[2].post(&format!("incidents/{id}/resolve"), r#"{"actor": "bo", "reason": "a test"}"#);
    assert_eq!(resolved.status, 200, "{}", resolved.text());
    eventually("it is over everywhere", || {
        fleet.members.iter().all(|one| one.sre(&format!("incidents/{id}"))["state"] == "resolved")
    });
    eventually("they are told once", || !fleet.told("resolve").is_empty());
}

#[test]
fn without_postgresql_requests_pass_and_all_call_and_later_they_agree_again() {
    let mut fleet = Fleet::start();
    fleet.server.stop();
    let start = Instant::now();
    let titles = ["of one", "of two", "of three"];
    for (one, title) in fleet.members.iter().zip(titles) {
        opened(one, title);
    }
    let mut requests = 0;
    eventually("each calls about its own", || {
        for one in &fleet.members {
            assert_eq!(one.get("/").status, 200);
            requests += 1;
        }
        titles.iter().all(|title| fleet.called_about(title))
    });
    assert!(requests > 0 && start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // One that starts meanwhile serves at once.
    let start = Instant::now();
    let toml = fleet.config(fleet.upstream.as_ref().expect("up"));
    fleet.members.push(member("four", &toml));
    assert_eq!(fleet.members[3].get("/").status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(fleet.members[3].sre("health/comprehensive")["store"]["state"], "unreachable");
    fleet.server.restart();
    eventually("they agree on who calls", || {
        let duties: Vec<String> = fleet.members.iter().map(duty).collect();
        duties.iter().filter(|duty| *duty == "holds").count() == 1
            && duties.iter().filter(|duty| *duty == "follows").count() == 3
    });
    eventually("and on what is the matter", || {
        let lists: Vec<Vec<String>> = fleet.members.iter().map(live).collect();
        lists
            .iter()
            .all(|list| *list == lists[0] && titles.iter().all(|title| list.iter().any(|one| one == title)))
    });
}

/// Titles of all live incidents.
fn live(proxy: &Proxy) -> Vec<String> {
    let all = proxy.sre("incidents")["incidents"].as_array().cloned().unwrap_or_default();
    let over = ["resolved", "cleared", "reviewed"];
    let live = all.iter().filter(|one| !over.contains(&text(&one["state"]).as_str()));
    let mut titles: Vec<String> = live.map(|one| text(&one["title"])).collect();
    titles.sort();
    titles
}
