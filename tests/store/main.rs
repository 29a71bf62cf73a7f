//! The store against the real thing: SQLite files, a PostgreSQL server of Debian, a full disk, a damaged file, `kill -9`.

mod away;
mod command;
mod damaged;
mod full;
mod kill;
mod postgres;
mod suite;
mod support;
