//! The ledger in minutes and in packed days: the same answers, nothing lost or doubled on the way, and how small it gets.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use strop::config::StoreAt;
use strop::names::IncidentId;
use strop::reliability::incident::{Beginning, Incident};
use strop::reliability::rule::{AlertKey, Rule, Severity};
use strop::report::{calendar::Month, gather, hours::ServiceHours, review, sla};
use strop::runtime::zone::Zone;
use strop::store::rows::{LedgerMinute, Minutes, Write, millis};
use strop::store::{Reader, StoreConfig, backup};
use strop::units::At;

use super::support::{Open, PATIENCE, audit, meddle, number, open, run, sqlite};

const MINUTE: i64 = 60_000;
const DAY: i64 = 1_440 * MINUTE;
/// 2026-10-24T17:00:00Z: from here on Berlin's clocks change within a day.
const START: i64 = 1_792_861_200_000;

/// The next number of chance.
fn draw(state: &mut u64) -> i64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33).cast_signed()
}

/// Forty hours of two subjects and two members, with restarts, gaps and every letter.
fn lived(chance: &mut u64) -> Vec<LedgerMinute> {
    let mut rows = Vec::new();
    for (member, service) in [("m1", "service"), ("m1", "stripe"), ("m2", "service"), ("m2", "stripe")] {
        let (mut boot, mut letter) = (0, 'u');
        for number in 0..2_400 {
            match draw(chance) % 200 {
                0 => boot += 1,
                1..15 => continue,
                _ => {}
            }
            let slices = (0..60).map(|_| {
                if draw(chance) % 400 == 0 {
                    letter = ['u', 'g', 'd', 'm', '.'][(draw(chance) % 5) as usize];
                }
                letter
            });
            let slices = slices.collect();
            let good = draw(chance) % 2_000;
            rows.push(LedgerMinute {
                member: member.to_owned(),
                service: service.to_owned(),
                minute: START + number * MINUTE,
                boot: format!("{member}-{boot}"),
                slices,
                good,
                total: good + draw(chance) % 3,
            });
        }
    }
    rows
}

async fn put(open: &Open, rows: &[LedgerMinute]) {
    for some in rows.chunks(400) {
        open.put(some.iter().cloned().map(Write::LedgerMinute).collect()).await;
    }
}

/// Rows of both tables.
async fn tables(config: &StoreConfig) -> (i64, i64) {
    (
        number(config, "SELECT COUNT(*) FROM ledger").await,
        number(config, "SELECT COUNT(*) FROM ledger_days").await,
    )
}

async fn all(reader: &Reader) -> Vec<LedgerMinute> {
    let Minutes { rows, unreadable } = reader.ledger(None, 0, i64::MAX).await.expect("reads");
    assert_eq!(unreadable, [""; 0]);
    rows
}

/// As they are read: by minute, service, member and start.
fn in_order(rows: &[LedgerMinute]) -> Vec<LedgerMinute> {
    let key = |row: &LedgerMinute| (row.minute, row.service.clone(), row.member.clone(), row.boot.clone());
    let rows: BTreeMap<_, _> = rows.iter().map(|row| (key(row), row.clone())).collect();
    rows.into_values().collect()
}

/// Everything that is made of the ledger: reports in several zones, a review, sums, windows.
async fn answers(reader: &Reader, windows: &[(i64, i64)]) -> Vec<String> {
    let mut answers = Vec::new();
    let month = Month::read("2026-10").expect("a month");
    for (zone, hours, service) in [
        ("UTC", None, None),
        ("Europe/Berlin", Some("mon-fri 08:00-20:00; sun 01:30-04:10"), None),
        ("Asia/Kathmandu", None, Some("stripe")),
        ("Pacific/Auckland", Some("daily 00:00-24:00"), None),
    ] {
        let asked = sla::SlaRequest {
            month,
            zone: Zone::read(zone).expect("a zone"),
            hours: hours.map(|hours| ServiceHours::read(hours).expect("hours")),
            service: service.map(str::to_owned),
            // Cuts through a minute of a packed day.
            until: At(START + 35 * 60 * MINUTE + 12_345),
            objectives: sla::Objectives::default(),
        };
        let sla = gather::sla(reader, &asked).await.expect("reads");
        answers.extend([sla.json(), sla.csv(), sla.html()]);
    }
    let beginning = Beginning {
        id: IncidentId::of(START, 7),
        key: AlertKey::of(Rule::ServiceDown, "stripe", ""),
        title: "stripe is down".to_owned(),
        severity: Severity::Critical,
        began: At(START + 6 * 60 * MINUTE + 30_500),
        earlier: None,
    };
    let incident = Incident::suspected(beginning, At(START + 7 * 60 * MINUTE));
    let asked = review::ReviewRequest {
        zone: Zone::read("Europe/Berlin").expect("a zone"),
        until: At(START + 9 * 60 * MINUTE + 1),
        objectives: sla::Objectives::default(),
    };
    let review = gather::review(reader, &incident, &asked).await.expect("reads");
    answers.extend([review.json(), review.markdown()]);
    for (since, until) in windows {
        for service in [None, Some("service"), Some("nobody")] {
            answers.push(format!("{:?}", reader.ledger(service, *since, *until).await));
        }
        answers.push(format!("{:?}", reader.ledger_counts("stripe", *since, *until).await));
        answers.push(format!("{:?}", reader.ledger_of(None, Some("m2"), *since, *until).await));
    }
    answers
}

pub async fn packed_days_give_the_same_bytes_and_the_same_answers(config: &StoreConfig) {
    let open = self::open(config).await;
    let mut chance = 7;
    let rows = lived(&mut chance);
    put(&open, &rows).await;
    open.close().await;
    let reader = Reader::open(config).expect("a reader");
    let midnight = START + 7 * 60 * MINUTE;
    let mut windows =
        vec![(midnight, midnight + DAY), (midnight, midnight + 1), (midnight - 1, midnight), (0, START)];
    for _ in 0..12 {
        let since = START + draw(&mut chance) % (2_400 * MINUTE);
        windows.push((since, since + draw(&mut chance) % (500 * MINUTE)));
    }
    assert_eq!(all(&reader).await, in_order(&rows));
    let before = answers(&reader, &windows).await;
    assert!(before[0].contains("\"unreadable_rows\": 0") && before[0].contains("stripe"), "{}", before[0]);
    assert_eq!(tables(config).await, (rows.len() as i64, 0), "all of it was of minutes");
    let open = self::open(config).await;
    assert_eq!(open.store.pack().await, Ok(rows.len() as u64));
    // Two days of two subjects and two members, and a third one: forty hours from 17:00 on.
    assert_eq!(tables(config).await, (0, 12), "three days of UTC");
    for (packed, minutes) in answers(&reader, &windows).await.iter().zip(&before) {
        assert!(packed == minutes, "{packed}\ninstead of\n{minutes}");
    }
    assert_eq!(open.store.pack().await, Ok(0), "nothing is left");
    open.close().await;
}

fn minute(member: &str, boot: &str, at: i64, good: i64) -> LedgerMinute {
    LedgerMinute {
        member: member.to_owned(),
        service: "service".to_owned(),
        minute: at,
        boot: boot.to_owned(),
        slices: "u".repeat(60),
        good,
        total: good + 1,
    }
}

pub async fn what_comes_late_for_a_packed_day_is_neither_lost_nor_doubled(config: &StoreConfig) {
    let open = open(config).await;
    let reader = open.store.reader();
    let mut rows: Vec<_> = (0..30).map(|n| minute("m1", "b1", START + n * MINUTE, n)).collect();
    put(&open, &rows).await;
    assert_eq!(open.store.pack().await, Ok(30));
    let mut late = vec![
        // The same minute with more in it, one before all, one between, another start, another member.
        minute("m1", "b1", START + 3 * MINUTE, 1_000),
        minute("m1", "b1", START - 50 * MINUTE, 7),
        minute("m1", "b2", START + 3 * MINUTE, 11),
        minute("m2", "b9", START + 4 * MINUTE, 13),
    ];
    late[0].slices = "d".repeat(60);
    put(&open, &late).await;
    rows.extend(late.clone());
    let wanted = in_order(&rows);
    assert_eq!(wanted.len(), 33);
    let sums = wanted.iter().fold((0, 0), |sum, row| (sum.0 + row.good, sum.1 + row.total));
    for (packed, found) in [(4, (0, 2)), (0, (0, 2))] {
        assert_eq!(all(&reader).await, wanted);
        assert_eq!(reader.ledger_counts("service", 0, START + DAY).await, Ok(Some(sums)));
        assert_eq!(open.store.pack().await, Ok(packed));
        assert_eq!(tables(config).await, found);
    }
    // The queue tells them again, as it may when it does not know whether the database has them.
    put(&open, &late).await;
    assert_eq!(all(&reader).await, wanted);
    assert_eq!(open.store.pack().await, Ok(4));
    assert_eq!((all(&reader).await, tables(config).await), (wanted, (0, 2)));
    open.close().await;
}

pub async fn a_reader_misses_no_minute_while_it_moves(config: &StoreConfig) {
    let open = open(config).await;
    put(&open, &[minute("m000", "b", START, 1)]).await;
    let done = Arc::new(AtomicBool::new(false));
    let (moving, looking) = (Arc::clone(&done), open.store.reader());
    let looks = tokio::spawn(async move {
        let (mut looks, mut seen) = (0, 1);
        while !moving.load(Ordering::Relaxed) {
            let found = all(&looking).await.len();
            assert!(found >= seen, "{found} minutes after {seen} were there");
            seen = found;
            assert_eq!(
                looking
                    .ledger_counts("service", START, START + 1)
                    .await
                    .expect("reads")
                    .map(|sums| sums.0 > 0),
                Some(true)
            );
            looks += 1;
        }
        looks
    });
    for n in 1..200 {
        put(&open, &[minute(&format!("m{n:03}"), "b", START, 1)]).await;
        assert!(open.store.pack().await.expect("packed") > 0);
    }
    done.store(true, Ordering::Relaxed);
    let looks: u32 = looks.await.expect("each look is whole");
    assert!(looks > 20, "{looks} looks");
    open.close().await;
}

pub async fn a_day_that_is_not_over_and_what_no_day_can_hold_stay_as_they_are(config: &StoreConfig) {
    let open = open(config).await;
    let now = millis(std::time::SystemTime::now());
    let today = now.div_euclid(MINUTE) * MINUTE;
    let mut odd = minute("m1", "b1", START, 1);
    odd.slices = "u".repeat(59);
    let rows = [
        minute("m1", "b1", START + MINUTE, 1),
        // Open: of today, of tomorrow, of a clock that is years ahead.
        minute("m1", "b1", today, 2),
        minute("m1", "b1", today + DAY, 3),
        minute("m1", "b1", today + 400 * DAY, 4),
        // Not at a minute, not of sixty letters.
        minute("m1", "b1", START + 1, 5),
        odd,
    ];
    put(&open, &rows).await;
    assert_eq!(open.store.pack().await, Ok(1));
    assert_eq!(open.store.pack().await, Ok(0), "it does not try for ever");
    assert_eq!(tables(config).await, (5, 1));
    assert_eq!(all(&open.store.reader()).await, in_order(&rows));
    open.close().await;
}

pub async fn a_packed_day_that_is_damaged_is_told_and_spoils_no_other(config: &StoreConfig) {
    let open = open(config).await;
    let reader = open.store.reader();
    let rows =
        [minute("m1", "b1", START, 1), minute("m2", "b2", START, 2), minute("m1", "b1", START + DAY, 3)];
    put(&open, &rows).await;
    assert_eq!(open.store.pack().await, Ok(3));
    let bytes = if let StoreAt::Sqlite(_) = config.at { "BLOB" } else { "BYTEA" };
    let other = format!(
        "UPDATE ledger_days SET packed = CAST('garbage' AS {bytes}) WHERE member = 'm1' AND day = {}",
        START.div_euclid(DAY) * DAY
    );
    meddle(config, other).await;
    let found = reader.ledger(None, 0, i64::MAX).await.expect("reads");
    assert_eq!(found.rows, rows[1..]);
    assert_eq!(found.unreadable, ["ledger_days/service/2026-10-24/m1"]);
    assert_eq!(reader.ledger_counts("service", 0, START + DAY).await, Ok(None), "a part is not the whole");
    let asked = sla::SlaRequest {
        month: Month::read("2026-10").expect("a month"),
        zone: Zone::read("UTC").expect("a zone"),
        hours: None,
        service: None,
        until: At(i64::MAX),
        objectives: sla::Objectives::default(),
    };
    assert_eq!(
        gather::sla(&reader, &asked).await.expect("reads").unreadable_rows,
        1,
        "one day, whatever pages it is in"
    );
    // What comes late for it stays where it is read, and what is to be packed beside it is packed.
    let late = [minute("m1", "b1", START + MINUTE, 5), minute("m2", "b2", START + MINUTE, 6)];
    put(&open, &late).await;
    assert_eq!(open.store.pack().await, Ok(1));
    assert_eq!(tables(config).await, (1, 3));
    assert_eq!(reader.ledger(None, START + MINUTE, START + DAY).await.expect("reads").rows, late);
    open.close().await;
}

/// Days of two subjects of a member, as the writer of before has written them.
async fn fill(config: &StoreConfig, days: i64) -> i64 {
    let sql = format!(
        "WITH RECURSIVE minutes (start) AS (SELECT CAST({START} AS BIGINT) UNION ALL SELECT start + 60000 FROM minutes \
         WHERE start + 60000 < {}) INSERT INTO ledger (member, service, minute, boot, slices, good, total) \
         SELECT 'm1', 'service', start, 'b1', '{}', start / 60000 % 977, start / 60000 % 977 + 1 FROM minutes",
        START + days * DAY,
        "u".repeat(60),
    );
    meddle(config, &*sql).await;
    meddle(config, sql.replace("'service'", "'stripe'")).await;
    2 * 1_440 * days
}

pub async fn a_store_of_before_is_packed_in_pieces_between_which_others_write(config: &StoreConfig) {
    let made = open(config).await;
    made.close().await;
    // Exactly what an earlier version left.
    meddle(config, "DROP TABLE ledger_days").await;
    meddle(config, "DELETE FROM _sqlx_migrations WHERE version = 4").await;
    let minutes = fill(config, 8).await;
    let sum = async |what: &'static str| number(config, what).await;
    let good = sum("SELECT CAST(SUM(good) AS BIGINT) FROM ledger").await;
    let wanted = (good, sum("SELECT CAST(SUM(total) AS BIGINT) FROM ledger").await);
    let reader = Reader::open(config).expect("a reader");
    // A report of the new version beside a sidecar of the old one.
    assert_eq!(all(&reader).await.len() as i64, minutes);
    assert_eq!(
        reader.ledger_counts("service", 0, i64::MAX).await.expect("reads").map(|sums| 2 * sums.0),
        Some(good)
    );
    let start = Instant::now();
    let open = open(config).await;
    open.put(vec![Write::Audit(audit(1, "the start"))]).await;
    let started = start.elapsed();
    assert!(number(config, "SELECT COUNT(*) FROM ledger").await > 0, "the start waits for no packing");
    let store = open.store.clone();
    let start = Instant::now();
    let packing = tokio::spawn(async move { store.pack().await });
    let (mut between, mut longest) = (0, Duration::ZERO);
    while !packing.is_finished() {
        let asked = Instant::now();
        open.put(vec![Write::Audit(audit(2, "meanwhile"))]).await;
        longest = longest.max(asked.elapsed());
        between += u32::from(number(config, "SELECT COUNT(*) FROM ledger").await > 0);
    }
    let took = start.elapsed();
    assert!(packing.await.expect("ends").expect("packed") > 0);
    println!(
        "opened in {started:?}; {minutes} minutes packed in {took:?}; {between} writes between, the longest waited {longest:?}"
    );
    assert!(between >= 3, "others wrote {between} times before it was over");
    assert!(longest < PATIENCE / 10 && longest < took, "one waited {longest:?} of {took:?}");
    let (left, days) = tables(config).await;
    assert_eq!((left, days), (0, 18), "from 17:00 on, so nine days of each");
    let rows = all(&reader).await;
    let sums = rows.iter().fold((0, 0), |sum, row| (sum.0 + row.good, sum.1 + row.total));
    assert_eq!((rows.len() as i64, sums), (minutes, wanted));
    open.close().await;
}

pub async fn the_clock_packs_what_nobody_asks_for(config: &StoreConfig) {
    let open = open(config).await;
    put(&open, &[minute("m1", "b1", START, 1)]).await;
    let start = Instant::now();
    while tables(config).await != (0, 1) {
        assert!(start.elapsed() < PATIENCE * 3, "nobody packs it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    open.close().await;
}

pub async fn members_that_pack_at_once_pack_each_minute_once(config: &StoreConfig) {
    let (one, two) = tokio::join!(open(config), open(config));
    // A server's tables are made when the first write comes.
    one.put(vec![Write::Audit(audit(1, "the start"))]).await;
    let minutes = fill(config, 4).await;
    let wanted = all(&one.store.reader()).await;
    let (first, second) = tokio::join!(one.store.pack(), two.store.pack());
    let (first, second) = (first.expect("packed"), second.expect("packed"));
    assert_eq!((first + second) as i64, minutes);
    assert_eq!(tables(config).await, (0, 10));
    assert_eq!(all(&two.store.reader()).await, wanted);
    one.close().await;
    two.close().await;
}

pub async fn packed_days_go_when_all_of_their_minutes_may(config: &StoreConfig) {
    let open = open(config).await;
    let now = millis(std::time::SystemTime::now());
    let today = now.div_euclid(DAY) * DAY;
    // Of the oldest kept day only the first minutes are too old.
    let rows: Vec<_> =
        [402, 401, 400, 399, 2].iter().map(|days| minute("m1", "b1", today - days * DAY, *days)).collect();
    put(&open, &rows).await;
    open.put(vec![Write::Audit(audit(now - 2 * DAY, "the clock has company"))]).await;
    assert_eq!(open.store.pack().await, Ok(5));
    let mut passes = Vec::new();
    for _ in 0..3 {
        passes.push(open.store.clean().await.expect("cleaned"));
    }
    assert_eq!(passes, [1, 1, 0], "a tenth of a class at a time, the oldest first");
    assert_eq!(all(&open.store.reader()).await, in_order(&rows[2..]));
    open.close().await;
}

pub async fn a_copy_holds_the_packed_days_and_one_of_before_is_still_good(
    config: &StoreConfig,
    to: &std::path::Path,
) {
    let open = open(config).await;
    put(&open, &[minute("m1", "b1", START, 1), minute("m1", "b1", START + DAY, 1)]).await;
    assert_eq!(open.store.pack().await, Ok(2));
    let (path, manifest) = backup::take(config, to).await.expect("a copy");
    assert_eq!((manifest.rows["ledger"], manifest.rows["ledger_days"]), (0, 2));
    assert_eq!(backup::verify(&path).await.expect("good"), manifest);
    open.close().await;
    // A manifest of a version that did not know the table; its copy had no such rows.
    meddle(config, "DELETE FROM ledger_days").await;
    let (path, manifest) = backup::take(config, to).await.expect("a copy");
    let mut before = manifest.clone();
    before.rows.remove("ledger_days").expect("it is there");
    let text = serde_json::to_string(&before).expect("JSON");
    std::fs::write(format!("{}.json", path.display()), text).expect("writes");
    assert_eq!(backup::verify(&path).await.expect("good"), before);
}

/// `STROP_LEDGER_DAYS`: so many days of traffic (default 5; 400 take half an hour in a debug build: 14,389,248 bytes).
#[test]
fn four_hundred_days_of_seven_busy_subjects_are_sixteen_megabytes() {
    let days: i64 = std::env::var("STROP_LEDGER_DAYS").ok().map_or(5, |text| text.parse().expect("a number"));
    let dir = tempfile::tempdir().expect("a directory");
    let config = sqlite(&dir.path().join("strop.db"));
    let first = millis(std::time::SystemTime::now()).div_euclid(DAY) - days;
    run(async {
        let open = open(&config).await;
        let mut chance = 11;
        for day in first..first + days {
            for service in ["service", "backend", "stripe", "adyen", "postgres", "openai", "search"] {
                put(&open, &busy(day, service, &mut chance)).await;
            }
            // As in life: a day is packed when the next one has begun, so one of them lies there in minutes.
            open.store.pack().await.expect("packed");
        }
        assert_eq!(tables(&config).await, (0, 7 * days));
        open.close().await;
    });
    let bytes: u64 = std::fs::read_dir(dir.path())
        .expect("reads")
        .flatten()
        .map(|file| file.metadata().expect("there").len())
        .sum();
    // The minutes of the open day (281 bytes each) and its share of a log, and 400 days beside them: 16 MB in all.
    let open_day = 4_000_000;
    let allowed = open_day + u64::try_from(days).expect("positive") * (16_000_000 - open_day) / 400;
    println!("{days} days: {bytes} bytes of files, {allowed} allowed");
    assert!(bytes <= allowed, "{bytes} bytes in {days} days, {allowed} allowed");
}

/// A day of a subject: 20 changes of its seconds, 1,000 busy minutes with some 3,000 requests each, of which a few fail.
fn busy(day: i64, service: &str, chance: &mut u64) -> Vec<LedgerMinute> {
    let mut changes: Vec<i64> = (0..20).map(|_| draw(chance) % 86_400).collect();
    changes.sort_unstable();
    let letter = |second: i64| {
        let change = changes.partition_point(|at| *at <= second);
        ['u', 'g', 'u', 'd', 'u', '.', 'u', 'm'][change % 8]
    };
    let boot = format!("01939f8e-7b1c-7e6a-9d0f-{:012x}", day);
    let mut rows = Vec::new();
    for number in 0..1_440 {
        let total = if (220..1_220).contains(&number) { 2_700 + draw(chance) % 600 } else { 0 };
        let bad = if total > 0 && draw(chance) % 4 == 0 { draw(chance) % 20 } else { 0 };
        rows.push(LedgerMinute {
            member: "shop-7d9c8b6f5-x2x4k".to_owned(),
            service: service.to_owned(),
            minute: day * DAY + number * MINUTE,
            boot: boot.clone(),
            slices: (number * 60..number * 60 + 60).map(letter).collect(),
            good: total - bad,
            total,
        });
    }
    rows
}

const KILLED: &str = "STROP_TEST_PACK_STORE";

/// Not a test: what [`killed_in_the_middle_nothing_is_lost_or_doubled`] starts and kills. Without its variable it does nothing.
#[test]
fn the_child() {
    let Ok(url) = std::env::var(KILLED) else { return };
    let at = match url.strip_prefix("sqlite:") {
        Some(path) => StoreAt::Sqlite(path.into()),
        None => StoreAt::Postgres { url, password: None },
    };
    run(async {
        let open = open(&super::support::config(at)).await;
        open.put(vec![Write::Audit(audit(1, "the start"))]).await;
        println!("\nready");
        open.store.pack().await.expect("packed");
    });
}

pub async fn killed_in_the_middle_nothing_is_lost_or_doubled(config: &StoreConfig) {
    let made = open(config).await;
    made.put(vec![Write::Audit(audit(1, "the start"))]).await;
    made.close().await;
    fill(config, 6).await;
    let reader = Reader::open(config).expect("a reader");
    let wanted = all(&reader).await;
    let url = match &config.at {
        StoreAt::Sqlite(path) => format!("sqlite:{}", path.display()),
        StoreAt::Postgres { url, .. } => url.clone(),
    };
    let mut chance = u64::from(std::process::id());
    let (mut rounds, mut middle) = (0, 0);
    loop {
        let mut child = Command::new(std::env::current_exe().expect("this"))
            .args(["ledger::the_child", "--exact", "--nocapture"])
            .env(KILLED, &url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line == "ready")), "the child ended by itself");
        // Later and later, so that it comes to an end.
        let longest = 150_000 * (1 + rounds / 4);
        let until = Instant::now() + Duration::from_micros(draw(&mut chance).cast_unsigned() % longest);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        child.wait().expect("gone");
        rounds += 1;
        assert!(all(&reader).await == wanted, "round {rounds}: not each minute once");
        let (left, days) = tables(config).await;
        middle += u32::from(left > 0 && days > 0);
        if left == 0 {
            break;
        }
        assert!(rounds < 500, "{left} minutes are never packed");
    }
    println!("{rounds} kills, {middle} of them in the middle");
    assert!(middle > 0, "{rounds} kills, none of them in the middle");
    let whole = open(config).await;
    assert_eq!(whole.store.pack().await, Ok(0));
    assert!(all(&reader).await == wanted && whole.store.status().moved_aside.is_none());
    whole.close().await;
}

#[test]
fn a_file_that_is_mostly_empty_gives_its_room_back_and_another_one_stays_as_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.db");
    let config = sqlite(&path);
    run(async {
        let open = open(&config).await;
        let length = || std::fs::metadata(&path).expect("there").len();
        // Whether it is time to look is asked after a pass that has packed something.
        let room = async |megabytes: u64, at: i64| {
            meddle(&config, format!("CREATE TABLE ballast AS SELECT zeroblob({}) AS it", megabytes << 20))
                .await;
            meddle(&config, "DROP TABLE ballast").await;
            put(&open, &[minute("m1", "b1", at, 1)]).await;
            assert_eq!(open.store.pack().await, Ok(1));
            open.put(vec![Write::Audit(audit(2, "goes on"))]).await;
            meddle(&config, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        };
        room(40, START).await;
        assert!(length() > 40 << 20, "not worth the trouble: {}", length());
        room(80, START + DAY).await;
        assert!(length() < 1 << 20, "{} bytes of almost nothing", length());
        assert_eq!(all(&open.store.reader()).await.len(), 2);
        open.close().await;
    });
}
