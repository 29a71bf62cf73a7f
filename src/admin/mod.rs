//! Answers the operator: reads, asks, answers. Never touches the data path; every mutation is a POST (or the DELETE of a silence) and is told.

mod audit;
mod breakers;
mod config;
pub mod contract;
mod dependencies;
mod document;
mod error;
mod etag;
mod guard;
mod health;
mod health_view;
mod idempotency;
mod inbound;
mod incidents;
mod mutations;
mod observed;
mod open_streams;
mod performance;
mod reports;
mod request;
mod review;
mod router;
mod serve;
mod services;
mod silences;
mod state;
mod stream;
mod strict;
mod texts;
mod upstreams;
mod uptime;
mod words;

pub use inbound::serve as inbound;
pub use router::document;
pub use serve::serve;
pub use state::Admin;
