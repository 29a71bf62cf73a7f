use std::path::Path;
use std::process::Command;

use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy_in};
use crate::support::upstream::{Upstream, status};

fn config(backend: &Upstream, more: &str) -> String {
    format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"

            [upstreams.backend]
            endpoints = ["{}"]
            {more}
        "#,
        backend.address
    )
}

/// The alert of a condition of the store, as the API shows it.
fn condition(proxy: &Proxy, title: &str) -> Option<serde_json::Value> {
    let all = proxy.sre("incidents")["incidents"].as_array().cloned().unwrap_or_default();
    all.into_iter()
        .find(|one| one["service"] == "store" && one["title"].as_str().is_some_and(|it| it.contains(title)))
}

fn copies(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name.ends_with(".json"));
    names.sort();
    names
}

#[test]
fn copies_are_made_by_the_clock_proved_by_a_restore_and_the_oldest_go() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("backup");
    std::fs::create_dir(&to).expect("made");
    // Left by earlier starts, older than `every`.
    for old in ["strop-20200101T000000000Z.db", "strop-20200102T000000000Z.db"] {
        std::fs::write(to.join(old), "a copy").expect("writes");
        std::fs::write(to.join(format!("{old}.json")), "{}").expect("writes");
    }
    let proxy = proxy_in(
        dir,
        &config(
            &backend,
            r#"
                [store.backup]
                every = "1d"
                to = "backup"
                keep = 2
            "#,
        ),
    );
    proxy.post("test/incident", "");
    let backup = || proxy.sre("health/comprehensive")["store"]["backup"].clone();
    eventually("a copy is made", || backup()["good"] == 1);
    let told = backup();
    assert_eq!(told["failing"], serde_json::Value::Null, "{told:#}");
    let file = told["last_good"]["file"].as_str().expect("told").to_owned();
    let left = copies(&to);
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[0], "strop-20200102T000000000Z.db.json", "the oldest went");
    let checked =
        Command::new(env!("CARGO_BIN_EXE_strop")).args(["backup", "verify", &file]).output().expect("runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let size = std::fs::metadata(&file).expect("there").len();
    assert_eq!(proxy.metric("store_backup_last_size_bytes", ""), size as f64);
    assert_eq!(proxy.metric("store_backups_total", "good"), 1.0);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after").as_secs_f64();
    assert!((now - proxy.metric("store_backup_last_success_timestamp_seconds", "")).abs() < 60.0);
    assert!(proxy.metric("store_backup_last_duration_seconds", "") > 0.0);
    assert!(condition(&proxy, "backed up").is_none());
}

#[test]
fn a_copy_that_cannot_be_made_is_an_incident_until_one_can() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("backup");
    std::fs::write(&to, "no directory").expect("writes");
    let proxy = proxy_in(
        dir,
        &config(
            &backend,
            r#"
                [store.backup]
                every = "1d"
                to = "backup"
            "#,
        ),
    );
    eventually("it is an incident", || {
        condition(&proxy, "not backed up").is_some_and(|one| one["holds"] == true)
    });
    assert!(proxy.metric("store_backups_total", "failed") >= 1.0);
    let failing = proxy.sre("health/comprehensive")["store"]["backup"]["failing"]["last_error"].clone();
    assert!(failing.as_str().is_some_and(|why| why.contains("backup")), "{failing}");
    std::fs::remove_file(&to).expect("removed");
    eventually("its condition is over", || {
        condition(&proxy, "not backed up").is_none_or(|one| one["holds"] == false)
    });
    assert_eq!(copies(&to).len(), 1);
}

#[test]
fn a_damaged_store_is_moved_aside_and_an_incident_says_so_until_somebody_took_it_away() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().to_owned();
    // Whole pages of nonsense: a text would be somebody else's file, and left alone.
    let nonsense = vec![0xA5; 16_384];
    std::fs::write(state.join("strop.db"), &nonsense).expect("writes");
    let proxy = proxy_in(dir, &config(&backend, ""));
    assert_eq!(proxy.get("/").status, 200);
    eventually("it is an incident", || condition(&proxy, "damaged").is_some_and(|one| one["holds"] == true));
    let aside = proxy.sre("health/comprehensive")["store"]["moved_aside"].as_str().expect("told").to_owned();
    assert!(std::fs::read(&aside).expect("nothing is deleted") == nonsense);
    let id = condition(&proxy, "damaged").expect("there")["id"].as_str().expect("an id").to_owned();
    assert!(proxy.sre(&format!("incidents/{id}")).to_string().contains(&aside));
    assert_eq!(proxy.sre("health/comprehensive")["store"]["state"], "ok", "the new one takes writes");
    std::fs::rename(&aside, state.join("looked-at")).expect("taken away");
    eventually("its condition is over", || {
        condition(&proxy, "damaged").is_none_or(|one| one["holds"] == false)
    });
}

#[test]
fn a_store_whose_file_is_removed_or_replaced_is_an_incident() {
    let backend = Upstream::start(status(200));
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("strop.db");
    let proxy = proxy_in(dir, &config(&backend, ""));
    let state = || proxy.sre("health/comprehensive")["store"]["state"].clone();
    eventually("the file is there", || file.exists() && state() == "ok");
    std::fs::remove_file(&file).expect("removed");
    eventually("it is an incident", || {
        condition(&proxy, "was removed").is_some_and(|one| one["holds"] == true)
    });
    assert!(file.exists(), "and was written anew");
    let aside = file.with_extension("aside");
    std::fs::rename(&file, &aside).and_then(|()| std::fs::copy(&aside, &file)).expect("replaced");
    let bytes = std::fs::read(&file).expect("reads");
    eventually("it is found", || {
        state() == "replaced" || state() == "ok" && std::fs::read(&file).is_ok_and(|now| now != bytes)
    });
    assert_eq!(state(), "replaced");
    eventually("it is said", || {
        condition(&proxy, "the store is replaced").is_some_and(|one| one["holds"] == true)
    });
    assert_eq!(proxy.metric("store_state", "replaced"), 1.0);
    assert_eq!(std::fs::read(&file).expect("reads"), bytes, "the other file is left alone");
}
