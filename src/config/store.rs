//! `[store]`: from what was written to what runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::file::{BackupFile, RetentionFile, StoreFile};
use super::problem::Collector;
use super::{Retention, Store, StoreAt, StoreBackup};

/// The audit trail is worth little when last year's is gone.
const LEAST_AUDIT: Duration = Duration::from_secs(365 * 86_400);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// `Some(None)`: off. `None` when problems were noted.
pub(super) fn check(written: &StoreFile, problems: &mut Collector<'_>) -> Option<Option<Store>> {
    let at = match written.url.as_str() {
        "off" => Some(None),
        url => problems.take("store.url", url_of(url)).map(Some),
    };
    let password = match &written.password_file {
        None => None,
        Some(file) => problems.take("store.password_file", password(file)),
    };
    if written.password_file.is_some() && matches!(at, Some(None | Some(StoreAt::Sqlite(_)))) {
        problems.add("store.password_file", "is of no use: only a postgres:// database asks for a password");
    }
    problems.within("store.backlog", written.backlog, 100, 1_000_000);
    let retention = retention(&written.retention, problems);
    let backup = written.backup.as_ref().map(|written| backup(written, problems));
    let at = at?.map(|at| match at {
        StoreAt::Postgres { url, .. } => StoreAt::Postgres { url, password },
        StoreAt::Sqlite(path) => StoreAt::Sqlite(path),
    });
    Some(at.map(|at| Store { at, backlog: written.backlog as usize, retention, backup }))
}

fn url_of(url: &str) -> Result<StoreAt, String> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return match path {
            "" | ":memory:" => Err("needs a path: write \"sqlite:strop.db\"".to_owned()),
            path => Ok(StoreAt::Sqlite(below_state(Path::new(path)))),
        };
    }
    let rest =
        url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).ok_or_else(|| {
            format!(
                "{url:?} is no database; write \"sqlite:PATH\", \"postgres://user@host/database\" or \"off\""
            )
        })?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let secret = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    if secret || rest.contains("password=") {
        return Err("holds a password, which this file should not; write password_file = \"PATH\"".to_owned());
    }
    Ok(StoreAt::Postgres { url: url.to_owned(), password: None })
}

/// A relative path is below the directory that systemd (`StateDirectory=`) or the image gives for state, where there is one.
fn below_state(path: &Path) -> PathBuf {
    let dirs = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    let dir = dirs.split(':').next().unwrap_or_default();
    Path::new(dir).join(path)
}

fn password(file: &str) -> Result<SecretString, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file:?} cannot be read: {error}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{file:?} is empty; it should hold the password")),
        password => Ok(SecretString::from(password)),
    }
}

fn retention(written: &RetentionFile, problems: &mut Collector<'_>) -> Retention {
    let mut at_least = |key: &str, value: Duration, least: Duration, told: &str| {
        if value < least {
            problems.add(&format!("store.retention.{key}"), format!("must be at least {told}"));
        }
        value
    };
    Retention {
        incidents: at_least("incidents", written.incidents.0, DAY, "1d"),
        audit: at_least("audit", written.audit.0, LEAST_AUDIT, "365d"),
        samples: at_least("samples", written.samples.0, Duration::from_secs(3_600), "1h"),
        ledger: at_least("ledger", written.ledger.0, DAY, "1d"),
    }
}

fn backup(written: &BackupFile, problems: &mut Collector<'_>) -> StoreBackup {
    if written.every.0 < MINUTE {
        problems.add("store.backup.every", "must be at least 1m");
    }
    if written.to.is_empty() {
        problems.add("store.backup", "needs a directory: write to = \"PATH\"");
    }
    if written.keep == 0 {
        problems.add("store.backup.keep", "must be at least 1, or no copy would be left");
    }
    StoreBackup {
        every: written.every.0,
        to: below_state(Path::new(&written.to)),
        keep: written.keep as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> String {
        let text = format!("[egress]\n[store]\n{text}\n");
        super::super::load(&text, "a test", &[]).expect_err("refused").to_string()
    }

    fn store_of(text: &str) -> Option<Store> {
        let text = format!("[egress]\n[store]\n{text}\n");
        super::super::load(&text, "a test", &[]).map_err(|told| told.to_string()).expect("runs").store
    }

    #[test]
    fn without_a_word_there_is_a_file() {
        let store = store_of("").expect("on");
        assert!(matches!(&store.at, StoreAt::Sqlite(path) if path.ends_with("strop.db")), "{store:?}");
        assert_eq!(store.backup, None);
    }

    #[test]
    fn off_is_off() {
        assert!(store_of("url = \"off\"").is_none());
    }

    #[test]
    fn a_password_is_read_from_its_file_and_shown_to_nobody() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("password");
        std::fs::write(&path, "s3cret\n").expect("writes");
        let text =
            format!("url = \"postgres://strop@db/strop\"\npassword_file = {:?}", path.display().to_string());
        let text = format!("[egress]\n[store]\n{text}\n");
        let config = super::super::load(&text, "a test", &[]).map_err(|told| told.to_string()).expect("runs");
        let shown = super::super::show::effective(&config).to_string();
        assert!(
            shown.contains("postgres://strop@db/strop") && shown.contains("\"password\":\"set\""),
            "{shown}"
        );
        assert!(!shown.contains("s3cret") && !format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn what_cannot_work_is_told_with_what_to_write() {
        for (text, told) in [
            ("url = \"mysql://x\"", "is no database"),
            ("url = \"sqlite:\"", "needs a path"),
            ("url = \"postgres://strop:s3cret@db/strop\"", "password_file"),
            ("password_file = \"nowhere\"", "cannot be read"),
            ("backlog = 1", "not within 100"),
            ("retention = { audit = \"30d\" }", "at least 365d"),
            ("backup = { keep = 0, to = \"x\" }", "at least 1"),
            ("backup = {}", "needs a directory"),
        ] {
            let problems = problems_of(text);
            assert!(problems.contains(told), "{text}: {problems}");
            assert!(
                !problems.contains("holds a password") || !problems.contains("note: s3cret"),
                "{problems}"
            );
        }
    }

    #[test]
    fn all_of_it_waits_for_a_restart() {
        let load = |text: &str| {
            super::super::load(text, "a test", &[]).map_err(|told| told.to_string()).expect("runs")
        };
        let old = load("[egress]\n");
        let new = load("[egress]\n[store]\nbacklog = 500\nretention = { samples = \"1d\" }\n");
        let diff = super::super::diff::diff(&old, &new);
        assert_eq!(diff.applied, [], "{diff:?}");
        assert_eq!(diff.needs_restart.len(), 2, "{diff:?}");
        assert_eq!(super::super::diff::runnable(&old, &new).store.expect("on").backlog, 10_000);
    }
}
