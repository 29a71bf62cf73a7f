//! Carries exchanges: one request and its answer, from a client to an upstream and back.
//!
//! [`gateway`] is the narrator: read it first. The others are called and return; nobody hands a request onward to
//! someone who hands it onward.
//!
//! When does who learn? The **breaker** learns at the response head (or the failure before it), so that a long
//! stream does not hold a probe's slot. The **histograms** learn at the last byte. Both happen exactly once: the
//! permit and the exchange are values that settle when they are dropped.
//!
//! Why tasks own connections: a client connection, the upstream connection it uses and the exchange between them
//! belong to one task on one thread. There is no spawn per request, no channel between the two sides, and no lock.

pub mod accept;
mod again;
pub mod answer;
mod attempts;
pub mod call;
pub mod client;
pub mod error;
pub mod exchange;
pub mod explain;
mod explained;
pub mod facts;
pub mod forward;
pub mod front;
pub mod gateway;
mod hedge;
mod held;
mod keys;
mod leave;
mod look;
pub mod overload;
pub mod pulse;
mod queueing;
pub mod replay;
pub mod reply;
pub mod route;
pub mod serve;
pub mod serve_h2;
mod stream;
pub mod tunnel;
pub mod worker;
