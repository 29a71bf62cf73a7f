//! The product from outside: a real binary, real sockets, real clients.

#![expect(unreachable_pub, reason = "one binary: nothing here is reached from outside")]
#![allow(clippy::disallowed_methods, reason = "a test is its own clock")]

mod support;

/// The same server as in tests/store.
#[path = "../store/postgres.rs"]
mod postgres;

/// What the operator's port answers, and to whom.
mod admin_api;
/// Several endpoints: which one, what when it fails, what its checks say.
mod balance;
/// Breakers trip, refuse, probe, recover; operators hold them.
mod breaker;
/// Real clients pass through unchanged.
mod clients;
/// What the command line does and says.
mod command_line;
/// What others build on: metric names, the API, the command line. A change here is a change for them.
mod contract;
/// Who is late is told so, and nobody else.
mod deadlines;
/// The way out: forward proxy, tunnels, local listeners, the address guard.
mod egress;
/// The files that are shipped.
mod examples;
/// Several sidecars on one PostgreSQL: one incident, one sender, whoever dies.
mod fleet;
/// Fields that a proxy must, may and must not touch.
mod headers;
/// Clients and backends that misbehave cost themselves and nobody else.
mod hostile;
/// HTTP/2 is held to what HTTP/1.1 is held to.
mod http2;
/// What the desk decides by is the operator's, and in force as soon as the file is saved.
mod incident_config;
/// From the first bad event to the last word: detection, calls, orders, a restart in between.
mod incidents;
/// Requests that two readers could read differently never reach the backend in a changed meaning.
mod malformed;
/// What is measured is what happened.
mod measuring;
/// People are told, whatever is down.
mod notify;
/// A saved file is in force at once and loses nothing.
mod reload;
mod resources;
/// Bytes pass unchanged, both ways, as they come.
mod streaming;
/// TLS in both roles, HTTP/2 on both sides.
mod tls;
