//! What several sidecars on one database need of it; SQLite does the same.

use std::time::Duration;

use strop::config::StoreAt;
use strop::runtime::tasks::Tasks;
use strop::store::rows::{
    IncidentRow, IncidentVersion, KnownChanges, LedgerMinute, Presence, SilenceRow, SyncReply, SyncRequest,
    Write,
};
use strop::store::{Store, StoreConfig};

use super::pooler::Pooler;
use super::postgres::Cluster;
use super::support::{Open, audit, entry, incident, open, run};

const TERM: Duration = Duration::from_secs(5);

fn beat(member: &str, sees: &str, loud: i64) -> SyncRequest {
    SyncRequest {
        presence: Presence { member: member.to_owned(), boot: format!("b-{member}"), sees: sees.to_owned() },
        loud,
        lease: "duty".to_owned(),
        holder: format!("{member}/b-{member}"),
        token: None,
        term: TERM,
        word: format!("\"said by {member}\""),
        said: 1,
        heard: None,
        known: KnownChanges { incidents: i64::MAX, silences: i64::MAX },
        fresh: Duration::from_secs(10),
        roster: 50,
    }
}

fn names(pulse: &SyncReply) -> Vec<(&str, i64)> {
    assert!(pulse.roster.iter().all(|one| (0..10_000).contains(&one.age)), "{pulse:?}");
    pulse.roster.iter().map(|one| (one.member.as_str(), one.loud)).collect()
}

#[test]
fn members_see_each_other_until_they_leave() {
    let (server, base) = on_a_server();
    run(async {
        let (one, two) = (ready(&base).await, ready(&base).await);
        let first = one.store.beat(beat("m1", "[1]", 1)).await.expect("beats");
        let lease = first.lease.clone().expect("nobody has it");
        assert_eq!((first.holder, first.members), (None, Some(0)), "of before this beat");
        let second = two.store.beat(beat("m2", "[]", 0)).await.expect("beats");
        let held = second.holder.expect("held");
        assert_eq!((held.holder.as_str(), held.word.as_deref()), ("m1/b-m1", Some("\"said by m1\"")));
        assert!(held.left > 0 && held.left <= 5_000, "{held:?}");
        assert_eq!((second.lease, second.members, second.loud), (None, None, vec![]), "for the holder alone");
        let mut again = beat("m1", "[1,2]", 2);
        again.token = Some(lease.token);
        let again = one.store.beat(again).await.expect("beats");
        assert_eq!(names(&again), [("m1", 1), ("m2", 0)]);
        assert_eq!(again.members, Some(2));
        let words: Vec<&str> = again.loud.iter().map(|one| one.presence.sees.as_str()).collect();
        assert_eq!(words, ["[1]"], "whoever sees nothing is not read");
        assert_eq!(again.lease.map(|lease| lease.token), Some(lease.token), "renewed, not taken again");
        let known = SyncRequest { heard: Some(1), ..beat("m2", "[]", 0) };
        let held = two.store.beat(known).await.expect("beats").holder.expect("held");
        assert_eq!((held.said, held.word), (Some(1), None), "what is known is not said again");
        one.store.depart(beat("m1", "", 0).presence, Some(lease)).await.expect("departs");
        let alone = two.store.beat(beat("m2", "[]", 0)).await.expect("beats");
        assert_eq!(alone.lease.as_ref().map(|lease| lease.token), Some(2), "at once, under another number");
        assert_eq!(names(&alone), [("m2", 0)]);
        two.close().await;
        one.close().await;
    });
    drop(server);
}

#[test]
fn a_beat_brings_what_has_changed_once_and_in_order() {
    let (server, base) = on_a_server();
    run(async {
        let (one, two) = (ready(&base).await, ready(&base).await);
        let start = two.store.beat(beat("m2", "[]", 0)).await.expect("beats");
        assert_eq!((start.incidents.len(), start.silences), (0, None), "it knows everything, it says");
        let mut known = start.known.expect("counted");
        let mut news = two.store.news();
        let silence =
            SilenceRow { id: "s1".to_owned(), body: "{}".to_owned(), starts_at: 1, ends_at: i64::MAX };
        one.put(vec![Write::PutSilence(silence.clone())]).await;
        for n in 0..100 {
            one.put(vec![Write::PutIncident(incident(&format!("i{n:03}"), 1, 1))]).await;
        }
        tokio::time::timeout(super::support::PATIENCE, news.changed()).await.expect("in time").expect("told");
        let mut brought = Vec::new();
        for _ in 0..3 {
            let pulse = two.store.beat(SyncRequest { known, ..beat("m2", "[]", 0) }).await.expect("beats");
            brought.extend(pulse.incidents.into_iter().map(|one| one.id));
            assert_eq!(pulse.silences.is_some(), known.silences < 1 + start.known.expect("counted").silences);
            known = pulse.known.expect("counted");
        }
        assert_eq!(brought, (0..100).map(|n| format!("i{n:03}")).collect::<Vec<_>>());
        // A minute of the ledger is no news, nor is a version that is there.
        one.put(vec![minute()]).await;
        one.put(vec![Write::PutIncident(incident("i001", 1, 0))]).await;
        let rest = two.store.beat(SyncRequest { known, ..beat("m2", "[]", 0) }).await.expect("beats");
        assert_eq!((rest.incidents.len(), rest.known, rest.silences), (0, Some(known), None));
        one.put(vec![Write::PutIncident(incident("i001", 1, 2))]).await;
        let last = two.store.beat(SyncRequest { known, ..beat("m2", "[]", 0) }).await.expect("beats");
        assert_eq!(last.incidents.len(), 1, "{last:?}");
        two.close().await;
        one.close().await;
    });
    drop(server);
}

#[test]
fn of_many_that_beat_at_once_one_has_the_duty_and_its_number_only_grows() {
    let (server, base) = on_a_server();
    run(async {
        let mut stores = Vec::new();
        for _ in 0..12 {
            stores.push(ready(&base).await);
        }
        let mut tokens: Vec<i64> = Vec::new();
        for round in 0..20 {
            let asked = stores.iter().enumerate().map(|(n, one)| {
                // Every other round it runs out, else it is given back: each round all want it.
                let term = if round % 2 == 0 { Duration::ZERO } else { TERM };
                let (store, beat) =
                    (one.store.clone(), SyncRequest { term, ..beat(&format!("m{n}"), "[]", 0) });
                tokio::spawn(async move { store.beat(beat).await.expect("beats").lease })
            });
            let asked: Vec<_> = asked.collect();
            let mut had = Vec::new();
            for asked in asked {
                had.extend(asked.await.expect("ended"));
            }
            let mut numbers: Vec<i64> = had.iter().map(|lease| lease.token).collect();
            numbers.sort_unstable();
            tokens.extend(&numbers);
            if round % 2 == 1 {
                assert_eq!(had.len(), 1, "round {round}: {had:?}");
                let leaving = beat("m9", "", 0).presence;
                stores[0].store.depart(leaving, Some(had.remove(0))).await.expect("given back");
            }
        }
        assert!(tokens.len() > 20 && tokens.windows(2).all(|pair| pair[0] < pair[1]), "{tokens:?}");
        for store in stores {
            store.close().await;
        }
    });
    drop(server);
}

/// By way of a PgBouncer that gives each transaction another session: the same, and nobody takes another's statements for its own.
#[test]
fn through_a_pooler_everything_is_written_and_read_as_without() {
    let server = Cluster::start();
    let pooler = Pooler::before(&server, 3);
    let direct = server.database();
    let StoreAt::Postgres { url, .. } = &direct.at else { panic!("PostgreSQL") };
    let base = super::support::config(StoreAt::Postgres { url: pooler.through(url), password: None });
    run(async {
        let mut stores = Vec::new();
        for _ in 0..5 {
            stores.push(ready(&base).await);
        }
        let mut waiting = Vec::new();
        for n in 0..40 {
            for (member, store) in stores.iter().enumerate() {
                let id = format!("{member}-{n}");
                let writes = vec![
                    Write::PutIncident(incident(&id, 1, 1)),
                    Write::Audit(audit(n, &id)),
                    Write::AddEntries(vec![entry(&id, "x")]),
                ];
                waiting.push(store.store.write(writes));
            }
            tokio::task::yield_now().await;
        }
        for written in waiting {
            let written = tokio::time::timeout(super::support::PATIENCE, written).await;
            assert_eq!(written.expect("in time"), Ok(()));
        }
        let mut leases = Vec::new();
        for (n, one) in stores.iter().enumerate() {
            let pulse = beat_patiently(&one.store, &beat(&format!("m{n}"), "[]", 0)).await;
            leases.extend(pulse.lease);
            let read = one.store.reader().incident("0-39").await.expect("reads");
            assert_eq!(read.map(|row| row.id), Some("0-39".to_owned()));
        }
        assert_eq!(leases.len(), 1);
        let walk = strop::store::verify_audit(&base).await.expect("reads");
        assert_eq!((walk.rows, walk.broken), (200, None));
        let walk = strop::store::verify_audit(&direct).await.expect("reads");
        assert_eq!((walk.rows, walk.broken), (200, None), "the same without it");
        let found =
            |one: &Open| one.store.status().last_error.is_some_and(|error| error.contains("a pooler"));
        // Three sessions for five members: sooner or later each is given another's, the more of them ask at once the sooner.
        let start = std::time::Instant::now();
        while !stores.iter().all(found) {
            assert!(start.elapsed() < super::support::PATIENCE, "one was never given another's session");
            let requests: Vec<SyncRequest> =
                (0..stores.len()).map(|n| beat(&format!("m{n}"), "[]", 0)).collect();
            let all = stores.iter().zip(requests).map(|(one, request)| one.store.beat(request));
            futures_util::future::join_all(all).await;
        }
        for store in stores {
            store.close().await;
        }
    });
}

/// The beat in which a pooler is found out fails; the next one does not.
async fn beat_patiently(store: &Store, beat: &SyncRequest) -> SyncReply {
    let start = std::time::Instant::now();
    loop {
        match store.beat(beat.clone()).await {
            Ok(pulse) => return pulse,
            Err(error) if error.repeatable() && start.elapsed() < super::support::PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn on_a_server() -> (std::sync::Arc<Cluster>, StoreConfig) {
    let server = Cluster::shared();
    let base = server.database();
    (server, base)
}

/// A minute of the ledger: the one row that concerns no other member.
fn minute() -> Write {
    Write::LedgerMinute(LedgerMinute {
        member: "m1".to_owned(),
        service: "backend".to_owned(),
        minute: 60_000,
        boot: "b".to_owned(),
        slices: "u".repeat(60),
        good: 1,
        total: 1,
    })
}

/// A server is connected to by the task; whoever asks earlier is told that it is not there yet.
async fn ready(config: &StoreConfig) -> Open {
    let open = open(config).await;
    let there = tokio::time::timeout(super::support::PATIENCE, open.put(vec![minute()])).await;
    there.expect("it is there in time");
    open
}

/// Both bodies, so that a lost one would be seen.
fn both(there: &IncidentRow, new: &IncidentRow) -> IncidentRow {
    let revision = there.revision.max(new.revision) + 1;
    let body = format!("{}{}", there.body, new.body);
    IncidentRow { body, revision, ..new.clone() }
}

pub async fn versions_that_cross_are_joined_and_none_is_lost(config: &StoreConfig) {
    let mut tasks = Tasks::default();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(Store::open_joining(config, &tasks, both).await.expect("opens"));
    }
    let mut waiting = Vec::new();
    for n in 0..20 {
        for (member, store) in stores.iter().enumerate() {
            let row = IncidentRow { body: format!("[{member}-{n}]"), ..incident("i1", 1, 1) };
            waiting.push(store.write(vec![Write::PutIncident(row)]));
        }
        tokio::task::yield_now().await;
    }
    for written in waiting {
        assert_eq!(written.await, Ok(()));
    }
    let reader = stores[0].reader();
    let row = reader.incident("i1").await.expect("reads").expect("there");
    for (member, n) in (0..3).flat_map(|member| (0..20).map(move |n| (member, n))) {
        assert_eq!(row.body.matches(&format!("[{member}-{n}]")).count(), 1, "{}", row.body);
    }
    let version = IncidentVersion { id: row.id.clone(), revision: row.revision, member: row.member.clone() };
    assert_eq!(stores[0].versions(i64::MAX, 10).await, Ok(vec![version.clone()]), "it is not over");
    let over = IncidentRow { resolved_at: Some(5), updated_at: 5, ..incident("i2", 1, 1) };
    assert_eq!(stores[1].write(vec![Write::PutIncident(over)]).await, Ok(()));
    assert_eq!(stores[0].versions(6, 10).await, Ok(vec![version]));
    assert_eq!(stores[0].versions(5, 10).await.map(|all| all.len()), Ok(2));
    for store in stores {
        assert_eq!(store.close(super::support::PATIENCE).await, 0);
        assert_eq!(tasks.first_to_end().await, "store");
    }
}
