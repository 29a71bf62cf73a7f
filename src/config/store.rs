//! `[store]`: incidents, audit and ledger on disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::problem::{Part, did_you_mean};
use super::secret;
use crate::runtime::files;
use crate::units::Text;

/// The audit log is worth little when last year's is gone.
const LEAST_AUDIT: Duration = Duration::from_secs(365 * 86_400);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn days(days: u64) -> Text<Duration> {
    Text(Duration::from_secs(days * 86_400))
}

/// The table `[store]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct StoreFile {
    /// "sqlite:PATH", "postgres://user@host/database" or "off".
    pub url: String,
    /// File with the password of the database.
    pub password_file: Option<String>,
    /// File with the key of the audit chain.
    pub audit_key_file: Option<String>,
    /// Durable writes that may wait in memory.
    pub backlog: u32,
    /// How long things are kept.
    pub retention: RetentionFile,
    /// Copies made by the sidecar itself.
    pub backup: Option<BackupFile>,
}

impl Default for StoreFile {
    fn default() -> Self {
        Self {
            url: "sqlite:strop.db".to_owned(),
            password_file: None,
            audit_key_file: None,
            backlog: 10_000,
            retention: RetentionFile::default(),
            backup: None,
        }
    }
}

/// The table `[store.retention]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RetentionFile {
    /// Incidents since they were resolved.
    pub incidents: Text<Duration>,
    /// Audit rows, at least 365 days.
    pub audit: Text<Duration>,
    /// Accepted for one version and ignored: samples are no longer stored.
    #[serde(skip_serializing)]
    #[cfg_attr(test, schemars(skip))]
    pub samples: Option<Text<Duration>>,
    /// Days of the uptime ledger; days that are over are stored packed.
    pub ledger: Text<Duration>,
}

/// A year and a month: PCI DSS 10.5.1 asks for twelve months of audit logs, and a yearly report reads what it reports.
impl Default for RetentionFile {
    fn default() -> Self {
        Self { incidents: days(400), audit: days(400), samples: None, ledger: days(400) }
    }
}

/// The table `[store.backup]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct BackupFile {
    /// Time from one copy to the next.
    pub every: Text<Duration>,
    /// The directory that the copies are written to.
    pub to: String,
    /// How many copies are kept; the oldest are deleted first.
    pub keep: u32,
}

impl Default for BackupFile {
    fn default() -> Self {
        Self { every: days(1), to: String::new(), keep: 7 }
    }
}

/// `[store]` as it runs.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Which database it is, and where.
    pub at: StoreAt,
    /// With which the audit chain is signed; `None`: it is hashed alone.
    pub audit_key: Option<SecretString>,
    /// Durable writes that may wait in memory while the database is away, in number.
    pub backlog: usize,
    /// How long things are kept.
    pub retention: Retention,
    /// Copies made by this sidecar itself; `None`: none.
    pub backup: Option<StoreBackup>,
}

#[derive(Clone, Debug)]
pub enum StoreAt {
    /// A file of this sidecar alone.
    Sqlite(PathBuf),
    /// Shared by a fleet.
    Postgres {
        /// `postgres://user@host/database`, without a password.
        url: String,
        /// `None`: no password is sent.
        password: Option<SecretString>,
    },
}

/// How long things are kept, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Incidents since they were resolved, with timeline and notifications; open ones stay.
    pub incidents: Duration,
    /// Audit rows, at least 365 days.
    pub audit: Duration,
    /// Days of the uptime ledger; days that are over are stored packed.
    pub ledger: Duration,
}

/// The table `[store.backup]` as it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreBackup {
    /// Time from one copy to the next.
    pub every: Duration,
    /// The directory that the copies are written to.
    pub to: PathBuf,
    /// Copies kept; older ones go.
    pub keep: usize,
}

impl StoreFile {
    /// `Some(None)`: off. `None` when problems were noted.
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<Option<StoreConfig>> {
        let database = match self.url.as_str() {
            "off" => Some(None),
            url => at.take("url", url_of(url)).map(Some),
        };
        let password = self.password_file.as_deref().map(password);
        let password = password.and_then(|password| at.take("password_file", password));
        if self.password_file.is_some() && matches!(database, Some(None | Some(StoreAt::Sqlite(_)))) {
            at.add("password_file", "is of no use: only a postgres:// database asks for a password");
        }
        let audit_key = self.audit_key_file.as_deref().map(|file| secret::read(file, "a key", 32));
        let audit_key = audit_key.and_then(|key| at.take("audit_key_file", key));
        at.within("backlog", self.backlog, 100, 1_000_000);
        let retention = self.retention.check(at.part("retention"));
        let backup = self.backup.as_ref().map(|backup| backup.check(at.part("backup")));
        let database = database?.map(|at| match at {
            StoreAt::Postgres { url, .. } => StoreAt::Postgres { url, password },
            StoreAt::Sqlite(path) => StoreAt::Sqlite(path),
        });
        Some(database.map(|at| StoreConfig {
            at,
            audit_key,
            backlog: self.backlog as usize,
            retention,
            backup,
        }))
    }
}

fn url_of(url: &str) -> Result<StoreAt, String> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        return match path {
            "" | ":memory:" => Err("needs a path: write \"sqlite:strop.db\"".to_owned()),
            path => file_of(path),
        };
    }
    let rest =
        url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://")).ok_or_else(|| {
            format!(
                "{url:?} is no database; write \"sqlite:PATH\", \"postgres://user@host/database\" or \"off\""
            )
        })?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    secret::none_in(authority)?;
    if rest.contains("password=") {
        return Err(secret::ELSEWHERE.to_owned());
    }
    server_of(rest, authority)?;
    Ok(StoreAt::Postgres { url: url.to_owned(), password: None })
}

/// The file of a path, as far as there can be one.
fn file_of(path: &str) -> Result<StoreAt, String> {
    if path.starts_with('~') {
        return Err(format!(
            "{path:?}: no shell reads this, so ~ is a directory of that name; write the whole path"
        ));
    }
    if path.contains('?') {
        return Err(format!("{path:?}: a file has no parameters; write \"sqlite:PATH\" alone"));
    }
    let path = below_state(Path::new(path));
    if files::look(&path).is_ok_and(|file| file.is_dir()) {
        return Err(format!("{path:?} is a directory; write the path of a file in it"));
    }
    let above = path.ancestors().skip(1).find_map(|above| files::look(above).ok().map(|file| (above, file)));
    match above {
        Some((above, file)) if !file.is_dir() => {
            Err(format!("{path:?} cannot be: {above:?} is no directory"))
        }
        Some(_) | None => Ok(StoreAt::Sqlite(path)),
    }
}

/// Words of `sslmode` (libpq), and what else may stand behind the question mark.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const PARAMETERS: [&str; 9] =
    ["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "user", "dbname", "application_name"];

/// What the driver would pass over, or take for something else.
fn server_of(rest: &str, authority: &str) -> Result<(), String> {
    let place = authority.rsplit('@').next().unwrap_or_default();
    if place.contains(',') {
        return Err(format!(
            "{place:?} are several hosts: a fleet shares one; write one host, or a name that leads to it"
        ));
    }
    let port = place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
    if let Some(port) = port.filter(|port| port.parse::<u16>().is_err()) {
        return Err(format!("{port:?} is no port; write 1 to 65535, or none for 5432"));
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .try_for_each(|(name, value)| parameter(name, value))
}

fn parameter(name: &str, value: &str) -> Result<(), String> {
    let told = |value: &str, known: &[&str]| {
        let guess = did_you_mean(value, known.iter().copied());
        format!("{value:?} is none{guess} (known: {})", known.join(", "))
    };
    if !PARAMETERS.contains(&name) {
        return Err(format!("of the parameters of a database {}", told(name, &PARAMETERS)));
    }
    if name == "sslmode" && !SSL_MODES.contains(&value) {
        return Err(format!("of the words of sslmode {}", told(value, &SSL_MODES)));
    }
    if matches!(name, "sslrootcert" | "sslcert" | "sslkey")
        && let Err(error) = files::look(Path::new(value))
    {
        return Err(format!("{name}: {value:?} cannot be read: {error}"));
    }
    Ok(())
}

/// A relative path is below the directory that systemd (`StateDirectory=`) or the image gives for state,
/// where there is one.
pub(super) fn below_state(path: &Path) -> PathBuf {
    let dirs = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    let dir = dirs.split(':').next().unwrap_or_default();
    Path::new(dir).join(path)
}

fn password(file: &str) -> Result<SecretString, String> {
    let text = crate::runtime::files::read_to_string(Path::new(file))
        .map_err(|error| format!("{file:?} cannot be read: {error}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("{file:?} is empty; it should hold the password")),
        password => Ok(SecretString::from(password)),
    }
}

impl RetentionFile {
    fn check(&self, mut at: Part<'_, '_>) -> Retention {
        let mut at_least = |key: &str, value: Text<Duration>, least: Duration, told: &str| {
            if value.0 < least {
                at.add(key, format!("must be at least {told}"));
            }
            value.0
        };
        Retention {
            incidents: at_least("incidents", self.incidents, DAY, "1d"),
            audit: at_least("audit", self.audit, LEAST_AUDIT, "365d"),
            ledger: at_least("ledger", self.ledger, DAY, "1d"),
        }
    }
}

impl BackupFile {
    fn check(&self, mut at: Part<'_, '_>) -> StoreBackup {
        if self.every.0 < MINUTE {
            at.add("every", "must be at least 1m");
        }
        if self.to.is_empty() {
            at.add("to", "needs a directory: write to = \"PATH\"");
        }
        if self.keep == 0 {
            at.add("keep", "must be at least 1, or no copy would be left");
        }
        StoreBackup { every: self.every.0, to: below_state(Path::new(&self.to)), keep: self.keep as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config_text;

    fn problems_of(text: &str) -> String {
        let text = format!("[egress]\n[store]\n{text}\n");
        super::super::load(&text, "a test", &[]).expect_err("refused").to_string()
    }

    fn store_of(text: &str) -> Option<StoreConfig> {
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
        let shown = config.effective().to_string();
        assert!(
            shown.contains("postgres://strop@db/strop") && shown.contains("password_file (content)"),
            "{shown}"
        );
        assert!(!shown.contains("s3cret") && !format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn what_cannot_work_is_told_with_what_to_write() {
        for (text, told) in [
            ("url = \"mysql://x\"", "is no database"),
            ("url = \"sqlite:\"", "needs a path"),
            ("url = \"sqlite:~/x\"", "write the whole path"),
            ("url = \"sqlite:/\"", "is a directory"),
            ("url = \"sqlite:Cargo.toml/x.db\"", "is no directory"),
            ("url = \"sqlite:x.db?mode=ro\"", "has no parameters"),
            ("url = \"postgres://u@h1,h2/db\"", "several hosts"),
            ("url = \"postgres://u@h:99999/db\"", "is no port"),
            ("url = \"postgres://u@h/db?sslmode=requir\"", "did you mean \"require\"?"),
            ("url = \"postgres://u@h/db?sslmod=require\"", "did you mean \"sslmode\"?"),
            ("url = \"postgres://u@h/db?sslrootcert=/nowhere.pem\"", "cannot be read"),
            ("url = \"postgres://strop:s3cret@db/strop\"", "password_file"),
            ("password_file = \"nowhere\"", "cannot be read"),
            ("audit_key_file = \"nowhere\"", "cannot be read"),
            ("audit_key_file = \"Cargo.toml\"", "a key on one line"),
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
    fn what_works_is_taken() {
        for url in [
            "sqlite:/tmp/a-directory-that-is-made/strop.db",
            "postgres://strop@db/strop",
            "postgres://strop@db:5433/strop?sslmode=verify-full&application_name=x",
            "postgresql://strop@[::1]:5433/strop",
            "postgres://strop@[::1]/strop",
            "postgres://db",
        ] {
            assert!(store_of(&format!("url = {url:?}")).is_some(), "{url}");
        }
    }

    #[test]
    fn all_of_it_waits_for_a_restart() {
        let load = |text: &str| {
            super::super::load(text, "a test", &[]).map_err(|told| told.to_string()).expect("runs")
        };
        let old = load("[egress]\n");
        let new = load(&config_text(
            r#"
                [egress]
                [store]
                backlog = 500
                retention = { ledger = "1d" }
            "#,
        ));
        let diff = super::super::diff::diff(&old, &new);
        assert_eq!(diff.applied, [], "{diff:?}");
        assert_eq!(diff.needs_restart.len(), 2, "{diff:?}");
        let running = super::super::diff::runnable(&old, new, &diff.needs_restart).expect("runs");
        assert_eq!(running.store.expect("on").backlog, 10_000);
    }

    #[test]
    fn a_file_that_still_says_how_long_samples_are_kept_runs_and_changes_nothing() {
        let load = |text: &str| super::super::load(text, "a test", &[]).map_err(|told| told.to_string());
        let (old, new) =
            (load("[egress]\n").expect("runs"), "[egress]\n[store.retention]\nsamples = \"1d\"\n");
        let new = load(new).expect("a file of the version before runs");
        assert_eq!(old.store.expect("on").retention, new.store.expect("on").retention);
    }
}
