//! Configs, rows and patience.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use strop::config::{Retention, StoreAt};
use strop::runtime::tasks::Tasks;
use strop::store::rows::{AuditEntry, Delivery, IncidentRow, NewEntry, NotificationRow, Write};
use strop::store::{Store, StoreConfig, StoreStatus};

/// Longest wait for anything that is to happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const DAY: Duration = Duration::from_secs(86_400);

pub fn config(at: StoreAt) -> StoreConfig {
    let retention = Retention { incidents: 400 * DAY, audit: 400 * DAY, ledger: 400 * DAY };
    StoreConfig { at, audit_key: None, backlog: 10_000, retention, backup: None }
}

impl super::postgres::Cluster {
    /// An empty database.
    pub fn database(&self) -> StoreConfig {
        config(StoreAt::Postgres { url: self.empty(), password: None })
    }
}

pub fn sqlite(path: &Path) -> StoreConfig {
    config(StoreAt::Sqlite(path.to_owned()))
}

/// Runs on a runtime like the control runtime.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// An open store and the owner of its task.
pub struct Open {
    pub store: Store,
    pub tasks: Tasks,
}

pub async fn open(config: &StoreConfig) -> Open {
    let tasks = Tasks::default();
    let store = Store::open(config, &tasks).await.expect("opens");
    Open { store, tasks }
}

impl Open {
    /// Writes and waits until it is on disk.
    pub async fn put(&self, writes: Vec<Write>) {
        self.store.write(writes).await.expect("written");
    }

    /// Waits until the status is as wanted.
    pub async fn eventually(&self, what: &str, holds: impl Fn(&StoreStatus) -> bool) -> StoreStatus {
        let start = Instant::now();
        loop {
            let status = self.store.status();
            if holds(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "never: {what}: {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn close(mut self) {
        assert_eq!(self.store.close(PATIENCE).await, 0, "nothing is lost");
        assert_eq!(self.tasks.first_to_end().await, "store");
    }
}

/// Does to the database what the store never would.
pub async fn meddle(config: &StoreConfig, sql: impl Into<String>) {
    let sql = sqlx::AssertSqlSafe(sql.into());
    match &config.at {
        StoreAt::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
            let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("opens");
            sqlx::query(sql).execute(&mut conn).await.expect("done");
            sqlx::Connection::close(conn).await.expect("closes");
        }
        StoreAt::Postgres { url, .. } => {
            let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.expect("opens");
            sqlx::query(sql).execute(&mut conn).await.expect("done");
            sqlx::Connection::close(conn).await.expect("closes");
        }
    }
}

/// A number that the database is asked for.
pub async fn number(config: &StoreConfig, sql: &'static str) -> i64 {
    match &config.at {
        StoreAt::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).busy_timeout(PATIENCE);
            let mut conn = sqlx::ConnectOptions::connect(&options).await.expect("opens");
            let number = sqlx::query_scalar(sql).fetch_one(&mut conn).await.expect("a number");
            sqlx::Connection::close(conn).await.expect("closes");
            number
        }
        StoreAt::Postgres { url, .. } => {
            let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.expect("opens");
            let number = sqlx::query_scalar(sql).fetch_one(&mut conn).await.expect("a number");
            sqlx::Connection::close(conn).await.expect("closes");
            number
        }
    }
}

pub fn incident(id: &str, at: i64, revision: i64) -> IncidentRow {
    IncidentRow {
        id: id.to_owned(),
        dedup_key: format!("key of {id}"),
        state: "open".to_owned(),
        severity: "high".to_owned(),
        rule: "error_rate".to_owned(),
        service: "backend".to_owned(),
        started_at: at,
        resolved_at: None,
        updated_at: at,
        revision,
        member: "m1".to_owned(),
        body: format!("{{\"revision\":{revision}}}"),
    }
}

pub fn entry(incident: &str, body: &str) -> NewEntry {
    NewEntry {
        incident_id: incident.to_owned(),
        at: 1,
        kind: "note".to_owned(),
        actor: "ann".to_owned(),
        body: body.to_owned(),
    }
}

pub fn audit(at: i64, target: &str) -> AuditEntry {
    AuditEntry {
        at,
        actor: "ann".to_owned(),
        action: "open".to_owned(),
        target: target.to_owned(),
        body: "{}".to_owned(),
    }
}

pub fn notification(id: &str, incident: Option<&str>, next_at: i64) -> NotificationRow {
    NotificationRow {
        id: id.to_owned(),
        incident_id: incident.map(str::to_owned),
        dedup_key: "key".to_owned(),
        channel: "pager".to_owned(),
        kind: "trigger".to_owned(),
        body: "{}".to_owned(),
        state: Delivery::Waiting,
        attempts: 0,
        next_at,
        created_at: 1,
        last_error: None,
        sent_at: None,
    }
}
