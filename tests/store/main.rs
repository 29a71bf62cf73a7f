//! The store against the real thing: SQLite files, a PostgreSQL server of Debian, a full disk, a damaged file, `kill -9`.

#![expect(unreachable_pub, reason = "one binary: nothing here is reached from outside")]
#![allow(clippy::disallowed_methods, reason = "a test is its own clock and spawner")]
#![allow(clippy::print_stdout, reason = "children tell their parents, and figures are told")]

/// A database that goes away and comes back.
mod away;
mod command;
/// What a fleet costs its database.
mod crowd;
mod damaged;
mod fleet;
mod full;
mod gone;
mod kill;
mod ledger;
mod pooler;
mod postgres;
mod suite;
mod support;
