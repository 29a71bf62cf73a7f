//! `strop audit verify` and `strop backup`, while a store is in use.

use std::path::Path;
use std::process::{Command, Output};

use strop::store::rows::Write;

use super::support::{audit, incident, open, run, sqlite};

fn strop(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strop")).args(args).current_dir(dir).output().expect("runs")
}

fn told(ran: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
}

#[test]
fn an_operator_checks_the_chain_and_makes_copies_while_it_is_in_use() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("strop.db");
    let text = r#"
        [egress]
        [store]
        url = "sqlite:strop.db"
        backup = { to = "copies", keep = 2 }
    "#;
    std::fs::write(dir.path().join("strop.toml"), text).expect("writes");
    let missing = strop(dir.path(), &["audit", "verify"]);
    assert_eq!(missing.status.code(), Some(1), "{}", told(&missing));
    run(async {
        let open = open(&sqlite(&path)).await;
        for n in 0..10 {
            open.put(vec![Write::PutIncident(incident(&format!("i{n}"), n, 1)), Write::Audit(audit(n, "x"))])
                .await;
        }
        let whole = strop(dir.path(), &["audit", "verify"]);
        assert!(whole.status.success() && told(&whole).contains("whole: 10 rows"), "{}", told(&whole));
        let last = open.store.status().audit_head.expect("known").to_string();
        let against = strop(dir.path(), &["audit", "verify", "--against", &last]);
        assert!(
            against.status.success() && told(&against).contains("no row bears a key"),
            "{}",
            told(&against)
        );
        let other = format!("11:{}", "0".repeat(64));
        let against = strop(dir.path(), &["audit", "verify", "--against", &other]);
        assert_eq!(against.status.code(), Some(1), "{}", told(&against));
        assert!(told(&against).contains("row 11 is known"), "{}", told(&against));
        let nothing = strop(dir.path(), &["audit", "verify", "--against", "nothing"]);
        assert_eq!(nothing.status.code(), Some(2), "{}", told(&nothing));
        for _ in 0..3 {
            let made = strop(dir.path(), &["backup"]);
            assert!(
                made.status.success() && told(&made).contains("restored and compared"),
                "{}",
                told(&made)
            );
        }
        open.close().await;
    });
    let copies: Vec<_> = std::fs::read_dir(dir.path().join("copies")).expect("reads").flatten().collect();
    assert_eq!(copies.len(), 4, "two copies and their manifests: {copies:?}");
    let copy =
        copies.iter().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "db"));
    let copy = copy.expect("a copy").display().to_string();
    let against = strop(dir.path(), &["audit", "verify", "--against", &format!("{copy}.json")]);
    assert!(against.status.success(), "the manifest holds a head: {}", told(&against));
    let good = strop(dir.path(), &["backup", "verify", &copy]);
    assert!(good.status.success(), "{}", told(&good));
    std::fs::write(&copy, "nonsense").expect("writes");
    let bad = strop(dir.path(), &["backup", "verify", &copy]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(told(&bad).contains("is not the file that was written"), "{}", told(&bad));
}

#[test]
fn a_store_that_is_off_has_nothing_to_check() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("strop.toml"),
        r#"
            [egress]
            [store]
            url = "off"
        "#,
    )
    .expect("writes");
    for args in [&["audit", "verify"][..], &["backup", "--to", "copies"]] {
        let ran = strop(dir.path(), args);
        assert_eq!(ran.status.code(), Some(2), "{}", told(&ran));
    }
}
