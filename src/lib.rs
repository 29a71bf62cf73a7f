//! Strop: a sidecar reverse proxy with built-in reliability.
pub mod message;
pub mod names;
pub mod units;
