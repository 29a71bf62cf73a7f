//! What should happen? Pure: no I/O, no clock, no lock, no task, no log, no metric, no chance of its own.
//!
//! Time and chance are arguments; decisions are values. Whoever calls these functions acts on what they return.

pub mod alert;
pub mod backoff;
pub mod balance;
pub mod breaker;
pub mod brief;
pub mod canary;
pub mod concurrency;
pub mod conditions;
pub mod counts;
pub mod degradation;
pub mod delivery;
pub mod detect;
pub mod engine;
pub mod escalation;
pub mod fleet;
pub mod health;
pub mod idempotency;
pub mod idle;
pub mod incident;
pub mod ledger;
pub mod outbox;
pub mod outlier;
pub mod overload;
pub mod party;
pub mod payment;
pub mod rate_limit;
pub mod reach;
pub mod readings;
pub mod recovery;
pub mod retry;
pub mod retry_after;
pub mod rise_fall;
pub mod rule;
pub mod runbook;
pub mod share;
pub mod significance;
pub mod silence;
pub mod slo;
pub mod stale;
pub mod steps;
pub mod throttle;
pub mod usual;
pub mod verdict;
pub mod window;
