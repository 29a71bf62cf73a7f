//! A database that goes away and comes back.

use std::time::Duration;

use strop::store::rows::Write;
use strop::store::{DatabaseState, Store, StoreError, verify_audit};

use super::postgres::Cluster;
use super::support::{audit, entry, incident, notification, open, run, sqlite};

#[test]
fn writes_wait_for_a_server_that_is_away_and_catch_up_in_order() {
    let server = Cluster::start();
    let config = server.database();
    run(async {
        let open = open(&config).await;
        open.put(vec![Write::PutIncident(incident("i1", 1, 1))]).await;
        server.stop();
        let mut waiting = Vec::new();
        for n in 2..=40 {
            waiting.push(open.store.write(vec![
                Write::PutIncident(incident("i1", 1, n)),
                Write::AddEntries(vec![entry("i1", &format!("{n}"))]),
                Write::Audit(audit(n, "i1")),
            ]));
        }
        let status =
            open.eventually("it is noticed", |status| status.state == DatabaseState::Unreachable).await;
        assert_eq!(status.backlog, 39 * 3);
        assert!(status.last_error.is_some());
        let read = open.store.reader().incident("i1").await;
        assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
        let asked = open.store.versions(0, 1).await;
        assert!(asked.as_ref().is_err_and(StoreError::repeatable), "{asked:?}");
        server.restart();
        for written in waiting {
            assert_eq!(written.await, Ok(()));
        }
        let status = open.eventually("it is well again", |status| status.state == DatabaseState::Ok).await;
        assert_eq!((status.backlog, status.refused), (0, 0));
        let reader = open.store.reader();
        assert_eq!(reader.incident("i1").await.expect("reads").expect("there").revision, 40);
        let timeline = reader.lines("i1").await.expect("reads");
        let told: Vec<i64> = timeline.iter().map(|row| row.body.parse().expect("a number")).collect();
        assert_eq!(told, (2..=40).collect::<Vec<_>>(), "in order, and each once");
        let walk = verify_audit(&config).await.expect("reads");
        assert_eq!((walk.rows, walk.broken), (39, None));
        open.close().await;
    });
}

#[test]
fn a_server_that_dies_again_and_again_gets_each_write_once() {
    let server = Cluster::start();
    let config = server.database();
    run(async {
        let open = open(&config).await;
        let mut waiting = Vec::new();
        for round in 0..5 {
            for n in 0..40 {
                let body = format!("{}", round * 40 + n);
                waiting.push(
                    open.store.write(vec![
                        Write::AddEntries(vec![entry("i1", &body)]),
                        Write::Audit(audit(1, &body)),
                    ]),
                );
                tokio::task::yield_now().await;
            }
            // Somewhere within the transactions of this round.
            if round % 2 == 0 {
                tokio::time::sleep(Duration::from_millis(round)).await;
            }
            server.stop();
            server.restart();
        }
        for written in waiting {
            assert_eq!(written.await, Ok(()));
        }
        let timeline = open.store.reader().lines("i1").await.expect("reads");
        let told: Vec<i64> = timeline.iter().map(|row| row.body.parse().expect("a number")).collect();
        assert_eq!(told, (0..200).collect::<Vec<_>>(), "in order, and each once");
        let walk = verify_audit(&config).await.expect("reads");
        assert_eq!((walk.rows, walk.broken), (200, None));
        open.close().await;
    });
}

#[test]
fn a_store_that_is_away_at_the_start_is_no_obstacle() {
    let server = Cluster::start();
    let config = server.database();
    server.stop();
    run(async {
        let open = open(&config).await;
        assert_eq!(open.store.status().state, DatabaseState::Unreachable);
        let written = open.store.write(vec![Write::PutIncident(incident("i1", 1, 1))]);
        server.restart();
        assert_eq!(written.await, Ok(()));
        open.close().await;
    });
}

#[test]
fn nobody_waits_at_a_start_for_a_server_that_does_not_answer() {
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = silent.local_addr().expect("bound").port();
    let url = format!("postgres://strop@127.0.0.1:{port}/strop");
    let config = super::support::config(strop::config::StoreAt::Postgres { url, password: None });
    run(async {
        let start = std::time::Instant::now();
        let open = open(&config).await;
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        assert_eq!(open.store.status().state, DatabaseState::Unreachable);
        let written = open.store.write(vec![Write::Audit(audit(1, "x"))]);
        open.eventually("it says why", |status| status.last_error.is_some()).await;
        assert_eq!(open.store.close(super::support::PATIENCE).await, 1);
        assert_eq!(written.await, Err(StoreError::Closed));
    });
}

#[test]
fn memory_is_bounded_and_who_finds_no_room_is_told() {
    let server = Cluster::start();
    let mut config = server.database();
    config.backlog = 100;
    run(async {
        let open = open(&config).await;
        server.stop();
        let mut waiting = Vec::new();
        for n in 0..90 {
            waiting.push(open.store.write(vec![Write::Audit(audit(n, "x"))]));
        }
        open.eventually("it is noticed", |status| status.state == DatabaseState::Unreachable).await;
        // An incident that changes a thousand times takes one place.
        for n in 1..=1_000 {
            waiting.push(open.store.write(vec![Write::PutIncident(incident("i1", 1, n))]));
        }
        let refused = open.store.write((0..20).map(|n| Write::Audit(audit(n, "y"))).collect());
        assert!(matches!(refused.await, Err(StoreError::BacklogFull(_))));
        let status = open.store.status();
        assert!(status.backlog <= 100 && status.folded > 900 && status.refused == 20, "{status:?}");
        server.restart();
        for written in waiting {
            assert_eq!(written.await, Ok(()));
        }
        let reader = open.store.reader();
        assert_eq!(reader.incident("i1").await.expect("reads").expect("there").revision, 1_000);
        assert_eq!(verify_audit(&config).await.expect("reads").rows, 90);
        open.close().await;
    });
}

#[test]
fn a_store_that_ends_while_it_is_away_says_what_is_not_on_disk() {
    let server = Cluster::start();
    let config = server.database();
    run(async {
        let open = open(&config).await;
        server.stop();
        let written = open.store.write(vec![Write::Audit(audit(1, "x")), Write::Audit(audit(2, "x"))]);
        assert_eq!(open.store.close(super::support::PATIENCE).await, 2);
        assert_eq!(written.await, Err(StoreError::Closed));
    });
}

#[test]
fn one_write_that_can_never_work_takes_no_other_with_it() {
    let server = Cluster::shared();
    let config = server.database();
    run(async {
        let open = open(&config).await;
        // A name that PostgreSQL cannot index: longer than a third of a page, and of no pattern.
        let mut draw = 1_u64;
        let mut letter = || {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + (draw >> 40) as u8 % 26)
        };
        let bad: String = (0..20_000).map(|_| letter()).collect();
        let waiting = [
            open.store.write(vec![Write::PutNotification(notification("good 1", None, 0))]),
            open.store.write(vec![
                Write::PutNotification(notification(&bad, None, 0)),
                Write::Audit(audit(1, "bad")),
            ]),
            open.store.write(vec![Write::PutNotification(notification("good 2", None, 0))]),
        ];
        let [first, bad, second] = waiting;
        assert_eq!(first.await, Ok(()));
        assert!(matches!(bad.await, Err(StoreError::Refused(_))));
        assert_eq!(second.await, Ok(()));
        assert_eq!(open.store.reader().audit(None, 10).await, Ok(vec![]), "no half of it is there");
        let status = open.store.status();
        assert_eq!((status.state, status.backlog), (DatabaseState::Ok, 0));
        open.close().await;
    });
}

#[test]
fn what_only_the_operator_can_change_is_an_error_at_once() {
    run(async {
        let at = strop::config::StoreAt::Postgres { url: "postgres://a b/".to_owned(), password: None };
        let opened = Store::open(&super::support::config(at), &Default::default()).await;
        assert!(matches!(opened, Err(StoreError::Config(_))), "{opened:?}");
    });
}

#[test]
fn a_directory_that_cannot_be_written_is_told_and_tried_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let blocked = dir.path().join("state");
    std::fs::write(&blocked, "in the way").expect("writes");
    run(async {
        let open = open(&sqlite(&blocked.join("strop.db"))).await;
        let status = open.store.status();
        assert_eq!(status.state, DatabaseState::Unreachable);
        assert!(status.last_error.expect("told").contains("strop.db"), "names the file");
        let written = open.store.write(vec![Write::Audit(audit(1, "x"))]);
        std::fs::remove_file(&blocked).expect("removed");
        assert_eq!(written.await, Ok(()));
        open.close().await;
    });
}
