//! What several sidecars on one database need of it; SQLite does the same.

use strop::runtime::tasks::Tasks;
use strop::store::rows::{Incident, Presence, Seen, Version, Write};
use strop::store::{Store, StoreConfig};

use super::support::{incident, open};

fn presence(member: &str, boot: &str, sees: &str) -> Presence {
    Presence { member: member.to_owned(), boot: boot.to_owned(), sees: sees.to_owned() }
}

fn words(seen: &[Seen]) -> Vec<(&str, &str, &str)> {
    let word = |one: &'_ Seen| -> (usize, i64) { (one.presence.sees.len(), one.age) };
    assert!(seen.iter().map(word).all(|(_, age)| (0..10_000).contains(&age)), "{seen:?}");
    seen.iter()
        .map(|one| (one.presence.member.as_str(), one.presence.boot.as_str(), one.presence.sees.as_str()))
        .collect()
}

pub async fn members_see_each_other_until_they_leave(config: &StoreConfig) {
    let (one, two) = (open(config).await, open(config).await);
    // A server is connected to by the task; whoever asks earlier is told that it is not there yet.
    one.put(vec![Write::PutIncident(incident("i1", 1, 1))]).await;
    two.put(vec![Write::PutIncident(incident("i2", 1, 1))]).await;
    let alone = one.store.appear(presence("m1", "b1", "[1]")).await.expect("appears");
    assert_eq!(words(&alone), [("m1", "b1", "[1]")]);
    two.store.appear(presence("m2", "b2", "[]")).await.expect("appears");
    let both = one.store.appear(presence("m1", "b1", "[2]")).await.expect("appears");
    assert_eq!(words(&both), [("m1", "b1", "[2]"), ("m2", "b2", "[]")], "the last word of each");
    two.store.depart(presence("m2", "b2", "")).await.expect("departs");
    let left = one.store.appear(presence("m1", "b1", "[2]")).await.expect("appears");
    assert_eq!(words(&left), [("m1", "b1", "[2]")]);
    two.close().await;
    one.close().await;
}

/// Both bodies, so that a lost one would be seen.
fn both(there: &Incident, new: &Incident) -> Incident {
    let revision = there.revision.max(new.revision) + 1;
    let body = format!("{}{}", there.body, new.body);
    Incident { body, revision, ..new.clone() }
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
            let row = Incident { body: format!("[{member}-{n}]"), ..incident("i1", 1, 1) };
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
    let version = Version { id: row.id.clone(), revision: row.revision, member: row.member.clone() };
    assert_eq!(reader.versions(i64::MAX, 10).await, Ok(vec![version.clone()]), "it is not over");
    let over = Incident { resolved_at: Some(5), updated_at: 5, ..incident("i2", 1, 1) };
    assert_eq!(stores[1].write(vec![Write::PutIncident(over)]).await, Ok(()));
    assert_eq!(reader.versions(6, 10).await, Ok(vec![version]));
    assert_eq!(reader.versions(5, 10).await.map(|all| all.len()), Ok(2));
    for store in stores {
        assert_eq!(store.close(super::support::PATIENCE).await, 0);
        assert_eq!(tasks.first_to_end().await, "store");
    }
}
