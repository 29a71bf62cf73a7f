//! Sockets, names and TLS. The only files that name `rustls` and DNS and open listeners.

pub mod acceptor;
pub mod addresses;
pub mod client;
pub mod http;
pub mod listener;
pub mod names;
mod records;
pub mod shown;
pub(crate) mod sign;
pub mod tls;
mod validity;
