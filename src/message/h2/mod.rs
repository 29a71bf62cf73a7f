//! HTTP/2 (RFC 9113), our own: frames, field blocks and flow control beneath the same heads and bodies as HTTP/1.1.
//!
//! [`frame`], `flow`, `storm` and [`hpack`] are functions over bytes and numbers; `state` is what a connection
//! knows, `read` and `blocks` what comes of a frame; [`conn`] and [`stream`] put it on a stream of bytes; [`send`]
//! sends a body. One thread has a connection with all that hold its streams, so nothing here locks.

mod blocks;
pub mod conn;
mod flow;
pub mod frame;
mod head;
pub mod hpack;
mod incoming;
pub mod pipe;
mod place;
mod read;
pub mod send;
mod state;
mod storm;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod upload;
pub mod write;

pub use conn::{H2Conn, H2Limits};
pub use incoming::Streamed;
pub use state::Over;
pub use stream::{AcceptedStream, H2Stream, StreamError, Then};
