//! Sockets and TLS. The only files that name `rustls` and open listeners.

pub mod listener;
pub mod tls;
