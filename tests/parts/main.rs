//! Parts of the library against the real thing, where the binary alone would not show them: senders of notifications, rows that a
//! store is prepared with or read by, configs that are shipped.

#![expect(unreachable_pub, reason = "one binary: nothing here is reached from outside")]
#![allow(clippy::disallowed_methods, reason = "a test is its own clock")]

/// What is shipped can run, and says what it means.
mod examples;
/// People are told, whatever is down.
mod notify;
mod orders;
/// What is sent to PagerDuty and Slack is what they document.
mod payloads;
/// The server that the store's own tests start.
#[path = "../store/postgres.rs"]
#[allow(dead_code, reason = "shared with the store's tests")]
mod postgres;
/// What the store's own tests open one by.
#[path = "../store/support.rs"]
#[allow(dead_code, reason = "shared with the store's tests")]
mod store;
/// A store whose disk is full, whose server is gone, or that somebody holds, costs no request.
#[allow(clippy::print_stdout, reason = "figures are told")]
mod store_away;
/// The black-box tests' own.
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "shared with the tests from outside")]
mod support;
