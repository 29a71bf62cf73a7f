//! What both databases must do.

use std::collections::BTreeSet;
use std::sync::Arc;

use strop::store::rows::{AuditEntry, Delivery, LedgerMinute, Minutes, NotificationRow, SilenceRow, Write};
use strop::store::{
    DatabaseState, IncidentFilter, Reader, StoreConfig, StoreError, backup, verify_audit,
    verify_audit_against,
};

use super::postgres::Cluster;
use super::support::{DAY, audit, entry, incident, meddle, notification, open, run, sqlite};

/// A database to test with, and what must outlive it.
struct Fixture {
    config: StoreConfig,
    dir: tempfile::TempDir,
    _server: Option<Arc<Cluster>>,
}

fn on_sqlite() -> Fixture {
    let dir = tempfile::tempdir().expect("a directory");
    Fixture { config: sqlite(&dir.path().join("state/strop.db")), dir, _server: None }
}

fn on_postgres() -> Fixture {
    let server = Cluster::shared();
    let dir = tempfile::tempdir().expect("a directory");
    Fixture { config: server.database(), dir, _server: Some(server) }
}

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite_file { $(#[test] fn $name() { super::run(super::$name(super::on_sqlite())); })* }
        mod postgresql { $(#[test] fn $name() { super::run(super::$name(super::on_postgres())); })* }
    };
}

on_both!(
    every_kind_of_row_reads_back_as_written,
    a_message_that_is_settled_is_not_made_waiting_again_by_what_comes_late,
    incidents_are_found_by_filter_and_page_by_page,
    an_older_revision_never_overwrites_a_newer_one,
    writers_of_a_fleet_follow_each_other,
    what_is_too_old_goes_and_the_chain_stays_whole,
    a_clock_that_stands_alone_deletes_nothing,
    a_pass_takes_a_tenth_of_a_class_the_oldest_first,
    copies_are_kept_by_their_order_whatever_their_dates_say,
    a_changed_audit_row_is_found,
    with_a_key_whoever_can_write_to_the_database_is_found_out,
    a_chain_of_before_the_key_is_covered_by_its_first_row,
    a_copy_is_proven_and_a_bad_one_found_out,
    nothing_is_taken_after_the_end,
    a_report_finds_its_sums_and_the_changes_of_the_config,
    versions_of_an_incident_that_cross_are_joined_and_none_is_lost,
    packed_days_give_the_same_bytes_and_the_same_answers,
    what_comes_late_for_a_packed_day_is_neither_lost_nor_doubled,
    a_day_that_is_not_over_and_what_no_day_can_hold_stay_as_they_are,
    a_packed_day_that_is_damaged_is_told_and_spoils_no_other,
    a_store_of_before_is_packed_in_pieces_between_which_others_write,
    the_clock_packs_what_nobody_asks_for,
    members_that_pack_at_once_pack_each_minute_once,
    packed_days_go_when_all_of_their_minutes_may,
    killed_in_the_middle_nothing_is_lost_or_doubled,
    a_reader_misses_no_minute_while_it_moves,
    a_copy_holds_the_packed_days_and_one_of_before_is_still_good,
    a_nul_in_a_text_blocks_nothing_and_the_chain_stays_whole,
);

/// PostgreSQL refuses it; whatever came with it in one write was refused for ever.
async fn a_nul_in_a_text_blocks_nothing_and_the_chain_stays_whole(on: Fixture) {
    let open = open(&on.config).await;
    let mut line = entry("i1", "{}");
    line.actor = "ann\0".to_owned();
    let mut told = notification("n1", Some("i1"), 1);
    told.last_error = Some("it said \0".to_owned());
    open.put(vec![
        Write::PutIncident(incident("i1", 1, 1)),
        Write::AddEntries(vec![line]),
        Write::Audit(audit(1, "a\0b")),
        Write::PutNotification(told),
    ])
    .await;
    let reader = open.store.reader();
    let lines = reader.lines("i1").await.expect("reads");
    assert_eq!(lines[0].actor, "ann\u{fffd}");
    let rows = reader.audit(None, 10).await.expect("reads");
    assert_eq!(rows[0].entry.target, "a\u{fffd}b");
    open.close().await;
    assert_eq!(verify_audit(&on.config).await.expect("reads").broken, None);
}

async fn packed_days_give_the_same_bytes_and_the_same_answers(on: Fixture) {
    super::ledger::packed_days_give_the_same_bytes_and_the_same_answers(&on.config).await;
}

async fn what_comes_late_for_a_packed_day_is_neither_lost_nor_doubled(on: Fixture) {
    super::ledger::what_comes_late_for_a_packed_day_is_neither_lost_nor_doubled(&on.config).await;
}

async fn a_day_that_is_not_over_and_what_no_day_can_hold_stay_as_they_are(on: Fixture) {
    super::ledger::a_day_that_is_not_over_and_what_no_day_can_hold_stay_as_they_are(&on.config).await;
}

async fn a_packed_day_that_is_damaged_is_told_and_spoils_no_other(on: Fixture) {
    super::ledger::a_packed_day_that_is_damaged_is_told_and_spoils_no_other(&on.config).await;
}

async fn a_store_of_before_is_packed_in_pieces_between_which_others_write(on: Fixture) {
    super::ledger::a_store_of_before_is_packed_in_pieces_between_which_others_write(&on.config).await;
}

async fn the_clock_packs_what_nobody_asks_for(on: Fixture) {
    super::ledger::the_clock_packs_what_nobody_asks_for(&on.config).await;
}

async fn members_that_pack_at_once_pack_each_minute_once(on: Fixture) {
    super::ledger::members_that_pack_at_once_pack_each_minute_once(&on.config).await;
}

async fn packed_days_go_when_all_of_their_minutes_may(on: Fixture) {
    super::ledger::packed_days_go_when_all_of_their_minutes_may(&on.config).await;
}

async fn a_reader_misses_no_minute_while_it_moves(on: Fixture) {
    super::ledger::a_reader_misses_no_minute_while_it_moves(&on.config).await;
}

async fn killed_in_the_middle_nothing_is_lost_or_doubled(on: Fixture) {
    super::ledger::killed_in_the_middle_nothing_is_lost_or_doubled(&on.config).await;
}

async fn a_copy_holds_the_packed_days_and_one_of_before_is_still_good(on: Fixture) {
    let to = on.dir.path().join("copies");
    super::ledger::a_copy_holds_the_packed_days_and_one_of_before_is_still_good(&on.config, &to).await;
}

async fn versions_of_an_incident_that_cross_are_joined_and_none_is_lost(on: Fixture) {
    super::fleet::versions_that_cross_are_joined_and_none_is_lost(&on.config).await;
}

/// A member that has lost the duty may still have an attempt under way.
async fn a_message_that_is_settled_is_not_made_waiting_again_by_what_comes_late(on: Fixture) {
    let open = open(&on.config).await;
    let waiting = notification("n1", None, 50);
    let late = NotificationRow { attempts: 1, next_at: 90, ..waiting.clone() };
    let failed = NotificationRow { state: Delivery::Failed, ..late.clone() };
    let sent = NotificationRow { state: Delivery::Sent, sent_at: Some(70), ..waiting.clone() };
    for (row, stands) in
        [(&waiting, &waiting), (&late, &late), (&failed, &failed), (&late, &failed), (&sent, &sent)]
    {
        open.put(vec![Write::PutNotification(row.clone())]).await;
        let read = open.store.reader().notifications(None, None, None, 10).await;
        assert_eq!(read, Ok(vec![stands.clone()]));
    }
    open.close().await;
}

async fn every_kind_of_row_reads_back_as_written(on: Fixture) {
    let open = open(&on.config).await;
    let mut told = incident("i1", 1_000, 1);
    told.resolved_at = Some(2_000);
    told.body = "{\"text\":\"Grüße, \\u0000 und 🙂\"}".to_owned();
    let mut sent = notification("n1", Some("i1"), 50);
    sent.state = Delivery::Failed;
    sent.last_error = Some("410 Gone".to_owned());
    let test = notification("n2", None, 70);
    let silence = SilenceRow { id: "s1".to_owned(), body: "{}".to_owned(), starts_at: 10, ends_at: 20 };
    let minute = LedgerMinute {
        member: "m1".to_owned(),
        service: "backend".to_owned(),
        minute: 60_000,
        boot: "b1".to_owned(),
        slices: "u".repeat(60),
        good: 9,
        total: 10,
    };
    open.put(vec![
        Write::PutIncident(told.clone()),
        Write::AddEntries(vec![entry("i1", "{\"n\":1}"), entry("i1", "{\"n\":2}")]),
        Write::Audit(audit(5, "i1")),
        Write::PutNotification(sent.clone()),
        Write::PutNotification(test.clone()),
        Write::PutSilence(silence.clone()),
        Write::LedgerMinute(LedgerMinute { good: 1, ..minute.clone() }),
        Write::LedgerMinute(minute.clone()),
    ])
    .await;
    let reader = open.store.reader();
    assert_eq!(reader.incident("i1").await, Ok(Some(told)));
    assert_eq!(reader.incident("i2").await, Ok(None));
    let timeline = reader.lines("i1").await.expect("reads");
    assert_eq!((timeline.len(), &timeline[1]), (2, &entry("i1", "{\"n\":2}")));
    let trail = reader.audit(None, 10).await.expect("reads");
    assert_eq!(trail[1].entry, audit(5, "i1"));
    assert_eq!((trail[0].entry.action.as_str(), trail.len()), ("incident.sealed", 2), "it has ended");
    assert_eq!(reader.notifications(None, Some("i1"), None, 10).await, Ok(vec![sent]));
    assert_eq!(reader.notifications(Some(Delivery::Waiting), None, Some(70), 10).await, Ok(vec![test]));
    assert_eq!(reader.notifications(Some(Delivery::Waiting), None, Some(69), 10).await, Ok(vec![]));
    assert_eq!(reader.silences(20).await, Ok(vec![silence]));
    assert_eq!(reader.silences(21).await, Ok(vec![]));
    assert_eq!(reader.ledger(Some("backend"), 0, 60_001).await.expect("reads").rows, [minute]);
    assert_eq!(reader.ledger(None, 0, 60_000).await, Ok(Minutes::default()));
    assert_eq!(open.store.status().state, DatabaseState::Ok);
    open.close().await;
    let later = Reader::open(&on.config).expect("a reader");
    assert_eq!(later.incident("i1").await.expect("reads").map(|row| row.id), Some("i1".to_owned()));
}

async fn incidents_are_found_by_filter_and_page_by_page(on: Fixture) {
    let open = open(&on.config).await;
    let mut writes = Vec::new();
    for n in 0..25_i64 {
        // Several begin in the same millisecond: the page must not lose any.
        let mut row = incident(&format!("i{n:02}"), 1_000 + n / 4, 1);
        row.severity = if n % 5 == 0 { "critical" } else { "low" }.to_owned();
        row.state = if n < 10 { "resolved" } else { "open" }.to_owned();
        row.resolved_at = (n < 10).then_some(5_000);
        writes.push(Write::PutIncident(row));
    }
    open.put(writes).await;
    let reader = open.store.reader();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.incidents(&IncidentFilter::default(), cursor.as_deref(), 7).await.expect("reads");
        seen.extend(page.rows.into_iter().map(|row| row.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let wanted: Vec<String> = (0..25).rev().map(|n| format!("i{n:02}")).collect();
    assert_eq!(seen, wanted);
    let count =
        async |filter: IncidentFilter| reader.incidents(&filter, None, 100).await.expect("reads").rows.len();
    assert_eq!(
        count(IncidentFilter { severity: Some("critical".to_owned()), ..Default::default() }).await,
        5
    );
    assert_eq!(count(IncidentFilter { state: Some("resolved".to_owned()), ..Default::default() }).await, 10);
    assert_eq!(count(IncidentFilter { unresolved: true, ..Default::default() }).await, 15);
    assert_eq!(count(IncidentFilter { service: Some("other".to_owned()), ..Default::default() }).await, 0);
    assert_eq!(
        count(IncidentFilter { dedup_key: Some("key of i03".to_owned()), ..Default::default() }).await,
        1
    );
    let some_time = IncidentFilter { since: Some(1_001), until: Some(1_003), ..Default::default() };
    assert_eq!(count(some_time).await, 8);
    let wrong = reader.incidents(&IncidentFilter::default(), Some("nonsense"), 7).await;
    assert!(matches!(wrong, Err(StoreError::Refused(_))), "{wrong:?}");
    open.close().await;
}

async fn an_older_revision_never_overwrites_a_newer_one(on: Fixture) {
    let open = open(&on.config).await;
    open.put(vec![Write::PutIncident(incident("i1", 1, 3))]).await;
    open.put(vec![Write::PutIncident(incident("i1", 1, 2))]).await;
    let row = open.store.reader().incident("i1").await.expect("reads").expect("there");
    assert_eq!((row.revision, row.body.as_str()), (3, "{\"revision\":3}"));
    open.close().await;
}

async fn writers_of_a_fleet_follow_each_other(on: Fixture) {
    // All at once, on a database without tables: one of them makes them.
    let (one, two, three) = tokio::join!(open(&on.config), open(&on.config), open(&on.config));
    let members = [one, two, three];
    let mut waiting = Vec::new();
    for n in 0..50 {
        for member in &members {
            let writes = vec![Write::Audit(audit(n, "x")), Write::AddEntries(vec![entry("shared", "{}")])];
            waiting.push(member.store.write(writes));
            if n % 10 == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
    for written in waiting {
        written.await.expect("written");
    }
    let walk = verify_audit(&on.config).await.expect("reads");
    assert_eq!((walk.rows, walk.broken), (150, None));
    let timeline = members[0].store.reader().lines("shared").await.expect("reads");
    assert_eq!(timeline.len(), 150);
    for member in members {
        member.close().await;
    }
}

async fn what_is_too_old_goes_and_the_chain_stays_whole(on: Fixture) {
    let open = open(&on.config).await;
    let now = strop::store::rows::millis(std::time::SystemTime::now());
    let day = i64::try_from(DAY.as_millis()).expect("fits");
    let resolved = |id: &str, days: i64| {
        let mut row = incident(id, now - 500 * day, 1);
        row.resolved_at = Some(now - days * day);
        Write::PutIncident(row)
    };
    let minute = |days: i64| LedgerMinute {
        member: "m1".to_owned(),
        service: "backend".to_owned(),
        minute: now - days * day,
        boot: "b1".to_owned(),
        slices: "u".repeat(60),
        good: 1,
        total: 1,
    };
    open.put(vec![
        resolved("old", 401),
        resolved("young", 399),
        Write::PutIncident(incident("open since ever", now - 500 * day, 1)),
        Write::AddEntries(vec![entry("old", "{}"), entry("young", "{}")]),
        Write::PutNotification(notification("n1", Some("old"), 0)),
        Write::PutNotification(notification("n2", Some("young"), 0)),
        Write::LedgerMinute(minute(401)),
        Write::LedgerMinute(minute(399)),
        // The clock has company.
        Write::LedgerMinute(minute(2)),
        Write::Audit(audit(now - 402 * day, "a")),
        Write::Audit(audit(now - 401 * day, "b")),
        Write::Audit(audit(now - 399 * day, "c")),
    ])
    .await;
    // An incident, its entry and its notification; a minute; an audit row, and the next one the next time.
    assert_eq!(open.store.clean().await, Ok(5));
    assert_eq!(open.store.clean().await, Ok(1));
    assert_eq!(open.store.clean().await, Ok(0));
    let reader = open.store.reader();
    let left = reader.incidents(&IncidentFilter::default(), None, 10).await.expect("reads");
    let left: BTreeSet<_> = left.rows.into_iter().map(|row| row.id).collect();
    assert_eq!(left, ["open since ever".to_owned(), "young".to_owned()].into());
    assert_eq!(reader.lines("old").await, Ok(vec![]));
    assert_eq!(reader.notifications(None, None, None, 10).await.expect("reads").len(), 1);
    assert_eq!(reader.ledger(None, 0, now).await.expect("reads").rows.len(), 2);
    let walk = verify_audit(&on.config).await.expect("reads");
    // One is left, two cover incidents, one says what retention took.
    assert_eq!((walk.rows, walk.head.seq, walk.broken), (4, 6, None));
    open.put(vec![Write::Audit(audit(now, "d"))]).await;
    let walk = verify_audit(&on.config).await.expect("reads");
    assert_eq!((walk.rows, walk.head.seq, walk.broken), (5, 7, None));
    open.close().await;
}

async fn a_clock_that_stands_alone_deletes_nothing(on: Fixture) {
    let open = open(&on.config).await;
    let now = strop::store::rows::millis(std::time::SystemTime::now());
    let day = i64::try_from(DAY.as_millis()).expect("fits");
    let mut old = incident("old", now - 401 * day, 1);
    old.resolved_at = Some(now - 401 * day);
    open.put(vec![
        Write::PutIncident(old),
        Write::Audit(audit(now - 401 * day, "a")),
        // What the process itself wrote since its start says nothing of its clock.
        Write::Audit(audit(now, "the start")),
    ])
    .await;
    assert_eq!(open.store.clean().await, Ok(0), "the newest row is 401 days old");
    assert_eq!(open.store.reader().audit(None, 10).await.expect("reads").len(), 3, "one covers the incident");
    open.put(vec![Write::Audit(audit(now - 2 * day, "the day before yesterday"))]).await;
    assert_eq!(
        open.store.clean().await,
        Ok(2),
        "the clock has company: the incident and the first audit row"
    );
    open.close().await;
}

async fn a_pass_takes_a_tenth_of_a_class_the_oldest_first(on: Fixture) {
    let open = open(&on.config).await;
    let now = strop::store::rows::millis(std::time::SystemTime::now());
    let day = i64::try_from(DAY.as_millis()).expect("fits");
    let mut writes = vec![Write::Audit(audit(now - 500 * day, "x")); 40];
    for n in 0..40_i64 {
        let mut row = incident(&format!("i{n:02}"), now - 500 * day, 1);
        row.resolved_at = Some(now - 500 * day + n);
        writes.extend([Write::PutIncident(row), Write::AddEntries(vec![entry(&format!("i{n:02}"), "{}")])]);
        writes.push(Write::LedgerMinute(LedgerMinute {
            member: "m1".to_owned(),
            service: "backend".to_owned(),
            minute: now - 500 * day + n * 60_000,
            boot: "b1".to_owned(),
            slices: "u".repeat(60),
            good: 1,
            total: 1,
        }));
    }
    // The clock has company.
    writes.push(Write::Audit(audit(now - 2 * day, "young")));
    open.put(writes).await;
    let mut before = 40;
    for (pass, left) in [(1, 36), (2, 32), (3, 28)] {
        open.store.clean().await.expect("cleaned");
        let reader = open.store.reader();
        let rows = reader.incidents(&IncidentFilter::default(), None, 100).await.expect("reads").rows;
        assert_eq!(rows.len(), left, "pass {pass}");
        let oldest = rows.iter().map(|row| row.id.clone()).min().expect("some");
        assert_eq!(oldest, format!("i{:02}", 40 - left), "the oldest went, with their entries");
        assert_eq!(reader.lines("i00").await, Ok(vec![]));
        assert_eq!(reader.ledger(None, 0, now).await.expect("reads").rows.len(), left);
        let of_before = reader.audit(None, 200).await.expect("reads");
        let of_before = of_before.iter().filter(|row| row.entry.target == "x").count();
        assert!(of_before < before && of_before + 9 >= before, "{of_before} of {before}");
        before = of_before;
    }
    assert_eq!(verify_audit(&on.config).await.expect("reads").broken, None);
    open.close().await;
}

async fn a_changed_audit_row_is_found(on: Fixture) {
    let open = open(&on.config).await;
    for n in 1..=5 {
        open.put(vec![Write::Audit(audit(n, "x"))]).await;
    }
    let broken = async || verify_audit(&on.config).await.expect("reads").broken.map(|broken| broken.seq);
    assert_eq!(broken().await, None);
    meddle(&on.config, "UPDATE audit SET actor = 'eve' WHERE seq = 3").await;
    assert_eq!(broken().await, Some(3));
    meddle(&on.config, "UPDATE audit SET actor = 'ann' WHERE seq = 3").await;
    assert_eq!(broken().await, None);
    meddle(&on.config, "DELETE FROM audit WHERE seq = 5").await;
    assert_eq!(broken().await, Some(5), "the end was cut off");
    meddle(&on.config, "DELETE FROM audit WHERE seq = 2").await;
    assert_eq!(broken().await, Some(2));
    open.close().await;
}

/// A store with a key, five rows and an incident that has ended; then somebody who can write to the database does this.
async fn keyed(on: &mut Fixture) -> strop::store::audit::ChainEnd {
    on.config.audit_key = Some("a key of at least thirty-two characters".to_owned().into());
    let open = open(&on.config).await;
    let mut ended = incident("ended", 1, 1);
    ended.resolved_at = Some(2);
    open.put(vec![Write::PutIncident(ended), Write::AddEntries(vec![entry("ended", "{}")])]).await;
    for n in 1..=4 {
        open.put(vec![Write::Audit(audit(n, "x"))]).await;
    }
    let walk = verify_audit(&on.config).await.expect("reads");
    // One row says that the key begins, one covers the incident.
    assert_eq!((walk.rows, walk.keyed, &walk.broken), (6, 6, &None));
    assert_eq!(open.store.status().audit_head, Some(walk.head.clone()), "it has left the store");
    open.close().await;
    walk.head
}

const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

async fn with_a_key_whoever_can_write_to_the_database_is_found_out(mut on: Fixture) {
    let head = keyed(&mut on).await;
    let both = |name: &str, seq: i64| {
        format!(
            "UPDATE heads SET seq = {seq}, hash = COALESCE((SELECT hash FROM audit WHERE seq = {seq}), '{ZEROS}') \
                 WHERE name = '{name}'"
        )
    };
    let start = dump(&on.config).await;
    let deeds: [(&str, Vec<String>); 8] = [
        ("the last row and the head", vec![both("audit", 5), "DELETE FROM audit WHERE seq = 6".to_owned()]),
        ("all rows", vec![both("audit", 0), "DELETE FROM audit".to_owned()]),
        ("all rows and the anchor", vec![both("anchor", 6), "DELETE FROM audit".to_owned()]),
        (
            "the oldest row and the anchor",
            vec![both("anchor", 1), "DELETE FROM audit WHERE seq = 1".to_owned()],
        ),
        ("an incident's body", vec!["UPDATE incidents SET body = '{\"by\":\"eve\"}'".to_owned()]),
        ("an incident's timeline", vec!["DELETE FROM timeline".to_owned()]),
        ("an incident", vec!["DELETE FROM incidents".to_owned()]),
        ("a chain hashed anew", rehashed(&on.config).await),
    ];
    for (deed, statements) in deeds {
        for sql in statements {
            meddle(&on.config, sql).await;
        }
        let walk = verify_audit(&on.config).await.expect("reads");
        assert!(walk.broken.is_some(), "{deed} is not found: {walk:?}");
        for sql in &start {
            meddle(&on.config, sql.as_str()).await;
        }
        assert_eq!(verify_audit(&on.config).await.expect("reads").broken, None, "{deed} was undone");
    }
    let other = StoreConfig { audit_key: Some("x".repeat(32).into()), ..on.config.clone() };
    assert!(verify_audit(&other).await.expect("reads").broken.is_some(), "it is another key");
    // Nobody has to know the key to find that the head of before is gone.
    let plain = StoreConfig { audit_key: None, ..on.config.clone() };
    assert_eq!(verify_audit_against(&plain, Some(&head)).await.expect("reads").broken, None);
    meddle(&plain, both("audit", 5)).await;
    meddle(&plain, "DELETE FROM audit WHERE seq = 6").await;
    assert_eq!(verify_audit(&plain).await.expect("reads").broken, None, "without a key nothing is seen");
    let broken = verify_audit_against(&plain, Some(&head)).await.expect("reads").broken.expect("found");
    assert!(broken.seq == 6 && broken.why.contains("ends with row 5, but row 6 is known"), "{broken:?}");
    // Strop does not go on from there in silence.
    let open = open(&on.config).await;
    open.put(vec![Write::Audit(audit(9, "y"))]).await;
    let broken = verify_audit(&on.config).await.expect("reads").broken.expect("found");
    assert!(broken.seq == 6 && broken.why.contains("rows were cut off"), "{broken:?}");
    open.close().await;
}

/// What brings back the tables that are meddled with.
async fn dump(config: &StoreConfig) -> Vec<String> {
    for table in ["audit", "heads", "incidents", "timeline"] {
        meddle(config, format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
    }
    ["audit", "heads", "incidents", "timeline"]
        .iter()
        .flat_map(|table| {
            [format!("DELETE FROM {table}"), format!("INSERT INTO {table} SELECT * FROM kept_{table}")]
        })
        .collect()
}

/// The chain as somebody without the key can make it, with another actor in row 3.
async fn rehashed(config: &StoreConfig) -> Vec<String> {
    let open = open(&StoreConfig { audit_key: None, ..config.clone() }).await;
    let rows = open.store.reader().audit(None, 100).await.expect("reads");
    open.close().await;
    let (mut before, mut statements) = (ZEROS.to_owned(), Vec::new());
    for row in rows.into_iter().rev() {
        let mut entry = row.entry;
        if row.seq == 3 {
            entry.actor = "eve".to_owned();
        }
        let hash = strop::store::audit::hash_of(row.seq, &entry, &before);
        statements.push(format!(
            "UPDATE audit SET actor = '{}', prev_hash = '{before}', hash = '{hash}' WHERE seq = {}",
            entry.actor, row.seq
        ));
        before = hash;
    }
    statements.push(format!("UPDATE heads SET hash = '{before}', mac = NULL WHERE name = 'audit'"));
    statements
}

async fn a_chain_of_before_the_key_is_covered_by_its_first_row(mut on: Fixture) {
    let old = open(&on.config).await;
    old.put(vec![Write::Audit(audit(1, "a")), Write::Audit(audit(2, "b"))]).await;
    old.close().await;
    on.config.audit_key = Some("a key of at least thirty-two characters".to_owned().into());
    let walk = verify_audit(&on.config).await.expect("reads");
    assert!(walk.broken.expect("not yet").why.contains("none bears it"));
    let open = open(&on.config).await;
    open.put(vec![Write::Audit(audit(3, "c"))]).await;
    let walk = verify_audit(&on.config).await.expect("reads");
    assert_eq!((walk.rows, walk.keyed, walk.broken), (4, 2, None));
    meddle(&on.config, "UPDATE audit SET actor = 'eve' WHERE seq = 1").await;
    assert_eq!(verify_audit(&on.config).await.expect("reads").broken.map(|broken| broken.seq), Some(1));
    open.close().await;
}

async fn a_copy_is_proven_and_a_bad_one_found_out(on: Fixture) {
    let open = open(&on.config).await;
    let to = on.dir.path().join("copies");
    let mut copies = Vec::new();
    for n in 0..3 {
        let id = format!("i{n}");
        let mut row = incident(&id, n, 1);
        row.body = "{\"text\":\"Grüße\\n🙂\"}".to_owned();
        open.put(vec![
            Write::PutIncident(row),
            Write::AddEntries(vec![entry(&id, "{}")]),
            Write::Audit(audit(n, &id)),
            Write::PutNotification(notification(&id, None, 0)),
        ])
        .await;
        copies.push(backup::take(&on.config, &to).await.expect("a copy"));
    }
    let (path, manifest) = &copies[2];
    assert_eq!((manifest.rows["incidents"], manifest.rows["audit"], manifest.audit_seq), (3, 3, 3));
    assert_eq!(backup::verify(path).await.expect("good"), *manifest);
    let beside = std::path::PathBuf::from(format!("{}.json", path.display()));
    assert_eq!(backup::verify(&beside).await.expect("good"), *manifest);
    assert_eq!(copies.iter().map(|(_, manifest)| manifest.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(backup::prune(&to, 2, manifest).expect("pruned"), 1);
    assert!(!copies[0].0.exists() && copies[1].0.exists());
    let names = || std::fs::read_dir(&to).expect("reads").flatten().count();
    assert_eq!(names(), 4, "nothing else is left");
    // A flipped byte, and then a manifest that goes along with it.
    let mut bytes = std::fs::read(path).expect("reads");
    let at = bytes.windows(9).position(|window| window == b"error_rat").expect("a row");
    bytes[at] ^= 1;
    std::fs::write(path, &bytes).expect("writes");
    assert!(backup::verify(path).await.expect_err("bad").to_string().contains("SHA-256"));
    let text = std::fs::read_to_string(&beside).expect("reads");
    std::fs::write(&beside, text.replace("\"incidents\": 3", "\"incidents\": 4")).expect("writes");
    bytes[at] ^= 1;
    std::fs::write(path, &bytes).expect("writes");
    assert!(backup::verify(path).await.expect_err("bad").to_string().contains("instead of"));
    assert_eq!(names(), 4, "nothing else is left");
    open.close().await;
}

async fn copies_are_kept_by_their_order_whatever_their_dates_say(on: Fixture) {
    let open = open(&on.config).await;
    let to = on.dir.path().join("copies");
    open.put(vec![Write::Audit(audit(1, "x"))]).await;
    // Three copies of a clock that was seventy years ahead, made one after the other.
    for n in 1..=3 {
        let (path, manifest) = backup::take(&on.config, &to).await.expect("a copy");
        let file = manifest.file.replace("strop-20", &format!("strop-209{n}"));
        std::fs::rename(&path, to.join(&file)).expect("renamed");
        std::fs::remove_file(format!("{}.json", path.display())).expect("removed");
        let manifest = backup::Manifest { file, made_at: format!("209{n}-01-01T00:00:00Z"), ..manifest };
        let text = serde_json::to_string(&manifest).expect("JSON");
        std::fs::write(to.join(format!("{}.json", manifest.file)), text).expect("writes");
    }
    let (path, good) = backup::take(&on.config, &to).await.expect("a copy");
    assert_eq!(good.number, 4);
    assert_eq!(backup::prune(&to, 3, &good).expect("pruned"), 1);
    assert!(path.exists(), "the copy just called good is never the one deleted");
    assert_eq!(backup::newest(&to).expect("reads").map(|newest| newest.file), Some(good.file.clone()));
    // Not even when another one claims to be the last of all.
    let liar = backup::Manifest { number: u64::MAX, file: "strop-liar.db".to_owned(), ..good.clone() };
    let text = serde_json::to_string(&liar).expect("JSON");
    std::fs::write(to.join("strop-liar.db.json"), text).expect("writes");
    assert_eq!(backup::prune(&to, 1, &good).expect("pruned"), 3);
    assert!(path.exists() && backup::verify(&path).await.is_ok());
    open.close().await;
}

async fn nothing_is_taken_after_the_end(on: Fixture) {
    let opened = open(&on.config).await;
    let store = opened.store.clone();
    let waiting: Vec<_> =
        (0..200).map(|n| store.write(vec![Write::PutIncident(incident(&format!("i{n}"), n, 1))])).collect();
    opened.close().await;
    for written in waiting {
        assert_eq!(written.await, Ok(()), "what was taken before is on disk");
    }
    assert_eq!(store.write(vec![Write::Audit(audit(1, "x"))]).await, Err(StoreError::Closed));
    assert_eq!(store.versions(0, 1).await, Err(StoreError::Closed));
}

async fn a_report_finds_its_sums_and_the_changes_of_the_config(on: Fixture) {
    let open = open(&on.config).await;
    let minute = |member: &str, service: &str, minute: i64, good: i64| {
        Write::LedgerMinute(LedgerMinute {
            member: member.to_owned(),
            service: service.to_owned(),
            minute: minute * 60_000,
            boot: member.to_owned(),
            slices: "u".repeat(60),
            good,
            total: good + 1,
        })
    };
    let done = |at: i64, action: &str| {
        Write::Audit(AuditEntry { action: action.to_owned(), ..audit(at, "strop.toml") })
    };
    open.put(vec![
        minute("m1", "service", 1, 9),
        minute("m2", "service", 1, 19),
        minute("m1", "service", 2, 4),
        minute("m1", "service", 3, 100),
        minute("m1", "stripe", 1, 1_000),
        done(10, "config.applied"),
        done(20, "incident.ack"),
        done(30, "configure"),
        done(40, "config.reload"),
        done(50, "config.applied"),
    ])
    .await;
    let reader = open.store.reader();
    assert_eq!(reader.ledger_counts("service", 60_000, 180_000).await, Ok(Some((32, 35))));
    assert_eq!(reader.ledger_counts("service", 0, 60_000).await, Ok(None), "nothing is not zero");
    let changes = reader.config_changes(10, 50).await.expect("reads");
    assert_eq!(changes.iter().map(|row| row.entry.at).collect::<Vec<_>>(), [10, 40]);
    open.close().await;
}
