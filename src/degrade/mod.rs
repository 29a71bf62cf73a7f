//! What clients get instead of an upstream's answer. Asked by the gateway, where a refusal becomes an answer.
//!
//! Whether anything stands in is decided by [`reliability::degradation`](crate::reliability::degradation); a stand-in says
//! that it is one. [`levels`] holds how much of the service is given up.

pub mod canned;
pub mod failover;
pub mod levels;
pub mod outbox;
pub mod stale;
