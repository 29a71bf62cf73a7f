//! Sockets and TLS. The only files that name `rustls` and open listeners.

pub mod listener;
mod records;
pub mod tls;
